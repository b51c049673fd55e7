//! Layers and configs of images: files named by their digest, and the uploads that become them.
//!
//! How content gets there and comes from there, in memory that doesn't grow with it, is in [`flow`].

mod blocks;
mod flow;
mod kept;
mod uploads;

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flow::Growing;
use http_body_util::BodyExt;
use kept::{Kept, Waiting};
use landfall_types::{Digest, Timestamp};
use landfall_wire::hash::{Algorithm, Hasher};

pub use flow::{Ended, Flow, Pieces};
pub use uploads::{NotOpened, Owner, Taken, UPLOAD_IDLE_SECONDS_MAX, UPLOADS_MAX, Uploads};

/// Bytes that are read at a time to hash a file again.
const REHASH_BYTES: usize = 256 << 10;
/// The file beside an unfinished upload that says whose it is.
const OWNER_EXTENSION: &str = "owner";

/// Blobs under one directory: `blobs/sha256/ab/abcd…` and, while they grow, `uploads/ID`.
///
/// Blobs of a data directory are synced, they and their names, before anyone hears of them. Others live as
/// long as the records that name them, which are in memory.
#[derive(Debug)]
pub struct DirBlobs {
    dir: PathBuf,
    is_durable: bool,
    /// Whether unfinished uploads stay where they are when their owners go away: the server is stopping.
    leave_uploads: Arc<AtomicBool>,
    /// Files that may not have their record yet.
    kept: Kept,
    /// Held while there is a sweep: [`Kept`] knows of one alone.
    sweeping: Mutex<()>,
    /// Uploads that wait for their next part.
    pub open_uploads: Uploads,
    /// What is on its way in and out.
    pub flow: Flow,
    next_scratch: AtomicU64,
    shards: Shards,
}

/// The folders of blobs that are known to be on the disk, with all that they are in.
#[derive(Default, Debug)]
struct Shards(Mutex<HashSet<PathBuf>>);

impl Shards {
    /// Has a folder made, once: nobody goes on with one that another thread has made and not synced.
    fn have(&self, shard: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(shard) {
            make()?;
            known.insert(shard.to_owned());
        }
        Ok(())
    }
}

