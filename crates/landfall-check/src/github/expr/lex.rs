//! An expression's tokens, each checked against the one before it, as the runner's lexer does: the
//! first token that cannot stand where it stands is the one that GitHub names.

use super::parse::{Availability, ParseError};
use super::value::parse_number;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    StartGroup,
    StartParameters,
    StartIndex,
    EndGroup,
    EndParameters,
    EndIndex,
    Separator,
    Dereference,
    Wildcard,
    Operator,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Property,
    Function,
    Named,
    Unexpected,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    pub raw: &'t str,
    /// First byte of the token in the expression.
    pub at: usize,
}

/// All tokens of an expression.
pub(super) fn tokens<'t>(text: &'t str, may: &Availability) -> Result<Vec<Token<'t>>, ParseError> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), unclosed: Vec::new() };
    while lexer.skip_white() {
        let token = lexer.read();
        lexer.check(&token, may)?;
        lexer.tokens.push(token);
    }
    lexer.check_end()?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token<'t>>,
    /// The opening tokens that wait for their closing ones.
    unclosed: Vec<Kind>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Moves to the next token; false at the end.
    fn skip_white(&mut self) -> bool {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.at < self.text.len()
    }

    fn last(&self) -> Option<&Kind> {
        self.tokens.last().map(|token| &token.kind)
    }

    fn take(&mut self, length: usize, kind: Kind) -> Token<'t> {
        let raw = self.rest().get(..length).unwrap_or("");
        let at = self.at;
        self.at += length;
        Token { kind, raw, at }
    }

    /// Bytes up to the next token boundary, after the first character.
    fn word(&self, with_dots: bool) -> usize {
        let rest = self.rest();
        let mut characters = rest.char_indices();
        characters.next();
        characters
            .find(|(_, character)| is_boundary(*character) && !(with_dots && *character == '.'))
            .map_or(rest.len(), |(at, _)| at)
    }

    fn read(&mut self) -> Token<'t> {
        let first = self.rest().chars().next().unwrap_or(' ');
        match first {
            '(' if self.last() == Some(&Kind::Function) => self.take(1, Kind::StartParameters),
            '(' => self.take(1, Kind::StartGroup),
            ')' if self.unclosed.last() == Some(&Kind::StartParameters) => self.take(1, Kind::EndParameters),
            ')' => self.take(1, Kind::EndGroup),
            '[' => self.take(1, Kind::StartIndex),
            ']' => self.take(1, Kind::EndIndex),
            ',' => self.take(1, Kind::Separator),
            '*' => self.take(1, Kind::Wildcard),
            '\'' => self.text_literal(),
            '!' | '>' | '<' | '=' | '&' | '|' => self.operator(),
            '.' if starts_value(self.last()) => self.number(),
            '.' => self.take(1, Kind::Dereference),
            '-' | '+' | '0'..='9' => self.number(),
            _ => self.keyword(),
        }
    }

    fn text_literal(&mut self) -> Token<'t> {
        let rest = self.rest();
        let mut value = String::new();
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character != '\'' {
                value.push(character);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                value.push('\'');
            } else {
                return self.take(at + 1, Kind::Text(value));
            }
        }
        self.take(rest.len(), Kind::Unexpected)
    }

    fn operator(&mut self) -> Token<'t> {
        let rest = self.rest();
        let two = rest.get(..2).unwrap_or("");
        if matches!(two, "!=" | ">=" | "<=" | "==" | "&&" | "||") {
            return self.take(2, Kind::Operator);
        }
        if rest.starts_with(['!', '>', '<']) {
            return self.take(1, Kind::Operator);
        }
        self.take(self.word(false), Kind::Unexpected)
    }

    fn number(&mut self) -> Token<'t> {
        let length = self.word(true);
        let number = parse_number(self.rest().get(..length).unwrap_or(""));
        let kind = if number.is_nan() { Kind::Unexpected } else { Kind::Number(number) };
        self.take(length, kind)
    }

    fn keyword(&mut self) -> Token<'t> {
        let length = self.word(false);
        let (word, after) = self.rest().split_at_checked(length).unwrap_or((self.rest(), ""));
        let kind = match word {
            _ if !is_identifier(word) => Kind::Unexpected,
            _ if self.last() == Some(&Kind::Dereference) => Kind::Property,
            "null" => Kind::Null,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "NaN" => Kind::Number(f64::NAN),
            "Infinity" => Kind::Number(f64::INFINITY),
            _ if after.trim_start().starts_with('(') => Kind::Function,
            _ => Kind::Named,
        };
        self.take(length, kind)
    }

    fn check(&mut self, token: &Token<'t>, may: &Availability) -> Result<(), ParseError> {
        let last = self.last();
        let legal = match &token.kind {
            Kind::Unexpected => false,
            Kind::StartParameters => last == Some(&Kind::Function),
            Kind::StartIndex | Kind::Dereference => last.is_some_and(is_indexable),
            Kind::Wildcard => matches!(last, Some(Kind::StartIndex | Kind::Dereference)),
            Kind::Property => last == Some(&Kind::Dereference),
            Kind::Operator if token.raw == "!" => starts_value(last),
            Kind::Operator => last.is_some_and(ends_value),
            Kind::Separator => {
                last.is_some_and(ends_value) && self.unclosed.last() == Some(&Kind::StartParameters)
            }
            Kind::EndGroup => self.closes(&Kind::StartGroup) && last.is_some_and(ends_value),
            Kind::EndIndex => self.closes(&Kind::StartIndex) && last.is_some_and(ends_value),
            Kind::EndParameters => {
                self.closes(&Kind::StartParameters)
                    && last.is_some_and(|last| ends_value(last) || *last == Kind::StartParameters)
            }
            _ => starts_value(last),
        };
        if !legal {
            return Err(ParseError::at("Unexpected symbol", token.raw, token.at, self.text));
        }
        match token.kind {
            Kind::StartGroup | Kind::StartParameters | Kind::StartIndex => {
                self.unclosed.push(token.kind.clone())
            }
            Kind::EndGroup | Kind::EndParameters | Kind::EndIndex => drop(self.unclosed.pop()),
            Kind::Function if may.function(token.raw).is_none() => {
                return Err(ParseError::at("Unrecognized function", token.raw, token.at, self.text));
            }
            Kind::Named if !may.context(token.raw) => {
                return Err(ParseError::at("Unrecognized named-value", token.raw, token.at, self.text));
            }
            _ => {}
        }
        Ok(())
    }

    fn closes(&self, opening: &Kind) -> bool {
        self.unclosed.last() == Some(opening)
    }

    fn check_end(&self) -> Result<(), ParseError> {
        match self.tokens.last() {
            Some(last) if !ends_value(&last.kind) || !self.unclosed.is_empty() => {
                Err(ParseError::at("Unexpected end of expression", last.raw, last.at, self.text))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a value may follow: at the start, or after something that waits for one.
fn starts_value(last: Option<&Kind>) -> bool {
    matches!(
        last,
        None | Some(
            Kind::Separator | Kind::StartGroup | Kind::StartIndex | Kind::StartParameters | Kind::Operator
        )
    )
}

fn is_indexable(last: &Kind) -> bool {
    matches!(
        last,
        Kind::EndGroup | Kind::EndParameters | Kind::EndIndex | Kind::Wildcard | Kind::Property | Kind::Named
    )
}

fn ends_value(last: &Kind) -> bool {
    is_indexable(last) || matches!(last, Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_))
}

fn is_boundary(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|')
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
