//! Tags of applications and deployment groups, and decisions on both, which look at them.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Value, json};

use super::{Called, applications, error, groups};
use crate::authz::{Call, Permit, codedeploy_calls as calls};
use crate::called::Keys;
use crate::page::Page;
use crate::store::codedeploy::{Application, Group, arn, group_arn};
use crate::store::ecs::Tags;
use crate::tags::{
    TAGS_MAX, change_tags, gone_keys, is_key_length, is_reserved, is_value_length, merge, prefixed_keys,
    request_keys,
};

/// Tags of one page of a list.
const PAGE_TAGS: usize = 100;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "TagResource" => tag(call),
        "UntagResource" => untag(call),
        "ListTagsForResource" => list(call),
        _ => return None,
    })
}

/// Decides a call on an application, with the keys of the tags that it has.
pub(super) fn on_application<C: Call>(
    call: &Called<'_>,
    name: &str,
    more: Keys,
) -> Result<Permit<C>, AwsError> {
    let known = call.world.store.get::<Application>(&call.place.key(&[name]));
    let keys = known.map(|known| resource_keys(&known.tags)).unwrap_or_default();
    let resource = arn(&call.place, &format!("application:{name}"));
    call.authorize(resource, keys.into_iter().chain(more).collect())
}

/// Decides a call on a deployment group, with the keys of the tags that it has.
pub(super) fn on_group<C: Call>(
    call: &Called<'_>,
    application: &str,
    name: &str,
    more: Keys,
) -> Result<Permit<C>, AwsError> {
    let known = call.world.store.get::<Group>(&call.place.key(&[application, name]));
    let keys = known.map(|known| resource_keys(&known.tags)).unwrap_or_default();
    let resource = group_arn(&call.place, application, name);
    call.authorize(resource, keys.into_iter().chain(more).collect())
}

fn resource_keys(tags: &Tags) -> Keys {
    prefixed_keys(tags, &["aws:ResourceTag"])
}

/// The tags that a call sets, under the name `tags` or `Tags`, and their condition keys.
pub(super) fn given(input: Input<'_>, member: &str) -> Result<(Tags, Keys), AwsError> {
    let mut tags = Tags::new();
    for tag in input.objects(member)? {
        let (key, value) = (tag.text("Key")?.unwrap_or_default(), tag.text("Value")?.unwrap_or_default());
        let is_known = tags.iter().any(|(known, _)| known == key);
        if !is_key_length(key) || !is_value_length(value) || is_reserved(key) || is_known {
            return Err(invalid());
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    if tags.len() > TAGS_MAX {
        return Err(invalid());
    }
    let keys = request_keys(&tags);
    Ok((tags, keys))
}

/// In the API reference's words: what CodeDeploy says of a single tag is not known.
/// <https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_TagResource.html>
fn invalid() -> AwsError {
    error("InvalidTagsToAddException", "The specified tags are not valid.")
}

/// What an ARN names: an application, or a group of one.
enum Resource {
    Application(String),
    Group(String, String),
}

/// What the ARN of a call names.
fn resource(call: &Called<'_>) -> Result<Resource, AwsError> {
    let text = call.input.required_text("ResourceArn")?;
    let wrong =
        || error("InvalidArnException", format!("The specified ARN is not in a valid format: {text}"));
    let parsed = Arn::parse(text).map_err(|_| wrong())?;
    let is_here = parsed.service == "codedeploy"
        && parsed.region == call.place.region
        && parsed.account == call.place.account.as_str();
    if !is_here {
        return Err(wrong());
    }
    match parsed.resource.split_once(':') {
        Some(("application", name)) if !name.is_empty() => Ok(Resource::Application(name.to_owned())),
        Some(("deploymentgroup", name)) => {
            let (application, group) = name.split_once('/').ok_or_else(wrong)?;
            Ok(Resource::Group(application.to_owned(), group.to_owned()))
        }
        Some(("deploymentconfig" | "instance", _)) => {
            let message = format!("The specified ARN is not supported: {text}");
            Err(error("ArnNotSupportedException", message))
        }
        _ => Err(wrong()),
    }
}

/// Decides a call on what its ARN names.
fn authorize<C: Call>(call: &Called<'_>, resource: &Resource, keys: Keys) -> Result<Permit<C>, AwsError> {
    match resource {
        Resource::Application(name) => on_application(call, name, keys),
        Resource::Group(application, name) => on_group(call, application, name, keys),
    }
}

fn tag(call: &Called<'_>) -> Result<Value, AwsError> {
    let resource = resource(call)?;
    let (tags, keys) = given(call.input, "Tags")?;
    let permit = authorize::<calls::TagResource>(call, &resource, keys)?;
    if call.input.value("Tags").is_none() {
        return Err(error("TagRequiredException", "You must provide a tag"));
    }
    change(call, &permit, &resource, &|known| merge(known, &tags))
}

fn untag(call: &Called<'_>) -> Result<Value, AwsError> {
    let resource = resource(call)?;
    let gone = call.input.texts("TagKeys")?;
    let permit = authorize::<calls::UntagResource>(call, &resource, vec![gone_keys(&gone)])?;
    if call.input.value("TagKeys").is_none() {
        return Err(error("TagRequiredException", "You must provide a tag"));
    }
    change(call, &permit, &resource, &|known| known.retain(|(key, _)| !gone.contains(&key.as_str())))
}

fn change(
    call: &Called<'_>,
    permit: &Permit<impl Call>,
    resource: &Resource,
    change: &dyn Fn(&mut Tags),
) -> Result<Value, AwsError> {
    let within_limits = |tags: &mut Tags| {
        change(tags);
        if tags.len() > TAGS_MAX { Err(invalid()) } else { Ok(()) }
    };
    call.write(permit, |writing| match resource {
        Resource::Application(name) => {
            let absent = || applications::no_application(name);
            change_tags::<Application>(writing, &call.place.key(&[name]), within_limits, absent)
        }
        Resource::Group(application, name) => {
            let absent = || groups::no_group(name);
            change_tags::<Group>(writing, &call.place.key(&[application, name]), within_limits, absent)
        }
    })?;
    Ok(json!({}))
}

/// Whoever asks for the tags of what isn't there gets none: the API has no error for it.
fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let resource = resource(call)?;
    authorize::<calls::ListTagsForResource>(call, &resource, Vec::new())?;
    let place = &call.place;
    let tags = match &resource {
        Resource::Application(name) => {
            call.world.store.get::<Application>(&place.key(&[name])).map(|known| known.tags.clone())
        }
        Resource::Group(application, name) => {
            call.world.store.get::<Group>(&place.key(&[application, name])).map(|known| known.tags.clone())
        }
    };
    let page = Page::at(call.input.text("NextToken")?, PAGE_TAGS).ok_or_else(super::bad_token)?;
    let render = |(key, value): &(String, String)| json!({ "Key": key, "Value": value });
    let mut answer = page.answer("Tags", &tags.unwrap_or_default(), |(key, _)| key.clone(), render);
    // Alone of CodeDeploy's operations, those on tags write their members with a capital letter.
    if let Some(members) = answer.as_object_mut()
        && let Some(next) = members.remove("nextToken")
    {
        members.insert("NextToken".to_owned(), next);
    }
    Ok(answer)
}
