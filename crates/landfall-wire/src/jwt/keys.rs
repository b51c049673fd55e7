//! An issuer's public keys and what they say about a signature.
//! <https://www.rfc-editor.org/rfc/rfc7517>, <https://www.rfc-editor.org/rfc/rfc7518>
//!
//! Keys are made ready when the set is read, so that checking a token costs one RSA or ECDSA operation.

use std::fmt;

use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::Token;

/// The longest key set that is read, in bytes.
pub const JWKS_BYTES_MAX: usize = 1_048_576;
/// The most keys of each kind (RSA, elliptic curve) that IAM takes from an issuer.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>
pub const JWKS_KEYS_MAX: usize = 100;

/// The signature algorithms that STS accepts in ID tokens (observed).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Rs256, Self::Rs384, Self::Rs512, Self::Es256, Self::Es384, Self::Es512];

    /// The algorithm of an `alg`; none for one that isn't accepted.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// As it stands in `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }
}

/// The elliptic curves of JWK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

impl Curve {
    fn parse(text: &str) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521].into_iter().find(|curve| curve.as_str() == text)
    }

    /// As it stands in `crv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> (Algorithm, &'static EcdsaVerificationAlgorithm) {
        match self {
            Self::P256 => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED),
            Self::P384 => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED),
            Self::P521 => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED),
        }
    }
}

/// The numbers of a public key, big-endian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyMaterial {
    /// An RSA key.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// A point on a curve.
    Ec {
        /// Which curve.
        curve: Curve,
        /// The first coordinate.
        x: Vec<u8>,
        /// The second coordinate.
        y: Vec<u8>,
    },
}

/// One public key, ready to check signatures.
#[derive(Clone, Debug)]
pub struct Jwk {
    kid: Option<String>,
    alg: Option<Algorithm>,
    material: KeyMaterial,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Jwk {
    /// A key from its numbers. `alg` restricts it to one algorithm.
    ///
    /// # Errors
    /// When the numbers are no key, or `alg` is for keys of another kind.
    pub fn new(
        kid: Option<String>,
        alg: Option<Algorithm>,
        material: KeyMaterial,
    ) -> Result<Self, JwksError> {
        let mut verifiers = match &material {
            KeyMaterial::Rsa { n, e } => rsa_verifiers(n, e)?,
            KeyMaterial::Ec { curve, x, y } => vec![ec_verifier(*curve, x, y)?],
        };
        verifiers.retain(|(algorithm, _)| alg.is_none_or(|alg| alg == *algorithm));
        if verifiers.is_empty() {
            return Err(JwksError::BadKey { kid });
        }
        Ok(Self { kid, alg, material, verifiers })
    }

    /// The key's name.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm it is restricted to.
    pub fn alg(&self) -> Option<Algorithm> {
        self.alg
    }

    /// Its numbers.
    pub fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// As a member of a key set.
    pub fn to_json(&self) -> Value {
        let mut jwk = Map::new();
        let kty = if matches!(self.material, KeyMaterial::Rsa { .. }) { "RSA" } else { "EC" };
        jwk.insert("kty".to_owned(), Value::from(kty));
        if let Some(alg) = self.alg {
            jwk.insert("alg".to_owned(), Value::from(alg.as_str()));
        }
        jwk.insert("use".to_owned(), Value::from("sig"));
        if let Some(kid) = &self.kid {
            jwk.insert("kid".to_owned(), Value::from(kid.as_str()));
        }
        let numbers: &[(&str, &[u8])] = match &self.material {
            KeyMaterial::Rsa { n, e } => &[("n", n), ("e", e)],
            KeyMaterial::Ec { curve, x, y } => {
                jwk.insert("crv".to_owned(), Value::from(curve.as_str()));
                &[("x", x), ("y", y)]
            }
        };
        for (name, bytes) in numbers {
            jwk.insert((*name).to_owned(), Value::from(URL_SAFE_NO_PAD.encode(bytes)));
        }
        Value::Object(jwk)
    }

    /// None for keys that are not for signatures or of a kind that isn't accepted.
    fn parse(value: &Value) -> Result<Option<Self>, JwksError> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let kid = text("kid").map(str::to_owned);
        if text("use").is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let alg = match text("alg").map(Algorithm::parse) {
            Some(None) => return Ok(None),
            Some(alg) => alg,
            None => None,
        };
        let number = |name: &str| {
            text(name)
                .and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
                .ok_or_else(|| JwksError::BadKey { kid: kid.clone() })
        };
        let material = match (text("kty"), text("crv").map(Curve::parse)) {
            (Some("RSA"), _) => KeyMaterial::Rsa { n: number("n")?, e: number("e")? },
            (Some("EC"), Some(Some(curve))) => KeyMaterial::Ec { curve, x: number("x")?, y: number("y")? },
            _ => return Ok(None),
        };
        Self::new(kid, alg, material).map(Some)
    }
}

fn rsa_verifiers(n: &[u8], e: &[u8]) -> Result<Vec<(Algorithm, ParsedPublicKey)>, JwksError> {
    const RSA: [(Algorithm, &RsaParameters); 3] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    ];
    let components = RsaPublicKeyComponents { n: without_leading_zeros(n), e: without_leading_zeros(e) };
    RSA.into_iter()
        .map(|(algorithm, parameters)| {
            let key = components.to_parsed_public_key(parameters);
            key.map(|key| (algorithm, key)).map_err(|_| JwksError::BadKey { kid: None })
        })
        .collect()
}

