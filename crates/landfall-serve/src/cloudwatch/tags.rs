//! Tags of alarms.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::{Called, Fault, Keys};
use crate::authz::cloudwatch_calls as calls;
use crate::store::cloudwatch::Alarm;
use crate::store::ecs::Tags;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "ListTagsForResource" => list(call),
        "TagResource" => tag(call),
        "UntagResource" => untag(call),
        _ => return None,
    })
}

/// The tags that a call gives.
pub(super) fn given(call: &Called<'_>) -> Result<Tags, AwsError> {
    let pair = |tag: &landfall_wire::json::Input<'_>| {
        Ok((tag.required_text("Key")?.to_owned(), tag.required_text("Value")?.to_owned()))
    };
    call.input.objects("Tags")?.iter().map(pair).collect()
}

/// Condition keys of tags in a request.
pub(super) fn keys(tags: &Tags) -> Keys {
    let values = tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()]));
    let names: Vec<String> = tags.iter().map(|(key, _)| key.clone()).collect();
    let all = (!names.is_empty()).then(|| ("aws:TagKeys".to_owned(), names));
    values.chain(all).collect()
}

/// The ARN that a call names, and the alarm's name in it.
fn named(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let arn = call.input.required_text("ResourceARN")?.to_owned();
    let name = arn.split_once(":alarm:").map_or_else(String::new, |(_, name)| name.to_owned());
    Ok((arn, name))
}

fn absent(arn: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", 404, format!("Unknown resource: {arn}"))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let (arn, name) = named(call)?;
    call.authorize::<calls::ListTagsForResource>(arn.clone(), Vec::new())?;
    let known = call.world.store.get::<Alarm>(&call.place.key(&[&name])).ok_or_else(|| absent(&arn))?;
    let tags: Vec<Value> =
        known.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": tags }))
}

fn tag(call: &Called<'_>) -> Result<Value, AwsError> {
    let (arn, name) = named(call)?;
    let tags = given(call)?;
    let permit = call.authorize::<calls::TagResource>(arn.clone(), keys(&tags))?;
    call.write(&permit, |writing| {
        let known =
            writing.get::<Alarm>(&call.place.key(&[&name])).ok_or_else(|| Fault::from(absent(&arn)))?;
        let mut alarm = (*known).clone();
        alarm.tags.retain(|(key, _)| !tags.iter().any(|(new, _)| new == key));
        alarm.tags.extend(tags);
        writing.put(alarm);
        Ok(())
    })?;
    Ok(json!({}))
}

fn untag(call: &Called<'_>) -> Result<Value, AwsError> {
    let (arn, name) = named(call)?;
    let names = call.input.texts("TagKeys")?;
    let of_keys = vec![("aws:TagKeys".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())];
    let permit = call.authorize::<calls::UntagResource>(arn.clone(), of_keys)?;
    call.write(&permit, |writing| {
        let known =
            writing.get::<Alarm>(&call.place.key(&[&name])).ok_or_else(|| Fault::from(absent(&arn)))?;
        let mut alarm = (*known).clone();
        alarm.tags.retain(|(key, _)| !names.contains(&key.as_str()));
        writing.put(alarm);
        Ok(())
    })?;
    Ok(json!({}))
}
