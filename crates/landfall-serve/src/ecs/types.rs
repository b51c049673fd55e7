//! The types of what an input holds, at every depth, by AWS's own API model: nothing is kept that the clients, which
//! have the same model, could not read again. Limits and required members are the operations' own to tell.

use std::sync::OnceLock;

use landfall_wire::error::AwsError;
use landfall_wire::json::mismatch;
use serde_json::Value;

use crate::models::{Kind, Model};

/// How deep an input may be nested; the deepest of the model is half of it.
const DEPTH_MAX: usize = 16;

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    Model::once(&MODEL, include_str!("../../data/ecs.json"))
}

/// Checks the types of an operation's input.
///
/// # Errors
/// `SerializationException`.
pub(super) fn check(operation: &str, input: &Value) -> Result<(), AwsError> {
    let shape = model().operations.get(operation);
    shape.map_or(Ok(()), |shape| value(shape, input, DEPTH_MAX))
}

/// A value that is null is one that isn't given, and members that the model doesn't have are passed over.
fn value(name: &str, value: &Value, depth: usize) -> Result<(), AwsError> {
    let (Some(shape), false) = (model().shapes.get(name), value.is_null()) else { return Ok(()) };
    let inner = |name: Option<&str>, item: &Value| match (name, depth.checked_sub(1)) {
        (Some(name), Some(depth)) => self::value(name, item, depth),
        (Some(_), None) => Err(mismatch(item, "anything at that depth")),
        (None, _) => Ok(()),
    };
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(members)) => members
            .iter()
            .try_for_each(|(member, item)| inner(shape.members.get(member).and_then(Value::as_str), item)),
        (Kind::Map, Value::Object(members)) => {
            members.values().try_for_each(|item| inner(shape.member.as_deref(), item))
        }
        (Kind::List, Value::Array(items)) => {
            items.iter().try_for_each(|item| inner(shape.member.as_deref(), item))
        }
        (Kind::String | Kind::Blob, Value::String(_))
        | (Kind::Number | Kind::Timestamp, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
        (kind, _) => Err(mismatch(
            value,
            match kind {
                Kind::Structure | Kind::Map => "a Map",
                Kind::List => "a List",
                Kind::String | Kind::Blob => "a String",
                Kind::Integer => "an Integer",
                Kind::Number => "a Double",
                Kind::Timestamp => "a Timestamp",
                Kind::Boolean => "a Boolean",
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_of_the_model_is_understood() {
        // Patterns are not asked for here.
        model().check_whole(|_| true);
    }

    #[test]
    fn types_are_checked_at_every_depth() {
        let container = |container: Value| {
            check("RegisterTaskDefinition", &json!({ "family": "a", "containerDefinitions": [container] }))
        };
        let told = |wrong: Value| container(wrong).unwrap_err();
        assert_eq!(told(json!({ "command": "echo hi" })).code, "SerializationException");
        assert_eq!(
            told(json!({ "command": "echo hi" })).message,
            "STRING_VALUE can not be converted to a List"
        );
        for wrong in [
            json!({ "environment": { "PORT": "8080" } }),
            json!({ "environment": [{ "name": "PORT", "value": 8080 }] }),
            json!({ "essential": "maybe" }),
            json!({ "stopTimeout": "abc" }),
            json!({ "portMappings": [{ "containerPort": "8080" }] }),
            json!({ "healthCheck": "curl" }),
            json!({ "healthCheck": { "command": "curl" } }),
            json!({ "logConfiguration": { "options": { "a": 1 } } }),
            json!({ "memory": 1.5 }),
        ] {
            assert_eq!(told(wrong.clone()).code, "SerializationException", "{wrong}");
        }
        let right =
            json!({ "command": ["a"], "essential": null, "memory": 64, "unknown": [1], "stopTimeout": 3 });
        assert!(container(right).is_ok());
        assert!(check("UpdateService", &json!({ "service": "a", "desiredCount": 1 })).is_ok());
    }
}
