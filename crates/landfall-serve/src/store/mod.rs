//! The records of the AWS side, in the domain's words. The memory store is the first; others come
//! behind the same [`Store`] trait.
//!
//! Records are handed out as shared snapshots: a reader keeps what it read while a writer replaces it.

mod memory;

use std::sync::Arc;

use bytes::Bytes;
use landfall_policy::Policy;
use landfall_types::{AccountId, Arn, Digest, Issuer, RepositoryName, Span, Tag, Timestamp};

pub use memory::MemoryStore;

/// An IAM OIDC provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its ARN.
    pub arn: Arn,
    /// The issuer.
    pub issuer: Issuer,
    /// Registered audiences, in the order in which they were given.
    pub client_ids: Vec<String>,
    /// Certificate thumbprints, lower-case hex.
    pub thumbprints: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it was written: the provider, and its list of client ids.
    pub written: ProviderSpans,
}

/// Where a provider was written.
#[derive(Clone, Copy, Debug)]
pub struct ProviderSpans {
    /// The provider as a whole.
    pub provider: Span,
    /// Its client ids.
    pub client_ids: Span,
    /// Its URL.
    pub url: Span,
}

/// A policy document: the text as the API returns it, and what was understood of it.
#[derive(Clone, Debug)]
pub struct Document {
    /// JSON.
    pub text: Arc<str>,
    /// The policy, with the places of where it was written.
    pub policy: Arc<Policy>,
}

/// An IAM role.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its ARN.
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `AROA…`.
    pub id: String,
    /// The description.
    pub description: Option<String>,
    /// The trust policy.
    pub trust: Document,
    /// Longest session, in seconds.
    pub max_session_seconds: u32,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Inline policies by name, in order of writing.
    pub inline: Vec<(String, Document)>,
    /// Attached managed policies, by ARN, in order of attachment.
    pub attached: Vec<AttachedPolicy>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it was written.
    pub written: Span,
    /// Where its longest session was written, if it was.
    pub max_session_written: Option<Span>,
}

/// A managed policy on a role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachedPolicy {
    /// The policy's ARN.
    pub arn: String,
    /// Where the attachment was written.
    pub written: Span,
}

/// A customer managed policy.
#[derive(Clone, Debug)]
pub struct CustomerPolicy {
    /// Its ARN.
    pub arn: Arn,
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// `ANPA…`.
    pub id: String,
    /// The description.
    pub description: Option<String>,
    /// The default version's document.
    pub document: Document,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An ECR registry: one account in one region.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RegistryId {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: String,
}

/// An ECR repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Which registry it is in.
    pub registry: RegistryId,
    /// The name.
    pub name: RepositoryName,
    /// Whether tags can be moved.
    pub immutable_tags: bool,
    /// The repository policy.
    pub policy: Option<Document>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Repository {
    /// Its ARN.
    pub fn arn(&self) -> Arn {
        Arn::repository(&self.registry.region, self.registry.account, self.name.as_str())
    }
}

/// A pushed manifest.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The bytes as they were pushed.
    pub manifest: Bytes,
    /// The type of the artifact, from `artifactType` or the config's media type.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest, for referrers.
    pub annotations: Vec<(String, String)>,
    /// The manifest that this one refers to.
    pub subject: Option<Digest>,
    /// Config and layers, in bytes as the manifest declares them.
    pub size_in_bytes: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
}

/// By tag or by digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl Reference {
    /// Reads `sha256:…` as a digest and everything else as a tag.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }
}

/// What became of a pushed manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is new, or the tag is.
    Stored,
    /// The same bytes were there under the same tag (or, without a tag, at all).
    AlreadyThere,
    /// The tag names another image and cannot be moved.
    TagIsImmutable,
}

/// A record that was to be made is there already, or one that was to be changed is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// There is one already.
    Exists,
    /// There is none.
    Missing,
}

/// What the AWS side remembers.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The provider for an issuer's host and path.
    fn provider(&self, account: AccountId, host_and_path: &str) -> Option<Arc<Provider>>;
    /// All providers of an account, by host and path.
    fn providers(&self, account: AccountId) -> Vec<Arc<Provider>>;
    /// Adds a provider.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    fn insert_provider(&self, account: AccountId, provider: Provider) -> Result<(), StoreError>;
    /// Removes a provider.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn delete_provider(&self, account: AccountId, host_and_path: &str) -> Result<(), StoreError>;

    /// A role by name, ignoring case.
    fn role(&self, account: AccountId, name: &str) -> Option<Arc<Role>>;
    /// All roles of an account, by name.
    fn roles(&self, account: AccountId) -> Vec<Arc<Role>>;
    /// Adds a role.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the account has a role of that name in any case.
    fn insert_role(&self, account: AccountId, role: Role) -> Result<(), StoreError>;
    /// Changes a role. `change` has no effects of its own: a store may run it again.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn update_role(
        &self,
        account: AccountId,
        name: &str,
        change: &dyn Fn(&mut Role),
    ) -> Result<(), StoreError>;
    /// Removes a role.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn delete_role(&self, account: AccountId, name: &str) -> Result<(), StoreError>;

    /// A customer managed policy by ARN.
    fn policy(&self, arn: &str) -> Option<Arc<CustomerPolicy>>;
    /// All customer managed policies of an account, by ARN.
    fn policies(&self, account: AccountId) -> Vec<Arc<CustomerPolicy>>;
    /// Adds a policy.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the account has a policy of that name, under any path and in any case.
    fn insert_policy(&self, policy: CustomerPolicy) -> Result<(), StoreError>;
    /// Removes a policy.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn delete_policy(&self, arn: &str) -> Result<(), StoreError>;

    /// A repository.
    fn repository(&self, registry: &RegistryId, name: &RepositoryName) -> Option<Arc<Repository>>;
    /// All repositories of a registry, by name.
    fn repositories(&self, registry: &RegistryId) -> Vec<Arc<Repository>>;
    /// All registries that have a repository.
    fn registries(&self) -> Vec<RegistryId>;
    /// Adds a repository.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    fn insert_repository(&self, repository: Repository) -> Result<(), StoreError>;

    /// Whether a blob has been pushed to a repository (blobs are per repository), and its size in bytes.
    fn blob(&self, registry: &RegistryId, name: &RepositoryName, digest: &Digest) -> Option<u64>;
    /// Notes that a repository has a blob of so many bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such repository.
    fn link_blob(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(), StoreError>;

    /// Stores a manifest and moves the tag to it; all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such repository.
    fn put_image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        image: Image,
        tag: Option<&Tag>,
    ) -> Result<Put, StoreError>;
    /// An image.
    fn image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Option<Arc<Image>>;
    /// All images with their tags, in the order in which they were pushed.
    fn images(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<(Arc<Image>, Vec<Tag>)>;
    /// All tags in the order in which they were pushed (ECR's own order, observed).
    fn tags(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<Tag>;
}
