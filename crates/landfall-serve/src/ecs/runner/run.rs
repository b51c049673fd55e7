//! A task that is really run: its images pulled, its containers started in order, watched and stopped.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::agent::{Agent, Member, Reach};
use super::engine::{Engine, State};
use super::hold::Held;
use super::made::{Made, show};
use super::order::{self, Dependency, Readiness, Stage};
use super::spec::{self, Network, Plan, Surroundings};
use super::volumes::{self, Volume};
use super::{awslogs, change, fail, owner, pull};
use crate::authn::RegistryLogin;
use crate::caller::Caller;
use crate::logs::writer::close;
use crate::store::ecs::{Task, TaskDefinition, TaskStatus};
use crate::store::{Record, StoreError};
use crate::vault::Purpose;
use crate::world::World;

/// Between two looks at a container, in milliseconds.
const LOOK_MS: u64 = 250;
/// Exit code of a container that was killed.
const KILLED: i64 = 137;
/// How long an engine may take to note that it was for its memory.
const KILL_REASON_WAIT: Duration = Duration::from_millis(200);
/// How late a health check may be before it is run in its engine's place.
const CHECK_LATE: Duration = Duration::from_millis(500);

/// Why a task ended: `stopCode` and `stoppedReason`.
struct End(&'static str, String);

/// Runs a task from its beginning to its end.
pub(super) async fn run(world: Arc<World>, engine: Engine, task: Arc<Task>) {
    let key = task.key();
    let mut run = Run {
        world: &world,
        engine: &engine,
        key: &key,
        containers: Vec::new(),
        holders: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        streams: Vec::new(),
        is_told_without_agent: false,
    };
    let end = match run.prepare(&task).await {
        Err(reason) => Some(End("TaskFailedToStart", reason)),
        Ok(()) => run.watch().await,
    };
    if let Some(End(code, reason)) = end {
        run.note(fail(&world, &key, code, &reason));
    }
    run.stop().await;
    world.ecs.forget(&key, &task.id);
}

/// A container that is about to be made, and where its ports are: container port, host port, protocol.
type Admitted = (Plan, Vec<(u16, u16, String)>);

/// A task that is run.
pub(super) struct Run<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) engine: &'a Engine,
    key: &'a str,
    containers: Vec<Made>,
    /// The containers that hold networks and whatever else these share.
    pub(super) holders: Vec<String>,
    /// The agent's ports in those networks: closed when the task has ended.
    ports: Vec<watch::Sender<bool>>,
    volumes: Vec<Volume>,
    /// The log streams of containers that have one: their names, and the streams' keys.
    streams: Vec<(String, String)>,
    /// Whether it is told that the task has no agent.
    pub(super) is_told_without_agent: bool,
}

