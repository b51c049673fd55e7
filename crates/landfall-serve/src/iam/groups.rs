//! Groups of users.

use std::sync::Arc;

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::checks::{check_name, check_path};
use super::entity::{Entity, find_in};
use super::{account_of, already_exists, conflict, limit_exceeded, write};
use crate::authz::{Permit, calls};
use crate::store::records::within;
use crate::store::{Group, Record, User, Writing};
use crate::world::World;

/// Groups of one account.
pub const GROUPS_MAX: usize = 300;
/// Groups that one user can be in.
pub const GROUPS_PER_USER_MAX: usize = 10;
/// Longest name of a group, in characters.
const NAME_CHARS_MAX: usize = 128;

/// `CreateGroup`.
///
/// # Errors
/// `ValidationError`, `EntityAlreadyExists`, `LimitExceeded`.
pub fn create_group(
    world: &World,
    permit: &Permit<calls::CreateGroup>,
    path: String,
    name: String,
) -> Result<Arc<Group>, AwsError> {
    let account = account_of(permit, world);
    check_name("groupName", &name, NAME_CHARS_MAX)?;
    check_path(&path)?;
    let group = Group {
        arn: Arn::group(account, &path, &name),
        path,
        name,
        id: landfall_wire::ids::unique_id("AGPA", world.random()),
        inline: Vec::new(),
        attached: Vec::new(),
        created_at: world.clock.now(),
    };
    write(world, |writing| {
        if writing.get::<Group>(&group.key()).is_some() {
            return Err(taken(&group.name).into());
        }
        if writing.list::<Group>(&within(&[account.as_str()])).len() >= GROUPS_MAX {
            return Err(limit_exceeded("GroupsPerAccount", GROUPS_MAX).into());
        }
        writing.put(group.clone());
        Ok(())
    })?;
    Ok(Arc::new(group))
}

/// Brings a group that is there up to date with what would make it. Members and policies stay.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`.
pub fn restate_group(
    world: &World,
    permit: &Permit<calls::CreateGroup>,
    path: String,
    name: &str,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    check_path(&path)?;
    write(world, |writing| {
        let known = Group::key_of(account, name).and_then(|key| writing.get::<Group>(&key));
        let mut group = Group::clone(&*known.ok_or_else(|| Group::missing(name))?);
        group.arn = Arn::group(account, &path, &group.name);
        group.path = path;
        writing.put(group);
        Ok(())
    })
}

fn taken(name: &str) -> AwsError {
    already_exists(format!("Group with name {name} already exists."))
}

/// `ListGroups`.
pub fn list_groups(world: &World, permit: &Permit<calls::ListGroups>) -> Vec<Arc<Group>> {
    world.store.groups(account_of(permit, world))
}

/// The users in a group, by name.
pub fn members(world: &World, group: &Group) -> Vec<Arc<User>> {
    let mut users: Vec<Arc<User>> = world.store.list(&within(&[&group.arn.account]));
    users.retain(|user| user.groups.contains(&group.id));
    users
}

fn members_in(writing: &Writing<'_>, group: &Group) -> usize {
    let users = writing.list::<User>(&within(&[&group.arn.account]));
    users.iter().filter(|user| user.groups.contains(&group.id)).count()
}

/// `UpdateGroup`: another name, another path. Policies and members stay.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`, `EntityAlreadyExists`.
pub fn update_group(
    world: &World,
    permit: &Permit<calls::UpdateGroup>,
    name: &str,
    new_name: Option<String>,
    new_path: Option<String>,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    new_name.iter().try_for_each(|name| check_name("newGroupName", name, NAME_CHARS_MAX))?;
    new_path.iter().try_for_each(|path| check_path(path))?;
    write(world, |writing| {
        let old = find_in::<Group, _>(writing, world, permit, name)?;
        let mut group = Group::clone(&old);
        group.name = new_name.unwrap_or(group.name);
        group.path = new_path.unwrap_or(group.path);
        group.arn = Arn::group(account, &group.path, &group.name);
        if group.key() != old.key() {
            if writing.get::<Group>(&group.key()).is_some() {
                return Err(taken(&group.name).into());
            }
            writing.remove::<Group>(&old.key())?;
        }
        writing.put(group);
        Ok(())
    })
}

/// `DeleteGroup`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has users or policies.
pub fn delete_group(world: &World, permit: &Permit<calls::DeleteGroup>, name: &str) -> Result<(), AwsError> {
    write(world, |writing| {
        let group = find_in::<Group, _>(writing, world, permit, name)?;
        let message = match &group {
            group if members_in(writing, group) > 0 => {
                "Cannot delete entity, must remove users from group first."
            }
            group if !group.attached.is_empty() => "Cannot delete entity, must detach all policies first.",
            group if !group.inline.is_empty() => "Cannot delete entity, must delete policies first.",
            _ => {
                writing.remove::<Group>(&group.key())?;
                return Ok(());
            }
        };
        Err(conflict(message).into())
    })
}

/// `AddUserToGroup`; adding twice is no error.
///
/// # Errors
/// `NoSuchEntity` for group or user, `LimitExceeded`.
pub fn add_user(
    world: &World,
    permit: &Permit<calls::AddUserToGroup>,
    group: &str,
    user: &str,
) -> Result<(), AwsError> {
    change_membership(world, permit, group, user, |groups, id| {
        if groups.contains(id) {
            return Ok(());
        }
        if groups.len() >= GROUPS_PER_USER_MAX {
            return Err(limit_exceeded("GroupsPerUser", GROUPS_PER_USER_MAX));
        }
        groups.push(id.clone());
        Ok(())
    })
}

/// `RemoveUserFromGroup`; a user that isn't in it is no error.
///
/// # Errors
/// `NoSuchEntity` for group or user.
pub fn remove_user(
    world: &World,
    permit: &Permit<calls::RemoveUserFromGroup>,
    group: &str,
    user: &str,
) -> Result<(), AwsError> {
    change_membership(world, permit, group, user, |groups, id| {
        groups.retain(|known| known != id);
        Ok(())
    })
}

/// Changes the ids of the groups that a user is in, given that of one group.
fn change_membership<C>(
    world: &World,
    permit: &Permit<C>,
    group: &str,
    user: &str,
    change: impl FnOnce(&mut Vec<String>, &String) -> Result<(), AwsError>,
) -> Result<(), AwsError> {
    write(world, |writing| {
        let group = find_in::<Group, _>(writing, world, permit, group)?;
        let mut user = user_in(writing, &group, user)?;
        change(&mut user.groups, &group.id)?;
        writing.put(user);
        Ok(())
    })
}

/// A user of the group's account.
fn user_in(writing: &Writing<'_>, group: &Group, name: &str) -> Result<User, AwsError> {
    let key = group.arn.account_id().and_then(|account| User::key_of(account, name));
    let user = key.and_then(|key| writing.get::<User>(&key));
    user.map(|user| User::clone(&user)).ok_or_else(|| User::missing(name))
}
