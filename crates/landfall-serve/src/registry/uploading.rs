//! Uploads: begun with POST, grown with PATCH, turned into a blob with PUT.
//!
//! What touches an open upload runs in a task of its own: when a client goes away, the request's future
//! is dropped, and the upload has to find its way back into the table.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode, header};
use landfall_types::{Digest, RepositoryName};
use landfall_wire::error::AwsError;
use landfall_wire::hash::Algorithm;
use landfall_wire::oci::parse_content_range;

use super::answer::{Answer, DOCKER_UPLOAD_UUID, Refusal, empty, set};
use super::layers::{created, mount_blob, parse_digest};
use super::{Incoming, RegistryCall};
use crate::authz::{Permit, calls};
use crate::blobs::{Ended, NotOpened, Owner, Taken, Upload, UploadError};
use crate::ecr::repository_of;
use crate::store::Repository;
use crate::world::World;

/// Largest blob, in bytes. <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const BLOB_BYTES_MAX: u64 = 52_000 << 20;

/// `POST blobs/uploads/`, also with `?digest=` (all in one request) and with `?mount=&from=`.
pub(super) async fn start(call: &RegistryCall<'_>, name: &RepositoryName, incoming: &mut Incoming) -> Answer {
    let (permit, repository) = call.permit_push::<calls::StartUpload>(name)?;
    if let Some((digest, read)) = mountable(call) {
        mount_blob(call.world, permit, read, &digest)?;
        return Ok(created(call, name, &digest));
    }
    if let Some(digest) = call.query.get("digest") {
        let digest = parse_digest(digest)?;
        let appending = call.authorize::<calls::AppendUpload>(name)?;
        let finishing = call.authorize::<calls::FinishUpload>(name)?;
        let algorithm = Algorithm::of(&digest);
        let upload = begin(call.world, &permit, &call.world.request_id(), algorithm)?;
        // It is not among the open uploads, and can take as long as one.
        let _uploading = call.world.store.leases.uploading(&call.registry.path_of(name));
        let part = Part::read(incoming, 0)?;
        let mut body = incoming.take_body();
        let appended = append_upload(call.world, appending, upload, &mut body, part).await;
        incoming.put_back(body);
        let upload = appended?;
        finish_upload(call.world, finishing, &repository, upload.complete()?, &digest).await?;
        return Ok(created(call, name, &digest));
    }
    let id = call.world.request_id();
    let upload = begin(call.world, &permit, &id, algorithm(call)?)?;
    let kept =
        call.world.blobs.open_uploads.insert(&id, &owner(call, &repository), upload, call.world.clock.wall());
    kept.map_err(|failed| match failed {
        NotOpened::TooMany => {
            Refusal::new("TOOMANYREQUESTS", format!("{} uploads are open already", crate::blobs::UPLOADS_MAX))
        }
        NotOpened::Disk(error) => disk(error),
    })?;
    Ok(progress(call, name, &id, StatusCode::ACCEPTED, 0))
}

/// The blob that the client would rather mount than send, if it is there and the caller may read it. A
/// mount that can't be done is no error: the client is given an upload.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>
fn mountable(call: &RegistryCall<'_>) -> Option<(Digest, Permit<calls::ReadBlob>)> {
    if !crate::ecr::has_blob_mounting(call.world, &call.registry) && !call.is_strict() {
        return None;
    }
    let digest = Digest::parse(call.query.get("mount")?).ok()?;
    // Looked up before it is decided, so that a guess at a repository leaves no refusal in the log; the
    // client can't tell the two apart.
    let is_there = |name: &RepositoryName| call.world.store.blob(&call.registry, name, &digest).is_some();
    let from = match call.query.get("from") {
        Some(from) => RepositoryName::parse(from).ok().filter(is_there)?,
        // The specification lets a client not say from where.
        None if call.is_strict() => {
            let repositories = call.world.store.repositories(&call.registry);
            repositories.iter().map(|repository| &repository.name).find(|name| is_there(name))?.clone()
        }
        None => return None,
    };
    let permit = call.authorize::<calls::ReadBlob>(&from).ok()?;
    Some((digest, permit))
}

