//! AWS Signature Version 4, both ways: verifying what a client sent and signing what we send.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>
//!
//! [`present`] reads the credentials out of a request, [`check_scope`] looks at the credential's scope
//! before anyone looks for its key, and [`verify`] decides whether the signature is right at this moment.

mod canonical;
mod present;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;

use landfall_types::{Secret, Timestamp};

pub use present::present;
pub use sign::{Credentials, sign};
pub use verify::{check_scope, verify};

/// The only algorithm that is understood here.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far a request's time may lie from the server's, in seconds, for IAM, STS, ECR, ECS and EKS
/// (observed).
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 300;

/// The longest life of a presigned URL, in seconds.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
pub const PRESIGNED_SECONDS_MAX: u32 = 604_800;

const TERMINATOR: &str = "aws4_request";

/// What a signature covers. The body is represented by its hash alone.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as it stood on the wire, still percent-encoded.
    pub path: &'a str,
    /// The query as it stood on the wire, without the question mark.
    pub query: &'a str,
    /// Lower-case names and values in the order of their arrival.
    pub headers: &'a [(&'a str, &'a str)],
    /// Hex SHA-256 of the body.
    pub body_sha256: &'a str,
}

impl<'a> SignedRequest<'a> {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// `date/region/service` of a credential; the terminator is checked and dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// `YYYYMMDD`.
    pub date: String,
    /// `us-east-1`, …
    pub region: String,
    /// `sts`, `ecr`, …
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// The credentials that a request presents, not yet verified.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Which key signed.
    pub access_key_id: String,
    /// What the signing key was derived for.
    pub scope: Scope,
    /// Lower-case names in the order in which the client gave them.
    pub signed_headers: Vec<String>,
    /// 64 hex digits if the client did it right.
    pub signature: Secret<String>,
    /// The session token that belongs to a temporary key.
    pub session_token: Option<Secret<String>>,
    /// When the request was signed.
    pub timestamp: Timestamp,
    /// Life of a presigned URL in seconds; none when the `Authorization` header was used.
    pub presigned_expires: Option<u32>,
}

/// Why credentials were not accepted. [`crate::error::from_sigv4`] gives each its code in a protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SigV4Error {
    /// There are no credentials.
    Missing,
    /// The credentials could not be read.
    Incomplete(String),
    /// The credential was made for another service, region or day.
    WrongScope(String),
    /// `host` is not among the signed headers.
    HostNotSigned,
    /// Signed too long ago.
    Expired(String),
    /// Signed too far in the future.
    NotYetCurrent(String),
    /// A presigned URL past its time.
    PresignedExpired,
    /// The signature is not the one that the secret key makes.
    SignatureMismatch,
}

impl SigV4Error {
    /// AWS's sentence (observed on STS and IAM).
    pub fn message(&self) -> String {
        match self {
            Self::Missing => "Request is missing Authentication Token".to_owned(),
            Self::Incomplete(text)
            | Self::WrongScope(text)
            | Self::Expired(text)
            | Self::NotYetCurrent(text) => text.clone(),
            Self::HostNotSigned => {
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()
            }
            Self::PresignedExpired => "Request has expired.".to_owned(),
            Self::SignatureMismatch => {
                "The request signature we calculated does not match the signature you \
                 provided. Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details."
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for SigV4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for SigV4Error {}
