//! `landfall token`: mint an ID token for a running `landfall serve`, or look into any.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use landfall_check::github::{self, EventFacts, TokenFacts, Visibility};
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_types::Claims;
use landfall_wire::jwt;

use super::{serve, usage};
use crate::{edge, files, ui};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Arguments of `landfall token`.
#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

/// What to do.
#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Mint a token as GitHub would give it to a job, for five minutes; a running `landfall serve` signs it
    Github(Box<GithubArgs>),
    /// Mint a token as a GitLab would give it to a job, for an hour; a running `landfall serve` signs it
    Gitlab(Box<super::token_gitlab::GitlabArgs>),
    /// Mint a token as an EKS cluster projects it into a pod; a running `landfall serve` signs it
    Eks(Box<super::token_eks::EksArgs>),
    /// Show a token's header and claims; nothing is verified
    Decode {
        /// A file with the token; standard input when it is left out or `-`
        file: Option<PathBuf>,
    },
}

/// The job that the token is for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct GithubArgs {
    /// The repository
    #[arg(long, value_name = "OWNER/NAME")]
    repo: String,
    /// The ref; of a pull request or a merge group its base branch, of a release its tag [default: the default branch]
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// The repository's default branch, on which a schedule, an issue or another workflow runs
    #[arg(long, value_name = "NAME", default_value = DEFAULT_BRANCH)]
    default_branch: String,
    /// The event
    #[arg(long, value_name = "EVENT", default_value = "push")]
    event: String,
    /// The job's environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The audience; with an empty one, GitHub's own default: https://github.com/OWNER
    #[arg(long = "aud", value_name = "AUDIENCE", default_value = "sts.amazonaws.com")]
    audience: String,
    /// Owner id and repository id [default: made-up ones]
    #[arg(long, value_name = "OWNER_ID/REPO_ID", value_parser = ids)]
    ids: Option<(u64, u64)>,
    /// The subject carries the ids, as in repositories made after 2026-07-15
    #[arg(long)]
    immutable_subject: bool,
    /// The file that defines the job, `OWNER/NAME/.github/workflows/FILE@REF`
    #[arg(long, value_name = "REF")]
    job_workflow_ref: Option<String>,
    #[command(flatten)]
    mint: MintArgs,
}

/// What every token that is minted has.
#[derive(Args, Debug)]
pub struct MintArgs {
    /// A claim to set or, with an empty value, to leave out; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = super::key_value)]
    claims: Vec<(String, String)>,
    /// Minutes since the token was issued
    #[arg(long, value_name = "MINUTES", default_value_t = 0)]
    age: u32,
    /// Who signs it
    #[arg(long, value_enum, default_value_t = SignedBy::Issuer)]
    pub signed_by: SignedBy,
    /// Where `landfall serve` listens [default: AWS_ENDPOINT_URL, else http://127.0.0.1:4566]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
}

impl MintArgs {
    /// When the token was issued, in seconds since 1970.
    pub fn issued_at(&self) -> i64 {
        edge::now().seconds() - i64::from(self.age) * 60
    }

    /// Sets and leaves out the claims that were said.
    pub fn adjust(&self, claims: &mut Claims) {
        for (name, value) in &self.claims {
            if value.is_empty() {
                claims.remove(name)
            } else {
                claims.set_text(name.as_str(), value.as_str())
            }
        }
    }
}

/// Who signs a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SignedBy {
    /// The issuer, with the key that it publishes.
    Issuer,
    /// Someone else, with a key that nobody knows.
    Stranger,
}

const EXAMPLES: &str = "\
Examples:
  landfall token github --repo acme/web > token
  aws sts assume-role-with-web-identity --role-arn ARN \\
    --role-session-name me --web-identity-token file://token

  What AWS says to tokens that it must refuse:
  landfall token github --repo acme/web --event pull_request
  landfall token github --repo acme/web --aud https://github.com/acme
  landfall token github --repo acme/web --age 60
  landfall token github --repo acme/web --signed-by stranger";

