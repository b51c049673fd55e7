//! `data "aws_iam_policy_document"`, evaluated as the AWS provider does it: the order of statements,
//! what one document's statement does to another's, and how sets become strings or sorted lists.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/data-sources/iam_policy_document>

use landfall_types::tree::Key;
use landfall_types::{Finding, Node, Span, Tree};
use std::collections::BTreeMap;

use super::eval::Evaluator;
use super::json_text;
use super::resources::missing_argument;
use super::value::{self, Object, Value};

const DEFAULT_VERSION: &str = "2012-10-17";

/// A document on its way: what is merged from sources, own statements and overrides.
struct Document {
    version: (String, Span),
    id: Option<(String, Span)>,
    /// With the Sid, empty when there is none.
    statements: Vec<(String, Tree)>,
}

/// The document as a string value that keeps its tree.
pub(super) fn evaluate(evaluator: &Evaluator, object: &Object) -> Value {
    let span = object.span;
    let own = own_document(evaluator, object);
    let mut document = Document { version: (String::new(), span), id: None, statements: Vec::new() };
    let sources = other_documents(evaluator, object, &["source_policy_documents", "source_json"]);
    report_repeated_sids(evaluator, &sources, "in source_policy_documents");
    for source in sources {
        document.merge(source);
    }
    document.merge(own);
    for source in other_documents(evaluator, object, &["override_policy_documents", "override_json"]) {
        document.merge(source);
    }
    Value::json(document.into_tree(span), span)
}

impl Document {
    /// A statement without Sid is added; one with a Sid takes the place of its namesake.
    fn merge(&mut self, other: Document) {
        if other.id.is_some() {
            self.id = other.id;
        }
        if other.version.0 > self.version.0 {
            self.version = other.version;
        }
        for (sid, statement) in other.statements {
            let namesake = self.statements.iter_mut().find(|(other, _)| !sid.is_empty() && *other == sid);
            match namesake {
                Some(place) => place.1 = statement,
                None => self.statements.push((sid, statement)),
            }
        }
    }

    fn into_tree(self, span: Span) -> Tree {
        let mut entries = Vec::new();
        let text = |(text, span): (String, Span)| Tree::new(Node::Text(text), span);
        if !self.version.0.is_empty() {
            entries.push((value::key("Version", self.version.1), text(self.version)));
        }
        if let Some(id) = self.id {
            entries.push((value::key("Id", id.1), text(id)));
        }
        if !self.statements.is_empty() {
            let statements = self.statements.into_iter().map(|(_, statement)| statement).collect();
            entries.push((value::key("Statement", span), Tree::new(Node::List(statements), span)));
        }
        Tree::new(Node::Map(entries), span)
    }
}

/// What the block itself says.
fn own_document(evaluator: &Evaluator, object: &Object) -> Document {
    let text = |name: &str| {
        let value = object.written(name)?;
        Some((value.as_text()?.to_string(), value.span))
    };
    let version = text("version").unwrap_or_else(|| (DEFAULT_VERSION.to_owned(), object.span));
    let mut document = Document { version, id: text("policy_id"), statements: Vec::new() };
    for block in object.written("statement").and_then(Value::items).unwrap_or_default() {
        let statement = statement(evaluator, block, &document.version.0);
        let sid = statement.field("Sid").and_then(Tree::as_text).unwrap_or("").to_owned();
        document.statements.push((sid, statement));
    }
    report_repeated_sids(evaluator, std::slice::from_ref(&document), "");
    document
}

fn report_repeated_sids(evaluator: &Evaluator, documents: &[Document], place: &str) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    let statements = documents.iter().flat_map(|document| document.statements.iter().enumerate());
    for (index, (sid, statement)) in statements.filter(|(_, (sid, _))| !sid.is_empty()) {
        let Some(first) = seen.insert(sid, statement.span) else { continue };
        let message = match place {
            "" => format!("duplicate Sid ({sid}). Remove the Sid or ensure the Sid is unique."),
            place => format!(
                "duplicate Sid ({sid}) {place} (statement {index}). Remove the Sid or ensure Sids are unique."
            ),
        };
        let finding = Finding::error("terraform-value", message)
            .at(statement.span, "this statement has the same Sid")
            .at(first, "as this one");
        evaluator.report(finding);
    }
}

