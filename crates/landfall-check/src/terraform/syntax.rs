//! HCL text to a syntax tree of our own. The only file that knows the HCL library; `json_syntax` makes the same tree.
//!
//! The tree is what the evaluator needs and no more: spans are ours, heredocs are templates whose
//! literal parts remember where they stand, and a chain of attribute steps is a list, not a nest.
//! The library refuses more than 64 nested levels and 128 chained operators, so walking a tree
//! recursively is safe.

use hcl_edit::Span as _;
use hcl_edit::expr::{self as hcl, Expression, TraversalOperator};
use hcl_edit::structure as st;
use hcl_edit::template::{Directive, Element, Strip};
use landfall_types::{Finding, SourceId, Span};

use super::unclosed::unclosed_string;

/// Bytes of one file that are read at most.
pub(super) const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Broken blocks of one file that are reported at most.
const SYNTAX_ERRORS_MAX: usize = 20;

/// Attributes and blocks in written order.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub attributes: Vec<Attribute>,
    pub blocks: Vec<Block>,
}

impl Body {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// `name = value`.
#[derive(Debug)]
pub(super) struct Attribute {
    pub name: String,
    pub name_span: Span,
    pub value: Expr,
}

/// `kind "label" { … }`; `header` is all before the brace.
#[derive(Debug)]
pub(super) struct Block {
    pub kind: String,
    pub labels: Vec<String>,
    pub header: Span,
    pub body: Body,
}

/// An expression and its place.
#[derive(Debug)]
pub(super) struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

/// The shapes of an expression.
#[derive(Debug)]
pub(super) enum ExprKind {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Template(Vec<Part>),
    List(Vec<Expr>),
    Object(Vec<(ObjectKey, Expr)>),
    Name(String),
    Traversal(Box<Expr>, Vec<Step>),
    Call { name: String, args: Vec<Expr>, expand_final: bool },
    Conditional(Box<[Expr; 3]>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<[Expr; 2]>),
    For(Box<For>),
    Group(Box<Expr>),
}

/// A key of an object: a bare word stands for itself.
#[derive(Debug)]
pub(super) enum ObjectKey {
    Word(String, Span),
    Expr(Expr),
}

/// One step from a value to a part of it.
#[derive(Debug)]
pub(super) enum Step {
    Attribute(String),
    Index(Expr),
    /// `.*`: only attribute steps after it apply to each element.
    AttributeSplat,
    /// `[*]`: all steps after it apply to each element.
    FullSplat,
}

/// `for` expressions of both kinds; `key` is there for objects only.
#[derive(Debug)]
pub(super) struct For {
    pub key_name: Option<String>,
    pub value_name: String,
    pub collection: Expr,
    pub key: Option<Expr>,
    pub value: Expr,
    pub grouping: bool,
    pub condition: Option<Expr>,
}

/// A part of a template.
#[derive(Debug)]
pub(super) enum Part {
    Literal { text: String, span: Span },
    Value(Expr),
    If { condition: Expr, then: Vec<Part>, otherwise: Vec<Part> },
    For { key_name: Option<String>, value_name: String, collection: Expr, body: Vec<Part> },
}

/// Unary operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unary {
    Minus,
    Not,
}

/// Binary operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binary {
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    And,
    Or,
}

/// Reads a file. When it does not parse as a whole, every block that does is kept, and there is one
/// finding for each that does not.
pub(super) fn parse_file(source: SourceId, name: &str, text: &str) -> (Body, Vec<Finding>) {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("{name} is {} bytes; the limit is {FILE_BYTES_MAX} bytes", text.len());
        let finding = Finding::error("terraform-limit", message).at(Span::new(source, 0, 0), "not read");
        return (Body::default(), vec![finding]);
    }
    // A byte order mark is not part of the language; Terraform skips it too.
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let reader = Reader { place: Place { source, offset: start, whole: None } };
    match hcl_edit::parser::parse_body(text.get(start..).unwrap_or("")) {
        Ok(body) => (reader.body(&body), Vec::new()),
        Err(error) => recover(source, text, start, &error),
    }
}

