//! The run of workflows: which jobs, in which order, with what between them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use landfall_check::github::{
    self, CalledSecrets, Contexts, Object, PlannedBody, PlannedCall, PlannedJob, RunFacts, Status, Step,
    Value, Workflow,
};
use landfall_serve::World;
use landfall_serve::issuer::Signer;
use landfall_serve::log::Verdict;
use landfall_types::{Finding, SourceMap};

use crate::event::{Event, ImageMade, Observer, Outcome, Ready, SessionMade, Summary};
use crate::job::{self, JobResult};
use crate::library::{Folders, Remotes};
use crate::readiness::{chosen, is_chosen, leads_to, not_rehearsed};
use crate::snapshot::Snapshot;

/// Called workflows inside of each other; GitHub's own limit is lower.
const DEPTH_MAX: usize = 16;

/// What GitHub says no to in files that can be read: how they fit together, and what they may ask for.
/// Any other finding before the first job means that something could not be read.
const REFUSALS: &[&str] = &["permissions-exceeded", "workflow-call", "not-rehearsed", "dispatch-inputs"];

/// Reads a variable of the user's environment.
pub type ReadVariable = Box<dyn Fn(&str) -> Option<String>>;

/// Everything that a rehearsal needs to know.
pub struct Rehearsal {
    /// The AWS side.
    pub world: Arc<World>,
    /// All texts.
    pub sources: SourceMap,
    /// The workflows, with the name of their file as the user knows it.
    pub workflows: Vec<(String, Workflow)>,
    /// The run.
    pub facts: RunFacts,
    /// The repository's folder.
    pub repository: PathBuf,
    /// A copy of it.
    pub snapshot: Snapshot,
    /// Other repositories.
    pub remotes: Remotes,
    /// The `landfall` that the steps use.
    pub landfall: PathBuf,
    /// A folder for the jobs.
    pub dir: PathBuf,
    /// The user's environment.
    pub user: ReadVariable,
    /// Secrets.
    pub secrets: Vec<(String, String)>,
    /// Configuration variables.
    pub vars: Vec<(String, String)>,
    /// Run this job and what it needs, and nothing else.
    pub only_job: Option<String>,
    /// Who signs the jobs' tokens.
    pub signer: Signer,
    /// Steps (by name) that take so many seconds longer, as far as lifetimes are concerned.
    pub stretch: Vec<(String, u32)>,
    /// What is told first.
    pub ready: Ready,
}

/// Runs the workflows.
pub async fn run(rehearsal: &Rehearsal, observer: &mut dyn Observer) -> Summary {
    let started = Instant::now();
    observer.event(Event::Ready(&rehearsal.ready));
    let mut executor = Executor {
        rehearsal,
        observer,
        summary: Summary { success: true, ..Summary::default() },
        seen: rehearsal.world.log.last(),
        folders: 0,
        stretched: BTreeSet::new(),
        no_such_job: false,
    };
    for (file, workflow) in &rehearsal.workflows {
        executor.workflow(file, workflow).await;
    }
    executor.tell_unused();
    let Executor { mut summary, no_such_job, .. } = executor;
    summary.unreadable |= no_such_job && summary.jobs == 0;
    // Where nothing ran, nothing was shown to work.
    summary.success &= summary.jobs > 0;
    summary.images = images(&rehearsal.world);
    summary.took = started.elapsed();
    observer.event(Event::Ended(&summary));
    summary
}

fn images(world: &World) -> Vec<ImageMade> {
    let mut made = Vec::new();
    for registry in world.store.registries() {
        for repository in world.store.repositories(&registry) {
            for (image, tags) in world.store.images(&registry, &repository.name) {
                made.push(ImageMade {
                    repository: format!(
                        "{}.dkr.ecr.{}.amazonaws.com/{}",
                        registry.account, registry.region, repository.name
                    ),
                    digest: image.digest.to_string(),
                    tags: tags.iter().map(ToString::to_string).collect(),
                    size_in_bytes: image.size_in_bytes,
                });
            }
        }
    }
    made
}

