//! `landfall serve pod`: runs a command with what EKS gives to a pod, and nothing of whoever runs it.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use landfall_deliver::exec::{self, Variables};
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_serve::eks::{PODS, agent, pods};
use landfall_types::{Arn, Secret};

use super::token::{self, SignedBy};
use super::token_eks::{LIFETIME_DEFAULT, PodFacts, PodOf, new_uid};
use super::{pod_network, serve, usage};
use crate::{edge, ui};

/// Arguments of `landfall serve pod`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PodArgs {
    #[command(flatten)]
    pod: PodOf,
    /// As if there were no association: the annotated role, by IRSA
    #[arg(long, requires = "role")]
    irsa: bool,
    /// The service account's annotation eks.amazonaws.com/role-arn
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// The service account's annotation eks.amazonaws.com/audience
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com", requires = "role")]
    audience: String,
    /// How long the token lives, in seconds, 600 to 86400; a new one is written when four fifths have passed.
    /// `serve --time-lapse` shortens it
    #[arg(long, value_name = "SECONDS", default_value_t = LIFETIME_DEFAULT,
          value_parser = clap::value_parser!(u32).range(600..=86_400))]
    token_lifetime: u32,
    /// A variable of the container, as the pod's manifest sets it: EKS leaves it as it is; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = super::key_value)]
    env: Vec<(String, String)>,
    /// A network of the pod's own (Linux): the agent is at the real address, 169.254.170.23, and beside it there
    /// is nothing but the server
    #[arg(long)]
    netns: bool,
    /// Where `landfall serve` listens [default: AWS_ENDPOINT_URL, else http://127.0.0.1:4566]
    #[arg(long, value_name = "URL", alias = "addr")]
    endpoint: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  landfall serve --infra examples/eks-pod/infra &
  landfall serve pod --cluster shop --namespace build \\
    --service-account pusher -- aws sts get-caller-identity
  landfall serve pod --cluster shop --namespace build \\
    --service-account irsa-pusher \\
    --role arn:aws:iam::123456789012:role/irsa-pusher -- \\
    aws sts get-caller-identity
  landfall serve pod --netns --cluster shop --namespace build \\
    --service-account pusher -- env

Exit codes: the command's own; 126 it can't be run; 127 it isn't there. Before
it starts: 2 wrong usage; 3 no server.";

/// How the pod is somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Identity {
    /// By its association.
    Association { id: String, role: String },
    /// By the role of its service account's annotation.
    Irsa { role: String, audience: String },
    /// Not at all.
    None,
}

impl Identity {
    /// What EKS's webhook decides.
    fn of(args: &PodArgs, facts: &PodFacts) -> Self {
        match (&facts.association, &args.role) {
            (Some((association, role)), _) if !args.irsa => {
                Self::Association { id: association.clone(), role: role.clone() }
            }
            (_, Some(role)) => Self::Irsa { role: role.clone(), audience: args.audience.clone() },
            (_, None) => Self::None,
        }
    }

    fn audience(&self) -> Option<&str> {
        match self {
            Self::Association { .. } => Some(PODS),
            Self::Irsa { audience, .. } => Some(audience),
            Self::None => None,
        }
    }
}

/// Runs the command; gives the exit code.
///
/// # Errors
/// Wrong usage; no server, or one without that cluster.
pub async fn run(args: PodArgs, environment: &Environment) -> Result<u8, Failure> {
    if let Some(role) = &args.role {
        let is_role = Arn::parse(role).is_ok_and(|arn| arn.role_path_and_name().is_some());
        if !is_role {
            return Err(usage(format!(
                "--role `{role}` is not a role's ARN: arn:aws:iam::ACCOUNT:role/NAME"
            )));
        }
    }
    let endpoint = endpoint(&args, environment);
    // From here on a signal leaves no token behind, also before there is a command that it could be passed to.
    let Prepared { facts, identity, folder, token } = tokio::select! {
        prepared = Prepared::make(&args, &endpoint) => prepared?,
        () = serve::stop_signal() => {
            return Err(Failure::new(FailureKind::Refused, "stopped before the command was started"));
        }
    };
    explain(&args, &facts, &identity, &endpoint);
    let agent_url = match args.netns {
        true => format!("http://{}{}", pod_network::AGENT, agent::PATH),
        false => format!("{endpoint}{}", agent::PATH),
    };
    let mut set = variables(&identity, &facts, token.as_ref(), &agent_url);
    // EKS's webhook leaves the region to a container that says one.
    if args.env.iter().any(|(name, _)| REGIONS.contains(&name.as_str())) {
        set.retain(|(name, _)| !REGIONS.contains(name));
    }
    set.push(("AWS_ENDPOINT_URL", endpoint.clone()));
    let set = set.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    let variables = Variables { set, removed: removed(environment) };
    let renewing = token.map(|token| tokio::spawn(token.keep_renewing()));
    let command = match args.netns {
        true => pod_network::wrap(&endpoint, folder.path(), with_env(args.env, args.command))?,
        false => with_env(args.env, args.command),
    };
    let code = start(&command, &variables).await;
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    code
}

