//! Rehearsals against a server in this process: workflows as data, and the law that a job's token says what
//! `check` says of the job.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod cases;
mod claims;
mod pipelines;
mod stage;
mod workflows;
