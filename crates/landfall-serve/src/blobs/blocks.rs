//! Memory for content in motion: blocks of one size that are used again and again.
//!
//! Content is filled in by one thread and given up by another, gigabytes of it in a row. An allocator would keep
//! what each of those threads has given back for that thread, and take more for the next one.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a block: the least that there is of an upload or a download in a crowd.
pub(super) const BLOCK_BYTES: usize = 32 << 10;
/// Blocks that are kept for the next one who needs some: 4 MiB.
const KEPT_BLOCKS_MAX: usize = 128;

/// Where blocks come from and go back to.
#[derive(Clone, Default, Debug)]
pub(super) struct Blocks {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Blocks {
    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty block.
    pub(super) fn take(&self) -> Block {
        // The one that was given back last: it is the most likely to be in a processor's cache.
        let free = self.free().pop();
        let bytes = free.unwrap_or_else(|| vec![0; BLOCK_BYTES]);
        Block { bytes, length: 0, home: self.clone() }
    }

    /// So many bytes of a source in full blocks, and one that may not be.
    ///
    /// # Errors
    /// When the source ends before, or can't be read.
    pub(super) fn read(&self, mut source: impl Read, length: usize) -> io::Result<Vec<Block>> {
        let mut blocks = Vec::with_capacity(length.div_ceil(BLOCK_BYTES));
        let mut left = length;
        while left > 0 {
            let mut block = self.take();
            let room = block.next(left);
            source.read_exact(room)?;
            block.length = room.len();
            left -= block.length;
            blocks.push(block);
        }
        Ok(blocks)
    }
}

/// At most [`BLOCK_BYTES`] of content.
#[derive(Debug)]
pub(super) struct Block {
    /// [`BLOCK_BYTES`] of them, so that a read takes one call; what comes after the content is of earlier uses.
    bytes: Vec<u8>,
    length: usize,
    home: Blocks,
}

impl Block {
    /// Takes as much of the content as there is room for; gives the rest.
    fn fill<'c>(&mut self, content: &'c [u8]) -> &'c [u8] {
        let room = self.next(content.len());
        let (taken, rest) = content.split_at(room.len());
        room.copy_from_slice(taken);
        self.length += taken.len();
        rest
    }

    /// Where the next bytes go: at most so many.
    fn next(&mut self, length: usize) -> &mut [u8] {
        let end = self.length.saturating_add(length).min(self.bytes.len());
        self.bytes.get_mut(self.length..end).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut free = self.home.free();
        if free.len() < KEPT_BLOCKS_MAX {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Content that is gathered in blocks.
#[derive(Debug)]
pub(super) struct Batch {
    blocks: Vec<Block>,
    length: usize,
    home: Blocks,
}

impl Batch {
    /// Nothing yet.
    pub(super) fn new(home: &Blocks) -> Self {
        Self { blocks: Vec::new(), length: 0, home: home.clone() }
    }

    /// Appends content.
    pub(super) fn extend(&mut self, content: &[u8]) {
        self.length += content.len();
        let mut rest = match self.blocks.last_mut() {
            Some(last) => last.fill(content),
            None => content,
        };
        while !rest.is_empty() {
            let mut block = self.home.take();
            rest = block.fill(rest);
            self.blocks.push(block);
        }
    }

    /// Bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The content, block by block.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(Block::as_ref)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn content_of_any_length_is_gathered_as_it_came() {
        let blocks = Blocks::default();
        let mut batch = Batch::new(&blocks);
        let mut whole = Vec::new();
        for (number, length) in
            [0, 1, BLOCK_BYTES - 1, 1, 3 * BLOCK_BYTES + 7, BLOCK_BYTES].into_iter().enumerate()
        {
            let piece = vec![number as u8; length];
            batch.extend(&piece);
            whole.extend(piece);
        }
        assert_eq!(batch.length(), whole.len());
        assert_eq!(batch.parts().count(), whole.len().div_ceil(BLOCK_BYTES));
        assert!(batch.parts().collect::<Vec<_>>().concat() == whole);
    }

    #[test]
    fn blocks_are_used_again_and_only_so_many_are_kept() {
        let blocks = Blocks::default();
        let many: Vec<Block> = (0..KEPT_BLOCKS_MAX + 10).map(|_| blocks.take()).collect();
        drop(many);
        assert_eq!(blocks.free().len(), KEPT_BLOCKS_MAX);
        let block = blocks.take();
        assert_eq!((blocks.free().len(), block.as_ref().len()), (KEPT_BLOCKS_MAX - 1, 0));
    }

    #[test]
    fn a_source_that_is_shorter_than_it_should_be_is_an_error() {
        let blocks = Blocks::default();
        let source = vec![7; BLOCK_BYTES + 5];
        let read = blocks.read(source.as_slice(), BLOCK_BYTES + 5).unwrap();
        assert_eq!(read.iter().map(|block| block.as_ref().len()).collect::<Vec<_>>(), [BLOCK_BYTES, 5]);
        assert!(blocks.read(source.as_slice(), BLOCK_BYTES + 6).is_err());
        assert!(blocks.read(source.as_slice(), 0).unwrap().is_empty());
    }
}
