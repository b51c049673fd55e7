//! What an account has as a whole.

use std::sync::Arc;

use landfall_policy::write_time::{
    MANAGED_POLICY_CHARS_MAX, ROLE_INLINE_POLICY_CHARS_MAX, TRUST_POLICY_CHARS_MAX,
};
use landfall_types::AccountId;
use landfall_wire::error::AwsError;

use super::groups::{GROUPS_MAX, GROUPS_PER_USER_MAX};
use super::holders::{ATTACHED_MAX, GROUP_INLINE_POLICY_CHARS_MAX, USER_INLINE_POLICY_CHARS_MAX};
use super::keys::KEYS_PER_USER_MAX;
use super::policies::{AnyPolicy, POLICIES_MAX, Scope, VERSIONS_MAX, all_policies, users_of};
use super::profiles::PROFILES_MAX;
use super::roles::ROLES_MAX;
use super::users::USERS_MAX;
use super::{account_of, already_exists, error, no_such_entity, write};
use crate::authz::{Permit, calls};
use crate::store::{AccountAlias, Group, Record, Role, User};
use crate::world::World;

/// Versions of all policies of an account together.
const VERSIONS_IN_USE_MAX: usize = 10_000;

/// `GetAccountSummary`: names and numbers. Quotas are those that hold here.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html>
pub fn summary(world: &World, permit: &Permit<calls::GetAccountSummary>) -> Vec<(&'static str, usize)> {
    let account = account_of(permit, world);
    let policies = world.store.policies(account);
    vec![
        ("AccessKeysPerUserQuota", KEYS_PER_USER_MAX),
        ("AccountAccessKeysPresent", 0),
        ("AccountMFAEnabled", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("AssumeRolePolicySizeQuota", TRUST_POLICY_CHARS_MAX),
        ("AttachedPoliciesPerGroupQuota", ATTACHED_MAX),
        ("AttachedPoliciesPerRoleQuota", ATTACHED_MAX),
        ("AttachedPoliciesPerUserQuota", ATTACHED_MAX),
        ("GlobalEndpointTokenVersion", 2),
        ("GroupPolicySizeQuota", GROUP_INLINE_POLICY_CHARS_MAX),
        ("Groups", world.store.groups(account).len()),
        ("GroupsPerUserQuota", GROUPS_PER_USER_MAX),
        ("GroupsQuota", GROUPS_MAX),
        ("InstanceProfiles", world.store.instance_profiles(account).len()),
        ("InstanceProfilesQuota", PROFILES_MAX),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("Policies", policies.len()),
        ("PoliciesQuota", POLICIES_MAX),
        ("PolicySizeQuota", MANAGED_POLICY_CHARS_MAX),
        ("PolicyVersionsInUse", policies.iter().map(|policy| policy.versions.len()).sum()),
        ("PolicyVersionsInUseQuota", VERSIONS_IN_USE_MAX),
        ("Providers", world.store.providers(account).len()),
        ("RolePolicySizeQuota", ROLE_INLINE_POLICY_CHARS_MAX),
        ("Roles", world.store.roles(account).len()),
        ("RolesQuota", ROLES_MAX),
        ("ServerCertificates", 0),
        ("ServerCertificatesQuota", 20),
        ("SigningCertificatesPerUserQuota", 2),
        ("UserPolicySizeQuota", USER_INLINE_POLICY_CHARS_MAX),
        ("Users", world.store.users(account).len()),
        ("UsersQuota", USERS_MAX),
        ("VersionsPerPolicyQuota", VERSIONS_MAX),
    ]
}

/// `CreateAccountAlias`: an account has one, and an alias one account.
///
/// # Errors
/// `ValidationError`, `EntityAlreadyExists`.
pub fn create_alias(
    world: &World,
    permit: &Permit<calls::CreateAccountAlias>,
    alias: String,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    check_alias(&alias)?;
    write(world, |writing| {
        let all = writing.list::<AccountAlias>("");
        if all.iter().any(|known| known.alias == alias && known.account != account) {
            return Err(already_exists(format!("The account alias {alias} already exists.")).into());
        }
        writing.put(AccountAlias { account, alias });
        Ok(())
    })
}

/// Small letters, digits and single hyphens, which are neither first nor last.
pub(super) fn is_alias(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let hyphens = text.starts_with('-') || text.ends_with('-') || text.contains("--");
    text.bytes().all(is_fine) && !hyphens
}

/// An alias is not an account's number either.
fn check_alias(alias: &str) -> Result<(), AwsError> {
    super::check_length("accountAlias", alias, 3, 63)?;
    if is_alias(alias) && AccountId::parse(alias).is_err() {
        return Ok(());
    }
    let message = format!(
        "1 validation error detected: Value '{alias}' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){{1,61}}[a-z0-9]$"
    );
    Err(error("ValidationError", message, 400))
}

/// `DeleteAccountAlias`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_alias(
    world: &World,
    permit: &Permit<calls::DeleteAccountAlias>,
    alias: &str,
) -> Result<(), AwsError> {
    let known = world.store.account_alias(account_of(permit, world)).filter(|known| known.alias == alias);
    let missing = || no_such_entity(format!("The account alias with name {alias} cannot be found."));
    let known = known.ok_or_else(missing)?;
    write(world, |writing| Ok(writing.remove::<AccountAlias>(&known.key())?))
}

