//! `landfall who`, `explain` and `diff`: questions that need no server. Exit codes are the gates that
//! CI relies on.

use std::path::Path;

use crate::bench::{self, Bench};

/// A trust policy for GitHub's tokens: one operator on `sub`, `aud` by `StringEquals`.
fn trust(operator: &str, subject: &str) -> String {
    let host = "token.actions.githubusercontent.com";
    let aud = format!(r#""StringEquals": {{"{host}:aud": "sts.amazonaws.com"}}"#);
    let conditions = match operator {
        "StringEquals" => {
            format!(r#""StringEquals": {{"{host}:aud": "sts.amazonaws.com", "{host}:sub": "{subject}"}}"#)
        }
        other => format!(r#"{aud}, "{other}": {{"{host}:sub": "{subject}"}}"#),
    };
    format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [{{
    "Effect": "Allow",
    "Principal": {{"Federated": "arn:aws:iam::123456789012:oidc-provider/{host}"}},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {{{conditions}}}
  }}]
}}
"#
    )
}

fn asked(name: &str, bench: &Bench, args: &[&str], code: i32) {
    let done = bench.landfall(args);
    assert_eq!(done.code, Some(code), "{}", done.shown);
    bench::snapshot(name, &done.shown);
}

#[test]
fn who_names_those_who_get_in_and_is_a_gate() {
    let bench = Bench::new()
        .file("exact.json", &trust("StringEquals", "repo:acme/web:ref:refs/heads/main"))
        .file("owners.json", &trust("StringLike", "repo:acme*/web:*"))
        .file("nobody.json", &trust("StringEquals", "repo:acme/*"));
    asked("who-exact", &bench, &["who", "deploy", "--policy", "exact.json", "--only", "repo:acme/web:*"], 0);
    asked(
        "who-owners",
        &bench,
        &["who", "deploy", "--policy", "owners.json", "--only", "repo:acme/web:*"],
        1,
    );
    asked("who-nobody", &bench, &["who", "deploy", "--policy", "nobody.json"], 0);
    asked("who-only-a-name", &bench, &["who", "deploy", "--policy", "exact.json", "--only", "acme/web"], 1);
}

#[test]
fn nothing_is_proved_of_terraform_that_is_never_applied() {
    let role = |policy: &str| {
        format!("resource \"aws_iam_role\" \"x\" {{\n  name = \"x\"\n  assume_role_policy = {policy}\n}}\n")
    };
    let denied =
        "{Statement = [{Effect = \"Deny\", Principal = {AWS = \"*\"}, Action = \"sts:AssumeRole\"}]}";
    let circle = "resource \"aws_ecr_repository\" \"web\" {\n  name = local.a\n}\nlocals {\n  a = local.b\n  b = local.a\n}\n";
    let bench = Bench::new()
        .file("refused/main.tf", &role("\"{}\""))
        .file("circle/main.tf", &format!("{circle}{}", role(&format!("jsonencode({denied})"))));
    for (name, dir) in [("who-only-refused-policy", "refused"), ("who-only-circle", "circle")] {
        asked(name, &bench, &["who", "x", "--infra", dir, "--only", "repo:acme/web:*"], 1);
    }
    asked("diff-refused-policy", &bench, &["diff", "refused", "refused", "--role", "x"], 1);

    let admits = "{Statement = [{Effect = \"Allow\", Principal = {Federated = \"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com\"}, Action = \"sts:AssumeRoleWithWebIdentity\", Condition = {StringLike = {\"token.actions.githubusercontent.com:sub\" = \"repo:acme/web:*\"}}}]}";
    let push = "resource \"aws_iam_role_policy\" \"x\" {\n  name = \"x\"\n  role = aws_iam_role.x.name\n  policy = jsonencode({Version = \"2012-10-17\", Statement = [{Effect = \"Allow\", Action = \"ecr:PutImage\", Resource = \"*\"}]})\n}\n";
    let claims = r#"{"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com", "sub": "repo:acme/web:pull_request"}"#;
    let bench = Bench::new()
        .file("circle/main.tf", &format!("{circle}{}{push}", role(&format!("jsonencode({admits})"))))
        .file("claims.json", claims);
    let exchange = ["explain", "--role", "x", "--claims", "claims.json", "--infra", "circle"];
    asked("explain-circle", &bench, &exchange, 1);
    let image = "arn:aws:ecr:eu-west-1:123456789012:repository/web";
    let call =
        ["explain", "--role", "x", "--action", "ecr:PutImage", "--resource", image, "--infra", "circle"];
    asked("explain-call-circle", &bench, &call, 1);
}

