//! One job: its folders, its variables and tokens, its scripts line by line, and what it hands on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_check::github::masks::Masks;
use landfall_check::gitlab::{
    Body, PipelineFacts, PlannedJob, Retry, Script, Variable, Variables, When, token_claims, token_subject,
};
use landfall_serve::control;
use landfall_serve::log::{Record, Verdict};
use landfall_types::{Span, shortened};
use landfall_wire::hash::{hex, sha256_hex};

use super::artifacts::{self, HandedOn};
use super::pipeline::Executor;
use super::script::{self, Answers, Line};
use super::teach::{self, Asked};
use crate::clients;
use crate::deployed::{self, Origin};
use crate::event::{Event, JobStarted, Outcome, StepEnded};
use crate::home::{self, Folders, Home};
use crate::process::{self, Ended, Leftovers, Process};
use crate::script::find_program;
use crate::snapshot;

/// How long a job may take when nothing says it, in seconds: what projects say at first.
const TIMEOUT_SECONDS_DEFAULT: u64 = 3600;
/// How long `after_script` may take (GitLab's own limit).
const AFTER_LIMIT: Duration = Duration::from_secs(300);
/// Variables by which jobs find the Docker engine that a service brings along. This machine's own takes its place.
const OF_DOCKER: &[&str] = &["DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_CERTDIR", "DOCKER_TLS_VERIFY"];
/// Longest line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 8 * 1024;

/// How a job ended.
pub(super) struct JobEnded {
    pub(super) outcome: Outcome,
    /// Of the script that failed.
    pub(super) exit_code: Option<i32>,
    pub(super) handed_on: HandedOn,
}

/// A job while it runs.
struct JobRun<'j> {
    facts: &'j PipelineFacts,
    job: &'j PlannedJob,
    script: &'j Script,
    folders: Folders,
    variables: Variables,
    env: BTreeMap<String, String>,
    masks: Masks,
    leftovers: Leftovers,
    /// The line that took a role last.
    login: Option<Span>,
    bash: Option<PathBuf>,
}

/// Runs a job, again where it may be tried again.
pub(super) async fn run(
    executor: &mut Executor<'_>,
    facts: &PipelineFacts,
    job: &PlannedJob,
    name: &str,
    from: &[HandedOn],
) -> JobEnded {
    let failed = || JobEnded { outcome: Outcome::Failure, exit_code: None, handed_on: HandedOn::default() };
    let Body::Script(script) = &job.job.body else { return failed() };
    let mut attempt = 0;
    loop {
        let mut run = match prepare(executor, facts, job, script, from) {
            Ok(run) => run,
            Err(why) => {
                executor.observer.event(Event::JobSkipped { name, why: &why });
                return failed();
            }
        };
        executor.summary.jobs += usize::from(attempt == 0);
        let title = if attempt == 0 { name.to_owned() } else { format!("{name}  (attempt {})", attempt + 1) };
        executor.observer.event(Event::JobStarted(&started(executor, &run, title)));
        let (outcome, exit_code) = run.scripts(executor).await;
        let handed_on = run.hand_on(executor, outcome);
        executor.observer.event(Event::JobEnded { name, outcome });
        let again = outcome != Outcome::Success
            && attempt < job.job.retry.max
            && is_retried(&job.job.retry, exit_code);
        if !again {
            executor.stretch(name);
            return JobEnded { outcome, exit_code, handed_on };
        }
        attempt += 1;
    }
}

/// Whether a failure is one of those after which a job is tried again.
fn is_retried(retry: &Retry, exit_code: Option<i32>) -> bool {
    let by_code = exit_code.is_some_and(|code| retry.exit_codes.contains(&code));
    let reason = if exit_code.is_some() { "script_failure" } else { "job_execution_timeout" };
    let by_reason = retry.when.iter().any(|when| when == "always" || when == reason);
    by_code || by_reason || (retry.when.is_empty() && retry.exit_codes.is_empty())
}

