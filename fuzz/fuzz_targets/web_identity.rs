//! The claims of a GitHub token, in which one JSON object replaces what it names.

#![no_main]

use landfall_types::Timestamp;
use landfall_wire::web_identity;
use landfall_wire::{hash, jwt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let now = Timestamp(1_790_856_000_000);
    let seconds = now.seconds();
    let claims = format!(
        r#"{{"iss":"https://token.actions.githubusercontent.com","aud":"sts.amazonaws.com","sub":"repo:acme/api","iat":{seconds},"exp":{seconds},{text}}}"#
    );
    let _ = hash::sha256(claims.as_bytes());
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", encoded(claims.as_bytes()));
    let Ok(token) = jwt::parse(&token) else { return };
    let Ok(identity) = web_identity::check(&token, now) else { return };
    assert!(identity.session_tags.len() <= 50);
    for (name, values) in web_identity::condition_keys("token.actions.githubusercontent.com", &identity) {
        assert!(!name.is_empty() && !values.is_empty());
    }
    let _ = identity.check_role("arn:aws:iam::123456789012:role/deploy");
});

/// Base64 for URLs. <https://www.rfc-editor.org/rfc/rfc4648#section-5>
fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            chunk.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(number >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}
