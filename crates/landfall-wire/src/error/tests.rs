#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_query_error_is_indented_xml_with_a_newline_at_its_end() {
    let error = access_denied("Not authorized to perform sts:AssumeRoleWithWebIdentity", Protocol::STS);
    let reply = render(&error, Protocol::STS, "id-1", false);
    assert_eq!(reply.status, 403);
    assert_eq!(header(&reply, "content-type"), Some("text/xml"));
    assert_eq!(header(&reply, "x-amzn-requestid"), Some("id-1"));
    assert_eq!(
        text(&reply),
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
         <Type>Sender</Type>\n    <Code>AccessDenied</Code>\n    \
         <Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>\n  </Error>\n  \
         <RequestId>id-1</RequestId>\n</ErrorResponse>\n"
    );
}

#[test]
fn a_query_error_is_json_for_who_asks_for_json() {
    let reply = render(&expired_token(Protocol::IAM), Protocol::IAM, "id-1", true);
    assert_eq!(header(&reply, "content-type"), Some("application/json"));
    assert_eq!(
        text(&reply),
        r#"{"Error":{"Code":"ExpiredToken","Message":"The security token included in the request is expired","Type":"Sender"},"RequestId":"id-1"}"#
    );
}

#[test]
fn an_unknown_action_is_a_fault_of_its_own_namespace() {
    let error = unknown_operation("Frobnicate", "2011-06-15", Protocol::STS);
    let reply = render(&error, Protocol::STS, "id-1", false);
    assert!(text(&reply).starts_with(&format!("<ErrorResponse xmlns=\"{FAULT_NAMESPACE}\">")));
    assert!(text(&reply).contains("Could not find operation Frobnicate for version 2011-06-15"));
}

#[test]
fn a_json_error_names_its_type_in_the_body() {
    let error = AwsError::bad_request("InvalidLayerPartException", "no")
        .member("uploadId", "u")
        .member("lastValidByteReceived", 41);
    let reply = render(&error, Protocol::Json11, "id-1", false);
    assert_eq!(header(&reply, "content-type"), Some("application/x-amz-json-1.1"));
    assert_eq!(
        text(&reply),
        r#"{"__type":"InvalidLayerPartException","message":"no","uploadId":"u","lastValidByteReceived":41}"#
    );
}

#[test]
fn access_denied_in_json_has_a_capital_message() {
    let reply = render(&access_denied("no", Protocol::Json11), Protocol::Json11, "id-1", false);
    assert_eq!(reply.status, 400);
    assert_eq!(text(&reply), r#"{"__type":"AccessDeniedException","Message":"no"}"#);
}

#[test]
fn a_rest_error_names_its_type_in_a_header() {
    let reply = render(&missing_token(Protocol::RestJson), Protocol::RestJson, "id-1", false);
    assert_eq!(reply.status, 403);
    assert_eq!(header(&reply, "x-amzn-errortype"), Some("MissingAuthenticationTokenException"));
    assert_eq!(text(&reply), r#"{"message":"Missing Authentication Token"}"#);
}

#[test]
fn each_condition_has_its_code_in_each_protocol() {
    let cases: serde_json::Value =
        serde_json::from_str(include_str!("../../cases/common_errors.json")).unwrap();
    let protocols = [("query", Protocol::STS), ("json", Protocol::Json11), ("rest", Protocol::RestJson)];
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let condition = case["condition"].as_str().unwrap();
        for (name, protocol) in protocols {
            let error = match condition {
                "missing token" => missing_token(protocol),
                "incomplete signature" => from_sigv4(&SigV4Error::Incomplete("x".to_owned()), protocol),
                "invalid token" => invalid_token(protocol),
                "signature mismatch" => from_sigv4(&SigV4Error::SignatureMismatch, protocol),
                "clock skew" => from_sigv4(&SigV4Error::Expired("x".to_owned()), protocol),
                "wrong scope" => from_sigv4(&SigV4Error::WrongScope("x".to_owned()), protocol),
                "expired session" => expired_token(protocol),
                "denied" => access_denied("x", protocol),
                "throttled" => throttled(protocol),
                "unknown operation" => unknown_operation("X", "1", protocol),
                "bad body" => malformed("x", protocol),
                other => panic!("unknown condition {other}"),
            };
            let got = json!([error.code, error.status]);
            assert_eq!(got, case[name], "{condition} in {name}");
        }
    }
}
