//! An image from outside: the bytes of an archive, or texts with `>>> blob` lines of which an OCI layout is made. In
//! these `@N` stands for the digest of the N-th blob and `#N` for its length, so that what points at something does.
//! The last text is `index.json`.

use std::path::Path;

use landfall_deliver::archive::Archive;
use landfall_deliver::assemble::{Settings, assemble};
use landfall_deliver::blob::digest_of;
use landfall_deliver::choice::Choice;
use landfall_deliver::docker_archive;
use landfall_deliver::layout::{self, Files, Image};
use landfall_deliver::platform::Platform;

use super::side::folder;

/// How an input begins that is texts.
const TEXTS: &[u8] = b">>> blob\n";

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    if bytes.starts_with(TEXTS) {
        return layout_of(super::text(bytes));
    }
    let Ok(archive) = Archive::receive(bytes, Path::new("image.tar")) else { return };
    for choice in choices() {
        if docker_archive::is_docker_archive(&archive) {
            let _ = docker_archive::read(&archive, &choice);
        }
        let _ = layout::read(&Files::Archive(archive.clone()), &choice);
    }
}

fn layout_of(text: &str) {
    let place = folder();
    let blobs = place.path().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    let mut known: Vec<(String, usize)> = Vec::new();
    let mut last = String::new();
    for (_, text) in super::files(text, "blob") {
        last = text.to_owned();
        for (number, (digest, length)) in known.iter().enumerate().rev() {
            last = last
                .replace(&format!("@{number}"), digest)
                .replace(&format!("#{number}"), &length.to_string());
        }
        let digest = digest_of(last.as_bytes());
        std::fs::write(blobs.join(digest.hex()), &last).expect("a file");
        known.push((digest.to_string(), last.len()));
    }
    std::fs::write(place.path().join("index.json"), &last).expect("a file");
    std::fs::write(place.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    for choice in choices() {
        let Ok(image) = layout::read(&Files::Directory(place.path().to_owned()), &choice) else { continue };
        check(&image);
        let tree = folder();
        std::fs::write(tree.path().join("hello"), "hello").expect("a file");
        let _ = assemble(tree.path(), &Settings::default(), Some(&image));
    }
}

/// What a manifest is called is what it is.
fn check(image: &Image) {
    for manifest in image.children.iter().chain([&image.root]) {
        let is_sha256 = manifest.digest.algorithm() == "sha256";
        assert!(!is_sha256 || digest_of(&manifest.bytes) == manifest.digest, "{}", manifest.digest);
    }
}

fn choices() -> [Choice; 3] {
    let platform = Platform::parse("linux/arm64").expect("a platform");
    [
        Choice::default(),
        Choice { name: Some("v1".to_owned()), platform: None },
        Choice { name: None, platform: Some(platform) },
    ]
}
