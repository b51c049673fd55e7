//! A request, line by line: method, path, query, then headers. Credentials are read and a signature is
//! verified; nothing that is found is accepted, because nobody has the secret.

use landfall_types::{Secret, Timestamp};
use landfall_wire::sigv4::{self, SignedRequest};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let mut lines = text.split('\n');
    let (method, path, query) =
        (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let body_sha256 = landfall_wire::hash::EMPTY_SHA256;
    let request = SignedRequest { method, path, query, headers: &headers, body_sha256 };
    let Ok(Some(presented)) = sigv4::present(&request) else { return };
    let secret = Secret::new("nobody knows".to_owned());
    let now = Timestamp(1_790_856_000_000);
    assert!(sigv4::verify(&request, &presented, &["sts"], None, &secret, now).is_err());
}
