//! What ECR keeps beside content: how repositories and registries are set up, and what happened to images.

use std::collections::{BTreeMap, BTreeSet};

use landfall_types::{Digest, RepositoryName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ecr::HeldImage;
use super::records::{key, within};
use super::{Document, Record, RegistryId, Store, StoreError, Writing, principals, text};
use crate::ecr::{Action, StorageClass, matches_wildcard};

/// Which tags of a repository can be moved from one image to another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TagMutability {
    /// All.
    #[default]
    Mutable,
    /// None.
    Immutable,
    /// All that none of these patterns matches.
    MutableExcept(Vec<String>),
    /// Those that one of these patterns matches.
    ImmutableExcept(Vec<String>),
}

impl TagMutability {
    /// Whether a tag, once given, stays where it is.
    pub fn is_immutable(&self, tag: &str) -> bool {
        let is_excluded = |patterns: &[String]| patterns.iter().any(|pattern| matches_wildcard(pattern, tag));
        match self {
            Self::Mutable => false,
            Self::Immutable => true,
            Self::MutableExcept(patterns) => is_excluded(patterns),
            Self::ImmutableExcept(patterns) => !is_excluded(patterns),
        }
    }
}

/// How a repository is set up.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositorySettings {
    /// Which tags can be moved.
    pub tag_mutability: TagMutability,
    /// `imageScanningConfiguration.scanOnPush`.
    pub scan_on_push: bool,
    /// How images are encrypted at rest; kept and shown, nothing is encrypted here.
    pub encryption: Encryption,
    /// The lifecycle policy.
    pub lifecycle: Option<Lifecycle>,
    /// `catalogData` of a public repository.
    pub catalog: Option<Value>,
}

/// `encryptionConfiguration`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// `AES256`, `KMS` or `KMS_DSSE`.
    pub encryption_type: String,
    /// The key's ARN.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kms_key: Option<String>,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { encryption_type: "AES256".to_owned(), kms_key: None }
    }
}

/// A lifecycle policy on a repository.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lifecycle {
    /// As ECR gives it back.
    pub text: String,
    /// When it was last carried out.
    #[serde(with = "text::optional_millis", default)]
    pub evaluated_at: Option<Timestamp>,
}

/// What happened to an image since it was pushed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageHistory {
    /// When it was last pulled.
    #[serde(with = "text::optional_millis")]
    pub pulled_at: Option<Timestamp>,
    /// Where it is kept.
    pub storage: StorageClass,
    /// When it last went to the archive.
    #[serde(with = "text::optional_millis")]
    pub archived_at: Option<Timestamp>,
    /// When it last came back from there.
    #[serde(with = "text::optional_millis")]
    pub activated_at: Option<Timestamp>,
    /// When it was last scanned.
    #[serde(with = "text::optional_millis")]
    pub scanned_at: Option<Timestamp>,
    /// Where it was replicated to.
    pub replicas: Vec<Replica>,
    /// Whether the image that it is about was there and was deleted.
    pub has_lost_subject: bool,
}

/// What became of replicating an image to one registry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replica {
    /// Where to.
    pub registry: RegistryId,
    /// Why it failed; none when the image is there.
    pub failure: Option<String>,
}

/// [`ImageHistory`] with the image that it is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldHistory {
    registry: RegistryId,
    #[serde(with = "text::word")]
    name: RepositoryName,
    digest: String,
    history: ImageHistory,
}

impl ImageHistory {
    /// The image goes to where it is kept from now on.
    pub fn move_to(&mut self, target: StorageClass, now: Timestamp) {
        match target {
            StorageClass::Archive if self.storage != target => self.archived_at = Some(now),
            StorageClass::Standard if self.storage != target => self.activated_at = Some(now),
            StorageClass::Archive | StorageClass::Standard => {}
        }
        self.storage = target;
    }
}

