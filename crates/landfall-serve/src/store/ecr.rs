//! What ECR and its registry keep: repositories, and in them blobs, images and tags.

use std::sync::Arc;

use bytes::Bytes;
use landfall_types::{AccountId, Arn, Digest, RepositoryName, Tag, Timestamp};
use serde::{Deserialize, Serialize};

use super::ecr_settings::{HeldHistory, LifecyclePreview, RepositorySettings, lose_subject, restore};
use super::records::{key, within};
use super::{Document, Record, Store, StoreError, Writing, principals, text};

/// An ECR registry: one account in one region.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RegistryId {
    /// The account.
    #[serde(with = "text::word")]
    pub account: AccountId,
    /// The region.
    pub region: String,
}

impl RegistryId {
    /// What a repository is called among those of all registries: `ACCOUNT/REGION/NAME`.
    pub fn path_of(&self, name: &RepositoryName) -> String {
        format!("{}/{}/{name}", self.account, self.region)
    }
}

/// An ECR repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repository {
    /// Which registry it is in.
    pub registry: RegistryId,
    /// The name.
    #[serde(with = "text::word")]
    pub name: RepositoryName,
    /// How it is set up.
    #[serde(default)]
    pub settings: RepositorySettings,
    /// The repository policy.
    pub policy: Option<Document>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// When it was made.
    #[serde(with = "text::millis")]
    pub created_at: Timestamp,
}

impl Repository {
    /// Its ARN.
    pub fn arn(&self) -> Arn {
        crate::ecr::arn_of(&self.registry, self.name.as_str())
    }

    /// Whether a tag, once given, stays where it is.
    pub fn is_immutable(&self, tag: &Tag) -> bool {
        self.settings.tag_mutability.is_immutable(tag.as_str())
    }
}

/// A pushed manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its digest.
    #[serde(with = "text::word")]
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The bytes as they were pushed.
    #[serde(with = "text::bytes")]
    pub manifest: Bytes,
    /// The type of the artifact, from `artifactType` or the config's media type.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest, for referrers.
    pub annotations: Vec<(String, String)>,
    /// The manifest that this one refers to.
    #[serde(with = "text::optional", default)]
    pub subject: Option<Digest>,
    /// Config and layers, in bytes as the manifest declares them; 0 for a manifest list.
    pub size_in_bytes: u64,
    /// When it was pushed.
    #[serde(with = "text::millis")]
    pub pushed_at: Timestamp,
}

impl Image {
    /// Whether it is a manifest list.
    pub fn is_list(&self) -> bool {
        landfall_wire::oci::is_index(&self.media_type)
    }

    /// The images that it names, when it is a manifest list.
    pub fn listed(&self) -> Vec<Digest> {
        if !self.is_list() {
            return Vec::new();
        }
        let read = landfall_wire::oci::Manifest::parse(&self.manifest, Some(&self.media_type));
        read.map(|manifest| manifest.manifests.into_iter().map(|item| item.digest).collect())
            .unwrap_or_default()
    }
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

/// What has to be in a repository for an image to be put there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// Config and layers, each once.
    pub layers: Vec<Digest>,
    /// The images of an index, each once.
    pub images: Vec<Digest>,
}

/// What an image is made of and its repository doesn't have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// Config or layers.
    Layers(Vec<Digest>),
    /// The images of an index.
    Images(Vec<Digest>),
}

/// What became of a pushed manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Put {
    /// The repository doesn't have what it is made of; nothing was changed.
    Lacks(Missing),
    /// It is new, or one of the tags is, or it came back from the archive.
    Stored,
    /// The same bytes were there under the same tags (or, without a tag, at all).
    AlreadyThere,
    /// A tag can't be given anew; nothing was changed.
    TagIsImmutable {
        /// The tag.
        tag: Tag,
        /// Whether it names this image already.
        names_it: bool,
    },
}

/// What came of deleting a repository.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// It is gone, with everything in it.
    Repository(Arc<Repository>),
    /// It holds images and stays.
    HasImages,
}

