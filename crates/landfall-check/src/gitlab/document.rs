//! One file as GitLab loads it: its header with `spec`, its configuration, merge keys resolved, a repeated key's last
//! value kept, `!reference` tags left for later.

use landfall_types::{Finding, Node, SourceId, Tree};

use crate::yaml;

/// The tag of a reference to another part of the configuration.
pub(super) const REFERENCE: &str = "!reference";
/// How deep merge keys and the like are followed, in levels; `yaml` allows no deeper documents.
const DEPTH_MAX: usize = yaml::DEPTH_MAX;

/// A file's two documents.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// The document with `spec:`, before the `---`.
    pub(super) header: Option<Tree>,
    /// The configuration.
    pub(super) config: Tree,
}

/// Reads a file.
pub(super) fn parse(source: SourceId, text: &str) -> Result<Document, Finding> {
    let mut documents = yaml::parse_all_keeping(source, text, &[REFERENCE])?;
    let empty = Tree::new(Node::Null, landfall_types::Span::new(source, 0, 0));
    let has_header = documents.first().is_some_and(|first| first.field("spec").is_some());
    let most = if has_header { 2 } else { 1 };
    if let Some(surplus) = documents.get(most) {
        let finding = Finding::error("gitlab-config", "a file may have one document, and a header before it");
        return Err(finding.at(surplus.span, "this document is one too many"));
    }
    let mut documents = documents.drain(..).map(|tree| normal(tree, 0));
    let header = if has_header { documents.next() } else { None };
    Ok(Document { header, config: documents.next().unwrap_or(empty) })
}

/// Whether a node stands for something that is elsewhere.
pub(super) fn reference(tree: &Tree) -> Option<&Tree> {
    match tree.entries() {
        [(key, value)] if key.text == REFERENCE => Some(value),
        _ => None,
    }
}

/// Merge keys become what they merge (<https://yaml.org/type/merge.html>), and of a repeated key the last value counts.
fn normal(tree: Tree, depth: usize) -> Tree {
    if depth > DEPTH_MAX {
        return tree;
    }
    let Tree { node, span } = tree;
    let node = match node {
        Node::List(items) => Node::List(items.into_iter().map(|item| normal(item, depth + 1)).collect()),
        Node::Map(entries) => {
            let mut merged: Vec<(_, Tree)> = Vec::new();
            let mut own = Vec::new();
            for (key, value) in entries {
                let value = normal(value, depth + 1);
                if key.text != "<<" {
                    own.push((key, value));
                    continue;
                }
                let sources: Vec<&Tree> = match &value.node {
                    Node::List(items) => items.iter().collect(),
                    _ => vec![&value],
                };
                for (key, value) in sources.into_iter().flat_map(Tree::entries) {
                    // Of several sources the earlier one wins.
                    if !merged
                        .iter()
                        .any(|(known, _): &(landfall_types::tree::Key, _)| known.text == key.text)
                    {
                        merged.push((key.clone(), value.clone()));
                    }
                }
            }
            for (key, value) in own {
                match merged.iter_mut().find(|(known, _)| known.text == key.text) {
                    Some(place) => *place = (key, value),
                    None => merged.push((key, value)),
                }
            }
            Node::Map(merged)
        }
        other => other,
    };
    Tree::new(node, span)
}
