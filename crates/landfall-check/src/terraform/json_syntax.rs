//! Terraform's JSON syntax, `*.tf.json` and `*.tfvars.json`, to the tree that HCL makes.
//! <https://developer.hashicorp.com/terraform/language/syntax/json>
//!
//! In JSON an argument and a nested block look alike, and only the schema tells them apart. The language's own blocks
//! are known. Of a resource of AWS an object, or a list of objects, is taken for nested blocks, but for the arguments
//! of [`MAPS`]; of every other resource it is an argument.

use landfall_policy::json;
use landfall_types::tree::Key;
use landfall_types::{Finding, Node, SourceId, Span, Tree};

use super::syntax::{self, Attribute, Block, Body, Expr, ExprKind, FILE_BYTES_MAX, ObjectKey};

/// Arguments of AWS's resources that are maps, or lists of them.
const MAPS: [&str; 10] = [
    "tags",
    "tags_all",
    "resource_tags",
    "triggers",
    "dimensions",
    "variables",
    "environment_variables",
    "environments",
    "options",
    "query",
];

/// Top-level blocks and how many labels they have.
const TOP_LEVEL: [(&str, usize); 13] = [
    ("resource", 2),
    ("data", 2),
    ("variable", 1),
    ("output", 1),
    ("module", 1),
    ("provider", 1),
    ("locals", 0),
    ("terraform", 0),
    ("moved", 0),
    ("import", 0),
    ("removed", 0),
    ("check", 1),
    ("ephemeral", 2),
];

/// What a property is, by the block that it stands in.
enum Shape {
    /// An expression: texts are templates.
    Value,
    /// Texts stand for themselves.
    Literal,
    /// Texts are expressions, such as a type or the name of a resource.
    Reference,
    /// Nested blocks.
    Blocks(Inside),
    /// `dynamic` blocks, one level down by their labels.
    Dynamic,
}

/// The block that properties stand in.
#[derive(Clone, Copy)]
enum Inside {
    /// A resource, a data source or a provider: of AWS, or another one.
    Resource {
        is_aws: bool,
    },
    Dynamic {
        is_aws: bool,
    },
    Lifecycle,
    Variable,
    Module,
    /// All of it is arguments.
    Values,
    /// Files of values.
    Literals,
}

impl Inside {
    /// The top-level block of a kind, with its first label.
    fn of(kind: &str, label: Option<&str>) -> Self {
        match kind {
            "resource" | "data" | "ephemeral" => {
                Self::Resource { is_aws: label.is_some_and(|kind| kind.starts_with("aws_")) }
            }
            "provider" => Self::Resource { is_aws: label == Some("aws") },
            "variable" => Self::Variable,
            "module" => Self::Module,
            _ => Self::Values,
        }
    }

    fn shape(self, name: &str, value: &Tree) -> Shape {
        match (self, name) {
            (Self::Literals, _) | (Self::Variable, "default" | "description") => Shape::Literal,
            (Self::Module, "source" | "version") => Shape::Literal,
            (Self::Lifecycle, "ignore_changes" | "replace_triggered_by") => Shape::Reference,
            (Self::Variable, "type") | (Self::Dynamic { .. }, "iterator") => Shape::Reference,
            (Self::Resource { .. }, "provider" | "depends_on") | (Self::Module, "depends_on") => {
                Shape::Reference
            }
            (Self::Variable, "validation") => Shape::Blocks(Self::Values),
            (Self::Resource { .. }, "lifecycle") => Shape::Blocks(Self::Lifecycle),
            (Self::Resource { .. }, "provisioner" | "connection") => Shape::Blocks(Self::Values),
            (Self::Resource { .. }, "dynamic") => Shape::Dynamic,
            (Self::Dynamic { is_aws }, "content") => Shape::Blocks(Self::Resource { is_aws }),
            (Self::Resource { is_aws: true }, name) if is_blocks(value) && !MAPS.contains(&name) => {
                Shape::Blocks(self)
            }
            _ => Shape::Value,
        }
    }
}

