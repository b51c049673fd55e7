#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use super::*;

const SOURCE: SourceId = SourceId(0);

fn read(text: &str) -> Tree {
    parse(SOURCE, text).unwrap_or_else(|finding| panic!("{}", finding.message))
}

fn excerpt<'t>(text: &'t str, tree: &Tree) -> &'t str {
    text.get(tree.span.start as usize..tree.span.end as usize).unwrap()
}

#[test]
fn plain_scalars_follow_the_core_schema_and_on_stays_text() {
    let number = |text: &str| Node::Number(text.to_owned());
    let text = |text: &str| Node::Text(text.to_owned());
    for (written, wanted) in [
        ("on", text("on")),
        ("yes", text("yes")),
        ("no", text("no")),
        ("off", text("off")),
        ("true", Node::Bool(true)),
        ("True", Node::Bool(true)),
        ("FALSE", Node::Bool(false)),
        ("tRue", text("tRue")),
        ("~", Node::Null),
        ("null", Node::Null),
        ("", Node::Null),
        ("12", number("12")),
        ("-1.50", number("-1.50")),
        ("1e3", number("1e3")),
        ("0x1F", number("0x1F")),
        ("0o17", number("0o17")),
        (".5", number(".5")),
        (".inf", number(".inf")),
        (".", text(".")),
        ("1.2.3", text("1.2.3")),
        ("1_000", text("1_000")),
        ("12:30", text("12:30")),
        ("2026-01-01", text("2026-01-01")),
        ("'12'", text("12")),
        ("\"true\"", text("true")),
        ("!!str 12", text("12")),
        ("!!int '12'", number("12")),
    ] {
        let tree = read(&format!("a: {written}\n"));
        assert_eq!(tree.field("a").unwrap().node, wanted, "{written}");
    }
}

#[test]
fn every_node_knows_its_bytes() {
    let text = "on:\n  push:\n    branches: [ main, 'v*' ]\njobs:\n  ä: { x: 1 }\n# end\n";
    let tree = read(text);
    let push = tree.field("on").and_then(|on| on.field("push")).unwrap();
    assert_eq!(excerpt(text, push), "branches: [ main, 'v*' ]");
    let branches = push.field("branches").unwrap();
    assert_eq!(excerpt(text, branches), "[ main, 'v*' ]");
    assert_eq!(branches.items().iter().map(|item| excerpt(text, item)).collect::<Vec<_>>(), ["main", "'v*'"]);
    let (key, value) = tree.field("jobs").unwrap().entries().first().unwrap();
    assert_eq!(text.get(key.span.start as usize..key.span.end as usize), Some("ä"));
    assert_eq!(excerpt(text, value), "{ x: 1 }");
}

#[test]
fn a_repeated_key_stands_there_twice() {
    let tree = read("a: 1\na: 2\n");
    assert_eq!(tree.entries().len(), 2);
    assert_eq!(tree.field("a").unwrap().node, Node::Number("2".to_owned()));
}

#[test]
fn an_alias_is_a_copy_at_its_own_place() {
    let text = "a: &x [1, 2]\nb: *x\n";
    let tree = read(text);
    let copy = tree.field("b").unwrap();
    assert_eq!(copy.items().len(), 2);
    assert_eq!(excerpt(text, copy), "*x");
    assert_eq!(excerpt(text, copy.items().first().unwrap()), "1");
}

#[test]
fn what_cannot_be_read_is_one_finding_with_a_place() {
    let deep = format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for level in 1..200 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    for (text, wanted) in [
        ("a: [1", "this is not YAML"),
        ("a: b: c", "this is not YAML"),
        ("a: *nothing", "this is not YAML"),
        ("a: &x [*x]", "an alias cannot stand inside of what it names"),
        ("a: 1\n---\nb: 2\n", "one YAML document is expected"),
        ("? [a]\n: 1\n", "a key must be a scalar, this is a list"),
        (deep.as_str(), "may nest 100 levels deep"),
        (tower.as_str(), "may nest 100 levels deep"),
        (laughs.as_str(), "200000 nodes"),
        (&"#".repeat(TEXT_BYTES_MAX + 1), "at most 1048576 are read"),
    ] {
        let finding = parse(SOURCE, text).unwrap_err();
        let start: String = text.chars().take(30).collect();
        assert!(finding.message.contains(wanted), "{start}: {}", finding.message);
        assert_eq!(finding.labels.len(), 1, "{start}");
    }
}

#[test]
fn a_tag_without_meaning_makes_the_value_unknown_not_absent() {
    let tree = read("a: !reference [x, y]\nb: !secret z\n");
    for key in ["a", "b"] {
        assert!(matches!(tree.field(key).unwrap().node, Node::Unknown(_)), "{key}");
    }
}

#[test]
fn an_empty_text_is_null() {
    for text in ["", "\n", "# only a comment\n"] {
        assert_eq!(read(text).node, Node::Null, "{text:?}");
    }
}
