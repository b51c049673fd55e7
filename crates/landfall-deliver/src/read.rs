//! What all that reads files and streams has in common: interruptions don't count, and nothing is read without a limit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Reads some bytes, none at the end.
///
/// # Errors
/// Those of the reader, but interruptions.
pub fn some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Reads until the buffer is full, or the end.
///
/// # Errors
/// Those of the reader.
pub fn start(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match some(reader, rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Gives everything to `take`, piece by piece, and says how many bytes that were. `failed` is what a failure to read
/// means: a full disk and a broken archive are different news.
///
/// # Errors
/// Those of reading and of taking.
pub fn pieces<E>(
    reader: &mut impl Read,
    failed: impl FnOnce(io::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let (mut buffer, mut length) = (vec![0; PIECE_BYTES], 0u64);
    loop {
        match some(reader, &mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                length += read as u64;
                take(buffer.get(..read).unwrap_or_default())?;
            }
            Err(cause) => return Err(failed(cause)),
        }
    }
}

/// Everything, when it is at most `limit` bytes.
///
/// # Errors
/// When it can't be read or is longer.
pub fn whole(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// A reader of a file that others read at the same time: it has a position of its own.
pub struct At {
    file: Arc<File>,
    position: u64,
}

impl At {
    /// From a place on.
    pub fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position }
    }
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.position = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// One read.
pub const PIECE_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Slow(Vec<u8>, bool);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match (self.0.pop(), buffer.first_mut()) {
                (Some(byte), Some(place)) => {
                    *place = byte;
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn interruptions_do_not_count() {
        let mut slow = Slow(b"cba".to_vec(), false);
        let mut two = [0; 2];
        assert_eq!((start(&mut slow, &mut two).unwrap(), two), (2, *b"ab"));
        let mut rest = Vec::new();
        let length = pieces(
            &mut slow,
            |error| error,
            |piece| {
                rest.extend_from_slice(piece);
                Ok(())
            },
        );
        assert_eq!((length.unwrap(), rest), (1, b"c".to_vec()));
    }

    #[test]
    fn a_limit_is_inclusive_and_said() {
        assert_eq!(whole(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(whole(&b"abcd"[..], 3).unwrap_err().to_string(), "it is longer than 3 bytes");
    }

    #[test]
    fn readers_of_one_file_have_positions_of_their_own() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"abcdef").unwrap();
        let file = Arc::new(file);
        let (mut one, mut other) = (At::new(Arc::clone(&file), 0), At::new(file, 4));
        let mut two = [0; 2];
        for (reader, wanted) in [(&mut one, b"ab"), (&mut other, b"ef")] {
            assert_eq!((start(reader, &mut two).unwrap(), &two), (2, wanted));
        }
        one.seek(SeekFrom::Current(2)).unwrap();
        assert_eq!((start(&mut one, &mut two).unwrap(), &two), (2, b"ef"));
        assert_eq!(one.seek(SeekFrom::End(-1)).unwrap(), 5);
        assert!(one.seek(SeekFrom::Current(-9)).is_err());
    }
}
