//! What ECS checks of a task definition when it is registered, and what it adds to it. The texts are ECS's, seen in
//! its answers; `cases/task-definitions.toml` has one of each.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html>

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::client;
use crate::store::ecs::Place;

mod container;
mod fargate;
mod ports;
mod words;

use fargate::is_size;

/// Containers of one task definition.
const CONTAINERS_MAX: usize = 10;
/// Largest task definition, in bytes of JSON.
const DEFINITION_BYTES_MAX: usize = 64 << 10;
/// Smallest and largest `ephemeralStorage`, in GiB.
const STORAGE_GIB_MIN: i64 = 21;
const STORAGE_GIB_MAX: i64 = 200;

type Body = Map<String, Value>;

fn text<'b>(body: &'b Body, name: &str) -> Option<&'b str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn list<'b>(body: &'b Body, name: &str) -> &'b [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn containers(body: &Body) -> impl Iterator<Item = &Body> {
    list(body, "containerDefinitions").iter().filter_map(Value::as_object)
}

/// `1 vCPU` and `1 GB` in the numbers that ECS keeps.
pub(super) fn plain_size(member: &str, value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    let unit = if member == "cpu" { "vcpu" } else { "gb" };
    let number = lower.strip_suffix(unit).map(str::trim).and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(number) if number.is_finite() && (0.0..1e6).contains(&number) => {
            format!("{:.0}", number * 1024.0)
        }
        _ => value.to_owned(),
    }
}

fn integer(body: &Body, name: &str) -> Option<i64> {
    body.get(name).and_then(Value::as_i64)
}

fn objects<'b>(body: &'b Body, name: &str) -> impl Iterator<Item = &'b Body> {
    list(body, name).iter().filter_map(Value::as_object)
}

fn object<'b>(body: &'b Body, name: &str) -> Option<&'b Body> {
    body.get(name).and_then(Value::as_object)
}

fn is_set(body: &Body, name: &str) -> bool {
    body.get(name) == Some(&Value::Bool(true))
}

fn is_awsvpc(body: &Body) -> bool {
    text(body, "networkMode") == Some("awsvpc")
}

fn requires(body: &Body, kind: &str) -> bool {
    list(body, "requiresCompatibilities").iter().any(|required| required == kind)
}

/// Checks a task definition that is registered in a place.
///
/// # Errors
/// `ClientException` in ECS's words.
pub(super) fn check(body: &Body, place: &Place) -> Result<(), AwsError> {
    let size = Value::Object(body.clone()).to_string().len();
    if size > DEFINITION_BYTES_MAX {
        return Err(client(format!(
            "Task definition size {size} exceeds the limit of {DEFINITION_BYTES_MAX} bytes."
        )));
    }
    let all = list(body, "containerDefinitions");
    if all.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    if all.len() > CONTAINERS_MAX {
        return Err(client("Too many containers."));
    }
    let mut seen = Vec::new();
    for container in containers(body) {
        container::check(body, container, place)?;
        let name = text(container, "name").unwrap_or_default();
        if seen.contains(&name) {
            return Err(client("Container names must be unique within a Task Definition."));
        }
        seen.push(name);
    }
    if !containers(body).any(is_essential) {
        return Err(client("Task definition doesn't have any essential container."));
    }
    words::check(body)?;
    ports::check_of_task(body)?;
    check_dependencies(body, &seen)?;
    check_volumes(body, &seen)?;
    check_helpers(body, &seen)?;
    check_task_size(body)?;
    if requires(body, "FARGATE") { fargate::check(body) } else { Ok(()) }
}

fn is_essential(container: &Body) -> bool {
    container.get("essential") != Some(&Value::Bool(false))
}

