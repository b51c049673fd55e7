//! Brings tasks from one status to the next, and tells the rollouts what became of them.
//!
//! With a container engine a task is run; without one it says that it was not run and why. The tasks of
//! services then go through the same statuses with nothing behind them, so that deployments can be
//! watched; a task that was run for its own sake stops with that reason.

pub(crate) mod agent;
mod awslogs;
mod engine;
mod handover;
mod hold;
mod host_config;
mod log;
mod made;
mod metadata;
mod order;
pub mod owner;
mod pause;
mod pull;
pub(crate) mod role;
mod run;
mod spec;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use landfall_types::{Arn, Finding};
use serde_json::Value;
use tokio::sync::Notify;

use super::controller;
use super::rollout::{Event, Health};
use crate::store::ecs::{Place, Service, ServiceStatus, Task, TaskDefinition, TaskStatus};
use crate::store::{Record, Store, StoreError};
use crate::world::World;

use agent::{Agent, Member};
pub use engine::Engine;
pub use log::LogLine;

/// How long a status lasts when nothing is run, in milliseconds.
const STEP_MS: i64 = 50;
/// How long a stopped task can be described, in milliseconds.
const STOPPED_MS_KEPT: i64 = 3_600_000;

/// Containers whose logs are kept.
const LOGS_MAX: usize = 1_000;
/// Networks that have not handed their port over, one after the other, after which the next ones are not waited for long.
const HANDOVERS_MISSED: u32 = 2;
/// Lines of each of them: the oldest go first. As many are asked of an engine at once.
const LINES_MAX: usize = 10_000;
/// Their bytes: the oldest lines go first.
const LOG_BYTES_MAX: usize = 16 << 20;
/// How far back a log is read again, in nanoseconds: an engine that reads two streams of a container may write down a
/// line after one that is younger.
const LOG_OVERLAP_NS: i64 = 1_000_000_000;

/// What runs tasks.
#[derive(Debug, Default)]
pub struct Runner {
    changed: Notify,
    engine: OnceLock<Result<Engine, String>>,
    now: Mutex<Now>,
}

/// What is going on.
#[derive(Debug, Default)]
struct Now {
    /// Tasks that are run, by key.
    running: BTreeSet<String>,
    /// Images that were pulled from this server, or made: nobody needs them after it.
    images: BTreeSet<String>,
    /// Containers that are being made.
    creating: usize,
    /// Whether anything was ever made.
    has_made: bool,
    /// The server ends: nothing is made any more.
    is_over: bool,
    /// The agent of each task, by task id.
    agents: BTreeMap<String, Agent>,
    /// How many networks in a row didn't hand their port over to this server.
    handovers_missed: u32,
    /// What containers have written, by task id and container.
    logs: BTreeMap<(String, String), Kept>,
    /// The number in its subnet that the last task got; 0 before the first.
    host_number: u16,
    /// The number of the next log that is begun.
    next_log: u64,
}

impl Now {
    /// Lets a log go where there are too many: the oldest of a task that has ended, else the oldest.
    fn make_room_for_log(&mut self) {
        if self.logs.len() < LOGS_MAX {
            return;
        }
        let age = |(key, kept): (&(String, String), &Kept)| (self.agents.contains_key(&key.0), kept.number);
        let oldest = self.logs.iter().min_by_key(|it| age(*it)).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.logs.remove(&key);
        }
    }
}

/// What a container has written.
#[derive(Debug, Default)]
struct Kept {
    /// Logs have numbers in the order in which they were begun.
    number: u64,
    /// How many lines before these are gone; one stands for all that an engine didn't tell.
    gone: u64,
    lines: Vec<LogLine>,
    /// The bytes of these.
    bytes: usize,
    /// The moment of the newest line, nanoseconds since 1970.
    newest_ns: Option<i64>,
}

impl Kept {
    /// Since when the log is read: what is known of it is told once more.
    fn since(&self) -> Option<i64> {
        self.newest_ns.map(|newest| newest.saturating_sub(LOG_OVERLAP_NS))
    }

