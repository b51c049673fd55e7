//! Deployments: begun, looked at, let go on, stopped.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::course::{Course, Shift};
use super::{
    Called, Fault, appspec, bad_token, check_batch, check_description, configs, drive, error, groups,
    revisions, seconds, shapes, tags,
};
use crate::authz::codedeploy_calls as calls;
use crate::clock::Clock;
use crate::page::Page;
use crate::store::codedeploy::{Deployment, Group};
use crate::store::ecs::Body;
use crate::world::World;

/// Deployments that are described at once.
const DESCRIBED_MAX: usize = 25;
/// Ids of one page.
const PAGE_IDS: usize = 100;
/// A minute in milliseconds.
const MINUTE_MS: i64 = 60_000;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateDeployment" => create(call),
        "GetDeployment" => get(call),
        "BatchGetDeployments" => batch_get(call),
        "ListDeployments" => list(call),
        "ContinueDeployment" => go_on(call),
        "StopDeployment" => stop(call),
        _ => return None,
    })
}

/// `d-` and nine letters or digits.
pub(super) fn fresh_id(world: &World) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bytes: [u8; 9] = world.random();
    let letter = |byte: u8| char::from(LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'A'));
    format!("d-{}", bytes.into_iter().map(letter).collect::<String>())
}

pub(super) fn no_deployment(id: &str) -> AwsError {
    error("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"))
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, name) = groups::named(call)?;
    let permit = tags::on_group::<calls::CreateDeployment>(call, &application, &name, Vec::new())?;
    let group = groups::find(call, &application, &name)?;
    let description = call.input.text("description")?.map(str::to_owned);
    check_description(description.as_deref())?;
    let spec = appspec::read(call)?;
    let written = group.body.get("deploymentConfigName").and_then(Value::as_str);
    let config = call.input.text("deploymentConfigName")?.or(written).unwrap_or(groups::CONFIG_DEFAULT);
    let (shift, now) = (configs::find(call, config)?, call.now_ms());
    let id = fresh_id(call.world);
    let deployment = Deployment {
        place: call.place.clone(),
        id: id.clone(),
        config: config.to_owned(),
        creator: "user".to_owned(),
        description,
        revision: spec.revision,
        role: text(&group.body, "serviceRoleArn"),
        service: service_of(&group),
        set: spec.set,
        sets: (None, None),
        course: Course { hooks: spec.hooks, ..course(&call.world.clock, &group, shift, now, call.members) },
        settings: group.body,
        application,
        group: name,
        rollback: None,
        created_ms: now,
        updated_ms: now,
    };
    call.write(&permit, |writing| {
        let others = writing.list::<Deployment>(&call.place.all());
        let going =
            others.iter().find(|other| other.service == deployment.service && !other.course.is_over());
        if let Some(other) = going {
            let message = format!(
                "The Deployment Group '{}' already has an active Deployment '{}'",
                deployment.group, other.id
            );
            return Err(Fault::from(error("DeploymentLimitExceededException", message)));
        }
        revisions::note_use(writing, &deployment);
        writing.put(deployment);
        Ok(())
    })?;
    call.world.ecs.wake();
    Ok(json!({ "deploymentId": id }))
}

