//! YAML into a [`Tree`] with a byte span on every node.
//!
//! Plain scalars are typed by the core schema of YAML 1.2.2 (section 10.3): `on`, `yes` and `off`
//! stay text, so a workflow's `on:` key is never a boolean. Aliases are copied into place with a
//! limit on the resulting size. A key that stands twice in a mapping stays there twice, and `<<` is
//! an ordinary key: the readers of each dialect decide what both mean (GitHub refuses them, GitLab
//! does not).

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use landfall_types::tree::Key;
use landfall_types::{Finding, Node, SourceId, Span, Tree};

/// The largest text that is read, in bytes (GitHub's own limit for a workflow file is 1 Mi characters).
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How deep lists and mappings may nest, in levels.
pub const DEPTH_MAX: usize = 100;
/// How many nodes a document may have once its aliases are copied into place.
pub const NODES_MAX: usize = 200_000;

/// Reads a text that holds one YAML document; an empty text is a null.
///
/// # Errors
/// One finding with its place when the text is not YAML, holds a second document, or passes a limit.
pub fn parse(source: SourceId, text: &str) -> Result<Tree, Finding> {
    let mut documents = parse_all(source, text)?;
    if let Some(second) = documents.get(1) {
        return Err(Finding::error("yaml-syntax", "one YAML document is expected, and a second one follows")
            .at(second.span, "the second document begins here")
            .help("remove the `---` and what follows it"));
    }
    let empty = Tree::new(Node::Null, Span::new(source, 0, 0));
    Ok(documents.drain(..).next().unwrap_or(empty))
}

/// Reads all documents of a text.
///
/// # Errors
/// As [`parse`], apart from the second document.
pub fn parse_all(source: SourceId, text: &str) -> Result<Vec<Tree>, Finding> {
    parse_all_keeping(source, text, &[])
}

/// As [`parse_all`], with some tags kept: a list or mapping with one of them becomes a mapping with the tag as its
/// only key.
///
/// # Errors
/// As [`parse_all`].
pub fn parse_all_keeping(source: SourceId, text: &str, kept: &'static [&str]) -> Result<Vec<Tree>, Finding> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file has {} bytes; at most {TEXT_BYTES_MAX} are read", text.len());
        return Err(Finding::error("yaml-limit", message).at(Span::new(source, 0, 0), "this file"));
    }
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder::new(source, kept);
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(text.len());
            Finding::error("yaml-syntax", format!("this is not YAML: {}", error.info()))
                .at(Span::new(source, at, at), "here")
        })?;
        let range = span.byte_range().unwrap_or(text.len()..text.len());
        builder.event(event, Span::new(source, range.start, range.end))?;
    }
    Ok(builder.documents)
}

/// A list or mapping that is not closed yet.
struct Open {
    anchor: usize,
    span: Span,
    custom_tag: Option<String>,
    shape: Shape,
}

enum Shape {
    List(Vec<Tree>),
    Map { entries: Vec<(Key, Tree)>, key: Option<Key> },
}

struct Builder {
    source: SourceId,
    kept: &'static [&'static str],
    stack: Vec<Open>,
    anchors: HashMap<usize, (Tree, Measure)>,
    node_count: usize,
    documents: Vec<Tree>,
}