/// Reads one expression, such as the value of `--var`.
pub(super) fn parse_expression(source: SourceId, text: &str) -> Result<Expr, Box<Finding>> {
    parse_expression_at(text, Place { source, offset: 0, whole: None })
}

/// Reads a template file as `templatefile` does.
pub(super) fn parse_template(source: SourceId, text: &str) -> Result<Vec<Part>, Box<Finding>> {
    parse_template_at(text, Place { source, offset: 0, whole: None })
}

/// Where a text that is parsed stands in its source.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub source: SourceId,
    /// Where it begins.
    pub offset: usize,
    /// The place of all its parts, where they have none of their own: it is written with escapes.
    pub whole: Option<Span>,
}

impl Place {
    fn span(self, start: usize, end: usize) -> Span {
        self.whole.unwrap_or_else(|| Span::new(self.source, start + self.offset, end + self.offset))
    }

    fn moved(self, mut finding: Finding) -> Box<Finding> {
        for label in &mut finding.labels {
            label.span = self.span(label.span.start as usize, label.span.end as usize);
        }
        finding.help.clear();
        Box::new(finding)
    }
}

/// Reads a template that is part of a source.
pub(super) fn parse_template_at(text: &str, place: Place) -> Result<Vec<Part>, Box<Finding>> {
    match hcl_edit::parser::parse_template(text) {
        Ok(template) => Ok(Reader { place }.parts(&template)),
        Err(error) => Err(place.moved(syntax_finding(place.source, text, 0..text.len(), &error))),
    }
}

/// Reads an expression that is part of a source.
pub(super) fn parse_expression_at(text: &str, place: Place) -> Result<Expr, Box<Finding>> {
    match hcl_edit::parser::parse_expr(text) {
        Ok(expression) => Ok(Reader { place }.expr(&expression)),
        Err(error) => Err(place.moved(syntax_finding(place.source, text, 0..text.len(), &error))),
    }
}

/// Reads the file block by block, a block being what starts with a word in the first column.
fn recover(
    source: SourceId,
    text: &str,
    start: usize,
    whole: &hcl_edit::parser::Error,
) -> (Body, Vec<Finding>) {
    let starts = block_starts(text, start);
    let mut body = Body::default();
    let mut findings = Vec::new();
    for (index, &from) in starts.iter().enumerate() {
        let until = starts.get(index + 1).copied().unwrap_or(text.len());
        let chunk = text.get(from..until).unwrap_or("");
        match hcl_edit::parser::parse_body(chunk) {
            Ok(part) => {
                let part = Reader { place: Place { source, offset: from, whole: None } }.body(&part);
                body.attributes.extend(part.attributes);
                body.blocks.extend(part.blocks);
            }
            Err(error) if findings.len() < SYNTAX_ERRORS_MAX => {
                findings.push(syntax_finding(source, text, from..until, &error));
            }
            Err(_) => {}
        }
    }
    if findings.is_empty() {
        // Only the file as a whole is wrong: two blocks on one line, a stray brace between them.
        findings.push(syntax_finding(source, text, start..text.len(), whole));
    }
    (body, findings)
}

fn block_starts(text: &str, start: usize) -> Vec<usize> {
    const TOP_LEVEL: [&str; 13] = [
        "resource",
        "data",
        "variable",
        "locals",
        "output",
        "provider",
        "module",
        "terraform",
        "import",
        "moved",
        "removed",
        "check",
        "ephemeral",
    ];
    let mut starts = vec![start];
    let mut at = start;
    for line in text.get(start..).unwrap_or("").split_inclusive('\n') {
        let word: &str = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        if at > start && TOP_LEVEL.contains(&word) && line.contains('{') {
            starts.push(at);
        }
        at += line.len();
    }
    starts
}

