//! Tags.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Value, json};

use super::{Called, Fault, invalid, no_cluster, no_service, resource_tag_keys};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{
    CapacityProvider, Cluster, Place, Service, ServiceStatus, Tags, Task, TaskDefinition, TaskSet,
};
use crate::store::{Record, Writing};
pub(super) use crate::tags::request_keys;
use crate::tags::{TAGS_MAX, change_tags, check_lengths, gone_keys, is_reserved, merge};

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "TagResource" => tag(call),
        "UntagResource" => untag(call),
        "ListTagsForResource" => list(call),
        _ => return None,
    })
}

/// The tags that a call sets.
pub(super) fn given(input: Input<'_>) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
    for tag in input.objects("tags")? {
        let key = tag.text("key")?.unwrap_or_default();
        let value = tag.text("value")?.unwrap_or_default();
        check_lengths(key, value).map_err(invalid)?;
        if is_reserved(key) {
            return Err(invalid(
                "Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, numbers and _ . / = + - : @; keys must not begin with 'aws:'.",
            ));
        }
        if tags.iter().any(|(known, _)| known == key) {
            return Err(invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("Tags can not have more than {TAGS_MAX} elements.")));
    }
    Ok(tags)
}

/// Setting tags while something is made needs `ecs:TagResource` on it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html>
pub(super) fn authorize_on_create(call: &Called<'_>, arn: &str, tags: &Tags) -> Result<(), AwsError> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut keys = request_keys(tags);
    keys.push(("ecs:CreateAction".to_owned(), vec![call.operation.to_owned()]));
    call.authorize::<calls::TagResource>(arn.to_owned(), keys).map(|_| ())
}

/// Tags as an answer has them.
pub(super) fn render(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// What an ARN names, by the key of its record.
enum Resource {
    Cluster(String),
    Definition(String),
    Service(String),
    Task(String),
    Set(String),
    Provider(String),
}

fn resource(call: &Called<'_>, place: &Place, text: &str) -> Result<Resource, AwsError> {
    let wrong =
        || invalid("The specified resource ARN is not valid. Specify a valid ARN for a taggable resource.");
    Arn::parse(text).map_err(|_| wrong())?;
    let resource = place.resource_of(text).ok_or_else(wrong)?;
    let parts: Vec<&str> = resource.split('/').collect();
    Ok(match parts.as_slice() {
        ["cluster", name] => Resource::Cluster(place.key(&[name])),
        ["service", cluster, name] => Resource::Service(place.key(&[cluster, name])),
        // The old form doesn't say in which cluster.
        ["service", name] => {
            let all = call.world.store.list::<Service>(&place.all());
            let found = all.iter().find(|service| service.name == *name).ok_or_else(no_service)?;
            Resource::Service(found.key())
        }
        ["task", cluster, id] => Resource::Task(place.key(&[cluster, id])),
        ["task", id] => {
            let all = call.world.store.list::<Task>(&place.all());
            Resource::Task(all.iter().find(|task| task.id == *id).ok_or_else(wrong)?.key())
        }
        ["task-definition", name] => {
            let (family, revision) = name.split_once(':').ok_or_else(wrong)?;
            let revision: u32 = revision.parse().map_err(|_| wrong())?;
            Resource::Definition(place.key(&[family, &format!("{revision:010}")]))
        }
        ["task-set", cluster, service, .., number] => Resource::Set(place.key(&[cluster, service, number])),
        ["capacity-provider", name] => Resource::Provider(place.key(&[name])),
        _ => return Err(wrong()),
    })
}

fn change_any(
    writing: &mut Writing<'_>,
    resource: &Resource,
    with: &dyn Fn(&mut Tags) -> Result<(), AwsError>,
) -> Result<Tags, Fault> {
    let absent = || invalid("The specified resource was not found.");
    match resource {
        Resource::Cluster(key) => change_tags::<Cluster>(writing, key, with, no_cluster),
        Resource::Definition(key) => change_tags::<TaskDefinition>(writing, key, with, || {
            invalid("The specified task definition was not found.")
        }),
        Resource::Service(key) => {
            let gone =
                writing.get::<Service>(key).is_none_or(|known| known.status == ServiceStatus::Inactive);
            if gone {
                return Err(Fault::from(no_service()));
            }
            change_tags::<Service>(writing, key, with, no_service)
        }
        Resource::Task(key) => change_tags::<Task>(writing, key, with, absent),
        Resource::Set(key) => change_tags::<TaskSet>(writing, key, with, absent),
        Resource::Provider(key) => change_tags::<CapacityProvider>(writing, key, with, absent),
    }
}

/// The tags that are there, for a decision on them.
fn known_tags(call: &Called<'_>, resource: &Resource) -> Tags {
    let store = &call.world.store;
    let tags = match resource {
        Resource::Cluster(key) => store.get::<Cluster>(key).map(|known| known.tags.clone()),
        Resource::Definition(key) => store.get::<TaskDefinition>(key).map(|known| known.tags.clone()),
        Resource::Service(key) => store.get::<Service>(key).map(|known| known.tags.clone()),
        Resource::Task(key) => store.get::<Task>(key).map(|known| known.tags.clone()),
        Resource::Set(key) => store.get::<TaskSet>(key).map(|known| known.tags.clone()),
        Resource::Provider(key) => store.get::<CapacityProvider>(key).map(|known| known.tags.clone()),
    };
    tags.unwrap_or_default()
}

fn tag(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(call, place, arn)?;
    let given = given(call.input)?;
    let mut keys = resource_tag_keys(&known_tags(call, &resource));
    keys.extend(request_keys(&given));
    let permit = call.authorize::<calls::TagResource>(arn.to_owned(), keys)?;
    call.write(&permit, |writing| {
        change_any(writing, &resource, &|tags| {
            merge(tags, &given);
            if tags.len() > TAGS_MAX {
                return Err(invalid(format!("Tags can not have more than {TAGS_MAX} elements.")));
            }
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn untag(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(call, place, arn)?;
    let gone = call.input.texts("tagKeys")?;
    let mut keys = resource_tag_keys(&known_tags(call, &resource));
    keys.push(gone_keys(&gone));
    let permit = call.authorize::<calls::UntagResource>(arn.to_owned(), keys)?;
    call.write(&permit, |writing| {
        change_any(writing, &resource, &|tags| {
            tags.retain(|(key, _)| !gone.contains(&key.as_str()));
            Ok(())
        })
    })?;
    Ok(json!({}))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(call, place, arn)?;
    let keys = resource_tag_keys(&known_tags(call, &resource));
    let permit = call.authorize::<calls::ListTagsForResource>(arn.to_owned(), keys)?;
    let tags = call.write(&permit, |writing| change_any(writing, &resource, &|_| Ok(())))?;
    Ok(json!({ "tags": render(&tags) }))
}
