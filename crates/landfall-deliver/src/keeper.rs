//! A session that stays valid: it is renewed before it ends, for as long as somebody asks for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_types::Timestamp;

use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::login::{self, LoginError, Options, Session};

/// Tells the time. The binary supplies the real one.
pub type Clock = fn() -> Timestamp;

/// A session with the moment at which it came.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The session.
    pub session: Session,
    /// When it was made.
    pub obtained: Timestamp,
}

impl Kept {
    /// Whether a new one should take its place. AWS's SDKs ask again a quarter of an hour before the
    /// end; what they are given then must live longer, or they would ask at every call. A session of
    /// half an hour or less is renewed at half time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let Some(end) = self.session.expiration else { return false };
        let life = end.0.saturating_sub(self.obtained.0);
        end.0.saturating_sub(now.0) < RENEWAL_MILLIS.min(life / 2)
    }

    /// Whether a call can still be signed with it.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.session.expiration.is_none_or(|end| now < end)
    }
}

/// Keeps one session, and makes another the way the first one was made.
pub struct Keeper {
    options: Options,
    environment: Environment,
    clock: Clock,
    kept: Mutex<Kept>,
    /// Held while a session is made, so that many who ask make one call. The moment before which a
    /// renewal that failed isn't tried again.
    renewal: tokio::sync::Mutex<Timestamp>,
    tell: Box<dyn Fn(&Event<'_>) + Send + Sync>,
}

/// What happens while a command runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// Another session took the place of the first.
    Renewed(&'a Session),
    /// None could be made; the old one is used for as long as it lives.
    Failed(&'a Failure),
}

impl Keeper {
    /// Keeps a session that `options` made. `tell` hears of each renewal.
    pub fn new(
        session: Session,
        options: Options,
        environment: Environment,
        clock: Clock,
        tell: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Self {
        let kept = Mutex::new(Kept { session, obtained: clock() });
        let renewal = tokio::sync::Mutex::new(Timestamp(i64::MIN));
        Self { options, environment, clock, kept, renewal, tell: Box::new(tell) }
    }

    /// A session that lives: the kept one, or a new one when that is about to end. Whoever asks is
    /// kept waiting for a renewal only briefly while the old one still serves: SDKs give up after two
    /// seconds.
    ///
    /// # Errors
    /// When the kept one has ended and no other can be made.
    pub async fn session(self: &Arc<Self>) -> Result<Session, Failure> {
        let kept = self.kept();
        let now = (self.clock)();
        if !kept.is_due(now) {
            return Ok(kept.session);
        }
        let keeper = Arc::clone(self);
        let renewal = tokio::spawn(async move { keeper.renew().await });
        if kept.is_alive(now) {
            return match tokio::time::timeout(PATIENCE_SECONDS_MAX, renewal).await {
                Ok(Ok(Ok(session))) => Ok(session),
                _ => Ok(kept.session),
            };
        }
        let broken = |_| Failure::new(FailureKind::Outside, "renewing the session was broken off");
        renewal.await.map_err(broken)?
    }

    async fn renew(&self) -> Result<Session, Failure> {
        let mut not_before = self.renewal.lock().await;
        let kept = self.kept();
        let now = (self.clock)();
        // Somebody else was faster, or it has just failed.
        if !kept.is_due(now) || (kept.is_alive(now) && now < *not_before) {
            return Ok(kept.session);
        }
        match login::login(&self.options, &self.environment).await {
            Ok(session) => {
                (self.tell)(&Event::Renewed(&session));
                *self.lock() = Kept { session: session.clone(), obtained: (self.clock)() };
                Ok(session)
            }
            Err(error) => {
                let failure = Failure::from(error);
                (self.tell)(&Event::Failed(&failure));
                *not_before = (self.clock)().plus_seconds(PAUSE_SECONDS);
                Err(failure)
            }
        }
    }

    fn kept(&self) -> Kept {
        self.lock().clone()
    }

    // A panic elsewhere leaves a whole session behind: it is replaced in one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that `options` ask for: from the cache file when it holds one that isn't due, else a new
/// one, which is then written there.
///
/// # Errors
/// The login's, or a cache that can't be used safely.
pub async fn cached(
    cache: &login::Cache,
    options: &Options,
    environment: &Environment,
    clock: Clock,
) -> Result<Session, CachedError> {
    let name = login::fingerprint(options, environment);
    if let Some(kept) = cache.read(&name)?.filter(|kept| !kept.is_due(clock())) {
        return Ok(kept.session);
    }
    let session = login::login(options, environment).await?;
    cache.write(&name, &Kept { session: session.clone(), obtained: clock() })?;
    Ok(session)
}

/// Why there is no session, from the cache or anew.
#[derive(Debug, thiserror::Error)]
pub enum CachedError {
    /// None could be made.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The cache can't be used.
    #[error(transparent)]
    Cache(#[from] Failure),
}

/// What is left of a session when it is renewed: a minute more than SDKs want to have left.
const RENEWAL_MILLIS: i64 = 16 * 60 * 1000;
/// How long whoever asks waits for a renewal while the old session lives.
const PATIENCE_SECONDS_MAX: Duration = Duration::from_secs(1);
/// The pause after a renewal that failed, while the old session lives.
const PAUSE_SECONDS: i64 = 30;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use landfall_types::Secret;

    fn kept(life_seconds: Option<i64>) -> Kept {
        let session = Session {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Secret::new("s".to_owned()),
            session_token: None,
            expiration: life_seconds.map(Timestamp::from_seconds),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
            arn: "arn:aws:iam::123456789012:user/ci".to_owned(),
        };
        Kept { session, obtained: Timestamp(0) }
    }

    #[test]
    fn a_session_is_renewed_before_the_sdks_ask_and_a_short_one_at_half_time() {
        for (life, second, is_due) in [
            (Some(3600), 0, false),
            (Some(3600), 2640, false),
            (Some(3600), 2641, true),
            (Some(900), 450, false),
            (Some(900), 451, true),
            (None, i64::MAX / 2000, false),
        ] {
            assert_eq!(kept(life).is_due(Timestamp::from_seconds(second)), is_due, "{life:?} at {second}");
        }
        assert!(kept(Some(10)).is_alive(Timestamp::from_seconds(9)));
        assert!(!kept(Some(10)).is_alive(Timestamp::from_seconds(10)));
    }
}
