//! Groups and their members.

use landfall_types::Arn;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Depth, group as group_element, user as user_element};
use super::page::{Page, list};
use super::{IamCall, Keys, Run, holders};
use crate::authz::{Permit, calls};
use crate::iam::entity::find;
use crate::iam::groups;
use crate::store::{Group, User};

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "CreateGroup" => create,
        "GetGroup" => get,
        "ListGroups" => list_all,
        "ListGroupsForUser" => list_for_user,
        "UpdateGroup" => update,
        "DeleteGroup" => delete,
        "AddUserToGroup" => add_user,
        "RemoveUserFromGroup" => remove_user,
        "PutGroupPolicy" => holders::put_policy::<Group>,
        "GetGroupPolicy" => holders::get_policy::<Group>,
        "ListGroupPolicies" => holders::list_policies::<Group>,
        "DeleteGroupPolicy" => holders::delete_policy::<Group>,
        "AttachGroupPolicy" => holders::attach::<Group>,
        "DetachGroupPolicy" => holders::detach::<Group>,
        "ListAttachedGroupPolicies" => holders::list_attached::<Group>,
        _ => return None,
    })
}

fn create(call: &IamCall<'_>) -> Answer {
    let (name, path) = (call.required("GroupName")?, call.path());
    let permit = call.permit(Arn::group(call.account, &path, &name).to_string(), Keys::new())?;
    let group = groups::create_group(call.world(), &permit, path, name)?;
    Ok(Some(Element::structure([("Group", Some(group_element(&group)))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    let name = call.required("GroupName")?;
    let permit: Permit<calls::GetGroup> = call.permit_on::<Group, _>(&name, Keys::new())?;
    let group = find::<Group, _>(call.world(), &permit, &name)?;
    let members = groups::members(call.world(), &group);
    let (page, [truncated, marker]) = Page::of(call)?.cut(&members, |user| user.id.clone());
    let users = page.iter().map(|user| user_element(user, Depth::Listed)).collect();
    Ok(Some(Element::structure([
        ("Group", Some(group_element(&group))),
        ("Users", Some(Element::List(users))),
        truncated,
        marker,
    ])))
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on_all()?;
    let mut all = groups::list_groups(call.world(), &permit);
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    all.retain(|group| group.path.starts_with(prefix));
    list(call, "Groups", all, |group| group.id.clone(), |group| group_element(group))
}

fn list_for_user(call: &IamCall<'_>) -> Answer {
    let name = call.required("UserName")?;
    let permit: Permit<calls::ListGroupsForUser> = call.permit_on::<User, _>(&name, Keys::new())?;
    let user = find::<User, _>(call.world(), &permit, &name)?;
    let groups = call.world().store.groups_of(&user);
    list(call, "Groups", groups, |group| group.id.clone(), |group| group_element(group))
}

fn update(call: &IamCall<'_>) -> Answer {
    let name = call.required("GroupName")?;
    let permit = call.permit_on::<Group, _>(&name, Keys::new())?;
    let (new_name, new_path) = (call.optional("NewGroupName"), call.optional("NewPath"));
    groups::update_group(call.world(), &permit, &name, new_name, new_path).map(|()| None)
}

fn delete(call: &IamCall<'_>) -> Answer {
    let name = call.required("GroupName")?;
    let permit = call.permit_on::<Group, _>(&name, Keys::new())?;
    groups::delete_group(call.world(), &permit, &name).map(|()| None)
}

fn add_user(call: &IamCall<'_>) -> Answer {
    let (group, user) = (call.required("GroupName")?, call.required("UserName")?);
    let permit = call.permit_on::<Group, _>(&group, Keys::new())?;
    groups::add_user(call.world(), &permit, &group, &user).map(|()| None)
}

fn remove_user(call: &IamCall<'_>) -> Answer {
    let (group, user) = (call.required("GroupName")?, call.required("UserName")?);
    let permit = call.permit_on::<Group, _>(&group, Keys::new())?;
    groups::remove_user(call.world(), &permit, &group, &user).map(|()| None)
}
