//! Images on disk as an OCI image layout, in a directory or in a tar archive:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use landfall_types::Digest;
use serde_json::Value;

use crate::archive::{Archive, ArchiveError};
use crate::blob::{Blob, Hashing, Source, digest_of};
use crate::choice::{Choice, ChoiceError};
use crate::failure::Failure;
use crate::platform::Platform;
use crate::read::whole;

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

/// Where a layout's files are.
#[derive(Clone, Debug)]
pub enum Files {
    /// In a directory.
    Directory(PathBuf),
    /// In an archive.
    Archive(Archive),
}

impl Files {
    fn place(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.join(name),
            Self::Archive(archive) => archive.place(name),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, LayoutError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                let bytes = std::fs::File::open(&path).and_then(|file| whole(file, MANIFEST_BYTES_MAX));
                bytes.map_err(|cause| LayoutError::Read { path, cause })
            }
            Self::Archive(archive) => Ok(archive.read(name, MANIFEST_BYTES_MAX)?),
        }
    }

    /// A file as something to send, and its size in bytes.
    fn find(&self, name: &str) -> Result<(Source, u64), LayoutError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                let metadata = std::fs::metadata(&path);
                let metadata = metadata.map_err(|cause| LayoutError::Read { path: path.clone(), cause })?;
                Ok((Source::File(path), metadata.len()))
            }
            Self::Archive(archive) => Ok(archive.part(name)?),
        }
    }
}

/// Whether a directory says that it is an OCI image layout.
pub fn is_layout(directory: &Path) -> bool {
    directory.join("oci-layout").is_file() && directory.join("index.json").is_file()
}

/// Reads a layout. One entry in `index.json` is that image or index; several are pushed as the index
/// that `index.json` is, unless one is chosen.
///
/// # Errors
/// See [`LayoutError`].
pub fn read(files: &Files, choice: &Choice) -> Result<Image, LayoutError> {
    let path = files.place("index.json");
    let bytes = files.read("index.json")?;
    let index = parse(&path, &bytes)?;
    let mut entries = descriptors(&path, &index, "manifests")?;
    if let Some(name) = &choice.name {
        let names: Vec<String> = entries.iter().flat_map(|entry| entry.names.clone()).collect();
        entries.retain(|entry| entry.is_called(name));
        if entries.is_empty() {
            return Err(ChoiceError::NoSuchName { path, name: name.clone(), names }.into());
        }
    }
    let mut reader = Reader { files, seen: HashSet::new(), children: Vec::new(), blobs: Vec::new() };
    if let Some(platform) = &choice.platform {
        let mut search = Search { wanted: platform, looked: HashSet::new(), offered: Vec::new() };
        let found = reader.for_platform(&entries, &path, &mut search, 0)?;
        entries = vec![found.ok_or_else(|| ChoiceError::NoSuchPlatform {
            path: path.clone(),
            platform: platform.to_string(),
            offered: search.offered,
        })?];
    }
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
#[derive(Clone, Debug)]
struct Descriptor {
    digest: Digest,
    size: u64,
    media_type: Option<String>,
    platform: Option<Platform>,
    /// What the layout calls it.
    names: Vec<String>,
}

impl Descriptor {
    /// By any of its names, by the tag at a name's end, or by the digest.
    fn is_called(&self, wanted: &str) -> bool {
        let is_end = |name: &String| name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
        self.digest.as_str() == wanted || self.names.iter().any(|name| name == wanted || is_end(name))
    }
}

/// A look for one platform.
struct Search<'a> {
    wanted: &'a Platform,
    /// Documents that were read: each once, however often it is pointed at.
    looked: HashSet<Digest>,
    /// Platforms that were seen on the way.
    offered: Vec<String>,
}

struct Reader<'a> {
    files: &'a Files,
    seen: HashSet<Digest>,
    children: Vec<Manifest>,
    blobs: Vec<Blob>,
}

