//! ECS, CodeDeploy and CloudWatch Logs over AWS JSON 1.1.

use landfall_wire::error::{AwsError, Protocol, Reply, json_reply, render, unknown_operation};
use serde_json::Value;

use super::ApiCall;
use super::ecr_json::log_refused;
use crate::authn::{self, Identified};
use crate::log::FailedCall;
use crate::world::World;
use crate::{codedeploy, ecs, logs};

/// The prefix of ECS's targets.
pub(super) const PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";
/// The prefix of CloudWatch Logs' targets.
pub(super) const LOGS: &str = "Logs_20140328.";

/// The prefix of CodeDeploy's targets.
pub(super) const CODEDEPLOY: &str = "CodeDeploy_20141006.";

/// One function for each service.
type Handle = fn(&World, &Identified, &str, &str, &Value) -> Result<Value, AwsError>;

/// Answers a call of ECS.
pub(super) fn handle(call: &ApiCall<'_>, target: &str) -> Reply {
    reply(call, "ecs", target.strip_prefix(PREFIX).unwrap_or(target), ecs::handle)
}

/// Answers a call of CodeDeploy.
pub(super) fn handle_codedeploy(call: &ApiCall<'_>, target: &str) -> Reply {
    let operation = target.strip_prefix(CODEDEPLOY).unwrap_or(target);
    reply(call, "codedeploy", operation, codedeploy::handle)
}

/// Answers a call of CloudWatch Logs.
pub(super) fn handle_logs(call: &ApiCall<'_>, target: &str) -> Reply {
    reply(call, "logs", target.strip_prefix(LOGS).unwrap_or(target), logs::handle)
}

fn reply(call: &ApiCall<'_>, service: &'static str, operation: &str, handle: Handle) -> Reply {
    let before = call.world.log.last();
    let is_old =
        call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-amz-json-1.0"));
    let answer = if is_old {
        Err(unknown_operation(operation, "", Protocol::Json11))
    } else {
        answer(call, service, operation, handle)
    };
    match answer {
        Ok(body) => json_reply(&body, Protocol::Json11, call.request_id),
        Err(error) => {
            let failed = FailedCall { request_id: call.request_id, service, operation };
            call.world.log.add_failure(call.world.clock.now(), before, failed, &error.code, &error.message);
            render(&error, Protocol::Json11, call.request_id, call.accept_json)
        }
    }
}

fn answer(
    call: &ApiCall<'_>,
    service: &'static str,
    operation: &str,
    handle: Handle,
) -> Result<Value, AwsError> {
    let identified = authn::identify(call.world, &call.signed, service, Protocol::Json11, call.connection)
        .map_err(|refused| log_refused(call, service, operation, refused))?;
    let input =
        if call.body.is_empty() { Ok(serde_json::json!({})) } else { landfall_wire::json::read(call.body) };
    let input = input.map_err(|error| {
        AwsError::new("SerializationException", 400, format!("the body is not JSON: {error}"))
    })?;
    handle(call.world, &identified, call.request_id, operation, &input)
}
