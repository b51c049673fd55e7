//! ECS: clusters, task definitions, services that really roll out, and tasks.
//!
//! One function for each operation; each is decided before it looks at what is there. What a service
//! does by itself is the [`rollout`], a step machine; [`controller`] feeds it and carries out what it
//! wants; [`runner`] brings tasks from one status to the next.
//!
//! Messages were observed on ECS where the API reference leaves them open.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Operations.html>

pub mod before;
mod capacity;
mod clusters;
pub mod controller;
mod deployments;
mod interface;
mod launch;
pub(crate) mod load;
mod names;
pub(crate) mod page;
mod pass_role;
mod protection;
pub mod rollout;
pub mod runner;
mod service_input;
mod service_json;
mod services;
mod settings;
mod tags;
mod task_checks;
mod task_definitions;
mod task_json;
pub(crate) mod task_sets;
mod tasks;
pub(crate) mod traffic;
pub mod types;
mod update_service;

pub(crate) use controller::alarm_goes_off;
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::json::Input;
use serde_json::{Value, json};

use crate::authn::Identified;
use crate::called::{self, Called, Fault, Keys, Operations, seconds};
use crate::store::ecs::{Body, Cluster, Place, Tags};
use crate::world::World;

/// The name of the cluster that is meant where none is named.
const DEFAULT_CLUSTER: &str = "default";

/// Answers one operation.
///
/// # Errors
/// ECS's error: of the input, of the decision, or of the operation.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    types::check(operation, input)?;
    let operations: [Operations; 10] = [
        clusters::answer,
        capacity::answer,
        task_definitions::answer,
        services::answer,
        deployments::answer,
        tasks::answer,
        protection::answer,
        task_sets::answer,
        tags::answer,
        settings::answer,
    ];
    let service = called::Service { protocol: Protocol::Json11, missing, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
}

/// The cluster that the call names, by its name.
fn cluster_name(call: &Called<'_>) -> Result<String, AwsError> {
    match call.input.text("cluster")? {
        None | Some("") => Ok(DEFAULT_CLUSTER.to_owned()),
        Some(text) => names::cluster(&call.place, text),
    }
}

/// `InvalidParameterException`.
fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidParameterException", message)
}

/// ECS's sentence about a word of which there are only some, if it is none of them (seen of scheduling strategies).
fn one_of(name: &str, value: Option<&str>, words: &[&str]) -> Result<(), String> {
    match value {
        Some(value) if !words.contains(&value) => {
            Err(format!("{name} should be one of [{}]", words.join(",")))
        }
        _ => Ok(()),
    }
}

/// `ClientException`.
fn client(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("ClientException", message)
}

fn no_cluster() -> AwsError {
    AwsError::bad_request("ClusterNotFoundException", "Cluster not found.")
}

fn no_service() -> AwsError {
    AwsError::bad_request("ServiceNotFoundException", "Service not found.")
}

/// A member that has to be there, in ECS's words.
fn missing(member: &str, constraint: &str) -> AwsError {
    if constraint == "Member must not be null" {
        let mut words = member.to_owned();
        if let Some(first) = words.get_mut(0..1) {
            first.make_ascii_uppercase();
        }
        return invalid(format!("{words} cannot be empty."));
    }
    invalid(format!("{member}: {constraint}"))
}

/// The condition key that most decisions have.
fn cluster_key(place: &Place, cluster: &str) -> (String, Vec<String>) {
    ("ecs:cluster".to_owned(), vec![place.arn(&format!("cluster/{cluster}"))])
}

/// `{"arn": …, "reason": "MISSING"}`.
fn failure(arn: &str, reason: &str) -> Value {
    json!({ "arn": arn, "reason": reason })
}

/// Whether a member of a service belongs to what a deployment deploys.
pub(crate) fn is_of_revision(name: &str) -> bool {
    service_input::REVISION.contains(&name)
}

/// The named members of an object that are there and not null.
fn members(of: &Body, names: &[&str]) -> Body {
    names
        .iter()
        .filter_map(|name| {
            of.get(*name).filter(|value| !value.is_null()).map(|value| ((*name).to_owned(), value.clone()))
        })
        .collect()
}

/// A cluster that can be used.
fn active_cluster(world: &World, place: &Place, name: &str) -> Result<std::sync::Arc<Cluster>, AwsError> {
    let cluster = world.store.get::<Cluster>(&place.key(&[name]));
    cluster.filter(|cluster| cluster.is_active).ok_or_else(no_cluster)
}

/// The `include` list of a describing call has this word.
fn includes(input: Input<'_>, word: &str) -> Result<bool, AwsError> {
    Ok(input.texts("include")?.contains(&word))
}

/// `aws:ResourceTag/…` of what is there.
fn resource_tag_keys(tags: &Tags) -> Keys {
    crate::tags::prefixed_keys(tags, &["aws:ResourceTag", "ecs:ResourceTag"])
}
