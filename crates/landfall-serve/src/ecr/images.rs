//! Images: listed, described, read, and moved between storage classes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use landfall_types::{Digest, RepositoryName, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::Page;
use super::push::after_pull;
use super::replies::{
    FailureReply, ImageDetail, ImageDetails, ImageId, ImageIds, ImageReply, Images, image_status,
};
use super::{Answer, EcrCall, Found, Reply, StorageClass, Written, disk};
use crate::authz::{Call, calls};
use crate::store::{Image, ImageHistory, Reference, RegistryId};
use crate::world::World;

/// Referrers of a page when the call doesn't say (ECR's API reference).
const REFERRERS_DEFAULT: usize = 50;

/// Lists within lists that a size is looked for in.
const LISTS_IN_LISTS_MAX: usize = 8;

/// An image with its tags.
type Tagged = (Arc<Image>, Vec<Tag>);

/// The sizes of a repository's images.
pub(super) struct Sizes<'i> {
    images: HashMap<&'i Digest, &'i Image>,
    known: RefCell<HashMap<Digest, u64>>,
}

impl<'i> Sizes<'i> {
    pub(super) fn of(images: &'i [Tagged]) -> Self {
        let images = images.iter().map(|(image, _)| (&image.digest, &**image)).collect();
        Self { images, known: RefCell::default() }
    }

    /// The size of an image in bytes; of a manifest list it is that of the largest image in it.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
    pub(super) fn size(&self, image: &Image) -> u64 {
        self.size_at(image, 0)
    }

    fn size_at(&self, image: &Image, depth: usize) -> u64 {
        if !image.is_list() {
            return image.size_in_bytes;
        }
        if let Some(size) = self.known.borrow().get(&image.digest) {
            return *size;
        }
        if depth == LISTS_IN_LISTS_MAX {
            return 0;
        }
        let listed = image.listed();
        let sizes = listed.iter().filter_map(|digest| self.images.get(digest));
        let size = sizes.map(|image| self.size_at(image, depth + 1)).max().unwrap_or_default();
        self.known.borrow_mut().insert(image.digest.clone(), size);
        size
    }
}

/// How an image is named in a request.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ImageIdInput {
    pub(super) image_digest: Option<String>,
    pub(super) image_tag: Option<String>,
}

impl ImageIdInput {
    /// As ECR's messages write it: an absent part is the word null (observed).
    pub(super) fn sentence(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "null".to_owned());
        format!("{{imageDigest:'{}', imageTag:'{}'}}", part(&self.image_digest), part(&self.image_tag))
    }

    /// What can't name an image is a broken parameter, where it doesn't become a failure of its own.
    fn check(&self, member: &str) -> Result<(), AwsError> {
        match (&self.image_digest, &self.image_tag) {
            (None, None) => Err(ecr_invalid_parameter(member, "imageDigest or imageTag must be given")),
            (Some(digest), _) if Digest::parse(digest).is_err() => Err(ecr_invalid_parameter(
                member,
                "imageDigest must satisfy regular expression [a-zA-Z0-9-_+.]+:[a-fA-F0-9]+",
            )),
            _ => Ok(()),
        }
    }

    fn names(&self, image: &Image, tags: &[Tag]) -> bool {
        self.image_digest.as_ref().is_none_or(|digest| digest == image.digest.as_str())
            && self.image_tag.as_ref().is_none_or(|tag| tags.iter().any(|known| known.as_str() == tag))
    }
}

/// `imageDigest` and `imageTag`, each if it is there.
pub(super) fn image_id_json(digest: Option<&str>, tag: Option<&str>) -> Value {
    serde_json::to_value(ImageId { image_digest: digest, image_tag: tag }).unwrap_or_default()
}

/// `ImageNotFoundException`.
pub(super) fn no_image<C>(id: &ImageIdInput, found: &Found<C>) -> AwsError {
    AwsError::bad_request(
        "ImageNotFoundException",
        format!(
            "The image with imageId {} does not exist within the repository with name '{}' in the registry with id '{}'",
            id.sentence(),
            found.name,
            found.registry.account
        ),
    )
}

