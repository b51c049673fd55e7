//! Watching services until each has an end: what happens is told as it comes, and an end is a verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::cause::{self, Cause};
use super::definition::short;
use super::ecs;
use super::logs::{self, Tail};
use super::roll::Begun;
use super::story::{Standing, Story};
use super::verdict::{Verdict, judge};
use super::view::{Service, Task};
use crate::aws::CallError;
use crate::aws_json::Caller;
use crate::failure::{Failure, FailureKind};

/// What is told while services are watched.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// Other counts than before.
    Counts {
        /// The service.
        service: String,
        /// Tasks of the deployment that run.
        running: u32,
        /// Tasks of it on their way.
        pending: u32,
        /// Tasks that it is to have.
        desired: u32,
        /// Tasks of it that failed so far.
        failed: u32,
        /// Tasks of other deployments that still run.
        older: u32,
    },
    /// ECS's sentence.
    Event {
        /// The service.
        service: String,
        /// The sentence, without the service's name in front.
        message: String,
    },
    /// The deployment stands at another stage, or traffic has moved.
    Stage {
        /// The service.
        service: String,
        /// Where it stands.
        standing: Standing,
    },
    /// A hook of the deployment waits for a person.
    Awaited {
        /// The service.
        service: String,
        /// The deployment's ARN, for the answer.
        deployment: String,
        /// The hook's id, for the answer.
        hook: String,
    },
    /// A task of the deployment stopped by itself.
    TaskStopped {
        /// The service.
        service: String,
        /// The task's id.
        task: String,
        /// Why.
        reason: String,
    },
    /// Something about the watching itself.
    Note {
        /// One line.
        text: String,
    },
}

/// How it ended for one service.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// What ECS made of it.
    Verdict(Verdict),
    /// Nothing final within the time.
    Timeout,
    /// The user or the CI system stopped the watching.
    Interrupted,
    /// It couldn't be watched to its end.
    Lost(Failure),
    /// The service couldn't be updated.
    NotUpdated(Failure),
    /// Nobody asked to wait.
    NotWaited,
}

impl End {
    /// Whether all is as it was asked for.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Verdict(Verdict::Stable { .. }) | Self::NotWaited)
    }
}

/// The whole story of one service.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The service.
    pub service: String,
    /// The ARN of the task definition that was to run.
    pub definition_arn: String,
    /// The ARN of what ran before.
    pub before: Option<String>,
    /// The deployment's id.
    pub deployment: String,
    /// Whether `UpdateService` was called.
    pub is_updated: bool,
    /// How it ended.
    pub end: End,
    /// How long it was watched.
    pub took: Duration,
    /// The last look at it.
    pub last: Service,
    /// The deployment's story, where it was looked at.
    pub story: Option<Story>,
    /// Why tasks stopped.
    pub causes: Vec<Cause>,
    /// The last lines of the container that the first cause is about.
    pub tail: Option<(String, Tail)>,
    /// ECS's last sentences that say that something is wrong.
    pub complaints: Vec<String>,
}

/// How to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long at most.
    pub timeout: Duration,
    /// The longest pause between two looks.
    pub pause_max: Duration,
}

struct Watched<'b> {
    begun: &'b Begun,
    events: BTreeSet<String>,
    counts: Option<[u32; 5]>,
    failed_told: u32,
    tasks_told: BTreeSet<String>,
    tasks: Vec<Task>,
    complaints: Vec<String>,
    last: Service,
    story: Option<Story>,
    standing: Option<Standing>,
    hook_told: Option<String>,
    end: Option<(End, Duration)>,
}

