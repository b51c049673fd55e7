//! What every call through the AWS SDK has in common: connections, retries, and the reading of errors.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{BehaviorVersion, Credentials, ProvideCredentials as _, Region, SharedHttpClient};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId as _;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use landfall_types::Timestamp;
use reqwest::Url;

use crate::container::{self, Agent};
use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::http::{self, Backoff};
use crate::proxy::Proxy;

/// The SDK's connections to one endpoint (none: AWS's own). Plain http on loopback reads no
/// certificate store and asks no proxy.
pub fn http_client(endpoint: Option<&str>, proxy: &Proxy) -> SharedHttpClient {
    let is_local =
        endpoint.and_then(|text| Url::parse(text).ok()).is_some_and(|url| http::is_plain_loopback(&url));
    let proxy = if is_local { ProxyConfig::disabled() } else { proxy.of_sdk() };
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().connector_settings(settings.cloned().unwrap_or_default());
        if let Some(sleep) = components.and_then(|components| components.sleep_impl()) {
            builder = builder.sleep_impl(sleep);
        }
        let builder = builder.proxy_config(proxy.clone());
        let mut builder = builder.tls_provider(Provider::rustls(CryptoMode::AwsLc));
        if is_local && let Ok(context) = TlsContext::builder().with_trust_store(TrustStore::empty()).build() {
            builder = builder.tls_context(context);
        }
        builder.build()
    })
}

/// Retries of codes that the SDK calls retryable: throttling, 5xx, `IDPCommunicationError`, broken
/// connections. A refusal is never among them.
pub fn retries(backoff: Backoff) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(backoff.attempts.max(1)).with_initial_backoff(backoff.first)
}

/// The SDK's time as ours.
pub fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Time limits for a single attempt, and for a call with all its attempts.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_SECONDS_MAX)
        .operation_attempt_timeout(ATTEMPT_SECONDS_MAX)
        .operation_timeout(CALL_SECONDS_MAX)
        .build()
}

/// The keys in the environment, when both halves are there.
///
/// # Errors
/// A sentence for the user when only one half is there.
pub fn environment_keys(environment: &Environment) -> Result<Option<Credentials>, String> {
    let token = environment.get("AWS_SESSION_TOKEN").map(str::to_owned);
    match (environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(id, secret, token, None, "environment"))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY".to_owned()),
        (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID".to_owned()),
    }
}

/// The credentials that the environment offers: its keys, else what the SDK's default chain finds
/// (profiles, web identity, container and instance credentials).
///
/// # Errors
/// [`CallError::NotSent`] when there are none, [`CallError::Unreachable`] when a source failed.
pub async fn ambient_credentials(
    environment: &Environment,
    region: &str,
    http_client: SharedHttpClient,
) -> Result<Credentials, CallError> {
    if let Some(keys) = environment_keys(environment).map_err(|what| CallError::NotSent { what })? {
        return Ok(keys);
    }
    let agent = Agent::of(environment)?;
    if let Some(agent) = agent.as_ref().filter(|_| container::is_alone(environment)) {
        return agent.credentials().await;
    }
    let chain = from_chain(environment, region, http_client);
    match agent {
        Some(agent) => with_agent(chain, &agent).await,
        None => chain.await,
    }
}

/// What the chain finds. Where it comes as far as the agent it keeps the agent's answer to itself, and waits long
/// for one that hangs: the agent is asked as well.
async fn with_agent(
    chain: impl Future<Output = Result<Credentials, CallError>>,
    agent: &Agent,
) -> Result<Credentials, CallError> {
    let agent_alone = async {
        tokio::time::sleep(CHAIN_SECONDS).await;
        agent.credentials().await
    };
    tokio::select! {
        found = chain => match found {
            Err(error) => agent.credentials().await.and(Err(error)),
            Ok(keys) => Ok(keys),
        },
        Err(error) = agent_alone => Err(error),
    }
}

