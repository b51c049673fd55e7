//! Users, their access keys, and the credentials that nobody has here: passwords, MFA devices, SSH keys,
//! certificates and service passwords, of which Terraform asks before it removes a user.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Depth, text, time, user as user_element};
use super::page::list;
use super::{IamCall, Keys, Run, boundary_key, holders, request_tag_keys};
use crate::authz::{Call, Permit, calls};
use crate::caller::Caller;
use crate::iam::entity::find;
use crate::iam::keys;
use crate::iam::users::{self, CreateUser};
use crate::store::{AccessKey, User};

pub(super) fn operation(name: &str) -> Option<Run> {
    if let Some(run) = credentials(name) {
        return Some(run);
    }
    Some(match name {
        "CreateUser" => create,
        "GetUser" => get,
        "ListUsers" => list_all,
        "UpdateUser" => update,
        "DeleteUser" => delete,
        "PutUserPolicy" => holders::put_policy::<User>,
        "GetUserPolicy" => holders::get_policy::<User>,
        "ListUserPolicies" => holders::list_policies::<User>,
        "DeleteUserPolicy" => holders::delete_policy::<User>,
        "AttachUserPolicy" => holders::attach::<User>,
        "DetachUserPolicy" => holders::detach::<User>,
        "ListAttachedUserPolicies" => holders::list_attached::<User>,
        "PutUserPermissionsBoundary" => holders::put_boundary::<User>,
        "DeleteUserPermissionsBoundary" => holders::delete_boundary::<User>,
        _ => return None,
    })
}

fn credentials(name: &str) -> Option<Run> {
    Some(match name {
        "CreateAccessKey" => create_key,
        "ListAccessKeys" => list_keys,
        "UpdateAccessKey" => update_key,
        "DeleteAccessKey" => delete_key,
        "GetAccessKeyLastUsed" => key_last_used,
        "GetLoginProfile" => no_login_profile::<calls::GetLoginProfile>,
        "UpdateLoginProfile" => no_login_profile::<calls::UpdateLoginProfile>,
        "DeleteLoginProfile" => no_login_profile::<calls::DeleteLoginProfile>,
        "ListMFADevices" => |call| none_of::<calls::ListMFADevices>(call, "MFADevices"),
        "ListSSHPublicKeys" => |call| none_of::<calls::ListSSHPublicKeys>(call, "SSHPublicKeys"),
        "ListSigningCertificates" => |call| none_of::<calls::ListSigningCertificates>(call, "Certificates"),
        "ListServiceSpecificCredentials" => {
            |call| none_of::<calls::ListServiceSpecificCredentials>(call, "ServiceSpecificCredentials")
        }
        "ListVirtualMFADevices" => no_virtual_devices,
        "DeactivateMFADevice" => |call| {
            missing::<calls::DeactivateMFADevice>(call, "SerialNumber", "VirtualMFADevice with serial number")
        },
        "DeleteSSHPublicKey" => {
            |call| missing::<calls::DeleteSSHPublicKey>(call, "SSHPublicKeyId", "The Public Key with id")
        }
        "DeleteSigningCertificate" => |call| {
            missing::<calls::DeleteSigningCertificate>(call, "CertificateId", "The Certificate with id")
        },
        "DeleteServiceSpecificCredential" => |call| {
            let what = "The Service Specific Credential with id";
            missing::<calls::DeleteServiceSpecificCredential>(call, "ServiceSpecificCredentialId", what)
        },
        _ => return None,
    })
}

/// The user that a call is about: the one that it names, or the one that makes it.
fn name_or_own(call: &IamCall<'_>) -> Result<String, AwsError> {
    match (call.params().get("UserName"), &call.identified.caller) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, Caller::User(user)) => Ok(user.name.clone()),
        (None, _) => {
            Err(AwsError::validation("Must specify userName when calling with non-User credentials"))
        }
    }
}

