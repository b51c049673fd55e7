//! A manifest, and the headers of uploads and downloads.

use landfall_wire::oci;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    if let Ok(manifest) = oci::Manifest::parse(text.as_bytes(), None) {
        let _ = manifest.referrer_type();
    }
    let _ = oci::parse_content_range(text);
    if let oci::RangeRequest::Part(part) = oci::parse_range(text, 1_000) {
        assert!(part.first + part.length() <= 1_000);
    }
}
