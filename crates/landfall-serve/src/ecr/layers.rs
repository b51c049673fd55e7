//! Layers by API: asked after, uploaded in parts, and fetched by a link. They are the same blobs and uploads
//! as the registry's: what is begun here can be gone on with there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_types::{AccountId, Digest, RepositoryName, Timestamp};
use landfall_wire::error::{AwsError, Protocol, internal};
use landfall_wire::hash::Algorithm;
use landfall_wire::json::ecr_invalid_parameter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::replies::{Layer, Layers};
use super::{Answer, EcrCall, Found, Reply, Written, disk, gone};
use crate::authz::{Call, calls};
use crate::blobs::{Blob, Ended, NotOpened, Owner, Taken, Upload, UploadError};
use crate::caller::Caller;
use crate::store::{LayerParts, RegistryId, Repository};
use crate::vault::Purpose;
use crate::world::World;

/// What ECR asks clients to cut layers into, in bytes (observed).
const PART_BYTES: u64 = 10_485_760;
/// Smallest part but for the last, in bytes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const PART_BYTES_MIN: u64 = 5 << 20;
/// Largest part, in bytes.
const PART_BYTES_MAX: u64 = 20_971_520;
/// Parts of one layer.
const PARTS_MAX: u32 = 4_200;
/// How long a download link opens its layer, in seconds.
const LINK_SECONDS: i64 = 3_600;
/// The type that ECR gives for any layer.
const LAYER_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// For the operations that are answered where their content streams in.
pub(super) fn not_here(_call: &EcrCall<'_>) -> Answer {
    Err(internal(Protocol::Json11))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DigestsInput {
    layer_digests: Vec<String>,
}

pub(super) fn batch_check<C: Call>(call: &EcrCall<'_>) -> Written {
    let DigestsInput { layer_digests } = call.read()?;
    let found = call.on_repository::<C>()?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    let is_archived =
        |digest: &Digest| call.world.store.is_archived_blob(&found.registry, &found.name, digest);
    for text in &layer_digests {
        let Ok(digest) = Digest::parse(text) else {
            failures.push(failure(text));
            continue;
        };
        let size = call.world.store.blob(&found.registry, &found.name, &digest);
        layers.push(Layer {
            layer_digest: text,
            layer_availability: match size {
                None => "UNAVAILABLE",
                Some(_) if is_archived(&digest) => "ARCHIVED",
                Some(_) => "AVAILABLE",
            },
            layer_size: size,
            media_type: size.map(|_| LAYER_TYPE),
        });
    }
    Ok(Reply::written(&Layers { layers, failures }))
}

fn failure(text: &str) -> Value {
    let (code, reason) = if text.is_empty() {
        ("MissingLayerDigest", "Invalid request parameters: layer digest cannot be empty")
    } else {
        (
            "InvalidLayerDigest",
            "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        )
    };
    json!({ "layerDigest": text, "failureCode": code, "failureReason": reason })
}

/// Whose an upload to a repository is, by API and by registry.
pub(crate) fn upload_owner(repository: &Repository, caller: &Caller) -> Owner {
    let Repository { registry, name, created_at, .. } = repository;
    Owner::new(&registry.path_of(name), *created_at, &caller.arn())
}

fn owner<C>(call: &EcrCall<'_>, found: &Found<C>) -> Owner {
    upload_owner(&found.repository, &call.identified.caller)
}

pub(super) fn initiate<C: Call>(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<C>()?;
    let id = begin(call, &found)?;
    Ok(json!({ "uploadId": id, "partSize": PART_BYTES }))
}

fn begin<C>(call: &EcrCall<'_>, found: &Found<C>) -> Result<String, AwsError> {
    let world = call.world;
    let id = world.request_id();
    let upload = world.blobs.begin(&id, Algorithm::Sha256).map_err(|_| internal(Protocol::Json11))?;
    let kept = world.blobs.open_uploads.insert(&id, &owner(call, found), upload, world.clock.wall());
    kept.map_err(|failed| match failed {
        NotOpened::TooMany => {
            let message = format!("{} uploads are open already", crate::blobs::UPLOADS_MAX);
            AwsError::bad_request("LimitExceededException", message)
        }
        NotOpened::Disk(_) => internal(Protocol::Json11),
    })?;
    Ok(id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartInput<'a> {
    upload_id: &'a str,
    part_first_byte: u64,
    part_last_byte: u64,
    layer_part_blob: &'a str,
}

pub(super) async fn upload_part<C: Call>(call: &EcrCall<'_>) -> Answer {
    let input: PartInput<'_> = call.read()?;
    let part = STANDARD
        .decode(input.layer_part_blob)
        .map_err(|_| landfall_wire::error::malformed("Blob must be base64 encoded.", Protocol::Json11))?;
    if part.len() as u64 > PART_BYTES_MAX {
        let constraint = format!("Member must have length less than or equal to {PART_BYTES_MAX}");
        return Err(ecr_invalid_parameter("layerPartBlob", &constraint));
    }
    let found = call.on_repository::<C>()?;
    let last = append(call, &found, &input, part).await?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "uploadId": input.upload_id,
        "lastByteReceived": last,
    }))
}