/// Watches services of one cluster until each has an end.
pub async fn all(
    caller: &Caller,
    cluster: &str,
    begun: &[Begun],
    patience: Patience,
    tell: &mut dyn FnMut(Told),
) -> Vec<Outcome> {
    let mut watch = Watch {
        caller,
        cluster,
        began: Instant::now(),
        changed: Instant::now(),
        lost_since: None,
        may_list_tasks: true,
        may_read_stories: true,
        tell,
    };
    let mut watched: Vec<Watched<'_>> = begun.iter().map(Watched::new).collect();
    let mut signals = Interrupt::new();
    loop {
        watch.look(&mut watched).await;
        if watched.iter().all(|one| one.end.is_some()) {
            break;
        }
        let elapsed = watch.began.elapsed();
        if elapsed >= patience.timeout {
            finish(&mut watched, elapsed, || End::Timeout);
            break;
        }
        let pause = pause(watch.changed.elapsed()).min(patience.pause_max).min(patience.timeout - elapsed);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = signals.next() => {
                finish(&mut watched, watch.began.elapsed(), || End::Interrupted);
                break;
            }
        }
    }
    let mut outcomes = Vec::new();
    for one in watched {
        outcomes.push(watch.explain(one).await);
    }
    outcomes
}

fn finish(watched: &mut [Watched<'_>], elapsed: Duration, end: impl Fn() -> End) {
    for one in watched.iter_mut().filter(|one| one.end.is_none()) {
        one.end = Some((end(), elapsed));
    }
}

/// The pause before the next look: short while something happens, longer when nothing does. Ten services are
/// one call, so even the shortest is a twentieth of what ECS allows an account.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
pub fn pause(since_change: Duration) -> Duration {
    match since_change.as_secs() {
        0..15 => Duration::from_secs(1),
        15..60 => Duration::from_secs(2),
        60..300 => Duration::from_secs(5),
        _ => Duration::from_secs(10),
    }
}

impl<'b> Watched<'b> {
    fn new(begun: &'b Begun) -> Self {
        Self {
            begun,
            events: begun.known_events.iter().cloned().collect(),
            counts: None,
            failed_told: 0,
            tasks_told: BTreeSet::new(),
            tasks: Vec::new(),
            complaints: Vec::new(),
            // Where no look ever succeeds, this is what there is to go back with.
            last: Service {
                service_name: begun.service.clone(),
                task_definition: begun.definition_arn.clone(),
                ..Service::default()
            },
            story: None,
            standing: None,
            hook_told: None,
            end: None,
        }
    }
}

struct Watch<'w> {
    caller: &'w Caller,
    cluster: &'w str,
    began: Instant,
    changed: Instant,
    lost_since: Option<Instant>,
    may_list_tasks: bool,
    may_read_stories: bool,
    tell: &'w mut dyn FnMut(Told),
}

