//! What one clause that failed means: a rule, a sentence, a place, and what to do.

use landfall_types::{Arn, Span};

use super::{lasting, subject};
use crate::ast::{ComparisonKind, Operator};
use crate::catalogue;
use crate::condition;
use crate::decision::{Clause, Layer, StatementRef};
use crate::parse::operator;
use crate::pattern;
use crate::request::{Principal, Request};

/// One failed clause, understood.
#[derive(Clone, PartialEq, Debug)]
pub struct Insight {
    /// The finding's rule.
    pub rule: &'static str,
    /// One line: what is wrong.
    pub message: String,
    /// The place to look at.
    pub span: Span,
    /// What is to be seen there.
    pub label: String,
    /// What to do.
    pub help: Vec<String>,
}

/// Understands one failed clause of a statement.
pub fn insight(clause: &Clause, statement: &StatementRef, request: &Request) -> Insight {
    match clause {
        Clause::Principal { got, namesake: Some(id), span, .. } => {
            namesake(got, id, *span, statement, request)
        }
        Clause::Principal { wanted, got, span, .. } => principal(wanted, got, *span, statement, request),
        Clause::Action { wanted, got, span, negated } => {
            action(wanted, got, *span, *negated, statement, request)
        }
        Clause::Resource { wanted, got, span, negated } => {
            resource(wanted, got, *span, *negated, statement, request)
        }
        Clause::Condition { .. } => condition_insight(clause, request),
    }
}

/// A statement as a person names it.
pub fn name_of(statement: &StatementRef) -> String {
    match statement.sid.as_deref().filter(|sid| !sid.is_empty()) {
        Some(sid) => format!("statement `{sid}` of {}", statement.policy),
        None => format!("statement {} of {}", statement.statement_index + 1, statement.policy),
    }
}

fn principal(
    wanted: &[String],
    got: &str,
    span: Span,
    statement: &StatementRef,
    request: &Request,
) -> Insight {
    let names = list(wanted);
    let label = format!("names {names}; the caller is `{got}`");
    if !matches!(request.principal, Principal::Federated { .. }) {
        return Insight {
            rule: "principal-mismatch",
            message: format!("{} does not name the caller `{got}`", name_of(statement)),
            span,
            label,
            help: vec![principal_help(wanted, got, request)],
        };
    }
    let host = provider_host(got);
    let message = format!("the trust policy does not trust the token's provider `{host}`");
    let help = match wanted.iter().find(|one| same_provider(one, got)) {
        Some(near) => provider_difference(near, got),
        None => format!("this token is from `{host}`: add `{got}` to `Principal.Federated` to trust it"),
    };
    Insight { rule: "provider-mismatch", message, span, label, help: vec![help] }
}

/// A name that was given again: the policy means the one who had it when it was saved.
fn namesake(got: &str, id: &str, span: Span, statement: &StatementRef, request: &Request) -> Insight {
    let name = match &request.principal {
        Principal::Session { role, .. } => role.to_string(),
        _ => got.to_owned(),
    };
    Insight {
        rule: "principal-replaced",
        message: format!(
            "{} means the `{name}` that was there when the policy was saved, and not the one that calls",
            name_of(statement)
        ),
        span,
        label: format!("means {id}, who goes by this name no longer"),
        help: vec![format!("save the policy again with `{name}`: it then means the one that is there now")],
    }
}

fn principal_help(wanted: &[String], got: &str, request: &Request) -> String {
    let Principal::Session { role, .. } = &request.principal else {
        return format!("add `{got}` to `Principal`");
    };
    if wanted.iter().any(|one| Arn::parse(one).is_ok_and(|arn| arn.service == "sts")) {
        return format!("a session's name changes: name its role, `{role}`");
    }
    format!("add `{role}` to `Principal.AWS`")
}

fn provider_host(provider: &str) -> &str {
    provider.split_once(":oidc-provider/").map_or(provider, |(_, host)| host)
}

fn same_provider(wanted: &str, got: &str) -> bool {
    let bare = |text: &str| provider_host(text).trim_end_matches('/').to_lowercase();
    bare(wanted) == bare(got)
}

fn provider_difference(wanted: &str, got: &str) -> String {
    let account = |text: &str| Arn::parse(text).map_or_else(|_| String::new(), |arn| arn.account);
    if account(wanted) != account(got) {
        return format!(
            "the provider is looked up in the role's own account: write `{got}`, not account {}",
            account(wanted)
        );
    }
    format!("provider ARNs are compared letter by letter, trailing slash included: write `{got}`")
}

