//! From what a CI job has (the offer of an ID token, a token file, keys) to an AWS session.
//!
//! Nothing is written here: the session comes back only after AWS has confirmed who it belongs to and
//! the account is one that was allowed. A refusal is told at once; only what may heal by itself is
//! tried again.

use aws_sdk_sts::config::Credentials;
use landfall_types::{AccountId, Arn, Secret};

use crate::aws::{self, CallError};
use crate::environment::Environment;
use crate::id_token;

mod cache;
mod error;
mod keys;
mod options;
mod plan;
pub mod profile;
mod session;
mod sts;
mod tags;

pub use cache::{Cache, fingerprint};
pub use error::LoginError;
pub use keys::StaticKeys;
pub use options::Options;
use plan::{Basics, Plan, Source};
pub use session::{CREDENTIAL_VARIABLES, Session};
use sts::{Sts, WhoAmI};
use tags::SessionTags;
pub use tags::custom_tags;

/// Gets a session and asks STS whose it is.
///
/// # Errors
/// See [`LoginError`].
pub async fn login(options: &Options, environment: &Environment) -> Result<Session, LoginError> {
    let Some(limit) = options.time_limit else { return obtain(options, environment).await };
    let in_time = tokio::time::timeout(limit, obtain(options, environment)).await;
    in_time.unwrap_or(Err(LoginError::TooLong { limit }))
}

async fn obtain(options: &Options, environment: &Environment) -> Result<Session, LoginError> {
    if options.use_existing
        && let Some(session) = existing(options, environment).await?
    {
        return Ok(session);
    }
    let plan = Plan::new(options, environment)?;
    let endpoint = options.sts_endpoint.as_deref().or_else(|| environment.endpoint("STS"));
    let sts = Sts::new(&plan.region, endpoint, options.backoff, &plan.proxy, environment);
    let sts = sts.map_err(LoginError::Endpoint)?;
    let mut credentials = first(&plan, &sts, options, environment).await?;
    for (index, role) in options.role_chain.iter().enumerate() {
        let is_last = index + 1 == options.role_chain.len();
        let options = if is_last { end_of_chain(options) } else { first_of_chain(options) };
        credentials = with_keys(&sts, &options, environment, role, credentials).await?;
    }
    let whoami = sts.who_am_i(&credentials).await.map_err(LoginError::Identity)?;
    check_account(&plan.allowed, &whoami)?;
    Ok(Session::new(&credentials, plan.region, whoami))
}

/// The credentials that the environment holds, if STS knows them and their account is allowed.
///
/// # Errors
/// When nobody can say: STS could not be reached.
pub async fn existing(options: &Options, environment: &Environment) -> Result<Option<Session>, LoginError> {
    let basics = Basics::new(options, environment)?;
    if options.ignore_environment_keys {
        return Err(plan::usage(
            "credentials that are to be emptied can't be used: either --unset-current-credentials or \
             --use-existing-credentials"
                .to_owned(),
        ));
    }
    let endpoint = options.sts_endpoint.as_deref().or_else(|| environment.endpoint("STS"));
    let sts = Sts::new(&basics.region, endpoint, options.backoff, &basics.proxy, environment);
    let sts = sts.map_err(LoginError::Endpoint)?;
    let found = aws::ambient_credentials(environment, &basics.region, sts.http_client()).await;
    // Without any, or with a source of them that fails, a login is what is wanted.
    let Ok(credentials) = found else { return Ok(None) };
    match sts.who_am_i(&credentials).await {
        Ok(whoami) if check_account(&basics.allowed, &whoami).is_ok() => {
            Ok(Some(Session::new(&credentials, basics.region, whoami)))
        }
        Ok(_) | Err(CallError::Refused(_)) => Ok(None),
        Err(error) => Err(LoginError::Identity(error)),
    }
}

/// The session that the source gives, before any further role.
async fn first(
    plan: &Plan,
    sts: &Sts,
    options: &Options,
    environment: &Environment,
) -> Result<Credentials, LoginError> {
    let options = &first_of_chain(options);
    match &plan.source {
        Source::IdToken { offer, role, audience } => {
            let token = id_token::request(offer, audience, options.backoff, &plan.proxy).await?;
            with_token(sts, options, role, &token, "Could not assume role with OIDC").await
        }
        Source::TokenFile { path, role } => {
            let token = id_token::from_file(path)?;
            let what = "Could not assume role with web identity token file";
            with_token(sts, options, role, &token, what).await
        }
        Source::Token { token, role } => {
            with_token(sts, options, role, token, "Could not assume role with web identity token").await
        }
        Source::Ambient { role } => {
            let keys = aws::ambient_credentials(environment, &plan.region, sts.http_client());
            let keys = keys.await.map_err(LoginError::NoKeys)?;
            match role {
                Some(role) => with_keys(sts, options, environment, role, keys).await,
                None => Ok(keys),
            }
        }
        Source::Keys { keys, role: Some(role) } => {
            with_keys(sts, options, environment, role, keys.clone()).await
        }
        Source::Keys { keys, role: None } => Ok(keys.clone()),
    }
}