    /// Adds what is new of the lines that an engine tells [`since`](Self::since), in its order: what it tells it goes on
    /// to tell, so that what is known comes first.
    fn add(&mut self, told: Vec<LogLine>) {
        let since = self.since().unwrap_or(i64::MIN);
        let is_since = |line: &LogLine| line.at_ns >= since;
        let is_cut = told.len() >= LINES_MAX && told.first().is_some_and(is_since);
        let mut told: Vec<LogLine> = told.into_iter().filter(is_since).collect();
        // What there is no room for is left out before it is compared: it was, the last time.
        let mut bytes = 0_usize;
        let fits = |line: &&LogLine| {
            bytes += line.text.len();
            bytes <= LOG_BYTES_MAX
        };
        let left_out = told.len() - told.iter().rev().take_while(fits).count();
        told.drain(..left_out);
        let known: Vec<&LogLine> = self.lines.iter().filter(|line| is_since(line)).collect();
        let is_from = |count: &usize| {
            let tail = known.get(known.len().saturating_sub(*count)..).unwrap_or_default().iter().copied();
            tail.eq(told.iter().take(*count))
        };
        // A line may be told otherwise when it has gone on: Podman tells what a pipe has given up to now. Its place stays.
        let is_same =
            !is_cut && left_out == 0 && told.len() >= known.len() && told.first() == known.first().copied();
        // Of a log that was cut some of what is known comes first, or nothing.
        let overlap = || (0..=told.len().min(known.len())).rev().find(is_from).unwrap_or(0);
        let first = if is_same { known.len() } else { overlap() };
        if first == 0 && !told.is_empty() {
            self.gone += u64::from(is_cut || !known.is_empty()) + u64::try_from(left_out).unwrap_or(0);
        }
        for line in told.into_iter().skip(first) {
            self.newest_ns = self.newest_ns.max(Some(line.at_ns));
            self.bytes += line.text.len();
            self.lines.push(line);
        }
        let mut over = self.lines.len().saturating_sub(LINES_MAX);
        let mut bytes = self.bytes - self.lines.iter().take(over).map(|line| line.text.len()).sum::<usize>();
        while bytes > LOG_BYTES_MAX
            && let Some(line) = self.lines.get(over)
        {
            bytes -= line.text.len();
            over += 1;
        }
        self.bytes = bytes;
        self.lines.drain(..over);
        self.gone += u64::try_from(over).unwrap_or(0);
    }

    /// How many lines are gone, and the others. The last that is gone says so in its place.
    fn shown(&self) -> (u64, Vec<LogLine>) {
        let Some(gone) = self.gone.checked_sub(1) else { return (0, self.lines.clone()) };
        let at_ns = self.lines.first().map_or(0, |line| line.at_ns);
        let text = format!(
            "(landfall: lines are missing here: the newest {LINES_MAX} lines and {} MiB of a container are kept)",
            LOG_BYTES_MAX >> 20
        );
        let lines = std::iter::once(LogLine { at_ns, text }).chain(self.lines.iter().cloned());
        (gone, lines.collect())
    }
}

impl Runner {
    /// Something has changed that has to be looked at.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// The next number for a task in a subnet, where each has its own; they begin anew at the end of a subnet.
    pub(crate) fn next_host_number(&self, store: &Store) -> u16 {
        let mut now = self.now();
        if now.host_number == 0 {
            let known = store.list::<Task>("").into_iter().filter_map(|task| task.host_number).max();
            now.host_number = known.unwrap_or(super::interface::KEPT - 1);
        }
        // The last address of a subnet is the one for all in it.
        now.host_number =
            if now.host_number >= u16::MAX - 1 { super::interface::KEPT } else { now.host_number + 1 };
        now.host_number
    }

    /// Waits until something has changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says what runs tasks, or why nothing does. The first word stays.
    fn use_engine(&self, engine: Result<Engine, String>) {
        let _ = self.engine.set(engine);
        self.wake();
    }

