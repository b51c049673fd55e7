//! A document for AWS, JSON or YAML, as JSON in which text stays as it was written.

use landfall_types::{Finding, Node, SourceMap, Tree};
use serde_json::{Map, Value};

/// A document's value: as AWS's API takes it.
///
/// # Errors
/// One finding with its place, where something in it has no meaning for AWS.
pub fn value(sources: &SourceMap, tree: &Tree) -> Result<Value, Finding> {
    within(sources, tree, &mut Vec::new())
}

fn within(sources: &SourceMap, tree: &Tree, path: &mut Vec<String>) -> Result<Value, Finding> {
    if let Some(text) = text_to_the_letter(sources, tree, path) {
        return Ok(Value::from(text));
    }
    Ok(match &tree.node {
        Node::Null => Value::Null,
        Node::Bool(is) => Value::from(*is),
        Node::Number(text) => {
            number(text).ok_or_else(|| wrong(tree, format!("`{text}` is not a number that AWS takes")))?
        }
        Node::Text(text) => Value::from(text.as_str()),
        Node::Unknown(reason) => return Err(wrong(tree, reason.clone())),
        Node::List(items) => {
            path.push("[]".to_owned());
            let items: Result<Vec<Value>, Finding> =
                items.iter().map(|item| within(sources, item, path)).collect();
            path.pop();
            Value::Array(items?)
        }
        Node::Map(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                if key.text == "<<" {
                    let message = "`<<` is not merged here; write the members out";
                    return Err(Finding::error("document", message).at(key.span, "here"));
                }
                path.push(key.text.clone());
                let item = within(sources, item, path)?;
                path.pop();
                if map.insert(key.text.clone(), item).is_some() {
                    let message = format!("`{}` stands here twice", key.text);
                    return Err(Finding::error("document", message).at(key.span, "here"));
                }
            }
            Value::Object(map)
        }
    })
}

fn wrong(tree: &Tree, message: String) -> Finding {
    Finding::error("document", message).at(tree.span, "here")
}

fn number(text: &str) -> Option<Value> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(Value::from(whole));
    }
    plain.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
}

/// Where ECS takes text only, an unquoted number or truth of YAML is the text that stands there: `1.10` stays
/// `1.10`, and `True` stays `True`.
fn text_to_the_letter(sources: &SourceMap, tree: &Tree, path: &[String]) -> Option<String> {
    if !matches!(tree.node, Node::Number(_) | Node::Bool(_)) {
        return None;
    }
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let wants_text = match names.as_slice() {
        ["cpu" | "memory" | "family" | "pidMode" | "ipcMode"] => true,
        ["taskDefinition", rest @ ..] => matches!(rest, ["cpu" | "memory" | "family"]) || is_text_place(rest),
        rest => is_text_place(rest),
    };
    wants_text.then(|| sources.excerpt(tree.span))
}

fn is_text_place(names: &[&str]) -> bool {
    let (Some(last), before) = (names.last(), names.get(..names.len().saturating_sub(1)).unwrap_or_default())
    else {
        return false;
    };
    match before {
        [.., list, "[]"] if PAIR_LISTS.contains(list) => PAIR_MEMBERS.contains(last),
        [.., list] if *last == "[]" => TEXT_LISTS.contains(list),
        [.., map] if TEXT_MAPS.contains(map) => true,
        _ => TEXT_MEMBERS.contains(last),
    }
}

/// Lists of names with values, and their members.
const PAIR_LISTS: &[&str] = &["environment", "systemControls", "tags", "secrets"];
const PAIR_MEMBERS: &[&str] = &["name", "value", "key", "valueFrom", "namespace"];
/// Lists of texts.
const TEXT_LISTS: &[&str] =
    &["command", "entryPoint", "dnsServers", "dnsSearchDomains", "dockerSecurityOptions", "links"];
/// Maps whose values are texts, whatever the keys.
const TEXT_MAPS: &[&str] = &["dockerLabels", "options", "labels", "driverOpts"];
/// Members that are texts wherever they stand.
const TEXT_MEMBERS: &[&str] = &["name", "image", "user", "hostname", "workingDirectory"];
