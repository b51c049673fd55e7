//! Evaluates expressions.
//!
//! Follows the Terraform language (<https://developer.hashicorp.com/terraform/language/expressions>)
//! with one addition: an unknown value says why it is unknown, and everything made from it says the
//! same. What is wrong is reported once, where it stands, and is unknown from there on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use landfall_types::tree::Key;
use landfall_types::{Finding, SourceId, SourceMap, Span};

use super::calls::Instances;
use super::doubts::{About, Doubt};
use super::functions;
use super::library::Disk;
use super::model::Settings;
use super::module::Module;
use super::scope::Scope;
use super::states::State;
use super::syntax::{Binary, Block, Expr, ExprKind, For, ObjectKey, Step, Unary};
use super::value::{self, Kind, Object, Value};

/// Expressions inside expressions, references followed, that are entered at most.
const DEPTH_MAX: u32 = 160;
/// Evaluation steps for a root module with all that it calls; a step is an expression, an element or 64 bytes of text.
const STEPS_MAX: u64 = 4_000_000;
/// Bytes of one text that is put together.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Levels of a value that is kept, as deep as the JSON that is read.
const VALUE_LEVELS_MAX: usize = 60;
/// Parts of a value that is kept.
const VALUE_PARTS_MAX: usize = 100_000;
/// Findings of a root module.
const FINDINGS_MAX: usize = 1_000;

/// Where something is unknown, and what.
type Place = (Span, String);

/// What all modules of one root module have in common.
#[derive(Default)]
struct Shared {
    findings: RefCell<Vec<Finding>>,
    /// What is unknown, by cause.
    unknowns: RefCell<BTreeMap<Rc<str>, Vec<Place>>>,
    objects: RefCell<Vec<Rc<Object>>>,
    /// Why not all instances of a resource are known, and where that is written, by its address.
    missing: RefCell<BTreeMap<String, (Rc<str>, Span)>>,
    doubts: RefCell<Vec<Doubt>>,
    depth: Cell<u32>,
    steps: Cell<u64>,
}

/// The call that a module is evaluated for.
pub(super) struct Call<'a> {
    /// The module that calls.
    pub caller: Weak<Evaluator<'a>>,
    pub block: &'a Block,
    /// `each` or `count` of the instance.
    pub scope: Scope,
    /// `module.NAME`, with the key of the instance.
    pub address: String,
}

/// What is read of the files around the root module.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub settings: &'a Settings,
    pub sources: &'a SourceMap,
    /// The files that were given with the root module.
    pub files: &'a [SourceId],
    pub disk: &'a dyn Disk,
    /// The states of all root modules, where one of them is read.
    pub states: &'a [State],
    /// Which of them is the root module's own.
    pub own: usize,
}

/// Evaluates the expressions of one module. Answers to references are kept.
pub(super) struct Evaluator<'a> {
    pub module: &'a Module<'a>,
    pub modules: &'a [Module<'a>],
    pub settings: &'a Settings,
    pub sources: &'a SourceMap,
    pub reading: Reading<'a>,
    /// None for the root module.
    pub call: Option<Call<'a>>,
    pub this: Weak<Evaluator<'a>>,
    pub called_modules: RefCell<BTreeMap<String, Instances<'a>>>,
    shared: Rc<Shared>,
    answers: RefCell<HashMap<String, Value>>,
    in_progress: RefCell<Vec<String>>,
}

