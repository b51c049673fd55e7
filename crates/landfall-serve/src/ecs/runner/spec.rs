//! What the engine is told of a container: the task definition's words, with the overrides of the task.

use serde_json::{Map, Value, json};

use super::engine::{Engine, LABEL};
use crate::ecs::load;
use crate::store::ecs::{Body, Task, TaskDefinition};
use crate::world::World;

/// How long a container may take to stop when nothing is said, in seconds.
const STOP_SECONDS: i64 = 30;
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
    /// What has to have happened first: container, `START`, `COMPLETE`, `SUCCESS`, `HEALTHY`.
    pub(super) after: Vec<(String, String)>,
    /// How long it may take to stop, in seconds.
    pub(super) stop_seconds: i64,
    /// The image as the engine pulls it.
    pub(super) image: String,
    definition: Body,
    overrides: Body,
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
    /// They share the first one's, as in `awsvpc`.
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
        Plan {
            overrides: overrides(&name).unwrap_or_default(),
            is_essential: container.get("essential") != Some(&Value::Bool(false)),
            has_check: container.contains_key("healthCheck"),
            after: after.collect(),
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

fn list<'b>(body: &'b Body, name: &str) -> &'b [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Plan {
    /// An override, or what the definition says.
    fn value(&self, name: &str) -> Option<&Value> {
        self.overrides.get(name).filter(|value| !value.is_null()).or_else(|| self.definition.get(name))
    }

    /// What the engine is told. `joined` is the container whose network this one shares, and `ports` are
    /// published by it.
    pub(super) fn spec(
        &self,
        task: &Task,
        network: &Network,
        joined: Option<&str>,
        ports: &[&Self],
        environment: &[(String, String)],
    ) -> Value {
        let mut spec = Map::new();
        let mut add = |name: &str, value: Value| spec.insert(name.to_owned(), value);
        add("Image", Value::from(self.image.as_str()));
        add("Env", self.environment(environment));
        add("Labels", self.labels(task));
        for (member, engine) in [("command", "Cmd"), ("entryPoint", "Entrypoint"), ("dnsServers", "")] {
            if let Some(value) =
                self.value(member).filter(|value| value.as_array().is_some_and(|all| !all.is_empty()))
                && !engine.is_empty()
            {
                add(engine, value.clone());
            }
        }
        for (member, engine) in [
            ("workingDirectory", "WorkingDir"),
            ("user", "User"),
            ("hostname", "Hostname"),
            ("pseudoTerminal", "Tty"),
            ("interactive", "OpenStdin"),
        ] {
            // A shared network has its own name for the machine.
            let is_own = member != "hostname" || (joined.is_none() && *network == Network::Bridge);
            if let Some(value) = self.definition.get(member).filter(|_| is_own) {
                add(engine, value.clone());
            }
        }
        if let Some(check) = self.definition.get("healthCheck") {
            add("Healthcheck", health_check(check));
        }
        let publishes = joined.is_none() && matches!(network, Network::Bridge | Network::Shared);
        let (exposed, bindings) = if publishes { published(ports) } else { (json!({}), json!({})) };
        add("ExposedPorts", exposed);
        add("HostConfig", self.host_config(network, joined, bindings));
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

    fn labels(&self, task: &Task) -> Value {
        let mut labels =
            self.definition.get("dockerLabels").and_then(Value::as_object).cloned().unwrap_or_default();
        let (family, revision) = task.definition_name().split_once(':').unwrap_or_default();
        for (name, value) in [
            (LABEL, task.id.as_str()),
            ("com.amazonaws.ecs.cluster", &task.cluster),
            ("com.amazonaws.ecs.container-name", &self.name),
            ("com.amazonaws.ecs.task-arn", &task.arn()),
            ("com.amazonaws.ecs.task-definition-family", family),
            ("com.amazonaws.ecs.task-definition-version", revision),
        ] {
            labels.insert(name.to_owned(), Value::from(value));
        }
        Value::Object(labels)
    }

    fn host_config(&self, network: &Network, joined: Option<&str>, bindings: Value) -> Value {
        let mode = match (network, joined) {
            (_, Some(id)) => format!("container:{id}"),
            (Network::Host, None) => "host".to_owned(),
            (Network::None, None) => "none".to_owned(),
            (Network::Bridge | Network::Shared, None) => "bridge".to_owned(),
        };
        let flag = |name: &str| self.definition.get(name).and_then(Value::as_bool).unwrap_or(false);
        let mut config = json!({
            "NetworkMode": mode,
            "PortBindings": bindings,
            "Privileged": flag("privileged"),
            "ReadonlyRootfs": flag("readonlyRootFilesystem"),
        });
        if let Some(memory) = self.value("memory").and_then(Value::as_i64) {
            config["Memory"] = Value::from(memory.saturating_mul(1 << 20));
        }
        let linux = self.definition.get("linuxParameters");
        if let Some(initialised) = linux.and_then(|linux| linux.get("initProcessEnabled")) {
            config["Init"] = initialised.clone();
        }
        let capabilities = linux.and_then(|linux| linux.get("capabilities"));
        for (member, engine) in [("add", "CapAdd"), ("drop", "CapDrop")] {
            if let Some(names) = capabilities.and_then(|all| all.get(member)) {
                config[engine] = names.clone();
            }
        }
        let limits: Vec<Value> = list(&self.definition, "ulimits")
            .iter()
            .map(|one| json!({ "Name": one["name"], "Soft": one["softLimit"], "Hard": one["hardLimit"] }))
            .collect();
        config["Ulimits"] = Value::Array(limits);
        if *network == Network::Bridge {
            let hosts = list(&self.definition, "extraHosts").iter();
            let line = |one: &Value| {
                format!(
                    "{}:{}",
                    one["hostname"].as_str().unwrap_or_default(),
                    one["ipAddress"].as_str().unwrap_or_default()
                )
            };
            config["ExtraHosts"] = hosts.map(|one| Value::from(line(one))).collect();
        }
        config
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

/// Ports are published on loopback: at their host port in a bridge, at any in a network of the task's own.
fn published(plans: &[&Plan]) -> (Value, Value) {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    let is_shared = plans.len() > 1;
    for (inside, outside, protocol) in plans.iter().flat_map(|plan| plan.ports()) {
        let name = format!("{inside}/{protocol}");
        let any = outside == 0 || is_shared || outside == inside;
        let outside = if any { String::new() } else { outside.to_string() };
        exposed.insert(name.clone(), json!({}));
        bindings.insert(name, json!([{ "HostIp": "127.0.0.1", "HostPort": outside }]));
    }
    (Value::Object(exposed), Value::Object(bindings))
}

fn health_check(check: &Value) -> Value {
    let words: Vec<&str> =
        check["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // A command without its kind is run as it is.
    let known = matches!(words.first(), Some(&("CMD" | "CMD-SHELL" | "NONE")));
    let test: Vec<&str> = if known { words } else { ["CMD"].into_iter().chain(words).collect() };
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
