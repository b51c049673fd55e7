//! ECR's API: repositories, images, and the login for the registry. One function for each operation;
//! each acts on the repository that its permit names.
//!
//! Messages were observed on ECR where the API reference leaves them open.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html>

mod images;
mod page;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_types::{AccountId, Arn, RepositoryName, Timestamp};
use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::{self, Input, ecr_invalid_parameter};
use serde_json::{Value, json};

use crate::authn::{Identified, RegistryLogin};
use crate::authz::{self, Asked, Call, Permit, calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::store::{Document, RegistryId, Repository};
use crate::vault::Purpose;
use crate::world::World;
use page::Page;

/// How long a registry login lasts, in seconds.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html#registry-auth-token>
pub const REGISTRY_LOGIN_SECONDS: i64 = 43_200;
/// Registries for which one call asks for logins.
const REGISTRY_IDS_MAX: usize = 10;
/// Repositories that one call names.
const REPOSITORY_NAMES_MAX: usize = 100;
/// Tags of one repository.
const TAGS_MAX: usize = 50;

/// Answers one operation.
///
/// # Errors
/// ECR's error: of the input, of the decision, or of the operation, in this order.
pub fn handle(
    world: &World,
    identified: &Identified,
    request_id: &str,
    operation: &str,
    input: &Value,
) -> Result<Value, AwsError> {
    let document = json::Document::parse(input.to_string().as_bytes(), ecr_invalid_parameter)?;
    let call = EcrCall { world, identified, request_id, input: document.input() };
    match operation {
        "GetAuthorizationToken" => call.get_authorization_token(),
        "CreateRepository" => call.create_repository(),
        "DescribeRepositories" => call.describe_repositories(),
        "DescribeImages" => images::describe_images_call(&call),
        "ListImages" => images::list_images_call(&call),
        _ => Err(unknown_operation(operation, "", Protocol::Json11)),
    }
}

/// A call before its decision.
struct EcrCall<'a> {
    world: &'a World,
    identified: &'a Identified,
    request_id: &'a str,
    input: Input<'a>,
}

