//! The decision log: one record for each decision, with the reasons that AWS keeps to itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use landfall_policy::{Decision, Request};
use landfall_types::{Claims, Finding, Timestamp};

/// Records kept; older ones are forgotten (subscribers have seen them).
const RECORDS_MAX: usize = 10_000;

/// One decision.
#[derive(Clone, Debug)]
pub struct Record {
    /// Position in the log, from 1.
    pub sequence: u64,
    /// When (the server's pretended time).
    pub at: Timestamp,
    /// The request id that the client was given.
    pub request_id: String,
    /// The service, `sts`.
    pub service: &'static str,
    /// The operation as the client called it: `AssumeRoleWithWebIdentity`, `PUT manifest`.
    pub operation: String,
    /// Who called: an ARN, `anonymous`, or the token's subject.
    pub caller: String,
    /// The action that was decided, `ecr:PutImage`; none when no permission is needed or the call
    /// was refused before one could be decided.
    pub action: Option<String>,
    /// The resource that it was decided on.
    pub resource: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The engine's decision and the request that it decided.
    pub decision: Option<(Decision, Request)>,
    /// For refusals: what is wrong, where, and what to change.
    pub finding: Option<Finding>,
    /// For exchanges of an ID token: its claims (never the token).
    pub claims: Option<Claims>,
}

/// The verdict of a [`Record`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It went on.
    Allowed,
    /// It was refused; what the client was told.
    Refused {
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
}

/// What a record is made of before the log gives it a place.
#[derive(Clone, Debug)]
pub struct Entry {
    /// See [`Record::request_id`].
    pub request_id: String,
    /// See [`Record::service`].
    pub service: &'static str,
    /// See [`Record::operation`].
    pub operation: String,
    /// See [`Record::caller`].
    pub caller: String,
    /// See [`Record::action`].
    pub action: Option<String>,
    /// See [`Record::resource`].
    pub resource: Option<String>,
    /// See [`Record::verdict`].
    pub verdict: Verdict,
    /// See [`Record::decision`].
    pub decision: Option<(Decision, Request)>,
    /// See [`Record::finding`].
    pub finding: Option<Finding>,
    /// See [`Record::claims`].
    pub claims: Option<Claims>,
}

/// A function that is told of every record, in order. It must be quick: callers wait for it.
pub type Subscriber = Box<dyn Fn(&Record) + Send + Sync>;

/// The log.
#[derive(Default)]
pub struct DecisionLog {
    inner: Mutex<Inner>,
    subscribers: Mutex<Vec<Arc<Subscriber>>>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    records: VecDeque<Arc<Record>>,
}

impl std::fmt::Debug for DecisionLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DecisionLog")
    }
}

impl DecisionLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record and tells the subscribers.
    pub fn add(&self, at: Timestamp, entry: Entry) {
        let record = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.last += 1;
            let record = Arc::new(Record {
                sequence: inner.last,
                at,
                request_id: entry.request_id,
                service: entry.service,
                operation: entry.operation,
                caller: entry.caller,
                action: entry.action,
                resource: entry.resource,
                verdict: entry.verdict,
                decision: entry.decision,
                finding: entry.finding,
                claims: entry.claims,
            });
            if inner.records.len() == RECORDS_MAX {
                inner.records.pop_front();
            }
            inner.records.push_back(Arc::clone(&record));
            record
        };
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for subscriber in subscribers {
            subscriber(&record);
        }
    }

    /// From now on `subscriber` is told of every record.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(subscriber));
    }

    /// The records after a sequence number that are still kept.
    pub fn after(&self, sequence: u64) -> Vec<Arc<Record>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.records.iter().filter(|record| record.sequence > sequence).cloned().collect()
    }

    /// The sequence number of the newest record; 0 when there is none.
    pub fn last(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).last
    }
}
