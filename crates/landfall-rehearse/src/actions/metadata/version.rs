//! Versions in tags: semantic ones, and those of Python packages.

use regex_lite::Regex;

/// A version by <https://semver.org>, as node's `semver` reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Semver {
    /// As it was given.
    pub raw: String,
    /// Without `v` and build.
    pub version: String,
    /// `MAJOR`, `MINOR` and `PATCH`.
    pub numbers: [u64; 3],
    /// What follows `-`.
    pub prerelease: Vec<String>,
    /// What follows `+`.
    pub build: Vec<String>,
}

impl Semver {
    /// Reads one; a `v` may stand before it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (core, prerelease) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let parts: Vec<&str> = core.split('.').collect();
        let [major, minor, patch] = parts.as_slice() else { return None };
        let numbers = [number(major)?, number(minor)?, number(patch)?];
        let prerelease = identifiers(prerelease, |text| !is_digits(text) || number(text).is_some())?;
        let build = identifiers(build, |_| true)?;
        let [major, minor, patch] = numbers;
        let mut version = format!("{major}.{minor}.{patch}");
        if !prerelease.is_empty() {
            version = format!("{version}-{}", prerelease.join("."));
        }
        Some(Self { raw: text.to_owned(), version, numbers, prerelease, build })
    }

    /// A member of it, as a template names it.
    pub fn member(&self, name: &str) -> Option<String> {
        let [major, minor, patch] = self.numbers;
        Some(match name {
            "raw" => self.raw.clone(),
            "version" => self.version.clone(),
            "major" => major.to_string(),
            "minor" => minor.to_string(),
            "patch" => patch.to_string(),
            "prerelease" => self.prerelease.join(","),
            "build" => self.build.join(","),
            _ => return None,
        })
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number without zeros before it.
fn number(text: &str) -> Option<u64> {
    if !is_digits(text) || (text.len() > 1 && text.starts_with('0')) { None } else { text.parse().ok() }
}

fn identifiers(text: Option<&str>, fits: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let Some(text) = text else { return Some(Vec::new()) };
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').map(|part| (is_word(part) && fits(part)).then(|| part.to_owned())).collect()
}

/// A version by PEP 440.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pep440 {
    /// In its normal form.
    pub clean: String,
    /// `MAJOR`, `MINOR`, `PATCH` and further ones.
    pub release: Vec<String>,
    /// Whether it is anything else than a final release.
    pub is_unfinished: bool,
}

/// PEP 440, appendix B.
const PEP440: &str = r"(?i)^\s*v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?([0-9]+)?)?((?:-([0-9]+))|(?:[-_.]?(?:post|rev|r)[-_.]?([0-9]+)?))?([-_.]?dev[-_.]?([0-9]+)?)?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$";

impl Pep440 {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let found = Regex::new(PEP440).ok()?.captures(text)?;
        let part = |index: usize| found.get(index).map(|part| part.as_str().to_lowercase());
        let plain = |digits: &str| {
            let short = digits.trim_start_matches('0');
            if short.is_empty() { "0".to_owned() } else { short.to_owned() }
        };
        let counted = |index: usize| plain(part(index).as_deref().unwrap_or_default());
        let release: Vec<String> = part(2)?.split('.').map(plain).collect();
        let mut clean = String::new();
        if let Some(epoch) = part(1).map(|epoch| plain(&epoch)).filter(|epoch| epoch != "0") {
            clean = format!("{epoch}!");
        }
        clean += &release.join(".");
        if let Some(kind) = part(3) {
            let kind = match kind.as_str() {
                "alpha" | "a" => "a",
                "beta" | "b" => "b",
                _ => "rc",
            };
            clean += &format!("{kind}{}", counted(4));
        }
        if part(5).is_some() {
            let number = if part(6).is_some() { counted(6) } else { counted(7) };
            clean += &format!(".post{number}");
        }
        if part(8).is_some() {
            clean += &format!(".dev{}", counted(9));
        }
        if let Some(local) = part(10) {
            clean += &format!("+{}", local.replace(['-', '_'], "."));
        }
        let is_unfinished = [3, 5, 8].iter().any(|index| part(*index).is_some());
        Some(Self { clean, release, is_unfinished })
    }

    /// A number of the release; one that it doesn't have is 0.
    pub fn number(&self, index: usize) -> String {
        self.release.get(index).cloned().unwrap_or_else(|| "0".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_semantic_version_is_exact() {
        for (text, wanted) in [
            ("v1.2.3", Some("1.2.3")),
            ("1.2.3-rc.1+build.5", Some("1.2.3-rc.1")),
            ("1.2.3-alpha-a.b", Some("1.2.3-alpha-a.b")),
            ("1.2", None),
            ("01.2.3", None),
            ("1.2.3-01", None),
            ("1.2.3-", None),
            ("release-1.2.3", None),
        ] {
            assert_eq!(Semver::parse(text).map(|it| it.version).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_version_of_python_is_put_into_its_normal_form() {
        for (text, wanted, unfinished) in [
            ("1.2.3", "1.2.3", false),
            ("v1.02", "1.2", false),
            ("1.2.3-ALPHA_1", "1.2.3a1", true),
            ("1.0c", "1.0rc0", true),
            ("1.0-3", "1.0.post3", true),
            ("1.0.r4", "1.0.post4", true),
            ("2!1.0.dev", "2!1.0.dev0", true),
            ("1.0+Ubuntu-1", "1.0+ubuntu.1", false),
        ] {
            let got = Pep440::parse(text).unwrap();
            assert_eq!((got.clean.as_str(), got.is_unfinished), (wanted, unfinished), "{text}");
        }
        assert_eq!(Pep440::parse("1.0.x"), None);
        assert_eq!(Pep440::parse("7").unwrap().number(2), "0");
    }
}