fn action(
    wanted: &[String],
    got: &str,
    span: Span,
    negated: bool,
    statement: &StatementRef,
    request: &Request,
) -> Insight {
    let label = match negated {
        true => format!("everything but {}; `{got}` is left out", list(wanted)),
        false => format!("allows {}; `{got}` is not among them", list(wanted)),
    };
    let message = match statement.layer {
        Layer::Trust => format!("the trust policy does not allow `{got}`"),
        _ => format!(
            "no {} allows `{got}` on `{}`",
            super::layer_in_implicit(statement.layer),
            request.resource
        ),
    };
    let help = match negated {
        _ if is_managed(&statement.policy) => {
            format!(
                "{} is AWS's own and can't be edited: attach another policy that allows `{got}`",
                statement.policy
            )
        }
        true => format!("take `{got}` out of `NotAction` in {}", name_of(statement)),
        false if wanted.iter().any(|one| same_service(one, got)) => {
            format!("add `{got}` to `Action` in {}", name_of(statement))
        }
        false => {
            format!("add a statement to {} that allows `{got}` on `{}`", statement.policy, request.resource)
        }
    };
    let mut help = vec![help];
    help.extend(action_hint(wanted, got));
    Insight { rule: "action-not-allowed", message, span, label, help }
}

fn action_hint(wanted: &[String], got: &str) -> Option<String> {
    let names = |action: &str| wanted.iter().any(|one| one.eq_ignore_ascii_case(action));
    match got {
        "sts:AssumeRoleWithWebIdentity" if names("sts:AssumeRole") => Some(
            "tokens of an OIDC provider take a role with `sts:AssumeRoleWithWebIdentity`, never with `sts:AssumeRole`"
                .to_owned(),
        ),
        "sts:TagSession" => Some(
            "the caller passes session tags, and those need `sts:TagSession` beside the right to take the role"
                .to_owned(),
        ),
        "sts:SetSourceIdentity" => Some(
            "the caller sets a source identity, and that needs `sts:SetSourceIdentity` beside the right to take the role"
                .to_owned(),
        ),
        _ => None,
    }
}

fn same_service(left: &str, right: &str) -> bool {
    let service = |action: &str| action.split(':').next().unwrap_or(action).to_ascii_lowercase();
    service(left) == service(right)
}

pub(super) fn is_managed(policy: &str) -> bool {
    Arn::parse(policy).is_ok_and(|arn| arn.service == "iam" && arn.account == "aws")
}

fn resource(
    wanted: &[String],
    got: &str,
    span: Span,
    negated: bool,
    statement: &StatementRef,
    request: &Request,
) -> Insight {
    let action = &request.action;
    let label = match negated {
        true => format!("everything but {}; `{got}` is left out", list(wanted)),
        false => format!("covers {}; the call is on `{got}`", list(wanted)),
    };
    let message = format!("{} allows `{action}`, but not on `{got}`", name_of(statement));
    let help = match (negated, got) {
        (true, _) => format!("take `{got}` out of `NotResource`"),
        (false, "*") => without_resource(action),
        (false, _) => resource_help(wanted, got),
    };
    Insight { rule: "resource-not-allowed", message, span, label, help: vec![help] }
}

/// What is to be done about a call that names no resource, by what AWS documents of the action.
fn without_resource(action: &str) -> String {
    match catalogue::action(action) {
        Some(facts) if !facts.resource_types.is_empty() => {
            let types: Vec<&str> = facts.resource_types.iter().map(|kind| kind.name).collect();
            format!("`{action}` is decided on a resource ({}), and this call names none", types.join(", "))
        }
        Some(_) => format!(
            "`{action}` has no resource of its own: allow it in a statement with `\"Resource\": \"*\"`"
        ),
        None => "a call without a resource is covered by `\"Resource\": \"*\"` alone".to_owned(),
    }
}

/// ARNs of services, tasks and the like name their cluster since 2018.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html>
fn cluster_missing(wanted: &str, got: &str) -> Option<String> {
    let (wanted, arn) = (Arn::parse(wanted).ok()?, Arn::parse(got).ok()?);
    if arn.service != "ecs" || wanted.service != "ecs" {
        return None;
    }
    let (kind, rest) = arn.resource.split_once('/')?;
    let (cluster, name) = rest.split_once('/')?;
    let short = wanted.resource.strip_prefix(kind)?.strip_prefix('/')?;
    let is_it = !short.contains('/') && pattern::glob(short, name);
    is_it.then(|| format!("the ARN of a {kind} names its cluster, here `{cluster}`: write `{got}`"))
}

