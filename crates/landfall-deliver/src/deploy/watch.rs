//! Watching services until each has an end: what happens is told as it comes, and an end is a verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::cause::{self, Cause};
use super::definition::short;
use super::ecs;
use super::interrupt::Interrupt;
use super::logs::{self, Tail};
use super::roll::{self, Begun};
use super::rollback::{self, Way};
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
    /// The deployment failed, and the service is brought back.
    GoingBack {
        /// The service.
        service: String,
        /// The ARN of the task definition that it goes back to.
        to: String,
        /// How that was found.
        how: String,
        /// Its containers' images, where they can be read.
        images: Vec<(String, String)>,
    },
    /// The deployment failed, and the service is left with it.
    Stays {
        /// The service.
        service: String,
        /// Why.
        why: String,
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
    /// Why the service wasn't brought back, where it should have been.
    pub stays: Option<String>,
    /// Whether another deployment has taken its place since, which brings the service back.
    pub is_replaced: bool,
}

/// How to watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long at most.
    pub timeout: Duration,
    /// The longest pause between two looks.
    pub pause_max: Duration,
}

/// What is watched with, and until when.
pub struct Watching<'w> {
    /// Who calls.
    pub caller: &'w Caller,
    /// The services' cluster.
    pub cluster: &'w str,
    /// How long.
    pub patience: Patience,
    /// What ends it early.
    pub interrupt: &'w Interrupt,
    /// Whether a service whose deployment fails is brought back, as soon as its failure is known.
    pub goes_back: bool,
}

struct Watched {
    begun: Begun,
    /// When its time began.
    began: Instant,
    events: BTreeSet<String>,
    counts: Option<[u32; 5]>,
    failed_told: u32,
    tasks_seen: BTreeSet<String>,
    tasks: Vec<Task>,
    complaints: Vec<String>,
    last: Service,
    story: Option<Story>,
    standing: Option<Standing>,
    hook_told: Option<String>,
    end: Option<(End, Duration)>,
    outcome: Option<Outcome>,
    /// Where it stands in the list of which this is the way back.
    way_back_of: Option<usize>,
}

/// Watches services of one cluster until each has an end: how each ended, in the order of `begun`, and after a service
/// that was brought back how that ended. Each is brought back as its own failure is known, and has its own time for it.
pub async fn all(how: &Watching<'_>, begun: Vec<Begun>, tell: &mut dyn FnMut(Told)) -> Vec<Outcome> {
    let _first_is_ours = how.interrupt.watching();
    let mut watch = Watch {
        how,
        changed: Instant::now(),
        lost_since: None,
        may_list_tasks: true,
        may_read_stories: true,
        tell,
    };
    let mut watched: Vec<Watched> = begun.into_iter().map(|one| Watched::new(one, None)).collect();
    loop {
        let step = async {
            // A call may wait for long, and what it waits for may not come any more: the time that was given holds.
            let bound = left(&watched, how.patience.timeout).unwrap_or_default().max(LAST_LOOK);
            let _in_time = tokio::time::timeout(bound, watch.look(&mut watched)).await;
            watch.settle(&mut watched).await;
        };
        tokio::select! {
            () = step => {}
            () = how.interrupt.asked() => break,
        }
        let Some(left) = left(&watched, how.patience.timeout) else { break };
        let pause = pause(watch.changed.elapsed()).min(how.patience.pause_max).min(left);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = how.interrupt.asked() => break,
        }
    }
    in_order(watched, how.goes_back)
}

/// What is left of the time until the first of those that have no end yet has none; none where all have an end.
fn left(watched: &[Watched], timeout: Duration) -> Option<Duration> {
    let open = watched.iter().filter(|one| one.outcome.is_none());
    open.map(|one| timeout.saturating_sub(one.began.elapsed())).min()
}

/// How long the last look may take, and the question why tasks stopped after it.
pub(super) const LAST_LOOK: Duration = Duration::from_secs(5);

