#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use super::*;
use crate::github::expr::parse::StatusCalls;

const TABLE: &str = include_str!("../../../cases/github/expressions.txt");

const ALL: Availability = Availability {
    contexts: &["github", "env", "inputs", "matrix", "needs", "vars", "secrets"],
    status: StatusCalls::WithJobs,
    hash_files: true,
};

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{}'", text.replace('\'', "''").replace('\n', "⏎")),
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Object(_) => to_json(value).lines().map(str::trim_start).collect(),
        other => other.to_text(),
    }
}

fn evaluated(text: &str, contexts: &Contexts<'_>) -> Result<String, String> {
    let expression = Expression::parse(text, &ALL).map_err(|error| error.message)?;
    expression.evaluate(contexts).map(|value| shown(&value))
}

#[test]
fn every_row_of_the_expression_table_holds() {
    let hash = |patterns: &[String]| Ok(format!("hash of {}", patterns.join(" ")));
    let mut contexts = Contexts::new();
    contexts.hash_files = Some(&hash);
    contexts.job_results =
        vec![("build".to_owned(), Outcome::Success), ("lint".to_owned(), Outcome::Failure)];
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((name, json)) = line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            contexts.set(name, from_json(json).unwrap());
            continue;
        }
        let (text, wanted) = match (line.split_once(" => "), line.split_once(" =! ")) {
            (Some((text, value)), _) => (text, Ok(value.to_owned())),
            (None, Some((text, error))) => (text, Err(error.to_owned())),
            (None, None) => panic!("not a row: {line}"),
        };
        rows += 1;
        let found = evaluated(text, &contexts);
        if found != wanted {
            wrong.push(format!("{text}\n  wanted {wanted:?}\n  found  {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 150, "{rows} rows");
}

#[test]
fn deep_and_long_expressions_are_refused_not_overflowed() {
    let message = |text: &str| Expression::parse(text, &ALL).unwrap_err().message;
    let depth = "Exceeded max expression depth 50";
    assert_eq!(message(&format!("github{}", ".a".repeat(10_000))), depth);
    assert_eq!(message(&format!("{}true", "!".repeat(20_000))), depth);
    assert_eq!(message(&format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000))), depth);
    assert_eq!(message(&format!("{}1{}", "toJSON(".repeat(60), ")".repeat(60))), depth);
    assert_eq!(message(&format!("'{}'", "x".repeat(21_000))), "Exceeded max expression length 21000");
    assert!(Expression::parse(&format!("{}1{}", "toJSON(".repeat(49), ")".repeat(49)), &ALL).is_ok());
    assert!(Expression::parse(&vec!["true"; 1_000].join(" && "), &ALL).is_ok(), "chains count as one level");
}

#[test]
fn deep_json_is_refused() {
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(&text).unwrap_err().contains("deeper than 100 levels"));
}

#[test]
fn functions_are_only_known_where_they_are_offered() {
    let nothing = Availability { contexts: &[], status: StatusCalls::Never, hash_files: false };
    for text in ["success()", "always()", "hashFiles('x')"] {
        let name = text.split('(').next().unwrap();
        let message = Expression::parse(text, &nothing).unwrap_err().message;
        assert!(message.starts_with(&format!("Unrecognized function: '{name}'")), "{message}");
    }
    let step = Availability { status: StatusCalls::Bare, ..nothing };
    let message = Expression::parse("success('build')", &step).unwrap_err().message;
    assert!(message.starts_with("Too many parameters supplied"), "{message}");
}

#[test]
fn an_object_keeps_the_first_place_and_the_last_value_of_a_key() {
    let object = Object::new().with("A", 1.0.into()).with("b", 2.0.into()).with("a", 3.0.into());
    assert_eq!(object.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["A", "b"]);
    assert_eq!(object.get("a").map(Value::to_text), Some("3".to_owned()));
    let env = Object::case_sensitive().with("A", 1.0.into());
    assert!(env.get("a").is_none());
}

#[test]
fn contexts_print_names_and_no_values() {
    let contexts = Contexts::new().with("secrets", "hunter2".into());
    assert_eq!(format!("{contexts:?}"), "[\"secrets\"]");
}

#[test]
fn texts_that_multiply_end_at_the_limit_and_not_in_memory() {
    let hundred = "{0}".repeat(100);
    let mut text = "'xxxxxxxxxx'".to_owned();
    for _ in 0..20 {
        text = format!("format('{hundred}', {text})");
    }
    let list = format!("join(fromJSON('[{}1]'), {text})", "1,".repeat(1_000));
    for text in [text, list] {
        let error = Expression::parse(&text, &ALL).unwrap().evaluate(&Contexts::new()).unwrap_err();
        assert!(error.starts_with("The maximum allowed memory size was exceeded"), "{error}");
    }
}
