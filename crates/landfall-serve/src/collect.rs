//! Collecting what nobody needs any more: uploads that were given up, blobs that no image is made of, and
//! files that no repository has.
//!
//! Nothing that a push in flight may need is removed, whatever happens at the same time: what was stored,
//! looked for or mounted within the hour stays ([`Recent`](crate::blobs::Recent)), and in the first hour of a
//! server repositories forget nothing, because a client may go on with what it began with the one before.

use std::io;

use serde::Serialize;

use crate::store::StoreError;
use crate::world::World;

/// How often the server collects, in seconds.
pub const COLLECT_SECONDS: u64 = 600;

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
    let now = world.clock.wall();
    let blobs = &world.blobs;
    blobs.recent.turn(now);
    let uploads = blobs.open_uploads.expire(now) as u64;
    world.store.forget_layer_parts_unless(|id| blobs.open_uploads.is_open(id)).map_err(not_written)?;
    let forgotten =
        world.store.forget_blobs(|digest| blobs.recent.may_be_needed(digest)).map_err(not_written)?;
    // Read after all that was forgotten is gone for good: a repository that takes over a blob from another one
    // does so in one change, before this or after.
    let held = world.store.held_blobs();
    let (files, bytes) = blobs.sweep(|digest| held.contains(digest))?;
    Ok(Collected { uploads, forgotten, files, bytes })
}

fn not_written(error: StoreError) -> CollectError {
    CollectError::Records(match error {
        StoreError::Disk(why) => why,
        StoreError::Exists | StoreError::Missing => "a record changed meanwhile".to_owned(),
    })
}
