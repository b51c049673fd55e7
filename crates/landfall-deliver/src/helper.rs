//! Docker's credential helper for ECR: asked for a registry's login, it makes one with the AWS credentials at hand.
//! <https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol>
//!
//! Only ECR's names lead anywhere. Nothing is stored but passwords of ECR in a cache, which serve the same
//! credentials only and never for longer than those live.

use landfall_types::{Secret, Timestamp};
use serde_json::{Map, Value, json};

use crate::docker_config::{Login, host_of};
use crate::ecr::{Authorization, Ecr, EcrError, Target, is_ecr_registry};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::http::Backoff;
use crate::keeper::Clock;

mod cache;

use cache::Cache;

/// What the helper says on standard output: on success with exit code 0, else with 1.
pub type Answer = Result<Secret<String>, String>;

/// Answers one question: `get`, `store`, `erase` or `list`, with what came on standard input.
///
/// # Errors
/// What Docker shows its user. Its own clients know [`NOT_FOUND`] and go on without a login.
pub async fn answer(action: &str, input: &str, environment: &Environment, clock: Clock) -> Answer {
    match action {
        "get" => get(server_of(input)?, environment, clock).await,
        "store" => store(input, environment),
        "erase" => erase(server_of(input)?, environment),
        "list" => Ok(Secret::new(list(environment, clock()))),
        "version" => Ok(Secret::new(format!("{NAME} (landfall) v{}", env!("CARGO_PKG_VERSION")))),
        other => Err(format!("{NAME}: unknown action: {}", other.escape_debug())),
    }
}

/// The name by which Docker's clients start it.
pub const NAME: &str = "docker-credential-landfall";
/// What is said to no action at all.
pub const USAGE: &str = "Usage: docker-credential-landfall <store|get|erase|list|version>";

fn server_of(input: &str) -> Result<&str, String> {
    let server = input.trim();
    if server.is_empty() { Err(NO_SERVER.to_owned()) } else { Ok(server) }
}

async fn get(server: &str, environment: &Environment, clock: Clock) -> Answer {
    let Some(target) = target_of(server, environment) else { return Err(NOT_FOUND.to_owned()) };
    let cache = Cache::new(environment);
    let registry = host_of(server);
    if let Some(login) = cache.as_ref().and_then(|cache| cache.read(registry, clock())) {
        return Ok(shown(server, &login));
    }
    match ask(&target, environment).await {
        Ok((authorization, session_end)) => {
            if let Some(cache) = &cache {
                cache.write(registry, &authorization, session_end, clock());
            }
            Ok(shown(server, &authorization.login))
        }
        // Everybody may pull from ECR Public, and a build shouldn't end because it could have had a login.
        Err(EcrError::NoCredentials(_) | EcrError::Call(_)) if target == Target::Public => {
            Err(NOT_FOUND.to_owned())
        }
        Err(error) => Err(one_line(&Failure::from(error))),
    }
}

async fn ask(
    target: &Target,
    environment: &Environment,
) -> Result<(Authorization, Option<Timestamp>), EcrError> {
    let region = match target {
        Target::Host { host, .. } => host.region.as_str(),
        Target::Account(_) | Target::Public => environment.region().unwrap_or(ANY_REGION),
    };
    let ecr = Ecr::new(environment, region, Backoff::default()).await?;
    let targets = match target {
        // The registry behind a local AWS side's own address is the caller's.
        Target::Account(_) => Vec::new(),
        other => vec![other.clone()],
    };
    let authorizations = ecr.all(region, &targets).await?;
    let first = authorizations.into_iter().next().ok_or(EcrError::Unreadable)?;
    Ok((first, ecr.session_end()))
}

/// The registry that a server's address means, with or without scheme and path; none when it isn't ECR's.
fn target_of(server: &str, environment: &Environment) -> Option<Target> {
    let registry = host_of(server);
    if let Ok(target @ (Target::Host { .. } | Target::Public)) = Target::parse(registry) {
        return Some(target);
    }
    let is_local = is_ecr_registry(registry, environment);
    is_local.then_some(Target::Account(landfall_types::AccountId::parse(LOCAL).ok()?))
}

/// Docker stores a login when somebody logs in by hand.
fn store(input: &str, environment: &Environment) -> Answer {
    let value: Value =
        serde_json::from_str(input).map_err(|_| format!("{NAME}: store takes a JSON object"))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().trim();
    if text("ServerURL").is_empty() {
        return Err(NO_SERVER.to_owned());
    }
    if text("Username").is_empty() {
        return Err(NO_USER.to_owned());
    }
    match target_of(text("ServerURL"), environment) {
        Some(_) => Ok(Secret::new(String::new())),
        None => Err(format!(
            "{NAME} keeps no logins, it makes those of Amazon ECR: for `{}` take another credential helper \
             (credHelpers in Docker's config.json names one for each registry)",
            host_of(text("ServerURL")).escape_debug()
        )),
    }
}

fn erase(server: &str, environment: &Environment) -> Answer {
    if let Some(cache) = Cache::new(environment) {
        cache.erase(host_of(server));
    }
    Ok(Secret::new(String::new()))
}

/// The logins that are at hand without asking anybody.
fn list(environment: &Environment, now: Timestamp) -> String {
    let known = Cache::new(environment).map(|cache| cache.list(now)).unwrap_or_default();
    let members = known.into_iter().map(|(registry, user)| (registry, Value::from(user)));
    Value::Object(members.collect::<Map<_, _>>()).to_string()
}

fn shown(server: &str, login: &Login) -> Secret<String> {
    let value = json!({ "ServerURL": server, "Username": login.username, "Secret": login.password.expose() });
    Secret::new(value.to_string())
}

fn one_line(failure: &Failure) -> String {
    let mut line = failure.message.clone();
    for detail in &failure.details {
        line.push_str("; ");
        line.push_str(detail);
    }
    line
}

/// Docker's own words, by which its clients know that there is none.
pub const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USER: &str = "no credentials username";
/// The region to sign for when an endpoint is given and no region is: the SDKs' own habit.
const ANY_REGION: &str = "us-east-1";
/// Stands for the caller's own account.
const LOCAL: &str = "000000000000";

#[cfg(test)]
mod tests;
