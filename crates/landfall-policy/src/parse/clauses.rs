//! The clauses of a statement: who, what, on what, and under which conditions.

use landfall_types::{AccountId, Arn, Node, Span, Spanned, Tree};

use super::arn::{self, Refusal};
use super::operator::{operator, operator_spelling};
use super::{PolicyKind, Problem, Reader, SYNTAX_ERRORS, Unread};
use crate::ast::{Condition, PatternClause, PrincipalClause, PrincipalPattern};
use crate::decide::TRUST_ACTIONS;
use crate::{catalogue, pattern};

impl Reader {
    pub(super) fn action_clause(&mut self, tree: &Tree) -> Result<PatternClause, Unread> {
        let clause = self.pattern_clause(tree, "Action", "NotAction")?;
        let Some(clause) = clause.filter(|clause| !clause.patterns.is_empty()) else {
            let message = match self.kind {
                PolicyKind::Identity => "Policy statement must contain actions.",
                PolicyKind::Trust | PolicyKind::Resource => "Missing required field Action",
            };
            self.problems.push(Problem::new(message, tree.span));
            return Err(Unread);
        };
        for action in &clause.patterns {
            self.check_action(action);
        }
        Ok(clause)
    }

    fn check_action(&mut self, action: &Spanned<String>) {
        let text = action.value.as_str();
        let refused = match self.kind {
            PolicyKind::Trust => {
                let is_known = TRUST_ACTIONS.iter().any(|known| pattern::action(text, known) && text != "*");
                let message = "AssumeRole policy may only specify STS AssumeRole actions.";
                (!is_known).then(|| (message.to_owned(), format!("`{text}` has no place in a trust policy")))
            }
            PolicyKind::Identity | PolicyKind::Resource => action_refusal(text).map(|message| {
                (message, format!("expected SERVICE:ACTION such as `ecr:PutImage`, found `{text}`"))
            }),
        };
        if let Some((message, detail)) = refused {
            self.problems.push(Problem::new(message, action.span).detail(detail));
        }
    }

    pub(super) fn resource_clause(&mut self, tree: &Tree) -> Result<Option<PatternClause>, Unread> {
        let clause = self.pattern_clause(tree, "Resource", "NotResource")?;
        match (self.kind, &clause) {
            (PolicyKind::Identity, clause)
                if clause.as_ref().is_none_or(|clause| clause.patterns.is_empty()) =>
            {
                self.problems.push(Problem::new(NO_RESOURCES, tree.span));
                return Err(Unread);
            }
            (PolicyKind::Trust | PolicyKind::Resource, Some(clause)) => {
                let message = match clause.negated {
                    true => "AssumeRole policy must not contain resources.",
                    false => "Has prohibited field Resource",
                };
                let detail = "the resource is the one that the policy belongs to";
                self.problems.push(Problem::new(message, clause.span).detail(detail));
            }
            (PolicyKind::Identity, _) | (PolicyKind::Trust | PolicyKind::Resource, None) => {}
        }
        for resource in clause.iter().flat_map(|clause| &clause.patterns) {
            self.check_resource(resource);
        }
        Ok(clause)
    }

    fn check_resource(&mut self, resource: &Spanned<String>) {
        if let Err(Refusal { message, detail }) = arn::check(&resource.value) {
            let problem = Problem::new(message, resource.span);
            self.problems.push(match detail {
                Some(detail) => problem.detail(detail),
                None => problem,
            });
        }
    }

    fn pattern_clause(
        &mut self,
        tree: &Tree,
        name: &str,
        negated_name: &str,
    ) -> Result<Option<PatternClause>, Unread> {
        let Some((negated, value)) = self.one_of(tree, name, negated_name)? else { return Ok(None) };
        let patterns = self.strings(value, if negated { negated_name } else { name })?;
        Ok(Some(PatternClause { negated, patterns, span: value.span }))
    }

