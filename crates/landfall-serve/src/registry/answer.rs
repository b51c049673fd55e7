//! Answers: what is sent, and refusals in the distribution API's form.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use landfall_types::{Digest, Finding, RepositoryName};
use landfall_wire::error::AwsError;
use landfall_wire::oci::{oci_error, oci_error_with_status};

use crate::store::{RegistryId, StoreError};

/// What an operation answers.
pub(super) type Answer = Result<Response<Body>, Refusal>;

/// An error answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Refusal {
    kind: Kind,
    headers: Vec<(HeaderName, String)>,
    /// Whether it refuses nobody, but asks who it is.
    is_challenge: bool,
    /// What only the log says.
    note: Option<String>,
    /// The reason, as the log has it.
    finding: Option<Box<Finding>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// `{"errors":[…]}`; without a status, the code's own.
    Oci { status: Option<StatusCode>, code: &'static str, message: String },
    /// The challenge.
    NotAuthorized,
}

impl Refusal {
    fn of(kind: Kind) -> Self {
        Self { kind, headers: Vec::new(), is_challenge: false, note: None, finding: None }
    }

    /// A code with its usual status.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::of(Kind::Oci { status: None, code, message: message.into() })
    }

    /// A code with a status of its own.
    pub(super) fn with_status(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::of(Kind::Oci { status: Some(status), code, message: message.into() })
    }

    /// 403 with AWS's sentence.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new("DENIED", message)
    }

    /// 405.
    pub(super) fn unsupported() -> Self {
        Self::new("UNSUPPORTED", "The operation is unsupported.")
    }

    /// 400 for a name that no repository can have.
    pub(super) fn invalid_name() -> Self {
        Self::new(
            "NAME_INVALID",
            format!(
                "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression {}'",
                crate::ecr::REPOSITORY_NAME_PATTERN
            ),
        )
    }

    /// 500; the cause is for this server's operator, who can do nothing but look at the disk.
    pub(super) fn internal(what: &str) -> Self {
        Self::new("UNKNOWN", format!("the registry failed: {what}"))
    }

    /// A record could not be written: 404 when the repository went away meanwhile, 500 when the disk failed.
    pub(super) fn not_kept(failed: StoreError, registry: &RegistryId, name: &RepositoryName) -> Self {
        match failed {
            StoreError::Exists | StoreError::Missing => {
                Self::new("NAME_UNKNOWN", crate::ecr::no_repository_sentence(registry, name))
            }
            StoreError::Disk(cause) => Self::internal(&cause),
        }
    }

    /// 401: what a call without a login is told, to the letter.
    pub(super) fn challenge(url: &str) -> Self {
        let realm: String = url.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let challenge = format!("Basic realm=\"{realm}/\",service=\"ecr.amazonaws.com\"");
        Self::of(Kind::NotAuthorized).header(header::WWW_AUTHENTICATE, challenge).unnoted()
    }

    /// A refusal that the log need not know.
    #[must_use]
    pub(super) fn unnoted(self) -> Self {
        Self { is_challenge: true, ..self }
    }

    /// Adds what only the log says.
    #[must_use]
    pub(super) fn note(self, text: impl Into<String>) -> Self {
        Self { note: Some(text.into()), ..self }
    }

    /// Adds the reason that the log has.
    #[must_use]
    pub(super) fn because(self, finding: Finding) -> Self {
        Self { finding: Some(Box::new(finding)), ..self }
    }

    /// The reason that the log has.
    pub(super) fn finding(&self) -> Option<Finding> {
        self.finding.as_deref().cloned()
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What the log is told; none for the challenge, which refuses nobody.
    pub(super) fn reason(&self) -> Option<AwsError> {
        match &self.kind {
            Kind::Oci { code, message, .. } if !self.is_challenge => {
                let error = AwsError::bad_request(*code, message.clone());
                Some(self.note.iter().cloned().fold(error, AwsError::note))
            }
            Kind::Oci { .. } | Kind::NotAuthorized => None,
        }
    }

    /// The answer.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = match self.kind {
            Kind::Oci { status: None, code, message } => crate::http::reply(oci_error(code, &message)),
            Kind::Oci { status: Some(status), code, message } => {
                crate::http::reply(oci_error_with_status(status.as_u16(), code, &message))
            }
            Kind::NotAuthorized => {
                let mut response = Response::new(Body::from("Not Authorized\n"));
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
                response
            }
        };
        for (name, value) in self.headers {
            set(&mut response, name, &value);
        }
        response
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 304 for a client that has this content.
pub(super) fn not_modified(digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    set_content(&mut response, digest);
    response
}

/// Says which content this is: what never changes under a digest, a client may keep.
pub(super) fn set_content(response: &mut Response<Body>, digest: &Digest) {
    set(response, DOCKER_CONTENT_DIGEST, digest.as_str());
    set(response, header::ETAG, &format!("\"{digest}\""));
}

/// Sets a header; a value that no header can have is left out.
pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// `Docker-Content-Digest`.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`.
pub(super) const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// `OCI-Subject`.
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// `OCI-Tag`.
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// `OCI-Filters-Applied`.
pub(super) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
