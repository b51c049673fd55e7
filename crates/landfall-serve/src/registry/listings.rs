//! Lists: the tags of a repository, and the manifests that refer to another.

use axum::body::Body;
use http::{Response, StatusCode, header};
use landfall_types::{Digest, RepositoryName};
use landfall_wire::error::AwsError;
use landfall_wire::oci::OCI_INDEX;
use serde_json::{Map, Value, json};

use super::RegistryCall;
use super::answer::{Answer, OCI_FILTERS_APPLIED, Refusal, set};
use super::layers::parse_digest;
use crate::authz::{Permit, calls};
use crate::ecr::repository_of;
use crate::store::Image;
use crate::world::World;

/// Most tags of one answer.
const TAGS_MAX: usize = 1000;

/// `GET tags/list`, with `n` and `last`: in the order of the pushes, as ECR has it (observed).
pub(super) fn tags(call: &RegistryCall<'_>, name: &RepositoryName) -> Answer {
    let (permit, _) = call.permit::<calls::ListTags>(name)?;
    let count = match call.query.get("n") {
        None => TAGS_MAX,
        Some(text) => text.parse().map_err(|_| {
            Refusal::new(
                "PAGINATION_NUMBER_INVALID",
                format!("`n` must be a number of tags, and is `{text}`"),
            )
        })?,
    };
    if count > TAGS_MAX {
        return Err(Refusal::new(
            "UNSUPPORTED",
            "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'",
        ));
    }
    let (page, more) = list_tags(call.world, permit, call.query.get("last"), count)?;
    let next = page
        .last()
        .filter(|_| more)
        .map(|last| format!("</v2/{name}/tags/list?last={last}&n={count}>; rel=\"next\""));
    let mut response = Response::new(Body::from(json!({ "name": name.as_str(), "tags": page }).to_string()));
    set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    if let Some(next) = next {
        set(&mut response, header::LINK, &next);
    }
    Ok(response)
}

/// The tags after `last`, and whether more come after them.
fn list_tags(
    world: &World,
    permit: Permit<calls::ListTags>,
    last: Option<&str>,
    count: usize,
) -> Result<(Vec<String>, bool), Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    let all = world.store.tags(&registry, &name);
    let start = match last {
        None => 0,
        // After a tag that is gone comes nothing: there is no order to find its place by.
        Some(last) => all.iter().position(|tag| tag.as_str() == last).map_or(all.len(), |found| found + 1),
    };
    let page: Vec<String> = all.iter().skip(start).take(count).map(ToString::to_string).collect();
    let more = start + page.len() < all.len();
    Ok((page, more))
}

/// `GET referrers/DIGEST`, with `artifactType`.
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
pub(super) fn referrers(call: &RegistryCall<'_>, name: &RepositoryName, digest: &str) -> Answer {
    let (permit, _) = call.permit::<calls::ListReferrers>(name)?;
    let subject = parse_digest(digest)?;
    let wanted = call.query.get("artifactType");
    let manifests = list_referrers(call.world, permit, &subject, wanted)?;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    let mut response = Response::new(Body::from(index.to_string()));
    *response.status_mut() = StatusCode::OK;
    set(&mut response, header::CONTENT_TYPE, OCI_INDEX);
    if wanted.is_some() {
        set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
    }
    Ok(response)
}

fn list_referrers(
    world: &World,
    permit: Permit<calls::ListReferrers>,
    subject: &Digest,
    wanted: Option<&str>,
) -> Result<Vec<Value>, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    let images = world.store.images(&registry, &name);
    let referrers = images.iter().map(|(image, _)| image).filter(|image| {
        image.subject.as_ref() == Some(subject)
            && wanted.is_none_or(|wanted| image.artifact_type.as_deref() == Some(wanted))
    });
    Ok(referrers.map(|image| descriptor(image)).collect())
}

fn descriptor(image: &Image) -> Value {
    let mut descriptor = Map::new();
    let mut add = |name: &str, value: Value| descriptor.insert(name.to_owned(), value);
    add("mediaType", image.media_type.as_str().into());
    add("digest", image.digest.as_str().into());
    add("size", image.manifest.len().into());
    if let Some(artifact_type) = &image.artifact_type {
        add("artifactType", artifact_type.as_str().into());
    }
    if !image.annotations.is_empty() {
        let annotations = image.annotations.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        add("annotations", Value::Object(annotations.collect()));
    }
    Value::Object(descriptor)
}

fn internal(error: AwsError) -> Refusal {
    Refusal::internal(&error.message)
}
