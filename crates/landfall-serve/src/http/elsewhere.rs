//! Calls of services that are not here. The credential scope of the signature says which service was meant; the
//! refusal says so in the way that this service's clients can read.

use landfall_wire::error::{AwsError, Protocol, Reply, render};
use serde_json::json;

use super::ApiCall;
use crate::log::FailedCall;

/// The services that are here, by their names in signatures.
const HERE: [&str; 10] =
    ["codedeploy", "ecr", "ecr-public", "ecs", "eks", "eks-auth", "iam", "logs", "monitoring", "sts"];

/// The service that a call is signed for, when it is none of those that are here.
fn service<'a>(call: &ApiCall<'a>) -> Option<&'a str> {
    let scope = |text: &'a str, name: &str| text.split_once(name).map(|(_, scope)| scope);
    let headers = call.signed.headers;
    let authorization = headers.iter().find(|(name, _)| *name == "authorization").map(|(_, value)| *value);
    let in_header = authorization.and_then(|value| scope(value, "Credential=")?.split('/').nth(3));
    let in_query = || scope(call.signed.query, "X-Amz-Credential=")?.split("%2F").nth(3);
    in_header.or_else(in_query).filter(|service| !HERE.contains(service))
}

/// Refuses a call of a service that is not here; none when it is signed for one that is, or not at all.
pub(super) fn handle(call: &ApiCall<'_>, action: Option<&str>) -> Option<Reply> {
    let service = service(call)?;
    let target = call.header("x-amz-target");
    let by_path = format!("{} {}", call.signed.method, call.signed.path);
    let named = target.map(|target| target.rsplit_once('.').map_or(target, |(_, operation)| operation));
    let in_path = call.signed.path.split_once("/operation/").map(|(_, operation)| operation);
    let operation = named.or(action).or(in_path).unwrap_or(&by_path);
    let message = format!(
        "this local side does not have the service {service}, which was asked for the operation {operation}"
    );
    let unknown = |status| AwsError::new("UnknownOperationException", status, message.clone());
    let is_old =
        call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-amz-json-1.0"));
    let (error, protocol) = if call.header("smithy-protocol") == Some("rpc-v2-cbor") {
        (unknown(400), None)
    } else if target.is_some() {
        (unknown(400), Some(if is_old { Protocol::Json10 } else { Protocol::Json11 }))
    } else if action.is_some() || matches!(service, "route53" | "cloudfront") {
        (AwsError::new("InvalidAction", 400, message.clone()), Some(Protocol::STS))
    } else if service.starts_with("s3") {
        (AwsError::new("NotImplemented", 501, message.clone()), None)
    } else {
        (unknown(404), Some(Protocol::RestJson))
    };
    let failed = FailedCall { request_id: call.request_id, service: "aws", operation };
    let log = &call.world.log;
    log.add_failure(call.world.clock.now(), log.last(), failed, &error.code, &error.message);
    Some(match protocol {
        Some(Protocol::Query { .. }) if service == "ec2" => ec2(&error, call.request_id),
        Some(protocol) => render(&error, protocol, call.request_id, call.accept_json),
        None if service.starts_with("s3") => s3(&error, call.request_id),
        None => cbor(&error, call.request_id),
    })
}

fn xml(error: &AwsError, body: String) -> Reply {
    let headers = vec![("content-type", "text/xml".to_owned())];
    Reply { status: error.status, headers, body: body.into_bytes() }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn s3(error: &AwsError, id: &str) -> Reply {
    let (code, message) = (&error.code, escaped(&error.message));
    xml(
        error,
        format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{id}</RequestId></Error>"),
    )
}

/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-error-handling.html>
fn ec2(error: &AwsError, id: &str) -> Reply {
    let (code, message) = (&error.code, escaped(&error.message));
    xml(
        error,
        format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{id}</RequestID></Response>"
        ),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>
fn cbor(error: &AwsError, id: &str) -> Reply {
    let body = json!({ "__type": error.code, "message": error.message });
    let body = landfall_wire::cbor::encode(&body, &[]);
    let headers = vec![
        ("content-type", "application/cbor".to_owned()),
        ("smithy-protocol", "rpc-v2-cbor".to_owned()),
        ("x-amzn-requestid", id.to_owned()),
    ];
    Reply { status: error.status, headers, body }
}
