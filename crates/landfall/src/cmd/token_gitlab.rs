//! `landfall token gitlab`: an ID token as a GitLab would give it to a job.

use clap::{Args, ValueEnum};
use landfall_check::gitlab::claims::{SUB_COMPONENTS, tier_of};
use landfall_check::gitlab::{
    MergeRequest, PipelineFacts, RefType, TokenEnvironment, TokenFacts, token_claims,
};
use landfall_deliver::{Environment, Failure};
use landfall_types::{Claims, Issuer};

use super::token::{self, MintArgs};
use super::usage;
use crate::edge;

/// The job that the token is for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GitlabArgs {
    /// The project, with all its groups
    #[arg(long, value_name = "GROUP/NAME")]
    project: String,
    /// The branch or tag; of a merge request its source branch
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    git_ref: String,
    /// What the ref is
    #[arg(long, value_enum, default_value_t = RefKind::Branch)]
    ref_type: RefKind,
    /// What started the pipeline [default: push, or merge_request_event]
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The ref is protected; the branch `main` is in any case
    #[arg(long)]
    protected: bool,
    /// The job's environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The environment's deployment tier [default: GitLab's guess by the name]
    #[arg(long, value_name = "TIER", requires = "environment")]
    deployment_tier: Option<String>,
    /// The audience, `aud` of `id_tokens`; several become a list; may be repeated [default: the issuer]
    #[arg(long = "aud", value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// The GitLab; one that is not gitlab.com has to be played: `landfall serve --issuer URL`
    #[arg(long, value_name = "URL", default_value = "https://gitlab.com")]
    issuer: String,
    /// What the subject is made of, as the project says in ci_id_token_sub_claim_components
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', default_values = SUB_COMPONENTS)]
    sub_components: Vec<String>,
    #[command(flatten)]
    mint: MintArgs,
}

/// What a job runs for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
    /// A merge request: its tokens are those of its source branch.
    #[value(alias = "merge_request")]
    MergeRequest,
}

const EXAMPLES: &str = "\
Examples:
  landfall token gitlab --project mygroup/myproject > token
  landfall token gitlab --project mygroup/myproject \\
    --ref v1.0 --ref-type tag > token
  aws sts assume-role-with-web-identity --role-arn ARN \\
    --role-session-name me --web-identity-token file://token

  Of a GitLab that `landfall serve --issuer https://gitlab.example.com` plays:
  landfall token gitlab --project a/b \\
    --issuer https://gitlab.example.com > token

  What AWS says to tokens that it must refuse:
  landfall token gitlab --project mygroup/myproject --aud https://gitlab.com/
  landfall token gitlab --project mygroup/myproject \\
    --ref-type merge-request --ref feature";

/// Whether a text is a project with its groups.
pub fn is_project(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    text.contains('/') && text.split('/').all(word)
}

/// Mints.
///
/// # Errors
/// Wrong usage; no server to ask.
pub async fn run(args: &GitlabArgs, environment: &Environment) -> Result<(), Failure> {
    if !is_project(&args.project) {
        return Err(usage(format!("--project `{}` is not GROUP/NAME", args.project)));
    }
    Issuer::parse(&args.issuer).map_err(|error| usage(format!("--issuer: {error}")))?;
    if let Some(wrong) = args.sub_components.iter().find(|name| !SUB_CLAIMS.contains(&name.as_str())) {
        return Err(usage(format!("--sub-components: `{wrong}` is not one of {}", SUB_CLAIMS.join(", "))));
    }
    token::mint(&claims(args), &args.mint, environment).await
}

/// What a subject may be made of.
const SUB_CLAIMS: &[&str] = &[
    "project_path",
    "project_id",
    "ref_type",
    "ref",
    "ref_protected",
    "environment_protected",
    "deployment_tier",
];

fn claims(args: &GitlabArgs) -> Claims {
    let (namespace_id, project_id) = token::stand_in_ids(&args.project);
    let mut pipeline = PipelineFacts::of(args.project.as_str());
    (pipeline.namespace_id, pipeline.project_id) = (namespace_id, project_id);
    pipeline.server_url.clone_from(&args.issuer);
    let (ref_name, ref_type) = ref_of(&args.git_ref, args.ref_type == RefKind::Tag);
    (pipeline.ref_name, pipeline.ref_type) = (ref_name, ref_type);
    if args.ref_type == RefKind::MergeRequest {
        pipeline.source = "merge_request_event".to_owned();
        let target_branch = pipeline.default_branch.clone();
        pipeline.merge_request = Some(MergeRequest { iid: 1, target_branch, target_project: None });
    }
    let is_default = pipeline.ref_type == RefType::Branch && pipeline.ref_name == pipeline.default_branch;
    pipeline.ref_protected = args.protected || is_default;
    if let Some(source) = &args.source {
        pipeline.source.clone_from(source);
    }
    let mut facts = TokenFacts::of(pipeline, args.issuer.as_str());
    if !args.audience.is_empty() {
        facts.audiences.clone_from(&args.audience);
        facts.is_list = args.audience.len() > 1;
    }
    facts.sub_components.clone_from(&args.sub_components);
    facts.environment = args.environment.as_ref().map(|name| TokenEnvironment {
        tier: args.deployment_tier.clone().unwrap_or_else(|| tier_of(name).to_owned()),
        ..TokenEnvironment::named(name)
    });
    let issued_at = args.mint.issued_at();
    let mut bytes = [0; 16];
    edge::fill_random(&mut bytes);
    let mut claims = token_claims(&facts, issued_at, &landfall_wire::ids::request_id(bytes));
    args.mint.adjust(&mut claims);
    claims
}

/// A branch or tag by its name or its full ref.
pub fn ref_of(text: &str, is_tag: bool) -> (String, RefType) {
    if let Some(name) = text.strip_prefix("refs/tags/") {
        return (name.to_owned(), RefType::Tag);
    }
    let name = text.strip_prefix("refs/heads/").unwrap_or(text).to_owned();
    (name, if is_tag { RefType::Tag } else { RefType::Branch })
}
