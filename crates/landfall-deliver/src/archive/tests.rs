#![allow(clippy::unwrap_used, clippy::panic)]
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use super::*;

fn tar(members: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_size(0);
            archive.append_link(&mut header, name, content).unwrap();
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

fn open(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Archive::open(file.path())
}

#[test]
fn members_are_found_by_any_spelling_and_through_links() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let long = "x".repeat(150);
    let bytes = tar(&[
        ("manifest.json", EntryType::Regular, "[]"),
        ("a/layer.tar", EntryType::Regular, "layer"),
        ("b/layer.tar", EntryType::Symlink, "../a/layer.tar"),
        ("c/layer.tar", EntryType::Link, "a/layer.tar"),
        ("loop", EntryType::Symlink, "loop"),
        ("out", EntryType::Symlink, "../../etc/passwd"),
        (&long, EntryType::Regular, "long"),
    ]);
    std::fs::write(file.path(), bytes).unwrap();
    let archive = Archive::open(file.path()).unwrap();
    let read = |name: &str| archive.read(name, 100).ok().map(|bytes| String::from_utf8(bytes).unwrap());
    for (name, wanted) in [
        ("manifest.json", Some("[]")),
        ("./manifest.json", Some("[]")),
        ("a//layer.tar", Some("layer")),
        ("b/layer.tar", Some("layer")),
        ("c/layer.tar", Some("layer")),
        ("a/../c/layer.tar", Some("layer")),
        (&long, Some("long")),
        ("loop", None),
        ("out", None),
        ("a", None),
        ("", None),
        ("..", None),
    ] {
        assert_eq!(read(name).as_deref(), wanted, "{name}");
    }
    assert!(archive.read("a/layer.tar", 4).unwrap_err().to_string().contains("a/layer.tar"));
}

#[test]
fn gzip_is_unpacked_and_other_compressions_are_named() {
    let plain = tar(&[("a", EntryType::Regular, "content")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    for bytes in [&plain, &gzip] {
        assert_eq!(
            Archive::receive(bytes.as_slice(), Path::new("-")).unwrap().read("a", 10).unwrap(),
            b"content"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &gzip).unwrap();
    assert_eq!(Archive::open(file.path()).unwrap().read("a", 10).unwrap(), b"content");
    let error = open(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]).unwrap_err().to_string();
    assert!(error.contains("compressed with zstd"), "{error}");
}

#[test]
fn what_is_no_archive_or_ends_early_is_said() {
    let error = open(&[b'x'; 2000]).unwrap_err().to_string();
    assert!(error.ends_with("is not a tar archive"), "{error}");
    let long = "y".repeat(5000);
    let whole = tar(&[("a", EntryType::Regular, &long)]);
    let error = open(whole.get(..2000).unwrap()).unwrap_err().to_string();
    assert!(error.contains("cut short: it ends within `a`"), "{error}");
    assert!(open(b"").unwrap().read("a", 1).is_err());
}
