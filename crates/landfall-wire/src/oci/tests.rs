#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn image() -> Value {
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest('a'), "size": 7 },
        "layers": [
            { "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest('b'), "size": 10 },
            { "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest('c'), "size": 0 },
        ],
        "subject": { "mediaType": OCI_MANIFEST, "digest": digest('d'), "size": 1 },
        "annotations": { "k": "v" },
    })
}

fn parsed(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value.to_string().as_bytes(), None)
}

#[test]
fn an_image_names_its_content() {
    let manifest = parsed(&image()).unwrap();
    assert_eq!(manifest.media_type, OCI_MANIFEST);
    assert_eq!(manifest.config.as_ref().unwrap().size, 7);
    let layers: Vec<&str> = manifest.layers.iter().map(|layer| layer.digest.as_str()).collect();
    assert_eq!(layers, [digest('b'), digest('c')]);
    assert_eq!(manifest.subject.as_ref().unwrap().digest.as_str(), digest('d'));
    assert_eq!(manifest.annotations, [("k".to_owned(), "v".to_owned())]);
    assert!(!is_index(&manifest.media_type));
    assert_eq!(manifest.referrer_type(), Some("application/vnd.oci.image.config.v1+json"));
}

#[test]
fn an_index_names_its_images() {
    let index = json!({
        "schemaVersion": 2, "artifactType": "application/x",
        "manifests": [{
            "mediaType": OCI_MANIFEST, "digest": digest('a'), "size": 3,
            "platform": { "os": "linux", "architecture": "arm64" },
        }],
    });
    let manifest = parsed(&index).unwrap();
    assert!(is_index(&manifest.media_type));
    assert_eq!(manifest.manifests[0].platform.as_ref().unwrap()["architecture"], "arm64");
    assert_eq!(manifest.referrer_type(), Some("application/x"));
}

