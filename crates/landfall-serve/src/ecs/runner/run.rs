//! A task that is really run: its images pulled, its containers started in order, watched and stopped.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;
use tokio::task::JoinSet;

use super::engine::{Engine, State};
use super::made::{Made, show};
use super::order::{self, Readiness, Stage};
use super::spec::{self, Network, Plan, Surroundings};
use super::volumes::{self, Volume};
use super::{change, fail, owner, pause, pull, role, role_of};
use crate::authn::RegistryLogin;
use crate::caller::Caller;
use crate::store::ecs::{Task, TaskDefinition, TaskStatus};
use crate::store::{Record, StoreError};
use crate::sts;
use crate::vault::Purpose;
use crate::world::World;

/// Between two looks at a container, in milliseconds.
const LOOK_MS: u64 = 250;
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
        pause: None,
        volumes: Vec::new(),
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

struct Run<'a> {
    world: &'a World,
    engine: &'a Engine,
    key: &'a str,
    containers: Vec<Made>,
    /// The container that holds what they share.
    pause: Option<String>,
    volumes: Vec<Volume>,
}

impl Run<'_> {
    /// What the disk doesn't take is told by the store; the containers go on.
    fn note(&self, _: Result<(), StoreError>) {}

    fn task(&self) -> Option<Arc<Task>> {
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
        let Some(local) = pull::local(self.world, task, &plan.image) else {
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
        let host = self.world.base_url().split_once("//").map_or("", |(_, host)| host);
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

    async fn make(
        &mut self,
        task: &Task,
        definition: &TaskDefinition,
        plans: Vec<Plan>,
    ) -> Result<(), String> {
        let failed =
            |problem: String| format!("CannotCreateContainerError: Error response from daemon: {problem}");
        let network = Network::of(definition, self.engine);
        let environment = environment(self.world, task, &network);
        let labels = owner::labels(self.world, &task.id);
        let volumes = self.volumes.clone();
        let size = |body: Option<&Value>| body.and_then(Value::as_str)?.parse().ok();
        let mut around = Surroundings {
            task,
            network: &network,
            pause: None,
            volumes: &volumes,
            memory: size(task.body.get("memory")).or_else(|| size(definition.body.get("memory"))),
            pid_mode: definition.text("pidMode"),
            ipc_mode: definition.text("ipcMode"),
            environment: &environment,
            labels: &labels,
        };
        if spec::needs_pause(&around) {
            pause::ensure(self.engine).await.map_err(failed)?;
            self.world.ecs.keep_image(pause::IMAGE);
            let name = around.engine_name("~internal~ecs~pause").replace('~', "");
            let id = self.create(&name, &spec::pause(&around, &plans)).await.map_err(failed)?;
            self.pause = Some(id.clone());
            self.engine.start(&id).await.map_err(failed)?;
        }
        let pause = self.pause.clone();
        around.pause = pause.as_deref();
        let held = match &pause {
            Some(id) => self.engine.inspect(id).await.map(|state| state.ports).unwrap_or_default(),
            None => Vec::new(),
        };
        for plan in plans {
            let spec = plan.spec(&around);
            let id = self.create(&around.engine_name(&plan.name), &spec).await.map_err(failed)?;
            let ports = plan.ports().into_iter().map(|(inside, _, protocol)| match network {
                // In the machine's network a port is where the container opens it.
                Network::Host | Network::None | Network::Bridge => (inside, inside, protocol),
                Network::Shared => {
                    let found = held.iter().find(|(known, _, kind)| (known, kind) == (&inside, &protocol));
                    (inside, found.map_or(inside, |(_, outside, _)| *outside), protocol)
                }
            });
            let ports = (network != Network::Bridge).then(|| ports.collect());
            let state = State::default();
            let (started, checked, lost) = (None, None, None);
            self.containers.push(Made { plan, id, spec, started, checked, lost, state, ports });
        }
        Ok(())
    }

    /// Makes a container that is removed with this server at the latest.
    async fn create(&self, name: &str, spec: &Value) -> Result<String, String> {
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
                Readiness::Ready => self.start(at).await.map_err(|problem| {
                    format!("CannotStartContainerError: Error response from daemon: {problem}")
                }),
                Readiness::Never(why) => Err(why),
            };
            let Some(made) = self.containers.get_mut(at) else { continue };
            match started {
                Ok(()) => made.started = Some(Instant::now()),
                Err(why) if made.plan.is_essential && why.starts_with("Cannot") => return Err(why),
                Err(why) => made.lost = Some(why),
            }
        }
        Ok(())
    }

    /// Starts a container. A host port that is taken is given up for any other: on ECS another instance of the
    /// cluster would have the task, and here there is one machine.
    async fn start(&mut self, at: usize) -> Result<(), String> {
        let Some(made) = self.containers.get(at) else { return Ok(()) };
        let problem = match self.engine.start(&made.id).await {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        let is_taken = ["port is already allocated", "address already in use"];
        let mut spec = made.spec.clone();
        let is_freed = is_taken.iter().any(|words| problem.contains(words)) && spec::free_ports(&mut spec);
        if !is_freed {
            return Err(problem);
        }
        let name = self.engine.name(&made.id).await?;
        self.engine.remove(&made.id).await;
        let id = self.create(&name, &spec).await?;
        self.engine.start(&id).await?;
        if let Some(made) = self.containers.get_mut(at) {
            (made.id, made.spec) = (id, spec);
        }
        Ok(())
    }

    fn readiness(&self, plan: &Plan) -> Readiness {
        let mut all = Readiness::Ready;
        for (name, condition) in &plan.after {
            let Some(other) = self.containers.iter().find(|made| made.plan.name == *name) else { continue };
            match order::readiness(&plan.name, name, condition, other.stage(), other.plan.start_seconds) {
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
            if let Ok(state) = self.engine.inspect(&made.id).await {
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
                let lines = self.engine.logs(&made.id).await;
                self.world.ecs.keep_log(&id, &made.plan.name, lines);
            }
        }
    }

    /// Starts again what its restart policy brings back.
    async fn restart(&mut self) {
        for made in &mut self.containers {
            let (Some(policy), Some(code), Some(since)) =
                (&made.plan.restart, made.state.exit_code, made.started)
            else {
                continue;
            };
            let ran_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            if policy.restarts(ran_ms, code) && self.engine.start(&made.id).await.is_ok() {
                made.started = Some(Instant::now());
                made.state = State { is_running: true, ..State::default() };
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
        for id in self.containers.iter().map(|made| &made.id).chain(&self.pause) {
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

/// What ECS puts into every container. A container in the machine's network reaches this server, and has
/// its role by the container credentials endpoint: SDKs take plain HTTP from loopback, and 169.254.170.2
/// can't be had without changing the machine's network.
fn environment(world: &World, task: &Task, network: &Network) -> Vec<(String, String)> {
    let kind = task.body.get("launchType").and_then(Value::as_str).unwrap_or("EC2");
    let place = if kind == "FARGATE" { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let region = task.place.region.as_str();
    let mut environment = vec![
        pair("AWS_EXECUTION_ENV", place),
        pair("AWS_REGION", region),
        pair("AWS_DEFAULT_REGION", region),
    ];
    if *network != Network::Host {
        return environment;
    }
    let base = world.base_url();
    environment.push(pair("AWS_ENDPOINT_URL", base));
    environment.push(pair("ECS_CONTAINER_METADATA_URI_V4", &format!("{base}/_landfall/task/{}", task.id)));
    if role_of(world, task, "taskRoleArn").is_some() {
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(world.random::<32>());
        environment.push(pair(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &format!("{base}/_landfall/task/{}/credentials", task.id),
        ));
        environment.push(pair("AWS_CONTAINER_AUTHORIZATION_TOKEN", &token));
        world.ecs.keep_token(&task.id, token);
    }
    environment
}

/// The answer of the container credentials endpoint.
///
/// # Errors
/// Status and message, when the token is not the task's, or the role can't be taken any more.
pub(super) fn credentials(world: &World, task: &Task) -> Result<Value, (u16, String)> {
    let arn = role_of(world, task, "taskRoleArn").ok_or((404, "the task has no role".to_owned()))?;
    let session = role::assume(world, task, &arn).map_err(|message| (400, message))?;
    let issued = sts::issue_to_task(world, session).map_err(|message| (500, message))?;
    Ok(serde_json::json!({
        "RoleArn": arn,
        "AccessKeyId": issued.session.access_key_id,
        "SecretAccessKey": issued.secret_key.expose(),
        "Token": issued.session_token.expose(),
        "Expiration": issued.session.expires_at().to_string(),
    }))
}
