//! The shape of an `AssumeRoleWithWebIdentity` request, checked as STS checks it: every broken constraint
//! is told at once.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::ops::RangeInclusive;

use landfall_types::{Arn, Secret};

use super::{could_not_validate, invalid_token};
use crate::error::{AwsError, Protocol, access_denied, malformed};
use crate::jwt::TOKEN_CHARS_MAX;
use crate::query::Params;

/// How long a session lives when nothing is asked for, in seconds.
pub const DURATION_SECONDS_DEFAULT: u32 = 3_600;
/// The shortest session, in seconds.
pub const DURATION_SECONDS_MIN: i64 = 900;
/// The longest session of any role, in seconds.
pub const DURATION_SECONDS_MAX: i64 = 43_200;

const ROLE_ARN_CHARS: RangeInclusive<usize> = 20..=2_048;
const SESSION_NAME_CHARS: RangeInclusive<usize> = 2..=64;
const TOKEN_CHARS: RangeInclusive<usize> = 4..=TOKEN_CHARS_MAX;
const PROVIDER_ID_CHARS: RangeInclusive<usize> = 4..=2_048;
const POLICY_CHARS: RangeInclusive<usize> = 1..=2_048;
const POLICY_ARNS_MAX: usize = 10;
const ROLE_NAME_CHARS_MAX: usize = 64;

/// What a request asks for, well-formed.
#[derive(Clone, Debug)]
pub struct AssumeRoleInput<'p> {
    /// The role.
    pub role: Arn,
    /// The role as it was written: a roles claim must say it exactly so.
    pub role_arn: &'p str,
    /// The session's name.
    pub session_name: &'p str,
    /// The ID token.
    pub token: Secret<&'p str>,
    /// Only for two OAuth providers: see [`check_provider_id`].
    pub provider_id: Option<&'p str>,
    /// An inline session policy.
    pub policy: Option<&'p str>,
    /// Managed session policies.
    pub policy_arns: Vec<&'p str>,
    /// How long the session shall live.
    pub duration_seconds: u32,
}

/// Reads and checks a request's parameters.
///
/// # Errors
/// `ValidationError` with every broken constraint, or `Request ARN is invalid`.
pub fn check_assume_role_input(params: &Params) -> Result<AssumeRoleInput<'_>, AwsError> {
    let mut broken = Vec::new();
    let role_arn = required(params, "RoleArn", &mut broken);
    check_length("roleArn", role_arn, &ROLE_ARN_CHARS, &mut broken);
    let session_name = required(params, "RoleSessionName", &mut broken);
    check_length("roleSessionName", session_name, &SESSION_NAME_CHARS, &mut broken);
    if let Some(name) = session_name.filter(|name| !name.chars().all(is_name_char)) {
        broken.push(constraint(
            Some(name),
            "roleSessionName",
            r"Member must satisfy regular expression pattern: [\w+=,.@-]*",
        ));
    }
    let token = required(params, "WebIdentityToken", &mut broken);
    check_token_length(token, &mut broken);
    let provider_id = params.get("ProviderId");
    check_length("providerId", provider_id, &PROVIDER_ID_CHARS, &mut broken);
    let policy = params.get("Policy");
    check_length("policy", policy, &POLICY_CHARS, &mut broken);
    let policy_arns = params.list("PolicyArns.member", ".arn");
    if policy_arns.len() > POLICY_ARNS_MAX {
        let limit = format!("Member must have length less than or equal to {POLICY_ARNS_MAX}");
        broken.push(constraint(None, "policyArns", &limit));
    }
    let duration = duration(params.get("DurationSeconds"), &mut broken)?;
    match (role_arn, session_name, token) {
        (Some(arn), Some(session_name), Some(token)) if broken.is_empty() => Ok(AssumeRoleInput {
            role: role_arn_of(arn)?,
            role_arn: arn,
            session_name,
            token: Secret::new(token),
            provider_id,
            policy,
            policy_arns,
            duration_seconds: duration,
        }),
        _ => Err(validation_errors(&broken)),
    }
}

