//! Following the log: records are handed on as they are made, to whoever keeps up.
//!
//! Calls don't wait for those who read about them. A follower that falls behind misses records and is told
//! how many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Record;

/// Records that wait for one follower; when there are more, it misses them.
const WAITING_RECORDS_MAX: usize = 2_048;
/// How long a thread that had nothing to do lets further records come before it begins: nobody sees it, and
/// on a busy server it is not woken for every call.
const GATHERED: Duration = Duration::from_millis(10);

/// One reader of the log, from the moment on at which it began to follow.
#[derive(Debug)]
pub struct Follower {
    records: mpsc::Receiver<Arc<Record>>,
    missed: Arc<AtomicU64>,
}

impl Follower {
    /// Waits for the next record on a thread of its own; none when the log was closed.
    pub fn next_blocking(&mut self) -> Option<Arc<Record>> {
        match self.records.try_recv() {
            Ok(record) => Some(record),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
            Err(mpsc::error::TryRecvError::Empty) => {
                let record = self.records.blocking_recv()?;
                std::thread::park_timeout(GATHERED);
                Some(record)
            }
        }
    }

    /// A record that is there already.
    pub fn next_waiting(&mut self) -> Option<Arc<Record>> {
        self.records.try_recv().ok()
    }

    /// The next record; none when the log was closed.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Record>>> {
        self.records.poll_recv(context)
    }

    /// How many records were missed since this was last asked.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

/// All followers of a log.
pub(super) struct Followers {
    open: Vec<Sender>,
    admits_clients: bool,
    is_closed: bool,
}

impl Default for Followers {
    fn default() -> Self {
        Self { open: Vec::new(), admits_clients: true, is_closed: false }
    }
}

struct Sender {
    is_client: bool,
    records: mpsc::Sender<Arc<Record>>,
    missed: Arc<AtomicU64>,
}

impl Followers {
    /// A further follower: a client, or a part of this server.
    pub(super) fn add(&mut self, is_client: bool) -> Follower {
        let (sender, records) = mpsc::channel(WAITING_RECORDS_MAX);
        let missed = Arc::new(AtomicU64::new(0));
        if !self.is_closed && (!is_client || self.admits_clients) {
            self.open.push(Sender { is_client, records: sender, missed: Arc::clone(&missed) });
        }
        Follower { records, missed }
    }

    /// How many clients there are among them.
    pub(super) fn clients(&mut self) -> usize {
        self.open.retain(|follower| !follower.records.is_closed());
        self.open.iter().filter(|follower| follower.is_client).count()
    }

    /// Clients read what waits for them and come to an end.
    pub(super) fn dismiss_clients(&mut self) {
        self.open.retain(|follower| !follower.is_client);
        self.admits_clients = false;
    }

    pub(super) fn tell(&mut self, record: &Arc<Record>) {
        use mpsc::error::TrySendError;
        self.open.retain(|follower| match follower.records.try_send(Arc::clone(record)) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                follower.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
        });
    }

    /// All read what waits for them and come to an end.
    pub(super) fn close(&mut self) {
        self.open.clear();
        self.is_closed = true;
    }
}

/// Which records are asked for.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// Allowed or refused only.
    pub allowed: Option<bool>,
    /// A part of the caller's name.
    pub caller: Option<String>,
    /// A part of the action, or of `service:operation` where no action was decided, whatever its case.
    pub action: Option<String>,
    /// A part of the resource's name.
    pub resource: Option<String>,
    /// The request id.
    pub request_id: Option<String>,
}

impl Filter {
    /// Whether a record is asked for.
    pub fn admits(&self, record: &Record) -> bool {
        let has = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()))
        };
        let is_allowed = matches!(record.verdict, super::Verdict::Allowed);
        let operation = format!("{}:{}", record.service, record.operation).to_lowercase();
        let action = record.action.as_deref().unwrap_or_default().to_lowercase();
        self.allowed.is_none_or(|allowed| allowed == is_allowed)
            && has(&self.caller, &record.caller)
            && has(&self.resource, record.resource.as_deref().unwrap_or_default())
            && self.request_id.as_ref().is_none_or(|wanted| *wanted == record.request_id)
            && self.action.as_ref().is_none_or(|wanted| {
                let wanted = wanted.to_lowercase();
                action.contains(&wanted) || operation.contains(&wanted)
            })
    }
}

/// Records that are there, oldest first, and, if asked for, those that come.
#[derive(Debug)]
pub struct Reading {
    kept: VecDeque<Arc<Record>>,
    follower: Option<Follower>,
    filter: Filter,
    last: u64,
}

/// What a [`Reading`] comes upon.
#[derive(Debug)]
pub enum Read {
    /// A record that was asked for.
    Record(Arc<Record>),
    /// So many records came too fast and are not told.
    Missed(u64),
}

impl Reading {
    pub(super) fn new(kept: Vec<Arc<Record>>, follower: Option<Follower>, filter: Filter) -> Self {
        Self { kept: kept.into(), follower, filter, last: 0 }
    }

    /// Of the records that are there, gives the newest of those that were asked for, at most so many.
    pub fn keep_newest(&mut self, count_max: usize) {
        let last = self.kept.back().map_or(0, |record| record.sequence);
        self.kept.retain(|record| self.filter.admits(record));
        let surplus = self.kept.len().saturating_sub(count_max);
        self.kept.drain(..surplus);
        if self.kept.is_empty() {
            self.last = last;
        }
    }

    /// The next record; none at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Read>> {
        loop {
            if let Some(missed) =
                self.follower.as_ref().map(Follower::take_missed).filter(|missed| *missed > 0)
            {
                return Poll::Ready(Some(Read::Missed(missed)));
            }
            let record = match (self.kept.pop_front(), self.follower.as_mut()) {
                (Some(record), _) => record,
                (None, None) => return Poll::Ready(None),
                (None, Some(follower)) => match std::task::ready!(follower.poll_next(context)) {
                    None => return Poll::Ready(None),
                    Some(record) => record,
                },
            };
            // What was kept when the reading began may have been handed on as well.
            if record.sequence > self.last {
                self.last = record.sequence;
                if self.filter.admits(&record) {
                    return Poll::Ready(Some(Read::Record(record)));
                }
            }
        }
    }
}