impl Reader<'_> {
    /// The first image for a platform, also within indexes.
    fn for_platform(
        &self,
        entries: &[Descriptor],
        from: &Path,
        search: &mut Search<'_>,
        depth: usize,
    ) -> Result<Option<Descriptor>, LayoutError> {
        if depth > DEPTH_MAX {
            return Err(malformed(from, &format!("indexes are nested more than {DEPTH_MAX} deep")));
        }
        for entry in entries {
            let platform = match &entry.platform {
                Some(platform) => Some(platform.clone()),
                None if !search.looked.insert(entry.digest.clone()) => continue,
                None => {
                    let (path, value) = self.document(&blob_name(&entry.digest))?;
                    let below = descriptors(&path, &value, "manifests")?;
                    if let Some(found) = self.for_platform(&below, &path, search, depth + 1)? {
                        return Ok(Some(found));
                    }
                    self.configured_platform(&path, &value)?
                }
            };
            let Some(platform) = platform else { continue };
            if search.wanted.admits(&platform) {
                return Ok(Some(entry.clone()));
            }
            search.offered.push(platform.to_string());
        }
        Ok(None)
    }

    /// What an image's configuration says about itself.
    fn configured_platform(&self, path: &Path, manifest: &Value) -> Result<Option<Platform>, LayoutError> {
        let Some(config) = manifest.get("config") else { return Ok(None) };
        let (_, config) = self.document(&blob_name(&descriptor(path, config)?.digest))?;
        Ok(Platform::of_json(&config))
    }

    fn document(&self, name: &str) -> Result<(PathBuf, Value), LayoutError> {
        let path = self.files.place(name);
        let value = parse(&path, &self.files.read(name)?)?;
        Ok((path, value))
    }

    fn manifest(
        &mut self,
        descriptor: &Descriptor,
        from: &Path,
        depth: usize,
    ) -> Result<Manifest, LayoutError> {
        if depth > DEPTH_MAX {
            return Err(malformed(from, &format!("indexes are nested more than {DEPTH_MAX} deep")));
        }
        let name = blob_name(&descriptor.digest);
        let path = self.files.place(&name);
        let bytes = self.files.read(&name)?;
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
        let name = blob_name(&descriptor.digest);
        let (source, size) = self.files.find(&name)?;
        check_size(&self.files.place(&name), size, descriptor.size)?;
        self.blobs.push(Blob { digest: descriptor.digest.clone(), size, source });
        Ok(())
    }

    fn count(&self, from: &Path) -> Result<(), LayoutError> {
        if self.seen.len() > ENTRIES_MAX {
            return Err(malformed(from, &format!("more than {ENTRIES_MAX} manifests and blobs")));
        }
        Ok(())
    }
}

/// Where a layout keeps content.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
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
    let annotation = |name: &str| value.get("annotations").and_then(|all| all.get(name));
    let names = NAME_ANNOTATIONS.iter().filter_map(|name| annotation(name)?.as_str().map(str::to_owned));
    Ok(Descriptor {
        digest,
        size,
        media_type: value.get("mediaType").and_then(Value::as_str).map(str::to_owned),
        platform: value.get("platform").and_then(Platform::of_json),
        names: names.collect(),
    })
}

fn check_size(path: &Path, actual: u64, wanted: u64) -> Result<(), LayoutError> {
    if actual == wanted {
        return Ok(());
    }
    Err(malformed(path, &format!("it has {actual} bytes, its manifest says {wanted}")))
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
    /// The archive that the layout is in.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// None of its images is the one that was asked for.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
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
/// Under what layouts write an image's name: the specification's own, and containerd's, which Docker
/// writes too.
const NAME_ANNOTATIONS: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// Indexes within indexes.
const DEPTH_MAX: usize = 4;
/// Manifests and blobs in one push.
const ENTRIES_MAX: usize = 10_000;

#[cfg(test)]
mod tests;