/// What came of deleting an image, by tag or by digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The tag went; the image has others.
    Tag {
        /// The image.
        digest: Digest,
        /// The tag.
        tag: Tag,
    },
    /// The image went, with its tags.
    Image {
        /// The image.
        digest: Digest,
        /// The tags that it had.
        tags: Vec<Tag>,
    },
    /// There is no such image.
    NotThere,
    /// The tag names an image with another digest.
    OtherDigest,
    /// These manifest lists name it, so it stays.
    Listed(Vec<Digest>),
}

/// Where something is: the registry and the repository's name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shelf {
    registry: RegistryId,
    #[serde(with = "text::word")]
    name: RepositoryName,
}

impl Shelf {
    fn new(registry: &RegistryId, name: &RepositoryName) -> Self {
        Self { registry: registry.clone(), name: name.clone() }
    }

    fn parts(&self) -> [&str; 3] {
        shelf(&self.registry, &self.name)
    }

    fn key(&self, last: &str) -> String {
        let [account, region, name] = self.parts();
        key(&[account, region, name, last])
    }

    pub(super) fn within(&self) -> String {
        within(&self.parts())
    }

    pub(super) fn path(&self) -> String {
        self.registry.path_of(&self.name)
    }

    /// What an image is made of and this doesn't have.
    fn missing(&self, writing: &Writing<'_>, content: &Content) -> Option<Missing> {
        let without = |digests: &[Digest], has: &dyn Fn(&str) -> bool| -> Vec<Digest> {
            digests.iter().filter(|digest| !has(&self.key(digest.as_str()))).cloned().collect()
        };
        let layers = without(&content.layers, &|key| writing.get::<HeldBlob>(key).is_some());
        if !layers.is_empty() {
            return Some(Missing::Layers(layers));
        }
        let images = without(&content.images, &|key| writing.get::<HeldImage>(key).is_some());
        (!images.is_empty()).then_some(Missing::Images(images))
    }
}

fn shelf<'a>(registry: &'a RegistryId, name: &'a RepositoryName) -> [&'a str; 3] {
    [registry.account.as_str(), &registry.region, name.as_str()]
}

/// A blob that a repository has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldBlob {
    pub(super) shelf: Shelf,
    #[serde(with = "text::word")]
    pub(super) digest: Digest,
    size_in_bytes: u64,
}

/// An image with its place in the order of pushes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldImage {
    shelf: Shelf,
    number: u64,
    #[serde(with = "text::shared")]
    pub(super) image: Arc<Image>,
}

/// A tag with its place in the order of pushes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldTag {
    shelf: Shelf,
    number: u64,
    #[serde(with = "text::word")]
    tag: Tag,
    #[serde(with = "text::word")]
    digest: Digest,
}

impl HeldBlob {
    fn new(registry: &RegistryId, name: &RepositoryName, digest: &Digest, size_in_bytes: u64) -> Self {
        Self { shelf: Shelf::new(registry, name), digest: digest.clone(), size_in_bytes }
    }
}

impl Record for Repository {
    const KIND: &'static str = "ecr-repository";
    fn key(&self) -> String {
        key(&shelf(&self.registry, &self.name))
    }
}

impl Record for HeldBlob {
    const KIND: &'static str = "ecr-blob";
    fn key(&self) -> String {
        self.shelf.key(&self.digest.to_string())
    }
}

impl Record for HeldImage {
    const KIND: &'static str = "ecr-image";
    fn key(&self) -> String {
        self.shelf.key(&self.image.digest.to_string())
    }
}

impl Record for HeldTag {
    const KIND: &'static str = "ecr-tag";
    fn key(&self) -> String {
        self.shelf.key(self.tag.as_str())
    }
}

impl Store {
    /// A repository.
    pub fn repository(&self, registry: &RegistryId, name: &RepositoryName) -> Option<Arc<Repository>> {
        self.get(&key(&shelf(registry, name)))
    }

    /// All repositories of a registry, by name.
    pub fn repositories(&self, registry: &RegistryId) -> Vec<Arc<Repository>> {
        self.list(&within(&[registry.account.as_str(), &registry.region]))
    }

