//! Policy documents on their way in.

use landfall_policy::ast::{Policy, PrincipalPattern, Version};
use landfall_policy::matching::principal_name;
use landfall_policy::parse::{LEGACY_PARSING, Problem, invalid_principal};
use landfall_policy::write_time::EcrOwner;
use landfall_policy::{PolicyKind, parse, service_principals, write_time};
use landfall_types::{AccountId, Arn, Finding, Node, SourceId, Span, Tree};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;

use super::error;
use crate::policies::NOT_KEPT;
use crate::store::{Document, Reads, UnknownPart, principals};
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
            problems.extend(write_time::value_problems(&policy, self.way != Way::Passing));
            // A file may be newer than the list of services that are known here: whoever reads it warns.
            if self.way == Way::Stored && kind == PolicyKind::Trust {
                problems.extend(service_principals::refused(&policy));
            }
            if self.way == Way::Stored && kind == PolicyKind::Identity {
                problems.extend(order_problem(&self.tree));
            }
            if let Some(refused) = refusal(&problems, kind) {
                return Err(refused);
            }
        }
        let is_from_file = self.way == Way::File;
        Ok(Document { is_from_file, ..Document::new(self.text, kind, self.unknown, policy) })
    }

    /// The services that a trust policy names and that aren't known, as warnings: they may be new.
    pub fn unknown_services(&self) -> Vec<Finding> {
        let (policy, _) = parse::policy(&self.tree, PolicyKind::Trust);
        service_principals::warnings(&policy).take(PROBLEMS_TOLD).collect()
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
    // ECR's sentence leaves out what is wrong.
    let (said, here) = match kind {
        PolicyKind::Resource => {
            let said = ecr_invalid_parameter("PolicyText", EcrOwner::Repository.refusal());
            (said, first.message.as_str())
        }
        PolicyKind::Trust | PolicyKind::Identity => (malformed(&first.message), "here"),
    };
    let others = problems.iter().filter(|problem| !std::ptr::eq(*problem, first));
    let told = std::iter::once(first).chain(others).take(PROBLEMS_TOLD);
    Some(
        told.fold(said, |refused, problem| {
            refused.at(problem.span, problem.detail.as_deref().unwrap_or(here))
        }),
    )
}

fn malformed(message: &str) -> AwsError {
    error("MalformedPolicyDocument", message, 400)
}

/// Saves a trust policy: whom it names has to be there, and is meant from now on, whatever becomes of the name.
/// Terraform's files are read whole, in any order, so that being there is asked of what comes over the API alone.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(super) fn save_trust(
    reads: &impl Reads,
    account: AccountId,
    mut trust: Document,
    before: Option<&Document>,
) -> Result<Document, AwsError> {
    if !trust.is_from_file {
        let own = Arn::root(account).partition;
        if let Some((principal, partition)) = principals::of_another_partition(&own, &trust.policy) {
            let kind =
                if matches!(principal.value, PrincipalPattern::Federated(_)) { "Federated" } else { "AWS" };
            let message = invalid_principal(kind, &principal_name(&principal.value));
            let label = format!("it is of the partition `{partition}`, and this account is of `{own}`");
            return Err(malformed(&message).at(principal.span, label));
        }
        if let Some(principal) = principals::missing(reads, account, &trust.policy) {
            let message = invalid_principal("AWS", &principal_name(&principal.value));
            let label = "there is nobody of this name here; AWS turns names into ids when a policy is saved";
            return Err(malformed(&message).at(principal.span, label));
        }
    }
    principals::settle(reads, account, &mut trust, before);
    Ok(trust)
}
