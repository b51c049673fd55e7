//! Those who can take a role without an ID token: AWS accounts, users, roles and services that its trust
//! policy names. Of each grant is proved whether anybody can use it.

use landfall_types::{Arn, Span};

use super::{Proof, allows_within};
use crate::ast::{
    ComparisonKind, Condition, Effect, Policy, PrincipalClause, PrincipalPattern, Statement, Version,
};
use crate::decide::{Layers, Named};
use crate::matching::principal_name;
use crate::pattern;
use crate::region::Region;
use crate::request::Principal;
use crate::set::{Budget, Language};

/// One principal of one statement, as it can take the role.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Position of the statement in the policy, from 0.
    pub statement_index: usize,
    /// Where the principal stands.
    pub span: Span,
    /// The principal as written; `*` also for `NotPrincipal`.
    pub principal: String,
    /// The action that takes the role, `sts:AssumeRole`.
    pub action: &'static str,
    /// Who that is, `any user or role of account 111122223333`.
    pub words: String,
    /// Its conditions in words, `` `sts:ExternalId` is `x` ``.
    pub conditions: Vec<String>,
    /// Whether anybody there can use it.
    pub use_: Use,
    /// Whether it reaches whoever has an AWS account.
    pub is_anyone: bool,
}

/// Whether a grant is of use to anybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Use {
    /// Without any condition that could keep somebody out.
    Always,
    /// Where its conditions hold and nothing denies it.
    Sometimes,
    /// A `Deny`, or conditions that contradict each other, keep everybody out.
    Never,
    /// It can't be known.
    Unknown(Vec<String>),
}

/// Every grant of a trust policy to others than the tokens of OIDC providers that have an ARN.
pub fn grants(trust: &Policy, role: &str) -> Vec<Grant> {
    let mut grants = Vec::new();
    let budget = Budget::new();
    for (statement_index, statement) in trust.statements.iter().enumerate() {
        if statement.effect != Effect::Allow {
            continue;
        }
        for (name, span, pattern) in named(statement.principal.as_ref()) {
            for action in actions_of(&pattern).iter().filter(|action| grants_action(statement, action)) {
                grants.push(Grant {
                    statement_index,
                    span,
                    principal: name.clone(),
                    action,
                    words: words(&pattern, statement.principal.as_ref()),
                    conditions: statement.conditions.iter().map(condition_words).collect(),
                    use_: use_of(trust, role, &pattern, action, statement, &budget),
                    is_anyone: pattern == PrincipalPattern::Any,
                });
            }
        }
    }
    grants
}

/// The principals of a clause; `NotPrincipal` is everybody but those.
fn named(clause: Option<&PrincipalClause>) -> Vec<(String, Span, PrincipalPattern)> {
    let Some(clause) = clause else { return Vec::new() };
    if clause.negated {
        return vec![("*".to_owned(), clause.span, PrincipalPattern::Any)];
    }
    let is_token = |pattern: &PrincipalPattern| match pattern {
        PrincipalPattern::Federated(name) => name.contains(":oidc-provider/"),
        _ => false,
    };
    let others = clause.principals.iter().filter(|one| !is_token(&one.value));
    others.map(|one| (principal_name(&one.value).into_owned(), one.span, one.value.clone())).collect()
}

/// The actions by which a principal takes a role.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>
fn actions_of(pattern: &PrincipalPattern) -> &'static [&'static str] {
    match pattern {
        PrincipalPattern::Federated(name) if name.contains(":saml-provider/") => &["sts:AssumeRoleWithSAML"],
        PrincipalPattern::Federated(_) => &["sts:AssumeRoleWithWebIdentity"],
        PrincipalPattern::Any
        | PrincipalPattern::Account { .. }
        | PrincipalPattern::Aws(_)
        | PrincipalPattern::Unique { .. }
        | PrincipalPattern::Service(_) => &["sts:AssumeRole"],
        PrincipalPattern::CanonicalUser(_) => &[],
    }
}

fn grants_action(statement: &Statement, action: &str) -> bool {
    let clause = &statement.action;
    clause.patterns.iter().any(|one| pattern::action(&one.value, action)) != clause.negated
}

fn words(pattern: &PrincipalPattern, clause: Option<&PrincipalClause>) -> String {
    match pattern {
        PrincipalPattern::Any => match clause.filter(|clause| clause.negated) {
            None => "anyone with an AWS account, of whatever account".to_owned(),
            Some(clause) => {
                let but: Vec<_> = clause.principals.iter().map(|one| principal_name(&one.value)).collect();
                let but = super::words::list(but.iter().map(AsRef::as_ref));
                format!("anyone with an AWS account, of whatever account, but {but}")
            }
        },
        PrincipalPattern::Account { id, partition } => {
            let of = match partition.as_deref().filter(|partition| *partition != "aws") {
                Some(partition) => format!(" of the partition `{partition}`"),
                None => String::new(),
            };
            format!("users and roles of account {id}{of} to which it gives `sts:AssumeRole` on this role")
        }
        PrincipalPattern::Aws(name) => match Arn::parse(name) {
            Ok(arn) if arn.service == "sts" => format!("the session `{name}`"),
            Ok(arn) if arn.resource.starts_with("user/") => format!("the user `{name}`"),
            Ok(_) => format!("sessions of the role `{name}`"),
            Err(_) => format!("`{name}`"),
        },
        PrincipalPattern::Unique { id, .. } if id.starts_with("AIDA") => {
            format!("the user with the unique id `{id}`, unless it was deleted")
        }
        PrincipalPattern::Unique { id, .. } => {
            format!("sessions of the role with the unique id `{id}`, unless it was deleted")
        }
        PrincipalPattern::Service(name) if name == "pods.eks.amazonaws.com" => {
            "pods to which an EKS Pod Identity association gives this role".to_owned()
        }
        PrincipalPattern::Service(name) => format!("the AWS service `{name}`"),
        PrincipalPattern::Federated(name) => match name.split_once(":saml-provider/") {
            Some((_, provider)) => format!("users of the SAML provider `{provider}`"),
            None => format!("tokens of `{name}`, which are not looked into"),
        },
        PrincipalPattern::CanonicalUser(id) => format!("the canonical user `{id}`"),
    }
}