fn text(body: &Body, name: &str) -> String {
    body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Cluster and name of a group's service.
fn service_of(group: &Group) -> (String, String) {
    let service = group.body.get("ecsServices").and_then(|services| services.get(0));
    let part = |name: &str| service.and_then(|service| service[name].as_str()).unwrap_or_default();
    (part("clusterName").to_owned(), part("serviceName").to_owned())
}

/// The course that a group's settings give a deployment.
fn course(clock: &Clock, group: &Group, shift: Shift, now_ms: i64, given: &Body) -> Course {
    let settings = group.body.get("blueGreenDeploymentConfiguration").cloned().unwrap_or_default();
    let ready = &settings["deploymentReadyOption"];
    let ending = &settings["terminateBlueInstancesOnDeploymentSuccess"];
    let minutes = |value: &Value| clock.span_ms(value.as_i64().unwrap_or(0).saturating_mul(MINUTE_MS));
    let waits = ready["actionOnTimeout"] == "STOP_DEPLOYMENT";
    let keeps = ending["action"] == "KEEP_ALIVE";
    let own = given.get("autoRollbackConfiguration").filter(|value| !value.is_null());
    let rollback = own.or_else(|| group.body.get("autoRollbackConfiguration"));
    Course {
        ready_ms: waits.then(|| minutes(&ready["waitTimeInMinutes"])),
        termination_ms: (!keeps).then(|| minutes(&ending["terminationWaitTimeInMinutes"])),
        rolls_back: rollback.is_some_and(|rollback| rollback["enabled"] == true),
        ..Course::new(shift.with_waits(|ms| clock.span_ms(ms)), now_ms)
    }
}

/// The deployment of a call that is decided on its group.
fn find<C: crate::authz::Call>(
    call: &Called<'_>,
    id: &str,
) -> Result<Result<Deployment, AwsError>, AwsError> {
    let known = call.world.store.get::<Deployment>(&call.place.key(&[id]));
    let of = known.as_ref().map_or(("*", "*"), |known| (known.application.as_str(), known.group.as_str()));
    tags::on_group::<C>(call, of.0, of.1, Vec::new())?;
    Ok(known.map(|known| (*known).clone()).ok_or_else(|| no_deployment(id)))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let known = find::<calls::GetDeployment>(call, call.input.required_text("deploymentId")?)?;
    Ok(json!({ "deploymentInfo": shapes::deployment(&known?) }))
}

fn batch_get(call: &Called<'_>) -> Result<Value, AwsError> {
    let ids = call.input.texts("deploymentIds")?;
    if ids.is_empty() {
        return Err(super::missing("deploymentId", ""));
    }
    check_batch(ids.len(), DESCRIBED_MAX)?;
    let mut found = Vec::new();
    for id in ids {
        let known = find::<calls::BatchGetDeployments>(call, id)?;
        found.extend(known.ok().map(|known| shapes::deployment(&known)));
    }
    Ok(json!({ "deploymentsInfo": found }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let (application, group) = (call.input.text("applicationName")?, call.input.text("deploymentGroupName")?);
    let of = (application.unwrap_or("*"), group.unwrap_or("*"));
    tags::on_group::<calls::ListDeployments>(call, of.0, of.1, Vec::new())?;
    let statuses = call.input.texts("includeOnlyStatuses")?;
    let mut all = call.world.store.list::<Deployment>(&call.place.all());
    all.sort_by_key(|known| std::cmp::Reverse(known.created_ms));
    let page = Page::at(call.input.text("nextToken")?, PAGE_IDS).ok_or_else(bad_token)?;
    let ids: Vec<&str> = all
        .iter()
        .filter(|known| application.is_none_or(|name| known.application == name))
        .filter(|known| group.is_none_or(|name| known.group == name))
        .filter(|known| statuses.is_empty() || statuses.contains(&shapes::status(known)))
        .map(|known| known.id.as_str())
        .collect();
    Ok(page.answer("deployments", &ids, |id| (*id).to_owned(), |id| json!(id)))
}

/// Changes a deployment that is not over.
fn change(
    call: &Called<'_>,
    id: &str,
    permit: &crate::authz::Permit<impl crate::authz::Call>,
    change: impl FnOnce(&mut Deployment) -> Result<(), AwsError>,
) -> Result<(), AwsError> {
    call.write(permit, |writing| {
        let known = writing.get::<Deployment>(&call.place.key(&[id])).ok_or_else(|| no_deployment(id))?;
        let mut deployment = (*known).clone();
        if deployment.course.is_over() {
            let message = format!("The deployment {id} has already completed");
            return Err(Fault::from(error("DeploymentAlreadyCompletedException", message)));
        }
        change(&mut deployment)?;
        deployment.updated_ms = call.now_ms();
        writing.put(deployment);
        Ok(())
    })?;
    call.world.ecs.wake();
    Ok(())
}

fn go_on(call: &Called<'_>) -> Result<Value, AwsError> {
    let id = call.input.required_text("deploymentId")?;
    let permit = call.authorize::<calls::ContinueDeployment>("*".to_owned(), Vec::new())?;
    let wait = call.input.text("deploymentWaitType")?.unwrap_or("READY_WAIT");
    if !matches!(wait, "READY_WAIT" | "TERMINATION_WAIT") {
        let message = format!("{wait} is no wait type: READY_WAIT or TERMINATION_WAIT is expected");
        return Err(error("InvalidDeploymentWaitTypeException", message));
    }
    change(call, id, &permit, |deployment| {
        if deployment.course.go_on(wait, call.now_ms()) {
            return Ok(());
        }
        let message = format!("The deployment {id} is not in a state to be continued ({wait})");
        Err(error("DeploymentIsNotInReadyStateException", message))
    })?;
    Ok(json!({}))
}

fn stop(call: &Called<'_>) -> Result<Value, AwsError> {
    let id = call.input.required_text("deploymentId")?;
    let permit = call.authorize::<calls::StopDeployment>("*".to_owned(), Vec::new())?;
    let rolls_back = call.input.boolean("autoRollbackEnabled")?;
    let now = call.now_ms();
    let key = call.place.key(&[id]);
    call.write(&permit, |writing| {
        let known = writing.get::<Deployment>(&key).ok_or_else(|| no_deployment(id))?;
        let mut deployment = (*known).clone();
        if deployment.course.is_over() {
            let message = format!("The deployment {id} has already completed");
            return Err(Fault::from(error("DeploymentAlreadyCompletedException", message)));
        }
        deployment.course.rolls_back = rolls_back.unwrap_or(deployment.course.rolls_back);
        let acts = deployment.course.stop(now);
        drive::carry_out(call.world, writing, &mut deployment, &acts);
        writing.put(deployment);
        Ok(())
    })?;
    Ok(json!({ "status": "Succeeded", "statusMessage": "No more lifecycle events will be scheduled." }))
}

/// The ARN of a deployment's service.
pub(super) fn service_arn(deployment: &Deployment) -> String {
    let (cluster, name) = &deployment.service;
    deployment.place.arn(&format!("service/{cluster}/{name}"))
}

/// Seconds since 1970, when there is a moment.
pub(super) fn moment(at_ms: Option<i64>) -> Value {
    at_ms.map_or(Value::Null, seconds)
}
