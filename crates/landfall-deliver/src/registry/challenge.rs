//! What a registry wants to see: the `WWW-Authenticate` header (RFC 9110, section 11.6.1) and, for
//! other registries than private ECR, the token service behind it.
//! <https://distribution.github.io/distribution/spec/auth/token/>

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A registry's demand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// User and password with every request, as private ECR wants it.
    Basic {
        /// What the password is for; ECR says the registry's own address.
        realm: Option<String>,
    },
    /// A token from a service.
    Bearer {
        /// The token service's address.
        realm: String,
        /// For which registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads one header value; unknown schemes give none.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        let is_basic = scheme.eq_ignore_ascii_case("basic");
        if !is_basic && !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters_of(parameters);
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if is_basic {
            return Some(Self::Basic { realm: get("realm") });
        }
        Some(Self::Bearer { realm: get("realm")?, service: get("service") })
    }

    /// Whether an answer says that the token is good and the right is missing (RFC 6750, section 3.1).
    pub fn lacks_scope(headers: &HeaderMap) -> bool {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| parameters_of(value.split_once(' ').map_or("", |(_, rest)| rest)))
            .any(|(name, value)| name.eq_ignore_ascii_case("error") && value == "insufficient_scope")
    }
}

fn parameters_of(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.push((name.trim().to_owned(), value.trim().to_owned()));
        rest = after.trim_start_matches([',', ' ']);
    }
    parameters
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, wanted) in [
            (
                r#"Basic realm="https://1.dkr.ecr.x.amazonaws.com/",service="ecr.amazonaws.com""#,
                Some(Challenge::Basic { realm: Some("https://1.dkr.ecr.x.amazonaws.com/".to_owned()) }),
            ),
            ("basic", Some(Challenge::Basic { realm: None })),
            (
                r#"Bearer realm="https://a/token",service="a, b",scope="x""#,
                bearer("https://a/token", Some("a, b")),
            ),
            ("Bearer realm=https://a/token, service=a", bearer("https://a/token", Some("a"))),
            ("Bearer service=a", None),
            ("Negotiate", None),
        ] {
            assert_eq!(Challenge::parse(header), wanted, "{header}");
        }
    }

    #[test]
    fn a_missing_right_is_told_from_a_missing_login() {
        let lacks = |value: &str| {
            Challenge::lacks_scope(&[(WWW_AUTHENTICATE, value.parse().unwrap())].into_iter().collect())
        };
        assert!(lacks(r#"Bearer realm="https://a",scope="x",error="insufficient_scope""#));
        for value in [r#"Bearer realm="https://a",error="invalid_token""#, "Basic", "insufficient_scope"] {
            assert!(!lacks(value), "{value}");
        }
    }
}