/// The other way round: an account that keeps the old form has ARNs without the cluster's name.
fn cluster_too_much(wanted: &str, got: &str) -> Option<String> {
    let (wanted, arn) = (Arn::parse(wanted).ok()?, Arn::parse(got).ok()?);
    if arn.service != "ecs" || wanted.service != "ecs" {
        return None;
    }
    let (kind, name) = arn.resource.split_once('/')?;
    let (_, written) = wanted.resource.strip_prefix(kind)?.strip_prefix('/')?.split_once('/')?;
    let is_it = !name.contains('/') && pattern::glob(written, name);
    is_it.then(|| {
        format!(
            "this {kind} has the old form of ARN, without its cluster (the account setting `{kind}LongArnFormat` was off when it was made): write `{got}`"
        )
    })
}

fn resource_help(wanted: &[String], got: &str) -> String {
    let of_cluster = |one: &String| cluster_missing(one, got).or_else(|| cluster_too_much(one, got));
    if let Some(help) = wanted.iter().find_map(of_cluster) {
        return help;
    }
    let exact = format!("add `{got}` to `Resource`");
    let Some(difference) = wanted.iter().find_map(|one| resource_difference(one, got)) else { return exact };
    format!("{difference}: {exact}")
}

/// The one part in which two ARNs differ.
fn resource_difference(wanted: &str, got: &str) -> Option<String> {
    let (wanted, got) = (Arn::parse(wanted).ok()?, Arn::parse(got).ok()?);
    let parts = [
        ("partition", &wanted.partition, &got.partition),
        ("service", &wanted.service, &got.service),
        ("region", &wanted.region, &got.region),
        ("account", &wanted.account, &got.account),
        ("name", &wanted.resource, &got.resource),
    ];
    let mut differing = parts.into_iter().filter(|(_, wanted, got)| !pattern::glob(wanted, got));
    let (what, wanted, got) = differing.next()?;
    differing.next().is_none().then(|| format!("the {what} is `{got}`, the policy says `{wanted}`"))
}

/// The parts of a failed condition.
struct Unmet<'a> {
    operator_text: &'a str,
    operator: Option<Operator>,
    key: &'a str,
    wanted: &'a [String],
    value_spans: &'a [Span],
    span: Span,
}

fn condition_insight(clause: &Clause, request: &Request) -> Insight {
    let Clause::Condition { operator: operator_text, key, wanted, got, value_spans, span, .. } = clause
    else {
        return Insight {
            rule: "condition-not-met",
            message: "a condition is not met".to_owned(),
            span: clause.span(),
            label: String::new(),
            help: Vec::new(),
        };
    };
    let unmet =
        Unmet { operator_text, operator: operator(operator_text), key, wanted, value_spans, span: *span };
    let got = got.as_deref().unwrap_or_default();
    let kind = unmet.operator.map(|operator| operator.comparison.kind);
    let Some(first) = got.first() else {
        return if kind == Some(ComparisonKind::Null) {
            not_present(&unmet)
        } else {
            absent(&unmet, request)
        };
    };
    let Some(kind) = kind else { return plain(&unmet, got, Vec::new()) };
    let is_set = unmet.operator.is_some_and(|operator| operator.qualifier.is_some());
    let documented = catalogue::condition_key(key).map(|known| known.multivalued);
    if kind != ComparisonKind::Null && !is_set && condition::is_list(documented, request.context.key(key)) {
        return unqualified(&unmet, got);
    }
    if let Some(other) = got.iter().find(|one| !condition::is_comparable(kind, one)) {
        let what = if kind == ComparisonKind::Arn { "an ARN" } else { "an address" };
        let help = format!("`{other}` is not {what}, and `{operator_text}` holds of nothing else");
        return plain(&unmet, got, vec![help]);
    }
    if kind == ComparisonKind::Null || unmet.operator.is_some_and(|operator| operator.comparison.negated) {
        return excluded(&unmet, got);
    }
    if let Some(key) = unresolved_variable(wanted, request) {
        let help = format!(
            "the variable `${{{key}}}` can't be filled in: the request has no `{key}` with one value"
        );
        return plain(&unmet, got, vec![help]);
    }
    if is_text(kind) { text(&unmet, kind, first, got) } else { plain(&unmet, got, typed_help(&unmet, kind)) }
}

