//! One image into one or more repositories: blobs side by side, then manifests from the leaves up, and
//! the tags last. A tag never points at something that isn't all there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landfall_types::{Digest, ImageRef, RepositoryName, Tag};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::blob::Blob;
use crate::docker_config::{DockerConfig, Login, helper};
use crate::ecr;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::http::{self, Backoff};
use crate::layout::Image;
use crate::proxy::Proxy;
use crate::registry::challenge::Challenge;
use crate::registry::endpoint::Endpoint;
use crate::registry::{Arrival, Patience, RegistryError, Repository};

/// One repository and the tags that the image gets there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Host and optional port.
    pub registry: String,
    /// The repository.
    pub repository: RepositoryName,
    /// None: the image is found by its digest alone.
    pub tags: Vec<Tag>,
}

/// Sorts references by repository; every repository gets `more_tags` too.
///
/// # Errors
/// A sentence for the user: no reference at all, or a reference with a digest that isn't the image's.
pub fn destinations(
    references: &[ImageRef],
    more_tags: &[Tag],
    digest: &Digest,
) -> Result<Vec<Destination>, String> {
    let mut destinations: Vec<Destination> = Vec::new();
    for reference in references {
        if let Some(wanted) = reference.digest.as_ref().filter(|wanted| *wanted != digest) {
            return Err(format!("`{reference}` can't be pushed: the image is {digest}, not {wanted}"));
        }
        let known = destinations
            .iter_mut()
            .find(|known| known.registry == reference.registry && known.repository == reference.repository);
        let tags = reference.tag.iter().cloned();
        match known {
            Some(known) => known.tags.extend(tags),
            None => destinations.push(Destination {
                registry: reference.registry.clone(),
                repository: reference.repository.clone(),
                tags: tags.collect(),
            }),
        }
    }
    for destination in &mut destinations {
        destination.tags.extend(more_tags.iter().cloned());
        let mut seen = Vec::new();
        destination.tags.retain(|tag| {
            let is_new = !seen.contains(tag);
            seen.push(tag.clone());
            is_new
        });
    }
    if destinations.is_empty() {
        return Err("nowhere to push to: REGISTRY/REPOSITORY[:TAG] is expected".to_owned());
    }
    Ok(destinations)
}

/// How far a push has come; read it from another task.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of all blobs, for one repository after the other.
    pub total: AtomicU64,
    /// Bytes that were sent.
    pub sent: Arc<AtomicU64>,
    /// Bytes that were already there, or that the registry took from another repository.
    pub present: AtomicU64,
}

/// How to push.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Repositories of the same registry that blobs may be mounted from.
    pub mount_from: Vec<RepositoryName>,
    /// Whether an ECR repository that isn't there is made.
    pub creates_repository: bool,
    /// How long registries are waited for, and how often what may heal is tried.
    pub patience: Patience,
}

/// An image that is in a repository now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pushed {
    /// Where.
    pub destination: Destination,
    /// What the tags point at.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Blobs that had to be sent.
    pub sent_blob_count: usize,
    /// Blobs that the registry took from another repository.
    pub mounted_blob_count: usize,
    /// Blobs that were already there.
    pub present_blob_count: usize,
    /// Bytes of all blobs.
    pub size_bytes: u64,
    /// Whether the repository was made for it.
    pub is_new_repository: bool,
}

impl Pushed {
    /// `REGISTRY/REPOSITORY@DIGEST`: this very image, whatever happens to its tags.
    pub fn pinned(&self) -> String {
        format!("{}/{}@{}", self.destination.registry, self.destination.repository, self.digest)
    }
}

/// What a push would do to one repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Where.
    pub destination: Destination,
    /// Blobs that would be sent.
    pub missing_blob_count: usize,
    /// Their bytes.
    pub missing_bytes: u64,
    /// All blobs.
    pub blob_count: usize,
}

/// Pushes an image to one repository after the other.
///
/// # Errors
/// The first failure. What was pushed by then stays.
pub async fn push(
    image: &Image,
    destinations: &[Destination],
    config: &DockerConfig,
    environment: &Environment,
    options: &Options,
    progress: &Progress,
) -> Result<Vec<Pushed>, PushError> {
    let size_bytes: u64 = image.blobs.iter().map(|blob| blob.size).sum();
    let count = u64::try_from(destinations.len()).unwrap_or(u64::MAX);
    progress.total.store(size_bytes.saturating_mul(count), Ordering::Relaxed);
    let mut all: Vec<Pushed> = Vec::new();
    for destination in destinations {
        // What went to a neighbour a moment ago can be taken from there.
        let neighbours = all.iter().filter(|other| other.destination.registry == destination.registry);
        let mut sources: Vec<RepositoryName> =
            neighbours.map(|other| other.destination.repository.clone()).collect();
        sources.extend(options.mount_from.iter().cloned());
        sources.retain(|source| *source != destination.repository);
        let one = One { image, destination, config, environment, options, sources, progress };
        all.push(one.push().await?);
    }
    Ok(all)
}

