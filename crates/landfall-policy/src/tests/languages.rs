//! Patterns, conditions and variables, row by row.

use super::*;
use crate::pattern;

#[test]
fn conditions_hold_as_the_operators_are_documented() {
    let mut count = 0;
    for file in ["condition-matrix.json", "condition-special.json"] {
        let tree = read_cases(file);
        for row in rows(&tree) {
            let [operator, wanted, have, holds, ..] = row.items() else { panic!("{row:?}") };
            let statement = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*",
                "Condition":{{{}:{{"test:Key":{}}}}}}}}}"#,
                quoted(text(operator)),
                quoted_list(&texts(wanted))
            );
            let policy = sound_text(&statement, PolicyKind::Identity);
            let mut context = Context::new();
            if have.node != Node::Null {
                context.set_all("Test:key", texts(have));
            }
            assert_eq!(identity_allows(&policy, REPOSITORY, context), flag(holds), "{file}: {}", shown(row));
            count += 1;
        }
    }
    assert!(count >= 400, "the table has only {count} rows");
}

#[test]
fn resources_match_part_by_part() {
    for row in rows(&read_cases("pattern.json")) {
        let [wanted, got, matches, ..] = row.items() else { panic!("{row:?}") };
        assert_eq!(pattern::arn(text(wanted), text(got)), flag(matches), "{}", shown(row));
        let tokens = pattern::expand(text(wanted), &Context::new()).unwrap();
        assert_eq!(pattern::arn_tokens(&tokens, text(got)), flag(matches), "expanded: {}", shown(row));
    }
}

/// Every pattern and text of up to five characters over a small alphabet, against the definition.
#[test]
fn globs_agree_with_their_definition() {
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| defined(rest, &text[at..])),
            ([b'?', rest @ ..], [_, text @ ..]) => defined(rest, text),
            ([wanted, rest @ ..], [found, text @ ..]) => wanted == found && defined(rest, text),
            _ => false,
        }
    }
    let (patterns, texts) = (words("ab*?", 5), words("ab", 5));
    assert_eq!((patterns.len(), texts.len()), (1365, 63));
    for pattern in &patterns {
        for text in &texts {
            let wanted = defined(pattern.as_bytes(), text.as_bytes());
            assert_eq!(pattern::glob(pattern, text), wanted, "{pattern} {text}");
            // The same with characters of two and four bytes, and in other letters.
            let wide = |word: &str| word.replace('a', "ä").replace('b', "😀");
            assert_eq!(pattern::glob(&wide(pattern), &wide(text)), wanted, "{pattern} {text}, wide");
            assert_eq!(pattern::glob_ignore_case(pattern, &text.to_uppercase()), wanted, "{pattern} {text}");
            let tokens = pattern::expand(pattern, &Context::new()).unwrap();
            assert_eq!(pattern::glob_tokens(&tokens, text), wanted, "{pattern} {text}, expanded");
        }
    }
}

/// All words over an alphabet, from the empty one up to a length.
fn words(alphabet: &str, length: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..length {
        let longer: Vec<String> = all[from..]
            .iter()
            .flat_map(|word| alphabet.chars().map(move |next| format!("{word}{next}")))
            .collect();
        from = all.len();
        all.extend(longer);
    }
    all
}

#[test]
fn actions_match_whatever_their_case() {
    for row in rows(&read_cases("action.json")) {
        let [wanted, got, matches, ..] = row.items() else { panic!("{row:?}") };
        assert_eq!(pattern::action(text(wanted), text(got)), flag(matches), "{}", shown(row));
    }
}

#[test]
fn variables_are_filled_in_to_the_letter() {
    for row in rows(&read_cases("variable.json")) {
        let [element, wanted, got, keys, version, matches, ..] = row.items() else { panic!("{row:?}") };
        let mut context = context(Some(keys));
        let (clauses, resource) = if text(element).ends_with("Resource") {
            (format!("{}:{}", quoted(text(element)), quoted(text(wanted))), text(got))
        } else {
            context.set("test:Key", text(got));
            let condition = format!("{}:{{\"test:Key\":{}}}", quoted(text(element)), quoted(text(wanted)));
            (format!("\"Resource\":\"*\",\"Condition\":{{{condition}}}"), REPOSITORY)
        };
        let document = format!(
            r#"{{"Version":{},"Statement":[{{"Effect":"Allow","Action":"ecr:PutImage",{clauses}}}]}}"#,
            quoted(text(version))
        );
        let policy = sound_text(&document, PolicyKind::Identity);
        assert_eq!(identity_allows(&policy, resource, context), flag(matches), "{}", shown(row));
    }
}

#[test]
fn the_old_version_is_also_the_one_when_none_is_given() {
    let document = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"test:Key":"${aws:username}"}}}}"#;
    let policy = sound_text(document, PolicyKind::Identity);
    let mut context = Context::new();
    context.set("aws:username", "bob");
    context.set("test:Key", "bob");
    assert!(!identity_allows(&policy, REPOSITORY, context.clone()));
    context.set("test:Key", "${aws:username}");
    assert!(identity_allows(&policy, REPOSITORY, context));
}

/// A row as its scalars, for a message.
fn shown(row: &Tree) -> String {
    let cells = row.items().iter().map(|cell| match &cell.node {
        Node::List(_) => quoted_list(&texts(cell)),
        Node::Null => "null".to_owned(),
        _ => cell.scalar().unwrap_or_else(|| "{…}".to_owned()),
    });
    cells.collect::<Vec<_>>().join(" | ")
}