/// Appends a part; the last byte that the upload has now.
async fn append<C>(
    call: &EcrCall<'_>,
    found: &Found<C>,
    input: &PartInput<'_>,
    part: Vec<u8>,
) -> Result<u64, AwsError> {
    let world = call.world;
    let upload = take(call, found, input.upload_id)?;
    let length = upload.length();
    let refused = check_part(found, input, length, part.len() as u64)
        .and_then(|()| note_part(world, found, input.upload_id, part.len() as u64));
    if let Err(error) = refused {
        world.blobs.open_uploads.put_back(input.upload_id, upload, world.clock.wall());
        return Err(error);
    }
    // A client that goes away takes nothing with it: the upload is put back with what it has.
    let (world, id) = (Arc::clone(world), input.upload_id.to_owned());
    let growing = tokio::spawn(async move {
        let body = http_body_util::Full::new(bytes::Bytes::from(part));
        match upload.append(&world.blobs.flow, body, PART_BYTES_MAX).await {
            Ok((upload, Ended::Complete | Ended::Interrupted | Ended::TooLong)) => {
                let length = upload.length();
                world.blobs.open_uploads.put_back(&id, upload, world.clock.wall());
                Ok(length.saturating_sub(1))
            }
            Err(_) => {
                world.blobs.open_uploads.forget(&id);
                Err(internal(Protocol::Json11))
            }
        }
    });
    growing.await.map_err(|_| internal(Protocol::Json11))?
}

/// A part has to go on where the last one ended, and to be as long as it says.
fn check_part<C>(
    found: &Found<C>,
    input: &PartInput<'_>,
    length: u64,
    part_bytes: u64,
) -> Result<(), AwsError> {
    let PartInput { upload_id, part_first_byte: first, part_last_byte: last, .. } = *input;
    let invalid = |message: String| {
        let error = AwsError::bad_request("InvalidLayerPartException", message)
            .member("registryId", found.registry.account.as_str())
            .member("repositoryName", found.name.as_str())
            .member("uploadId", upload_id);
        match length.checked_sub(1) {
            Some(valid) => error.member("lastValidByteReceived", valid),
            None => error,
        }
    };
    if first != length {
        return Err(invalid(wrong_first_byte(first, length)));
    }
    if last.checked_sub(first).and_then(|bytes| bytes.checked_add(1)) != Some(part_bytes) {
        return Err(invalid(format!(
            "The layer part of upload '{upload_id}' {} has {part_bytes} bytes, which are not those from {first} to {last}",
            found.place()
        )));
    }
    Ok(())
}

/// Remembers how long the parts of an upload are: all but the last have a minimum.
fn note_part<C>(world: &World, found: &Found<C>, id: &str, bytes: u64) -> Result<(), AwsError> {
    let parts = parts_of(world, found, id);
    if parts.count >= PARTS_MAX {
        let message = format!("The upload '{id}' has {PARTS_MAX} parts, which is the maximum");
        return Err(AwsError::bad_request("LimitExceededException", message));
    }
    let has_small_part = parts.has_small_part || (parts.count > 0 && parts.last_bytes < PART_BYTES_MIN);
    let noted = LayerParts { count: parts.count + 1, last_bytes: bytes, has_small_part, ..parts };
    world.store.put_layer_parts(noted).map_err(disk)
}

