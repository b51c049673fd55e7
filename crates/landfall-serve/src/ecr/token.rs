//! `GetAuthorizationToken`: the login for the registry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_types::{AccountId, Timestamp};
use landfall_wire::error::{AwsError, Protocol, internal};
use serde_json::{Value, json};

use super::{Answer, EcrCall, account_id, epoch};
use crate::authn::RegistryLogin;
use crate::authz::{Permit, calls};
use crate::caller::Caller;
use crate::vault::Purpose;
use crate::world::World;

/// How long a registry login lasts, in seconds.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html#registry-auth-token>
pub const REGISTRY_LOGIN_SECONDS: i64 = 43_200;

pub(super) fn get(call: &EcrCall<'_>) -> Answer {
    let own = call.account()?;
    let ids = call.input.get("registryIds").and_then(Value::as_array);
    let accounts: Vec<AccountId> = ids
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|id| account_id(id, "registryIds"))
        .collect::<Result<_, _>>()?;
    let accounts = if accounts.is_empty() { vec![own] } else { accounts };
    // No resource policy can give it: a login isn't for one repository.
    let permit = call.authorize("*".to_owned(), own.as_str(), None, Vec::new())?;
    get_authorization_token(call.world, permit, &call.identified.region, &accounts)
}

/// `GetAuthorizationToken`: a login for the region's registries, once for each account.
///
/// The endpoint is this server's own address, so that a client pushes here over plain HTTP.
///
/// # Errors
/// When the cryptographic library fails.
pub fn get_authorization_token(
    world: &World,
    permit: Permit<calls::GetAuthorizationToken>,
    region: &str,
    accounts: &[AccountId],
) -> Result<Value, AwsError> {
    let entries = accounts.iter().map(|account| {
        let (token, expires_at) = login(world, permit.caller(), *account, region)?;
        Ok(json!({
            "authorizationToken": token,
            "expiresAt": epoch(expires_at),
            "proxyEndpoint": world.base_url(),
        }))
    });
    Ok(json!({ "authorizationData": entries.collect::<Result<Vec<_>, AwsError>>()? }))
}

/// A login as it is handed out, and when it ends.
pub(super) fn login(
    world: &World,
    caller: &Caller,
    account: AccountId,
    region: &str,
) -> Result<(String, Timestamp), AwsError> {
    let expires_at = world.clock.now().plus_seconds(REGISTRY_LOGIN_SECONDS);
    let (session, account) = match caller {
        Caller::Session(session) => (Some(session.as_ref().clone()), account),
        // A root login stands for its account: it can't be lent another one.
        Caller::Root { account } => (None, *account),
        Caller::Anonymous => return Err(internal(Protocol::Json11)),
    };
    let login = RegistryLogin {
        session,
        account: account.to_string(),
        region: region.to_owned(),
        expires_at_ms: expires_at.0,
    };
    let plain = serde_json::to_vec(&login).map_err(|_| internal(Protocol::Json11))?;
    let password =
        world.vault.seal(Purpose::RegistryLogin, &plain).map_err(|_| internal(Protocol::Json11))?;
    Ok((STANDARD.encode(format!("AWS:{password}")), expires_at))
}
