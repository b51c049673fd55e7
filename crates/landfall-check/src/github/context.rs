//! The contexts that follow from a run alone. GitHub, "Contexts reference".

use super::expr::{Object, Value};
use super::plan::{PlannedJob, RunFacts};

/// The `github` context of a job, with as much of `github.event` as the run's facts tell. A runner adds
/// what only it knows: `workspace`, `event_path`, `token`, `action` and the like.
pub fn github(run: &RunFacts, job: &PlannedJob) -> Object {
    let number = |value: u64| Value::from(value.to_string());
    let text = |value: &str| Value::from(value);
    let workflow = &job.run_workflow;
    Object::new()
        .with("actor", text(&run.actor))
        .with("actor_id", number(run.actor_id))
        .with("api_url", text("https://api.github.com"))
        .with("base_ref", text(&run.event.base_ref))
        .with("event", Value::from(event(run)))
        .with("event_name", text(&run.event.name))
        .with("graphql_url", text("https://api.github.com/graphql"))
        .with("head_ref", text(&run.event.head_ref))
        .with("job", text(&job.id))
        .with("job_workflow_sha", text(&job.workflow_sha))
        .with("ref", text(&run.event.git_ref))
        .with("ref_name", text(run.event.ref_name()))
        .with("ref_protected", Value::from(false))
        .with("ref_type", text(run.event.ref_type()))
        .with("repository", text(&run.repository))
        .with("repository_id", number(run.repository_id))
        .with("repository_owner", text(run.owner()))
        .with("repository_owner_id", number(run.owner_id))
        .with("repositoryUrl", Value::from(format!("git://github.com/{}.git", run.repository)))
        .with("retention_days", text("90"))
        .with("run_attempt", number(run.run_attempt))
        .with("run_id", number(run.run_id))
        .with("run_number", number(run.run_number))
        .with("server_url", text("https://github.com"))
        .with("sha", text(&run.sha))
        .with("triggering_actor", text(&run.actor))
        .with("workflow", text(workflow.display_name()))
        .with(
            "workflow_ref",
            Value::from(format!("{}/{}@{}", run.repository, workflow.path, run.event.git_ref)),
        )
        .with("workflow_sha", text(&run.sha))
}

/// The part of the event's payload that workflows look at most: numbers and branches of pull requests,
/// inputs of a dispatch, the release's tag, the repository.
fn event(run: &RunFacts) -> Object {
    let facts = &run.event;
    let (_, name) = run.repository.split_once('/').unwrap_or(("", &run.repository));
    let owner = Object::new().with("login", Value::from(run.owner()));
    let repository = Object::new()
        .with("name", Value::from(name))
        .with("full_name", Value::from(run.repository.as_str()))
        .with("default_branch", Value::from(run.default_branch.as_str()))
        .with("owner", Value::from(owner));
    let mut event = Object::new().with("repository", Value::from(repository));
    if let Some(action) = &facts.action {
        event.set("action", Value::from(action.as_str()));
    }
    match facts.name.as_str() {
        "push" => event.set("ref", Value::from(facts.git_ref.as_str())),
        "release" => {
            let release = Object::new().with("tag_name", Value::from(facts.ref_name()));
            event.set("release", Value::from(release));
        }
        "workflow_dispatch" => {
            let inputs: Object =
                run.inputs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
            event.set("ref", Value::from(facts.git_ref.as_str()));
            event.set("inputs", Value::from(inputs));
        }
        name if name.starts_with("pull_request") => {
            let number = pull_request_number(&facts.git_ref);
            let branch = |name: &str| Value::from(Object::new().with("ref", Value::from(name)));
            let request = Object::new()
                .with("number", number.clone())
                .with("head", branch(&facts.head_ref))
                .with("base", branch(&facts.base_ref));
            event.set("number", number);
            event.set("pull_request", Value::from(request));
        }
        _ => {}
    }
    event
}

fn pull_request_number(git_ref: &str) -> Value {
    let digits = git_ref.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next());
    digits.and_then(|digits| digits.parse().ok()).map_or(Value::Null, Value::Number)
}