    /// The engine, if there is one.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.get()?.as_ref().ok()
    }

    /// Why nothing is run.
    pub fn not_run(&self) -> &str {
        match self.engine.get() {
            Some(Err(why)) => why,
            Some(Ok(_)) | None => "not run, no container engine",
        }
    }

    /// What a container of a task has written, as far as it is kept.
    pub fn log(&self, task: &str, container: &str) -> Option<Vec<LogLine>> {
        self.kept_log(task, container).map(|(_, lines)| lines)
    }

    /// The same, after how many lines that are gone.
    pub(crate) fn kept_log(&self, task: &str, container: &str) -> Option<(u64, Vec<LogLine>)> {
        let now = self.now();
        now.logs.get(&(task.to_owned(), container.to_owned())).map(Kept::shown)
    }

    /// Since when the engine is asked for more of it, nanoseconds since 1970.
    fn log_since(&self, task: &str, container: &str) -> Option<i64> {
        self.now().logs.get(&(task.to_owned(), container.to_owned()))?.since()
    }

    /// Removes what there still is of this server in the engine.
    pub(crate) fn remove_all(&self, world: &World) {
        /// Longest wait for containers that are being made, in milliseconds: Podman copies whole images for them.
        const WAIT_MS_MAX: u64 = 15_000;
        /// Between two looks, in milliseconds.
        const LOOK_MS: u64 = 20;
        let Some(engine) = self.engine() else { return };
        let (images, are_made) = {
            let mut now = self.now();
            now.is_over = true;
            (std::mem::take(&mut now.images).into_iter().collect::<Vec<_>>(), now.creating > 0)
        };
        crate::logs::writer::close_all(world);
        if !self.now().has_made {
            return;
        }
        let address = owner::address(world);
        if are_made {
            // The others don't wait for them.
            engine.remove_all_now(&address, &[]);
            for _ in 0..WAIT_MS_MAX / LOOK_MS {
                if self.now().creating == 0 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(LOOK_MS));
            }
        }
        engine.remove_all_now(&address, &images);
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container is about to be made; none when the server ends.
    fn creating(&self) -> Option<Creating<'_>> {
        let mut now = self.now();
        if now.is_over {
            return None;
        }
        now.has_made = true;
        now.creating += 1;
        Some(Creating(self))
    }

    fn keep_image(&self, image: &str) {
        self.now().images.insert(image.to_owned());
    }

    /// Whether an image is in the engine only because this server pulled it.
    fn has_pulled(&self, image: &str) -> bool {
        self.now().images.contains(image)
    }

    fn keep_agent(&self, task: &str, agent: Agent) {
        self.now().agents.insert(task.to_owned(), agent);
    }

    /// The agents of the tasks that run, by task id.
    fn agents(&self) -> BTreeMap<String, Agent> {
        self.now().agents.clone()
    }

    /// Notes something of a container for its agent.
    fn note_member(&self, task: &str, container: &str, note: impl FnOnce(&mut Member)) {
        let mut now = self.now();
        if let Some(member) = now.agents.get_mut(task).and_then(|agent| agent.member(container)) {
            note(member);
        }
    }

    /// How long a network may take to hand its port over.
    fn handover_wait(&self) -> Duration {
        let in_vain = self.now().handovers_missed >= HANDOVERS_MISSED;
        if in_vain { handover::WAIT_MAX_IN_VAIN } else { handover::WAIT_MAX }
    }

    fn note_handover(&self, has_come: bool) {
        let mut now = self.now();
        now.handovers_missed = if has_come { 0 } else { now.handovers_missed.saturating_add(1) };
    }

    fn keep_log(&self, task: &str, container: &str, lines: Vec<LogLine>) {
        let mut now = self.now();
        let key = (task.to_owned(), container.to_owned());
        if !now.logs.contains_key(&key) {
            now.make_room_for_log();
            now.next_log += 1;
        }
        let number = now.next_log;
        now.logs.entry(key).or_insert_with(|| Kept { number, ..Kept::default() }).add(lines);
    }

    fn forget(&self, key: &str, task: &str) {
        let mut now = self.now();
        now.agents.remove(task);
        now.running.remove(key);
    }
}

/// A container that is being made.
struct Creating<'a>(&'a Runner);

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.0.now().creating -= 1;
    }
}

/// Takes an engine to run tasks, or the word why there is none. What servers that were killed have left in it is
/// removed first; how many containers that were.
pub async fn begin(world: &World, engine: Result<Engine, String>) -> usize {
    let removed = match &engine {
        Ok(engine) => owner::clean_up(world, engine).await,
        Err(_) => 0,
    };
    world.ecs.use_engine(engine);
    removed
}

