//! Where a registry's name leads, and whether an address that the registry gives may be followed.

use reqwest::Url;

use crate::ecr::{EcrHost, PUBLIC_REGISTRY};
use crate::environment::Environment;
use crate::http;
use crate::registry::challenge::Challenge;

/// How to reach the registry that an image's name begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Host and optional port, as in the image's name. Also the `Host` header.
    pub name: String,
    /// Scheme, host and port of the connection.
    pub base: Url,
    /// Whether `base` is a stand-in on this machine for another host of that name.
    pub is_stand_in: bool,
    /// The registry of ECR that one on this machine says it plays.
    pub plays: Option<EcrHost>,
}

/// One request's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The address.
    pub url: Url,
    /// Whether it is the registry itself: only then it gets credentials and the registry's `Host`.
    pub is_registry: bool,
}

impl Endpoint {
    /// The way to a registry. Plain http is for this machine alone. An ECR name leads to
    /// `AWS_ENDPOINT_URL_ECR` or `AWS_ENDPOINT_URL` when that is plain http on loopback: a rehearsal
    /// never leaves the machine. ECR Public's leads to `AWS_ENDPOINT_URL_ECR_PUBLIC` in the same way.
    ///
    /// # Errors
    /// A sentence for the user when the name can't stand in a URL.
    pub fn new(name: &str, environment: &Environment) -> Result<Self, String> {
        let service = match name {
            PUBLIC_REGISTRY => Some("ECR_PUBLIC"),
            name => EcrHost::parse(name).map(|_| "ECR"),
        };
        let stand_in = service
            .and_then(|service| Url::parse(environment.endpoint(service)?).ok())
            .filter(http::is_plain_loopback);
        if let Some(mut base) = stand_in {
            base.set_path("/");
            base.set_query(None);
            return Ok(Self { name: name.to_owned(), base, is_stand_in: true, plays: None });
        }
        let invalid = || format!("`{}` is not a registry: HOST[:PORT] is expected", name.escape_debug());
        let url = Url::parse(&format!("https://{name}/")).map_err(|_| invalid())?;
        let is_bare = url.path() == "/" && url.username().is_empty() && url.query().is_none();
        let host = url.host_str().filter(|_| is_bare && url.fragment().is_none()).ok_or_else(invalid)?;
        let base = if http::is_loopback_host(host) {
            Url::parse(&format!("http://{name}/")).map_err(|_| invalid())?
        } else {
            url
        };
        Ok(Self { name: name.to_owned(), base, is_stand_in: false, plays: None })
    }

    /// An address below `/v2/`.
    ///
    /// # Errors
    /// A sentence for the user; repository names and digests never cause one.
    pub fn target(&self, path: &str) -> Result<Target, String> {
        let url = self.base.join(path).map_err(|error| format!("`{path}` is not a path: {error}"))?;
        Ok(Target { url, is_registry: true })
    }

