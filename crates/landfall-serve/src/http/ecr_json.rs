//! AWS JSON 1.1: `X-Amz-Target` names service and operation.

use landfall_wire::error::{self, AwsError, Protocol, Reply, render};
use landfall_wire::sigv4::SigV4Error;

use super::ApiCall;
use crate::ecr::Face;
use crate::log::{Entry, FailedCall, Verdict};
use crate::{authn, ecr};

/// The target prefixes of ECR and ECR Public, and the names of the services in signatures and in the log.
const SERVICES: &[(&str, Face, &str)] = &[
    ("AmazonEC2ContainerRegistry_V20150921.", Face::Private, "ecr"),
    ("SpencerFrontendService.", Face::Public, "ecr-public"),
];

/// A protocol that ECR doesn't speak.
const OLD_JSON: &str = "application/x-amz-json-1.0";

/// Answers a JSON call.
pub(super) async fn handle(call: &ApiCall<'_>, target: &str) -> Reply {
    let before = call.world.log.last();
    let found = SERVICES.iter().find_map(|(prefix, face, service)| {
        target.strip_prefix(prefix).map(|operation| Target { face: *face, service, operation })
    });
    let Some(target) = found else {
        if let Some(refused) = super::elsewhere::handle(call, None) {
            return refused;
        }
        let unknown = Target { face: Face::Private, service: "ecr", operation: target };
        return refuse(call, before, unknown, &error::unknown_operation(target, "", Protocol::Json11));
    };
    if call.header("content-type").is_some_and(|content_type| content_type.starts_with(OLD_JSON)) {
        let message = "application/x-amz-json-1.1 is expected";
        log_failure(call, before, target, &AwsError::bad_request("UnknownOperationException", message));
        return error::wrong_json_version(call.request_id);
    }
    match answer(call, target).await {
        Ok(body) => Reply {
            status: 200,
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amzn-requestid", call.request_id.to_owned()),
            ],
            body: body.into_bytes(),
        },
        Err(error) => refuse(call, before, target, &error),
    }
}

/// What `X-Amz-Target` names.
#[derive(Clone, Copy)]
struct Target<'a> {
    face: Face,
    service: &'static str,
    operation: &'a str,
}

/// The largest body of an operation, in bytes: a layer part of 20 MiB in base64, a manifest of 4 MiB with
/// every character escaped, or what any other call may have.
pub(super) fn body_bytes_max(target: &str) -> Option<usize> {
    let (_, operation) = target.split_once('.')?;
    if target.starts_with(super::ecs_json::LOGS) {
        // A mebibyte of messages, with every character escaped, and a moment beside each.
        return (operation == "PutLogEvents").then_some(8 << 20);
    }
    let is_ours = SERVICES.iter().any(|(prefix, ..)| target.starts_with(prefix));
    match operation {
        "UploadLayerPart" if is_ours => Some(landfall_wire::json::BODY_BYTES_MAX),
        "PutImage" if is_ours => Some(10 << 20),
        _ => None,
    }
}

fn log_failure(call: &ApiCall<'_>, before: u64, target: Target<'_>, error: &AwsError) {
    let Target { service, operation, .. } = target;
    let failed = FailedCall { request_id: call.request_id, service, operation };
    call.world.log.add_error(call.world.clock.now(), before, failed, error);
}

fn refuse(call: &ApiCall<'_>, before: u64, target: Target<'_>, error: &AwsError) -> Reply {
    log_failure(call, before, target, error);
    render(error, Protocol::Json11, call.request_id, call.accept_json)
}

async fn answer(call: &ApiCall<'_>, target: Target<'_>) -> Result<ecr::Reply, AwsError> {
    let Target { face, service, operation } = target;
    let identified = authn::identify(call.world, &call.signed, service, Protocol::Json11, call.connection)
        .map_err(|refused| log_refused(call, service, operation, refused))?;
    check_region(face, &identified.region)?;
    let input =
        if call.body.is_empty() { Ok(serde_json::json!({})) } else { landfall_wire::json::read(call.body) };
    let input = input.map_err(|error| {
        AwsError::new("SerializationException", 400, format!("the body is not JSON: {error}"))
    })?;
    ecr::handle(call.world, &identified, call.request_id, (face, operation), input).await
}

/// ECR Public has endpoints in two regions; elsewhere its name leads nowhere.
/// <https://docs.aws.amazon.com/general/latest/gr/ecr-public.html>
fn check_region(face: Face, region: &str) -> Result<(), AwsError> {
    if face == Face::Private || matches!(region, "us-east-1" | "us-west-2") {
        return Ok(());
    }
    let message = format!(
        "Credential should be scoped to a valid region. ECR Public is in us-east-1, not in {region}."
    );
    Err(error::from_sigv4(&SigV4Error::WrongScope(message), Protocol::Json11))
}

/// Writes a call that was refused for its credentials to the log.
pub(super) fn log_refused(
    call: &ApiCall<'_>,
    service: &'static str,
    operation: &str,
    refused: authn::Refused,
) -> AwsError {
    let finding = authn::explain(&refused);
    call.world.log.add(
        call.world.clock.now(),
        Entry {
            request_id: call.request_id.to_owned(),
            service,
            operation: operation.to_owned(),
            caller: refused.caller,
            action: None,
            resource: None,
            verdict: Verdict::refused(&refused.error),
            decision: None,
            finding: Some(finding),
            claims: None,
        },
    );
    refused.error
}
