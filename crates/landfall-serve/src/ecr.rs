//! ECR's API, private and public: repositories, images, layers, what registries are set up to do, and the
//! login for the registry. One function for each operation; each acts on what its permit names.
//!
//! Messages were observed on ECR where the API reference leaves them open; where neither says anything they
//! are worded like those that were.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html>,
//! <https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_Operations.html>

mod access;
mod deletion;
mod images;
mod layers;
mod lifecycle;
mod lifecycle_calls;
pub(crate) mod manifest;
mod page;
mod policies;
mod public;
mod pull_through;
mod push;
mod registries;
mod replication;
mod replies;
mod repositories;
mod resource_tags;
mod scanning;
mod shapes;
mod templates;
mod token;

use std::sync::Arc;

use landfall_types::{AccountId, RepositoryName, Timestamp};
use landfall_wire::error::{AwsError, Protocol, internal, unknown_operation};
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::Value;

use crate::authn::Identified;
use crate::authz::{Call, Permit, calls, public_calls};
use crate::called::Fault;
use crate::store::{RegistryId, Repository, StoreError, Writing};
use crate::world::World;

pub use access::policies_of;
pub(crate) use access::{
    arn_of, authorize_on_public_repository, authorize_on_repository, registry_policy, repository_of,
};
pub(crate) use images::archived;
pub(crate) use layers::{
    LayerLink, archived_layer, open_layer_link, upload_owner, upload_without_parts, wrong_first_byte,
};
pub(crate) use lifecycle::matches_wildcard;
pub use lifecycle::{Action, StorageClass};
pub use lifecycle_calls::{Swept, sweep};
pub(crate) use public::alias as public_alias;
pub(crate) use pull_through::not_pulled_through;
pub(crate) use push::{after_pull, after_push};
pub(crate) use registries::has_blob_mounting;
pub use replies::Reply;
pub use repositories::{CreateRepository, create_repository, restate_repository};
pub(crate) use templates::{create_on_push, is_created_on_push};
pub use token::{REGISTRY_LOGIN_SECONDS, get_authorization_token};

/// What an operation answers.
type Answer = Result<Value, AwsError>;
/// The same of one that is called often: the text.
type Written = Result<Reply, AwsError>;

/// The region under which public registries keep their repositories: public ones have no region, and no
/// region is called so.
pub const PUBLIC_REGION: &str = "public.ecr.aws";
/// The region in which ECR Public is called.
/// <https://docs.aws.amazon.com/general/latest/gr/ecr-public.html>
const PUBLIC_API_REGION: &str = "us-east-1";

/// Which of the two services is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// ECR.
    Private,
    /// ECR Public.
    Public,
}