/// Documents given as JSON. One that isn't known may hold any statement, and says so.
fn other_documents(evaluator: &Evaluator, object: &Object, names: &[&str]) -> Vec<Document> {
    let mut documents = Vec::new();
    for name in names {
        let Some(value) = object.written(name) else { continue };
        let items = match value.items() {
            Some(items) => items.to_vec(),
            None => vec![value.clone()],
        };
        for item in items.iter().filter(|item| !item.is_null() && item.as_text().as_deref() != Some("")) {
            documents.push(read_document(evaluator, &evaluator.document(name, item)));
        }
    }
    documents
}

fn read_document(evaluator: &Evaluator, tree: &Tree) -> Document {
    let text = |name: &str| {
        let field = tree.field(name)?;
        Some((field.as_text()?.to_owned(), field.span))
    };
    let version = text("Version").unwrap_or_else(|| (String::new(), tree.span));
    let statements = match (&tree.node, tree.field("Statement")) {
        (Node::Unknown(_), _) => vec![tree],
        (_, Some(Tree { node: Node::List(items), .. })) => items.iter().collect(),
        (_, Some(statement)) => vec![statement],
        (_, None) => Vec::new(),
    };
    let statements = statements.into_iter().map(|statement| {
        let sid = statement.field("Sid").and_then(Tree::as_text).unwrap_or("").to_owned();
        (sid, normalised(evaluator, statement))
    });
    Document { version, id: text("Id").filter(|(id, _)| !id.is_empty()), statements: statements.collect() }
}

/// A foreign statement in the provider's order of elements. Booleans in conditions become strings,
/// numbers there are dropped: the provider has no case for them.
fn normalised(evaluator: &Evaluator, statement: &Tree) -> Tree {
    const ORDER: [&str; 9] = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Principal",
        "NotPrincipal",
        "Condition",
    ];
    let Node::Map(entries) = &statement.node else { return statement.clone() };
    let mut ordered = Vec::with_capacity(entries.len());
    for name in ORDER {
        let Some((key, value)) = entries.iter().rev().find(|(key, _)| key.text == name) else { continue };
        if matches!(&value.node, Node::Text(text) if text.is_empty()) {
            continue;
        }
        let mut value = value.clone();
        if name == "Condition" {
            normalise_condition(evaluator, &mut value);
        }
        ordered.push((key.clone(), value));
    }
    // An entry under an empty key stands for what could not be read.
    ordered.extend(entries.iter().filter(|(key, _)| key.text.is_empty()).cloned());
    Tree::new(Node::Map(ordered), statement.span)
}

fn normalise_condition(evaluator: &Evaluator, condition: &mut Tree) {
    let Node::Map(tests) = &mut condition.node else { return };
    tests.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
    for (_, variables) in tests.iter_mut() {
        let Node::Map(variables) = &mut variables.node else { continue };
        for (key, value) in variables.iter().filter(|(_, value)| matches!(value.node, Node::Number(_))) {
            let message =
                format!("the condition on `{}` is dropped: the AWS provider takes no number there", key.text);
            let finding = Finding::warning("terraform-value", message)
                .at(value.span, "this number is left out of the merged document")
                .help("write it as a string");
            evaluator.report(finding);
        }
        variables.retain(|(_, value)| !matches!(value.node, Node::Number(_)));
        variables.sort_by(|(a, _), (b, _)| a.text.cmp(&b.text));
        for (_, value) in variables {
            match &value.node {
                Node::Bool(boolean) => value.node = Node::Text(boolean.to_string()),
                Node::List(items) => {
                    if let [only] = items.as_slice() {
                        *value = only.clone();
                    }
                }
                _ => {}
            }
        }
    }
    tests.retain(|(_, variables)| !json_text::is_empty(variables));
}

