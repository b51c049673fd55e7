//! Functions on lists, sets and maps.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Answer, Call, Stop};
use crate::terraform::value::{self, Kind, Value};

/// Elements that a function can make.
const ELEMENTS_MAX: usize = 10_000;

pub(super) fn evaluate(call: &Call) -> Option<Answer> {
    Some(match call.name {
        "concat" => concat(call),
        "merge" => merge(call),
        "toset" => call.list(0).map(|items| Value::set(items.to_vec(), call.span)),
        "tolist" => call.list(0).map(|items| Value::list(items.to_vec(), call.span)),
        "tomap" => call.map(0).map(|entries| Value::map(entries.to_vec(), call.span)),
        "tostring" => tostring(call),
        "tonumber" => call.number(0).map(|number| Value::number(number, call.span)),
        "tobool" => tobool(call),
        "sensitive" | "nonsensitive" | "ephemeral" => call.arg(0).cloned(),
        "length" => length(call),
        "element" => element(call),
        "lookup" => lookup(call),
        "contains" => contains(call),
        "index" => index(call),
        "keys" => keys(call),
        "values" => call
            .map(0)
            .map(|entries| Value::list(entries.iter().map(|(_, value)| value.clone()).collect(), call.span)),
        "flatten" => flatten(call),
        "distinct" => distinct(call),
        "sort" => sort(call),
        "reverse" => call.list(0).map(|items| Value::list(items.iter().rev().cloned().collect(), call.span)),
        "slice" => slice(call),
        "chunklist" => chunklist(call),
        "compact" => compact(call),
        "coalesce" => coalesce(call),
        "coalescelist" => coalescelist(call),
        "one" => one(call),
        "range" => range(call),
        "zipmap" => zipmap(call),
        "setproduct" => setproduct(call),
        "setunion" => setunion(call),
        "setintersection" => set_of(call, |found, all| found == all),
        "setsubtract" => setsubtract(call),
        "alltrue" => all_or_any(call, true),
        "anytrue" => all_or_any(call, false),
        "sum" => sum(call),
        "matchkeys" => matchkeys(call),
        "transpose" => transpose(call),
        _ => return None,
    })
}

fn concat(call: &Call) -> Answer {
    let mut items = Vec::new();
    for index in 0..call.args.len() {
        items.extend_from_slice(call.list(index)?);
    }
    Ok(Value::list(items, call.span))
}

fn merge(call: &Call) -> Answer {
    let mut entries = Vec::new();
    for index in 0..call.args.len() {
        if !call.arg(index)?.is_null() {
            entries.extend_from_slice(call.map(index)?);
        }
    }
    Ok(Value::map(entries, call.span))
}

fn tostring(call: &Call) -> Answer {
    call.count(1, 1)?;
    let value = call.arg(0)?;
    match value.kind {
        Kind::Null | Kind::Text(_) | Kind::Json(_) => Ok(value.clone()),
        _ => Ok(Value::text(call.text(0)?, value.span)),
    }
}

fn tobool(call: &Call) -> Answer {
    let value = call.arg(0)?;
    match value.as_bool() {
        Some(boolean) => Ok(Value::bool(boolean, call.span)),
        None => call.wrong(format!("expected true or false, found {}", value.kind_name())),
    }
}

fn length(call: &Call) -> Answer {
    call.count(1, 1)?;
    let value = call.arg(0)?;
    let length = match &value.kind {
        Kind::List(items) | Kind::Set(items) => items.len(),
        Kind::Map(entries) => entries.len(),
        Kind::Text(_) | Kind::Json(_) => call.text(0)?.chars().count(),
        _ => return call.wrong(format!("expected a collection or a string, found {}", value.kind_name())),
    };
    Ok(Value::count(length, call.span))
}

