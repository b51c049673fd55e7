//! The target of a deployment to ECS: the service with its two task sets.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::course::Lifecycle;
use super::deployments::{moment, no_deployment, service_arn};
use super::{Called, error, seconds, shapes};
use crate::authz::codedeploy_calls as calls;
use crate::ecs::load;
use crate::store::codedeploy::Deployment;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "ListDeploymentTargets" => list(call),
        "GetDeploymentTarget" => get(call),
        "BatchGetDeploymentTargets" => batch_get(call),
        _ => return None,
    })
}

fn known(call: &Called<'_>) -> Result<Deployment, AwsError> {
    let id = call.input.required_text("deploymentId")?;
    let known = call.world.store.get::<Deployment>(&call.place.key(&[id]));
    known.map(|known| (*known).clone()).ok_or_else(|| no_deployment(id))
}

/// `CLUSTER:SERVICE`.
fn id_of(deployment: &Deployment) -> String {
    format!("{}:{}", deployment.service.0, deployment.service.1)
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::ListDeploymentTargets>("*".to_owned(), Vec::new())?;
    Ok(json!({ "targetIds": [id_of(&known(call)?)] }))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::GetDeploymentTarget>("*".to_owned(), Vec::new())?;
    let (deployment, asked) = (known(call)?, call.input.required_text("targetId")?);
    Ok(json!({ "deploymentTarget": one(call, &deployment, asked)? }))
}

fn batch_get(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::BatchGetDeploymentTargets>("*".to_owned(), Vec::new())?;
    let deployment = known(call)?;
    let found: Result<Vec<Value>, AwsError> =
        call.input.texts("targetIds")?.into_iter().map(|id| one(call, &deployment, id)).collect();
    Ok(json!({ "deploymentTargets": found? }))
}

fn one(call: &Called<'_>, deployment: &Deployment, asked: &str) -> Result<Value, AwsError> {
    let id = id_of(deployment);
    // Clients also name the service by its ARN.
    if asked != id && asked != service_arn(deployment) {
        let message = format!("The deployment target {asked} could not be found");
        return Err(error("DeploymentTargetDoesNotExistException", message));
    }
    let status = match shapes::status(deployment) {
        "Created" => "Pending",
        "Ready" => "Ready",
        "Stopped" => "Failed",
        other => other,
    };
    Ok(json!({
        "deploymentTargetType": "ECSTarget",
        "ecsTarget": {
            "deploymentId": deployment.id,
            "targetId": id,
            "targetArn": service_arn(deployment),
            "lastUpdatedAt": seconds(deployment.updated_ms),
            "lifecycleEvents": deployment.course.events.iter().map(lifecycle).collect::<Vec<_>>(),
            "status": status,
            "taskSetsInfo": task_sets(call, deployment),
        },
    }))
}

fn lifecycle(event: &Lifecycle) -> Value {
    let mut shown = json!({ "lifecycleEventName": event.name, "status": event.status });
    for (name, at) in [("startTime", event.began_ms), ("endTime", event.ended_ms)] {
        if at.is_some() {
            shown[name] = moment(at);
        }
    }
    shown
}

/// Both task sets, as far as they are there.
fn task_sets(call: &Called<'_>, deployment: &Deployment) -> Vec<Value> {
    let (cluster, name) = &deployment.service;
    let Some(service) = load::service(call.world, &deployment.place, cluster, name) else {
        return Vec::new();
    };
    let traffic = deployment.course.traffic;
    let sets = [(&deployment.sets.0, "Blue", 100.0 - traffic), (&deployment.sets.1, "Green", traffic)];
    let shown = |(number, label, traffic): (&Option<String>, &str, f64)| {
        let number = number.as_ref()?;
        let at = service.rollout.deployments.iter().position(|known| known.id() == number)?;
        let known = service.rollout.deployments.get(at)?;
        let (running, pending) = service.rollout.counts(number);
        Some(json!({
            // CodeDeploy's own spelling.
            "identifer": format!("ecs-svc/{number}"),
            "desiredCount": service.rollout.wanted(known),
            "pendingCount": pending,
            "runningCount": running,
            "status": if at == 0 { "PRIMARY" } else { "ACTIVE" },
            "trafficWeight": traffic,
            "taskSetLabel": label,
        }))
    };
    sets.into_iter().filter_map(shown).collect()
}
