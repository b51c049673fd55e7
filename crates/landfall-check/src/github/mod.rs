//! GitHub Actions without GitHub: workflow files read, planned and evaluated.
//!
//! [`load`] turns a file's text into a [`Workflow`] with GitHub's own error texts; [`trigger::starts`]
//! says whether an event starts it; [`plan::plan`] resolves its jobs, the workflows they call and what
//! their tokens may do; [`claims::claims`] says what a job's ID token carries; [`expr`] evaluates; and
//! [`files`], [`commands`] and [`masks`] are the runner's side of the conversation with a step.
//!
//! Nothing here does IO or reads a clock.

pub mod action;
pub mod claims;
pub mod commands;
pub mod containers;
pub mod context;
pub mod expr;
pub mod files;
pub mod glob;
pub mod job_token;
pub mod masks;
pub mod matrix;
pub mod permissions;
pub mod plan;
pub mod slot;
pub mod template;
pub mod trigger;

mod call;
mod lines;
pub mod model;
mod no_token;
mod read;
mod read_job;
mod read_on;

pub use action::{Action, ActionInput, Runs, load_action};
pub use call::{CalledInput, CalledSecrets};
pub use claims::{TokenFacts, Visibility, claims, subject, token_claims};
pub use expr::{Contexts, ExprError, Object, Outcome, Status, Value};
pub use job_token::{Beside, JobToken, Known, Login, Taker, job_tokens};
pub use lines::Lines;
pub use model::{
    CallJob, Concurrency, Defaults, Environment, Job, JobBody, Pairs, RunsOn, Secrets, Step, StepBody,
    StepsJob, Strategy, Workflow,
};
pub use no_token::no_id_token;
pub use permissions::{DefaultPermissions, EffectivePermissions, Level, Permissions, Scope};
pub use plan::{
    CalledRef, CommitFacts, Library, LoadFailure, Loaded, Plan, PlannedBody, PlannedCall, PlannedJob,
    RunFacts, plan,
};
pub use read::read;
pub use read_on::names as event_names;
pub use template::Template;
pub use trigger::{EventFacts, Triggers, starts};

use std::collections::BTreeSet;

use landfall_types::{Finding, SourceId};

/// Reads a workflow file: YAML, then the workflow, with its lines kept for GitHub's `(Line: 8, Col: 3)`.
/// `path` is the file's path in its repository.
pub fn load(source: SourceId, path: &str, text: &str) -> (Option<Workflow>, Vec<Finding>) {
    match crate::yaml::parse(source, text) {
        Err(finding) => (None, vec![finding]),
        Ok(tree) => {
            let (workflow, findings) = read(source, path, &tree);
            let lines = Some(Lines::of(text));
            let mut regions = BTreeSet::new();
            crate::regions::collect(&tree, &mut regions);
            (workflow.map(|workflow| Workflow { lines, regions, ..workflow }), findings)
        }
    }
}

#[cfg(test)]
mod tests;