fn element(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (items, index) = (call.list(0)?, call.number(1)?);
    if items.is_empty() {
        return call.wrong("cannot use element function with an empty list");
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // within the list
    let position = index.trunc().rem_euclid(items.len() as f64) as usize;
    Ok(items.get(position).cloned().unwrap_or_else(|| Value::null(call.span)))
}

fn lookup(call: &Call) -> Answer {
    call.count(2, 3)?;
    let key = call.text(1)?;
    let entries = call.map(0)?;
    match (entries.iter().find(|(entry, _)| *entry.text == *key), call.args.get(2)) {
        (Some((_, value)), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => call.wrong(format!("the given object has no attribute \"{key}\"")),
    }
}

/// Whether a value is among others; unknown when an unknown one could be it.
fn is_among(call: &Call, items: &[Value], wanted: &Value) -> Result<bool, Stop> {
    let mut unsure: Option<Rc<str>> = None;
    for item in items {
        match item.equals(wanted) {
            Some(true) => return Ok(true),
            Some(false) => {}
            None => unsure = unsure.or_else(|| item.cause()).or_else(|| wanted.cause()),
        }
    }
    unsure.map_or(Ok(false), |cause| call.unknown(cause))
}

fn contains(call: &Call) -> Answer {
    call.count(2, 2)?;
    let found = is_among(call, call.list(0)?, call.arg(1)?)?;
    Ok(Value::bool(found, call.span))
}

fn index(call: &Call) -> Answer {
    call.count(2, 2)?;
    let wanted = call.arg(1)?;
    match call.list(0)?.iter().position(|item| item.equals(wanted) == Some(true)) {
        Some(position) => Ok(Value::count(position, call.span)),
        None => call.wrong("item not found"),
    }
}

fn keys(call: &Call) -> Answer {
    let keys = call.map(0)?.iter().map(|(key, _)| Value::text(key.text.as_str(), key.span));
    Ok(Value::list(keys.collect(), call.span))
}

fn flatten(call: &Call) -> Answer {
    fn add(items: &[Value], flat: &mut Vec<Value>) -> Result<(), Value> {
        for item in items {
            match item.items() {
                Some(inner) => add(inner, flat)?,
                // It may be a list of any length.
                None if item.as_unknown().is_some() => return Err(item.clone()),
                None => flat.push(item.clone()),
            }
            if flat.len() > ELEMENTS_MAX {
                return Ok(());
            }
        }
        Ok(())
    }
    let mut flat = Vec::new();
    add(call.list(0)?, &mut flat).map_err(|unknown| Stop::Unknown(unknown.at(call.span)))?;
    limited(call, &flat)?;
    Ok(Value::list(flat, call.span))
}

fn limited(call: &Call, items: &[Value]) -> Result<(), Stop> {
    if items.len() > ELEMENTS_MAX {
        return call.wrong(format!("the result has more than {ELEMENTS_MAX} elements, which is the limit"));
    }
    Ok(())
}

fn distinct(call: &Call) -> Answer {
    Ok(Value::list(value::unique(call.list(0)?.to_vec()), call.span))
}

fn sort(call: &Call) -> Answer {
    let mut texts = Vec::new();
    for item in call.list(0)? {
        texts.push((call.text_of(item)?, item.span));
    }
    texts.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Value::list(texts.into_iter().map(|(text, span)| Value::text(text, span)).collect(), call.span))
}

fn slice(call: &Call) -> Answer {
    call.count(3, 3)?;
    let (items, start, end) = (call.list(0)?, call.index(1)?, call.index(2)?);
    match items.get(start..end) {
        Some(part) => Ok(Value::list(part.to_vec(), call.span)),
        None => {
            call.wrong(format!("the indices {start} to {end} are not within the list of {}", items.len()))
        }
    }
}

fn chunklist(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (items, size) = (call.list(0)?, call.index(1)?);
    let chunks = items.chunks(if size == 0 { items.len().max(1) } else { size });
    Ok(Value::list(chunks.map(|chunk| Value::list(chunk.to_vec(), call.span)).collect(), call.span))
}

fn compact(call: &Call) -> Answer {
    let mut kept = Vec::new();
    for item in call.list(0)? {
        if !item.is_null() && !call.text_of(item)?.is_empty() {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept, call.span))
}

/// The first argument that is neither null nor an empty string; what is unknown may be it.
fn coalesce(call: &Call) -> Answer {
    for index in 0..call.args.len() {
        let value = call.arg(index)?;
        if !value.is_null() && value.as_text().as_deref() != Some("") {
            return Ok(value.clone());
        }
    }
    call.wrong("no non-null, non-empty-string arguments")
}

fn coalescelist(call: &Call) -> Answer {
    for index in 0..call.args.len() {
        let value = call.arg(index)?;
        let is_empty = match &value.kind {
            Kind::Null => true,
            Kind::Map(entries) => entries.is_empty(),
            _ => call.list(index)?.is_empty(),
        };
        if !is_empty {
            return Ok(value.clone());
        }
    }
    call.wrong("no non-null arguments")
}

fn one(call: &Call) -> Answer {
    let value = call.arg(0)?;
    if value.is_null() {
        return Ok(Value::null(call.span));
    }
    match call.list(0)? {
        [] => Ok(Value::null(call.span)),
        [only] => Ok(only.clone()),
        _ => call.wrong("must be a list, set, or tuple value with either zero or one elements"),
    }
}

fn range(call: &Call) -> Answer {
    call.count(1, 3)?;
    let (start, limit) = match call.args.len() {
        1 => (0.0, call.number(0)?),
        _ => (call.number(0)?, call.number(1)?),
    };
    let natural = if limit < start { -1.0 } else { 1.0 };
    let step = if call.args.len() == 3 { call.number(2)? } else { natural };
    if step == 0.0 {
        return call.wrong("step must not be zero");
    }
    let mut items = Vec::new();
    let mut number = start;
    while (step > 0.0 && number < limit) || (step < 0.0 && number > limit) {
        items.push(Value::number(number, call.span));
        limited(call, &items)?;
        number += step;
    }
    Ok(Value::list(items, call.span))
}

fn zipmap(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (keys, values) = (call.list(0)?, call.list(1)?);
    if keys.len() != values.len() {
        return call.wrong(format!(
            "number of keys ({}) does not match number of values ({})",
            keys.len(),
            values.len()
        ));
    }
    let mut entries = Vec::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(values) {
        entries.push((value::key(&*call.text_of(key)?, key.span), value.clone()));
    }
    Ok(Value::map(entries, call.span))
}

fn setproduct(call: &Call) -> Answer {
    call.count(2, usize::MAX)?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for index in 0..call.args.len() {
        let items = call.list(index)?;
        if rows.len().saturating_mul(items.len()) > ELEMENTS_MAX {
            return call
                .wrong(format!("the result has more than {ELEMENTS_MAX} elements, which is the limit"));
        }
        rows = rows
            .iter()
            .flat_map(|row| items.iter().map(move |item| row.iter().cloned().chain([item.clone()]).collect()))
            .collect();
    }
    Ok(Value::list(rows.into_iter().map(|row| Value::list(row, call.span)).collect(), call.span))
}

fn setunion(call: &Call) -> Answer {
    concat(call).map(|all| Value::set(all.items().unwrap_or_default().to_vec(), call.span))
}

/// The elements that are in as many of the sets as `keep` wants.
fn set_of(call: &Call, keep: impl Fn(usize, usize) -> bool) -> Answer {
    call.count(1, usize::MAX)?;
    let mut kept = Vec::new();
    for item in call.list(0)? {
        let mut found = 0;
        for index in 0..call.args.len() {
            call.effort(call.list(index)?.len())?;
            found += usize::from(is_among(call, call.list(index)?, item)?);
        }
        if keep(found, call.args.len()) {
            kept.push(item.clone());
        }
    }
    Ok(Value::set(kept, call.span))
}

fn setsubtract(call: &Call) -> Answer {
    call.count(2, 2)?;
    set_of(call, |found, _| found == 1)
}

fn all_or_any(call: &Call, all: bool) -> Answer {
    let mut unsure = None;
    for item in call.list(0)? {
        match item.as_bool() {
            Some(value) if value != all => return Ok(Value::bool(!all, call.span)),
            Some(_) => {}
            None => unsure = unsure.or_else(|| item.cause()),
        }
    }
    unsure.map_or(Ok(Value::bool(all, call.span)), |cause| call.unknown(cause))
}

fn sum(call: &Call) -> Answer {
    let mut total = 0.0;
    for item in call.list(0)? {
        match (item.as_number(), item.cause()) {
            (Some(number), _) => total += number,
            (None, Some(cause)) => return call.unknown(cause),
            (None, None) => return call.wrong("argument must be list, set, or tuple of number values"),
        }
    }
    Ok(Value::number(total, call.span))
}

fn matchkeys(call: &Call) -> Answer {
    call.count(3, 3)?;
    let (values, keys, wanted) = (call.list(0)?, call.list(1)?, call.list(2)?);
    if values.len() != keys.len() {
        return call.wrong("length of keys and values should be equal");
    }
    let mut kept = Vec::new();
    for (value, key) in values.iter().zip(keys) {
        call.effort(wanted.len())?;
        if is_among(call, wanted, key)? {
            kept.push(value.clone());
        }
    }
    Ok(Value::list(kept, call.span))
}

fn transpose(call: &Call) -> Answer {
    let mut turned: BTreeMap<Rc<str>, Vec<Value>> = BTreeMap::new();
    for (key, values) in call.map(0)? {
        for value in values.items().unwrap_or_default() {
            let text = call.text_of(value)?;
            let key = Value::text(key.text.as_str(), key.span);
            turned.entry(text).or_default().push(key);
        }
    }
    let entries =
        turned.into_iter().map(|(key, keys)| (value::key(&*key, call.span), Value::list(keys, call.span)));
    Ok(Value::map(entries.collect(), call.span))
}
