//! Records by kind and key: read from memory, and written through to a [`Disk`].
//!
//! All reads are answered from memory. Writes are put together one at a time, against what is there and what
//! is on its way, and wait for the disk in company: whoever finds it free takes along all that have come
//! together meanwhile, so that many writers share one sync. A change becomes visible when the disk has it:
//! readers never wait for the disk, and nobody sees a change that could still be lost.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::leases::Leases;
use super::text;

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
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is one already.
    #[error("there is such a record already")]
    Exists,
    /// There is none.
    #[error("there is no such record")]
    Missing,
    /// The disk did not take it: it is full, or broken.
    #[error("{0}")]
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
    /// What pushes in flight count on.
    pub leases: Leases,
    rows: RwLock<Rows>,
    ahead: Mutex<Ahead>,
    disk: Option<OwnDisk>,
}

/// A disk, and whose turn it is to write to it.
#[derive(Debug)]
struct OwnDisk {
    disk: Box<dyn Disk>,
    turn: Mutex<()>,
}

/// What writers see beyond the rows: changes that the disk does not have yet.
#[derive(Default, Debug)]
struct Ahead {
    /// The newest of them by kind and key; none stands for a row that is to go.
    rows: BTreeMap<(&'static str, String), (u64, Option<Row>)>,
    /// Those that nobody has taken to the disk yet, in order.
    waiting: Vec<Arc<OnItsWay>>,
    /// The newest change that a writer waits for.
    newest: Option<Arc<OnItsWay>>,
    /// Numbers changes.
    last: u64,
}

/// A change that the disk is to have.
struct OnItsWay {
    number: u64,
    changes: Vec<Change>,
    rows: Vec<((&'static str, String), Option<Row>)>,
    /// What became of it.
    settled: OnceLock<Result<(), String>>,
}

impl Debug for OnItsWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnItsWay").field("number", &self.number).field("settled", &self.settled).finish()
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::in_memory()
    }
}

impl Store {
    /// A store that is gone when the process ends.
    pub fn in_memory() -> Self {
        Self { leases: Leases::default(), rows: RwLock::default(), ahead: Mutex::default(), disk: None }
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
            let label = label(&name, &key);
            let row = text::naming(&label, || (kind.read)(&json)).map_err(|error| {
                format!("the {name} `{}` can't be read: {error}", key.replace(KEY_SEPARATOR, " "))
            })?;
            rows.entry(kind.name).or_default().insert(key, row);
        }
        let disk = OwnDisk { disk, turn: Mutex::default() };
        Ok(Self {
            leases: Leases::default(),
            rows: RwLock::new(rows),
            ahead: Mutex::default(),
            disk: Some(disk),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record.
    pub fn get<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        typed(self.read().get(R::KIND)?.get(key)?)
    }

    /// One record that the disk has and that nobody is about to remove. `note` is called for it before any other
    /// change is put together, so that one that would remove it can heed the note.
    pub fn get_noting<R: Record>(&self, key: &str, note: impl FnOnce(&R)) -> Option<Arc<R>> {
        let ahead = self.ahead();
        let record = self.get::<R>(key)?;
        if let Some((_, None)) = ahead.rows.get(&(R::KIND, key.to_owned())) {
            return None;
        }
        note(&record);
        Some(record)
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
        let mut ahead = self.ahead();
        let mut writing = Writing { rows: &self.rows, ahead: &ahead.rows, pending: BTreeMap::new() };
        let answer = change(&mut writing)?;
        let pending = writing.pending;
        let Some(disk) = &self.disk else {
            let rows = pending.into_iter().map(|(place, change)| (place, change.map(|pending| pending.row)));
            apply(&self.rows, rows);
            return Ok(answer);
        };
        // An answer without a change (it is there already) may rest on changes that are on their way.
        let on_its_way = match pending.is_empty() {
            true => ahead.newest.clone(),
            false => Some(ahead.add(pending)?),
        };
        drop(ahead);
        if let Some(on_its_way) = on_its_way {
            waiting(|| self.settle(disk, &on_its_way)).map_err(StoreError::Disk)?;
        }
        Ok(answer)
    }

    /// How many changes wait for the disk, the one that it is busy with not counted.
    #[cfg(test)]
    pub(crate) fn waiting_writers(&self) -> usize {
        self.ahead().waiting.len()
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the disk has a change, by taking it there with all others that wait if nobody does.
    fn settle(&self, own: &OwnDisk, change: &OnItsWay) -> Result<(), String> {
        let _turn = own.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settled) = change.settled.get() {
            return settled.clone();
        }
        let batch = std::mem::take(&mut self.ahead().waiting);
        let changes: Vec<Change> = batch.iter().flat_map(|change| change.changes.iter().cloned()).collect();
        let result = own.disk.commit(&changes);
        let mut ahead = self.ahead();
        match &result {
            Ok(()) => {
                apply(&self.rows, batch.iter().flat_map(|change| change.rows.iter().cloned()));
                ahead.forget(batch.last().map_or(0, |newest| newest.number));
            }
            // What was put together on top of a change that failed fails with it.
            Err(_) => {
                let on_top = std::mem::take(&mut ahead.waiting);
                on_top.iter().for_each(|change| change.settle(&result));
                ahead.forget(u64::MAX);
            }
        }
        batch.iter().for_each(|change| change.settle(&result));
        change.settled.get().cloned().unwrap_or(result)
    }
}

impl Ahead {
    fn add(&mut self, pending: PendingChanges) -> Result<Arc<OnItsWay>, StoreError> {
        let changes = changes(&pending)?;
        self.last += 1;
        let number = self.last;
        let rows: Vec<_> =
            pending.into_iter().map(|(place, change)| (place, change.map(|pending| pending.row))).collect();
        for (place, row) in &rows {
            self.rows.insert(place.clone(), (number, row.clone()));
        }
        let change = Arc::new(OnItsWay { number, changes, rows, settled: OnceLock::new() });
        self.waiting.push(Arc::clone(&change));
        self.newest = Some(Arc::clone(&change));
        Ok(change)
    }

