//! CloudWatch Logs, as much of it as it takes to read what a task has written: `GetLogEvents`.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html>

use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{Document, Input, invalid_parameter};
use serde_json::{Value, json};

use crate::authn::Identified;
use crate::authz::{self, Asked, Permit, log_calls};
use crate::ecs::runner::{LogLine, log_of_stream};
use crate::store::ecs::Place;
use crate::world::World;

/// Events of one answer.
const EVENTS_MAX: usize = 10_000;

/// Answers one operation.
///
/// # Errors
/// CloudWatch Logs' error.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    if operation != "GetLogEvents" {
        let message = format!("this local side does not have the operation {operation} of CloudWatch Logs");
        return Err(AwsError { message, ..unknown_operation(operation, "", Protocol::Json11) });
    }
    let document = Document::parse(input.to_string().as_bytes(), invalid_parameter)?;
    get_log_events(world, identified, request_id, document.input())
}

fn get_log_events(
    world: &World,
    identified: &Identified,
    request_id: &str,
    input: Input<'_>,
) -> Result<Value, AwsError> {
    let account = identified.caller.account().ok_or_else(|| internal(Protocol::Json11))?;
    let place = Place { account, region: identified.region.clone() };
    let by_arn = input.text("logGroupIdentifier")?.map(|arn| {
        let name = arn.split_once(":log-group:").map_or(arn, |(_, name)| name);
        name.trim_end_matches(":*")
    });
    let group = match by_arn {
        Some(name) => name,
        None => input.required_text("logGroupName")?,
    };
    let stream = input.required_text("logStreamName")?;
    let arn = place.arn("").replace(":ecs:", ":logs:");
    let asked = Asked {
        caller: &identified.caller,
        region: &identified.region,
        resource: format!("{arn}log-group:{group}:log-stream:{stream}"),
        resource_account: place.account.to_string(),
        resource_policy: None,
        keys: identified.connection.keys(),
        request_id,
    };
    let _: Permit<log_calls::GetLogEvents> = authz::authorize(world, &asked, Protocol::Json11)?;
    let lines = log_of_stream(world, &place, group, stream).ok_or_else(|| {
        AwsError::bad_request("ResourceNotFoundException", "The specified log stream does not exist.")
    })?;
    answer(input, &lines)
}

/// A page of the lines: forward from a token or from the head, else the last ones.
fn answer(input: Input<'_>, lines: &[LogLine]) -> Result<Value, AwsError> {
    let limit = match input.integer("limit")? {
        None => EVENTS_MAX,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=EVENTS_MAX).contains(limit))
            .ok_or_else(|| invalid_parameter("limit", &format!("must be between 1 and {EVENTS_MAX}")))?,
    };
    let (after, before) = (input.integer("startTime")?, input.integer("endTime")?);
    let wanted: Vec<&LogLine> = lines
        .iter()
        .filter(|line| after.is_none_or(|after| line.at_ms >= after))
        .filter(|line| before.is_none_or(|before| line.at_ms < before))
        .collect();
    let is_forward = input.boolean("startFromHead")?.unwrap_or(false);
    let (start, end) = match input.text("nextToken")? {
        Some(token) => {
            let (direction, at) = token.split_once('/').unwrap_or_default();
            let at: usize = at.parse().map_err(|_| {
                AwsError::bad_request("InvalidParameterException", "The specified nextToken is invalid.")
            })?;
            let at = at.min(wanted.len());
            if direction == "b" {
                (at.saturating_sub(limit), at)
            } else {
                (at, wanted.len().min(at.saturating_add(limit)))
            }
        }
        None if is_forward => (0, wanted.len().min(limit)),
        None => (wanted.len().saturating_sub(limit), wanted.len()),
    };
    let events: Vec<Value> = wanted
        .get(start..end)
        .unwrap_or_default()
        .iter()
        .map(|line| json!({ "timestamp": line.at_ms, "message": line.text, "ingestionTime": line.at_ms }))
        .collect();
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{end}"),
        "nextBackwardToken": format!("b/{start}"),
    }))
}
