//! One job: its folders, its ID-token endpoint, its steps one after the other, and what is undone at
//! the end.

use std::collections::BTreeMap;
use std::time::Instant;

use landfall_check::github::masks::Masks;
use landfall_check::github::{self, Contexts, Object, PlannedJob, Status, StepsJob, TokenFacts, Value};
use landfall_serve::control::Endpoint;
use landfall_types::Span;
use landfall_types::claims::GITHUB_ISSUER;

use crate::event::{Event, JobStarted, Outcome, StepEnded};
use crate::home::{self, Folders};
use crate::run::{Executor, Frame, outcome, pairs};
use crate::step;
use crate::teach::{self, Asked};

/// How a job ended, and what it hands on.
#[derive(Clone, Debug)]
pub struct JobResult {
    /// GitHub's `result`.
    pub outcome: github::Outcome,
    /// Its outputs.
    pub outputs: Object,
}

impl JobResult {
    /// A job that did not run.
    pub fn skipped() -> Self {
        Self { outcome: github::Outcome::Skipped, outputs: Object::new() }
    }

    /// A job that could not go on.
    pub fn failed() -> Self {
        Self { outcome: github::Outcome::Failure, outputs: Object::new() }
    }
}

/// A job while it runs.
pub(crate) struct JobRun<'j> {
    pub(crate) job: &'j PlannedJob,
    pub(crate) body: &'j StepsJob,
    pub(crate) frame: &'j Frame,
    pub(crate) needs: Value,
    pub(crate) folders: Folders,
    /// What every step begins with.
    pub(crate) base_env: BTreeMap<String, String>,
    /// `env` of the workflow and of the job, evaluated.
    pub(crate) file_env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_ENV`.
    pub(crate) written_env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_PATH`, the newest first.
    pub(crate) paths: Vec<String>,
    pub(crate) steps: Object,
    pub(crate) failed: bool,
    pub(crate) masks: Masks,
    pub(crate) endpoint: Option<Endpoint>,
    /// The job's environment, evaluated.
    pub(crate) environment: Option<(String, Span)>,
    /// Where the role was asked for last: what later refusals are traced back to.
    pub(crate) login: Option<Asked>,
    /// Commands that run after the last step, in the order in which they were asked for.
    pub(crate) posts: Vec<Post>,
    pub(crate) state_count: usize,
}

/// Something that runs after a job's last step.
pub(crate) struct Post {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) span: Span,
}

/// Runs a job.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    job: &PlannedJob,
    body: &StepsJob,
    frame: &Frame,
    needs: Value,
) -> JobResult {
    let mut run = match prepare(executor, job, body, frame, needs) {
        Ok(run) => run,
        Err(why) => {
            executor.observer.event(Event::JobSkipped { name: &job.display_name, why: &why });
            executor.summary.success = false;
            return JobResult::failed();
        }
    };
    executor.summary.jobs += 1;
    executor.observer.event(Event::JobStarted(&started(executor, &run)));
    for (index, step) in body.steps.iter().enumerate() {
        step::run(executor, &mut run, index, step).await;
    }
    for post in std::mem::take(&mut run.posts).into_iter().rev() {
        step::run_post(executor, &mut run, &post).await;
    }
    if let Some(endpoint) = &run.endpoint {
        executor.rehearsal.world.jobs.close(&endpoint.id);
    }
    let outcome_of_job = if run.failed { github::Outcome::Failure } else { github::Outcome::Success };
    let outputs = outputs(executor, &run);
    let forgiven = body
        .continue_on_error
        .as_ref()
        .is_some_and(|template| template.evaluate_bool(&run.contexts(executor, &[])).unwrap_or(false));
    executor.observer.event(Event::JobEnded { name: &job.display_name, outcome: outcome(outcome_of_job) });
    JobResult { outcome: if forgiven { github::Outcome::Success } else { outcome_of_job }, outputs }
}

fn prepare<'j>(
    executor: &mut Executor<'_>,
    job: &'j PlannedJob,
    body: &'j StepsJob,
    frame: &'j Frame,
    needs: Value,
) -> Result<JobRun<'j>, String> {
    let rehearsal = executor.rehearsal;
    let dir = rehearsal.dir.join(format!("job-{}", executor.summary.jobs + 1));
    let folders = Folders::make(&dir, &rehearsal.facts.repository, &rehearsal.landfall)
        .map_err(|error| format!("cannot make its folders: {error}"))?;
    let base_env = home::environment(&*rehearsal.user, &folders, rehearsal.world.base_url());
    let mut masks = Masks::new();
    masks.add(&executor.github_token());
    for (_, secret) in &rehearsal.secrets {
        masks.add(secret);
    }
    let mut run = JobRun {
        job,
        body,
        frame,
        needs,
        folders,
        base_env,
        file_env: Vec::new(),
        written_env: Vec::new(),
        paths: Vec::new(),
        steps: Object::new(),
        failed: false,
        masks,
        endpoint: None,
        environment: None,
        login: None,
        posts: Vec::new(),
        state_count: 0,
    };
    let payload = github::expr::to_json(&crate::payload::event(&rehearsal.facts));
    std::fs::write(run.folders.commands.join("event.json"), payload)
        .map_err(|error| format!("cannot write the event's payload: {error}"))?;
    for (name, template) in job.workflow.env.iter().chain(&body.env) {
        let value =
            template.evaluate_text(&run.contexts(executor, &[])).map_err(|error| error.to_string())?;
        run.file_env.retain(|(known, _)| *known != name.value);
        run.file_env.push((name.value.clone(), value));
    }
    if let Some(environment) = &body.environment {
        let name = environment
            .name
            .evaluate_text(&run.contexts(executor, &[]))
            .map_err(|error| error.to_string())?;
        run.environment = (!name.is_empty()).then_some((name, environment.span));
    }
    if job.permissions.may_mint() {
        run.endpoint = Some(open_endpoint(executor, &run));
        if let Some(endpoint) = &run.endpoint {
            run.masks.add(endpoint.bearer.expose());
        }
    }
    Ok(run)
}

