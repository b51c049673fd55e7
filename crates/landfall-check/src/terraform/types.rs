//! Type constraints of input variables and the conversions that they ask for.
//! <https://developer.hashicorp.com/terraform/language/expressions/type-constraints>

use super::eval::Evaluator;
use super::scope::Scope;
use super::syntax::{Expr, ExprKind, ObjectKey};
use super::value::{self, Kind, Value};

/// Whether a `--var` text for this type is taken as it stands.
pub(super) fn is_primitive(kind: &Expr) -> bool {
    matches!(type_name(kind), Some("string" | "number" | "bool" | "any"))
}

/// The name of a type: a bare word, or in quotes as before Terraform 0.12.
fn type_name(kind: &Expr) -> Option<&str> {
    match &kind.kind {
        ExprKind::Name(name) | ExprKind::Text(name) => Some(name),
        _ => None,
    }
}

/// The value as the type asks for it. A value that doesn't fit is reported; unknown parts stay.
pub(super) fn convert(evaluator: &Evaluator, value: Value, kind: &Expr, variable: &str) -> Value {
    let span = value.span;
    match fit(evaluator, value, kind) {
        Ok(value) => value,
        Err(reason) => {
            let message = format!(
                "Invalid value for input variable: the value for var.{variable} is not suitable: {reason}"
            );
            evaluator.fail("terraform-value", message, span, "this value")
        }
    }
}

fn fit(evaluator: &Evaluator, value: Value, kind: &Expr) -> Result<Value, String> {
    if value.as_unknown().is_some() || value.is_null() {
        return Ok(value);
    }
    let span = value.span;
    let required = |what: &str| format!("{what} required, found {}", value.kind_name());
    if let Some(name) = type_name(kind) {
        return match name {
            "string" => match value.kind {
                Kind::Text(_) | Kind::Json(_) => Ok(value),
                _ => value.as_text().map(|text| Value::text(text, span)).ok_or_else(|| required("string")),
            },
            "number" => value
                .as_number()
                .map(|number| Value::number(number, span))
                .ok_or_else(|| required("a number is")),
            "bool" => value.as_bool().map(|value| Value::bool(value, span)).ok_or_else(|| required("bool")),
            _ => Ok(value),
        };
    }
    let ExprKind::Call { name, args, .. } = &kind.kind else { return Ok(value) };
    match (name.as_str(), args.as_slice()) {
        ("list" | "set", [element]) => {
            let items = value.items().ok_or_else(|| required(&format!("{name} of elements")))?;
            let items: Result<Vec<Value>, String> =
                items.iter().map(|item| fit(evaluator, item.clone(), element)).collect();
            Ok(if name == "set" { Value::set(items?, span) } else { Value::list(items?, span) })
        }
        ("map", [element]) => {
            let entries = value.entries().ok_or_else(|| required("map of elements"))?;
            let entries: Result<Vec<_>, String> = entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), fit(evaluator, item.clone(), element)?)))
                .collect();
            Ok(Value::map(entries?, span))
        }
        ("object", [Expr { kind: ExprKind::Object(attributes), .. }]) => {
            object(evaluator, &value, attributes)
        }
        ("tuple", [Expr { kind: ExprKind::List(kinds), .. }]) => {
            let items = value.items().filter(|items| items.len() == kinds.len());
            let items = items.ok_or_else(|| required(&format!("tuple of {} elements", kinds.len())))?;
            let items: Result<Vec<Value>, String> =
                items.iter().zip(kinds).map(|(item, kind)| fit(evaluator, item.clone(), kind)).collect();
            Ok(Value::list(items?, span))
        }
        _ => Ok(value),
    }
}

/// Attributes that the type doesn't name are dropped, as Terraform does it.
fn object(evaluator: &Evaluator, value: &Value, attributes: &[(ObjectKey, Expr)]) -> Result<Value, String> {
    let entries = value.entries().ok_or_else(|| format!("object required, found {}", value.kind_name()))?;
    let mut kept = Vec::with_capacity(attributes.len());
    for (key, kind) in attributes {
        let (ObjectKey::Word(name, key_span)
        | ObjectKey::Expr(Expr { kind: ExprKind::Text(name), span: key_span })) = key
        else {
            continue;
        };
        let (kind, default, is_optional) = optional(kind);
        let given = entries.iter().find(|(key, _)| key.text == *name);
        let (key, item) = match (given, default) {
            (Some((key, item)), None) => (key.clone(), item.clone()),
            (Some((key, item)), Some(_)) if !item.is_null() => (key.clone(), item.clone()),
            (_, Some(default)) => {
                (value::key(name.as_str(), *key_span), evaluator.eval(default, &Scope::default()))
            }
            (None, None) if is_optional => (value::key(name.as_str(), *key_span), Value::null(*key_span)),
            (None, None) => return Err(format!("attribute \"{name}\" is required")),
        };
        let item = fit(evaluator, item, kind).map_err(|reason| format!("attribute \"{name}\": {reason}"))?;
        kept.push((key, item));
    }
    Ok(Value::map(kept, value.span))
}

/// `optional(type, default)`: the type, the default, and whether it may be left out.
fn optional(kind: &Expr) -> (&Expr, Option<&Expr>, bool) {
    match &kind.kind {
        ExprKind::Call { name, args, .. } if name == "optional" => match args.as_slice() {
            [kind, default, ..] => (kind, Some(default), true),
            [kind] => (kind, None, true),
            [] => (kind, None, true),
        },
        _ => (kind, None, false),
    }
}
