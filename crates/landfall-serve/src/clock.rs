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
    /// How many times as fast lifetimes and waits pass.
    lapse: u32,
}

impl Clock {
    /// A clock that shows real time.
    pub fn new(read: ReadTime) -> Self {
        Self { read, ahead_ms: AtomicI64::new(0), lapse: 1 }
    }

    /// The same clock, by which lifetimes and waits pass so many times as fast: a session of 900 seconds ends
    /// after 900 / `times`, and its expiry says so. Nothing else changes, so that clients with clocks of their
    /// own agree.
    #[must_use]
    pub fn with_lapse(self, times: u32) -> Self {
        Self { lapse: times.max(1), ..self }
    }

    /// How many times as fast lifetimes and waits pass.
    pub fn lapse(&self) -> u32 {
        self.lapse
    }

    /// How long something takes here that takes AWS so long, both in milliseconds.
    pub fn span_ms(&self, aws_ms: i64) -> i64 {
        aws_ms / i64::from(self.lapse)
    }

    /// When something ends that begins now and lasts so many seconds at AWS.
    pub fn ends_after(&self, seconds: i64) -> Timestamp {
        self.ends_from(self.now(), seconds)
    }

    /// The same for something that began at another moment.
    pub fn ends_from(&self, began: Timestamp, seconds: i64) -> Timestamp {
        Timestamp(began.0.saturating_add(self.span_ms(seconds.saturating_mul(1000))))
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
