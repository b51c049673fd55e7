//! Layers and configs of images: files named by their digest, and the uploads that become them.
//!
//! Content flows through in pieces: an upload holds two batches in memory and a download two pieces,
//! whatever their size. Hashing and writing run side by side on the blocking pool, one batch at a
//! time, so that a slow client never holds a thread.

mod uploads;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use landfall_types::Digest;
use landfall_wire::hash::{Algorithm, Hasher};
use tokio::task::JoinHandle;

pub use uploads::{Taken, TooManyUploads, UPLOAD_IDLE_SECONDS_MAX, UPLOADS_MAX, Uploads};

/// Bytes of an upload that are gathered before they are hashed and written.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a download that are read at a time.
const PIECE_BYTES: u64 = 512 << 10;
/// Bytes that are read at a time to hash a file again.
const REHASH_BYTES: usize = 256 << 10;

/// Blobs under one directory: `blobs/sha256/ab/abcd…` and, while they grow, `uploads/ID`.
///
/// Nothing is synced to disk: blobs live as long as the records that name them, which are in memory.
#[derive(Debug)]
pub struct DirBlobs {
    dir: PathBuf,
    /// Uploads that wait for their next part.
    pub open_uploads: Uploads,
    next_scratch: AtomicU64,
}

impl DirBlobs {
    /// Opens or makes the directory. Uploads that an earlier process left unfinished are removed.
    ///
    /// # Errors
    /// When the directories can't be made or cleared.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        let uploads = dir.join("uploads");
        match std::fs::remove_dir_all(&uploads) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&uploads)?;
        std::fs::create_dir_all(dir.join("blobs"))?;
        Ok(Self { dir, open_uploads: Uploads::default(), next_scratch: AtomicU64::new(0) })
    }

    /// Stores content that is in memory.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = landfall_wire::hash::sha256_digest(bytes);
        let number = self.next_scratch.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch(self.dir.join("uploads").join(format!("put-{number}")));
        std::fs::write(&scratch.0, bytes)?;
        self.keep(&scratch, &digest)?;
        Ok(digest)
    }

    /// Begins an upload. `id` names it: a fresh UUID. `algorithm` is the one of the digest that the blob is
    /// most likely to be named by: with another one it has to be read a second time.
    ///
    /// # Errors
    /// When the file can't be made, or exists.
    pub fn begin(&self, id: &str, algorithm: Algorithm) -> io::Result<Upload> {
        let path = self.dir.join("uploads").join(id);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Upload { scratch: Scratch(path), file: Arc::new(file), hasher: Hasher::new(algorithm), length: 0 })
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

    /// Gives finished content its name. Renaming is atomic, so a blob is there whole or not at all.
    fn keep(&self, scratch: &Scratch, digest: &Digest) -> io::Result<()> {
        let path = self.path(digest);
        if let Some(shard) = path.parent() {
            std::fs::create_dir_all(shard)?;
        }
        std::fs::rename(&scratch.0, path)
    }
}

/// A file under `uploads/` that goes away with its owner, unless it was renamed by then.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nobody to tell, and the next start clears the directory.
        let _ = std::fs::remove_file(&self.0);
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
        f.debug_struct("Upload").field("path", &self.scratch.0).field("length", &self.length).finish()
    }
}

/// How a body that was appended came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// All of it arrived.
    Complete,
    /// The client went away; what had arrived is part of the upload.
    Interrupted,
    /// It is longer than it may be; the upload has all that it may have of it.
    TooLong,
}

/// Content that has its digest as its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The digest.
    pub digest: Digest,
    /// Bytes.
    pub length: u64,
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
        mut body: impl BodyExt<Data = Bytes> + Unpin,
        bytes_max: u64,
    ) -> io::Result<(Self, Ended)> {
        let end = self.length.saturating_add(bytes_max);
        let mut stage = Stage::idle(self);
        loop {
            let gathered = gather(&mut body, end - stage.length).await;
            let upload = stage.done().await?;
            match gathered.ended {
                None => stage = Stage::start(upload, gathered.pieces),
                Some(ended) => return Ok((Stage::start(upload, gathered.pieces).done().await?, ended)),
            }
        }
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
            blocking(move || rehash(&file, algorithm)).await??
        };
        if actual != *claimed {
            return Err(UploadError::DigestMismatch { claimed: claimed.clone(), actual });
        }
        blobs.keep(&scratch, &actual)?;
        Ok(Stored { digest: actual, length })
    }
}

