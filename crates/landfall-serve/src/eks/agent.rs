//! The Pod Identity agent: the endpoint on a node that pods get their credentials from. A pod shows the token
//! that EKS has given it, and the agent asks EKS Auth.
//!
//! Status codes and texts are those of eks-pod-identity-agent. It differs in one thing: it may also be called
//! by a loopback address, which is how pods reach it that have no network namespace of their own.
//! <https://github.com/aws/eks-pod-identity-agent>

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use landfall_types::{Claims, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::hash::sha256;
use landfall_wire::jwt;
use serde_json::json;

use super::auth::{self, Granted};
use crate::clock::Clock;
use crate::log::FailedCall;
use crate::store::eks::EksCluster;
use crate::world::World;

/// Where the credentials are.
pub const PATH: &str = "/v1/credentials";
/// The agent's own addresses.
const ADDRESSES: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];
/// Tokens whose credentials are kept.
const KEPT_MAX: usize = 2_000;
/// How long credentials are kept before others are fetched, in seconds.
const KEPT_SECONDS_MAX: i64 = 3 * 3600;
/// The same for those of a target role, which live for an hour.
/// <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html>
const TARGET_KEPT_SECONDS_MAX: i64 = 59 * 60;
/// What is left of credentials that are still given, at least, in seconds.
const LEFT_SECONDS_MIN: i64 = 15;
/// With these EKS Auth takes back what it gave.
const FINAL: [&str; 4] =
    ["ResourceNotFoundException", "ExpiredTokenException", "InvalidTokenException", "AccessDeniedException"];

/// What the agent remembers: credentials by the hash of the token that they were given for. A change of an
/// association is not seen before they are fetched again.
#[derive(Debug, Default)]
pub struct Agent {
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

#[derive(Clone)]
struct Kept {
    granted: Granted,
    fetched: Timestamp,
}

/// It holds credentials.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    fn is_valid(&self, clock: &Clock, now: Timestamp) -> bool {
        self.granted.issued.session.expires_at() > clock.ends_from(now, LEFT_SECONDS_MIN)
    }

    fn is_fresh(&self, clock: &Clock, now: Timestamp) -> bool {
        let seconds_max = match self.granted.association.target_role {
            Some(_) => TARGET_KEPT_SECONDS_MAX,
            None => KEPT_SECONDS_MAX,
        };
        // The end is told in whole seconds: what ends within one is over for whoever reads it.
        let is_read_as_valid = self.granted.issued.session.expires_at() > now.plus_seconds(1);
        self.is_valid(clock, now) && is_read_as_valid && clock.ends_from(self.fetched, seconds_max) > now
    }
}

impl Agent {
    fn get(&self, key: &[u8; 32]) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: [u8; 32], granted: &Granted, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            let oldest = kept.iter().min_by_key(|(_, one)| one.fetched).map(|(key, _)| *key);
            oldest.and_then(|key| kept.remove(&key));
        }
        kept.insert(key, Kept { granted: granted.clone(), fetched: now });
    }

    fn drop(&self, key: &[u8; 32]) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The agent's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Whether the body is JSON; else it is a text.
    pub is_json: bool,
    /// The body.
    pub body: String,
}

impl Answer {
    /// As Go's `http.Error` writes one.
    fn refused(status: u16, message: impl std::fmt::Display) -> Self {
        Self { status, is_json: false, body: format!("{message}\n") }
    }
}

/// Answers a pod: `Host` and `Authorization` as it sent them.
pub fn credentials(
    world: &World,
    request_id: &str,
    host: Option<&str>,
    authorization: Option<&str>,
) -> Answer {
    let now = world.clock.now();
    let token = authorization.unwrap_or_default();
    let checked = check_host(host.unwrap_or_default()).and_then(|()| check_token(token, now));
    let claims = match checked {
        Ok(claims) => claims,
        Err((status, message)) => {
            let failed = FailedCall { request_id, service: "eks-auth", operation: "Pod Identity agent" };
            world.log.add_failure(now, world.log.last(), failed, &status.to_string(), &message);
            return Answer::refused(status, message);
        }
    };
    let key = sha256(token.as_bytes());
    let kept = world.agent.get(&key);
    if let Some(fresh) = kept.as_ref().filter(|kept| kept.is_fresh(&world.clock, now)) {
        return given(&fresh.granted);
    }
    match fetch(world, request_id, &claims, token) {
        Ok(granted) => {
            world.agent.keep(key, &granted, now);
            given(&granted)
        }
        Err(error) if FINAL.contains(&error.code.as_ref()) => {
            world.agent.drop(&key);
            upstream(&error, request_id)
        }
        Err(error) => match kept.filter(|kept| kept.is_valid(&world.clock, now)) {
            Some(kept) => given(&kept.granted),
            None => upstream(&error, request_id),
        },
    }
}

/// A node belongs to one cluster. Here are the nodes of all, and the token says which one's it is.
fn fetch(world: &World, request_id: &str, claims: &Claims, token: &str) -> Result<Granted, AwsError> {
    let issuer = claims.text("iss").unwrap_or_default();
    let all = world.store.list::<EksCluster>("");
    match all.iter().find(|cluster| cluster.issuer == issuer) {
        Some(cluster) => auth::assume(world, request_id, cluster, token),
        None => Err(no_cluster(world, request_id, issuer, &all)),
    }
}

