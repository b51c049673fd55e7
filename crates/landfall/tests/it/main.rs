//! The real binary, as a person runs it: whole outputs in `snapshots/`, with what differs from run to run
//! taken out of them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod bench;
#[path = "../../../landfall-serve/tests/it/client.rs"]
#[allow(dead_code, reason = "the client of the server's own tests, used in part")]
mod client;
mod deploy;
mod deploy_aws;
mod fuzz;
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz_targets;
mod gates;
mod gitlab;
mod help;
mod kill;
mod output;
mod questions;
mod rehearse;
mod stopped;
mod token;
