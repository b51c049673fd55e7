//! The run of workflows, and what its jobs have in common.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_check::github::masks::Masks;
use landfall_check::github::{self, Contexts, Object, PlannedJob, RunFacts, Step, Value, Workflow};
use landfall_check::terraform::Infra;
use landfall_serve::World;
use landfall_serve::apart::Apart;
use landfall_serve::door::Door;
use landfall_serve::issuer::Signer;
use landfall_serve::log::Verdict;
use landfall_types::{Finding, SourceMap};

use crate::cancel::{Cancel, Groups};
use crate::engine::{self, Engine};
use crate::environment::Rules;
use crate::event::{Event, ImageMade, Observer, Outcome, Ready, SessionMade, Summary};
use crate::flow::{Flow, Frame, combined, pairs};
use crate::home;
use crate::library::{Folders, Remotes};
use crate::readiness::{chosen, leads_to, not_rehearsed};
use crate::services;
use crate::snapshot::Snapshot;
use crate::voices::{Voice, Voices};

/// Jobs that run at a time. A rehearsal has one machine, where GitHub has one for each job.
const JOBS_AT_ONCE_MAX: usize = 4;

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
    /// Actions: `OWNER/NAME` or `OWNER/NAME@REF`, and where they are.
    pub actions: Remotes,
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
    /// What the repository's settings say of its environments.
    pub environments: Vec<Rules>,
    /// Run this job and what it needs, and nothing else.
    pub only_job: Option<String>,
    /// Who signs the jobs' tokens.
    pub signer: Signer,
    /// Steps (by name) that take so many seconds longer, as far as lifetimes are concerned.
    pub stretch: Vec<(String, u32)>,
    /// How long a deployment is waited for at most, whatever the workflow says.
    pub deployment_wait: Option<Duration>,
    /// The Terraform that the AWS side was made from.
    pub infra: Infra,
    /// What is told first.
    pub ready: Ready,
}

/// Runs the workflows.
pub async fn run(rehearsal: &Rehearsal, observer: &mut dyn Observer) -> Summary {
    let started = Instant::now();
    observer.event(Event::Ready(&rehearsal.ready));
    let _apart = Apart::keep(&rehearsal.world);
    // Where a step is to take its time, that of the others stands still.
    let at_once = if rehearsal.stretch.is_empty() { JOBS_AT_ONCE_MAX } else { 1 };
    let run = Run {
        rehearsal,
        voices: Voices::new(observer),
        shared: Rc::new(Shared {
            summary: RefCell::new(Summary { success: true, ..Summary::default() }),
            folders: Cell::new(0),
            stretched: RefCell::default(),
            no_such_job: Cell::new(false),
            main_is_taken: Cell::new(false),
            main_seen: Cell::new(rehearsal.world.log.last()),
            places: tokio::sync::Semaphore::new(at_once),
            groups: Groups::default(),
            engine: tokio::sync::OnceCell::new(),
        }),
    };
    let before = services::before(&rehearsal.world);
    for (file, workflow) in &rehearsal.workflows {
        run.workflow(file, workflow).await;
    }
    run.tell_unused();
    let Run { voices, shared, .. } = run;
    let mut summary = shared.summary.take();
    summary.unreadable |= shared.no_such_job.get() && summary.jobs == 0;
    // Where nothing ran, nothing was shown to work.
    summary.success &= summary.jobs > 0;
    summary.images = images(&rehearsal.world);
    let was_well = summary.success;
    services::add(&rehearsal.world, &before, rehearsal.deployment_wait, &mut summary).await;
    if was_well && !summary.success {
        // No step has told it.
        let most = rehearsal.deployment_wait;
        for finding in services::untold(&rehearsal.world, &rehearsal.infra, &before, most) {
            voices.event(Event::Remark { finding: &finding });
        }
    }
    summary.took = started.elapsed();
    voices.event(Event::Ended(&summary));
    summary
}

