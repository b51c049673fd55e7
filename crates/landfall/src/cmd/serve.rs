//! `landfall serve`: a local AWS side for any client.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_rehearse::scratch::Scratch;
use landfall_rehearse::world;
use landfall_serve::discovery;
use landfall_serve::ecs::runner;
use landfall_serve::issuer::IssuerKind;
use landfall_serve::log::{self, Audit, Follower, Record, Verdict};
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Config, Place, Running, StartError, World};
use landfall_types::{AccountId, Finding, Issuer, Secret, Severity, SourceMap};
use tokio::sync::oneshot;

use super::usage;
use crate::files::{self, Variables};
use crate::{edge, ui};

/// The account of calls that don't say which.
pub const ACCOUNT_DEFAULT: &str = "123456789012";
/// The largest bundle of certificates that is read, in bytes.
const CA_BUNDLE_BYTES_MAX: u64 = 4 << 20;
/// Text of decisions that is gathered before it is printed, in bytes.
const PRINTED_BYTES: usize = 64 << 10;
/// How long the last decisions may take to be printed once the server has stopped.
const LAST_LINES_WAIT: Duration = Duration::from_millis(500);
/// The region of calls that don't say which.
pub const REGION_DEFAULT: &str = "us-east-1";

/// Arguments of `landfall serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct ServeArgs {
    #[command(subcommand)]
    pub command: Option<ServeCommand>,
    /// Where to listen. Other machines are let in only with a random root key, which is printed
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4566", value_parser = listen_address)]
    pub addr: SocketAddr,
    /// Where the Pod Identity agent listens as well, such as 169.254.170.23:80 in a network namespace of its
    /// own. It answers at the address of --addr in any case, under /v1/credentials
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address)]
    pub agent_addr: Option<SocketAddr>,
    /// Where ECR Public's registry listens, the local public.ecr.aws [default: a free port beside --addr, which
    /// is printed]
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address)]
    pub public_addr: Option<SocketAddr>,
    /// A folder where everything is kept, for the next start as well: records, images, the server's own keys.
    /// What was answered is on the disk. It is made if it isn't there [default: in memory, until the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A folder with Terraform: what it describes of IAM, ECR and ECS is made at the start. With --data, what is
    /// there already is brought up to date, and what the Terraform doesn't speak of stays
    #[arg(long, value_name = "DIR")]
    pub infra: Vec<PathBuf>,
    #[command(flatten)]
    pub variables: Variables,
    /// The account that is meant where none is named
    #[arg(long, value_name = "ACCOUNT_ID", default_value = ACCOUNT_DEFAULT)]
    pub account: String,
    /// The region that is meant where none is named [default: the Terraform's, else us-east-1]
    #[arg(long, value_name = "REGION", value_parser = super::region)]
    pub region: Option<String>,
    /// Which registry to play: ECR, or what the OCI distribution specification has and ECR refuses
    /// (deletion, tags by name, repositories made by the first push, mounts)
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Registry::Ecr)]
    pub registry: Registry,
    /// An issuer to play beside those of github.com and gitlab.com; what it is follows from its name, or is said
    /// before it. The issuers of EKS clusters in the Terraform are played without being named
    #[arg(long = "issuer", value_name = "[github=|gitlab=|eks=]URL", value_parser = played)]
    pub issuers: Vec<(IssuerKind, Issuer)>,
    /// A file with certificates (PEM) of authorities that issuers may have theirs from, beside the public ones
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// Where an issuer's host is, in place of what DNS says
    #[arg(long = "issuer-address", value_name = "HOST=IP:PORT", value_parser = issuer_address)]
    pub issuer_addresses: Vec<(String, SocketAddr)>,
    /// Ask no issuer for its keys: only tokens of those that are played are exchanged
    #[arg(long)]
    pub offline: bool,
    /// Let lifetimes and waits pass so many times as fast: with 60, a session of an hour ends after a minute, and
    /// its expiry says so; so do registry logins, pods' tokens, and the bake times of deployments
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub time_lapse: u32,
    /// A file that every decision is appended to, as one line of JSON. It may be moved away at any time:
    /// the next line goes to a new one
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// How decisions are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What else there is around a running server.
#[derive(clap::Subcommand, Debug)]
pub enum ServeCommand {
    /// Run a command as a pod of an EKS cluster, by Pod Identity or by IRSA.
    ///
    /// It gets the variables and the token file that EKS's webhook gives to a pod of that service account, and
    /// none of your own credentials.
    ///
    /// A service account with a Pod Identity association gets AWS_CONTAINER_CREDENTIALS_FULL_URI and
    /// AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; one with an annotated role (--role) gets AWS_ROLE_ARN and
    /// AWS_WEB_IDENTITY_TOKEN_FILE (IRSA). With both, Pod Identity wins, as in EKS. With neither, the pod gets
    /// nothing, and this says why.
    ///
    /// The cluster is one of a running `landfall serve`: from --infra, or made with `aws eks create-cluster`. The
    /// command's exit code is passed on, and signals reach it.
    Pod(Box<super::pod::PodArgs>),
    /// The inner half of `serve pod --netns`
    #[command(hide = true)]
    PodNetwork(super::pod_network::PodNetworkArgs),
}

