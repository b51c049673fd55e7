//! Values of the Terraform language, each with the place where it was written.
//!
//! Two things differ from Terraform's own values. Text remembers which part of it came from where,
//! and text that is JSON by construction keeps the tree it was made from, so that a policy document
//! still knows the place of every value. And an unknown value carries its cause.

use std::rc::Rc;

use landfall_types::tree::Key;
use landfall_types::{Node, Span, Tree};

use super::json_text;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub kind: Kind,
    pub span: Span,
}

/// The shapes of a [`Value`]. Cloning is cheap: what can be large is shared.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    Text(Text),
    Json(Rc<Json>),
    List(Rc<Vec<Value>>),
    /// Sorted and without repetition when made of strings.
    Set(Rc<Vec<Value>>),
    /// Sorted by key, each key once.
    Map(Rc<Vec<(Key, Value)>>),
    Resource(Handle),
    Unknown(Unknown),
}

/// A string that is JSON by construction.
#[derive(Debug)]
pub(super) struct Json {
    pub tree: Tree,
    /// The string, or why it isn't known.
    pub text: Result<Rc<str>, Rc<str>>,
}

/// A string and the places of its parts; no pieces when it stands in its source as it is.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub text: Rc<str>,
    pub pieces: Option<Rc<Vec<Piece>>>,
}

/// `length` bytes of a text from `start` on, and where they are written: byte for byte when
/// `linear`, else as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub start: usize,
    pub length: usize,
    pub span: Span,
    pub linear: bool,
}

/// A value that can't be worked out.
#[derive(Clone, Debug)]
pub(super) struct Unknown {
    /// Why, in words that name what would make it known.
    pub cause: Rc<str>,
    /// The address of the resource whose name this is the name, id or ARN of.
    pub of: Option<Rc<str>>,
    /// A template with holes in it, for documents in which only some strings are unknown.
    pub holes: Option<Rc<Holes>>,
    /// It is unknown because the expression is wrong: `try` goes on to its next argument.
    pub failed: bool,
}

/// Text in which each unknown part is one character of the private use planes.
#[derive(Debug)]
pub(super) struct Holes {
    pub text: Text,
    pub causes: Vec<Rc<str>>,
}

/// First character that stands for a hole.
const HOLE_FIRST: u32 = 0xF_0000;
/// Holes that one template can have.
pub(super) const HOLES_MAX: usize = 0xFFFD;

/// The character of the hole with this index.
pub(super) fn hole(index: usize) -> Option<char> {
    let index = u32::try_from(index).ok().filter(|index| *index < HOLES_MAX as u32)?;
    char::from_u32(HOLE_FIRST + index)
}

/// The index of the first hole in a text.
pub(super) fn first_hole(text: &str) -> Option<usize> {
    let is_hole = |c: char| u32::from(c) >= HOLE_FIRST && u32::from(c) < HOLE_FIRST + HOLES_MAX as u32;
    text.chars().find(|c| is_hole(*c)).map(|c| (u32::from(c) - HOLE_FIRST) as usize)
}

/// Names an instance that the evaluator holds. Values hold handles rather than objects, so that a
/// chain of resources is never a nest of values.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub index: usize,
    pub address: Rc<str>,
}

/// One instance of a resource or data source.
#[derive(Debug)]
pub(super) struct Object {
    pub address: Rc<str>,
    /// The block's header.
    pub span: Span,
    /// What its block says.
    pub written: Vec<(Key, Value)>,
    /// What the provider makes of it; these values are written nowhere.
    pub computed: Vec<(&'static str, Value)>,
}

impl Object {
    /// The value of an attribute. A computed value stands where it is used.
    pub fn attribute(&self, name: &str, used_at: Span) -> Value {
        let computed = self.computed.iter().find(|(computed, _)| *computed == name).map(|(_, value)| value);
        match (self.written(name), computed) {
            // The computed twin of an unknown name knows whose name it is.
            (Some(Value { kind: Kind::Unknown(_), span }), Some(value)) => value.clone().at(*span),
            // What the provider reads back from AWS is in the state, whatever the block says.
            (Some(written), Some(value))
                if written.as_text() != value.as_text() && value.cause().is_none() =>
            {
                value.clone().at(written.span)
            }
            (Some(value), _) => value.clone(),
            (None, Some(value)) => value.clone().at(used_at),
            (None, None) if self.address.starts_with("data.") => {
                let cause = format!("`{}.{name}` is read from outside these files", self.address);
                Value::unknown(cause, used_at)
            }
            (None, None) => {
                Value::unknown(format!("`{}.{name}` is known only after apply", self.address), used_at)
            }
        }
    }

