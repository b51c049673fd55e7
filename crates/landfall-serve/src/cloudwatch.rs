//! CloudWatch, as much of it as a deployment needs that watches alarms: metric alarms, whose state is what somebody sets.
//! There are no metrics here, so none of them changes by itself.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Operations.html>

mod alarms;
mod tags;

use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use crate::authn::Identified;
use crate::called::{self, Called, Fault, Keys, Operations, seconds};
use crate::world::World;

/// The namespace of its answers in XML.
pub const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// Members of inputs and answers that are moments, in seconds.
pub const MOMENTS: [&str; 3] =
    ["AlarmConfigurationUpdatedTimestamp", "StateTransitionedTimestamp", "StateUpdatedTimestamp"];

/// Answers one operation, in the protocol that it came by.
///
/// # Errors
/// CloudWatch's error: of the input, of the decision, or of the operation.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
    protocol: Protocol,
) -> Result<Value, AwsError> {
    let operations: [Operations; 2] = [alarms::answer, tags::answer];
    let service = called::Service { protocol, missing, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
}

/// A member that has to be there, or is not what it has to be.
fn missing(member: &str, constraint: &str) -> AwsError {
    let mut name = member.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    AwsError::validation(format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: {constraint}"
    ))
}

fn no_alarm(name: &str) -> AwsError {
    AwsError::new("ResourceNotFound", 404, format!("Unknown alarm: {name}"))
}