/// The job's own ID-token endpoint: it tells this job's claims, whoever asks for which audience.
fn open_endpoint(executor: &Executor<'_>, run: &JobRun<'_>) -> Endpoint {
    let world = &executor.rehearsal.world;
    let environment = run.environment.as_ref().map(|(name, _)| name.as_str());
    let facts = TokenFacts::of_job(&executor.rehearsal.facts, run.job, environment, None);
    let make = move |audience: Option<&str>, now: landfall_types::Timestamp, id: &str| {
        let facts = TokenFacts { audience: audience.map(str::to_owned), ..facts.clone() };
        github::token_claims(&facts, now.seconds(), id)
    };
    world.jobs.open(world, GITHUB_ISSUER, executor.rehearsal.signer, Box::new(make))
}

fn started(executor: &Executor<'_>, run: &JobRun<'_>) -> JobStarted {
    let environment = run.environment.as_ref().map(|(name, _)| name.as_str());
    let facts = TokenFacts::of_job(&executor.rehearsal.facts, run.job, environment, None);
    JobStarted {
        name: run.job.display_name.clone(),
        file: executor.rehearsal.sources.name(run.job.workflow.source).to_string(),
        subject: run.endpoint.is_some().then(|| github::subject(&facts)),
    }
}

fn outputs(executor: &mut Executor<'_>, run: &JobRun<'_>) -> Object {
    let mut outputs = Object::new();
    for (name, template) in &run.body.outputs {
        let value = template.evaluate_text(&run.contexts(executor, &[])).unwrap_or_default();
        // GitHub drops an output that would carry a secret to another job.
        if run.masks.contains_secret(&value) {
            let line = format!("Skip output '{}' since it may contain secret.", name.value);
            executor.observer.event(Event::Output { line: &line });
        } else {
            outputs.set(name.value.as_str(), Value::Text(value));
        }
    }
    outputs
}

impl JobRun<'_> {
    /// The contexts of a step; `env` is what the step would see.
    pub(crate) fn contexts(
        &self,
        executor: &Executor<'_>,
        step_env: &[(String, String)],
    ) -> Contexts<'static> {
        let mut env = Object::case_sensitive();
        for (name, value) in self.file_env.iter().chain(&self.written_env).chain(step_env) {
            env.set(name.as_str(), Value::Text(value.clone()));
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let status = if self.failed { "failure" } else { "success" };
        let (os, arch) = runner();
        let runner = Object::new()
            .with("os", text(os))
            .with("arch", text(arch))
            .with("name", text("landfall"))
            .with("environment", text("self-hosted"))
            .with("temp", Value::Text(self.folders.temp.display().to_string()))
            .with("tool_cache", Value::Text(self.folders.temp.display().to_string()));
        let strategy = Object::new()
            .with("fail-fast", Value::Bool(true))
            .with("job-index", Value::Number(0.0))
            .with("job-total", Value::Number(1.0))
            .with("max-parallel", Value::Number(1.0));
        let mut contexts = Contexts::new()
            .with("github", executor.github_context(self.job, Some(&self.folders.workspace)))
            .with("inputs", self.frame.inputs.clone())
            .with("secrets", self.frame.secrets.clone())
            .with("vars", pairs(&executor.rehearsal.vars))
            .with("needs", self.needs.clone())
            .with("env", Value::Object(env.into()))
            .with("steps", Value::Object(self.steps.clone().into()))
            .with("job", Value::Object(Object::new().with("status", text(status)).into()))
            .with("runner", Value::Object(runner.into()))
            .with("strategy", Value::Object(strategy.into()));
        contexts.status = Status { success: !self.failed, failure: self.failed, cancelled: false };
        contexts
    }

    /// Tells the end of a step with the decisions that fell while it ran.
    pub(crate) fn tell_end(
        &mut self,
        executor: &mut Executor<'_>,
        name: &str,
        asked: &Asked,
        result: (Outcome, Option<String>),
        began: Instant,
    ) {
        let decisions = executor.decisions();
        let findings = teach::findings(executor, self, asked, &decisions);
        let (outcome, error) = result;
        let ended =
            StepEnded { name: name.to_owned(), outcome, error, took: began.elapsed(), decisions, findings };
        executor.summary.steps += usize::from(outcome != Outcome::Skipped);
        executor.observer.event(Event::StepEnded(&ended));
    }
}

/// `RUNNER_OS` and `RUNNER_ARCH` of this machine.
pub(crate) fn runner() -> (&'static str, &'static str) {
    let os = if cfg!(target_os = "macos") { "macOS" } else { "Linux" };
    let arch = if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" };
    (os, arch)
}
