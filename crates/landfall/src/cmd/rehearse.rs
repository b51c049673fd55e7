//! `landfall rehearse`: a workflow, or a GitLab pipeline, end to end on this machine.

pub mod gitlab;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use landfall_check::github::{self, CommitFacts, DefaultPermissions, RunFacts, Visibility, Workflow};
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_rehearse::environment::Rules;
use landfall_rehearse::event::Ready;
use landfall_rehearse::library::Remotes;
use landfall_rehearse::scratch::Scratch;
use landfall_rehearse::snapshot::{self, Snapshot};
use landfall_rehearse::world::Key;
use landfall_rehearse::{Rehearsal, Summary};
use landfall_serve::issuer::Signer;
use landfall_types::{Finding, SourceMap};

use super::role;
use super::serve::{self, Format};
use super::token::{self, SignedBy};
use super::{key_value, usage};
use crate::config::{self, Found};
use crate::files::{self, Variables, shown};
use crate::ui;
use crate::ui_tree::{JsonLines, Tree};

/// Arguments of `landfall rehearse`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RehearseArgs {
    /// A workflow file or a .gitlab-ci.yml, or a repository's folder (one with either, or with landfall.toml); or a
    /// Kubernetes manifest, whose pods run on the EKS cluster of the Terraform beside it
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    pub path: PathBuf,
    /// The event that starts the run [default: push], with its activity or the cron of a schedule behind `=`; of
    /// GitLab push, tag, merge_request, schedule, web, …
    #[arg(long, value_name = "EVENT[=ACTIVITY]")]
    pub event: Option<String>,
    /// The ref that the run is for; for a pull request or merge group its base branch, for a release its tag, for a
    /// merge request of GitLab its source branch [default: the default branch]
    #[arg(long = "ref", value_name = "REF")]
    pub git_ref: Option<String>,
    /// The repository's default branch, on which a schedule, an issue or another workflow runs [default: from
    /// landfall.toml, or main]
    #[arg(long, value_name = "NAME")]
    default_branch: Option<String>,
    /// The pull request, or merge request, comes from a fork
    #[arg(long)]
    fork: bool,
    /// The repository [default: from landfall.toml, or the git remote `origin`]
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<String>,
    /// Owner id and repository id [default: from landfall.toml, or made-up ones]
    #[arg(long, value_name = "OWNER_ID/REPO_ID", value_parser = token::ids)]
    ids: Option<(u64, u64)>,
    /// The tokens' subject carries the ids, as in repositories made after 2026-07-15
    #[arg(long)]
    immutable_subject: bool,
    /// The subject template (`include_claim_keys`) of a repository, or of those of an owner; may be repeated
    #[arg(long, value_name = "OWNER[/NAME]=KEY,KEY")]
    sub_template: Vec<String>,
    /// Where another repository is on this machine; may be repeated
    #[arg(long, value_name = "OWNER/NAME[@REF]=DIR", value_parser = key_value)]
    remote: Vec<(String, String)>,
    /// Where an action is on this machine, in place of Landfall's own where it has one; may be repeated
    #[arg(long, value_name = "OWNER/NAME[@REF]=DIR", value_parser = key_value)]
    action: Vec<(String, String)>,
    /// A folder with Terraform; may be repeated [default: from landfall.toml]
    #[arg(long, value_name = "DIR")]
    pub infra: Vec<PathBuf>,
    #[command(flatten)]
    pub variables: Variables,
    /// Run this job and what it needs, and nothing else
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// An input of workflow_dispatch, or of a GitLab pipeline; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    pub input: Vec<(String, String)>,
    /// A CI/CD variable of whoever starts a GitLab pipeline: it wins over all others; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    pub variable: Vec<(String, String)>,
    /// A file that the commits of a GitLab pipeline changed, for `rules:changes`; may be repeated [default: all are
    /// taken for changed, as in the first push of a branch]
    #[arg(long, value_name = "PATH")]
    pub changed: Vec<String>,
    /// Start the manual jobs of a GitLab pipeline as well
    #[arg(long)]
    pub manual: bool,
    /// The GitLab whose tokens the jobs get [default: the one that the Terraform has a provider for, or gitlab.com]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The branches, and with `tag:` the tags, that may deploy to an environment, as the repository's settings on
    /// GitHub have it; may be repeated [default: from landfall.toml, or all]
    #[arg(long, value_name = "NAME=PATTERN,…", value_parser = Rules::parse)]
    environment: Vec<Rules>,
    /// Who started the run: `dependabot[bot]` sees no secrets and has a read-only token [default: the owner]
    #[arg(long, value_name = "NAME", value_parser = actor)]
    actor: Option<String>,
    /// A secret (of GitLab: a masked variable of the project); with the name alone it is taken from the environment, where it can't be seen by others
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub secret: Vec<String>,
    /// The account that the Terraform is applied in [default: from landfall.toml, or 123456789012]
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub account: Option<String>,
    /// The region [default: the Terraform's, else the one that the pipeline names, else us-east-1]
    #[arg(long, value_name = "REGION", value_parser = super::region)]
    pub region: Option<String>,
    /// Who signs the jobs' tokens
    #[arg(long, value_enum, default_value_t = SignedBy::Issuer)]
    signed_by: SignedBy,
    /// As if a step had taken that long, so that sessions and logins run out; may be repeated
    #[arg(long, value_name = "STEP=DURATION", value_parser = stretch)]
    pub stretch: Vec<(String, u32)>,
    /// Wait for a deployment to ECS no longer than this, whatever the workflow says: of the deploy action, and of
    /// deployments that no step waits for
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deployment_wait: Option<Duration>,
    /// Where the local AWS side listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = super::serve::listen_address)]
    pub addr: SocketAddr,
    /// How it is told
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

