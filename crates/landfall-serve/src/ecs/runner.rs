//! Brings tasks from one status to the next, and tells the rollouts what became of them.
//!
//! With a container engine a task is run; without one it says that it was not run and why. The tasks of
//! services then go through the same statuses with nothing behind them, so that deployments can be
//! watched; a task that was run for its own sake stops with that reason.

mod pull;
mod role;

use std::sync::OnceLock;

use serde_json::Value;
use tokio::sync::Notify;

use super::controller;
use super::rollout::{Event, Health};
use crate::store::ecs::{Service, ServiceStatus, Task, TaskStatus};
use crate::store::{Record, StoreError};
use crate::world::World;

/// How long a status lasts when nothing is run, in milliseconds.
const STEP_MS: i64 = 50;
/// How long a stopped task can be described, in milliseconds.
const STOPPED_MS_KEPT: i64 = 3_600_000;

/// What runs tasks.
#[derive(Debug, Default)]
pub struct Runner {
    changed: Notify,
    absent: OnceLock<String>,
}

impl Runner {
    /// Something has changed that has to be looked at.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until something has changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Why nothing is run.
    pub fn not_run(&self) -> &str {
        self.absent.get().map_or("not run, no container engine", String::as_str)
    }
}

/// Keeps services and tasks going until the server ends.
pub(crate) async fn drive(world: std::sync::Arc<World>) {
    /// Between two looks when nothing is expected, in milliseconds.
    const IDLE_MS: u64 = 60_000;
    /// Between two looks at least, in milliseconds.
    const PAUSE_MS: u64 = 10;
    loop {
        let due = tick(&world);
        let wait = due.map_or(IDLE_MS, |at| {
            u64::try_from(at - world.clock.now().0).unwrap_or(0).clamp(PAUSE_MS, IDLE_MS)
        });
        tokio::select! {
            () = world.ecs.changed() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(wait)) => {}
        }
    }
}

/// Does what is due, and says when there is something to do again, in milliseconds since 1970.
pub fn tick(world: &World) -> Option<i64> {
    let now = world.clock.now().0;
    let mut next: Option<i64> = None;
    let mut at = |due: i64| next = Some(next.map_or(due, |known| known.min(due)));
    for task in world.store.list::<Task>("") {
        match due_of(&task) {
            Some(due) if due <= now => {
                // What the disk doesn't take is tried again with the next tick.
                let _ = advance(world, &task);
                at(now + STEP_MS);
            }
            Some(due) => at(due),
            None => {}
        }
    }
    for service in world.store.list::<Service>("") {
        if service.status == ServiceStatus::Inactive {
            continue;
        }
        let _ = tick_service(world, &service.key());
        let after = world.store.get::<Service>(&service.key());
        if let Some(due) = after.and_then(|known| known.rollout.due_ms(now)) {
            at(due);
        }
    }
    next
}

fn tick_service(world: &World, key: &str) -> Result<(), StoreError> {
    world.store.write(|writing| {
        let Some(service) = writing.get::<Service>(key) else { return Ok(()) };
        let mut after = (*service).clone();
        // A tick that changes nothing is not written.
        let mut probe = service.rollout.clone();
        let actions = probe.step(Event::Tick, world.clock.now().0, &mut String::new);
        if actions.is_empty() && probe == service.rollout {
            return Ok(());
        }
        controller::feed(world, writing, &mut after, Event::Tick);
        Ok(())
    })
}

/// When a task goes on by itself, in milliseconds since 1970.
fn due_of(task: &Task) -> Option<i64> {
    match task.status {
        TaskStatus::Stopped => Some(task.times.changed + STOPPED_MS_KEPT),
        TaskStatus::Running if !task.is_stopping => None,
        _ => Some(task.times.changed + STEP_MS),
    }
}

