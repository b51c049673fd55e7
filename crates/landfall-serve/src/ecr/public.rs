//! ECR Public's own operations. Its repositories and images are kept like private ones, in a registry
//! without a region.
//! <https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_Operations.html>

use landfall_types::{AccountId, Tag};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Map, Value, json};

use super::images::Sizes;
use super::page::Page;
use super::repositories::{self, CreateRepository, repository_json};
use super::{Answer, EcrCall, PUBLIC_REGION, disk, epoch, resource_tags, token};
use crate::authz::{Permit, calls, public_calls};
use crate::store::{RegistryId, RepositorySettings};
use crate::world::World;

/// The name under which a public registry is found that has not asked for another.
pub(crate) fn alias(account: AccountId) -> String {
    let digest = landfall_wire::hash::sha256_hex(account.as_str().as_bytes());
    // A letter first, as aliases have it.
    format!("r{}", digest.get(..7).unwrap_or_default())
}

/// One login, without an endpoint: it is always `public.ecr.aws`. It takes the bearer token as well.
/// <https://docs.aws.amazon.com/AmazonECR/latest/public/public-registries.html#public-registry-auth>
pub(super) fn get_authorization_token(call: &EcrCall<'_>) -> Answer {
    let own = call.account()?;
    let permit: Permit<public_calls::GetAuthorizationToken> =
        call.authorize("*".to_owned(), own.as_str(), &[], Vec::new())?;
    let _: Permit<calls::GetServiceBearerToken> = call.authorize(
        "*".to_owned(),
        own.as_str(),
        &[],
        vec![("sts:AWSServiceName".to_owned(), vec!["ecr-public.amazonaws.com".to_owned()])],
    )?;
    let (token, expires_at) = token::login(call.world, permit.caller(), own, (PUBLIC_REGION, None))?;
    Ok(json!({
        "authorizationData": { "authorizationToken": token, "expiresAt": epoch(expires_at) },
    }))
}

pub(super) fn create_repository(call: &EcrCall<'_>) -> Answer {
    let (registry, name) = call.repository_name()?;
    let tags = resource_tags::read(&call.input, "tags")?;
    let given = call.input.get("catalogData").filter(|data| !data.is_null());
    let catalog = given.map(catalog_data).transpose()?;
    let keys = resource_tags::request_keys(&tags);
    let permit: Permit<public_calls::CreateRepository> = call.permit_on(&registry, &name, keys.clone())?;
    if !tags.is_empty() {
        let _: Permit<public_calls::TagResource> = call.permit_on(&registry, &name, keys)?;
    }
    let settings = RepositorySettings { catalog: catalog.clone(), ..RepositorySettings::default() };
    let input = CreateRepository { registry, name, settings, tags, policy: None };
    let repository = repositories::insert(call.world, &permit, input)?;
    let mut answer = json!({ "repository": repository_json(&repository) });
    if let (Some(members), Some(catalog)) = (answer.as_object_mut(), catalog) {
        members.insert("catalogData".to_owned(), catalog);
    }
    Ok(answer)
}