/// An upload with a batch on its way to the disk and through the hash.
struct Stage {
    scratch: Scratch,
    file: Arc<File>,
    length: u64,
    writing: Option<JoinHandle<io::Result<()>>>,
    hashing: Hashing,
}

enum Hashing {
    Idle(Hasher),
    Running(JoinHandle<Hasher>),
}

impl Stage {
    fn idle(upload: Upload) -> Self {
        let Upload { scratch, file, hasher, length } = upload;
        Self { scratch, file, length, writing: None, hashing: Hashing::Idle(hasher) }
    }

    fn start(upload: Upload, pieces: Vec<Bytes>) -> Self {
        if pieces.is_empty() {
            return Self::idle(upload);
        }
        let Upload { scratch, file, mut hasher, length } = upload;
        let added: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let (to_hash, target) = (pieces.clone(), Arc::clone(&file));
        let writing = tokio::task::spawn_blocking(move || {
            let mut target = &*target;
            pieces.iter().try_for_each(|piece| target.write_all(piece))
        });
        let hashing = tokio::task::spawn_blocking(move || {
            to_hash.iter().for_each(|piece| hasher.update(piece));
            hasher
        });
        Self {
            scratch,
            file,
            length: length + added,
            writing: Some(writing),
            hashing: Hashing::Running(hashing),
        }
    }

    async fn done(self) -> io::Result<Upload> {
        if let Some(writing) = self.writing {
            writing.await.map_err(io::Error::other)??;
        }
        let hasher = match self.hashing {
            Hashing::Idle(hasher) => hasher,
            Hashing::Running(hashing) => hashing.await.map_err(io::Error::other)?,
        };
        Ok(Upload { scratch: self.scratch, file: self.file, hasher, length: self.length })
    }
}

/// What [`gather`] got.
struct Gathered {
    pieces: Vec<Bytes>,
    ended: Option<Ended>,
}

/// Reads a body until there is a batch, it ends, or `room` bytes are there and more come.
async fn gather(body: &mut (impl BodyExt<Data = Bytes> + Unpin), room: u64) -> Gathered {
    let mut pieces = Vec::new();
    let mut length = 0usize;
    let ended = loop {
        if length >= BATCH_BYTES {
            break None;
        }
        match body.frame().await {
            None => break Some(Ended::Complete),
            Some(Err(_)) => break Some(Ended::Interrupted),
            Some(Ok(frame)) => {
                let Ok(mut piece) = frame.into_data() else { continue };
                let left = usize::try_from(room).unwrap_or(usize::MAX) - length;
                let too_long = piece.len() > left;
                piece.truncate(left);
                length += piece.len();
                if !piece.is_empty() {
                    pieces.push(piece);
                }
                if too_long {
                    break Some(Ended::TooLong);
                }
            }
        }
    };
    Gathered { pieces, ended }
}

fn rehash(file: &File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; REHASH_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => return Ok(hasher.finish()),
        }
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
    pub fn read(self, range: Range<u64>) -> Pieces {
        let end = range.end.min(self.size);
        let left = end.saturating_sub(range.start);
        let reading = (left > 0).then(|| first(self.file, range.start, left));
        Pieces { left, reading }
    }
}

/// A file that gives its pieces one after the other, reading one ahead.
#[derive(Debug)]
pub struct Pieces {
    left: u64,
    reading: Option<Reading>,
}

type Reading = JoinHandle<io::Result<(File, Vec<u8>)>>;

fn first(mut file: File, start: u64, left: u64) -> Reading {
    let length = PIECE_BYTES.min(left);
    tokio::task::spawn_blocking(move || {
        file.seek(SeekFrom::Start(start))?;
        piece(file, length)
    })
}

fn piece(file: File, length: u64) -> io::Result<(File, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    (&file).take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok((file, bytes))
    } else {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob is shorter than it was"))
    }
}

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(reading) = self.reading.as_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).and_then(|read| read);
        self.reading = None;
        Poll::Ready(Some(read.map(|(file, bytes)| {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            if self.left > 0 {
                let length = PIECE_BYTES.min(self.left);
                self.reading = Some(tokio::task::spawn_blocking(move || piece(file, length)));
            }
            Bytes::from(bytes)
        })))
    }
}

#[cfg(test)]
mod tests;