impl Run<'_> {
    /// What the disk doesn't take is told by the store; the containers go on.
    fn note(&self, _: Result<(), StoreError>) {}

    pub(super) fn task(&self) -> Option<Arc<Task>> {
        self.world.store.get::<Task>(self.key)
    }

    fn set(&self, with: impl FnOnce(&mut Task, i64)) {
        self.note(change(self.world, self.key, with));
    }

    /// Pulls the images and makes the containers.
    async fn prepare(&mut self, task: &Task) -> Result<(), String> {
        self.set(|task, now| {
            task.status = TaskStatus::Pending;
            task.times.pull_started = Some(now);
        });
        let digests = pull::resolve(self.world, task)?;
        if awslogs::is_on_fargate(task) {
            self.streams = awslogs::open_all(self.world, task)?;
        }
        let gone = || format!("CannotStartContainerError: the task definition {} is gone", task.definition);
        let (definition, mut plans) = spec::plans(self.world, task).ok_or_else(gone)?;
        self.volumes = volumes::of(self.world, task, &definition)?;
        for plan in &mut plans {
            self.pull(task, plan).await?;
        }
        self.set(|task, now| {
            task.times.pull_stopped = Some(now);
            for (container, digest) in task.containers.iter_mut().zip(digests) {
                container.digest = digest;
            }
        });
        for volume in &self.volumes {
            volume.make(self.world, task, self.engine).await?;
        }
        let plans = order::made_in_order(plans, |plan| plan.name.clone(), Plan::made_after);
        self.make(task, &definition, plans).await?;
        self.set(|task, _| task.status = TaskStatus::Activating);
        Ok(())
    }

    /// Pulls an image: one of this server with the login of whoever pulls, by the server's own address.
    async fn pull(&self, task: &Task, plan: &mut Plan) -> Result<(), String> {
        let failed =
            |problem: String| format!("CannotPullContainerError: Error response from daemon: {problem}");
        let Some(local) = pull::local(self.world, &task.place, &plan.image) else {
            return self.engine.pull(&plan.image, None).await.map_err(failed);
        };
        let caller = pull::puller(self.world, task)?;
        let session = match &caller {
            Caller::Session(session) => Some(session.as_ref().clone()),
            _ => None,
        };
        let login = RegistryLogin {
            session,
            user: None,
            federated: None,
            account: local.registry.account.to_string(),
            region: local.registry.region.clone(),
            door: None,
            expires_at_ms: self.world.clock.ends_after(3_600).0,
        };
        let plain = serde_json::to_vec(&login).map_err(|error| failed(error.to_string()))?;
        let password = self.world.vault.seal(Purpose::RegistryLogin, &plain).map_err(failed)?;
        let own = || self.world.base_url().split_once("//").map_or("", |(_, host)| host).to_owned();
        let host = self.world.registries.address(&local.registry).map_err(failed)?.unwrap_or_else(own);
        let joint = if local.reference.contains(':') { '@' } else { ':' };
        plan.image = format!("{host}/{}{joint}{}", local.name, local.reference);
        let was_there = self.engine.has_image(&plan.image).await && !self.world.ecs.has_pulled(&plan.image);
        self.engine.pull(&plan.image, Some(("AWS", &password))).await.map_err(failed)?;
        if !was_there {
            // Its name is this server's, and leads nowhere after it.
            plan.is_image_ours = true;
            self.world.ecs.keep_image(&plan.image);
        }
        Ok(())
    }

    /// Makes the containers that hold networks, and starts them; then the task's own.
    async fn make(
        &mut self,
        task: &Task,
        definition: &TaskDefinition,
        plans: Vec<Plan>,
    ) -> Result<(), String> {
        let failed =
            |problem: String| format!("CannotCreateContainerError: Error response from daemon: {problem}");
        let network = Network::of(definition, self.engine);
        let labels = owner::labels(self.world, &task.id);
        let volumes = self.volumes.clone();
        let size = |body: Option<&Value>| body.and_then(Value::as_str)?.parse().ok();
        let none = BTreeMap::new();
        let mut around = Surroundings {
            task,
            network: &network,
            pause: None,
            holders: &none,
            volumes: &volumes,
            memory: size(task.body.get("memory")).or_else(|| size(definition.body.get("memory"))),
            pid_mode: definition.text("pidMode"),
            ipc_mode: definition.text("ipcMode"),
            has_own_names: self.engine.is_podman(),
            labels: &labels,
        };
        let held = self.hold_all(&around, &plans).await.map_err(failed)?;
        let (pause, holders) = held.ids();
        around.pause = pause.as_deref();
        around.holders = &holders;
        let plans = self.admit(task, &network, plans, &held);
        self.ports.extend(held.into_ports());
        for (plan, ports) in plans {
            let spec = plan.spec(&around);
            let id = self.create(&around.engine_name(&plan.name), &spec).await.map_err(failed)?;
            self.world.ecs.note_member(&task.id, &plan.name, |member| member.id = Some(id.clone()));
            let state = State::default();
            let (started, checked, lost) = (None, None, None);
            self.containers.push(Made { plan, id, started, checked, lost, state, ports });
        }
        Ok(())
    }

    /// The containers that hold networks: what all of the task shares, and in a bridge one for each container.
    async fn hold_all(&mut self, around: &Surroundings<'_>, plans: &[Plan]) -> Result<Held, String> {
        let mut held = Held::default();
        let name = |of: &str| around.engine_name(&format!("internalecspause{of}"));
        if spec::needs_pause(around) {
            held.all = Some(self.hold(&name(""), spec::pause(around, plans)).await?);
        }
        if *around.network != Network::Bridge {
            return Ok(held);
        }
        // In an order in which those that are linked to come first.
        for plan in plans.iter().filter(|plan| !plan.is_off_network()) {
            let links: Vec<_> = held
                .each
                .iter()
                .filter_map(|(name, holder)| Some((name.clone(), holder.lan.as_ref()?.address)))
                .collect();
            let spec = spec::holder(around, plan, &links);
            let holder = self.hold(&name(&format!("-{}", plan.name)), spec).await?;
            held.each.insert(plan.name.clone(), holder);
        }
        Ok(held)
    }

    /// The agent gets to know the containers, and they get their environment.
    fn admit(&self, task: &Task, network: &Network, plans: Vec<Plan>, held: &Held) -> Vec<Admitted> {
        let reach = |plan: &Plan| match held.of(network, plan) {
            _ if plan.is_off_network() => Reach::None,
            Some(holder) if holder.agent.is_some() => Reach::Own,
            None if *network == Network::Host => Reach::Machine,
            _ => Reach::None,
        };
        let of_task = if *network == Network::Host { Reach::Machine } else { Reach::Own };
        let mut agent = Agent::new(self.world, task, of_task);
        let mut admitted = Vec::new();
        for mut plan in plans {
            let holder = held.of(network, &plan);
            let member = Member {
                name: plan.name.clone(),
                id: None,
                holder: holder.map(|holder| holder.id.clone()),
                lan: holder.and_then(|holder| holder.lan.clone()),
                restarts: 0,
            };
            let reach = reach(&plan);
            plan.given = environment(task);
            plan.given.extend(agent.admit(self.world, member, reach));
            let mapped = if plan.is_off_network() { Vec::new() } else { plan.ports() };
            let ports = mapped.into_iter().map(|(inside, _, protocol)| {
                let known = holder.into_iter().flat_map(|holder| &holder.ports);
                let outside = known
                    .filter(|(known, _, kind)| (known, kind) == (&inside, &protocol))
                    .map(|(_, outside, _)| *outside)
                    .next();
                // In the machine's network a port is where the container opens it.
                (inside, outside.unwrap_or(inside), protocol)
            });
            admitted.push((plan, ports.collect()));
        }
        self.world.ecs.keep_agent(&task.id, agent);
        admitted
    }

    /// Makes a container that is removed with this server at the latest.
    pub(super) async fn create(&self, name: &str, spec: &Value) -> Result<String, String> {
        let _creating = self.world.ecs.creating().ok_or("the server ends")?;
        self.engine.create(name, spec).await
    }

    /// Starts the containers that wait for nothing any more.
    async fn start_ready(&mut self) -> Result<(), String> {
        for at in 0..self.containers.len() {
            let Some(made) = self.containers.get(at) else { continue };
            if !matches!(made.stage(), Stage::Waits) {
                continue;
            }
            let started = match self.readiness(&made.plan) {
                Readiness::Waits => continue,
                Readiness::Ready => match self.open_log(made) {
                    Ok(opened) => {
                        let started = self.engine.start(&made.id).await;
                        self.streams.extend(opened);
                        started.map_err(|problem| {
                            format!("CannotStartContainerError: Error response from daemon: {problem}")
                        })
                    }
                    Err(why) => Err(why),
                },
                Readiness::Never(why) => {
                    self.lose(at, why);
                    continue;
                }
            };
            match started {
                Ok(()) => {
                    if let Some(made) = self.containers.get_mut(at) {
                        made.started = Some(Instant::now());
                    }
                }
                Err(why) if made.plan.is_essential => return Err(why),
                Err(why) => self.lose(at, why),
            }
        }
        Ok(())
    }

    /// Makes the log stream of a container that is about to start, where it isn't there yet.
    fn open_log(&self, made: &Made) -> Result<Option<(String, String)>, String> {
        let Some(task) = self.task().filter(|task| !awslogs::is_on_fargate(task)) else { return Ok(None) };
        let name = &made.plan.name;
        let opened = awslogs::open_one(self.world, &task, name, &made.id)?;
        Ok(opened.map(|key| (name.clone(), key)))
    }

    /// Keeps what the containers have written: they have ended.
    fn close_logs(&self) {
        let id = self.key.rsplit(crate::store::records::KEY_SEPARATOR).next().unwrap_or_default();
        for (name, key) in &self.streams {
            let (gone, lines) = self.world.ecs.kept_log(id, name).unwrap_or_default();
            self.note(close(self.world, key, gone, lines));
        }
    }

    /// A container will never start.
    fn lose(&mut self, at: usize, why: String) {
        if let Some(made) = self.containers.get_mut(at) {
            made.lost = Some(why);
        }
    }

    fn readiness(&self, plan: &Plan) -> Readiness {
        let target = format!("{}({})", plan.name, plan.written_image());
        let mut all = Readiness::Ready;
        for (name, condition) in &plan.after {
            let Some(other) = self.containers.iter().find(|made| made.plan.name == *name) else { continue };
            let on = Dependency {
                condition,
                name,
                image: other.plan.written_image(),
                stage: other.stage(),
                start_seconds: other.plan.start_seconds,
            };
            match order::readiness(&target, &on) {
                Readiness::Ready => {}
                Readiness::Waits => all = Readiness::Waits,
                never @ Readiness::Never(_) => return never,
            }
        }
        all
    }

    /// Reads how the containers are, and keeps what they have written.
    async fn look(&mut self) {
        let id = self.key.rsplit(crate::store::records::KEY_SEPARATOR).next().unwrap_or_default().to_owned();
        for made in self.containers.iter_mut().filter(|made| made.started.is_some()) {
            let had_ended = made.state.exit_code.is_some();
            if let Ok(mut state) = self.engine.inspect(&made.id).await {
                // An engine may come to know what killed it after it has ended.
                if !had_ended && state.exit_code == Some(KILLED) && !state.out_of_memory {
                    tokio::time::sleep(KILL_REASON_WAIT).await;
                    state = self.engine.inspect(&made.id).await.unwrap_or(state);
                    let now = self.world.clock.wall();
                    state.out_of_memory |= self.engine.says_out_of_memory(&made.id, now).await;
                }
                state.out_of_memory |= had_ended && made.state.out_of_memory;
                if state.checked_at != made.state.checked_at {
                    made.checked = Some(Instant::now());
                }
                made.state = state;
            }
            let is_due = made.plan.has_check
                && made.runs()
                && self.engine.leaves_checks()
                && made.checked.or(made.started).is_some_and(|last| {
                    last.elapsed() >= Duration::from_secs(made.plan.check_seconds) + CHECK_LATE
                });
            if is_due {
                // Nobody has: a check may take its time, and the looks go on meanwhile.
                made.checked = Some(Instant::now());
                let (engine, id) = (self.engine.clone(), made.id.clone());
                tokio::spawn(async move { engine.check_health(&id).await });
            }
            if !had_ended {
                let since = self.world.ecs.log_since(&id, &made.plan.name);
                let lines = self.engine.logs(&made.id, since, false).await;
                self.world.ecs.keep_log(&id, &made.plan.name, lines);
            }
        }
    }

    /// Reads what the containers have written once more: an engine may come to write down the last of it when they have
    /// ended already.
    async fn keep_logs(&self) {
        let id = self.key.rsplit(crate::store::records::KEY_SEPARATOR).next().unwrap_or_default();
        for made in self.containers.iter().filter(|made| made.started.is_some()) {
            let since = self.world.ecs.log_since(id, &made.plan.name);
            let told = self.engine.logs(&made.id, since, true).await;
            if !told.is_empty() {
                self.world.ecs.keep_log(id, &made.plan.name, told);
            }
        }
    }

    /// Starts again what its restart policy brings back.
    async fn restart(&mut self) {
        let id = self.key.rsplit(crate::store::records::KEY_SEPARATOR).next().unwrap_or_default();
        for made in &mut self.containers {
            let (Some(policy), Some(code), Some(since)) =
                (&made.plan.restart, made.state.exit_code, made.started)
            else {
                continue;
            };
            let ran_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            // As long as it would have been on AWS.
            let ran_ms = ran_ms.saturating_mul(u64::from(self.world.clock.lapse()));
            if policy.restarts(ran_ms, code) && self.engine.start(&made.id).await.is_ok() {
                made.started = Some(Instant::now());
                made.state = State { is_running: true, ..State::default() };
                self.world.ecs.note_member(id, &made.plan.name, |member| member.restarts += 1);
            }
        }
    }

    /// Puts what is known of the containers into the task.
    fn shown(&self) -> impl FnOnce(&mut Task) + use<> {
        let known = self.containers.clone();
        move |task: &mut Task| {
            let mut checked = Vec::new();
            for made in known {
                let found = task.containers.iter_mut().find(|known| known.name == made.plan.name);
                let Some(container) = found else { continue };
                show(&made, container);
                if made.plan.has_check && made.plan.is_essential {
                    checked.push(container.health.clone());
                }
            }
            let health = match checked.as_slice() {
                [] => "UNKNOWN",
                all if all.iter().any(|health| health == "UNHEALTHY") => "UNHEALTHY",
                all if all.iter().all(|health| health == "HEALTHY") => "HEALTHY",
                _ => "UNKNOWN",
            };
            health.clone_into(&mut task.health);
        }
    }

    /// Starts the containers in order, and watches them until an essential one ends or the task is told to stop.
    async fn watch(&mut self) -> Option<End> {
        let mut was_whole = false;
        let mut told: Vec<(Stage, State)> = Vec::new();
        loop {
            if self.task().is_none_or(|task| task.is_stopping) {
                return None;
            }
            if !was_whole && let Err(reason) = self.start_ready().await {
                return Some(End("TaskFailedToStart", reason));
            }
            self.look().await;
            self.restart().await;
            let is_whole = self.containers.iter().all(|made| made.started.is_some() || made.lost.is_some());
            let essential = self.containers.iter().find(|made| made.plan.is_essential && made.has_ended());
            let seen: Vec<(Stage, State)> = self.containers.iter().map(Made::seen).collect();
            if seen != told || is_whole != was_whole {
                let containers = self.shown();
                let begins = is_whole && !was_whole && essential.is_none_or(|made| made.lost.is_none());
                self.set(|task, now| {
                    containers(task);
                    if begins && !task.is_stopping {
                        task.status = TaskStatus::Running;
                        task.times.started = Some(now);
                    }
                });
                told = seen;
            }
            if essential.is_some() {
                let reason = "Essential container in task exited".to_owned();
                return Some(End("EssentialContainerExited", reason));
            }
            was_whole |= is_whole;
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    /// Stops and removes what was made, and leads the task to its end.
    async fn stop(&mut self) {
        if self.task().is_some_and(|task| task.status == TaskStatus::Running) {
            self.set(|task, _| task.status = TaskStatus::Deactivating);
        }
        self.set(|task, now| {
            task.status = TaskStatus::Stopping;
            task.times.stopping.get_or_insert(now);
        });
        self.stop_in_order().await;
        self.keep_logs().await;
        self.close_logs();
        let containers = self.shown();
        self.set(|task, now| {
            let health = task.health.clone();
            containers(task);
            task.health = health;
            task.status = TaskStatus::Deprovisioning;
            task.times.execution_stopped = Some(now);
            for container in &mut task.containers {
                "STOPPED".clone_into(&mut container.status);
            }
        });
        for id in self.containers.iter().map(|made| &made.id).chain(&self.holders) {
            self.engine.remove(id).await;
        }
        for volume in self.volumes.iter().filter(|volume| volume.is_tasks) {
            self.engine.remove_volume(&volume.engine_name).await;
        }
        self.set(|task, now| {
            task.status = TaskStatus::Stopped;
            task.times.stopped = Some(now);
        });
    }

    /// Asks the containers to end, each before those that it depends on.
    async fn stop_in_order(&mut self) {
        for _ in 0..=self.containers.len() {
            let running: Vec<&str> = self
                .containers
                .iter()
                .filter(|made| made.runs())
                .map(|made| made.plan.name.as_str())
                .collect();
            if running.is_empty() {
                break;
            }
            let after = |name: &str| -> Vec<String> {
                let made = self.containers.iter().find(|made| made.plan.name == name);
                made.map(|made| made.plan.after.iter().map(|(name, _)| name.clone()).collect())
                    .unwrap_or_default()
            };
            let names = order::stoppable(&running, after);
            let mut stopping = JoinSet::new();
            for made in self.containers.iter().filter(|made| names.contains(&made.plan.name)) {
                let (engine, id, seconds) = (self.engine.clone(), made.id.clone(), made.plan.stop_seconds);
                stopping.spawn(async move { engine.stop(&id, seconds).await });
            }
            // What an engine can't stop is removed by force below.
            while stopping.join_next().await.is_some() {}
            self.look().await;
        }
    }
}

/// What ECS puts into every container, whether or not it reaches the agent.
fn environment(task: &Task) -> Vec<(String, String)> {
    let kind = task.body.get("launchType").and_then(Value::as_str).unwrap_or("EC2");
    let place = if kind == "FARGATE" { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let region = task.place.region.as_str();
    vec![pair("AWS_EXECUTION_ENV", place), pair("AWS_REGION", region), pair("AWS_DEFAULT_REGION", region)]
}
