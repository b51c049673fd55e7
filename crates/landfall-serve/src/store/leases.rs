//! Leases: blobs that a push in flight counts on, and that no collector may take.
//!
//! A client looks which layers are there, sends those that are not, and then the manifest. Until the manifest is
//! there nothing names the layers, and none of them may go away. So whoever is told that a repository has a blob
//! gets a lease on it, and whoever stores one: noted under the lock under which the collector decides
//! ([`Store::blob`](super::Store::blob)), so that there is no moment between the answer and the lease.
//!
//! A lease lasts an hour, and longer while something is uploaded to the repository: the upload may belong to the
//! push that was told. Which one does can't be seen, and a repository may be pushed to all day; but no push goes on with a
//! login that has ended, so that none needs what it was told twelve hours ago. What an earlier server has promised is not
//! known. For an hour after its start everything counts as leased, and in a repository that is uploaded to without a pause
//! until that ends, or twelve hours are over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_types::{Digest, Timestamp};

/// How long a lease lasts at least, in milliseconds. It may be twice as long.
pub const LEASE_MS: i64 = 3_600_000;
/// How often a lease is kept for another hour at most: as long as the login that a push was told with.
const KEPT_MAX: u32 = 12;
/// The same where time passes faster than it does: no client becomes faster by that.
pub const LEASE_MS_MIN: i64 = 10_000;

/// Leases, in two ages: once the younger is an hour old it becomes the older, and the older ends. So nobody who
/// takes a lease needs to know the time.
///
/// A repository is called by its [path](super::RegistryId::path_of) here.
#[derive(Clone, Default, Debug)]
pub struct Leases {
    state: Arc<Mutex<State>>,
}

#[derive(Default, Debug)]
struct State {
    younger: Age,
    older: Age,
    /// When the younger began.
    began_at: Option<Timestamp>,
    unknown: Unknown,
    /// How often what is unknown was kept.
    unknown_kept: u32,
    /// Uploads that nobody else counts, by repository.
    uploading: HashMap<String, usize>,
}

#[derive(Default, Debug)]
struct Age {
    /// By repository, with how often each lease was kept beyond its hour.
    leased: HashMap<String, HashMap<Digest, u32>>,
    /// Repositories to which something was uploaded.
    busy: HashSet<String>,
}

/// Where an earlier server may have promised anything.
#[derive(Default, Debug)]
enum Unknown {
    #[default]
    Anywhere,
    In(HashSet<String>),
}

impl Leases {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody counts on a repository's blob from now on.
    pub(super) fn lease(&self, repository: &str, digest: &Digest) {
        self.state().younger.lease(repository, digest);
    }

    /// A blob was stored in a repository: a push may count on it, and on all that it was told before.
    pub(super) fn lease_stored(&self, repository: &str, digest: &Digest) {
        let mut state = self.state();
        state.younger.lease(repository, digest);
        state.younger.busy.insert(repository.to_owned());
    }

    /// An upload that is not among the [open ones](crate::blobs::Uploads); it has ended when the answer is dropped.
    pub fn uploading(&self, repository: &str) -> Uploading {
        *self.state().uploading.entry(repository.to_owned()).or_default() += 1;
        Uploading { leases: self.clone(), repository: repository.to_owned() }
    }

    /// Whether a push in flight may count on a repository's blob.
    pub(super) fn has(&self, repository: &str, digest: &Digest) -> bool {
        let state = self.state();
        let is_unknown = match &state.unknown {
            Unknown::Anywhere => true,
            Unknown::In(repositories) => repositories.contains(repository),
        };
        is_unknown || state.younger.has(repository, digest) || state.older.has(repository, digest)
    }

    /// Lets leases grow older: those that are `lease_ms` old end, but for repositories that are uploaded to, where they
    /// end when they are twelve times as old. `open` are those that have an open upload.
    pub fn turn(&self, now: Timestamp, lease_ms: i64, open: HashSet<String>) {
        let state = &mut *self.state();
        match state.began_at {
            Some(began_at) if began_at.0.saturating_add(lease_ms) > now.0 => return,
            None => return state.began_at = Some(now),
            Some(_) => state.began_at = Some(now),
        }
        let mut ended = std::mem::take(&mut state.older);
        state.older = std::mem::take(&mut state.younger);
        let mut busy = open;
        busy.extend(state.uploading.keys().cloned());
        busy.extend(state.older.busy.iter().cloned());
        ended.leased.retain(|repository, _| busy.contains(repository));
        for (repository, mut digests) in ended.leased {
            digests.retain(|_, kept| *kept < KEPT_MAX);
            let leased = state.older.leased.entry(repository).or_default();
            for (digest, kept) in digests {
                // One that was taken anew meanwhile is younger.
                leased.entry(digest).or_insert(kept + 1);
            }
        }
        match &mut state.unknown {
            Unknown::In(repositories) if state.unknown_kept < KEPT_MAX => {
                repositories.retain(|repository| busy.contains(repository));
                state.unknown_kept += 1;
            }
            unknown @ Unknown::In(_) => *unknown = Unknown::In(HashSet::new()),
            unknown @ Unknown::Anywhere => {
                *unknown = Unknown::In(busy);
                state.unknown_kept = 1;
            }
        }
    }
}

