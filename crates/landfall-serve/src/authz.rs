//! May they: the caller's policies, the resource's policy and the context become a [`Permit`] or a
//! refusal. Nothing else makes a permit, and no handler can be called without one.

mod elsewhere;
mod operations;

use std::marker::PhantomData;
use std::sync::Arc;

use landfall_policy::catalogue::{self, Need, RegistryCall};
use landfall_policy::decide::Named;
use landfall_policy::trace::{StatementTrace, trace};
use landfall_policy::{Context, Decision, Layers, Policy, PolicyKind, Request, decide, explain, managed};
use landfall_types::{Finding, Spanned};
use landfall_wire::error::{AwsError, Protocol};

use crate::caller::{Caller, CallingUser, FederatedUser, PassedPolicies, Session};
use crate::connection::SECURE_TRANSPORT;
use crate::log::{Entry, Verdict};
use crate::store::{AttachedPolicy, Document, Group, Role, User};
use crate::world::World;

pub use operations::{
    calls, cloudwatch_calls, codedeploy_calls, ecs_calls, eks_auth_calls, eks_calls, log_calls, public_calls,
};

/// A call that is decided: an API operation or a registry call. The type stands for the call, so
/// that a permit for one can't open another.
pub trait Call {
    /// The service, `ecr`.
    const SERVICE: &'static str;
    /// What the log calls it, `PutImage` or `PUT manifest`.
    const NAME: &'static str;
    /// What it needs.
    fn needs() -> Needs;
}

/// A registry call, which ECR Public's registry has as well.
pub trait OfRegistry: Call {
    /// Which it is.
    const CALL: RegistryCall;
}

/// What a call needs before it may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// This permission.
    Permission(Need),
    /// A caller, and no permission.
    Caller,
    /// Nothing: anybody may make it, also without credentials.
    Nothing,
    /// The catalogue doesn't know the call: nobody may make it.
    Unlisted,
}

impl Needs {
    /// What the catalogue says of an API operation.
    pub fn of(service: &str, name: &str) -> Self {
        let known = catalogue::operations();
        match known.iter().find(|operation| operation.service == service && operation.name == name) {
            Some(operation) => operation.need.map_or(Self::Caller, Self::Permission),
            None => Self::Unlisted,
        }
    }
}

/// Proof that a call was decided and allowed. Only this module makes one.
#[derive(Debug)]
pub struct Permit<C> {
    caller: Caller,
    resource: String,
    _call: PhantomData<fn() -> C>,
}

impl<C> Permit<C> {
    /// Who was allowed.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What it was allowed on: an ARN, or `*`.
    pub fn resource(&self) -> &str {
        &self.resource
    }
}

/// One call on its way to a decision.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// The region of the call.
    pub region: &'a str,
    /// The resource's ARN, or `*`.
    pub resource: String,
    /// The account that owns the resource.
    pub resource_account: String,
    /// The policies of the resource and of what it belongs to.
    pub resource_policies: &'a [ResourcePolicy],
    /// Keys that this call adds to the context (`aws:RequestTag/…`).
    pub keys: Vec<(String, Vec<String>)>,
    /// The id that the client is given.
    pub request_id: &'a str,
}

/// A policy of a resource, or of what the resource belongs to.
#[derive(Clone, Debug)]
pub struct ResourcePolicy {
    /// What reasons call it, `policy of the repository web`.
    pub name: String,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl ResourcePolicy {
    fn named(&self) -> Named<'_> {
        Named { name: self.name.as_str().into(), policy: &self.policy }
    }
}

/// Decides a call and writes the decision to the log.
///
/// # Errors
/// The refusal for the client, in the words of the protocol.
pub fn authorize<C: Call>(
    world: &World,
    asked: &Asked<'_>,
    protocol: Protocol,
) -> Result<Permit<C>, AwsError> {
    authorize_as(world, asked, (C::SERVICE, C::needs()), protocol)
}

