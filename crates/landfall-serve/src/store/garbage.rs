//! Blobs that repositories have and no image of theirs is made of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use landfall_types::Digest;
use landfall_wire::oci::Manifest;

use super::ecr::{HeldBlob, HeldImage};
use super::records::Record as _;
use super::{Store, StoreError};

impl Store {
    /// Lets repositories forget blobs that none of their images is made of, except those that `may_be_needed`
    /// says may become a part of one. Gives their number.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn forget_blobs(&self, may_be_needed: impl Fn(&Digest) -> bool) -> Result<u64, StoreError> {
        let mut shelves: BTreeMap<String, Vec<Arc<HeldBlob>>> = BTreeMap::new();
        for held in self.list::<HeldBlob>("") {
            shelves.entry(held.shelf.within()).or_default().push(held);
        }
        let mut count = 0;
        for (shelf, blobs) in shelves {
            let needed = needed(&self.list::<HeldImage>(&shelf));
            let is_surplus =
                |held: &HeldBlob, needed: &Needed| !needed.has(&held.digest) && !may_be_needed(&held.digest);
            // Read first without holding up writers: most repositories have nothing to forget.
            if !blobs.iter().any(|held| is_surplus(held, &needed)) {
                continue;
            }
            count += self.write(|writing| {
                let needed = self::needed(&writing.list::<HeldImage>(&shelf));
                let blobs = writing.list::<HeldBlob>(&shelf);
                let surplus = blobs.iter().filter(|held| is_surplus(held, &needed));
                let keys: Vec<String> = surplus.map(|held| held.key()).collect();
                keys.iter().try_for_each(|key| writing.remove::<HeldBlob>(key))?;
                Ok::<_, StoreError>(keys.len() as u64)
            })?;
        }
        Ok(count)
    }

    /// The blobs that any repository has.
    pub fn held_blobs(&self) -> HashSet<Digest> {
        self.list::<HeldBlob>("").iter().map(|held| held.digest.clone()).collect()
    }
}

/// The blobs that images are made of.
enum Needed {
    These(HashSet<Digest>),
    /// A manifest can't be understood: it may need anything.
    Unknown,
}

impl Needed {
    fn has(&self, digest: &Digest) -> bool {
        match self {
            Self::These(digests) => digests.contains(digest),
            Self::Unknown => true,
        }
    }
}

fn needed(images: &[Arc<HeldImage>]) -> Needed {
    let mut digests = HashSet::new();
    for held in images {
        let Ok(manifest) = Manifest::parse(&held.image.manifest, Some(&held.image.media_type)) else {
            return Needed::Unknown;
        };
        digests.extend(manifest.config.iter().chain(&manifest.layers).map(|item| item.digest.clone()));
    }
    Needed::These(digests)
}