#[test]
fn explain_tells_every_clause_and_whether_it_holds() {
    let claims = |subject: &str| {
        let issuer = "https://token.actions.githubusercontent.com";
        format!(r#"{{"iss": "{issuer}", "aud": "sts.amazonaws.com", "sub": "{subject}"}}"#)
    };
    let bench = Bench::new()
        .file("trust.json", &trust("StringEquals", "repo:acme/web:ref:refs/heads/main"))
        .file("main.json", &claims("repo:acme/web:ref:refs/heads/main"))
        .file("pull.json", &claims("repo:acme/web:pull_request"));
    let args = |file| ["explain", "--role", "deploy", "--policy", "trust.json", "--claims", file];
    asked("explain-allowed", &bench, &args("main.json"), 0);
    asked("explain-refused", &bench, &args("pull.json"), 1);
}

#[test]
fn diff_fails_when_somebody_is_newly_admitted_and_not_when_somebody_no_longer_is() {
    let bench = Bench::new()
        .file("one.json", &trust("StringEquals", "repo:acme/web:ref:refs/heads/main"))
        .file("all.json", &trust("StringLike", "repo:acme/web:*"));
    asked("diff-wider", &bench, &["diff", "one.json", "all.json"], 1);
    asked("diff-narrower", &bench, &["diff", "all.json", "one.json"], 0);
    asked("diff-same", &bench, &["diff", "one.json", "one.json"], 0);
}

/// A trust policy of other statements.
fn policy(statements: &str) -> String {
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {statements}\n  ]\n}}\n")
}

#[test]
fn who_looks_at_customised_subjects_and_at_those_without_a_token() {
    let workflow = "job_workflow_ref:acme/shared/.github/workflows/deploy.yml@refs/heads/main";
    let pods = r#"{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "ci"}}}"#;
    let partner = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "abc"}}}"#;
    let anyone = r#"{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}"#;
    let but_partner = r#"{"Effect": "Deny", "Principal": {"AWS": "111122223333"}, "Action": "sts:*"}"#;
    let bench = Bench::new()
        .file("workflow.json", &trust("StringEquals", workflow))
        .file("owner.json", &trust("StringLike", "repository_owner:acme:*"))
        .file("alone.json", &trust("StringEquals", "repo:acme/web"))
        .file("principals.json", &policy(&[pods, partner, anyone, but_partner].join(",\n    ")));
    let who = |file| ["who", "deploy", "--policy", file];
    let only = |file, pattern| ["who", "deploy", "--policy", file, "--only", pattern];
    asked("who-workflow", &bench, &only("workflow.json", "job_workflow_ref:acme/shared/*"), 1);
    asked("who-template", &bench, &only("owner.json", "repository_owner:acme:*"), 0);
    asked("who-alone", &bench, &who("alone.json"), 0);
    asked("who-principals", &bench, &only("principals.json", "111122223333"), 1);
    let said = ["who", "deploy", "--policy", "owner.json", "--sub-template", "acme/web=repository_owner,ref"];
    asked("who-said-template", &bench, &said, 0);
    asked("who-json", &bench, &["who", "deploy", "--policy", "owner.json", "--format", "json"], 0);
    let wrong = ["who", "deploy", "--policy", "owner.json", "--sub-template", "acme=branch"];
    asked("bad-sub-template", &bench, &wrong, 2);
}

