//! Capacity providers, which are kept and mean nothing here, and container instances, of which there are
//! none: every task runs on this machine.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::page::Page;
use super::{Called, Fault, cluster_key, cluster_name, failure, invalid, members, names, tags};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{CapacityProvider, Place};

/// What a client may write of a capacity provider.
const MEMBERS: [&str; 3] = ["autoScalingGroupProvider", "managedInstancesProvider", "cluster"];

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateCapacityProvider" => create(call),
        "UpdateCapacityProvider" => update(call),
        "DeleteCapacityProvider" => delete(call),
        "DescribeCapacityProviders" => describe(call),
        "ListContainerInstances" => list_instances(call),
        "DescribeContainerInstances" => describe_instances(call),
        "ListAttributes" => list_attributes(call),
        _ => return None,
    })
}

fn render(provider: &CapacityProvider, status: &str, with_tags: bool) -> Value {
    let mut answer = provider.body.clone();
    answer.insert("capacityProviderArn".to_owned(), Value::from(provider.arn()));
    answer.insert("name".to_owned(), Value::from(provider.name.as_str()));
    answer.insert("status".to_owned(), Value::from(status));
    answer.insert("tags".to_owned(), if with_tags { tags::render(&provider.tags) } else { json!([]) });
    Value::Object(answer)
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.required_text("name")?.to_owned();
    let given = tags::given(call.input)?;
    let arn = place.arn(&format!("capacity-provider/{name}"));
    let permit = call.authorize::<calls::CreateCapacityProvider>(arn.clone(), tags::request_keys(&given))?;
    tags::authorize_on_create(call, &arn, &given)?;
    let reserved = ["aws", "ecs", "fargate"].iter().any(|word| name.to_ascii_lowercase().starts_with(word));
    if !names::is_name(&name) || reserved {
        return Err(invalid(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed. They can include letters (uppercase and lowercase), numbers, underscores (_), and hyphens (-). The name can't be prefixed with \"aws\", \"ecs\", or \"fargate\".",
        ));
    }
    let provider =
        CapacityProvider { place: place.clone(), name, body: members(call.members, &MEMBERS), tags: given };
    call.write(&permit, |writing| {
        writing.insert(provider.clone()).map_err(|_| {
            Fault::from(invalid(
                "The specified capacity provider already exists. Specify a new name and try again.",
            ))
        })
    })?;
    Ok(json!({ "capacityProvider": render(&provider, "ACTIVE", true) }))
}

/// The provider that a call names, and its place.
fn named(place: &Place, text: &str) -> String {
    let name = place
        .resource_of(text)
        .and_then(|resource| resource.strip_prefix("capacity-provider/").map(str::to_owned));
    name.unwrap_or_else(|| text.to_owned())
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = named(place, call.input.required_text("name")?);
    let arn = place.arn(&format!("capacity-provider/{name}"));
    let permit = call.authorize::<calls::UpdateCapacityProvider>(arn, Vec::new())?;
    let given = members(call.members, &MEMBERS);
    let provider = call.write(&permit, |writing| {
        let known = writing.get::<CapacityProvider>(&place.key(&[&name]));
        let mut provider = (*known.ok_or_else(not_found)?).clone();
        for (name, value) in given {
            // What isn't said of the group stays: the group itself can't be changed.
            match (provider.body.get_mut(&name), value) {
                (Some(Value::Object(known)), Value::Object(changed)) => known.extend(changed),
                (_, value) => drop(provider.body.insert(name, value)),
            }
        }
        writing.put(provider.clone());
        Ok(provider)
    })?;
    Ok(json!({ "capacityProvider": render(&provider, "ACTIVE", false) }))
}

fn not_found() -> AwsError {
    invalid("The specified capacity provider does not exist. Specify a valid name or ARN and try again.")
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = named(place, call.input.required_text("capacityProvider")?);
    let arn = place.arn(&format!("capacity-provider/{name}"));
    let permit = call.authorize::<calls::DeleteCapacityProvider>(arn, Vec::new())?;
    let provider = call.write(&permit, |writing| {
        let key = place.key(&[&name]);
        let known = writing.get::<CapacityProvider>(&key).ok_or_else(not_found)?;
        writing.remove::<CapacityProvider>(&key)?;
        Ok(known)
    })?;
    Ok(json!({ "capacityProvider": render(&provider, "INACTIVE", false) }))
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let with_tags = super::includes(call.input, "TAGS")?;
    let built_in = |name: &str| CapacityProvider {
        place: place.clone(),
        name: name.to_owned(),
        body: serde_json::Map::new(),
        tags: Vec::new(),
    };
    let asked = call.input.texts("capacityProviders")?;
    if asked.is_empty() {
        let all = place.arn("capacity-provider/*");
        call.authorize::<calls::DescribeCapacityProviders>(all, Vec::new())?;
        let page = Page::read(call.input, 10, 10)?;
        let mut providers = vec![built_in("FARGATE"), built_in("FARGATE_SPOT")];
        let known = call.world.store.list::<CapacityProvider>(&place.all());
        providers.extend(known.iter().map(|provider| (**provider).clone()));
        return Ok(page.answer(
            "capacityProviders",
            &providers,
            |provider| provider.name.clone(),
            |provider| render(provider, "ACTIVE", with_tags),
        ));
    }
    let (mut providers, mut failures) = (Vec::new(), Vec::new());
    for text in asked {
        let name = named(place, text);
        let arn = place.arn(&format!("capacity-provider/{name}"));
        call.authorize::<calls::DescribeCapacityProviders>(arn.clone(), Vec::new())?;
        let known = call.world.store.get::<CapacityProvider>(&place.key(&[&name]));
        match (known, name.as_str()) {
            (Some(provider), _) => providers.push(render(&provider, "ACTIVE", with_tags)),
            (None, "FARGATE" | "FARGATE_SPOT") => {
                providers.push(render(&built_in(&name), "ACTIVE", with_tags))
            }
            (None, _) => failures.push(failure(&arn, "MISSING")),
        }
    }
    Ok(json!({ "capacityProviders": providers, "failures": failures }))
}

fn list_instances(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    call.authorize::<calls::ListContainerInstances>(place.arn(&format!("cluster/{cluster}")), Vec::new())?;
    super::active_cluster(call.world, place, &cluster)?;
    Ok(json!({ "containerInstanceArns": [] }))
}

fn describe_instances(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let named = call.input.texts("containerInstances")?;
    if named.is_empty() {
        return Err(super::missing("containerInstances", "Member must not be null"));
    }
    let mut failures = Vec::new();
    for text in named {
        let id = text.rsplit('/').next().unwrap_or(text);
        let arn = place.arn(&format!("container-instance/{cluster}/{id}"));
        let keys = vec![cluster_key(place, &cluster)];
        call.authorize::<calls::DescribeContainerInstances>(arn.clone(), keys)?;
        failures.push(failure(&arn, "MISSING"));
    }
    super::active_cluster(call.world, place, &cluster)?;
    Ok(json!({ "containerInstances": [], "failures": failures }))
}

fn list_attributes(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    call.authorize::<calls::ListAttributes>(place.arn(&format!("cluster/{cluster}")), Vec::new())?;
    super::active_cluster(call.world, place, &cluster)?;
    Ok(json!({ "attributes": [] }))
}
