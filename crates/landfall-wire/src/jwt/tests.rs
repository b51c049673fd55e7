#![allow(clippy::unwrap_used, clippy::panic)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaEncoding, RsaKeyPair};
use landfall_types::ClaimValue;
use serde_json::{Value, json};

use super::*;

const TEST_KEY: &[u8] = include_bytes!("../../cases/test-signing-key.pkcs8.der");
const TOKENS: &str = include_str!("../../cases/tokens.json");

fn key() -> SigningKey {
    SigningKey::from_pkcs8(TEST_KEY, None).unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let mut text = format!("{}.{}", encoded(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(text.as_bytes());
    text.push('.');
    text.push_str(&URL_SAFE_NO_PAD.encode(signature));
    text
}

#[test]
fn a_text_is_a_token_or_the_reason_is_told() {
    let cases: Vec<Value> = serde_json::from_str(TOKENS).unwrap();
    for case in &cases {
        let text = case["token"]
            .as_str()
            .map_or_else(|| token(&case["header"], &case["claims"].to_string(), |_| vec![0]), str::to_owned);
        let error = parse(&text).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), case["error"].as_str(), "{}", case["name"]);
    }
}

#[test]
fn a_token_over_the_limit_is_not_read() {
    let long = "a".repeat(TOKEN_CHARS_MAX + 1);
    assert_eq!(parse(&long), Err(JwtError::TooLong { chars: TOKEN_CHARS_MAX + 1 }));
}

#[test]
fn hostile_claims_are_refused_and_do_not_overflow() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let many = format!("{{{}\"z\":1}}", (0..1000).map(|n| format!("\"{n}\":1,")).collect::<String>());
    for claims in [deep, many] {
        let text = token(&json!({ "alg": "RS256" }), &claims, |_| vec![0]);
        assert_eq!(parse(&text), Err(JwtError::NotJson { part: "claims" }), "{claims:.20}");
    }
}

#[test]
fn of_a_repeated_claim_the_last_value_counts() {
    let text =
        token(&json!({ "alg": "RS256" }), r#"{"aud":"client-a","sub":"s","aud":"other"}"#, |_| vec![0]);
    let token = parse(&text).unwrap();
    assert_eq!(token.claims.text("aud"), Some("other"));
    assert_eq!(token.claims.iter().count(), 2);
}

#[test]
fn claims_survive_the_way_to_json_and_back() {
    let value = json!({ "a": "x", "n": 1789123688, "f": 1.5, "b": true, "z": null, "l": ["x", 1], "m": { "k": [true] } });
    let claims = claims_from_json(&value).unwrap();
    assert_eq!(claims.get("n"), Some(&ClaimValue::Number("1789123688".to_owned())));
    assert_eq!(claims.get("z"), Some(&ClaimValue::Null));
    assert_eq!(claims_to_json(&claims), value);
    assert_eq!(claims_from_json(&json!([])), None);
    let text = token(&json!({ "alg": "RS256" }), &value.to_string(), |_| vec![0]);
    assert_eq!(parse(&text).unwrap().claims, claims);
}

#[test]
fn a_minted_token_is_accepted_by_its_issuers_key_set() {
    let key = key();
    let mut claims = Claims::new();
    claims.set_text("sub", "repo:acme/api:ref:refs/heads/main");
    let token = parse(&mint(&key, &claims)).unwrap();
    assert_eq!(token.claims, claims);
    assert_eq!(token.header.alg, "RS256");
    assert_eq!(token.header.typ.as_deref(), Some("JWT"));
    assert_eq!(token.header.kid.as_deref(), Some(key.kid()));
    assert_eq!(verify_signature(&token, &key.jwks()), Ok(()));
    // As a relying party sees it.
    let published = Jwks::parse(&key.jwks().to_json().to_string()).unwrap();
    assert!(published.contains(key.kid()));
    assert_eq!(verify_signature(&token, &published), Ok(()));
}

#[test]
fn any_change_to_a_token_breaks_its_signature() {
    let key = key();
    let mut claims = Claims::new();
    claims.set_text("sub", "a");
    let text = mint(&key, &claims);
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let forged = format!("{header}.{}.{signature}", encoded(&json!({ "sub": "b" })));
    let cut = format!("{signed}.{}", &signature[..signature.len() - 2]);
    let none = format!("{signed}.");
    for text in [forged, cut, none] {
        let verdict = verify_signature(&parse(&text).unwrap(), &key.jwks());
        assert_eq!(verdict, Err(SignatureError::BadSignature));
    }
}

#[test]
fn a_key_that_is_not_named_or_not_there_is_unknown() {
    let key = key();
    for kid in [json!(null), json!(""), json!("another")] {
        let text = token(&json!({ "alg": "RS256", "kid": kid }), "{}", |_| vec![0]);
        let verdict = verify_signature(&parse(&text).unwrap(), &key.jwks());
        assert_eq!(verdict, Err(SignatureError::UnknownKey), "{kid}");
    }
}

#[test]
fn no_other_algorithm_is_believed() {
    let key = key();
    for alg in ["none", "None", "", "HS256", "PS256", "EdDSA", "rs256"] {
        let text = token(&json!({ "alg": alg, "kid": key.kid() }), "{}", |_| Vec::new());
        let verdict = verify_signature(&parse(&text).unwrap(), &key.jwks());
        assert_eq!(verdict, Err(SignatureError::UnsupportedAlgorithm), "{alg}");
    }
    // The key is published for RS256 alone.
    let text = token(&json!({ "alg": "RS512", "kid": key.kid() }), "{}", |_| vec![0]);
    assert_eq!(verify_signature(&parse(&text).unwrap(), &key.jwks()), Err(SignatureError::UnknownKey));
}

#[test]
fn rsa_is_checked_with_each_of_its_hashes() {
    let pair = RsaKeyPair::from_pkcs8(TEST_KEY).unwrap();
    let KeyMaterial::Rsa { n, e } = key().jwk().material().clone() else { panic!("an RSA key") };
    let any = Jwk::new(Some("k".to_owned()), None, KeyMaterial::Rsa { n, e }).unwrap();
    let paddings: [(&str, &dyn RsaEncoding); 3] = [
        ("RS256", &signature::RSA_PKCS1_SHA256),
        ("RS384", &signature::RSA_PKCS1_SHA384),
        ("RS512", &signature::RSA_PKCS1_SHA512),
    ];
    for (alg, padding) in paddings {
        let text = token(&json!({ "alg": alg, "kid": "k" }), "{}", |input| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), input, &mut signature).unwrap();
            signature
        });
        let token = parse(&text).unwrap();
        assert_eq!(verify_signature(&token, &Jwks::new(vec![any.clone()])), Ok(()), "{alg}");
    }
}

