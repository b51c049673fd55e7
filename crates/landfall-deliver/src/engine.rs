//! Images of a container engine on this machine: Docker's API over a Unix socket, which Podman speaks too.
//! <https://docs.docker.com/reference/api/engine/version/v1.40/#tag/Image/operation/ImageGet>

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::mpsc;

use crate::archive::{Archive, ArchiveError};
use crate::environment::Environment;
use crate::failure::{Failure, FailureKind};
use crate::http;

/// Takes an image out of the engine: the result is a Docker archive, with its layers compressed as they came.
///
/// # Errors
/// See [`EngineError`].
pub async fn image(environment: &Environment, name: &str) -> Result<Archive, EngineError> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if name.is_empty() || !name.chars().all(is_safe) || name.split('/').any(|part| part == "..") {
        return Err(EngineError::Name(name.to_owned()));
    }
    let socket = socket(environment)?;
    // The URL's host means nothing, so it isn't shown.
    let failed =
        |cause: reqwest::Error| EngineError::Transport { socket: socket.clone(), cause: cause.without_url() };
    let client = client(&socket).map_err(failed)?;
    let answer = client.get(format!("{API}/images/{name}/json")).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(refusal(&socket, name, answer).await);
    }
    let mut answer = client.get(format!("{API}/images/{name}/get")).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(refusal(&socket, name, answer).await);
    }
    let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
    let shown = PathBuf::from(name);
    let keeping = tokio::task::spawn_blocking(move || {
        Archive::receive_saved(Incoming { receiver, piece: Bytes::new() }, &shown)
    });
    let received = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => {
                // Who doesn't take any more has failed, and says so below.
                if pieces.send(piece).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(cause) => break Err(failed(cause)),
        }
    };
    drop(pieces);
    let kept = keeping.await;
    received?;
    Ok(kept.map_err(|error| EngineError::Archive(ArchiveError::Temporary(io::Error::other(error))))??)
}

/// What the engine sends, for a reader on another thread.
struct Incoming {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

/// The engine's own words.
async fn refusal(socket: &Path, name: &str, answer: Response) -> EngineError {
    #[derive(serde::Deserialize)]
    struct Answer {
        message: String,
    }
    let status = answer.status();
    let body = http::body(answer, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let message = serde_json::from_slice::<Answer>(&body).map(|answer| answer.message);
    let message = http::excerpt(&message.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned()));
    EngineError::Refused { socket: socket.to_owned(), name: name.to_owned(), status, message }
}

fn client(socket: &Path) -> Result<Client, reqwest::Error> {
    Client::builder()
        .unix_socket(socket)
        .tls_certs_only([])
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(READ_SECONDS_MAX)
        .build()
}

/// `DOCKER_HOST` alone when it is set, else the sockets where Docker and Podman listen.
fn socket(environment: &Environment) -> Result<PathBuf, EngineError> {
    if let Some(host) = environment.get("DOCKER_HOST") {
        let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        return path.map(PathBuf::from).ok_or_else(|| EngineError::Host(host.to_owned()));
    }
    let mut places = vec![PathBuf::from("/var/run/docker.sock")];
    places.extend(environment.path("XDG_RUNTIME_DIR").map(|directory| directory.join("podman/podman.sock")));
    places.push(PathBuf::from("/run/podman/podman.sock"));
    match places.iter().find(|place| place.exists()) {
        Some(place) => Ok(place.clone()),
        None => Err(EngineError::None { places }),
    }
}

/// Why an engine gave no image.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine.
    #[error("no container engine: none of {} is there, and DOCKER_HOST is not set", shown(.places))]
    None {
        /// Where was looked.
        places: Vec<PathBuf>,
    },
    /// An engine that isn't reached by a socket.
    #[error(
        "DOCKER_HOST is `{0}`: unix:///PATH is expected (an engine elsewhere: docker save … | landfall push - REF)"
    )]
    Host(String),
    /// Something that names no image.
    #[error("`{0}` is not an image's name or id")]
    Name(String),
    /// The connection.
    #[error("asking the container engine at {}", .socket.display())]
    Transport {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The engine said no.
    #[error("the container engine at {} gives no image `{name}`: {message} (HTTP {status})", .socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// The image.
        name: String,
        /// HTTP status.
        status: StatusCode,
        /// The engine's words.
        message: String,
    },
    /// What it gave can't be kept or read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

fn shown(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Host(_) | EngineError::Name(_) | EngineError::Archive(_) => FailureKind::Usage,
            EngineError::Refused { status, .. } if status.is_client_error() => FailureKind::Usage,
            EngineError::None { .. } | EngineError::Transport { .. } | EngineError::Refused { .. } => {
                FailureKind::Outside
            }
        };
        Failure::new(kind, error.to_string()).causes_of(&error)
    }
}

/// The host of a socket's URL means nothing. Docker 20.10 and Podman 4 have this version of the API.
const API: &str = "http://localhost/v1.40";
/// Silence that ends the conversation: engines read a large image before its first byte.
const READ_SECONDS_MAX: Duration = Duration::from_secs(120);
/// Pieces that may wait for the disk.
const PIECES_AHEAD: usize = 16;
/// The longest refusal that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::testing::environment;

    #[test]
    fn docker_host_decides_alone() {
        let at =
            |host: &str| socket(&environment(&[("DOCKER_HOST", host)])).map_err(|error| error.to_string());
        assert_eq!(at("unix:///x/docker.sock").unwrap(), Path::new("/x/docker.sock"));
        for host in ["tcp://10.0.0.1:2375", "ssh://host", "unix://relative"] {
            assert!(at(host).unwrap_err().starts_with("DOCKER_HOST is"), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_is_only_a_name() {
        for name in ["", "a b", "a?x", "a/../b", "a%2f", "ä"] {
            let error = image(&environment(&[("DOCKER_HOST", "unix:///nowhere")]), name).await.unwrap_err();
            assert!(matches!(error, EngineError::Name(_)), "{name}: {error}");
        }
    }
}
