//! Users.

use std::sync::Arc;

use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::checks::{check_name, check_path, check_tags};
use super::entity::{Entity, find_in};
use super::policies::check_boundary;
use super::{account_of, already_exists, conflict, limit_exceeded, write};
use crate::authz::{Permit, calls};
use crate::store::records::within;
use crate::store::{AccessKey, Record, User, Writing, principals};
use crate::world::World;

/// Users of one account.
pub const USERS_MAX: usize = 5_000;
/// Longest name of a user, in characters.
const NAME_CHARS_MAX: usize = 64;

/// `CreateUser`.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// Makes a user.
///
/// # Errors
/// `ValidationError`, `EntityAlreadyExists`, `NoSuchEntity` for a boundary that isn't there.
pub fn create_user(
    world: &World,
    permit: &Permit<calls::CreateUser>,
    input: CreateUser,
) -> Result<Arc<User>, AwsError> {
    let account = account_of(permit, world);
    check_name("userName", &input.name, NAME_CHARS_MAX)?;
    check_path(&input.path)?;
    check_tags("User", &input.tags)?;
    let user = User {
        arn: Arn::user(account, &input.path, &input.name),
        path: input.path,
        name: input.name,
        id: landfall_wire::ids::unique_id(landfall_wire::ids::USER_PREFIX, world.random()),
        boundary: input.boundary,
        inline: Vec::new(),
        attached: Vec::new(),
        groups: Vec::new(),
        tags: input.tags,
        created_at: world.clock.now(),
    };
    write(world, |writing| {
        check_boundary(writing, account, user.boundary.as_deref())?;
        if writing.get::<User>(&user.key()).is_some() {
            return Err(taken(&user.name).into());
        }
        if writing.list::<User>(&within(&[account.as_str()])).len() >= USERS_MAX {
            return Err(limit_exceeded("UsersPerAccount", USERS_MAX).into());
        }
        writing.put(user.clone());
        Ok(())
    })?;
    Ok(Arc::new(user))
}

fn taken(name: &str) -> AwsError {
    already_exists(format!("User with name {name} already exists."))
}

/// Brings a user that is there up to date with what would make it, as Terraform does with several calls, but in one
/// step. Keys, groups, policies, and tags that are not spoken of stay.
///
/// # Errors
/// Those of [`create_user`], and `NoSuchEntity` when it isn't there.
pub fn restate_user(
    world: &World,
    permit: &Permit<calls::CreateUser>,
    input: CreateUser,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    check_path(&input.path)?;
    check_tags("User", &input.tags)?;
    write(world, |writing| {
        check_boundary(writing, account, input.boundary.as_deref())?;
        let known = User::key_of(account, &input.name).and_then(|key| writing.get::<User>(&key));
        let mut user = User::clone(&*known.ok_or_else(|| User::missing(&input.name))?);
        let arn = Arn::user(account, &input.path, &user.name);
        if arn != user.arn {
            principals::let_go(writing, &user.arn, &user.id);
        }
        user.arn = arn;
        (user.path, user.boundary) = (input.path, input.boundary);
        super::tags::give("User", &mut user.tags, input.tags);
        check_tags("User", &user.tags)?;
        writing.put(user);
        Ok(())
    })
}

/// `ListUsers`.
pub fn list_users(world: &World, permit: &Permit<calls::ListUsers>) -> Vec<Arc<User>> {
    world.store.users(account_of(permit, world))
}

/// `UpdateUser`: another name, another path. Keys, policies and groups stay.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`, `EntityAlreadyExists`.
pub fn update_user(
    world: &World,
    permit: &Permit<calls::UpdateUser>,
    name: &str,
    new_name: Option<String>,
    new_path: Option<String>,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    new_name.iter().try_for_each(|name| check_name("newUserName", name, NAME_CHARS_MAX))?;
    new_path.iter().try_for_each(|path| check_path(path))?;
    write(world, |writing| {
        let old = find_in::<User, _>(writing, world, permit, name)?;
        let mut user = User::clone(&old);
        user.name = new_name.unwrap_or(user.name);
        user.path = new_path.unwrap_or(user.path);
        user.arn = Arn::user(account, &user.path, &user.name);
        if user.arn != old.arn {
            principals::let_go(writing, &old.arn, &old.id);
        }
        if user.key() != old.key() {
            if writing.get::<User>(&user.key()).is_some() {
                return Err(taken(&user.name).into());
            }
            writing.remove::<User>(&old.key())?;
        }
        for key in keys_in(writing, &old) {
            writing.put(AccessKey { user_name: user.name.clone(), ..AccessKey::clone(&key) });
        }
        writing.put(user);
        Ok(())
    })
}

fn keys_in(writing: &Writing<'_>, user: &User) -> Vec<Arc<AccessKey>> {
    let mut keys = writing.list::<AccessKey>("");
    keys.retain(|key| key.user_id == user.id);
    keys
}

/// `DeleteUser`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has groups, policies or access keys.
pub fn delete_user(world: &World, permit: &Permit<calls::DeleteUser>, name: &str) -> Result<(), AwsError> {
    write(world, |writing| {
        let user = find_in::<User, _>(writing, world, permit, name)?;
        let message = match &user {
            user if !user.groups.is_empty() => "Cannot delete entity, must remove users from group first.",
            user if !user.attached.is_empty() => "Cannot delete entity, must detach all policies first.",
            user if !user.inline.is_empty() => "Cannot delete entity, must delete policies first.",
            user if !keys_in(writing, user).is_empty() => {
                "Cannot delete entity, must delete access keys first."
            }
            _ => {
                principals::let_go(writing, &user.arn, &user.id);
                writing.remove::<User>(&user.key())?;
                return Ok(());
            }
        };
        Err(conflict(message).into())
    })
}
