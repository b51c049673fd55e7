//! From a [`Tree`] to a [`Policy`]: everything that is wrong is reported, and reading goes on.
//!
//! A statement of which any part can't be understood is counted as unread as a whole: one without its
//! broken condition would say more than was written.

mod arn;
mod clauses;
mod operator;

use std::collections::BTreeSet;

use landfall_types::tree::Key;
use landfall_types::{Finding, Node, SourceId, Span, Spanned, Tree};

use crate::ast::{Effect, Policy, Statement, Version};
use crate::json;

pub use clauses::invalid_principal;
pub use operator::{OPERATORS, operator, operator_spelling};

/// What a policy is for; decides which elements it must and must not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// A role's assume-role policy: `Principal` required, `Resource` forbidden.
    Trust,
    /// Attached to a user, group or role: `Resource` required, `Principal` forbidden. Boundaries,
    /// session policies and service control policies are of this kind too.
    Identity,
    /// A resource's policy (ECR: `Principal` required, `Resource` left out).
    Resource,
}

/// Something in a policy document that IAM would refuse.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// AWS's own sentence where it is known, else ours.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What AWS's sentence leaves out: what was expected here and what was found.
    pub detail: Option<String>,
}

impl Problem {
    /// A problem with nothing to add to its message.
    pub fn new(message: impl Into<String>, span: Span) -> Self {
        Self { message: message.into(), span, detail: None }
    }

    /// Adds what the message leaves out.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// As a finding.
    pub fn finding(&self) -> Finding {
        let label = self.detail.as_deref().unwrap_or("here");
        Finding::error("malformed-policy", self.message.clone()).at(self.span, label)
    }
}

/// IAM's answer to a trust policy that is no JSON; of other policies it says [`SYNTAX_ERRORS`].
pub const INVALID_JSON: &str = "This policy contains invalid Json";
/// IAM's answer to most mistakes of form.
pub const SYNTAX_ERRORS: &str = "Syntax errors in policy.";
/// IAM's answer to what its grammar has and its older reader has not: an `Effect` in other letters, a date that is none,
/// an ARN with too few parts.
pub const LEGACY_PARSING: &str = "The policy failed legacy parsing";

/// IAM's answer to a text that is no JSON.
pub fn invalid_json(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Identity => SYNTAX_ERRORS,
        PolicyKind::Trust | PolicyKind::Resource => INVALID_JSON,
    }
}

/// Reads a policy. What could not be read is absent from the policy and present in the problems.
///
/// A tree that is one string is read as the JSON document that it holds, as Terraform passes policies
/// about; every place in it is then the string's.
pub fn policy(tree: &Tree, kind: PolicyKind) -> (Policy, Vec<Problem>) {
    if let Node::Text(text) = &tree.node {
        let (mut inner, torn) = json::read(tree.span.source, text);
        place_at(&mut inner, tree.span);
        return with_syntax(&inner, torn.map(|torn| Problem { span: tree.span, ..torn }), kind);
    }
    let mut reader = Reader::new(kind);
    let policy = reader.policy(tree);
    (policy, reader.problems)
}

/// Reads a policy from JSON text. A syntax error is reported as IAM does, with its place.
pub fn document(source: SourceId, text: &str, kind: PolicyKind) -> (Policy, Vec<Problem>) {
    let (tree, torn) = json::read(source, text);
    with_syntax(&tree, torn, kind)
}

/// The problems of a torn document are those of the tear, and not what its halves look like.
fn with_syntax(tree: &Tree, torn: Option<Problem>, kind: PolicyKind) -> (Policy, Vec<Problem>) {
    let mut reader = Reader::new(kind);
    let mut policy = reader.policy(tree);
    let Some(torn) = torn else { return (policy, reader.problems) };
    policy.unread_statements = policy.unread_statements.max(1);
    (policy, vec![Problem::new(invalid_json(kind), torn.span).detail(torn.message)])
}

/// Gives every node the same place. The tree comes from [`json`], which limits its depth.
fn place_at(tree: &mut Tree, span: Span) {
    tree.span = span;
    match &mut tree.node {
        Node::List(items) => items.iter_mut().for_each(|item| place_at(item, span)),
        Node::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            key.span = span;
            place_at(value, span);
        }),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Unknown(_) => {}
    }
}

/// A part could not be understood; the reason is among the problems.
#[derive(Debug)]
struct Unread;

