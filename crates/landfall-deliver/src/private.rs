//! Files that only their owner may read, written in one step.

use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file that only its owner may read, in one step. An older file is replaced.
///
/// # Errors
/// When the directory can't be written to.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // `tempfile` creates with mode 0600.
    let mut file = NamedTempFile::new_in(directory_of(path))?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a directory that only its owner may enter, with those above it, where it isn't there yet.
///
/// # Errors
/// When it can't be made.
pub fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A path's directory; of a bare name the working directory.
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
