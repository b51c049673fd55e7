//! A workflow file as typed values, each with its place. GitHub, "Workflow syntax for GitHub Actions".

use std::collections::BTreeSet;

use landfall_types::{SourceId, Span, Spanned, Tree};

use super::lines::Lines;
use super::permissions::Permissions;
use super::template::Template;
use super::trigger::Triggers;

/// Names with values in written order, such as `env` or `with`.
pub type Pairs = Vec<(Spanned<String>, Template)>;

/// One workflow file.
#[derive(Clone, Debug)]
pub struct Workflow {
    /// The text it was read from.
    pub source: SourceId,
    /// Its path in its repository: `.github/workflows/deploy.yml`.
    pub path: String,
    /// `name`
    pub name: Option<Spanned<String>>,
    /// `run-name`
    pub run_name: Option<Template>,
    /// `on`
    pub on: Triggers,
    /// `permissions`
    pub permissions: Option<Permissions>,
    /// `env`
    pub env: Pairs,
    /// `defaults.run`
    pub defaults: Defaults,
    /// `concurrency`
    pub concurrency: Option<Concurrency>,
    /// Jobs in written order.
    pub jobs: Vec<Job>,
    /// What the file asks for beyond this model, at its place. Never dropped: a runner that does not do
    /// it has to say so.
    pub unmodelled: Vec<Spanned<&'static str>>,
    /// The whole file.
    pub span: Span,
    /// Where its lines begin, for GitHub's `(Line: 8, Col: 3)`; known when it was read by [`super::load`].
    pub lines: Option<Lines>,
    /// The regions that the file speaks of, as values of keys such as `aws-region`; known when it was read by
    /// [`super::load`].
    pub regions: BTreeSet<String>,
}

impl Workflow {
    /// The name that `github.workflow` and the `workflow` claim show: `name`, or the path.
    pub fn display_name(&self) -> &str {
        self.name.as_ref().map_or(&self.path, |name| &name.value)
    }

    /// The job with an id; ids compare without case.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id.value.eq_ignore_ascii_case(id))
    }

    /// `path (Line: 8, Col: 3)` for a place in this file, GitHub's way of naming it; the path alone when
    /// the lines are not known.
    pub fn place(&self, span: Span) -> String {
        self.place_as(&self.path, span)
    }

    /// As [`Workflow::place`], under the name that a caller's messages use for this file.
    pub(super) fn place_as(&self, name: &str, span: Span) -> String {
        match &self.lines {
            Some(lines) if span.source == self.source => {
                let (line, column) = lines.at(span.start as usize);
                format!("{name} (Line: {line}, Col: {column})")
            }
            _ => name.to_owned(),
        }
    }
}

/// One entry of `jobs`.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: Spanned<String>,
    /// `name`
    pub name: Option<Template>,
    /// `needs`
    pub needs: Vec<Spanned<String>>,
    /// `if`
    pub condition: Option<Template>,
    /// `permissions`
    pub permissions: Option<Permissions>,
    /// `concurrency`
    pub concurrency: Option<Concurrency>,
    /// `strategy`
    pub strategy: Option<Strategy>,
    /// Steps, or a called workflow.
    pub body: JobBody,
    /// As [`Workflow::unmodelled`]: `strategy.matrix`, `concurrency`, `snapshot`, …
    pub unmodelled: Vec<Spanned<&'static str>>,
    /// The whole value of the job.
    pub span: Span,
}

/// What a job does.
#[derive(Clone, Debug)]
pub enum JobBody {
    /// Runs steps on a runner.
    Steps(Box<StepsJob>),
    /// Calls a workflow.
    Call(Box<CallJob>),
}

