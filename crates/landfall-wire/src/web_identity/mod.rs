//! The rules of `AssumeRoleWithWebIdentity` that need no state: the request's shape, the token's claims and
//! what of them a trust policy can see.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
//!
//! The sentences are AWS's own as observed on STS, because actions and SDKs look for them. The order is
//! the one that reproduces the observations: required claims, audience, times, then the claims that belong
//! to AWS.

mod aws_claims;
mod conditions;
mod input;

#[cfg(test)]
mod tests;

use landfall_types::{ClaimValue, Claims, Timestamp};

use crate::error::{AwsError, Protocol, access_denied};
use crate::jwt::{JwtError, SignatureError, Token};

pub use conditions::condition_keys;
pub use input::{AssumeRoleInput, check_assume_role_input, check_provider_id};

/// How far a token's times may lie on the wrong side of now, in seconds (observed).
pub const LEEWAY_SECONDS: i64 = 300;

/// A token's identity after every check that needs neither the provider nor its keys.
#[derive(Clone, PartialEq, Debug)]
pub struct WebIdentity {
    /// `iss`.
    pub issuer: String,
    /// `sub`; a number is taken as its digits.
    pub subject: String,
    /// `azp`, or else the only `aud`.
    pub audience: String,
    /// Every `aud`.
    pub audiences: Vec<String>,
    /// All claims.
    pub claims: Claims,
    /// `https://aws.amazon.com/source_identity`.
    pub source_identity: Option<String>,
    /// The session tags that the token asks for.
    pub session_tags: Vec<(String, String)>,
    /// Which of them a chained session inherits.
    pub transitive_tag_keys: Vec<String>,
    /// The role ARNs of `https://aws.amazon.com/roles`; none when the claim is absent or null.
    pub roles: Option<Vec<String>>,
}

impl WebIdentity {
    /// Whether the token's roles claim lets it take this role: exactly named, or no claim at all.
    ///
    /// # Errors
    /// `InvalidIdentityToken` when the claim names other roles only.
    pub fn check_role(&self, role_arn: &str) -> Result<(), AwsError> {
        match &self.roles {
            Some(roles) if !roles.iter().any(|role| role == role_arn) => Err(invalid_token(
                "The target role ARN is not present in the roles claim of the identity token",
            )),
            _ => Ok(()),
        }
    }
}

/// Checks a token's claims. The signature, the provider and its audiences come after.
///
/// # Errors
/// The first fault, in AWS's words.
pub fn check(token: &Token, now: Timestamp) -> Result<WebIdentity, AwsError> {
    let claims = &token.claims;
    for name in ["iss", "sub", "aud", "iat", "exp"] {
        if claims.get(name).is_none() {
            return Err(invalid_token(format!("Missing a required claim: {name}")));
        }
    }
    let issuer = claims.text("iss").ok_or_else(could_not_validate)?.to_owned();
    let subject = subject(claims)?;
    let audiences = audiences(claims)?;
    let audience = audience(claims, &audiences)?;
    check_times(claims, now)?;
    let source_identity = aws_claims::source_identity(claims)?;
    let (session_tags, transitive_tag_keys) = aws_claims::session_tags(claims)?;
    let roles = aws_claims::roles(claims)?;
    Ok(WebIdentity {
        issuer,
        subject,
        audience,
        audiences,
        claims: claims.clone(),
        source_identity,
        session_tags,
        transitive_tag_keys,
        roles,
    })
}

fn subject(claims: &Claims) -> Result<String, AwsError> {
    match claims.get("sub") {
        Some(ClaimValue::Text(text) | ClaimValue::Number(text)) => Ok(text.clone()),
        Some(ClaimValue::Null) => {
            Err(AwsError::new("InternalFailure", 500, "Unknown error validating third-party token"))
        }
        _ => Err(could_not_validate()),
    }
}