const EXAMPLES: &str = "\
Examples:
  GitHub workflows, a GitLab pipeline, a Kubernetes manifest:
    landfall rehearse examples/github-ecr
    landfall rehearse examples/gitlab
    landfall rehearse examples/eks-pod

  By another event (of GitLab: merge_request, tag, …):
    landfall rehearse . --event pull_request
    landfall rehearse . --event release=published --ref refs/tags/v1

  With workflows of another repository, and an action from a folder:
    landfall rehearse .github/workflows/deploy.yml --infra infra \\
      --remote acme/ci-templates@main=../ci-templates
    landfall rehearse . --action acme/notify@v1=../notify

  What if the job outlives its session, or someone forges a token?
    landfall rehearse . --stretch 'Configure AWS credentials=2h'
    landfall rehearse . --signed-by stranger

With --format json each line is an object with an `event`: ready, run-started,
run-refused, not-triggered, job-started, job-skipped, step-started, output,
step-ended (its decisions and findings), job-ended, remark, and at last ended
(success, sessions, images).

Exit codes: 0 the whole crossing works; 1 something was refused or failed;
2 wrong usage or unreadable input; 3 this machine lacks something (an engine).";

/// A user's name, as GitHub and GitLab have them; apps have `[bot]` behind theirs.
pub fn actor(text: &str) -> Result<String, String> {
    let name = text.strip_suffix("[bot]").unwrap_or(text);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=ACTOR_CHARS_MAX).contains(&name.len()) && name.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("a user's name is expected: 1 to {ACTOR_CHARS_MAX} of A-Z a-z 0-9 - _ . and perhaps [bot]"))
}

/// GitLab's limit, in characters; GitHub's is lower.
const ACTOR_CHARS_MAX: usize = 255;

/// `STEP=90s`, `STEP=30m`, `STEP=2h`.
fn stretch(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("`{text}` is not STEP=DURATION, such as 'Push=2h' (s, m or h)");
    let (step, duration) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((step.to_owned(), seconds(duration).ok_or_else(wrong)?))
}

/// `90s`, `30m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration, such as 90s (s, m or h)");
    seconds(text)
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(wrong)
}

/// A number with its unit, in seconds; at most 30 days.
fn seconds(text: &str) -> Option<u32> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let number: u32 = text.get(..text.len() - 1)?.parse().ok()?;
    number.checked_mul(unit).filter(|seconds| *seconds <= 30 * 24 * 3600)
}