impl Watch<'_> {
    /// One look at all services that have no end yet.
    async fn look(&mut self, watched: &mut [Watched<'_>]) {
        let open: Vec<String> =
            watched.iter().filter(|one| one.end.is_none()).map(|one| one.begun.service.clone()).collect();
        let seen = match ecs::describe_services(self.caller, self.cluster, &open).await {
            Ok((seen, _)) => seen,
            Err(error) => return self.lost(&error, watched),
        };
        self.lost_since = None;
        let stories = self.stories(&seen, watched).await;
        for one in watched.iter_mut().filter(|one| one.end.is_none()) {
            let Some(service) = seen.iter().find(|service| service.service_name == one.begun.service) else {
                let gone = Verdict::Deleted { status: "MISSING".to_owned() };
                one.end = Some((End::Verdict(gone), self.began.elapsed()));
                continue;
            };
            one.last = service.clone();
            if let Some(story) = stories.iter().find(|story| story.deployment_id() == one.begun.wanted.id) {
                one.story = Some(story.clone());
            }
            self.tell_stage(one);
            self.tell_counts(one);
            self.tell_events(one);
            self.tell_tasks(one).await;
            let elapsed = self.began.elapsed();
            let since = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            match judge(&one.begun.wanted, service, one.story.as_ref(), since) {
                Verdict::Waiting | Verdict::RolledBack { is_over: false, .. } => {}
                verdict => one.end = Some((End::Verdict(verdict), elapsed)),
            }
        }
    }

    /// ECS could not be asked: for a while that is only told.
    fn lost(&mut self, error: &CallError, watched: &mut [Watched<'_>]) {
        let now = Instant::now();
        let is_first = self.lost_since.is_none();
        let since = *self.lost_since.get_or_insert(now);
        let is_refused = matches!(error, CallError::Refused(_) | CallError::NotSent { .. });
        if !is_refused && now.duration_since(since) < LOST_SECONDS_MAX {
            if is_first {
                (self.tell)(Told::Note { text: format!("ECS can't be asked just now: {error}") });
            }
            return;
        }
        let mut failure = Failure::new(
            if is_refused { FailureKind::Refused } else { FailureKind::Outside },
            format!("the deployment goes on, but can't be watched any more: {error}"),
        );
        if let Some(answer) = error.answer() {
            failure = failure.answered(answer);
            if answer.code.starts_with("ExpiredToken") {
                failure = failure.help(
                    "the session ended: a longer one (--role-duration-seconds), or `landfall exec`, which renews it",
                );
            }
        }
        finish(watched, self.began.elapsed(), || End::Lost(failure.clone()));
    }

    /// The stories of the deployments that are watched, where the services' rules make it worth a call.
    async fn stories(&mut self, seen: &[Service], watched: &[Watched<'_>]) -> Vec<Story> {
        let arns: Vec<String> = watched
            .iter()
            .filter(|one| one.end.is_none())
            .filter_map(|one| {
                // Once it was seen to be ours: the service goes on to name the latest one.
                let known = one.story.as_ref().map(|story| story.service_deployment_arn.clone());
                let service = seen.iter().find(|service| service.service_name == one.begun.service)?;
                let current = || service.current_service_deployment.clone();
                known.or_else(current).filter(|_| service.deployment_configuration.has_stages())
            })
            .collect();
        if arns.is_empty() || !self.may_read_stories {
            return Vec::new();
        }
        match ecs::describe_stories(&self.caller.optional(), &arns).await {
            Ok(stories) => stories,
            Err(error) => {
                if error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied")) {
                    self.may_read_stories = false;
                    let text = "the deployment's stages can't be told: ecs:DescribeServiceDeployments is not allowed here";
                    (self.tell)(Told::Note { text: text.to_owned() });
                }
                Vec::new()
            }
        }
    }

    fn tell_stage(&mut self, one: &mut Watched<'_>) {
        let Some(story) = &one.story else { return };
        let service = &one.begun.service;
        if let Some(standing) = story.standing()
            && one.standing.as_ref() != Some(&standing)
        {
            self.changed = Instant::now();
            one.standing = Some(standing.clone());
            (self.tell)(Told::Stage { service: service.clone(), standing });
        }
        let awaited = story.awaited().map(|hook| hook.hook_id.clone());
        if let Some(hook) = awaited.filter(|hook| one.hook_told.as_ref() != Some(hook)) {
            one.hook_told = Some(hook.clone());
            let deployment = story.service_deployment_arn.clone();
            (self.tell)(Told::Awaited { service: service.clone(), deployment, hook });
        }
    }

    fn tell_counts(&mut self, one: &mut Watched<'_>) {
        let Some(ours) = one.last.deployment(&one.begun.wanted.id) else { return };
        let older = one.last.running_count.saturating_sub(ours.running_count);
        let counts = [ours.running_count, ours.pending_count, ours.desired_count, ours.failed_tasks, older];
        if one.counts == Some(counts) {
            return;
        }
        one.counts = Some(counts);
        self.changed = Instant::now();
        let [running, pending, desired, failed, older] = counts;
        let service = one.begun.service.clone();
        (self.tell)(Told::Counts { service, running, pending, desired, failed, older });
    }

    fn tell_events(&mut self, one: &mut Watched<'_>) {
        let prefix = format!("(service {}) ", one.begun.service);
        for event in one.last.events.iter().rev() {
            if !one.events.insert(event.id.clone()) {
                continue;
            }
            self.changed = Instant::now();
            let message = event.message.strip_prefix(&prefix).unwrap_or(&event.message).to_owned();
            if is_complaint(&message) && !one.complaints.contains(&message) {
                one.complaints.push(message.clone());
            }
            (self.tell)(Told::Event { service: one.begun.service.clone(), message });
        }
    }

    /// Tasks that failed since the last look, with their reasons.
    async fn tell_tasks(&mut self, one: &mut Watched<'_>) {
        let failed = one.last.deployment(&one.begun.wanted.id).map_or(0, |ours| ours.failed_tasks);
        if failed <= one.failed_told {
            return;
        }
        one.failed_told = failed;
        self.fetch_tasks(one).await;
    }

    async fn fetch_tasks(&mut self, one: &mut Watched<'_>) {
        if !self.may_list_tasks {
            return;
        }
        let tasks = match ecs::stopped_tasks(&self.caller.optional(), self.cluster, &one.begun.service).await
        {
            Ok(tasks) => tasks,
            Err(error) => {
                if error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied")) {
                    self.may_list_tasks = false;
                    let text = "why tasks stop can't be told: ecs:ListTasks and ecs:DescribeTasks are not allowed here";
                    (self.tell)(Told::Note { text: text.to_owned() });
                }
                return;
            }
        };
        for task in tasks {
            let is_ours = task.started_by == one.begun.wanted.id;
            if !is_ours || !task.is_stopped() || is_wanted_stop(&task) {
                continue;
            }
            if one.tasks_told.insert(task.task_arn.clone()) {
                let (reason, _) = cause::reason(&task);
                let (service, id) = (one.begun.service.clone(), task.id().to_owned());
                (self.tell)(Told::TaskStopped { service, task: id, reason });
                one.tasks.push(task);
            }
        }
    }

    /// Puts together all that is known about how it ended.
    async fn explain(&mut self, mut one: Watched<'_>) -> Outcome {
        let (end, took) = one.end.take().unwrap_or((End::Interrupted, self.began.elapsed()));
        let (mut causes, mut tail) = (Vec::new(), None);
        let is_about_tasks = match &end {
            End::Verdict(verdict) => matches!(
                verdict,
                Verdict::Failed { .. }
                    | Verdict::RolledBack { .. }
                    | Verdict::Failing { .. }
                    | Verdict::Gone { .. }
            ),
            End::Timeout => true,
            _ => false,
        };
        if is_about_tasks {
            self.fetch_tasks(&mut one).await;
            causes = cause::of(&one.tasks);
            if let Some(first) = causes.first()
                && let Some(container) = &first.container
                && first.task.containers.iter().any(|one| one.exit_code.is_some())
            {
                let lines = logs::tail(self.caller, &one.begun.definition, container, first.task.id()).await;
                tail = Some((container.clone(), lines));
            }
        }
        Outcome {
            service: one.begun.service.clone(),
            definition_arn: one.begun.definition_arn.clone(),
            before: one.begun.before.clone(),
            deployment: one.begun.wanted.id.clone(),
            is_updated: one.begun.is_updated,
            end,
            took,
            last: one.last,
            story: one.story,
            causes,
            tail,
            complaints: one.complaints,
        }
    }
}

/// ECS stopped it because it was not needed any more: no failure.
pub(super) fn is_wanted_stop(task: &Task) -> bool {
    let is_scheduler = task.stop_code.as_deref() == Some("ServiceSchedulerInitiated");
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    is_scheduler && reason.starts_with("Scaling activity initiated by")
}

fn is_complaint(message: &str) -> bool {
    ["unable to", "unhealthy", "failed", "rolling back", "is not valid", "quota"]
        .iter()
        .any(|word| message.contains(word))
}

/// Ctrl-C, and what a CI system sends when a job is cancelled.
pub(super) struct Interrupt {
    signals: Option<(Signal, Signal)>,
}

impl Interrupt {
    /// Listens. Where that isn't possible the process simply ends, as it would without us.
    pub(super) fn new() -> Self {
        let both = signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok());
        Self { signals: both }
    }

    /// Waits for one of them.
    pub(super) async fn next(&mut self) {
        match &mut self.signals {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// `family:revision` of an outcome's task definition.
pub fn definition_name(outcome: &Outcome) -> &str {
    short(&outcome.definition_arn)
}

/// How long ECS may be out of reach before the watching ends.
const LOST_SECONDS_MAX: Duration = Duration::from_secs(120);
