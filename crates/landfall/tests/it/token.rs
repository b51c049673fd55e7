//! `landfall token decode`.

use crate::bench::{self, Bench};

/// A token of GitHub's form. Its signature is the word `signature`: decoding verifies nothing.
const TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImV4YW1wbGUiLCJ0eXAiOiJKV1QifQ",
    ".eyJqdGkiOiJleGFtcGxlIiwic3ViIjoicmVwbzphY21lL3dlYjpyZWY6cmVmcy9oZWFkcy9tYWluIiwiYXVkIjoic3RzLmFtYXpvbmF3cy5jb20iLCJyZWYiOiJyZWZzL2hlYWRzL21haW4iLCJleHAiOjE3MDAwMDAzMDAsImlzcyI6Imh0dHBzOi8vdG9rZW4uYWN0aW9ucy5naXRodWJ1c2VyY29udGVudC5jb20ifQ",
    ".c2lnbmF0dXJl"
);

#[test]
fn a_token_is_shown_as_it_is() {
    let bench = Bench::new().file("token", &format!("{TOKEN}\n"));
    let done = bench.landfall(&["token", "decode", "token"]);
    assert_eq!(done.code, Some(0), "{}", done.shown);
    bench::snapshot("token-decode", &done.shown);
}

#[test]
fn where_no_server_answers_no_token_is_minted() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let done = Bench::new().landfall(&["token", "github", "--repo", "acme/web", "--endpoint", &endpoint]);
    assert_eq!(done.code, Some(3), "{}", done.shown);
    bench::snapshot("token-github-without-a-server", &done.shown);
}
