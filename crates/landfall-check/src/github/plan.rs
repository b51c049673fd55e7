//! From a workflow and a run to the jobs that would be started, called workflows included.
//!
//! Everything that GitHub checks before the first job is checked here, with its texts: a finding of this
//! module is a run that ends as "startup failure". GitHub, "Reuse workflows" and "Reusing workflow
//! configurations"; the order of checks as in the runner's parser (`ReusableWorkflowsLoader`,
//! `WorkflowTemplateConverter`).

use std::sync::Arc;

use landfall_types::{Finding, Span};

use super::call::{self, CalledInput, CalledSecrets};
use super::claims::Visibility;
use super::expr::{Object, Value};
use super::model::{CallJob, Job, JobBody, StepsJob, Workflow};
use super::permissions::{DefaultPermissions, EffectivePermissions, Levels, Origin, Permissions, ReadOnly};
use super::template::Template;
use super::trigger::{self, EventFacts};

/// How many workflows may be called one inside of the other, the first file included.
pub const CALL_LEVELS_MAX: usize = 10;
/// How many different workflows one run may call.
pub const CALLED_WORKFLOWS_MAX: usize = 50;
/// How many errors GitHub lists.
pub const ERRORS_MAX: usize = 10;

/// What is known about a run.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// `OWNER/NAME` of the repository that holds the workflow that is started.
    pub repository: String,
    /// Its id.
    pub repository_id: u64,
    /// Its owner's id.
    pub owner_id: u64,
    /// Whether both ids are the real ones, and not stand-ins that nobody should be told.
    pub ids_are_known: bool,
    /// Whether subjects carry both ids.
    pub immutable_subject: bool,
    /// `include_claim_keys`: the claims that subjects are made of, where that is customised.
    pub subject_keys: Option<Vec<String>>,
    /// The event.
    pub event: EventFacts,
    /// The commit.
    pub sha: String,
    /// Who started it.
    pub actor: String,
    /// Their id.
    pub actor_id: u64,
    /// Who may see the repository.
    pub visibility: Visibility,
    /// The repository's setting "Workflow permissions".
    pub default_permissions: DefaultPermissions,
    /// Whether a pull request comes from a fork.
    pub from_fork: bool,
    /// `github.run_id`
    pub run_id: u64,
    /// `github.run_number`
    pub run_number: u64,
    /// `github.run_attempt`
    pub run_attempt: u64,
    /// The repository's default branch.
    pub default_branch: String,
    /// Given inputs of `workflow_dispatch`.
    pub inputs: Vec<(String, String)>,
    /// The commit, where it is known.
    pub commit: Option<CommitFacts>,
}

/// A commit, as Git tells it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommitFacts {
    /// `NAME <MAIL>`
    pub author: String,
    /// When it was made, in ISO 8601.
    pub at: String,
    /// Its message.
    pub message: String,
}

impl RunFacts {
    /// A text without the ids that stand in for the real ones.
    pub fn without_stand_ins(&self, text: &str) -> String {
        let replaced = |text: String, (id, shown): (String, &str)| text.replace(&id, shown);
        self.stand_ins().into_iter().fold(text.to_owned(), replaced)
    }

    /// The ids that stand in for the real ones, each with what a person is shown instead; none when they are known.
    pub fn stand_ins(&self) -> Vec<(String, &'static str)> {
        let ids = [(self.owner_id.to_string(), "OWNER_ID"), (self.repository_id.to_string(), "REPO_ID")];
        if self.ids_are_known { Vec::new() } else { ids.to_vec() }
    }

    /// How to find the ids of the repository out, and where to say them.
    pub fn how_to_know_ids(&self) -> String {
        let repository = &self.repository;
        format!(
            "the ids of {repository} are not known: `gh api repos/{repository} --jq '\"\\(.owner.id)/\\(.id)\"'` tells \
             them; give them with --ids OWNER_ID/REPO_ID, or as `ids` in landfall.toml"
        )
    }

    /// The owner of the repository.
    pub fn owner(&self) -> &str {
        self.repository.split_once('/').map_or(&self.repository, |(owner, _)| owner)
    }

