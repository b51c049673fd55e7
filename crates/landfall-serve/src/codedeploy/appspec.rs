//! The AppSpec of a deployment to ECS: which task definition, with which container behind the load
//! balancer. CodeDeploy reads JSON and YAML.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html>

use landfall_wire::error::AwsError;
use landfall_wire::hash::sha256_hex;
use landfall_wire::json::Input;
use serde_json::{Map, Value, json};

use super::{Called, error, yaml};

/// What an AppSpec says.
pub(super) struct AppSpec {
    /// The text and its SHA-256.
    pub(super) revision: (String, String),
    /// `taskDefinition`, `platformVersion`, `networkConfiguration`, `capacityProviderStrategy`.
    pub(super) set: Map<String, Value>,
    /// Lifecycle events and the functions that would be asked.
    pub(super) hooks: Vec<(String, String)>,
}

fn wrong(message: impl Into<String>) -> AwsError {
    error("InvalidRevisionException", message)
}

/// A member whatever the case of its name: AppSpecs are written in all of them.
fn member<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    let members = of.as_object()?;
    members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The revision of a call.
pub(super) fn read(call: &Called<'_>) -> Result<AppSpec, AwsError> {
    let revision = call
        .input
        .object("revision")?
        .ok_or_else(|| error("RevisionRequiredException", "You must provide a revision"))?;
    let kind = revision.text("revisionType")?.unwrap_or_default();
    let content = match kind {
        "AppSpecContent" => revision.object("appSpecContent")?,
        "String" => revision.object("string")?,
        other => {
            return Err(wrong(format!(
                "The revision type {other} can't be read here: AppSpecContent is expected"
            )));
        }
    };
    let content = content.ok_or_else(|| wrong("The revision has no content"))?;
    let text = content.required_text("content")?;
    check_digest(content, text)?;
    parse(text, sha256_hex(text.as_bytes()))
}

/// Whether the digest that is given with a content, if one is, is its own.
pub(super) fn check_digest(given: Input<'_>, content: &str) -> Result<(), AwsError> {
    let own = sha256_hex(content.as_bytes());
    match given.text("sha256")?.filter(|given| !given.eq_ignore_ascii_case(&own)) {
        Some(given) => {
            Err(wrong(format!("The SHA-256 of the AppSpec content is {own}, and {given} was given")))
        }
        None => Ok(()),
    }
}

fn parse(text: &str, hash: String) -> Result<AppSpec, AwsError> {
    let is_json = text.trim_start().starts_with('{');
    let spec = match is_json {
        true => serde_json::from_str(text).map_err(|problem: serde_json::Error| problem.to_string()),
        false => yaml::parse(text),
    };
    let spec: Value =
        spec.map_err(|problem| wrong(format!("The AppSpec file is not well formed: {problem}")))?;
    let resources = member(&spec, "resources").and_then(Value::as_array);
    let resources = resources.ok_or_else(|| wrong("The AppSpec file must include property 'Resources'"))?;
    let [resource] = resources.as_slice() else {
        return Err(wrong("The AppSpec file must have one resource"));
    };
    let service = resource.as_object().and_then(|named| named.values().next());
    let kind = service.and_then(|service| member(service, "type")).and_then(Value::as_str);
    if kind != Some("AWS::ECS::Service") {
        return Err(wrong("The resource's type must be AWS::ECS::Service"));
    }
    let properties = service.and_then(|service| member(service, "properties"));
    let properties =
        properties.ok_or_else(|| wrong("The AppSpec file must include property 'Properties'"))?;
    let definition = member(properties, "taskDefinition").and_then(Value::as_str);
    let definition =
        definition.ok_or_else(|| wrong("The AppSpec file must include property 'TaskDefinition'"))?;
    let mut set = Map::new();
    set.insert("taskDefinition".to_owned(), Value::from(definition));
    for name in ["platformVersion", "networkConfiguration", "capacityProviderStrategy"] {
        if let Some(value) = member(properties, name).filter(|value| !value.is_null()) {
            set.insert(name.to_owned(), lower(value));
        }
    }
    if let Some(balancer) = member(properties, "loadBalancerInfo") {
        set.insert("loadBalancers".to_owned(), json!([lower(balancer)]));
    }
    let hooks = member(&spec, "hooks").and_then(Value::as_array).into_iter().flatten();
    let hooks = hooks.filter_map(Value::as_object).flatten();
    let hooks = hooks.filter_map(|(name, function)| Some((name.clone(), function.as_str()?.to_owned())));
    Ok(AppSpec { revision: (text.to_owned(), hash), set, hooks: hooks.collect() })
}

/// Names as ECS has them: `AwsvpcConfiguration` is `awsvpcConfiguration`.
fn lower(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                (first.into_iter().chain(letters).collect::<String>(), lower(value))
            })
            .collect(),
        Value::Array(items) => items.iter().map(lower).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_appspec_is_read_in_any_case_of_its_names() {
        let text = r#"{"version":0.0,"Resources":[{"TargetService":{"Type":"AWS::ECS::Service","Properties":{
            "TaskDefinition":"arn:td","LoadBalancerInfo":{"ContainerName":"web","ContainerPort":80},
            "NetworkConfiguration":{"AwsvpcConfiguration":{"Subnets":["s"]}}}}}],
            "Hooks":[{"BeforeInstall":"check"}]}"#;
        let spec = parse(text, String::new()).unwrap();
        let wanted = json!({
            "taskDefinition": "arn:td",
            "loadBalancers": [{ "containerName": "web", "containerPort": 80 }],
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["s"] } },
        });
        assert_eq!(Value::Object(spec.set), wanted);
        assert_eq!(spec.hooks, [("BeforeInstall".to_owned(), "check".to_owned())]);
        for (text, wanted) in [
            ("{version", "not well formed"),
            ("version: [", "not well formed"),
            ("version: 0", "'Resources'"),
            ("{}", "'Resources'"),
            (r#"{"resources":[{"a":{"type":"AWS::Lambda::Function"}}]}"#, "AWS::ECS::Service"),
            (r#"{"resources":[{"a":{"type":"AWS::ECS::Service","properties":{}}}]}"#, "'TaskDefinition'"),
        ] {
            let error = parse(text, String::new()).err().unwrap();
            assert!(error.message.contains(wanted), "{}", error.message);
        }
    }
}
