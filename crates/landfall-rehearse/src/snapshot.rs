//! A copy of the repository, as `actions/checkout` would give it: the steps work on the copy, and
//! the files of the user are never touched.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use landfall_wire::hash::sha256_hex;

/// Folders below the repository that are followed.
const DEPTH_MAX: usize = 64;
/// Files that are copied.
const FILES_MAX: usize = 200_000;

/// A copy with its commit.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the copy is.
    pub dir: PathBuf,
    /// The commit that the run is for, 40 hex digits.
    pub sha: String,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file could not be read or written.
    #[error("cannot copy {path}")]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A limit was passed.
    #[error("{path} has more than {FILES_MAX} files, or folders more than {DEPTH_MAX} deep")]
    TooLarge {
        /// The repository.
        path: PathBuf,
    },
}

/// Copies a repository's files to `to`: what git tracks or would track where it is a git checkout,
/// else all. The copy is a git checkout where git is there, so that steps can ask for the commit.
///
/// # Errors
/// [`SnapshotError`].
pub fn take(repository: &Path, to: &Path) -> Result<Snapshot, SnapshotError> {
    let files = match git_files(repository) {
        Some(files) => files,
        None => walk(repository)?,
    };
    let copy_error = |path: &Path| {
        let path = path.to_owned();
        move |cause| SnapshotError::Copy { path, cause }
    };
    std::fs::create_dir_all(to).map_err(copy_error(to))?;
    let mut content = String::new();
    for file in &files {
        let (source, target) = (repository.join(file), to.join(file));
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(copy_error(parent))?;
        }
        copy(&source, &target).map_err(copy_error(&source))?;
        content.push_str(&fingerprint(file, &target));
    }
    let sha = head_of(repository).or_else(|| commit(to));
    // Without git there is no commit: the files themselves decide.
    let sha = sha.unwrap_or_else(|| sha256_hex(content.as_bytes()).chars().take(40).collect());
    Ok(Snapshot { dir: to.to_owned(), sha })
}

fn fingerprint(file: &Path, copy: &Path) -> String {
    let hash = std::fs::read(copy).map(|bytes| sha256_hex(&bytes)).unwrap_or_default();
    format!("{} {hash}\n", file.display())
}

fn copy(source: &Path, target: &Path) -> io::Result<()> {
    let kind = std::fs::symlink_metadata(source)?.file_type();
    if kind.is_symlink() {
        #[cfg(unix)]
        return std::os::unix::fs::symlink(std::fs::read_link(source)?, target);
    }
    if kind.is_dir() {
        return std::fs::create_dir_all(target);
    }
    std::fs::copy(source, target).map(|_| ())
}

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(args)
        // A hook or a configuration of the user has no place in a copy.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the folder is the top of a git checkout (a folder inside another repository is not).
fn is_top(dir: &Path) -> bool {
    let top = git(dir, &["-c", "safe.directory=*", "rev-parse", "--show-toplevel"]);
    let same = |top: String| Some(Path::new(top.trim()).canonicalize().ok()? == dir.canonicalize().ok()?);
    top.and_then(same).unwrap_or(false)
}

fn head_of(dir: &Path) -> Option<String> {
    if !is_top(dir) {
        return None;
    }
    let sha = git(dir, &["-c", "safe.directory=*", "rev-parse", "HEAD"])?.trim().to_owned();
    (sha.len() == 40).then_some(sha)
}

/// Tracked files and untracked ones that are not ignored, of the folder and below.
fn git_files(dir: &Path) -> Option<Vec<PathBuf>> {
    let args =
        ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."];
    let listed = git(dir, &args)?;
    let mut files: Vec<PathBuf> = listed
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        // A file that is tracked but deleted is listed too.
        .filter(|name| std::fs::symlink_metadata(dir.join(name)).is_ok())
        .collect();
    files.sort();
    files.dedup();
    (!files.is_empty() && files.len() <= FILES_MAX).then_some(files)
}

fn walk(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut files = Vec::new();
    let mut open = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if depth > DEPTH_MAX || files.len() > FILES_MAX {
            return Err(SnapshotError::TooLarge { path: dir.to_owned() });
        }
        let read = |cause| SnapshotError::Copy { path: dir.join(&folder), cause };
        for entry in std::fs::read_dir(dir.join(&folder)).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    open.push((name, depth + 1));
                }
            } else if kind.is_file() || kind.is_symlink() {
                files.push(name);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Makes the copy a git checkout with one commit, always the same for the same files.
fn commit(dir: &Path) -> Option<String> {
    git(dir, &["init", "-q", "-b", "main"])?;
    git(dir, &["add", "-A", "--force"])?;
    let identity =
        ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost", "-c", "commit.gpgsign=false"];
    let mut args = identity.to_vec();
    args.extend(["commit", "-q", "--allow-empty", "--date=2000-01-01T00:00:00Z", "-m", "Rehearsal"]);
    // The committer's date is not an argument of `commit`.
    let done = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(&args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_COMMITTER_DATE", "2000-01-01T00:00:00Z")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .ok()?;
    if !done.status.success() {
        return None;
    }
    git(dir, &["rev-parse", "HEAD"]).map(|sha| sha.trim().to_owned()).filter(|sha| sha.len() == 40)
}

/// Copies a snapshot into a job's workspace, its `.git` included.
///
/// # Errors
/// When a file can't be read or written.
pub fn check_out(snapshot: &Path, workspace: &Path) -> io::Result<()> {
    let mut open = vec![(snapshot.to_owned(), workspace.to_owned())];
    while let Some((from, to)) = open.pop() {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push((entry.path(), target));
            } else {
                let _ = std::fs::remove_file(&target);
                copy(&entry.path(), &target)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_files_give_the_same_commit_and_the_source_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("repository");
        std::fs::create_dir_all(repository.join("a")).unwrap();
        std::fs::write(repository.join("a/b.txt"), "hello").unwrap();
        let first = take(&repository, &dir.path().join("one")).unwrap();
        let second = take(&repository, &dir.path().join("two")).unwrap();
        assert_eq!(first.sha, second.sha);
        assert_eq!(first.sha.len(), 40);
        std::fs::write(repository.join("a/b.txt"), "other").unwrap();
        assert_ne!(take(&repository, &dir.path().join("three")).unwrap().sha, first.sha);
        assert_eq!(std::fs::read_to_string(first.dir.join("a/b.txt")).unwrap(), "hello");
        assert!(!repository.join(".git").exists());
    }

    #[test]
    fn a_check_out_has_everything_and_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("repository");
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::write(repository.join("x"), "1").unwrap();
        let snapshot = take(&repository, &dir.path().join("snapshot")).unwrap();
        let workspace = dir.path().join("workspace");
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(workspace.join("x"), "old").unwrap();
        check_out(&snapshot.dir, &workspace).unwrap();
        assert_eq!(std::fs::read_to_string(workspace.join("x")).unwrap(), "1");
    }
}
