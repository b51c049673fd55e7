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
use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{Document, Input};
use serde_json::{Map, Value};

use crate::authn::Identified;
use crate::authz::{self, Asked, Permit};
use crate::store::ecs::{Body, Place, Tags};
use crate::store::eks::EksCluster;
use crate::store::{StoreError, Writing};
use crate::world::World;

/// Condition keys of a call.
type Keys = Vec<(String, Vec<String>)>;

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
    let document = Document::parse(input.to_string().as_bytes(), missing)?;
    let empty = Map::new();
    let members = input.as_object().unwrap_or(&empty);
    let call = EksCall { world, identified, request_id, operation, input: document.input(), members };
    let known = [clusters::answer, associations::answer, tags::answer, auth::answer];
    let answered = known.into_iter().find_map(|answer| answer(&call));
    answered.unwrap_or_else(|| Err(unknown_operation(operation, "", Protocol::RestJson)))
}

/// A call before its decision.
struct EksCall<'a> {
    world: &'a World,
    identified: &'a Identified,
    request_id: &'a str,
    operation: &'a str,
    input: Input<'a>,
    members: &'a Body,
}

impl EksCall<'_> {
    /// The caller's account, in the region of the call.
    fn place(&self) -> Result<Place, AwsError> {
        let account = self.identified.caller.account().ok_or_else(|| internal(Protocol::RestJson))?;
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
        authz::authorize(self.world, &asked, Protocol::RestJson)
    }

    /// Decides whether the caller may hand a role to a service for a cluster.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
    fn authorize_pass_role(
        &self,
        place: &Place,
        role: &str,
        service: &str,
        cluster: &str,
    ) -> Result<(), AwsError> {
        let keys = vec![
            ("iam:PassedToService".to_owned(), vec![service.to_owned()]),
            ("iam:AssociatedResourceArn".to_owned(), vec![cluster.to_owned()]),
        ];
        self.authorize::<authz::calls::PassRole>(place, role.to_owned(), keys).map(|_| ())
    }

    /// Changes records: nobody changes any without a permit.
    fn write<C, T>(
        &self,
        _permit: &Permit<C>,
        change: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, AwsError> {
        self.world.store.write(change).map_err(Fault::told)
    }

    /// A cluster of this name, and the keys that decisions on it have.
    fn cluster(&self, place: &Place, name: &str) -> (Option<std::sync::Arc<EksCluster>>, Keys) {
        let known = self.world.store.get::<EksCluster>(&place.key(&[name]));
        let keys = known.as_ref().map(|cluster| resource_tag_keys(&cluster.tags)).unwrap_or_default();
        (known, keys)
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
            Self::Store => internal(Protocol::RestJson),
        }
    }
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

/// Seconds since 1970 with milliseconds, as EKS writes times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(at_ms: i64) -> Value {
    Value::from(at_ms as f64 / 1000.0)
}

/// `aws:ResourceTag/…` of what is there.
fn resource_tag_keys(tags: &Tags) -> Keys {
    tags.iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), vec![value.clone()])).collect()
}