/// What a pod needs before its command can start.
struct Prepared {
    facts: PodFacts,
    identity: Identity,
    folder: tempfile::TempDir,
    token: Option<Projected>,
}

impl Prepared {
    async fn make(args: &PodArgs, endpoint: &str) -> Result<Self, Failure> {
        let facts = PodFacts::ask(endpoint, &args.pod).await?;
        let identity = Identity::of(args, &facts);
        let folder = tempfile::Builder::new().prefix("landfall-pod-").tempdir().map_err(|error| {
            Failure::new(FailureKind::Outside, format!("cannot make a temporary folder: {error}"))
        })?;
        let token = Projected::of(args, &facts, &identity, endpoint, folder.path());
        if let Some(token) = &token {
            token.write().await?;
        }
        Ok(Self { facts, identity, folder, token })
    }
}

/// The container's own variables come after EKS's.
fn with_env(env: Vec<(String, String)>, command: Vec<OsString>) -> Vec<OsString> {
    if env.is_empty() {
        return command;
    }
    let set = env.into_iter().map(|(name, value)| OsString::from(format!("{name}={value}")));
    std::iter::once("env".into()).chain(set).chain(command).collect()
}

/// The server's URL; HOST:PORT will do.
fn endpoint(args: &PodArgs, environment: &Environment) -> String {
    let url = serve::endpoint(args.endpoint.as_deref(), environment);
    if url.contains("://") { url } else { format!("http://{url}") }
}

/// Runs a command to its end; gives its exit code.
pub async fn start(command: &[OsString], variables: &Variables) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(usage("a command is expected after `--`"));
    };
    let in_terminal = std::io::stdin().is_terminal();
    exec::run(program, arguments, variables, in_terminal).await.or_else(|error| {
        ui::failure(&Failure::usage(error.to_string()));
        Ok(error.exit_code())
    })
}

/// A line for whoever runs this: the command owns standard output.
fn say(text: impl std::fmt::Display) {
    ui::note(&format!("pod: {text}"));
}

fn explain(args: &PodArgs, facts: &PodFacts, identity: &Identity, endpoint: &str) {
    let PodOf { namespace, service_account, .. } = &args.pod;
    let cluster = args.pod.cluster.as_deref().unwrap_or_default();
    let who = format!("{namespace}/{service_account} of cluster {cluster}");
    match identity {
        Identity::Association { id, role } => {
            say(format_args!("{who}: Pod Identity, association {id}, {role}"));
            if args.role.is_some() {
                say("the association wins over the annotated role: --irsa is as if there were none");
            }
            if !args.netns {
                say(format_args!(
                    "the agent is at {endpoint}; a real pod's is at {}, which --netns plays",
                    pod_network::AGENT
                ));
            }
        }
        Identity::Irsa { role, audience } => {
            say(format_args!("{who}: IRSA, {role}, audience {audience}"));
        }
        Identity::None => {
            let others = match facts.others.as_slice() {
                [] => "no service account of the cluster has one".to_owned(),
                others => format!("these have one: {}", others.join(", ")),
            };
            say(format_args!("{who}: no Pod Identity association ({others}), and no role by --role"));
            say("so EKS gives the pod no variables and no token, and here it has no credentials");
            say("a real one would go on to its node's role, if the instance metadata can be reached");
        }
    }
}

