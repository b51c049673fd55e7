//! The keys of issuers that are not played here, found as AWS finds them: over HTTPS, by the discovery document,
//! within five seconds.
//!
//! What is fetched is kept for a while. Exchanges that need the same keys at the same time share one fetch, and
//! a token with a key id that is not known yet leads to another one at once, as at AWS: that is how a rotated key is
//! found. Of such there are a few in a row and then one every half a minute, so that strange key ids are no flood for
//! the issuer. One that fails takes nothing from those whose keys are known.
//!
//! **Who can make the server call out.** Only whoever may create an OIDC provider says which host is asked, and
//! only tokens that pass every check before the signature lead there. The host may be a private one: a
//! self-managed GitLab is. Requests carry no credentials, redirects are not followed, and of the answers nobody
//! is told more than AWS tells; the decision log has the reason. A rehearsal never calls out.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>

mod fault;
mod fetch;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use landfall_types::{Issuer, Timestamp};
use landfall_wire::jwt::{JWKS_BYTES_MAX, Jwks};
use serde_json::Value;

pub use fault::Fault;
pub use fetch::{Fetcher, Timing, Visit};
pub use tls::{Authorities, Trust, certificates_of_pem};

/// How long an issuer has for both documents together, in milliseconds: AWS's limit (observed).
pub const ISSUER_MS_MAX: u64 = 5_000;
/// The longest discovery document that is read, in bytes.
pub const DISCOVERY_BYTES_MAX: usize = 262_144;
/// How long keys are kept, in seconds.
const KEYS_SECONDS: i64 = 600;
/// Fetches in a row that key ids which are not known may lead to.
const REFRESHES_MAX: i64 = 4;
/// How long it takes until there may be another one, in seconds.
const REFRESH_SECONDS: i64 = 30;
/// How long a fetch that failed stands for those that follow, in seconds.
const FAILURE_SECONDS: i64 = 5;
/// The most issuers that are remembered.
const ISSUERS_MAX: usize = 1_000;

/// Whether and how issuers are asked.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether issuers that are not played are asked at all.
    pub is_on: bool,
    /// Certificates of authorities to trust beside the public ones, in DER.
    pub authorities: Vec<Vec<u8>>,
    /// Addresses of hosts, in place of what DNS says of them.
    pub addresses: BTreeMap<String, SocketAddr>,
}

/// The keys of issuers, and where they come from.
#[derive(Debug)]
pub struct Discovery {
    fetcher: Option<Fetcher>,
    known: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What is known of one issuer.
#[derive(Debug, Default)]
struct Slot {
    /// Held while the issuer is asked.
    asking: tokio::sync::Mutex<Refreshes>,
    found: RwLock<Option<Arc<Found>>>,
    /// How often the issuer was asked, and what came of the last time.
    last: RwLock<(u64, Option<Arc<Found>>)>,
}

/// How often key ids that are not known have led to a fetch.
#[derive(Default, Debug)]
struct Refreshes {
    /// Those that have not made room for others again.
    count: i64,
    /// Up to when room was made, in seconds since 1970.
    counted_at: i64,
}

impl Refreshes {
    /// Whether there may be one now, which is counted then.
    fn take(&mut self, now: Timestamp) -> bool {
        let room = ((now.seconds() - self.counted_at) / REFRESH_SECONDS).max(0);
        self.count = self.count.saturating_sub(room).max(0);
        self.counted_at =
            if self.count == 0 { now.seconds() } else { self.counted_at + room * REFRESH_SECONDS };
        let has_room = self.count < REFRESHES_MAX;
        self.count += i64::from(has_room);
        has_room
    }
}

impl Slot {
    fn found(&self) -> Option<Arc<Found>> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last(&self) -> (u64, Option<Arc<Found>>) {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys that are known, when they are fresh and have the key id, else those that the issuer is asked for.
    async fn keys<F: Future<Output = Found>>(
        &self,
        kid: Option<&str>,
        now: Timestamp,
        ask: impl FnOnce() -> F,
    ) -> Arc<Found> {
        let (times, _) = self.last();
        if let Some(found) = self.found().filter(|found| found.is_usable(now, kid)) {
            return found;
        }
        let mut refreshes = self.asking.lock().await;
        // Whoever came first has asked for all who waited, also for a key id that the issuer doesn't have.
        let before = self.found().filter(|found| found.is_fresh(now));
        if let Some(found) = before.as_ref().filter(|found| found.is_usable(now, kid)) {
            return Arc::clone(found);
        }
        let (times_now, last) = self.last();
        if let Some(last) = last.filter(|_| times_now != times) {
            return last;
        }
        if let Some(found) = before.as_ref().filter(|_| !refreshes.take(now)) {
            return Arc::clone(found);
        }
        let found = Arc::new(ask().await);
        if found.keys.is_ok() || before.is_none() {
            *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&found));
        }
        *self.last.write().unwrap_or_else(PoisonError::into_inner) =
            (times_now + 1, Some(Arc::clone(&found)));
        found
    }
}