/// The finding for an error in a part of a text.
fn syntax_finding(
    source: SourceId,
    text: &str,
    part: std::ops::Range<usize>,
    error: &hcl_edit::parser::Error,
) -> Finding {
    let help = "`terraform fmt` stops here too; the block around it is left out";
    // The library points at where it gave up, which is far from a string that was not closed.
    if let Some(quote) = unclosed_string(text.get(part.clone()).unwrap_or("")) {
        let at = part.start + quote;
        let length = text.get(at..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
        let message = "invalid string: expected a closing `\"`, found the end of the line";
        return Finding::error("terraform-syntax", message)
            .at(Span::new(source, at, at + length), "this string is not closed")
            .help(help);
    }
    let at = (part.start + error.location().offset()).min(text.len());
    let (found, length) = found_there(text.get(at..).unwrap_or(""));
    let wanted = error.message().replace("`\n`", "a new line").replace("; expected", ": expected");
    let wanted = if wanted.starts_with("invalid ") { wanted } else { format!("invalid HCL: {wanted}") };
    Finding::error("terraform-syntax", format!("{wanted}, found {found}"))
        .at(Span::new(source, at, at + length), "this can't be read as HCL")
        .help(help)
}

/// What stands at an error, for a person, and its length.
fn found_there(rest: &str) -> (String, usize) {
    let Some(first) = rest.chars().next() else { return ("the end of the file".to_owned(), 0) };
    if first == '\n' || rest.starts_with("\r\n") {
        return ("the end of the line".to_owned(), 0);
    }
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(40).collect();
    let shown = if word.is_empty() { first.to_string() } else { word };
    (format!("`{shown}`"), shown.len())
}

struct Reader {
    /// Where the text that was parsed stands.
    place: Place,
}

impl Reader {
    fn span(&self, range: Option<std::ops::Range<usize>>) -> Span {
        let range = range.unwrap_or(0..0);
        self.place.span(range.start, range.end)
    }

    fn body(&self, body: &st::Body) -> Body {
        let attributes = body.attributes().map(|attribute| self.attribute(attribute)).collect();
        let blocks = body.blocks().map(|block| self.block(block)).collect();
        Body { attributes, blocks }
    }

    fn attribute(&self, attribute: &st::Attribute) -> Attribute {
        Attribute {
            name: attribute.key.as_str().to_owned(),
            name_span: self.span(attribute.key.span()),
            value: self.expr(&attribute.value),
        }
    }

    fn block(&self, block: &st::Block) -> Block {
        let ident = self.span(block.ident.span());
        let header = block
            .labels
            .iter()
            .filter_map(|label| label.span())
            .fold(ident, |header, label| header.to(self.span(Some(label))));
        Block {
            kind: block.ident.as_str().to_owned(),
            labels: block.labels.iter().map(|label| label.as_str().to_owned()).collect(),
            header,
            body: self.body(&block.body),
        }
    }

    fn boxed(&self, expression: &Expression) -> Box<Expr> {
        Box::new(self.expr(expression))
    }

    fn expr(&self, expression: &Expression) -> Expr {
        let span = self.span(expression.span());
        let kind = match expression {
            Expression::Null(_) => ExprKind::Null,
            Expression::Bool(value) => ExprKind::Bool(*value.value()),
            Expression::Number(value) => ExprKind::Number(value.value().as_f64().unwrap_or(0.0)),
            Expression::String(text) => ExprKind::Text(text.value().clone()),
            Expression::Array(array) => ExprKind::List(array.iter().map(|item| self.expr(item)).collect()),
            Expression::Object(object) => self.object(object),
            Expression::StringTemplate(template) => ExprKind::Template(self.parts(template)),
            Expression::HeredocTemplate(heredoc) => {
                let mut parts = self.parts(&heredoc.template);
                dedent_directives(&mut parts, heredoc.indent().unwrap_or(0));
                ExprKind::Template(parts)
            }
            Expression::Parenthesis(inner) => ExprKind::Group(self.boxed(inner.inner())),
            Expression::Variable(name) => ExprKind::Name(name.as_str().to_owned()),
            Expression::Conditional(conditional) => ExprKind::Conditional(Box::new([
                self.expr(&conditional.cond_expr),
                self.expr(&conditional.true_expr),
                self.expr(&conditional.false_expr),
            ])),
            Expression::FuncCall(call) => self.call(call),
            Expression::Traversal(traversal) => ExprKind::Traversal(
                self.boxed(&traversal.expr),
                traversal.operators.iter().map(|step| self.step(step.value())).collect(),
            ),
            Expression::UnaryOp(operation) => {
                ExprKind::Unary(unary(*operation.operator.value()), self.boxed(&operation.expr))
            }
            Expression::BinaryOp(operation) => ExprKind::Binary(
                binary(*operation.operator.value()),
                Box::new([self.expr(&operation.lhs_expr), self.expr(&operation.rhs_expr)]),
            ),
            Expression::ForExpr(expression) => self.for_expression(expression),
        };
        Expr { kind, span }
    }

    fn object(&self, object: &hcl::Object) -> ExprKind {
        let entries = object.iter().map(|(key, value)| {
            let key = match key {
                hcl::ObjectKey::Ident(word) => {
                    ObjectKey::Word(word.as_str().to_owned(), self.span(word.span()))
                }
                // The library reads `{ name = … }` as a variable when something odd surrounds it;
                // HCL takes a bare word for itself.
                hcl::ObjectKey::Expression(Expression::Variable(word)) => {
                    ObjectKey::Word(word.as_str().to_owned(), self.span(word.span()))
                }
                hcl::ObjectKey::Expression(expression) => ObjectKey::Expr(self.expr(expression)),
            };
            (key, self.expr(value.expr()))
        });
        ExprKind::Object(entries.collect())
    }

    fn call(&self, call: &hcl::FuncCall) -> ExprKind {
        let mut name = String::new();
        for part in &call.name.namespace {
            name.push_str(part.as_str());
            name.push_str("::");
        }
        name.push_str(call.name.name.as_str());
        let args = call.args.iter().map(|arg| self.expr(arg)).collect();
        ExprKind::Call { name, args, expand_final: call.args.expand_final() }
    }

    fn step(&self, step: &TraversalOperator) -> Step {
        match step {
            TraversalOperator::AttrSplat(_) => Step::AttributeSplat,
            TraversalOperator::FullSplat(_) => Step::FullSplat,
            TraversalOperator::GetAttr(name) => Step::Attribute(name.as_str().to_owned()),
            TraversalOperator::Index(index) => Step::Index(self.expr(index)),
            TraversalOperator::LegacyIndex(index) => {
                let span = self.span(index.span());
                #[allow(clippy::cast_precision_loss)] // no list has 2^53 items
                let number = *index.value() as f64;
                Step::Index(Expr { kind: ExprKind::Number(number), span })
            }
        }
    }

    fn for_expression(&self, expression: &hcl::ForExpr) -> ExprKind {
        ExprKind::For(Box::new(For {
            key_name: expression.intro.key_var.as_ref().map(|name| name.as_str().to_owned()),
            value_name: expression.intro.value_var.as_str().to_owned(),
            collection: self.expr(&expression.intro.collection_expr),
            key: expression.key_expr.as_ref().map(|key| self.expr(key)),
            value: self.expr(&expression.value_expr),
            grouping: expression.grouping,
            condition: expression.cond.as_ref().map(|condition| self.expr(&condition.expr)),
        }))
    }

    /// The parts of a template with its strip markers already obeyed.
    fn parts(&self, template: &hcl_edit::template::Template) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut strip_next = false;
        for element in template.iter() {
            let (strips_before, strips_after) = outer_strips(element);
            if strips_before {
                strip_end(&mut parts);
            }
            let mut part = self.part(element);
            if strip_next {
                strip_start(&mut part);
            }
            strip_next = strips_after;
            parts.push(part);
        }
        parts
    }

    fn part(&self, element: &Element) -> Part {
        match element {
            Element::Literal(text) => {
                Part::Literal { text: text.value().clone(), span: self.span(text.span()) }
            }
            Element::Interpolation(value) => Part::Value(self.expr(&value.expr)),
            Element::Directive(directive) => match directive.as_ref() {
                Directive::If(directive) => {
                    let mut then = self.parts(&directive.if_expr.template);
                    let mut otherwise = Vec::new();
                    let mut end = directive.endif_expr.strip;
                    if let Some(branch) = &directive.else_expr {
                        otherwise = self.parts(&branch.template);
                        strip_inside(&mut otherwise, branch.strip, end);
                        end = branch.strip;
                    }
                    strip_inside(&mut then, directive.if_expr.strip, end);
                    Part::If { condition: self.expr(&directive.if_expr.cond_expr), then, otherwise }
                }
                Directive::For(directive) => {
                    let mut body = self.parts(&directive.for_expr.template);
                    strip_inside(&mut body, directive.for_expr.strip, directive.endfor_expr.strip);
                    Part::For {
                        key_name: directive.for_expr.key_var.as_ref().map(|name| name.as_str().to_owned()),
                        value_name: directive.for_expr.value_var.as_str().to_owned(),
                        collection: self.expr(&directive.for_expr.collection_expr),
                        body,
                    }
                }
            },
        }
    }
}

