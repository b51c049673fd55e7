//! What the input of each operation may be: types, limits and patterns of AWS's own API models, checked
//! before an operation sees its input.

use std::sync::OnceLock;

use landfall_wire::error::{AwsError, Protocol, malformed};
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Map, Value};

use super::Face;
use crate::models::{Kind, Model, PATTERN_CHARS_MAX, Shape};

/// How deep an input may be nested; the deepest of the models is 5.
const DEPTH_MAX: usize = 8;

fn model(face: Face) -> &'static Model {
    static PRIVATE: OnceLock<Model> = OnceLock::new();
    static PUBLIC: OnceLock<Model> = OnceLock::new();
    let (cell, text) = match face {
        Face::Private => (&PRIVATE, include_str!("../../data/ecr.json")),
        Face::Public => (&PUBLIC, include_str!("../../data/ecr-public.json")),
    };
    Model::once(cell, text)
}

/// Checks the input of an operation.
///
/// # Errors
/// `SerializationException` for a wrong type, `InvalidParameterException` for a broken constraint.
pub(super) fn check(face: Face, operation: &str, input: &Value) -> Result<(), AwsError> {
    let model = model(face);
    match model.operations.get(operation) {
        Some(shape) => model.value(shape, input, "", DEPTH_MAX),
        None => Ok(()),
    }
}

impl Model {
    fn value(&self, shape: &str, value: &Value, place: &str, depth: usize) -> Result<(), AwsError> {
        let Some(shape) = self.shapes.get(shape) else { return Ok(()) };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(malformed("Unable to parse request", Protocol::Json11));
        };
        match shape.kind {
            Kind::Structure => match value {
                Value::Object(members) => self.structure(shape, members, place, depth),
                _ => Err(mismatch(value, "a Map")),
            },
            Kind::List => match value {
                Value::Array(items) => self.list(shape, items, place, depth),
                _ => Err(mismatch(value, "a List")),
            },
            // ECR's inputs have none.
            Kind::Map | Kind::Number | Kind::Timestamp => Ok(()),
            Kind::String => match value {
                Value::String(text) => shape.text(text, place),
                _ => Err(mismatch(value, "a String")),
            },
            Kind::Blob if value.is_string() => Ok(()),
            Kind::Blob => Err(mismatch(value, "a Blob")),
            Kind::Integer => match value.as_i64() {
                Some(number) => shape.limits(number, "value", place),
                None => Err(mismatch(value, "an Integer")),
            },
            Kind::Boolean if value.is_boolean() => Ok(()),
            Kind::Boolean => Err(mismatch(value, "a Boolean")),
        }
    }

    fn structure(
        &self,
        shape: &Shape,
        members: &Map<String, Value>,
        place: &str,
        depth: usize,
    ) -> Result<(), AwsError> {
        let given = |name: &str| members.get(name).filter(|value| !value.is_null());
        let within = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        for name in &shape.required {
            if given(name).is_none() {
                return Err(ecr_invalid_parameter(&within(name), "Member must not be null"));
            }
        }
        for (name, of) in &shape.members {
            if let (Some(value), Some(of)) = (given(name), of.as_str()) {
                self.value(of, value, &within(name), depth)?;
            }
        }
        Ok(())
    }

    fn list(&self, shape: &Shape, items: &[Value], place: &str, depth: usize) -> Result<(), AwsError> {
        shape.limits(i64::try_from(items.len()).unwrap_or(i64::MAX), "length", place)?;
        let Some(of) = &shape.member else { return Ok(()) };
        // An item is told by the name of its list.
        items.iter().try_for_each(|item| self.value(of, item, place, depth))
    }
}

impl Shape {
    fn text(&self, text: &str, place: &str) -> Result<(), AwsError> {
        let length = text.chars().count();
        self.limits(i64::try_from(length).unwrap_or(i64::MAX), "length", place)?;
        if let Some(values) = &self.values
            && !values.iter().any(|value| value == text)
        {
            let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
            values.sort_unstable();
            let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            return Err(ecr_invalid_parameter(place, &constraint));
        }
        let Some(pattern) = &self.pattern else { return Ok(()) };
        if length <= PATTERN_CHARS_MAX && self.matches(text) == Some(true) {
            return Ok(());
        }
        Err(ecr_invalid_parameter(place, &format!("must satisfy regular expression {pattern}")))
    }

    fn limits(&self, number: i64, what: &str, place: &str) -> Result<(), AwsError> {
        match self.broken_limit(number) {
            Some(limit) => Err(ecr_invalid_parameter(place, &format!("Member must have {what} {limit}"))),
            None => Ok(()),
        }
    }
}

fn mismatch(value: &Value, wanted: &str) -> AwsError {
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => return malformed("Start of list found where not expected", Protocol::Json11),
        Value::Object(_) => {
            return malformed("Start of structure or map found where not expected.", Protocol::Json11);
        }
    };
    malformed(format!("{found} can not be converted to {wanted}"), Protocol::Json11)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_pattern_and_every_name_of_the_models_is_understood() {
        for face in [Face::Private, Face::Public] {
            model(face).check_whole(|_| false);
        }
    }
}