/// What came of asking an issuer.
#[derive(Debug)]
pub struct Found {
    /// When it was asked.
    pub at: Timestamp,
    /// Its keys, or what went wrong.
    pub keys: Result<Jwks, Fault>,
    /// Each document that was asked for.
    pub visits: Vec<Visit>,
}

impl Found {
    /// The keys, as far as a provider with these thumbprints trusts them.
    ///
    /// # Errors
    /// What went wrong, or that no thumbprint matches a certificate that public authorities don't vouch for.
    pub fn keys_for(&self, thumbprints: &[String]) -> Result<&Jwks, Fault> {
        let keys = self.keys.as_ref().map_err(Clone::clone)?;
        let untrusted = self.visits.iter().find_map(|visit| match &visit.trust {
            Some(Trust::Thumbprint { thumbprint, why }) if !thumbprints.contains(thumbprint) => {
                Some(Fault::Thumbprint {
                    host: visit.host.clone(),
                    wanted: thumbprints.to_vec(),
                    got: thumbprint.clone(),
                    why: why.clone(),
                })
            }
            _ => None,
        });
        untrusted.map_or(Ok(keys), Err)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.seconds() - self.at.seconds();
        age < if self.keys.is_ok() { KEYS_SECONDS } else { FAILURE_SECONDS }
    }

    fn is_usable(&self, now: Timestamp, kid: Option<&str>) -> bool {
        let has_key = |keys: &Jwks| kid.is_none_or(|kid| keys.contains(kid));
        self.is_fresh(now) && self.keys.as_ref().map_or(true, has_key)
    }
}

impl Discovery {
    /// Asks issuers as the settings say.
    ///
    /// # Errors
    /// A certificate of the settings that is none.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let fetcher = if settings.is_on { Some(Fetcher::new(settings)?) } else { None };
        Ok(Self { fetcher, known: Mutex::default() })
    }

    /// Whether issuers are asked at all.
    pub fn is_on(&self) -> bool {
        self.fetcher.is_some()
    }

    /// An issuer's keys, from memory when they are fresh and have the key id, else from the issuer. `wall` is real
    /// time, for certificates; `now` counts how old the keys are. None when issuers are not asked.
    pub async fn keys(
        &self,
        issuer: &Issuer,
        kid: Option<&str>,
        wall: Timestamp,
        now: Timestamp,
    ) -> Option<Arc<Found>> {
        let fetcher = self.fetcher.as_ref()?;
        let slot = self.slot(issuer);
        Some(slot.keys(kid, now, || ask(fetcher, issuer, wall, now)).await)
    }

    fn slot(&self, issuer: &Issuer) -> Arc<Slot> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ISSUERS_MAX && !known.contains_key(issuer.as_str()) {
            known.clear();
        }
        Arc::clone(known.entry(issuer.as_str().to_owned()).or_default())
    }

    /// The thumbprint that IAM gives a new provider that was made without one: that of the last certificate that
    /// the host of the keys sends. None when issuers are not asked.
    ///
    /// # Errors
    /// Why the issuer could not be asked.
    pub async fn thumbprint(&self, issuer: &Issuer, wall: Timestamp) -> Option<Result<String, Fault>> {
        let fetcher = self.fetcher.as_ref()?;
        let found = ask(fetcher, issuer, wall, wall).await;
        let last = found.visits.last().and_then(|visit| visit.chain.last());
        Some(match (found.keys, last) {
            (Err(fault), _) => Err(fault),
            (Ok(_), Some(certificate)) => Ok(certificate.thumbprint.clone()),
            (Ok(_), None) => Err(Fault::NoCertificate),
        })
    }
}

