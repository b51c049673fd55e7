//! A policy that is about a refused call and hangs on somebody else: the permissions were written, and
//! attached to the wrong role. The commonest of these is the deploying role's policy on the task's role.

use std::sync::Arc;

use landfall_policy::ast::{Effect, Statement};
use landfall_policy::decide::Named;
use landfall_policy::{Decision, Denial, Layer, Layers, Outcome, Policy, Request, decide};
use landfall_types::{AccountId, Finding, Span};

use crate::caller::Caller;
use crate::store::AttachedPolicy;
use crate::world::World;

/// The most policies of an account that are looked through for one refusal.
const POLICIES_MAX: usize = 200;

/// The policy that is about what was refused for want of a permission, and where it hangs instead.
struct Elsewhere {
    name: String,
    /// Who has it, as a person names them; empty for nobody.
    holders: Vec<String>,
    about: About,
}

/// The statement that is about a call.
#[derive(Clone, Copy)]
enum About {
    /// It would allow it.
    Allows(Span),
    /// It names its action and would not allow it as it stands: the resource or a condition is another one.
    Names(Span),
}

/// The finding with where the missing permission is to be had: attaching a policy that there is comes before
/// writing another statement.
pub(super) fn told(
    world: &World,
    caller: &Caller,
    (decision, request): (&Decision, &Request),
    mut finding: Finding,
) -> Finding {
    // Where a statement of the caller's own names the action, that one is to be mended.
    let is_missing = decision.outcome == Outcome::Denied(Denial::Implicit { layer: Layer::Identity })
        && finding.rule == "action-not-allowed";
    let is_own_account = request.principal.account() == request.resource_account;
    let (Some((whom, account)), true) = (named(caller), is_missing && is_own_account) else { return finding };
    let Some(Elsewhere { name, holders, about }) = find(world, account, request) else { return finding };
    let on = match holders.as_slice() {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    let (help, statement, label) = match about {
        About::Allows(statement) => (
            format!("attach {name} to {whom}: it allows this call, and is attached to {on}"),
            statement,
            format!("this would allow it, and is attached to {on}"),
        ),
        About::Names(statement) => (
            format!("if {name} is meant for {whom}, attach it there: it is attached to {on}"),
            statement,
            format!("this names `{}`, though not for this call, and is attached to {on}", request.action),
        ),
    };
    finding.help.insert(0, help);
    finding.at(statement, label)
}

/// Whose permissions a caller has, as a person names them.
fn named(caller: &Caller) -> Option<(String, AccountId)> {
    match caller {
        Caller::Session(session) => Some((format!("role `{}`", session.role_name), session.account_id())),
        Caller::User(user) => Some((format!("user `{}`", user.name), user.account_id())),
        Caller::Anonymous | Caller::Root { .. } | Caller::Federated(_) => None,
    }
}

/// The account's own policies, the attachable ones alone: an inline policy of somebody else belongs to them.
/// One that allows the call comes before one that only names it.
fn find(world: &World, account: AccountId, request: &Request) -> Option<Elsewhere> {
    let policies: Vec<_> = world.store.policies(account).into_iter().take(POLICIES_MAX).collect();
    let documents =
        || policies.iter().filter_map(|policy| Some((policy, &policy.default_document()?.policy)));
    let allowing =
        documents().find_map(|(policy, document)| Some((policy, About::Allows(allows(document, request)?))));
    let naming =
        || documents().find_map(|(policy, document)| Some((policy, About::Names(names(document, request)?))));
    let (policy, about) = allowing.or_else(naming)?;
    let holders = holders(world, account, &policy.arn.to_string());
    Some(Elsewhere { name: format!("policy `{}`", policy.name), holders, about })
}

/// The statement by which a policy alone allows a request. One that allows all actions is no policy for this
/// call: it is not to be handed out for want of one permission.
fn allows(policy: &Arc<Policy>, request: &Request) -> Option<Span> {
    let named = Named { name: "".into(), policy };
    let decision = decide(&Layers { identity: vec![named], ..Layers::default() }, request);
    let by = decision.is_allowed().then(|| decision.allowed_by.first().cloned()).flatten()?;
    let action = &policy.statements.get(by.statement_index)?.action;
    let is_for_all = action.negated || action.patterns.iter().any(|one| one.value == "*");
    (!is_for_all).then_some(by.span)
}

/// The statement of a policy that allows an action by its full name.
fn names(policy: &Policy, request: &Request) -> Option<Span> {
    let is_it = |statement: &&Statement| {
        let action = &statement.action;
        let mut patterns = action.patterns.iter();
        statement.effect == Effect::Allow
            && !action.negated
            && patterns.any(|one| one.value.eq_ignore_ascii_case(&request.action))
    };
    policy.statements.iter().find(is_it).map(|statement| statement.span)
}

fn holders(world: &World, account: AccountId, arn: &str) -> Vec<String> {
    let has = |attached: &[AttachedPolicy]| attached.iter().any(|one| one.arn == arn);
    let roles = world.store.roles(account).into_iter().filter(|role| has(&role.attached));
    let users = world.store.users(account).into_iter().filter(|user| has(&user.attached));
    let groups = world.store.groups(account).into_iter().filter(|group| has(&group.attached));
    roles
        .map(|role| format!("role `{}`", role.name))
        .chain(users.map(|user| format!("user `{}`", user.name)))
        .chain(groups.map(|group| format!("group `{}`", group.name)))
        .collect()
}
