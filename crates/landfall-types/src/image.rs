//! Images and where they live. Grammar: OCI distribution specification 1.1, "Pulling manifests";
//! repository names: ECR's API model (2 to 256 characters).

use std::fmt;

/// `sha256:<64 hex>` or `sha512:<128 hex>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest.
    ///
    /// # Errors
    /// A sentence for the user when algorithm or encoding is not one of the two forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = match text.split_once(':') {
            Some(("sha256", _)) => 64,
            Some(("sha512", _)) => 128,
            _ => return Err(format!("`{text}` is not a digest (sha256:<64 hex> or sha512:<128 hex>)")),
        };
        let hex = text.split_once(':').map_or("", |(_, hex)| hex);
        if hex.len() != wanted || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!(
                "`{text}` is not a digest: {wanted} lower-case hex digits are expected after the colon"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// A digest from the 32 bytes of a SHA-256.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(7 + bytes.len() * 2);
        text.push_str("sha256:");
        push_hex(&mut text, bytes);
        Self(text)
    }

    /// A digest from the 64 bytes of a SHA-512.
    pub fn sha512(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(7 + bytes.len() * 2);
        text.push_str("sha512:");
        push_hex(&mut text, bytes);
        Self(text)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

/// Appends bytes as lower-case hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository's name without the registry: `team/api`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Reads a name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` joined by `/`, 2 to 256 characters.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let well_formed = (2..=256).contains(&text.len()) && text.split('/').all(is_name_component);
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not a repository name (2 to 256 of a-z 0-9, single . or _, __, -, parts joined by /)"
            ))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    // Between two alphanumeric runs: one dot, one or two underscores, or any number of hyphens.
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tag(String);

impl Tag {
    /// Reads a tag.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let well_formed = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is not a tag (1 to 128 of A-Z a-z 0-9 _ . -, not beginning with . or -)"))
        }
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `REGISTRY/REPOSITORY[:TAG][@DIGEST]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageRef {
    /// Host and optional port.
    pub registry: String,
    /// The repository's name.
    pub repository: RepositoryName,
    /// The tag, if one was given.
    pub tag: Option<Tag>,
    /// The digest, if one was given.
    pub digest: Option<Digest>,
}

impl ImageRef {
    /// Reads a reference. The registry is required: there is no default registry here.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (registry, path) = rest
            .split_once('/')
            .filter(|(host, _)| host.contains('.') || host.contains(':') || *host == "localhost")
            .ok_or_else(|| {
                format!("`{text}` does not name a registry: REGISTRY/REPOSITORY[:TAG] is expected")
            })?;
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(Tag::parse(tag)?)),
            None => (path, None),
        };
        Ok(Self { registry: registry.to_owned(), repository: RepositoryName::parse(name)?, tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        for name in ["ab", "team/api", "a.b", "a_b", "a__b", "a---b", "my-service-ecr"] {
            assert!(RepositoryName::parse(name).is_ok(), "{name}");
        }
        for name in ["a", "", "A/b", "a..b", "a___b", "-ab", "ab-", "a//b", "/ab", "ab/", "a._b"] {
            assert!(RepositoryName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn references_split_at_the_right_colon() {
        let image = ImageRef::parse("127.0.0.1:4566/team/api:v1").expect("a reference");
        assert_eq!(image.registry, "127.0.0.1:4566");
        assert_eq!(image.repository.as_str(), "team/api");
        assert_eq!(image.tag.as_ref().map(Tag::as_str), Some("v1"));
        assert_eq!(image.to_string(), "127.0.0.1:4566/team/api:v1");
        assert!(ImageRef::parse("team/api:v1").is_err());
        assert!(ImageRef::parse("localhost/api@sha256:12").is_err());
    }
}
