//! What an issuer answers: a key set with which a token is verified, and certificates in DER and PEM.

use landfall_serve::discovery::certificates_of_pem;
use landfall_wire::certificate::Certificate;
use landfall_wire::jwt::{self, Jwks};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let _ = Certificate::parse(bytes);
    for der in certificates_of_pem(bytes).unwrap_or_default() {
        let _ = Certificate::parse(&der);
    }
    let (keys, token) = super::text(bytes).split_once("\n>>> token\n").unwrap_or((super::text(bytes), ""));
    let Ok(keys) = Jwks::parse(keys) else { return };
    // What is read is written so that it is read again.
    let again = Jwks::parse(&keys.to_json().to_string()).expect("a key set");
    assert_eq!(again.to_json(), keys.to_json());
    for key in keys.keys() {
        let header = format!(r#"{{"alg":"RS256","kid":{:?}}}"#, key.kid().unwrap_or_default());
        let made = format!("{}.{}.{}", super::encoded(header.as_bytes()), super::encoded(b"{}"), "c2ln");
        for token in [made.as_str(), token.trim()] {
            if let Ok(token) = jwt::parse(token) {
                assert!(jwt::verify_signature(&token, &keys).is_err(), "nobody has signed this");
            }
        }
    }
}
