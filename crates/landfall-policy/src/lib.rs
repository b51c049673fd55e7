//! The IAM policy language: read, decide, explain.
//!
//! `check` proves with this crate what `serve` enforces with it, so it knows neither HTTP nor JSON
//! libraries nor files: text and requests in, [`Decision`]s out. It can't panic on input, has no
//! dependency but `landfall-types`, and compiles to wasm.
//!
//! The way through: [`json::parse`] (or Terraform's evaluator) makes a
//! [`Tree`](landfall_types::Tree); [`parse::policy`] makes a [`Policy`] and a list of problems;
//! [`decide::decide`] takes the policies of every [`Layer`] and a [`Request`] and answers with a
//! [`Decision`] that carries its reasons as data; [`explain`] turns the reasons into AWS's sentence
//! or into a [`Finding`](landfall_types::Finding).

pub mod ast;
pub mod catalogue;
pub mod condition;
pub mod decide;
pub mod decision;
pub mod explain;
pub mod json;
pub mod managed;
pub mod matching;
pub mod parse;
pub mod pattern;
pub mod prove;
pub mod region;
pub mod request;
pub mod service_linked;
pub mod service_principals;
pub mod set;
pub mod trace;
pub mod write_time;

pub use ast::Policy;
pub use decide::{Layers, decide};
pub use decision::{Clause, Decision, Denial, Layer, Miss, Outcome, StatementRef};
pub use parse::{PolicyKind, Problem};
pub use request::{Context, Principal, Request};

#[cfg(test)]
mod tests;