/// How each ended, its way back after it. What has no end by now was interrupted.
fn in_order(watched: Vec<Watched>, goes_back: bool) -> Vec<Outcome> {
    let mut outcomes: Vec<(usize, Outcome)> = Vec::new();
    for (at, mut one) in watched.into_iter().enumerate() {
        let (end, took) = one.end.take().unwrap_or((End::Interrupted, one.began.elapsed()));
        let place = one.way_back_of.unwrap_or(at);
        let outcome = one.outcome.take().unwrap_or_else(|| {
            let mut outcome = one.outcome(end, took, None);
            if goes_back && one.way_back_of.is_none() && wants_rollback(&outcome) {
                outcome.stays = Some(NOT_BROUGHT_BACK.to_owned());
            }
            outcome
        });
        outcomes.push((place, outcome));
    }
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Why a service stays with what failed, where the watching was stopped between the failure and the way back.
const NOT_BROUGHT_BACK: &str = "stopped before the service could be brought back";

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

impl Watched {
    fn new(begun: Begun, way_back_of: Option<usize>) -> Self {
        Self {
            began: Instant::now(),
            events: begun.known_events.iter().cloned().collect(),
            counts: None,
            failed_told: 0,
            tasks_seen: BTreeSet::new(),
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
            outcome: None,
            way_back_of,
            begun,
        }
    }

    /// Says why the service stays with what failed; nothing says that it doesn't.
    fn left(&mut self, why: String) {
        if let Some(outcome) = &mut self.outcome {
            outcome.stays = Some(why).filter(|why| !why.is_empty());
        }
    }

    fn causes(&self) -> Vec<Cause> {
        let since = self.begun.wanted.created_at;
        let events = self.last.events.iter().filter(|event| event.created_at >= since);
        let not_launched = events.filter_map(|event| cause::launch_error(&event.message));
        cause::of(&self.tasks, &not_launched.map(str::to_owned).collect::<Vec<_>>())
    }

    fn outcome(&self, end: End, took: Duration, tail: Option<(String, Tail)>) -> Outcome {
        Outcome {
            service: self.begun.service.clone(),
            definition_arn: self.begun.definition_arn.clone(),
            before: self.begun.before.clone(),
            deployment: self.begun.wanted.id.clone(),
            is_updated: self.begun.is_updated,
            causes: if end.is_about_tasks() { self.causes() } else { Vec::new() },
            end,
            took,
            last: self.last.clone(),
            story: self.story.clone(),
            tail,
            complaints: self.complaints.clone(),
            stays: None,
            is_replaced: false,
        }
    }
}

struct Watch<'w> {
    how: &'w Watching<'w>,
    changed: Instant,
    lost_since: Option<Instant>,
    may_list_tasks: bool,
    may_read_stories: bool,
    tell: &'w mut dyn FnMut(Told),
}