    /// Whether Dependabot started it with an event that keeps the repository's secrets from it.
    /// <https://docs.github.com/code-security/dependabot/troubleshooting-dependabot/troubleshooting-dependabot-on-github-actions>
    pub fn is_by_dependabot(&self) -> bool {
        const EVENTS: [&str; 7] = [
            "pull_request",
            "pull_request_review",
            "pull_request_review_comment",
            "push",
            "create",
            "deployment",
            "deployment_status",
        ];
        self.actor == "dependabot[bot]" && EVENTS.contains(&self.event.name.as_str())
    }

    /// Who cuts the token to read: a fork's pull request always, Dependabot where no file names permissions.
    fn read_only(&self, origin: Origin) -> Option<ReadOnly> {
        let event = self.event.name.as_str();
        if self.from_fork && event.starts_with("pull_request") && event != "pull_request_target" {
            return Some(ReadOnly::Fork);
        }
        (self.is_by_dependabot() && matches!(origin, Origin::Default(_))).then_some(ReadOnly::Dependabot)
    }
}

/// A workflow that a job calls.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CalledRef {
    /// `./.github/workflows/FILE` in the repository of the run, at the run's commit.
    Local {
        /// The path without `./`.
        path: String,
    },
    /// `OWNER/NAME/.github/workflows/FILE@REF`; also a local call inside of such a file, with that file's
    /// resolved ref.
    Remote {
        /// `OWNER/NAME`
        owner_repo: String,
        /// The path in that repository.
        path: String,
        /// As it is written after `@`.
        reference: String,
    },
}

impl std::fmt::Display for CalledRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { path } => write!(f, "./{path}"),
            Self::Remote { owner_repo, path, reference } => write!(f, "{owner_repo}/{path}@{reference}"),
        }
    }
}

/// A called workflow that was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file.
    pub workflow: Workflow,
    /// The full ref: `refs/heads/main`, `refs/tags/v1`, or the commit when the caller pinned one.
    pub resolved_ref: String,
    /// Its commit.
    pub sha: String,
}

/// Why there is no called workflow.
#[derive(Clone, Debug)]
pub enum LoadFailure {
    /// There is no such file, or it may not be used. `why` is for the person who rehearses: where it was
    /// looked for and how to say where it is.
    NotFound {
        /// One sentence.
        why: String,
    },
    /// The file is there and is not a valid workflow.
    Invalid {
        /// The file's text.
        text: String,
        /// What [`super::load`] found in it.
        findings: Vec<Finding>,
    },
}

/// Where called workflows come from.
pub trait Library {
    /// Finds a called workflow.
    ///
    /// # Errors
    /// When there is none, or it is not valid.
    fn load(&mut self, called: &CalledRef) -> Result<Loaded, LoadFailure>;
}

/// The jobs of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `name`, or the path.
    pub workflow_name: String,
    /// The workflow that is started.
    pub workflow: Arc<Workflow>,
    /// The `inputs` context of the started workflow.
    pub inputs: Object,
    /// Its jobs in written order; `needs` is the graph.
    pub jobs: Vec<PlannedJob>,
}

/// One job of a run.
#[derive(Clone, Debug)]
pub struct PlannedJob {
    /// Its id in its own file.
    pub id: String,
    /// Ids from the started file down: `call-shared/deploy`.
    pub path: String,
    /// `call-shared / deploy`; expressions in names are left as they are written.
    pub display_name: String,
    /// Ids of jobs of the same file.
    pub needs: Vec<String>,
    /// What its token may do.
    pub permissions: EffectivePermissions,
    /// The job as it is written: `if`, `strategy`, what is not modelled.
    pub job: Arc<Job>,
    /// The file that defines it.
    pub workflow: Arc<Workflow>,
    /// `OWNER/NAME/.github/workflows/FILE@REF` of that file, the `job_workflow_ref` claim.
    pub workflow_ref: String,
    /// The commit of that file.
    pub workflow_sha: String,
    /// The file that was started.
    pub run_workflow: Arc<Workflow>,
    /// What it does.
    pub body: PlannedBody,
}