    /// The value of an element or of its `Not…` form.
    fn one_of<'t>(
        &mut self,
        tree: &'t Tree,
        name: &str,
        negated_name: &str,
    ) -> Result<Option<(bool, &'t Tree)>, Unread> {
        match (tree.field(name), tree.field(negated_name)) {
            (Some(_), Some(negated)) => {
                self.syntax(negated.span, format!("`{name}` and `{negated_name}` exclude each other"));
                Err(Unread)
            }
            (Some(value), None) => Ok(Some((false, value))),
            (None, Some(value)) => Ok(Some((true, value))),
            (None, None) => Ok(None),
        }
    }

    fn strings(&mut self, tree: &Tree, name: &str) -> Result<Vec<Spanned<String>>, Unread> {
        let items = match &tree.node {
            Node::List(items) => items.as_slice(),
            _ => std::slice::from_ref(tree),
        };
        let mut strings = Vec::with_capacity(items.len());
        let mut outcome = Ok(());
        for item in items {
            // IAM passes over a `null` in a list.
            if item.node == Node::Null && !std::ptr::eq(item, tree) {
                continue;
            }
            match self.text(item, name) {
                Ok(text) => strings.push(Spanned::new(text, item.span)),
                Err(Unread) => outcome = Err(Unread),
            }
        }
        outcome.map(|()| strings)
    }

    pub(super) fn principal_clause(&mut self, tree: &Tree) -> Result<Option<PrincipalClause>, Unread> {
        let found = self.one_of(tree, "Principal", "NotPrincipal")?;
        match (self.kind, found) {
            (PolicyKind::Identity, Some((_, value))) => {
                let message = "Policy document should not specify a principal.";
                self.problems.push(Problem::new(message, value.span));
            }
            (PolicyKind::Trust | PolicyKind::Resource, None) => {
                self.problems.push(Problem::new("Missing required field Principal", tree.span));
                return Err(Unread);
            }
            (PolicyKind::Identity, None) | (PolicyKind::Trust | PolicyKind::Resource, Some(_)) => {}
        }
        let Some((negated, value)) = found else { return Ok(None) };
        if negated && self.kind != PolicyKind::Identity {
            self.check_negated_principal(tree, value.span);
        }
        let principals = self.principals(value)?;
        Ok(Some(PrincipalClause { negated, principals, span: value.span }))
    }

    /// `NotPrincipal` goes with `Deny` alone, and not in a trust policy at all.
    fn check_negated_principal(&mut self, tree: &Tree, span: Span) {
        let allows = tree.field("Effect").and_then(Tree::as_text) == Some("Allow");
        if allows {
            self.problems.push(Problem::new("Allow with NotPrincipal is not allowed.", span));
        } else if self.kind == PolicyKind::Trust {
            let message = "AssumeRole policy must not contain NotPrincipal field.";
            self.problems.push(Problem::new(message, span));
        }
    }

    fn principals(&mut self, tree: &Tree) -> Result<Vec<Spanned<PrincipalPattern>>, Unread> {
        if let Some(text) = tree.as_text() {
            if self.kind == PolicyKind::Trust {
                // The same is accepted as a map: `{"AWS": "*"}`.
                let detail = "expected a map such as `{\"AWS\": …}` or `{\"Federated\": …}`, found a string";
                self.problems
                    .push(Problem::new("Principal must be a JSON object.", tree.span).detail(detail));
            }
            if text == "*" {
                return Ok(vec![Spanned::new(PrincipalPattern::Any, tree.span)]);
            }
            if self.kind == PolicyKind::Trust {
                return Err(Unread);
            }
            let detail = "expected `\"*\"` or a map such as `{\"AWS\": …}` or `{\"Federated\": …}`";
            let message = format!("Invalid principal in policy: \"{text}\"");
            self.problems.push(Problem::new(message, tree.span).detail(detail));
            return Err(Unread);
        }
        let entries = self.map(tree, "`Principal`")?;
        let mut principals = Vec::new();
        let mut outcome = self.known_elements(entries, PRINCIPAL_TYPES);
        for (key, value) in entries {
            if !PRINCIPAL_TYPES.contains(&key.text.as_str()) {
                continue;
            }
            match self.strings(value, &key.text) {
                Ok(names) => {
                    principals.extend(names.into_iter().map(|name| self.principal(&key.text, name)));
                }
                Err(Unread) => outcome = Err(Unread),
            }
        }
        outcome?;
        if principals.is_empty() {
            let message = "Missing required field Principal cannot be empty!";
            self.problems.push(Problem::new(message, tree.span));
            return Err(Unread);
        }
        Ok(principals)
    }

    fn principal(&mut self, kind: &str, name: Spanned<String>) -> Spanned<PrincipalPattern> {
        let Spanned { value: text, span } = name;
        let (is_valid, pattern) = match kind {
            "AWS" if text == "*" => (true, PrincipalPattern::Any),
            "AWS" => match account_of(&text) {
                Some(account) => (true, account),
                None if is_unique_id(&text) => {
                    (true, PrincipalPattern::Unique { id: text.clone(), written: text.clone() })
                }
                None => (is_aws_principal(&text), PrincipalPattern::Aws(text.clone())),
            },
            "Federated" => (is_provider(&text), PrincipalPattern::Federated(text.clone())),
            "Service" => (is_host(&text), PrincipalPattern::Service(text.clone())),
            _ => (true, PrincipalPattern::CanonicalUser(text.clone())),
        };
        if !is_valid {
            let message = match kind {
                "Federated" => NOT_A_PROVIDER.to_owned(),
                _ => invalid_principal(kind, &text),
            };
            self.problems.push(Problem::new(message, span).detail(wanted_principal(kind)));
        }
        Spanned::new(pattern, span)
    }

    pub(super) fn conditions(&mut self, tree: &Tree) -> Result<Vec<Condition>, Unread> {
        let Some(tree) = tree.field("Condition") else { return Ok(Vec::new()) };
        let mut conditions = Vec::new();
        let operators = self.map(tree, "`Condition`")?;
        let mut outcome = self.stand_once(operators);
        for (name, keys) in operators {
            let Ok(entries) = self.map(keys, "a condition operator") else {
                outcome = Err(Unread);
                continue;
            };
            let Some(operator) = operator(&name.text) else {
                // An operator that compares nothing is none to IAM, whatever its name.
                if entries.is_empty() {
                    continue;
                }
                self.unknown_operator(&name.text, name.span);
                outcome = Err(Unread);
                continue;
            };
            outcome = self.stand_once(entries).and(outcome);
            for (key, values) in entries {
                let Ok(values) = self.condition_values(values) else {
                    outcome = Err(Unread);
                    continue;
                };
                let end = values.last().map_or(key.span, |value| value.span);
                conditions.push(Condition {
                    operator,
                    operator_text: name.text.clone(),
                    key: Spanned::new(key.text.clone(), key.span),
                    multivalued: catalogue::condition_key(&key.text).map(|known| known.multivalued),
                    values,
                    span: key.span.to(end),
                });
            }
        }
        outcome.map(|()| conditions)
    }

    fn unknown_operator(&mut self, name: &str, span: Span) {
        let detail = match operator_spelling(name) {
            Some(meant) => format!("there is no operator `{name}`; `{meant}` is spelled so"),
            None => format!("there is no operator `{name}`"),
        };
        self.problems.push(Problem::new(SYNTAX_ERRORS, span).detail(detail));
    }

    /// Strings, numbers and booleans alike: IAM compares their text.
    fn condition_values(&mut self, tree: &Tree) -> Result<Vec<Spanned<String>>, Unread> {
        let items = match &tree.node {
            Node::List(items) => items.as_slice(),
            _ => std::slice::from_ref(tree),
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let Some(value) = item.scalar() else {
                self.unknown(item, "a condition value")?;
                self.syntax(item.span, format!("a condition value is a string, found {}", item.kind()));
                return Err(Unread);
            };
            values.push(Spanned::new(value, item.span));
        }
        Ok(values)
    }
}