/// A job with steps.
#[derive(Clone, Debug)]
pub struct StepsJob {
    /// `runs-on`
    pub runs_on: RunsOn,
    /// `environment`
    pub environment: Option<Environment>,
    /// `env`
    pub env: Pairs,
    /// `defaults.run`
    pub defaults: Defaults,
    /// `outputs`
    pub outputs: Pairs,
    /// `steps`
    pub steps: Vec<Step>,
    /// `timeout-minutes`; 360 when absent.
    pub timeout_minutes: Option<Template>,
    /// `cancel-timeout-minutes`; 5 when absent.
    pub cancel_timeout_minutes: Option<Template>,
    /// `continue-on-error`
    pub continue_on_error: Option<Template>,
    /// `container`, unevaluated: see [`super::containers`].
    pub container: Option<Tree>,
    /// `services`, unevaluated.
    pub services: Option<Tree>,
    /// `snapshot`, unread.
    pub snapshot: Option<Tree>,
}

/// `runs-on`
#[derive(Clone, Debug)]
pub struct RunsOn {
    /// The labels; one template that gives a list stands here as one entry.
    pub labels: Vec<Template>,
    /// `runs-on.group`
    pub group: Option<Template>,
    /// Where it stands.
    pub span: Span,
}

/// `environment`
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its name; it decides the token's subject.
    pub name: Template,
    /// `url`
    pub url: Option<Template>,
    /// `deployment`
    pub deployment: Option<Template>,
    /// Where it stands.
    pub span: Span,
}

/// `strategy`
#[derive(Clone, Debug)]
pub struct Strategy {
    /// `matrix`, with its expressions checked and unevaluated.
    pub matrix: Option<Tree>,
    /// `fail-fast`
    pub fail_fast: Option<Template>,
    /// `max-parallel`
    pub max_parallel: Option<Template>,
    /// Where it stands.
    pub span: Span,
}

/// `concurrency`
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// The group's name.
    pub group: Option<Template>,
    /// `cancel-in-progress`
    pub cancel_in_progress: Option<Template>,
    /// Where it stands.
    pub span: Span,
}

/// `defaults.run`
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// `shell`
    pub shell: Option<Template>,
    /// `working-directory`
    pub working_directory: Option<Template>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// `id`
    pub id: Option<Spanned<String>>,
    /// `name`
    pub name: Option<Template>,
    /// `if`
    pub condition: Option<Template>,
    /// `env`
    pub env: Pairs,
    /// `continue-on-error`
    pub continue_on_error: Option<Template>,
    /// `timeout-minutes`
    pub timeout_minutes: Option<Template>,
    /// `working-directory`
    pub working_directory: Option<Template>,
    /// `shell`
    pub shell: Option<Template>,
    /// What it does.
    pub body: StepBody,
    /// The whole step.
    pub span: Span,
}

impl Step {
    /// The title on GitHub before expressions are evaluated: `name`, `Run <first line>` or `Run <action>`.
    pub fn title(&self) -> String {
        if let Some(name) = &self.name {
            return name.text.clone();
        }
        match &self.body {
            StepBody::Run { script } => {
                let line = script.text.lines().map(str::trim).find(|line| !line.is_empty());
                format!("Run {}", line.unwrap_or(""))
            }
            StepBody::Uses { uses, .. } => format!("Run {}", uses.value),
            StepBody::Unmodelled { key, .. } => key.value.clone(),
        }
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepBody {
    /// Runs a script.
    Run {
        /// `run`
        script: Template,
    },
    /// Runs an action.
    Uses {
        /// `uses`
        uses: Spanned<String>,
        /// `with`
        with: Pairs,
    },
    /// A step of the kinds `wait`, `wait-all`, `cancel` or `parallel`, kept as it is written.
    Unmodelled {
        /// Its key.
        key: Spanned<String>,
        /// The key's value.
        value: Tree,
    },
}

/// A job that calls a workflow.
#[derive(Clone, Debug)]
pub struct CallJob {
    /// `uses`
    pub uses: Spanned<String>,
    /// `with`
    pub with: Pairs,
    /// `secrets`
    pub secrets: Secrets,
}

/// The `secrets` of a call job.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// `secrets: inherit`, at its place.
    Inherit(Span),
    /// The named ones; none when the key is absent.
    Named(Pairs),
}
