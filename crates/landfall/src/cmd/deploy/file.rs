//! Documents in JSON or YAML for AWS: read with places, and made JSON so that text stays as it was written.

use std::path::Path;

use landfall_check::yaml;
use landfall_deliver::Failure;
use landfall_policy::json;
use landfall_types::{Finding, Node, SourceMap, Span, Tree};
use serde_json::{Map, Value};

use crate::files;

/// A document that was read.
pub struct Document {
    /// The texts, for places.
    pub sources: SourceMap,
    /// With places.
    pub tree: Tree,
    /// Without.
    pub value: Value,
}

/// Reads a file: `.json` as JSON, everything else as YAML, which JSON is a part of.
///
/// # Errors
/// With file and line where it isn't readable.
pub fn read(path: &Path) -> Result<Document, Failure> {
    let sources = SourceMap::new();
    let id = files::read(&sources, path)?;
    let text = sources.text(id);
    let tree = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
        let (tree, problems) = json::parse(id, text.strip_prefix('\u{feff}').unwrap_or(&text));
        match problems.first() {
            Some(problem) => {
                let detail =
                    problem.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
                return Err(at(&sources, problem.span, &format!("{}{detail}", problem.message)));
            }
            None => tree,
        }
    } else {
        yaml::parse(id, &text).map_err(|finding| failure(&sources, &finding))?
    };
    let value = value(&sources, &tree, &mut Vec::new())?;
    Ok(Document { sources, tree, value })
}

fn failure(sources: &SourceMap, finding: &Finding) -> Failure {
    let failure = match finding.labels.first() {
        Some(label) => at(sources, label.span, &finding.message),
        None => Failure::usage(finding.message.clone()),
    };
    finding.help.iter().fold(failure, Failure::help)
}

fn at(sources: &SourceMap, span: Span, message: &str) -> Failure {
    let place = sources.place(span);
    Failure::usage(format!("{}:{}: {message}", place, place.column))
}

fn value(sources: &SourceMap, tree: &Tree, path: &mut Vec<String>) -> Result<Value, Failure> {
    if let Some(text) = text_to_the_letter(sources, tree, path) {
        return Ok(Value::from(text));
    }
    Ok(match &tree.node {
        Node::Null => Value::Null,
        Node::Bool(is) => Value::from(*is),
        Node::Number(text) => number(text)
            .ok_or_else(|| at(sources, tree.span, &format!("`{text}` is not a number that AWS takes")))?,
        Node::Text(text) => Value::from(text.as_str()),
        Node::Unknown(reason) => return Err(at(sources, tree.span, reason)),
        Node::List(items) => {
            path.push("[]".to_owned());
            let items: Result<Vec<Value>, Failure> =
                items.iter().map(|item| value(sources, item, path)).collect();
            path.pop();
            Value::Array(items?)
        }
        Node::Map(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                if key.text == "<<" {
                    return Err(at(sources, key.span, "`<<` is not merged here; write the members out"));
                }
                path.push(key.text.clone());
                let item = value(sources, item, path)?;
                path.pop();
                if map.insert(key.text.clone(), item).is_some() {
                    return Err(at(sources, key.span, &format!("`{}` stands here twice", key.text)));
                }
            }
            Value::Object(map)
        }
    })
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

/// The place that a sentence of AWS's is about, as far as that can be told: the container that it names, and in
/// it the member that it names.
pub fn place(document: &Document, message: &str) -> Option<String> {
    let tree = document.tree.field("taskDefinition").unwrap_or(&document.tree);
    let containers = tree.field("containerDefinitions").map_or(&[][..], Tree::items);
    let named = containers.iter().find(|container| {
        let name = container.field("name").and_then(Tree::as_text);
        name.is_some_and(|name| message.contains(&format!("'{name}'")))
    });
    let words: Vec<&str> =
        message.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 3).collect();
    let member = |tree: &Tree| {
        let mut entries = tree.entries().iter();
        entries.find(|(key, _)| words.contains(&key.text.as_str())).map(|(key, _)| key.span)
    };
    let within = |container: &Tree| member(container).or(container.field("name").map(|name| name.span));
    let span = match named {
        Some(container) => within(container),
        None => member(tree).or_else(|| containers.iter().find_map(member)),
    }?;
    let place = document.sources.place(span);
    Some(format!("{place}:{}", place.column))
}
