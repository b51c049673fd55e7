//! What the input of each operation may be: types, limits and patterns of AWS's own API model, checked before an
//! operation sees it. All that is wrong is told at once, as AWS does it.

use std::sync::OnceLock;

use landfall_wire::error::{AwsError, Protocol, malformed};
use serde_json::{Map, Value};

use super::invalid;
use crate::iam::checks::is_tag_text;
use crate::models::{Kind, Model, Shape};

/// How deep an input may be nested; the deepest of the model is 4.
const DEPTH_MAX: usize = 8;
/// The longest value that a refusal repeats, in bytes.
const REPEATED_BYTES_MAX: usize = 2_048;
/// What the patterns of tags have: letters of every language, which the patterns' library has no table of.
const LETTERS: &str = r"\p{L}";

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    Model::once(&MODEL, include_str!("../../data/logs.json"))
}

/// Checks the input of an operation.
///
/// # Errors
/// `SerializationException` for a wrong type, `InvalidParameterException` for broken constraints.
pub(super) fn check(operation: &str, input: &Value) -> Result<(), AwsError> {
    let model = model();
    let Some(shape) = model.operations.get(operation) else { return Ok(()) };
    let mut checker = Checker { model, broken: Vec::new() };
    checker.value(shape, input, "", DEPTH_MAX)?;
    let noun = match checker.broken.len() {
        0 => return Ok(()),
        1 => "1 validation error".to_owned(),
        count => format!("{count} validation errors"),
    };
    Err(invalid(format!("{noun} detected: {}", checker.broken.join("; "))))
}

struct Checker {
    model: &'static Model,
    /// `Value 'x' at 'logGroupName' failed to satisfy constraint: …`.
    broken: Vec<String>,
}

impl Checker {
    fn value(&mut self, shape: &str, value: &Value, place: &str, depth: usize) -> Result<(), AwsError> {
        let model = self.model;
        let Some(shape) = model.shapes.get(shape) else { return Ok(()) };
        let Some(depth) = depth.checked_sub(1) else { return Err(unreadable()) };
        match (shape.kind, value) {
            (Kind::Structure, Value::Object(members)) => self.structure(shape, members, place, depth),
            (Kind::Map, Value::Object(members)) => {
                self.length(shape, members.len(), place);
                members.iter().try_for_each(|(key, value)| {
                    self.member(shape.key.as_deref(), &Value::from(key.as_str()), place, depth)?;
                    self.member(shape.member.as_deref(), value, place, depth)
                })
            }
            (Kind::List, Value::Array(items)) => {
                self.length(shape, items.len(), place);
                items.iter().enumerate().try_for_each(|(at, item)| {
                    let within = match item {
                        Value::Object(_) => format!("{place}.{}.member", at + 1),
                        _ => place.to_owned(),
                    };
                    self.member(shape.member.as_deref(), item, &within, depth)
                })
            }
            (Kind::String, Value::String(text)) => {
                self.text(shape, text, place);
                Ok(())
            }
            (Kind::Integer, Value::Number(number)) => {
                let Some(number) = number.as_i64() else { return Err(unreadable()) };
                if let Some(limit) = shape.broken_limit(number) {
                    self.fail(Some(&number.to_string()), place, &format!("Member must have value {limit}"));
                }
                Ok(())
            }
            (Kind::Boolean, Value::Bool(_)) | (Kind::Blob, Value::String(_)) => Ok(()),
            _ => Err(unreadable()),
        }
    }

    fn member(
        &mut self,
        shape: Option<&str>,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Result<(), AwsError> {
        shape.map_or(Ok(()), |shape| self.value(shape, value, place, depth))
    }

    fn structure(
        &mut self,
        shape: &'static Shape,
        members: &Map<String, Value>,
        place: &str,
        depth: usize,
    ) -> Result<(), AwsError> {
        for (name, of) in &shape.members {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            match members.get(name).filter(|value| !value.is_null()) {
                Some(value) => self.member(of.as_str(), value, &place, depth)?,
                None if shape.required.contains(name) => {
                    self.fail(None, &place, "Member must not be null");
                }
                None => {}
            }
        }
        Ok(())
    }

    fn length(&mut self, shape: &Shape, length: usize, place: &str) {
        if let Some(limit) = shape.broken_limit(i64::try_from(length).unwrap_or(i64::MAX)) {
            let constraint = format!("Member must have length {limit}");
            self.broken.push(format!("Value at '{place}' failed to satisfy constraint: {constraint}"));
        }
    }

    fn text(&mut self, shape: &Shape, text: &str, place: &str) {
        let repeated = if text.len() <= REPEATED_BYTES_MAX { text } else { "…" };
        if let Some(pattern) = shape.pattern.as_deref()
            && !is_of(pattern, shape, text)
        {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.fail(Some(repeated), place, &constraint);
        }
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(limit) = shape.broken_limit(length) {
            self.fail(Some(repeated), place, &format!("Member must have length {limit}"));
        }
        if let Some(values) = &shape.values
            && !values.iter().any(|value| value == text)
        {
            let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            self.fail(Some(repeated), place, &constraint);
        }
    }

    fn fail(&mut self, value: Option<&str>, place: &str, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        self.broken.push(format!("Value {value} at '{place}' failed to satisfy constraint: {constraint}"));
    }
}

/// Whether a text is one of a pattern.
fn is_of(pattern: &str, shape: &Shape, text: &str) -> bool {
    // No name has characters that keys of records are made with.
    !text.chars().any(char::is_control)
        && if pattern.contains(LETTERS) { is_tag_text(text) } else { shape.matches(text) != Some(false) }
}

fn unreadable() -> AwsError {
    malformed("Unable to parse request", Protocol::Json11)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pattern_and_every_name_of_the_model_is_understood() {
        model().check_whole(|pattern| pattern.contains(LETTERS));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let told = |operation: &str, input: Value| check(operation, &input).unwrap_err().message;
        assert_eq!(
            told("CreateLogGroup", json!({})),
            "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null"
        );
        // In this order (captured).
        assert_eq!(
            told("DescribeLogGroups", json!({ "logGroupNamePrefix": "" })),
            r"2 validation errors detected: Value '' at 'logGroupNamePrefix' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+; Value '' at 'logGroupNamePrefix' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
        let long = "a".repeat(513);
        assert!(
            told("CreateLogGroup", json!({ "logGroupName": long })).ends_with("less than or equal to 512")
        );
        assert!(told("DescribeLogGroups", json!({ "limit": 51 })).contains("Value '51' at 'limit'"));
        let stream = json!({ "logGroupName": "a", "logStreamName": "a:b" });
        assert!(told("CreateLogStream", stream).contains("pattern: [^:*]*"));
        let events = json!({ "logGroupName": "a", "logStreamName": "a", "logEvents": [{ "timestamp": -1 }] });
        assert!(told("PutLogEvents", events).starts_with("2 validation errors detected"));
        let tags = json!({ "resourceArn": "a", "tags": { "a!": "b" } });
        assert!(told("TagResource", tags).contains("Value 'a!' at 'tags'"));
        assert!(check("TagResource", &json!({ "resourceArn": "a", "tags": { "é": "b c" } })).is_ok());
        let wrong = check("CreateLogGroup", &json!({ "logGroupName": 1 })).unwrap_err();
        assert_eq!(wrong.code, "SerializationException");
    }
}
