//! What the engine is told of a container: the task definition's words, with the overrides of the task.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::engine::Engine;
use super::order::{RestartPolicy, START_SECONDS};
use super::volumes::Volume;
use super::{owner, pause};
use crate::ecs::load;
use crate::store::ecs::{Body, Task, TaskDefinition};
use crate::world::World;

/// How long a container may take to stop when nothing is said, in seconds.
const STOP_SECONDS: i64 = 30;
/// Between two health checks when nothing is said, in seconds.
const CHECK_SECONDS: u64 = 30;
/// Nanoseconds of a second: the engine's unit.
const NANOSECONDS: i64 = 1_000_000_000;

/// A container that is about to be made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Its name in the task definition.
    pub(super) name: String,
    /// Whether the task ends with it.
    pub(super) is_essential: bool,
    /// Whether it has a health check.
    pub(super) has_check: bool,
    /// Between two checks, in seconds.
    pub(super) check_seconds: u64,
    /// What has to have happened first: container, `START`, `COMPLETE`, `SUCCESS`, `HEALTHY`.
    pub(super) after: Vec<(String, String)>,
    /// How long it may take to become what others wait for, in seconds.
    pub(super) start_seconds: u64,
    /// How long it may take to stop, in seconds.
    pub(super) stop_seconds: i64,
    /// When it is started again.
    pub(super) restart: Option<RestartPolicy>,
    /// The image as the engine pulls it.
    pub(super) image: String,
    /// Whether the image was pulled for it, and is of no use to anyone else.
    pub(super) is_image_ours: bool,
    /// What ECS puts into its environment.
    pub(super) given: Vec<(String, String)>,
    pub(super) definition: Body,
    overrides: Body,
}

/// What a container of a task finds around it.
pub(super) struct Surroundings<'a> {
    pub(super) task: &'a Task,
    pub(super) network: &'a Network,
    /// The container that holds what the task's containers share.
    pub(super) pause: Option<&'a str>,
    /// The containers that hold a network for one container each, by its name.
    pub(super) holders: &'a BTreeMap<String, String>,
    pub(super) volumes: &'a [Volume],
    /// `memory` of the task, in MiB.
    pub(super) memory: Option<i64>,
    pub(super) pid_mode: Option<&'a str>,
    pub(super) ipc_mode: Option<&'a str>,
    /// Whether a container has a name for the machine of its own in a network that another one holds, as Podman has it.
    pub(super) has_own_names: bool,
    /// Whose it is.
    pub(super) labels: &'a [(String, String)],
}

impl Surroundings<'_> {
    /// A container's name in the engine.
    pub(super) fn engine_name(&self, container: &str) -> String {
        format!("ecs-{}-{container}-{}", self.task.definition_name().replace(':', "-"), self.task.id)
    }
}

/// How a task's containers are connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Network {
    /// They share the machine's network.
    Host,
    /// None at all.
    None,
    /// Each has its own, with ports published on this machine.
    Bridge,
    /// They share one, as in `awsvpc`.
    Shared,
}

impl Network {
    /// The network of a task. An engine without a bridge leaves only the machine's.
    pub(super) fn of(definition: &TaskDefinition, engine: &Engine) -> Self {
        match definition.text("networkMode") {
            Some("none") => Self::None,
            Some("host") => Self::Host,
            _ if !engine.has_bridge() => Self::Host,
            Some("awsvpc") => Self::Shared,
            _ => Self::Bridge,
        }
    }
}

/// The containers of a task, in the order of its definition.
pub(super) fn plans(world: &World, task: &Task) -> Option<(TaskDefinition, Vec<Plan>)> {
    let definition = (*load::definition_by_arn(world, &task.place, &task.definition)?).clone();
    let overrides = |name: &str| {
        let all = task.body.get("overrides")?.get("containerOverrides")?.as_array()?;
        all.iter().find(|one| one["name"] == name)?.as_object().cloned()
    };
    let plan = |container: &Body| {
        let name = text(container, "name").to_owned();
        let after = list(container, "dependsOn").iter().map(|one| {
            let part = |member: &str| one[member].as_str().unwrap_or_default().to_owned();
            (part("containerName"), part("condition"))
        });
        // A link is only made to what runs.
        let links = list(container, "links").iter().filter_map(Value::as_str).map(|link| {
            let name = link.split_once(':').map_or(link, |(name, _)| name);
            (name.to_owned(), "START".to_owned())
        });
        Plan {
            overrides: overrides(&name).unwrap_or_default(),
            is_essential: container.get("essential") != Some(&Value::Bool(false)),
            has_check: container.contains_key("healthCheck"),
            check_seconds: container
                .get("healthCheck")
                .and_then(|check| check["interval"].as_u64())
                .unwrap_or(CHECK_SECONDS),
            after: after.chain(links).collect(),
            start_seconds: container.get("startTimeout").and_then(Value::as_u64).unwrap_or(START_SECONDS),
            restart: RestartPolicy::read(container.get("restartPolicy")),
            is_image_ours: false,
            given: Vec::new(),
            stop_seconds: container.get("stopTimeout").and_then(Value::as_i64).unwrap_or(STOP_SECONDS),
            image: text(container, "image").to_owned(),
            definition: container.clone(),
            name,
        }
    };
    let plans = definition.containers().map(plan).collect();
    Some((definition, plans))
}

