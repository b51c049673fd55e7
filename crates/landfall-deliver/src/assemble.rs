//! One image from one directory: a layer, a configuration, a manifest, on top of another image or of
//! nothing. The same input gives the same digests on every machine.
//!
//! For that, entries are sorted, owners are 0:0, times are one given moment, and modes are one of
//! 0755 (directories, anything executable) and 0644: a checkout's modes depend on the umask.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use landfall_types::{Digest, Timestamp};
use serde_json::{Map, Value, json};
use tar::{EntryType, Header};

use crate::blob::{Blob, digest_of};
use crate::compress::Format;
use crate::docker_archive::{DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_LAYER_ZSTD};
use crate::failure::Failure;
use crate::layer::{self, Layer, WriteError};
use crate::layout::{Image, Manifest, OCI_INDEX, OCI_MANIFEST};
use crate::platform::Platform;

/// What the image's configuration says. <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is run.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`, in the order given.
    pub environment: Vec<String>,
    /// Where it is run.
    pub working_directory: Option<String>,
    /// Who runs it: `USER[:GROUP]`.
    pub user: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `PORT/PROTOCOL`: what it listens on.
    pub exposed_ports: Vec<String>,
    /// How the layer is compressed.
    pub compression: Format,
    /// For which machine.
    pub platform: Platform,
    /// The moment that every file and the image itself carry (`SOURCE_DATE_EPOCH`).
    pub created: Timestamp,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            environment: Vec::new(),
            working_directory: None,
            user: None,
            labels: BTreeMap::new(),
            exposed_ports: Vec::new(),
            compression: Format::default(),
            platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None },
            created: Timestamp(0),
        }
    }
}

/// Reads a command as Dockerfiles have it: a JSON array, or words with shell-like quotes.
///
/// # Errors
/// A sentence for the user.
pub fn command(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| format!("`{text}` is not a command: a JSON array of strings is expected"));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("`{text}` is not a command: a quote isn't closed"));
    }
    words.extend(word);
    Ok(words)
}

/// Builds the image, on top of `base` if there is one. The layer goes into a temporary file, which the
/// image keeps alive.
///
/// # Errors
/// See [`AssembleError`].
pub fn assemble(directory: &Path, settings: &Settings, base: Option<&Image>) -> Result<Image, AssembleError> {
    let ground = base.map(Ground::of).transpose()?.unwrap_or_default();
    let layer = layer(directory, settings)?;
    let config = configuration(settings, &layer.diff_id, ground.config);
    let config = Blob::from_bytes(Value::Object(config).to_string().into_bytes());
    let is_docker = ground.media_type.as_deref() == Some(DOCKER_MANIFEST);
    let (media_type, config_type, layer_type) = if is_docker {
        (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER)
    } else {
        (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    };
    // Docker's own types know no Zstandard.
    let layer_type = match settings.compression {
        Format::Gzip { .. } => layer_type,
        Format::Zstd { .. } => OCI_LAYER_ZSTD,
    };
    let mut layers = ground.layers;
    layers.push(
        json!({ "mediaType": layer_type, "digest": layer.blob.digest.as_str(), "size": layer.blob.size }),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": { "mediaType": config_type, "digest": config.digest.as_str(), "size": config.size },
        "layers": layers,
    });
    let root = Manifest::new(media_type, manifest.to_string().into_bytes());
    let mut blobs = ground.blobs;
    blobs.extend([config, layer.blob]);
    Ok(Image { root, children: Vec::new(), blobs })
}

/// Puts images for several machines into one index, in the order given.
pub fn index(images: Vec<(Platform, Image)>) -> Image {
    let mut descriptors = Vec::new();
    let mut all =
        Image { root: Manifest::new(OCI_INDEX, Vec::new()), children: Vec::new(), blobs: Vec::new() };
    for (platform, image) in images {
        descriptors.push(json!({
            "mediaType": image.root.media_type,
            "digest": image.root.digest.as_str(),
            "size": image.root.bytes.len(),
            "platform": platform.to_json(),
        }));
        let is_known = |blob: &Blob, known: &[Blob]| known.iter().any(|other| other.digest == blob.digest);
        for blob in image.blobs {
            if !is_known(&blob, &all.blobs) {
                all.blobs.push(blob);
            }
        }
        all.children.extend(image.children);
        all.children.push(image.root);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors });
    all.root = Manifest::new(OCI_INDEX, index.to_string().into_bytes());
    all
}