fn is_blocks(value: &Tree) -> bool {
    let is_object = |tree: &Tree| matches!(tree.node, Node::Map(_));
    match &value.node {
        Node::List(items) => !items.is_empty() && items.iter().all(is_object),
        _ => is_object(value),
    }
}

/// Reads a configuration file.
pub(super) fn parse_file(source: SourceId, name: &str, text: &str) -> (Body, Vec<Finding>) {
    let (tree, mut findings) = parse(source, name, text);
    let mut reader = Reader { text, findings: Vec::new() };
    let mut body = Body::default();
    for (key, value) in objects(&tree).into_iter().flat_map(properties) {
        match TOP_LEVEL.iter().find(|(kind, _)| *kind == key.text) {
            Some((kind, labels)) => {
                reader.top_level(kind, *labels, key.span, value, &mut Vec::new(), &mut body.blocks);
            }
            None => {
                let message = format!(
                    "Extraneous JSON object property: no argument or block type is named \"{}\"",
                    key.text
                );
                reader
                    .findings
                    .push(Finding::error("terraform-syntax", message).at(key.span, "this property"));
            }
        }
    }
    findings.extend(reader.findings);
    (body, findings)
}

/// Reads a file of values.
pub(super) fn parse_values(source: SourceId, name: &str, text: &str) -> (Body, Vec<Finding>) {
    let (tree, mut findings) = parse(source, name, text);
    let mut reader = Reader { text, findings: Vec::new() };
    let body = reader.body(&tree, Inside::Literals);
    findings.extend(reader.findings);
    (body, findings)
}

fn parse(source: SourceId, name: &str, text: &str) -> (Tree, Vec<Finding>) {
    let whole = Span::new(source, 0, 0);
    if text.len() > FILE_BYTES_MAX.min(json::JSON_BYTES_MAX) {
        let message = format!("{name} is {} bytes; the limit is {} bytes", text.len(), json::JSON_BYTES_MAX);
        let finding = Finding::error("terraform-limit", message).at(whole, "not read");
        return (Tree::new(Node::Null, whole), vec![finding]);
    }
    let (tree, problem) = json::read(source, text);
    let finding = |message: String, span| {
        Finding::error("terraform-syntax", message).at(span, "this can't be read as Terraform's JSON syntax")
    };
    let mut findings: Vec<Finding> = problem
        .map(|problem| finding(format!("invalid JSON: {}", problem.message), problem.span))
        .into_iter()
        .collect();
    if findings.is_empty()
        && !is_blocks(&tree)
        && !matches!(&tree.node, Node::List(items) if items.is_empty())
    {
        findings.push(finding(format!("expected an object, found {}", tree.kind()), tree.span));
    }
    (tree, findings)
}

/// An object, or the objects of a list.
fn objects(tree: &Tree) -> Vec<&Tree> {
    match &tree.node {
        Node::List(items) => items.iter().collect(),
        _ => vec![tree],
    }
}

/// The properties of a body; `//` is a comment, and an empty name is where reading stopped.
fn properties(tree: &Tree) -> impl Iterator<Item = &(Key, Tree)> {
    tree.entries().iter().filter(|(key, _)| key.text != "//" && !key.text.is_empty())
}

