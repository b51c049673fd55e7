//! Before anything runs: which jobs are to run, and whether they ask for something that is not rehearsed.
//! A rehearsal that leaves something out would prove nothing.
//!
//! Calls are at most ten levels deep (the plan sees to that), so recursion is bounded.

use std::collections::BTreeMap;

use landfall_check::github::model::{JobBody, Step, StepBody};
use landfall_check::github::{PlannedBody, PlannedJob, Workflow};
use landfall_types::{Finding, Span};

use crate::action;
use crate::flow::ancestors;
use crate::run::Rehearsal;

/// Whether a job is the wanted one, lies inside of it, or leads to it.
pub(crate) fn leads_to(job: &PlannedJob, wanted: &str) -> bool {
    job.path == wanted
        || job.id == wanted
        || job.path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
        || matches!(&job.body, PlannedBody::Call(call) if call.jobs.iter().any(|inner| leads_to(inner, wanted)))
}

/// Whether a job of one file runs when one job was asked for: that job, the calls that lead to it, and what
/// they need.
pub(crate) fn is_chosen(jobs: &[PlannedJob], job: &PlannedJob, wanted: &str) -> bool {
    let targets: Vec<&PlannedJob> = jobs.iter().filter(|job| leads_to(job, wanted)).collect();
    // In a called file where nothing is named, everything was asked for by its caller.
    targets.is_empty()
        || targets.iter().any(|target| target.id == job.id || ancestors(jobs, target).contains(&job.id))
}

/// The jobs that are to run, calls among them.
pub(crate) fn chosen<'p>(jobs: &'p [PlannedJob], wanted: Option<&str>) -> Vec<&'p PlannedJob> {
    let mut all = Vec::new();
    for job in jobs.iter().filter(|job| wanted.is_none_or(|wanted| is_chosen(jobs, job, wanted))) {
        all.push(job);
        if let PlannedBody::Call(call) = &job.body {
            all.extend(chosen(&call.jobs, wanted));
        }
    }
    all
}

/// What a workflow asks for that a rehearsal does not do yet, at its places.
pub(crate) fn not_rehearsed(
    rehearsal: &Rehearsal,
    workflow: &Workflow,
    jobs: &[&PlannedJob],
) -> Vec<Finding> {
    let mut said = Said::default();
    for what in &workflow.unmodelled {
        said.key(what.value, what.span);
    }
    for job in jobs {
        for what in job.workflow.unmodelled.iter().chain(&job.job.unmodelled) {
            said.key(what.value, what.span);
        }
        if let JobBody::Steps(body) = &job.job.body {
            let windows = |text: &str| text.to_ascii_lowercase().starts_with("windows");
            for label in body.runs_on.labels.iter().filter(|label| windows(&label.text)) {
                said.key(&format!("runs-on: {}", label.text), label.span);
            }
            body.steps.iter().for_each(|step| said.step(rehearsal, step));
        }
    }
    said.0.into_values().collect()
}

#[derive(Default)]
struct Said(BTreeMap<(u32, u32), Finding>);

impl Said {
    fn key(&mut self, what: &str, span: Span) {
        if what != "strategy" && !what.contains("concurrency") {
            self.say(format!("`{what}` is not rehearsed yet"), span);
        }
    }

    /// A step that certainly runs. One with an `if` may be left out by it, and fails where it isn't.
    fn step(&mut self, rehearsal: &Rehearsal, step: &Step) {
        if let (StepBody::Uses { uses, .. }, None) = (&step.body, &step.condition)
            && let Some(why) = action::unready(rehearsal, &uses.value, 0)
        {
            self.say(why, uses.span);
        }
    }

    fn say(&mut self, message: String, span: Span) {
        let finding = Finding::error("not-rehearsed", message)
            .at(span, "asked for here")
            .help("leave this job out with --job, or rehearse a workflow without it");
        self.0.entry((span.source.0, span.start)).or_insert(finding);
    }
}
