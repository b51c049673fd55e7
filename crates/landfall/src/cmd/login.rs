//! `landfall login`: from what the CI job has to an AWS session in its environment.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use landfall_deliver::github::{self, Appended, Delimiter};
use landfall_deliver::login::profile::Profile;
use landfall_deliver::login::{self, CREDENTIAL_VARIABLES, Session};
use landfall_deliver::{Environment, Failure};
use landfall_types::Secret;

use super::session::{SessionArgs, boolean, truth};

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
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    mask_aws_account_id: Option<bool>,

    /// Make the keys outputs of the step too [env: OUTPUT_CREDENTIALS]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    output_credentials: Option<bool>,

    /// Put the keys into the job's environment [env: OUTPUT_ENV_CREDENTIALS] [default: true; false with
    /// --aws-profile]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    output_env_credentials: Option<bool>,

    /// Write the session as a profile of this name to AWS's shared files, in ~/.aws or where
    /// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE say [env: WRITE_AWS_PROFILE]
    #[arg(long, value_name = "NAME")]
    aws_profile: Option<String>,

    /// Replace a profile that is there [env: OVERWRITE_AWS_PROFILE]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    overwrite_aws_profile: Option<bool>,

    /// Empty the AWS_* variables of the job first, and don't use them [env: UNSET_CURRENT_CREDENTIALS]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = boolean)]
    unset_current_credentials: Option<bool>,

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
    landfall login --role arn:aws:iam::123456789012:role/deploy \\
      --region eu-west-1

  Only if it really is the staging account:
    landfall login --role \"$ROLE\" --region eu-west-1 \\
      --allowed-account-ids 123456789012

  In GitLab, with `id_tokens: { AWS_ID_TOKEN: { aud: sts.amazonaws.com } }`:
    export $(landfall login --role \"$ROLE\" --region eu-west-1 \\
      --web-identity-token-variable AWS_ID_TOKEN --format env)

  When it is refused, which clause of the Terraform here refused it:
    landfall login --role \"$ROLE\" --region eu-west-1 --infra infra

  By way of a role in another account:
    landfall login --role \"$CI_ROLE\" --role-chain \"$DEPLOY_ROLE\" \\
      --region eu-west-1

  Against the local AWS side:
    export AWS_ENDPOINT_URL=http://127.0.0.1:4566
    landfall login --role \"$ROLE\" --region eu-west-1

Exit codes: 0 logged in; 1 refused; 2 wrong usage; 3 GitHub or AWS could not be
reached.";

/// Logs in.
///
/// # Errors
/// Whatever kept the session from coming about or from being written.
pub async fn run(args: LoginArgs, env: &Environment) -> Result<(), Failure> {
    let mut options = args.session.options(env)?;
    let said = Said::new(&args, env)?;
    options.ignore_environment_keys = said.unsets;
    // A place to put it is looked for before anything is asked.
    let outlet = Outlet::new(&said, env)?;
    let calls = args.session.environment(env)?;
    if options.use_existing {
        let existing =
            login::existing(&options, &calls).await.map_err(|error| args.session.explained(error))?;
        if let Some(session) = existing {
            return outlet.keep(&session, &said);
        }
        options.use_existing = false;
    }
    if said.unsets && said.sets_variables {
        outlet.empty_variables()?;
    }
    let session = args.session.obtain(&options, None, &calls).await?;
    outlet.mask(&session.masks(said.masks_account));
    outlet.write(&session, &said)?;
    print(&session, said.format, || greeting(&session))
}

/// The session in the form that was asked for, else a line for a person.
fn print(
    session: &Session,
    format: Option<SessionFormat>,
    line: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = match format {
        Some(SessionFormat::Env) => session.env_text(),
        Some(SessionFormat::Json) => session.json(),
        None => {
            say(&line());
            return Ok(());
        }
    };
    // What was asked for and didn't arrive is a failure, unlike a greeting that nobody read.
    writeln!(io::stdout(), "{}", text.expose().trim_end())
        .map_err(|error| Failure::usage("writing the session to standard output").caused_by(error))
}

