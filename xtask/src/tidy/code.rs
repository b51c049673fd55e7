//! Rules about Rust files.

use super::{Message, SourceFile};

/// A library that only some files may name.
struct Confined {
    /// As it is written in a path.
    name: &'static str,
    /// Files, or folders that end with `/`.
    to: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        name: "axum",
        to: &[
            "crates/landfall-serve/src/blobs.rs",
            "crates/landfall-serve/src/blobs/",
            "crates/landfall-serve/src/http/",
            "crates/landfall-serve/src/registry/",
            "crates/landfall-serve/src/server.rs",
        ],
        why: "the rest of the server doesn't know that there is HTTP; bodies are streamed to and from blobs",
    },
    Confined {
        name: "hyper",
        to: &["crates/landfall-serve/src/discovery/", "crates/landfall-serve/src/http/"],
        why: "one place calls out, and one answers",
    },
    Confined {
        name: "rustls",
        to: &["crates/landfall-serve/src/discovery/", "crates/landfall-serve/tests/it/discovery.rs"],
        why: "the one place that calls out",
    },
    Confined {
        name: "granit_parser",
        to: &[
            "crates/landfall-check/src/yaml.rs",
            "crates/landfall-check/src/yaml/",
            "crates/landfall-serve/src/codedeploy/yaml.rs",
        ],
        why: "it stays easy to replace",
    },
    Confined {
        name: "hcl_edit",
        to: &["crates/landfall-check/src/terraform/syntax.rs"],
        why: "it stays easy to replace",
    },
    Confined {
        name: "rusqlite",
        to: &["crates/landfall-serve/src/store/disk.rs"],
        why: "records go to any disk that keeps a change whole",
    },
];

/// Crates that take everything as arguments.
const PURE: &[&str] =
    &["crates/landfall-types/", "crates/landfall-policy/", "crates/landfall-check/", "crates/landfall-wire/"];
/// What only the edge of the process has.
const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "std::net::Udp",
    "SystemTime::now",
    "Instant::now",
];

/// Marks of work that isn't done. In two parts, so that this file may hold them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimplem", "ented!("),
];

/// Checks one Rust file.
pub fn check(file: &SourceFile) -> Vec<Message> {
    let mut messages = Vec::new();
    let first = file.text.lines().find(|line| !line.trim().is_empty());
    if !file.is_test() && !first.is_some_and(|line| line.starts_with("//!")) {
        let text = "the module doesn't say what it is for; begin it with a `//!` paragraph";
        messages.push(Message::new(&file.path, 1, text));
    }
    let pure = PURE.iter().any(|folder| file.path.starts_with(folder)) && !file.is_test();
    let tests_begin = super::length::tests_begin(&file.text);
    for (index, line) in file.text.lines().enumerate() {
        let mut say = |text: String| messages.push(Message::new(&file.path, index + 1, text));
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(**mark)) {
            let mark = mark.trim_end_matches(['(', ':']);
            say(format!(
                "`{mark}` marks unfinished work, and nobody will come back for it; finish it, or open an issue"
            ));
        }
        for confined in CONFINED.iter().filter(|confined| names(line, confined.name)) {
            if !confined
                .to
                .iter()
                .any(|place| file.path == *place || (place.ends_with('/') && file.path.starts_with(place)))
            {
                let places = confined.to.join(", ");
                say(format!(
                    "`{}` is named outside of {places}: {}; go through what is there",
                    confined.name, confined.why
                ));
            }
        }
        if pure && index < tests_begin && !line.trim_start().starts_with("//") {
            for outside in OUTSIDE.iter().filter(|outside| line.contains(**outside)) {
                say(format!(
                    "`{outside}` in a crate that is text in, report out; take it as an argument, and let the binary supply it"
                ));
            }
        }
    }
    messages
}

/// Whether a line of code uses a library by name.
fn names(line: &str, library: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//")
        && (code.contains(&format!("{library}::")) || code.contains(&format!("use {library};")))
}
