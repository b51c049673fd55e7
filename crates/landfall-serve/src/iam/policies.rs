//! Managed policies: the customer's with their versions, and AWS's, which can be read.

use std::collections::BTreeSet;
use std::sync::Arc;

use landfall_policy::managed;
use landfall_policy::write_time::MANAGED_POLICY_CHARS_MAX;
use landfall_types::{AccountId, Arn, Timestamp};
use landfall_wire::error::AwsError;

use super::checks::{check_description, check_name, check_path, check_tags};
use super::entity::{Entity, change, find_in};
use super::holders::Holder;
use super::{
    DocumentInput, account_of, already_exists, conflict, error, limit_exceeded, no_such_entity, write,
};
use crate::authz::{Permit, calls};
use crate::store::records::within;
use crate::store::{CustomerPolicy, Group, PolicyVersion, Reads, Record, Role, User};
use crate::world::World;

/// Customer managed policies of one account.
pub const POLICIES_MAX: usize = 1_500;
/// Versions of one policy.
pub const VERSIONS_MAX: usize = 5;
/// Longest name of a policy, in characters.
const NAME_CHARS_MAX: usize = 128;

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
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// Makes a customer managed policy.
///
/// # Errors
/// `ValidationError`, `MalformedPolicyDocument`, `EntityAlreadyExists`, `LimitExceeded`.
pub fn create_policy(
    world: &World,
    permit: &Permit<calls::CreatePolicy>,
    input: CreatePolicy,
) -> Result<Arc<CustomerPolicy>, AwsError> {
    let account = account_of(permit, world);
    check_name("policyName", &input.name, NAME_CHARS_MAX)?;
    check_path(&input.path)?;
    check_description(input.description.as_deref())?;
    check_tags("Policy", &input.tags)?;
    let created_at = world.clock.now();
    let version =
        PolicyVersion { number: 1, document: managed_document(input.document, account)?, created_at };
    let policy = CustomerPolicy {
        arn: Arn::policy(account, &input.path, &input.name),
        path: input.path,
        name: input.name,
        id: landfall_wire::ids::unique_id(landfall_wire::ids::POLICY_PREFIX, world.random()),
        description: input.description,
        versions: vec![version],
        default_version: 1,
        newest_version: 1,
        tags: input.tags,
        created_at,
        updated_at: created_at,
    };
    write(world, |writing| {
        let all = writing.list::<CustomerPolicy>(&within(&[account.as_str()]));
        if all.iter().any(|other| other.name.eq_ignore_ascii_case(&policy.name)) {
            let message =
                format!("A policy called {} already exists. Duplicate names are not allowed.", policy.name);
            return Err(already_exists(message).into());
        }
        if all.len() >= POLICIES_MAX {
            return Err(limit_exceeded("PoliciesPerAccount", POLICIES_MAX).into());
        }
        writing.put(policy.clone());
        Ok(())
    })?;
    Ok(Arc::new(policy))
}

/// Brings a policy that is there up to date with a document: as its new default version, for which the oldest
/// one makes room, unless it says the same already.
///
/// # Errors
/// Those of a new version; `NoSuchEntity`.
pub fn restate_policy(
    world: &World,
    permit: &Permit<calls::CreatePolicy>,
    document: DocumentInput,
) -> Result<(), AwsError> {
    let document = managed_document(document, account_of(permit, world))?;
    let created_at = world.clock.now();
    change::<CustomerPolicy, _, _>(world, permit, permit.resource(), |policy| {
        let default = policy.default_version;
        if let Some(version) = policy.versions.iter_mut().find(|version| version.number == default)
            && version.document.text == document.text
        {
            // The same, but written where it can be shown.
            version.document = document;
            return Ok(());
        }
        if policy.versions.len() >= VERSIONS_MAX {
            let oldest = policy.versions.iter().position(|version| version.number != default);
            if let Some(oldest) = oldest {
                policy.versions.remove(oldest);
            }
        }
        policy.newest_version += 1;
        policy.default_version = policy.newest_version;
        policy.updated_at = created_at;
        let number = policy.newest_version;
        policy.versions.push(PolicyVersion { number, document, created_at });
        Ok(())
    })
}

