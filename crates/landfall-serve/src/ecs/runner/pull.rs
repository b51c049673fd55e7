//! May the task have its images: asked as the execution role asks, decided as the registry decides.

use std::sync::Arc;

use landfall_types::RepositoryName;
use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use super::role;
use crate::authz::{self, Asked, Permit, calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::ecr;
use crate::ecs::load;
use crate::registry::registry_of_host;
use crate::store::ecs::{Place, Task};
use crate::store::{Reference, RegistryId};
use crate::world::World;

/// An image in a registry of this server.
#[derive(Clone, Debug)]
pub(super) struct LocalImage {
    /// The registry.
    pub(super) registry: RegistryId,
    /// The repository.
    pub(super) name: RepositoryName,
    /// The tag or digest as it was written, `latest` when there was none.
    pub(super) reference: String,
}

/// Reads an image's name, when it is one of this server's: an ECR name, or this server's own address.
pub(super) fn local(world: &World, place: &Place, image: &str) -> Option<LocalImage> {
    let (host, rest) = image.split_once('/')?;
    let registry = match registry_of_host(host).or_else(|| world.registries.at(host)) {
        Some(registry) => registry,
        None => {
            let own = world.base_url().split_once("//").map(|(_, own)| own)?;
            let (own_host, own_port) = own.rsplit_once(':')?;
            let (name, port) = host.rsplit_once(':')?;
            let is_own = port == own_port && (name == own_host || name == "localhost");
            if !is_own && world.doors.called(Some(host)).is_none() {
                return None;
            }
            RegistryId { account: place.account, region: place.region.clone() }
        }
    };
    let (name, reference) = match rest.split_once('@') {
        Some((name, digest)) => (name.split(':').next()?, digest),
        None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
    };
    Some(LocalImage { registry, name: RepositoryName::parse(name).ok()?, reference: reference.to_owned() })
}

/// Whether the registry has it.
pub(super) fn is_there(world: &World, image: &LocalImage) -> bool {
    let reference = Reference::parse(&image.reference).ok();
    reference.is_some_and(|reference| world.store.image(&image.registry, &image.name, &reference).is_some())
}

/// The digests of a task's images, in the order of its containers; none for images from elsewhere.
///
/// # Errors
/// `stoppedReason` of a task that can't have an image.
pub(super) fn resolve(world: &World, task: &Task) -> Result<Vec<Option<String>>, String> {
    let mut caller = None;
    let mut digests = Vec::new();
    check_sources(world, task)?;
    for container in &task.containers {
        let Some(image) = local(world, &task.place, &container.image) else {
            digests.push(None);
            continue;
        };
        let caller = match &caller {
            Some(caller) => caller,
            None => caller.insert(puller(world, task)?),
        };
        digests.push(Some(one(world, caller, &image, &container.image)?));
    }
    Ok(digests)
}

/// Secrets and environment files come from services that aren't here.
fn check_sources(world: &World, task: &Task) -> Result<(), String> {
    let Some(definition) = load::definition_by_arn(world, &task.place, &task.definition) else {
        return Err(format!("CannotStartContainerError: the task definition {} is gone", task.definition));
    };
    for container in definition.containers() {
        let credentials = container.get("repositoryCredentials");
        if let Some(from) = credentials.and_then(|known| known["credentialsParameter"].as_str()) {
            return Err(secret_error(from));
        }
        let items = |name: &str| container.get(name).and_then(Value::as_array).into_iter().flatten();
        if let Some(secret) = items("secrets").next() {
            let from = secret.get("valueFrom").and_then(Value::as_str).unwrap_or_default();
            return Err(secret_error(from));
        }
        if let Some(file) = items("environmentFiles").next() {
            let from = file.get("value").and_then(Value::as_str).unwrap_or_default();
            return Err(format!(
                "ResourceInitializationError: failed to download env files: file download command: non empty error stream: service call has been retried 1 time(s): there is no S3 here to read {from} from"
            ));
        }
    }
    Ok(())
}

fn secret_error(from: &str) -> String {
    let (kind, service) = if from.contains(":secretsmanager:") {
        ("unable to retrieve secret from asm", "Secrets Manager")
    } else {
        ("unable to retrieve secrets from ssm", "Systems Manager")
    };
    format!(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: {kind}: service call has been retried 1 time(s): there is no {service} here to read {from} from"
    )
}

/// Who pulls and logs: the execution role; without one the instance, which may do what its account may.
///
/// # Errors
/// ECS's sentence, when there is no such role or it doesn't trust tasks.
pub(super) fn executor(world: &World, task: &Task) -> Result<Caller, String> {
    match super::role_of(world, task, "executionRoleArn") {
        Some(role) => Ok(Caller::Session(Arc::new(role::assume(world, task, &role)?))),
        None => Ok(Caller::Root { account: task.place.account }),
    }
}

/// Who pulls, with a login to the registry.
pub(super) fn puller(world: &World, task: &Task) -> Result<Caller, String> {
    let caller = executor(world, task)?;
    if matches!(caller, Caller::Root { .. }) {
        return Ok(caller);
    }
    let connection = agent();
    let asked = Asked {
        caller: &caller,
        region: &task.place.region,
        resource: "*".to_owned(),
        resource_account: task.place.account.to_string(),
        resource_policies: &[],
        keys: connection.keys(),
        request_id: &world.request_id(),
    };
    let permit: Result<Permit<calls::GetAuthorizationToken>, AwsError> =
        authz::authorize(world, &asked, Protocol::Json11);
    permit.map_err(|error| {
        format!(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s): {}: {} status code: {}, request id: {}",
            error.code, error.message, error.status, asked.request_id
        )
    })?;
    Ok(caller)
}

/// How the agent's calls look in conditions on where a call comes from.
pub(super) fn agent() -> Connection {
    Connection::new(std::net::Ipv4Addr::LOCALHOST.into(), Some("Amazon ECS Agent"))
}

/// One image: the manifest is read, and it is there.
fn one(world: &World, caller: &Caller, image: &LocalImage, written: &str) -> Result<String, String> {
    let connection = agent();
    let request_id = world.request_id();
    let retried =
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref";
    let read: Result<Permit<calls::ReadManifest>, AwsError> =
        ecr::authorize_on_repository(world, (caller, &connection), &image.registry, &image.name, &request_id);
    let (host, _) = written.split_once('/').unwrap_or((written, ""));
    read.map_err(|error| {
        format!(
            "{retried} {written}: pulling from host {host} failed with status code [manifests {}]: 403 Forbidden: {}",
            image.reference, error.message
        )
    })?;
    let missing = || format!("{retried} {written}: {written}: not found");
    let reference = Reference::parse(&image.reference).map_err(|_| missing())?;
    let found = world.store.image(&image.registry, &image.name, &reference).ok_or_else(missing)?;
    let layers: Result<Permit<calls::ReadBlob>, AwsError> =
        ecr::authorize_on_repository(world, (caller, &connection), &image.registry, &image.name, &request_id);
    layers.map_err(|error| {
        format!(
            "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: unexpected status code from {host}: 403 Forbidden: {}",
            error.message
        )
    })?;
    Ok(found.digest.to_string())
}
