//! `landfall rehearse`: the example, each refusal, bad input, and where it may be called from.

use std::path::Path;

use crate::bench::{self, Bench};

#[test]
fn the_example_works() {
    let done = Bench::new().example(None).landfall(&["rehearse", "example"]);
    assert_eq!(done.code, Some(0), "{}", done.shown);
    bench::snapshot("rehearse-example", &done.shown);
}

/// The delivery with a stored key, the same one without, and what breaks each of them.
#[test]
fn a_stored_key_works_until_it_is_given_away_and_a_role_needs_none() {
    let edit = |file: &str, old: &str, new: &str| Some((file.to_owned(), old.to_owned(), new.to_owned()));
    let keys_workflow_path = "example/service/.github/workflows/deploy-with-keys.yml";
    let keys = vec![keys_workflow_path, "--infra", "example/keys"];
    let oidc = vec!["example"];
    let with = |first: &[&'static str], more: &[&'static str]| [first, more].concat();
    let rows = [
        ("static-keys", keys.clone(), None, 0),
        ("static-keys-oidc", oidc.clone(), None, 0),
        ("static-keys-of-a-fork", with(&keys, &["--event", "pull_request", "--fork"]), None, 1),
        ("static-keys-of-another-owner", with(&keys, &["--repo", "other/web"]), None, 0),
        (
            "static-keys-revoked",
            with(
                &keys,
                &[
                    "--secret",
                    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
                    "--secret",
                    "AWS_SECRET_ACCESS_KEY=deleted-long-ago",
                ],
            ),
            None,
            1,
        ),
        (
            "static-keys-without-put-image",
            keys.clone(),
            edit("keys/main.tf", "      \"ecr:PutImage\",\n", ""),
            1,
        ),
        (
            "static-keys-only-half",
            keys,
            edit(
                "service/.github/workflows/deploy-with-keys.yml",
                "          aws-secret-access-key: ${{ secrets.AWS_SECRET_ACCESS_KEY }}\n",
                "",
            ),
            1,
        ),
        ("static-keys-oidc-of-a-fork", with(&oidc, &["--event", "pull_request", "--fork"]), None, 1),
        ("static-keys-oidc-of-another-owner", with(&oidc, &["--repo", "other/web"]), None, 1),
        (
            "static-keys-oidc-string-equals",
            oidc.clone(),
            edit("oidc/main.tf", "test     = \"StringLike\"", "test     = \"StringEquals\""),
            1,
        ),
        (
            "static-keys-oidc-without-permission",
            oidc,
            edit("service/.github/workflows/deploy-with-oidc.yml", "  id-token: write\n", ""),
            1,
        ),
    ];
    for (name, words, edit, code) in rows {
        let command = [vec!["rehearse"], words].concat();
        let done = Bench::new().example_of("static-keys", edit.as_ref()).landfall(&command);
        assert_eq!(done.code, Some(code), "{name}: {}", done.shown);
        bench::snapshot(name, &done.shown);
    }
}

/// The action and the workflow of `templates/github`, each used by a repository of its own.
#[test]
fn the_templates_push_with_landfall_alone() {
    const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/github");
    let with = "      role: arn:aws:iam::123456789012:role/github-action-role
      region: ap-northeast-2
      image: 123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/web
      tags: v1 latest
      dir: site
      entrypoint: /start.sh
";
    let head = "on: push\npermissions: { contents: read, id-token: write }\njobs:\n  push:\n";
    let action = format!(
        "name: By action\n{head}    runs-on: ubuntu-latest\n    steps:
    - uses: actions/checkout@v4
    - id: push
      uses: acme/landfall/push@v1
      with:\n{}    - run: echo \"${{{{ steps.push.outputs.image }}}}\"\n",
        with.replace("      ", "        ")
    );
    let workflow = format!(
        "name: By workflow\n{head}    uses: acme/landfall/.github/workflows/ecr-push.yml@v1\n    with:\n{with}"
    );
    let remote = format!("acme/landfall@v1={TEMPLATES}");
    for (name, text) in [("templates-action", action), ("templates-workflow", workflow)] {
        let file = format!("example/service/.github/workflows/{name}.yml");
        let bench = Bench::new().example_of("static-keys", None).file(&file, &text);
        let done = bench.landfall(&["rehearse", &file, "--remote", &remote]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.shown);
        bench::snapshot(name, &done.shown.replace(TEMPLATES, "@@TEMPLATES@@"));
    }
}