/// The library takes the indent of `<<-` off the outermost parts only.
fn dedent_directives(parts: &mut [Part], indent: usize) {
    for part in parts {
        match part {
            Part::If { then, otherwise, .. } => {
                dedent_all(then, indent);
                dedent_all(otherwise, indent);
            }
            Part::For { body, .. } => dedent_all(body, indent),
            Part::Literal { .. } | Part::Value(_) => {}
        }
    }
}

fn dedent_all(parts: &mut [Part], indent: usize) {
    for part in parts.iter_mut() {
        if let Part::Literal { text, .. } = part {
            let mut lines = text.split_inclusive('\n');
            let mut dedented = lines.next().unwrap_or("").to_owned();
            for line in lines {
                let spaces = line.len() - line.trim_start_matches(' ').len();
                dedented.push_str(line.get(spaces.min(indent)..).unwrap_or(line));
            }
            *text = dedented;
        }
    }
    dedent_directives(parts, indent);
}

fn at_start(strip: Strip) -> bool {
    matches!(strip, Strip::Start | Strip::Both)
}

fn at_end(strip: Strip) -> bool {
    matches!(strip, Strip::End | Strip::Both)
}

/// Whether an element strips the text before and after itself.
fn outer_strips(element: &Element) -> (bool, bool) {
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(value) => (at_start(value.strip), at_end(value.strip)),
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(directive) => {
                (at_start(directive.if_expr.strip), at_end(directive.endif_expr.strip))
            }
            Directive::For(directive) => {
                (at_start(directive.for_expr.strip), at_end(directive.endfor_expr.strip))
            }
        },
    }
}