    /// The address that a `Location` header names, seen from `current`.
    ///
    /// # Errors
    /// A sentence when it isn't an address, leads from encryption into the open, or leads away from
    /// this machine although the registry is played here.
    pub fn follow(&self, current: &Url, location: &str) -> Result<Target, String> {
        let url =
            current.join(location).map_err(|_| "the registry's Location is not an address".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("the registry's Location has the scheme `{}`", url.scheme()));
        }
        if url.origin() == self.base.origin() {
            return Ok(Target { url, is_registry: true });
        }
        if self.is_stand_in && authority(&url) == self.name {
            // The stand-in speaks in the name of the registry it plays.
            let mut home = self.base.clone();
            home.set_path(url.path());
            home.set_query(url.query());
            return Ok(Target { url: home, is_registry: true });
        }
        let is_local = url.host_str().is_some_and(http::is_loopback_host);
        if self.is_stand_in && !is_local {
            return Err(format!("the local registry points to {}, away from this machine", authority(&url)));
        }
        if url.scheme() == "http" && !is_local {
            return Err(format!("the registry points to {} without encryption", authority(&url)));
        }
        Ok(Target { url, is_registry: false })
    }

    /// The address of a token service, seen from here: a stand-in's own is told in the name that it plays.
    pub fn token_service(&self, realm: Url) -> Target {
        if self.is_stand_in && authority(&realm) == self.name {
            let mut home = self.base.clone();
            home.set_path(realm.path());
            home.set_query(realm.query());
            return Target { url: home, is_registry: true };
        }
        Target { url: realm, is_registry: false }
    }

    /// Whether passwords for this registry come from ECR Public: by its name, or because a registry on this machine
    /// says that it plays it, where ECR Public's calls lead to this machine as well.
    pub fn is_ecr_public(&self, service: Option<&str>, environment: &Environment) -> bool {
        let is_here = |url: &Url| url.host_str().is_some_and(http::is_loopback_host);
        let endpoint = environment.endpoint("ECR_PUBLIC").and_then(|endpoint| Url::parse(endpoint).ok());
        let is_local = is_here(&self.base) && endpoint.as_ref().is_some_and(is_here);
        self.name == PUBLIC_REGISTRY || (is_local && service == Some(PUBLIC_REGISTRY))
    }

    /// Takes over what a challenge says: a registry on this machine plays the one of ECR whose address is the realm,
    /// where ECR's calls lead to this machine as well.
    pub fn learn(&mut self, challenge: &Challenge, environment: &Environment) {
        let Challenge::Basic { realm: Some(realm) } = challenge else { return };
        if is_local(&self.base, environment) {
            self.plays = Url::parse(realm).ok().and_then(|realm| EcrHost::parse(realm.host_str()?));
        }
    }

    /// The registry of ECR that this is, by its name or because it says so.
    pub fn ecr_host(&self) -> Option<EcrHost> {
        EcrHost::parse(&self.name).or_else(|| self.plays.clone())
    }

    /// Whether passwords for this registry come from ECR, and in which region: by its name, because it says that it
    /// plays one of ECR's, or because it is the host that ECR's calls are sent to anyway.
    pub fn ecr_region(&self, environment: &Environment) -> Option<String> {
        if let Some(host) = self.ecr_host() {
            return Some(host.region);
        }
        let endpoint = Url::parse(environment.endpoint("ECR")?).ok()?;
        (endpoint.origin() == self.base.origin())
            .then(|| environment.region().unwrap_or(ANY_REGION).to_owned())
    }
}

