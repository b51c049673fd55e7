//! Plain HTTP for the parties that no AWS SDK speaks to: GitHub's ID token endpoint and registries.

use std::net::IpAddr;
use std::time::Duration;

use aws_sdk_sts::primitives::{DateTime, DateTimeFormat};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use crate::aws;
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

/// A client for one party, through the proxy unless that is on this machine. For plain http on loopback no
/// certificate store is read and no proxy is asked; redirects are never followed unseen.
///
/// Only connecting has a time limit here. A request has one of its own: what is long for an answer is short for a
/// layer.
///
/// # Errors
/// When the TLS backend can't be set up (no usable certificate store).
pub fn client(url: &Url, proxy: &Proxy) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_SECONDS_MAX)
        .http1_only()
        // The process's own variables are not asked: the environment is an argument.
        .no_proxy();
    let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
    match proxy.of_reqwest()? {
        Some(proxy) if !is_plain_loopback(url) => builder.proxy(proxy).build(),
        _ => builder.build(),
    }
}

/// What helps when the way through a proxy failed, as far as the causes tell.
pub fn proxy_help(causes: &str) -> Option<&'static str> {
    causes.contains(PROXY_WANTS_LOGIN).then_some(
        "the proxy wants a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT has them",
    )
}

/// Whether a request that got no answer may get one next time without anybody changing anything.
pub fn is_passing(error: &reqwest::Error) -> bool {
    !error.is_builder() && !aws::chain(error).contains(PROXY_WANTS_LOGIN)
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
    /// `retry_after` is what the other side asked for, obeyed up to [`RETRY_AFTER_SECONDS_MAX`].
    pub fn wait_after(&self, attempt: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_SECONDS_MAX);
        Some(doubled.min(BACKOFF_SECONDS_MAX).max(asked))
    }
}

/// How long the other side asks to be left alone (RFC 9110, section 10.2.3): seconds, or a date, which is seen from
/// the answer's own `Date`.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = |text: &str| Some(DateTime::from_str(text, DateTimeFormat::HttpDate).ok()?.secs());
    let wait = seconds(value)?.saturating_sub(seconds(text(DATE)?)?);
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or_default()))
}

/// Whether an answer may be different next time without anybody changing anything.
pub fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
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
    /// Too slow.
    #[error("the answer wasn't whole within {} s", BODY_SECONDS_MAX.as_secs())]
    Slow,
}

/// Reads a whole body of at most `limit` bytes, which comes within [`BODY_SECONDS_MAX`].
///
/// # Errors
/// When the connection breaks or the body is longer or too slow.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let reading = async {
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
    };
    tokio::time::timeout(BODY_SECONDS_MAX, reading).await.unwrap_or(Err(BodyError::Slow))
}

/// The start of a text that came from outside, fit for one line of a terminal.
pub fn excerpt(text: &str) -> String {
    let line: String = text.trim().chars().take(EXCERPT_CHARS_MAX).collect();
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What the HTTP client, which is the SDK's too, says of status 407.
const PROXY_WANTS_LOGIN: &str = "proxy authorization required";
/// Time to connect.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(10);
/// Time for the body of an answer, which is a few lines.
pub const BODY_SECONDS_MAX: Duration = Duration::from_secs(30);
/// The longest wait between two attempts of our own accord.
pub const BACKOFF_SECONDS_MAX: Duration = Duration::from_secs(20);
/// The longest wait that the other side can ask for; one who wants to be left alone for longer is asked after it all
/// the same, and the last answer says what was asked for.
pub const RETRY_AFTER_SECONDS_MAX: Duration = Duration::from_secs(60);
/// How much of an outsider's text is shown.
const EXCERPT_CHARS_MAX: usize = 2000;
/// What we call ourselves.
pub const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));

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
        assert_eq!(backoff.wait_after(1, Some(Duration::from_secs(900))), Some(RETRY_AFTER_SECONDS_MAX));
        assert_eq!(backoff.wait_after(4, Some(Duration::from_secs(3))), None);
        assert_eq!(
            Backoff { attempts: 99, first: Duration::from_secs(1) }.wait_after(80, None),
            Some(BACKOFF_SECONDS_MAX)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_seen_from_the_answers_own() {
        let seconds = |value: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let date = Some("Fri, 27 Nov 2026 10:00:00 GMT");
        for (value, date, wanted) in [
            ("7", None, Some(7)),
            (" 7 ", None, Some(7)),
            ("18446744073709551615", None, Some(u64::MAX)),
            ("18446744073709551616", None, None),
            ("-1", None, None),
            ("", None, None),
            ("soon", date, None),
            ("Fri, 27 Nov 2026 10:00:05 GMT", date, Some(5)),
            ("Fri, 27 Nov 2026 09:00:00 GMT", date, Some(0)),
            ("Fri, 27 Nov 2026 10:00:05 GMT", None, None),
            ("Fri, 27 Nov 2026 10:00:05 GMT", Some("today"), None),
        ] {
            assert_eq!(seconds(value, date), wanted, "{value} {date:?}");
        }
        let far = seconds("Fri, 31 Dec 9999 23:59:59 GMT", date);
        assert!(far > Some(86_400), "{far:?}");
    }

    #[test]
    fn only_what_may_heal_by_itself_is_transient() {
        for code in [500, 502, 503, 504, 429, 408] {
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
