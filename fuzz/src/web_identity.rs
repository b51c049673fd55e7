//! The claims of a GitHub token, in which one JSON object replaces what it names.

use landfall_types::Timestamp;
use landfall_wire::web_identity;
use landfall_wire::{hash, jwt};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let now = Timestamp(1_790_856_000_000);
    let seconds = now.seconds();
    let claims = format!(
        r#"{{"iss":"https://token.actions.githubusercontent.com","aud":"sts.amazonaws.com","sub":"repo:acme/api","iat":{seconds},"exp":{seconds},{text}}}"#
    );
    let _ = hash::sha256(claims.as_bytes());
    let token = format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", super::encoded(claims.as_bytes()));
    let Ok(token) = jwt::parse(&token) else { return };
    let Ok(identity) = web_identity::check(&token, now) else { return };
    assert!(identity.session_tags.len() <= 50);
    for (name, values) in web_identity::condition_keys("token.actions.githubusercontent.com", &identity) {
        assert!(!name.is_empty() && !values.is_empty());
    }
    let _ = identity.check_role("arn:aws:iam::123456789012:role/deploy");
}