fn text<'b>(body: &'b Body, name: &str) -> &'b str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'b>(body: &'b Body, name: &str) -> &'b [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Plan {
    /// An override, or what the definition says.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.overrides.get(name).filter(|value| !value.is_null()).or_else(|| self.definition.get(name))
    }

    /// The image as the task definition names it.
    pub(super) fn written_image(&self) -> &str {
        text(&self.definition, "image")
    }

    /// What the engine is told.
    pub(super) fn spec(&self, around: &Surroundings<'_>) -> Value {
        let mut spec = Map::new();
        let mut add = |name: &str, value: Value| spec.insert(name.to_owned(), value);
        add("Image", Value::from(self.image.as_str()));
        add("Env", self.environment(&self.given));
        add("Labels", self.labels(around));
        for (member, engine) in [("command", "Cmd"), ("entryPoint", "Entrypoint")] {
            let given =
                self.value(member).filter(|value| value.as_array().is_some_and(|all| !all.is_empty()));
            if let Some(value) = given {
                add(engine, value.clone());
            }
        }
        for (member, engine) in [
            ("workingDirectory", "WorkingDir"),
            ("user", "User"),
            ("pseudoTerminal", "Tty"),
            ("interactive", "OpenStdin"),
        ] {
            if let Some(value) = self.definition.get(member) {
                add(engine, value.clone());
            }
        }
        let hostname = self.definition.get("hostname");
        if let Some(name) = hostname.filter(|_| around.has_own_names && *around.network == Network::Bridge) {
            add("Hostname", name.clone());
        }
        if let Some(check) = self.definition.get("healthCheck") {
            add("Healthcheck", health_check(check));
        }
        add("HostConfig", self.host_config(around));
        Value::Object(spec)
    }

    fn environment(&self, more: &[(String, String)]) -> Value {
        let mut all: Vec<(String, String)> = more.to_vec();
        let written =
            list(&self.definition, "environment").iter().chain(list(&self.overrides, "environment"));
        for pair in written {
            let part = |member: &str| pair[member].as_str().unwrap_or_default().to_owned();
            let (name, value) = (part("name"), part("value"));
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        }
        all.into_iter().map(|(name, value)| Value::from(format!("{name}={value}"))).collect()
    }

    fn labels(&self, around: &Surroundings<'_>) -> Value {
        let task = around.task;
        let mut labels =
            self.definition.get("dockerLabels").and_then(Value::as_object).cloned().unwrap_or_default();
        let (family, revision) = task.definition_name().split_once(':').unwrap_or_default();
        for (name, value) in [
            ("com.amazonaws.ecs.cluster", task.cluster.as_str()),
            ("com.amazonaws.ecs.container-name", &self.name),
            ("com.amazonaws.ecs.task-arn", &task.arn()),
            ("com.amazonaws.ecs.task-definition-family", family),
            ("com.amazonaws.ecs.task-definition-version", revision),
        ] {
            labels.insert(name.to_owned(), Value::from(value));
        }
        labels.extend(around.labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
        if self.is_image_ours {
            labels.insert(owner::IMAGE.to_owned(), Value::from(self.image.as_str()));
        }
        Value::Object(labels)
    }

    /// The ports that the definition maps: container port, host port (0 for any), protocol.
    pub(super) fn ports(&self) -> Vec<(u16, u16, String)> {
        let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
        list(&self.definition, "portMappings")
            .iter()
            .filter_map(|one| {
                let protocol = one["protocol"].as_str().unwrap_or("tcp").to_owned();
                Some((port(&one["containerPort"])?, port(&one["hostPort"]).unwrap_or(0), protocol))
            })
            .collect()
    }
}

/// Whether containers of the task share what one of them would have to outlive the others for.
pub(super) fn needs_pause(around: &Surroundings<'_>) -> bool {
    let is_tasks = |mode: Option<&str>| mode == Some("task");
    *around.network == Network::Shared || is_tasks(around.pid_mode) || is_tasks(around.ipc_mode)
}

/// The container that holds the network and whatever else a task's containers share.
pub(super) fn pause(around: &Surroundings<'_>, plans: &[Plan]) -> Value {
    let is_shared = *around.network == Network::Shared;
    let plans: Vec<&Plan> = if is_shared { plans.iter().collect() } else { Vec::new() };
    let mut spec = holding(around, if is_shared { "bridge" } else { "none" }, &plans);
    spec["HostConfig"]["IpcMode"] = json!("shareable");
    spec
}

/// The container that holds the network of one of a bridge. `links` are the addresses of those that it links to.
pub(super) fn holder(around: &Surroundings<'_>, plan: &Plan, links: &[(String, Ipv4Addr)]) -> Value {
    let mut spec = holding(around, "bridge", &[plan]);
    if let Some(name) = plan.definition.get("hostname") {
        spec["Hostname"] = name.clone();
    }
    plan.add_names(links, &mut spec["HostConfig"]);
    spec
}

/// A container that does nothing but hold a network with these ports.
fn holding(around: &Surroundings<'_>, network: &str, plans: &[&Plan]) -> Value {
    let (exposed, bindings) = published(around.network, plans);
    let labels: Map<String, Value> =
        around.labels.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    json!({
        "Image": pause::IMAGE,
        "Entrypoint": [pause::PROGRAM],
        "Labels": labels,
        "ExposedPorts": exposed,
        "HostConfig": { "NetworkMode": network, "PortBindings": bindings },
    })
}

/// Gives a holder the directory in which it hands over its port. A system that confines containers by labels (SELinux)
/// would keep it from a socket of this server's.
pub(super) fn add_handover(spec: &mut Value, dir: &Path) {
    spec["HostConfig"]["Mounts"] =
        json!([{ "Type": "bind", "Source": dir, "Target": pause::HANDOVER, "ReadOnly": true }]);
    spec["HostConfig"]["SecurityOpt"] = json!(["label=disable"]);
}

/// Ports are published on loopback: in a bridge at the host port that is asked for, in a network of the task's
/// own at any, since there the host port is the container's.
fn published(network: &Network, plans: &[&Plan]) -> (Value, Value) {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for (inside, outside, protocol) in plans.iter().flat_map(|plan| plan.ports()) {
        let name = format!("{inside}/{protocol}");
        let is_any = outside == 0 || *network == Network::Shared;
        let outside = if is_any { String::new() } else { outside.to_string() };
        exposed.insert(name.clone(), json!({}));
        bindings.insert(name, json!([{ "HostIp": "127.0.0.1", "HostPort": outside }]));
    }
    (Value::Object(exposed), Value::Object(bindings))
}

/// Lets the engine choose the host ports; whether there was any to give up.
pub(super) fn free_ports(spec: &mut Value) -> bool {
    let bindings = spec["HostConfig"]["PortBindings"].as_object_mut().into_iter().flatten();
    let mut is_freed = false;
    for binding in bindings.filter_map(|(_, bindings)| bindings.as_array_mut()).flatten() {
        is_freed |= binding["HostPort"].as_str().is_some_and(|port| !port.is_empty());
        binding["HostPort"] = Value::from("");
    }
    is_freed
}

fn health_check(check: &Value) -> Value {
    let words: Vec<&str> =
        check["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // A command without its kind is run as it is.
    let known = matches!(words.first(), Some(&("CMD" | "CMD-SHELL" | "NONE")));
    let test: Vec<&str> = if known { words } else { ["CMD"].into_iter().chain(words).collect() };
    // Docker's engine ends, with all its containers, at a check that has nothing to run.
    let test =
        if matches!(test.as_slice(), ["CMD" | "CMD-SHELL"]) { vec!["CMD-SHELL", "exit 1"] } else { test };
    let seconds =
        |name: &str, default: i64| check[name].as_i64().unwrap_or(default).saturating_mul(NANOSECONDS);
    json!({
        "Test": test,
        "Interval": seconds("interval", 30),
        "Timeout": seconds("timeout", 5),
        "Retries": check["retries"].as_i64().unwrap_or(3),
        "StartPeriod": seconds("startPeriod", 0),
    })
}
