//! What the ECS agent answers to a task's containers: the credentials of the task's role, and metadata.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>
//!
//! On AWS all of this is at 169.254.170.2, port 80. Here a container in a network of its own finds it on its own
//! loopback, which SDKs take plain HTTP from as well. Ids in the paths can't be guessed, and are the task's; in the
//! machine's network, where others come by too, the credentials want a token besides, which only the container has.
//! Status codes and texts are those of the agent. <https://github.com/aws/amazon-ecs-agent>

use std::collections::BTreeMap;

use base64::Engine as _;
use landfall_types::secret::ct_eq;
use serde_json::{Value, json};

use super::engine::Lan;
use super::{metadata, role, role_of};
use crate::store::ecs::Task;
use crate::sts;
use crate::world::World;

/// The port of the agent in a container's network: one of those that the agent keeps for itself on an instance.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html>
pub(super) const PORT: u16 = 51_679;
/// Where a container in a network of its own finds the agent, and AWS.
pub(crate) const BASE: &str = "http://127.0.0.1:51679";

/// The agent as one task's containers know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    /// The id of its credentials; none without a role.
    credentials: Option<String>,
    /// The token that they want, in the machine's network.
    token: Option<String>,
    /// Its containers, by the ids that they have here.
    members: BTreeMap<String, Member>,
}

/// A container of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// Its name in the task definition.
    pub(super) name: String,
    /// The engine's id, once it is made.
    pub(super) id: Option<String>,
    /// The container that holds its network.
    pub(super) holder: Option<String>,
    /// That network.
    pub(super) lan: Option<Lan>,
    /// How often it was started again.
    pub(super) restarts: u64,
}

/// How a container reaches the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// By a port on the loopback of its own network.
    Own,
    /// By this server's own address, in the machine's network.
    Machine,
    /// Not at all.
    None,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker<'a> {
    /// A container of this task, by the port in its own network.
    Task(&'a str),
    /// Somebody on this machine, with this `Authorization`.
    Machine(Option<&'a str>),
}

/// Status and body of an answer that is an error.
pub(crate) type Refused = (u16, Value);

impl Agent {
    /// The agent of a task that is about to be made.
    pub(super) fn new(world: &World, task: &Task, reach: Reach) -> Self {
        let has_role = role_of(world, task, "taskRoleArn").is_some();
        let token = || base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(world.random::<32>());
        Self {
            credentials: has_role.then(|| world.request_id()),
            token: (reach == Reach::Machine).then(token),
            members: BTreeMap::new(),
        }
    }

    /// A further container; what it finds in its environment.
    pub(super) fn admit(&mut self, world: &World, member: Member, reach: Reach) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let (aws, agent) = match reach {
            Reach::None => return Vec::new(),
            Reach::Own => (BASE.to_owned(), BASE.to_owned()),
            Reach::Machine => (world.base_url().to_owned(), format!("{}/_landfall/task", world.base_url())),
        };
        let id = world.request_id();
        let mut environment = vec![
            pair("AWS_ENDPOINT_URL", aws),
            pair("ECS_CONTAINER_METADATA_URI", format!("{agent}/v3/{id}")),
            pair("ECS_CONTAINER_METADATA_URI_V4", format!("{agent}/v4/{id}")),
        ];
        if let Some(credentials) = &self.credentials {
            let uri = format!("{agent}/v2/credentials/{credentials}");
            environment.push(pair("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri));
            let token =
                self.token.iter().map(|token| pair("AWS_CONTAINER_AUTHORIZATION_TOKEN", token.clone()));
            environment.extend(token);
        }
        self.members.insert(id, member);
        environment
    }

    /// The container of this name.
    pub(super) fn member(&mut self, name: &str) -> Option<&mut Member> {
        self.members.values_mut().find(|member| member.name == name)
    }

    /// The containers, in no order.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Whether it is the agent of who asks, as far as that can be told without an id.
    fn is_for(&self, task: &str, asker: Asker<'_>) -> bool {
        match asker {
            Asker::Task(own) => own == task,
            Asker::Machine(_) => self.token.is_some(),
        }
    }
}

/// Whether a path is the agent's, and not the registry's.
pub(crate) fn is_path(path: &str) -> bool {
    // A repository's paths go on behind its name.
    let is_credentials = path.strip_prefix("/v2/credentials/").is_some_and(|id| !id.contains('/'));
    is_credentials || path.starts_with("/v3/") || path.starts_with("/v4/")
}

/// Answers `/v2/credentials/ID`, and `/v4/ID` with what comes after it.
///
/// # Errors
/// Status and body.
pub(crate) async fn answer(world: &World, asker: Asker<'_>, path: &str) -> Result<Value, Refused> {
    let mut parts = path.trim_matches('/').splitn(3, '/');
    let (version, id, what) =
        (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (version, id) {
        (Some("v2"), "credentials") => credentials(world, asker, what),
        (Some("v3" | "v4"), id) if !id.is_empty() => {
            let agents = world.ecs.agents();
            let known = agents.into_iter().find_map(|(task, agent)| {
                let member = agent.members.get(id).filter(|_| agent.is_for(&task, asker))?.clone();
                Some((task, agent, member))
            });
            metadata::answer(world, known, id, what).await
        }
        _ => Err((404, json!("404 page not found"))),
    }
}

/// The credentials of a task's role.
fn credentials(world: &World, asker: Asker<'_>, id: &str) -> Result<Value, Refused> {
    let refuse = |status: u16, code: &str, message: &str| {
        let message = format!("CredentialsV2Request: {message}");
        (status, json!({ "code": code, "message": message, "HTTPErrorCode": status }))
    };
    if id.is_empty() {
        return Err(refuse(400, "NoIdInRequest", "No Credential ID in the request"));
    }
    let is_its = |agent: &Agent| {
        agent.credentials.as_ref().is_some_and(|known| ct_eq(known.as_bytes(), id.as_bytes()))
    };
    let agents = world.ecs.agents();
    let known = agents.into_iter().find(|(task, agent)| is_its(agent) && agent.is_for(task, asker));
    let task = known.as_ref().and_then(|(task, _)| super::task(world, task));
    let (Some((_, agent)), Some(task)) = (known, task) else {
        return Err(refuse(400, "InvalidIdInRequest", "Credentials not found"));
    };
    if let (Asker::Machine(shown), Some(token)) = (asker, &agent.token) {
        let is_own = shown.is_some_and(|shown| ct_eq(token.as_bytes(), shown.as_bytes()));
        if !is_own {
            return Err(refuse(401, "Unauthorized", "the authorization token is not the task's"));
        }
    }
    let failed = |status: u16, message: String| refuse(status, "InternalServerError", &message);
    let arn = role_of(world, &task, "taskRoleArn")
        .ok_or_else(|| refuse(400, "NoCredentialsAssociated", "the task has no role"))?;
    let session = role::assume(world, &task, &arn).map_err(|message| failed(400, message))?;
    let issued = sts::issue_to_task(world, session).map_err(|message| failed(500, message))?;
    Ok(json!({
        "RoleArn": arn,
        "AccessKeyId": issued.session.access_key_id,
        "SecretAccessKey": issued.secret_key.expose(),
        "Token": issued.session_token.expose(),
        "Expiration": issued.session.expires_at().to_string(),
    }))
}
