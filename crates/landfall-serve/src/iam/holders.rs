//! Policies on roles, users and groups: inline ones, attached ones, and the boundary.

use landfall_policy::PolicyKind;
use landfall_policy::write_time::ROLE_INLINE_POLICY_CHARS_MAX;
use landfall_types::Arn;
use landfall_wire::error::AwsError;

use super::checks::check_name;
use super::entity::{Entity, change, change_seeing, find};
use super::policies::{check_attachable, check_policy_exists, visible_chars};
use super::{DocumentInput, account_of, error, limit_exceeded, no_such_entity};
use crate::authz::{Call, Permit, calls};
use crate::store::{AttachedPolicy, CustomerPolicy, Document, Group, Role, User};
use crate::world::World;

/// Managed policies on one role, user or group.
pub const ATTACHED_MAX: usize = 10;
/// The longest sum of a user's inline policies, in characters without white space.
pub const USER_INLINE_POLICY_CHARS_MAX: usize = 2_048;
/// The longest sum of a group's inline policies, in characters without white space.
pub const GROUP_INLINE_POLICY_CHARS_MAX: usize = 5_120;
/// Longest name of an inline policy, in characters.
const POLICY_NAME_CHARS_MAX: usize = 128;

/// Inline policies by name, in order of writing.
pub type Inline = Vec<(String, Document)>;

/// Something that holds policies, and the calls that work on them.
pub trait Holder: Entity {
    /// `PutRolePolicy`.
    type Put: Call;
    /// `GetRolePolicy`.
    type Get: Call;
    /// `DeleteRolePolicy`.
    type Delete: Call;
    /// `ListRolePolicies`.
    type List: Call;
    /// `AttachRolePolicy`.
    type Attach: Call;
    /// `DetachRolePolicy`.
    type Detach: Call;
    /// `ListAttachedRolePolicies`.
    type ListAttached: Call;
    /// The longest sum of its inline policies, in characters without white space.
    const INLINE_CHARS_MAX: usize;
    /// The quota of attached policies, `PoliciesPerRole`.
    const QUOTA: &'static str;

    /// Its inline policies.
    fn inline(&self) -> &[(String, Document)];
    /// Its attached policies.
    fn attached(&self) -> &[AttachedPolicy];
    /// Its inline policies, to be changed.
    fn inline_mut(&mut self) -> &mut Inline;
    /// Its attached policies, to be changed.
    fn attached_mut(&mut self) -> &mut Vec<AttachedPolicy>;
    /// The ARN of its permissions boundary.
    fn boundary(&self) -> Option<&str>;
}

macro_rules! holder {
    ($type:ident, $put:ident, $get:ident, $delete:ident, $list:ident, $attach:ident, $detach:ident,
     $list_attached:ident, $chars:expr, $quota:literal, |$this:ident| $boundary:expr) => {
        impl Holder for $type {
            type Put = calls::$put;
            type Get = calls::$get;
            type Delete = calls::$delete;
            type List = calls::$list;
            type Attach = calls::$attach;
            type Detach = calls::$detach;
            type ListAttached = calls::$list_attached;
            const INLINE_CHARS_MAX: usize = $chars;
            const QUOTA: &'static str = $quota;
            fn inline(&self) -> &[(String, Document)] {
                &self.inline
            }
            fn attached(&self) -> &[AttachedPolicy] {
                &self.attached
            }
            fn inline_mut(&mut self) -> &mut Inline {
                &mut self.inline
            }
            fn attached_mut(&mut self) -> &mut Vec<AttachedPolicy> {
                &mut self.attached
            }
            fn boundary(&self) -> Option<&str> {
                let $this = self;
                $boundary
            }
        }
    };
}

