//! Claims from JSON and back. Of a repeated name the last value counts, as with STS (observed).

use std::fmt;

use landfall_types::{ClaimValue, Claims};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Number, Value};

/// The most members that one object in a token may have.
const MEMBERS_MAX: usize = 1_000;
/// Room for members that is taken with the first one: GitHub's tokens have some thirty.
const MEMBERS_EXPECTED: usize = 32;

/// Claims as a JSON object.
pub fn claims_to_json(claims: &Claims) -> Value {
    serde_json::to_value(ClaimsJson(claims)).expect("INVARIANT: names are strings and values are JSON's own")
}

/// Claims that are written as a JSON object, without a tree in between.
#[derive(Clone, Copy, Debug)]
pub struct ClaimsJson<'c>(pub &'c Claims);

impl Serialize for ClaimsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        members(serializer, self.0.iter())
    }
}

/// Values come from a reader that limits nesting to 128 levels, so the recursion ends.
struct ValueJson<'c>(&'c ClaimValue);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ClaimValue::Null => serializer.serialize_unit(),
            ClaimValue::Bool(value) => serializer.serialize_bool(*value),
            ClaimValue::Number(text) => match serde_json::from_str::<Number>(text) {
                Ok(number) => number.serialize(serializer),
                Err(_) => serializer.serialize_str(text),
            },
            ClaimValue::Text(text) => serializer.serialize_str(text),
            ClaimValue::List(items) => serializer.collect_seq(items.iter().map(ValueJson)),
            ClaimValue::Map(entries) => {
                members(serializer, entries.iter().map(|(name, value)| (name.as_str(), value)))
            }
        }
    }
}

fn members<'c, S: Serializer>(
    serializer: S,
    entries: impl Iterator<Item = (&'c str, &'c ClaimValue)>,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, value) in entries {
        map.serialize_entry(name, &ValueJson(value))?;
    }
    map.end()
}

/// Claims from a JSON object; none for anything else.
pub fn claims_from_json(value: &Value) -> Option<Claims> {
    let mut claims = Claims::new();
    for (name, value) in value.as_object()? {
        claims.set(name.as_str(), from_json(value));
    }
    Some(claims)
}

/// Reads an object. None when it isn't one or passes a limit; nesting is limited by the JSON reader.
pub(super) fn from_slice(bytes: &[u8]) -> Option<Claims> {
    let Member(ClaimValue::Map(members)) = serde_json::from_slice(bytes).ok()? else { return None };
    Some(Claims::of(members))
}

fn from_json(value: &Value) -> ClaimValue {
    match value {
        Value::Null => ClaimValue::Null,
        Value::Bool(value) => ClaimValue::Bool(*value),
        Value::Number(number) => ClaimValue::Number(number.to_string()),
        Value::String(text) => ClaimValue::Text(text.clone()),
        Value::Array(items) => ClaimValue::List(items.iter().map(from_json).collect()),
        Value::Object(members) => {
            ClaimValue::Map(members.iter().map(|(name, value)| (name.clone(), from_json(value))).collect())
        }
    }
}

/// A claim's value straight from the text, without a JSON tree in between: this is on the path of every
/// exchange.
struct Member(ClaimValue);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor).map(Self)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = ClaimValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim")
    }

    fn visit_unit<E>(self) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ClaimValue, E> {
        Ok(Number::from_f64(value).map_or(ClaimValue::Null, |number| ClaimValue::Number(number.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClaimValue, A::Error> {
        let mut list = Vec::new();
        while let Some(Member(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(ClaimValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<ClaimValue, A::Error> {
        let mut map: Vec<(String, ClaimValue)> = Vec::new();
        while let Some((name, Member(value))) = members.next_entry::<String, Member>()? {
            let known = map.iter().position(|(known, _)| *known == name);
            if known.is_none() && map.len() == MEMBERS_MAX {
                return Err(A::Error::custom(format_args!("more than {MEMBERS_MAX} members")));
            }
            match known.and_then(|index| map.get_mut(index)) {
                Some((_, old)) => *old = value,
                None => {
                    if map.is_empty() {
                        map.reserve(MEMBERS_EXPECTED);
                    }
                    map.push((name, value));
                }
            }
        }
        Ok(ClaimValue::Map(map))
    }
}
