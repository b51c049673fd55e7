//! Functions on strings and numbers.

use std::fmt::Write;
use std::rc::Rc;

use super::{Answer, Call, Stop};
use crate::terraform::value::{Value, number_text};

/// Bytes that a width in a format can ask for.
const WIDTH_MAX: usize = 1_000;
/// Bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 16;

pub(super) fn evaluate(call: &Call) -> Option<Answer> {
    Some(match call.name {
        "lower" => map_text(call, str::to_lowercase),
        "upper" => map_text(call, str::to_uppercase),
        "title" => map_text(call, title),
        "trimspace" => map_text(call, |text| text.trim().to_owned()),
        "chomp" => map_text(call, |text| text.trim_end_matches(['\n', '\r']).to_owned()),
        "strrev" => map_text(call, |text| text.chars().rev().collect()),
        "basename" => {
            map_text(call, |text| text.trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned())
        }
        "dirname" => {
            map_text(call, |text| text.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned())
        }
        "trim" => map_two(call, |text, set| text.trim_matches(|c| set.contains(c)).to_owned()),
        "trimprefix" => map_two(call, |text, prefix| text.strip_prefix(prefix).unwrap_or(text).to_owned()),
        "trimsuffix" => map_two(call, |text, suffix| text.strip_suffix(suffix).unwrap_or(text).to_owned()),
        "startswith" => ask_two(call, |text, prefix| text.starts_with(prefix)),
        "endswith" => ask_two(call, |text, suffix| text.ends_with(suffix)),
        "strcontains" => ask_two(call, |text, part| text.contains(part)),
        "split" => split(call),
        "join" => join(call),
        "replace" => replace(call),
        "substr" => substr(call),
        "indent" => indent(call),
        "format" => format(call, &call.args),
        "formatlist" => formatlist(call),
        "regex" => regex(call),
        "regexall" => regexall(call),
        "abs" => map_number(call, f64::abs),
        "ceil" => map_number(call, f64::ceil),
        "floor" => map_number(call, f64::floor),
        "signum" => map_number(call, |number| if number == 0.0 { 0.0 } else { number.signum() }),
        "pow" => both_numbers(call).map(|(base, exponent)| Value::number(base.powf(exponent), call.span)),
        "parseint" => parseint(call),
        "max" => extreme(call, f64::max),
        "min" => extreme(call, f64::min),
        _ => return None,
    })
}

fn map_text(call: &Call, change: impl Fn(&str) -> String) -> Answer {
    call.count(1, 1)?;
    call.made_text(change(&call.text(0)?))
}

fn map_two(call: &Call, change: impl Fn(&str, &str) -> String) -> Answer {
    call.count(2, 2)?;
    call.made_text(change(&call.text(0)?, &call.text(1)?))
}

fn ask_two(call: &Call, ask: impl Fn(&str, &str) -> bool) -> Answer {
    call.count(2, 2)?;
    Ok(Value::bool(ask(&call.text(0)?, &call.text(1)?), call.span))
}

fn map_number(call: &Call, change: impl Fn(f64) -> f64) -> Answer {
    call.count(1, 1)?;
    Ok(Value::number(change(call.number(0)?), call.span))
}

fn both_numbers(call: &Call) -> Result<(f64, f64), Stop> {
    call.count(2, 2)?;
    Ok((call.number(0)?, call.number(1)?))
}

fn extreme(call: &Call, pick: impl Fn(f64, f64) -> f64) -> Answer {
    call.count(1, usize::MAX)?;
    let mut best = call.number(0)?;
    for index in 1..call.args.len() {
        best = pick(best, call.number(index)?);
    }
    Ok(Value::number(best, call.span))
}

fn parseint(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (text, base) = (call.text(0)?, call.index(1)?);
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let number = base.and_then(|base| i64::from_str_radix(&text, base).ok());
    match number {
        #[allow(clippy::cast_precision_loss)] // numbers are as exact as f64 everywhere here
        Some(number) => Ok(Value::number(number as f64, call.span)),
        None => call.wrong(format!("cannot parse \"{text}\" as an integer")),
    }
}

fn title(text: &str) -> String {
    let mut at_start = true;
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        if at_start {
            result.extend(c.to_uppercase());
        } else {
            result.push(c);
        }
        at_start = !c.is_alphanumeric() && c != '_' && c != '\'';
    }
    result
}

fn split(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (separator, text) = (call.text(0)?, call.text(1)?);
    let span = call.arg(1)?.span;
    let item = |part: &str| Value::text(part, span);
    let items = match (&*separator, &*text) {
        (_, "") => Vec::new(),
        ("", text) => text.chars().map(|c| item(&c.to_string())).collect(),
        (separator, text) => text.split(separator).map(item).collect(),
    };
    Ok(Value::list(items, call.span))
}

