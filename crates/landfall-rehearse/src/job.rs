//! One job: its folders, its ID-token endpoint, its steps one after the other, and what is undone at
//! the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use landfall_check::github::expr::HashFiles;
use landfall_check::github::masks::Masks;
use landfall_check::github::{
    self, Contexts, Object, PlannedJob, Status, Step, StepBody, StepsJob, Template, TokenFacts, Value,
};
use landfall_serve::control::Endpoint;
use landfall_types::Span;
use landfall_types::claims::GITHUB_ISSUER;
use landfall_wire::hash::hex;

use crate::action::{self, Scope};
use crate::clients;
use crate::containers::{self, Containers};
use crate::environment::Rules;
use crate::event::{Event, JobStarted, Outcome, StepEnded};
use crate::flow::{Frame, Leg, pairs};
use crate::hash_files::hash_files;
use crate::home::{self, Folders};
use crate::process::Leftovers;
use crate::protocol::Place;
use crate::run::Executor;
use crate::step;
use crate::teach::{self, Asked};

/// What GitHub gives a job when it says nothing, in minutes.
const TIMEOUT_MINUTES_DEFAULT: f64 = 360.0;
/// What GitHub gives a job that is cancelled for its last steps when it says nothing, in minutes.
const CANCEL_MINUTES_DEFAULT: f64 = 5.0;

/// How a job ended, and what it hands on.
#[derive(Clone, Debug)]
pub struct JobResult {
    /// GitHub's `result`.
    pub outcome: Outcome,
    /// Its outputs.
    pub outputs: Object,
}

impl JobResult {
    /// A job without outputs: one that did not run, or could not go on.
    pub fn ended(outcome: Outcome) -> Self {
        Self { outcome, outputs: Object::new() }
    }
}

/// Where a job runs, and with what.
pub(crate) struct Stage<'j> {
    pub(crate) frame: &'j Frame,
    pub(crate) needs: Value,
    pub(crate) leg: Leg,
    /// Its concurrency group.
    pub(crate) group: Option<String>,
}

