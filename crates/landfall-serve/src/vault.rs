//! The server's own key: it seals sessions into session tokens and derives secret keys, so that an
//! exchange writes nothing and a token needs no table to be looked up in.

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall_types::Secret;
use landfall_wire::hash::hmac_sha256;

/// Longest sealed text that is looked at, in characters; the largest session and a login that carries it
/// stay below.
const SEALED_CHARS_MAX: usize = 32_768;
/// Length of a secret access key, in characters.
const SECRET_KEY_CHARS: usize = 40;

/// Seals and opens what the server hands out.
pub struct Vault {
    sealing: RandomizedNonceKey,
    deriving: Secret<[u8; 32]>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// What a sealed text is for: a registry login cannot be used as a session token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// `X-Amz-Security-Token`.
    Session,
    /// The password of a registry login.
    RegistryLogin,
    /// The address of a layer.
    LayerLink,
    /// A bearer token for ECR Public's registry.
    PublicToken,
}

impl Purpose {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Session => b"landfall session",
            Self::RegistryLogin => b"landfall registry login",
            Self::LayerLink => b"landfall layer link",
            Self::PublicToken => b"landfall public registry token",
        }
    }
}

impl Vault {
    /// A vault from 32 random bytes.
    ///
    /// # Errors
    /// When the cryptographic library refuses the key.
    pub fn new(key: &[u8; 32]) -> Result<Self, String> {
        let sealing = hmac_sha256(key, b"seal");
        Ok(Self {
            sealing: RandomizedNonceKey::new(&AES_256_GCM, &sealing)
                .map_err(|_| "cannot make the sealing key".to_owned())?,
            deriving: Secret::new(hmac_sha256(key, b"derive")),
        })
    }

    /// Encrypts and authenticates a text.
    ///
    /// # Errors
    /// When the cryptographic library fails (out of randomness).
    pub fn seal(&self, purpose: Purpose, plain: &[u8]) -> Result<String, String> {
        let mut bytes = plain.to_vec();
        let nonce = self
            .sealing
            .seal_in_place_append_tag(Aad::from(purpose.bytes()), &mut bytes)
            .map_err(|_| "cannot seal".to_owned())?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&bytes);
        Ok(match purpose {
            Purpose::Session => STANDARD.encode(sealed),
            Purpose::RegistryLogin | Purpose::LayerLink | Purpose::PublicToken => {
                URL_SAFE_NO_PAD.encode(sealed)
            }
        })
    }

    /// What was sealed for this purpose by this server; none for anything else.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > SEALED_CHARS_MAX {
            return None;
        }
        let bytes = match purpose {
            Purpose::Session => STANDARD.decode(sealed),
            Purpose::RegistryLogin | Purpose::LayerLink | Purpose::PublicToken => {
                URL_SAFE_NO_PAD.decode(sealed)
            }
        }
        .ok()?;
        let (nonce, rest) = bytes.split_at_checked(aws_lc_rs::aead::NONCE_LEN)?;
        let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let plain = self.sealing.open_in_place(nonce, Aad::from(purpose.bytes()), &mut rest).ok()?;
        Some(plain.to_vec())
    }

    /// The secret key that belongs to an access key id that this server made.
    pub fn secret_key(&self, access_key_id: &str) -> Secret<String> {
        let first = hmac_sha256(self.deriving.expose(), access_key_id.as_bytes());
        let mut text = STANDARD.encode(first);
        text.truncate(SECRET_KEY_CHARS);
        Secret::new(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_server_that_sealed_opens_and_only_for_the_same_purpose() {
        let (vault, other) = (Vault::new(&[1; 32]).unwrap(), Vault::new(&[2; 32]).unwrap());
        let sealed = vault.seal(Purpose::Session, b"who I am").unwrap();
        assert_eq!(vault.open(Purpose::Session, &sealed).as_deref(), Some(b"who I am".as_slice()));
        assert_eq!(vault.open(Purpose::RegistryLogin, &sealed), None);
        assert_eq!(other.open(Purpose::Session, &sealed), None);
        let mut broken = sealed.into_bytes();
        broken[20] ^= 1;
        assert_eq!(vault.open(Purpose::Session, &String::from_utf8(broken).unwrap()), None);
        assert_eq!(vault.open(Purpose::Session, ""), None);
    }

    #[test]
    fn a_secret_key_has_forty_characters_and_depends_on_the_key_id() {
        let vault = Vault::new(&[1; 32]).unwrap();
        let secret = vault.secret_key("ASIAEXAMPLE");
        assert_eq!(secret.expose().len(), 40);
        assert_ne!(secret.expose(), vault.secret_key("ASIAEXAMPLF").expose());
    }
}
