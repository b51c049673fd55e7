//! A pipeline's jobs in their order: which run, which wait for nobody any more, what they hand on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use landfall_check::github::masks::Masks;
use landfall_check::gitlab::{
    self, AllowFailure, Body, Config, Library as _, PipelineFacts, Plan, PlannedJob, Project, When,
};
use landfall_serve::apart::Apart;
use landfall_serve::log::Record;
use landfall_types::{Finding, Span};

use super::Rehearsal;
use super::artifacts::HandedOn;
use super::job;
use super::library::{Folders, paths};
use crate::event::{Event, Observer, Outcome, Summary};
use crate::home;
use crate::run::{count, images};
use crate::services;

/// Pipelines inside of each other, GitLab's own limit.
const LEVELS_MAX: usize = 2;

/// Runs pipelines and keeps count.
pub(super) struct Executor<'a> {
    pub(super) rehearsal: &'a Rehearsal,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) summary: Summary,
    seen: u64,
    /// Folders that jobs were given.
    pub(super) folders: usize,
    /// The registries whose addresses a job was told.
    told: usize,
    /// Entries of [`Rehearsal::stretch`] that a line was found for.
    stretched: BTreeSet<usize>,
}

/// How a job stands for those after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Success,
    /// It failed, and that is the pipeline's failure.
    Failed,
    /// It failed, and was allowed to.
    Forgiven,
    Skipped,
    /// Nobody started it, and nobody has to.
    LeftAlone,
    /// Nobody started it, and all after it waits.
    Blocking,
}

/// A pipeline on its way.
struct Run<'p> {
    plan: &'p Plan,
    facts: &'p PipelineFacts,
    /// What stands before the names of its jobs: of child pipelines `parent / `.
    display: String,
    statuses: BTreeMap<String, Status>,
    handed_on: BTreeMap<String, HandedOn>,
    chosen: Option<BTreeSet<String>>,
}

pub(super) async fn run(rehearsal: &Rehearsal, observer: &mut dyn Observer) -> Summary {
    let started = Instant::now();
    observer.event(Event::Ready(&rehearsal.ready));
    let _apart = Apart::keep(&rehearsal.world);
    let mut executor = Executor {
        rehearsal,
        observer,
        summary: Summary { success: true, ..Summary::default() },
        seen: rehearsal.world.log.last(),
        folders: 0,
        told: 0,
        stretched: BTreeSet::new(),
    };
    let before = services::before(&rehearsal.world);
    executor.pipeline(&rehearsal.config, &rehearsal.facts, String::new(), 0).await;
    executor.tell_unused();
    let Executor { mut summary, .. } = executor;
    // Where nothing ran, nothing was shown to work.
    summary.success &= summary.jobs > 0;
    summary.images = images(&rehearsal.world);
    let was_well = summary.success;
    services::add(&rehearsal.world, &before, rehearsal.deployment_wait, &mut summary).await;
    if was_well && !summary.success {
        // No line has told it.
        let most = rehearsal.deployment_wait;
        for finding in services::untold(&rehearsal.world, &rehearsal.infra, &before, most) {
            observer.event(Event::Remark { finding: &finding });
        }
    }
    summary.took = started.elapsed();
    observer.event(Event::Ended(&summary));
    summary
}

