//! Everything that a rehearsal needs, without the binary: a server with nothing in it, a repository, and a
//! transcript of what was told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use landfall_check::github::{self, DefaultPermissions, EventFacts, RunFacts, Visibility};
use landfall_check::gitlab::{self, PipelineFacts};
use landfall_rehearse::environment::Rules;
use landfall_rehearse::event::Ready;
use landfall_rehearse::gitlab::Library;
use landfall_rehearse::library::Remotes;
use landfall_rehearse::scratch::Scratch;
use landfall_rehearse::snapshot::Snapshot;
use landfall_rehearse::{Event, Observer, Rehearsal, Summary};
use landfall_serve::issuer::{IssuerKind, Signer};
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Config, Running};
use landfall_types::{AccountId, Finding, Issuer, SourceMap, Timestamp};

/// What a case may set.
#[derive(Default)]
pub struct Given {
    pub event: Option<EventFacts>,
    pub immutable_subject: bool,
    pub subject_keys: Option<Vec<String>>,
    pub from_fork: bool,
    pub inputs: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    pub vars: Vec<(String, String)>,
    pub only_job: Option<String>,
    pub actor: Option<String>,
    /// Actions, and their folders in the repository.
    pub actions: Vec<(String, String)>,
    pub stretch: Vec<(String, u32)>,
    pub environments: Vec<Rules>,
}

pub struct Stage {
    pub server: Running,
    pub scratch: Scratch,
    sources: SourceMap,
}

#[expect(clippy::disallowed_methods, reason = "the server's edge; no test looks at the time")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

/// Different from each other and not random: nobody attacks a test.
fn count(buffer: &mut [u8]) {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let start = (u64::from(std::process::id()) << 32 | number).to_be_bytes();
    buffer.iter_mut().zip(start.iter().cycle()).for_each(|(byte, next)| *byte = *next);
}

impl Stage {
    pub async fn set() -> Self {
        let scratch = Scratch::make("a test").unwrap();
        let sources = SourceMap::new();
        let config = Config {
            addr: "127.0.0.1:0".parse().unwrap(),
            agent_addr: None,
            public_addr: None,
            place: landfall_serve::Place::Scratch(scratch.path().join("images")),
            account: AccountId::parse("123456789012").unwrap(),
            region: "eu-west-1".to_owned(),
            root_key: RootKey::WellKnown,
            registry: RegistryMode::Ecr,
            sources: sources.clone(),
            discovery: landfall_serve::discovery::Settings::default(),
            read_time: now,
            time_lapse: 1,
            fill_random: count,
            limits: landfall_serve::Limits::default(),
            warn: |_| {},
        };
        let server = landfall_serve::start(config).await.unwrap();
        Self { server, scratch, sources }
    }

