//! A service as `DescribeServices` tells it.

use serde_json::{Value, json};

use super::rollout::{Controller, Deployment, RolloutState};
use super::{launch, members, seconds, tags};
use crate::store::ecs::{Body, Service, ServiceRevision, TaskSet};
use crate::world::World;

/// What is kept and told under the same name.
const TOLD: [&str; 19] = [
    "loadBalancers",
    "serviceRegistries",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "platformFamily",
    "taskDefinition",
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "schedulingStrategy",
    "deploymentController",
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
    "serviceConnectConfiguration",
];

/// What a deployment tells of its revision.
const OF_REVISION: [&str; 8] = [
    "taskDefinition",
    "capacityProviderStrategy",
    "launchType",
    "platformVersion",
    "platformFamily",
    "networkConfiguration",
    "serviceConnectConfiguration",
    "volumeConfigurations",
];

/// A service as answers have it.
pub(super) fn render(world: &World, service: &Service, with_tags: bool) -> Value {
    let rollout = &service.rollout;
    let (running, pending) = rollout
        .deployments
        .iter()
        .map(|deployment| rollout.counts(deployment.id()))
        .fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
    let mut answer = Body::new();
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("serviceArn", Value::from(service.arn()));
    add("serviceName", Value::from(service.name.as_str()));
    add("clusterArn", Value::from(service.cluster_arn()));
    add("status", Value::from(service.status.word()));
    add("desiredCount", Value::from(rollout.desired));
    add("runningCount", Value::from(running));
    add("pendingCount", Value::from(pending));
    for (name, value) in members(&service.body, &TOLD) {
        add(&name, value);
    }
    if let Some(role) = role(service) {
        add("roleArn", Value::from(role));
    }
    if rollout.rules.controller == Controller::TaskSets {
        add("taskSets", task_sets(world, service));
        add("deployments", json!([]));
    } else {
        let deployments: Vec<Value> = rollout
            .deployments
            .iter()
            .enumerate()
            .map(|(at, known)| deployment(world, service, known, at == 0))
            .collect();
        add("deployments", Value::Array(deployments));
        add("currentServiceRevisions", current_revisions(service));
        if let Some(id) = &service.current_deployment {
            add("currentServiceDeployment", Value::from(service.deployment_arn(id)));
        }
    }
    add("events", events(service));
    add("createdAt", seconds(service.created_ms));
    add("createdBy", Value::from(service.created_by.as_str()));
    add("resourceManagementType", json!("CUSTOMER"));
    if with_tags && !service.tags.is_empty() {
        add("tags", tags::render(&service.tags));
    }
    Value::Object(answer)
}

/// The role by which ECS acts for a service: the one that was given, or, where it has networks of its own, the one that is
/// linked to ECS (captured).
fn role(service: &Service) -> Option<String> {
    let given = service.text("role").map(str::to_owned);
    given.or_else(|| {
        service.body.get("networkConfiguration")?;
        let cluster = service.place.arn("");
        let partition = cluster.split(':').nth(1)?;
        let account = service.place.account;
        Some(format!(
            "arn:{partition}:iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
        ))
    })
}

fn deployment(world: &World, service: &Service, known: &Deployment, is_primary: bool) -> Value {
    let rollout = &service.rollout;
    let (running, pending) = rollout.counts(known.id());
    let key = service.place.key(&[&service.cluster, &service.name, known.id()]);
    let revision = world.store.get::<ServiceRevision>(&key);
    // The one that is being written is not there yet: it deploys what the service is now.
    let body = revision.map_or_else(|| service.body.clone(), |revision| revision.body.clone());
    let mut answer = members(&body, &OF_REVISION);
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("id", Value::from(format!("ecs-svc/{}", known.number())));
    add("status", Value::from(if is_primary { "PRIMARY" } else { "ACTIVE" }));
    add("desiredCount", Value::from(rollout.wanted(known)));
    add("pendingCount", Value::from(pending));
    add("runningCount", Value::from(running));
    add("failedTasks", Value::from(known.failed));
    add("createdAt", seconds(known.created_ms));
    add("updatedAt", seconds(known.updated_ms));
    add("rolloutState", Value::from(known.state.word()));
    add("rolloutStateReason", Value::from(known.reason.as_str()));
    add_platform(&mut answer, &body, service);
    Value::Object(answer)
}

