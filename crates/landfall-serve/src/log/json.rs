//! A record as JSON: the same in `--format json`, in the audit file and over the endpoint.

use landfall_types::{Finding, SourceMap, finding::Severity};
use serde_json::{Value, json};

use super::{Record, Verdict};

/// A record. Names stay; new ones may come.
pub fn record(record: &Record, sources: &SourceMap) -> Value {
    let (outcome, code, message) = match &record.verdict {
        Verdict::Allowed => ("allowed", None, None),
        Verdict::Refused { code, message } => ("refused", Some(code), Some(message)),
    };
    let statement = |by: &landfall_policy::StatementRef| {
        json!({
            "policy": by.policy,
            "sid": by.sid,
            "statement": by.statement_index,
            "place": sources.place(by.span).to_string(),
        })
    };
    let allowed_by: Vec<_> =
        record.decision.iter().flat_map(|(decision, _)| decision.allowed_by.iter().map(statement)).collect();
    let mut json = json!({
        "time": record.at.to_string(),
        "sequence": record.sequence,
        "request_id": record.request_id,
        "service": record.service,
        "operation": record.operation,
        "caller": record.caller,
        "action": record.action,
        "resource": record.resource,
        "outcome": outcome,
        "code": code,
        "message": message,
        "allowed_by": allowed_by,
        "finding": record.finding.as_ref().map(|finding| self::finding(finding, sources)),
    });
    if let Some(claims) = &record.claims {
        json["claims"] = landfall_wire::jwt::claims_to_json(claims);
    }
    json
}

/// Records that were not written or told, because they came too fast or the disk was full.
pub fn gap(missed: u64) -> Value {
    json!({ "event": "gap", "missed": missed })
}

/// A finding, in the form in which `landfall check` and `rehearse` give it.
fn finding(finding: &Finding, sources: &SourceMap) -> Value {
    let place = |label: &landfall_types::finding::Label| {
        let place = sources.place(label.span);
        json!({
            "file": &*place.name,
            "line": place.line,
            "column": place.column,
            "text": label.text,
            "excerpt": sources.excerpt(label.span),
        })
    };
    json!({
        "rule": finding.rule,
        "severity": severity(finding.severity),
        "message": finding.message,
        "places": finding.labels.iter().map(place).collect::<Vec<_>>(),
        "notes": finding.notes,
        "help": finding.help,
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
