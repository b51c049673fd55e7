//! Changes of a task definition that flags ask for.

use serde_json::{Value, json};

use super::definition::{Definition, Object, kind, list, name_of, text};

/// A change, and the flag that asked for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Edit {
    /// Such as `--image`, for messages.
    pub flag: &'static str,
    /// Which containers it is about: those named with the flag, else those of `--container`, else the only
    /// one that there is.
    pub containers: Vec<String>,
    /// What changes.
    pub change: Change,
}

/// What changes in a container or in the task.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "the names of the fields in ECS's API")]
pub enum Change {
    Image(String),
    Environment {
        name: String,
        value: String,
    },
    RemoveEnvironment(String),
    ClearEnvironment,
    Secret {
        name: String,
        value_from: String,
    },
    RemoveSecret(String),
    /// Takes the place of all that are there.
    EnvironmentFiles(Vec<String>),
    DockerLabel {
        name: String,
        value: String,
    },
    RemoveDockerLabel(String),
    LogDriver(String),
    LogOption {
        name: String,
        value: String,
    },
    RemoveLogOption(String),
    Command(Vec<String>),
    EntryPoint(Vec<String>),
    ContainerCpu(i64),
    ContainerMemory(i64),
    /// A member of the container, by a JSON value.
    ContainerMember {
        name: String,
        value: Value,
    },
    Cpu(String),
    Memory(String),
    TaskRole(String),
    ExecutionRole(String),
    Family(String),
    Tag {
        key: String,
        value: String,
    },
    RemoveTag(String),
    /// A member of the task definition, by a JSON value.
    Member {
        name: String,
        value: Value,
    },
}

impl Change {
    fn is_of_task(&self) -> bool {
        matches!(
            self,
            Self::Cpu(_)
                | Self::Memory(_)
                | Self::TaskRole(_)
                | Self::ExecutionRole(_)
                | Self::Family(_)
                | Self::Tag { .. }
                | Self::RemoveTag(_)
                | Self::Member { .. }
        )
    }
}

/// Makes all changes, or none.
///
/// # Errors
/// A sentence for the user that names the flag: a container that isn't there, something to remove that isn't.
pub fn apply(definition: &Definition, edits: &[Edit]) -> Result<Definition, String> {
    let mut edited = definition.clone();
    for edit in edits {
        let told = |reason: String| format!("{}: {reason}", edit.flag);
        if edit.change.is_of_task() {
            change_task(edited.body_mut(), &edit.change).map_err(told)?;
            if let Change::Member { name, .. } = &edit.change {
                edited.note_set(None, name);
            }
            continue;
        }
        for name in targets(&edited, edit).map_err(told)? {
            let Some(container) = edited.container_mut(&name) else { continue };
            change_container(container, &edit.change).map_err(told)?;
            if let Change::ContainerMember { name: member, .. } = &edit.change {
                edited.note_set(Some(&name), member);
            }
        }
    }
    Ok(edited)
}