const DEPLOY: &str = "\
on: [push, pull_request]
permissions: { id-token: write }
jobs:
  deploy:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        stage: [prod, staging]
        region: [eu, ap]
        exclude: [{ stage: staging, region: ap }]
    environment: ${{ matrix.stage }}
    steps:
      - uses: aws-actions/configure-aws-credentials@v4
        with: { role-to-assume: deploy, aws-region: eu-west-1 }
  named:
    needs: deploy
    runs-on: ubuntu-latest
    environment: ${{ needs.deploy.outputs.stage }}
    steps: [{ run: echo }]
  without:
    permissions: { contents: read }
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
";

#[test]
fn explain_tells_of_the_token_that_a_job_gets() {
    let bench = Bench::new()
        .file("repo/.github/workflows/deploy.yml", DEPLOY)
        .file("trust.json", &trust("StringEquals", "repo:acme/web:environment:prod"))
        .example(None);
    let file = "repo/.github/workflows/deploy.yml";
    let job = |job| {
        [
            "explain",
            "--workflow",
            file,
            "--job",
            job,
            "--repo",
            "acme/web",
            "--role",
            "deploy",
            "--policy",
            "trust.json",
        ]
    };
    asked("explain-job-legs", &bench, &job("deploy"), 1);
    asked("explain-job-unknown", &bench, &job("named"), 1);
    asked("explain-job-without-permission", &bench, &job("without"), 1);
    asked("explain-job-missing", &bench, &job("other"), 2);
    let called = "example/service/.github/workflows/deploy.yml";
    asked("explain-job-called", &bench, &["explain", "--workflow", called], 0);
    asked(
        "explain-job-pull-request",
        &bench,
        &["explain", "--workflow", called, "--event", "pull_request"],
        1,
    );
    let fork = ["explain", "--workflow", called, "--event", "pull_request", "--fork"];
    asked("explain-job-fork", &bench, &fork, 1);
    asked("explain-job-event", &bench, &["explain", "--workflow", called, "--event", "issues"], 1);
    let template = ["explain", "--workflow", called, "--sub-template", "acme=repo,context,actor"];
    asked("explain-job-template", &bench, &template, 1);
}

/// Jobs that take roles in each way that a workflow has.
const LOGINS: &str = r#"on: { push: , workflow_dispatch: { inputs: { stage: { default: dev } } } }
permissions: { id-token: write }
env: { ROLES: "arn:aws:iam::123456789012:role" }
jobs:
  two:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/main", aws-region: eu-west-1 }
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/release", aws-region: eu-west-1 }
  chain:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/main", aws-region: eu-west-1, role-chaining: true }
  name:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: main, aws-region: eu-west-1 }
  path:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/ci/main", aws-region: eu-west-1 }
  account:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "arn:aws:iam::999999999999:role/main", aws-region: eu-west-1 }
  secret:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ secrets.AWS_ROLE }}", aws-region: eu-west-1 }
  long:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/main", aws-region: eu-west-1, role-duration-seconds: 7200 }
  composite:
    runs-on: ubuntu-latest
    steps:
      - uses: ./.github/actions/login
        with: { role: release }
  script:
    runs-on: ubuntu-latest
    steps:
      - run: |
          TOKEN=$(curl -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL" | jq -r .value)
          aws sts assume-role-with-web-identity --role-arn ${{ env.ROLES }}/main --role-session-name deploy --web-identity-token "$TOKEN"
  request:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@v6
        with: { role-to-assume: "${{ env.ROLES }}/main", aws-region: eu-west-1, role-session-name: "deploy-${{ github.ref_name }}" }
"#;

const LOGIN_ACTION: &str = r#"name: login
inputs: { role: { required: true } }
runs:
  using: composite
  steps:
    - uses: aws-actions/configure-aws-credentials@v6
      with: { role-to-assume: "arn:aws:iam::123456789012:role/${{ inputs.role }}", aws-region: eu-west-1 }
"#;

/// Roles that look at one more key each.
const KEYS: &str = r#"
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
locals {
  host = aws_iam_openid_connect_provider.github.url
  keys = {
    main    = { StringEquals = { "${local.host}:sub" = "repo:acme/web:ref:refs/heads/main" } }
    release = { StringLike = { "${local.host}:sub" = "repo:acme/web:ref:refs/tags/*" } }
    session = { StringEquals = { "sts:RoleSessionName" = "deploy-main" } }
    region  = { StringEquals = { "aws:RequestedRegion" = "us-east-1" } }
    actor   = { StringEquals = { "${local.host}:actor" = "mona" } }
    address = { IpAddress = { "aws:SourceIp" = "10.0.0.0/8" } }
    ids     = { StringEquals = { "${local.host}:repository_id" = "74" } }
    new     = { StringLike = { "${local.host}:sub" = "repo:acme@65/web@74:*" } }
  }
}
resource "aws_iam_role" "all" {
  for_each = local.keys
  name     = each.key
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect    = "Allow"
    Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
    Action    = "sts:AssumeRoleWithWebIdentity"
    Condition = each.value
  }] })
}
"#;

