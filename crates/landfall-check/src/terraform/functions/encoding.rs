//! JSON, URLs, base64, files and templates.

use std::rc::Rc;

use landfall_types::{Node, SourceId, Span, Tree};

use super::{Answer, Call};
use crate::terraform::library::normal_path;
use crate::terraform::scope::Scope;
use crate::terraform::syntax;
use crate::terraform::value::{Kind, Text, Value};

pub(super) fn evaluate(call: &Call) -> Option<Answer> {
    Some(match call.name {
        "jsonencode" => jsonencode(call),
        "jsondecode" => jsondecode(call),
        "urlencode" => call.text(0).and_then(|text| call.made_text(urlencode(&text))),
        "base64encode" => call.text(0).and_then(|text| call.made_text(base64(text.as_bytes()))),
        "file" => file(call),
        "fileexists" => fileexists(call),
        "templatefile" => templatefile(call),
        "provider::aws::arn_build" => arn_build(call),
        "provider::aws::trim_iam_role_path" => trim_iam_role_path(call),
        _ => return None,
    })
}

/// The tree stays with the string, so a policy document still knows the place of each value. Keys are
/// sorted already: every map is.
fn jsonencode(call: &Call) -> Answer {
    call.count(1, 1)?;
    let value = call.arg(0)?;
    Ok(Value::json(value.to_tree(), call.span))
}

fn jsondecode(call: &Call) -> Answer {
    call.count(1, 1)?;
    let value = call.arg(0)?;
    match &value.kind {
        Kind::Json(json) => Ok(from_tree(&json.tree)),
        Kind::Text(text) => match call.evaluator.decode(text, value.span) {
            Ok(tree) => Ok(from_tree(&tree)),
            Err(reason) => call.wrong(format!("the string is not JSON: {reason}")),
        },
        _ => call.wrong(format!("expected a string, found {}", value.kind_name())),
    }
}

/// The recursion is bounded: trees come from JSON of at most 64 levels or from values.
pub(in crate::terraform) fn from_tree(tree: &Tree) -> Value {
    let span = tree.span;
    match &tree.node {
        Node::Null => Value::null(span),
        Node::Bool(value) => Value::bool(*value, span),
        Node::Number(digits) => Value::number(digits.parse().unwrap_or(0.0), span),
        Node::Text(text) => Value::text(text.as_str(), span),
        Node::List(items) => Value::list(items.iter().map(from_tree).collect(), span),
        Node::Map(entries) => {
            Value::map(entries.iter().map(|(key, value)| (key.clone(), from_tree(value))).collect(), span)
        }
        Node::Unknown(cause) => Value::unknown(cause.as_str(), span),
    }
}

/// As Go's `url.QueryEscape`.
fn urlencode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * position)) as usize & 63).copied().unwrap_or(b'=');
            encoded.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    encoded
}

/// The file of this name: among the ones that were given with the root module, or beside it. Names are relative to
/// that module's folder.
fn find_file(call: &Call, name: &str) -> Option<SourceId> {
    let reading = &call.evaluator.reading;
    let folder = reading.files.first().map(|id| reading.sources.name(*id));
    let folder = folder.as_deref().and_then(|name| name.rsplit_once('/')).map_or("", |(folder, _)| folder);
    let wanted = normal_path(&format!("{folder}/{name}"));
    let given = reading.files.iter().copied().find(|id| normal_path(&reading.sources.name(*id)) == wanted);
    given.or_else(|| if name.starts_with('/') { None } else { reading.disk.text(&normal_path(name)) })
}

fn not_given(call: &Call, name: &str) -> Answer {
    call.unknown(format!("the file `{name}` is not among the files that were read").into())
}

fn file(call: &Call) -> Answer {
    call.count(1, 1)?;
    let name = call.text(0)?;
    let Some(id) = find_file(call, &name) else { return not_given(call, &name) };
    let text = call.evaluator.sources.text(id);
    let span = Span::new(id, 0, text.len());
    Ok(Value::new(Kind::Text(Text { text: Rc::from(&*text), pieces: None }), span))
}

fn fileexists(call: &Call) -> Answer {
    let name = call.text(0)?;
    match find_file(call, &name) {
        Some(_) => Ok(Value::bool(true, call.span)),
        None => not_given(call, &name),
    }
}

fn templatefile(call: &Call) -> Answer {
    call.count(2, 2)?;
    let name = call.text(0)?;
    let Some(id) = find_file(call, &name) else { return not_given(call, &name) };
    let text = call.evaluator.sources.text(id);
    let mut scope = Scope::default();
    for (key, value) in call.map(1)? {
        scope = scope.with(&key.text, value.clone());
    }
    match syntax::parse_template(id, &text) {
        Ok(parts) => Ok(call.evaluator.template(&parts, Span::new(id, 0, text.len()), &scope)),
        Err(finding) => {
            let reason = finding.message.clone();
            call.evaluator.report(*finding);
            call.wrong(reason)
        }
    }
}

/// `arn_build(partition, service, region, account, resource)` of the AWS provider.
fn arn_build(call: &Call) -> Answer {
    call.count(5, 5)?;
    let mut arn = "arn".to_owned();
    for index in 0..5 {
        arn.push(':');
        arn.push_str(&call.text(index)?);
    }
    call.made_text(arn)
}

/// `trim_iam_role_path(arn)` of the AWS provider: the ARN without the role's path.
fn trim_iam_role_path(call: &Call) -> Answer {
    let arn = call.text(0)?;
    let trimmed = arn
        .split_once(":role/")
        .map(|(start, rest)| format!("{start}:role/{}", rest.rsplit('/').next().unwrap_or(rest)));
    match trimmed {
        Some(trimmed) => call.made_text(trimmed),
        None => call.wrong(format!("\"{arn}\" is not the ARN of a role")),
    }
}