/// What was said about where the session goes, by flags and variables.
struct Said {
    masks_account: bool,
    outputs_keys: bool,
    sets_variables: bool,
    unsets: bool,
    profile: Option<Profile>,
    format: Option<SessionFormat>,
    env_file: Option<PathBuf>,
}

impl Said {
    fn new(args: &LoginArgs, env: &Environment) -> Result<Self, Failure> {
        let truth = |flag: Option<bool>, name| flag.map_or_else(|| truth(env, name), Ok);
        let profile = args.aws_profile.as_deref().filter(|name| !name.is_empty());
        let profile = profile.or_else(|| env.get("WRITE_AWS_PROFILE"));
        let overwrites = truth(args.overwrite_aws_profile, "OVERWRITE_AWS_PROFILE")?;
        let is_silent = args.output_env_credentials.is_none() && env.get("OUTPUT_ENV_CREDENTIALS").is_none();
        Ok(Self {
            masks_account: truth(args.mask_aws_account_id, "MASK_AWS_ACCOUNT_ID")?,
            outputs_keys: truth(args.output_credentials, "OUTPUT_CREDENTIALS")?,
            sets_variables: if is_silent {
                profile.is_none()
            } else {
                truth(args.output_env_credentials, "OUTPUT_ENV_CREDENTIALS")?
            },
            unsets: truth(args.unset_current_credentials, "UNSET_CURRENT_CREDENTIALS")?,
            profile: profile.map(|name| Profile::new(name, overwrites, env)).transpose()?,
            format: args.format,
            env_file: args.write_env_file.clone(),
        })
    }
}

fn greeting(session: &Session) -> String {
    let until = session.expiration.map_or_else(String::new, |time| format!(", until {time}"));
    format!("logged in as {} in {}{until}", session.arn, session.region)
}

/// Where the session goes besides standard output.
struct Outlet {
    environment_file: Option<PathBuf>,
    output_file: Option<PathBuf>,
    delimiter: Delimiter,
    masks_to_stderr: bool,
    is_in_job: bool,
}

impl Outlet {
    fn new(said: &Said, env: &Environment) -> Result<Self, Failure> {
        let environment_file = github::environment_file(env).filter(|_| said.sets_variables);
        let output_file = github::output_file(env);
        let has_outlet = environment_file.is_some()
            || said.format.is_some()
            || said.profile.is_some()
            || said.env_file.is_some()
            || (said.outputs_keys && output_file.is_some());
        if !has_outlet && !env.is_github_actions() {
            return Err(Failure::usage(
                "nowhere to put the session: this is no GitHub job (GITHUB_ENV is not set)",
            )
            .help("--format env, --format json, --write-env-file FILE or --aws-profile NAME says where"));
        }
        Ok(Self {
            is_in_job: env.is_github_actions() || github::environment_file(env).is_some(),
            environment_file,
            output_file,
            delimiter: random_delimiter(),
            masks_to_stderr: said.format.is_some(),
        })
    }

