//! One image from one directory: a layer, a configuration, a manifest. The same input gives the same
//! digests on every machine.
//!
//! For that, entries are sorted, owners are 0:0, times are one given moment, and modes are one of
//! 0755 (directories, anything executable) and 0644: a checkout's modes depend on the umask.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use landfall_types::{Digest, Timestamp};
use serde_json::{Map, Value, json};
use tar::{EntryType, Header};

use crate::blob::{Blob, Hashing, Source};
use crate::failure::Failure;
use crate::layout::{Image, Manifest, OCI_MANIFEST};

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
            platform: Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None },
            created: Timestamp(0),
        }
    }
}

/// `OS/ARCHITECTURE[/VARIANT]`, in Go's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `linux/arm64` or `linux/arm/v7`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let fits =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(format!("`{text}` is not a platform: OS/ARCHITECTURE[/VARIANT] is expected")),
        };
        if !parts.iter().all(fits) {
            return Err(format!("`{text}` is not a platform: OS/ARCHITECTURE[/VARIANT] is expected"));
        }
        Ok(Self {
            os: (*os).to_owned(),
            architecture: (*architecture).to_owned(),
            variant: variant.map(|variant| (*variant).to_owned()),
        })
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

/// Builds the image. The layer goes into a temporary file, which the image keeps alive.
///
/// # Errors
/// See [`AssembleError`].
pub fn assemble(directory: &Path, settings: &Settings) -> Result<Image, AssembleError> {
    let layer = layer(directory, settings.created.seconds().max(0).unsigned_abs())?;
    let config = Blob::from_bytes(configuration(settings, &layer.diff_id).to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": config.digest.as_str(), "size": config.size },
        "layers": [{ "mediaType": OCI_LAYER, "digest": layer.blob.digest.as_str(), "size": layer.blob.size }],
    });
    let root = Manifest::new(OCI_MANIFEST, manifest.to_string().into_bytes());
    Ok(Image { root, children: Vec::new(), blobs: vec![config, layer.blob] })
}

fn configuration(settings: &Settings, diff_id: &Digest) -> Value {
    let mut run = Map::new();
    let mut set = |name: &str, value: Value| run.insert(name.to_owned(), value);
    if let Some(user) = &settings.user {
        set("User", json!(user));
    }
    for (name, list) in
        [("Env", &settings.environment), ("Entrypoint", &settings.entrypoint), ("Cmd", &settings.cmd)]
    {
        if !list.is_empty() {
            set(name, json!(list));
        }
    }
    if let Some(directory) = &settings.working_directory {
        set("WorkingDir", json!(directory));
    }
    if !settings.labels.is_empty() {
        set("Labels", json!(settings.labels));
    }
    let created = settings.created.to_string();
    let mut config = Map::new();
    config.insert("created".into(), json!(created));
    config.insert("architecture".into(), json!(settings.platform.architecture));
    if let Some(variant) = &settings.platform.variant {
        config.insert("variant".into(), json!(variant));
    }
    config.insert("os".into(), json!(settings.platform.os));
    config.insert("config".into(), Value::Object(run));
    config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": [diff_id.as_str()] }));
    config.insert("history".into(), json!([{ "created": created, "created_by": "landfall push" }]));
    Value::Object(config)
}

/// A compressed layer and the digest of what is in it.
struct Layer {
    blob: Blob,
    diff_id: Digest,
}

fn layer(directory: &Path, mtime: u64) -> Result<Layer, AssembleError> {
    let failed = |cause| AssembleError::Write { cause };
    let temporary = tempfile::NamedTempFile::new().map_err(failed)?;
    let file = BufWriter::with_capacity(WRITE_BYTES, temporary);
    let compressed = GzEncoder::new(Measuring::new(file), Compression::new(COMPRESSION));
    let mut archive = tar::Builder::new(Measuring::new(compressed));
    add_tree(&mut archive, directory, mtime)?;
    let (compressed, diff_id, _) = archive.into_inner().map_err(failed)?.finish();
    let (file, digest, size) = compressed.finish().map_err(failed)?.finish();
    let temporary = file.into_inner().map_err(|error| failed(error.into_error()))?;
    let source = Source::Temporary(Arc::new(temporary.into_temp_path()));
    Ok(Layer { blob: Blob { digest, size, source }, diff_id })
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

/// Hashes and counts what passes through.
struct Measuring<W> {
    inner: W,
    hashing: Hashing,
    length: u64,
}

impl<W> Measuring<W> {
    fn new(inner: W) -> Self {
        Self { inner, hashing: Hashing::sha256(), length: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hashing.finish(), self.length)
    }
}

impl<W: Write> Write for Measuring<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hashing.update(bytes.get(..written).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
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
    /// The temporary file.
    #[error("writing the layer to a temporary file")]
    Write {
        /// Why.
        #[source]
        cause: io::Error,
    },
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
/// Files and directories in one layer.
const ENTRIES_MAX: usize = 1_000_000;
/// gzip's middle way, and everybody's default.
const COMPRESSION: u32 = 6;
/// Buffer between archive and disk.
const WRITE_BYTES: usize = 256 * 1024;
/// Buffer between disk and archive.
const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