fn managed_document(input: DocumentInput, account: AccountId) -> Result<crate::store::Document, AwsError> {
    if visible_chars(&input.text) > MANAGED_POLICY_CHARS_MAX {
        return Err(limit_exceeded("PolicySize", MANAGED_POLICY_CHARS_MAX));
    }
    input.read_managed(account)
}

/// A policy's length as quotas count it.
pub(super) fn visible_chars(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}

/// Whether an ARN is that of a policy of AWS, known here or not.
pub(crate) fn is_of_aws(arn: &str) -> bool {
    Arn::parse(arn).is_ok_and(|arn| arn.account == "aws" && arn.resource.starts_with("policy/"))
}

/// AWS's policies are AWS's to change; whether there is one of the name is not looked at. Observed.
fn check_own(arn: &str, refusal: &'static str) -> Result<(), AwsError> {
    if is_of_aws(arn) { Err(error("AccessDenied", refusal, 403)) } else { Ok(()) }
}

/// Whether a policy may be attached or be a boundary: those of AWS's services and of root's tasks may not. `noun` is
/// whose it would be. Observed.
///
/// # Errors
/// `PolicyNotAttachable`.
pub(super) fn check_attachable(noun: &str, arn: &str) -> Result<(), AwsError> {
    let is_reserved = ["policy/aws-service-role/", "policy/root-task/"];
    let is_reserved = Arn::parse(arn).is_ok_and(|arn| {
        arn.account == "aws" && is_reserved.iter().any(|path| arn.resource.starts_with(path))
    });
    match is_reserved {
        true => {
            let message = format!("Cannot attach AWS reserved policy to an IAM {noun}.");
            Err(error("PolicyNotAttachable", message, 400))
        }
        false => Ok(()),
    }
}

/// What `GetPolicyVersion` gives for a policy of AWS's that isn't known: a document that grants nothing, and says why.
const NOT_KNOWN: &str = r#"{"Version":"2012-10-17","Id":"NotKnownHere","Statement":[]}"#;

/// Whether there is a managed policy of this ARN, of AWS or of the account.
pub fn policy_exists(world: &World, account: AccountId, arn: &str) -> bool {
    check_policy_exists(&world.store, account, arn).is_ok()
}

/// Whether a managed policy can be used in an account: its own ones and AWS's can, and of others it does
/// not learn whether they exist. AWS has more than are known here: whatever may be one of them can be used, grants
/// nothing, and is told in what is decided by it.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) fn check_policy_exists(from: &impl Reads, account: AccountId, arn: &str) -> Result<(), AwsError> {
    let own = CustomerPolicy::key_of(account, arn).and_then(|key| from.record::<CustomerPolicy>(&key));
    let is_own = own.is_some_and(|policy| policy.arn.account == account.as_str());
    if is_own || managed::by_arn(arn).is_some() || managed::is_not_known(arn) {
        return Ok(());
    }
    let refused = no_such_entity(format!("Policy {arn} does not exist or is not attachable."));
    Err(match managed::of_name_in(arn) {
        Some(policy) => refused
            .note(format!("AWS's policy of this name is arn:aws:iam::aws:policy{}", policy.path_and_name)),
        None => refused,
    })
}

/// Checks that there is the policy that is to be a boundary.
pub(super) fn check_boundary(
    from: &impl Reads,
    account: AccountId,
    boundary: Option<&str>,
) -> Result<(), AwsError> {
    boundary.map_or(Ok(()), |arn| check_policy_exists(from, account, arn))
}

/// A managed policy, a customer's or AWS's.
#[derive(Clone, Debug)]
pub enum AnyPolicy {
    /// A customer's.
    Customer(Arc<CustomerPolicy>),
    /// AWS's, with its ARN.
    Aws(String, &'static managed::ManagedPolicy),
    /// The ARN of one of AWS's that isn't known here.
    NotKnown(String),
}

/// One version of a managed policy.
#[derive(Clone, Debug)]
pub struct Version {
    /// `v1`.
    pub id: String,
    /// JSON.
    pub text: Arc<str>,
    /// Whether it is the one that counts.
    pub is_default: bool,
    /// When it was made; none when it isn't known.
    pub created_at: Option<Timestamp>,
}

impl AnyPolicy {
    /// The ARN.
    pub fn arn(&self) -> String {
        match self {
            Self::Customer(policy) => policy.arn.to_string(),
            Self::Aws(arn, _) | Self::NotKnown(arn) => arn.clone(),
        }
    }

