//! AWS JSON 1.1: `X-Amz-Target` names service and operation.

use landfall_wire::error::{self, AwsError, Protocol, Reply, render};

use super::ApiCall;
use crate::log::{Entry, Verdict};
use crate::{authn, ecr};

/// ECR's target prefix.
const ECR: &str = "AmazonEC2ContainerRegistry_V20150921.";

/// Answers a JSON call.
pub(super) fn handle(call: &ApiCall<'_>, target: &str) -> Reply {
    let Some(operation) = target.strip_prefix(ECR) else {
        return refuse(call, &error::unknown_operation(target, "", Protocol::Json11));
    };
    match answer(call, operation) {
        Ok(body) => Reply {
            status: 200,
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".to_owned()),
                ("x-amzn-requestid", call.request_id.to_owned()),
            ],
            body: body.to_string().into_bytes(),
        },
        Err(error) => refuse(call, &error),
    }
}

fn refuse(call: &ApiCall<'_>, error: &AwsError) -> Reply {
    render(error, Protocol::Json11, call.request_id, call.accept_json)
}

fn answer(call: &ApiCall<'_>, operation: &str) -> Result<serde_json::Value, AwsError> {
    let identified = authn::identify(call.world, &call.signed, "ecr", Protocol::Json11)
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
            verdict: Verdict::Refused {
                code: refused.error.code.to_string(),
                message: refused.error.message.clone(),
            },
            decision: None,
            finding: Some(finding),
            claims: None,
        },
    );
    refused.error
}
