#![allow(clippy::unwrap_used, clippy::panic)]
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::*;
use crate::blob::digest_of;

/// An archive of two images; the second one's layer lies there as a link, as Docker writes repeated layers.
fn archive(layer: &[u8], diff_ids: &[&str]) -> Archive {
    Archive::receive(bytes(layer, diff_ids).as_slice(), Path::new("saved.tar")).unwrap()
}

/// The same as a file that can be looked around in.
fn file(layer: &[u8], diff_ids: &[&str]) -> Archive {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes(layer, diff_ids)).unwrap();
    Archive::open(file.path()).unwrap()
}

fn bytes(layer: &[u8], diff_ids: &[&str]) -> Vec<u8> {
    let config = |architecture: &str| {
        json!({ "os": "linux", "architecture": architecture,
            "rootfs": { "type": "layers", "diff_ids": diff_ids } })
        .to_string()
    };
    let layers: Vec<&str> = ["one/layer.tar", "two/layer.tar"].into_iter().take(diff_ids.len()).collect();
    let list = json!([
        { "Config": "amd.json", "RepoTags": ["app:v1", "registry.example/team/app:v1"], "Layers": layers },
        { "Config": "arm.json", "RepoTags": ["docker.io/library/app:latest"], "Layers": layers },
        { "Config": "amd.json", "RepoTags": null, "Layers": layers },
    ]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    };
    add("manifest.json", list.to_string().as_bytes());
    add("amd.json", config("amd64").as_bytes());
    add("arm.json", config("arm64").as_bytes());
    add("one/layer.tar", layer);
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "two/layer.tar", "../one/layer.tar").unwrap();
    tar.into_inner().unwrap()
}

fn named(name: &str) -> Choice {
    Choice { name: Some(name.to_owned()), platform: None }
}

const PLAIN: &[u8] = b"this stands for a tar archive of files";

#[test]
fn layers_are_compressed_in_one_way_and_sent_once() {
    let diff_id = digest_of(PLAIN).to_string();
    let archive = archive(PLAIN, &[&diff_id, &diff_id]);
    let image = read(&archive, &named("app:v1")).unwrap();
    assert_eq!(image.root.digest, read(&archive, &named("app:v1")).unwrap().root.digest);
    assert_eq!((image.root.media_type.as_str(), image.blobs.len()), (DOCKER_MANIFEST, 2));
    let manifest: Value = serde_json::from_slice(&image.root.bytes).unwrap();
    assert_eq!(manifest["layers"][0], manifest["layers"][1]);
    assert_eq!(manifest["layers"][0]["mediaType"], DOCKER_LAYER);
    let layer = image.blobs.last().unwrap();
    assert_eq!(layer.digest.as_str(), manifest["layers"][0]["digest"]);
    let mut plain = Vec::new();
    GzDecoder::new(layer.content(1000).unwrap().as_slice()).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, PLAIN);
}

#[test]
fn a_stream_gives_the_image_that_the_file_gives() {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(600_000);
    layer.append_data(&mut header, "file", vec![7; 600_000].as_slice()).unwrap();
    let layer = layer.into_inner().unwrap();
    let diff_id = digest_of(&layer).to_string();
    let [streamed, found] = [archive(&layer, &[&diff_id, &diff_id]), file(&layer, &[&diff_id, &diff_id])]
        .map(|archive| {
            let image = read(&archive, &named("app:v1")).unwrap();
            (
                image.root.digest,
                image.blobs.iter().map(|blob| blob.content(1 << 20).unwrap()).collect::<Vec<_>>(),
            )
        });
    assert_eq!(streamed.0, found.0);
    assert!(streamed.1 == found.1, "other content");
    let other = digest_of(b"other").to_string();
    for archive in [archive(&layer, &[&other]), file(&layer, &[&other])] {
        let error = read(&archive, &named("app:v1")).unwrap_err().to_string();
        assert!(error.contains("one/layer.tar` is damaged"), "{error}");
    }
}

