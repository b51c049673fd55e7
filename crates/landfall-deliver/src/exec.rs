//! A session for one command only: it is in that command's environment, or behind an endpoint that
//! only this command knows, and nowhere else.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use landfall_types::Secret;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::{Failure, FailureKind};
use crate::keeper::Keeper;
use crate::login::Session;

mod endpoint;

/// A command's variables: what is set and, before that, what is taken away.
#[derive(Clone, Debug)]
pub struct Variables {
    /// Names and values; some are secrets.
    pub set: Vec<(&'static str, Secret<String>)>,
    /// Names that would lead AWS's clients to other credentials.
    pub removed: Vec<String>,
}

impl Variables {
    /// The session itself, for tools that know only keys. Nothing renews it.
    pub fn of(session: &Session) -> Self {
        let mut set: Vec<_> = session
            .variables()
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, Secret::new(value.to_owned())))
            .collect();
        set.extend(session.expiration.map(|end| ("AWS_CREDENTIAL_EXPIRATION", Secret::new(end.to_string()))));
        Self { set, removed: removed() }
    }

    /// An endpoint that gives the session, renewed for as long as the command runs. It ends with this process.
    ///
    /// # Errors
    /// When no port on loopback can be had.
    pub async fn with_endpoint(
        region: &str,
        authorization: Secret<String>,
        keeper: Arc<Keeper>,
    ) -> Result<Self, Failure> {
        let failed = |error| {
            Failure::new(FailureKind::Outside, "opening a port on loopback for the command's credentials")
                .caused_by(error)
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tokio::spawn(endpoint::serve(listener, authorization.clone(), keeper));
        let plain = |text: &str| Secret::new(text.to_owned());
        let set = vec![
            (FULL_URI, Secret::new(format!("http://{address}{}", endpoint::PATH))),
            (AUTHORIZATION, authorization),
            ("AWS_REGION", plain(region)),
            ("AWS_DEFAULT_REGION", plain(region)),
            // Profiles and the machine's own role come before or after an endpoint in the chains of
            // AWS's SDKs: with them the command could run as somebody else.
            ("AWS_SHARED_CREDENTIALS_FILE", plain(NO_FILE)),
            ("AWS_CONFIG_FILE", plain(NO_FILE)),
            ("AWS_EC2_METADATA_DISABLED", plain("true")),
        ];
        Ok(Self { set, removed: removed() })
    }

    fn apply(&self, command: &mut Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env(name, value.expose());
        }
    }
}

fn removed() -> Vec<String> {
    REMOVED.iter().map(|name| (*name).to_owned()).collect()
}

/// Runs a command to its end and passes on to it the signals that this process gets. With
/// `in_terminal` those of the keyboard are left out: the terminal sends them to the command itself.
/// Gives the command's exit code, or 128 and the signal's number when a signal ended it.
///
/// # Errors
/// [`ExecError`] when the command can't be started.
pub async fn run(
    program: &OsString,
    arguments: &[OsString],
    variables: &Variables,
    in_terminal: bool,
) -> Result<u8, ExecError> {
    let named = |cause| ExecError { program: program.to_string_lossy().into_owned(), cause };
    // Before the command starts, so that no signal in between ends this process alone.
    let mut signals = signals(in_terminal).map_err(named)?;
    let mut command = Command::new(program);
    command.args(arguments);
    variables.apply(&mut command);
    let mut child = command.spawn().map_err(named)?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(exit_code).map_err(named),
            Some(signal) = signals.recv() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    // A command that has just ended needs no signal.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

fn signals(in_terminal: bool) -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(SIGNALS_MAX);
    for (kind, sent) in [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ] {
        let mut stream = signal(kind)?;
        let is_from_keyboard = in_terminal && (sent == Signal::INT || sent == Signal::QUIT);
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if !is_from_keyboard && sender.send(sent).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(receiver)
}

fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// A command that can't be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start `{program}`: {cause}")]
pub struct ExecError {
    /// Its name as it was given.
    pub program: String,
    /// Why.
    #[source]
    pub cause: io::Error,
}

impl ExecError {
    /// 127 when it isn't there, 126 when it can't be run: what a shell and `env` say (POSIX 2.8.2).
    pub fn exit_code(&self) -> u8 {
        if self.cause.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const AUTHORIZATION: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
/// Every client of AWS takes it for an empty file.
const NO_FILE: &str = "/dev/null";
/// Signals that wait to be passed on.
const SIGNALS_MAX: usize = 16;
/// Whatever else tells AWS's clients whose keys to use.
const REMOVED: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    FULL_URI,
    AUTHORIZATION,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];
