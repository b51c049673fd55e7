//! What CloudWatch Logs keeps: groups, their streams, and what was written to these.

use serde::{Deserialize, Serialize};

use super::Record;
use super::ecs::{Place, Tags};
use super::records::KEY_SEPARATOR;

/// A log group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogGroup {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// `STANDARD`, `INFREQUENT_ACCESS`, …
    pub class: String,
    /// The key that it is encrypted with, as it was written: there is no KMS here.
    pub kms_key: Option<String>,
    /// How long events stay, in days; none for ever.
    pub retention_days: Option<i64>,
    /// Whether it can't be deleted.
    pub is_protected: bool,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Its tags.
    pub tags: Tags,
}

impl LogGroup {
    /// Its ARN, as tags are set on it: without what stands for its streams.
    pub fn arn(&self) -> String {
        group_arn(&self.place, &self.name)
    }
}

/// The ARN of a group, which need not be there.
pub fn group_arn(place: &Place, name: &str) -> String {
    place.arn(&format!("log-group:{name}")).replacen(":ecs:", ":logs:", 1)
}

/// The ARN of a stream, which need not be there. With no name it is what calls of a group are decided on.
pub fn stream_arn(place: &Place, group: &str, stream: &str) -> String {
    format!("{}:log-stream:{stream}", group_arn(place, group))
}

impl Record for LogGroup {
    const KIND: &'static str = "log-group";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// A log stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogStream {
    /// Where it is.
    pub place: Place,
    /// Its group's name.
    pub group: String,
    /// Its name.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// How many batches were written to it.
    pub batches: u64,
    /// How many of its oldest events are gone.
    pub gone: u64,
    /// The container that writes to it: the task's id, and the container's name. What it has written is with whoever
    /// runs it, until it has ended.
    pub container: Option<(String, String)>,
}

impl LogStream {
    /// Its ARN.
    pub fn arn(&self) -> String {
        stream_arn(&self.place, &self.group, &self.name)
    }

    /// The prefix of its batches.
    pub fn within(&self) -> String {
        format!("{}{KEY_SEPARATOR}", self.key())
    }
}

impl Record for LogStream {
    const KIND: &'static str = "log-stream";
    fn key(&self) -> String {
        self.place.key(&[&self.group, &self.name])
    }
}

/// Events that came in one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogBatch {
    /// Where they are.
    pub place: Place,
    /// Their group's name.
    pub group: String,
    /// Their stream's name.
    pub stream: String,
    /// Their number in the stream.
    pub number: u64,
    /// When they came, milliseconds since 1970.
    pub ingested_ms: i64,
    /// What and when, milliseconds since 1970.
    pub events: Vec<(i64, String)>,
}

impl LogBatch {
    /// What it is counted with: its texts, and 26 bytes for each event.
    /// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
    pub fn bytes(&self) -> usize {
        self.events.iter().map(|(_, text)| text.len() + EVENT_BYTES).sum()
    }
}

/// What an event counts for besides its text, in bytes.
pub const EVENT_BYTES: usize = 26;

impl Record for LogBatch {
    const KIND: &'static str = "log-batch";
    fn key(&self) -> String {
        self.place.key(&[&self.group, &self.stream, &format!("{:012}", self.number)])
    }
}
