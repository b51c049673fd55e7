//! `spec:inputs` and `$[[ inputs.NAME ]]`: what an included file asks for, what it is given, and the text that it
//! becomes.
//!
//! <https://docs.gitlab.com/ci/inputs/>

use landfall_types::{Finding, Node, Span, Tree, tree::Key};
use regex_lite::Regex;

use super::document::Document;
use super::include::File;
use super::refused;

/// Functions behind one input, GitLab's own limit.
const FUNCTIONS_MAX: usize = 3;
/// Longest value of an input, in bytes, GitLab's own limit.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Replaces variables in a text: of `expand_vars`.
pub(super) type Expand<'e> = &'e dyn Fn(&str) -> String;

/// The configuration of a file with its inputs in place. `given` are the inputs of whoever includes it, at `by`.
pub(super) fn fill(
    document: &Document,
    given: &[(Key, Tree)],
    by: Option<Span>,
    expand: Expand<'_>,
) -> Result<Tree, Vec<Finding>> {
    let declared = document.header.as_ref().and_then(|header| header.field("spec")?.field("inputs"));
    let Some(declared) = declared.filter(|inputs| matches!(inputs.node, Node::Map(_))) else {
        return match given.first() {
            Some((key, _)) => Err(vec![refused(
                "Given inputs not defined in the `spec` section of the included configuration file",
                key.span,
            )]),
            None => Ok(document.config.clone()),
        };
    };
    let (values, mut findings) = values(declared, given, by);
    let mut filler = Filler { values: &values, expand, findings: Vec::new() };
    if !findings.is_empty() {
        return Err(findings);
    }
    let tree = filler.tree(&document.config);
    findings.append(&mut filler.findings);
    if findings.is_empty() { Ok(tree) } else { Err(findings) }
}

/// Inputs of whoever starts the pipeline: a text becomes what the file declares it to be.
pub(super) fn from_outside(
    file: &File,
    inputs: &[(String, String)],
) -> Result<Vec<(Key, Tree)>, Vec<Finding>> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let (source, document) = (file.source(), file.document()?);
    let span = Span::new(source, 0, 0);
    let kind = |name: &str| {
        let spec = document.header.as_ref()?.field("spec")?.field("inputs")?.field(name)?;
        spec.field("type").and_then(Tree::scalar)
    };
    let typed = |name: &str, value: &str| match kind(name).as_deref() {
        Some("number") if value.parse::<f64>().is_ok() => Node::Number(value.to_owned()),
        Some("boolean") if value == "true" || value == "false" => Node::Bool(value == "true"),
        Some("array") => match crate::yaml::parse(source, value) {
            Ok(Tree { node: Node::List(items), .. }) => {
                Node::List(items.into_iter().map(|item| Tree::new(item.node, span)).collect())
            }
            _ => Node::Text(value.to_owned()),
        },
        _ => Node::Text(value.to_owned()),
    };
    let given = |(name, value): &(String, String)| {
        (Key { text: name.clone(), span }, Tree::new(typed(name, value), span))
    };
    Ok(inputs.iter().map(given).collect())
}

fn values(declared: &Tree, given: &[(Key, Tree)], by: Option<Span>) -> (Vec<(String, Tree)>, Vec<Finding>) {
    let (mut values, mut findings) = (Vec::new(), Vec::new());
    for (key, _) in given.iter().filter(|(key, _)| declared.field(&key.text).is_none()) {
        findings.push(
            refused(format!("unknown input arguments: {}", key.text), key.span)
                .at(declared.span, "the file declares these inputs"),
        );
    }
    for (key, spec) in declared.entries() {
        let name = &key.text;
        let value = given.iter().find(|(given, _)| given.text == *name).map(|(_, value)| value);
        let Some(value) = value.or_else(|| spec.field("default")) else {
            let finding = refused(
                format!("`{name}` input: required value has not been provided"),
                by.unwrap_or(key.span),
            );
            findings.push(if by.is_some() {
                finding.at(key.span, "declared here, without a default")
            } else {
                finding
            });
            continue;
        };
        match problem(name, spec, value) {
            None => values.push((name.clone(), value.clone())),
            Some(why) => findings.push(refused(why, value.span).at(key.span, "declared here")),
        }
    }
    (values, findings)
}

