//! What the parameters of each operation may be, before anything else is asked of a call: what is required, limits,
//! patterns and choices of AWS's own API model. All that is wrong is told at once, as AWS does it.
//!
//! Of a broken pattern IAM tells names and paths in words of their own (observed).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::OnceLock;

use landfall_wire::error::AwsError;
use landfall_wire::query::Params;

use super::account::is_alias;
use super::checks::is_tag_text;
use crate::models::{Kind, Model, Shape};

/// How deep parameters may be nested; the deepest of the model is 5.
const DEPTH_MAX: usize = 8;
/// The longest value that a refusal repeats, in bytes.
const REPEATED_BYTES_MAX: usize = 2_048;

/// The pattern of names.
const NAME: &str = r"[\w+=,.@-]+";
/// The pattern of documents.
const DOCUMENT: &str = r"[\u0009\u000A\u000D\u0020-\u00FF]+";
/// How the patterns of tags begin: letters of every language, which the patterns' library has no table of.
const TAG_PREFIX: &str = r"[\p{L}\p{Z}\p{N}";
/// The name of an account looks ahead, which that library doesn't.
const ALIAS_PREFIX: &str = "^[a-z0-9]([a-z0-9]|-(?!-))";
/// Choices of the model that no caller has: a key expires by itself.
const NOT_CHOSEN: &[&str] = &["Expired"];

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    Model::once(&MODEL, include_str!("../../data/iam.json"))
}

/// Looks at all parameters of a call.
///
/// # Errors
/// `ValidationError`.
pub(crate) fn check(operation: &str, params: &Params) -> Result<(), AwsError> {
    let model = model();
    let Some(shape) = model.operations.get(operation).and_then(|name| model.shapes.get(name)) else {
        return Ok(());
    };
    let params = params.iter().collect();
    let mut checker = Checker { model, params, broken: Vec::new(), worded: None };
    checker.structure(shape, "", "", DEPTH_MAX);
    let Checker { broken, worded, .. } = checker;
    let noun = match broken.len() {
        0 => return worded.map_or(Ok(()), |message| Err(AwsError::validation(message))),
        1 => "1 validation error".to_owned(),
        count => format!("{count} validation errors"),
    };
    Err(AwsError::validation(format!("{noun} detected: {}", broken.join("; "))))
}

struct Checker<'a> {
    model: &'static Model,
    /// The parameters by their names, `Tags.member.1.Key`.
    params: BTreeMap<&'a str, &'a str>,
    /// `Value 'x' at 'roleName' failed to satisfy constraint: …`.
    broken: Vec<String>,
    /// A sentence that is told by itself when nothing else is wrong.
    worded: Option<String>,
}

impl Checker<'_> {
    /// The members below a prefix of parameters; `place` is what refusals call it.
    fn structure(&mut self, shape: &'static Shape, prefix: &str, place: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        for (name, of) in &shape.members {
            let Some(of) = of.as_str().and_then(|of| self.model.shapes.get(of)) else { continue };
            let param = format!("{prefix}{name}");
            let member = lower_first(name);
            let place = if place.is_empty() { member } else { format!("{place}.{member}") };
            if self.is_given(&param) {
                self.value(of, &param, &place, depth);
            } else if shape.required.contains(name) {
                self.fail(None, &place, "Member must not be null");
            }
        }
    }

    fn is_given(&self, param: &str) -> bool {
        self.params.contains_key(param) || self.below(&format!("{param}.")).next().is_some()
    }

    /// The parameters whose names begin so.
    fn below<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s str> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.params.range::<str, _>(from).map(|(name, _)| *name);
        names.take_while(move |name| name.starts_with(prefix))
    }

    fn value(&mut self, shape: &'static Shape, param: &str, place: &str, depth: usize) {
        match shape.kind {
            Kind::Structure => self.structure(shape, &format!("{param}."), place, depth),
            Kind::List => self.list(shape, param, place, depth),
            Kind::String | Kind::Blob => self.text(shape, param, place),
            Kind::Integer => {
                // What is no number is malformed, which the operation says.
                let text = self.params.get(param).copied().unwrap_or_default();
                let limit = text.parse().ok().and_then(|number| shape.broken_limit(number));
                if let Some(limit) = limit {
                    self.fail(Some(text.to_owned()), place, &format!("Member must have value {limit}"));
                }
            }
            // IAM's maps, and numbers that aren't whole, are in its answers.
            Kind::Boolean | Kind::Map | Kind::Number | Kind::Timestamp => {}
        }
    }

    fn list(&mut self, shape: &'static Shape, param: &str, place: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let prefix = format!("{param}.member.");
        // `member.01` is `member.1`.
        let number = |name: &str| {
            let written = name.get(prefix.len()..)?.split('.').next()?;
            Some((written.parse::<usize>().ok()?, written.to_owned()))
        };
        let numbers: BTreeMap<usize, String> = self.below(&prefix).filter_map(number).collect();
        let length = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
        if let Some(limit) = shape.broken_limit(length) {
            self.fail_unsaid(place, &format!("Member must have length {limit}"));
            return;
        }
        let Some(of) = shape.member.as_ref().and_then(|of| self.model.shapes.get(of)) else { return };
        for (number, written) in numbers {
            // A plain item is told by the name of its list.
            let within = match of.kind {
                Kind::Structure => format!("{place}.{number}.member"),
                _ => place.to_owned(),
            };
            self.value(of, &format!("{prefix}{written}"), &within, depth);
        }
    }

    fn text(&mut self, shape: &'static Shape, param: &str, place: &str) {
        let text = self.params.get(param).copied().unwrap_or_default();
        let is_document = shape.pattern.as_deref() == Some(DOCUMENT);
        let repeated = (!is_document && text.len() <= REPEATED_BYTES_MAX).then(|| text.to_owned());
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let constraint = if let Some(limit) = shape.broken_limit(length) {
            format!("Member must have length {limit}")
        } else if let Some(values) = shape.values.as_ref() {
            let known: Vec<&str> =
                values.iter().map(String::as_str).filter(|value| !NOT_CHOSEN.contains(value)).collect();
            if known.contains(&text) {
                return;
            }
            format!("Member must satisfy enum value set: [{}]", known.join(", "))
        } else {
            let Some(pattern) = shape.pattern.as_deref().filter(|pattern| !is_of(pattern, shape, text))
            else {
                return;
            };
            if let Some(words) = in_words(pattern, place) {
                self.worded.get_or_insert(words);
                return;
            }
            format!("Member must satisfy regular expression pattern: {pattern}")
        };
        match repeated {
            Some(text) => self.fail(Some(text), place, &constraint),
            None => self.fail_unsaid(place, &constraint),
        }
    }

    fn fail(&mut self, value: Option<String>, place: &str, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        self.broken.push(format!("Value {value} at '{place}' failed to satisfy constraint: {constraint}"));
    }

    /// The same of a value that is not repeated: a document, or a list.
    fn fail_unsaid(&mut self, place: &str, constraint: &str) {
        self.broken.push(format!("Value at '{place}' failed to satisfy constraint: {constraint}"));
    }
}

