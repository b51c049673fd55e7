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
        let is_secret = [old, new].into_iter().flatten().any(|value| is_hidden(path, value, self.values));
        let show = |value: &Value| match is_secret {
            true => HIDDEN.to_owned(),
            false => shown(&redacted(path, value, self.values)),
        };
        self.rows.push(Row { path: path.to_owned(), old: old.map(show), new: new.map(show) });
    }
}

/// A value with its secrets hidden, however deep they are in it: nothing else may be shown of a task definition or of
/// what a service is set to. The path says what it is a part of.
pub fn redacted(path: &str, value: &Value, values: Values) -> Value {
    if is_hidden(path, value, values) {
        return Value::from(HIDDEN);
    }
    match value {
        Value::Object(object) => {
            let pair = object.get("name").or_else(|| object.get("key")).and_then(Value::as_str);
            let is_pair = pair.is_some() && object.contains_key("value");
            let member = |(name, value): (&String, &Value)| {
                // `{"name": …, "value": …}` is a variable, a tag or a property by that name.
                let path = match pair {
                    Some(pair) if is_pair && name == "value" => below(path, pair),
                    _ => below(path, name),
                };
                (name.clone(), redacted(&path, value, values))
            };
            Value::Object(object.iter().map(member).collect())
        }
        Value::Array(items) => {
            // Words of a command: what follows `--password` is one.
            let is_after = |at: usize| {
                let before = at.checked_sub(1).and_then(|at| items.get(at)).and_then(Value::as_str);
                before
                    .is_some_and(|flag| flag.starts_with('-') && !flag.contains('=') && is_secret_name(flag))
            };
            let item = |(at, item): (usize, &Value)| match item {
                Value::String(_) if is_after(at) => Value::from(HIDDEN),
                item => redacted(path, item, values),
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        other => other.clone(),
    }
}

/// Whether a text or a number isn't shown: by what it is called, or by what it looks like. What only names a secret
/// somewhere else is shown. Names may have dots, so that a path may be read in more than one way: one that hides it is
/// enough.
fn is_hidden(path: &str, value: &Value, values: Values) -> bool {
    if matches!(value, Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_)) {
        return false;
    }
    // Whole parts of it only: a container may be called `fetch-secrets`.
    let mut named = path.match_indices('.').filter_map(|(dot, _)| {
        let list = path.get(..dot)?.rsplit('.').next()?;
        NAMED_BY_USERS.contains(&list).then(|| (list, path.get(dot + 1..).unwrap_or_default()))
    });
    let is_of_list = named.clone().next().is_some();
    let is_secret = |(list, name): (&str, &str)| {
        list == "environment" && values == Values::Hidden || is_secret_name(name)
    };
    named.any(is_secret) || is_secret_value(value) && (is_of_list || !path.ends_with("Arn"))
}

/// A list whose items have names, as a map by these names. Of variables the same name may stand there again; elsewhere
/// that makes it a plain list.
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
        let mut name = key.clone();
        if last == "environment" {
            // ECS takes it, and the last one counts.
            let again = (2..).map(|count: u32| format!("{name} ({count})"));
            let free = std::iter::once(name.clone()).chain(again).find(|name| !map.contains_key(name));
            name = free.unwrap_or(key);
        }
        if map.insert(name, value).is_some() {
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
    let name = name.split_once(" (").map_or(name, |(name, _)| name);
    let upper = name.to_ascii_uppercase().replace(['-', '.', ' '], "_");
    SECRET_WORDS.iter().any(|word| upper.contains(word)) || SECRET_ENDS.iter().any(|end| upper.ends_with(end))
}

/// `scheme://user:password@host`, a connection string with a password in it, the start of a private key, or a token.
fn is_secret_value(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let has_userinfo = text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    });
    has_userinfo || has_password(text) || text.contains("-----BEGIN ") || has_token(text)
}

/// A token that can be told by its looks, wherever it stands in a text.
fn has_token(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let after = |word: &str| lower.split_once(word).map(|(_, rest)| rest.trim_start());
    let is_borne = after("bearer ")
        .and_then(|rest| rest.split_whitespace().next())
        .is_some_and(|word| word.len() >= BEARER_CHARS_MIN && word.bytes().any(|byte| byte.is_ascii_digit()));
    let is_sent = is_borne || after("authorization:").is_some_and(|rest| rest.len() >= BEARER_CHARS_MIN);
    let is_webhook = ["hooks.slack.com/services/", "discord.com/api/webhooks/"];
    if is_sent || is_webhook.iter().any(|part| lower.contains(part)) {
        return true;
    }
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
    let mut words = text.split(|c: char| !in_word(c)).filter(|word| !word.is_empty());
    words.clone().any(|word| is_jwt(word) || is_prefixed(word))
        || words.clone().any(is_access_key_id) && words.any(|word| word.len() == SECRET_KEY_CHARS)
}

