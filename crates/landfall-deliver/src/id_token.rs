//! Where a job's ID token comes from, and what it says.
//!
//! GitHub: <https://docs.github.com/en/actions/reference/security/oidc>. The token is a secret; its
//! claims are not, and they are what a person needs to see when a trust policy refuses it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_types::{ClaimValue, Claims, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{StatusCode, Url};

use crate::aws;
use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::http::{self, Backoff};
use crate::proxy::Proxy;
use crate::read;

/// GitHub's offer of ID tokens to a job: where to ask and what to show there.
#[derive(Clone, Debug)]
pub struct Offer {
    url: String,
    bearer: Secret<String>,
}

impl Offer {
    /// The offer in the job's environment.
    ///
    /// # Errors
    /// The name of the variable that is missing.
    pub fn from_environment(environment: &Environment) -> Result<Self, IdTokenError> {
        let get = |name: &'static str| {
            environment.get(name).map(str::to_owned).ok_or(IdTokenError::NotOffered { variable: name })
        };
        Ok(Self { url: get(REQUEST_URL)?, bearer: Secret::new(get(REQUEST_TOKEN)?) })
    }
}

/// Asks GitHub for a token with an audience. Only answers that may heal by themselves (502, 503, 504)
/// and broken connections are tried again, as GitHub's own toolkit does it.
///
/// # Errors
/// See [`IdTokenError`].
pub async fn request(
    offer: &Offer,
    audience: &str,
    backoff: Backoff,
    proxy: &Proxy,
) -> Result<Secret<String>, IdTokenError> {
    let asking = ask(offer, audience, backoff, proxy);
    tokio::time::timeout(CALL_SECONDS_MAX, asking).await.unwrap_or(Err(IdTokenError::Slow))
}

async fn ask(
    offer: &Offer,
    audience: &str,
    backoff: Backoff,
    proxy: &Proxy,
) -> Result<Secret<String>, IdTokenError> {
    let url = request_url(&offer.url, audience)?;
    let client = http::client(&url, proxy).map_err(IdTokenError::Transport)?;
    let mut attempt = 1;
    loop {
        let sent = client
            .get(url.clone())
            .timeout(ATTEMPT_SECONDS_MAX)
            .bearer_auth(offer.bearer.expose())
            .header("Accept", "application/json; api-version=2.0")
            .send()
            .await;
        let error = match sent {
            Ok(response) if response.status().is_success() => return value_of(response).await,
            Ok(response) => refusal(response).await,
            Err(cause) => IdTokenError::Transport(cause.without_url()),
        };
        match backoff.wait_after(attempt, None).filter(|_| error.is_transient()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(error),
        }
        attempt += 1;
    }
}

/// The address with its audience. GitHub's URL already has a query, so `&audience=` is appended; a
/// URL without one gets one.
fn request_url(base: &str, audience: &str) -> Result<Url, IdTokenError> {
    let separator = if base.contains('?') { '&' } else { '?' };
    let audience = utf8_percent_encode(audience, COMPONENT);
    let text = format!("{base}{separator}audience={audience}");
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| IdTokenError::BadUrl { url: base.to_owned() })
}

async fn value_of(response: reqwest::Response) -> Result<Secret<String>, IdTokenError> {
    #[derive(serde::Deserialize)]
    struct Answer {
        value: Option<String>,
    }
    let bytes = http::body(response, TOKEN_BYTES_MAX).await.map_err(IdTokenError::Body)?;
    // The parser's own message would quote the token.
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| IdTokenError::NoValue)?;
    answer.value.filter(|value| !value.is_empty()).map(Secret::new).ok_or(IdTokenError::NoValue)
}

async fn refusal(response: reqwest::Response) -> IdTokenError {
    let status = response.status();
    let body = http::body(response, ERROR_BYTES_MAX).await.unwrap_or_default();
    IdTokenError::Refused { status, body: http::excerpt(&String::from_utf8_lossy(&body)) }
}

/// Reads a token from a file, such as the one that Kubernetes projects into a pod. White space around
/// it doesn't count.
///
/// # Errors
/// When the file can't be read, is empty, is longer than any token may be, or is a link that leads elsewhere.
pub fn from_file(path: &Path) -> Result<Secret<String>, IdTokenError> {
    let unreadable = |cause| IdTokenError::File { path: path.to_owned(), cause };
    check_link(path).map_err(unreadable)?;
    let bytes = std::fs::File::open(path).and_then(|file| read::whole(file, TOKEN_BYTES_MAX as u64));
    let text =
        bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text")));
    let text = text.map_err(unreadable)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(unreadable(std::io::Error::other("it is empty")));
    }
    if token.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(unreadable(std::io::Error::other("it holds no token: one word of text is expected")));
    }
    Ok(Secret::new(token.to_owned()))
}

