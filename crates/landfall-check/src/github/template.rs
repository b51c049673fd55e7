//! Strings that may hold `${{ … }}`, each read for the place in the workflow where it stands.

use landfall_types::{Finding, Node as TreeNode, Span, Tree};

use super::expr::{Contexts, ExprError, Expression, Node, ParseError, Value, push_limited};
use super::slot::Slot;

/// A scalar of a workflow file, with its expressions parsed.
#[derive(Clone, Debug)]
pub struct Template {
    /// The text as YAML gives it, expressions unevaluated.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// No expression. A YAML number or boolean keeps its type.
    Literal(Value),
    /// One expression and nothing else: the value keeps its type.
    Whole(Expression),
    /// Text with expressions in it.
    Mixed(Vec<Part>),
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Expression(Expression),
}

impl Template {
    /// A template without expressions.
    pub fn literal(text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        Self { body: Body::Literal(Value::Text(text.clone())), text, span }
    }

    /// Reads a scalar of a workflow. What is wrong with its expressions goes to `findings`; the
    /// template then stands for its text.
    ///
    /// # Errors
    /// None when the tree is not a scalar; GitHub's text is in `findings`.
    pub fn read(tree: &Tree, slot: Slot, findings: &mut Vec<Finding>) -> Option<Self> {
        let literal = match &tree.node {
            TreeNode::Null => Value::Null,
            TreeNode::Bool(value) => Value::Bool(*value),
            TreeNode::Number(text) => Value::Number(yaml_number(text)),
            TreeNode::Text(text) => return Some(Self::read_text(text, tree.span, slot, findings)),
            TreeNode::List(_) => return refused(tree, "A sequence was not expected", findings),
            TreeNode::Map(_) => return refused(tree, "A mapping was not expected", findings),
            TreeNode::Unknown(why) => return refused(tree, why, findings),
        };
        Some(Self { text: literal.to_text(), span: tree.span, body: Body::Literal(literal) })
    }

    fn read_text(text: &str, span: Span, slot: Slot, findings: &mut Vec<Finding>) -> Self {
        let body = match parts(text, slot) {
            Ok(mut parts) => match (parts.pop(), parts.is_empty()) {
                (None, _) => Body::Literal(Value::Text(text.to_owned())),
                (Some(Part::Text(_)), true) => Body::Literal(Value::Text(text.to_owned())),
                (Some(Part::Expression(expression)), true) => Body::Whole(expression),
                (Some(last), false) => {
                    parts.push(last);
                    Body::Mixed(parts)
                }
            },
            Err(error) => {
                findings.push(expression_finding(&error, text, span));
                Body::Literal(Value::Text(text.to_owned()))
            }
        };
        Self { text: text.to_owned(), span, body }
    }

    /// Reads an `if`: without braces the whole text is the expression ("Workflow syntax", `jobs.<job_id>.if`).
    pub fn read_condition(tree: &Tree, slot: Slot, findings: &mut Vec<Finding>) -> Option<Self> {
        let mut template = Self::read(tree, slot, findings)?;
        let Body::Literal(value) = &template.body else { return Some(template) };
        let text = value.to_text();
        if text.trim().is_empty() {
            template.body = Body::Literal(Value::Null);
        } else if !text.contains("${{") {
            match Expression::parse(&text, &slot.availability()) {
                Ok(expression) => template.body = Body::Whole(expression),
                Err(error) => findings.push(expression_finding(&shifted(error, &text), &text, tree.span)),
            }
        }
        Some(template)
    }

    /// Whether there is nothing to evaluate.
    pub fn is_literal(&self) -> bool {
        matches!(self.body, Body::Literal(_))
    }

