//! CloudWatch Logs, as far as tasks and the pipelines that deploy them need it: groups with their retention and tags,
//! streams, and events that are written, read and looked for.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html>

mod events;
mod filter;
mod groups;
mod shapes;
mod streams;
mod tags;
pub(crate) mod writer;

use std::sync::Arc;

use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use crate::authn::Identified;
use crate::called::{self, Called, Fault, Keys, Operations};
use crate::page::Page;
use crate::store::Writing;
use crate::store::ecs::{Place, Tags};
use crate::store::logs::{LogGroup, group_arn, stream_arn};
use crate::tags::prefixed_keys;
use crate::world::World;

/// Answers one operation.
///
/// # Errors
/// CloudWatch Logs' error: of the input, of the decision, or of the operation.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    shapes::check(operation, input)?;
    let operations: [Operations; 4] = [groups::answer, streams::answer, events::answer, tags::answer];
    let service = called::Service { protocol: Protocol::Json11, missing: broken, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
}

/// A member that breaks a constraint, where its value is not repeated.
fn broken(member: &str, constraint: &str) -> AwsError {
    invalid(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidParameterException", message)
}

fn exists(what: &str) -> AwsError {
    AwsError::bad_request("ResourceAlreadyExistsException", format!("The specified {what} already exists"))
}

fn missing(what: &str) -> AwsError {
    AwsError::bad_request("ResourceNotFoundException", format!("The specified {what} does not exist."))
}

fn bad_token() -> AwsError {
    invalid("The specified nextToken is invalid.")
}

/// The page that a call asks for.
fn page(call: &Called<'_>, size_max: i64) -> Result<Page, AwsError> {
    let size = call.input.integer("limit")?.unwrap_or(size_max);
    Page::at(call.input.text("nextToken")?, usize::try_from(size).unwrap_or(1)).ok_or_else(bad_token)
}

/// A group that a call names, whether or not it is there.
struct Named {
    name: String,
    known: Option<Arc<LogGroup>>,
    /// The name is an ARN's of another account or region: what is there is not ours to say.
    is_elsewhere: bool,
}

impl Named {
    fn of(call: &Called<'_>, name: &str) -> Self {
        let known = call.world.store.get::<LogGroup>(&call.place.key(&[name]));
        Self { name: name.to_owned(), known, is_elsewhere: false }
    }

    /// The group of `logGroupName`.
    fn by_name(call: &Called<'_>) -> Result<Self, AwsError> {
        Ok(Self::of(call, call.input.required_text("logGroupName")?))
    }

    /// The group of `logGroupIdentifier`: its name, or its ARN.
    fn by_identifier(call: &Called<'_>, identifier: &str) -> Self {
        let Some((_, rest)) = identifier.split_once(":log-group:") else { return Self::of(call, identifier) };
        let name = rest.strip_suffix(":*").unwrap_or(rest);
        if group_arn(&call.place, name) == identifier.strip_suffix(":*").unwrap_or(identifier) {
            return Self::of(call, name);
        }
        Self { name: name.to_owned(), known: None, is_elsewhere: true }
    }

    /// The group of either; one of them has to be there, and not both.
    fn by_either(call: &Called<'_>) -> Result<Self, AwsError> {
        match (call.input.text("logGroupName")?, call.input.text("logGroupIdentifier")?) {
            (Some(_), Some(_)) => {
                Err(invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters."))
            }
            (None, Some(identifier)) => Ok(Self::by_identifier(call, identifier)),
            (Some(name), None) => Ok(Self::of(call, name)),
            (None, None) => Self::by_name(call),
        }
    }

    /// What calls of the group are decided on (observed: the ARN of a stream without a name).
    fn resource(&self, place: &Place) -> String {
        stream_arn(place, &self.name, "")
    }

    /// `aws:ResourceTag/…`.
    fn keys(&self) -> Keys {
        self.known.as_ref().map(|group| resource_keys(&group.tags)).unwrap_or_default()
    }

    fn there(&self) -> Result<&Arc<LogGroup>, AwsError> {
        self.known.as_ref().filter(|_| !self.is_elsewhere).ok_or_else(|| missing("log group"))
    }

    /// Changes the group, which has to be there still.
    fn change(
        &self,
        call: &Called<'_>,
        writing: &mut Writing<'_>,
        with: impl FnOnce(&mut LogGroup) -> Result<(), AwsError>,
    ) -> Result<(), Fault> {
        let known = writing.get::<LogGroup>(&call.place.key(&[&self.name]));
        let mut group = (*known.ok_or_else(|| missing("log group"))?).clone();
        with(&mut group)?;
        writing.put(group);
        Ok(())
    }
}

fn resource_keys(tags: &Tags) -> Keys {
    prefixed_keys(tags, &["aws:ResourceTag"])
}