fn is_text(kind: ComparisonKind) -> bool {
    use ComparisonKind::{Arn, StringEquals, StringEqualsIgnoreCase, StringLike};
    matches!(kind, StringEquals | StringEqualsIgnoreCase | StringLike | Arn)
}

/// The key is not in the request at all.
fn absent(unmet: &Unmet<'_>, request: &Request) -> Insight {
    let key = unmet.key;
    let mut help = Vec::new();
    if let Principal::Federated { provider } = &request.principal
        && let Some((prefix, claim)) = key.rsplit_once(':')
        && !prefix.eq_ignore_ascii_case("aws")
        && !prefix.eq_ignore_ascii_case("sts")
    {
        let host = provider_host(provider);
        if prefix.eq_ignore_ascii_case(host) {
            help.push(unavailable_claim(host, claim));
        } else {
            help.push(format!("the token is from `{host}`: its keys are `{host}:sub`, `{host}:aud`, …"));
        }
    } else {
        help.push(format!("`{}IfExists` would let a request without `{key}` pass", unmet.operator_text));
    }
    let wanted = list(unmet.wanted);
    Insight {
        rule: "condition-key-absent",
        message: format!("the request has no `{key}`, and `{}` wants it to be {wanted}", unmet.operator_text),
        span: unmet.span,
        label: format!("wants {wanted}; the request has no `{key}`"),
        help,
    }
}

/// `Null` with `false`, on a key that is not there.
fn not_present(unmet: &Unmet<'_>) -> Insight {
    let key = unmet.key;
    Insight {
        rule: "condition-key-absent",
        message: format!("the request has no `{key}`, and `{}` wants it to be present", unmet.operator_text),
        span: unmet.span,
        label: format!("wants `{key}` to be present; the request has none"),
        help: vec![format!("the statement applies only to requests with `{key}`")],
    }
}

/// STS makes condition keys of few claims only.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html>
fn unavailable_claim(host: &str, claim: &str) -> String {
    let known: &[&str] = match host {
        "token.actions.githubusercontent.com" => GITHUB_CLAIMS,
        "gitlab.com" => GITLAB_CLAIMS,
        _ => &["aud", "sub", "amr"],
    };
    if known.contains(&claim) {
        return format!("this token has no claim `{claim}`");
    }
    format!("STS makes no condition key of the claim `{claim}`; of `{host}` it knows {}", known.join(", "))
}

/// An operator for one value, on a key that is a list.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>
fn unqualified(unmet: &Unmet<'_>, got: &[String]) -> Insight {
    let (key, operator) = (unmet.key, unmet.operator_text);
    Insight {
        rule: "condition-needs-qualifier",
        message: format!(
            "`{key}` is a list of values, which `{operator}` never matches, not even with one value"
        ),
        span: unmet.span,
        label: format!("`{operator}` compares one value; the request has the list {}", list(got)),
        help: vec![format!(
            "write `ForAllValues:{operator}` if every value has to be among these, `ForAnyValue:{operator}` if one of them is enough"
        )],
    }
}

/// A negated operator or `Null`: what there is, is just what must not be.
fn excluded(unmet: &Unmet<'_>, got: &[String]) -> Insight {
    let (key, operator) = (unmet.key, unmet.operator_text);
    let values = list(got);
    Insight {
        rule: "condition-not-met",
        message: format!("`{operator}` on `{key}` excludes this request, where it is {values}"),
        span: unmet.span,
        label: format!("`{operator}` {}; the request has {values}", list(unmet.wanted)),
        help: vec![format!("the statement applies only to requests whose `{key}` is not excluded here")],
    }
}

fn unresolved_variable(wanted: &[String], request: &Request) -> Option<String> {
    wanted.iter().find_map(|one| pattern::expand(one, &request.context).err()).map(|missing| missing.key)
}

