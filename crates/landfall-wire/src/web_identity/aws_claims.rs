//! The claims that an issuer addresses to AWS: source identity, session tags and roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp>

use landfall_types::{Arn, ClaimValue, Claims};

use super::{invalid_token, texts};
use crate::error::AwsError;
use crate::sts::{
    TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX, is_name_char, is_reserved, is_tag_char, role_arn,
    same_tag_key,
};

const SOURCE_IDENTITY_CHARS_MIN: usize = 2;
const SOURCE_IDENTITY_CHARS_MAX: usize = 64;

const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";
const TAGS: &str = "https://aws.amazon.com/tags";
const FLAT_TAG: &str = "https://aws.amazon.com/tags/principal_tags/";
const FLAT_TRANSITIVE: &str = "https://aws.amazon.com/tags/transitive_tag_keys";
const ROLES: &str = "https://aws.amazon.com/roles";

pub(super) fn source_identity(claims: &Claims) -> Result<Option<String>, AwsError> {
    let Some(value) = claims.get(SOURCE_IDENTITY) else { return Ok(None) };
    let ClaimValue::Text(text) = value else { return Err(bad_source_identity()) };
    let length = text.chars().count();
    let well_formed = (SOURCE_IDENTITY_CHARS_MIN..=SOURCE_IDENTITY_CHARS_MAX).contains(&length)
        && text.chars().all(is_name_char)
        && !is_reserved(text);
    if well_formed { Ok(Some(text.clone())) } else { Err(bad_source_identity()) }
}

fn bad_source_identity() -> AwsError {
    invalid_token("source_identity passed in claim is not in correct format.")
}

/// The tags in their order and the keys that are transitive.
type Tags = (Vec<(String, String)>, Vec<String>);

pub(super) fn session_tags(claims: &Claims) -> Result<Tags, AwsError> {
    let mut tags: Vec<(String, String)> = Vec::new();
    let mut transitive: Option<Vec<String>> = None;
    if let Some(nested) = claims.get(TAGS) {
        let ClaimValue::Map(members) = nested else { return Err(bad_tags()) };
        if let Some(principal) = member(members, "principal_tags") {
            let ClaimValue::Map(principal) = principal else { return Err(bad_principal_tags()) };
            for (key, value) in principal {
                add(&mut tags, key, only_text(value).ok_or_else(bad_principal_tags)?)?;
            }
        }
        transitive = member(members, "transitive_tag_keys").map(tag_keys).transpose()?;
    }
    for (name, value) in claims.iter() {
        if let Some(key) = name.strip_prefix(FLAT_TAG) {
            let ClaimValue::Text(value) = value else { return Err(bad_principal_tags()) };
            add(&mut tags, key, value)?;
        }
    }
    if let Some(value) = claims.get(FLAT_TRANSITIVE) {
        if transitive.is_some() {
            return Err(bad_tags());
        }
        transitive = Some(tag_keys(value)?);
    }
    let transitive = transitive.unwrap_or_default();
    let named = |key: &String| tags.iter().any(|(known, _)| same_tag_key(known, key));
    if tags.len() > TAGS_MAX || !transitive.iter().all(named) {
        return Err(bad_tags());
    }
    Ok((tags, transitive))
}

fn add(tags: &mut Vec<(String, String)>, key: &str, value: &str) -> Result<(), AwsError> {
    let key_chars = key.chars().count();
    let well_formed = (1..=TAG_KEY_CHARS_MAX).contains(&key_chars)
        && value.chars().count() <= TAG_VALUE_CHARS_MAX
        && key.chars().all(is_tag_char)
        && value.chars().all(is_tag_char)
        && !is_reserved(key);
    let repeated = tags.iter().any(|(known, _)| same_tag_key(known, key));
    if !well_formed || repeated || tags.len() > TAGS_MAX {
        return Err(bad_tags());
    }
    tags.push((key.to_owned(), value.to_owned()));
    Ok(())
}

fn only_text(value: &ClaimValue) -> Option<&str> {
    match value {
        ClaimValue::List(items) => match items.as_slice() {
            [ClaimValue::Text(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn tag_keys(value: &ClaimValue) -> Result<Vec<String>, AwsError> {
    match value {
        ClaimValue::List(items) if items.len() <= TAGS_MAX => texts(items).ok_or_else(bad_tags),
        _ => Err(bad_tags()),
    }
}

fn member<'m>(members: &'m [(String, ClaimValue)], name: &str) -> Option<&'m ClaimValue> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn bad_principal_tags() -> AwsError {
    invalid_token("principal_tags passed in claim is not in correct format.")
}

fn bad_tags() -> AwsError {
    invalid_token("Session tags passed in claim are not in correct format.")
}

/// A text with `;` between role ARNs, or a list of them. What isn't a role's ARN is passed over.
pub(super) fn roles(claims: &Claims) -> Result<Option<Vec<String>>, AwsError> {
    let candidates: Vec<&str> = match claims.get(ROLES) {
        None | Some(ClaimValue::Null) => return Ok(None),
        Some(ClaimValue::Text(text)) => text.split(';').collect(),
        Some(ClaimValue::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                ClaimValue::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect(),
        Some(_) => return Err(invalid_token("The roles claim is not in a supported format")),
    };
    let roles: Vec<String> =
        candidates.into_iter().map(str::trim).filter(|text| is_role_arn(text)).map(str::to_owned).collect();
    if roles.is_empty() {
        return Err(invalid_token("The roles claim contains no valid role ARNs"));
    }
    Ok(Some(roles))
}

fn is_role_arn(text: &str) -> bool {
    role_arn(text).is_some_and(|arn: Arn| !arn.resource.contains([':', ';', '*', '?']))
}