impl EcrCall<'_> {
    /// The caller's account. A call without credentials is refused before its input is looked at.
    fn account<C: Call>(&self) -> Result<AccountId, AwsError> {
        match self.identified.caller.account() {
            Some(account) => Ok(account),
            None => {
                let _: Permit<C> = self.authorize("*".to_owned(), "", Vec::new())?;
                Err(internal(Protocol::Json11))
            }
        }
    }

    /// The registry that the call is for: `registryId`, or the caller's own.
    fn registry<C: Call>(&self) -> Result<RegistryId, AwsError> {
        let own = self.account::<C>()?;
        let account = match self.input.text("registryId")? {
            None => own,
            Some(text) => account_id(text, "registryId")?,
        };
        Ok(RegistryId { account, region: self.identified.region.clone() })
    }

    /// The repository that the call names.
    fn repository<C: Call>(&self) -> Result<(RegistryId, RepositoryName), AwsError> {
        let registry = self.registry::<C>()?;
        let name = repository_name(self.input.required_text("repositoryName")?)?;
        Ok((registry, name))
    }

    fn authorize<C: Call>(
        &self,
        resource: String,
        resource_account: &str,
        more: Vec<(String, Vec<String>)>,
    ) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: resource_account.to_owned(),
            resource_policy: None,
            keys,
            request_id: self.request_id,
        };
        authz::authorize(self.world, &asked, Protocol::Json11)
    }

    fn authorize_on<C: Call>(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
    ) -> Result<Permit<C>, AwsError> {
        let Identified { caller, connection, .. } = self.identified;
        authorize_on_repository(self.world, (caller, connection), registry, name, self.request_id)
    }

    fn get_authorization_token(&self) -> Result<Value, AwsError> {
        let own = self.account::<calls::GetAuthorizationToken>()?;
        let ids = self.input.texts("registryIds")?;
        if ids.len() > REGISTRY_IDS_MAX {
            return Err(too_long("registryIds", REGISTRY_IDS_MAX));
        }
        let accounts: Vec<AccountId> =
            ids.into_iter().map(|id| account_id(id, "registryIds")).collect::<Result<_, _>>()?;
        let accounts = if accounts.is_empty() { vec![own] } else { accounts };
        let permit = self.authorize("*".to_owned(), own.as_str(), Vec::new())?;
        get_authorization_token(self.world, permit, &self.identified.region, &accounts)
    }

    fn create_repository(&self) -> Result<Value, AwsError> {
        let (registry, name) = self.repository::<calls::CreateRepository>()?;
        let input = CreateRepository {
            registry,
            name,
            immutable_tags: tag_mutability(self.input)?,
            tags: resource_tags(self.input)?,
            policy: None,
        };
        let mut keys: Vec<(String, Vec<String>)> = input
            .tags
            .iter()
            .map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()]))
            .collect();
        if !input.tags.is_empty() {
            keys.push(("aws:TagKeys".to_owned(), input.tags.iter().map(|(key, _)| key.clone()).collect()));
        }
        let permit = self.authorize(input.arn().to_string(), input.registry.account.as_str(), keys)?;
        let repository = create_repository(self.world, permit, input)?;
        Ok(json!({ "repository": repository_json(&repository) }))
    }

    fn describe_repositories(&self) -> Result<Value, AwsError> {
        let registry = self.registry::<calls::DescribeRepositories>()?;
        let names = self.input.texts("repositoryNames")?;
        if names.is_empty() {
            let page = Page::read(self.input)?;
            let all = Arn::repository(&registry.region, registry.account, "*").to_string();
            let permit = self.authorize(all, registry.account.as_str(), Vec::new())?;
            return Ok(list_repositories(self.world, permit, &registry, page));
        }
        if names.len() > REPOSITORY_NAMES_MAX {
            return Err(too_long("repositoryNames", REPOSITORY_NAMES_MAX));
        }
        Page::refuse(self.input, "repositoryNames")?;
        let names: Vec<RepositoryName> = names.into_iter().map(repository_name).collect::<Result<_, _>>()?;
        let permits: Vec<Permit<calls::DescribeRepositories>> =
            names.iter().map(|name| self.authorize_on(&registry, name)).collect::<Result<_, _>>()?;
        let found = permits.into_iter().map(|permit| describe_repository(self.world, permit));
        Ok(json!({ "repositories": found.collect::<Result<Vec<_>, _>>()? }))
    }
}

/// Decides a call on one repository, with the repository's own policy and tags.
///
/// # Errors
/// The refusal.
pub(crate) fn authorize_on_repository<C: Call>(
    world: &World,
    (caller, connection): (&Caller, &Connection),
    registry: &RegistryId,
    name: &RepositoryName,
    request_id: &str,
) -> Result<Permit<C>, AwsError> {
    let repository = world.store.repository(registry, name);
    let tags = repository.iter().flat_map(|repository| &repository.tags);
    // Both spellings are defined for repositories.
    // <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html>
    let tag_keys = tags.flat_map(|(key, value)| {
        ["aws:ResourceTag", "ecr:ResourceTag"].map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()]))
    });
    let asked = Asked {
        caller,
        region: &registry.region,
        resource: Arn::repository(&registry.region, registry.account, name.as_str()).to_string(),
        resource_account: registry.account.to_string(),
        resource_policy: repository.as_ref().and_then(|repository| repository.policy.as_ref()),
        keys: connection.keys().into_iter().chain(tag_keys).collect(),
        request_id,
    };
    authz::authorize(world, &asked, Protocol::Json11)
}

/// The repository that a permit is for.
///
/// # Errors
/// `InternalFailure` for a permit on anything else: a fault of the code that asked for it.
pub(crate) fn repository_of<C>(permit: &Permit<C>) -> Result<(RegistryId, RepositoryName), AwsError> {
    let read = || {
        let arn = Arn::parse(permit.resource()).ok()?;
        let name = RepositoryName::parse(arn.resource.strip_prefix("repository/")?).ok()?;
        Some((RegistryId { account: arn.account_id()?, region: arn.region }, name))
    };
    read().ok_or_else(|| internal(Protocol::Json11))
}

