//! `landfall rehearse` of a GitLab pipeline.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use landfall_check::gitlab::{self, Commit, Config, File, MergeRequest, PipelineFacts, RefType};
use landfall_check::terraform::Infra;
use landfall_deliver::{Environment, Failure, FailureKind};
use landfall_rehearse::Summary;
use landfall_rehearse::event::Ready;
use landfall_rehearse::gitlab::{Library, Rehearsal};
use landfall_rehearse::scratch::Scratch;
use landfall_rehearse::snapshot::{self, Snapshot};
use landfall_serve::issuer::{GITLAB_ISSUER, IssuerKind, Signer};
use landfall_types::claims::GITHUB_ISSUER;
use landfall_types::{Finding, Issuer, SourceMap};

use super::{RehearseArgs, copy, infra, not_created, remotes, secrets, setup, stopped, unreadable};
use crate::cmd::serve::{self, Format};
use crate::cmd::token::{self, SignedBy};
use crate::cmd::token_gitlab::{is_project, ref_of};
use crate::cmd::usage;
use crate::config::{self, Found};
use crate::files::{self, shown};
use crate::ui_tree::{JsonLines, Tree};

/// The configuration's name in a project.
pub const FILE_NAME: &str = ".gitlab-ci.yml";
/// What a merge request's branch is called when nobody says it.
const BRANCH_DEFAULT: &str = "feature";
/// What a tag is called when nobody says it.
const TAG_DEFAULT: &str = "v1.0.0";
/// The group that a fork is in.
const FORK_GROUP: &str = "a-fork";

/// Whether a file is a GitLab configuration, by its name.
pub fn is_configuration(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.ends_with(FILE_NAME) || name.ends_with(".gitlab-ci.yaml")
}

/// The configuration that is meant: the file that was said, the one of `landfall.toml`, or a project's own where there
/// are no workflows of GitHub.
pub fn file(path: &Path, found: &Found, repository: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return is_configuration(path).then(|| path.to_owned());
    }
    if let Some(workflow) = &found.config.workflow {
        return is_configuration(workflow).then(|| found.path(workflow));
    }
    let own = repository.join(FILE_NAME);
    (own.is_file() && !repository.join(".github/workflows").is_dir()).then_some(own)
}

/// Rehearses; tells whether the crossing works.
pub async fn run(
    args: &RehearseArgs,
    found: &Found,
    repository: &Path,
    file: &Path,
    environment: &Environment,
) -> Result<bool, Failure> {
    let sources = SourceMap::new();
    let project = project(args.repo.as_deref(), found, repository)?;
    let secrets = secrets(args, environment)?;
    let infra = infra(args, found)?;
    let mut stop = pin!(serve::stop_signal());
    let scratch = Scratch::make("rehearsal").map_err(|error| {
        Failure::new(FailureKind::Outside, format!("cannot make a temporary folder: {error}"))
    })?;
    let snapshot = copy(repository, &scratch, stop.as_mut()).await?;
    let pipeline = read(&sources, file)?;
    let region = files::region_of_pipeline(pipeline.regions());
    let served = serve::start(&sources, setup(args, found, &infra, region)?).await?;
    if !served.seeded.refused.is_empty() {
        return Ok(not_created(&served.seeded.refused, &sources, args.format));
    }
    let issuer = issuer(args.issuer.as_deref(), found, &served.read.infra)?;
    served.server.world.issuers.play_as(issuer.clone(), IssuerKind::Gitlab);
    let facts = facts(&args.words(), found, &project, &issuer)?;
    let facts = args.further(facts, &snapshot, secrets);
    let remotes = remotes(&args.remote, found);
    let config = load(&sources, (file, &pipeline), repository, &facts, &args.inputs(found), &remotes)?;
    let rehearsal = Rehearsal {
        world: Arc::clone(&served.server.world),
        ready: Ready {
            repository: facts.project.clone(),
            event: facts.source.clone(),
            git_ref: facts.ref_path(),
            ..super::ready_of(&served)
        },
        sources: sources.clone(),
        file: shown(file),
        config,
        facts,
        repository: repository.to_owned(),
        snapshot,
        remotes,
        landfall: super::own_file()?,
        dir: scratch.path().to_owned(),
        user: reader_of(environment),
        only_job: args.job.clone(),
        manual: args.manual,
        signer: if args.signed_by == SignedBy::Stranger { Signer::Stranger } else { Signer::Issuer },
        stretch: args.stretch.clone(),
        deployment_wait: args.deployment_wait,
        infra: served.read.infra.clone(),
    };
    // On Ctrl-C the jobs' processes end with this one, and the temporary folders go away.
    let summary = tokio::select! {
        summary = rehearse(&rehearsal, &sources, args.format) => summary,
        () = stop => return Err(stopped()),
    };
    if summary.unreadable {
        return Err(usage("no job was started"));
    }
    Ok(summary.success)
}