/// `OWNER_ID/REPO_ID` from the command line.
pub fn ids(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(owner, repository)| Some((owner.parse().ok()?, repository.parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is not OWNER_ID/REPO_ID, two numbers"))
}

/// Whether a text is `OWNER/NAME`.
pub fn is_repository(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| word(owner) && word(name))
}

/// Mints or decodes.
///
/// # Errors
/// Wrong usage; no server to ask.
pub async fn run(args: TokenArgs, environment: &Environment) -> Result<(), Failure> {
    match args.command {
        TokenCommand::Github(args) => github(&args, environment).await,
        TokenCommand::Gitlab(args) => super::token_gitlab::run(&args, environment).await,
        TokenCommand::Eks(args) => super::token_eks::run(&args, environment).await,
        TokenCommand::Decode { file } => decode(file.as_deref()),
    }
}

async fn github(args: &GithubArgs, environment: &Environment) -> Result<(), Failure> {
    if !is_repository(&args.repo) {
        return Err(usage(format!("--repo `{}` is not OWNER/NAME", args.repo)));
    }
    let event = args.event.split('=').next().unwrap_or_default();
    if !github::event_names().any(|known| known == event) {
        let known: Vec<&str> = github::event_names().collect();
        return Err(usage(format!("GitHub has no event `{event}`"))
            .help(format!("its events are {}", known.join(", "))));
    }
    mint(&claims(args)?, &args.mint, environment).await
}

/// Asks a running server for a token with these claims, and prints it.
///
/// # Errors
/// No server to ask; claims of an issuer that it doesn't play.
pub async fn mint(claims: &Claims, args: &MintArgs, environment: &Environment) -> Result<(), Failure> {
    let endpoint = serve::endpoint(args.endpoint.as_deref(), environment);
    print(&mint_claims(&endpoint, claims, args.signed_by).await?)
}

/// Has a running server sign claims.
///
/// # Errors
/// No server to ask, or one that does not sign these.
pub async fn mint_claims(endpoint: &str, claims: &Claims, signed_by: SignedBy) -> Result<String, Failure> {
    let body = serde_json::json!({
        "claims": jwt::claims_to_json(claims),
        "stranger": signed_by == SignedBy::Stranger,
    });
    let request = client(endpoint)?
        .post(format!("{endpoint}/_landfall/token"))
        .header("content-type", "application/json");
    let answer = ask(endpoint, request.body(body.to_string()), "minted no token").await?;
    match answer.get("value").and_then(serde_json::Value::as_str) {
        Some(token) => Ok(token.to_owned()),
        None => Err(no_answer(endpoint, "minted no token", "its answer holds none")),
    }
}

/// A client for a server on this machine: no proxy is in between.
///
/// # Errors
/// When the endpoint is no address, or there can be no client.
pub fn client(endpoint: &str) -> Result<reqwest::Client, Failure> {
    let url = reqwest::Url::parse(endpoint).ok();
    if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some()) {
        let what = format!("the endpoint `{endpoint}` is not an http or https address");
        return Err(usage(what).help("`http://127.0.0.1:4566` is where `landfall serve` answers by itself"));
    }
    reqwest::Client::builder().no_proxy().build().map_err(|error| nobody(endpoint, error))
}

fn nobody(endpoint: &str, error: reqwest::Error) -> Failure {
    Failure::new(FailureKind::Outside, format!("no `landfall serve` answers at {endpoint}"))
        .caused_by(error.without_url())
        .help("start one with `landfall serve`, or say where it is with --endpoint")
}

fn no_answer(endpoint: &str, what: &str, why: &str) -> Failure {
    Failure::new(FailureKind::Outside, format!("{endpoint} {what}: {why}"))
        .help("is that a `landfall serve`?")
}

/// Asks a running server.
///
/// # Errors
/// Nobody is there, or what the server says is wrong with the question.
pub async fn ask(
    endpoint: &str,
    request: reqwest::RequestBuilder,
    what: &str,
) -> Result<serde_json::Value, Failure> {
    let response = request.send().await.map_err(|error| nobody(endpoint, error))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| nobody(endpoint, error))?;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() && answer.is_object() {
        return Ok(answer);
    }
    // A server of ours says what is wrong with the question; another one does not know it.
    match answer.get("message").and_then(serde_json::Value::as_str) {
        Some(why) if status.is_client_error() => Err(usage(why)),
        why => Err(no_answer(endpoint, what, &format!("{status}: {}", why.unwrap_or(text.trim())))),
    }
}

/// To a file or a pipe the token goes as it is: tools send a file to the letter, and only STS overlooks a newline.
pub fn print(token: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let end = if out.is_terminal() { "\n" } else { "" };
    let written = out.write_all(format!("{token}{end}").as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| usage(format!("cannot write the token: {error}")))
}

fn claims(args: &GithubArgs) -> Result<Claims, Failure> {
    let event = event(&args.event, args.git_ref.as_deref(), &args.default_branch)?;
    let mut facts = TokenFacts::of(args.repo.as_str());
    let (owner_id, repository_id) = args.ids.unwrap_or_else(|| stand_in_ids(&args.repo));
    facts.audience = (!args.audience.is_empty()).then(|| args.audience.clone());
    facts.owner_id = owner_id;
    facts.repository_id = repository_id;
    facts.immutable_subject = args.immutable_subject;
    facts.visibility = Visibility::Private;
    facts.workflow_ref = format!("{}/{}@{}", args.repo, facts.workflow, event.git_ref);
    facts.job_workflow_ref = args.job_workflow_ref.clone().unwrap_or_else(|| facts.workflow_ref.clone());
    facts.event_name = event.name;
    facts.git_ref = event.git_ref;
    facts.head_ref = event.head_ref;
    facts.base_ref = event.base_ref;
    facts.environment = args.environment.clone();
    let issued_at = args.mint.issued_at();
    let mut bytes = [0; 16];
    edge::fill_random(&mut bytes);
    let mut claims = github::token_claims(&facts, issued_at, &landfall_wire::ids::request_id(bytes));
    args.mint.adjust(&mut claims);
    Ok(claims)
}