/// Which registry is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Registry {
    /// As ECR does it.
    Ecr,
    /// As the specification has it.
    StrictOci,
}

impl Registry {
    fn mode(self) -> RegistryMode {
        match self {
            Self::Ecr => RegistryMode::Ecr,
            Self::StrictOci => RegistryMode::StrictOci,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  landfall serve --infra infra/
  landfall serve --data ~/.landfall --audit audit.jsonl

  As the root user, or with a session for a token:
    export AWS_ENDPOINT_URL=http://127.0.0.1:4566
    export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
    landfall token github --repo acme/web > token
    aws sts assume-role-with-web-identity --role-arn ARN \\
      --role-session-name me --web-identity-token file://token

  Why, as it happens (also caller=PART, action=PART, resource=PART,
  request_id=ID, after=SEQUENCE, limit=NUMBER):
    curl -sN \\
      'http://127.0.0.1:4566/_landfall/decisions?follow&outcome=refused'

  Remove content that no image needs any more:
    curl -sX POST http://127.0.0.1:4566/_landfall/gc";

/// How output is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a server is started with, for `serve` and `rehearse`.
pub struct Setup<'a> {
    /// Where to listen.
    pub addr: SocketAddr,
    /// Where the Pod Identity agent listens beside it.
    pub agent_addr: Option<SocketAddr>,
    /// Where ECR Public's registry listens beside it.
    pub public_addr: Option<SocketAddr>,
    /// The account.
    pub account: AccountId,
    /// The region, when it was said.
    pub region: Option<String>,
    /// The region that is meant when neither that nor the Terraform says one.
    pub spare_region: Option<String>,
    /// Folders with Terraform.
    pub infra: &'a [PathBuf],
    /// Terraform variables.
    pub variables: Variables,
    /// Which registry is played.
    pub registry: RegistryMode,
    /// Issuers to play beside those that always are.
    pub issuers: Vec<(IssuerKind, Issuer)>,
    /// Whether and how other issuers are asked for their keys.
    pub discovery: discovery::Settings,
    /// How many times as fast lifetimes and waits pass.
    pub time_lapse: u32,
    /// Where everything is kept; none when it ends with the server.
    pub data: Option<&'a Path>,
}

/// `URL`, or what it is and the URL.
fn played(text: &str) -> Result<(IssuerKind, Issuer), String> {
    let (kind, url) = match text.split_once('=') {
        Some(("github", url)) => (Some(IssuerKind::Github), url),
        Some(("gitlab", url)) => (Some(IssuerKind::Gitlab), url),
        Some(("eks", url)) => (Some(IssuerKind::Eks), url),
        Some((kind, _)) => return Err(format!("`{kind}` is no kind of issuer: github, gitlab and eks are")),
        None => (None, text),
    };
    let issuer = Issuer::parse(url)?;
    Ok((kind.unwrap_or_else(|| IssuerKind::of(&issuer)), issuer))
}

/// `HOST:PORT`: an address of this machine, or a name that leads to its loopback.
///
/// # Errors
/// What was expected, for anything else.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = "an address and a port are expected, such as 127.0.0.1:4566, [::1]:4566 or localhost:4566";
    let is_named = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let found = if is_named { text.to_socket_addrs().ok() } else { None };
    let Some(found) = found else { return Err(expected.to_owned()) };
    let all: Vec<SocketAddr> = found.collect();
    if all.is_empty() || !all.iter().all(|address| address.ip().is_loopback()) {
        return Err(format!("{expected}; this name doesn't lead to the loopback of this machine"));
    }
    // Clients that are told of localhost try 127.0.0.1 in any case.
    all.iter().find(|address| address.is_ipv4()).or(all.first()).copied().ok_or_else(|| expected.to_owned())
}

/// `HOST=IP:PORT`.
pub fn issuer_address(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) = text.split_once('=').ok_or_else(|| format!("`{text}` is not HOST=IP:PORT"))?;
    let address = address.parse().map_err(|_| format!("`{address}` is not IP:PORT"))?;
    Ok((host.to_ascii_lowercase(), address))
}