/// What the webhook adds to a pod, and what keeps it from being somebody else.
fn variables(
    identity: &Identity,
    facts: &PodFacts,
    token: Option<&Projected>,
    agent_url: &str,
) -> Vec<(&'static str, String)> {
    let mut set = vec![
        // A pod has no home of yours, and there is no node whose role it could take.
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    let file = token.map(|token| token.file.display().to_string()).unwrap_or_default();
    match identity {
        Identity::Association { .. } => {
            set.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent_url.to_owned()));
            set.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file));
        }
        Identity::Irsa { role, .. } => {
            set.push(("AWS_ROLE_ARN", role.clone()));
            set.push(("AWS_WEB_IDENTITY_TOKEN_FILE", file));
        }
        Identity::None => return set,
    }
    set.push(("AWS_STS_REGIONAL_ENDPOINTS", "regional".to_owned()));
    set.extend(REGIONS.map(|name| (name, facts.region.clone())));
    set
}

/// Everything of AWS that whoever runs this has, and a CI job's own identity.
fn removed(environment: &Environment) -> Vec<String> {
    let is_own = |name: &&str| name.starts_with("AWS_") || name.starts_with("ACTIONS_ID_TOKEN_REQUEST_");
    environment.names().filter(is_own).map(str::to_owned).collect()
}

/// The token that the kubelet projects into the pod, and writes anew before it ends.
struct Projected {
    file: PathBuf,
    pod: PodOf,
    pod_uid: String,
    issuer: String,
    audience: String,
    /// How long the token lives, in real time.
    lifetime: Duration,
    endpoint: String,
}

impl Projected {
    fn of(
        args: &PodArgs,
        facts: &PodFacts,
        identity: &Identity,
        endpoint: &str,
        folder: &Path,
    ) -> Option<Self> {
        let audience = identity.audience()?.to_owned();
        let name = if audience == PODS { "eks-pod-identity-token" } else { "token" };
        let PodOf { cluster, namespace, service_account, pod, account, region } = &args.pod;
        Some(Self {
            file: folder.join(name),
            pod: PodOf {
                cluster: cluster.clone(),
                namespace: namespace.clone(),
                service_account: service_account.clone(),
                pod: pod.clone(),
                account: account.clone(),
                region: region.clone(),
            },
            pod_uid: new_uid(),
            issuer: facts.issuer.clone(),
            audience,
            lifetime: Duration::from_secs(u64::from(args.token_lifetime)) / facts.time_lapse,
            endpoint: endpoint.to_owned(),
        })
    }

    /// Asks for a token and puts it where the pod reads it, in one step.
    async fn write(&self) -> Result<(), Failure> {
        let issued_at = edge::now().seconds();
        let issuer = self.issuer.clone();
        let lifetime = u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX).max(1);
        let facts = self.pod.token(issuer, &self.audience, lifetime, issued_at, &self.pod_uid);
        let token = token::mint_claims(&self.endpoint, &pods::claims(&facts), SignedBy::Issuer).await?;
        let failed = |error: std::io::Error| {
            let file = self.file.display();
            Failure::new(FailureKind::Outside, format!("cannot write the pod's token to {file}: {error}"))
        };
        let folder = self.file.parent().unwrap_or_else(|| Path::new("."));
        // Only the owner may read what tempfile makes.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(token.as_bytes()).map_err(failed)?;
        file.persist(&self.file).map_err(|error| failed(error.error))?;
        Ok(())
    }

    async fn keep_renewing(self) {
        loop {
            tokio::time::sleep(renewed_after(self.lifetime)).await;
            while let Err(failure) = self.write().await {
                say(format_args!("the token could not be renewed: {failure}"));
                tokio::time::sleep(RETRY_SECONDS).await;
            }
        }
    }
}

/// The kubelet waits for four fifths of a token's life, a day at most.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#launch-a-pod-using-service-account-token-projection>
fn renewed_after(lifetime: Duration) -> Duration {
    // A token's times are whole seconds, rounded down.
    lifetime.saturating_sub(Duration::from_secs(1)) * 4 / 5
}

/// The region, under both names.
const REGIONS: [&str; 2] = ["AWS_DEFAULT_REGION", "AWS_REGION"];
/// How long to wait when a token can't be had.
const RETRY_SECONDS: Duration = Duration::from_secs(10);
