//! Starting and stopping: one port, one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use landfall_types::{AccountId, Secret, SourceMap};
use tokio::sync::watch;

use crate::blobs::DirBlobs;
use crate::clock::{Clock, ReadTime};
use crate::collect::{collect, pause_ms};
use crate::control::Jobs;
use crate::data::{DataDir, DataError};
use crate::discovery::{self, Discovery};
pub use crate::http::listener::Limits;
use crate::http::listener::{self, Leads};
use crate::issuer::Issuers;
use crate::log::DecisionLog;
use crate::policies::{GivenTexts, PolicyCache};
use crate::store::disk::{DiskError, SqliteDisk, Watched};
use crate::store::{self, Store};
use crate::vault::Vault;
use crate::world::{FillRandom, RegistryMode, RootKey, Settings, World};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub addr: SocketAddr,
    /// Where the Pod Identity agent listens, and nothing else; none for `addr` alone.
    pub agent_addr: Option<SocketAddr>,
    /// Where ECR Public's registry listens, and nothing else; none for `addr` alone, which has it under the name
    /// `public.ecr.aws`.
    pub public_addr: Option<SocketAddr>,
    /// Where things are kept.
    pub place: Place,
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
    /// How many times as fast lifetimes and waits pass; see [`Clock::with_lapse`].
    pub time_lapse: u32,
    /// Random bytes.
    pub fill_random: FillRandom,
    /// What clients may take of it.
    pub limits: Limits,
    /// Is told what the server's operator should know and no client is told: that the disk is full.
    pub warn: fn(&str),
}

/// Where a server keeps things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Records in memory, and images in this directory. The caller makes it and removes it.
    Scratch(PathBuf),
    /// All in this directory, for the next server: see [`crate::data`].
    Data(PathBuf),
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
    /// The data directory can't be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The records can't be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record can't be understood.
    #[error("{file}: {message}; put the file back from a copy, or use another directory")]
    Record {
        /// The file.
        file: PathBuf,
        /// Which record, and what is wrong with it.
        message: String,
    },
}

/// A server that listens. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where ECR Public's registry listens beside it.
    pub public_addr: Option<SocketAddr>,
    /// What it is made of.
    pub world: Arc<World>,
    stop: watch::Sender<bool>,
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

    /// Stops listening, and waits until requests in flight have had their answers or their time
    /// ([`Limits::shutdown_wait`]) is over.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.world.log.dismiss_clients();
        self.ended().await;
        self.world.blobs.leave_uploads();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.sweeping.abort();
        self.ecs.abort();
        self.world.ecs.remove_all(&self.world);
    }
}

/// What a server remembers, and its keys.
struct Memory {
    data: Option<DataDir>,
    store: Store,
    blobs: DirBlobs,
    given: GivenTexts,
    issuers: Issuers,
    vault_key: Secret<[u8; 32]>,
    root_key: RootKey,
}

impl Memory {
    /// Nothing yet, and keys that nobody knows later.
    fn fresh(config: &Config, dir: &Path) -> Result<Self, StartError> {
        let mut key = [0; 32];
        (config.fill_random)(&mut key);
        Ok(Self {
            data: None,
            store: Store::in_memory(),
            blobs: DirBlobs::new(dir.to_owned()).map_err(|cause| no_blobs(dir, cause))?,
            given: GivenTexts::default(),
            issuers: Issuers::new(),
            vault_key: Secret::new(key),
            root_key: config.root_key.clone(),
        })
    }

    /// What an earlier server left in a data directory.
    fn kept(config: &Config, dir: &Path) -> Result<Self, StartError> {
        let data = DataDir::open(dir)?;
        let keys = data.keys();
        let (disk, kept) = SqliteDisk::open(dir)?;
        let given = GivenTexts::default();
        let store = store::text::registering(&given, &config.sources, || {
            Store::on_disk(Box::new(Watched::new(disk, config.warn)), store::KINDS, kept)
        });
        let file = dir.join(store::disk::FILE_NAME);
        let refused = |message| StartError::Record { file: file.clone(), message };
        let store = store.map_err(refused)?;
        store::principals::settle_kept(&store).map_err(|failed| refused(failed.to_string()))?;
        Ok(Self {
            store,
            blobs: DirBlobs::durable(dir.to_owned(), (config.read_time)())
                .map_err(|cause| no_blobs(dir, cause))?,
            given,
            issuers: Issuers::kept(keys.clone()),
            vault_key: keys.vault_key(config.fill_random)?,
            root_key: keys.root_key(config.root_key.clone())?,
            data: Some(data),
        })
    }
}

fn no_blobs(dir: &Path, cause: std::io::Error) -> StartError {
    StartError::Blobs { dir: dir.to_owned(), cause }
}