/// The task's own size, and that its containers fit in.
fn check_task_size(body: &Body) -> Result<(), AwsError> {
    for member in ["cpu", "memory"] {
        if text(body, member).is_some_and(|value| !value.parse::<i64>().is_ok_and(|number| number > 0)) {
            return Err(client(format!("Invalid '{member}' setting for task.")));
        }
    }
    let cpu = text(body, "cpu").and_then(|cpu| cpu.parse::<i64>().ok());
    let sum = containers(body).filter_map(|container| integer(container, "cpu")).fold(0, i64::saturating_add);
    if cpu.is_some_and(|cpu| sum > cpu) {
        return Err(client(
            "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
        ));
    }
    let Some(storage) = object(body, "ephemeralStorage") else { return Ok(()) };
    match integer(storage, "sizeInGiB").unwrap_or_default() {
        ..STORAGE_GIB_MIN => {
            Err(client(format!("EphemeralStorage size should be at least {STORAGE_GIB_MIN}")))
        }
        size if size > STORAGE_GIB_MAX => {
            Err(client(format!("EphemeralStorage size should be at most {STORAGE_GIB_MAX}")))
        }
        _ if requires(body, "EC2") => {
            Err(client("Tasks using the EC2 launch type do not support EphemeralStorage."))
        }
        _ => Ok(()),
    }
}

fn check_dependencies(body: &Body, names: &[&str]) -> Result<(), AwsError> {
    for container in containers(body) {
        for dependency in objects(container, "dependsOn") {
            let on = text(dependency, "containerName").unwrap_or_default();
            let Some(other) = containers(body).find(|other| text(other, "name") == Some(on)) else {
                return Err(client(format!("Cannot depend on container + '{on}' because it does not exist")));
            };
            let condition = text(dependency, "condition").unwrap_or_default();
            match condition {
                // Who waits for an essential container's end waits for the end of the task.
                "COMPLETE" | "SUCCESS" if is_essential(other) => {
                    return Err(client(
                        "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                    ));
                }
                "HEALTHY" if object(other, "healthCheck").is_none() => {
                    return Err(client(
                        "A dependency container with HEALTHY condition must have health check configured",
                    ));
                }
                "START" | "COMPLETE" | "SUCCESS" | "HEALTHY" => {}
                _ => return Err(client(format!("Invalid 'dependsOn' condition: {condition}"))),
            }
        }
    }
    let depends = |container| objects(container, "dependsOn").filter_map(|one| text(one, "containerName"));
    if has_cycle(body, names, |container| depends(container).collect()) {
        return Err(client("There is a cycle in the container dependencies."));
    }
    let links = |container| list(container, "links").iter().filter_map(Value::as_str);
    let linked = |link: &'_ str| -> usize { link.find(':').unwrap_or(link.len()) };
    if has_cycle(body, names, |container| links(container).map(|link| &link[..linked(link)]).collect()) {
        return Err(client("Container links should not have a cycle"));
    }
    Ok(())
}

/// Containers that wait for nothing are taken away until none is left, or no more can be. Who isn't in the task
/// definition is not waited for.
fn has_cycle<'b>(body: &'b Body, names: &[&str], waits_for: impl Fn(&'b Body) -> Vec<&'b str>) -> bool {
    let mut left: Vec<&Body> = containers(body).collect();
    let mut met: Vec<&str> = Vec::new();
    for _ in names {
        left.retain(|container| {
            let waits = waits_for(container).iter().any(|name| names.contains(name) && !met.contains(name));
            if !waits {
                met.extend(text(container, "name"));
            }
            waits
        });
    }
    !left.is_empty()
}

fn check_volumes(body: &Body, names: &[&str]) -> Result<(), AwsError> {
    let known: Vec<&str> = objects(body, "volumes").filter_map(|volume| text(volume, "name")).collect();
    let mut mounted = Vec::new();
    for container in containers(body) {
        for mount in objects(container, "mountPoints") {
            let source = text(mount, "sourceVolume").unwrap_or_default();
            if !known.contains(&source) {
                return Err(client(format!("Unknown volume '{source}'.")));
            }
            mounted.push(source);
        }
        for from in objects(container, "volumesFrom") {
            let source = text(from, "sourceContainer").unwrap_or_default();
            if !names.contains(&source) {
                return Err(client(format!("Invalid 'volumesFrom' setting. Unknown container: '{source}'.")));
            }
        }
    }
    let at_launch = objects(body, "volumes").filter(|volume| is_set(volume, "configuredAtLaunch"));
    let loose: Vec<&str> =
        at_launch.filter_map(|volume| text(volume, "name")).filter(|name| !mounted.contains(name)).collect();
    if loose.is_empty() {
        return Ok(());
    }
    Err(client(format!("Volumes [{}] are not referenced by any of the containers", loose.join(", "))))
}

/// The containers that others need: of a proxy, of FireLens.
fn check_helpers(body: &Body, names: &[&str]) -> Result<(), AwsError> {
    if let Some(proxy) = object(body, "proxyConfiguration") {
        if !is_awsvpc(body) {
            return Err(client("APPMESH proxy configuration is only supported in networkMode=awsvpc"));
        }
        let name = text(proxy, "containerName").unwrap_or_default();
        if !names.contains(&name) {
            return Err(client(format!("Proxy container [{name}] does not exist.")));
        }
    }
    let routed = containers(body).any(|container| log_driver(container) == Some("awsfirelens"));
    let router = containers(body).any(|container| object(container, "firelensConfiguration").is_some());
    if routed && !router {
        return Err(client(
            "When awsfirelens log driver is specified in log configuration, a firelens configuration object must be configured in one of the containers.",
        ));
    }
    Ok(())
}

fn log_driver(container: &Body) -> Option<&str> {
    text(object(container, "logConfiguration")?, "logDriver")
}

fn log_option<'b>(container: &'b Body, name: &str) -> Option<&'b str> {
    text(object(object(container, "logConfiguration")?, "options")?, name)
}