/// Rehearses; tells whether the crossing works.
///
/// # Errors
/// Wrong usage, unreadable input, a port that is taken.
pub async fn run(args: RehearseArgs, environment: &Environment) -> Result<bool, Failure> {
    if !args.path.exists() {
        return Err(usage(format!("{} is not there", shown(&args.path))));
    }
    let found = config::find(&args.path)?;
    let repository = repository_dir(&args.path, &found)?;
    if let Some(file) = gitlab::file(&args.path, &found, &repository) {
        return gitlab::run(&args, &found, &repository, &file, environment).await;
    }
    if let Some(flag) = args.of_gitlab_only() {
        return Err(usage(format!("{flag} is for GitLab pipelines, and {} is none", shown(&args.path))));
    }
    let sources = SourceMap::new();
    let workflows = workflows(&sources, &args, &found, &repository)?;
    let repo = repo_name(args.repo.as_deref(), &found, &repository)?;
    let mut facts = facts(&args.words(), &found, &repo)?;
    let mut secrets = secrets(&args, environment)?;
    let infra = infra(&args, &found)?;
    let mut stop = pin!(serve::stop_signal());
    let scratch = Scratch::make("rehearsal").map_err(|error| {
        Failure::new(FailureKind::Outside, format!("cannot make a temporary folder: {error}"))
    })?;
    let snapshot = copy(&repository, &scratch, stop.as_mut()).await?;
    adopt_commit(&snapshot, &mut facts);
    let regions = workflows.iter().flat_map(|(_, workflow)| workflow.regions.clone()).collect();
    let region = files::region_of_pipeline(regions);
    let served = serve::start(&sources, setup(&args, &found, &infra, region)?).await?;
    if !served.seeded.refused.is_empty() {
        return Ok(not_created(&served.seeded.refused, &sources, args.format));
    }
    let mut ready = ready(&served, &facts);
    adopt_key(&served.seeded.keys, &mut secrets, &mut ready);
    let rehearsal = Rehearsal {
        world: Arc::clone(&served.server.world),
        ready,
        sources: sources.clone(),
        workflows,
        facts,
        repository,
        snapshot,
        remotes: remotes(&args.remote, &found),
        actions: actions(&args.action, &found)?,
        landfall: own_file()?,
        dir: scratch.path().to_owned(),
        user: gitlab::reader_of(environment),
        secrets,
        vars: found.config.vars.clone().into_iter().collect(),
        environments: environments(&args.environment, &found),
        only_job: args.job.clone(),
        signer: if args.signed_by == SignedBy::Stranger { Signer::Stranger } else { Signer::Issuer },
        stretch: args.stretch.clone(),
        deployment_wait: args.deployment_wait,
        infra: served.read.infra.clone(),
    };
    // On Ctrl-C the steps' processes end with this one, and the temporary folders go away.
    let summary = tokio::select! {
        summary = rehearse(&rehearsal, &sources, args.format) => summary,
        () = stop => return Err(stopped()),
    };
    if summary.unreadable {
        return Err(usage("no job was started"));
    }
    verdict(&summary)
}

/// Whether the crossing works; where nothing ran what was deployed, an outside party is missing.
fn verdict(summary: &Summary) -> Result<bool, Failure> {
    if summary.is_unfinished() {
        let names = summary.not_run.join(", ");
        return Err(Failure::new(FailureKind::Outside, format!("nothing ran the tasks of {names}"))
            .help("start Docker or Podman, or name its socket in DOCKER_HOST"));
    }
    Ok(summary.works())
}

async fn rehearse(rehearsal: &Rehearsal, sources: &SourceMap, format: Format) -> Summary {
    match format {
        Format::Text => landfall_rehearse::run(rehearsal, &mut Tree::new(sources)).await,
        Format::Json => landfall_rehearse::run(rehearsal, &mut JsonLines::new(sources)).await,
    }
}

fn stopped() -> Failure {
    Failure::new(FailureKind::Refused, "stopped before the end")
}

