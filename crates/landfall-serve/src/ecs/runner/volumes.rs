//! A task's volumes. Each is a volume of the engine that goes with the task, or with this server when tasks share
//! it; a path of the instance is one too, since the machine's own files are none of a task's business.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_data_volumes.html>

use landfall_wire::hash::{hex, sha256};
use serde_json::{Value, json};

use super::engine::Engine;
use super::owner;
use crate::store::ecs::{Body, Task, TaskDefinition};
use crate::world::World;

/// A volume of a task definition, as the engine has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Volume {
    /// Its name in the task definition.
    pub(super) name: String,
    /// Its name in the engine.
    pub(super) engine_name: String,
    /// Whether it goes with the task.
    pub(super) is_tasks: bool,
    driver: Option<String>,
    options: Value,
}

/// The volumes of a task.
///
/// # Errors
/// `stoppedReason`, when one of them can't be had here.
pub(super) fn of(world: &World, task: &Task, definition: &TaskDefinition) -> Result<Vec<Volume>, String> {
    let all = definition.body.get("volumes").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_object).map(|volume| one(world, task, volume)).collect()
}

fn one(world: &World, task: &Task, volume: &Body) -> Result<Volume, String> {
    let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
    for (member, service) in [
        ("efsVolumeConfiguration", "EFS"),
        ("fsxWindowsFileServerVolumeConfiguration", "FSx for Windows File Server"),
        ("s3filesVolumeConfiguration", "S3 Files"),
    ] {
        if volume.get(member).is_some_and(|settings| !settings.is_null()) {
            return Err(format!(
                "ResourceInitializationError: failed to set up the volume {name}: there is no {service} here"
            ));
        }
    }
    let docker = volume.get("dockerVolumeConfiguration").filter(|settings| !settings.is_null());
    let path =
        volume.get("host").and_then(|host| host["sourcePath"].as_str()).filter(|path| !path.is_empty());
    let shared = match (docker, path) {
        (Some(docker), _) if docker["scope"] == "shared" => Some(name.to_owned()),
        (_, Some(path)) => Some(path.to_owned()),
        _ => None,
    };
    let engine_name = match &shared {
        // The same for all tasks of this server, and for nobody else.
        Some(shared) => {
            let key = format!("{} {} {shared}", world.base_url(), task.place.account);
            format!("landfall-{}", hex(&sha256(key.as_bytes())).get(..20).unwrap_or_default())
        }
        None => format!("landfall-{}-{name}", task.id),
    };
    Ok(Volume {
        name: name.to_owned(),
        engine_name,
        is_tasks: shared.is_none(),
        driver: docker.and_then(|docker| docker["driver"].as_str()).map(str::to_owned),
        options: docker.map_or_else(|| json!({}), |docker| docker["driverOpts"].clone()),
    })
}

impl Volume {
    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// `stoppedReason`.
    pub(super) async fn make(&self, world: &World, task: &Task, engine: &Engine) -> Result<(), String> {
        let labels: Body = owner::labels(world, &task.id)
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        let options = if self.options.is_object() { self.options.clone() } else { json!({}) };
        let driver = self.driver.as_deref().unwrap_or("local");
        let spec =
            json!({ "Name": self.engine_name, "Driver": driver, "DriverOpts": options, "Labels": labels });
        engine
            .create_volume(&spec)
            .await
            .map_err(|problem| format!("CannotCreateVolumeError: Error response from daemon: {problem}"))
    }
}

/// What a container mounts: `VOLUME:PATH[:ro]`.
pub(super) fn binds(container: &Body, volumes: &[Volume]) -> Vec<Value> {
    let points = container.get("mountPoints").and_then(Value::as_array).into_iter().flatten();
    let bind = |point: &Value| {
        let volume = volumes.iter().find(|volume| point["sourceVolume"] == volume.name.as_str())?;
        let path = point["containerPath"].as_str()?;
        let mode = if point["readOnly"] == true { ":ro" } else { "" };
        Some(Value::from(format!("{}:{path}{mode}", volume.engine_name)))
    };
    points.filter_map(bind).collect()
}