fn no_cluster(world: &World, request_id: &str, issuer: &str, all: &[std::sync::Arc<EksCluster>]) -> AwsError {
    let message = "The token is invalid: its issuer is not the cluster's.";
    let known: Vec<String> =
        all.iter().map(|cluster| format!("{} of {}", cluster.issuer, cluster.name)).collect();
    let told = match known.as_slice() {
        [] => format!("the token's issuer `{issuer}` is no cluster's: there is no cluster here"),
        known => format!("the token's issuer `{issuer}` is no cluster's: there are {}", known.join(", ")),
    };
    let operation = "AssumeRoleForPodIdentity";
    let failed = FailedCall { request_id, service: "eks-auth", operation };
    world.log.add_failure(world.clock.now(), world.log.last(), failed, "InvalidTokenException", &told);
    AwsError::bad_request("InvalidTokenException", message)
}

/// An error of EKS Auth as the agent passes it on (observed).
fn upstream(error: &AwsError, request_id: &str) -> Answer {
    let fault = if error.status < 500 { "client" } else { "server" };
    let message = format!("[{request_id}]: ({}): {}, fault: {fault}", error.code, error.message);
    Answer::refused(error.status, message)
}

fn given(granted: &Granted) -> Answer {
    let session = &granted.issued.session;
    let body = json!({
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": granted.issued.secret_key.expose(),
        "Token": granted.issued.session_token.expose(),
        "AccountId": session.account,
        "Expiration": session.expires_at().to_string(),
    });
    Answer { status: 200, is_json: true, body: body.to_string() }
}

/// The `Host` that a pod says: other names would open the agent to DNS rebinding.
fn check_host(host: &str) -> Result<(), (u16, String)> {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') => name,
        Some((name, _)) if name.ends_with(']') => name,
        _ => host,
    };
    let name = without_port.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(without_port);
    let is_loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_loopback || ADDRESSES.contains(&name) {
        return Ok(());
    }
    let message = format!(
        "Access Denied. Called agent through invalid address, please use either [{}] address not {name}",
        ADDRESSES.join(" ")
    );
    Err((403, message))
}

/// What the agent looks at itself, in the words of the library that it reads tokens with.
fn check_token(token: &str, now: Timestamp) -> Result<Claims, (u16, String)> {
    if token.is_empty() {
        return Err((400, "Service account token cannot be empty".to_owned()));
    }
    let claims = read(token)
        .map_err(|why| (400, format!("Service account token cannot be parsed: token is malformed: {why}")))?;
    let failed = |why: &str| {
        (
            400,
            format!("Service account token failed basic claim validations: token has invalid claims: {why}"),
        )
    };
    let time = |name: &str| match claims.get(name) {
        Some(landfall_types::ClaimValue::Number(number)) => number.parse::<f64>().ok(),
        _ => None,
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let now = now.seconds() as f64;
    if time("exp").is_some_and(|ends| ends <= now) {
        return Err(failed("token is expired"));
    }
    if time("nbf").is_some_and(|begins| begins > now) {
        return Err(failed("token is not valid yet"));
    }
    Ok(claims)
}

fn read(token: &str) -> Result<Claims, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _] = parts.as_slice() else {
        return Err("token contains an invalid number of segments".to_owned());
    };
    for (part, name) in [(header, "header"), (claims, "claim")] {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if let Some(at) = part.bytes().position(|byte| !is_letter(byte)) {
            return Err(format!("could not base64 decode {name}: illegal base64 data at input byte {at}"));
        }
    }
    jwt::parse(token)
        .map(|token| token.claims)
        .map_err(|error| format!("could not JSON decode claim: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_host_is_the_agents_or_loopback() {
        for good in
            ["169.254.170.23", "169.254.170.23:80", "[fd00:ec2::23]", "[fd00:ec2::23]:80", "fd00:ec2::23"]
        {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for ours in ["127.0.0.1:4566", "localhost:4566", "[::1]:4566"] {
            assert_eq!(check_host(ours), Ok(()), "{ours}");
        }
        for bad in ["example.com", "169.254.169.254", "10.0.0.1:80", ""] {
            let (status, message) = check_host(bad).unwrap_err();
            assert_eq!(status, 403, "{bad}");
            let name = bad.split(':').next().unwrap();
            assert_eq!(
                message,
                format!(
                    "Access Denied. Called agent through invalid address, please use either \
                     [169.254.170.23 fd00:ec2::23] address not {name}"
                )
            );
        }
    }

    #[test]
    fn a_token_is_looked_at_before_eks_is_asked() {
        let now = Timestamp(1_790_856_000_000);
        let token = |claims: serde_json::Value| {
            use base64::Engine as _;
            let part = |json: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
            format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#.to_owned()), part(claims.to_string()))
        };
        let said = |token: &str| check_token(token, now).map(|_| ()).map_err(|(_, message)| message);
        let parsed = "Service account token cannot be parsed: token is malformed: ";
        let claims = "Service account token failed basic claim validations: token has invalid claims: ";
        let good = token(json!({ "exp": now.seconds() + 1 }));
        assert_eq!(said(&good), Ok(()));
        for (token, wanted) in [
            (String::new(), "Service account token cannot be empty".to_owned()),
            ("abc".to_owned(), format!("{parsed}token contains an invalid number of segments")),
            (
                format!("Bearer {good}"),
                format!("{parsed}could not base64 decode header: illegal base64 data at input byte 6"),
            ),
            (token(json!({ "exp": now.seconds() })), format!("{claims}token is expired")),
            (
                token(json!({ "exp": now.seconds() + 9, "nbf": now.seconds() + 5 })),
                format!("{claims}token is not valid yet"),
            ),
        ] {
            assert_eq!(said(&token), Err(wanted), "{token}");
        }
    }
}