impl Builder {
    fn new(source: SourceId, kept: &'static [&'static str]) -> Self {
        Self {
            source,
            kept,
            stack: Vec::new(),
            anchors: HashMap::new(),
            node_count: 0,
            documents: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tree = Tree::new(scalar(&text, style, tag.as_deref()), span);
                self.anchor(anchor, &tree);
                self.place(tree, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Shape::List(Vec::new()), anchor, tag.as_deref(), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                let shape = Shape::Map { entries: Vec::new(), key: None };
                self.open(shape, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => self.alias(id, span),
            _ => Ok(()),
        }
    }

    fn open(&mut self, shape: Shape, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Finding> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(too_deep(span));
        }
        let custom_tag = tag.filter(|tag| !tag.is_yaml_core_schema()).map(Tag::original);
        self.stack.push(Open { anchor, span, custom_tag, shape });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Finding> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        // The end of a block collection is where the next token begins; its last child says where it ends.
        let last = match &open.shape {
            Shape::List(items) => items.last().map(|item| item.span),
            Shape::Map { entries, .. } => entries.last().map(|(key, value)| key.span.to(value.span)),
        };
        let end = if end.end > end.start { end } else { last.unwrap_or(open.span) };
        let span = open.span.to(end);
        let node = match open.shape {
            Shape::List(items) => Node::List(items),
            Shape::Map { entries, .. } => Node::Map(entries),
        };
        let node = match open.custom_tag {
            None => node,
            Some(tag) if self.kept.contains(&tag.as_str()) => {
                Node::Map(vec![(Key { text: tag, span: open.span }, Tree::new(node, span))])
            }
            Some(tag) => Node::Unknown(custom_tag_reason(&tag)),
        };
        let tree = Tree::new(node, span);
        self.anchor(open.anchor, &tree);
        self.place(tree, 1)
    }

    fn anchor(&mut self, id: usize, tree: &Tree) {
        if id > 0 {
            self.anchors.insert(id, (tree.clone(), measure(tree)));
        }
    }

    /// The copy keeps the places of the original's insides, and the alias's own place on the outside.
    fn alias(&mut self, id: usize, span: Span) -> Result<(), Finding> {
        let Some((tree, measure)) = self.anchors.get(&id) else {
            return Err(Finding::error("yaml-syntax", "an alias cannot stand inside of what it names")
                .at(span, "this alias"));
        };
        if self.stack.len() + measure.levels > DEPTH_MAX {
            return Err(too_deep(span));
        }
        if self.node_count.saturating_add(measure.nodes) > NODES_MAX {
            return Err(too_many(span));
        }
        let (tree, nodes) = (Tree::new(tree.node.clone(), span), measure.nodes);
        self.place(tree, nodes)
    }

    fn place(&mut self, tree: Tree, nodes: usize) -> Result<(), Finding> {
        self.node_count = self.node_count.saturating_add(nodes);
        if self.node_count > NODES_MAX {
            return Err(too_many(tree.span));
        }
        match self.stack.last_mut().map(|open| &mut open.shape) {
            None => self.documents.push(tree),
            Some(Shape::List(items)) => items.push(tree),
            Some(Shape::Map { entries, key }) => match key.take() {
                Some(key) => entries.push((key, tree)),
                None => *key = Some(mapping_key(tree, self.source)?),
            },
        }
        Ok(())
    }
}

fn mapping_key(tree: Tree, source: SourceId) -> Result<Key, Finding> {
    let text = match tree.node {
        Node::Null => Some(String::new()),
        _ => tree.scalar(),
    };
    match text {
        Some(text) => Ok(Key { text, span: tree.span }),
        None => {
            Err(Finding::error("yaml-syntax", format!("a key must be a scalar, this is {}", tree.kind()))
                .at(Span { source, ..tree.span }, "this key"))
        }
    }
}

fn too_deep(span: Span) -> Finding {
    Finding::error("yaml-limit", format!("lists and mappings may nest {DEPTH_MAX} levels deep"))
        .at(span, "this is one level too many")
}

fn too_many(span: Span) -> Finding {
    let message = format!("a document may have {NODES_MAX} nodes with its aliases copied into place");
    Finding::error("yaml-limit", message).at(span, "the limit is passed here")
}

/// How much an alias adds where it stands.
struct Measure {
    nodes: usize,
    levels: usize,
}

fn measure(tree: &Tree) -> Measure {
    let mut measure = Measure { nodes: 0, levels: 0 };
    let mut pending = vec![(tree, 1)];
    while let Some((tree, level)) = pending.pop() {
        measure.nodes += 1;
        measure.levels = measure.levels.max(level);
        match &tree.node {
            Node::List(items) => pending.extend(items.iter().map(|item| (item, level + 1))),
            Node::Map(entries) => pending.extend(entries.iter().map(|(_, value)| (value, level + 1))),
            _ => {}
        }
    }
    measure
}

fn custom_tag_reason(tag: &str) -> String {
    format!("the tag `{tag}` has no meaning here")
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Node {
    match tag.map(|tag| (tag.core_suffix(), tag)) {
        Some((Some("str"), _)) => Node::Text(text.to_owned()),
        Some((None, tag)) if tag.original() != "!" => Node::Unknown(custom_tag_reason(&tag.original())),
        Some((None, _)) => Node::Text(text.to_owned()),
        Some((Some(_), _)) => plain(text),
        None if style == ScalarStyle::Plain => plain(text),
        None => Node::Text(text.to_owned()),
    }
}

/// The core schema's resolution of a plain scalar. YAML 1.2.2, section 10.3.2.
fn plain(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Bool(true),
        "false" | "False" | "FALSE" => Node::Bool(false),
        _ if is_number(text) => Node::Number(text.to_owned()),
        _ => Node::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, test: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(test);
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| matches!(byte, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |byte| byte.is_ascii_hexdigit());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = digits(whole) && digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        all(exponent.strip_prefix(['-', '+']).unwrap_or(exponent), |byte| byte.is_ascii_digit())
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests;