/// Asks an issuer for its discovery document and its keys, and tells all that was seen on the way, also where
/// it fails: for exchanges, and for those who want to know what AWS would see.
pub async fn ask(fetcher: &Fetcher, issuer: &Issuer, wall: Timestamp, now: Timestamp) -> Found {
    let mut visits = Vec::new();
    let keys = documents(fetcher, issuer, wall, &mut visits).await;
    Found { at: now, keys, visits }
}

async fn documents(
    fetcher: &Fetcher,
    issuer: &Issuer,
    wall: Timestamp,
    visits: &mut Vec<Visit>,
) -> Result<Jwks, Fault> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(ISSUER_MS_MAX);
    let url = format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'));
    let body = visit(fetcher, &url, DISCOVERY_BYTES_MAX, wall, deadline, visits).await?;
    let document: Value = serde_json::from_slice(&body).map_err(|_| Fault::NotJson { url: url.clone() })?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    match text("issuer") {
        Some(said) if said == issuer.as_str() => {}
        said => {
            let said = said.unwrap_or_default().to_owned();
            return Err(Fault::OtherIssuer { wanted: issuer.to_string(), said });
        }
    }
    let jwks_uri = text("jwks_uri").ok_or_else(|| Fault::NoKeys { url: url.clone() })?.to_owned();
    let body = visit(fetcher, &jwks_uri, JWKS_BYTES_MAX, wall, deadline, visits).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Fault::NotJson { url: jwks_uri.clone() })?;
    Jwks::parse(text).map_err(|error| Fault::BadKeys { url: jwks_uri, why: error.to_string() })
}

async fn visit(
    fetcher: &Fetcher,
    url: &str,
    bytes_max: usize,
    wall: Timestamp,
    deadline: tokio::time::Instant,
    visits: &mut Vec<Visit>,
) -> Result<Vec<u8>, Fault> {
    let mut visit = fetcher.get(url, bytes_max, wall, deadline).await;
    let body = std::mem::replace(&mut visit.body, Ok(Vec::new()));
    visits.push(visit);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_key_ids_lead_to_a_few_fetches_and_then_to_one_each_half_a_minute() {
        let mut refreshes = Refreshes::default();
        let mut count = |from: i64, to: i64| {
            (from..to)
                .filter(|second| refreshes.take(Timestamp::from_seconds(1_790_856_000 + second)))
                .count()
        };
        assert_eq!(count(0, 20), 4);
        assert_eq!(count(20, 60), 1);
        assert_eq!(count(60, 360), 10);
        // After a quiet while there are a few again, and no more than that.
        assert_eq!(count(3_600, 3_620), 4);
    }

    #[tokio::test]
    async fn who_waits_for_a_key_id_shares_a_fetch() {
        let now = Timestamp::from_seconds(1_790_856_000);
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let slot = Slot::default();
        let exchange = || {
            slot.keys(Some("unknown"), now, || async {
                asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                tokio::task::yield_now().await;
                Found {
                    at: now,
                    keys: Jwks::parse(r#"{"keys":[]}"#).map_err(|_| Fault::NoCertificate),
                    visits: Vec::new(),
                }
            })
        };
        assert!(exchange().await.keys.is_ok());
        tokio::join!(exchange(), exchange(), exchange());
        assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
    }
}
