//! From what a CI job has (the offer of an ID token, a token file, keys) to an AWS session.
//!
//! Nothing is written here: the session comes back only after AWS has confirmed who it belongs to and
//! the account is one that was allowed. A refusal is told at once; only what may heal by itself is
//! tried again.

use std::path::PathBuf;

use aws_sdk_sts::config::Credentials;
use landfall_types::{AccountId, Arn, Secret};

use crate::aws::{self, CallError};
use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::http::Backoff;
use crate::id_token::{self, IdTokenError, Offer};

mod cache;
mod keys;
mod session;
mod sts;
mod tags;

pub use cache::{Cache, fingerprint};
pub use keys::StaticKeys;
pub use session::{CREDENTIAL_VARIABLES, Session, write_private};
use sts::{Sts, WhoAmI};

/// What a login is asked to do. The environment supplies the rest.
#[derive(Clone, Debug)]
pub struct Options {
    /// An ARN, or a role's name when the account is known from keys. None: the keys are used as they are.
    pub role: Option<String>,
    /// The region; none: `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// The ID token's audience; none: `sts.amazonaws.com`, in China `sts.amazonaws.com.cn`.
    pub audience: Option<String>,
    /// 2 to 64 of `[\w+=,.@-]`.
    pub session_name: String,
    /// 900 to 43200.
    pub duration_seconds: u32,
    /// A policy document that narrows the session.
    pub inline_policy: Option<String>,
    /// Managed policies (ARNs) that narrow the session.
    pub managed_policies: Vec<String>,
    /// Accounts that the session may belong to; empty: any.
    pub allowed_accounts: Vec<String>,
    /// A file with an ID token.
    pub token_file: Option<PathBuf>,
    /// The name of a variable that holds an ID token, as GitLab's `id_tokens` sets it.
    pub token_variable: Option<String>,
    /// Keys that were handed over, instead of those in the environment.
    pub keys: Option<StaticKeys>,
    /// Roles that are taken one after another with the session so far; the last one is the result.
    pub role_chain: Vec<String>,
    /// GitHub's offer of an ID token doesn't count.
    pub ignore_offer: bool,
    /// `ExternalId` for `AssumeRole`.
    pub external_id: Option<String>,
    /// No session tags with `AssumeRole`.
    pub skip_session_tags: bool,
    /// STS's address; none: the configured endpoint, else AWS's own for the region.
    pub sts_endpoint: Option<String>,
    /// The role is assumed with the credentials that the environment holds.
    pub role_chaining: bool,
    /// Keys in the environment don't count.
    pub ignore_environment_keys: bool,
    /// Attempts for what may heal by itself.
    pub backoff: Backoff,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            role: None,
            region: None,
            audience: None,
            session_name: DEFAULT_SESSION_NAME.to_owned(),
            duration_seconds: DEFAULT_DURATION_SECONDS,
            inline_policy: None,
            managed_policies: Vec::new(),
            allowed_accounts: Vec::new(),
            token_file: None,
            token_variable: None,
            keys: None,
            role_chain: Vec::new(),
            ignore_offer: false,
            external_id: None,
            skip_session_tags: false,
            sts_endpoint: None,
            role_chaining: false,
            ignore_environment_keys: false,
            backoff: Backoff::default(),
        }
    }
}

/// Gets a session and asks STS whose it is.
///
/// # Errors
/// See [`LoginError`].
pub async fn login(options: &Options, environment: &Environment) -> Result<Session, LoginError> {
    let plan = Plan::new(options, environment)?;
    let endpoint = options.sts_endpoint.as_deref().or_else(|| environment.endpoint("STS"));
    let sts = Sts::new(&plan.region, endpoint, options.backoff, environment);
    let last = options.clone();
    let options = &first_of_chain(options);
    let mut credentials = match &plan.source {
        Source::IdToken { offer, role, audience } => {
            let token = id_token::request(offer, audience, options.backoff).await?;
            with_token(&sts, options, role, &token, "Could not assume role with OIDC").await?
        }
        Source::TokenFile { path, role } => {
            let token = id_token::from_file(path)?;
            let what = "Could not assume role with web identity token file";
            with_token(&sts, options, role, &token, what).await?
        }
        Source::Token { token, role } => {
            with_token(&sts, options, role, token, "Could not assume role with web identity token").await?
        }
        Source::Ambient { role } => {
            let keys = aws::ambient_credentials(environment, &plan.region, sts.http_client());
            let keys = keys.await.map_err(LoginError::NoKeys)?;
            match role {
                Some(role) => with_keys(&sts, options, environment, role, keys).await?,
                None => keys,
            }
        }
        Source::Keys { keys, role: Some(role) } => {
            with_keys(&sts, options, environment, role, keys.clone()).await?
        }
        Source::Keys { keys, role: None } => keys.clone(),
    };
    for (index, role) in last.role_chain.iter().enumerate() {
        let is_last = index + 1 == last.role_chain.len();
        let options = if is_last { &end_of_chain(&last) } else { options };
        credentials = with_keys(&sts, options, environment, role, credentials).await?;
    }
    let whoami = sts.who_am_i(&credentials).await.map_err(LoginError::Identity)?;
    check_account(&plan.allowed, &whoami)?;
    Ok(Session::new(&credentials, plan.region, whoami))
}

