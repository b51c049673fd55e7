//! Roles.

use std::sync::Arc;

use landfall_policy::{PolicyKind, service_linked};
use landfall_types::{Arn, Span};
use landfall_wire::error::AwsError;

use super::checks::{check_description, check_name, check_path, check_session_seconds, check_tags};
use super::documents::save_trust;
use super::entity::{Entity, change_any, change_seeing, find_in};
use super::policies::check_boundary;
use super::{
    DocumentInput, Fault, SESSION_SECONDS_DEFAULT, account_of, already_exists, conflict, error,
    limit_exceeded, write,
};
use crate::authz::{Permit, calls};
use crate::store::records::{key, within};
use crate::store::{InstanceProfile, LastUse, Record, Role, StoreError, Writing, principals};
use crate::world::World;

/// Roles of one account.
pub const ROLES_MAX: usize = 1_000;
/// Longest name of a role, in characters.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// `CreateRole`.
#[derive(Clone, Debug)]
pub struct CreateRole {
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The trust policy.
    pub trust: DocumentInput,
    /// Longest session, in seconds.
    pub max_session_seconds: Option<u32>,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Where the role was written.
    pub written: Span,
    /// Where its longest session was written.
    pub max_session_written: Option<Span>,
}

/// Makes a role.
///
/// # Errors
/// `ValidationError` for names and durations out of range, `MalformedPolicyDocument` for a trust
/// policy that IAM refuses, `EntityAlreadyExists`, `NoSuchEntity` for a boundary that isn't there.
pub fn create_role(
    world: &World,
    permit: &Permit<calls::CreateRole>,
    input: CreateRole,
) -> Result<Arc<Role>, AwsError> {
    let account = account_of(permit, world);
    check_name("roleName", &input.name, NAME_CHARS_MAX)?;
    check_path(&input.path)?;
    if input.path.starts_with(service_linked::PATH) {
        // Observed.
        let message = "Path prefix '/aws-service-role/' can only be used for AWS Service linked Roles";
        return Err(error("InvalidInput", message, 400));
    }
    check_description(input.description.as_deref())?;
    check_tags("Role", &input.tags)?;
    let max_session_seconds = input.max_session_seconds.unwrap_or(SESSION_SECONDS_DEFAULT);
    check_session_seconds(max_session_seconds)?;
    let trust = input.trust.read(PolicyKind::Trust, account)?;
    let mut role = Role {
        arn: Arn::role(account, &input.path, &input.name),
        path: input.path,
        name: input.name,
        id: landfall_wire::ids::role_id(world.random()),
        description: input.description,
        trust,
        max_session_seconds,
        boundary: input.boundary,
        inline: Vec::new(),
        attached: Vec::new(),
        tags: input.tags,
        created_at: world.clock.now(),
        written: input.written,
        max_session_written: input.max_session_written,
    };
    write(world, |writing| {
        role.trust = save_trust(writing, account, role.trust.clone(), None)?;
        check_boundary(writing, account, role.boundary.as_deref())?;
        if writing.get::<Role>(&role.key()).is_some() {
            return Err(already_exists(format!("Role with name {} already exists.", role.name)).into());
        }
        if writing.list::<Role>(&within(&[account.as_str()])).len() >= ROLES_MAX {
            return Err(limit_exceeded("RolesPerAccount", ROLES_MAX).into());
        }
        writing.put(role.clone());
        Ok(())
    })?;
    Ok(Arc::new(role))
}

/// Brings a role that is there up to date with what would make it, as Terraform does with several calls, but in
/// one step. Tags, policies and attachments that are not spoken of stay, and so does its id, whatever its path was.
///
/// # Errors
/// Those of [`create_role`], and `NoSuchEntity` when it isn't there.
pub fn restate_role(
    world: &World,
    permit: &Permit<calls::CreateRole>,
    input: CreateRole,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    check_path(&input.path)?;
    check_description(input.description.as_deref())?;
    check_tags("Role", &input.tags)?;
    let max_session_seconds = input.max_session_seconds.unwrap_or(SESSION_SECONDS_DEFAULT);
    check_session_seconds(max_session_seconds)?;
    let trust = input.trust.read(PolicyKind::Trust, account)?;
    write(world, |writing| {
        check_boundary(writing, account, input.boundary.as_deref())?;
        let key = Role::key_of(account, &input.name).ok_or_else(|| Role::missing(&input.name))?;
        let known = writing.get::<Role>(&key).ok_or_else(|| Role::missing(&input.name))?;
        known.check_modifiable()?;
        let arn = Arn::role(account, &input.path, &known.name);
        if arn != known.arn {
            principals::let_go(writing, &known.arn, &known.id);
        }
        // It may have named itself.
        let mut role =
            writing.get::<Role>(&key).map_or_else(|| Role::clone(&known), |role| Role::clone(&role));
        let trust = save_trust(writing, account, trust, Some(&role.trust))?;
        role.arn = arn;
        role.path = input.path;
        (role.trust, role.description, role.boundary) = (trust, input.description, input.boundary);
        role.max_session_seconds = max_session_seconds;
        (role.written, role.max_session_written) = (input.written, input.max_session_written);
        super::tags::give("Role", &mut role.tags, input.tags);
        check_tags("Role", &role.tags)?;
        writing.put(role);
        Ok(())
    })
}

