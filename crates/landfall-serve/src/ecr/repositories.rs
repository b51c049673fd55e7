//! Repositories: made, described, changed and deleted.

use std::sync::Arc;

use landfall_types::{Arn, RepositoryName};
use landfall_wire::error::{AwsError, Protocol, internal};
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::arn_of;
use super::page::Page;
use super::replies::{Mutability, Repositories, RepositoryReply};
use super::{
    Answer, EcrCall, Face, Found, Reply, Written, gone, no_repository, repository_name, resource_tags,
};
use crate::authz::{Call, Permit, calls};
use crate::store::{
    Deleted, Document, Encryption, Filter, RegistryId, Repository, RepositorySettings, TagMutability,
};
use crate::world::World;

/// Wildcards of one exclusion filter.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>
const FILTER_WILDCARDS_MAX: usize = 2;

/// What a new repository is like.
#[derive(Clone, Debug)]
pub struct CreateRepository {
    /// The registry that it is made in.
    pub registry: RegistryId,
    /// Its name.
    pub name: RepositoryName,
    /// How it is set up.
    pub settings: RepositorySettings,
    /// Resource tags.
    pub tags: Vec<(String, String)>,
    /// The repository policy.
    pub policy: Option<Document>,
}

impl CreateRepository {
    /// The new repository's ARN: what the permit has to be for.
    pub fn arn(&self) -> Arn {
        arn_of(&self.registry, self.name.as_str())
    }
}

/// The members of `CreateRepository` and of templates that say how repositories are set up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingsInput {
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<Vec<Filter>>,
    image_scanning_configuration: Option<ScanningInput>,
    encryption_configuration: Option<Encryption>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanningInput {
    scan_on_push: Option<bool>,
}

impl SettingsInput {
    pub(super) fn mutability(&self) -> Result<Option<TagMutability>, AwsError> {
        let filters = self.image_tag_mutability_exclusion_filters.as_deref();
        match &self.image_tag_mutability {
            Some(mutability) => tag_mutability(mutability, filters).map(Some),
            None if filters.is_some() => Err(filters_without_exclusion("MUTABLE")),
            None => Ok(None),
        }
    }

    pub(super) fn encryption(&self) -> Result<Option<Encryption>, AwsError> {
        match &self.encryption_configuration {
            Some(Encryption { encryption_type, kms_key: Some(key) })
                if encryption_type == "AES256" && !key.is_empty() =>
            {
                let constraint = "kmsKey cannot be specified with encryption type AES256";
                Err(ecr_invalid_parameter("encryptionConfiguration", constraint))
            }
            given => Ok(given.clone()),
        }
    }

    fn settings(&self) -> Result<RepositorySettings, AwsError> {
        Ok(RepositorySettings {
            tag_mutability: self.mutability()?.unwrap_or_default(),
            scan_on_push: self
                .image_scanning_configuration
                .as_ref()
                .and_then(|scanning| scanning.scan_on_push)
                .unwrap_or_default(),
            encryption: self.encryption()?.unwrap_or_default(),
            ..RepositorySettings::default()
        })
    }
}

/// Reads `imageTagMutability` with its exclusion filters.
fn tag_mutability(mutability: &str, filters: Option<&[Filter]>) -> Result<TagMutability, AwsError> {
    let patterns: Option<Vec<String>> =
        filters.map(|filters| filters.iter().map(|filter| filter.filter.clone()).collect());
    let wildcards =
        |pattern: &&String| pattern.bytes().filter(|byte| *byte == b'*').count() > FILTER_WILDCARDS_MAX;
    if let Some(pattern) = patterns.iter().flatten().find(wildcards) {
        let constraint = format!("'{pattern}' has more than {FILTER_WILDCARDS_MAX} wildcards");
        return Err(ecr_invalid_parameter("imageTagMutabilityExclusionFilters", &constraint));
    }
    match (mutability, patterns) {
        ("MUTABLE", None) => Ok(TagMutability::Mutable),
        ("IMMUTABLE", None) => Ok(TagMutability::Immutable),
        ("MUTABLE_WITH_EXCLUSION", Some(patterns)) => Ok(TagMutability::MutableExcept(patterns)),
        ("IMMUTABLE_WITH_EXCLUSION", Some(patterns)) => Ok(TagMutability::ImmutableExcept(patterns)),
        (with_exclusion @ ("MUTABLE_WITH_EXCLUSION" | "IMMUTABLE_WITH_EXCLUSION"), None) => {
            let constraint = format!(
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {with_exclusion}"
            );
            Err(ecr_invalid_parameter("imageTagMutabilityExclusionFilters", &constraint))
        }
        (without, Some(_)) => Err(filters_without_exclusion(without)),
        (_, None) => Err(internal(Protocol::Json11)),
    }
}