/// Whether a registry is on this machine, and ECR's calls are answered here too.
pub fn is_local(registry: &Url, environment: &Environment) -> bool {
    let endpoint = environment.endpoint("ECR").and_then(|endpoint| Url::parse(endpoint).ok());
    http::is_plain_loopback(registry) && endpoint.as_ref().is_some_and(http::is_plain_loopback)
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The region to sign for when an endpoint is given and no region is: the SDKs' own habit.
const ANY_REGION: &str = "us-east-1";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::type_complexity)]
    use super::*;
    use crate::testing::environment;

    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let local = [("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")];
        let far = [("AWS_ENDPOINT_URL", "http://10.0.0.1:4566")];
        let encrypted = [("AWS_ENDPOINT_URL_ECR", "https://127.0.0.1:4566")];
        let cases: [(&str, &[(&str, &str)], &str, bool); 9] = [
            ("127.0.0.1:4566", &[], "http://127.0.0.1:4566/", false),
            ("localhost:5000", &[], "http://localhost:5000/", false),
            ("[::1]:5000", &[], "http://[::1]:5000/", false),
            ("ghcr.io", &[], "https://ghcr.io/", false),
            ("ghcr.io", &local, "https://ghcr.io/", false),
            (ECR, &[], "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", false),
            (ECR, &local, "http://127.0.0.1:4566/", true),
            (ECR, &far, "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", false),
            (ECR, &encrypted, "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", false),
        ];
        for (name, variables, base, is_stand_in) in cases {
            let endpoint = Endpoint::new(name, &environment(variables)).unwrap();
            assert_eq!(
                (endpoint.base.as_str(), endpoint.is_stand_in),
                (base, is_stand_in),
                "{name} {variables:?}"
            );
        }
    }

    #[test]
    fn a_name_that_is_more_than_a_host_is_refused() {
        for name in ["", "user@host", "host/path", "host?x", "host#x", "ho st"] {
            assert!(Endpoint::new(name, &environment(&[])).is_err(), "{name}");
        }
    }

    #[test]
    fn locations_are_followed_home_and_never_astray() {
        let real = Endpoint::new(ECR, &environment(&[])).unwrap();
        let stand_in =
            Endpoint::new(ECR, &environment(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")])).unwrap();
        let absolute = format!("https://{ECR}/v2/a/blobs/uploads/1?s=2");
        let cases: [(&Endpoint, &str, Option<(&str, bool)>); 8] = [
            (&real, "/v2/a/blobs/uploads/1?s=2", Some((&absolute, true))),
            (&real, &absolute, Some((&absolute, true))),
            (&real, "https://bucket.s3.amazonaws.com/x", Some(("https://bucket.s3.amazonaws.com/x", false))),
            (&real, "http://bucket.s3.amazonaws.com/x", None),
            (&real, "file:///etc/passwd", None),
            (&stand_in, &absolute, Some(("http://127.0.0.1:4566/v2/a/blobs/uploads/1?s=2", true))),
            (&stand_in, "https://bucket.s3.amazonaws.com/x", None),
            (&stand_in, "http://127.0.0.1:9000/x", Some(("http://127.0.0.1:9000/x", false))),
        ];
        for (endpoint, location, wanted) in cases {
            let current = endpoint.target("/v2/a/blobs/uploads/").unwrap().url;
            let target = endpoint.follow(&current, location).ok();
            let shown = target.as_ref().map(|target| (target.url.as_str(), target.is_registry));
            assert_eq!(shown, wanted, "{location}");
        }
    }

    #[test]
    fn ecr_gives_the_password_for_its_own_names_and_for_its_endpoint() {
        let at = |name: &str, variables: &[(&str, &str)]| {
            let environment = environment(variables);
            Endpoint::new(name, &environment).unwrap().ecr_region(&environment)
        };
        let local = [("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"), ("AWS_REGION", "eu-west-3")];
        assert_eq!(at(ECR, &[]).as_deref(), Some("eu-west-1"));
        assert_eq!(at("127.0.0.1:4566", &local).as_deref(), Some("eu-west-3"));
        assert_eq!(at("127.0.0.1:4567", &local), None);
        assert_eq!(at("127.0.0.1:4566", &[]), None);
        assert_eq!(at("ghcr.io", &local), None);
    }

    #[test]
    fn a_registry_on_this_machine_says_which_of_ecrs_it_plays() {
        let learned = |name: &str, realm: &str, variables: &[(&str, &str)]| {
            let environment = environment(variables);
            let mut endpoint = Endpoint::new(name, &environment).unwrap();
            endpoint.learn(&Challenge::Basic { realm: Some(realm.to_owned()) }, &environment);
            endpoint.ecr_region(&environment)
        };
        let local = [("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"), ("AWS_REGION", "eu-west-3")];
        let realm = format!("https://{ECR}/");
        assert_eq!(learned("127.0.0.1:4567", &realm, &local).as_deref(), Some("eu-west-1"));
        assert_eq!(learned("127.0.0.1:4566", &realm, &local).as_deref(), Some("eu-west-1"));
        assert_eq!(learned("127.0.0.1:4567", "http://127.0.0.1:4567/", &local), None);
        assert_eq!(learned("127.0.0.1:4567", &realm, &[]), None, "ECR's calls go to AWS");
        assert_eq!(learned("registry.example.com", &realm, &local), None, "anybody may say so");
    }
}
