//! Manifests: stored and sent as the bytes that were pushed.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::hash::{Algorithm, Hasher};
use landfall_wire::oci::{self, Descriptor, MANIFEST_BYTES_MAX, Manifest, ManifestError};

use super::answer::{
    Answer, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Refusal, empty, not_modified, set, set_content,
};
use super::layers::parse_digest;
use super::{Content, Incoming, RegistryCall};
use crate::authz::{Permit, calls};
use crate::ecr::repository_of;
use crate::store::{Image, Put, Reference, RegistryId, StoreError};
use crate::world::World;

/// Tags that one push by digest may name.
const TAGS_OF_ONE_PUSH_MAX: usize = 100;

/// `GET` and `HEAD` of `manifests/REFERENCE`.
pub(super) fn read(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    reference: &str,
    content: Content,
    incoming: &Incoming,
) -> Answer {
    let (permit, _) = call.permit::<calls::ReadManifest>(name)?;
    // What can't be a tag is no tag of any image.
    let reference = parse_reference(reference)?.ok_or_else(no_image)?;
    let image = read_manifest(call.world, permit, &reference)?;
    if let Some(reason) = crate::ecr::archived(call.world, (&call.registry, name), &image.digest) {
        return Err(Refusal::new("MANIFEST_UNKNOWN", reason));
    }
    if content == Content::Whole {
        crate::ecr::after_pull(call.world, &call.caller, (&call.registry, name), &image.digest);
    }
    let accept = incoming.header_list(header::ACCEPT).unwrap_or_default();
    let translated = match &reference {
        Reference::Tag(_) if !call.is_strict() => {
            oci::translate(&image.manifest, &image.media_type, oci::accepts(&accept))
        }
        Reference::Tag(_) | Reference::Digest(_) => None,
    };
    let (media_type, manifest, digest) = match translated {
        Some((media_type, manifest)) => {
            let digest = landfall_wire::hash::sha256_digest(&manifest);
            (media_type, Bytes::from(manifest), digest)
        }
        None => (image.media_type.as_str(), image.manifest.clone(), image.digest.clone()),
    };
    if incoming.has_already(&digest) {
        return Ok(not_modified(&digest));
    }
    let length = manifest.len();
    let mut response = Response::new(match content {
        Content::Whole => Body::from(manifest),
        Content::HeadersOnly => Body::empty(),
    });
    set(&mut response, header::CONTENT_TYPE, media_type);
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    set_content(&mut response, &digest);
    Ok(response)
}

fn read_manifest(
    world: &World,
    permit: Permit<calls::ReadManifest>,
    reference: &Reference,
) -> Result<std::sync::Arc<Image>, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    world.store.image(&registry, &name, reference).ok_or_else(no_image)
}

/// `PUT manifests/REFERENCE`.
pub(super) async fn put(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    reference: &str,
    incoming: &mut Incoming,
) -> Answer {
    let (permit, _) = call.permit_push::<calls::PutManifest>(name)?;
    let reference = parse_reference(reference)?.ok_or_else(|| no_tag(reference))?;
    let target = Target { tags: tags_of(call, &reference)?, reference, sparse: call.is_strict() };
    let declared = incoming.header(header::CONTENT_TYPE).map(str::to_owned);
    let bytes = collect(incoming.take_body()).await?;
    let manifest = Manifest::parse(&bytes, declared.as_deref()).map_err(|error| unreadable(&error))?;
    let digest = put_manifest(call.world, permit, &target, &manifest, bytes)?;
    for tag in target.tags_or_none() {
        crate::ecr::after_push(call.world, (&call.registry, name), &digest, tag);
    }
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &call.location(&format!("{name}/manifests/{digest}")));
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    if let Some(subject) = &manifest.subject {
        set(&mut response, OCI_SUBJECT, subject.digest.as_str());
    }
    if matches!(target.reference, Reference::Digest(_)) {
        let tags = target.tags.iter().filter_map(|tag| HeaderValue::from_str(tag.as_str()).ok());
        tags.for_each(|tag| _ = response.headers_mut().append(OCI_TAG, tag));
    }
    Ok(response)
}

/// Where a manifest is pushed to.
struct Target {
    reference: Reference,
    /// The tags that it gets: the one that it is pushed under, or those that come with its digest.
    tags: Vec<Tag>,
    /// Whether an index may name images that aren't there.
    sparse: bool,
}

impl Target {
    /// Each tag; without a tag it is pushed as well, once.
    fn tags_or_none(&self) -> impl Iterator<Item = Option<&Tag>> {
        self.tags.iter().map(Some).chain(self.tags.is_empty().then_some(None))
    }
}

/// A manifest that is pushed by digest brings its tags along as `?tag=A&tag=B`, with the specification that
/// comes after 1.1. <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-tags>
fn tags_of(call: &RegistryCall<'_>, reference: &Reference) -> Result<Vec<Tag>, Refusal> {
    match reference {
        Reference::Tag(tag) => Ok(vec![tag.clone()]),
        Reference::Digest(_) if !call.is_strict() => Ok(Vec::new()),
        Reference::Digest(_) => {
            let named = call.query.iter().filter(|(name, _)| *name == "tag").map(|(_, text)| text);
            let tags: Vec<Tag> =
                named.map(|text| Tag::parse(text).map_err(|_| no_tag(text))).collect::<Result<_, _>>()?;
            if tags.len() <= TAGS_OF_ONE_PUSH_MAX {
                return Ok(tags);
            }
            let message = format!("{} tags are named, at most {TAGS_OF_ONE_PUSH_MAX} are taken", tags.len());
            Err(Refusal::with_status(StatusCode::URI_TOO_LONG, "TAG_INVALID", message))
        }
    }
}