/// Keeps services and tasks going until the server ends.
pub(crate) async fn drive(world: std::sync::Arc<World>) {
    /// Between two looks when nothing is expected, in milliseconds.
    const IDLE_MS: u64 = 60_000;
    /// Between two looks at least, in milliseconds.
    const PAUSE_MS: u64 = 10;
    loop {
        end_orphans(&world);
        let due = tick(&world);
        start_new(&world);
        let wait = due.map_or(IDLE_MS, |at| {
            u64::try_from(at.saturating_sub(world.clock.now().0)).unwrap_or(0).clamp(PAUSE_MS, IDLE_MS)
        });
        tokio::select! {
            () = world.ecs.changed() => {
                // The change may not be written yet: services wake this while they are. Its turn is waited for.
                let _: Result<(), StoreError> = world.store.write(|_| Ok(()));
            }
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
        }
    }
}

/// Runs the tasks that nobody runs yet.
fn start_new(world: &Arc<World>) {
    let Some(engine) = world.ecs.engine() else { return };
    for task in world.store.list::<Task>("") {
        let is_new = task.status == TaskStatus::Provisioning && !task.is_stopping && !task.is_stand_in;
        if is_new && world.ecs.now().running.insert(task.key()) {
            let (world, engine) = (Arc::clone(world), engine.clone());
            tokio::spawn(run::run(world, engine, task));
        }
    }
}

/// Ends the tasks that an earlier server ran: their containers ended with it, or were removed when this one began.
fn end_orphans(world: &World) {
    if world.ecs.engine.get().is_none() {
        return;
    }
    let has_engine = world.ecs.engine().is_some();
    for task in world.store.list::<Task>("") {
        // Without an engine only what was told to be run is: the rest goes its way as a record.
        let first = if has_engine { TaskStatus::Pending } else { TaskStatus::Activating };
        let was_run = (first..=TaskStatus::Running).contains(&task.status)
            && !task.is_stopping
            && !task.is_stand_in
            && task.not_run.is_none();
        if was_run && !world.ecs.now().running.contains(&task.key()) {
            let reason = "Essential container in task exited: the server that ran it has ended";
            // What the disk doesn't take is tried again with the next look.
            let _ = fail(world, &task.key(), "EssentialContainerExited", reason);
        }
    }
}

/// Does what is due, and says when there is something to do again, in milliseconds since 1970.
pub fn tick(world: &World) -> Option<i64> {
    let now = world.clock.now().0;
    let mut next: Option<i64> = None;
    let mut at = |due: i64| next = Some(next.map_or(due, |known| known.min(due)));
    for task in world.store.list::<Task>("") {
        let is_engines =
            world.ecs.engine().is_some() && task.status != TaskStatus::Stopped && !task.is_stand_in;
        let is_run = is_engines && world.ecs.now().running.contains(&task.key());
        // A new task is about to be run; one that something runs goes on by itself.
        if is_run || (is_engines && task.status == TaskStatus::Provisioning && !task.is_stopping) {
            continue;
        }
        match due_of(&task) {
            Some(due) if due <= now => {
                // What the disk doesn't take is tried again with the next tick.
                let _ = advance(world, &task);
                at(now + STEP_MS);
            }
            Some(due) => at(due),
            None => {}
        }
    }
    for service in world.store.list::<Service>("") {
        if service.status == ServiceStatus::Inactive {
            continue;
        }
        let _ = tick_service(world, &service.key());
        let after = world.store.get::<Service>(&service.key());
        if let Some(due) = after.and_then(|known| known.rollout.due_ms(now)) {
            at(due);
        }
    }
    if let Some(due) = crate::codedeploy::drive::tick(world) {
        at(due);
    }
    next
}

fn tick_service(world: &World, key: &str) -> Result<(), StoreError> {
    world.store.write(|writing| {
        let Some(service) = writing.get::<Service>(key) else { return Ok(()) };
        let mut after = (*service).clone();
        // A tick that changes nothing is not written.
        let mut probe = service.rollout.clone();
        let actions = probe.step(Event::Tick, world.clock.now().0, &mut |_| String::new());
        if actions.is_empty() && probe == service.rollout {
            return Ok(());
        }
        controller::feed(world, writing, &mut after, Event::Tick);
        Ok(())
    })
}