    /// Forgets changes up to a number: they are rows by now, or will never be.
    fn forget(&mut self, number: u64) {
        self.rows.retain(|_, (newest, _)| *newest > number);
        if self.newest.as_ref().is_some_and(|newest| newest.number <= number) {
            self.newest = None;
        }
    }
}

impl OnItsWay {
    fn settle(&self, result: &Result<(), String>) {
        // Settled once: a change is in one batch.
        let _ = self.settled.set(result.clone());
    }
}

fn apply(rows: &RwLock<Rows>, changes: impl IntoIterator<Item = ((&'static str, String), Option<Row>)>) {
    let mut rows = rows.write().unwrap_or_else(PoisonError::into_inner);
    for ((kind, key), row) in changes {
        let table = rows.entry(kind).or_default();
        match row {
            Some(row) => table.insert(key, row),
            None => table.remove(&key),
        };
    }
}

/// Runs what waits for the disk. A worker of the runtime hands its other tasks on first.
pub(crate) fn waiting<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// What a policy of a record is called where it is shown: `role deploy` for the record `iam-role` of that key.
fn label(kind: &str, key: &str) -> String {
    let what = kind.split_once('-').map_or(kind, |(_, what)| what);
    let name = key.rsplit(KEY_SEPARATOR).next().unwrap_or(key);
    format!("{what} {name}")
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

/// What is there: for [`Store`] what the disk has, for [`Writing`] what will be there when its turn comes. A rule
/// that a change rests on is checked by the latter.
pub trait Reads {
    /// One record.
    fn record<R: Record>(&self, key: &str) -> Option<Arc<R>>;
    /// All records whose keys begin with a prefix, by key.
    fn records<R: Record>(&self, prefix: &str) -> Vec<Arc<R>>;
}

impl Reads for Store {
    fn record<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        self.get(key)
    }
    fn records<R: Record>(&self, prefix: &str) -> Vec<Arc<R>> {
        self.list(prefix)
    }
}

impl Reads for Writing<'_> {
    fn record<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        self.get(key)
    }
    fn records<R: Record>(&self, prefix: &str) -> Vec<Arc<R>> {
        self.list(prefix)
    }
}

/// A change that is being put together. It sees what is there with its own changes.
pub struct Writing<'a> {
    rows: &'a RwLock<Rows>,
    ahead: &'a BTreeMap<(&'static str, String), (u64, Option<Row>)>,
    pending: PendingChanges,
}

