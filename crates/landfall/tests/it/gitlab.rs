//! `landfall rehearse` of GitLab pipelines: the example, each refusal, bad input, the component.

use crate::bench::{self, Bench};

const EXAMPLE: &str = "gitlab";
const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/gitlab");

#[test]
fn the_job_without_the_aws_cli_works() {
    let done = Bench::new().example_of(EXAMPLE, None).landfall(&["rehearse", "example", "--job", "push"]);
    assert_eq!(done.code, Some(0), "{}", done.shown);
    bench::snapshot("gitlab-example", &done.shown);
}

#[test]
fn each_refusal_says_the_line() {
    let mut rows = bench::rows(include_str!("gitlab_refusals.toml"));
    for row in &mut rows {
        row.flags.extend(["--job".to_owned(), "push".to_owned()]);
    }
    bench::compare_of(EXAMPLE, &rows, 1);
}

#[test]
fn bad_input_is_told_in_one_message() {
    bench::compare_of(EXAMPLE, &bench::rows(include_str!("gitlab_bad_input.toml")), 2);
}

/// Each event of a run as one line: what it is about, and how it ended.
#[test]
fn as_json_each_line_is_an_event() {
    let args = ["rehearse", "example", "--job", "push", "--format", "json"];
    let done = Bench::new().example_of(EXAMPLE, None).landfall(&args);
    let mut lines = Vec::new();
    for line in done.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let keys = ["event", "workflow", "job", "step", "outcome", "subject"];
        let about = keys.iter().filter_map(|key| event[key].as_str()).collect::<Vec<_>>().join(" ");
        if event["event"] != "output" {
            lines.push(about);
        }
    }
    bench::snapshot("gitlab-json", &lines.join("\n"));
}

#[test]
fn it_may_be_called_from_anywhere_in_the_project() {
    let bench = Bench::new().example_of(EXAMPLE, None);
    for (folder, args) in [
        ("example/project", vec!["rehearse"]),
        ("example/project", vec!["rehearse", ".gitlab-ci.yml"]),
        ("example/infra", vec!["rehearse", "../project/.gitlab-ci.yml"]),
    ] {
        let done = bench.landfall_in(folder, &[&args[..], &["--job", "push"]].concat());
        assert_eq!(done.code, Some(0), "{folder}: {}", done.shown);
    }
}

#[test]
fn the_component_pushes() {
    let pipeline = "include:
  - component: $CI_SERVER_FQDN/acme/landfall/ecr-push@1.0.0
    inputs:
      role: arn:aws:iam::123456789012:role/gitlab-deploy
      region: ap-northeast-2
      image: 123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/web
      tags: $CI_COMMIT_SHORT_SHA latest
      dir: site
      entrypoint: /start.sh
";
    let bench = Bench::new().example_of(EXAMPLE, None).file("example/project/.gitlab-ci.yml", pipeline);
    let remote = format!("acme/landfall@1.0.0={COMPONENT}");
    let done = bench.landfall(&["rehearse", "example", "--remote", &remote]);
    assert_eq!(done.code, Some(0), "{}", done.shown);
    for wanted in ["push to ECR", "ecr:PutImage", "latest", "the crossing works"] {
        assert!(done.shown.contains(wanted), "{wanted}: {}", done.shown);
    }
}

#[test]
fn explain_tells_of_the_token_that_a_job_gets() {
    let bench = Bench::new().example_of(EXAMPLE, None);
    let file = "example/project/.gitlab-ci.yml";
    for (name, more, code) in [
        ("allowed", vec!["--job", "push"], 0),
        ("branch", vec!["--job", "push", "--ref", "feature"], 1),
        ("merge-request", vec!["--job", "push", "--event", "merge_request"], 1),
        ("other-gitlab", vec!["--job", "push", "--issuer", "https://gitlab.com"], 1),
        ("no-token", vec!["--job", "build", "--role", "gitlab-deploy"], 1),
        ("which-job", vec![], 2),
        ("no-such-job", vec!["--job", "pusch"], 2),
    ] {
        let done = bench.landfall(&[&["explain", "--workflow", file][..], &more].concat());
        bench::snapshot(&format!("gitlab-explain-{name}"), &done.shown);
        assert_eq!(done.code, Some(code), "{}", done.shown);
    }
}

#[test]
fn a_folder_with_a_configuration_is_enough() {
    let bench = Bench::new()
        .file("repo/.gitlab-ci.yml", "say: { script: echo hello }\n")
        .file("infra/main.tf", "locals {}\n");
    let common = ["rehearse", "repo", "--infra", "infra"];
    let done = bench.landfall(&[&common[..], &["--repo", "a/b/c"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.shown);
    bench::snapshot("gitlab-folder", &done.shown);
    let done = bench.landfall(&common);
    assert_eq!(done.code, Some(2), "{}", done.shown);
    bench::snapshot("gitlab-which-project", &done.shown);
}

#[test]
fn what_changed_can_be_said() {
    let pipeline = "code: { script: echo code, rules: [{ changes: ['src/**/*'] }] }\ndocs: { script: echo docs, rules: [{ changes: ['*.md'] }] }\n";
    let bench = Bench::new().file("repo/.gitlab-ci.yml", pipeline).file("infra/main.tf", "locals {}\n");
    let common = ["rehearse", "repo", "--infra", "infra", "--repo", "a/b"];
    for (more, jobs) in [(vec![], 2), (vec!["--changed", "README.md"], 1), (vec!["--changed", "x"], 0)] {
        let done = bench.landfall(&[&common[..], &more].concat());
        assert_eq!(done.shown.matches("│").count(), jobs, "{}", done.shown);
        assert_eq!(done.code, Some(i32::from(jobs == 0)), "{}", done.shown);
    }
}

#[test]
fn no_secret_is_shown_in_either_format() {
    const SECRET: &str = "hunter2-is-secret";
    let pipeline = "say: { id_tokens: { T: { aud: x } }, script: ['echo $KEY', env] }\n";
    let bench = Bench::new().file("repo/.gitlab-ci.yml", pipeline).file("infra/main.tf", "locals {}\n");
    for format in ["text", "json"] {
        let args =
            ["rehearse", "repo", "--infra", "infra", "--repo", "a/b", "--secret", "KEY", "--format", format];
        let mut command = bench.command(std::path::Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
        command.env("KEY", SECRET);
        let done = bench.finish(command, &args);
        assert_eq!(done.code, Some(0), "{}", done.shown);
        assert!(done.shown.contains("KEY=***") && done.shown.contains("T=***"), "{}", done.shown);
        assert!(!done.shown.contains(SECRET) && !done.shown.contains("eyJ"), "{}", done.shown);
    }
}
