//! The decision log: one record for each decision, with the reasons that AWS keeps to itself.

mod audit;
mod follow;
pub mod json;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_policy::{Decision, Request};
use landfall_types::{ClaimValue, Claims, Finding, Timestamp, agent};
use landfall_wire::error::AwsError;

use follow::Followers;

pub use audit::{Audit, Tell};
pub use follow::{Filter, Follower, Read, Reading};

/// Records kept; older ones are forgotten (those who follow have seen them).
const RECORDS_MAX: usize = 10_000;
/// What the kept records may weigh together, in bytes as [`weight`] estimates them: anyone who can connect
/// can be refused, and what they sent is in the record.
const RECORDS_BYTES_MAX: usize = 16 << 20;
/// Forgotten records that wait for [`DecisionLog::give_back`]; with more, a call gives them back before its answer.
const FORGOTTEN_MAX: usize = 16;
/// Longest operation, caller, resource or message in a record, in characters; longer ones are cut.
const TEXT_CHARS_MAX: usize = 2_048;

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
    /// The engine's decision.
    pub decision: Option<Decision>,
    /// Whether whoever called goes on without the answer: a call of Landfall's own that would only have told more.
    pub is_optional: bool,
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

impl Verdict {
    /// The verdict that an error is.
    pub fn refused(error: &AwsError) -> Self {
        Self::Refused { code: error.code.to_string(), message: error.message.clone() }
    }

    fn cut(self) -> Self {
        match self {
            Self::Allowed => Self::Allowed,
            Self::Refused { code, message } => Self::Refused { code: cut(code), message: cut(message) },
        }
    }
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
    /// See [`Record::decision`]; with what was decided on, which no record keeps: it is half of a call's memory.
    pub decision: Option<(Decision, Request)>,
    /// See [`Record::finding`].
    pub finding: Option<Finding>,
    /// See [`Record::claims`].
    pub claims: Option<Claims>,
}

/// A call that came to nothing, as the log names it.
#[derive(Clone, Copy, Debug)]
pub struct FailedCall<'a> {
    /// See [`Record::request_id`].
    pub request_id: &'a str,
    /// See [`Record::service`].
    pub service: &'static str,
    /// See [`Record::operation`].
    pub operation: &'a str,
}

/// Codes that answer a question (is it there?) and refuse nobody anything: every push asks for layers that
/// are not there yet.
const ANSWERS: &[&str] = &[
    "NoSuchEntity",
    "EntityAlreadyExists",
    "RepositoryNotFoundException",
    "RepositoryAlreadyExistsException",
    "ImageNotFoundException",
    "BLOB_UNKNOWN",
    "MANIFEST_UNKNOWN",
];

/// Clients that may follow the log at a time.
pub const FOLLOWERS_MAX: usize = 64;

/// The log.
#[derive(Default)]
pub struct DecisionLog {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    records: VecDeque<Kept>,
    bytes: usize,
    followers: Followers,
    forgotten: Vec<Kept>,
}

/// A record that can be asked for, with its [`weight`].
struct Kept {
    record: Arc<Record>,
    bytes: usize,
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

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record and hands it on to those who follow. Gives back what was decided on.
    pub fn add(&self, at: Timestamp, entry: Entry) -> Option<Request> {
        let (decision, request) = entry.decision.unzip();
        let agents = request.as_ref().and_then(|request: &Request| request.context.get("aws:UserAgent"));
        let mut record = Record {
            sequence: 0,
            at,
            request_id: entry.request_id,
            service: entry.service,
            operation: cut(entry.operation),
            caller: cut(entry.caller),
            action: entry.action,
            resource: entry.resource.map(cut),
            verdict: entry.verdict.cut(),
            decision,
            is_optional: agents.is_some_and(|agents| agents.iter().any(|agent| agent::is_optional(agent))),
            finding: entry.finding.map(cut_finding),
            claims: entry.claims,
        };
        let bytes = weight(&record);
        let mut inner = self.inner();
        inner.last += 1;
        record.sequence = inner.last;
        let record = Arc::new(record);
        inner.keep(Kept { record: Arc::clone(&record), bytes });
        let surplus = inner.forgotten.len() > FORGOTTEN_MAX;
        let forgotten = if surplus { std::mem::take(&mut inner.forgotten) } else { Vec::new() };
        inner.followers.tell(&record);
        // A record is many small pieces: others need not wait until all are given back.
        drop(inner);
        drop(forgotten);
        request
    }