/// `GetAuthorizationToken`: a login for the region's registries, once for each account.
///
/// The endpoint is this server's own address, so that a client pushes here over plain HTTP.
///
/// # Errors
/// When the cryptographic library fails.
pub fn get_authorization_token(
    world: &World,
    permit: Permit<calls::GetAuthorizationToken>,
    region: &str,
    accounts: &[AccountId],
) -> Result<Value, AwsError> {
    let expires_at = world.clock.now().plus_seconds(REGISTRY_LOGIN_SECONDS);
    let entries = accounts.iter().map(|account| {
        let (session, user, account) = match permit.caller() {
            Caller::Session(session) => (Some(session.as_ref().clone()), None, *account),
            Caller::User(user) => (None, Some(user.as_ref().clone()), *account),
            // A root login stands for its account: it can't be lent another one.
            Caller::Root { account } => (None, None, *account),
            Caller::Anonymous => return Err(internal(Protocol::Json11)),
        };
        let login = RegistryLogin {
            session,
            user,
            account: account.to_string(),
            region: region.to_owned(),
            expires_at_ms: expires_at.0,
        };
        let plain = serde_json::to_vec(&login).map_err(|_| internal(Protocol::Json11))?;
        let password =
            world.vault.seal(Purpose::RegistryLogin, &plain).map_err(|_| internal(Protocol::Json11))?;
        Ok(json!({
            "authorizationToken": STANDARD.encode(format!("AWS:{password}")),
            "expiresAt": epoch(expires_at),
            "proxyEndpoint": world.base_url(),
        }))
    });
    Ok(json!({ "authorizationData": entries.collect::<Result<Vec<_>, AwsError>>()? }))
}

/// What a new repository is like.
#[derive(Clone, Debug)]
pub struct CreateRepository {
    /// The registry that it is made in.
    pub registry: RegistryId,
    /// Its name.
    pub name: RepositoryName,
    /// Whether tags can't be moved.
    pub immutable_tags: bool,
    /// Resource tags.
    pub tags: Vec<(String, String)>,
    /// The repository policy.
    pub policy: Option<Document>,
}

impl CreateRepository {
    /// The new repository's ARN: what the permit has to be for.
    pub fn arn(&self) -> Arn {
        Arn::repository(&self.registry.region, self.registry.account, self.name.as_str())
    }
}

/// `CreateRepository`.
///
/// # Errors
/// `RepositoryAlreadyExistsException`; `InternalFailure` when the permit is for another repository.
pub fn create_repository(
    world: &World,
    permit: Permit<calls::CreateRepository>,
    input: CreateRepository,
) -> Result<Repository, AwsError> {
    let CreateRepository { registry, name, immutable_tags, tags, policy } = input;
    let created_at = world.clock.now();
    let repository = Repository { registry, name, immutable_tags, policy, tags, created_at };
    if permit.resource() != repository.arn().to_string() {
        return Err(internal(Protocol::Json11));
    }
    world.store.insert_repository(repository.clone()).map_err(|failed| {
        failed.or(Protocol::Json11, || {
            AwsError::bad_request(
                "RepositoryAlreadyExistsException",
                format!(
                    "The repository with name '{}' already exists in the registry with id '{}'",
                    repository.name, repository.registry.account
                ),
            )
        })
    })?;
    Ok(repository)
}

fn describe_repository(
    world: &World,
    permit: Permit<calls::DescribeRepositories>,
) -> Result<Value, AwsError> {
    let (registry, name) = repository_of(&permit)?;
    let repository = world.store.repository(&registry, &name);
    repository.map(|repository| repository_json(&repository)).ok_or_else(|| no_repository(&registry, &name))
}

