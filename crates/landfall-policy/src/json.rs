//! JSON with places, strict RFC 8259: IAM's native syntax.
//!
//! A value's span covers its whole token, quotes included, so that a fix can replace it.

use landfall_types::tree::Key;
use landfall_types::{Node, SourceId, Span, Tree};

use crate::parse::Problem;

/// The longest text that is read, in bytes. Policies are at most 10 KiB; Terraform plans are not read here.
pub const JSON_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting of objects and arrays, in levels.
pub const JSON_LEVELS_MAX: usize = 64;

/// Reads a JSON text of at most 1 MiB and 64 levels. On a syntax error the tree holds what was
/// understood up to there and the problems say where reading stopped; a repeated key is a problem
/// and both entries are kept.
///
/// Where reading stopped the tree holds a [`Node::Unknown`]: as a list's last item, or under an empty
/// key as a map's last entry. So nobody takes a torn document for a whole one.
pub fn parse(source: SourceId, text: &str) -> (Tree, Vec<Problem>) {
    let mut reader = Reader { source, text, at: 0, repeated: Vec::new(), torn: None };
    let tree = reader.document();
    let mut problems = reader.repeated;
    problems.extend(reader.torn);
    (tree, problems)
}

/// As [`parse`], telling the one problem that stops reading from those that don't; repeated keys are
/// left to the reader of the tree.
pub fn read(source: SourceId, text: &str) -> (Tree, Option<Problem>) {
    let mut reader = Reader { source, text, at: 0, repeated: Vec::new(), torn: None };
    let tree = reader.document();
    (tree, reader.torn)
}

struct Reader<'a> {
    source: SourceId,
    text: &'a str,
    /// Offset in bytes; always on a character boundary.
    at: usize,
    repeated: Vec<Problem>,
    /// Why reading stopped, if it did.
    torn: Option<Problem>,
}

/// A value that is whole, or what there was of it when reading had to stop.
type Read = Result<Tree, Tree>;