/// A job while it runs.
pub(crate) struct JobRun<'j> {
    pub(crate) job: &'j PlannedJob,
    pub(crate) body: &'j StepsJob,
    pub(crate) frame: &'j Frame,
    pub(crate) needs: Value,
    /// The leg of the job's matrix.
    leg: Leg,
    pub(crate) folders: Folders,
    /// What every step begins with.
    pub(crate) base_env: BTreeMap<String, String>,
    /// `env` of the workflow and of the job, evaluated.
    file_env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_ENV`.
    written_env: Vec<(String, String)>,
    /// What steps wrote to `GITHUB_PATH`, the newest first.
    pub(crate) paths: Vec<String>,
    pub(crate) steps: Object,
    pub(crate) failed: bool,
    /// The job ran out of time.
    cancelled: bool,
    /// When it does.
    deadline: Instant,
    pub(crate) masks: Masks,
    pub(crate) endpoint: Option<Endpoint>,
    /// The job's environment, evaluated.
    pub(crate) environment: Option<(String, Span)>,
    /// Where the role was asked for last: what later refusals are traced back to.
    pub(crate) login: Option<Asked>,
    /// The composite actions that the running step is inside of.
    pub(crate) scopes: Vec<Scope>,
    /// What actions kept before the first step, by the place of their step.
    pub(crate) pre_states: BTreeMap<u32, Vec<(String, String)>>,
    /// Commands that run after the last step, in the order in which they were asked for.
    pub(crate) posts: Vec<Post>,
    pub(crate) leftovers: Leftovers,
    /// The job's container and its services.
    pub(crate) containers: Option<Containers>,
    /// The job's container could not be started.
    pub(crate) has_lost_container: bool,
    /// The driver of the builder that `docker/setup-buildx-action` has made.
    pub(crate) builder: Option<String>,
    hash_files: Box<HashFiles<'static>>,
    /// What the running step wrote to `GITHUB_STEP_SUMMARY`.
    pub(crate) summary: String,
    /// `GITHUB_ACTION` of the running step.
    action: String,
    /// How often each such name was given.
    actions: BTreeMap<String, usize>,
    number: usize,
}

/// Something that runs after a job's last step.
pub(crate) struct Post {
    pub(crate) name: String,
    pub(crate) program: std::path::PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) place: Place,
    /// Variables beside the step's own: inputs and what was kept.
    pub(crate) further: Vec<(String, String)>,
    /// Whether it runs; without a condition it does.
    pub(crate) condition: Option<Template>,
    pub(crate) span: Span,
    /// The environment of the step that asked for it.
    pub(crate) step_env: Vec<(String, String)>,
}

/// Runs a job.
pub(crate) async fn run(
    executor: &mut Executor<'_>,
    job: &PlannedJob,
    body: &StepsJob,
    stage: Stage<'_>,
    name: &str,
) -> JobResult {
    let group = stage.group.clone();
    let mut run = match prepare(executor, job, body, stage) {
        Ok(run) => run,
        Err(why) => {
            executor.observer.event(Event::JobSkipped { name, why: &why });
            return JobResult::ended(Outcome::Failure);
        }
    };
    executor.count(|summary| summary.jobs += 1);
    executor.observer.event(Event::JobStarted(&started(executor, &run, name, group)));
    containers::initialize(executor, &mut run).await;
    for step in &body.steps {
        action::run_pre(executor, &mut run, step).await;
    }
    for step in &body.steps {
        run.look_at_the_clock(executor);
        step::run(executor, &mut run, step).await;
    }
    for post in std::mem::take(&mut run.posts).into_iter().rev() {
        step::run_post(executor, &mut run, &post).await;
    }
    containers::stop(executor, &mut run).await;
    if let Some(endpoint) = &run.endpoint {
        executor.rehearsal.world.jobs.close(&endpoint.id);
    }
    let outputs = outputs(executor, &mut run);
    let outcome = run.outcome();
    let forgiven = outcome == Outcome::Failure
        && body
            .continue_on_error
            .as_ref()
            .is_some_and(|template| template.evaluate_bool(&run.contexts(executor, &[])).unwrap_or(false));
    executor.observer.event(Event::JobEnded { name, outcome });
    JobResult { outcome: if forgiven { Outcome::Success } else { outcome }, outputs }
}

fn prepare<'j>(
    executor: &mut Executor<'_>,
    job: &'j PlannedJob,
    body: &'j StepsJob,
    stage: Stage<'j>,
) -> Result<JobRun<'j>, String> {
    let Stage { frame, needs, leg, .. } = stage;
    let rehearsal = executor.rehearsal;
    let dir = rehearsal.dir.join(format!("job-{}", executor.next_folder()));
    let folders = Folders::make(&dir, &rehearsal.facts.repository, &rehearsal.landfall)
        .and_then(|folders| folders.share_cargo(&*rehearsal.user).map(|()| folders))
        .map_err(|error| format!("cannot make its folders: {error}"))?;
    let base_env = home::environment(&*rehearsal.user, &folders, executor.aws_url());
    let path = (rehearsal.user)("PATH").unwrap_or_default();
    clients::install(&folders, &path, executor.aws_url())
        .map_err(|error| format!("cannot put the clients of registries in front: {error}"))?;
    let workspace = folders.workspace.clone();
    let mut run = JobRun {
        job,
        body,
        frame,
        needs,
        leg,
        folders,
        base_env,
        file_env: Vec::new(),
        written_env: Vec::new(),
        paths: Vec::new(),
        steps: Object::new(),
        failed: false,
        cancelled: false,
        deadline: Instant::now(),
        masks: masks(executor, frame),
        endpoint: None,
        environment: None,
        login: None,
        scopes: Vec::new(),
        pre_states: BTreeMap::new(),
        posts: Vec::new(),
        leftovers: Leftovers::of(format!("github_{}", hex(&rehearsal.world.random::<16>()))),
        containers: None,
        has_lost_container: false,
        builder: None,
        hash_files: Box::new(move |patterns| hash_files(&workspace, patterns)),
        summary: String::new(),
        action: String::new(),
        actions: BTreeMap::new(),
        number: 0,
    };
    let payload =
        github::expr::to_json(&Value::from(github::context::event(&rehearsal.facts, &job.run_workflow)));
    std::fs::write(run.event_file(), payload)
        .map_err(|error| format!("cannot write the event's payload: {error}"))?;
    run.adopt(executor)?;
    if job.permissions.may_mint() {
        let endpoint = open_endpoint(executor, &run);
        run.masks.add(endpoint.bearer.expose());
        run.endpoint = Some(endpoint);
    }
    let minutes = run.minutes(executor, &body.timeout_minutes)?.unwrap_or(TIMEOUT_MINUTES_DEFAULT);
    run.deadline = Instant::now() + in_minutes(minutes);
    Ok(run)
}

/// The secrets that a job of this file may see, by whatever name.
fn masks(executor: &Executor<'_>, frame: &Frame) -> Masks {
    let mut masks = Masks::new();
    masks.add(&executor.github_token());
    for (_, secret) in &executor.rehearsal.secrets {
        masks.add(secret);
    }
    if let Value::Object(secrets) = &frame.secrets {
        for (_, value) in secrets.iter() {
            masks.add(&value.to_text());
        }
    }
    masks
}

/// The job's own ID-token endpoint: it tells this job's claims, whoever asks for which audience.
fn open_endpoint(executor: &Executor<'_>, run: &JobRun<'_>) -> Endpoint {
    let world = &executor.rehearsal.world;
    let facts = run.token_facts(executor);
    let make = move |audience: Option<&str>, now: landfall_types::Timestamp, id: &str| {
        let facts = TokenFacts { audience: audience.map(str::to_owned), ..facts.clone() };
        github::token_claims(&facts, now.seconds(), id)
    };
    world.jobs.open(world, GITHUB_ISSUER, executor.rehearsal.signer, Box::new(make))
}

fn started(executor: &Executor<'_>, run: &JobRun<'_>, name: &str, group: Option<String>) -> JobStarted {
    let subject = run.endpoint.is_some().then(|| github::subject(&run.token_facts(executor)));
    let of_environment = run.rules(executor).and_then(Rules::told);
    let about = of_environment.into_iter().flat_map(|told| {
        let token = match &subject {
            Some(subject) => format!("id-token: write, sub {subject}"),
            None => "id-token: none".to_owned(),
        };
        [token, told]
    });
    let about = about.collect();
    let file = executor.rehearsal.sources.name(run.job.workflow.source).to_string();
    JobStarted { name: name.to_owned(), file, subject, group, about }
}

/// The job's outputs. One that has no value fails the job; GitHub drops one that would carry a secret to
/// another job.
fn outputs(executor: &mut Executor<'_>, run: &mut JobRun<'_>) -> Object {
    let mut outputs = Object::new();
    for (name, template) in &run.body.outputs {
        let line = match template.evaluate_text(&run.contexts(executor, &[])) {
            Err(error) => {
                run.failed = true;
                format!("Error: output `{}`: {error}", name.value)
            }
            // A registry's address here stands for its name in ECR, which has the account in it.
            Ok(value)
                if run.masks.contains_secret(&value)
                    || run.masks.contains_secret(&executor.rehearsal.world.registries.named(&value)) =>
            {
                format!("Skip output '{}' since it may contain secret.", name.value)
            }
            Ok(value) => {
                outputs.set(name.value.as_str(), Value::Text(value));
                continue;
            }
        };
        executor.observer.event(Event::Output { line: &line });
    }
    outputs
}

/// A number of minutes; none or less is no limit beyond GitHub's own.
fn in_minutes(minutes: f64) -> Duration {
    let is_limit = minutes.is_finite() && minutes > 0.0;
    let minutes = if is_limit { minutes.min(TIMEOUT_MINUTES_DEFAULT) } else { TIMEOUT_MINUTES_DEFAULT };
    Duration::from_secs_f64(minutes * 60.0)
}

impl JobRun<'_> {
    /// How the job stands.
    pub(crate) fn outcome(&self) -> Outcome {
        match (self.cancelled, self.failed) {
            (true, _) => Outcome::Cancelled,
            (false, true) => Outcome::Failure,
            (false, false) => Outcome::Success,
        }
    }

    /// Takes over the variables of the workflow and the job, and the job's environment, where it may deploy there.
    fn adopt(&mut self, executor: &Executor<'_>) -> Result<(), String> {
        let text = |template: &Template, run: &Self| {
            template.evaluate_text(&run.contexts(executor, &[])).map_err(|error| error.to_string())
        };
        for (name, template) in self.job.workflow.env.iter().chain(&self.body.env) {
            let value = text(template, self)?;
            self.file_env.retain(|(known, _)| *known != name.value);
            self.file_env.push((name.value.clone(), value));
        }
        if let Some(environment) = &self.body.environment {
            let name = text(&environment.name, self)?;
            self.environment = (!name.is_empty()).then_some((name, environment.span));
        }
        match self.rules(executor) {
            Some(rules) => rules.admit(&executor.rehearsal.facts.event),
            None => Ok(()),
        }
    }

    /// What the repository says of the job's environment.
    fn rules<'e>(&self, executor: &Executor<'e>) -> Option<&'e Rules> {
        let (name, _) = self.environment.as_ref()?;
        executor.rehearsal.environments.iter().find(|rules| rules.name.eq_ignore_ascii_case(name))
    }

    /// Configuration variables: those of the environment win.
    fn vars(&self, executor: &Executor<'_>) -> Value {
        let of_environment = self.rules(executor).map_or(&[][..], |rules| &rules.vars);
        let is_other = |(name, _): &&(String, String)| {
            !of_environment.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let others = executor.rehearsal.vars.iter().filter(is_other);
        pairs(&others.chain(of_environment).cloned().collect::<Vec<_>>())
    }

    fn token_facts(&self, executor: &Executor<'_>) -> TokenFacts {
        let environment = self.environment.as_ref().map(|(name, _)| name.as_str());
        TokenFacts::of_job(&executor.rehearsal.facts, self.job, environment, None)
    }

    fn event_file(&self) -> std::path::PathBuf {
        self.folders.commands.join("event.json")
    }

    /// A number that no other file of this job has.
    pub(crate) fn next_number(&mut self) -> usize {
        self.number += 1;
        self.number
    }

    /// Names the step for `GITHUB_ACTION`: its id, or what it runs; a number tells the same apart.
    /// <https://docs.github.com/actions/reference/workflows-and-actions/variables>
    pub(crate) fn begin(&mut self, step: &Step) {
        let name = match (&step.id, &step.body) {
            (Some(id), _) => {
                self.action = id.value.clone();
                return;
            }
            (None, StepBody::Uses { uses, .. }) => {
                let name = uses.value.split('@').next().unwrap_or_default();
                let word = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
                format!("__{}", name.chars().map(word).collect::<String>())
            }
            (None, _) => "__run".to_owned(),
        };
        let count = self.actions.entry(name.clone()).or_default();
        *count += 1;
        self.action = if *count == 1 { name } else { format!("{name}_{count}") };
    }

    /// What the workflow, the job, earlier steps and this step say, in the order in which later ones win.
    pub(crate) fn variables<'v>(
        &'v self,
        step_env: &'v [(String, String)],
    ) -> impl Iterator<Item = &'v (String, String)> {
        let scopes = self.scopes.iter().flat_map(|scope| &scope.env);
        self.file_env.iter().chain(&self.written_env).chain(scopes).chain(step_env)
    }

    /// Takes over a variable from `GITHUB_ENV`.
    pub(crate) fn write_env(&mut self, name: String, value: String) {
        self.written_env.retain(|(known, _)| *known != name);
        self.written_env.push((name, value));
    }

    /// `timeout-minutes` and the like, when it is said.
    fn minutes(&self, executor: &Executor<'_>, template: &Option<Template>) -> Result<Option<f64>, String> {
        let evaluate = |template: &Template| template.evaluate_number(&self.contexts(executor, &[]));
        template.as_ref().map(evaluate).transpose().map_err(|error| error.to_string())
    }

    /// How long a step may take, and whether that is the step's own limit.
    pub(crate) fn limit(&self, executor: &Executor<'_>, step: &Step) -> Result<(Duration, bool), String> {
        let own = self.minutes(executor, &step.timeout_minutes)?.map(in_minutes);
        let left = self.deadline.saturating_duration_since(Instant::now());
        Ok(match own {
            Some(own) if own < left => (own, true),
            _ => (left, false),
        })
    }

    /// Whether the job's time is up.
    pub(crate) fn is_out_of_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Cancels the job when its time is up.
    pub(crate) fn look_at_the_clock(&mut self, executor: &mut Executor<'_>) {
        if self.cancelled {
            return;
        }
        let line = match executor.cancel.reason() {
            Some(reason) => format!("Error: {reason}"),
            None if Instant::now() < self.deadline => return,
            None => {
                let said = self.minutes(executor, &self.body.timeout_minutes).ok().flatten();
                let minutes = said.unwrap_or(TIMEOUT_MINUTES_DEFAULT);
                format!("Error: The job has exceeded the maximum execution time of {minutes} minutes")
            }
        };
        self.cancelled = true;
        executor.observer.event(Event::Output { line: &line });
        let last = self.minutes(executor, &self.body.cancel_timeout_minutes).ok().flatten();
        self.deadline = Instant::now() + in_minutes(last.unwrap_or(CANCEL_MINUTES_DEFAULT));
    }

    /// Whether the job is over before its time, and only what cleans up still runs.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Notes that a step failed: for the composite action that it is a step of, or for the job.
    pub(crate) fn fail(&mut self) {
        match self.scopes.last_mut() {
            Some(scope) => scope.failed = true,
            None => self.failed = true,
        }
    }

    /// The `steps` context of the running step.
    pub(crate) fn steps_mut(&mut self) -> &mut Object {
        match self.scopes.last_mut() {
            Some(scope) => &mut scope.steps,
            None => &mut self.steps,
        }
    }

    fn status(&self) -> Status {
        let failed = self.scopes.last().map_or(self.failed, |scope| scope.failed);
        Status {
            success: !self.cancelled && !failed,
            failure: !self.cancelled && failed,
            cancelled: self.cancelled,
        }
    }

    /// The `runner` context; the runner's variables are the same.
    pub(crate) fn runner(&self) -> Object {
        let text = |text: &str| Value::from(text);
        let temp = self.folders.temp.display().to_string();
        Object::new()
            .with("os", text(if cfg!(target_os = "macos") { "macOS" } else { "Linux" }))
            .with("arch", text(if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" }))
            .with("name", text("landfall"))
            .with("environment", text("self-hosted"))
            .with("temp", text(&temp))
            .with("tool_cache", text(&temp))
    }

    /// The contexts of a step; `step_env` is what it says itself.
    pub(crate) fn contexts(&self, executor: &Executor<'_>, step_env: &[(String, String)]) -> Contexts<'_> {
        let mut env = Object::case_sensitive();
        for (name, value) in self.variables(step_env) {
            env.set(name.as_str(), Value::Text(value.clone()));
        }
        let path = |path: &std::path::Path| Value::Text(path.display().to_string());
        let github = executor
            .github_context(self.job)
            .with("action", Value::from(self.action.as_str()))
            .with("event_path", path(&self.event_file()))
            .with("workspace", path(&self.folders.workspace));
        let scope = self.scopes.last();
        let github = match scope {
            None => github,
            Some(scope) => github
                .with("action_path", path(&scope.path))
                .with("action_repository", Value::from(scope.repository.as_str()))
                .with("action_ref", Value::from(scope.reference.as_str())),
        };
        let (inputs, steps) = match scope {
            None => (&self.frame.inputs, &self.steps),
            Some(scope) => (&scope.inputs, &scope.steps),
        };
        let mut job = Object::new().with("status", Value::from(self.outcome().as_str()));
        if let Some(containers) = &self.containers {
            containers.add_to(&mut job);
        }
        let mut contexts = Contexts::new()
            .with("github", Value::from(github))
            .with("inputs", inputs.clone())
            .with("secrets", self.frame.secrets.clone())
            .with("vars", self.vars(executor))
            .with("needs", self.needs.clone())
            .with("env", Value::from(env))
            .with("steps", Value::from(steps.clone()))
            .with("job", Value::from(job))
            .with("runner", Value::from(self.runner()))
            .with("matrix", self.leg.matrix())
            .with("strategy", Value::from(self.leg.strategy()));
        contexts.status = self.status();
        contexts.hash_files = Some(&*self.hash_files);
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
        let (outcome, error) = result;
        let failed = (outcome == Outcome::Failure, error.as_deref());
        let findings = teach::findings(executor, self, asked, &decisions, failed);
        let error = error.map(|error| self.masks.mask(&error));
        let summary = self.masks.mask(&std::mem::take(&mut self.summary));
        let took = began.elapsed();
        let ended = StepEnded { name: name.to_owned(), outcome, error, summary, took, decisions, findings };
        executor.count(|summary| summary.steps += usize::from(outcome != Outcome::Skipped));
        executor.observer.event(Event::StepEnded(&ended));
    }
}
