//! Uploads: POST, one streaming PATCH, PUT, as ECR and every other registry takes them. What breaks goes on where the
//! registry says that it stands, or begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use landfall_types::{Digest, RepositoryName};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Method, StatusCode};
use tokio::sync::Notify;

use super::endpoint::Target;
use super::{
    Arrival, Payload, REDIRECTS_MAX, RegistryError, Repository, answer, check_digest, is_redirect, short,
};
use crate::blob::Blob;

/// What an upload begins with.
enum Begun {
    /// With its end.
    Mounted,
    /// Not: the other repository can't be taken from.
    NotThere,
    /// With the address for its bytes.
    Session(Target),
}

/// An upload that didn't work.
struct Broken {
    error: RegistryError,
    /// Its address, when bytes may have arrived there.
    session: Option<Target>,
    /// Whether what failed was tried as often as it may be.
    is_tried_out: bool,
}

impl Broken {
    fn of(session: Target) -> impl FnOnce(RegistryError) -> Self {
        |error| Self { error, session: Some(session), is_tried_out: false }
    }
}

impl From<RegistryError> for Broken {
    fn from(error: RegistryError) -> Self {
        Self { error, session: None, is_tried_out: false }
    }
}

impl Repository {
    /// Makes sure that a blob is there: it is looked for, then mounted from one of the repositories of
    /// this registry that `sources` names, then sent. `sent` counts the bytes; `begun` is told when the
    /// registry has agreed to an upload.
    ///
    /// An upload that breaks is continued where the registry says it stands; where it doesn't (ECR), a new
    /// one begins.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn ensure_blob(
        &self,
        blob: &Blob,
        sources: &[RepositoryName],
        sent: &Arc<AtomicU64>,
        begun: &Notify,
    ) -> Result<Arrival, RegistryError> {
        let (mut attempt, mut resumed, mut reached) = (1, None, 0);
        loop {
            let error = match self.try_blob(blob, sources, sent, begun, resumed.take()).await {
                Ok(arrival) => return Ok(arrival),
                Err(broken) => broken,
            };
            let wait = self.patience.backoff.wait_after(attempt, error.error.retry_after());
            let wait = wait.filter(|_| error.error.is_transient() && !error.is_tried_out);
            let Some(wait) = wait else { return Err(error.error) };
            tokio::time::sleep(wait).await;
            attempt += 1;
            if let Some(session) = error.session {
                resumed = self.standing(session, blob.size).await;
            }
            if let Some((_, start)) = &resumed
                && *start >= reached + PROGRESS_BYTES
            {
                // A line that breaks now and then must not end a large upload that gets on.
                (attempt, reached) = (1, *start);
            }
        }
    }

    async fn try_blob(
        &self,
        blob: &Blob,
        sources: &[RepositoryName],
        sent: &Arc<AtomicU64>,
        begun: &Notify,
        resumed: Option<(Target, u64)>,
    ) -> Result<Arrival, Broken> {
        if let Some((session, start)) = resumed {
            return self.fill(blob, session, start, sent).await;
        }
        let is_there = self.has_blob(&blob.digest).await;
        if is_there.map_err(|error| Broken { error, session: None, is_tried_out: true })? {
            return Ok(Arrival::Present);
        }
        let mut session = None;
        for source in sources.iter().map(Some).chain([None]) {
            if source.is_none() && session.is_some() {
                break;
            }
            match self.begin(blob, source).await? {
                Begun::Mounted => return Ok(Arrival::Mounted),
                Begun::NotThere => {}
                Begun::Session(new) => {
                    if let Some(old) = session.replace(new) {
                        self.cancel(&old).await;
                    }
                }
            }
        }
        match session {
            Some(session) => {
                begun.notify_one();
                self.fill(blob, session, 0, sent).await
            }
            None => Err(RegistryError::Unexpected {
                doing: format!("POST upload of {} to {}", short(&blob.digest), self.full_name()),
                what: "no upload began".to_owned(),
            }
            .into()),
        }
    }

    /// A registry that won't tell (403) counts as one that hasn't got it: the upload that follows
    /// either works or gives the reason, which an answer to HEAD can't.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let doing = format!("HEAD blob {} in {}", short(digest), self.full_name());
        let target = self.target(&format!("/v2/{}/blobs/{digest}", self.name))?;
        let response = self.ask(&doing, Method::HEAD, target, Payload::None).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(false),
            _ => Err(answer(doing, response).await),
        }
    }

    /// Begins an upload, or has the blob mounted from another repository. A registry that can't mount
    /// begins an upload instead.
    async fn begin(&self, blob: &Blob, from: Option<&RepositoryName>) -> Result<Begun, RegistryError> {
        let doing = format!("POST upload of {} to {}", short(&blob.digest), self.full_name());
        let mut target = self.target(&format!("/v2/{}/blobs/uploads/", self.name))?;
        if let Some(from) = from {
            let mut query = target.url.query_pairs_mut();
            query.append_pair("mount", blob.digest.as_str()).append_pair("from", from.as_str());
        }
        let (response, at) = self.ask_once(&doing, Method::POST, target, Payload::Empty).await?;
        match response.status() {
            StatusCode::CREATED if from.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => Ok(Begun::Session(self.next(&doing, &at, &response)?)),
            // Whoever may not read there can still send it here.
            status if from.is_some() && status.is_client_error() => Ok(Begun::NotThere),
            _ => Err(answer(doing, response).await),
        }
    }

    /// Sends the bytes from `start` on, and closes the upload.
    async fn fill(
        &self,
        blob: &Blob,
        session: Target,
        start: u64,
        sent: &Arc<AtomicU64>,
    ) -> Result<Arrival, Broken> {
        let mut session = session;
        if start < blob.size {
            let before = session.clone();
            session = self.patch(blob, session, start, sent).await.map_err(Broken::of(before))?;
        } else {
            let hashed = blob.read(start, Arc::default()).hashed.await;
            check_content(blob, read_result(blob, hashed)?)?;
        }
        let doing = format!("PUT blob {} to {}", short(&blob.digest), self.full_name());
        let mut closing = session.clone();
        closing.url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let broken = Broken::of(session);
        let response = match self.ask_once(&doing, Method::PUT, closing, Payload::Closing).await {
            Ok((response, _)) => response,
            Err(error) => return Err(broken(error)),
        };
        if response.status() != StatusCode::CREATED && response.status() != StatusCode::NO_CONTENT {
            return Err(broken(answer(doing, response).await));
        }
        check_digest(&doing, &response, &blob.digest)?;
        Ok(Arrival::Sent)
    }

    /// Where a broken upload can go on: its address, and how many bytes are there, at most all. None where the
    /// registry doesn't say, and where there is nothing yet: then it begins anew.
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks>
    async fn standing(&self, session: Target, size: u64) -> Option<(Target, u64)> {
        let doing = format!("GET upload in {}", self.full_name());
        let (response, at) = self.ask_once(&doing, Method::GET, session.clone(), Payload::None).await.ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        let range = response.headers().get(RANGE)?.to_str().ok()?;
        let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
        // `0-0` is what an empty upload says; a single byte isn't worth telling apart.
        let start = last.checked_add(1).filter(|start| *start > 1 && *start <= size)?;
        Some((self.next(&doing, &at, &response).unwrap_or(session), start))
    }

    /// Sends the bytes from `start` on and gives the address of the closing PUT.
    async fn patch(
        &self,
        blob: &Blob,
        mut target: Target,
        start: u64,
        sent: &Arc<AtomicU64>,
    ) -> Result<Target, RegistryError> {
        let doing = format!("PATCH blob {} to {}", short(&blob.digest), self.full_name());
        let size = blob.size.saturating_sub(start);
        let mut is_renewed = false;
        for _ in 0..=REDIRECTS_MAX {
            let shown = self.shown(&target).await;
            let reading = blob.read(start, Arc::clone(sent));
            let mut request = self
                .request(Method::PATCH, &target, shown.as_ref())
                .header(CONTENT_TYPE, OCTETS)
                .header(CONTENT_LENGTH, size)
                .body(reading.body);
            if start > 0 {
                // The specification's own form, without a unit.
                request = request.header(CONTENT_RANGE, format!("{start}-{}", blob.size.saturating_sub(1)));
            }
            let response = tokio::select! {
                response = request.send() => response,
                limit = self.standstill(&reading.taken, size) => {
                    return Err(RegistryError::Silent { doing, limit });
                }
            };
            let response = match response {
                Ok(response) => response,
                Err(cause) => return Err(why_broken(&doing, blob, reading.hashed.await, cause)),
            };
            // An answer before the end of the body leaves the reader waiting until the body is dropped:
            // only an answer that took all of it is worth waiting for.
            if is_redirect(response.status()) {
                target = self.next(&doing, &target.url, &response)?;
                continue;
            }
            if response.status() == StatusCode::UNAUTHORIZED && !is_renewed && self.renew(&shown).await? {
                is_renewed = true;
                continue;
            }
            if !response.status().is_success() {
                return Err(answer(doing, response).await);
            }
            let next = self.next(&doing, &target.url, &response)?;
            let actual = read_result(blob, reading.hashed.await)?;
            let checked = check_content(blob, actual);
            if checked.is_err() {
                self.cancel(&next).await;
            }
            return checked.map(|()| next);
        }
        Err(RegistryError::Unexpected { doing, what: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Ends when the registry takes nothing more of an upload of `size` bytes, or has taken all and doesn't answer.
    /// Gives the limit that it passed.
    async fn standstill(&self, taken: &AtomicU64, size: u64) -> Duration {
        let mut before = taken.load(Ordering::Relaxed);
        loop {
            let limit = if before < size { self.patience.piece } else { self.patience.closing };
            tokio::time::sleep(limit).await;
            let now = taken.load(Ordering::Relaxed);
            if now == before {
                return limit;
            }
            before = now;
        }
    }

    /// Forgets an upload. Registries forget abandoned ones by themselves: a failure doesn't matter.
    async fn cancel(&self, session: &Target) {
        let shown = self.shown(session).await;
        let _ =
            self.request(Method::DELETE, session, shown.as_ref()).timeout(self.patience.answer).send().await;
    }
}

/// A body that ended early looks like a broken connection; the file's own story comes first.
fn why_broken(
    doing: &str,
    blob: &Blob,
    read: Result<std::io::Result<Digest>, tokio::task::JoinError>,
    cause: reqwest::Error,
) -> RegistryError {
    match read_result(blob, read) {
        Err(RegistryError::Read { place, cause }) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            RegistryError::Read { place, cause }
        }
        Ok(actual) if actual != blob.digest => damaged(blob, actual),
        _ => RegistryError::Transport { doing: doing.to_owned(), cause: cause.without_url() },
    }
}

fn check_content(blob: &Blob, actual: Digest) -> Result<(), RegistryError> {
    if actual == blob.digest { Ok(()) } else { Err(damaged(blob, actual)) }
}

fn damaged(blob: &Blob, actual: Digest) -> RegistryError {
    RegistryError::Damaged { place: blob.place(), wanted: blob.digest.clone(), actual }
}

fn read_result(
    blob: &Blob,
    read: Result<std::io::Result<Digest>, tokio::task::JoinError>,
) -> Result<Digest, RegistryError> {
    read.map_err(std::io::Error::other)
        .and_then(|result| result)
        .map_err(|cause| RegistryError::Read { place: blob.place(), cause })
}

const OCTETS: &str = "application/octet-stream";
/// What has to arrive anew for a broken upload to count as getting on.
const PROGRESS_BYTES: u64 = 1024 * 1024;
