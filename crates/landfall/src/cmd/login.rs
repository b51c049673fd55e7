//! `landfall login`: from what the CI job has to an AWS session in its environment.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use landfall_deliver::github::{self, Delimiter};
use landfall_deliver::login::{self, CREDENTIAL_VARIABLES, Session};
use landfall_deliver::{Environment, Failure};
use landfall_types::Secret;

use super::session::{SessionArgs, truth};

/// Exchange the job's ID token for an AWS session and put it into the job's environment.
///
/// In GitHub Actions the session's keys go to the later steps (GITHUB_ENV), masked in the log; account
/// and ARN become outputs. Elsewhere ask for a form: --write-env-file or --format.
///
/// What the session is made from, in this order: --web-identity-token-file or -variable; --role-chaining;
/// --keys-from-stdin; the ID token that GitHub offers to a job with `permissions: id-token: write`; the
/// file that AWS_WEB_IDENTITY_TOKEN_FILE names (IRSA); AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a
/// pod's identity (AWS_CONTAINER_CREDENTIALS_FULL_URI). Without a role: what the AWS SDK finds by itself.
/// Tokens and keys are never taken from the command line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct LoginArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Hide account id and ARN in the job's log [env: MASK_AWS_ACCOUNT_ID]
    #[arg(long)]
    mask_aws_account_id: bool,

    /// Make the keys outputs of the step too [env: OUTPUT_CREDENTIALS]
    #[arg(long)]
    output_credentials: bool,

    /// Put the keys into the job's environment
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    output_env_credentials: bool,

    /// Empty the AWS_* variables of the job first, and don't use them [env: UNSET_CURRENT_CREDENTIALS]
    #[arg(long)]
    unset_current_credentials: bool,

    /// Print the session on standard output
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<SessionFormat>,

    /// Write the session as NAME=value lines to a file that only its owner may read
    #[arg(long, value_name = "FILE")]
    write_env_file: Option<PathBuf>,
}

/// How a session is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SessionFormat {
    /// NAME=value lines, for `export $(…)` and `docker run --env-file`
    Env,
    /// One object, as an AWS credential_process answers
    Json,
}

const EXAMPLES: &str = "\
Examples:
  In a GitHub job with `permissions: id-token: write`:
    landfall login --role arn:aws:iam::123456789012:role/deploy --region eu-west-1

  Only if it really is the staging account:
    landfall login --role \"$ROLE\" --region eu-west-1 --allowed-account-ids 123456789012

  In GitLab, with `id_tokens: { AWS_ID_TOKEN: { aud: sts.amazonaws.com } }`, for the commands that follow:
    export $(landfall login --role \"$ROLE\" --region eu-west-1 --web-identity-token-variable AWS_ID_TOKEN \\
      --format env)

  By way of a role in another account:
    landfall login --role \"$CI_ROLE\" --role-chain \"$DEPLOY_ROLE\" --region eu-west-1

  Against the local AWS side:
    AWS_ENDPOINT_URL=http://127.0.0.1:4566 landfall login --role \"$ROLE\" --region eu-west-1

Exit codes: 0 logged in; 1 refused; 2 wrong usage; 3 GitHub or AWS could not be reached.";

/// Logs in.
///
/// # Errors
/// Whatever kept the session from coming about or from being written.
pub async fn run(mut args: LoginArgs, env: &Environment) -> Result<(), Failure> {
    args.mask_aws_account_id |= truth(env, "MASK_AWS_ACCOUNT_ID")?;
    args.output_credentials |= truth(env, "OUTPUT_CREDENTIALS")?;
    args.unset_current_credentials |= truth(env, "UNSET_CURRENT_CREDENTIALS")?;
    let mut options = args.session.options(env)?;
    options.ignore_environment_keys = args.unset_current_credentials;
    let outlet = Outlet::new(&args, env)?;
    if args.unset_current_credentials && args.output_env_credentials {
        outlet.empty_variables()?;
    }
    let session = login::login(&options, env).await.map_err(Failure::from)?;
    outlet.mask(&session.masks(args.mask_aws_account_id));
    outlet.write(&session, &args)?;
    let text = match args.format {
        Some(SessionFormat::Env) => session.env_text(),
        Some(SessionFormat::Json) => session.json(),
        None => {
            say(&greeting(&session));
            return Ok(());
        }
    };
    // What was asked for and didn't arrive is a failure, unlike a greeting that nobody read.
    writeln!(io::stdout(), "{}", text.expose().trim_end())
        .map_err(|error| Failure::usage("writing the session to standard output").caused_by(error))
}

fn greeting(session: &Session) -> String {
    let until = session.expiration.map_or_else(String::new, |time| format!(", until {time}"));
    format!("logged in as {} in {}{until}", session.arn, session.region)
}