/// What the SDK's default chain finds.
async fn from_chain(
    environment: &Environment,
    region: &str,
    http_client: SharedHttpClient,
) -> Result<Credentials, CallError> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(http_client.clone())
        .load()
        .await;
    let none = || CallError::NotSent { what: NO_CREDENTIALS.to_owned() };
    let provider = config.credentials_provider().ok_or_else(none)?;
    let mut found = provider.provide_credentials().await;
    // An empty variable turns the agent off, so that the instance's own role is taken. The chain stops at it.
    let is_off = [container::RELATIVE, container::FULL].into_iter().any(|name| environment.is_blank(name));
    if is_off && matches!(found, Err(CredentialsError::InvalidConfiguration(_))) {
        let instance = ProviderConfig::without_region().with_http_client(http_client);
        let instance = ImdsCredentialsProvider::builder().configure(&instance).build();
        found = instance.provide_credentials().await;
    }
    found.map_err(|error| match error {
        CredentialsError::CredentialsNotLoaded(_) => none(),
        CredentialsError::InvalidConfiguration(_) => CallError::NotSent { what: chain(&error) },
        // The last one that the chain asks; elsewhere than on an instance nobody means it.
        _ if chain(&error).contains("IMDS") => CallError::NotSent {
            what: format!("{NO_CREDENTIALS}, and the instance metadata service has none: {}", chain(&error)),
        },
        _ => CallError::Unreachable { what: chain(&error) },
    })
}

/// AWS's own words about a call that it didn't do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Such as `AccessDenied`.
    pub code: String,
    /// AWS's sentence, to the letter.
    pub message: String,
    /// HTTP status; 0 when unknown.
    pub status: u16,
    /// The request's id, for AWS's support.
    pub request_id: Option<String>,
    /// What helps, where the code tells.
    pub help: Option<&'static str>,
}

impl Answer {
    /// What AWS calls it, where its sentence stands already.
    pub fn origin(&self) -> String {
        format!("{} ({})", self.code, self.transport())
    }

    fn transport(&self) -> String {
        let id = self.request_id.as_ref().map_or_else(String::new, |id| format!(", request {id}"));
        format!("HTTP {}{id}", self.status)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.code, self.message, self.transport())
    }
}

/// Why a call to AWS gave nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// AWS answered no. Asking again gives the same.
    #[error("{}", .0.message)]
    Refused(Box<Answer>),
    /// AWS answered that it can't just now, and kept to it.
    #[error("{}", .0.message)]
    Unavailable(Box<Answer>),
    /// No usable answer came.
    #[error("{what}")]
    Unreachable {
        /// What went wrong, cause after cause.
        what: String,
    },
    /// No credentials, no region, or an endpoint that isn't one.
    #[error("{what}")]
    NotSent {
        /// What went wrong, cause after cause.
        what: String,
    },
}

impl CallError {
    /// Which exit code this is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Refused(_) => FailureKind::Refused,
            Self::Unavailable(_) | Self::Unreachable { .. } => FailureKind::Outside,
            Self::NotSent { .. } => FailureKind::Usage,
        }
    }

    /// With the place that could not be reached. What went wrong there says no name.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        match self {
            Self::Unreachable { what } => {
                Self::Unreachable { what: format!("{place} gave no answer: {what}") }
            }
            other => other,
        }
    }

    /// AWS's own words, when there are any.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Refused(answer) | Self::Unavailable(answer) => Some(answer),
            Self::Unreachable { .. } | Self::NotSent { .. } => None,
        }
    }

    /// A failure that begins with what was being done.
    pub fn into_failure(self, doing: &str) -> Failure {
        let failure = Failure::new(self.kind(), format!("{doing}: {self}"));
        match self.answer() {
            Some(answer) => failure.answered(answer).helped_by(answer.help),
            None if matches!(&self, Self::NotSent { what } if what.starts_with(NO_CREDENTIALS)) => failure.help(
                "in a job with an ID token `landfall login` makes them; elsewhere AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, name them",
            ),
            None => failure,
        }
    }
}

