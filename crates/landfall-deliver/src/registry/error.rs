//! What a registry says when it doesn't do something, and what can go wrong on the way.

use std::time::Duration;

use landfall_types::Digest;
use reqwest::StatusCode;

use crate::aws;
use crate::failure::{Failure, FailureKind};
use crate::http;

/// One entry of an OCI error body.
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OciError {
    /// Such as `DENIED`.
    pub code: String,
    /// The registry's sentence, to the letter.
    pub message: String,
}

impl OciError {
    /// The words of RFC 6750 for a token without the right, which the header says and not the body.
    pub fn insufficient_scope() -> Self {
        Self { code: SCOPE.to_owned(), message: "the login may not do that in this repository".to_owned() }
    }
}

/// Reads an error body. Anything that isn't one becomes a single entry without a code.
pub fn oci_errors(body: &[u8]) -> Vec<OciError> {
    #[derive(serde::Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    if let Ok(body) = serde_json::from_slice::<Body>(body) {
        let entries = body.errors.into_iter().take(ERRORS_MAX);
        return entries
            .map(|entry| OciError {
                code: http::excerpt(&entry.code),
                message: http::excerpt(&entry.message),
            })
            .collect();
    }
    let text = http::excerpt(&String::from_utf8_lossy(body));
    if text.is_empty() { Vec::new() } else { vec![OciError { code: String::new(), message: text }] }
}

