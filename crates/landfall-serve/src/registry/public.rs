//! ECR Public's registry, `public.ecr.aws`: names begin with the alias of a registry, everybody may read, and
//! clients bring a token that `/token/` gives them, to anybody or for a login.
//!
//! Challenge, statuses and sentences were observed on ECR Public.
//! <https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html>

use axum::body::Body;
use http::{Method, Response, StatusCode, header};
use landfall_types::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access::{Refused, ended, invalid, told};
use super::answer::{Answer, Refusal, set};
use super::route::Route;
use super::{From, Incoming};
use crate::authn::{self, RegistryAuthn, RegistryLogin};
use crate::caller::Caller;
use crate::ecr::{PUBLIC_REGION, public_alias};
use crate::store::RegistryId;
use crate::vault::Purpose;
use crate::world::World;

/// Where tokens are given, with or without the last slash.
pub(crate) const TOKEN_PATH: &str = "/token/";
/// What a registry's alias may look like (observed in ECR Public's own answer).
const ALIAS_PATTERN: &str = "[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*";

/// Marks a request that came in by the address of ECR Public's registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtPublicAddress;

/// Whether a `Host` is ECR Public's, with or without a port.
pub(crate) fn is_public_host(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case(PUBLIC_REGION)
}

/// What a client brings instead of a login.
#[derive(Serialize, Deserialize)]
struct Token {
    /// The login that it was given for; none for anybody's.
    login: Option<RegistryLogin>,
    /// When it ends, milliseconds since 1970.
    expires_at_ms: i64,
}

/// Opens the token of a call. Anybody's stands for nobody.
pub(super) fn enter(from: &From<'_>, host: &str, authorization: Option<&str>) -> Result<Caller, Refusal> {
    let Some(authorization) = authorization else { return Err(challenge(host)) };
    let token = bearer(from.world, authorization).ok_or_else(|| refuse(from, invalid()))?;
    let Some(login) = token.login else {
        let now = from.world.clock.now();
        if token.expires_at_ms <= now.0 {
            return Err(refuse(from, invalid()));
        }
        return Ok(Caller::Anonymous);
    };
    // A token that has ended is told as one that can't be read: 400 and no challenge (observed).
    caller(from, &login, StatusCode::BAD_REQUEST)
}

fn refuse(from: &From<'_>, refused: Refused) -> Refusal {
    told(from, "ecr-public", refused)
}

fn challenge(host: &str) -> Refusal {
    let host: String = host.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
    let challenge =
        format!("Bearer realm=\"http://{host}{TOKEN_PATH}\",service=\"{PUBLIC_REGION}\",scope=\"aws\"");
    Refusal::with_status(StatusCode::UNAUTHORIZED, "DENIED", NOT_AUTHORIZED)
        .header(header::WWW_AUTHENTICATE, challenge)
        .unnoted()
}

/// What whoever brings nothing is told, and whoever has anybody's token and wants to write.
pub(super) const NOT_AUTHORIZED: &str = "Not Authorized";

/// `Bearer`, with a token of `/token/` or with the API's own authorization token as it is (observed).
fn bearer(world: &World, authorization: &str) -> Option<Token> {
    let (scheme, text) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    if let Some(plain) = world.vault.open(Purpose::PublicToken, text.trim()) {
        return serde_json::from_slice(&plain).ok();
    }
    match authn::registry_login(world, Some(&format!("Basic {text}"))) {
        RegistryAuthn::Login(login) => {
            Some(Token { expires_at_ms: login.expires_at_ms, login: Some(*login) })
        }
        RegistryAuthn::NotRequested | RegistryAuthn::Invalid => None,
    }
}

/// The caller behind a login for ECR Public; `ended_status` is what a login is told that has ended.
fn caller(from: &From<'_>, login: &RegistryLogin, ended_status: StatusCode) -> Result<Caller, Refusal> {
    if let Some(door) = login.door {
        from.world.doors.note(door, from.request_id);
    }
    if login.has_ended(from.world.clock.now()) {
        return Err(refuse(from, Refused { status: ended_status, ..ended(from.world, login) }));
    }
    if login.region != PUBLIC_REGION {
        let caller = login.caller().arn();
        let help =
            "log in with the password that `aws ecr-public get-login-password --region us-east-1` gives";
        let finding = landfall_types::Finding::error(
            "registry-login-other-region",
            format!("the login is for the private registries of {}, not for ECR Public", login.region),
        );
        return Err(refuse(from, Refused { caller, finding: finding.help(help), ..invalid() }));
    }
    Ok(login.caller())
}

