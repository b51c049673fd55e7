//! Records in a SQLite file: `records(kind, key, value)`, values being JSON.
//!
//! A write-ahead log that is synced with every commit, so that what was answered survives the process and
//! the machine. One commit takes whatever changes have come together ([`Store`](super::Store) gathers them).
//! <https://www.sqlite.org/wal.html>, <https://www.sqlite.org/pragma.html#pragma_synchronous>

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, params};

use super::records::{Change, Disk};

/// The file in the data directory.
pub const FILE_NAME: &str = "records.sqlite";
/// Which tables there are, and what their columns mean. Kinds of records have their own rules: a reader
/// takes fields that are missing for empty, so that an older file is read by a newer version.
const SCHEMA_VERSION: i64 = 1;
/// Marks the file as ours, for `file` and for whoever finds it: "LFAL".
const APPLICATION_ID: i64 = 0x4c46_414c;
/// What SQLite keeps of the file in memory, in KiB: records are read once, at the start.
const CACHE_KIB: i64 = 1_024;
/// The write-ahead log is cut back to this many bytes once its pages are in the file.
const LOG_BYTES_KEPT_MAX: i64 = 16 << 20;

/// A record as the file has it: kind, key, JSON.
pub type Kept = (String, String, String);

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A newer version of Landfall wrote it.
    #[error(
        "{file} has schema {found}, and this version reads up to {SCHEMA_VERSION}: a newer landfall wrote it; use that one, or another directory"
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It is some other program's.
    #[error("{file} is a database of another program; use another directory")]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// It can't be made or opened.
    #[error("{file} can't be opened")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// It can't be read or written.
    #[error("{file} can't be used")]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        #[source]
        cause: rusqlite::Error,
    },
}

/// The file, open for writing.
#[derive(Debug)]
pub struct SqliteDisk {
    connection: Mutex<Connection>,
}

impl SqliteDisk {
    /// Opens the file in a directory, or makes it, and reads all records.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(dir: &Path) -> Result<(Self, Vec<Kept>), DiskError> {
        let file = dir.join(FILE_NAME);
        let failed = |cause| DiskError::Sqlite { file: file.clone(), cause };
        // Access keys are in it: its owner's alone, like the files that SQLite makes beside it.
        let made = std::fs::File::options().append(true).create(true).mode(0o600).open(&file);
        made.map_err(|cause| DiskError::Io { file: file.clone(), cause })?;
        let mut connection = Connection::open(&file).map_err(failed)?;
        prepare(&mut connection, &file)?;
        let kept = read(&connection).map_err(failed)?;
        Ok((Self { connection: Mutex::new(connection) }, kept))
    }
}

fn prepare(connection: &mut Connection, file: &Path) -> Result<(), DiskError> {
    let failed = |cause| DiskError::Sqlite { file: file.to_owned(), cause };
    let number = |connection: &Connection, pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(failed)
    };
    let version = number(connection, "user_version")?;
    let application = number(connection, "application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (application, tables) {
        (APPLICATION_ID, _) | (0, 0) => {}
        _ => return Err(DiskError::Foreign { file: file.to_owned() }),
    }
    if version > SCHEMA_VERSION {
        return Err(DiskError::Newer { file: file.to_owned(), found: version });
    }
    let settings = |connection: &Connection| {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_KEPT_MAX, |_| Ok(()))
    };
    settings(connection).map_err(failed)?;
    if version < SCHEMA_VERSION {
        make(connection).map_err(failed)?;
    }
    Ok(())
}

