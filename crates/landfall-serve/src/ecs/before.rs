//! What was there before this server: services that Terraform describes have run for long, on images that
//! were pushed to the real ECR. Their tasks stand in for those; a rollback goes back to them.

use landfall_wire::error::AwsError;

use super::rollout::{Event, Health, Phase};
use super::{controller, load};
use crate::store::ecs::{Cluster, Place, Service, ServiceStatus, Task, TaskDefinition, TaskStatus};
use crate::store::{Record, StoreError};
use crate::world::World;

/// How long a stand-in is said to have run, in milliseconds.
const RAN_MS: i64 = 3_600_000;

/// Notes that a task definition was there before.
///
/// # Errors
/// When the disk does not take it.
pub fn note_definition(world: &World, place: &Place, arn: &str) -> Result<(), AwsError> {
    let Some(known) = load::definition_by_arn(world, place, arn) else { return Ok(()) };
    let noted = TaskDefinition { was_there: true, ..(*known).clone() };
    let written: Result<(), StoreError> = world.store.write(|writing| {
        writing.put(noted);
        Ok(())
    });
    written.map_err(|_| landfall_wire::error::internal(landfall_wire::error::Protocol::Json11))
}

/// Notes that a cluster is made elsewhere.
///
/// # Errors
/// When the disk does not take it.
pub fn note_cluster(world: &World, place: &Place, name: &str) -> Result<(), AwsError> {
    let written: Result<(), StoreError> = world.store.write(|writing| {
        if let Some(known) = writing.get::<Cluster>(&place.key(&[name])) {
            writing.put(Cluster { was_there: true, ..(*known).clone() });
        }
        Ok(())
    });
    written.map_err(|_| landfall_wire::error::internal(landfall_wire::error::Protocol::Json11))
}

/// Services whose tasks all stand in for others are steady at once.
///
/// # Errors
/// When the disk does not take it.
pub fn settle(world: &World) -> Result<(), StoreError> {
    for service in world.store.list::<Service>("") {
        if service.status == ServiceStatus::Active {
            settle_service(world, &service.key())?;
        }
    }
    Ok(())
}

fn settle_service(world: &World, key: &str) -> Result<(), StoreError> {
    let now = world.clock.now().0;
    world.store.write(|writing| {
        let Some(service) = writing.get::<Service>(key) else { return Ok(()) };
        let mut service = (*service).clone();
        let keys: Vec<String> = service
            .rollout
            .tasks
            .iter()
            .map(|task| service.place.key(&[&service.cluster, &task.id]))
            .collect();
        let tasks: Vec<_> = keys.iter().filter_map(|key| writing.get::<Task>(key)).collect();
        let all_new = tasks.iter().all(|task| task.is_stand_in && task.status < TaskStatus::Running);
        if tasks.len() != keys.len() || tasks.is_empty() || !all_new {
            return Ok(());
        }
        let mut health = Health::Unknown;
        for known in tasks {
            let mut task = (*known).clone();
            task.status = TaskStatus::Running;
            task.times.created = now - RAN_MS;
            task.times.started = Some(now - RAN_MS);
            for container in &mut task.containers {
                "RUNNING".clone_into(&mut container.status);
            }
            let definition = load::definition_by_arn(world, &task.place, &task.definition);
            if definition.is_some_and(|known| controller::has_health_check(&known)) {
                "HEALTHY".clone_into(&mut task.health);
                health = Health::Healthy;
            }
            writing.put(task);
        }
        for task in &mut service.rollout.tasks {
            task.phase = Phase::Running { since_ms: now - RAN_MS };
            task.health = health;
        }
        controller::feed(world, writing, &mut service, Event::Tick);
        Ok(())
    })
}
