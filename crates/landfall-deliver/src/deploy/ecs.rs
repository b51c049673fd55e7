//! The calls to ECS and to CloudWatch Logs, each as one function.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::definition::{Definition, Object};
use super::story::Story;
use super::view::{Service, Task};
use crate::aws::CallError;
use crate::aws_json::{Caller, ECS, LOGS};

/// Services of one `DescribeServices`.
pub const SERVICES_MAX: usize = 10;
/// Deployments of one `DescribeServiceDeployments`.
const STORIES_MAX: usize = 20;
/// Tasks of one `DescribeTasks`.
const TASKS_MAX: usize = 100;
/// Pages of a list that are read, of a hundred items each: more tasks of one service don't stop within the hour that ECS
/// tells of.
const PAGES_MAX: usize = 50;

/// Services by name or ARN, in any order, and those that aren't there.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn describe_services(
    caller: &Caller,
    cluster: &str,
    names: &[String],
) -> Result<(Vec<Service>, Vec<String>), CallError> {
    let (mut services, mut missing) = (Vec::new(), Vec::new());
    for some in names.chunks(SERVICES_MAX) {
        let input = json!({ "cluster": cluster, "services": some });
        let answer = caller.call(ECS, "DescribeServices", &input).await?;
        for service in items(&answer, "services") {
            services.push(Service::read(service).map_err(|what| CallError::Unreachable { what })?);
        }
        missing.extend(
            items(&answer, "failures")
                .iter()
                .filter_map(|failure| Some(failure.get("arn")?.as_str()?.to_owned())),
        );
    }
    Ok((services, missing))
}

/// A task definition with its tags, and its ARN: by ARN, by `family:revision`, or the latest of a family.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn describe_definition(caller: &Caller, name: &str) -> Result<(String, Definition), CallError> {
    let input = json!({ "taskDefinition": name, "include": ["TAGS"] });
    let answer = caller.call(ECS, "DescribeTaskDefinition", &input).await?;
    let definition = Definition::from_described(&answer).map_err(|what| CallError::Unreachable { what })?;
    Ok((arn(&answer)?, definition))
}

/// Registers a task definition; gives its ARN.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn register(caller: &Caller, definition: &Definition) -> Result<String, CallError> {
    let input = Value::Object(definition.body().clone());
    arn(&caller.call(ECS, "RegisterTaskDefinition", &input).await?)
}

fn arn(answer: &Value) -> Result<String, CallError> {
    let arn = answer.get("taskDefinition").and_then(|told| told.get("taskDefinitionArn"));
    arn.and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| CallError::Unreachable { what: "ECS's answer names no task definition".to_owned() })
}

/// The stories of deployments, as far as they are told.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn describe_stories(caller: &Caller, arns: &[String]) -> Result<Vec<Story>, CallError> {
    let mut stories = Vec::new();
    for some in arns.chunks(STORIES_MAX) {
        let input = json!({ "serviceDeploymentArns": some });
        let answer = caller.call(ECS, "DescribeServiceDeployments", &input).await?;
        stories.extend(items(&answer, "serviceDeployments").iter().filter_map(Story::read));
    }
    Ok(stories)
}

/// Updates a service; gives what it then is.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn update_service(caller: &Caller, input: Object) -> Result<Service, CallError> {
    let answer = caller.call(ECS, "UpdateService", &Value::Object(input)).await?;
    Service::read(answer.get("service").unwrap_or(&Value::Null))
        .map_err(|what| CallError::Unreachable { what })
}

/// Tasks that a service has started and that have stopped, but those that are known. ECS tells them for about an hour.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn stopped_tasks(
    caller: &Caller,
    cluster: &str,
    service: &str,
    known: &BTreeSet<String>,
) -> Result<Vec<Task>, CallError> {
    let input = json!({ "cluster": cluster, "serviceName": service, "desiredStatus": "STOPPED" });
    let listed = pages(caller, "ListTasks", input, "taskArns").await?;
    let arns = listed.iter().filter_map(Value::as_str).filter(|arn| !known.contains(*arn));
    let arns: Vec<String> = arns.map(str::to_owned).collect();
    describe_tasks(caller, cluster, &arns).await
}

/// The items of a list that comes in pages.
///
/// # Errors
/// ECS's refusal, or no answer.
pub(super) async fn pages(
    caller: &Caller,
    operation: &str,
    mut input: Value,
    name: &str,
) -> Result<Vec<Value>, CallError> {
    let mut all = Vec::new();
    for _ in 0..PAGES_MAX {
        let answer = caller.call(ECS, operation, &input).await?;
        all.extend_from_slice(items(&answer, name));
        match answer.get("nextToken").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => input["nextToken"] = Value::from(token),
            None => break,
        }
    }
    Ok(all)
}

/// Tasks by their ARNs, as far as they are still told.
///
/// # Errors
/// ECS's refusal, or no answer.
pub async fn describe_tasks(caller: &Caller, cluster: &str, arns: &[String]) -> Result<Vec<Task>, CallError> {
    let mut tasks = Vec::new();
    for some in arns.chunks(TASKS_MAX) {
        let input = json!({ "cluster": cluster, "tasks": some });
        let answer = caller.call(ECS, "DescribeTasks", &input).await?;
        tasks.extend(items(&answer, "tasks").iter().filter_map(Task::read));
    }
    Ok(tasks)
}

/// A page of a log stream: its lines, and where the next one begins.
///
/// # Errors
/// CloudWatch Logs' refusal, or no answer.
pub async fn log_events(
    caller: &Caller,
    group: &str,
    stream: &str,
    from: Option<&str>,
    limit: Option<usize>,
) -> Result<(Vec<String>, Option<String>), CallError> {
    let mut input = json!({
        "logGroupName": group,
        "logStreamName": stream,
        // The last ones, or forward from the beginning.
        "startFromHead": limit.is_none(),
    });
    if let Some(limit) = limit {
        input["limit"] = Value::from(limit);
    }
    if let Some(token) = from {
        input["nextToken"] = Value::from(token);
    }
    let answer = caller.call(LOGS, "GetLogEvents", &input).await?;
    let lines = items(&answer, "events")
        .iter()
        .filter_map(|event| Some(event.get("message")?.as_str()?.trim_end_matches('\n').to_owned()));
    let next = answer.get("nextForwardToken").and_then(Value::as_str).map(str::to_owned);
    Ok((lines.collect(), next))
}

pub(super) fn items<'v>(answer: &'v Value, name: &str) -> &'v [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