/// When a task goes on by itself, in milliseconds since 1970.
fn due_of(task: &Task) -> Option<i64> {
    match task.status {
        TaskStatus::Stopped => Some(task.times.changed.saturating_add(STOPPED_MS_KEPT)),
        TaskStatus::Running if !task.is_stopping => None,
        _ => Some(task.times.changed.saturating_add(STEP_MS)),
    }
}

/// The next step of a task that is not run.
fn advance(world: &World, task: &Task) -> Result<(), StoreError> {
    let key = task.key();
    match (task.status, task.is_stopping) {
        (TaskStatus::Stopped, _) => world.store.write(|writing| writing.remove::<Task>(&key)),
        (TaskStatus::Provisioning, false) => change(world, &key, |task, now| {
            task.status = TaskStatus::Pending;
            task.times.pull_started = Some(now);
        }),
        (TaskStatus::Pending, false) => admit(world, task),
        (TaskStatus::Activating, false) => {
            // Nothing contradicts the health of what is not run.
            let definition = super::load::definition_by_arn(world, &task.place, &task.definition);
            let is_checked = definition.is_some_and(|known| controller::has_health_check(&known));
            change(world, &key, |task, now| {
                task.status = TaskStatus::Running;
                task.times.started = Some(now);
                set_containers(task, "RUNNING");
                if is_checked {
                    task.health = "HEALTHY".to_owned();
                }
            })
        }
        (TaskStatus::Running, false) => Ok(()),
        (TaskStatus::Running, true) => change(world, &key, |task, _| task.status = TaskStatus::Deactivating),
        (TaskStatus::Deactivating, _) => change(world, &key, |task, now| {
            task.status = TaskStatus::Stopping;
            task.times.stopping.get_or_insert(now);
        }),
        (
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating | TaskStatus::Stopping,
            _,
        ) => change(world, &key, |task, now| {
            task.status = TaskStatus::Deprovisioning;
            task.times.execution_stopped = Some(now);
            set_containers(task, "STOPPED");
        }),
        (TaskStatus::Deprovisioning, _) => change(world, &key, |task, now| {
            task.status = TaskStatus::Stopped;
            task.times.stopped = Some(now);
        }),
    }
}

fn set_containers(task: &mut Task, status: &str) {
    for container in &mut task.containers {
        status.clone_into(&mut container.status);
    }
}

/// The images are asked for as the execution role asks for them, whether or not something runs them.
fn admit(world: &World, task: &Task) -> Result<(), StoreError> {
    let key = task.key();
    if task.is_stand_in {
        return change(world, &key, |task, _| task.status = TaskStatus::Activating);
    }
    let pulled = pull::resolve(world, task);
    let why = world.ecs.not_run().to_owned();
    let admitted = pulled.and_then(|digests| awslogs::open_all(world, task).map(|_| digests));
    match admitted {
        Err(reason) => fail(world, &key, "TaskFailedToStart", &reason),
        Ok(_) if task.service.is_none() => fail(world, &key, "TaskFailedToStart", &why),
        Ok(digests) => change(world, &key, |task, now| {
            task.status = TaskStatus::Activating;
            task.not_run = Some(why);
            task.times.pull_stopped = Some(now);
            for (container, digest) in task.containers.iter_mut().zip(digests) {
                container.digest = digest;
            }
        }),
    }
}

/// Whether an image of this server's registry that tasks of this need was never pushed to it.
pub(super) fn lacks_images(world: &World, definition: &TaskDefinition) -> bool {
    let mut images = definition.containers().filter_map(|container| container.get("image")?.as_str());
    images.any(|image| {
        let local = pull::local(world, &definition.place, image);
        local.is_some_and(|image| !pull::is_there(world, &image))
    })
}

/// Whether an event of a service, or ECS's answer, is about a role that it couldn't take.
pub fn is_about_untaken_role(sentence: &str) -> bool {
    role::is_refusal(sentence)
}

/// Why tasks can't take a role by the name that AWS's sentence about it has, if they can't.
pub fn why_not_taken(world: &World, role_arn: &str) -> Option<Finding> {
    let account = Arn::parse(role_arn).ok()?.account_id()?;
    role::finding(world, &Place { account, region: world.settings.default_region.clone() }, role_arn)
}

