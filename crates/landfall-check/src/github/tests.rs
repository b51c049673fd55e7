#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod claims;
mod evaluate;
mod event;
mod plan;
mod read;
mod runner;
mod trigger;

use landfall_types::SourceId;

use super::*;

/// The sections of a case file: name, then body, then what stands after `---`.
pub(super) fn cases(text: &str) -> Vec<(String, String, String)> {
    let sections = text.split("\n=== ").skip(1);
    sections
        .map(|section| {
            let (name, rest) = section.split_once('\n').unwrap();
            let (body, wanted) = match rest.strip_prefix("---") {
                Some(wanted) => ("", wanted),
                None => rest.split_once("\n---").unwrap_or_else(|| panic!("{name} has no `---`")),
            };
            (name.to_owned(), format!("{body}\n"), wanted.trim().to_owned())
        })
        .collect()
}

/// The workflow of a text that has nothing wrong.
pub(super) fn fine(path: &str, text: &str) -> Workflow {
    let (workflow, findings) = load(SourceId(0), path, text);
    let messages: Vec<_> = findings.iter().map(|finding| &finding.message).collect();
    assert!(findings.is_empty(), "{path}: {messages:?}");
    workflow.unwrap()
}
