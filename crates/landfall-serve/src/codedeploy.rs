//! CodeDeploy, as much of it as deployments to ECS need: applications, groups, and blue/green deployments
//! that are really carried out, with task sets and as the group's service role.
//!
//! Messages were observed on CodeDeploy where the API reference leaves them open.
//! <https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Operations.html>

mod applications;
mod appspec;
mod configs;
pub mod course;
mod deployments;
pub(crate) mod drive;
mod groups;
mod shapes;
mod targets;

use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{Document, Input};
use serde_json::{Map, Value};

use crate::authn::Identified;
use crate::authz::{self, Asked, Permit};
use crate::store::ecs::{Body, Place};
use crate::store::{StoreError, Writing};
use crate::world::World;

/// Condition keys of a call.
type Keys = Vec<(String, Vec<String>)>;

/// Answers one operation.
///
/// # Errors
/// CodeDeploy's error: of the input, of the decision, or of the operation.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    let document = Document::parse(input.to_string().as_bytes(), missing)?;
    let empty = Map::new();
    let account = identified.caller.account().ok_or_else(|| internal(Protocol::Json11))?;
    let call = Called {
        world,
        identified,
        request_id,
        operation,
        input: document.input(),
        members: input.as_object().unwrap_or(&empty),
        place: Place { account, region: identified.region.clone() },
    };
    let known = [applications::answer, groups::answer, configs::answer, deployments::answer, targets::answer];
    let answer = known.into_iter().find_map(|answer| answer(&call));
    answer.unwrap_or_else(|| Err(unknown_operation(operation, "", Protocol::Json11)))
}

/// A call before its decision.
struct Called<'a> {
    world: &'a World,
    identified: &'a Identified,
    request_id: &'a str,
    operation: &'a str,
    input: Input<'a>,
    members: &'a Body,
    place: Place,
}

impl Called<'_> {
    fn now_ms(&self) -> i64 {
        self.world.clock.now().0
    }

    fn authorize<C: authz::Call>(&self, resource: String, more: Keys) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: self.place.account.to_string(),
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
        self.world.store.write(change).map_err(|fault| match fault {
            Fault::Aws(error) => error,
            Fault::Store => internal(Protocol::Json11),
        })
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

fn error(code: &'static str, message: impl Into<String>) -> AwsError {
    AwsError::bad_request(code, message)
}

/// A member that has to be there, by CodeDeploy's own exception for it.
fn missing(member: &str, constraint: &str) -> AwsError {
    let (code, what) = match member {
        "applicationName" => ("ApplicationNameRequiredException", "an application name"),
        "deploymentGroupName" | "currentDeploymentGroupName" => {
            ("DeploymentGroupNameRequiredException", "a deployment group name")
        }
        "deploymentConfigName" => {
            ("DeploymentConfigNameRequiredException", "a deployment configuration name")
        }
        "deploymentId" => ("DeploymentIdRequiredException", "a deployment ID"),
        "serviceRoleArn" => ("RoleRequiredException", "a service role ARN"),
        "targetId" => ("DeploymentTargetIdRequiredException", "a deployment target ID"),
        "revision" => ("RevisionRequiredException", "a revision"),
        _ => return error("ValidationException", format!("{member}: {constraint}")),
    };
    error(code, format!("You must provide {what}"))
}

/// Seconds since 1970 with milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(at_ms: i64) -> Value {
    Value::from(at_ms as f64 / 1000.0)
}
