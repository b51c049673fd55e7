//! Sessions of users: `GetSessionToken` for a user itself, `GetFederationToken` for someone whom a user
//! vouches for. An account's root user may do the same, for an hour at most.

use landfall_types::Finding;
use landfall_wire::error::AwsError;
use landfall_wire::query::Params;
use landfall_wire::sts::{self as rules, Mfa, SHORT_SESSION_SECONDS_MAX, USER_SECONDS_DEFAULT};

use super::session::{Issued, ends, issue, key_id, passed_policies};
use super::{Refusal, SignedCall, because, refuse};
use crate::authz::{Permit, calls};
use crate::caller::{Caller, CallingUser, FederatedUser, UserSession};
use crate::world::World;

/// What a federated user is given.
#[derive(Clone, Debug)]
pub struct Federated {
    /// The session, and what to sign with.
    pub issued: Issued<FederatedUser>,
    /// Percent of the space that policies and tags may take; none when there are neither.
    pub packed_policy_size: Option<u32>,
}

/// `GetSessionToken`: needs no permission, only long-term keys.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>
///
/// # Errors
/// AWS's code, message and status for the first check that fails.
pub fn get_session_token(
    world: &World,
    permit: &Permit<calls::GetSessionToken>,
    call: &SignedCall<'_>,
    params: &Params,
) -> Result<Issued<UserSession>, AwsError> {
    const OPERATION: &str = "GetSessionToken";
    let refused = |refusal| refuse(world, call, OPERATION, None, refusal);
    let user = long_term(permit.caller(), call, OPERATION).map_err(refused)?;
    let input = rules::check_session_token(params)?;
    if let Some(mfa) = input.mfa {
        return Err(refused(no_mfa_device(mfa)));
    }
    let now = world.clock.now();
    let session = UserSession {
        access_key_id: key_id(world, &user.account),
        account: user.account.account.clone(),
        user: user.user.cloned(),
        issued_at_ms: now.0,
        expires_at_ms: ends(world, now, user.seconds(input.duration_seconds)),
        default_regions_only: call.default_regions_only,
    };
    issue(world, session, 0).map(|(issued, _)| issued).map_err(refused)
}

/// `GetFederationToken`: the session may do what both the user and the policies that are passed allow;
/// without any policy, nothing.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>
///
/// # Errors
/// AWS's code, message and status for the first check that fails.
pub fn get_federation_token(
    world: &World,
    permit: &Permit<calls::GetFederationToken>,
    call: &SignedCall<'_>,
    params: &Params,
) -> Result<Federated, AwsError> {
    const OPERATION: &str = "GetFederationToken";
    let resource = Some(permit.resource().to_owned());
    let refused = |refusal| refuse(world, call, OPERATION, resource.clone(), refusal);
    let user = long_term(permit.caller(), call, OPERATION).map_err(refused)?;
    let input = rules::check_federation_token(params)?;
    let account = user.account.account_id().unwrap_or(world.settings.default_account);
    let policies = passed_policies(world, account, input.policy, &input.policy_arns).map_err(refused)?;
    let now = world.clock.now();
    let is_packed = policies.is_some() || !input.tags.is_empty();
    let tags = input.tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let session = FederatedUser {
        access_key_id: key_id(world, &user.account),
        account: user.account.account.clone(),
        name: input.name.to_owned(),
        user: user.user.cloned(),
        issued_at_ms: now.0,
        expires_at_ms: ends(world, now, user.seconds(input.duration_seconds)),
        tags,
        policies: policies.unwrap_or_default(),
        default_regions_only: call.default_regions_only,
    };
    let (issued, percent) = issue(world, session, 0).map_err(refused)?;
    Ok(Federated { issued, packed_policy_size: is_packed.then_some(percent) })
}

/// What sessions of users may not call, whatever policies say.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getsessiontoken.html>,
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getfederationtoken.html>
///
/// # Errors
/// `AccessDenied`.
pub fn check_session(world: &World, call: &SignedCall<'_>, operation: &str) -> Result<(), AwsError> {
    let caller = &call.identified.caller;
    let may = match (caller, operation) {
        // Permission is asked for first (observed), and these refuse sessions themselves.
        (_, "GetCallerIdentity" | "GetFederationToken" | "GetSessionToken") => true,
        (Caller::Federated(_), _) => false,
        (Caller::User(_) | Caller::Root { .. }, "AssumeRole" | "GetWebIdentityToken") => true,
        (Caller::User(_) | Caller::Root { .. }, _) => !call.is_temporary,
        (Caller::Session(_) | Caller::Anonymous, _) => true,
    };
    if may {
        return Ok(());
    }
    let finding = Finding::error(
        "session-credentials",
        format!("{operation} can't be called with the session of a user or a federated user"),
    )
    .note(format!("the call is signed with the session of `{}`", caller.arn()))
    .help(format!("call {operation} with the user's own key"));
    Err(refuse(world, call, operation, None, because(rules::session_credentials(operation), finding)))
}

/// A caller with long-term keys.
struct LongTerm<'c> {
    account: landfall_types::Arn,
    /// None for the account's root user.
    user: Option<&'c CallingUser>,
}

impl LongTerm<'_> {
    /// A root user asks for more than an hour in vain: it gets the hour.
    fn seconds(&self, asked: Option<u32>) -> u32 {
        let seconds = asked.unwrap_or(USER_SECONDS_DEFAULT);
        if self.user.is_none() { seconds.min(SHORT_SESSION_SECONDS_MAX) } else { seconds }
    }
}

fn long_term<'c>(
    caller: &'c Caller,
    call: &SignedCall<'_>,
    operation: &str,
) -> Result<LongTerm<'c>, Refusal> {
    match caller {
        _ if call.is_temporary => Err(not_with_a_session(caller, operation)),
        Caller::Root { account } => Ok(LongTerm { account: landfall_types::Arn::root(*account), user: None }),
        Caller::User(user) => Ok(LongTerm { account: user.arn(), user: Some(user) }),
        Caller::Anonymous | Caller::Session(_) | Caller::Federated(_) => {
            Err(not_with_a_session(caller, operation))
        }
    }
}

/// Refuses a session what only long-term keys may do.
fn not_with_a_session(caller: &Caller, operation: &str) -> Refusal {
    let finding =
        Finding::error("session-credentials", format!("{operation} takes the key of a user, not a session"))
            .note(format!("the call is signed with the session of `{}`", caller.arn()))
            .help("use the session as it is, or take a further role with AssumeRole");
    because(rules::session_credentials(operation), finding)
}

pub(super) fn no_mfa_device(mfa: Mfa<'_>) -> Refusal {
    let finding = Finding::error("no-mfa-device", format!("there is no MFA device `{}`", mfa.serial_number))
        .help("MFA devices are not served here: leave SerialNumber and TokenCode out, and aws:MultiFactorAuthPresent stays false");
    because(rules::no_mfa_device(), finding)
}
