//! Content that is sent: read from disk in pieces, hashed while it is read, never held as a whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
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

use crate::read::{self, At, PIECE_BYTES};

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
    /// Within an open file, an archive or one without a name: as many bytes as the blob is long.
    Part {
        /// The file.
        file: Arc<File>,
        /// Where the bytes begin.
        offset: u64,
        /// What messages call it.
        place: PathBuf,
    },
    /// In memory: image configurations.
    Memory(Bytes),
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
            Source::Part { place, .. } => place.display().to_string(),
            Source::Memory(_) => "the image configuration".to_owned(),
        }
    }

    /// The content, when it is at most `limit` bytes long.
    ///
    /// # Errors
    /// When it can't be read or is longer.
    pub fn content(&self, limit: u64) -> io::Result<Vec<u8>> {
        read::whole(self.open()?, limit)
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.source {
            Source::Memory(bytes) => Box::new(io::Cursor::new(bytes.clone())),
            Source::File(path) => Box::new(File::open(path)?),
            Source::Part { file, offset, .. } => Box::new(At::new(Arc::clone(file), *offset).take(self.size)),
        })
    }

    /// Starts reading: a request body of the bytes from `start` on, and what all of them hash to in the
    /// end. `sent` counts bytes as they are taken. Memory: a few pieces of 256 KiB.
    pub fn read(&self, start: u64, sent: Arc<AtomicU64>) -> Reading {
        let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
        let blob = self.clone();
        let hashed = tokio::task::spawn_blocking(move || read_pieces(&blob, start, &pieces));
        let taken = Arc::<AtomicU64>::default();
        let body = Body::wrap_stream(Pieces { receiver, sent, taken: Arc::clone(&taken) });
        Reading { body, taken, hashed }
    }
}

/// A blob that is being read.
pub struct Reading {
    /// For the request.
    pub body: Body,
    /// Bytes that the request has taken.
    pub taken: Arc<AtomicU64>,
    /// What all bytes hash to.
    pub hashed: JoinHandle<io::Result<Digest>>,
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
        let read = read::some(file, &mut piece)?;
        if read == 0 {
            return Ok(());
        }
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
    taken: Arc<AtomicU64>,
}

impl futures_core::Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            for count in [&self.sent, &self.taken] {
                count.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
        next
    }
}

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