impl<'a> Evaluator<'a> {
    /// The root module, the first of the modules.
    pub fn root(modules: &'a [Module<'a>], reading: Reading<'a>) -> Option<Rc<Self>> {
        Self::new(modules, 0, reading, None, Rc::default())
    }

    /// The module of a call.
    pub fn of_call(&self, index: usize, call: Call<'a>) -> Option<Rc<Self>> {
        Self::new(self.modules, index, self.reading, Some(call), Rc::clone(&self.shared))
    }

    fn new(
        modules: &'a [Module<'a>],
        index: usize,
        reading: Reading<'a>,
        call: Option<Call<'a>>,
        shared: Rc<Shared>,
    ) -> Option<Rc<Self>> {
        let module = modules.get(index)?;
        Some(Rc::new_cyclic(|this| Self {
            module,
            modules,
            settings: reading.settings,
            sources: reading.sources,
            reading,
            call,
            this: this.clone(),
            called_modules: RefCell::default(),
            shared,
            answers: RefCell::default(),
            in_progress: RefCell::default(),
        }))
    }

    /// The value of an expression.
    pub fn eval(&self, expr: &Expr, scope: &Scope) -> Value {
        let depth = self.shared.depth.get();
        if depth >= DEPTH_MAX {
            let message = format!("expressions and references are nested deeper than {DEPTH_MAX} levels");
            return self.fail("terraform-limit", message, expr.span, "given up here");
        }
        if !self.spend(1) {
            return self.out_of_steps(expr.span);
        }
        self.shared.depth.set(depth + 1);
        let value = self.eval_kind(expr, scope);
        self.shared.depth.set(depth);
        value
    }

    fn eval_kind(&self, expr: &Expr, scope: &Scope) -> Value {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Null => Value::null(span),
            ExprKind::Bool(value) => Value::bool(*value, span),
            ExprKind::Number(number) => Value::number(*number, span),
            ExprKind::Text(text) => Value::text(text.as_str(), span),
            ExprKind::Template(parts) => self.template(parts, span, scope),
            ExprKind::List(items) => {
                Value::list(items.iter().map(|item| self.eval(item, scope)).collect(), span)
            }
            ExprKind::Object(entries) => self.object_value(entries, span, scope),
            ExprKind::Name(_) => self.traversal(expr, &[], span, scope),
            ExprKind::Traversal(root, steps) => self.traversal(root, steps, span, scope),
            ExprKind::Call { name, args, expand_final } => {
                functions::call(self, name, args, *expand_final, span, scope)
            }
            ExprKind::Conditional(branches) => self.conditional(branches, scope),
            ExprKind::Unary(operator, operand) => self.unary(*operator, operand, span, scope),
            ExprKind::Binary(operator, operands) => self.binary(*operator, operands, span, scope),
            ExprKind::For(expression) => self.for_expression(expression, span, scope),
            ExprKind::Group(inner) => self.eval(inner, scope),
        }
    }

    fn object_value(&self, entries: &[(ObjectKey, Expr)], span: Span, scope: &Scope) -> Value {
        let mut made = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = match key {
                ObjectKey::Word(word, span) => value::key(word.as_str(), *span),
                ObjectKey::Expr(expr) => match self.key_text(&self.eval(expr, scope), expr.span) {
                    Ok(text) => value::key(&*text, expr.span),
                    Err(unknown) => return unknown.at(span),
                },
            };
            made.push((key, self.eval(value, scope)));
        }
        Value::map(made, span)
    }

    /// A key of a map, or what the whole map is when the key can't be had.
    fn key_text(&self, key: &Value, span: Span) -> Result<Rc<str>, Value> {
        if key.as_unknown().is_some() {
            return Err(key.clone());
        }
        key.as_text().ok_or_else(|| {
            let message = format!("Incorrect key type: a key must be a string, found {}", key.kind_name());
            self.fail("terraform-value", message, span, "this is the key")
        })
    }

    fn conditional(&self, branches: &[Expr; 3], scope: &Scope) -> Value {
        let [condition, then, otherwise] = branches;
        let decision = self.eval(condition, scope);
        if let Kind::Unknown(_) = decision.kind {
            return decision.at(condition.span);
        }
        match decision.as_bool() {
            Some(true) => self.eval(then, scope),
            Some(false) => self.eval(otherwise, scope),
            None => {
                let message = format!(
                    "Incorrect condition type: the condition must be true or false, found {}",
                    decision.kind_name()
                );
                self.fail("terraform-value", message, condition.span, "this is the condition")
            }
        }
    }

    fn unary(&self, operator: Unary, operand: &Expr, span: Span, scope: &Scope) -> Value {
        let value = self.eval(operand, scope);
        if value.as_unknown().is_some() {
            return value;
        }
        let result = match operator {
            Unary::Minus => value.as_number().map(|number| Value::number(-number, span)),
            Unary::Not => value.as_bool().map(|value| Value::bool(!value, span)),
        };
        result.unwrap_or_else(|| self.unsuitable_operand(&value, operand.span))
    }

    fn unsuitable_operand(&self, value: &Value, span: Span) -> Value {
        let message = format!("Invalid operand: {} does not fit this operator", value.kind_name());
        self.fail("terraform-value", message, span, "this is the operand")
    }

    fn binary(&self, operator: Binary, operands: &[Expr; 2], span: Span, scope: &Scope) -> Value {
        let [left, right] = operands;
        let (a, b) = (self.eval(left, scope), self.eval(right, scope));
        match operator {
            Binary::Equal | Binary::NotEqual => {
                if !self.spend_on(&[a.clone(), b.clone()]) {
                    return self.out_of_steps(span);
                }
                let Some(same) = a.equals(&b) else {
                    let cause = a.cause().or_else(|| b.cause());
                    return Value::unknown(cause.unwrap_or_else(|| "a part of it is unknown".into()), span);
                };
                return Value::bool(same == (operator == Binary::Equal), span);
            }
            // One operand can decide these alone.
            Binary::And if a.as_bool() == Some(false) || b.as_bool() == Some(false) => {
                return Value::bool(false, span);
            }
            Binary::Or if a.as_bool() == Some(true) || b.as_bool() == Some(true) => {
                return Value::bool(true, span);
            }
            _ => {}
        }
        if let Some(unknown) = [&a, &b].into_iter().find(|value| value.as_unknown().is_some()) {
            return unknown.clone().at(span);
        }
        if matches!(operator, Binary::And | Binary::Or) {
            return match (a.as_bool(), b.as_bool()) {
                (Some(_), Some(_)) => Value::bool(operator == Binary::And, span),
                (None, _) => self.unsuitable_operand(&a, left.span),
                (_, None) => self.unsuitable_operand(&b, right.span),
            };
        }
        match (a.as_number(), b.as_number()) {
            (Some(x), Some(y)) => self.arithmetic(operator, x, y, span),
            (None, _) => self.unsuitable_operand(&a, left.span),
            (_, None) => self.unsuitable_operand(&b, right.span),
        }
    }

    fn arithmetic(&self, operator: Binary, x: f64, y: f64, span: Span) -> Value {
        let number = match operator {
            Binary::LessEqual => return Value::bool(x <= y, span),
            Binary::GreaterEqual => return Value::bool(x >= y, span),
            Binary::Less => return Value::bool(x < y, span),
            Binary::Greater => return Value::bool(x > y, span),
            Binary::Plus => x + y,
            Binary::Minus => x - y,
            Binary::Times => x * y,
            Binary::Divide => x / y,
            Binary::Modulo => x % y,
            Binary::Equal | Binary::NotEqual | Binary::And | Binary::Or => f64::NAN,
        };
        if number.is_finite() {
            return Value::number(number, span);
        }
        self.fail("terraform-value", "Invalid operation: the result is not a number", span, "here")
    }

    fn for_expression(&self, expression: &For, span: Span, scope: &Scope) -> Value {
        let collection = self.eval(&expression.collection, scope);
        let elements = match self.elements(&collection, expression.collection.span) {
            Ok(elements) => elements,
            Err(unknown) => return unknown.at(span),
        };
        let mut list = Vec::new();
        let mut map: Vec<(Key, Value)> = Vec::new();
        for (key, element) in elements {
            if !self.spend(1) {
                return self.out_of_steps(span);
            }
            let mut inner = scope.with(&expression.value_name, element);
            if let Some(name) = &expression.key_name {
                inner = inner.with(name, key);
            }
            if let Some(condition) = &expression.condition {
                let decision = self.eval(condition, &inner);
                match decision.as_bool() {
                    Some(true) => {}
                    Some(false) => continue,
                    None if decision.as_unknown().is_some() => return decision.at(span),
                    None => return self.unsuitable_operand(&decision, condition.span),
                }
            }
            let Some(key) = &expression.key else {
                list.push(self.eval(&expression.value, &inner));
                continue;
            };
            match self.key_text(&self.eval(key, &inner), key.span) {
                Ok(text) => map.push((value::key(&*text, key.span), self.eval(&expression.value, &inner))),
                Err(unknown) => return unknown.at(span),
            }
        }
        match (&expression.key, expression.grouping) {
            (None, _) => Value::list(list, span),
            (Some(_), false) => self.unique_keys(map, span),
            (Some(_), true) => grouped(map, span),
        }
    }

    fn unique_keys(&self, entries: Vec<(Key, Value)>, span: Span) -> Value {
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        keys.sort_unstable();
        let repeated = keys.windows(2).find(|pair| pair.first() == pair.last());
        if let Some(key) = repeated.and_then(|pair| pair.first()) {
            let message = format!(
                "Duplicate object key: two different items produced the key \"{key}\" in this 'for' expression"
            );
            return self.fail("terraform-value", message, span, "this expression");
        }
        Value::map(entries, span)
    }

    /// The keys and elements of a collection, or what the whole is when there are none to be had.
    pub fn elements(&self, collection: &Value, span: Span) -> Result<Vec<(Value, Value)>, Value> {
        match &collection.kind {
            Kind::List(items) => {
                let numbered = items.iter().enumerate();
                Ok(numbered.map(|(index, item)| (Value::count(index, item.span), item.clone())).collect())
            }
            Kind::Set(items) => Ok(items.iter().map(|item| (item.clone(), item.clone())).collect()),
            Kind::Map(entries) => {
                let pairs = entries.iter();
                Ok(pairs
                    .map(|(key, item)| (Value::text(key.text.as_str(), key.span), item.clone()))
                    .collect())
            }
            Kind::Unknown(_) => Err(collection.clone()),
            _ => {
                let message = format!(
                    "Iteration over non-iterable value: expected a list, a set or a map, found {}",
                    collection.kind_name()
                );
                Err(self.fail("terraform-value", message, span, "this is iterated over"))
            }
        }
    }

    /// Follows steps from a value; what the provider computes stands at `span`.
    pub fn follow(&self, mut value: Value, steps: &[Step], span: Span, scope: &Scope) -> Value {
        let mut rest = steps;
        while let Some((step, after)) = rest.split_first() {
            rest = after;
            value = match step {
                Step::Attribute(name) => self.attribute_of(&value, name, span),
                Step::Index(index) => {
                    let index = self.eval(index, scope);
                    self.index_of(&value, &index, span)
                }
                Step::FullSplat => return self.splat(&value, rest, span, scope),
                Step::AttributeSplat => {
                    let count = rest.iter().take_while(|step| matches!(step, Step::Attribute(_))).count();
                    let (each, after) = rest.split_at(count);
                    rest = after;
                    self.splat(&value, each, span, scope)
                }
            };
            if let Some(unknown) = value.as_unknown()
                && unknown.failed
            {
                return value;
            }
        }
        value
    }

    fn splat(&self, value: &Value, steps: &[Step], span: Span, scope: &Scope) -> Value {
        let items: Vec<Value> = match &value.kind {
            Kind::Unknown(_) => return value.clone(),
            Kind::Null => Vec::new(),
            Kind::List(items) | Kind::Set(items) => items.to_vec(),
            _ => vec![value.clone()],
        };
        if !self.spend(items.len()) {
            return self.out_of_steps(span);
        }
        Value::list(items.into_iter().map(|item| self.follow(item, steps, span, scope)).collect(), value.span)
    }

    fn attribute_of(&self, value: &Value, name: &str, span: Span) -> Value {
        match &value.kind {
            Kind::Unknown(_) => value.clone(),
            Kind::Resource(handle) => match self.object(handle.index) {
                Some(object) => object.attribute(name, span),
                None => Value::unknown(format!("`{}` was not read", handle.address), span),
            },
            Kind::Map(_) => match value.entry(name) {
                Some(value) => value.clone(),
                None => self.fail(
                    "terraform-reference",
                    format!("Unsupported attribute: this object does not have an attribute named \"{name}\""),
                    span,
                    "this reference",
                ),
            },
            Kind::List(items) if matches!(items.first(), Some(Value { kind: Kind::Resource(_), .. })) => {
                let message = "Missing resource instance key: this resource has \"count\" set, so its \
                               attributes must be accessed on specific instances, such as [0]";
                self.fail("terraform-reference", message, span, "this reference")
            }
            _ => {
                let message = format!(
                    "Unsupported attribute: {} does not have an attribute named \"{name}\"",
                    value.kind_name()
                );
                self.fail("terraform-reference", message, span, "this reference")
            }
        }
    }

    /// `value[index]`.
    pub fn index_of(&self, value: &Value, index: &Value, span: Span) -> Value {
        if let Some(unknown) = [value, index].into_iter().find(|value| value.as_unknown().is_some()) {
            return unknown.clone();
        }
        let found = match &value.kind {
            Kind::List(items) => index.as_index().and_then(|index| items.get(index)).cloned(),
            Kind::Map(_) => index.as_text().and_then(|key| value.entry(&key).cloned()),
            Kind::Resource(_) => index.as_text().map(|name| self.attribute_of(value, &name, span)),
            _ => None,
        };
        found.unwrap_or_else(|| {
            let shown = index.as_text().unwrap_or_else(|| index.kind_name().into());
            let size = value.items().map(<[Value]>::len).or(value.entries().map(<[_]>::len));
            let size = size.map(|size| format!(" with {size} elements")).unwrap_or_default();
            let message =
                format!("Invalid index: {}{size} has no element with the index {shown}", value.kind_name());
            self.fail("terraform-reference", message, span, "this reference")
        })
    }

    /// Evaluates what a name stands for, once: later questions get the same answer.
    pub fn once(&self, name: &str, span: Span, compute: impl FnOnce() -> Value) -> Value {
        if let Some(value) = self.answers.borrow().get(name) {
            return value.clone();
        }
        let cycle = {
            let in_progress = self.in_progress.borrow();
            let start = in_progress.iter().position(|other| other == name);
            start.map(|start| in_progress.get(start..).unwrap_or_default().join(", "))
        };
        if let Some(cycle) = cycle {
            let message = format!("Cycle: {cycle}");
            return self.fail("terraform-cycle", message, span, "this reference closes the circle");
        }
        self.in_progress.borrow_mut().push(name.to_owned());
        let value = self.limited(name, compute());
        self.in_progress.borrow_mut().pop();
        self.answers.borrow_mut().insert(name.to_owned(), value.clone());
        value
    }

    /// The value, unless it is too large or too deep to be kept.
    pub fn limited(&self, name: &str, value: Value) -> Value {
        let mut parts = VALUE_PARTS_MAX;
        let fits = value.fits(VALUE_LEVELS_MAX, &mut parts);
        if !self.spend(VALUE_PARTS_MAX - parts) {
            return self.out_of_steps(value.span);
        }
        if fits {
            return value;
        }
        let message = format!(
            "{name} has more than {VALUE_LEVELS_MAX} levels or {VALUE_PARTS_MAX} parts, which is the limit"
        );
        self.fail("terraform-limit", message, value.span, "this value")
    }

    /// Takes a step for every part of the values; false when there are none left.
    pub fn spend_on(&self, values: &[Value]) -> bool {
        let mut parts = VALUE_PARTS_MAX;
        for value in values {
            if !value.fits(usize::MAX, &mut parts) {
                break;
            }
        }
        // What has more parts than can be kept is charged as if nobody could afford it.
        let spent = if parts == 0 { usize::MAX } else { VALUE_PARTS_MAX - parts };
        self.spend(spent)
    }

    /// Keeps an instance.
    pub fn keep(&self, object: Object) -> Value {
        let mut objects = self.shared.objects.borrow_mut();
        let handle = value::Handle { index: objects.len(), address: object.address.clone() };
        let span = object.span;
        objects.push(Rc::new(object));
        Value::new(Kind::Resource(handle), span)
    }

    /// The instance that a handle names.
    pub fn object(&self, index: usize) -> Option<Rc<Object>> {
        self.shared.objects.borrow().get(index).cloned()
    }

    /// The instance behind a value.
    pub fn object_of(&self, value: &Value) -> Option<Rc<Object>> {
        match &value.kind {
            Kind::Resource(handle) => self.object(handle.index),
            _ => None,
        }
    }

    /// Takes steps from what is left; false when there are none.
    pub fn spend(&self, steps: usize) -> bool {
        let spent = self.shared.steps.get().saturating_add(steps as u64);
        self.shared.steps.set(spent);
        spent <= STEPS_MAX
    }

    pub fn out_of_steps(&self, span: Span) -> Value {
        let message = format!("evaluating this module takes more than {STEPS_MAX} steps, which is the limit");
        if !self.shared.findings.borrow().iter().any(|finding| finding.message == message) {
            self.report(Finding::error("terraform-limit", message.clone()).at(span, "given up here"));
        }
        Value::failed(message, span)
    }

    /// Reports a mistake and gives the value of the wrong expression.
    pub fn fail(&self, rule: &'static str, message: impl Into<String>, span: Span, label: &str) -> Value {
        let message = message.into();
        self.report(Finding::error(rule, message.clone()).at(span, label));
        Value::failed(message, span)
    }

    /// Adds a finding, once.
    pub fn report(&self, finding: Finding) {
        let mut findings = self.shared.findings.borrow_mut();
        let first = |finding: &Finding| finding.labels.first().map(|label| label.span);
        let known = |other: &Finding| {
            other.rule == finding.rule && other.message == finding.message && first(other) == first(&finding)
        };
        if findings.len() < FINDINGS_MAX && !findings.iter().any(known) {
            findings.push(finding);
        }
    }

    /// How many findings there are.
    pub fn finding_count(&self) -> usize {
        self.shared.findings.borrow().len()
    }

    /// Forgets the findings after the first `count`: `try` and `can` ask on their own.
    pub fn forget_findings(&self, count: usize) {
        self.shared.findings.borrow_mut().truncate(count);
    }

    /// Notes that something of the model isn't known; all that have one cause become one finding.
    pub fn note_unknown(&self, cause: &Rc<str>, span: Span, what: impl Into<String>) {
        let mut unknowns = self.shared.unknowns.borrow_mut();
        let places = unknowns.entry(cause.clone()).or_default();
        let what = what.into();
        if !places.iter().any(|(other, text)| *other == span && *text == what) {
            places.push((span, what));
        }
    }

    /// Notes that there may be instances of a resource that are not read.
    pub fn note_missing(&self, address: &str, cause: &Rc<str>, span: Span) {
        let mut missing = self.shared.missing.borrow_mut();
        missing.entry(address.to_owned()).or_insert_with(|| (cause.clone(), span));
    }

    /// Why not all instances of a resource are known, and where that is written.
    pub fn missing(&self, address: &str) -> Option<(Rc<str>, Span)> {
        self.shared.missing.borrow().get(address).cloned()
    }

    /// Notes what isn't known and can't be seen in the model, once.
    pub fn doubt(&self, about: About, because: impl Into<String>, span: Span) {
        let doubt = Doubt { about, because: because.into(), span };
        let mut doubts = self.shared.doubts.borrow_mut();
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }

    /// All that isn't known, of all modules of the root module.
    pub fn take_doubts(&self) -> Vec<Doubt> {
        self.shared.doubts.take()
    }

    /// Everything that was found in all modules of the root module.
    pub fn take_findings(&self) -> Vec<Finding> {
        /// Places of one cause that are shown.
        const PLACES_MAX: usize = 8;
        let mut findings = self.shared.findings.take();
        for (cause, places) in self.shared.unknowns.take() {
            // A mistake that was reported already says it all.
            if findings.iter().any(|finding| *finding.message == *cause) {
                continue;
            }
            let mut finding = Finding::warning("terraform-unknown", cause.to_string());
            for (span, what) in places.iter().take(PLACES_MAX) {
                finding = finding.at(*span, what.as_str());
            }
            if places.len() > PLACES_MAX {
                finding =
                    finding.note(format!("{} more places for the same reason", places.len() - PLACES_MAX));
            }
            findings.push(finding);
        }
        findings
    }
}

/// `{for …: key => value...}`: the values of equal keys in lists.
fn grouped(entries: Vec<(Key, Value)>, span: Span) -> Value {
    let mut groups: BTreeMap<String, (Key, Vec<Value>)> = BTreeMap::new();
    for (key, value) in entries {
        groups.entry(key.text.clone()).or_insert_with(|| (key, Vec::new())).1.push(value);
    }
    Value::map(groups.into_values().map(|(key, values)| (key, Value::list(values, span))).collect(), span)
}
