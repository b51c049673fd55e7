//! The pushing half of the OCI distribution protocol, spoken as Docker speaks it.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push>
//!
//! Blobs go as POST, one streaming PATCH, PUT; ECR and every other registry take that. What the bytes
//! hash to is known only after the PATCH, and the closing PUT is sent only when it is right.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use landfall_types::{Digest, RepositoryName};
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderValue, LOCATION, RANGE,
    WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, Response, StatusCode, Url};
use tokio::sync::Notify;

use crate::blob::Blob;
use crate::docker_config::Login;
use crate::http::{self, Backoff};
use crate::layout::Manifest;

pub mod challenge;
pub mod endpoint;
pub mod error;

use challenge::Challenge;
use endpoint::{Endpoint, Target};
pub use error::RegistryError;

/// One repository of one registry, with whatever the registry wanted to see.
#[derive(Clone, Debug)]
pub struct Repository {
    client: Client,
    endpoint: Endpoint,
    name: RepositoryName,
    authorization: Option<HeaderValue>,
    backoff: Backoff,
}

/// How a blob came to be in a repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It was there.
    Present,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Sent,
}

/// What an upload begins with.
enum Begun {
    /// With its end.
    Mounted,
    /// Not: the other repository can't be taken from.
    NotThere,
    /// With the address for its bytes.
    Session(Target),
}

/// An upload that didn't work, and its address when bytes may have arrived there.
struct Broken {
    error: RegistryError,
    session: Option<Target>,
}

impl From<RegistryError> for Broken {
    fn from(error: RegistryError) -> Self {
        Self { error, session: None }
    }
}

/// A request's body; redirects and retries need it again.
#[derive(Clone, Copy)]
enum Payload<'a> {
    None,
    /// No bytes, and a `Content-Length` that says so.
    Empty,
    Manifest(&'a Manifest),
}

