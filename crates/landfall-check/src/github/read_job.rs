//! `jobs:` and their steps from a tree.

use std::collections::HashSet;

use landfall_types::tree::Key;
use landfall_types::{Node, Spanned, Tree};

use super::containers;
use super::model::{CallJob, Environment, Job, JobBody, RunsOn, Secrets, Step, StepBody, StepsJob};
use super::read::{Reader, check_identifier};
use super::slot::Slot;
use super::template::{Template, unexpected};

const SHARED_KEYS: &[&str] = &["name", "needs", "if", "permissions", "concurrency", "strategy"];
const STEPS_KEYS: &[&str] = &[
    "runs-on",
    "steps",
    "environment",
    "env",
    "defaults",
    "outputs",
    "timeout-minutes",
    "cancel-timeout-minutes",
    "continue-on-error",
    "container",
    "services",
    "snapshot",
];
const CALL_KEYS: &[&str] = &["uses", "with", "secrets"];

pub(super) fn jobs(reader: &mut Reader, tree: &Tree) -> Option<Vec<Job>> {
    let entries = reader.map(tree)?;
    let (mut jobs, mut seen) = (Vec::new(), HashSet::new());
    for (key, value) in entries {
        if key.text.contains("${{") {
            reader.error(key.span, "A template expression is not allowed in this context", "here");
            continue;
        }
        let id = Spanned::new(key.text.clone(), key.span);
        check_identifier(reader, &id, &mut seen);
        jobs.extend(job(reader, id, value));
    }
    if entries.is_empty() {
        reader.error(tree.span, NO_START, "there are no jobs");
    } else {
        check_needs(reader, &jobs, tree);
    }
    Some(jobs)
}

const NO_START: &str = "The workflow must contain at least one job with no dependencies.";

/// Unknown jobs and cycles, in GitHub's words.
fn check_needs(reader: &mut Reader, jobs: &[Job], tree: &Tree) {
    let find = |id: &str| jobs.iter().position(|job| job.id.value.eq_ignore_ascii_case(id));
    for job in jobs {
        for need in job.needs.iter().filter(|need| find(&need.value).is_none()) {
            let message = format!("Job '{}' depends on unknown job '{}'.", job.id.value, need.value);
            reader.error(need.span, message, "there is no job of this id in the file");
        }
    }
    if !jobs.is_empty() && jobs.iter().all(|job| !job.needs.is_empty()) {
        reader.error(
            tree.entries().first().map_or(tree.span, |(key, _)| key.span),
            NO_START,
            "all jobs wait",
        );
        return;
    }
    for job in jobs {
        for need in job.needs.iter().filter(|need| reaches(jobs, &need.value, &job.id.value)) {
            let message = format!(
                "Job '{}' depends on job '{}' which creates a cycle in the dependency graph.",
                job.id.value, need.value
            );
            reader.error(need.span, message, "this need closes a circle");
        }
    }
}

/// Whether following needs from one job comes to another.
fn reaches(jobs: &[Job], from: &str, to: &str) -> bool {
    let (mut pending, mut seen) = (vec![from.to_ascii_lowercase()], HashSet::new());
    while let Some(id) = pending.pop() {
        if id.eq_ignore_ascii_case(to) {
            return true;
        }
        if !seen.insert(id.clone()) {
            continue;
        }
        let job = jobs.iter().find(|job| job.id.value.eq_ignore_ascii_case(&id));
        let needs = job.map_or(&[][..], |job| &job.needs);
        pending.extend(needs.iter().map(|need| need.value.to_ascii_lowercase()));
    }
    false
}

fn job(reader: &mut Reader, id: Spanned<String>, tree: &Tree) -> Option<Job> {
    reader.map(tree)?;
    let own = |key: &Key| match key.text.as_str() {
        text if STEPS_KEYS.contains(&text) => Some(false),
        text if CALL_KEYS.contains(&text) => Some(true),
        _ => None,
    };
    // The first key that only one kind of job has decides which kind it is.
    let Some(is_call) = tree.entries().iter().find_map(|(key, _)| own(key)) else {
        let mut keys = [STEPS_KEYS, CALL_KEYS].concat();
        keys.sort_unstable();
        let message = format!(
            "There's not enough info to determine what you meant. Add one of these properties: {}",
            keys.join(", ")
        );
        reader.error(id.span, message, "this job has neither steps nor `uses`");
        return None;
    };
    let (keys, what) = match is_call {
        true => ([SHARED_KEYS, CALL_KEYS].concat(), "a job that calls a workflow"),
        false => ([SHARED_KEYS, STEPS_KEYS].concat(), "a job with steps"),
    };
    reader.only(tree, &keys, what);
    let name = reader.field_template(tree, "name", Slot::Job);
    let needs = tree.field("needs").map_or_else(Vec::new, |tree| reader.plain_list(tree));
    let condition =
        tree.field("if").and_then(|tree| Template::read_condition(tree, Slot::JobIf, &mut reader.findings));
    let permissions = tree.field("permissions").and_then(|tree| reader.permissions(tree));
    let concurrency = tree.field("concurrency").and_then(|tree| reader.concurrency(tree, Slot::Job));
    let strategy = tree.field("strategy").and_then(|tree| reader.strategy(tree));
    let body = match is_call {
        true => call_job(reader, tree).map(|job| JobBody::Call(Box::new(job))),
        false => steps_job(reader, tree).map(|job| JobBody::Steps(Box::new(job))),
    };
    let unmodelled = reader.take_unmodelled();
    let (body, span) = (body?, tree.span);
    Some(Job { id, name, needs, condition, permissions, concurrency, strategy, body, unmodelled, span })
}