    /// Gives back the memory of records that had to go for newer ones. They are many small pieces, and whoever has
    /// sent its answer has the time; when others use the log now, a later caller does it.
    pub fn give_back(&self) {
        let Ok(mut inner) = self.inner.try_lock() else { return };
        let forgotten = std::mem::take(&mut inner.forgotten);
        drop(inner);
        drop(forgotten);
    }

    /// Follows the log from now on.
    pub fn follow(&self) -> Follower {
        self.inner().followers.add(false)
    }

    /// The records after a sequence number that are still kept and that a filter admits; with `follow` also
    /// those that come, without a gap. A number that was never reached is of a server before this one, whose count
    /// began at 1 as well: whoever has it gets all. None when [`FOLLOWERS_MAX`] clients follow already.
    pub fn read(&self, after: u64, filter: Filter, follow: bool) -> Option<Reading> {
        let mut inner = self.inner();
        if follow && inner.followers.clients() >= FOLLOWERS_MAX {
            return None;
        }
        let follower = follow.then(|| inner.followers.add(true));
        let after = if after > inner.last { 0 } else { after };
        let kept = inner.records().filter(|record| record.sequence > after).cloned().collect();
        Some(Reading::new(kept, follower, filter))
    }

    /// Ends the log for the clients that follow it: the server is about to stop.
    pub fn dismiss_clients(&self) {
        self.inner().followers.dismiss_clients();
    }

    /// Ends the log for all who follow: they read what is there, and no more comes.
    pub fn close(&self) {
        self.inner().followers.close();
    }

    /// The records after a sequence number that are still kept.
    pub fn after(&self, sequence: u64) -> Vec<Arc<Record>> {
        let inner = self.inner();
        inner.records().filter(|record| record.sequence > sequence).cloned().collect()
    }

    /// The records of one request that came after a sequence number.
    pub fn of_request(&self, after: u64, request_id: &str) -> Vec<Arc<Record>> {
        let inner = self.inner();
        let newest = inner.records().rev().take_while(|record| record.sequence > after);
        let mut records: Vec<_> = newest.filter(|record| record.request_id == request_id).cloned().collect();
        records.reverse();
        records
    }

    /// Writes down that a call came to nothing, unless its records say so already: a decision was logged
    /// where it fell, a fault of the call itself is logged here.
    pub fn add_failure(&self, at: Timestamp, after: u64, call: FailedCall<'_>, code: &str, message: &str) {
        self.add_failed(at, after, call, (code, message), (None, None));
    }

    /// As [`DecisionLog::add_failure`], with what the error says to this side alone. An error that does is written
    /// down even when it only answers a question.
    pub fn add_error(&self, at: Timestamp, after: u64, call: FailedCall<'_>, error: &AwsError) {
        self.add_reason(at, after, call, error, None);
    }

    /// As [`DecisionLog::add_error`], with more of the reason than what the client is told.
    pub fn add_reason(
        &self,
        at: Timestamp,
        after: u64,
        call: FailedCall<'_>,
        error: &AwsError,
        reason: Option<Finding>,
    ) {
        let note = error.aside.as_deref().and_then(|aside| aside.note.as_deref());
        self.add_failed(at, after, call, (&error.code, &error.message), (reason, note));
    }

