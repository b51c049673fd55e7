//! The constraints of a Query operation's parameters, checked as AWS checks them: every broken one is told
//! at once, in AWS's words.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>

use std::ops::RangeInclusive;

use crate::error::{AwsError, Protocol, malformed};
use crate::query::Params;

/// The constraints that a request has broken so far.
#[derive(Debug, Default)]
pub struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    /// None broken yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parameter that the operation can't do without.
    pub fn required<'p>(&mut self, params: &'p Params, name: &str) -> Option<&'p str> {
        let value = params.get(name);
        if value.is_none() {
            self.missing(&member_of(name));
        }
        value
    }

    /// Notes that a member has no value.
    pub fn missing(&mut self, member: &str) {
        self.broken
            .push(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"));
    }

    /// The length of a value in characters.
    pub fn length(&mut self, member: &str, value: Option<&str>, chars: &RangeInclusive<usize>) {
        let Some(value) = value else { return };
        if let Some(limit) = length_fault(value, chars) {
            self.broken.push(sentence(Some(value), member, &limit));
        }
    }

    /// The length of a secret: AWS leaves such values out of the message, and so do we.
    pub fn secret_length(&mut self, member: &str, value: Option<&str>, chars: &RangeInclusive<usize>) {
        if let Some(limit) = value.and_then(|value| length_fault(value, chars)) {
            self.broken.push(sentence(None, member, &limit));
        }
    }

    /// The characters of a value. `pattern` is how AWS writes the expression.
    pub fn characters(&mut self, member: &str, value: Option<&str>, fits: fn(char) -> bool, pattern: &str) {
        if let Some(value) = value.filter(|value| !value.chars().all(fits)) {
            let limit = format!("Member must satisfy regular expression pattern: {pattern}");
            self.broken.push(sentence(Some(value), member, &limit));
        }
    }

    /// How many items a list has.
    pub fn items(&mut self, member: &str, items: usize, most: usize) {
        if items > most {
            let limit = format!("Member must have length less than or equal to {most}");
            self.broken.push(sentence(None, member, &limit));
        }
    }

    /// A whole number within bounds; none when it was not given.
    ///
    /// # Errors
    /// `MalformedInput` when it is no number at all.
    pub fn number(
        &mut self,
        params: &Params,
        name: &str,
        bounds: &RangeInclusive<i64>,
    ) -> Result<Option<u32>, AwsError> {
        let Some(text) = params.get(name) else { return Ok(None) };
        // A plus and leading zeros pass, white space and what 32 bits don't hold do not (observed).
        // <https://github.com/radkawar/stackd/blob/9dc356f5e5cc49d2d334178a09c1398dd1c62617/testdata/aws/sts/query_inputs.json>
        let number: i32 = text
            .parse()
            .map_err(|_| malformed(format!("{name} must be a number, got '{text}'"), Protocol::STS))?;
        let number = i64::from(number);
        let limit = if number < *bounds.start() {
            Some(format!("Member must have value greater than or equal to {}", bounds.start()))
        } else if number > *bounds.end() {
            Some(format!("Member must have value less than or equal to {}", bounds.end()))
        } else {
            None
        };
        if let Some(limit) = limit {
            self.broken.push(sentence(Some(text), &member_of(name), &limit));
        }
        Ok(u32::try_from(number).ok())
    }

    /// Whether nothing was broken.
    pub fn hold(&self) -> bool {
        self.broken.is_empty()
    }

    /// AWS's answer to all that was broken.
    pub fn error(&self) -> AwsError {
        let noun = if self.broken.len() == 1 { "error" } else { "errors" };
        AwsError::validation(format!(
            "{} validation {noun} detected: {}",
            self.broken.len(),
            self.broken.join("; ")
        ))
    }

    /// Goes on when nothing was broken.
    ///
    /// # Errors
    /// `ValidationError` with every broken constraint.
    pub fn check(&self) -> Result<(), AwsError> {
        if self.hold() { Ok(()) } else { Err(self.error()) }
    }
}

/// `RoleArn` is the member `roleArn`.
fn member_of(name: &str) -> String {
    let mut member = name.to_owned();
    if let Some(first) = member.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    member
}

fn length_fault(value: &str, chars: &RangeInclusive<usize>) -> Option<String> {
    let length = value.chars().count();
    if length < *chars.start() {
        Some(format!("Member must have length greater than or equal to {}", chars.start()))
    } else if length > *chars.end() {
        Some(format!("Member must have length less than or equal to {}", chars.end()))
    } else {
        None
    }
}

fn sentence(value: Option<&str>, member: &str, limit: &str) -> String {
    match value {
        Some(value) => format!("Value '{value}' at '{member}' failed to satisfy constraint: {limit}"),
        None => format!("Value at '{member}' failed to satisfy constraint: {limit}"),
    }
}