fn ec_verifier(curve: Curve, x: &[u8], y: &[u8]) -> Result<(Algorithm, ParsedPublicKey), JwksError> {
    /// SEC 1, 2.3.3: the point is not compressed.
    const UNCOMPRESSED: u8 = 4;
    let bad = || JwksError::BadKey { kid: None };
    let length = curve.coordinate_bytes();
    let mut point = vec![UNCOMPRESSED];
    for coordinate in [x, y] {
        // Some issuers drop leading zeros, against RFC 7518, 6.2.1.2.
        let missing = length.checked_sub(coordinate.len()).ok_or_else(bad)?;
        point.resize(point.len() + missing, 0);
        point.extend_from_slice(coordinate);
    }
    let (algorithm, parameters) = curve.algorithm();
    let key = ParsedPublicKey::new(parameters, &point).map_err(|_| bad())?;
    Ok((algorithm, key))
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// An issuer's key set.
#[derive(Clone, Debug, Default)]
pub struct Jwks {
    keys: Vec<Jwk>,
}

impl Jwks {
    /// A set of these keys.
    pub fn new(keys: Vec<Jwk>) -> Self {
        Self { keys }
    }

    /// Reads a key set. Keys that are not for signatures or of a kind that isn't accepted are left out, and
    /// so are keys that are broken: one of them must not take the others away.
    ///
    /// # Errors
    /// When the text is no key set or passes a limit.
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        if text.len() > JWKS_BYTES_MAX {
            return Err(JwksError::TooLong { bytes: text.len() });
        }
        let value: Value = serde_json::from_str(text).map_err(|_| JwksError::NotAKeySet)?;
        let members = value.get("keys").and_then(Value::as_array).ok_or(JwksError::NotAKeySet)?;
        let keys: Vec<Jwk> = members.iter().filter_map(|member| Jwk::parse(member).ok().flatten()).collect();
        let rsa = keys.iter().filter(|key| matches!(key.material, KeyMaterial::Rsa { .. })).count();
        let most = rsa.max(keys.len() - rsa);
        if most > JWKS_KEYS_MAX { Err(JwksError::TooMany { keys: most }) } else { Ok(Self { keys }) }
    }

    /// The set as an issuer publishes it.
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Jwk::to_json).collect::<Vec<_>>() })
    }

    /// The keys.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }
}

/// Why a key or a key set can't be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwksError {
    /// More bytes than [`JWKS_BYTES_MAX`].
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// More keys of a kind than [`JWKS_KEYS_MAX`].
    TooMany {
        /// How many there are.
        keys: usize,
    },
    /// Not an object with a list of `keys`.
    NotAKeySet,
    /// The key's numbers are no key, or not of the kind that its `alg` needs.
    BadKey {
        /// The key's name.
        kid: Option<String>,
    },
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "the key set has {bytes} bytes, at most {JWKS_BYTES_MAX} are read")
            }
            Self::TooMany { keys } => {
                write!(f, "the key set has {keys} keys of one kind, IAM takes at most {JWKS_KEYS_MAX}")
            }
            Self::NotAKeySet => f.write_str("not a key set: an object with a list `keys` is expected"),
            Self::BadKey { kid: Some(kid) } => write!(f, "key `{kid}` is not a public key that can be used"),
            Self::BadKey { kid: None } => f.write_str("not a public key that can be used"),
        }
    }
}

impl std::error::Error for JwksError {}

/// What is wrong with a token's signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureError {
    /// The token names no key, or none that the set has for its algorithm: a newer set may have it.
    UnknownKey,
    /// The key did not make this signature.
    BadSignature,
    /// `none`, `HS256` and everything else that isn't RS or ES.
    UnsupportedAlgorithm,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "the issuer's key set has no key of the token's `kid` and `alg`",
            Self::BadSignature => "the signature is not the issuer's",
            Self::UnsupportedAlgorithm => {
                "the token's `alg` is not one of RS256, RS384, RS512, ES256, ES384, ES512"
            }
        })
    }
}

impl std::error::Error for SignatureError {}

/// Whether one of the issuer's keys made the token's signature.
///
/// # Errors
/// Why not.
pub fn verify_signature(token: &Token, keys: &Jwks) -> Result<(), SignatureError> {
    let wanted = Algorithm::parse(&token.header.alg).ok_or(SignatureError::UnsupportedAlgorithm)?;
    let kid = token.header.kid.as_deref().filter(|kid| !kid.is_empty()).ok_or(SignatureError::UnknownKey)?;
    let mut outcome = Err(SignatureError::UnknownKey);
    for key in keys.keys.iter().filter(|key| key.kid() == Some(kid)) {
        for (_, verifier) in key.verifiers.iter().filter(|(algorithm, _)| *algorithm == wanted) {
            match verifier.verify_sig(token.signing_input().as_bytes(), token.signature()) {
                Ok(()) => return Ok(()),
                Err(_) => outcome = Err(SignatureError::BadSignature),
            }
        }
    }
    outcome
}
