//! Why there is no session: AWS's sentence, what the token said, and what usually is behind it.

use std::time::Duration;

use landfall_types::Claims;

use super::PLAIN_KEYS_TRIES_MAX;
use crate::aws::{self, CallError};
use crate::failure::{Failure, FailureKind};
use crate::id_token::{self, IdTokenError};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Options or environment ask for something impossible.
    #[error("{message}")]
    Usage {
        /// What, and what is expected.
        message: String,
    },
    /// STS's endpoint is no address.
    #[error("{0}")]
    Endpoint(CallError),
    /// There is no ID token.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// STS did not give a session.
    #[error("{what}: {error}")]
    Assume {
        /// The sentence that the AWS action uses too.
        what: &'static str,
        /// The role that was asked for.
        role: String,
        /// What the token said, when there was one and it could be read.
        claims: Option<Box<Claims>>,
        /// AWS's answer.
        error: CallError,
    },
    /// The environment holds no credentials to begin with.
    #[error("looking for credentials to take the role with: {0}")]
    NoKeys(CallError),
    /// STS does not know the credentials.
    #[error("Credentials could not be validated: {0}")]
    Identity(CallError),
    /// The session belongs to an account that was not allowed.
    #[error(
        "The account ID of the provided credentials ({account}) does not match any of the expected account IDs: {}",
        .allowed.join(", ")
    )]
    WrongAccount {
        /// The session's account.
        account: String,
        /// The session's ARN.
        arn: String,
        /// The accounts that would have been fine.
        allowed: Vec<String>,
    },
    /// The time that was given is over.
    #[error("no session within {} s (--action-timeout-s)", .limit.as_secs())]
    TooLong {
        /// How long it was.
        limit: Duration,
    },
    /// Every session that came has other characters than letters and digits in its keys.
    #[error(
        "{PLAIN_KEYS_TRIES_MAX} sessions in a row had special characters in their keys: try again (--special-characters-workaround)"
    )]
    NotPlain,
}

impl LoginError {
    /// The role and the token's claims, when the role did not admit a token: what an explanation by its trust
    /// policy needs. Whatever else AWS refuses (a signature, a duration, a session policy) has nothing to do
    /// with it, and AWS says what it is.
    pub fn refused_exchange(&self) -> Option<(&str, &Claims)> {
        match self {
            Self::Assume { role, claims: Some(claims), error: CallError::Refused(answer), .. }
                if answer.code == "AccessDenied" =>
            {
                Some((role, claims))
            }
            _ => None,
        }
    }

    /// Decides the exit code.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Usage { .. } | Self::Endpoint(_) => FailureKind::Usage,
            // `IdTokenError` sorts itself on its way to a `Failure`.
            Self::IdToken(_) => FailureKind::Outside,
            Self::Assume { error, .. } | Self::NoKeys(error) | Self::Identity(error) => error.kind(),
            Self::WrongAccount { .. } => FailureKind::Refused,
            Self::TooLong { .. } | Self::NotPlain => FailureKind::Outside,
        }
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let failure = Failure::new(error.kind(), error.to_string());
        match error {
            LoginError::Usage { .. } => failure,
            LoginError::Endpoint(_) => failure.help(
                "AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS and --sts-endpoint name it: `https://sts.eu-west-1.amazonaws.com`",
            ),
            LoginError::IdToken(error) => error.into(),
            LoginError::NoKeys(error) | LoginError::Identity(error) => match error.answer() {
                Some(answer) => failure.answered(answer).helped_by(answer.help),
                None => failure,
            },
            LoginError::WrongAccount { arn, .. } => failure
                .caused_by(format_args!("the session belongs to {arn}"))
                .help("nothing was written to the job's environment"),
            LoginError::Assume { role, claims, error, .. } => {
                let claims = claims.map(|claims| id_token::telling(&claims));
                explain_refusal(failure, &role, claims, &error)
            }
            LoginError::TooLong { .. } => failure.help("nothing was written to the job's environment"),
            LoginError::NotPlain => failure,
        }
    }
}

fn explain_refusal(
    mut failure: Failure,
    role: &str,
    claims: Option<Vec<(&'static str, String)>>,
    error: &CallError,
) -> Failure {
    let Some(answer) = error.answer() else { return failure };
    failure = failure.answered(answer);
    failure.details.push(format!("role: {role}"));
    let claims = claims.unwrap_or_default();
    for (name, value) in &claims {
        failure.details.push(format!("token: {name} = {value}"));
    }
    let value =
        |name| claims.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str());
    for help in helps(answer, value("sub"), value("aud")) {
        failure = failure.help(help);
    }
    failure
}

/// What usually is behind AWS's sentence. AWS itself never says more.
pub(super) fn helps(answer: &aws::Answer, subject: &str, audience: &str) -> Vec<String> {
    let mut helps = Vec::new();
    match answer.code.as_str() {
        "AccessDenied" | "AccessDeniedException" if !subject.is_empty() => {
            helps.push(
                "the role doesn't exist, or its trust policy has no statement that matches this token; with \
                 --infra DIR (its Terraform or its policy) the condition that fails is shown"
                    .to_owned(),
            );
            if has_immutable_subject(subject) {
                helps.push(
                    "this token's subject carries ids (repo:OWNER@ID/REPO@ID): a trust policy that names only \
                     OWNER/REPO doesn't match it"
                        .to_owned(),
                );
            }
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException"
            if answer.message.starts_with("No OpenIDConnect") =>
        {
            helps.push("the role's account has no IAM OIDC provider for this issuer, or the role's ARN names the wrong account".to_owned());
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException"
            if answer.message.contains("could not be validated") || answer.message.contains("audience") =>
        {
            helps.push(format!("the provider's client ids must contain the token's audience (`{audience}`); --audience asks for another"));
        }
        "ValidationError" if answer.message.contains("MaxSessionDuration") => {
            helps.push(
                "--role-duration-seconds may be at most the role's maximum session duration".to_owned(),
            );
        }
        _ => {}
    }
    helps
}

/// `repo:OWNER@ID/REPO@ID:…`, the form of repositories created, renamed or moved since 2026-07-15.
fn has_immutable_subject(subject: &str) -> bool {
    subject
        .strip_prefix("repo:")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(owner, _)| owner.contains('@'))
}
