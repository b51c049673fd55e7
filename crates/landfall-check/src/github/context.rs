//! The contexts that follow from a run alone. GitHub, "Contexts reference".

use super::claims::Visibility;
use super::expr::{Object, Value};
use super::model::Workflow;
use super::plan::{PlannedJob, RunFacts};
use super::trigger::Trigger;

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
        .with("event", Value::from(event(run, workflow)))
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

/// `github.event`: as much of the payload as the run's facts and the workflow tell. What only GitHub knows is there
/// where workflows look at it, and empty.
/// <https://docs.github.com/webhooks/webhook-events-and-payloads>
pub fn event(run: &RunFacts, workflow: &Workflow) -> Object {
    let facts = &run.event;
    let text = |text: &str| Value::from(text);
    let repository = Value::from(repository(run));
    let trigger = workflow.on.event(&facts.name);
    let mut event =
        Object::new().with("repository", repository.clone()).with("sender", user(&run.actor, run.actor_id));
    if let Some(action) = action(run, trigger).filter(|_| facts.name != "schedule") {
        event.set("action", text(&action));
    }
    match facts.name.as_str() {
        "push" => push(run, &mut event),
        "schedule" => {
            let cron = facts.action.clone().or_else(|| trigger?.schedules.first().map(|it| it.value.clone()));
            event.set("schedule", Value::from(cron.unwrap_or_default()));
            event.set("workflow", text(&workflow.path));
        }
        "release" => {
            let tag = facts.ref_name();
            let page = format!("https://github.com/{}/releases/tag/{tag}", run.repository);
            let release = Object::new()
                .with("id", id(1))
                .with("tag_name", text(tag))
                .with("name", text(tag))
                .with("body", text(""))
                .with("html_url", Value::from(page))
                .with("author", user(&run.actor, run.actor_id))
                .with("draft", Value::Bool(false))
                .with("prerelease", Value::Bool(facts.action.as_deref() == Some("prereleased")))
                .with("target_commitish", text(&run.default_branch));
            event.set("release", release.into());
        }
        "workflow_run" => {
            let named = trigger.and_then(|trigger| trigger.workflows.first()).map(|name| name.value.clone());
            let name = named.unwrap_or_else(|| "CI".to_owned());
            event.set("workflow_run", workflow_run(run, &name, repository).into());
            let ended =
                Object::new().with("id", id(1)).with("name", Value::from(name)).with("state", text("active"));
            event.set("workflow", ended.into());
        }
        "create" | "delete" => {
            event.set("ref", text(facts.ref_name()));
            event.set("ref_type", text(facts.ref_type()));
            event.set("master_branch", text(&run.default_branch));
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
            event.set("workflow", text(&workflow.path));
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

/// The activity: what was said, or what the workflow listens to first, or what events without a list begin with.
fn action(run: &RunFacts, trigger: Option<&Trigger>) -> Option<String> {
    let listened = trigger.and_then(|trigger| trigger.types.first()).map(|kind| kind.value.clone());
    let usual = match run.event.name.as_str() {
        "pull_request" | "pull_request_target" | "issues" => Some("opened"),
        "release" => Some("published"),
        "workflow_run" | "check_run" | "check_suite" => Some("completed"),
        "issue_comment" => Some("created"),
        "merge_group" => Some("checks_requested"),
        _ => None,
    };
    run.event.action.clone().or(listened).or_else(|| usual.map(str::to_owned))
}

fn push(run: &RunFacts, event: &mut Object) {
    let text = |text: &str| Value::from(text);
    let commit = Value::from(commit(run));
    event.set("ref", text(&run.event.git_ref));
    event.set("before", Value::from("0".repeat(40)));
    event.set("after", text(&run.sha));
    event.set("base_ref", Value::Null);
    event.set("head_commit", commit.clone());
    event.set("commits", Value::from(vec![commit]));
    event.set("pusher", Object::new().with("name", text(&run.actor)).with("email", text("")).into());
    for (name, is) in [("created", false), ("deleted", false), ("forced", false)] {
        event.set(name, Value::Bool(is));
    }
}

fn commit(run: &RunFacts) -> Object {
    let known = run.commit.clone().unwrap_or_default();
    let (name, mail) = known.author.rsplit_once(" <").unwrap_or((&known.author, ""));
    let person =
        Object::new().with("name", Value::from(name)).with("email", Value::from(mail.trim_end_matches('>')));
    Object::new()
        .with("id", Value::from(run.sha.as_str()))
        .with("message", Value::from(known.message.trim_end()))
        .with("timestamp", Value::from(known.at.as_str()))
        .with("author", person.clone().into())
        .with("committer", person.into())
        .with("url", Value::from(format!("https://github.com/{}/commit/{}", run.repository, run.sha)))
}

/// The run that has ended, a push to the default branch.
fn workflow_run(run: &RunFacts, name: &str, repository: Value) -> Object {
    let text = |text: &str| Value::from(text);
    let page = format!("https://github.com/{}/actions/runs/1", run.repository);
    let title = run.commit.as_ref().and_then(|commit| commit.message.lines().next()).unwrap_or(name);
    Object::new()
        .with("id", id(1))
        .with("name", text(name))
        .with("display_title", text(title))
        .with("run_number", id(1))
        .with("run_attempt", id(1))
        .with("event", text("push"))
        .with("status", text("completed"))
        .with("conclusion", text("success"))
        .with("head_branch", text(&run.default_branch))
        .with("head_sha", text(&run.sha))
        .with("head_commit", commit(run).into())
        .with("pull_requests", Value::from(Vec::new()))
        .with("html_url", Value::from(page))
        .with(
            "artifacts_url",
            Value::from(format!("https://api.github.com/repos/{}/actions/runs/1/artifacts", run.repository)),
        )
        .with("actor", user(&run.actor, run.actor_id))
        .with("triggering_actor", user(&run.actor, run.actor_id))
        .with("repository", repository.clone())
        .with("head_repository", repository)
}

fn user(login: &str, number: u64) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let user = Object::new()
        .with("login", Value::from(login))
        .with("id", id(number))
        .with("type", Value::from(kind));
    user.into()
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
        .with("fork", Value::Bool(false))
        .with("html_url", Value::from(format!("https://github.com/{}", run.repository)))
        .with("clone_url", Value::from(format!("https://github.com/{}.git", run.repository)))
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
    // One that is closed was merged: that is what deliveries wait for.
    let is_closed = run.event.action.as_deref() == Some("closed");
    let page = format!("https://github.com/{}/pull/{}", run.repository, number.to_text());
    Object::new()
        .with("number", number)
        .with("title", Value::from(""))
        .with("body", Value::from(""))
        .with("html_url", Value::from(page))
        .with("state", Value::from(if is_closed { "closed" } else { "open" }))
        .with("head", side(&run.event.head_ref, head))
        .with("base", side(&run.event.base_ref, repository))
        .with("labels", Value::from(Vec::new()))
        .with("user", user(&run.actor, run.actor_id))
        .with("merged", Value::Bool(is_closed))
        .with("merge_commit_sha", Value::from(run.sha.as_str()))
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
