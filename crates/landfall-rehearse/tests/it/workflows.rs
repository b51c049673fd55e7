//! Each `cases/workflows/*.yml` is rehearsed. Lines that begin with `#:` say how: `event`, `ref`, `activity`, `fork`,
//! `input`, `secret`, `actor`, `var`, `environment`, `job`, `action`, `stretch`; what follows them is the workflow. All
//! files lie in one repository and can call each other.

use std::path::Path;

use landfall_check::github::EventFacts;
use landfall_rehearse::environment::Rules;

use crate::cases::{Cases, pair, said};
use crate::stage::{Given, Stage};

/// Files that are only called by others begin so.
const CALLED: &str = "called-";

fn given(text: &str) -> Given {
    let mut given = Given::default();
    for (what, value) in said(text) {
        match what {
            "event" if value == "pull_request" => {
                given.event = Some(EventFacts::pull_request(7, "main", "fix"));
            }
            "event" => given.event = Some(EventFacts::new(value, "refs/heads/main")),
            "ref" => given.event = Some(EventFacts::push(value)),
            "activity" => given.event.as_mut().unwrap().action = Some(value.to_owned()),
            "environment" => given.environments.push(Rules::parse(value).unwrap()),
            "fork" => given.from_fork = true,
            "input" => given.inputs.push(pair(value)),
            "secret" => given.secrets.push(pair(value)),
            "actor" => given.actor = Some(value.to_owned()),
            "action" => given.actions.push(pair(value)),
            "var" => given.vars.push(pair(value)),
            "job" => given.only_job = Some(value.to_owned()),
            "stretch" => given.stretch.push((pair(value).0, pair(value).1.parse().unwrap())),
            _ => panic!("{what} {value}"),
        }
    }
    given
}

/// The files below `cases/actions`, at their places in the repository.
fn actions() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for action in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/actions")).unwrap() {
        let action = action.unwrap();
        for file in std::fs::read_dir(action.path()).unwrap() {
            let file = file.unwrap();
            let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
            let path = format!(".github/actions/{}/{}", name(&action), name(&file));
            files.push((path, std::fs::read_to_string(file.path()).unwrap()));
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workflow_runs_as_its_transcript_says() {
    let stage = Stage::set().await;
    let cases = Cases::read("workflows");
    let mut files = cases.placed(".github/workflows/");
    files.extend(actions());
    let more = [("package-lock.json", "{}\n"), ("a b/hello.sh", "echo hello from \"$PWD\"\n")];
    files.extend(more.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let repository = stage.folder("my repository", &files);
    let is_case = |name: &str| !name.starts_with(CALLED);
    let rehearse = async |name: &str, text: &str| stage.rehearse(&repository, name, &given(text)).await.1;
    cases.every_case(15, ".yml", is_case, rehearse).await;
}