impl Executor<'_> {
    /// Runs a pipeline; tells whether it ended well.
    async fn pipeline(
        &mut self,
        config: &Config,
        facts: &PipelineFacts,
        display: String,
        level: usize,
    ) -> bool {
        let file = self.rehearsal.file.clone();
        let plan = match gitlab::plan(config, facts, &paths(&self.rehearsal.repository)) {
            Ok(plan) => plan,
            Err(findings) => {
                self.not_made(&file, &findings);
                return false;
            }
        };
        let wanted = self.rehearsal.only_job.as_deref().filter(|_| level == 0);
        if let Some(finding) = wanted.and_then(|wanted| unknown_job(&plan, wanted)) {
            self.summary.unreadable = true;
            self.not_made(&file, &[finding]);
            return false;
        }
        let chosen = wanted.map(|wanted| chosen(&plan, wanted));
        let is_chosen = |job: &&PlannedJob| chosen.as_ref().is_none_or(|chosen| chosen.contains(&job.name));
        let unready = not_rehearsed(plan.jobs.iter().filter(is_chosen), level);
        if !unready.is_empty() {
            self.not_made(&file, &unready);
            return false;
        }
        if level == 0 {
            let name = plan.name.clone().unwrap_or_else(|| "Pipeline".to_owned());
            self.observer.event(Event::RunStarted { workflow: &name, file: &file, group: None });
        }
        for out in &plan.left_out {
            let name = format!("{display}{}", out.name);
            self.observer.event(Event::JobSkipped { name: &name, why: &out.why });
        }
        let mut run = Run {
            plan: &plan,
            facts,
            display,
            statuses: BTreeMap::new(),
            handed_on: BTreeMap::new(),
            chosen,
        };
        for job in &plan.jobs {
            let status = self.job(&mut run, job, level).await;
            run.statuses.insert(job.name.clone(), status);
        }
        let success = !run.statuses.values().any(|status| *status == Status::Failed);
        self.summary.success &= success;
        success
    }

    fn not_made(&mut self, file: &str, findings: &[Finding]) {
        self.summary.success = false;
        match findings {
            [finding] if finding.rule == "gitlab-no-pipeline" => {
                self.observer.event(Event::NotTriggered { file, finding, alone: true });
            }
            _ => self.observer.event(Event::RunRefused { file, findings }),
        }
    }

    async fn job(&mut self, run: &mut Run<'_>, job: &PlannedJob, level: usize) -> Status {
        let name = format!("{}{}", run.display, job.name);
        let asked_for = match &run.chosen {
            None => None,
            Some(chosen) if chosen.contains(&job.name) => Some(true),
            Some(_) => Some(false),
        };
        let why_not = match (asked_for, run.why_not(job)) {
            (Some(false), _) => Some(("not asked for".to_owned(), Status::LeftAlone)),
            (_, Some(why)) => Some(why),
            (None, None) if job.when == When::Manual && !self.rehearsal.manual => {
                let why = "it is started by hand: --manual, or --job with its name, starts it".to_owned();
                let is_optional = job.allow_failure == AllowFailure::Yes;
                Some((why, if is_optional { Status::LeftAlone } else { Status::Blocking }))
            }
            _ => None,
        };
        if let Some((why, status)) = why_not {
            self.observer.event(Event::JobSkipped { name: &name, why: &why });
            return status;
        }
        if let Body::Child(files) = &job.job.body {
            let files: Vec<(String, Span)> =
                files.iter().map(|file| (file.value.clone(), file.span)).collect();
            let ended_well = Box::pin(self.child(run.facts, job, &files, &name, level)).await;
            return if ended_well { Status::Success } else { failure(job, None) };
        }
        let from = run.handed_on_to(job);
        let ended = job::run(self, run.facts, job, &name, &from).await;
        run.handed_on.insert(job.name.clone(), ended.handed_on);
        match ended.outcome {
            Outcome::Success => Status::Success,
            _ => failure(job, ended.exit_code),
        }
    }

    /// Runs the pipeline that a job starts from files of this project.
    async fn child(
        &mut self,
        facts: &PipelineFacts,
        job: &PlannedJob,
        files: &[(String, Span)],
        name: &str,
        level: usize,
    ) -> bool {
        let rehearsal = self.rehearsal;
        let yaml: Vec<(String, String)> = job
            .variables
            .iter()
            .filter(|variable| variable.span.is_some())
            .map(|variable| (variable.name.clone(), job.variables.value(&variable.name).unwrap_or_default()))
            .collect();
        let facts = PipelineFacts {
            source: "parent_pipeline".to_owned(),
            pipeline_id: facts.pipeline_id + 1 + level as u64,
            variables: yaml,
            ..facts.clone()
        };
        let mut library = Folders {
            sources: &rehearsal.sources,
            repository: &rehearsal.repository,
            remotes: &rehearsal.remotes,
        };
        // Several files are one configuration that includes them.
        let list: String =
            files.iter().map(|(path, _)| format!("- local: '{}'\n", path.replace('\'', "''"))).collect();
        let text = format!("include:\n{list}");
        let source = rehearsal.sources.add(format!("{name} (trigger)"), text.as_str());
        let missing = files.iter().find_map(|(path, span)| {
            let missing = library.read(&Project::Own, path.trim_start_matches('/')).err()?;
            let message = format!("the child pipeline's file `{path}` can't be read: {missing:?}");
            Some(Finding::error("gitlab-include", message).at(*span, "started from here"))
        });
        let loaded = match missing {
            Some(finding) => Err(vec![finding]),
            None => gitlab::load(&gitlab::File::parse(source, &text), &[], &facts, &mut library),
        };
        match loaded {
            Ok(config) => Box::pin(self.pipeline(&config, &facts, format!("{name} / "), level + 1)).await,
            Err(findings) => {
                self.not_made(&rehearsal.file.clone(), &findings);
                false
            }
        }
    }

    /// The decisions that fell since this was last asked, counted.
    pub(super) fn decisions(&mut self) -> Vec<std::sync::Arc<Record>> {
        let records = self.rehearsal.world.log.after(self.seen);
        self.seen = records.last().map_or(self.seen, |record| record.sequence);
        count(&records, &mut self.summary);
        records
    }

    /// Lets the tools of a job talk to the local registries, and tells the addresses that nobody was told yet.
    ///
    /// # Errors
    /// When a file of theirs can't be written.
    pub(super) fn introduce_registries(&mut self, home: &Path, masks: &Masks) -> Result<(), String> {
        let all = self.rehearsal.world.registries.all();
        for line in home::introduce(home, &all, &mut self.told)? {
            self.observer.event(Event::Output { line: &masks.mask(&line) });
        }
        Ok(())
    }

    /// Where registries of ECR are on this machine.
    pub(super) fn at_home(&self) -> impl Fn(&str) -> Option<String> + '_ {
        |host| self.rehearsal.world.registries.at_home(host)
    }

    /// Lets the AWS side's time go on as if a line, or a job, had taken that long.
    pub(super) fn stretch(&mut self, name: &str) {
        for (index, (wanted, seconds)) in self.rehearsal.stretch.iter().enumerate() {
            if name.starts_with(wanted.as_str()) {
                self.rehearsal.world.clock.advance(*seconds);
                self.stretched.insert(index);
            }
        }
    }

    /// A stretch without its line has shown nothing.
    fn tell_unused(&mut self) {
        for (index, (wanted, _)) in self.rehearsal.stretch.iter().enumerate() {
            if !self.stretched.contains(&index) {
                self.summary.success = false;
                let finding =
                    Finding::error("unknown-step", format!("no line that begins with `{wanted}` ran"))
                        .help("--stretch takes the beginning of a script's line, as the jobs above have it");
                self.observer.event(Event::Remark { finding: &finding });
            }
        }
    }
}