/// Where the session goes besides standard output.
struct Outlet {
    environment_file: Option<PathBuf>,
    output_file: Option<PathBuf>,
    env_file: Option<PathBuf>,
    delimiter: Delimiter,
    masks_to_stderr: bool,
    is_in_job: bool,
}

impl Outlet {
    fn new(args: &LoginArgs, env: &Environment) -> Result<Self, Failure> {
        let environment_file = github::environment_file(env).filter(|_| args.output_env_credentials);
        let output_file = github::output_file(env);
        let has_outlet = environment_file.is_some()
            || args.format.is_some()
            || args.write_env_file.is_some()
            || (args.output_credentials && output_file.is_some());
        if !has_outlet && !env.is_github_actions() {
            return Err(Failure::usage(
                "nowhere to put the session: this is no GitHub job (GITHUB_ENV is not set)",
            )
            .help("--format env, --format json or --write-env-file FILE says where"));
        }
        Ok(Self {
            is_in_job: env.is_github_actions() || github::environment_file(env).is_some(),
            environment_file,
            output_file,
            env_file: args.write_env_file.clone(),
            delimiter: random_delimiter(),
            masks_to_stderr: args.format.is_some(),
        })
    }

    fn empty_variables(&self) -> Result<(), Failure> {
        let empty = CREDENTIAL_VARIABLES.map(|name| (name, ""));
        self.environment_file.as_deref().map_or(Ok(()), |file| append(file, &empty, &self.delimiter))
    }

    /// Only in a job: anywhere else the command would show what it should hide. Standard output
    /// belongs to the session when a format was asked for; the runner listens to both.
    fn mask(&self, secrets: &[Secret<String>]) {
        if !self.is_in_job {
            return;
        }
        for command in secrets.iter().filter_map(github::mask) {
            if self.masks_to_stderr {
                // As with `say`: a reader that went away has nothing to be masked for.
                let _ = writeln!(io::stderr(), "{command}");
            } else {
                say(&command);
            }
        }
    }

    fn write(&self, session: &Session, args: &LoginArgs) -> Result<(), Failure> {
        if let Some(file) = &self.environment_file {
            append(file, &session.variables(), &self.delimiter)?;
        }
        if let Some(file) = &self.output_file {
            let outputs = session.outputs(args.output_credentials);
            let pairs: Vec<_> = outputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            append(file, &pairs, &self.delimiter)?;
        }
        if let Some(file) = &self.env_file {
            landfall_deliver::login::write_private(file, session.env_text().expose().as_bytes())
                .map_err(|error| Failure::usage(format!("writing `{}`", file.display())).caused_by(error))?;
        }
        Ok(())
    }
}

/// Appends to one of the runner's files.
pub(crate) fn append(file: &Path, pairs: &[(&str, &str)], delimiter: &Delimiter) -> Result<(), Failure> {
    github::append(file, pairs, delimiter)
        .map_err(|error| Failure::usage(format!("writing `{}`", file.display())).caused_by(error))
}

/// A new delimiter for the runner's files: 128 bits that nobody outside can guess. The standard library
/// keys its hashers from the system's random numbers; the cryptographic generator would measure the
/// CPU's jitter first, which takes longer than the whole login (70 ms, measured).
pub(crate) fn random_delimiter() -> Delimiter {
    let half = || u128::from(RandomState::new().hash_one(0u8));
    Delimiter::from_random(half() << 64 | half())
}

/// A line on standard output. One that nobody reads any more is no reason to fail: the work is done.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: LoginArgs,
    }

    fn has_outlet(line: &str, variables: &[(&str, &str)]) -> bool {
        let args = Line::try_parse_from(line.split(' ')).unwrap().args;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Outlet::new(&args, &Environment::new(variables, None)).is_ok()
    }

    #[test]
    fn a_session_that_nobody_would_get_is_not_asked_for() {
        let job = [("GITHUB_ACTIONS", "true"), ("GITHUB_ENV", "/e")];
        assert!(has_outlet("login", &job));
        assert!(has_outlet("login --format env", &[]));
        assert!(has_outlet("login --write-env-file f", &[]));
        assert!(has_outlet("login --output-credentials", &[("GITHUB_OUTPUT", "/o")]));
        assert!(!has_outlet("login", &[]));
        assert!(!has_outlet("login --output-credentials", &[]));
        assert!(!has_outlet("login --output-env-credentials false", &[("GITHUB_ENV", "/e")]));
    }

    #[test]
    fn keys_cannot_come_from_the_command_line() {
        for flag in
            ["--access-key-id", "--aws-access-key-id", "--secret-access-key", "--aws-secret-access-key"]
        {
            assert!(Line::try_parse_from(["login", flag, "x"]).is_err(), "{flag}");
        }
    }

    #[test]
    fn every_delimiter_is_another_one() {
        assert_ne!(random_delimiter(), random_delimiter());
    }
}
