//! How this server gets a port inside of a container's network: the container opens it, and hands it over.
//!
//! A port belongs to the network that it was opened in, whoever holds it. So the container that holds a task's network
//! opens one on its own loopback and sends it through a Unix socket, which networks don't separate. What then comes in
//! there comes from containers in that network and from nowhere else; nothing of the machine's network is changed for
//! it, and nobody needs to be root. <https://man7.org/linux/man-pages/man7/unix.7.html> (`SCM_RIGHTS`)

use std::io::{Error, ErrorKind, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};
use tokio::io::Interest;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::pause;

/// Longest wait for a container that was started to hand its port over.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(20);
/// The same where several before it have not done it, and none after them: in the engine's virtual machine a socket of
/// this machine is a file like others.
pub(super) const WAIT_MAX_IN_VAIN: Duration = Duration::from_secs(2);

/// A place where one container hands over one port. It goes away with this value.
#[derive(Debug)]
pub(super) struct Handover {
    /// Closed to other users of this machine: whoever gets in could have a task's answers sent to a port of its own.
    place: tempfile::TempDir,
    listener: UnixListener,
}

impl Handover {
    /// Makes the place.
    ///
    /// # Errors
    /// When there can't be one.
    pub(super) fn prepare() -> Result<Self> {
        if !cfg!(target_os = "linux") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the engine runs in a virtual machine of its own",
            ));
        }
        let mode = std::fs::Permissions::from_mode;
        let place = tempfile::Builder::new().prefix("landfall-task-").permissions(mode(0o700)).tempdir()?;
        // The container's root may be nobody in particular here: to the one who got that far all is open.
        let dir = place.path().join("in");
        std::fs::create_dir(&dir)?;
        std::fs::set_permissions(&dir, mode(0o755))?;
        let socket = dir.join(pause::SOCKET);
        let listener = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, mode(0o666))?;
        Ok(Self { place, listener })
    }

    /// The directory that the container is given, with [`pause::SOCKET`] in it.
    pub(super) fn dir(&self) -> PathBuf {
        self.place.path().join("in")
    }

    /// Waits for the port, so long.
    ///
    /// # Errors
    /// When none comes, or what comes isn't a port on loopback.
    pub(super) async fn take(self, wait: Duration) -> Result<TcpListener> {
        let handed = async {
            let (stream, _) = self.listener.accept().await?;
            loop {
                stream.readable().await?;
                match stream.try_io(Interest::READABLE, || receive(&stream)) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    received => return received,
                }
            }
        };
        let none = |_| {
            let seconds = wait.as_secs();
            Error::new(
                ErrorKind::TimedOut,
                format!("it did not come through a Unix socket within {seconds} s"),
            )
        };
        let port = tokio::time::timeout(wait, handed).await.map_err(none)??;
        let listener = std::net::TcpListener::from(port);
        let is_port = sockopt::socket_acceptconn(&listener)? && listener.local_addr()?.ip().is_loopback();
        if !is_port {
            return Err(Error::new(ErrorKind::InvalidData, "what was handed over is not a port on loopback"));
        }
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }
}

/// Reads the one message with the one file descriptor.
fn receive(stream: &UnixStream) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, flags())?;
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let none = || Error::new(ErrorKind::UnexpectedEof, "the container opened no port");
    files.flatten().next().ok_or_else(none)
}

/// Programs that this server starts don't get it.
#[cfg(target_os = "linux")]
fn flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

#[cfg(not(target_os = "linux"))]
fn flags() -> RecvFlags {
    RecvFlags::empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_a_port_on_loopback_is_taken() {
        use std::os::fd::AsFd as _;

        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let everywhere = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let connection = std::net::TcpStream::connect(here.local_addr().unwrap()).unwrap();
        let rows = [
            (Some(here.as_fd()), None),
            (Some(everywhere.as_fd()), Some("what was handed over is not a port on loopback")),
            (Some(connection.as_fd()), Some("what was handed over is not a port on loopback")),
            (None, Some("the container opened no port")),
        ];
        for (file, wanted) in rows {
            let handover = Handover::prepare().unwrap();
            let (place, socket) = (handover.dir(), handover.dir().join(pause::SOCKET));
            let guest = std::os::unix::net::UnixStream::connect(socket).unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files: Vec<_> = file.into_iter().collect();
            if !files.is_empty() {
                assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
            }
            sendmsg(&guest, &[std::io::IoSlice::new(b"p")], &mut control, SendFlags::empty()).unwrap();
            let taken = handover.take(WAIT_MAX).await;
            assert_eq!(taken.err().map(|error| error.to_string()).as_deref(), wanted);
            assert!(!place.exists(), "nothing is left of the place");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn other_users_do_not_get_in() {
        let handover = Handover::prepare().unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(handover.place.path()), 0o700);
        assert_eq!(mode(&handover.dir()), 0o755);
        assert_eq!(mode(&handover.dir().join(pause::SOCKET)), 0o666);
    }
}