    /// The value when there is nothing to evaluate.
    pub fn as_literal(&self) -> Option<&Value> {
        match &self.body {
            Body::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// All expressions inside.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (whole, parts) = match &self.body {
            Body::Literal(_) => (None, [].as_slice()),
            Body::Whole(expression) => (Some(expression), [].as_slice()),
            Body::Mixed(parts) => (None, parts.as_slice()),
        };
        whole.into_iter().chain(parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Expression(expression) => Some(expression),
        }))
    }

    /// Whether a context such as `secrets` is looked at.
    pub fn mentions(&self, context: &str) -> bool {
        self.expressions().any(|expression| {
            expression.any(&|node| matches!(node, Node::Context(name) if name.eq_ignore_ascii_case(context)))
        })
    }

    /// The value. A template that is one expression keeps that expression's type; text around
    /// expressions makes a string.
    ///
    /// # Errors
    /// GitHub's text for a call that failed.
    pub fn evaluate(&self, contexts: &Contexts<'_>) -> Result<Value, ExprError> {
        let error = |message| ExprError { message, span: self.span };
        match &self.body {
            Body::Literal(value) => Ok(value.clone()),
            Body::Whole(expression) => expression.evaluate(contexts).map_err(error),
            Body::Mixed(parts) => {
                let mut text = String::new();
                for part in parts {
                    let more = match part {
                        Part::Text(literal) => literal.clone(),
                        Part::Expression(expression) => {
                            expression.evaluate(contexts).map_err(error)?.to_text()
                        }
                    };
                    push_limited(&mut text, &more).map_err(error)?;
                }
                Ok(Value::Text(text))
            }
        }
    }

    /// The value where GitHub wants a string.
    ///
    /// # Errors
    /// As [`Template::evaluate`], and for a list or an object (`A sequence was not expected`).
    pub fn evaluate_text(&self, contexts: &Contexts<'_>) -> Result<String, ExprError> {
        let refused = |message: &str| Err(ExprError { message: message.to_owned(), span: self.span });
        match self.evaluate(contexts)? {
            Value::List(_) => refused("A sequence was not expected"),
            Value::Object(_) => refused("A mapping was not expected"),
            value => Ok(value.to_text()),
        }
    }

    /// The value where GitHub wants true or false, such as `continue-on-error`.
    ///
    /// # Errors
    /// As [`Template::evaluate`], and `Unexpected value 'x'` for anything that is not a boolean.
    pub fn evaluate_bool(&self, contexts: &Contexts<'_>) -> Result<bool, ExprError> {
        match self.evaluate(contexts)? {
            Value::Bool(value) => Ok(value),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            value => Err(ExprError { message: unexpected(&value.to_text()), span: self.span }),
        }
    }

    /// The value where GitHub wants a number, such as `timeout-minutes`.
    ///
    /// # Errors
    /// As [`Template::evaluate`], and `Unexpected value 'x'` for anything that is not a number.
    pub fn evaluate_number(&self, contexts: &Contexts<'_>) -> Result<f64, ExprError> {
        let value = self.evaluate(contexts)?;
        let number = if value.is_primitive() { value.to_number() } else { f64::NAN };
        if number.is_nan() || matches!(value, Value::Bool(_)) {
            return Err(ExprError { message: unexpected(&value.to_text()), span: self.span });
        }
        Ok(number)
    }

    /// The value as an `if`: `success() &&` goes in front unless a status function is called.
    ///
    /// # Errors
    /// As [`Template::evaluate`].
    pub fn evaluate_condition(&self, contexts: &Contexts<'_>) -> Result<bool, ExprError> {
        if matches!(self.body, Body::Literal(Value::Null)) {
            return Ok(contexts.status.success);
        }
        if !self.has_status_function() && !contexts.status.success {
            return Ok(false);
        }
        self.evaluate(contexts).map(|value| value.is_truthy())
    }

    /// Whether an `if` calls `success()`, `failure()`, `cancelled()` or `always()`.
    pub fn has_status_function(&self) -> bool {
        self.expressions().any(Expression::has_status_function)
    }
}

/// GitHub's text for a value that is not one of those a key takes.
pub(crate) fn unexpected(value: &str) -> String {
    format!("Unexpected value '{value}'")
}

fn refused(tree: &Tree, message: &str, findings: &mut Vec<Finding>) -> Option<Template> {
    findings.push(Finding::error("workflow-syntax", message).at(tree.span, "here"));
    None
}

fn yaml_number(text: &str) -> f64 {
    match text.trim_start_matches(['+', '-']) {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => f64::NEG_INFINITY,
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        _ => Value::from(text).to_number(),
    }
}

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

fn parts(text: &str, slot: Slot) -> Result<Vec<Part>, ParseError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find(OPEN)) {
        let start = at + offset;
        if offset > 0 {
            parts.push(Part::Text(text.get(at..start).unwrap_or("").to_owned()));
        }
        let inside = start + OPEN.len();
        let length = text.get(inside..).and_then(closing).ok_or_else(|| ParseError {
            message: "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} \
                      sequence was not found."
                .to_owned(),
            range: start..text.len(),
        })?;
        let end = inside + length + CLOSE.len();
        let body = text.get(inside..inside + length).unwrap_or("");
        if slot == Slot::None {
            return Err(ParseError {
                message: "A template expression is not allowed in this context".to_owned(),
                range: start..end,
            });
        }
        let expression = Expression::parse(body, &slot.availability()).map_err(|error| {
            let error = shifted(error, body);
            ParseError { range: error.range.start + inside..error.range.end + inside, ..error }
        })?;
        parts.push(Part::Expression(expression));
        at = end;
    }
    let rest = text.get(at..).unwrap_or("");
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// Where `}}` stands, outside of single-quoted strings.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b'}' if !quoted && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
    }
    None
}

/// Expressions are parsed without the blanks around them: moves a range back.
fn shifted(error: ParseError, untrimmed: &str) -> ParseError {
    let blanks = untrimmed.len() - untrimmed.trim_start().len();
    ParseError { range: error.range.start + blanks..error.range.end + blanks, ..error }
}

fn expression_finding(error: &ParseError, text: &str, span: Span) -> Finding {
    Finding::error("workflow-expression", error.message.clone())
        .at(inner_span(span, text, &error.range), "in this expression")
}

/// The bytes of a range of a scalar's text. Exact for plain and simply quoted scalars of one line; the
/// whole scalar for block scalars and escapes, where text and file differ.
fn inner_span(span: Span, text: &str, range: &std::ops::Range<usize>) -> Span {
    let length = (span.end - span.start) as usize;
    let quotes = match length.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) if !text.contains('\n') => 1,
        _ => return span,
    };
    let start = span.start as usize + quotes;
    Span::new(span.source, start + range.start, start + range.end)
}
