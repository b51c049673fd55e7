//! The functions of expressions. GitHub, "Evaluate expressions in workflows and actions", Functions.

use std::sync::Arc;

use super::json;
use super::value::{Value, upper};
use super::{Contexts, Outcome, push_limited};

/// A function's name, in any case in the source.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Function {
    /// `contains(search, item)`
    Contains,
    /// `startsWith(text, start)`
    StartsWith,
    /// `endsWith(text, end)`
    EndsWith,
    /// `format('{0}', …)`
    Format,
    /// `join(list, separator)`
    Join,
    /// `toJSON(value)`
    ToJson,
    /// `fromJSON(text)`
    FromJson,
    /// `hashFiles(pattern, …)`
    HashFiles,
    /// `case(condition, value, …, default)`
    Case,
    /// `success()`
    Success,
    /// `failure()`
    Failure,
    /// `cancelled()`
    Cancelled,
    /// `always()`
    Always,
}

struct Row {
    function: Function,
    name: &'static str,
    least: usize,
    most: usize,
}

const fn row(function: Function, name: &'static str, least: usize, most: usize) -> Row {
    Row { function, name, least, most }
}

/// Every function with how many arguments it takes.
const FUNCTIONS: &[Row] = &[
    row(Function::Contains, "contains", 2, 2),
    row(Function::StartsWith, "startsWith", 2, 2),
    row(Function::EndsWith, "endsWith", 2, 2),
    row(Function::Format, "format", 1, 255),
    row(Function::Join, "join", 1, 2),
    row(Function::ToJson, "toJSON", 1, 1),
    row(Function::FromJson, "fromJSON", 1, 1),
    row(Function::HashFiles, "hashFiles", 1, 255),
    row(Function::Case, "case", 3, 255),
    row(Function::Success, "success", 0, 0),
    row(Function::Failure, "failure", 0, 0),
    row(Function::Cancelled, "cancelled", 0, 0),
    row(Function::Always, "always", 0, 0),
];

impl Function {
    /// The function of a name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).map(|row| row.function)
    }

    /// The name as the documentation writes it.
    pub fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|row| row.function == self).map_or("", |row| row.name)
    }

    /// The fewest and the most arguments it takes.
    pub fn arguments(self) -> (usize, usize) {
        FUNCTIONS.iter().find(|row| row.function == self).map_or((0, 0), |row| (row.least, row.most))
    }
}

/// Calls a function whose arguments are all evaluated; `case` and `format` are not here, they choose.
pub(super) fn call(
    function: Function,
    arguments: &[Value],
    contexts: &Contexts<'_>,
) -> Result<Value, String> {
    let argument = |index: usize| arguments.get(index).cloned().unwrap_or(Value::Null);
    let (first, second) = (argument(0), argument(1));
    Ok(match function {
        Function::Contains => Value::Bool(contains(&first, &second)),
        Function::StartsWith => {
            Value::Bool(texts(&first, &second).is_some_and(|(text, start)| text.starts_with(&start)))
        }
        Function::EndsWith => {
            Value::Bool(texts(&first, &second).is_some_and(|(text, end)| text.ends_with(&end)))
        }
        Function::Join => Value::Text(join(&first, arguments.get(1))?),
        Function::ToJson => Value::Text(json::to_json(&first)),
        Function::FromJson => json::from_json(&first.to_text()).map_err(|why| from_json_error(&why))?,
        Function::HashFiles => {
            let patterns: Vec<String> = arguments.iter().map(Value::to_text).collect();
            let hash =
                contexts.hash_files.ok_or("hashFiles('…') cannot be answered here: no files are at hand")?;
            Value::Text(hash(&patterns)?)
        }
        Function::Success => Value::Bool(succeeded(arguments, contexts)),
        Function::Failure => Value::Bool(failed(arguments, contexts)),
        Function::Cancelled => Value::Bool(contexts.status.cancelled),
        Function::Always => Value::Bool(true),
        // INVARIANT: the evaluator handles both before their arguments are evaluated.
        Function::Case | Function::Format => Value::Null,
    })
}

