//! Content that is sent: read from disk in pieces, hashed while it is read, never held as a whole.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use aws_lc_rs::digest::{Context as Hasher, SHA256, SHA512};
use bytes::{Bytes, BytesMut};
use landfall_types::Digest;
use reqwest::Body;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A digest that grows with its input.
pub struct Hashing {
    hasher: Hasher,
    is_sha512: bool,
}

impl Hashing {
    /// SHA-256.
    pub fn sha256() -> Self {
        Self { hasher: Hasher::new(&SHA256), is_sha512: false }
    }

    /// The algorithm that `digest` was made with.
    pub fn like(digest: &Digest) -> Self {
        let is_sha512 = digest.algorithm() == "sha512";
        Self { hasher: Hasher::new(if is_sha512 { &SHA512 } else { &SHA256 }), is_sha512 }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        let hash = self.hasher.finish();
        if self.is_sha512 { Digest::sha512(hash.as_ref()) } else { Digest::sha256(hash.as_ref()) }
    }
}

/// The SHA-256 of bytes at hand.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hashing = Hashing::sha256();
    hashing.update(bytes);
    hashing.finish()
}

/// Where a blob's bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In a temporary file that goes away with the last reference.
    Temporary(Arc<tempfile::TempPath>),
    /// Within an archive: as many bytes as the blob is long.
    Part {
        /// The archive.
        file: Arc<Held>,
        /// Where the bytes begin.
        offset: u64,
        /// What messages call it.
        place: PathBuf,
    },
    /// In memory: image configurations.
    Memory(Bytes),
}

/// A file that content lies in.
#[derive(Debug)]
pub enum Held {
    /// Somebody else's.
    Path(PathBuf),
    /// Ours: it goes away with the last reference.
    Temporary(tempfile::TempPath),
}

impl Held {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Temporary(path) => path,
        }
    }
}

/// One blob of an image: what it must be, and where it is.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What the content must hash to.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Where it is.
    pub source: Source,
}

impl Blob {
    /// A blob from bytes at hand.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { digest: digest_of(&bytes), size: bytes.len() as u64, source: Source::Memory(bytes.into()) }
    }

    /// What messages call it.
    pub fn place(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Temporary(_) => "the assembled layer".to_owned(),
            Source::Part { place, .. } => place.display().to_string(),
            Source::Memory(_) => "the image configuration".to_owned(),
        }
    }

    /// The content, when it is at most `limit` bytes long.
    ///
    /// # Errors
    /// When it can't be read or is longer.
    pub fn content(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.size > limit {
            return Err(io::Error::other(format!("it is longer than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.source {
            Source::Memory(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            Source::File(path) => Box::new(File::open(path)?),
            Source::Temporary(path) => Box::new(File::open::<&Path>(path.as_ref())?),
            Source::Part { file, offset, .. } => {
                let mut file = File::open(file.path())?;
                file.seek(SeekFrom::Start(*offset))?;
                Box::new(file.take(self.size))
            }
        })
    }

    /// Starts reading: a request body of the bytes from `start` on, and what all of them hash to in the
    /// end. `sent` counts bytes as they are taken. Memory: a few pieces of 256 KiB.
    pub fn read(&self, start: u64, sent: Arc<AtomicU64>) -> (Body, JoinHandle<io::Result<Digest>>) {
        let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
        let blob = self.clone();
        let reader = tokio::task::spawn_blocking(move || read_pieces(&blob, start, &pieces));
        (Body::wrap_stream(Pieces { receiver, sent }), reader)
    }
}

fn read_pieces(blob: &Blob, start: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<Digest> {
    let mut hashing = Hashing::like(&blob.digest);
    if let Source::Memory(bytes) = &blob.source {
        hashing.update(bytes);
        let rest = bytes.slice(usize::try_from(start).unwrap_or(bytes.len()).min(bytes.len())..);
        // A receiver that is gone means a request that failed, which is told elsewhere.
        let _ = pieces.blocking_send(Ok(rest));
        return Ok(hashing.finish());
    }
    let copied = blob.open().and_then(|mut file| copy_pieces(&mut file, start, &mut hashing, pieces));
    match copied {
        Ok(()) => Ok(hashing.finish()),
        Err(error) => {
            // The request must not look complete.
            let _ = pieces.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            Err(error)
        }
    }
}

/// All bytes are hashed; those from `start` on are sent.
fn copy_pieces(
    file: &mut impl Read,
    start: u64,
    hashing: &mut Hashing,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut position = 0u64;
    loop {
        let mut piece = BytesMut::zeroed(PIECE_BYTES);
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        piece.truncate(read);
        hashing.update(&piece);
        let skipped = usize::try_from(start.saturating_sub(position)).unwrap_or(usize::MAX).min(read);
        position += read as u64;
        let piece = piece.freeze().slice(skipped..);
        if !piece.is_empty() && pieces.blocking_send(Ok(piece)).is_err() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the upload ended early"));
        }
    }
}

/// The receiving end as a stream.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    sent: Arc<AtomicU64>,
}

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        next
    }
}

/// One read from disk.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait for the network.
const PIECES_AHEAD: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(b"").as_str(), empty);
        let long = Digest::sha512(&[0; 64]);
        let mut hashing = Hashing::like(&long);
        hashing.update(b"abc");
        assert!(hashing.finish().as_str().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }
}