struct Reader<'t> {
    text: &'t str,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    /// Blocks of a kind, below as many levels of labels as it has.
    fn top_level(
        &mut self,
        kind: &str,
        missing: usize,
        header: Span,
        value: &Tree,
        labels: &mut Vec<String>,
        blocks: &mut Vec<Block>,
    ) {
        for object in objects(value) {
            if !matches!(object.node, Node::Map(_)) {
                self.not_an_object(kind, object);
            } else if missing == 0 {
                let inside = Inside::of(kind, labels.first().map(String::as_str));
                let body = self.body(object, inside);
                blocks.push(Block { kind: kind.to_owned(), labels: labels.clone(), header, body });
            } else {
                for (key, value) in properties(object) {
                    labels.push(key.text.clone());
                    self.top_level(kind, missing - 1, key.span, value, labels, blocks);
                    labels.pop();
                }
            }
        }
    }

    fn not_an_object(&mut self, kind: &str, tree: &Tree) {
        if matches!(tree.node, Node::Null | Node::Unknown(_)) {
            return;
        }
        let message =
            format!("Incorrect JSON value type: a \"{kind}\" block is an object, found {}", tree.kind());
        self.findings
            .push(Finding::error("terraform-syntax", message).at(tree.span, "this block is left out"));
    }

    fn body(&mut self, tree: &Tree, inside: Inside) -> Body {
        let mut body = Body::default();
        for (key, value) in properties(tree) {
            match inside.shape(&key.text, value) {
                Shape::Blocks(inner) => {
                    for object in objects(value) {
                        let (kind, header) = (key.text.clone(), key.span);
                        let inner = self.body(object, inner);
                        body.blocks.push(Block { kind, labels: Vec::new(), header, body: inner });
                    }
                }
                Shape::Dynamic => self.dynamic(value, inside, &mut body.blocks),
                shape => self.attribute(key, value, &shape, &mut body),
            }
        }
        body
    }

    fn attribute(&mut self, key: &Key, value: &Tree, shape: &Shape, body: &mut Body) {
        if let Some(first) = body.attribute(&key.text) {
            let message = format!("Duplicate argument: the argument \"{}\" was already set", key.text);
            self.findings.push(
                Finding::error("terraform-syntax", message)
                    .at(key.span, "set again here; this one is left out")
                    .at(first.name_span, "first set here"),
            );
            return;
        }
        let value = self.value(value, shape);
        body.attributes.push(Attribute { name: key.text.clone(), name_span: key.span, value });
    }

    fn dynamic(&mut self, value: &Tree, inside: Inside, blocks: &mut Vec<Block>) {
        let is_aws = matches!(inside, Inside::Resource { is_aws: true });
        for (label, value) in objects(value).into_iter().flat_map(properties) {
            for object in objects(value) {
                blocks.push(Block {
                    kind: "dynamic".to_owned(),
                    labels: vec![label.text.clone()],
                    header: label.span,
                    body: self.body(object, Inside::Dynamic { is_aws }),
                });
            }
        }
    }

    fn value(&mut self, tree: &Tree, shape: &Shape) -> Expr {
        let kind = match &tree.node {
            Node::Null | Node::Unknown(_) => ExprKind::Null,
            Node::Bool(value) => ExprKind::Bool(*value),
            Node::Number(number) => ExprKind::Number(number.parse().unwrap_or(0.0)),
            Node::Text(text) => return self.of_text(text, tree.span, shape),
            Node::List(items) => ExprKind::List(items.iter().map(|item| self.value(item, shape)).collect()),
            Node::Map(entries) => ExprKind::Object(
                entries.iter().map(|(key, value)| (self.key(key, shape), self.value(value, shape))).collect(),
            ),
        };
        Expr { kind, span: tree.span }
    }

    fn key(&mut self, key: &Key, shape: &Shape) -> ObjectKey {
        match shape {
            Shape::Value => ObjectKey::Expr(self.of_text(&key.text, key.span, shape)),
            _ => ObjectKey::Word(key.text.clone(), key.span),
        }
    }

    fn of_text(&mut self, text: &str, span: Span, shape: &Shape) -> Expr {
        let plain = || Expr { kind: ExprKind::Text(text.to_owned()), span };
        let place = self.place(text, span);
        let read = match shape {
            Shape::Reference => syntax::parse_expression_at(text, place).map(|expr| expr.kind),
            Shape::Value if text.contains("${") || text.contains("%{") => {
                syntax::parse_template_at(text, place).map(ExprKind::Template)
            }
            _ => return plain(),
        };
        match read {
            Ok(kind) => Expr { kind, span },
            Err(finding) => {
                self.findings.push(*finding);
                plain()
            }
        }
    }

    /// Where the parts of a string stand: byte by byte, unless it is written with escapes.
    fn place(&self, text: &str, span: Span) -> syntax::Place {
        let (start, end) = (span.start as usize + 1, (span.end as usize).saturating_sub(1));
        match self.text.get(start..end) == Some(text) {
            true => syntax::Place { source: span.source, offset: start, whole: None },
            false => syntax::Place { source: span.source, offset: 0, whole: Some(span) },
        }
    }
}
