#![allow(clippy::unwrap_used)]
use std::os::unix::fs::symlink;

use super::*;

/// A repository folder with these files, and a place for copies.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.repository()).unwrap();
        for (file, text) in files {
            place.write(file, text);
        }
        place
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("my repository")
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.repository().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn take(&self, name: &str) -> Snapshot {
        take(&self.repository(), &self.dir.path().join(name), &AtomicBool::new(false)).unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let who = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
        git(&self.repository(), &[&who, args].concat()).unwrap()
    }
}

fn read(snapshot: &Snapshot, file: &str) -> Option<String> {
    std::fs::read_to_string(snapshot.dir.join(file)).ok()
}

#[test]
fn the_same_files_give_the_same_commit_and_the_source_is_left_alone() {
    let place = Place::with(&[("a/b c.txt", "hello")]);
    let first = place.take("one");
    assert_eq!(first.sha, place.take("two").sha);
    assert_eq!(first.sha.len(), 40);
    assert_eq!(head(&first.dir), Some(first.sha.clone()), "steps can ask git for the commit");
    place.write("a/b c.txt", "other");
    assert_ne!(place.take("three").sha, first.sha);
    assert_eq!(read(&first, "a/b c.txt").as_deref(), Some("hello"));
    assert!(!place.repository().join(".git").exists());
}

#[test]
fn the_copy_of_a_checkout_is_at_its_commit_with_what_is_not_committed_yet() {
    let place = Place::with(&[(".gitignore", "target/\n"), ("x", "committed"), ("target/big", "")]);
    place.git(&["init", "-q", "-b", "trunk"]);
    place.git(&["add", "."]);
    place.git(&["commit", "-q", "-m", "first"]);
    place.write("x", "changed");
    place.write("new", "untracked");
    let snapshot = place.take("copy");
    assert_eq!(snapshot.sha, place.git(&["rev-parse", "HEAD"]));
    assert_eq!(head(&snapshot.dir), Some(snapshot.sha.clone()));
    assert_eq!(git(&snapshot.dir, &["status", "--short"]).as_deref(), Some("M x\n?? new"));
    assert_eq!(git(&snapshot.dir, &["branch", "--show-current"]).as_deref(), Some("trunk"));
    assert_eq!(read(&snapshot, "x").as_deref(), Some("changed"));
    assert_eq!(read(&snapshot, "target/big"), None, "ignored files are not copied");
}

#[test]
fn without_git_to_ask_caches_stay_behind() {
    let place = Place::with(&[
        ("src/main.js", ""),
        ("node_modules/big/index.js", ""),
        ("infra/.terraform/provider", ""),
        ("target/CACHEDIR.TAG", ""),
        ("target/debug/x", ""),
        ("docs/target/kept", ""),
    ]);
    let names = walk(&place.repository()).unwrap();
    assert_eq!(names, [Path::new("docs/target/kept"), Path::new("src/main.js")]);
}

#[test]
fn links_are_copied_as_links_and_never_lead_back_to_the_users_files() {
    let place = Place::with(&[("real", "text")]);
    let repository = place.repository().canonicalize().unwrap();
    symlink("real", repository.join("relative")).unwrap();
    symlink("nowhere", repository.join("dangling")).unwrap();
    symlink("/dev/zero", repository.join("endless")).unwrap();
    symlink(repository.join("real"), repository.join("back")).unwrap();
    let snapshot = place.take("copy");
    let target = |name: &str| std::fs::read_link(snapshot.dir.join(name)).ok();
    assert_eq!(target("relative"), Some("real".into()));
    assert_eq!(target("dangling"), Some("nowhere".into()));
    assert_eq!(target("endless"), Some("/dev/zero".into()));
    assert_eq!(target("back"), None);
    assert_eq!(fingerprint(Path::new("endless"), &snapshot.dir.join("endless")).len(), "endless ".len() + 65);
}

#[test]
fn names_that_are_no_utf8_and_files_that_are_no_files_are_no_trouble() {
    let place = Place::with(&[("x", "1")]);
    let odd = OsStr::from_bytes(b"odd\xff");
    std::fs::write(place.repository().join(odd), "2").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.repository().join("socket")).unwrap();
    let snapshot = place.take("copy");
    assert_eq!(std::fs::read(snapshot.dir.join(odd)).unwrap(), b"2");
    assert!(!snapshot.dir.join("socket").exists());
}

#[test]
fn a_copy_that_is_told_to_stop_stops() {
    let place = Place::with(&[("x", "1")]);
    let stopped = take(&place.repository(), &place.dir.path().join("copy"), &AtomicBool::new(true));
    assert!(matches!(stopped, Err(SnapshotError::Stopped)));
}

#[test]
fn a_check_out_has_everything_and_replaces_what_was_there() {
    let place = Place::with(&[("x", "1")]);
    let snapshot = place.take("snapshot");
    let workspace = place.dir.path().join("workspace");
    std::fs::create_dir_all(&workspace).unwrap();
    std::fs::write(workspace.join("x"), "old").unwrap();
    check_out(&snapshot.dir, &workspace).unwrap();
    assert_eq!(std::fs::read_to_string(workspace.join("x")).unwrap(), "1");
    assert_eq!(head(&workspace), Some(snapshot.sha));
}
