//! What a manifest has to be before it is kept, by API and by registry alike. The sentences are ECR's; what they
//! come in is each protocol's own.

use std::collections::HashSet;

use bytes::Bytes;
use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::hash::{Algorithm, Hasher};
use landfall_wire::oci::{Descriptor, Manifest, ManifestError};

use crate::store::{Content, Image, Missing, RegistryId};
use crate::world::World;

impl Missing {
    /// ECR's sentence.
    pub(crate) fn sentence(&self, registry: &RegistryId, name: &RepositoryName) -> String {
        let (what, digests, comma) = match self {
            Self::Layers(digests) => ("Layers", digests, ","),
            Self::Images(digests) => ("Images", digests, ", "),
        };
        let digests: Vec<&str> = digests.iter().map(Digest::as_str).collect();
        format!(
            "{what} with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with id '{}' do not exist",
            digests.join(comma),
            registry.account
        )
    }
}

/// All that a manifest is made of has to be in its repository already; its subject may be missing, and with
/// `sparse` the images of an index.
pub(crate) fn content_of(manifest: &Manifest, sparse: bool) -> Content {
    let layers = manifest.layers.iter().filter(|layer| !is_foreign(layer)).chain(&manifest.config);
    let images = manifest.manifests.iter().filter(|_| !sparse);
    Content { layers: each_once(layers), images: each_once(images) }
}

fn each_once<'m>(content: impl Iterator<Item = &'m Descriptor>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    content.map(|item| &item.digest).filter(|digest| seen.insert(*digest)).cloned().collect()
}

/// Layers that are fetched from elsewhere and never pushed.
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#non-distributable-layers>
fn is_foreign(layer: &Descriptor) -> bool {
    layer.media_type.contains(".nondistributable.") || layer.media_type.contains(".rootfs.foreign.")
}

/// The digest of a manifest, in the algorithm of the one that it is said to have; none when it has another.
pub(crate) fn digest_of(bytes: &[u8], claimed: Option<&Digest>) -> Option<Digest> {
    let Some(claimed) = claimed else { return Some(landfall_wire::hash::sha256_digest(bytes)) };
    let mut hasher = Hasher::new(Algorithm::of(claimed));
    hasher.update(bytes);
    Some(hasher.finish()).filter(|digest| digest == claimed)
}

/// ECR's sentence for a manifest that has another digest than it is said to have.
pub(crate) fn other_digest(claimed: &str, registry: &RegistryId, name: &RepositoryName) -> String {
    format!(
        "The image with digest '{claimed}' in repository '{name}' and registry ID '{}' does not match the image digest that Amazon ECR has calculated.",
        registry.account
    )
}

/// ECR's sentence for a tag that stays where it is.
pub(crate) fn tag_is_immutable(tag: &Tag, name: &RepositoryName) -> String {
    format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
    )
}

/// What ECR says that a manifest which can't be read should have been: the same of one that is JSON and no manifest, as
/// of one that is no JSON. Observed.
pub(crate) fn constraint_of(error: &ManifestError) -> String {
    match error {
        ManifestError::NotJson | ManifestError::Invalid { .. } => "Invalid JSON syntax".to_owned(),
        ManifestError::TooLong { .. } => error.to_string(),
    }
}

/// The image that is kept for a manifest.
pub(crate) fn image_of(world: &World, digest: Digest, manifest: &Manifest, bytes: Bytes) -> Image {
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
