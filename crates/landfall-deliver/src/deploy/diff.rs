//! What differs between two task definitions, in lines that a person reads before it happens.

use serde_json::{Map, Value};

use super::definition::Definition;

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Where: `web.image`, `web.environment.LOG_LEVEL`, `cpu`.
    pub path: String,
    /// What is there now; none when nothing is.
    pub old: Option<String>,
    /// What will be there; none when nothing will.
    pub new: Option<String>,
}

/// How values of environment variables are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Values {
    /// As they are, except those whose name or form says that they are secret.
    Shown,
    /// Not at all.
    Hidden,
}

/// The differences, in the order of the new task definition; what is gone comes last.
pub fn between(old: &Definition, new: &Definition, values: Values) -> Vec<Row> {
    let mut walk = Walk { rows: Vec::new(), values };
    walk.value("", &old.normalised(), &new.normalised());
    walk.rows
}

struct Walk {
    rows: Vec<Row>,
    values: Values,
}

impl Walk {
    fn value(&mut self, path: &str, old: &Value, new: &Value) {
        if old == new {
            return;
        }
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => self.object(path, old, new),
            (Value::Array(before), Value::Array(after)) => match (keyed(path, before), keyed(path, after)) {
                (Some(before), Some(after)) => self.object(path, &before, &after),
                _ => self.row(path, Some(old), Some(new)),
            },
            _ => self.row(path, Some(old), Some(new)),
        }
    }

    fn object(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        for (name, value) in new {
            match old.get(name) {
                Some(before) => self.value(&below(path, name), before, value),
                None => self.whole(&below(path, name), value, false),
            }
        }
        for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            self.whole(&below(path, name), value, true);
        }
    }

    /// Something that is only on one side: a list or map of named things in lines of its own.
    fn whole(&mut self, path: &str, value: &Value, is_gone: bool) {
        let list = path.rsplit('.').nth(1).unwrap_or_default();
        let parts = match value {
            // One mapping or mount is told in one line.
            Value::Object(_) if WHOLE.contains(&list) => None,
            Value::Object(map) => Some(map.clone()),
            Value::Array(items) => keyed(path, items),
            _ => None,
        };
        match parts {
            Some(parts) if !parts.is_empty() => {
                for (name, value) in &parts {
                    self.whole(&below(path, name), value, is_gone);
                }
            }
            _ if is_gone => self.row(path, Some(value), None),
            _ => self.row(path, None, Some(value)),
        }
    }

    fn row(&mut self, path: &str, old: Option<&Value>, new: Option<&Value>) {
        let variable = path.split_once(".environment.").map(|(_, name)| name);
        let is_secret = variable.is_some_and(|name| {
            self.values == Values::Hidden
                || is_secret_name(name)
                || [old, new].into_iter().flatten().any(is_secret_value)
        });
        let show = |value: &Value| if is_secret { HIDDEN.to_owned() } else { shown(value) };
        self.rows.push(Row { path: path.to_owned(), old: old.map(show), new: new.map(show) });
    }
}

/// A list whose items have names, as a map by these names. Repeated names make it a plain list.
fn keyed(path: &str, items: &[Value]) -> Option<Map<String, Value>> {
    let last = path.rsplit('.').next().unwrap_or(path);
    let mut map = Map::new();
    for item in items {
        let Value::Object(object) = item else { return None };
        let text = |name: &str| match object.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let (key, value) = match last {
            "environment" => (text("name")?, object.get("value").cloned().unwrap_or_else(|| Value::from(""))),
            "secrets" | "secretOptions" => {
                (text("name")?, object.get("valueFrom").cloned().unwrap_or_default())
            }
            "tags" => (text("key")?, object.get("value").cloned().unwrap_or_else(|| Value::from(""))),
            "portMappings" => (text("containerPort")?, item.clone()),
            "mountPoints" => (text("containerPath")?, item.clone()),
            "dependsOn" => (text("containerName")?, item.clone()),
            _ => (text("name")?, without(object, "name")),
        };
        if map.insert(key, value).is_some() {
            return None;
        }
    }
    Some(map)
}

fn without(object: &Map<String, Value>, name: &str) -> Value {
    Value::Object(
        object.iter().filter(|(key, _)| *key != name).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}

/// Containers stand for themselves: `web.image`, not `containerDefinitions.web.image`.
fn below(path: &str, name: &str) -> String {
    match path {
        "" | "containerDefinitions" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""),
        other => other.to_string(),
    };
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let count = text.chars().count();
    if count <= SHOWN_CHARS_MAX {
        return text;
    }
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{start}… ({count} characters)")
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| upper.contains(word))
        || ["_KEY", "_PAT", "_PWD", "_DSN"].iter().any(|end| upper.ends_with(end))
}

/// `scheme://user:password@host`, a connection string with a password in it, or the start of a private key.
fn is_secret_value(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let has_userinfo = text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    has_userinfo || has_password(text) || text.contains("-----BEGIN ")
}

/// `Server=db;User Id=app;Password=…`, `host=db password=…`, `…?password=…`.
fn has_password(text: &str) -> bool {
    let parts = text.split([';', '&', '?', ' ', ',']).filter_map(|part| part.split_once('='));
    parts.into_iter().any(|(name, value)| {
        let name = name.trim();
        !value.is_empty() && (is_secret_name(name) || name.eq_ignore_ascii_case("pwd"))
    })
}

/// Lists whose items stand in one line when they come or go.
const WHOLE: &[&str] = &["portMappings", "mountPoints", "dependsOn", "volumes", "ulimits"];
/// What stands for a value that isn't shown.
pub const HIDDEN: &str = "(hidden)";
/// Longest value that is shown whole, in characters.
const SHOWN_CHARS_MAX: usize = 200;
/// Parts of the names of variables that hold secrets.
const SECRET_WORDS: &[&str] =
    &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE", "APIKEY", "API_KEY"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_password_in_it_is_a_secret() {
        for (value, is_secret) in [
            ("Server=db;User Id=app;Password=hunter2", true),
            ("host=db user=app pwd=hunter2", true),
            ("jdbc:postgresql://db/shop?user=app&password=hunter2", true),
            ("postgres://app:hunter2@db/shop", true),
            ("-Xmx1g -Dapi_token=hunter2", true),
            ("-----BEGIN PRIVATE KEY-----", true),
            ("Server=db;Password=", false),
            ("https://auth.example.com/token?grant=code", false),
            ("level=debug format=json", false),
        ] {
            assert_eq!(is_secret_value(&Value::from(value)), is_secret, "{value}");
        }
    }
}