fn prepare<'j>(
    executor: &mut Executor<'_>,
    facts: &'j PipelineFacts,
    job: &'j PlannedJob,
    script: &'j Script,
    from: &[HandedOn],
) -> Result<JobRun<'j>, String> {
    let rehearsal = executor.rehearsal;
    executor.folders += 1;
    let dir = rehearsal.dir.join(format!("job-{}", executor.folders));
    let folders = Folders::make(&dir, &facts.project, &rehearsal.landfall)
        .and_then(|folders| folders.share_cargo(&*rehearsal.user).map(|()| folders))
        .map_err(|error| format!("cannot make its folders: {error}"))?;
    let mut masks = Masks::new();
    for (_, secret) in &facts.secrets {
        masks.add(secret);
    }
    let mut env = home::environment(&*rehearsal.user, &folders, rehearsal.world.base_url());
    let path = (rehearsal.user)("PATH").unwrap_or_default();
    clients::install(&folders, &path, rehearsal.world.base_url())
        .map_err(|error| format!("cannot put the clients of registries in front: {error}"))?;
    let variables = variables(facts, job, &folders, from);
    let own = |(name, _): &&(String, String)| job.job.docker.is_none() || !OF_DOCKER.contains(&name.as_str());
    home::extend(&mut env, variables.values().iter().filter(own), &executor.at_home())?;
    for (name, value) in secrets(executor, job)? {
        masks.add(&value);
        env.insert(name, value);
    }
    let path = env.get("PATH").cloned().unwrap_or_default();
    let run = JobRun {
        facts,
        job,
        script,
        variables,
        env,
        masks,
        leftovers: Leftovers::of(format!("gitlab_{}", hex(&rehearsal.world.random::<16>()))),
        login: None,
        bash: find_program("bash", &path),
        folders,
    };
    run.check_out(executor, from)?;
    Ok(run)
}