impl DirBlobs {
    /// Opens or makes a directory for blobs that nobody needs after this process. What an earlier one left
    /// unfinished is removed.
    ///
    /// # Errors
    /// When the directories can't be made or cleared.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        match std::fs::remove_dir_all(dir.join("uploads")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::at(dir, false)
    }

    /// Opens or makes a directory for blobs that stay. Uploads that an earlier process left unfinished can be
    /// gone on with, and have from now on until they are dropped.
    ///
    /// # Errors
    /// When the directories can't be made or read.
    pub fn durable(dir: PathBuf, now: Timestamp) -> io::Result<Self> {
        let blobs = Self::at(dir, true)?;
        crate::data::sync_dir(&blobs.dir)?;
        for entry in std::fs::read_dir(blobs.dir.join("uploads"))? {
            let path = entry?.path();
            if blobs.open_uploads.adopt(&path, &blobs.leave_uploads, now) {
                continue;
            }
            match std::fs::remove_file(path) {
                // Content and the word of whose it is go together: the other one took this along.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(blobs)
    }

    fn at(dir: PathBuf, is_durable: bool) -> io::Result<Self> {
        // Images are nobody else's business on a machine that others use as well.
        for folder in ["uploads", "blobs"] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir.join(folder))?;
        }
        Ok(Self {
            dir,
            is_durable,
            leave_uploads: Arc::default(),
            kept: Kept::default(),
            sweeping: Mutex::default(),
            open_uploads: Uploads::default(),
            flow: Flow::default(),
            next_scratch: AtomicU64::new(0),
            shards: Shards::default(),
        })
    }

    /// From now on unfinished uploads of a data directory stay for the next server.
    pub fn leave_uploads(&self) {
        self.leave_uploads.store(self.is_durable, Ordering::Relaxed);
    }

    /// Stores content that is in memory.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Stored> {
        let digest = landfall_wire::hash::sha256_digest(bytes);
        let number = self.next_scratch.fetch_add(1, Ordering::Relaxed);
        let scratch = self.scratch(&format!("put-{number}"));
        let mut file = File::create(&scratch.path)?;
        file.write_all(bytes)?;
        if self.is_durable {
            file.sync_all()?;
        }
        let length = bytes.len() as u64;
        let waiting = self.keep(scratch, &digest, length)?;
        Ok(Stored { digest, length, _waiting: waiting })
    }

    /// Begins an upload. `id` names it: a fresh UUID. `algorithm` is the one of the digest that the blob is
    /// most likely to be named by: with another one it has to be read a second time.
    ///
    /// # Errors
    /// When the file can't be made, or exists.
    pub fn begin(&self, id: &str, algorithm: Algorithm) -> io::Result<Upload> {
        let scratch = self.scratch(id);
        let file = File::options().read(true).write(true).create_new(true).open(&scratch.path)?;
        Ok(Upload { scratch, file: Arc::new(file), hasher: Hasher::new(algorithm), length: 0 })
    }

    /// Opens a blob; none when there is no such blob.
    ///
    /// # Errors
    /// When the file is there and can't be opened.
    pub fn open(&self, digest: &Digest) -> io::Result<Option<Blob>> {
        match File::open(self.path(digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some(Blob { file, size }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let shard = digest.hex().get(..2).unwrap_or_default();
        self.dir.join("blobs").join(digest.algorithm()).join(shard).join(digest.hex())
    }

    fn scratch(&self, name: &str) -> Scratch {
        Scratch {
            path: self.dir.join("uploads").join(name),
            is_durable: self.is_durable,
            leave: Arc::clone(&self.leave_uploads),
        }
    }

    /// Gives finished content its name. Renaming is atomic, so a blob is there whole or not at all. What has the
    /// name already has the same content, and was synced before it got it: it stays, because a file system may
    /// write out all that takes the place of something before a rename returns.
    fn keep(&self, scratch: Scratch, digest: &Digest, length: u64) -> io::Result<Waiting> {
        let path = self.path(digest);
        let shard = path.parent().unwrap_or(&self.dir);
        self.make_shard(shard)?;
        let is_there = || std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == length);
        let store = || if is_there() { Ok(()) } else { std::fs::rename(&scratch.path, &path) };
        // It has no record yet: the collector must not take it for one that nobody needs.
        let waiting = self.kept.keep(digest, store)?;
        scratch.remove_owner();
        if self.is_durable {
            crate::data::sync_dir(shard)?;
        }
        Ok(waiting)
    }

    fn make_shard(&self, shard: &Path) -> io::Result<()> {
        self.shards.have(shard, || {
            std::fs::create_dir_all(shard)?;
            if self.is_durable {
                // `blobs/sha256` and `blobs`, which may be new as well: one that is there may be of an earlier
                // process that came no further.
                shard.ancestors().skip(1).take(2).try_for_each(crate::data::sync_dir)?;
            }
            Ok(())
        })
    }

    /// Removes the blobs that nobody needs: those that no record holds, nor is about to. `held` says which are held,
    /// and is asked when the sweep has begun. Gives their number and bytes. Waits for a sweep that is under way.
    ///
    /// # Errors
    /// When a directory can't be read or a file can't be removed.
    pub fn sweep(&self, held: impl FnOnce() -> HashSet<Digest>) -> io::Result<(u64, u64)> {
        let _alone = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        let sweep = self.kept.begin_sweep();
        let held = held();
        let (mut count, mut bytes) = (0, 0);
        for algorithm in entries(&self.dir.join("blobs"))? {
            let name = algorithm.file_name().map(|name| name.to_string_lossy().into_owned());
            for shard in entries(&algorithm)? {
                for path in entries(&shard)? {
                    let hex = path.file_name().map(|name| name.to_string_lossy().into_owned());
                    let text = format!("{}:{}", name.as_deref().unwrap_or(""), hex.unwrap_or_default());
                    // A file that is no blob is somebody else's.
                    let Ok(digest) = Digest::parse(&text) else { continue };
                    if held.contains(&digest) {
                        continue;
                    }
                    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
                    if sweep.remove_unless_kept(&digest, || std::fs::remove_file(&path))? {
                        (count, bytes) = (count + 1, bytes + size);
                    }
                }
            }
        }
        Ok((count, bytes))
    }
}

/// What is in a directory; nothing when it is a file or is not there.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// A file under `uploads/` that goes away with its owner, unless it was renamed by then or the server stops.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
    is_durable: bool,
    leave: Arc<AtomicBool>,
}

impl Scratch {
    /// Where it stands whose upload it is.
    fn owner_file(&self) -> PathBuf {
        self.path.with_extension(OWNER_EXTENSION)
    }

    fn remove_owner(&self) {
        if self.is_durable {
            // One that is left over is cleared at the next start.
            let _ = std::fs::remove_file(self.owner_file());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.leave.load(Ordering::Relaxed) {
            // There is nobody to tell, and the next start clears the directory.
            let _ = std::fs::remove_file(&self.path);
            self.remove_owner();
        }
    }
}

/// An upload that may still grow. Dropping it drops its content.
pub struct Upload {
    scratch: Scratch,
    file: Arc<File>,
    hasher: Hasher,
    length: u64,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("path", &self.scratch.path).field("length", &self.length).finish()
    }
}