struct Reader {
    kind: PolicyKind,
    problems: Vec<Problem>,
    /// The first part that could not be worked out.
    unknown: Option<Spanned<String>>,
}

impl Reader {
    fn new(kind: PolicyKind) -> Self {
        Self { kind, problems: Vec::new(), unknown: None }
    }

    fn policy(&mut self, tree: &Tree) -> Policy {
        let policy = self.elements(tree);
        Policy { unknown: self.unknown.take(), ..policy }
    }

    fn elements(&mut self, tree: &Tree) -> Policy {
        let mut policy = Policy {
            version: Version::V2008,
            id: None,
            statements: Vec::new(),
            unread_statements: 0,
            unknown: None,
            span: tree.span,
        };
        let Ok(entries) = self.map(tree, "a policy") else {
            policy.unread_statements = 1;
            return policy;
        };
        if self.known_elements(entries, &["Version", "Id", "Statement"]).is_err() {
            policy.unread_statements += 1;
        }
        let mut is_of_known_version = true;
        if let Some(version) = tree.field("Version") {
            match self.version(version) {
                Ok(version) => policy.version = version,
                Err(Unread) => {
                    policy.unread_statements += 1;
                    is_of_known_version = false;
                }
            }
        }
        policy.id = tree.field("Id").and_then(|id| self.text(id, "Id").ok());
        match tree.field("Statement") {
            Some(statements) => self.statements(statements, &mut policy),
            None => self.syntax(tree.span, "a policy needs a `Statement`"),
        }
        self.sids(&policy);
        if !is_of_known_version {
            // What statements say in a language that nobody knows is anybody's guess.
            policy.unread_statements += std::mem::take(&mut policy.statements).len();
        }
        policy
    }

    fn version(&mut self, tree: &Tree) -> Result<Version, Unread> {
        match tree.as_text() {
            Some("2012-10-17") => Ok(Version::V2012),
            Some("2008-10-17") => Ok(Version::V2008),
            _ => {
                self.unknown(tree, "`Version`")?;
                let message = match self.kind {
                    PolicyKind::Identity => SYNTAX_ERRORS,
                    PolicyKind::Trust | PolicyKind::Resource => {
                        "The policy must contain a valid version string"
                    }
                };
                let detail = "expected \"2012-10-17\" (or the old \"2008-10-17\") as `Version`";
                self.problems.push(Problem::new(message, tree.span).detail(detail));
                Err(Unread)
            }
        }
    }

    fn statements(&mut self, tree: &Tree, policy: &mut Policy) {
        let statements = match &tree.node {
            Node::List(items) => items.as_slice(),
            _ => std::slice::from_ref(tree),
        };
        match (statements.is_empty(), self.kind) {
            (true, PolicyKind::Trust) => self.problems.push(Problem::new(EMPTY_STATEMENT, tree.span)),
            (true, _) => self.syntax(tree.span, "a policy needs at least one statement"),
            (false, _) => {}
        }
        for statement in statements {
            match self.statement(statement) {
                Ok(statement) => policy.statements.push(statement),
                Err(Unread) => policy.unread_statements += 1,
            }
        }
    }

    fn statement(&mut self, tree: &Tree) -> Result<Statement, Unread> {
        let entries = self.map(tree, "a statement")?;
        let known = self.known_elements(entries, STATEMENT_ELEMENTS);
        let sid = tree.field("Sid").map(|sid| self.text(sid, "Sid")).transpose();
        // All parts are looked at before giving up, so that every problem is reported at once.
        let effect = self.effect(tree);
        let principal = self.principal_clause(tree);
        let action = self.action_clause(tree);
        let resource = self.resource_clause(tree);
        let conditions = self.conditions(tree);
        known?;
        Ok(Statement {
            sid: sid?,
            effect: effect?,
            principal: principal?,
            action: action?,
            resource: resource?,
            conditions: conditions?,
            span: tree.span,
        })
    }

