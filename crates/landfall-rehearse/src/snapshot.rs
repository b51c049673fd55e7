//! A copy of the repository, as `actions/checkout` would give it: the steps work on the copy, and
//! the files of the user are never touched.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use landfall_wire::hash::sha256_hex;

/// Folders below the repository that are followed.
const DEPTH_MAX: usize = 64;
/// Files that are copied.
const FILES_MAX: usize = 200_000;
/// What the copied files may have together, in bytes.
const BYTES_MAX: u64 = 8 << 30;
/// Where git is not there to say what belongs to the repository: folders that never do.
const NEVER_COPIED: &[&str] = &[".git", "node_modules", ".terraform", ".venv"];
/// A folder with this file holds what can be made again. <https://bford.info/cachedir/>
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Variables that would lead git to another repository than the one that it is asked about.
const MISLEADING: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
];

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
    #[error(
        "{path} has more than {FILES_MAX} files, more than {} GB, or folders more than {DEPTH_MAX} deep",
        BYTES_MAX >> 30
    )]
    TooLarge {
        /// The repository.
        path: PathBuf,
    },
    /// It was told to stop.
    #[error("stopped before the end")]
    Stopped,
}

/// Copies a repository's files to `to`: what git tracks or would track where it is a git checkout, else
/// all but caches. The copy is a git checkout where git is there, so that steps can ask for the commit:
/// the repository's own, or one that is always the same for the same files. It ends early when `stop`
/// becomes true.
///
/// # Errors
/// [`SnapshotError`].
pub fn take(repository: &Path, to: &Path, stop: &AtomicBool) -> Result<Snapshot, SnapshotError> {
    let files = match git_files(repository) {
        Some(files) => files,
        None => walk(repository)?,
    };
    let copy_error = |path: &Path| {
        let path = path.to_owned();
        move |cause| SnapshotError::Copy { path, cause }
    };
    std::fs::create_dir_all(to).map_err(copy_error(to))?;
    let top = repository.canonicalize().map_err(copy_error(repository))?;
    let mut bytes = 0;
    for file in &files {
        if stop.load(Ordering::Relaxed) {
            return Err(SnapshotError::Stopped);
        }
        let (source, target) = (repository.join(file), to.join(file));
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(copy_error(parent))?;
        }
        bytes += copy(&source, &target, &top).map_err(copy_error(&source))?;
        if bytes > BYTES_MAX {
            return Err(SnapshotError::TooLarge { path: repository.to_owned() });
        }
    }
    let sha = adopt_head(&top, to).or_else(|| commit(to));
    // Without git there is no commit: the files themselves decide.
    let sha = sha.unwrap_or_else(|| {
        let content: String = files.iter().map(|file| fingerprint(file, &to.join(file))).collect();
        sha256_hex(content.as_bytes()).chars().take(40).collect()
    });
    Ok(Snapshot { dir: to.to_owned(), sha })
}

fn fingerprint(file: &Path, copy: &Path) -> String {
    let content = match std::fs::read_link(copy) {
        Ok(target) => target.as_os_str().as_bytes().to_vec(),
        Err(_) => std::fs::read(copy).unwrap_or_default(),
    };
    format!("{} {}\n", file.display(), sha256_hex(&content))
}

/// Copies one file, link or (empty) folder; tells its bytes. What is none of these can't be in a repository.
fn copy(source: &Path, target: &Path, top: &Path) -> io::Result<u64> {
    let kind = std::fs::symlink_metadata(source)?.file_type();
    if kind.is_symlink() {
        let link = std::fs::read_link(source)?;
        // By its absolute path the user's own file would be written to; on a runner there is nothing there.
        if link.is_absolute() && link.starts_with(top) {
            return Ok(0);
        }
        return std::os::unix::fs::symlink(link, target).map(|()| 0);
    }
    if kind.is_dir() {
        return std::fs::create_dir_all(target).map(|()| 0);
    }
    if kind.is_file() { std::fs::copy(source, target) } else { Ok(0) }
}

/// Git, with no hook or configuration of the user: they have no place in a copy.
fn git_command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(["-c", "safe.directory=*"]).args(args);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in MISLEADING {
        command.env_remove(name);
    }
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command
}

fn output(mut command: Command) -> Option<Vec<u8>> {
    let output = command.output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    output(git_command(dir, args)).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn head(dir: &Path) -> Option<String> {
    git(dir, &["rev-parse", "HEAD"]).filter(|sha| sha.len() == 40)
}

/// Gives the copy of a git checkout that checkout's commit, alone, as a checkout of depth 1 has it. What
/// the user has not committed yet stays a change.
fn adopt_head(repository: &Path, copy: &Path) -> Option<String> {
    // A folder inside of a checkout is not that checkout.
    let top = git(repository, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != repository {
        return None;
    }
    let sha = head(repository)?;
    let branch = git(repository, &["rev-parse", "--abbrev-ref", "HEAD"]).filter(|name| name != "HEAD");
    let url = format!("file://{}", repository.to_str()?);
    git(copy, &["init", "-q", "-b", branch.as_deref().unwrap_or("main")])?;
    git(copy, &["fetch", "-q", "--no-tags", "--depth=1", &url, "HEAD"])?;
    git(copy, &["reset", "-q", "FETCH_HEAD"])?;
    (head(copy)? == sha).then_some(sha)
}

/// Tracked files and untracked ones that are not ignored, of the folder and below.
fn git_files(dir: &Path) -> Option<Vec<PathBuf>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."];
    let listed = output(git_command(dir, &args))?;
    let mut files: Vec<PathBuf> = listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        // A file that is tracked but deleted is listed too.
        .filter(|name| std::fs::symlink_metadata(dir.join(name)).is_ok())
        .collect();
    files.sort();
    files.dedup();
    (!files.is_empty() && files.len() <= FILES_MAX).then_some(files)
}

/// Author, time and message of the commit that a copy is of; none without git.
pub fn commit_of(copy: &Path) -> Option<(String, String, String)> {
    let told = git(copy, &["log", "-1", "--format=%an <%ae>%n%cI%n%B"])?;
    let mut lines = told.splitn(3, '\n').map(str::to_owned);
    Some((lines.next()?, lines.next()?, lines.next().unwrap_or_default()))
}

/// The files of a checkout that git knows, by their paths; none without git.
pub(crate) fn tracked(dir: &Path) -> std::collections::BTreeSet<String> {
    let listed = output(git_command(dir, &["ls-files", "-z"])).unwrap_or_default();
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Copies one file or link of a workspace.
pub(crate) fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(target);
    let nowhere = Path::new("/nonexistent");
    copy(source, target, nowhere).map(|_| ())
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
            if !kind.is_dir() {
                files.push(name);
            } else if !NEVER_COPIED.iter().any(|never| entry.file_name() == *never)
                && !entry.path().join(CACHE_TAG).is_file()
            {
                open.push((name, depth + 1));
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
    let mut command = git_command(
        dir,
        &["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost", "-c", "commit.gpgsign=false"],
    );
    command.args(["commit", "-q", "--allow-empty", "--date=2000-01-01T00:00:00Z", "-m", "Rehearsal"]);
    // The committer's date is not an argument of `commit`.
    command.env("GIT_COMMITTER_DATE", "2000-01-01T00:00:00Z");
    output(command)?;
    head(dir)
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
                copy(&entry.path(), &target, snapshot)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
