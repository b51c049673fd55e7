//! GitLab CI/CD without GitLab: configurations put together from their files, pipelines made of them, and what the ID
//! tokens of their jobs say.
//!
//! [`load`] reads a `.gitlab-ci.yml` with everything that it includes into a [`Config`], with GitLab's own sentences
//! for what GitLab would refuse; [`plan`] says which jobs a pipeline has, in which order and with which variables;
//! [`token_claims`] says what a job's ID token carries.
//!
//! Nothing here does IO or reads a clock.

pub mod claims;
pub mod expression;
pub mod facts;
pub mod glob;
pub mod include;
pub mod model;
pub mod plan;
pub mod rules;
pub mod variables;

mod combine;
mod document;
mod inputs;
mod read;
mod read_job;

pub use claims::{TokenEnvironment, TokenFacts, token_claims, token_subject};
pub use facts::{Commit, MergeRequest, PipelineFacts, RefType};
pub use include::{File, Library, Missing, Project};
pub use model::{AllowFailure, Artifacts, Body, Config, Job, Retry, Script, When};
pub use plan::{LeftOut, Plan, PlannedJob, PlannedNeed, PlannedToken, plan};
pub use variables::{Variable, Variables};

use landfall_types::{Finding, Span};

/// Reads a configuration of the pipeline's own project, with the files that it includes.
///
/// # Errors
/// What GitLab would refuse, or what can't be found.
pub fn load(
    file: &File,
    inputs: &[(String, String)],
    facts: &PipelineFacts,
    library: &mut dyn Library,
) -> Result<Config, Vec<Finding>> {
    let mut variables = Variables::default();
    variables.extend(facts.predefined());
    variables.extend(facts.said());
    let given = inputs::from_outside(file, inputs)?;
    let mut loader = include::Loader { library, facts, variables: &variables, files: 0 };
    let tree = loader.load(&Project::Own, file, &given, None, 0)?;
    let tree = combine::extend_all(tree)?;
    let tree = combine::refer_all(&tree)?;
    read::read(&tree)
}

/// GitLab's own sentence about a part of a configuration.
fn refused(message: impl Into<String>, span: Span) -> Finding {
    Finding::error("gitlab-config", message).at(span, "here")
}

#[cfg(test)]
mod tests;
