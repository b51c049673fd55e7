//! What a registry wants to see: the `WWW-Authenticate` header (RFC 9110, section 11.6.1) and, for
//! other registries than private ECR, the token service behind it.
//! <https://distribution.github.io/distribution/spec/auth/token/>

use reqwest::Url;

/// A registry's demand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// User and password with every request, as private ECR wants it.
    Basic,
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
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters_of(parameters);
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: get("realm")?, service: get("service") })
    }
}

/// The token service's address for pushing to a repository.
pub fn token_url(realm: &str, service: Option<&str>, repository: &str) -> Option<Url> {
    let mut url = Url::parse(realm).ok()?;
    if let Some(service) = service {
        url.query_pairs_mut().append_pair("service", service);
    }
    url.query_pairs_mut().append_pair("scope", &format!("repository:{repository}:pull,push"));
    Some(url)
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
                Some(Challenge::Basic),
            ),
            ("basic", Some(Challenge::Basic)),
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
    fn the_scope_is_the_repository() {
        let url = token_url("https://a/token?x=1", Some("a"), "team/api").unwrap();
        assert_eq!(url.as_str(), "https://a/token?x=1&service=a&scope=repository%3Ateam%2Fapi%3Apull%2Cpush");
    }
}
