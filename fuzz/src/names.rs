//! Names of images, repositories, tags, digests and resources: what is read is written as it was.

use landfall_types::{Arn, Digest, ImageRef, Issuer, RepositoryName, Tag, Timestamp};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let _ = ImageRef::parse(text);
    if let Ok(name) = RepositoryName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(tag) = Tag::parse(text) {
        assert_eq!(tag.as_str(), text);
    }
    if let Ok(digest) = Digest::parse(text) {
        assert_eq!(digest.as_str(), text);
    }
    if let Ok(arn) = Arn::parse(text) {
        assert_eq!(arn.to_string(), text);
        let _ = arn.role_path_and_name();
    }
    if let Ok(issuer) = Issuer::parse(text) {
        let _ = issuer.host_and_path();
    }
    if let Some(moment) = Timestamp::parse_basic(text) {
        // The sixtieth second is the next minute's first.
        assert!(moment.basic() == text || text.ends_with("60Z"));
    }
}
