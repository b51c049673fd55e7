//! Feeds the rollouts of services and carries out what they want: tasks are made and told to stop, events
//! and the stories of deployments are written down.

use landfall_wire::ids;
use serde_json::{Value, json};

use super::rollout::{Action, Deployment, Event, Fresh, Status, Target};
use super::{runner, service_input, tasks};
use crate::store::Writing;
use crate::store::ecs::{
    Body, Place, Service, ServiceDeployment, ServiceEvent, ServiceRevision, ServiceStatus, Task,
    TaskDefinition, TaskSet,
};
use crate::world::World;

/// Events of a service that are remembered.
const EVENTS_MAX: usize = 100;

/// What is told of a task that stands for one that ran before this server.
const STAND_IN: &str = "not run: it stands for what ran before, and nothing has pushed its image here";

/// A fresh 19-digit number: of a deployment and of its revision.
pub(super) fn fresh_number(world: &World) -> String {
    let number = u64::from_be_bytes(world.random()) % 8_000_000_000_000_000_000;
    (number + 1_000_000_000_000_000_000).to_string()
}

/// A fresh id of 32 hexadecimal digits: of a task.
pub(super) fn fresh_task_id(world: &World) -> String {
    landfall_wire::hash::hex(&world.random::<16>())
}

/// A fresh id of 21 characters: of a service deployment.
fn fresh_deployment_id(world: &World) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let bytes: [u8; 21] = world.random();
    let letter = |byte: u8| char::from(LETTERS.get(usize::from(byte % 64)).copied().unwrap_or(b'A'));
    bytes.into_iter().map(letter).collect()
}

/// Gives a service an event, and carries out what follows from it. The service is written.
pub(super) fn feed(world: &World, writing: &mut Writing<'_>, service: &mut Service, event: Event) {
    let now = world.clock.now().0;
    let mut fresh = |what| match what {
        Fresh::Task => fresh_task_id(world),
        Fresh::Deployment => fresh_number(world),
    };
    let mut rollout = service.rollout.clone();
    let actions = rollout.step_where(event, now, &mut fresh, &mut |deployment, task| {
        launch_refusal(world, writing, service, deployment, task)
    });
    service.rollout = rollout;
    for action in actions {
        match action {
            Action::Start { task, deployment } => start(world, writing, service, &task, &deployment),
            Action::Stop { task, why } => {
                stop(
                    writing,
                    &service.place.key(&[&service.cluster, &task]),
                    "ServiceSchedulerInitiated",
                    &why.sentence(),
                    now,
                );
            }
            Action::Say(message) => say(world, service, message),
            Action::Status { deployment, status, reason } => {
                tell(world, writing, service, &deployment, status, reason);
                if status == Status::RollbackInProgress {
                    restore(writing, service);
                }
            }
        }
    }
    let is_empty = service.rollout.draining && service.rollout.tasks.is_empty();
    if service.status == ServiceStatus::Draining && is_empty {
        service.status = ServiceStatus::Inactive;
    }
    writing.put(service.clone());
    world.ecs.wake();
}

/// Gives an event to the service of a task, if it has one.
pub(super) fn feed_of_task(
    world: &World,
    writing: &mut Writing<'_>,
    task: &str,
    event: impl FnOnce(String) -> Event,
) {
    let Some(task) = writing.get::<Task>(task) else { return };
    let Some((name, _)) = &task.service else { return };
    let Some(service) = writing.get::<Service>(&task.place.key(&[&task.cluster, name])) else { return };
    let mut service = (*service).clone();
    feed(world, writing, &mut service, event(task.id.clone()));
}

/// An alarm went off: deployments that watch it fail. One that was off before a deployment began says nothing of it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html>
pub(crate) fn alarm_goes_off(world: &World, writing: &mut Writing<'_>, place: &Place, alarm: &str) {
    for known in writing.list::<Service>(&place.all()) {
        let Some(target) = known.rollout.watched().filter(|_| watches(&known, alarm)) else { continue };
        let stories = writing.list::<ServiceDeployment>(&known.place.of_service(&known.cluster, &known.name));
        let of_target = stories.into_iter().filter(|story| story.target == target);
        if let Some(story) = of_target.max_by_key(|story| story.created_ms) {
            let mut story = (*story).clone();
            story.alarms_off.push(alarm.to_owned());
            writing.put(story);
        }
        let mut service = (*known).clone();
        feed(world, writing, &mut service, Event::AlarmGoesOff);
    }
}