/// A condition as a phrase.
fn condition_words(condition: &Condition) -> String {
    let values = super::words::list(condition.values.iter().map(|value| value.value.as_str()));
    let key = &condition.key.value;
    let operator = condition.operator;
    let is_plain = operator.qualifier.is_none() && !operator.if_exists;
    let verb = match (operator.comparison.kind, operator.comparison.negated) {
        _ if !is_plain => return format!("`{key}` {} {values}", condition.operator_text),
        (ComparisonKind::StringEquals | ComparisonKind::Bool, false) => "is",
        (ComparisonKind::StringEquals, true) => "is not",
        (ComparisonKind::StringLike | ComparisonKind::Arn, false) => "matches",
        (ComparisonKind::StringLike | ComparisonKind::Arn, true) => "does not match",
        (ComparisonKind::IpAddress, false) => "is in",
        (ComparisonKind::IpAddress, true) => "is not in",
        (ComparisonKind::Null, _) => {
            let is_absent = condition.values.iter().any(|value| value.value.eq_ignore_ascii_case("true"));
            return format!("`{key}` is {}", if is_absent { "absent" } else { "there" });
        }
        _ => return format!("`{key}` {} {values}", condition.operator_text),
    };
    format!("`{key}` {verb} {values}")
}

/// Asks the evaluator about a caller of that kind, whose own account allows it everything.
fn use_of(
    trust: &Policy,
    role: &str,
    pattern: &PrincipalPattern,
    action: &str,
    own: &Statement,
    budget: &Budget,
) -> Use {
    let Some(principal) = caller(pattern) else {
        return if own.conditions.is_empty() { Use::Always } else { Use::Sometimes };
    };
    let account = Arn::parse(role).map_or_else(|_| String::new(), |arn| arn.account);
    let region =
        Region::product(principal, Language::literal(action), Language::literal(role), &account, Vec::new());
    // What this statement alone gives, less what the policy's denials take back.
    let denies = trust.statements.iter().filter(|statement| statement.effect == Effect::Deny);
    let statements = [own].into_iter().chain(denies).cloned().collect();
    let policy = Policy { statements, ..trust.clone() };
    let everything = everything(own);
    let layers = Layers {
        trust: Some(Named { name: "trust policy".into(), policy: &policy }),
        identity: vec![Named { name: "the caller's own policies".into(), policy: &everything }],
        ..Layers::default()
    };
    match allows_within(&layers, &region, budget) {
        Proof::Always => Use::Always,
        Proof::Sometimes { .. } => Use::Sometimes,
        Proof::Never => Use::Never,
        Proof::Unknown { because } => Use::Unknown(because),
        Proof::TooLarge(too_large) => Use::Unknown(vec![format!("it is {too_large}")]),
    }
}

/// Somebody of that kind; none for those whose requests are not modelled.
fn caller(pattern: &PrincipalPattern) -> Option<Principal> {
    let in_partition = |account: &str, partition: &str| {
        Arn::parse(&format!("arn:{partition}:iam::{account}:user/someone")).ok()
    };
    match pattern {
        PrincipalPattern::Any => Some(Principal::User { arn: in_partition(STRANGER, "aws")?, id: None }),
        PrincipalPattern::Account { id, partition } => {
            let arn = in_partition(id, partition.as_deref().unwrap_or("aws"))?;
            Some(Principal::User { arn, id: None })
        }
        PrincipalPattern::Aws(name) => {
            let arn = Arn::parse(name).ok()?;
            if arn.resource.starts_with("user/") {
                return Some(Principal::User { arn, id: None });
            }
            if arn.service == "sts" {
                let role_name = arn.resource.split('/').nth(1)?;
                let role = Arn::parse(&format!("arn:aws:iam::{}:role/{role_name}", arn.account)).ok()?;
                return Some(Principal::Session { session: arn, role, role_id: None });
            }
            let (_, role_name) = arn.role_path_and_name()?;
            let session = Arn::assumed_role(arn.account_id()?, role_name, "session");
            Some(Principal::Session { session, role: arn, role_id: None })
        }
        PrincipalPattern::Service(name) => Some(Principal::Service { name: name.clone() }),
        // Somebody who has that id, if anybody does.
        PrincipalPattern::Unique { .. }
        | PrincipalPattern::Federated(_)
        | PrincipalPattern::CanonicalUser(_) => None,
    }
}

/// An account that no policy names.
const STRANGER: &str = "999999999999";

fn everything(own: &Statement) -> Policy {
    let nowhere = own.span;
    let clause = |text: &str| crate::ast::PatternClause {
        negated: false,
        patterns: vec![landfall_types::Spanned::new(text.to_owned(), nowhere)],
        span: nowhere,
    };
    Policy {
        version: Version::V2012,
        id: None,
        statements: vec![Statement {
            sid: None,
            effect: Effect::Allow,
            principal: None,
            action: clause("*"),
            resource: Some(clause("*")),
            conditions: Vec::new(),
            span: nowhere,
        }],
        unread_statements: 0,
        unknown: None,
        span: nowhere,
    }
}
