//! A tar archive on disk, read by name without unpacking: its members stay where they are, and what is
//! sent is read from there.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::{Entry, EntryType};

use crate::blob::Source;
use crate::compress::Format;
use crate::failure::Failure;
use crate::layer::{self, Layer, WriteError};
use crate::read::{self, At};

/// The members of one archive.
#[derive(Clone, Debug)]
pub struct Archive {
    file: Arc<File>,
    /// What messages call it.
    shown: PathBuf,
    members: Arc<BTreeMap<String, Member>>,
}

#[derive(Clone, Debug)]
enum Member {
    /// Where its bytes begin in the archive, and how many there are.
    File { offset: u64, size: u64 },
    /// A layer that was compressed as it came.
    Layer(Layer),
    /// Another member's name.
    Link(String),
}

/// Which members of a stream are an image's layers as an engine has them: those are compressed as they come, and
/// never written as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layers {
    /// Archives, but for those whose names say that they may be an OCI layout's, where each byte counts.
    OutsideOfLayouts,
    /// Every archive.
    All,
}

impl Archive {
    /// Opens an archive; one that is compressed with gzip is unpacked into a temporary file.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |cause| ArchiveError::Read { path: path.to_owned(), cause };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::Error::other("it is a directory, a file is expected")));
        }
        let mut magic = [0; MAGIC_BYTES];
        let length = read::start(&mut file, &mut magic).map_err(failed)?;
        match Compression::of(magic.get(..length).unwrap_or_default()) {
            // What can't be told by its place, such as a pipe, is read from front to back.
            Compression::None if file.rewind().is_ok() => Self::index(file, path.to_owned()),
            Compression::None => Self::unpack(
                magic.get(..length).unwrap_or_default().chain(file),
                path,
                Layers::OutsideOfLayouts,
            ),
            _ => Self::receive(magic.get(..length).unwrap_or_default().chain(file), path),
        }
    }

    /// Keeps what comes in a temporary file, with the layers of an image compressed. `shown` is what messages call it.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn receive(mut stream: impl Read, shown: &Path) -> Result<Self, ArchiveError> {
        let failed = |cause| ArchiveError::Read { path: shown.to_owned(), cause };
        let mut magic = [0; MAGIC_BYTES];
        let length = read::start(&mut stream, &mut magic).map_err(failed)?;
        let start = magic.get(..length).unwrap_or_default();
        let stream = start.chain(stream);
        match Compression::of(start) {
            Compression::None => Self::unpack(stream, shown, Layers::OutsideOfLayouts),
            Compression::Gzip => {
                let plain = MultiGzDecoder::new(BufReader::with_capacity(read::PIECE_BYTES, stream));
                Self::unpack(plain, shown, Layers::OutsideOfLayouts)
            }
            other => Err(ArchiveError::Compressed { path: shown.to_owned(), what: other.name() }),
        }
    }

    /// The same of what an engine saves, which never is compressed and always has its layers as they are.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn receive_saved(stream: impl Read, shown: &Path) -> Result<Self, ArchiveError> {
        Self::unpack(stream, shown, Layers::All)
    }

    fn unpack(stream: impl Read, shown: &Path, layers: Layers) -> Result<Self, ArchiveError> {
        let is_broken = Cell::new(false);
        let mut tar = tar::Archive::new(Noting { inner: stream, is_broken: &is_broken });
        // Where the stream itself breaks, it's no matter of what is in it.
        let malformed = |cause| match is_broken.get() {
            true => ArchiveError::Read { path: shown.to_owned(), cause },
            false => ArchiveError::NotTar { path: shown.to_owned(), cause },
        };
        let temporary = tempfile::tempfile().map_err(ArchiveError::Temporary)?;
        let mut file = BufWriter::with_capacity(read::PIECE_BYTES, temporary);
        let (mut members, mut offset) = (BTreeMap::new(), 0);
        for entry in tar.entries().map_err(malformed)? {
            let mut entry = entry.map_err(malformed)?;
            let Some((name, kind)) = member(&entry, members.len(), shown)? else { continue };
            let size = match kind {
                Found::File(size) => size,
                Found::Link(target) => {
                    members.insert(name, Member::Link(target));
                    continue;
                }
            };
            let cut_short = || ArchiveError::CutShort { path: shown.to_owned(), member: name.clone() };
            let mut start = [0; TAR_MAGIC_END];
            let length = read::start(&mut entry, &mut start).map_err(malformed)?;
            let start = start.get(..length).unwrap_or_default();
            let mut content = start.chain(entry);
            let is_layer = is_tar(start) && (layers == Layers::All || !name.starts_with(LAYOUT_BLOBS));
            let (member, read) = if is_layer {
                let mut read = 0;
                let place = member_of(shown, &name);
                let layer = layer::compress(place, Format::default(), |plain| {
                    read = read::pieces(&mut content, malformed, |piece| {
                        plain.write_all(piece).map_err(|cause| WriteError(cause).into())
                    })?;
                    Ok::<_, ArchiveError>(())
                })?;
                (Member::Layer(layer), read)
            } else {
                let write = |piece: &[u8]| file.write_all(piece).map_err(ArchiveError::Temporary);
                let read = read::pieces(&mut content, malformed, write)?;
                (Member::File { offset, size }, read)
            };
            if read != size {
                return Err(cut_short());
            }
            if matches!(member, Member::File { .. }) {
                offset += size;
            }
            members.insert(name, member);
        }
        // Whoever writes the stream is heard out: what follows the last member is padding.
        let mut rest = tar.into_inner();
        read::pieces(&mut rest, malformed, |_| Ok(()))?;
        let file = file.into_inner().map_err(|error| ArchiveError::Temporary(error.into_error()))?;
        Ok(Self { file: Arc::new(file), shown: shown.to_owned(), members: Arc::new(members) })
    }

    fn index(file: File, shown: PathBuf) -> Result<Self, ArchiveError> {
        let malformed = |cause| ArchiveError::NotTar { path: shown.clone(), cause };
        let length = file.metadata().map(|metadata| metadata.len()).map_err(malformed)?;
        let file = Arc::new(file);
        let mut tar = tar::Archive::new(At::new(Arc::clone(&file), 0));
        let mut members = BTreeMap::new();
        for entry in tar.entries_with_seek().map_err(malformed)? {
            let entry = entry.map_err(malformed)?;
            let Some((name, kind)) = member(&entry, members.len(), &shown)? else { continue };
            let member = match kind {
                Found::File(size) => {
                    let offset = entry.raw_file_position();
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(ArchiveError::CutShort { path: shown, member: name });
                    }
                    Member::File { offset, size }
                }
                Found::Link(target) => Member::Link(target),
            };
            members.insert(name, member);
        }
        Ok(Self { file, shown, members: Arc::new(members) })
    }

    /// Whether there is such a member.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// What messages call a member.
    pub fn place(&self, name: &str) -> PathBuf {
        member_of(&self.shown, name)
    }

    /// What messages call the archive.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// A member's content as something to send, and its size in bytes.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`].
    pub fn part(&self, name: &str) -> Result<(Source, u64), ArchiveError> {
        let (offset, size) = self.find(name).ok_or_else(|| self.missing(name))?;
        Ok((Source::Part { file: Arc::clone(&self.file), offset, place: self.place(name) }, size))
    }

    /// The layer of this name that was compressed as it came.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        match self.resolve(name)? {
            Member::Layer(layer) => Some(layer),
            _ => None,
        }
    }

    /// A reader of a member's content.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn reader(&self, name: &str) -> Result<impl Read + use<>, ArchiveError> {
        let (offset, size) = self.find(name).ok_or_else(|| self.missing(name))?;
        Ok(At::new(Arc::clone(&self.file), offset).take(size))
    }

    /// A whole member of at most `limit` bytes.
    ///
    /// # Errors
    /// When it isn't there, can't be read or is longer.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        read::whole(self.reader(name)?, limit)
            .map_err(|cause| ArchiveError::Read { path: self.place(name), cause })
    }

    fn missing(&self, name: &str) -> ArchiveError {
        ArchiveError::Missing { path: self.shown.clone(), member: name.to_owned() }
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        match self.resolve(name)? {
            Member::File { offset, size } => Some((*offset, *size)),
            _ => None,
        }
    }

    fn resolve(&self, name: &str) -> Option<&Member> {
        let mut name = tidy(name, "")?;
        for _ in 0..LINKS_MAX {
            match self.members.get(&name)? {
                Member::Link(target) => name.clone_from(target),
                member => return Some(member),
            }
        }
        None
    }
}