/// The next step of a task that is not run.
fn advance(world: &World, task: &Task) -> Result<(), StoreError> {
    let key = task.key();
    match (task.status, task.is_stopping) {
        (TaskStatus::Stopped, _) => world.store.write(|writing| writing.remove::<Task>(&key)),
        (TaskStatus::Provisioning, false) => change(world, &key, |task, now| {
            task.status = TaskStatus::Pending;
            task.times.pull_started = Some(now);
        }),
        (TaskStatus::Pending, false) => admit(world, task),
        (TaskStatus::Activating, false) => {
            // Nothing contradicts the health of what is not run.
            let definition = super::load::definition_by_arn(world, &task.place, &task.definition);
            let is_checked = definition.is_some_and(|known| controller::has_health_check(&known));
            change(world, &key, |task, now| {
                task.status = TaskStatus::Running;
                task.times.started = Some(now);
                set_containers(task, "RUNNING");
                if is_checked {
                    task.health = "HEALTHY".to_owned();
                }
            })
        }
        (TaskStatus::Running, false) => Ok(()),
        (TaskStatus::Running, true) => change(world, &key, |task, _| task.status = TaskStatus::Deactivating),
        (TaskStatus::Deactivating, _) => change(world, &key, |task, now| {
            task.status = TaskStatus::Stopping;
            task.times.stopping.get_or_insert(now);
        }),
        (
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating | TaskStatus::Stopping,
            _,
        ) => change(world, &key, |task, now| {
            task.status = TaskStatus::Deprovisioning;
            task.times.execution_stopped = Some(now);
            set_containers(task, "STOPPED");
        }),
        (TaskStatus::Deprovisioning, _) => change(world, &key, |task, now| {
            task.status = TaskStatus::Stopped;
            task.times.stopped = Some(now);
        }),
    }
}

fn set_containers(task: &mut Task, status: &str) {
    for container in &mut task.containers {
        status.clone_into(&mut container.status);
    }
}

/// The images are asked for as the execution role asks for them, whether or not something runs them.
fn admit(world: &World, task: &Task) -> Result<(), StoreError> {
    let pulled = pull::resolve(world, task);
    let key = task.key();
    let why = world.ecs.not_run().to_owned();
    match pulled {
        Err(reason) => fail(world, &key, "TaskFailedToStart", &reason),
        Ok(_) if task.service.is_none() => fail(world, &key, "TaskFailedToStart", &why),
        Ok(digests) => change(world, &key, |task, now| {
            task.status = TaskStatus::Activating;
            task.not_run = Some(why);
            task.times.pull_stopped = Some(now);
            for (container, digest) in task.containers.iter_mut().zip(digests) {
                container.digest = digest;
            }
        }),
    }
}

/// A task that ends by itself.
pub(super) fn fail(world: &World, key: &str, code: &str, reason: &str) -> Result<(), StoreError> {
    change(world, key, |task, now| {
        if task.is_stopping {
            return;
        }
        task.is_stopping = true;
        task.stop_code = Some(code.to_owned());
        task.stopped_reason = Some(reason.to_owned());
        task.times.stopping = Some(now);
    })
}

/// Changes a task, and tells its service what that means.
pub(super) fn change(
    world: &World,
    key: &str,
    change: impl FnOnce(&mut Task, i64),
) -> Result<(), StoreError> {
    let now = world.clock.now().0;
    world.store.write(|writing| {
        let Some(before) = writing.get::<Task>(key) else { return Ok(()) };
        let mut task = (*before).clone();
        change(&mut task, now);
        task.version += 1;
        task.times.changed = now;
        let (was, is) = (before.status, task.status);
        let health = health_of(&task.health);
        let other_health = before.health != task.health;
        writing.put(task);
        if was < TaskStatus::Running && is == TaskStatus::Running {
            controller::feed_of_task(world, writing, key, Event::TaskRuns);
        }
        if other_health {
            controller::feed_of_task(world, writing, key, |id| Event::TaskHealth(id, health));
        }
        if was != TaskStatus::Stopped && is == TaskStatus::Stopped {
            controller::feed_of_task(world, writing, key, Event::TaskStopped);
        }
        Ok(())
    })?;
    world.ecs.wake();
    Ok(())
}

fn health_of(word: &str) -> Health {
    match word {
        "HEALTHY" => Health::Healthy,
        "UNHEALTHY" => Health::Unhealthy,
        _ => Health::Unknown,
    }
}

/// The role that a task has, from its overrides or its definition.
pub(super) fn role_of(world: &World, task: &Task, member: &str) -> Option<String> {
    let overrides = task.body.get("overrides").and_then(|overrides| overrides.get(member));
    let given = overrides.and_then(Value::as_str).filter(|role| !role.is_empty()).map(str::to_owned);
    let definition = super::load::definition_by_arn(world, &task.place, &task.definition);
    given.or_else(|| definition?.text(member).filter(|role| !role.is_empty()).map(str::to_owned))
}
