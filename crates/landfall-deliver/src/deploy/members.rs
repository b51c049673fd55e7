//! The members that a task definition may have. ECS drops what it doesn't know without a word, so that a misspelt
//! `portMapping` is a container without ports.

use std::sync::OnceLock;

use serde_json::Value;

use super::definition::{Object, name_of};

/// Names as `RegisterTaskDefinition` has them, written by `tools/task_definition.py`.
const KNOWN: &str = include_str!("../../data/task_definition.json");
/// From this likeness on another name is taken to be meant: `executionRole` and `executionRoleArn` have 0.96.
const LIKENESS_MIN: f64 = 0.88;

/// A member that ECS doesn't know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// What it is a member of, for a person: `container 'web'`, `logConfiguration of container 'web'`.
    pub of: String,
    /// The member that is likely to be meant.
    pub meant: Option<String>,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, of, meant } = self;
        match meant {
            Some(meant) => write!(f, "ECS knows no `{name}` in {of}, and drops it: is `{meant}` meant?"),
            None if self.is_the_authors() => write!(f, "ECS knows no `{name}` in {of}, and drops it"),
            None => write!(
                f,
                "`{name}` in {of} is not known here: it is kept, and ECS drops it unless it is new there"
            ),
        }
    }
}

impl Unknown {
    /// Whether it is the author's own by its name, which nobody else's ever has.
    fn is_the_authors(&self) -> bool {
        self.name.starts_with("x-")
    }
}

/// The members of a task definition that ECS doesn't know, in written order.
pub fn unknown(body: &Object) -> Vec<Unknown> {
    let mut found = Vec::new();
    look(body, known(), "the task definition", &mut found);
    found
}

/// Takes away the members that ECS surely drops: what is misspelt, and what is the author's own by its name. Those that
/// are to be kept stay, and those that were set by name, of a container or of the task definition.
pub(super) fn strip(body: &mut Object, kept: &[Unknown], set: &[(Option<String>, String)]) {
    let set = set.iter().filter_map(|(container, name)| unknown_member(container.as_deref(), name));
    let kept: Vec<Unknown> = kept.iter().cloned().chain(set).collect();
    strip_in(body, known(), "the task definition", &kept);
}

fn strip_in(object: &mut Object, known: &Value, of: &str, kept: &[Unknown]) {
    let is_dropped =
        |unknown: &Unknown| (unknown.meant.is_some() || unknown.is_the_authors()) && !kept.contains(unknown);
    object.retain(|name, _| !judge(name, known, of).is_some_and(|unknown| is_dropped(&unknown)));
    for (name, value) in object.iter_mut() {
        let Some(known) = known.get(name).filter(|known| known.is_object()) else { continue };
        let items = match value {
            Value::Array(items) => items.as_mut_slice(),
            other => std::slice::from_mut(other),
        };
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            let of = place(name, item, of);
            strip_in(item, known, &of, kept);
        }
    }
}

/// What an item of a member is called in messages.
fn place(name: &str, item: &Object, of: &str) -> String {
    match (name, name_of(item)) {
        ("containerDefinitions", "") => "a container without `name`".to_owned(),
        ("containerDefinitions", container) => format!("container '{container}'"),
        _ if of == "the task definition" => format!("`{name}`"),
        _ => format!("`{name}` of {of}"),
    }
}

/// Why a member of a container, or of the task definition, is none.
pub fn unknown_member(of_container: Option<&str>, name: &str) -> Option<Unknown> {
    let (known, of) = match of_container {
        Some(container) => (known().get("containerDefinitions")?, format!("container '{container}'")),
        None => (known(), "the task definition".to_owned()),
    };
    judge(name, known, &of)
}

fn known() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(KNOWN).unwrap_or_default())
}

fn judge(name: &str, known: &Value, of: &str) -> Option<Unknown> {
    let names = known.as_object().filter(|names| !names.is_empty() && !names.contains_key(name))?;
    let likeness = |one: &String| strsim::jaro_winkler(&one.to_lowercase(), &name.to_lowercase());
    let nearest = names.keys().max_by(|left, right| likeness(left).total_cmp(&likeness(right)));
    let meant = nearest.filter(|one| likeness(one) >= LIKENESS_MIN).cloned();
    Some(Unknown { name: name.to_owned(), of: of.to_owned(), meant })
}

fn look(object: &Object, known: &Value, of: &str, found: &mut Vec<Unknown>) {
    for (name, value) in object {
        if let Some(unknown) = judge(name, known, of) {
            found.push(unknown);
            continue;
        }
        let Some(known) = known.get(name).filter(|known| known.is_object()) else { continue };
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for item in items.iter().filter_map(Value::as_object) {
            let of = place(name, item, of);
            look(item, known, &of, found);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn of(document: Value) -> Vec<String> {
        unknown(document.as_object().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_misspelt_is_named_with_what_is_meant() {
        let container = |members: Value| json!({ "family": "web", "containerDefinitions": [members] });
        let told = |name: &str, of: &str, meant: &str| {
            format!("ECS knows no `{name}` in {of}, and drops it: is `{meant}` meant?")
        };
        for (document, wanted) in [
            (json!({ "famly": "web" }), told("famly", "the task definition", "family")),
            (
                json!({ "executionRole": "x" }),
                told("executionRole", "the task definition", "executionRoleArn"),
            ),
            (
                container(json!({ "name": "a", "portMapping": [] })),
                told("portMapping", "container 'a'", "portMappings"),
            ),
            (
                container(json!({ "name": "a", "enviroment": [] })),
                told("enviroment", "container 'a'", "environment"),
            ),
            (container(json!({ "name": "a", "Image": "x" })), told("Image", "container 'a'", "image")),
            (
                container(json!({ "name": "a", "portMappings": [{ "containerport": 80 }] })),
                told("containerport", "`portMappings` of container 'a'", "containerPort"),
            ),
            (json!({ "volumes": [{ "nam": "x" }] }), told("nam", "`volumes`", "name")),
        ] {
            assert_eq!(of(document), [wanted]);
        }
        assert_eq!(
            of(json!({ "family": "web", "somethingElse": 1, "x-common": 1 })),
            [
                "`somethingElse` in the task definition is not known here: it is kept, and ECS drops it unless it is new \
                 there",
                "ECS knows no `x-common` in the task definition, and drops it",
            ]
        );
    }

    #[test]
    fn names_that_are_the_users_are_not_looked_at() {
        let container = json!({
            "name": "a",
            "dockerLabels": { "portMapping": "x" },
            "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-grp": "x" } },
        });
        assert!(of(json!({ "family": "web", "containerDefinitions": [container] })).is_empty());
    }
}
