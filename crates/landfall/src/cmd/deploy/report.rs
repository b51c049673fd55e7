//! What happened, as JSON: one object on a line, told apart by `event`.

use landfall_deliver::Failure;
use landfall_deliver::deploy::cause::Cause;
use landfall_deliver::deploy::codedeploy;
use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::diff::{Values, redacted};
use landfall_deliver::deploy::logs::Tail;
use landfall_deliver::deploy::plan::{Part, Plan};
use landfall_deliver::deploy::roll::Begun;
use landfall_deliver::deploy::run_task;
use landfall_deliver::deploy::verdict::Verdict;
use landfall_deliver::deploy::watch::{End, Outcome, Told};
use serde_json::{Value, json};

use super::progress::Progress;
use super::roll_out::Ended;
use super::show;
use crate::cmd::why::{InfraArgs, Why};

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
            "update": part.update.clone().map(|update| redacted("", &Value::Object(update), Values::Shown)),
        })
    };
    json!({
        "event": "plan",
        "cluster": plan.cluster,
        "parts": plan.parts.iter().map(part).collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

/// What was looked at only.
pub fn dry_run(plan: &Plan) -> Value {
    let of = |part: &Part| {
        let service = part.service.as_ref()?;
        Some(json!({
            "service": service.service_name, "outcome": "dryRun", "taskDefinitionArn": part.existing,
            "before": part.old, "updated": false,
        }))
    };
    let services: Vec<Value> = plan.parts.iter().filter_map(of).collect();
    json!({ "event": "report", "services": services, "failure": null })
}

/// The images of containers by their names.
pub fn images(images: &[(String, String)]) -> Value {
    let pairs = images.iter().map(|(name, image)| (name.clone(), Value::from(image.as_str())));
    Value::Object(pairs.collect())
}

/// What kept a command from its work.
pub fn failure(failure: &Failure) -> Value {
    json!({ "message": failure.message, "details": failure.details, "exitCode": failure.kind.exit_code() })
}

/// The end of what was begun and not finished.
pub fn failed(what: &Failure, progress: &Progress, infra: &InfraArgs) -> Value {
    json!({
        "event": "report",
        "services": [],
        "tasks": [],
        "taskArns": progress.tasks(),
        "registered": progress.registered(),
        "exitCode": what.kind.exit_code(),
        "failure": failure(what),
        "why": why(infra.why_failed(what)),
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
        Told::GoingBack { service, to, how, images: told } => json!({
            "event": "rollingBack", "service": service, "taskDefinitionArn": to, "how": how, "images": images(told),
        }),
        Told::Stays { service, why } => {
            json!({ "event": "notRolledBack", "service": service, "reason": why })
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

/// A deployment that CodeDeploy has begun.
pub fn codedeploy_begun(service: &str, id: &str, request: &codedeploy::Request) -> Value {
    let hooks = codedeploy::hooks(&request.appspec).into_iter();
    let hooks: serde_json::Map<String, Value> =
        hooks.map(|(event, function)| (event, Value::from(function))).collect();
    json!({
        "event": "begun", "service": service, "deployment": id, "application": request.application,
        "group": request.group, "hooks": hooks,
    })
}

/// Something that happened to it.
pub fn codedeploy_told(service: &str, told: &codedeploy::Told) -> Value {
    match told {
        codedeploy::Told::Status(status) => {
            json!({ "event": "deploymentStatus", "service": service, "status": status })
        }
        codedeploy::Told::Lifecycle { name, status, message } => json!({
            "event": "lifecycle", "service": service, "name": name, "status": status, "message": message,
        }),
        codedeploy::Told::TaskStopped { task, reason } => {
            json!({ "event": "taskStopped", "service": service, "task": task, "reason": reason })
        }
        codedeploy::Told::Note(text) => json!({ "event": "note", "text": text }),
    }
}

/// The end of everything.
pub fn ended(ended: &[Ended], lost: Option<&Failure>, infra: &InfraArgs) -> Value {
    let of = |one: &Ended| {
        let mut told = match one {
            Ended::ByEcs(outcome) => outcome_of_ecs(outcome, infra),
            Ended::ByCodeDeploy(outcome) => outcome_of_codedeploy(outcome),
        };
        told["why"] = why(failed_call(one, infra));
        told
    };
    let services: Vec<Value> = ended.iter().map(of).collect();
    let mut report = json!({ "event": "report", "services": services, "failure": lost.map(failure) });
    // A deployment by CodeDeploy was told this way when there could be no more than one.
    if let ([Ended::ByCodeDeploy(_)], [only]) = (ended, services.as_slice()) {
        for name in ["deployment", "taskDefinitionArn", "outcome", "reason"] {
            report[name] = only[name].clone();
        }
    }
    report
}

/// What the policies at hand say of the call that kept a deployment from being begun or watched.
pub fn failed_call(ended: &Ended, infra: &InfraArgs) -> Option<Why> {
    infra.why_failed(ended.failure()?)
}

fn why(why: Option<Why>) -> Value {
    why.map_or(Value::Null, |why| why.json())
}

fn outcome_of_codedeploy(outcome: &codedeploy::Outcome) -> Value {
    use codedeploy::End;
    let word = match &outcome.end {
        End::Unchanged => "unchanged",
        End::NotCreated(_) => "notUpdated",
        End::NotWaited => "notWaited",
        End::Done { .. } => "stable",
        End::Failed { .. } => "failed",
        End::Timeout { .. } => "timeout",
        End::Interrupted => "interrupted",
        End::Lost(_) => "lost",
    };
    let rolled_back_by = match &outcome.end {
        End::Failed { rolled_back_by, .. } => rolled_back_by.as_deref(),
        _ => None,
    };
    json!({
        "service": outcome.service,
        "outcome": word,
        "reason": show::codedeploy::sentence(outcome),
        "taskDefinitionArn": outcome.definition_arn,
        "before": outcome.before,
        "deployment": outcome.deployment,
        "updated": outcome.deployment.is_some(),
        "milliseconds": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        "rolledBackBy": rolled_back_by,
    })
}

fn outcome_of_ecs(outcome: &Outcome, infra: &InfraArgs) -> Value {
    let (word, reason) = end(&outcome.end);
    // What still runs of the deployments before is none of its tasks.
    let ours = outcome.last.deployment(&outcome.deployment).map_or(0, |ours| ours.running_count);
    json!({
        "service": outcome.service,
        "outcome": word,
        "reason": reason,
        "taskDefinitionArn": outcome.definition_arn,
        "before": outcome.before,
        "deployment": outcome.deployment,
        "updated": outcome.is_updated,
        "milliseconds": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        "runningCount": ours,
        "olderCount": outcome.last.running_count.saturating_sub(ours),
        "desiredCount": outcome.last.desired_count,
        "causes": outcome.causes.iter().map(|one| cause(one, infra)).collect::<Vec<_>>(),
        "log": outcome.tail.as_ref().map(|(container, tail)| log(container, tail)),
        "complaints": outcome.complaints,
        "notRolledBack": outcome.stays,
        "stage": outcome.story.as_ref().and_then(|story| story.lifecycle_stage.clone()),
        "alarms": outcome.story.as_ref().map(|story| story.alarms.triggered_alarm_names.clone()),
    })
}

fn cause(cause: &Cause, infra: &InfraArgs) -> Value {
    let task = cause.task.as_ref();
    json!({
        "count": cause.count,
        "reason": cause.reason,
        "task": task.map(|task| task.task_arn.as_str()),
        "container": cause.container,
        "stopCode": task.and_then(|task| task.stop_code.as_deref()),
        "exitCodes": task.into_iter().flat_map(|task| &task.containers)
            .filter_map(|one| Some((one.name.clone(), Value::from(one.exit_code?))))
            .collect::<serde_json::Map<_, _>>(),
        "why": why(infra.why(&cause.reason)),
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
    let told = |failure: &Failure| {
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
        End::Lost(why) => ("lost", told(why)),
        End::NotUpdated(why) => ("notUpdated", told(why)),
        End::NotWaited => ("notWaited", None),
    }
}

/// What tasks came to.
pub fn tasks(
    arns: &[String],
    ended: &[run_task::Ended],
    exit_code: u8,
    lost: Option<&Failure>,
    infra: &InfraArgs,
) -> Value {
    let one = |ended: &run_task::Ended| {
        json!({
            "taskArn": ended.task.task_arn,
            "taskDefinition": short(&ended.task.task_definition_arn),
            "stopCode": ended.task.stop_code,
            "reason": ended.reason,
            "exitCode": ended.exit_code,
            "why": why(infra.why(&ended.reason)),
        })
    };
    let tasks: Vec<Value> = ended.iter().map(one).collect();
    json!({
        "event": "report", "exitCode": exit_code, "taskArns": arns, "tasks": tasks, "failure": lost.map(failure),
    })
}

/// Tasks that nobody waits for.
pub fn tasks_left(arns: &[String], definition: &str, lost: Option<&Failure>) -> Value {
    let exit_code = lost.map_or(0, |failure| failure.kind.exit_code());
    json!({
        "event": "report", "exitCode": exit_code, "taskArns": arns, "tasks": [],
        "taskDefinition": short(definition), "failure": lost.map(failure),
    })
}
