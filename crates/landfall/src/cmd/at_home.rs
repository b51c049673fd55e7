//! This binary in front of a client of registries, in a job of a rehearsal: it brings ECR's names home, and becomes
//! the client. See [`landfall_rehearse::clients`].

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_rehearse::clients::{self, Place};
use landfall_rehearse::home;

use crate::ui;

/// Longest wait for the local AWS side.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 4_096;
/// The exit code of a client that can't be started, as shells have it.
const NOT_STARTED: u8 = 126;

/// Whether this process was started in place of a client.
pub fn is_meant(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|word| word == clients::WORD)
}

/// Becomes the client; comes back only when it can't.
pub fn run(arguments: Vec<OsString>, env: &Environment) -> ExitCode {
    let failure = become_client(arguments, env);
    ui::failure(&failure);
    match failure.kind {
        FailureKind::Refused => ExitCode::from(failure.kind.exit_code()),
        _ => ExitCode::from(NOT_STARTED),
    }
}

fn become_client(arguments: Vec<OsString>, env: &Environment) -> Failure {
    let mut words = arguments.into_iter().skip(2);
    let (Some(aws), Some(client)) = (words.next(), words.next().map(PathBuf::from)) else {
        return Failure::usage(format!(
            "{} is for rehearsals: they say which client is meant",
            clients::WORD
        ));
    };
    let aws = aws.to_string_lossy().into_owned();
    let at_home = |host: &str| ask(&aws, host).ok().flatten();
    let dir = match std::env::current_dir() {
        Ok(dir) => dir,
        Err(error) => return Failure::usage("the working folder is gone").caused_by(error),
    };
    let temp = env.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
    // Tools of containers are told which registries have no certificate before they are started.
    let found = std::cell::RefCell::new(Vec::new());
    let note = |host: &str| at_home(host).inspect(|address| found.borrow_mut().push(address.clone()));
    let variables = env.names().filter_map(|name| Some((name, env.get(name)?)));
    let place = Place { dir: &dir, temp: &temp, home: &note };
    let led = match clients::lead(&client, words.collect(), variables, &place) {
        Ok(led) => led,
        Err(why) => return Failure::new(FailureKind::Refused, why),
    };
    if let Some(folder) = env.home() {
        let written = home::trust_registries(folder, found.borrow().iter().map(String::as_str));
        if let Err(error) = written {
            return Failure::usage("cannot write a registries.conf").caused_by(error);
        }
    }
    let error = Command::new(&client).args(led.args).envs(led.variables).exec();
    Failure::usage(format!("starting `{}`", client.display())).caused_by(error)
}

/// Where the local AWS side has a registry; none when it has none of that name.
fn ask(aws: &str, host: &str) -> io::Result<Option<String>> {
    let address = aws.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    write!(stream, "GET /_landfall/registry/{host} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let is_found = head.split_whitespace().nth(1) == Some("200");
    Ok(is_found.then(|| body.trim().to_owned()))
}