fn join(call: &Call) -> Answer {
    call.count(2, usize::MAX)?;
    let separator = call.text(0)?;
    let mut parts: Vec<Rc<str>> = Vec::new();
    for index in 1..call.args.len() {
        for item in call.list(index)? {
            parts.push(call.text_of(item)?);
        }
    }
    let length = parts.iter().map(|part| part.len() + separator.len()).sum();
    call.room_for(length)?;
    call.made_text(parts.join(&*separator))
}

fn substr(call: &Call) -> Answer {
    call.count(3, 3)?;
    let (text, offset, length) = (call.text(0)?, call.number(1)?, call.number(2)?);
    let chars: Vec<char> = text.chars().collect();
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
    // saturating
    let start = if offset < 0.0 { (chars.len() as f64 + offset).max(0.0) as usize } else { offset as usize };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturating
    let count = if length < 0.0 { usize::MAX } else { length as usize };
    call.made_text(chars.into_iter().skip(start).take(count).collect::<String>())
}

fn indent(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (spaces, text) = (call.index(0)?.min(WIDTH_MAX), call.text(1)?);
    call.room_for(text.len() + text.matches('\n').count() * spaces)?;
    call.made_text(text.replace('\n', &format!("\n{}", " ".repeat(spaces))))
}

/// A pattern between slashes is a regular expression.
fn replace(call: &Call) -> Answer {
    call.count(3, 3)?;
    let (text, wanted, with) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let pattern =
        wanted.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|it| !it.is_empty());
    match pattern {
        Some(pattern) => replace_matches(call, &compile(call, pattern, &text)?, &text, &with),
        None => {
            call.room_for(text.len() + text.matches(&*wanted).count().saturating_mul(with.len()))?;
            call.made_text(text.replace(&*wanted, &with))
        }
    }
}

/// `$1` and `${name}` in the replacement stand for groups, each no longer than the match.
fn replace_matches(call: &Call, regex: &regex_lite::Regex, text: &str, with: &str) -> Answer {
    let groups = with.matches('$').count();
    let mut result = String::new();
    let mut at = 0;
    for captures in regex.captures_iter(text) {
        let Some(found) = captures.get(0) else { continue };
        result.push_str(text.get(at..found.start()).unwrap_or(""));
        call.room_for(result.len() + with.len() + groups.saturating_mul(found.len()))?;
        captures.expand(with, &mut result);
        at = found.end();
    }
    result.push_str(text.get(at..).unwrap_or(""));
    call.made_text(result)
}

/// A regular expression for a text; looking for it takes time in proportion to both lengths.
fn compile(call: &Call, pattern: &str, text: &str) -> Result<regex_lite::Regex, Stop> {
    call.effort(pattern.len().saturating_mul(text.len()) / 64)?;
    let built = regex_lite::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.or_else(|error| call.wrong(format!("invalid regular expression \"{pattern}\": {error}")))
}

fn regex(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (pattern, text) = (call.text(0)?, call.text(1)?);
    let regex = compile(call, &pattern, &text)?;
    match regex.captures(&text) {
        Some(captures) => Ok(captured(call, &regex, &captures)),
        None => call.wrong(format!("pattern did not match any part of the given string \"{text}\"")),
    }
}

fn regexall(call: &Call) -> Answer {
    call.count(2, 2)?;
    let (pattern, text) = (call.text(0)?, call.text(1)?);
    let regex = compile(call, &pattern, &text)?;
    let found = regex.captures_iter(&text).map(|captures| captured(call, &regex, &captures));
    Ok(Value::list(found.collect(), call.span))
}

/// The whole match without groups, a list of unnamed groups, or a map of named ones.
fn captured(call: &Call, regex: &regex_lite::Regex, captures: &regex_lite::Captures) -> Value {
    let text = |found: Option<regex_lite::Match>| match found {
        Some(found) => Value::text(found.as_str(), call.span),
        None => Value::null(call.span),
    };
    if captures.len() == 1 {
        return text(captures.get(0));
    }
    let named: Vec<_> = regex
        .capture_names()
        .flatten()
        .map(|name| (crate::terraform::value::key(name, call.span), text(captures.name(name))))
        .collect();
    if named.is_empty() {
        return Value::list((1..captures.len()).map(|index| text(captures.get(index))).collect(), call.span);
    }
    Value::map(named, call.span)
}

