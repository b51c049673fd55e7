//! The audit file: every record as one line of JSON, appended.
//!
//! It is written by a thread of its own: calls don't wait for it, and a disk that is full costs lines, never
//! calls. What was lost is counted, and stands in the file (`{"event":"gap","missed":N}`) once there is room
//! again. The file may be moved away at any time: the next line goes to a new one of the same name.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use landfall_types::SourceMap;

use super::{DecisionLog, Follower, Record, json};

/// Text that is gathered before it is written, in bytes.
const BATCH_BYTES: usize = 256 << 10;

/// Is told when lines begin to be lost, and when they are written again.
pub type Tell = Box<dyn Fn(&str) + Send>;

/// The writer of an audit file. It ends when the log is closed.
#[derive(Debug)]
pub struct Audit {
    thread: JoinHandle<()>,
}

impl Audit {
    /// Appends all further records of a log to a file, which is made if it isn't there, readable for its
    /// owner alone.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn begin(log: &DecisionLog, path: &Path, sources: SourceMap, tell: Tell) -> io::Result<Self> {
        let mut file = AuditFile { path: path.to_owned(), file: open(path)?, missed: 0, tell };
        let mut follower = log.follow();
        let work = move || {
            while let Some(record) = follower.next_blocking() {
                let (text, lines) = batch(&record, &mut follower, &sources);
                file.missed += follower.take_missed();
                file.append(text, lines);
            }
            file.append(Vec::new(), 0);
        };
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(work)?;
        Ok(Self { thread })
    }

    /// Waits until all that was logged is written; the log has to be closed.
    pub fn finish(self) {
        // A writer that panicked has nothing left to wait for.
        let _ = self.thread.join();
    }
}

/// A record and what waits behind it, as text.
fn batch(first: &Arc<Record>, follower: &mut Follower, sources: &SourceMap) -> (Vec<u8>, u64) {
    let mut text = Vec::new();
    let (mut next, mut lines) = (Some(Arc::clone(first)), 0);
    while let Some(record) = next {
        json::record(&record, sources).write_line(&mut text);
        lines += 1;
        next = if text.len() < BATCH_BYTES { follower.next_waiting() } else { None };
    }
    (text, lines)
}

struct AuditFile {
    path: PathBuf,
    file: File,
    /// Lines that were lost and are not told in the file yet.
    missed: u64,
    tell: Tell,
}

impl AuditFile {
    fn append(&mut self, mut text: Vec<u8>, lines: u64) {
        let had_missed = self.missed;
        if self.missed > 0 {
            text.splice(0..0, format!("{}\n", json::gap(self.missed)).into_bytes());
        }
        if text.is_empty() {
            return;
        }
        match self.write(&text) {
            Ok(()) if had_missed > 0 => {
                self.missed = 0;
                (self.tell)(&format!(
                    "the audit file {} is written again; {had_missed} records are not in it",
                    self.path.display()
                ));
            }
            Ok(()) => {}
            Err(error) => {
                self.missed += lines;
                if had_missed == 0 {
                    (self.tell)(&format!(
                        "the audit file {} can't be written ({error}); calls are answered, and their records are lost until it can",
                        self.path.display()
                    ));
                }
            }
        }
    }

    /// Writes all of it or nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !is_same(&self.file.metadata()?, std::fs::metadata(&self.path).ok().as_ref()) {
            self.file = open(&self.path)?;
        }
        let before = self.file.metadata()?;
        self.file.write_all(bytes).inspect_err(|_| {
            // Half a line would make the next one unreadable. What can't be cut (a pipe) has no end either.
            if before.is_file() {
                let _ = self.file.set_len(before.len());
            }
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create(true).mode(0o600).open(path)
}

fn is_same(open: &Metadata, named: Option<&Metadata>) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    named.is_some_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use landfall_types::Timestamp;

    use super::super::tests::refusal;
    use super::*;

    fn silent() -> Tell {
        Box::new(|_| {})
    }

    /// Logs some records, ends the log, and gives what is in the file.
    fn logged(path: &Path, count: usize, tell: Tell) -> String {
        let log = DecisionLog::new();
        let audit = Audit::begin(&log, path, SourceMap::new(), tell).unwrap();
        (0..count).for_each(|number| drop(log.add(Timestamp(0), refusal(&format!("r{number}"), "who"))));
        log.close();
        audit.finish();
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn each_record_is_a_line_and_a_file_is_gone_on_with() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        assert_eq!(logged(&path, 3, silent()).lines().count(), 3);
        let text = logged(&path, 2, silent());
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[1]["request_id"], "r1");
        assert_eq!(lines[4]["outcome"], "refused");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("audit"), dir.path().join("audit.1"));
        let mut file =
            AuditFile { path: path.clone(), file: open(&path).unwrap(), missed: 0, tell: silent() };
        file.append(b"one\n".to_vec(), 1);
        std::fs::rename(&path, &moved).unwrap();
        file.append(b"two\n".to_vec(), 1);
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_costs_lines_and_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        // A device that has no room, behind the name that the file has.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        let tell: Tell = Box::new(move |text| hear.lock().unwrap().push(text.to_owned()));
        let mut file = AuditFile { path: path.clone(), file: open(&path).unwrap(), missed: 0, tell };
        file.append(b"one\n".to_vec(), 1);
        file.append(b"two\nthree\n".to_vec(), 2);
        std::fs::remove_file(&path).unwrap();
        file.append(b"four\n".to_vec(), 1);
        let expected = "{\"event\":\"gap\",\"missed\":3}\nfour\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("No space left on device"), "{told:?}");
        assert!(told[1].ends_with("is written again; 3 records are not in it"), "{told:?}");
    }
}
