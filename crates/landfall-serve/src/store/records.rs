//! Records by kind and key: read from memory, and written through to a [`Disk`].
//!
//! All reads are answered from memory. Writes are taken one at a time: a change is put together against
//! what is there, handed to the disk as a whole, and becomes visible when the disk has it. Readers never
//! wait for the disk, and nobody sees a change that could still be lost.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What separates the parts of a key: no name, ARN or digest has it.
pub const KEY_SEPARATOR: char = '\u{1f}';

/// Something that the store keeps.
pub trait Record: Any + Send + Sync + Debug + Clone + Serialize + DeserializeOwned {
    /// What these records are called on disk. Never changed once it was released.
    const KIND: &'static str;

    /// Where this record is found: parts made by [`key`], the widest first, so that a prefix of them
    /// lists everything within (all roles of an account, all images of a repository).
    fn key(&self) -> String;
}

/// A key made of parts: `123456789012␟deploy`.
pub fn key(parts: &[&str]) -> String {
    parts.join(&KEY_SEPARATOR.to_string())
}

/// The prefix of all keys that begin with these parts and have more of them.
pub fn within(parts: &[&str]) -> String {
    let mut prefix = key(parts);
    if !parts.is_empty() {
        prefix.push(KEY_SEPARATOR);
    }
    prefix
}

/// One record as the disk sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// [`Record::KIND`].
    pub kind: &'static str,
    /// [`Record::key`].
    pub key: String,
    /// The record as JSON; none when it was removed.
    pub value: Option<String>,
}

/// Where records are kept beyond this process. Time and place are its own business; what it is asked
/// for is that a change is kept whole or not at all.
pub trait Disk: Send + Sync + Debug {
    /// Keeps a change: durable when this returns.
    ///
    /// # Errors
    /// A sentence on why nothing of it was kept.
    fn commit(&self, changes: &[Change]) -> Result<(), String>;
}

/// Why a write did not happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// There is one already.
    Exists,
    /// There is none.
    Missing,
    /// The disk did not take it: it is full, or broken.
    Disk(String),
}

type Row = Arc<dyn Any + Send + Sync>;
type Rows = BTreeMap<&'static str, BTreeMap<String, Row>>;

/// How records of a kind come back from their JSON.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// [`Record::KIND`].
    pub name: &'static str,
    read: fn(&str) -> Result<Row, serde_json::Error>,
}

impl Kind {
    /// The kind of a type.
    pub const fn of<R: Record>() -> Self {
        Self { name: R::KIND, read: read_row::<R> }
    }
}

fn read_row<R: Record>(json: &str) -> Result<Row, serde_json::Error> {
    let record: R = serde_json::from_str(json)?;
    Ok(Arc::new(record))
}

/// What the AWS side remembers.
#[derive(Debug)]
pub struct Store {
    rows: RwLock<Rows>,
    writing: Mutex<()>,
    disk: Option<Box<dyn Disk>>,
}

impl Default for Store {
    fn default() -> Self {
        Self::in_memory()
    }
}

impl Store {
    /// A store that is gone when the process ends.
    pub fn in_memory() -> Self {
        Self { rows: RwLock::default(), writing: Mutex::default(), disk: None }
    }

    /// A store that starts with what a disk has (kind, key, JSON) and writes through to it.
    ///
    /// # Errors
    /// A sentence that names a record which can't be read, or whose kind is not among `kinds`.
    pub fn on_disk(
        disk: Box<dyn Disk>,
        kinds: &[Kind],
        kept: impl IntoIterator<Item = (String, String, String)>,
    ) -> Result<Self, String> {
        let mut rows = Rows::new();
        for (name, key, json) in kept {
            let kind = kinds.iter().find(|kind| kind.name == name).ok_or_else(|| {
                format!("there is a record of kind `{name}`, which this version does not know: a newer one wrote it")
            })?;
            let row = (kind.read)(&json).map_err(|error| {
                format!("the {name} `{}` can't be read: {error}", key.replace(KEY_SEPARATOR, " "))
            })?;
            rows.entry(kind.name).or_default().insert(key, row);
        }
        Ok(Self { rows: RwLock::new(rows), writing: Mutex::default(), disk: Some(disk) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record.
    pub fn get<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        typed(self.read().get(R::KIND)?.get(key)?)
    }

    /// All records whose keys begin with a prefix (see [`within`]), by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Vec<Arc<R>> {
        starting(self.read().get(R::KIND), prefix).filter_map(|(_, row)| typed(row)).collect()
    }

    /// How many records have keys that begin with a prefix.
    pub fn count<R: Record>(&self, prefix: &str) -> usize {
        starting(self.read().get(R::KIND), prefix).count()
    }

    /// Makes a change of any number of records: all of it happens, or, when `change` or the disk fails,
    /// nothing.
    ///
    /// # Errors
    /// What `change` says, or [`StoreError::Disk`].
    pub fn write<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writing = Writing { store: self, pending: BTreeMap::new() };
        let answer = change(&mut writing)?;
        let pending = writing.pending;
        if pending.is_empty() {
            return Ok(answer);
        }
        if let Some(disk) = &self.disk {
            disk.commit(&changes(&pending)?).map_err(StoreError::Disk)?;
        }
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for ((kind, key), change) in pending {
            let table = rows.entry(kind).or_default();
            match change {
                Some(pending) => table.insert(key, pending.row),
                None => table.remove(&key),
            };
        }
        Ok(answer)
    }
}