/// Makes the AWS side without listening: for questions that need no client.
///
/// # Errors
/// [`StartError`].
pub fn world(config: Config) -> Result<Arc<World>, StartError> {
    let agent = crate::eks::agent::Agent::default();
    let memory = match &config.place {
        Place::Scratch(dir) => Memory::fresh(&config, dir)?,
        Place::Data(dir) => Memory::kept(&config, dir)?,
    };
    let world = World {
        sources: config.sources,
        store: memory.store,
        blobs: memory.blobs,
        log: DecisionLog::new(),
        issuers: memory.issuers,
        discovery: Discovery::new(config.discovery).map_err(StartError::Authorities)?,
        doors: crate::door::Doors::default(),
        registries: crate::apart::Registries::default(),
        jobs: Jobs::default(),
        vault: Vault::new(memory.vault_key.expose()).map_err(StartError::Key)?,
        clock: Clock::new(config.read_time).with_lapse(config.time_lapse),
        policies: PolicyCache::default(),
        given: memory.given,
        ecs: crate::ecs::runner::Runner::default(),
        agent,
        fill_random: config.fill_random,
        large_calls: tokio::sync::Semaphore::new(crate::world::LARGE_CALLS_MAX),
        settings: Settings {
            default_account: config.account,
            default_region: config.region,
            root_key: memory.root_key,
            blob_mounting: false,
            registry: config.registry,
        },
        data: memory.data,
        base_url: std::sync::OnceLock::new(),
    };
    crate::eks::play_issuers(&world);
    Ok(Arc::new(world))
}

/// A server whose address is its own, and that answers nobody yet: what is asked before [`Bound::serve`] waits, so
/// that a first answer can come from a world that is whole.
#[derive(Debug)]
pub struct Bound {
    /// What it is made of.
    pub world: Arc<World>,
    listener: tokio::net::TcpListener,
    agent: Option<tokio::net::TcpListener>,
    public: Option<tokio::net::TcpListener>,
    addr: SocketAddr,
    limits: Limits,
    warn: fn(&str),
}

/// Makes the AWS side and takes its addresses.
///
/// # Errors
/// [`StartError`].
pub async fn bind(config: Config) -> Result<Bound, StartError> {
    let (address, limits, warn) = (config.addr, config.limits, config.warn);
    let (agent_address, public_address) = (config.agent_addr, config.public_addr);
    let world = world(config)?;
    let listener = listen(address).await?;
    let addr = listener.local_addr().map_err(|cause| StartError::Listen { addr: address, cause })?;
    let agent = match agent_address {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let public = match public_address {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let _ = world.base_url.set(format!("http://{}", reachable(addr)));
    // An RSA key takes a moment to make: it is ready before the first token is asked for.
    let keys = Arc::clone(&world);
    tokio::task::spawn_blocking(move || keys.issuers.github().jwks().map(|_| ()));
    Ok(Bound { world, listener, agent, public, addr, limits, warn })
}

impl Bound {
    /// Answers from here on, and brings along what takes its time.
    pub fn serve(self) -> Running {
        let Self { world, listener, agent, public, addr, limits, warn } = self;
        let sweeping = tokio::spawn(keep_sweeping(Arc::clone(&world)));
        let ecs = tokio::spawn(crate::ecs::runner::drive(Arc::clone(&world)));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(collect_often(Arc::downgrade(&world), pause_ms(&world.clock), warn));
        if let Some(agent) = agent {
            let (world, stopped) = (Arc::clone(&world), stopped.clone());
            tokio::spawn(listener::serve(agent, world, limits, stopped, Leads::Agent));
        }
        let mut public_addr = None;
        if let Some(public) = public {
            public_addr = public.local_addr().ok();
            let (world, stopped) = (Arc::clone(&world), stopped.clone());
            tokio::spawn(listener::serve(public, world, limits, stopped, Leads::Public));
        }
        let leads = Leads::All(None);
        let task = tokio::spawn(listener::serve(listener, Arc::clone(&world), limits, stopped, leads));
        Running { addr, public_addr, world, stop, task, sweeping, ecs }
    }
}

/// Starts a server with nothing in it but what its directory has: it answers when this returns.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    Ok(bind(config).await?.serve())
}

async fn listen(addr: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    tokio::net::TcpListener::bind(addr).await.map_err(|cause| StartError::Listen { addr, cause })
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

/// Collects now and then, as long as there is a server.
async fn collect_often(world: Weak<World>, pause_ms: u64, warn: fn(&str)) {
    let mut times = tokio::time::interval(Duration::from_millis(pause_ms));
    times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(world) = world.upgrade() else { return };
        let collected = tokio::task::spawn_blocking(move || collect(&world)).await;
        // What could not be removed now is removed by a later run.
        if let Ok(Err(error)) = collected {
            warn(&format!("what nobody needs any more could not be removed: {error}"));
        }
    }
}