    /// Makes a folder from texts.
    pub fn folder(&self, name: &str, files: &[(impl AsRef<Path>, impl AsRef<[u8]>)]) -> PathBuf {
        let dir = self.scratch.path().join(name);
        for (file, text) in files {
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    pub fn facts(given: &Given) -> RunFacts {
        RunFacts {
            commit: None,
            repository: "acme/api".to_owned(),
            repository_id: 74,
            owner_id: 65,
            ids_are_known: true,
            immutable_subject: given.immutable_subject,
            subject_keys: given.subject_keys.clone(),
            event: given.event.clone().unwrap_or_else(|| EventFacts::push("refs/heads/main")),
            sha: "0123456789012345678901234567890123456789".to_owned(),
            actor: given.actor.clone().unwrap_or_else(|| "acme".to_owned()),
            actor_id: 65,
            visibility: Visibility::Private,
            default_permissions: DefaultPermissions::Restricted,
            from_fork: given.from_fork,
            run_id: 1,
            run_number: 1,
            run_attempt: 1,
            default_branch: "main".to_owned(),
            inputs: given.inputs.clone(),
        }
    }

    /// Rehearses a workflow whose repository is `repository`.
    pub async fn rehearse(&self, repository: &Path, workflow: &str, given: &Given) -> (Summary, Vec<String>) {
        let path = format!(".github/workflows/{workflow}");
        let text = std::fs::read_to_string(repository.join(&path)).unwrap();
        let source = self.sources.add(path.as_str(), text.as_str());
        let (read, findings) = github::load(source, &path, &text);
        assert!(findings.is_empty(), "{findings:?}");
        let dir = Scratch::make("a job").unwrap();
        let facts = Self::facts(given);
        let rehearsal = Rehearsal {
            world: Arc::clone(&self.server.world),
            sources: self.sources.clone(),
            workflows: vec![(workflow.to_owned(), read.unwrap())],
            snapshot: Snapshot { dir: repository.to_owned(), sha: facts.sha.clone() },
            facts,
            repository: repository.to_owned(),
            remotes: Remotes::default(),
            actions: Remotes::new(
                given.actions.iter().map(|(name, dir)| (name.clone(), repository.join(dir))),
            ),
            landfall: PathBuf::from("/bin/false"),
            dir: dir.path().to_owned(),
            user: Box::new(|name| {
                let value = match name {
                    "PATH" => "/usr/local/bin:/usr/bin:/bin",
                    // Whatever engine this machine has, these have none.
                    "DOCKER_HOST" => "unix:///nowhere/docker.sock",
                    _ => return None,
                };
                Some(value.to_owned())
            }),
            secrets: given.secrets.clone(),
            vars: given.vars.clone(),
            environments: given.environments.clone(),
            only_job: given.only_job.clone(),
            signer: Signer::Issuer,
            stretch: given.stretch.clone(),
            deployment_wait: None,
            infra: landfall_check::terraform::Infra::default(),
            ready: ready(),
        };
        let mut transcript = Transcript { sources: &self.sources, lines: Vec::new() };
        let summary = landfall_rehearse::run(&rehearsal, &mut transcript).await;
        let base = self.server.url().trim_start_matches("http://");
        let scrub = |line: &String| {
            let line = line.replace(&repository.display().to_string(), "@@REPOSITORY@@");
            // With or without a `docker`, there is no engine.
            let line = line.replace("linux/arm64", "linux/amd64");
            let line = line.replace("there is no `docker` to ask the one at", "none answers at");
            line.replace(&dir.path().display().to_string(), "@@DIR@@").replace(base, "@@REGISTRY@@")
        };
        (summary, transcript.lines.iter().map(scrub).collect())
    }
}

/// What starts the pipeline of a case.
pub struct GivenPipeline {
    pub facts: PipelineFacts,
    pub inputs: Vec<(String, String)>,
    pub only_job: Option<String>,
    pub manual: bool,
}

impl Stage {
    /// Rehearses a pipeline whose project is `repository`.
    pub async fn pipeline(&self, repository: &Path, name: &str, given: GivenPipeline) -> Vec<String> {
        let text = std::fs::read_to_string(repository.join(name)).unwrap();
        let source = self.sources.add(name, text.as_str());
        let remotes = Remotes::default();
        let mut library = Library { sources: &self.sources, repository, remotes: &remotes };
        let config =
            gitlab::load(&gitlab::File::parse(source, &text), &given.inputs, &given.facts, &mut library);
        let mut transcript = Transcript { sources: &self.sources, lines: Vec::new() };
        let dir = Scratch::make("a job").unwrap();
        let issuer = Issuer::parse(&given.facts.server_url).unwrap();
        self.server.world.issuers.play_as(issuer, IssuerKind::Gitlab);
        match config {
            Err(findings) => transcript.findings("unreadable", &findings),
            Ok(config) => {
                let rehearsal = landfall_rehearse::gitlab::Rehearsal {
                    world: Arc::clone(&self.server.world),
                    sources: self.sources.clone(),
                    file: name.to_owned(),
                    config,
                    snapshot: Snapshot { dir: repository.to_owned(), sha: given.facts.sha.clone() },
                    facts: given.facts,
                    repository: repository.to_owned(),
                    remotes: Remotes::default(),
                    landfall: PathBuf::from("/bin/false"),
                    dir: dir.path().to_owned(),
                    user: Box::new(|name| {
                        (name == "PATH").then(|| "/usr/local/bin:/usr/bin:/bin".to_owned())
                    }),
                    only_job: given.only_job,
                    manual: given.manual,
                    signer: Signer::Issuer,
                    stretch: Vec::new(),
                    deployment_wait: None,
                    infra: landfall_check::terraform::Infra::default(),
                    ready: ready(),
                };
                landfall_rehearse::gitlab::run(&rehearsal, &mut transcript).await;
            }
        }
        let base = self.server.url().trim_start_matches("http://");
        let scrub = |line: &String| {
            line.replace(&dir.path().display().to_string(), "@@DIR@@").replace(base, "@@REGISTRY@@")
        };
        transcript.lines.iter().map(scrub).collect()
    }
}

fn ready() -> Ready {
    Ready {
        url: String::new(),
        account: String::new(),
        region: String::new(),
        repository: String::new(),
        event: String::new(),
        git_ref: String::new(),
        made: Vec::new(),
        warnings: Vec::new(),
    }
}

/// What was told, a line for each thing.
struct Transcript<'a> {
    sources: &'a SourceMap,
    lines: Vec<String>,
}

impl Transcript<'_> {
    fn findings(&mut self, what: &str, findings: &[Finding]) {
        for finding in findings {
            let place = finding.labels.first().map(|label| self.sources.place(label.span).to_string());
            let place = place.unwrap_or_default();
            self.lines.push(format!("{what} {place} {}: {}", finding.rule, finding.message));
        }
    }
}

