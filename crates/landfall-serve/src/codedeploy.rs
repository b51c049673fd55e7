//! CodeDeploy, as much of it as deployments to ECS need: applications, groups, and blue/green deployments
//! that are really carried out, with task sets and as the group's service role.
//!
//! Codes are the API reference's. Sentences were observed on CodeDeploy for what isn't there, for deployments and for
//! required members; those of tags, configurations, revisions, batches and platforms are not known, and are ours.
//! <https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Operations.html>

mod applications;
mod appspec;
mod configs;
pub mod course;
mod deployments;
pub(crate) mod drive;
mod groups;
mod revisions;
mod shapes;
mod tags;
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
    let operations: [Operations; 7] = [
        applications::answer,
        groups::answer,
        configs::answer,
        revisions::answer,
        deployments::answer,
        targets::answer,
        tags::answer,
    ];
    let service = called::Service { protocol: Protocol::Json11, missing, operations: &operations };
    service.answer(world, identified, request_id, operation, input)
}

fn error(code: &'static str, message: impl Into<String>) -> AwsError {
    AwsError::bad_request(code, message)
}

/// Longest name of what an account has, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 512;

/// Whether a name is one: 1 to 100 characters of those that the API's model has.
fn check_name(member: &str, name: &str) -> Result<(), AwsError> {
    let is_fine = |character: char| character.is_ascii_alphanumeric() || "+=,.@_-".contains(character);
    let length = name.chars().count();
    let constraint = match length {
        0 => "Member must have length greater than or equal to 1".to_owned(),
        length if length > NAME_CHARS_MAX => {
            format!("Member must have length less than or equal to {NAME_CHARS_MAX}")
        }
        _ if !name.chars().all(is_fine) => {
            "Member must satisfy regular expression pattern: [A-Za-z0-9+=,.@_-]*".to_owned()
        }
        _ => return Ok(()),
    };
    Err(error(
        "ValidationException",
        format!(
            "1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: {constraint}"
        ),
    ))
}

fn check_description(description: Option<&str>) -> Result<(), AwsError> {
    if description.is_none_or(|text| text.chars().count() <= DESCRIPTION_CHARS_MAX) {
        return Ok(());
    }
    let message = format!("The description has more than {DESCRIPTION_CHARS_MAX} characters");
    Err(error("DescriptionTooLongException", message))
}

fn check_platform(platform: &str) -> Result<(), AwsError> {
    if platform == "ECS" {
        return Ok(());
    }
    let message = format!("The compute platform {platform} is not here: ECS is expected");
    Err(error("InvalidComputePlatformException", message))
}

/// How many things one call may ask for.
fn check_batch(count: usize, most: usize) -> Result<(), AwsError> {
    if count <= most {
        return Ok(());
    }
    let message = format!("The maximum number of names or IDs allowed for this API ({most}) was exceeded.");
    Err(error("BatchLimitExceededException", message))
}

fn bad_token() -> AwsError {
    error("InvalidNextTokenException", "The next token was specified in an invalid format.")
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
        "ResourceArn" => ("ResourceArnRequiredException", "a resource ARN"),
        _ => return error("ValidationException", format!("{member}: {constraint}")),
    };
    error(code, format!("You must provide {what}"))
}