/// What is wrong with a value.
fn problem(name: &str, spec: &Tree, value: &Tree) -> Option<String> {
    let kind = spec.field("type").and_then(Tree::as_text).unwrap_or("string");
    let (fits, article) = match kind {
        "string" => (matches!(value.node, Node::Text(_)), "a string"),
        "number" => (matches!(value.node, Node::Number(_)), "a number"),
        "boolean" => (matches!(value.node, Node::Bool(_)), "a boolean"),
        "array" => (matches!(value.node, Node::List(_)), "an array"),
        other => return Some(format!("`{name}` input: unknown input type `{other}`")),
    };
    // What is itself made of inputs is known to fit only once they are in place.
    if !fits && !matches!(value.node, Node::Unknown(_)) {
        return Some(format!("`{name}` input: provided value is not {article}"));
    }
    let text = value.scalar();
    let options = spec.field("options").map(Tree::items).unwrap_or_default();
    if !options.is_empty() && !options.iter().any(|option| option.scalar() == text) {
        let text = text.unwrap_or_default();
        return Some(format!(
            "`{name}` input: `{text}` cannot be used because it is not in the list of allowed options"
        ));
    }
    if let (Some(pattern), Some(text)) = (spec.field("regex").and_then(Tree::as_text), text) {
        return match Regex::new(pattern) {
            Ok(regex) if regex.is_match(&text) => None,
            Ok(_) => Some(format!("`{name}` input: provided value does not match required RegEx pattern")),
            Err(_) => Some(format!("`{name}` input: invalid regular expression")),
        };
    }
    None
}

struct Filler<'a> {
    values: &'a [(String, Tree)],
    expand: Expand<'a>,
    findings: Vec<Finding>,
}

impl Filler<'_> {
    fn tree(&mut self, tree: &Tree) -> Tree {
        let node = match &tree.node {
            Node::Text(text) if text.contains("$[[") => return self.text(text, tree.span),
            Node::List(items) => Node::List(items.iter().map(|item| self.tree(item)).collect()),
            Node::Map(entries) => Node::Map(
                entries
                    .iter()
                    .map(|(key, value)| {
                        let text = self.text(&key.text, key.span).scalar().unwrap_or_default();
                        (Key { text, span: key.span }, self.tree(value))
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        Tree::new(node, tree.span)
    }

    /// A text with its blocks replaced; one that is a block and nothing else keeps the input's type.
    fn text(&mut self, text: &str, span: Span) -> Tree {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$[[") {
            let Some((block, following)) = after.split_once("]]") else { break };
            let value = self.block(block, span);
            if before.is_empty() && out.is_empty() && following.is_empty() && rest.len() == text.len() {
                return Tree::new(value, span);
            }
            out.push_str(before);
            out.push_str(&shown(&value));
            if out.len() > VALUE_BYTES_MAX {
                self.findings.push(refused("interpolated text is too long", span));
                break;
            }
            rest = following;
        }
        out.push_str(rest);
        Tree::new(Node::Text(out), span)
    }

    fn block(&mut self, block: &str, span: Span) -> Node {
        let mut parts = block.split('|').map(str::trim);
        let access = parts.next().unwrap_or_default();
        let name = access.strip_prefix("inputs.").unwrap_or(access);
        let known = self.values.iter().find(|(known, _)| known == name && access.starts_with("inputs."));
        let Some((_, value)) = known else {
            let message = format!("unknown input name provided: `{name}` in `{access}`");
            self.findings.push(refused(message, span));
            return Node::Null;
        };
        let mut node = value.node.clone();
        for (index, function) in parts.enumerate() {
            match self.apply(function, &shown(&node)) {
                Some(text) if index < FUNCTIONS_MAX => node = Node::Text(text),
                Some(_) => {
                    let message =
                        format!("too many functions in interpolation block: at most {FUNCTIONS_MAX}");
                    self.findings.push(refused(message, span));
                }
                None => {
                    let message = format!(
                        "no function matching `{function}`: check that the function name, arguments, and types are correct"
                    );
                    self.findings.push(refused(message, span));
                }
            }
        }
        node
    }

    fn apply(&self, function: &str, text: &str) -> Option<String> {
        if function == "expand_vars" {
            return Some((self.expand)(text));
        }
        if function == "posix_escape" {
            let is_safe = |c: char| c.is_ascii_alphanumeric() || "_-.,:+/@".contains(c);
            let mut escaped = String::new();
            for character in text.chars() {
                if !is_safe(character) {
                    escaped.push('\\');
                }
                escaped.push(character);
            }
            return Some(if text.is_empty() { "''".to_owned() } else { escaped });
        }
        let (offset, length) = function.strip_prefix("truncate(")?.strip_suffix(')')?.split_once(',')?;
        let (offset, length): (usize, usize) = (offset.trim().parse().ok()?, length.trim().parse().ok()?);
        Some(text.chars().skip(offset).take(length).collect())
    }
}

fn shown(node: &Node) -> String {
    match node {
        Node::Text(text) | Node::Number(text) => text.clone(),
        Node::Bool(value) => value.to_string(),
        Node::List(items) => {
            let items: Vec<String> = items.iter().map(|item| format!("\"{}\"", shown(&item.node))).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Null | Node::Map(_) | Node::Unknown(_) => String::new(),
    }
}
