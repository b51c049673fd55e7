//! Task sets: deployments that someone else controls.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::rollout::{Event, Target};
use super::services::{self, Named};
use super::{
    Called, Fault, active_cluster, cluster_key, controller, failure, includes, invalid, load, members, names,
    no_service, resource_tag_keys, service_input, service_json, tags, traffic, update_service,
};
use crate::authz::ecs_calls as calls;
use crate::authz::{Call, Permit};
use crate::store::Writing;
use crate::store::ecs::{Body, Service, ServiceStatus, TaskDefinition, TaskSet};
use crate::world::World;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateTaskSet" => create(call),
        "DescribeTaskSets" => describe(call),
        "UpdateTaskSet" => update(call),
        "DeleteTaskSet" => delete(call),
        "UpdateServicePrimaryTaskSet" => make_primary(call),
        _ => return None,
    })
}

/// The service of a call, which has to be one whose deployments are controlled from outside.
fn external(writing: &Writing<'_>, named: &Named) -> Result<Service, AwsError> {
    let service = writing.get::<Service>(&named.key()).ok_or_else(no_service)?;
    if service.status != ServiceStatus::Active {
        return Err(update_service::not_active());
    }
    if service.controller() != "EXTERNAL" {
        return Err(invalid(
            "Amazon ECS only supports task set management on services configured to use external deployment controllers.",
        ));
    }
    Ok((*service).clone())
}

/// Makes a task set of a service that CodeDeploy controls; its number.
pub(crate) fn begin(
    world: &World,
    writing: &mut Writing<'_>,
    service: &mut Service,
    body: Body,
    definition: &TaskDefinition,
) -> String {
    let (number, now) = (controller::fresh_number(world), world.clock.now().0);
    writing.put(TaskSet {
        place: service.place.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        number: number.clone(),
        external_id: None,
        started_by: Some("CODE_DEPLOY".to_owned()),
        body,
        scale: 100.0,
        is_draining: false,
        created_ms: now,
        updated_ms: now,
        tags: Vec::new(),
    });
    let has_health_check = controller::has_health_check(definition);
    let target = Target { id: number.clone(), has_health_check };
    controller::feed(world, writing, service, Event::TaskSet(target, 100.0));
    number
}

/// Makes a task set the one that takes the traffic.
pub(crate) fn promote(world: &World, writing: &mut Writing<'_>, service: &mut Service, number: &str) {
    let key = service.place.key(&[&service.cluster, &service.name, number]);
    let definition = writing.get::<TaskSet>(&key).and_then(|set| set.body.get("taskDefinition").cloned());
    if let Some(definition) = definition {
        service.body.insert("taskDefinition".to_owned(), definition);
    }
    controller::feed(world, writing, service, Event::Primary(number.to_owned()));
}

/// Lets a task set go.
pub(crate) fn retire(world: &World, writing: &mut Writing<'_>, service: &mut Service, number: &str) {
    let key = service.place.key(&[&service.cluster, &service.name, number]);
    if let Some(set) = writing.get::<TaskSet>(&key) {
        writing.put(TaskSet { is_draining: true, ..(*set).clone() });
    }
    controller::feed(world, writing, service, Event::DeleteTaskSet(number.to_owned()));
}

fn scale(call: &Called<'_>) -> Result<Option<f64>, AwsError> {
    let Some(scale) = call.input.object("scale")? else { return Ok(None) };
    let value = scale.value("value").and_then(Value::as_f64).unwrap_or(100.0);
    if !(0.0..=100.0).contains(&value) {
        return Err(invalid("Scale value must be between 0 and 100."));
    }
    Ok(Some(value))
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    let place = &named.place;
    let number = controller::fresh_number(call.world);
    let given = tags::given(call.input)?;
    let arn = place.arn(&format!("task-set/{}/{}/*", named.cluster, named.name));
    let mut keys = services::input_keys(call, place)?;
    keys.push(cluster_key(place, &named.cluster));
    keys.push(("ecs:service".to_owned(), vec![named.arn.clone()]));
    keys.extend(tags::request_keys(&given));
    let permit = call.authorize::<calls::CreateTaskSet>(arn.clone(), keys)?;
    tags::authorize_on_create(call, &arn, &given)?;
    let cluster = active_cluster(call.world, place, &named.cluster)?;
    let definition =
        service_input::usable_definition(call, place, call.input.required_text("taskDefinition")?)?;
    let launch = service_input::read_launch(call, &cluster, Some(&definition))?;
    let scale = scale(call)?.unwrap_or(100.0);
    let mut body = members(call.members, &service_input::REVISION);
    body.remove("capacityProviderStrategy");
    body.extend(launch);
    traffic::check(&body, &definition)?;
    body.insert("taskDefinition".to_owned(), Value::from(definition.arn()));
    let now = call.now_ms();
    let answer = call.write(&permit, |writing| {
        let mut service = external(writing, &named)?;
        let set = TaskSet {
            place: place.clone(),
            cluster: named.cluster.clone(),
            service: named.name.clone(),
            number: number.clone(),
            external_id: call.input.text("externalId")?.map(str::to_owned),
            started_by: None,
            body,
            scale,
            is_draining: false,
            created_ms: now,
            updated_ms: now,
            tags: given,
        };
        writing.put(set.clone());
        let target = Target { id: number, has_health_check: controller::has_health_check(&definition) };
        controller::feed(call.world, writing, &mut service, Event::TaskSet(target, scale));
        Ok(service_json::task_set(&service, &set, true))
    })?;
    Ok(json!({ "taskSet": answer }))
}

