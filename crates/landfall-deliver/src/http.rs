//! Plain HTTP for the parties that no AWS SDK speaks to: GitHub's ID token endpoint and registries.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};

use crate::proxy::Proxy;

/// Whether a host, as it stands in a URL or an image reference, is this machine: 127.0.0.0/8, `::1`
/// (with or without brackets) or `localhost`. Names are not resolved.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a URL is plain http to this machine.
pub fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http" && url.host_str().is_some_and(is_loopback_host)
}

/// A client for one party. For plain http on loopback no certificate store is read and no proxy is
/// asked; redirects are never followed unseen.
///
/// # Errors
/// When the TLS backend can't be set up (no usable certificate store).
pub fn client(url: &Url) -> Result<Client, reqwest::Error> {
    finished(builder(), url)
}

/// A client as [`client`] gives it, for short answers and through a proxy that isn't always the process's own.
///
/// # Errors
/// As [`client`].
pub fn client_through(url: &Url, proxy: &Proxy) -> Result<Client, reqwest::Error> {
    let builder = builder().no_proxy().timeout(SHORT_ANSWER_SECONDS_MAX);
    let builder = match proxy.of_reqwest()? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    };
    finished(builder, url)
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_SECONDS_MAX)
        .read_timeout(READ_SECONDS_MAX)
        .http1_only()
}

fn finished(builder: ClientBuilder, url: &Url) -> Result<Client, reqwest::Error> {
    if url.scheme() == "http" {
        let builder = builder.tls_certs_only([]);
        return if is_plain_loopback(url) { builder.no_proxy().build() } else { builder.build() };
    }
    builder.build()
}

/// How often something is tried and how long to wait in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The first wait; each further one is twice as long, up to [`BACKOFF_SECONDS_MAX`].
    pub first: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_millis(200) }
    }
}

impl Backoff {
    /// The wait before attempt `attempt + 1` (attempts count from 1); none after the last one.
    /// `retry_after` is what the other side asked for.
    pub fn wait_after(&self, attempt: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        Some(doubled.max(retry_after.unwrap_or_default()).min(BACKOFF_SECONDS_MAX))
    }
}

/// The seconds form of `Retry-After` (RFC 9110, section 10.2.3); a date is ignored.
pub fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Whether an answer may be different next time without anybody changing anything.
pub fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("reading the answer")]
    Transport(#[source] reqwest::Error),
    /// Too long.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// Bytes that would have been accepted.
        limit: usize,
    },
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// When the connection breaks or the body is longer.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|cause| BodyError::Transport(cause.without_url()))?
    {
        if bytes.len() + chunk.len() > limit {
            return Err(BodyError::TooLong { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The start of a text that came from outside, fit for one line of a terminal.
pub fn excerpt(text: &str) -> String {
    let line: String = text.trim().chars().take(EXCERPT_CHARS_MAX).collect();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Time to connect.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(10);
/// Silence that ends a call. Registries commit a large layer before they answer the closing PUT.
const READ_SECONDS_MAX: Duration = Duration::from_secs(120);
/// Time for one attempt at an answer of a few lines.
const SHORT_ANSWER_SECONDS_MAX: Duration = Duration::from_secs(15);
/// The longest wait between two attempts.
pub const BACKOFF_SECONDS_MAX: Duration = Duration::from_secs(20);
/// How much of an outsider's text is shown.
const EXCERPT_CHARS_MAX: usize = 2000;
/// What we call ourselves.
const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn loopback_is_this_machine_and_nothing_that_looks_like_it() {
        for host in ["127.0.0.1", "127.9.8.7", "localhost", "LOCALHOST", "[::1]", "::1"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in
            ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "", "x.localhost"]
        {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn waits_double_obey_retry_after_and_end() {
        let backoff = Backoff { attempts: 4, first: Duration::from_millis(100) };
        let waits: Vec<_> = (1..=4).map(|attempt| backoff.wait_after(attempt, None)).collect();
        let millis = |wait: Option<Duration>| wait.map(|wait| wait.as_millis());
        assert_eq!(
            waits.into_iter().map(millis).collect::<Vec<_>>(),
            [Some(100), Some(200), Some(400), None]
        );
        assert_eq!(backoff.wait_after(1, Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(backoff.wait_after(1, Some(Duration::from_secs(900))), Some(BACKOFF_SECONDS_MAX));
        assert_eq!(
            Backoff { attempts: 99, first: Duration::from_secs(1) }.wait_after(80, None),
            Some(BACKOFF_SECONDS_MAX)
        );
    }

    #[test]
    fn only_what_may_heal_by_itself_is_transient() {
        for code in [500, 502, 503, 504, 429] {
            assert!(is_transient(StatusCode::from_u16(code).unwrap()), "{code}");
        }
        for code in [400, 401, 403, 404, 409, 501] {
            assert!(!is_transient(StatusCode::from_u16(code).unwrap()), "{code}");
        }
    }

    #[test]
    fn an_excerpt_is_one_harmless_line() {
        assert_eq!(excerpt("  a\nb\x1b[31m \n"), "a b [31m");
        assert_eq!(excerpt(&"x".repeat(5000)).len(), EXCERPT_CHARS_MAX);
    }
}