/// Sorts the SDK's error by what a person can do about it.
pub fn classify<E>(error: SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Some(response) = error.raw_response() else {
        let what = chain(&error);
        let what = match http::proxy_help(&what) {
            Some(help) => format!("{what}; {help}"),
            None => what,
        };
        return match error {
            SdkError::ConstructionFailure(_) => CallError::NotSent { what },
            SdkError::DispatchFailure(ref failure) if failure.is_user() => CallError::NotSent { what },
            _ => CallError::Unreachable { what },
        };
    };
    let status = response.status().as_u16();
    // An answer of success that can't be read comes as a service error too.
    let service = match &error {
        SdkError::ServiceError(service) if status >= 400 => service,
        _ => {
            let what = format!("unreadable answer (HTTP {status}): {}", chain(&error));
            return CallError::Unreachable { what };
        }
    };
    let metadata = service.err().meta();
    let answer = Answer {
        code: http::excerpt(metadata.code().unwrap_or("Unknown")),
        message: http::excerpt(metadata.message().unwrap_or("no message")),
        status,
        request_id: metadata.request_id().map(http::excerpt),
        help: None,
    };
    if status >= 500 || status == 429 || is_retryable_code(&answer.code) {
        CallError::Unavailable(Box::new(answer))
    } else {
        CallError::Refused(Box::new(answer))
    }
}

pub(crate) fn is_retryable_code(code: &str) -> bool {
    RETRYABLE.contains(&code.strip_suffix("Exception").unwrap_or(code))
}

/// An error with its causes. What the SDK's layers say of themselves is left out, and so is whatever holds a
/// request: a token or a key stands in it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).take(CHAIN_MAX);
    let mut text = String::new();
    for cause in causes.map(ToString::to_string) {
        let is_layer = LAYERS.contains(&cause.as_str());
        if is_layer || cause.contains(A_REQUEST) || text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    if text.is_empty() {
        text.push_str("the request can't be made");
    }
    http::excerpt(&text)
}

/// An address that calls can go to.
///
/// # Errors
/// [`CallError::NotSent`] when it isn't one, also when the scheme was left out.
pub fn endpoint_url(text: &str) -> Result<Url, CallError> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    url.ok_or_else(|| CallError::NotSent {
        what: format!("the endpoint `{}` is not an http or https address", http::excerpt(text)),
    })
}

/// Whether a text can be the name of a region.
pub fn is_region(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= REGION_CHARS_MAX && text.bytes().all(is_of_name)
}

/// Codes that say "not now" with a 400 (STS's API reference; the SDK's own table of throttling codes).
const RETRYABLE: &[&str] = &[
    "IDPCommunicationError",
    "Throttling",
    "Throttled",
    "RequestThrottled",
    "TooManyRequests",
    "RequestLimitExceeded",
    "SlowDown",
    "RequestTimeout",
    "ServiceUnavailable",
];
/// Time to connect.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(5);
/// Time for one attempt, answer included.
const ATTEMPT_SECONDS_MAX: Duration = Duration::from_secs(20);
/// Time for a call, attempts and waits included.
const CALL_SECONDS_MAX: Duration = Duration::from_secs(60);
/// How long the SDK's chain may take before the agent at its end is asked whether it answers at all.
const CHAIN_SECONDS: Duration = Duration::from_secs(5);
/// What is said where nothing offers any.
const NO_CREDENTIALS: &str = "no AWS credentials were found";
/// How many causes are followed.
const CHAIN_MAX: usize = 12;
/// What the SDK's layers say of an error that another one is the cause of.
const LAYERS: &[&str] =
    &["dispatch failure", "io error", "client error (Connect)", "failed to construct request"];
/// How the SDK begins to print a request, with all that is in it.
const A_REQUEST: &str = "Request {";
const REGION_CHARS_MAX: usize = 40;
