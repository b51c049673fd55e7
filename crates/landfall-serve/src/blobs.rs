//! Layers and configs of images: files named by their digest, and the uploads that become them.
//!
//! How content gets there and comes from there, in memory that doesn't grow with it, is in [`flow`].

mod flow;
mod uploads;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flow::Growing;
use http_body_util::BodyExt;
use landfall_types::Digest;
use landfall_wire::hash::{Algorithm, Hasher};

pub use flow::{Ended, Flow, Pieces};
pub use uploads::{Taken, TooManyUploads, UPLOAD_IDLE_SECONDS_MAX, UPLOADS_MAX, Uploads};

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
    /// What is on its way in and out.
    pub flow: Flow,
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
        Ok(Self {
            dir,
            open_uploads: Uploads::default(),
            flow: Flow::default(),
            next_scratch: AtomicU64::new(0),
        })
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
            blocking(move || rehash(&file, algorithm)).await??
        };
        if actual != *claimed {
            return Err(UploadError::DigestMismatch { claimed: claimed.clone(), actual });
        }
        blobs.keep(&scratch, &actual)?;
        Ok(Stored { digest: actual, length })
    }
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
    pub fn read(self, flow: &Flow, range: Range<u64>) -> Pieces {
        let end = range.end.min(self.size);
        Pieces::of(flow, self.file, range.start, end.saturating_sub(range.start))
    }
}

#[cfg(test)]
mod tests;
