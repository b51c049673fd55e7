//! The rollout of a service: which of its tasks are started and stopped, and when a deployment has
//! completed or failed. A step machine: an event and a moment go in, actions come out. It knows no
//! clock, no container engine and no store.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>

mod external;
mod judge;
mod scale;
mod stages;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use stages::{HOOK_TIMEOUT_MINUTES, Hook, Stage, Strategy};

/// How long a task without a health check must run before it counts as healthy, in milliseconds.
/// AWS waits longer (about 40 s were observed); a service here has to be stable within seconds.
pub const SETTLE_MS: i64 = 1_000;
/// The wait before a task is started again after a failure, in milliseconds; it doubles.
const BACKOFF_MS: i64 = 250;
/// The longest wait between two starts, in milliseconds.
const BACKOFF_MS_MAX: i64 = 10_000;
/// Failures in a row after which the service says that it can't start tasks.
const FAILURES_TOLD: u32 = 3;

/// The state of one service's tasks and deployments.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rollout {
    /// The service's name, for its sentences.
    pub service: String,
    /// How many tasks are wanted.
    pub desired: u32,
    /// How deployments go.
    pub rules: Rules,
    /// The primary first, then those that still have tasks, newest first.
    pub deployments: Vec<Deployment>,
    /// Every task that has not stopped.
    pub tasks: Vec<Task>,
    /// The last deployment that completed: what a rollback goes back to.
    pub last_completed: Option<Target>,
    /// Whether the service has said that it is steady since its last change.
    pub steady: bool,
    /// Whether the service has said that its configuration leaves it no way.
    pub stuck: bool,
    /// Deleted: all tasks go.
    pub draining: bool,
}

/// What is deployed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The number of the deployment and of its service revision.
    pub id: String,
    /// Whether its tasks have a health check.
    pub has_health_check: bool,
}

/// How deployments go.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// Who decides: the rules below, or task sets and their scale.
    pub controller: Controller,
    /// `minimumHealthyPercent`.
    pub minimum_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The circuit breaker.
    pub breaker: Breaker,
    /// Whether the service goes back to what ran when an alarm goes off.
    #[serde(default)]
    pub alarm_rollback: bool,
    /// How traffic moves to the new tasks.
    pub strategy: Strategy,
    /// `bakeTimeInMinutes`, in milliseconds.
    pub bake_ms: i64,
    /// Stages at which something is asked first.
    pub hooks: Vec<Hook>,
    /// How long a failing health check of a new task is overlooked, in milliseconds.
    pub grace_ms: i64,
    /// See [`SETTLE_MS`].
    pub settle_ms: i64,
    /// ARNs of target groups, for the sentences about them.
    pub target_groups: Vec<String>,
}

/// Who decides about a service's tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Controller {
    /// ECS: deployments.
    Ecs,
    /// Task sets, by their scale: `CODE_DEPLOY` and `EXTERNAL`.
    TaskSets,
}

/// The circuit breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Breaker {
    /// Whether failures end a deployment.
    pub enabled: bool,
    /// Whether the service then goes back to what ran.
    pub rollback: bool,
    /// Whether a task that becomes healthy clears the count.
    pub reset_on_healthy: bool,
    /// How many failures are too many.
    pub threshold: Threshold,
}

/// `thresholdConfiguration`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Threshold {
    /// So many.
    Count(u32),
    /// A share of the desired count, at least 3 and at most 200.
    Bounded(u32),
    /// A share of the desired count.
    Unbounded(u32),
}

impl Threshold {
    /// The number of failures at which the breaker opens.
    pub fn failures(self, desired: u32) -> u32 {
        let share = |percent: u32| (u64::from(desired) * u64::from(percent)).div_ceil(100);
        let count = match self {
            Self::Count(count) => u64::from(count),
            Self::Bounded(percent) => share(percent).clamp(3, 200),
            Self::Unbounded(percent) => share(percent),
        };
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }
}

/// `rolloutState`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RolloutState {
    /// `IN_PROGRESS`.
    InProgress,
    /// `COMPLETED`.
    Completed,
    /// `FAILED`.
    Failed,
}

