//! SHA-2 and HMAC, from the library that also does TLS and keys.

use aws_lc_rs::{digest, hmac};
use landfall_types::Digest;
use landfall_types::image::push_hex;

/// The hex SHA-256 of no bytes at all: the payload hash of every request without a body.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// SHA-256 as 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// SHA-256 as 32 bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    thirty_two(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 as `sha256:<64 hex>`.
pub fn sha256_digest(bytes: &[u8]) -> Digest {
    Digest::sha256(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-1 as 40 lower-case hex digits: the thumbprints of certificates, and nothing that has to be safe.
pub fn sha1_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

/// HMAC-SHA-256. <https://www.rfc-editor.org/rfc/rfc2104>
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    thirty_two(hmac::sign(&key, message).as_ref())
}

/// Lower-case hex digits of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

/// The two algorithms that content digests may use.
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#registered-algorithms>
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Algorithm {
    /// `sha256`, which everyone uses.
    #[default]
    Sha256,
    /// `sha512`.
    Sha512,
}

impl Algorithm {
    /// The algorithm that made a digest.
    pub fn of(digest: &Digest) -> Self {
        if digest.algorithm() == "sha512" { Self::Sha512 } else { Self::Sha256 }
    }
}

/// Hashes content that arrives in pieces.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: digest::Context,
}

impl Hasher {
    /// Starts with no bytes seen.
    pub fn new(algorithm: Algorithm) -> Self {
        let context = digest::Context::new(match algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha512 => &digest::SHA512,
        });
        Self { algorithm, context }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of everything seen.
    pub fn finish(self) -> Digest {
        let value = self.context.finish();
        match self.algorithm {
            Algorithm::Sha256 => Digest::sha256(value.as_ref()),
            Algorithm::Sha512 => Digest::sha512(value.as_ref()),
        }
    }
}

fn thirty_two(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("INVARIANT: SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_hold() {
        assert_eq!(sha256_hex(b""), EMPTY_SHA256);
        assert_eq!(
            sha256_digest(b"abc").as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // RFC 4231, test case 2.
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut pieces = Hasher::new(algorithm);
            pieces.update(b"ab");
            pieces.update(b"c");
            let mut whole = Hasher::new(algorithm);
            whole.update(b"abc");
            let digest = pieces.finish();
            assert_eq!(Algorithm::of(&digest), algorithm);
            assert_eq!(digest, whole.finish());
        }
        let mut sha512 = Hasher::new(Algorithm::Sha512);
        sha512.update(b"abc");
        assert!(sha512.finish().as_str().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }
}
