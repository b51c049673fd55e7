//! What a registry is set up to do beside policies, replication and scanning: account settings, signing, and
//! whose pulls don't count.

use landfall_types::Timestamp;
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{ImageIdInput, image_id_json};
use super::page::Page;
use super::{Answer, EcrCall, disk, epoch};
use crate::authz::{Permit, calls};
use crate::store::{RegistryId, RegistrySettings};
use crate::world::World;

/// An account setting: its name, what it is without having been set, and what it can be set to.
struct AccountSetting {
    name: &'static str,
    default: &'static str,
    values: &'static [&'static str],
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutAccountSetting.html>
const ACCOUNT_SETTINGS: &[AccountSetting] = &[
    AccountSetting { name: "BASIC_SCAN_TYPE_VERSION", default: "AWS_NATIVE", values: &["AWS_NATIVE"] },
    AccountSetting { name: "REGISTRY_POLICY_SCOPE", default: "V2", values: &["V2"] },
    AccountSetting { name: "BLOB_MOUNTING", default: "DISABLED", values: &["ENABLED", "DISABLED"] },
];

const BLOB_MOUNTING: &str = "BLOB_MOUNTING";

/// Whether blobs can be mounted from other repositories of a registry: as the account was set, or else as the
/// server was.
pub(crate) fn has_blob_mounting(world: &World, registry: &RegistryId) -> bool {
    match world.store.registry_settings(registry).account_settings.get(BLOB_MOUNTING) {
        Some(value) => value == "ENABLED",
        None => world.settings.blob_mounting,
    }
}

fn setting(call: &EcrCall<'_>) -> Result<&'static AccountSetting, AwsError> {
    let name = call.text("name").unwrap_or_default();
    ACCOUNT_SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let names: Vec<&str> = ACCOUNT_SETTINGS.iter().map(|setting| setting.name).collect();
        ecr_invalid_parameter("name", &format!("Member must satisfy enum value set: [{}]", names.join(", ")))
    })
}

/// `ecr:AccountSetting`: which setting a call is about.
fn setting_key(setting: &AccountSetting) -> Vec<(String, Vec<String>)> {
    vec![("ecr:AccountSetting".to_owned(), vec![setting.name.to_owned()])]
}

pub(super) fn get_account_setting(call: &EcrCall<'_>) -> Answer {
    let setting = setting(call)?;
    let (_, registry) = call.on_registry_with::<calls::GetAccountSetting>(setting_key(setting))?;
    let kept = call.world.store.registry_settings(&registry).account_settings.remove(setting.name);
    let value = match kept {
        Some(value) => value,
        None if setting.name == BLOB_MOUNTING && call.world.settings.blob_mounting => "ENABLED".to_owned(),
        None => setting.default.to_owned(),
    };
    Ok(json!({ "name": setting.name, "value": value }))
}

pub(super) fn put_account_setting(call: &EcrCall<'_>) -> Answer {
    let setting = setting(call)?;
    let value = call.text("value").unwrap_or_default().to_owned();
    if !setting.values.contains(&value.as_str()) {
        let constraint = format!("Member must satisfy enum value set: [{}]", setting.values.join(", "));
        return Err(ecr_invalid_parameter("value", &constraint));
    }
    let (permit, registry) = call.on_registry_with::<calls::PutAccountSetting>(setting_key(setting))?;
    change(call.world, &permit, &registry, |settings| {
        settings.account_settings.insert(setting.name.to_owned(), value.clone());
    })?;
    Ok(json!({ "name": setting.name, "value": value }))
}

/// Changes the registry that a permit was given on.
fn change<C, T>(
    world: &World,
    _permit: &Permit<C>,
    registry: &RegistryId,
    change: impl FnOnce(&mut RegistrySettings) -> T,
) -> Result<T, AwsError> {
    world.store.change_registry_settings(registry, change).map_err(disk)
}

pub(super) fn get_signing(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::GetSigningConfiguration>()?;
    let signing = call.world.store.registry_settings(&registry).signing;
    let signing = signing.ok_or_else(|| no_signing(&registry))?;
    Ok(json!({ "registryId": registry.account.as_str(), "signingConfiguration": signing }))
}

pub(super) fn put_signing(call: &EcrCall<'_>) -> Answer {
    let given = call.input.get("signingConfiguration").cloned().unwrap_or_default();
    let (permit, registry) = call.on_registry::<calls::PutSigningConfiguration>()?;
    change(call.world, &permit, &registry, |settings| settings.signing = Some(given.clone()))?;
    Ok(json!({ "signingConfiguration": given }))
}

