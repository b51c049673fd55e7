//! Input that wants to cost time or stack gets an answer all the same.

use super::*;
use crate::json::{JSON_BYTES_MAX, JSON_LEVELS_MAX};
use crate::pattern;

/// Far more than any of these needs, and far less than anything exponential would take.
const PATIENCE_SECONDS: u64 = 20;

#[test]
fn patterns_of_many_stars_are_matched_in_bounded_time() {
    let started = std::time::Instant::now();
    let text = "a".repeat(20_000);
    for pattern in [
        "*a".repeat(1_000) + "b",
        "a*".repeat(1_000) + "b",
        "*?".repeat(1_000) + "b",
        "*".repeat(5_000) + "b",
    ] {
        assert!(!pattern::glob(&pattern, &text));
        assert!(!pattern::glob_ignore_case(&pattern, &text));
        assert!(!pattern::arn(&format!("arn:aws:x:::{pattern}"), &format!("arn:aws:x:::{text}")));
    }
    assert!(pattern::glob(&"*a".repeat(10_000), &text));
    assert!(started.elapsed().as_secs() < PATIENCE_SECONDS, "{:?}", started.elapsed());
}

#[test]
fn deep_nesting_is_refused_at_the_stated_level() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |levels: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
        };
        assert!(json::parse(SourceId(0), &nested(JSON_LEVELS_MAX)).1.is_empty());
        let (_, problems) = json::parse(SourceId(0), &nested(JSON_LEVELS_MAX + 1));
        assert_eq!(problems[0].message, format!("values are nested deeper than {JSON_LEVELS_MAX} levels"));
        let (_, problems) = json::parse(SourceId(0), &open.repeat(100_000));
        assert_eq!(problems.len(), 1);
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_with_the_limit() {
    let text = format!("\"{}\"", "a".repeat(JSON_BYTES_MAX));
    let (tree, problems) = json::parse(SourceId(0), &text);
    assert!(matches!(tree.node, Node::Unknown(_)));
    assert!(problems[0].message.ends_with("the limit is 1048576"), "{}", problems[0].message);
}

#[test]
fn many_keys_are_checked_for_repetition_in_bounded_time() {
    let started = std::time::Instant::now();
    let entries: Vec<String> = (0..60_000).map(|index| format!("\"k{index}\":0")).collect();
    let (tree, problems) = json::parse(SourceId(0), &format!("{{{}}}", entries.join(",")));
    assert_eq!((tree.entries().len(), problems.len()), (60_000, 0));
    let (policy, problems) = parse::policy(&tree, PolicyKind::Identity);
    assert!(policy.unread_statements > 0 && !problems.is_empty());
    assert!(started.elapsed().as_secs() < PATIENCE_SECONDS, "{:?}", started.elapsed());
}

#[test]
fn no_prefix_and_no_changed_byte_of_a_policy_stops_the_reader() {
    let text = include_str!("../../data/managed/AWSCodeDeployRoleForECS.json");
    let whole = sound_text(text, PolicyKind::Identity);
    for end in 0..text.trim_end().len() {
        let (policy, problems) = parse::document(SourceId(0), &text[..end], PolicyKind::Identity);
        assert!(!problems.is_empty() && policy.unread_statements > 0, "cut at {end}");
    }
    for at in 0..text.len() {
        for byte in ["\"", "{", "]", "\\", "0", "é", " "] {
            let changed = format!("{}{byte}{}", &text[..at], &text[at + 1..]);
            let (policy, problems) = parse::document(SourceId(0), &changed, PolicyKind::Identity);
            let is_whole = policy.statements.len() == whole.statements.len();
            assert!(is_whole || !problems.is_empty(), "at {at}: a statement went without a word: {changed}");
        }
    }
}
