//! The task metadata endpoint, version 4: what a container can ask of itself and its task.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html>
//!
//! What the engine knows of a container is asked of it when somebody asks for it here. Version 3 is answered the same
//! way: its members are among these. What there is no instance or network interface for is left out.

use landfall_types::Timestamp;
use serde_json::{Map, Value, json};

use super::agent::{Agent, Member, Refused};
use super::engine::Engine;
use crate::ecs::{interface, load};
use crate::store::ecs::{Body, Container, Task, TaskDefinition};
use crate::world::World;

/// CPU units of one virtual CPU.
const UNITS_OF_CPU: f64 = 1024.0;
/// The prefix of labels that are this server's own.
const OWN_LABELS: &str = "landfall.";

/// A task, and what there is to tell of it.
struct Told<'a> {
    engine: &'a Engine,
    task: &'a Task,
    definition: &'a TaskDefinition,
    agent: &'a Agent,
}

/// Answers what comes after a container's id: nothing, `task`, `taskWithTags`, `stats`, `task/stats`.
///
/// # Errors
/// Status and body, in the agent's words.
pub(super) async fn answer(
    world: &World,
    known: Option<(String, Agent, Member)>,
    id: &str,
    what: &str,
) -> Result<Value, Refused> {
    let handler = match what {
        "" => "container metadata",
        "task" | "taskWithTags" => "task metadata",
        "stats" => "container stats",
        "task/stats" => "task stats",
        _ => return Err((404, json!("404 page not found"))),
    };
    let missing = || {
        let why = match what {
            "" => "unable to get container ID from request: unable to get docker ID from v3 endpoint ID",
            _ => "unable to get task arn from request: unable to get task Arn from v3 endpoint ID",
        };
        (404, json!(format!("V4 {handler} handler: {why}: {id}")))
    };
    let (task, agent, member) = known.ok_or_else(missing)?;
    let task = super::task(world, &task).ok_or_else(missing)?;
    let definition = load::definition_by_arn(world, &task.place, &task.definition).ok_or_else(missing)?;
    let engine = world.ecs.engine().ok_or_else(missing)?;
    let told = Told { engine, task: &task, definition: &definition, agent: &agent };
    match what {
        "" => told.container(&member).await.ok_or_else(missing),
        "stats" => told.stats(&member).await.ok_or_else(missing),
        "task/stats" => {
            let mut all = Map::new();
            for member in agent.members() {
                if let (Some(id), Some(stats)) = (&member.id, told.stats(member).await) {
                    all.insert(id.clone(), stats);
                }
            }
            Ok(Value::Object(all))
        }
        _ => Ok(told.task(what == "taskWithTags").await),
    }
}