/// A reader that keeps in mind whether it failed.
struct Noting<'a, R> {
    inner: R,
    is_broken: &'a Cell<bool>,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read::some(&mut self.inner, buffer);
        self.is_broken.set(self.is_broken.get() || read.is_err());
        read
    }
}

/// What an entry of an archive is.
enum Found {
    /// So many bytes.
    File(u64),
    /// Another member's name.
    Link(String),
}

/// An entry's name, without any way out, and what it is; none for what holds nothing.
fn member<R: Read>(
    entry: &Entry<'_, R>,
    count: usize,
    shown: &Path,
) -> Result<Option<(String, Found)>, ArchiveError> {
    if count >= MEMBERS_MAX {
        return Err(ArchiveError::TooMany { path: shown.to_owned() });
    }
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let Some(name) = tidy(&name, "") else { return Ok(None) };
    let kind = entry.header().entry_type();
    let folder = match kind {
        EntryType::Regular | EntryType::Continuous => {
            return Ok(Some((name, Found::File(entry.size()))));
        }
        EntryType::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
        EntryType::Link => "",
        _ => return Ok(None),
    };
    let target = entry.link_name_bytes().unwrap_or_default();
    let target = tidy(&String::from_utf8_lossy(&target), folder);
    Ok(target.map(|target| (name, Found::Link(target))))
}