/// All variables of a job: those of the plan, of the runner, and of dotenv files of earlier jobs, which win over those
/// of the configuration and lose against those of the project.
fn variables(facts: &PipelineFacts, job: &PlannedJob, folders: &Folders, from: &[HandedOn]) -> Variables {
    let mut variables = job.variables.clone();
    let url = &facts.server_url;
    let workspace = folders.workspace.display().to_string();
    let builds = folders.workspace.parent().unwrap_or(&folders.workspace).display().to_string();
    let own = [
        ("CI_BUILDS_DIR", builds),
        ("CI_PROJECT_DIR", workspace),
        ("CI_CONCURRENT_ID", "0".to_owned()),
        ("CI_CONCURRENT_PROJECT_ID", "0".to_owned()),
        ("CI_JOB_URL", format!("{url}/{}/-/jobs/{}", facts.project, job.id)),
        ("CI_JOB_STATUS", "running".to_owned()),
        ("CI_RUNNER_ID", "1".to_owned()),
        ("CI_RUNNER_DESCRIPTION", "landfall".to_owned()),
        ("CI_RUNNER_TAGS", "[]".to_owned()),
        ("CI_RUNNER_VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("CI_DISPOSABLE_ENVIRONMENT", "true".to_owned()),
        ("CI_SHARED_ENVIRONMENT", "true".to_owned()),
        ("GITLAB_FEATURES", String::new()),
    ];
    for (name, value) in own {
        variables.set(Variable::predefined(name, value));
    }
    if let Some(image) = &job.job.image {
        variables.set(Variable::predefined("CI_JOB_IMAGE", image.value.clone()));
    }
    if job.when == When::Manual {
        variables.set(Variable::predefined("CI_JOB_MANUAL", "true"));
    }
    for (name, value) in from.iter().flat_map(|from| &from.variables) {
        variables.set(Variable::predefined(name, value));
    }
    variables.extend(facts.said());
    variables
}

/// What a job is given that nobody may see: its tokens.
fn secrets(executor: &Executor<'_>, job: &PlannedJob) -> Result<Vec<(String, String)>, String> {
    let world = &executor.rehearsal.world;
    let seed = format!("{}{}", world.base_url(), job.id);
    let token = format!("glcbt-{}", sha256_hex(seed.as_bytes()).chars().take(40).collect::<String>());
    let mut secrets = vec![("CI_JOB_TOKEN".to_owned(), token)];
    for token in &job.id_tokens {
        let claims = token_claims(&token.facts, world.clock.now().seconds(), &world.request_id());
        let issuer = &token.facts.pipeline.server_url;
        let minted = control::mint(world, issuer, &claims, executor.rehearsal.signer)
            .map_err(|(_, why)| format!("no ID token for `{}`: {why}", token.name))?;
        secrets.push((token.name.clone(), minted));
    }
    Ok(secrets)
}

fn started(executor: &Executor<'_>, run: &JobRun<'_>, name: String) -> JobStarted {
    let job = run.job;
    let mut about = Vec::new();
    for token in &job.id_tokens {
        let audiences = token.facts.audiences.join(", ");
        about.push(format!("id_tokens {}: aud {audiences}, sub {}", token.name, token_subject(&token.facts)));
    }
    if job.id_tokens.is_empty() {
        about.push("no id_tokens".to_owned());
    }
    if let Some(image) = &job.job.image {
        let image = run.variables.replace(&image.value);
        about.push(format!("image {image}: the tools of this machine take its place"));
    }
    if let Some(docker) = &job.job.docker {
        about.push(format!("service {}: the Docker engine of this machine takes its place", docker.value));
    }
    let path = run.env.get("PATH").map_or("", String::as_str);
    let lines: Vec<Line> = run.script.before.iter().chain(&run.script.script).map(Line::of).collect();
    let missing = script::missing_programs(&lines, &|name| find_program(name, path).is_some());
    if !missing.is_empty() {
        about.push(format!("not on this machine: {}", missing.join(", ")));
    }
    JobStarted {
        name,
        file: executor.rehearsal.sources.name(job.job.name.span.source).to_string(),
        subject: job.id_tokens.first().map(|token| token_subject(&token.facts)),
        group: None,
        about,
    }
}

impl JobRun<'_> {
    /// The project's files, and what earlier jobs handed on.
    fn check_out(&self, executor: &Executor<'_>, from: &[HandedOn]) -> Result<(), String> {
        let strategy = self.variables.value("GIT_STRATEGY");
        if !matches!(strategy.as_deref(), Some("none" | "empty")) {
            snapshot::check_out(&executor.rehearsal.snapshot.dir, &self.folders.workspace)
                .map_err(|error| format!("cannot check out: {error}"))?;
        }
        for dir in from.iter().filter_map(|from| from.dir.as_ref()) {
            snapshot::check_out(dir, &self.folders.workspace)
                .map_err(|error| format!("cannot fetch artifacts: {error}"))?;
        }
        Ok(())
    }

    /// Runs both scripts. `after_script` runs whatever happened, and changes nothing.
    async fn scripts(&mut self, executor: &mut Executor<'_>) -> (Outcome, Option<i32>) {
        let seconds = self.job.job.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT);
        let lines: Vec<Line> = self.script.before.iter().chain(&self.script.script).map(Line::of).collect();
        let (outcome, code) = self.lines(executor, &lines, Duration::from_secs(seconds)).await;
        let after: Vec<Line> = self.script.after.iter().map(Line::of).collect();
        if !after.is_empty() {
            let status = if outcome == Outcome::Success { "success" } else { "failed" };
            self.env.insert("CI_JOB_STATUS".to_owned(), status.to_owned());
            self.lines(executor, &after, AFTER_LIMIT).await;
        }
        (outcome, code)
    }

    /// Runs lines in one shell.
    async fn lines(
        &mut self,
        executor: &mut Executor<'_>,
        lines: &[Line],
        limit: Duration,
    ) -> (Outcome, Option<i32>) {
        let mut telling = Telling { lines, current: None, began: Instant::now(), next: 0 };
        let (texts, refused) = home_texts(lines, &executor.at_home());
        if let Some((index, why)) = refused {
            telling.next = index;
            telling.begin(executor, self, index);
            telling.end(executor, self, Outcome::Failure, Some(why));
            telling.skip_the_rest(executor);
            return (Outcome::Failure, None);
        }
        let prepared = executor
            .introduce_registries(&self.folders.home, &self.masks)
            .and_then(|()| self.shell(executor, lines, &texts));
        let (process, answers, mark) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                telling.begin(executor, self, 0);
                telling.end(executor, self, Outcome::Failure, Some(why));
                return (Outcome::Failure, None);
            }
        };
        let process = Process { limit, ..process };
        let mut leftovers = std::mem::replace(&mut self.leftovers, Leftovers::of(String::new()));
        let ended = process::run(&process, &mut leftovers, &mut |line| {
            if let Some((before, number)) = script::marked(&line, &mark) {
                if !before.is_empty() {
                    executor
                        .observer
                        .event(Event::Output { line: &shortened(&self.masks.mask(before), SHOWN_CHARS_MAX) });
                }
                telling.end(executor, self, Outcome::Success, None);
                telling.begin(executor, self, number);
                answers.go_on();
            } else {
                executor
                    .observer
                    .event(Event::Output { line: &shortened(&self.masks.mask(&line), SHOWN_CHARS_MAX) });
            }
        })
        .await;
        self.leftovers = leftovers;
        let (outcome, error, code) = match ended {
            Ended::Code(0) => (Outcome::Success, None, Some(0)),
            Ended::Code(code) => {
                (Outcome::Failure, Some(format!("Job failed: exit code {code}")), Some(code))
            }
            Ended::TimedOut => {
                let seconds = limit.as_secs();
                let why = format!("Job failed: execution took longer than {seconds} s");
                (Outcome::Failure, Some(why), None)
            }
            Ended::NotStarted(why) => (Outcome::Failure, Some(format!("cannot start: {why}")), None),
        };
        telling.end(executor, self, outcome, error);
        telling.skip_the_rest(executor);
        (outcome, code)
    }

    /// The shell with the lines, its pipe, and the word of its marks.
    fn shell(
        &self,
        executor: &Executor<'_>,
        lines: &[Line],
        texts: &[String],
    ) -> Result<(Process, Answers, String), String> {
        let word = hex(&executor.rehearsal.world.random::<12>());
        let answers = Answers::make(self.folders.commands.join(format!("answers-{word}")))
            .map_err(|error| format!("cannot make the shell's pipe: {error}"))?;
        let text = script::assemble(lines, texts, &word, answers.path(), self.bash.is_some());
        let file = self.folders.commands.join(format!("script-{word}.sh"));
        std::fs::write(&file, text).map_err(|error| format!("cannot write the script: {error}"))?;
        let program = self.bash.clone().unwrap_or_else(|| PathBuf::from("/bin/sh"));
        let process = Process {
            program,
            args: vec![file.display().to_string()],
            env: self.env.clone(),
            dir: self.folders.workspace.clone(),
            limit: Duration::ZERO,
        };
        Ok((process, answers, word))
    }

    /// What the job leaves for later ones.
    fn hand_on(&self, executor: &mut Executor<'_>, outcome: Outcome) -> HandedOn {
        let artifacts = &self.job.job.artifacts;
        let is_due = match artifacts.when.unwrap_or(When::OnSuccess) {
            When::Always => true,
            When::OnFailure => outcome != Outcome::Success,
            _ => outcome == Outcome::Success,
        };
        if !is_due {
            return HandedOn::default();
        }
        let to = executor.rehearsal.dir.join(format!("artifacts-{}", executor.folders));
        match artifacts::collect(artifacts, &self.variables, &self.folders.workspace, &to) {
            Ok((handed_on, said)) => {
                for line in said {
                    executor.observer.event(Event::Output { line: &line });
                }
                handed_on
            }
            Err(line) => {
                executor.observer.event(Event::Output { line: &line });
                HandedOn::default()
            }
        }
    }

    /// Remembers the line that took a role.
    fn note_login(&mut self, decisions: &[Arc<Record>], line: Span) {
        let took = |record: &Arc<Record>| {
            record.verdict == Verdict::Allowed && record.operation.starts_with("AssumeRole")
        };
        if decisions.iter().any(took) {
            self.login = Some(line);
        }
    }
}