/// Decides a call on a task set, and finds its number.
fn named_set<C: Call>(call: &Called<'_>) -> Result<(Named, String, Permit<C>), AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    let number = names::task_set(call.input.required_text("taskSet")?);
    let permit = authorize_set(call, &named, &number)?;
    Ok((named, number, permit))
}

fn authorize_set<C: Call>(call: &Called<'_>, named: &Named, number: &str) -> Result<Permit<C>, AwsError> {
    let place = &named.place;
    let arn = place.arn(&format!("task-set/{}/{}/ecs-svc/{number}", named.cluster, named.name));
    let mut keys =
        vec![cluster_key(place, &named.cluster), ("ecs:service".to_owned(), vec![named.arn.clone()])];
    let known = call.world.store.get::<TaskSet>(&place.key(&[&named.cluster, &named.name, number]));
    keys.extend(known.map(|known| resource_tag_keys(&known.tags)).unwrap_or_default());
    call.authorize(arn, keys)
}

fn no_set() -> AwsError {
    AwsError::bad_request("TaskSetNotFoundException", "The specified task set does not exist.")
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    let place = &named.place;
    let with_tags = includes(call.input, "TAGS")?;
    let asked = call.input.texts("taskSets")?;
    let prefix = place.of_service(&named.cluster, &named.name);
    let numbers: Vec<String> = if asked.is_empty() {
        let arn = place.arn(&format!("task-set/{}/{}/*", named.cluster, named.name));
        let keys =
            vec![cluster_key(place, &named.cluster), ("ecs:service".to_owned(), vec![named.arn.clone()])];
        call.authorize::<calls::DescribeTaskSets>(arn, keys)?;
        call.world.store.list::<TaskSet>(&prefix).iter().map(|set| set.number.clone()).collect()
    } else {
        let numbers: Vec<String> = asked.into_iter().map(names::task_set).collect();
        for number in &numbers {
            authorize_set::<calls::DescribeTaskSets>(call, &named, number)?;
        }
        numbers
    };
    active_cluster(call.world, place, &named.cluster)?;
    let service = load::service(call.world, place, &named.cluster, &named.name).ok_or_else(no_service)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for number in numbers {
        let known = call.world.store.get::<TaskSet>(&place.key(&[&named.cluster, &named.name, &number]));
        let is_there = service.rollout.deployments.iter().any(|set| set.id() == number);
        match known.filter(|_| is_there) {
            Some(set) => found.push(service_json::task_set(&service, &set, with_tags)),
            None if call.input.value("taskSets").is_none() => {}
            None => {
                let arn = place.arn(&format!("task-set/{}/{}/ecs-svc/{number}", named.cluster, named.name));
                failures.push(failure(&arn, "MISSING"));
            }
        }
    }
    Ok(json!({ "taskSets": found, "failures": failures }))
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let (named, number, permit) = named_set::<calls::UpdateTaskSet>(call)?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let scale = scale(call)?.ok_or_else(|| super::missing("scale", "Member must not be null"))?;
    let now = call.now_ms();
    let answer = call.write(&permit, |writing| {
        let mut service = external(writing, &named)?;
        let mut set = known_set(writing, &named, &number)?;
        set.scale = scale;
        set.updated_ms = now;
        writing.put(set.clone());
        let known = service.rollout.deployments.iter().find(|known| known.id() == number);
        let target = known.map(|known| known.target.clone()).ok_or_else(no_set)?;
        controller::feed(call.world, writing, &mut service, Event::TaskSet(target, scale));
        Ok(service_json::task_set(&service, &set, false))
    })?;
    Ok(json!({ "taskSet": answer }))
}

fn known_set(writing: &Writing<'_>, named: &Named, number: &str) -> Result<TaskSet, AwsError> {
    let set = writing.get::<TaskSet>(&named.place.key(&[&named.cluster, &named.name, number]));
    set.filter(|set| !set.is_draining).map(|set| (*set).clone()).ok_or_else(no_set)
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (named, number, permit) = named_set::<calls::DeleteTaskSet>(call)?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let force = call.input.boolean("force")?.unwrap_or(false);
    let answer = call.write(&permit, |writing| {
        let mut service = external(writing, &named)?;
        let mut set = known_set(writing, &named, &number)?;
        if set.scale > 0.0 && !force {
            return Err(Fault::from(invalid("The task set cannot be deleted while it is scaled above 0.")));
        }
        set.is_draining = true;
        writing.put(set.clone());
        controller::feed(call.world, writing, &mut service, Event::DeleteTaskSet(number));
        Ok(service_json::task_set(&service, &set, false))
    })?;
    Ok(json!({ "taskSet": answer }))
}

fn make_primary(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    let permit = services::authorize::<calls::UpdateServicePrimaryTaskSet>(call, &named, Vec::new())?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let number = names::task_set(call.input.required_text("primaryTaskSet")?);
    let answer = call.write(&permit, |writing| {
        let mut service = external(writing, &named)?;
        let set = known_set(writing, &named, &number)?;
        if let Some(definition) = set.body.get("taskDefinition") {
            service.body.insert("taskDefinition".to_owned(), definition.clone());
        }
        controller::feed(call.world, writing, &mut service, Event::Primary(number));
        Ok(service_json::task_set(&service, &set, false))
    })?;
    Ok(json!({ "taskSet": answer }))
}