impl RolloutState {
    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One deployment, or one task set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// What it deploys.
    pub target: Target,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it last changed, milliseconds since 1970.
    pub updated_ms: i64,
    /// How far it is.
    pub state: RolloutState,
    /// Why, in AWS's sentence.
    pub reason: String,
    /// Tasks that failed.
    pub failed: u32,
    /// Failures that the breaker counts.
    pub strikes: u32,
    /// Failures since the last task that became healthy.
    pub in_a_row: u32,
    /// No task is started before, milliseconds since 1970.
    pub not_before_ms: i64,
    /// Its own number where that is another than its revision's: a way back deploys a revision that was there
    /// before. Answers and sentences name it by this one.
    #[serde(default)]
    pub own_number: Option<String>,
    /// The deployment that failed, when this one is the way back from it.
    pub rolls_back: Option<String>,
    /// Where it stands.
    pub stage: Stage,
    /// Since when, milliseconds since 1970.
    pub stage_since_ms: i64,
    /// Its share of production traffic, in percent.
    pub traffic: f64,
    /// A task set's scale in percent.
    pub scale: f64,
}

impl Deployment {
    fn new(target: Target, now_ms: i64) -> Self {
        Self {
            reason: format!("ECS deployment ecs-svc/{} in progress.", target.id),
            target,
            created_ms: now_ms,
            updated_ms: now_ms,
            state: RolloutState::InProgress,
            failed: 0,
            strikes: 0,
            in_a_row: 0,
            not_before_ms: now_ms,
            own_number: None,
            rolls_back: None,
            stage: Stage::ReconcileService,
            stage_since_ms: now_ms,
            traffic: 0.0,
            scale: 100.0,
        }
    }

    /// The number of its revision, by which its tasks know it.
    pub fn id(&self) -> &str {
        &self.target.id
    }

    /// Its number: `ecs-svc/NUMBER` is what clients see.
    pub fn number(&self) -> &str {
        self.own_number.as_deref().unwrap_or(&self.target.id)
    }
}

/// A task of the service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// The deployment that it belongs to.
    pub deployment: String,
    /// How far it is.
    pub phase: Phase,
    /// What its health check says.
    pub health: Health,
    /// Whether it was healthy once.
    pub was_healthy: bool,
    /// Until when deployments and a smaller desired count leave it alone, milliseconds since 1970.
    #[serde(default)]
    pub protected_until_ms: Option<i64>,
}

impl Task {
    /// Whether deployments and a smaller desired count leave it alone now.
    pub fn is_protected(&self, now_ms: i64) -> bool {
        self.protected_until_ms.is_some_and(|until| until > now_ms)
    }
}

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// It was asked for.
    Starting,
    /// It runs.
    Running {
        /// Since when, milliseconds since 1970.
        since_ms: i64,
    },
    /// It was told to stop.
    Stopping,
}

/// What a task's health check says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Health {
    /// There is none, or it has not said anything yet.
    Unknown,
    /// It passes.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// What happens to a service.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A new deployment.
    Deploy(Target),
    /// Another number of tasks.
    Desire(u32),
    /// Other rules.
    Rules(Box<Rules>),
    /// A task runs.
    TaskRuns(String),
    /// A task's health check has spoken.
    TaskHealth(String, Health),
    /// Someone told a task to stop: it is no failure.
    TaskStopping(String),
    /// A task is protected until this moment, in milliseconds since 1970, or no longer.
    Protect(String, Option<i64>),
    /// A task is gone.
    TaskStopped(String),
    /// An alarm that the primary deployment watches went off.
    AlarmGoesOff,
    /// `StopServiceDeployment`.
    StopDeployment {
        /// Whether the service goes back to what ran.
        rollback: bool,
    },
    /// `ContinueServiceDeployment`: a hook that waits is answered.
    Continue {
        /// Whether the deployment goes on.
        go_on: bool,
    },
    /// A task set's scale in percent, or a new one.
    TaskSet(Target, f64),
    /// A task set that goes.
    DeleteTaskSet(String),
    /// The task set that takes the traffic.
    Primary(String),
    /// The service was deleted.
    Drain,
    /// Time has passed.
    Tick,
}

/// What the machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Start a task of a deployment.
    Start {
        /// The new task's id.
        task: String,
        /// The deployment.
        deployment: String,
    },
    /// Stop a task.
    Stop {
        /// The task.
        task: String,
        /// Why.
        why: Why,
    },
    /// A service event.
    Say(String),
    /// The service deployment with this number has another status.
    Status {
        /// The deployment's number.
        deployment: String,
        /// The status.
        status: Status,
        /// Why, if there is anything to say.
        reason: Option<String>,
    },
}