/// What a planned job does.
#[derive(Clone, Debug)]
pub enum PlannedBody {
    /// Runs steps.
    Steps(Arc<StepsJob>),
    /// Calls a workflow.
    Call(Box<PlannedCall>),
}

/// A call with everything that was found out about it.
#[derive(Clone, Debug)]
pub struct PlannedCall {
    /// What is called.
    pub called: CalledRef,
    /// The called file.
    pub workflow: Arc<Workflow>,
    /// Each input that the called file declares.
    pub with: Vec<CalledInput>,
    /// What it may see of the caller's secrets.
    pub secrets: CalledSecrets,
    /// Its jobs.
    pub jobs: Vec<PlannedJob>,
    /// `on.workflow_call.outputs`: name and value.
    pub outputs: Vec<(String, Template)>,
}

impl Plan {
    /// All jobs that run steps, the ones of called workflows included, in written order.
    pub fn leaves(&self) -> Vec<&PlannedJob> {
        let mut leaves = Vec::new();
        let mut pending: Vec<&PlannedJob> = self.jobs.iter().rev().collect();
        while let Some(job) = pending.pop() {
            match &job.body {
                PlannedBody::Steps(_) => leaves.push(job),
                PlannedBody::Call(call) => pending.extend(call.jobs.iter().rev()),
            }
        }
        leaves
    }

    /// The job with a path such as `call-shared/deploy`.
    pub fn job(&self, path: &str) -> Option<&PlannedJob> {
        let mut pending: Vec<&PlannedJob> = self.jobs.iter().collect();
        while let Some(job) = pending.pop() {
            if job.path == path {
                return Some(job);
            }
            if let PlannedBody::Call(call) = &job.body {
                pending.extend(&call.jobs);
            }
        }
        None
    }
}

/// Plans a run. Whether the event starts the workflow at all is [`trigger::starts`]'s question.
///
/// # Errors
/// What would end the run before its first job, at most [`ERRORS_MAX`] findings.
pub fn plan(root: &Workflow, run: &RunFacts, library: &mut dyn Library) -> Result<Plan, Vec<Finding>> {
    let workflow = Arc::new(root.clone());
    let inputs = match run.event.name.as_str() {
        "workflow_dispatch" => trigger::dispatch_inputs(&root.on, &run.inputs)?,
        _ => Object::new(),
    };
    let file = File {
        name: root.path.clone(),
        owner_repo: run.repository.clone(),
        reference: run.event.git_ref.clone(),
        sha: run.sha.clone(),
        remote: false,
        workflow: Arc::clone(&workflow),
        granted: root.permissions.as_ref().map(|block| Granted::by(block, Origin::Workflow)),
        path: String::new(),
        display: String::new(),
        chain: vec![root.path.clone()],
    };
    let mut planner = Planner { run, library, root: Arc::clone(&workflow), called: Vec::new() };
    match planner.jobs(&file) {
        Ok(jobs) => Ok(Plan { workflow_name: root.display_name().to_owned(), workflow, inputs, jobs }),
        Err(mut findings) => {
            findings.truncate(ERRORS_MAX);
            Err(findings)
        }
    }
}

/// Permissions that a file grants, and the block that does.
#[derive(Clone, Copy)]
pub(super) struct Granted {
    pub levels: Levels,
    pub origin: Origin,
}

impl Granted {
    fn by(block: &Permissions, origin: fn(Span) -> Origin) -> Self {
        Self { levels: block.levels, origin: origin(block.span) }
    }

    fn as_caller(self) -> Self {
        let origin = self.origin.span().map_or(self.origin, Origin::Caller);
        Self { origin, ..self }
    }
}

/// A file whose jobs are being planned.
pub(super) struct File {
    /// How messages call it: the path for the started file, the full reference for called ones.
    pub name: String,
    pub owner_repo: String,
    pub reference: String,
    pub sha: String,
    /// Whether it lies in another repository than the run's, or at another commit.
    pub remote: bool,
    pub workflow: Arc<Workflow>,
    /// What jobs get that name no permissions: the file's own block, or what its caller explicitly has.
    pub granted: Option<Granted>,
    /// `call-shared/` for the files that this job calls.
    pub path: String,
    pub display: String,
    /// Files from the started one down to this one.
    pub chain: Vec<String>,
}