/// `ListRoles`.
pub fn list_roles(world: &World, permit: &Permit<calls::ListRoles>) -> Vec<Arc<Role>> {
    world.store.roles(account_of(permit, world))
}

/// `DeleteRole`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has policies or an instance profile.
pub fn delete_role(world: &World, permit: &Permit<calls::DeleteRole>, name: &str) -> Result<(), AwsError> {
    write(world, |writing| {
        let role = find_in::<Role, _>(writing, world, permit, name)?;
        role.check_modifiable()?;
        check_unused(writing, &role)?;
        remove(writing, &role)?;
        Ok(())
    })
}

/// Takes a role away, and what was noted of its use.
pub(super) fn remove(writing: &mut Writing<'_>, role: &Role) -> Result<(), StoreError> {
    principals::let_go(writing, &role.arn, &role.id);
    let last_use = key(&[&role.id]);
    if writing.get::<LastUse>(&last_use).is_some() {
        writing.remove::<LastUse>(&last_use)?;
    }
    writing.remove::<Role>(&role.key())
}

/// AWS names one of what a role still has; that it looks in this order is not written down.
fn check_unused(writing: &Writing<'_>, role: &Role) -> Result<(), Fault> {
    let profiles = writing.list::<InstanceProfile>(&within(&[&role.arn.account]));
    let is_in = |profile: &Arc<InstanceProfile>| profile.role.as_deref() == Some(role.name.as_str());
    let message = match role {
        role if !role.attached.is_empty() => "Cannot delete entity, must detach all policies first.",
        role if !role.inline.is_empty() => "Cannot delete entity, must delete policies first.",
        _ if profiles.iter().any(is_in) => {
            "Cannot delete entity, must remove roles from instance profile first."
        }
        _ => return Ok(()),
    };
    Err(conflict(message).into())
}

/// `UpdateAssumeRolePolicy`.
///
/// # Errors
/// `MalformedPolicyDocument`, `NoSuchEntity`.
pub fn update_trust(
    world: &World,
    permit: &Permit<calls::UpdateAssumeRolePolicy>,
    name: &str,
    trust: DocumentInput,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    let trust = trust.read(PolicyKind::Trust, account)?;
    change_seeing::<Role, _, _>(world, permit, name, |writing, role| {
        role.trust = save_trust(writing, account, trust, Some(&role.trust))?;
        Ok(())
    })
}

/// `UpdateRole`: a longest session that isn't given becomes an hour, as the API reference says; a
/// description that isn't given stays.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateRole.html>
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub fn update_role(
    world: &World,
    permit: &Permit<calls::UpdateRole>,
    name: &str,
    description: Option<String>,
    max_session_seconds: Option<u32>,
) -> Result<(), AwsError> {
    check_description(description.as_deref())?;
    let seconds = max_session_seconds.unwrap_or(SESSION_SECONDS_DEFAULT);
    check_session_seconds(seconds)?;
    // A service-linked role's description is the only thing that can be edited of it.
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html#edit-service-linked-role>
    let is_description = max_session_seconds.is_none() && description.is_some();
    change_any::<Role, _, _>(world, permit, name, |role| {
        if !is_description && role.path.starts_with(service_linked::PATH) {
            let message = format!(
                "{} is an AWS service linked role, max session duration cannot be changed.",
                role.name
            );
            return Err(error("UnmodifiableEntity", message, 400));
        }
        role.description = description.or(role.description.take());
        role.max_session_seconds = seconds;
        role.max_session_written = None;
        Ok(())
    })
}

/// `UpdateRoleDescription`.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub fn update_description(
    world: &World,
    permit: &Permit<calls::UpdateRoleDescription>,
    name: &str,
    description: String,
) -> Result<Role, AwsError> {
    check_description(Some(&description))?;
    change_any::<Role, _, _>(world, permit, name, |role| {
        role.description = Some(description);
        Ok(role.clone())
    })
}
