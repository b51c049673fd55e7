//! Collecting what nobody needs any more: uploads that were given up, blobs that no image is made of, and
//! files that no repository has.
//!
//! Nothing that a push in flight may need is removed, whatever happens at the same time: repositories keep what
//! somebody has a lease on ([`leases`](crate::store::leases)), and a file stays until a record that was about to hold
//! it does, and from then on because of the record.

use std::io;

use landfall_types::Timestamp;
use serde::Serialize;

use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::leases::{LEASE_MS, LEASE_MS_MIN};
use crate::world::World;

/// Between two times that the server collects, in milliseconds.
const PAUSE_MS: i64 = 600_000;
/// The same where time passes faster than it does.
const PAUSE_MS_MIN: i64 = 1_000;

/// How long the server waits between two times that it collects, in milliseconds.
pub(crate) fn pause_ms(clock: &Clock) -> u64 {
    clock.span_ms(PAUSE_MS).max(PAUSE_MS_MIN).unsigned_abs()
}

/// What was removed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Collected {
    /// Uploads that nobody had gone on with.
    pub uploads: u64,
    /// Blobs that repositories had and no image of theirs was made of.
    pub forgotten: u64,
    /// Files of blobs that no repository had.
    pub files: u64,
    /// What the files had, in bytes.
    pub bytes: u64,
}

/// Why collecting ended early. What was removed by then is gone, and the next run does the rest.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The records could not be written.
    #[error("records could not be written: {0}")]
    Records(String),
    /// A file could not be removed.
    #[error("a file could not be removed: {0}")]
    Files(#[from] io::Error),
}

/// Collects once. Takes time: not for a thread that answers calls.
///
/// # Errors
/// [`CollectError`].
pub fn collect(world: &World) -> Result<Collected, CollectError> {
    collect_at(world, world.clock.wall())
}

/// The same at a moment of real time.
pub(crate) fn collect_at(world: &World, now: Timestamp) -> Result<Collected, CollectError> {
    let blobs = &world.blobs;
    let uploads = blobs.open_uploads.expire(now) as u64;
    let lease_ms = world.clock.span_ms(LEASE_MS).max(LEASE_MS_MIN);
    world.store.leases.turn(now, lease_ms, blobs.open_uploads.repositories());
    world.store.forget_layer_parts_unless(|id| blobs.open_uploads.is_open(id)).map_err(not_written)?;
    let forgotten = world.store.forget_blobs().map_err(not_written)?;
    // A repository that takes over a blob from another one looks for it there in the same change: what is held is
    // held by one of them at any moment.
    let (files, bytes) = blobs.sweep(|| world.store.held_blobs())?;
    Ok(Collected { uploads, forgotten, files, bytes })
}

fn not_written(error: StoreError) -> CollectError {
    CollectError::Records(match error {
        StoreError::Disk(why) => why,
        StoreError::Exists | StoreError::Missing => "a record changed meanwhile".to_owned(),
    })
}