impl Repository {
    /// A repository that nobody has logged in to yet.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(endpoint: Endpoint, name: RepositoryName, backoff: Backoff) -> Result<Self, RegistryError> {
        let client = http::client(&endpoint.base)
            .map_err(|cause| RegistryError::Client { registry: endpoint.name.clone(), cause })?;
        Ok(Self { client, endpoint, name, authorization: None, backoff })
    }

    /// How it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// `REGISTRY/REPOSITORY`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.endpoint.name, self.name)
    }

    /// What the registry wants to see, none when it answers anybody.
    ///
    /// # Errors
    /// When it can't be reached or wants something unknown.
    pub async fn challenge(&self) -> Result<Option<Challenge>, RegistryError> {
        let doing = format!("GET {}/v2/", self.endpoint.name);
        let response = self.ask(&doing, Method::GET, self.target("/v2/")?, Payload::None).await?;
        if response.status().is_success() {
            return Ok(None);
        }
        if response.status() != StatusCode::UNAUTHORIZED {
            return Err(answer(doing, response).await);
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = headers.iter().filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
        challenge.map(Some).ok_or_else(|| RegistryError::Unexpected {
            doing,
            what: "it wants a login and doesn't say which kind (Basic or Bearer is expected)".to_owned(),
        })
    }

    /// Logs in with user and password. Says whether the registry takes them.
    ///
    /// # Errors
    /// When the registry can't be reached.
    pub async fn log_in_basic(&mut self, login: &Login) -> Result<bool, RegistryError> {
        self.authorization = header(&format!("Basic {}", login.to_base64().expose()));
        let doing = format!("GET {}/v2/", self.endpoint.name);
        let response = self.ask(&doing, Method::GET, self.target("/v2/")?, Payload::None).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.authorization = None;
                Ok(false)
            }
            _ => match answer(doing, response).await {
                // ECR's answer to a password that it never gave: HTTP 400.
                RegistryError::Refused { errors, .. }
                    if errors.iter().any(|error| error.code == "DENIED") =>
                {
                    self.authorization = None;
                    Ok(false)
                }
                error => Err(error),
            },
        }
    }

    /// Gets a token from the registry's token service, with a login or as anybody. Says whether the
    /// service gave one.
    ///
    /// # Errors
    /// When the service can't be reached or isn't reached over an encrypted or local connection.
    pub async fn log_in_bearer(
        &mut self,
        realm: &str,
        service: Option<&str>,
        login: Option<&Login>,
    ) -> Result<bool, RegistryError> {
        let doing = format!("asking {}'s token service", self.endpoint.name);
        let unexpected =
            |what: &str| RegistryError::Unexpected { doing: doing.clone(), what: what.to_owned() };
        let target = challenge::token_url(realm, service, self.name.as_str())
            .map(|url| self.endpoint.token_service(url))
            .filter(|target| target.url.scheme() == "https" || http::is_plain_loopback(&target.url))
            .ok_or_else(|| unexpected("its address must be https (or http on this machine)"))?;
        let client = http::client(&target.url)
            .map_err(|cause| RegistryError::Client { registry: self.endpoint.name.clone(), cause })?;
        let mut request = client.get(target.url);
        if target.is_registry {
            request = request.header(HOST, &self.endpoint.name);
        }
        if let Some(login) = login {
            request = request.basic_auth(&login.username, Some(login.password.expose()));
        }
        let sent = request.send().await;
        let response = sent
            .map_err(|cause| RegistryError::Transport { doing: doing.clone(), cause: cause.without_url() })?;
        if response.status().is_client_error() {
            return Ok(false);
        }
        if !response.status().is_success() {
            return Err(answer(doing, response).await);
        }
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let body =
            http::body(response, ANSWER_BYTES_MAX).await.map_err(|error| unexpected(&error.to_string()))?;
        let token = serde_json::from_slice::<Answer>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token));
        let token = token.ok_or_else(|| unexpected("its answer holds no token"))?;
        self.authorization = header(&format!("Bearer {token}"));
        Ok(true)
    }

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
            let wait = self.backoff.wait_after(attempt, None).filter(|_| error.error.is_transient());
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
        if self.has_blob(&blob.digest).await? {
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
        if blob.size > 0 {
            let before = session.clone();
            session = self
                .patch(blob, session, start, sent)
                .await
                .map_err(|error| Broken { error, session: Some(before) })?;
        }
        let doing = format!("PUT blob {} to {}", short(&blob.digest), self.full_name());
        session.url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let (response, _) = self.ask_once(&doing, Method::PUT, session, Payload::Empty).await?;
        if response.status() != StatusCode::CREATED && response.status() != StatusCode::NO_CONTENT {
            return Err(answer(doing, response).await.into());
        }
        check_digest(&doing, &response, &blob.digest)?;
        Ok(Arrival::Sent)
    }

    /// Where a broken upload can go on: its address, and how many bytes are there. None where the registry
    /// doesn't say, and where there is nothing yet or nothing left: then it begins anew.
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
        let start = last.checked_add(1).filter(|start| *start > 1 && *start < size)?;
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
        for _ in 0..=REDIRECTS_MAX {
            let (body, reader) = blob.read(start, Arc::clone(sent));
            let mut request = self
                .request(Method::PATCH, &target)
                .header(CONTENT_TYPE, OCTETS)
                .header(CONTENT_LENGTH, blob.size.saturating_sub(start))
                .body(body);
            if start > 0 {
                // The specification's own form, without a unit.
                request = request.header(CONTENT_RANGE, format!("{start}-{}", blob.size.saturating_sub(1)));
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(cause) => return Err(why_broken(&doing, blob, reader.await, cause)),
            };
            // An answer before the end of the body leaves the reader waiting until the body is dropped:
            // only an answer that took all of it is worth waiting for.
            if is_redirect(response.status()) {
                target = self.next(&doing, &target.url, &response)?;
                continue;
            }
            if !response.status().is_success() {
                return Err(answer(doing, response).await);
            }
            let next = self.next(&doing, &target.url, &response)?;
            let actual = read_result(blob, reader.await)?;
            if actual != blob.digest {
                self.cancel(&next).await;
                return Err(RegistryError::Damaged {
                    place: blob.place(),
                    wanted: blob.digest.clone(),
                    actual,
                });
            }
            return Ok(next);
        }
        Err(RegistryError::Unexpected { doing, what: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Forgets an upload. Registries forget abandoned ones by themselves: a failure doesn't matter.
    async fn cancel(&self, session: &Target) {
        let _ = self.request(Method::DELETE, session).send().await;
    }

    /// Stores a manifest under a tag or its digest.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn put_manifest(&self, manifest: &Manifest, reference: &str) -> Result<(), RegistryError> {
        let separator = if reference.contains(':') { '@' } else { ':' };
        let doing = format!("PUT manifest {}{separator}{reference}", self.full_name());
        let target = self.target(&format!("/v2/{}/manifests/{reference}", self.name))?;
        let response = self.ask(&doing, Method::PUT, target, Payload::Manifest(manifest)).await?;
        if !response.status().is_success() {
            return Err(answer(doing, response).await);
        }
        check_digest(&doing, &response, &manifest.digest)
    }

    /// Asks again while the answer may heal by itself.
    async fn ask(
        &self,
        doing: &str,
        method: Method,
        target: Target,
        payload: Payload<'_>,
    ) -> Result<Response, RegistryError> {
        let mut attempt = 1;
        loop {
            let answered = self.ask_once(doing, method.clone(), target.clone(), payload).await;
            let (is_transient, retry_after) = match &answered {
                Ok((response, _)) => (http::is_transient(response.status()), http::retry_after(response)),
                Err(error) => (error.is_transient(), None),
            };
            match self.backoff.wait_after(attempt, retry_after).filter(|_| is_transient) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return answered.map(|(response, _)| response),
            }
            attempt += 1;
        }
    }

    /// One request and its redirects; also says where the answer came from.
    async fn ask_once(
        &self,
        doing: &str,
        method: Method,
        mut target: Target,
        payload: Payload<'_>,
    ) -> Result<(Response, Url), RegistryError> {
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.request(method.clone(), &target);
            match payload {
                Payload::None => {}
                Payload::Empty => request = request.header(CONTENT_LENGTH, 0),
                Payload::Manifest(manifest) => {
                    request = request.header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
                }
            }
            let response = request.send().await.map_err(|cause| RegistryError::Transport {
                doing: doing.to_owned(),
                cause: cause.without_url(),
            })?;
            if !is_redirect(response.status()) {
                return Ok((response, target.url));
            }
            target = self.next(doing, &target.url, &response)?;
        }
        let what = format!("more than {REDIRECTS_MAX} redirects");
        Err(RegistryError::Unexpected { doing: doing.to_owned(), what })
    }

    /// The registry's own address gets its name and the login; any other gets neither.
    fn request(&self, method: Method, target: &Target) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, target.url.clone());
        if target.is_registry {
            if self.endpoint.is_stand_in {
                request = request.header(HOST, &self.endpoint.name);
            }
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
        }
        request
    }

    fn target(&self, path: &str) -> Result<Target, RegistryError> {
        self.endpoint.target(path).map_err(RegistryError::Usage)
    }

    fn next(&self, doing: &str, current: &Url, response: &Response) -> Result<Target, RegistryError> {
        let unexpected = |what| RegistryError::Unexpected { doing: doing.to_owned(), what };
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| {
            unexpected(format!("the answer (HTTP {}) has no Location header", response.status()))
        })?;
        self.endpoint.follow(current, location).map_err(unexpected)
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
        Ok(actual) if actual != blob.digest => {
            RegistryError::Damaged { place: blob.place(), wanted: blob.digest.clone(), actual }
        }
        _ => RegistryError::Transport { doing: doing.to_owned(), cause: cause.without_url() },
    }
}

