//! A task definition as a JSON object that is kept to the letter: fields that nobody here knows stay.

use serde_json::{Map, Value, json};

use super::members::{self, Unknown};

/// A JSON object.
pub type Object = Map<String, Value>;

/// A task definition, ready to be registered: without what only AWS may say of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Definition {
    body: Object,
    is_read: bool,
    /// Members that were set by name, by their container where they are one's: these are meant.
    set: Vec<(Option<String>, String)>,
}

/// A task definition that was read, and what was left out of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// The task definition.
    pub definition: Definition,
    /// Read-only members that were there, in written order.
    pub left_out: Vec<String>,
    /// Members that ECS doesn't know, in written order.
    pub unknown: Vec<Unknown>,
}

impl Definition {
    /// From a document of the user's: as `RegisterTaskDefinition` takes it, or as
    /// `aws ecs describe-task-definition` prints it.
    ///
    /// # Errors
    /// What a task definition has and this has not.
    pub fn from_document(document: Value) -> Result<Read, String> {
        let Value::Object(mut body) = document else {
            return Err(format!("a task definition is a map, this is {}", kind(&document)));
        };
        if let Some(Value::Object(_)) = body.get("taskDefinition") {
            let tags = body.remove("tags");
            let Some(Value::Object(inner)) = body.remove("taskDefinition") else { return Err(String::new()) };
            body = inner;
            if let Some(tags) = tags {
                body.entry("tags").or_insert(tags);
            }
        }
        let left_out = remove_read_only(&mut body);
        let Value::Object(mut body) = without_nulls(Value::Object(body)) else { return Err(String::new()) };
        drop_system_tags(&mut body);
        let unknown = members::unknown(&body);
        // By custom these are for whoever writes: where YAML's anchors stand.
        body.retain(|name, _| !name.starts_with("x-"));
        let definition = Self { body, is_read: true, set: Vec::new() };
        // What is missing is often there by another name.
        let misspelt = |why| unknown.iter().find(|one| one.meant.is_some()).map_or(why, ToString::to_string);
        definition.check().map_err(misspelt)?;
        Ok(Read { definition, left_out, unknown })
    }

    /// From the answer of `DescribeTaskDefinition` with its tags.
    ///
    /// # Errors
    /// When the answer holds none.
    pub fn from_described(answer: &Value) -> Result<Self, String> {
        let keep = |name: &str| answer.get(name).filter(|value| !value.is_null()).cloned();
        let mut document = Object::new();
        document.insert("taskDefinition".to_owned(), keep("taskDefinition").unwrap_or_default());
        if let Some(tags) = keep("tags").filter(|tags| tags.as_array().is_some_and(|all| !all.is_empty())) {
            document.insert("tags".to_owned(), tags);
        }
        Self::from_document(Value::Object(document)).map(|read| read.definition)
    }

    /// One that is registered and that couldn't be read: no more than its name is known.
    pub fn unread(name: &str) -> Self {
        let family = short(name).split(':').next().unwrap_or_default();
        let body = Object::from_iter([("family".to_owned(), Value::from(family))]);
        Self { body, is_read: false, set: Vec::new() }
    }

    /// Whether more than its name is known.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The containers' images, in written order.
    pub fn images(&self) -> Vec<(String, String)> {
        let image = |container| Some((name_of(container).to_owned(), text(container, "image")?.to_owned()));
        self.container_objects().filter_map(image).collect()
    }