/// Takes an image out of the archive, by the key of its history; whether it was in there.
pub(super) fn restore(writing: &mut Writing<'_>, key: &str, now: Timestamp) -> bool {
    let archived = writing.get::<HeldHistory>(key);
    let Some(held) = archived.filter(|held| held.history.storage == StorageClass::Archive) else {
        return false;
    };
    let mut held = HeldHistory::clone(&held);
    held.history.move_to(StorageClass::Standard, now);
    writing.put(held);
    true
}

/// Notes of an image that the one that it is about was deleted.
pub(super) fn lose_subject(
    writing: &mut Writing<'_>,
    registry: &RegistryId,
    name: &RepositoryName,
    digest: &Digest,
) {
    let held = writing.get::<HeldHistory>(&history_key(registry, name, digest.as_str()));
    let history = held.map(|held| held.history.clone()).unwrap_or_default();
    writing.put(HeldHistory {
        registry: registry.clone(),
        name: name.clone(),
        digest: digest.to_string(),
        history: ImageHistory { has_lost_subject: true, ..history },
    });
}

/// What a lifecycle policy would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LifecyclePreview {
    /// The repository's registry.
    pub registry: RegistryId,
    /// The repository.
    #[serde(with = "text::word")]
    pub name: RepositoryName,
    /// The policy that was asked about.
    pub text: String,
    /// What would happen, in the order of the rules.
    pub results: Vec<PreviewResult>,
}

/// What would happen to one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PreviewResult {
    /// The image.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    #[serde(with = "text::millis")]
    pub pushed_at: Timestamp,
    /// What would happen.
    pub action: Action,
    /// By which rule.
    pub priority: u32,
    /// Where the image is kept.
    pub storage: StorageClass,
}

/// How a registry is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// Which one.
    pub registry: RegistryId,
    /// The registry policy.
    #[serde(default)]
    pub policy: Option<Document>,
    /// Where images are replicated to.
    #[serde(default)]
    pub replication: Vec<ReplicationRule>,
    /// What is scanned; none means basic scanning without rules.
    #[serde(default)]
    pub scanning: Option<Scanning>,
    /// `signingConfiguration`.
    #[serde(default)]
    pub signing: Option<Value>,
    /// Account settings that were changed, by name.
    #[serde(default)]
    pub account_settings: BTreeMap<String, String>,
    /// Principals whose pulls don't count, and since when.
    #[serde(default)]
    pub pull_time_exclusions: BTreeMap<String, i64>,
    /// The display name of a public registry.
    #[serde(default)]
    pub display_name: Option<String>,
}

impl RegistrySettings {
    fn new(registry: &RegistryId) -> Self {
        Self {
            registry: registry.clone(),
            policy: None,
            replication: Vec::new(),
            scanning: None,
            signing: None,
            account_settings: BTreeMap::new(),
            pull_time_exclusions: BTreeMap::new(),
            display_name: None,
        }
    }
}

/// A rule of a replication configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationRule {
    /// Where to.
    pub destinations: Vec<Destination>,
    /// Of which repositories; of all when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub repository_filters: Vec<Filter>,
    /// Whether deletions are carried over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delete_replication: Option<DeleteReplication>,
}

/// `deleteReplication`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeleteReplication {
    /// Whether it is on.
    pub enabled: bool,
}

/// A registry that images are replicated to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// The region.
    pub region: String,
    /// The account.
    pub registry_id: String,
}

/// A choice of repositories by their names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// A prefix or a pattern.
    pub filter: String,
    /// `PREFIX_MATCH` or `WILDCARD`.
    pub filter_type: String,
}

/// A registry's scanning configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanning {
    /// `BASIC` or `ENHANCED`.
    pub scan_type: String,
    /// What is scanned when.
    pub rules: Vec<ScanningRule>,
}

/// A rule of a scanning configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanningRule {
    /// `SCAN_ON_PUSH`, `CONTINUOUS_SCAN` or `MANUAL`.
    pub scan_frequency: String,
    /// Of which repositories.
    pub repository_filters: Vec<Filter>,
}