/// The account of an account id or of its root user's ARN.
fn account_of(text: &str) -> Option<PrincipalPattern> {
    if let Ok(account) = AccountId::parse(text) {
        return Some(PrincipalPattern::Account { id: account.to_string(), partition: None });
    }
    let arn = Arn::parse(text).ok().filter(|arn| arn.service == "iam" && arn.resource == "root")?;
    let id = arn.account_id()?.to_string();
    Some(PrincipalPattern::Account { id, partition: Some(arn.partition) })
}

/// The unique id of a user or a role.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
fn is_unique_id(text: &str) -> bool {
    let is_id = |prefix| text.starts_with(prefix) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id("AIDA") || is_id("AROA")
}

/// A user, role or session.
fn is_aws_principal(text: &str) -> bool {
    let kinds = ["user/", "role/", "assumed-role/", "federated-user/"];
    Arn::parse(text).is_ok_and(|arn| {
        matches!(arn.service.as_str(), "iam" | "sts")
            && arn.account_id().is_some()
            && kinds.iter().any(|kind| arn.resource.starts_with(kind))
            && !text.contains(['*', '?'])
    })
}

fn is_provider(text: &str) -> bool {
    match Arn::parse(text) {
        Ok(arn) => {
            let kinds = ["oidc-provider/", "saml-provider/"];
            arn.service == "iam"
                && arn.account_id().is_some()
                && kinds.iter().any(|kind| arn.resource.starts_with(kind))
                && !text.contains(['*', '?'])
        }
        Err(_) => is_host(text),
    }
}

fn is_host(text: &str) -> bool {
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    text.contains('.') && text.bytes().all(is_host_byte)
}

/// IAM's sentence about a principal that it doesn't know.
pub fn invalid_principal(kind: &str, name: &str) -> String {
    let kind = if kind == "Service" { "SERVICE" } else { kind };
    format!("Invalid principal in policy: \"{kind}\":\"{name}\"")
}

fn wanted_principal(kind: &str) -> &'static str {
    match kind {
        "AWS" => {
            "expected `*`, an account id, or the ARN of an account, user, role or session, without wildcards"
        }
        "Federated" => "expected the ARN of an OIDC or SAML provider, or a built-in provider's host",
        _ => "expected a service principal such as `ecs-tasks.amazonaws.com`",
    }
}

/// What IAM says of an action that is not `vendor:Name`; the vendor has no wildcards unless it is `*`. All observed.
fn action_refusal(action: &str) -> Option<String> {
    if action == "*" {
        return None;
    }
    let Some((vendor, name)) =
        action.split_once(':').filter(|(vendor, name)| !vendor.is_empty() && !name.is_empty())
    else {
        return Some(NOT_PREFACED.to_owned());
    };
    let is_vendor = |text: &str| {
        text == "*" || text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    if name.contains(':') {
        Some("Actions/Condition can contain only one colon.".to_owned())
    } else if !is_vendor(vendor) {
        Some(format!("Vendor {vendor} is not valid"))
    } else {
        None
    }
}

const PRINCIPAL_TYPES: &[&str] = &["AWS", "Federated", "Service", "CanonicalUser"];

const NO_RESOURCES: &str = "Policy statement must contain resources.";

const NOT_A_PROVIDER: &str = "Federated principals must be valid domain names or SAML metadata ARNs";

const NOT_PREFACED: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
