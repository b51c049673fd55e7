//! What a session is made from, decided before anybody is asked.

use std::path::PathBuf;

use aws_sdk_sts::config::Credentials;
use landfall_types::{AccountId, Arn, Secret};

use super::{DURATION_SECONDS, LoginError, Options, tags};
use crate::aws;
use crate::environment::Environment;
use crate::id_token::Offer;
use crate::proxy::Proxy;

/// The options after every check that needs no network.
#[derive(Debug)]
pub(super) struct Plan {
    pub region: String,
    pub allowed: Vec<AccountId>,
    pub proxy: Proxy,
    pub source: Source,
}

/// What the session is made from.
#[derive(Debug)]
pub(super) enum Source {
    IdToken { offer: Offer, role: String, audience: String },
    TokenFile { path: PathBuf, role: String },
    Token { token: Secret<String>, role: String },
    Ambient { role: Option<String> },
    Keys { keys: Credentials, role: Option<String> },
}

impl Plan {
    pub(super) fn new(options: &Options, environment: &Environment) -> Result<Self, LoginError> {
        let Basics { region, allowed, proxy } = Basics::new(options, environment)?;
        check_session_name(&options.session_name)?;
        if !DURATION_SECONDS.contains(&options.duration_seconds) {
            return Err(usage(format!(
                "a session of {} seconds isn't possible: {} to {} are expected",
                options.duration_seconds,
                DURATION_SECONDS.start(),
                DURATION_SECONDS.end()
            )));
        }
        if !options.skip_session_tags {
            let of_job = tags::from_job(environment);
            of_job.with(&options.custom_tags, &options.transitive_tag_keys).map_err(usage)?;
        }
        let source = source(options, environment, &region)?;
        check_role_account(options, &allowed)?;
        Ok(Self { region, allowed, proxy, source })
    }
}

/// What every login needs, also one with the credentials that are there.
#[derive(Debug)]
pub(super) struct Basics {
    pub region: String,
    pub allowed: Vec<AccountId>,
    pub proxy: Proxy,
}

impl Basics {
    pub(super) fn new(options: &Options, environment: &Environment) -> Result<Self, LoginError> {
        let region = options.region.as_deref().or_else(|| environment.region());
        let region = region.ok_or_else(|| {
            usage("no region: --region REGION or the variable AWS_REGION is expected".to_owned())
        })?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || !region.bytes().all(fits) {
            return Err(usage(format!("Region is not valid: {}", region.escape_debug())));
        }
        let allowed = options.allowed_accounts.iter().map(|text| AccountId::parse(text.trim()));
        let allowed = allowed.collect::<Result<Vec<_>, _>>();
        let allowed = allowed.map_err(|error| usage(format!("--allowed-account-ids: {error}")))?;
        let proxy = Proxy::from_environment(environment).map_err(usage)?;
        Ok(Self { region: region.to_owned(), allowed, proxy })
    }
}

/// A role's account is known before anybody is asked.
fn check_role_account(options: &Options, allowed: &[AccountId]) -> Result<(), LoginError> {
    let Some(role) = options.role_chain.last().or(options.role.as_ref()) else { return Ok(()) };
    let account = Arn::parse(role).ok().and_then(|arn| arn.account_id());
    match account {
        Some(account) if !allowed.is_empty() && !allowed.contains(&account) => {
            Err(LoginError::WrongAccount {
                account: account.to_string(),
                arn: role.clone(),
                allowed: allowed.iter().map(AccountId::to_string).collect(),
            })
        }
        _ => Ok(()),
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

pub(super) fn usage(message: String) -> LoginError {
    LoginError::Usage { message }
}

/// The longest name of a variable that is taken for one.
const VARIABLE_CHARS_MAX: usize = 128;
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const CONTAINER_VARIABLES: [&str; 2] =
    ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
/// STS's limits of `RoleSessionName`.
const SESSION_NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=64;
