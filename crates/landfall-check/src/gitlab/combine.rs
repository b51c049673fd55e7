//! What one part of a configuration takes from another: files on top of the files that they include, `extends`,
//! `!reference`.

use landfall_types::{Finding, Node, Span, Tree};

use super::document::{REFERENCE, reference};
use super::refused;
use crate::yaml::NODES_MAX;

/// How many jobs may extend each other in a row (`extends`, GitLab's own limit).
const EXTENDS_LEVELS_MAX: usize = 11;
/// How many references may lead to each other in a row (`!reference`, GitLab's own limit).
const REFERENCE_LEVELS_MAX: usize = 10;

/// Puts one map on top of another: maps are merged, everything else is replaced.
pub(super) fn on_top(base: &Tree, over: &Tree) -> Tree {
    let is_map = |tree: &Tree| matches!(tree.node, Node::Map(_)) && reference(tree).is_none();
    if !is_map(base) || !is_map(over) {
        return over.clone();
    }
    let mut entries = base.entries().to_vec();
    for (key, value) in over.entries() {
        match entries.iter_mut().find(|(known, _)| known.text == key.text) {
            Some((known, old)) => {
                *old = on_top(old, value);
                *known = key.clone();
            }
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Tree::new(Node::Map(entries), over.span)
}

/// Resolves `extends` in every job.
pub(super) fn extend_all(config: Tree) -> Result<Tree, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut entries = Vec::new();
    let mut nodes = 0;
    for (key, value) in config.entries() {
        if nodes > NODES_MAX {
            let message =
                format!("with all that its jobs extend the configuration has more than {NODES_MAX} nodes");
            return Err(vec![
                Finding::error("gitlab-limit", message).at(key.span, "the limit is passed here"),
            ]);
        }
        match extended(&config, &key.text, value, &mut vec![key.text.clone()]) {
            Ok(tree) => {
                nodes += count(&tree);
                entries.push((key.clone(), tree));
            }
            Err(finding) => findings.push(finding),
        }
    }
    if findings.is_empty() { Ok(Tree::new(Node::Map(entries), config.span)) } else { Err(findings) }
}

fn count(tree: &Tree) -> usize {
    let inside = tree.items().iter().chain(tree.entries().iter().map(|(_, value)| value));
    1 + inside.map(count).sum::<usize>()
}

fn extended(config: &Tree, name: &str, job: &Tree, path: &mut Vec<String>) -> Result<Tree, Finding> {
    let Some(extends) = job.field("extends") else { return Ok(job.clone()) };
    if path.len() > EXTENDS_LEVELS_MAX {
        return Err(refused(format!("{name}: nesting too deep in `extends`"), extends.span));
    }
    let bases: Vec<(String, Span)> = match &extends.node {
        Node::List(items) => items.iter().filter_map(|item| Some((item.scalar()?, item.span))).collect(),
        _ => extends.scalar().into_iter().map(|text| (text, extends.span)).collect(),
    };
    let mut all = Tree::new(Node::Map(Vec::new()), job.span);
    for (base, span) in bases {
        let Some(tree) = config.field(&base).filter(|tree| matches!(tree.node, Node::Map(_))) else {
            return Err(refused(format!("{name}: unknown keys in `extends` ({base})"), span));
        };
        if path.contains(&base) {
            return Err(refused(format!("{name}: circular dependency detected in `extends`"), span));
        }
        path.push(base.clone());
        let tree = extended(config, name, tree, path)?;
        path.pop();
        all = on_top(&all, &tree);
    }
    Ok(on_top(&all, job))
}

/// Puts what they name into the place of `!reference` tags.
pub(super) fn refer_all(config: &Tree) -> Result<Tree, Vec<Finding>> {
    let mut resolver = Resolver { config, nodes: 0, findings: Vec::new() };
    let tree = resolver.resolve(config, 0);
    if resolver.findings.is_empty() { Ok(tree) } else { Err(resolver.findings) }
}

struct Resolver<'a> {
    config: &'a Tree,
    nodes: usize,
    findings: Vec<Finding>,
}

impl Resolver<'_> {
    fn resolve(&mut self, tree: &Tree, level: usize) -> Tree {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            if self.nodes == NODES_MAX + 1 {
                let message =
                    format!("with its references in place the configuration has more than {NODES_MAX} nodes");
                self.findings
                    .push(Finding::error("gitlab-limit", message).at(tree.span, "the limit is passed here"));
            }
            return Tree::new(Node::Null, tree.span);
        }
        if let Some(path) = reference(tree) {
            return self.follow(path, tree.span, level);
        }
        let node = match &tree.node {
            Node::List(items) => Node::List(items.iter().map(|item| self.resolve(item, level)).collect()),
            Node::Map(entries) => Node::Map(
                entries.iter().map(|(key, value)| (key.clone(), self.resolve(value, level))).collect(),
            ),
            other => other.clone(),
        };
        Tree::new(node, tree.span)
    }

    fn follow(&mut self, path: &Tree, span: Span, level: usize) -> Tree {
        let names: Vec<String> =
            path.items().iter().filter_map(|item| item.as_text().map(str::to_owned)).collect();
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let shown = format!("{REFERENCE} [{}]", quoted.join(", "));
        let nothing = Tree::new(Node::Null, span);
        if names.is_empty() || names.len() != path.items().len() {
            self.findings.push(refused(format!("{shown} is not valid"), span));
            return nothing;
        }
        if level >= REFERENCE_LEVELS_MAX {
            self.findings.push(refused(format!("{shown} is part of a circular chain"), span));
            return nothing;
        }
        let found = names.iter().try_fold(self.config, |tree, name| tree.field(name));
        match found.filter(|tree| tree.node != Node::Null) {
            Some(found) => self.resolve(found, level + 1),
            None => {
                self.findings.push(refused(format!("{shown} could not be found"), span));
                nothing
            }
        }
    }
}
