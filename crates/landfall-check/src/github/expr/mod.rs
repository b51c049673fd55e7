//! GitHub's expressions: `${{ … }}` parsed, checked and evaluated.
//!
//! Syntax, coercions and functions follow GitHub's documentation, "Evaluate expressions in workflows
//! and actions", and where that is silent the open-source runner (`actions/runner`, `src/Sdk/Expressions`).
//! Nothing here does IO: `hashFiles` is a callback, and contexts are values that the caller makes.

mod eval;
mod functions;
mod json;
mod lex;
mod parse;
mod value;

pub use functions::Function;
pub(crate) use json::quote;
pub use json::{from_json, to_json};
pub use parse::{Availability, Comparison, Expression, Literal, Node, ParseError, StatusCalls};
pub use value::{Object, Value};

use landfall_types::Span;

/// The longest expression, in characters ("Expressions", limits; observed in the runner).
pub const EXPRESSION_CHARS_MAX: usize = 21_000;
/// The deepest expression, in nested operators and calls (observed in the runner).
pub const EXPRESSION_DEPTH_MAX: usize = 50;
/// The longest text that an evaluation may make, in bytes. Ours: the runner counts all of its memory.
pub const RESULT_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Adds to a text that an evaluation makes, up to [`RESULT_BYTES_MAX`].
pub(crate) fn push_limited(text: &mut String, more: &str) -> Result<(), String> {
    if text.len() + more.len() > RESULT_BYTES_MAX {
        return Err(format!("The maximum allowed memory size was exceeded ({RESULT_BYTES_MAX} bytes)"));
    }
    text.push_str(more);
    Ok(())
}

/// Why an expression has no value.
#[derive(Clone, PartialEq, Debug)]
pub struct ExprError {
    /// GitHub's text where it has one.
    pub message: String,
    /// Where the expression stands.
    pub span: Span,
}

impl std::fmt::Display for ExprError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExprError {}

/// How a job or step ended, as `needs.*.result` and `steps.*.outcome` say it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// `success`
    Success,
    /// `failure`
    Failure,
    /// `cancelled`
    Cancelled,
    /// `skipped`
    Skipped,
}

impl Outcome {
    /// The word that contexts show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// What the status functions answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// `success()`: for a step, nothing failed before it; for a job, all its ancestors succeeded.
    pub success: bool,
    /// `failure()`: something before it failed.
    pub failure: bool,
    /// `cancelled()`.
    pub cancelled: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self { success: true, failure: false, cancelled: false }
    }
}

/// Hashes the files that match the patterns of a `hashFiles` call: lower-case hex, empty when nothing matches.
pub type HashFiles<'a> = dyn Fn(&[String]) -> Result<String, String> + 'a;

/// Everything that an evaluation may look at.
#[derive(Clone, Default)]
pub struct Contexts<'a> {
    roots: Vec<(String, Value)>,
    /// What the status functions answer.
    pub status: Status,
    /// Results of single jobs, for `success('build')` and `failure('build')` in a job's `if`.
    pub job_results: Vec<(String, Outcome)>,
    /// `hashFiles`; without it a call is an error that says so.
    pub hash_files: Option<&'a HashFiles<'a>>,
}

impl<'a> Contexts<'a> {
    /// No contexts: every named value is null.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a root such as `github` or `env`; an earlier value of that name is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.set(name, value);
        self
    }

    /// As [`Contexts::with`], in place.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.roots.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.roots.push((name.to_owned(), value)),
        }
    }

    /// A root's value; null when it was never set.
    pub fn get(&self, name: &str) -> Value {
        let found = self.roots.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(Value::Null, |(_, value)| value.clone())
    }
}

impl std::fmt::Debug for Contexts<'_> {
    // Contexts hold secrets: names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.roots.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests;
