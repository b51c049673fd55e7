#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::choice::Choice;
use crate::layout::{self, Files};

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
    let settings = Settings { created: Timestamp::from_seconds(7), ..Settings::default() };
    let layer = layer(directory, &settings).unwrap();
    let content = layer.blob.content(1_000_000).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(content.as_slice()));
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
    let images = [&one, &two].map(|tree| assemble(tree.path(), &Settings::default(), None).unwrap());
    let [first, second] = images;
    assert_eq!(first.root.digest, second.root.digest);
    // The archive's digest is a promise to everyone who compares builds; the compressed one may change
    // with the compressor.
    let golden = "sha256:db87a91a1ed7479daa17cc0b2b9c1a1703dac2588cb7ba7f8e927c7f912d2bdc";
    assert_eq!(layer(one.path(), &Settings::default()).unwrap().diff_id.as_str(), golden);

    std::fs::set_permissions(two.path().join("a"), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(assemble(two.path(), &Settings::default(), None).unwrap().root.digest, first.root.digest);
}

#[cfg(unix)]
#[test]
fn zstandard_is_another_layer_of_the_same_content() {
    let tree = tree(&["a", "b/two"]);
    let made = |text: &str| {
        let settings = Settings { compression: Format::parse(text).unwrap(), ..Settings::default() };
        assemble(tree.path(), &settings, None).unwrap()
    };
    let parts = |image: &Image| {
        let manifest: Value = serde_json::from_slice(&image.root.bytes).unwrap();
        let [config, layer] = image.blobs.as_slice() else { panic!("{image:?}") };
        let config: Value = serde_json::from_slice(&config.content(9_999).unwrap()).unwrap();
        (manifest["layers"][0]["mediaType"].clone(), config["rootfs"].clone(), layer.clone())
    };
    let (gzip, zstd) = (parts(&made("gzip")), parts(&made("zstd:9")));
    assert_eq!((gzip.0, zstd.0), (json!(OCI_LAYER), json!(OCI_LAYER_ZSTD)));
    assert_eq!(gzip.1, zstd.1);
    let content = zstd::stream::decode_all(zstd.2.content(9_999).unwrap().as_slice()).unwrap();
    assert_eq!(zstd.1["diff_ids"], json!([digest_of(&content).as_str()]));
    assert_eq!(made("zstd").root.digest, made("zstd").root.digest);
}

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
        compression: Format::default(),
        entrypoint: vec!["/server".to_owned()],
        cmd: vec!["--port".to_owned(), "80".to_owned()],
        environment: vec!["A=1".to_owned()],
        working_directory: Some("/srv".to_owned()),
        user: Some("65532".to_owned()),
        labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        platform: Platform::parse("linux/arm/v7").unwrap(),
        exposed_ports: vec!["80/tcp".to_owned()],
        created: Timestamp::from_seconds(1_700_000_000),
    };
    let config = configuration(&settings, &Digest::sha256(&[0; 32]), Map::new());
    let config = Value::Object(config).to_string();
    assert_eq!(
        config,
        concat!(
            r#"{"created":"2023-11-14T22:13:20Z","architecture":"arm","os":"linux","variant":"v7","#,
            r#""config":{"User":"65532","ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Entrypoint":["/server"],"Cmd":["--port","80"],"#,
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

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    let error = assemble(directory.path(), &Settings::default(), None).unwrap_err().to_string();
    assert!(error.contains("socket"), "{error}");
    assert!(assemble(&directory.path().join("none"), &Settings::default(), None).is_err());
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

/// An image in a layout on disk, read back.
fn stored(image: &Image) -> (tempfile::TempDir, Image) {
    let directory = tempfile::tempdir().unwrap();
    let put = |digest: &Digest, bytes: &[u8]| {
        let path = directory.path().join("blobs/sha256").join(digest.hex());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    for blob in &image.blobs {
        put(&blob.digest, &blob.content(1 << 20).unwrap());
    }
    for manifest in image.children.iter().chain([&image.root]) {
        put(&manifest.digest, &manifest.bytes);
    }
    let entry = json!({ "mediaType": image.root.media_type, "digest": image.root.digest.as_str(),
        "size": image.root.bytes.len() });
    write(&directory.path().join("oci-layout"), "{}");
    write(&directory.path().join("index.json"), &json!({ "manifests": [entry] }).to_string());
    let read = layout::read(&Files::Directory(directory.path().to_owned()), &Choice::default()).unwrap();
    (directory, read)
}

#[test]
fn a_base_image_stays_underneath() {
    let ground = Settings {
        entrypoint: vec!["/old".to_owned()],
        cmd: vec!["old".to_owned()],
        environment: vec!["PATH=/bin".to_owned(), "MODE=base".to_owned()],
        user: Some("65532".to_owned()),
        labels: [("from".to_owned(), "base".to_owned())].into(),
        exposed_ports: vec!["80/tcp".to_owned()],
        ..Settings::default()
    };
    let base = assemble(tree(&["base"]).path(), &ground, None).unwrap();
    let (_directory, base) = stored(&base);
    let settings = Settings {
        entrypoint: vec!["/new".to_owned()],
        environment: vec!["MODE=mine".to_owned(), "MORE=1".to_owned()],
        labels: [("mine".to_owned(), "1".to_owned())].into(),
        exposed_ports: vec!["81/udp".to_owned()],
        ..Settings::default()
    };
    let image = assemble(tree(&["mine"]).path(), &settings, Some(&base)).unwrap();
    let manifest: Value = serde_json::from_slice(&image.root.bytes).unwrap();
    let lower: Value = serde_json::from_slice(&base.root.bytes).unwrap();
    assert_eq!(
        (manifest["layers"][0].clone(), manifest["layers"].as_array().unwrap().len()),
        (lower["layers"][0].clone(), 2)
    );
    let config =
        image.blobs.iter().find(|blob| blob.digest.as_str() == manifest["config"]["digest"]).unwrap();
    let config: Value = serde_json::from_slice(&config.content(10_000).unwrap()).unwrap();
    assert_eq!(
        config["config"],
        json!({ "User": "65532", "ExposedPorts": { "80/tcp": {}, "81/udp": {} },
            "Env": ["PATH=/bin", "MODE=mine", "MORE=1"], "Entrypoint": ["/new"],
            "Labels": { "from": "base", "mine": "1" } })
    );
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    // Everything that the manifest names is there to be sent.
    let named = [&manifest["config"], &manifest["layers"][0], &manifest["layers"][1]];
    for descriptor in named {
        assert!(image.blobs.iter().any(|blob| blob.digest.as_str() == descriptor["digest"]), "{descriptor}");
    }
}

#[test]
fn images_for_several_machines_become_an_index_and_no_base() {
    let images = ["linux/amd64", "linux/arm64"].map(|text| {
        let platform = Platform::parse(text).unwrap();
        let settings = Settings { platform: platform.clone(), ..Settings::default() };
        (platform, assemble(tree(&["same"]).path(), &settings, None).unwrap())
    });
    let index = index(images.into());
    // Two configurations, and the one layer that both have.
    assert_eq!((index.children.len(), index.blobs.len()), (2, 3));
    let (_directory, read) = stored(&index);
    assert_eq!((read.root.digest.clone(), read.children.len()), (index.root.digest.clone(), 2));
    let platforms: Value = serde_json::from_slice(&index.root.bytes).unwrap();
    assert_eq!(platforms["manifests"][1]["platform"], json!({ "architecture": "arm64", "os": "linux" }));
    let error = assemble(tree(&["x"]).path(), &Settings::default(), Some(&read)).unwrap_err();
    assert!(error.to_string().contains("it is an index"), "{error}");
}
