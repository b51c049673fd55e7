//! A pod's own network: a namespace in which there is the agent's address and the server's, and nothing else.
//!
//! `unshare` makes the namespace and `ip` the addresses. Between the two sides lies a socket in the file
//! system, which network namespaces don't separate: the outer half brings what comes through it to the
//! server, and the inner half, a process in the namespace, listens at the two addresses.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use landfall_deliver::exec::Variables;
use landfall_deliver::{Failure, FailureKind};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{pod, usage};

/// The agent's address.
pub const AGENT: &str = "169.254.170.23";
/// The agent's port.
const AGENT_PORT: u16 = 80;
/// The pause after a connection that couldn't be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Arguments of the inner half.
#[derive(Args, Debug)]
pub struct PodNetworkArgs {
    /// The socket that leads to the server
    #[arg(long)]
    socket: PathBuf,
    /// The server's address
    #[arg(long)]
    server: SocketAddr,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The command in a network namespace of its own. From here on connections are brought to the server.
///
/// # Errors
/// A server that is not on this machine, or an address that can't be used.
pub fn wrap(endpoint: &str, folder: &Path, command: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    if !cfg!(target_os = "linux") {
        return Err(usage("--netns needs network namespaces, which only Linux has; leave it out"));
    }
    let server = address(endpoint)?;
    let socket = folder.join("server.sock");
    let failed = |error: std::io::Error| {
        Failure::new(FailureKind::Outside, format!("cannot listen at {}: {error}", socket.display()))
    };
    let listener = UnixListener::bind(&socket).map_err(failed)?;
    tokio::spawn(bring_to(listener, server));
    let own = std::env::current_exe().map_err(|error| {
        Failure::new(FailureKind::Outside, format!("cannot find this program's own file: {error}"))
    })?;
    let mut wrapped: Vec<OsString> = unshare().iter().map(OsString::from).collect();
    wrapped.extend(["--".into(), own.into(), "serve".into(), "pod-network".into()]);
    wrapped.extend(["--socket".into(), socket.into(), "--server".into(), server.to_string().into()]);
    wrapped.push("--".into());
    wrapped.extend(command);
    Ok(wrapped)
}

/// Whoever isn't root may be it in a user namespace, where the system allows them.
fn unshare() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &["unshare", "--net"]
    } else {
        &["unshare", "--net", "--user", "--map-root-user"]
    }
}

/// Whether this machine lets us make such a network.
pub async fn is_possible() -> bool {
    let [program, arguments @ ..] = unshare() else { return false };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).args(["--", "ip", "link", "set", "lo", "up"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_os = "linux") && command.status().await.is_ok_and(|status| status.success())
}

/// `http://127.0.0.1:4566`: the server has to have an address that the namespace can have as well.
fn address(endpoint: &str) -> Result<SocketAddr, Failure> {
    let url =
        reqwest::Url::parse(endpoint).map_err(|error| usage(format!("{endpoint} is not a URL: {error}")))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
    let ip: std::net::IpAddr = host
        .parse()
        .ok()
        .filter(std::net::IpAddr::is_loopback)
        .ok_or_else(|| usage(format!("--netns needs a server on loopback, and {endpoint} is not")))?;
    Ok(SocketAddr::new(ip, url.port_or_known_default().unwrap_or(80)))
}

async fn bring_to(listener: UnixListener, server: SocketAddr) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        tokio::spawn(async move {
            // Whoever asked sees a connection that ends, as when nobody listens.
            let Ok(mut to) = TcpStream::connect(server).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
        });
    }
}

/// The inner half: gives the namespace its addresses, listens there, and runs the command.
///
/// # Errors
/// When the namespace can't be set up.
pub async fn run(args: PodNetworkArgs) -> Result<u8, Failure> {
    ip(&["link", "set", "lo", "up"]).await?;
    ip(&["address", "add", &format!("{AGENT}/32"), "dev", "lo"]).await?;
    let socket = Arc::new(args.socket);
    let agent = format!("{AGENT}:{AGENT_PORT}");
    for address in [agent, args.server.to_string()] {
        let listener = TcpListener::bind(&address).await.map_err(|error| {
            Failure::new(FailureKind::Outside, format!("cannot listen at {address} in the pod: {error}"))
        })?;
        tokio::spawn(bring_out(listener, Arc::clone(&socket)));
    }
    pod::start(&args.command, &Variables { set: Vec::new(), removed: Vec::new() }).await
}

async fn bring_out(listener: TcpListener, socket: Arc<PathBuf>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            let Ok(mut to) = UnixStream::connect(&*socket).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
        });
    }
}

/// Runs `ip` of iproute2.
async fn ip(arguments: &[&str]) -> Result<(), Failure> {
    let shown = format!("ip {}", arguments.join(" "));
    let failed = |why: String| {
        Failure::new(FailureKind::Outside, format!("cannot set up the pod's network: `{shown}`: {why}"))
            .help("without --netns the command runs in this machine's network, with the agent on loopback")
    };
    let done = tokio::process::Command::new("ip").args(arguments).stdin(Stdio::null()).output().await;
    let done = done.map_err(|error| failed(error.to_string()))?;
    if done.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}
