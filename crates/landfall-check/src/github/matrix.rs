//! The legs of a job with `strategy.matrix`. GitHub, "Workflow syntax", `jobs.<job_id>.strategy.matrix`;
//! the order of `exclude` and `include` as the runner's `MatrixBuilder` has it.

use landfall_types::{Node, Tree};

use super::expr::{Contexts, Object, Value};
use super::slot::Slot;
use super::template::Template;

/// The most legs that GitHub makes of one matrix.
pub const LEGS_MAX: usize = 256;

/// The `matrix` context of each leg, in GitHub's order.
///
/// # Errors
/// Why they can't be known, as a phrase.
pub fn legs(matrix: &Tree, contexts: &Contexts<'_>) -> Result<Vec<Object>, String> {
    let Value::Object(matrix) = value(matrix, contexts, Slot::Strategy)? else {
        return Err("the matrix is not a map".to_owned());
    };
    let is_list = |key: &str| matches!(key, "include" | "exclude");
    let list = |key: &str| match matrix.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items.to_vec()),
        Some(_) => Err(format!("`{key}` of the matrix is not a list")),
    };
    let vectors: Vec<(&str, &Value)> = matrix.iter().filter(|(key, _)| !is_list(key)).collect();
    let mut rows = product(&vectors)?;
    for filter in list("exclude")?.iter().filter_map(object) {
        rows.retain(|row| !filter.iter().all(|(key, wanted)| agrees(row.get(key), wanted)));
    }
    let names: Vec<&str> = vectors.iter().map(|(name, _)| *name).collect();
    let mut extended = rows.clone();
    let mut own = Vec::new();
    for entry in list("include")?.iter().filter_map(object) {
        let is_name = |key: &str| names.iter().any(|name| name.eq_ignore_ascii_case(key));
        let mut was_used = false;
        for (row, extended) in rows.iter().zip(&mut extended) {
            let fits = entry.iter().filter(|(key, _)| is_name(key)).all(|(key, it)| agrees(row.get(key), it));
            if fits {
                was_used = true;
                for (key, extra) in entry.iter().filter(|(key, _)| !is_name(key)) {
                    extended.set(key, extra.clone());
                }
            }
        }
        if !was_used {
            own.push(entry.clone());
        }
    }
    extended.extend(own);
    match extended.len() {
        0 => Err("the matrix has no legs".to_owned()),
        count if count > LEGS_MAX => Err(format!("the matrix has {count} legs, at most {LEGS_MAX} are made")),
        _ => Ok(extended),
    }
}

fn product(vectors: &[(&str, &Value)]) -> Result<Vec<Object>, String> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = vec![Object::new()];
    for (name, vector) in vectors {
        let Value::List(values) = vector else { return Err(format!("`{name}` of the matrix is not a list")) };
        if rows.len().saturating_mul(values.len()) > LEGS_MAX {
            return Err(format!("the matrix has more than {LEGS_MAX} legs"));
        }
        let with = |row: &Object| -> Vec<Object> {
            values.iter().map(|value| row.clone().with(*name, value.clone())).collect()
        };
        rows = rows.iter().flat_map(with).collect();
    }
    Ok(rows)
}

fn object(value: &Value) -> Option<&Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn agrees(value: Option<&Value>, wanted: &Value) -> bool {
    value.is_some_and(|value| match (object(value), object(wanted)) {
        (Some(value), Some(wanted)) => wanted.iter().all(|(key, it)| agrees(value.get(key), it)),
        _ => value.loosely_equals(wanted),
    })
}

/// A leg as its job's name shows it: `prod, eu-west-1`.
pub fn label(leg: &Object) -> String {
    let scalars = leg.iter().filter(|(_, value)| value.is_primitive()).map(|(_, value)| value.to_text());
    scalars.collect::<Vec<_>>().join(", ")
}

/// A tree with its expressions evaluated.
pub(super) fn value(tree: &Tree, contexts: &Contexts<'_>, slot: Slot) -> Result<Value, String> {
    match &tree.node {
        Node::List(items) => {
            let items: Result<Vec<Value>, String> =
                items.iter().map(|item| value(item, contexts, slot)).collect();
            Ok(Value::List(items?.into()))
        }
        Node::Map(entries) => {
            let mut object = Object::new();
            for (key, entry) in entries {
                object.set(key.text.as_str(), value(entry, contexts, slot)?);
            }
            Ok(object.into())
        }
        _ => {
            let mut findings = Vec::new();
            let template = Template::read(tree, slot, &mut findings);
            let template =
                template.filter(|_| findings.is_empty()).ok_or("it holds an expression that is not valid")?;
            if template.mentions("needs") && matches!(contexts.get("needs"), Value::Null) {
                return Err(format!("`{}` is made by an earlier job", template.text));
            }
            template.evaluate(contexts).map_err(|error| error.to_string())
        }
    }
}
