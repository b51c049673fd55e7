//! `landfall ecr login` and `landfall ecr logout`: Amazon ECR's passwords in Docker's configuration.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use landfall_deliver::docker_config::helper::{erase, store};
use landfall_deliver::docker_config::{self, DockerConfig};
use landfall_deliver::ecr::{self, Authorization, Ecr, Target};
use landfall_deliver::github::Appended;
use landfall_deliver::http::Backoff;
use landfall_deliver::{Environment, Failure, github, helper};

use super::login::{append, random_delimiter, say};
use super::session::boolean;
use super::why::InfraArgs;
use crate::{edge, ui};

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
    /// step with mode 0600; everything else in it stays. Where it names a credential helper for the
    /// registry, that one keeps the login, because Docker looks nowhere else then. The role needs
    /// ecr:GetAuthorizationToken on `*`.
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(EcrLoginArgs),
    /// Have Docker's clients make ECR's logins when they need them: install docker-credential-landfall.
    ///
    /// It is this binary under another name, a symbolic link. docker, podman, skopeo, crane and whoever else
    /// follows Docker's configuration start it for the registries that are named here, and it asks ECR with the
    /// AWS credentials around (keys, a profile, a pod's identity). Passwords are kept in ~/.cache/landfall/ecr for
    /// the same credentials, at most until those end (LANDFALL_ECR_CACHE=off keeps none).
    #[command(after_help = HELPER_EXAMPLES)]
    InstallHelper(EcrHelperArgs),
    /// Remove ECR's logins from Docker's config.json.
    #[command(after_help = LOGOUT_EXAMPLES)]
    Logout(EcrLogoutArgs),
}

/// Options of `ecr login`.
#[derive(Debug, clap::Args)]
pub struct EcrLoginArgs {
    /// Registries to log in to: account ids in the region, names such as
    /// 123456789012.dkr.ecr.eu-west-1.amazonaws.com in any region, public.ecr.aws [default: the caller's own]
    #[arg(long, value_name = "REGISTRY,…", value_delimiter = ',')]
    registries: Vec<String>,

    /// `public` is ECR Public, whatever --registries says
    #[arg(long, value_name = "TYPE", default_value = "private", value_parser = ["private", "public"], ignore_case = true)]
    registry_type: String,

    /// The region [env: AWS_REGION, AWS_DEFAULT_REGION]
    #[arg(long = "aws-region", visible_alias = "region", value_name = "REGION")]
    region: Option<String>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,

    /// Make a configuration of this job's own, in RUNNER_TEMP or the folder for temporary files: jobs on one
    /// machine then don't log each other out. In a GitHub job DOCKER_CONFIG is set for the steps that follow;
    /// elsewhere the line that sets it is printed
    #[arg(long)]
    isolated: bool,

    /// Make user name and password outputs of the step too (docker_username_REGISTRY, docker_password_REGISTRY)
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    output_docker_credentials: bool,

    /// Hide the passwords in the job's log; outputs that are hidden don't reach other jobs
    #[arg(long, num_args = 0..=1, default_value = "true", default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    mask_password: bool,

    #[command(flatten)]
    infra: InfraArgs,

    /// A proxy for the calls, without a password (that belongs into the variable) [env: HTTPS_PROXY, HTTP_PROXY]
    #[arg(long, value_name = "URL")]
    http_proxy: Option<String>,

    /// Hosts that are asked past the proxy [env: NO_PROXY]
    #[arg(long, value_name = "HOST,…")]
    no_proxy: Option<String>,
}

/// Options of `ecr install-helper`.
#[derive(Debug, clap::Args)]
pub struct EcrHelperArgs {
    /// Registries that Docker's clients ask it for (HOST[:PORT]); written to config.json as credHelpers
    #[arg(value_name = "REGISTRY")]
    registries: Vec<String>,

    /// Where to put the link: a folder of the PATH [default: beside this binary]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The directory of Docker's config.json [env: DOCKER_CONFIG] [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,
}

/// Options of `ecr logout`.
#[derive(Debug, clap::Args)]
pub struct EcrLogoutArgs {
    /// Registries to log out from (HOST[:PORT]) [default: every ECR registry in the file]
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
    landfall ecr login --registries 123456789012,210987654321 --isolated

  Two regions and ECR Public, for the commands that follow in a shell:
    eval \"$(landfall ecr login --isolated \\
      --registries 123456789012.dkr.ecr.eu-west-1.amazonaws.com \\
      --registries 123456789012.dkr.ecr.us-east-1.amazonaws.com,public.ecr.aws)\"

Exit codes: 0 logged in; 1 refused; 2 wrong usage or no credentials; 3 ECR could
not be reached.";

const HELPER_EXAMPLES: &str = "\
Examples:
  landfall ecr install-helper public.ecr.aws \\
    123456789012.dkr.ecr.eu-west-1.amazonaws.com
  landfall ecr install-helper --dir ~/.local/bin

Exit codes: 0 installed; 2 wrong usage, or a file that is in the way.";

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
        EcrCommand::InstallHelper(args) => install_helper(&args, env),
        EcrCommand::Logout(args) => log_out(&args, env).await,
    }
}