fn parts_of<C>(world: &World, found: &Found<C>, id: &str) -> LayerParts {
    world.store.layer_parts(&found.registry, id).unwrap_or_else(|| LayerParts {
        registry: found.registry.clone(),
        id: id.to_owned(),
        count: 0,
        last_bytes: 0,
        has_small_part: false,
    })
}

fn take<C>(call: &EcrCall<'_>, found: &Found<C>, id: &str) -> Result<Upload, AwsError> {
    match call.world.blobs.open_uploads.take(id, &owner(call, found)) {
        Taken::Upload(upload) => Ok(upload),
        Taken::Busy => Err(AwsError::bad_request(
            "LimitExceededException",
            format!("another request is writing to the upload '{id}'"),
        )),
        Taken::Unknown => Err(no_upload(found, id)),
    }
}

fn no_upload<C>(found: &Found<C>, id: &str) -> AwsError {
    AwsError::bad_request(
        "UploadNotFoundException",
        format!("The upload with id '{id}' does not exist {}", found.place()),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompleteInput<'a> {
    #[serde(borrow)]
    upload_id: &'a str,
    layer_digests: Vec<String>,
}

pub(super) async fn complete<C: Call>(call: &EcrCall<'_>) -> Answer {
    let input: CompleteInput<'_> = call.read()?;
    let digests: Vec<Digest> =
        input.layer_digests.iter().filter_map(|text| Digest::parse(text).ok()).collect();
    let found = call.on_repository::<C>()?;
    let digest = finish(call, &found, input.upload_id, &digests).await?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "uploadId": input.upload_id,
        "layerDigest": digest.as_str(),
    }))
}

async fn finish<C>(
    call: &EcrCall<'_>,
    found: &Found<C>,
    id: &str,
    digests: &[Digest],
) -> Result<Digest, AwsError> {
    let world = call.world;
    let upload = take(call, found, id)?;
    let refused = check_complete(world, found, id, upload.length(), digests);
    if let Err(error) = refused {
        world.blobs.open_uploads.put_back(id, upload, world.clock.wall());
        return Err(error);
    }
    // Its leases stay until its content is stored and has its record.
    let uploading = world.store.leases.uploading(&found.registry.path_of(&found.name));
    world.blobs.open_uploads.forget(id);
    world.store.forget_layer_parts(&found.registry, id).map_err(disk)?;
    let mismatch = || {
        let message = "None of the provided layer digests match the calculated layer digest";
        AwsError::bad_request("InvalidLayerException", message)
    };
    let (world, digests) = (Arc::clone(world), digests.to_vec());
    let (registry, name, made_at) = (found.registry.clone(), found.name.clone(), found.repository.created_at);
    let finishing = tokio::spawn(async move {
        let _uploading = uploading;
        let stored = upload.finish_as_one_of(&world.blobs, &digests).await.map_err(|error| match error {
            UploadError::DigestMismatch { .. } => mismatch(),
            UploadError::Io(_) => internal(Protocol::Json11),
        })?;
        let linked = world.store.link_blob((&registry, &name), made_at, &stored.digest, stored.length);
        linked.map_err(|failed| gone(failed, &registry, &name))?;
        Ok(stored.digest)
    });
    finishing.await.map_err(|_| internal(Protocol::Json11))?
}

/// ECR's sentence for a part that doesn't go on where the last one ended. Observed.
/// <https://github.com/GoogleContainerTools/kaniko/issues/607>
pub(crate) fn wrong_first_byte(first: u64, expected: u64) -> String {
    format!("First byte of the layer part is {first} instead of {expected}")
}

/// ECR's sentence for an upload that ends before anything came. Observed.
/// <https://github.com/radius-project/radius/issues/7855>
pub(crate) fn upload_without_parts(id: &str, registry: &RegistryId, name: &RepositoryName) -> String {
    format!(
        "The upload with id '{id}' in the repository with name '{name}' in registry with id '{}' cannot be completed because it does not have any parts.",
        registry.account
    )
}