    fn empty_variables(&self) -> Result<(), Failure> {
        let empty = CREDENTIAL_VARIABLES.map(|name| (name, ""));
        self.environment_file
            .as_deref()
            .map_or(Ok(()), |file| append(file, &empty, &self.delimiter).map(drop))
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

    /// All of it or nothing: a step that failed leaves no keys to those that run all the same.
    fn write(&self, session: &Session, said: &Said) -> Result<(), Failure> {
        let mut written = Written::default();
        let outcome = self.write_all(session, said, &mut written);
        if outcome.is_err() {
            written.take_back();
        }
        outcome
    }

    /// The profile comes last, because it is written in one step.
    fn write_all(&self, session: &Session, said: &Said, written: &mut Written) -> Result<(), Failure> {
        written.appended.extend(self.write_outputs(session, said)?);
        if let Some(file) = &self.environment_file {
            let mut variables = session.variables();
            variables.extend(said.profile.as_ref().map(|profile| ("AWS_PROFILE", profile.name())));
            written.appended.push(append(file, &variables, &self.delimiter)?);
        }
        self.write_file(session, said)?;
        written.file.clone_from(&said.env_file);
        said.profile.as_ref().map_or(Ok(()), |profile| profile.write(session))
    }

    /// For credentials that stay where they are: the job's environment has them.
    fn keep(&self, session: &Session, said: &Said) -> Result<(), Failure> {
        self.mask(&session.masks(said.masks_account));
        self.write_file(session, said)?;
        self.write_outputs(session, said)?;
        print(session, said.format, || format!("using the credentials that are there: {}", session.arn))
    }

    fn write_file(&self, session: &Session, said: &Said) -> Result<(), Failure> {
        let Some(file) = &said.env_file else { return Ok(()) };
        landfall_deliver::private::write(file, session.env_text().expose().as_bytes())
            .map_err(|error| Failure::usage(format!("writing `{}`", file.display())).caused_by(error))
    }

    fn write_outputs(&self, session: &Session, said: &Said) -> Result<Option<Appended>, Failure> {
        let Some(file) = &self.output_file else { return Ok(None) };
        let outputs = session.outputs(said.outputs_keys);
        let pairs: Vec<_> = outputs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        append(file, &pairs, &self.delimiter).map(Some)
    }
}

/// What was written so far.
#[derive(Default)]
struct Written {
    appended: Vec<Appended>,
    file: Option<PathBuf>,
}

impl Written {
    fn take_back(self) {
        self.appended.into_iter().for_each(Appended::take_back);
        if let Some(file) = self.file {
            // What can't be removed was told of already: the disk's failure is.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Appends to one of the runner's files.
pub(crate) fn append(
    file: &Path,
    pairs: &[(&str, &str)],
    delimiter: &Delimiter,
) -> Result<Appended, Failure> {
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
        let env = Environment::new(variables, Some("/nowhere".into()));
        Said::new(&args, &env).and_then(|said| Outlet::new(&said, &env)).is_ok()
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
        assert!(!has_outlet("login", &[("GITHUB_ENV", "/e"), ("OUTPUT_ENV_CREDENTIALS", "false")]));
        assert!(has_outlet("login --aws-profile ci", &[]));
    }

    #[test]
    fn variables_say_where_the_session_goes_and_a_profile_takes_the_place_of_keys_in_the_environment() {
        let said = |line: &str, variables: &[(&str, &str)]| {
            let args = Line::try_parse_from(line.split(' ')).unwrap().args;
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let said = Said::new(&args, &Environment::new(variables, Some("/nowhere".into()))).unwrap();
            let profile = said.profile.map(|profile| profile.name().to_owned());
            (said.masks_account, said.outputs_keys, said.unsets, said.sets_variables, profile)
        };
        let ci = || Some("ci".to_owned());
        for (line, variables, wanted) in [
            ("login", &[][..], (false, false, false, true, None)),
            ("login --mask-aws-account-id", &[], (true, false, false, true, None)),
            ("login", &[("MASK_AWS_ACCOUNT_ID", "true")], (true, false, false, true, None)),
            (
                "login --mask-aws-account-id=false",
                &[("MASK_AWS_ACCOUNT_ID", "true")],
                (false, false, false, true, None),
            ),
            ("login --output-credentials", &[], (false, true, false, true, None)),
            ("login", &[("OUTPUT_CREDENTIALS", "true")], (false, true, false, true, None)),
            ("login --unset-current-credentials", &[], (false, false, true, true, None)),
            ("login", &[("UNSET_CURRENT_CREDENTIALS", "True")], (false, false, true, true, None)),
            ("login --aws-profile ci", &[], (false, false, false, false, ci())),
            ("login", &[("WRITE_AWS_PROFILE", "ci")], (false, false, false, false, ci())),
            ("login --aws-profile ci --output-env-credentials true", &[], (false, false, false, true, ci())),
            (
                "login --aws-profile=",
                &[("OUTPUT_ENV_CREDENTIALS", "false")],
                (false, false, false, false, None),
            ),
        ] {
            assert_eq!(said(line, variables), wanted, "{line} {variables:?}");
        }
    }

    #[test]
    fn every_delimiter_is_another_one() {
        assert_ne!(random_delimiter(), random_delimiter());
    }
}