fn typed<R: Record>(row: &Row) -> Option<Arc<R>> {
    Arc::clone(row).downcast().ok()
}

fn starting<'a>(
    table: Option<&'a BTreeMap<String, Row>>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Row)> {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let rows = table.into_iter().flat_map(move |table| table.range::<str, _>(from));
    rows.take_while(move |(key, _)| key.starts_with(prefix))
}

/// A record that is about to be written, and how it becomes JSON.
struct Pending {
    row: Row,
    json: fn(&Row) -> Result<String, String>,
}

type PendingChanges = BTreeMap<(&'static str, String), Option<Pending>>;

fn changes(pending: &PendingChanges) -> Result<Vec<Change>, StoreError> {
    let change = |((kind, key), change): (&(&'static str, String), &Option<Pending>)| {
        let value = change.as_ref().map(|pending| (pending.json)(&pending.row)).transpose();
        Ok(Change { kind, key: key.clone(), value: value.map_err(StoreError::Disk)? })
    };
    pending.iter().map(change).collect()
}

fn json_of<R: Record>(row: &Row) -> Result<String, String> {
    let record = row.downcast_ref::<R>().ok_or("a record is not of its own kind")?;
    serde_json::to_string(record).map_err(|error| format!("the {} has no JSON: {error}", R::KIND))
}

/// A change that is being put together. It sees what is there with its own changes.
pub struct Writing<'a> {
    store: &'a Store,
    pending: PendingChanges,
}

impl Writing<'_> {
    /// One record.
    pub fn get<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        match self.pending.get(&(R::KIND, key.to_owned())) {
            Some(change) => change.as_ref().and_then(|pending| typed(&pending.row)),
            None => self.store.get(key),
        }
    }

    /// All records whose keys begin with a prefix, by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Vec<Arc<R>> {
        let rows = self.store.read();
        let mut seen: BTreeMap<&str, Arc<R>> = starting(rows.get(R::KIND), prefix)
            .filter_map(|(key, row)| typed(row).map(|row| (key.as_str(), row)))
            .collect();
        for ((kind, key), change) in &self.pending {
            if *kind != R::KIND || !key.starts_with(prefix) {
                continue;
            }
            match change.as_ref().and_then(|pending| typed(&pending.row)) {
                Some(row) => seen.insert(key, row),
                None => seen.remove(key.as_str()),
            };
        }
        seen.into_values().collect()
    }

    /// Writes a record over whatever has its key.
    pub fn put<R: Record>(&mut self, record: R) {
        let key = record.key();
        self.pending.insert((R::KIND, key), Some(Pending { row: Arc::new(record), json: json_of::<R> }));
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub fn insert<R: Record>(&mut self, record: R) -> Result<(), StoreError> {
        if self.get::<R>(&record.key()).is_some() {
            return Err(StoreError::Exists);
        }
        self.put(record);
        Ok(())
    }

    /// Changes a record that keeps its key.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub fn update<R: Record>(&mut self, key: &str, change: impl FnOnce(&mut R)) -> Result<(), StoreError> {
        let mut record = R::clone(&*self.get::<R>(key).ok_or(StoreError::Missing)?);
        change(&mut record);
        self.put(record);
        Ok(())
    }

    /// Removes a record.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub fn remove<R: Record>(&mut self, key: &str) -> Result<(), StoreError> {
        if self.get::<R>(key).is_none() {
            return Err(StoreError::Missing);
        }
        self.pending.insert((R::KIND, key.to_owned()), None);
        Ok(())
    }

    /// Removes all records whose keys begin with a prefix.
    pub fn remove_within<R: Record>(&mut self, prefix: &str) {
        let keys: Vec<String> = self.list::<R>(prefix).iter().map(|record| record.key()).collect();
        for key in keys {
            self.pending.insert((R::KIND, key), None);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
    struct Thing {
        owner: String,
        name: String,
        size: u32,
    }

    impl Record for Thing {
        const KIND: &'static str = "thing";
        fn key(&self) -> String {
            key(&[&self.owner, &self.name])
        }
    }

    fn thing(owner: &str, name: &str, size: u32) -> Thing {
        Thing { owner: owner.to_owned(), name: name.to_owned(), size }
    }

    fn names(store: &Store, owner: &str) -> Vec<String> {
        store.list::<Thing>(&within(&[owner])).iter().map(|thing| thing.name.clone()).collect()
    }

    /// A disk that keeps what it is given, until it is full.
    #[derive(Clone, Debug)]
    struct Kept(Arc<Mutex<Vec<Change>>>, usize);

    impl Disk for Kept {
        fn commit(&self, changes: &[Change]) -> Result<(), String> {
            let mut kept = self.0.lock().unwrap();
            if kept.len() + changes.len() > self.1 {
                return Err("no space left on device".to_owned());
            }
            kept.extend_from_slice(changes);
            Ok(())
        }
    }

    #[test]
    fn a_prefix_lists_what_is_within_and_nothing_beside() {
        let store = Store::in_memory();
        let all = [thing("a", "x", 1), thing("a", "y", 2), thing("aa", "x", 3), thing("b", "x", 4)];
        let written: Result<(), StoreError> = store.write(|writing| {
            all.iter().try_for_each(|thing| writing.insert(thing.clone()))?;
            assert_eq!(writing.list::<Thing>(&within(&["a"])).len(), 2);
            Ok(())
        });
        assert_eq!(written, Ok(()));
        assert_eq!(names(&store, "a"), ["x", "y"]);
        assert_eq!(store.count::<Thing>(""), 4);
        assert_eq!(store.get::<Thing>(&key(&["aa", "x"])).map(|thing| thing.size), Some(3));
    }

    #[test]
    fn a_change_that_fails_leaves_nothing_behind() {
        let store = Store::in_memory();
        let failed: Result<(), StoreError> = store.write(|writing| {
            writing.put(thing("a", "x", 1));
            writing.insert(thing("a", "x", 2))
        });
        assert_eq!(failed, Err(StoreError::Exists));
        assert_eq!(store.count::<Thing>(""), 0);
    }

    #[test]
    fn a_change_sees_itself() {
        let store = Store::in_memory();
        let _: Result<(), StoreError> = store.write(|writing| writing.insert(thing("a", "x", 1)));
        let seen: Result<Vec<u32>, StoreError> = store.write(|writing| {
            writing.update::<Thing>(&key(&["a", "x"]), |thing| thing.size = 7)?;
            writing.put(thing("a", "y", 2));
            writing.put(thing("a", "z", 3));
            writing.remove::<Thing>(&key(&["a", "z"]))?;
            assert_eq!(writing.remove::<Thing>(&key(&["a", "z"])), Err(StoreError::Missing));
            Ok(writing.list::<Thing>("").iter().map(|thing| thing.size).collect())
        });
        assert_eq!(seen, Ok(vec![7, 2]));
        assert_eq!(names(&store, "a"), ["x", "y"]);
    }

    #[test]
    fn what_a_disk_kept_comes_back_and_what_it_refused_never_was() {
        let disk = Kept(Arc::default(), 3);
        let store = Store::on_disk(Box::new(disk.clone()), &[Kind::of::<Thing>()], []).unwrap();
        let put = |name: &str| store.write(|writing| writing.insert(thing("a", name, 1)));
        assert_eq!(put("x"), Ok(()));
        assert_eq!(put("y"), Ok(()));
        let removed: Result<(), StoreError> =
            store.write(|writing| writing.remove::<Thing>(&key(&["a", "x"])));
        assert_eq!(removed, Ok(()));
        assert_eq!(put("z"), Err(StoreError::Disk("no space left on device".to_owned())));
        assert_eq!(names(&store, "a"), ["y"]);

        let mut kept = BTreeMap::new();
        for change in disk.0.lock().unwrap().iter() {
            match &change.value {
                Some(value) => kept.insert(change.key.clone(), value.clone()),
                None => kept.remove(&change.key),
            };
        }
        let kept = kept.into_iter().map(|(key, value)| ("thing".to_owned(), key, value));
        let again = Store::on_disk(Box::new(disk.clone()), &[Kind::of::<Thing>()], kept).unwrap();
        assert_eq!(names(&again, "a"), ["y"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let open = |kind: &str, json: &str| {
            let kept = [(kind.to_owned(), key(&["a", "x"]), json.to_owned())];
            Store::on_disk(Box::new(Kept(Arc::default(), 9)), &[Kind::of::<Thing>()], kept).unwrap_err()
        };
        assert!(open("thing", "{").starts_with("the thing `a x` can't be read: "), "{}", open("thing", "{"));
        assert!(open("thong", "{}").contains("`thong`"));
    }
}
