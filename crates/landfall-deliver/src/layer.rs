//! A compressed layer in a temporary file, which has no name and goes with the process, and the two digests that an image names it by.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use landfall_types::Digest;

use crate::blob::{Blob, Hashing, Source};
use crate::compress::{Format, Parallel};

/// A compressed layer and the digest of what is in it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What is sent.
    pub blob: Blob,
    /// What the image's configuration calls it: the digest of the archive before compression.
    pub diff_id: Digest,
}

/// Compresses what `fill` writes, on all cores. The same bytes give the same layer on every machine. `place` is what
/// messages call it.
///
/// # Errors
/// Those of `fill`, and those of writing the temporary file.
pub fn compress<E: From<WriteError>>(
    place: PathBuf,
    format: Format,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<Layer, E> {
    let failed = |cause| E::from(WriteError(cause));
    let temporary = tempfile::tempfile().map_err(failed)?;
    let file = Measuring::new(BufWriter::with_capacity(WRITE_BYTES, temporary));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let packing = Parallel::new(file, format, threads).map_err(failed)?;
    let mut plain = Measuring::new(packing);
    fill(&mut plain)?;
    let (packing, diff_id, _) = plain.finish();
    let (file, digest, size) = packing.finish().map_err(failed)?.finish();
    let temporary = file.into_inner().map_err(|error| failed(error.into_error()))?;
    let source = Source::Part { file: Arc::new(temporary), offset: 0, place };
    Ok(Layer { blob: Blob { digest, size, source }, diff_id })
}

/// The temporary file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("writing a layer to a temporary file (TMPDIR says where)")]
pub struct WriteError(#[source] pub io::Error);

/// Hashes and counts what passes through.
struct Measuring<W> {
    inner: W,
    hashing: Hashing,
    length: u64,
}

impl<W> Measuring<W> {
    fn new(inner: W) -> Self {
        Self { inner, hashing: Hashing::sha256(), length: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hashing.finish(), self.length)
    }
}

impl<W: Write> Write for Measuring<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hashing.update(bytes.get(..written).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Buffer in front of the temporary file.
const WRITE_BYTES: usize = 256 * 1024;
