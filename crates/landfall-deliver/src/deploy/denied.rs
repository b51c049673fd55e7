//! AWS's refusals: which permission is missing, and the statement that would give it.

use serde_json::json;

use crate::aws::CallError;
use crate::failure::Failure;

/// What an access-denied message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    /// The ARN of who called; empty where the message names none.
    pub caller: String,
    /// Such as `iam:PassRole`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    /// Whether a statement forbids it; no further statement helps then.
    pub is_explicit: bool,
}

/// Reads `User: … is not authorized to perform: ACTION on resource: RESOURCE …`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
pub fn parse(message: &str) -> Option<Denied> {
    let (before, rest) = message.split_once("is not authorized to perform: ")?;
    let caller = before.rsplit_once("User: ").map_or("", |(_, caller)| caller.trim()).to_owned();
    let action = rest.split_whitespace().next()?.trim_end_matches(',').to_owned();
    let after = rest.split_once(" on resource: ").map_or("*", |(_, after)| after);
    let resource = after.split_whitespace().next().unwrap_or("*").trim_end_matches([',', '.']).to_owned();
    Some(Denied { caller, action, resource, is_explicit: message.contains("explicit deny") })
}

/// The role that ECS couldn't take for a task, where a sentence of it says so (observed).
pub fn untaken_role(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("was unable to assume the role '")?;
    rest.split_once('\'').map(|(role, _)| role)
}

/// What to do about a role that ECS couldn't take.
pub(super) const UNTAKEN_HELP: &str =
    "the role has to be there, and its trust policy has to admit ecs-tasks.amazonaws.com";

impl Denied {
    /// The statement that allows it, in one line.
    pub fn statement(&self) -> String {
        let mut statement = json!({ "Effect": "Allow", "Action": self.action, "Resource": self.resource });
        if self.action == "iam:PassRole" {
            statement["Condition"] =
                json!({ "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } });
        }
        statement.to_string()
    }

    /// What to do.
    pub fn help(&self) -> String {
        if self.is_explicit {
            return format!(
                "a statement forbids {} on {}: no further statement helps as long as it is there",
                self.action, self.resource
            );
        }
        let mut text = format!("this statement would allow it: {}", self.statement());
        if self.action == "iam:PassRole" {
            let name = self.resource.rsplit('/').next().unwrap_or(&self.resource);
            text = format!(
                "is there a role `{name}`? One that isn't is refused in the same words. If so, {text}"
            );
        }
        if self.resource.contains(":service/") {
            text.push_str(" (a service's ARN holds the name of its cluster: service/CLUSTER/SERVICE)");
        }
        text
    }
}

/// A failed call as a failure: AWS's words, and where a permission is missing, the statement.
pub fn failure(error: CallError, doing: &str) -> Failure {
    let denied = error
        .answer()
        .filter(|answer| answer.code.starts_with("AccessDenied"))
        .and_then(|answer| parse(&answer.message));
    let has_ended = error
        .answer()
        .is_some_and(|answer| answer.code.starts_with("ExpiredToken") || answer.code == "RequestExpired");
    let is_untaken = error.answer().is_some_and(|answer| untaken_role(&answer.message).is_some());
    let failure = error.into_failure(doing);
    match denied {
        Some(denied) => failure.help(denied.help()),
        None if is_untaken => failure.help(UNTAKEN_HELP),
        None if has_ended => failure.help(
            "the session has ended: take a new one (`landfall login` in a job, `aws sso login` at a desk) and run it \
             again, or run it by `landfall exec`, which renews the session",
        ),
        None => failure,
    }
}
