//! `iam:PassRole`: who hands a role to ECS or to a task has to be allowed to.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>

use landfall_types::{Arn, Finding};
use landfall_wire::error::AwsError;

use super::{Called, client};
use crate::iam::checks::is_role_name;
use crate::log::{Entry, Verdict};
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
    let arn = arn(place, role).inspect_err(|error| note_invalid(call, place, role, error))?;
    call.authorize_pass_role(arn, to.service(), Vec::new())
}

/// Writes down why a role is not valid, which ECS doesn't say: that is often an ARN of AWS's examples.
fn note_invalid(call: &Called<'_>, place: &Place, role: &str, error: &AwsError) {
    let own = place.account;
    let parsed = Arn::parse(role).ok().filter(|arn| arn.role_path_and_name().is_some());
    let finding = match parsed.and_then(|arn| arn.account_id()) {
        Some(other) if other != own => Finding::error(
            "role-of-another-account",
            format!("the role `{role}` is of account {other}, and the call is of account {own}"),
        )
        .help(format!("name a role of account {own}; ECS takes none of another account")),
        _ => Finding::error("role-not-valid", format!("`{role}` is not a role's ARN"))
            .help(format!("arn:aws:iam::{own}:role/NAME is expected, or the role's name")),
    };
    call.world.log.add(
        call.world.clock.now(),
        Entry {
            request_id: call.request_id.to_owned(),
            service: "ecs",
            operation: call.operation.to_owned(),
            caller: call.identified.caller.arn(),
            action: Some("iam:PassRole".to_owned()),
            resource: Some(role.to_owned()),
            verdict: Verdict::refused(error),
            decision: None,
            finding: Some(finding),
            claims: None,
        },
    );
}

/// A role's ARN, from its ARN or its name.
pub(super) fn arn(place: &Place, role: &str) -> Result<String, AwsError> {
    let wrong = || client("Role is not valid");
    if !role.starts_with("arn:") {
        if !is_role_name(role) {
            return Err(wrong());
        }
        return Ok(Arn::role(place.account, "/", role).to_string());
    }
    let arn = Arn::parse(role).map_err(|_| wrong())?;
    let is_own = arn.service == "iam" && arn.account == place.account.as_str();
    if !is_own || !arn.role_path_and_name().is_some_and(|(_, name)| is_role_name(name)) {
        return Err(wrong());
    }
    Ok(role.to_owned())
}
