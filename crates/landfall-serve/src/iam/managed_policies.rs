//! Customer managed policies, and AWS's, which can be read.

use std::sync::Arc;

use landfall_policy::write_time::MANAGED_POLICY_CHARS_MAX;
use landfall_policy::{PolicyKind, managed};
use landfall_types::{AccountId, Arn};
use landfall_wire::error::{AwsError, Protocol};

use super::{
    DESCRIPTION_CHARS_MAX, DocumentInput, account_of, check_length, check_name, check_path, error,
    limit_exceeded, visible_chars,
};
use crate::authz::{Permit, calls};
use crate::store::CustomerPolicy;
use crate::world::World;

/// Customer managed policies of one account.
const POLICIES_MAX: usize = 1_500;

/// `CreatePolicy`.
#[derive(Clone, Debug)]
pub struct CreatePolicy {
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The document.
    pub document: DocumentInput,
}

/// Makes a customer managed policy.
///
/// # Errors
/// `ValidationError`, `MalformedPolicyDocument`, `EntityAlreadyExists`.
pub fn create_policy(
    world: &World,
    permit: &Permit<calls::CreatePolicy>,
    input: CreatePolicy,
) -> Result<Arc<CustomerPolicy>, AwsError> {
    let account = account_of(permit, world);
    check_name("policyName", &input.name, 128)?;
    check_path(&input.path)?;
    check_length("description", input.description.as_deref().unwrap_or(""), 0, DESCRIPTION_CHARS_MAX)?;
    if visible_chars(&input.document.text) > MANAGED_POLICY_CHARS_MAX {
        return Err(limit_exceeded("PolicySize", MANAGED_POLICY_CHARS_MAX));
    }
    let document = input.document.read(PolicyKind::Identity, account)?;
    if world.store.policies(account).len() >= POLICIES_MAX {
        return Err(limit_exceeded("PoliciesPerAccount", POLICIES_MAX));
    }
    let arn = Arn::policy(account, &input.path, &input.name);
    let policy = CustomerPolicy {
        arn: arn.clone(),
        path: input.path,
        name: input.name.clone(),
        id: landfall_wire::ids::unique_id("ANPA", world.random()),
        description: input.description,
        document,
        created_at: world.clock.now(),
    };
    let exists = format!("A policy called {} already exists. Duplicate names are not allowed.", input.name);
    world
        .store
        .insert_policy(policy)
        .map_err(|failed| failed.or(Protocol::IAM, || error("EntityAlreadyExists", exists, 409)))?;
    get_customer_policy(world, &arn.to_string())
}

fn get_customer_policy(world: &World, arn: &str) -> Result<Arc<CustomerPolicy>, AwsError> {
    world.store.policy(arn).ok_or_else(|| error("NoSuchEntity", format!("Policy {arn} was not found."), 404))
}

/// A managed policy, a customer's or AWS's.
#[derive(Clone, Debug)]
pub enum AnyPolicy {
    /// A customer's.
    Customer(Arc<CustomerPolicy>),
    /// AWS's, with its ARN.
    Aws(String, &'static managed::ManagedPolicy),
}

/// `GetPolicy` and `GetPolicyVersion`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_policy<C>(world: &World, permit: &Permit<C>) -> Result<AnyPolicy, AwsError> {
    let arn = permit.resource();
    match managed::by_arn(arn) {
        Some(policy) => Ok(AnyPolicy::Aws(arn.to_owned(), policy)),
        None => get_customer_policy(world, arn).map(AnyPolicy::Customer),
    }
}

/// `ListPolicies` with the local scope.
pub fn list_policies(world: &World, permit: &Permit<calls::ListPolicies>) -> Vec<Arc<CustomerPolicy>> {
    world.store.policies(account_of(permit, world))
}

/// How many roles have a policy attached.
pub fn attachment_count(world: &World, account: AccountId, arn: &str) -> usize {
    let roles = world.store.roles(account);
    roles.iter().filter(|role| role.attached.iter().any(|policy| policy.arn == arn)).count()
}

/// `DeletePolicy`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it is attached.
pub fn delete_policy(world: &World, permit: &Permit<calls::DeletePolicy>) -> Result<(), AwsError> {
    let policy = get_customer_policy(world, permit.resource())?;
    if attachment_count(world, account_of(permit, world), permit.resource()) > 0 {
        let message = "Cannot delete a policy attached to entities.";
        return Err(error("DeleteConflict", message, 409));
    }
    let missing = || error("NoSuchEntity", format!("Policy {} was not found.", policy.arn), 404);
    world.store.delete_policy(permit.resource()).map_err(|failed| failed.or(Protocol::IAM, missing))
}
