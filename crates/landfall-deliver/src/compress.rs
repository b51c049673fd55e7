//! gzip on all cores, with one result on every machine.
//!
//! The input is cut into blocks of a fixed size; each is deflated by itself up to a byte boundary
//! (RFC 1951, section 3.2.4: an empty stored block), and the pieces are joined into one member of one
//! gzip file (RFC 1952). How many threads there are changes the time it takes and nothing else.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Takes bytes, gives gzip to `inner`. [`ParallelGzip::finish`] has to be called: what was dropped
/// before is no gzip file.
pub struct ParallelGzip<W: Write> {
    inner: W,
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

impl<W: Write> ParallelGzip<W> {
    /// Starts `threads` workers (at least one) and writes the header: no name, no time.
    ///
    /// # Errors
    /// When `inner` can't be written.
    pub fn new(mut inner: W, level: Compression, threads: usize) -> io::Result<Self> {
        inner.write_all(&HEADER)?;
        let workers = (0..threads.clamp(1, THREADS_MAX)).map(|_| Worker::start(level)).collect();
        Ok(Self {
            inner,
            workers,
            block: Vec::with_capacity(BLOCK_BYTES),
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
        if !self.block.is_empty() {
            self.give()?;
        }
        while self.taken_count < self.given_count {
            self.take()?;
        }
        self.inner.write_all(&LAST_BLOCK)?;
        self.inner.write_all(&self.crc.sum().to_le_bytes())?;
        self.inner.write_all(&self.crc.amount().to_le_bytes())?;
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
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.crc.update(&block);
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

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.block.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.block.extend_from_slice(taken);
        if self.block.len() == BLOCK_BYTES {
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
    fn start(level: Compression) -> Self {
        let (blocks, waiting) = sync_channel::<Vec<u8>>(BLOCKS_AHEAD);
        let (done, pieces) = sync_channel(BLOCKS_AHEAD);
        let thread = std::thread::spawn(move || {
            let mut deflate = Compress::new(level, false);
            while let Ok(block) = waiting.recv() {
                // Who doesn't wait for the piece any more has failed and says so elsewhere.
                if done.send(deflated(&mut deflate, &block)).is_err() {
                    return;
                }
            }
        });
        Self { blocks, pieces, thread }
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
const BLOCK_BYTES: usize = 512 * 1024;
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

    fn gzip(content: &[u8], threads: usize, step: usize) -> Vec<u8> {
        let mut gzip = ParallelGzip::new(Vec::new(), Compression::new(6), threads).unwrap();
        for piece in content.chunks(step.max(1)) {
            gzip.write_all(piece).unwrap();
        }
        gzip.finish().unwrap()
    }

    fn plain(gzip: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        // Not the decoder of several members: every reader has to find all of it.
        flate2::read::GzDecoder::new(gzip).read_to_end(&mut content).unwrap();
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
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 77] {
            let content = content(length);
            let one = gzip(&content, 1, 10_000);
            assert!(plain(&one) == content, "{length}");
            for (threads, step) in [(2, 4096), (5, BLOCK_BYTES * 2), (16, 999)] {
                assert!(gzip(&content, threads, step) == one, "{length} bytes, {threads} threads");
            }
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
        let mut gzip = ParallelGzip::new(Full(1000), Compression::new(6), 2).unwrap();
        let written = gzip.write_all(&content(8 * BLOCK_BYTES)).and_then(|()| gzip.finish().map(drop));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
