//! May they: the caller's policies, the resource's policy and the context become a [`Permit`] or a
//! refusal. Nothing else makes a permit, and no handler can be called without one.

use std::marker::PhantomData;
use std::sync::Arc;

use landfall_policy::catalogue::{self, Need, RegistryCall};
use landfall_policy::decide::Named;
use landfall_policy::{Context, Decision, Layers, Policy, PolicyKind, Request, decide, explain};
use landfall_types::Finding;
use landfall_wire::error::{AwsError, Protocol};

use crate::caller::{Caller, Session};
use crate::log::{Entry, Verdict};
use crate::store::{Document, Role};
use crate::world::World;

/// A call that is decided: an API operation or a registry call. The type stands for the call, so
/// that a permit for one can't open another.
pub trait Call {
    /// The service, `ecr`.
    const SERVICE: &'static str;
    /// What the log calls it, `PutImage` or `PUT manifest`.
    const NAME: &'static str;
    /// What it needs; none for calls that need no permission.
    fn need() -> Option<Need>;
}

/// Declares API operations as types; what each needs stands in the catalogue.
macro_rules! api_calls {
    ($($service:literal: $($name:ident),+ $(,)?;)+) => {$($(
        #[doc = concat!("`", $service, ":", stringify!($name), "`.")]
        #[derive(Debug)]
        pub struct $name;
        impl Call for $name {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($name);
            fn need() -> Option<Need> {
                catalogue::need($service, stringify!($name))
            }
        }
    )+)+};
}

/// Declares registry calls as types.
macro_rules! registry_calls {
    ($($type:ident, $name:literal => $call:ident;)+) => {$(
        #[doc = concat!("The registry's `", $name, "`.")]
        #[derive(Debug)]
        pub struct $type;
        impl Call for $type {
            const SERVICE: &'static str = "ecr";
            const NAME: &'static str = $name;
            fn need() -> Option<Need> {
                Some(catalogue::registry_need(RegistryCall::$call))
            }
        }
    )+};
}

