//! Reading blobs: layers and configs. ECR redirects to S3 here; this server sends them itself.

use axum::body::Body;
use http::{Response, StatusCode, header};
use landfall_types::{Digest, RepositoryName};
use landfall_wire::oci::{RangeRequest, parse_range};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST, Refusal, empty, not_modified, set, set_content};
use super::{Incoming, RegistryCall};
use crate::authz::{Permit, calls};
use crate::blobs::Blob;
use crate::ecr::repository_of;
use crate::world::World;

/// `HEAD blobs/DIGEST`.
pub(super) fn check(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    digest: &str,
    incoming: &Incoming,
) -> Answer {
    let (permit, _) = call.permit::<calls::CheckBlob>(name)?;
    let digest = parse_digest(digest)?;
    let size = check_blob(call.world, permit, &digest)?;
    if incoming.has_already(&digest) {
        return Ok(not_modified(&digest));
    }
    let mut response = described(StatusCode::OK, Body::empty(), &digest);
    set(&mut response, header::CONTENT_LENGTH, &size.to_string());
    Ok(response)
}

fn check_blob(world: &World, permit: Permit<calls::CheckBlob>, digest: &Digest) -> Result<u64, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(|error| Refusal::internal(&error.message))?;
    world.store.blob(&registry, &name, digest).ok_or_else(no_blob)
}

/// `GET blobs/DIGEST`, all of it or the part that `Range` asks for.
pub(super) fn read(
    call: &RegistryCall<'_>,
    name: &RepositoryName,
    digest: &str,
    incoming: &Incoming,
) -> Answer {
    let (permit, _) = call.permit::<calls::ReadBlob>(name)?;
    let digest = parse_digest(digest)?;
    let blob = open_blob(call.world, permit, &digest)?;
    if incoming.has_already(&digest) {
        return Ok(not_modified(&digest));
    }
    let size = blob.size();
    let range = incoming.range(&digest);
    let (status, part) = match range.map_or(RangeRequest::Whole, |range| parse_range(range, size)) {
        // What S3 sends for a range that ends before it begins, the conformance suite wants refused; HTTP
        // allows both.
        RangeRequest::Backwards if !call.is_strict() => (StatusCode::OK, 0..size),
        RangeRequest::Whole => (StatusCode::OK, 0..size),
        RangeRequest::Part(part) => (StatusCode::PARTIAL_CONTENT, part.first..part.first + part.length()),
        RangeRequest::Unsatisfiable | RangeRequest::Backwards => {
            let message =
                format!("the range {} is outside of the blob's {size} bytes", range.unwrap_or_default());
            return Err(Refusal::new("RANGE_INVALID", message)
                .header(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let length = part.end - part.start;
    let content_range = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
    let mut response = described(status, Body::from_stream(blob.read(&call.world.blobs.flow, part)), &digest);
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

fn open_blob(world: &World, permit: Permit<calls::ReadBlob>, digest: &Digest) -> Result<Blob, Refusal> {
    let (registry, name) = repository_of(&permit).map_err(|error| Refusal::internal(&error.message))?;
    world.store.blob(&registry, &name, digest).ok_or_else(no_blob)?;
    if world.store.is_archived_blob(&registry, &name, digest) {
        return Err(Refusal::new("BLOB_UNKNOWN", crate::ecr::archived_layer(digest)));
    }
    let blob = world.blobs.open(digest).map_err(|error| Refusal::internal(&error.to_string()))?;
    blob.ok_or_else(no_blob)
}

fn described(status: StatusCode, body: Body, digest: &Digest) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set_content(&mut response, digest);
    response
}

/// `mount` of a new upload: a blob of one repository becomes a blob of another, with nothing sent.
pub(super) fn mount_blob(
    world: &World,
    start: Permit<calls::StartUpload>,
    read: Permit<calls::ReadBlob>,
    digest: &Digest,
) -> Result<(), Refusal> {
    let internal = |error: landfall_wire::error::AwsError| Refusal::internal(&error.message);
    let (registry, name) = repository_of(&start).map_err(internal)?;
    let (from_registry, from_name) = repository_of(&read).map_err(internal)?;
    let shared = world.store.share_blobs(
        (&from_registry, &from_name),
        (&registry, &name),
        std::slice::from_ref(digest),
    );
    let shared = shared.map_err(|failed| Refusal::not_kept(failed, &registry, &name))?;
    if shared.is_empty() { Err(no_blob()) } else { Ok(()) }
}

/// 201 for a blob that is there now.
pub(super) fn created(call: &RegistryCall<'_>, name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &call.location(name, &format!("blobs/{digest}")));
    set(&mut response, DOCKER_CONTENT_DIGEST, digest.as_str());
    response
}

/// Reads a digest of a path or a query.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).map_err(|reason| Refusal::new("DIGEST_INVALID", reason))
}

pub(super) fn no_blob() -> Refusal {
    Refusal::new("BLOB_UNKNOWN", "Requested layer not found")
}