impl RehearseArgs {
    /// The facts with what only a rehearsal knows.
    fn further(
        &self,
        facts: PipelineFacts,
        snapshot: &Snapshot,
        secrets: Vec<(String, String)>,
    ) -> PipelineFacts {
        let commit = |(author, timestamp, message)| Commit { author, timestamp, message };
        PipelineFacts {
            sha: snapshot.sha.clone(),
            commit: snapshot::commit_of(&snapshot.dir).map(commit),
            // The variables of a project are not those of its forks.
            secrets: if self.fork { Vec::new() } else { secrets },
            variables: self.variable.clone(),
            changed: (!self.changed.is_empty()).then(|| self.changed.clone()),
            ..facts
        }
    }
}

pub(super) fn reader_of(environment: &Environment) -> landfall_rehearse::run::ReadVariable {
    let environment = environment.clone();
    Box::new(move |name| environment.get(name).map(str::to_owned))
}

async fn rehearse(rehearsal: &Rehearsal, sources: &SourceMap, format: Format) -> Summary {
    match format {
        Format::Text => landfall_rehearse::gitlab::run(rehearsal, &mut Tree::new(sources)).await,
        Format::Json => landfall_rehearse::gitlab::run(rehearsal, &mut JsonLines::new(sources)).await,
    }
}

/// Reads the file of a pipeline.
///
/// # Errors
/// When it can't be read; what GitLab would refuse in it is told by [`load`].
pub fn read(sources: &SourceMap, file: &Path) -> Result<File, Failure> {
    let source = files::read(sources, file)?;
    Ok(File::parse(source, &sources.text(source)))
}

/// Puts a configuration together with all that it includes.
///
/// # Errors
/// What GitLab would refuse, or what can't be found, after it was told.
pub fn load(
    sources: &SourceMap,
    (path, file): (&Path, &File),
    repository: &Path,
    facts: &PipelineFacts,
    inputs: &[(String, String)],
    remotes: &landfall_rehearse::library::Remotes,
) -> Result<Config, Failure> {
    let mut library = Library { sources, repository, remotes };
    gitlab::load(file, inputs, facts, &mut library).map_err(|findings| {
        let findings: Vec<&Finding> = findings.iter().collect();
        unreadable(&findings, sources, &format!("{} is not a valid configuration", shown(path)))
    })
}

/// The GitLab whose tokens the jobs get: the one that was said, else the one that the Terraform has a provider for,
/// else gitlab.com.
///
/// # Errors
/// When it is no https URL.
pub fn issuer(said: Option<&str>, found: &Found, infra: &Infra) -> Result<Issuer, Failure> {
    if let Some(said) = said.or(found.config.issuer.as_deref()) {
        return Issuer::parse(said).map_err(|error| usage(format!("--issuer: {error}")));
    }
    let written: Vec<Issuer> = infra
        .providers
        .iter()
        .filter_map(|provider| Issuer::parse(provider.url.value.trim_end_matches('/')).ok())
        .filter(|issuer| issuer.as_str() != GITHUB_ISSUER && IssuerKind::of(issuer) != IssuerKind::Eks)
        .collect();
    let by_name: Vec<&Issuer> =
        written.iter().filter(|issuer| IssuerKind::of(issuer) == IssuerKind::Gitlab).collect();
    match (by_name.as_slice(), written.as_slice()) {
        ([one], _) => Ok((*one).clone()),
        ([], [one]) => Ok(one.clone()),
        _ => Issuer::parse(GITLAB_ISSUER).map_err(usage),
    }
}

