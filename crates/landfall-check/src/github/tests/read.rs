use super::*;

#[test]
fn every_file_gets_the_findings_that_its_case_lists() {
    let mut wrong = Vec::new();
    let cases = cases(include_str!("../../../cases/github/read.txt"));
    assert!(cases.len() > 20);
    for (name, text, wanted) in cases {
        let (_, findings) = load(SourceId(0), ".github/workflows/x.yml", &text);
        let lines = Lines::of(&text);
        let found: Vec<String> = findings
            .iter()
            .map(|finding| {
                let (line, column) = lines.at(finding.labels.first().unwrap().span.start as usize);
                format!("(Line: {line}, Col: {column}): {}", finding.message)
            })
            .collect();
        if found.join("\n") != wanted {
            wrong.push(format!("=== {name}\n{}\n--- wanted\n{wanted}\n", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const EVERYTHING: &str = "name: N
on: [push]
concurrency: x
jobs:
  a:
    runs-on: [self-hosted, '${{ matrix.os }}']
    strategy: { matrix: { os: [x] } }
    container: node
    services: { db: { image: postgres } }
    snapshot: image
    environment: prod
    env: ${{ fromJSON('{}') }}
    steps:
      - run: |

          echo first
          echo second
      - uses: a/b@v1
        with: { key: v, n: 3.10 }
        background: true
      - wait: x
      - name: Named ${{ github.sha }}
        run: echo
";

#[test]
fn what_is_not_modelled_is_listed_with_its_place_and_never_dropped() {
    let workflow = fine(".github/workflows/x.yml", EVERYTHING);
    let names = |found: &[landfall_types::Spanned<&'static str>]| -> Vec<&'static str> {
        found.iter().map(|item| item.value).collect()
    };
    assert_eq!(names(&workflow.unmodelled), ["concurrency"]);
    let job = workflow.job("A").unwrap();
    assert_eq!(
        names(&job.unmodelled),
        [
            "strategy",
            "snapshot",
            "a whole mapping from one expression",
            "background steps",
            "steps that wait, cancel or run in parallel"
        ]
    );
    assert!(job.strategy.as_ref().unwrap().matrix.is_some());
    assert_eq!(workflow.place(job.id.span), ".github/workflows/x.yml (Line: 5, Col: 3)");
}

#[test]
fn steps_know_their_titles_and_numbers_their_text() {
    let workflow = fine(".github/workflows/x.yml", EVERYTHING);
    let JobBody::Steps(steps) = &workflow.jobs.first().unwrap().body else { panic!("a job with steps") };
    let titles: Vec<String> = steps.steps.iter().map(Step::title).collect();
    assert_eq!(titles, ["Run echo first", "Run a/b@v1", "wait", "Named ${{ github.sha }}"]);
    let StepBody::Uses { uses, with } = &steps.steps.get(1).unwrap().body else { panic!("an action") };
    assert_eq!(uses.value, "a/b@v1");
    let texts: Vec<_> = with.iter().map(|(key, value)| (key.value.as_str(), value.text.as_str())).collect();
    // GitHub reads 3.10 as the number 3.1.
    assert_eq!(texts, [("key", "v"), ("n", "3.1")]);
    assert_eq!(steps.environment.as_ref().unwrap().name.text, "prod");
}

#[test]
fn a_workflow_without_a_name_is_called_by_its_path() {
    let workflow = fine(".github/workflows/x.yml", "on: push\njobs: { a: { runs-on: x, steps: [] } }\n");
    assert_eq!(workflow.display_name(), ".github/workflows/x.yml");
}

/// Every prefix of a file, and the file with something put in at every place: nothing may panic, and
/// every place that is named lies inside of the text.
#[test]
fn a_damaged_file_is_findings_and_never_a_panic() {
    let check = |text: &str| {
        let (_, findings) = load(SourceId(0), ".github/workflows/x.yml", text);
        for label in findings.iter().flat_map(|finding| &finding.labels) {
            let range = label.span.start as usize..label.span.end as usize;
            assert!(text.get(range.clone()).is_some(), "{range:?} of {text}");
        }
    };
    let damages = [":", "\n", "[", "{", "'", "&a ", "*a ", "- ", "ä", "${{"];
    for (at, damage) in (0..EVERYTHING.len()).zip(damages.iter().cycle()) {
        let (before, after) = EVERYTHING.split_at(at);
        check(before);
        check(&format!("{before}{damage}{after}"));
    }
}
