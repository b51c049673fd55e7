//! `BatchDeleteImage`: a tag goes, and with its last tag the image; or the image with all its tags.

use landfall_types::Tag;
use landfall_wire::error::AwsError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{Failure, ImageIdInput, image_id_json};
use super::{Answer, EcrCall, Found, disk, replication};
use crate::authz::Call;
use crate::store::{Reference, Removed};
use crate::world::World;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteInput {
    image_ids: Vec<ImageIdInput>,
}

pub(super) fn batch_delete_image<C: Call>(call: &EcrCall<'_>) -> Answer {
    let DeleteInput { image_ids } = call.read()?;
    let found = call.on_repository::<C>()?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in &image_ids {
        match delete(call.world, &found, id)? {
            Ok(ids) => deleted.extend(ids),
            Err(failure) => failures.push(failure.json(id)),
        }
    }
    Ok(json!({ "imageIds": deleted, "failures": failures }))
}

/// Deletes what one id names; the ids of what went, or why nothing did.
fn delete<C>(
    world: &World,
    found: &Found<C>,
    id: &ImageIdInput,
) -> Result<Result<Vec<Value>, Failure>, AwsError> {
    let reference = match id.reference() {
        Ok(reference) => reference,
        Err(failure) => return Ok(Err(failure)),
    };
    let claimed = id.image_digest.as_deref().filter(|_| matches!(reference, Reference::Tag(_)));
    let removed =
        world.store.remove_image(&found.registry, &found.name, &reference, claimed).map_err(disk)?;
    Ok(match removed {
        Removed::Tag { digest, tag } => {
            replication::carry_over_deletion(world, (&found.registry, &found.name), &digest, Some(&tag));
            Ok(vec![image_id_json(Some(digest.as_str()), Some(tag.as_str()))])
        }
        Removed::Image { digest, tags } => {
            replication::carry_over_deletion(world, (&found.registry, &found.name), &digest, None);
            let digest = Some(digest.as_str());
            let tags: Vec<Option<&str>> = match tags.is_empty() {
                true => vec![None],
                false => tags.iter().map(Tag::as_str).map(Some).collect(),
            };
            Ok(tags.into_iter().map(|tag| image_id_json(digest, tag)).collect())
        }
        Removed::NotThere => Err(Failure::not_found()),
        Removed::OtherDigest => Err(Failure {
            code: "ImageTagDoesNotMatchDigest",
            reason: "Requested image tag does not match the requested image digest".to_owned(),
        }),
        Removed::Listed(lists) => {
            let lists: Vec<&str> = lists.iter().map(landfall_types::Digest::as_str).collect();
            Err(Failure {
                code: "ImageReferencedByManifestList",
                reason: format!("Requested image referenced by manifest list: [{}]", lists.join(", ")),
            })
        }
    })
}
