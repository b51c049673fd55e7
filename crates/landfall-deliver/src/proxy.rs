//! The way out of a network that has only a proxy: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
//!
//! As in the AWS actions the proxy that is named serves every call, whatever its scheme: on many runners only
//! `HTTP_PROXY` is set. Loopback and the addresses of the machine's own credentials are never asked through it.

use std::fmt;

use aws_smithy_http_client::proxy::ProxyConfig;
use landfall_types::Secret;
use reqwest::{NoProxy, Url};

use crate::environment::Environment;

/// A proxy, or none, and what goes past it.
#[derive(Clone)]
pub struct Proxy {
    through: Option<Through>,
    past: String,
}

#[derive(Clone)]
struct Through {
    /// The variable that names it.
    name: &'static str,
    /// Without user and password.
    url: Url,
    login: Option<(String, Secret<String>)>,
}

impl Proxy {
    /// No proxy.
    pub fn none() -> Self {
        Self { through: None, past: String::new() }
    }

    /// The proxy that the environment names.
    ///
    /// # Errors
    /// A sentence for the user when it isn't a proxy's URL. What the variable holds may have a password in it
    /// and is not repeated.
    pub fn from_environment(environment: &Environment) -> Result<Self, String> {
        let named = NAMES.iter().find_map(|name| Some((*name, environment.get(name)?)));
        let Some((name, text)) = named else { return Ok(Self::none()) };
        let expected = || format!("{name} is not a proxy's URL: http://HOST:PORT is expected");
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&text).map_err(|_| expected())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(expected());
        }
        let login = (!url.username().is_empty()).then(|| {
            let decoded =
                |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decoded(url.username()), Secret::new(decoded(url.password().unwrap_or_default())))
        });
        url.set_username("").map_err(|()| expected())?;
        url.set_password(None).map_err(|()| expected())?;
        let said = environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")).unwrap_or_default();
        Ok(Self { through: Some(Through { name, url, login }), past: past(said) })
    }

    /// The proxy's address without its password, and the variable that names it: for whoever wonders why nobody
    /// answers.
    pub fn shown(&self) -> Option<(&str, &'static str)> {
        self.through.as_ref().map(|through| (through.url.as_str(), through.name))
    }

    /// For the AWS SDK.
    pub(crate) fn of_sdk(&self) -> ProxyConfig {
        let Some(through) = &self.through else { return ProxyConfig::disabled() };
        let Ok(config) = ProxyConfig::all(through.url.as_str()) else { return ProxyConfig::disabled() };
        let config = match &through.login {
            Some((user, password)) => config.with_basic_auth(user, password.expose()),
            None => config,
        };
        config.no_proxy(&self.past)
    }

    /// For plain HTTP.
    pub(crate) fn of_reqwest(&self) -> Result<Option<reqwest::Proxy>, reqwest::Error> {
        let Some(through) = &self.through else { return Ok(None) };
        let mut proxy = reqwest::Proxy::all(through.url.clone())?.no_proxy(NoProxy::from_string(&self.past));
        if let Some((user, password)) = &through.login {
            proxy = proxy.basic_auth(user, password.expose());
        }
        Ok(Some(proxy))
    }
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.through.as_ref().map(|through| through.url.as_str());
        f.debug_struct("Proxy").field("url", &url).field("past", &self.past).finish()
    }
}

/// `NO_PROXY` in the one form that both HTTP clients read: commas between, `.DOMAIN` for what is below a domain,
/// no ports.
fn past(said: &str) -> String {
    let words = said.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let word = word.strip_prefix("*.").map_or_else(|| word.to_owned(), |domain| format!(".{domain}"));
        match word.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
                host.to_owned()
            }
            _ => word,
        }
    });
    words.chain(NEVER.iter().map(|word| (*word).to_owned())).collect::<Vec<_>>().join(",")
}

/// In the order in which they count.
const NAMES: &[&str] = &["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// This machine, and where ECS, EKS and EC2 give a machine its credentials.
const NEVER: &[&str] = &[
    "localhost",
    "127.0.0.0/8",
    "::1",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.169.254",
    "fd00:ec2::23",
    "fd00:ec2::254",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::type_complexity)]
    use super::*;
    use crate::failure::{Failure, FailureKind};
    use crate::testing::environment;

    fn shown(variables: &[(&str, &str)]) -> String {
        match Proxy::from_environment(&environment(variables)) {
            Ok(Proxy { through: Some(Through { url, login, .. }), .. }) => {
                let user = login.map_or_else(String::new, |(user, password)| {
                    format!(" as {user} with {}", password.expose())
                });
                format!("{url}{user}")
            }
            Ok(_) => "none".to_owned(),
            Err(error) => error,
        }
    }

    #[test]
    fn the_proxy_for_https_counts_first_and_one_without_scheme_is_http() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[], "none"),
            (&[("HTTP_PROXY", "http://a:1")], "http://a:1/"),
            (&[("HTTP_PROXY", "http://a:1"), ("HTTPS_PROXY", "b:2")], "http://b:2/"),
            (&[("https_proxy", "http://c:3")], "http://c:3/"),
            (&[("HTTPS_PROXY", "http://me:p%40ss@d:4")], "http://d:4/ as me with p@ss"),
            (
                &[("HTTPS_PROXY", "socks5://e:5")],
                "HTTPS_PROXY is not a proxy's URL: http://HOST:PORT is expected",
            ),
        ];
        for (variables, wanted) in cases {
            assert_eq!(shown(variables), wanted, "{variables:?}");
        }
    }

    #[test]
    fn exceptions_are_read_in_every_form_that_is_in_use() {
        let said = past("a.example, *.b.example,.c.example d.example:443 10.0.0.0/8 *");
        assert!(
            said.starts_with("a.example,.b.example,.c.example,d.example,10.0.0.0/8,*,localhost,127.0.0.0/8"),
            "{said}"
        );
    }

    #[test]
    fn a_password_does_not_print() {
        let proxy = Proxy::from_environment(&environment(&[("HTTPS_PROXY", "http://me:hunter2@h:1")]));
        let proxy = proxy.unwrap();
        assert!(!format!("{proxy:?}").contains("hunter2"));
        let failure = |kind| Failure::new(kind, "").by_way_of(&proxy).details.join("\n");
        assert!(failure(FailureKind::Outside).contains("through the proxy http://h:1/ (HTTPS_PROXY)"));
        assert_eq!(failure(FailureKind::Refused), "");
        let error = Proxy::from_environment(&environment(&[("HTTPS_PROXY", "ftp://me:hunter2@h:1")]));
        assert!(!error.unwrap_err().contains("hunter2"));
    }
}