    fn check(&self) -> Result<(), String> {
        match self.body.get("family") {
            Some(Value::String(family)) if !family.is_empty() => {}
            _ => return Err("a task definition has a `family`, and this one has none".to_owned()),
        }
        match self.body.get("containerDefinitions") {
            Some(Value::Array(all)) if !all.is_empty() && all.iter().all(Value::is_object) => Ok(()),
            Some(Value::Array(all)) if !all.is_empty() => {
                Err("every item of `containerDefinitions` has to be a map".to_owned())
            }
            Some(other @ (Value::Object(_) | Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                Err(format!("`containerDefinitions` is {}, and a list is expected", kind(other)))
            }
            _ => Err("a task definition has `containerDefinitions`, and this one has none".to_owned()),
        }
    }

    /// The same as ECS would keep it, as far as that can be told: misspelt members, and those that are the author's own
    /// by their name (`x-…`), are dropped by it, and are no difference. Of another unknown one nobody here can tell whether
    /// it is newer than this program: it stays, as does one that was set by name or that the registered one has, since a
    /// revision too many is better than a change that is never deployed.
    #[must_use]
    pub fn as_kept_by(&self, registered: &Self) -> Self {
        let mut kept = self.clone();
        members::strip(&mut kept.body, &members::unknown(&registered.body), &self.set);
        kept
    }

    /// Remembers that a member was set by its name.
    pub(super) fn note_set(&mut self, container: Option<&str>, name: &str) {
        self.set.push((container.map(str::to_owned), name.to_owned()));
    }

    /// Its family.
    pub fn family(&self) -> &str {
        self.body.get("family").and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole of it, as `RegisterTaskDefinition` takes it.
    pub fn body(&self) -> &Object {
        &self.body
    }

    pub(super) fn body_mut(&mut self) -> &mut Object {
        &mut self.body
    }

    /// The containers' names, in written order.
    pub fn containers(&self) -> Vec<&str> {
        self.container_objects().map(name_of).collect()
    }

    /// The containers.
    pub fn container_objects(&self) -> impl Iterator<Item = &Object> {
        list(&self.body, "containerDefinitions").iter().filter_map(Value::as_object)
    }

    /// A container by its name.
    pub fn container(&self, name: &str) -> Option<&Object> {
        self.container_objects().find(|container| name_of(container) == name)
    }

    pub(super) fn container_mut(&mut self, name: &str) -> Option<&mut Object> {
        let all = self.body.get_mut("containerDefinitions")?.as_array_mut()?;
        all.iter_mut().filter_map(Value::as_object_mut).find(|container| name_of(container) == name)
    }

    /// The roles that a registration passes to the tasks.
    pub fn roles(&self) -> Vec<&str> {
        ["executionRoleArn", "taskRoleArn"].into_iter().filter_map(|name| text(&self.body, name)).collect()
    }

    /// The same task definition as AWS would tell it: with nothing that says what is the default anyway, and
    /// with lists whose order means nothing in order. Two that are equal then run the same tasks.
    pub fn normalised(&self) -> Value {
        let mut body = self.body.clone();
        let network = text(&body, "networkMode").unwrap_or("bridge").to_owned();
        for name in ["cpu", "memory"] {
            if let Some(Value::String(size)) = body.get(name) {
                let plain = plain_size(name, size);
                body.insert(name.to_owned(), Value::from(plain));
            }
        }
        if let Some(Value::Array(all)) = body.get_mut("containerDefinitions") {
            for container in all.iter_mut().filter_map(Value::as_object_mut) {
                normalise_container(container, &network);
            }
        }
        if let Some(Value::Array(volumes)) = body.get_mut("volumes") {
            volumes.iter_mut().filter_map(Value::as_object_mut).for_each(|volume| {
                remove_if(volume, "host", &json!({}));
            });
        }
        remove_if(&mut body, "networkMode", &json!("bridge"));
        remove_if(&mut body, "enableFaultInjection", &json!(false));
        sort(&mut body, "tags", "key");
        sort(&mut body, "volumes", "name");
        sort_texts(&mut body, "requiresCompatibilities");
        without_empties(Value::Object(body))
    }
}

fn normalise_container(container: &mut Object, network: &str) {
    for (name, default) in [
        ("cpu", json!(0)),
        ("essential", json!(true)),
        ("versionConsistency", json!("enabled")),
        ("interactive", json!(false)),
        ("pseudoTerminal", json!(false)),
        ("privileged", json!(false)),
        ("readonlyRootFilesystem", json!(false)),
        ("disableNetworking", json!(false)),
    ] {
        remove_if(container, name, &default);
    }
    if let Some(Value::Array(ports)) = container.get_mut("portMappings") {
        for mapping in ports.iter_mut().filter_map(Value::as_object_mut) {
            remove_if(mapping, "protocol", &json!("tcp"));
            let implied = match network {
                "awsvpc" | "host" => mapping.get("containerPort").cloned().unwrap_or_default(),
                _ => json!(0),
            };
            remove_if(mapping, "hostPort", &implied);
        }
    }
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        for (name, default) in [("interval", 30), ("timeout", 5), ("retries", 3), ("startPeriod", 0)] {
            remove_if(check, name, &json!(default));
        }
    }
    if let Some(Value::Array(mounts)) = container.get_mut("mountPoints") {
        mounts.iter_mut().filter_map(Value::as_object_mut).for_each(|mount| {
            remove_if(mount, "readOnly", &json!(false));
        });
    }
    sort(container, "environment", "name");
    sort(container, "secrets", "name");
}

/// `1 vCPU` and `1 GB` in the numbers that ECS keeps.
fn plain_size(member: &str, value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    let unit = if member == "cpu" { "vcpu" } else { "gb" };
    let number = lower.strip_suffix(unit).map(str::trim).and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(number) if number.is_finite() && (0.0..1e6).contains(&number) => {
            format!("{:.0}", number * 1024.0)
        }
        _ => value.to_owned(),
    }
}

