//! Evaluation. The tree is at most [`super::EXPRESSION_DEPTH_MAX`] levels deep, so recursion is bounded.

use std::cmp::Ordering;

use super::Contexts;
use super::functions::{self, Function};
use super::parse::{Comparison, Expression, Node};
use super::value::Value;

/// A value, and whether it came out of a `.*`: an index on it then applies to each item.
struct Found {
    value: Value,
    filtered: bool,
}

impl From<Value> for Found {
    fn from(value: Value) -> Self {
        Self { value, filtered: false }
    }
}

impl Expression {
    /// The expression's value.
    ///
    /// # Errors
    /// GitHub's text for calls that fail: `fromJSON`, `format`, `case`, `hashFiles`.
    pub fn evaluate(&self, contexts: &Contexts<'_>) -> Result<Value, String> {
        evaluate(&self.node, contexts).map(|found| found.value)
    }
}

fn evaluate(node: &Node, contexts: &Contexts<'_>) -> Result<Found, String> {
    let value = |node: &Node| evaluate(node, contexts).map(|found| found.value);
    Ok(match node {
        Node::Literal(literal) => literal.value().into(),
        Node::Context(name) => contexts.get(name).into(),
        Node::Not(inner) => Value::Bool(!value(inner)?.is_truthy()).into(),
        Node::And(parts) => first(parts, contexts, false)?,
        Node::Or(parts) => first(parts, contexts, true)?,
        Node::Compare(comparison, left, right) => {
            Value::Bool(compare(*comparison, &value(left)?, &value(right)?)).into()
        }
        Node::Filter(inner) => filter(evaluate(inner, contexts)?),
        Node::Index(left, key) => index(evaluate(left, contexts)?, &value(key)?),
        Node::Call(function, arguments) => call(*function, arguments, contexts)?.into(),
    })
}

/// `&&` and `||` give the operand that decided, or the last one.
fn first(parts: &[Node], contexts: &Contexts<'_>, wanted: bool) -> Result<Found, String> {
    let mut last = Found::from(Value::Null);
    for part in parts {
        last = evaluate(part, contexts)?;
        if last.value.is_truthy() == wanted {
            break;
        }
    }
    Ok(last)
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    let order = || left.loosely_compares(right);
    let equal = || left.loosely_equals(right);
    match comparison {
        Comparison::Equal => equal(),
        Comparison::NotEqual => !equal(),
        Comparison::Less => order() == Some(Ordering::Less),
        Comparison::Greater => order() == Some(Ordering::Greater),
        Comparison::LessOrEqual => equal() || order() == Some(Ordering::Less),
        Comparison::GreaterOrEqual => equal() || order() == Some(Ordering::Greater),
    }
}

fn filter(found: Found) -> Found {
    let items = functions::filtered(&found.value);
    let items = match found.filtered {
        true => items.iter().flat_map(functions::filtered).collect(),
        false => items,
    };
    Found { value: Value::from(items), filtered: true }
}

fn index(found: Found, key: &Value) -> Found {
    match (&found.value, found.filtered) {
        (Value::List(items), true) => {
            let items: Vec<Value> = items.iter().filter_map(|item| entry(item, key)).collect();
            Found { value: Value::from(items), filtered: true }
        }
        (value, _) => entry(value, key).unwrap_or(Value::Null).into(),
    }
}

fn entry(value: &Value, key: &Value) -> Option<Value> {
    match value {
        Value::Object(object) if key.is_primitive() => object.get(&key.to_text()).cloned(),
        Value::List(items) => position(key).and_then(|position| items.get(position).cloned()),
        _ => None,
    }
}

fn position(key: &Value) -> Option<usize> {
    let number = key.to_number().floor();
    let fits = (0.0..=f64::from(i32::MAX)).contains(&number) && key.to_number() >= 0.0;
    fits.then_some(number as usize)
}

fn call(function: Function, arguments: &[Node], contexts: &Contexts<'_>) -> Result<Value, String> {
    let value = |node: &Node| evaluate(node, contexts).map(|found| found.value);
    match function {
        Function::Case => case(arguments, contexts),
        Function::Format => {
            let (template, holes) = arguments.split_first().ok_or("format needs a format string")?;
            let mut argument = |at: usize| holes.get(at).map_or(Ok(Value::Null), value);
            functions::format(&value(template)?.to_text(), holes.len(), &mut argument).map(Value::Text)
        }
        _ => {
            let arguments = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            functions::call(function, &arguments, contexts)
        }
    }
}

fn case(arguments: &[Node], contexts: &Contexts<'_>) -> Result<Value, String> {
    for pair in arguments.chunks(2) {
        let [condition, chosen] = pair else {
            return pair.first().map_or(Ok(Value::Null), |default| Ok(evaluate(default, contexts)?.value));
        };
        match evaluate(condition, contexts)?.value {
            Value::Bool(true) => return Ok(evaluate(chosen, contexts)?.value),
            Value::Bool(false) => {}
            _ => return Err("case predicate must evaluate to a boolean value".to_owned()),
        }
    }
    Ok(Value::Null)
}
