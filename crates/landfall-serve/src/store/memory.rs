//! Records in memory: gone when the server stops.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use landfall_types::{AccountId, Digest, RepositoryName, Tag};

use super::{
    CustomerPolicy, Image, Provider, Put, Reference, RegistryId, Repository, Role, Store, StoreError,
};

/// The memory store.
#[derive(Default, Debug)]
pub struct MemoryStore {
    tables: RwLock<Tables>,
}

#[derive(Default, Debug)]
struct Tables {
    providers: BTreeMap<(AccountId, String), Arc<Provider>>,
    // Role names are unique ignoring case: the key is lower-case.
    roles: BTreeMap<(AccountId, String), Arc<Role>>,
    policies: BTreeMap<String, Arc<CustomerPolicy>>,
    repositories: BTreeMap<(RegistryId, String), Shelf>,
}

/// A repository with its content.
#[derive(Debug)]
struct Shelf {
    repository: Arc<Repository>,
    blobs: BTreeMap<Digest, u64>,
    images: Vec<Arc<Image>>,
    tags: Vec<(Tag, Digest)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V) -> Result<(), StoreError> {
    match table.entry(key) {
        std::collections::btree_map::Entry::Occupied(_) => Err(StoreError::Exists),
        std::collections::btree_map::Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
    }
}

fn of_account<T>(table: &BTreeMap<(AccountId, String), Arc<T>>, account: AccountId) -> Vec<Arc<T>> {
    table.iter().filter(|((owner, _), _)| *owner == account).map(|(_, value)| Arc::clone(value)).collect()
}

fn shelf_key(registry: &RegistryId, name: &RepositoryName) -> (RegistryId, String) {
    (registry.clone(), name.as_str().to_owned())
}

impl Store for MemoryStore {
    fn provider(&self, account: AccountId, host_and_path: &str) -> Option<Arc<Provider>> {
        self.read().providers.get(&(account, host_and_path.to_owned())).cloned()
    }

    fn providers(&self, account: AccountId) -> Vec<Arc<Provider>> {
        of_account(&self.read().providers, account)
    }

    fn insert_provider(&self, account: AccountId, provider: Provider) -> Result<(), StoreError> {
        let key = (account, provider.issuer.host_and_path());
        insert(&mut self.write().providers, key, Arc::new(provider))
    }

    fn delete_provider(&self, account: AccountId, host_and_path: &str) -> Result<(), StoreError> {
        let removed = self.write().providers.remove(&(account, host_and_path.to_owned()));
        removed.map(|_| ()).ok_or(StoreError::Missing)
    }

    fn role(&self, account: AccountId, name: &str) -> Option<Arc<Role>> {
        self.read().roles.get(&(account, name.to_ascii_lowercase())).cloned()
    }

    fn roles(&self, account: AccountId) -> Vec<Arc<Role>> {
        of_account(&self.read().roles, account)
    }

    fn insert_role(&self, account: AccountId, role: Role) -> Result<(), StoreError> {
        let key = (account, role.name.to_ascii_lowercase());
        insert(&mut self.write().roles, key, Arc::new(role))
    }

    fn update_role(
        &self,
        account: AccountId,
        name: &str,
        change: &dyn Fn(&mut Role),
    ) -> Result<(), StoreError> {
        let mut tables = self.write();
        let role = tables.roles.get_mut(&(account, name.to_ascii_lowercase())).ok_or(StoreError::Missing)?;
        change(Arc::make_mut(role));
        Ok(())
    }

    fn delete_role(&self, account: AccountId, name: &str) -> Result<(), StoreError> {
        let removed = self.write().roles.remove(&(account, name.to_ascii_lowercase()));
        removed.map(|_| ()).ok_or(StoreError::Missing)
    }

    fn policy(&self, arn: &str) -> Option<Arc<CustomerPolicy>> {
        self.read().policies.get(arn).cloned()
    }

    fn policies(&self, account: AccountId) -> Vec<Arc<CustomerPolicy>> {
        let tables = self.read();
        tables.policies.values().filter(|policy| policy.arn.account == account.as_str()).cloned().collect()
    }

    fn insert_policy(&self, policy: CustomerPolicy) -> Result<(), StoreError> {
        let mut tables = self.write();
        let same_name = |other: &Arc<CustomerPolicy>| {
            other.arn.account == policy.arn.account && other.name.eq_ignore_ascii_case(&policy.name)
        };
        if tables.policies.values().any(same_name) {
            return Err(StoreError::Exists);
        }
        insert(&mut tables.policies, policy.arn.to_string(), Arc::new(policy))
    }

