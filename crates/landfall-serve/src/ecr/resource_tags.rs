//! Resource tags of repositories, which policies can look at.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html>

use landfall_types::RepositoryName;
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Value, json};

use super::access::repository_of_arn;
use super::{Answer, EcrCall, Face, Found, PUBLIC_REGION};
use crate::authz::Call;
use crate::store::RegistryId;
use crate::store::ecs::Tags;
pub(super) use crate::tags::request_keys;
use crate::tags::{
    KEY_CHARS_MAX, TAGS_MAX, VALUE_CHARS_MAX, is_key_length, is_reserved, is_value_length, merge,
};
use crate::world::World;

/// Reads a list of `Key` and `Value`.
pub(super) fn read(input: &Value, member: &str) -> Result<Tags, AwsError> {
    let given = input.get(member).and_then(Value::as_array);
    let text = |tag: &Value, name: &str| tag.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let tags: Tags = given.into_iter().flatten().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
    check_count(tags.len())?;
    for (index, (key, value)) in tags.iter().enumerate() {
        check(key, value)?;
        if tags.iter().skip(index + 1).any(|(other, _)| other == key) {
            return Err(invalid(format!("Duplicate tag key '{key}' found in the request.")));
        }
    }
    Ok(tags)
}

fn check_count(count: usize) -> Result<(), AwsError> {
    if count <= TAGS_MAX {
        return Ok(());
    }
    let message = format!("a repository has at most {TAGS_MAX} tags, {count} were given");
    Err(AwsError::bad_request("TooManyTagsException", message))
}

fn check(key: &str, value: &str) -> Result<(), AwsError> {
    let is_allowed =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@');
    if !is_key_length(key) {
        return Err(invalid(format!("Tag keys must have 1 to {KEY_CHARS_MAX} characters.")));
    }
    if !is_value_length(value) {
        return Err(invalid(format!("Tag values must have at most {VALUE_CHARS_MAX} characters.")));
    }
    if !key.chars().chain(value.chars()).all(is_allowed) {
        return Err(invalid(format!(
            "The tag '{key}' has characters other than letters, numbers, white space and + - = . _ : / @."
        )));
    }
    if is_reserved(key) {
        return Err(invalid("Tag keys must not begin with aws:, which is reserved.".to_owned()));
    }
    Ok(())
}

fn invalid(message: String) -> AwsError {
    AwsError::bad_request("InvalidTagParameterException", message)
}

/// The repository that `resourceArn` names.
fn resource(call: &EcrCall<'_>) -> Result<(RegistryId, RepositoryName), AwsError> {
    let arn = call.text("resourceArn").unwrap_or_default();
    let is_here = |registry: &RegistryId| match call.face {
        Face::Private => registry.region == call.identified.region,
        Face::Public => registry.region == PUBLIC_REGION,
    };
    repository_of_arn(arn)
        .filter(|(registry, _)| is_here(registry))
        .ok_or_else(|| ecr_invalid_parameter("resourceArn", "Invalid ARN"))
}

pub(super) fn list<C: Call>(call: &EcrCall<'_>) -> Answer {
    let (registry, name) = resource(call)?;
    let found = call.on::<C>(registry, name, Vec::new())?;
    let tags = found.repository.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    Ok(json!({ "tags": tags.collect::<Vec<_>>() }))
}

pub(super) fn tag<C: Call>(call: &EcrCall<'_>) -> Answer {
    let (registry, name) = resource(call)?;
    let tags = read(&call.input, "tags")?;
    let found = call.on::<C>(registry, name, request_keys(&tags))?;
    add(call.world, &found, tags)?;
    Ok(json!({}))
}

fn add<C>(world: &World, found: &Found<C>, tags: Tags) -> Result<(), AwsError> {
    let mut all = found.repository.tags.clone();
    merge(&mut all, &tags);
    check_count(all.len())?;
    found.change(world, |repository| merge(&mut repository.tags, &tags))
}

pub(super) fn untag<C: Call>(call: &EcrCall<'_>) -> Answer {
    let (registry, name) = resource(call)?;
    let keys: Vec<String> = call
        .input
        .get("tagKeys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    let context = vec![("aws:TagKeys".to_owned(), keys.clone())];
    let found = call.on::<C>(registry, name, context)?;
    found.change(call.world, |repository| repository.tags.retain(|(key, _)| !keys.contains(key)))?;
    Ok(json!({}))
}