/// The project that a folder is of.
///
/// # Errors
/// When nothing says it.
pub fn project(said: Option<&str>, found: &Found, dir: &Path) -> Result<String, Failure> {
    let said = said.map(str::to_owned).or_else(|| found.config.repo.clone()).or_else(|| origin(dir));
    let project = said.ok_or_else(|| {
        usage(format!("which project is {}? Its git remote `origin` does not tell", shown(dir)))
            .help("give --repo GROUP/NAME, or say repo = \"GROUP/NAME\" in landfall.toml")
    })?;
    if is_project(&project) {
        Ok(project)
    } else {
        Err(usage(format!("project `{project}` is not GROUP/NAME")))
    }
}

/// The path in the git remote `origin`, where the folder is the top of a checkout.
fn origin(dir: &Path) -> Option<String> {
    let url = super::origin_url(dir)?;
    let url = url.strip_suffix(".git").unwrap_or(&url);
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.split_once(':')?.1,
    };
    Some(path.trim_matches('/').to_owned()).filter(|path| is_project(path))
}

/// The facts of a pipeline, by the command line and `landfall.toml`.
///
/// # Errors
/// When they contradict each other.
pub fn facts(
    args: &super::RunWords<'_>,
    found: &Found,
    project: &str,
    issuer: &Issuer,
) -> Result<PipelineFacts, Failure> {
    let configured = found.config.ids.as_deref().map(token::ids).transpose();
    let configured = configured.map_err(|error| usage(format!("ids of {}: {error}", config::FILE_NAME)))?;
    let (namespace_id, project_id) = args.ids.or(configured).unwrap_or_else(|| token::stand_in_ids(project));
    let event = args.event.or(found.config.event.as_deref()).unwrap_or("push");
    let source = match event {
        "tag" => "push",
        "merge_request" => "merge_request_event",
        known if SOURCES.contains(&known) => known,
        other => {
            let known =
                format!("push, tag, merge_request, {}", SOURCES.get(2..).unwrap_or_default().join(", "));
            return Err(usage(format!("`{other}` starts no GitLab pipeline"))
                .help(format!("--event is one of {known}")));
        }
    };
    if args.immutable_subject {
        return Err(usage("--immutable-subject is for GitHub's tokens, and this is a GitLab pipeline"));
    }
    let is_merge_request = source == "merge_request_event";
    if args.fork && !is_merge_request {
        return Err(usage(format!("--fork is for merge requests, and the event is `{event}`"))
            .help("add --event merge_request"));
    }
    let by_event = match event {
        "tag" => TAG_DEFAULT,
        _ if is_merge_request => BRANCH_DEFAULT,
        _ => token::DEFAULT_BRANCH,
    };
    let configured = found.config.git_ref.as_deref().filter(|_| args.event.is_none());
    let (ref_name, ref_type) = ref_of(args.git_ref.or(configured).unwrap_or(by_event), event == "tag");
    let mut facts = PipelineFacts::of(project);
    let is_default = ref_type == RefType::Branch && ref_name == facts.default_branch;
    (facts.namespace_id, facts.project_id) = (namespace_id, project_id);
    facts.server_url = issuer.as_str().to_owned();
    facts.source = source.to_owned();
    facts.ref_protected = is_default && !is_merge_request;
    (facts.ref_name, facts.ref_type) = (ref_name, ref_type);
    facts.vars = found.config.vars.clone().into_iter().collect();
    if is_merge_request {
        let name = project.rsplit('/').next().unwrap_or(project);
        let target_project = args.fork.then(|| project.to_owned());
        if args.fork {
            facts.project = format!("{FORK_GROUP}/{name}");
            (facts.namespace_id, facts.project_id) = token::stand_in_ids(&facts.project);
        }
        let target_branch = facts.default_branch.clone();
        facts.merge_request = Some(MergeRequest { iid: 1, target_branch, target_project });
    }
    Ok(facts)
}

/// What `CI_PIPELINE_SOURCE` may be.
const SOURCES: &[&str] = &[
    "push",
    "merge_request_event",
    "schedule",
    "web",
    "api",
    "trigger",
    "pipeline",
    "chat",
    "webide",
    "external",
    "external_pull_request_event",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_known_by_their_names() {
        for (name, wanted) in [
            (".gitlab-ci.yml", true),
            ("a/.gitlab-ci.yml", true),
            ("ci/deploy.gitlab-ci.yml", true),
            (".github/workflows/gitlab.yml", false),
        ] {
            assert_eq!(is_configuration(Path::new(name)), wanted, "{name}");
        }
    }
}