fn logins() -> Bench {
    Bench::new()
        .file(".github/workflows/d.yml", LOGINS)
        .file(".github/actions/login/action.yml", LOGIN_ACTION)
        .file("infra/main.tf", KEYS)
}

const OF_LOGINS: [&str; 7] =
    ["explain", "--workflow", ".github/workflows/d.yml", "--infra", "infra", "--repo", "acme/web"];

#[test]
fn explain_looks_at_each_login_of_a_job() {
    let bench = logins();
    let ask = |job: &str, more: &[&str], code| {
        let name = format!("explain-login-{job}{}", if more.is_empty() { "" } else { "-given" });
        asked(&name, &bench, &[&OF_LOGINS[..], &["--job", job], more].concat(), code);
    };
    for job in ["two", "chain", "name", "path", "secret", "long", "composite", "script"] {
        ask(job, &[], 1);
    }
    ask("account", &["--account", "123456789012"], 1);
    ask("secret", &["--secret", "AWS_ROLE=arn:aws:iam::123456789012:role/main"], 0);
}

#[test]
fn explain_asks_with_what_the_job_says_and_makes_nothing_up() {
    let bench = logins();
    let ask = |role: &str, more: &[&str], code| {
        let name = format!("explain-key-{role}{}", if more.is_empty() { "" } else { "-given" });
        let of_role = ["--job", "request", "--role", role];
        asked(&name, &bench, &[&OF_LOGINS[..], &of_role, more].concat(), code);
    };
    for (role, code) in [("session", 0), ("region", 1), ("actor", 1), ("address", 1), ("ids", 1)] {
        ask(role, &[], code);
    }
    ask("actor", &["--actor", "mona"], 0);
    ask("address", &["--context", "aws:SourceIp=10.1.2.3"], 0);
    ask("ids", &["--ids", "65/74"], 0);
    ask("main", &["--immutable-subject"], 1);
    ask("new", &["--immutable-subject"], 1);
    let both = ["--immutable-subject", "--ids", "65/74"];
    let args = [&OF_LOGINS[..], &["--job", "request", "--role", "new"], &both].concat();
    asked("explain-key-new-known", &bench, &args, 0);
}

