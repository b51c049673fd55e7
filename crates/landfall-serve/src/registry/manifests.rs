//! Manifests: stored and sent as the bytes that were pushed.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::oci::{self, MANIFEST_BYTES_MAX, Manifest, ManifestError};

use super::answer::{
    Answer, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG, Refusal, empty, not_modified, set, set_content,
};
use super::layers::parse_digest;
use super::{Content, Incoming, RegistryCall};
use crate::authz::{Permit, calls};
use crate::ecr::{manifest, repository_of};
use crate::store::{Image, Missing, Put, Reference, RegistryId};
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
    let permit = call.authorize::<calls::PutManifest>(name)?;
    if !call.is_made_by_push(name) {
        call.repository(name)?;
    }
    let reference = parse_reference(reference)?.ok_or_else(|| no_tag(reference))?;
    let target = Target { tags: tags_of(call, &reference)?, reference, sparse: call.is_strict() };
    let declared = incoming.header(header::CONTENT_TYPE).map(str::to_owned);
    let mut body = incoming.take_body();
    let collected = collect(&mut body).await;
    incoming.put_back(body);
    let bytes = collected?;
    let parsed = Manifest::parse(&bytes, declared.as_deref()).map_err(|error| unreadable(call, &error))?;
    if call.world.store.repository(&call.registry, name).is_none() {
        make_room(call, name, &target, &parsed, &bytes)?;
    }
    let digest = put_manifest(call.world, permit, &target, &parsed, bytes)?;
    for tag in target.tags_or_none() {
        crate::ecr::after_push(call.world, (&call.registry, name), &digest, tag);
    }
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &call.location(name, &format!("manifests/{digest}")));
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    if let Some(subject) = &parsed.subject {
        set(&mut response, OCI_SUBJECT, subject.digest.as_str());
    }
    if matches!(target.reference, Reference::Digest(_)) {
        let tags = target.tags.iter().filter_map(|tag| HeaderValue::from_str(tag.as_str()).ok());
        tags.for_each(|tag| _ = response.headers_mut().append(OCI_TAG, tag));
    }
    Ok(response)
}

/// Makes the repository that a manifest comes to first of all. One that would be refused there leaves none behind.
fn make_room(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    target: &Target,
    parsed: &Manifest,
    bytes: &[u8],
) -> Result<(), Refusal> {
    identify(&target.reference, bytes, &call.registry, name)?;
    let content = manifest::content_of(parsed, target.sparse);
    let missing = match (content.layers.is_empty(), content.images.is_empty()) {
        (false, _) => Missing::Layers(content.layers),
        (true, false) => Missing::Images(content.images),
        (true, true) => return call.pushed_to(name).map(|_| ()),
    };
    Err(lacking(&missing, &call.registry, name))
}

fn lacking(missing: &Missing, registry: &RegistryId, name: &RepositoryName) -> Refusal {
    Refusal::with_status(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", missing.sentence(registry, name))
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
    parsed: &Manifest,
    bytes: Bytes,
) -> Result<Digest, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(internal)?;
    let digest = identify(&target.reference, &bytes, &registry, &name)?;
    let image = manifest::image_of(world, digest.clone(), parsed, bytes);
    let tags: Vec<&Tag> = target.tags.iter().collect();
    let content = manifest::content_of(parsed, target.sparse);
    let put = world.store.put_image(&registry, &name, image, &tags, &content, world.clock.now());
    match put.map_err(|failed| Refusal::not_kept(failed, &registry, &name))? {
        Put::Stored | Put::AlreadyThere => Ok(digest),
        Put::Lacks(missing) => Err(lacking(&missing, &registry, &name)),
        // Pushing the same image under the same immutable tag is refused as well (observed).
        Put::TagIsImmutable { tag, .. } => {
            Err(Refusal::new("TAG_INVALID", manifest::tag_is_immutable(&tag, &name)))
        }
    }
}

/// The digest of the bytes: in the algorithm of the digest that they are pushed under.
fn identify(
    reference: &Reference,
    bytes: &[u8],
    registry: &RegistryId,
    name: &RepositoryName,
) -> Result<Digest, Refusal> {
    let claimed = match reference {
        Reference::Tag(_) => None,
        Reference::Digest(claimed) => Some(claimed),
    };
    manifest::digest_of(bytes, claimed).ok_or_else(|| {
        let claimed = claimed.map_or("", Digest::as_str);
        Refusal::new("MANIFEST_INVALID", manifest::other_digest(claimed, registry, name))
    })
}

async fn collect(body: &mut Body) -> Result<Bytes, Refusal> {
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

/// ECR answers 405, as if it were asked for what it doesn't have, and keeps the reason to itself. Observed.
/// <https://github.com/awslabs/soci-snapshotter>
fn unreadable(call: &RegistryCall<'_>, error: &ManifestError) -> Refusal {
    match call.is_strict() {
        true => Refusal::new("MANIFEST_INVALID", error.to_string()),
        false => {
            Refusal::new("UNSUPPORTED", invalid(&manifest::constraint_of(error))).note(error.to_string())
        }
    }
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

pub(super) fn no_image() -> Refusal {
    Refusal::new("MANIFEST_UNKNOWN", "Requested image not found")
}

fn internal(error: AwsError) -> Refusal {
    Refusal::internal(&error.message)
}
