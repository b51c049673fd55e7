//! Decides whether presented credentials are right, in the order in which AWS reports faults (observed).

use landfall_types::{Secret, Timestamp};

use super::canonical::{PathRule, canonical_request, signature, string_to_sign};
use super::{CLOCK_SKEW_SECONDS_MAX, Presented, SigV4Error, SignedRequest};

/// Looks at service, region and day of the credential, which needs no secret: AWS reports these faults
/// before it looks for the key. `expected_service` lists the signing names that are accepted here, the
/// first of them is named in the message; no `expected_region` accepts every region.
///
/// # Errors
/// [`SigV4Error::WrongScope`] with AWS's text.
pub fn check_scope(
    presented: &Presented,
    expected_service: &[&str],
    expected_region: Option<&str>,
) -> Result<(), SigV4Error> {
    let scope = &presented.scope;
    if !expected_service.contains(&scope.service.as_str()) {
        let wanted = expected_service.first().copied().unwrap_or_default();
        return Err(SigV4Error::WrongScope(format!(
            "Credential should be scoped to correct service: '{wanted}'. "
        )));
    }
    if scope.region.is_empty() || expected_region.is_some_and(|region| region != scope.region) {
        return Err(SigV4Error::WrongScope("Credential should be scoped to a valid region. ".to_owned()));
    }
    let time = presented.timestamp.basic();
    let day = time.split('T').next().unwrap_or_default();
    if scope.date != day {
        return Err(SigV4Error::WrongScope(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '{}' != '{day}', from '{time}'.",
            scope.date
        )));
    }
    Ok(())
}

/// Whether the request was signed with this secret, for this service and region, about now.
///
/// The caller has looked up `secret` by the presented access key id and checked the session token.
///
/// # Errors
/// The first fault in AWS's order: scope, clock, signature. The expected signature is never told.
pub fn verify(
    request: &SignedRequest<'_>,
    presented: &Presented,
    expected_service: &[&str],
    expected_region: Option<&str>,
    secret: &Secret<String>,
    now: Timestamp,
) -> Result<(), SigV4Error> {
    check_scope(presented, expected_service, expected_region)?;
    check_clock(presented, now)?;
    let mut names: Vec<&str> = presented.signed_headers.iter().map(String::as_str).collect();
    if !names.is_sorted() {
        names.sort_unstable();
    }
    let rule = PathRule::of(&presented.scope.service);
    let canonical = canonical_request(request, &names, rule).ok_or(SigV4Error::SignatureMismatch)?;
    let to_sign = string_to_sign(&canonical, &presented.scope, &presented.timestamp.basic());
    let expected = crate::hash::hex(&signature(secret, &presented.scope, &to_sign));
    if presented.signature.ct_eq(expected.as_bytes()) { Ok(()) } else { Err(SigV4Error::SignatureMismatch) }
}

fn check_clock(presented: &Presented, now: Timestamp) -> Result<(), SigV4Error> {
    const MINUTES: i64 = CLOCK_SKEW_SECONDS_MAX / 60;
    let signed = presented.timestamp;
    let latest = now.plus_seconds(CLOCK_SKEW_SECONDS_MAX);
    if signed.seconds() > latest.seconds() {
        return Err(SigV4Error::NotYetCurrent(format!(
            "Signature not yet current: {} is still later than {} ({} + {MINUTES} min.)",
            signed.basic(),
            latest.basic(),
            now.basic()
        )));
    }
    if let Some(seconds) = presented.presigned_expires {
        let end = signed.plus_seconds(i64::from(seconds));
        return if now.seconds() > end.seconds() { Err(SigV4Error::PresignedExpired) } else { Ok(()) };
    }
    let earliest = now.plus_seconds(-CLOCK_SKEW_SECONDS_MAX);
    if signed.seconds() < earliest.seconds() {
        return Err(SigV4Error::Expired(format!(
            "Signature expired: {} is now earlier than {} ({} - {MINUTES} min.)",
            signed.basic(),
            earliest.basic(),
            now.basic()
        )));
    }
    Ok(())
}
