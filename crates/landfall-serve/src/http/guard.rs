//! Keeps web pages out. A page that a browser on this machine shows can send requests to local ports, and
//! with a name that changes its address (DNS rebinding) it can read the answers too; the root key of a
//! server on loopback is known to everyone, so nothing else would stop it.
//!
//! Where the root key is a secret, other machines may call this one by any name; what is told here without
//! credentials is still for callers on this machine alone, by a name that no page can have.
//!
//! Browsers say `Origin` with every request that could change something, and no client of AWS does. What
//! they send without it names the page's host, which is never a name that only this machine or AWS can have.

use std::net::IpAddr;

/// Why a request is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stopped {
    /// It has an `Origin`.
    WebPage,
    /// Its `Host` is a name that anyone can register.
    ForeignHost,
}

impl Stopped {
    /// What the client is told, and the log.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::WebPage => {
                "requests of web pages are not answered: this one has an Origin header, which no AWS client sends"
            }
            Self::ForeignHost => {
                "the Host header is not a name of this machine or of AWS: call 127.0.0.1, localhost, or a name under localhost, internal, local or test"
            }
        }
    }
}

/// Looks at the two headers. `known_to_all` says that the server's root key is known to everyone, so that
/// the host matters.
pub(super) fn check(origin: Option<&str>, host: Option<&str>, known_to_all: bool) -> Result<(), Stopped> {
    if origin.is_some() {
        return Err(Stopped::WebPage);
    }
    if known_to_all && host.is_some_and(|host| !is_out_of_reach(host)) {
        return Err(Stopped::ForeignHost);
    }
    Ok(())
}

/// Whether no web page can have this host: addresses, names without a dot, names that are reserved, and
/// names of AWS and of the issuers that are played here.
pub(super) fn is_out_of_reach(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if address.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    !name.contains('.')
        || RESERVED.iter().chain(OTHERS).any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
}

/// Names that nobody can register.
/// <https://www.iana.org/assignments/special-use-domain-names/special-use-domain-names.xhtml>,
/// <https://www.icann.org/en/board-activities-and-meetings/materials/approved-resolutions-special-meeting-of-the-icann-board-29-07-2024-en> (internal)
const RESERVED: &[&str] =
    &["localhost", "localdomain", "local", "test", "example", "invalid", "internal", "home.arpa"];

/// Names of AWS, whose clients may have been led here, and of issuers.
const OTHERS: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "on.aws",
    "ecr.aws",
    "on.amazonwebservices.com.cn",
    "on.amazonwebservices.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "token.actions.githubusercontent.com",
    "gitlab.com",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_no_page_can_have_are_answered() {
        for host in [
            "127.0.0.1:4566",
            "127.0.0.1",
            "[::1]:4566",
            "localhost:4566",
            "registry.localhost:4566",
            "host.docker.internal:4566",
            "landfall:4566",
            "LOCALHOST",
            "localhost.",
            "sts.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com:4566",
            "token.actions.githubusercontent.com",
            "",
        ] {
            assert_eq!(check(None, Some(host), true), Ok(()), "{host}");
        }
        for host in [
            "evil.com",
            "evil.com:4566",
            "evillocalhost.com",
            "evilamazonaws.com",
            "amazonaws.com.evil.com",
            "127.0.0.1.nip.io:4566",
            "gitlab.com.evil.com",
        ] {
            assert_eq!(check(None, Some(host), true), Err(Stopped::ForeignHost), "{host}");
            assert_eq!(check(None, Some(host), false), Ok(()), "{host}: the root key is a secret");
        }
    }

    #[test]
    fn a_web_page_is_never_answered() {
        for origin in ["http://evil.com", "http://127.0.0.1:4566", "null"] {
            assert_eq!(check(Some(origin), Some("127.0.0.1"), false), Err(Stopped::WebPage), "{origin}");
        }
    }
}