/// A task that ends by itself.
pub(super) fn fail(world: &World, key: &str, code: &str, reason: &str) -> Result<(), StoreError> {
    change(world, key, |task, now| {
        if task.is_stopping {
            return;
        }
        task.is_stopping = true;
        task.stop_code = Some(code.to_owned());
        task.stopped_reason = Some(reason.to_owned());
        task.times.stopping = Some(now);
    })
}

/// Changes a task, and tells its service what that means.
pub(super) fn change(
    world: &World,
    key: &str,
    change: impl FnOnce(&mut Task, i64),
) -> Result<(), StoreError> {
    let now = world.clock.now().0;
    world.store.write(|writing| {
        let Some(before) = writing.get::<Task>(key) else { return Ok(()) };
        let mut task = (*before).clone();
        change(&mut task, now);
        task.version += 1;
        task.times.changed = now;
        let (was, is) = (before.status, task.status);
        let health = health_of(&task.health);
        let other_health = before.health != task.health;
        writing.put(task);
        if was < TaskStatus::Running && is == TaskStatus::Running {
            controller::feed_of_task(world, writing, key, Event::TaskRuns);
        }
        if other_health {
            controller::feed_of_task(world, writing, key, |id| Event::TaskHealth(id, health));
        }
        if was != TaskStatus::Stopped && is == TaskStatus::Stopped {
            controller::feed_of_task(world, writing, key, Event::TaskStopped);
        }
        Ok(())
    })?;
    world.ecs.wake();
    Ok(())
}

fn health_of(word: &str) -> Health {
    match word {
        "HEALTHY" => Health::Healthy,
        "UNHEALTHY" => Health::Unhealthy,
        _ => Health::Unknown,
    }
}

/// The task of an id.
fn task(world: &World, id: &str) -> Option<Arc<Task>> {
    world.store.list::<Task>("").into_iter().find(|task| task.id == id)
}

/// The role that a task has, from its overrides or its definition.
pub fn role_of(world: &World, task: &Task, member: &str) -> Option<String> {
    let definition = super::load::definition_by_arn(world, &task.place, &task.definition);
    role_in(task.body.get("overrides"), definition.as_deref(), member).map(str::to_owned)
}

/// The role of a task to be, from its overrides or its definition.
pub(super) fn role_in<'b>(
    overrides: Option<&'b Value>,
    definition: Option<&'b TaskDefinition>,
    member: &str,
) -> Option<&'b str> {
    let given = overrides.and_then(|overrides| overrides.get(member)?.as_str());
    let given = given.filter(|role| !role.is_empty());
    given.or_else(|| definition?.text(member).filter(|role| !role.is_empty()))
}