#[test]
fn explain_gives_each_event_its_own_ref() {
    let workflow = "on: [push, release, merge_group, issue_comment, workflow_run, delete, pull_request_target, deployment]\n\
                    permissions: { id-token: write }\njobs:\n  d:\n    runs-on: ubuntu-latest\n    steps: [{ run: echo }]\n";
    let bench = logins().file(".github/workflows/e.yml", workflow);
    let subject = |event: &[&str]| {
        let args = ["explain", "--workflow", ".github/workflows/e.yml", "--infra", "infra"];
        let of_role = ["--repo", "acme/web", "--role", "main", "--event"];
        let done = bench.landfall(&[&args[..], &of_role, event].concat());
        let line = done.shown.lines().find(|line| line.starts_with("  sub ") || line.starts_with("error:"));
        line.unwrap_or(&done.shown).trim().to_owned()
    };
    for (event, expected) in [
        (&["release"][..], "sub repo:acme/web:ref:refs/tags/v1".to_owned()),
        (&["release", "--ref", "v2"], "sub repo:acme/web:ref:refs/tags/v2".to_owned()),
        (
            &["release", "--ref", "refs/heads/main"],
            "error: a release runs on its tag, and --ref is `refs/heads/main`".to_owned(),
        ),
        (
            &["merge_group", "--ref", "dev"],
            "sub repo:acme/web:ref:refs/heads/gh-readonly-queue/dev/pr-1-@@COMMIT@@".to_owned(),
        ),
        (&["issue_comment"], "sub repo:acme/web:ref:refs/heads/main".to_owned()),
        (&["workflow_run", "--default-branch", "trunk"], "sub repo:acme/web:ref:refs/heads/trunk".to_owned()),
        (
            &["delete", "--ref", "dev"],
            "error: `delete` runs on the default branch, and --ref is `refs/heads/dev`".to_owned(),
        ),
        (&["deployment", "--ref", "refs/tags/v1"], "sub repo:acme/web:ref:refs/tags/v1".to_owned()),
        (&["pull_request_target", "--ref", "dev"], "sub repo:acme/web:ref:refs/heads/main".to_owned()),
    ] {
        assert_eq!(subject(event), expected, "{event:?}");
    }
}

/// Two roles, one of which the other may take by its own policies; who may take that one is for it to say.
const CHAIN: &str = r#"
locals {
  takers = {
    named   = { AWS = "arn:aws:iam::123456789012:role/hub" }
    account = { AWS = "arn:aws:iam::123456789012:root" }
    others  = { AWS = "arn:aws:iam::999999999999:root" }
    unknown = { AWS = var.taker }
  }
}
variable "taker" {}
resource "aws_iam_role" "hub" {
  name               = "hub"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }] })
}
resource "aws_iam_role_policy" "chain" {
  name = "chain"
  role = aws_iam_role.hub.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Effect = "Allow", Action = "sts:AssumeRole", Resource = "*" },
    { Effect = "Deny", Action = "sts:AssumeRole", Resource = "arn:aws:iam::*:role/never" },
  ] })
}
resource "aws_iam_role" "taken" {
  for_each           = local.takers
  name               = each.key
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = each.value, Action = "sts:AssumeRole" }] })
}
"#;

#[test]
fn explain_asks_the_role_that_is_taken_as_well() {
    let bench = Bench::new().file("infra/main.tf", CHAIN);
    let take = |role: &str, code| {
        let arn = format!("arn:aws:iam::123456789012:role/{role}");
        let name = format!("explain-take-{role}");
        let args = [
            "explain",
            "--role",
            "hub",
            "--infra",
            "infra",
            "--action",
            "sts:AssumeRole",
            "--resource",
            &arn,
        ];
        asked(&name, &bench, &args, code);
    };
    for (role, code) in
        [("named", 0), ("account", 0), ("others", 1), ("unknown", 1), ("missing", 1), ("never", 1)]
    {
        take(role, code);
    }
}

#[test]
fn explain_tells_of_a_call_what_single_change_would_admit_it() {
    let ecs = r#"{"Sid": "Update", "Effect": "Allow", "Action": ["ecs:UpdateService", "ecs:DescribeServices"], "Resource": "arn:aws:ecs:eu-west-1:123456789012:service/web"}"#;
    let pass = r#"{"Sid": "Pass", "Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/task", "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}"#;
    let bench = Bench::new().file("permissions.json", &policy(&[ecs, pass].join(",\n    ")));
    let task = "arn:aws:iam::123456789012:role/task";
    let service = "arn:aws:ecs:eu-west-1:123456789012:service/main/web";
    let call = |action, more: &[&'static str]| {
        [&["explain", "--role", "deploy", "--policy", "permissions.json", "--action", action], more].concat()
    };
    asked("explain-call-cluster", &bench, &call("ecs:UpdateService", &["--resource", service]), 1);
    asked("explain-call-pass-role", &bench, &call("iam:PassRole", &["--resource", task]), 1);
    let to = ["--resource", task, "--context", "iam:PassedToService=ecs-tasks.amazonaws.com"];
    asked("explain-call-passed", &bench, &call("iam:PassRole", &to), 0);
    asked("explain-call-other", &bench, &call("ecr:GetAuthorizationToken", &[]), 1);
    asked("explain-call-no-resource", &bench, &call("ecr:PutImage", &[]), 2);
    asked("explain-call-no-action", &bench, &call("ecr:PutImages", &[]), 2);
}

