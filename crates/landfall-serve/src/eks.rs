//! EKS as far as pods and their identities need it: clusters with their issuers, Pod Identity associations,
//! and what a pod gets by them. There is no Kubernetes here.
//!
//! [`auth`] is EKS Auth, which makes a pod's token a session; [`agent`] is the endpoint on a node that pods
//! ask; [`pods`] is what EKS's webhook knows when a pod is made.
//! <https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations_Amazon_Elastic_Kubernetes_Service.html>

pub mod agent;
mod associations;
pub mod auth;
mod clusters;
pub mod pods;
mod tags;

use landfall_types::{AccountId, Issuer};
use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use crate::authn::Identified;
use crate::called::{self, Called, Fault, Keys, Operations, seconds};
use crate::store::ecs::Tags;
use crate::store::eks::EksCluster;
use crate::world::World;

/// Whom associations give their roles to.
pub const PODS: &str = "pods.eks.amazonaws.com";

/// Answers one operation of EKS or EKS Auth. The members of the path and of the query string are in the
/// input, under the names of the API's model.
///
/// # Errors
/// EKS's error: of the input, of the decision, or of the operation.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    let operations: [Operations; 4] = [clusters::answer, associations::answer, tags::answer, auth::answer];
    let service = called::Service { protocol: Protocol::RestJson, missing, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
}

/// Decides whether the caller may hand a role to a service for a cluster.
fn authorize_pass_role(call: &Called<'_>, role: &str, service: &str, cluster: &str) -> Result<(), AwsError> {
    let for_cluster = ("iam:AssociatedResourceArn".to_owned(), vec![cluster.to_owned()]);
    call.authorize_pass_role(role.to_owned(), service, vec![for_cluster])
}

/// A cluster of this name, and the keys that decisions on it have.
fn cluster_and_keys(call: &Called<'_>, name: &str) -> (Option<std::sync::Arc<EksCluster>>, Keys) {
    let known = call.world.store.get::<EksCluster>(&call.place.key(&[name]));
    let keys = known.as_ref().map(|cluster| resource_tag_keys(&cluster.tags)).unwrap_or_default();
    (known, keys)
}

/// Plays the issuer of every cluster that is there: of a server that kept them.
pub(crate) fn play_issuers(world: &World) {
    for cluster in world.store.list::<EksCluster>("") {
        if let Some(issuer) = cluster.issuer() {
            world.issuers.play(issuer);
        }
    }
}

/// The issuer of a cluster that is made here.
fn issuer_of(account: AccountId, region: &str, name: &str) -> Issuer {
    Issuer::of_eks_cluster(account, region, name)
}

/// `InvalidParameterException`.
fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidParameterException", message)
}

/// A member that has to be there.
fn missing(member: &str, constraint: &str) -> AwsError {
    if constraint == "Member must not be null" {
        return invalid(format!("The parameter {member} must be specified."));
    }
    invalid(format!("The parameter {member} is invalid: {constraint}"))
}

/// A name that breaks its pattern (captured for associations).
fn malformed(member: &str, pattern: &str) -> AwsError {
    invalid(format!(
        "The parameter {member} contains invalid characters. It should conform to the regular expression \
         \"{pattern}\""
    ))
}

fn no_cluster(name: &str) -> AwsError {
    AwsError::new("ResourceNotFoundException", 404, format!("No cluster found for name: {name}."))
        .member("clusterName", name)
}

/// `aws:ResourceTag/…` of what is there.
fn resource_tag_keys(tags: &Tags) -> Keys {
    crate::tags::prefixed_keys(tags, &["aws:ResourceTag"])
}
