//! Text files of repositories and of steps, which may be anything: a folder, a pipe, a link to a device.

use std::fs::File;
use std::io::{Error, Read as _, Result};
use std::path::Path;

/// Reads a regular file of at most so many bytes.
///
/// # Errors
/// The system's, and what else it is not: a regular file, short enough, UTF-8.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::other("it is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_regular_files_of_text_are_read_and_no_more_of_them_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), "four");
        let refused = |path: &Path, bytes_max| read(path, bytes_max).unwrap_err().to_string();
        assert_eq!(refused(&file, 3), "it is longer than 3 bytes");
        assert_eq!(refused(dir.path(), 9), "it is no regular file");
        assert_eq!(refused(Path::new("/dev/null"), 9), "it is no regular file");
        assert_eq!(read(&dir.path().join("none"), 9).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    }
}