/// An operation of the API.
struct Operation {
    name: &'static str,
    /// What a call without credentials is told.
    refuse_stranger: fn(&EcrCall<'_>) -> AwsError,
    answer: fn(&EcrCall<'_>) -> Written,
}

/// `Name => function,` as a table of operations whose calls stand in a module.
macro_rules! operations {
    ($calls:ident: $($name:ident => $answer:expr,)+) => {
        &[$(Operation {
            name: stringify!($name),
            refuse_stranger: refuse_stranger::<$calls::$name>,
            answer: |call| $answer(call).map(Reply::from),
        },)+]
    };
}

const PRIVATE: &[Operation] = operations! { calls:
    BatchCheckLayerAvailability => layers::batch_check::<calls::BatchCheckLayerAvailability>,
    BatchDeleteImage => deletion::batch_delete_image::<calls::BatchDeleteImage>,
    BatchGetImage => images::batch_get_image,
    BatchGetRepositoryScanningConfiguration => scanning::batch_get_repository_configuration,
    CompleteLayerUpload => layers::not_here,
    CreatePullThroughCacheRule => pull_through::create,
    CreateRepository => repositories::create,
    CreateRepositoryCreationTemplate => templates::create,
    DeleteLifecyclePolicy => lifecycle_calls::delete,
    DeletePullThroughCacheRule => pull_through::delete,
    DeleteRegistryPolicy => policies::delete_registry_policy,
    DeleteRepository => repositories::delete::<calls::DeleteRepository>,
    DeleteRepositoryCreationTemplate => templates::delete,
    DeleteRepositoryPolicy => policies::delete_repository_policy::<calls::DeleteRepositoryPolicy>,
    DeleteSigningConfiguration => registries::delete_signing,
    DeregisterPullTimeUpdateExclusion => registries::deregister_exclusion,
    DescribeImageReplicationStatus => replication::describe_status,
    DescribeImageScanFindings => scanning::describe_findings,
    DescribeImageSigningStatus => registries::describe_signing_status,
    DescribeImages => images::describe_images::<calls::DescribeImages>,
    DescribePullThroughCacheRules => pull_through::describe,
    DescribeRegistry => replication::describe_registry,
    DescribeReplicationBackfillResults => replication::describe_backfill,
    DescribeRepositories => repositories::describe::<calls::DescribeRepositories>,
    DescribeRepositoryCreationTemplates => templates::describe,
    GetAccountSetting => registries::get_account_setting,
    GetAuthorizationToken => token::get,
    GetDownloadUrlForLayer => layers::get_download_url,
    GetLifecyclePolicy => lifecycle_calls::get,
    GetLifecyclePolicyPreview => lifecycle_calls::get_preview,
    GetRegistryPolicy => policies::get_registry_policy,
    GetRegistryScanningConfiguration => scanning::get_registry_configuration,
    GetRepositoryPolicy => policies::get_repository_policy::<calls::GetRepositoryPolicy>,
    GetSigningConfiguration => registries::get_signing,
    InitiateLayerUpload => layers::initiate::<calls::InitiateLayerUpload>,
    ListImageReferrers => images::list_referrers,
    ListImages => images::list_images,
    ListPullTimeUpdateExclusions => registries::list_exclusions,
    ListReplicationBackfills => replication::list_backfills,
    ListTagsForResource => resource_tags::list::<calls::ListTagsForResource>,
    PutAccountSetting => registries::put_account_setting,
    PutImage => push::put_image::<calls::PutImage>,
    PutImageScanningConfiguration => scanning::put_image_configuration,
    PutImageTagMutability => repositories::put_image_tag_mutability,
    PutLifecyclePolicy => lifecycle_calls::put,
    PutRegistryPolicy => policies::put_registry_policy,
    PutRegistryScanningConfiguration => scanning::put_registry_configuration,
    PutReplicationConfiguration => replication::put_configuration,
    PutSigningConfiguration => registries::put_signing,
    RegisterPullTimeUpdateExclusion => registries::register_exclusion,
    SetRepositoryPolicy => policies::set_repository_policy::<calls::SetRepositoryPolicy>,
    StartImageScan => scanning::start_image_scan,
    StartLifecyclePolicyPreview => lifecycle_calls::start_preview,
    StartReplicationBackfill => replication::start_backfill,
    StopReplicationBackfill => replication::stop_backfill,
    TagResource => resource_tags::tag::<calls::TagResource>,
    UntagResource => resource_tags::untag::<calls::UntagResource>,
    UpdateImageStorageClass => images::update_storage_class,
    UpdatePullThroughCacheRule => pull_through::update,
    UpdateRepositoryCreationTemplate => templates::update,
    UploadLayerPart => layers::not_here,
    ValidatePullThroughCacheRule => pull_through::validate,
};

const PUBLIC: &[Operation] = operations! { public_calls:
    BatchCheckLayerAvailability => layers::batch_check::<public_calls::BatchCheckLayerAvailability>,
    BatchDeleteImage => deletion::batch_delete_image::<public_calls::BatchDeleteImage>,
    CompleteLayerUpload => layers::not_here,
    CreateRepository => public::create_repository,
    DeleteRepository => repositories::delete::<public_calls::DeleteRepository>,
    DeleteRepositoryPolicy => policies::delete_repository_policy::<public_calls::DeleteRepositoryPolicy>,
    DescribeImageTags => public::describe_image_tags,
    DescribeImages => images::describe_images::<public_calls::DescribeImages>,
    DescribeRegistries => public::describe_registries,
    DescribeRepositories => repositories::describe::<public_calls::DescribeRepositories>,
    GetAuthorizationToken => public::get_authorization_token,
    GetRegistryCatalogData => public::get_registry_catalog_data,
    GetRepositoryCatalogData => public::get_repository_catalog_data,
    GetRepositoryPolicy => policies::get_repository_policy::<public_calls::GetRepositoryPolicy>,
    InitiateLayerUpload => layers::initiate::<public_calls::InitiateLayerUpload>,
    ListTagsForResource => resource_tags::list::<public_calls::ListTagsForResource>,
    PutImage => push::put_image::<public_calls::PutImage>,
    PutRegistryCatalogData => public::put_registry_catalog_data,
    PutRepositoryCatalogData => public::put_repository_catalog_data,
    SetRepositoryPolicy => policies::set_repository_policy::<public_calls::SetRepositoryPolicy>,
    TagResource => resource_tags::tag::<public_calls::TagResource>,
    UntagResource => resource_tags::untag::<public_calls::UntagResource>,
    UploadLayerPart => layers::not_here,
};

/// Answers one operation of ECR or ECR Public that takes no content.
///
/// # Errors
/// As [`handle`]; `InternalFailure` for those that do.
pub fn handle_plain(
    world: &Arc<World>,
    identified: &Identified,
    request_id: &str,
    (face, operation): (Face, &str),
    input: Value,
) -> Answer {
    let call = EcrCall { world, identified, request_id, face, input };
    let found = call.enter(operation)?;
    (found.answer)(&call).map(Reply::into_value)
}

/// Answers one operation.
///
/// # Errors
/// ECR's error: of the input, of the decision, or of the operation, in this order.
pub async fn handle(
    world: &Arc<World>,
    identified: &Identified,
    request_id: &str,
    (face, operation): (Face, &str),
    input: Value,
) -> Written {
    let call = EcrCall { world, identified, request_id, face, input };
    let found = call.enter(operation)?;
    let answer = match (face, operation) {
        (Face::Private, "UploadLayerPart") => layers::upload_part::<calls::UploadLayerPart>(&call).await,
        (Face::Public, "UploadLayerPart") => {
            layers::upload_part::<public_calls::UploadLayerPart>(&call).await
        }
        (Face::Private, "CompleteLayerUpload") => layers::complete::<calls::CompleteLayerUpload>(&call).await,
        (Face::Public, "CompleteLayerUpload") => {
            layers::complete::<public_calls::CompleteLayerUpload>(&call).await
        }
        _ => return (found.answer)(&call),
    };
    answer.map(Reply::from)
}

/// A call before its decision.
pub(crate) struct EcrCall<'a> {
    world: &'a Arc<World>,
    identified: &'a Identified,
    request_id: &'a str,
    face: Face,
    input: Value,
}

/// A repository that a call was allowed on, and that is there.
struct Found<C> {
    permit: Permit<C>,
    registry: RegistryId,
    name: RepositoryName,
    repository: Arc<Repository>,
}

impl EcrCall<'_> {
    /// Finds the operation, refuses strangers, and checks the input, in this order.
    fn enter(&self, name: &str) -> Result<&'static Operation, AwsError> {
        let all = match self.face {
            Face::Private => PRIVATE,
            Face::Public => PUBLIC,
        };
        let operation = all
            .iter()
            .find(|operation| operation.name == name)
            .ok_or_else(|| unknown_operation(name, "", Protocol::Json11))?;
        if self.identified.caller.account().is_none() {
            return Err((operation.refuse_stranger)(self));
        }
        shapes::check(self.face, name, &self.input)?;
        Ok(operation)
    }

    /// The members that an operation has for itself. Their types were checked when the call came in.
    fn read<'v, T: Deserialize<'v>>(&'v self) -> Result<T, AwsError> {
        T::deserialize(&self.input).map_err(|_| internal(Protocol::Json11))
    }

    /// A text of the input.
    fn text(&self, member: &str) -> Option<&str> {
        self.input.get(member).and_then(Value::as_str)
    }

    /// The caller's account.
    fn account(&self) -> Result<AccountId, AwsError> {
        self.identified.caller.account().ok_or_else(|| internal(Protocol::Json11))
    }

    /// The registry that the call is for: `registryId`, or the caller's own.
    fn registry(&self) -> Result<RegistryId, AwsError> {
        let account = match self.text("registryId") {
            None => self.account()?,
            Some(text) => account_id(text, "registryId")?,
        };
        Ok(self.registry_of(account))
    }

    fn registry_of(&self, account: AccountId) -> RegistryId {
        let region = match self.face {
            Face::Private => self.identified.region.clone(),
            Face::Public => PUBLIC_REGION.to_owned(),
        };
        RegistryId { account, region }
    }

    /// The repository that the call names.
    fn repository_name(&self) -> Result<(RegistryId, RepositoryName), AwsError> {
        let name = repository_name(self.text("repositoryName").unwrap_or_default())?;
        Ok((self.registry()?, name))
    }

    /// Decides the call on the repository that it names, and finds it.
    fn on_repository<C: Call>(&self) -> Result<Found<C>, AwsError> {
        let (registry, name) = self.repository_name()?;
        self.on::<C>(registry, name, Vec::new())
    }

    fn on<C: Call>(
        &self,
        registry: RegistryId,
        name: RepositoryName,
        keys: Vec<(String, Vec<String>)>,
    ) -> Result<Found<C>, AwsError> {
        let permit = self.permit_on(&registry, &name, keys)?;
        let repository =
            self.world.store.repository(&registry, &name).ok_or_else(|| no_repository(&registry, &name))?;
        Ok(Found { permit, registry, name, repository })
    }
}