holder!(
    Role,
    PutRolePolicy,
    GetRolePolicy,
    DeleteRolePolicy,
    ListRolePolicies,
    AttachRolePolicy,
    DetachRolePolicy,
    ListAttachedRolePolicies,
    ROLE_INLINE_POLICY_CHARS_MAX,
    "PoliciesPerRole",
    |role| role.boundary.as_deref()
);
holder!(
    User,
    PutUserPolicy,
    GetUserPolicy,
    DeleteUserPolicy,
    ListUserPolicies,
    AttachUserPolicy,
    DetachUserPolicy,
    ListAttachedUserPolicies,
    USER_INLINE_POLICY_CHARS_MAX,
    "PoliciesPerUser",
    |user| user.boundary.as_deref()
);
holder!(
    Group,
    PutGroupPolicy,
    GetGroupPolicy,
    DeleteGroupPolicy,
    ListGroupPolicies,
    AttachGroupPolicy,
    DetachGroupPolicy,
    ListAttachedGroupPolicies,
    GROUP_INLINE_POLICY_CHARS_MAX,
    "PoliciesPerGroup",
    |_group| None
);

/// Names of inline policies ignore case; a policy keeps the one that it was first written in (observed).
/// <https://github.com/radkawar/stackd/blob/9dc356f5e5cc49d2d334178a09c1398dd1c62617/testdata/aws/iam/policy_management.json>
fn is_same_name(known: &str, name: &str) -> bool {
    known.eq_ignore_ascii_case(name)
}

/// `PutRolePolicy`, `PutUserPolicy`, `PutGroupPolicy`.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`, `NoSuchEntity`.
pub fn put_policy<H: Holder>(
    world: &World,
    permit: &Permit<H::Put>,
    holder: &str,
    name: &str,
    document: DocumentInput,
) -> Result<(), AwsError> {
    check_name("policyName", name, POLICY_NAME_CHARS_MAX)?;
    let account = account_of(permit, world);
    change::<H, _, _>(world, permit, holder, |known| {
        let others = known.inline().iter().filter(|(other, _)| !is_same_name(other, name));
        let others = others.map(|(_, other)| &*other.text);
        let chars: usize = others.chain([document.text.as_str()]).map(visible_chars).sum();
        if chars > H::INLINE_CHARS_MAX {
            let (most, noun) = (H::INLINE_CHARS_MAX, H::NOUN);
            let message = format!("Maximum policy size of {most} bytes exceeded for {noun} {holder}");
            return Err(error("LimitExceeded", message, 409));
        }
        let document = document.read(PolicyKind::Identity, account)?;
        match known.inline_mut().iter_mut().find(|(known, _)| is_same_name(known, name)) {
            Some((_, old)) => *old = document,
            None => known.inline_mut().push((name.to_owned(), document)),
        }
        Ok(())
    })
}

/// `DeleteRolePolicy`, `DeleteUserPolicy`, `DeleteGroupPolicy`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_policy<H: Holder>(
    world: &World,
    permit: &Permit<H::Delete>,
    holder: &str,
    name: &str,
) -> Result<(), AwsError> {
    change::<H, _, _>(world, permit, holder, |known| {
        inline_policy(known, name)?;
        known.inline_mut().retain(|(known, _)| !is_same_name(known, name));
        Ok(())
    })
}

/// An inline policy.
///
/// # Errors
/// `NoSuchEntity`.
pub fn inline_policy<'a, H: Holder>(holder: &'a H, name: &str) -> Result<&'a Document, AwsError> {
    let found = holder.inline().iter().find(|(known, _)| is_same_name(known, name));
    found
        .map(|(_, document)| document)
        .ok_or_else(|| no_such_entity(format!("The {} policy with name {name} cannot be found.", H::NOUN)))
}

