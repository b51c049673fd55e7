#![allow(clippy::unwrap_used, clippy::panic)]

use serde::Deserialize;

use super::*;
use crate::testing::NOW;

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    policy: String,
    #[serde(default)]
    images: Vec<String>,
    expires: Option<Vec<String>>,
    archives: Option<Vec<String>>,
    refused: Option<String>,
    written: Option<String>,
}

/// One line of `images`.
struct Line {
    name: String,
    tags: Vec<String>,
    lists: Vec<String>,
    pushed: i64,
    pulled: Option<i64>,
    archived: Option<i64>,
}

fn line(text: &str) -> Line {
    let (name, rest) = text.split_once(':').unwrap();
    let (mut tags, mut lists, mut pushed, mut pulled, mut archived) = (Vec::new(), Vec::new(), 0, None, None);
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (word, value) = part.split_once(' ').unwrap_or_else(|| panic!("`{part}` of `{text}`"));
        let words = || value.split_whitespace().map(str::to_owned).collect();
        let seconds = || {
            let (number, unit) =
                value.split_once(' ').unwrap_or_else(|| panic!("`{part}`: 3 days, 5 seconds"));
            number.parse::<i64>().unwrap() * if unit.starts_with("day") { 86_400 } else { 1 }
        };
        match word {
            "tags" | "tag" => tags = words(),
            "lists" => lists = words(),
            "pushed" => pushed = seconds(),
            "pulled" => pulled = Some(seconds()),
            "archived" => archived = Some(seconds()),
            _ => panic!("`{word}` of `{text}`"),
        }
    }
    Line { name: name.to_owned(), tags, lists, pushed, pulled, archived }
}

#[test]
fn policies_do_what_the_table_says() {
    let cases: Cases = toml::from_str(include_str!("../../../cases/lifecycle.toml")).unwrap();
    assert!(cases.case.len() > 40);
    for case in cases.case {
        let policy = match parse(&case.policy) {
            Ok(policy) => policy,
            Err(error) => {
                let prefix = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: \
                              'Lifecycle policy validation failure: ";
                let reason =
                    error.message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('\'')).unwrap();
                assert_eq!(Some(reason), case.refused.as_deref(), "{}", case.name);
                assert_eq!((error.code.as_ref(), error.status), ("InvalidParameterException", 400));
                continue;
            }
        };
        assert_eq!(case.refused, None, "{}: this was accepted", case.name);
        if let Some(written) = &case.written {
            assert_eq!(&policy.to_json(), written, "{}", case.name);
        }
        let lines: Vec<Line> = case.images.iter().map(|text| line(text)).collect();
        let at = |seconds: i64| NOW.plus_seconds(-seconds);
        let images: Vec<Candidate<'_>> = lines
            .iter()
            .map(|line| Candidate {
                digest: &line.name,
                tags: line.tags.iter().map(String::as_str).collect(),
                pushed_at: at(line.pushed),
                pulled_at: line.pulled.map(at),
                archived_at: line.archived.map(at),
                storage: if line.archived.is_some() { StorageClass::Archive } else { StorageClass::Standard },
                lists: line.lists.iter().map(String::as_str).collect(),
            })
            .collect();
        let verdicts = evaluate(&policy, &images, NOW);
        let acted = |action: Action| -> Vec<String> {
            let of_action = verdicts.iter().filter(|verdict| verdict.action == action);
            of_action
                .map(|verdict| format!("{} by {}", images[verdict.index].digest, verdict.priority))
                .collect()
        };
        assert_eq!(acted(Action::Expire), case.expires.unwrap_or_default(), "{}", case.name);
        assert_eq!(acted(Action::Archive), case.archives.unwrap_or_default(), "{}", case.name);
    }
}

#[test]
fn what_is_written_is_read_as_the_same_policy() {
    let cases: Cases = toml::from_str(include_str!("../../../cases/lifecycle.toml")).unwrap();
    for policy in cases.case.iter().filter_map(|case| parse(&case.policy).ok()) {
        assert_eq!(parse(&policy.to_json()).unwrap(), policy);
    }
}

#[test]
fn wildcards_match_the_whole_tag() {
    for (pattern, matching, other) in [
        ("prod*", vec!["prod", "prod1", "production"], vec!["preprod", "Prod"]),
        ("*prod*", vec!["prod", "preprod", "a-prod-b"], vec!["pro", "p-rod"]),
        ("*prod", vec!["prod", "preprod"], vec!["prod1"]),
        ("v1", vec!["v1"], vec!["v", "v11"]),
        ("a*b*c", vec!["abc", "a1b2c", "abbc", "abcbc"], vec!["ab", "acb", "abcd"]),
        ("a*a", vec!["aa", "aba"], vec!["a"]),
        ("*", vec!["", "x"], vec![]),
    ] {
        assert!(matching.iter().all(|text| matches_wildcard(pattern, text)), "{pattern}");
        assert!(!other.iter().any(|text| matches_wildcard(pattern, text)), "{pattern}");
    }
}
