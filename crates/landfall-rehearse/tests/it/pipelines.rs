//! Each `cases/pipelines/*.gitlab-ci.yml` is rehearsed, and its transcript is compared with the file of the same name
//! that ends in `.snap`. Lines that begin with `#:` say how: `branch`, `tag`, `merge-request`, `source`, `variable`,
//! `secret`, `input`, `job`, `manual`. All files lie in one project.

use std::path::Path;

use landfall_check::gitlab::{MergeRequest, PipelineFacts, RefType};

use crate::stage::{GivenPipeline, Stage};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases/pipelines");

fn given(text: &str) -> GivenPipeline {
    let mut given = GivenPipeline {
        facts: PipelineFacts::of("mygroup/myproject"),
        inputs: Vec::new(),
        only_job: None,
        manual: false,
    };
    for line in text.lines().filter_map(|line| line.strip_prefix("#: ")) {
        let (what, value) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (name, value) = value.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        let facts = &mut given.facts;
        match what {
            "branch" => facts.ref_name = value.to_owned(),
            "tag" => (facts.ref_name, facts.ref_type) = (value.to_owned(), RefType::Tag),
            "merge-request" => {
                facts.source = "merge_request_event".to_owned();
                facts.ref_name = value.to_owned();
                let target_branch = "main".to_owned();
                facts.merge_request = Some(MergeRequest { iid: 7, target_branch, target_project: None });
            }
            "source" => facts.source = value.to_owned(),
            "variable" => facts.variables.push(pair()),
            "secret" => facts.secrets.push(pair()),
            "input" => given.inputs.push(pair()),
            "job" => given.only_job = Some(value.to_owned()),
            "manual" => given.manual = true,
            _ => panic!("{line}"),
        }
    }
    given
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pipeline_runs_as_its_transcript_says() {
    let stage = Stage::set().await;
    let mut names: Vec<String> = std::fs::read_dir(CASES)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    names.sort();
    let read = |name: &String| std::fs::read_to_string(Path::new(CASES).join(name)).unwrap();
    let texts: Vec<(String, String)> = names.iter().map(|name| (name.clone(), read(name))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let project = stage.folder("my project", &files);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(CASES);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut wrong = Vec::new();
    let rehearsed: Vec<&String> = names.iter().filter(|name| name.ends_with(".gitlab-ci.yml")).collect();
    assert!(rehearsed.len() >= 8, "{rehearsed:?}");
    for name in rehearsed {
        let transcript = stage.pipeline(&project, name, given(&read(name))).await.join("\n");
        let snapshot = name.trim_end_matches(".gitlab-ci.yml");
        let compare = || settings.bind(|| insta::assert_snapshot!(snapshot, transcript));
        // All of them are compared before the test fails.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
