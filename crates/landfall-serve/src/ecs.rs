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
pub(crate) mod load;
mod names;
pub(crate) mod page;
mod pass_role;
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
mod update_service;

use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{Document, Input};
use serde_json::{Map, Value, json};

use crate::authn::Identified;
use crate::authz::{self, Asked, Permit};
use crate::store::ecs::{Body, Cluster, Place, Tags};
use crate::store::{StoreError, Writing};
use crate::world::World;

/// The name of the cluster that is meant where none is named.
const DEFAULT_CLUSTER: &str = "default";

/// Condition keys of a call.
type Keys = Vec<(String, Vec<String>)>;

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
    let document = Document::parse(input.to_string().as_bytes(), missing)?;
    let empty = Map::new();
    let call = EcsCall {
        world,
        identified,
        request_id,
        operation,
        input: document.input(),
        members: input.as_object().unwrap_or(&empty),
    };
    call.answer().unwrap_or_else(|| Err(unknown_operation(operation, "", Protocol::Json11)))
}

/// A call before its decision.
struct EcsCall<'a> {
    world: &'a World,
    identified: &'a Identified,
    request_id: &'a str,
    operation: &'a str,
    input: Input<'a>,
    members: &'a Body,
}

impl EcsCall<'_> {
    fn answer(&self) -> Option<Result<Value, AwsError>> {
        let known = [
            clusters::answer,
            capacity::answer,
            task_definitions::answer,
            services::answer,
            deployments::answer,
            tasks::answer,
            task_sets::answer,
            tags::answer,
            settings::answer,
        ];
        known.into_iter().find_map(|answer| answer(self))
    }

    /// The caller's account, in the region of the call.
    fn place(&self) -> Result<Place, AwsError> {
        let account = self.identified.caller.account().ok_or_else(|| internal(Protocol::Json11))?;
        Ok(Place { account, region: self.identified.region.clone() })
    }

    fn now_ms(&self) -> i64 {
        self.world.clock.now().0
    }

    fn authorize<C: authz::Call>(
        &self,
        place: &Place,
        resource: String,
        more: Keys,
    ) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: place.account.to_string(),
            resource_policy: None,
            keys,
            request_id: self.request_id,
        };
        authz::authorize(self.world, &asked, Protocol::Json11)
    }

    /// Changes records: nobody changes any without a permit.
    fn write<C, T>(
        &self,
        _permit: &Permit<C>,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, AwsError> {
        self.world.store.write(change).map_err(Fault::told)
    }

    /// The cluster that the call names, by its name.
    fn cluster_name(&self, place: &Place) -> Result<String, AwsError> {
        match self.input.text("cluster")? {
            None | Some("") => Ok(DEFAULT_CLUSTER.to_owned()),
            Some(text) => names::cluster(place, text),
        }
    }
}

/// Why a change did not happen.
enum Fault {
    Aws(AwsError),
    Store,
}

impl From<AwsError> for Fault {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

impl From<StoreError> for Fault {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

impl Fault {
    fn told(self) -> AwsError {
        match self {
            Self::Aws(error) => error,
            Self::Store => internal(Protocol::Json11),
        }
    }
}

/// `InvalidParameterException`.
fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidParameterException", message)
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

/// Seconds since 1970 with milliseconds, as ECS writes times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(at_ms: i64) -> Value {
    Value::from(at_ms as f64 / 1000.0)
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
    let both = |(key, value): &(String, String)| {
        ["aws:ResourceTag", "ecs:ResourceTag"].map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()]))
    };
    tags.iter().flat_map(both).collect()
}
