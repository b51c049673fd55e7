//! What amazon-ecs-deploy-task-definition makes of a task definition before it registers it: members that
//! only AWS can say go, and so does everything that is empty, whether it was meant or not.

use serde_json::{Map, Value, json};

/// What `DescribeTaskDefinition` answers and `RegisterTaskDefinition` does not take: the action's list.
pub(super) const READ_ONLY: [&str; 8] = [
    "compatibilities",
    "taskDefinitionArn",
    "requiresAttributes",
    "revision",
    "status",
    "registeredAt",
    "deregisteredAt",
    "registeredBy",
];

/// What is registered, and the warnings: the action's own, and what it drops without one.
pub fn clean(definition: &Value, keep: &[&str]) -> (Value, Vec<String>) {
    let mut dropped = Vec::new();
    let mut cleaned = without_empty(definition, "", keep, &mut dropped).unwrap_or_else(|| json!({}));
    let mut warnings = Vec::new();
    if let Some(members) = cleaned.as_object_mut() {
        for name in READ_ONLY {
            if members.remove(name).is_some() {
                warnings.push(format!(
                    "Ignoring property '{name}' in the task definition file. This property is returned by the Amazon ECS DescribeTaskDefinition API and may be shown in the ECS console, but it is not a valid field when registering a new task definition. This field can be safely removed from your task definition file."
                ));
            }
        }
    }
    put_back(&mut cleaned);
    // An empty variable comes back.
    dropped.retain(|path| !(path.contains(".environment[") && path.ends_with(".value")));
    if !dropped.is_empty() {
        warnings.push(format!(
            "the action drops what is empty, without a word: {}; `keep-null-value-keys` keeps it",
            dropped.join(", ")
        ));
    }
    (cleaned, warnings)
}

/// A value without what is empty in it; none when nothing is left.
fn without_empty(value: &Value, path: &str, keep: &[&str], dropped: &mut Vec<String>) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => {
            dropped.push(path.to_owned());
            None
        }
        Value::Array(items) => {
            let kept: Vec<Value> = items
                .iter()
                .enumerate()
                .filter_map(|(at, item)| without_empty(item, &format!("{path}[{at}]"), keep, dropped))
                .collect();
            if items.is_empty() {
                dropped.push(path.to_owned());
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(members) => {
            let mut kept = Map::new();
            let mut has_content = false;
            for (name, value) in members {
                let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let before = dropped.len();
                match without_empty(value, &place, keep, dropped) {
                    Some(value) => {
                        has_content = true;
                        kept.insert(name.clone(), value);
                    }
                    None if keep.contains(&name.as_str()) && !value.is_null() => {
                        dropped.truncate(before);
                        kept.insert(name.clone(), value.clone());
                    }
                    None => {}
                }
            }
            // An object with nothing but kept keys that are empty goes all the same.
            if !has_content && !kept.is_empty() {
                dropped.push(path.to_owned());
            }
            has_content.then_some(Value::Object(kept))
        }
        other => Some(other.clone()),
    }
}

/// Empty values that have to be there.
fn put_back(definition: &mut Value) {
    let containers = definition.get_mut("containerDefinitions").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let variables = container.get_mut("environment").and_then(Value::as_array_mut);
        for variable in variables.into_iter().flatten().filter_map(Value::as_object_mut) {
            variable.entry("value").or_insert_with(|| json!(""));
        }
    }
    let proxy = definition.get_mut("proxyConfiguration").filter(|proxy| proxy["type"] == "APPMESH");
    let properties = proxy.and_then(|proxy| proxy.get_mut("properties")).and_then(Value::as_array_mut);
    for property in properties.into_iter().flatten().filter_map(Value::as_object_mut) {
        for name in ["value", "name"] {
            property.entry(name).or_insert_with(|| json!(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_goes_and_is_told_but_for_variables() {
        let definition = json!({
            "family": "web",
            "revision": 7,
            "tags": [],
            "containerDefinitions": [{
                "name": "web",
                "cpu": 0,
                "essential": false,
                "command": [],
                "environment": [{ "name": "EMPTY", "value": "" }],
                "logConfiguration": { "logDriver": "json-file", "options": { "tag": "" } },
                "dockerLabels": { "tag": "", "u": "1" },
            }],
        });
        let (cleaned, warnings) = clean(&definition, &[]);
        let wanted = json!({
            "family": "web",
            "containerDefinitions": [{
                "name": "web",
                "cpu": 0,
                "essential": false,
                "environment": [{ "name": "EMPTY", "value": "" }],
                "logConfiguration": { "logDriver": "json-file" },
                "dockerLabels": { "u": "1" },
            }],
        });
        assert_eq!(cleaned, wanted);
        let told = warnings.join("\n");
        for part in [
            "Ignoring property 'revision'",
            "tags",
            "containerDefinitions[0].command",
            "containerDefinitions[0].logConfiguration.options.tag",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("environment"), "{told}");
    }

    #[test]
    fn keys_that_are_kept_stay_unless_they_are_alone() {
        let definition = json!({ "a": { "tag": "" }, "b": { "tag": "", "u": "1" } });
        let (cleaned, _) = clean(&definition, &["tag"]);
        assert_eq!(cleaned, json!({ "b": { "tag": "", "u": "1" } }));
    }
}
