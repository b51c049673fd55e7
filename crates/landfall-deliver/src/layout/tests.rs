#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use serde_json::json;

struct Layout(tempfile::TempDir);

impl Layout {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        std::fs::write(directory.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(directory)
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        std::fs::write(self.blob(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
    }

    fn files(&self) -> Files {
        Files::Directory(self.0.path().to_owned())
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.path().join("blobs/sha256").join(digest.hex())
    }

    fn image(&self, name: &str) -> Value {
        let config = self.put("application/vnd.oci.image.config.v1+json", name.as_bytes());
        let layer = self.put("application/vnd.oci.image.layer.v1.tar+gzip", b"shared");
        let foreign = json!({ "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "digest": digest_of(b"elsewhere").as_str(), "size": 9 });
        let manifest = json!({ "config": config, "layers": [layer, foreign] });
        self.put(OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) -> Value {
        self.put(OCI_INDEX, json!({ "manifests": manifests }).to_string().as_bytes())
    }

    fn read(&self, manifests: &[Value]) -> Result<Image, LayoutError> {
        std::fs::write(self.0.path().join("index.json"), json!({ "manifests": manifests }).to_string())
            .unwrap();
        read(&self.files(), &Choice::default())
    }
}

#[test]
fn one_image_is_pushed_as_itself() {
    let layout = Layout::new();
    let image = layout.read(&[layout.image("a")]).unwrap();
    assert_eq!(image.root.media_type, OCI_MANIFEST);
    assert_eq!((image.children.len(), image.blobs.len()), (0, 2));
    assert!(is_layout(layout.0.path()));
}

#[test]
fn an_index_is_pushed_whole_and_shared_layers_once() {
    let layout = Layout::new();
    let index = layout.index(&[layout.image("a"), layout.image("b")]);
    let image = layout.read(&[index]).unwrap();
    assert_eq!(image.root.media_type, OCI_INDEX);
    assert_eq!((image.children.len(), image.blobs.len()), (2, 3));
}

#[test]
fn several_entries_are_pushed_as_the_index_that_they_stand_in() {
    let layout = Layout::new();
    let image = layout.read(&[layout.image("a"), layout.image("b")]).unwrap();
    let index = std::fs::read(layout.0.path().join("index.json")).unwrap();
    assert_eq!((image.root.bytes.as_ref(), image.root.media_type.as_str()), (index.as_slice(), OCI_INDEX));
    assert_eq!((image.children.len(), image.blobs.len()), (2, 3));
}

#[test]
fn nested_indexes_come_leaves_first_and_have_a_limit() {
    let layout = Layout::new();
    let mut entry = layout.image("a");
    for depth in 1..=DEPTH_MAX {
        entry = layout.index(&[entry]);
        let image = layout.read(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(image.children.len(), depth);
        assert_eq!(image.children.first().unwrap().media_type, OCI_MANIFEST);
    }
    let too_deep = layout.index(&[entry]);
    assert!(layout.read(&[too_deep]).unwrap_err().to_string().contains("nested more than"));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let layout = Layout::new();
    let entry = layout.image("a");
    let layer = digest_of(b"shared");
    std::fs::write(layout.blob(&layer), b"shorter").unwrap();
    assert!(
        layout.read(std::slice::from_ref(&entry)).unwrap_err().to_string().contains("its manifest says 6")
    );
    std::fs::remove_file(layout.blob(&layer)).unwrap();
    assert!(layout.read(std::slice::from_ref(&entry)).unwrap_err().to_string().contains(layer.hex()));

    let manifest = Digest::parse(entry["digest"].as_str().unwrap()).unwrap();
    let length = std::fs::metadata(layout.blob(&manifest)).unwrap().len();
    std::fs::write(layout.blob(&manifest), vec![b' '; usize::try_from(length).unwrap()]).unwrap();
    assert!(matches!(layout.read(&[entry]), Err(LayoutError::Mismatch { .. })));
}

#[test]
fn nonsense_is_refused_with_the_files_name() {
    let layout = Layout::new();
    for manifests in [
        json!([]),
        json!({}),
        json!([{}]),
        json!([{ "digest": "sha256:../../etc/passwd", "size": 1 }]),
        json!([{ "digest": digest_of(b"x").as_str() }]),
    ] {
        std::fs::write(layout.0.path().join("index.json"), json!({ "manifests": manifests }).to_string())
            .unwrap();
        let error = read(&layout.files(), &Choice::default()).unwrap_err().to_string();
        assert!(error.contains("index.json"), "{error}");
    }
    std::fs::write(layout.0.path().join("index.json"), "[").unwrap();
    assert!(read(&layout.files(), &Choice::default()).unwrap_err().to_string().contains("not JSON"));
}

/// The same files, packed.
fn packed(layout: &Layout) -> Files {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", layout.0.path()).unwrap();
    let bytes = tar.into_inner().unwrap();
    Files::Archive(Archive::receive(bytes.as_slice(), Path::new("image.tar")).unwrap())
}

#[test]
fn a_layout_in_an_archive_is_the_same_image() {
    let layout = Layout::new();
    let plain = layout.read(&[layout.index(&[layout.image("a"), layout.image("b")])]).unwrap();
    let packed = read(&packed(&layout), &Choice::default()).unwrap();
    assert_eq!(packed.root.digest, plain.root.digest);
    for (one, other) in packed.blobs.iter().zip(&plain.blobs) {
        assert_eq!((&one.digest, one.content(100).unwrap()), (&other.digest, other.content(100).unwrap()));
    }
}

#[test]
fn one_of_several_is_chosen_by_name_or_platform() {
    let layout = Layout::new();
    let described = |content: &str, name: &str, platform: &str| {
        let mut image = layout.image(content);
        image["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        if !platform.is_empty() {
            image["platform"] = Platform::parse(platform).unwrap().to_json();
        }
        image
    };
    let (one, two) = (described("1", "app:v1", "linux/amd64"), described("2", "v2", "linux/arm64/v8"));
    let config = layout.put("x", br#"{"os":"linux","architecture":"s390x"}"#);
    let manifest = json!({ "config": config, "layers": [] });
    let configured = layout.put(OCI_MANIFEST, manifest.to_string().as_bytes());
    let nested = layout.index(&[one.clone(), two.clone(), configured.clone()]);
    layout.read(&[one.clone(), two.clone(), nested.clone()]).unwrap();
    let choose = |name: Option<&str>, platform: Option<&str>| {
        let choice = Choice {
            name: name.map(str::to_owned),
            platform: platform.map(|text| Platform::parse(text).unwrap()),
        };
        read(&layout.files(), &choice)
            .map(|image| image.root.digest.to_string())
            .map_err(|error| error.to_string())
    };
    let digest = |image: &Value| Ok(image["digest"].as_str().unwrap().to_owned());
    assert_eq!(choose(Some("app:v1"), None), digest(&one));
    assert_eq!(choose(Some("v1"), None), digest(&one));
    assert_eq!(choose(two["digest"].as_str(), None), digest(&two));
    assert_eq!(choose(None, Some("linux/arm64")), digest(&two));
    assert_eq!(choose(None, Some("linux/s390x")), digest(&configured));
    let error = choose(Some("v3"), None).unwrap_err();
    assert!(error.contains("has no image named `v3`: there are `app:v1`, `v2`"), "{error}");
    let error = choose(Some("v2"), Some("linux/amd64")).unwrap_err();
    assert!(error.contains("no image for linux/amd64: there is `linux/arm64/v8`"), "{error}");
}
