//! Applications: names under which deployment groups stand.

use landfall_wire::error::AwsError;
use landfall_wire::ids;
use serde_json::{Value, json};

use super::{Called, Fault, error, seconds};
use crate::authz::codedeploy_calls as calls;
use crate::store::codedeploy::{Application, Group, arn};
use crate::store::ecs::Place;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateApplication" => create(call),
        "GetApplication" => get(call),
        "ListApplications" => list(call),
        "DeleteApplication" => delete(call),
        "RegisterApplicationRevision" => register_revision(call),
        _ => return None,
    })
}

/// The name that a call gives, and the ARN that it is decided on.
pub(super) fn named(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let name = call.input.required_text("applicationName")?.to_owned();
    let arn = arn(&call.place, &format!("application:{name}"));
    Ok((name, arn))
}

pub(super) fn no_application(name: &str) -> AwsError {
    error("ApplicationDoesNotExistException", format!("No application found for name: {name}"))
}

pub(super) fn is_there(call: &Called<'_>, place: &Place, name: &str) -> Result<(), AwsError> {
    let known = call.world.store.get::<Application>(&place.key(&[name]));
    known.map(|_| ()).ok_or_else(|| no_application(name))
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    let permit = call.authorize::<calls::CreateApplication>(arn, Vec::new())?;
    if let Some(platform) = call.input.text("computePlatform")?.filter(|platform| *platform != "ECS") {
        let message = format!("The compute platform {platform} is not here: ECS is expected");
        return Err(error("InvalidComputePlatformException", message));
    }
    let id = ids::request_id(call.world.random());
    let application =
        Application { place: call.place.clone(), name: name.clone(), id, created_ms: call.now_ms() };
    let id = application.id.clone();
    call.write(&permit, |writing| {
        if writing.get::<Application>(&call.place.key(&[&name])).is_some() {
            let message = format!("Application already exists: {name}");
            return Err(Fault::from(error("ApplicationAlreadyExistsException", message)));
        }
        writing.put(application);
        Ok(())
    })?;
    Ok(json!({ "applicationId": id }))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    call.authorize::<calls::GetApplication>(arn, Vec::new())?;
    let known = call.world.store.get::<Application>(&call.place.key(&[&name]));
    let known = known.ok_or_else(|| no_application(&name))?;
    Ok(json!({ "application": {
        "applicationId": known.id,
        "applicationName": known.name,
        "createTime": seconds(known.created_ms),
        "linkedToGitHub": false,
        "computePlatform": "ECS",
    } }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::ListApplications>("*".to_owned(), Vec::new())?;
    let all = call.world.store.list::<Application>(&call.place.all());
    let names: Vec<&str> = all.iter().map(|known| known.name.as_str()).collect();
    Ok(json!({ "applications": names }))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    let permit = call.authorize::<calls::DeleteApplication>(arn, Vec::new())?;
    call.write(&permit, |writing| {
        writing.remove_within::<Group>(&call.place.in_cluster(&name));
        // One that isn't there is gone already: CodeDeploy says nothing of it.
        let _ = writing.remove::<Application>(&call.place.key(&[&name]));
        Ok(())
    })?;
    Ok(json!({}))
}

/// A revision is kept with the deployments that use it; here it is only looked at.
fn register_revision(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    call.authorize::<calls::RegisterApplicationRevision>(arn, Vec::new())?;
    is_there(call, &call.place, &name)?;
    super::appspec::read(call)?;
    Ok(json!({}))
}