/// How repositories are set up that come into being on their own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CreationTemplate {
    /// The registry.
    pub registry: RegistryId,
    /// The namespace, or `ROOT`.
    pub prefix: String,
    /// What it is for.
    pub description: Option<String>,
    /// How the repositories are set up.
    pub settings: RepositorySettings,
    /// Resource tags, key and value.
    pub tags: Vec<(String, String)>,
    /// The repository policy's text.
    pub repository_policy: Option<String>,
    /// `REPLICATION`, `PULL_THROUGH_CACHE`, `CREATE_ON_PUSH`.
    pub applied_for: Vec<String>,
    /// The role that ECR takes to do it.
    pub custom_role_arn: Option<String>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub updated_at: Timestamp,
}

/// A pull-through cache rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PullThroughRule {
    /// The registry.
    pub registry: RegistryId,
    /// The namespace of the cached repositories, or `ROOT`.
    pub prefix: String,
    /// `registry-1.docker.io`.
    pub upstream_url: String,
    /// `docker-hub`.
    pub upstream_registry: Option<String>,
    /// The secret with the upstream's credentials.
    pub credential_arn: Option<String>,
    /// The role that reads another ECR registry.
    pub custom_role_arn: Option<String>,
    /// The upstream's namespace.
    pub upstream_prefix: Option<String>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[serde(with = "text::optional_millis", default)]
    pub updated_at: Option<Timestamp>,
}

/// A replication of what was there before its rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backfill {
    /// The registry.
    pub registry: RegistryId,
    /// A UUID.
    pub id: String,
    /// Where to.
    pub destination: Destination,
    /// When it began, and here also when it ended.
    #[serde(with = "text::millis")]
    pub started_at: Timestamp,
    /// What became of each image: repository, digest, and why it failed.
    pub results: Vec<(String, String, Option<String>)>,
}

/// The parts of a layer that is uploaded by API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LayerParts {
    /// The registry that it is uploaded to.
    pub registry: RegistryId,
    /// The upload.
    pub id: String,
    /// How many there are.
    pub count: u32,
    /// The last one's length, in bytes.
    pub last_bytes: u64,
    /// Whether one before the last was too small.
    pub has_small_part: bool,
}

fn of_registry(registry: &RegistryId) -> [&str; 2] {
    [registry.account.as_str(), &registry.region]
}

/// The prefix of everything that is kept for a registry.
pub fn within_registry(registry: &RegistryId) -> String {
    within(&of_registry(registry))
}

/// Where something of a registry is found by its own name.
pub fn in_registry(registry: &RegistryId, name: &str) -> String {
    let [account, region] = of_registry(registry);
    key(&[account, region, name])
}

fn history_key(registry: &RegistryId, name: &RepositoryName, digest: &str) -> String {
    let [account, region] = of_registry(registry);
    key(&[account, region, name.as_str(), digest])
}

impl Record for HeldHistory {
    const KIND: &'static str = "ecr-image-history";
    fn key(&self) -> String {
        history_key(&self.registry, &self.name, &self.digest)
    }
}

impl Record for LifecyclePreview {
    const KIND: &'static str = "ecr-lifecycle-preview";
    fn key(&self) -> String {
        in_registry(&self.registry, self.name.as_str())
    }
}

impl Record for RegistrySettings {
    const KIND: &'static str = "ecr-registry";
    fn key(&self) -> String {
        key(&of_registry(&self.registry))
    }
}

impl Record for CreationTemplate {
    const KIND: &'static str = "ecr-creation-template";
    fn key(&self) -> String {
        in_registry(&self.registry, &self.prefix)
    }
}

impl Record for PullThroughRule {
    const KIND: &'static str = "ecr-pull-through-rule";
    fn key(&self) -> String {
        in_registry(&self.registry, &self.prefix)
    }
}

impl Record for Backfill {
    const KIND: &'static str = "ecr-backfill";
    fn key(&self) -> String {
        in_registry(&self.registry, &self.id)
    }
}