fn call_job(reader: &mut Reader, tree: &Tree) -> Option<CallJob> {
    let uses = match tree.field("uses") {
        Some(uses) => reader.plain_filled(uses)?,
        None => return reader.missing(tree, "uses"),
    };
    let with = reader.field_pairs(tree, "with", Slot::Job);
    let secrets = match tree.field("secrets") {
        None => Secrets::Named(Vec::new()),
        Some(tree) => match tree.as_text() {
            Some("inherit") => Secrets::Inherit(tree.span),
            Some(text) if !text.contains("${{") => {
                reader.error(tree.span, unexpected(text), "`inherit` or a mapping is expected here");
                Secrets::Named(Vec::new())
            }
            _ => Secrets::Named(reader.pairs(tree, Slot::JobEnv)),
        },
    };
    Some(CallJob { uses, with, secrets })
}

fn steps_job(reader: &mut Reader, tree: &Tree) -> Option<StepsJob> {
    let runs_on = match tree.field("runs-on") {
        Some(tree) => runs_on(reader, tree),
        None => reader.missing(tree, "runs-on"),
    };
    let steps = match tree.field("steps") {
        Some(tree) => steps(reader, tree),
        None => reader.missing(tree, "steps"),
    };
    for key in ["container", "services"] {
        if let Some(value) = tree.field(key) {
            containers::check(reader, key, value);
        }
    }
    if let Some(value) = tree.field("snapshot") {
        reader.unmodelled.push(Spanned::new("snapshot", value.span));
        containers::expressions(reader, value, Slot::Job);
    }
    let environment = tree.field("environment").and_then(|tree| environment(reader, tree));
    let env = reader.field_pairs(tree, "env", Slot::JobEnv);
    let defaults = reader.defaults(tree, Slot::JobDefaults);
    let outputs = reader.field_pairs(tree, "outputs", Slot::JobOutputs);
    let timeout_minutes = reader.number_template(tree, "timeout-minutes", Slot::Job);
    let cancel_timeout_minutes = reader.number_template(tree, "cancel-timeout-minutes", Slot::Job);
    let continue_on_error = reader.bool_template(tree, "continue-on-error", Slot::Job);
    Some(StepsJob {
        runs_on: runs_on?,
        environment,
        env,
        defaults,
        outputs,
        steps: steps?,
        timeout_minutes,
        cancel_timeout_minutes,
        continue_on_error,
        container: tree.field("container").cloned(),
        services: tree.field("services").cloned(),
        snapshot: tree.field("snapshot").cloned(),
    })
}

fn runs_on(reader: &mut Reader, tree: &Tree) -> Option<RunsOn> {
    let span = tree.span;
    let list = |reader: &mut Reader, tree: &Tree| match &tree.node {
        Node::List(items) => items.iter().filter_map(|item| reader.filled(item, Slot::Job)).collect(),
        _ => reader.filled(tree, Slot::Job).into_iter().collect::<Vec<_>>(),
    };
    if !matches!(tree.node, Node::Map(_)) {
        let labels = list(reader, tree);
        return (!labels.is_empty()).then_some(RunsOn { labels, group: None, span });
    }
    reader.only(tree, &["group", "labels"], "`runs-on`");
    let labels = tree.field("labels").map_or_else(Vec::new, |tree| list(reader, tree));
    let group = tree.field("group").and_then(|tree| reader.filled(tree, Slot::Job));
    Some(RunsOn { labels, group, span })
}

fn environment(reader: &mut Reader, tree: &Tree) -> Option<Environment> {
    let span = tree.span;
    if !matches!(tree.node, Node::Map(_)) {
        let name = reader.template(tree, Slot::Job)?;
        return Some(Environment { name, url: None, deployment: None, span });
    }
    reader.only(tree, &["name", "url", "deployment"], "`environment`");
    let name = match tree.field("name") {
        Some(name) => reader.template(name, Slot::Job),
        None => reader.missing(tree, "name"),
    };
    let url = reader.field_template(tree, "url", Slot::EnvironmentUrl);
    let deployment = reader.bool_template(tree, "deployment", Slot::Job);
    Some(Environment { name: name?, url, deployment, span })
}