#[test]
fn a_compressed_layer_is_sent_as_it_is() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(PLAIN).unwrap();
    let gzip = gzip.finish().unwrap();
    let diff_id = digest_of(PLAIN).to_string();
    let image = read(&archive(&gzip, &[&diff_id]), &named("app:v1")).unwrap();
    let layer = image.blobs.last().unwrap();
    assert_eq!((&layer.digest, layer.content(1000).unwrap()), (&digest_of(&gzip), gzip));
}

#[test]
fn one_of_several_has_to_be_chosen() {
    let diff_id = digest_of(PLAIN).to_string();
    let archive = archive(PLAIN, &[&diff_id]);
    let config = |choice: &Choice| -> Result<String, String> {
        let image = read(&archive, choice).map_err(|error: DockerArchiveError| error.to_string())?;
        let config: Value =
            serde_json::from_slice(&image.blobs.first().unwrap().content(1000).unwrap()).unwrap();
        Ok(config["architecture"].as_str().unwrap().to_owned())
    };
    let platform = |text: &str| Choice { name: None, platform: Some(Platform::parse(text).unwrap()) };
    assert_eq!(config(&named("registry.example/team/app:v1")), Ok("amd64".to_owned()));
    assert_eq!(config(&named("app")), Ok("arm64".to_owned()), "latest is meant");
    assert_eq!(config(&platform("linux/arm64")), Ok("arm64".to_owned()));
    for (choice, wanted) in [
        (Choice::default(), "holds several images, say which with --select: there are `app:v1`, "),
        (named("other"), "has no image named `other`: there are `app:v1`, "),
        (platform("linux/s390x"), "has no image for linux/s390x: there are `linux/amd64`, `linux/arm64`"),
    ] {
        let error = config(&choice).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn what_is_damaged_or_no_archive_of_images_is_said() {
    let other = digest_of(b"other").to_string();
    let text = |error: DockerArchiveError| error.to_string();
    let error = text(read(&archive(PLAIN, &[&other]), &named("app:v1")).unwrap_err());
    assert!(error.starts_with("`saved.tar:one/layer.tar` is damaged"), "{error}");
    let error = text(read(&archive(PLAIN, &["nonsense"]), &named("app:v1")).unwrap_err());
    assert!(error.contains("saved.tar:amd.json") && error.contains("diff_ids"), "{error}");
    for list in ["[]", "{}", "[{}]", "nonsense", r#"[{"Config":"gone.json","Layers":[]}]"#] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(list.len() as u64);
        tar.append_data(&mut header, "manifest.json", list.as_bytes()).unwrap();
        let archive = Archive::receive(tar.into_inner().unwrap().as_slice(), Path::new("saved.tar")).unwrap();
        let error = text(read(&archive, &Choice::default()).unwrap_err());
        assert!(error.contains("saved.tar"), "{list}: {error}");
    }
}

#[test]
fn no_damage_to_an_archive_ends_in_more_than_an_error() {
    let diff_id = digest_of(PLAIN).to_string();
    let bytes = bytes(PLAIN, &[&diff_id]);
    let mut state = 1u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut read_count = 0;
    for _ in 0..DAMAGED_ARCHIVES {
        let mut damaged = bytes.clone();
        for _ in 0..=next(4) {
            let at = next(damaged.len());
            damaged[at] = u8::try_from(next(256)).unwrap();
        }
        damaged.truncate(bytes.len() - next(2) * next(bytes.len()));
        if let Ok(archive) = Archive::receive(damaged.as_slice(), Path::new("damaged.tar")) {
            read_count += usize::from(read(&archive, &named("app:v1")).is_ok());
        }
    }
    // Most of an archive is padding: some of the damage changes nothing.
    assert!((1..DAMAGED_ARCHIVES).contains(&read_count), "{read_count}");
}

/// Enough to reach every field of the headers, few enough for a debug build.
const DAMAGED_ARCHIVES: usize = 1_000;