fn begin(
    world: &World,
    _permit: &Permit<calls::StartUpload>,
    id: &str,
    algorithm: Algorithm,
) -> Result<Upload, Refusal> {
    world.blobs.begin(id, algorithm).map_err(disk)
}

/// `digest-algorithm` says which digest the blob will be named by, in the specification that comes after
/// 1.1, so that it need not be read a second time.
fn algorithm(call: &RegistryCall<'_>) -> Result<Algorithm, Refusal> {
    match call.query.get("digest-algorithm") {
        Some("sha512") => Ok(Algorithm::Sha512),
        Some(other) if other != "sha256" && call.is_strict() => Err(Refusal::new(
            "DIGEST_INVALID",
            format!("`digest-algorithm` must be sha256 or sha512, and is `{other}`"),
        )),
        None | Some(_) => Ok(Algorithm::Sha256),
    }
}

/// `GET blobs/uploads/ID`: how far it is.
pub(super) fn status(call: &RegistryCall<'_>, name: &RepositoryName, id: &str) -> Answer {
    let (_, repository) = call.permit::<calls::AppendUpload>(name)?;
    let length = call.world.blobs.open_uploads.length(id, &owner(call, &repository)).ok_or_else(no_upload)?;
    Ok(progress(call, name, id, StatusCode::NO_CONTENT, length))
}

/// `DELETE blobs/uploads/ID`: what was sent is thrown away.
pub(super) fn cancel(call: &RegistryCall<'_>, name: &RepositoryName, id: &str) -> Answer {
    let (permit, repository) = call.permit::<calls::CancelUpload>(name)?;
    cancel_upload(call.world, permit, id, &owner(call, &repository))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn cancel_upload(
    world: &World,
    _permit: Permit<calls::CancelUpload>,
    id: &str,
    owner: &Owner,
) -> Result<(), Refusal> {
    match world.blobs.open_uploads.take(id, owner) {
        Taken::Upload(upload) => {
            world.blobs.open_uploads.forget(id);
            drop(upload);
            Ok(())
        }
        Taken::Busy => Err(busy()),
        Taken::Unknown => Err(no_upload()),
    }
}

/// `PATCH blobs/uploads/ID`.
pub(super) async fn append(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    id: &str,
    incoming: &mut Incoming,
) -> Answer {
    let (permit, repository) = call.permit::<calls::AppendUpload>(name)?;
    let (upload, part) = take(call, &repository, id, incoming)?;
    let (world, key, mut body) = (Arc::clone(call.world), id.to_owned(), incoming.take_body());
    let growing = tokio::spawn(async move {
        let grown = match append_upload(&world, permit, upload, &mut body, part).await {
            Ok(appended) => Ok(appended.put_back(&world, &key)),
            Err(refusal) => {
                world.blobs.open_uploads.forget(&key);
                Err(refusal)
            }
        };
        (grown, body)
    });
    let (grown, body) = growing.await.map_err(|error| Refusal::internal(&error.to_string()))?;
    incoming.put_back(body);
    let (length, fault) = grown?;
    fault.map_or_else(|| Ok(progress(call, name, id, StatusCode::ACCEPTED, length)), Err)
}

/// `PUT blobs/uploads/ID?digest=`, with the last part or without.
pub(super) async fn finish(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    id: &str,
    incoming: &mut Incoming,
) -> Answer {
    let (permit, repository) = call.permit::<calls::FinishUpload>(name)?;
    let appending = match incoming.has_body() {
        true => Some(call.authorize::<calls::AppendUpload>(name)?),
        false => None,
    };
    let digest = parse_digest(call.query.get("digest").unwrap_or_default())?;
    let (upload, part) = take(call, &repository, id, incoming)?;
    let (world, key, mut body) = (Arc::clone(call.world), id.to_owned(), incoming.take_body());
    let claimed = digest.clone();
    // The specification has blobs without content, ECR has not.
    let without_parts =
        (!call.is_strict()).then(|| crate::ecr::upload_without_parts(id, &call.registry, name));
    let finishing = tokio::spawn(async move {
        let grown = match appending {
            None => Ok(Appended { upload, fault: None }),
            Some(appending) => append_upload(&world, appending, upload, &mut body, part).await,
        };
        let last = Last { world: &world, key: &key, repository: &repository, claimed: &claimed };
        (last.finish(permit, grown, without_parts).await, body)
    });
    let (finished, body) = finishing.await.map_err(|error| Refusal::internal(&error.to_string()))?;
    incoming.put_back(body);
    finished?;
    Ok(created(call, name, &digest))
}

/// The end of an upload.
struct Last<'a> {
    world: &'a World,
    key: &'a str,
    repository: &'a Repository,
    claimed: &'a Digest,
}