/// Runs workflows and keeps count.
pub(crate) struct Executor<'a> {
    pub(crate) rehearsal: &'a Rehearsal,
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) summary: Summary,
    /// The last record of the decision log that has been told.
    pub(crate) seen: u64,
    /// Jobs that were given folders.
    pub(crate) folders: usize,
    /// Entries of [`Rehearsal::stretch`] that a step was found for.
    stretched: BTreeSet<usize>,
    /// The one job that is to run was missed in a workflow.
    no_such_job: bool,
}

/// What the jobs of one file see of where they are called from.
pub(crate) struct Frame {
    pub(crate) inputs: Value,
    pub(crate) secrets: Value,
    /// What stands before the names of the jobs: `caller / `.
    display: String,
}

/// The jobs of one file that have ended, in the order in which they did.
type Results = Vec<(String, JobResult)>;

impl Executor<'_> {
    /// Runs one workflow.
    async fn workflow(&mut self, file: &str, workflow: &Workflow) {
        let rehearsal = self.rehearsal;
        let facts = &rehearsal.facts;
        let alone = rehearsal.workflows.len() == 1;
        if let Err(finding) = github::starts(&workflow.on, &facts.event) {
            self.observer.event(Event::NotTriggered { file, finding: &finding, alone });
            return;
        }
        let mut library = Folders {
            sources: &rehearsal.sources,
            repository: &rehearsal.repository,
            git_ref: &facts.event.git_ref,
            sha: &facts.sha,
            remotes: &rehearsal.remotes,
        };
        let plan = match github::plan(workflow, facts, &mut library) {
            Ok(plan) => plan,
            Err(findings) => return self.refused(file, &findings),
        };
        match self.unknown_job(&plan) {
            Some(finding) if alone => return self.refused(file, &[finding]),
            Some(finding) => {
                self.observer.event(Event::NotTriggered { file, finding: &finding, alone });
                self.no_such_job = true;
                return;
            }
            None => {}
        }
        let unready = not_rehearsed(workflow, &chosen(&plan.jobs, rehearsal.only_job.as_deref()));
        if !unready.is_empty() {
            return self.refused(file, &unready);
        }
        self.observer.event(Event::RunStarted { workflow: &plan.workflow_name, file });
        let frame =
            Frame { inputs: plan.inputs.clone().into(), secrets: self.secrets(), display: String::new() };
        let results = self.jobs(&plan.jobs, &frame, 0).await;
        self.summary.success &= matches!(combined(&results), Outcome::Success | Outcome::Skipped);
    }

    fn refused(&mut self, file: &str, findings: &[Finding]) {
        self.summary.success = false;
        self.summary.unreadable |= findings.iter().any(|finding| !REFUSALS.contains(&finding.rule));
        self.observer.event(Event::RunRefused { file, findings });
    }

    fn unknown_job(&self, plan: &github::Plan) -> Option<Finding> {
        let wanted = self.rehearsal.only_job.as_deref()?;
        let known: Vec<&str> = plan.leaves().iter().map(|job| job.path.as_str()).collect();
        let is_known = plan.job(wanted).is_some() || plan.jobs.iter().any(|job| leads_to(job, wanted));
        (!is_known).then(|| {
            Finding::error("unknown-job", format!("there is no job `{wanted}` in this workflow"))
                .help(format!("its jobs are: {}", known.join(", ")))
        })
    }

    /// The `secrets` context. A run for a pull request from a fork sees none but its own token.
    /// <https://docs.github.com/actions/how-tos/write-workflows/choose-what-workflows-do/use-secrets>
    fn secrets(&self) -> Value {
        let facts = &self.rehearsal.facts;
        let event = facts.event.name.as_str();
        let of_fork = facts.from_fork && event.starts_with("pull_request") && event != "pull_request_target";
        let secrets = self.rehearsal.secrets.iter().filter(|_| !of_fork);
        let mut secrets: Object =
            secrets.map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
        secrets.set("GITHUB_TOKEN", Value::Text(self.github_token()));
        secrets.into()
    }

    /// Where the local registry is, as a host with its port.
    pub(crate) fn registry(&self) -> &str {
        self.rehearsal.world.base_url().trim_start_matches("http://")
    }

    /// Lets the AWS side's time go on as if the step had taken that long.
    pub(crate) fn stretch(&mut self, step: &Step, name: &str) {
        for (index, (wanted, seconds)) in self.rehearsal.stretch.iter().enumerate() {
            let by_id = step.id.as_ref().is_some_and(|id| id.value == *wanted);
            if by_id || name.eq_ignore_ascii_case(wanted) {
                self.rehearsal.world.clock.advance(*seconds);
                self.stretched.insert(index);
            }
        }
    }

    /// A stretch without its step has shown nothing.
    fn tell_unused(&mut self) {
        for (index, (wanted, _)) in self.rehearsal.stretch.iter().enumerate() {
            if !self.stretched.contains(&index) {
                self.summary.success = false;
                let finding = Finding::error("unknown-step", format!("no step `{wanted}` ran"))
                    .help("--stretch takes a step's name or id, as the steps above have it");
                self.observer.event(Event::Remark { finding: &finding });
            }
        }
    }

    /// A token of GitHub's form that opens nothing: there is no GitHub API here.
    pub(crate) fn github_token(&self) -> String {
        let seed = format!("{}{}", self.rehearsal.world.base_url(), self.rehearsal.facts.run_id);
        let hash = landfall_wire::hash::sha256_hex(seed.as_bytes());
        format!("ghs_{}", hash.chars().take(36).collect::<String>())
    }

    /// Runs the jobs of one file by their needs, one after the other.
    async fn jobs(&mut self, jobs: &[PlannedJob], frame: &Frame, depth: usize) -> Results {
        let mut results: Results = Vec::new();
        let mut waiting: Vec<&PlannedJob> = jobs.iter().collect();
        while !waiting.is_empty() && depth < DEPTH_MAX {
            let is_ready =
                |job: &&PlannedJob| job.needs.iter().all(|need| result_of(&results, need).is_some());
            // INVARIANT: the plan has no cycles and no unknown needs, so one job is always ready.
            let Some(position) = waiting.iter().position(is_ready) else { break };
            let job = waiting.remove(position);
            let result = self.job(jobs, job, frame, &results, depth).await;
            results.push((job.id.clone(), result));
        }
        results
    }

    async fn job(
        &mut self,
        jobs: &[PlannedJob],
        job: &PlannedJob,
        frame: &Frame,
        results: &Results,
        depth: usize,
    ) -> JobResult {
        if let Some(wanted) = self.rehearsal.only_job.as_deref()
            && !is_chosen(jobs, job, wanted)
        {
            self.observer.event(Event::JobSkipped { name: &job.display_name, why: "not asked for" });
            return JobResult::skipped();
        }
        let mut contexts = self.job_contexts(job, frame, results);
        contexts.status = status(jobs, job, results);
        contexts.job_results = results.iter().map(|(id, result)| (id.clone(), result.outcome)).collect();
        let name = name_of(job, frame, &contexts);
        let due = match &job.job.condition {
            None => Ok(contexts.status.success),
            Some(condition) => condition.evaluate_condition(&contexts),
        };
        drop(contexts);
        let skipped = match due {
            Ok(true) => None,
            Ok(false) if job.job.condition.is_none() => Some("a job that it needs did not succeed"),
            Ok(false) => Some("its `if` is false"),
            Err(error) => {
                let why = format!("its `if` has no value: {error}");
                self.observer.event(Event::JobSkipped { name: &name, why: &why });
                return JobResult::failed();
            }
        };
        if let Some(why) = skipped {
            self.observer.event(Event::JobSkipped { name: &name, why });
            return JobResult::skipped();
        }
        match &job.body {
            PlannedBody::Call(call) => Box::pin(self.call(job, call, (frame, &name), results, depth)).await,
            PlannedBody::Steps(steps) => {
                let needs = needs(job, results);
                let steps = Arc::clone(steps);
                job::run(self, job, &steps, frame, needs, &name).await
            }
        }
    }

    /// Contexts of a job before it has a runner.
    fn job_contexts(&self, job: &PlannedJob, frame: &Frame, results: &Results) -> Contexts<'static> {
        Contexts::new()
            .with("github", self.github_context(job).into())
            .with("inputs", frame.inputs.clone())
            .with("vars", pairs(&self.rehearsal.vars))
            .with("needs", needs(job, results))
            .with("secrets", frame.secrets.clone())
    }

    /// The `github` context, as far as it is the same for all steps.
    pub(crate) fn github_context(&self, job: &PlannedJob) -> Object {
        github::context::github(&self.rehearsal.facts, job)
            .with("token", Value::Text(self.github_token()))
            .with("secret_source", Value::from("Actions"))
    }

    async fn call(
        &mut self,
        job: &PlannedJob,
        call: &PlannedCall,
        (frame, name): (&Frame, &str),
        results: &Results,
        depth: usize,
    ) -> JobResult {
        let contexts = self.job_contexts(job, frame, results);
        let inner = match self.frame_of(call, (frame, name), &contexts) {
            Ok(inner) => inner,
            Err(finding) => {
                self.observer.event(Event::RunRefused { file: &call.workflow.path, findings: &[finding] });
                return JobResult::failed();
            }
        };
        drop(contexts);
        let ended = self.jobs(&call.jobs, &inner, depth + 1).await;
        let outcome = combined(&ended);
        let contexts = Contexts::new()
            .with("github", self.github_context(job).into())
            .with("inputs", inner.inputs.clone())
            .with("vars", pairs(&self.rehearsal.vars))
            .with("jobs", results_value(&ended));
        let mut outputs = Object::new();
        for (name, value) in &call.outputs {
            match value.evaluate_text(&contexts) {
                Ok(text) => outputs.set(name.as_str(), Value::Text(text)),
                Err(error) => {
                    let line = format!("Error: output `{name}` of the called workflow: {error}");
                    self.observer.event(Event::Output { line: &line });
                    return JobResult::failed();
                }
            }
        }
        JobResult { outcome, outputs }
    }

    fn frame_of(
        &self,
        call: &PlannedCall,
        (frame, name): (&Frame, &str),
        contexts: &Contexts<'_>,
    ) -> Result<Frame, Finding> {
        let mut inputs = Object::new();
        for input in &call.with {
            let name = &input.declared.name.value;
            let value = match (&input.given, &input.declared.default) {
                (Some(template), _) | (None, Some(template)) => template
                    .evaluate(contexts)
                    .map_err(|error| Finding::error("expression", error.message).at(error.span, "here"))?,
                (None, None) => input.declared.empty(),
            };
            let converted = input.declared.kind.convert(&value).ok_or_else(|| {
                let wanted = input.declared.kind.as_str();
                let finding = Finding::error(
                    "input-type",
                    format!("input `{name}` of the called workflow must be a {wanted}"),
                )
                .at(input.declared.name.span, "declared here");
                match &input.given {
                    Some(given) => finding.at(given.span, "given here"),
                    None => finding,
                }
            })?;
            inputs.set(name.as_str(), converted);
        }
        let secrets = match &call.secrets {
            CalledSecrets::Inherit => frame.secrets.clone(),
            CalledSecrets::Named(named) => {
                let mut secrets = Object::new();
                for (name, value) in named {
                    let text = value.evaluate_text(contexts).map_err(|error| {
                        Finding::error("expression", error.message).at(error.span, "this secret has no value")
                    })?;
                    secrets.set(name.as_str(), Value::Text(text));
                }
                secrets.set("GITHUB_TOKEN", Value::Text(self.github_token()));
                secrets.into()
            }
        };
        Ok(Frame { inputs: inputs.into(), secrets, display: format!("{name} / ") })
    }

    /// The decisions that fell since this was last asked, counted.
    pub(crate) fn decisions(&mut self) -> Vec<Arc<landfall_serve::log::Record>> {
        let records = self.rehearsal.world.log.after(self.seen);
        self.seen = records.last().map_or(self.seen, |record| record.sequence);
        self.summary.calls += records.len();
        for record in &records {
            match &record.verdict {
                Verdict::Refused { .. } => self.summary.refused += 1,
                Verdict::Allowed if record.operation == "AssumeRoleWithWebIdentity" => {
                    let session = SessionMade {
                        role: record.resource.clone().unwrap_or_default(),
                        subject: record.caller.clone(),
                    };
                    if !self.summary.sessions.contains(&session) {
                        self.summary.sessions.push(session);
                    }
                }
                Verdict::Allowed => {}
            }
        }
        records
    }
}