/// Each line with registries of ECR at home, or the line that would reach the real AWS.
fn home_texts(lines: &[Line], at_home: &Home<'_>) -> (Vec<String>, Option<(usize, String)>) {
    let mut texts = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match home::bring_home(&line.text, at_home) {
            Ok(text) => texts.push(text),
            Err(host) => {
                let why = format!("the script would reach {host}: a rehearsal never talks to the real AWS");
                return (texts, Some((index, why)));
            }
        }
    }
    (texts, None)
}

/// Where what a line deployed comes from: the task definitions that the script speaks of.
fn origin<'a>(executor: &'a Executor<'_>, lines: &[Line], line: &Line) -> Origin<'a> {
    let rehearsal = executor.rehearsal;
    let words = lines.iter().flat_map(|line| line.text.split_whitespace());
    Origin {
        world: &rehearsal.world,
        infra: &rehearsal.infra,
        step: Some(line.span),
        definitions: deployed::definitions(&rehearsal.sources, &rehearsal.repository, words),
        images: Vec::new(),
        waits: None,
        ungrouped: None,
        wait_max: None,
    }
}

/// Lines as they are told: each is a step.
struct Telling<'l> {
    lines: &'l [Line],
    current: Option<usize>,
    began: Instant,
    /// The first line that was not reached.
    next: usize,
}

