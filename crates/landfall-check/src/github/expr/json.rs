//! JSON for `toJSON` and `fromJSON`.

use std::sync::Arc;

use super::value::{Object, Value};

/// How deep JSON may nest, in levels (the runner's limit for `fromJSON`).
const JSON_DEPTH_MAX: usize = 100;

/// A value as indented JSON, two blanks a level, as `toJSON` prints it.
pub fn to_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, level: usize, text: &mut String) {
    // Values deeper than this cannot be made: `fromJSON` and the workflow reader refuse them.
    if level > JSON_DEPTH_MAX * 2 {
        text.push_str("null");
        return;
    }
    let line = |text: &mut String, level: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', level * 2));
    };
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_text()),
        Value::Text(string) => quote(string, text),
        Value::List(items) if items.is_empty() => text.push_str("[]"),
        Value::Object(object) if object.is_empty() => text.push_str("{}"),
        Value::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                line(text, level + 1);
                write(item, level + 1, text);
            }
            line(text, level);
            text.push(']');
        }
        Value::Object(object) => {
            text.push('{');
            for (index, (key, item)) in object.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                line(text, level + 1);
                quote(key, text);
                text.push_str(": ");
                write(item, level + 1, text);
            }
            line(text, level);
            text.push('}');
        }
    }
}

/// A JSON string as Newtonsoft's library writes it, which GitHub uses.
pub(crate) fn quote(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// Reads one JSON value.
///
/// # Errors
/// What was expected and at which byte, from 1.
pub fn from_json(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    reader.white();
    if reader.rest().is_empty() {
        return Err("the text is empty".to_owned());
    }
    let value = reader.value(0)?;
    reader.white();
    if reader.rest().is_empty() { Ok(value) } else { Err(reader.expected("the end of the text")) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn white(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    fn expected(&self, what: &str) -> String {
        match self.rest().chars().next() {
            Some(found) => format!("{what} is expected at position {}, `{found}` is there", self.at + 1),
            None => format!("{what} is expected at position {}, the text ends there", self.at + 1),
        }
    }

    fn value(&mut self, level: usize) -> Result<Value, String> {
        if level > JSON_DEPTH_MAX {
            return Err(format!("the text nests deeper than {JSON_DEPTH_MAX} levels"));
        }
        self.white();
        match self.rest().as_bytes().first() {
            Some(b'{') => self.object(level),
            Some(b'[') => self.list(level),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("true") => Ok(Value::Bool(true)),
            _ if self.take("false") => Ok(Value::Bool(false)),
            _ if self.take("null") => Ok(Value::Null),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn object(&mut self, level: usize) -> Result<Value, String> {
        let mut entries = Vec::new();
        self.take("{");
        self.white();
        if self.take("}") {
            return Ok(Value::from(Object::new()));
        }
        loop {
            self.white();
            if !self.rest().starts_with('"') {
                return Err(self.expected("a key in double quotes"));
            }
            let key = self.string()?;
            self.white();
            if !self.take(":") {
                return Err(self.expected("a colon"));
            }
            entries.push((key, self.value(level + 1)?));
            self.white();
            if self.take("}") {
                return Ok(Value::Object(Arc::new(entries.into_iter().collect())));
            }
            if !self.take(",") {
                return Err(self.expected("a comma or a closing brace"));
            }
        }
    }

    fn list(&mut self, level: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        self.take("[");
        self.white();
        if self.take("]") {
            return Ok(Value::from(items));
        }
        loop {
            items.push(self.value(level + 1)?);
            self.white();
            if self.take("]") {
                return Ok(Value::from(items));
            }
            if !self.take(",") {
                return Err(self.expected("a comma or a closing bracket"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let is_part = |character: char| matches!(character, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let length = rest.find(|character: char| !is_part(character)).unwrap_or(rest.len());
        let number = rest.get(..length).unwrap_or("").parse().map_err(|_| self.expected("a number"))?;
        self.at += length;
        Ok(Value::Number(number))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut string = String::new();
        self.take("\"");
        loop {
            let rest = self.rest();
            let Some(character) = rest.chars().next() else { return Err(self.expected("a closing quote")) };
            self.at += character.len_utf8();
            match character {
                '"' => return Ok(string),
                '\\' => string.push(self.escape()?),
                _ => string.push(character),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let character = self.rest().chars().next().ok_or_else(|| self.expected("an escape"))?;
        self.at += character.len_utf8();
        Ok(match character {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => character,
            'u' => {
                let unit = self.unit()?;
                let is_high = (0xd800..0xdc00).contains(&unit);
                let low = if is_high && self.take("\\u") { self.unit()? } else { 0 };
                let code = match (is_high, (0xdc00..0xe000).contains(&low)) {
                    (true, true) => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => unit,
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.expected("an escape that JSON knows")),
        })
    }

    fn unit(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hex digits"))?;
        self.at += 4;
        Ok(unit)
    }
}