/// How `serve` asks issuers that are not played.
fn discovery(args: &ServeArgs) -> Result<discovery::Settings, Failure> {
    let authorities = args.ca_bundle.as_deref().map(certificates).transpose()?.unwrap_or_default();
    let addresses = args.issuer_addresses.iter().cloned().collect();
    Ok(discovery::Settings { is_on: !args.offline, authorities, addresses })
}

/// The certificates of a bundle, in DER.
pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let place = path.display();
    let text = files::bytes(path, CA_BUNDLE_BYTES_MAX)?;
    let found = discovery::certificates_of_pem(&text).map_err(|error| usage(format!("{place}: {error}")))?;
    if found.is_empty() {
        return Err(usage(format!(
            "{place} holds no certificate: PEM is expected, -----BEGIN CERTIFICATE-----"
        )));
    }
    Ok(found)
}

/// A server that holds what the Terraform describes.
pub struct Served {
    /// The server.
    pub server: Running,
    /// Where blobs are that nobody needs afterwards; goes away with this value.
    pub _blobs: Option<Scratch>,
    /// What was read of the Terraform.
    pub read: files::ReadInfra,
    /// What was made of it.
    pub seeded: world::Seeded,
    /// The region.
    pub region: String,
    /// Containers of servers that were killed, which were removed.
    pub left_behind: usize,
}

impl Served {
    /// What there is to say of the Terraform, and of what was made of it.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.read.findings.iter().chain(&self.seeded.refused).chain(&self.seeded.unknown)
    }
}

/// Reads the Terraform and starts a server with it. Nothing listens before all is read: a file that
/// can't be read leaves nothing running. Nothing is answered before all is made: a client that comes early waits.
///
/// # Errors
/// Unreadable input, a port that is taken.
pub async fn start(sources: &SourceMap, setup: Setup<'_>) -> Result<Served, Failure> {
    let (read, region) = read(sources, &setup)?;
    refuse_errors(sources, &read)?;
    let (place, blobs) = match setup.data {
        Some(dir) => (Place::Data(dir.to_owned()), None),
        None => {
            let blobs = Scratch::make("images").map_err(|error| {
                Failure::new(FailureKind::Outside, format!("cannot make a temporary folder: {error}"))
            })?;
            (Place::Scratch(blobs.path().join("images")), Some(blobs))
        }
    };
    let config = config(sources, &setup, &region, place);
    let bound = landfall_serve::bind(config).await.map_err(|error| not_started(&error))?;
    play(&bound.world, &setup, &read);
    let environment = edge::environment();
    let (docker_host, runtime_dir) = (environment.get("DOCKER_HOST"), environment.get("XDG_RUNTIME_DIR"));
    let engine = runner::Engine::find(docker_host, runtime_dir).await;
    let left_behind = runner::begin(&bound.world, engine).await;
    let seeded = world::seed(&bound.world, &read.infra, setup.account, &region);
    Ok(Served { server: bound.serve(), _blobs: blobs, read, seeded, region, left_behind })
}

/// What Terraform would stop at as well: an AWS side without it would answer what the account doesn't.
fn refuse_errors(sources: &SourceMap, read: &files::ReadInfra) -> Result<(), Failure> {
    let mut errors = read.findings.iter().filter(|finding| finding.severity == Severity::Error).peekable();
    if errors.peek().is_none() {
        return Ok(());
    }
    errors.for_each(|finding| ui::finding_on_stderr(finding, sources));
    Err(usage("the Terraform can't be read"))
}

