//! From a [`Tree`] to a [`Policy`]: everything that is wrong is reported, and reading goes on.

use landfall_types::{Finding, Span, Tree};

use crate::ast::Policy;

/// What a policy is for; decides which elements it must and must not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// A role's assume-role policy: `Principal` required, `Resource` forbidden.
    Trust,
    /// Attached to a user, group or role: `Resource` required, `Principal` forbidden.
    Identity,
    /// A resource's policy (ECR: `Principal` required, `Resource` left out).
    Resource,
}

/// Something in a policy document that IAM would refuse.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// AWS's own sentence where it is known (FACTS 5.2), else ours.
    pub message: String,
    /// Where.
    pub span: Span,
}

impl Problem {
    /// As a finding.
    pub fn finding(&self) -> Finding {
        Finding::error("malformed-policy", self.message.clone()).at(self.span, "here")
    }
}

/// Reads a policy. What could not be read is absent from the policy and present in the problems.
pub fn policy(tree: &Tree, kind: PolicyKind) -> (Policy, Vec<Problem>) {
    let _ = (tree, kind);
    todo!()
}