/// Why a task is stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The scheduler has no use for it.
    Scaling {
        /// The number of the deployment whose scheduling it was.
        deployment: String,
    },
    /// Its health check fails.
    Unhealthy,
}

impl Why {
    /// `stoppedReason`.
    pub fn sentence(&self) -> String {
        match self {
            Self::Scaling { deployment } => {
                format!("Scaling activity initiated by (deployment ecs-svc/{deployment})")
            }
            Self::Unhealthy => "Task failed container health checks".to_owned(),
        }
    }
}

/// `ServiceDeployment.status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum Status {
    Pending,
    InProgress,
    Successful,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

impl Status {
    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Whether it is the last one.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed)
    }
}

/// What a fresh id is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fresh {
    /// A task.
    Task,
    /// A deployment that ECS begins by itself.
    Deployment,
}

/// A step in progress: the moment, where new ids come from, and what has been decided so far.
struct Step<'a> {
    now_ms: i64,
    fresh: &'a mut dyn FnMut(Fresh) -> String,
    refusal: &'a mut dyn FnMut(&str, &str) -> Option<String>,
    actions: Vec<Action>,
}

impl Step<'_> {
    fn status(&mut self, deployment: &str, status: Status, reason: Option<&str>) {
        let (deployment, reason) = (deployment.to_owned(), reason.map(str::to_owned));
        self.actions.push(Action::Status { deployment, status, reason });
    }
}

impl Rollout {
    /// A service without deployments.
    pub fn new(service: &str, desired: u32, rules: Rules) -> Self {
        Self {
            service: service.to_owned(),
            desired,
            rules,
            deployments: Vec::new(),
            tasks: Vec::new(),
            last_completed: None,
            steady: false,
            stuck: false,
            draining: false,
        }
    }

    /// Takes an event. `fresh` makes new ids.
    pub fn step(&mut self, event: Event, now_ms: i64, fresh: &mut dyn FnMut(Fresh) -> String) -> Vec<Action> {
        self.step_where(event, now_ms, fresh, &mut |_, _| None)
    }

    /// The same where a launch can fail: `refusal` has ECS's error, if there is one, for a deployment and the id of the
    /// task that is to be launched for it.
    pub fn step_where(
        &mut self,
        event: Event,
        now_ms: i64,
        fresh: &mut dyn FnMut(Fresh) -> String,
        refusal: &mut dyn FnMut(&str, &str) -> Option<String>,
    ) -> Vec<Action> {
        let mut step = Step { now_ms, fresh, refusal, actions: Vec::new() };
        self.take(event, &mut step);
        if self.draining {
            self.drain(&mut step);
        } else if self.rules.controller == Controller::TaskSets {
            self.scale_task_sets(&mut step);
        } else {
            self.judge(&mut step);
            self.scale(&mut step);
            // What was started and stopped may have completed a deployment of no tasks.
            self.judge(&mut step);
        }
        step.actions
    }

    /// When time alone changes something next: the earliest moment after now, milliseconds since 1970.
    pub fn due_ms(&self, now_ms: i64) -> Option<i64> {
        let primary = self.deployments.first()?;
        let settles = self.tasks.iter().filter_map(|task| match task.phase {
            Phase::Running { since_ms } if !task.was_healthy => {
                Some(since_ms.saturating_add(self.rules.settle_ms))
            }
            _ => None,
        });
        let grace = self.tasks.iter().filter_map(|task| match (task.phase, task.health) {
            (Phase::Running { since_ms }, Health::Unhealthy) => {
                Some(since_ms.saturating_add(self.rules.grace_ms))
            }
            _ => None,
        });
        let stage = (primary.state == RolloutState::InProgress).then(|| self.stage_due_ms(primary)).flatten();
        let starts = self.deployments.iter().map(|deployment| deployment.not_before_ms);
        let protections = self.tasks.iter().filter_map(|task| task.protected_until_ms);
        let all = settles.chain(grace).chain(stage).chain(starts).chain(protections);
        all.filter(|due| *due > now_ms).min()
    }

    /// Until when a task is protected, if it is, in milliseconds since 1970.
    pub fn protected_until(&self, id: &str, now_ms: i64) -> Option<i64> {
        let task = self.tasks.iter().find(|task| task.id == id)?;
        task.protected_until_ms.filter(|until| *until > now_ms)
    }

