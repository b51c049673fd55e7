//! The shape of an `AssumeRoleWithWebIdentity` request, checked as STS checks it: every broken constraint
//! is told at once.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::ops::RangeInclusive;

use landfall_types::{Arn, Secret};

use super::{could_not_validate, invalid_token};
use crate::constraints::Constraints;
use crate::error::{AwsError, Protocol, access_denied};
use crate::jwt::TOKEN_CHARS_MAX;
use crate::query::Params;
use crate::sts::{
    DURATION_SECONDS_DEFAULT, POLICY_CHARS_MAX, ROLE_ARN_CHARS, ROLE_SECONDS, TOKEN_SIZE_BYTES,
    check_session_name, policy_arns, request_role,
};

const TOKEN_CHARS: RangeInclusive<usize> = 4..=TOKEN_CHARS_MAX;
const PROVIDER_ID_CHARS: RangeInclusive<usize> = 4..=2_048;
const POLICY_CHARS: RangeInclusive<usize> = 1..=POLICY_CHARS_MAX;

/// What a request asks for, well-formed.
#[derive(Clone, Debug)]
pub struct AssumeRoleInput<'p> {
    /// The role.
    pub role: Arn,
    /// The role as it was written: a roles claim must say it exactly so.
    pub role_arn: &'p str,
    /// The session's name.
    pub session_name: &'p str,
    /// The ID token, without white space around it.
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
    let mut shape = Constraints::new();
    let role_arn = shape.required(params, "RoleArn");
    shape.length("roleArn", role_arn, &ROLE_ARN_CHARS);
    let session_name = shape.required(params, "RoleSessionName");
    check_session_name(&mut shape, session_name);
    let token = shape.required(params, "WebIdentityToken");
    shape.secret_length("webIdentityToken", token, &TOKEN_CHARS);
    let provider_id = params.get("ProviderId");
    shape.length("providerId", provider_id, &PROVIDER_ID_CHARS);
    let policy = params.get("Policy");
    shape.length("policy", policy, &POLICY_CHARS);
    let policy_arns = policy_arns(params, &mut shape);
    let duration = shape.number(params, "DurationSeconds", &ROLE_SECONDS)?;
    shape.number(params, "MinimumSessionTokenSize", &TOKEN_SIZE_BYTES)?;
    match (role_arn, session_name, token) {
        (Some(arn), Some(session_name), Some(token)) if shape.hold() => Ok(AssumeRoleInput {
            role: request_role(arn)?,
            role_arn: arn,
            session_name,
            // Tools send a token file as it is, and pipelines write it by `echo`, with a newline: STS takes that. Inferred
            // from use, as in <https://docs.gitlab.com/ci/cloud_services/aws/> and
            // <https://support.atlassian.com/bitbucket-cloud/docs/deploy-on-aws-using-bitbucket-pipelines-openid-connect/>.
            token: Secret::new(token.trim_ascii()),
            provider_id,
            policy,
            policy_arns,
            duration_seconds: duration.unwrap_or(DURATION_SECONDS_DEFAULT),
        }),
        _ => Err(shape.error()),
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