/// The first sessions of a chain only take the next role: they are short, and what narrows the last one
/// would keep them from it.
fn first_of_chain(options: &Options) -> Options {
    if options.role_chain.is_empty() {
        return options.clone();
    }
    Options {
        inline_policy: None,
        managed_policies: Vec::new(),
        duration_seconds: *DURATION_SECONDS.start(),
        ..options.clone()
    }
}

/// STS gives a chained session an hour at most.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
fn end_of_chain(options: &Options) -> Options {
    Options { duration_seconds: options.duration_seconds.min(CHAINED_SECONDS_MAX), ..options.clone() }
}

async fn with_token(
    sts: &Sts,
    options: &Options,
    role: &str,
    token: &Secret<String>,
    what: &'static str,
) -> Result<Credentials, LoginError> {
    sts.assume_with_token(options, role, token).await.map_err(|error| LoginError::Assume {
        what,
        role: role.to_owned(),
        claims: id_token::claims(token).map(|claims| id_token::telling(&claims)),
        error,
    })
}

async fn with_keys(
    sts: &Sts,
    options: &Options,
    environment: &Environment,
    role: &str,
    keys: Credentials,
) -> Result<Credentials, LoginError> {
    let role = if role.starts_with("arn:") {
        role.to_owned()
    } else {
        // A bare name means a role in the account that the keys belong to.
        let whoami = sts.who_am_i(&keys).await.map_err(LoginError::Identity)?;
        role_in_account_of(&whoami, role)?
    };
    let tags =
        if options.skip_session_tags { tags::SessionTags::none() } else { tags::from_job(environment) };
    sts.assume_with_keys(options, &role, &keys, tags).await.map_err(|error| LoginError::Assume {
        what: "Could not assume role with user credentials",
        role,
        claims: None,
        error,
    })
}

fn role_in_account_of(whoami: &WhoAmI, name: &str) -> Result<String, LoginError> {
    let caller = Arn::parse(&whoami.arn).map_err(|error| usage(error.to_string()))?;
    Ok(format!("arn:{}:iam::{}:role/{name}", caller.partition, whoami.account))
}

fn check_account(allowed: &[AccountId], whoami: &WhoAmI) -> Result<(), LoginError> {
    if allowed.is_empty() || allowed.iter().any(|account| account.as_str() == whoami.account) {
        return Ok(());
    }
    Err(LoginError::WrongAccount {
        account: whoami.account.clone(),
        arn: whoami.arn.clone(),
        allowed: allowed.iter().map(AccountId::to_string).collect(),
    })
}

/// The options after every check that needs no network.
#[derive(Debug)]
struct Plan {
    region: String,
    allowed: Vec<AccountId>,
    source: Source,
}

/// What the session is made from.
#[derive(Debug)]
enum Source {
    IdToken { offer: Offer, role: String, audience: String },
    TokenFile { path: PathBuf, role: String },
    Token { token: Secret<String>, role: String },
    Ambient { role: Option<String> },
    Keys { keys: Credentials, role: Option<String> },
}

