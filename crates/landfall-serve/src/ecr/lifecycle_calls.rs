//! Lifecycle policies by API, and their execution.
//!
//! AWS carries a policy out within a day. Here it happens when the policy is written, every hour of the
//! server's (pretended) time, and when it is asked for. What was pushed lately is left alone by the first
//! two: an image is pushed before the list that names it, and must not be gone when the list comes.

use std::sync::Arc;

use landfall_types::{Digest, RepositoryName, Tag, Timestamp};
use landfall_wire::error::AwsError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{ImageFilter, ImageIdInput};
use super::lifecycle::{self, Action, Candidate, LifecyclePolicy, StorageClass, Verdict};
use super::page::Page;
use super::{Answer, EcrCall, Found, disk, epoch, replication};
use crate::authz::calls;
use crate::store::{
    Image, ImageHistory, Lifecycle, LifecyclePreview, PreviewResult, Reference, RegistryId, Removed,
};
use crate::world::World;

/// Seconds between two executions of a policy.
const EVERY_SECONDS: i64 = 3_600;
/// Seconds after its push during which an image is left alone, unless the execution was asked for.
const PUSHED_LATELY_SECONDS: i64 = 3_600;
/// How often a policy is looked at anew in one execution: a list goes first, its images after it, and an image before what
/// is about it.
const PASSES_MAX: usize = 16;

/// The policies of a call, and the text that was given.
fn given(call: &EcrCall<'_>) -> Result<Option<LifecyclePolicy>, AwsError> {
    call.text("lifecyclePolicyText").map(lifecycle::parse).transpose()
}

pub(super) fn put(call: &EcrCall<'_>) -> Answer {
    let policy = given(call)?.unwrap_or(LifecyclePolicy { rules: Vec::new() });
    let found = call.on_repository::<calls::PutLifecyclePolicy>()?;
    let text = policy.to_json();
    write(call.world, &found, &policy)?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "lifecyclePolicyText": text,
    }))
}

fn write<C>(world: &World, found: &Found<C>, policy: &LifecyclePolicy) -> Result<(), AwsError> {
    let lifecycle = Lifecycle { text: policy.to_json(), evaluated_at: None };
    found.change(world, |repository| repository.settings.lifecycle = Some(lifecycle))?;
    carry_out(world, (&found.registry, &found.name), policy, Care::LeaveLatelyPushed);
    Ok(())
}

pub(super) fn get(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<calls::GetLifecyclePolicy>()?;
    Ok(policy_json(&found, &kept(&found)?))
}

pub(super) fn delete(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<calls::DeleteLifecyclePolicy>()?;
    let lifecycle = kept(&found)?;
    found.change(call.world, |repository| repository.settings.lifecycle = None)?;
    Ok(policy_json(&found, &lifecycle))
}

/// The policy that a repository has.
fn kept<C>(found: &Found<C>) -> Result<Lifecycle, AwsError> {
    found.repository.settings.lifecycle.clone().ok_or_else(|| no_policy(found))
}

fn no_policy<C>(found: &Found<C>) -> AwsError {
    AwsError::bad_request(
        "LifecyclePolicyNotFoundException",
        format!(
            "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
            found.name, found.registry.account
        ),
    )
}

/// A policy that was never carried out has the time 0 (observed).
fn policy_json<C>(found: &Found<C>, lifecycle: &Lifecycle) -> Value {
    json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "lifecyclePolicyText": lifecycle.text,
        "lastEvaluatedAt": epoch(lifecycle.evaluated_at.unwrap_or(Timestamp(0))),
    })
}

/// A preview is ready at once: there is nothing to wait for.
pub(super) fn start_preview(call: &EcrCall<'_>) -> Answer {
    let policy = given(call)?;
    let found = call.on_repository::<calls::StartLifecyclePolicyPreview>()?;
    let policy = match policy {
        Some(policy) => policy,
        None => lifecycle::parse(&kept(&found)?.text)?,
    };
    let text = policy.to_json();
    keep_preview(call.world, &found, &policy)?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "lifecyclePolicyText": text,
        "status": "IN_PROGRESS",
    }))
}

