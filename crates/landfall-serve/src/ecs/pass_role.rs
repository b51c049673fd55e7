//! `iam:PassRole`: who hands a role to ECS or to a task has to be allowed to.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::{Called, client};
use crate::store::ecs::Place;

/// To whom a role is passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PassedTo {
    /// The tasks: task role and execution role.
    Tasks,
    /// ECS itself: load balancers, volumes, hooks.
    Ecs,
}

impl PassedTo {
    fn service(self) -> &'static str {
        match self {
            Self::Tasks => "ecs-tasks.amazonaws.com",
            Self::Ecs => "ecs.amazonaws.com",
        }
    }
}

/// Decides whether the caller may pass a role, which has to be one of its own account.
pub(super) fn authorize(call: &Called<'_>, place: &Place, role: &str, to: PassedTo) -> Result<(), AwsError> {
    let arn = arn(place, role)?;
    call.authorize_pass_role(arn, to.service(), Vec::new())
}

/// A role's ARN, from its ARN or its name.
pub(super) fn arn(place: &Place, role: &str) -> Result<String, AwsError> {
    let wrong = || client("Role is not valid");
    if !role.starts_with("arn:") {
        return Ok(Arn::role(place.account, "/", role).to_string());
    }
    let arn = Arn::parse(role).map_err(|_| wrong())?;
    let is_own = arn.service == "iam" && arn.account == place.account.as_str();
    if !is_own || arn.role_path_and_name().is_none() {
        return Err(wrong());
    }
    Ok(role.to_owned())
}