    /// How many tasks beside this one are protected.
    pub fn protected_beside(&self, id: &str, now_ms: i64) -> u32 {
        count(self.tasks.iter().filter(|task| task.id != id && task.is_protected(now_ms)))
    }

    /// The number of the deployment that alarms are watched for: one that is under way, and no way back.
    pub fn watched(&self) -> Option<String> {
        let primary = self.deployments.first()?;
        let is_watched = primary.state == RolloutState::InProgress && primary.rolls_back.is_none();
        is_watched.then(|| primary.id().to_owned())
    }

    /// How many tasks of a deployment run, and how many are on their way.
    pub fn counts(&self, deployment: &str) -> (u32, u32) {
        let of = |wanted: fn(&Phase) -> bool| {
            let tasks = self.tasks.iter().filter(|task| task.deployment == deployment);
            count(tasks.filter(|task| wanted(&task.phase)))
        };
        (of(|phase| matches!(phase, Phase::Running { .. })), of(|phase| matches!(phase, Phase::Starting)))
    }

    /// How many tasks a deployment is to have.
    pub fn wanted(&self, deployment: &Deployment) -> u32 {
        if self.draining {
            return 0;
        }
        if self.rules.controller == Controller::TaskSets {
            return external::computed(self.desired, deployment.scale);
        }
        let is_primary = self.deployments.first().is_some_and(|first| first.id() == deployment.id());
        match (is_primary, deployment.state) {
            (true, _) => self.desired,
            (false, RolloutState::Failed) => 0,
            (false, _) => {
                let primary = self.deployments.first().map_or(0, |first| self.counts(first.id()).0);
                self.desired.saturating_sub(primary)
            }
        }
    }

    fn take(&mut self, event: Event, step: &mut Step<'_>) {
        match event {
            Event::Deploy(target) => self.deploy(target, step),
            Event::Desire(count) => {
                self.steady &= self.desired == count;
                self.stuck &= self.desired == count;
                let are_fewer = count < self.desired;
                self.desired = count;
                if are_fewer && self.rules.controller == Controller::Ecs {
                    self.scale_in_mixed(step);
                }
            }
            Event::Rules(rules) => {
                self.stuck = false;
                self.rules = *rules;
            }
            Event::TaskRuns(task) => self.task_runs(&task, step),
            Event::TaskHealth(task, health) => {
                if let Some(task) = self.tasks.iter_mut().find(|known| known.id == task) {
                    task.health = health;
                }
            }
            Event::TaskStopping(task) => {
                if let Some(task) = self.tasks.iter_mut().find(|known| known.id == task) {
                    task.phase = Phase::Stopping;
                    self.steady = false;
                }
            }
            Event::Protect(task, until) => {
                if let Some(task) = self.tasks.iter_mut().find(|known| known.id == task) {
                    task.protected_until_ms = until;
                }
            }
            Event::TaskStopped(task) => self.task_stopped(&task, step),
            Event::AlarmGoesOff => self.alarm_goes_off(step),
            Event::StopDeployment { rollback } => self.stop_deployment(rollback, step),
            Event::Continue { go_on } => self.answer_hook(go_on, step),
            Event::TaskSet(target, scale) => self.put_task_set(target, scale, step),
            Event::DeleteTaskSet(id) => self.delete_task_set(&id),
            Event::Primary(id) => self.make_primary(&id),
            Event::Drain => self.draining = true,
            Event::Tick => {}
        }
    }

    fn deploy(&mut self, target: Target, step: &mut Step<'_>) {
        if let Some(primary) = self.deployments.first()
            && primary.state == RolloutState::InProgress
        {
            let superseded = primary.rolls_back.clone().unwrap_or_else(|| primary.id().to_owned());
            step.status(&superseded, Status::Stopped, Some("A new service deployment was started."));
        }
        self.steady = false;
        self.stuck = false;
        step.status(&target.id, Status::InProgress, None);
        self.deployments.insert(0, Deployment::new(target, step.now_ms));
    }

    fn task_runs(&mut self, id: &str, step: &mut Step<'_>) {
        let now = step.now_ms;
        let Some(task) = self.tasks.iter_mut().find(|task| task.id == id) else { return };
        if task.phase != Phase::Starting {
            return;
        }
        task.phase = Phase::Running { since_ms: now };
        for group in &self.rules.target_groups {
            let sentence =
                format!("(service {}) registered 1 targets in (target-group {group})", self.service);
            step.actions.push(Action::Say(sentence));
        }
    }