pub(crate) fn images(world: &World) -> Vec<ImageMade> {
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

/// What all jobs of a rehearsal have in common.
pub(crate) struct Shared {
    pub(crate) summary: RefCell<Summary>,
    /// Jobs that were given folders.
    pub(crate) folders: Cell<usize>,
    /// Entries of [`Rehearsal::stretch`] that a step was found for.
    stretched: RefCell<BTreeSet<usize>>,
    /// The one job that is to run was missed in a workflow.
    no_such_job: Cell<bool>,
    /// Whether a job uses the server's own address now. Others get doors of their own.
    main_is_taken: Cell<bool>,
    /// The last record of the decision log that was told to a job at the server's own address.
    main_seen: Cell<u64>,
    /// Jobs that may run at a time.
    pub(crate) places: tokio::sync::Semaphore,
    pub(crate) groups: Groups,
    /// The container engine, once somebody has needed it.
    engine: tokio::sync::OnceCell<Result<Engine, String>>,
}

/// Runs workflows and keeps count.
#[derive(Clone)]
pub(crate) struct Run<'a> {
    pub(crate) rehearsal: &'a Rehearsal,
    pub(crate) voices: Voices<'a>,
    pub(crate) shared: Rc<Shared>,
}

impl<'a> Run<'a> {
    /// Runs one workflow.
    async fn workflow(&self, file: &str, workflow: &Workflow) {
        let rehearsal = self.rehearsal;
        let facts = &rehearsal.facts;
        let alone = rehearsal.workflows.len() == 1;
        if let Err(finding) = github::starts(&workflow.on, &facts.event) {
            self.voices.event(Event::NotTriggered { file, finding: &finding, alone });
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
                self.voices.event(Event::NotTriggered { file, finding: &finding, alone });
                self.shared.no_such_job.set(true);
                return;
            }
            None => {}
        }
        let unready = not_rehearsed(self, workflow, &chosen(&plan.jobs, rehearsal.only_job.as_deref())).await;
        if !unready.is_empty() {
            return self.refused(file, &unready);
        }
        let group = match self.group(workflow, &plan) {
            Ok(group) => group,
            Err(finding) => return self.refused(file, &[finding]),
        };
        self.voices.event(Event::RunStarted { workflow: &plan.workflow_name, file, group: group.as_deref() });
        let frame = Frame {
            inputs: plan.inputs.clone().into(),
            secrets: self.secrets(),
            display: String::new(),
            place: Vec::new(),
            groups: group.into_iter().collect(),
        };
        let cancel = Cancel::new();
        let flow = Flow { run: self.clone(), frame: &frame, cancel: &cancel, depth: 0 };
        let results = flow.jobs(&plan.jobs).await;
        let succeeded = matches!(combined(&results), Outcome::Success | Outcome::Skipped);
        self.shared.summary.borrow_mut().success &= succeeded;
    }

    /// The concurrency group of the whole run.
    fn group(&self, workflow: &Workflow, plan: &github::Plan) -> Result<Option<String>, Finding> {
        let Some(group) = workflow.concurrency.as_ref().and_then(|it| it.group.as_ref()) else {
            return Ok(None);
        };
        let facts = &self.rehearsal.facts;
        // The workflow's group is looked at before there is a job.
        let github = plan.jobs.first().map_or_else(Object::new, |job| github::context::github(facts, job));
        let contexts = Contexts::new()
            .with("github", github.into())
            .with("inputs", plan.inputs.clone().into())
            .with("vars", pairs(&self.rehearsal.vars));
        let error = |error: github::expr::ExprError| {
            Finding::error("expression", error.message).at(error.span, "the run's concurrency group")
        };
        group.evaluate_text(&contexts).map(Some).map_err(error)
    }

    fn refused(&self, file: &str, findings: &[Finding]) {
        let mut summary = self.shared.summary.borrow_mut();
        summary.success = false;
        summary.unreadable |= findings.iter().any(|finding| !REFUSALS.contains(&finding.rule));
        drop(summary);
        self.voices.event(Event::RunRefused { file, findings });
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
        // Dependabot has secrets of its own, which nobody has named here.
        let of_dependabot = facts.is_by_dependabot();
        let secrets = self.rehearsal.secrets.iter().filter(|_| !of_fork && !of_dependabot);
        let mut secrets: Object =
            secrets.map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
        secrets.set("GITHUB_TOKEN", Value::Text(self.github_token()));
        secrets.into()
    }

    /// The machine's container engine.
    ///
    /// # Errors
    /// Where it was looked for.
    pub(crate) async fn engine(&self) -> Result<Engine, String> {
        let find = || async {
            let engine = Engine::find(&self.rehearsal.user).await?;
            engine.clean_up().await;
            Ok(engine)
        };
        self.shared.engine.get_or_init(find).await.clone()
    }

    /// A stretch without its step has shown nothing.
    fn tell_unused(&self) {
        for (index, (wanted, _)) in self.rehearsal.stretch.iter().enumerate() {
            if !self.shared.stretched.borrow().contains(&index) {
                self.shared.summary.borrow_mut().success = false;
                let finding = Finding::error("unknown-step", format!("no step `{wanted}` ran"))
                    .help("--stretch takes a step's name or id, as the steps above have it");
                self.voices.event(Event::Remark { finding: &finding });
            }
        }
    }

    /// A token of GitHub's form that opens nothing: there is no GitHub API here.
    pub(crate) fn github_token(&self) -> String {
        let seed = format!("{}{}", self.rehearsal.world.base_url(), self.rehearsal.facts.run_id);
        let hash = landfall_wire::hash::sha256_hex(seed.as_bytes());
        format!("ghs_{}", hash.chars().take(36).collect::<String>())
    }

    /// The `github` context, as far as it is the same for all steps.
    pub(crate) fn github_context(&self, job: &PlannedJob) -> Object {
        github::context::github(&self.rehearsal.facts, job)
            .with("token", Value::Text(self.github_token()))
            .with("secret_source", Value::from("Actions"))
    }
}

