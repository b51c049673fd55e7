//! `*` and `?`, and the variables that may stand beside them.
//!
//! Matching keeps one way back, to the last `*`: at worst pattern length times text length, never
//! exponential, and without allocation unless a variable is expanded.

use crate::request::Context;

/// One element of a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// This very character.
    Char(char),
    /// `?`: any one character.
    One,
    /// `*`: any characters, also none.
    Many,
}

impl Token {
    fn of(character: char) -> Self {
        match character {
            '*' => Self::Many,
            '?' => Self::One,
            other => Self::Char(other),
        }
    }

    /// The character as which the element was written.
    pub fn char(self) -> char {
        match self {
            Self::Char(character) => character,
            Self::One => '?',
            Self::Many => '*',
        }
    }
}

/// A variable that the request can't fill and that has no default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unresolved {
    /// The condition key that the variable names.
    pub key: String,
}

/// Whether the text is in the pattern's language; letters must agree in case.
pub fn glob(pattern: &str, text: &str) -> bool {
    // A pattern matches its own text: the usual answer of a policy without wildcards.
    pattern == text || run_bytes(pattern, text, |left, right| left == right)
}

/// As [`glob`], but letters of ASCII agree in either case: actions are compared so.
pub fn glob_ignore_case(pattern: &str, text: &str) -> bool {
    pattern.eq_ignore_ascii_case(text)
        || run_bytes(pattern, text, |left, right| left.eq_ignore_ascii_case(&right))
}

/// As [`glob`], for an expanded pattern.
pub fn glob_tokens(pattern: &[Token], text: &str) -> bool {
    run_tokens(pattern, text)
}

/// Whether two characters are the same but for their case (one to one lower-casing, as
/// `StringEqualsIgnoreCase` is read here).
pub fn same_but_for_case(left: char, right: char) -> bool {
    left == right || left.to_lowercase().eq(right.to_lowercase())
}

/// Whether two texts are the same but for their case.
pub fn equal_but_for_case(left: &str, right: &str) -> bool {
    let mut rest = right.chars();
    left.chars().all(|character| rest.next().is_some_and(|other| same_but_for_case(character, other)))
        && rest.next().is_none()
}

/// Whether an ARN is in the pattern's language: six parts at the first five colons, each matched on
/// its own, so that only the last can hold further colons. A pattern with fewer parts matches only
/// when it ends in `*`, which then stands for all the missing ones.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN>
pub fn arn(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (mut pattern, mut text) = (pattern, text);
    for _ in 1..ARN_PARTS {
        let Some((wanted, pattern_rest)) = split_at_colon(pattern) else {
            return pattern.ends_with('*') && glob(pattern, text);
        };
        let Some((found, text_rest)) = split_at_colon(text) else { return false };
        if !glob(wanted, found) {
            return false;
        }
        (pattern, text) = (pattern_rest, text_rest);
    }
    glob(pattern, text)
}

/// The parts of an ARN are short: looking at each byte is faster than `split_once`'s search.
fn split_at_colon(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == b':')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// As [`arn`], for an expanded pattern.
pub fn arn_tokens(pattern: &[Token], text: &str) -> bool {
    let split = || pattern.splitn(ARN_PARTS, |token| *token == Token::Char(':'));
    let parts = split().count();
    if parts < ARN_PARTS && pattern.last() != Some(&Token::Many) {
        return false;
    }
    let mut texts = text.splitn(parts, ':');
    split().all(|pattern| texts.next().is_some_and(|text| glob_tokens(pattern, text)))
}

/// Whether an action is named by a pattern of `Action`; case is ignored.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html>
pub fn action(pattern: &str, action: &str) -> bool {
    glob_ignore_case(pattern, action)
}

/// Whether a resource is named by a pattern of `Resource`. `variables` says whether the policy's
/// version has them.
///
/// # Errors
/// When the pattern holds a variable that the request can't fill: such a pattern matches nothing.
pub fn resource(
    pattern: &str,
    resource: &str,
    context: &Context,
    variables: bool,
) -> Result<bool, Unresolved> {
    if variables && has_variable(pattern) {
        Ok(arn_tokens(&expand(pattern, context)?, resource))
    } else {
        Ok(arn(pattern, resource))
    }
}

/// Whether [`expand`] has anything to do.
pub fn has_variable(pattern: &str) -> bool {
    // One byte is found faster than two, and most patterns have none.
    pattern.contains('$') && pattern.contains("${")
}

