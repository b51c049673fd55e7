//! Documents in JSON or YAML for AWS: read with places, and made JSON so that text stays as it was written.

use std::path::Path;

use landfall_check::{aws_document, yaml};
use landfall_deliver::Failure;
use landfall_policy::json;
use landfall_types::{Finding, SourceMap, Span, Tree};
use serde_json::Value;

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
    let value = aws_document::value(&sources, &tree).map_err(|finding| failure(&sources, &finding))?;
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