#[test]
fn each_refusal_says_the_line() {
    bench::compare(&bench::rows(include_str!("refusals.toml")), 1);
}

#[test]
fn bad_input_is_told_in_one_message() {
    bench::compare(&bench::rows(include_str!("bad_input.toml")), 2);
}

#[test]
fn a_port_that_is_taken_is_bad_input() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let bench = Bench::new().example(None);
    for (name, command) in [
        ("bad-port-taken-rehearse", vec!["rehearse", "example", "--addr", &addr]),
        ("bad-port-taken-serve", vec!["serve", "--addr", &addr]),
    ] {
        let done = bench.landfall(&command);
        assert_eq!(done.code, Some(2), "{}", done.shown);
        bench::snapshot(name, &done.shown);
    }
}

/// Each event of a run as one line: what it is about, and how it ended.
#[test]
fn as_json_each_line_is_an_event() {
    let done = Bench::new().example(None).landfall(&["rehearse", "example", "--format", "json"]);
    let mut lines = Vec::new();
    for line in done.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| event[key].as_str().map(|text| format!(" {text}"));
        let keys = ["event", "workflow", "job", "step", "outcome", "subject"];
        let about: String = keys.iter().filter_map(|key| text(key)).collect();
        if event["event"] != "output" {
            lines.push(about.trim().to_owned());
        }
        // Layers go side by side: their calls are in no order.
        let decisions = event["decisions"].as_array().into_iter().flatten();
        let mut decisions: Vec<String> = decisions
            .map(|decision| format!("  {} {}", decision["outcome"].as_str().unwrap(), decision["action"]))
            .collect();
        decisions.sort();
        lines.append(&mut decisions);
    }
    bench::snapshot("rehearse-json", &lines.join("\n"));
}

#[test]
fn it_may_be_called_from_anywhere_in_the_repository() {
    let bench = Bench::new().example(None);
    for (folder, args) in [
        ("example", vec!["rehearse"]),
        ("example/service", vec!["rehearse"]),
        ("example/service", vec!["rehearse", ".github/workflows/deploy.yml"]),
        ("example/service/.github/workflows", vec!["rehearse", "deploy.yml"]),
        ("example/infra", vec!["rehearse", "../service/.github/workflows/deploy.yml"]),
    ] {
        let done = bench.landfall_in(folder, &args);
        assert_eq!(done.code, Some(0), "{folder}: {}", done.shown);
    }
}

#[test]
fn it_may_be_called_by_a_link() {
    let bench = Bench::new().example(None);
    let link = bench.work().join("linked");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_landfall"), &link).unwrap();
    let args = ["rehearse", "example"];
    let done = bench.finish(bench.command(Path::new(&link), "", &args), &args);
    assert_eq!(done.code, Some(0), "{}", done.shown);
}

/// The service's own module only looks up the provider, names the role that the platform's makes, and leaves the region
/// to the pipeline.
#[test]
fn the_terraform_may_lie_in_several_folders() {
    let app = "resource \"aws_iam_role_policy_attachment\" \"ecr\" {
  role       = \"github-oidc-role\"
  policy_arn = \"arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser\"
}

data \"aws_ecr_repository\" \"web\" {
  name = \"web\"
}
";
    let base = "data \"aws_iam_openid_connect_provider\" \"github\" {
  url = \"https://token.actions.githubusercontent.com\"
}

resource \"aws_iam_role\" \"github_oidc\" {
  name = \"github-oidc-role\"
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = \"Allow\"
      Principal = { Federated = data.aws_iam_openid_connect_provider.github.arn }
      Action    = \"sts:AssumeRoleWithWebIdentity\"
      Condition = { StringEquals = { \"token.actions.githubusercontent.com:sub\" = \"repo:acme/web:ref:refs/heads/main\" } }
    }]
  })
}
";
    let bench =
        Bench::new().example(None).file("example/app/main.tf", app).file("example/base/main.tf", base);
    for (name, folders, code) in [
        ("folders-both", vec!["--infra", "example/app", "--infra", "example/base"], 0),
        ("folders-one-alone", vec!["--infra", "example/base"], 1),
        ("folders-the-other-alone", vec!["--infra", "example/app"], 1),
    ] {
        let done = bench.landfall(&[vec!["rehearse", "example"], folders].concat());
        assert_eq!(done.code, Some(code), "{name}: {}", done.shown);
        bench::snapshot(name, &done.shown);
    }
}