    fn add_failed(
        &self,
        at: Timestamp,
        after: u64,
        call: FailedCall<'_>,
        (code, message): (&str, &str),
        (reason, note): (Option<Finding>, Option<&str>),
    ) {
        let known = self.of_request(after, call.request_id);
        let is_known = known.iter().any(|record| matches!(record.verdict, Verdict::Refused { .. }));
        if is_known || (ANSWERS.contains(&code) && note.is_none()) {
            return;
        }
        // A call with further decisions, such as iam:PassRole, is itself what came to nothing.
        let is_own = |record: &&Arc<Record>| {
            let action = record.action.as_deref().and_then(|action| action.split_once(':'));
            action.is_some_and(|(_, name)| name == call.operation)
        };
        let decided = known.iter().find(is_own).or(known.last());
        let finding = reason.unwrap_or_else(|| {
            Finding::warning("call-failed", format!("{}: {code}: {message}", call.operation))
        });
        let finding = match note {
            Some(note) => finding.note(note),
            None => finding,
        };
        self.add(
            at,
            Entry {
                request_id: call.request_id.to_owned(),
                service: call.service,
                operation: call.operation.to_owned(),
                caller: decided.map_or_else(|| "unknown".to_owned(), |record| record.caller.clone()),
                action: decided.and_then(|record| record.action.clone()),
                resource: decided.and_then(|record| record.resource.clone()),
                verdict: Verdict::Refused { code: code.to_owned(), message: message.to_owned() },
                decision: None,
                finding: Some(finding),
                claims: None,
            },
        );
    }

    /// The sequence number of the newest record; 0 when there is none.
    pub fn last(&self) -> u64 {
        self.inner().last
    }
}

impl Inner {
    fn records(&self) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        self.records.iter().map(|kept| &kept.record)
    }

    /// Keeps a record; those that have to go for it wait to be given back.
    fn keep(&mut self, record: Kept) {
        self.bytes += record.bytes;
        self.records.push_back(record);
        while self.records.len() > RECORDS_MAX || self.bytes > RECORDS_BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.forgotten.push(oldest);
        }
    }
}

/// What a record holds in memory, in bytes, as an estimate.
fn weight(record: &Record) -> usize {
    const RECORD: usize = 512;
    const PART: usize = 64;
    const MISS: usize = 512;
    let finding = record.finding.as_ref().map_or(0, |finding| {
        let labels = finding.labels.iter().map(|label| &label.text);
        let texts = labels.chain(&finding.notes).chain(&finding.help);
        finding.message.len() + texts.map(|text| text.len() + PART).sum::<usize>()
    });
    let decision = record.decision.as_ref().map_or(0, |decision| decision.misses.len() * MISS);
    let claims = record.claims.iter().flat_map(Claims::iter);
    let claims: usize = claims.map(|(name, value)| name.len() + PART + claim_weight(value)).sum();
    let message = match &record.verdict {
        Verdict::Allowed => 0,
        Verdict::Refused { message, .. } => message.len(),
    };
    let resource = record.resource.as_ref().map_or(0, String::len);
    RECORD + finding + decision + claims + message + resource + record.caller.len() + record.operation.len()
}

/// The depth of claims is limited where tokens are read.
fn claim_weight(value: &ClaimValue) -> usize {
    const VALUE: usize = 32;
    VALUE
        + match value {
            ClaimValue::Null | ClaimValue::Bool(_) => 0,
            ClaimValue::Number(text) | ClaimValue::Text(text) => text.len(),
            ClaimValue::List(items) => items.iter().map(claim_weight).sum(),
            ClaimValue::Map(entries) => {
                entries.iter().map(|(name, value)| name.len() + VALUE + claim_weight(value)).sum()
            }
        }
}