/// Asks every repository what it has, and sends nothing.
///
/// # Errors
/// The first failure.
pub async fn plan(
    image: &Image,
    destinations: &[Destination],
    config: &DockerConfig,
    environment: &Environment,
    patience: Patience,
) -> Result<Vec<Planned>, PushError> {
    let mut all = Vec::new();
    for destination in destinations {
        let repository = connect(destination, &[], config, environment, patience).await?;
        let mut missing: Vec<&Blob> = Vec::new();
        for blob in &image.blobs {
            if !repository.has_blob(&blob.digest).await? {
                missing.push(blob);
            }
        }
        all.push(Planned {
            destination: destination.clone(),
            missing_blob_count: missing.len(),
            missing_bytes: missing.iter().map(|blob| blob.size).sum(),
            blob_count: image.blobs.len(),
        });
    }
    Ok(all)
}

/// One image on its way to one repository.
struct One<'a> {
    image: &'a Image,
    destination: &'a Destination,
    config: &'a DockerConfig,
    environment: &'a Environment,
    options: &'a Options,
    sources: Vec<RepositoryName>,
    progress: &'a Progress,
}

impl One<'_> {
    /// Two things can be mended on the way, each once: a login that ends midway, and a repository that
    /// isn't there.
    async fn push(&self) -> Result<Pushed, PushError> {
        let mut repository = self.connect().await?;
        let (mut is_new_repository, mut has_new_login) = (false, false);
        loop {
            let error = match self.send(&repository).await {
                Ok(arrivals) => return Ok(self.pushed(&arrivals, is_new_repository)),
                Err(error) => error,
            };
            if error.is_ended_login() && !has_new_login {
                has_new_login = true;
                repository = self.connect().await?;
            } else if error.is_missing_repository() && self.options.creates_repository && !is_new_repository {
                is_new_repository = true;
                let region = repository.endpoint().ecr_region(self.environment);
                let region = region.ok_or(error)?;
                let account = repository.endpoint().ecr_host().map(|host| host.account);
                let ecr = ecr::Ecr::new(self.environment, &region, self.options.patience.backoff).await?;
                ecr.create_repository(&region, account, &self.destination.repository).await?;
            } else {
                return Err(error.into());
            }
        }
    }

    async fn connect(&self) -> Result<Repository, PushError> {
        let patience = self.options.patience;
        connect(self.destination, &self.sources, self.config, self.environment, patience).await
    }

    async fn send(&self, repository: &Repository) -> Result<Vec<Arrival>, RegistryError> {
        let arrivals = push_blobs(repository, &self.image.blobs, &self.sources, self.progress).await?;
        for child in &self.image.children {
            repository.put_manifest(child, child.digest.as_str()).await?;
        }
        let root = &self.image.root;
        if self.destination.tags.is_empty() {
            repository.put_manifest(root, root.digest.as_str()).await?;
        }
        for tag in &self.destination.tags {
            repository.put_manifest(root, tag.as_str()).await?;
        }
        Ok(arrivals)
    }

    fn pushed(&self, arrivals: &[Arrival], is_new_repository: bool) -> Pushed {
        let count = |wanted| arrivals.iter().filter(|arrival| **arrival == wanted).count();
        Pushed {
            destination: self.destination.clone(),
            digest: self.image.root.digest.clone(),
            media_type: self.image.root.media_type.clone(),
            sent_blob_count: count(Arrival::Sent),
            mounted_blob_count: count(Arrival::Mounted),
            present_blob_count: count(Arrival::Present),
            size_bytes: self.image.blobs.iter().map(|blob| blob.size).sum(),
            is_new_repository,
        }
    }
}

/// Says how each came to be there. The first failure ends the others.
///
/// The first blob goes alone until the registry lets it in: who may not push is told so once, and not by as
/// many refusals as there are blobs on their way.
async fn push_blobs(
    repository: &Repository,
    blobs: &[Blob],
    sources: &[RepositoryName],
    progress: &Progress,
) -> Result<Vec<Arrival>, RegistryError> {
    let (sources, begun): (Arc<[RepositoryName]>, _) = (sources.into(), Arc::new(Notify::new()));
    let mut running = JoinSet::new();
    let mut waiting = blobs.iter();
    let (mut arrivals, mut parallel) = (Vec::new(), 1);
    loop {
        while running.len() < parallel
            && let Some(blob) = waiting.next()
        {
            let (repository, blob) = (repository.clone(), blob.clone());
            let (sources, begun) = (Arc::clone(&sources), Arc::clone(&begun));
            let sent = Arc::clone(&progress.sent);
            running.spawn(async move {
                (repository.ensure_blob(&blob, &sources, &sent, &begun).await, blob.size)
            });
        }
        let finished = tokio::select! {
            () = begun.notified(), if parallel == 1 => {
                parallel = PARALLEL_BLOBS_MAX;
                continue;
            }
            finished = running.join_next() => finished,
        };
        let Some(finished) = finished else { return Ok(arrivals) };
        let (outcome, size) = finished.map_err(|error| RegistryError::Unexpected {
            doing: format!("pushing to {}", repository.full_name()),
            what: error.to_string(),
        })?;
        let arrival = outcome?;
        if arrival != Arrival::Sent {
            progress.present.fetch_add(size, Ordering::Relaxed);
        }
        arrivals.push(arrival);
        parallel = PARALLEL_BLOBS_MAX;
    }
}

