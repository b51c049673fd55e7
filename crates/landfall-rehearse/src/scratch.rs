//! A temporary folder that really goes away: steps leave behind read-only folders (Go's module cache) and
//! processes that still write while they end.

use std::io;
use std::path::Path;
use std::time::Duration;

/// How often it is tried.
const ATTEMPTS: usize = 5;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// A temporary folder; it goes away with this value.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// Makes a folder whose name begins with `prefix`.
    ///
    /// # Errors
    /// When the system's temporary folder can't be written to.
    pub fn make(prefix: &str) -> io::Result<Self> {
        tempfile::Builder::new().prefix(prefix).tempdir().map(|dir| Self { dir })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for attempt in 0..ATTEMPTS {
            match std::fs::remove_dir_all(self.path()) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(_) if attempt == 0 => open_up(self.path()),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// Gives the owner all rights to the folders below.
fn open_up(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        // What can't be changed can't be removed either: the attempts that follow say so.
        let _ = std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700));
        let entries = std::fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
        let is_dir = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        open.extend(entries.filter(is_dir).map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folders_that_nobody_may_write_to_go_away_and_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "").unwrap();
        let scratch = Scratch::make("landfall-test-").unwrap();
        let path = scratch.path().to_owned();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/b/c"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), path.join("a/link")).unwrap();
        for dir in ["a/b", "a"] {
            std::fs::set_permissions(path.join(dir), std::fs::Permissions::from_mode(0o500)).unwrap();
        }
        drop(scratch);
        assert!(!path.exists());
        assert!(outside.path().join("kept").exists());
    }
}
