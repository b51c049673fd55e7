//! ID tokens: reading them, checking their signature, and making them for issuers that are played locally.
//! <https://www.rfc-editor.org/rfc/rfc7519>, <https://openid.net/specs/openid-connect-core-1_0.html#IDToken>
//!
//! A [`Token`] is read, not believed: [`verify_signature`] is what makes its claims someone's word.

mod claims;
mod keys;
mod signing;

#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_types::Claims;

pub use claims::{ClaimsJson, claims_from_json, claims_to_json};
pub use keys::{
    Algorithm, Curve, JWKS_BYTES_MAX, Jwk, Jwks, JwksError, KeyMaterial, SignatureError, verify_signature,
};
pub use signing::{HeaderForm, InvalidKey, SigningKey, mint, mint_as};

/// The longest token that STS takes, in characters.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
pub const TOKEN_CHARS_MAX: usize = 20_000;

/// What a token's header says, as far as anyone looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// `RS256`, …; not necessarily one that is supported.
    pub alg: String,
    /// Which of the issuer's keys signed.
    pub kid: Option<String>,
    /// `JWT`, mostly.
    pub typ: Option<String>,
}

/// A token that could be read. Its signature isn't checked yet.
#[derive(Clone, PartialEq)]
pub struct Token {
    /// The header.
    pub header: Header,
    /// The claims; of a repeated name the last value counts, as with STS (observed).
    pub claims: Claims,
    /// What the signature covers: header and claims as they were sent.
    signing_input: String,
    signature: Vec<u8>,
}

impl Token {
    /// What the signature covers.
    pub fn signing_input(&self) -> &str {
        &self.signing_input
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Without the signature: a token in a log is a credential.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("header", &self.header).field("claims", &self.claims).finish()
    }
}

/// Why a text is not a token. No variant holds the text itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwtError {
    /// More characters than [`TOKEN_CHARS_MAX`].
    TooLong {
        /// How many there are.
        chars: usize,
    },
    /// Not `header.claims.signature`.
    NotThreeParts {
        /// How many parts there are.
        parts: usize,
    },
    /// A part is not base64url without padding.
    NotBase64 {
        /// `header`, `claims` or `signature`.
        part: &'static str,
    },
    /// A part is not a JSON object, or a hostile one.
    NotJson {
        /// `header` or `claims`.
        part: &'static str,
    },
    /// The header has no `alg`.
    NoAlgorithm,
    /// The header has `crit`: extensions that must be understood, and none is.
    /// <https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11>
    Critical,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { chars } => {
                write!(f, "the token has {chars} characters, at most {TOKEN_CHARS_MAX} are read")
            }
            Self::NotThreeParts { parts } => {
                write!(f, "a token has 3 parts (header.claims.signature), this has {parts}")
            }
            Self::NotBase64 { part: "claims" } => {
                f.write_str("the token's claims are not base64url without padding")
            }
            Self::NotBase64 { part } => write!(f, "the token's {part} is not base64url without padding"),
            Self::NotJson { part: "claims" } => f.write_str("the token's claims are not a JSON object"),
            Self::NotJson { part } => write!(f, "the token's {part} is not a JSON object"),
            Self::NoAlgorithm => f.write_str("the token's header has no `alg`"),
            Self::Critical => f.write_str("the token's header has `crit`, and no extension is understood"),
        }
    }
}

impl std::error::Error for JwtError {}

/// Reads a compact JWT without believing it.
///
/// # Errors
/// When it is not one, or passes a limit.
pub fn parse(token: &str) -> Result<Token, JwtError> {
    if token.len() > TOKEN_CHARS_MAX {
        return Err(JwtError::TooLong { chars: token.len() });
    }
    let not_three = || JwtError::NotThreeParts { parts: token.split('.').count() };
    let (signing_input, signature) = token.rsplit_once('.').ok_or_else(not_three)?;
    let (header, claims) = signing_input.split_once('.').ok_or_else(not_three)?;
    if claims.contains('.') {
        return Err(not_three());
    }
    let fields = object(header, "header")?;
    if fields.get("crit").is_some() {
        return Err(JwtError::Critical);
    }
    let text = |name: &str| fields.text(name).map(str::to_owned);
    let header =
        Header { alg: text("alg").ok_or(JwtError::NoAlgorithm)?, kid: text("kid"), typ: text("typ") };
    Ok(Token {
        header,
        claims: object(claims, "claims")?,
        signing_input: signing_input.to_owned(),
        signature: decoded(signature, "signature")?,
    })
}

fn object(part: &str, name: &'static str) -> Result<Claims, JwtError> {
    claims::from_slice(&decoded(part, name)?).ok_or(JwtError::NotJson { part: name })
}

fn decoded(part: &str, name: &'static str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::NotBase64 { part: name })
}
