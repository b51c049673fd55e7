//! Answers that are asked for often, as types that write themselves: a list of a thousand repositories is text at
//! once, without a tree of values in between. Their members stand in the order in which ECR writes them.

use std::fmt::Display;

use landfall_types::Tag;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::images::{Failure, ImageIdInput};
use super::{Face, PUBLIC_REGION, StorageClass, epoch};
use crate::store::{
    Encryption, Image, ImageHistory, RegistryId, Repository, RepositorySettings, TagMutability,
};

/// What an operation answers: a value, or text that is written already.
#[derive(Debug)]
pub enum Reply {
    /// A value.
    Tree(Value),
    /// Its text.
    Text(Vec<u8>),
}

impl Reply {
    /// The body of the answer.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Tree(value) => value.to_string().into_bytes(),
            Self::Text(text) => text,
        }
    }

    /// The answer as a value; null for a text that is none.
    pub fn into_value(self) -> Value {
        match self {
            Self::Tree(value) => value,
            Self::Text(text) => serde_json::from_slice(&text).unwrap_or_default(),
        }
    }

    /// The text of an answer. What is written here has no key that isn't a string, so it can be written.
    pub(super) fn written(answer: &impl Serialize) -> Self {
        match serde_json::to_vec(answer) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Tree(Value::Null),
        }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Tree(value)
    }
}

/// A text that is written where it belongs, without standing anywhere before.
fn shown<S: Serializer>(text: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

/// `{"repositories": […], "nextToken": …}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Repositories<'a> {
    pub(super) repositories: Vec<RepositoryReply<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

/// A repository as the API describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryReply<'a> {
    #[serde(serialize_with = "shown")]
    repository_arn: landfall_types::Arn,
    registry_id: &'a str,
    repository_name: &'a str,
    #[serde(serialize_with = "shown")]
    repository_uri: Uri<'a>,
    created_at: f64,
    #[serde(flatten)]
    settings: Option<Settings<'a>>,
}

/// What repositories of ECR have, and those of ECR Public have not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings<'a> {
    #[serde(flatten)]
    mutability: Mutability<'a>,
    image_scanning_configuration: Scanning,
    encryption_configuration: EncryptionReply<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Scanning {
    scan_on_push: bool,
}

/// `imageTagMutability`, with the filters if there are any.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mutability<'a> {
    image_tag_mutability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tag_mutability_exclusion_filters: Option<Vec<FilterReply<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilterReply<'a> {
    filter_type: &'static str,
    filter: &'a str,
}

impl<'a> Mutability<'a> {
    pub(super) fn of(mutability: &'a TagMutability) -> Self {
        let (word, patterns) = match mutability {
            TagMutability::Mutable => ("MUTABLE", None),
            TagMutability::Immutable => ("IMMUTABLE", None),
            TagMutability::MutableExcept(patterns) => ("MUTABLE_WITH_EXCLUSION", Some(patterns)),
            TagMutability::ImmutableExcept(patterns) => ("IMMUTABLE_WITH_EXCLUSION", Some(patterns)),
        };
        let filter = |filter: &'a String| FilterReply { filter_type: "WILDCARD", filter };
        Self {
            image_tag_mutability: word,
            image_tag_mutability_exclusion_filters: patterns
                .map(|patterns| patterns.iter().map(filter).collect()),
        }
    }
}

/// Without a key of one's own, ECR encrypts with AWS's key of the account.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncryptionReply<'a> {
    encryption_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key: Option<String>,
}

impl<'a> EncryptionReply<'a> {
    fn of(encryption: &'a Encryption, RegistryId { account, region }: &RegistryId) -> Self {
        let aws_key = || format!("arn:aws:kms:{region}:{account}:alias/aws/ecr");
        let has_key = encryption.encryption_type != "AES256";
        Self {
            encryption_type: &encryption.encryption_type,
            kms_key: has_key.then(|| encryption.kms_key.clone().unwrap_or_else(aws_key)),
        }
    }
}

impl<'a> RepositoryReply<'a> {
    pub(super) fn of(repository: &'a Repository) -> Self {
        let RegistryId { account, region } = &repository.registry;
        let RepositorySettings { tag_mutability, scan_on_push, encryption, .. } = &repository.settings;
        Self {
            repository_arn: repository.arn(),
            registry_id: account.as_str(),
            repository_name: repository.name.as_str(),
            repository_uri: Uri(repository),
            created_at: epoch(repository.created_at),
            settings: (region != PUBLIC_REGION).then(|| Settings {
                mutability: Mutability::of(tag_mutability),
                image_scanning_configuration: Scanning { scan_on_push: *scan_on_push },
                encryption_configuration: EncryptionReply::of(encryption, &repository.registry),
            }),
        }
    }
}

/// What a repository is called by Docker.
struct Uri<'a>(&'a Repository);

