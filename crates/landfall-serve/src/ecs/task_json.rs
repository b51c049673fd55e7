//! A task as `DescribeTasks` tells it.

use serde_json::{Value, json};

use super::interface::{self, Interface};
use super::{members, seconds, tags};
use crate::store::ecs::{Body, Container, Task};

/// The name of the attribute that says why nothing was run.
const NOT_RUN: &str = "landfall.not-run";

/// What is kept and told under the same name.
const TOLD: [&str; 8] = [
    "cpu",
    "memory",
    "launchType",
    "platformVersion",
    "platformFamily",
    "referenceId",
    "ephemeralStorage",
    "fargateEphemeralStorage",
];

/// A task as answers have it.
pub(super) fn render(task: &Task, with_tags: bool) -> Value {
    let mut answer = Body::new();
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    let interface = Interface::of(task);
    add("attachments", interface.iter().map(Interface::attachment).collect());
    add("attributes", attributes(task));
    add("availabilityZone", Value::from(interface::zone(task)));
    if let Some(name) = task.body.get("capacityProviderName") {
        add("capacityProviderName", name.clone());
    }
    add("clusterArn", Value::from(task.cluster_arn()));
    let interfaces = interface.as_ref().map_or(json!([]), Interface::of_container);
    let containers = task.containers.iter().map(|container| render_container(task, container, &interfaces));
    add("containers", containers.collect());
    for (name, value) in members(&task.body, &TOLD) {
        add(&name, value);
    }
    if let Some(at) = task.times.pull_started {
        add("connectivity", json!("CONNECTED"));
        add("connectivityAt", seconds(at));
    }
    let execute = task.body.get("enableExecuteCommand").cloned().unwrap_or(json!(false));
    add("enableExecuteCommand", execute);
    add("createdAt", seconds(task.times.created));
    add("desiredStatus", Value::from(if task.is_stopping { "STOPPED" } else { "RUNNING" }));
    add("group", Value::from(task.group.as_str()));
    add("healthStatus", Value::from(task.health.as_str()));
    add("lastStatus", Value::from(task.status.word()));
    add("overrides", overrides(task));
    for (name, at) in [
        ("pullStartedAt", task.times.pull_started),
        ("pullStoppedAt", task.times.pull_stopped),
        ("startedAt", task.times.started),
        ("stoppingAt", task.times.stopping),
        ("executionStoppedAt", task.times.execution_stopped),
        ("stoppedAt", task.times.stopped),
    ] {
        if let Some(at) = at {
            add(name, seconds(at));
        }
    }
    for (name, text) in [
        ("startedBy", &task.started_by),
        ("stopCode", &task.stop_code),
        ("stoppedReason", &task.stopped_reason),
    ] {
        if let Some(text) = text {
            add(name, Value::from(text.as_str()));
        }
    }
    add("tags", if with_tags { tags::render(&task.tags) } else { json!([]) });
    add("taskArn", Value::from(task.arn()));
    add("taskDefinitionArn", Value::from(task.definition.as_str()));
    add("version", Value::from(task.version));
    Value::Object(answer)
}

fn attributes(task: &Task) -> Value {
    let mut attributes = vec![json!({ "name": "ecs.cpu-architecture", "value": architecture() })];
    attributes.extend(task.not_run.as_ref().map(|why| json!({ "name": NOT_RUN, "value": why })));
    Value::Array(attributes)
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

fn overrides(task: &Task) -> Value {
    let mut overrides = task.body.get("overrides").and_then(Value::as_object).cloned().unwrap_or_default();
    overrides.entry("containerOverrides").or_insert_with(|| {
        task.containers.iter().map(|container| json!({ "name": container.name })).collect()
    });
    overrides.entry("inferenceAcceleratorOverrides").or_insert_with(|| json!([]));
    Value::Object(overrides)
}

fn render_container(task: &Task, container: &Container, interfaces: &Value) -> Value {
    let mut answer = Body::new();
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    let resource = format!("container/{}/{}/{}", task.cluster, task.id, container.id);
    add("containerArn", Value::from(task.place.arn(&resource)));
    add("taskArn", Value::from(task.arn()));
    add("name", Value::from(container.name.as_str()));
    add("image", Value::from(container.image.as_str()));
    if let Some(digest) = &container.digest {
        add("imageDigest", Value::from(digest.as_str()));
    }
    if let Some(id) = &container.runtime_id {
        add("runtimeId", Value::from(id.as_str()));
    }
    add("lastStatus", Value::from(container.status.as_str()));
    if let Some(code) = container.exit_code {
        add("exitCode", Value::from(code));
    }
    let why = container.reason.as_ref().or(task.not_run.as_ref());
    if let Some(why) = why {
        add("reason", Value::from(why.as_str()));
    }
    let bindings: Vec<Value> = container
        .ports
        .iter()
        .map(|(inside, outside, protocol)| {
            json!({ "bindIP": "127.0.0.1", "containerPort": inside, "hostPort": outside, "protocol": protocol })
        })
        .collect();
    if container.status != "PENDING" || !bindings.is_empty() {
        add("networkBindings", Value::Array(bindings));
    }
    add("networkInterfaces", interfaces.clone());
    add("healthStatus", Value::from(container.health.as_str()));
    let sizes = &container.sizes;
    add("cpu", Value::from(sizes.cpu.to_string()));
    for (name, size) in [("memory", sizes.memory), ("memoryReservation", sizes.memory_reservation)] {
        if let Some(size) = size {
            add(name, Value::from(size.to_string()));
        }
    }
    Value::Object(answer)
}
