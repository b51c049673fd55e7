//! Where the containers of a task write to with the driver `awslogs`: their streams are made before they start, and a
//! task that can't have one doesn't.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>

use landfall_wire::hash::sha256_hex;
use serde_json::Value;

use super::pull;
use crate::ecs::launch;
use crate::logs::writer::Destination;
use crate::store::ecs::{Body, Place, Task};
use crate::world::World;

/// Whether a task runs on Fargate, which makes the streams of all containers before any of them.
pub(super) fn is_on_fargate(task: &Task) -> bool {
    launch::is_fargate(&task.body)
}

/// Makes the streams of all containers, and says under which keys they are kept, by container.
///
/// # Errors
/// `stoppedReason` of a task that can't write its log.
pub(super) fn open_all(world: &World, task: &Task) -> Result<Vec<(String, String)>, String> {
    let Some(definition) = crate::ecs::load::definition_by_arn(world, &task.place, &task.definition) else {
        return Ok(Vec::new());
    };
    let mut opened = Vec::new();
    for container in definition.containers() {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        // The engine's own id, which a stream without a prefix is named by; nothing runs that would have one.
        let id = sha256_hex(format!("{}/{name}", task.id).as_bytes());
        if let Some(key) = open(world, task, container, &id)? {
            opened.push((name.to_owned(), key));
        }
    }
    Ok(opened)
}

/// Makes the stream of a container of the task that is about to start.
///
/// # Errors
/// As [`open_all`].
pub(super) fn open_one(
    world: &World,
    task: &Task,
    name: &str,
    engine_id: &str,
) -> Result<Option<String>, String> {
    let definition = crate::ecs::load::definition_by_arn(world, &task.place, &task.definition);
    let Some(definition) = definition else { return Ok(None) };
    let mut containers = definition.containers();
    match containers.find(|container| container.get("name").is_some_and(|known| known == name)) {
        Some(container) => open(world, task, container, engine_id),
        None => Ok(None),
    }
}

fn open(world: &World, task: &Task, container: &Body, engine_id: &str) -> Result<Option<String>, String> {
    let log = container.get("logConfiguration").filter(|log| log["logDriver"] == "awslogs");
    let Some(options) = log.and_then(|log| log["options"].as_object()) else { return Ok(None) };
    let option = |name: &str| options.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(group) = option("awslogs-group") else { return Ok(None) };
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let stream = match (option("awslogs-stream"), option("awslogs-stream-prefix")) {
        (_, Some(prefix)) => format!("{prefix}/{name}/{}", task.id),
        (Some(stream), None) => stream.to_owned(),
        (None, None) => engine_id.to_owned(),
    };
    let region = option("awslogs-region").unwrap_or(&task.place.region).to_owned();
    let caller = pull::executor(world, task)?;
    let destination = Destination {
        caller: &caller,
        connection: &pull::agent(),
        place: Place { account: task.place.account, region },
        group: group.to_owned(),
        stream,
        creates_group: option("awslogs-create-group") == Some("true"),
        container: (task.id.clone(), name.to_owned()),
    };
    destination.open(world).map(Some).map_err(|why| match is_on_fargate(task) {
        true => format!(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: {why} : exit status 1"
        ),
        false => format!(
            "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: {why}"
        ),
    })
}
