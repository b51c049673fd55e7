//! A tar archive on disk, read by name without unpacking: its members stay where they are, and what is
//! sent is read from there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use crate::blob::{Held, Source};
use crate::failure::Failure;

/// The members of one archive.
#[derive(Clone, Debug)]
pub struct Archive {
    file: Arc<Held>,
    /// What messages call it.
    shown: PathBuf,
    members: Arc<BTreeMap<String, Member>>,
}

#[derive(Clone, Debug)]
enum Member {
    /// Where its bytes begin in the archive, and how many there are.
    File { offset: u64, size: u64 },
    /// Another member's name.
    Link(String),
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
        let length = read_start(&mut file, &mut magic).map_err(failed)?;
        match kind(magic.get(..length).unwrap_or_default()) {
            Kind::Plain => Self::index(Held::Path(path.to_owned()), path.to_owned()),
            Kind::Gzip => {
                file.rewind().map_err(failed)?;
                Self::spool(MultiGzDecoder::new(BufReader::new(file)), path)
            }
            Kind::Other(what) => Err(ArchiveError::Compressed { path: path.to_owned(), what }),
        }
    }

    /// Keeps a stream in a temporary file and opens that. `shown` is what messages call it.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn receive(mut stream: impl Read, shown: &Path) -> Result<Self, ArchiveError> {
        let failed = |cause| ArchiveError::Read { path: shown.to_owned(), cause };
        let mut magic = [0; MAGIC_BYTES];
        let length = read_start(&mut stream, &mut magic).map_err(failed)?;
        let start = magic.get(..length).unwrap_or_default();
        match kind(start) {
            Kind::Plain => Self::spool(start.chain(stream), shown),
            Kind::Gzip => Self::spool(MultiGzDecoder::new(BufReader::new(start.chain(stream))), shown),
            Kind::Other(what) => Err(ArchiveError::Compressed { path: shown.to_owned(), what }),
        }
    }

    fn spool(mut stream: impl Read, shown: &Path) -> Result<Self, ArchiveError> {
        let mut temporary = tempfile::NamedTempFile::new().map_err(ArchiveError::Temporary)?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            // Reading and writing apart: a full disk and a broken archive are different news.
            let read = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(ArchiveError::Read { path: shown.to_owned(), cause }),
            };
            temporary.write_all(buffer.get(..read).unwrap_or_default()).map_err(ArchiveError::Temporary)?;
        }
        Self::index(Held::Temporary(temporary.into_temp_path()), shown.to_owned())
    }

    /// Opens an archive that is in a temporary file already.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn of_temporary(file: tempfile::TempPath, shown: &Path) -> Result<Self, ArchiveError> {
        Self::index(Held::Temporary(file), shown.to_owned())
    }

    fn index(file: Held, shown: PathBuf) -> Result<Self, ArchiveError> {
        let malformed = |cause| ArchiveError::NotTar { path: shown.clone(), cause };
        let opened = File::open(file.path());
        let opened = opened.map_err(|cause| ArchiveError::Read { path: shown.clone(), cause })?;
        let length = opened.metadata().map(|metadata| metadata.len()).map_err(malformed)?;
        let mut tar = tar::Archive::new(opened);
        let mut members = BTreeMap::new();
        for entry in tar.entries_with_seek().map_err(malformed)? {
            let entry = entry.map_err(malformed)?;
            if members.len() >= MEMBERS_MAX {
                return Err(ArchiveError::TooMany { path: shown });
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(name) = tidy(&name, "") else { continue };
            let (offset, size) = (entry.raw_file_position(), entry.size());
            let member = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(ArchiveError::CutShort { path: shown, member: name });
                    }
                    Member::File { offset, size }
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let folder = match entry.header().entry_type() {
                        EntryType::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                        _ => "",
                    };
                    let Some(target) = tidy(&String::from_utf8_lossy(&target), folder) else { continue };
                    Member::Link(target)
                }
                _ => continue,
            };
            members.insert(name, member);
        }
        Ok(Self { file: Arc::new(file), shown, members: Arc::new(members) })
    }

    /// Whether there is such a member.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// What messages call a member.
    pub fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}:{name}", self.shown.display()))
    }

    /// The file that it is in.
    pub fn path(&self) -> &Path {
        self.file.path()
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

    /// A reader of a member's content.
    ///
    /// # Errors
    /// When it isn't there or can't be read.
    pub fn reader(&self, name: &str) -> Result<impl Read + use<>, ArchiveError> {
        let (offset, size) = self.find(name).ok_or_else(|| self.missing(name))?;
        let failed = |cause| ArchiveError::Read { path: self.place(name), cause };
        let mut file = File::open(self.file.path()).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok(file.take(size))
    }

    /// A whole member of at most `limit` bytes.
    ///
    /// # Errors
    /// When it isn't there, can't be read or is longer.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        let failed = |cause| ArchiveError::Read { path: self.place(name), cause };
        let mut bytes = Vec::new();
        self.reader(name)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(failed(io::Error::other(format!("it is longer than {limit} bytes"))));
        }
        Ok(bytes)
    }

    fn missing(&self, name: &str) -> ArchiveError {
        ArchiveError::Missing { path: self.shown.clone(), member: name.to_owned() }
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = tidy(name, "")?;
        for _ in 0..LINKS_MAX {
            match self.members.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

/// What the first bytes of a file say about it.
enum Kind {
    Plain,
    Gzip,
    Other(&'static str),
}

fn kind(start: &[u8]) -> Kind {
    match start {
        [0x1f, 0x8b, ..] => Kind::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Other("zstd"),
        [0xfd, b'7', b'z', b'X', ..] => Kind::Other("xz"),
        [b'B', b'Z', b'h', ..] => Kind::Other("bzip2"),
        _ => Kind::Plain,
    }
}

fn read_start(file: &mut impl Read, start: &mut [u8; MAGIC_BYTES]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = start.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
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
const MAGIC_BYTES: usize = 4;
/// One read of a stream.
const COPY_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
