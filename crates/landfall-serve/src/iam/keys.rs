//! Access keys of users: the static credentials that the rest of this program makes unnecessary.

use std::sync::Arc;

use landfall_types::Secret;
use landfall_wire::error::AwsError;
use landfall_wire::ids;

use super::entity::{find, find_in};
use super::{limit_exceeded, no_such_entity, write};
use crate::authz::{Permit, calls};
use crate::store::records::key;
use crate::store::{AccessKey, LastUse, Record, User, Writing};
use crate::world::World;

/// Access keys of one user.
pub const KEYS_PER_USER_MAX: usize = 2;

/// `CreateAccessKey`: the key and its secret, which is told this once.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`.
pub fn create_key(
    world: &World,
    permit: &Permit<calls::CreateAccessKey>,
    user: &str,
) -> Result<(AccessKey, Secret<String>), AwsError> {
    let random = world.random();
    let made = write(world, |writing| {
        let user = find_in::<User, _>(writing, world, permit, user)?;
        if of_user(writing, &user).len() >= KEYS_PER_USER_MAX {
            return Err(limit_exceeded("AccessKeysPerUser", KEYS_PER_USER_MAX).into());
        }
        let account =
            user.arn.account_id().ok_or_else(|| <User as super::entity::Entity>::missing(&user.name))?;
        let made = AccessKey {
            id: ids::key_id_of_account(ids::LONG_TERM_KEY_PREFIX, account, random),
            account,
            user_name: user.name.clone(),
            user_id: user.id.clone(),
            is_active: true,
            created_at: world.clock.now(),
        };
        writing.insert(made.clone())?;
        Ok(made)
    })?;
    let secret = world.vault.secret_key(&made.id);
    Ok((made, secret))
}

fn of_user(writing: &Writing<'_>, user: &User) -> Vec<Arc<AccessKey>> {
    let mut keys = writing.list::<AccessKey>("");
    keys.retain(|key| key.user_id == user.id);
    keys
}

fn no_such_key(id: &str) -> AwsError {
    no_such_entity(format!("The Access Key with id {id} cannot be found."))
}

/// `ListAccessKeys`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn list_keys(
    world: &World,
    permit: &Permit<calls::ListAccessKeys>,
    user: &str,
) -> Result<Vec<Arc<AccessKey>>, AwsError> {
    Ok(world.store.access_keys_of(&*find::<User, _>(world, permit, user)?))
}

fn key_in<C>(
    writing: &Writing<'_>,
    world: &World,
    permit: &Permit<C>,
    user: &str,
    id: &str,
) -> Result<Arc<AccessKey>, AwsError> {
    let user = find_in::<User, C>(writing, world, permit, user)?;
    let found = writing.get::<AccessKey>(&key(&[id])).filter(|key| key.user_id == user.id);
    found.ok_or_else(|| no_such_key(id))
}

/// `UpdateAccessKey`: turns a key on or off.
///
/// # Errors
/// `NoSuchEntity`.
pub fn update_key(
    world: &World,
    permit: &Permit<calls::UpdateAccessKey>,
    user: &str,
    id: &str,
    is_active: bool,
) -> Result<(), AwsError> {
    write(world, |writing| {
        let known = key_in(writing, world, permit, user, id)?;
        writing.put(AccessKey { is_active, ..AccessKey::clone(&known) });
        Ok(())
    })
}

/// `DeleteAccessKey`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_key(
    world: &World,
    permit: &Permit<calls::DeleteAccessKey>,
    user: &str,
    id: &str,
) -> Result<(), AwsError> {
    write(world, |writing| {
        let known = key_in(writing, world, permit, user, id)?;
        if writing.get::<LastUse>(&key(&[id])).is_some() {
            writing.remove::<LastUse>(&key(&[id]))?;
        }
        writing.remove::<AccessKey>(&known.key())?;
        Ok(())
    })
}

/// `GetAccessKeyLastUsed`: the user's name, and the use, if there was any.
///
/// # Errors
/// `NoSuchEntity`.
pub fn last_used(
    world: &World,
    permit: &Permit<calls::GetAccessKeyLastUsed>,
    id: &str,
) -> Result<(String, Option<Arc<LastUse>>), AwsError> {
    let known = world.store.access_key(id).ok_or_else(|| no_such_key(id))?;
    // The call was decided on the key's user.
    find::<User, _>(world, permit, &known.user_name)?;
    Ok((known.user_name.clone(), world.store.last_use(id)))
}
