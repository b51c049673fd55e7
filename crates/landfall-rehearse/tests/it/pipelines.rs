//! Each `cases/pipelines/*.gitlab-ci.yml` is rehearsed. Lines that begin with `#:` say how: `branch`, `tag`,
//! `merge-request`, `source`, `variable`, `secret`, `input`, `job`, `manual`. All files lie in one project.

use landfall_check::gitlab::{MergeRequest, PipelineFacts, RefType};

use crate::cases::{Cases, pair, said};
use crate::stage::{GivenPipeline, Stage};

fn given(text: &str) -> GivenPipeline {
    let mut given = GivenPipeline {
        facts: PipelineFacts::of("mygroup/myproject"),
        inputs: Vec::new(),
        only_job: None,
        manual: false,
    };
    for (what, value) in said(text) {
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
            "variable" => facts.variables.push(pair(value)),
            "secret" => facts.secrets.push(pair(value)),
            "input" => given.inputs.push(pair(value)),
            "job" => given.only_job = Some(value.to_owned()),
            "manual" => given.manual = true,
            _ => panic!("{what} {value}"),
        }
    }
    given
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pipeline_runs_as_its_transcript_says() {
    let stage = Stage::set().await;
    let cases = Cases::read("pipelines");
    let project = stage.folder("my project", &cases.placed(""));
    let is_case = |name: &str| name.ends_with(".gitlab-ci.yml");
    let rehearse = async |name: &str, text: &str| stage.pipeline(&project, name, given(text)).await;
    cases.every_case(8, ".gitlab-ci.yml", is_case, rehearse).await;
}
