//! What IAM's things look like in answers. Lists tell less than the thing's own `Get…`: no tags, no
//! boundary. <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListRoles.html>

use landfall_policy::managed;
use landfall_types::Timestamp;
use landfall_wire::xml::Element;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::IamCall;
use crate::iam::policies::{AnyPolicy, Version, aws_policy_id, created_at, users_of};
use crate::iam::profiles;
use crate::store::{AttachedPolicy, CustomerPolicy, Document, Group, InstanceProfile, Role, User};

/// Policy documents come back percent-encoded. <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const DOCUMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A member of a structure.
pub(super) type Member = (&'static str, Option<Element>);

/// How much of a thing is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What its own call tells.
    Whole,
    /// What the call that made it tells.
    Made,
    /// What lists tell.
    Listed,
}

pub(super) fn text(text: impl Into<String>) -> Option<Element> {
    Some(Element::from(text.into()))
}

pub(super) fn time(time: Timestamp) -> Option<Element> {
    Some(Element::Time(time))
}

pub(super) fn number(number: usize) -> Option<Element> {
    Some(Element::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
}

pub(super) fn encoded(json: &str) -> Option<Element> {
    text(utf8_percent_encode(json, DOCUMENT).to_string())
}

pub(super) fn texts<'t>(texts: impl IntoIterator<Item = &'t String>) -> Option<Element> {
    Some(Element::List(texts.into_iter().map(|text| Element::text(text.as_str())).collect()))
}

pub(super) fn tag((key, value): &(String, String)) -> Element {
    Element::structure([("Key", text(key.as_str())), ("Value", text(value.as_str()))])
}

/// The tags; left out when there are none.
pub(super) fn tags(tags: &[(String, String)]) -> Option<Element> {
    (!tags.is_empty()).then(|| Element::List(tags.iter().map(tag).collect()))
}

pub(super) fn boundary(arn: Option<&str>) -> Option<Element> {
    let kind = ("PermissionsBoundaryType", text("Policy"));
    arn.map(|arn| Element::structure([kind, ("PermissionsBoundaryArn", text(arn))]))
}

pub(super) fn attached(policy: &AttachedPolicy) -> Element {
    let name = policy.arn.rsplit('/').next().unwrap_or("");
    Element::structure([("PolicyName", text(name)), ("PolicyArn", text(policy.arn.as_str()))])
}

pub(super) fn inline(policies: &[(String, Document)]) -> Option<Element> {
    let policy = |(name, document): &(String, Document)| {
        Element::structure([("PolicyName", text(name.as_str())), ("PolicyDocument", encoded(&document.text))])
    };
    Some(Element::List(policies.iter().map(policy).collect()))
}

/// `CreateRole`'s answer has no `MaxSessionDuration`; the others have it.
pub(super) fn role(call: &IamCall<'_>, role: &Role, depth: Depth) -> Element {
    let is_listed = depth == Depth::Listed;
    let seconds = (depth != Depth::Made).then(|| Element::Integer(i64::from(role.max_session_seconds)));
    Element::structure([
        ("Path", text(role.path.as_str())),
        ("RoleName", text(role.name.as_str())),
        ("RoleId", text(role.id.as_str())),
        ("Arn", text(role.arn.to_string())),
        ("CreateDate", time(role.created_at)),
        ("AssumeRolePolicyDocument", encoded(&role.trust.shown(&call.world().store))),
        ("Description", role.description.as_deref().map(Element::text)),
        ("MaxSessionDuration", seconds),
        ("PermissionsBoundary", boundary(role.boundary.as_deref()).filter(|_| !is_listed)),
        ("Tags", tags(&role.tags).filter(|_| !is_listed)),
        ("RoleLastUsed", (depth == Depth::Whole).then(|| last_used(call, role))),
    ])
}

/// When a role was last used; empty for one that never was.
pub(super) fn last_used(call: &IamCall<'_>, role: &Role) -> Element {
    let last = call.world().store.last_use(&role.id);
    Element::structure([
        ("LastUsedDate", last.as_ref().and_then(|last| time(last.at))),
        ("Region", last.as_ref().and_then(|last| text(last.region.as_str()))),
    ])
}

