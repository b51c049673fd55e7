//! What ECS checks of a container by itself, and against the size and network of its task.

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::{Body, integer, is_awsvpc, is_set, list, log_driver, log_option, object, objects, ports, text};
use crate::ecs::{client, names};
use crate::store::ecs::Place;

/// Environment files of a container.
const ENVIRONMENT_FILES_MAX: usize = 10;
/// `restartAttemptPeriod`, in seconds.
const RESTART_SECONDS: std::ops::RangeInclusive<i64> = 60..=1_800;
/// Numbers of a health check: member, least and most.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
const HEALTH_CHECK: [(&str, i64, i64); 4] =
    [("interval", 5, 300), ("timeout", 2, 60), ("retries", 1, 10), ("startPeriod", 0, 300)];

/// Checks a container of a task definition.
pub(super) fn check(body: &Body, container: &Body, place: &Place) -> Result<(), AwsError> {
    let name =
        text(container, "name").ok_or_else(|| client("Container.name should not be null or empty."))?;
    if !names::is_name(name) {
        return Err(client("Container.name contains invalid characters."));
    }
    let image = text(container, "image");
    let image = image.ok_or_else(|| client("Container.image should not be null or empty."))?;
    // The API reference lists what is allowed; a digest's `@` is as well.
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_:./#@".contains(c);
    if !image.chars().all(is_allowed) {
        return Err(client("Container.image contains invalid characters."));
    }
    check_memory(body, container, name)?;
    if is_awsvpc(body) {
        check_awsvpc(container)?;
    }
    ports::check(body, container, name)?;
    check_health(container, name)?;
    check_log_driver(container)?;
    check_environment(container)?;
    check_secrets(body, container, place)
}

fn check_memory(body: &Body, container: &Body, name: &str) -> Result<(), AwsError> {
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
            "Invalid setting for container '{name}'. 'memory' must be greater than or equal to 'memoryReservation'."
        )));
    }
    let of_task = text(body, "memory").and_then(|memory| memory.parse::<i64>().ok());
    if let (Some(memory), Some(of_task)) = (memory, of_task)
        && memory > of_task
    {
        return Err(client(format!(
            "The 'memory' setting for container '{name}' is greater than for the task."
        )));
    }
    Ok(())
}

/// What a container can't have beside a network interface of the task.
fn check_awsvpc(container: &Body) -> Result<(), AwsError> {
    let lists = [
        ("links", "Links are not supported when networkMode=awsvpc."),
        ("extraHosts", "Extra hosts are not supported on container when networkMode=awsvpc."),
        ("dnsServers", "DNS servers are not supported on container when networkMode=awsvpc."),
    ];
    for (member, sentence) in lists {
        if !list(container, member).is_empty() {
            return Err(client(sentence));
        }
    }
    if text(container, "hostname").is_some() {
        return Err(client("hostname is not supported on container when networkMode=awsvpc."));
    }
    if is_set(container, "disableNetworking") {
        return Err(client("Disable Networking is not supported on container when networkMode=awsvpc."));
    }
    Ok(())
}

fn check_health(container: &Body, name: &str) -> Result<(), AwsError> {
    if let Some(check) = object(container, "healthCheck") {
        let words: Vec<_> = list(check, "command").iter().filter_map(serde_json::Value::as_str).collect();
        if matches!(words.as_slice(), [] | ["CMD" | "CMD-SHELL"]) {
            return Err(client(format!("Health check command must not be empty for container '{name}'")));
        }
        for (member, least, most) in HEALTH_CHECK {
            let value = integer(check, member).unwrap_or(least);
            let bound = if value > most {
                format!("less than or equal to the maximum allowed value {most}")
            } else if value < least {
                format!("greater than or equal to the minimum allowed value {least}")
            } else {
                continue;
            };
            return Err(client(format!("Health check {member} must be {bound} for container '{name}'")));
        }
    }
    let period = object(container, "restartPolicy").and_then(|it| integer(it, "restartAttemptPeriod"));
    if period.is_some_and(|seconds| !RESTART_SECONDS.contains(&seconds)) {
        return Err(client(format!(
            "The 'restartAttemptPeriod' setting for container '{name}' must be between {} and {}.",
            RESTART_SECONDS.start(),
            RESTART_SECONDS.end(),
        )));
    }
    Ok(())
}

fn check_log_driver(container: &Body) -> Result<(), AwsError> {
    if log_driver(container) != Some("awslogs") {
        return Ok(());
    }
    let required = ["awslogs-region", "awslogs-group"].into_iter();
    let absent: Vec<&str> = required.filter(|name| log_option(container, name).is_none()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(client(format!("Log driver awslogs requires options: {}", absent.join(", "))))
}

fn check_environment(container: &Body) -> Result<(), AwsError> {
    if list(container, "environmentFiles").len() > ENVIRONMENT_FILES_MAX {
        return Err(client(
            "The maximum number of environment files was exceeded. Specify ten or less and try again.",
        ));
    }
    for file in objects(container, "environmentFiles") {
        let arn = text(file, "value").and_then(|value| Arn::parse(value).ok());
        if arn.is_none_or(|arn| arn.service != "s3") {
            return Err(client("Invalid arn syntax."));
        }
    }
    Ok(())
}

/// A secret is an environment variable too: each name is there once. The texts are ECS's, seen in its answers.
fn check_secret_names(container: &Body) -> Result<(), AwsError> {
    let names = |member: &'static str| objects(container, member).filter_map(|one| text(one, "name"));
    if let Some(name) = names("secrets").find(|name| names("environment").any(|other| other == *name)) {
        return Err(client(format!(
            "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{name}'."
        )));
    }
    let mut seen = Vec::new();
    for name in names("secrets") {
        if seen.contains(&name) {
            return Err(client(format!(
                "Duplicate secret names found: {name}. Each secret name must be unique."
            )));
        }
        seen.push(name);
    }
    Ok(())
}

fn check_secrets(body: &Body, container: &Body, place: &Place) -> Result<(), AwsError> {
    if !list(container, "secrets").is_empty() && text(body, "executionRoleArn").is_none() {
        return Err(client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    check_secret_names(container)?;
    for secret in objects(container, "secrets") {
        let arn = text(secret, "valueFrom").and_then(|value| Arn::parse(value).ok());
        let own = place.account.as_str();
        if let Some(arn) = arn.filter(|arn| arn.service == "ssm" && arn.account != own) {
            return Err(client(format!(
                "The Systems Manager parameter ARN has a different account ID than the current account. The current account ID is {own} and the ARN account ID is {}. Cross-account access for ARNs is not currently supported.",
                arn.account
            )));
        }
    }
    Ok(())
}