/// What an image is built on.
#[derive(Default)]
struct Ground {
    media_type: Option<String>,
    config: Map<String, Value>,
    layers: Vec<Value>,
    /// Its layers; its configuration is replaced.
    blobs: Vec<Blob>,
}

impl Ground {
    fn of(base: &Image) -> Result<Self, AssembleError> {
        let unfit = |reason: &str| AssembleError::Base { reason: reason.to_owned() };
        let manifest: Value =
            serde_json::from_slice(&base.root.bytes).map_err(|_| unfit("its manifest is not JSON"))?;
        let layers = manifest.get("layers").and_then(Value::as_array);
        let layers =
            layers.ok_or_else(|| unfit("it is an index of images, and none is for this platform"))?;
        let digest = manifest.pointer("/config/digest").and_then(Value::as_str).unwrap_or_default();
        let (mut configs, blobs): (Vec<Blob>, Vec<Blob>) =
            base.blobs.iter().cloned().partition(|blob| blob.digest.as_str() == digest);
        let config = configs.pop().ok_or_else(|| unfit("it has no configuration"))?;
        let bytes = config
            .content(CONFIG_BYTES_MAX)
            .map_err(|cause| AssembleError::Read { path: config.place().into(), cause })?;
        if digest_of(&bytes) != config.digest {
            return Err(unfit("its configuration is damaged: it is not what its digest says"));
        }
        let config: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|_| unfit("its configuration is not a JSON object"))?;
        Ok(Self { media_type: Some(base.root.media_type.clone()), config, layers: layers.clone(), blobs })
    }
}

/// The base's configuration, or none, with what was asked for and the new layer. What wasn't asked for
/// stays; an entrypoint ends the base's default arguments, as in a Dockerfile.
fn configuration(settings: &Settings, diff_id: &Digest, base: Map<String, Value>) -> Map<String, Value> {
    let base_member = |name: &str| base.get(name).cloned();
    let mut run = base_member("config").and_then(|run| run.as_object().cloned()).unwrap_or_default();
    if let Some(user) = &settings.user {
        run.insert("User".to_owned(), json!(user));
    }
    if !settings.exposed_ports.is_empty() {
        let mut ports =
            run.remove("ExposedPorts").and_then(|ports| ports.as_object().cloned()).unwrap_or_default();
        ports.extend(settings.exposed_ports.iter().map(|port| (port.clone(), json!({}))));
        run.insert("ExposedPorts".to_owned(), Value::Object(ports));
    }
    let environment = merged_environment(run.get("Env"), &settings.environment);
    if !environment.is_empty() {
        run.insert("Env".to_owned(), json!(environment));
    }
    if !settings.entrypoint.is_empty() {
        run.shift_remove("Cmd");
        run.insert("Entrypoint".to_owned(), json!(settings.entrypoint));
    }
    if !settings.cmd.is_empty() {
        run.insert("Cmd".to_owned(), json!(settings.cmd));
    }
    if let Some(directory) = &settings.working_directory {
        run.insert("WorkingDir".to_owned(), json!(directory));
    }
    if !settings.labels.is_empty() {
        let mut labels =
            run.remove("Labels").and_then(|labels| labels.as_object().cloned()).unwrap_or_default();
        labels.extend(settings.labels.iter().map(|(name, value)| (name.clone(), json!(value))));
        run.insert("Labels".to_owned(), Value::Object(labels));
    }
    let list = |place: Option<Value>| place.and_then(|list| list.as_array().cloned()).unwrap_or_default();
    let mut diff_ids = list(base.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")).cloned());
    diff_ids.push(json!(diff_id.as_str()));
    let created = settings.created.to_string();
    let mut history = list(base_member("history"));
    history.push(json!({ "created": created, "created_by": "landfall push" }));
    let mut config = base;
    config.insert("created".to_owned(), json!(created));
    for (name, value) in settings.platform.to_json().as_object().into_iter().flatten() {
        config.insert(name.clone(), value.clone());
    }
    config.insert("config".to_owned(), Value::Object(run));
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    config.insert("history".to_owned(), json!(history));
    config
}

/// The base's variables with those given in the place of their namesakes.
fn merged_environment(base: Option<&Value>, given: &[String]) -> Vec<String> {
    let name = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name).to_owned();
    let base = base.and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<String> = base.filter_map(|pair| Some(pair.as_str()?.to_owned())).collect();
    for pair in given {
        match all.iter_mut().find(|known| name(known) == name(pair)) {
            Some(known) => known.clone_from(pair),
            None => all.push(pair.clone()),
        }
    }
    all
}

