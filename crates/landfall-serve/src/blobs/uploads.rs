//! Uploads between requests: who may go on with which.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfall_types::Timestamp;

use super::Upload;

/// Uploads that may be open at a time.
pub const UPLOADS_MAX: usize = 1024;
/// Seconds after which an upload that nobody goes on with is dropped.
pub const UPLOAD_IDLE_SECONDS_MAX: i64 = 3600;

/// Open uploads by id. One request at a time has an upload; the others are told that it is busy.
#[derive(Default, Debug)]
pub struct Uploads {
    slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug)]
struct Slot {
    owner: String,
    seen_at: Timestamp,
    length: u64,
    // None while a request has it.
    upload: Option<Upload>,
}

/// What came of asking for an upload.
#[derive(Debug)]
pub enum Taken {
    /// Here it is; give it back with [`Uploads::put_back`] or end it with [`Uploads::forget`].
    Upload(Upload),
    /// Another request has it.
    Busy,
    /// There is none, or it is someone else's.
    Unknown,
}

/// There are [`UPLOADS_MAX`] uploads already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyUploads;

impl Uploads {
    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a new upload for its owner. Uploads that have been idle for too long make room.
    ///
    /// # Errors
    /// [`TooManyUploads`].
    pub fn insert(
        &self,
        id: &str,
        owner: &str,
        upload: Upload,
        now: Timestamp,
    ) -> Result<(), TooManyUploads> {
        let mut slots = self.slots();
        slots.retain(|_, slot| {
            slot.upload.is_none() || slot.seen_at.plus_seconds(UPLOAD_IDLE_SECONDS_MAX) > now
        });
        if slots.len() >= UPLOADS_MAX {
            return Err(TooManyUploads);
        }
        let length = upload.length();
        slots.insert(
            id.to_owned(),
            Slot { owner: owner.to_owned(), seen_at: now, length, upload: Some(upload) },
        );
        Ok(())
    }

    /// Takes an upload, to go on with it.
    pub fn take(&self, id: &str, owner: &str) -> Taken {
        match self.slots().get_mut(id).filter(|slot| slot.owner == owner) {
            None => Taken::Unknown,
            Some(slot) => slot.upload.take().map_or(Taken::Busy, Taken::Upload),
        }
    }

    /// Gives an upload back that was taken.
    pub fn put_back(&self, id: &str, upload: Upload, now: Timestamp) {
        if let Some(slot) = self.slots().get_mut(id) {
            slot.seen_at = now;
            slot.length = upload.length();
            slot.upload = Some(upload);
        }
    }

    /// Ends an upload: its id is unknown from now on.
    pub fn forget(&self, id: &str) {
        self.slots().remove(id);
    }

    /// Bytes that an upload has, as of its last request; none when there is none.
    pub fn length(&self, id: &str, owner: &str) -> Option<u64> {
        self.slots().get(id).filter(|slot| slot.owner == owner).map(|slot| slot.length)
    }
}