fn result_of<'r>(results: &'r Results, id: &str) -> Option<&'r JobResult> {
    results.iter().find(|(known, _)| known.eq_ignore_ascii_case(id)).map(|(_, result)| result)
}

/// A job's name with its expressions evaluated, behind those of the jobs that called its file.
fn name_of(job: &PlannedJob, frame: &Frame, contexts: &Contexts<'_>) -> String {
    let named = job.job.name.as_ref().and_then(|name| name.evaluate_text(contexts).ok());
    format!("{}{}", frame.display, named.filter(|name| !name.is_empty()).unwrap_or_else(|| job.id.clone()))
}

/// Ids of all jobs that a job needs, directly or not.
pub(crate) fn ancestors(jobs: &[PlannedJob], job: &PlannedJob) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open: Vec<String> = job.needs.clone();
    while let Some(id) = open.pop() {
        if found.iter().any(|known| known.eq_ignore_ascii_case(&id)) {
            continue;
        }
        if let Some(needed) = jobs.iter().find(|job| job.id.eq_ignore_ascii_case(&id)) {
            open.extend(needed.needs.iter().cloned());
            found.push(needed.id.clone());
        }
    }
    found
}

fn status(jobs: &[PlannedJob], job: &PlannedJob, results: &Results) -> Status {
    let outcomes: Vec<Outcome> = ancestors(jobs, job)
        .iter()
        .filter_map(|id| result_of(results, id))
        .map(|result| result.outcome)
        .collect();
    Status {
        success: outcomes.iter().all(|outcome| *outcome == Outcome::Success),
        failure: outcomes.contains(&Outcome::Failure),
        cancelled: false,
    }
}

