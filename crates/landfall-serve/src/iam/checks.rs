//! What names, paths, descriptions and tags may look like, in AWS's words.

use landfall_wire::error::AwsError;

use super::{SESSION_SECONDS_DEFAULT, SESSION_SECONDS_MAX, error, limit_exceeded};

/// Longest description, in characters.
pub(super) const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Tags of one thing.
pub(super) const TAGS_MAX: usize = 50;
/// Longest path, in characters.
const PATH_CHARS_MAX: usize = 512;
/// Longest key of a tag, in characters.
const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest value of a tag, in characters.
const TAG_VALUE_CHARS_MAX: usize = 256;

/// `1 validation error detected: …`.
pub(super) fn validation(member: &str, value: &str, constraint: &str) -> AwsError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    );
    error("ValidationError", message, 400)
}

/// Whether a text has so many characters.
///
/// # Errors
/// `ValidationError`.
pub fn check_length(member: &str, value: &str, shortest: usize, longest: usize) -> Result<(), AwsError> {
    let constraint = match value.chars().count() {
        count if count < shortest => format!("greater than or equal to {shortest}"),
        count if count > longest => format!("less than or equal to {longest}"),
        _ => return Ok(()),
    };
    Err(validation(member, value, &format!("Member must have length {constraint}")))
}

pub(super) fn check_description(description: Option<&str>) -> Result<(), AwsError> {
    check_length("description", description.unwrap_or(""), 0, DESCRIPTION_CHARS_MAX)
}

/// `noun` is what has the tags, as its quota names it: `Role`.
pub(super) fn check_tags(noun: &str, tags: &[(String, String)]) -> Result<(), AwsError> {
    if tags.len() > TAGS_MAX {
        return Err(limit_exceeded(&format!("TagsPer{noun}"), TAGS_MAX));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        let member = |part: &str| format!("tags.{}.member.{part}", index + 1);
        check_length(&member("key"), key, 1, TAG_KEY_CHARS_MAX)?;
        check_length(&member("value"), value, 0, TAG_VALUE_CHARS_MAX)?;
        check_tag_text(&member("key"), key, "+")?;
        // Refused as an invalid value (observed); in which words, nobody wrote down.
        if key.trim().is_empty() {
            return Err(validation(&member("key"), key, "Member must not be blank"));
        }
        check_tag_text(&member("value"), value, "*")?;
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            let message = "Tag keys beginning with aws: are reserved for system use.";
            return Err(error("InvalidInput", message, 400));
        }
        let earlier = tags.get(..index).unwrap_or_default();
        if earlier.iter().any(|(other, _)| is_same_key(noun, other, key)) {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(error("InvalidInput", message, 400));
        }
    }
    Ok(())
}

/// Whether two tag keys are one. Those of users and roles ignore case, those of everything else don't.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules>
pub(super) fn is_same_key(noun: &str, one: &str, other: &str) -> bool {
    match noun {
        "User" | "Role" => one.to_lowercase() == other.to_lowercase(),
        _ => one == other,
    }
}

/// Whether a text has only what tags may have: letters, digits and spaces of every language, and a few marks.
pub(crate) fn is_tag_text(text: &str) -> bool {
    let is_fine =
        |character: char| character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character);
    text.chars().all(is_fine)
}

fn check_tag_text(member: &str, text: &str, repeat: &str) -> Result<(), AwsError> {
    if is_tag_text(text) {
        return Ok(());
    }
    let pattern = format!("[\\p{{L}}\\p{{Z}}\\p{{N}}_.:/=+\\-@]{repeat}");
    Err(validation(member, text, &format!("Member must satisfy regular expression pattern: {pattern}")))
}

/// Whether a role can have a name.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
pub(crate) fn is_role_name(name: &str) -> bool {
    (1..=super::roles::NAME_CHARS_MAX).contains(&name.len()) && has_letters_of_names(name)
}

fn has_letters_of_names(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

pub(super) fn check_name(member: &str, name: &str, longest: usize) -> Result<(), AwsError> {
    check_length(member, name, 1, longest)?;
    if has_letters_of_names(name) {
        return Ok(());
    }
    let message = format!(
        "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
    );
    Err(error("ValidationError", message, 400))
}

pub(super) fn check_path(path: &str) -> Result<(), AwsError> {
    let printable = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if path.starts_with('/') && path.ends_with('/') && path.len() <= PATH_CHARS_MAX && printable {
        return Ok(());
    }
    let message = "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.";
    Err(error("ValidationError", message, 400))
}

pub(super) fn check_session_seconds(seconds: u32) -> Result<(), AwsError> {
    let constraint = match seconds {
        seconds if seconds < SESSION_SECONDS_DEFAULT => {
            "Member must have value greater than or equal to 3600"
        }
        seconds if seconds > SESSION_SECONDS_MAX => "Member must have value less than or equal to 43200",
        _ => return Ok(()),
    };
    Err(validation("maxSessionDuration", &seconds.to_string(), constraint))
}