fn check_complete<C>(
    world: &World,
    found: &Found<C>,
    id: &str,
    length: u64,
    digests: &[Digest],
) -> Result<(), AwsError> {
    if length == 0 {
        let message = upload_without_parts(id, &found.registry, &found.name);
        return Err(AwsError::bad_request("EmptyUploadException", message));
    }
    if parts_of(world, found, id).has_small_part {
        let message = format!(
            "The parts of a layer must have at least {PART_BYTES_MIN} bytes, but for the last; upload '{id}' has a smaller one"
        );
        return Err(AwsError::bad_request("LayerPartTooSmallException", message));
    }
    let known = |digest: &&Digest| world.store.blob(&found.registry, &found.name, digest).is_some();
    match digests.iter().find(known) {
        Some(digest) => Err(AwsError::bad_request(
            "LayerAlreadyExistsException",
            format!("The layer with digest '{digest}' already exists {}", found.place()),
        )),
        None => Ok(()),
    }
}

/// What a download link opens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Sealed {
    account: String,
    region: String,
    name: String,
    digest: String,
    expires_at_ms: i64,
}

/// The link opens the layer for an hour without credentials, as S3's signed addresses do, and leads here.
pub(super) fn get_download_url(call: &EcrCall<'_>) -> Answer {
    let text = call.text("layerDigest").unwrap_or_default();
    let found = call.on_repository::<calls::GetDownloadUrlForLayer>()?;
    let digest = Digest::parse(text).ok();
    let is_there = |digest: &Digest| call.world.store.blob(&found.registry, &found.name, digest).is_some();
    let Some(digest) = digest.filter(is_there) else {
        let message = format!("The layer with digest '{text}' does not exist {}", found.place());
        return Err(AwsError::bad_request("LayersNotFoundException", message));
    };
    if call.world.store.is_archived_blob(&found.registry, &found.name, &digest) {
        return Err(AwsError::bad_request("LayerInaccessibleException", archived_layer(&digest)));
    }
    let sealed = Sealed {
        account: found.registry.account.to_string(),
        region: found.registry.region.clone(),
        name: found.name.to_string(),
        digest: digest.to_string(),
        expires_at_ms: call.world.clock.now().plus_seconds(LINK_SECONDS).0,
    };
    let plain = serde_json::to_vec(&sealed).map_err(|_| internal(Protocol::Json11))?;
    let token = call.world.vault.seal(Purpose::LayerLink, &plain).map_err(|_| internal(Protocol::Json11))?;
    let base = call.identified.connection.base.unwrap_or_else(|| call.world.base_url());
    Ok(json!({
        "downloadUrl": format!("{base}/_landfall/layers/{token}"),
        "layerDigest": digest.as_str(),
    }))
}

/// What is said of a layer that nothing but archived images is made of. The exception is ECR's, the sentence ours.
pub(crate) fn archived_layer(digest: &Digest) -> String {
    format!("The layer with digest '{digest}' is archived: restore its image before it is pulled")
}

/// What came of following a download link.
#[derive(Debug)]
pub(crate) enum LayerLink {
    /// The layer.
    Open(Blob),
    /// The link was good, and is not any more.
    Ended,
    /// The layer went away meanwhile.
    Gone,
    /// No link of this server.
    Invalid,
}

/// Follows a download link.
pub(crate) fn open_layer_link(world: &World, token: &str) -> LayerLink {
    let read = || {
        let plain = world.vault.open(Purpose::LayerLink, token)?;
        let sealed: Sealed = serde_json::from_slice(&plain).ok()?;
        let registry = RegistryId { account: AccountId::parse(&sealed.account).ok()?, region: sealed.region };
        let name = RepositoryName::parse(&sealed.name).ok()?;
        Some((registry, name, Digest::parse(&sealed.digest).ok()?, Timestamp(sealed.expires_at_ms)))
    };
    let Some((registry, name, digest, expires_at)) = read() else { return LayerLink::Invalid };
    if expires_at <= world.clock.now() {
        return LayerLink::Ended;
    }
    if world.store.blob(&registry, &name, &digest).is_none() {
        return LayerLink::Gone;
    }
    match world.blobs.open(&digest) {
        Ok(Some(blob)) => LayerLink::Open(blob),
        Ok(None) | Err(_) => LayerLink::Gone,
    }
}
