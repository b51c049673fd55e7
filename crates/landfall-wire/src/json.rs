//! The request side of AWS's JSON protocols: typed access to a body, with AWS's errors for what is missing
//! or of the wrong type.
//!
//! A wrong type is a `SerializationException` whatever the service; a broken constraint is told in the
//! service's own words, so the reader is given the function that says it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{AwsError, Protocol, malformed};

/// The largest JSON body that is read, in bytes: an image layer part of 20 MiB in base64 fits.
pub const BODY_BYTES_MAX: usize = 29_360_128;

/// The most values that a JSON body may hold, objects and arrays and what is in them counted: a value takes many times
/// the memory of the byte that it can be written with. The most that a call has use for are those of
/// `PutLogEvents`, three for each of 10,000 events.
pub const VALUES_MAX: usize = 100_000;

/// Reads JSON of at most [`VALUES_MAX`] values. Of members of one name the last one counts.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let left = Cell::new(VALUES_MAX);
    let value = Counted(&left).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value, as long as there is room for it.
#[derive(Clone, Copy)]
struct Counted<'l>(&'l Cell<usize>);

impl<'de> DeserializeSeed<'de> for Counted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.get().checked_sub(1) {
            Some(left) => self.0.set(left),
            None => return Err(D::Error::custom(format_args!("more than {VALUES_MAX} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            map.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

/// How a service says that a member breaks a constraint: member, constraint.
pub type Constraint = fn(&str, &str) -> AwsError;

/// `InvalidParameterException` in ECR's words (observed).
pub fn ecr_invalid_parameter(member: &str, constraint: &str) -> AwsError {
    AwsError::bad_request(
        "InvalidParameterException",
        format!("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'"),
    )
}

/// `InvalidParameterException` of ECS and EKS.
pub fn invalid_parameter(member: &str, constraint: &str) -> AwsError {
    AwsError::bad_request("InvalidParameterException", format!("{member}: {constraint}"))
}

/// A request's body, which is always an object.
#[derive(Clone, Debug)]
pub struct Document {
    members: Map<String, Value>,
    constraint: Constraint,
}

impl Document {
    /// Reads a body; no bytes at all are an object without members.
    ///
    /// # Errors
    /// `SerializationException` when it is too long, not JSON or not an object.
    pub fn parse(body: &[u8], constraint: Constraint) -> Result<Self, AwsError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(wrong(format!(
                "the body has {} bytes, at most {BODY_BYTES_MAX} are read",
                body.len()
            )));
        }
        if body.is_empty() {
            return Ok(Self { members: Map::new(), constraint });
        }
        match read(body) {
            Ok(Value::Object(members)) => Ok(Self { members, constraint }),
            Ok(_) => Err(wrong("Start of structure or map expected")),
            Err(_) => Err(wrong("Unable to parse request")),
        }
    }

    /// The body's members.
    pub fn input(&self) -> Input<'_> {
        Input { members: &self.members, constraint: self.constraint }
    }
}

/// The members of an object in a request.
#[derive(Clone, Copy, Debug)]
pub struct Input<'d> {
    members: &'d Map<String, Value>,
    constraint: Constraint,
}

impl<'d> Input<'d> {
    /// A member of any type; null is as good as absent.
    pub fn value(&self, name: &str) -> Option<&'d Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A string.
    ///
    /// # Errors
    /// `SerializationException` when it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&'d str>, AwsError> {
        self.typed(name, "a String", Value::as_str)
    }

    /// A string that must be there.
    ///
    /// # Errors
    /// As [`Input::text`], and the service's own error when it is absent.
    pub fn required_text(&self, name: &str) -> Result<&'d str, AwsError> {
        self.text(name)?.ok_or_else(|| self.absent(name))
    }

    /// A whole number.
    ///
    /// # Errors
    /// `SerializationException` when it is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, AwsError> {
        self.typed(name, "an Integer", Value::as_i64)
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// As [`Input::integer`], and the service's own error when it is absent.
    pub fn required_integer(&self, name: &str) -> Result<i64, AwsError> {
        self.integer(name)?.ok_or_else(|| self.absent(name))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// `SerializationException` when it is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, AwsError> {
        self.typed(name, "a Boolean", Value::as_bool)
    }

    /// An object.
    ///
    /// # Errors
    /// `SerializationException` when it is something else.
    pub fn object(&self, name: &str) -> Result<Option<Input<'d>>, AwsError> {
        let members = self.typed(name, "a Map", Value::as_object)?;
        Ok(members.map(|members| Input { members, constraint: self.constraint }))
    }

    /// A list of strings; an absent one is empty.
    ///
    /// # Errors
    /// `SerializationException` when it or an item is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<&'d str>, AwsError> {
        self.items(name)?.iter().map(|item| item.as_str().ok_or_else(|| mismatch(item, "a String"))).collect()
    }

    /// A list of objects; an absent one is empty.
    ///
    /// # Errors
    /// `SerializationException` when it or an item is something else.
    pub fn objects(&self, name: &str) -> Result<Vec<Input<'d>>, AwsError> {
        let constraint = self.constraint;
        self.items(name)?
            .iter()
            .map(|item| item.as_object().ok_or_else(|| mismatch(item, "a Map")))
            .map(|members| members.map(|members| Input { members, constraint }))
            .collect()
    }

    /// The service's error for a member that breaks a constraint.
    pub fn broken(&self, name: &str, constraint: &str) -> AwsError {
        (self.constraint)(name, constraint)
    }

    fn absent(&self, name: &str) -> AwsError {
        self.broken(name, "Member must not be null")
    }

    fn items(&self, name: &str) -> Result<&'d [Value], AwsError> {
        Ok(self.typed(name, "a List", Value::as_array)?.map_or(&[], Vec::as_slice))
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'d Value) -> Option<T>,
    ) -> Result<Option<T>, AwsError> {
        self.value(name).map(|value| read(value).ok_or_else(|| mismatch(value, wanted))).transpose()
    }
}