/// Copies the repository; a large one takes its time, and may be given up.
async fn copy(
    repository: &Path,
    scratch: &Scratch,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Snapshot, Failure> {
    let (from, to) = (repository.to_owned(), scratch.path().join("snapshot"));
    let told = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&told);
    let mut copying = tokio::task::spawn_blocking(move || snapshot::take(&from, &to, &flag));
    let done = tokio::select! {
        done = &mut copying => done,
        () = stop => {
            told.store(true, Ordering::Relaxed);
            // The folder is not taken away while something is written to it.
            let _ = copying.await;
            return Err(stopped());
        }
    };
    match done {
        Ok(taken) => taken.map_err(|error| usage(error.to_string()).causes_of(&error)),
        Err(error) => Err(Failure::new(FailureKind::Outside, "cannot copy the repository").caused_by(error)),
    }
}

fn setup<'a>(
    args: &RehearseArgs,
    found: &Found,
    infra: &'a [PathBuf],
    spare_region: Option<String>,
) -> Result<serve::Setup<'a>, Failure> {
    let account = args.account.as_deref().or(found.config.account.as_deref());
    Ok(serve::Setup {
        addr: args.addr,
        agent_addr: None,
        public_addr: None,
        account: serve::account(account.unwrap_or(serve::ACCOUNT_DEFAULT))?,
        region: args.region.clone().or_else(|| found.config.region.clone()),
        spare_region,
        infra,
        variables: args.variables.clone().after(found),
        registry: landfall_serve::world::RegistryMode::default(),
        issuers: Vec::new(),
        // A rehearsal never leaves the machine.
        discovery: landfall_serve::discovery::Settings::default(),
        time_lapse: 1,
        data: None,
    })
}

/// This program's own file: the `landfall` of the steps.
fn own_file() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| {
        Failure::new(FailureKind::Outside, format!("cannot find this program's own file: {error}"))
    })
}

fn ready(served: &serve::Served, facts: &RunFacts) -> Ready {
    Ready {
        repository: facts.repository.clone(),
        event: facts.event.name.clone(),
        git_ref: facts.event.git_ref.clone(),
        ..ready_of(served)
    }
}

/// The AWS side, without what runs against it.
fn ready_of(served: &serve::Served) -> Ready {
    Ready {
        url: served.server.url().to_owned(),
        account: served.server.world.settings.default_account.to_string(),
        region: served.region.clone(),
        repository: String::new(),
        event: String::new(),
        git_ref: String::new(),
        made: served.seeded.made.clone(),
        warnings: served.read.findings.iter().chain(&served.seeded.unknown).cloned().collect(),
    }
}

/// The findings as details of one failure: unreadable input ends the command before anything runs.
fn unreadable(findings: &[&Finding], sources: &SourceMap, message: &str) -> Failure {
    for finding in findings {
        ui::finding_on_stderr(finding, sources);
    }
    usage(message)
}

/// What AWS would refuse to create makes every further step meaningless.
fn not_created(findings: &[Finding], sources: &SourceMap, format: Format) -> bool {
    for finding in findings {
        match format {
            Format::Text => ui::finding(finding, sources, 0),
            Format::Json => ui::json(serde_json::json!({
                "event": "infra-refused",
                "finding": landfall_check::render::json(finding, sources),
            })),
        }
    }
    false
}

/// The folder of the repository that a workflow, or a folder, belongs to.
///
/// # Errors
/// When `landfall.toml` names a folder that isn't there.
pub fn repository_dir(path: &Path, found: &Found) -> Result<PathBuf, Failure> {
    if let Some(workspace) = &found.config.workspace {
        let dir = found.path(workspace);
        return if dir.is_dir() {
            Ok(dir)
        } else {
            Err(usage(format!("{}, the workspace of {}, is not a folder", shown(&dir), config::FILE_NAME)))
        };
    }
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    // FILE is DIR/.github/workflows/FILE; the folder may be the current one, or above it.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let in_workflows = absolute.parent().is_some_and(|parent| parent.ends_with(".github/workflows"));
    let levels = if in_workflows { 3 } else { 1 };
    let dir = path.ancestors().nth(levels).or_else(|| absolute.ancestors().nth(levels));
    Ok(dir.filter(|dir| !dir.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned))
}