/// The same AWS side without a port: for questions that need no client. Its images, if it had any,
/// would be kept in `blobs`.
///
/// # Errors
/// Unreadable input.
pub fn offline(
    sources: &SourceMap,
    setup: Setup<'_>,
    blobs: &Path,
) -> Result<(Arc<World>, files::ReadInfra, world::Seeded), Failure> {
    let (read, region) = read(sources, &setup)?;
    let world = landfall_serve::world(config(sources, &setup, &region, Place::Scratch(blobs.join("images"))))
        .map_err(|error| not_started(&error))?;
    let seeded = world::adopt(&world, &read.infra, setup.account, &region);
    Ok((world, read, seeded))
}

/// Plays what was named, and the issuers of EKS clusters that the Terraform has providers for: clusters that are
/// described here have no other issuer.
fn play(world: &Arc<World>, setup: &Setup<'_>, read: &files::ReadInfra) {
    for (kind, issuer) in &setup.issuers {
        world.issuers.play_as(issuer.clone(), *kind);
    }
    let written = read.infra.providers.iter().filter_map(|provider| Issuer::parse(&provider.url.value).ok());
    for issuer in written.filter(|issuer| landfall_serve::issuer::is_eks(&issuer.host_and_path())) {
        world.issuers.play(issuer);
    }
}

/// The Terraform, and the region: as it was said, else the Terraform's, else the pipeline's.
fn read(sources: &SourceMap, setup: &Setup<'_>) -> Result<(files::ReadInfra, String), Failure> {
    let spare = || setup.spare_region.clone().unwrap_or_else(|| REGION_DEFAULT.to_owned());
    let region = setup.region.clone().unwrap_or_else(spare);
    let read = files::terraform(sources, setup.infra, setup.account, region, &setup.variables)?;
    let written = read.infra.region.as_ref().map(|region| region.value.clone());
    let region = setup.region.clone().or(written).unwrap_or_else(spare);
    Ok((read, region))
}

fn config(sources: &SourceMap, setup: &Setup<'_>, region: &str, place: Place) -> Config {
    Config {
        addr: setup.addr,
        agent_addr: setup.agent_addr,
        public_addr: setup.public_addr,
        place,
        account: setup.account,
        region: region.to_owned(),
        root_key: root_key(setup.addr),
        registry: setup.registry,
        sources: sources.clone(),
        discovery: setup.discovery.clone(),
        read_time: edge::now,
        time_lapse: setup.time_lapse,
        fill_random: edge::fill_random,
        limits: landfall_serve::Limits::default(),
        warn: ui::warning,
    }
}

fn root_key(addr: SocketAddr) -> RootKey {
    if addr.ip().is_loopback() {
        return RootKey::WellKnown;
    }
    let mut bytes = [0; 16];
    edge::fill_random(&mut bytes);
    let access_key_id = landfall_wire::ids::long_term_key_id(bytes);
    let mut secret = [0; 20];
    edge::fill_random(&mut secret);
    RootKey::Random { access_key_id, secret: Secret::new(landfall_wire::hash::hex(&secret)) }
}

fn not_started(error: &StartError) -> Failure {
    let failure = usage(error.to_string()).causes_of(error);
    match error {
        StartError::Listen { addr, cause } if cause.kind() == std::io::ErrorKind::AddrInUse => {
            failure.help(format!(
                "something listens on port {} already; stop it, or choose another with --addr",
                addr.port()
            ))
        }
        _ => failure,
    }
}

/// Reads an account id from the command line.
///
/// # Errors
/// When it isn't 12 digits.
pub fn account(text: &str) -> Result<AccountId, Failure> {
    AccountId::parse(text).map_err(|error| usage(format!("--account: {error}")))
}

