//! The pushing half of the OCI distribution protocol, spoken as Docker speaks it.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push>
//!
//! Blobs go as POST, one streaming PATCH, PUT; ECR and every other registry take that. What the bytes
//! hash to is known only after the PATCH, and the closing PUT is sent only when it is right.

use std::sync::Arc;
use std::time::Duration;

use landfall_types::{Digest, RepositoryName};
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use crate::docker_config::Login;
use crate::environment::Environment;
use crate::http::{self, Backoff};
use crate::layout::Manifest;
use crate::proxy::Proxy;

pub mod challenge;
pub mod endpoint;
pub mod error;
mod token;
mod upload;

use challenge::Challenge;
use endpoint::{Endpoint, Target};
pub use error::RegistryError;
use token::TokenService;

/// One repository of one registry, with whatever the registry wanted to see.
#[derive(Clone, Debug)]
pub struct Repository {
    client: Client,
    endpoint: Endpoint,
    name: RepositoryName,
    access: Access,
    patience: Patience,
    proxy: Proxy,
}

/// How long a registry is waited for, and how often it is asked. An upload is never ended for being long: what ends
/// it is standing still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How often what may heal is tried.
    pub backoff: Backoff,
    /// Time for a whole answer.
    pub answer: Duration,
    /// Time for the answer that ends an upload: registries put a large layer together before they give it.
    pub closing: Duration,
    /// Time in which at least a piece of an upload (256 KiB) has to be taken.
    pub piece: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            answer: Duration::from_secs(60),
            closing: Duration::from_secs(300),
            piece: Duration::from_secs(60),
        }
    }
}

/// What the registry is shown.
#[derive(Clone, Debug)]
enum Access {
    Anybody,
    Basic(HeaderValue),
    Token(Arc<TokenService>),
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

/// A request's body; redirects and retries need it again.
#[derive(Clone, Copy)]
enum Payload<'a> {
    None,
    /// No bytes, and a `Content-Length` that says so.
    Empty,
    /// The same, and what comes of it may take long.
    Closing,
    Manifest(&'a Manifest),
}

impl Repository {
    /// A repository that nobody has logged in to yet.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(
        endpoint: Endpoint,
        name: RepositoryName,
        patience: Patience,
        proxy: &Proxy,
    ) -> Result<Self, RegistryError> {
        let client = http::client(&endpoint.base, proxy)
            .map_err(|cause| RegistryError::Client { registry: endpoint.name.clone(), cause })?;
        Ok(Self { client, endpoint, name, access: Access::Anybody, patience, proxy: proxy.clone() })
    }

    /// How it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes over what its challenge says of it.
    pub fn learn(&mut self, challenge: &Challenge, environment: &Environment) {
        self.endpoint.learn(challenge, environment);
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
        let shown = header(&format!("Basic {}", login.to_base64().expose()));
        let Some(shown) = shown else { return Ok(false) };
        self.access = Access::Basic(shown);
        let doing = format!("GET {}/v2/", self.endpoint.name);
        let response = self.ask(&doing, Method::GET, self.target("/v2/")?, Payload::None).await?;
        match response.status() {
            status if status.is_success() => return Ok(true),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {}
            _ => match answer(doing, response).await {
                // ECR's answer to a password that it never gave: HTTP 400.
                RegistryError::Refused { errors, .. }
                    if errors.iter().any(|error| error.code == "DENIED") => {}
                error => return Err(error),
            },
        }
        self.access = Access::Anybody;
        Ok(false)
    }

    /// Gets a token from the registry's token service, with a login or as anybody, also for taking blobs from
    /// `sources`. Says whether the service gave one.
    ///
    /// # Errors
    /// When the service can't be reached or isn't reached over an encrypted or local connection.
    pub async fn log_in_bearer(
        &mut self,
        realm: &str,
        service: Option<&str>,
        login: Option<&Login>,
        sources: &[RepositoryName],
    ) -> Result<bool, RegistryError> {
        let scopes = (&self.name, sources);
        let service =
            TokenService::new(&self.endpoint, (realm, service), scopes, login, self.patience, &self.proxy)?;
        let is_in = service.renew(None).await?;
        if is_in {
            self.access = Access::Token(Arc::new(service));
        }
        Ok(is_in)
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
        let ask = || async {
            let answered = self.ask_once(doing, method.clone(), target.clone(), payload).await;
            answered.map(|(response, _)| response)
        };
        patiently(self.patience.backoff, ask).await
    }

