//! Task scale-in protection: tasks of a service that deployments and a smaller desired count leave alone for a while.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::rollout::Event;
use super::tasks::{Named, named, task_keys};
use super::{Called, Fault, active_cluster, controller, failure, invalid, seconds};
use crate::authz::ecs_calls as calls;
use crate::store::Writing;
use crate::store::ecs::Service;

/// Tasks that one call protects.
const PROTECTED_MAX: usize = 10;
/// Tasks that one call asks about.
const ASKED_MAX: usize = 100;
/// How long a protection lasts that says nothing, in minutes.
const MINUTES_DEFAULT: i64 = 120;
/// The longest protection, in minutes.
const MINUTES_MAX: i64 = 2_880;
/// A minute in milliseconds.
const MINUTE_MS: i64 = 60_000;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "GetTaskProtection" => get(call),
        "UpdateTaskProtection" => update(call),
        _ => return None,
    })
}

fn asked<'a>(call: &Called<'a>, most: usize) -> Result<Vec<&'a str>, AwsError> {
    let asked = call.input.texts("tasks")?;
    match asked.len() {
        0 => Err(invalid("Tasks cannot be empty.")),
        count if count > most => Err(invalid(format!("Tasks cannot have more than {most} elements."))),
        _ => Ok(asked),
    }
}

/// Why there is nothing to say of a task.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
fn failed(arn: &str, reason: &str) -> Value {
    let detail = match reason {
        "TASK_NOT_VALID" => "The specified task isn't part of an Amazon ECS service.",
        "DEPLOYMENT_BLOCKED" => {
            "Task protection can't be set because the service has more protected tasks than its desired count."
        }
        _ => return failure(arn, reason),
    };
    json!({ "arn": arn, "reason": reason, "detail": detail })
}

fn protected(arn: &str, until_ms: Option<i64>) -> Value {
    let mut told = json!({ "taskArn": arn, "protectionEnabled": until_ms.is_some() });
    if let Some(until) = until_ms {
        told["expirationDate"] = seconds(until);
    }
    told
}

/// The key of a task's service, or why it has none.
fn service_of(named: &Named) -> Result<String, &'static str> {
    let task = named.known.as_ref().ok_or("MISSING")?;
    let (service, _) = task.service.as_ref().ok_or("TASK_NOT_VALID")?;
    Ok(named.place.key(&[&named.cluster, service]))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    let now = call.now_ms();
    for text in asked(call, ASKED_MAX)? {
        let named = named(call, text)?;
        call.authorize::<calls::GetTaskProtection>(named.arn.clone(), task_keys(&named))?;
        active_cluster(call.world, &named.place, &named.cluster)?;
        let service =
            service_of(&named).and_then(|key| call.world.store.get::<Service>(&key).ok_or("MISSING"));
        match service {
            Ok(service) => found.push(protected(&named.arn, service.rollout.protected_until(&named.id, now))),
            Err(reason) => failures.push(failed(&named.arn, reason)),
        }
    }
    Ok(json!({ "protectedTasks": found, "failures": failures }))
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    let enabled = call.input.boolean("protectionEnabled")?;
    let minutes = call.input.integer("expiresInMinutes")?;
    for text in asked(call, PROTECTED_MAX)? {
        let named = named(call, text)?;
        let permit = call.authorize::<calls::UpdateTaskProtection>(named.arn.clone(), task_keys(&named))?;
        let enabled = enabled.ok_or_else(|| invalid("ProtectionEnabled cannot be empty."))?;
        if minutes.is_some_and(|minutes| !(1..=MINUTES_MAX).contains(&minutes)) {
            return Err(invalid(format!("expiresInMinutes must be between 1 and {MINUTES_MAX}.")));
        }
        active_cluster(call.world, &named.place, &named.cluster)?;
        let wait = call.world.clock.span_ms(minutes.unwrap_or(MINUTES_DEFAULT) * MINUTE_MS);
        let until = enabled.then(|| call.now_ms().saturating_add(wait));
        match call.write(&permit, |writing| protect(call, writing, &named, until))? {
            Ok(()) => found.push(protected(&named.arn, until)),
            Err(reason) => failures.push(failed(&named.arn, reason)),
        }
    }
    Ok(json!({ "protectedTasks": found, "failures": failures }))
}

/// Protects one task until a moment, or no longer.
fn protect(
    call: &Called<'_>,
    writing: &mut Writing<'_>,
    named: &Named,
    until: Option<i64>,
) -> Result<Result<(), &'static str>, Fault> {
    let service = service_of(named).and_then(|key| writing.get::<Service>(&key).ok_or("MISSING"));
    let mut service = match service {
        Ok(service) => (*service).clone(),
        Err(reason) => return Ok(Err(reason)),
    };
    let now = call.now_ms();
    let is_there = service.rollout.tasks.iter().any(|task| task.id == named.id);
    if !is_there {
        return Ok(Err("TASK_NOT_VALID"));
    }
    if until.is_some() && service.rollout.protected_beside(&named.id, now) >= service.rollout.desired {
        return Ok(Err("DEPLOYMENT_BLOCKED"));
    }
    controller::feed(call.world, writing, &mut service, Event::Protect(named.id.clone(), until));
    Ok(Ok(()))
}