/// Ids for a repository of which none are known: always the same ones for the same name.
pub fn stand_in_ids(repository: &str) -> (u64, u64) {
    let number = |text: &str| {
        let hash = landfall_wire::hash::sha256(text.as_bytes());
        u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 900_000_000 + 1_000_000)
    };
    (number(repository.split('/').next().unwrap_or(repository)), number(repository))
}

/// The default branch of a repository of which nothing is known.
pub const DEFAULT_BRANCH: &str = "main";
/// The branch that a pull request comes from.
const HEAD_BRANCH: &str = "feature";

/// The tag that a release is of, where nobody says one.
const RELEASE_TAG: &str = "refs/tags/v1";

/// An event, `NAME` or `NAME=ACTIVITY`, with its refs. What `--ref` says of pull requests and merge groups is their base
/// branch; pull requests may say their merge ref, and merge groups the one of the queue.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows>
///
/// # Errors
/// A ref that a run by this event never has.
pub fn event(name: &str, git_ref: Option<&str>, default_branch: &str) -> Result<EventFacts, Failure> {
    if let Some((name, activity)) = name.split_once('=') {
        return Ok(EventFacts { action: Some(activity.to_owned()), ..event(name, git_ref, default_branch)? });
    }
    let default = format!("refs/heads/{default_branch}");
    let said = git_ref;
    let git_ref = said.map_or_else(|| default.clone(), full_ref);
    let branch = git_ref.strip_prefix("refs/heads/").unwrap_or(default_branch).to_owned();
    Ok(match name {
        "pull_request_target" => EventFacts::pull_request_target(default_branch, branch, HEAD_BRANCH),
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            let number =
                git_ref.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next()?.parse().ok());
            let mut event = EventFacts::pull_request(number.unwrap_or(1), branch, HEAD_BRANCH);
            event.name = name.to_owned();
            event
        }
        "merge_group" if git_ref.starts_with(MERGE_QUEUE) => EventFacts::new(name, git_ref),
        "merge_group" => EventFacts::new(name, format!("{MERGE_QUEUE}{branch}/pr-1-{}", "0".repeat(40))),
        "release" => EventFacts::new(name, release_tag(said)?),
        _ if ON_DEFAULT_BRANCH.contains(&name) && git_ref != default => {
            return Err(usage(format!("`{name}` runs on the default branch, and --ref is `{git_ref}`"))
                .help("leave --ref out; where the default branch is another, say --default-branch NAME"));
        }
        _ => EventFacts::new(name, git_ref),
    })
}

fn release_tag(said: Option<&str>) -> Result<String, Failure> {
    match said {
        None => Ok(RELEASE_TAG.to_owned()),
        Some(tag) if tag.starts_with("refs/tags/") => Ok(tag.to_owned()),
        Some(short) if !short.starts_with("refs/") => Ok(format!("refs/tags/{short}")),
        Some(other) => Err(usage(format!("a release runs on its tag, and --ref is `{other}`"))
            .help("give the tag, --ref refs/tags/NAME")),
    }
}

/// Where the branches of a merge queue are.
const MERGE_QUEUE: &str = "refs/heads/gh-readonly-queue/";

/// The events whose runs are on the default branch, whatever they are about.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/events-that-trigger-workflows>
const ON_DEFAULT_BRANCH: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "delete",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "repository_dispatch",
    "schedule",
    "status",
    "watch",
    "workflow_run",
];

/// `main` is a branch, `refs/…` is taken as it is.
pub fn full_ref(git_ref: &str) -> String {
    if git_ref.starts_with("refs/") { git_ref.to_owned() } else { format!("refs/heads/{git_ref}") }
}

fn decode(file: Option<&std::path::Path>) -> Result<(), Failure> {
    let path = file.unwrap_or(std::path::Path::new("-"));
    let token = jwt::parse(files::text(path, TOKEN_BYTES_MAX)?.trim()).map_err(|error| {
        let shown = files::shown(path);
        usage(format!("{shown} is not a JWT: three base64url parts with dots between are expected"))
            .caused_by(error)
    })?;
    let shown = serde_json::json!({
        "header": { "alg": token.header.alg, "kid": token.header.kid, "typ": token.header.typ },
        "claims": jwt::claims_to_json(&token.claims),
    });
    ui::json(serde_json::to_string_pretty(&shown).unwrap_or_default());
    Ok(())
}
