//! Deployment groups: which service is deployed to, as whom, and how.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::ids;
use serde_json::{Value, json};

use super::{Called, Fault, applications, configs, error};
use crate::authz::codedeploy_calls as calls;
use crate::store::codedeploy::{Group, arn, group_arn};
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

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateDeploymentGroup" => create(call),
        "UpdateDeploymentGroup" => update(call),
        "GetDeploymentGroup" => get(call),
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
    let application = call.input.required_text("applicationName")?.to_owned();
    Ok((application, call.input.required_text("deploymentGroupName")?.to_owned()))
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
    configs::find(config)?;
    let services = body.get("ecsServices").and_then(Value::as_array).map_or(0, Vec::len);
    if services != 1 {
        let message = format!("A deployment group for ECS has one service, and {services} were given");
        return Err(error("InvalidECSServiceException", message));
    }
    Ok(body)
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    let permit = call
        .authorize::<calls::CreateDeploymentGroup>(group_arn(&call.place, &application, &name), Vec::new())?;
    pass_role(call, call.input.required_text("serviceRoleArn")?)?;
    applications::is_there(call, &call.place, &application)?;
    let body = completed(call, Body::new())?;
    let id = ids::request_id(call.world.random());
    let group = Group { place: call.place.clone(), application, name, id: id.clone(), body };
    call.write(&permit, |writing| {
        if writing.get::<Group>(&call.place.key(&[&group.application, &group.name])).is_some() {
            let message = format!("Deployment group already exists: {}", group.name);
            return Err(Fault::from(error("DeploymentGroupAlreadyExistsException", message)));
        }
        writing.put(group);
        Ok(())
    })?;
    Ok(json!({ "deploymentGroupId": id }))
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let application = call.input.required_text("applicationName")?;
    let name = call.input.required_text("currentDeploymentGroupName")?;
    let arn = group_arn(&call.place, application, name);
    let permit = call.authorize::<calls::UpdateDeploymentGroup>(arn, Vec::new())?;
    if let Some(role) = call.input.text("serviceRoleArn")? {
        pass_role(call, role)?;
    }
    let known = find(call, application, name)?;
    let body = completed(call, known.body.clone())?;
    let renamed = call.input.text("newDeploymentGroupName")?.unwrap_or(name).to_owned();
    call.write(&permit, |writing| {
        writing.remove::<Group>(&call.place.key(&[application, name]))?;
        writing.put(Group { body, name: renamed, ..known });
        Ok(())
    })?;
    Ok(json!({ "hooksNotCleanedUp": [] }))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    let arn = group_arn(&call.place, &application, &name);
    call.authorize::<calls::GetDeploymentGroup>(arn, Vec::new())?;
    let group = find(call, &application, &name)?;
    let mut info = group.body.clone();
    for (member, value) in [
        ("applicationName", json!(application)),
        ("deploymentGroupId", json!(group.id)),
        ("deploymentGroupName", json!(name)),
        ("computePlatform", json!("ECS")),
        ("outdatedInstancesStrategy", json!("UPDATE")),
        ("terminationHookEnabled", json!(false)),
    ] {
        info.insert(member.to_owned(), value);
    }
    Ok(json!({ "deploymentGroupInfo": info }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let application = call.input.required_text("applicationName")?.to_owned();
    let resource = arn(&call.place, &format!("application:{application}"));
    call.authorize::<calls::ListDeploymentGroups>(resource, Vec::new())?;
    applications::is_there(call, &call.place, &application)?;
    let all = call.world.store.list::<Group>(&call.place.in_cluster(&application));
    let names: Vec<&str> = all.iter().map(|group| group.name.as_str()).collect();
    Ok(json!({ "applicationName": application, "deploymentGroups": names }))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = named(call)?;
    let arn = group_arn(&call.place, &application, &name);
    let permit = call.authorize::<calls::DeleteDeploymentGroup>(arn, Vec::new())?;
    call.write(&permit, |writing| {
        // One that isn't there is gone already: CodeDeploy says nothing of it.
        let _ = writing.remove::<Group>(&call.place.key(&[&application, &name]));
        Ok(())
    })?;
    Ok(json!({ "hooksNotCleanedUp": [] }))
}