    /// One request and its redirects; also says where the answer came from. A token that the registry doesn't take
    /// any more is renewed once.
    async fn ask_once(
        &self,
        doing: &str,
        method: Method,
        mut target: Target,
        payload: Payload<'_>,
    ) -> Result<(Response, Url), RegistryError> {
        let mut is_renewed = false;
        for _ in 0..=REDIRECTS_MAX {
            let shown = self.shown(&target).await;
            let mut request = self.request(method.clone(), &target, shown.as_ref());
            let mut limit = self.patience.answer;
            match payload {
                Payload::None => {}
                Payload::Empty => request = request.header(CONTENT_LENGTH, 0),
                Payload::Closing => {
                    request = request.header(CONTENT_LENGTH, 0);
                    limit = self.patience.closing;
                }
                Payload::Manifest(manifest) => {
                    request = request.header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
                }
            }
            let sent = request.timeout(limit).send().await;
            let response = sent.map_err(|cause| RegistryError::sent(doing, limit, cause))?;
            if response.status() == StatusCode::UNAUTHORIZED && !is_renewed && self.renew(&shown).await? {
                is_renewed = true;
                continue;
            }
            if !is_redirect(response.status()) {
                return Ok((response, target.url));
            }
            target = self.next(doing, &target.url, &response)?;
        }
        let what = format!("more than {REDIRECTS_MAX} redirects");
        Err(RegistryError::Unexpected { doing: doing.to_owned(), what })
    }

    /// What a request shows: the login is for the registry's own address alone.
    async fn shown(&self, target: &Target) -> Option<HeaderValue> {
        match &self.access {
            _ if !target.is_registry => None,
            Access::Anybody => None,
            Access::Basic(shown) => Some(shown.clone()),
            Access::Token(service) => service.token().await,
        }
    }

    /// Gets a new token in place of one that was shown and not taken; false where there is no other.
    async fn renew(&self, shown: &Option<HeaderValue>) -> Result<bool, RegistryError> {
        match (&self.access, shown) {
            (Access::Token(service), Some(shown)) => service.renew(Some(shown)).await,
            _ => Ok(false),
        }
    }

    /// The registry's own address gets its name; any other doesn't.
    fn request(&self, method: Method, target: &Target, shown: Option<&HeaderValue>) -> RequestBuilder {
        let mut request = self.client.request(method, target.url.clone());
        if target.is_registry && self.endpoint.is_stand_in {
            request = request.header(HOST, &self.endpoint.name);
        }
        match shown {
            Some(shown) => request.header(AUTHORIZATION, shown),
            None => request,
        }
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

/// Asks again while the answer may heal by itself.
async fn patiently<Answer>(backoff: Backoff, ask: impl Fn() -> Answer) -> Result<Response, RegistryError>
where
    Answer: Future<Output = Result<Response, RegistryError>>,
{
    let mut attempt = 1;
    loop {
        let answered = ask().await;
        let (is_transient, retry_after) = match &answered {
            Ok(response) => (http::is_transient(response.status()), http::retry_after(response.headers())),
            Err(error) => (error.is_transient(), error.retry_after()),
        };
        match backoff.wait_after(attempt, retry_after).filter(|_| is_transient) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return answered,
        }
        attempt += 1;
    }
}

async fn answer(doing: String, response: Response) -> RegistryError {
    let status = response.status();
    let retry_after = http::retry_after(response.headers());
    let lacks_scope = Challenge::lacks_scope(response.headers());
    let body = http::body(response, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let mut errors = error::oci_errors(&body);
    if lacks_scope {
        errors.push(error::OciError::insufficient_scope());
    }
    if http::is_transient(status) {
        RegistryError::Unavailable { doing, status, errors, retry_after }
    } else if status.is_client_error() {
        RegistryError::Refused { doing, status, errors }
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

/// `sha256:` and twelve digits.
const SHORT_DIGEST_CHARS: usize = 19;
/// Redirects of one request.
const REDIRECTS_MAX: usize = 5;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
