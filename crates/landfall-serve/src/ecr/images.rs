//! `DescribeImages` and `ListImages`.

use std::sync::Arc;

use landfall_types::{Digest, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Map, Value, json};

use super::page::Page;
use super::{EcrCall, epoch, no_repository, repository_of, too_long};
use crate::authz::{Call, Permit, calls};
use crate::store::{Image, RegistryId, Repository};
use crate::world::World;

/// Images that one call names.
const IMAGE_IDS_MAX: usize = 100;

/// An image with its tags.
type Tagged = (Arc<Image>, Vec<Tag>);

/// Which images of a repository are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TagStatus {
    Any,
    Tagged,
    Untagged,
}

impl TagStatus {
    fn read(input: Input<'_>) -> Result<Self, AwsError> {
        let Some(filter) = input.object("filter")? else { return Ok(Self::Any) };
        match filter.text("tagStatus")? {
            None | Some("ANY") => Ok(Self::Any),
            Some("TAGGED") => Ok(Self::Tagged),
            Some("UNTAGGED") => Ok(Self::Untagged),
            Some(_) => Err(input
                .broken("filter.tagStatus", "Member must satisfy enum value set: [ANY, TAGGED, UNTAGGED]")),
        }
    }

    fn wants(self, tags: &[Tag]) -> bool {
        match self {
            Self::Any => true,
            Self::Tagged => !tags.is_empty(),
            Self::Untagged => tags.is_empty(),
        }
    }
}

/// `imageIds` of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ImageId {
    digest: Option<Digest>,
    tag: Option<Tag>,
}

impl ImageId {
    fn read(input: Input<'_>) -> Result<Self, AwsError> {
        let digest = input.text("imageDigest")?.map(Digest::parse).transpose();
        let digest = digest.map_err(|_| {
            input.broken(
                "imageIds",
                "imageDigest must satisfy regular expression [a-zA-Z0-9-_+.]+:[a-fA-F0-9]+",
            )
        })?;
        let tag = input.text("imageTag")?.map(Tag::parse).transpose();
        let tag =
            tag.map_err(|_| input.broken("imageIds", "imageTag must be a tag of 1 to 128 characters"))?;
        if digest.is_none() && tag.is_none() {
            return Err(input.broken("imageIds", "imageDigest or imageTag must be given"));
        }
        Ok(Self { digest, tag })
    }

    fn names(&self, image: &Image, tags: &[Tag]) -> bool {
        self.digest.as_ref().is_none_or(|digest| *digest == image.digest)
            && self.tag.as_ref().is_none_or(|tag| tags.contains(tag))
    }

    /// As ECR's message writes it: an absent part is the word null (observed).
    fn sentence(&self) -> String {
        let digest = self.digest.as_ref().map_or("null", Digest::as_str);
        let tag = self.tag.as_ref().map_or("null", Tag::as_str);
        format!("{{imageDigest:'{digest}', imageTag:'{tag}'}}")
    }
}

pub(super) fn describe_images_call(call: &EcrCall<'_>) -> Result<Value, AwsError> {
    let (registry, name) = call.repository::<calls::DescribeImages>()?;
    let ids: Vec<ImageId> =
        call.input.objects("imageIds")?.into_iter().map(ImageId::read).collect::<Result<_, _>>()?;
    if ids.len() > IMAGE_IDS_MAX {
        return Err(too_long("imageIds", IMAGE_IDS_MAX));
    }
    if !ids.is_empty() {
        Page::refuse(call.input, "imageIds")?;
    }
    let (page, status) = (Page::read(call.input)?, TagStatus::read(call.input)?);
    let permit = call.authorize_on::<calls::DescribeImages>(&registry, &name)?;
    if ids.is_empty() {
        describe_all(call.world, permit, status, page)
    } else {
        describe_each(call.world, permit, &ids)
    }
}

fn describe_all(
    world: &World,
    permit: Permit<calls::DescribeImages>,
    status: TagStatus,
    page: Page,
) -> Result<Value, AwsError> {
    let (repository, mut images) = images_of(world, &permit)?;
    images.retain(|(_, tags)| status.wants(tags));
    Ok(page.answer("imageDetails", &images, |(image, tags)| details(&repository, image, tags)))
}

fn describe_each(
    world: &World,
    permit: Permit<calls::DescribeImages>,
    ids: &[ImageId],
) -> Result<Value, AwsError> {
    let (repository, images) = images_of(world, &permit)?;
    let found = ids.iter().map(|id| {
        let image = images.iter().find(|(image, tags)| id.names(image, tags));
        image.map(|(image, tags)| details(&repository, image, tags)).ok_or_else(|| {
            AwsError::bad_request(
                "ImageNotFoundException",
                format!(
                    "The image with imageId {} does not exist within the repository with name '{}' in the registry with id '{}'",
                    id.sentence(),
                    repository.name,
                    repository.registry.account
                ),
            )
        })
    });
    Ok(json!({ "imageDetails": found.collect::<Result<Vec<_>, _>>()? }))
}

/// The permit's repository with its images.
fn images_of<C: Call>(world: &World, permit: &Permit<C>) -> Result<(Arc<Repository>, Vec<Tagged>), AwsError> {
    let (registry, name) = repository_of(permit)?;
    let repository =
        world.store.repository(&registry, &name).ok_or_else(|| no_repository(&registry, &name))?;
    let images = world.store.images(&registry, &name);
    Ok((repository, images))
}

fn details(repository: &Repository, image: &Image, tags: &[Tag]) -> Value {
    let RegistryId { account, .. } = &repository.registry;
    let mut details = Map::new();
    let mut add = |name: &str, value: Value| details.insert(name.to_owned(), value);
    add("registryId", account.as_str().into());
    add("repositoryName", repository.name.as_str().into());
    add("imageDigest", image.digest.as_str().into());
    if !tags.is_empty() {
        add("imageTags", tags.iter().map(Tag::as_str).collect());
    }
    add("imageSizeInBytes", image.size_in_bytes.into());
    add("imagePushedAt", epoch(image.pushed_at).into());
    add("imageManifestMediaType", image.media_type.as_str().into());
    if let Some(artifact_type) = &image.artifact_type {
        add("artifactMediaType", artifact_type.as_str().into());
    }
    if let Some(subject) = &image.subject {
        add("subjectManifestDigest", subject.as_str().into());
    }
    add("imageStatus", "ACTIVE".into());
    Value::Object(details)
}

pub(super) fn list_images_call(call: &EcrCall<'_>) -> Result<Value, AwsError> {
    let (registry, name) = call.repository::<calls::ListImages>()?;
    let (page, status) = (Page::read(call.input)?, TagStatus::read(call.input)?);
    let permit = call.authorize_on::<calls::ListImages>(&registry, &name)?;
    list_images(call.world, permit, status, page)
}

/// One entry for each tag, and one for each image without a tag.
fn list_images(
    world: &World,
    permit: Permit<calls::ListImages>,
    status: TagStatus,
    page: Page,
) -> Result<Value, AwsError> {
    let (_, images) = images_of(world, &permit)?;
    let ids: Vec<Value> = images
        .iter()
        .filter(|(_, tags)| status.wants(tags))
        .flat_map(|(image, tags)| {
            let digest = image.digest.as_str();
            let tagged =
                tags.iter().map(move |tag| json!({ "imageDigest": digest, "imageTag": tag.as_str() }));
            let untagged = tags.is_empty().then(|| json!({ "imageDigest": digest }));
            tagged.chain(untagged)
        })
        .collect();
    Ok(page.answer("imageIds", &ids, Value::clone))
}