/// `RoleName` is the member `roleName`.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Whether a text is one of a pattern.
fn is_of(pattern: &str, shape: &Shape, text: &str) -> bool {
    let is_document = |c: char| matches!(c, '\t' | '\n' | '\r') || (' '..='\u{ff}').contains(&c);
    match pattern {
        DOCUMENT => text.chars().all(is_document),
        pattern if pattern.starts_with(TAG_PREFIX) => is_tag_text(text),
        pattern if pattern.starts_with(ALIAS_PREFIX) => is_alias(text),
        _ => shape.matches(text) != Some(false),
    }
}

/// IAM's own sentence for a pattern that names or paths have.
fn in_words(pattern: &str, place: &str) -> Option<String> {
    let must = if pattern == NAME {
        "contain only alphanumeric characters and/or the following: +=,.@_-"
    } else if place.ends_with("athPrefix") {
        // <https://github.com/aws/aws-cli/issues/5860>
        "begin with the / character and contain only alphanumeric characters and/or / characters."
    } else if place == "path" || place == "newPath" {
        "begin and end with / and contain only alphanumeric characters and/or / characters."
    } else {
        return None;
    };
    Some(format!("The specified value for {place} is invalid. It must {must}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_pattern_and_every_name_of_the_model_is_understood() {
        model().check_whole(|pattern| pattern.starts_with(TAG_PREFIX) || pattern.starts_with(ALIAS_PREFIX));
    }

    fn told(operation: &str, form: &str) -> String {
        let params = Params::parse(form).unwrap();
        check(operation, &params).err().map_or_else(String::new, |error| error.message)
    }

    #[test]
    fn what_is_wrong_is_told_at_once_and_names_in_words_of_their_own() {
        let name = |operation: &str, value: &str| told(operation, &format!("RoleName={value}"));
        assert_eq!(name("GetRole", "deploy"), "");
        assert_eq!(
            name("GetRole", "a%2Fb"),
            "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        );
        assert_eq!(
            told("ListAttachedRolePolicies", "RoleName=&MaxItems=0"),
            "2 validation errors detected: Value '' at 'roleName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"
        );
        assert_eq!(
            told("TagRole", "RoleName=r"),
            "1 validation error detected: Value null at 'tags' failed to satisfy constraint: Member must not be null"
        );
        assert_eq!(
            told("TagRole", "RoleName=r&Tags.member.1.Key=team&Tags.member.1.Value=w&Tags.member.2.Key=x"),
            "1 validation error detected: Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null"
        );
        let tags: Vec<String> =
            (1..=51).map(|n| format!("Tags.member.{n}.Key=k{n}&Tags.member.{n}.Value=v")).collect();
        assert_eq!(
            told("TagRole", &format!("RoleName=r&{}", tags.join("&"))),
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50"
        );
        let document = told("PutRolePolicy", "RoleName=r&PolicyName=p&PolicyDocument=%E2%80%94");
        assert_eq!(
            document,
            r"1 validation error detected: Value at 'policyDocument' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+"
        );
        assert_eq!(
            told("ListRoles", "PathPrefix=x"),
            "The specified value for pathPrefix is invalid. It must begin with the / character and contain only alphanumeric characters and/or / characters."
        );
    }

    #[test]
    fn many_nested_parameters_are_looked_at_once_each() {
        let entries: Vec<String> =
            (0..1_900).map(|n| format!("ContextEntries.member.{n}.ContextKeyName=aws:userid")).collect();
        let form =
            format!("ActionNames.member.1=s3:GetObject&PolicyInputList.member.1=x&{}", entries.join("&"));
        assert_eq!(told("SimulateCustomPolicy", &form), "");
    }
}
