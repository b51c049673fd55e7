//! The shapes of the signed operations' requests.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_types::Arn;

use super::{
    POLICY_ARNS_MAX, POLICY_CHARS_MAX, ROLE_ARN_CHARS, ROLE_SECONDS, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX,
    TAGS_MAX, TOKEN_SIZE_BYTES, USER_SECONDS, check_session_name, invalid_parameter, is_name_char,
    is_reserved, is_tag_char, request_role, same_tag_key,
};
use crate::constraints::Constraints;
use crate::error::AwsError;
use crate::query::Params;
use crate::web_identity::invalid_token;

const EXTERNAL_ID_CHARS: RangeInclusive<usize> = 2..=1_224;
const SOURCE_IDENTITY_CHARS: RangeInclusive<usize> = 2..=256;
const SERIAL_NUMBER_CHARS: RangeInclusive<usize> = 9..=256;
const TOKEN_CODE_CHARS: RangeInclusive<usize> = 6..=6;
const ACCESS_KEY_ID_CHARS: RangeInclusive<usize> = 16..=128;
const FEDERATED_NAME_CHARS: RangeInclusive<usize> = 2..=32;
const ENCODED_MESSAGE_CHARS: RangeInclusive<usize> = 1..=10_240;
const ASSERTION_CHARS: RangeInclusive<usize> = 4..=100_000;
const TARGET_PRINCIPAL_CHARS: RangeInclusive<usize> = 12..=2_048;
const ROOT_SECONDS: RangeInclusive<i64> = 0..=900;
const PROVIDED_CONTEXTS_MAX: usize = 5;

/// What `AssumeRole` asks for, well-formed.
#[derive(Clone, Debug)]
pub struct AssumeRole<'p> {
    /// The role.
    pub role: Arn,
    /// The session's name.
    pub session_name: &'p str,
    /// An inline session policy.
    pub policy: Option<&'p str>,
    /// Managed session policies.
    pub policy_arns: Vec<&'p str>,
    /// How long the session shall live, in seconds.
    pub duration_seconds: Option<u32>,
    /// Session tags, in the order in which they were given.
    pub tags: Vec<(&'p str, &'p str)>,
    /// Which of them a chained session inherits.
    pub transitive_tag_keys: Vec<&'p str>,
    /// What a third party was told to say.
    pub external_id: Option<&'p str>,
    /// An MFA device and its code.
    pub mfa: Option<Mfa<'p>>,
    /// Who is behind the session.
    pub source_identity: Option<&'p str>,
    /// Whether context assertions of IAM Identity Center came along.
    pub has_contexts: bool,
}

/// An MFA device, with the code that it showed.
#[derive(Clone, Copy, Debug)]
pub struct Mfa<'p> {
    /// The device: a serial number or an ARN.
    pub serial_number: &'p str,
}

/// Reads and checks the parameters of `AssumeRole`.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
///
/// # Errors
/// `ValidationError` with every broken constraint, `Request ARN is invalid`, `InvalidParameterValue` for tags
/// that can't be set together.
pub fn check_assume_role(params: &Params) -> Result<AssumeRole<'_>, AwsError> {
    let mut shape = Constraints::new();
    let role_arn = shape.required(params, "RoleArn");
    shape.length("roleArn", role_arn, &ROLE_ARN_CHARS);
    let session_name = shape.required(params, "RoleSessionName");
    check_session_name(&mut shape, session_name);
    let policy = params.get("Policy");
    // Without an upper bound in AWS's model: too long a policy does not fit into the session.
    shape.length("policy", policy, &(1..=usize::MAX));
    shape.characters("policy", policy, is_policy_char, POLICY_PATTERN);
    let policy_arns = policy_arns(params, &mut shape);
    let duration_seconds = shape.number(params, "DurationSeconds", &ROLE_SECONDS)?;
    let tags = tags(params, &mut shape);
    let transitive_tag_keys = transitive_tag_keys(params, &mut shape);
    let external_id = params.get("ExternalId");
    shape.length("externalId", external_id, &EXTERNAL_ID_CHARS);
    shape.characters("externalId", external_id, is_external_id_char, r"[\w+=,.@:\/-]*");
    let mfa = mfa(params, &mut shape);
    let source_identity = params.get("SourceIdentity");
    shape.length("sourceIdentity", source_identity, &SOURCE_IDENTITY_CHARS);
    shape.characters("sourceIdentity", source_identity, is_name_char, r"[\w+=,.@-]*");
    let contexts = params.structures("ProvidedContexts.member");
    shape.items("providedContexts", contexts.len(), PROVIDED_CONTEXTS_MAX);
    shape.number(params, "MinimumSessionTokenSize", &TOKEN_SIZE_BYTES)?;
    let (Some(arn), Some(session_name), true) = (role_arn, session_name, shape.hold()) else {
        return Err(shape.error());
    };
    check_tags(&tags, &transitive_tag_keys)?;
    Ok(AssumeRole {
        role: request_role(arn)?,
        session_name,
        policy,
        policy_arns,
        duration_seconds,
        tags,
        transitive_tag_keys,
        external_id,
        mfa,
        source_identity,
        has_contexts: !contexts.is_empty(),
    })
}

