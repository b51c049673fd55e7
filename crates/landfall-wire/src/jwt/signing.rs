//! The keys of issuers that are played locally, and the tokens they make.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_types::{Claims, Secret};
use serde_json::json;

use super::keys::{Algorithm, Jwk, KeyMaterial};
use super::{Jwks, claims_to_json};
use crate::hash::sha256;

/// An RSA key of 2048 bits or more that signs ID tokens with RS256.
pub struct SigningKey {
    pair: RsaKeyPair,
    jwk: Jwk,
    kid: String,
}

impl SigningKey {
    /// Makes a new key. Without a `kid` its name is the key's thumbprint.
    ///
    /// # Errors
    /// When the cryptographic library can't make one (no randomness, no memory).
    pub fn generate(kid: Option<String>) -> Result<Self, InvalidKey> {
        Self::from_pair(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| InvalidKey)?, kid)
    }

    /// Reads a key from PKCS #8 (DER).
    ///
    /// # Errors
    /// When it isn't an RSA key of at least 2048 bits.
    pub fn from_pkcs8(der: &[u8], kid: Option<String>) -> Result<Self, InvalidKey> {
        Self::from_pair(RsaKeyPair::from_pkcs8(der).map_err(|_| InvalidKey)?, kid)
    }

    /// The private key as PKCS #8 (DER).
    ///
    /// # Errors
    /// When the cryptographic library has no memory.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, InvalidKey> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| InvalidKey)?;
        Ok(Secret::new(der.as_ref().to_vec()))
    }

    /// The key's name in tokens and key sets.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// A key set with the public half alone.
    pub fn jwks(&self) -> Jwks {
        Jwks::new(vec![self.jwk.clone()])
    }

    fn from_pair(pair: RsaKeyPair, kid: Option<String>) -> Result<Self, InvalidKey> {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let kid = kid.unwrap_or_else(|| thumbprint(&n, &e));
        let material = KeyMaterial::Rsa { n, e };
        let jwk = Jwk::new(Some(kid.clone()), Some(Algorithm::Rs256), material).map_err(|_| InvalidKey)?;
        Ok(Self { pair, jwk, kid })
    }
}

/// Only the name: the rest is secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A key that can't be made, read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a signing key: an RSA key of at least 2048 bits in PKCS #8 is expected")
    }
}

impl std::error::Error for InvalidKey {}

/// What stands in a token's header beside `alg` and `kid`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderForm {
    /// `typ`, and `x5t` equal to `kid`: GitHub's.
    Github,
    /// `typ`: GitLab's.
    Typed,
    /// Nothing: Kubernetes'.
    Bare,
}

/// A signed token with these claims, as they are: nothing is added. The header is the one of GitHub's tokens.
pub fn mint(key: &SigningKey, claims: &Claims) -> String {
    mint_as(key, claims, HeaderForm::Github)
}

/// A signed token with these claims and a header of this form.
pub fn mint_as(key: &SigningKey, claims: &Claims, form: HeaderForm) -> String {
    let header = match form {
        HeaderForm::Github => json!({ "typ": "JWT", "alg": "RS256", "x5t": key.kid, "kid": key.kid }),
        HeaderForm::Typed => json!({ "kid": key.kid, "typ": "JWT", "alg": "RS256" }),
        HeaderForm::Bare => json!({ "alg": "RS256", "kid": key.kid }),
    };
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims_to_json(claims).to_string(), &mut token);
    let mut signature = vec![0; key.pair.public_modulus_len()];
    key.pair
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
        .expect("INVARIANT: a key that was read signs into a buffer of its modulus' length");
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    token
}

/// <https://www.rfc-editor.org/rfc/rfc7638#section-3>
fn thumbprint(n: &[u8], e: &[u8]) -> String {
    let members =
        format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, URL_SAFE_NO_PAD.encode(e), URL_SAFE_NO_PAD.encode(n));
    URL_SAFE_NO_PAD.encode(sha256(members.as_bytes()))
}
