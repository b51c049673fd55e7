//! The data directory: what a server keeps when it is told to (`--data DIR`), and for one server at a time.
//!
//! ```text
//! lock             held while a server runs; has its process id
//! records.sqlite   records (with -wal and -shm while it runs)
//! blobs/  uploads/ content of images, and what is still on its way
//! keys/            the server's own keys, readable for their owner alone
//! ```

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use landfall_types::Secret;

use crate::world::{FillRandom, RootKey};

/// Longest file of keys that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
/// Length of the key that seals sessions, in bytes.
const VAULT_KEY_BYTES: usize = 32;

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another server uses it.
    #[error("{dir} is in use by another landfall serve{}; stop that one, or choose another directory", of_process(.pid.as_deref()))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other server's process id, if it left one.
        pid: Option<String>,
    },
    /// A file can't be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A key is not what a server writes.
    #[error(
        "{path} is not {expected}; put it back from a copy, or remove it: sessions and tokens made with it end then"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

fn of_process(pid: Option<&str>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A data directory that is this server's alone while the value lives.
#[derive(Debug)]
pub struct DataDir {
    dir: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens a directory, or makes it, and takes it for this process.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        make_dir(dir)?;
        let path = dir.join("lock");
        let failed = |cause| DataError::Io { path: path.clone(), cause };
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = lock.take(32).read_to_string(&mut pid);
                let pid = Some(pid.trim().to_owned()).filter(|pid| read.is_ok() && !pid.is_empty());
                return Err(DataError::InUse { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // The id is a courtesy: the lock holds without it, also on a disk that has no room for it.
        let _ = lock.set_len(0).and_then(|()| lock.rewind());
        let _ = writeln!(lock, "{}", std::process::id());
        make_dir(&dir.join("keys"))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Where keys are.
    pub fn keys(&self) -> KeyDir {
        KeyDir { dir: self.dir.join("keys") }
    }
}

/// The folder of a server's own keys.
#[derive(Clone, Debug)]
pub struct KeyDir {
    dir: PathBuf,
}

impl KeyDir {
    /// The file of a key.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A key by name; none when there is none yet.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, DataError> {
        let path = self.dir.join(name);
        let read = || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            Err(cause) if io::Error::kind(&cause) == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(DataError::Io { path, cause }),
        }
    }

    /// Keeps a key: it is on the disk, whole, when this returns, and only its owner can read it.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn write(&self, name: &str, key: &Secret<Vec<u8>>) -> Result<(), DataError> {
        let (path, new) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let write = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(key.expose())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            sync_dir(&self.dir)
        };
        write().map_err(|cause| DataError::Io { path: path.clone(), cause })
    }

    fn bad(&self, name: &str, expected: &'static str) -> DataError {
        DataError::Key { path: self.dir.join(name), expected }
    }

    /// The key that seals sessions; made when the directory is new.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn vault_key(&self, fill_random: FillRandom) -> Result<Secret<[u8; VAULT_KEY_BYTES]>, DataError> {
        const NAME: &str = "vault";
        if let Some(kept) = self.read(NAME)? {
            let key = <[u8; VAULT_KEY_BYTES]>::try_from(kept.expose().as_slice());
            return key.map(Secret::new).map_err(|_| self.bad(NAME, "a key of 32 bytes"));
        }
        let mut key = [0; VAULT_KEY_BYTES];
        fill_random(&mut key);
        self.write(NAME, &Secret::new(key.to_vec()))?;
        Ok(Secret::new(key))
    }

    /// The root key of a server that others can reach: the kept one, or else this one, which is kept from
    /// now on. The file is what `AWS_SHARED_CREDENTIALS_FILE` wants.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn root_key(&self, new: RootKey) -> Result<RootKey, DataError> {
        let RootKey::Random { access_key_id, secret } = &new else { return Ok(new) };
        if let Some(kept) = self.read(ROOT_KEY_FILE)? {
            return read_root_key(kept.expose())
                .ok_or_else(|| self.bad(ROOT_KEY_FILE, "a credentials file with one key"));
        }
        let text = format!(
            "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {}\n",
            secret.expose()
        );
        self.write(ROOT_KEY_FILE, &Secret::new(text.into_bytes()))?;
        Ok(new)
    }

    /// Where the root key is.
    pub fn root_key_file(&self) -> PathBuf {
        self.dir.join(ROOT_KEY_FILE)
    }
}

const ROOT_KEY_FILE: &str = "root-credentials";

fn read_root_key(bytes: &[u8]) -> Option<RootKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let (id, secret) = (value("aws_access_key_id")?, value("aws_secret_access_key")?);
    (!id.is_empty() && !secret.is_empty())
        .then(|| RootKey::Random { access_key_id: id, secret: Secret::new(secret) })
}

fn make_dir(dir: &Path) -> Result<(), DataError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|cause| DataError::Io { path: dir.to_owned(), cause })
}

/// Makes names in a directory durable: a file's own sync does not.
///
/// # Errors
/// When the directory can't be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sevens(bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn nines(bytes: &mut [u8]) {
        bytes.fill(9);
    }

    fn root(secret: &str) -> RootKey {
        RootKey::Random { access_key_id: "AKIA".to_owned(), secret: Secret::new(secret.to_owned()) }
    }

    fn secret_of(key: RootKey) -> String {
        match key {
            RootKey::Random { secret, .. } => secret.expose().clone(),
            RootKey::WellKnown => String::new(),
        }
    }

    #[test]
    fn one_directory_is_for_one_server() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new/data");
        let first = DataDir::open(&place).unwrap();
        let told = DataDir::open(&place).unwrap_err().to_string();
        let expected = format!(
            "{} is in use by another landfall serve (process {}); stop that one, or choose another directory",
            place.display(),
            std::process::id()
        );
        assert_eq!(told, expected);
        drop(first);
        DataDir::open(&place).unwrap();
    }

    #[test]
    fn keys_are_made_once_and_are_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataDir::open(dir.path()).unwrap().keys();
        assert_eq!(keys.vault_key(sevens).unwrap().expose(), &[7; 32]);
        assert_eq!(keys.vault_key(nines).unwrap().expose(), &[7; 32]);
        assert_eq!(secret_of(keys.root_key(root("one")).unwrap()), "one");
        assert_eq!(secret_of(keys.root_key(root("two")).unwrap()), "one");
        assert!(matches!(keys.root_key(RootKey::WellKnown).unwrap(), RootKey::WellKnown));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("keys")), 0o700);
        for file in std::fs::read_dir(dir.path().join("keys")).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn a_broken_key_is_told_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataDir::open(dir.path()).unwrap().keys();
        std::fs::write(dir.path().join("keys/vault"), "short").unwrap();
        std::fs::write(dir.path().join("keys/root-credentials"), "[default]\n").unwrap();
        let told = keys.vault_key(sevens).unwrap_err().to_string();
        assert!(told.contains("/keys/vault is not a key of 32 bytes; put it back"), "{told}");
        let told = keys.root_key(root("one")).unwrap_err().to_string();
        assert!(told.contains("/keys/root-credentials is not a credentials file"), "{told}");
        assert_eq!(std::fs::read(dir.path().join("keys/vault")).unwrap(), b"short");
    }
}