/// What `GetSessionToken` asks for, well-formed.
#[derive(Clone, Debug)]
pub struct SessionToken<'p> {
    /// How long the session shall live, in seconds.
    pub duration_seconds: Option<u32>,
    /// An MFA device and its code.
    pub mfa: Option<Mfa<'p>>,
}

/// Reads and checks the parameters of `GetSessionToken`.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>
///
/// # Errors
/// `ValidationError` with every broken constraint.
pub fn check_session_token(params: &Params) -> Result<SessionToken<'_>, AwsError> {
    let mut shape = Constraints::new();
    let duration_seconds = shape.number(params, "DurationSeconds", &USER_SECONDS)?;
    let mfa = mfa(params, &mut shape);
    shape.number(params, "MinimumSessionTokenSize", &TOKEN_SIZE_BYTES)?;
    shape.check().map(|()| SessionToken { duration_seconds, mfa })
}

/// What `GetFederationToken` asks for, well-formed.
#[derive(Clone, Debug)]
pub struct FederationToken<'p> {
    /// The federated user's name.
    pub name: &'p str,
    /// An inline session policy.
    pub policy: Option<&'p str>,
    /// Managed session policies.
    pub policy_arns: Vec<&'p str>,
    /// How long the session shall live, in seconds.
    pub duration_seconds: Option<u32>,
    /// Session tags.
    pub tags: Vec<(&'p str, &'p str)>,
}

/// Reads and checks the parameters of `GetFederationToken`.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>
///
/// # Errors
/// `ValidationError` with every broken constraint, `InvalidParameterValue` for tags that can't be set together.
pub fn check_federation_token(params: &Params) -> Result<FederationToken<'_>, AwsError> {
    let mut shape = Constraints::new();
    let name = shape.required(params, "Name");
    shape.length("name", name, &FEDERATED_NAME_CHARS);
    shape.characters("name", name, is_name_char, r"[\w+=,.@-]*");
    let policy = params.get("Policy");
    check_policy(policy, &mut shape);
    let policy_arns = policy_arns(params, &mut shape);
    let duration_seconds = shape.number(params, "DurationSeconds", &USER_SECONDS)?;
    let tags = tags(params, &mut shape);
    shape.number(params, "MinimumSessionTokenSize", &TOKEN_SIZE_BYTES)?;
    let (Some(name), true) = (name, shape.hold()) else { return Err(shape.error()) };
    check_tags(&tags, &[])?;
    Ok(FederationToken { name, policy, policy_arns, duration_seconds, tags })
}

/// The access key id of `GetAccessKeyInfo`.
///
/// # Errors
/// `ValidationError` with every broken constraint.
pub fn check_access_key_id(params: &Params) -> Result<&str, AwsError> {
    let mut shape = Constraints::new();
    let id = shape.required(params, "AccessKeyId");
    shape.length("accessKeyId", id, &ACCESS_KEY_ID_CHARS);
    shape.characters("accessKeyId", id, is_word_char, r"[\w]*");
    id.filter(|_| shape.hold()).ok_or_else(|| shape.error())
}

