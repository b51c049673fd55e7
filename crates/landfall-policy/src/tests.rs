//! Tables of cases from `cases/`, read with this crate's own JSON reader and replayed through the
//! whole way: text, policy, decision.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod decisions;
mod enumerator;
mod explanations;
mod hostile;
mod languages;
mod problems;
mod proofs;
mod random;
mod random_policies;
mod reference;
mod sets;
mod trusts;
mod who;

use landfall_types::{Node, SourceId, SourceMap, Tree};

use crate::ast::Policy;
use crate::parse::{self, PolicyKind};
use crate::request::{Context, Principal};
use crate::{Layers, Request, decide, json};

/// The file's tree; it has to be well formed.
fn read_cases(file: &str) -> Tree {
    let path = format!("{}/cases/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (tree, problems) = json::parse(SourceId(0), &text);
    assert!(problems.is_empty(), "{file}: {problems:?}");
    tree
}

/// The rows under `cases`.
fn rows(tree: &Tree) -> &[Tree] {
    let rows = tree.field("cases").unwrap().items();
    assert!(!rows.is_empty());
    rows
}

fn texts(tree: &Tree) -> Vec<String> {
    match &tree.node {
        Node::List(items) => items.iter().map(|item| item.scalar().unwrap()).collect(),
        _ => vec![tree.scalar().unwrap()],
    }
}

fn text(tree: &Tree) -> &str {
    tree.as_text().unwrap_or_else(|| panic!("expected a string, found {tree:?}"))
}

fn flag(tree: &Tree) -> bool {
    matches!(tree.node, Node::Bool(true))
}

/// `{"key": "value"}` or `{"key": ["value", …]}`.
fn context(tree: Option<&Tree>) -> Context {
    let mut context = Context::new();
    for (key, value) in tree.map_or(&[][..], Tree::entries) {
        context.set_all(key.text.clone(), texts(value));
    }
    context
}

/// A policy without any problem.
fn sound(tree: &Tree, kind: PolicyKind) -> Policy {
    let (policy, problems) = parse::policy(tree, kind);
    assert!(problems.is_empty(), "{problems:?}");
    policy
}

fn sound_text(text: &str, kind: PolicyKind) -> Policy {
    let (policy, problems) = parse::document(SourceId(0), text, kind);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    policy
}

/// `arn:aws:iam::A:user/N`, `arn:aws:iam::A:root`, `SESSION-ARN` (its role has no path), `service:NAME`,
/// `federated:PROVIDER` or `anonymous`.
fn principal(text: &str) -> Principal {
    if let Some(provider) = text.strip_prefix("federated:") {
        return Principal::Federated { provider: provider.to_owned() };
    }
    // `ARN = ID` is a caller with a unique id.
    let (text, unique_id) =
        text.split_once(" = ").map_or((text, None), |(text, id)| (text, Some(id.to_owned())));
    if let Some(name) = text.strip_prefix("service:") {
        return Principal::Service { name: name.to_owned() };
    }
    if text == "anonymous" {
        return Principal::Anonymous;
    }
    let arn = landfall_types::Arn::parse(text).unwrap();
    let account = arn.account_id().unwrap();
    match arn.resource.split('/').collect::<Vec<_>>().as_slice() {
        ["root"] => Principal::Root { arn },
        ["user", ..] => Principal::User { arn, id: unique_id },
        ["assumed-role", role, _] => Principal::Session {
            role: landfall_types::Arn::role(account, "/", role),
            session: arn,
            role_id: unique_id,
        },
        // A session doesn't tell its role's path; a case does, to say that a service owns the role.
        ["assumed-role", "aws-service-role", service, role, name] => Principal::Session {
            role: landfall_types::Arn::role(account, &format!("/aws-service-role/{service}/"), role),
            session: landfall_types::Arn::assumed_role(account, role, name),
            role_id: unique_id,
        },
        other => panic!("no principal: {other:?}"),
    }
}

const ACCOUNT: &str = "123456789012";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/deploy/run";
const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/api";

/// Whether an identity policy of one statement allows `ecr:PutImage`.
fn identity_allows(policy: &Policy, resource: &str, context: Context) -> bool {
    let layers = Layers {
        identity: vec![decide::Named { name: "inline policy p".into(), policy }],
        ..Layers::default()
    };
    let request = Request {
        principal: principal(SESSION),
        action: "ecr:PutImage".to_owned(),
        resource: resource.to_owned(),
        resource_account: ACCOUNT.to_owned(),
        context,
    };
    decide(&layers, &request).is_allowed()
}

/// JSON text of a string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// JSON text of a list of strings.
fn quoted_list(texts: &[String]) -> String {
    let items: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", items.join(","))
}

fn sources_with(name: &str, text: &str) -> (SourceMap, SourceId) {
    let sources = SourceMap::new();
    let id = sources.add(name, text);
    (sources, id)
}
