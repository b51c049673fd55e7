//! The values of expressions and how they turn into text, numbers and truth.

use std::sync::Arc;

/// A value of an expression. Lists and objects are shared: two are equal only when they are the same one.
#[derive(Clone, Debug)]
pub enum Value {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// An IEEE 754 double, as in JavaScript.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Arc<Vec<Value>>),
    /// An object.
    Object(Arc<Object>),
}

/// An ordered object. Keys compare without case, as all names in expressions do.
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: Vec<(String, Value)>,
    case_sensitive: bool,
}

impl Object {
    /// An object without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// An object whose keys compare by their exact letters: the `env` context on Linux and macOS
    /// (observed in the runner).
    pub fn case_sensitive() -> Self {
        Self { entries: Vec::new(), case_sensitive: true }
    }

    /// Sets a key; the place of a key that is there already stays.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        let case_sensitive = self.case_sensitive;
        match self.entries.iter_mut().find(|(known, _)| same_key(known, &key, case_sensitive)) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }

    /// As [`Object::set`], for building in one go.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: Value) -> Self {
        self.set(key, value);
        self
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.entries.iter().find(|(known, _)| same_key(known, key, self.case_sensitive));
        found.map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn same_key(left: &str, right: &str, case_sensitive: bool) -> bool {
    if case_sensitive { left == right } else { same_text(left, right) }
}

/// Ordinal comparison without case: both sides in upper case.
pub(super) fn same_text(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    upper(left) == upper(right)
}

/// Upper case by single characters, as ordinal comparison does it: `ß` stays `ß`.
pub(super) fn upper(text: &str) -> String {
    let one = |character: char| {
        let mut mapped = character.to_uppercase();
        match (mapped.next(), mapped.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    };
    text.chars().map(one).collect()
}

impl FromIterator<(String, Value)> for Object {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(entries: T) -> Self {
        let mut object = Self::new();
        for (key, value) in entries {
            object.set(key, value);
        }
        object
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(Arc::new(object))
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(Arc::new(items))
    }
}

impl Value {
    /// Whether a condition holds: null, false, 0, NaN and the empty string do not.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) => true,
        }
    }

    /// Whether this is neither a list nor an object.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object(_))
    }

    /// The value inside of a text. Lists and objects become the words `Array` and `Object`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number_text(*number),
            Self::Text(text) => text.clone(),
            Self::List(_) => "Array".to_owned(),
            Self::Object(_) => "Object".to_owned(),
        }
    }

    /// The value as a number; NaN for lists, objects and texts that are not numbers.
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Number(number) => *number,
            Self::Text(text) => parse_number(text),
            Self::List(_) | Self::Object(_) => f64::NAN,
        }
    }

    /// What messages call this kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "Boolean",
            Self::Number(_) => "Number",
            Self::Text(_) => "String",
            Self::List(_) => "Array",
            Self::Object(_) => "Object",
        }
    }

    /// A property of an object; null for everything else.
    pub fn property(&self, key: &str) -> Value {
        match self {
            Self::Object(object) => object.get(key).cloned().unwrap_or(Self::Null),
            _ => Self::Null,
        }
    }

    /// `==`: the same kind directly, else by number; texts without case; lists and objects by identity.
    pub fn loosely_equals(&self, other: &Value) -> bool {
        match coerced(self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Number(left), Self::Number(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => same_text(&left, &right),
            (Self::List(left), Self::List(right)) => Arc::ptr_eq(&left, &right),
            (Self::Object(left), Self::Object(right)) => Arc::ptr_eq(&left, &right),
            _ => false,
        }
    }

    /// How `<` and `>` order the two; none when they have no order (NaN, null with null, lists, objects).
    pub fn loosely_compares(&self, other: &Value) -> Option<std::cmp::Ordering> {
        match coerced(self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(&right)),
            (Self::Number(left), Self::Number(right)) => left.partial_cmp(&right),
            (Self::Text(left), Self::Text(right)) => {
                Some(upper(&left).encode_utf16().cmp(upper(&right).encode_utf16()))
            }
            _ => None,
        }
    }
}

/// JavaScript's abstract comparison, except that lists and objects stay what they are.
fn coerced(left: &Value, right: &Value) -> (Value, Value) {
    use Value::{Bool, Null, Number, Text};
    let number = |value: &Value| Number(value.to_number());
    match (left, right) {
        (Null, Null) | (Bool(_), Bool(_)) | (Number(_), Number(_)) | (Text(_), Text(_)) => {
            (left.clone(), right.clone())
        }
        // The kinds differ from here on.
        _ if left.is_primitive() && right.is_primitive() => (number(left), number(right)),
        _ => (left.clone(), right.clone()),
    }
}

/// A text as a number by JavaScript's rules; the runner's `ParseNumber`.
pub(super) fn parse_number(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.eq_ignore_ascii_case("infinity") {
        return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
    {
        return text.parse().unwrap_or(f64::NAN);
    }
    // Both forms are 32-bit and signed, so 0xffffffff is -1.
    let radix =
        |digits: &str, radix| u32::from_str_radix(digits, radix).map_or(f64::NAN, |n| f64::from(n as i32));
    match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => return radix(digits, 16),
        _ => {}
    }
    match text.strip_prefix("0o") {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => radix(digits, 8),
        _ => f64::NAN,
    }
}

/// A number with up to 15 significant digits, .NET's `G15`, which is what the runner prints.
pub(super) fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.14e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    if !(-4..15).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}E{sign}{:02}", exponent.abs());
    }
    let decimals = usize::try_from(14 - exponent).unwrap_or(0);
    let fixed = format!("{number:.decimals$}");
    match fixed.contains('.') {
        true => fixed.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => fixed,
    }
}