fn keep_preview<C>(world: &World, found: &Found<C>, policy: &LifecyclePolicy) -> Result<(), AwsError> {
    let images = stock(world, (&found.registry, &found.name));
    let verdicts = judge(policy, &images, world.clock.now());
    let results = verdicts.iter().filter_map(|verdict| {
        let (image, tags, history) = images.get(verdict.index)?;
        Some(PreviewResult {
            digest: image.digest.to_string(),
            tags: tags.iter().map(ToString::to_string).collect(),
            pushed_at: image.pushed_at,
            action: verdict.action,
            priority: verdict.priority,
            storage: history.storage,
        })
    });
    let preview = LifecyclePreview {
        registry: found.registry.clone(),
        name: found.name.clone(),
        text: policy.to_json(),
        results: results.collect(),
    };
    let kept = world.store.write(|writing| {
        writing.put(preview);
        Ok(())
    });
    kept.map_err(disk)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PreviewInput {
    #[serde(default)]
    image_ids: Option<Vec<ImageIdInput>>,
    #[serde(default)]
    filter: Option<ImageFilter>,
}

pub(super) fn get_preview(call: &EcrCall<'_>) -> Answer {
    let input: PreviewInput = call.read()?;
    let ids = input.image_ids.unwrap_or_default();
    if !ids.is_empty() {
        Page::refuse(call, "imageIds")?;
    }
    let page = Page::of(call)?;
    let found = call.on_repository::<calls::GetLifecyclePolicyPreview>()?;
    let key = crate::store::in_registry(&found.registry, found.name.as_str());
    let preview: Arc<LifecyclePreview> = call.world.store.get(&key).ok_or_else(|| no_preview(&found))?;
    let filter = input.filter.unwrap_or_default();
    let is_named = |result: &PreviewResult| {
        ids.is_empty()
            || ids.iter().any(|id| {
                id.image_digest.as_ref().is_none_or(|digest| *digest == result.digest)
                    && id.image_tag.as_ref().is_none_or(|tag| result.tags.contains(tag))
            })
    };
    let wanted: Vec<&PreviewResult> = preview
        .results
        .iter()
        .filter(|result| is_named(result) && filter.wants_tags(!result.tags.is_empty()))
        .collect();
    let mut answer =
        page.answer("previewResults", &wanted, |result| result.digest.clone(), |result| result_json(result));
    if let Some(members) = answer.as_object_mut() {
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("registryId", found.registry.account.as_str().into());
        add("repositoryName", found.name.as_str().into());
        add("lifecyclePolicyText", preview.text.as_str().into());
        add("status", "COMPLETE".into());
        add("summary", summary_json(&preview.results));
    }
    Ok(answer)
}

fn no_preview<C>(found: &Found<C>) -> AwsError {
    AwsError::bad_request(
        "LifecyclePolicyPreviewNotFoundException",
        format!(
            "Lifecycle policy preview does not exist for the repository with name '{}' in the registry with id '{}'",
            found.name, found.registry.account
        ),
    )
}

fn result_json(result: &PreviewResult) -> Value {
    json!({
        "imageTags": result.tags,
        "imageDigest": result.digest,
        "imagePushedAt": epoch(result.pushed_at),
        "action": match result.action {
            Action::Expire => json!({ "type": "EXPIRE" }),
            Action::Archive => json!({ "type": "TRANSITION", "targetStorageClass": "ARCHIVE" }),
        },
        "appliedRulePriority": result.priority,
        "storageClass": match result.storage {
            StorageClass::Standard => "STANDARD",
            StorageClass::Archive => "ARCHIVE",
        },
    })
}

fn summary_json(results: &[PreviewResult]) -> Value {
    let count = |action| results.iter().filter(|result| result.action == action).count();
    let mut summary = json!({ "expiringImageTotalCount": count(Action::Expire) });
    if let (archiving @ 1.., Some(members)) = (count(Action::Archive), summary.as_object_mut()) {
        let counts = json!([{ "targetStorageClass": "ARCHIVE", "imageTotalCount": archiving }]);
        members.insert("transitioningImageTotalCounts".to_owned(), counts);
    }
    summary
}

/// An image with all that a policy looks at.
type Stocked = (Arc<Image>, Vec<Tag>, ImageHistory);

fn stock(world: &World, (registry, name): (&RegistryId, &RepositoryName)) -> Vec<Stocked> {
    let with_history = |(image, tags): (Arc<Image>, Vec<Tag>)| {
        let history = world.store.image_history(registry, name, image.digest.as_str());
        (image, tags, history)
    };
    world.store.images(registry, name).into_iter().map(with_history).collect()
}

fn judge(policy: &LifecyclePolicy, images: &[Stocked], now: Timestamp) -> Vec<Verdict> {
    let listed: Vec<Vec<Digest>> = images.iter().map(|(image, ..)| image.listed()).collect();
    let candidates: Vec<Candidate<'_>> = images
        .iter()
        .zip(&listed)
        .map(|((image, tags, history), listed)| Candidate {
            digest: image.digest.as_str(),
            tags: tags.iter().map(Tag::as_str).collect(),
            pushed_at: history.activated_at.map_or(image.pushed_at, |at| at.max(image.pushed_at)),
            pulled_at: history.pulled_at,
            archived_at: history.archived_at,
            storage: history.storage,
            lists: listed.iter().map(Digest::as_str).collect(),
        })
        .collect();
    lifecycle::evaluate(policy, &candidates, now)
}

/// Which images an execution leaves alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Care {
    LeaveLatelyPushed,
    TakeAll,
}

