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

/// A value of another type than AWS's model has at its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Misfit {
    /// The way to it, from the outside.
    pub path: Vec<Part>,
    /// What is expected there, `a List`.
    pub expected: &'static str,
    /// What AWS says of it; it doesn't say where.
    pub error: Box<AwsError>,
}

/// A part of the way to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// A member of an object, or a key of a map.
    Member(String),
    /// An item of a list, from 0.
    Item(usize),
}

impl Misfit {
    /// `containerDefinitions[0].command`.
    pub fn place(&self) -> String {
        let mut place = String::new();
        for part in &self.path {
            match part {
                Part::Member(name) if place.is_empty() => place.push_str(name),
                Part::Member(name) => place.push_str(&format!(".{name}")),
                Part::Item(at) => place.push_str(&format!("[{at}]")),
            }
        }
        place
    }

    fn in_member(mut self, name: &str) -> Self {
        self.path.insert(0, Part::Member(name.to_owned()));
        self
    }

    fn in_item(mut self, at: usize) -> Self {
        self.path.insert(0, Part::Item(at));
        self
    }
}

/// Checks the types of an operation's input.
///
/// # Errors
/// `SerializationException`, with its place for this side alone.
pub(super) fn check(operation: &str, input: &Value) -> Result<(), AwsError> {
    misfit(operation, input).map_or(Ok(()), |misfit| {
        let note = format!("it is about `{}`, which is to be {}", misfit.place(), misfit.expected);
        Err(misfit.error.note(note))
    })
}

/// The first value of an operation's input that has another type than AWS's model.
pub fn misfit(operation: &str, input: &Value) -> Option<Misfit> {
    let shape = model().operations.get(operation)?;
    value(shape, input, DEPTH_MAX).err()
}

/// A value that is null is one that isn't given, and members that the model doesn't have are passed over.
fn value(name: &str, value: &Value, depth: usize) -> Result<(), Misfit> {
    let (Some(shape), false) = (model().shapes.get(name), value.is_null()) else { return Ok(()) };
    let wrong = |item: &Value, expected: &'static str| Misfit {
        path: Vec::new(),
        expected,
        error: Box::new(mismatch(item, expected)),
    };
    let inner = |name: Option<&str>, item: &Value| match (name, depth.checked_sub(1)) {
        (Some(name), Some(depth)) => self::value(name, item, depth),
        (Some(_), None) => Err(wrong(item, "anything at that depth")),
        (None, _) => Ok(()),
    };
    match (shape.kind, value) {
        (Kind::Structure, Value::Object(members)) => members.iter().try_for_each(|(member, item)| {
            let shape = shape.members.get(member).and_then(Value::as_str);
            inner(shape, item).map_err(|misfit| misfit.in_member(member))
        }),
        (Kind::Map, Value::Object(members)) => members.iter().try_for_each(|(key, item)| {
            inner(shape.member.as_deref(), item).map_err(|misfit| misfit.in_member(key))
        }),
        (Kind::List, Value::Array(items)) => items.iter().enumerate().try_for_each(|(at, item)| {
            inner(shape.member.as_deref(), item).map_err(|misfit| misfit.in_item(at))
        }),
        (Kind::String | Kind::Blob, Value::String(_))
        | (Kind::Number | Kind::Timestamp, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(()),
        (kind, _) => Err(wrong(
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
        let place = |wrong: Value| misfit("RegisterTaskDefinition", &wrong).unwrap().place();
        let variable =
            json!({ "environment": [{ "name": "A", "value": "1" }, { "name": "PORT", "value": 8080 }] });
        assert_eq!(
            place(json!({ "containerDefinitions": [{}, variable] })),
            "containerDefinitions[1].environment[1].value"
        );
        assert_eq!(place(json!({ "tags": {} })), "tags");
        let right =
            json!({ "command": ["a"], "essential": null, "memory": 64, "unknown": [1], "stopTimeout": 3 });
        assert!(container(right).is_ok());
        assert!(check("UpdateService", &json!({ "service": "a", "desiredCount": 1 })).is_ok());
    }
}
