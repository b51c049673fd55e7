//! Policy documents on their way in.

use std::sync::Arc;

use landfall_policy::ast::{Policy, PrincipalPattern, Version};
use landfall_policy::parse::{LEGACY_PARSING, Problem};
use landfall_policy::{PolicyKind, parse, write_time};
use landfall_types::{AccountId, Arn, Node, SourceId, Span, Tree};
use landfall_wire::error::AwsError;

use super::error;
use crate::policies::NOT_KEPT;
use crate::store::{Document, UnknownPart};
use crate::world::World;

/// A policy document as it was given: its text, and the tree with the places of where it was written.
#[derive(Clone, Debug)]
pub struct DocumentInput {
    /// JSON.
    pub text: String,
    /// The document with its places.
    pub tree: Tree,
    /// Whether it was written long ago: what IAM accepts today doesn't apply to it. A trust policy that
    /// says nothing about the subject is refused since 2025, and roles that have one go on working.
    pub is_old: bool,
    /// What could not be worked out of it.
    pub unknown: Vec<UnknownPart>,
    /// How it came, as far as what IAM accepts depends on that.
    pub way: Way,
}

/// How a document came.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Way {
    /// In a file, which whoever carries it to AWS puts into another order.
    #[default]
    File,
    /// By a call that stores it.
    Stored,
    /// With a session.
    Passing,
}

/// Mistakes of one document that are told.
const PROBLEMS_TOLD: usize = 3;

impl DocumentInput {
    /// A document that came over the API: its places are in its own text.
    pub fn from_json(world: &World, name: &str, text: &str) -> Self {
        Self::parse(world.given.source(world, name, text), text, Way::Stored)
    }

    /// A document that is looked at once: nothing will point into it.
    pub fn from_passing_json(text: &str) -> Self {
        Self::parse(NOT_KEPT, text, Way::Passing)
    }

    fn parse(source: SourceId, text: &str, way: Way) -> Self {
        // What is torn is read as the text that it is, and refused when it is read as a policy: whom it is for is
        // looked up first.
        let (tree, problems) = landfall_policy::json::parse(source, text);
        let tree = match problems.is_empty() {
            true => tree,
            false => Tree { node: Node::Text(text.to_owned()), ..tree },
        };
        Self { text: text.to_owned(), tree, is_old: false, unknown: Vec::new(), way }
    }

    /// Reads the document as IAM would when it is written.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`, `LimitExceeded`.
    pub fn read(self, kind: PolicyKind, account: AccountId) -> Result<Document, AwsError> {
        self.read_with(kind, account, |_| None)
    }

    /// As [`DocumentInput::read`], for a managed policy, which has to say the newer version.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`, `LimitExceeded`.
    pub fn read_managed(self, account: AccountId) -> Result<Document, AwsError> {
        self.read_with(PolicyKind::Identity, account, |policy| {
            let problem = Problem::new(write_time::NOT_THE_NEW_VERSION, policy.span);
            let detail = "expected `\"Version\": \"2012-10-17\"`";
            (policy.version == Version::V2008).then(|| problem.detail(detail))
        })
    }

    fn read_with(
        self,
        kind: PolicyKind,
        account: AccountId,
        more: impl FnOnce(&Policy) -> Option<Problem>,
    ) -> Result<Document, AwsError> {
        let (policy, mut problems) = parse::policy(&self.tree, kind);
        if !self.is_old {
            problems.extend(more(&policy));
            problems.extend(write_time::write_time_problems(&policy, &self.tree, kind, account.as_str()));
            if self.way != Way::Passing {
                problems.extend(write_time::date_problems(&policy));
            }
            if self.way == Way::Stored && kind == PolicyKind::Identity {
                problems.extend(order_problem(&self.tree));
            }
            if let Some(refused) = refusal(&problems, kind) {
                return Err(refused);
            }
        }
        Ok(Document { text: self.text.into(), kind, unknown: self.unknown, policy: Arc::new(policy) })
    }

    /// The place of the document.
    pub fn span(&self) -> Span {
        self.tree.span
    }
}

/// A statement that is no list has to stand behind the version. AWS's Terraform provider puts it there.
/// <https://github.com/hashicorp/terraform-provider-aws/issues/22879>
fn order_problem(tree: &Tree) -> Option<Problem> {
    let Node::Map(entries) = &tree.node else { return None };
    let place = |name: &str| entries.iter().position(|(key, _)| key.text == name);
    let (statement, version) = (place("Statement")?, place("Version")?);
    let is_map = matches!(tree.field("Statement")?.node, Node::Map(_));
    let detail = "put `Version` before `Statement`, or the statement into a list";
    (is_map && statement < version).then(|| Problem::new(LEGACY_PARSING, tree.span).detail(detail))
}

/// The refusal of a document: AWS tells one mistake alone, and of most not where it is.
fn refusal(problems: &[Problem], kind: PolicyKind) -> Option<AwsError> {
    let first = write_time::first_told(problems, kind)?;
    if first.message.starts_with("Cannot exceed quota") {
        return Some(error("LimitExceeded", first.message.clone(), 409));
    }
    let others = problems.iter().filter(|problem| !std::ptr::eq(*problem, first));
    let told = std::iter::once(first).chain(others).take(PROBLEMS_TOLD);
    Some(told.fold(malformed(&first.message), |refused, problem| {
        refused.at(problem.span, problem.detail.as_deref().unwrap_or("here"))
    }))
}

fn malformed(message: &str) -> AwsError {
    error("MalformedPolicyDocument", message, 400)
}

/// Whether the users and roles that a trust policy names are there, as far as they are of the role's own
/// account: what other accounts have is theirs to tell. Terraform's files are read whole, in any order,
/// so this is asked of what comes over the API alone.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
///
/// # Errors
/// `MalformedPolicyDocument`.
pub fn check_principals(world: &World, account: AccountId, trust: &DocumentInput) -> Result<(), AwsError> {
    let (policy, problems) = parse::policy(&trust.tree, PolicyKind::Trust);
    if !problems.is_empty() {
        // Reading it as a whole says so.
        return Ok(());
    }
    let clauses = policy.statements.iter().filter_map(|statement| statement.principal.as_ref());
    for principal in clauses.flat_map(|clause| &clause.principals) {
        if let PrincipalPattern::Aws(text) = &principal.value
            && !is_there(world, account, text)
        {
            return Err(malformed(&format!("Invalid principal in policy: \"AWS\":\"{text}\"")));
        }
    }
    Ok(())
}

fn is_there(world: &World, account: AccountId, principal: &str) -> bool {
    let Ok(arn) = Arn::parse(principal) else { return true };
    if arn.account != account.as_str() {
        return true;
    }
    let name = |resource: &str| resource.rsplit('/').next().unwrap_or_default().to_owned();
    match arn.resource.split_once('/') {
        Some(("role", rest)) => world.store.role(account, &name(rest)).is_some_and(|role| role.arn == arn),
        Some(("user", rest)) => world.store.user(account, &name(rest)).is_some_and(|user| user.arn == arn),
        Some(("assumed-role", rest)) => {
            let role = rest.split('/').next().unwrap_or_default();
            world.store.role(account, role).is_some()
        }
        _ => true,
    }
}
