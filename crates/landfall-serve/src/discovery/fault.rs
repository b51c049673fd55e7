//! Why an issuer's keys could not be had, for the person who has to mend it. AWS has one sentence for all of it.

use std::fmt;

use landfall_types::Finding;
use landfall_wire::certificate::ChainFault;

use super::ISSUER_MS_MAX;

/// What went wrong with an issuer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The URL is not one that AWS would ask.
    Url {
        /// The URL.
        url: String,
    },
    /// The name has no address.
    Name {
        /// The host.
        host: String,
        /// What the system says.
        why: String,
    },
    /// Nobody takes the connection.
    Connect {
        /// The host.
        host: String,
        /// What the system says.
        why: String,
    },
    /// No TLS came about.
    Tls {
        /// The host.
        host: String,
        /// What the TLS library says.
        why: String,
    },
    /// The certificate is for other names.
    OtherName {
        /// The host.
        host: String,
        /// Whom the certificate is for.
        subject: String,
    },
    /// A certificate of the chain does not hold now.
    Expired {
        /// The host.
        host: String,
        /// Whom the certificate is for.
        subject: String,
        /// From when to when it holds.
        validity: String,
    },
    /// The chain is not in order.
    Chain {
        /// The host.
        host: String,
        /// How.
        fault: ChainFault,
    },
    /// No public authority vouches for the chain, and no thumbprint of the provider matches.
    Thumbprint {
        /// The host.
        host: String,
        /// The provider's.
        wanted: Vec<String>,
        /// The last certificate's.
        got: String,
        /// Why no authority vouches for it.
        why: String,
    },
    /// There was no certificate to look at.
    NoCertificate,
    /// Not within the time that AWS waits.
    Slow {
        /// The URL.
        url: String,
        /// What was waited for.
        stage: &'static str,
        /// How long the stages before it took, in words.
        before: String,
    },
    /// Another status than 200.
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
    },
    /// A redirect.
    Redirect {
        /// The URL.
        url: String,
        /// Where to.
        location: String,
    },
    /// The answer ended early, or was no HTTP.
    Broken {
        /// The URL.
        url: String,
        /// What the HTTP library says.
        why: String,
    },
    /// More than is read.
    TooLarge {
        /// The URL.
        url: String,
        /// How much is read.
        bytes_max: usize,
    },
    /// Not JSON.
    NotJson {
        /// The URL.
        url: String,
    },
    /// The document is of another issuer.
    OtherIssuer {
        /// The provider's.
        wanted: String,
        /// What the document says.
        said: String,
    },
    /// The discovery document has no `jwks_uri`.
    NoKeys {
        /// The URL.
        url: String,
    },
    /// The key set can't be used.
    BadKeys {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url } => write!(f, "`{url}` is not an https URL that can be asked"),
            Self::Name { host, why } => write!(f, "the name `{host}` has no address: {why}"),
            Self::Connect { host, why } => write!(f, "no connection to `{host}`: {why}"),
            Self::Tls { host, why } => write!(f, "no TLS with `{host}`: {why}"),
            Self::OtherName { host, subject } => {
                write!(f, "the certificate of `{host}` is for other names (it is `{subject}`'s)")
            }
            Self::Expired { host, subject, validity } => {
                write!(f, "in the chain of `{host}` the certificate of `{subject}` holds {validity}")
            }
            Self::Chain { host, fault: ChainFault::Duplicate { first, second, subject } } => {
                write!(
                    f,
                    "`{host}` sends the certificate of `{subject}` twice, as number {first} and {second}"
                )
            }
            Self::Chain { host, fault: ChainFault::OutOfOrder { position, subject, issuer, next } } => {
                write!(
                    f,
                    "the chain of `{host}` is out of order: number {position}, `{subject}`, was issued by `{issuer}`, and `{next}` comes next"
                )
            }
            Self::Thumbprint { host, .. } => write!(
                f,
                "no public authority vouches for the certificate of `{host}`, and the provider's thumbprints don't match it"
            ),
            Self::NoCertificate => f.write_str("the host sent no certificate"),
            Self::Slow { url, stage, .. } => {
                write!(f, "{stage} of {url} took longer than the {ISSUER_MS_MAX} ms that AWS waits")
            }
            Self::Status { url, status } => write!(f, "{url} answers {status}"),
            Self::Redirect { url, location } => write!(f, "{url} redirects to `{location}`"),
            Self::Broken { url, why } => write!(f, "{url} gives no whole answer: {why}"),
            Self::TooLarge { url, bytes_max } => write!(f, "{url} has more than {bytes_max} bytes"),
            Self::NotJson { url } => write!(f, "{url} is not JSON"),
            Self::OtherIssuer { wanted, said } => {
                write!(f, "the discovery document of `{wanted}` says that its issuer is `{said}`")
            }
            Self::NoKeys { url } => write!(f, "{url} has no jwks_uri"),
            Self::BadKeys { url, why } => write!(f, "{url} holds no keys that can be used: {why}"),
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// The name of the rule that was broken.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Name { .. } | Self::Connect { .. } => "issuer-unreachable",
            Self::Tls { .. } | Self::OtherName { .. } | Self::Expired { .. } | Self::NoCertificate => {
                "issuer-certificate"
            }
            Self::Chain { .. } => "issuer-chain",
            Self::Thumbprint { .. } => "issuer-thumbprint",
            Self::Slow { .. } => "issuer-slow",
            Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Broken { .. }
            | Self::TooLarge { .. }
            | Self::NotJson { .. }
            | Self::OtherIssuer { .. }
            | Self::NoKeys { .. }
            | Self::BadKeys { .. } => "issuer-document",
        }
    }

    /// The fault as a finding, with what to do.
    pub fn finding(&self) -> Finding {
        let finding = Finding::error(self.rule(), self.to_string());
        match self {
            Self::Url { .. } => finding.help("the provider's url and the jwks_uri have to begin with https://"),
            Self::Name { .. } | Self::Connect { .. } => finding.help(
                "AWS has to reach the issuer over the public internet; for this server an address can be said with --issuer-address HOST=IP:PORT",
            ),
            Self::Tls { .. } => finding.help("AWS needs TLS 1.2 or later; look with `openssl s_client -connect HOST:443`"),
            Self::OtherName { .. } => finding.help("get a certificate for the host in the provider's url"),
            Self::Expired { .. } => finding.help("renew the certificate, and have the server send the new one"),
            Self::Chain { .. } => finding.help(
                "have the server send each certificate once: its own first, then each one's issuer; AWS refuses any other order",
            ),
            Self::Thumbprint { wanted, got, why, .. } => finding
                .note(format!("wanted thumbprint  {}", listed(wanted)))
                .note(format!("got thumbprint     `{got}`"))
                .note(why.clone())
                .help(format!("add `{got}` to thumbprint_list, once you know that it is your issuer's"))
                .help("or have the server trust the authority with --ca-bundle FILE; AWS itself would still want the thumbprint"),
            Self::Slow { before, .. } => finding
                .note(before.clone())
                .help("AWS gives up after 5 s: make both documents quick, from wherever AWS asks"),
            Self::Status { .. } | Self::Broken { .. } => finding.help(
                "both documents have to be readable by anyone, without a login",
            ),
            Self::Redirect { .. } => {
                finding.help("serve the document itself under this URL: redirects are not followed")
            }
            Self::TooLarge { .. } | Self::BadKeys { .. } => {
                finding.help("publish the keys that sign now and those that will, and take the others out")
            }
            Self::NotJson { .. } | Self::NoKeys { .. } => {
                finding.help("https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata says what it has to hold")
            }
            Self::OtherIssuer { .. } => finding.help(
                "the three have to be the same letter for letter: the token's iss, the provider's url, and the document's issuer",
            ),
            Self::NoCertificate => finding,
        }
    }

    /// Whether AWS tells of the thumbprint rather than of the keys.
    pub fn is_of_thumbprint(&self) -> bool {
        matches!(self, Self::Thumbprint { .. })
    }
}

fn listed(thumbprints: &[String]) -> String {
    if thumbprints.is_empty() {
        return "(the provider has none)".to_owned();
    }
    format!("`{}`", thumbprints.join("`, `"))
}
