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
    /// While there is a sweep, those that waited at any time since it began: what it was told is held may be older than
    /// they are.
    since_sweep: Option<HashSet<Digest>>,
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
        if let Some(since_sweep) = &mut state.since_sweep {
            since_sweep.insert(digest.clone());
        }
        let waiting = Waiting { kept: self.clone(), digest: digest.clone() };
        let stored = store();
        drop(state);
        stored.map(|()| waiting)
    }

    /// A sweep begins: whatever it is told now is held, it is told after this. There is one at a time.
    pub(super) fn begin_sweep(&self) -> Sweep<'_> {
        let mut state = self.state();
        state.since_sweep = Some(state.waiting.keys().cloned().collect());
        Sweep { kept: self }
    }
}

/// A sweep that is under way. See [`Kept::begin_sweep`].
pub(super) struct Sweep<'k> {
    kept: &'k Kept,
}

impl Sweep<'_> {
    /// Removes a file that nobody waits with, as one step for those who store.
    pub(super) fn remove_unless_kept(
        &self,
        digest: &Digest,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<bool> {
        let state = self.kept.state();
        if state.since_sweep.as_ref().is_some_and(|since_sweep| since_sweep.contains(digest)) {
            return Ok(false);
        }
        remove().map(|()| true)
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.kept.state().since_sweep = None;
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
