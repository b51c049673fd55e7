//! Images as `docker save` and `podman save` write them: a tar archive whose `manifest.json` names each
//! image's configuration and layers.
//! <https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format>
//!
//! Layers lie there unpacked, and engines compress them when they push. So does this, in the same way every
//! time: an archive has one digest. Layers that are compressed already are sent as they are.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;

use landfall_types::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::archive::{Archive, ArchiveError, Compression, MAGIC_BYTES};
use crate::blob::{Blob, Hashing};
use crate::choice::{Choice, ChoiceError};
use crate::compress::Format;
use crate::failure::Failure;
use crate::layer::{self, Layer, WriteError};
use crate::layout::{Image, Manifest};
use crate::platform::Platform;
use crate::read::pieces;

/// Whether an archive says that it is one of these.
pub fn is_docker_archive(archive: &Archive) -> bool {
    archive.contains("manifest.json")
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// Reads an image, compressing its layers into temporary files.
///
/// # Errors
/// See [`DockerArchiveError`].
pub fn read(archive: &Archive, choice: &Choice) -> Result<Image, DockerArchiveError> {
    let bytes = archive.read("manifest.json", LIST_BYTES_MAX)?;
    let path = archive.place("manifest.json");
    let entries: Vec<Entry> = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(&path, format!("a list of images, each with `Config` and `Layers`, is expected: {error}"))
    })?;
    let entry = choose(archive, entries, choice)?;
    let config_path = archive.place(&entry.config);
    let bytes = archive.read(&entry.config, CONFIG_BYTES_MAX)?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| malformed(&config_path, format!("it is not JSON: {error}")))?;
    let ids = diff_ids(&config).ok_or_else(|| {
        malformed(&config_path, "`rootfs.diff_ids` is missing or no list of digests".to_owned())
    })?;
    if ids.len() != entry.layers.len() {
        let reason = format!("it lists {} layers, the archive's list has {}", ids.len(), entry.layers.len());
        return Err(malformed(&config_path, reason));
    }
    let config = Blob::from_bytes(bytes);
    let (mut blobs, mut descriptors, mut known) = (vec![config.clone()], Vec::new(), HashMap::new());
    for (name, diff_id) in entry.layers.iter().zip(ids) {
        if !known.contains_key(&diff_id) {
            let layer = prepared(archive, name, &diff_id)?;
            blobs.push(layer.0.clone());
            known.insert(diff_id.clone(), layer);
        }
        if let Some((blob, media_type)) = known.get(&diff_id) {
            descriptors
                .push(json!({ "mediaType": media_type, "size": blob.size, "digest": blob.digest.as_str() }));
        }
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": { "mediaType": DOCKER_CONFIG, "size": config.size, "digest": config.digest.as_str() },
        "layers": descriptors,
    });
    let root = Manifest::new(DOCKER_MANIFEST, manifest.to_string().into_bytes());
    Ok(Image { root, children: Vec::new(), blobs })
}

fn choose(archive: &Archive, entries: Vec<Entry>, choice: &Choice) -> Result<Entry, DockerArchiveError> {
    let path = archive.shown().to_owned();
    let names: Vec<String> =
        entries.iter().flat_map(|entry| entry.repo_tags.iter().flatten().cloned()).collect();
    let mut fitting = entries;
    if let Some(name) = &choice.name {
        fitting.retain(|entry| entry.repo_tags.iter().flatten().any(|tag| is_called(tag, name)));
        if fitting.is_empty() {
            return Err(ChoiceError::NoSuchName { path, name: name.clone(), names }.into());
        }
    }
    if let Some(wanted) = &choice.platform {
        let mut offered = Vec::new();
        let mut kept = Vec::new();
        for entry in fitting {
            let bytes = archive.read(&entry.config, CONFIG_BYTES_MAX)?;
            let platform = serde_json::from_slice(&bytes).ok().and_then(|config| Platform::of_json(&config));
            match platform {
                Some(platform) if !wanted.admits(&platform) => offered.push(platform.to_string()),
                _ => kept.push(entry),
            }
        }
        if kept.is_empty() {
            return Err(ChoiceError::NoSuchPlatform { path, platform: wanted.to_string(), offered }.into());
        }
        fitting = kept;
    }
    match fitting.len() {
        0 => Err(malformed(&path, "it holds no image".to_owned())),
        1 => fitting.pop().ok_or_else(|| malformed(&path, "it holds no image".to_owned())),
        _ => Err(ChoiceError::Several { path, names }.into()),
    }
}

