//! Each `cases/workflows/*.yml` is rehearsed, and its transcript is compared with the file of the same name
//! that ends in `.snap`. Lines that begin with `#:` say how: `event`, `ref`, `activity`, `fork`, `input`, `secret`,
//! `var`, `environment`, `job`, `action`, `stretch`; what follows them is the workflow. All files lie in one repository and can call each other.

use std::path::Path;

use landfall_check::github::EventFacts;
use landfall_rehearse::environment::Rules;

use crate::stage::{Given, Stage};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases/workflows");

/// Files that are only called by others begin so.
const CALLED: &str = "called-";

fn given(text: &str) -> Given {
    let mut given = Given::default();
    for line in text.lines().filter_map(|line| line.strip_prefix("#: ")) {
        let (what, value) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (name, value) = value.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        match what {
            "event" if value == "pull_request" => {
                given.event = Some(EventFacts::pull_request(7, "main", "fix"));
            }
            "event" => given.event = Some(EventFacts::new(value, "refs/heads/main")),
            "ref" => given.event = Some(EventFacts::push(value)),
            "activity" => given.event.as_mut().unwrap().action = Some(value.to_owned()),
            "environment" => given.environments.push(Rules::parse(value).unwrap()),
            "fork" => given.from_fork = true,
            "input" => given.inputs.push(pair()),
            "secret" => given.secrets.push(pair()),
            "actor" => given.actor = Some(value.to_owned()),
            "action" => given.actions.push(pair()),
            "var" => given.vars.push(pair()),
            "job" => given.only_job = Some(value.to_owned()),
            "stretch" => given.stretch.push((pair().0, pair().1.parse().unwrap())),
            _ => panic!("{line}"),
        }
    }
    given
}

/// The files below `cases/actions`, at their places in the repository.
fn actions() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for action in std::fs::read_dir(Path::new(CASES).with_file_name("actions")).unwrap() {
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
    let mut names: Vec<String> = std::fs::read_dir(CASES)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    names.sort();
    let read = |name: &String| std::fs::read_to_string(Path::new(CASES).join(name)).unwrap();
    let texts: Vec<(String, String)> =
        names.iter().map(|name| (format!(".github/workflows/{name}"), read(name))).collect();
    let mut files: Vec<(&str, &str)> =
        texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let actions = actions();
    files.extend(actions.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    files.extend([("package-lock.json", "{}\n"), ("a b/hello.sh", "echo hello from \"$PWD\"\n")]);
    let repository = stage.folder("my repository", &files);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(CASES);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut wrong = Vec::new();
    let rehearsed: Vec<&String> = names.iter().filter(|name| !name.starts_with(CALLED)).collect();
    assert!(rehearsed.len() >= 15, "{rehearsed:?}");
    for name in rehearsed {
        let (_, lines) = stage.rehearse(&repository, name, &given(&read(name))).await;
        let transcript = lines.join("\n");
        let compare = || settings.bind(|| insta::assert_snapshot!(name.trim_end_matches(".yml"), transcript));
        // All of them are compared before the test fails.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
