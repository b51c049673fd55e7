//! IAM as Terraform and the aws CLI use it: `cases/iam.txt` is a list of conversations with the API.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bench::{Bench, IAM, root, root_of};
use crate::client::{Reply, Request, decoded};

#[test]
fn conversations_go_as_the_cases_say() {
    let cases = include_str!("../../cases/iam.txt");
    let (head, cases) = cases.split_once("\n### ").unwrap();
    let texts: HashMap<&str, &str> = head
        .lines()
        .filter_map(|line| line.strip_prefix("@ "))
        .map(|line| line.split_once(" = ").unwrap())
        .collect();
    let (mut count, mut failed) = (0, Vec::new());
    for case in cases.split("\n### ") {
        let (title, lines) = case.split_once('\n').unwrap();
        // A conversation that goes wrong says why, and the others have their turn.
        match catch_unwind(AssertUnwindSafe(|| converse(title, lines, &texts))) {
            Ok(calls) => count += calls,
            Err(_) => failed.push(title),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(count > 240, "{count} calls");
}

fn converse(title: &str, lines: &str, texts: &HashMap<&str, &str>) -> usize {
    let bench = Bench::new();
    let mut calls: Vec<(&str, Vec<&str>, Vec<&str>)> = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match (line.split_once(' ').unwrap(), calls.last_mut()) {
            ((">", call), _) => calls.push((call, Vec::new(), Vec::new())),
            (("<" | "!", _), Some((_, _, expected))) => expected.push(line),
            (_, Some((_, parameters, expected))) if line.starts_with("  ") => {
                if expected.is_empty() {
                    parameters.push(line.trim())
                } else {
                    expected.push(line.trim())
                }
            }
            _ => panic!("{title}: `{line}`"),
        }
    }
    let count = calls.len();
    for (call, parameters, expected) in calls {
        let parameters: Vec<(&str, String)> = parameters
            .iter()
            .map(|line| line.split_once(" = ").unwrap_or_else(|| panic!("{title}: `{line}`")))
            .map(|(name, value)| (name, fill(value, texts)))
            .collect();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (action, account) =
            call.split_once(" in ").map_or((call, None), |(action, account)| (action, Some(account)));
        let keys = account.map_or_else(root, root_of);
        let reply = bench.call(&keys, "iam", Request::query(IAM, action, &parameters));
        for line in expected {
            expect(&format!("{title}: {call}"), &reply, &fill(line, texts));
        }
    }
    count
}

fn expect(place: &str, reply: &Reply, line: &str) {
    if let Some(fault) = line.strip_prefix("! ") {
        let (code, message) = reply.fault();
        assert_eq!(format!("{} {code}: {message}", reply.status), fault, "{place}");
    } else if let Some(status) = line.strip_prefix("< ") {
        assert_eq!(reply.status.to_string(), status, "{place}: {}", reply.body);
    } else if let Some(name) = line.strip_prefix('!') {
        assert_eq!(reply.element(name), None, "{place}: {name}");
    } else {
        let (name, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{place}: `{line}`"));
        let found = reply.elements(name);
        let found = match name {
            "AssumeRolePolicyDocument" | "PolicyDocument" | "Document" => {
                found.iter().map(|text| decoded(text)).collect()
            }
            _ => found,
        };
        assert_eq!(found.join(" | "), value.trim(), "{place}: {name}");
    }
}

/// `${NAME}` is a named text, `${a*65}` a letter so many times.
fn fill(text: &str, texts: &HashMap<&str, &str>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        filled.push_str(before);
        match name.split_once('*') {
            Some((letter, count)) => filled.push_str(&letter.repeat(count.parse().unwrap())),
            None => filled.push_str(texts[name]),
        }
        rest = after;
    }
    filled + rest
}
