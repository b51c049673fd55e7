//! For which machines an image is.

use std::fmt;

use serde_json::{Value, json};

/// `OS/ARCHITECTURE[/VARIANT]`, in Go's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `linux/arm64` or `linux/arm/v7`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let fits =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(format!("`{text}` is not a platform: OS/ARCHITECTURE[/VARIANT] is expected")),
        };
        if !parts.iter().all(fits) {
            return Err(format!("`{text}` is not a platform: OS/ARCHITECTURE[/VARIANT] is expected"));
        }
        Ok(Self {
            os: (*os).to_owned(),
            architecture: (*architecture).to_owned(),
            variant: variant.map(|variant| (*variant).to_owned()),
        })
    }

    /// The platform in a descriptor or an image's configuration, both of which use the same names. None
    /// when it says nothing, or `unknown` as attestations do.
    /// <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#image-index-property-descriptions>
    pub fn of_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let platform = Self {
            os: text("os")?.to_owned(),
            architecture: text("architecture")?.to_owned(),
            variant: text("variant").map(str::to_owned),
        };
        (platform.os != "unknown").then_some(platform)
    }

    /// The form of descriptors.
    pub fn to_json(&self) -> Value {
        let mut platform = json!({ "architecture": self.architecture, "os": self.os });
        if let (Some(variant), Some(members)) = (&self.variant, platform.as_object_mut()) {
            members.insert("variant".to_owned(), json!(variant));
        }
        platform
    }

    /// Whether an image for `other` is what was asked for: a variant counts when one was named, and
    /// `arm64` means `arm64/v8`, its only one.
    pub fn admits(&self, other: &Self) -> bool {
        let is_v8 = |platform: &Self| platform.architecture == "arm64";
        self.os == other.os
            && self.architecture == other.architecture
            && match (&self.variant, &other.variant) {
                (None, _) => true,
                (Some(wanted), Some(variant)) => wanted == variant,
                (Some(wanted), None) => is_v8(self) && wanted == "v8",
            }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn platforms_have_two_or_three_parts() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_fits_when_all_that_was_asked_for_is_so() {
        for (wanted, offered, fits) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v3", true),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/amd64", "windows/amd64", false),
        ] {
            let [wanted, offered] = [wanted, offered].map(|text| Platform::parse(text).unwrap());
            assert_eq!(wanted.admits(&offered), fits, "{wanted} {offered}");
        }
    }

    #[test]
    fn json_comes_back_and_attestations_have_no_platform() {
        let platform = Platform::parse("linux/arm/v7").unwrap();
        assert_eq!(Platform::of_json(&platform.to_json()), Some(platform));
        assert_eq!(Platform::of_json(&json!({ "architecture": "unknown", "os": "unknown" })), None);
        assert_eq!(Platform::of_json(&json!({ "os": "linux" })), None);
    }
}