/// What a deployment, a revision or a task set tells of its platform: the version that `LATEST` is (captured).
pub(super) fn add_platform(answer: &mut Body, body: &Body, service: &Service) {
    if launch::is_fargate(body) {
        let family = service.text("platformFamily").unwrap_or("Linux");
        answer.insert("platformVersion".to_owned(), Value::from(launch::version(body, family)));
        answer.insert("platformFamily".to_owned(), Value::from(family));
    }
}

fn current_revisions(service: &Service) -> Value {
    let rollout = &service.rollout;
    let tell = |known: &Deployment| {
        let (running, pending) = rollout.counts(known.id());
        json!({
            "arn": service.revision_arn(known.id()),
            "requestedTaskCount": rollout.wanted(known),
            "runningTaskCount": running,
            "pendingTaskCount": pending,
        })
    };
    rollout.deployments.iter().map(tell).collect()
}

fn events(service: &Service) -> Value {
    let tell = |event: &crate::store::ecs::ServiceEvent| json!({ "id": event.id, "createdAt": seconds(event.at_ms), "message": event.message });
    service.events.iter().map(tell).collect()
}

fn task_sets(world: &World, service: &Service) -> Value {
    let known = world.store.list::<TaskSet>(&service.place.of_service(&service.cluster, &service.name));
    let there = |set: &&std::sync::Arc<TaskSet>| {
        service.rollout.deployments.iter().any(|known| known.id() == set.number)
    };
    known.iter().filter(there).map(|set| task_set(service, set, false)).collect()
}

/// A task set as answers have it.
pub(super) fn task_set(service: &Service, set: &TaskSet, with_tags: bool) -> Value {
    let rollout = &service.rollout;
    let known = rollout.deployments.iter().find(|known| known.id() == set.number);
    let is_primary = rollout.deployments.first().is_some_and(|first| first.id() == set.number);
    let (running, pending) = rollout.counts(&set.number);
    let is_steady = known.is_some_and(|known| known.state == RolloutState::Completed);
    let mut answer = members(
        &set.body,
        &[
            "taskDefinition",
            "launchType",
            "capacityProviderStrategy",
            "platformVersion",
            "networkConfiguration",
            "loadBalancers",
            "serviceRegistries",
        ],
    );
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("id", Value::from(format!("ecs-svc/{}", set.number)));
    add("taskSetArn", Value::from(set.arn()));
    add("serviceArn", Value::from(service.arn()));
    add("clusterArn", Value::from(service.cluster_arn()));
    if let Some(by) = &set.started_by {
        add("startedBy", Value::from(by.as_str()));
    }
    if let Some(id) = &set.external_id {
        add("externalId", Value::from(id.as_str()));
    }
    let status = match (set.is_draining, is_primary) {
        (true, _) => "DRAINING",
        (false, true) => "PRIMARY",
        (false, false) => "ACTIVE",
    };
    add("status", Value::from(status));
    add("computedDesiredCount", Value::from(known.map_or(0, |known| rollout.wanted(known))));
    add("pendingCount", Value::from(pending));
    add("runningCount", Value::from(running));
    add("createdAt", seconds(set.created_ms));
    add("updatedAt", seconds(set.updated_ms));
    add("scale", json!({ "value": set.scale, "unit": "PERCENT" }));
    add("stabilityStatus", Value::from(if is_steady { "STEADY_STATE" } else { "STABILIZING" }));
    add("stabilityStatusAt", seconds(known.map_or(set.updated_ms, |known| known.updated_ms)));
    add("tags", if with_tags { tags::render(&set.tags) } else { json!([]) });
    add_platform(&mut answer, &set.body, service);
    Value::Object(answer)
}
