//! What is not AWS: the jobs' own ID-token endpoints (GitHub's protocol), and minting tokens for
//! `landfall token`. All under `/_landfall/`.
//!
//! GitHub's runner gives a job two environment variables when its permissions have
//! `id-token: write`: a URL that already has a query, and a bearer token. A job without the
//! permission has no endpoint here at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_types::{Claims, Secret, Timestamp, secret::ct_eq};
use landfall_wire::hash::sha256_hex;

use crate::issuer::Signer;
use crate::world::World;

/// Requests of one job whose audiences are remembered.
const AUDIENCES_MAX: usize = 1_000;

/// Makes a job's claims: for an audience (none: the issuer's default), at a moment, with a token id.
pub type MakeClaims = Box<dyn Fn(Option<&str>, Timestamp, &str) -> Claims + Send + Sync>;

/// Jobs that may ask for ID tokens now.
#[derive(Default)]
pub struct Jobs {
    open: Mutex<BTreeMap<String, Arc<Job>>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

struct Job {
    bearer_sha256: String,
    issuer_url: String,
    signer: Signer,
    make_claims: MakeClaims,
    audiences: Mutex<Vec<String>>,
}

/// What a job is given: the values of its two environment variables.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The job's key in [`Jobs`].
    pub id: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`; has a query already, clients append `&audience=`.
    pub url: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    pub bearer: Secret<String>,
}

impl Jobs {
    /// Opens an endpoint for a job whose permissions allow it.
    pub fn open(&self, world: &World, issuer_url: &str, signer: Signer, make_claims: MakeClaims) -> Endpoint {
        let hex = |bytes: &[u8]| {
            let mut text = String::new();
            landfall_types::image::push_hex(&mut text, bytes);
            text
        };
        let id = hex(&world.random::<8>());
        let bearer = hex(&world.random::<32>());
        let job = Job {
            bearer_sha256: sha256_hex(bearer.as_bytes()),
            issuer_url: issuer_url.to_owned(),
            signer,
            make_claims,
            audiences: Mutex::default(),
        };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Arc::new(job));
        let url = format!("{}/_landfall/id-token/{id}?api-version=2.0", world.base_url());
        Endpoint { id, url, bearer: Secret::new(bearer) }
    }

    /// Closes a job's endpoint: the job has ended. Tells the audiences that it asked for.
    pub fn close(&self, id: &str) -> Vec<String> {
        let job = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        job.map(|job| job.audiences.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .unwrap_or_default()
    }

    fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// Answers a job's request for an ID token.
///
/// # Errors
/// A status and a sentence: 404 for a job that has no endpoint (any more), 401 for a wrong bearer.
pub fn id_token(
    world: &World,
    job_id: &str,
    authorization: Option<&str>,
    audience: Option<&str>,
) -> Result<serde_json::Value, (u16, String)> {
    let job = world.jobs.get(job_id).ok_or((
        404,
        "this job has no ID-token endpoint: it has ended, or may not ask for tokens".to_owned(),
    ))?;
    let bearer = authorization
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    // Hashes are compared, so that the time taken tells nothing about the token.
    if !bearer
        .is_some_and(|bearer| ct_eq(sha256_hex(bearer.as_bytes()).as_bytes(), job.bearer_sha256.as_bytes()))
    {
        return Err((401, "the bearer token is not this job's ACTIONS_ID_TOKEN_REQUEST_TOKEN".to_owned()));
    }
    let audience = audience.filter(|audience| !audience.is_empty());
    let claims = (job.make_claims)(audience, world.clock.now(), &world.request_id());
    if let Some(audience) = claims.text("aud") {
        let mut audiences = job.audiences.lock().unwrap_or_else(PoisonError::into_inner);
        if audiences.len() < AUDIENCES_MAX {
            audiences.push(audience.to_owned());
        }
    }
    let token = mint(world, &job.issuer_url, &claims, job.signer)?;
    Ok(serde_json::json!({ "count": token.len(), "value": token }))
}

/// Signs claims with a played issuer's key.
///
/// # Errors
/// A status and a sentence.
pub fn mint(
    world: &World,
    issuer_url: &str,
    claims: &Claims,
    signer: Signer,
) -> Result<String, (u16, String)> {
    let issuer = world
        .issuers
        .by_url(issuer_url)
        .ok_or_else(|| {
            let played = world.issuers.urls().join("`, `");
            (400, format!("issuer `{issuer_url}` is not played by this server, which plays `{played}`; start it with --issuer {issuer_url}"))
        })?;
    issuer.mint(claims, signer).map_err(|error| (500, error))
}