    /// The path, `/` or `/x/`.
    pub fn path(&self) -> String {
        match self {
            Self::Customer(policy) => policy.path.clone(),
            Self::Aws(arn, _) | Self::NotKnown(arn) => {
                let below = managed::path_and_name(arn).and_then(|below| below.rsplit_once('/'));
                format!("{}/", below.map_or("", |(path, _)| path))
            }
        }
    }

    /// The versions, the newest first. Of AWS's policies only the one that counts is known.
    pub fn versions(&self) -> Vec<Version> {
        match self {
            Self::Customer(policy) => {
                let version = |version: &PolicyVersion| Version {
                    id: format!("v{}", version.number),
                    text: Arc::clone(&version.document.text),
                    is_default: version.number == policy.default_version,
                    created_at: Some(version.created_at),
                };
                policy.versions.iter().rev().map(version).collect()
            }
            Self::Aws(_, policy) => vec![Version {
                id: policy.version.to_owned(),
                text: policy.json.into(),
                is_default: true,
                created_at: created_at(policy),
            }],
            Self::NotKnown(_) => {
                let (id, text) = ("v1".to_owned(), NOT_KNOWN.into());
                vec![Version { id, text, is_default: true, created_at: None }]
            }
        }
    }
}

/// When the version of AWS's policy was made.
pub fn created_at(policy: &managed::ManagedPolicy) -> Option<Timestamp> {
    let mut parts = policy.created.splitn(3, '-').map(|part| part.parse().ok());
    Timestamp::from_civil(parts.next()??, parts.next()??, parts.next()??, 0, 0, 0)
}

/// `ANPA…` of AWS's policy: the same everywhere, as it follows from its name.
pub fn aws_policy_id(path_and_name: &str) -> String {
    let hash = landfall_wire::hash::sha256(path_and_name.as_bytes());
    let mut random = [0; 17];
    random.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
    landfall_wire::ids::unique_id(landfall_wire::ids::POLICY_PREFIX, random)
}

/// The policy that a call names: of `GetPolicy`, `GetPolicyVersion`, `ListPolicyVersions` and
/// `ListEntitiesForPolicy`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_policy<C>(world: &World, permit: &Permit<C>) -> Result<AnyPolicy, AwsError> {
    let arn = permit.resource();
    match managed::by_arn(arn) {
        Some(policy) => Ok(AnyPolicy::Aws(arn.to_owned(), policy)),
        None if managed::is_not_known(arn) => Ok(AnyPolicy::NotKnown(arn.to_owned())),
        None => super::entity::find::<CustomerPolicy, C>(world, permit, arn).map(AnyPolicy::Customer),
    }
}

/// `GetPolicyVersion`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_version(
    world: &World,
    permit: &Permit<calls::GetPolicyVersion>,
    id: &str,
) -> Result<Version, AwsError> {
    let versions = get_policy(world, permit)?.versions();
    versions
        .into_iter()
        .find(|version| version.id == id)
        .ok_or_else(|| no_such_version(permit.resource(), id))
}

fn no_such_version(arn: &str, id: &str) -> AwsError {
    no_such_entity(format!("Policy {arn} version {id} does not exist or is not attachable."))
}

/// Whose policies are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The customer's and AWS's.
    All,
    /// AWS's.
    Aws,
    /// The customer's.
    Local,
}

/// `ListPolicies`.
pub fn list_policies(world: &World, permit: &Permit<calls::ListPolicies>, scope: Scope) -> Vec<AnyPolicy> {
    all_policies(world, account_of(permit, world), scope)
}