/// A string or ARN that doesn't agree.
fn text(unmet: &Unmet<'_>, kind: ComparisonKind, first: &str, got: &[String]) -> Insight {
    let Some((index, near)) = nearest(unmet.wanted, first) else { return plain(unmet, got, Vec::new()) };
    let name = unmet.key.rsplit_once(':').map_or(unmet.key, |(_, name)| name).to_ascii_lowercase();
    let what = match name.as_str() {
        "sub" => format!("the token's subject `{first}` is not admitted"),
        "aud" => format!("the token's audience `{first}` is not admitted"),
        _ => format!("`{}` is {}, which `{}` does not admit", unmet.key, list(got), unmet.operator_text),
    };
    let reading = reading(unmet, kind, &name, near, first);
    let others = match unmet.wanted.len().saturating_sub(1) {
        0 => String::new(),
        1 => ", and the other value does not admit it either".to_owned(),
        count => format!(", and the {count} other values do not admit it either"),
    };
    Insight {
        rule: reading.rule,
        message: reading.words.map_or_else(|| what.clone(), |words| format!("{what}: {words}")),
        span: unmet.value_spans.get(index).copied().unwrap_or(unmet.span),
        label: format!("wanted `{near}` (`{}`){others}", unmet.operator_text),
        help: reading.help,
    }
}

/// Why two texts don't agree.
struct Reading {
    rule: &'static str,
    words: Option<String>,
    help: Vec<String>,
}

fn reading(unmet: &Unmet<'_>, kind: ComparisonKind, name: &str, near: &str, got: &str) -> Reading {
    let rule = match name {
        "sub" => "subject-mismatch",
        "aud" => "audience-mismatch",
        _ => "condition-not-met",
    };
    let wildcard = literal_wildcard(unmet, kind, near, got);
    if let Some(Wildcard { words, help, is_all: true }) = wildcard {
        return Reading { rule: "wildcard-under-string-equals", words: Some(words), help: vec![help] };
    }
    if near.trim() == got {
        let words = "there is white space around the policy's value".to_owned();
        return Reading { rule, words: Some(words), help: vec![format!("write `{got}`")] };
    }
    let mut reading = match name {
        "sub" => subject_reading(unmet, kind, rule, near, got),
        "aud" => Reading { rule, words: None, help: audience_help(near, got) },
        _ => {
            let help = lasting::advice(got, kind, unmet.operator_text)
                .unwrap_or_else(|| format!("add `{got}` to admit this request as well"));
            Reading { rule, words: None, help: vec![help] }
        }
    };
    if reading.words.is_none() && pattern::glob_ignore_case(near, got) {
        reading.words = Some("it differs in the case of letters alone, and case counts".to_owned());
        reading.help = vec![format!("write `{got}`")];
    }
    reading.help.splice(0..0, wildcard.map(|wildcard| wildcard.help));
    reading
}

fn subject_reading(
    unmet: &Unmet<'_>,
    kind: ComparisonKind,
    rule: &'static str,
    near: &str,
    got: &str,
) -> Reading {
    let operator = unmet.operator_text;
    let add = |value: &str| {
        lasting::advice(value, kind, operator)
            .unwrap_or_else(|| format!("to admit it as well, add `{value}` to this condition"))
    };
    let Some(difference) = subject::difference(near, got) else {
        return Reading { rule, words: None, help: vec![add(got)] };
    };
    let mut help = vec![match difference.is_slip {
        true => lasting::correction(&difference.value, kind, operator)
            .unwrap_or_else(|| format!("write `{}`", difference.value)),
        false => add(&difference.value),
    }];
    help.extend(difference.hints);
    Reading { rule: difference.rule, words: Some(difference.words), help }
}

struct Wildcard {
    words: String,
    help: String,
    /// Whether the operator is all that is wrong.
    is_all: bool,
}

/// The operator that reads wildcards, in the place of one that doesn't.
pub(super) fn like(operator: &str) -> String {
    operator.replace("StringEqualsIgnoreCase", "StringLike").replace("StringEquals", "StringLike")
}

/// `StringEquals` has no wildcards: the first thing that people miss.
fn literal_wildcard(unmet: &Unmet<'_>, kind: ComparisonKind, near: &str, got: &str) -> Option<Wildcard> {
    let is_equals = matches!(kind, ComparisonKind::StringEquals | ComparisonKind::StringEqualsIgnoreCase);
    let sign = near.chars().find(|character| matches!(character, '*' | '?')).filter(|_| is_equals)?;
    let name = if sign == '*' { "an asterisk" } else { "a question mark" };
    let operator = unmet.operator_text;
    let like = like(operator);
    let is_all = pattern::glob(near, got);
    let help = match is_all {
        true => format!("`{operator}` compares letter by letter: the `{sign}` is {name} here; use `{like}`"),
        false => format!(
            "`{operator}` compares letter by letter: the `{sign}` is {name} here; `{like}` alone would not admit it either"
        ),
    };
    let words = format!("`{operator}` has no wildcards, and the policy says `{near}`");
    Some(Wildcard { words, help, is_all })
}