/// One `statement` block, as a map of its arguments.
fn statement(evaluator: &Evaluator, block: &Value, version: &str) -> Tree {
    let Some(arguments) = block.entries() else { return block.to_tree() };
    let argument = |name: &str| arguments.iter().find(|(key, value)| key.text == name && !value.is_null());
    let mut entries: Vec<(Key, Tree)> = Vec::new();
    if let Some((key, sid)) = argument("sid")
        && sid.as_text().as_deref() != Some("")
    {
        entries.push((value::key("Sid", key.span), sid.to_tree()));
    }
    entries.push(match argument("effect") {
        Some((key, effect)) => (value::key("Effect", key.span), effect.to_tree()),
        None => (value::key("Effect", block.span), Tree::new(Node::Text("Allow".to_owned()), block.span)),
    });
    let sets = [
        ("actions", "Action", false),
        ("not_actions", "NotAction", false),
        ("resources", "Resource", true),
        ("not_resources", "NotResource", true),
    ];
    for (name, element, has_variables) in sets {
        let Some((key, value)) = argument(name) else { continue };
        let variables = has_variables.then_some(version);
        if let Some(tree) = string_set(evaluator, name, value, variables) {
            entries.push((value::key(element, key.span), tree));
        }
    }
    for (name, element) in [("principals", "Principal"), ("not_principals", "NotPrincipal")] {
        let Some((key, value)) = argument(name) else { continue };
        if let Some(tree) = principals(evaluator, name, value, version) {
            entries.push((value::key(element, key.span), tree));
        }
    }
    if let Some((key, value)) = argument("condition")
        && let Some(tree) = conditions(evaluator, value, version)
    {
        entries.push((value::key("Condition", key.span), tree));
    }
    Tree::new(Node::Map(entries), block.span)
}

/// A set of strings: absent when empty, one as a string, more sorted from Z to A.
fn string_set(evaluator: &Evaluator, name: &str, value: &Value, variables: Option<&str>) -> Option<Tree> {
    let mut items = strings(evaluator, name, value, variables);
    sort_from_z(&mut items);
    one_or_list(items, value.span)
}

fn sort_from_z(items: &mut Vec<Tree>) {
    items.sort_by(|a, b| b.as_text().cmp(&a.as_text()));
    items.dedup_by(|a, b| a.as_text().is_some() && a.as_text() == b.as_text());
}

fn one_or_list(mut items: Vec<Tree>, span: Span) -> Option<Tree> {
    if items.len() > 1 {
        return Some(Tree::new(Node::List(items), span));
    }
    items.pop()
}

/// The strings of a list in written order; `variables` names the version when `&{…}` is read as
/// `${…}`. A list that isn't known, or is none, is one unknown item: a statement that lost a part of
/// itself would say something else.
fn strings(evaluator: &Evaluator, name: &str, value: &Value, variables: Option<&str>) -> Vec<Tree> {
    if value.as_unknown().is_some() {
        return vec![value.to_tree()];
    }
    let Some(items) = value.items() else {
        let message = format!(
            "Inappropriate value for attribute \"{name}\": set of string required, found {}",
            value.kind_name()
        );
        return vec![evaluator.fail("terraform-value", message, value.span, "put it into [ ]").to_tree()];
    };
    let strings = items.iter().filter(|item| !item.is_null()).map(|item| {
        let Some(text) = item.as_text() else { return item.to_tree() };
        let text = match variables {
            Some(version) => with_variables(evaluator, name, &text, version, item.span),
            None => text.to_string(),
        };
        Tree::new(Node::Text(text), item.span)
    });
    strings.collect()
}

/// Policy variables are written `&{…}` since `${…}` is Terraform's own.
fn with_variables(evaluator: &Evaluator, name: &str, text: &str, version: &str, span: Span) -> String {
    if text.contains("&{") && version == "2008-10-17" {
        let message = format!(
            "found &{{ sequence in ({text}), which is not supported in document version 2008-10-17 ({name})"
        );
        evaluator.fail("terraform-value", message, span, "this value");
    }
    text.replace("&{", "${")
}

