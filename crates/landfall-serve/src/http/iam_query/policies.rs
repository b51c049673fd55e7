//! Managed policies.

use landfall_types::Arn;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Depth, policy as policy_element, text, version as version_element};
use super::page::{Page, list};
use super::{IamCall, Keys, Run, request_tag_keys};
use crate::authz::{Permit, calls};
use crate::iam;
use crate::iam::policies::{self, AnyPolicy, Scope, Users};
use crate::store::CustomerPolicy;

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "CreatePolicy" => create,
        "GetPolicy" => get,
        "ListPolicies" => list_all,
        "DeletePolicy" => delete,
        "CreatePolicyVersion" => create_version,
        "GetPolicyVersion" => get_version,
        "ListPolicyVersions" => list_versions,
        "SetDefaultPolicyVersion" => set_default_version,
        "DeletePolicyVersion" => delete_version,
        "ListEntitiesForPolicy" => list_entities,
        _ => return None,
    })
}

fn create(call: &IamCall<'_>) -> Answer {
    let name = call.required("PolicyName")?;
    let (path, given) = (call.path(), call.tags());
    let arn = Arn::policy(call.account, &path, &name).to_string();
    let permit = call.permit(arn.clone(), request_tag_keys(&given))?;
    if !given.is_empty() {
        let _: Permit<calls::TagPolicy> = call.permit(arn, request_tag_keys(&given))?;
    }
    let document = call.document("PolicyDocument", &format!("policy {name}"))?;
    let description = call.optional("Description");
    let input = iam::CreatePolicy { path, name, description, document, tags: given };
    let policy = AnyPolicy::Customer(iam::create_policy(call.world(), &permit, input)?);
    Ok(Some(Element::structure([("Policy", Some(policy_element(call, &policy, Depth::Made, None)))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    let arn = call.required("PolicyArn")?;
    let permit: Permit<calls::GetPolicy> = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    let policy = policies::get_policy(call.world(), &permit)?;
    Ok(Some(Element::structure([("Policy", Some(policy_element(call, &policy, Depth::Whole, None)))])))
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let scope = match call.params().get("Scope") {
        Some("AWS") => Scope::Aws,
        Some("Local") => Scope::Local,
        _ => Scope::All,
    };
    let only_attached = call.flag("OnlyAttached")?;
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    let usage = call.params().get("PolicyUsageFilter");
    let mut all = policies::list_policies(call.world(), &permit, scope);
    all.retain(|policy| {
        if !policy.path().starts_with(prefix) {
            return false;
        }
        // The usage is asked of attached ones alone (observed).
        if !only_attached {
            return true;
        }
        let users = policies::users_of(&call.world().store, call.account, &policy.arn());
        match usage {
            Some("PermissionsPolicy") => users.attachments() > 0,
            Some("PermissionsBoundary") => users.boundaries() > 0,
            _ => users.attachments() + users.boundaries() > 0,
        }
    });
    list(call, "Policies", all, AnyPolicy::arn, |policy| policy_element(call, policy, Depth::Listed, None))
}

fn delete(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on::<CustomerPolicy, _>(&call.required("PolicyArn")?, Keys::new())?;
    policies::delete_policy(call.world(), &permit).map(|()| None)
}

fn create_version(call: &IamCall<'_>) -> Answer {
    let arn = call.required("PolicyArn")?;
    let permit = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    let name = arn.rsplit('/').next().unwrap_or_default();
    let document = call.document("PolicyDocument", &format!("policy {name}"))?;
    let made = policies::create_version(call.world(), &permit, document, call.flag("SetAsDefault")?)?;
    Ok(Some(Element::structure([("PolicyVersion", Some(version_element(&made, false)))])))
}

fn get_version(call: &IamCall<'_>) -> Answer {
    let (arn, id) = (call.required("PolicyArn")?, call.required("VersionId")?);
    let permit = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    let version = policies::get_version(call.world(), &permit, &id)?;
    Ok(Some(Element::structure([("PolicyVersion", Some(version_element(&version, true)))])))
}

fn list_versions(call: &IamCall<'_>) -> Answer {
    let arn = call.required("PolicyArn")?;
    let permit: Permit<calls::ListPolicyVersions> = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    let versions = policies::get_policy(call.world(), &permit)?.versions();
    list(call, "Versions", versions, |one| one.id.clone(), |one| version_element(one, false))
}

fn set_default_version(call: &IamCall<'_>) -> Answer {
    let (arn, id) = (call.required("PolicyArn")?, call.required("VersionId")?);
    let permit = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    policies::set_default_version(call.world(), &permit, &id).map(|()| None)
}

fn delete_version(call: &IamCall<'_>) -> Answer {
    let (arn, id) = (call.required("PolicyArn")?, call.required("VersionId")?);
    let permit = call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    policies::delete_version(call.world(), &permit, &id).map(|()| None)
}

/// Someone who uses a policy: its kind, name, id and path.
type Entity = (&'static str, String, String, String);

fn list_entities(call: &IamCall<'_>) -> Answer {
    let arn = call.required("PolicyArn")?;
    let permit: Permit<calls::ListEntitiesForPolicy> =
        call.permit_on::<CustomerPolicy, _>(&arn, Keys::new())?;
    policies::get_policy(call.world(), &permit)?;
    let users = policies::users_of(&call.world().store, call.account, &arn);
    let mut entities = entities(users, call.params().get("PolicyUsageFilter"));
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    let kind = call.params().get("EntityFilter");
    entities.retain(|(noun, _, _, path)| path.starts_with(prefix) && kind.is_none_or(|kind| kind == *noun));
    let (page, [truncated, marker]) = Page::of(call)?.cut(&entities, |(_, _, id, _)| id.clone());
    let of = |noun, name: &'static str, id: &'static str| {
        let each = page.iter().filter(|(kind, ..)| *kind == noun);
        let element = |(_, named, unique, _): &Entity| {
            Element::structure([(name, text(named.as_str())), (id, text(unique.as_str()))])
        };
        Some(Element::List(each.map(element).collect()))
    };
    Ok(Some(Element::structure([
        truncated,
        ("PolicyGroups", of("Group", "GroupName", "GroupId")),
        ("PolicyUsers", of("User", "UserName", "UserId")),
        ("PolicyRoles", of("Role", "RoleName", "RoleId")),
        marker,
    ])))
}

fn entities(users: Users, usage: Option<&str>) -> Vec<Entity> {
    let (attached, bounded) = (usage != Some("PermissionsBoundary"), usage != Some("PermissionsPolicy"));
    let mut entities: Vec<Entity> = Vec::new();
    let mut add = |entity: Entity| {
        // Who has it twice is told once.
        if !entities.contains(&entity) {
            entities.push(entity);
        }
    };
    for group in users.groups.iter().filter(|_| attached) {
        add(("Group", group.name.clone(), group.id.clone(), group.path.clone()));
    }
    let of_users = users.users.iter().filter(|_| attached);
    for user in of_users.chain(users.bounded_users.iter().filter(|_| bounded)) {
        add(("User", user.name.clone(), user.id.clone(), user.path.clone()));
    }
    let of_roles = users.roles.iter().filter(|_| attached);
    for role in of_roles.chain(users.bounded_roles.iter().filter(|_| bounded)) {
        add(("Role", role.name.clone(), role.id.clone(), role.path.clone()));
    }
    entities
}
