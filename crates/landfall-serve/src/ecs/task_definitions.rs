//! Task definitions: registered whole, kept to the letter, never changed.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html>

use std::sync::Arc;

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::pass_role::{self, PassedTo};
use super::{
    Called, Fault, Keys, client, failure, includes, invalid, load, names, resource_tag_keys, seconds, tags,
    task_checks,
};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{Body, DefinitionStatus, Family, Place, TaskDefinition};

/// What a client may write; the rest of what `DescribeTaskDefinition` tells is ECS's own and is not read.
const MEMBERS: [&str; 17] = [
    "family",
    "containerDefinitions",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
];
/// Task definitions that one call deletes.
const DELETED_MAX: usize = 10;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "RegisterTaskDefinition" => register(call),
        "DescribeTaskDefinition" => describe(call),
        "DeregisterTaskDefinition" => deregister(call),
        "DeleteTaskDefinitions" => delete(call),
        "ListTaskDefinitions" => list(call),
        "ListTaskDefinitionFamilies" => list_families(call),
        _ => return None,
    })
}

fn register(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let family = call.input.text("family")?.unwrap_or_default().to_owned();
    let given = tags::given(call.input)?;
    let arn = place.arn(&format!("task-definition/{family}:*"));
    let mut keys = tags::request_keys(&given);
    keys.extend(definition_keys(call)?);
    let permit = call.authorize::<calls::RegisterTaskDefinition>(arn.clone(), keys)?;
    for role in ["taskRoleArn", "executionRoleArn"] {
        if let Some(role) = call.input.text(role)?.filter(|role| !role.is_empty()) {
            pass_role::authorize(call, place, role, PassedTo::Tasks)?;
        }
    }
    tags::authorize_on_create(call, &arn, &given)?;
    if family.is_empty() {
        return Err(client("Family should not be null or empty"));
    }
    if !names::is_name(&family) {
        return Err(client("Family contains invalid characters."));
    }
    let body = normalised(call.members);
    task_checks::check(&body, place)?;
    let now = call.now_ms();
    let by = call.identified.caller.arn();
    let registered = call.write(&permit, |writing| {
        let last = writing.get::<Family>(&place.key(&[&family])).map_or(0, |family| family.last);
        let revision = last + 1;
        writing.put(Family { place: place.clone(), name: family.clone(), last: revision });
        let definition = TaskDefinition {
            place: place.clone(),
            family: family.clone(),
            revision,
            body,
            status: DefinitionStatus::Active,
            registered_by: by,
            registered_ms: now,
            deregistered_ms: None,
            delete_requested_ms: None,
            tags: given,
            was_there: false,
        };
        writing.put(definition.clone());
        Ok(definition)
    })?;
    Ok(with_tags(&registered, true))
}

/// `ecs:task-cpu`, `ecs:task-memory`, `ecs:privileged`, `ecs:compute-compatibility`.
fn definition_keys(call: &Called<'_>) -> Result<Keys, AwsError> {
    let mut keys = Keys::new();
    for (member, key) in [("cpu", "ecs:task-cpu"), ("memory", "ecs:task-memory")] {
        if let Some(value) = call.input.text(member)? {
            keys.push((key.to_owned(), vec![task_checks::plain_size(member, value)]));
        }
    }
    let compatibilities = call.input.texts("requiresCompatibilities")?;
    if !compatibilities.is_empty() {
        let values = compatibilities.into_iter().map(str::to_owned).collect();
        keys.push(("ecs:compute-compatibility".to_owned(), values));
    }
    let mut privileged = false;
    for container in call.input.objects("containerDefinitions")? {
        privileged |= container.boolean("privileged")?.unwrap_or(false);
    }
    let word = if privileged { "enabled" } else { "disabled" };
    keys.push(("ecs:privileged".to_owned(), vec![word.to_owned()]));
    Ok(keys)
}

/// What was written, with the defaults that ECS fills in.
fn normalised(given: &Body) -> Body {
    let mut body = super::members(given, &MEMBERS);
    for list in ["volumes", "placementConstraints"] {
        body.entry(list).or_insert_with(|| json!([]));
    }
    for member in ["cpu", "memory"] {
        if let Some(Value::String(text)) = body.get(member) {
            let plain = task_checks::plain_size(member, text);
            body.insert(member.to_owned(), Value::String(plain));
        }
    }
    let shares_ports = matches!(body.get("networkMode").and_then(Value::as_str), Some("awsvpc" | "host"));
    if let Some(Value::Array(containers)) = body.get_mut("containerDefinitions") {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            normalise_container(container, shares_ports);
        }
    }
    body
}

