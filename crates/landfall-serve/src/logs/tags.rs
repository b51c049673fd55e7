//! Tags of log groups. The older operations name the group, the newer ones its ARN without `:*`.

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::{Called, Named, invalid};
use crate::authz::{self, log_calls as calls};
use crate::store::ecs::Tags;
use crate::store::logs::group_arn;
use crate::tags::{TAGS_MAX, gone_keys, is_reserved, merge, request_keys};

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "TagResource" => by_arn(call).and_then(|of| tag::<calls::TagResource>(call, of)),
        "UntagResource" => by_arn(call).and_then(|of| untag::<calls::UntagResource>(call, of, "tagKeys")),
        "ListTagsForResource" => by_arn(call).and_then(|of| list::<calls::ListTagsForResource>(call, of)),
        "TagLogGroup" => by_name(call).and_then(|of| tag::<calls::TagLogGroup>(call, of)),
        "UntagLogGroup" => by_name(call).and_then(|of| untag::<calls::UntagLogGroup>(call, of, "tags")),
        "ListTagsLogGroup" => by_name(call).and_then(|of| list::<calls::ListTagsLogGroup>(call, of)),
        _ => return None,
    })
}

/// The tags that a call gives.
pub(super) fn given(call: &Called<'_>) -> Result<Tags, AwsError> {
    let Some(Value::Object(map)) = call.members.get("tags") else { return Ok(Tags::new()) };
    let pair = |(key, value): (&String, &Value)| {
        if is_reserved(key) {
            return Err(invalid(format!("Tag keys must not begin with aws: {key}")));
        }
        Ok((key.clone(), value.as_str().unwrap_or_default().to_owned()))
    };
    map.iter().map(pair).collect()
}

/// A group, and what its tags are decided on.
type Of = (Named, String);

/// AWS decides these calls on the ARN without anything behind the name.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>
fn by_arn(call: &Called<'_>) -> Result<Of, AwsError> {
    let arn = call.input.required_text("resourceArn")?;
    let named = Named::by_identifier(call, arn);
    let is_one = arn.contains(":log-group:");
    let resource =
        if named.is_elsewhere || !is_one { arn.to_owned() } else { group_arn(&call.place, &named.name) };
    Ok((Named { is_elsewhere: named.is_elsewhere || !is_one, ..named }, resource))
}

fn by_name(call: &Called<'_>) -> Result<Of, AwsError> {
    let named = Named::by_name(call)?;
    let resource = named.resource(&call.place);
    Ok((named, resource))
}

fn tag<C: authz::Call>(call: &Called<'_>, (named, resource): Of) -> Result<Value, AwsError> {
    let tags = given(call)?;
    let mut keys = named.keys();
    keys.extend(request_keys(&tags));
    let permit = call.authorize::<C>(resource, keys)?;
    named.there()?;
    call.write(&permit, |writing| {
        named.change(call, writing, |group| {
            merge(&mut group.tags, &tags);
            if group.tags.len() > TAGS_MAX {
                let message = format!("A resource can have no more than {TAGS_MAX} tags.");
                return Err(AwsError::bad_request("TooManyTagsException", message));
            }
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn untag<C: authz::Call>(call: &Called<'_>, (named, resource): Of, member: &str) -> Result<Value, AwsError> {
    let gone = call.input.texts(member)?;
    let mut keys = named.keys();
    keys.push(gone_keys(&gone));
    let permit = call.authorize::<C>(resource, keys)?;
    named.there()?;
    call.write(&permit, |writing| {
        named.change(call, writing, |group| {
            group.tags.retain(|(key, _)| !gone.contains(&key.as_str()));
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn list<C: authz::Call>(call: &Called<'_>, (named, resource): Of) -> Result<Value, AwsError> {
    call.authorize::<C>(resource, named.keys())?;
    let tags = &named.there()?.tags;
    let tags: Map<String, Value> = tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    Ok(json!({ "tags": tags }))
}
