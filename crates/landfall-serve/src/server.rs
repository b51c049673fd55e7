//! Starting and stopping: one port, one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use landfall_types::{AccountId, SourceMap};

use crate::blobs::DirBlobs;
use crate::clock::{Clock, ReadTime};
use crate::control::Jobs;
use crate::discovery::{self, Discovery};
use crate::http;
use crate::issuer::Issuers;
use crate::log::DecisionLog;
use crate::policies::{GivenTexts, PolicyCache};
use crate::store::Store;
use crate::vault::Vault;
use crate::world::{FillRandom, RegistryMode, RootKey, Settings, World};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub addr: SocketAddr,
    /// Where blobs are kept. The caller makes the directory and removes it.
    pub blob_dir: PathBuf,
    /// The account of calls that don't say which.
    pub account: AccountId,
    /// The region of registry calls that don't say which.
    pub region: String,
    /// Which root credentials are accepted.
    pub root_key: RootKey,
    /// Which registry is played.
    pub registry: RegistryMode,
    /// Texts that reasons point into.
    pub sources: SourceMap,
    /// Whether and how issuers are asked for their keys that are not played.
    pub discovery: discovery::Settings,
    /// Real time.
    pub read_time: ReadTime,
    /// Random bytes.
    pub fill_random: FillRandom,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or may not be had.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The directory for blobs can't be used.
    #[error("cannot keep images in {dir}")]
    Blobs {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A certificate of an authority can't be used.
    #[error("cannot trust an authority: {0}")]
    Authorities(String),
    /// The server's own key can't be made.
    #[error("cannot make the server's key: {0}")]
    Key(String),
}

/// A server that listens. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it is made of.
    pub world: Arc<World>,
    task: tokio::task::JoinHandle<()>,
    sweeping: tokio::task::JoinHandle<()>,
    ecs: tokio::task::JoinHandle<()>,
}

impl Running {
    /// `http://127.0.0.1:4566`.
    pub fn url(&self) -> &str {
        self.world.base_url()
    }

    /// Waits until the server ends, which it does only when it fails.
    pub async fn ended(&mut self) {
        // A task that was cancelled or panicked has ended too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.sweeping.abort();
        self.ecs.abort();
    }
}

/// Makes the AWS side without listening: for questions that need no client.
///
/// # Errors
/// [`StartError`].
pub fn world(config: Config) -> Result<Arc<World>, StartError> {
    let mut key = [0; 32];
    (config.fill_random)(&mut key);
    let blobs = DirBlobs::new(config.blob_dir.clone())
        .map_err(|cause| StartError::Blobs { dir: config.blob_dir.clone(), cause })?;
    Ok(Arc::new(World {
        sources: config.sources,
        store: Store::in_memory(),
        blobs,
        log: DecisionLog::new(),
        issuers: Issuers::new(),
        discovery: Discovery::new(config.discovery).map_err(StartError::Authorities)?,
        jobs: Jobs::default(),
        vault: Vault::new(&key).map_err(StartError::Key)?,
        clock: Clock::new(config.read_time),
        policies: PolicyCache::default(),
        given: GivenTexts::default(),
        ecs: crate::ecs::runner::Runner::default(),
        fill_random: config.fill_random,
        settings: Settings {
            default_account: config.account,
            default_region: config.region,
            root_key: config.root_key,
            blob_mounting: false,
            registry: config.registry,
        },
        base_url: std::sync::OnceLock::new(),
    }))
}

/// Starts a server: it listens when this returns.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let address = config.addr;
    let world = world(config)?;
    let listen = |cause| StartError::Listen { addr: address, cause };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let _ = world.base_url.set(format!("http://{}", reachable(addr)));
    // An RSA key takes a moment to make: it is ready before the first token is asked for.
    let keys = Arc::clone(&world);
    tokio::task::spawn_blocking(move || keys.issuers.github().jwks().map(|_| ()));
    let sweeping = tokio::spawn(keep_sweeping(Arc::clone(&world)));
    let app = Router::new().fallback(handle).with_state(Arc::clone(&world));
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        // The listener ends with the process; an accept error is retried inside.
        let _ = axum::serve(listener, service).await;
    });
    let ecs = tokio::spawn(crate::ecs::runner::drive(Arc::clone(&world)));
    Ok(Running { addr, world, task, sweeping, ecs })
}

/// Looks once a minute whether the hour of a lifecycle policy has come.
async fn keep_sweeping(world: Arc<World>) {
    let mut minutes = tokio::time::interval(std::time::Duration::from_secs(60));
    loop {
        minutes.tick().await;
        let world = Arc::clone(&world);
        // A store on a disk waits for it.
        let _ = tokio::task::spawn_blocking(move || crate::ecr::sweep(&world, false)).await;
    }
}

/// The address that clients on this machine use: `0.0.0.0` is reached by loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], addr.port())) } else { addr }
}

async fn handle(
    State(world): State<Arc<World>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> axum::response::Response {
    http::handle(world, peer.ip(), request).await
}