/// The tables of an empty file. All of it or nothing: a crash leaves an empty file.
fn make(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction()?;
    change.execute_batch(
        "CREATE TABLE records (
             kind TEXT NOT NULL,
             key TEXT NOT NULL,
             value TEXT NOT NULL,
             PRIMARY KEY (kind, key)
         ) STRICT;",
    )?;
    change.pragma_update(None, "application_id", APPLICATION_ID)?;
    change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    change.commit()
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Kept>> {
    let mut all = connection.prepare("SELECT kind, key, value FROM records")?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

impl Disk for SqliteDisk {
    fn commit(&self, changes: &[Change]) -> Result<(), String> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        commit(&mut connection, changes).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// A disk whose troubles are told: when it begins to refuse changes, and when it takes them again.
#[derive(Debug)]
pub struct Watched<D> {
    disk: D,
    warn: fn(&str),
    is_refusing: AtomicBool,
}

impl<D: Disk> Watched<D> {
    /// Watches a disk.
    pub fn new(disk: D, warn: fn(&str)) -> Self {
        Self { disk, warn, is_refusing: AtomicBool::new(false) }
    }
}

impl<D: Disk> Disk for Watched<D> {
    fn commit(&self, changes: &[Change]) -> Result<(), String> {
        let result = self.disk.commit(changes);
        let was_refusing = self.is_refusing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_refusing => (self.warn)(&format!(
                "records can't be written ({error}): calls that change something are refused until they can"
            )),
            Ok(()) if was_refusing => (self.warn)("records are written again"),
            _ => {}
        }
        result
    }
}

fn commit(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    // A transaction that is dropped is rolled back: a disk that filled up half way keeps nothing of it.
    let whole = connection.transaction()?;
    {
        let mut put =
            whole.prepare("INSERT OR REPLACE INTO records (kind, key, value) VALUES (?1, ?2, ?3)")?;
        let mut remove = whole.prepare("DELETE FROM records WHERE kind = ?1 AND key = ?2")?;
        for Change { kind, key, value } in changes {
            match value {
                Some(value) => put.execute(params![kind, key, value])?,
                None => remove.execute(params![kind, key])?,
            };
        }
    }
    whole.commit()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn change(key: &str, value: Option<&str>) -> Change {
        Change { kind: "thing", key: key.to_owned(), value: value.map(str::to_owned) }
    }

    fn kept(dir: &Path) -> Vec<(String, String)> {
        let (_, kept) = SqliteDisk::open(dir).unwrap();
        kept.into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    #[test]
    fn what_was_committed_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, kept_at_first) = SqliteDisk::open(dir.path()).unwrap();
        assert!(kept_at_first.is_empty());
        disk.commit(&[change("a", Some("1")), change("b", Some("2"))]).unwrap();
        disk.commit(&[change("a", Some("3")), change("b", None), change("c", None)]).unwrap();
        // Not closed: what a process leaves behind that was killed.
        assert_eq!(kept(dir.path()), [("a".to_owned(), "3".to_owned())]);
        drop(disk);
        assert_eq!(kept(dir.path()), [("a".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn every_commit_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, _) = SqliteDisk::open(dir.path()).unwrap();
        let connection = disk.connection.lock().unwrap();
        let ask = |pragma| {
            connection
                .pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        // 2 is FULL.
        assert_eq!(ask("synchronous"), rusqlite::types::Value::Integer(2));
        assert_eq!(ask("journal_mode"), rusqlite::types::Value::Text("wal".to_owned()));
    }

    #[test]
    fn files_that_are_not_ours_to_read_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        let refused = || {
            let error = SqliteDisk::open(dir.path()).unwrap_err();
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let text = format!("{error}{}", cause.unwrap_or_default());
            text.replace(&dir.path().display().to_string(), "DIR")
        };

        drop(SqliteDisk::open(dir.path()).unwrap());
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 2).unwrap();
        let newer = "DIR/records.sqlite has schema 2, and this version reads up to 1: a newer landfall wrote it; use that one, or another directory";
        assert_eq!(refused(), newer);

        std::fs::remove_file(&file).unwrap();
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
        assert_eq!(refused(), "DIR/records.sqlite is a database of another program; use another directory");

        std::fs::write(&file, "not a database, and long enough to be told from an empty one".repeat(20))
            .unwrap();
        assert_eq!(refused(), "DIR/records.sqlite can't be used: file is not a database");
    }
}
