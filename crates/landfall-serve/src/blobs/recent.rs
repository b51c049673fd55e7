//! What pushes in flight may need: blobs that were stored, checked or mounted a short while ago.
//!
//! A client looks which layers are there, sends those that are not, and then the manifest. Between the first
//! and the last nothing names the layers, and none of them may go away.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfall_types::{Digest, Timestamp};

/// How long a blob is recent at least, in seconds. It may be up to twice as long.
pub const RECENT_SECONDS_MIN: i64 = 3_600;

/// Recent blobs, in two ages: once the younger is an hour old it becomes the older, and the older is
/// forgotten. So nobody who notes a blob needs to know the time.
#[derive(Default, Debug)]
pub struct Recent {
    ages: Mutex<Ages>,
}

#[derive(Default, Debug)]
struct Ages {
    younger: Age,
    older: Age,
    /// When the younger began.
    began_at: Option<Timestamp>,
    /// Whether there has been an older one: before, an earlier process may have seen a push in flight.
    is_seasoned: bool,
}

#[derive(Default, Debug)]
struct Age {
    /// Stored: maybe not named by a record yet.
    kept: HashSet<Digest>,
    /// Looked for: maybe about to be named by a manifest.
    seen: HashSet<Digest>,
}

impl Recent {
    fn ages(&self) -> MutexGuard<'_, Ages> {
        self.ages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that somebody was told that a blob is there.
    pub fn see(&self, digest: &Digest) {
        let mut ages = self.ages();
        if !ages.younger.seen.contains(digest) {
            ages.younger.seen.insert(digest.clone());
        }
    }

    /// Stores a blob, and notes it, as one step for the collector.
    pub(super) fn keep(&self, digest: &Digest, store: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut ages = self.ages();
        ages.younger.kept.insert(digest.clone());
        store()
    }

    /// Removes a blob that was not stored recently, as one step for those who store.
    pub(super) fn remove_unless_kept(
        &self,
        digest: &Digest,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let ages = self.ages();
        if ages.younger.kept.contains(digest) || ages.older.kept.contains(digest) {
            return Ok(false);
        }
        remove().map(|()| true)
    }

    /// Whether a push in flight may need a blob that a repository has.
    pub fn may_be_needed(&self, digest: &Digest) -> bool {
        let ages = self.ages();
        let knows = |age: &Age| age.seen.contains(digest) || age.kept.contains(digest);
        !ages.is_seasoned || knows(&ages.younger) || knows(&ages.older)
    }

    /// Lets blobs grow older.
    pub fn turn(&self, now: Timestamp) {
        let mut ages = self.ages();
        match ages.began_at {
            Some(began_at) if began_at.plus_seconds(RECENT_SECONDS_MIN) > now => {}
            Some(_) => {
                ages.older = std::mem::take(&mut ages.younger);
                ages.is_seasoned = true;
                ages.began_at = Some(now);
            }
            None => ages.began_at = Some(now),
        }
    }
}