/// Fills in `${key}` and `${key, 'default'}`; the value's own `*` and `?` are ordinary characters, as
/// are those written `${*}`, `${?}` and `${$}`. Keys with several values can't be filled in.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>
///
/// # Errors
/// When a key is absent, or has more or less than one value, and there is no default.
pub fn expand(pattern: &str, context: &Context) -> Result<Vec<Token>, Unresolved> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, variable, after)) = next_variable(rest) {
        tokens.extend(before.chars().map(Token::of));
        match variable {
            "*" | "?" | "$" => tokens.extend(variable.chars().map(Token::Char)),
            _ => tokens.extend(value_of(variable, context)?.chars().map(Token::Char)),
        }
        rest = after;
    }
    tokens.extend(rest.chars().map(Token::of));
    Ok(tokens)
}

/// The text before the first variable, what stands between its braces, and the text after it. A `${`
/// that is never closed is no variable.
pub fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (variable, after) = rest.split_once('}')?;
    Some((before, variable, after))
}

/// The key that a variable names, and its default, from what stands between its braces.
pub fn key_and_default(variable: &str) -> (&str, Option<&str>) {
    let Some((key, default)) = variable.split_once(',') else {
        return (variable.trim(), None);
    };
    let default = default.trim();
    let unquoted = default.strip_prefix('\'').and_then(|default| default.strip_suffix('\''));
    (key.trim(), Some(unquoted.unwrap_or(default)))
}

fn value_of<'a>(variable: &'a str, context: &'a Context) -> Result<&'a str, Unresolved> {
    let (key, default) = key_and_default(variable);
    match context.get(key) {
        Some([value]) => Ok(value),
        _ => default.ok_or_else(|| Unresolved { key: key.to_owned() }),
    }
}

/// Matches by bytes: UTF-8 agrees by bytes where it agrees by characters, and `?` takes all bytes of
/// one character.
fn run_bytes(pattern: &str, text: &str, same: impl Fn(u8, u8) -> bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Most patterns of a policy differ before their first wildcard: that is settled without a detour.
    let is_plain = |byte: u8| !matches!(byte, b'*' | b'?');
    let agreeing =
        pattern.iter().zip(text).take_while(|(wanted, found)| is_plain(**wanted) && same(**wanted, **found));
    let start = agreeing.count();
    match pattern.get(start) {
        Some(next) if is_plain(*next) => return false,
        None => return start == text.len(),
        Some(_) => {}
    }
    let (mut at, mut text_at) = (start, start);
    // Where to go on after the last `*`, and what it has swallowed; earlier ones never need to grow again.
    let mut last_many: Option<(usize, usize)> = None;
    loop {
        let goes_on = match (pattern.get(at).copied(), text.get(text_at).copied()) {
            (Some(b'*'), _) => {
                at += 1;
                if at == pattern.len() {
                    return true;
                }
                last_many = Some((at, text_at));
                continue;
            }
            (Some(_), None) => return false,
            (Some(b'?'), Some(_)) => {
                text_at = next_character(text, text_at);
                at += 1;
                continue;
            }
            (Some(wanted), Some(found)) => same(wanted, found),
            (None, None) => return true,
            (None, Some(_)) => false,
        };
        if goes_on {
            at += 1;
            text_at += 1;
            continue;
        }
        let Some((after, from)) = &mut last_many else { return false };
        *from = next_character(text, *from);
        (at, text_at) = (*after, *from);
    }
}

/// The offset of the character after the one at `at`.
fn next_character(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or(&[]);
    at + 1 + rest.iter().take_while(|byte| **byte & 0xc0 == 0x80).count()
}

fn run_tokens(pattern: &[Token], text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text.chars());
    let mut last_many = None;
    loop {
        let mut text_next = text.clone();
        let goes_on = match (pattern.split_first(), text_next.next()) {
            (Some((Token::Many, rest)), _) => {
                last_many = Some((rest, text.clone()));
                pattern = rest;
                continue;
            }
            (Some(_), None) => return false,
            (Some((Token::One, _)), Some(_)) => true,
            (Some((Token::Char(wanted), _)), Some(found)) => *wanted == found,
            (None, None) => return true,
            (None, Some(_)) => false,
        };
        if goes_on {
            (pattern, text) = (pattern.get(1..).unwrap_or(&[]), text_next);
            continue;
        }
        let Some((after, from)) = &mut last_many else { return false };
        if from.next().is_none() {
            return false;
        }
        (pattern, text) = (*after, from.clone());
    }
}

/// `arn:partition:service:region:account:resource`.
const ARN_PARTS: usize = 6;