    /// The value that the block gives to an attribute; null is as good as absent.
    pub fn written(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.written.iter().find(|(key, _)| key.text == name)?;
        (!value.is_null()).then_some(value)
    }
}

impl Value {
    pub fn new(kind: Kind, span: Span) -> Self {
        Self { kind, span }
    }

    pub fn null(span: Span) -> Self {
        Self::new(Kind::Null, span)
    }

    pub fn bool(value: bool, span: Span) -> Self {
        Self::new(Kind::Bool(value), span)
    }

    pub fn number(value: f64, span: Span) -> Self {
        Self::new(Kind::Number(value), span)
    }

    /// A length or a position.
    #[allow(clippy::cast_precision_loss)] // the limits on sizes are far below 2^53
    pub fn count(value: usize, span: Span) -> Self {
        Self::number(value as f64, span)
    }

    pub fn text(text: impl Into<Rc<str>>, span: Span) -> Self {
        Self::new(Kind::Text(Text { text: text.into(), pieces: None }), span)
    }

    pub fn list(items: Vec<Value>, span: Span) -> Self {
        Self::new(Kind::List(Rc::new(items)), span)
    }

    /// The JSON of a tree.
    pub fn json(tree: Tree, span: Span) -> Self {
        let text = match json_text::first_unknown(&tree) {
            Some(cause) => Err(cause.into()),
            None => Ok(json_text::to_json(&tree).into()),
        };
        Self::new(Kind::Json(Rc::new(Json { tree, text })), span)
    }

    /// A set: strings sorted, repetitions dropped (the first stays).
    pub fn set(items: Vec<Value>, span: Span) -> Self {
        let mut kept = unique(items);
        kept.sort_by_key(Value::as_text);
        Self::new(Kind::Set(Rc::new(kept)), span)
    }

    /// A map: sorted by key, the last of equal keys stays.
    pub fn map(mut entries: Vec<(Key, Value)>, span: Span) -> Self {
        entries.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
        entries.reverse();
        entries.dedup_by(|(later, _), (earlier, _)| later.text == earlier.text);
        entries.reverse();
        Self::new(Kind::Map(Rc::new(entries)), span)
    }

    pub fn unknown(cause: impl Into<Rc<str>>, span: Span) -> Self {
        let unknown = Unknown { cause: cause.into(), of: None, holes: None, failed: false };
        Self::new(Kind::Unknown(unknown), span)
    }

    /// Unknown because the expression is wrong, which has been reported.
    pub fn failed(cause: impl Into<Rc<str>>, span: Span) -> Self {
        let unknown = Unknown { cause: cause.into(), of: None, holes: None, failed: true };
        Self::new(Kind::Unknown(unknown), span)
    }

    /// The same value said to be written elsewhere.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        Self { span, ..self }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    pub fn as_unknown(&self) -> Option<&Unknown> {
        match &self.kind {
            Kind::Unknown(unknown) => Some(unknown),
            _ => None,
        }
    }

    /// Why the value, or something inside it, isn't known.
    pub fn cause(&self) -> Option<Rc<str>> {
        match &self.kind {
            Kind::Unknown(unknown) => Some(unknown.cause.clone()),
            Kind::Json(json) => json.text.clone().err(),
            Kind::List(items) | Kind::Set(items) => items.iter().find_map(Value::cause),
            Kind::Map(entries) => entries.iter().find_map(|(_, value)| value.cause()),
            _ => None,
        }
    }

    /// The entry of a map under a key.
    pub fn entry(&self, key: &str) -> Option<&Value> {
        let entries = self.entries()?;
        let position = entries.binary_search_by(|(entry, _)| entry.text.as_str().cmp(key)).ok()?;
        entries.get(position).map(|(_, value)| value)
    }

    /// Why the value isn't known, or what is wrong with it: its kind and the given words.
    pub fn cause_or(&self, wrong: &str) -> String {
        self.cause().map_or_else(|| format!("{} {wrong}", self.kind_name()), |cause| cause.to_string())
    }

