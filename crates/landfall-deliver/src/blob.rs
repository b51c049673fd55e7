//! Content that is sent: read from disk in pieces, hashed while it is read, never held as a whole.

use std::fs::File;
use std::io::{self, Read as _};
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
            Source::Temporary(_) => "the assembled layer".to_owned(),
            Source::Memory(_) => "the image configuration".to_owned(),
        }
    }

    /// Starts reading: a request body of exactly the bytes there are, and what they hash to in the end.
    /// `sent` counts bytes as they are taken. Memory: a few pieces of 256 KiB.
    pub fn read(&self, sent: Arc<AtomicU64>) -> (Body, JoinHandle<io::Result<Digest>>) {
        let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
        let (source, hashing) = (self.source.clone(), Hashing::like(&self.digest));
        let reader = tokio::task::spawn_blocking(move || read_pieces(&source, hashing, &pieces));
        (Body::wrap_stream(Pieces { receiver, sent }), reader)
    }
}

fn read_pieces(
    source: &Source,
    mut hashing: Hashing,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<Digest> {
    let opened = match source {
        Source::Memory(bytes) => {
            hashing.update(bytes);
            // A receiver that is gone means a request that failed, which is told elsewhere.
            let _ = pieces.blocking_send(Ok(bytes.clone()));
            return Ok(hashing.finish());
        }
        Source::File(path) => File::open(path),
        Source::Temporary(path) => File::open::<&std::path::Path>(path.as_ref()),
    };
    let copied = opened.and_then(|mut file| copy_pieces(&mut file, &mut hashing, pieces));
    match copied {
        Ok(()) => Ok(hashing.finish()),
        Err(error) => {
            // The request must not look complete.
            let _ = pieces.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            Err(error)
        }
    }
}

fn copy_pieces(
    file: &mut File,
    hashing: &mut Hashing,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
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
        if pieces.blocking_send(Ok(piece.freeze())).is_err() {
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