/// `SerializationException`: a value of another type than is `wanted`, such as `a String`.
pub fn mismatch(value: &Value, wanted: &str) -> AwsError {
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => return wrong("Start of list found where not expected"),
        Value::Object(_) => return wrong("Start of structure or map found where not expected."),
    };
    wrong(format!("{found} can not be converted to {wanted}"))
}

fn wrong(message: impl Into<String>) -> AwsError {
    malformed(message, Protocol::Json11)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes(), ecr_invalid_parameter).unwrap()
    }

    #[test]
    fn a_body_is_read_as_it_stands_and_of_twice_the_last_counts() {
        let text =
            r#" {"a":[1,-2,2.5,18446744073709551615,true,null,"\u00e4\n",{}],"b":{"c":[[]]},"a ":"","b":1} "#;
        let whole: Value = serde_json::from_str(text).unwrap();
        let value = read(text.as_bytes()).unwrap();
        assert_eq!((&value, value.to_string()), (&whole, whole.to_string()));
        for broken in ["", "{", "[1,]", "{} {}", "{\"a\"}", "\"\\ud800\"", "1e999", "nul", "\u{0}"] {
            let wanted = serde_json::from_slice::<Value>(broken.as_bytes()).unwrap_err();
            assert_eq!(read(broken.as_bytes()).unwrap_err().to_string(), wanted.to_string(), "{broken}");
        }
        assert!(read("[".repeat(1000).as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn a_body_has_only_so_many_values() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        assert!(read(list(VALUES_MAX).as_bytes()).is_ok());
        let error = read(list(VALUES_MAX + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("more than 100000 values"), "{error}");
        let members = format!("{{{}\"a\":0}}", "\"a\":0,".repeat(VALUES_MAX));
        assert!(read(members.as_bytes()).is_err());
    }

    #[test]
    fn members_have_their_types() {
        let document =
            document(r#"{"a":"x","n":7,"b":true,"o":{"k":"v"},"l":["1","2"],"s":[{"k":"v"}],"z":null}"#);
        let input = document.input();
        assert_eq!(input.text("a"), Ok(Some("x")));
        assert_eq!(input.required_text("a"), Ok("x"));
        assert_eq!(input.required_integer("n"), Ok(7));
        assert_eq!(input.boolean("b"), Ok(Some(true)));
        assert_eq!(input.object("o").unwrap().unwrap().required_text("k"), Ok("v"));
        assert_eq!(input.texts("l"), Ok(vec!["1", "2"]));
        assert_eq!(input.objects("s").unwrap()[0].text("k"), Ok(Some("v")));
        assert_eq!(input.text("z"), Ok(None));
        assert!(input.texts("absent").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_type_is_a_serialization_exception() {
        let document = document(r#"{"n":7,"s":"x","t":true,"l":[1],"m":{},"d":1.5}"#);
        let input = document.input();
        let errors = [
            (input.text("n").err(), "NUMBER_VALUE can not be converted to a String"),
            (input.integer("s").err(), "STRING_VALUE can not be converted to an Integer"),
            (input.integer("d").err(), "DECIMAL_VALUE can not be converted to an Integer"),
            (input.text("t").err(), "TRUE_VALUE can not be converted to a String"),
            (input.texts("l").err(), "NUMBER_VALUE can not be converted to a String"),
            (input.text("m").err(), "Start of structure or map found where not expected."),
            (input.objects("l").err(), "NUMBER_VALUE can not be converted to a Map"),
        ];
        for (error, message) in errors {
            let error = error.unwrap();
            assert_eq!((error.code.as_ref(), error.status), ("SerializationException", 400));
            assert_eq!(error.message, message);
        }
    }

    #[test]
    fn what_is_absent_is_told_in_the_services_words() {
        let empty = Document::parse(b"", ecr_invalid_parameter).unwrap();
        let error = empty.input().required_text("repositoryName").unwrap_err();
        assert_eq!(
            error.to_string(),
            "InvalidParameterException: Invalid parameter at 'repositoryName' failed to satisfy constraint: \
             'Member must not be null'"
        );
        let empty = Document::parse(b"{}", ecr_invalid_parameter).unwrap();
        assert_eq!(empty.input().required_integer("n").unwrap_err().code, "InvalidParameterException");
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for body in ["[]", "nonsense", "7", "{\"a\":", &"[".repeat(10_000)] {
            let error = Document::parse(body.as_bytes(), invalid_parameter).unwrap_err();
            assert_eq!(error.code, "SerializationException", "{body:.10}");
        }
    }
}