/// Serves until it is told to stop.
///
/// # Errors
/// Unreadable input, a port that is taken.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let sources = SourceMap::new();
    let setup = Setup {
        addr: args.addr,
        agent_addr: args.agent_addr,
        public_addr: Some(args.public_addr.unwrap_or(SocketAddr::new(args.addr.ip(), 0))),
        account: account(&args.account)?,
        region: args.region.clone(),
        spare_region: None,
        infra: &args.infra,
        variables: args.variables.clone(),
        registry: args.registry.mode(),
        issuers: args.issuers.clone(),
        discovery: discovery(&args)?,
        time_lapse: args.time_lapse,
        data: args.data.as_deref(),
    };
    edge::allow_many_files();
    let mut stop = std::pin::pin!(stop_signal());
    let mut served = tokio::select! {
        served = start(&sources, setup) => served?,
        // Nobody has been answered, so that nobody is left without an answer.
        () = &mut stop => return Ok(()),
    };
    let world = Arc::clone(&served.server.world);
    let audit = args.audit.as_deref().map(|file| audit(&world, file, &sources)).transpose()?;
    // Decisions are shown from here on, below the banner.
    let follower = world.log.follow();
    match args.format {
        Format::Text => banner(&args, &served, &sources),
        Format::Json => ui::json(serde_json::json!({
            "event": "ready",
            "url": served.server.url(),
            "public_registry": served.server.public_addr.map(|addr| addr.to_string()),
            "account": args.account,
            "region": served.region,
            "made": served.seeded.made,
            "findings": served.findings().map(|it| landfall_check::render::json(it, &sources)).collect::<Vec<_>>(),
            "infra": {
                "new": served.seeded.tally.new,
                "changed": served.seeded.tally.changed,
                "unchanged": served.seeded.tally.unchanged,
            },
        })),
    }
    let terminal = show_all(follower, sources, args.format)?;
    tokio::select! {
        () = served.server.ended() => {
            return Err(Failure::new(FailureKind::Outside, "the server ended on its own"));
        }
        () = &mut stop => {}
    }
    // Who asks twice doesn't want to wait for requests in flight.
    tokio::select! {
        () = served.server.stop() => {}
        () = stop_signal() => {}
    }
    world.log.close();
    if let Some(audit) = audit {
        audit.finish();
    }
    // The reader of what is printed may have stopped reading.
    let _ = tokio::time::timeout(LAST_LINES_WAIT, terminal).await;
    Ok(())
}

fn audit(world: &World, file: &Path, sources: &SourceMap) -> Result<Audit, Failure> {
    let tell = Box::new(|text: &str| ui::warning(text));
    Audit::begin(&world.log, file, sources.clone(), tell)
        .map_err(|error| usage(format!("cannot write the audit file {}: {error}", file.display())))
}

/// Prints decisions as they fall, on a thread of its own: whoever reads slowly misses some, and no call waits.
/// What it gives ends when all is printed or printing has failed.
fn show_all(
    mut follower: Follower,
    sources: SourceMap,
    format: Format,
) -> Result<oneshot::Receiver<()>, Failure> {
    let (ended, end) = oneshot::channel::<()>();
    let work = move || {
        let _ended = ended;
        while let Some(record) = follower.next_blocking() {
            if let Err(error) = print_waiting(record, &mut follower, &sources, format) {
                ui::warning(&format!("decisions can't be printed any more ({error}); calls are answered"));
                break;
            }
        }
    };
    let thread = std::thread::Builder::new().name("decisions".to_owned()).spawn(work);
    thread.map_err(|error| Failure::new(FailureKind::Outside, format!("cannot start a thread: {error}")))?;
    Ok(end)
}

/// Prints a decision and those that wait behind it, together.
fn print_waiting(
    first: Arc<Record>,
    follower: &mut Follower,
    sources: &SourceMap,
    format: Format,
) -> std::io::Result<()> {
    let missed = follower.take_missed();
    let mut next = Some(first);
    if format == Format::Json {
        let mut out = Vec::new();
        if missed > 0 {
            out.extend_from_slice(format!("{}\n", log::json::gap(missed)).as_bytes());
        }
        while let Some(record) = next {
            log::json::record(&record, sources).write_line(&mut out);
            next = if out.len() < PRINTED_BYTES { follower.next_waiting() } else { None };
        }
        return ui::json_lines(&out);
    }
    let mut out = String::new();
    if missed > 0 {
        out.push_str(&format!("{}\n", ui::styled(ui::DIM, format!("… {missed} more decisions"))));
    }
    while let Some(record) = next {
        show(&mut out, &record, sources);
        next = if out.len() < PRINTED_BYTES { follower.next_waiting() } else { None };
    }
    ui::lines(&out)
}

