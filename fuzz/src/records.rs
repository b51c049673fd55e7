//! A data directory that something happened to. Either records as lines `KIND KEY JSON`, the parts of the key with
//! `|` between them, or the bytes of `records.sqlite` itself. The server says what is wrong with them, or takes them:
//! then it answers questions, lets time pass, and starts once more.

use landfall_serve::store::KINDS;
use landfall_serve::store::disk::{FILE_NAME, SqliteDisk};
use landfall_serve::store::records::{Change, Disk as _, KEY_SEPARATOR};
use landfall_serve::world::RegistryMode;

use super::side::{Kept, Side, folder};

/// Calls that look at what is there and change some of it.
const QUESTIONS: &str = include_str!("records/questions");
/// How a database begins. <https://www.sqlite.org/fileformat.html#magic_header_string>
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let place = folder();
    if bytes.starts_with(MAGIC) {
        std::fs::write(place.path().join(FILE_NAME), bytes).expect("a file");
    } else if !write(place.path(), super::text(bytes)) {
        return;
    }
    for _ in 0..2 {
        let Ok(mut side) = Side::new(&Kept::Data(place.path()), RegistryMode::StrictOci) else { return };
        for call in QUESTIONS.split("\n%%\n") {
            let _ = side.call(call);
        }
    }
}

/// Whether any of the lines is a record.
fn write(place: &std::path::Path, text: &str) -> bool {
    let records = text.lines().filter_map(|line| {
        let (kind, rest) = line.split_once(' ')?;
        let (key, json) = rest.split_once(' ')?;
        let kind = KINDS.iter().find(|known| known.name == kind)?.name;
        let key = key.replace('|', &KEY_SEPARATOR.to_string());
        Some(Change { kind, key, value: Some(json.to_owned()) })
    });
    let records: Vec<Change> = records.collect();
    let Ok((disk, _)) = SqliteDisk::open(place) else { return false };
    !records.is_empty() && disk.commit(&records).is_ok()
}