fn no_tag(text: &str) -> Refusal {
    Refusal::new("TAG_INVALID", format!("`{text}` is not a tag of 1 to 128 of A-Z a-z 0-9 _ . -"))
}

fn put_manifest(
    world: &World,
    permit: Permit<calls::PutManifest>,
    target: &Target,
    manifest: &Manifest,
    bytes: Bytes,
) -> Result<Digest, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    let digest = identify(&target.reference, &bytes, &registry, &name)?;
    check_content(world, &registry, &name, manifest, target.sparse)?;
    let content = manifest.config.iter().chain(&manifest.layers);
    let image = Image {
        digest: digest.clone(),
        media_type: manifest.media_type.clone(),
        manifest: bytes,
        artifact_type: manifest.referrer_type().map(str::to_owned),
        annotations: manifest.annotations.clone(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
        size_in_bytes: content.fold(0, |sum, item| sum.saturating_add(item.size)),
        pushed_at: world.clock.now(),
    };
    let not_kept = |failed| Refusal::not_kept(failed, &registry, &name);
    let repository = world.store.repository(&registry, &name).ok_or(StoreError::Missing).map_err(not_kept)?;
    for tag in target.tags_or_none() {
        let put = world.store.put_image(&registry, &name, image.clone(), tag).map_err(not_kept)?;
        match (put, tag) {
            // Pushing the same image under the same immutable tag is refused as well (observed).
            (Put::TagIsImmutable, Some(tag)) => return Err(immutable(tag, &name)),
            (Put::AlreadyThere, Some(tag)) if repository.is_immutable(tag) => {
                return Err(immutable(tag, &name));
            }
            (Put::Stored | Put::AlreadyThere | Put::TagIsImmutable, _) => {}
        }
    }
    Ok(digest)
}

/// The digest of the bytes: in the algorithm of the digest that they are pushed under.
fn identify(
    reference: &Reference,
    bytes: &[u8],
    registry: &RegistryId,
    name: &RepositoryName,
) -> Result<Digest, Refusal> {
    match reference {
        Reference::Tag(_) => Ok(landfall_wire::hash::sha256_digest(bytes)),
        Reference::Digest(claimed) => {
            let mut hasher = Hasher::new(Algorithm::of(claimed));
            hasher.update(bytes);
            if hasher.finish() == *claimed {
                return Ok(claimed.clone());
            }
            Err(Refusal::new(
                "MANIFEST_INVALID",
                format!(
                    "The image with digest '{claimed}' in repository '{name}' and registry ID '{}' does not match the image digest that Amazon ECR has calculated.",
                    registry.account
                ),
            ))
        }
    }
}

/// All that a manifest is made of has to be in its repository already; its subject may be missing.
fn check_content(
    world: &World,
    registry: &RegistryId,
    name: &RepositoryName,
    manifest: &Manifest,
    sparse: bool,
) -> Result<(), Refusal> {
    let required = |what: &str, digests: &str| {
        Refusal::with_status(
            StatusCode::NOT_FOUND,
            "MANIFEST_BLOB_UNKNOWN",
            format!(
                "{what} with digests '[{digests}]' required for pushing image into repository with name '{name}' in the registry with id '{}' do not exist",
                registry.account
            ),
        )
    };
    let has_blob = |digest: &Digest| world.blob(registry, name, digest).is_some();
    let has_image =
        |digest: &Digest| world.store.image(registry, name, &Reference::Digest(digest.clone())).is_some();
    let layers = manifest.layers.iter().filter(|layer| !is_foreign(layer)).chain(&manifest.config);
    let missing = missing(layers, has_blob);
    if !missing.is_empty() {
        return Err(required("Layers", &missing.join(",")));
    }
    let missing = self::missing(manifest.manifests.iter(), has_image);
    if !missing.is_empty() && !sparse {
        return Err(required("Images", &missing.join(", ")));
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

async fn collect(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, MANIFEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "MANIFEST_INVALID",
            invalid(&format!("Member must have length less than or equal to {MANIFEST_BYTES_MAX}")),
        )),
        Err(_) => Err(Refusal::new("SIZE_INVALID", "the manifest's body ended early")),
    }
}

fn unreadable(error: &ManifestError) -> Refusal {
    let constraint = match error {
        ManifestError::NotJson => "Invalid JSON syntax".to_owned(),
        ManifestError::TooLong { .. } | ManifestError::Invalid { .. } => error.to_string(),
    };
    Refusal::new("MANIFEST_INVALID", invalid(&constraint))
}

fn invalid(constraint: &str) -> String {
    format!("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{constraint}'")
}

/// A tag or a digest; none for what can be neither.
pub(super) fn parse_reference(text: &str) -> Result<Option<Reference>, Refusal> {
    if text.contains(':') {
        return parse_digest(text).map(|digest| Some(Reference::Digest(digest)));
    }
    Ok(Tag::parse(text).ok().map(Reference::Tag))
}

fn immutable(tag: &Tag, name: &RepositoryName) -> Refusal {
    Refusal::new(
        "TAG_INVALID",
        format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
        ),
    )
}

pub(super) fn no_image() -> Refusal {
    Refusal::new("MANIFEST_UNKNOWN", "Requested image not found")
}

fn internal(error: AwsError) -> Refusal {
    Refusal::internal(&error.message)
}
