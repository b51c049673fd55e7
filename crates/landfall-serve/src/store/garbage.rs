//! Blobs that repositories have and no image of theirs is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use landfall_types::{Digest, RepositoryName};
use landfall_wire::oci::Manifest;

use super::ecr::{HeldBlob, HeldImage};
use super::records::{Record as _, within};
use super::{Image, RegistryId, Store, StoreError};

impl Store {
    /// Lets repositories forget blobs that none of their images is made of and that nobody has a
    /// [lease](super::leases) on. Gives their number.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn forget_blobs(&self) -> Result<u64, StoreError> {
        let mut shelves: BTreeMap<String, Vec<Arc<HeldBlob>>> = BTreeMap::new();
        for held in self.list::<HeldBlob>("") {
            shelves.entry(held.shelf.within()).or_default().push(held);
        }
        let mut count = 0;
        for (shelf, blobs) in shelves {
            let mut needs = Needs::default();
            let needed = needs.of(&self.list::<HeldImage>(&shelf));
            let is_surplus = |held: &HeldBlob, needed: &Needed| {
                !needed.has(&held.digest) && !self.leases.has(&held.shelf.path(), &held.digest)
            };
            // Read first without holding up writers: most repositories have nothing to forget.
            if !blobs.iter().any(|held| is_surplus(held, &needed)) {
                continue;
            }
            // Leases are taken and images put under the lock that this is decided under.
            count += self.write(|writing| {
                let needed = needs.of(&writing.list::<HeldImage>(&shelf));
                let blobs = writing.list::<HeldBlob>(&shelf);
                let surplus = blobs.iter().filter(|held| is_surplus(held, &needed));
                let keys: Vec<String> = surplus.map(|held| held.key()).collect();
                keys.iter().try_for_each(|key| writing.remove::<HeldBlob>(key))?;
                Ok::<_, StoreError>(keys.len() as u64)
            })?;
        }
        Ok(count)
    }

    /// Whether a blob is in the archive: there are images that name it, and all of them are in there. What they say of
    /// it is not asked, so that a layer which is fetched costs no reading of manifests.
    pub fn is_archived_blob(&self, registry: &RegistryId, name: &RepositoryName, blob: &Digest) -> bool {
        let archived = self.archived_images(registry, name);
        if archived.is_empty() {
            return false;
        }
        let names_it = |image: &Image| {
            std::str::from_utf8(&image.manifest).is_ok_and(|manifest| manifest.contains(blob.as_str()))
        };
        let within = within(&[registry.account.as_str(), &registry.region, name.as_str()]);
        let images = self.list::<HeldImage>(&within);
        let mut naming = images.iter().filter(|held| names_it(&held.image)).peekable();
        naming.peek().is_some() && naming.all(|held| archived.contains(held.image.digest.as_str()))
    }

    /// The blobs that any repository has.
    pub fn held_blobs(&self) -> HashSet<Digest> {
        self.list::<HeldBlob>("").iter().map(|held| held.digest.clone()).collect()
    }
}

/// The blobs that images are made of.
enum Needed<'n> {
    These(HashSet<&'n Digest>),
    /// A manifest can't be understood: it may need anything.
    Unknown,
}

impl Needed<'_> {
    fn has(&self, digest: &Digest) -> bool {
        match self {
            Self::These(digests) => digests.contains(digest),
            Self::Unknown => true,
        }
    }
}

/// What images are made of, by their digests; none for a manifest that can't be understood. What was read once
/// isn't read again while writers wait.
#[derive(Default)]
struct Needs(HashMap<Digest, Option<Vec<Digest>>>);

impl Needs {
    fn of(&mut self, images: &[Arc<HeldImage>]) -> Needed<'_> {
        for held in images {
            let image = &held.image;
            self.0.entry(image.digest.clone()).or_insert_with(|| made_of(image));
        }
        let needs = images.iter().map(|held| self.0.get(&held.image.digest)?.as_ref());
        match needs.collect::<Option<Vec<_>>>() {
            Some(needs) => Needed::These(needs.into_iter().flatten().collect()),
            None => Needed::Unknown,
        }
    }
}

