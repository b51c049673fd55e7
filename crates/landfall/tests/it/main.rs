//! The real binary, as a person runs it: whole outputs in `snapshots/`, with what differs from run to run
//! taken out of them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bench;
mod help;
mod questions;
mod rehearse;
mod stopped;
mod token;
