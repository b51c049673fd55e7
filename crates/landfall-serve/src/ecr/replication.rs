//! Replication: images that are pushed to one registry of this server appear in others. What AWS does within
//! minutes happens here before the push is answered.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/replication.html>

use std::collections::BTreeSet;
use std::sync::Arc;

use landfall_types::arn::known_partition;
use landfall_types::{AccountId, Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use landfall_wire::oci::Manifest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{ImageIdInput, image_id_json};
use super::manifest;
use super::page::Page;
use super::templates;
use super::{Answer, EcrCall, authorize_on_repository, disk, epoch};
use crate::authz::{Call, Permit, calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::store::{
    Backfill, Content, Destination, Image, Put, Reference, RegistryId, Replica, ReplicationRule, StoreError,
    in_registry, within_registry,
};
use crate::world::World;

/// Rules of one configuration (service quota).
const RULES_MAX: usize = 10;
/// Distinct destinations of one configuration (service quota).
const DESTINATIONS_MAX: usize = 25;
/// Backfills of a page when the call doesn't say (ECR's API reference).
const BACKFILLS_DEFAULT: usize = 50;

pub(super) fn describe_registry(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::DescribeRegistry>()?;
    let rules = call.world.store.registry_settings(&registry).replication;
    Ok(json!({
        "registryId": registry.account.as_str(),
        "replicationConfiguration": { "rules": rules },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationInput {
    replication_configuration: Configuration,
}

#[derive(Deserialize)]
struct Configuration {
    rules: Vec<ReplicationRule>,
}

pub(super) fn put_configuration(call: &EcrCall<'_>) -> Answer {
    let ConfigurationInput { replication_configuration: Configuration { rules } } = call.read()?;
    let registry = call.registry()?;
    check(call.world, &rules, &registry)?;
    let (permit, _) = call.on_registry::<calls::PutReplicationConfiguration>()?;
    write(call.world, &permit, &registry, rules.clone())?;
    Ok(json!({ "replicationConfiguration": { "rules": rules } }))
}

fn check(world: &World, rules: &[ReplicationRule], own: &RegistryId) -> Result<(), AwsError> {
    let broken = |constraint: String| Err(ecr_invalid_parameter("replicationConfiguration", &constraint));
    if rules.len() > RULES_MAX {
        return broken(format!("Member must have length less than or equal to {RULES_MAX}"));
    }
    let destinations: BTreeSet<&Destination> = rules.iter().flat_map(|rule| &rule.destinations).collect();
    if destinations.len() > DESTINATIONS_MAX {
        return broken(format!("at most {DESTINATIONS_MAX} unique destinations are allowed"));
    }
    if rules.iter().any(|rule| rule.destinations.is_empty()) {
        return broken("each rule must have a destination".to_owned());
    }
    if let Some(to) = destinations.iter().find(|to| !is_region(world, &to.region, own)) {
        return broken(format!(
            "'{}' is not a region that registries in {} replicate to",
            to.region, own.region
        ));
    }
    let is_own = |to: &&&Destination| to.region == own.region && to.registry_id == own.account.as_str();
    match destinations.iter().find(is_own) {
        Some(_) => broken("Replication destination cannot be the same as the source registry".to_owned()),
        None => Ok(()),
    }
}

/// Whether there is a region, in the partition of the source: as the SDKs tell it of one that they don't know. One in
/// which this server has something is a region, whatever it is called.
fn is_region(world: &World, region: &str, own: &RegistryId) -> bool {
    let is_known = || {
        region == own.region
            || region == world.settings.default_region
            || world.store.registries().iter().any(|known| known.region == region)
    };
    match (known_partition(region), known_partition(&own.region)) {
        (Some(there), Some(here)) => there == here,
        (Some(_), None) => true,
        (None, _) => is_known(),
    }
}

fn write<C>(
    world: &World,
    _permit: &Permit<C>,
    registry: &RegistryId,
    rules: Vec<ReplicationRule>,
) -> Result<(), AwsError> {
    world.store.change_registry_settings(registry, |settings| settings.replication = rules).map_err(disk)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageInput {
    image_id: ImageIdInput,
}

pub(super) fn describe_status(call: &EcrCall<'_>) -> Answer {
    let ImageInput { image_id } = call.read()?;
    let found = call.on_repository::<calls::DescribeImageReplicationStatus>()?;
    let image = found.image(call.world, &image_id)?;
    let replicas = found.history(call.world, &image.digest).replicas;
    let statuses: Vec<Value> = replicas.iter().map(replica_json).collect();
    Ok(json!({
        "repositoryName": found.name.as_str(),
        "imageId": image_id_json(Some(image.digest.as_str()), image_id.image_tag.as_deref()),
        "replicationStatuses": statuses,
    }))
}

fn replica_json(replica: &Replica) -> Value {
    let mut status = json!({
        "region": replica.registry.region,
        "registryId": replica.registry.account.as_str(),
        "status": if replica.failure.is_some() { "FAILED" } else { "COMPLETE" },
    });
    if let (Some(members), Some(failure)) = (status.as_object_mut(), &replica.failure) {
        members.insert("failureCode".to_owned(), failure.as_str().into());
    }
    status
}

impl ReplicationRule {
    /// Whether the rule is about a repository.
    fn is_about(&self, name: &RepositoryName) -> bool {
        self.repository_filters.is_empty()
            || self.repository_filters.iter().any(|filter| name.as_str().starts_with(&filter.filter))
    }
}

/// The registries that images of a repository go to, each once.
fn destinations<'r>(
    rules: impl Iterator<Item = &'r ReplicationRule>,
    name: &RepositoryName,
) -> Vec<RegistryId> {
    let wanted: BTreeSet<&Destination> =
        rules.filter(|rule| rule.is_about(name)).flat_map(|rule| &rule.destinations).collect();
    let registry = |to: &Destination| {
        Some(RegistryId { account: AccountId::parse(&to.registry_id).ok()?, region: to.region.clone() })
    };
    wanted.into_iter().filter_map(registry).collect()
}

/// Where something is.
type Place<'a> = (&'a RegistryId, &'a RepositoryName);

/// Replicates an image that was pushed. What arrives by replication goes no further.
pub(super) fn on_push(world: &World, (registry, name): Place<'_>, digest: &Digest, tag: Option<&Tag>) {
    let rules = world.store.registry_settings(registry).replication;
    let to = destinations(rules.iter(), name);
    if to.is_empty() {
        return;
    }
    let Some(image) = world.store.image(registry, name, &Reference::Digest(digest.clone())) else { return };
    let replicas: Vec<Replica> = to
        .into_iter()
        .map(|to| {
            let failure = replicate(world, (registry, name), &to, &image, tag).err();
            Replica { registry: to, failure: failure.map(str::to_owned) }
        })
        .collect();
    note(world, (registry, name), digest, replicas);
}

fn note(world: &World, (registry, name): Place<'_>, digest: &Digest, replicas: Vec<Replica>) {
    // The images are where they are, whether or not this can be noted.
    let _ = world.store.change_image_history(registry, name, digest.as_str(), |history| {
        history.replicas.retain(|known| !replicas.iter().any(|new| new.registry == known.registry));
        history.replicas.extend(replicas);
    });
}

/// Copies an image, with the images that it lists; a code on why that can't be.
fn replicate(
    world: &World,
    from: Place<'_>,
    to: &RegistryId,
    image: &Image,
    tag: Option<&Tag>,
) -> Result<(), &'static str> {
    permit::<calls::ReplicateImage>(world, from, to)?;
    make_repository(world, from, to)?;
    for listed in image.listed() {
        if let Some(listed) = world.store.image(from.0, from.1, &Reference::Digest(listed)) {
            copy(world, from, to, &listed, None)?;
        }
    }
    copy(world, from, to, image, tag)
}

/// Another account's registry says in its policy who may replicate to it.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions-create-replication.html>
fn permit<C: Call>(world: &World, from: Place<'_>, to: &RegistryId) -> Result<(), &'static str> {
    if from.0.account == to.account {
        return Ok(());
    }
    let caller = Caller::Root { account: from.0.account };
    let connection = Connection::new([127, 0, 0, 1].into(), Some("ecr.amazonaws.com"));
    let request_id = world.request_id();
    let permit: Result<Permit<C>, AwsError> =
        authorize_on_repository(world, (&caller, &connection), to, from.1, &request_id);
    permit.map(|_| ()).map_err(|_| "AccessDenied")
}

fn make_repository(world: &World, from: Place<'_>, to: &RegistryId) -> Result<(), &'static str> {
    if world.store.repository(to, from.1).is_some() {
        return Ok(());
    }
    permit::<calls::CreateReplicatedRepository>(world, from, to)?;
    let template = templates::for_replication(world, to, from.1);
    if let Some(template) = &template {
        let request_id = world.request_id();
        templates::act_as_role(world, template, from.1, &request_id)
            .map_err(|_| "RepositoryCreationFailed")?;
    }
    let new = templates::new_repository(world, to, from.1, template.as_deref());
    let repository = crate::store::Repository {
        registry: new.registry,
        name: new.name,
        settings: new.settings,
        policy: new.policy,
        tags: new.tags,
        created_at: world.clock.now(),
    };
    match world.store.insert_repository(repository) {
        // Another image made it meanwhile.
        Ok(()) | Err(StoreError::Exists) => Ok(()),
        Err(_) => Err("RepositoryCreationFailed"),
    }
}

fn copy(
    world: &World,
    (registry, name): Place<'_>,
    to: &RegistryId,
    image: &Image,
    tag: Option<&Tag>,
) -> Result<(), &'static str> {
    let read = Manifest::parse(&image.manifest, Some(&image.media_type));
    let content = read.map(|manifest| manifest::content_of(&manifest, true)).unwrap_or_default();
    let shared = world.store.share_blobs((registry, name), (to, name), &content.layers);
    // What is foreign is not there, and not needed there.
    let content = Content { layers: shared.map_err(|_| "InternalFailure")?, ..content };
    let now = world.clock.now();
    let put = |tags: &[&Tag]| world.store.put_image(to, name, image.clone(), tags, &content, now);
    let put = match put(tag.as_slice()) {
        // It arrives without the tag that it can't have there.
        Ok(Put::TagIsImmutable { names_it: false, .. }) => put(&[]),
        put => put,
    };
    match put {
        Ok(Put::Lacks(_)) | Err(_) => Err("InternalFailure"),
        Ok(Put::Stored | Put::AlreadyThere | Put::TagIsImmutable { .. }) => Ok(()),
    }
}

/// Carries a deletion over to where the image was replicated to, by the rules that say so.
pub(super) fn carry_over_deletion(
    world: &World,
    (registry, name): Place<'_>,
    digest: &Digest,
    tag: Option<&Tag>,
) {
    let rules = world.store.registry_settings(registry).replication;
    let deleting =
        rules.iter().filter(|rule| rule.delete_replication.is_some_and(|deletion| deletion.enabled));
    for to in destinations(deleting, name) {
        if permit::<calls::ReplicateImage>(world, (registry, name), &to).is_err() {
            continue;
        }
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(digest.clone()),
        };
        // What isn't there any more need not go.
        let _ = world.store.remove_image(&to, name, &reference, Some(digest.as_str()));
    }
}

#[derive(Deserialize)]
struct BackfillInput {
    destination: Destination,
}

/// A backfill is done when the call is answered, and says that it has begun, as AWS does.
pub(super) fn start_backfill(call: &EcrCall<'_>) -> Answer {
    let BackfillInput { destination } = call.read()?;
    let (permit, registry) = call.on_registry::<calls::StartReplicationBackfill>()?;
    let rules = call.world.store.registry_settings(&registry).replication;
    if !rules.iter().any(|rule| rule.destinations.contains(&destination)) {
        let constraint = "must be a destination of the registry's replication configuration";
        return Err(ecr_invalid_parameter("destination", constraint));
    }
    let backfill = run_backfill(call.world, &permit, &registry, destination, &rules)?;
    Ok(backfill_json(&backfill, "IN_PROGRESS"))
}

fn run_backfill<C>(
    world: &World,
    _permit: &Permit<C>,
    registry: &RegistryId,
    destination: Destination,
    rules: &[ReplicationRule],
) -> Result<Backfill, AwsError> {
    let to_here: Vec<&ReplicationRule> =
        rules.iter().filter(|rule| rule.destinations.contains(&destination)).collect();
    let account = super::account_id(&destination.registry_id, "destination.registryId")?;
    let to = RegistryId { account, region: destination.region.clone() };
    let mut results = Vec::new();
    for repository in world.store.repositories(registry) {
        let name = &repository.name;
        if !to_here.iter().any(|rule| rule.is_about(name)) {
            continue;
        }
        for (image, tags) in world.store.images(registry, name) {
            let wanted: Vec<Option<&Tag>> =
                if tags.is_empty() { vec![None] } else { tags.iter().map(Some).collect() };
            let failure = wanted
                .into_iter()
                .find_map(|tag| replicate(world, (registry, name), &to, &image, tag).err())
                .map(str::to_owned);
            let replica = Replica { registry: to.clone(), failure: failure.clone() };
            note(world, (registry, name), &image.digest, vec![replica]);
            results.push((name.to_string(), image.digest.to_string(), failure));
        }
    }
    let backfill = Backfill {
        registry: registry.clone(),
        id: world.request_id(),
        destination,
        started_at: world.clock.now(),
        results,
    };
    let kept = world.store.write(|writing| {
        writing.put(backfill.clone());
        Ok(())
    });
    kept.map_err(disk)?;
    Ok(backfill)
}

fn backfill_json(backfill: &Backfill, status: &str) -> Value {
    json!({
        "replicationBackfillId": backfill.id,
        "registryId": backfill.registry.account.as_str(),
        "destination": backfill.destination,
        "status": status,
        "startedAt": epoch(backfill.started_at),
    })
}

fn find_backfill(call: &EcrCall<'_>, registry: &RegistryId) -> Result<Arc<Backfill>, AwsError> {
    let id = call.text("replicationBackfillId").unwrap_or_default();
    call.world.store.get::<Backfill>(&in_registry(registry, id)).ok_or_else(|| {
        AwsError::bad_request(
            "ReplicationBackfillNotFoundException",
            format!(
                "The replication backfill with id '{id}' does not exist in the registry with id '{}'",
                registry.account
            ),
        )
    })
}

pub(super) fn stop_backfill(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::StopReplicationBackfill>()?;
    let backfill = find_backfill(call, &registry)?;
    let message = format!(
        "The replication backfill with id '{}' has the status COMPLETE and can't be stopped",
        backfill.id
    );
    Err(AwsError::bad_request("ReplicationBackfillInvalidStatusException", message))
}

fn progress_json(backfill: &Backfill) -> Value {
    let failures: BTreeSet<&String> =
        backfill.results.iter().filter_map(|(_, _, code)| code.as_ref()).collect();
    let failed = backfill.results.iter().filter(|(_, _, failure)| failure.is_some()).count();
    json!({
        "totalReplicationCount": backfill.results.len(),
        "completedReplicationCount": backfill.results.len() - failed,
        "failedReplicationCount": failed,
        "failureCodes": failures,
    })
}

pub(super) fn list_backfills(call: &EcrCall<'_>) -> Answer {
    let page = Page::of_at_most(call, BACKFILLS_DEFAULT)?;
    let (_, registry) = call.on_registry::<calls::ListReplicationBackfills>()?;
    let backfills: Vec<Arc<Backfill>> = call.world.store.list(&within_registry(&registry));
    let mut answer = page.answer(
        "backfills",
        &backfills,
        |backfill| backfill.id.clone(),
        |backfill| {
            json!({
                "replicationBackfillId": backfill.id,
                "destination": backfill.destination,
                "status": "COMPLETE",
                "progress": progress_json(backfill),
                "startedAt": epoch(backfill.started_at),
                "endedAt": epoch(backfill.started_at),
            })
        },
    );
    if let Some(members) = answer.as_object_mut() {
        members.insert("registryId".to_owned(), registry.account.as_str().into());
    }
    Ok(answer)
}

pub(super) fn describe_backfill(call: &EcrCall<'_>) -> Answer {
    let page = Page::of(call)?;
    let (_, registry) = call.on_registry::<calls::DescribeReplicationBackfillResults>()?;
    let backfill = find_backfill(call, &registry)?;
    let status = |failure: &Option<String>| if failure.is_some() { "FAILED" } else { "COMPLETE" };
    let wanted = call.text("resultStatusFilter");
    let results: Vec<_> = backfill
        .results
        .iter()
        .filter(|(_, _, failure)| wanted.is_none_or(|wanted| wanted == status(failure)))
        .collect();
    let mut answer = page.answer(
        "results",
        &results,
        |(name, digest, _)| format!("{name}@{digest}"),
        |(name, digest, failure)| {
            let mut result = json!({
                "repositoryName": name,
                "imageId": { "imageDigest": digest },
                "status": status(failure),
            });
            if let (Some(members), Some(failure)) = (result.as_object_mut(), failure) {
                members.insert("failureCode".to_owned(), failure.as_str().into());
            }
            result
        },
    );
    let head = backfill_json(&backfill, "COMPLETE");
    if let (Some(members), Value::Object(head)) = (answer.as_object_mut(), head) {
        members.extend(head);
        members.insert("progress".to_owned(), progress_json(&backfill));
        members.insert("endedAt".to_owned(), epoch(backfill.started_at).into());
    }
    Ok(answer)
}
