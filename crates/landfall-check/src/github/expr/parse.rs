//! From tokens to a tree.

use super::functions::Function;
use super::lex::{self, Kind, Token};
use super::value::Value;
use super::{EXPRESSION_CHARS_MAX, EXPRESSION_DEPTH_MAX};

/// Which contexts and which special functions a place in a workflow offers. Names outside of it are
/// errors when the file is read, as on GitHub ("Contexts", availability table).
#[derive(Clone, Copy, Debug)]
pub struct Availability {
    /// Names of contexts.
    pub contexts: &'static [&'static str],
    /// Whether `success()`, `failure()`, `cancelled()` and `always()` may be called, and with how many job ids.
    pub status: StatusCalls,
    /// Whether `hashFiles` may be called.
    pub hash_files: bool,
}

/// How the status functions may be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusCalls {
    /// Not at all.
    Never,
    /// Without arguments: a step's `if`.
    Bare,
    /// With job ids: a job's `if`.
    WithJobs,
}

impl Availability {
    /// Whether a context is on offer.
    pub fn context(&self, name: &str) -> bool {
        self.contexts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The function of that name, when it is on offer.
    pub fn function(&self, name: &str) -> Option<Function> {
        Function::named(name).filter(|function| match function {
            Function::Success | Function::Failure | Function::Cancelled | Function::Always => {
                self.status != StatusCalls::Never
            }
            Function::HashFiles => self.hash_files,
            _ => true,
        })
    }

    fn arguments(&self, function: Function) -> (usize, usize) {
        match function {
            Function::Success | Function::Failure if self.status == StatusCalls::WithJobs => (0, usize::MAX),
            _ => function.arguments(),
        }
    }
}

/// Why a text is not an expression, in GitHub's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// GitHub's text.
    pub message: String,
    /// The token it speaks of, as bytes of the expression.
    pub range: std::ops::Range<usize>,
}

impl ParseError {
    pub(super) fn at(what: &str, raw: &str, at: usize, text: &str) -> Self {
        // GitHub counts UTF-16 units from 1.
        let position = text.get(..at).unwrap_or("").encode_utf16().count() + 1;
        Self {
            message: format!("{what}: '{raw}'. Located at position {position} within expression: {text}"),
            range: at..at + raw.len(),
        }
    }

    fn whole(message: String, text: &str) -> Self {
        Self { message, range: 0..text.len() }
    }
}

/// One parsed expression.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    /// The text between the braces, without the blanks around it.
    pub text: String,
    /// What it says.
    pub node: Node,
}

/// The tree of an expression, at most [`EXPRESSION_DEPTH_MAX`] levels deep.
#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    /// null, true, false, a number or a string.
    Literal(Literal),
    /// A context such as `github`.
    Context(String),
    /// `left.name`, `left['name']`, `left[0]`.
    Index(Box<Node>, Box<Node>),
    /// `left.*`
    Filter(Box<Node>),
    /// A function call.
    Call(Function, Vec<Node>),
    /// `!inner`
    Not(Box<Node>),
    /// `a && b && …`
    And(Vec<Node>),
    /// `a || b || …`
    Or(Vec<Node>),
    /// `left < right` and the like.
    Compare(Comparison, Box<Node>, Box<Node>),
}

/// A literal.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// `'text'`
    Text(String),
}

