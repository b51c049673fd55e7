//! A token is read as it stands, and once more as the claims of one.

#![no_main]

use landfall_types::Timestamp;
use landfall_wire::{jwt, web_identity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let tokens = [text.to_owned(), format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", encoded(text.as_bytes()))];
    for token in tokens {
        let Ok(token) = jwt::parse(&token) else { continue };
        let Ok(identity) = web_identity::check(&token, Timestamp(1_790_856_000_000)) else { continue };
        let _ = web_identity::condition_keys("token.actions.githubusercontent.com", &identity);
        let _ = identity.check_role("arn:aws:iam::123456789012:role/deploy");
    }
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
