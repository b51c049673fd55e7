//! `landfall who`, `explain` and `diff`: questions that need no server. Exit codes are the gates that
//! CI relies on.

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