    /// The registries that have a repository of this name.
    pub fn registries_with(&self, name: &RepositoryName) -> Vec<RegistryId> {
        let has = |registry: &RegistryId| self.repository(registry, name).is_some();
        self.registries().into_iter().filter(has).collect()
    }

    /// All registries that have a repository.
    pub fn registries(&self) -> Vec<RegistryId> {
        let repositories = self.list::<Repository>("");
        let mut registries: Vec<_> =
            repositories.iter().map(|repository| repository.registry.clone()).collect();
        registries.dedup();
        registries
    }

    /// Adds a repository.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Disk`].
    pub fn insert_repository(&self, mut repository: Repository) -> Result<(), StoreError> {
        self.write(|writing| {
            let own = repository.registry.account;
            if let Some(policy) = &mut repository.policy {
                principals::settle(writing, own, policy, None);
            }
            writing.insert(repository)
        })
    }

    /// Changes a repository.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Disk`].
    pub fn change_repository(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        change: impl FnOnce(&mut Repository),
    ) -> Result<(), StoreError> {
        self.write(|writing| {
            let kept = writing.get::<Repository>(&key(&shelf(registry, name))).ok_or(StoreError::Missing)?;
            let mut repository = Repository::clone(&kept);
            change(&mut repository);
            if let Some(policy) = &mut repository.policy {
                principals::settle(writing, registry.account, policy, kept.policy.as_ref());
            }
            writing.put(repository);
            Ok(())
        })
    }

    /// Removes a repository with everything in it; one that holds images only by `force`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Disk`].
    pub fn delete_repository(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        force: bool,
    ) -> Result<Deleted, StoreError> {
        self.write(|writing| {
            let repository = there(writing, registry, name)?;
            let within = Shelf::new(registry, name).within();
            if !force && !writing.list::<HeldImage>(&within).is_empty() {
                return Ok(Deleted::HasImages);
            }
            writing.remove::<Repository>(&repository.key())?;
            writing.remove_within::<HeldTag>(&within);
            writing.remove_within::<HeldImage>(&within);
            writing.remove_within::<HeldBlob>(&within);
            writing.remove_within::<HeldHistory>(&within);
            // There may be none.
            let _ = writing.remove::<LifecyclePreview>(&repository.key());
            Ok(Deleted::Repository(repository))
        })
    }

