//! One file for each command: gather input, one call, show the answer.

pub mod at_home;
pub mod credential_helper;
pub mod credentials;
pub mod deploy;
pub mod diff;
pub mod ecr;
pub mod exec;
pub mod explain;
pub mod explain_job;
pub mod issuer;
pub mod login;
pub mod pod;
pub mod pod_network;
pub mod push;
pub mod rehearse;
pub mod rehearse_pod;
pub mod role;
pub mod serve;
pub mod session;
pub mod token;
pub mod token_eks;
pub mod token_gitlab;
pub mod who;
mod why;

use std::process::ExitCode;

use clap::CommandFactory as _;
use landfall_deliver::proxy::Proxy;
use landfall_deliver::{Environment, Failure, FailureKind};

use crate::cli::{Cli, Command};
use crate::{exit, ui};

/// Runs a command and tells its exit code.
///
/// A signal ends what keeps nothing running between two of its steps and never within one: no file is left half
/// written. The other commands see to signals themselves.
pub async fn run(command: Command, environment: &Environment) -> ExitCode {
    if !matches!(command, Command::Login(_) | Command::Credentials(_) | Command::Ecr(_) | Command::Push(_)) {
        return carry_out(command, environment).await;
    }
    let stop = serve::stop_signal();
    tokio::select! {
        biased;
        code = carry_out(command, environment) => code,
        () = stop => {
            ui::failure(&Failure::new(FailureKind::Refused, "stopped before the end"));
            ExitCode::from(exit::BAD_NEWS)
        }
    }
}

async fn carry_out(command: Command, environment: &Environment) -> ExitCode {
    let result = match command {
        Command::Rehearse(args) => match rehearse_pod::manifest(&args.path) {
            Some(manifest) => rehearse_pod::run(&args, &manifest, environment).await,
            None => rehearse::run(*args, environment).await,
        },
        Command::Diff(args) => diff::run(*args),
        Command::Explain(args) => explain::run(*args),
        Command::Who(args) => who::run(*args),
        Command::Serve(mut args) => match args.command.take() {
            Some(serve::ServeCommand::Pod(args)) => {
                return code(pod::run(*args, environment).await, environment);
            }
            Some(serve::ServeCommand::PodNetwork(args)) => {
                return code(pod_network::run(args).await, environment);
            }
            None => serve::run(*args).await.map(|()| true),
        },
        Command::Token(args) => token::run(args, environment).await.map(|()| true),
        Command::Issuer(args) => issuer::run(args).await,
        Command::Login(args) => login::run(*args, environment).await.map(|()| true),
        Command::Exec(args) => return code(exec::run(*args, environment).await, environment),
        Command::Credentials(args) => credentials::run(*args, environment).await.map(|()| true),
        Command::Ecr(args) => ecr::run(args, environment).await.map(|()| true),
        Command::Push(args) => push::run(*args, environment).await.map(|()| true),
        Command::Deploy(args) => match deploy::run(*args, environment).await {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => Err(failure),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "landfall", &mut script);
            ui::print(&String::from_utf8_lossy(&script));
            Ok(true)
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::BAD_NEWS),
        Err(failure) => ended(failure, environment),
    }
}

fn ended(failure: Failure, environment: &Environment) -> ExitCode {
    let failure = match Proxy::from_environment(environment) {
        Ok(proxy) => failure.by_way_of(&proxy),
        Err(_) => failure,
    };
    ui::failure(&failure);
    ExitCode::from(failure.kind.exit_code())
}

/// The exit code of a command that was run, or of what kept it from running.
fn code(ran: Result<u8, Failure>, environment: &Environment) -> ExitCode {
    ran.map_or_else(|failure| ended(failure, environment), ExitCode::from)
}

/// Wrong usage or unreadable input.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Usage, message)
}

/// `KEY=VALUE` from the command line.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

/// A region's name.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
///
/// # Errors
/// What was expected, for anything else.
pub fn region(text: &str) -> Result<String, String> {
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if text.len() <= 63 && text.split('-').all(is_word) {
        return Ok(text.to_owned());
    }
    Err("lower-case letters, digits and hyphens are expected, such as ap-northeast-2".to_owned())
}

/// A name of Kubernetes' namespaces.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
///
/// # Errors
/// What was expected, for anything else.
pub fn namespace(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_label(text) {
        return Ok(text.to_owned());
    }
    Err("1 to 63 lower-case letters, digits and hyphens are expected, such as `build`; the first and the last is no hyphen".to_owned())
}

/// A name of Kubernetes' service accounts.
///
/// # Errors
/// What was expected, for anything else.
pub fn service_account(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err("1 to 253 lower-case letters, digits, hyphens and dots are expected, such as `pusher`; each part begins and ends with a letter or a digit".to_owned())
}

fn is_label(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_allowed)
}
