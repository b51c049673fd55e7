//! gzip and Zstandard on all cores, with one result on every machine.
//!
//! The input is cut into blocks of a fixed size, each of which is compressed by itself. With gzip a block ends at a byte
//! boundary (RFC 1951, section 3.2.4: an empty stored block), and the pieces are joined into one member of one
//! gzip file (RFC 1952). With Zstandard each is a frame, and frames one after the other are a file (RFC 8878, section
//! 3). How many threads there are changes the time it takes and nothing else.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// How something is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// gzip, which every client and registry knows.
    Gzip {
        /// 1 to 9.
        level: u32,
    },
    /// Zstandard: smaller and several times faster, for clients that know it (containerd 1.5, Docker 23, Podman 4).
    Zstd {
        /// 1 to 22.
        level: i32,
    },
}

impl Default for Format {
    /// gzip at its middle way, which is everybody's default.
    fn default() -> Self {
        Self::Gzip { level: GZIP_LEVEL }
    }
}

impl Format {
    /// Reads `gzip`, `zstd`, and either with `:LEVEL`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let level = level.map(str::parse::<u8>).transpose().ok();
        match (name, level) {
            ("gzip", Some(None)) => Ok(Self::default()),
            ("gzip", Some(Some(level @ 1..=9))) => Ok(Self::Gzip { level: level.into() }),
            ("zstd", Some(None)) => Ok(Self::Zstd { level: ZSTD_LEVEL }),
            ("zstd", Some(Some(level @ 1..=22))) => Ok(Self::Zstd { level: level.into() }),
            _ => Err(format!(
                "`{}` is no compression: gzip[:1 to 9] or zstd[:1 to 22] is expected",
                text.escape_debug()
            )),
        }
    }

    fn block_bytes(self) -> usize {
        match self {
            Self::Gzip { .. } => GZIP_BLOCK_BYTES,
            Self::Zstd { .. } => ZSTD_BLOCK_BYTES,
        }
    }
}

/// Takes bytes, gives them compressed to `inner`. [`Parallel::finish`] has to be called: what was dropped before is
/// no file of its format.
pub struct Parallel<W: Write> {
    inner: W,
    format: Format,
    workers: Vec<Worker>,
    block: Vec<u8>,
    /// Blocks handed to the workers, in turn.
    given_count: usize,
    /// Blocks whose pieces were written.
    taken_count: usize,
    crc: Crc,
}

struct Worker {
    blocks: SyncSender<Vec<u8>>,
    pieces: Receiver<io::Result<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl<W: Write> Parallel<W> {
    /// Starts `threads` workers (at least one) and writes the header, if there is one: no name, no time.
    ///
    /// # Errors
    /// When `inner` can't be written.
    pub fn new(mut inner: W, format: Format, threads: usize) -> io::Result<Self> {
        if matches!(format, Format::Gzip { .. }) {
            inner.write_all(&HEADER)?;
        }
        let workers = (0..threads.clamp(1, THREADS_MAX)).map(|_| Worker::start(format));
        Ok(Self {
            inner,
            format,
            workers: workers.collect::<io::Result<_>>()?,
            block: Vec::with_capacity(format.block_bytes()),
            given_count: 0,
            taken_count: 0,
            crc: Crc::new(),
        })
    }

    /// Writes what is on its way and the trailer.
    ///
    /// # Errors
    /// When `inner` can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        let is_zstd = matches!(self.format, Format::Zstd { .. });
        // Nothing at all is one empty frame.
        if !self.block.is_empty() || (is_zstd && self.given_count == 0) {
            self.give()?;
        }
        while self.taken_count < self.given_count {
            self.take()?;
        }
        if !is_zstd {
            self.inner.write_all(&LAST_BLOCK)?;
            self.inner.write_all(&self.crc.sum().to_le_bytes())?;
            self.inner.write_all(&self.crc.amount().to_le_bytes())?;
        }
        for worker in self.workers {
            drop(worker.blocks);
            worker.thread.join().map_err(|_| worker_gone())?;
        }
        Ok(self.inner)
    }

    /// Hands the block to the next worker in turn. Each holds one block in work and one waiting, so the
    /// oldest piece is taken before a worker gets a third.
    fn give(&mut self) -> io::Result<()> {
        if self.given_count - self.taken_count >= self.workers.len() * BLOCKS_AHEAD {
            self.take()?;
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(self.format.block_bytes()));
        if matches!(self.format, Format::Gzip { .. }) {
            self.crc.update(&block);
        }
        let turn = self.given_count % self.workers.len();
        let worker = self.workers.get(turn).ok_or_else(worker_gone)?;
        worker.blocks.send(block).map_err(|_| worker_gone())?;
        self.given_count += 1;
        Ok(())
    }

    /// Writes the oldest piece.
    fn take(&mut self) -> io::Result<()> {
        let turn = self.taken_count % self.workers.len();
        let worker = self.workers.get(turn).ok_or_else(worker_gone)?;
        let piece = worker.pieces.recv().map_err(|_| worker_gone())??;
        self.taken_count += 1;
        self.inner.write_all(&piece)
    }
}

