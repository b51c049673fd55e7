//! A temporary folder that really goes away: steps leave behind read-only folders (Go's module cache) and
//! processes that still write while they end. What a process could not take away, because it was killed, the next one
//! does.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

/// How often it is tried.
const ATTEMPTS: usize = 5;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// How the names of all such folders begin.
const PREFIX: &str = "landfall-";
/// The file in a folder that its process holds locked as long as it lives, whatever ends it. It says which start of
/// the machine that was: of another machine, or of a folder that several of them see, a lock tells nothing.
const LOCK: &str = ".landfall-lock";
/// The machine's start, on Linux.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Most of a lock file that is read, in bytes.
const BOOT_BYTES_MAX: u64 = 64;

/// A temporary folder; it goes away with this value.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    /// Held as long as the folder is in use; none where the system has no locks.
    _lock: Option<File>,
}

impl Scratch {
    /// Makes a folder whose name is `landfall-`, a word for what it is of, and something random; and removes the
    /// folders beside it that processes of the same user have left behind when they were killed.
    ///
    /// # Errors
    /// When the system's temporary folder can't be written to.
    pub fn make(word: &str) -> io::Result<Self> {
        // On a machine that others use as well, nobody else reads images and keys.
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{word}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let lock = hold(dir.path()).ok();
        if let (Some(beside), Ok(own)) = (dir.path().parent(), dir.path().metadata()) {
            clean_up(beside, own.uid());
        }
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(self.path());
    }
}

/// Locks a folder. The file has its name only once it is locked, so that nobody takes a folder for left that is just
/// being made.
fn hold(dir: &Path) -> io::Result<File> {
    let unlocked = dir.join(format!("{LOCK}-new"));
    let mut file = File::create_new(&unlocked)?;
    file.lock()?;
    file.write_all(boot().as_bytes())?;
    std::fs::rename(&unlocked, dir.join(LOCK))?;
    Ok(file)
}

fn boot() -> String {
    std::fs::read_to_string(BOOT).unwrap_or_default()
}

/// Removes what was left behind in a folder by processes of a user.
fn clean_up(beside: &Path, user: u32) {
    for entry in std::fs::read_dir(beside).into_iter().flatten().filter_map(Result::ok) {
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Of an entry itself: a link leads anywhere.
        let is_theirs = |about: std::fs::Metadata| about.is_dir() && about.uid() == user;
        if !is_named || !entry.metadata().is_ok_and(is_theirs) {
            continue;
        }
        let dir = entry.path();
        // Held while it is removed: of two that clean up at a time one does it.
        let Some(_lock) = left_behind(&dir) else { continue };
        // The lock goes last, so that what is cut short is gone on with by the next one.
        let inside = std::fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
        for entry in inside.filter(|entry| entry.file_name() != OsStr::new(LOCK)) {
            remove(&entry.path());
        }
        remove(&dir);
    }
}

/// The lock of a folder that surely nobody holds any more; none on doubt.
fn left_behind(dir: &Path) -> Option<File> {
    let file = File::open(dir.join(LOCK)).ok()?;
    file.try_lock().ok()?;
    let mut said = String::new();
    (&file).take(BOOT_BYTES_MAX).read_to_string(&mut said).ok()?;
    (said == boot()).then_some(file)
}

/// Removes a file or a folder with all that is in it.
fn remove(path: &Path) {
    for attempt in 0..ATTEMPTS {
        let is_dir = path.symlink_metadata().is_ok_and(|about| about.is_dir());
        let done = if is_dir { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match done {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) if attempt == 0 && is_dir => open_up(path),
            Err(_) => std::thread::sleep(PAUSE),
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
        let scratch = Scratch::make("test").unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
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

    /// A folder as a killed process leaves it, with what its lock says.
    fn left(beside: &Path, name: &str, said: Option<&str>) {
        let dir = beside.join(name);
        std::fs::create_dir_all(dir.join("read-only")).unwrap();
        std::fs::write(dir.join("read-only/file"), "").unwrap();
        std::fs::set_permissions(dir.join("read-only"), std::fs::Permissions::from_mode(0o500)).unwrap();
        said.into_iter().for_each(|said| std::fs::write(dir.join(LOCK), said).unwrap());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_that_lives_or_is_in_doubt() {
        let beside = tempfile::tempdir().unwrap();
        let boot = boot();
        left(beside.path(), "landfall-rehearsal-killed", Some(&boot));
        left(beside.path(), "landfall-rehearsal-alive", None);
        let held = hold(&beside.path().join("landfall-rehearsal-alive")).unwrap();
        left(beside.path(), "landfall-rehearsal-without-a-lock", None);
        left(beside.path(), "landfall-rehearsal-elsewhere", Some("another machine"));
        left(beside.path(), "somebody-else", Some(&boot));
        let outside = tempfile::tempdir().unwrap();
        left(outside.path(), "landfall-linked", Some(&boot));
        let target = outside.path().join("landfall-linked");
        std::os::unix::fs::symlink(&target, beside.path().join("landfall-link")).unwrap();
        let user = beside.path().metadata().unwrap().uid();
        clean_up(beside.path(), user + 1);
        let names = || {
            let entries = std::fs::read_dir(beside.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names().len(), 6, "of another user: {:?}", names());
        clean_up(beside.path(), user);
        let kept = [
            "landfall-link",
            "landfall-rehearsal-alive",
            "landfall-rehearsal-elsewhere",
            "landfall-rehearsal-without-a-lock",
            "somebody-else",
        ];
        assert_eq!(names(), kept);
        assert!(target.join("read-only/file").exists());
        drop(held);
        clean_up(beside.path(), user);
        assert!(!names().contains(&"landfall-rehearsal-alive".to_owned()));
        for name in names() {
            open_up(&beside.path().join(name));
        }
        open_up(&target);
    }
}