impl Literal {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

/// The comparison operators.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Expression {
    /// Reads the text between the braces.
    ///
    /// # Errors
    /// GitHub's text for what is wrong with it.
    pub fn parse(text: &str, may: &Availability) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ParseError::whole("An expression was expected".to_owned(), text));
        }
        if text.chars().count() > EXPRESSION_CHARS_MAX {
            return Err(ParseError::whole(
                format!("Exceeded max expression length {EXPRESSION_CHARS_MAX}"),
                text,
            ));
        }
        let tokens = lex::tokens(text, may)?;
        let mut parser = Parser { text, may, tokens: &tokens, next: 0, groups: 0 };
        let (node, _) = parser.or()?;
        match parser.peek() {
            None => Ok(Self { text: text.to_owned(), node }),
            Some(token) => Err(ParseError::at("Unexpected symbol", token.raw, token.at, text)),
        }
    }

    /// Whether one of the status functions is called anywhere inside; an `if` with none gets
    /// `success() &&` in front.
    pub fn has_status_function(&self) -> bool {
        self.any(&|node| {
            matches!(
                node,
                Node::Call(Function::Success | Function::Failure | Function::Cancelled | Function::Always, _)
            )
        })
    }

    /// Whether a node anywhere inside fits a test.
    pub fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        let mut pending = vec![&self.node];
        while let Some(node) = pending.pop() {
            if test(node) {
                return true;
            }
            match node {
                Node::Literal(_) | Node::Context(_) => {}
                Node::Filter(inner) | Node::Not(inner) => pending.push(inner),
                Node::Index(left, right) | Node::Compare(_, left, right) => {
                    pending.extend([&**left, &**right])
                }
                Node::Call(_, inner) | Node::And(inner) | Node::Or(inner) => pending.extend(inner),
            }
        }
        false
    }
}

/// A node and how many levels it has.
type Sized = (Node, usize);

struct Parser<'p, 't> {
    text: &'t str,
    may: &'p Availability,
    tokens: &'p [Token<'t>],
    next: usize,
    /// Open groups, calls and indexes: the recursion of this parser, limited apart from the tree's depth.
    groups: usize,
}

/// How many parentheses may be open at once. They don't count as levels on GitHub.
const GROUPS_MAX: usize = 200;