/// `GET /token/`: a token for whoever logs in, and one for anybody who doesn't.
pub(super) fn token(from: &From<'_>, method: &Method, incoming: &Incoming) -> Answer {
    if method != Method::GET {
        return Err(Refusal::unsupported());
    }
    let now = from.world.clock.now();
    let token = match authn::registry_login(from.world, incoming.header(header::AUTHORIZATION)) {
        RegistryAuthn::NotRequested => {
            let ends = now.plus_seconds(crate::ecr::REGISTRY_LOGIN_SECONDS);
            Token { login: None, expires_at_ms: ends.0 }
        }
        RegistryAuthn::Login(login) => {
            caller(from, &login, StatusCode::FORBIDDEN)?;
            Token { expires_at_ms: login.expires_at_ms, login: Some(*login) }
        }
        RegistryAuthn::Invalid => return Err(refuse(from, invalid())),
    };
    let sealed = serde_json::to_vec(&token)
        .map_err(|error| error.to_string())
        .and_then(|plain| from.world.vault.seal(Purpose::PublicToken, &plain));
    let sealed = sealed.map_err(|what| Refusal::internal(&what))?;
    let mut response = Response::new(Body::from(json!({ "token": sealed }).to_string()));
    set(&mut response, header::CONTENT_TYPE, "application/json; charset=utf-8");
    Ok(response)
}

/// The registry that a path names by its alias, and the rest of the path.
pub(super) fn locate(
    world: &World,
    caller: &Caller,
    route: Route,
) -> Result<(Option<(RegistryId, String)>, Route), Refusal> {
    let Route::In { name, place } = route else { return Ok((None, route)) };
    let (alias, name) = name.split_once('/').unwrap_or((name.as_str(), ""));
    if !is_alias(alias) {
        return Err(Refusal::new(
            "UNSUPPORTED",
            format!(
                "Invalid parameter at 'registryAliasName' failed to satisfy constraint: 'Member must satisfy regular expression pattern: {ALIAS_PATTERN}'"
            ),
        ));
    }
    let account = account_of(world, caller, alias)
        .ok_or_else(|| Refusal::new("NAME_UNKNOWN", no_repository(alias, name)))?;
    let registry = RegistryId { account, region: PUBLIC_REGION.to_owned() };
    Ok((Some((registry, alias.to_owned())), Route::In { name: name.to_owned(), place }))
}

/// What ECR Public says of a repository that isn't there (observed).
pub(super) fn no_repository(alias: &str, name: &str) -> String {
    format!("The repository with name '{name}' does not exist in the registry with id '{alias}'")
}

fn account_of(world: &World, caller: &Caller, alias: &str) -> Option<AccountId> {
    let known = world.store.registries().into_iter().filter(|registry| registry.region == PUBLIC_REGION);
    let mut accounts = known.map(|registry| registry.account).chain(caller.account());
    accounts.find(|account| public_alias(*account) == alias)
}

/// [`ALIAS_PATTERN`].
fn is_alias(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let first = text.split(['.', '_', '-']).next().unwrap_or_default();
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && first.len() > 1
        && text.split(['.', '_', '-']).all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_looks_as_ecr_public_says() {
        for alias in ["r1234567", "acme", "ab", "acme-corp", "a1.b_c"] {
            assert!(is_alias(alias), "{alias}");
        }
        for other in ["", "a", "1abc", "Acme", "123456789012", "acme-", "acme--corp", "-acme", "acme/corp"] {
            assert!(!is_alias(other), "{other}");
        }
    }

    #[test]
    fn its_host_is_known_with_and_without_a_port() {
        for (host, is_public) in [
            ("public.ecr.aws", true),
            ("Public.ECR.aws:4566", true),
            ("public.ecr.aws.example.com", false),
            ("127.0.0.1:4566", false),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", false),
        ] {
            assert_eq!(is_public_host(host), is_public, "{host}");
        }
    }
}
