//! What happened, as JSON: one object on a line, told apart by `event`.

use landfall_deliver::Failure;
use landfall_deliver::deploy::cause::Cause;
use landfall_deliver::deploy::codedeploy;
use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::logs::Tail;
use landfall_deliver::deploy::plan::{Part, Plan};
use landfall_deliver::deploy::roll::Begun;
use landfall_deliver::deploy::run_task;
use landfall_deliver::deploy::verdict::Verdict;
use landfall_deliver::deploy::watch::{End, Outcome, Told};
use serde_json::{Value, json};

/// The plan.
pub fn plan(plan: &Plan) -> Value {
    let part = |part: &Part| {
        let changes: Vec<Value> =
            part.rows.iter().map(|row| json!({ "path": row.path, "old": row.old, "new": row.new })).collect();
        json!({
            "service": part.service.as_ref().map(|service| service.service_name.as_str()),
            "family": part.wanted.family(),
            "runs": part.old,
            "existing": part.existing,
            "changes": changes,
            "update": part.update,
        })
    };
    json!({
        "event": "plan",
        "cluster": plan.cluster,
        "parts": plan.parts.iter().map(part).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

/// A deployment that has begun.
pub fn begun(begun: &Begun) -> Value {
    json!({
        "event": "begun",
        "service": begun.service,
        "deployment": begun.wanted.id,
        "taskDefinitionArn": begun.definition_arn,
        "updated": begun.is_updated,
        "newDeployment": begun.is_new,
        "desiredCount": begun.desired,
    })
}

/// Something that happened.
pub fn told(told: &Told) -> Value {
    match told {
        Told::Counts { service, running, pending, desired, failed, older } => json!({
            "event": "counts", "service": service, "running": running, "pending": pending,
            "desired": desired, "failed": failed, "older": older,
        }),
        Told::Stage { service, standing } => json!({
            "event": "stage", "service": service, "stage": standing.stage,
            "trafficPercent": standing.traffic, "waits": standing.waits,
        }),
        Told::Awaited { service, deployment, hook } => json!({
            "event": "hookAwaited", "service": service, "serviceDeploymentArn": deployment, "hookId": hook,
        }),
        Told::Event { service, message } => {
            json!({ "event": "serviceEvent", "service": service, "message": message })
        }
        Told::TaskStopped { service, task, reason } => {
            json!({ "event": "taskStopped", "service": service, "task": task, "reason": reason })
        }
        Told::Note { text } => json!({ "event": "note", "text": text }),
    }
}

/// The same of a task.
pub fn task_told(told: &run_task::Told) -> Value {
    match told {
        run_task::Told::Status { task, status } => {
            json!({ "event": "taskStatus", "task": task, "status": status })
        }
        run_task::Told::Line { task, container, text } => {
            json!({ "event": "log", "task": task, "container": container, "text": text })
        }
        run_task::Told::Note { text } => json!({ "event": "note", "text": text }),
    }
}

/// The same of CodeDeploy.
pub fn codedeploy_told(told: &codedeploy::Told) -> Value {
    match told {
        codedeploy::Told::Status(status) => json!({ "event": "deploymentStatus", "status": status }),
        codedeploy::Told::Lifecycle { name, status, message } => {
            json!({ "event": "lifecycle", "name": name, "status": status, "message": message })
        }
        codedeploy::Told::Note(text) => json!({ "event": "note", "text": text }),
    }
}

/// The end of everything.
pub fn outcomes(outcomes: &[Outcome]) -> Value {
    json!({ "event": "report", "services": outcomes.iter().map(outcome).collect::<Vec<_>>() })
}

fn outcome(outcome: &Outcome) -> Value {
    let (word, reason) = end(&outcome.end);
    json!({
        "service": outcome.service,
        "outcome": word,
        "reason": reason,
        "taskDefinitionArn": outcome.definition_arn,
        "before": outcome.before,
        "deployment": outcome.deployment,
        "updated": outcome.is_updated,
        "milliseconds": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        "runningCount": outcome.last.running_count,
        "desiredCount": outcome.last.desired_count,
        "causes": outcome.causes.iter().map(cause).collect::<Vec<_>>(),
        "log": outcome.tail.as_ref().map(|(container, tail)| log(container, tail)),
        "complaints": outcome.complaints,
        "stage": outcome.story.as_ref().and_then(|story| story.lifecycle_stage.clone()),
        "alarms": outcome.story.as_ref().map(|story| story.alarms.triggered_alarm_names.clone()),
    })
}

fn cause(cause: &Cause) -> Value {
    json!({
        "count": cause.count,
        "reason": cause.reason,
        "task": cause.task.task_arn,
        "container": cause.container,
        "stopCode": cause.task.stop_code,
        "exitCodes": cause.task.containers.iter()
            .filter_map(|one| Some((one.name.clone(), Value::from(one.exit_code?))))
            .collect::<serde_json::Map<_, _>>(),
    })
}

fn log(container: &str, tail: &Tail) -> Value {
    match tail {
        Tail::Lines { stream, lines } => {
            json!({ "container": container, "group": stream.group, "stream": stream.name, "lines": lines })
        }
        Tail::Elsewhere(why) => json!({ "container": container, "unreadable": why }),
    }
}

fn end(end: &End) -> (&'static str, Option<String>) {
    let failure = |failure: &Failure| {
        let details = failure.details.iter().map(|line| format!("; {line}")).collect::<String>();
        Some(format!("{}{details}", failure.message))
    };
    match end {
        End::Verdict(verdict) => match verdict {
            Verdict::Stable { .. } => ("stable", None),
            Verdict::Failed { reason } => ("failed", Some(reason.clone())),
            Verdict::RolledBack { to, reason, .. } => ("rolledBack", Some(format!("to {to}: {reason}"))),
            Verdict::Superseded { by, definition } => {
                ("superseded", Some(format!("by {by}, which deploys {definition}")))
            }
            Verdict::Failing { failed } => ("failing", Some(format!("{failed} tasks failed"))),
            Verdict::Gone { now } => ("gone", Some(format!("the service is set to {now}"))),
            Verdict::Deleted { status } => ("deleted", Some(status.clone())),
            Verdict::Waiting => ("waiting", None),
        },
        End::Timeout => ("timeout", None),
        End::Interrupted => ("interrupted", None),
        End::Lost(why) => ("lost", failure(why)),
        End::NotUpdated(why) => ("notUpdated", failure(why)),
        End::NotWaited => ("notWaited", None),
    }
}

/// What a task came to.
pub fn tasks(ended: &[run_task::Ended], exit_code: u8) -> Value {
    let one = |ended: &run_task::Ended| {
        json!({
            "taskArn": ended.task.task_arn,
            "taskDefinition": short(&ended.task.task_definition_arn),
            "stopCode": ended.task.stop_code,
            "reason": ended.reason,
            "exitCode": ended.exit_code,
        })
    };
    json!({ "event": "report", "exitCode": exit_code, "tasks": ended.iter().map(one).collect::<Vec<_>>() })
}