/// Roles are often made by a module of the repository, and policies kept in files of their own.
#[test]
fn the_terraform_may_call_modules_and_read_files() {
    let root = "module \"github\" {
  source     = \"./modules/github\"
  repository = \"acme/web\"
}

resource \"aws_ecr_repository\" \"web\" {
  name = \"web\"
}
";
    let module = "variable \"repository\" {}

resource \"aws_iam_openid_connect_provider\" \"github\" {
  url            = \"https://token.actions.githubusercontent.com\"
  client_id_list = [\"sts.amazonaws.com\"]
}

resource \"aws_iam_role\" \"github\" {
  name               = \"github-oidc-role\"
  assume_role_policy = templatefile(\"${path.module}/trust.json.tftpl\", { repository = var.repository })
}

resource \"aws_iam_role_policy\" \"push\" {
  role   = aws_iam_role.github.name
  policy = file(\"${path.module}/push.json\")
}
";
    let trust = "{\"Statement\": [{
  \"Effect\": \"Allow\",
  \"Principal\": {\"Federated\": \"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com\"},
  \"Action\": \"sts:AssumeRoleWithWebIdentity\",
  \"Condition\": {\"StringEquals\": {
    \"token.actions.githubusercontent.com:sub\": \"repo:${repository}:ref:refs/heads/main\"
  }}
}]}
";
    let push = "{\"Statement\": [{\"Effect\": \"Allow\", \"Action\": \"ecr:*\", \"Resource\": \"*\"}]}\n";
    let bench = Bench::new()
        .example(None)
        .file("example/own/main.tf", root)
        .file("example/own/modules/github/main.tf", module)
        .file("example/own/modules/github/trust.json.tftpl", trust)
        .file("example/own/modules/github/push.json", push);
    for (name, more, code) in
        [("modules", vec![], 0), ("modules-refused", vec!["--event", "pull_request"], 1)]
    {
        let done = bench.landfall(&[vec!["rehearse", "example", "--infra", "example/own"], more].concat());
        assert_eq!(done.code, Some(code), "{name}: {}", done.shown);
        bench::snapshot(name, &done.shown);
    }
}

const SAYS: &str = "jobs: { say: { runs-on: ubuntu-latest, steps: [{ run: echo hello }] } }\n";

#[test]
fn of_a_folder_the_workflows_run_that_the_event_starts() {
    let infra = "resource \"aws_ecr_repository\" \"web\" {\n  name = \"web\"\n}\n";
    let bench = Bench::new()
        .file("repo/.github/workflows/a-push.yml", &format!("name: Pushed\non: push\n{SAYS}"))
        .file("repo/.github/workflows/b-release.yaml", &format!("name: Released\non: release\n{SAYS}"))
        .file("repo/.github/workflows/c-called.yml", &format!("name: Called\non: workflow_call\n{SAYS}"))
        .file("infra/main.tf", infra);
    let common = ["rehearse", "repo", "--infra", "infra", "--repo", "acme/web"];
    for (name, more, code) in [
        ("folder-push", vec![], 0),
        ("folder-nothing-starts", vec!["--event", "issues"], 1),
        ("folder-job-of-one", vec!["--job", "say"], 0),
        ("folder-job-of-none", vec!["--job", "shout"], 2),
    ] {
        let done = bench.landfall(&[&common[..], &more].concat());
        assert_eq!(done.code, Some(code), "{}", done.shown);
        bench::snapshot(name, &done.shown);
    }
}

#[test]
fn no_secret_is_shown_in_either_format() {
    const SECRET: &str = "hunter2-is-secret";
    let workflow = format!(
        "name: Secret {SECRET_NAME}\non: push\njobs: {{ say: {{ runs-on: ubuntu-latest, steps: [{{ env: {{ K: '${{{{ secrets.KEY }}}}' }}, run: 'echo $K; env' }}] }} }}\n",
        SECRET_NAME = "in steps"
    );
    let bench =
        Bench::new().file("repo/.github/workflows/a.yml", &workflow).file("infra/main.tf", "locals {}\n");
    for format in ["text", "json"] {
        let args = [
            "rehearse", "repo", "--infra", "infra", "--repo", "acme/web", "--secret", "KEY", "--format",
            format,
        ];
        let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
        command.env("KEY", SECRET);
        let done = bench.finish(command, &args);
        assert_eq!(done.code, Some(0), "{}", done.shown);
        assert!(done.shown.contains("***") && !done.shown.contains(SECRET), "{}", done.shown);
    }
}