/// The repository that a folder is of.
///
/// # Errors
/// When nothing says it.
pub fn repo_name(said: Option<&str>, found: &Found, dir: &Path) -> Result<String, Failure> {
    let said = said.map(str::to_owned).or_else(|| found.config.repo.clone()).or_else(|| origin(dir));
    let repo = said.ok_or_else(|| {
        usage(format!("which repository is {}? Its git remote `origin` does not tell", shown(dir)))
            .help("give --repo OWNER/NAME, or say repo = \"OWNER/NAME\" in landfall.toml")
    })?;
    if token::is_repository(&repo) {
        Ok(repo)
    } else {
        Err(usage(format!("repository `{repo}` is not OWNER/NAME")))
    }
}

/// `OWNER/NAME` of the git remote `origin`, where the folder is the top of a checkout.
fn origin(dir: &Path) -> Option<String> {
    let url = origin_url(dir)?;
    let path = url.strip_suffix(".git").unwrap_or(&url);
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{name}")).filter(|repo| token::is_repository(repo))
}

fn origin_url(dir: &Path) -> Option<String> {
    if !dir.join(".git").exists() {
        return None;
    }
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["remote", "get-url", "origin"])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok().map(|url| url.trim().to_owned())
}

/// The workflows to run: the one that was said, or all of the repository.
fn workflows(
    sources: &SourceMap,
    args: &RehearseArgs,
    found: &Found,
    dir: &Path,
) -> Result<Vec<(String, Workflow)>, Failure> {
    let files = if args.path.is_file() {
        vec![args.path.clone()]
    } else if let Some(workflow) = &found.config.workflow {
        vec![found.path(workflow)]
    } else {
        let folder = dir.join(".github/workflows");
        if !folder.is_dir() {
            return Err(usage(format!(
                "{} is not a repository with a pipeline: it has no .github/workflows and no .gitlab-ci.yml",
                shown(dir)
            ))
            .help("give a workflow file, a .gitlab-ci.yml, a repository's folder, or a folder with landfall.toml"));
        }
        files::in_folder(&folder, &[".yml", ".yaml"])?
    };
    if files.is_empty() {
        return Err(usage(format!("{} has no workflow (*.yml)", shown(&dir.join(".github/workflows")))));
    }
    let mut workflows = Vec::new();
    for file in &files {
        let source = files::read(sources, file)?;
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let (workflow, findings) =
            github::load(source, &format!(".github/workflows/{name}"), &sources.text(source));
        match workflow {
            Some(workflow) if findings.is_empty() => workflows.push((shown(file), workflow)),
            _ => {
                let findings: Vec<&Finding> = findings.iter().collect();
                return Err(unreadable(
                    &findings,
                    sources,
                    &format!("{} is not a valid workflow", shown(file)),
                ));
            }
        }
    }
    Ok(workflows)
}

fn infra(args: &RehearseArgs, found: &Found) -> Result<Vec<PathBuf>, Failure> {
    let dirs: Vec<PathBuf> = if args.infra.is_empty() {
        found.config.infra.iter().map(|dir| found.path(dir)).collect()
    } else {
        args.infra.clone()
    };
    if dirs.is_empty() {
        return Err(usage("where is the AWS side? No Terraform was named")
            .help("give --infra DIR, or say infra = [\"DIR\"] in landfall.toml"));
    }
    match dirs.iter().find(|dir| !dir.exists()) {
        Some(missing) => Err(usage(format!("{} (--infra) is not there", shown(missing)))),
        None => Ok(dirs),
    }
}

/// Where other repositories are.
pub fn remotes(said: &[(String, String)], found: &Found) -> Remotes {
    let configured = found.config.remote.iter().map(|(name, dir)| (name.clone(), found.path(dir)));
    let said = said.iter().map(|(name, dir)| (name.clone(), PathBuf::from(dir)));
    Remotes::new(configured.chain(said))
}

