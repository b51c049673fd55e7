//! AWS JSON 1.1: `X-Amz-Target` names service and operation.

use landfall_wire::error::{self, AwsError, Protocol, Reply, render};

use super::ApiCall;
use crate::log::{Entry, FailedCall, Verdict};
use crate::{authn, ecr};

/// ECR's target prefix.
const ECR: &str = "AmazonEC2ContainerRegistry_V20150921.";

/// A protocol that ECR doesn't speak.
const OLD_JSON: &str = "application/x-amz-json-1.0";

/// Answers a JSON call.
pub(super) fn handle(call: &ApiCall<'_>, target: &str) -> Reply {
    let before = call.world.log.last();
    let Some(operation) = target.strip_prefix(ECR) else {
        return refuse(call, before, target, &error::unknown_operation(target, "", Protocol::Json11));
    };
    if call.header("content-type").is_some_and(|content_type| content_type.starts_with(OLD_JSON)) {
        let message = "application/x-amz-json-1.1 is expected";
        log_failure(call, before, operation, "UnknownOperationException", message);
        return error::wrong_json_version(call.request_id);
    }
    match answer(call, operation) {
        Ok(body) => Reply {
            status: 200,
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amzn-requestid", call.request_id.to_owned()),
            ],
            body: body.to_string().into_bytes(),
        },
        Err(error) => refuse(call, before, operation, &error),
    }
}

fn log_failure(call: &ApiCall<'_>, before: u64, operation: &str, code: &str, message: &str) {
    let failed = FailedCall { request_id: call.request_id, service: "ecr", operation };
    call.world.log.add_failure(call.world.clock.now(), before, failed, code, message);
}

fn refuse(call: &ApiCall<'_>, before: u64, operation: &str, error: &AwsError) -> Reply {
    log_failure(call, before, operation, &error.code, &error.message);
    render(error, Protocol::Json11, call.request_id, call.accept_json)
}

fn answer(call: &ApiCall<'_>, operation: &str) -> Result<serde_json::Value, AwsError> {
    let identified = authn::identify(call.world, &call.signed, "ecr", Protocol::Json11, call.connection)
        .map_err(|refused| log_refused(call, "ecr", operation, refused))?;
    let input =
        if call.body.is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_slice(call.body) };
    let input = input.map_err(|error| {
        AwsError::new("SerializationException", 400, format!("the body is not JSON: {error}"))
    })?;
    ecr::handle(call.world, &identified, call.request_id, operation, &input)
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