#[test]
fn diff_tells_of_permissions_and_of_those_without_a_token() {
    let allow = |actions: &str, resource: &str| {
        policy(&format!(
            r#"{{"Effect": "Allow", "Action": [{actions}], "Resource": "arn:aws:ecr:eu-west-1:123456789012:repository/{resource}"}}"#
        ))
    };
    let token = trust("StringEquals", "repo:acme/web:ref:refs/heads/main");
    let role = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/admin"}, "Action": "sts:AssumeRole"}, {"#;
    let bench = Bench::new()
        .file("web.json", &allow(r#""ecr:PutImage", "ecr:BatchGetImage""#, "web"))
        .file("all.json", &allow(r#""ecr:PutImage", "ecr:Delete*""#, "*"))
        .file("token.json", &token)
        .file("role.json", &token.replacen("[{", &format!("[{role}"), 1));
    asked("diff-permissions", &bench, &["diff", "web.json", "all.json"], 1);
    asked("diff-principals", &bench, &["diff", "token.json", "role.json"], 1);
    asked("diff-json", &bench, &["diff", "web.json", "all.json", "--format", "json"], 1);
}

#[test]
fn a_policy_that_cannot_be_worked_out_is_no_answer() {
    let infra = r#"
variable "name" {}
resource "aws_iam_role" "deploy" {
  name               = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }] })
}
resource "aws_iam_role_policy" "push" {
  role   = aws_iam_role.deploy.id
  name   = "push"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "arn:aws:ecr:*:*:repository/${var.name}" }] })
}
"#;
    let bench = Bench::new().file("infra/main.tf", infra);
    let call = ["explain", "--role", "deploy", "--infra", "infra", "--action", "ecr:GetAuthorizationToken"];
    asked("explain-call-unknown", &bench, &call, 1);
}

