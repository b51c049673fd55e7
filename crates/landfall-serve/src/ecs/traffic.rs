//! What a service says of its load balancers and registries, held against its task definition: the container has to
//! be there, with the port. The texts are ECS's, seen in its answers.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_definition_parameters.html>

use landfall_wire::error::AwsError;
use serde_json::Value;

use super::invalid;
use crate::store::ecs::{Body, TaskDefinition};

/// Registries that a service may have.
const REGISTRIES_MAX: usize = 1;

/// Checks `loadBalancers` and `serviceRegistries` of a service or a task set.
///
/// # Errors
/// `InvalidParameterException` in ECS's words.
pub(crate) fn check(body: &Body, definition: &TaskDefinition) -> Result<(), AwsError> {
    for balancer in objects(body, "loadBalancers") {
        if text(balancer, "loadBalancerName").is_some() && text(balancer, "targetGroupArn").is_some() {
            return Err(invalid(
                "loadBalancerName and targetGroupArn cannot both be specified. You must specify either a loadBalancerName or a targetGroupArn in all loadBalancer entries.",
            ));
        }
        check_container(balancer, definition)?;
    }
    let registries: Vec<&Body> = objects(body, "serviceRegistries").collect();
    if registries.len() > REGISTRIES_MAX {
        return Err(invalid(format!("service registries can have at most {REGISTRIES_MAX} items.")));
    }
    registries.into_iter().try_for_each(|registry| check_registry(registry, definition))
}

fn objects<'b>(of: &'b Body, name: &str) -> impl Iterator<Item = &'b Body> {
    of.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn text<'b>(of: &'b Body, name: &str) -> Option<&'b str> {
    of.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A port; Terraform's provider leaves out what is 0.
fn port(of: &Body, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64).filter(|port| *port != 0)
}

fn check_container(entry: &Body, definition: &TaskDefinition) -> Result<(), AwsError> {
    let Some(name) = text(entry, "containerName") else { return Ok(()) };
    let mut containers = objects(&definition.body, "containerDefinitions");
    let container = containers.find(|container| text(container, "name") == Some(name));
    let container = container
        .ok_or_else(|| invalid(format!("The container {name} does not exist in the task definition.")))?;
    let Some(wanted) = port(entry, "containerPort") else { return Ok(()) };
    match objects(container, "portMappings").filter(|mapping| has_port(mapping, wanted)).count() {
        0 => Err(invalid(format!("The container {name} did not have a container port {wanted} defined."))),
        1 => Ok(()),
        _ => Err(invalid(format!(
            "Container port {wanted} is used in more than one port mapping for container {name}"
        ))),
    }
}

fn has_port(mapping: &Body, wanted: i64) -> bool {
    let range = text(mapping, "containerPortRange").and_then(|range| {
        let (low, high) = range.split_once('-')?;
        Some(low.parse::<i64>().ok()?..=high.parse::<i64>().ok()?)
    });
    port(mapping, "containerPort") == Some(wanted) || range.is_some_and(|range| range.contains(&wanted))
}

fn check_registry(registry: &Body, definition: &TaskDefinition) -> Result<(), AwsError> {
    let container = text(registry, "containerName").is_some() || port(registry, "containerPort").is_some();
    if container && port(registry, "port").is_some() {
        return Err(invalid(
            "Specify a value for either 'port' or the 'containerName' and 'containerPort' combination, but not both. Remove one and retry.",
        ));
    }
    let shares_ports = matches!(definition.text("networkMode"), None | Some("" | "bridge" | "host"));
    let is_whole = text(registry, "containerName").is_some() && port(registry, "containerPort").is_some();
    if shares_ports && !is_whole {
        let arn = text(registry, "registryArn").unwrap_or_default();
        return Err(invalid(format!(
            "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' must be specified from the task definition. Registry: {arn}"
        )));
    }
    check_container(registry, definition)
}
