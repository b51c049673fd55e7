use std::collections::HashMap;

use landfall_types::{Finding, SourceMap};

use super::*;
use crate::github::permissions::{Origin, ReadOnly};
use crate::github::plan::{CALL_LEVELS_MAX, CALLED_WORKFLOWS_MAX};

/// A library that holds the files of one case.
#[derive(Default)]
pub(super) struct Files {
    pub sources: SourceMap,
    /// Reference, text, full ref.
    pub files: HashMap<String, (String, String)>,
}

impl Library for Files {
    fn load(&mut self, called: &CalledRef) -> Result<Loaded, LoadFailure> {
        let name = called.to_string().trim_start_matches("./").to_owned();
        let Some((text, resolved_ref)) = self.files.get(&name) else {
            return Err(LoadFailure::NotFound { why: "the test's library does not hold it".to_owned() });
        };
        let path = match called {
            CalledRef::Local { path } | CalledRef::Remote { path, .. } => path,
        };
        let source = self.sources.add(name, text.as_str());
        let (workflow, findings) = load(source, path, text);
        match workflow.filter(|_| findings.is_empty()) {
            Some(workflow) => {
                Ok(Loaded { workflow, resolved_ref: resolved_ref.clone(), sha: "remote-sha".to_owned() })
            }
            None => Err(LoadFailure::Invalid { text: text.clone(), findings }),
        }
    }
}

pub(super) fn run() -> RunFacts {
    RunFacts {
        commit: None,
        repository: "acme/api".to_owned(),
        repository_id: 74,
        owner_id: 65,
        ids_are_known: true,
        immutable_subject: false,
        subject_keys: None,
        event: EventFacts::push("refs/heads/main"),
        sha: "run-sha".to_owned(),
        actor: "octocat".to_owned(),
        actor_id: 12,
        visibility: Visibility::Private,
        default_permissions: DefaultPermissions::Restricted,
        from_fork: false,
        run_id: 4918,
        run_number: 10,
        run_attempt: 2,
        default_branch: "main".to_owned(),
        inputs: Vec::new(),
    }
}

fn set(run: &mut RunFacts, line: &str) {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("default", "permissive") => run.default_permissions = DefaultPermissions::Permissive,
        ("fork", _) => run.from_fork = true,
        ("token", _) => {}
        ("actor", name) => run.actor = name.to_owned(),
        ("event", event) => {
            let (name, git_ref) = event.split_once(' ').unwrap();
            run.event = EventFacts::new(name, git_ref);
        }
        _ => panic!("@{line}"),
    }
}

fn job_line(job: &PlannedJob) -> String {
    let levels = job.permissions.levels;
    let origin = match job.permissions.origin {
        Origin::Job(_) => "job-block",
        Origin::Workflow(_) => "workflow-block",
        Origin::Caller(_) => "caller-block",
        Origin::Default(_) => "default",
    };
    let cut = match job.permissions.read_only_because {
        Some(ReadOnly::Fork) => " fork",
        Some(ReadOnly::Dependabot) => " dependabot",
        None => "",
    };
    let needs = match job.needs.as_slice() {
        [] => String::new(),
        needs => format!(" needs {}", needs.join(",")),
    };
    let granted = levels.text(&levels.granted());
    let (path, name) = (&job.path, &job.display_name);
    format!("{path} \"{name}\" [{granted}] {origin}{cut} {} {}{needs}", job.workflow_ref, job.workflow_sha)
}

/// What is said to a job that wants an ID token and may not have one.
fn token_lines(job: &PlannedJob, run: &RunFacts) -> String {
    let finding = crate::github::no_id_token(job, run, None);
    let help = finding.into_iter().flat_map(|finding| finding.help);
    help.map(|help| format!("\n  help {help}")).collect()
}

fn finding_lines(finding: &Finding, sources: &SourceMap) -> String {
    let mut lines = vec![finding.message.clone()];
    for label in &finding.labels {
        let place = sources.place(label.span);
        lines.push(format!("  at {}:{}:{} {}", place.name, place.line, place.column, label.text));
    }
    lines.extend(finding.notes.iter().map(|note| format!("  note {note}")));
    lines.extend(finding.help.iter().map(|help| format!("  help {help}")));
    lines.join("\n")
}

fn planned(body: &str) -> String {
    let (settings, files) = body.split_once(">>> ").unwrap();
    let mut run = run();
    settings.lines().filter_map(|line| line.strip_prefix('@')).for_each(|line| set(&mut run, line));
    let mut library = Files::default();
    let mut root = None;
    for file in files.split("\n>>> ") {
        let (name, text) = file.split_once('\n').unwrap();
        let (name, full_ref) = name.split_once(" => ").unwrap_or((name, ""));
        match root {
            None => {
                let source = library.sources.add(name, text);
                let (workflow, findings) = load(source, name, text);
                assert!(findings.is_empty(), "{findings:?}");
                root = workflow;
            }
            Some(_) => drop(library.files.insert(name.to_owned(), (text.to_owned(), full_ref.to_owned()))),
        }
    }
    let lines: Vec<String> = match crate::github::plan(&root.unwrap(), &run, &mut library) {
        Ok(plan) => {
            let wants_token = settings.contains("@token");
            let told = |job: &PlannedJob| match wants_token {
                true => job_line(job) + &token_lines(job, &run),
                false => job_line(job),
            };
            plan.leaves().into_iter().map(told).collect()
        }
        Err(findings) => findings.iter().map(|finding| finding_lines(finding, &library.sources)).collect(),
    };
    lines.join("\n")
}