/// What a job needs while it runs: the rehearsal, somebody to talk to, and its own way to the AWS side.
pub(crate) struct Executor<'a> {
    pub(crate) rehearsal: &'a Rehearsal,
    pub(crate) observer: Voice<'a>,
    /// Ends the job before its time.
    pub(crate) cancel: Cancel,
    run: Run<'a>,
    /// The sessions that it was given.
    pub(crate) sessions: Vec<SessionMade>,
    /// Its own address of the AWS side; none where it uses the server's.
    door: Option<Door>,
    /// The last record of the decision log that it looked at.
    seen: u64,
    /// The registries whose addresses it was told.
    told: usize,
}

impl<'a> Executor<'a> {
    /// For one job.
    ///
    /// # Errors
    /// When the system has no port for it.
    pub(crate) async fn new(run: &Run<'a>, observer: Voice<'a>, cancel: Cancel) -> std::io::Result<Self> {
        let world = &run.rehearsal.world;
        let (door, seen) = if run.shared.main_is_taken.replace(true) {
            (Some(Door::open(world).await?), world.log.last())
        } else {
            (None, run.shared.main_seen.get())
        };
        let run = run.clone();
        Ok(Self {
            rehearsal: run.rehearsal,
            observer,
            cancel,
            run,
            sessions: Vec::new(),
            door,
            seen,
            told: 0,
        })
    }

    /// Where the AWS side is for this job.
    pub(crate) fn aws_url(&self) -> &str {
        self.door.as_ref().map_or_else(|| self.rehearsal.world.base_url(), |door| &door.url)
    }

