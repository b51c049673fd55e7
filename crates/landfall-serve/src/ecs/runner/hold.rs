//! The containers that hold networks: one for all of a task, or in a bridge one for each of its containers, as the agent
//! has them for Service Connect. They are there before the containers in them, so that the agent's port is too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::watch;

use super::engine::{Lan, State};
use super::handover::Handover;
use super::pause;
use super::run::Run;
use super::spec::{self, Network, Plan};
use crate::http::listener::{self, Leads, Limits};
use crate::log::FailedCall;

/// Connections that one network's containers may have to the agent at a time.
const CONNECTIONS_MAX: usize = 128;
/// How often a container is made with the directory of the handover, before it is made without.
const MOUNTS_MAX: u32 = 2;
/// How often the holders' image is made for one container, while others take it away.
const IMAGES_MAX: u32 = 5;

/// A container that holds a network.
pub(super) struct Holder {
    /// Its id.
    pub(super) id: String,
    /// Where its ports are: container port, host port, protocol.
    pub(super) ports: Vec<(u16, u16, String)>,
    /// Its place in the network that all containers are in.
    pub(super) lan: Option<Lan>,
    /// The agent's port in there, which closes with this; none when it was not handed over.
    pub(super) agent: Option<watch::Sender<bool>>,
}

/// The containers that hold a task's networks.
#[derive(Default)]
pub(super) struct Held {
    /// The one for all of the task.
    pub(super) all: Option<Holder>,
    /// In a bridge, those of its containers, by name.
    pub(super) each: BTreeMap<String, Holder>,
}

impl Held {
    /// Their ids.
    pub(super) fn ids(&self) -> (Option<String>, BTreeMap<String, String>) {
        let each = self.each.iter().map(|(name, holder)| (name.clone(), holder.id.clone())).collect();
        (self.all.as_ref().map(|holder| holder.id.clone()), each)
    }

    /// The one whose network a container is in.
    pub(super) fn of(&self, network: &Network, plan: &Plan) -> Option<&Holder> {
        match network {
            Network::Shared => self.all.as_ref().filter(|_| !plan.is_off_network()),
            Network::Bridge => self.each.get(&plan.name),
            Network::Host | Network::None => None,
        }
    }

    /// The agent's ports.
    pub(super) fn into_ports(self) -> impl Iterator<Item = watch::Sender<bool>> {
        self.all.into_iter().chain(self.each.into_values()).filter_map(|holder| holder.agent)
    }
}

impl Run<'_> {
    /// Makes and starts a container that holds a network.
    pub(super) async fn hold(&mut self, name: &str, spec: Value) -> Result<Holder, String> {
        let handover = Handover::prepare();
        let dir = handover.as_ref().ok().map(Handover::dir);
        let (id, refused) = self.make_holder(name, spec, dir).await?;
        self.holders.push(id.clone());
        let State { ports, lan, .. } = self.engine.inspect(&id).await?;
        let port = match (handover, refused) {
            (Ok(handover), None) => {
                let port = handover.take(self.world.ecs.handover_wait()).await;
                self.world.ecs.note_handover(port.is_ok());
                port.map_err(|error| error.to_string())
            }
            (Ok(_), Some(words)) => {
                Err(format!("the engine can't give a container a directory of this machine: {words}"))
            }
            (Err(error), _) => Err(error.to_string()),
        };
        let agent = match port {
            Ok(port) => {
                let (stop, stopped) = watch::channel(false);
                let address = lan.as_ref().map_or(IpAddr::from([169, 254, 170, 2]), |lan| lan.address.into());
                let task = self.task().map(|task| task.id.clone()).unwrap_or_default();
                let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
                let world = std::sync::Arc::clone(self.world);
                tokio::spawn(listener::serve(
                    port,
                    world,
                    limits,
                    stopped,
                    Leads::Task(task.into(), address),
                ));
                Some(stop)
            }
            Err(why) => {
                self.tell_without_agent(&why);
                None
            }
        };
        Ok(Holder { id, ports, lan, agent })
    }

    /// The container, with the directory if that can be; else the engine's words on why it hasn't it. What an engine
    /// refuses once it may do the next time: a container can fail to start for many reasons.
    async fn make_holder(
        &self,
        name: &str,
        spec: Value,
        dir: Option<PathBuf>,
    ) -> Result<(String, Option<String>), String> {
        let mut refused = None;
        if let Some(dir) = dir {
            let mut with = spec.clone();
            spec::add_handover(&mut with, &dir);
            for _ in 0..MOUNTS_MAX {
                match self.start_holder(name, with.clone()).await {
                    Ok(id) => return Ok((id, None)),
                    Err(words) => refused = Some(words),
                }
            }
        }
        self.start_holder(name, spec).await.map(|id| (id, refused))
    }

    /// Makes it, and its image where that isn't there. All servers of an engine share the image, and each takes it away
    /// when it ends and no container needs it: another may be between the two steps.
    async fn make_of_image(&self, name: &str, spec: &Value) -> Result<String, String> {
        let mut tries = 1;
        loop {
            pause::ensure(self.engine).await?;
            self.world.ecs.keep_image(pause::IMAGE);
            match self.create(name, spec).await {
                Err(_) if tries < IMAGES_MAX && !self.engine.has_image(pause::IMAGE).await => tries += 1,
                made => return made,
            }
        }
    }

    /// Makes and starts it. A host port that is taken is given up for any other: on ECS another instance of the
    /// cluster would have the task, and here there is one machine.
    async fn start_holder(&self, name: &str, mut spec: Value) -> Result<String, String> {
        let is_taken = ["port is already allocated", "address already in use"];
        loop {
            let id = self.make_of_image(name, &spec).await?;
            let Err(problem) = self.engine.start(&id).await else { return Ok(id) };
            self.engine.remove(&id).await;
            let is_freed =
                is_taken.iter().any(|words| problem.contains(words)) && spec::free_ports(&mut spec);
            if !is_freed {
                return Err(problem);
            }
        }
    }

    /// Says once of a task that it has no agent here, and why.
    fn tell_without_agent(&mut self, why: &str) {
        if std::mem::replace(&mut self.is_told_without_agent, true) {
            return;
        }
        let request_id = self.world.request_id();
        let failed = FailedCall { request_id: &request_id, service: "ecs", operation: "agent of tasks" };
        let task = self.task().map(|task| task.id.clone()).unwrap_or_default();
        let message = format!(
            "task {task} has no credentials of its role, no metadata and no way to this server: the port of its network was not handed over: {why}"
        );
        self.world.log.add_failure(
            self.world.clock.now(),
            self.world.log.last(),
            failed,
            "Unavailable",
            &message,
        );
    }
}
