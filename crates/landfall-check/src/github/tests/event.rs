//! `github.event`: what workflows look at, by its path.

use super::plan::run;
use super::*;

#[test]
fn payloads_have_what_workflows_look_at() {
    let on = "on:\n  push:\n  schedule: [{ cron: '0 5 * * *' }, { cron: '0 6 * * 1' }]\n  pull_request: { types: [labeled, closed] }\n  release:\n  workflow_run: { workflows: [Build, Test] }\n  workflow_dispatch:\n";
    let workflow = fine(
        ".github/workflows/x.yml",
        &format!("{on}jobs: {{ a: {{ runs-on: x, steps: [{{ run: 'true' }}] }} }}\n"),
    );
    let event = |name: &str, action: Option<&str>| {
        let facts = match name {
            "pull_request" => EventFacts::pull_request(7, "main", "fix"),
            _ => EventFacts::new(name, "refs/heads/main"),
        };
        EventFacts { action: action.map(str::to_owned), ..facts }
    };
    let commit = CommitFacts {
        author: "Jo <jo@acme.example>".to_owned(),
        at: "2026-10-01T12:00:00+02:00".to_owned(),
        message: "Say more [deploy]\n\nAnd why\n".to_owned(),
    };
    for (event, path, wanted) in [
        (event("push", None), "head_commit.message", "Say more [deploy]\n\nAnd why"),
        (event("push", None), "head_commit.author.email", "jo@acme.example"),
        (event("push", None), "commits", "Array"),
        (event("schedule", None), "schedule", "0 5 * * *"),
        (event("schedule", Some("0 6 * * 1")), "schedule", "0 6 * * 1"),
        (event("schedule", None), "workflow", ".github/workflows/x.yml"),
        (event("pull_request", None), "action", "labeled"),
        (event("pull_request", None), "pull_request.merged", "false"),
        (event("pull_request", Some("closed")), "pull_request.merged", "true"),
        (event("pull_request", None), "pull_request.html_url", "https://github.com/acme/api/pull/7"),
        (event("release", None), "action", "published"),
        (event("release", None), "release.tag_name", "main"),
        (event("workflow_run", None), "workflow_run.name", "Build"),
        (event("workflow_run", None), "workflow_run.display_title", "Say more [deploy]"),
        (event("workflow_run", None), "workflow_run.conclusion", "success"),
        (event("workflow_run", None), "workflow.name", "Build"),
        (event("workflow_dispatch", None), "repository.default_branch", "main"),
    ] {
        let run = RunFacts { event, commit: Some(commit.clone()), ..run() };
        let mut value = Value::from(context::event(&run, &workflow));
        for part in path.split('.') {
            value = value.property(part);
        }
        assert_eq!(value.to_text(), wanted, "{} of {}", path, run.event.name);
    }
}

#[test]
fn a_schedule_that_the_workflow_does_not_have_does_not_start_it() {
    let workflow = fine(
        ".github/workflows/x.yml",
        "on: { schedule: [{ cron: '0 5 * * *' }] }\njobs: { a: { runs-on: x, steps: [{ run: 'true' }] } }\n",
    );
    let at = |cron: &str| EventFacts {
        action: Some(cron.to_owned()),
        ..EventFacts::new("schedule", "refs/heads/main")
    };
    assert!(starts(&workflow.on, &at("0 5 * * *")).is_ok());
    let finding = starts(&workflow.on, &at("1 1 * * *")).unwrap_err();
    assert_eq!(finding.message, "the schedule `1 1 * * *` does not start this workflow");
}