/// A link in a checkout could have any file sent to STS. Kubernetes' own leads to a place below the folder in
/// which it stands, so that it can change all files of a volume at once.
fn check_link(path: &Path) -> io::Result<()> {
    let refuse = |what: &str| {
        Err(io::Error::other(format!("{what}: name the file that it leads to, if that is the token's")))
    };
    // The shell's `<(…)` and standard input are links by nature.
    if path.starts_with("/dev") {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory
        && std::fs::symlink_metadata(directory)?.is_symlink()
    {
        return refuse("its folder is a symbolic link");
    }
    if !std::fs::symlink_metadata(path)?.is_symlink() {
        return Ok(());
    }
    let target = std::fs::canonicalize(path)?;
    let below = std::fs::canonicalize(directory.unwrap_or(Path::new(".")))?;
    if target.starts_with(below) { Ok(()) } else { refuse("it is a symbolic link to another folder") }
}

/// What a token says, unverified: for showing, never for deciding. None when it isn't a JWT.
pub fn claims(token: &Secret<String>) -> Option<Claims> {
    let payload = token.expose().split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).ok()?;
    let mut claims = Claims::new();
    for (name, value) in object {
        claims.set(name, claim_value(value));
    }
    Some(claims)
}

// The depth is limited by serde_json, which refuses more than 128 levels.
fn claim_value(value: serde_json::Value) -> ClaimValue {
    match value {
        serde_json::Value::Null => ClaimValue::Null,
        serde_json::Value::Bool(value) => ClaimValue::Bool(value),
        serde_json::Value::Number(number) => ClaimValue::Number(number.to_string()),
        serde_json::Value::String(text) => ClaimValue::Text(text),
        serde_json::Value::Array(items) => ClaimValue::List(items.into_iter().map(claim_value).collect()),
        serde_json::Value::Object(entries) => {
            ClaimValue::Map(entries.into_iter().map(|(name, value)| (name, claim_value(value))).collect())
        }
    }
}

/// The claims that trust policies ask for, as `name` and printable value, in a fixed order.
pub fn telling(claims: &Claims) -> Vec<(&'static str, String)> {
    TELLING
        .iter()
        .filter_map(|name| Some((*name, shown(claims.get(name)?))))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn shown(value: &ClaimValue) -> String {
    match value {
        ClaimValue::Text(text) | ClaimValue::Number(text) => http::excerpt(text),
        ClaimValue::Bool(value) => value.to_string(),
        ClaimValue::List(items) => items
            .iter()
            .filter_map(
                |item| if let ClaimValue::Text(text) = item { Some(http::excerpt(text)) } else { None },
            )
            .collect::<Vec<_>>()
            .join(", "),
        ClaimValue::Null | ClaimValue::Map(_) => String::new(),
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IdTokenError {
    /// The job has no right to ask for one.
    #[error("this job may not ask for an ID token: {variable} is not set")]
    NotOffered {
        /// The variable that GitHub sets when the job may.
        variable: &'static str,
    },
    /// The address isn't one.
    #[error("{REQUEST_URL} is `{url}`, which is not a URL")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// GitHub said no.
    #[error("getIDToken call failed: Error Code : {status}, Error Message: {body}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The start of the answer.
        body: String,
    },
    /// GitHub could not be reached.
    #[error("getIDToken call failed: asking GitHub for an ID token")]
    Transport(#[source] reqwest::Error),
    /// No answer came, also when asked again.
    #[error("getIDToken call failed: no token within {} s", CALL_SECONDS_MAX.as_secs())]
    Slow,
    /// The answer could not be read.
    #[error("getIDToken call failed")]
    Body(#[source] http::BodyError),
    /// An answer without a token.
    #[error("getIDToken call failed: Response json body do not have ID Token field")]
    NoValue,
    /// The token file.
    #[error("reading the web identity token file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl IdTokenError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status.as_u16(), 502..=504),
            Self::Transport(cause) => http::is_passing(cause),
            _ => false,
        }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::NotOffered { .. } | Self::BadUrl { .. } | Self::File { .. } => FailureKind::Usage,
            Self::Refused { status, .. } if status.is_client_error() => FailureKind::Refused,
            Self::Refused { .. } | Self::Transport(_) | Self::Slow | Self::Body(_) | Self::NoValue => {
                FailureKind::Outside
            }
        }
    }
}

impl From<IdTokenError> for Failure {
    fn from(error: IdTokenError) -> Self {
        let failure = Failure::new(error.kind(), error.to_string()).causes_of(&error);
        match error {
            IdTokenError::NotOffered { .. } => failure
                .help("`permissions: id-token: write` is missing in the job (GitHub's default never includes it)")
                .help("in a reusable workflow, the job that calls it needs `id-token: write` too")
                .help("a pull request from a fork gets no ID token"),
            IdTokenError::Transport(cause) => failure.helped_by(http::proxy_help(&aws::chain(&cause))),
            _ => failure,
        }
    }
}

/// GitHub sets both when the job has `id-token: write`.
pub const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// See [`REQUEST_URL`].
pub const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Time for one attempt, answer included.
const ATTEMPT_SECONDS_MAX: Duration = Duration::from_secs(15);
/// Time for all attempts and the waits between them, as for the calls that follow.
const CALL_SECONDS_MAX: Duration = Duration::from_secs(60);
/// The longest answer with a token that is read. STS takes tokens of up to 20 000 characters.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// The longest refusal that is read.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Claims worth showing when a token is refused.
const TELLING: &[&str] = &[
    "sub",
    "aud",
    "iss",
    "repository",
    "ref",
    "environment",
    "job_workflow_ref",
    "project_path",
    "ref_type",
];

/// RFC 3986's unreserved characters stay as they are.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