impl Watch<'_> {
    /// One look at all services that have no end yet.
    async fn look(&mut self, watched: &mut [Watched]) {
        let open: Vec<String> =
            watched.iter().filter(|one| one.end.is_none()).map(|one| one.begun.service.clone()).collect();
        let seen = match ecs::describe_services(self.how.caller, self.how.cluster, &open).await {
            Ok((seen, _)) => seen,
            Err(error) => return self.lost(&error, watched),
        };
        self.lost_since = None;
        let stories = self.stories(&seen, watched).await;
        for one in watched.iter_mut().filter(|one| one.end.is_none()) {
            let Some(service) = seen.iter().find(|service| service.service_name == one.begun.service) else {
                let gone = Verdict::Deleted { status: "MISSING".to_owned() };
                one.end = Some((End::Verdict(gone), one.began.elapsed()));
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
            let elapsed = one.began.elapsed();
            let since = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            match judge(&one.begun.wanted, service, one.story.as_ref(), since) {
                Verdict::Waiting | Verdict::RolledBack { is_over: false, .. } => {}
                verdict => one.end = Some((End::Verdict(verdict), elapsed)),
            }
        }
    }

    /// ECS could not be asked: for a while that is only told.
    fn lost(&mut self, error: &CallError, watched: &mut [Watched]) {
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
        for one in watched.iter_mut().filter(|one| one.end.is_none()) {
            one.end = Some((End::Lost(failure.clone()), one.began.elapsed()));
        }
    }

    /// The stories of the deployments that are watched, where the services' rules make it worth a call.
    async fn stories(&mut self, seen: &[Service], watched: &[Watched]) -> Vec<Story> {
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
        match ecs::describe_stories(&self.how.caller.optional(), &arns).await {
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

    fn tell_stage(&mut self, one: &mut Watched) {
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

    fn tell_counts(&mut self, one: &mut Watched) {
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

    fn tell_events(&mut self, one: &mut Watched) {
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
    async fn tell_tasks(&mut self, one: &mut Watched) {
        let failed = one.last.deployment(&one.begun.wanted.id).map_or(0, |ours| ours.failed_tasks);
        if failed <= one.failed_told {
            return;
        }
        one.failed_told = failed;
        self.fetch_tasks(one).await;
    }

    async fn fetch_tasks(&mut self, one: &mut Watched) {
        if !self.may_list_tasks {
            return;
        }
        let (caller, service) = (self.how.caller.optional(), one.begun.service.clone());
        let tasks = match ecs::stopped_tasks(&caller, self.how.cluster, &service, &one.tasks_seen).await {
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
        for task in tasks.into_iter().filter(Task::is_stopped) {
            one.tasks_seen.insert(task.task_arn.clone());
            if task.started_by != one.begun.wanted.id || is_wanted_stop(&task) {
                continue;
            }
            let (reason, _) = cause::reason(&task);
            (self.tell)(Told::TaskStopped { service: service.clone(), task: task.id().to_owned(), reason });
            one.tasks.push(task);
        }
    }

    /// Makes outcomes of what has an end, and brings back what failed.
    async fn settle(&mut self, watched: &mut Vec<Watched>) {
        for at in 0..watched.len() {
            let one = &mut watched[at];
            if one.outcome.is_some() {
                continue;
            }
            let elapsed = one.began.elapsed();
            if one.end.is_none() && elapsed >= self.how.patience.timeout {
                one.end = Some((End::Timeout, elapsed));
            }
            let Some((end, took)) = one.end.clone() else { continue };
            let tail = if end.is_about_tasks() { self.why(one, &end).await } else { None };
            one.outcome = Some(one.outcome(end, took, tail));
            let goes_back = self.how.goes_back && one.way_back_of.is_none();
            if goes_back && one.outcome.as_ref().is_some_and(wants_rollback) {
                let way_back = self.go_back(one).await;
                watched.extend(way_back.map(|begun| Watched { way_back_of: Some(at), ..begun }));
            }
        }
    }

    /// Looks once more why tasks stopped: the last lines of the container that is to blame.
    /// Where the time is over, nobody waits long for it.
    async fn why(&mut self, one: &mut Watched, end: &End) -> Option<(String, Tail)> {
        match end {
            End::Timeout => tokio::time::timeout(LAST_LOOK, self.last_words(one)).await.ok().flatten(),
            _ => self.last_words(one).await,
        }
    }

    async fn last_words(&mut self, one: &mut Watched) -> Option<(String, Tail)> {
        self.fetch_tasks(one).await;
        let causes = one.causes();
        let first = causes.first()?;
        let (container, task) = (first.container.as_ref()?, first.task.as_ref()?);
        let has_run = task.containers.iter().any(|one| one.exit_code.is_some());
        if !has_run {
            return None;
        }
        let lines = logs::tail(self.how.caller, &one.begun.definition, container, task.id()).await;
        Some((container.clone(), lines))
    }

    /// Brings a service back to the last revision that was stable: what is then to be watched, unless it stays.
    async fn go_back(&mut self, one: &mut Watched) -> Option<Watched> {
        let (caller, cluster) = (self.how.caller, self.how.cluster);
        let service = one.begun.service.clone();
        // What is true when the watching is stopped meanwhile.
        one.left(NOT_BROUGHT_BACK.to_owned());
        let target = match rollback::way(caller, cluster, &one.begun).await {
            Ok(Way::To(target)) => target,
            Ok(Way::Nowhere(why)) => return self.stays(one, why),
            Err(failure) => return self.stays(one, failure.message),
        };
        let definition = rollback::read(caller, &target.definition).await;
        let (to, how) = (target.definition, target.how);
        (self.tell)(Told::GoingBack { service, to: to.clone(), how, images: definition.images() });
        let name = short(&to);
        one.left(format!(
            "stopped while it was to go back to {name}: whether ECS has taken that is not known"
        ));
        let begun = roll::back(caller, cluster, &one.last, &to, definition.clone()).await;
        one.left(String::new());
        match begun {
            Ok(begun) => {
                if let Some(outcome) = &mut one.outcome {
                    outcome.is_replaced = true;
                }
                Some(Watched::new(begun, None))
            }
            Err(failure) => {
                let mut not_begun =
                    Watched::new(Begun { definition_arn: to, definition, ..one.begun.clone() }, None);
                not_begun.last = one.last.clone();
                let outcome = not_begun.outcome(End::NotUpdated(failure), Duration::ZERO, None);
                not_begun.outcome = Some(Outcome { is_updated: false, deployment: String::new(), ..outcome });
                Some(not_begun)
            }
        }
    }

    fn stays(&mut self, one: &mut Watched, why: String) -> Option<Watched> {
        (self.tell)(Told::Stays { service: one.begun.service.clone(), why: why.clone() });
        one.left(why);
        None
    }
}

impl End {
    /// Whether why tasks stopped belongs to it.
    fn is_about_tasks(&self) -> bool {
        match self {
            Self::Verdict(verdict) => matches!(
                verdict,
                Verdict::Failed { .. }
                    | Verdict::RolledBack { .. }
                    | Verdict::Failing { .. }
                    | Verdict::Gone { .. }
            ),
            Self::Timeout => true,
            _ => false,
        }
    }
}

/// Whether ECS leaves the service with a deployment of ours that failed.
fn wants_rollback(outcome: &Outcome) -> bool {
    let is_left_alone =
        matches!(&outcome.end, End::Verdict(Verdict::Failed { .. } | Verdict::Failing { .. }) | End::Timeout);
    is_left_alone && outcome.is_updated
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

/// `family:revision` of an outcome's task definition.
pub fn definition_name(outcome: &Outcome) -> &str {
    short(&outcome.definition_arn)
}

/// How long ECS may be out of reach before the watching ends.
const LOST_SECONDS_MAX: Duration = Duration::from_secs(120);