pub(super) fn user(user: &User, depth: Depth) -> Element {
    let is_listed = depth == Depth::Listed;
    Element::structure([
        ("Path", text(user.path.as_str())),
        ("UserName", text(user.name.as_str())),
        ("UserId", text(user.id.as_str())),
        ("Arn", text(user.arn.to_string())),
        ("CreateDate", time(user.created_at)),
        ("PermissionsBoundary", boundary(user.boundary.as_deref()).filter(|_| !is_listed)),
        ("Tags", tags(&user.tags).filter(|_| !is_listed)),
    ])
}

pub(super) fn group(group: &Group) -> Element {
    Element::structure([
        ("Path", text(group.path.as_str())),
        ("GroupName", text(group.name.as_str())),
        ("GroupId", text(group.id.as_str())),
        ("Arn", text(group.arn.to_string())),
        ("CreateDate", time(group.created_at)),
    ])
}

pub(super) fn profile(call: &IamCall<'_>, profile: &InstanceProfile, depth: Depth) -> Element {
    let inside = profiles::role_of(call.world(), profile);
    let roles = inside.iter().map(|inside| role(call, inside, Depth::Listed)).collect();
    Element::structure([
        ("Path", text(profile.path.as_str())),
        ("InstanceProfileName", text(profile.name.as_str())),
        ("InstanceProfileId", text(profile.id.as_str())),
        ("Arn", text(profile.arn.to_string())),
        ("CreateDate", time(profile.created_at)),
        ("Roles", Some(Element::List(roles))),
        ("Tags", tags(&profile.tags).filter(|_| depth != Depth::Listed)),
    ])
}

/// A managed policy with what it is used for, and more.
pub(super) fn policy(call: &IamCall<'_>, policy: &AnyPolicy, depth: Depth, more: Option<Member>) -> Element {
    let users = users_of(&call.world().store, call.account, &policy.arn());
    let known = match policy {
        AnyPolicy::Customer(policy) => customer(policy, depth),
        AnyPolicy::Aws(_, aws) => [
            ("PolicyName", text(aws.name())),
            ("PolicyId", text(aws_policy_id(aws.path_and_name))),
            ("DefaultVersionId", text(aws.version)),
            ("Description", None),
            ("CreateDate", created_at(aws).and_then(time)),
            ("UpdateDate", created_at(aws).and_then(time)),
            ("Tags", None),
        ],
        // Of one that isn't known only what its ARN says.
        AnyPolicy::NotKnown(arn) => [
            ("PolicyName", arn.rsplit('/').next().and_then(text)),
            ("PolicyId", managed::path_and_name(arn).and_then(|below| text(aws_policy_id(below)))),
            ("DefaultVersionId", text("v1")),
            ("Description", None),
            ("CreateDate", None),
            ("UpdateDate", None),
            ("Tags", None),
        ],
    };
    let used = [
        ("Arn", text(policy.arn())),
        ("Path", text(policy.path())),
        ("AttachmentCount", number(users.attachments())),
        ("PermissionsBoundaryUsageCount", number(users.boundaries())),
        ("IsAttachable", Some(Element::Boolean(true))),
    ];
    Element::structure(known.into_iter().chain(used).chain(more))
}

fn customer(policy: &CustomerPolicy, depth: Depth) -> [Member; 7] {
    let is_listed = depth == Depth::Listed;
    [
        ("PolicyName", text(policy.name.as_str())),
        ("PolicyId", text(policy.id.as_str())),
        ("DefaultVersionId", text(format!("v{}", policy.default_version))),
        ("Description", policy.description.as_deref().map(Element::text).filter(|_| !is_listed)),
        ("CreateDate", time(policy.created_at)),
        ("UpdateDate", time(policy.updated_at)),
        ("Tags", tags(&policy.tags).filter(|_| !is_listed)),
    ]
}

/// A version of a policy; lists leave its document out.
pub(super) fn version(version: &Version, with_document: bool) -> Element {
    Element::structure([
        ("Document", with_document.then(|| encoded(&version.text)).flatten()),
        ("VersionId", text(version.id.as_str())),
        ("IsDefaultVersion", Some(Element::Boolean(version.is_default))),
        ("CreateDate", version.created_at.and_then(time)),
    ])
}