fn remove_if(object: &mut Object, name: &str, default: &Value) {
    if object.get(name) == Some(default) {
        object.shift_remove(name);
    }
}

fn sort(object: &mut Object, list: &str, by: &str) {
    if let Some(Value::Array(items)) = object.get_mut(list) {
        let key = |item: &Value| item.get(by).and_then(Value::as_str).unwrap_or_default().to_owned();
        items.sort_by_key(key);
    }
}

fn sort_texts(object: &mut Object, list: &str) {
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.sort_by_key(|item| item.as_str().unwrap_or_default().to_owned());
    }
}

fn remove_read_only(body: &mut Object) -> Vec<String> {
    let found: Vec<String> = body.keys().filter(|name| READ_ONLY.contains(&name.as_str())).cloned().collect();
    for name in &found {
        body.shift_remove(name);
    }
    found
}

/// Tags of AWS's own can't be given by anybody else.
fn drop_system_tags(body: &mut Object) {
    if let Some(Value::Array(tags)) = body.get_mut("tags") {
        tags.retain(|tag| !tag.get("key").and_then(Value::as_str).unwrap_or_default().starts_with("aws:"));
        if tags.is_empty() {
            body.shift_remove("tags");
        }
    }
}

/// In this protocol null is how a member is left out. A variable's value that is null is an empty one: that is
/// what a YAML author means by `value:`. Nothing else that is empty is touched.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let is_pair = object.contains_key("name") && object.len() == 2;
            let kept = object.into_iter().filter_map(|(name, value)| match value {
                Value::Null if is_pair && name == "value" => Some((name, Value::from(""))),
                Value::Null => None,
                value => Some((name, without_nulls(value))),
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// For comparing: an empty list or map says as much as none.
fn without_empties(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter_map(|(name, value)| {
                let value = without_empties(value);
                let is_empty = value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                (!is_empty).then_some((name, value))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empties).collect()),
        other => other,
    }
}

pub(super) fn text<'b>(body: &'b Object, name: &str) -> Option<&'b str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(super) fn list<'b>(body: &'b Object, name: &str) -> &'b [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn name_of(container: &Object) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// `family:revision` of an ARN, or the text as it is.
pub fn short(definition: &str) -> &str {
    definition.rsplit_once("task-definition/").map_or(definition, |(_, name)| name)
}

/// What `DescribeTaskDefinition` tells and `RegisterTaskDefinition` doesn't take.
const READ_ONLY: &[&str] = &[
    "compatibilities",
    "deleteRequestedAt",
    "deregisteredAt",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "revision",
    "status",
    "taskDefinitionArn",
];
