//! The answer to a [`Request`](crate::Request), with its reasons as data. Text is made by
//! [`explain`](crate::explain); the server's log, the rehearsal's report and the tests read this.

use landfall_types::Span;

/// Allowed or denied, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// The verdict.
    pub outcome: Outcome,
    /// The statements that allowed it, the decisive one first; empty for a denial.
    pub allowed_by: Vec<StatementRef>,
    /// For every layer that was consulted and did not allow: its closest misses, nearest first.
    pub misses: Vec<Miss>,
    /// Policies or statements that could not be read and might have changed the answer.
    pub unknown: Vec<String>,
}

impl Decision {
    /// Whether the call may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed)
    }
}

/// The verdict.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Every layer that has to allow it does, and none denies it.
    Allowed,
    /// It may not go on.
    Denied(Denial),
}

/// Why a call may not go on.
#[derive(Clone, PartialEq, Debug)]
pub enum Denial {
    /// A `Deny` statement matched.
    Explicit {
        /// The statement.
        by: StatementRef,
    },
    /// A layer that has to allow it did not.
    Implicit {
        /// The layer that is named in AWS's sentence.
        layer: Layer,
    },
}

/// The kinds of policy that take part in a decision.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Layer {
    /// The role's assume-role policy.
    Trust,
    /// Policies attached to the caller.
    Identity,
    /// The resource's own policy.
    Resource,
    /// The permissions boundary.
    Boundary,
    /// Policies passed when the session was made.
    Session,
    /// Service control policies of the caller's organization.
    ServiceControl,
    /// Resource control policies of the resource's organization.
    ResourceControl,
}

/// A statement, named so that a person finds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatementRef {
    /// The layer that it belongs to.
    pub layer: Layer,
    /// The policy's name as given to [`Layers`](crate::Layers): an ARN, or `inline policy x`.
    pub policy: String,
    /// Position in the policy, from 0.
    pub statement_index: usize,
    /// `Sid`, if it has one.
    pub sid: Option<String>,
    /// Where the statement stands.
    pub span: Span,
}

/// A statement that did not apply, and the clauses that kept it from applying.
#[derive(Clone, PartialEq, Debug)]
pub struct Miss {
    /// The statement.
    pub statement: StatementRef,
    /// The clauses that did not match; all others did. Never empty.
    pub failed: Vec<Clause>,
}

/// One clause of a statement that did not match: what it wanted, what the request had.
#[derive(Clone, PartialEq, Debug)]
pub enum Clause {
    /// `Principal` or `NotPrincipal`.
    Principal {
        /// The principals that the statement names.
        wanted: Vec<String>,
        /// The caller.
        got: String,
        /// The unique id of the user or role that one of the names means, where the caller has that name and is
        /// not the one: it was deleted, and another made under its name.
        namesake: Option<String>,
        /// Where the clause stands.
        span: Span,
    },
    /// `Action` or `NotAction`.
    Action {
        /// The patterns.
        wanted: Vec<String>,
        /// The action.
        got: String,
        /// Where the clause stands.
        span: Span,
        /// Whether it is a `NotAction`.
        negated: bool,
    },
    /// `Resource` or `NotResource`.
    Resource {
        /// The patterns.
        wanted: Vec<String>,
        /// The resource.
        got: String,
        /// Where the clause stands.
        span: Span,
        /// Whether it is a `NotResource`.
        negated: bool,
    },
    /// One key under one operator of `Condition`.
    Condition {
        /// The operator as written, `ForAnyValue:StringLike`.
        operator: String,
        /// The key as written.
        key: String,
        /// The values as written.
        wanted: Vec<String>,
        /// The request's values; none when the key is absent.
        got: Option<Vec<String>>,
        /// Where each wanted value stands, in the order of `wanted`. A value of a local or a variable
        /// stands elsewhere than its key.
        value_spans: Vec<Span>,
        /// Where the key stands.
        key_span: Span,
        /// Where the key with its values stands.
        span: Span,
    },
}

impl Clause {
    /// Where the clause stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Principal { span, .. }
            | Self::Action { span, .. }
            | Self::Resource { span, .. }
            | Self::Condition { span, .. } => *span,
        }
    }
}