/// Whether a service's deployments watch an alarm.
fn watches(service: &Service, alarm: &str) -> bool {
    let rule = service.body.get("deploymentConfiguration").and_then(|rules| rules.get("alarms"));
    let is_on = rule.and_then(|rule| rule.get("enable")) == Some(&Value::Bool(true));
    let names = rule.and_then(|rule| rule.get("alarmNames")).and_then(Value::as_array);
    is_on && names.is_some_and(|names| names.iter().any(|name| name == alarm))
}

/// Adds an event to a service, the newest first.
fn say(world: &World, service: &mut Service, message: String) {
    let event = ServiceEvent { id: ids::request_id(world.random()), at_ms: world.clock.now().0, message };
    service.events.insert(0, event);
    service.events.truncate(EVENTS_MAX);
}

/// What the tasks of a deployment or of a task set are made of.
fn plan_of(writing: &Writing<'_>, service: &Service, number: &str) -> Option<Body> {
    let key = service.place.key(&[&service.cluster, &service.name, number]);
    let revision = writing.get::<ServiceRevision>(&key).map(|revision| revision.body.clone());
    revision.or_else(|| writing.get::<TaskSet>(&key).map(|set| set.body.clone()))
}

/// What the tasks of a deployment are made of, with their task definition.
fn made_of(writing: &Writing<'_>, service: &Service, deployment: &str) -> Option<(Body, TaskDefinition)> {
    let plan = plan_of(writing, service, deployment)?;
    let definition = definition(writing, &service.place, plan.get("taskDefinition")?.as_str()?)?;
    Some((plan, definition))
}

/// Why a task can't be launched: ECS can't take its roles.
fn launch_refusal(
    world: &World,
    writing: &Writing<'_>,
    service: &Service,
    deployment: &str,
    id: &str,
) -> Option<String> {
    let (_, definition) = made_of(writing, service, deployment)?;
    if is_stand_in(world, &definition) {
        return None;
    }
    let source = service.place.task_arn(&service.cluster, id, service.long_arn);
    let roles = runner::roles(None, &definition);
    runner::role::check(world, &service.place, source, world.request_id(), roles).err()
}

/// Whether tasks of this stand for those that ran before this server.
fn is_stand_in(world: &World, definition: &TaskDefinition) -> bool {
    definition.was_there && runner::lacks_images(world, definition)
}

fn start(world: &World, writing: &mut Writing<'_>, service: &Service, id: &str, deployment: &str) {
    let Some((plan, definition)) = made_of(writing, service, deployment) else { return };
    let mut body = super::members(&plan, &["launchType", "platformVersion", "networkConfiguration"]);
    if let Some(provider) = first_provider(&plan) {
        body.insert("capacityProviderName".to_owned(), provider);
    }
    let execute = service.body.get("enableExecuteCommand").cloned().unwrap_or(json!(false));
    body.insert("enableExecuteCommand".to_owned(), execute);
    let mut tags = match service.text("propagateTags") {
        Some("SERVICE") => service.tags.clone(),
        Some("TASK_DEFINITION") => definition.tags.clone(),
        _ => Vec::new(),
    };
    if service.body.get("enableECSManagedTags") == Some(&Value::Bool(true)) {
        tags.push(("aws:ecs:clusterName".to_owned(), service.cluster.clone()));
        tags.push(("aws:ecs:serviceName".to_owned(), service.name.clone()));
    }
    let task = tasks::NewTask {
        cluster: &service.cluster,
        id: id.to_owned(),
        long_arn: service.long_arn,
        definition: &definition,
        service: Some((service.name.clone(), deployment.to_owned())),
        group: format!("service:{}", service.name),
        started_by: Some(format!("ecs-svc/{}", number_of(service, deployment))),
        body,
        tags,
    };
    let mut task = task.build(world);
    if is_stand_in(world, &definition) {
        task.is_stand_in = true;
        task.not_run = Some(STAND_IN.to_owned());
    }
    writing.put(task);
}

/// The number under which clients know a deployment, by its revision's.
fn number_of<'a>(service: &'a Service, deployment: &'a str) -> &'a str {
    let known = service.rollout.deployments.iter().find(|known| known.id() == deployment);
    known.map_or(deployment, Deployment::number)
}

/// The first provider of a strategy.
pub(super) fn first_provider(plan: &Body) -> Option<Value> {
    plan.get("capacityProviderStrategy")?.as_array()?.first()?.get("capacityProvider").cloned()
}

