//! `docker-credential-landfall`: this binary under another name, as Docker's clients start their helpers.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use landfall_deliver::Environment;
use landfall_deliver::helper::{self, Answer};

use super::serve;
use crate::edge;

/// Whether this process was started as the helper.
pub fn is_meant(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| Path::new(program).file_stem().is_some_and(|name| name == helper::NAME))
}

/// Answers one action. Docker's clients read standard output, and the exit code: 0 or 1.
pub fn run(action: Option<&OsString>, env: &Environment) -> ExitCode {
    let answer = match action.map(|action| action.to_string_lossy()) {
        Some(action) => answer(&action, env),
        None => Err(helper::USAGE.to_owned()),
    };
    let (text, code) = match answer {
        Ok(text) => (text.expose().clone(), ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    // A client that went away needs no answer.
    if !text.is_empty() {
        let _ = writeln!(io::stdout(), "{text}");
    }
    code
}

fn answer(action: &str, env: &Environment) -> Answer {
    let mut input = String::new();
    if matches!(action, "get" | "store" | "erase") {
        let read = io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut input);
        read.map_err(|error| format!("reading standard input: {error}"))?;
    }
    let runtime = edge::small_runtime().map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        // Not in the middle of keeping a password.
        let stop = serve::stop_signal();
        tokio::select! {
            biased;
            answer = helper::answer(action, &input, env, edge::now) => answer,
            () = stop => Err("stopped before the end".to_owned()),
        }
    })
}

/// The longest question that is read, in bytes.
const INPUT_BYTES_MAX: u64 = 256 * 1024;
