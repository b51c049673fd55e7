#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A tree, written in the order given: that order must not matter.
fn tree(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        write(&directory.path().join(name), name);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("b/two", directory.path().join("link")).unwrap();
    directory
}

fn entries(directory: &Path) -> Vec<(String, u32, u64, u64)> {
    let layer = layer(directory, 7).unwrap();
    let Source::Temporary(path) = &layer.blob.source else { panic!("a temporary file is expected") };
    let file = File::open::<&Path>(path.as_ref()).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (name, header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap() + header.gid().unwrap())
    });
    entries.collect()
}

#[cfg(unix)]
#[test]
fn the_same_content_gives_the_same_digests_whatever_order_times_and_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let (one, two) = (tree(&["a", "b/two", "b/one", "c-d"]), tree(&["c-d", "b/one", "b/two", "a"]));
    std::fs::set_permissions(two.path().join("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(two.path().join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let images = [&one, &two].map(|tree| assemble(tree.path(), &Settings::default()).unwrap());
    let [first, second] = images;
    assert_eq!(first.root.digest, second.root.digest);
    // The archive's digest is a promise to everyone who compares builds; the compressed one may change
    // with the compressor.
    let golden = "sha256:db87a91a1ed7479daa17cc0b2b9c1a1703dac2588cb7ba7f8e927c7f912d2bdc";
    assert_eq!(layer(one.path(), 0).unwrap().diff_id.as_str(), golden);

    std::fs::set_permissions(two.path().join("a"), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(assemble(two.path(), &Settings::default()).unwrap().root.digest, first.root.digest);
}

#[cfg(unix)]
#[test]
fn entries_are_sorted_and_nobodys() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = tree(&["b/two", "a", "b/one"]);
    std::fs::set_permissions(tree.path().join("a"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    let wanted = [("a", 0o755), ("b/", 0o755), ("b/one", 0o644), ("b/two", 0o644), ("link", 0o777)];
    assert_eq!(entries(tree.path()), wanted.map(|(name, mode)| (name.to_owned(), mode, 7, 0)));
}

#[test]
fn long_names_survive() {
    let directory = tempfile::tempdir().unwrap();
    let name = ["x".repeat(90), "y".repeat(90), "z".repeat(90)].join("/");
    write(&directory.path().join(&name), "");
    assert!(entries(directory.path()).iter().any(|entry| entry.0 == name));
}

#[test]
fn the_configuration_says_what_was_asked_for() {
    let settings = Settings {
        entrypoint: vec!["/server".to_owned()],
        cmd: vec!["--port".to_owned(), "80".to_owned()],
        environment: vec!["A=1".to_owned()],
        working_directory: Some("/srv".to_owned()),
        user: Some("65532".to_owned()),
        labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        platform: Platform::parse("linux/arm/v7").unwrap(),
        created: Timestamp::from_seconds(1_700_000_000),
    };
    let config = configuration(&settings, &Digest::sha256(&[0; 32])).to_string();
    assert_eq!(
        config,
        concat!(
            r#"{"created":"2023-11-14T22:13:20Z","architecture":"arm","variant":"v7","os":"linux","#,
            r#""config":{"User":"65532","Env":["A=1"],"Entrypoint":["/server"],"Cmd":["--port","80"],"#,
            r#""WorkingDir":"/srv","Labels":{"a":"1","b":"2"}},"rootfs":{"type":"layers","diff_ids":["#,
            r#""sha256:0000000000000000000000000000000000000000000000000000000000000000"]},"#,
            r#""history":[{"created":"2023-11-14T22:13:20Z","created_by":"landfall push"}]}"#
        )
    );
}

#[test]
fn commands_are_arrays_or_words() {
    let cases: [(&str, Option<&[&str]>); 9] = [
        ("/server", Some(&["/server"])),
        (" /server  --port 80 ", Some(&["/server", "--port", "80"])),
        (r#"sh -c 'echo "a b"'"#, Some(&["sh", "-c", r#"echo "a b""#])),
        (r#"a"b c"d """#, Some(&["ab cd", ""])),
        (r#"["/server", "a b"]"#, Some(&["/server", "a b"])),
        ("", Some(&[])),
        ("'open", None),
        ("[1]", None),
        ("[\"a\"", None),
    ];
    for (text, wanted) in cases {
        let words = command(text).ok();
        assert_eq!(
            words,
            wanted.map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
            "{text}"
        );
    }
}

#[test]
fn platforms_have_two_or_three_parts() {
    for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
        assert!(Platform::parse(text).is_ok(), "{text}");
    }
    for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd 64"] {
        assert!(Platform::parse(text).is_err(), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    let error = assemble(directory.path(), &Settings::default()).unwrap_err().to_string();
    assert!(error.contains("socket"), "{error}");
    assert!(assemble(&directory.path().join("none"), &Settings::default()).is_err());
}

#[test]
fn a_file_that_shrinks_is_noticed() {
    let mut exact = Exactly { inner: &b"abc"[..], left: 5 };
    let mut content = Vec::new();
    assert_eq!(exact.read_to_end(&mut content).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let mut exact = Exactly { inner: &b"abcdef"[..], left: 5 };
    content.clear();
    assert_eq!(exact.read_to_end(&mut content).unwrap(), 5);
}