fn filters_without_exclusion(mutability: &str) -> AwsError {
    let constraint = format!("cannot be specified when imageTagMutability is {mutability}");
    ecr_invalid_parameter("imageTagMutabilityExclusionFilters", &constraint)
}

pub(super) fn create(call: &EcrCall<'_>) -> Answer {
    let (registry, name) = call.repository_name()?;
    let settings = call.read::<SettingsInput>()?.settings()?;
    let tags = resource_tags::read(&call.input, "tags")?;
    let keys = resource_tags::request_keys(&tags);
    let permit = call.permit_on(&registry, &name, keys.clone())?;
    if !tags.is_empty() {
        // Who makes a repository with tags has to be allowed to tag it.
        let _: Permit<calls::TagResource> = call.permit_on(&registry, &name, keys)?;
    }
    let input = CreateRepository { registry, name, settings, tags, policy: None };
    let repository = create_repository(call.world, permit, input)?;
    Ok(json!({ "repository": repository_json(&repository) }))
}

/// `CreateRepository`.
///
/// # Errors
/// `RepositoryAlreadyExistsException`; `InternalFailure` when the permit is for another repository.
pub fn create_repository(
    world: &World,
    permit: Permit<calls::CreateRepository>,
    input: CreateRepository,
) -> Result<Repository, AwsError> {
    insert(world, &permit, input)
}

/// Brings a repository that is there up to date with what would make it: its policy, if it is to have one, and
/// its tags. How it is set up has calls of its own.
///
/// # Errors
/// `RepositoryNotFoundException`; `InternalFailure` when the permit is for another repository.
pub fn restate_repository(
    world: &World,
    permit: &Permit<calls::CreateRepository>,
    input: CreateRepository,
) -> Result<(), AwsError> {
    if permit.resource() != input.arn().to_string() {
        return Err(internal(Protocol::Json11));
    }
    let CreateRepository { registry, name, policy, tags, .. } = input;
    let changed = world.store.change_repository(&registry, &name, |repository| {
        repository.policy = policy.or(repository.policy.take());
        for (key, value) in tags {
            match repository.tags.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => repository.tags.push((key, value)),
            }
        }
    });
    changed.map_err(|failed| super::gone(failed, &registry, &name))
}

/// Makes the repository that a permit is for.
pub(super) fn insert<C: Call>(
    world: &World,
    permit: &Permit<C>,
    input: CreateRepository,
) -> Result<Repository, AwsError> {
    if permit.resource() != input.arn().to_string() {
        return Err(internal(Protocol::Json11));
    }
    let CreateRepository { registry, name, settings, tags, policy } = input;
    let created_at = world.clock.now();
    let repository = Repository { registry, name, settings, policy, tags, created_at };
    world.store.insert_repository(repository.clone()).map_err(|failed| {
        failed.or(Protocol::Json11, || {
            AwsError::bad_request(
                "RepositoryAlreadyExistsException",
                format!(
                    "The repository with name '{}' already exists in the registry with id '{}'",
                    repository.name, repository.registry.account
                ),
            )
        })
    })?;
    Ok(repository)
}