/// `principals` blocks: by type, the identifiers of one type together.
fn principals(evaluator: &Evaluator, name: &str, value: &Value, version: &str) -> Option<Tree> {
    let mut by_type: BTreeMap<String, (Span, Vec<Tree>, Span)> = BTreeMap::new();
    for block in value.items().unwrap_or_default() {
        let Some(arguments) = block.entries() else { return Some(block.to_tree()) };
        let kind = required(evaluator, arguments, block.span, "type");
        let identifiers = required(evaluator, arguments, block.span, "identifiers");
        let Some(text) = kind.as_text() else {
            return Some(Tree::new(Node::Unknown(kind.cause_or("is not a string")), kind.span));
        };
        let mut identifiers_here = strings(evaluator, name, &identifiers, Some(version));
        sort_from_z(&mut identifiers_here);
        let entry =
            by_type.entry(text.to_string()).or_insert_with(|| (kind.span, Vec::new(), identifiers.span));
        entry.1.extend(identifiers_here);
    }
    let any = by_type.len() == 1
        && by_type
            .get("*")
            .is_some_and(|(_, items, _)| matches!(items.as_slice(), [only] if only.as_text() == Some("*")));
    if any {
        return by_type.remove("*").and_then(|(_, mut items, _)| items.pop());
    }
    let span = value.items().and_then(<[Value]>::first).map_or(value.span, |block| block.span);
    let entries = by_type.into_iter().filter_map(|(kind, (kind_span, items, span))| {
        Some((value::key(kind, kind_span), one_or_list(items, span)?))
    });
    Some(Tree::new(Node::Map(entries.collect()), span))
}

/// A required argument of a block; unknown, and reported, when it is missing.
fn required(evaluator: &Evaluator, arguments: &[(Key, Value)], span: Span, name: &str) -> Value {
    let found = arguments.iter().find(|(key, value)| key.text == name && !value.is_null());
    match found {
        Some((_, value)) => value.clone(),
        None => {
            let finding = missing_argument(name, span);
            let message = finding.message.clone();
            evaluator.report(finding);
            Value::failed(message, span)
        }
    }
}

/// `condition` blocks: by test and variable, in the order of the alphabet. Blocks with the same test
/// and variable become one list, which IAM reads as *or*.
fn conditions(evaluator: &Evaluator, value: &Value, version: &str) -> Option<Tree> {
    type Variables = BTreeMap<String, (Span, Vec<Tree>, Span)>;
    let mut tests: BTreeMap<String, (Span, Variables)> = BTreeMap::new();
    for block in value.items().unwrap_or_default() {
        let Some(arguments) = block.entries() else { return Some(block.to_tree()) };
        let [test, variable, values] =
            ["test", "variable", "values"].map(|name| required(evaluator, arguments, block.span, name));
        let (Some(test_name), Some(variable_name)) = (test.as_text(), variable.as_text()) else {
            // Which condition it is isn't known, so neither is the whole.
            let unknown = if test.as_text().is_none() { test } else { variable };
            return Some(Tree::new(Node::Unknown(unknown.cause_or("is not a string")), unknown.span));
        };
        let items = strings(evaluator, "values", &values, Some(version));
        let (_, variables) =
            tests.entry(test_name.to_string()).or_insert_with(|| (test.span, BTreeMap::new()));
        let entry = variables
            .entry(variable_name.to_string())
            .or_insert_with(|| (variable.span, Vec::new(), values.span));
        entry.1.extend(items);
    }
    let span = value.items().and_then(<[Value]>::first).map_or(value.span, |block| block.span);
    let tests = tests.into_iter().map(|(test, (test_span, variables))| {
        let variables = variables.into_iter().map(|(variable, (variable_span, items, list_span))| {
            let empty = || Tree::new(Node::List(Vec::new()), list_span);
            (value::key(variable, variable_span), one_or_list(items, list_span).unwrap_or_else(empty))
        });
        (value::key(test, test_span), Tree::new(Node::Map(variables.collect()), test_span))
    });
    Some(Tree::new(Node::Map(tests.collect()), span)).filter(|tree| !json_text::is_empty(tree))
}
