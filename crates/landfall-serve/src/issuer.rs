//! The issuers that are played here, GitHub's, GitLabs' and those of EKS clusters: tokens are signed with keys of this server, and STS takes the
//! keys from here instead of the network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use landfall_types::{Claims, Issuer, claims::GITHUB_ISSUER};
use landfall_wire::hash::{hex, sha256};
use landfall_wire::jwt::{self, HeaderForm, Jwks, SigningKey};

use crate::data::{DataError, KeyDir};

/// Played issuers and their keys. RSA keys take a moment to make, so a key is made when it is first
/// needed.
#[derive(Default)]
pub struct Issuers {
    played: Mutex<BTreeMap<String, Arc<PlayedIssuer>>>,
    /// Where keys are kept; none when they end with the server.
    keys: Option<KeyDir>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuers")
    }
}

/// What an issuer is: where it publishes its keys, and what its discovery document says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IssuerKind {
    /// GitHub's, of github.com, of an enterprise, or of GitHub Enterprise.
    Github,
    /// A GitLab's.
    Gitlab,
    /// An EKS cluster's: service accounts of pods (IRSA).
    Eks,
}

impl IssuerKind {
    /// What the issuer at a URL is, as far as its name tells; GitHub's for one of which it tells nothing.
    pub fn of(issuer: &Issuer) -> Self {
        let host_and_path = issuer.host_and_path();
        let host = host_and_path.split('/').next().unwrap_or_default();
        if is_eks(&host_and_path) {
            Self::Eks
        } else if host.split('.').any(|label| label.starts_with("gitlab")) {
            Self::Gitlab
        } else {
            Self::Github
        }
    }

    /// The path of the key set, behind the issuer's own.
    fn keys_path(self) -> &'static str {
        match self {
            Self::Github => "/.well-known/jwks",
            Self::Gitlab => "/oauth/discovery/keys",
            Self::Eks => "/keys",
        }
    }
}

/// Whether this is an EKS cluster's issuer: `oidc.eks.REGION.amazonaws.com/id/…`.
pub fn is_eks(host_and_path: &str) -> bool {
    let region = host_and_path.strip_prefix("oidc.eks.").and_then(|rest| rest.split_once(".amazonaws.com"));
    region.is_some_and(|(region, rest)| {
        !region.contains('/') && rest.strip_prefix(".cn").unwrap_or(rest).starts_with("/id/")
    })
}

/// One issuer that is played here.
pub struct PlayedIssuer {
    /// Its URL, the `iss` of its tokens.
    pub issuer: Issuer,
    /// What it is.
    pub kind: IssuerKind,
    keys: Option<KeyDir>,
    key: OnceLock<Result<Published, String>>,
    // Made once: a key takes a hundred milliseconds, and anyone on this machine can ask for its tokens.
    stranger: OnceLock<Result<SigningKey, String>>,
}

struct Published {
    key: SigningKey,
    jwks: Jwks,
}

/// Who signs a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    /// The issuer's own key.
    Issuer,
    /// A key that the issuer does not publish: what a forged token looks like.
    Stranger,
}

impl PlayedIssuer {
    fn new(issuer: Issuer, kind: IssuerKind, keys: Option<KeyDir>) -> Self {
        Self { issuer, kind, keys, key: OnceLock::new(), stranger: OnceLock::new() }
    }

    fn published(&self) -> Result<&Published, String> {
        let make = || {
            let key = self.keys.as_ref().map_or_else(new_key, |keys| self.kept_key(keys))?;
            let key = self.named(key)?;
            let jwks = key.jwks();
            Ok(Published { key, jwks })
        };
        self.key.get_or_init(make).as_ref().map_err(Clone::clone)
    }

    /// Kubernetes names its keys by 40 hexadecimal digits, and the Pod Identity agent wants them so.
    fn named(&self, key: SigningKey) -> Result<SigningKey, String> {
        if self.kind != IssuerKind::Eks {
            return Ok(key);
        }
        let name = hex(&sha256(key.kid().as_bytes())).chars().take(40).collect();
        let unnamed = key.to_pkcs8().map_err(|error| error.to_string())?;
        SigningKey::from_pkcs8(unnamed.expose(), Some(name)).map_err(|error| error.to_string())
    }

