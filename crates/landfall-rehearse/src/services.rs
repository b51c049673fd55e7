//! What became of the ECS services: a job that does not wait for its deployment is green whatever happens
//! to it, and a container that runs may still answer nobody.

use std::time::{Duration, Instant};

use landfall_check::terraform::Infra;
use landfall_serve::World;
use landfall_serve::ecs::rollout::{RolloutState, Status};
use landfall_serve::store::Record as _;
use landfall_serve::store::ecs::{
    Service, ServiceDeployment, ServiceRevision, ServiceStatus, Task, TaskStatus,
};
use landfall_types::Finding;

use crate::deployed::{self, Deployed, Origin};
use crate::event::{ServiceNow, Summary};
use crate::loopback;

/// Longest wait for deployments that no step has waited for, in seconds.
const WAIT_SECONDS_MAX: u64 = 60;
/// Between two looks, in milliseconds.
const LOOK_MS: u64 = 100;

/// A service at the start: its key, its deployment, and how many events it had.
pub(crate) type Before = Vec<(String, Option<String>, usize)>;

/// The services at the start.
pub(crate) fn before(world: &World) -> Before {
    let services = world.store.list::<Service>("");
    services
        .iter()
        .map(|service| (service.key(), service.current_deployment.clone(), service.events.len()))
        .collect()
}

/// Waits for deployments that go on, and adds the services to the summary.
pub(crate) async fn add(world: &World, before: &Before, most: Option<Duration>, summary: &mut Summary) {
    let longest = Duration::from_secs(WAIT_SECONDS_MAX);
    let deadline = Instant::now() + most.map_or(longest, |most| most.min(longest));
    while world.store.list::<Service>("").iter().any(|service| is_going(world, before, service))
        && Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    for service in world.store.list::<Service>("") {
        if service.status == ServiceStatus::Active {
            let now = look(world, before, &service).await;
            let is_good = now.deployed.as_deref().is_none_or(|status| status == Status::Successful.word());
            summary.success &= is_good;
            if now.deployed.is_some() && now.not_run.is_some() {
                summary.not_run.push(now.name.clone());
            }
            summary.services.push(now);
        }
    }
}

/// Deployments that no step has waited for and that did not end well, with their reasons.
pub(crate) fn untold(
    world: &World,
    infra: &Infra,
    before: &Before,
    wait_max: Option<Duration>,
) -> Vec<Finding> {
    let origin = Origin {
        world,
        infra,
        step: None,
        definitions: Vec::new(),
        images: Vec::new(),
        waits: None,
        ungrouped: None,
        wait_max,
    };
    let services = world.store.list::<Service>("").into_iter();
    let made =
        services.filter_map(|service| Some(Deployed { story: made(world, before, &service)?, service }));
    made.filter_map(|deployed| deployed::of_deployment(&origin, &deployed)).collect()
}

/// The deployment that the rehearsal made last.
fn made(world: &World, before: &Before, service: &Service) -> Option<std::sync::Arc<ServiceDeployment>> {
    let known = before.iter().find(|(key, ..)| *key == service.key());
    let id = service.current_deployment.as_ref();
    let id = id.filter(|id| known.is_none_or(|(_, known, _)| known.as_ref() != Some(*id)))?;
    world.store.get::<ServiceDeployment>(&service.place.key(&[&service.cluster, &service.name, id]))
}

/// Whether a deployment of the rehearsal may still succeed or fail. One that fails again and again without a
/// circuit breaker never ends.
fn is_going(world: &World, before: &Before, service: &Service) -> bool {
    let Some(story) = made(world, before, service) else { return false };
    let primary = service.rollout.deployments.first();
    let fails = primary.is_some_and(|primary| primary.failed > 0) && !service.rollout.rules.breaker.enabled;
    let is_failed = primary.is_some_and(|primary| primary.state == RolloutState::Failed);
    !story.status.is_final() && !fails && !is_failed
}

async fn look(world: &World, before: &Before, service: &Service) -> ServiceNow {
    let primary = service.rollout.deployments.first();
    let revision = primary.and_then(|primary| {
        let key = service.place.key(&[&service.cluster, &service.name, primary.id()]);
        world.store.get::<ServiceRevision>(&key)
    });
    let definition = revision.as_deref().map_or("", ServiceRevision::task_definition);
    let tasks: Vec<_> = world
        .store
        .list::<Task>(&service.place.in_cluster(&service.cluster))
        .into_iter()
        .filter(|task| task.service.as_ref().is_some_and(|(name, _)| *name == service.name))
        .filter(|task| task.status == TaskStatus::Running)
        .collect();
    let mut addresses = Vec::new();
    for task in tasks.iter().filter(|task| task.not_run.is_none()) {
        for (_, port, protocol) in task.containers.iter().flat_map(|container| &container.ports) {
            if protocol == "tcp" {
                let address = format!("127.0.0.1:{port}");
                let answer = loopback::look(&address).await.unwrap_or_else(|problem| problem);
                addresses.push(format!("{address} {answer}"));
            }
        }
    }
    let known = before.iter().find(|(key, ..)| *key == service.key()).map_or(0, |(.., count)| *count);
    let fresh = service.events.len().saturating_sub(known);
    ServiceNow {
        name: format!("{}/{}", service.cluster, service.name),
        definition: definition.rsplit('/').next().unwrap_or_default().to_owned(),
        desired: service.rollout.desired,
        running: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
        state: primary.map_or("", |primary| primary.state.word()).to_owned(),
        deployed: made(world, before, service).map(|story| story.status.word().to_owned()),
        events: service.events.iter().take(fresh).rev().map(|event| event.message.clone()).collect(),
        addresses,
        not_run: tasks.iter().find_map(|task| task.not_run.clone()),
    }
}