fn failure(job: &PlannedJob, exit_code: Option<i32>) -> Status {
    let is_forgiven = match &job.allow_failure {
        AllowFailure::Yes => true,
        AllowFailure::No => false,
        AllowFailure::Codes(codes) => exit_code.is_some_and(|code| codes.contains(&code)),
    };
    if is_forgiven { Status::Forgiven } else { Status::Failed }
}

impl Run<'_> {
    /// The jobs that have to end before a job: those that it needs, else all of earlier stages.
    fn before<'r>(&'r self, job: &'r PlannedJob) -> impl Iterator<Item = &'r PlannedJob> {
        self.plan.jobs.iter().filter(move |other| is_before(other, job))
    }

    /// Why a job does not run by what came before it.
    fn why_not(&self, job: &PlannedJob) -> Option<(String, Status)> {
        let statuses: Vec<(&str, Status)> = self
            .before(job)
            .filter_map(|other| Some((other.name.as_str(), *self.statuses.get(&other.name)?)))
            .collect();
        let first = |wanted: &[Status]| {
            statuses.iter().find(|(_, status)| wanted.contains(status)).map(|(name, _)| *name)
        };
        if let Some(name) = first(&[Status::Blocking]) {
            return Some((format!("it waits for `{name}`, which is started by hand"), Status::Skipped));
        }
        let failed = first(&[Status::Failed]);
        match job.when {
            When::Always => None,
            When::OnFailure if failed.is_some() => None,
            When::OnFailure => Some(("nothing before it failed".to_owned(), Status::Skipped)),
            _ => {
                if let Some(name) = failed {
                    return Some((format!("`{name}` failed"), Status::Skipped));
                }
                // By stages a job that was left out is no matter; who needs it goes without.
                let skipped = first(&[Status::Skipped]).filter(|_| job.needs.is_some());
                skipped.map(|name| (format!("`{name}` did not run"), Status::Skipped))
            }
        }
    }

    /// What a job is given: by its needs, else of all jobs of earlier stages, and of them those that it depends on.
    fn handed_on_to(&self, job: &PlannedJob) -> Vec<HandedOn> {
        let wants = |other: &&PlannedJob| {
            let needed = job
                .needs
                .as_ref()
                .is_none_or(|needs| needs.iter().any(|need| need.job == other.name && need.artifacts));
            let depended = job.job.dependencies.as_ref().is_none_or(|names| {
                names.iter().any(|name| name.value == other.job.name.value || name.value == other.name)
            });
            needed && depended
        };
        self.before(job).filter(wants).filter_map(|other| self.handed_on.get(&other.name).cloned()).collect()
    }
}