impl Writing<'_> {
    /// One record.
    pub fn get<R: Record>(&self, key: &str) -> Option<Arc<R>> {
        let place = (R::KIND, key.to_owned());
        if let Some(change) = self.pending.get(&place) {
            return change.as_ref().and_then(|pending| typed(&pending.row));
        }
        if let Some((_, row)) = self.ahead.get(&place) {
            return row.as_ref().and_then(typed);
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        typed(rows.get(R::KIND)?.get(key)?)
    }

    /// All records whose keys begin with a prefix, by key.
    pub fn list<R: Record>(&self, prefix: &str) -> Vec<Arc<R>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let mut seen: BTreeMap<&str, &Row> =
            starting(rows.get(R::KIND), prefix).map(|(key, row)| (key.as_str(), row)).collect();
        let ahead = self.ahead.iter().map(|(place, (_, row))| (place, row.as_ref()));
        let pending =
            self.pending.iter().map(|(place, change)| (place, change.as_ref().map(|pending| &pending.row)));
        for ((kind, key), row) in ahead.chain(pending) {
            if *kind != R::KIND || !key.starts_with(prefix) {
                continue;
            }
            match row {
                Some(row) => seen.insert(key, row),
                None => seen.remove(key.as_str()),
            };
        }
        seen.into_values().filter_map(typed).collect()
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
pub(crate) mod tests {
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

    /// A disk whose syncs wait until they are let through, and that says how many there were.
    #[derive(Clone, Default, Debug)]
    pub(crate) struct Gate(Arc<(Mutex<GateState>, std::sync::Condvar)>);

    /// Whether it is open, how many came to it, whether the disk behind it is full.
    type GateState = (bool, usize, bool);

    impl Gate {
        pub(crate) fn open(&self, is_full: bool) {
            let mut state = self.0.0.lock().unwrap();
            (state.0, state.2) = (true, is_full);
            self.0.1.notify_all();
        }

        pub(crate) fn close(&self) {
            let mut state = self.0.0.lock().unwrap();
            (state.0, state.1) = (false, 0);
        }

        fn commits(&self) -> usize {
            self.0.0.lock().unwrap().1
        }

        /// Waits until somebody waits at the gate.
        pub(crate) fn wait_for_one(&self) {
            let _waited = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.1 == 0).unwrap();
        }
    }

    impl Disk for Gate {
        fn commit(&self, _changes: &[Change]) -> Result<(), String> {
            let mut state = self.0.0.lock().unwrap();
            state.1 += 1;
            self.0.1.notify_all();
            let state = self.0.1.wait_while(state, |state| !state.0).unwrap();
            if state.2 { Err("full".to_owned()) } else { Ok(()) }
        }
    }

    /// Starts writers while the disk is busy with a first one, lets the disk go on, and gives what each got.
    fn crowd(is_full: bool) -> (Store, Gate, Vec<Result<(), StoreError>>) {
        const WRITERS: usize = 64;
        let gate = Gate::default();
        let store = Store::on_disk(Box::new(gate.clone()), &[Kind::of::<Thing>()], []).unwrap();
        let put = |name: String| store.write(|writing| writing.insert(thing("a", &name, 1)));
        let results = std::thread::scope(|scope| {
            let first = scope.spawn(|| put("first".to_owned()));
            gate.wait_for_one();
            let others: Vec<_> =
                (0..WRITERS).map(|number| scope.spawn(move || put(format!("{number:02}")))).collect();
            while store.ahead().waiting.len() < WRITERS {
                std::thread::yield_now();
            }
            // Readers neither wait nor see what could still be lost; writers see it.
            assert_eq!(names(&store, "a"), Vec::<String>::new());
            let seen: Result<(), StoreError> = store.write(|writing| {
                Err(if writing.list::<Thing>("").len() == WRITERS + 1 {
                    StoreError::Exists
                } else {
                    StoreError::Missing
                })
            });
            assert_eq!(seen, Err(StoreError::Exists));
            gate.open(is_full);
            std::iter::once(first).chain(others).map(|writer| writer.join().unwrap()).collect()
        });
        (store, gate, results)
    }

    #[test]
    fn writers_that_wait_together_share_a_sync() {
        let (store, gate, results) = crowd(false);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(gate.commits(), 2);
        assert_eq!(store.count::<Thing>(""), 65);
        assert!(store.ahead().rows.is_empty() && store.ahead().newest.is_none());
    }

    #[test]
    fn what_stands_on_a_change_that_failed_fails_with_it_and_the_store_goes_on() {
        let (store, gate, results) = crowd(true);
        assert!(
            results.iter().all(|result| *result == Err(StoreError::Disk("full".to_owned()))),
            "{results:?}"
        );
        assert_eq!(store.count::<Thing>(""), 0);
        gate.open(false);
        let again: Result<(), StoreError> = store.write(|writing| writing.insert(thing("a", "first", 1)));
        assert_eq!(again, Ok(()));
        assert_eq!(names(&store, "a"), ["first"]);
    }
}