    /// Removes an image by digest with all its tags, or a tag and with the last one its image. `claimed` is
    /// the digest that the tag is said to name.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn remove_image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        reference: &Reference,
        claimed: Option<&str>,
    ) -> Result<Removed, StoreError> {
        let shelf = Shelf::new(registry, name);
        self.write(|writing| {
            let (digest, tag) = match reference {
                Reference::Digest(digest) => (digest.clone(), None),
                Reference::Tag(tag) => match writing.get::<HeldTag>(&shelf.key(tag.as_str())) {
                    Some(held) => (held.digest.clone(), Some(tag)),
                    None => return Ok(Removed::NotThere),
                },
            };
            if claimed.is_some_and(|claimed| claimed != digest.as_str()) {
                return Ok(Removed::OtherDigest);
            }
            if writing.get::<HeldImage>(&shelf.key(digest.as_str())).is_none() {
                return Ok(Removed::NotThere);
            }
            let mut tags = writing.list::<HeldTag>(&shelf.within());
            tags.retain(|held| held.digest == digest);
            tags.sort_by_key(|held| held.number);
            if let Some(tag) = tag.filter(|_| tags.len() > 1) {
                writing.remove::<HeldTag>(&shelf.key(tag.as_str()))?;
                return Ok(Removed::Tag { digest, tag: tag.clone() });
            }
            let images = writing.list::<HeldImage>(&shelf.within());
            let lists = lists_of(&images, &digest);
            if !lists.is_empty() {
                return Ok(Removed::Listed(lists));
            }
            for about in about(&images, &digest) {
                lose_subject(writing, registry, name, &about);
            }
            writing.remove::<HeldImage>(&shelf.key(digest.as_str()))?;
            tags.iter().try_for_each(|held| writing.remove::<HeldTag>(&held.key()))?;
            // Most images have no history.
            let _ = writing.remove::<HeldHistory>(&shelf.key(digest.as_str()));
            Ok(Removed::Image { digest, tags: tags.iter().map(|held| held.tag.clone()).collect() })
        })
    }

    /// Whether a blob has been pushed to a repository (blobs are per repository), and its size in bytes. Whoever is
    /// told so may go on to push an image that is made of it, and has a [lease](super::leases) on it.
    pub fn blob(&self, registry: &RegistryId, name: &RepositoryName, digest: &Digest) -> Option<u64> {
        let key = Shelf::new(registry, name).key(digest.as_str());
        let lease = |held: &HeldBlob| self.leases.lease(&held.shelf.path(), digest);
        Some(self.get_noting::<HeldBlob>(&key, lease)?.size_in_bytes)
    }

    /// Notes that a repository has a blob of so many bytes, with a lease for whoever stored it. `made_at` says which
    /// repository of the name was meant: another one may have taken its place.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such repository, [`StoreError::Disk`].
    pub fn link_blob(
        &self,
        (registry, name): (&RegistryId, &RepositoryName),
        made_at: Timestamp,
        digest: &Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        self.write(|writing| {
            if there(writing, registry, name)?.created_at != made_at {
                return Err(StoreError::Missing);
            }
            self.link(writing, HeldBlob::new(registry, name, digest, size));
            Ok(())
        })
    }

    /// Gives blobs of one repository to another as well, with leases: those that the first one has.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such repository, [`StoreError::Disk`].
    pub fn share_blobs(
        &self,
        from: (&RegistryId, &RepositoryName),
        (registry, name): (&RegistryId, &RepositoryName),
        digests: &[Digest],
    ) -> Result<Vec<Digest>, StoreError> {
        self.write(|writing| {
            there(writing, registry, name)?;
            let shelf = Shelf::new(from.0, from.1);
            let mut shared = Vec::new();
            for digest in digests {
                if let Some(held) = writing.get::<HeldBlob>(&shelf.key(digest.as_str())) {
                    self.link(writing, HeldBlob::new(registry, name, digest, held.size_in_bytes));
                    shared.push(digest.clone());
                }
            }
            Ok(shared)
        })
    }

    fn link(&self, writing: &mut Writing<'_>, blob: HeldBlob) {
        self.leases.lease_stored(&blob.shelf.path(), &blob.digest);
        writing.put(blob);
    }

    /// Takes a blob from a repository; other repositories keep it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the repository doesn't have it, [`StoreError::Disk`].
    pub fn unlink_blob(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        self.write(|writing| writing.remove::<HeldBlob>(&Shelf::new(registry, name).key(digest.as_str())))
    }

    /// Takes a tag from its image, which stays.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Disk`].
    pub fn delete_tag(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<(), StoreError> {
        self.write(|writing| writing.remove::<HeldTag>(&Shelf::new(registry, name).key(tag.as_str())))
    }

    /// Removes an image with all its tags; all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Disk`].
    pub fn delete_image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let shelf = Shelf::new(registry, name);
        self.write(|writing| {
            for about in about(&writing.list::<HeldImage>(&shelf.within()), digest) {
                lose_subject(writing, registry, name, &about);
            }
            writing.remove::<HeldImage>(&shelf.key(digest.as_str()))?;
            // Most images have no history. One that is pushed again has none either.
            let _ = writing.remove::<HeldHistory>(&shelf.key(digest.as_str()));
            let tags = writing.list::<HeldTag>(&shelf.within());
            tags.iter()
                .filter(|held| held.digest == *digest)
                .try_for_each(|held| writing.remove::<HeldTag>(&held.key()))
        })
    }

    /// Stores a manifest and moves the tags to it; all or nothing, and only where its content is. What was there when
    /// this looked stays: a collector looks under the same lock, and finds an image that is made of it. An image that
    /// is in the archive comes back from there.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/restore-image.html>
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such repository, [`StoreError::Disk`].
    pub fn put_image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        image: Image,
        tags: &[&Tag],
        content: &Content,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        self.write(|writing| {
            let repository = there(writing, registry, name)?;
            let shelf = Shelf::new(registry, name);
            if let Some(missing) = shelf.missing(writing, content) {
                return Ok(Put::Lacks(missing));
            }
            let known = writing.get::<HeldImage>(&shelf.key(&image.digest.to_string())).is_some();
            let held = writing.list::<HeldTag>(&shelf.within());
            let named = |tag: &Tag| held.iter().find(|held| held.tag == *tag).map(|held| &held.digest);
            let fixed = |tag: &&&Tag| repository.is_immutable(tag) && named(tag).is_some();
            // One that names another image is told before one that names this.
            let names_it = |tag: &&&Tag| named(tag) == Some(&image.digest);
            let immutable = || tags.iter().filter(fixed);
            if let Some(tag) = immutable().find(|tag| !names_it(tag)).or_else(|| immutable().next()) {
                return Ok(Put::TagIsImmutable { tag: (*tag).clone(), names_it: names_it(&tag) });
            }
            let new: Vec<&Tag> = tags.iter().filter(|tag| !names_it(tag)).copied().collect();
            let is_restored = known && restore(writing, &shelf.key(image.digest.as_str()), now);
            if known && new.is_empty() && !is_restored {
                return Ok(Put::AlreadyThere);
            }
            let number = next(held.iter().map(|held| held.number));
            for (number, tag) in (number..).zip(new) {
                let (shelf, tag, digest) = (shelf.clone(), tag.clone(), image.digest.clone());
                writing.put(HeldTag { shelf, number, tag, digest });
            }
            if !known {
                let held = writing.list::<HeldImage>(&shelf.within());
                let number = next(held.iter().map(|held| held.number));
                writing.put(HeldImage { shelf, number, image: Arc::new(image) });
            }
            Ok(Put::Stored)
        })
    }

    /// An image.
    pub fn image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Option<Arc<Image>> {
        let shelf = Shelf::new(registry, name);
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.get::<HeldTag>(&shelf.key(tag.as_str()))?.digest.clone(),
        };
        let held = self.get::<HeldImage>(&shelf.key(&digest.to_string()))?;
        Some(Arc::clone(&held.image))
    }

    /// All images with their tags, in the order in which they were pushed.
    pub fn images(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<(Arc<Image>, Vec<Tag>)> {
        let shelf = Shelf::new(registry, name);
        let tags = self.held_tags(&shelf);
        let tags_of = |digest: &Digest| {
            tags.iter().filter(|held| held.digest == *digest).map(|held| held.tag.clone()).collect()
        };
        let mut images = self.list::<HeldImage>(&shelf.within());
        images.sort_by_key(|held| held.number);
        images.iter().map(|held| (Arc::clone(&held.image), tags_of(&held.image.digest))).collect()
    }

    /// All tags with their places in the order in which they were pushed (ECR's own order, observed). A tag that is
    /// given to another image has a new place.
    pub fn tags(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<(u64, Tag)> {
        let tags = self.held_tags(&Shelf::new(registry, name));
        tags.iter().map(|held| (held.number, held.tag.clone())).collect()
    }

    fn held_tags(&self, shelf: &Shelf) -> Vec<Arc<HeldTag>> {
        let mut tags = self.list::<HeldTag>(&shelf.within());
        tags.sort_by_key(|held| held.number);
        tags
    }
}

fn there(
    writing: &Writing<'_>,
    registry: &RegistryId,
    name: &RepositoryName,
) -> Result<Arc<Repository>, StoreError> {
    writing.get::<Repository>(&key(&shelf(registry, name))).ok_or(StoreError::Missing)
}

/// The number after the highest.
fn next(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.max().map_or(0, |highest| highest + 1)
}

/// The images that are about one.
fn about(images: &[Arc<HeldImage>], digest: &Digest) -> Vec<Digest> {
    let is_about = |held: &&Arc<HeldImage>| held.image.subject.as_ref() == Some(digest);
    images.iter().filter(is_about).map(|held| held.image.digest.clone()).collect()
}

/// The manifest lists among images that name one of them.
fn lists_of(images: &[Arc<HeldImage>], digest: &Digest) -> Vec<Digest> {
    let names = |held: &&Arc<HeldImage>| held.image.listed().contains(digest);
    images.iter().filter(names).map(|held| held.image.digest.clone()).collect()
}