/// `HEADER.CLAIMS.SIGNATURE`: a header is a JSON object, which begins so in base64.
fn is_jwt(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    matches!(parts.as_slice(), [header, claims, _, ..] if header.starts_with("eyJ") && !claims.is_empty())
}

/// The tokens of services that give theirs a form of its own.
fn is_prefixed(word: &str) -> bool {
    TOKEN_STARTS.iter().any(|(start, least)| {
        let mut found =
            word.match_indices(start).map(|(at, _)| word.get(at + start.len()..).unwrap_or_default());
        found.any(|rest| {
            let is_rest = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            rest.find(|c| !is_rest(c)).unwrap_or(rest.len()) >= *least
        })
    })
}

/// `AKIA…`, `ASIA…`: no secret by itself, but what stands beside it may be.
fn is_access_key_id(word: &str) -> bool {
    let rest = word.strip_prefix("AKIA").or_else(|| word.strip_prefix("ASIA"));
    rest.is_some_and(|rest| {
        rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    })
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
/// Parts of the names of variables that hold secrets, and of options of log drivers (`splunk-token`, Fluent Bit's `apikey`,
/// `licenseKey`, `Shared_Key` and `HTTP_Passwd`).
const SECRET_WORDS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "PRIVATE",
    "APIKEY",
    "API_KEY",
    "LICENSEKEY",
    "SHAREDKEY",
    "ACCESSKEY",
    "AUTHORIZATION",
];
/// Ends of such names.
const SECRET_ENDS: &[&str] = &["_KEY", "_PAT", "_PWD", "_DSN", "_PASS", "_PW", "_AUTH"];
/// How tokens of GitHub, GitLab, Slack, npm and Stripe begin, and how much has to follow at least.
/// <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats>,
/// <https://docs.gitlab.com/security/tokens/#token-prefixes>, <https://api.slack.com/concepts/token-types>
const TOKEN_STARTS: &[(&str, usize)] = &[
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glptt-", 16),
    ("glrt-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("npm_", 30),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
];
/// What follows `Bearer`, at least, in bytes; a word of a sentence has no digits.
const BEARER_CHARS_MIN: usize = 8;
/// The length of a secret access key.
const SECRET_KEY_CHARS: usize = 40;
/// Lists and maps whose names are the author's own, or a log or volume driver's. Those of secrets have only names of
/// secrets, and are shown.
const NAMED_BY_USERS: &[&str] =
    &["environment", "options", "dockerLabels", "driverOpts", "labels", "properties", "tags"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_is_shown_wherever_it_stands() {
        let (old, new) = (
            task(json!({ "name": "web" })),
            task(json!({
                "name": "web",
                "command": ["serve", "--db-password", "hunter2", "--url=https://u:hunter2@h/", "--token=hunter2"],
                "environment": [
                    { "name": "DB_PASSWORD", "value": "hunter2" }, { "name": "DB_PASSWORD", "value": "hunter2" },
                    { "name": "LOG", "value": "info" }, { "name": "LOG", "value": "debug" },
                    { "name": "DB_PASS", "value": "hunter2" }, { "name": "ADMIN_PW", "value": "hunter2" },
                    { "name": "PROXY_AUTH", "value": "hunter2" }, { "name": "HOOK", "value": "xoxb-0123456789-hunter2" },
                ],
                "logConfiguration": { "logDriver": "splunk", "options": {
                    "splunk-token": "hunter2", "splunk-url": "https://splunk.example.com", "apikey": "hunter2",
                    "HTTP_Passwd": "hunter2", "licenseKey": "hunter2", "tag": "web",
                } },
                "firelensConfiguration": { "type": "fluentbit", "options": { "Shared_Key": "hunter2" } },
                "dockerLabels": { "com.example.api-key": "hunter2", "com.example.team": "web" },
                "systemControls": [{ "namespace": "a", "value": "Bearer 0123-hunter2" }],
                "secrets": [{ "name": "DB_TOKEN", "valueFrom": "arn:aws:ssm:r:1:parameter/token" }],
                "repositoryCredentials": { "credentialsParameter": "arn:aws:secretsmanager:r:1:secret:token" },
            })),
        );
        for values in [Values::Shown, Values::Hidden] {
            let rows = between(&old, &new, values);
            let text = format!("{rows:?}");
            assert!(!text.contains("hunter2"), "{text}");
            for shown in ["parameter/token", "secret:token", "splunk.example.com", "com.example.team"] {
                assert!(text.contains(shown), "{shown}: {text}");
            }
            assert_eq!(text.contains("debug"), values == Values::Shown, "{text}");
        }
    }

    #[test]
    fn no_name_of_a_container_or_a_label_shows_a_secret() {
        for name in ["fetch-secrets", "secrets", "secretOptions", "environment", "tags", "web-environment"] {
            let new = task(json!({
                "name": name,
                "command": ["serve", "--token=hunter2"],
                "environment": [{ "name": "A_TOKEN", "value": "hunter2" }, { "name": "LOG", "value": "debug" }],
                "logConfiguration": { "logDriver": "splunk", "options": { "splunk-token": "hunter2" } },
                "dockerLabels": { "api-key": "hunter2", "com.acme.secrets.api-key": "hunter2" },
                "secrets": [{ "name": "DB", "valueFrom": "arn:aws:ssm:r:1:parameter/db" }],
            }));
            for values in [Values::Shown, Values::Hidden] {
                let text = format!("{:?}", between(&task(json!({ "name": name })), &new, values));
                assert!(!text.contains("hunter2"), "{text}");
                // Rather too much is hidden where a container is called like a list.
                assert!(text.contains("parameter/db") || ["environment", "tags"].contains(&name), "{text}");
                assert_eq!(text.contains("debug"), values == Values::Shown, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_list_of_names_hides_its_secrets_too() {
        // Two containers of one name, an environment that is a map, one that is a text: ECS refuses them afterwards.
        let twin = json!({ "name": "web", "environment": [{ "name": "A_TOKEN", "value": "hunter2" }] });
        let wrong = [
            json!([twin, twin]),
            json!([{ "name": "web", "environment": { "A_TOKEN": "hunter2" } }]),
            json!([{ "name": "web", "environment": [{ "A_TOKEN": "hunter2" }] }]),
        ];
        for containers in wrong {
            let new = json!({ "family": "web", "containerDefinitions": containers });
            let new = Definition::from_document(new).map(|read| read.definition).unwrap();
            let text = format!("{:?}", between(&task(json!({ "name": "web" })), &new, Values::Hidden));
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    fn task(container: Value) -> Definition {
        let document = json!({ "family": "web", "containerDefinitions": [container] });
        Definition::from_document(document).map(|read| read.definition).unwrap()
    }

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
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", true),
            ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", true),
            ("--id=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", true),
            ("eyJhIjoxfQ==", false),
            ("glpat-0123456789abcdefghij", true),
            ("https://gitlab.example.com/?t=glpat-0123456789abcdefghij", true),
            ("glpat-is-the-start", false),
            ("xoxb-123456789012-abcdef", true),
            ("ghp_0123456789abcdefghijABCDEFGHIJ012345", true),
            ("ghs_0123456789abcdefghijABCDEFGHIJ012345", true),
            ("github_pat_11AAAAAAA0123456789abc_defghij", true),
            ("npm_0123456789abcdefghijABCDEFGHIJ012345", true),
            ("npm_config_registry", false),
            ("sk_live_0123456789abcdef", true),
            ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", true),
            ("ASIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", true),
            ("AKIAIOSFODNN7EXAMPLE", false),
            ("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", false),
            ("Bearer 0123456789", true),
            ("curl -H 'Authorization: Basic aHVudGVyMg=='", true),
            ("authorization: bearer 0123456789", true),
            ("the bearer of it", false),
            ("Bearer authentication", false),
            ("https://hooks.slack.com/services/T0/B0/abc", true),
            ("https://slack.com/services", false),
            ("r/app:v1.2.3-rc.1", false),
            ("sha256:2fd4e1c67a2d28fced849ee1bb76e7391b93eb122fd4e1c67a2d28fced849ee1", false),
        ] {
            assert_eq!(is_secret_value(&Value::from(value)), is_secret, "{value}");
        }
    }
}
