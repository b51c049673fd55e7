//! What an ID token says.

use std::fmt;
use std::sync::Arc;

use crate::AccountId;

/// The claims of an ID token in the order in which they stand there. A copy shares them until one of the two
/// is changed: every exchange hands its claims on to what checks them, and to the log.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Claims(Arc<Vec<(String, ClaimValue)>>);

/// A claim's value, as far as anyone looks into it.
#[derive(Clone, PartialEq, Debug)]
pub enum ClaimValue {
    /// JSON null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<ClaimValue>),
    /// An object.
    Map(Vec<(String, ClaimValue)>),
}

impl Claims {
    /// No claims yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These claims, of which no name occurs twice.
    pub fn of(claims: Vec<(String, ClaimValue)>) -> Self {
        Self(Arc::new(claims))
    }

    /// Sets a claim; the last value of a repeated name counts (as STS does, by observation).
    pub fn set(&mut self, name: impl Into<String>, value: ClaimValue) {
        let name = name.into();
        let claims = Arc::make_mut(&mut self.0);
        match claims.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => claims.push((name, value)),
        }
    }

    /// Sets a claim to a string.
    pub fn set_text(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.set(name, ClaimValue::Text(value.into()));
    }

    /// Removes a claim.
    pub fn remove(&mut self, name: &str) {
        Arc::make_mut(&mut self.0).retain(|(known, _)| known != name);
    }

    /// A claim's value.
    pub fn get(&self, name: &str) -> Option<&ClaimValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A claim's value when it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(ClaimValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// All claims in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ClaimValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// An OIDC issuer: the `iss` of its tokens, an https URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Issuer(String);

/// github.com's issuer.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

impl Issuer {
    /// Reads an issuer URL.
    ///
    /// # Errors
    /// A sentence for the user when it is not an https URL with a host, or has a query or fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("https://")
            .ok_or_else(|| format!("issuer `{text}` must begin with https://"))?;
        if rest.is_empty() || rest.starts_with('/') || rest.contains(['?', '#', ' ']) {
            return Err(format!("issuer `{text}` must be https://HOST[/PATH] without query or fragment"));
        }
        Ok(Self(text.to_owned()))
    }

    /// github.com's issuer.
    pub fn github() -> Self {
        Self(GITHUB_ISSUER.to_owned())
    }

    /// The issuer of an EKS cluster that is played: `https://oidc.eks.REGION.amazonaws.com/id/ID`. AWS draws
    /// the id at random; here it follows from the cluster, so that Terraform which names the issuer can be
    /// worked out before there is a cluster.
    pub fn of_eks_cluster(account: AccountId, region: &str, name: &str) -> Self {
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let id = fnv_128(&format!("{account}/{region}/{name}"));
        Self(format!("https://oidc.eks.{region}.amazonaws.com{suffix}/id/{id:032X}"))
    }

    /// The URL as it stands in `iss`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and path without scheme: what provider ARNs and condition keys carry. `:443` is dropped,
    /// a trailing slash is kept (two different providers for IAM, by observation).
    pub fn host_and_path(&self) -> String {
        let rest = self.0.strip_prefix("https://").unwrap_or(&self.0);
        let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        let host = host.strip_suffix(":443").unwrap_or(host);
        path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
    }
}

/// FNV-1a with 128 bits: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. A name, not a secret.
fn fnv_128(text: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
