//! Reads the credentials of a request, from the `Authorization` header or from a presigned URL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use landfall_types::{Secret, Timestamp};
use percent_encoding::percent_decode_str;

use super::{ALGORITHM, PRESIGNED_SECONDS_MAX, Presented, Scope, SigV4Error, SignedRequest, TERMINATOR};
use crate::hash::sha256;

/// More signed headers than this are not read.
const SIGNED_HEADERS_MAX: usize = 100;

/// Reads the credentials of a request. `Ok(None)` when it has none at all.
///
/// # Errors
/// When credentials are there but can't be read, with AWS's text (observed on IAM and STS).
pub fn present(request: &SignedRequest<'_>) -> Result<Option<Presented>, SigV4Error> {
    let presigned = has_parameter(request.query, "X-Amz-Signature")
        || has_parameter(request.query, "X-Amz-Credential")
        || has_parameter(request.query, "X-Amz-Algorithm");
    match request.header("authorization") {
        None if !presigned => Ok(None),
        None => from_query(request).map(Some),
        Some(_) if presigned => Err(SigV4Error::Incomplete(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization \
             header should be specified"
                .to_owned(),
        )),
        Some(header) => from_header(request, header).map(Some),
    }
}

fn from_header(request: &SignedRequest<'_>, header: &str) -> Result<Presented, SigV4Error> {
    let header = header.trim();
    let (algorithm, rest) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
    if algorithm.starts_with("AWS4-") && algorithm != ALGORITHM {
        return Err(SigV4Error::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| missing_equal_sign(part))?;
        match name {
            "Credential" => credential = credential.or(Some(value)),
            "SignedHeaders" => signed_headers = signed_headers.or(Some(value)),
            "Signature" => signature = signature.or(Some(value)),
            _ => {}
        }
    }
    let date = request.header("x-amz-date").or_else(|| request.header("date"));
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (credential, signed_headers, signature, date)
    else {
        let found = [credential, signature, signed_headers];
        return Err(missing_parameters(found, date, header));
    };
    let (access_key_id, scope) = credential_parts(credential)?;
    Ok(Presented {
        access_key_id,
        scope,
        signed_headers: header_names(signed_headers)?,
        signature: Secret::new(signature.to_owned()),
        session_token: session_token(request),
        timestamp: timestamp(date)?,
        presigned_expires: None,
    })
}

fn from_query(request: &SignedRequest<'_>) -> Result<Presented, SigV4Error> {
    let required = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
        "X-Amz-Date",
        "X-Amz-Expires",
    ];
    let [algorithm, credential, signature, signed_headers, date, expires] =
        required.map(|name| parameter(request.query, name));
    let (Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date), Some(expires)) =
        (algorithm, credential, signature, signed_headers, date, expires)
    else {
        return Err(missing_query_parameters(request.query, &required));
    };
    if algorithm != ALGORITHM {
        return Err(SigV4Error::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
    }
    let (access_key_id, scope) = credential_parts(&credential)?;
    Ok(Presented {
        access_key_id,
        scope,
        signed_headers: header_names(&signed_headers)?,
        signature: Secret::new(signature),
        session_token: session_token(request),
        timestamp: timestamp(&date)?,
        presigned_expires: Some(lifetime(&expires)?),
    })
}

fn session_token(request: &SignedRequest<'_>) -> Option<Secret<String>> {
    const NAME: &str = "x-amz-security-token";
    request
        .header(NAME)
        .map(|token| token.trim().to_owned())
        .or_else(|| parameter(request.query, "X-Amz-Security-Token"))
        .filter(|token| !token.is_empty())
        .map(Secret::new)
}

fn credential_parts(credential: &str) -> Result<(String, Scope), SigV4Error> {
    let parts: Vec<&str> = credential.split('/').collect();
    let [key, date, region, service, terminator] = parts.as_slice() else {
        return Err(SigV4Error::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, \
             got '{credential}'"
        )));
    };
    if *terminator != TERMINATOR {
        return Err(SigV4Error::WrongScope(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."
        )));
    }
    let scope =
        Scope { date: (*date).to_owned(), region: (*region).to_owned(), service: (*service).to_owned() };
    Ok(((*key).to_owned(), scope))
}

fn header_names(text: &str) -> Result<Vec<String>, SigV4Error> {
    let names: Vec<String> = text.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
    if names.len() > SIGNED_HEADERS_MAX {
        return Err(SigV4Error::Incomplete(format!(
            "SignedHeaders names {} headers, at most {SIGNED_HEADERS_MAX} are read",
            names.len()
        )));
    }
    if names.iter().any(|name| name == "host" || name == ":authority") {
        Ok(names)
    } else {
        Err(SigV4Error::HostNotSigned)
    }
}

fn timestamp(date: &str) -> Result<Timestamp, SigV4Error> {
    Timestamp::parse_basic(date.trim()).or_else(|| http_date(date)).ok_or_else(|| {
        SigV4Error::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day = number(parts.next()?)?;
    let month = parts.next()?;
    let month = i64::try_from(MONTHS.iter().position(|known| *known == month)?).ok()? + 1;
    let year = number(parts.next()?)?;
    let mut clock = parts.next()?.split(':');
    let (hour, minute, second) = (number(clock.next()?)?, number(clock.next()?)?, number(clock.next()?)?);
    let rest = (clock.next(), parts.next(), parts.next());
    if rest != (None, Some("GMT"), None) {
        return None;
    }
    Timestamp::from_civil(year, month, day, hour, minute, second)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn lifetime(text: &str) -> Result<u32, SigV4Error> {
    let seconds: Option<u32> = text.parse().ok();
    seconds.filter(|seconds| (1..=PRESIGNED_SECONDS_MAX).contains(seconds)).ok_or_else(|| {
        SigV4Error::Incomplete(format!(
            "X-Amz-Expires must be a number of seconds from 1 to {PRESIGNED_SECONDS_MAX}, got '{text}'"
        ))
    })
}

fn missing_equal_sign(part: &str) -> SigV4Error {
    SigV4Error::Incomplete(format!(
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and \
         encoded with Base64): '{}'.",
        STANDARD.encode(sha256(part.as_bytes()))
    ))
}

fn missing_parameters(found: [Option<&str>; 3], date: Option<&str>, header: &str) -> SigV4Error {
    let mut text = String::new();
    for (name, value) in ["Credential", "Signature", "SignedHeaders"].iter().zip(found) {
        if value.is_none() {
            text.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    if date.is_none() {
        text.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    text.push_str("(Hashed with SHA-256 and encoded with Base64) Authorization=");
    text.push_str(&STANDARD.encode(sha256(header.as_bytes())));
    SigV4Error::Incomplete(text)
}

fn missing_query_parameters(query: &str, required: &[&str]) -> SigV4Error {
    let mut text = String::new();
    for name in required.iter().filter(|name| !has_parameter(query, name)) {
        text.push_str(&format!("AWS query-string parameters must include '{name}'. "));
    }
    text.push_str("Re-examine the query-string parameters.");
    SigV4Error::Incomplete(text)
}

fn has_parameter(query: &str, name: &str) -> bool {
    !query.is_empty() && raw_parameter(query, name).is_some()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = raw_parameter(query, name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn raw_parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}
