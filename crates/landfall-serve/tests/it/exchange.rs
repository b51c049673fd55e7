//! `AssumeRoleWithWebIdentity`, row by row: `cases/exchange.toml` says what a token holds and what is asked
//! for, and what STS answers to the letter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use landfall_serve::issuer::Signer;
use landfall_serve::log::Verdict;
use landfall_types::Claims;
use landfall_wire::jwt::{claims_from_json, claims_to_json};
use serde::Deserialize;

use crate::bench::{self, ACCOUNT, Bench, NOW, STS, keys_of};
use crate::client::{Reply, Request};

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

/// A row; the file's head says what each part means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    claims: String,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    signer: String,
    token: Option<String>,
    header: Option<String>,
    role: Option<String>,
    #[serde(default)]
    ask: Vec<(String, String)>,
    #[serde(default)]
    leave_out: Vec<String>,
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    answer: Vec<(String, String)>,
}

#[test]
fn every_row_is_answered_to_the_letter_and_its_reason_is_in_the_log() {
    let table: Table = toml::from_str(include_str!("../../cases/exchange.toml")).unwrap();
    let bench = world();
    let mut names = std::collections::BTreeSet::new();
    let failed: Vec<&str> = table
        .row
        .iter()
        .filter(|row| {
            assert!(names.insert(&row.name), "two rows are named `{}`", row.name);
            // A row that fails says why, and the others have their turn.
            catch_unwind(AssertUnwindSafe(|| check(&bench, row))).is_err()
        })
        .map(|row| row.name.as_str())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(table.row.len() > 70, "{} rows", table.row.len());
}

fn check(bench: &Bench, row: &Row) {
    let token = token(bench, row);
    let reply = ask(bench, row, &token);
    match row.status {
        200 => allowed(bench, row, &reply),
        _ => refused(bench, row, &reply),
    }
    never_logged(bench, row, &token);
}

/// One account with GitHub's provider and the roles that the rows speak of.
fn world() -> Bench {
    let bench = Bench::with_provider();
    let provider = bench.iam(
        "CreateOpenIDConnectProvider",
        &[("Url", "https://id.example.test"), ("ClientIDList.member.1", "sts.amazonaws.com")],
    );
    assert_eq!(provider.status, 200, "{}", provider.body);
    let policies: toml::Table = toml::from_str(include_str!("../../cases/exchange.toml")).unwrap();
    for (name, role) in policies["roles"].as_table().unwrap() {
        let trust = role["trust"].as_str().unwrap();
        let path = role.get("path").and_then(toml::Value::as_str).unwrap_or("/");
        let longest = role.get("longest").and_then(toml::Value::as_integer).unwrap_or(3600).to_string();
        let made = bench.iam(
            "CreateRole",
            &[
                ("RoleName", name),
                ("Path", path),
                ("MaxSessionDuration", &longest),
                ("AssumeRolePolicyDocument", trust),
            ],
        );
        assert_eq!(made.status, 200, "{name}: {}", made.body);
    }
    bench
}

fn claims(row: &Row) -> Claims {
    let mut claims = bench::claims(bench::SUBJECT);
    if !row.claims.is_empty() {
        let changed = serde_json::from_str(&fill(&row.claims)).unwrap_or_else(|_| panic!("{}", row.name));
        for (name, value) in claims_from_json(&changed).unwrap().iter() {
            claims.set(name, value.clone());
        }
    }
    row.without.iter().for_each(|name| claims.remove(name));
    claims
}

