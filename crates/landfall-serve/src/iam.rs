//! IAM: OIDC providers, roles, users, groups, policies, and what an account has of them. One function for
//! each operation; what they answer is made into XML by `http::iam_query`. Messages and limits: IAM API
//! reference, and captured answers.
//!
//! Roles, users and groups hold policies in the same way, so [`holders`] has those operations once;
//! [`tags`] does the same for all that can be tagged. The type that is meant chooses the permit that is
//! asked for: `put_policy::<Role>` takes one for `PutRolePolicy` and no other.

pub mod account;
pub(crate) mod checks;
mod documents;
pub mod entity;
pub mod groups;
pub mod holders;
pub mod keys;
pub mod policies;
pub mod profiles;
pub mod providers;
pub mod roles;
pub mod service_roles;
pub(crate) mod shapes;
pub mod simulate;
pub mod tags;
pub mod users;

use landfall_types::AccountId;
use landfall_wire::error::{AwsError, Protocol};

use crate::authz::Permit;
use crate::called::Fault;
use crate::store::Writing;
use crate::world::World;

pub use checks::check_length;
pub use documents::{DocumentInput, Way};
pub use holders::{attach, put_policy};
pub(crate) use policies::check_policy_exists;
pub use policies::policy_exists;
pub use policies::{CreatePolicy, create_policy, restate_policy};
pub use providers::{CreateProvider, create_provider, restate_provider};
pub use roles::{CreateRole, create_role, restate_role};

/// Shortest `MaxSessionDuration`, in seconds; also what a role has that says nothing.
pub const SESSION_SECONDS_DEFAULT: u32 = 3600;
/// Longest `MaxSessionDuration`, in seconds.
pub const SESSION_SECONDS_MAX: u32 = 43_200;

fn error(code: &'static str, message: impl Into<String>, status: u16) -> AwsError {
    AwsError::new(code, status, message)
}

fn limit_exceeded(quota: &str, limit: usize) -> AwsError {
    error("LimitExceeded", format!("Cannot exceed quota for {quota}: {limit}"), 409)
}

fn no_such_entity(message: impl Into<String>) -> AwsError {
    error("NoSuchEntity", message, 404)
}

fn already_exists(message: impl Into<String>) -> AwsError {
    error("EntityAlreadyExists", message, 409)
}

fn conflict(message: &str) -> AwsError {
    error("DeleteConflict", message, 409)
}

fn account_of<C>(permit: &Permit<C>, world: &World) -> AccountId {
    permit.caller().account().unwrap_or(world.settings.default_account)
}

/// Checks and changes in one step: nobody else writes between them.
fn write<T>(world: &World, change: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>) -> Result<T, AwsError> {
    world.store.write(change).map_err(|fault| fault.error(Protocol::IAM))
}
