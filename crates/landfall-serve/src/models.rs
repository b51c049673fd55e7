//! AWS's own API models, as far as they say what the input of an operation may be: types, limits and patterns.
//! `data/*.json` is written by `tools/input_shapes.py`. What a service says of an input that breaks one are its own
//! words.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

/// Longest text that is held against a pattern, in characters: no pattern but that of documents allows for more.
pub(crate) const PATTERN_CHARS_MAX: usize = 2_048;

/// The inputs of a service.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    /// Operation to shape.
    pub(crate) operations: HashMap<String, String>,
    /// All shapes by name.
    pub(crate) shapes: HashMap<String, Shape>,
}

/// What a value may be.
#[derive(Debug, Deserialize)]
pub(crate) struct Shape {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
    pub(crate) pattern: Option<String>,
    #[serde(rename = "enum")]
    pub(crate) values: Option<Vec<String>>,
    /// Member to shape.
    #[serde(default)]
    pub(crate) members: serde_json::Map<String, Value>,
    #[serde(default)]
    pub(crate) required: Vec<String>,
    /// The shape of a list's items, or of a map's values.
    pub(crate) member: Option<String>,
    /// The shape of a map's keys.
    pub(crate) key: Option<String>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Structure,
    List,
    Map,
    String,
    Blob,
    Integer,
    Number,
    Timestamp,
    Boolean,
}

impl Model {
    /// The model in a file of `data`, read once.
    pub(crate) fn once(cell: &'static OnceLock<Self>, text: &str) -> &'static Self {
        cell.get_or_init(|| {
            serde_json::from_str(text).expect("INVARIANT: the data file is what the tool wrote")
        })
    }
}

impl Shape {
    /// Which limit a number, or a length, breaks: `greater than or equal to 1`.
    pub(crate) fn broken_limit(&self, number: i64) -> Option<String> {
        match (self.min, self.max) {
            (Some(min), _) if number < min => Some(format!("greater than or equal to {min}")),
            (_, Some(max)) if number > max => Some(format!("less than or equal to {max}")),
            _ => None,
        }
    }

    /// Whether a text satisfies the whole of the pattern; none without a pattern, or with one that is not understood.
    pub(crate) fn matches(&self, text: &str) -> Option<bool> {
        let pattern = self.pattern.as_ref()?;
        let regex = self.compiled.get_or_init(|| Regex::new(&format!("^(?:{pattern})$")).ok());
        regex.as_ref().map(|regex| text.len() <= PATTERN_CHARS_MAX * 4 && regex.is_match(text))
    }
}

#[cfg(test)]
impl Model {
    /// Every name in the model has a shape, and every pattern is understood, by `matches` or as one that the service
    /// reads in its own way.
    pub(crate) fn check_whole(&self, is_read_otherwise: impl Fn(&str) -> bool) {
        for shape in self.shapes.values() {
            let is_understood =
                shape.pattern.as_deref().is_none_or(&is_read_otherwise) || shape.matches("").is_some();
            assert!(is_understood, "{:?}", shape.pattern);
            let members = shape.members.values().filter_map(Value::as_str);
            for name in members.chain(shape.member.as_deref()).chain(shape.key.as_deref()) {
                assert!(self.shapes.contains_key(name), "{name}");
            }
        }
        for name in self.operations.values() {
            assert!(self.shapes.contains_key(name), "{name}");
        }
    }
}
