//! `landfall credentials`: a session for whoever asks as AWS's `credential_process`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use landfall_deliver::login::Cache;
use landfall_deliver::{Environment, Failure};

use super::session::SessionArgs;

/// Print a session as AWS's `credential_process` does, for any SDK's profile.
///
/// The SDK runs it and asks again before the session ends. Nothing is written, unless --cache names a file:
/// then the next run takes the session from there while it lives. Standard output holds one JSON object,
/// refusals are on standard error.
///
/// What the session is made from: as `landfall login` says. Profiles with a credential_process of their own
/// are not asked, so it can't come round to itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CredentialsArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Keep the session in this file (mode 0600) until a quarter of an hour before its end
    #[arg(long, value_name = "FILE")]
    cache: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  In ~/.aws/config, for `aws --profile deploy …` and every SDK:
    [profile deploy]
    region = eu-west-1
    credential_process = landfall credentials --region eu-west-1 --role ARN

  A client that is started a hundred times makes one session:
    credential_process = landfall credentials … --cache /run/user/1000/deploy

Exit codes: 0 there it is; 1 refused; 2 wrong usage; 3 GitHub or AWS could not
be reached.";

/// Prints a session.
///
/// # Errors
/// Whatever kept it from coming about.
pub async fn run(args: CredentialsArgs, env: &Environment) -> Result<(), Failure> {
    let options = args.session.options(env)?;
    let env = args.session.environment(env)?;
    let session = args.session.obtain(&options, args.cache.map(Cache::new).as_ref(), &env).await?;
    writeln!(io::stdout(), "{}", session.process_json().expose())
        .map_err(|error| Failure::usage("writing the session to standard output").caused_by(error))
}