/// The secrets by which workflows with static keys hand them to configure-aws-credentials.
const KEY_SECRETS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Where the Terraform makes an access key and nobody has said these secrets, they hold that key: somebody has
/// carried it over by hand.
fn adopt_key(keys: &[Key], secrets: &mut Vec<(String, String)>, ready: &mut Ready) {
    let is_said = |name: &&str| secrets.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if let ([key], false) = (keys, KEY_SECRETS.iter().any(is_said)) {
        let values = [key.id.clone(), key.secret.expose().clone()];
        secrets.extend(KEY_SECRETS.map(str::to_owned).into_iter().zip(values));
        ready.made.push(format!("secrets {} from the key of {}", KEY_SECRETS.join(" and "), key.user));
    }
    ready.warnings.extend(keys.iter().map(|key| {
        Finding::warning(
            "long-lived-key",
            format!("the access key of `{}` does not end: whoever reads it once has it until it is deleted", key.user),
        )
        .at(key.written, "made here, and kept in a secret of the repository")
        .help("let the job take a role with its ID token: the session ends within the hour, and nothing is kept")
    }));
}

/// What the repository's settings say of its environments; the command line wins.
fn environments(said: &[Rules], found: &Found) -> Vec<Rules> {
    let configured = found.config.environment.iter().map(|(name, rules)| Rules {
        name: name.clone(),
        branches: rules.branches.clone(),
        tags: rules.tags.clone(),
        reviewers: rules.reviewers.clone(),
        wait_minutes: rules.wait_minutes,
        vars: rules.vars.clone().into_iter().collect(),
    });
    let mut all: Vec<Rules> = configured.collect();
    for rules in said {
        match all.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&rules.name)) {
            Some(known) => {
                known.branches.clone_from(&rules.branches);
                known.tags.clone_from(&rules.tags);
            }
            None => all.push(rules.clone()),
        }
    }
    all
}

/// The run is for the commit of the copy.
fn adopt_commit(snapshot: &Snapshot, facts: &mut RunFacts) {
    facts.sha.clone_from(&snapshot.sha);
    let commit = snapshot::commit_of(&snapshot.dir);
    facts.commit = commit.map(|(author, at, message)| CommitFacts { author, at, message });
}

/// Where actions are.
fn actions(said: &[(String, String)], found: &Found) -> Result<Remotes, Failure> {
    let configured = found.config.action.iter().map(|(name, dir)| (name.clone(), found.path(dir)));
    let said = said.iter().map(|(name, dir)| (name.clone(), PathBuf::from(dir)));
    let all: Vec<(String, PathBuf)> = configured.chain(said).collect();
    match all.iter().find(|(_, dir)| !dir.is_dir()) {
        Some((name, dir)) => Err(usage(format!("{}, the action {name}, is not a folder", shown(dir)))),
        None => Ok(Remotes::new(all)),
    }
}

fn secrets(args: &RehearseArgs, environment: &Environment) -> Result<Vec<(String, String)>, Failure> {
    let secret = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match environment.get(text) {
            Some(value) => Ok((text.clone(), value.to_owned())),
            None => {
                Err(usage(format!("secret `{text}` has no value, and there is no variable of that name")))
            }
        },
    };
    args.secret.iter().map(secret).collect()
}

/// What a user says of a run.
pub struct RunWords<'w> {
    /// `--event`
    pub event: Option<&'w str>,
    /// `--ref`
    pub git_ref: Option<&'w str>,
    /// `--default-branch`
    pub default_branch: Option<&'w str>,
    /// `--fork`
    pub fork: bool,
    /// `--actor`
    pub actor: Option<&'w str>,
    /// `--ids`
    pub ids: Option<(u64, u64)>,
    /// `--immutable-subject`
    pub immutable_subject: bool,
    /// `--input`
    pub input: &'w [(String, String)],
    /// `--sub-template`
    pub sub_template: &'w [String],
}