/// Ends with Ctrl-C, the signal that a supervisor sends, or the terminal that is closed. From the call on
/// none of them ends the process by itself.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let signals = kinds.map(signal);
    async move {
        let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = signals else {
            let _ = tokio::signal::ctrl_c().await;
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn banner(args: &ServeArgs, served: &Served, sources: &SourceMap) {
    let url = served.server.url();
    ui::line(format!("{}  {url}", ui::styled(ui::BOLD, "landfall serve")));
    ui::line(format!("  account   {}, region {}", args.account, served.region));
    match &served.server.world.settings.root_key {
        RootKey::WellKnown => ui::line("  root key  test / test (this machine only)"),
        RootKey::Random { access_key_id, .. } if args.data.is_some() => {
            let file = served.server.world.data.as_ref().map(|data| data.keys().root_key_file());
            let file = file.map(|file| file.display().to_string()).unwrap_or_default();
            ui::line(format!("  root key  {access_key_id} / AWS_SHARED_CREDENTIALS_FILE={file}"));
        }
        // Printed on purpose: it is the only way to get at this server, and lives as long as it does.
        RootKey::Random { access_key_id, secret } => {
            ui::line(format!("  root key  {access_key_id} / {}", secret.expose()));
        }
    }
    let others = if args.offline { "none is asked for its keys" } else { "others are asked for their keys" };
    ui::line(format!(
        "  issuers   {} (played here; {others})",
        served.server.world.issuers.urls().join(", ")
    ));
    let kind = match args.registry {
        Registry::Ecr => "plain http",
        Registry::StrictOci => "plain http; the OCI specification where ECR differs from it",
    };
    ui::line(format!("  registry  {} ({kind})", served.server.addr));
    if let Some(addr) = served.server.public_addr {
        ui::line(format!("  public    {addr} (plain http; the local public.ecr.aws)"));
    }
    if let Some(dir) = &args.data {
        ui::line(format!("  data      {}", dir.display()));
    }
    if let Some(engine) = served.server.world.ecs.engine() {
        ui::line(format!("  tasks     {}", tasks(engine, served.left_behind)));
    }
    if !served.seeded.made.is_empty() {
        let tally = kept(served.seeded.tally);
        ui::line(format!("  infra     {}{tally}", served.seeded.made.join(", ")));
    }
    if args.time_lapse > 1 {
        ui::line(format!("  time      lifetimes and waits pass {} times as fast", args.time_lapse));
    }
    ui::line("  enforced  signatures, ID tokens, trust policies and permissions, on every call");
    for finding in served.findings() {
        ui::line("");
        ui::finding(finding, sources, 2);
    }
    ui::line(format!("\n  export AWS_ENDPOINT_URL={url}\n"));
}

/// What runs the tasks of ECS, what it can't do, and what was cleared away.
fn tasks(engine: &runner::Engine, left_behind: usize) -> String {
    let mut told = format!("{} at {}", engine.kind(), engine.address());
    if !engine.has_bridge() {
        told.push_str(", which has no bridge: they share this machine's network and its ports");
    }
    if left_behind > 0 {
        told.push_str(&format!("; {left_behind} containers of servers that were killed are removed"));
    }
    told
}

/// What a start on an old directory found of the Terraform's resources.
fn kept(tally: world::Tally) -> String {
    let world::Tally { new, changed, unchanged } = tally;
    if changed + unchanged == 0 {
        return String::new();
    }
    format!(" ({new} new, {changed} changed, {unchanged} as before)")
}

/// One decision for people.
fn show(out: &mut String, record: &Record, sources: &SourceMap) {
    let (_, _, _, hour, minute, second) = record.at.civil();
    let because = ui::because(record, sources);
    // What the client was told as well: the way from its error to the reason.
    let request = match &record.verdict {
        Verdict::Refused { .. } => format!("  request {}", record.request_id),
        Verdict::Allowed => String::new(),
    };
    let line = format!(
        "{} {} {}  {}  {}",
        ui::styled(ui::DIM, format!("{hour:02}:{minute:02}:{second:02}")),
        ui::sign(&record.verdict),
        ui::decided(record),
        ui::styled(ui::DIM, ui::plain_text(ui::short(&record.caller))),
        ui::styled(ui::DIM, format!("{because}{request}")),
    );
    out.push_str(line.trim_end());
    out.push('\n');
    if let (Verdict::Refused { .. }, Some(finding)) = (&record.verdict, &record.finding) {
        out.push_str(&ui::finding_lines(finding, sources, 11));
    }
}

/// Where a running server is: said, from the environment, or the default.
pub fn endpoint(said: Option<&str>, environment: &Environment) -> String {
    said.or_else(|| environment.get("AWS_ENDPOINT_URL"))
        .unwrap_or("http://127.0.0.1:4566")
        .trim_end_matches('/')
        .to_owned()
}