impl<'t> Parser<'_, 't> {
    fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next)
    }

    fn take_operator(&mut self, wanted: &[&str]) -> Option<&'t str> {
        let raw = self.peek().filter(|token| token.kind == Kind::Operator).map(|token| token.raw)?;
        wanted.contains(&raw).then(|| {
            self.next += 1;
            raw
        })
    }

    fn take(&mut self, wanted: &Kind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == *wanted);
        self.next += usize::from(found);
        found
    }

    fn too_deep(&self) -> ParseError {
        ParseError::whole(format!("Exceeded max expression depth {EXPRESSION_DEPTH_MAX}"), self.text)
    }

    fn above(&self, node: Node, below: usize) -> Result<Sized, ParseError> {
        if below >= EXPRESSION_DEPTH_MAX { Err(self.too_deep()) } else { Ok((node, below + 1)) }
    }

    fn or(&mut self) -> Result<Sized, ParseError> {
        let first = self.and()?;
        let mut parts = vec![first];
        while self.take_operator(&["||"]).is_some() {
            parts.push(self.and()?);
        }
        self.joined(parts, Node::Or)
    }

    fn and(&mut self) -> Result<Sized, ParseError> {
        let first = self.equality()?;
        let mut parts = vec![first];
        while self.take_operator(&["&&"]).is_some() {
            parts.push(self.equality()?);
        }
        self.joined(parts, Node::And)
    }

    fn joined(&self, mut parts: Vec<Sized>, join: fn(Vec<Node>) -> Node) -> Result<Sized, ParseError> {
        if parts.len() == 1 {
            return parts.pop().ok_or_else(|| self.too_deep());
        }
        let below = parts.iter().map(|(_, levels)| *levels).max().unwrap_or(0);
        self.above(join(parts.into_iter().map(|(node, _)| node).collect()), below)
    }

    fn equality(&mut self) -> Result<Sized, ParseError> {
        let mut left = self.relation()?;
        while let Some(raw) = self.take_operator(&["==", "!="]) {
            let right = self.relation()?;
            left = self.compared(raw, left, right)?;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Result<Sized, ParseError> {
        let mut left = self.unary()?;
        while let Some(raw) = self.take_operator(&["<", "<=", ">", ">="]) {
            let right = self.unary()?;
            left = self.compared(raw, left, right)?;
        }
        Ok(left)
    }

    fn compared(&self, raw: &str, left: Sized, right: Sized) -> Result<Sized, ParseError> {
        let comparison = match raw {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "!=" => Comparison::NotEqual,
            _ => Comparison::Equal,
        };
        let below = left.1.max(right.1);
        self.above(Node::Compare(comparison, Box::new(left.0), Box::new(right.0)), below)
    }

    fn unary(&mut self) -> Result<Sized, ParseError> {
        let mut nots = 0;
        while self.take_operator(&["!"]).is_some() {
            nots += 1;
        }
        let mut node = self.postfix()?;
        for _ in 0..nots {
            node = self.above(Node::Not(Box::new(node.0)), node.1)?;
        }
        Ok(node)
    }

    fn postfix(&mut self) -> Result<Sized, ParseError> {
        let mut left = self.primary()?;
        loop {
            if self.take(&Kind::Dereference) {
                left = match self.peek().map(|token| (token.kind.clone(), token.raw)) {
                    Some((Kind::Wildcard, _)) => self.above(Node::Filter(Box::new(left.0)), left.1)?,
                    Some((_, raw)) => {
                        let name = Node::Literal(Literal::Text(raw.to_owned()));
                        self.above(Node::Index(Box::new(left.0), Box::new(name)), left.1)?
                    }
                    None => return Err(self.unexpected_end()),
                };
                self.next += 1;
            } else if self.take(&Kind::StartIndex) {
                if self.take(&Kind::Wildcard) {
                    left = self.above(Node::Filter(Box::new(left.0)), left.1)?;
                } else {
                    let index = self.grouped()?;
                    let below = left.1.max(index.1);
                    left = self.above(Node::Index(Box::new(left.0), Box::new(index.0)), below)?;
                }
                self.close(&Kind::EndIndex)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn grouped(&mut self) -> Result<Sized, ParseError> {
        if self.groups >= GROUPS_MAX {
            return Err(self.too_deep());
        }
        self.groups += 1;
        let inner = self.or();
        self.groups -= 1;
        inner
    }

    fn close(&mut self, wanted: &Kind) -> Result<(), ParseError> {
        if self.take(wanted) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(token) => ParseError::at("Unexpected symbol", token.raw, token.at, self.text),
            None => self.unexpected_end(),
        })
    }

    fn unexpected_end(&self) -> ParseError {
        let (raw, at) = self.tokens.last().map_or(("", 0), |token| (token.raw, token.at));
        ParseError::at("Unexpected end of expression", raw, at, self.text)
    }

    fn primary(&mut self) -> Result<Sized, ParseError> {
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected_end()) };
        self.next += 1;
        let leaf = |node| Ok((node, 1));
        match token.kind {
            Kind::Null => leaf(Node::Literal(Literal::Null)),
            Kind::Bool(value) => leaf(Node::Literal(Literal::Bool(value))),
            Kind::Number(number) => leaf(Node::Literal(Literal::Number(number))),
            Kind::Text(text) => leaf(Node::Literal(Literal::Text(text))),
            Kind::Named => leaf(Node::Context(token.raw.to_ascii_lowercase())),
            Kind::StartGroup => {
                let inner = self.grouped()?;
                self.close(&Kind::EndGroup)?;
                Ok(inner)
            }
            Kind::Function => self.call(&token),
            _ => Err(ParseError::at("Unexpected symbol", token.raw, token.at, self.text)),
        }
    }

    fn call(&mut self, name: &Token<'t>) -> Result<Sized, ParseError> {
        let Some(function) = self.may.function(name.raw) else {
            return Err(ParseError::at("Unrecognized function", name.raw, name.at, self.text));
        };
        let opening = self.peek().cloned().unwrap_or_else(|| name.clone());
        self.close(&Kind::StartParameters)?;
        let (mut arguments, mut below) = (Vec::new(), 0);
        if !self.take(&Kind::EndParameters) {
            loop {
                let (argument, levels) = self.grouped()?;
                below = below.max(levels);
                arguments.push(argument);
                if !self.take(&Kind::Separator) {
                    break;
                }
            }
            self.close(&Kind::EndParameters)?;
        }
        let (least, most) = self.may.arguments(function);
        // GitHub names the opening parenthesis here.
        let refused = |what| Err(ParseError::at(what, opening.raw, opening.at, self.text));
        if arguments.len() < least {
            return refused("Too few parameters supplied");
        }
        if arguments.len() > most {
            return refused("Too many parameters supplied");
        }
        if function == Function::Case && arguments.len() % 2 == 0 {
            return refused("Even number of parameters supplied, requires an odd number of parameters");
        }
        self.above(Node::Call(function, arguments), below)
    }
}