fn targets(definition: &Definition, edit: &Edit) -> Result<Vec<String>, String> {
    let known = definition.containers();
    if edit.containers.is_empty() {
        return match known.as_slice() {
            [only] => Ok(vec![(*only).to_owned()]),
            all => Err(format!(
                "which container? {} has {}: name one before the value, or with --container",
                definition.family(),
                quoted(all)
            )),
        };
    }
    for name in &edit.containers {
        if !known.contains(&name.as_str()) {
            return Err(format!(
                "{} has no container `{}`; it has {}",
                definition.family(),
                name.escape_debug(),
                quoted(&known)
            ));
        }
        let count = known.iter().filter(|known| **known == name).count();
        if count > 1 {
            return Err(format!("{count} containers of {} are named `{name}`", definition.family()));
        }
    }
    Ok(edit.containers.clone())
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn change_task(body: &mut Object, change: &Change) -> Result<(), String> {
    let mut set = |name: &str, value: &str| {
        body.insert(name.to_owned(), Value::from(value));
    };
    match change {
        Change::Cpu(value) => set("cpu", value),
        Change::Memory(value) => set("memory", value),
        Change::TaskRole(value) => set("taskRoleArn", value),
        Change::ExecutionRole(value) => set("executionRoleArn", value),
        Change::Family(value) => set("family", value),
        Change::Tag { key, value } => put(body, "tags", "key", key, json!({ "key": key, "value": value }))?,
        Change::RemoveTag(key) => remove(body, "tags", "key", key)?,
        Change::Member { name, value } => put_member(body, name, value),
        _ => {}
    }
    Ok(())
}

fn change_container(container: &mut Object, change: &Change) -> Result<(), String> {
    match change {
        Change::Image(value) => put_member(container, "image", &Value::from(value.as_str())),
        Change::Environment { name, value } => {
            // A name is either a variable or a secret: ECS refuses both.
            let _ = remove(container, "secrets", "name", name);
            put(container, "environment", "name", name, json!({ "name": name, "value": value }))?;
        }
        Change::RemoveEnvironment(name) => remove(container, "environment", "name", name)?,
        Change::ClearEnvironment => put_member(container, "environment", &Value::Null),
        Change::Secret { name, value_from } => {
            let _ = remove(container, "environment", "name", name);
            put(container, "secrets", "name", name, json!({ "name": name, "valueFrom": value_from }))?;
        }
        Change::RemoveSecret(name) => remove(container, "secrets", "name", name)?,
        Change::EnvironmentFiles(arns) => {
            let files: Vec<Value> = arns.iter().map(|arn| json!({ "value": arn, "type": "s3" })).collect();
            put_member(container, "environmentFiles", &Value::Array(files));
        }
        Change::DockerLabel { name, value } => {
            map_of(container, "dockerLabels")?.insert(name.clone(), Value::from(value.as_str()));
        }
        Change::RemoveDockerLabel(name) => remove_key(container, "dockerLabels", name)?,
        Change::LogDriver(driver) => log_driver(container, driver),
        Change::LogOption { name, value } => {
            if container.get("logConfiguration").and_then(|log| log.get("logDriver")).is_none() {
                return Err(format!(
                    "container `{}` has no log driver; --log-driver says which one",
                    name_of(container)
                ));
            }
            let log = map_of(container, "logConfiguration")?;
            map_of(log, "options")?.insert(name.clone(), Value::from(value.as_str()));
        }
        Change::RemoveLogOption(name) => remove_key(map_of(container, "logConfiguration")?, "options", name)?,
        Change::Command(words) => put_member(container, "command", &json!(words)),
        Change::EntryPoint(words) => put_member(container, "entryPoint", &json!(words)),
        Change::ContainerCpu(units) => put_member(container, "cpu", &json!(units)),
        Change::ContainerMemory(mib) => put_member(container, "memory", &json!(mib)),
        Change::ContainerMember { name, value } => put_member(container, name, value),
        _ => {}
    }
    Ok(())
}

/// Another driver knows other options, so the old ones go with the old driver.
fn log_driver(container: &mut Object, driver: &str) {
    let known = container.get("logConfiguration").and_then(|log| log.get("logDriver"));
    if known.and_then(Value::as_str) != Some(driver) {
        container.insert("logConfiguration".to_owned(), json!({ "logDriver": driver }));
    }
}

/// Null takes a member away.
fn put_member(object: &mut Object, name: &str, value: &Value) {
    if value.is_null() {
        object.shift_remove(name);
    } else {
        object.insert(name.to_owned(), value.clone());
    }
}

/// Puts an item into a list of named ones: in place of the one with this name, else at the end.
fn put(object: &mut Object, list: &str, by: &str, name: &str, item: Value) -> Result<(), String> {
    check_list(object, list)?;
    let items = object.entry(list).or_insert_with(|| json!([]));
    let Some(items) = items.as_array_mut() else { return Ok(()) };
    match items.iter_mut().find(|known| known.get(by).and_then(Value::as_str) == Some(name)) {
        Some(known) => *known = item,
        None => items.push(item),
    }
    Ok(())
}

/// What is there in place of a list is not thrown away.
fn check_list(object: &Object, name: &str) -> Result<(), String> {
    match object.get(name) {
        None | Some(Value::Null | Value::Array(_)) => Ok(()),
        Some(other) => Err(unexpected(object, name, other, "a list")),
    }
}

fn unexpected(object: &Object, name: &str, found: &Value, wanted: &str) -> String {
    let of = text(object, "name").map_or_else(String::new, |name| format!(" of container `{name}`"));
    format!("`{name}`{of} is {}, and {wanted} is expected", kind(found))
}

fn remove(object: &mut Object, from: &str, by: &str, name: &str) -> Result<(), String> {
    let is_this = |item: &Value| item.get(by).and_then(Value::as_str) == Some(name);
    check_list(object, from)?;
    if !list(object, from).iter().any(is_this) {
        let of = text(object, "name").map_or_else(String::new, |name| format!(" of container `{name}`"));
        let known: Vec<&str> = list(object, from).iter().filter_map(|item| item.get(by)?.as_str()).collect();
        let there = if known.is_empty() { "nothing".to_owned() } else { quoted(&known) };
        return Err(format!("`{name}` is not in `{from}`{of}; there is {there}"));
    }
    if let Some(items) = object.get_mut(from).and_then(Value::as_array_mut) {
        items.retain(|item| !is_this(item));
    }
    Ok(())
}

fn remove_key(object: &mut Object, from: &str, name: &str) -> Result<(), String> {
    let removed = object.get_mut(from).and_then(Value::as_object_mut).and_then(|map| map.shift_remove(name));
    removed.map(drop).ok_or_else(|| format!("`{name}` is not in `{from}`"))
}

fn map_of<'o>(object: &'o mut Object, name: &str) -> Result<&'o mut Object, String> {
    match object.get(name) {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(other) => return Err(unexpected(object, name, other, "a map")),
    }
    let value = object.entry(name).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => unreachable!("INVARIANT: it was looked at just now"),
    }
}
