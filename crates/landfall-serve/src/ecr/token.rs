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
use crate::connection::Connection;
use crate::store::RegistryId;
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
    let permit = call.authorize("*".to_owned(), own.as_str(), &[], Vec::new())?;
    get_authorization_token(
        call.world,
        permit,
        &call.identified.region,
        &accounts,
        &call.identified.connection,
    )
}

/// `GetAuthorizationToken`: a login for the region's registries, once for each account.
///
/// The endpoint is this server's own address, or that of the registry where they are kept apart, so that a client
/// pushes here over plain HTTP. A client that calls ECR by its name, because its names lead here, is told ECR's own
/// names: AWS's credential helper takes no other.
///
/// # Errors
/// When the cryptographic library fails, or there is no address for a registry.
pub fn get_authorization_token(
    world: &World,
    permit: Permit<calls::GetAuthorizationToken>,
    region: &str,
    accounts: &[AccountId],
    connection: &Connection,
) -> Result<Value, AwsError> {
    let called = connection.called.as_deref();
    let door = world.doors.called(called);
    let own = connection.base.unwrap_or_else(|| world.base_url());
    let entries = accounts.iter().map(|account| {
        let (token, expires_at) = login(world, permit.caller(), *account, (region, door))?;
        let endpoint = match named(called, region, *account) {
            Some(name) => name,
            None if connection.base.is_some() => own.to_owned(),
            None => at_home(world, region, *account)?.unwrap_or_else(|| own.to_owned()),
        };
        Ok(json!({
            "authorizationToken": token,
            "expiresAt": epoch(expires_at),
            "proxyEndpoint": endpoint,
        }))
    });
    Ok(json!({ "authorizationData": entries.collect::<Result<Vec<_>, AwsError>>()? }))
}

/// The address of a registry, where each has its own.
fn at_home(world: &World, region: &str, account: AccountId) -> Result<Option<String>, AwsError> {
    let address = world.registries.address(&RegistryId { account, region: region.to_owned() });
    let address = address.map_err(|why| AwsError::new("ServerException", 500, why))?;
    Ok(address.map(|address| format!("http://{address}")))
}

/// A login as it is handed out, and when it ends.
pub(super) fn login(
    world: &World,
    caller: &Caller,
    account: AccountId,
    (region, door): (&str, Option<usize>),
) -> Result<(String, Timestamp), AwsError> {
    let expires_at = world.clock.ends_after(REGISTRY_LOGIN_SECONDS);
    let (session, user, federated, account) = match caller {
        Caller::Session(session) => (Some(session.as_ref().clone()), None, None, account),
        Caller::User(user) => (None, Some(user.as_ref().clone()), None, account),
        Caller::Federated(user) => (None, None, Some(user.as_ref().clone()), account),
        // A root login stands for its account: it can't be lent another one.
        Caller::Root { account } => (None, None, None, *account),
        Caller::Anonymous => return Err(internal(Protocol::Json11)),
    };
    let login = RegistryLogin {
        session,
        user,
        federated,
        account: account.to_string(),
        region: region.to_owned(),
        door,
        expires_at_ms: expires_at.0,
    };
    let plain = serde_json::to_vec(&login).map_err(|_| internal(Protocol::Json11))?;
    let password =
        world.vault.seal(Purpose::RegistryLogin, &plain).map_err(|_| internal(Protocol::Json11))?;
    Ok((STANDARD.encode(format!("AWS:{password}")), expires_at))
}

/// The registry's own name for who calls the region's API by its name, with the same port.
fn named(called: Option<&str>, region: &str, account: AccountId) -> Option<String> {
    let called = called?;
    let (host, port) = match called.split_once(':') {
        Some((host, port)) => (host, format!(":{port}")),
        None => (called, String::new()),
    };
    let domain = host.strip_prefix("api.ecr.")?.strip_prefix(region)?.strip_prefix('.')?;
    matches!(domain, "amazonaws.com" | "amazonaws.com.cn")
        .then(|| format!("https://{account}.dkr.ecr.{region}.{domain}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::account;

    #[test]
    fn who_calls_ecr_by_its_name_is_told_the_registrys_name() {
        let name = "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com";
        for (called, expected) in [
            ("api.ecr.eu-west-1.amazonaws.com", Some(name.to_owned())),
            ("api.ecr.eu-west-1.amazonaws.com:4566", Some(format!("{name}:4566"))),
            ("127.0.0.1:4566", None),
            ("localhost", None),
            ("api.ecr.us-east-1.amazonaws.com", None),
            ("api.ecr.eu-west-1.example.com", None),
            ("api.ecr.eu-west-1amazonaws.com", None),
        ] {
            assert_eq!(named(Some(called), "eu-west-1", account()), expected, "{called}");
        }
        assert_eq!(named(None, "eu-west-1", account()), None);
    }
}