fn list_repositories(
    world: &World,
    _permit: Permit<calls::DescribeRepositories>,
    registry: &RegistryId,
    page: Page,
) -> Value {
    let repositories = world.store.repositories(registry);
    page.answer("repositories", &repositories, |repository: &Arc<Repository>| repository_json(repository))
}

fn repository_json(repository: &Repository) -> Value {
    let RegistryId { account, region } = &repository.registry;
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    json!({
        "repositoryArn": repository.arn().to_string(),
        "registryId": account.as_str(),
        "repositoryName": repository.name.as_str(),
        "repositoryUri": format!("{account}.dkr.ecr.{region}.{suffix}/{}", repository.name),
        "createdAt": epoch(repository.created_at),
        "imageTagMutability": if repository.immutable_tags { "IMMUTABLE" } else { "MUTABLE" },
        "imageScanningConfiguration": { "scanOnPush": false },
        "encryptionConfiguration": { "encryptionType": "AES256" },
    })
}

/// `RepositoryNotFoundException`.
fn no_repository(registry: &RegistryId, name: &RepositoryName) -> AwsError {
    AwsError::bad_request("RepositoryNotFoundException", no_repository_sentence(registry, name))
}

/// What API and registry say of a repository that isn't there (observed).
pub(crate) fn no_repository_sentence(registry: &RegistryId, name: &RepositoryName) -> String {
    format!("The repository with name '{name}' does not exist in the registry with id '{}'", registry.account)
}

/// Seconds since 1970 with milliseconds, as ECR writes times.
#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn epoch(at: Timestamp) -> f64 {
    at.0 as f64 / 1000.0
}

fn account_id(text: &str, member: &str) -> Result<AccountId, AwsError> {
    AccountId::parse(text)
        .map_err(|_| ecr_invalid_parameter(member, "must satisfy regular expression [0-9]{12}"))
}

fn repository_name(text: &str) -> Result<RepositoryName, AwsError> {
    RepositoryName::parse(text).map_err(|_| {
        let constraint = match text.len() {
            0..2 => "Member must have length greater than or equal to 2".to_owned(),
            2..=256 => format!("must satisfy regular expression {REPOSITORY_NAME_PATTERN}"),
            _ => "Member must have length less than or equal to 256".to_owned(),
        };
        ecr_invalid_parameter("repositoryName", &constraint)
    })
}

/// From ECR's API model.
pub(crate) const REPOSITORY_NAME_PATTERN: &str =
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";

fn tag_mutability(input: Input<'_>) -> Result<bool, AwsError> {
    match input.text("imageTagMutability")? {
        None | Some("MUTABLE") => Ok(false),
        Some("IMMUTABLE") => Ok(true),
        Some("IMMUTABLE_WITH_EXCLUSION" | "MUTABLE_WITH_EXCLUSION") => Err(ecr_invalid_parameter(
            "imageTagMutability",
            "exclusion filters are not kept by this server: MUTABLE or IMMUTABLE is expected",
        )),
        Some(_) => Err(ecr_invalid_parameter(
            "imageTagMutability",
            "Member must satisfy enum value set: [IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE, MUTABLE_WITH_EXCLUSION]",
        )),
    }
}

fn resource_tags(input: Input<'_>) -> Result<Vec<(String, String)>, AwsError> {
    let tags: Vec<(String, String)> = input
        .objects("tags")?
        .into_iter()
        .map(|tag| Ok((tag.required_text("Key")?.to_owned(), tag.required_text("Value")?.to_owned())))
        .collect::<Result<_, AwsError>>()?;
    if tags.len() > TAGS_MAX {
        let message = format!("a repository has at most {TAGS_MAX} tags, {} were given", tags.len());
        return Err(AwsError::bad_request("TooManyTagsException", message));
    }
    Ok(tags)
}

fn too_long(member: &str, max: usize) -> AwsError {
    ecr_invalid_parameter(member, &format!("Member must have length less than or equal to {max}"))
}

#[cfg(test)]
mod tests;