impl Age {
    fn lease(&mut self, repository: &str, digest: &Digest) {
        match self.leased.get_mut(repository) {
            // The younger age has none that was kept.
            Some(digests) if digests.contains_key(digest) => {}
            Some(digests) => _ = digests.insert(digest.clone(), 0),
            None => _ = self.leased.insert(repository.to_owned(), HashMap::from([(digest.clone(), 0)])),
        }
    }

    fn has(&self, repository: &str, digest: &Digest) -> bool {
        self.leased.get(repository).is_some_and(|digests| digests.contains_key(digest))
    }
}

/// See [`Leases::uploading`].
#[derive(Debug)]
pub struct Uploading {
    leases: Leases,
    repository: String,
}

impl Drop for Uploading {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        // What it was a part of goes on.
        state.younger.busy.insert(self.repository.clone());
        if let Some(count) = state.uploading.get_mut(&self.repository) {
            *count -= 1;
            if *count == 0 {
                state.uploading.remove(&self.repository);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use landfall_wire::hash::sha256_digest;

    use super::*;

    const HOUR: i64 = LEASE_MS;

    /// What becomes of a lease on `a` in `r`, taken in the first hour after a quiet one.
    struct Course {
        leases: Leases,
        hour: i64,
    }

    impl Course {
        fn seasoned() -> Self {
            let mut course = Self { leases: Leases::default(), hour: 0 };
            course.turn(&[]);
            course.turn(&[]);
            course
        }

        fn turn(&mut self, open: &[&str]) {
            let open = open.iter().map(|name| (*name).to_owned()).collect();
            self.leases.turn(Timestamp(self.hour * HOUR), LEASE_MS, open);
            self.hour += 1;
        }

        fn has(&self, repository: &str) -> bool {
            self.leases.has(repository, &sha256_digest(b"a"))
        }

        fn lease(&self) {
            self.leases.lease("r", &sha256_digest(b"a"));
        }
    }

    #[test]
    fn a_lease_is_of_one_repository_and_ends_between_one_and_two_hours() {
        let mut course = Course::seasoned();
        assert!(!course.has("r"));
        course.lease();
        assert!(course.has("r") && !course.has("s"));
        course.turn(&[]);
        assert!(course.has("r"));
        // Asked for again too early: nothing grows older.
        course.leases.turn(Timestamp((course.hour - 1) * HOUR + HOUR - 1), LEASE_MS, HashSet::new());
        assert!(course.has("r"));
        course.turn(&[]);
        assert!(!course.has("r"));
    }

    #[test]
    fn a_lease_lasts_as_long_as_the_upload_beside_it_and_an_hour() {
        let mut course = Course::seasoned();
        course.lease();
        (0..5).for_each(|_| course.turn(&["r"]));
        assert!(course.has("r"));
        // It ended in the hour before, and the manifest is on its way.
        course.leases.lease_stored("r", &sha256_digest(b"b"));
        course.turn(&[]);
        assert!(course.has("r"));
        course.turn(&[]);
        assert!(!course.has("r"));
    }

    #[test]
    fn no_lease_outlasts_a_login_however_much_is_pushed() {
        assert!(i64::from(KEPT_MAX) * LEASE_MS >= crate::ecr::REGISTRY_LOGIN_SECONDS * 1000);
        let mut course = Course::seasoned();
        course.lease();
        let mut hours = 0;
        while course.has("r") {
            course.leases.lease_stored("r", &sha256_digest(format!("{hours}").as_bytes()));
            course.turn(&["r"]);
            hours += 1;
        }
        // It was taken at the end of its first hour, if not at the beginning.
        assert_eq!(hours - 1, 13);
        // Who asks anew has a new lease, whatever is left of the one before.
        course.lease();
        (0..6).for_each(|_| course.turn(&["r"]));
        course.lease();
        (0..13).for_each(|_| course.turn(&["r"]));
        assert!(course.has("r"));
        course.turn(&["r"]);
        assert!(!course.has("r"));
    }

    #[test]
    fn an_upload_in_one_request_keeps_leases_as_well() {
        let mut course = Course::seasoned();
        course.lease();
        let one = course.leases.uploading("r");
        let other = course.leases.uploading("r");
        drop(other);
        (0..5).for_each(|_| course.turn(&[]));
        assert!(course.has("r"));
        drop(one);
        course.turn(&[]);
        assert!(course.has("r"));
        course.turn(&[]);
        assert!(!course.has("r"));
    }

    #[test]
    fn what_an_earlier_server_promised_lasts_an_hour_and_as_long_as_uploads_go_on() {
        let mut course = Course { leases: Leases::default(), hour: 0 };
        assert!(course.has("r") && course.has("s"));
        course.turn(&["r"]);
        assert!(course.has("r") && course.has("s"));
        course.turn(&["r"]);
        assert!(course.has("r") && !course.has("s"));
        course.turn(&["r"]);
        assert!(course.has("r"));
        course.turn(&["s"]);
        assert!(!course.has("r") && !course.has("s"));
        let mut course = Course { leases: Leases::default(), hour: 0 };
        (0..13).for_each(|_| course.turn(&["r"]));
        assert!(course.has("r"));
        course.turn(&["r"]);
        assert!(!course.has("r"));
    }
}