/// `app` means `app:latest`, as Docker has it; the registry's default name may be left out.
fn is_called(tag: &str, wanted: &str) -> bool {
    let has_tag = wanted.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let wanted = if has_tag { wanted.to_owned() } else { format!("{wanted}:latest") };
    let short = |name: &str| {
        let name =
            name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("localhost/")).unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    tag == wanted || short(tag) == short(&wanted)
}

fn diff_ids(config: &Value) -> Option<Vec<Digest>> {
    let ids = config.pointer("/rootfs/diff_ids")?.as_array()?;
    ids.iter().map(|id| Digest::parse(id.as_str()?).ok()).collect()
}

/// A layer as it is sent, with its media type.
fn prepared(
    archive: &Archive,
    name: &str,
    diff_id: &Digest,
) -> Result<(Blob, &'static str), DockerArchiveError> {
    if let Some(layer) = archive.layer(name) {
        return checked(archive, name, diff_id, layer.clone()).map(|blob| (blob, DOCKER_LAYER));
    }
    let failed = |cause| ArchiveError::Read { path: archive.place(name), cause };
    let mut start = Vec::new();
    archive.reader(name)?.take(MAGIC_BYTES as u64).read_to_end(&mut start).map_err(failed)?;
    let media_type = match Compression::of(&start) {
        Compression::Gzip => DOCKER_LAYER,
        Compression::Zstd => OCI_LAYER_ZSTD,
        _ => return compressed(archive, name, diff_id).map(|blob| (blob, DOCKER_LAYER)),
    };
    let mut hashing = Hashing::sha256();
    pieces(&mut archive.reader(name)?, failed, |piece| {
        hashing.update(piece);
        Ok(())
    })?;
    let (source, size) = archive.part(name)?;
    Ok((Blob { digest: hashing.finish(), size, source }, media_type))
}

fn compressed(archive: &Archive, name: &str, diff_id: &Digest) -> Result<Blob, DockerArchiveError> {
    let mut reader = archive.reader(name)?;
    let failed = |cause| ArchiveError::Read { path: archive.place(name), cause };
    let layer = layer::compress(archive.place(name), Format::default(), |plain| {
        let write = |piece: &[u8]| plain.write_all(piece).map_err(|cause| WriteError(cause).into());
        pieces(&mut reader, failed, write).map(drop)
    })?;
    checked(archive, name, diff_id, layer)
}

/// A layer's blob, if it holds what the image's configuration says.
fn checked(
    archive: &Archive,
    name: &str,
    diff_id: &Digest,
    layer: Layer,
) -> Result<Blob, DockerArchiveError> {
    if layer.diff_id == *diff_id {
        return Ok(layer.blob);
    }
    let (path, wanted, actual) = (archive.place(name), diff_id.clone(), layer.diff_id);
    Err(DockerArchiveError::Damaged { path, wanted, actual })
}

fn malformed(path: &std::path::Path, reason: String) -> DockerArchiveError {
    DockerArchiveError::Malformed { path: path.to_owned(), reason }
}

/// Why an image can't be taken from an archive.
#[derive(Debug, thiserror::Error)]
pub enum DockerArchiveError {
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A member isn't what it should be.
    #[error("`{path}`: {reason}")]
    Malformed {
        /// The member.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// A layer isn't what the image's configuration says.
    #[error("`{path}` is damaged: its content is {actual}, {wanted} is expected")]
    Damaged {
        /// The layer.
        path: PathBuf,
        /// What the configuration says.
        wanted: Digest,
        /// What it is.
        actual: Digest,
    },
    /// None of its images is the one that was asked for, or several are.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

impl From<DockerArchiveError> for Failure {
    fn from(error: DockerArchiveError) -> Self {
        Failure::usage(error.to_string()).causes_of(&error)
    }
}

/// The media type of an image's manifest, schema 2.
/// <https://distribution.github.io/distribution/spec/manifest-v2-2/>
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of its configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The media type of its layers, compressed with gzip.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's own types know no zstd; engines that write it call it by this one.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// `manifest.json`, in bytes.
const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// An image's configuration, in bytes.
const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;
#[cfg(test)]
mod tests;