pub(super) fn delete_signing(call: &EcrCall<'_>) -> Answer {
    let (permit, registry) = call.on_registry::<calls::DeleteSigningConfiguration>()?;
    let signing = change(call.world, &permit, &registry, |settings| settings.signing.take())?;
    let signing = signing.ok_or_else(|| no_signing(&registry))?;
    Ok(json!({ "registryId": registry.account.as_str(), "signingConfiguration": signing }))
}

fn no_signing(registry: &RegistryId) -> AwsError {
    let message =
        format!("Signing configuration does not exist in the registry with id '{}'", registry.account);
    AwsError::bad_request("SigningConfigurationNotFoundException", message)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageInput {
    image_id: ImageIdInput,
}

/// AWS Signer is not here: a rule that matches a repository has a status that says so.
pub(super) fn describe_signing_status(call: &EcrCall<'_>) -> Answer {
    let ImageInput { image_id } = call.read()?;
    let found = call.on_repository::<calls::DescribeImageSigningStatus>()?;
    let image = found.image(call.world, &image_id)?;
    let signing = call.world.store.registry_settings(&found.registry).signing.unwrap_or_default();
    let rules = signing.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
    let matching = rules.iter().filter(|rule| matches_rule(rule, found.name.as_str()));
    let statuses: Vec<Value> = matching
        .map(|rule| {
            json!({
                "signingProfileArn": rule.get("signingProfileArn"),
                "status": "FAILED",
                "failureCode": "SignerUnavailable",
                "failureReason": "this local registry does not sign: there is no AWS Signer here",
            })
        })
        .collect();
    Ok(json!({
        "repositoryName": found.name.as_str(),
        "imageId": image_id_json(Some(image.digest.as_str()), image_id.image_tag.as_deref()),
        "registryId": found.registry.account.as_str(),
        "signingStatuses": statuses,
    }))
}

fn matches_rule(rule: &Value, name: &str) -> bool {
    let Some(filters) = rule.get("repositoryFilters").and_then(Value::as_array) else { return true };
    let patterns = filters.iter().filter_map(|filter| filter.get("filter").and_then(Value::as_str));
    patterns.into_iter().any(|pattern| super::matches_wildcard(pattern, name))
}

pub(super) fn register_exclusion(call: &EcrCall<'_>) -> Answer {
    let principal = call.text("principalArn").unwrap_or_default().to_owned();
    let (permit, registry) = call.on_registry::<calls::RegisterPullTimeUpdateExclusion>()?;
    let now = call.world.clock.now();
    let known = change(call.world, &permit, &registry, |settings| {
        let is_known = settings.pull_time_exclusions.contains_key(&principal);
        settings.pull_time_exclusions.entry(principal.clone()).or_insert(now.0);
        is_known
    })?;
    if known {
        let message = format!(
            "The pull time update exclusion for '{principal}' already exists in the registry with id '{}'",
            registry.account
        );
        return Err(AwsError::bad_request("ExclusionAlreadyExistsException", message));
    }
    Ok(json!({ "principalArn": principal, "createdAt": epoch(Timestamp(now.0)) }))
}

pub(super) fn deregister_exclusion(call: &EcrCall<'_>) -> Answer {
    let principal = call.text("principalArn").unwrap_or_default().to_owned();
    let (permit, registry) = call.on_registry::<calls::DeregisterPullTimeUpdateExclusion>()?;
    let removed =
        change(call.world, &permit, &registry, |settings| settings.pull_time_exclusions.remove(&principal))?;
    if removed.is_none() {
        let message = format!(
            "The pull time update exclusion for '{principal}' does not exist in the registry with id '{}'",
            registry.account
        );
        return Err(AwsError::bad_request("ExclusionNotFoundException", message));
    }
    Ok(json!({ "principalArn": principal }))
}

pub(super) fn list_exclusions(call: &EcrCall<'_>) -> Answer {
    let page = Page::of(call)?;
    let (_, registry) = call.on_registry::<calls::ListPullTimeUpdateExclusions>()?;
    let settings = call.world.store.registry_settings(&registry);
    let principals: Vec<&String> = settings.pull_time_exclusions.keys().collect();
    Ok(page.answer(
        "pullTimeUpdateExclusions",
        &principals,
        |principal| (*principal).clone(),
        |principal| Value::from(principal.as_str()),
    ))
}