fn normalise_container(container: &mut Map<String, Value>, shares_ports: bool) {
    container.retain(|_, value| !value.is_null());
    container.entry("cpu").or_insert_with(|| json!(0));
    container.entry("essential").or_insert_with(|| json!(true));
    for list in ["portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"] {
        container.entry(list).or_insert_with(|| json!([]));
    }
    if let Some(Value::Array(mappings)) = container.get_mut("portMappings") {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            mapping.entry("protocol").or_insert_with(|| json!("tcp"));
            if shares_ports && let Some(port) = mapping.get("containerPort").cloned() {
                mapping.entry("hostPort").or_insert(port);
            }
            if !shares_ports && mapping.contains_key("containerPort") {
                mapping.entry("hostPort").or_insert_with(|| json!(0));
            }
        }
    }
    if let Some(Value::Object(check)) = container.get_mut("healthCheck") {
        for (member, default) in [("interval", 30), ("timeout", 5), ("retries", 3)] {
            check.entry(member).or_insert_with(|| json!(default));
        }
    }
}

/// A task definition with its tags, as `Register` and `Describe` answer.
fn with_tags(definition: &TaskDefinition, with: bool) -> Value {
    let mut answer = json!({ "taskDefinition": render(definition) });
    if with && !definition.tags.is_empty() {
        answer["tags"] = tags::render(&definition.tags);
    }
    answer
}

/// A task definition as answers have it.
fn render(definition: &TaskDefinition) -> Value {
    let mut answer = Body::new();
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("taskDefinitionArn", Value::from(definition.arn()));
    for (name, value) in &definition.body {
        add(name, value.clone());
    }
    add("revision", Value::from(definition.revision));
    add("status", Value::from(definition.status.word()));
    add("requiresAttributes", task_checks::required_attributes(&definition.body));
    add("compatibilities", task_checks::compatibilities(&definition.body));
    add("registeredAt", seconds(definition.registered_ms));
    add("registeredBy", Value::from(definition.registered_by.as_str()));
    if let Some(at) = definition.deregistered_ms {
        add("deregisteredAt", seconds(at));
    }
    if let Some(at) = definition.delete_requested_ms {
        add("deleteRequestedAt", seconds(at));
    }
    Value::Object(answer)
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::DescribeTaskDefinition>("*".to_owned(), Vec::new())?;
    let text = call.input.required_text("taskDefinition")?;
    let name = names::definition(place, text);
    let known = name.and_then(|name| load::definition(call.world, place, &name));
    let known = known.ok_or_else(|| client("Unable to describe task definition."))?;
    Ok(with_tags(&known, includes(call.input, "TAGS")?))
}

fn deregister(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let permit = call.authorize::<calls::DeregisterTaskDefinition>("*".to_owned(), Vec::new())?;
    let text = call.input.required_text("taskDefinition")?;
    let known = known_revision(call, place, text)?;
    let known = known.ok_or_else(|| client("Unable to deregister task definition."))?;
    let now = call.now_ms();
    let changed = call.write(&permit, |writing| {
        let mut definition = (*known).clone();
        if definition.status == DefinitionStatus::Active {
            definition.status = DefinitionStatus::Inactive;
            definition.deregistered_ms = Some(now);
            writing.put(definition.clone());
        }
        Ok(definition)
    })?;
    Ok(with_tags(&changed, false))
}