fn formatlist(call: &Call) -> Answer {
    call.count(1, usize::MAX)?;
    for index in 0..call.args.len() {
        call.arg(index)?;
    }
    let length = call.args.iter().filter_map(Value::items).map(<[Value]>::len).max().unwrap_or(1);
    let mut made = Vec::with_capacity(length);
    for index in 0..length {
        let args: Option<Vec<Value>> = call
            .args
            .iter()
            .map(|arg| arg.items().map_or(Some(arg.clone()), |items| items.get(index).cloned()))
            .collect();
        let Some(args) = args else {
            return call.wrong("the lists must all have the same length");
        };
        made.push(match format(call, &args) {
            Err(Stop::Unknown(unknown)) => unknown,
            other => other?,
        });
    }
    Ok(Value::list(made, call.span))
}

/// `%[N]` position, flags, width, precision and verb of one placeholder.
#[derive(Default)]
struct Placeholder {
    position: Option<usize>,
    minus: bool,
    plus: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    verb: char,
}

fn format(call: &Call, args: &[Value]) -> Answer {
    let Some((pattern, args)) = args.split_first() else { return call.wrong("a format is missing") };
    let pattern = call.text_of(pattern)?;
    let mut rest = pattern.chars().peekable();
    let mut text = String::new();
    let mut next = 0;
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let placeholder = placeholder(&mut rest);
        if placeholder.verb == '%' {
            text.push('%');
            continue;
        }
        let position = placeholder.position.unwrap_or(next);
        next = position + 1;
        let Some(value) = args.get(position) else {
            return call.wrong(format!("not enough arguments for \"{pattern}\": {} needed", position + 1));
        };
        let shown = show(call, value, &placeholder)?;
        call.room_for(text.len() + shown.len() + placeholder.width)?;
        let missing = placeholder.width.saturating_sub(shown.chars().count());
        let fill = if placeholder.zero && !placeholder.minus { "0" } else { " " }.repeat(missing);
        // Writing to a String can't fail.
        let _ = if placeholder.minus { write!(text, "{shown}{fill}") } else { write!(text, "{fill}{shown}") };
    }
    call.made_text(text)
}

fn placeholder(rest: &mut std::iter::Peekable<std::str::Chars>) -> Placeholder {
    let mut placeholder = Placeholder::default();
    let mut in_precision = false;
    while let Some(c) = rest.next() {
        match (c, c.to_digit(10)) {
            ('-', _) => placeholder.minus = true,
            ('+', _) => placeholder.plus = true,
            ('#' | ' ', _) => {}
            ('0', _) if placeholder.width == 0 && !in_precision => placeholder.zero = true,
            ('.', _) => {
                in_precision = true;
                placeholder.precision = Some(0);
            }
            ('[', _) => {
                let digits: String = rest.by_ref().take_while(|c| *c != ']').collect();
                placeholder.position = digits.parse().ok().and_then(|number: usize| number.checked_sub(1));
            }
            (_, Some(digit)) => {
                let place = if in_precision {
                    placeholder.precision.get_or_insert(0)
                } else {
                    &mut placeholder.width
                };
                *place = (*place * 10 + digit as usize).min(WIDTH_MAX);
            }
            (verb, None) => {
                placeholder.verb = verb;
                break;
            }
        }
    }
    placeholder
}

fn show(call: &Call, value: &Value, placeholder: &Placeholder) -> Result<String, Stop> {
    if let Some(cause) = value.cause() {
        return call.unknown(cause);
    }
    let number = || {
        value
            .as_number()
            .ok_or_else(|| Stop::Wrong(format!("a number is needed, found {}", value.kind_name())))
    };
    Ok(match placeholder.verb {
        's' => {
            let text = call.text_of(value)?;
            text.chars().take(placeholder.precision.unwrap_or(usize::MAX)).collect()
        }
        'q' => crate::terraform::to_json(&Value::text(call.text_of(value)?, call.span).to_tree()),
        'v' => match value.as_text() {
            Some(text) => text.to_string(),
            None => crate::terraform::to_json(&value.to_tree()),
        },
        'd' => {
            let text = number_text(number()?.trunc());
            if placeholder.plus && !text.starts_with('-') { format!("+{text}") } else { text }
        }
        'f' => format!("{:.*}", placeholder.precision.unwrap_or(6), number()?),
        't' => match value.as_bool() {
            Some(value) => value.to_string(),
            None => return call.wrong(format!("a boolean is needed, found {}", value.kind_name())),
        },
        #[allow(clippy::cast_possible_truncation)] // saturating
        'x' => format!("{:x}", number()?.trunc() as i64),
        #[allow(clippy::cast_possible_truncation)] // saturating
        'b' => format!("{:b}", number()?.trunc() as i64),
        verb => return call.wrong(format!("unsupported format verb \"{verb}\"")),
    })
}