/// Why something was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry answered no (4xx).
    #[error("{}", answer_text(.doing, *.status, .errors))]
    Refused {
        /// What was being done.
        doing: String,
        /// HTTP status.
        status: StatusCode,
        /// The registry's words.
        errors: Vec<OciError>,
    },
    /// The registry failed (5xx, 429), also when asked again.
    #[error("{}{}", answer_text(.doing, *.status, .errors), asked_text(*.retry_after))]
    Unavailable {
        /// What was being done.
        doing: String,
        /// HTTP status.
        status: StatusCode,
        /// The registry's words.
        errors: Vec<OciError>,
        /// How long the registry asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer came in time, also when asked again, or an upload stood still.
    #[error("{doing}: the registry took the connection, and for {} s nothing came of it", .limit.as_secs_f64())]
    Silent {
        /// What was being done.
        doing: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The connection failed, also when tried again.
    #[error("{doing}")]
    Transport {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The registry did something that the specification doesn't know.
    #[error("{doing}: {what}")]
    Unexpected {
        /// What was being done.
        doing: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The registry wants a login and there is none that it takes.
    #[error("{registry} wants a login: {what}")]
    NoLogin {
        /// The registry.
        registry: String,
        /// What was tried.
        what: String,
        /// Whether `landfall ecr login` can help.
        is_ecr: bool,
    },
    /// What was read from disk is not what its name says.
    #[error("`{place}` is damaged: its content is {actual}, {wanted} is expected; nothing was published")]
    Damaged {
        /// Where it was read.
        place: String,
        /// What the manifest says.
        wanted: Digest,
        /// What it really is.
        actual: Digest,
    },
    /// Reading from disk failed.
    #[error("reading `{place}`")]
    Read {
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The input is wrong.
    #[error("{0}")]
    Usage(String),
    /// Setting up TLS.
    #[error("setting up the connection to {registry}")]
    Client {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
}

fn answer_text(doing: &str, status: StatusCode, errors: &[OciError]) -> String {
    match errors.first() {
        Some(OciError { code, message }) if code.is_empty() => format!("{doing}: {message} (HTTP {status})"),
        Some(OciError { code, message }) => format!("{doing}: {code}: {message} (HTTP {status})"),
        None => format!("{doing}: HTTP {status}"),
    }
}

fn asked_text(retry_after: Option<Duration>) -> String {
    let asked = retry_after.filter(|asked| !asked.is_zero());
    asked.map_or_else(String::new, |asked| format!("; it asks to be left alone for {} s", asked.as_secs()))
}

impl RegistryError {
    /// What became of a request that got no answer within `limit`.
    pub(super) fn sent(doing: &str, limit: Duration, cause: reqwest::Error) -> Self {
        if cause.is_timeout() && !cause.is_connect() {
            return Self::Silent { doing: doing.to_owned(), limit };
        }
        Self::Transport { doing: doing.to_owned(), cause: cause.without_url() }
    }

    /// How long the registry asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether doing it all again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { cause, .. } => http::is_passing(cause),
            Self::Unavailable { .. } | Self::Silent { .. } => true,
            _ => false,
        }
    }

    /// Whether the login was good and isn't any more: ECR's words for it, or a plain 401 after a login.
    pub fn is_ended_login(&self) -> bool {
        match self {
            Self::Refused { status, errors, .. } => {
                *status == StatusCode::UNAUTHORIZED
                    || errors.iter().any(|error| error.code == "DENIED" && error.message.contains("expired"))
            }
            _ => false,
        }
    }

    /// Whether there is no such repository.
    pub fn is_missing_repository(&self) -> bool {
        matches!(self, Self::Refused { errors, .. } if errors.iter().any(|error| error.code == "NAME_UNKNOWN"))
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Refused { .. } | Self::NoLogin { .. } => FailureKind::Refused,
            Self::Damaged { .. } | Self::Read { .. } | Self::Usage(_) => FailureKind::Usage,
            Self::Unavailable { .. }
            | Self::Silent { .. }
            | Self::Transport { .. }
            | Self::Unexpected { .. }
            | Self::Client { .. } => FailureKind::Outside,
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let mut failure = Failure::new(error.kind(), error.to_string()).causes_of(&error);
        match &error {
            RegistryError::Refused { errors, .. } => {
                for error in errors.iter().skip(1) {
                    failure = failure.caused_by(format_args!("{}: {}", error.code, error.message));
                }
                if let Some(help) = errors.iter().find_map(help) {
                    failure = failure.help(help);
                }
            }
            RegistryError::Transport { cause, .. } => {
                failure = failure.helped_by(http::proxy_help(&aws::chain(cause)));
            }
            RegistryError::NoLogin { is_ecr: true, .. } => {
                failure = failure.help("`landfall ecr login` gets one for the role of `landfall login`");
            }
            _ => {}
        }
        failure
    }
}

fn help(error: &OciError) -> Option<&'static str> {
    match error.code.as_str() {
        "NAME_UNKNOWN" => Some(
            "the repository has to exist before the push, in this account and region; --create-repository makes it",
        ),
        "TAG_INVALID" if error.message.contains("immutable") => {
            Some("tags of this repository can't be moved: push under a new tag, such as the commit's")
        }
        "DENIED" if error.message.contains("expired") => Some("`landfall ecr login` gets a new password"),
        _ => None,
    }
}

/// The code of [`OciError::insufficient_scope`].
const SCOPE: &str = "insufficient_scope";
/// Entries of an error body that are shown.
const ERRORS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_are_read_and_others_are_quoted() {
        let error =
            |code: &str, message: &str| OciError { code: code.to_owned(), message: message.to_owned() };
        let cases: [(&str, Vec<OciError>); 5] = [
            (
                r#"{"errors":[{"code":"DENIED","message":"User: x is not authorized"}]}"#,
                vec![error("DENIED", "User: x is not authorized")],
            ),
            (
                r#"{"errors":[{"code":"A","detail":{}},{"message":"b"}]}"#,
                vec![error("A", ""), error("", "b")],
            ),
            ("Not Authorized\n", vec![error("", "Not Authorized")]),
            ("", vec![]),
            (r#"{"other":1}"#, vec![error("", r#"{"other":1}"#)]),
        ];
        for (body, wanted) in cases {
            assert_eq!(oci_errors(body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn a_refusal_is_shown_in_the_registrys_words() {
        let refused = RegistryError::Refused {
            doing: "PUT manifest api:v1".to_owned(),
            status: StatusCode::FORBIDDEN,
            errors: oci_errors(br#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
        };
        let failure = Failure::from(refused);
        assert_eq!(failure.message, "PUT manifest api:v1: DENIED: no (HTTP 403 Forbidden)");
        assert_eq!(failure.kind, FailureKind::Refused);
    }
}