impl<C> Found<C> {
    /// The registry's id, and the repository's name.
    fn names(&self) -> (&str, &str) {
        (self.registry.account.as_str(), self.name.as_str())
    }

    /// The images of the repository, with their tags, in the order of their pushes.
    pub(super) fn images(&self, world: &World) -> Vec<Tagged> {
        world.store.images(&self.registry, &self.name)
    }

    /// The one image that `imageId` names.
    pub(super) fn image(&self, world: &World, id: &ImageIdInput) -> Result<Arc<Image>, AwsError> {
        id.check("imageId")?;
        let images = self.images(world);
        let image = images.into_iter().find(|(image, tags)| id.names(image, tags));
        image.map(|(image, _)| image).ok_or_else(|| no_image(id, self))
    }

    pub(super) fn history(&self, world: &World, digest: &Digest) -> ImageHistory {
        world.store.image_history(&self.registry, &self.name, digest.as_str())
    }
}

/// `filter`: which images are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ImageFilter {
    tag_status: Option<String>,
    image_status: Option<String>,
}

impl ImageFilter {
    pub(super) fn wants_tags(&self, is_tagged: bool) -> bool {
        match self.tag_status.as_deref() {
            Some("TAGGED") => is_tagged,
            Some("UNTAGGED") => !is_tagged,
            _ => true,
        }
    }