impl Record for LayerParts {
    const KIND: &'static str = "ecr-layer-parts";
    fn key(&self) -> String {
        in_registry(&self.registry, &self.id)
    }
}

impl Store {
    /// The parts of an upload by API.
    pub fn layer_parts(&self, registry: &RegistryId, id: &str) -> Option<LayerParts> {
        self.get::<LayerParts>(&in_registry(registry, id)).map(|parts| LayerParts::clone(&parts))
    }

    /// Notes the parts of an upload.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn put_layer_parts(&self, parts: LayerParts) -> Result<(), StoreError> {
        self.write(|writing| {
            writing.put(parts);
            Ok(())
        })
    }

    /// Forgets the parts of an upload; there may be none.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn forget_layer_parts(&self, registry: &RegistryId, id: &str) -> Result<(), StoreError> {
        let key = in_registry(registry, id);
        self.write(|writing| match writing.remove::<LayerParts>(&key) {
            Err(StoreError::Missing) => Ok(()),
            other => other,
        })
    }

    /// Forgets the parts of uploads that are not open any more; gives their number.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn forget_layer_parts_unless(&self, is_open: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
        let mut ended = self.list::<LayerParts>("");
        ended.retain(|parts| !is_open(&parts.id));
        for parts in &ended {
            self.forget_layer_parts(&parts.registry, &parts.id)?;
        }
        Ok(ended.len() as u64)
    }

    /// What happened to an image.
    pub fn image_history(&self, registry: &RegistryId, name: &RepositoryName, digest: &str) -> ImageHistory {
        let held = self.get::<HeldHistory>(&history_key(registry, name, digest));
        held.map(|held| held.history.clone()).unwrap_or_default()
    }

    /// The images of a repository that are in the archive.
    pub fn archived_images(&self, registry: &RegistryId, name: &RepositoryName) -> BTreeSet<String> {
        let [account, region] = of_registry(registry);
        let histories = self.list::<HeldHistory>(&within(&[account, region, name.as_str()]));
        let archived = histories.iter().filter(|held| held.history.storage == StorageClass::Archive);
        archived.map(|held| held.digest.clone()).collect()
    }

    /// Notes what happened to an image. Nothing happens to one that is gone meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn change_image_history(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        digest: &str,
        change: impl FnOnce(&mut ImageHistory),
    ) -> Result<(), StoreError> {
        self.write(|writing| {
            let held = writing.get::<HeldHistory>(&history_key(registry, name, digest));
            if writing.get::<HeldImage>(&history_key(registry, name, digest)).is_none() {
                return Ok(());
            }
            let mut history = held.map(|held| held.history.clone()).unwrap_or_default();
            change(&mut history);
            writing.put(HeldHistory {
                registry: registry.clone(),
                name: name.clone(),
                digest: digest.to_owned(),
                history,
            });
            Ok(())
        })
    }

    /// How a registry is set up.
    pub fn registry_settings(&self, registry: &RegistryId) -> RegistrySettings {
        let kept = self.get::<RegistrySettings>(&key(&of_registry(registry)));
        kept.map_or_else(|| RegistrySettings::new(registry), |kept| RegistrySettings::clone(&kept))
    }

    /// Changes how a registry is set up.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn change_registry_settings<T>(
        &self,
        registry: &RegistryId,
        change: impl FnOnce(&mut RegistrySettings) -> T,
    ) -> Result<T, StoreError> {
        self.write(|writing| {
            let kept = writing.get::<RegistrySettings>(&key(&of_registry(registry)));
            let mut settings = match &kept {
                Some(kept) => RegistrySettings::clone(kept),
                None => RegistrySettings::new(registry),
            };
            let answer = change(&mut settings);
            if let Some(policy) = &mut settings.policy {
                let before = kept.as_ref().and_then(|kept| kept.policy.as_ref());
                principals::settle(writing, registry.account, policy, before);
            }
            writing.put(settings);
            Ok(answer)
        })
    }
}