/// The message of `DecodeAuthorizationMessage`.
#[derive(Clone, Copy, Debug)]
pub struct EncodedMessage<'p>(pub &'p str);

/// Reads and checks the parameter of `DecodeAuthorizationMessage`.
///
/// # Errors
/// `ValidationError` with every broken constraint.
pub fn check_encoded_message(params: &Params) -> Result<EncodedMessage<'_>, AwsError> {
    let mut shape = Constraints::new();
    let message = shape.required(params, "EncodedMessage");
    shape.length("encodedMessage", message, &ENCODED_MESSAGE_CHARS);
    message.filter(|_| shape.hold()).map(EncodedMessage).ok_or_else(|| shape.error())
}

/// What `AssumeRoleWithSAML` asks for, well-formed: as far as anyone looks who has no SAML provider.
#[derive(Clone, Debug)]
pub struct SamlAssertion {
    /// The role.
    pub role: Arn,
    /// The SAML provider.
    pub provider: Arn,
}

/// Reads and checks the parameters of `AssumeRoleWithSAML`.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html>
///
/// # Errors
/// `ValidationError` with every broken constraint, `InvalidIdentityToken` for an assertion that isn't base64.
pub fn check_saml_assertion(params: &Params) -> Result<SamlAssertion, AwsError> {
    let mut shape = Constraints::new();
    let role_arn = shape.required(params, "RoleArn");
    shape.length("roleArn", role_arn, &ROLE_ARN_CHARS);
    let provider = shape.required(params, "PrincipalArn");
    shape.length("principalArn", provider, &ROLE_ARN_CHARS);
    let assertion = shape.required(params, "SAMLAssertion");
    shape.secret_length("sAMLAssertion", assertion, &ASSERTION_CHARS);
    check_policy(params.get("Policy"), &mut shape);
    policy_arns(params, &mut shape);
    shape.number(params, "DurationSeconds", &ROLE_SECONDS)?;
    let (Some(role), Some(provider), Some(assertion), true) = (role_arn, provider, assertion, shape.hold())
    else {
        return Err(shape.error());
    };
    let (role, provider) = (request_role(role)?, saml_provider(provider)?);
    let packed: String = assertion.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| invalid_token("Invalid base64 SAMLResponse"))?;
    Ok(SamlAssertion { role, provider })
}

fn saml_provider(text: &str) -> Result<Arn, AwsError> {
    let is_provider = |arn: &Arn| arn.service == "iam" && arn.resource.starts_with("saml-provider/");
    let arn = Arn::parse(text).ok().filter(is_provider);
    arn.ok_or_else(|| AwsError::validation("Request ARN is invalid"))
}

/// The member account whose root user `AssumeRoot` asks for: an account id or the ARN of its root user.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoot.html>
///
/// # Errors
/// `ValidationError` with every broken constraint.
pub fn check_target_principal(params: &Params) -> Result<&str, AwsError> {
    let mut shape = Constraints::new();
    let target = shape.required(params, "TargetPrincipal");
    shape.length("targetPrincipal", target, &TARGET_PRINCIPAL_CHARS);
    if params.get("TaskPolicyArn.arn").is_none() {
        shape.missing("taskPolicyArn");
    }
    shape.number(params, "DurationSeconds", &ROOT_SECONDS)?;
    target.filter(|_| shape.hold()).ok_or_else(|| shape.error())
}

const TAG_PATTERN: &str = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]";
const ARN_PATTERN: &str =
    r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+";
const POLICY_PATTERN: &str = r"[\u0009\u000A\u000D\u0020-\u00FF]+";

fn check_policy(policy: Option<&str>, shape: &mut Constraints) {
    shape.length("policy", policy, &(1..=POLICY_CHARS_MAX));
    shape.characters("policy", policy, is_policy_char, POLICY_PATTERN);
}

