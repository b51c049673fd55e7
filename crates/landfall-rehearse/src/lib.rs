//! A dress rehearsal: a workflow file runs end to end on this machine, against a local AWS side made
//! from the repository's own Terraform.
//!
//! The steps really run, in a copy of the repository. The actions that belong to the crossing are the
//! `landfall` commands themselves, run over the wire with GitHub's file protocol; there is no second
//! implementation. Nothing leaves the machine: endpoints, credentials files and registry names all lead
//! to the local side.
//!
//! A rehearsal goes [`world::seed`] (the AWS side) → [`plan`](landfall_check::github::plan) (which jobs,
//! with which permissions) → [`run::run`] (jobs, steps, decisions) → [`event::Summary`].

pub mod actions;
pub mod clients;
pub mod environment;
pub mod event;
pub mod gitlab;
pub mod hash_files;
pub mod home;
pub mod job;
pub mod library;
mod loopback;
pub mod process;
pub mod run;
pub mod scratch;
pub mod script;
pub mod snapshot;
pub mod world;

mod action;
mod cancel;
mod containers;
mod deployed;
mod docker;
mod engine;
mod flow;
mod names;
mod protocol;
mod readiness;
mod services;
mod stand_ins;
mod step;
mod task_definition;
mod teach;
mod text_file;
mod voices;

pub use event::{Event, Observer, Outcome, Summary};
pub use run::{Rehearsal, run};
