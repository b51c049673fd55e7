//! Deployment groups: which service is deployed to, as whom, and how.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::ids;
use serde_json::{Value, json};

use super::{Called, Fault, applications, bad_token, check_batch, check_name, configs, error, shapes, tags};
use crate::authz::codedeploy_calls as calls;
use crate::page::Page;
use crate::store::Record as _;
use crate::store::codedeploy::{Deployment, Group};
use crate::store::ecs::Body;

/// Members of a group as clients write them.
const MEMBERS: [&str; 9] = [
    "deploymentConfigName",
    "serviceRoleArn",
    "triggerConfigurations",
    "alarmConfiguration",
    "autoRollbackConfiguration",
    "deploymentStyle",
    "blueGreenDeploymentConfiguration",
    "loadBalancerInfo",
    "ecsServices",
];

/// What a group has when nothing is said.
pub(super) const CONFIG_DEFAULT: &str = "CodeDeployDefault.ECSAllAtOnce";

/// Groups that are looked at once.
const DESCRIBED_MAX: usize = 100;
/// Names of one page.
const PAGE_NAMES: usize = 100;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateDeploymentGroup" => create(call),
        "UpdateDeploymentGroup" => update(call),
        "GetDeploymentGroup" => get(call),
        "BatchGetDeploymentGroups" => batch_get(call),
        "ListDeploymentGroups" => list(call),
        "DeleteDeploymentGroup" => delete(call),
        _ => return None,
    })
}

fn pass_role(call: &Called<'_>, role: &str) -> Result<(), AwsError> {
    let is_own = Arn::parse(role).is_ok_and(|arn| {
        arn.service == "iam"
            && arn.account == call.place.account.as_str()
            && arn.role_path_and_name().is_some()
    });
    if !is_own {
        return Err(error("InvalidRoleException", format!("The role {role} is not one of this account")));
    }
    call.authorize_pass_role(role.to_owned(), "codedeploy.amazonaws.com", Vec::new())
}

/// Application and group of a call.
pub(super) fn named(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let application = applications::named(call)?;
    let group = call.input.required_text("deploymentGroupName")?;
    check_name("deploymentGroupName", group)?;
    Ok((application, group.to_owned()))
}

pub(super) fn no_group(name: &str) -> AwsError {
    error("DeploymentGroupDoesNotExistException", format!("No Deployment Group found for name: {name}"))
}

/// A group of an application, both of which have to be there.
pub(super) fn find(call: &Called<'_>, application: &str, group: &str) -> Result<Group, AwsError> {
    applications::is_there(call, &call.place, application)?;
    let known = call.world.store.get::<Group>(&call.place.key(&[application, group]));
    known.map(|known| (*known).clone()).ok_or_else(|| no_group(group))
}

