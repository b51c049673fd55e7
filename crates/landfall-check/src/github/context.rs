//! The contexts that follow from a run alone. GitHub, "Contexts reference".

use super::claims::Visibility;
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

/// `github.event`: as much of the payload as the run's facts tell.
/// <https://docs.github.com/webhooks/webhook-events-and-payloads>
pub fn event(run: &RunFacts) -> Object {
    let facts = &run.event;
    let text = |text: &str| Value::from(text);
    let repository = Value::from(repository(run));
    let sender =
        Object::new().with("login", text(&run.actor)).with("id", id(run.actor_id)).with("type", text("User"));
    let mut event = Object::new().with("repository", repository.clone()).with("sender", Value::from(sender));
    if let Some(action) = &facts.action {
        event.set("action", text(action));
    }
    match facts.name.as_str() {
        "push" => {
            event.set("ref", text(&facts.git_ref));
            event.set("after", text(&run.sha));
            event.set("head_commit", Object::new().with("id", text(&run.sha)).into());
            event.set("forced", Value::Bool(false));
        }
        "release" => {
            let release = Object::new()
                .with("tag_name", text(facts.ref_name()))
                .with("name", text(facts.ref_name()))
                .with("draft", Value::Bool(false))
                .with("prerelease", Value::Bool(false))
                .with("target_commitish", text(&run.default_branch));
            event.set("release", release.into());
        }
        "workflow_run" => {
            let ended = Object::new()
                .with("conclusion", text("success"))
                .with("event", text("push"))
                .with("head_branch", text(&run.default_branch))
                .with("head_sha", text(&run.sha))
                .with("status", text("completed"));
            event.set("workflow_run", ended.into());
        }
        "create" | "delete" => {
            event.set("ref", text(facts.ref_name()));
            event.set("ref_type", text(facts.ref_type()));
        }
        "merge_group" => {
            let group = Object::new()
                .with("head_ref", text(&facts.git_ref))
                .with("head_sha", text(&run.sha))
                .with("base_ref", Value::from(format!("refs/heads/{}", run.default_branch)));
            event.set("merge_group", group.into());
        }
        "workflow_dispatch" => {
            let inputs: Object = run.inputs.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            event.set("ref", text(&facts.git_ref));
            event.set("inputs", inputs.into());
        }
        name if name.starts_with("pull_request") => {
            let number = pull_request_number(&facts.git_ref);
            event.set("number", number.clone());
            event.set("pull_request", pull_request(run, number, repository).into());
        }
        _ => {}
    }
    event
}

fn repository(run: &RunFacts) -> Object {
    let text = |text: &str| Value::from(text);
    let (_, name) = run.repository.split_once('/').unwrap_or(("", &run.repository));
    let owner = Object::new().with("login", text(run.owner())).with("id", id(run.owner_id));
    Object::new()
        .with("id", id(run.repository_id))
        .with("name", text(name))
        .with("full_name", text(&run.repository))
        .with("private", Value::Bool(run.visibility != Visibility::Public))
        .with("visibility", text(run.visibility.as_str()))
        .with("html_url", Value::from(format!("https://github.com/{}", run.repository)))
        .with("default_branch", text(&run.default_branch))
        .with("owner", owner.into())
}

fn pull_request(run: &RunFacts, number: Value, repository: Value) -> Object {
    let side = |branch: &str, repository: Value| {
        let side = Object::new().with("ref", Value::from(branch)).with("sha", Value::from(run.sha.as_str()));
        Value::from(side.with("repo", repository))
    };
    let fork =
        || Object::new().with("full_name", Value::from("someone/fork")).with("fork", Value::Bool(true));
    let head = if run.from_fork { fork().into() } else { repository.clone() };
    Object::new()
        .with("number", number)
        .with("head", side(&run.event.head_ref, head))
        .with("base", side(&run.event.base_ref, repository))
        .with("merged", Value::Bool(false))
        .with("draft", Value::Bool(false))
}

/// A payload's ids are JSON numbers, unlike the context's.
#[expect(clippy::cast_precision_loss, reason = "GitHub's own ids are doubles in expressions")]
fn id(id: u64) -> Value {
    Value::Number(id as f64)
}

/// The number of `refs/pull/N/merge`; of a run on another ref it is not known, and 1 stands for it.
fn pull_request_number(git_ref: &str) -> Value {
    let digits = git_ref.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next());
    Value::Number(digits.and_then(|digits| digits.parse().ok()).unwrap_or(1.0))
}