/// A task definition that is named with its revision.
fn known_revision(
    call: &Called<'_>,
    place: &Place,
    text: &str,
) -> Result<Option<Arc<TaskDefinition>>, AwsError> {
    let Some(name) = names::definition(place, text) else { return Ok(None) };
    if name.revision.is_none() {
        return Err(invalid("Task definition revision is required."));
    }
    Ok(load::definition(call.world, place, &name))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let named = call.input.texts("taskDefinitions")?;
    if named.is_empty() || named.len() > DELETED_MAX {
        return Err(invalid(format!("TaskDefinitions must have between 1 and {DELETED_MAX} elements.")));
    }
    let now = call.now_ms();
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for text in named {
        let known = known_revision(call, place, text)?;
        let arn = match &known {
            Some(known) => known.arn(),
            None if text.starts_with("arn:") => text.to_owned(),
            None => place.arn(&format!("task-definition/{text}")),
        };
        let keys = known.as_ref().map(|known| resource_tag_keys(&known.tags)).unwrap_or_default();
        let permit = call.authorize::<calls::DeleteTaskDefinitions>(arn.clone(), keys)?;
        let Some(known) = known else {
            failures.push(failure(&arn, "The specified task definition does not exist. Specify a valid account, family, revision and try again."));
            continue;
        };
        if known.status == DefinitionStatus::Active {
            failures.push(failure(&arn, "The specified task definition is still in ACTIVE status. Please deregister the target and try again."));
            continue;
        }
        let mut definition = (*known).clone();
        definition.status = DefinitionStatus::Deleting;
        definition.delete_requested_ms = Some(now);
        deleted.push(render(&definition));
        call.write(&permit, |writing| {
            writing.put(definition);
            Ok::<(), Fault>(())
        })?;
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
}

fn status_asked(call: &Called<'_>) -> Result<Option<DefinitionStatus>, AwsError> {
    Ok(match call.input.text("status")? {
        None | Some("ACTIVE") => Some(DefinitionStatus::Active),
        Some("INACTIVE") => Some(DefinitionStatus::Inactive),
        Some("DELETE_IN_PROGRESS") => Some(DefinitionStatus::Deleting),
        Some("ALL") => None,
        Some(other) => return Err(invalid(format!("Invalid status: {other}"))),
    })
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::ListTaskDefinitions>("*".to_owned(), Vec::new())?;
    let status = status_asked(call)?;
    let family = call.input.text("familyPrefix")?;
    let all = call.world.store.list::<TaskDefinition>(&place.all());
    let mut wanted: Vec<Arc<TaskDefinition>> = all
        .into_iter()
        .filter(|known| status.is_none_or(|status| known.status == status))
        .filter(|known| family.is_none_or(|family| known.family == family))
        .collect();
    let is_descending = call.input.text("sort")? == Some("DESC");
    if is_descending {
        wanted.reverse();
    }
    let size = size(call)?;
    // `family::0000000003`: where the next page begins (observed), there or not by then.
    let mark = |known: &TaskDefinition| format!("{}::{:010}", known.family, known.revision);
    let start = match call.input.text("nextToken")? {
        None => 0,
        Some(token) => {
            let (family, revision) = marked(token).ok_or_else(|| invalid("Invalid token in request."))?;
            let place =
                |known: &TaskDefinition| (known.family.as_str(), known.revision).cmp(&(family, revision));
            wanted.partition_point(
                |known| if is_descending { place(known).is_gt() } else { place(known).is_lt() },
            )
        }
    };
    let arns: Vec<String> = wanted.iter().skip(start).take(size).map(|known| known.arn()).collect();
    let mut answer = json!({ "taskDefinitionArns": arns });
    if let Some(next) = wanted.get(start.saturating_add(size)) {
        answer["nextToken"] = Value::from(mark(next));
    }
    Ok(answer)
}

/// A family and a revision by their token.
fn marked(token: &str) -> Option<(&str, u32)> {
    let (family, revision) = token.rsplit_once("::")?;
    let is_number = revision.len() == 10 && revision.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| revision.parse().ok()).flatten().map(|revision| (family, revision))
}

fn size(call: &Called<'_>) -> Result<usize, AwsError> {
    match call.input.integer("maxResults")? {
        None => Ok(100),
        Some(count) => usize::try_from(count)
            .ok()
            .filter(|count| (1..=100).contains(count))
            .ok_or_else(|| invalid("maxResults should be between 1 and 100.")),
    }
}

fn list_families(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::ListTaskDefinitionFamilies>("*".to_owned(), Vec::new())?;
    let status = call.input.text("status")?.unwrap_or("ALL");
    if !matches!(status, "ACTIVE" | "INACTIVE" | "ALL") {
        return Err(invalid(format!("Invalid status: {status}")));
    }
    let prefix = call.input.text("familyPrefix")?.unwrap_or("");
    let page = super::page::Page::read(call.input, 100, 100)?;
    let families = call.world.store.list::<Family>(&place.all());
    let is_active = |family: &Family| {
        let revisions = call.world.store.list::<TaskDefinition>(&place.in_cluster(&family.name));
        revisions.iter().any(|known| known.status == DefinitionStatus::Active)
    };
    let wanted: Vec<String> = families
        .iter()
        .filter(|family| family.name.starts_with(prefix))
        .filter(|family| status == "ALL" || is_active(family) == (status == "ACTIVE"))
        .map(|family| family.name.clone())
        .collect();
    Ok(page.answer("families", &wanted, String::clone, |name| Value::from(name.as_str())))
}
