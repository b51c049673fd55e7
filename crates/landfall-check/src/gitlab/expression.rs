//! The expressions of `rules:if`: variables, texts and patterns, compared and joined.
//!
//! The values behave as in GitLab's own interpreter, which is Ruby: an empty text is as good as any for `||` and `&&`,
//! and only the whole expression's value has to be more than blank.
//! <https://docs.gitlab.com/ci/jobs/job_rules/#cicd-variable-expressions>

use regex_lite::{Regex, RegexBuilder};

use super::variables::Variables;

/// Longest expression, in bytes.
const BYTES_MAX: usize = 10_000;
/// Values, operators and parentheses of one expression.
const TOKENS_MAX: usize = 1_000;
/// Expressions inside of parentheses, in levels.
const LEVELS_MAX: usize = 100;

/// An expression that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression(Node);

#[derive(Clone, PartialEq, Debug)]
enum Node {
    Variable(String),
    Text(String),
    Pattern(String),
    Null,
    Join { or: bool, left: Box<Node>, right: Box<Node> },
    Equals { not: bool, left: Box<Node>, right: Box<Node> },
    Matches { not: bool, left: Box<Node>, right: Box<Node> },
}

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Value(Node),
    Operator(&'static str),
    Open,
    Close,
}

#[derive(Clone, PartialEq, Debug)]
enum Value {
    Nil,
    Bool(bool),
    Text(String),
}

impl Value {
    /// What Ruby takes for true.
    fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Bool(false))
    }

    fn is_present(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Text(text) => !text.trim().is_empty(),
        }
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// GitLab's sentence, and what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("the expression has {} bytes; at most {BYTES_MAX} are read", text.len()));
        }
        let tokens = tokens(text)?;
        if tokens.len() > TOKENS_MAX {
            return Err(format!("the expression has {} parts; at most {TOKENS_MAX} are read", tokens.len()));
        }
        let mut parser = Parser { tokens: &tokens, at: 0 };
        let node = parser.or(0)?;
        match parser.peek() {
            None => Ok(Self(node)),
            Some(_) => Err("an operator is expected between two values".to_owned()),
        }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// A pattern that is none, in a variable.
    pub fn holds(&self, variables: &Variables) -> Result<bool, String> {
        evaluate(&self.0, variables).map(|value| value.is_present())
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '$' => {
                let end = rest[1..]
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .map_or(rest.len(), |end| end + 1);
                if end == 1 {
                    return Err(format!("a variable's name is expected at `{rest}`"));
                }
                (Token::Value(Node::Variable(rest[1..end].to_owned())), end)
            }
            '"' | '\'' => {
                let end = rest[1..].find(first).ok_or_else(|| format!("the text {rest} has no end"))?;
                (Token::Value(Node::Text(rest[1..=end].to_owned())), end + 2)
            }
            '/' => {
                let length = pattern_length(rest).ok_or_else(|| format!("the pattern {rest} has no end"))?;
                pattern(&rest[..length])?;
                (Token::Value(Node::Pattern(rest[..length].to_owned())), length)
            }
            _ => word(rest).ok_or_else(|| format!("`{rest}` is not understood"))?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn word(rest: &str) -> Option<(Token, usize)> {
    for operator in ["==", "!=", "=~", "!~", "&&", "||"] {
        if rest.starts_with(operator) {
            return Some((Token::Operator(operator), 2));
        }
    }
    let after = rest.strip_prefix("null")?;
    let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    ends.then_some((Token::Value(Node::Null), 4))
}

fn pattern_length(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            '/' if !escaped => {
                let flags = rest[at + 1..].find(|c: char| !"ismU".contains(c));
                return Some(flags.map_or(rest.len(), |flags| at + 1 + flags));
            }
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// Compiles `/…/flags`.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let wrong = || format!("Invalid regular expression! `{text}`");
    let (body, flags) = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')).ok_or_else(wrong)?;
    RegexBuilder::new(&body.replace("\\/", "/"))
        .case_insensitive(flags.contains('i'))
        .dot_matches_new_line(flags.contains('s'))
        .multi_line(flags.contains('m'))
        .swap_greed(flags.contains('U'))
        .build()
        .map_err(|_| wrong())
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Operator(operator)) if operators.contains(operator) => {
                let operator = *operator;
                self.at += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn or(&mut self, level: usize) -> Result<Node, String> {
        let mut left = self.and(level)?;
        while self.takes(&["||"]).is_some() {
            let right = Box::new(self.and(level)?);
            left = Node::Join { or: true, left: Box::new(left), right };
        }
        Ok(left)
    }

    fn and(&mut self, level: usize) -> Result<Node, String> {
        let mut left = self.comparison(level)?;
        while self.takes(&["&&"]).is_some() {
            let right = Box::new(self.comparison(level)?);
            left = Node::Join { or: false, left: Box::new(left), right };
        }
        Ok(left)
    }

    fn comparison(&mut self, level: usize) -> Result<Node, String> {
        let mut left = self.value(level)?;
        while let Some(operator) = self.takes(&["==", "!=", "=~", "!~"]) {
            let (not, right) = (operator.starts_with('!'), Box::new(self.value(level)?));
            left = match operator {
                "==" | "!=" => Node::Equals { not, left: Box::new(left), right },
                _ => Node::Matches { not, left: Box::new(left), right },
            };
        }
        Ok(left)
    }

    fn value(&mut self, level: usize) -> Result<Node, String> {
        let token = self.peek().cloned();
        self.at += 1;
        match token {
            Some(Token::Value(node)) => Ok(node),
            Some(Token::Open) if level < LEVELS_MAX => {
                let inside = self.or(level + 1)?;
                if self.peek() != Some(&Token::Close) {
                    return Err("`)` is expected".to_owned());
                }
                self.at += 1;
                Ok(inside)
            }
            Some(Token::Open) => Err(format!("parentheses may nest {LEVELS_MAX} levels deep")),
            Some(Token::Operator(operator)) => Err(format!("a value is expected before `{operator}`")),
            Some(Token::Close) => Err("a value is expected before `)`".to_owned()),
            None => Err("a value is expected at the end".to_owned()),
        }
    }
}

fn evaluate(node: &Node, variables: &Variables) -> Result<Value, String> {
    Ok(match node {
        Node::Null => Value::Nil,
        Node::Text(text) | Node::Pattern(text) => Value::Text(text.clone()),
        Node::Variable(name) => variables.value(name).map_or(Value::Nil, Value::Text),
        Node::Join { or, left, right } => {
            let left = evaluate(left, variables)?;
            if left.is_true() == *or { left } else { evaluate(right, variables)? }
        }
        Node::Equals { not, left, right } => {
            Value::Bool((evaluate(left, variables)? == evaluate(right, variables)?) != *not)
        }
        Node::Matches { not, left, right } => {
            let text = match evaluate(left, variables)? {
                Value::Text(text) => text,
                _ => String::new(),
            };
            match evaluate(right, variables)? {
                Value::Text(regex) => Value::Bool(pattern(&regex)?.is_match(&text) != *not),
                // Nothing to match with: `=~` is false and `!~` true.
                _ => Value::Bool(*not),
            }
        }
    })
}
