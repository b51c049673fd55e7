//! Carries deployments out, as the group's service role: what that role may not do, CodeDeploy can't.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/getting-started-create-service-role.html>

use std::sync::Arc;

use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use super::course::{Act, Course, End, Shift, Stage};
use super::deployments::{fresh_id, service_arn};
use crate::authz::{self, Asked, Call, Permit, calls, ecs_calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::ecs::rollout::RolloutState;
use crate::ecs::runner::role::{Taker, assume_as};
use crate::ecs::{load, task_sets, traffic};
use crate::store::codedeploy::{Deployment, group_arn};
use crate::store::ecs::{Service, ServiceStatus, TaskDefinition};
use crate::store::{Record as _, StoreError, Writing};
use crate::world::World;

/// The principal that a service role has to trust.
const PRINCIPAL: &str = "codedeploy.amazonaws.com";

/// `errorInformation`.
type Problem = (&'static str, String);

/// Takes every deployment as far as it goes now, and says when there is something to do again, in
/// milliseconds since 1970.
pub(crate) fn tick(world: &World) -> Option<i64> {
    let going = world.store.list::<Deployment>("").into_iter().filter(|known| !known.course.is_over());
    let mut next: Option<i64> = None;
    for deployment in going {
        // What the disk doesn't take is tried again with the next tick.
        let _ = match deployment.sets.1 {
            None => begin(world, &deployment),
            Some(_) => go_on(world, &deployment),
        };
        let after = world.store.get::<Deployment>(&deployment.key());
        if let Some(due) = after.and_then(|known| known.course.due_ms()) {
            next = Some(next.map_or(due, |known| known.min(due)));
        }
    }
    next
}

/// A deployment's service, which has to be CodeDeploy's.
fn service(world: &World, deployment: &Deployment) -> Result<Arc<Service>, Problem> {
    let (cluster, name) = &deployment.service;
    let known = load::service(world, &deployment.place, cluster, name);
    let known = known.filter(|known| known.status == ServiceStatus::Active);
    let known = known.ok_or_else(|| {
        ("INVALID_ECS_SERVICE", format!("The ECS service {name} in {cluster} was not found"))
    })?;
    if known.controller() == "CODE_DEPLOY" {
        return Ok(known);
    }
    Err((
        "INVALID_ECS_SERVICE",
        format!("The ECS service {name} does not have the deployment controller CODE_DEPLOY"),
    ))
}

/// The role's session, for what CodeDeploy does in its name.
fn act_as(world: &World, deployment: &Deployment) -> Result<Caller, Problem> {
    let taker = Taker {
        principal: PRINCIPAL,
        place: &deployment.place,
        source: group_arn(&deployment.place, &deployment.application, &deployment.group),
        request_id: world.request_id(),
    };
    let session = assume_as(world, &taker, &deployment.id, &deployment.role).map_err(|_| {
        ("IAM_ROLE_MISSING", format!("CodeDeploy could not assume the role {}", deployment.role))
    })?;
    Ok(Caller::Session(Arc::new(session)))
}

/// May the role do this?
fn allowed<C: Call>(
    world: &World,
    deployment: &Deployment,
    caller: &Caller,
    resource: String,
    more: Vec<(String, Vec<String>)>,
) -> Result<(), Problem> {
    let connection = Connection::new(std::net::Ipv4Addr::LOCALHOST.into(), Some(PRINCIPAL));
    let mut keys = connection.keys();
    keys.extend(more);
    let request_id = world.request_id();
    let asked = Asked {
        caller,
        region: &deployment.place.region,
        resource,
        resource_account: deployment.place.account.to_string(),
        resource_policies: &[],
        keys,
        request_id: &request_id,
    };
    let decided: Result<Permit<C>, AwsError> = authz::authorize(world, &asked, Protocol::Json11);
    decided.map(|_| ()).map_err(|error| ("IAM_ROLE_PERMISSIONS", error.message))
}

/// What the new task set needs: the service, the task definition, and a role that may bring them together.
fn prepare(world: &World, deployment: &Deployment) -> Result<Arc<TaskDefinition>, Problem> {
    let caller = act_as(world, deployment)?;
    let service = service(world, deployment)?;
    let arn = service_arn(deployment);
    allowed::<ecs_calls::DescribeServices>(world, deployment, &caller, arn, Vec::new())?;
    let name = deployment.set.get("taskDefinition").and_then(Value::as_str).unwrap_or_default();
    let definition = load::definition_by_arn(world, &deployment.place, name)
        .ok_or_else(|| ("ECS_UPDATE_ERROR", format!("The task definition {name} was not found")))?;
    // What CodeDeploy makes of ECS's refusal of the task set (seen in its answers).
    traffic::check(&deployment.set, &definition).map_err(|error| {
        let (code, message) = (&error.code, &error.message);
        let text = format!(
            "The ECS service cannot be updated due to an unexpected error: {message} (Service: AmazonECS; Status Code: 400; Error Code: {code}; Request ID: {}; Proxy: null). Check your ECS service status.",
            world.request_id()
        );
        ("ECS_UPDATE_ERROR", text)
    })?;
    let set = format!("task-set/{}/{}/*", service.cluster, service.name);
    let set = deployment.place.arn(&set);
    allowed::<ecs_calls::CreateTaskSet>(world, deployment, &caller, set, Vec::new())?;
    for member in ["taskRoleArn", "executionRoleArn"] {
        if let Some(role) = definition.text(member).filter(|role| role.starts_with("arn:")) {
            let to = vec![("iam:PassedToService".to_owned(), vec!["ecs-tasks.amazonaws.com".to_owned()])];
            allowed::<calls::PassRole>(world, deployment, &caller, role.to_owned(), to)?;
        }
    }
    Ok(definition)
}

fn begin(world: &World, deployment: &Deployment) -> Result<(), StoreError> {
    let prepared = prepare(world, deployment);
    change(world, deployment, |writing, deployment, service, now| match prepared {
        Err((code, message)) => deployment.course.fail(code, &message, now),
        Ok(definition) => {
            let Some(service) = service else { return Vec::new() };
            let mut body = service.body.clone();
            body.retain(|name, _| crate::ecs::is_of_revision(name));
            body.extend(deployment.set.clone());
            deployment.sets.0 = service.rollout.deployments.first().map(|first| first.id().to_owned());
            let number = task_sets::begin(world, writing, service, body, &definition);
            deployment.sets.1 = Some(number);
            deployment.course.since_ms = now;
            deployment.course.look(false, now)
        }
    })
}

fn go_on(world: &World, deployment: &Deployment) -> Result<(), StoreError> {
    let now = world.clock.now().0;
    let is_healthy = is_healthy(world, deployment);
    let mut probe = deployment.course.clone();
    let acts = probe.look(is_healthy, now);
    if probe == deployment.course {
        return Ok(());
    }
    // Asked before anything is written: a decision goes into the log.
    let may = may(world, deployment, &acts);
    change(world, deployment, |_, deployment, _, now| match may {
        Err((code, message)) => deployment.course.fail(code, &message, now),
        Ok(()) => deployment.course.look(is_healthy, now),
    })
}

fn is_healthy(world: &World, deployment: &Deployment) -> bool {
    let (cluster, name) = &deployment.service;
    let service = load::service(world, &deployment.place, cluster, name);
    service.is_some_and(|service| {
        let mut sets = service.rollout.deployments.iter();
        let green = sets.find(|set| Some(set.id()) == deployment.sets.1.as_deref());
        green.is_some_and(|set| set.state == RolloutState::Completed)
    })
}

fn may(world: &World, deployment: &Deployment, acts: &[Act]) -> Result<(), Problem> {
    if acts.iter().all(|act| *act == Act::Undo) {
        return Ok(());
    }
    let caller = act_as(world, deployment)?;
    let (cluster, name) = &deployment.service;
    for act in acts {
        match (act, &deployment.sets.0) {
            (Act::Promote, _) => allowed::<ecs_calls::UpdateServicePrimaryTaskSet>(
                world,
                deployment,
                &caller,
                service_arn(deployment),
                Vec::new(),
            )?,
            (Act::Terminate, Some(blue)) => {
                let set = deployment.place.arn(&format!("task-set/{cluster}/{name}/ecs-svc/{blue}"));
                allowed::<ecs_calls::DeleteTaskSet>(world, deployment, &caller, set, Vec::new())?;
            }
            (Act::Terminate | Act::Undo, _) => {}
        }
    }
    Ok(())
}

/// Changes a deployment, and does with the task sets what follows from it.
fn change(
    world: &World,
    deployment: &Deployment,
    change: impl FnOnce(&mut Writing<'_>, &mut Deployment, Option<&mut Service>, i64) -> Vec<Act>,
) -> Result<(), StoreError> {
    let now = world.clock.now().0;
    world.store.write(|writing| {
        let Some(known) = writing.get::<Deployment>(&deployment.key()) else { return Ok(()) };
        let mut deployment = (*known).clone();
        if deployment.course.is_over() {
            return Ok(());
        }
        let mut service = service_in(writing, &deployment);
        let acts = change(writing, &mut deployment, service.as_mut(), now);
        deployment.updated_ms = now;
        carry_out(world, writing, &mut deployment, &acts);
        writing.put(deployment);
        Ok(())
    })
}

fn service_in(writing: &Writing<'_>, deployment: &Deployment) -> Option<Service> {
    let (cluster, name) = &deployment.service;
    writing.get::<Service>(&deployment.place.key(&[cluster, name])).map(|known| (*known).clone())
}

/// Does with the task sets what is to be done.
pub(super) fn carry_out(world: &World, writing: &mut Writing<'_>, deployment: &mut Deployment, acts: &[Act]) {
    for act in acts {
        let Some(mut service) = service_in(writing, deployment) else { return };
        match (act, deployment.sets.clone()) {
            (Act::Promote, (_, Some(green))) => task_sets::promote(world, writing, &mut service, &green),
            (Act::Terminate, (Some(blue), _)) => task_sets::retire(world, writing, &mut service, &blue),
            (Act::Undo, (blue, Some(green))) => {
                if let Some(blue) = blue {
                    task_sets::promote(world, writing, &mut service, &blue);
                }
                task_sets::retire(world, writing, &mut service, &green);
                undone(world, writing, deployment);
            }
            _ => {}
        }
    }
}

/// The deployment that gave the traffic back, where the group asks for one.
fn undone(world: &World, writing: &mut Writing<'_>, deployment: &mut Deployment) {
    if !deployment.course.rolls_back {
        return;
    }
    let now = world.clock.now().0;
    let (id, failed) = (fresh_id(world), deployment.id.clone());
    let message = format!(
        "Deployment {failed} {} so Deployment {id} was created to restore the original task set.",
        if matches!(deployment.course.stage, Stage::Ended(End::Stopped)) { "stopped" } else { "failed" }
    );
    let mut course = Course::new(Shift::AllAtOnce, now);
    course.events.clear();
    course.stage = Stage::Ended(End::Succeeded);
    course.traffic = 100.0;
    deployment.rollback = Some((id.clone(), failed.clone(), message.clone()));
    writing.put(Deployment {
        id: id.clone(),
        creator: "codeDeployRollback".to_owned(),
        description: None,
        sets: (None, deployment.sets.0.clone()),
        course,
        rollback: Some((id, failed, message)),
        created_ms: now,
        updated_ms: now,
        ..deployment.clone()
    });
}
