#![allow(clippy::unwrap_used, clippy::panic)]

use landfall_types::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::jwt::{self, SigningKey, claims_from_json, mint};
use crate::query::Params;

const TEST_KEY: &[u8] = include_bytes!("../../cases/test-signing-key.pkcs8.der");

/// The moment of the cases in `identities.json`.
const NOW: Timestamp = Timestamp(1_789_123_698_400);

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn checked(claims: &Value) -> Result<WebIdentity, AwsError> {
    let key = SigningKey::from_pkcs8(TEST_KEY, None).unwrap();
    let token = jwt::parse(&mint(&key, &claims_from_json(claims).unwrap())).unwrap();
    check(&token, NOW)
}

fn patched(base: Value, case: &Value, patch: &str) -> Value {
    let mut base = base;
    let members = base.as_object_mut().unwrap();
    if let Some(changes) = case[patch].as_object() {
        members.extend(changes.clone());
    }
    if let Some(name) = case["without"].as_str() {
        members.remove(name);
    }
    base
}

#[test]
fn each_token_is_an_identity_or_gets_awss_answer() {
    let base = json!({
        "iss": "https://issuer.example", "sub": "subject-1", "aud": "client-a",
        "iat": 1_789_123_688, "exp": 1_789_124_598,
    });
    for case in cases(include_str!("../../cases/identities.json")) {
        let name = case["name"].as_str().unwrap();
        let verdict = checked(&patched(base.clone(), &case, "claims"));
        if let Some(wanted) = case["error"].as_str() {
            let error = verdict.expect_err(name);
            assert_eq!(error.to_string(), wanted, "{name}");
            let status = if error.code == "InternalFailure" { 500 } else { 400 };
            assert_eq!(error.status, status, "{name}");
            continue;
        }
        let identity = verdict.expect(name);
        assert_eq!(identity.issuer, "https://issuer.example");
        let tags: Value = identity.session_tags.iter().map(|(key, value)| json!([key, value])).collect();
        let got = [
            ("subject", json!(identity.subject)),
            ("audience", json!(identity.audience)),
            ("audiences", json!(identity.audiences)),
            ("source_identity", json!(identity.source_identity)),
            ("tags", tags),
            ("transitive", json!(identity.transitive_tag_keys)),
            ("roles", json!(identity.roles)),
        ];
        for (member, value) in got {
            match case.get(member) {
                Some(wanted) => assert_eq!(&value, wanted, "{name}: {member}"),
                None if matches!(member, "source_identity" | "roles") => assert!(value.is_null(), "{name}"),
                None if matches!(member, "tags" | "transitive") => assert_eq!(value, json!([]), "{name}"),
                None => {}
            }
        }
    }
}

#[test]
fn a_roles_claim_names_its_roles_exactly() {
    let claims = json!({
        "iss": "https://i", "sub": "s", "aud": "a", "iat": 1_789_123_688, "exp": 1_789_124_598,
        "https://aws.amazon.com/roles": ["arn:aws:iam::123456789012:role/deploy"],
    });
    let identity = checked(&claims).unwrap();
    assert_eq!(identity.check_role("arn:aws:iam::123456789012:role/deploy"), Ok(()));
    for other in ["arn:aws:iam::123456789012:role/Deploy", "arn:aws:iam::123456789012:role/deploy2"] {
        let error = identity.check_role(other).unwrap_err();
        assert_eq!(
            error.message,
            "The target role ARN is not present in the roles claim of the identity token"
        );
    }
    let free = WebIdentity { roles: None, ..identity };
    assert_eq!(free.check_role("arn:aws:iam::123456789012:role/any"), Ok(()));
}

#[test]
fn more_than_fifty_tags_are_refused() {
    let tags = |count: usize| {
        let tags: serde_json::Map<String, Value> =
            (0..count).map(|n| (format!("k{n}"), json!(["v"]))).collect();
        checked(&json!({
            "iss": "https://i", "sub": "s", "aud": "a", "iat": 1_789_123_688, "exp": 1_789_124_598,
            "https://aws.amazon.com/tags": { "principal_tags": tags },
        }))
    };
    assert_eq!(tags(50).unwrap().session_tags.len(), 50);
    assert!(tags(51).is_err());
}

#[test]
fn a_policy_sees_the_documented_claims_of_each_provider_and_no_other() {
    for case in cases(include_str!("../../cases/condition_keys.json")) {
        let issuer = case["issuer"].as_str().unwrap();
        let base = json!({ "iss": format!("https://{issuer}"), "iat": 1_789_123_688, "exp": 1_789_124_598 });
        let identity = checked(&patched(base, &case, "claims")).unwrap();
        let got: serde_json::Map<String, Value> = condition_keys(issuer, &identity)
            .into_iter()
            .map(|(key, values)| (key.strip_prefix(issuer).unwrap().to_owned(), json!(values)))
            .collect();
        assert_eq!(Value::Object(got), case["keys"], "{issuer}");
    }
}

#[test]
fn each_request_is_well_formed_or_told_every_broken_constraint() {
    let base = json!({
        "RoleArn": "arn:aws:iam::123456789012:role/deploy", "RoleSessionName": "session",
        "WebIdentityToken": "e30.e30.AA",
    });
    for case in cases(include_str!("../../cases/assume_role_inputs.json")) {
        let name = case["name"].as_str().unwrap();
        let params = patched(base.clone(), &case, "params");
        let form: Vec<String> = params
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap().replace(' ', "+")))
            .collect();
        let params = Params::parse(&form.join("&")).unwrap();
        match (check_assume_role_input(&params), case["error"].as_str()) {
            (Ok(input), None) => {
                assert_eq!(input.duration_seconds, case["duration"], "{name}");
                assert_eq!(input.role.to_string(), input.role_arn);
                assert_eq!(*input.token.expose(), "e30.e30.AA");
            }
            (Err(error), Some(wanted)) => {
                assert_eq!(error.to_string(), wanted, "{name}");
                assert_eq!(error.status, 400, "{name}");
            }
            (got, wanted) => panic!("{name}: {got:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn more_than_ten_session_policies_are_refused() {
    let form = |count: usize| {
        let arns: String =
            (1..=count).map(|n| format!("&PolicyArns.member.{n}.arn=arn:aws:iam::aws:policy/p{n}")).collect();
        let form = format!(
            "RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=ss&WebIdentityToken=e30.e30.AA{arns}"
        );
        Params::parse(&form).unwrap()
    };
    let params = form(10);
    assert_eq!(check_assume_role_input(&params).unwrap().policy_arns.len(), 10);
    let error = check_assume_role_input(&form(11)).unwrap_err();
    assert!(error.message.ends_with("Member must have length less than or equal to 10"), "{error}");
}

#[test]
fn an_id_token_comes_without_a_provider_id() {
    assert_eq!(check_provider_id(None), Ok(()));
    let amazon = check_provider_id(Some("www.amazon.com")).unwrap_err();
    assert_eq!(amazon.to_string(), "InvalidIdentityToken: Provided Token is not a Login With Amazon token");
    let other = check_provider_id(Some("example.com")).unwrap_err();
    assert_eq!((other.code.as_ref(), other.status), ("AccessDenied", 403));
}

#[test]
fn signature_faults_are_told_apart_only_as_aws_does() {
    assert_eq!(from_signature(SignatureError::UnknownKey), no_verification_key());
    assert!(no_verification_key().message.contains("identity provider,  please"));
    assert_eq!(from_signature(SignatureError::BadSignature), could_not_validate());
    let words = from_jwt(&JwtError::Critical).message;
    assert!(words.starts_with("The ID Token provided is not a valid JWT."), "{words}");
}
