//! The edge of the process: the only place that reads the clock, the environment and randomness.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use landfall_deliver::Environment;
use landfall_types::Timestamp;

use crate::cli::Command;

/// Real time.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Fills a buffer with random bytes of the system.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("INVARIANT: the system has randomness");
}

/// The environment as it is at the start.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn environment() -> Environment {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Environment::new(variables, home())
}

/// Values of Terraform's variables in the environment, `TF_VAR_NAME` by their names.
pub fn terraform_variables() -> BTreeMap<String, String> {
    let environment = environment();
    let named = environment.names().filter_map(|name| Some((name.strip_prefix("TF_VAR_")?, name)));
    named
        .filter_map(|(variable, name)| Some((variable.to_owned(), environment.get(name)?.to_owned())))
        .collect()
}

/// The workspace that Terraform is told to take.
pub fn terraform_workspace() -> Option<String> {
    environment().get("TF_WORKSPACE").filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The words of the command line, the program's own name first.
pub fn arguments() -> Vec<std::ffi::OsString> {
    std::env::args_os().collect()
}

/// This program's file.
///
/// # Errors
/// When the system can't say.
pub fn program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Whether this runs in a CI system, where lines are kept and never rewritten.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Lets this process open as many files as a server with many clients needs, if the system allows it.
pub fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const FILES_WANTED: u64 = 8_192;
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(FILES_WANTED).min(FILES_WANTED);
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        // Fewer clients at a time then, and nothing else.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A runtime of the size that the command needs: a client that makes three calls starts no threads.
pub fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        Command::Serve(_) | Command::Rehearse(_) | Command::Push(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build()
}

/// A runtime of one thread.
pub fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