/// `ListAccountAliases`.
pub fn list_aliases(world: &World, permit: &Permit<calls::ListAccountAliases>) -> Option<String> {
    world.store.account_alias(account_of(permit, world)).map(|known| known.alias.clone())
}

/// `GetAccountPasswordPolicy`: nobody has a password here, and no account has a policy for them.
///
/// # Errors
/// `NoSuchEntity`, always.
pub fn password_policy(
    world: &World,
    permit: &Permit<calls::GetAccountPasswordPolicy>,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    Err(no_such_entity(format!("The Password Policy with domain name {account} cannot be found.")))
}

/// What `GetAccountAuthorizationDetails` tells, one at a time.
#[derive(Clone, Debug)]
pub enum Detail {
    /// A user.
    User(Arc<User>),
    /// A group.
    Group(Arc<Group>),
    /// A role.
    Role(Arc<Role>),
    /// A managed policy.
    Policy(AnyPolicy),
}

/// The kinds of things that are told; all when none is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `User`.
    User,
    /// `Group`.
    Group,
    /// `Role`.
    Role,
    /// `LocalManagedPolicy`.
    LocalPolicy,
    /// `AWSManagedPolicy`.
    AwsPolicy,
}

/// `GetAccountAuthorizationDetails`. Of AWS's policies those are told that are attached.
pub fn details(
    world: &World,
    permit: &Permit<calls::GetAccountAuthorizationDetails>,
    kinds: &[Kind],
) -> Vec<Detail> {
    let account = account_of(permit, world);
    let is_asked = |kind| kinds.is_empty() || kinds.contains(&kind);
    let mut details = Vec::new();
    if is_asked(Kind::User) {
        details.extend(world.store.users(account).into_iter().map(Detail::User));
    }
    if is_asked(Kind::Group) {
        details.extend(world.store.groups(account).into_iter().map(Detail::Group));
    }
    if is_asked(Kind::Role) {
        details.extend(world.store.roles(account).into_iter().map(Detail::Role));
    }
    if is_asked(Kind::LocalPolicy) {
        details.extend(all_policies(world, account, Scope::Local).into_iter().map(Detail::Policy));
    }
    if is_asked(Kind::AwsPolicy) {
        let all = all_policies(world, account, Scope::Aws).into_iter();
        let used = all.filter(|policy| users_of(&world.store, account, &policy.arn()).attachments() > 0);
        details.extend(used.map(Detail::Policy));
    }
    details
}