fn is_before(other: &PlannedJob, job: &PlannedJob) -> bool {
    match &job.needs {
        Some(needs) => needs.iter().any(|need| need.job == other.name),
        None => other.stage_index < job.stage_index,
    }
}

fn is_named(job: &PlannedJob, wanted: &str) -> bool {
    job.name == wanted || job.job.name.value == wanted
}

fn unknown_job(plan: &Plan, wanted: &str) -> Option<Finding> {
    if plan.jobs.iter().any(|job| is_named(job, wanted)) {
        return None;
    }
    let names: Vec<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    let finding = Finding::error("unknown-job", format!("there is no job `{wanted}` in this pipeline"))
        .help(format!("its jobs are: {}", names.join(", ")));
    let out = plan.left_out.iter().find(|out| out.name == wanted);
    Some(match out {
        Some(out) => finding.at(out.span, out.why.clone()),
        None => finding,
    })
}

/// A job and all that it waits for.
fn chosen(plan: &Plan, wanted: &str) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    let mut open: Vec<&PlannedJob> = plan.jobs.iter().filter(|job| is_named(job, wanted)).collect();
    while let Some(job) = open.pop() {
        if chosen.insert(job.name.clone()) {
            open.extend(plan.jobs.iter().filter(|other| is_before(other, job)));
        }
    }
    chosen
}

/// What jobs ask for that a rehearsal does not do. One that leaves something out would prove nothing.
fn not_rehearsed<'j>(jobs: impl Iterator<Item = &'j PlannedJob>, level: usize) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut say = |message: String, span: Span| {
        let finding = Finding::error("not-rehearsed", message)
            .at(span, "asked for here")
            .help("leave this job out with --job, or rehearse a pipeline without it");
        let place = |finding: &Finding| finding.labels.first().map(|label| label.span);
        if !findings.iter().any(|known| place(known) == Some(span)) {
            findings.push(finding);
        }
    };
    for job in jobs {
        for what in &job.job.unmodelled {
            say(format!("`{}` is not rehearsed", what.value), what.span);
        }
        match &job.job.body {
            Body::Elsewhere(why) => {
                say(format!("the job `{}` is not rehearsed: {}", job.name, why.value), why.span)
            }
            Body::Child(_) if level >= LEVELS_MAX => {
                say(format!("child pipelines may nest {LEVELS_MAX} levels deep"), job.job.name.span);
            }
            _ => {}
        }
        for need in job.job.needs.iter().flatten() {
            if let Some(why) = need.elsewhere {
                say(format!("a job that `{}` needs is not rehearsed: {why}", job.name), need.job.span);
            }
        }
    }
    findings
}