fn create(call: &IamCall<'_>) -> Answer {
    let name = call.required("UserName")?;
    let (path, given) = (call.path(), call.tags());
    let boundary = call.optional("PermissionsBoundary");
    let mut keys = request_tag_keys(&given);
    keys.extend(boundary_key(boundary.as_deref()));
    let arn = Arn::user(call.account, &path, &name).to_string();
    let permit = call.permit(arn.clone(), keys)?;
    if !given.is_empty() {
        let _: Permit<calls::TagUser> = call.permit(arn, request_tag_keys(&given))?;
    }
    let input = CreateUser { path, name, boundary, tags: given };
    let user = users::create_user(call.world(), &permit, input)?;
    Ok(Some(Element::structure([("User", Some(user_element(&user, Depth::Made)))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    // The root user is no user with a name.
    if call.params().get("UserName").is_none()
        && let Caller::Root { account } = &call.identified.caller
    {
        let arn = Arn::root(*account).to_string();
        let _: Permit<calls::GetUser> = call.permit(arn.clone(), Keys::new())?;
        let root = Element::structure([
            ("UserId", text(account.as_str())),
            ("Arn", text(arn)),
            ("CreateDate", time(call.world().clock.now())),
        ]);
        return Ok(Some(Element::structure([("User", Some(root))])));
    }
    let name = name_or_own(call)?;
    let permit: Permit<calls::GetUser> = call.permit_on::<User, _>(&name, Keys::new())?;
    let user = find::<User, _>(call.world(), &permit, &name)?;
    Ok(Some(Element::structure([("User", Some(user_element(&user, Depth::Whole)))])))
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on_all()?;
    let mut users = users::list_users(call.world(), &permit);
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    users.retain(|user| user.path.starts_with(prefix));
    list(call, "Users", users, |user| user.id.clone(), |user| user_element(user, Depth::Listed))
}

fn update(call: &IamCall<'_>) -> Answer {
    let name = call.required("UserName")?;
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    let (new_name, new_path) = (call.optional("NewUserName"), call.optional("NewPath"));
    users::update_user(call.world(), &permit, &name, new_name, new_path).map(|()| None)
}

fn delete(call: &IamCall<'_>) -> Answer {
    let name = call.required("UserName")?;
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    users::delete_user(call.world(), &permit, &name).map(|()| None)
}

fn status(key: &AccessKey) -> Option<Element> {
    text(if key.is_active { "Active" } else { "Inactive" })
}

fn create_key(call: &IamCall<'_>) -> Answer {
    let name = name_or_own(call)?;
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    let (key, secret) = keys::create_key(call.world(), &permit, &name)?;
    let made = Element::structure([
        ("UserName", text(key.user_name.as_str())),
        ("AccessKeyId", text(key.id.as_str())),
        ("Status", status(&key)),
        ("SecretAccessKey", text(secret.expose().as_str())),
        ("CreateDate", time(key.created_at)),
    ]);
    Ok(Some(Element::structure([("AccessKey", Some(made))])))
}

fn list_keys(call: &IamCall<'_>) -> Answer {
    let name = name_or_own(call)?;
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    let all = keys::list_keys(call.world(), &permit, &name)?;
    list(
        call,
        "AccessKeyMetadata",
        all,
        |key| key.id.clone(),
        |key| {
            Element::structure([
                ("UserName", text(key.user_name.as_str())),
                ("AccessKeyId", text(key.id.as_str())),
                ("Status", status(key)),
                ("CreateDate", time(key.created_at)),
            ])
        },
    )
}

fn update_key(call: &IamCall<'_>) -> Answer {
    let (name, id) = (name_or_own(call)?, call.required("AccessKeyId")?);
    let is_active = call.required("Status")? == "Active";
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    keys::update_key(call.world(), &permit, &name, &id, is_active).map(|()| None)
}

fn delete_key(call: &IamCall<'_>) -> Answer {
    let (name, id) = (name_or_own(call)?, call.required("AccessKeyId")?);
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    keys::delete_key(call.world(), &permit, &name, &id).map(|()| None)
}

fn key_last_used(call: &IamCall<'_>) -> Answer {
    let id = call.required("AccessKeyId")?;
    // Whose key it is belongs to the question: of another account's one learns nothing.
    let owner = call.world().store.access_key(&id).filter(|key| key.account == call.account);
    let name = owner.map_or_else(|| "*".to_owned(), |key| key.user_name.clone());
    let permit = call.permit_on::<User, _>(&name, Keys::new())?;
    let (name, last) = keys::last_used(call.world(), &permit, &id)?;
    let none = || text("N/A");
    let used = Element::structure([
        ("LastUsedDate", last.as_ref().and_then(|last| time(last.at))),
        ("ServiceName", last.as_ref().map_or_else(none, |last| text(last.service.as_str()))),
        ("Region", last.as_ref().map_or_else(none, |last| text(last.region.as_str()))),
    ]);
    Ok(Some(Element::structure([("UserName", text(name)), ("AccessKeyLastUsed", Some(used))])))
}

/// Nobody has a password here.
fn no_login_profile<C: Call>(call: &IamCall<'_>) -> Answer {
    let name = name_or_own(call)?;
    let permit: Permit<C> = call.permit_on::<User, _>(&name, Keys::new())?;
    let user = find::<User, _>(call.world(), &permit, &name)?;
    let message = format!("Login Profile for User {} cannot be found.", user.name);
    Err(AwsError::new("NoSuchEntity", 404, message))
}

/// An empty list of something that a user could have and nobody has here.
fn none_of<C: Call>(call: &IamCall<'_>, name: &'static str) -> Answer {
    let user = name_or_own(call)?;
    let permit: Permit<C> = call.permit_on::<User, _>(&user, Keys::new())?;
    find::<User, _>(call.world(), &permit, &user)?;
    list(call, name, Vec::<String>::new(), String::clone, |text| Element::text(text.as_str()))
}

/// Something that a user could have, and nobody has here, by its id.
fn missing<C: Call>(call: &IamCall<'_>, parameter: &str, what: &str) -> Answer {
    let (user, id) = (name_or_own(call)?, call.required(parameter)?);
    let permit: Permit<C> = call.permit_on::<User, _>(&user, Keys::new())?;
    find::<User, _>(call.world(), &permit, &user)?;
    Err(AwsError::new("NoSuchEntity", 404, format!("{what} {id} cannot be found.")))
}

fn no_virtual_devices(call: &IamCall<'_>) -> Answer {
    let _: Permit<calls::ListVirtualMFADevices> = call.permit("*", Keys::new())?;
    list(call, "VirtualMFADevices", Vec::<String>::new(), String::clone, |text| Element::text(text.as_str()))
}