impl<W: Write> Write for Parallel<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.format.block_bytes() - self.block.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.block.extend_from_slice(taken);
        if self.block.len() == self.format.block_bytes() {
            self.give()?;
        }
        Ok(taken.len())
    }

    /// Blocks are of one size whoever flushes: nothing to do.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Worker {
    fn start(format: Format) -> io::Result<Self> {
        let mut packer = Packer::new(format)?;
        let (blocks, waiting) = sync_channel::<Vec<u8>>(BLOCKS_AHEAD);
        let (done, pieces) = sync_channel(BLOCKS_AHEAD);
        let thread = std::thread::spawn(move || {
            while let Ok(block) = waiting.recv() {
                // Who doesn't wait for the piece any more has failed and says so elsewhere.
                if done.send(packer.pack(&block)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { blocks, pieces, thread })
    }
}

/// What a worker compresses with.
enum Packer {
    Deflate(Compress),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Packer {
    fn new(format: Format) -> io::Result<Self> {
        Ok(match format {
            Format::Gzip { level } => Self::Deflate(Compress::new(Compression::new(level), false)),
            Format::Zstd { level } => Self::Zstd(zstd::bulk::Compressor::new(level)?),
        })
    }

    fn pack(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Deflate(deflate) => deflated(deflate, block),
            Self::Zstd(zstd) => zstd.compress(block),
        }
    }
}

/// One block, up to a byte boundary, without a reference to what came before it.
fn deflated(deflate: &mut Compress, block: &[u8]) -> io::Result<Vec<u8>> {
    deflate.reset();
    let mut piece = Vec::with_capacity(block.len() / 2 + PIECE_SPARE_BYTES);
    loop {
        let consumed = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = block.get(consumed..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut piece, FlushCompress::Sync).map_err(io::Error::other)?;
        let is_whole = deflate.total_in() == block.len() as u64;
        // Room left over means that the flush is complete (zlib's manual, `deflate`).
        if is_whole && piece.len() < piece.capacity() {
            return Ok(piece);
        }
        if status == Status::StreamEnd {
            return Err(io::Error::other("the compressor stopped early"));
        }
        piece.reserve(PIECE_SPARE_BYTES);
    }
}

fn worker_gone() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

/// RFC 1952, section 2.3: deflate, no flags, no time, no hint, operating system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951: the last block, compressed with fixed codes, holding nothing.
const LAST_BLOCK: [u8; 2] = [3, 0];
/// What is compressed by itself. Larger blocks compress a little better and keep more in memory; a
/// change of this number changes every digest.
const GZIP_BLOCK_BYTES: usize = 512 * 1024;
/// The same; Zstandard looks further back.
const ZSTD_BLOCK_BYTES: usize = 2 * 1024 * 1024;
/// gzip's default.
const GZIP_LEVEL: u32 = 6;
/// Zstandard's default.
const ZSTD_LEVEL: i32 = 3;
/// Blocks that a worker may have: one in work, one waiting.
const BLOCKS_AHEAD: usize = 2;
/// Workers at most: reading and hashing are the limit long before.
const THREADS_MAX: usize = 16;
/// Room for what a flush adds.
const PIECE_SPARE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::io::Read as _;

    use super::*;

    const GZIP: Format = Format::Gzip { level: 6 };
    const ZSTD: Format = Format::Zstd { level: 3 };

    fn packed(format: Format, content: &[u8], threads: usize, step: usize) -> Vec<u8> {
        let mut packing = Parallel::new(Vec::new(), format, threads).unwrap();
        for piece in content.chunks(step.max(1)) {
            packing.write_all(piece).unwrap();
        }
        packing.finish().unwrap()
    }

    fn plain(format: Format, packed: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match format {
            // Not the decoder of several members: every reader has to find all of it.
            Format::Gzip { .. } => {
                flate2::read::GzDecoder::new(packed).read_to_end(&mut content).unwrap();
            }
            Format::Zstd { .. } => content = zstd::stream::decode_all(packed).unwrap(),
        }
        content
    }

    /// Text-like, noise-like and empty stretches.
    fn content(length: usize) -> Vec<u8> {
        let mut state = 7u32;
        let byte = |index: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (index / 100_000) % 3 {
                0 => b"layers of an image "[index % 19],
                1 => state.to_be_bytes()[0],
                _ => 0,
            }
        };
        (0..length).map(byte).collect()
    }

    #[test]
    fn every_length_comes_back_and_threads_change_nothing() {
        for format in [GZIP, ZSTD] {
            let block = format.block_bytes();
            for length in [0, 1, block - 1, block, block + 1, 3 * block + 77] {
                let content = content(length);
                let one = packed(format, &content, 1, 10_000);
                assert!(plain(format, &one) == content, "{length}");
                assert!(!one.is_empty());
                for (threads, step) in [(2, 4096), (5, block * 2), (16, 999)] {
                    let several = packed(format, &content, threads, step);
                    assert!(several == one, "{format:?}: {length} bytes, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn a_format_is_a_name_and_a_level() {
        for (text, wanted) in [
            ("gzip", Some(GZIP)),
            ("gzip:6", Some(GZIP)),
            ("gzip:9", Some(Format::Gzip { level: 9 })),
            ("zstd", Some(ZSTD)),
            ("zstd:19", Some(Format::Zstd { level: 19 })),
        ] {
            assert_eq!(Format::parse(text).ok(), wanted, "{text}");
        }
        for text in ["", "gz", "gzip:", "gzip:0", "gzip:10", "zstd:23", "zstd:-1", "zstd:x", "zstd:3:3", "xz"]
        {
            let error = Format::parse(text).unwrap_err();
            assert!(error.contains("gzip[:1 to 9] or zstd[:1 to 22] is expected"), "{error}");
        }
    }

    #[test]
    fn a_full_disk_is_an_error() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gzip = Parallel::new(Full(1000), GZIP, 2).unwrap();
        let written = gzip.write_all(&content(8 * GZIP_BLOCK_BYTES)).and_then(|()| gzip.finish().map(drop));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
