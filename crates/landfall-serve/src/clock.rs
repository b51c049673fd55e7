//! The server's two times. The edge of the process supplies the real one; everything here takes it
//! as a value.

use std::sync::atomic::{AtomicI64, Ordering};

use landfall_types::Timestamp;

/// A source of real time, given by the binary.
pub type ReadTime = fn() -> Timestamp;

/// Real time, and the time that this AWS side pretends it is.
///
/// Signatures are checked against real time (clients sign with their own clocks); lifetimes of
/// tokens, sessions and registry logins are counted in pretended time, which a rehearsal can move
/// forward to see what happens when a job outlives its session.
#[derive(Debug)]
pub struct Clock {
    read: ReadTime,
    ahead_ms: AtomicI64,
}

impl Clock {
    /// A clock that shows real time.
    pub fn new(read: ReadTime) -> Self {
        Self { read, ahead_ms: AtomicI64::new(0) }
    }

    /// Real time.
    pub fn wall(&self) -> Timestamp {
        (self.read)()
    }

    /// Pretended time: what lifetimes are counted in.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.wall().0.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Moves pretended time forward.
    pub fn advance(&self, seconds: u32) {
        self.ahead_ms.fetch_add(i64::from(seconds) * 1000, Ordering::Relaxed);
    }
}