/// What was written, with CodeDeploy's defaults for ECS.
fn completed(call: &Called<'_>, before: Body) -> Result<Body, AwsError> {
    let mut body = before;
    for name in MEMBERS {
        if let Some(value) = call.members.get(name).filter(|value| !value.is_null()) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    body.entry("deploymentConfigName").or_insert_with(|| json!(CONFIG_DEFAULT));
    body.entry("deploymentStyle").or_insert_with(
        || json!({ "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" }),
    );
    body.entry("autoRollbackConfiguration").or_insert_with(|| json!({ "enabled": false, "events": [] }));
    let blue_green = body.entry("blueGreenDeploymentConfiguration").or_insert_with(|| json!({}));
    if let Some(members) = blue_green.as_object_mut() {
        members
            .entry("deploymentReadyOption")
            .or_insert_with(|| json!({ "actionOnTimeout": "CONTINUE_DEPLOYMENT", "waitTimeInMinutes": 0 }));
        members
            .entry("terminateBlueInstancesOnDeploymentSuccess")
            .or_insert_with(|| json!({ "action": "TERMINATE", "terminationWaitTimeInMinutes": 0 }));
    }
    let config = body.get("deploymentConfigName").and_then(Value::as_str).unwrap_or_default();
    configs::find(call, config)?;
    let services = body.get("ecsServices").and_then(Value::as_array).map_or(0, Vec::len);
    if services != 1 {
        let message = format!("A deployment group for ECS has one service, and {services} were given");
        return Err(error("InvalidECSServiceException", message));
    }
    Ok(body)
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    let (given, keys) = tags::given(call.input, "tags")?;
    let permit = tags::on_group::<calls::CreateDeploymentGroup>(call, &application, &name, keys)?;
    pass_role(call, call.input.required_text("serviceRoleArn")?)?;
    applications::is_there(call, &call.place, &application)?;
    let body = completed(call, Body::new())?;
    let id = ids::request_id(call.world.random());
    let group = Group { place: call.place.clone(), application, name, id: id.clone(), tags: given, body };
    call.write(&permit, |writing| {
        if writing.get::<Group>(&group.key()).is_some() {
            return Err(taken(&group.name));
        }
        writing.put(group);
        Ok(())
    })?;
    Ok(json!({ "deploymentGroupId": id }))
}

fn taken(name: &str) -> Fault {
    let message = format!("Deployment group already exists: {name}");
    Fault::from(error("DeploymentGroupAlreadyExistsException", message))
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let application = applications::named(call)?;
    let name = call.input.required_text("currentDeploymentGroupName")?;
    let permit = tags::on_group::<calls::UpdateDeploymentGroup>(call, &application, name, Vec::new())?;
    if let Some(role) = call.input.text("serviceRoleArn")? {
        pass_role(call, role)?;
    }
    let known = find(call, &application, name)?;
    let body = completed(call, known.body.clone())?;
    let renamed = call.input.text("newDeploymentGroupName")?.unwrap_or(name).to_owned();
    check_name("newDeploymentGroupName", &renamed)?;
    call.write(&permit, |writing| {
        let group = Group { body, name: renamed, ..known };
        if group.name != name && writing.get::<Group>(&group.key()).is_some() {
            return Err(taken(&group.name));
        }
        writing.remove::<Group>(&call.place.key(&[&application, name]))?;
        writing.put(group);
        Ok(())
    })?;
    Ok(json!({ "hooksNotCleanedUp": [] }))
}

/// `DeploymentGroupInfo`, with what its deployments add to it.
fn render(call: &Called<'_>, group: &Group) -> Value {
    let mut info = group.body.clone();
    for (member, value) in [
        ("applicationName", json!(group.application)),
        ("deploymentGroupId", json!(group.id)),
        ("deploymentGroupName", json!(group.name)),
        ("computePlatform", json!("ECS")),
        ("outdatedInstancesStrategy", json!("UPDATE")),
        ("terminationHookEnabled", json!(false)),
    ] {
        info.insert(member.to_owned(), value);
    }
    let mut own = call.world.store.list::<Deployment>(&call.place.all());
    own.retain(|known| known.application == group.application && known.group == group.name);
    own.sort_by_key(|known| known.created_ms);
    if let Some(newest) = own.last() {
        info.insert("targetRevision".to_owned(), shapes::revision(&newest.revision));
        info.insert("lastAttemptedDeployment".to_owned(), shapes::last_deployment(newest));
    }
    if let Some(successful) = own.iter().rev().find(|known| shapes::status(known) == "Succeeded") {
        info.insert("lastSuccessfulDeployment".to_owned(), shapes::last_deployment(successful));
    }
    Value::Object(info)
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    tags::on_group::<calls::GetDeploymentGroup>(call, &application, &name, Vec::new())?;
    let group = find(call, &application, &name)?;
    Ok(json!({ "deploymentGroupInfo": render(call, &group) }))
}

/// Decided on each group that it names. Those that are not there are told beside the others.
fn batch_get(call: &Called<'_>) -> Result<Value, AwsError> {
    let application = applications::named(call)?;
    let names = call.input.texts("deploymentGroupNames")?;
    if names.is_empty() {
        return Err(super::missing("deploymentGroupName", ""));
    }
    check_batch(names.len(), DESCRIBED_MAX)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        check_name("deploymentGroupNames", name)?;
        tags::on_group::<calls::BatchGetDeploymentGroups>(call, &application, name, Vec::new())?;
        applications::is_there(call, &call.place, &application)?;
        match call.world.store.get::<Group>(&call.place.key(&[&application, name])) {
            Some(group) => found.push(render(call, &group)),
            None => missing.push(no_group(name).message),
        }
    }
    let mut answer = json!({ "deploymentGroupsInfo": found });
    if !missing.is_empty() {
        answer["errorMessage"] = json!(missing.join(", "));
    }
    Ok(answer)
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let application = applications::named(call)?;
    tags::on_application::<calls::ListDeploymentGroups>(call, &application, Vec::new())?;
    applications::is_there(call, &call.place, &application)?;
    let all = call.world.store.list::<Group>(&call.place.in_cluster(&application));
    let page = Page::at(call.input.text("nextToken")?, PAGE_NAMES).ok_or_else(bad_token)?;
    let mut answer =
        page.answer("deploymentGroups", &all, |group| group.name.clone(), |group| json!(group.name));
    answer["applicationName"] = json!(application);
    Ok(answer)
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    let permit = tags::on_group::<calls::DeleteDeploymentGroup>(call, &application, &name, Vec::new())?;
    call.write(&permit, |writing| {
        // One that isn't there is gone already: CodeDeploy says nothing of it.
        let _ = writing.remove::<Group>(&call.place.key(&[&application, &name]));
        Ok(())
    })?;
    Ok(json!({ "hooksNotCleanedUp": [] }))
}