fn token(bench: &Bench, row: &Row) -> String {
    if let Some(token) = &row.token {
        return token.clone();
    }
    let claims = claims(row);
    if let Some(header) = &row.header {
        let part = |text: &str| base64(text.as_bytes());
        return format!(
            "{}.{}.{}",
            part(header),
            part(&claims_to_json(&claims).to_string()),
            part("signature")
        );
    }
    let github = bench.server.world.issuers.github();
    match row.signer.as_str() {
        "" => github.mint(&claims, Signer::Issuer).unwrap(),
        "stranger" => github.mint(&claims, Signer::Stranger).unwrap(),
        "changed" => {
            // The signature of other claims.
            let signed = github.mint(&bench::claims("repo:acme/other"), Signer::Issuer).unwrap();
            let other = github.mint(&claims, Signer::Issuer).unwrap();
            let (head, _) = other.rsplit_once('.').unwrap();
            format!("{head}.{}", signed.rsplit_once('.').unwrap().1)
        }
        other => panic!("{}: no signer `{other}`", row.name),
    }
}

fn ask(bench: &Bench, row: &Row, token: &str) -> Reply {
    let role = row.role.clone().unwrap_or_else(|| format!("arn:aws:iam::{ACCOUNT}:role/deploy"));
    let mut params = vec![
        ("RoleArn".to_owned(), role),
        ("RoleSessionName".to_owned(), "run-7".to_owned()),
        ("WebIdentityToken".to_owned(), token.to_owned()),
    ];
    params
        .retain(|(name, _)| !row.leave_out.contains(name) && !row.ask.iter().any(|(other, _)| other == name));
    params.extend(row.ask.iter().map(|(name, value)| (name.clone(), fill(value))));
    let params: Vec<(&str, &str)> =
        params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    bench.send(&Request::query(STS, "AssumeRoleWithWebIdentity", &params))
}

fn allowed(bench: &Bench, row: &Row, reply: &Reply) {
    let name = &row.name;
    assert_eq!(reply.status, 200, "{name}: {}", reply.body);
    assert_eq!(bench.newest().verdict, Verdict::Allowed, "{name}");
    for (element, expected) in &row.answer {
        assert_eq!(reply.element(element).as_deref(), Some(expected.as_str()), "{name}: {element}");
    }
    // What was given works.
    let who = bench.call(&keys_of(reply), "sts", Request::query(STS, "GetCallerIdentity", &[]));
    let arn = reply.elements("Arn").pop().unwrap();
    assert_eq!((who.status, who.element("Arn")), (200, Some(arn)), "{name}: {}", who.body);
}

fn refused(bench: &Bench, row: &Row, reply: &Reply) {
    let name = &row.name;
    let (code, message) = reply.fault();
    let message_wanted = fill(&row.message);
    assert_eq!(
        (reply.status, code.as_str(), message.as_str()),
        (row.status, row.code.as_str(), message_wanted.as_str()),
        "{name}"
    );
    let record = bench.newest();
    assert_eq!(record.operation, "AssumeRoleWithWebIdentity", "{name}");
    assert_eq!(record.verdict, Verdict::Refused { code, message }, "{name}");
    let finding = record.finding.as_ref().unwrap_or_else(|| panic!("{name}: no reason in the log"));
    assert_eq!(finding.rule, row.rule, "{name}: {}", finding.message);
    let id = Some(record.request_id.clone());
    assert_eq!(
        (reply.header("x-amzn-requestid").map(str::to_owned), reply.element("RequestId")),
        (id.clone(), id)
    );
}

/// Neither token nor credentials are in any record.
fn never_logged(bench: &Bench, row: &Row, token: &str) {
    let record = format!("{:?}", bench.server.world.log.after(0).pop());
    let signature = token.rsplit('.').next().unwrap();
    assert!(signature.len() < 8 || !record.contains(signature), "{}: the token is in the log", row.name);
}

/// `${now}`, `${now+300}` and `${now-300}` are moments, `${a*65}` is a letter so many times.
fn fill(text: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        filled.push_str(before);
        if let Some(offset) = name.strip_prefix("now") {
            let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().unwrap() };
            filled.push_str(&(NOW.seconds() + offset).to_string());
        } else {
            let (letter, count) = name.split_once('*').unwrap();
            filled.push_str(&letter.repeat(count.parse().unwrap()));
        }
        rest = after;
    }
    filled + rest
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