/// `%{ if x ~}…%{~ endif }`: the markers on the inner side.
fn strip_inside(parts: &mut [Part], opening: Strip, closing: Strip) {
    if let (true, Some(first)) = (at_end(opening), parts.first_mut()) {
        strip_start(first);
    }
    if at_start(closing) {
        strip_end(parts);
    }
}

fn strip_start(part: &mut Part) {
    if let Part::Literal { text, span } = part {
        let kept = text.trim_start().to_owned();
        span.start += u32::try_from(text.len() - kept.len()).unwrap_or(0);
        span.end = span.end.max(span.start);
        *text = kept;
    }
}

fn strip_end(parts: &mut [Part]) {
    if let Some(Part::Literal { text, span }) = parts.last_mut() {
        let kept = text.trim_end().to_owned();
        span.end =
            span.end.saturating_sub(u32::try_from(text.len() - kept.len()).unwrap_or(0)).max(span.start);
        *text = kept;
    }
}

fn unary(operator: hcl::UnaryOperator) -> Unary {
    match operator {
        hcl::UnaryOperator::Neg => Unary::Minus,
        hcl::UnaryOperator::Not => Unary::Not,
    }
}

fn binary(operator: hcl::BinaryOperator) -> Binary {
    match operator {
        hcl::BinaryOperator::Eq => Binary::Equal,
        hcl::BinaryOperator::NotEq => Binary::NotEqual,
        hcl::BinaryOperator::LessEq => Binary::LessEqual,
        hcl::BinaryOperator::GreaterEq => Binary::GreaterEqual,
        hcl::BinaryOperator::Less => Binary::Less,
        hcl::BinaryOperator::Greater => Binary::Greater,
        hcl::BinaryOperator::Plus => Binary::Plus,
        hcl::BinaryOperator::Minus => Binary::Minus,
        hcl::BinaryOperator::Mul => Binary::Times,
        hcl::BinaryOperator::Div => Binary::Divide,
        hcl::BinaryOperator::Mod => Binary::Modulo,
        hcl::BinaryOperator::And => Binary::And,
        hcl::BinaryOperator::Or => Binary::Or,
    }
}
