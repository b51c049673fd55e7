//! What IAM checks only when a policy is written: providers that many customers share, whose they
//! are, the values of conditions, and how long a document may be. Roles that stand already keep working until they are edited.

mod date;
mod ecr;

use landfall_types::{Arn, Node, Tree};

use crate::ast::{ComparisonKind, Condition, Effect, Policy, PrincipalPattern, Statement};
use crate::condition;
use crate::parse::{LEGACY_PARSING, PolicyKind, Problem, SYNTAX_ERRORS, invalid_principal};
use crate::pattern;
pub use ecr::{EcrOwner, ecr_problems};

/// The longest trust policy, in characters without white space (default quota).
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const TRUST_POLICY_CHARS_MAX: usize = 2_048;
/// The longest managed policy, in characters without white space.
pub const MANAGED_POLICY_CHARS_MAX: usize = 6_144;
/// The longest sum of a role's inline policies, in characters without white space.
pub const ROLE_INLINE_POLICY_CHARS_MAX: usize = 10_240;
/// The longest ECR repository policy, in characters.
pub const REPOSITORY_POLICY_CHARS_MAX: usize = 10_240;
/// The longest session policy, in characters: inline and managed ones together.
pub const SESSION_POLICY_CHARS_MAX: usize = 2_048;

/// What IAM would refuse when this policy is written into `account` (empty when it isn't known),
/// beyond what [`parse::policy`](crate::parse::policy) reports.
pub fn write_time_problems(policy: &Policy, tree: &Tree, kind: PolicyKind, account: &str) -> Vec<Problem> {
    let mut problems = match kind {
        PolicyKind::Trust => trust_problems(policy, account),
        PolicyKind::Resource => ecr_problems(policy, EcrOwner::Repository),
        PolicyKind::Identity => Vec::new(),
    };
    problems.extend(size_problem(tree, kind));
    problems
}

/// Values of conditions that their operators can't read. IAM looks at them when a policy is stored; one that is passed
/// with a session may say what it likes, but for `BinaryEquals`. `Bool` and `Null` take anything. All observed, the
/// sentence with dates alone:
/// <https://github.com/radkawar/stackd/blob/9dc356f5e5cc49d2d334178a09c1398dd1c62617/testdata/aws/iam/condition_values.json>
pub fn value_problems(policy: &Policy, is_stored: bool) -> Vec<Problem> {
    let conditions = policy.statements.iter().flat_map(|statement| &statement.conditions);
    let mut problems = Vec::new();
    for condition in conditions {
        let kind = condition.operator.comparison.kind;
        let Some((is_readable, wanted)) = reader(kind) else { continue };
        if !is_stored && kind != ComparisonKind::Binary {
            continue;
        }
        // What AWS makes of a variable where there are none was not observed.
        let values = condition.values.iter().filter(|value| !value.value.contains("${"));
        problems.extend(values.filter(|value| !is_readable(&value.value)).map(|value| {
            let detail = format!("expected {wanted}, found `{}`", value.value);
            Problem::new(LEGACY_PARSING, value.span).detail(detail)
        }));
    }
    problems
}

