//! What a task definition has to be to run on Fargate, and what Fargate doesn't have.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html>

use landfall_wire::error::AwsError;
use serde_json::Value;

use super::{
    Body, containers, integer, is_awslogs, is_awsvpc, is_ecr_image, is_set, list, log_driver, log_option,
    object, objects, text,
};
use crate::ecs::client;

/// Longest `stopTimeout` on Fargate, in seconds.
const STOP_SECONDS_MAX: i64 = 120;
/// The log drivers that Fargate has.
const LOG_DRIVERS: [&str; 3] = ["awslogs", "splunk", "awsfirelens"];
/// The only capability that a container can be given on Fargate.
const CAPABILITY: &str = "SYS_PTRACE";
/// CPU units that Windows needs.
const WINDOWS_CPU_MIN: i64 = 1_024;

/// Fargate's sizes: CPU units, and memory in MiB from, to, and by how much.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size>
const SIZES: [(i64, i64, i64, i64); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Checks a task definition that is to run on Fargate.
pub(super) fn check(body: &Body) -> Result<(), AwsError> {
    if !is_awsvpc(body) {
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    for member in ["cpu", "memory"] {
        if text(body, member).is_none() {
            return Err(client(format!("Fargate requires that '{member}' be defined at the task level.")));
        }
    }
    let (cpu, memory) = (text(body, "cpu").unwrap_or_default(), text(body, "memory").unwrap_or_default());
    let is_windows = object(body, "runtimePlatform")
        .and_then(|platform| text(platform, "operatingSystemFamily"))
        .is_some_and(|family| family.starts_with("WINDOWS"));
    let is_small = cpu.parse::<i64>().is_ok_and(|cpu| cpu < WINDOWS_CPU_MIN);
    if !is_size(cpu, memory) || is_windows && is_small {
        return Err(client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
        )));
    }
    check_task(body)?;
    containers(body).try_for_each(|container| {
        check_container(body, container)?;
        check_linux(container)
    })
}

/// Whether Fargate has tasks of this size.
pub(super) fn is_size(cpu: &str, memory: &str) -> bool {
    let (Ok(cpu), Ok(memory)) = (cpu.parse::<i64>(), memory.parse::<i64>()) else { return false };
    let sizes = SIZES.iter().find(|(known, ..)| *known == cpu);
    sizes.is_some_and(|(_, least, most, by)| {
        // The smallest size doubles: 512, 1024, 2048.
        let fits = (memory - least) % by == 0 && !(cpu == 256 && memory == 1536);
        (*least..=*most).contains(&memory) && fits
    })
}

fn unsupported(what: &str) -> AwsError {
    client(format!("Fargate compatible task definitions do not support {what}"))
}

/// What of the instance a task would reach.
fn check_task(body: &Body) -> Result<(), AwsError> {
    if text(body, "ipcMode").is_some() {
        return Err(unsupported("ipcMode"));
    }
    if text(body, "pidMode") == Some("host") {
        return Err(client(
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.",
        ));
    }
    if !list(body, "placementConstraints").is_empty() {
        return Err(unsupported("constraints"));
    }
    for volume in objects(body, "volumes") {
        if object(volume, "host").is_some_and(|host| text(host, "sourcePath").is_some()) {
            return Err(unsupported("sourcePath"));
        }
        if object(volume, "dockerVolumeConfiguration").is_some() {
            return Err(unsupported("dockerVolumeConfiguration"));
        }
    }
    Ok(())
}

fn check_container(body: &Body, container: &Body) -> Result<(), AwsError> {
    let has_execution_role = text(body, "executionRoleArn").is_some();
    if let Some(driver) = log_driver(container).filter(|driver| !LOG_DRIVERS.contains(driver)) {
        let drivers = LOG_DRIVERS.join(",");
        return Err(client(format!("{driver} is not a valid log driver. Must be one of [{drivers}]")));
    }
    if !has_execution_role && is_awslogs(container) {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    if is_awslogs(container) && log_option(container, "awslogs-stream-prefix").is_none() {
        return Err(client(
            "Fargate requires log configuration options to include awslogs-stream-prefix to support log driver awslogs.",
        ));
    }
    if !has_execution_role && text(container, "image").is_some_and(is_ecr_image) {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ));
    }
    if integer(container, "stopTimeout").is_some_and(|seconds| seconds > STOP_SECONDS_MAX) {
        return Err(client(
            "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
        ));
    }
    if is_set(container, "privileged") {
        return Err(client(
            "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level.",
        ));
    }
    if !list(container, "dockerSecurityOptions").is_empty() {
        return Err(unsupported("dockerSecurityOptions"));
    }
    if objects(container, "resourceRequirements").any(|required| text(required, "type") == Some("GPU")) {
        return Err(client("Tasks using the Fargate launch type do not support GPU resource requirements."));
    }
    Ok(())
}

fn check_linux(container: &Body) -> Result<(), AwsError> {
    let Some(linux) = object(container, "linuxParameters") else { return Ok(()) };
    let added = object(linux, "capabilities").map_or(&[][..], |given| list(given, "add"));
    if let Some(other) = added.iter().filter_map(Value::as_str).find(|name| *name != CAPABILITY) {
        return Err(client(format!("{other} is not allowed on Fargate.")));
    }
    if !list(linux, "devices").is_empty() {
        return Err(unsupported("devices"));
    }
    for member in ["sharedMemorySize", "maxSwap", "swappiness"] {
        if integer(linux, member).is_some() {
            return Err(unsupported(member));
        }
    }
    Ok(())
}