#[test]
fn every_run_is_planned_or_refused_as_its_case_says() {
    let mut wrong = Vec::new();
    let cases = cases(include_str!("../../../cases/github/plan.txt"));
    assert!(cases.len() > 20);
    for (name, body, wanted) in cases {
        let found = planned(&body);
        if found != wanted {
            wrong.push(format!("=== {name}\n{found}\n--- wanted\n{wanted}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `x.yml` calls `1.yml` calls `2.yml` … calls the last one, which has steps.
fn tower(levels: usize) -> String {
    let mut body =
        ">>> .github/workflows/x.yml\non: push\njobs:\n  j: { uses: ./.github/workflows/1.yml }\n".to_owned();
    for level in 1..=levels {
        let job = match level == levels {
            true => "{ runs-on: x, steps: [] }".to_owned(),
            false => format!("{{ uses: ./.github/workflows/{}.yml }}", level + 1),
        };
        body.push_str(&format!(">>> .github/workflows/{level}.yml\non: workflow_call\njobs:\n  j: {job}\n"));
    }
    body
}

#[test]
fn ten_levels_are_planned_and_eleven_are_not() {
    let deepest = planned(&tower(CALL_LEVELS_MAX - 1));
    assert!(deepest.starts_with("j/j/j/j/j/j/j/j/j/j \"j / j"), "{deepest}");
    let refused = planned(&tower(CALL_LEVELS_MAX));
    assert!(refused.contains("Nested reusable workflow depth exceeded 9."), "{refused}");
}

#[test]
fn fifty_different_workflows_are_planned_and_one_more_is_not() {
    let body = |count: usize| {
        let mut jobs = String::new();
        let mut files = String::new();
        for at in 0..count {
            jobs.push_str(&format!("  j{at}: {{ uses: ./.github/workflows/{at}.yml }}\n"));
            files.push_str(&format!(
                ">>> .github/workflows/{at}.yml\non: workflow_call\njobs:\n  k: {{ runs-on: x, steps: [] }}\n"
            ));
        }
        format!(">>> .github/workflows/x.yml\non: push\njobs:\n{jobs}{files}")
    };
    assert_eq!(planned(&body(CALLED_WORKFLOWS_MAX)).lines().count(), CALLED_WORKFLOWS_MAX);
    let refused = planned(&body(CALLED_WORKFLOWS_MAX + 1));
    assert!(refused.contains("a run may call 50 different workflows"), "{refused}");
}

#[test]
fn a_call_gives_its_workflow_typed_inputs_defaults_and_empty_values() {
    let mut library = Files::default();
    let called = "on:
  workflow_call:
    inputs:
      tag: { type: string, required: true }
      count: { type: number, default: 2 }
      dry: { type: boolean }
      where: { type: string, default: \"${{ github.ref }}\" }
      list: { type: number }
    outputs: { url: { value: \"${{ jobs.d.outputs.url }}\" } }
jobs: { d: { runs-on: x, steps: [] } }
";
    library.files.insert(".github/workflows/y.yml".to_owned(), (called.to_owned(), String::new()));
    let root = fine(
        ".github/workflows/x.yml",
        "on: push\njobs:\n  a: { uses: ./.github/workflows/y.yml, with: { TAG: 1.10, dry: \"${{ 1 == 1 }}\", list: \"${{ github.list }}\" } }\n",
    );
    let plan = crate::github::plan(&root, &run(), &mut library).unwrap();
    let PlannedBody::Call(call) = &plan.job("a").unwrap().body else { panic!("a call") };
    let values = |list: &str| {
        let github = expr::from_json(&format!(r#"{{"ref":"refs/heads/main","list":{list}}}"#)).unwrap();
        let contexts = Contexts::new().with("github", github);
        let inputs = call.inputs_from(|template| template.evaluate(&contexts));
        inputs.map(|inputs| {
            inputs.iter().map(|(name, value)| format!("{name}={}", expr::to_json(value))).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        values("7").unwrap(),
        ["tag=\"1.1\"", "count=2", "dry=true", "where=\"refs/heads/main\"", "list=7"]
    );
    assert_eq!(values("\"many\"").unwrap_err().message, "Unexpected value 'many'");
    assert_eq!(call.outputs.first().unwrap().0, "url");
    assert_eq!(plan.job("a/d").unwrap().display_name, "a / d");
    assert!(plan.job("b").is_none());
}