/// The policies that an account can use.
pub(super) fn all_policies(world: &World, account: AccountId, scope: Scope) -> Vec<AnyPolicy> {
    let own = if scope == Scope::Aws { Vec::new() } else { world.store.policies(account) };
    let aws = if scope == Scope::Local { &[] } else { managed::all() };
    let aws = aws
        .iter()
        .map(|policy| AnyPolicy::Aws(format!("arn:aws:iam::aws:policy{}", policy.path_and_name), policy));
    let not_known = if scope == Scope::Local { BTreeSet::new() } else { not_known_used(world, account) };
    let not_known = not_known.into_iter().map(AnyPolicy::NotKnown);
    own.into_iter().map(AnyPolicy::Customer).chain(aws).chain(not_known).collect()
}

/// The policies of AWS's that the account uses and that aren't known here.
fn not_known_used(world: &World, account: AccountId) -> BTreeSet<String> {
    fn of<'h, H: Holder + 'h>(holders: &'h [Arc<H>]) -> impl Iterator<Item = &'h str> {
        holders.iter().flat_map(|holder| {
            holder.attached().iter().map(|policy| policy.arn.as_str()).chain(holder.boundary())
        })
    }
    let (roles, users, groups) =
        (world.store.roles(account), world.store.users(account), world.store.groups(account));
    let all = of(&roles).chain(of(&users)).chain(of(&groups));
    all.filter(|arn| managed::is_not_known(arn)).map(str::to_owned).collect()
}

/// Who uses a policy, and as what.
#[derive(Clone, Default, Debug)]
pub struct Users {
    /// Roles that have it attached.
    pub roles: Vec<Arc<Role>>,
    /// Users that have it attached.
    pub users: Vec<Arc<User>>,
    /// Groups that have it attached.
    pub groups: Vec<Arc<Group>>,
    /// Roles whose boundary it is.
    pub bounded_roles: Vec<Arc<Role>>,
    /// Users whose boundary it is.
    pub bounded_users: Vec<Arc<User>>,
}

impl Users {
    /// `AttachmentCount`.
    pub fn attachments(&self) -> usize {
        self.roles.len() + self.users.len() + self.groups.len()
    }

    /// `PermissionsBoundaryUsageCount`.
    pub fn boundaries(&self) -> usize {
        self.bounded_roles.len() + self.bounded_users.len()
    }
}

/// Who uses a policy in an account.
pub fn users_of(from: &impl Reads, account: AccountId, arn: &str) -> Users {
    let all = within(&[account.as_str()]);
    let (roles, users) = (from.records::<Role>(&all), from.records::<User>(&all));
    Users {
        bounded_roles: roles.iter().filter(|role| role.boundary() == Some(arn)).cloned().collect(),
        bounded_users: users.iter().filter(|user| user.boundary() == Some(arn)).cloned().collect(),
        roles: roles.into_iter().filter(|role| has_attached(&**role, arn)).collect(),
        users: users.into_iter().filter(|user| has_attached(&**user, arn)).collect(),
        groups: from.records::<Group>(&all).into_iter().filter(|group| has_attached(&**group, arn)).collect(),
    }
}

fn has_attached(holder: &impl Holder, arn: &str) -> bool {
    holder.attached().iter().any(|policy| policy.arn == arn)
}

/// `CreatePolicyVersion`.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn create_version(
    world: &World,
    permit: &Permit<calls::CreatePolicyVersion>,
    document: DocumentInput,
    set_as_default: bool,
) -> Result<Version, AwsError> {
    check_own(permit.resource(), "Cannot create versions for policies outside your own account.")?;
    let document = managed_document(document, account_of(permit, world))?;
    let created_at = world.clock.now();
    change::<CustomerPolicy, _, _>(world, permit, permit.resource(), |policy| {
        if policy.versions.len() >= VERSIONS_MAX {
            let message = "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.";
            return Err(error("LimitExceeded", message, 409));
        }
        policy.newest_version += 1;
        let number = policy.newest_version;
        if set_as_default {
            policy.default_version = number;
        }
        policy.updated_at = created_at;
        let text = Arc::clone(&document.text);
        policy.versions.push(PolicyVersion { number, document, created_at });
        Ok(Version {
            id: format!("v{number}"),
            text,
            is_default: set_as_default,
            created_at: Some(created_at),
        })
    })
}