/// Content that has its digest as its name. While there is this, no sweep takes it: until a record holds it.
#[derive(Debug)]
pub struct Stored {
    /// The digest.
    pub digest: Digest,
    /// Bytes.
    pub length: u64,
    _waiting: Waiting,
}

/// Why an upload did not become a blob.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The content is not what the client said.
    #[error("the content has digest {actual}, not {claimed}")]
    DigestMismatch {
        /// What the client said.
        claimed: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The disk refused.
    #[error("storing a blob")]
    Io(#[from] io::Error),
}

impl Upload {
    /// Goes on with an upload of an earlier process: its content is read once more, for its hash.
    fn resume(scratch: Scratch, algorithm: Algorithm) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(&scratch.path)?;
        let mut hasher = Hasher::new(algorithm);
        let length = hash_all(&file, &mut hasher)?;
        Ok(Self { scratch, file: Arc::new(file), hasher, length })
    }

    /// Leaves word whose upload this is, for the next process.
    fn note_owner(&self, owner: &str) -> io::Result<()> {
        match self.scratch.is_durable {
            true => std::fs::write(self.scratch.owner_file(), owner),
            false => Ok(()),
        }
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends a body, at most `bytes_max` of it.
    ///
    /// # Errors
    /// When the file can't be written; the upload is lost then.
    pub async fn append(
        self,
        flow: &Flow,
        body: impl BodyExt<Data = Bytes> + Unpin,
        bytes_max: u64,
    ) -> io::Result<(Self, Ended)> {
        let Self { scratch, file, hasher, length } = self;
        let (grown, ended) = Growing { file, hasher, length }.append(flow, body, bytes_max).await?;
        let Growing { file, hasher, length } = grown;
        Ok((Self { scratch, file, hasher, length }, ended))
    }

    /// Turns the upload into a blob, if its content has one of the claimed digests.
    ///
    /// # Errors
    /// See [`UploadError`]; the upload is gone in either case.
    pub async fn finish_as_one_of(self, blobs: &DirBlobs, claimed: &[Digest]) -> Result<Stored, UploadError> {
        let begun_with = self.hasher.algorithm();
        let actual = self.hasher.clone().finish();
        let chosen = claimed.iter().find(|digest| **digest == actual);
        // Of another algorithm there is no digest to compare with yet: the last one is tried.
        let other = || claimed.iter().rev().find(|digest| Algorithm::of(digest) != begun_with);
        match chosen.or_else(other).or_else(|| claimed.first()) {
            Some(claimed) => self.finish(blobs, claimed).await,
            None => Err(UploadError::DigestMismatch { claimed: actual.clone(), actual }),
        }
    }

    /// Turns the upload into a blob, if its content has the claimed digest.
    ///
    /// # Errors
    /// See [`UploadError`]; the upload is gone in either case.
    pub async fn finish(self, blobs: &DirBlobs, claimed: &Digest) -> Result<Stored, UploadError> {
        let Self { scratch, file, hasher, length } = self;
        let algorithm = Algorithm::of(claimed);
        let actual = if hasher.algorithm() == algorithm {
            hasher.finish()
        } else {
            // The algorithm was named only when the upload ended.
            let content = Arc::clone(&file);
            blocking(move || rehash(&content, algorithm)).await??
        };
        if actual != *claimed {
            return Err(UploadError::DigestMismatch { claimed: claimed.clone(), actual });
        }
        if blobs.is_durable {
            // On the disk before it has its name, and named before anyone hears of it.
            let content = Arc::clone(&file);
            blocking(move || content.sync_all()).await??;
        }
        let keep = || blobs.keep(scratch, &actual, length);
        // Handing the worker's other tasks on is for those who wait for a disk: each thread that becomes a worker takes
        // memory of its own for what it reads.
        let waiting = if blobs.is_durable { crate::store::waiting(keep) } else { keep() }?;
        // When the content was there already, this was the last of the file.
        blobs.flow.give_up(file);
        Ok(Stored { digest: actual, length, _waiting: waiting })
    }
}

fn rehash(file: &File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    hash_all(file, &mut hasher)?;
    Ok(hasher.finish())
}

/// Reads a file from its beginning to its end; gives its length in bytes.
fn hash_all(mut file: &File, hasher: &mut Hasher) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; REHASH_BYTES];
    let mut length = 0;
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => return Ok(length),
        }
        length += count as u64;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// A blob that is open for reading.
#[derive(Debug)]
pub struct Blob {
    file: File,
    size: u64,
}

impl Blob {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes in `range`, cut at the blob's end.
    pub fn read(self, flow: &Flow, range: Range<u64>) -> Pieces {
        let end = range.end.min(self.size);
        Pieces::of(flow, self.file, range.start, end.saturating_sub(range.start))
    }
}

#[cfg(test)]
mod tests;
