//! `landfall`: containers from CI to AWS without a stored key. The binary reads the command line,
//! the environment and files, makes one call into a crate, shows the answer and picks the exit code.

mod cli;
mod cmd;
mod config;
mod edge;
mod exit;
mod files;
mod ui;
mod ui_tree;

use std::process::ExitCode;

use clap::Parser as _;
use landfall_deliver::{Failure, FailureKind};

fn main() -> ExitCode {
    let arguments = edge::arguments();
    if cmd::credential_helper::is_meant(arguments.first()) {
        return cmd::credential_helper::run(arguments.get(1), &edge::environment());
    }
    if cmd::at_home::is_meant(&arguments) {
        return cmd::at_home::run(arguments, &edge::environment());
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not failures; clap's own code for wrong usage is 2, as is ours.
            let printed = error.print();
            let is_lost = printed.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
            return match error.use_stderr() {
                true => ExitCode::from(exit::USAGE),
                false if is_lost => ExitCode::from(exit::OUTSIDE),
                false => ExitCode::SUCCESS,
            };
        }
    };
    let environment = edge::environment();
    let runtime = match edge::runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::failure(&Failure::new(FailureKind::Outside, format!("cannot start: {error}")));
            return ExitCode::from(exit::OUTSIDE);
        }
    };
    let code = runtime.block_on(cmd::run(cli.command, &environment));
    // Threads that still read from a process or a socket are not waited for.
    runtime.shutdown_background();
    match ui::lost() {
        Some(why) => {
            ui::failure(&Failure::new(FailureKind::Outside, why));
            ExitCode::from(exit::OUTSIDE)
        }
        None => code,
    }
}
