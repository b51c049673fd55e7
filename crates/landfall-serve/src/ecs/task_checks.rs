//! What ECS checks of a task definition when it is registered, and what it adds to it.

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::{client, names};

/// Containers of one task definition.
const CONTAINERS_MAX: usize = 10;
/// Largest task definition, in bytes of JSON.
const DEFINITION_BYTES_MAX: usize = 64 << 10;
/// Longest `stopTimeout` on Fargate, in seconds.
const FARGATE_STOP_SECONDS_MAX: i64 = 120;

/// Fargate's sizes: CPU units, and memory in MiB from, to, and by how much.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size>
const FARGATE: [(i64, i64, i64, i64); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

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

/// Checks a task definition.
///
/// # Errors
/// `ClientException` in ECS's words.
pub(super) fn check(body: &Body) -> Result<(), AwsError> {
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
        return Err(client(format!(
            "Number of containers should be less than or equal to {CONTAINERS_MAX}."
        )));
    }
    let mut seen = Vec::new();
    for container in containers(body) {
        check_container(body, container)?;
        let name = text(container, "name").unwrap_or_default();
        if seen.contains(&name) {
            return Err(client("Container names should be unique."));
        }
        seen.push(name);
    }
    if !containers(body).any(|container| container.get("essential") != Some(&Value::Bool(false))) {
        return Err(client("At least one container should be essential."));
    }
    check_dependencies(body, &seen)?;
    check_volumes(body)?;
    if list(body, "requiresCompatibilities").iter().any(|kind| kind == "FARGATE") {
        check_fargate(body)?;
    }
    Ok(())
}

fn check_container(body: &Body, container: &Body) -> Result<(), AwsError> {
    let name =
        text(container, "name").ok_or_else(|| client("Container name should not be null or empty."))?;
    if !names::is_name(name) {
        return Err(client("Container name contains invalid characters."));
    }
    if text(container, "image").is_none() {
        return Err(client("Container image should not be null or empty."));
    }
    // The API reference lists what is allowed; a digest's `@` is as well.
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_:./#@".contains(c);
    if !text(container, "image").is_some_and(|image| image.chars().all(is_allowed)) {
        return Err(client("Container.image contains invalid characters."));
    }
    let (memory, reservation) = (integer(container, "memory"), integer(container, "memoryReservation"));
    if memory.is_none() && reservation.is_none() && text(body, "memory").is_none() {
        return Err(client(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
        )));
    }
    if memory.is_some_and(|memory| memory < 6) {
        return Err(client(format!(
            "Invalid setting for container '{name}'. 'memory' must be at least 6 MiB."
        )));
    }
    if let (Some(memory), Some(reservation)) = (memory, reservation)
        && reservation > memory
    {
        return Err(client(format!(
            "Invalid setting for container '{name}'. 'memoryReservation' must be less than or equal to 'memory'."
        )));
    }
    check_ports(body, container)?;
    check_log_driver(container)
}

fn integer(body: &Body, name: &str) -> Option<i64> {
    body.get(name).and_then(Value::as_i64)
}

fn check_ports(body: &Body, container: &Body) -> Result<(), AwsError> {
    let shares = matches!(text(body, "networkMode"), Some("awsvpc" | "host"));
    for mapping in list(container, "portMappings").iter().filter_map(Value::as_object) {
        let (inside, outside) = (integer(mapping, "containerPort"), integer(mapping, "hostPort"));
        if [inside, outside].into_iter().flatten().any(|port| !(0..=65_535).contains(&port)) {
            return Err(client("Invalid port: ports must be between 0 and 65535."));
        }
        if shares && inside.is_some() && outside.is_some() && inside != outside {
            let mode = text(body, "networkMode").unwrap_or_default();
            return Err(client(format!(
                "When networkMode={mode}, the host ports and container ports in port mappings must match."
            )));
        }
    }
    Ok(())
}

