//! Policies on roles, users and groups.

use landfall_wire::error::AwsError;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{attached, encoded, text};
use super::page::list;
use super::{IamCall, Keys, boundary_key};
use crate::authz::Permit;
use crate::iam::entity::find;
use crate::iam::holders::{self, Bounded, Holder};
use crate::store::AttachedPolicy;

fn holder_and<H: Holder>(call: &IamCall<'_>, parameter: &str) -> Result<(String, String), AwsError> {
    Ok((call.name_of::<H>()?, call.required(parameter)?))
}

pub(super) fn put_policy<H: Holder>(call: &IamCall<'_>) -> Answer {
    let (holder, name) = holder_and::<H>(call, "PolicyName")?;
    let permit = call.permit_on::<H, H::Put>(&holder, call.boundary_keys::<H>(&holder))?;
    let document = call.document("PolicyDocument", &format!("inline policy {name} of {holder}"))?;
    holders::put_policy::<H>(call.world(), &permit, &holder, &name, document).map(|()| None)
}

pub(super) fn get_policy<H: Holder>(call: &IamCall<'_>) -> Answer {
    let (holder, name) = holder_and::<H>(call, "PolicyName")?;
    let permit: Permit<H::Get> = call.permit_on::<H, _>(&holder, Keys::new())?;
    let holder = find::<H, _>(call.world(), &permit, &holder)?;
    let document = holders::inline_policy(&*holder, &name)?;
    Ok(Some(Element::structure([
        (H::PARAMETER, text(holder.name())),
        ("PolicyName", text(name)),
        ("PolicyDocument", encoded(&document.text)),
    ])))
}

pub(super) fn list_policies<H: Holder>(call: &IamCall<'_>) -> Answer {
    let name = call.name_of::<H>()?;
    let permit: Permit<H::List> = call.permit_on::<H, _>(&name, Keys::new())?;
    let holder = find::<H, _>(call.world(), &permit, &name)?;
    let names: Vec<&String> = holder.inline().iter().map(|(name, _)| name).collect();
    list(call, "PolicyNames", names, |name| (*name).clone(), |name| Element::text(name.as_str()))
}

pub(super) fn delete_policy<H: Holder>(call: &IamCall<'_>) -> Answer {
    let (holder, name) = holder_and::<H>(call, "PolicyName")?;
    let permit = call.permit_on::<H, H::Delete>(&holder, call.boundary_keys::<H>(&holder))?;
    holders::delete_policy::<H>(call.world(), &permit, &holder, &name).map(|()| None)
}

fn attachment_keys<H: Holder>(call: &IamCall<'_>, holder: &str, arn: &str) -> Keys {
    let mut keys = call.boundary_keys::<H>(holder);
    keys.push(("iam:PolicyARN".to_owned(), vec![arn.to_owned()]));
    keys
}

pub(super) fn attach<H: Holder>(call: &IamCall<'_>) -> Answer {
    let (holder, arn) = holder_and::<H>(call, "PolicyArn")?;
    let permit = call.permit_on::<H, H::Attach>(&holder, attachment_keys::<H>(call, &holder, &arn))?;
    let operation = call.params().get("Action").unwrap_or_default();
    let policy = AttachedPolicy { written: call.written(operation, &arn), arn };
    holders::attach::<H>(call.world(), &permit, &holder, policy).map(|()| None)
}

pub(super) fn detach<H: Holder>(call: &IamCall<'_>) -> Answer {
    let (holder, arn) = holder_and::<H>(call, "PolicyArn")?;
    let permit = call.permit_on::<H, H::Detach>(&holder, attachment_keys::<H>(call, &holder, &arn))?;
    holders::detach::<H>(call.world(), &permit, &holder, &arn).map(|()| None)
}

pub(super) fn list_attached<H: Holder>(call: &IamCall<'_>) -> Answer {
    let name = call.name_of::<H>()?;
    let permit: Permit<H::ListAttached> = call.permit_on::<H, _>(&name, Keys::new())?;
    let holder = find::<H, _>(call.world(), &permit, &name)?;
    let prefix = call.params().get("PathPrefix").unwrap_or("/");
    let has_prefix = |policy: &&AttachedPolicy| {
        policy.arn.split_once(":policy").is_some_and(|(_, path_and_name)| path_and_name.starts_with(prefix))
    };
    let policies: Vec<&AttachedPolicy> = holder.attached().iter().filter(has_prefix).collect();
    list(call, "AttachedPolicies", policies, |policy| policy.arn.clone(), |policy| attached(policy))
}

pub(super) fn put_boundary<B: Bounded>(call: &IamCall<'_>) -> Answer {
    let (holder, arn) = holder_and::<B>(call, "PermissionsBoundary")?;
    let permit = call.permit_on::<B, B::PutBoundary>(&holder, boundary_key(Some(&arn)))?;
    holders::put_boundary::<B>(call.world(), &permit, &holder, &arn).map(|()| None)
}

pub(super) fn delete_boundary<B: Bounded>(call: &IamCall<'_>) -> Answer {
    let holder = call.name_of::<B>()?;
    let permit = call.permit_on::<B, B::DeleteBoundary>(&holder, call.boundary_keys::<B>(&holder))?;
    holders::delete_boundary::<B>(call.world(), &permit, &holder).map(|()| None)
}