impl Told<'_> {
    fn record(&self, member: &Member) -> Option<&Container> {
        self.task.containers.iter().find(|one| one.name == member.name)
    }

    fn desired(&self) -> &'static str {
        if self.task.is_stopping { "STOPPED" } else { "RUNNING" }
    }

    async fn task(&self, with_tags: bool) -> Value {
        let task = self.task;
        let (family, revision) = task.definition_name().split_once(':').unwrap_or_default();
        let launch_type = task.body.get("launchType").and_then(Value::as_str).unwrap_or("EC2");
        let mut answer = Body::new();
        let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        // The agent of an instance knows its cluster by its name.
        let cluster = if launch_type == "FARGATE" { task.cluster_arn() } else { task.cluster.clone() };
        add("Cluster", cluster.into());
        add("TaskARN", task.arn().into());
        add("Family", family.into());
        add("Revision", revision.into());
        add("DesiredStatus", self.desired().into());
        add("KnownStatus", task.status.word().into());
        let size = |member: &str| {
            let given = task.body.get(member).or_else(|| self.definition.body.get(member));
            given.and_then(Value::as_str)?.parse::<u32>().ok()
        };
        let limits = limits(size("cpu").map(|units| f64::from(units) / UNITS_OF_CPU), size("memory"));
        if limits.as_object().is_some_and(|limits| !limits.is_empty()) {
            add("Limits", limits);
        }
        for (name, at) in [
            ("PullStartedAt", task.times.pull_started),
            ("PullStoppedAt", task.times.pull_stopped),
            ("ExecutionStoppedAt", task.times.execution_stopped),
        ] {
            if let Some(at) = at {
                add(name, moment(at).into());
            }
        }
        add("AvailabilityZone", interface::zone(task).into());
        add("LaunchType", launch_type.into());
        if with_tags && !task.tags.is_empty() {
            let tags = task.tags.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            add("TaskTags", Value::Object(tags.collect()));
        }
        let mut containers = Vec::new();
        // In the order of the task definition.
        for record in &task.containers {
            if let Some(member) = self.agent.members().find(|member| member.name == record.name) {
                containers.extend(self.container(member).await);
            }
        }
        add("Containers", Value::Array(containers));
        if let Some((service, _)) = &task.service {
            add("ServiceName", service.as_str().into());
        }
        let has_faults = self.definition.body.get("enableFaultInjection").cloned().unwrap_or(json!(false));
        add("FaultInjectionEnabled", has_faults);
        Value::Object(answer)
    }

    /// A container as the engine knows it; none before it was made.
    async fn container(&self, member: &Member) -> Option<Value> {
        let record = self.record(member)?;
        let known = self.engine.describe(member.id.as_deref()?).await.ok()?;
        let definition =
            self.definition.containers().find(|one| one.get("name") == Some(&record.name.as_str().into()))?;
        let mut answer = Body::new();
        let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        add("DockerId", known["Id"].clone());
        add("Name", record.name.as_str().into());
        add("DockerName", known["Name"].as_str().unwrap_or_default().trim_start_matches('/').into());
        add("Image", record.image.as_str().into());
        add("ImageID", known["Image"].clone());
        let ports = self.ports(record);
        if !ports.is_empty() {
            add("Ports", Value::Array(ports));
        }
        let labels = known["Config"]["Labels"].as_object().into_iter().flatten();
        let labels = labels.filter(|(name, _)| !name.starts_with(OWN_LABELS));
        add("Labels", Value::Object(labels.map(|(name, value)| (name.clone(), value.clone())).collect()));
        add("DesiredStatus", self.desired().into());
        add("KnownStatus", if record.status == "PENDING" { "CREATED" } else { &record.status }.into());
        if let Some(code) = record.exit_code {
            add("ExitCode", code.into());
        }
        let number = |name: &str| u32::try_from(definition.get(name)?.as_u64()?).ok();
        add("Limits", limits(Some(number("cpu").unwrap_or(0).into()), number("memory")));
        let state = &known["State"];
        for (name, at) in [
            ("CreatedAt", &known["Created"]),
            ("StartedAt", &state["StartedAt"]),
            ("FinishedAt", &state["FinishedAt"]),
        ] {
            // What has not been is in the year 1.
            if at.as_str().is_some_and(|at| !at.starts_with("0001-")) {
                add(name, at.clone());
            }
        }
        add("Type", "NORMAL".into());
        if definition.contains_key("healthCheck") {
            add("Health", health(record, &state["Health"]["Log"]));
        }
        let volumes = volumes(&known["Mounts"]);
        if !volumes.is_empty() {
            add("Volumes", Value::Array(volumes));
        }
        for (name, member) in [("LogDriver", "logDriver"), ("LogOptions", "options")] {
            if let Some(value) = definition.get("logConfiguration").and_then(|log| log.get(member)) {
                add(name, value.clone());
            }
        }
        let arn = format!("container/{}/{}/{}", self.task.cluster, self.task.id, record.id);
        add("ContainerARN", self.task.place.arn(&arn).into());
        if let Some(network) = self.network(member) {
            add("Networks", json!([network]));
        }
        if definition.get("restartPolicy").is_some_and(|policy| policy["enabled"] == true) {
            add("RestartCount", member.restarts.into());
        }
        Some(Value::Object(answer))
    }

    fn mode(&self) -> &str {
        self.definition.text("networkMode").unwrap_or("bridge")
    }

    fn ports(&self, record: &Container) -> Vec<Value> {
        let port = |(inside, outside, protocol): &(u16, u16, String)| match self.mode() {
            // Of an interface of its own, the host's port is the container's.
            "awsvpc" => json!({ "ContainerPort": inside, "Protocol": protocol, "HostPort": inside }),
            _ => {
                json!({ "ContainerPort": inside, "Protocol": protocol, "HostPort": outside, "HostIp": "127.0.0.1" })
            }
        };
        record.ports.iter().map(port).collect()
    }

    fn network(&self, member: &Member) -> Option<Value> {
        let lan = member.lan.as_ref()?;
        let mut network = json!({ "NetworkMode": self.mode(), "IPv4Addresses": [lan.address] });
        if self.mode() == "awsvpc" {
            network["AttachmentIndex"] = json!(0);
            network["MACAddress"] = json!(lan.mac);
            network["IPv4SubnetCIDRBlock"] = json!(lan.subnet());
            network["SubnetGatewayIpv4Address"] = json!(format!("{}/{}", lan.gateway, lan.prefix));
        }
        Some(network)
    }

    /// The engine's figures of a container, with those of the network that another one holds for it.
    async fn stats(&self, member: &Member) -> Option<Value> {
        let own = self.engine.stats(member.id.as_deref()?);
        let held = async {
            match &member.holder {
                Some(holder) => self.engine.stats(holder).await,
                None => None,
            }
        };
        let (own, held) = tokio::join!(own, held);
        let mut stats = own?;
        if let Some(networks) = held.and_then(|held| held.get("networks").cloned()) {
            stats["networks"] = networks;
        }
        Some(stats)
    }
}