impl Plan {
    fn new(options: &Options, environment: &Environment) -> Result<Self, LoginError> {
        let region = options.region.as_deref().or_else(|| environment.region());
        let region = region.ok_or_else(|| {
            usage("no region: --region REGION or the variable AWS_REGION is expected".to_owned())
        })?;
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(usage(format!("Region is not valid: {}", region.escape_debug())));
        }
        check_session_name(&options.session_name)?;
        if !DURATION_SECONDS.contains(&options.duration_seconds) {
            return Err(usage(format!(
                "a session of {} seconds isn't possible: {} to {} are expected",
                options.duration_seconds,
                DURATION_SECONDS.start(),
                DURATION_SECONDS.end()
            )));
        }
        let allowed = options.allowed_accounts.iter().map(|text| AccountId::parse(text.trim()));
        let allowed = allowed.collect::<Result<Vec<_>, _>>();
        let allowed = allowed.map_err(|error| usage(format!("--allowed-account-ids: {error}")))?;
        let source = source(options, environment, region)?;
        Ok(Self { region: region.to_owned(), allowed, source })
    }
}

/// What was asked for on the command line comes first, then what GitHub offers to the job, then what
/// the environment happens to hold: a runner in EKS has a token file of its own, which is not the job's.
fn source(options: &Options, environment: &Environment, region: &str) -> Result<Source, LoginError> {
    let keys = match &options.keys {
        Some(keys) => Some(keys.credentials()),
        None if options.ignore_environment_keys => None,
        None => aws::environment_keys(environment).map_err(usage)?,
    };
    let Some(role) = options.role.clone() else {
        return source_without_role(options, environment, keys);
    };
    if let Some(path) = &options.token_file {
        return Ok(Source::TokenFile { path: path.clone(), role: full_arn(role)? });
    }
    if let Some(name) = &options.token_variable {
        return Ok(Source::Token { token: token_in(name, environment)?, role: full_arn(role)? });
    }
    if options.role_chaining {
        return Ok(Source::Ambient { role: Some(role) });
    }
    if let (Some(keys), Some(_)) = (&keys, &options.keys) {
        return Ok(Source::Keys { keys: keys.clone(), role: Some(role) });
    }
    let missing = match Offer::from_environment(environment) {
        _ if options.ignore_offer => None,
        Ok(offer) => {
            let audience = options.audience.clone().unwrap_or_else(|| default_audience(region).to_owned());
            return Ok(Source::IdToken { offer, role: full_arn(role)?, audience });
        }
        Err(missing) => Some(missing),
    };
    if let Some(path) = environment.path("AWS_WEB_IDENTITY_TOKEN_FILE") {
        return Ok(Source::TokenFile { path, role: full_arn(role)? });
    }
    match (keys, missing) {
        (Some(keys), _) => Ok(Source::Keys { keys, role: Some(role) }),
        // A runner in EKS has an identity of its own, which is not the job's.
        (None, Some(missing)) if environment.is_github_actions() => Err(LoginError::IdToken(missing)),
        (None, _) if has_container_credentials(environment) => Ok(Source::Ambient { role: Some(role) }),
        _ => Err(usage(
            "nothing to take the role with: an offer of an ID token, --web-identity-token-file, \
             --web-identity-token-variable, keys, a pod's identity or --role-chaining is expected"
                .to_owned(),
        )),
    }
}

/// Whether this is a pod with Pod Identity or a task of ECS: the agent there gives credentials.
fn has_container_credentials(environment: &Environment) -> bool {
    CONTAINER_VARIABLES.iter().any(|name| environment.get(name).is_some())
}

/// The ID token in a variable. What is no variable's name may be a token: it is not repeated.
fn token_in(name: &str, environment: &Environment) -> Result<Secret<String>, LoginError> {
    let is_name = !name.is_empty()
        && name.len() <= VARIABLE_CHARS_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(usage(
            "--web-identity-token-variable takes a variable's name (such as AWS_ID_TOKEN), not a token"
                .to_owned(),
        ));
    }
    let token = environment.get(name).map(str::trim).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| {
        usage(format!(
            "no ID token in the variable {name}: in GitLab the job needs `id_tokens: {{ {name}: {{ aud: sts.amazonaws.com }} }}`"
        ))
    })?;
    Ok(Secret::new(token.to_owned()))
}

fn source_without_role(
    options: &Options,
    environment: &Environment,
    keys: Option<Credentials>,
) -> Result<Source, LoginError> {
    let file = options.token_file.clone().or_else(|| environment.path("AWS_WEB_IDENTITY_TOKEN_FILE"));
    match (keys, file, environment.get("AWS_ROLE_ARN")) {
        (_, Some(path), Some(role)) if !options.role_chaining && options.keys.is_none() => {
            Ok(Source::TokenFile { path, role: full_arn(role.to_owned())? })
        }
        (Some(keys), _, _) if !options.role_chaining && options.token_file.is_none() => {
            Ok(Source::Keys { keys, role: None })
        }
        _ if is_ambient(options, environment) => Ok(Source::Ambient { role: None }),
        _ => Err(usage(
            "no role: --role ARN is expected (or keys in the environment, to use as they are)".to_owned(),
        )),
    }
}

