//! Where a call came from, as far as policies can see it.

use std::net::IpAddr;

/// Longest user agent that policies see, in characters.
const USER_AGENT_CHARS_MAX: usize = 1_024;

/// Clients come over plain http here because this side has no certificate. The same call to AWS is made
/// over TLS, and the answer has to be the one that AWS would give.
pub const SECURE_TRANSPORT: (&str, &str) = ("aws:SecureTransport", "true");

/// The connection of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// The address that it came from; an IPv4 address that came in an IPv6 one is taken out of it.
    pub peer: IpAddr,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The name, and the port if it was said, by which the client calls this server: `Host`.
    pub called: Option<String>,
    /// Where the client reaches this server when that is nowhere that others do: `http://127.0.0.1:51679`.
    pub base: Option<&'static str>,
}

impl Connection {
    /// A connection from an address.
    pub fn new(peer: IpAddr, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect());
        Self { peer: peer.to_canonical(), user_agent, called: None, base: None }
    }

    /// With the `Host` that the client says.
    #[must_use]
    pub fn called(self, host: Option<&str>) -> Self {
        Self { called: host.map(str::to_owned), ..self }
    }

    /// By an address that leads to this server only from where the client is.
    #[must_use]
    pub fn by(self, base: &'static str) -> Self {
        Self { base: Some(base), ..self }
    }

    /// Whether the other side is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.peer.is_loopback()
    }

    /// The condition keys that a call has of its connection, beside [`SECURE_TRANSPORT`].
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-network-properties>
    pub fn keys(&self) -> Vec<(String, Vec<String>)> {
        let peer = ("aws:SourceIp".to_owned(), vec![self.peer.to_string()]);
        let agent = self.user_agent.iter().map(|text| ("aws:UserAgent".to_owned(), vec![text.clone()]));
        std::iter::once(peer).chain(agent).collect()
    }
}