    fn delete_policy(&self, arn: &str) -> Result<(), StoreError> {
        self.write().policies.remove(arn).map(|_| ()).ok_or(StoreError::Missing)
    }

    fn repository(&self, registry: &RegistryId, name: &RepositoryName) -> Option<Arc<Repository>> {
        self.read().repositories.get(&shelf_key(registry, name)).map(|shelf| Arc::clone(&shelf.repository))
    }

    fn repositories(&self, registry: &RegistryId) -> Vec<Arc<Repository>> {
        let tables = self.read();
        tables
            .repositories
            .iter()
            .filter(|((owner, _), _)| owner == registry)
            .map(|(_, shelf)| Arc::clone(&shelf.repository))
            .collect()
    }

    fn registries(&self) -> Vec<RegistryId> {
        let mut registries: Vec<_> =
            self.read().repositories.keys().map(|(registry, _)| registry.clone()).collect();
        registries.dedup();
        registries
    }

    fn insert_repository(&self, repository: Repository) -> Result<(), StoreError> {
        let key = shelf_key(&repository.registry, &repository.name);
        let shelf = Shelf {
            repository: Arc::new(repository),
            blobs: BTreeMap::new(),
            images: Vec::new(),
            tags: Vec::new(),
        };
        insert(&mut self.write().repositories, key, shelf)
    }

    fn blob(&self, registry: &RegistryId, name: &RepositoryName, digest: &Digest) -> Option<u64> {
        self.read().repositories.get(&shelf_key(registry, name))?.blobs.get(digest).copied()
    }

    fn link_blob(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(), StoreError> {
        let mut tables = self.write();
        let shelf = tables.repositories.get_mut(&shelf_key(registry, name)).ok_or(StoreError::Missing)?;
        shelf.blobs.insert(digest.clone(), size);
        Ok(())
    }

    fn put_image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        image: Image,
        tag: Option<&Tag>,
    ) -> Result<Put, StoreError> {
        let mut tables = self.write();
        let shelf = tables.repositories.get_mut(&shelf_key(registry, name)).ok_or(StoreError::Missing)?;
        let known = shelf.images.iter().any(|other| other.digest == image.digest);
        let tagged =
            tag.and_then(|tag| shelf.tags.iter().find(|(other, _)| other == tag)).map(|(_, digest)| digest);
        match (tag, tagged) {
            (None, _) if known => return Ok(Put::AlreadyThere),
            (Some(_), Some(digest)) if *digest == image.digest => return Ok(Put::AlreadyThere),
            (Some(_), Some(_)) if shelf.repository.immutable_tags => return Ok(Put::TagIsImmutable),
            _ => {}
        }
        if let Some(tag) = tag {
            shelf.tags.retain(|(other, _)| other != tag);
            shelf.tags.push((tag.clone(), image.digest.clone()));
        }
        if !known {
            shelf.images.push(Arc::new(image));
        }
        Ok(Put::Stored)
    }

    fn image(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Option<Arc<Image>> {
        let tables = self.read();
        let shelf = tables.repositories.get(&shelf_key(registry, name))?;
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => {
                shelf.tags.iter().find(|(other, _)| other == tag).map(|(_, digest)| digest)?
            }
        };
        shelf.images.iter().find(|image| image.digest == *digest).cloned()
    }

    fn images(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<(Arc<Image>, Vec<Tag>)> {
        let tables = self.read();
        let Some(shelf) = tables.repositories.get(&shelf_key(registry, name)) else { return Vec::new() };
        let tags_of = |digest: &Digest| {
            shelf.tags.iter().filter(|(_, other)| other == digest).map(|(tag, _)| tag.clone()).collect()
        };
        shelf.images.iter().map(|image| (Arc::clone(image), tags_of(&image.digest))).collect()
    }

    fn tags(&self, registry: &RegistryId, name: &RepositoryName) -> Vec<Tag> {
        let tables = self.read();
        let shelf = tables.repositories.get(&shelf_key(registry, name));
        shelf.map(|shelf| shelf.tags.iter().map(|(tag, _)| tag.clone()).collect()).unwrap_or_default()
    }
}
