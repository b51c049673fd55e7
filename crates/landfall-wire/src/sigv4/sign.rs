//! Makes the `Authorization` header of a request that we send.

use landfall_types::{Secret, Timestamp};

use super::canonical::{PathRule, canonical_request, signature, string_to_sign};
use super::{ALGORITHM, Scope, SignedRequest};

/// A key to sign with.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// Which key.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret: &'a Secret<String>,
}

/// The value of the `Authorization` header. The request already carries every other header, `host` and
/// `x-amz-date` (of the same `now`) among them, and `x-amz-security-token` for a temporary key. Headers
/// that proxies and connections change are left out, as the SDKs do.
pub fn sign(
    request: &SignedRequest<'_>,
    credentials: Credentials<'_>,
    scope: &Scope,
    now: Timestamp,
) -> String {
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    names.retain(|name| !NEVER_SIGNED.contains(name));
    names.sort_unstable();
    names.dedup();
    let canonical = canonical_request(request, &names, PathRule::of(&scope.service))
        .expect("INVARIANT: every name was taken from the request's own headers");
    let to_sign = string_to_sign(&canonical, scope, &now.basic());
    let signature = crate::hash::hex(&signature(credentials.secret, scope, &to_sign));
    format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        names.join(";")
    )
}

const NEVER_SIGNED: [&str; 13] = [
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];