/// What was said and makes no difference to this login, with the reason: for the person who said it.
pub fn ignored(options: &Options, environment: &Environment) -> Vec<String> {
    let Ok(plan) = Plan::new(options, environment) else { return Vec::new() };
    let is_exchange =
        matches!(plan.source, Source::IdToken { .. } | Source::TokenFile { .. } | Source::Token { .. });
    let said = [
        ("--role-external-id", options.external_id.is_some()),
        ("--custom-tags", !options.custom_tags.is_empty()),
        ("--transitive-tag-keys", !options.transitive_tag_keys.is_empty()),
    ];
    let is_ignored = is_exchange && options.role_chain.is_empty();
    let said = said.into_iter().filter(|(_, is_said)| *is_said && is_ignored);
    said.map(|(flag, _)| {
        format!("{flag} is not sent: an exchange of an ID token takes none, only AssumeRole does")
    })
    .collect()
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
    for _ in 0..tries(options) {
        let credentials = sts.assume_with_token(options, role, token).await.map_err(|error| {
            let claims = id_token::claims(token).map(Box::new);
            LoginError::Assume { what, role: role.to_owned(), claims, error }
        })?;
        if !options.plain_keys || is_plain(&credentials) {
            return Ok(credentials);
        }
    }
    Err(LoginError::NotPlain)
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
    let tags = if options.skip_session_tags {
        SessionTags::none()
    } else {
        let tags = tags::from_job(environment);
        tags.with(&options.custom_tags, &options.transitive_tag_keys).map_err(plan::usage)?
    };
    for _ in 0..tries(options) {
        let credentials =
            sts.assume_with_keys(options, &role, &keys, &tags).await.map_err(|error| LoginError::Assume {
                what: "Could not assume role with user credentials",
                role: role.clone(),
                claims: None,
                error,
            })?;
        if !options.plain_keys || is_plain(&credentials) {
            return Ok(credentials);
        }
    }
    Err(LoginError::NotPlain)
}

fn tries(options: &Options) -> u32 {
    if options.plain_keys { PLAIN_KEYS_TRIES_MAX } else { 1 }
}

/// Some tools can't take keys with other characters.
fn is_plain(credentials: &Credentials) -> bool {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_plain(credentials.access_key_id()) && is_plain(credentials.secret_access_key())
}

fn role_in_account_of(whoami: &WhoAmI, name: &str) -> Result<String, LoginError> {
    let caller = Arn::parse(&whoami.arn).map_err(|error| plan::usage(error.to_string()))?;
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

/// What the AWS action calls its sessions.
pub const DEFAULT_SESSION_NAME: &str = "GitHubActions";

/// What a session is called that nobody has named: as AWS's SDKs are told by a variable, in a GitLab job as
/// GitLab's documentation does it, else as the AWS action does it.
/// <https://docs.gitlab.com/ci/cloud_services/aws/>
pub fn session_name(environment: &Environment) -> String {
    if let Some(name) = environment.get("AWS_ROLE_SESSION_NAME") {
        return name.to_owned();
    }
    let is_gitlab = environment.get("GITLAB_CI") == Some("true") && !environment.is_github_actions();
    if !is_gitlab {
        return DEFAULT_SESSION_NAME.to_owned();
    }
    let parts = ["CI_PROJECT_ID", "CI_PIPELINE_ID"].into_iter().filter_map(|name| environment.get(name));
    let name = std::iter::once("GitLabRunner").chain(parts).collect::<Vec<_>>().join("-");
    let fits = |c: &char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(*c);
    name.chars().filter(fits).take(SESSION_NAME_CHARS_MAX).collect()
}

/// STS takes no longer name of a session, in characters.
const SESSION_NAME_CHARS_MAX: usize = 64;
/// An hour, as STS's own default.
pub const DEFAULT_DURATION_SECONDS: u32 = 3600;
/// STS's limits of `DurationSeconds`.
const DURATION_SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;
/// STS's limit of a session that another session has made.
const CHAINED_SECONDS_MAX: u32 = 3600;
/// Of a hundred sessions 28 have plain keys; that none of so many has happens once in 20 000 times.
const PLAIN_KEYS_TRIES_MAX: u32 = 32;

#[cfg(test)]
mod tests;
