//! Files of blobs that have their name and maybe not yet the record that holds them: no sweep takes them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_types::Digest;

/// Which files got their name and are about to be held by a record.
#[derive(Clone, Default, Debug)]
pub(super) struct Kept {
    state: Arc<Mutex<State>>,
}

#[derive(Default, Debug)]
struct State {
    /// Those that wait for their record, with how many wait.
    waiting: HashMap<Digest, usize>,
    /// Those that waited at any time since the sweep began. What it was told is held may be older than they are.
    since_sweep: HashSet<Digest>,
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a file as one step for the sweep, which leaves it alone until the answer is dropped.
    pub(super) fn keep(
        &self,
        digest: &Digest,
        store: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Waiting> {
        let mut state = self.state();
        *state.waiting.entry(digest.clone()).or_default() += 1;
        state.since_sweep.insert(digest.clone());
        let waiting = Waiting { kept: self.clone(), digest: digest.clone() };
        let stored = store();
        drop(state);
        stored.map(|()| waiting)
    }

    /// A sweep begins: whatever it is told now is held, it is told after this.
    pub(super) fn begin_sweep(&self) {
        let mut state = self.state();
        state.since_sweep = state.waiting.keys().cloned().collect();
    }

    /// Removes a file that nobody waits with, as one step for those who store.
    pub(super) fn remove_unless_kept(
        &self,
        digest: &Digest,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let state = self.state();
        if state.since_sweep.contains(digest) {
            return Ok(false);
        }
        remove().map(|()| true)
    }
}

/// A file that waits for its record. See [`Kept::keep`].
#[derive(Debug)]
pub(super) struct Waiting {
    kept: Kept,
    digest: Digest,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.kept.state();
        if let Some(count) = state.waiting.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(&self.digest);
            }
        }
    }
}