#[test]
fn each_curve_is_checked_even_when_a_coordinate_lost_its_zeros() {
    let curves: [(&str, Curve, &'static EcdsaSigningAlgorithm); 3] = [
        ("ES256", Curve::P256, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", Curve::P384, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", Curve::P521, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
    ];
    for (alg, curve, algorithm) in curves {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let shortened = x.iter().copied().skip_while(|byte| *byte == 0).collect();
        let material = KeyMaterial::Ec { curve, x: shortened, y: y.to_vec() };
        let keys = Jwks::new(vec![Jwk::new(Some("k".to_owned()), None, material).unwrap()]);
        let keys = Jwks::parse(&keys.to_json().to_string()).unwrap();
        let text = token(&json!({ "alg": alg, "kid": "k" }), "{}", |input| {
            pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()
        });
        assert_eq!(verify_signature(&parse(&text).unwrap(), &keys), Ok(()), "{alg}");
        let other = token(&json!({ "alg": alg, "kid": "k" }), r#"{"a":1}"#, |_| {
            parse(&text).unwrap().signature().to_vec()
        });
        let verdict = verify_signature(&parse(&other).unwrap(), &keys);
        assert_eq!(verdict, Err(SignatureError::BadSignature), "{alg}");
    }
}

#[test]
fn a_key_set_keeps_what_it_can_use() {
    let mut set = key().jwks().to_json();
    let keys = set["keys"].as_array_mut().unwrap();
    keys.push(json!({ "kty": "oct", "kid": "secret", "k": "AA" }));
    keys.push(json!({ "kty": "RSA", "kid": "broken", "n": "!!", "e": "AQAB" }));
    keys.push(json!({ "kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB" }));
    keys.push(json!({ "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "AA" }));
    keys.push(json!({ "kty": "EC", "kid": "off", "crv": "P-256", "x": "AQ", "y": "AQ" }));
    let set = Jwks::parse(&set.to_string()).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!(Jwks::parse(r#"{"keys":[]}"#).unwrap().keys().len(), 0);
}

#[test]
fn a_key_set_has_limits_and_a_shape() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
        assert_eq!(Jwks::parse(text).err(), Some(JwksError::NotAKeySet), "{text}");
    }
    let key = key().jwk().to_json();
    let many = |count: usize| json!({ "keys": vec![key.clone(); count] }).to_string();
    assert_eq!(Jwks::parse(&many(JWKS_KEYS)).unwrap().keys().len(), JWKS_KEYS);
    assert_eq!(Jwks::parse(&many(JWKS_KEYS + 1)).err(), Some(JwksError::TooMany { keys: JWKS_KEYS + 1 }));
    let long = " ".repeat(1_048_577);
    assert_eq!(Jwks::parse(&long).err(), Some(JwksError::TooLong { bytes: 1_048_577 }));
}

const JWKS_KEYS: usize = 100;

#[test]
fn a_key_reads_back_from_its_pkcs8_with_the_same_name() {
    let key = key();
    let again = SigningKey::from_pkcs8(key.to_pkcs8().unwrap().expose(), None).unwrap();
    assert_eq!(again.kid(), key.kid());
    assert_eq!(key.kid().len(), 43, "base64url of 32 bytes");
    let named = SigningKey::from_pkcs8(TEST_KEY, Some("mine".to_owned())).unwrap();
    assert_eq!(named.kid(), "mine");
    assert_eq!(named.jwks().to_json()["keys"][0]["kid"], "mine");
    assert!(SigningKey::from_pkcs8(b"nonsense", None).is_err());
}

#[test]
fn a_new_key_signs() {
    let key = SigningKey::generate(None).unwrap();
    let token = parse(&mint(&key, &Claims::new())).unwrap();
    assert_eq!(verify_signature(&token, &key.jwks()), Ok(()));
}

#[test]
fn neither_a_token_nor_a_key_prints_what_is_secret() {
    let key = key();
    let text = mint(&key, &Claims::new());
    let signature = text.rsplit_once('.').unwrap().1;
    let printed = format!("{:?} {key:?}", parse(&text).unwrap());
    assert!(!printed.contains(signature) && !printed.contains("signature"), "{printed}");
    assert!(printed.contains(key.kid()));
}