fn read_result(
    blob: &Blob,
    read: Result<std::io::Result<Digest>, tokio::task::JoinError>,
) -> Result<Digest, RegistryError> {
    read.map_err(std::io::Error::other)
        .and_then(|result| result)
        .map_err(|cause| RegistryError::Read { place: blob.place(), cause })
}

async fn answer(doing: String, response: Response) -> RegistryError {
    let status = response.status();
    let body = http::body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let errors = error::oci_errors(&body);
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        RegistryError::Refused { doing, status, errors }
    } else if http::is_transient(status) {
        RegistryError::Unavailable { doing, status, errors }
    } else {
        RegistryError::Unexpected { doing, what: format!("HTTP {status} isn't an answer to that") }
    }
}

/// `Docker-Content-Digest` is a SHOULD in version 1.1: when it is there it has to be ours.
fn check_digest(doing: &str, response: &Response, wanted: &Digest) -> Result<(), RegistryError> {
    let Some(value) = response.headers().get("Docker-Content-Digest") else { return Ok(()) };
    let value = value.to_str().unwrap_or("(unreadable)");
    if value == wanted.as_str() {
        return Ok(());
    }
    let what = format!("the registry stored {}, {wanted} was sent", http::excerpt(value));
    Err(RegistryError::Unexpected { doing: doing.to_owned(), what })
}

fn header(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// Enough of a digest to find it.
fn short(digest: &Digest) -> &str {
    digest.as_str().get(..SHORT_DIGEST_CHARS).unwrap_or(digest.as_str())
}

const OCTETS: &str = "application/octet-stream";
/// `sha256:` and twelve digits.
const SHORT_DIGEST_CHARS: usize = 19;
/// What has to arrive anew for a broken upload to count as getting on.
const PROGRESS_BYTES: u64 = 1024 * 1024;
/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
