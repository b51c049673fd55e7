//! Instance profiles.

use std::sync::Arc;

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::checks::{check_name, check_path, check_tags};
use super::entity::{Entity, find, find_in};
use super::{account_of, already_exists, conflict, limit_exceeded, write};
use crate::authz::{Permit, calls};
use crate::store::records::within;
use crate::store::{InstanceProfile, Record, Role};
use crate::world::World;

/// Instance profiles of one account.
pub const PROFILES_MAX: usize = 1_000;
/// Longest name of an instance profile, in characters.
const NAME_CHARS_MAX: usize = 128;

/// `CreateInstanceProfile`.
///
/// # Errors
/// `ValidationError`, `EntityAlreadyExists`, `LimitExceeded`.
pub fn create_profile(
    world: &World,
    permit: &Permit<calls::CreateInstanceProfile>,
    path: String,
    name: String,
    tags: Vec<(String, String)>,
) -> Result<Arc<InstanceProfile>, AwsError> {
    let account = account_of(permit, world);
    check_name("instanceProfileName", &name, NAME_CHARS_MAX)?;
    check_path(&path)?;
    check_tags("InstanceProfile", &tags)?;
    let profile = InstanceProfile {
        arn: Arn::instance_profile(account, &path, &name),
        path,
        name,
        id: landfall_wire::ids::unique_id("AIPA", world.random()),
        role: None,
        tags,
        created_at: world.clock.now(),
    };
    write(world, |writing| {
        if writing.get::<InstanceProfile>(&profile.key()).is_some() {
            return Err(already_exists(format!("Instance Profile {} already exists.", profile.name)).into());
        }
        if writing.list::<InstanceProfile>(&within(&[account.as_str()])).len() >= PROFILES_MAX {
            return Err(limit_exceeded("InstanceProfilesPerAccount", PROFILES_MAX).into());
        }
        writing.put(profile.clone());
        Ok(())
    })?;
    Ok(Arc::new(profile))
}

/// Brings an instance profile that is there up to date with what would make it: its path and tags, and that it has
/// another role than `role` no longer, so that this one can be added.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub fn restate_profile(
    world: &World,
    permit: &Permit<calls::CreateInstanceProfile>,
    (path, name): (String, &str),
    role: Option<&str>,
    tags: Vec<(String, String)>,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    check_path(&path)?;
    check_tags("InstanceProfile", &tags)?;
    write(world, |writing| {
        let known = InstanceProfile::key_of(account, name);
        let known = known.and_then(|key| writing.get::<InstanceProfile>(&key));
        let mut profile = InstanceProfile::clone(&*known.ok_or_else(|| InstanceProfile::missing(name))?);
        profile.arn = Arn::instance_profile(account, &path, &profile.name);
        profile.path = path;
        profile.role = profile.role.take().filter(|known| role.is_none_or(|role| role == known));
        super::tags::give("InstanceProfile", &mut profile.tags, tags);
        check_tags("InstanceProfile", &profile.tags)?;
        writing.put(profile);
        Ok(())
    })
}

/// `ListInstanceProfiles`.
pub fn list_profiles(
    world: &World,
    permit: &Permit<calls::ListInstanceProfiles>,
) -> Vec<Arc<InstanceProfile>> {
    world.store.instance_profiles(account_of(permit, world))
}

/// `ListInstanceProfilesForRole`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn list_for_role(
    world: &World,
    permit: &Permit<calls::ListInstanceProfilesForRole>,
    role: &str,
) -> Result<Vec<Arc<InstanceProfile>>, AwsError> {
    Ok(profiles_of(world, &*find::<Role, _>(world, permit, role)?))
}

/// The instance profiles that hand out a role.
pub fn profiles_of(world: &World, role: &Role) -> Vec<Arc<InstanceProfile>> {
    let mut profiles: Vec<Arc<InstanceProfile>> = world.store.list(&within(&[&role.arn.account]));
    profiles.retain(|profile| profile.role.as_deref() == Some(role.name.as_str()));
    profiles
}

/// The role of an instance profile.
pub fn role_of(world: &World, profile: &InstanceProfile) -> Option<Arc<Role>> {
    world.store.role(profile.arn.account_id()?, profile.role.as_deref()?)
}

/// `DeleteInstanceProfile`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has a role.
pub fn delete_profile(
    world: &World,
    permit: &Permit<calls::DeleteInstanceProfile>,
    name: &str,
) -> Result<(), AwsError> {
    write(world, |writing| {
        let profile = find_in::<InstanceProfile, _>(writing, world, permit, name)?;
        if profile.role.is_some() {
            let message = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(conflict(message).into());
        }
        writing.remove::<InstanceProfile>(&profile.key())?;
        Ok(())
    })
}

/// `AddRoleToInstanceProfile`.
///
/// # Errors
/// `NoSuchEntity` for profile or role; `LimitExceeded` when it has one already.
pub fn add_role(
    world: &World,
    permit: &Permit<calls::AddRoleToInstanceProfile>,
    profile: &str,
    role: &str,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    write(world, |writing| {
        let mut profile =
            InstanceProfile::clone(&*find_in::<InstanceProfile, _>(writing, world, permit, profile)?);
        let found = Role::key_of(account, role).and_then(|key| writing.get::<Role>(&key));
        let found = found.ok_or_else(|| Role::missing(role))?;
        found.check_modifiable()?;
        if profile.role.is_some() {
            return Err(limit_exceeded("InstanceSessionsPerInstanceProfile", 1).into());
        }
        profile.role = Some(found.name.clone());
        writing.put(profile);
        Ok(())
    })
}

/// `RemoveRoleFromInstanceProfile`.
///
/// # Errors
/// `NoSuchEntity` for the profile, or a role that isn't in it.
pub fn remove_role(
    world: &World,
    permit: &Permit<calls::RemoveRoleFromInstanceProfile>,
    profile: &str,
    role: &str,
) -> Result<(), AwsError> {
    write(world, |writing| {
        let mut profile =
            InstanceProfile::clone(&*find_in::<InstanceProfile, _>(writing, world, permit, profile)?);
        if !profile.role.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(role)) {
            return Err(Role::missing(role).into());
        }
        profile.role = None;
        writing.put(profile);
        Ok(())
    })
}
