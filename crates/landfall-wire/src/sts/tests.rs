#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;

use super::*;
use crate::query::Params;

fn checked(operation: &str, params: &Params) -> Result<String, AwsError> {
    match operation {
        "AssumeRole" => check_assume_role(params).map(|input| format!("{input:?}")),
        "GetSessionToken" => check_session_token(params).map(|input| format!("{input:?}")),
        "GetFederationToken" => check_federation_token(params).map(|input| format!("{input:?}")),
        "GetAccessKeyInfo" => check_access_key_id(params).map(str::to_owned),
        "DecodeAuthorizationMessage" => check_encoded_message(params).map(|message| message.0.to_owned()),
        "AssumeRoleWithSAML" => check_saml_assertion(params).map(|input| format!("{input:?}")),
        "AssumeRoot" => check_target_principal(params).map(str::to_owned),
        other => panic!("no operation `{other}`"),
    }
}

#[test]
fn each_request_is_well_formed_or_gets_awss_answer() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../cases/sts_inputs.json")).unwrap();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let form: Vec<String> = case["form"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={}", filled(value.as_str().unwrap())))
            .collect();
        let params = Params::parse(&form.join("&")).unwrap();
        let answer = match checked(case["operation"].as_str().unwrap(), &params) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(answer, filled(case["answer"].as_str().unwrap()), "{name}");
    }
    assert!(cases.len() > 30);
}

/// `${a*65}` is a letter so many times.
fn filled(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (times, after) = rest.split_once('}').unwrap();
    let (letter, count) = times.split_once('*').unwrap();
    format!("{before}{}{}", letter.repeat(count.parse().unwrap()), filled(after))
}
