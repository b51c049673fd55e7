//! `landfall ecr login` and `landfall ecr logout`: Amazon ECR's passwords in Docker's configuration.

use std::path::PathBuf;

use landfall_deliver::docker_config::{self, DockerConfig};
use landfall_deliver::ecr::{self, Authorization};
use landfall_deliver::http::Backoff;
use landfall_deliver::{Environment, Failure, github};

use super::login::{append, random_delimiter, say};

/// Log Docker's clients in to Amazon ECR.
#[derive(Debug, clap::Args)]
pub struct EcrArgs {
    #[command(subcommand)]
    command: EcrCommand,
}

/// What to do with ECR's logins.
#[derive(Debug, clap::Subcommand)]
pub enum EcrCommand {
    /// Get a password with the environment's AWS credentials and write it to Docker's config.json.
    ///
    /// Needs no docker binary, and no password goes through a command line. The file is written in one
    /// step with mode 0600; everything else in it stays. The role needs ecr:GetAuthorizationToken on `*`.
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(EcrLoginArgs),
    /// Remove ECR's logins from Docker's config.json.
    #[command(after_help = LOGOUT_EXAMPLES)]
    Logout(EcrLogoutArgs),
}

/// Options of `ecr login`.
#[derive(Debug, clap::Args)]
pub struct EcrLoginArgs {
    /// Accounts whose registries to log in to [default: the caller's own]
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    registries: Vec<String>,

    /// The region [env: AWS_REGION, AWS_DEFAULT_REGION]
    #[arg(long = "aws-region", visible_alias = "region", value_name = "REGION")]
    region: Option<String>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,

    /// Make user name and password outputs of the step too (docker_username_REGISTRY, docker_password_REGISTRY)
    #[arg(long)]
    output_docker_credentials: bool,
}

/// Options of `ecr logout`.
#[derive(Debug, clap::Args)]
pub struct EcrLogoutArgs {
    /// Registries to log out from (HOST[:PORT]) [default: every private ECR registry in the file]
    #[arg(value_name = "REGISTRY")]
    registries: Vec<String>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,
}

const LOGIN_EXAMPLES: &str = "\
Examples:
  After `landfall login`:
    landfall ecr login
    docker push 123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:v1

  Two accounts at once, and a configuration of this job's own:
    landfall ecr login --registries 123456789012,210987654321 --docker-config \"$RUNNER_TEMP/docker\"

Exit codes: 0 logged in; 1 refused; 2 wrong usage or no credentials; 3 ECR could not be reached.";

const LOGOUT_EXAMPLES: &str = "\
Examples:
  landfall ecr logout
  landfall ecr logout 127.0.0.1:4566";

/// Logs in or out.
///
/// # Errors
/// ECR's refusal, or a configuration that can't be read or written.
pub async fn run(args: EcrArgs, env: &Environment) -> Result<(), Failure> {
    match args.command {
        EcrCommand::Login(args) => log_in(&args, env).await,
        EcrCommand::Logout(args) => log_out(&args, env),
    }
}

async fn log_in(args: &EcrLoginArgs, env: &Environment) -> Result<(), Failure> {
    let accounts = ecr::accounts(&args.registries)
        .map_err(|reason| Failure::usage(format!("--registries: {reason}")))?;
    let region =
        args.region.as_deref().or_else(|| env.region()).ok_or_else(|| {
            Failure::usage("no region: --region REGION or the variable AWS_REGION is expected")
        })?;
    // An unreadable configuration is found out before a password is asked for.
    let path = docker_config::location(args.docker_config.as_deref(), env)?;
    let mut config = DockerConfig::read(&path)?;
    let authorizations = ecr::authorize(env, region, &accounts, Backoff::default()).await?;
    let in_job = env.is_github_actions() || github::output_file(env).is_some();
    for command in authorizations.iter().filter_map(|each| github::mask(&each.login.password)) {
        if in_job {
            say(&command);
        }
    }
    for authorization in &authorizations {
        config.set(&authorization.registry, &authorization.login)?;
    }
    config.save()?;
    write_outputs(&authorizations, args.output_docker_credentials, env)?;
    for authorization in &authorizations {
        report(authorization, &config);
    }
    Ok(())
}

fn report(authorization: &Authorization, config: &DockerConfig) {
    let until = authorization.expiration.map_or_else(String::new, |time| format!(" until {time}"));
    say(&format!("logged in to {}{until} ({})", authorization.registry, config.path().display()));
    if let Some(helper) = config.helper(&authorization.registry) {
        say(&format!(
            "note: {} names the credential helper `{helper}` for this registry: Docker asks it before it looks at \
             this login",
            config.path().display()
        ));
    }
}

fn write_outputs(
    authorizations: &[Authorization],
    credentials: bool,
    env: &Environment,
) -> Result<(), Failure> {
    let Some(file) = github::output_file(env) else { return Ok(()) };
    let mut outputs = Vec::new();
    if let [only] = authorizations {
        outputs.push(("registry".to_owned(), only.registry.clone()));
    }
    for each in authorizations.iter().filter(|_| credentials) {
        let suffix = each.output_suffix();
        outputs.push((format!("docker_username_{suffix}"), each.login.username.clone()));
        outputs.push((format!("docker_password_{suffix}"), each.login.password.expose().clone()));
    }
    let pairs: Vec<_> = outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    append(&file, &pairs, &random_delimiter())
}

fn log_out(args: &EcrLogoutArgs, env: &Environment) -> Result<(), Failure> {
    let path = docker_config::location(args.docker_config.as_deref(), env)?;
    let mut config = DockerConfig::read(&path)?;
    let registries = if args.registries.is_empty() {
        let mut known = config.registries();
        known.retain(|name| ecr::is_ecr_registry(name, env));
        known
    } else {
        args.registries.clone()
    };
    let mut removed: Vec<_> = registries.into_iter().filter(|registry| config.remove(registry)).collect();
    removed.sort();
    removed.dedup();
    if removed.is_empty() {
        say(&format!("no login to remove in {}", path.display()));
        return Ok(());
    }
    config.save()?;
    for registry in removed {
        say(&format!("logged out from {registry} ({})", path.display()));
    }
    Ok(())
}
