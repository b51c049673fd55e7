//! Deletion as the specification has it. ECR refuses it here: its way is `BatchDeleteImage`.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#content-management>

use http::StatusCode;
use landfall_types::{Digest, RepositoryName};
use landfall_wire::error::AwsError;

use super::RegistryCall;
use super::answer::{Answer, Refusal, empty};
use super::layers::{no_blob, parse_digest};
use super::manifests::{no_image, parse_reference};
use crate::authz::{Permit, calls};
use crate::ecr::repository_of;
use crate::store::{Reference, StoreError};
use crate::world::World;

/// `DELETE manifests/REFERENCE`: a tag goes alone, an image goes with all its tags.
pub(super) fn manifest(call: &RegistryCall<'_>, name: &RepositoryName, reference: &str) -> Answer {
    let (permit, _) = call.permit::<calls::DeleteManifest>(name)?;
    let reference = parse_reference(reference)?.ok_or_else(no_image)?;
    delete_manifest(call.world, permit, &reference)?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn delete_manifest(
    world: &World,
    permit: Permit<calls::DeleteManifest>,
    reference: &Reference,
) -> Result<(), Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    let deleted = match reference {
        Reference::Tag(tag) => world.store.delete_tag(&registry, &name, tag),
        Reference::Digest(digest) => world.store.delete_image(&registry, &name, digest),
    };
    deleted.map_err(|error| failed(error, no_image))
}

/// `DELETE blobs/DIGEST`: the repository doesn't have it any more; other repositories may.
pub(super) fn blob(call: &RegistryCall<'_>, name: &RepositoryName, digest: &str) -> Answer {
    let (permit, _) = call.permit::<calls::DeleteBlob>(name)?;
    let digest = parse_digest(digest)?;
    delete_blob(call.world, permit, &digest)?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn delete_blob(world: &World, permit: Permit<calls::DeleteBlob>, digest: &Digest) -> Result<(), Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    world.store.unlink_blob(&registry, &name, digest).map_err(|error| failed(error, no_blob))
}

fn failed(error: StoreError, missing: impl FnOnce() -> Refusal) -> Refusal {
    match error {
        StoreError::Missing | StoreError::Exists => missing(),
        StoreError::Disk(_) => Refusal::internal("the change can't be kept"),
    }
}

fn internal(error: AwsError) -> Refusal {
    Refusal::internal(&error.message)
}
