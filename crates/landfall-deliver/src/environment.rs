//! A snapshot of the process environment: the binary takes it once, everything else reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Environment variables and the home directory at the start of the process.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
}

impl Environment {
    /// A snapshot from variables and the user's home directory.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>, home: Option<PathBuf>) -> Self {
        Self { variables: variables.into_iter().collect(), home }
    }

    /// These variables in place of its own.
    #[must_use]
    pub fn with<'a>(&self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut changed = self.clone();
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        changed.variables.extend(variables);
        changed
    }

    /// A variable's value; an empty one counts as unset, as the AWS SDKs and GitHub's runner have it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a variable is there and empty. Others (the AWS SDKs among them) don't always count it as unset.
    pub fn is_blank(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(String::is_empty)
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// A variable's value as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// Whether this is a step of a GitHub Actions job (`GITHUB_ACTIONS` is `true` there).
    pub fn is_github_actions(&self) -> bool {
        self.get("GITHUB_ACTIONS") == Some("true")
    }

    /// The region from `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub fn region(&self) -> Option<&str> {
        self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION"))
    }

    /// The endpoint configured for a service (`STS`, `ECR`): `AWS_ENDPOINT_URL_<SERVICE>`, else
    /// `AWS_ENDPOINT_URL`, else none. `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true` turns both off.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    pub fn endpoint(&self, service: &str) -> Option<&str> {
        let ignored = self
            .get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if ignored {
            return None;
        }
        self.get(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| self.get("AWS_ENDPOINT_URL"))
    }

    /// Whether a variable says `true`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("names", &self.variables.keys().collect::<Vec<_>>())
            .field("home", &self.home)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::type_complexity)]
    use super::*;
    use crate::testing::environment;

    #[test]
    fn a_service_endpoint_wins_and_an_empty_variable_counts_as_unset() {
        let cases: [(&[(&str, &str)], Option<&str>); 5] = [
            (&[], None),
            (&[("AWS_ENDPOINT_URL", "http://a")], Some("http://a")),
            (&[("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_STS", "http://b")], Some("http://b")),
            (&[("AWS_ENDPOINT_URL", "http://a"), ("AWS_ENDPOINT_URL_STS", "")], Some("http://a")),
            (&[("AWS_ENDPOINT_URL", "http://a"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")], None),
        ];
        for (variables, wanted) in cases {
            assert_eq!(environment(variables).endpoint("STS"), wanted, "{variables:?}");
        }
    }

    #[test]
    fn values_do_not_print() {
        let shown = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "hunter2")]));
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn home_is_what_was_given() {
        let environment = Environment::new([], Some(PathBuf::from("/home/x")));
        assert_eq!(environment.home(), Some(Path::new("/home/x")));
    }
}