#[test]
fn the_type_is_declared_or_speaks_for_itself() {
    let mut image = image();
    image.as_object_mut().unwrap().remove("mediaType");
    let bytes = image.to_string();
    let media_type = |declared| Manifest::parse(bytes.as_bytes(), declared).unwrap().media_type;
    assert_eq!(media_type(None), OCI_MANIFEST);
    assert_eq!(
        media_type(Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8")),
        DOCKER_MANIFEST
    );
}

#[test]
fn a_broken_manifest_is_told_what_is_wrong() {
    let with = |name: &str, value: Value| {
        let mut image = image();
        image[name] = value;
        parsed(&image).unwrap_err().to_string()
    };
    let layer = json!([{ "mediaType": "x", "digest": "sha256:12", "size": 1 }]);
    assert!(
        with("layers", layer).starts_with("the manifest's `layers[0].digest` must be a digest: `sha256:12`")
    );
    assert_eq!(with("layers", json!(7)), "the manifest's `layers` must be a list of descriptors");
    assert_eq!(with("schemaVersion", json!(1)), "the manifest's `schemaVersion` must be 2");
    let negative = json!({ "mediaType": "x", "digest": digest('a'), "size": -1 });
    assert_eq!(with("config", negative), "the manifest's `config.size` must be a number of bytes");
    assert_eq!(with("subject", json!("x")), "the manifest's `subject` must be a descriptor");
    for bytes in [&b"[]"[..], b"", b"{", b"\xff"] {
        assert_eq!(Manifest::parse(bytes, None), Err(ManifestError::NotJson));
    }
    assert!(parsed(&json!({})).is_err());
    assert!(parsed(&json!({ "schemaVersion": 2 })).is_err());
    let declared = Manifest::parse(image().to_string().as_bytes(), Some(DOCKER_MANIFEST)).unwrap_err();
    assert!(declared.to_string().contains("as it was declared"), "{declared}");
}

#[test]
fn a_manifest_has_limits() {
    let bytes = vec![b' '; MANIFEST_BYTES_MAX + 1];
    let error = Manifest::parse(&bytes, None).unwrap_err();
    assert_eq!(error, ManifestError::TooLong { bytes: MANIFEST_BYTES_MAX + 1 });
    let mut image = image();
    image["layers"] =
        vec![json!({ "mediaType": "x", "digest": digest('a'), "size": 1 }); DESCRIPTORS_MAX + 1].into();
    assert!(parsed(&image).unwrap_err().to_string().contains("at most 10000"));
}

#[test]
fn an_error_is_one_line_of_json_with_the_codes_status() {
    let reply = oci_error("DENIED", "no");
    assert_eq!(reply.status, 403);
    assert_eq!(reply.headers[0], ("content-type", "application/json; charset=utf-8".to_owned()));
    assert_eq!(reply.body, b"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}\n");
    assert_eq!(oci_error("NO_SUCH_CODE", "").status, 500);
    assert_eq!(oci_error_with_status(405, "UNKNOWN", "").status, 405);
    let statuses =
        [("NAME_UNKNOWN", 404), ("UNAUTHORIZED", 401), ("TOOMANYREQUESTS", 429), ("TAG_INVALID", 400)];
    for (code, status) in statuses {
        assert_eq!(oci_error(code, "").status, status, "{code}");
    }
}

#[test]
fn content_ranges_have_two_spellings() {
    let whole = ByteRange { first: 0, last: 1023 };
    for text in ["0-1023", "bytes 0-1023/2048", "bytes=0-1023", " 0-1023 ", "bytes 0-1023/*"] {
        assert_eq!(parse_content_range(text), Some(whole), "{text}");
    }
    assert_eq!(whole.length(), 1024);
    for text in ["", "-", "5-4", "a-b", "0-", "-1", "+1-2", "0-99999999999999999999999", "1"] {
        assert_eq!(parse_content_range(text), None, "{text}");
    }
}

#[test]
fn a_range_is_a_part_of_what_is_there() {
    use RangeRequest::{Backwards, Part, Unsatisfiable, Whole};
    let part = |first, last| Part(ByteRange { first, last });
    let cases = [
        ("bytes=0-99", 1000, part(0, 99)),
        ("bytes=0-99", 50, part(0, 49)),
        ("bytes=900-", 1000, part(900, 999)),
        ("bytes=-100", 1000, part(900, 999)),
        ("bytes=-5000", 1000, part(0, 999)),
        ("bytes=1000-", 1000, Unsatisfiable),
        ("bytes=2000-3000", 1000, Unsatisfiable),
        ("bytes=-0", 1000, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=-1", 0, Unsatisfiable),
        ("bytes=5-4", 1000, Backwards),
        ("bytes=5-4,1-2", 1000, Whole),
        ("bytes=0-1,3-4", 1000, Whole),
        ("lines=0-1", 1000, Whole),
        ("bytes=x", 1000, Whole),
        ("bytes=-", 1000, Whole),
    ];
    for (text, size, wanted) in cases {
        assert_eq!(parse_range(text, size), wanted, "{text} of {size}");
    }
    assert_eq!(ByteRange { first: 0, last: u64::MAX }.length(), u64::MAX);
}

#[test]
fn an_image_is_translated_between_the_two_formats_when_only_the_other_is_understood() {
    let bytes = image().to_string().into_bytes();
    let types = |bytes: &[u8]| -> Vec<String> {
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let layers = value["layers"].as_array().unwrap();
        let described = std::iter::once(&value).chain(std::iter::once(&value["config"])).chain(layers);
        described.map(|descriptor| descriptor["mediaType"].as_str().unwrap().to_owned()).collect()
    };
    let (to, docker) = translate(&bytes, OCI_MANIFEST, [DOCKER_MANIFEST].into_iter()).unwrap();
    assert_eq!(to, DOCKER_MANIFEST);
    assert_eq!(
        types(&docker),
        [
            DOCKER_MANIFEST,
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ]
    );
    // Back again, it is what it was, byte for byte.
    let (to, back) = translate(&docker, DOCKER_MANIFEST, [OCI_MANIFEST, OCI_INDEX].into_iter()).unwrap();
    assert_eq!((to, back == bytes), (OCI_MANIFEST, true));
    // Understood as it is, anything understood, nothing understood, an index: no translation.
    let same = |from, accept: &[&'static str]| translate(&bytes, from, accept.iter().copied()).is_none();
    assert!(same(OCI_MANIFEST, &[DOCKER_MANIFEST, OCI_MANIFEST]));
    assert!(same(OCI_MANIFEST, &["*/*", DOCKER_MANIFEST]));
    assert!(same(OCI_MANIFEST, &["application/json"]));
    assert!(same(OCI_MANIFEST, &[]));
    assert!(same(OCI_INDEX, &[DOCKER_LIST]));
    // zstd has no name in Docker's format.
    let mut zstd = image();
    zstd["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd");
    assert!(translate(zstd.to_string().as_bytes(), OCI_MANIFEST, [DOCKER_MANIFEST].into_iter()).is_none());
}

#[test]
fn accept_is_a_list_of_types_with_parameters() {
    let text = "application/a;q=0.5, */* , application/b";
    assert_eq!(accepts(text).collect::<Vec<_>>(), ["application/a", "*/*", "application/b"]);
}