fn layer(directory: &Path, settings: &Settings) -> Result<Layer, AssembleError> {
    let mtime = settings.created.seconds().max(0).unsigned_abs();
    layer::compress(directory.to_owned(), settings.compression, |plain| {
        let mut archive = tar::Builder::new(plain);
        add_tree(&mut archive, directory, mtime)?;
        archive.into_inner().map(drop).map_err(|cause| WriteError(cause).into())
    })
}

fn add_tree<W: Write>(archive: &mut tar::Builder<W>, root: &Path, mtime: u64) -> Result<(), AssembleError> {
    // A stack instead of recursion; names are pushed in reverse, so that they come out sorted.
    let mut pending: Vec<PathBuf> = sorted_names(root)?.into_iter().rev().map(PathBuf::from).collect();
    let mut count = 0usize;
    while let Some(name) = pending.pop() {
        count += 1;
        if count > ENTRIES_MAX {
            return Err(AssembleError::TooMany { directory: root.to_owned() });
        }
        let path = root.join(&name);
        let metadata = std::fs::symlink_metadata(&path).map_err(|cause| read_error(&path, cause))?;
        add_entry(archive, &path, &name, &metadata, mtime)?;
        if metadata.is_dir() {
            pending.extend(sorted_names(&path)?.into_iter().rev().map(|child| name.join(child)));
        }
    }
    Ok(())
}

fn sorted_names(directory: &Path) -> Result<Vec<OsString>, AssembleError> {
    let entries = std::fs::read_dir(directory).map_err(|cause| read_error(directory, cause))?;
    let names: io::Result<Vec<OsString>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = names.map_err(|cause| read_error(directory, cause))?;
    names.sort();
    Ok(names)
}

fn add_entry<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &Path,
    name: &Path,
    metadata: &Metadata,
    mtime: u64,
) -> Result<(), AssembleError> {
    let failed = |cause| read_error(path, cause);
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(0);
    if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        let target = std::fs::read_link(path).map_err(failed)?;
        archive.append_link(&mut header, name, target).map_err(failed)
    } else if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        // The slash at the end is what marks a directory for old readers.
        archive.append_data(&mut header, name.join(""), io::empty()).map_err(failed)
    } else if metadata.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if is_executable(metadata) { 0o755 } else { 0o644 });
        header.set_size(metadata.len());
        let file = File::open(path).map_err(failed)?;
        let exact = Exactly { inner: BufReader::with_capacity(READ_BYTES, file), left: metadata.len() };
        archive.append_data(&mut header, name, exact).map_err(failed)
    } else {
        Err(AssembleError::Special { path: path.to_owned() })
    }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

/// Gives exactly the bytes that the header promised, whatever happens to the file meanwhile.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..room).unwrap_or_default())?;
        if read == 0 && room > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

fn read_error(path: &Path, cause: io::Error) -> AssembleError {
    AssembleError::Read { path: path.to_owned(), cause }
}

/// Why a directory can't become an image.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// Something in the directory can't be read or doesn't fit into an archive.
    #[error("packing `{path}`")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A socket, a pipe or a device.
    #[error("packing `{path}`: only files, directories and symbolic links are expected")]
    Special {
        /// It.
        path: PathBuf,
    },
    /// Too many entries.
    #[error("`{directory}` holds more than {ENTRIES_MAX} files and directories")]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
    /// The image underneath.
    #[error("the base image can't be built on: {reason}")]
    Base {
        /// What was found.
        reason: String,
    },
    /// The temporary file.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<AssembleError> for Failure {
    fn from(error: AssembleError) -> Self {
        Failure::usage(error.to_string()).causes_of(&error)
    }
}

/// The media type of an image's configuration.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a compressed layer.
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An image's configuration, in bytes.
const CONFIG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Files and directories in one layer.
const ENTRIES_MAX: usize = 1_000_000;
/// Buffer between disk and archive.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
