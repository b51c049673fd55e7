//! Whether a statement applies to a request, and if not, which of its clauses kept it from applying.

use std::borrow::Cow;
use std::cmp::Reverse;

use landfall_types::{Arn, Spanned};

use crate::ast::{Condition, Effect, PatternClause, PrincipalClause, PrincipalPattern, Statement, Version};
use crate::condition;
use crate::decide::Named;
use crate::decision::{Clause, Layer, Miss, StatementRef};
use crate::pattern;
use crate::request::{Context, Principal, Request};

/// The most misses that are kept for one layer.
pub const MISSES_PER_LAYER_MAX: usize = 16;

/// How closely a policy's principal names the caller; the order is from vague to exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// The caller's account: the account's own policies have to agree.
    Account,
    /// The caller's role: granted within the session's limits.
    Role,
    /// The caller itself (user, session, token, service), or everybody.
    Direct,
}

/// A statement that applies.
#[derive(Debug)]
pub struct Hit<'a> {
    layer: Layer,
    named: &'a Named<'a>,
    statement_index: usize,
    statement: &'a Statement,
    /// How the statement names the caller; `Direct` where policies name nobody.
    pub reach: Reach,
}

impl Hit<'_> {
    /// The statement's name.
    pub fn statement_ref(&self) -> StatementRef {
        statement_ref(self.layer, self.named, self.statement_index, self.statement)
    }
}