fn combined(results: &Results) -> Outcome {
    let outcomes: Vec<Outcome> = results.iter().map(|(_, result)| result.outcome).collect();
    if outcomes.contains(&Outcome::Failure) {
        Outcome::Failure
    } else if outcomes.contains(&Outcome::Cancelled) {
        Outcome::Cancelled
    } else if !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == Outcome::Skipped) {
        Outcome::Skipped
    } else {
        Outcome::Success
    }
}

fn result_value(result: &JobResult) -> Value {
    let object = Object::new()
        .with("result", Value::Text(result.outcome.as_str().to_owned()))
        .with("outputs", Value::Object(result.outputs.clone().into()));
    Value::Object(object.into())
}

fn results_value(results: &Results) -> Value {
    let object: Object = results.iter().map(|(id, result)| (id.clone(), result_value(result))).collect();
    Value::Object(object.into())
}

fn needs(job: &PlannedJob, results: &Results) -> Value {
    let needed = job
        .needs
        .iter()
        .filter_map(|id| result_of(results, id).map(|result| (id.clone(), result_value(result))));
    Value::Object(needed.collect::<Object>().into())
}

/// Names and values as an object.
pub(crate) fn pairs(pairs: &[(String, String)]) -> Value {
    let object: Object =
        pairs.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
    Value::Object(object.into())
}
