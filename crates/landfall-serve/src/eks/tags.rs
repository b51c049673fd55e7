//! Tags, which EKS writes as a map.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Map, Value, json};

use super::{Called, Fault, invalid, resource_tag_keys};
use crate::authz::eks_calls as calls;
use crate::store::Writing;
use crate::store::ecs::{Place, Tags};
use crate::store::eks::{EksCluster, PodIdentityAssociation, arn};
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
    let Some(map) = input.value("tags") else { return Ok(Tags::new()) };
    let wrong = || invalid("The parameter tags must be a map of strings.");
    let mut tags = Tags::new();
    for (key, value) in map.as_object().ok_or_else(wrong)? {
        let value = value.as_str().ok_or_else(wrong)?;
        check_lengths(key, value).map_err(invalid)?;
        if is_reserved(key) {
            return Err(invalid(format!("Tag keys must not begin with 'aws:': {key}")));
        }
        tags.push((key.clone(), value.to_owned()));
    }
    if tags.len() > TAGS_MAX {
        return Err(too_many());
    }
    Ok(tags)
}

fn too_many() -> AwsError {
    invalid(format!("A resource has at most {TAGS_MAX} tags."))
}

/// Setting tags while something is made needs `eks:TagResource` on it.
pub(super) fn authorize_on_create(call: &Called<'_>, arn: &str, tags: &Tags) -> Result<(), AwsError> {
    if tags.is_empty() {
        return Ok(());
    }
    call.authorize::<calls::TagResource>(arn.to_owned(), request_keys(tags)).map(|_| ())
}

/// Tags as the API tells them.
pub(super) fn render(tags: &Tags) -> Value {
    Value::Object(tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>())
}

/// What an ARN names, by the key of its record.
enum Resource {
    Cluster(String),
    Association(String),
}

fn not_found(text: &str) -> AwsError {
    AwsError::new("NotFoundException", 404, format!("The resource {text} was not found."))
}

fn resource(place: &Place, text: &str) -> Result<Resource, AwsError> {
    let wrong = || AwsError::bad_request("BadRequestException", format!("Invalid resource ARN: {text}"));
    let parsed = Arn::parse(text).map_err(|_| wrong())?;
    if arn(place, &parsed.resource) != text {
        return Err(if parsed.service == "eks" { not_found(text) } else { wrong() });
    }
    let parts: Vec<&str> = parsed.resource.split('/').collect();
    match parts.as_slice() {
        ["cluster", name] => Ok(Resource::Cluster(place.key(&[name]))),
        ["podidentityassociation", cluster, id] => Ok(Resource::Association(place.key(&[cluster, id]))),
        _ => Err(not_found(text)),
    }
}

impl Resource {
    fn tags(&self, call: &Called<'_>) -> Option<Tags> {
        let store = &call.world.store;
        match self {
            Self::Cluster(key) => store.get::<EksCluster>(key).map(|known| known.tags.clone()),
            Self::Association(key) => {
                store.get::<PodIdentityAssociation>(key).map(|known| known.tags.clone())
            }
        }
    }

    /// Changes the tags, which are [`TAGS_MAX`] at most.
    fn change(
        &self,
        writing: &mut Writing<'_>,
        with: impl FnOnce(&mut Tags),
        absent: AwsError,
    ) -> Result<Tags, Fault> {
        let within_limits = |tags: &mut Tags| {
            with(tags);
            if tags.len() > TAGS_MAX { Err(too_many()) } else { Ok(()) }
        };
        match self {
            Self::Cluster(key) => change_tags::<EksCluster>(writing, key, within_limits, || absent),
            Self::Association(key) => {
                change_tags::<PodIdentityAssociation>(writing, key, within_limits, || absent)
            }
        }
    }
}

fn tag(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(place, arn)?;
    let given = given(call.input)?;
    let mut keys = resource_tag_keys(&resource.tags(call).unwrap_or_default());
    keys.extend(request_keys(&given));
    let permit = call.authorize::<calls::TagResource>(arn.to_owned(), keys)?;
    call.write(&permit, |writing| {
        let set = |tags: &mut Tags| merge(tags, &given);
        resource.change(writing, set, not_found(arn))
    })?;
    Ok(json!({}))
}

fn untag(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(place, arn)?;
    let gone = call.input.texts("tagKeys")?;
    let mut keys = resource_tag_keys(&resource.tags(call).unwrap_or_default());
    keys.push(gone_keys(&gone));
    let permit = call.authorize::<calls::UntagResource>(arn.to_owned(), keys)?;
    call.write(&permit, |writing| {
        let remove = |tags: &mut Tags| tags.retain(|(key, _)| !gone.contains(&key.as_str()));
        resource.change(writing, remove, not_found(arn))
    })?;
    Ok(json!({}))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("resourceArn")?;
    let resource = resource(place, arn)?;
    let tags = resource.tags(call);
    let keys = resource_tag_keys(tags.as_ref().unwrap_or(&Tags::new()));
    call.authorize::<calls::ListTagsForResource>(arn.to_owned(), keys)?;
    let tags = tags.ok_or_else(|| not_found(arn))?;
    Ok(json!({ "tags": render(&tags) }))
}
