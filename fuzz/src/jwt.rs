//! A token is read as it stands, and once more as the claims of one.

use landfall_types::Timestamp;
use landfall_wire::{jwt, web_identity};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let tokens = [text.to_owned(), format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", super::encoded(text.as_bytes()))];
    for token in tokens {
        let Ok(token) = jwt::parse(&token) else { continue };
        let Ok(identity) = web_identity::check(&token, Timestamp(1_790_856_000_000)) else { continue };
        let _ = web_identity::condition_keys("token.actions.githubusercontent.com", &identity);
        let _ = identity.check_role("arn:aws:iam::123456789012:role/deploy");
    }
}
