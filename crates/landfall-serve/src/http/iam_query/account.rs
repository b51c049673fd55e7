//! What an account has as a whole.

use landfall_wire::error::AwsError;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{
    Depth, Member, attached, boundary, encoded, inline, last_used, number, policy as policy_element,
    profile as profile_element, tags, text, texts, time, version,
};
use super::page::{Page, list};
use super::{IamCall, Keys, Run};
use crate::authz::{Permit, calls};
use crate::iam::account::{self, Detail, Kind};
use crate::iam::holders::Holder;
use crate::iam::profiles;
use crate::store::{Group, Role, User};

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "GetAccountSummary" => summary,
        "CreateAccountAlias" => create_alias,
        "DeleteAccountAlias" => delete_alias,
        "ListAccountAliases" => list_aliases,
        "GetAccountPasswordPolicy" => password_policy,
        "GetAccountAuthorizationDetails" => details,
        _ => return None,
    })
}

fn summary(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let entries = account::summary(call.world(), &permit).into_iter();
    let entries = entries.filter_map(|(name, value)| Some((name.to_owned(), number(value)?)));
    Ok(Some(Element::structure([("SummaryMap", Some(Element::Map(entries.collect())))])))
}

fn create_alias(call: &IamCall<'_>) -> Answer {
    let alias = call.required("AccountAlias")?;
    let permit = call.permit("*", Keys::new())?;
    account::create_alias(call.world(), &permit, alias).map(|()| None)
}

fn delete_alias(call: &IamCall<'_>) -> Answer {
    let alias = call.required("AccountAlias")?;
    let permit = call.permit("*", Keys::new())?;
    account::delete_alias(call.world(), &permit, &alias).map(|()| None)
}

fn list_aliases(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let all = account::list_aliases(call.world(), &permit).into_iter().collect();
    list(call, "AccountAliases", all, String::clone, |alias| Element::text(alias.as_str()))
}

fn password_policy(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    account::password_policy(call.world(), &permit).map(|()| None)
}

fn details(call: &IamCall<'_>) -> Answer {
    let permit: Permit<calls::GetAccountAuthorizationDetails> = call.permit("*", Keys::new())?;
    let kinds = call.list("Filter").iter().map(|name| kind(name)).collect::<Result<Vec<_>, _>>()?;
    let all = account::details(call.world(), &permit, &kinds);
    let (page, [truncated, marker]) = Page::of(call)?.cut(&all, key);
    let of = |pick: fn(&IamCall<'_>, &Detail) -> Option<Element>| {
        Some(Element::List(page.iter().filter_map(|detail| pick(call, detail)).collect()))
    };
    Ok(Some(Element::structure([
        truncated,
        ("UserDetailList", of(user)),
        ("GroupDetailList", of(group)),
        ("RoleDetailList", of(role)),
        ("Policies", of(policy)),
        marker,
    ])))
}

fn kind(name: &str) -> Result<Kind, AwsError> {
    Ok(match name {
        "User" => Kind::User,
        "Group" => Kind::Group,
        "Role" => Kind::Role,
        "LocalManagedPolicy" => Kind::LocalPolicy,
        "AWSManagedPolicy" => Kind::AwsPolicy,
        _ => {
            return Err(AwsError::validation(format!(
                "1 validation error detected: Value '[{name}]' at 'filter' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]]"
            )));
        }
    })
}

fn key(detail: &Detail) -> String {
    match detail {
        Detail::User(user) => user.id.clone(),
        Detail::Group(group) => group.id.clone(),
        Detail::Role(role) => role.id.clone(),
        Detail::Policy(policy) => policy.arn(),
    }
}

fn attached_members<H: Holder>(holder: &H) -> Member {
    let policies = holder.attached().iter().map(attached).collect();
    ("AttachedManagedPolicies", Some(Element::List(policies)))
}

fn user(call: &IamCall<'_>, detail: &Detail) -> Option<Element> {
    let Detail::User(user) = detail else { return None };
    let user: &User = user;
    let groups: Vec<String> = call.world().store.groups_of(user).iter().map(|one| one.name.clone()).collect();
    Some(Element::structure([
        ("Path", text(user.path.as_str())),
        ("UserName", text(user.name.as_str())),
        ("UserId", text(user.id.as_str())),
        ("Arn", text(user.arn.to_string())),
        ("CreateDate", time(user.created_at)),
        ("UserPolicyList", inline(&user.inline)),
        ("GroupList", texts(&groups)),
        attached_members(user),
        ("PermissionsBoundary", boundary(user.boundary.as_deref())),
        ("Tags", tags(&user.tags)),
    ]))
}

fn group(_: &IamCall<'_>, detail: &Detail) -> Option<Element> {
    let Detail::Group(group) = detail else { return None };
    let group: &Group = group;
    Some(Element::structure([
        ("Path", text(group.path.as_str())),
        ("GroupName", text(group.name.as_str())),
        ("GroupId", text(group.id.as_str())),
        ("Arn", text(group.arn.to_string())),
        ("CreateDate", time(group.created_at)),
        ("GroupPolicyList", inline(&group.inline)),
        attached_members(group),
    ]))
}

fn role(call: &IamCall<'_>, detail: &Detail) -> Option<Element> {
    let Detail::Role(role) = detail else { return None };
    let role: &Role = role;
    let profiles = profiles::profiles_of(call.world(), role);
    let profiles = profiles.iter().map(|one| profile_element(call, one, Depth::Listed)).collect();
    Some(Element::structure([
        ("Path", text(role.path.as_str())),
        ("RoleName", text(role.name.as_str())),
        ("RoleId", text(role.id.as_str())),
        ("Arn", text(role.arn.to_string())),
        ("CreateDate", time(role.created_at)),
        ("AssumeRolePolicyDocument", encoded(&role.trust.shown(&call.world().store))),
        ("InstanceProfileList", Some(Element::List(profiles))),
        ("RolePolicyList", inline(&role.inline)),
        attached_members(role),
        ("PermissionsBoundary", boundary(role.boundary.as_deref())),
        ("Tags", tags(&role.tags)),
        ("RoleLastUsed", Some(last_used(call, role))),
    ]))
}

fn policy(call: &IamCall<'_>, detail: &Detail) -> Option<Element> {
    let Detail::Policy(policy) = detail else { return None };
    let versions = policy.versions().iter().map(|one| version(one, true)).collect();
    let versions = ("PolicyVersionList", Some(Element::List(versions)));
    Some(policy_element(call, policy, Depth::Listed, Some(versions)))
}
