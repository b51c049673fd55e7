//! `PutImage`, and what follows when an image was pushed or pulled, by API or by registry.

use bytes::Bytes;
use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::hash::{Algorithm, Hasher};
use landfall_wire::json::ecr_invalid_parameter;
use landfall_wire::oci::{Descriptor, Manifest, ManifestError};
use serde::Deserialize;
use serde_json::json;

use super::images::image_json;
use super::{Answer, EcrCall, Found, gone, replication, scanning};
use crate::authz::Call;
use crate::caller::Caller;
use crate::store::{Image, Put, Reference, RegistryId};
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
    let manifest = Manifest::parse(&bytes, input.image_manifest_media_type.as_deref())
        .map_err(|error| unreadable(&error))?;
    let digest = digest_of(&found, &bytes, input.image_digest.as_deref())?;
    check_content(call.world, &found, &manifest)?;
    let image = image_of(digest, &manifest, bytes, call.world);
    store(call.world, &found, image.clone(), tag.as_ref())?;
    after_push(call.world, (&found.registry, &found.name), &image.digest, tag.as_ref());
    Ok(json!({ "image": image_json(&found, &image, tag.as_ref().map(Tag::as_str)) }))
}

fn unreadable(error: &ManifestError) -> AwsError {
    let constraint = match error {
        ManifestError::NotJson => "Invalid JSON syntax".to_owned(),
        ManifestError::TooLong { .. } | ManifestError::Invalid { .. } => error.to_string(),
    };
    ecr_invalid_parameter("ImageManifest", &constraint)
}

/// The digest of a manifest; the one that was claimed has to be it.
fn digest_of<C>(found: &Found<C>, bytes: &Bytes, claimed: Option<&str>) -> Result<Digest, AwsError> {
    let Some(text) = claimed else { return Ok(landfall_wire::hash::sha256_digest(bytes)) };
    let mismatch = || {
        AwsError::bad_request(
            "ImageDigestDoesNotMatchException",
            format!(
                "The image with digest '{text}' in repository '{}' and registry ID '{}' does not match the image digest that Amazon ECR has calculated.",
                found.name, found.registry.account
            ),
        )
    };
    let claimed = Digest::parse(text).map_err(|_| mismatch())?;
    let mut hasher = Hasher::new(Algorithm::of(&claimed));
    hasher.update(bytes);
    if hasher.finish() == claimed { Ok(claimed) } else { Err(mismatch()) }
}

fn image_of(digest: Digest, manifest: &Manifest, bytes: Bytes, world: &World) -> Image {
    let content = manifest.config.iter().chain(&manifest.layers);
    Image {
        digest,
        media_type: manifest.media_type.clone(),
        artifact_type: manifest.referrer_type().map(str::to_owned),
        annotations: manifest.annotations.clone(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
        size_in_bytes: content.fold(0, |sum, item| sum.saturating_add(item.size)),
        manifest: bytes,
        pushed_at: world.clock.now(),
    }
}

/// All that a manifest is made of has to be in its repository already; its subject may be missing.
fn check_content<C>(world: &World, found: &Found<C>, manifest: &Manifest) -> Result<(), AwsError> {
    let Found { registry, name, .. } = found;
    let required = |code: &'static str, what: &str, digests: &str| {
        let message = format!(
            "{what} with digests '[{digests}]' required for pushing image into repository with name '{name}' in the registry with id '{}' do not exist",
            registry.account
        );
        AwsError::bad_request(code, message)
    };
    let layers = manifest.layers.iter().filter(|layer| !is_foreign(layer)).chain(&manifest.config);
    let missing = missing(layers, |digest| world.blob(registry, name, digest).is_some());
    if !missing.is_empty() {
        return Err(required("LayersNotFoundException", "Layers", &missing.join(",")));
    }
    let has_image =
        |digest: &Digest| world.store.image(registry, name, &Reference::Digest(digest.clone())).is_some();
    let missing = self::missing(manifest.manifests.iter(), has_image);
    if !missing.is_empty() {
        return Err(required("ReferencedImagesNotFoundException", "Images", &missing.join(", ")));
    }
    Ok(())
}

fn missing<'m>(content: impl Iterator<Item = &'m Descriptor>, has: impl Fn(&Digest) -> bool) -> Vec<&'m str> {
    let mut missing = Vec::new();
    for Descriptor { digest, .. } in content {
        if !has(digest) && !missing.contains(&digest.as_str()) {
            missing.push(digest.as_str());
        }
    }
    missing
}

/// Layers that are fetched from elsewhere and never pushed.
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#non-distributable-layers>
fn is_foreign(layer: &Descriptor) -> bool {
    layer.media_type.contains(".nondistributable.") || layer.media_type.contains(".rootfs.foreign.")
}

fn store<C>(world: &World, found: &Found<C>, image: Image, tag: Option<&Tag>) -> Result<(), AwsError> {
    let Found { registry, name, .. } = found;
    let digest = image.digest.clone();
    let put =
        world.store.put_image(registry, name, image, tag).map_err(|failed| gone(failed, registry, name))?;
    let tag = tag.map_or("null", Tag::as_str);
    match put {
        Put::Stored => Ok(()),
        Put::AlreadyThere => Err(AwsError::bad_request(
            "ImageAlreadyExistsException",
            format!(
                "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' in registry with id '{}'",
                registry.account
            ),
        )),
        Put::TagIsImmutable => Err(AwsError::bad_request(
            "ImageTagAlreadyExistsException",
            format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
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
