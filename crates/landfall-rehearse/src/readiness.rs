//! Before anything runs: which jobs are to run, and whether they ask for something that is not rehearsed.
//! A rehearsal that leaves something out would prove nothing.
//!
//! Calls are at most ten levels deep (the plan sees to that), so recursion is bounded.

use std::collections::BTreeMap;

use landfall_check::github::model::{JobBody, Step, StepBody, StepsJob};
use landfall_check::github::{PlannedBody, PlannedJob, Template, Workflow, containers};
use landfall_types::{Finding, Span, Spanned};

use crate::action::{self, Need};
use crate::actions::docker_login;
use crate::docker;
use crate::engine::missing_engine;
use crate::flow::ancestors;
use crate::run::{Rehearsal, Run};

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
pub(crate) async fn not_rehearsed(run: &Run<'_>, workflow: &Workflow, jobs: &[&PlannedJob]) -> Vec<Finding> {
    let rehearsal = run.rehearsal;
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
            // A job with a condition may be left out by it.
            if job.job.condition.is_none() {
                said.containers(body);
            }
            body.steps.iter().for_each(|step| said.step(rehearsal, step));
        }
    }
    said.ask(run).await;
    said.findings.into_values().collect()
}

/// Something that a container engine has to have or do.
struct Asked {
    /// What asks for it, in a few words.
    what: String,
    need: Need,
    span: Span,
}

#[derive(Default)]
struct Said {
    findings: BTreeMap<(u32, u32), Finding>,
    asked: Vec<Asked>,
}

impl Said {
    fn key(&mut self, what: &str, span: Span) {
        if what != "strategy" && !what.contains("concurrency") {
            self.say(format!("`{what}` is not rehearsed yet"), span);
        }
    }

    /// The job's container and its services.
    fn containers(&mut self, body: &StepsJob) {
        let (container, services) = (body.container.as_ref(), body.services.as_ref());
        for (key, span) in containers::asked_for(container, services) {
            self.asked.push(Asked { what: format!("`{key}`"), need: Need::Engine, span });
        }
        for image in containers::fixed_images(container, services) {
            self.asked.push(Asked { what: String::new(), need: Need::Image(image.value), span: image.span });
        }
    }

    /// A step that certainly runs. One with an `if` may be left out by it, and fails where it isn't.
    fn step(&mut self, rehearsal: &Rehearsal, step: &Step) {
        let (StepBody::Uses { uses, with }, None) = (&step.body, &step.condition) else { return };
        let literal = |(name, value): &(Spanned<String>, Template)| {
            let value = value.is_literal().then(|| value.text.clone());
            Some((name.value.clone(), value?))
        };
        let fixed: Vec<(String, String)> = with.iter().filter_map(literal).collect();
        if let Some(why) = action::unready(rehearsal, &uses.value, &fixed, 0) {
            return self.say(why, uses.span);
        }
        let named: Vec<(String, String)> =
            with.iter().map(|(name, value)| (name.value.clone(), value.text.clone())).collect();
        for need in action::needs(rehearsal, &uses.value, &named, 0) {
            self.asked.push(Asked { what: format!("`{}`", uses.value), need, span: uses.span });
        }
    }

    /// Asks the engine for what is needed of it.
    async fn ask(&mut self, run: &Run<'_>) {
        if self.asked.is_empty() {
            return;
        }
        let engine = run.engine().await;
        for Asked { what, need, span } in std::mem::take(&mut self.asked) {
            match (&engine, need) {
                (Err(why), Need::Engine) => self.say(missing_engine(&what, why), span),
                (Ok(engine), Need::Image(image)) => {
                    let is_ecr = docker_login::is_ecr(&image) || image.contains("${");
                    if !is_ecr && !docker::is_loopback(&image) && !engine.has_image(&image).await {
                        self.say(engine.missing(&image), span);
                    }
                }
                (Ok(engine), Need::BuildSecrets) if !engine.takes_build_secrets() => {
                    self.say(docker::build::NO_SECRETS.to_owned(), span);
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, message: String, span: Span) {
        let finding = Finding::error("not-rehearsed", message)
            .at(span, "asked for here")
            .help("leave this job out with --job, or rehearse a workflow without it");
        self.findings.entry((span.source.0, span.start)).or_insert(finding);
    }
}