/// Whether nothing was asked for and nothing is offered but what the SDK finds by itself.
fn is_ambient(options: &Options, environment: &Environment) -> bool {
    let is_asked = options.role_chaining
        || options.ignore_environment_keys
        || options.token_file.is_some()
        || options.token_variable.is_some();
    !is_asked && (options.ignore_offer || Offer::from_environment(environment).is_err())
}

fn full_arn(role: String) -> Result<String, LoginError> {
    if !role.starts_with("arn:") {
        return Err(usage(format!(
            "Source Account ID is needed if the Role Name is provided and not the Role Arn. \
             (`{}` is a name; arn:aws:iam::ACCOUNT:role/NAME is expected)",
            role.escape_debug()
        )));
    }
    let arn = Arn::parse(&role).map_err(|error| usage(error.to_string()))?;
    if arn.role_path_and_name().is_none() || arn.account_id().is_none() {
        return Err(usage(format!(
            "`{}` is not a role: arn:aws:iam::ACCOUNT:role/NAME is expected",
            role.escape_debug()
        )));
    }
    Ok(role)
}

fn check_session_name(name: &str) -> Result<(), LoginError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    if SESSION_NAME_CHARS.contains(&name.len()) && name.bytes().all(word) {
        return Ok(());
    }
    Err(usage(format!(
        "`{}` is not a session name: {} to {} of A-Z a-z 0-9 _ + = , . @ - are expected",
        name.escape_debug(),
        SESSION_NAME_CHARS.start(),
        SESSION_NAME_CHARS.end()
    )))
}

fn default_audience(region: &str) -> &'static str {
    if region.starts_with("cn-") { "sts.amazonaws.com.cn" } else { "sts.amazonaws.com" }
}

fn usage(message: String) -> LoginError {
    LoginError::Usage { message }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Options or environment ask for something impossible.
    #[error("{message}")]
    Usage {
        /// What, and what is expected.
        message: String,
    },
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
        claims: Option<Vec<(&'static str, String)>>,
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
}

impl LoginError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Usage { .. } => FailureKind::Usage,
            // `IdTokenError` sorts itself on its way to a `Failure`.
            Self::IdToken(_) => FailureKind::Outside,
            Self::Assume { error, .. } | Self::NoKeys(error) | Self::Identity(error) => error.kind(),
            Self::WrongAccount { .. } => FailureKind::Refused,
        }
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let failure = Failure::new(error.kind(), error.to_string());
        match error {
            LoginError::Usage { .. } => failure,
            LoginError::IdToken(error) => error.into(),
            LoginError::NoKeys(error) | LoginError::Identity(error) => match error.answer() {
                Some(answer) => failure.caused_by(answer),
                None => failure,
            },
            LoginError::WrongAccount { arn, .. } => failure
                .caused_by(format_args!("the session belongs to {arn}"))
                .help("nothing was written to the job's environment"),
            LoginError::Assume { role, claims, error, .. } => explain_refusal(failure, &role, claims, &error),
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
    failure = failure.caused_by(answer);
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
fn helps(answer: &aws::Answer, subject: &str, audience: &str) -> Vec<String> {
    let mut helps = Vec::new();
    match answer.code.as_str() {
        "AccessDenied" | "AccessDeniedException" if !subject.is_empty() => {
            helps.push(
                "the role doesn't exist, or its trust policy has no statement that matches this token; \
                 `landfall rehearse` shows which condition fails"
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

/// What the AWS action calls its sessions.
pub const DEFAULT_SESSION_NAME: &str = "GitHubActions";
/// An hour, as STS's own default.
pub const DEFAULT_DURATION_SECONDS: u32 = 3600;
/// STS's limits of `DurationSeconds`.
const DURATION_SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;
/// STS's limit of a session that another session has made.
const CHAINED_SECONDS_MAX: u32 = 3600;
/// The longest name of a variable that is taken for one.
const VARIABLE_CHARS_MAX: usize = 128;
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const CONTAINER_VARIABLES: [&str; 2] =
    ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
/// STS's limits of `RoleSessionName`.
const SESSION_NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=64;

#[cfg(test)]
mod tests;