impl Last<'_> {
    /// Turns an upload with its last part into a blob. One whose part was not as it was said to be stays open.
    async fn finish(
        self,
        permit: Permit<calls::FinishUpload>,
        grown: Result<Appended, Refusal>,
        without_parts: Option<String>,
    ) -> Result<(), Refusal> {
        let Self { world, key, repository, claimed } = self;
        let grown = match grown {
            Ok(appended) if appended.fault.is_some() => {
                let (_, fault) = appended.put_back(world, key);
                return fault.map_or(Ok(()), Err);
            }
            grown => grown,
        };
        // Its leases stay until its content is stored and has its record.
        let _uploading = world.store.leases.uploading(&repository.registry.path_of(&repository.name));
        world.blobs.open_uploads.forget(key);
        let upload = grown?.upload;
        if let Some(message) = without_parts.filter(|_| upload.length() == 0) {
            return Err(Refusal::new("BLOB_UPLOAD_INVALID", message));
        }
        finish_upload(world, permit, repository, upload, claimed).await
    }
}

/// A part that is about to be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    /// Most bytes that the body may have.
    bytes_max: u64,
    /// Bytes that it has to have, when that was said.
    bytes: Option<u64>,
}

impl Part {
    /// Checks what is said about a part against the upload that it is for.
    fn read(incoming: &Incoming, length: u64) -> Result<Self, Refusal> {
        let left = BLOB_BYTES_MAX.saturating_sub(length);
        let content_length: Option<u64> =
            incoming.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let Some(text) = incoming.header(header::CONTENT_RANGE) else {
            return Ok(Self { bytes_max: left, bytes: content_length });
        };
        let range = parse_content_range(text).ok_or_else(|| {
            Refusal::new("BLOB_UPLOAD_INVALID", format!("Content-Range must be FIRST-LAST, and is `{text}`"))
        })?;
        if range.first != length {
            return Err(Refusal::with_status(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "BLOB_UPLOAD_INVALID",
                crate::ecr::wrong_first_byte(range.first, length),
            ));
        }
        if content_length.is_some_and(|content_length| content_length != range.length()) {
            return Err(Refusal::new(
                "SIZE_INVALID",
                "Content-Length and Content-Range contradict each other",
            ));
        }
        Ok(Self { bytes_max: range.length().min(left), bytes: Some(range.length()) })
    }
}

/// Takes an open upload for the part that comes with the request; it stays in the table when the part
/// does not fit.
fn take(
    call: &RegistryCall<'_>,
    repository: &Repository,
    id: &str,
    incoming: &Incoming,
) -> Result<(Upload, Part), Refusal> {
    let uploads = &call.world.blobs.open_uploads;
    let upload = match uploads.take(id, &owner(call, repository)) {
        Taken::Upload(upload) => upload,
        Taken::Unknown => return Err(no_upload()),
        Taken::Busy => return Err(busy()),
    };
    let length = upload.length();
    match Part::read(incoming, length) {
        Ok(part) => Ok((upload, part)),
        Err(refusal) => {
            uploads.put_back(id, upload, call.world.clock.wall());
            Err(refusal
                .header(header::LOCATION, upload_location(call, &repository.name, id))
                .header(header::RANGE, range_so_far(length)))
        }
    }
}

