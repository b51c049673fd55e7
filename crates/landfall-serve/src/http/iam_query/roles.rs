//! Roles, and the roles of services.

use landfall_types::Arn;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Depth, role as role_element, text};
use super::page::list;
use super::{IamCall, Keys, Run, boundary_key, holders, request_tag_keys};
use crate::authz::{Permit, calls};
use crate::iam::entity::find;
use crate::iam::{self, roles, service_roles};
use crate::store::Role;

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "CreateRole" => create,
        "GetRole" => get,
        "ListRoles" => list_all,
        "UpdateRole" => update,
        "UpdateRoleDescription" => update_description,
        "UpdateAssumeRolePolicy" => update_trust,
        "DeleteRole" => delete,
        "PutRolePolicy" => holders::put_policy::<Role>,
        "GetRolePolicy" => holders::get_policy::<Role>,
        "ListRolePolicies" => holders::list_policies::<Role>,
        "DeleteRolePolicy" => holders::delete_policy::<Role>,
        "AttachRolePolicy" => holders::attach::<Role>,
        "DetachRolePolicy" => holders::detach::<Role>,
        "ListAttachedRolePolicies" => holders::list_attached::<Role>,
        "PutRolePermissionsBoundary" => holders::put_boundary::<Role>,
        "DeleteRolePermissionsBoundary" => holders::delete_boundary::<Role>,
        "CreateServiceLinkedRole" => create_linked,
        "DeleteServiceLinkedRole" => delete_linked,
        "GetServiceLinkedRoleDeletionStatus" => deletion_status,
        _ => return None,
    })
}

fn create(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let (path, given) = (call.path(), call.tags());
    let boundary = call.optional("PermissionsBoundary");
    let mut keys = request_tag_keys(&given);
    keys.extend(boundary_key(boundary.as_deref()));
    let arn = Arn::role(call.account, &path, &name).to_string();
    let permit = call.permit(arn.clone(), keys)?;
    if !given.is_empty() {
        let _: Permit<calls::TagRole> = call.permit(arn, request_tag_keys(&given))?;
    }
    let trust = call.document("AssumeRolePolicyDocument", &format!("trust policy of {name}"))?;
    let unknown = trust.unknown_services();
    let input = iam::CreateRole {
        description: call.optional("Description"),
        max_session_seconds: call.query.number("MaxSessionDuration")?,
        boundary,
        tags: given,
        written: trust.span(),
        max_session_written: None,
        trust,
        path,
        name,
    };
    let role = iam::create_role(call.world(), &permit, input)?;
    unknown.into_iter().for_each(|finding| call.log_warning("CreateRole", &permit, finding));
    Ok(Some(Element::structure([("Role", Some(role_element(call, &role, Depth::Made)))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit: Permit<calls::GetRole> = call.permit_on::<Role, _>(&name, Keys::new())?;
    let role = find::<Role, _>(call.world(), &permit, &name)?;
    Ok(Some(Element::structure([("Role", Some(role_element(call, &role, Depth::Whole)))])))
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on_all()?;
    let mut roles = roles::list_roles(call.world(), &permit);
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    roles.retain(|role| role.path.starts_with(prefix));
    list(call, "Roles", roles, |role| role.id.clone(), |role| role_element(call, role, Depth::Listed))
}

fn update(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = call.permit_on::<Role, _>(&name, Keys::new())?;
    let seconds = call.query.number("MaxSessionDuration")?;
    roles::update_role(call.world(), &permit, &name, call.optional("Description"), seconds)?;
    // A structure without members: the operation has a result.
    Ok(Some(Element::structure([])))
}

fn update_description(call: &IamCall<'_>) -> Answer {
    let (name, description) = (call.required("RoleName")?, call.required("Description")?);
    let permit = call.permit_on::<Role, _>(&name, Keys::new())?;
    let role = roles::update_description(call.world(), &permit, &name, description)?;
    Ok(Some(Element::structure([("Role", Some(role_element(call, &role, Depth::Whole)))])))
}

fn update_trust(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = call.permit_on::<Role, _>(&name, Keys::new())?;
    let trust = call.document("PolicyDocument", &format!("trust policy of {name}"))?;
    let unknown = trust.unknown_services();
    roles::update_trust(call.world(), &permit, &name, trust)?;
    unknown.into_iter().for_each(|finding| call.log_warning("UpdateAssumeRolePolicy", &permit, finding));
    Ok(None)
}

fn delete(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = call.permit_on::<Role, _>(&name, Keys::new())?;
    roles::delete_role(call.world(), &permit, &name).map(|()| None)
}

fn create_linked(call: &IamCall<'_>) -> Answer {
    let service = call.required("AWSServiceName")?;
    let suffix = call.optional("CustomSuffix");
    let arn = service_roles::arn(call.account, &service, suffix.as_deref());
    let permit = call.permit(arn, vec![("iam:AWSServiceName".to_owned(), vec![service.clone()])])?;
    let description = call.optional("Description");
    let role = service_roles::create(call.world(), &permit, &service, suffix.as_deref(), description)?;
    Ok(Some(Element::structure([("Role", Some(role_element(call, &role, Depth::Made)))])))
}

fn delete_linked(call: &IamCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = call.permit_on::<Role, _>(&name, Keys::new())?;
    let task = service_roles::delete(call.world(), &permit, &name)?;
    Ok(Some(Element::structure([("DeletionTaskId", text(task))])))
}

fn deletion_status(call: &IamCall<'_>) -> Answer {
    let task = call.required("DeletionTaskId")?;
    // The role stands in the task: `task/aws-service-role/SERVICE/ROLE/UUID`.
    let role =
        task.strip_prefix("task").and_then(|rest| rest.rsplit_once('/')).map_or("/*", |(role, _)| role);
    let permit = call.permit(format!("arn:aws:iam::{}:role{role}", call.account), Keys::new())?;
    service_roles::deletion(call.world(), &permit, &task)?;
    Ok(Some(Element::structure([("Status", text("SUCCEEDED"))])))
}
