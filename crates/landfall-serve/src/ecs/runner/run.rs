//! A task that is really run: its images pulled, its containers started in order, watched and stopped.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html>

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use super::engine::{Engine, State};
use super::spec::{self, Network, Plan};
use super::{change, fail, pull, role, role_of};
use crate::authn::RegistryLogin;
use crate::caller::Caller;
use crate::store::ecs::{Task, TaskStatus};
use crate::store::{Record, StoreError};
use crate::sts;
use crate::vault::Purpose;
use crate::world::World;

/// Between two looks at a container, in milliseconds.
const LOOK_MS: u64 = 250;
/// How long a container may wait for those before it, in seconds (`startTimeout` when nothing is said).
const START_SECONDS_MAX: u64 = 180;

/// Why a task ended: `stopCode` and `stoppedReason`.
struct End(&'static str, String);

/// Runs a task from its beginning to its end.
pub(super) async fn run(world: Arc<World>, engine: Engine, task: Arc<Task>) {
    let key = task.key();
    let mut run = Run { world: &world, engine: &engine, key: &key, containers: Vec::new() };
    let end = match run.start(&task).await {
        Err(reason) => Some(End("TaskFailedToStart", reason)),
        Ok(()) => run.watch().await,
    };
    if let Some(End(code, reason)) = end {
        run.note(fail(&world, &key, code, &reason));
    }
    run.stop().await;
    world.ecs.forget(&key, &task.id);
}

/// A container that was made.
#[derive(Clone)]
struct Made {
    plan: Plan,
    id: String,
    is_started: bool,
    state: State,
}

struct Run<'a> {
    world: &'a World,
    engine: &'a Engine,
    key: &'a str,
    containers: Vec<Made>,
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

    /// Pulls, makes and starts the containers.
    async fn start(&mut self, task: &Task) -> Result<(), String> {
        self.set(|task, now| {
            task.status = TaskStatus::Pending;
            task.times.pull_started = Some(now);
        });
        let digests = pull::resolve(self.world, task)?;
        let gone = || format!("CannotStartContainerError: the task definition {} is gone", task.definition);
        let (definition, mut plans) = spec::plans(self.world, task).ok_or_else(gone)?;
        for plan in &mut plans {
            self.pull(task, plan).await?;
        }
        self.set(|task, now| {
            task.times.pull_stopped = Some(now);
            for (container, digest) in task.containers.iter_mut().zip(digests) {
                container.digest = digest;
            }
        });
        let network = Network::of(&definition, self.engine);
        let environment = environment(self.world, task, &network);
        self.make(task, &plans, &network, &environment).await?;
        self.set(|task, _| task.status = TaskStatus::Activating);
        self.start_in_order().await?;
        let containers = self.shown();
        self.set(|task, now| {
            task.status = TaskStatus::Running;
            task.times.started = Some(now);
            containers(task);
        });
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
            expires_at_ms: self.world.clock.now().plus_seconds(3_600).0,
        };
        let plain = serde_json::to_vec(&login).map_err(|error| failed(error.to_string()))?;
        let password = self.world.vault.seal(Purpose::RegistryLogin, &plain).map_err(failed)?;
        let host = self.world.base_url().split_once("//").map_or("", |(_, host)| host);
        let joint = if local.reference.contains(':') { '@' } else { ':' };
        plan.image = format!("{host}/{}{joint}{}", local.name, local.reference);
        self.engine.pull(&plan.image, Some(("AWS", &password))).await.map_err(failed)
    }

    async fn make(
        &mut self,
        task: &Task,
        plans: &[Plan],
        network: &Network,
        environment: &[(String, String)],
    ) -> Result<(), String> {
        let all: Vec<&Plan> = plans.iter().collect();
        let mut first: Option<String> = None;
        for plan in plans {
            let joined = first.as_deref().filter(|_| *network == Network::Shared);
            let own = [plan];
            let ports: &[&Plan] = if *network == Network::Shared { &all } else { &own };
            let spec = plan.spec(task, network, joined, ports, environment);
            let name = format!("ecs-{}-{}-{}", task.definition_name().replace(':', "-"), plan.name, task.id);
            let made = self.engine.create(&name, &spec).await;
            let id = made.map_err(|problem| {
                format!("CannotCreateContainerError: Error response from daemon: {problem}")
            })?;
            self.world.ecs.keep(&id);
            first.get_or_insert_with(|| id.clone());
            self.containers.push(Made { plan: plan.clone(), id, is_started: false, state: State::default() });
        }
        Ok(())
    }

    /// Starts each container once those are ready that it depends on.
    async fn start_in_order(&mut self) -> Result<(), String> {
        let looks = START_SECONDS_MAX * 1000 / LOOK_MS;
        for _ in 0..looks {
            for at in 0..self.containers.len() {
                let Some(made) = self.containers.get(at) else { continue };
                if made.is_started || !self.is_ready_for(&made.plan)? {
                    continue;
                }
                let problem = self.engine.start(&made.id).await.err();
                if let Some(problem) = problem {
                    return Err(format!("CannotStartContainerError: Error response from daemon: {problem}"));
                }
                if let Some(made) = self.containers.get_mut(at) {
                    made.is_started = true;
                }
            }
            self.look().await;
            if self.containers.iter().all(|made| made.is_started) {
                return Ok(());
            }
            if self.task().is_none_or(|task| task.is_stopping) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
        Err("ContainerDependencyTimeout: a container did not start in time for those that depend on it"
            .to_owned())
    }

    fn is_ready_for(&self, plan: &Plan) -> Result<bool, String> {
        for (name, condition) in &plan.after {
            let Some(other) = self.containers.iter().find(|made| made.plan.name == *name) else { continue };
            let is_met = match (condition.as_str(), other.state.exit_code) {
                ("START", _) => other.is_started,
                ("HEALTHY", None) => other.state.health == "healthy",
                ("COMPLETE", code) => code.is_some(),
                ("SUCCESS", Some(0)) => true,
                ("SUCCESS", None) => false,
                _ => {
                    return Err(format!(
                        "dependency graph: container {name} did not become {condition}, on which {} depends",
                        plan.name
                    ));
                }
            };
            if !is_met {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads how the containers are, and keeps what they have written.
    async fn look(&mut self) {
        let id = self.key.rsplit(crate::store::records::KEY_SEPARATOR).next().unwrap_or_default().to_owned();
        for made in self.containers.iter_mut().filter(|made| made.is_started) {
            let had_ended = made.state.exit_code.is_some();
            if let Ok(state) = self.engine.inspect(&made.id).await {
                made.state = state;
            }
            if !had_ended {
                let lines = self.engine.logs(&made.id).await;
                self.world.ecs.keep_log(&id, &made.plan.name, lines);
            }
        }
    }

    /// Puts what is known of the containers into the task.
    fn shown(&self) -> impl FnOnce(&mut Task) + use<> {
        let known = self.containers.clone();
        move |task: &mut Task| {
            let mut checked = Vec::new();
            for Made { plan, id, is_started, state } in known {
                let found = task.containers.iter_mut().find(|known| known.name == plan.name);
                let Some(container) = found else { continue };
                container.runtime_id = Some(id);
                container.exit_code = state.exit_code.or(container.exit_code);
                let status = match (is_started, state.exit_code) {
                    (_, Some(_)) => "STOPPED",
                    (true, None) => "RUNNING",
                    (false, None) => "PENDING",
                };
                status.clone_into(&mut container.status);
                let health = match state.health.as_str() {
                    "healthy" => "HEALTHY",
                    "unhealthy" => "UNHEALTHY",
                    _ => "UNKNOWN",
                };
                health.clone_into(&mut container.health);
                if state.out_of_memory {
                    container.reason =
                        Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
                } else if !state.error.is_empty() {
                    container.reason = Some(format!(
                        "CannotStartContainerError: Error response from daemon: {}",
                        state.error
                    ));
                }
                // In the machine's network a port is where the container opens it.
                container.ports = if state.ports.is_empty() {
                    plan.ports().into_iter().map(|(inside, _, protocol)| (inside, inside, protocol)).collect()
                } else {
                    state.ports
                };
                if plan.has_check && plan.is_essential {
                    checked.push(health);
                }
            }
            let health = match checked.as_slice() {
                [] => "UNKNOWN",
                all if all.contains(&"UNHEALTHY") => "UNHEALTHY",
                all if all.iter().all(|health| *health == "HEALTHY") => "HEALTHY",
                _ => "UNKNOWN",
            };
            health.clone_into(&mut task.health);
        }
    }

    /// Watches the containers until an essential one ends or the task is told to stop.
    async fn watch(&mut self) -> Option<End> {
        loop {
            let before: Vec<State> = self.containers.iter().map(|made| made.state.clone()).collect();
            self.look().await;
            if self.containers.iter().map(|made| &made.state).ne(&before) {
                let containers = self.shown();
                self.set(|task, _| containers(task));
            }
            let ended =
                self.containers.iter().any(|made| made.plan.is_essential && made.state.exit_code.is_some());
            if ended {
                return Some(End(
                    "EssentialContainerExited",
                    "Essential container in task exited".to_owned(),
                ));
            }
            if self.task().is_none_or(|task| task.is_stopping) {
                return None;
            }
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
        for made in self.containers.iter().rev() {
            if made.is_started && made.state.exit_code.is_none() {
                let _ = self.engine.stop(&made.id, made.plan.stop_seconds).await;
            }
        }
        self.look().await;
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
        for made in &self.containers {
            self.engine.remove(&made.id).await;
            self.world.ecs.let_go(&made.id);
        }
        self.set(|task, now| {
            task.status = TaskStatus::Stopped;
            task.times.stopped = Some(now);
        });
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