/// An upload with its new part, and what was wrong with the part.
struct Appended {
    upload: Upload,
    fault: Option<Refusal>,
}

impl Appended {
    /// The upload, if the part was as it was said to be.
    fn complete(self) -> Result<Upload, Refusal> {
        self.fault.map_or(Ok(self.upload), Err)
    }

    /// Back into the table; gives the length and the fault.
    fn put_back(self, world: &World, id: &str) -> (u64, Option<Refusal>) {
        let length = self.upload.length();
        world.blobs.open_uploads.put_back(id, self.upload, world.clock.wall());
        (length, self.fault)
    }
}

async fn append_upload(
    world: &World,
    _permit: Permit<calls::AppendUpload>,
    upload: Upload,
    body: &mut Body,
    part: Part,
) -> Result<Appended, Refusal> {
    let before = upload.length();
    let (upload, ended) = upload.append(&world.blobs.flow, body, part.bytes_max).await.map_err(disk)?;
    let received = upload.length() - before;
    let wrong_size = |message: String| Some(Refusal::new("SIZE_INVALID", message));
    let fault = match (ended, part.bytes) {
        (Ended::Interrupted, _) => wrong_size(format!("the body ended early, after {received} bytes")),
        (Ended::TooLong, _) => wrong_size(format!("the body is longer than {} bytes", part.bytes_max)),
        (Ended::Complete, Some(bytes)) if bytes != received => {
            wrong_size(format!("{bytes} bytes were announced, {received} came"))
        }
        (Ended::Complete, _) => None,
    };
    Ok(Appended { upload, fault })
}

async fn finish_upload(
    world: &World,
    permit: Permit<calls::FinishUpload>,
    repository: &Repository,
    upload: Upload,
    claimed: &Digest,
) -> Result<(), Refusal> {
    let (registry, name) =
        repository_of(&permit).map_err(|error: AwsError| Refusal::internal(&error.message))?;
    let stored = upload.finish(&world.blobs, claimed).await.map_err(|error| match error {
        // What was calculated stays here: a client is told only that it was not this.
        UploadError::DigestMismatch { .. } => Refusal::new(
            "BLOB_UPLOAD_INVALID",
            "None of the provided layer digests match the calculated layer digest",
        ),
        UploadError::Io(error) => disk(error),
    })?;
    world
        .store
        .link_blob((&registry, &name), repository.created_at, &stored.digest, stored.length)
        .map_err(|failed| Refusal::not_kept(failed, &registry, &name))
}

fn owner(call: &RegistryCall<'_>, repository: &Repository) -> Owner {
    crate::ecr::upload_owner(repository, &call.caller)
}

fn progress(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    id: &str,
    status: StatusCode,
    length: u64,
) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, header::LOCATION, &upload_location(call, name, id));
    set(&mut response, header::RANGE, &range_so_far(length));
    set(&mut response, DOCKER_UPLOAD_UUID, id);
    response
}

fn upload_location(call: &RegistryCall<'_>, name: &RepositoryName, id: &str) -> String {
    call.location(name, &format!("blobs/uploads/{id}"))
}

/// `0-LAST`; an empty upload is `0-0` too, the specification has no other form for it.
fn range_so_far(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn no_upload() -> Refusal {
    Refusal::new(
        "BLOB_UPLOAD_UNKNOWN",
        "there is no such upload: it has ended, or it was begun by another caller",
    )
}

fn busy() -> Refusal {
    Refusal::with_status(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "BLOB_UPLOAD_INVALID",
        "another request is writing to this upload",
    )
}

fn disk(error: std::io::Error) -> Refusal {
    Refusal::internal(&format!("a blob can't be stored: {error}"))
}
