//! ECS over AWS JSON 1.1.

use landfall_wire::error::{AwsError, Protocol, Reply, json_reply, render, unknown_operation};

use super::ApiCall;
use super::ecr_json::log_refused;
use crate::log::FailedCall;
use crate::{authn, ecs};

/// The prefix of its targets.
pub(super) const PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";

/// Answers a call of ECS.
pub(super) fn handle(call: &ApiCall<'_>, target: &str) -> Reply {
    let before = call.world.log.last();
    let operation = target.strip_prefix(PREFIX).unwrap_or(target);
    let is_old =
        call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-amz-json-1.0"));
    let answer = if is_old {
        Err(unknown_operation(operation, "", Protocol::Json11))
    } else {
        answer(call, operation)
    };
    match answer {
        Ok(body) => json_reply(&body, Protocol::Json11, call.request_id),
        Err(error) => {
            let failed = FailedCall { request_id: call.request_id, service: "ecs", operation };
            call.world.log.add_failure(call.world.clock.now(), before, failed, &error.code, &error.message);
            render(&error, Protocol::Json11, call.request_id, call.accept_json)
        }
    }
}

fn answer(call: &ApiCall<'_>, operation: &str) -> Result<serde_json::Value, AwsError> {
    let identified = authn::identify(call.world, &call.signed, "ecs", Protocol::Json11, call.connection)
        .map_err(|refused| log_refused(call, "ecs", operation, refused))?;
    let input =
        if call.body.is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_slice(call.body) };
    let input = input.map_err(|error| {
        AwsError::new("SerializationException", 400, format!("the body is not JSON: {error}"))
    })?;
    ecs::handle(call.world, &identified, call.request_id, operation, &input)
}