/// The first `Deny` statement that applies.
pub fn first_deny<'l>(layer: Layer, policies: &'l [Named<'l>], request: &Request) -> Option<Hit<'l>> {
    statements(policies, Effect::Deny).find_map(|(named, statement_index, statement)| {
        let reach = applies(layer, named, statement, request)?;
        Some(Hit { layer, named, statement_index, statement, reach })
    })
}

/// The `Allow` statement that applies and names the caller most exactly.
pub fn best_allow<'l>(layer: Layer, policies: &'l [Named<'l>], request: &Request) -> Option<Hit<'l>> {
    let mut best: Option<Hit<'l>> = None;
    for (named, statement_index, statement) in statements(policies, Effect::Allow) {
        let Some(reach) = applies(layer, named, statement, request) else { continue };
        if best.as_ref().is_none_or(|best| best.reach < reach) {
            best = Some(Hit { layer, named, statement_index, statement, reach });
        }
        if reach == Reach::Direct {
            break;
        }
    }
    best
}

/// The `Allow` statements that don't apply, nearest first: those that name the action before those
/// that don't, then by the weight of what failed, then (of those that don't name it) the ones that are for
/// fewer resources, then by how much of the value agrees.
pub fn misses(layer: Layer, policies: &[Named<'_>], request: &Request) -> Vec<Miss> {
    let mut misses: Vec<(Reverse<usize>, Miss)> = statements(policies, Effect::Allow)
        .filter_map(|(named, index, statement)| {
            let failed = failed_clauses(layer, named, statement, request);
            let narrow = Reverse(literal_length(named, statement, request));
            let statement = statement_ref(layer, named, index, statement);
            (!failed.is_empty()).then_some((narrow, Miss { statement, failed }))
        })
        .collect();
    misses.sort_by_cached_key(|(narrow, miss)| distance(*narrow, miss));
    misses.truncate(MISSES_PER_LAYER_MAX);
    misses.into_iter().map(|(_, miss)| miss).collect()
}

/// How many bytes of the request's resource a statement spells out, by the most exact of its patterns
/// that name it; 0 for `*`. What is missing is better added to a statement for this resource than to one
/// for all: it gives away less.
fn literal_length(named: &Named<'_>, statement: &Statement, request: &Request) -> usize {
    let clause = statement.resource.as_ref().filter(|clause| !clause.negated);
    let patterns = clause.map_or(&[][..], |clause| clause.patterns.as_slice());
    let variables = has_variables(named);
    let names = |one: &&Spanned<String>| {
        pattern::resource(&one.value, &request.resource, &request.context, variables) == Ok(true)
    };
    let literal = |one: &Spanned<String>| one.value.bytes().filter(|byte| !b"*?".contains(byte)).count();
    patterns.iter().filter(names).map(literal).max().unwrap_or(0)
}

fn statements<'l, 'a>(
    policies: &'l [Named<'a>],
    effect: Effect,
) -> impl Iterator<Item = (&'l Named<'a>, usize, &'l Statement)> {
    policies.iter().flat_map(move |named| {
        named
            .policy
            .statements
            .iter()
            .enumerate()
            .filter(move |(_, statement)| statement.effect == effect)
            .map(move |(index, statement)| (named, index, statement))
    })
}

pub(crate) fn statement_ref(
    layer: Layer,
    named: &Named<'_>,
    index: usize,
    statement: &Statement,
) -> StatementRef {
    StatementRef {
        layer,
        policy: named.name.to_string(),
        statement_index: index,
        sid: statement.sid.clone(),
        span: statement.span,
    }
}

fn applies(layer: Layer, named: &Named<'_>, statement: &Statement, request: &Request) -> Option<Reach> {
    if !names_action(&statement.action, &request.action) {
        return None;
    }
    let reach = principal_reach(layer, statement, &request.principal)?;
    let variables = has_variables(named);
    let applies = resource_applies(layer, statement.resource.as_ref(), request, variables)
        && statement.conditions.iter().all(|one| condition::holds(one, &request.context, variables));
    applies.then_some(reach)
}

fn has_variables(named: &Named<'_>) -> bool {
    named.policy.version == Version::V2012
}

/// Whether `Action` or `NotAction` names an action.
pub(crate) fn names_action(clause: &PatternClause, action: &str) -> bool {
    clause.patterns.iter().any(|pattern| pattern::action(&pattern.value, action)) != clause.negated
}

/// None when the statement doesn't name the caller. Trust and resource policies have to name
/// somebody; the others speak of whom they are attached to.
fn principal_reach(layer: Layer, statement: &Statement, caller: &Principal) -> Option<Reach> {
    let Some(clause) = &statement.principal else {
        let names_nobody = matches!(layer, Layer::Trust | Layer::Resource);
        return (!names_nobody).then_some(Reach::Direct);
    };
    if clause.negated {
        return (!is_spared(clause, statement.effect, caller)).then_some(Reach::Direct);
    }
    clause.principals.iter().filter_map(|one| reach_of(&one.value, caller)).max()
}

/// Whether a `NotPrincipal` leaves a caller out. A user is its account as well, and a session its role and
/// account: a denial that leaves out only one of them reaches the caller by the others.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>
fn is_spared(clause: &PrincipalClause, effect: Effect, caller: &Principal) -> bool {
    let all: &[Reach] = match (effect, caller) {
        (Effect::Deny, Principal::User { .. }) => &[Reach::Account, Reach::Direct],
        (Effect::Deny, Principal::Session { .. }) => &[Reach::Account, Reach::Role, Reach::Direct],
        _ => return clause.principals.iter().any(|one| reach_of(&one.value, caller).is_some()),
    };
    let is_named = |way: Reach| {
        clause
            .principals
            .iter()
            .any(|one| one.value == PrincipalPattern::Any || reach_of(&one.value, caller) == Some(way))
    };
    all.iter().all(|way| is_named(*way))
}

/// How a policy's principal names a caller; none when it doesn't.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
pub fn reach_of(pattern: &PrincipalPattern, caller: &Principal) -> Option<Reach> {
    match (pattern, caller) {
        (PrincipalPattern::Any, _) => Some(Reach::Direct),
        (PrincipalPattern::Account { id, partition }, Principal::Root { arn }) => {
            is_account(id, partition.as_deref(), arn).then_some(Reach::Direct)
        }
        (
            PrincipalPattern::Account { id, partition },
            Principal::User { arn, .. } | Principal::Session { session: arn, .. },
        ) => is_account(id, partition.as_deref(), arn).then_some(Reach::Account),
        (PrincipalPattern::Aws(name), Principal::User { arn, .. } | Principal::Root { arn }) => {
            is_named(arn, name).then_some(Reach::Direct)
        }
        (PrincipalPattern::Aws(name), Principal::Session { session, role, .. }) => {
            let direct = is_named(session, name).then_some(Reach::Direct);
            direct.or_else(|| is_named(role, name).then_some(Reach::Role))
        }
        (PrincipalPattern::Unique { id, .. }, Principal::User { id: Some(caller), .. }) => {
            (id == caller).then_some(Reach::Direct)
        }
        (PrincipalPattern::Unique { id, .. }, Principal::Session { role_id: Some(role), .. }) => {
            (id == role).then_some(Reach::Role)
        }
        (PrincipalPattern::Federated(name), Principal::Federated { provider }) => {
            (name == provider).then_some(Reach::Direct)
        }
        (PrincipalPattern::Service(service), Principal::Service { name }) => {
            (service == name).then_some(Reach::Direct)
        }
        (
            PrincipalPattern::Account { .. }
            | PrincipalPattern::Aws(_)
            | PrincipalPattern::Unique { .. }
            | PrincipalPattern::Federated(_)
            | PrincipalPattern::Service(_)
            | PrincipalPattern::CanonicalUser(_),
            _,
        ) => None,
    }
}

/// Whether a caller is of an account.
fn is_account(id: &str, partition: Option<&str>, caller: &Arn) -> bool {
    id == caller.account && partition.is_none_or(|partition| partition == caller.partition)
}

/// Whether an ARN reads as this name, without making a string of it.
fn is_named(arn: &Arn, name: &str) -> bool {
    let parts = ["arn", &arn.partition, &arn.service, &arn.region, &arn.account, &arn.resource];
    name.splitn(6, ':').eq(parts)
}

fn resource_applies(
    layer: Layer,
    clause: Option<&PatternClause>,
    request: &Request,
    variables: bool,
) -> bool {
    let Some(clause) = clause else {
        return matches!(layer, Layer::Trust | Layer::Resource);
    };
    names_resource(clause, &request.resource, &request.context, variables)
}

/// Whether `Resource` or `NotResource` names a resource.
pub(crate) fn names_resource(
    clause: &PatternClause,
    resource: &str,
    context: &Context,
    variables: bool,
) -> bool {
    let mut unresolved = false;
    for one in &clause.patterns {
        match pattern::resource(&one.value, resource, context, variables) {
            Ok(true) => return !clause.negated,
            Ok(false) => {}
            Err(_) => unresolved = true,
        }
    }
    clause.negated && !unresolved
}

fn failed_clauses(layer: Layer, named: &Named<'_>, statement: &Statement, request: &Request) -> Vec<Clause> {
    clauses(layer, named, statement, request)
        .filter(|(_, holds)| !holds)
        .map(|(clause, _)| clause())
        .collect()
}

/// Every clause of a statement, in the order in which they are written down here, with whether it
/// holds. The clause itself is made only where it is asked for.
pub(crate) fn clauses<'a>(
    layer: Layer,
    named: &Named<'_>,
    statement: &'a Statement,
    request: &'a Request,
) -> impl Iterator<Item = (Box<dyn Fn() -> Clause + 'a>, bool)> {
    let variables = has_variables(named);
    let principal: (Box<dyn Fn() -> Clause + 'a>, bool) = (
        Box::new(|| principal_clause(statement, &request.principal)),
        principal_reach(layer, statement, &request.principal).is_some(),
    );
    let action: (Box<dyn Fn() -> Clause + 'a>, bool) =
        (Box::new(|| action_clause(statement, request)), names_action(&statement.action, &request.action));
    let resource: (Box<dyn Fn() -> Clause + 'a>, bool) = (
        Box::new(|| resource_clause(statement, request)),
        resource_applies(layer, statement.resource.as_ref(), request, variables),
    );
    let conditions = statement.conditions.iter().map(move |one| {
        let clause: Box<dyn Fn() -> Clause + 'a> = Box::new(move || condition_clause(one, request));
        (clause, condition::holds(one, &request.context, variables))
    });
    [principal, action, resource].into_iter().chain(conditions)
}

fn action_clause(statement: &Statement, request: &Request) -> Clause {
    let clause = &statement.action;
    Clause::Action {
        wanted: texts(clause),
        got: request.action.clone(),
        span: clause.span,
        negated: clause.negated,
    }
}

fn resource_clause(statement: &Statement, request: &Request) -> Clause {
    Clause::Resource {
        wanted: statement.resource.as_ref().map_or_else(Vec::new, texts),
        got: request.resource.clone(),
        span: statement.resource.as_ref().map_or(statement.span, |clause| clause.span),
        negated: statement.resource.as_ref().is_some_and(|clause| clause.negated),
    }
}

fn condition_clause(one: &Condition, request: &Request) -> Clause {
    Clause::Condition {
        operator: one.operator_text.clone(),
        key: one.key.value.clone(),
        wanted: one.values.iter().map(|value| value.value.clone()).collect(),
        got: request.context.get(&one.key.value).map(<[String]>::to_vec),
        value_spans: one.values.iter().map(|value| value.span).collect(),
        key_span: one.key.span,
        span: one.span,
    }
}

fn principal_clause(statement: &Statement, caller: &Principal) -> Clause {
    let clause = statement.principal.as_ref();
    let names = clause.map_or(&[][..], |clause| clause.principals.as_slice());
    Clause::Principal {
        wanted: names.iter().map(|name| principal_name(&name.value).into_owned()).collect(),
        got: caller_name(caller),
        namesake: names.iter().find_map(|name| namesake(&name.value, caller)),
        span: clause.map_or(statement.span, |clause| clause.span),
    }
}

/// The unique id of whom a policy means by a name that the caller has, and that is not the caller.
fn namesake(pattern: &PrincipalPattern, caller: &Principal) -> Option<String> {
    let PrincipalPattern::Unique { id, written } = pattern else { return None };
    let (name, own) = match caller {
        Principal::User { arn, id } => (arn, id),
        Principal::Session { role, role_id, .. } => (role, role_id),
        _ => return None,
    };
    (is_named(name, written) && own.as_ref() != Some(id)).then(|| id.clone())
}

fn texts(clause: &PatternClause) -> Vec<String> {
    clause.patterns.iter().map(|pattern| pattern.value.clone()).collect()
}

/// A policy's principal as a reader would name it.
pub fn principal_name(pattern: &PrincipalPattern) -> Cow<'_, str> {
    Cow::Borrowed(match pattern {
        PrincipalPattern::Any => "*",
        PrincipalPattern::Account { id, partition } => {
            return match partition.as_deref().filter(|partition| *partition != "aws") {
                Some(partition) => Cow::Owned(format!("arn:{partition}:iam::{id}:root")),
                None => Cow::Borrowed(id),
            };
        }
        PrincipalPattern::Aws(name)
        | PrincipalPattern::Unique { written: name, .. }
        | PrincipalPattern::Federated(name)
        | PrincipalPattern::Service(name)
        | PrincipalPattern::CanonicalUser(name) => name,
    })
}

/// A caller as a reader would name it: its ARN, provider or service.
pub fn caller_name(caller: &Principal) -> String {
    match caller {
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Federated { provider } => provider.clone(),
        Principal::Root { arn } | Principal::User { arn, .. } => arn.to_string(),
        Principal::Session { session, .. } => session.to_string(),
        Principal::Service { name } => name.clone(),
    }
}

fn distance(
    narrow: Reverse<usize>,
    miss: &Miss,
) -> (bool, usize, Reverse<usize>, Reverse<usize>, Reverse<usize>) {
    let names_no_action = miss.failed.iter().any(|clause| matches!(clause, Clause::Action { .. }));
    let weight = miss.failed.iter().map(weight).sum();
    let agreement = miss.failed.iter().map(agreement).sum();
    let kindred = miss.failed.iter().map(kindred_actions).sum();
    // Where the action is named, what the rest says is more telling than how wide it is.
    let narrow = if names_no_action { narrow } else { Reverse(0) };
    (names_no_action, weight, narrow, Reverse(agreement), Reverse(kindred))
}

/// How many actions of the same service a statement names: the longer the list, the more likely it is
/// that the missing one belongs to it.
fn kindred_actions(clause: &Clause) -> usize {
    let Clause::Action { wanted, got, .. } = clause else { return 0 };
    let service = got.split(':').next().unwrap_or("");
    wanted
        .iter()
        .filter(|one| one.split(':').next().is_some_and(|other| other.eq_ignore_ascii_case(service)))
        .count()
}

/// A condition is the nearest miss, and two of them are further than one wrong principal or resource.
fn weight(clause: &Clause) -> usize {
    match clause {
        Clause::Condition { .. } => 2,
        Clause::Principal { .. } | Clause::Resource { .. } => 3,
        Clause::Action { .. } => 4,
    }
}

/// The longest common beginning of what was wanted and what was there, in bytes.
fn agreement(clause: &Clause) -> usize {
    let longest = |wanted: &[String], got: &str| {
        let common = |one: &String| one.bytes().zip(got.bytes()).take_while(|(l, r)| l == r).count();
        wanted.iter().map(common).max().unwrap_or(0)
    };
    match clause {
        Clause::Principal { wanted, got, .. }
        | Clause::Action { wanted, got, .. }
        | Clause::Resource { wanted, got, .. } => longest(wanted, got),
        Clause::Condition { wanted, got, .. } => {
            got.iter().flatten().map(|got| longest(wanted, got)).max().unwrap_or(0)
        }
    }
}