fn is_awslogs(container: &Body) -> bool {
    log_driver(container) == Some("awslogs")
}

/// `123456789012.dkr.ecr.REGION.amazonaws.com/…`.
pub(super) fn is_ecr_image(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr") && host.contains(".amazonaws.com")
}

/// `compatibilities`: where the task definition could run.
pub(super) fn compatibilities(body: &Body) -> Value {
    let mut kinds = Vec::new();
    if text(body, "networkMode") != Some("awsvpc") {
        kinds.push("EXTERNAL");
    }
    kinds.push("EC2");
    let (cpu, memory) = (text(body, "cpu").unwrap_or_default(), text(body, "memory").unwrap_or_default());
    if text(body, "networkMode") == Some("awsvpc") && is_size(cpu, memory) {
        kinds.push("FARGATE");
    }
    json!(kinds)
}

/// `requiresAttributes`: what an instance must be able to do.
pub(super) fn required_attributes(body: &Body) -> Value {
    let mut names: Vec<&str> = Vec::new();
    let mut add = |name: &'static str| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    for container in containers(body) {
        if is_awslogs(container) {
            add("com.amazonaws.ecs.capability.logging-driver.awslogs");
            add("com.amazonaws.ecs.capability.docker-remote-api.1.19");
        }
        if text(container, "image").is_some_and(is_ecr_image) {
            add("com.amazonaws.ecs.capability.ecr-auth");
        }
        if container.contains_key("healthCheck") {
            add("ecs.capability.container-health-check");
        }
        if !list(container, "secrets").is_empty() {
            add("ecs.capability.secrets.ssm.environment-variables");
        }
        if !list(container, "dependsOn").is_empty() {
            add("ecs.capability.container-ordering");
        }
    }
    if text(body, "executionRoleArn").is_some() {
        add("ecs.capability.execution-role-awslogs");
        add("ecs.capability.execution-role-ecr-pull");
    }
    if text(body, "taskRoleArn").is_some() {
        add("com.amazonaws.ecs.capability.task-iam-role");
    }
    if text(body, "networkMode") == Some("awsvpc") {
        add("ecs.capability.task-eni");
    }
    add("com.amazonaws.ecs.capability.docker-remote-api.1.18");
    names.iter().map(|name| json!({ "name": name })).collect()
}
