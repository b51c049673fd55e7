//! The rules of STS's operations that need no state: what a request may ask for, and the answers to one
//! that asks for something else. `AssumeRoleWithWebIdentity` has more of them, in
//! [`web_identity`](crate::web_identity).
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html>

mod input;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use landfall_types::Arn;

use crate::constraints::Constraints;
use crate::error::{AwsError, Protocol, access_denied};

pub(crate) use input::policy_arns;
pub use input::{
    AssumeRole, EncodedMessage, FederationToken, Mfa, SamlAssertion, SessionToken, check_access_key_id,
    check_assume_role, check_encoded_message, check_federation_token, check_saml_assertion,
    check_session_token, check_target_principal,
};

/// How long a role session lives when nothing is asked for, in seconds.
pub const DURATION_SECONDS_DEFAULT: u32 = 3_600;
/// How long a user's session lives when nothing is asked for, in seconds.
pub const USER_SECONDS_DEFAULT: u32 = 43_200;
/// How long a session of an account's root user may live, and of a role that was taken by another session,
/// in seconds.
pub const SHORT_SESSION_SECONDS_MAX: u32 = 3_600;
/// The longest inline session policy, and the most that inline and managed ones may have together, in
/// characters.
pub const POLICY_CHARS_MAX: usize = 2_048;
/// The most managed session policies.
pub const POLICY_ARNS_MAX: usize = 10;
/// The most session tags.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_know>
pub const TAGS_MAX: usize = 50;
/// The longest key of a session tag, in characters.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// The longest value of a session tag, in characters.
pub const TAG_VALUE_CHARS_MAX: usize = 256;

pub(crate) const ROLE_ARN_CHARS: RangeInclusive<usize> = 20..=2_048;
pub(crate) const ROLE_SECONDS: RangeInclusive<i64> = 900..=43_200;
pub(crate) const TOKEN_SIZE_BYTES: RangeInclusive<i64> = 0..=4_096;
const USER_SECONDS: RangeInclusive<i64> = 900..=129_600;
const SESSION_NAME_CHARS: RangeInclusive<usize> = 2..=64;
const ROLE_NAME_CHARS_MAX: usize = 64;

/// The session's name: length and characters.
pub(crate) fn check_session_name(shape: &mut Constraints, name: Option<&str>) {
    shape.length("roleSessionName", name, &SESSION_NAME_CHARS);
    shape.characters("roleSessionName", name, is_name_char, r"[\w+=,.@-]*");
}

/// The role that a request names.
pub(crate) fn request_role(text: &str) -> Result<Arn, AwsError> {
    role_arn(text).ok_or_else(|| AwsError::validation("Request ARN is invalid"))
}

/// A role's ARN; none for every other text.
pub(crate) fn role_arn(text: &str) -> Option<Arn> {
    let arn = Arn::parse(text).ok()?;
    let named = arn
        .role_path_and_name()
        .is_some_and(|(_, name)| name.len() <= ROLE_NAME_CHARS_MAX && name.chars().all(is_name_char));
    (named && arn.region.is_empty() && arn.account_id().is_some()).then_some(arn)
}

/// `[\w+=,.@-]`, ASCII as Java reads it.
pub(crate) fn is_name_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
pub(crate) fn is_tag_char(character: char) -> bool {
    character.is_alphanumeric()
        || (character.is_whitespace() && !character.is_control())
        || matches!(character, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}

/// `aws:` is AWS's own prefix, whatever its case.
pub(crate) fn is_reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

/// Whether two tag keys are one: they are unique ignoring case.
pub fn same_tag_key(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

/// STS's answer to a root user who wants a role (observed).
pub fn root_cannot_assume() -> AwsError {
    access_denied("Roles may not be assumed by root accounts.", Protocol::STS)
}

/// STS's answer to a session that calls what long-term keys alone may call (observed).
pub fn session_credentials(operation: &str) -> AwsError {
    access_denied(format!("Cannot call {operation} with session credentials"), Protocol::STS)
}

/// STS's answer to a code of an MFA device that is not the caller's (observed, with its two spaces).
pub fn no_mfa_device() -> AwsError {
    access_denied(
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial \
         number is valid and associated with this user.",
        Protocol::STS,
    )
}

/// STS's answer to a session of a session that shall live longer than an hour (observed).
pub fn chained_too_long() -> AwsError {
    AwsError::validation(
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    )
}

/// STS's answer to a session longer than its role allows (observed).
pub fn longer_than_role() -> AwsError {
    AwsError::validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
}

/// STS's answer to a tag that the calling session hands on and that can't be set anew (observed).
pub fn inherited_tag() -> AwsError {
    invalid_parameter(
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag \
         key from the calling session.",
    )
}

/// STS's answer to an encoded message that it did not make.
pub fn invalid_authorization_message() -> AwsError {
    AwsError::bad_request("InvalidAuthorizationMessageException", "Message is not valid")
}

/// `InvalidParameterValue` with a sentence.
pub(crate) fn invalid_parameter(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidParameterValue", message)
}