/// What tells whether an operator can read a value, and what it wants in words.
type Reader = (fn(&str) -> bool, &'static str);

/// How an operator's values are read; none for one that takes any text.
fn reader(kind: ComparisonKind) -> Option<Reader> {
    Some(match kind {
        ComparisonKind::Date(_) => {
            (date::is_readable, "a date such as `2026-01-31T00:00:00Z`, or seconds since 1970")
        }
        ComparisonKind::Numeric(_) => (condition::is_number, "a number such as `3600`"),
        ComparisonKind::IpAddress => (
            |text| condition::cidr(text).is_some(),
            "an address or CIDR range such as `203.0.113.0/24`, in IPv6 without bits beyond its prefix",
        ),
        ComparisonKind::Arn => (is_arn, "an ARN such as `arn:aws:iam::123456789012:role/*`"),
        ComparisonKind::Binary => (is_base64, "a text in Base64"),
        ComparisonKind::StringEquals
        | ComparisonKind::StringEqualsIgnoreCase
        | ComparisonKind::StringLike
        | ComparisonKind::Bool
        | ComparisonKind::Null => return None,
    })
}

/// What AWS says of patterns that are shorter than an ARN was not observed: they are let pass.
fn is_arn(text: &str) -> bool {
    text.contains(['*', '?']) || pattern::glob(condition::ANY_ARN, text)
}

/// Letters, digits, `+` and `/`, and `=` at the end; whether AWS wants it padded was not observed.
fn is_base64(text: &str) -> bool {
    text.trim_end_matches('=').bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The problem that IAM tells of an identity policy that has several: it looks at the whole document in one respect after
/// the other. Observed.
pub fn first_told(problems: &[Problem], kind: PolicyKind) -> Option<&Problem> {
    match kind {
        PolicyKind::Identity => problems.iter().min_by_key(|problem| respect(&problem.message)),
        PolicyKind::Trust | PolicyKind::Resource => problems.first(),
    }
}

fn respect(message: &str) -> usize {
    const IN_ORDER: &[&str] = &[
        SYNTAX_ERRORS,
        NOT_THE_NEW_VERSION,
        LEGACY_PARSING,
        "Statement IDs (SID)",
        "Policy statement must contain actions.",
        "Resource ",
        "Partition ",
        "IAM resource ",
    ];
    const LAST: &str = "Policy statement must contain resources.";
    let last = IN_ORDER.len() + usize::from(message == LAST);
    IN_ORDER.iter().position(|start| message.starts_with(start)).unwrap_or(last)
}

/// IAM's answer to a managed policy without the newer version; inline policies may have the older one, and have it when
/// they say none.
pub const NOT_THE_NEW_VERSION: &str = "Policy document must be version 2012-10-17 or greater.";

/// What IAM would refuse of whom a trust policy names, and how it holds them to conditions.
pub fn trust_problems(policy: &Policy, account: &str) -> Vec<Problem> {
    let of = |statement| foreign_providers(statement, account).into_iter().chain(shared_providers(statement));
    policy.statements.iter().flat_map(of).collect()
}

/// A policy's length in characters without white space, as quotas count it.
pub fn chars_without_white_space(tree: &Tree) -> usize {
    match &tree.node {
        Node::Text(text) if text.trim_start().starts_with('{') => visible(text),
        _ => written_length(tree),
    }
}

fn size_problem(tree: &Tree, kind: PolicyKind) -> Option<Problem> {
    let length = chars_without_white_space(tree);
    let (limit, message) = match kind {
        PolicyKind::Trust => (TRUST_POLICY_CHARS_MAX, "Cannot exceed quota for ACLSizePerRole: 2048"),
        // Whether it becomes inline or managed isn't known here: this length is too much for both.
        PolicyKind::Identity => (ROLE_INLINE_POLICY_CHARS_MAX, "Cannot exceed quota for PolicySize: 6144"),
        PolicyKind::Resource => {
            (REPOSITORY_POLICY_CHARS_MAX, "the repository policy is longer than 10240 characters")
        }
    };
    let detail = format!("{length} characters without white space, the limit is {limit}");
    (length > limit).then(|| Problem::new(message, tree.span).detail(detail))
}

fn visible(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}

/// The length of the compact JSON text of a tree. Trees come from readers that limit their depth.
fn written_length(tree: &Tree) -> usize {
    match &tree.node {
        Node::Null => "null".len(),
        Node::Bool(value) => value.to_string().len(),
        Node::Number(text) => text.len(),
        Node::Text(text) => string_length(text),
        Node::Unknown(_) => 0,
        Node::List(items) => {
            items.iter().map(written_length).sum::<usize>() + 2 + items.len().saturating_sub(1)
        }
        Node::Map(entries) => {
            let inner: usize =
                entries.iter().map(|(key, value)| string_length(&key.text) + 1 + written_length(value)).sum();
            inner + 2 + entries.len().saturating_sub(1)
        }
    }
}

fn string_length(text: &str) -> usize {
    let escapes = text.chars().filter(|character| matches!(character, '"' | '\\')).count();
    visible(text) + escapes + 2
}

/// Providers are looked up in the role's own account.
fn foreign_providers(statement: &Statement, account: &str) -> Vec<Problem> {
    let federated = federated(statement).filter_map(|(name, span)| {
        let arn = Arn::parse(name).ok()?;
        (!account.is_empty() && arn.account != account).then(|| {
            let detail = format!("a role trusts providers of its own account, {account}, alone");
            Problem::new(invalid_principal("Federated", name), span).detail(detail)
        })
    });
    federated.collect()
}

/// The rule on providers whose tokens many customers get: the trust policy has to say which of them.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html>
fn shared_providers(statement: &Statement) -> Vec<Problem> {
    let covers = statement.action.patterns.iter().any(|action| pattern::action(&action.value, WEB_IDENTITY));
    if statement.effect != Effect::Allow || covers == statement.action.negated {
        return Vec::new();
    }
    federated(statement)
        .filter_map(|(name, span)| {
            let message = shared_provider_refusal(name, &statement.conditions)?;
            Some(Problem::new(message, span).detail("nothing here says whose tokens are meant"))
        })
        .collect()
}

fn federated(statement: &Statement) -> impl Iterator<Item = (&str, landfall_types::Span)> {
    let clause = statement.principal.as_ref().filter(|clause| !clause.negated);
    let principals = clause.map_or(&[][..], |clause| clause.principals.as_slice());
    principals.iter().filter_map(|principal| match &principal.value {
        PrincipalPattern::Federated(name) => Some((name.as_str(), principal.span)),
        PrincipalPattern::Any
        | PrincipalPattern::Account { .. }
        | PrincipalPattern::Aws(_)
        | PrincipalPattern::Unique { .. }
        | PrincipalPattern::Service(_)
        | PrincipalPattern::CanonicalUser(_) => None,
    })
}

fn shared_provider_refusal(name: &str, conditions: &[Condition]) -> Option<String> {
    let host = name.split_once(":oidc-provider/").map_or(name, |(_, host)| host);
    if let Some(refusal) = built_in_refusal(host, conditions) {
        return refusal;
    }
    let is_github = host == GITHUB || host.strip_prefix(GITHUB).is_some_and(|rest| rest.starts_with('/'));
    let keys = if is_github {
        vec![format!("{host}:sub"), format!("{host}:job_workflow_ref")]
    } else {
        let (_, key) = SHARED_PROVIDERS.iter().find(|(known, _)| *known == host)?;
        vec![if key.contains(':') { (*key).to_owned() } else { format!("{host}:{key}") }]
    };
    let is_scoped = |value: &str| match is_github {
        true => !value.trim().is_empty() && !value.starts_with('*'),
        false => value != "*",
    };
    let is_evaluated = conditions.iter().any(|condition| {
        keys.iter().any(|key| key.eq_ignore_ascii_case(&condition.key.value))
            && is_string_comparison(condition)
            && condition.values.iter().all(|value| is_scoped(&value.value))
    });
    (!is_evaluated).then(|| {
        let keys = keys.join(" or ");
        format!(
            "Trust policy with trusted principal {name} must evaluate, using StringEquals, StringLike or \
             StringEqualsIgnoreCase, {keys} which is not scoped to all."
        )
    })
}

/// Some for the providers that IAM knows without an ARN; the inner value is the refusal, if any.
fn built_in_refusal(host: &str, conditions: &[Condition]) -> Option<Option<String>> {
    if host == COGNITO {
        let has_condition = conditions.iter().any(|one| starts_with_ignore_case(&one.key.value, COGNITO));
        return Some(
            (!has_condition).then(|| "A condition block must be present for the Cognito provider".to_owned()),
        );
    }
    let (_, names) = BUILT_IN_PROVIDERS.iter().find(|(known, _)| *known == host)?;
    let is_evaluated = conditions.iter().any(|condition| {
        let key = condition.key.value.as_str();
        let name = starts_with_ignore_case(key, host).then(|| key.get(host.len() + 1..)).flatten();
        name.is_some_and(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
            && is_string_comparison(condition)
    });
    Some(
        (!is_evaluated).then(|| {
            format!("Policy trusting {host} requires a StringEquals condition on an application id")
        }),
    )
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_string_comparison(condition: &Condition) -> bool {
    let operator = condition.operator;
    !operator.if_exists
        && !operator.comparison.negated
        && matches!(
            operator.comparison.kind,
            ComparisonKind::StringEquals
                | ComparisonKind::StringLike
                | ComparisonKind::StringEqualsIgnoreCase
        )
}

const WEB_IDENTITY: &str = "sts:AssumeRoleWithWebIdentity";
const GITHUB: &str = "token.actions.githubusercontent.com";
const COGNITO: &str = "cognito-identity.amazonaws.com";

/// Providers that IAM knows by host, with the keys of which it wants one.
const BUILT_IN_PROVIDERS: &[(&str, &[&str])] = &[
    ("accounts.google.com", &["aud", "oaud", "sub"]),
    ("www.amazon.com", &["app_id", "sub"]),
    ("graph.facebook.com", &["app_id", "sub"]),
];

/// Shared providers other than GitHub's, with the key of each; a key with a colon is a whole one.
const SHARED_PROVIDERS: &[(&str, &str)] = &[
    ("sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d", "sts:RoleSessionName"),
    ("agent.buildkite.com", "sub"),
    ("oidc.codefresh.io", "sub"),
    ("studio.datachain.ai/api", "sub"),
    ("oidc-configuration.audit-log.githubusercontent.com", "sub"),
    ("vstoken.actions.githubusercontent.com", "sub"),
    ("gitlab.com", "sub"),
    ("api.pulumi.com/oidc", "aud"),
    ("sandboxes.cloud", "aud"),
    ("scalr.io", "sub"),
    ("tokens.cloud.shisho.dev", "sub"),
    ("app.terraform.io", "sub"),
    ("proidc.upbound.io", "sub"),
    ("oidc.vercel.com", "aud"),
];