/// The managed policies of a session, each looked at as an ARN.
pub(crate) fn policy_arns<'p>(params: &'p Params, shape: &mut Constraints) -> Vec<&'p str> {
    let arns = params.list("PolicyArns.member", ".arn");
    shape.items("policyArns", arns.len(), POLICY_ARNS_MAX);
    for (index, arn) in arns.iter().enumerate() {
        let member = format!("policyArns.{}.member.arn", index + 1);
        shape.length(&member, Some(arn), &ROLE_ARN_CHARS);
        shape.characters(&member, Some(arn), is_arn_char, ARN_PATTERN);
    }
    arns
}

fn tags<'p>(params: &'p Params, shape: &mut Constraints) -> Vec<(&'p str, &'p str)> {
    let given = params.structures("Tags.member");
    shape.items("tags", given.len(), TAGS_MAX);
    let mut tags = Vec::new();
    for (index, tag) in given.iter().enumerate() {
        let member = |name: &str| format!("tags.{}.member.{name}", index + 1);
        let (key, value) = (tag.get("Key"), tag.get("Value"));
        if key.is_none() {
            shape.missing(&member("key"));
        }
        if value.is_none() {
            shape.missing(&member("value"));
        }
        shape.length(&member("key"), key, &(1..=TAG_KEY_CHARS_MAX));
        shape.characters(&member("key"), key, is_tag_char, &format!("{TAG_PATTERN}+"));
        shape.length(&member("value"), value, &(0..=TAG_VALUE_CHARS_MAX));
        shape.characters(&member("value"), value, is_tag_char, &format!("{TAG_PATTERN}*"));
        tags.extend(key.zip(value));
    }
    tags
}

fn transitive_tag_keys<'p>(params: &'p Params, shape: &mut Constraints) -> Vec<&'p str> {
    let keys = params.list("TransitiveTagKeys.member", "");
    shape.items("transitiveTagKeys", keys.len(), TAGS_MAX);
    for (index, key) in keys.iter().enumerate() {
        let member = format!("transitiveTagKeys.{}.member", index + 1);
        shape.length(&member, Some(key), &(1..=TAG_KEY_CHARS_MAX));
        shape.characters(&member, Some(key), is_tag_char, &format!("{TAG_PATTERN}+"));
    }
    keys
}

/// The sentences are AWS's own (observed).
fn check_tags(tags: &[(&str, &str)], transitive: &[&str]) -> Result<(), AwsError> {
    for (index, (key, _)) in tags.iter().enumerate() {
        if is_reserved(key) {
            return Err(invalid_parameter(format!(
                "Tag keys that begin with `aws:` are reserved for AWS: `{key}`"
            )));
        }
        if tags.iter().take(index).any(|(other, _)| same_tag_key(other, key)) {
            return Err(invalid_parameter(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
    }
    let is_given = |key: &&str| tags.iter().any(|(known, _)| same_tag_key(known, key));
    if transitive.iter().all(is_given) {
        return Ok(());
    }
    Err(invalid_parameter("The specified transitive tag key must be included in the requested tags."))
}

/// A code without a device, or a device without a code, is as none: AWS asks for both.
fn mfa<'p>(params: &'p Params, shape: &mut Constraints) -> Option<Mfa<'p>> {
    let (serial_number, code) = (params.get("SerialNumber"), params.get("TokenCode"));
    shape.length("serialNumber", serial_number, &SERIAL_NUMBER_CHARS);
    shape.characters("serialNumber", serial_number, is_serial_char, r"[\w+=/:,.@-]*");
    shape.secret_length("tokenCode", code, &TOKEN_CODE_CHARS);
    serial_number.map(|serial_number| Mfa { serial_number })
}

fn is_policy_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r') || (' '..='\u{ff}').contains(&character)
}

fn is_arn_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{85}')
        || (' '..='~').contains(&character)
        || (character >= '\u{a0}' && !matches!(character, '\u{fffe}' | '\u{ffff}'))
}

fn is_word_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn is_external_id_char(character: char) -> bool {
    is_name_char(character) || matches!(character, ':' | '/')
}

fn is_serial_char(character: char) -> bool {
    is_external_id_char(character)
}