/// What is shown of `catalogData`: a logo has no address here.
fn catalog_data(given: &Value) -> Result<Value, AwsError> {
    let members = given.as_object().cloned().unwrap_or_default();
    let mut shown = Map::new();
    for name in ["description", "architectures", "operatingSystems", "aboutText", "usageText"] {
        if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    if members.contains_key("logoImageBlob") {
        return Err(ecr_invalid_parameter("catalogData.logoImageBlob", "this local registry keeps no logos"));
    }
    Ok(Value::Object(shown))
}

pub(super) fn get_repository_catalog_data(call: &EcrCall<'_>) -> Answer {
    let found = call.on_repository::<public_calls::GetRepositoryCatalogData>()?;
    let catalog = found.repository.settings.catalog.clone().ok_or_else(|| {
        AwsError::bad_request(
            "RepositoryCatalogDataNotFoundException",
            format!("The repository catalog data does not exist {}", found.place()),
        )
    })?;
    Ok(json!({ "catalogData": catalog }))
}

pub(super) fn put_repository_catalog_data(call: &EcrCall<'_>) -> Answer {
    let catalog = catalog_data(call.input.get("catalogData").unwrap_or(&Value::Null))?;
    let found = call.on_repository::<public_calls::PutRepositoryCatalogData>()?;
    found.change(call.world, |repository| repository.settings.catalog = Some(catalog.clone()))?;
    Ok(json!({ "catalogData": catalog }))
}

/// Decides a call on the account's public registry.
fn on_public_registry<C: crate::authz::Call>(
    call: &EcrCall<'_>,
) -> Result<(Permit<C>, RegistryId), AwsError> {
    let registry = call.registry_of(call.account()?);
    let arn = registry_arn(&registry);
    let permit = call.authorize(arn, registry.account.as_str(), &[], Vec::new())?;
    Ok((permit, registry))
}

fn registry_arn(registry: &RegistryId) -> String {
    format!("arn:aws:ecr-public::{0}:registry/{0}", registry.account)
}

pub(super) fn describe_registries(call: &EcrCall<'_>) -> Answer {
    let page = Page::of(call)?;
    let (_, registry) = on_public_registry::<public_calls::DescribeRegistries>(call)?;
    let name = alias(registry.account);
    let described = json!({
        "registryId": registry.account.as_str(),
        "registryArn": registry_arn(&registry),
        "registryUri": format!("{PUBLIC_REGION}/{name}"),
        "verified": false,
        "aliases": [{
            "name": name, "status": "ACTIVE", "primaryRegistryAlias": true, "defaultRegistryAlias": true,
        }],
    });
    Ok(page.answer("registries", &[described], |_| String::new(), Value::clone))
}

pub(super) fn get_registry_catalog_data(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = on_public_registry::<public_calls::GetRegistryCatalogData>(call)?;
    Ok(catalog_json(call.world.store.registry_settings(&registry).display_name))
}

pub(super) fn put_registry_catalog_data(call: &EcrCall<'_>) -> Answer {
    let display_name = call.text("displayName").map(str::to_owned);
    let (permit, registry) = on_public_registry::<public_calls::PutRegistryCatalogData>(call)?;
    rename(call.world, &permit, &registry, display_name.clone())?;
    Ok(catalog_json(display_name))
}

fn rename<C>(
    world: &World,
    _permit: &Permit<C>,
    registry: &RegistryId,
    display_name: Option<String>,
) -> Result<(), AwsError> {
    world
        .store
        .change_registry_settings(registry, |settings| settings.display_name = display_name)
        .map_err(disk)
}

fn catalog_json(display_name: Option<String>) -> Value {
    match display_name {
        Some(name) => json!({ "registryCatalogData": { "displayName": name } }),
        None => json!({ "registryCatalogData": {} }),
    }
}

pub(super) fn describe_image_tags(call: &EcrCall<'_>) -> Answer {
    let page = Page::of(call)?;
    let found = call.on_repository::<public_calls::DescribeImageTags>()?;
    let images = found.images(call.world);
    let sizes = Sizes::of(&images);
    let tagged: Vec<_> =
        images.iter().flat_map(|(image, tags)| tags.iter().map(move |tag: &Tag| (image, tag))).collect();
    Ok(page.answer(
        "imageTagDetails",
        &tagged,
        |(_, tag)| tag.to_string(),
        |(image, tag)| {
            let mut detail = json!({
                "imageDigest": image.digest.as_str(),
                "imageSizeInBytes": sizes.size(image),
                "imagePushedAt": epoch(image.pushed_at),
                "imageManifestMediaType": image.media_type,
            });
            if let (Some(members), Some(kind)) = (detail.as_object_mut(), &image.artifact_type) {
                members.insert("artifactMediaType".to_owned(), kind.as_str().into());
            }
            json!({ "imageTag": tag.as_str(), "createdAt": epoch(image.pushed_at), "imageDetail": detail })
        },
    ))
}