    /// Archived images are shown to those who ask for them.
    fn wants_storage(&self, storage: StorageClass) -> bool {
        match self.image_status.as_deref() {
            None | Some("ANY") => true,
            Some(status) => status == image_status(storage),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeInput {
    #[serde(default)]
    image_ids: Option<Vec<ImageIdInput>>,
    #[serde(default)]
    filter: Option<ImageFilter>,
}

pub(super) fn describe_images<C: Call>(call: &EcrCall<'_>) -> Written {
    let input: DescribeInput = call.read()?;
    let ids = input.image_ids.unwrap_or_default();
    ids.iter().try_for_each(|id| id.check("imageIds"))?;
    if !ids.is_empty() {
        Page::refuse(call, "imageIds")?;
    }
    let page = Page::of(call)?;
    let found = call.on_repository::<C>()?;
    let images = found.images(call.world);
    let sizes = Sizes::of(&images);
    if ids.is_empty() {
        let filter = input.filter.unwrap_or_default();
        let wanted = images.iter().filter(|(image, tags)| {
            filter.wants_tags(!tags.is_empty())
                && filter.wants_storage(found.history(call.world, &image.digest).storage)
        });
        let wanted: Vec<&Tagged> = wanted.collect();
        let (wanted, next) = page.cut(&wanted, |(image, _)| image.digest.to_string());
        return Ok(described(call, &found, &sizes, wanted, next));
    }
    let wanted = ids.iter().map(|id| {
        let image = images.iter().find(|(image, tags)| id.names(image, tags));
        image.ok_or_else(|| no_image(id, &found))
    });
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    Ok(described(call, &found, &sizes, &wanted, None))
}

fn described<C>(
    call: &EcrCall<'_>,
    found: &Found<C>,
    sizes: &Sizes<'_>,
    images: &[&Tagged],
    next_token: Option<String>,
) -> Reply {
    let details = images.iter().map(|(image, tags)| {
        let history = found.history(call.world, &image.digest);
        ImageDetail::of(call.face, found.names(), (image, tags), sizes.size(image), &history)
    });
    Reply::written(&ImageDetails { image_details: details.collect(), next_token })
}

#[derive(Deserialize)]
struct FilterInput {
    #[serde(default)]
    filter: Option<ImageFilter>,
}

/// One entry for each tag, and one for each image without a tag.
pub(super) fn list_images(call: &EcrCall<'_>) -> Written {
    let filter = call.read::<FilterInput>()?.filter.unwrap_or_default();
    let page = Page::of(call)?;
    let found = call.on_repository::<calls::ListImages>()?;
    let images = found.images(call.world);
    let wanted = images.iter().filter(|(image, tags)| {
        filter.wants_tags(!tags.is_empty())
            && filter.wants_storage(found.history(call.world, &image.digest).storage)
    });
    let ids: Vec<ImageId<'_>> = wanted
        .flat_map(|(image, tags)| {
            let of_tag = |tag| ImageId { image_digest: Some(image.digest.as_str()), image_tag: tag };
            let tagged = tags.iter().map(move |tag| of_tag(Some(tag.as_str())));
            tagged.chain(tags.is_empty().then(|| of_tag(None)))
        })
        .collect();
    let (image_ids, next_token) = page.cut(&ids, |id| format!("{:?} {:?}", id.image_digest, id.image_tag));
    Ok(Reply::written(&ImageIds { image_ids, next_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetInput {
    image_ids: Vec<ImageIdInput>,
    #[serde(default)]
    accepted_media_types: Option<Vec<String>>,
}

pub(super) fn batch_get_image(call: &EcrCall<'_>) -> Written {
    let GetInput { image_ids, accepted_media_types } = call.read()?;
    let found = call.on_repository::<calls::BatchGetImage>()?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in &image_ids {
        match read(call, &found, id, accepted_media_types.as_deref()) {
            Ok(image) => images.push((image, id.image_tag.as_deref())),
            Err(failure) => failures.push(FailureReply::of(failure, id)),
        }
    }
    let place = found.names();
    let images = images.iter().map(|(image, tag)| ImageReply::of(place, image, *tag)).collect();
    Ok(Reply::written(&Images { images, failures }))
}

fn read(
    call: &EcrCall<'_>,
    found: &Found<calls::BatchGetImage>,
    id: &ImageIdInput,
    accepted: Option<&[String]>,
) -> Result<Arc<Image>, Failure> {
    let world = call.world;
    let image = world
        .store
        .image(&found.registry, &found.name, &id.reference()?)
        .filter(|image| id.image_digest.as_ref().is_none_or(|digest| digest == image.digest.as_str()))
        // An image of a type that the caller doesn't take is no image for this caller.
        .filter(|image| accepted.is_none_or(|accepted| accepted.contains(&image.media_type)))
        .ok_or(Failure::IMAGE_NOT_FOUND)?;
    if let Some(reason) = archived(world, (&found.registry, &found.name), &image.digest) {
        return Err(Failure { code: "ImageInaccessible", reason: reason.to_owned() });
    }
    after_pull(world, found.permit.caller(), (&found.registry, &found.name), &image.digest);
    Ok(image)
}

/// What is said of an image that has to be restored before it is pulled; none when it need not be.
pub(crate) fn archived(
    world: &World,
    (registry, name): (&RegistryId, &RepositoryName),
    digest: &Digest,
) -> Option<&'static str> {
    let storage = world.store.image_history(registry, name, digest.as_str()).storage;
    (storage == StorageClass::Archive)
        .then_some("Requested image is archived: restore it before it is pulled")
}

/// An image with its manifest.
pub(super) fn image_json<C>(found: &Found<C>, image: &Image, tag: Option<&str>) -> Value {
    serde_json::to_value(ImageReply::of(found.names(), image, tag)).unwrap_or_default()
}

/// Why a part of a batch failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

impl Failure {
    const IMAGE_NOT_FOUND: Self = Self { code: "ImageNotFound", reason: String::new() };

    pub(super) fn not_found() -> Self {
        Self { reason: "Requested image not found".to_owned(), ..Self::IMAGE_NOT_FOUND }
    }

    /// As a batch lists it.
    pub(super) fn json(self, id: &ImageIdInput) -> Value {
        serde_json::to_value(FailureReply::of(self, id)).unwrap_or_default()
    }
}

impl ImageIdInput {
    /// What a batch looks up: the tag, or else the digest.
    pub(super) fn reference(&self) -> Result<Reference, Failure> {
        let digest = self.image_digest.as_deref().map(Digest::parse).transpose().map_err(|_| Failure {
            code: "InvalidImageDigest",
            reason: "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
                .to_owned(),
        })?;
        match (&self.image_tag, digest) {
            (Some(tag), _) => Tag::parse(tag).map(Reference::Tag).map_err(|_| Failure {
                code: "InvalidImageTag",
                reason: "Invalid request parameters: image tag should have 1 to 128 of A-Z a-z 0-9 _ . -"
                    .to_owned(),
            }),
            (None, Some(digest)) => Ok(Reference::Digest(digest)),
            (None, None) => Err(Failure {
                code: "MissingDigestAndTag",
                reason: "Invalid request parameters: both tag and digest cannot be null".to_owned(),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferrersInput {
    subject_id: ImageIdInput,
    #[serde(default)]
    filter: Option<ReferrersFilter>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReferrersFilter {
    artifact_types: Vec<String>,
    artifact_status: Option<String>,
}

pub(super) fn list_referrers(call: &EcrCall<'_>) -> Answer {
    let ReferrersInput { subject_id, filter } = call.read()?;
    subject_id.check("subjectId")?;
    let filter = filter.unwrap_or_default();
    let page = Page::of_at_most(call, REFERRERS_DEFAULT)?;
    let found = call.on_repository::<calls::ListImageReferrers>()?;
    let status = ImageFilter { tag_status: None, image_status: filter.artifact_status };
    let mut images = found.images(call.world);
    images.retain(|(image, _)| {
        let subject = image.subject.as_ref().map(Digest::as_str);
        let is_about = subject.is_some() && subject == subject_id.image_digest.as_deref();
        let is_of_type = filter.artifact_types.is_empty()
            || image.artifact_type.as_ref().is_some_and(|kind| filter.artifact_types.contains(kind));
        is_about && is_of_type && status.wants_storage(found.history(call.world, &image.digest).storage)
    });
    Ok(page.answer(
        "referrers",
        &images,
        |(image, _)| image.digest.to_string(),
        |(image, _)| {
            let history = found.history(call.world, &image.digest);
            let mut referrer = json!({
                "digest": image.digest.as_str(),
                "mediaType": image.media_type,
                "size": image.manifest.len(),
                "artifactStatus": image_status(history.storage),
            });
            if let (Some(members), Some(kind)) = (referrer.as_object_mut(), &image.artifact_type) {
                members.insert("artifactType".to_owned(), kind.as_str().into());
            }
            if let (Some(members), false) = (referrer.as_object_mut(), image.annotations.is_empty()) {
                let annotations = image.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                members.insert("annotations".to_owned(), Value::from_iter(annotations));
            }
            referrer
        },
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StorageInput {
    image_id: ImageIdInput,
    target_storage_class: String,
}

/// Restoring takes AWS some minutes; here the image is back at once.
pub(super) fn update_storage_class(call: &EcrCall<'_>) -> Answer {
    let StorageInput { image_id, target_storage_class } = call.read()?;
    let found = call.on_repository::<calls::UpdateImageStorageClass>()?;
    let image = found.image(call.world, &image_id)?;
    let target = match target_storage_class.as_str() {
        "ARCHIVE" => StorageClass::Archive,
        _ => StorageClass::Standard,
    };
    move_to(call.world, &found, &image, target)?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "imageId": image_id_json(Some(image.digest.as_str()), image_id.image_tag.as_deref()),
        "imageStatus": image_status(target),
    }))
}

fn move_to<C>(world: &World, found: &Found<C>, image: &Image, target: StorageClass) -> Result<(), AwsError> {
    let now = world.clock.now();
    let moved =
        world.store.change_image_history(&found.registry, &found.name, image.digest.as_str(), |history| {
            history.move_to(target, now);
        });
    moved.map_err(disk)
}