impl RehearseArgs {
    /// A flag that means nothing for GitHub's workflows.
    fn of_gitlab_only(&self) -> Option<&'static str> {
        let given = [
            (!self.variable.is_empty(), "--variable"),
            (!self.changed.is_empty(), "--changed"),
            (self.manual, "--manual"),
            (self.issuer.is_some(), "--issuer"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, flag)| flag)
    }

    /// Inputs of `landfall.toml` and of the command line; the latter win.
    fn inputs(&self, found: &Found) -> Vec<(String, String)> {
        let mut inputs = found.config.inputs.clone();
        inputs.extend(self.input.iter().cloned());
        inputs.into_iter().collect()
    }

    fn words(&self) -> RunWords<'_> {
        RunWords {
            event: self.event.as_deref(),
            git_ref: self.git_ref.as_deref(),
            default_branch: self.default_branch.as_deref(),
            fork: self.fork,
            actor: self.actor.as_deref(),
            ids: self.ids,
            immutable_subject: self.immutable_subject,
            input: &self.input,
            sub_template: &self.sub_template,
        }
    }
}

/// The facts of a run, by the command line and `landfall.toml`.
///
/// # Errors
/// When they contradict each other.
pub fn facts(args: &RunWords<'_>, found: &Found, repo: &str) -> Result<RunFacts, Failure> {
    let configured = found.config.ids.as_deref().map(token::ids).transpose();
    let configured = configured.map_err(|error| usage(format!("ids of {}: {error}", config::FILE_NAME)))?;
    let said = args.ids.or(configured);
    let (owner_id, repository_id) = said.unwrap_or_else(|| token::stand_in_ids(repo));
    let event = args.event.or(found.config.event.as_deref()).unwrap_or("push");
    // The ref of the file goes with the event of the file.
    let configured_ref = found.config.git_ref.as_deref().filter(|_| args.event.is_none());
    let git_ref = args.git_ref.or(configured_ref);
    let default_branch = found.config.default_branch.as_deref();
    let default_branch = args.default_branch.or(default_branch).unwrap_or(token::DEFAULT_BRANCH);
    if !args.input.is_empty() && event.split('=').next() != Some("workflow_dispatch") {
        return Err(usage(format!(
            "--input is for runs that are started by hand, and the event is `{event}`"
        ))
        .help("add --event workflow_dispatch"));
    }
    if args.fork && !event.starts_with("pull_request") {
        return Err(usage(format!("--fork is for pull requests, and the event is `{event}`"))
            .help("add --event pull_request"));
    }
    let mut inputs: Vec<(String, String)> = found.config.inputs.clone().into_iter().collect();
    inputs.extend(args.input.iter().cloned());
    let owner = repo.split('/').next().unwrap_or(repo).to_owned();
    Ok(RunFacts {
        commit: None,
        repository: repo.to_owned(),
        repository_id,
        owner_id,
        ids_are_known: said.is_some(),
        immutable_subject: args.immutable_subject || found.config.immutable_subject == Some(true),
        subject_keys: role::subject_keys(args.sub_template, found, repo)?,
        event: token::event(event, git_ref, default_branch)?,
        sha: String::new(),
        actor: args.actor.map_or(owner, str::to_owned),
        actor_id: owner_id,
        visibility: Visibility::Private,
        default_permissions: DefaultPermissions::Restricted,
        from_fork: args.fork,
        run_id: 1,
        run_number: 1,
        run_attempt: 1,
        default_branch: default_branch.to_owned(),
        inputs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_name() {
        for name in ["octocat", "dependabot[bot]", "mona_acme", "a.b-c"] {
            assert_eq!(actor(name).as_deref(), Ok(name));
        }
        for wrong in ["", "[bot]", "a b", "x\ny", "dependabot[bot", "é", &"a".repeat(256)] {
            assert!(actor(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_stretch_is_a_step_and_a_duration() {
        assert_eq!(
            stretch("Configure AWS credentials=2h"),
            Ok(("Configure AWS credentials".to_owned(), 7200))
        );
        assert_eq!(stretch("a=b=90s"), Ok(("a=b".to_owned(), 90)));
        for wrong in ["Push", "Push=2", "Push=h", "Push=99999h", "Push=-1s"] {
            assert!(stretch(wrong).is_err(), "{wrong}");
        }
    }
}