fn audiences(claims: &Claims) -> Result<Vec<String>, AwsError> {
    match claims.get("aud") {
        Some(ClaimValue::Text(text)) => Ok(vec![text.clone()]),
        Some(ClaimValue::List(items)) if items.is_empty() => {
            Err(invalid_token("Claim is not allowed to be empty: aud"))
        }
        Some(ClaimValue::List(items)) => texts(items).ok_or_else(could_not_validate),
        _ => Err(could_not_validate()),
    }
}

fn audience(claims: &Claims, audiences: &[String]) -> Result<String, AwsError> {
    match (claims.get("azp"), audiences) {
        (Some(ClaimValue::Text(party)), _) => Ok(party.clone()),
        (Some(_), _) => Err(could_not_validate()),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(invalid_token(
            "Token audience contains more than one audience while authorized party is not present",
        )),
    }
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), AwsError> {
    let issued = time(claims.get("iat"))?;
    let expires = time(claims.get("exp"))?;
    let not_before = claims.get("nbf").map(|value| time(Some(value))).transpose()?;
    let now = now.seconds();
    let (earlier, later) = (now - LEEWAY_SECONDS, now + LEEWAY_SECONDS);
    if issued > later {
        return Err(invalid_token(format!("Token issued in the future: {issued}")));
    }
    if let Some(not_before) = not_before.filter(|not_before| *not_before > later) {
        return Err(invalid_token(format!(
            "Token not yet valid: current date/time {later} must be after or equal to the not-before \
             date/time {not_before}"
        )));
    }
    if earlier >= expires {
        return Err(AwsError::bad_request(
            "ExpiredTokenException",
            format!(
                "Token expired: current date/time {earlier} must be before the expiration date/time {expires}"
            ),
        ));
    }
    Ok(())
}

/// Whole seconds, as a number or as its digits.
fn time(value: Option<&ClaimValue>) -> Result<i64, AwsError> {
    match value {
        Some(ClaimValue::Number(text) | ClaimValue::Text(text)) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| invalid_token("Invalid timestamp in token claims."))
}

fn texts(items: &[ClaimValue]) -> Option<Vec<String>> {
    let text = |item: &ClaimValue| match item {
        ClaimValue::Text(text) => Some(text.clone()),
        _ => None,
    };
    items.iter().map(text).collect()
}

/// `InvalidIdentityToken` with a sentence.
pub fn invalid_token(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidIdentityToken", message)
}

/// STS's answer to an audience that the provider doesn't have, and to whatever it says no more about.
pub fn could_not_validate() -> AwsError {
    invalid_token(
        "The web identity token provided could not be validated. See the AssumeRoleWithWebIdentity \
         documentation for requirements.",
    )
}

/// STS's answer when the issuer has no provider in the role's account.
pub fn no_provider(issuer: &str) -> AwsError {
    invalid_token(format!("No OpenIDConnect provider found in your account for {issuer}"))
}

/// STS's answer when the key is unknown or the issuer can't be reached. The two spaces are AWS's.
pub fn no_verification_key() -> AwsError {
    invalid_token(
        "Couldn't retrieve verification key from your identity provider,  please reference \
         AssumeRoleWithWebIdentity documentation for requirements",
    )
}

/// STS's answer when no public authority vouches for the issuer's certificate, and no thumbprint does.
pub fn thumbprint_mismatch() -> AwsError {
    invalid_token("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
}

/// STS's answer to everything that a trust policy says no to, and to a role that doesn't exist.
pub fn not_authorized() -> AwsError {
    access_denied("Not authorized to perform sts:AssumeRoleWithWebIdentity", Protocol::STS)
}

/// STS's answer to a text that isn't a token. Why it isn't one is not told.
pub fn from_jwt(_error: &JwtError) -> AwsError {
    invalid_token(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
}

/// STS's answer to a signature that doesn't hold.
pub fn from_signature(error: SignatureError) -> AwsError {
    match error {
        SignatureError::UnknownKey => no_verification_key(),
        SignatureError::BadSignature | SignatureError::UnsupportedAlgorithm => could_not_validate(),
    }
}
