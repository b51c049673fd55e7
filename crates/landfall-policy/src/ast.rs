//! A policy as it was understood, with the place of every part.

use landfall_types::{Span, Spanned};

/// A policy document.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// `Version`; decides whether `${…}` are variables.
    pub version: Version,
    /// `Id`, if it has one.
    pub id: Option<String>,
    /// The statements that could be read. One that couldn't is a problem, not a statement.
    pub statements: Vec<Statement>,
    /// The number of statements that stand in the document but could not be read.
    pub unread_statements: usize,
    /// The first part that could not be worked out: why, and where it stands.
    pub unknown: Option<Spanned<String>>,
    /// Where the document stands.
    pub span: Span,
}

/// The two versions of the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// `2008-10-17`, also when none is given: no policy variables.
    V2008,
    /// `2012-10-17`.
    V2012,
}

/// One statement.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// `Sid`.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`; none in identity policies.
    pub principal: Option<PrincipalClause>,
    /// `Action` or `NotAction`.
    pub action: PatternClause,
    /// `Resource` or `NotResource`; none in trust and repository policies.
    pub resource: Option<PatternClause>,
    /// `Condition`: all must hold.
    pub conditions: Vec<Condition>,
    /// Where the statement stands.
    pub span: Span,
}

/// What a statement does when it matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It refuses, whatever else grants.
    Deny,
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, PartialEq, Debug)]
pub struct PrincipalClause {
    /// Whether it is a `NotPrincipal`.
    pub negated: bool,
    /// The principals.
    pub principals: Vec<Spanned<PrincipalPattern>>,
    /// Where the clause stands.
    pub span: Span,
}

/// One principal of a policy. There are no wildcards inside names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrincipalPattern {
    /// `"*"` or `{"AWS": "*"}`.
    Any,
    /// An account: its id, or the ARN of its root user. Either stands for everybody in the account.
    Account {
        /// Twelve digits.
        id: String,
        /// The ARN's partition; none for an id, which is that of whoever calls, because no call leaves its partition. An
        /// account of `aws-cn` is another one than that of `aws` with the same id.
        partition: Option<String>,
    },
    /// A user, role or session ARN: whoever goes by it.
    Aws(String),
    /// A user or a role by its unique id, which IAM puts in place of an ARN when a policy is saved: nobody else,
    /// whatever the ARN is.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles>
    Unique {
        /// `AIDA…`, `AROA…`.
        id: String,
        /// How the policy's author wrote it: the ARN, or the id itself.
        written: String,
    },
    /// A provider's ARN or a built-in provider's host.
    Federated(String),
    /// A service principal.
    Service(String),
    /// An S3 canonical user.
    CanonicalUser(String),
}

/// `Action`, `NotAction`, `Resource` or `NotResource`: any of the patterns.
#[derive(Clone, PartialEq, Debug)]
pub struct PatternClause {
    /// Whether it is the `Not…` form.
    pub negated: bool,
    /// The patterns as written.
    pub patterns: Vec<Spanned<String>>,
    /// Where the clause stands.
    pub span: Span,
}

/// One key under one operator: any of the values (none of them, for negated operators).
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// The operator as it was understood.
    pub operator: Operator,
    /// The operator as written.
    pub operator_text: String,
    /// The key as written; names ignore case.
    pub key: Spanned<String>,
    /// Whether the key has a list of values, by AWS's tables; none for a key that is not in them.
    pub multivalued: Option<bool>,
    /// The values as written.
    pub values: Vec<Spanned<String>>,
    /// Where key and values stand.
    pub span: Span,
}

/// A condition operator with its qualifier and suffix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operator {
    /// `ForAllValues:`, `ForAnyValue:`, or none.
    pub qualifier: Option<Qualifier>,
    /// What is compared, and how.
    pub comparison: Comparison,
    /// Whether it ends in `IfExists`.
    pub if_exists: bool,
}

/// A set qualifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qualifier {
    /// Every value of the request's key; true when there is none.
    ForAllValues,
    /// At least one value of the request's key.
    ForAnyValue,
}

/// How a value is compared. The negated forms are the same comparison with `negated`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// The type and relation.
    pub kind: ComparisonKind,
    /// `…Not…`.
    pub negated: bool,
}

/// Type and relation of an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComparisonKind {
    /// `StringEquals`.
    StringEquals,
    /// `StringEqualsIgnoreCase`.
    StringEqualsIgnoreCase,
    /// `StringLike`.
    StringLike,
    /// `ArnEquals` and `ArnLike`, which are the same.
    Arn,
    /// `Numeric…`.
    Numeric(Relation),
    /// `Date…`.
    Date(Relation),
    /// `Bool`.
    Bool,
    /// `BinaryEquals`.
    Binary,
    /// `IpAddress`.
    IpAddress,
    /// `Null`.
    Null,
}

/// An order relation; `NotEquals` is `Equals` negated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// Equal.
    Equals,
    /// Less than the policy's value.
    Less,
    /// Less than or equal.
    LessOrEqual,
    /// Greater than the policy's value.
    Greater,
    /// Greater than or equal.
    GreaterOrEqual,
}