fn from_json_error(why: &str) -> String {
    format!("Error parsing fromJson: {why}")
}

fn texts(left: &Value, right: &Value) -> Option<(String, String)> {
    let both = left.is_primitive() && right.is_primitive();
    both.then(|| (upper(&left.to_text()), upper(&right.to_text())))
}

fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::List(items) => items.iter().any(|candidate| candidate.loosely_equals(item)),
        _ => texts(search, item).is_some_and(|(text, part)| text.contains(&part)),
    }
}

fn join(items: &Value, separator: Option<&Value>) -> Result<String, String> {
    let items = match items {
        Value::List(items) => items,
        Value::Object(_) => return Ok(String::new()),
        _ => return Ok(items.to_text()),
    };
    let separator = separator.filter(|value| value.is_primitive());
    let separator = separator.map_or_else(|| ",".to_owned(), Value::to_text);
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            push_limited(&mut text, &separator)?;
        }
        push_limited(&mut text, &item.to_text())?;
    }
    Ok(text)
}

fn result_of(id: &Value, contexts: &Contexts<'_>) -> Option<Outcome> {
    let id = id.to_text();
    contexts.job_results.iter().find(|(known, _)| known.eq_ignore_ascii_case(&id)).map(|(_, result)| *result)
}

fn succeeded(jobs: &[Value], contexts: &Contexts<'_>) -> bool {
    match jobs {
        [] => contexts.status.success,
        _ => jobs.iter().all(|id| result_of(id, contexts) == Some(Outcome::Success)),
    }
}

fn failed(jobs: &[Value], contexts: &Contexts<'_>) -> bool {
    match jobs {
        [] => contexts.status.failure,
        _ => jobs.iter().any(|id| result_of(id, contexts) == Some(Outcome::Failure)),
    }
}

/// `format`: `{0}` and the like, `{{` and `}}` for braces.
pub(super) fn format(
    template: &str,
    argument_count: usize,
    argument: &mut dyn FnMut(usize) -> Result<Value, String>,
) -> Result<String, String> {
    let invalid = || format!("The following format string is invalid: {template}");
    let mut cache: Vec<Option<Value>> = vec![None; argument_count];
    let mut result = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        result.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at..).unwrap_or("");
        if let Some(after) = rest.strip_prefix("{{") {
            result.push('{');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("}}") {
            result.push('}');
            rest = after;
        } else {
            let (index, specifiers, after) = hole(rest).ok_or_else(invalid)?;
            let slot = cache.get_mut(index).ok_or_else(|| {
                format!(
                    "The following format string references more arguments than were supplied: {template}"
                )
            })?;
            let value = match slot {
                Some(value) => value,
                None => slot.insert(argument(index)?),
            };
            if !specifiers.is_empty() {
                return Err(format!(
                    "The format specifiers '{specifiers}' are not valid for objects of type '{}'",
                    value.kind()
                ));
            }
            push_limited(&mut result, &value.to_text())?;
            rest = after;
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// `{N}` or `{N:specifiers}` at the start: the number, the specifiers and what follows.
fn hole(text: &str) -> Option<(usize, String, &str)> {
    let inside = text.strip_prefix('{')?;
    let digits = inside.find(|character: char| !character.is_ascii_digit())?;
    let (number, after) = inside.split_at_checked(digits)?;
    let index = usize::from(number.parse::<u8>().ok()?);
    if let Some(after) = after.strip_prefix('}') {
        return Some((index, String::new(), after));
    }
    let mut rest = after.strip_prefix(':')?;
    let mut specifiers = String::new();
    loop {
        let at = rest.find('}')?;
        specifiers.push_str(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        match rest.strip_prefix('}') {
            Some(after) => {
                specifiers.push('}');
                rest = after;
            }
            None => return Some((index, specifiers, rest)),
        }
    }
}

/// An object's values or a list's items: what `.*` gives.
pub(super) fn filtered(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => Arc::clone(items).to_vec(),
        Value::Object(object) => object.iter().map(|(_, value)| value.clone()).collect(),
        _ => Vec::new(),
    }
}
