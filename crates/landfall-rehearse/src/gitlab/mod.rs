//! A GitLab pipeline on this machine: its jobs by stages and needs, their scripts in their shell, artifacts and
//! variables from job to job, ID tokens of the local GitLab in the variables that `id_tokens` names.
//!
//! Jobs run one after the other, in an order that GitLab could run them in: so every call of the AWS side belongs to
//! the line of a script that made it.

mod artifacts;
mod job;
mod library;
mod pipeline;
mod script;
mod teach;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use landfall_check::gitlab::{Config, PipelineFacts};
use landfall_check::terraform::Infra;
use landfall_serve::World;
use landfall_serve::issuer::Signer;
use landfall_types::SourceMap;

use crate::event::{Observer, Ready, Summary};
use crate::library::Remotes;
use crate::run::ReadVariable;
use crate::snapshot::Snapshot;

pub use library::{Folders as Library, paths};

/// Everything that the rehearsal of a pipeline needs to know.
pub struct Rehearsal {
    /// The AWS side. It plays the GitLab of [`PipelineFacts::server_url`].
    pub world: Arc<World>,
    /// All texts.
    pub sources: SourceMap,
    /// The name of the configuration's file, as the user knows it.
    pub file: String,
    /// The configuration.
    pub config: Config,
    /// The pipeline.
    pub facts: PipelineFacts,
    /// The project's folder.
    pub repository: PathBuf,
    /// A copy of it.
    pub snapshot: Snapshot,
    /// Other projects.
    pub remotes: Remotes,
    /// The `landfall` that the scripts use.
    pub landfall: PathBuf,
    /// A folder for the jobs.
    pub dir: PathBuf,
    /// The user's environment.
    pub user: ReadVariable,
    /// Run this job and what it waits for, and nothing else.
    pub only_job: Option<String>,
    /// Start manual jobs as well.
    pub manual: bool,
    /// Who signs the jobs' tokens.
    pub signer: Signer,
    /// Lines of scripts (by their beginning) or jobs (by their name) that take so many seconds longer, as far as
    /// lifetimes are concerned.
    pub stretch: Vec<(String, u32)>,
    /// How long a deployment that no line waits for is waited for at most.
    pub deployment_wait: Option<Duration>,
    /// The Terraform that the AWS side was made from.
    pub infra: Infra,
    /// What is told first.
    pub ready: Ready,
}

/// Runs the pipeline.
pub async fn run(rehearsal: &Rehearsal, observer: &mut dyn Observer) -> Summary {
    pipeline::run(rehearsal, observer).await
}
