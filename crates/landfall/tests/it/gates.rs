//! `gates.toml`: Terraform whose truth is known, and what the gate `who --only 'repo:acme/web:*'` says of it.
//! What isn't known is never taken for allowed, absent or fine.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::bench::Bench;

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    /// What the role's trust policy compares `sub` with, an expression of Terraform.
    sub: Option<String>,
    /// The role's whole `assume_role_policy`.
    trust: Option<String>,
    /// What else stands in `main.tf`.
    #[serde(default)]
    more: String,
    /// Further files of the folder, or beside it.
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    gate: Gate,
    /// Texts that the answer has.
    #[serde(default)]
    says: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
enum Gate {
    /// Nobody else gets in.
    Passed,
    /// Somebody else does.
    Outsider,
    /// It can't be proved.
    Unknown,
    /// The question isn't answered.
    Refused,
}

impl Row {
    fn main(&self) -> String {
        let trust = self.trust.clone().or_else(|| Some(TRUST.replace("SUB", self.sub.as_ref()?)));
        let role = trust.map(|trust| ROLE.replace("TRUST", &trust)).unwrap_or_default();
        format!("{PROVIDER}{role}{}", self.more)
    }
}

const PROVIDER: &str = r#"
locals {
  github = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
}
"#;
const ROLE: &str = r#"
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
resource "aws_iam_role" "r" {
  name               = "r"
  assume_role_policy = TRUST
}
"#;
const TRUST: &str = r#"jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = local.github }
      Condition = {
        StringEquals = { "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com" }
        StringLike   = { "token.actions.githubusercontent.com:sub" = SUB }
      }
    }]
  })"#;

#[test]
fn the_gate_says_what_is_so() {
    let table: Table = toml::from_str(include_str!("gates.toml")).unwrap();
    let wrong: Vec<String> = table.row.iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n\n{}", wrong.len(), table.row.len(), wrong.join("\n\n"));
}

fn check(row: &Row) -> Option<String> {
    let mut bench = Bench::new().file("infra/main.tf", &row.main());
    for (name, text) in &row.files {
        bench = bench.file(name, text);
    }
    let mut args = vec!["who", "r", "--infra", "infra", "--only", "repo:acme/web:*"];
    args.extend(row.flags.iter().map(String::as_str));
    let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
    command.envs(&row.env);
    let done = bench.finish(command, &args);
    let has = |text: &str| done.stdout.contains(text);
    let found = match done.code {
        Some(0) if has("✓ nobody but") => Gate::Passed,
        Some(1) if has("? it can't be proved") && !has("✗ somebody else") => Gate::Unknown,
        Some(1) if has("✗ somebody else") || has("names no owner") => Gate::Outsider,
        Some(2) if !has("✓") => Gate::Refused,
        _ => return Some(format!("## {}: neither of the answers\n{}", row.name, done.shown)),
    };
    let missing: Vec<&String> = row.says.iter().filter(|text| !done.shown.contains(text.as_str())).collect();
    let is_right = found == row.gate && missing.is_empty();
    (!is_right).then(|| {
        format!(
            "## {}: {:?} is right, found {found:?}; not said: {missing:?}\n{}",
            row.name, row.gate, done.shown
        )
    })
}
