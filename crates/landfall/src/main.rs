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

fn main() -> ExitCode {
    let arguments = edge::arguments();
    if cmd::credential_helper::is_meant(arguments.first()) {
        return cmd::credential_helper::run(arguments.get(1), &edge::environment());
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not failures; clap's own code for wrong usage is 2, as is ours.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let environment = edge::environment();
    let runtime = match edge::runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::failure(&landfall_deliver::Failure::new(
                landfall_deliver::FailureKind::Outside,
                format!("cannot start: {error}"),
            ));
            return ExitCode::from(exit::OUTSIDE);
        }
    };
    let code = runtime.block_on(cmd::run(cli.command, &environment));
    // Threads that still read from a process or a socket are not waited for.
    runtime.shutdown_background();
    code
}
