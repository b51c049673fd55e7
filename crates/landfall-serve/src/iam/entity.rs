//! What calls name: roles, users, groups and instance profiles by name, policies and providers by ARN.

use std::sync::Arc;

use landfall_types::{AccountId, Arn};
use landfall_wire::error::AwsError;

use super::{account_of, error, no_such_entity, write};
use crate::authz::Permit;
use crate::store::records::key;
use crate::store::{CustomerPolicy, Group, InstanceProfile, Provider, Record, Role, User, Writing};
use crate::world::World;

/// Something that calls name.
pub trait Entity: Record {
    /// What it is called in IAM's messages, `role`.
    const NOUN: &'static str;
    /// The parameter that names it, `RoleName`.
    const PARAMETER: &'static str;

    /// Whether calls name it by its ARN.
    const IS_BY_ARN: bool = false;

    /// Its ARN.
    fn arn(&self) -> &Arn;

    /// The store's key of the one that a call names; none when there can't be one of this name.
    fn key_of(account: AccountId, name: &str) -> Option<String> {
        Some(key(&[account.as_str(), &name.to_ascii_lowercase()]))
    }

    /// The ARN that one of this name would have, for the decision on a call that names nothing.
    fn arn_of(account: AccountId, name: &str) -> String;

    /// `NoSuchEntity`.
    fn missing(name: &str) -> AwsError {
        no_such_entity(format!("The {} with name {name} cannot be found.", Self::NOUN))
    }

    /// Its name: the last part of its ARN.
    fn name(&self) -> String {
        self.arn().resource.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Its tags; none for what has none.
    fn tags(&self) -> &[(String, String)] {
        &[]
    }

    /// Refuses a change by anyone but AWS.
    ///
    /// # Errors
    /// `UnmodifiableEntity`.
    fn check_modifiable(&self) -> Result<(), AwsError> {
        Ok(())
    }
}

impl Entity for Role {
    const NOUN: &'static str = "role";
    const PARAMETER: &'static str = "RoleName";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn arn_of(account: AccountId, name: &str) -> String {
        Arn::role(account, "/", name).to_string()
    }
    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
    fn check_modifiable(&self) -> Result<(), AwsError> {
        if !self.path.starts_with(landfall_policy::service_linked::PATH) {
            return Ok(());
        }
        let message = format!(
            "Cannot perform the operation on the protected role '{}' - this role is only modifiable by AWS",
            self.name
        );
        Err(error("UnmodifiableEntity", message, 400))
    }
}

impl Entity for User {
    const NOUN: &'static str = "user";
    const PARAMETER: &'static str = "UserName";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn arn_of(account: AccountId, name: &str) -> String {
        Arn::user(account, "/", name).to_string()
    }
    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
}

impl Entity for Group {
    const NOUN: &'static str = "group";
    const PARAMETER: &'static str = "GroupName";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn arn_of(account: AccountId, name: &str) -> String {
        Arn::group(account, "/", name).to_string()
    }
}

impl Entity for InstanceProfile {
    const NOUN: &'static str = "instance profile";
    const PARAMETER: &'static str = "InstanceProfileName";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn arn_of(account: AccountId, name: &str) -> String {
        Arn::instance_profile(account, "/", name).to_string()
    }
    fn missing(name: &str) -> AwsError {
        no_such_entity(format!("Instance Profile {name} cannot be found."))
    }
    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
}

impl Entity for CustomerPolicy {
    const NOUN: &'static str = "policy";
    const IS_BY_ARN: bool = true;
    const PARAMETER: &'static str = "PolicyArn";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn key_of(_account: AccountId, arn: &str) -> Option<String> {
        Some(key(&[&Arn::parse(arn).ok()?.account, arn]))
    }
    fn arn_of(_account: AccountId, arn: &str) -> String {
        arn.to_owned()
    }
    fn missing(arn: &str) -> AwsError {
        no_such_entity(format!("Policy {arn} was not found."))
    }
    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
}

impl Entity for Provider {
    const NOUN: &'static str = "OpenID Connect provider";
    const IS_BY_ARN: bool = true;
    const PARAMETER: &'static str = "OpenIDConnectProviderArn";
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn key_of(_account: AccountId, arn: &str) -> Option<String> {
        let arn = Arn::parse(arn).ok()?;
        Some(key(&[&arn.account, arn.resource.strip_prefix("oidc-provider/")?]))
    }
    fn arn_of(_account: AccountId, arn: &str) -> String {
        arn.to_owned()
    }
    fn missing(arn: &str) -> AwsError {
        no_such_entity(format!("OpenId connect Provider {arn} cannot be found."))
    }
    fn tags(&self) -> &[(String, String)] {
        &self.tags
    }
}

/// The one that a call names, in the account of the caller or of the ARN.
pub(crate) fn look_up<E: Entity>(world: &World, account: AccountId, name: &str) -> Option<Arc<E>> {
    world.store.get(&E::key_of(account, name)?)
}

/// The one that a call names. The call was decided on the ARN in its permit, letter by letter: what only
/// looks like it (another partition, a region) would have been decided otherwise.
///
/// # Errors
/// `NoSuchEntity`.
pub fn find<E: Entity, C>(world: &World, permit: &Permit<C>, name: &str) -> Result<Arc<E>, AwsError> {
    meant(look_up(world, account_of(permit, world), name), permit, name)
}

fn meant<E: Entity, C>(found: Option<Arc<E>>, permit: &Permit<C>, name: &str) -> Result<Arc<E>, AwsError> {
    let found = found.filter(|entity| entity.arn().to_string() == permit.resource());
    found.ok_or_else(|| E::missing(name))
}

/// As [`find`], in a change.
pub(super) fn find_in<E: Entity, C>(
    writing: &Writing<'_>,
    world: &World,
    permit: &Permit<C>,
    name: &str,
) -> Result<Arc<E>, AwsError> {
    let key = E::key_of(account_of(permit, world), name);
    meant(key.and_then(|key| writing.get::<E>(&key)), permit, name)
}

/// Changes the one that a call names, without changing how it is found.
pub(super) fn change<E: Entity, C, T>(
    world: &World,
    permit: &Permit<C>,
    name: &str,
    change: impl FnOnce(&mut E) -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    change_seeing::<E, C, T>(world, permit, name, |_, entity| change(entity))
}

/// As [`change`], where the change rests on what else is there.
pub(super) fn change_seeing<E: Entity, C, T>(
    world: &World,
    permit: &Permit<C>,
    name: &str,
    change: impl FnOnce(&Writing<'_>, &mut E) -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    write(world, |writing| {
        let mut entity = E::clone(&*find_in::<E, C>(writing, world, permit, name)?);
        entity.check_modifiable()?;
        let answer = change(writing, &mut entity)?;
        writing.put(entity);
        Ok(answer)
    })
}

/// As [`change`], also of what is AWS's own: what everybody may change of it.
pub(super) fn change_any<E: Entity, C, T>(
    world: &World,
    permit: &Permit<C>,
    name: &str,
    change: impl FnOnce(&mut E) -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    write(world, |writing| {
        let mut entity = E::clone(&*find_in::<E, C>(writing, world, permit, name)?);
        let answer = change(&mut entity)?;
        writing.put(entity);
        Ok(answer)
    })
}
