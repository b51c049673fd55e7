//! Uploads between requests: who may go on with which.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_types::Timestamp;
use landfall_wire::hash::Algorithm;

use super::{OWNER_EXTENSION, Scratch, Upload};

/// Longest name of an upload's owner, in bytes.
const OWNER_BYTES_MAX: u64 = 16 << 10;

/// Uploads that may be open at a time.
pub const UPLOADS_MAX: usize = 1024;
/// Seconds after which an upload that nobody goes on with is dropped.
pub const UPLOAD_IDLE_SECONDS_MAX: i64 = 3600;

/// Whose an upload is: another caller, or the same one in another repository, doesn't see it, nor does anybody in
/// a repository that was made anew under the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner(String);

impl Owner {
    /// `repository` is its [path](crate::store::RegistryId::path_of), `caller` an ARN.
    pub fn new(repository: &str, made_at: Timestamp, caller: &str) -> Self {
        Self(format!("{repository}@{} {caller}", made_at.0))
    }

    /// The path of the repository.
    fn repository(&self) -> &str {
        self.0.split(['@', ' ']).next().unwrap_or_default()
    }

    /// Reads what an earlier process wrote; none when a version did that which didn't say which repository of the name
    /// is meant. Nobody could go on with such an upload.
    fn read(text: String) -> Option<Self> {
        let is_whole = text.split(' ').next().is_some_and(|repository| repository.contains('@'));
        is_whole.then_some(Self(text))
    }
}

/// Open uploads by id. One request at a time has an upload; the others are told that it is busy.
#[derive(Default, Debug)]
pub struct Uploads {
    slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug)]
struct Slot {
    owner: Owner,
    seen_at: Timestamp,
    length: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// It waits for its next part.
    Waiting(Upload),
    /// An earlier process left it: it is opened when somebody goes on with it.
    Left(Scratch),
    /// A request has it.
    Taken,
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

/// Why an upload was not opened.
#[derive(Debug)]
pub enum NotOpened {
    /// There are [`UPLOADS_MAX`] uploads already.
    TooMany,
    /// The disk doesn't take whose it is: nor would it take content.
    Disk(std::io::Error),
}

impl Uploads {
    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a new upload for its owner. Uploads that have been idle for too long make room.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn insert(&self, id: &str, owner: &Owner, upload: Upload, now: Timestamp) -> Result<(), NotOpened> {
        let mut slots = self.slots();
        expire(&mut slots, now);
        if slots.len() >= UPLOADS_MAX {
            return Err(NotOpened::TooMany);
        }
        let length = upload.length();
        upload.note_owner(&owner.0).map_err(NotOpened::Disk)?;
        slots.insert(
            id.to_owned(),
            Slot { owner: owner.clone(), seen_at: now, length, held: Held::Waiting(upload) },
        );
        Ok(())
    }

    /// Takes in an upload that an earlier process left, or the file that says whose it is; not what was
    /// left of anything else.
    pub(super) fn adopt(&self, path: &Path, leave: &Arc<AtomicBool>, now: Timestamp) -> bool {
        if path.extension().is_some_and(|extension| extension == OWNER_EXTENSION) {
            return path.with_extension("").is_file();
        }
        let scratch = Scratch { path: path.to_owned(), is_durable: true, leave: Arc::clone(leave) };
        let file = scratch.owner_file();
        let is_short = std::fs::metadata(&file).is_ok_and(|file| file.len() <= OWNER_BYTES_MAX);
        let owner = is_short.then(|| std::fs::read_to_string(&file).ok()).flatten().and_then(Owner::read);
        let id = path.file_name().and_then(|name| name.to_str());
        let (Some(owner), Some(id), Ok(content)) = (owner, id, std::fs::metadata(path)) else { return false };
        let slot = Slot { owner, seen_at: now, length: content.len(), held: Held::Left(scratch) };
        self.slots().insert(id.to_owned(), slot);
        true
    }

    /// Drops uploads that nobody has gone on with for too long; gives their number.
    pub fn expire(&self, now: Timestamp) -> usize {
        expire(&mut self.slots(), now)
    }

    /// Takes an upload, to go on with it.
    pub fn take(&self, id: &str, owner: &Owner) -> Taken {
        let left = {
            let mut slots = self.slots();
            let Some(slot) = slots.get_mut(id).filter(|slot| slot.owner == *owner) else {
                return Taken::Unknown;
            };
            match std::mem::replace(&mut slot.held, Held::Taken) {
                Held::Waiting(upload) => return Taken::Upload(upload),
                Held::Taken => return Taken::Busy,
                Held::Left(left) => left,
            }
        };
        // The slot says that it is taken: nobody waits for the lock while its content is read.
        let resumed = crate::store::waiting(|| Upload::resume(left, Algorithm::Sha256));
        match resumed {
            Ok(upload) => Taken::Upload(upload),
            Err(_) => {
                self.forget(id);
                Taken::Unknown
            }
        }
    }

    /// Gives an upload back that was taken.
    pub fn put_back(&self, id: &str, upload: Upload, now: Timestamp) {
        if let Some(slot) = self.slots().get_mut(id) {
            slot.seen_at = now;
            slot.length = upload.length();
            slot.held = Held::Waiting(upload);
        }
    }

    /// Whether an upload is open, whoever has it.
    pub fn is_open(&self, id: &str) -> bool {
        self.slots().contains_key(id)
    }

    /// Ends an upload: its id is unknown from now on. Whether it was known: its repository may have gone away.
    pub fn forget(&self, id: &str) -> bool {
        self.slots().remove(id).is_some()
    }

    /// Ends the uploads of a repository that is gone. A request that has one finds it ended.
    pub fn forget_repository(&self, repository: &str) {
        self.slots().retain(|_, slot| slot.owner.repository() != repository);
    }

    /// The repositories that have open uploads.
    pub fn repositories(&self) -> HashSet<String> {
        self.slots().values().map(|slot| slot.owner.repository().to_owned()).collect()
    }

    /// Bytes that an upload has, as of its last request; none when there is none.
    pub fn length(&self, id: &str, owner: &Owner) -> Option<u64> {
        self.slots().get(id).filter(|slot| slot.owner == *owner).map(|slot| slot.length)
    }
}

fn expire(slots: &mut HashMap<String, Slot>, now: Timestamp) -> usize {
    let before = slots.len();
    slots.retain(|_, slot| {
        matches!(slot.held, Held::Taken) || slot.seen_at.plus_seconds(UPLOAD_IDLE_SECONDS_MAX) > now
    });
    before - slots.len()
}