    /// Changes what is counted.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Summary)) {
        change(&mut self.run.shared.summary.borrow_mut());
    }

    /// A number for the job's folders.
    pub(crate) fn next_folder(&self) -> usize {
        let number = self.run.shared.folders.get() + 1;
        self.run.shared.folders.set(number);
        number
    }

    /// The AWS side's own host with its port.
    pub(crate) fn aws_host(&self) -> &str {
        self.rehearsal.world.base_url().trim_start_matches("http://")
    }

    /// Where registries of ECR are on this machine.
    pub(crate) fn at_home(&self) -> impl Fn(&str) -> Option<String> + use<'a> {
        let world = &self.rehearsal.world;
        move |host| world.registries.at_home(host)
    }

    /// Lets the tools of a job talk to the local registries, and tells the addresses that nobody was told yet.
    ///
    /// # Errors
    /// When a file of theirs can't be written.
    pub(crate) fn introduce_registries(&mut self, home: &Path, masks: &Masks) -> Result<(), String> {
        let all = self.rehearsal.world.registries.all();
        for line in home::introduce(home, &all, &mut self.told)? {
            self.observer.event(Event::Output { line: &masks.mask(&line) });
        }
        Ok(())
    }

    /// Whether an image is in one of the local registries.
    pub(crate) fn is_at_home(&self, image: &str) -> bool {
        let host = image.split_once('/').map(|(host, _)| host);
        host.is_some_and(|host| self.rehearsal.world.registries.at(host).is_some())
    }

    /// Lets the AWS side's time go on as if the step had taken that long.
    pub(crate) fn stretch(&mut self, step: &Step, name: &str) {
        for (index, (wanted, seconds)) in self.rehearsal.stretch.iter().enumerate() {
            let by_id = step.id.as_ref().is_some_and(|id| id.value == *wanted);
            if by_id || name.eq_ignore_ascii_case(wanted) {
                self.rehearsal.world.clock.advance(*seconds);
                self.run.shared.stretched.borrow_mut().insert(index);
            }
        }
    }

    pub(crate) fn github_token(&self) -> String {
        self.run.github_token()
    }

    /// The machine's container engine.
    ///
    /// # Errors
    /// Why a step can't have it.
    pub(crate) async fn engine(&self) -> Result<Engine, String> {
        self.run.engine().await.map_err(|why| engine::missing_engine("this step", &why))
    }

    pub(crate) fn github_context(&self, job: &PlannedJob) -> Object {
        self.run.github_context(job)
    }

    /// The decisions on this job's calls since this was last asked, counted. What the AWS side did by itself is
    /// told to the job at its own address.
    pub(crate) fn decisions(&mut self) -> Vec<Arc<landfall_serve::log::Record>> {
        let world = &self.rehearsal.world;
        let mut records = world.log.after(self.seen);
        self.seen = records.last().map_or(self.seen, |record| record.sequence);
        let own = self.door.as_ref().map(|door| door.number);
        records.retain(|record| world.doors.of_request(&record.request_id) == own);
        self.sessions.extend(count(&records, &mut self.run.shared.summary.borrow_mut()));
        records
    }
}

/// Counts decisions; tells the sessions that they gave.
pub(crate) fn count(records: &[Arc<landfall_serve::log::Record>], summary: &mut Summary) -> Vec<SessionMade> {
    let mut sessions = Vec::new();
    summary.calls += records.len();
    for record in records {
        match &record.verdict {
            Verdict::Refused { .. } => summary.refused += 1,
            Verdict::Allowed if record.operation == "AssumeRoleWithWebIdentity" => {
                let session = SessionMade {
                    role: record.resource.clone().unwrap_or_default(),
                    subject: record.caller.clone(),
                };
                if !summary.sessions.contains(&session) {
                    summary.sessions.push(session.clone());
                }
                sessions.push(session);
            }
            Verdict::Allowed => {}
        }
    }
    sessions
}

impl Drop for Executor<'_> {
    fn drop(&mut self) {
        if self.door.is_none() {
            self.run.shared.main_seen.set(self.seen);
            self.run.shared.main_is_taken.set(false);
        }
    }
}
