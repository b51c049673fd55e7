//! Findings as text for a person and as data for a machine.

mod terminal;

use landfall_types::{Finding, Severity, SourceMap};

pub use terminal::{Style, terminal};

/// What a severity is called.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A finding as JSON: `{"rule", "severity", "message", "places": [{"file", "line", "column", "text",
/// "excerpt"}], "notes", "help"}`.
pub fn json(finding: &Finding, sources: &SourceMap) -> serde_json::Value {
    let places: Vec<serde_json::Value> = finding
        .labels
        .iter()
        .map(|label| {
            let place = sources.place(label.span);
            serde_json::json!({
                "file": &*place.name,
                "line": place.line,
                "column": place.column,
                "text": label.text,
                "excerpt": sources.excerpt(label.span),
            })
        })
        .collect();
    serde_json::json!({
        "rule": finding.rule,
        "severity": severity(finding.severity),
        "message": finding.message,
        "places": places,
        "notes": finding.notes,
        "help": finding.help,
    })
}
