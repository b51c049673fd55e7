//! Policies on repositories and on the registry: written, read and removed.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>,
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>

use landfall_policy::PolicyKind;
use landfall_policy::parse::Problem;
use landfall_policy::write_time::{EcrOwner, ecr_problems, value_problems};
use landfall_types::AccountId;
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Value, json};

use super::access::{arn_of, would_allow};
use super::{Answer, EcrCall, Face, Found, disk};
use crate::authz::{Call, Permit, calls};
use crate::store::{Document, RegistryId, principals};
use crate::world::World;

/// Reads a policy as ECR does when it is written: whom it names has to be there, and what it allows has to be decided
/// there.
///
/// # Errors
/// `InvalidParameterException`, which says no more than that (observed).
pub(super) fn read(
    world: &World,
    owner: EcrOwner,
    name: &str,
    text: &str,
    account: AccountId,
) -> Result<Document, AwsError> {
    let document = read_again(world, owner, name, text)?;
    let mut problems = ecr_problems(&document.policy, owner);
    problems.extend(value_problems(&document.policy, true));
    if !problems.is_empty() {
        let told = problems.iter().take(PROBLEMS_TOLD);
        return Err(told.fold(ecr_invalid_parameter("PolicyText", owner.refusal()), |refused, problem| {
            refused.at(problem.span, problem.detail.as_deref().unwrap_or("here"))
        }));
    }
    // Observed: <https://github.com/hashicorp/terraform-provider-aws/issues/39064>.
    if let Some(principal) = principals::missing(&world.store, account, &document.policy) {
        let label = "there is nobody of this name here; AWS turns names into ids when a policy is saved";
        return Err(ecr_invalid_parameter("PolicyText", "Principal not found").at(principal.span, label));
    }
    Ok(document)
}

/// Reads a policy that was accepted before. Whom it names may be gone by now, and is then nobody.
///
/// # Errors
/// As [`read`].
pub(super) fn read_again(
    world: &World,
    owner: EcrOwner,
    name: &str,
    text: &str,
) -> Result<Document, AwsError> {
    let invalid = || ecr_invalid_parameter("PolicyText", owner.refusal());
    let is_of_registry = owner == EcrOwner::Registry;
    let source = world.given.source(world, name, text);
    let (policy, problems) = landfall_policy::parse::document(source, text, PolicyKind::Resource);
    let is_empty = policy.statements.is_empty();
    // A registry's policy names the repositories that it is about, a repository's does not.
    let counts = |problem: &Problem| !is_of_registry || problem.message != PROHIBITED_RESOURCE;
    let lacks_resource =
        is_of_registry && policy.statements.iter().any(|statement| statement.resource.is_none());
    if is_empty || lacks_resource || problems.iter().any(counts) {
        return Err(invalid());
    }
    Ok(Document::known(text, PolicyKind::Resource, policy))
}

/// Problems of one policy that are told.
const PROBLEMS_TOLD: usize = 4;

const PROHIBITED_RESOURCE: &str = "Has prohibited field Resource";

pub(super) fn set_repository_policy<C: Call>(call: &EcrCall<'_>) -> Answer {
    let text = call.text("policyText").unwrap_or_default();
    let force = call.input.get("force").and_then(Value::as_bool).unwrap_or_default();
    let found = call.on_repository::<C>()?;
    let name = format!("policy of {}", arn_of(&found.registry, found.name.as_str()));
    let owner = match call.face {
        Face::Private => EcrOwner::Repository,
        Face::Public => EcrOwner::PublicRepository,
    };
    let document = read(call.world, owner, &name, text, found.registry.account)?;
    if !force {
        check_lockout(call, &found, &document)?;
    }
    found.change(call.world, |repository| repository.policy = Some(document))?;
    Ok(policy_json(&found, &pretty(text)))
}

/// A policy must not keep its author from setting the next one, unless that is what is wanted.
fn check_lockout<C>(call: &EcrCall<'_>, found: &Found<C>, document: &Document) -> Result<(), AwsError> {
    let action = match call.face {
        Face::Private => "ecr:SetRepositoryPolicy",
        Face::Public => "ecr-public:SetRepositoryPolicy",
    };
    let place = (&found.registry, &found.name);
    if would_allow(call, place, &found.repository, document, action) {
        return Ok(());
    }
    let constraint = "The policy would prevent the caller from setting another repository policy in the future: \
                      set force to true to set it nevertheless";
    Err(ecr_invalid_parameter("PolicyText", constraint))
}