fn audience_help(wanted: &str, got: &str) -> Vec<String> {
    let mut help = vec![format!("ask for audience `{wanted}` in the job, or admit `{got}` here")];
    if got.starts_with("https://github.com/") {
        help.push(format!(
            "`{got}` is what GitHub puts in when the job names no audience; AWS's action asks for `sts.amazonaws.com`"
        ));
    }
    help
}

/// The value that looks most like what there is: the same repository first, then the longest common
/// beginning.
fn nearest<'a>(wanted: &'a [String], got: &str) -> Option<(usize, &'a str)> {
    let likeness = |one: &str| {
        let common = one.chars().zip(got.chars()).take_while(|(left, right)| left == right).count();
        let same_repository = match (subject::repository(one), subject::repository(got)) {
            (Some(wanted), Some(got)) => pattern::glob(wanted, got),
            _ => false,
        };
        (pattern::glob_ignore_case(one, got), same_repository, common)
    };
    let values = wanted.iter().map(String::as_str).enumerate();
    // The first of equals: `max_by_key` would take the last.
    values.rev().max_by_key(|(_, one)| likeness(one))
}

/// Numbers, dates, addresses: what was wanted, what there is.
fn plain(unmet: &Unmet<'_>, got: &[String], help: Vec<String>) -> Insight {
    let (key, operator) = (unmet.key, unmet.operator_text);
    let (wanted, values) = (list(unmet.wanted), list(got));
    Insight {
        rule: "condition-not-met",
        message: format!("`{key}` is {values}, which `{operator}` {wanted} does not admit"),
        span: unmet.span,
        label: format!("wanted {wanted} (`{operator}`)"),
        help,
    }
}

/// A value of the policy that its operator can't read never agrees with anything.
fn typed_help(unmet: &Unmet<'_>, kind: ComparisonKind) -> Vec<String> {
    let (is_valid, what): (fn(&str) -> bool, _) = match kind {
        ComparisonKind::Numeric(_) => (condition::is_number, "a number"),
        ComparisonKind::Date(_) => {
            (|text| condition::date(text).is_some(), "a date such as `2026-09-11T00:00:00Z`")
        }
        ComparisonKind::IpAddress => (|text| condition::cidr(text).is_some(), "an address or CIDR range"),
        ComparisonKind::Bool => {
            let is_boolean = |one: &&String| ["true", "false"].iter().any(|it| one.eq_ignore_ascii_case(it));
            let other = unmet.wanted.iter().filter(|one| !is_boolean(one));
            return other
                .map(|one| format!("`{one}` is read as `false`: all is that is not `true`"))
                .collect();
        }
        _ => return Vec::new(),
    };
    let bad = unmet.wanted.iter().filter(|one| !is_valid(one));
    bad.map(|one| format!("`{one}` is not {what}, so it agrees with nothing")).collect()
}

/// Values in backticks, the first few of them.
pub(super) fn list(values: &[String]) -> String {
    let shown: Vec<String> = values.iter().take(VALUES_SHOWN_MAX).map(|one| format!("`{one}`")).collect();
    match values.len().saturating_sub(VALUES_SHOWN_MAX) {
        0 if shown.is_empty() => "nothing".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The most values that are written out in one line.
const VALUES_SHOWN_MAX: usize = 4;

/// Claims of GitHub's tokens that are condition keys.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
const GITHUB_CLAIMS: &[&str] = &[
    "aud",
    "sub",
    "actor",
    "actor_id",
    "enterprise_id",
    "environment",
    "job_workflow_ref",
    "ref",
    "repository",
    "repository_id",
    "repository_owner_id",
    "workflow",
];

/// Claims of gitlab.com's tokens that are condition keys.
const GITLAB_CLAIMS: &[&str] = &[
    "aud",
    "sub",
    "namespace_id",
    "pipeline_source",
    "project_id",
    "ref_protected",
    "runner_environment",
    "user_access_level",
    "user_email",
    "user_id",
    "user_login",
];