fn check_log_driver(container: &Body) -> Result<(), AwsError> {
    let Some(Value::Object(log)) = container.get("logConfiguration") else { return Ok(()) };
    if text(log, "logDriver") != Some("awslogs") {
        return Ok(());
    }
    let options = log.get("options").and_then(Value::as_object);
    let has = |name: &str| options.is_some_and(|options| text(options, name).is_some());
    let absent: Vec<&str> =
        ["awslogs-region", "awslogs-group"].into_iter().filter(|name| !has(name)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(client(format!("Log driver awslogs requires options: {}", absent.join(", "))))
}

fn check_dependencies(body: &Body, names: &[&str]) -> Result<(), AwsError> {
    for container in containers(body) {
        let own = text(container, "name").unwrap_or_default();
        for dependency in list(container, "dependsOn").iter().filter_map(Value::as_object) {
            let on = text(dependency, "containerName").unwrap_or_default();
            if on == own || !names.contains(&on) {
                return Err(client(format!(
                    "Invalid 'dependsOn' setting for container '{own}'. Container '{on}' must be another container of the task definition."
                )));
            }
            let condition = text(dependency, "condition").unwrap_or_default();
            if !matches!(condition, "START" | "COMPLETE" | "SUCCESS" | "HEALTHY") {
                return Err(client(format!("Invalid 'dependsOn' condition: {condition}")));
            }
            // Who waits for an essential container's end waits for the end of the task.
            let other = containers(body).find(|other| text(other, "name") == Some(on));
            let is_essential = other.is_some_and(|other| other.get("essential") != Some(&Value::Bool(false)));
            if is_essential && matches!(condition, "COMPLETE" | "SUCCESS") {
                return Err(client(format!(
                    "Invalid 'dependsOn' setting for container '{own}'. The condition {condition} cannot be set on the essential container '{on}'."
                )));
            }
        }
    }
    if has_cycle(body, names) {
        return Err(client("There is a cycle in the container dependencies."));
    }
    Ok(())
}

/// Containers whose dependencies are met are taken away until none is left, or no more can be.
fn has_cycle(body: &Body, names: &[&str]) -> bool {
    let mut left: Vec<&Body> = containers(body).collect();
    let mut met: Vec<&str> = Vec::new();
    for _ in names {
        left.retain(|container| {
            let waits = list(container, "dependsOn")
                .iter()
                .filter_map(Value::as_object)
                .any(|dependency| text(dependency, "containerName").is_some_and(|name| !met.contains(&name)));
            if !waits {
                met.extend(text(container, "name"));
            }
            waits
        });
    }
    !left.is_empty()
}

fn check_volumes(body: &Body) -> Result<(), AwsError> {
    let known: Vec<&str> = list(body, "volumes")
        .iter()
        .filter_map(Value::as_object)
        .filter_map(|volume| text(volume, "name"))
        .collect();
    for container in containers(body) {
        for mount in list(container, "mountPoints").iter().filter_map(Value::as_object) {
            let source = text(mount, "sourceVolume").unwrap_or_default();
            if !known.contains(&source) {
                return Err(client(format!("Unknown volume '{source}'.")));
            }
        }
    }
    Ok(())
}

fn check_fargate(body: &Body) -> Result<(), AwsError> {
    if text(body, "networkMode") != Some("awsvpc") {
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    for member in ["cpu", "memory"] {
        if text(body, member).is_none() {
            return Err(client(format!("Fargate requires that '{member}' be defined at the task level.")));
        }
    }
    let (cpu, memory) = (text(body, "cpu").unwrap_or_default(), text(body, "memory").unwrap_or_default());
    if !is_fargate_size(cpu, memory) {
        return Err(client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
        )));
    }
    let has_execution_role = text(body, "executionRoleArn").is_some();
    for container in containers(body) {
        if !has_execution_role && is_awslogs(container) {
            return Err(client(
                "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
            ));
        }
        if !has_execution_role && text(container, "image").is_some_and(is_ecr_image) {
            return Err(client(
                "Fargate requires task definition to have execution role ARN to support ECR images.",
            ));
        }
        if integer(container, "stopTimeout").is_some_and(|seconds| seconds > FARGATE_STOP_SECONDS_MAX) {
            return Err(client(
                "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
            ));
        }
        if container.get("privileged") == Some(&Value::Bool(true)) {
            return Err(client("Fargate doesn't support 'privileged' containers."));
        }
    }
    Ok(())
}

fn is_awslogs(container: &Body) -> bool {
    let log = container.get("logConfiguration").and_then(Value::as_object);
    log.is_some_and(|log| text(log, "logDriver") == Some("awslogs"))
}

fn is_fargate_size(cpu: &str, memory: &str) -> bool {
    let (Ok(cpu), Ok(memory)) = (cpu.parse::<i64>(), memory.parse::<i64>()) else { return false };
    let sizes = FARGATE.iter().find(|(known, ..)| *known == cpu);
    sizes.is_some_and(|(_, least, most, by)| {
        // The smallest size doubles: 512, 1024, 2048.
        let fits = (memory - least) % by == 0 && !(cpu == 256 && memory == 1536);
        (*least..=*most).contains(&memory) && fits
    })
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
    if text(body, "networkMode") == Some("awsvpc") && is_fargate_size(cpu, memory) {
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
