//! The law, first half: what `check` says of a job's token, the token that the job really gets says.

use landfall_check::github::{self, EventFacts, Library, LoadFailure, Loaded};
use landfall_types::{ClaimValue, SourceId};
use landfall_wire::jwt;

use crate::stage::{Given, Stage};

/// The rows of `check`'s own table: event, ref, environment, immutable, subject.
const ROWS: &str = include_str!("../../../landfall-check/cases/github/claims.txt");
const AUDIENCE: &str = "sts.amazonaws.com";

/// Two jobs that write their token to a file: one of this file, one of a called file.
const CALLER: &str = "
name: Ask for a token
on:
  push:
  pull_request:
  pull_request_target:
  pull_request_review:
  workflow_dispatch:
  schedule: [{ cron: '0 5 * * *' }]
  release:
  workflow_run: { workflows: [Build] }
  merge_group:
permissions: { id-token: write }
jobs:
  own:
    runs-on: ubuntu-latest
    environment: ${{ vars.ENVIRONMENT }}
    steps:
      - run: |
          curl -sS --fail -H \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\" \\
            \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com\" > '${{ vars.OUT }}'/\"$GITHUB_JOB\"
  calls:
    uses: ./.github/workflows/called.yml
";

/// The called file: the same job under another name.
fn called() -> String {
    let job = CALLER.split("  own:\n").nth(1).unwrap().split("  calls:\n").next().unwrap();
    format!("on: workflow_call\njobs:\n  inner:\n{job}")
}

struct Called;

impl Library for Called {
    fn load(&mut self, _: &github::CalledRef) -> Result<Loaded, LoadFailure> {
        let (workflow, findings) = github::load(SourceId(1), ".github/workflows/called.yml", &called());
        assert!(findings.is_empty(), "{findings:?}");
        Ok(Loaded { workflow: workflow.unwrap(), resolved_ref: String::new(), sha: String::new() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_that_a_job_gets_says_what_check_says_of_the_job() {
    let stage = Stage::set().await;
    let files = [(".github/workflows/caller.yml", CALLER), (".github/workflows/called.yml", &*called())];
    let repository = stage.folder("repository", &files);
    let (root, findings) = github::load(SourceId(0), ".github/workflows/caller.yml", CALLER);
    assert!(findings.is_empty(), "{findings:?}");
    let root = root.unwrap();
    let mut rows = 0;
    for row in ROWS.lines().filter(|row| !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [event, git_ref, environment, immutable, subject, keys @ ..] = cells.as_slice() else {
            panic!("{row}")
        };
        let out = stage.folder(&format!("out {rows}"), &[("here", "")]);
        let given = Given {
            event: Some(EventFacts::new(*event, *git_ref)),
            immutable_subject: *immutable == "yes",
            subject_keys: keys.first().map(|keys| keys.split(',').map(str::to_owned).collect()),
            vars: vec![
                ("ENVIRONMENT".to_owned(), (*environment).to_owned()),
                ("OUT".to_owned(), out.display().to_string()),
            ],
            ..Given::default()
        };
        let (summary, lines) = stage.rehearse(&repository, "caller.yml", &given).await;
        assert!(summary.success, "{row}\n{}", lines.join("\n"));
        let facts = Stage::facts(&given);
        let plan = github::plan(&root, &facts, &mut Called).unwrap();
        for (path, id) in [("own", "own"), ("calls/inner", "inner")] {
            let answer = std::fs::read_to_string(out.join(id)).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let token = jwt::parse(answer["value"].as_str().unwrap()).unwrap();
            let issued_at = match token.claims.get("iat") {
                Some(ClaimValue::Number(seconds)) => seconds.parse().unwrap(),
                other => panic!("{other:?}"),
            };
            let token_id = token.claims.text("jti").unwrap();
            let environment = Some(*environment).filter(|name| !name.is_empty());
            let job = plan.job(path).unwrap();
            let wanted = github::claims(&facts, job, environment, Some(AUDIENCE), issued_at, token_id);
            assert_eq!(token.claims, wanted, "{row}: {path}");
            assert_eq!(token.claims.text("sub"), Some(*subject), "{row}: {path}");
        }
        rows += 1;
    }
    assert!(rows >= 20);
}
