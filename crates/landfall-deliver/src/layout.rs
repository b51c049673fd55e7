//! Images on disk as an OCI image layout: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use landfall_types::Digest;
use serde_json::Value;

use crate::blob::{Blob, Hashing, Source, digest_of};
use crate::failure::Failure;

/// An image (or an index of images) that is ready to be pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the tags will point at.
    pub root: Manifest,
    /// The manifests below the root, each after everything it points at.
    pub children: Vec<Manifest>,
    /// Configurations and layers, each once.
    pub blobs: Vec<Blob>,
}

/// A manifest or an index, byte for byte.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// What is pushed.
    pub bytes: Bytes,
}

impl Manifest {
    /// A manifest from its bytes.
    pub fn new(media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { digest: digest_of(&bytes), media_type: media_type.into(), bytes: bytes.into() }
    }
}

/// Whether a directory says that it is an OCI image layout.
pub fn is_layout(directory: &Path) -> bool {
    directory.join("oci-layout").is_file() && directory.join("index.json").is_file()
}

/// Reads a layout. One entry in `index.json` is that image or index; several are pushed as the index
/// that `index.json` is.
///
/// # Errors
/// See [`LayoutError`].
pub fn read(directory: &Path) -> Result<Image, LayoutError> {
    let path = directory.join("index.json");
    let bytes = read_limited(&path)?;
    let index = parse(&path, &bytes)?;
    let entries = descriptors(&path, &index, "manifests")?;
    let mut reader = Reader { directory, seen: HashSet::new(), children: Vec::new(), blobs: Vec::new() };
    let root = match entries.as_slice() {
        [] => return Err(malformed(&path, "`manifests` is empty: there is nothing to push")),
        [only] => {
            let root = reader.manifest(only, &path, 0)?;
            // The root is pushed last, by its tags.
            reader.children.retain(|child| child.digest != root.digest);
            root
        }
        several => {
            for entry in several {
                reader.manifest(entry, &path, 0)?;
            }
            let media_type = index.get("mediaType").and_then(Value::as_str).unwrap_or(OCI_INDEX);
            Manifest::new(media_type, bytes)
        }
    };
    Ok(Image { root, children: reader.children, blobs: reader.blobs })
}

/// What a manifest says about something it points at.
struct Descriptor {
    digest: Digest,
    size: u64,
    media_type: Option<String>,
}

struct Reader<'a> {
    directory: &'a Path,
    seen: HashSet<Digest>,
    children: Vec<Manifest>,
    blobs: Vec<Blob>,
}