/// `SetDefaultPolicyVersion`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn set_default_version(
    world: &World,
    permit: &Permit<calls::SetDefaultPolicyVersion>,
    id: &str,
) -> Result<(), AwsError> {
    check_own(permit.resource(), "Cannot update policies outside your own account.")?;
    let updated_at = world.clock.now();
    change::<CustomerPolicy, _, _>(world, permit, permit.resource(), |policy| {
        policy.default_version = number_of(policy, id)?;
        policy.updated_at = updated_at;
        Ok(())
    })
}

fn number_of(policy: &CustomerPolicy, id: &str) -> Result<u32, AwsError> {
    let version = policy.versions.iter().find(|version| format!("v{}", version.number) == id);
    version.map(|version| version.number).ok_or_else(|| no_such_version(&policy.arn.to_string(), id))
}

/// `DeletePolicyVersion`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` for the default version.
pub fn delete_version(
    world: &World,
    permit: &Permit<calls::DeletePolicyVersion>,
    id: &str,
) -> Result<(), AwsError> {
    check_own(permit.resource(), "Cannot delete policy versions for policies outside your own account.")?;
    let updated_at = world.clock.now();
    change::<CustomerPolicy, _, _>(world, permit, permit.resource(), |policy| {
        let number = number_of(policy, id)?;
        if number == policy.default_version {
            return Err(conflict("Cannot delete the default version of a policy."));
        }
        policy.versions.retain(|version| version.number != number);
        policy.updated_at = updated_at;
        Ok(())
    })
}

/// `DeletePolicy`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it is used or has further versions.
pub fn delete_policy(world: &World, permit: &Permit<calls::DeletePolicy>) -> Result<(), AwsError> {
    let arn = permit.resource();
    check_own(arn, "Cannot delete policies outside your own account.")?;
    write(world, |writing| {
        let policy = find_in::<CustomerPolicy, _>(writing, world, permit, arn)?;
        policy.check_modifiable()?;
        let users = users_of(writing, account_of(permit, world), arn);
        if users.attachments() + users.boundaries() > 0 {
            return Err(conflict("Cannot delete a policy attached to entities.").into());
        }
        if policy.versions.len() > 1 {
            let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
            return Err(conflict(message).into());
        }
        writing.remove::<CustomerPolicy>(&policy.key())?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use landfall_policy::PolicyKind;

    use super::*;
    use crate::store::{AttachedPolicy, StoreError};
    use crate::testing;

    const ANY: &str =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}"#;

    /// Two calls beside each other: what the other one is about to change counts, though nothing of it is kept yet.
    #[test]
    fn what_is_on_its_way_counts_for_the_rules_between_policies_and_holders() {
        let here = testing::world();
        let world = &here.world;
        testing::session_with(world, "ci", ANY);
        let account = testing::account();
        let (arn, now) = (Arn::policy(account, "/", "push"), world.clock.now());
        let policy = CustomerPolicy {
            arn: arn.clone(),
            path: "/".to_owned(),
            name: "push".to_owned(),
            id: "ANPA".to_owned(),
            description: None,
            versions: vec![PolicyVersion {
                number: 1,
                document: testing::document(world, ANY, PolicyKind::Identity),
                created_at: now,
            }],
            default_version: 1,
            newest_version: 1,
            tags: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        let (key, arn) = (policy.key(), arn.to_string());
        world.store.write(|writing| writing.insert(policy)).unwrap();
        let role = world.store.role(account, "ci").unwrap();
        let changed: Result<(), StoreError> = world.store.write(|writing| {
            let attached = AttachedPolicy { arn: arn.clone(), written: crate::store::text::nowhere() };
            writing.update::<Role>(&role.key(), |role| role.attached.push(attached))?;
            assert_eq!(users_of(&world.store, account, &arn).attachments(), 0);
            assert_eq!(users_of(writing, account, &arn).attachments(), 1);
            writing.remove::<CustomerPolicy>(&key)?;
            assert!(check_policy_exists(&world.store, account, &arn).is_ok());
            assert!(check_policy_exists(writing, account, &arn).is_err());
            Ok(())
        });
        changed.unwrap();
    }
}
