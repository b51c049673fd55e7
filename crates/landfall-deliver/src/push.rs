//! One image into one or more repositories: blobs side by side, then manifests from the leaves up, and
//! the tags last. A tag never points at something that isn't all there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landfall_types::{Digest, ImageRef, RepositoryName, Tag};
use tokio::task::JoinSet;

use crate::blob::Blob;
use crate::docker_config::{DockerConfig, Login};
use crate::ecr;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::http::Backoff;
use crate::layout::Image;
use crate::registry::challenge::Challenge;
use crate::registry::endpoint::Endpoint;
use crate::registry::{RegistryError, Repository};

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
    /// Bytes that were already there.
    pub present: AtomicU64,
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
    /// Blobs that were already there.
    pub present_blob_count: usize,
    /// Bytes of all blobs.
    pub size_bytes: u64,
}

impl Pushed {
    /// `REGISTRY/REPOSITORY@DIGEST`: this very image, whatever happens to its tags.
    pub fn pinned(&self) -> String {
        format!("{}/{}@{}", self.destination.registry, self.destination.repository, self.digest)
    }
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
    backoff: Backoff,
    progress: &Progress,
) -> Result<Vec<Pushed>, PushError> {
    let size_bytes: u64 = image.blobs.iter().map(|blob| blob.size).sum();
    let count = u64::try_from(destinations.len()).unwrap_or(u64::MAX);
    progress.total.store(size_bytes.saturating_mul(count), Ordering::Relaxed);
    let mut all = Vec::new();
    for destination in destinations {
        let repository = connect(destination, config, environment, backoff).await?;
        let sent_blob_count = push_blobs(&repository, &image.blobs, progress).await?;
        for child in &image.children {
            repository.put_manifest(child, child.digest.as_str()).await?;
        }
        if destination.tags.is_empty() {
            repository.put_manifest(&image.root, image.root.digest.as_str()).await?;
        }
        for tag in &destination.tags {
            repository.put_manifest(&image.root, tag.as_str()).await?;
        }
        all.push(Pushed {
            destination: destination.clone(),
            digest: image.root.digest.clone(),
            media_type: image.root.media_type.clone(),
            sent_blob_count,
            present_blob_count: image.blobs.len().saturating_sub(sent_blob_count),
            size_bytes,
        });
    }
    Ok(all)
}

/// Says how many had to be sent. The first failure ends the others.
async fn push_blobs(
    repository: &Repository,
    blobs: &[Blob],
    progress: &Progress,
) -> Result<usize, RegistryError> {
    let mut running = JoinSet::new();
    let mut waiting = blobs.iter();
    let mut sent_count = 0;
    loop {
        while running.len() < PARALLEL_BLOBS_MAX
            && let Some(blob) = waiting.next()
        {
            let (repository, blob, sent) = (repository.clone(), blob.clone(), Arc::clone(&progress.sent));
            running.spawn(async move { (repository.ensure_blob(&blob, &sent).await, blob.size) });
        }
        let Some(finished) = running.join_next().await else { return Ok(sent_count) };
        let (outcome, size) = finished.map_err(|error| RegistryError::Unexpected {
            doing: format!("pushing to {}", repository.full_name()),
            what: error.to_string(),
        })?;
        if outcome? {
            sent_count += 1;
        } else {
            progress.present.fetch_add(size, Ordering::Relaxed);
        }
    }
}

/// Finds the registry and logs in: with Docker's configuration first, else with a password from ECR.
async fn connect(
    destination: &Destination,
    config: &DockerConfig,
    environment: &Environment,
    backoff: Backoff,
) -> Result<Repository, PushError> {
    let endpoint = Endpoint::new(&destination.registry, environment).map_err(RegistryError::Usage)?;
    let region = endpoint.ecr_region(environment);
    let mut repository = Repository::new(endpoint, destination.repository.clone(), backoff)?;
    let stored = config.login(&destination.registry);
    match repository.challenge().await? {
        None => return Ok(repository),
        Some(Challenge::Bearer { realm, service }) => {
            if repository.log_in_bearer(&realm, service.as_deref(), stored.as_ref()).await? {
                return Ok(repository);
            }
        }
        Some(Challenge::Basic) => {
            if let Some(login) = &stored
                && repository.log_in_basic(login).await?
            {
                return Ok(repository);
            }
            if let Some(region) = &region
                && repository.log_in_basic(&ecr_login(environment, region, backoff).await?).await?
            {
                return Ok(repository);
            }
        }
    }
    let what = match (&stored, &region) {
        (Some(_), None) => format!("it doesn't take the one in {}", config.path().display()),
        (Some(_), Some(_)) => {
            format!("it takes neither the one in {} nor a new one from ECR", config.path().display())
        }
        (None, Some(_)) => "it doesn't take the one from ECR".to_owned(),
        (None, None) => format!("there is none in {}", config.path().display()),
    };
    let is_ecr = region.is_some();
    Err(RegistryError::NoLogin { registry: destination.registry.clone(), what, is_ecr }.into())
}

async fn ecr_login(environment: &Environment, region: &str, backoff: Backoff) -> Result<Login, PushError> {
    let authorizations = ecr::authorize(environment, region, &[], backoff).await?;
    let first = authorizations.into_iter().next().ok_or(ecr::EcrError::Unreadable)?;
    Ok(first.login)
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