/// `CPU` and `Memory`, as far as there are limits.
fn limits(cpu: Option<f64>, memory: Option<u32>) -> Value {
    let mut limits = Body::new();
    // What is whole is written so.
    let whole = cpu.filter(|cpu| cpu.fract() == 0.0).map(|cpu| Value::from(cpu as u64));
    limits.extend(whole.or_else(|| cpu.map(Value::from)).map(|cpu| ("CPU".to_owned(), cpu)));
    limits.extend(memory.map(|memory| ("Memory".to_owned(), memory.into())));
    Value::Object(limits)
}

/// What the last health check said; before the first one the container's health is unknown.
fn health(record: &Container, log: &Value) -> Value {
    let mut health = json!({ "status": record.health });
    if let Some(last) = log.as_array().and_then(|all| all.last()) {
        health["statusSince"] = last["End"].clone();
        health["exitCode"] = last["ExitCode"].clone();
        health["output"] = last["Output"].clone();
    }
    health
}

fn volumes(mounts: &Value) -> Vec<Value> {
    let volume = |mount: &Value| {
        let mut volume = json!({ "Source": mount["Source"], "Destination": mount["Destination"] });
        if let Some(name) = mount["Name"].as_str().filter(|name| !name.is_empty()) {
            volume["DockerName"] = name.into();
        }
        volume
    };
    mounts.as_array().into_iter().flatten().map(volume).collect()
}

/// A moment with its milliseconds.
fn moment(at_ms: i64) -> String {
    let text = Timestamp(at_ms).to_string();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), at_ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_agent_writes_them() {
        assert_eq!(limits(Some(0.25), Some(512)).to_string(), r#"{"CPU":0.25,"Memory":512}"#);
        assert_eq!(limits(Some(10.0), None).to_string(), r#"{"CPU":10}"#);
        assert_eq!(limits(None, None).to_string(), "{}");
        assert_eq!(moment(1_790_856_000_050), "2026-10-01T12:00:00.050Z");
    }
}
