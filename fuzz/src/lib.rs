//! What each fuzz target does with an input. libFuzzer calls it from `fuzz_targets/`, and the project's own tests
//! call it with every file of `seeds/` and with damaged copies of them (`crates/landfall/tests/it/fuzz.rs`).
//!
//! A target refuses what it likes. It never panics, never hangs, and needs no more memory than its input explains.

pub mod calls;
pub mod client;
pub mod definition;
pub mod expression;
pub mod files;
pub mod gitlab;
pub mod glob;
pub mod image;
pub mod jwt;
pub mod keys;
pub mod kubernetes;
pub mod manifest;
pub mod names;
pub mod policy;
pub mod proof;
pub mod query;
pub mod records;
pub mod route;
pub mod rules;
pub mod runner;
pub mod side;
pub mod sigv4;
pub mod terraform;
pub mod web_identity;
pub mod who;
pub mod workflow;
pub mod yaml;

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by name.
pub const TARGETS: &[Target] = &[
    ("calls", calls::run),
    ("client", client::run),
    ("definition", definition::run),
    ("expression", expression::run),
    ("files", files::run),
    ("gitlab", gitlab::run),
    ("glob", glob::run),
    ("image", image::run),
    ("jwt", jwt::run),
    ("keys", keys::run),
    ("kubernetes", kubernetes::run),
    ("manifest", manifest::run),
    ("names", names::run),
    ("policy", policy::run),
    ("proof", proof::run),
    ("query", query::run),
    ("records", records::run),
    ("route", route::run),
    ("rules", rules::run),
    ("runner", runner::run),
    ("sigv4", sigv4::run),
    ("terraform", terraform::run),
    ("web_identity", web_identity::run),
    ("who", who::run),
    ("workflow", workflow::run),
    ("yaml", yaml::run),
];

/// The start of an input as far as it is text.
fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            bytes.get(..error.valid_up_to()).and_then(|start| std::str::from_utf8(start).ok()).unwrap_or("")
        }
    }
}

/// The files in a text: each begins with a line `>>> NAME`. What comes before the first is called `first`.
fn files<'t>(text: &'t str, first: &'t str) -> Vec<(&'t str, &'t str)> {
    let (start, rest) = match text.strip_prefix(">>> ") {
        Some(rest) => ("", rest),
        None => text.split_once("\n>>> ").unwrap_or((text, "")),
    };
    let mut files = Vec::new();
    if !start.is_empty() {
        files.push((first, start));
    }
    if !rest.is_empty() {
        files.extend(rest.split("\n>>> ").map(|file| file.split_once('\n').unwrap_or((file, ""))));
    }
    files
}

/// Base64 for URLs. <https://www.rfc-editor.org/rfc/rfc4648#section-5>
fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