async fn log_in(args: &EcrLoginArgs, env: &Environment) -> Result<(), Failure> {
    let targets = if args.registry_type.eq_ignore_ascii_case("public") {
        vec![Target::Public]
    } else {
        ecr::targets(&args.registries).map_err(|reason| Failure::usage(format!("--registries: {reason}")))?
    };
    let region = region(args, &targets, env)?;
    // An unreadable configuration is found out before a password is asked for.
    let path = docker_config::location(args.docker_config.as_deref(), env)?;
    DockerConfig::read(&path)?;
    let calls = super::session::with_proxy(env, args.http_proxy.as_deref(), args.no_proxy.as_deref())?;
    let authorizations = Ecr::new(&calls, &region, Backoff::default()).await?.all(&region, &targets).await;
    let authorizations = authorizations.map_err(|failure| args.infra.explained(failure))?;
    let is_in_job = env.is_github_actions() || github::output_file(env).is_some();
    let line_for_shell = args.isolated && github::environment_file(env).is_none();
    let tell = |line: &str| if line_for_shell { ui::note(line) } else { say(line) };
    if is_in_job && args.mask_password {
        authorizations
            .iter()
            .filter_map(|each| github::mask(&each.login.password))
            .for_each(|line| tell(&line));
    }
    let path = if args.isolated { isolate(&path, env)? } else { path };
    let kept = keep(&authorizations, args, &path, env).await;
    // A copy of the user's logins that nobody will hear of must not stay.
    if let (true, Err(_), Some(folder)) = (args.isolated, &kept, path.parent()) {
        let _ = std::fs::remove_dir_all(folder);
    }
    let kept = kept?;
    for (authorization, place) in authorizations.iter().zip(kept) {
        report(authorization, &place, tell);
    }
    if args.isolated && line_for_shell {
        export_line(&path)?;
    }
    Ok(())
}

/// Keeps the logins where Docker's clients look for them, and gives the place of each.
///
/// Where Docker's configuration names a credential helper for a registry, Docker looks nowhere else: that one gets the
/// login, as from `docker login`. Nothing is waited for once the first file is written, and what was written is taken
/// back when the next can't be.
async fn keep(
    authorizations: &[Authorization],
    args: &EcrLoginArgs,
    path: &Path,
    env: &Environment,
) -> Result<Vec<String>, Failure> {
    let config = DockerConfig::read(path)?;
    let helper = |each: &Authorization| config.helper(&each.registry).filter(|_| !args.isolated);
    let helpers: Vec<_> = authorizations.iter().map(helper).collect();
    for (each, helper) in authorizations.iter().zip(&helpers) {
        // Ours makes its logins itself.
        if let Some(name) = helper.as_ref().filter(|name| *name != HELPER_WORD) {
            store(name, &each.registry, &each.login).await.map_err(|reason| {
                Failure::usage(format!("logging in to {}: {reason}", each.registry)).help(format!(
                    "{} names it; --isolated makes a configuration that keeps its logins itself",
                    path.display()
                ))
            })?;
        }
    }
    let outputs = write_outputs(authorizations, args.output_docker_credentials, env)?;
    let written = write_logins(authorizations, &helpers, args.isolated, path).and_then(|()| {
        match github::environment_file(env).filter(|_| args.isolated) {
            Some(file) => {
                append(&file, &[("DOCKER_CONFIG", &folder_of(path))], &random_delimiter()).map(drop)
            }
            None => Ok(()),
        }
    });
    if let (Err(_), Some(outputs)) = (&written, outputs) {
        outputs.take_back();
    }
    let place = |helper: Option<String>| match helper {
        Some(name) => format!("docker-credential-{name}, which {} names", path.display()),
        None => path.display().to_string(),
    };
    written.map(|()| helpers.into_iter().map(place).collect())
}

fn write_logins(
    authorizations: &[Authorization],
    helpers: &[Option<String>],
    isolated: bool,
    path: &Path,
) -> Result<(), Failure> {
    let written = docker_config::change(path, |config| {
        for (each, helper) in authorizations.iter().zip(helpers) {
            if helper.is_some() {
                config.set_elsewhere(&each.registry)?;
                continue;
            }
            if isolated {
                config.forget_helper(&each.registry);
            }
            config.set(&each.registry, &each.login)?;
        }
        Ok(())
    });
    Ok(written?)
}

/// The region of accounts that are named by their ids; registries' names say theirs themselves.
fn region(args: &EcrLoginArgs, targets: &[Target], env: &Environment) -> Result<String, Failure> {
    let said = args.region.as_deref().filter(|region| !region.is_empty()).or_else(|| env.region());
    let of_target = targets.iter().find_map(|target| match target {
        Target::Host { host, .. } => Some(host.region.as_str()),
        _ => None,
    });
    let needs_none =
        !targets.is_empty() && !targets.iter().any(|target| matches!(target, Target::Account(_)));
    let spare = needs_none.then(|| of_target.unwrap_or("us-east-1"));
    let region = said.or(spare).map(str::to_owned);
    region.ok_or_else(|| Failure::usage("no region: --region REGION or the variable AWS_REGION is expected"))
}

