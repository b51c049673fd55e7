//! `PutImage`, and what follows when an image was pushed or pulled, by API or by registry.

use bytes::Bytes;
use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use landfall_wire::oci::{Manifest, ManifestError};
use serde::Deserialize;
use serde_json::json;

use super::images::image_json;
use super::manifest;
use super::{Answer, EcrCall, Found, gone, replication, scanning};
use crate::authz::Call;
use crate::caller::Caller;
use crate::store::{Content, Image, Missing, Put, RegistryId};
use crate::world::World;

/// A pull is noted when the last note is so many seconds old. ECR promises one note a day.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
const PULL_NOTE_SECONDS: i64 = 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutInput {
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

pub(super) fn put_image<C: Call>(call: &EcrCall<'_>) -> Answer {
    let input: PutInput = call.read()?;
    let tag =
        input.image_tag.as_deref().map(Tag::parse).transpose().map_err(|_| {
            ecr_invalid_parameter("imageTag", "must be a tag of 1 to 128 of A-Z a-z 0-9 _ . -")
        })?;
    let found = call.on_repository::<C>()?;
    let bytes = Bytes::from(input.image_manifest);
    let parsed = Manifest::parse(&bytes, input.image_manifest_media_type.as_deref())
        .map_err(|error| unreadable(&error))?;
    let digest = digest_of(&found, &bytes, input.image_digest.as_deref())?;
    let image = manifest::image_of(call.world, digest, &parsed, bytes);
    store(call.world, &found, image.clone(), tag.as_ref(), &manifest::content_of(&parsed, false))?;
    after_push(call.world, (&found.registry, &found.name), &image.digest, tag.as_ref());
    Ok(json!({ "image": image_json(&found, &image, tag.as_ref().map(Tag::as_str)) }))
}

fn unreadable(error: &ManifestError) -> AwsError {
    ecr_invalid_parameter("ImageManifest", &manifest::constraint_of(error)).note(error.to_string())
}

/// The digest of a manifest; the one that was claimed has to be it.
fn digest_of<C>(found: &Found<C>, bytes: &Bytes, claimed: Option<&str>) -> Result<Digest, AwsError> {
    let digest = match claimed.map(Digest::parse) {
        None => manifest::digest_of(bytes, None),
        Some(Ok(claimed)) => manifest::digest_of(bytes, Some(&claimed)),
        Some(Err(_)) => None,
    };
    digest.ok_or_else(|| {
        let message = manifest::other_digest(claimed.unwrap_or_default(), &found.registry, &found.name);
        AwsError::bad_request("ImageDigestDoesNotMatchException", message)
    })
}

fn missing<C>(found: &Found<C>, missing: &Missing) -> AwsError {
    let code = match missing {
        Missing::Layers(_) => "LayersNotFoundException",
        Missing::Images(_) => "ReferencedImagesNotFoundException",
    };
    AwsError::bad_request(code, missing.sentence(&found.registry, &found.name))
}

fn store<C>(
    world: &World,
    found: &Found<C>,
    image: Image,
    tag: Option<&Tag>,
    content: &Content,
) -> Result<(), AwsError> {
    let Found { registry, name, .. } = found;
    let digest = image.digest.clone();
    let put = world
        .store
        .put_image(registry, name, image, tag.as_slice(), content, world.clock.now())
        .map_err(|failed| gone(failed, registry, name))?;
    match put {
        Put::Stored => Ok(()),
        Put::Lacks(content) => Err(missing(found, &content)),
        Put::TagIsImmutable { tag, names_it: false } => Err(AwsError::bad_request(
            "ImageTagAlreadyExistsException",
            manifest::tag_is_immutable(&tag, name),
        )),
        Put::AlreadyThere | Put::TagIsImmutable { .. } => Err(AwsError::bad_request(
            "ImageAlreadyExistsException",
            format!(
                "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{name}' in registry with id '{}'",
                tag.map_or("null", Tag::as_str),
                registry.account
            ),
        )),
    }
}

/// What ECR does on its own when an image was pushed: scanning and replication, as the registry is set up.
pub(crate) fn after_push(
    world: &World,
    (registry, name): (&RegistryId, &RepositoryName),
    digest: &Digest,
    tag: Option<&Tag>,
) {
    scanning::on_push(world, (registry, name), digest);
    replication::on_push(world, (registry, name), digest, tag);
}

/// Notes that an image was pulled, unless this caller's pulls don't count.
pub(crate) fn after_pull(
    world: &World,
    caller: &Caller,
    (registry, name): (&RegistryId, &RepositoryName),
    digest: &Digest,
) {
    let now = world.clock.now();
    let last = world.store.image_history(registry, name, digest.as_str()).pulled_at;
    if last.is_some_and(|last| last.plus_seconds(PULL_NOTE_SECONDS) > now) {
        return;
    }
    let principal = match caller {
        Caller::Session(session) => session.role_arn().to_string(),
        other => other.arn(),
    };
    if world.store.registry_settings(registry).pull_time_exclusions.contains_key(&principal) {
        return;
    }
    // A pull has happened whether or not it could be noted.
    let _ = world.store.change_image_history(registry, name, digest.as_str(), |history| {
        history.pulled_at = Some(now);
    });
}
