//! Looking things up.

use std::sync::Arc;

use super::names::DefinitionName;
use crate::store::ecs::{CapacityProvider, DefinitionStatus, Place, Service, TaskDefinition};
use crate::world::World;

/// A task definition; without a revision the latest that is active.
pub(super) fn definition(world: &World, place: &Place, name: &DefinitionName) -> Option<Arc<TaskDefinition>> {
    match name.revision {
        Some(revision) => world.store.get(&place.key(&[&name.family, &format!("{revision:010}")])),
        None => {
            let all = world.store.list::<TaskDefinition>(&place.in_cluster(&name.family));
            all.into_iter().rev().find(|known| known.status == DefinitionStatus::Active)
        }
    }
}

/// A task definition by its ARN.
pub(crate) fn definition_by_arn(world: &World, place: &Place, arn: &str) -> Option<Arc<TaskDefinition>> {
    definition(world, place, &super::names::definition(place, arn)?)
}

/// A service.
pub(crate) fn service(world: &World, place: &Place, cluster: &str, name: &str) -> Option<Arc<Service>> {
    world.store.get(&place.key(&[cluster, name]))
}

/// Whether there is a capacity provider of this name.
pub(super) fn capacity_provider(world: &World, place: &Place, name: &str) -> bool {
    world.store.get::<CapacityProvider>(&place.key(&[name])).is_some()
}
