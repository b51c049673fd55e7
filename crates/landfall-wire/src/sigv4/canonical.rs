//! The canonical request and the key chain: the parts that signer and verifier must agree on to the byte.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use landfall_types::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use zeroize::Zeroizing;

use super::{ALGORITHM, Scope, SignedRequest, TERMINATOR};
use crate::hash::{hmac_sha256, sha256};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
const PATH_ONCE: &AsciiSet = &PATH.remove(b'%');

/// How a service treats the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PathRule {
    /// Dot segments and repeated slashes go, and what was encoded on the wire is encoded again.
    Normalized,
    /// Nothing is removed and nothing is encoded twice: S3 and its relatives.
    Verbatim,
}

impl PathRule {
    pub(super) fn of(service: &str) -> Self {
        match service {
            "s3" | "s3-object-lambda" | "s3-outposts" | "s3express" => Self::Verbatim,
            _ => Self::Normalized,
        }
    }
}

/// The canonical request. None when a signed header isn't in the request: no signature can be right then.
pub(super) fn canonical_request(
    request: &SignedRequest<'_>,
    signed_headers: &[&str],
    rule: PathRule,
) -> Option<String> {
    let mut out = String::with_capacity(CANONICAL_BYTES_TYPICAL);
    out.push_str(request.method);
    out.push('\n');
    push_path(&mut out, request.path, rule);
    out.push('\n');
    push_query(&mut out, request.query);
    out.push('\n');
    for name in signed_headers {
        push_header(&mut out, request, name)?;
    }
    out.push('\n');
    for (index, name) in signed_headers.iter().enumerate() {
        if index > 0 {
            out.push(';');
        }
        out.push_str(name);
    }
    out.push('\n');
    out.push_str(request.body_sha256);
    Some(out)
}

fn push_path(out: &mut String, path: &str, rule: PathRule) {
    match rule {
        PathRule::Verbatim if path.is_empty() => out.push('/'),
        PathRule::Verbatim => out.extend(percent_encode(path.as_bytes(), PATH_ONCE)),
        PathRule::Normalized if path.is_empty() || path == "/" => out.push('/'),
        PathRule::Normalized => {
            let mut segments: Vec<&str> = Vec::new();
            for segment in path.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    _ => segments.push(segment),
                }
            }
            for segment in &segments {
                out.push('/');
                out.extend(percent_encode(segment.as_bytes(), PATH));
            }
            if segments.is_empty() || path.ends_with('/') {
                out.push('/');
            }
        }
    }
}

fn push_query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (reencoded(name), reencoded(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// One spelling for every way in which a client may have encoded a name or value. A plus sign is itself.
fn reencoded(text: &str) -> String {
    let decoded: std::borrow::Cow<'_, [u8]> = percent_decode_str(text).into();
    percent_encode(&decoded, UNRESERVED).collect()
}

fn push_header(out: &mut String, request: &SignedRequest<'_>, name: &str) -> Option<()> {
    out.push_str(name);
    out.push(':');
    let mut found = false;
    for (_, value) in request.headers.iter().filter(|(known, _)| *known == name) {
        if found {
            out.push(',');
        }
        found = true;
        for (index, word) in value.split_ascii_whitespace().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    out.push('\n');
    found.then_some(())
}

pub(super) fn string_to_sign(canonical_request: &str, scope: &Scope, basic_time: &str) -> String {
    let mut out = String::with_capacity(STRING_TO_SIGN_BYTES_TYPICAL);
    for part in [ALGORITHM, "\n", basic_time, "\n", &scope.date, "/", &scope.region, "/", &scope.service] {
        out.push_str(part);
    }
    out.push('/');
    out.push_str(TERMINATOR);
    out.push('\n');
    landfall_types::image::push_hex(&mut out, &sha256(canonical_request.as_bytes()));
    out
}

/// The signature itself, 32 bytes.
pub(super) fn signature(secret: &Secret<String>, scope: &Scope, string_to_sign: &str) -> [u8; 32] {
    let secret = secret.expose().as_bytes();
    let mut seed = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    seed.extend_from_slice(b"AWS4");
    seed.extend_from_slice(secret);
    let date = Zeroizing::new(hmac_sha256(&seed, scope.date.as_bytes()));
    let region = Zeroizing::new(hmac_sha256(date.as_slice(), scope.region.as_bytes()));
    let service = Zeroizing::new(hmac_sha256(region.as_slice(), scope.service.as_bytes()));
    let key = Zeroizing::new(hmac_sha256(service.as_slice(), TERMINATOR.as_bytes()));
    hmac_sha256(key.as_slice(), string_to_sign.as_bytes())
}

/// A session token is some hundred bytes, the rest of a request less; one allocation does.
const CANONICAL_BYTES_TYPICAL: usize = 2048;
const STRING_TO_SIGN_BYTES_TYPICAL: usize = 192;
