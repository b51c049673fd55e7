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
mod yaml;

use landfall_wire::error::{AwsError, Protocol};
use serde_json::Value;

use crate::authn::Identified;
use crate::called::{self, Called, Fault, Operations, seconds};
use crate::world::World;

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
    let operations: [Operations; 5] =
        [applications::answer, groups::answer, configs::answer, deployments::answer, targets::answer];
    let service = called::Service { protocol: Protocol::Json11, missing, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
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
