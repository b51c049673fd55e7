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
        read(self.0.path())
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
        let error = read(layout.0.path()).unwrap_err().to_string();
        assert!(error.contains("index.json"), "{error}");
    }
    std::fs::write(layout.0.path().join("index.json"), "[").unwrap();
    assert!(read(layout.0.path()).unwrap_err().to_string().contains("not JSON"));
}