/// `ProviderId` is for two OAuth providers alone; an ID token never comes with one.
///
/// # Errors
/// STS's answer to an ID token that does (observed).
pub fn check_provider_id(provider_id: Option<&str>) -> Result<(), AwsError> {
    match provider_id {
        None => Ok(()),
        Some("www.amazon.com") => Err(invalid_token("Provided Token is not a Login With Amazon token")),
        Some("graph.facebook.com") => Err(could_not_validate()),
        Some(_) => Err(access_denied(
            "Unrecognized OAuth provider. Do not include a provider parameter when submitting OpenIDConnect \
             ID tokens",
            Protocol::STS,
        )),
    }
}

fn role_arn_of(text: &str) -> Result<Arn, AwsError> {
    role_arn(text).ok_or_else(|| AwsError::validation("Request ARN is invalid"))
}

/// A role's ARN; none for every other text.
pub(super) fn role_arn(text: &str) -> Option<Arn> {
    let arn = Arn::parse(text).ok()?;
    let named = arn
        .role_path_and_name()
        .is_some_and(|(_, name)| name.len() <= ROLE_NAME_CHARS_MAX && name.chars().all(is_name_char));
    (named && arn.region.is_empty() && arn.account_id().is_some()).then_some(arn)
}

/// `[\w+=,.@-]`, ASCII as Java reads it.
pub(super) fn is_name_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

fn required<'p>(params: &'p Params, name: &str, broken: &mut Vec<String>) -> Option<&'p str> {
    let value = params.get(name);
    if value.is_none() {
        let mut member = name.to_owned();
        if let Some(first) = member.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        broken
            .push(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"));
    }
    value
}

fn check_length(member: &str, value: Option<&str>, chars: &RangeInclusive<usize>, broken: &mut Vec<String>) {
    let Some(value) = value else { return };
    if let Some(limit) = length_fault(value, chars) {
        broken.push(constraint(Some(value), member, &limit));
    }
}

/// A token is a secret: AWS leaves such values out of the message, and so do we.
fn check_token_length(token: Option<&str>, broken: &mut Vec<String>) {
    if let Some(limit) = token.and_then(|token| length_fault(token, &TOKEN_CHARS)) {
        broken.push(constraint(None, "webIdentityToken", &limit));
    }
}

fn length_fault(value: &str, chars: &RangeInclusive<usize>) -> Option<String> {
    let length = value.chars().count();
    if length < *chars.start() {
        Some(format!("Member must have length greater than or equal to {}", chars.start()))
    } else if length > *chars.end() {
        Some(format!("Member must have length less than or equal to {}", chars.end()))
    } else {
        None
    }
}

fn duration(value: Option<&str>, broken: &mut Vec<String>) -> Result<u32, AwsError> {
    let Some(text) = value else { return Ok(DURATION_SECONDS_DEFAULT) };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| malformed(format!("DurationSeconds must be a number, got '{text}'"), Protocol::STS))?;
    let mut fault = |bound: String| {
        broken.push(constraint(Some(text), "durationSeconds", &bound));
    };
    if seconds < DURATION_SECONDS_MIN {
        fault(format!("Member must have value greater than or equal to {DURATION_SECONDS_MIN}"));
    } else if seconds > DURATION_SECONDS_MAX {
        fault(format!("Member must have value less than or equal to {DURATION_SECONDS_MAX}"));
    }
    Ok(u32::try_from(seconds).unwrap_or(DURATION_SECONDS_DEFAULT))
}

fn constraint(value: Option<&str>, member: &str, constraint: &str) -> String {
    match value {
        Some(value) => format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"),
        None => format!("Value at '{member}' failed to satisfy constraint: {constraint}"),
    }
}

fn validation_errors(broken: &[String]) -> AwsError {
    let noun = if broken.len() == 1 { "error" } else { "errors" };
    AwsError::validation(format!("{} validation {noun} detected: {}", broken.len(), broken.join("; ")))
}