/// The operations that this server has, as types.
pub mod calls {
    use super::{Call, Need, RegistryCall, catalogue};
    api_calls! {
        "iam": CreateOpenIDConnectProvider, GetOpenIDConnectProvider, ListOpenIDConnectProviders,
            DeleteOpenIDConnectProvider, CreateRole, GetRole, ListRoles, DeleteRole, UpdateAssumeRolePolicy,
            PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy, AttachRolePolicy,
            DetachRolePolicy, ListAttachedRolePolicies, CreatePolicy, GetPolicy, GetPolicyVersion, ListPolicies,
            DeletePolicy;
        "sts": GetCallerIdentity;
        "ecr": GetAuthorizationToken, CreateRepository, DescribeRepositories, DescribeImages, ListImages;
    }
    registry_calls! {
        ReadManifest, "GET manifest" => ReadManifest;
        PutManifest, "PUT manifest" => PutManifest;
        CheckBlob, "HEAD blob" => CheckBlob;
        ReadBlob, "GET blob" => ReadBlob;
        StartUpload, "POST upload" => StartUpload;
        AppendUpload, "PATCH upload" => AppendUpload;
        FinishUpload, "PUT upload" => FinishUpload;
        ListTags, "GET tags" => ListTags;
        ListReferrers, "GET referrers" => ListReferrers;
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
    /// The resource's own policy.
    pub resource_policy: Option<&'a Document>,
    /// Keys that this call adds to the context (`aws:RequestTag/…`).
    pub keys: Vec<(String, Vec<String>)>,
    /// The id that the client is given.
    pub request_id: &'a str,
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
    let permit =
        || Permit { caller: asked.caller.clone(), resource: asked.resource.clone(), _call: PhantomData };
    let Some(need) = C::need() else {
        log(world, asked, C::SERVICE, C::NAME, None, Verdict::Allowed, None, None);
        return Ok(permit());
    };
    if matches!(asked.caller, Caller::Anonymous) {
        let error = landfall_wire::error::missing_token(protocol);
        let finding = Finding::error("no-credentials", format!("{} came without credentials", C::NAME))
            .help("sign the call: the step that gets the credentials has to come first, in the same job");
        log(world, asked, C::SERVICE, C::NAME, Some(need.action), refused(&error), None, Some(finding));
        return Err(error);
    }
    let request = Request {
        principal: asked.caller.principal(),
        action: need.action.to_owned(),
        resource: asked.resource.clone(),
        resource_account: asked.resource_account.clone(),
        context: context(world, asked),
    };
    let decision = decide_call(world, asked, &request);
    if decision.is_allowed() {
        log(
            world,
            asked,
            C::SERVICE,
            C::NAME,
            Some(need.action),
            Verdict::Allowed,
            Some((decision, request)),
            None,
        );
        return Ok(permit());
    }
    let error = landfall_wire::error::access_denied(explain::aws_sentence(&decision, &request), protocol);
    let finding = explain::finding(&decision, &request, &world.sources);
    log(
        world,
        asked,
        C::SERVICE,
        C::NAME,
        Some(need.action),
        refused(&error),
        Some((decision, request)),
        Some(finding),
    );
    Err(error)
}

fn refused(error: &AwsError) -> Verdict {
    Verdict::Refused { code: error.code.to_string(), message: error.message.clone() }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one log record, each of its own type")]
fn log(
    world: &World,
    asked: &Asked<'_>,
    service: &'static str,
    operation: &str,
    action: Option<&str>,
    verdict: Verdict,
    decision: Option<(Decision, Request)>,
    finding: Option<Finding>,
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

fn decide_call(world: &World, asked: &Asked<'_>, request: &Request) -> Decision {
    let session = match asked.caller {
        Caller::Session(session) => Some(session),
        Caller::Root { .. } | Caller::Anonymous => None,
    };
    let policies = session.map(|session| SessionPolicies::gather(world, session)).unwrap_or_default();
    let layers = Layers {
        identity: policies.identity.iter().map(Held::named).collect(),
        resource: asked.resource_policy.map(|document| Named {
            name: format!("policy of {}", asked.resource).into(),
            policy: &document.policy,
        }),
        boundary: policies.boundary.as_ref().map(Held::named),
        session: policies.session.as_ref().map(|held| held.iter().map(Held::named).collect()),
        ..Layers::default()
    };
    decide(&layers, request)
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

/// The policies that a session brings with it.
#[derive(Default)]
struct SessionPolicies {
    identity: Vec<Held>,
    boundary: Option<Held>,
    session: Option<Vec<Held>>,
}

impl SessionPolicies {
    fn gather(world: &World, session: &Session) -> Self {
        // A role that was deleted after the session began has no policies any more: all is denied.
        let role = world
            .store
            .role(session.account_id(), &session.role_name)
            .filter(|role| role.id == session.role_id);
        let session_policies = session.policies.as_ref().map(|documents| {
            documents
                .iter()
                .enumerate()
                .map(|(index, text)| Held {
                    name: format!("session policy {}", index + 1),
                    policy: world.policies.read(world, "session policy", text, PolicyKind::Identity),
                })
                .collect()
        });
        Self {
            identity: role.as_ref().map(|role| identity_policies(world, role)).unwrap_or_default(),
            boundary: role
                .as_ref()
                .and_then(|role| role.boundary.as_deref())
                .map(|arn| managed_policy(world, arn)),
            session: session_policies,
        }
    }
}

fn identity_policies(world: &World, role: &Role) -> Vec<Held> {
    let inline = role.inline.iter().map(|(name, document)| Held {
        name: format!("inline policy {name}"),
        policy: Arc::clone(&document.policy),
    });
    let attached = role.attached.iter().map(|attached| managed_policy(world, &attached.arn));
    inline.chain(attached).collect()
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
    context.set("aws:SecureTransport", "true");
    context.set("aws:RequestedRegion", asked.region);
    context.set("aws:ResourceAccount", asked.resource_account.as_str());
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
        Caller::Session(session) => session_keys(world, session, &mut context),
    }
    for (name, values) in &asked.keys {
        context.set_all(name.as_str(), values.clone());
    }
    context
}

fn session_keys(world: &World, session: &Session, context: &mut Context) {
    context.set("aws:PrincipalType", "AssumedRole");
    context.set("aws:PrincipalArn", session.role_arn().to_string());
    context.set("aws:TokenIssueTime", landfall_types::Timestamp(session.issued_at_ms).to_string());
    if let Some(provider) = &session.provider {
        context.set("aws:FederatedProvider", provider.as_str());
    }
    if let Some(source_identity) = &session.source_identity {
        context.set("aws:SourceIdentity", source_identity.as_str());
    }
    for (name, values) in &session.federated_keys {
        context.set_all(name.as_str(), values.clone());
    }
    let role = world.store.role(session.account_id(), &session.role_name);
    let role_tags = role.map(|role| role.tags.clone()).unwrap_or_default();
    // A session tag overrides the role's tag of the same key.
    for (key, value) in role_tags.iter().chain(&session.tags) {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
}
