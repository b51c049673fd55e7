//! STS: sessions for ID tokens, for callers who may take a role, for users, and answers to who somebody is.
//!
//! An operation writes nothing but the log: a session is sealed into its own token.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html>

mod assume_role;
mod identity;
mod refused;
mod session;
mod user;
mod web_identity;

use landfall_policy::{Decision, Request};
use landfall_types::Finding;
use landfall_wire::error::AwsError;
use landfall_wire::sts as rules;

use crate::authn::Identified;
use crate::log::{Entry, Verdict};
use crate::store::Role;
use crate::world::World;

pub use assume_role::{Taken, assume_role};
pub use identity::{CallerIdentity, decode_authorization_message, get_access_key_info, get_caller_identity};
pub use refused::{assume_role_with_saml, assume_root, get_web_identity_token};
pub use session::Issued;
pub(crate) use session::{issue_to_task, key_id};
pub use user::{Federated, check_session, get_federation_token, get_session_token};
pub use web_identity::{Assumed, ask, assume, assume_role_with_web_identity, exchange, trust_layers};

/// An exchange that is asked for: all but its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The id that the client is given.
    pub request_id: &'a str,
    /// The region that is called.
    pub region: &'a str,
    /// Condition keys of the connection.
    pub keys: &'a [(String, Vec<String>)],
    /// Whether the session works in regions alone that are on by default: the global endpoint was called.
    pub default_regions_only: bool,
}

/// A signed call: all but its parameters.
#[derive(Clone, Copy, Debug)]
pub struct SignedCall<'a> {
    /// Who, from where, for which region.
    pub identified: &'a Identified,
    /// The id that the client is given.
    pub request_id: &'a str,
    /// Whether it is signed with a session rather than with a key that lasts.
    pub is_temporary: bool,
    /// Whether the session works in regions alone that are on by default: the global endpoint was called.
    pub default_regions_only: bool,
}

/// A refused call: the error for the client, and the reason for the log.
struct RefusedCall {
    error: AwsError,
    finding: Option<Finding>,
    decision: Option<(Decision, Request)>,
}

/// A refusal carries its reasons, so it is large, and it is rare.
type Refusal = Box<RefusedCall>;

impl From<AwsError> for Refusal {
    fn from(error: AwsError) -> Self {
        Box::new(RefusedCall { error, finding: None, decision: None })
    }
}

fn because(error: AwsError, finding: Finding) -> Refusal {
    Box::new(RefusedCall { error, finding: Some(finding), decision: None })
}

/// The same to whoever takes a role, in whichever way.
fn session_too_long(role: &Role, seconds: u32) -> Refusal {
    let longest = role.max_session_seconds;
    let finding = Finding::error(
        "session-too-long",
        format!("a session of {seconds} s is longer than the role allows"),
    )
    .at(role.max_session_written.unwrap_or(role.written), format!("its longest session is {longest} s"))
    .help(format!("ask for at most {longest} s, or raise max_session_duration (up to 43200)"));
    because(rules::longer_than_role(), finding)
}

/// Writes a refusal that no decision of its own stands for into the log, and gives the error for the client.
fn refuse(
    world: &World,
    call: &SignedCall<'_>,
    operation: &str,
    resource: Option<String>,
    refusal: Refusal,
) -> AwsError {
    let RefusedCall { error, finding, decision } = *refusal;
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: call.request_id.to_owned(),
            service: "sts",
            operation: operation.to_owned(),
            caller: call.identified.caller.arn(),
            action: Some(format!("sts:{operation}")),
            resource,
            verdict: Verdict::refused(&error),
            decision,
            finding: finding.or_else(|| Some(Finding::error("call-failed", error.message.clone()))),
            claims: None,
        },
    );
    error
}