/// A text as a record holds it.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn cut_finding(mut finding: Finding) -> Finding {
    finding.message = cut(finding.message);
    finding.notes = finding.notes.into_iter().map(cut).collect();
    finding.help = finding.help.into_iter().map(cut).collect();
    finding.labels.iter_mut().for_each(|label| label.text = cut(std::mem::take(&mut label.text)));
    finding
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(super) fn refusal(request_id: &str, text: &str) -> Entry {
        Entry {
            request_id: request_id.to_owned(),
            service: "sts",
            operation: "GetCallerIdentity".to_owned(),
            caller: text.to_owned(),
            action: None,
            resource: Some(text.to_owned()),
            verdict: Verdict::Refused { code: "AccessDenied".to_owned(), message: text.to_owned() },
            decision: None,
            finding: None,
            claims: None,
        }
    }

    #[test]
    fn the_log_has_a_size_whatever_is_sent() {
        let log = DecisionLog::new();
        let mut claims = Claims::new();
        claims.set_text("sub", "x".repeat(100_000));
        for _ in 0..1_000 {
            log.add(
                Timestamp(0),
                Entry { claims: Some(claims.clone()), ..refusal("a", &"ä".repeat(100_000)) },
            );
        }
        let kept = log.after(0);
        assert_eq!(log.last(), 1_000);
        assert!(kept.len() < 400, "{}", kept.len());
        assert_eq!(kept.last().unwrap().sequence, 1_000);
        assert_eq!(kept.last().unwrap().caller.chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn what_is_forgotten_is_given_back() {
        let log = DecisionLog::new();
        log.add(Timestamp(0), refusal("first", ""));
        let first = Arc::downgrade(&log.after(0)[0]);
        (0..RECORDS_MAX).for_each(|_| drop(log.add(Timestamp(0), refusal("later", ""))));
        assert_eq!((log.after(0).len(), first.strong_count()), (RECORDS_MAX, 1));
        log.give_back();
        assert_eq!(first.strong_count(), 0);
        let second = Arc::downgrade(&log.after(0)[0]);
        (0..FORGOTTEN_MAX + 2).for_each(|_| drop(log.add(Timestamp(0), refusal("later", ""))));
        assert_eq!(second.strong_count(), 0, "nobody gave it back");
    }

    #[test]
    fn a_failure_is_logged_once_and_an_answer_never() {
        let log = DecisionLog::new();
        let call = |request_id| FailedCall { request_id, service: "iam", operation: "CreateRole" };
        let fail = |before, request_id, code| {
            log.add_failure(Timestamp(0), before, call(request_id), code, "why");
            log.after(before).len()
        };
        log.add(Timestamp(0), refusal("a", ""));
        assert_eq!(fail(0, "a", "AccessDenied"), 1);
        assert_eq!(fail(1, "b", "NoSuchEntity"), 0);
        log.add(Timestamp(0), Entry { verdict: Verdict::Allowed, ..refusal("b", "who") });
        assert_eq!(fail(1, "b", "MalformedPolicyDocument"), 2);
        let newest = log.after(2).pop().unwrap();
        assert_eq!((newest.caller.as_str(), newest.finding.as_ref().unwrap().rule), ("who", "call-failed"));
    }

    #[test]
    fn a_failure_is_of_the_call_and_not_of_what_else_was_decided_for_it() {
        let log = DecisionLog::new();
        for action in ["ecs:RegisterTaskDefinition", "iam:PassRole"] {
            let decided = Entry { action: Some(action.to_owned()), ..refusal("a", action) };
            log.add(Timestamp(0), Entry { verdict: Verdict::Allowed, ..decided });
        }
        let call = FailedCall { request_id: "a", service: "ecs", operation: "RegisterTaskDefinition" };
        log.add_failure(Timestamp(0), 0, call, "ClientException", "why");
        let newest = log.after(0).pop().unwrap();
        let of = "ecs:RegisterTaskDefinition";
        assert_eq!((newest.action.as_deref(), newest.resource.as_deref()), (Some(of), Some(of)));
    }
}
