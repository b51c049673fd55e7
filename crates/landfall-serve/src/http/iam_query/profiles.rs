//! Instance profiles.

use landfall_types::Arn;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Depth, profile as profile_element};
use super::page::list;
use super::{IamCall, Keys, Run, request_tag_keys};
use crate::authz::{Permit, calls};
use crate::iam::entity::find;
use crate::iam::profiles;
use crate::store::{InstanceProfile, Role};

const NAME: &str = "InstanceProfileName";
/// Who gets the role of an instance profile.
const MACHINES: &str = "ec2.amazonaws.com";

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "CreateInstanceProfile" => create,
        "GetInstanceProfile" => get,
        "ListInstanceProfiles" => list_all,
        "ListInstanceProfilesForRole" => list_for_role,
        "DeleteInstanceProfile" => delete,
        "AddRoleToInstanceProfile" => add_role,
        "RemoveRoleFromInstanceProfile" => remove_role,
        _ => return None,
    })
}

fn create(call: &IamCall<'_>) -> Answer {
    let name = call.required(NAME)?;
    let (path, given) = (call.path(), call.tags());
    let arn = Arn::instance_profile(call.account, &path, &name).to_string();
    let permit = call.permit(arn.clone(), request_tag_keys(&given))?;
    if !given.is_empty() {
        let _: Permit<calls::TagInstanceProfile> = call.permit(arn, request_tag_keys(&given))?;
    }
    let profile = profiles::create_profile(call.world(), &permit, path, name, given)?;
    Ok(Some(Element::structure([("InstanceProfile", Some(profile_element(call, &profile, Depth::Made)))])))
}

fn get(call: &IamCall<'_>) -> Answer {
    let name = call.required(NAME)?;
    let permit: Permit<calls::GetInstanceProfile> =
        call.permit_on::<InstanceProfile, _>(&name, Keys::new())?;
    let profile = find::<InstanceProfile, _>(call.world(), &permit, &name)?;
    Ok(Some(Element::structure([("InstanceProfile", Some(profile_element(call, &profile, Depth::Whole)))])))
}

fn list_all(call: &IamCall<'_>) -> Answer {
    let permit = call.permit_on_all()?;
    let mut all = profiles::list_profiles(call.world(), &permit);
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    all.retain(|profile| profile.path.starts_with(prefix));
    let element = |profile: &_| profile_element(call, profile, Depth::Listed);
    list(call, "InstanceProfiles", all, |profile| profile.id.clone(), |profile| element(profile))
}

fn list_for_role(call: &IamCall<'_>) -> Answer {
    let role = call.required("RoleName")?;
    let permit = call.permit_on::<Role, _>(&role, Keys::new())?;
    let all = profiles::list_for_role(call.world(), &permit, &role)?;
    let element = |profile: &_| profile_element(call, profile, Depth::Listed);
    list(call, "InstanceProfiles", all, |profile| profile.id.clone(), |profile| element(profile))
}

fn delete(call: &IamCall<'_>) -> Answer {
    let name = call.required(NAME)?;
    let permit = call.permit_on::<InstanceProfile, _>(&name, Keys::new())?;
    profiles::delete_profile(call.world(), &permit, &name).map(|()| None)
}

fn add_role(call: &IamCall<'_>) -> Answer {
    let (profile, role) = (call.required(NAME)?, call.required("RoleName")?);
    let permit = call.permit_on::<InstanceProfile, _>(&profile, Keys::new())?;
    let passed = vec![("iam:PassedToService".to_owned(), vec![MACHINES.to_owned()])];
    let _: Permit<calls::PassRole> = call.permit_on::<Role, _>(&role, passed)?;
    profiles::add_role(call.world(), &permit, &profile, &role).map(|()| None)
}

fn remove_role(call: &IamCall<'_>) -> Answer {
    let (profile, role) = (call.required(NAME)?, call.required("RoleName")?);
    let permit = call.permit_on::<InstanceProfile, _>(&profile, Keys::new())?;
    profiles::remove_role(call.world(), &permit, &profile, &role).map(|()| None)
}