    /// A task that stops without having been told to has failed.
    fn task_stopped(&mut self, id: &str, step: &mut Step<'_>) {
        let Some(at) = self.tasks.iter().position(|task| task.id == id) else { return };
        let task = self.tasks.remove(at);
        if task.phase != Phase::Stopping {
            self.steady = false;
            self.count_failure(&task.deployment, step);
        }
    }

    fn count_failure(&mut self, deployment: &str, step: &mut Step<'_>) {
        let service = &self.service;
        let Some(deployment) = self.deployments.iter_mut().find(|known| known.id() == deployment) else {
            return;
        };
        deployment.failed += 1;
        deployment.strikes += 1;
        deployment.in_a_row += 1;
        deployment.updated_ms = step.now_ms;
        let doublings = deployment.in_a_row.saturating_sub(1).min(10);
        let wait = BACKOFF_MS.saturating_mul(1 << doublings).min(BACKOFF_MS_MAX);
        deployment.not_before_ms =
            step.now_ms.saturating_add(if deployment.in_a_row == 1 { 0 } else { wait });
        if deployment.in_a_row == FAILURES_TOLD {
            let sentence = format!("(service {service}) is unable to consistently start tasks successfully.");
            step.actions.push(Action::Say(sentence));
        }
    }

    fn drain(&mut self, step: &mut Step<'_>) {
        let all: Vec<String> = self.tasks.iter().map(|task| task.id.clone()).collect();
        self.stop(&all, step);
        self.deployments.truncate(1);
        if self.tasks.is_empty() {
            self.deployments.clear();
        }
    }

    /// Tells tasks to stop, and says so.
    fn stop(&mut self, ids: &[String], step: &mut Step<'_>) {
        let by = self.deployments.first().map(|primary| primary.number().to_owned()).unwrap_or_default();
        let mut stopped = Vec::new();
        for task in &mut self.tasks {
            if ids.contains(&task.id) && task.phase != Phase::Stopping {
                task.phase = Phase::Stopping;
                stopped.push(task.id.clone());
            }
        }
        for task in &stopped {
            let why = Why::Scaling { deployment: by.clone() };
            step.actions.push(Action::Stop { task: task.clone(), why });
        }
        if !stopped.is_empty() {
            self.steady = false;
            let sentence = format!(
                "(service {}) has stopped {} running tasks: {}.",
                self.service,
                stopped.len(),
                list(&stopped)
            );
            step.actions.push(Action::Say(sentence));
        }
    }

    /// Starts tasks of a deployment, and says so. After one that can't be launched the next are tried later.
    fn start(&mut self, deployment: &str, number: u32, step: &mut Step<'_>) {
        let (mut started, mut refused) = (Vec::new(), None);
        for _ in 0..number {
            let id = (step.fresh)(Fresh::Task);
            refused = (step.refusal)(deployment, &id);
            if refused.is_some() {
                break;
            }
            started.push(id.clone());
            self.tasks.push(Task {
                id: id.clone(),
                deployment: deployment.to_owned(),
                phase: Phase::Starting,
                health: Health::Unknown,
                was_healthy: false,
                protected_until_ms: None,
            });
            step.actions.push(Action::Start { task: id, deployment: deployment.to_owned() });
        }
        if !started.is_empty() {
            self.steady = false;
            let sentence = format!(
                "(service {}) has started {} tasks: {}.",
                self.service,
                started.len(),
                list(&started)
            );
            step.actions.push(Action::Say(sentence));
        }
        if let Some(error) = refused {
            self.launch_failed(deployment, &error, step);
        }
    }

    /// A task that couldn't be launched has failed: there is none, and the service says why (observed).
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html>
    fn launch_failed(&mut self, deployment: &str, error: &str, step: &mut Step<'_>) {
        self.steady = false;
        let sentence = format!("(service {}) failed to launch a task with (error {error}).", self.service);
        step.actions.push(Action::Say(sentence));
        self.count_failure(deployment, step);
        let known = self.deployments.iter_mut().find(|known| known.id() == deployment);
        if let Some(deployment) = known {
            // No task's end tells when to try again.
            let later = step.now_ms.saturating_add(BACKOFF_MS);
            deployment.not_before_ms = deployment.not_before_ms.max(later);
        }
    }
}

fn list(ids: &[String]) -> String {
    ids.iter().map(|id| format!("(task {id})")).collect::<Vec<_>>().join(" ")
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
