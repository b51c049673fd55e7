//! `AssumeRole`: a caller takes a role, by the role's trust policy and its own permissions.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::sync::Arc;

use landfall_types::{Arn, Finding};
use landfall_wire::error::{AwsError, access_denied};
use landfall_wire::query::Params;
use landfall_wire::sts::{self as rules, AssumeRole, DURATION_SECONDS_DEFAULT, SHORT_SESSION_SECONDS_MAX};

use super::identity::PROTOCOL;
use super::session::{Issued, ends, issue, key_id, passed_policies};
use super::{Refusal, SignedCall, because, refuse};
use crate::authz::{self, Permit, calls};
use crate::caller::{Caller, Session};
use crate::store::Role;
use crate::world::World;

const OPERATION: &str = "AssumeRole";

/// What taking a role gives.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The session, and what to sign with.
    pub issued: Issued<Session>,
    /// Percent of the space that policies and tags may take; none when there are neither.
    pub packed_policy_size: Option<u32>,
}

/// What the session inherits and what it is given, put together.
struct Wanted<'a> {
    tags: Vec<(String, String)>,
    transitive_tag_keys: Vec<String>,
    source_identity: Option<String>,
    input: &'a AssumeRole<'a>,
}

/// Takes a role. Writes nothing but the log.
///
/// # Errors
/// AWS's code, message and status for the first check that fails.
pub fn assume_role(world: &World, call: &SignedCall<'_>, params: &Params) -> Result<Taken, AwsError> {
    let resource = || params.get("RoleArn").map(str::to_owned);
    let refused = |refusal| refuse(world, call, OPERATION, resource(), refusal);
    // What is malformed is told first, to the root user as well.
    let input = rules::check_assume_role(params)?;
    check_caller(call).map_err(refused)?;
    let seconds = duration(call, &input).map_err(refused)?;
    let wanted = wanted(call, &input).map_err(refused)?;
    let role = find_role(world, &input.role);
    let permit = permit(world, call, &wanted, role.as_deref())?;
    // INVARIANT: without a role nothing was allowed.
    let Some(role) = role else { return Err(landfall_wire::error::internal(PROTOCOL)) };
    take(world, call, &permit, &role, wanted, seconds).map_err(refused)
}

/// A root user may take no role, whatever policies say.
fn check_caller(call: &SignedCall<'_>) -> Result<(), Refusal> {
    match &call.identified.caller {
        Caller::Root { account } => {
            let finding = Finding::error("root-cannot-assume", "an account's root user can't take a role")
                .note(format!("the call is signed with the root key of account {account}"))
                .help("sign with the key of a user, or with a session: `landfall token` and AssumeRoleWithWebIdentity make one");
            Err(because(rules::root_cannot_assume(), finding))
        }
        Caller::Anonymous | Caller::User(_) | Caller::Session(_) | Caller::Federated(_) => Ok(()),
    }
}

fn duration(call: &SignedCall<'_>, input: &AssumeRole<'_>) -> Result<u32, Refusal> {
    let seconds = input.duration_seconds.unwrap_or(DURATION_SECONDS_DEFAULT);
    if !call.is_temporary || seconds <= SHORT_SESSION_SECONDS_MAX {
        return Ok(seconds);
    }
    let finding = Finding::error(
        "chained-session-too-long",
        format!("a session that takes a role gets {SHORT_SESSION_SECONDS_MAX} s at most, and {seconds} s were asked for"),
    )
    .note(format!("the caller is itself a session: `{}`", call.identified.caller.arn()))
    .help("ask for at most 3600 s, whatever the role's max_session_duration says, or exchange an ID token for the role directly");
    Err(because(rules::chained_too_long(), finding))
}

/// Transitive tags and the source identity go with a chain, and stay as they are.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_role-chaining>
fn wanted<'a>(call: &SignedCall<'_>, input: &'a AssumeRole<'a>) -> Result<Wanted<'a>, Refusal> {
    let owned = |text: &&str| (*text).to_owned();
    let mut wanted = Wanted {
        tags: input.tags.iter().map(|(key, value)| (owned(key), owned(value))).collect(),
        transitive_tag_keys: input.transitive_tag_keys.iter().map(owned).collect(),
        source_identity: input.source_identity.map(str::to_owned),
        input,
    };
    check_extras(input)?;
    let Caller::Session(session) = &call.identified.caller else { return Ok(wanted) };
    for (key, value) in session.tags.iter().filter(|(key, _)| session.hands_on(key)) {
        if input.tags.iter().any(|(own, _)| rules::same_tag_key(own, key)) {
            let finding = Finding::error(
                "inherited-tag",
                format!("the session tag `{key}` is inherited, and can't be set anew"),
            )
            .note(format!("it is `{value}` in `{}`, which set it as transitive", session.arn()))
            .help(format!("leave `{key}` out of the tags of this call"));
            return Err(because(rules::inherited_tag(), finding));
        }
        wanted.tags.push((key.clone(), value.clone()));
        wanted.transitive_tag_keys.push(key.clone());
    }
    if let Some(inherited) = &session.source_identity {
        if wanted.source_identity.as_ref().is_some_and(|own| own != inherited) {
            return Err(other_source_identity(call, session, inherited, input));
        }
        wanted.source_identity = Some(inherited.clone());
    }
    Ok(wanted)
}