impl Reader<'_> {
    fn manifest(
        &mut self,
        descriptor: &Descriptor,
        from: &Path,
        depth: usize,
    ) -> Result<Manifest, LayoutError> {
        if depth > DEPTH_MAX {
            return Err(malformed(from, &format!("indexes are nested more than {DEPTH_MAX} deep")));
        }
        let path = self.blob_path(&descriptor.digest);
        let bytes = read_limited(&path)?;
        check_size(&path, bytes.len() as u64, descriptor.size)?;
        let mut hashing = Hashing::like(&descriptor.digest);
        hashing.update(&bytes);
        let actual = hashing.finish();
        if actual != descriptor.digest {
            return Err(LayoutError::Mismatch { path, wanted: descriptor.digest.clone(), actual });
        }
        let value = parse(&path, &bytes)?;
        let media_type = descriptor
            .media_type
            .clone()
            .or_else(|| value.get("mediaType").and_then(Value::as_str).map(str::to_owned))
            .ok_or_else(|| {
                malformed(&path, "neither the manifest nor what points at it says its media type")
            })?;
        let manifest = Manifest { digest: actual, media_type, bytes: bytes.into() };
        if self.seen.insert(manifest.digest.clone()) {
            self.count(from)?;
            self.below(&path, &value, depth)?;
            self.children.push(manifest.clone());
        }
        Ok(manifest)
    }

    fn below(&mut self, path: &Path, manifest: &Value, depth: usize) -> Result<(), LayoutError> {
        for child in descriptors(path, manifest, "manifests")? {
            self.manifest(&child, path, depth + 1)?;
        }
        if let Some(config) = manifest.get("config") {
            self.blob(path, &descriptor(path, config)?)?;
        }
        for list in ["layers", "blobs"] {
            for layer in descriptors(path, manifest, list)? {
                // Layers that may not be distributed stay where their URLs say (image specification,
                // "Non-Distributable Layers").
                let media_type = layer.media_type.as_deref().unwrap_or_default();
                if !media_type.contains("nondistributable") && !media_type.contains(".foreign.") {
                    self.blob(path, &layer)?;
                }
            }
        }
        Ok(())
    }

    fn blob(&mut self, from: &Path, descriptor: &Descriptor) -> Result<(), LayoutError> {
        if !self.seen.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        self.count(from)?;
        let path = self.blob_path(&descriptor.digest);
        let metadata =
            std::fs::metadata(&path).map_err(|cause| LayoutError::Read { path: path.clone(), cause })?;
        check_size(&path, metadata.len(), descriptor.size)?;
        self.blobs.push(Blob {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            source: Source::File(path),
        });
        Ok(())
    }

    fn count(&self, from: &Path) -> Result<(), LayoutError> {
        if self.seen.len() > ENTRIES_MAX {
            return Err(malformed(from, &format!("more than {ENTRIES_MAX} manifests and blobs")));
        }
        Ok(())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join(digest.algorithm()).join(digest.hex())
    }
}

fn descriptors(path: &Path, manifest: &Value, name: &str) -> Result<Vec<Descriptor>, LayoutError> {
    match manifest.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| descriptor(path, item)).collect(),
        Some(_) => Err(malformed(path, &format!("`{name}` must be an array"))),
    }
}

fn descriptor(path: &Path, value: &Value) -> Result<Descriptor, LayoutError> {
    let digest = value.get("digest").and_then(Value::as_str).unwrap_or_default();
    let digest = Digest::parse(digest).map_err(|reason| malformed(path, &reason))?;
    let size = value
        .get("size")
        .and_then(Value::as_u64)
        .ok_or_else(|| malformed(path, &format!("the descriptor of {digest} has no `size`")))?;
    Ok(Descriptor {
        digest,
        size,
        media_type: value.get("mediaType").and_then(Value::as_str).map(str::to_owned),
    })
}

fn check_size(path: &Path, actual: u64, wanted: u64) -> Result<(), LayoutError> {
    if actual == wanted {
        return Ok(());
    }
    Err(malformed(path, &format!("it has {actual} bytes, its manifest says {wanted}")))
}

fn read_limited(path: &Path) -> Result<Vec<u8>, LayoutError> {
    let failed = |cause| LayoutError::Read { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(malformed(path, &format!("it is longer than {MANIFEST_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, LayoutError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| malformed(path, &format!("it is not JSON (line {})", error.line())))?;
    if value.is_object() { Ok(value) } else { Err(malformed(path, "a JSON object is expected")) }
}

fn malformed(path: &Path, reason: &str) -> LayoutError {
    LayoutError::Malformed { path: path.to_owned(), reason: reason.to_owned() }
}

/// Why a layout can't be pushed.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file is missing or unreadable.
    #[error("reading `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file isn't what it should be.
    #[error("`{path}`: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// Content and name disagree.
    #[error("`{path}` is damaged: its content is {actual}, {wanted} is expected")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What points at it says this.
        wanted: Digest,
        /// It really is this.
        actual: Digest,
    },
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        Failure::usage(error.to_string()).causes_of(&error)
    }
}

/// The media type of an index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image's manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// ECR takes manifests of up to 4 MiB, and so do other registries.
const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Indexes within indexes.
const DEPTH_MAX: usize = 4;
/// Manifests and blobs in one push.
const ENTRIES_MAX: usize = 10_000;

#[cfg(test)]
mod tests;