/// A call without credentials is refused before its input is looked at, and that stands in the log.
fn refuse_stranger<C: Call>(call: &EcrCall<'_>) -> AwsError {
    match call.authorize::<C>("*".to_owned(), "", &[], Vec::new()) {
        Ok(_) => internal(Protocol::Json11),
        Err(error) => error,
    }
}

impl<C> Found<C> {
    /// ` in the repository with name 'R' in the registry with id 'A'`: how most messages end.
    fn place(&self) -> String {
        format!(
            "in the repository with name '{}' in the registry with id '{}'",
            self.name, self.registry.account
        )
    }

    /// Changes the repository's record.
    fn change(&self, world: &World, change: impl FnOnce(&mut Repository)) -> Result<(), AwsError> {
        world
            .store
            .change_repository(&self.registry, &self.name, change)
            .map_err(|failed| gone(failed, &self.registry, &self.name))
    }
}

/// `RepositoryNotFoundException`.
fn no_repository(registry: &RegistryId, name: &RepositoryName) -> AwsError {
    AwsError::bad_request("RepositoryNotFoundException", no_repository_sentence(registry, name))
}

/// A repository that went away meanwhile, or a disk that failed.
fn gone(failed: StoreError, registry: &RegistryId, name: &RepositoryName) -> AwsError {
    failed.or(Protocol::Json11, || no_repository(registry, name))
}

/// A write that can only fail with the disk.
fn disk(failed: StoreError) -> AwsError {
    failed.or(Protocol::Json11, || internal(Protocol::Json11))
}

/// Checks and changes in one step: nobody else writes between them, and nobody changes anything without a permit.
fn write<C, T>(
    world: &World,
    _permit: &Permit<C>,
    change: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
) -> Result<T, AwsError> {
    world.store.write(change).map_err(|fault| fault.error(Protocol::Json11))
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
        let constraint = format!("must satisfy regular expression {REPOSITORY_NAME_PATTERN}");
        ecr_invalid_parameter("repositoryName", &constraint)
    })
}

/// From ECR's API model.
pub(crate) const REPOSITORY_NAME_PATTERN: &str =
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";

#[cfg(test)]
mod tests;
