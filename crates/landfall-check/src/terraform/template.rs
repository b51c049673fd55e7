//! Evaluates string templates and remembers which part of the text came from where.

use std::rc::Rc;

use landfall_types::{SourceMap, Span};

use super::eval::{Evaluator, TEXT_BYTES_MAX};
use super::scope::Scope;
use super::syntax::{Expr, Part};
use super::value::{self, HOLES_MAX, Holes, Kind, Piece, Text, Unknown, Value};

/// A template on its way to a text.
#[derive(Default)]
struct Output {
    text: String,
    pieces: Vec<Piece>,
    /// Why each hole is unknown.
    causes: Vec<Rc<str>>,
    /// The place of the whole. A literal part that has this place has none of its own.
    whole: Option<Span>,
    /// A part that must be a string is none.
    failed: Option<Value>,
}

impl Evaluator<'_> {
    /// The value of a template. One that consists of a single interpolation is that value; one with
    /// an unknown part is unknown for the reason of its first such part.
    pub fn template(&self, parts: &[Part], span: Span, scope: &Scope) -> Value {
        if let [Part::Value(expr)] = parts {
            return self.eval(expr, scope);
        }
        let mut output = Output { whole: Some(span), ..Output::default() };
        self.write_parts(parts, scope, &mut output);
        if let Some(failed) = output.failed {
            return failed;
        }
        if !self.spend(output.text.len() / 64) {
            return self.out_of_steps(span);
        }
        let text = Text { text: output.text.into(), pieces: Some(Rc::new(output.pieces)) };
        let Some(cause) = output.causes.first().cloned() else {
            return Value::new(Kind::Text(text), span);
        };
        let holes = Some(Rc::new(Holes { text, causes: output.causes }));
        Value::new(Kind::Unknown(Unknown { cause, of: None, holes, failed: false }), span)
    }

    fn write_parts(&self, parts: &[Part], scope: &Scope, output: &mut Output) {
        for part in parts {
            if output.failed.is_some() {
                return;
            }
            match part {
                Part::Literal { text, span } => {
                    let start = output.text.len();
                    let is_escaped = || self.sources.excerpt(*span).starts_with('"');
                    if output.whole == Some(*span) && is_escaped() {
                        output.pieces.push(Piece { start, length: text.len(), span: *span, linear: false });
                    } else {
                        output.pieces.extend(literal_pieces(self.sources, text, *span, start));
                    }
                    output.text.push_str(text);
                }
                Part::Value(expr) => {
                    let value = self.eval(expr, scope);
                    self.write_value(&value, expr.span, output);
                }
                Part::If { condition, then, otherwise } => {
                    let decision = self.eval(condition, scope);
                    match decision.as_bool() {
                        Some(true) => self.write_parts(then, scope, output),
                        Some(false) => self.write_parts(otherwise, scope, output),
                        None => self.write_value(&decision, condition.span, output),
                    }
                }
                Part::For { key_name, value_name, collection, body } => {
                    self.write_loop((key_name.as_deref(), value_name), collection, body, scope, output);
                }
            }
            if output.text.len() > TEXT_BYTES_MAX {
                let message = format!("a text is longer than {TEXT_BYTES_MAX} bytes, which is the limit");
                let span =
                    output.pieces.last().map_or(Span::new(landfall_types::SourceId(0), 0, 0), |it| it.span);
                output.failed = Some(self.fail("terraform-limit", message, span, "this template"));
            }
        }
    }

    fn write_loop(
        &self,
        (key_name, value_name): (Option<&str>, &str),
        collection: &Expr,
        body: &[Part],
        scope: &Scope,
        output: &mut Output,
    ) {
        let elements = match self.elements(&self.eval(collection, scope), collection.span) {
            Ok(elements) => elements,
            Err(unknown) => return self.write_value(&unknown, collection.span, output),
        };
        for (key, element) in elements {
            if !self.spend(1) || output.failed.is_some() {
                return;
            }
            let mut inner = scope.with(value_name, element);
            if let Some(name) = key_name {
                inner = inner.with(name, key);
            }
            self.write_parts(body, &inner, output);
        }
    }

    fn write_value(&self, value: &Value, written_at: Span, output: &mut Output) {
        let start = output.text.len();
        let cause = match &value.kind {
            Kind::Unknown(unknown) => Some(unknown.cause.clone()),
            Kind::Json(json) => json.text.clone().err(),
            _ => None,
        };
        if let Some(cause) = cause {
            match value::hole(output.causes.len()) {
                Some(hole) if output.causes.len() < HOLES_MAX => output.text.push(hole),
                _ => return,
            }
            output.causes.push(cause);
        } else if let Some(text) = value.as_text() {
            output.text.push_str(&text);
        } else {
            let message = format!(
                "Invalid template interpolation value: a string is required, found {}",
                value.kind_name()
            );
            output.failed =
                Some(self.fail("terraform-value", message, written_at, "this is put into a string"));
            return;
        }
        let length = output.text.len() - start;
        output.pieces.push(Piece { start, length, span: written_at, linear: false });
    }
}

/// Where a literal part stands. Escapes and the removed indent of `<<-` make text and source differ,
/// mostly in a few lines: these are taken apart further.
fn literal_pieces(sources: &SourceMap, text: &str, span: Span, start: usize) -> Vec<Piece> {
    let written = sources.excerpt(span);
    if written == text || written.lines().count() != text.lines().count() {
        return matching_pieces(text, &written, start, span);
    }
    let mut pieces = Vec::new();
    let (mut at, mut offset) = (start, span.start as usize);
    for (line, written_line) in text.split_inclusive('\n').zip(written.split_inclusive('\n')) {
        let spaces = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let removed = spaces(written_line).saturating_sub(spaces(line));
        let place = Span::new(span.source, offset + removed, offset + written_line.len());
        pieces.extend(matching_pieces(line, written_line.get(removed..).unwrap_or(""), at, place));
        at += line.len();
        offset += written_line.len();
    }
    pieces
}

/// The pieces of a text that is written like `written`: what both begin with and what both end with
/// is there byte for byte, and what is between them, with its escapes, as a whole.
pub(super) fn matching_pieces(text: &str, written: &str, start: usize, span: Span) -> Vec<Piece> {
    let common = |a: &mut dyn Iterator<Item = (char, char)>| {
        a.take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum::<usize>()
    };
    let prefix = common(&mut text.chars().zip(written.chars()));
    let (text_rest, written_rest) = (text.get(prefix..).unwrap_or(""), written.get(prefix..).unwrap_or(""));
    let suffix = common(&mut text_rest.chars().rev().zip(written_rest.chars().rev()));
    let piece = |at: usize, length: usize, from: usize, until: usize, linear: bool| Piece {
        start: start + at,
        length,
        span: Span::new(span.source, span.start as usize + from, span.start as usize + until),
        linear,
    };
    let middle_end = written.len() - suffix;
    let pieces = [
        piece(0, prefix, 0, prefix, true),
        piece(prefix, text.len() - suffix - prefix, prefix, middle_end, false),
        piece(text.len() - suffix, suffix, middle_end, written.len(), true),
    ];
    pieces.into_iter().filter(|piece| piece.length > 0).collect()
}