fn other_source_identity(
    call: &SignedCall<'_>,
    session: &Session,
    inherited: &str,
    input: &AssumeRole<'_>,
) -> Refusal {
    let finding = Finding::error("source-identity-fixed", "the source identity of a chain can't change")
        .note(format!("`{}` has the source identity `{inherited}`", session.arn()))
        .note(format!("got `{}`", input.source_identity.unwrap_or("")))
        .help("leave SourceIdentity out: it is inherited");
    let sentence = format!(
        "User: {} is not authorized to perform: sts:SetSourceIdentity on resource: {}",
        call.identified.caller.arn(),
        input.role
    );
    because(access_denied(sentence, PROTOCOL), finding)
}

/// What can only be refused: nobody has an MFA device, and there is no IAM Identity Center.
fn check_extras(input: &AssumeRole<'_>) -> Result<(), Refusal> {
    if let Some(mfa) = input.mfa {
        return Err(super::user::no_mfa_device(mfa));
    }
    if input.has_contexts {
        let finding = Finding::error(
            "context-assertion",
            "context assertions of IAM Identity Center can't be verified here",
        )
        .help("leave ProvidedContexts out");
        let message = "The context assertion provided is not valid.";
        return Err(because(AwsError::bad_request("InvalidContextAssertion", message), finding));
    }
    Ok(())
}

fn find_role(world: &World, arn: &Arn) -> Option<Arc<Role>> {
    let (account, (_, name)) = (arn.account_id()?, arn.role_path_and_name()?);
    world.store.role(account, name).filter(|role| role.arn == *arn)
}

fn permit(
    world: &World,
    call: &SignedCall<'_>,
    wanted: &Wanted<'_>,
    role: Option<&Role>,
) -> Result<Permit<calls::AssumeRole>, AwsError> {
    let input = wanted.input;
    let mut keys = call.identified.connection.keys();
    let mut set = |name: &str, values: Vec<String>| keys.push((name.to_owned(), values));
    set("sts:RoleSessionName", vec![input.session_name.to_owned()]);
    if let Some(external_id) = input.external_id {
        set("sts:ExternalId", vec![external_id.to_owned()]);
    }
    if let Some(source_identity) = &wanted.source_identity {
        set("sts:SourceIdentity", vec![source_identity.clone()]);
    }
    if !wanted.tags.is_empty() {
        set("aws:TagKeys", wanted.tags.iter().map(|(key, _)| key.clone()).collect());
    }
    for (key, value) in &wanted.tags {
        set(&format!("aws:RequestTag/{key}"), vec![value.clone()]);
    }
    if !wanted.transitive_tag_keys.is_empty() {
        set("sts:TransitiveTagKeys", wanted.transitive_tag_keys.clone());
    }
    for (key, value) in role.iter().flat_map(|role| &role.tags) {
        set(&format!("aws:ResourceTag/{key}"), vec![value.clone()]);
        set(&format!("iam:ResourceTag/{key}"), vec![value.clone()]);
    }
    let asked = authz::Asked {
        caller: &call.identified.caller,
        region: &call.identified.region,
        resource: input.role.to_string(),
        resource_account: input.role.account.clone(),
        resource_policies: &[],
        keys,
        request_id: call.request_id,
    };
    let mut further = Vec::new();
    if !wanted.tags.is_empty() {
        further.push("sts:TagSession");
    }
    if wanted.source_identity.is_some() {
        further.push("sts:SetSourceIdentity");
    }
    authz::authorize_role(world, &asked, role, &further, PROTOCOL)
}

fn take(
    world: &World,
    call: &SignedCall<'_>,
    _permit: &Permit<calls::AssumeRole>,
    role: &Role,
    wanted: Wanted<'_>,
    seconds: u32,
) -> Result<Taken, Refusal> {
    if seconds > role.max_session_seconds {
        return Err(super::session_too_long(role, seconds));
    }
    let input = wanted.input;
    let account = role.arn.account_id().unwrap_or(world.settings.default_account);
    let policies = passed_policies(world, account, input.policy, &input.policy_arns)?;
    let is_packed = policies.is_some() || !wanted.tags.is_empty();
    let now = world.clock.now();
    let session = Session {
        access_key_id: key_id(world, &role.arn),
        account: role.arn.account.clone(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: input.session_name.to_owned(),
        issued_at_ms: now.0,
        expires_at_ms: ends(world, now, seconds),
        provider: None,
        federated_keys: Vec::new(),
        tags: wanted.tags,
        transitive_tag_keys: wanted.transitive_tag_keys,
        source_identity: wanted.source_identity,
        policies,
        default_regions_only: call.default_regions_only,
    };
    let (issued, percent) = issue(world, session, 0)?;
    Ok(Taken { issued, packed_policy_size: is_packed.then_some(percent) })
}
