//! From a value to the policy document that it holds.

use std::rc::Rc;

use landfall_policy::json;
use landfall_types::{Finding, Node, Span, Tree};

use super::eval::Evaluator;
use super::template::matching_pieces;
use super::value::{self, Kind, Piece, Text, Value};

impl Evaluator<'_> {
    /// The document in the argument `name`, with the place of every value in it. What the provider
    /// would refuse is reported, as are the JSON problems.
    pub fn document(&self, name: &str, value: &Value) -> Tree {
        match &value.kind {
            Kind::Json(json) => {
                self.refuse_other_shapes(name, &json.tree);
                json.tree.clone()
            }
            Kind::Text(text) => {
                let text = self.with_pieces(text, value.span);
                self.parse_document(name, &text, value.span)
            }
            Kind::Unknown(unknown) => match &unknown.holes {
                Some(holes) => self.parse_with_holes(&holes.text, &holes.causes, value.span),
                None => Tree::new(Node::Unknown(unknown.cause.to_string()), value.span),
            },
            _ => {
                let message = format!(
                    "Incorrect attribute value type: \"{name}\" is a string of JSON, found {}",
                    value.kind_name()
                );
                self.report(
                    Finding::error("terraform-value", message.clone())
                        .at(value.span, "this is not a string")
                        .help("put it into jsonencode(…)"),
                );
                Tree::new(Node::Unknown(message), value.span)
            }
        }
    }

    /// JSON of any shape, with the place of every value in it: `container_definitions` is a list.
    pub fn list_document(&self, value: &Value) -> Tree {
        match &value.kind {
            Kind::Json(json) => json.tree.clone(),
            Kind::Text(text) => self.decode(text, value.span).unwrap_or_else(|problem| {
                Tree::new(Node::Unknown(format!("it is not JSON: {problem}")), value.span)
            }),
            Kind::Unknown(unknown) => match &unknown.holes {
                Some(holes) => self.parse_with_holes(&holes.text, &holes.causes, value.span),
                None => Tree::new(Node::Unknown(unknown.cause.to_string()), value.span),
            },
            _ => Tree::new(Node::Unknown("it is not a string of JSON".to_owned()), value.span),
        }
    }

    /// JSON in a text, for `jsondecode`.
    pub fn decode(&self, text: &Text, span: Span) -> Result<Tree, String> {
        let text = self.with_pieces(text, span);
        let (tree, problems) = json::parse(span.source, &text.text);
        match problems.first() {
            Some(problem) => Err(problem.message.clone()),
            None => Ok(placed(tree, &text, span)),
        }
    }

    fn with_pieces(&self, text: &Text, span: Span) -> Text {
        let pieces = match &text.pieces {
            Some(pieces) => pieces.clone(),
            None => Rc::new(self.quoted_pieces(&text.text, span)),
        };
        Text { text: text.text.clone(), pieces: Some(pieces) }
    }

    /// Where a text stands that is a quoted string, or a whole file.
    fn quoted_pieces(&self, text: &str, span: Span) -> Vec<Piece> {
        let written = self.sources.excerpt(span);
        let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let whole = Piece { start: 0, length: text.len(), span, linear: written == text };
        match inner {
            Some(inner) if !whole.linear => {
                let end = (span.end as usize).saturating_sub(1);
                matching_pieces(text, inner, 0, Span::new(span.source, span.start as usize + 1, end))
            }
            _ => vec![whole],
        }
    }

    fn parse_document(&self, name: &str, text: &Text, span: Span) -> Tree {
        if let Some(reason) = refused_start(&text.text) {
            let message = format!("\"{name}\" contains an invalid JSON policy: {reason}");
            self.report(Finding::error("terraform-json", message).at(span, "this document"));
        }
        let (tree, problems) = json::parse(span.source, &text.text);
        for problem in problems {
            let message = format!("\"{name}\" contains an invalid JSON policy: {}", problem.message);
            self.report(
                Finding::error("terraform-json", message).at(place(text, problem.span, span), "here"),
            );
        }
        placed(tree, text, span)
    }

    fn parse_with_holes(&self, text: &Text, causes: &[Rc<str>], span: Span) -> Tree {
        let (tree, problems) = json::parse(span.source, &text.text);
        let first = || causes.first().map_or_else(String::new, |cause| cause.to_string());
        if !problems.is_empty() {
            // A hole outside a string: nothing can be said about the document around it.
            return Tree::new(Node::Unknown(first()), span);
        }
        let mut tree = placed(tree, text, span);
        fill_holes(&mut tree, causes);
        tree
    }

    fn refuse_other_shapes(&self, name: &str, tree: &Tree) {
        let reason = match tree.node {
            Node::Map(_) | Node::Unknown(_) => return,
            Node::Text(_) => "contains a JSON-encoded string, not a JSON-encoded object",
            Node::List(_) => "contains a JSON array, not a JSON object",
            _ => "not a JSON object",
        };
        let message = format!("\"{name}\" contains an invalid JSON policy: {reason}");
        self.report(Finding::error("terraform-json", message).at(tree.span, "this document"));
    }
}

