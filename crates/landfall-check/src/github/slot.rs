//! Which contexts an expression may use, by the key it stands under.
//!
//! GitHub, "Contexts reference", Context availability; exact lists as in GitHub's published schema
//! `workflow-v1.0.json`, for actions `action-v1.0.json` (actions/languageservices).

use super::expr::Availability;
use super::expr::StatusCalls;

/// A place in a workflow where an expression may stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// No expression may stand here.
    None,
    /// `run-name`, the workflow's `concurrency`, defaults of `workflow_call` inputs.
    Run,
    /// The workflow's `env`.
    WorkflowEnv,
    /// Values of `workflow_call` outputs.
    WorkflowOutput,
    /// `jobs.ID.if`
    JobIf,
    /// `jobs.ID.strategy`
    Strategy,
    /// `jobs.ID` name, runs-on, concurrency, environment name, container, services, timeout-minutes,
    /// continue-on-error, and `with` of a call job.
    Job,
    /// `jobs.ID.environment.url`
    EnvironmentUrl,
    /// `jobs.ID.env`, and `secrets` of a call job.
    JobEnv,
    /// `jobs.ID.defaults.run`
    JobDefaults,
    /// Registry credentials of containers.
    Credentials,
    /// `jobs.ID.outputs`
    JobOutputs,
    /// `if` of a step.
    StepIf,
    /// Everything else of a step.
    Step,
    /// The default of an action's input.
    ActionInput,
    /// `if` of a step of a composite action, and `pre-if` and `post-if`.
    ActionIf,
    /// Everything else of a composite action's steps and outputs, and a Docker action's `args` and `env`.
    Action,
}

const JOB: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix"];
const JOB_ENV: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets"];
const CREDENTIALS: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "env"];
const STEP_IF: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "steps", "job", "runner", "env"];
const STEP: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env"];

const ACTION: &[&str] = &["github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env"];

impl Slot {
    /// What an expression may use here.
    pub fn availability(self) -> Availability {
        let contexts: &'static [&'static str] = match self {
            Self::None => &[],
            Self::Run => &["github", "inputs", "vars"],
            Self::WorkflowEnv => &["github", "inputs", "vars", "secrets"],
            Self::WorkflowOutput => &["github", "inputs", "vars", "jobs"],
            Self::JobIf | Self::Strategy => &["github", "inputs", "vars", "needs"],
            Self::Job => JOB,
            Self::JobEnv => JOB_ENV,
            Self::JobDefaults => &["github", "inputs", "vars", "strategy", "matrix", "needs", "env"],
            // The schema has fewer; GitHub's own table, and what works, has these.
            Self::Credentials => CREDENTIALS,
            Self::EnvironmentUrl | Self::StepIf => STEP_IF,
            Self::JobOutputs | Self::Step => STEP,
            Self::ActionInput => &["github", "strategy", "matrix", "job", "runner"],
            Self::ActionIf | Self::Action => ACTION,
        };
        let status = match self {
            Self::JobIf => StatusCalls::WithJobs,
            Self::StepIf | Self::ActionIf => StatusCalls::Bare,
            _ => StatusCalls::Never,
        };
        let hash_files =
            matches!(self, Self::StepIf | Self::Step | Self::ActionInput | Self::ActionIf | Self::Action);
        Availability { contexts, status, hash_files }
    }
}