/// The config and layers of an image; none when its manifest can't be understood.
fn made_of(image: &Image) -> Option<Vec<Digest>> {
    let manifest = Manifest::parse(&image.manifest, Some(&image.media_type)).ok()?;
    let content = manifest.config.into_iter().chain(manifest.layers);
    Some(content.map(|item| item.digest).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use landfall_types::{AccountId, Tag, Timestamp};
    use landfall_wire::hash::sha256_digest;

    use super::super::leases::LEASE_MS;
    use super::super::{Content, Gate, KINDS, Missing, Put, Repository, RepositorySettings};
    use super::*;

    /// A repository with a blob that nobody has a lease on, on a disk that is slow from now on.
    struct Bench {
        store: Store,
        gate: Gate,
        registry: RegistryId,
        name: RepositoryName,
        blob: Digest,
    }

    impl Bench {
        fn new() -> Self {
            let gate = Gate::default();
            gate.open(false);
            let bench = Self {
                store: Store::on_disk(Box::new(gate.clone()), KINDS, []).unwrap(),
                gate,
                registry: RegistryId {
                    account: AccountId::parse("123456789012").unwrap(),
                    region: "eu-west-1".to_owned(),
                },
                name: RepositoryName::parse("app").unwrap(),
                blob: sha256_digest(b"blob"),
            };
            let repository = Repository {
                registry: bench.registry.clone(),
                name: bench.name.clone(),
                settings: RepositorySettings::default(),
                policy: None,
                tags: Vec::new(),
                created_at: Timestamp(0),
            };
            bench.store.insert_repository(repository).unwrap();
            bench.store.link_blob((&bench.registry, &bench.name), Timestamp(0), &bench.blob, 4).unwrap();
            bench.hours(0..4);
            bench.gate.close();
            bench
        }

        fn hours(&self, hours: std::ops::Range<i64>) {
            hours.for_each(|hour| {
                self.store.leases.turn(Timestamp(hour * LEASE_MS), LEASE_MS, HashSet::new());
            });
        }

        fn blob(&self) -> Option<u64> {
            self.store.blob(&self.registry, &self.name, &self.blob)
        }

        fn put_image(&self) -> Put {
            let manifest = format!(
                r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"a/b","digest":"{digest}","size":4}},"layers":[]}}"#,
                kind = landfall_wire::oci::OCI_MANIFEST,
                digest = self.blob
            );
            let image = Image {
                digest: sha256_digest(manifest.as_bytes()),
                media_type: landfall_wire::oci::OCI_MANIFEST.to_owned(),
                manifest: manifest.into(),
                artifact_type: None,
                annotations: Vec::new(),
                subject: None,
                size_in_bytes: 4,
                pushed_at: Timestamp(0),
            };
            let tag = Tag::parse("v1").unwrap();
            let content = Content { layers: vec![self.blob.clone()], images: Vec::new() };
            self.store.put_image(&self.registry, &self.name, image, &[&tag], &content, Timestamp(0)).unwrap()
        }
    }

    #[test]
    fn what_is_about_to_be_forgotten_is_not_there_for_anybody() {
        let bench = Bench::new();
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| bench.store.forget_blobs());
            bench.gate.wait_for_one();
            // The collector has decided, and the disk does not have it yet.
            assert_eq!(bench.blob(), None);
            let push = scope.spawn(|| bench.put_image());
            bench.gate.open(false);
            assert_eq!(collector.join().unwrap(), Ok(1));
            assert_eq!(push.join().unwrap(), Put::Lacks(Missing::Layers(vec![bench.blob.clone()])));
        });
        assert!(bench.store.held_blobs().is_empty());
    }

    #[test]
    fn what_somebody_was_told_is_there_stays_until_the_manifest_is() {
        let bench = Bench::new();
        assert_eq!(bench.blob(), Some(4));
        assert_eq!(bench.store.forget_blobs(), Ok(0));
        bench.gate.open(false);
        assert_eq!(bench.put_image(), Put::Stored);
    }

    #[test]
    fn garbage_goes_from_a_repository_that_is_pushed_to_all_day() {
        let bench = Bench::new();
        bench.gate.open(false);
        assert_eq!(bench.blob(), Some(4));
        let place = (&bench.registry, &bench.name);
        let mut hour = 4;
        while bench.store.held_blobs().contains(&bench.blob) {
            assert!(hour < 20, "it is still there");
            let pushed = sha256_digest(format!("layer {hour}").as_bytes());
            bench.store.link_blob(place, Timestamp(0), &pushed, 4).unwrap();
            bench.hours(hour..hour + 1);
            bench.store.forget_blobs().unwrap();
            assert!(bench.store.held_blobs().contains(&pushed));
            hour += 1;
        }
        // It was there for a whole login.
        assert!(hour > 4 + 12, "{hour}");
    }

    #[test]
    fn an_image_on_its_way_to_the_disk_keeps_its_blobs() {
        let bench = Bench::new();
        std::thread::scope(|scope| {
            let push = scope.spawn(|| bench.put_image());
            bench.gate.wait_for_one();
            let collector = scope.spawn(|| bench.store.forget_blobs());
            bench.gate.open(false);
            assert_eq!((push.join().unwrap(), collector.join().unwrap()), (Put::Stored, Ok(0)));
        });
        assert_eq!(bench.store.held_blobs(), HashSet::from([bench.blob.clone()]));
    }

    #[test]
    fn a_repository_takes_a_blob_over_from_another_one_only_while_that_has_it() {
        let bench = Bench::new();
        bench.gate.open(false);
        let to = RepositoryName::parse("other").unwrap();
        let repository = Repository {
            name: to.clone(),
            ..Repository::clone(&bench.store.repository(&bench.registry, &bench.name).unwrap())
        };
        bench.store.insert_repository(repository).unwrap();
        let share = || {
            let digests = std::slice::from_ref(&bench.blob);
            bench.store.share_blobs((&bench.registry, &bench.name), (&bench.registry, &to), digests)
        };
        assert_eq!(share(), Ok(vec![bench.blob.clone()]));
        // It has a lease there as if it had been sent.
        assert_eq!(bench.store.forget_blobs(), Ok(1));
        assert_eq!(share(), Ok(Vec::new()));
        assert_eq!(bench.store.blob(&bench.registry, &to, &bench.blob), Some(4));
    }
}