impl Observer for Transcript<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Ready(_) => {}
            Event::RunStarted { workflow, group, .. } => {
                let group = group.map_or_else(String::new, |group| format!(" (concurrency {group})"));
                self.lines.push(format!("run {workflow}{group}"));
            }
            Event::NotTriggered { finding, .. } => {
                self.findings("not triggered", std::slice::from_ref(finding));
            }
            Event::RunRefused { findings, .. } => self.findings("refused", findings),
            Event::JobStarted(job) => {
                let token = job.subject.as_deref().map_or("no ID token".to_owned(), str::to_owned);
                let group =
                    job.group.as_ref().map_or_else(String::new, |group| format!(", concurrency {group}"));
                self.lines.push(format!("job {} ({token}{group})", job.name));
                self.lines.extend(job.about.iter().map(|about| format!("  {about}")));
            }
            Event::JobSkipped { name, why } => self.lines.push(format!("job {name} skipped: {why}")),
            Event::StepStarted { name } => self.lines.push(format!("  step {name}")),
            Event::Output { line } => self.lines.push(format!("    | {line}")),
            Event::StepEnded(ended) => {
                self.lines.extend(ended.summary.lines().map(|line| format!("    # {line}")));
                let skipped = if ended.outcome.as_str() == "skipped" {
                    format!("  step {} ", ended.name)
                } else {
                    "    ".to_owned()
                };
                let error = ended.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
                self.lines.push(format!("{skipped}= {}{error}", ended.outcome.as_str()));
                self.findings("    !", &ended.findings);
            }
            Event::JobEnded { name, outcome } => {
                self.lines.push(format!("job {name} = {}", outcome.as_str()))
            }
            Event::Remark { finding } => self.findings("remark", std::slice::from_ref(finding)),
            Event::Ended(summary) => self.lines.push(format!(
                "ended: {}, {} jobs, {} steps",
                if summary.success { "success" } else { "no success" },
                summary.jobs,
                summary.steps
            )),
        }
    }
}
