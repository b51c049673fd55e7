#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::blob::digest_of;

fn shown(names: &[&str], tags: &[&str]) -> Result<Vec<String>, String> {
    let references: Vec<_> = names.iter().map(|name| ImageRef::parse(name).unwrap()).collect();
    let tags: Vec<_> = tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect();
    let all = destinations(&references, &tags, &digest_of(b"image"))?;
    let one = |each: &Destination| {
        let tags: Vec<_> = each.tags.iter().map(Tag::as_str).collect();
        format!("{}/{}:{}", each.registry, each.repository, tags.join(","))
    };
    Ok(all.iter().map(one).collect())
}

#[test]
fn references_are_sorted_by_repository_and_tags_are_kept_once() {
    let cases: [(&[&str], &[&str], &[&str]); 4] = [
        (&["h:1/api:v1"], &[], &["h:1/api:v1"]),
        (&["h:1/api:v1", "h:1/web:v1", "h:1/api:v2", "h:1/api:v1"], &[], &["h:1/api:v1,v2", "h:1/web:v1"]),
        (&["h:1/api", "i:1/api:v1"], &["latest", "v1"], &["h:1/api:latest,v1", "i:1/api:v1,latest"]),
        (&["h:1/api"], &[], &["h:1/api:"]),
    ];
    for (names, tags, wanted) in cases {
        assert_eq!(shown(names, tags).unwrap(), wanted, "{names:?}");
    }
}

#[test]
fn a_digest_in_a_reference_has_to_be_the_images() {
    let (right, wrong) = (digest_of(b"image"), digest_of(b"other"));
    assert!(shown(&[&format!("h:1/api@{right}")], &[]).is_ok());
    assert!(shown(&[&format!("h:1/api@{wrong}")], &[]).unwrap_err().contains("can't be pushed"));
    assert!(shown(&[], &["v1"]).unwrap_err().contains("nowhere to push to"));
}
