//! A workflow file and the workflows that it calls (`>>> PATH`, `>>> OWNER/NAME/PATH@REF`): they are read and planned,
//! the tokens of their jobs are worked out, and every finding can be shown.

use landfall_check::github::{
    self, CalledRef, DefaultPermissions, EventFacts, Library, LoadFailure, Loaded, RunFacts, Visibility,
};
use landfall_check::render;
use landfall_types::{Finding, SourceMap};

const PATH: &str = ".github/workflows/deploy.yml";

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut called = Called { sources: SourceMap::new(), files: super::files(super::text(bytes), PATH) };
    let Some((path, text)) = called.files.first().copied() else { return };
    let sources = called.sources.clone();
    let source = sources.add(path, text);
    let (workflow, findings) = github::load(source, path, text);
    // What could not be read is said.
    assert!(workflow.is_some() || !findings.is_empty());
    show(&findings, &sources);
    let Some(workflow) = workflow.filter(|_| findings.is_empty()) else { return };
    for event in events() {
        if let Err(finding) = github::starts(&workflow.on, &event) {
            show(&[finding], &sources);
        }
        let run = facts(event);
        match github::plan(&workflow, &run, &mut called) {
            Err(findings) => show(&findings, &sources),
            Ok(plan) => {
                for job in plan.leaves() {
                    let _ = github::claims(&run, job, Some("production"), None, 1_700_000_000, "id");
                    let _ = github::context::github(&run, job);
                }
                for job in plan.leaves() {
                    let beside = github::Beside { vars: &[], secrets: &[], action: &|_| None };
                    if let Err(finding) = github::job_tokens(&plan, &run, &job.path, &beside) {
                        show(&[finding], &sources);
                    }
                }
            }
        }
    }
    let _ = github::trigger::dispatch_inputs(&workflow.on, &[("environment".to_owned(), "1".to_owned())]);
}

fn show(findings: &[Finding], sources: &SourceMap) {
    for finding in findings {
        let _ = render::terminal(finding, sources, render::Style::Plain, 100);
        let _ = render::json(finding, sources);
    }
}

fn events() -> [EventFacts; 3] {
    [
        EventFacts::push("refs/heads/main"),
        EventFacts::pull_request(7, "main", "topic"),
        EventFacts::new("workflow_dispatch", "refs/tags/v1"),
    ]
}

fn facts(event: EventFacts) -> RunFacts {
    RunFacts {
        commit: None,
        repository: "acme/api".to_owned(),
        repository_id: 74,
        owner_id: 65,
        ids_are_known: true,
        immutable_subject: false,
        subject_keys: None,
        from_fork: event.name == "pull_request",
        event,
        sha: "0".repeat(40),
        actor: "octocat".to_owned(),
        actor_id: 12,
        visibility: Visibility::Private,
        default_permissions: DefaultPermissions::Permissive,
        run_id: 4918,
        run_number: 10,
        run_attempt: 2,
        default_branch: "main".to_owned(),
        inputs: Vec::new(),
    }
}

/// The workflows beside the first.
struct Called<'t> {
    sources: SourceMap,
    files: Vec<(&'t str, &'t str)>,
}

impl Library for Called<'_> {
    fn load(&mut self, called: &CalledRef) -> Result<Loaded, LoadFailure> {
        let shown = called.to_string();
        let name = shown.trim_start_matches("./");
        let Some((_, text)) = self.files.iter().find(|(known, _)| *known == name) else {
            return Err(LoadFailure::NotFound { why: "it is not there".to_owned() });
        };
        let path = match called {
            CalledRef::Local { path } | CalledRef::Remote { path, .. } => path,
        };
        let source = self.sources.add(name, *text);
        match github::load(source, path, text) {
            (Some(workflow), findings) if findings.is_empty() => {
                Ok(Loaded { workflow, resolved_ref: "refs/heads/main".to_owned(), sha: "1".repeat(40) })
            }
            (_, findings) => Err(LoadFailure::Invalid { text: (*text).to_owned(), findings }),
        }
    }
}