/// A configuration of this job's own.
fn isolate(path: &Path, env: &Environment) -> Result<PathBuf, Failure> {
    let parent = env.path("RUNNER_TEMP").or_else(|| env.path("TMPDIR")).unwrap_or_else(|| "/tmp".into());
    Ok(docker_config::isolated(path, &parent)?.join("config.json"))
}

fn folder_of(config: &Path) -> String {
    config.parent().unwrap_or(config).display().to_string()
}

/// For the shell that asked.
fn export_line(config: &Path) -> Result<(), Failure> {
    let quoted = folder_of(config).replace('\'', r"'\''");
    writeln!(io::stdout(), "export DOCKER_CONFIG='{quoted}'")
        .map_err(|error| Failure::usage("writing to standard output").caused_by(error))
}

fn install_helper(args: &EcrHelperArgs, env: &Environment) -> Result<(), Failure> {
    for registry in &args.registries {
        Target::parse(registry).map(|_| ()).or_else(|reason| {
            if ecr::is_ecr_registry(registry, env) { Ok(()) } else { Err(Failure::usage(reason)) }
        })?;
    }
    let program =
        edge::program().map_err(|error| Failure::usage("finding this program's file").caused_by(error))?;
    let directory = match &args.dir {
        Some(directory) => directory.clone(),
        None => program.parent().map(Path::to_owned).unwrap_or_default(),
    };
    // An unreadable configuration is found out before anything is made.
    let config = match args.registries.as_slice() {
        [] => None,
        _ => Some(docker_config::location(args.docker_config.as_deref(), env)?),
    };
    config.as_deref().map(DockerConfig::read).transpose()?;
    let link = directory.join(helper::NAME);
    make_link(&program, &link)?;
    say(&format!("{} is {}", link.display(), program.display()));
    let paths = env.get("PATH").unwrap_or_default();
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !std::env::split_paths(paths).any(|path| whole(&path) == whole(&directory)) {
        say(&format!("note: {} is not in the PATH: Docker's clients look there", directory.display()));
    }
    let Some(path) = config else { return Ok(()) };
    docker_config::change(&path, |config| {
        args.registries.iter().try_for_each(|registry| config.set_helper(registry, HELPER_WORD))
    })?;
    for registry in &args.registries {
        say(&format!("{registry}: asked for by docker-credential-{HELPER_WORD} ({})", path.display()));
    }
    Ok(())
}

/// A link of this name, also in place of an older link; nothing else is replaced.
fn make_link(program: &Path, link: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::usage(format!("making `{}`", link.display())).caused_by(error);
    if let Some(directory) = link.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    match std::fs::symlink_metadata(link) {
        Ok(metadata) if !metadata.is_symlink() => {
            return Err(Failure::usage(format!("`{}` is in the way: it is no link", link.display())));
        }
        Ok(_) => std::fs::remove_file(link).map_err(failed)?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(program, link).map_err(failed)
}

fn report(authorization: &Authorization, place: &str, say: impl Fn(&str)) {
    let until = authorization.expiration.map_or_else(String::new, |time| format!(" until {time}"));
    say(&format!("logged in to {}{until} ({place})", authorization.registry));
}

fn write_outputs(
    authorizations: &[Authorization],
    credentials: bool,
    env: &Environment,
) -> Result<Option<Appended>, Failure> {
    let Some(file) = github::output_file(env) else { return Ok(None) };
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
    append(&file, &pairs, &random_delimiter()).map(Some)
}

async fn log_out(args: &EcrLogoutArgs, env: &Environment) -> Result<(), Failure> {
    let path = docker_config::location(args.docker_config.as_deref(), env)?;
    let config = DockerConfig::read(&path)?;
    let mut registries = args.registries.clone();
    if registries.is_empty() {
        registries = config.registries();
        // A local AWS side may have further addresses for its registries, with logins as ECR gives them.
        let is_played = |name: &str| {
            ecr::may_be_played(name, env) && config.login(name).is_some_and(|login| login.username == "AWS")
        };
        registries.retain(|name| {
            name == ecr::PUBLIC_REGISTRY || ecr::is_ecr_registry(name, env) || is_played(name)
        });
    }
    for registry in &registries {
        if let Some(name) = config.helper(registry).filter(|name| name != HELPER_WORD) {
            let erased = erase(&name, registry).await;
            erased.map_err(|reason| Failure::usage(format!("logging out from {registry}: {reason}")))?;
        }
    }
    let mut removed: Vec<String> = if path.exists() {
        docker_config::change(&path, |config| {
            Ok(registries.into_iter().filter(|registry| config.remove(registry)).collect())
        })?
    } else {
        Vec::new()
    };
    removed.sort();
    removed.dedup();
    if removed.is_empty() {
        say(&format!("no login to remove in {}", path.display()));
    }
    for registry in removed {
        say(&format!("logged out from {registry} ({})", path.display()));
    }
    Ok(())
}

/// What Docker's configuration calls the helper.
const HELPER_WORD: &str = "landfall";