/// The same for a call of ECR Public's registry, where everybody may read.
///
/// # Errors
/// The refusal for the client.
pub fn authorize_public<C: OfRegistry>(world: &World, asked: &Asked<'_>) -> Result<Permit<C>, AwsError> {
    let needs = catalogue::public_registry_need(C::CALL).map_or(Needs::Nothing, Needs::Permission);
    authorize_as(world, asked, ("ecr-public", needs), Protocol::Json11)
}

fn authorize_as<C: Call>(
    world: &World,
    asked: &Asked<'_>,
    (service, needs): (&'static str, Needs),
    protocol: Protocol,
) -> Result<Permit<C>, AwsError> {
    let permit =
        || Permit { caller: asked.caller.clone(), resource: asked.resource.clone(), _call: PhantomData };
    let record = |action: Option<&str>, verdict, decision, finding| {
        log(world, asked, (service, C::NAME), action, Outcome { verdict, decision, finding });
    };
    let need = match needs {
        Needs::Permission(need) => Some(need),
        Needs::Caller => None,
        Needs::Nothing => {
            record(None, Verdict::Allowed, None, None);
            return Ok(permit());
        }
        Needs::Unlisted => {
            let error = landfall_wire::error::internal(protocol);
            let finding = Finding::error("call-unlisted", format!("{} is not in the catalogue", C::NAME));
            record(None, Verdict::refused(&error), None, Some(finding));
            return Err(error);
        }
    };
    if matches!(asked.caller, Caller::Anonymous) {
        let error = landfall_wire::error::missing_token(protocol);
        let finding = Finding::error("no-credentials", format!("{} came without credentials", C::NAME))
            .help("sign the call: the step that gets the credentials has to come first, in the same job");
        record(need.map(|need| need.action), Verdict::refused(&error), None, Some(finding));
        return Err(error);
    }
    let Some(need) = need else {
        record(None, Verdict::Allowed, None, None);
        return Ok(permit());
    };
    decide_all(world, asked, (service, C::NAME), Gate::of(asked), &[need.action], protocol)?;
    Ok(permit())
}

/// Decides whether a caller may take a role: by the role's trust policy and its own permissions, for
/// `sts:AssumeRole` and for what the call needs further. Without a role all is denied, in the same words.
///
/// # Errors
/// The refusal for the client.
pub fn authorize_role(
    world: &World,
    asked: &Asked<'_>,
    role: Option<&Role>,
    further: &[&'static str],
    protocol: Protocol,
) -> Result<Permit<calls::AssumeRole>, AwsError> {
    let actions: Vec<&str> = std::iter::once("sts:AssumeRole").chain(further.iter().copied()).collect();
    let gate = match role {
        Some(role) => Gate::of_role(role),
        None => Gate::NoRole,
    };
    decide_all(world, asked, ("sts", "AssumeRole"), gate, &actions, protocol)?;
    Ok(Permit { caller: asked.caller.clone(), resource: asked.resource.clone(), _call: PhantomData })
}

/// Decides whether a user may set the tags of a federated user. `sts:TagSession` is decided by a role's trust
/// policy; where there is no role, the account leaves it to its users' policies.
///
/// # Errors
/// The refusal for the client.
pub fn authorize_federated_tags(
    world: &World,
    asked: &Asked<'_>,
    protocol: Protocol,
) -> Result<(), AwsError> {
    let account = &asked.resource_account;
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{account}"}},"Action":"sts:TagSession"}}}}"#
    );
    let policy = world.policies.read(world, "federated users", &text, PolicyKind::Trust);
    let gate = Gate::Trust(format!("account {account}"), &policy);
    decide_all(world, asked, ("sts", "GetFederationToken"), gate, &["sts:TagSession"], protocol)
}

/// The policies at the resource's side of a call.
enum Gate<'a> {
    /// Those of the resource and of what it belongs to.
    Resource(&'a [ResourcePolicy]),
    /// A role's trust policy, with its name.
    Trust(String, &'a Policy),
    /// The trust policy of a role that is not there.
    NoRole,
}

impl<'a> Gate<'a> {
    fn of(asked: &Asked<'a>) -> Self {
        Self::Resource(asked.resource_policies)
    }

    fn of_role(role: &'a Role) -> Self {
        Self::Trust(format!("trust policy of {}", role.name), &role.trust.policy)
    }
}

/// Decides a call for each action that it needs, and writes the first denial, or else the first action's
/// decision, to the log.
fn decide_all(
    world: &World,
    asked: &Asked<'_>,
    operation: (&'static str, &str),
    gate: Gate<'_>,
    actions: &[&str],
    protocol: Protocol,
) -> Result<(), AwsError> {
    let (decided, unread) = with_layers(world, asked, &gate, |layers| {
        let decide_one = |action: &&str| {
            let request = request_of(world, asked, action);
            (decide(layers, &request), request)
        };
        let decided: Vec<(Decision, Request)> = actions.iter().map(decide_one).collect();
        (decided, unread_policies(layers))
    });
    let (first, rest): (Vec<_>, Vec<_>) =
        decided.into_iter().partition(|(decision, _)| !decision.is_allowed());
    let Some((decision, request)) = first.into_iter().chain(rest).next() else { return Ok(()) };
    let action = request.action.clone();
    if decision.is_allowed() {
        let outcome =
            Outcome { verdict: Verdict::Allowed, decision: Some((decision, request)), finding: None };
        log(world, asked, operation, Some(&action), outcome);
        return Ok(());
    }
    let error = landfall_wire::error::access_denied(sentence(&decision, &request), protocol);
    let finding = caller_gone(world, asked.caller).or_else(|| role_missing(world, &gate, &asked.resource));
    let finding = finding.or_else(|| unknown_policy(&decision, &request, &unread));
    let finding = finding.unwrap_or_else(|| explanation(world, asked.caller, &decision, &request));
    let verdict = Verdict::refused(&error);
    let outcome = Outcome { verdict, decision: Some((decision, request)), finding: Some(finding) };
    log(world, asked, operation, Some(&action), outcome);
    Err(error)
}

/// Why a call was refused, by the policies that were decided on and by those that the account has besides.
pub fn explanation(world: &World, caller: &Caller, decision: &Decision, request: &Request) -> Finding {
    let finding = explain::finding(decision, request, &world.sources);
    elsewhere::told(world, caller, (decision, request), finding)
}

/// The policies of a decision of which not all statements could be worked out: their names, and what is unknown.
fn unread_policies(layers: &Layers<'_>) -> Vec<(String, Spanned<String>)> {
    let all = layers.identity.iter().chain(&layers.resource).chain(&layers.trust).chain(&layers.boundary);
    let all = all.chain(layers.session.iter().flatten());
    let unread = all.filter(|named| named.policy.unread_statements > 0);
    unread.filter_map(|named| Some((named.name.to_string(), named.policy.unknown.clone()?))).collect()
}

/// Why it can't be told whether AWS would refuse: a policy that could allow the call is not known.
fn unknown_policy(
    decision: &Decision,
    request: &Request,
    unread: &[(String, Spanned<String>)],
) -> Option<Finding> {
    let is_explicit = matches!(
        decision.outcome,
        landfall_policy::Outcome::Denied(landfall_policy::Denial::Explicit { .. })
    );
    if is_explicit || decision.unknown.is_empty() {
        return None;
    }
    let is_named =
        |(name, _): &&(String, _)| decision.unknown.iter().any(|line| line.contains(name.as_str()));
    let (name, unknown) = unread.iter().find(is_named)?;
    if managed::is_not_known(name) {
        return Some(not_known(name, request));
    }
    let message = format!(
        "whether AWS allows `{}` on `{}` is unknown: {name} can't be worked out",
        request.action, request.resource
    );
    Some(
        Finding::error("unknown-policy", message)
            .at(unknown.span, unknown.value.clone())
            .note("what is known of the caller's policies doesn't allow it, so it is refused here")
            .help(how_to_know(&unknown.value)),
    )
}

/// Why it can't be told whether AWS would refuse: what a policy of AWS's says isn't known here.
fn not_known(arn: &str, request: &Request) -> Finding {
    let (action, resource) = (&request.action, &request.resource);
    let message = format!(
        "whether AWS allows `{action}` on `{resource}` is unknown: AWS has managed policies that aren't known here, and the caller has one"
    );
    let finding = Finding::error("unknown-policy", message)
        .note(format!("AWS may allow it by {arn}"))
        .note("what is known of the caller's policies doesn't allow it, so it is refused here");
    match managed::nearest(arn) {
        Some(name) => finding.help(format!("is `{name}` meant? It is known here")),
        None => finding.help("make a policy of your own of its document, and attach that one here"),
    }
}

/// How to say a value that isn't known, by why it isn't.
pub fn how_to_know(because: &str) -> String {
    let outside = because.split('`').find(|part| part.starts_with("data."));
    match outside.filter(|_| because.contains("is read from outside these files")) {
        Some(address) => format!(
            "give the value with --var '{address}=VALUE', or in landfall.toml under [variables]; where another root module makes it, name that folder with a further --infra"
        ),
        None => "give the value with --var NAME=VALUE, or in landfall.toml under [variables]".to_owned(),
    }
}

/// AWS's sentence. STS leaves out the reason where a trust policy is it, so that a role that refuses and one
/// that is not there look the same, and the resource where there is none (observed).
fn sentence(decision: &Decision, request: &Request) -> String {
    let sentence = explain::aws_sentence(decision, request);
    let is_trust = matches!(
        decision.outcome,
        landfall_policy::Outcome::Denied(landfall_policy::Denial::Implicit {
            layer: landfall_policy::Layer::Trust
        })
    );
    if is_trust {
        return sentence.split(" because ").next().unwrap_or_default().to_owned();
    }
    if request.action.starts_with("sts:") && request.resource == "*" {
        return sentence.replacen(" on resource: *", "", 1);
    }
    sentence
}

/// Why a role that is not there can't be taken.
fn role_missing(world: &World, gate: &Gate<'_>, resource: &str) -> Option<Finding> {
    if !matches!(gate, Gate::NoRole) {
        return None;
    }
    let arn = landfall_types::Arn::parse(resource).ok()?;
    Some(role_missing_finding(world, &arn))
}

/// What is there in place of a role that is not.
pub(crate) fn role_missing_finding(world: &World, arn: &landfall_types::Arn) -> Finding {
    let finding = Finding::error("role-missing", format!("there is no role `{arn}`"));
    let Some(account) = arn.account_id() else { return finding };
    let name = arn.role_path_and_name().map_or("", |(_, name)| name);
    if let Some(role) = world.store.role(account, name) {
        return finding
            .at(role.written, format!("the role of that name is `{}`", role.arn))
            .help("ARNs are compared letter by letter, path and case included: use the role's own ARN");
    }
    let roles = world.store.roles(account);
    roles
        .iter()
        .fold(finding, |finding, role| finding.at(role.written, format!("there is `{}`", role.arn)))
        .help("create the role, or correct the ARN in the job; AWS answers the same for a role that does not exist")
}

fn request_of(world: &World, asked: &Asked<'_>, action: &str) -> Request {
    Request {
        principal: asked.caller.principal(),
        action: action.to_owned(),
        resource: asked.resource.clone(),
        resource_account: asked.resource_account.clone(),
        context: context(world, asked),
    }
}

/// What came of a call.
struct Outcome {
    verdict: Verdict,
    decision: Option<(Decision, Request)>,
    finding: Option<Finding>,
}

fn log(
    world: &World,
    asked: &Asked<'_>,
    (service, operation): (&'static str, &str),
    action: Option<&str>,
    Outcome { verdict, decision, finding }: Outcome,
) {
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: asked.request_id.to_owned(),
            service,
            operation: operation.to_owned(),
            caller: asked.caller.arn(),
            action: action.map(str::to_owned),
            resource: action.is_some().then(|| asked.resource.clone()),
            verdict,
            decision,
            finding,
            claims: None,
        },
    );
}

/// Decides a call that nobody makes, with every clause that was looked at: for explanations. Nothing
/// is logged, and there is no permit.
///
/// A call that takes a role (`sts:AssumeRole`) is decided by that role's trust policy as well.
pub fn explain_call(
    world: &World,
    asked: &Asked<'_>,
    role: Option<&Role>,
    action: &str,
) -> (Decision, Request, Vec<StatementTrace>) {
    let request = request_of(world, asked, action);
    let gate = role.map_or(Gate::of(asked), Gate::of_role);
    let (decision, traces) =
        with_layers(world, asked, &gate, |layers| (decide(layers, &request), trace(layers, &request)));
    (decision, request, traces)
}

fn with_layers<T>(
    world: &World,
    asked: &Asked<'_>,
    gate: &Gate<'_>,
    then: impl FnOnce(&Layers<'_>) -> T,
) -> T {
    // A policy that names a role or a user means the one that had the name when it was written: it gives
    // nothing to callers that are gone, not even when another one has the name now.
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles>
    let (policies, is_gone) = match asked.caller {
        Caller::Anonymous | Caller::Root { .. } => (CallerPolicies::default(), false),
        Caller::User(calling) => {
            let user = user_of(world, calling);
            (
                user.as_ref().map(|user| CallerPolicies::of_user(world, user)).unwrap_or_default(),
                user.is_none(),
            )
        }
        Caller::Session(session) => {
            let role = role_of(world, session);
            let is_gone = role.is_none();
            (CallerPolicies::of_session(world, session, role), is_gone)
        }
        Caller::Federated(user) => CallerPolicies::of_federated(world, user),
    };
    let (resource, trust) = match gate {
        _ if is_gone => (Vec::new(), None),
        Gate::NoRole => (Vec::new(), None),
        Gate::Resource(policies) => (policies.iter().map(ResourcePolicy::named).collect(), None),
        Gate::Trust(name, policy) => (Vec::new(), Some(Named { name: name.as_str().into(), policy })),
    };
    then(&Layers {
        identity: policies.identity.iter().map(Held::named).collect(),
        resource,
        trust,
        boundary: policies.boundary.as_ref().map(Held::named),
        session: policies.session.as_ref().map(|held| held.iter().map(Held::named).collect()),
        ..Layers::default()
    })
}

/// The role of a session; none when it is gone, also when another one has its name by now.
fn role_of(world: &World, session: &Session) -> Option<Arc<Role>> {
    let role = world.store.role(session.account_id(), &session.role_name);
    role.filter(|role| role.id == session.role_id)
}

/// The user behind a call; none when it is gone, also when another one has its name by now.
fn user_of(world: &World, calling: &CallingUser) -> Option<Arc<User>> {
    world.store.user(calling.account_id(), &calling.name).filter(|user| user.id == calling.id)
}

/// Why a session of a role that is gone may do nothing.
fn caller_gone(world: &World, caller: &Caller) -> Option<Finding> {
    let Caller::Session(session) = caller else { return None };
    if role_of(world, session).is_some() {
        return None;
    }
    let role = session.role_arn();
    let finding = Finding::error("role-deleted", format!("the role of this session, `{role}`, was deleted"));
    let finding = match world.store.role(session.account_id(), &session.role_name) {
        Some(other) => finding
            .at(other.written, "a role of the same name was made since")
            .note(format!("the session is of role {}, the one there now is {}", session.role_id, other.id)),
        None => finding,
    };
    Some(finding.help("log in again: a session ends with its role"))
}

/// A policy with its name, kept while it is decided.
struct Held {
    name: String,
    policy: Arc<Policy>,
}

impl Held {
    fn named(&self) -> Named<'_> {
        Named { name: self.name.as_str().into(), policy: &self.policy }
    }
}

/// The policies that a caller brings along.
#[derive(Default)]
struct CallerPolicies {
    identity: Vec<Held>,
    boundary: Option<Held>,
    session: Option<Vec<Held>>,
}

impl CallerPolicies {
    /// Without its role a session has no policies: all is denied.
    fn of_session(world: &World, session: &Session, role: Option<Arc<Role>>) -> Self {
        let session_policies = session.policies.as_ref().map(|policies| passed(world, policies));
        Self {
            identity: role.as_ref().map(|role| identity_policies(world, role)).unwrap_or_default(),
            boundary: role
                .as_ref()
                .and_then(|role| role.boundary.as_deref())
                .map(|arn| managed_policy(world, arn)),
            session: session_policies,
        }
    }

    fn of_user(world: &World, user: &User) -> Self {
        Self {
            identity: user_policies(world, user),
            boundary: user.boundary.as_deref().map(|arn| managed_policy(world, arn)),
            session: None,
        }
    }

    /// A federated user may what both the user who vouched and the passed policies allow: without any of
    /// them, nothing. A root user may all. Also whether the user who vouched is gone.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getfederationtoken.html>
    fn of_federated(world: &World, federated: &FederatedUser) -> (Self, bool) {
        let mut session = passed(world, &federated.policies);
        if session.is_empty() {
            let policy = world.policies.read(world, "no session policy", NOTHING, PolicyKind::Identity);
            session.push(Held { name: "no session policy".to_owned(), policy });
        }
        let Some(calling) = &federated.user else {
            let policy = world.policies.read(world, "root user", EVERYTHING, PolicyKind::Identity);
            let identity = vec![Held { name: "the root user".to_owned(), policy }];
            return (Self { identity, boundary: None, session: Some(session) }, false);
        };
        let user = user_of(world, calling);
        let own = user.as_ref().map(|user| Self::of_user(world, user)).unwrap_or_default();
        (Self { session: Some(session), ..own }, user.is_none())
    }
}

const NOTHING: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;
const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// The policies that were passed when a session was made.
fn passed(world: &World, policies: &PassedPolicies) -> Vec<Held> {
    let inline = policies.inline.iter().map(|text| Held {
        name: "the session policy".to_owned(),
        policy: world.policies.read(world, "session policy", text, PolicyKind::Identity),
    });
    inline.chain(policies.managed.iter().map(|arn| managed_policy(world, arn))).collect()
}

/// The policies that a role's sessions have their permissions from, by name.
pub fn permissions_of(world: &World, role: &Role) -> Vec<(String, Arc<Policy>)> {
    identity_policies(world, role).into_iter().map(|held| (held.name, held.policy)).collect()
}

fn identity_policies(world: &World, role: &Role) -> Vec<Held> {
    held(world, "", &role.inline, &role.attached)
}

/// A user's own policies, and those of its groups.
fn user_policies(world: &World, user: &User) -> Vec<Held> {
    let mut policies = held(world, "", &user.inline, &user.attached);
    for group in world.store.groups_of(user) {
        let Group { name, inline, attached, .. } = &*group;
        policies.extend(held(world, &format!(" of group {name}"), inline, attached));
    }
    policies
}

/// Policies with the names under which reasons speak of them.
fn held(world: &World, of: &str, inline: &[(String, Document)], attached: &[AttachedPolicy]) -> Vec<Held> {
    let inline = inline.iter().map(|(name, document)| Held {
        name: format!("inline policy {name}{of}"),
        policy: Arc::clone(&document.policy),
    });
    inline.chain(attached.iter().map(|attached| managed_policy(world, &attached.arn))).collect()
}

fn managed_policy(world: &World, arn: &str) -> Held {
    Held { name: arn.to_owned(), policy: world.policies.managed(world, arn) }
}

/// The condition keys of a call that is not an exchange.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
fn context(world: &World, asked: &Asked<'_>) -> Context {
    let mut context = Context::new();
    let now = world.clock.now();
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", now.seconds().to_string());
    context.set(SECURE_TRANSPORT.0, SECURE_TRANSPORT.1);
    context.set("aws:RequestedRegion", asked.region);
    context.set("aws:ResourceAccount", asked.resource_account.as_str());
    // Both are present in every signed request, and no service calls on anyone's behalf here.
    context.set("aws:ViaAWSService", "false");
    context.set("aws:PrincipalIsAWSService", "false");
    if let Some(account) = asked.caller.account() {
        context.set("aws:PrincipalAccount", account.as_str());
        context.set("aws:userid", asked.caller.user_id());
    }
    match asked.caller {
        Caller::Anonymous => {}
        Caller::Root { account } => {
            context.set("aws:PrincipalType", "Account");
            context.set("aws:PrincipalArn", landfall_types::Arn::root(*account).to_string());
        }
        Caller::User(user) => user_keys(world, user, &mut context),
        Caller::Session(session) => session_keys(world, session, &mut context),
        Caller::Federated(user) => federated_keys(world, user, &mut context),
    }
    for (name, values) in &asked.keys {
        context.set_all(name.as_str(), values.clone());
    }
    context
}

fn user_keys(world: &World, calling: &CallingUser, context: &mut Context) {
    context.set("aws:PrincipalType", "User");
    context.set("aws:PrincipalArn", calling.arn().to_string());
    context.set("aws:username", calling.name.as_str());
    // A key that lasts has no such keys at all.
    if let Some(issued) = calling.session_issued_at_ms {
        context.set("aws:TokenIssueTime", landfall_types::Timestamp(issued).to_string());
        context.set("aws:MultiFactorAuthPresent", "false");
    }
    let user = user_of(world, calling);
    for (key, value) in user.iter().flat_map(|user| &user.tags) {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}

fn session_keys(world: &World, session: &Session, context: &mut Context) {
    context.set("aws:PrincipalType", "AssumedRole");
    context.set("aws:PrincipalArn", session.role_arn().to_string());
    context.set("aws:TokenIssueTime", landfall_types::Timestamp(session.issued_at_ms).to_string());
    if let Some(provider) = &session.provider {
        context.set("aws:FederatedProvider", provider.as_str());
    }
    // The key is absent from the sessions of ID tokens, and false in those of keys without MFA.
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-multifactorauthpresent>
    if session.provider.is_none() {
        context.set("aws:MultiFactorAuthPresent", "false");
    }
    if let Some(source_identity) = &session.source_identity {
        context.set("aws:SourceIdentity", source_identity.as_str());
    }
    for (name, values) in &session.federated_keys {
        context.set_all(name.as_str(), values.clone());
    }
    let role_tags = role_of(world, session).map(|role| role.tags.clone()).unwrap_or_default();
    // A session tag overrides the role's tag of the same key.
    for (key, value) in role_tags.iter().chain(&session.tags) {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}

fn federated_keys(world: &World, user: &FederatedUser, context: &mut Context) {
    context.set("aws:PrincipalType", "FederatedUser");
    context.set("aws:PrincipalArn", user.arn().to_string());
    context.set("aws:TokenIssueTime", landfall_types::Timestamp(user.issued_at_ms).to_string());
    context.set("aws:MultiFactorAuthPresent", "false");
    let own = user.user.as_ref().and_then(|calling| user_of(world, calling));
    // A session tag overrides the user's tag of the same key.
    for (key, value) in own.iter().flat_map(|own| &own.tags).chain(&user.tags) {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_the_catalogue_and_only_identity_is_free() {
        let free: Vec<_> = calls::API
            .iter()
            .chain(public_calls::API)
            .filter(|(service, name)| !matches!(Needs::of(service, name), Needs::Permission(_)))
            .collect();
        assert_eq!(free, [&("sts", "GetCallerIdentity"), &("sts", "GetSessionToken")]);
        assert_eq!(Needs::of("iam", "CreateRoles"), Needs::Unlisted);
        let registry: Vec<RegistryCall> = calls::REGISTRY.iter().map(|(_, call)| *call).collect();
        assert_eq!(registry, RegistryCall::ALL);
    }
}
