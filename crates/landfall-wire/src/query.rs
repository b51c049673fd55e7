//! The request side of AWS's Query protocol: a form (or a query string) in which names spell out lists and
//! structures. <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::error::AwsError;

/// The longest form that is read, in bytes.
pub const FORM_BYTES_MAX: usize = 1_048_576;
/// The most parameters that are read from a form.
pub const PARAMETERS_MAX: usize = 20_000;

/// The parameters of a request in the order of their arrival.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `a=1&b=2`. A plus sign is a space.
    ///
    /// # Errors
    /// `MalformedInput` when a name or value isn't UTF-8 or a limit is passed.
    pub fn parse(form: &str) -> Result<Self, AwsError> {
        if form.len() > FORM_BYTES_MAX {
            return Err(malformed(format!(
                "the form has {} bytes, at most {FORM_BYTES_MAX} are read",
                form.len()
            )));
        }
        let mut pairs = Vec::new();
        for part in form.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(malformed(format!("the form has more than {PARAMETERS_MAX} parameters")));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    /// Reads a body.
    ///
    /// # Errors
    /// As [`Params::parse`].
    pub fn parse_bytes(form: &[u8]) -> Result<Self, AwsError> {
        Self::parse(std::str::from_utf8(form).map_err(|_| malformed("the form is not UTF-8"))?)
    }

    /// Adds the parameters of another part of the request: those of the URL to those of the body.
    pub fn extend(&mut self, other: Params) {
        self.0.extend(other.0);
    }

    /// The first value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `list("PolicyArns.member", ".arn")` gives the values of `PolicyArns.member.1.arn`,
    /// `PolicyArns.member.2.arn`, … by number, whatever order they arrived in. The suffix is empty for lists
    /// of plain values.
    pub fn list(&self, prefix: &str, suffix: &str) -> Vec<&str> {
        values(self.iter(), prefix, suffix)
    }

    /// `structures("Tags.member")` gives one [`Fields`] for each number: `Tags.member.1.Key` and
    /// `Tags.member.1.Value` are `Key` and `Value` of the first.
    pub fn structures(&self, prefix: &str) -> Vec<Fields<'_>> {
        let mut items: BTreeMap<u32, Fields<'_>> = BTreeMap::new();
        for (name, value) in &self.0 {
            if let Some((number, rest)) = numbered(name, prefix)
                && let Some(field) = rest.strip_prefix('.')
            {
                items.entry(number).or_default().0.push((field, value));
            }
        }
        items.into_values().collect()
    }
}

/// The members of one structure of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fields<'p>(Vec<(&'p str, &'p str)>);

impl<'p> Fields<'p> {
    /// The first value under a name.
    pub fn get(&self, name: &str) -> Option<&'p str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The values of a list, `list("Values.member")`, by number.
    pub fn list(&self, prefix: &str) -> Vec<&'p str> {
        values(self.0.iter().copied(), prefix, "")
    }
}

/// The values under `PREFIX.NUMBER` and a suffix, by number.
fn values<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>, prefix: &str, suffix: &str) -> Vec<&'p str> {
    let mut items: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, value) in pairs {
        if let Some((number, rest)) = numbered(name, prefix)
            && rest == suffix
        {
            items.entry(number).or_insert(value);
        }
    }
    items.into_values().collect()
}

/// Splits `PREFIX.NUMBER` and what follows the number.
fn numbered<'n>(name: &'n str, prefix: &str) -> Option<(u32, &'n str)> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
    let end = rest.find('.').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    Some((number.parse().ok()?, rest))
}

fn decoded(text: &str) -> Result<String, AwsError> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.to_owned());
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| malformed("a parameter is not UTF-8"))
}

fn malformed(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("MalformedInput", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let params =
            Params::parse("Action=AssumeRole&RoleSessionName=a+b%2Bc&Empty=&Bare&%C3%A4=%C3%B6").unwrap();
        assert_eq!(params.get("Action"), Some("AssumeRole"));
        assert_eq!(params.get("RoleSessionName"), Some("a b+c"));
        assert_eq!(params.get("Empty"), Some(""));
        assert_eq!(params.get("Bare"), Some(""));
        assert_eq!(params.get("ä"), Some("ö"));
        assert_eq!(params.get("action"), None);
        assert_eq!(params.iter().count(), 5);
    }

    #[test]
    fn lists_are_ordered_by_number_and_not_by_arrival() {
        let params = Params::parse(
            "P.member.10.arn=j&P.member.2.arn=b&P.member.1.arn=a&P.member.x.arn=no&P.member.3.other=no&Q.member.1=q",
        )
        .unwrap();
        assert_eq!(params.list("P.member", ".arn"), ["a", "b", "j"]);
        assert_eq!(params.list("Q.member", ""), ["q"]);
        assert!(params.list("R.member", "").is_empty());
    }

    #[test]
    fn structures_keep_their_members_together() {
        let params = Params::parse(
            "Tags.member.2.Value=2&Tags.member.1.Key=a&Tags.member.2.Key=b&Tags.member.1.Value=1",
        )
        .unwrap();
        let tags: Vec<_> =
            params.structures("Tags.member").iter().map(|tag| (tag.get("Key"), tag.get("Value"))).collect();
        assert_eq!(tags, [(Some("a"), Some("1")), (Some("b"), Some("2"))]);
    }

    #[test]
    fn what_is_not_utf8_or_too_much_is_malformed() {
        for form in ["a=%ff".to_owned(), "a=1&".repeat(PARAMETERS_MAX + 1), "a".repeat(FORM_BYTES_MAX + 1)] {
            let error = Params::parse(&form).unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("MalformedInput", 400));
        }
        assert!(Params::parse_bytes(b"a=\xff").is_err());
        assert!(Params::parse(&"a=1&".repeat(PARAMETERS_MAX)).is_ok());
    }
}