impl Display for Uri<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Repository { registry: RegistryId { account, region }, name, .. } = self.0;
        match region.as_str() {
            PUBLIC_REGION => write!(f, "{PUBLIC_REGION}/{}/{name}", super::public::alias(*account)),
            china if china.starts_with("cn-") => {
                write!(f, "{account}.dkr.ecr.{china}.amazonaws.com.cn/{name}")
            }
            region => write!(f, "{account}.dkr.ecr.{region}.amazonaws.com/{name}"),
        }
    }
}

/// `imageDigest` and `imageTag`, each if it is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_tag: Option<&'a str>,
}

impl<'a> ImageId<'a> {
    fn given(id: &'a ImageIdInput) -> Self {
        Self { image_digest: id.image_digest.as_deref(), image_tag: id.image_tag.as_deref() }
    }
}

/// `{"imageIds": […], "nextToken": …}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageIds<'a> {
    pub(super) image_ids: &'a [ImageId<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

/// `{"imageDetails": […], "nextToken": …}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageDetails<'a> {
    pub(super) image_details: Vec<ImageDetail<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

/// An image as the API describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageDetail<'a> {
    registry_id: &'a str,
    repository_name: &'a str,
    image_digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tags: Option<Vec<&'a str>>,
    image_size_in_bytes: u64,
    image_pushed_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_scan_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_scan_findings_summary: Option<Value>,
    image_manifest_media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_recorded_pull_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_manifest_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_archived_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_activated_at: Option<f64>,
}

impl<'a> ImageDetail<'a> {
    pub(super) fn of(
        face: Face,
        (registry_id, repository_name): (&'a str, &'a str),
        (image, tags): (&'a Image, &'a [Tag]),
        size_in_bytes: u64,
        history: &ImageHistory,
    ) -> Self {
        let is_private = face == Face::Private;
        Self {
            registry_id,
            repository_name,
            image_digest: image.digest.as_str(),
            image_tags: (!tags.is_empty()).then(|| tags.iter().map(Tag::as_str).collect()),
            image_size_in_bytes: size_in_bytes,
            image_pushed_at: epoch(image.pushed_at),
            image_scan_status: history.scanned_at.map(|_| super::scanning::status_json()),
            image_scan_findings_summary: history.scanned_at.map(super::scanning::summary_json),
            image_manifest_media_type: &image.media_type,
            artifact_media_type: image.artifact_type.as_deref(),
            last_recorded_pull_time: history.pulled_at.filter(|_| is_private).map(epoch),
            subject_manifest_digest: image.subject.as_ref().filter(|_| is_private).map(|it| it.as_str()),
            image_status: is_private.then(|| image_status(history.storage)),
            last_archived_at: history.archived_at.filter(|_| is_private).map(epoch),
            last_activated_at: history.activated_at.filter(|_| is_private).map(epoch),
        }
    }
}

pub(super) fn image_status(storage: StorageClass) -> &'static str {
    match storage {
        StorageClass::Standard => "ACTIVE",
        StorageClass::Archive => "ARCHIVED",
    }
}

/// `{"images": […], "failures": […]}`.
#[derive(Serialize)]
pub(super) struct Images<'a> {
    pub(super) images: Vec<ImageReply<'a>>,
    pub(super) failures: Vec<FailureReply<'a>>,
}

/// An image with its manifest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageReply<'a> {
    registry_id: &'a str,
    repository_name: &'a str,
    image_id: ImageId<'a>,
    image_manifest: std::borrow::Cow<'a, str>,
    image_manifest_media_type: &'a str,
    // Not in the API's model, and there (observed).
    image_manifest_size: usize,
}

impl<'a> ImageReply<'a> {
    pub(super) fn of(
        (registry_id, repository_name): (&'a str, &'a str),
        image: &'a Image,
        tag: Option<&'a str>,
    ) -> Self {
        Self {
            registry_id,
            repository_name,
            image_id: ImageId { image_digest: Some(image.digest.as_str()), image_tag: tag },
            image_manifest: String::from_utf8_lossy(&image.manifest),
            image_manifest_media_type: &image.media_type,
            image_manifest_size: image.manifest.len(),
        }
    }
}

/// Why a part of a batch failed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailureReply<'a> {
    image_id: ImageId<'a>,
    failure_code: &'static str,
    failure_reason: String,
}

impl<'a> FailureReply<'a> {
    pub(super) fn of(failure: Failure, id: &'a ImageIdInput) -> Self {
        let reason = if failure.reason.is_empty() { Failure::not_found().reason } else { failure.reason };
        Self { image_id: ImageId::given(id), failure_code: failure.code, failure_reason: reason }
    }
}

/// `{"layers": […], "failures": […]}`.
#[derive(Serialize)]
pub(super) struct Layers<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) failures: Vec<Value>,
}

/// Whether a layer is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer<'a> {
    pub(super) layer_digest: &'a str,
    pub(super) layer_availability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) layer_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<&'static str>,
}