fn definition(writing: &Writing<'_>, place: &Place, arn: &str) -> Option<TaskDefinition> {
    let name = super::names::definition(place, arn)?;
    let revision = format!("{:010}", name.revision?);
    writing.get::<TaskDefinition>(&place.key(&[&name.family, &revision])).map(|known| (*known).clone())
}

/// Tells a task to stop. One that was told already keeps its first reason.
pub(super) fn stop(writing: &mut Writing<'_>, key: &str, code: &str, reason: &str, now_ms: i64) {
    let Some(known) = writing.get::<Task>(key) else { return };
    if known.is_stopping {
        return;
    }
    let mut task = (*known).clone();
    task.is_stopping = true;
    task.stop_code = Some(code.to_owned());
    task.stopped_reason = Some(reason.to_owned());
    task.times.stopping = Some(now_ms);
    task.times.changed = now_ms;
    task.version += 1;
    writing.put(task);
}

/// A deployment's story goes on.
fn tell(
    world: &World,
    writing: &mut Writing<'_>,
    service: &Service,
    number: &str,
    status: Status,
    reason: Option<String>,
) {
    let now = world.clock.now().0;
    let stories =
        writing.list::<ServiceDeployment>(&service.place.of_service(&service.cluster, &service.name));
    let story =
        stories.into_iter().filter(|story| story.target == number).max_by_key(|story| story.created_ms);
    let Some(story) = story else { return };
    let mut story = (*story).clone();
    story.status = status;
    story.reason = reason.clone().or(story.reason);
    story.updated_ms = now;
    if let Some(deployment) = service.rollout.deployments.iter().find(|known| known.id() == number) {
        let threshold = service.rollout.rules.breaker.threshold.failures(service.rollout.desired);
        story.failures = (deployment.strikes, threshold);
    }
    if status == Status::RollbackInProgress
        && let Some(target) = service.rollout.deployments.first()
    {
        story.rollback = Some((reason.unwrap_or_default(), now, target.id().to_owned()));
    }
    if status == Status::Stopped {
        story.stopped_ms = Some(now);
    }
    if status.is_final() {
        story.finished_ms = Some(now);
    }
    writing.put(story);
}

/// The service is again what the revision says that it goes back to.
fn restore(writing: &Writing<'_>, service: &mut Service) {
    let Some(number) = service.rollout.deployments.first().map(|primary| primary.id().to_owned()) else {
        return;
    };
    let Some(body) = plan_of(writing, service, &number) else { return };
    for name in service_input::REVISION {
        match body.get(name) {
            Some(value) => service.body.insert(name.to_owned(), value.clone()),
            None => service.body.remove(name),
        };
    }
}

/// Begins a deployment of a service as it is now: a revision, a story, and the event.
pub(super) fn deploy(world: &World, writing: &mut Writing<'_>, service: &mut Service) {
    let now = world.clock.now().0;
    let number = fresh_number(world);
    let body = super::members(&service.body, &service_input::REVISION);
    let definition = body.get("taskDefinition").and_then(Value::as_str);
    let definition = definition.and_then(|arn| definition_of(writing, service, arn));
    writing.put(ServiceRevision {
        place: service.place.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        number: number.clone(),
        body,
        created_ms: now,
    });
    let story = ServiceDeployment {
        place: service.place.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id: fresh_deployment_id(world),
        target: number.clone(),
        sources: service.rollout.deployments.iter().map(|known| known.id().to_owned()).collect(),
        status: Status::Pending,
        reason: None,
        configuration: service.body.get("deploymentConfiguration").cloned().unwrap_or_default(),
        rollback: None,
        failures: (0, service.rollout.rules.breaker.threshold.failures(service.rollout.desired)),
        alarms_off: Vec::new(),
        created_ms: now,
        updated_ms: now,
        finished_ms: None,
        stopped_ms: None,
    };
    service.current_deployment = Some(story.id.clone());
    writing.put(story);
    let target =
        Target { id: number, has_health_check: definition.is_some_and(|known| has_health_check(&known)) };
    feed(world, writing, service, Event::Deploy(target));
}

fn definition_of(writing: &Writing<'_>, service: &Service, arn: &str) -> Option<TaskDefinition> {
    definition(writing, &service.place, arn)
}

/// Whether an essential container has a health check: the task's health is theirs.
pub(super) fn has_health_check(definition: &TaskDefinition) -> bool {
    definition.containers().any(|container| {
        container.contains_key("healthCheck") && container.get("essential") != Some(&Value::Bool(false))
    })
}
