//! The part of Handlebars that patterns and values of metadata-action are made of: `{{name}}`, with arguments for
//! dates. Blocks and partials are refused.

/// `{{name 'argument' key='value'}}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call<'t> {
    /// Its name.
    pub name: &'t str,
    /// Its arguments in written order.
    pub args: Vec<&'t str>,
    /// Those with names.
    pub named: Vec<(&'t str, &'t str)>,
}

/// A text with each `{{…}}` replaced by what `value` gives for it; none is the empty text.
///
/// # Errors
/// What `value` says, or why the text is no template.
pub fn fill(
    template: &str,
    value: &dyn Fn(&Call<'_>) -> Result<Option<String>, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    let mut trims_next = false;
    while let Some(at) = rest.find("{{") {
        let (before, after) = rest.split_at(at);
        let before = if trims_next { before.trim_start() } else { before };
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push_str("{{");
            rest = &after[2..];
            trims_next = false;
            continue;
        }
        let raw = after.starts_with("{{{");
        let (open, close) = if raw { ("{{{", "}}}") } else { ("{{", "}}") };
        let body = &after[open.len()..];
        let end = body.find(close).ok_or_else(|| format!("`{template}` has a `{open}` without its end"))?;
        let inner = &body[..end];
        rest = &body[end + close.len()..];
        let (inner, trims) = match inner.strip_prefix('~') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        out.push_str(if trims { before.trim_end() } else { before });
        let (inner, after_it) = match inner.strip_suffix('~') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        trims_next = after_it;
        let inner = inner.trim();
        if inner.starts_with(['#', '/', '>', '^']) || inner == "else" {
            return Err(format!("`{{{{{inner}}}}}`: blocks of Handlebars are not rehearsed yet"));
        }
        if inner.starts_with('!') {
            continue;
        }
        let (inner, plain) = inner.strip_prefix('&').map_or((inner, raw), |inner| (inner.trim(), true));
        let call = call(inner)?;
        let text = value(&call)?.unwrap_or_default();
        out.push_str(&if plain { text } else { escaped(&text) });
    }
    out.push_str(if trims_next { rest.trim_start() } else { rest });
    Ok(out)
}

/// Whether a template is one `{{NAME}}` and nothing else.
pub fn is_only(template: &str, name: &str) -> bool {
    let inner = template.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| inner.trim_matches(['{', '}', ' ', '~', '&']) == name)
}

fn call(text: &str) -> Result<Call<'_>, String> {
    let wrong = || format!("`{{{{{text}}}}}` is not understood: a name is expected, and 'quoted' arguments");
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, value_at) = match rest.split_once('=') {
            Some((key, after)) if is_name(key) => (Some(key), after),
            _ => (None, rest),
        };
        let quote = value_at.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (value, after) = match quote {
            Some(quote) => value_at[1..].split_once(quote).ok_or_else(wrong)?,
            None => value_at.split_at(value_at.find(char::is_whitespace).unwrap_or(value_at.len())),
        };
        words.push((key, value));
        rest = after.trim_start();
    }
    match words.split_first() {
        Some(((None, name), rest)) if is_name(name) => Ok(Call {
            name,
            args: rest.iter().filter(|(key, _)| key.is_none()).map(|(_, value)| *value).collect(),
            named: rest.iter().filter_map(|(key, value)| key.map(|key| (key, *value))).collect(),
        }),
        _ => Err(wrong()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Handlebars writes for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        fill(template, &|call| {
            Ok(match call.name {
                "a" => Some("A&B".to_owned()),
                "say" => Some(format!("{:?}{:?}", call.args, call.named)),
                _ => None,
            })
        })
    }

    #[test]
    fn names_are_replaced_and_escaped_for_html() {
        for (template, wanted) in [
            ("x{{a}}y", "xA&amp;By"),
            ("{{{a}}}{{& a }}", "A&BA&B"),
            ("{{nothing}}.", "."),
            ("a {{~a~}} b", "aA&amp;Bb"),
            ("{{! said }}x", "x"),
            (r"\{{a}}", "{{a}}"),
            ("{{{say 'x y' tz='Asia/Seoul'}}}", r#"["x y"][("tz", "Asia/Seoul")]"#),
        ] {
            assert_eq!(filled(template).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn what_is_beyond_it_is_said() {
        for (template, wanted) in [
            ("{{#if a}}x{{/if}}", "blocks of Handlebars"),
            ("{{a", "without its end"),
            ("{{a 'x}}", "not understood"),
            ("{{}}", "not understood"),
        ] {
            assert!(filled(template).is_err_and(|error| error.contains(wanted)), "{template}");
        }
        assert!(is_only("{{ raw }}", "raw") && is_only("{{raw}}", "raw"));
        assert!(!is_only("v{{raw}}", "raw") && !is_only("{{raw}}{{raw}}", "raw"));
    }
}