impl Telling<'_> {
    fn begin(&mut self, executor: &mut Executor<'_>, run: &JobRun<'_>, number: usize) {
        let Some(line) = self.lines.get(number) else { return };
        self.current = Some(number);
        self.next = number + 1;
        self.began = Instant::now();
        executor.observer.event(Event::StepStarted { name: &run.masks.mask(&line.title) });
    }

    fn end(
        &mut self,
        executor: &mut Executor<'_>,
        run: &mut JobRun<'_>,
        outcome: Outcome,
        error: Option<String>,
    ) {
        let Some(line) = self.current.take().and_then(|number| self.lines.get(number)) else { return };
        let decisions = executor.decisions();
        let asked =
            Asked { facts: run.facts, job: run.job, line: line.span, text: &line.text, login: run.login };
        let failed = outcome == Outcome::Failure;
        let is_about_calls = failed || decisions.iter().any(|record| record.finding.is_some());
        let findings = match is_about_calls {
            true => teach::findings(asked, &origin(executor, self.lines, line), &decisions, failed),
            false => Vec::new(),
        };
        run.note_login(&decisions, line.span);
        let name = run.masks.mask(&line.title);
        let took = self.began.elapsed();
        let ended = StepEnded { name, outcome, error, took, summary: String::new(), decisions, findings };
        executor.summary.steps += 1;
        executor.observer.event(Event::StepEnded(&ended));
        executor.stretch(&line.title);
    }

    fn skip_the_rest(&self, executor: &mut Executor<'_>) {
        for line in self.lines.iter().skip(self.next) {
            let ended = StepEnded {
                name: line.title.clone(),
                outcome: Outcome::Skipped,
                error: None,
                took: Duration::ZERO,
                summary: String::new(),
                decisions: Vec::new(),
                findings: Vec::new(),
            };
            executor.observer.event(Event::StepEnded(&ended));
        }
    }
}
