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
            if *kind == EntryType::GNUSparse {
                header.as_gnu_mut().unwrap().realsize = *b"00000000000\0";
            }
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
    let long = "x".repeat(150);
    let bytes = tar(&[
        ("manifest.json", EntryType::Regular, "an older one"),
        ("manifest.json", EntryType::Regular, "[]"),
        ("a/layer.tar", EntryType::Regular, "layer"),
        ("b/layer.tar", EntryType::Symlink, "../a/layer.tar"),
        ("c/layer.tar", EntryType::Link, "a/layer.tar"),
        ("loop", EntryType::Symlink, "loop"),
        ("out", EntryType::Symlink, "../../etc/passwd"),
        ("q/rooted", EntryType::Regular, "rooted"),
        ("q/q/away", EntryType::Regular, "away"),
        (&long, EntryType::Regular, "long"),
        ("sparse", EntryType::GNUSparse, ""),
        ("device", EntryType::Char, ""),
    ]);
    let bytes = renamed(bytes, b"q/rooted", b"/rooted\0");
    let bytes = renamed(bytes, b"q/q/away", b"../../up");
    for archive in [open(&bytes).unwrap(), Archive::receive(bytes.as_slice(), Path::new("-")).unwrap()] {
        members_are_found(&archive, &long);
    }
}

/// An archive with another name in it, which `tar::Builder` would refuse to write; the checksum follows.
fn renamed(mut bytes: Vec<u8>, old: &[u8; 8], new: &[u8; 8]) -> Vec<u8> {
    let at = bytes.windows(8).position(|window| window == old).unwrap();
    bytes[at..at + 8].copy_from_slice(new);
    let mut header = Header::from_byte_slice(&bytes[at..at + 512]).clone();
    header.set_cksum();
    bytes[at..at + 512].copy_from_slice(header.as_bytes());
    bytes
}

fn members_are_found(archive: &Archive, long: &str) {
    let read = |name: &str| archive.read(name, 100).ok().map(|bytes| String::from_utf8(bytes).unwrap());
    for (name, wanted) in [
        ("manifest.json", Some("[]")),
        ("./manifest.json", Some("[]")),
        ("a//layer.tar", Some("layer")),
        ("b/layer.tar", Some("layer")),
        ("c/layer.tar", Some("layer")),
        ("a/../c/layer.tar", Some("layer")),
        (long, Some("long")),
        ("/rooted", Some("rooted")),
        ("rooted", Some("rooted")),
        ("../../up", None),
        ("up", None),
        ("sparse", None),
        ("device", None),
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
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
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
    let error = Archive::receive(whole.get(..2000).unwrap(), Path::new("-")).unwrap_err().to_string();
    assert!(error.contains("cut short: it ends within `a`"), "{error}");
    assert!(open(b"").unwrap().read("a", 1).is_err());
}

#[test]
fn a_stream_that_breaks_is_told_from_one_that_is_no_archive() {
    let plain = tar(&[("a", EntryType::Regular, &"content ".repeat(9_000))]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let mut gzip = gzip.finish().unwrap();
    let middle = gzip.len() / 2;
    gzip[middle..].fill(0xff);
    let error = Archive::receive(gzip.as_slice(), Path::new("-")).unwrap_err();
    assert!(matches!(error, ArchiveError::Read { .. }), "{error:?}");
    let error = Archive::receive(&[b'x'; 2000][..], Path::new("-")).unwrap_err();
    assert!(matches!(error, ArchiveError::NotTar { .. }), "{error:?}");
}

#[test]
fn layers_of_an_engine_are_compressed_as_they_come_and_what_may_be_a_layouts_is_kept() {
    let layer = tar(&[("file", EntryType::Regular, "content")]);
    let mut bytes = tar::Builder::new(Vec::new());
    for name in ["one/layer.tar", "blobs/sha256/abc", "config.json"] {
        let content = if name.ends_with("json") { b"{}".as_slice() } else { &layer };
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        bytes.append_data(&mut header, name, content).unwrap();
    }
    let bytes = bytes.into_inner().unwrap();
    let given = Archive::receive(bytes.as_slice(), Path::new("-")).unwrap();
    let saved = Archive::receive_saved(bytes.as_slice(), Path::new("-")).unwrap();
    let found = open(&bytes).unwrap();
    let layers = |archive: &Archive| {
        ["one/layer.tar", "blobs/sha256/abc", "config.json"].map(|name| archive.layer(name).is_some())
    };
    assert_eq!(layers(&given), [true, false, false]);
    assert_eq!(layers(&saved), [true, true, false]);
    assert_eq!(layers(&found), [false, false, false]);
    assert_eq!(given.read("blobs/sha256/abc", 1 << 20).unwrap(), layer);
    assert_eq!(given.read("config.json", 9).unwrap(), b"{}");
    let one = given.layer("one/layer.tar").unwrap();
    assert_eq!(
        (one.diff_id.clone(), one.blob.place()),
        (crate::blob::digest_of(&layer), "-:one/layer.tar".to_owned())
    );
}
