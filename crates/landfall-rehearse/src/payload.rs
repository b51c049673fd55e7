//! The `github` context and the event's payload, as far as a rehearsal knows them.

use landfall_check::github::{Object, RunFacts, Value};

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut object = Object::new();
    for (name, value) in entries {
        object.set(name, value);
    }
    Value::Object(object.into())
}

/// Numbers of ids fit a double as they do on GitHub.
#[expect(clippy::cast_precision_loss, reason = "GitHub's own ids are JSON numbers")]
fn number(number: u64) -> Value {
    Value::Number(number as f64)
}

/// `github.event`. <https://docs.github.com/webhooks/webhook-events-and-payloads>
pub fn event(run: &RunFacts) -> Value {
    let name = run.repository.split_once('/').map_or(run.repository.as_str(), |(_, name)| name);
    let url = format!("https://github.com/{}", run.repository);
    let repository = object([
        ("id", number(run.repository_id)),
        ("name", text(name)),
        ("full_name", text(run.repository.as_str())),
        ("private", Value::Bool(run.visibility.as_str() != "public")),
        ("owner", object([("login", text(run.owner())), ("id", number(run.owner_id))])),
        ("html_url", text(url)),
        ("default_branch", text(run.default_branch.as_str())),
        ("visibility", text(run.visibility.as_str())),
    ]);
    let mut payload = Object::new();
    payload.set("repository", repository.clone());
    payload.set("sender", object([("login", text(run.actor.as_str())), ("id", number(run.actor_id))]));
    if let Some(action) = &run.event.action {
        payload.set("action", text(action.as_str()));
    }
    match run.event.name.as_str() {
        "push" => {
            payload.set("ref", text(run.event.git_ref.as_str()));
            payload.set("after", text(run.sha.as_str()));
            payload.set("head_commit", object([("id", text(run.sha.as_str()))]));
            payload.set("forced", Value::Bool(false));
        }
        "workflow_dispatch" => {
            payload.set("ref", text(run.event.git_ref.as_str()));
            let inputs: Object =
                run.inputs.iter().map(|(name, value)| (name.clone(), text(value.as_str()))).collect();
            payload.set("inputs", Value::Object(inputs.into()));
        }
        name if name.starts_with("pull_request") => {
            let side = |branch: &str, repository: Value| {
                object([("ref", text(branch)), ("sha", text(run.sha.as_str())), ("repo", repository)])
            };
            let head_repository = if run.from_fork {
                object([("full_name", text("someone/fork")), ("fork", Value::Bool(true))])
            } else {
                repository.clone()
            };
            payload.set("number", number(pull_request_number(&run.event.git_ref)));
            payload.set(
                "pull_request",
                object([
                    ("number", number(pull_request_number(&run.event.git_ref))),
                    ("head", side(&run.event.head_ref, head_repository)),
                    ("base", side(&run.event.base_ref, repository)),
                    ("merged", Value::Bool(false)),
                    ("draft", Value::Bool(false)),
                ]),
            );
        }
        _ => {}
    }
    Value::Object(payload.into())
}

fn pull_request_number(git_ref: &str) -> u64 {
    let number = git_ref.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// What of the `github` context is the same for every step of a job, as `(name, value)`; the names of
/// these, in upper case behind `GITHUB_`, are the runner's variables.
pub fn strings(
    run: &RunFacts,
    workflow: &str,
    workflow_path: &str,
    job_id: &str,
) -> Vec<(&'static str, String)> {
    let event = &run.event;
    vec![
        ("actor", run.actor.clone()),
        ("actor_id", run.actor_id.to_string()),
        ("api_url", "https://api.github.com".to_owned()),
        ("base_ref", event.base_ref.clone()),
        ("event_name", event.name.clone()),
        ("graphql_url", "https://api.github.com/graphql".to_owned()),
        ("head_ref", event.head_ref.clone()),
        ("job", job_id.to_owned()),
        ("ref", event.git_ref.clone()),
        ("ref_name", event.ref_name().to_owned()),
        ("ref_type", event.ref_type().to_owned()),
        ("repository", run.repository.clone()),
        ("repository_id", run.repository_id.to_string()),
        ("repository_owner", run.owner().to_owned()),
        ("repository_owner_id", run.owner_id.to_string()),
        ("retention_days", "90".to_owned()),
        ("run_attempt", run.run_attempt.to_string()),
        ("run_id", run.run_id.to_string()),
        ("run_number", run.run_number.to_string()),
        ("server_url", "https://github.com".to_owned()),
        ("sha", run.sha.clone()),
        ("triggering_actor", run.actor.clone()),
        ("workflow", workflow.to_owned()),
        ("workflow_ref", format!("{}/{workflow_path}@{}", run.repository, event.git_ref)),
        ("workflow_sha", run.sha.clone()),
    ]
}
