//! A compressed layer in a temporary file, and the two digests that an image names it by.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use flate2::Compression;
use landfall_types::Digest;

use crate::blob::{Blob, Hashing, Source};
use crate::compress::ParallelGzip;

/// A compressed layer and the digest of what is in it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What is sent.
    pub blob: Blob,
    /// What the image's configuration calls it: the digest of the archive before compression.
    pub diff_id: Digest,
}

/// Compresses what `fill` writes, on all cores. The same bytes give the same layer on every machine.
///
/// # Errors
/// Those of `fill`, and those of writing the temporary file.
pub fn compress<E: From<WriteError>>(fill: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<Layer, E> {
    let failed = |cause| E::from(WriteError(cause));
    let temporary = tempfile::NamedTempFile::new().map_err(failed)?;
    let file = Measuring::new(BufWriter::with_capacity(WRITE_BYTES, temporary));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let gzip = ParallelGzip::new(file, Compression::new(LEVEL), threads).map_err(failed)?;
    let mut plain = Measuring::new(gzip);
    fill(&mut plain)?;
    let (gzip, diff_id, _) = plain.finish();
    let (file, digest, size) = gzip.finish().map_err(failed)?.finish();
    let temporary = file.into_inner().map_err(|error| failed(error.into_error()))?;
    let source = Source::Temporary(Arc::new(temporary.into_temp_path()));
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

/// gzip's middle way, and everybody's default.
const LEVEL: u32 = 6;
/// Buffer in front of the temporary file.
const WRITE_BYTES: usize = 256 * 1024;