pub(super) fn describe<C: Call>(call: &EcrCall<'_>) -> Written {
    let registry = call.registry()?;
    let names: Vec<String> = match call.input.get("repositoryNames") {
        None | Some(Value::Null) => Vec::new(),
        Some(names) => Vec::deserialize(names).map_err(|_| internal(Protocol::Json11))?,
    };
    if names.is_empty() {
        let page = Page::of(call)?;
        let permit = call.on_all::<C>(&registry)?;
        return Ok(list(call.world, &permit, &registry, page));
    }
    Page::refuse(call, "repositoryNames")?;
    let names: Vec<RepositoryName> =
        names.iter().map(|name| repository_name(name)).collect::<Result<_, _>>()?;
    let permits: Vec<Permit<C>> =
        names.iter().map(|name| call.permit_on(&registry, name, Vec::new())).collect::<Result<_, _>>()?;
    let found = permits.iter().zip(&names).map(|(_, name)| {
        call.world.store.repository(&registry, name).ok_or_else(|| no_repository(&registry, name))
    });
    Ok(written(&found.collect::<Result<Vec<_>, _>>()?, None))
}

fn list<C>(world: &World, _permit: &Permit<C>, registry: &RegistryId, page: Page) -> Reply {
    let repositories = world.store.repositories(registry);
    let (repositories, next) = page.cut(&repositories, |repository| repository.name.to_string());
    written(repositories, next)
}

fn written(repositories: &[Arc<Repository>], next_token: Option<String>) -> Reply {
    let repositories = repositories.iter().map(|repository| RepositoryReply::of(repository)).collect();
    Reply::written(&Repositories { repositories, next_token })
}

pub(super) fn delete<C: Call>(call: &EcrCall<'_>) -> Answer {
    let force = call.input.get("force").and_then(Value::as_bool).unwrap_or_default();
    let found = call.on_repository::<C>()?;
    let deleted = delete_found(call.world, &found, force)?;
    let mut answer = repository_json(&deleted);
    if let (Some(members), Face::Private) = (answer.as_object_mut(), call.face) {
        // The answer has none of them (observed).
        members.remove("imageScanningConfiguration");
        members.remove("encryptionConfiguration");
    }
    Ok(json!({ "repository": answer }))
}

fn delete_found<C>(world: &World, found: &Found<C>, force: bool) -> Result<Arc<Repository>, AwsError> {
    let Found { registry, name, .. } = found;
    let deleted = world.store.delete_repository(registry, name, force);
    match deleted.map_err(|failed| gone(failed, registry, name))? {
        Deleted::Repository(repository) => {
            world.blobs.open_uploads.forget_repository(&registry.path_of(name));
            Ok(repository)
        }
        Deleted::HasImages => Err(AwsError::bad_request(
            "RepositoryNotEmptyException",
            format!(
                "The repository with name '{name}' in registry with id '{}' cannot be deleted because it still contains images",
                registry.account
            ),
        )),
    }
}

pub(super) fn put_image_tag_mutability(call: &EcrCall<'_>) -> Answer {
    let mutability = call.read::<SettingsInput>()?.mutability()?.unwrap_or_default();
    let found = call.on_repository::<calls::PutImageTagMutability>()?;
    found.change(call.world, |repository| repository.settings.tag_mutability = mutability.clone())?;
    let mut answer = Map::new();
    answer.insert("registryId".to_owned(), found.registry.account.as_str().into());
    answer.insert("repositoryName".to_owned(), found.name.as_str().into());
    add_mutability(&mut answer, &mutability);
    Ok(Value::Object(answer))
}

/// `imageTagMutability`, with the filters if there are any.
pub(super) fn add_mutability(members: &mut Map<String, Value>, mutability: &TagMutability) {
    if let Ok(Value::Object(more)) = serde_json::to_value(Mutability::of(mutability)) {
        members.extend(more);
    }
}

/// A repository as the API describes it.
pub(super) fn repository_json(repository: &Repository) -> Value {
    serde_json::to_value(RepositoryReply::of(repository)).unwrap_or_default()
}