impl File {
    /// A place in this file as GitHub's messages name it.
    pub fn place(&self, at: Span) -> String {
        self.workflow.place_as(&self.name, at)
    }

    /// A finding of GitHub about a place in this file.
    pub fn invalid(&self, rule: &'static str, at: Span, text: &str) -> Finding {
        let place = self.place(at);
        Finding::error(rule, cut(&format!("The workflow is not valid. {place}: {text}")))
    }
}

/// GitHub cuts long messages (observed): 500 characters without its own first sentence.
fn cut(message: &str) -> String {
    const PREFIX: &str = "The workflow is not valid. ";
    const MESSAGE_CHARS_MAX: usize = 500;
    let rest = message.strip_prefix(PREFIX).unwrap_or(message);
    if rest.chars().count() <= MESSAGE_CHARS_MAX {
        return message.to_owned();
    }
    let kept: String = rest.chars().take(MESSAGE_CHARS_MAX).collect();
    format!("{PREFIX}{kept}[...]")
}

struct Planner<'p> {
    run: &'p RunFacts,
    library: &'p mut dyn Library,
    root: Arc<Workflow>,
    /// Every workflow that was called so far.
    called: Vec<CalledRef>,
}

impl Planner<'_> {
    fn jobs(&mut self, file: &File) -> Result<Vec<PlannedJob>, Vec<Finding>> {
        let (mut jobs, mut findings) = (Vec::new(), Vec::new());
        for job in &file.workflow.jobs {
            match self.job(file, job) {
                Ok(job) => jobs.push(job),
                Err(found) => findings.extend(found),
            }
        }
        if findings.is_empty() { Ok(jobs) } else { Err(findings) }
    }

    fn job(&mut self, file: &File, job: &Job) -> Result<PlannedJob, Vec<Finding>> {
        let own = job.permissions.as_ref().map(|block| Granted::by(block, Origin::Job));
        let granted = own.or(file.granted);
        let name = job.name.as_ref().map_or(job.id.value.as_str(), |name| &name.text);
        let path = format!("{}{}", file.path, job.id.value);
        let display_name = format!("{}{name}", file.display);
        let body = match &job.body {
            JobBody::Steps(steps) => PlannedBody::Steps(Arc::new((**steps).clone())),
            JobBody::Call(call) => {
                let step = Descent { job, call, granted, path: &path, display: &display_name };
                PlannedBody::Call(Box::new(self.call(file, &step)?))
            }
        };
        Ok(PlannedJob {
            id: job.id.value.clone(),
            path,
            display_name,
            needs: job.needs.iter().map(|need| need.value.clone()).collect(),
            permissions: self.effective(granted),
            job: Arc::new(job.clone()),
            workflow: Arc::clone(&file.workflow),
            workflow_ref: format!("{}/{}@{}", file.owner_repo, file.workflow.path, file.reference),
            workflow_sha: file.sha.clone(),
            run_workflow: Arc::clone(&self.root),
            body,
        })
    }

    fn effective(&self, granted: Option<Granted>) -> EffectivePermissions {
        let setting = self.run.default_permissions;
        let (levels, origin) = match granted {
            Some(granted) => (granted.levels, granted.origin),
            None => (setting.token(), Origin::Default(setting)),
        };
        let effective = EffectivePermissions::new(levels, origin);
        match self.run.read_only(origin) {
            Some(why) => effective.read_only(why),
            None => effective,
        }
    }

    fn call(&mut self, file: &File, step: &Descent<'_>) -> Result<PlannedCall, Vec<Finding>> {
        let called = call::reference(file, &step.call.uses).map_err(|finding| vec![finding])?;
        let shown = call::shown(file, &called);
        let uses = step.call.uses.span;
        if file.chain.len() >= CALL_LEVELS_MAX {
            let text = format!("Nested reusable workflow depth exceeded {}.", CALL_LEVELS_MAX - 1);
            let chain = file.chain.join(" -> ");
            let finding =
                file.invalid("workflow-call", uses, &text).at(uses, "one call too many").note(chain);
            return Err(vec![finding]);
        }
        if file.chain.contains(&shown) {
            let text = format!("Error calling workflow '{shown}'. Workflows may not call themselves.");
            let chain = format!("{} -> {shown}", file.chain.join(" -> "));
            let finding =
                file.invalid("workflow-call", uses, &text).at(uses, "this closes a circle").note(chain);
            return Err(vec![finding]);
        }
        if !self.called.contains(&called) {
            self.called.push(called.clone());
        }
        if self.called.len() > CALLED_WORKFLOWS_MAX {
            let text = format!("a run may call {CALLED_WORKFLOWS_MAX} different workflows");
            return Err(vec![file.invalid("workflow-call", uses, &text).at(uses, "one more than that")]);
        }
        let loaded = self.library.load(&called);
        let loaded = loaded.map_err(|failure| call::not_loaded(file, step, &shown, failure))?;
        let Some(declared) = loaded.workflow.on.call().cloned() else {
            return Err(vec![call::not_reusable(file, step, &shown, &loaded)]);
        };
        let trusted = call::owner(&called, self.run).eq_ignore_ascii_case(self.run.owner());
        let cap = call::Cap::of(step.granted, self.run.default_permissions, trusted);
        let mut findings = call::excess(file, step, &shown, &loaded.workflow, &cap);
        findings.extend(call::mismatches(file, step, &declared, &loaded.workflow));
        if !findings.is_empty() {
            return Err(findings);
        }
        let inner = self.inner(file, step, &called, loaded, shown);
        let jobs = self.jobs(&inner)?;
        Ok(PlannedCall {
            called,
            workflow: Arc::clone(&inner.workflow),
            with: call::inputs(&declared, step.call),
            secrets: CalledSecrets::of(&declared, step.call),
            jobs,
            outputs: declared.outputs.into_iter().map(|(name, template)| (name.value, template)).collect(),
        })
    }

    fn inner(
        &self,
        file: &File,
        step: &Descent<'_>,
        called: &CalledRef,
        loaded: Loaded,
        shown: String,
    ) -> File {
        let own = loaded.workflow.permissions.as_ref().map(|block| Granted::by(block, Origin::Workflow));
        let (owner_repo, remote) = match called {
            CalledRef::Local { .. } => (self.run.repository.clone(), false),
            CalledRef::Remote { owner_repo, .. } => (owner_repo.clone(), true),
        };
        let mut chain = file.chain.clone();
        chain.push(shown.clone());
        // A local call runs the caller's own commit, whatever the library says about it.
        let (reference, sha) = match remote {
            true => (loaded.resolved_ref, loaded.sha),
            false => (file.reference.clone(), file.sha.clone()),
        };
        File {
            name: shown,
            owner_repo,
            reference,
            sha,
            remote,
            workflow: Arc::new(loaded.workflow),
            granted: own.or(step.granted.map(Granted::as_caller)),
            path: format!("{}/", step.path),
            display: format!("{} / ", step.display),
            chain,
        }
    }
}

/// A call job on the way down.
pub(super) struct Descent<'d> {
    pub job: &'d Job,
    pub call: &'d CallJob,
    /// Its permissions, its own or inherited; the cap of what it calls.
    pub granted: Option<Granted>,
    pub path: &'d str,
    pub display: &'d str,
}

impl PlannedCall {
    /// The `inputs` context of the called workflow, given the values of the caller's templates.
    ///
    /// # Errors
    /// GitHub's text when an expression gives a value of another type than the input has.
    pub fn inputs_from(
        &self,
        mut value: impl FnMut(&Template) -> Result<Value, super::expr::ExprError>,
    ) -> Result<Object, super::expr::ExprError> {
        let mut inputs = Object::new();
        for input in &self.with {
            let given = match input.given.as_ref().or(input.declared.default.as_ref()) {
                Some(template) => {
                    let given = value(template)?;
                    input.declared.kind.convert(&given).ok_or_else(|| super::expr::ExprError {
                        message: super::template::unexpected(&given.to_text()),
                        span: template.span,
                    })?
                }
                None => input.declared.empty(),
            };
            inputs.set(input.declared.name.value.clone(), given);
        }
        Ok(inputs)
    }
}
