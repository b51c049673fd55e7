//! `landfall token eks`: a service account's token, as a cluster projects it into a pod.

use clap::Args;
use landfall_deliver::{Environment, Failure};
use landfall_serve::eks::pods::{self, TokenFacts};
use landfall_types::Claims;

use super::token::{self, MintArgs};
use super::{serve, usage};
use crate::edge;

/// The pod that the token is for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EksArgs {
    #[command(flatten)]
    pub pod: PodOf,
    /// An issuer that is played, in place of a cluster's
    #[arg(long, value_name = "URL", conflicts_with = "cluster", required_unless_present = "cluster")]
    issuer: Option<String>,
    /// The audience: sts.amazonaws.com for IRSA, pods.eks.amazonaws.com for Pod Identity
    #[arg(long = "aud", value_name = "AUDIENCE", default_value = "sts.amazonaws.com")]
    audience: String,
    /// How long the token lives, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = LIFETIME_DEFAULT)]
    lifetime: u32,
    #[command(flatten)]
    mint: MintArgs,
}

/// A pod of a cluster.
#[derive(Args, Debug)]
pub struct PodOf {
    /// The cluster's name
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The pod's namespace
    #[arg(long, value_name = "NAME", default_value = "default",
          value_parser = super::namespace)]
    pub namespace: String,
    /// The pod's service account
    #[arg(long, value_name = "NAME", default_value = "default",
          value_parser = super::service_account)]
    pub service_account: String,
    /// The pod's name [default: the service account's, with -0 behind it]
    #[arg(long, value_name = "NAME")]
    pub pod: Option<String>,
    /// The cluster's account [default: the server's]
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub account: Option<String>,
    /// The cluster's region, where there are several of its name
    #[arg(long, value_name = "REGION", value_parser = super::region)]
    pub region: Option<String>,
}

/// As EKS's webhook asks for it.
pub const LIFETIME_DEFAULT: u32 = 86_400;

const EXAMPLES: &str = "\
Examples:
  landfall token eks --cluster shop --namespace build \\
    --service-account pusher > token
  aws sts assume-role-with-web-identity --role-arn ARN \\
    --role-session-name me --web-identity-token file://token

  What the Pod Identity agent is shown, and what it says to one of another
  cluster:
  landfall token eks --cluster shop --service-account pusher \\
    --aud pods.eks.amazonaws.com > token
  curl -H \"Authorization: $(cat token)\" http://127.0.0.1:4566/v1/credentials";

/// Mints a token.
///
/// # Errors
/// No server to ask, no such cluster.
pub async fn run(args: &EksArgs, environment: &Environment) -> Result<(), Failure> {
    let endpoint = serve::endpoint(args.mint.endpoint.as_deref(), environment);
    let issuer = match &args.issuer {
        Some(issuer) => issuer.clone(),
        None => PodFacts::ask(&endpoint, &args.pod).await?.issuer,
    };
    let facts = args.pod.token(issuer, &args.audience, args.lifetime, args.mint.issued_at(), &new_uid());
    let mut claims: Claims = pods::claims(&facts);
    args.mint.adjust(&mut claims);
    token::print(&token::mint_claims(&endpoint, &claims, args.mint.signed_by).await?)
}

/// A random UUID.
pub fn new_uid() -> String {
    let mut bytes = [0; 16];
    edge::fill_random(&mut bytes);
    landfall_wire::ids::request_id(bytes)
}

impl PodOf {
    /// What a token of this pod says.
    pub fn token(
        &self,
        issuer: String,
        audience: &str,
        lifetime: u32,
        issued_at: i64,
        pod_uid: &str,
    ) -> TokenFacts {
        TokenFacts {
            issuer,
            audience: audience.to_owned(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
            pod: self.pod.clone().unwrap_or_else(|| format!("{}-0", self.service_account)),
            pod_uid: pod_uid.to_owned(),
            issued_at,
            lifetime,
            id: new_uid(),
        }
    }
}

/// What a running server knows about a pod.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// The cluster's issuer.
    pub issuer: String,
    /// The cluster's region.
    pub region: String,
    /// The association of the pod's service account: its id and its role.
    pub association: Option<(String, String)>,
    /// The service accounts of the cluster that have an association, `NAMESPACE/NAME`.
    pub others: Vec<String>,
    /// How many times as fast lifetimes pass at the server.
    pub time_lapse: u32,
}

impl PodFacts {
    /// Asks a running server.
    ///
    /// # Errors
    /// No server, no such cluster.
    pub async fn ask(endpoint: &str, pod: &PodOf) -> Result<Self, Failure> {
        let cluster = pod.cluster.as_deref().ok_or_else(|| usage("--cluster NAME is expected"))?;
        let mut query = vec![
            ("cluster", cluster),
            ("namespace", &pod.namespace),
            ("service-account", &pod.service_account),
        ];
        query.extend(pod.account.as_deref().map(|account| ("account", account)));
        query.extend(pod.region.as_deref().map(|region| ("region", region)));
        let mut url = reqwest::Url::parse(&format!("{endpoint}/_landfall/pod"))
            .map_err(|error| usage(format!("{endpoint} is not a URL: {error}")))?;
        url.query_pairs_mut().extend_pairs(query);
        let answer = token::ask(endpoint, token::client(endpoint)?.get(url), "knows no pods").await?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let (cluster, association) = (&answer["cluster"], &answer["association"]);
        let others = answer["others"].as_array().cloned().unwrap_or_default();
        Ok(Self {
            issuer: text(&cluster["issuer"]),
            region: text(&cluster["region"]),
            association: association
                .is_object()
                .then(|| (text(&association["id"]), text(&association["roleArn"]))),
            others: others.iter().map(text).collect(),
            time_lapse: answer["timeLapse"]
                .as_u64()
                .and_then(|times| u32::try_from(times).ok())
                .unwrap_or(1)
                .max(1),
        })
    }
}