/// Finds the registry and logs in: with Docker's configuration first (the credential helper that it names,
/// then the file itself), else with a password from ECR.
async fn connect(
    destination: &Destination,
    sources: &[RepositoryName],
    config: &DockerConfig,
    environment: &Environment,
    patience: Patience,
) -> Result<Repository, PushError> {
    let endpoint = Endpoint::new(&destination.registry, environment).map_err(RegistryError::Usage)?;
    // One that can't be used is no matter for a registry on this machine.
    let proxy = match http::is_plain_loopback(&endpoint.base) {
        true => Proxy::none(),
        false => Proxy::from_environment(environment).map_err(RegistryError::Usage)?,
    };
    let mut repository = Repository::new(endpoint, destination.repository.clone(), patience, &proxy)?;
    let Some(challenge) = repository.challenge().await? else { return Ok(repository) };
    repository.learn(&challenge, environment);
    let is_ecr = repository.endpoint().ecr_region(environment).is_some();
    let (logins, mut tried) = logins(&destination.registry, config).await;
    for (origin, login) in &logins {
        if matches!(challenge, Challenge::Basic { .. }) && login.identity_token().is_some() {
            tried.push(format!("{origin} has an identity token, and it wants a user and a password"));
        } else if log_in(&mut repository, &challenge, Some(login), sources).await? {
            return Ok(repository);
        } else {
            tried.push(format!("it doesn't take the one of {origin}"));
        }
    }
    match ecr_login(&challenge, repository.endpoint(), environment, patience.backoff).await? {
        Some((origin, login)) => {
            if log_in(&mut repository, &challenge, Some(&login), sources).await? {
                return Ok(repository);
            }
            tried.push(format!("it doesn't take a new one from {origin}"));
        }
        None if logins.is_empty() && log_in(&mut repository, &challenge, None, sources).await? => {
            return Ok(repository);
        }
        None => {}
    }
    if tried.is_empty() {
        tried.push(format!("there is none in {}", config.path().display()));
    }
    let (registry, what) = (destination.registry.clone(), tried.join("; "));
    Err(RegistryError::NoLogin { registry, what, is_ecr }.into())
}

/// Says whether the registry takes a login, or lets anybody in.
async fn log_in(
    repository: &mut Repository,
    challenge: &Challenge,
    login: Option<&Login>,
    sources: &[RepositoryName],
) -> Result<bool, RegistryError> {
    match (challenge, login) {
        (Challenge::Basic { .. }, Some(login)) => repository.log_in_basic(login).await,
        (Challenge::Basic { .. }, None) => Ok(false),
        (Challenge::Bearer { realm, service }, login) => {
            repository.log_in_bearer(realm, service.as_deref(), login, sources).await
        }
    }
}

/// A new password, where the registry is one of ECR's, and who gave it.
async fn ecr_login(
    challenge: &Challenge,
    endpoint: &Endpoint,
    environment: &Environment,
    backoff: Backoff,
) -> Result<Option<(&'static str, Login)>, PushError> {
    match challenge {
        Challenge::Basic { .. } => {
            let Some(region) = endpoint.ecr_region(environment) else { return Ok(None) };
            let authorizations = ecr::authorize(environment, &region, &[], backoff).await?;
            let first = authorizations.into_iter().next().ok_or(ecr::EcrError::Unreadable)?;
            Ok(Some(("ECR", first.login)))
        }
        Challenge::Bearer { service, .. } if endpoint.is_ecr_public(service.as_deref(), environment) => {
            let ecr = ecr::Ecr::new(environment, ecr::PUBLIC_REGION, backoff).await?;
            Ok(Some(("ECR Public", ecr.public().await?.login)))
        }
        Challenge::Bearer { .. } => Ok(None),
    }
}

/// The logins for a registry in Docker's configuration, each with where it is from, and why there isn't another.
async fn logins(registry: &str, config: &DockerConfig) -> (Vec<(String, Login)>, Vec<String>) {
    let (mut logins, mut missed) = (Vec::new(), Vec::new());
    if let Some(name) = config.helper(registry) {
        match helper::login(&name, registry).await {
            Ok(Some(login)) => logins.push((format!("docker-credential-{name}"), login)),
            Ok(None) => {}
            Err(why) => missed.push(why),
        }
    }
    logins.extend(config.login(registry).map(|login| (config.path().display().to_string(), login)));
    (logins, missed)
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The password for it.
    #[error(transparent)]
    Ecr(#[from] ecr::EcrError),
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Registry(error) => error.into(),
            PushError::Ecr(error) => error.into(),
        }
    }
}

/// Blobs on their way at the same time. More only takes memory: the network is full by then.
const PARALLEL_BLOBS_MAX: usize = 4;

#[cfg(test)]
mod tests;
