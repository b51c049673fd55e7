use super::*;

fn event(row: &str) -> EventFacts {
    let mut words = row.split(' ');
    let mut event = EventFacts::new(words.next().unwrap(), words.next().unwrap());
    for word in words {
        match word.split_once('=').unwrap() {
            ("base", value) => event.base_ref = value.to_owned(),
            ("head", value) => event.head_ref = value.to_owned(),
            ("action", value) => event.action = Some(value.to_owned()),
            ("changed", value) => {
                event.changed_paths = Some(value.split(',').map(str::to_owned).collect());
            }
            _ => panic!("not an event: {row}"),
        }
    }
    event
}

#[test]
fn every_event_of_the_table_starts_its_workflow_or_is_kept_out_by_the_named_place() {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for section in include_str!("../../../cases/github/triggers.txt").split("\n=== ").skip(1) {
        let (on, table) = section.split_once('\n').unwrap();
        let text = format!("on: {on}\njobs: {{ a: {{ runs-on: x, steps: [] }} }}\n");
        let workflow = fine(".github/workflows/x.yml", &text);
        for row in table.lines().filter(|row| !row.is_empty()) {
            rows += 1;
            let (facts, wanted) = row.split_once(": ").unwrap();
            let found = match starts(&workflow.on, &event(facts)) {
                Ok(()) => "yes".to_owned(),
                Err(finding) => {
                    let span = finding.labels.first().unwrap().span;
                    let place = text.get(span.start as usize..span.end as usize).unwrap();
                    format!("{} @ {place}", finding.message)
                }
            };
            if found != wanted {
                wrong.push(format!("{on}\n  {facts}\n  wanted {wanted}\n  found  {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 40);
}

#[test]
fn globs_match_as_the_cheat_sheet_says() {
    for (pattern, fits, not) in [
        ("feature/*", &["feature/my-branch"][..], &["feature/a/b", "feature"][..]),
        ("feature/**", &["feature/beta-a/my-branch", "feature/x"], &["feature"]),
        ("**feature", &["mona-feature", "feature", "a/feature"], &["featured"]),
        ("v2*", &["v2", "v2.0", "v2.9"], &["v1", "v2/0"]),
        ("*.jsx?", &["page.js", "page.jsx"], &["page.jsxx", "a/page.js"]),
        ("**/docs/**", &["dir/docs/my-file.txt", "a/docs/b/c"], &["docs", "dir/docs"]),
        ("[CB]at", &["Cat", "Bat"], &["Rat", "cat"]),
        ("[1-2]00", &["100", "200"], &["300"]),
        ("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1.1"]),
        ("a\\*b", &["a*b"], &["axb"]),
        ("a[b", &["a[b"], &["ab"]),
        ("**", &["", "a", "a/b"], &[]),
        ("*", &["", "a"], &["a/b"]),
    ] {
        let glob = glob::Glob::parse(pattern);
        for text in fits {
            assert!(glob.fits(text), "{pattern} {text}");
        }
        for text in not {
            assert!(!glob.fits(text), "{pattern} {text}");
        }
    }
}

#[test]
fn a_hostile_glob_takes_no_longer_than_text_times_pattern() {
    let glob = glob::Glob::parse(&"*a".repeat(500));
    assert!(!glob.fits(&format!("{}b", "a".repeat(2_000))));
}

const DISPATCH: &str = "on:
  workflow_dispatch:
    inputs:
      stage: { type: choice, options: [dev, prod], default: dev }
      count: { type: number, required: true }
      dry: { type: boolean, default: true }
      note:
      place: { type: environment }
jobs: { a: { runs-on: x, steps: [] } }
";

fn given(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn dispatched_inputs_are_typed_and_get_their_defaults() {
    let workflow = fine(".github/workflows/x.yml", DISPATCH);
    let inputs = crate::github::trigger::dispatch_inputs(
        &workflow.on,
        &given(&[("COUNT", "3"), ("note", "x"), ("dry", "false")]),
    );
    let shown: Vec<String> =
        inputs.unwrap().iter().map(|(name, value)| format!("{name}={}", expr::to_json(value))).collect();
    assert_eq!(shown, ["stage=\"dev\"", "count=3", "dry=false", "note=\"x\"", "place=\"\""]);
}

#[test]
fn dispatched_inputs_that_do_not_fit_are_refused_in_the_words_of_the_api() {
    let workflow = fine(".github/workflows/x.yml", DISPATCH);
    for (pairs, wanted) in [
        (&[("x", "1"), ("count", "1")][..], "Unexpected inputs provided: [\"x\"]"),
        (&[], "Required input 'count' not provided"),
        (
            &[("count", "1"), ("stage", "qa")],
            "Provided value 'qa' for input 'stage' not in the list of allowed values",
        ),
        (&[("count", "many")], "input 'count' is a number, and 'many' is not one"),
        (&[("count", "1"), ("dry", "1")], "input 'dry' is a boolean, and '1' is not one"),
    ] {
        let findings = crate::github::trigger::dispatch_inputs(&workflow.on, &given(pairs)).unwrap_err();
        let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, [wanted]);
        assert!(!findings.iter().any(|finding| finding.labels.is_empty()));
    }
}

#[test]
fn an_event_knows_its_short_ref() {
    for (event, name, kind) in [
        (EventFacts::push("refs/heads/a/b"), "a/b", "branch"),
        (EventFacts::push("refs/tags/v1"), "v1", "tag"),
        (EventFacts::pull_request(7, "main", "x"), "7/merge", "branch"),
        (EventFacts::pull_request_target("trunk", "main", "x"), "trunk", "branch"),
    ] {
        assert_eq!((event.ref_name(), event.ref_type()), (name, kind));
    }
}
