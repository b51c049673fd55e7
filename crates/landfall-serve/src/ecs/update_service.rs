//! `UpdateService`: what makes a new deployment, and what doesn't.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>

use std::sync::Arc;

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::pass_role::{self, PassedTo};
use super::rollout::Event;
use super::{
    Called, Fault, active_cluster, controller, invalid, launch, load, members, no_service, service_input,
    service_json, services, traffic,
};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{Body, Service, ServiceStatus, TaskDefinition};

/// A service that was deleted, or is going.
pub(super) fn not_active() -> AwsError {
    AwsError::bad_request("ServiceNotActiveException", "Service was not ACTIVE.")
}

pub(super) fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    let keys = services::input_keys(call, &named.place)?;
    let permit = services::authorize::<calls::UpdateService>(call, &named, keys)?;
    for role in service_input::passed_roles(call.members) {
        pass_role::authorize(call, &named.place, &role, PassedTo::Ecs)?;
    }
    let cluster = active_cluster(call.world, &named.place, &named.cluster)?;
    let definition = match call.input.text("taskDefinition")? {
        Some(text) => Some(service_input::usable_definition(call, &named.place, text)?),
        None => None,
    };
    service_input::read_launch(call, &cluster, None)?;
    let desired = service_input::desired_count(call)?;
    let force = call.input.boolean("forceNewDeployment")?.unwrap_or(false);
    let mut given = members(call.members, &service_input::REVISION);
    given.extend(members(call.members, &service_input::SETTINGS));
    if let Some(definition) = &definition {
        given.insert("taskDefinition".to_owned(), Value::from(definition.arn()));
    }
    let service = call.write(&permit, |writing| {
        let known = writing.get::<Service>(&named.key()).ok_or_else(no_service)?;
        if known.status != ServiceStatus::Active {
            return Err(Fault::from(not_active()));
        }
        let mut service = (*known).clone();
        check_controller(&service, &given)?;
        if desired.is_some() && service.text("schedulingStrategy") == Some("DAEMON") {
            return Err(Fault::from(service_input::no_count_of_daemon()));
        }
        let asks_role = given.contains_key("enableExecuteCommand") || given.contains_key("taskDefinition");
        let changes = take(&mut service, given)?;
        if let Some(definition) = of_service(call, &service) {
            if asks_role {
                service_input::check_execute(&service.body, &definition, call.operation)?;
            }
            if changes {
                launch::check_platform(call, &service.body)?;
                service_input::check_placement(&service.body, &definition)?;
                traffic::check(&service.body, &definition)?;
            }
        }
        if let Some(desired) = desired {
            let event = Event::Desire(desired);
            // What follows from it is decided together with the new deployment, if there is one.
            if changes || force {
                service.rollout.desired = desired;
            } else {
                controller::feed(call.world, writing, &mut service, event);
            }
        }
        let rules = service_input::rules(&call.world.clock, &service.body);
        if rules != service.rollout.rules {
            service.rollout.rules = rules;
            service.rollout.stuck = false;
        }
        if (changes || force) && service.controller() == "ECS" {
            controller::deploy(call.world, writing, &mut service);
        } else {
            controller::feed(call.world, writing, &mut service, Event::Tick);
        }
        Ok(service)
    })?;
    Ok(json!({ "service": service_json::render(call.world, &service, false) }))
}

/// The task definition of a service, which none has whose task sets are made from outside.
fn of_service(call: &Called<'_>, service: &Service) -> Option<Arc<TaskDefinition>> {
    load::definition_by_arn(call.world, &service.place, service.text("taskDefinition")?)
}

/// What someone else controls is not changed here.
fn check_controller(service: &Service, given: &Body) -> Result<(), AwsError> {
    let controller = service.controller();
    if controller == "CODE_DEPLOY" && given.contains_key("taskDefinition") {
        return Err(invalid(
            "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to trigger a new deployment.",
        ));
    }
    let of_sets = ["taskDefinition", "networkConfiguration", "platformVersion", "loadBalancers"];
    let first = of_sets.into_iter().find(|name| given.contains_key(*name));
    if controller == "EXTERNAL"
        && let Some(name) = first
    {
        return Err(invalid(format!(
            "Unable to update {name} on services with an EXTERNAL deployment controller. Create a new task set."
        )));
    }
    Ok(())
}

/// An empty list is as good as none: clients send `volumeConfigurations: []` for a service without any.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Takes over what was given; whether that makes another revision.
fn take(service: &mut Service, given: Body) -> Result<bool, AwsError> {
    let mut changes = false;
    let is_daemon = service.text("schedulingStrategy") == Some("DAEMON");
    for (name, value) in given {
        if name == "deploymentConfiguration" {
            let before = service.body.get(&name);
            let merged = service_input::deployment_configuration(Some(&value), before, is_daemon)?;
            service.body.insert(name, merged);
            continue;
        }
        let before = service.body.get(&name).cloned().unwrap_or_default();
        let is_revision = service_input::REVISION.contains(&name.as_str());
        if is_revision && before != value && !(is_nothing(&before) && is_nothing(&value)) {
            changes = true;
            switch_capacity(service, &name);
        }
        service.body.insert(name, value);
    }
    Ok(changes)
}

/// A launch type takes the place of a capacity provider strategy, and the other way round.
fn switch_capacity(service: &mut Service, name: &str) {
    let other = match name {
        "launchType" => "capacityProviderStrategy",
        "capacityProviderStrategy" => "launchType",
        _ => return,
    };
    service.body.remove(other);
}