    /// The key of an earlier server, so that its tokens stay good; else a new one, for this and later ones.
    fn kept_key(&self, keys: &KeyDir) -> Result<SigningKey, String> {
        let name = format!("issuer-{}", hex(&sha256(self.issuer.host_and_path().as_bytes())));
        if let Some(kept) = keys.read(&name).map_err(told)? {
            return SigningKey::from_pkcs8(kept.expose(), None).map_err(|_| {
                format!(
                    "{} is not an RSA key as PKCS #8; put it back from a copy, or remove it",
                    keys.path(&name).display()
                )
            });
        }
        let key = new_key()?;
        keys.write(&name, &key.to_pkcs8().map_err(|error| error.to_string())?).map_err(told)?;
        Ok(key)
    }

    /// The keys that the issuer publishes.
    ///
    /// # Errors
    /// When the cryptographic library can't make a key.
    pub fn jwks(&self) -> Result<&Jwks, String> {
        self.published().map(|published| &published.jwks)
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When the cryptographic library can't make a key or sign.
    pub fn mint(&self, claims: &Claims, signer: Signer) -> Result<String, String> {
        let form = match self.kind {
            IssuerKind::Github => HeaderForm::Github,
            IssuerKind::Gitlab => HeaderForm::Typed,
            IssuerKind::Eks => HeaderForm::Bare,
        };
        match signer {
            Signer::Issuer => Ok(jwt::mint_as(&self.published()?.key, claims, form)),
            Signer::Stranger => {
                let key = self.stranger.get_or_init(new_key).as_ref().map_err(Clone::clone)?;
                Ok(jwt::mint_as(key, claims, form))
            }
        }
    }

    /// The discovery document. `jwks_uri` is where the real issuer has it.
    /// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>
    pub fn discovery(&self) -> serde_json::Value {
        let jwks_uri = format!("{}{}", self.issuer, self.kind.keys_path());
        let issuer = self.issuer.as_str();
        match self.kind {
            IssuerKind::Github => serde_json::json!({
                "issuer": issuer,
                "jwks_uri": jwks_uri,
                "subject_types_supported": ["public", "pairwise"],
                "response_types_supported": ["id_token"],
                "claims_supported": GITHUB_CLAIMS,
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
            }),
            IssuerKind::Gitlab => serde_json::json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/oauth/authorize"),
                "token_endpoint": format!("{issuer}/oauth/token"),
                "jwks_uri": jwks_uri,
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
            // Captured of a cluster.
            IssuerKind::Eks => serde_json::json!({
                "issuer": issuer,
                "jwks_uri": jwks_uri,
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "claims_supported": ["sub", "iss"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
        }
    }

    /// A document under the issuer's URL: the discovery document or the keys. None for any other path.
    ///
    /// # Errors
    /// When the cryptographic library can't make a key.
    pub fn document(&self, path: &str) -> Option<Result<serde_json::Value, String>> {
        if path == "/.well-known/openid-configuration" {
            return Some(Ok(self.discovery()));
        }
        (path == self.kind.keys_path()).then(|| self.jwks().map(Jwks::to_json))
    }
}

fn new_key() -> Result<SigningKey, String> {
    SigningKey::generate(None).map_err(|error| error.to_string())
}

/// An error with what the system says.
fn told(error: DataError) -> String {
    std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// `claims_supported` of GitHub's discovery document (observed).
const GITHUB_CLAIMS: &[&str] = &[
    "sub",
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "ref",
    "sha",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "enterprise",
    "enterprise_id",
    "run_id",
    "run_number",
    "run_attempt",
    "actor",
    "actor_id",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "head_ref",
    "base_ref",
    "event_name",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_node_id",
    "job_workflow_ref",
    "job_workflow_sha",
    "repository_visibility",
    "runner_environment",
    "issuer_scope",
];

/// gitlab.com's issuer.
pub const GITLAB_ISSUER: &str = "https://gitlab.com";

impl Issuers {
    /// The issuers of github.com and gitlab.com are played from the start.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same with keys that outlive the server.
    pub fn kept(keys: KeyDir) -> Self {
        Self::with(Some(keys))
    }

    fn with(keys: Option<KeyDir>) -> Self {
        let issuers = Self { keys, ..Self::default() };
        issuers.play(Issuer::github());
        if let Ok(gitlab) = Issuer::parse(GITLAB_ISSUER) {
            issuers.play(gitlab);
        }
        issuers
    }

    /// Plays an issuer from now on, as what its name says that it is.
    pub fn play(&self, issuer: Issuer) -> Arc<PlayedIssuer> {
        let kind = IssuerKind::of(&issuer);
        self.play_as(issuer, kind)
    }

    /// Plays an issuer of a kind from now on.
    pub fn play_as(&self, issuer: Issuer, kind: IssuerKind) -> Arc<PlayedIssuer> {
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let key = issuer.host_and_path();
        let make = || Arc::new(PlayedIssuer::new(issuer, kind, self.keys.clone()));
        Arc::clone(played.entry(key).or_insert_with(make))
    }

    /// The URLs of all that are played, in order.
    pub fn urls(&self) -> Vec<String> {
        let played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        played.values().map(|played| played.issuer.to_string()).collect()
    }

    /// The played issuer with this URL.
    pub fn by_url(&self, url: &str) -> Option<Arc<PlayedIssuer>> {
        let issuer = Issuer::parse(url).ok()?;
        self.by_host_and_path(&issuer.host_and_path())
    }

    /// The played issuer with this host and path.
    pub fn by_host_and_path(&self, host_and_path: &str) -> Option<Arc<PlayedIssuer>> {
        let played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        played.get(host_and_path).map(Arc::clone)
    }

    /// The document of a played issuer at a host and path; none when it is nobody's.
    ///
    /// # Errors
    /// When the cryptographic library can't make a key.
    pub fn document(&self, host_and_path: &str) -> Option<Result<serde_json::Value, String>> {
        let owner = {
            let played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
            let below = |issuer: &&Arc<PlayedIssuer>| {
                let rest = host_and_path.strip_prefix(issuer.issuer.host_and_path().as_str());
                rest.is_some_and(|rest| rest.starts_with('/'))
            };
            // The longest one is the closest: enterprises have paths of their own below a host.
            let longest = |issuer: &&Arc<PlayedIssuer>| issuer.issuer.host_and_path().len();
            played.values().filter(below).max_by_key(longest).map(Arc::clone)
        }?;
        owner.document(host_and_path.strip_prefix(owner.issuer.host_and_path().as_str())?)
    }

    /// GitHub's issuer.
    pub fn github(&self) -> Arc<PlayedIssuer> {
        self.by_url(GITHUB_ISSUER).unwrap_or_else(|| self.play(Issuer::github()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_issuers_name_tells_what_it_is() {
        for (url, kind) in [
            ("https://token.actions.githubusercontent.com", IssuerKind::Github),
            ("https://token.actions.githubusercontent.com/acme", IssuerKind::Github),
            ("https://gitlab.com", IssuerKind::Gitlab),
            ("https://gitlab.example.com", IssuerKind::Gitlab),
            ("https://oidc.eks.eu-west-1.amazonaws.com/id/0123ABC", IssuerKind::Eks),
            ("https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0123ABC", IssuerKind::Eks),
            ("https://oidc.eks.evil.test/x.amazonaws.com/id/0123ABC", IssuerKind::Github),
        ] {
            assert_eq!(IssuerKind::of(&Issuer::parse(url).unwrap()), kind, "{url}");
        }
    }

    #[test]
    fn each_issuer_publishes_where_the_real_one_does() {
        let issuers = Issuers::new();
        let cluster = "https://oidc.eks.eu-west-1.amazonaws.com/id/0123ABC";
        issuers.play(Issuer::parse(cluster).unwrap());
        issuers.play(Issuer::parse("https://token.actions.githubusercontent.com/acme").unwrap());
        for (url, keys) in [
            ("https://token.actions.githubusercontent.com", "/.well-known/jwks"),
            ("https://token.actions.githubusercontent.com/acme", "/.well-known/jwks"),
            ("https://gitlab.com", "/oauth/discovery/keys"),
            (cluster, "/keys"),
        ] {
            let host_and_path = url.strip_prefix("https://").unwrap();
            let document = issuers.document(&format!("{host_and_path}/.well-known/openid-configuration"));
            let document = document.unwrap().unwrap();
            assert_eq!(document["issuer"], url);
            assert_eq!(document["jwks_uri"], format!("{url}{keys}"));
            assert!(issuers.document(&format!("{host_and_path}{keys}")).unwrap().unwrap()["keys"].is_array());
        }
        for nothing in
            ["gitlab.com", "gitlab.com/keys", "gitlab.computer/.well-known/openid-configuration", ""]
        {
            assert!(issuers.document(nothing).is_none(), "{nothing}");
        }
    }
}