    fn effect(&mut self, tree: &Tree) -> Result<Effect, Unread> {
        let Some(effect) = tree.field("Effect") else {
            match self.kind {
                PolicyKind::Identity => self.syntax(tree.span, "a statement needs an `Effect`"),
                PolicyKind::Trust | PolicyKind::Resource => {
                    self.problems.push(Problem::new("Missing required field Effect", tree.span));
                }
            }
            return Err(Unread);
        };
        match effect.as_text() {
            Some("Allow") => Ok(Effect::Allow),
            Some("Deny") => Ok(Effect::Deny),
            found => {
                self.unknown(effect, "`Effect`")?;
                let is_case = found.is_some_and(|found| {
                    ["Allow", "Deny"].iter().any(|effect| effect.eq_ignore_ascii_case(found))
                });
                let message = match (self.kind, found) {
                    (PolicyKind::Trust, Some(found)) => format!("Invalid effect: {found}"),
                    (PolicyKind::Identity, _) if is_case => LEGACY_PARSING.to_owned(),
                    _ => SYNTAX_ERRORS.to_owned(),
                };
                let found = found.map_or_else(|| effect.kind().to_owned(), |text| format!("`{text}`"));
                let detail = format!("`Effect` is `Allow` or `Deny`, found {found}");
                self.problems.push(Problem::new(message, effect.span).detail(detail));
                Err(Unread)
            }
        }
    }

    fn sids(&mut self, policy: &Policy) {
        let mut seen = BTreeSet::new();
        for statement in &policy.statements {
            let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty()) else { continue };
            // ECR and other services take any text as Sid.
            if self.kind != PolicyKind::Resource && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let problem = Problem::new(SID_CHARACTERS, statement.span);
                self.problems.push(problem.detail(format!("the Sid is `{sid}`")));
            }
            if !seen.insert(sid) {
                let message = match self.kind {
                    PolicyKind::Trust => "The Statement Ids in the policy are not unique",
                    PolicyKind::Identity | PolicyKind::Resource => {
                        "Statement IDs (SID) in a single policy must be unique."
                    }
                };
                let problem = Problem::new(message, statement.span);
                self.problems.push(problem.detail(format!("another statement is called `{sid}` too")));
            }
        }
    }

    /// Element names are case sensitive and stand once.
    fn known_elements(&mut self, entries: &[(Key, Tree)], known: &[&str]) -> Result<(), Unread> {
        let mut outcome = self.stand_once(entries);
        for (key, value) in entries {
            let name = key.text.as_str();
            if known.contains(&name) {
                continue;
            }
            outcome = Err(Unread);
            if self.unknown(value, "an element").is_ok() {
                let meant = known.iter().find(|known| known.eq_ignore_ascii_case(name));
                let meant = meant.map_or_else(String::new, |meant| format!("; `{meant}` is spelled so"));
                self.syntax(key.span, format!("there is no element `{name}`{meant}"));
            }
        }
        outcome
    }

    /// IAM refuses what JSON allows: the same key twice in a map.
    fn stand_once(&mut self, entries: &[(Key, Tree)]) -> Result<(), Unread> {
        let mut seen = BTreeSet::new();
        let mut outcome = Ok(());
        for (key, _) in entries {
            if !seen.insert(key.text.as_str()) {
                outcome = Err(Unread);
                self.syntax(key.span, format!("`{}` stands here twice", key.text));
            }
        }
        outcome
    }

    fn map<'t>(&mut self, tree: &'t Tree, what: &str) -> Result<&'t [(Key, Tree)], Unread> {
        if let Node::Map(entries) = &tree.node {
            return Ok(entries);
        }
        self.unknown(tree, what)?;
        self.syntax(tree.span, format!("{what} is a map, found {}", tree.kind()));
        Err(Unread)
    }

    fn text(&mut self, tree: &Tree, name: &str) -> Result<String, Unread> {
        if let Node::Text(text) = &tree.node {
            return Ok(text.clone());
        }
        self.unknown(tree, &format!("`{name}`"))?;
        self.syntax(tree.span, format!("`{name}` is a string, found {}", tree.kind()));
        Err(Unread)
    }

    /// Reports a value that could not be worked out, with the reason.
    fn unknown(&mut self, tree: &Tree, what: &str) -> Result<(), Unread> {
        let Node::Unknown(reason) = &tree.node else { return Ok(()) };
        self.unknown.get_or_insert_with(|| Spanned::new(reason.clone(), tree.span));
        self.problems.push(Problem::new(format!("{what} is not known: {reason}"), tree.span));
        Err(Unread)
    }

    fn syntax(&mut self, span: Span, detail: impl Into<String>) {
        self.problems.push(Problem::new(SYNTAX_ERRORS, span).detail(detail));
    }
}

const STATEMENT_ELEMENTS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

const EMPTY_STATEMENT: &str = "Could not parse the policy: Statement is empty!";

const SID_CHARACTERS: &str = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*";