/// An image that a policy acted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// Its registry.
    pub registry: RegistryId,
    /// Its repository.
    pub name: RepositoryName,
    /// The image.
    pub digest: Digest,
    /// The rule; none for an image that went after the one that it is about.
    pub priority: Option<u32>,
    /// What happened to it.
    pub action: Action,
}

/// Carries out a policy on its repository. The permit was that of whoever wrote it.
fn carry_out(
    world: &World,
    (registry, name): (&RegistryId, &RepositoryName),
    policy: &LifecyclePolicy,
    care: Care,
) -> Vec<Swept> {
    let now = world.clock.now();
    let mut swept = Vec::new();
    for _ in 0..PASSES_MAX {
        let images = stock(world, (registry, name));
        let before = swept.len();
        let ruled = judge(policy, &images, now).into_iter().filter_map(|verdict| {
            let (image, ..) = images.get(verdict.index)?;
            Some((image, Some(verdict.priority), verdict.action))
        });
        let left = left_alone(&images).map(|image| (image, None, Action::Expire));
        for (image, priority, action) in ruled.chain(left) {
            let lately = image.pushed_at.plus_seconds(PUSHED_LATELY_SECONDS) > now;
            if (care == Care::TakeAll || !lately) && act(world, (registry, name), image, action) {
                let (registry, name, digest) = (registry.clone(), name.clone(), image.digest.clone());
                swept.push(Swept { registry, name, digest, priority, action });
            }
        }
        if swept.len() == before {
            break;
        }
    }
    let evaluated = world.store.change_repository(registry, name, |repository| {
        if let Some(lifecycle) = &mut repository.settings.lifecycle {
            lifecycle.evaluated_at = Some(now);
        }
    });
    // A repository that went away meanwhile has nothing left to note.
    let _ = evaluated;
    swept
}

/// What is about an image that was deleted: signatures and other artifacts go within a day where there is a lifecycle
/// policy, and stay where they came before what they are about.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-signing.html>
fn left_alone(images: &[Stocked]) -> impl Iterator<Item = &Arc<Image>> {
    let is_there = |subject: &Digest| images.iter().any(|(image, ..)| image.digest == *subject);
    images.iter().filter_map(move |(image, _, history)| {
        let subject = image.subject.as_ref().filter(|_| history.has_lost_subject)?;
        (!is_there(subject)).then_some(image)
    })
}

/// Deletes or archives an image; whether that happened.
fn act(
    world: &World,
    (registry, name): (&RegistryId, &RepositoryName),
    image: &Image,
    action: Action,
) -> bool {
    match action {
        Action::Expire => {
            let reference = Reference::Digest(image.digest.clone());
            let removed = world.store.remove_image(registry, name, &reference, None);
            let is_gone = matches!(removed, Ok(Removed::Image { .. }));
            if is_gone {
                replication::carry_over_deletion(world, (registry, name), &image.digest, None);
            }
            is_gone
        }
        Action::Archive => {
            let now = world.clock.now();
            let moved = world.store.change_image_history(registry, name, image.digest.as_str(), |history| {
                history.move_to(StorageClass::Archive, now);
            });
            moved.is_ok()
        }
    }
}

/// Carries out the policies whose hour has come; with `all`, those of all repositories, on all images.
pub fn sweep(world: &World, all: bool) -> Vec<Swept> {
    let now = world.clock.now();
    let care = if all { Care::TakeAll } else { Care::LeaveLatelyPushed };
    let mut swept = Vec::new();
    for registry in world.store.registries() {
        for repository in world.store.repositories(&registry) {
            let Some(lifecycle) = &repository.settings.lifecycle else { continue };
            let is_due = lifecycle.evaluated_at.is_none_or(|at| at.plus_seconds(EVERY_SECONDS) <= now);
            if let (true, Ok(policy)) = (all || is_due, lifecycle::parse(&lifecycle.text)) {
                swept.extend(carry_out(world, (&registry, &repository.name), &policy, care));
            }
        }
    }
    swept
}
