//! The issuers that are played here: tokens are signed with keys of this server, and STS takes the
//! keys from here instead of the network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use landfall_types::{Claims, Issuer, claims::GITHUB_ISSUER};
use landfall_wire::jwt::{self, Jwks, SigningKey};

/// Played issuers and their keys. RSA keys take a moment to make, so a key is made when it is first
/// needed.
#[derive(Default)]
pub struct Issuers {
    played: Mutex<BTreeMap<String, Arc<PlayedIssuer>>>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuers")
    }
}

/// One issuer that is played here.
pub struct PlayedIssuer {
    /// Its URL, the `iss` of its tokens.
    pub issuer: Issuer,
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
    fn new(issuer: Issuer) -> Self {
        Self { issuer, key: OnceLock::new(), stranger: OnceLock::new() }
    }

    fn published(&self) -> Result<&Published, String> {
        let make = || {
            let key = SigningKey::generate(None).map_err(|error| error.to_string())?;
            let jwks = key.jwks();
            Ok(Published { key, jwks })
        };
        self.key.get_or_init(make).as_ref().map_err(Clone::clone)
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
        match signer {
            Signer::Issuer => Ok(jwt::mint(&self.published()?.key, claims)),
            Signer::Stranger => {
                let make = || SigningKey::generate(None).map_err(|error| error.to_string());
                let key = self.stranger.get_or_init(make).as_ref().map_err(Clone::clone)?;
                Ok(jwt::mint(key, claims))
            }
        }
    }

    /// The discovery document. `jwks_uri` is where the real issuer has it.
    /// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>
    pub fn discovery(&self) -> serde_json::Value {
        serde_json::json!({
            "issuer": self.issuer.as_str(),
            "jwks_uri": format!("{}/.well-known/jwks", self.issuer),
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": GITHUB_CLAIMS,
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        })
    }
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

impl Issuers {
    /// GitHub's issuer is played from the start.
    pub fn new() -> Self {
        let issuers = Self::default();
        issuers.play(Issuer::github());
        issuers
    }

    /// Plays an issuer from now on.
    pub fn play(&self, issuer: Issuer) -> Arc<PlayedIssuer> {
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let key = issuer.host_and_path();
        Arc::clone(played.entry(key).or_insert_with(|| Arc::new(PlayedIssuer::new(issuer))))
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

    /// GitHub's issuer.
    pub fn github(&self) -> Arc<PlayedIssuer> {
        self.by_url(GITHUB_ISSUER).unwrap_or_else(|| self.play(Issuer::github()))
    }
}