/// `AttachRolePolicy`, `AttachUserPolicy`, `AttachGroupPolicy`; attaching twice is no error.
///
/// # Errors
/// `InvalidInput` for what is no policy's ARN, `NoSuchEntity` for holder or policy, `LimitExceeded`.
pub fn attach<H: Holder>(
    world: &World,
    permit: &Permit<H::Attach>,
    holder: &str,
    policy: AttachedPolicy,
) -> Result<(), AwsError> {
    find::<H, _>(world, permit, holder)?;
    check_policy_arn(&policy.arn)?;
    let account = account_of(permit, world);
    change_seeing::<H, _, _>(world, permit, holder, |writing, known| {
        check_attachable(H::NOUN, &policy.arn)?;
        check_policy_exists(writing, account, &policy.arn)?;
        if let Some(other) = known.attached_mut().iter_mut().find(|other| other.arn == policy.arn) {
            *other = policy;
            return Ok(());
        }
        if known.attached().len() >= ATTACHED_MAX {
            return Err(limit_exceeded(H::QUOTA, ATTACHED_MAX));
        }
        known.attached_mut().push(policy);
        Ok(())
    })
}

fn check_policy_arn(text: &str) -> Result<(), AwsError> {
    let is_policy = Arn::parse(text).is_ok_and(|arn| {
        arn.service == "iam" && arn.region.is_empty() && arn.resource.starts_with("policy/")
    });
    if is_policy { Ok(()) } else { Err(error("InvalidInput", format!("ARN {text} is not valid."), 400)) }
}

/// `DetachRolePolicy`, `DetachUserPolicy`, `DetachGroupPolicy`.
///
/// # Errors
/// `NoSuchEntity` for the holder, or for a policy that isn't attached.
pub fn detach<H: Holder>(
    world: &World,
    permit: &Permit<H::Detach>,
    holder: &str,
    arn: &str,
) -> Result<(), AwsError> {
    change::<H, _, _>(world, permit, holder, |known| {
        if !known.attached().iter().any(|policy| policy.arn == arn) {
            return Err(<CustomerPolicy as Entity>::missing(arn));
        }
        known.attached_mut().retain(|policy| policy.arn != arn);
        Ok(())
    })
}

/// A role or a user: what can have a boundary.
pub trait Bounded: Holder {
    /// `PutRolePermissionsBoundary`.
    type PutBoundary: Call;
    /// `DeleteRolePermissionsBoundary`.
    type DeleteBoundary: Call;

    /// The ARN of its boundary, to be changed.
    fn boundary_mut(&mut self) -> &mut Option<String>;
}

impl Bounded for Role {
    type PutBoundary = calls::PutRolePermissionsBoundary;
    type DeleteBoundary = calls::DeleteRolePermissionsBoundary;
    fn boundary_mut(&mut self) -> &mut Option<String> {
        &mut self.boundary
    }
}

impl Bounded for User {
    type PutBoundary = calls::PutUserPermissionsBoundary;
    type DeleteBoundary = calls::DeleteUserPermissionsBoundary;
    fn boundary_mut(&mut self) -> &mut Option<String> {
        &mut self.boundary
    }
}

/// `PutRolePermissionsBoundary`, `PutUserPermissionsBoundary`.
///
/// # Errors
/// `NoSuchEntity` for holder or policy.
pub fn put_boundary<B: Bounded>(
    world: &World,
    permit: &Permit<B::PutBoundary>,
    holder: &str,
    arn: &str,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    change_seeing::<B, _, _>(world, permit, holder, |writing, known| {
        check_attachable(B::NOUN, arn)?;
        check_policy_exists(writing, account, arn)?;
        *known.boundary_mut() = Some(arn.to_owned());
        Ok(())
    })
}

/// `DeleteRolePermissionsBoundary`, `DeleteUserPermissionsBoundary`.
///
/// # Errors
/// `NoSuchEntity`, also where there is no boundary (observed, in words that nobody wrote down):
/// <https://github.com/radkawar/stackd/blob/9dc356f5e5cc49d2d334178a09c1398dd1c62617/testdata/aws/iam/policy_management.json>
pub fn delete_boundary<B: Bounded>(
    world: &World,
    permit: &Permit<B::DeleteBoundary>,
    holder: &str,
) -> Result<(), AwsError> {
    change::<B, _, _>(world, permit, holder, |known| match known.boundary_mut().take() {
        Some(_) => Ok(()),
        None => {
            let message = format!("The permissions boundary of {} {holder} cannot be found.", B::NOUN);
            Err(no_such_entity(message))
        }
    })
}
