//! A record as JSON: the same in `--format json`, in the audit file and over the endpoint.
//!
//! Every call is written so at least once, so it goes from the record to the text without a tree in between.

use std::fmt;

use landfall_types::finding::{Label, Severity};
use landfall_types::{Finding, SourceMap, Span};
use landfall_wire::jwt::ClaimsJson;
use serde::{Serialize, Serializer};

use super::{Record, Verdict};

/// A record as one line of JSON, without the newline. Names stay; new ones may come.
#[derive(Clone, Copy)]
pub struct RecordJson<'r> {
    record: &'r Record,
    sources: &'r SourceMap,
}

/// See [`RecordJson`].
pub fn record<'r>(record: &'r Record, sources: &'r SourceMap) -> RecordJson<'r> {
    RecordJson { record, sources }
}

impl RecordJson<'_> {
    /// Appends the line, with its newline.
    pub fn write_line(&self, into: &mut Vec<u8>) {
        serde_json::to_writer(&mut *into, self)
            .expect("INVARIANT: memory takes it, and all names are strings");
        into.push(b'\n');
    }
}

impl fmt::Debug for RecordJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl fmt::Display for RecordJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[derive(Serialize)]
struct Fields<'r> {
    #[serde(serialize_with = "shown")]
    time: landfall_types::Timestamp,
    sequence: u64,
    request_id: &'r str,
    service: &'r str,
    operation: &'r str,
    caller: &'r str,
    action: Option<&'r str>,
    resource: Option<&'r str>,
    outcome: &'r str,
    code: Option<&'r str>,
    message: Option<&'r str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    allowed_by: Vec<Statement<'r>>,
    finding: Option<FindingJson<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<ClaimsJson<'r>>,
}

#[derive(Serialize)]
struct Statement<'r> {
    policy: &'r str,
    sid: Option<&'r str>,
    statement: usize,
    place: String,
}

/// A finding, in the form in which `landfall check` and `rehearse` give it.
#[derive(Serialize)]
struct FindingJson<'r> {
    rule: &'r str,
    severity: &'r str,
    message: &'r str,
    places: Vec<Place<'r>>,
    notes: &'r [String],
    help: &'r [String],
}

#[derive(Serialize)]
struct Place<'r> {
    file: String,
    line: usize,
    column: usize,
    text: &'r str,
    excerpt: String,
}

fn shown<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Serialize for RecordJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, sources } = *self;
        let (outcome, code, message) = match &record.verdict {
            Verdict::Allowed => ("allowed", None, None),
            Verdict::Refused { code, message } => ("refused", Some(code.as_str()), Some(message.as_str())),
        };
        let allowed_by = record.decision.iter().flat_map(|decision| &decision.allowed_by);
        Fields {
            time: record.at,
            sequence: record.sequence,
            request_id: &record.request_id,
            service: record.service,
            operation: &record.operation,
            caller: &record.caller,
            action: record.action.as_deref(),
            resource: record.resource.as_deref(),
            outcome,
            code,
            message,
            optional: record.is_optional,
            allowed_by: allowed_by.map(|by| statement(by, sources)).collect(),
            finding: record.finding.as_ref().map(|finding| self::finding(finding, sources)),
            claims: record.claims.as_ref().map(ClaimsJson),
        }
        .serialize(serializer)
    }
}

fn statement<'r>(by: &'r landfall_policy::StatementRef, sources: &SourceMap) -> Statement<'r> {
    Statement {
        policy: &by.policy,
        sid: by.sid.as_deref(),
        statement: by.statement_index,
        place: sources.place(by.span).to_string(),
    }
}

/// Records that were not written or told, because they came too fast or the disk was full.
pub fn gap(missed: u64) -> serde_json::Value {
    serde_json::json!({ "event": "gap", "missed": missed })
}

fn finding<'r>(finding: &'r Finding, sources: &SourceMap) -> FindingJson<'r> {
    FindingJson {
        rule: finding.rule,
        severity: severity(finding.severity),
        message: &finding.message,
        places: finding.labels.iter().map(|label| place(label, label.span, sources)).collect(),
        notes: &finding.notes,
        help: &finding.help,
    }
}

fn place<'r>(label: &'r Label, span: Span, sources: &SourceMap) -> Place<'r> {
    let place = sources.place(span);
    Place {
        file: place.name.to_string(),
        line: place.line,
        column: place.column,
        text: &label.text,
        excerpt: sources.excerpt(span),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
