//! Lists: the repositories of a registry, the tags of a repository, the manifests that refer to another.

use axum::body::Body;
use http::{Response, StatusCode, header};
use landfall_types::{Arn, Digest, RepositoryName};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::oci::OCI_INDEX;
use serde_json::{Map, Value, json};

use super::RegistryCall;
use super::answer::{Answer, OCI_FILTERS_APPLIED, Refusal, set};
use super::layers::parse_digest;
use crate::authz::{self, Asked, Permit, calls};
use crate::ecr::{self, repository_of};
use crate::store::{Image, RegistryId};
use crate::world::World;

/// Most tags or repositories of one answer.
const ITEMS_MAX: usize = 1000;

/// `GET tags/list`, with `n` and `last`: in the order of the pushes, as ECR has it (observed), or by name,
/// as the specification wants it.
pub(super) fn tags(call: &RegistryCall<'_>, name: &RepositoryName) -> Answer {
    let (permit, _) = call.permit::<calls::ListTags>(name)?;
    let count = count(call)?;
    let after = after(call)?;
    let (places, mut all) = list_tags(call.world, permit)?;
    let order = if call.is_strict() { Order::ByName } else { Order::OfPushes(&places) };
    if call.is_strict() {
        all.sort_unstable();
    }
    let page = Page::of(&all, order, call.query.get("last"), after, count);
    let body = json!({ "name": call.full_name(name), "tags": page.items });
    Ok(page.response(call, &body, &format!("{}/tags/list", call.full_name(name))))
}

/// The tags in the order of their pushes, and their places in it.
fn list_tags(world: &World, permit: Permit<calls::ListTags>) -> Result<(Vec<u64>, Vec<String>), Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    Ok(world.store.tags(&registry, &name).iter().map(|(place, tag)| (*place, tag.to_string())).unzip())
}

/// `after`: the place in the order of pushes where the page before ended. Only this server's own links have it.
fn after(call: &RegistryCall<'_>) -> Result<Option<u64>, Refusal> {
    let Some(text) = call.query.get("after") else { return Ok(None) };
    let place = text.parse().map_err(|_| {
        let message = format!("`after` is a number that the link of the page before gives, and is `{text}`");
        Refusal::new("PAGINATION_NUMBER_INVALID", message)
    })?;
    Ok(Some(place))
}

/// `GET _catalog`, with `n` and `last`: the registry's repositories by name.
pub(super) fn catalog(call: &RegistryCall<'_>) -> Answer {
    let registry = &call.registry;
    let all = Arn::repository(&registry.region, registry.account, "*");
    let policies = ecr::registry_policy(call.world, registry);
    let asked = Asked {
        caller: &call.caller,
        region: &registry.region,
        resource: all.to_string(),
        resource_account: registry.account.to_string(),
        resource_policies: &policies,
        keys: call.connection.keys(),
        request_id: call.request_id,
    };
    let permit = authz::authorize(call.world, &asked, Protocol::Json11)
        .map_err(|error| Refusal::denied(error.message))?;
    let count = count(call)?;
    let all = list_repositories(call.world, permit, registry);
    let page = Page::of(&all, Order::ByName, call.query.get("last"), None, count);
    Ok(page.response(call, &json!({ "repositories": page.items }), "_catalog"))
}

fn list_repositories(
    world: &World,
    _permit: Permit<calls::ListCatalog>,
    registry: &RegistryId,
) -> Vec<String> {
    world.store.repositories(registry).iter().map(|repository| repository.name.to_string()).collect()
}

/// `n`: how many the client wants. ECR refuses more than it gives, the specification gives fewer.
fn count(call: &RegistryCall<'_>) -> Result<usize, Refusal> {
    let Some(text) = call.query.get("n") else { return Ok(ITEMS_MAX) };
    let count: usize = text.parse().map_err(|_| {
        Refusal::new("PAGINATION_NUMBER_INVALID", format!("`n` must be a number, and is `{text}`"))
    })?;
    if count > ITEMS_MAX && !call.is_strict() {
        return Err(Refusal::new(
            "UNSUPPORTED",
            "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'",
        ));
    }
    Ok(count.min(ITEMS_MAX))
}

/// In which order a list is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order<'a> {
    /// With the place of each item.
    OfPushes(&'a [u64]),
    ByName,
}

/// A part of a list.
struct Page<'a> {
    items: &'a [String],
    count: usize,
    /// The place of the last item, in the order of pushes.
    place: Option<u64>,
    more: bool,
}

impl<'a> Page<'a> {
    /// The `count` items after the place `after`, or else after the item `last`: an item is pushed anew or deleted
    /// while somebody turns pages (`latest` by every build), and its place stays.
    fn of(all: &'a [String], order: Order<'_>, last: Option<&str>, after: Option<u64>, count: usize) -> Self {
        let start = match (last, order) {
            (_, Order::OfPushes(places)) if after.is_some() => {
                places.partition_point(|place| Some(*place) <= after)
            }
            (None, _) => 0,
            (Some(last), Order::ByName) => all.partition_point(|item| item.as_str() <= last),
            // After an item that is gone comes nothing: there is no order to find its place by.
            (Some(last), Order::OfPushes(_)) => {
                all.iter().position(|item| item == last).map_or(all.len(), |found| found + 1)
            }
        };
        let end = start.saturating_add(count).min(all.len());
        let place = match order {
            Order::OfPushes(places) => end.checked_sub(1).and_then(|last| places.get(last)).copied(),
            Order::ByName => None,
        };
        Self { items: all.get(start..end).unwrap_or_default(), count, place, more: end < all.len() }
    }

    /// The answer, with the address of the next page if there is one.
    fn response(&self, call: &RegistryCall<'_>, body: &Value, path: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(body.to_string()));
        // ECR calls its lists plain text (observed).
        let media_type = if call.is_strict() { "application/json" } else { "text/plain; charset=utf-8" };
        set(&mut response, header::CONTENT_TYPE, media_type);
        if let Some(last) = self.items.last().filter(|_| self.more) {
            let after = self.place.map(|place| format!("&after={place}")).unwrap_or_default();
            let next =
                format!("</v2/{path}?last={}&n={}{after}>; rel=\"next\"", query_value(last), self.count);
            set(&mut response, header::LINK, &next);
        }
        response
    }
}

/// A name in a query: a slash, as in `team/api`, is the one of its characters that is written differently.
fn query_value(name: &str) -> String {
    name.replace('/', "%2F")
}

/// `GET referrers/DIGEST`, with `artifactType`.
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
pub(super) fn referrers(call: &RegistryCall<'_>, name: &RepositoryName, digest: &str) -> Answer {
    let permit = call.authorize::<calls::ListReferrers>(name)?;
    // The specification has no 404 here: what isn't there has no referrers.
    if !call.is_strict() {
        call.repository(name)?;
    }
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