/// What a role may have besides what is known of it, so that no answer about its calls stands.
#[test]
fn a_policy_that_the_role_may_have_besides_leaves_no_answer_standing() {
    let role = |body: &str, more: &str| {
        format!(
            r#"variable "x" {{}}
resource "aws_iam_role" "deploy" {{
  name               = "deploy"
  assume_role_policy = jsonencode({{ Version = "2012-10-17", Statement = [{{ Effect = "Allow", Principal = {{ Service = "ecs-tasks.amazonaws.com" }}, Action = "sts:AssumeRole" }}] }})
  {body}
}}
resource "aws_iam_role_policy" "push" {{
  role   = aws_iam_role.deploy.id
  policy = jsonencode({{ Version = "2012-10-17", Statement = [{{ Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" }}] }})
}}
{more}
"#
        )
    };
    let attachment =
        |body: &str| format!("resource \"aws_iam_role_policy_attachment\" \"more\" {{\n{body}\n}}\n");
    let inline = |body: &str| format!("resource \"aws_iam_role_policy\" \"more\" {{\n{body}\n}}\n");
    let deny = |version: &str| {
        format!(
            r#"policy = jsonencode({{ Version = "{version}", Statement = [{{ Effect = "Deny", Action = "*", Resource = "*" }}] }})"#
        )
    };
    let named = "role = aws_iam_role.deploy.name";
    for (infra, because) in [
        (
            role("permissions_boundary = var.x", ""),
            "a policy of `aws_iam_role.deploy` is unknown: variable `x`",
        ),
        (
            role(r#"permissions_boundary = "arn:aws:iam::123456789012:policy/elsewhere""#, ""),
            "policy/elsewhere` is not among these files (infra/main.tf:5)",
        ),
        (role("managed_policy_arns = var.x", ""), "a policy of `aws_iam_role.deploy` is unknown"),
        (role("lifecycle {\n ignore_changes = [inline_policy]\n}", ""), "leaves `inline_policy` to others"),
        (role("lifecycle {\n ignore_changes = all\n}", ""), "leaves `all` to others"),
        (
            role("", &attachment(&format!("{named}\npolicy_arn = var.x"))),
            "a policy of `aws_iam_role_policy_attachment.more`",
        ),
        (
            role("", &attachment(&format!("for_each = var.x\n{named}\npolicy_arn = each.value"))),
            "which `aws_iam_role_policy_attachment.more` there are isn't known",
        ),
        (
            role(
                "",
                &attachment(&format!("{named}\npolicy_arn = \"arn:aws:iam::123456789012:policy/elsewhere\"")),
            ),
            "policy/elsewhere` is not among these files (infra/main.tf:13)",
        ),
        (
            role("", &inline(&format!("count = var.x ? 1 : 0\n{named}\n{}", deny("2012-10-17")))),
            "which `aws_iam_role_policy.more` there are isn't known",
        ),
        (
            role("", &inline(&format!("role = var.x\n{}", deny("2012-10-17")))),
            "whose `aws_iam_role_policy.more` is isn't known",
        ),
        (role("", &inline(&format!("{named}\n{}", deny("2020-10-17")))), "could not be read"),
        (
            role(
                "",
                &attachment(
                    "for_each = toset([for i in range(1001) : \"r${i}\"])\nrole = each.key\npolicy_arn = var.x",
                ),
            ),
            "has 1001 instances, and 1000 are read at most",
        ),
        (
            role("", "module \"m\" {\n source = \"acme/policies/aws\"\n role = aws_iam_role.deploy.name\n}"),
            "what `module.m` makes isn't known",
        ),
    ] {
        let bench = Bench::new().file("infra/main.tf", &infra);
        let done = bench.landfall(&[
            "explain",
            "--role",
            "deploy",
            "--infra",
            "infra",
            "--action",
            "ecr:GetAuthorizationToken",
        ]);
        assert_eq!(done.code, Some(1), "{}", done.shown);
        assert!(done.shown.contains("✗ not known: "), "{}", done.shown);
        assert!(done.shown.contains(because), "{because}\n{}", done.shown);
    }
    // What is not known of others changes nothing.
    let others = r#"resource "aws_iam_role" "other" {
  name                 = "other"
  assume_role_policy   = aws_iam_role.deploy.assume_role_policy
  permissions_boundary = var.x
}"#;
    let bench = Bench::new().file("infra/main.tf", &role("", others));
    let call = ["explain", "--role", "deploy", "--infra", "infra", "--action", "ecr:GetAuthorizationToken"];
    assert_eq!(bench.landfall(&call).code, Some(0));
}

#[test]
fn a_policy_that_somebody_else_has_is_named() {
    let trust = r#"jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }] })"#;
    let infra = format!(
        r#"resource "aws_iam_role" "deploy" {{
  name               = "deploy"
  assume_role_policy = {trust}
}}
resource "aws_iam_role" "task" {{
  name               = "task"
  assume_role_policy = {trust}
}}
resource "aws_iam_policy" "deploy" {{
  name   = "deploy-orders"
  policy = jsonencode({{ Version = "2012-10-17", Statement = [{{ Effect = "Allow", Action = "ecs:UpdateService", Resource = "arn:aws:ecs:eu-west-1:123456789012:service/shop/orders" }}] }})
}}
resource "aws_iam_role_policy_attachment" "deploy" {{
  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.deploy.arn
}}
"#
    );
    let bench = Bench::new().file("infra/main.tf", &infra);
    let service = |name: &str| format!("arn:aws:ecs:eu-west-1:123456789012:service/{name}");
    let call =
        ["explain", "--role", "deploy", "--infra", "infra", "--action", "ecs:UpdateService", "--resource"];
    asked("explain-call-elsewhere", &bench, &[&call[..], &[&service("shop/orders")]].concat(), 1);
    asked("explain-call-elsewhere-named", &bench, &[&call[..], &[&service("shop/cart")]].concat(), 1);
}

#[test]
fn what_is_not_known_of_a_trust_policy_leaves_no_answer_standing() {
    let infra = |subject: &str| {
        format!(
            r#"
variable "subjects" {{
  type = list(string)
}}
resource "aws_iam_openid_connect_provider" "github" {{
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}}
resource "aws_iam_role" "deploy" {{
  name               = "deploy"
  assume_role_policy = jsonencode({{ Version = "2012-10-17", Statement = [{{ Effect = "Allow", Action = "sts:AssumeRoleWithWebIdentity", Principal = {{ Federated = aws_iam_openid_connect_provider.github.arn }}, Condition = {{ StringLike = {{ "token.actions.githubusercontent.com:sub" = {subject} }} }} }}] }})
}}
"#
        )
    };
    let claims = r#"{"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com", "sub": "repo:acme/web:pull_request"}"#;
    let bench = Bench::new()
        .file("infra/main.tf", &infra("var.subjects"))
        .file("known/main.tf", &infra(r#""repo:acme/web:*""#))
        .file("claims.json", claims);
    let who = ["who", "deploy", "--infra", "infra", "--only", "repo:acme/web:*"];
    asked("who-unknown", &bench, &who, 1);
    asked("who-unknown-json", &bench, &[&who[..], &["--format", "json"]].concat(), 1);
    let explain = ["explain", "--role", "deploy", "--infra", "infra", "--claims", "claims.json"];
    asked("explain-unknown", &bench, &explain, 1);
    asked("explain-unknown-json", &bench, &[&explain[..], &["--format", "json"]].concat(), 1);
    asked("diff-unknown", &bench, &["diff", "infra", "infra", "--role", "deploy"], 1);
    asked("diff-unknown-before", &bench, &["diff", "infra", "known", "--role", "deploy"], 1);
}

/// Terraform whose default is harmless, and what it is given from outside.
#[test]
fn values_from_outside_are_what_terraform_takes_them_for() {
    let infra = r#"variable "subs" {
  type    = list(string)
  default = ["repo:acme/web:*"]
}
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
resource "aws_iam_role" "deploy" {
  name = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect    = "Allow"
    Action    = "sts:AssumeRoleWithWebIdentity"
    Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
    Condition = {
      StringEquals = { "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com" }
      StringLike   = { "token.actions.githubusercontent.com:sub" = var.subs }
    }
  }] })
}
"#;
    let bench =
        Bench::new().file("infra/main.tf", infra).file("own.tfvars", "subs = [\"repo:acme/web:*\"]\n");
    let gate = ["who", "deploy", "--infra", "infra", "--only", "repo:acme/web:*"];
    let run = |more: &[&str], environment: &[(&str, &str)]| {
        let words = [&gate[..], more].concat();
        let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &words);
        command.envs(environment.iter().copied());
        bench.finish(command, &words)
    };
    assert_eq!(run(&[], &[]).code, Some(0));
    let all = [("TF_VAR_subs", r#"["repo:*"]"#)];
    assert_eq!(run(&[], &all).code, Some(1), "the environment is before the default");
    assert_eq!(run(&["--var-file", "own.tfvars"], &all).code, Some(0), "a file is before the environment");
    assert_eq!(run(&["--var", r#"subs=["repo:acme/web:*"]"#], &all).code, Some(0));
    assert_eq!(run(&[], &[("TF_VAR_other", "x")]).code, Some(0), "what no module declares is for others");
    let misspelt = run(&["--var", r#"sbus=["repo:*"]"#], &[]);
    assert_eq!(misspelt.code, Some(2), "{}", misspelt.shown);
    let said = "error: --var sbus: the Terraform declares no variable of that name\n  help: there is subs";
    assert!(misspelt.shown.contains(said), "{}", misspelt.shown);
}