pub(super) fn get_repository_policy<C: Call>(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<C>()?;
    Ok(policy_json(&found, &pretty(&kept(&found)?.shown(&call.world.store))))
}

pub(super) fn delete_repository_policy<C: Call>(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<C>()?;
    let policy = kept(&found)?;
    found.change(call.world, |repository| repository.policy = None)?;
    Ok(policy_json(&found, &pretty(&policy.shown(&call.world.store))))
}

/// The policy that a repository has.
fn kept<C>(found: &Found<C>) -> Result<Document, AwsError> {
    found.repository.policy.clone().ok_or_else(|| no_policy(found))
}

fn no_policy<C>(found: &Found<C>) -> AwsError {
    AwsError::bad_request(
        "RepositoryPolicyNotFoundException",
        format!(
            "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'",
            found.name, found.registry.account
        ),
    )
}

fn policy_json<C>(found: &Found<C>, text: &str) -> Value {
    json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "policyText": text,
    })
}

pub(super) fn put_registry_policy(call: &EcrCall<'_>) -> Answer {
    let text = call.text("policyText").unwrap_or_default();
    let (permit, registry) = call.on_registry::<calls::PutRegistryPolicy>()?;
    let name = format!("policy of the registry {} in {}", registry.account, registry.region);
    let document = read(call.world, EcrOwner::Registry, &name, text, registry.account)?;
    write_registry_policy(call.world, &permit, &registry, Some(document))?;
    Ok(registry_policy_json(&registry, &pretty(text)))
}

pub(super) fn get_registry_policy(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::GetRegistryPolicy>()?;
    let policy = kept_by_registry(call.world, &registry)?;
    Ok(registry_policy_json(&registry, &pretty(&policy.shown(&call.world.store))))
}

pub(super) fn delete_registry_policy(call: &EcrCall<'_>) -> Answer {
    let (permit, registry) = call.on_registry::<calls::DeleteRegistryPolicy>()?;
    let policy = kept_by_registry(call.world, &registry)?;
    write_registry_policy(call.world, &permit, &registry, None)?;
    Ok(registry_policy_json(&registry, &pretty(&policy.shown(&call.world.store))))
}

/// The policy that a registry has.
fn kept_by_registry(world: &World, registry: &RegistryId) -> Result<Document, AwsError> {
    world.store.registry_settings(registry).policy.ok_or_else(|| no_registry_policy(registry))
}

fn write_registry_policy<C>(
    world: &World,
    _permit: &Permit<C>,
    registry: &RegistryId,
    policy: Option<Document>,
) -> Result<(), AwsError> {
    world.store.change_registry_settings(registry, |settings| settings.policy = policy).map_err(disk)
}

fn no_registry_policy(registry: &RegistryId) -> AwsError {
    let message = format!("Registry policy does not exist in the registry with id '{}'", registry.account);
    AwsError::bad_request("RegistryPolicyNotFoundException", message)
}

fn registry_policy_json(registry: &RegistryId, text: &str) -> Value {
    json!({ "registryId": registry.account.as_str(), "policyText": text })
}

/// A policy as ECR gives it back: laid out anew, and lists of one text as that text (observed).
fn pretty(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => {
            let mut out = String::with_capacity(text.len() * 2);
            lay_out(&value, 0, &mut out);
            out
        }
        Err(_) => text.to_owned(),
    }
}

/// Two spaces a level, ` : ` after names, and lists on one line with what opens in them. The text was read
/// as a policy before, which limits its depth.
fn lay_out(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Array(items) => match items.as_slice() {
            [only @ Value::String(_)] => lay_out(only, level, out),
            [] => out.push_str("[ ]"),
            items => {
                out.push_str("[ ");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    lay_out(item, level, out);
                }
                out.push_str(" ]");
            }
        },
        Value::Object(members) if members.is_empty() => out.push_str("{ }"),
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { ",\n" } else { "\n" });
                out.push_str(&"  ".repeat(level + 1));
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(" : ");
                lay_out(member, level + 1, out);
            }
            out.push('\n');
            out.push_str(&"  ".repeat(level));
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