/// What the AWS provider refuses by the first character (its validation of IAM policy arguments).
fn refused_start(text: &str) -> Option<&'static str> {
    match text.chars().next() {
        Some('{') => None,
        None => Some("is an empty string, which is not a valid JSON value"),
        Some(' ' | '\t' | '\r' | '\n') => Some("leading space characters are not allowed"),
        Some('"') => Some("contains a JSON-encoded string, not a JSON-encoded object"),
        Some('[') => Some("contains a JSON array, not a JSON object"),
        Some(_) => Some("not a JSON object"),
    }
}

fn fill_holes(tree: &mut Tree, causes: &[Rc<str>]) {
    match &mut tree.node {
        Node::Text(text) => {
            if let Some(cause) = value::first_hole(text).and_then(|hole| causes.get(hole)) {
                tree.node = Node::Unknown(cause.to_string());
            }
        }
        Node::List(items) => items.iter_mut().for_each(|item| fill_holes(item, causes)),
        Node::Map(entries) => {
            for (key, value) in entries {
                match value::first_hole(&key.text).and_then(|hole| causes.get(hole)) {
                    Some(cause) => {
                        // As in torn JSON, an unknown value under an empty key says that anything may be missing.
                        value.node = Node::Unknown(cause.to_string());
                        key.text.clear();
                    }
                    None => fill_holes(value, causes),
                }
            }
        }
        _ => {}
    }
}

/// The tree with its spans, which count from the start of the text, moved to where things stand.
fn placed(mut tree: Tree, text: &Text, whole: Span) -> Tree {
    move_spans(&mut tree, text, whole);
    tree
}

fn move_spans(tree: &mut Tree, text: &Text, whole: Span) {
    tree.span = place(text, tree.span, whole);
    match &mut tree.node {
        Node::List(items) => items.iter_mut().for_each(|item| move_spans(item, text, whole)),
        Node::Map(entries) => {
            for (key, value) in entries {
                key.span = place(text, key.span, whole);
                move_spans(value, text, whole);
            }
        }
        _ => {}
    }
}

/// Where a range of a text is written: from the place of its first byte to that of its last.
fn place(text: &Text, range: Span, whole: Span) -> Span {
    let (start, end) = (range.start as usize, range.end as usize);
    let Some(pieces) = &text.pieces else { return whole };
    let first = pieces.iter().find(|piece| start < piece.start + piece.length);
    let last = pieces.iter().rev().find(|piece| piece.start < end.max(start + 1));
    let (Some(first), Some(last)) = (first, last) else { return whole };
    let linear =
        |piece: &Piece, offset: usize| piece.span.start as usize + offset.saturating_sub(piece.start);
    let from = if first.linear { linear(first, start) } else { first.span.start as usize };
    let until = if last.linear { linear(last, end) } else { last.span.end as usize };
    // Parts of another file, such as a template's, have places of their own.
    if first.span.source != last.span.source {
        return first.span;
    }
    Span::new(first.span.source, from, until)
}