pub(super) fn steps(reader: &mut Reader, tree: &Tree) -> Option<Vec<Step>> {
    let items = match &tree.node {
        Node::List(items) => items,
        Node::Map(_) => {
            reader.error(tree.span, "A mapping was not expected", "a list of steps is expected here");
            return None;
        }
        _ => {
            let text = unexpected(&tree.scalar().unwrap_or_default());
            reader.error(tree.span, text, "a list of steps is expected here");
            return None;
        }
    };
    let mut seen = HashSet::new();
    let mut steps = Vec::new();
    for item in items {
        if let Some(step) = step(reader, item) {
            if let Some(id) = &step.id {
                check_identifier(reader, id, &mut seen);
            }
            steps.push(step);
        }
    }
    Some(steps)
}

const RUN_STEP: &[&str] = &[
    "name",
    "id",
    "if",
    "timeout-minutes",
    "run",
    "continue-on-error",
    "env",
    "working-directory",
    "shell",
    "background",
];
const USES_STEP: &[&str] =
    &["name", "id", "if", "continue-on-error", "timeout-minutes", "uses", "with", "env", "background"];
const OTHER_STEP: &[&str] = &["name", "id", "continue-on-error", "wait", "wait-all", "cancel", "parallel"];

fn step(reader: &mut Reader, tree: &Tree) -> Option<Step> {
    let entries = reader.map(tree)?;
    let kind = entries.iter().find_map(|(key, _)| match key.text.as_str() {
        "run" | "working-directory" | "shell" => Some(RUN_STEP),
        "uses" | "with" => Some(USES_STEP),
        _ if reader.in_action => None,
        "wait" | "wait-all" | "cancel" | "parallel" => Some(OTHER_STEP),
        _ => None,
    });
    let Some(keys) = kind else {
        let message = "There's not enough info to determine what you meant. Add one of these properties: \
                       cancel, run, shell, uses, wait, wait-all, with, working-directory";
        reader.error(
            entries.first().map_or(tree.span, |(key, _)| key.span),
            message,
            "this step does nothing",
        );
        return None;
    };
    let of_jobs = |key: &&&str| !reader.in_action || !matches!(**key, "timeout-minutes" | "background");
    let known: Vec<&str> = keys.iter().filter(of_jobs).copied().collect();
    reader.only(tree, &known, "a step of this kind");
    if let Some(value) = tree.field("background") {
        reader.unmodelled.push(Spanned::new("background steps", value.span));
    }
    let (slot, slot_if) = reader.step_slots();
    let body = step_body(reader, tree, keys);
    let id = tree.field("id").and_then(|tree| reader.plain_filled(tree));
    let name = reader.field_template(tree, "name", slot);
    let condition =
        tree.field("if").and_then(|tree| Template::read_condition(tree, slot_if, &mut reader.findings));
    let env = reader.field_pairs(tree, "env", slot);
    let continue_on_error = reader.bool_template(tree, "continue-on-error", slot);
    let timeout_minutes = reader.number_template(tree, "timeout-minutes", slot);
    let working_directory = reader.field_template(tree, "working-directory", slot);
    let shell = reader.field_template(tree, "shell", slot);
    let (body, span) = (body?, tree.span);
    Some(Step {
        id,
        name,
        condition,
        env,
        continue_on_error,
        timeout_minutes,
        working_directory,
        shell,
        body,
        span,
    })
}

fn step_body(reader: &mut Reader, tree: &Tree, keys: &[&str]) -> Option<StepBody> {
    let (slot, _) = reader.step_slots();
    if keys == RUN_STEP {
        if reader.in_action && tree.field("shell").is_none() {
            return reader.missing(tree, "shell");
        }
        return match tree.field("run") {
            Some(run) => Some(StepBody::Run { script: reader.template(run, slot)? }),
            None => reader.missing(tree, "run"),
        };
    }
    if keys == USES_STEP {
        let Some(uses) = tree.field("uses") else { return reader.missing(tree, "uses") };
        let uses = reader.plain_filled(uses)?;
        check_uses(reader, &uses);
        let with = reader.field_pairs(tree, "with", slot);
        return Some(StepBody::Uses { uses, with });
    }
    let (key, value) = tree
        .entries()
        .iter()
        .find(|(key, _)| matches!(key.text.as_str(), "wait" | "wait-all" | "cancel" | "parallel"))?;
    reader.check_inside(value, Slot::Step);
    reader.unmodelled.push(Spanned::new("steps that wait, cancel or run in parallel", key.span));
    let key = Spanned::new(key.text.clone(), key.span);
    Some(StepBody::Unmodelled { key, value: value.clone() })
}

/// `{org}/{repo}[/path]@ref`, `./path`, `$/path` or `docker://image`.
fn check_uses(reader: &mut Reader, uses: &Spanned<String>) {
    let text = &uses.value;
    if ["./", ".\\", "$/", "docker://"].iter().any(|start| text.starts_with(start)) {
        return;
    }
    let fits = text.split_once('@').is_some_and(|(action, reference)| {
        let mut parts = action.split('/');
        let (owner, repository) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        !owner.is_empty() && !repository.is_empty() && !reference.is_empty()
    });
    if !fits {
        let message = format!("Expected format {{org}}/{{repo}}[/path]@ref. Actual '{text}'");
        reader.error(uses.span, message, "this action");
    }
}