    /// The elements of a list or set.
    pub fn items(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(items) | Kind::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&[(Key, Value)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value as a string, as Terraform converts it: numbers and booleans too.
    pub fn as_text(&self) -> Option<Rc<str>> {
        match &self.kind {
            Kind::Text(text) => Some(text.text.clone()),
            Kind::Json(json) => json.text.clone().ok(),
            Kind::Number(number) => Some(number_text(*number).into()),
            Kind::Bool(value) => Some(if *value { "true" } else { "false" }.into()),
            _ => None,
        }
    }

    /// The value as a number; text that is one counts.
    pub fn as_number(&self) -> Option<f64> {
        match &self.kind {
            Kind::Number(number) => Some(*number),
            Kind::Text(text) => text.text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// The value as a position or count.
    pub fn as_index(&self) -> Option<usize> {
        let number = self.as_number().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked above and saturating
        Some(number as usize)
    }

    /// The value as a boolean; the texts `true` and `false` count.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            Kind::Bool(value) => Some(*value),
            Kind::Text(text) => match &*text.text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Equality as `==` has it, types included; none when an unknown part decides.
    pub fn equals(&self, other: &Value) -> Option<bool> {
        let all = |mut results: Box<dyn Iterator<Item = Option<bool>> + '_>| {
            results.try_fold(true, |same, next| match next {
                Some(next) => Some(same && next),
                None if !same => Some(false),
                None => None,
            })
        };
        match (&self.kind, &other.kind) {
            (Kind::Unknown(_), _) | (_, Kind::Unknown(_)) => None,
            (Kind::Null, Kind::Null) => Some(true),
            (Kind::Bool(a), Kind::Bool(b)) => Some(a == b),
            (Kind::Number(a), Kind::Number(b)) => Some(a == b),
            (Kind::Text(_) | Kind::Json(_), Kind::Text(_) | Kind::Json(_)) => {
                Some(self.as_text()? == other.as_text()?)
            }
            (Kind::List(a), Kind::List(b)) | (Kind::Set(a), Kind::Set(b)) => {
                if a.len() != b.len() {
                    return Some(false);
                }
                all(Box::new(a.iter().zip(b.iter()).map(|(a, b)| a.equals(b))))
            }
            (Kind::Map(a), Kind::Map(b)) => {
                if a.len() != b.len() || a.iter().zip(b.iter()).any(|((a, _), (b, _))| a.text != b.text) {
                    return Some(false);
                }
                all(Box::new(a.iter().zip(b.iter()).map(|((_, a), (_, b))| a.equals(b))))
            }
            (Kind::Resource(a), Kind::Resource(b)) => Some(a.index == b.index),
            _ => Some(false),
        }
    }

    /// What a message calls this value.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Json(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Set(_) => "a set",
            Kind::Map(_) => "a map",
            Kind::Resource(_) => "a resource",
            Kind::Unknown(_) => "an unknown value",
        }
    }

    /// The value as a tree, as `jsonencode` sees it.
    pub fn to_tree(&self) -> Tree {
        let node = match &self.kind {
            Kind::Null => Node::Null,
            Kind::Bool(value) => Node::Bool(*value),
            Kind::Number(number) => Node::Number(number_text(*number)),
            Kind::Text(text) => Node::Text(text.text.to_string()),
            Kind::Json(json) => match &json.text {
                Ok(text) => Node::Text(text.to_string()),
                Err(cause) => Node::Unknown(cause.to_string()),
            },
            Kind::List(items) | Kind::Set(items) => Node::List(items.iter().map(Value::to_tree).collect()),
            Kind::Map(entries) => {
                Node::Map(entries.iter().map(|(key, value)| (key.clone(), value.to_tree())).collect())
            }
            Kind::Resource(handle) => {
                Node::Unknown(format!("`{}` as a whole is known only after apply", handle.address))
            }
            Kind::Unknown(unknown) => Node::Unknown(unknown.cause.to_string()),
        };
        Tree::new(node, self.span)
    }

    /// Whether the value has at most `levels` levels and takes no more parts than are left in
    /// `parts`, which is counted down.
    pub fn fits(&self, levels: usize, parts: &mut usize) -> bool {
        if levels == 0 || *parts == 0 {
            return false;
        }
        *parts -= 1;
        match &self.kind {
            Kind::List(items) | Kind::Set(items) => items.iter().all(|item| item.fits(levels - 1, parts)),
            Kind::Map(entries) => entries.iter().all(|(_, value)| value.fits(levels - 1, parts)),
            _ => true,
        }
    }
}

/// The values without repetitions. Lists and maps are compared one by one, so only the first
/// `COMPOSITES_MAX` of them are.
pub(super) fn unique(items: Vec<Value>) -> Vec<Value> {
    const COMPOSITES_MAX: usize = 1_000;
    let mut scalars = std::collections::BTreeSet::new();
    let mut composites: Vec<Value> = Vec::new();
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        let is_new = match item.as_text() {
            Some(text) => scalars.insert((item.kind_name(), text)),
            None => !composites.iter().any(|other| other.equals(&item) == Some(true)),
        };
        if is_new {
            if item.as_text().is_none() && composites.len() < COMPOSITES_MAX {
                composites.push(item.clone());
            }
            kept.push(item);
        }
    }
    kept
}

/// A number as Terraform writes it: no exponent and no fraction where none is needed.
pub(super) fn number_text(number: f64) -> String {
    format!("{number}")
}

/// A key that stands where its value stands.
pub(super) fn key(text: impl Into<String>, span: Span) -> Key {
    Key { text: text.into(), span }
}
