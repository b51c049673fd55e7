//! `landfall exec`: a session for one command only.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use landfall_deliver::exec::{self, Variables};
use landfall_deliver::keeper::{Event, Keeper};
use landfall_deliver::login::Session;
use landfall_deliver::{Environment, Failure, github};
use landfall_types::Secret;

use super::session::SessionArgs;
use crate::{edge, ui};

/// Run one command with a session, and nothing else with it: no file is written, nothing stays behind.
///
/// The command finds its credentials at an endpoint on loopback (AWS_CONTAINER_CREDENTIALS_FULL_URI, with
/// a token of its own), which every AWS SDK asks again before a session ends: a command may run for longer
/// than its session lives. Other keys and profiles are kept from it, so that it can't run as anybody else:
/// AWS's shared files count as empty. --env is for tools that know only keys.
///
/// What the session is made from: as `landfall login` says. The command's exit code is passed on, 128 and
/// the signal's number when a signal ended it, and signals reach it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExecArgs {
    #[command(flatten)]
    session: SessionArgs,

    /// Give the keys themselves (AWS_ACCESS_KEY_ID, …): they end with the session, nothing renews them
    #[arg(long)]
    env: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  One step of a job is allowed to deploy, and the others never see a key:
    landfall exec --role arn:aws:iam::123456789012:role/deploy \\
      --region eu-west-1 -- ./deploy.sh

  A tool that knows only AWS_ACCESS_KEY_ID:
    landfall exec --env --role \"$ROLE\" --region eu-west-1 -- \\
      s3cmd sync dist/ s3://site/

Exit codes: the command's own; 126 it can't be run; 127 it isn't there. Before
it starts: 1 refused; 2 wrong usage; 3 GitHub or AWS could not be reached.";

/// Runs the command; gives the exit code.
///
/// # Errors
/// Whatever kept the session from coming about.
pub async fn run(args: ExecArgs, env: &Environment) -> Result<u8, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(super::usage("a command is expected after `--`"));
    };
    let options = args.session.options(env)?;
    let calls = args.session.environment(env)?;
    let session = args.session.obtain(&options, None, &calls).await?;
    let in_job = env.is_github_actions();
    mask(&session.masks(false), in_job);
    // Keys that don't end need no endpoint, and the SDKs want an end there.
    let token_variable = options.token_variable.clone();
    let mut variables = if args.env || session.expiration.is_none() {
        Variables::of(&session)
    } else {
        let authorization = Secret::new(random_hex());
        mask(std::slice::from_ref(&authorization), in_job);
        let region = session.region.clone();
        let keeper = Keeper::new(session, options, calls, edge::now, move |event| tell(event, in_job));
        Variables::with_endpoint(&region, authorization, Arc::new(keeper)).await?
    };
    // The command gets the session, not what makes it.
    variables.removed.extend(token_variable);
    let in_terminal = io::stdin().is_terminal();
    exec::run(program, arguments, &variables, in_terminal).await.or_else(|error| {
        ui::failure(&Failure::usage(error.to_string()));
        Ok(error.exit_code())
    })
}

/// The command owns standard output; the runner listens to both.
fn mask(secrets: &[Secret<String>], in_job: bool) {
    for command in secrets.iter().filter_map(github::mask).filter(|_| in_job) {
        let _ = writeln!(io::stderr(), "{command}");
    }
}

fn tell(event: &Event<'_>, in_job: bool) {
    match event {
        Event::Renewed(session) => mask(&Session::masks(session, false), in_job),
        Event::Failed(failure) => ui::failure(&Failure {
            message: format!("the command's session could not be renewed: {}", failure.message),
            ..(*failure).clone()
        }),
    }
}

/// 256 random bits.
fn random_hex() -> String {
    let mut bytes = [0; 32];
    edge::fill_random(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