fn member_of(shown: &Path, name: &str) -> PathBuf {
    PathBuf::from(format!("{}:{name}", shown.display()))
}

/// What the first bytes of a file say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// None that is known.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// From the first four bytes, or as many as there are.
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Whether a file that begins so is an archive (POSIX `ustar` and GNU's).
fn is_tar(start: &[u8]) -> bool {
    start.get(TAR_MAGIC_END - 5..) == Some(b"ustar")
}

/// A name without `.`, `..` and doubled slashes, seen from `folder`; none when it leads out.
fn tidy(name: &str, folder: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let folder = if name.starts_with('/') { "" } else { folder };
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Why an archive can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It can't be read.
    #[error("reading `{path}`")]
    Read {
        /// The archive, or the archive and its member.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It isn't an archive.
    #[error("`{path}` is not a tar archive")]
    NotTar {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file ends within a member.
    #[error("`{path}` is cut short: it ends within `{member}`")]
    CutShort {
        /// The file.
        path: PathBuf,
        /// The member.
        member: String,
    },
    /// It is compressed in a way that isn't read here.
    #[error("`{path}` is compressed with {what}: a tar archive, plain or with gzip, is expected")]
    Compressed {
        /// The file.
        path: PathBuf,
        /// With what.
        what: &'static str,
    },
    /// A member isn't there.
    #[error("`{path}` holds no `{member}`")]
    Missing {
        /// The archive.
        path: PathBuf,
        /// The member's name.
        member: String,
    },
    /// Too many members.
    #[error("`{path}` holds more than {MEMBERS_MAX} files")]
    TooMany {
        /// The archive.
        path: PathBuf,
    },
    /// The temporary file for a layer.
    #[error(transparent)]
    Layer(#[from] WriteError),
    /// The temporary file.
    #[error("writing an archive to a temporary file (TMPDIR says where)")]
    Temporary(#[source] io::Error),
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Failure::usage(error.to_string()).causes_of(&error)
    }
}

/// Members of an archive.
const MEMBERS_MAX: usize = 100_000;
/// Links that lead to links.
const LINKS_MAX: usize = 8;
/// What tells compressions apart.
pub const MAGIC_BYTES: usize = 4;
/// Where an archive has said that it is one.
const TAR_MAGIC_END: usize = 262;
/// Where an OCI layout has its blobs.
const LAYOUT_BLOBS: &str = "blobs/";

#[cfg(test)]
mod tests;