/// The roles that ECS takes for a task of this.
pub(super) fn roles<'b>(overrides: Option<&'b Value>, definition: &'b TaskDefinition) -> Vec<&'b str> {
    let members = ["taskRoleArn", "executionRoleArn"].into_iter();
    members.filter_map(|member| role_in(overrides, Some(definition), member)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_too_many_logs_the_oldest_of_tasks_that_have_ended_go_first() {
        let runner = Runner::default();
        let line = || vec![LogLine { at_ns: 1, text: "said".to_owned() }];
        // Ids are random: their order says nothing.
        let id = |number: usize| format!("{:04}", (number * 7919) % 9973);
        for number in 0..LOGS_MAX {
            runner.keep_log(&id(number), "main", line());
        }
        let has = |number: usize| runner.log(&id(number), "main").is_some();
        runner.keep_log(&id(0), "main", line());
        assert!((0..LOGS_MAX).all(has), "what is written to a log takes no other's place");
        runner.now().agents.insert(id(0), Agent::default());
        runner.keep_log(&id(LOGS_MAX), "main", line());
        assert!(has(0), "its task runs");
        assert!(!has(1), "the oldest of those that don't");
        assert!((2..=LOGS_MAX).all(has));
    }

    /// What an engine tells of a log: its last lines, of those since a moment. Docker leaves out what is older, Podman
    /// tells some of it.
    fn told(log: &[LogLine], since: Option<i64>, before_ns: i64) -> Vec<LogLine> {
        let last = &log[log.len().saturating_sub(LINES_MAX)..];
        let since = since.map_or(i64::MIN, |since| since - before_ns);
        last.iter().filter(|line| line.at_ns >= since).cloned().collect()
    }

    #[test]
    fn however_much_comes_between_two_looks_each_line_is_kept_once() {
        // Lines of a look, and nanoseconds between two lines: many have the same moment, and some are late.
        for (each, step) in
            [(1, 7), (1_000, 0), (1_000, 50_000), (4_999, 1), (9_999, 1_000_000), (5_000, 400)]
        {
            for before_ns in [0, 2_000_000_000] {
                let (mut log, mut kept) = (Vec::new(), Kept::default());
                for look in 0..5 {
                    for number in 0..each {
                        let at = 5_000_000_000 + (look * each + number) * step;
                        let late = if number % 3 == 2 { step * 2 } else { 0 };
                        log.push(LogLine { at_ns: at - late, text: format!("{}", number % 2) });
                    }
                    let more = told(&log, kept.since(), before_ns);
                    kept.add(more);
                    let more = told(&log, kept.since(), before_ns);
                    kept.add(more);
                }
                let gone = log.len().saturating_sub(LINES_MAX);
                let at = format!("{each} lines every {step} ns");
                assert_eq!(kept.gone, u64::try_from(gone).unwrap(), "{at}");
                assert!(kept.lines == log[gone..], "{at}: {} lines", kept.lines.len());
            }
        }
    }

    #[test]
    fn what_is_missing_of_a_log_is_said_in_its_place() {
        let line = |number: i64| LogLine { at_ns: number, text: format!("{number}") };
        let all = |from: i64, count: usize| (from..).take(count).map(line).collect::<Vec<_>>();
        let mut kept = Kept::default();
        kept.add(all(0, 10));
        assert_eq!(kept.shown(), (0, all(0, 10)));
        // More than an engine is asked for came meanwhile: how much nobody knows.
        kept.add(all(50, LINES_MAX));
        let (gone, lines) = kept.shown();
        assert_eq!((gone, lines.len()), (10, LINES_MAX + 1));
        assert!(lines[0].text.contains("lines are missing") && lines[0].at_ns == 50, "{:?}", lines[0]);
        assert_eq!(lines[1..], all(50, LINES_MAX));
        // One that begins anew, as engines let it where it has a limit, has lost what nobody has seen.
        let mut kept = Kept::default();
        kept.add(all(0, 10));
        kept.add(all(20, 12));
        assert_eq!((kept.gone, kept.lines.len()), (1, 22));
        // What has gone on is the same line.
        let told = |text: &str| LogLine { at_ns: 9, text: text.to_owned() };
        let mut kept = Kept::default();
        kept.add([all(0, 9), vec![told("9 and")]].concat());
        kept.add([all(0, 9), vec![told("9 and more"), line(10)]].concat());
        assert_eq!((kept.gone, kept.lines.len()), (0, 11));
        // A log of few long lines has a limit too.
        let mut kept = Kept::default();
        let long = |number: i64| LogLine { at_ns: number, text: "x".repeat(1 << 20) };
        kept.add((0..20).map(long).collect());
        assert_eq!((kept.lines.len(), kept.gone, kept.bytes), (16, 4, LOG_BYTES_MAX));
        // All of it is told again as long as it is not older than a second, and what comes behind it is new.
        for count in [20, 20, 23, 23] {
            kept.add((0..count).map(long).collect());
            let first = usize::try_from(count).unwrap() - 16;
            assert_eq!((kept.lines.len(), kept.gone), (16, u64::try_from(first).unwrap()));
            assert!(kept.lines.iter().map(|line| line.at_ns).eq((count - 16)..count));
        }
    }

    #[test]
    fn ports_that_never_came_are_not_waited_for_as_long_any_more() {
        let runner = Runner::default();
        for _ in 0..HANDOVERS_MISSED {
            assert_eq!(runner.handover_wait(), handover::WAIT_MAX);
            runner.note_handover(false);
        }
        assert_eq!(runner.handover_wait(), handover::WAIT_MAX_IN_VAIN);
        runner.note_handover(true);
        assert_eq!(runner.handover_wait(), handover::WAIT_MAX);
    }
}