impl Reader<'_> {
    fn document(&mut self) -> Tree {
        if self.text.len() > JSON_BYTES_MAX {
            let found = self.text.len();
            return self.stop(format!("the text has {found} bytes, the limit is {JSON_BYTES_MAX}"));
        }
        self.skip_space();
        let tree = match self.value(0) {
            Ok(tree) => tree,
            Err(tree) => return tree,
        };
        self.skip_space();
        if self.at < self.text.len() {
            let found = self.found();
            // What follows could be anything, so the value isn't trusted either.
            return self.stop(format!("expected the end of the text after the value, found {found}"));
        }
        tree
    }

    fn value(&mut self, level: usize) -> Read {
        match self.peek() {
            Some(b'{') => self.nested(level, Self::map),
            Some(b'[') => self.nested(level, Self::list),
            Some(b'"') => {
                let start = self.at;
                let text = self.string()?;
                Ok(Tree::new(Node::Text(text), self.since(start)))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn nested(&mut self, level: usize, read: fn(&mut Self, usize) -> Read) -> Read {
        if level >= JSON_LEVELS_MAX {
            return Err(self.stop(format!("values are nested deeper than {JSON_LEVELS_MAX} levels")));
        }
        read(self, level + 1)
    }

    fn list(&mut self, level: usize) -> Read {
        let start = self.at;
        let mut items = Vec::new();
        let torn = self.items(level, &mut items).err();
        let whole = torn.is_none();
        items.extend(torn);
        let tree = Tree::new(Node::List(items), self.since(start));
        if whole { Ok(tree) } else { Err(tree) }
    }

    fn items(&mut self, level: usize, items: &mut Vec<Tree>) -> Result<(), Tree> {
        self.at += 1;
        self.skip_space();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            items.push(self.value(level)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.expected("`,` or `]`"));
            }
            self.skip_space();
        }
    }

    fn map(&mut self, level: usize) -> Read {
        let start = self.at;
        let mut entries = Vec::new();
        let torn = self.entries(level, &mut entries).err();
        self.report_repeated(&entries);
        let whole = torn.is_none();
        if let Some((key, tree)) = torn {
            let key = key.unwrap_or_else(|| Key { text: String::new(), span: tree.span });
            entries.push((key, tree));
        }
        let tree = Tree::new(Node::Map(entries), self.since(start));
        if whole { Ok(tree) } else { Err(tree) }
    }

    fn entries(&mut self, level: usize, entries: &mut Vec<(Key, Tree)>) -> Result<(), (Option<Key>, Tree)> {
        self.at += 1;
        self.skip_space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err((None, self.expected("a string as key")));
            }
            let start = self.at;
            let text = self.string().map_err(|tree| (None, tree))?;
            let key = Key { text, span: self.since(start) };
            self.skip_space();
            if !self.eat(b':') {
                return Err((Some(key), self.expected("`:` after the key")));
            }
            self.skip_space();
            match self.value(level) {
                Ok(value) => entries.push((key, value)),
                Err(torn) => return Err((Some(key), torn)),
            }
            self.skip_space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err((None, self.expected("`,` or `}`")));
            }
            self.skip_space();
        }
    }

    fn report_repeated(&mut self, entries: &[(Key, Tree)]) {
        let mut keys: Vec<(&str, usize)> =
            entries.iter().enumerate().map(|(index, (key, _))| (key.text.as_str(), index)).collect();
        keys.sort_unstable();
        let repeated = keys.windows(2).filter_map(|pair| match pair {
            [(first, _), (second, index)] if first == second => entries.get(*index),
            _ => None,
        });
        let repeated: Vec<Problem> = repeated
            .map(|(key, _)| Problem::new(format!("the key `{}` is repeated", key.text), key.span))
            .collect();
        self.repeated.extend(repeated);
    }

    fn string(&mut self) -> Result<String, Tree> {
        self.at += 1;
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.bytes().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            value.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => value.push(self.escape()?),
                Some(_) => {
                    let found = self.found();
                    return Err(
                        self.stop(format!("a control character must be escaped in a string, found {found}"))
                    );
                }
                None => return Err(self.expected("`\"` at the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Tree> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek();
        let plain = match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.expected("one of `\"\\/bfnrtu` after a backslash")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// RFC 8259 section 7: characters beyond the Basic Multilingual Plane are a surrogate pair.
    fn unicode_escape(&mut self, start: usize) -> Result<char, Tree> {
        self.at += 1;
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff if self.rest().starts_with("\\u") => {
                self.at += 2;
                let second = self.hex4()?;
                let low = (0xdc00..=0xdfff).contains(&second).then(|| second - 0xdc00);
                low.map(|low| 0x1_0000 + ((first - 0xd800) << 10) + low)
            }
            code => Some(code),
        };
        match code.and_then(char::from_u32) {
            Some(character) => Ok(character),
            None => {
                self.at = start;
                Err(self.stop("half of a surrogate pair is not a character".to_owned()))
            }
        }
    }

    fn hex4(&mut self) -> Result<u32, Tree> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => Err(self.expected("four hex digits after `\\u`")),
        }
    }

    fn number(&mut self) -> Read {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.stop("a number must not begin with a zero".to_owned()));
        }
        let text = self.text.get(start..self.at).unwrap_or("").to_owned();
        Ok(Tree::new(Node::Number(text), self.since(start)))
    }

    fn digits(&mut self) -> Result<(), Tree> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        if count == 0 { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, node: Node) -> Read {
        let start = self.at;
        if !self.rest().starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(Tree::new(node, self.since(start)))
    }

    fn skip_space(&mut self) {
        self.at +=
            self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn since(&self, start: usize) -> Span {
        Span::new(self.source, start, self.at)
    }

    fn found(&self) -> String {
        match self.rest().chars().next() {
            Some(character) if character.is_control() => format!("U+{:04X}", u32::from(character)),
            Some(character) => format!("`{character}`"),
            None => "the end of the text".to_owned(),
        }
    }

    fn expected(&mut self, wanted: &str) -> Tree {
        let found = self.found();
        self.stop(format!("expected {wanted}, found {found}"))
    }

    /// Reports why reading can't go on, and stands in for what is missing.
    fn stop(&mut self, message: String) -> Tree {
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        let span = Span::new(self.source, self.at, self.at + length);
        let node = Node::Unknown(format!("the JSON text can't be read: {message}"));
        self.torn = Some(Problem::new(message, span));
        Tree::new(node, span)
    }
}
