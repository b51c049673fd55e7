//! What ECS keeps: clusters, task definitions, services with their deployments, tasks, and settings.
//!
//! What a client wrote is kept as it came, in `body`: a field that nothing here reads comes back to the
//! letter.

use landfall_types::arn::partition_of;
use landfall_types::{AccountId, Arn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::records::{key, within};
use super::{Record, text};
use crate::ecs::rollout::{Rollout, Status};

/// Members of an object as a client wrote them.
pub type Body = Map<String, Value>;
/// Tags in the order in which they were set.
pub type Tags = Vec<(String, String)>;

/// A region of an account: where everything of ECS is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The account.
    #[serde(with = "text::word")]
    pub account: AccountId,
    /// The region.
    pub region: String,
}

impl Place {
    /// The ARN of something here, `cluster/NAME`.
    pub fn arn(&self, resource: &str) -> String {
        let partition = partition_of(&self.region);
        format!("arn:{partition}:ecs:{}:{}:{resource}", self.region, self.account)
    }

    /// The ARN of a task; old ones lack its cluster.
    pub fn task_arn(&self, cluster: &str, id: &str, is_long: bool) -> String {
        self.arn(&if is_long { format!("task/{cluster}/{id}") } else { format!("task/{id}") })
    }

    /// What an ARN says after its account, when it is one of ECS in this place.
    pub fn resource_of(&self, arn: &str) -> Option<String> {
        let arn = Arn::parse(arn).ok()?;
        let here = arn.service == "ecs" && arn.region == self.region && arn.account == self.account.as_str();
        here.then_some(arn.resource)
    }

    /// The prefix of everything here.
    pub fn all(&self) -> String {
        within(&[self.account.as_str(), &self.region])
    }

    /// The prefix of everything in a cluster.
    pub fn in_cluster(&self, cluster: &str) -> String {
        within(&[self.account.as_str(), &self.region, cluster])
    }

    /// The prefix of everything of a service.
    pub fn of_service(&self, cluster: &str, service: &str) -> String {
        within(&[self.account.as_str(), &self.region, cluster, service])
    }

    /// The key of something here.
    pub fn key(&self, parts: &[&str]) -> String {
        let mut all = vec![self.account.as_str(), self.region.as_str()];
        all.extend_from_slice(parts);
        key(&all)
    }
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Whether it was not deleted.
    pub is_active: bool,
    /// Whether it is made elsewhere and only looked up: which capacity providers it has is not known then.
    #[serde(default)]
    pub was_there: bool,
    /// `settings`, `configuration`, `capacityProviders`, `defaultCapacityProviderStrategy`,
    /// `serviceConnectDefaults`.
    pub body: Body,
    /// Tags.
    pub tags: Tags,
}

impl Cluster {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&format!("cluster/{}", self.name))
    }
}

impl Record for Cluster {
    const KIND: &'static str = "ecs-cluster";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// One revision of a task definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Where it is.
    pub place: Place,
    /// Its family.
    pub family: String,
    /// Its number, from 1.
    pub revision: u32,
    /// What it says, with ECS's defaults.
    pub body: Body,
    /// Whether it can be used for something new.
    pub status: DefinitionStatus,
    /// Who registered it, an ARN.
    pub registered_by: String,
    /// When, milliseconds since 1970.
    pub registered_ms: i64,
    /// When it was deregistered, milliseconds since 1970.
    pub deregistered_ms: Option<i64>,
    /// When its deletion was asked for, milliseconds since 1970.
    pub delete_requested_ms: Option<i64>,
    /// Tags.
    pub tags: Tags,
    /// Whether it was there before this server, as Terraform tells it: see [`Task::is_stand_in`].
    #[serde(default)]
    pub was_there: bool,
}

/// `status` of a task definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DefinitionStatus {
    /// `ACTIVE`.
    Active,
    /// `INACTIVE`: what uses it goes on.
    Inactive,
    /// `DELETE_IN_PROGRESS`.
    Deleting,
}

impl DefinitionStatus {
    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Deleting => "DELETE_IN_PROGRESS",
        }
    }
}

impl TaskDefinition {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&format!("task-definition/{}:{}", self.family, self.revision))
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// Its container definitions.
    pub fn containers(&self) -> impl Iterator<Item = &Body> {
        let list = self.body.get("containerDefinitions").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_object)
    }
}

impl Record for TaskDefinition {
    const KIND: &'static str = "ecs-task-definition";
    fn key(&self) -> String {
        // Numbers in the order of keys.
        self.place.key(&[&self.family, &format!("{:010}", self.revision)])
    }
}

/// The last revision of a family: numbers are never given twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Family {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// The highest number that was given.
    pub last: u32,
}

impl Record for Family {
    const KIND: &'static str = "ecs-family";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}

/// A service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: ServiceStatus,
    /// Whether its ARN has the cluster's name.
    pub long_arn: bool,
    /// What was written, with ECS's defaults.
    pub body: Body,
    /// Its tasks and deployments.
    pub rollout: Rollout,
    /// Events, newest first.
    pub events: Vec<ServiceEvent>,
    /// The running or last service deployment's id.
    pub current_deployment: Option<String>,
    /// Who made it, an ARN.
    pub created_by: String,
    /// When, milliseconds since 1970.
    pub created_ms: i64,
    /// `clientToken` of its creation.
    pub client_token: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// `status` of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

impl ServiceStatus {
    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A service event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// A UUID.
    pub id: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What happened.
    pub message: String,
}

impl Service {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&service_resource(&self.cluster, &self.name, self.long_arn))
    }

    /// Its cluster's ARN.
    pub fn cluster_arn(&self) -> String {
        self.place.arn(&format!("cluster/{}", self.cluster))
    }

    /// A member that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// `deploymentController.type`.
    pub fn controller(&self) -> &str {
        let controller = self.body.get("deploymentController").and_then(|controller| controller.get("type"));
        controller.and_then(Value::as_str).unwrap_or("ECS")
    }

    /// The ARN of one of its revisions.
    pub fn revision_arn(&self, number: &str) -> String {
        self.place.arn(&format!("service-revision/{}/{}/{number}", self.cluster, self.name))
    }

    /// The ARN of one of its deployments.
    pub fn deployment_arn(&self, id: &str) -> String {
        self.place.arn(&format!("service-deployment/{}/{}/{id}", self.cluster, self.name))
    }
}

/// `service/CLUSTER/NAME`, or the old form without the cluster.
pub fn service_resource(cluster: &str, name: &str, is_long: bool) -> String {
    if is_long { format!("service/{cluster}/{name}") } else { format!("service/{name}") }
}

impl Record for Service {
    const KIND: &'static str = "ecs-service";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.name])
    }
}

/// What one deployment of a service deploys; never changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// Its service's name.
    pub service: String,
    /// Its number: the deployment's id is the same.
    pub number: String,
    /// `taskDefinition`, `launchType`, `networkConfiguration`, …
    pub body: Body,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

impl ServiceRevision {
    /// The ARN of its task definition.
    pub fn task_definition(&self) -> &str {
        self.body.get("taskDefinition").and_then(Value::as_str).unwrap_or_default()
    }
}

impl Record for ServiceRevision {
    const KIND: &'static str = "ecs-service-revision";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.service, &self.number])
    }
}

/// The story of one deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// Its service's name.
    pub service: String,
    /// Its id, 21 characters.
    pub id: String,
    /// The revision that it deploys.
    pub target: String,
    /// The revisions that ran before.
    pub sources: Vec<String>,
    /// How it stands.
    pub status: Status,
    /// Why.
    pub reason: Option<String>,
    /// `deploymentConfiguration` at its start.
    pub configuration: Value,
    /// Why it was rolled back, when (milliseconds since 1970), and to which revision.
    pub rollback: Option<(String, i64, String)>,
    /// Failures, and how many are too many.
    pub failures: (u32, u32),
    /// The alarms that went off, by name.
    #[serde(default)]
    pub alarms_off: Vec<String>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it last changed, milliseconds since 1970.
    pub updated_ms: i64,
    /// When it ended, milliseconds since 1970.
    pub finished_ms: Option<i64>,
    /// When it was told to stop, milliseconds since 1970.
    pub stopped_ms: Option<i64>,
}

impl ServiceDeployment {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&format!("service-deployment/{}/{}/{}", self.cluster, self.service, self.id))
    }
}

impl Record for ServiceDeployment {
    const KIND: &'static str = "ecs-service-deployment";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.service, &self.id])
    }
}

/// What a client said about a task set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskSet {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// Its service's name.
    pub service: String,
    /// Its number; `ecs-svc/N` is its id.
    pub number: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// `startedBy`.
    pub started_by: Option<String>,
    /// `taskDefinition`, `launchType`, `loadBalancers`, …
    pub body: Body,
    /// Its share of the desired count.
    pub scale: f64,
    /// Whether it was deleted and its tasks still stop.
    pub is_draining: bool,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it last changed, milliseconds since 1970.
    pub updated_ms: i64,
    /// Tags.
    pub tags: Tags,
}

impl TaskSet {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&format!("task-set/{}/{}/ecs-svc/{}", self.cluster, self.service, self.number))
    }
}

impl Record for TaskSet {
    const KIND: &'static str = "ecs-task-set";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.service, &self.number])
    }
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Where it is.
    pub place: Place,
    /// Its cluster's name.
    pub cluster: String,
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Whether its ARN has the cluster's name.
    pub long_arn: bool,
    /// Its task definition's ARN.
    pub definition: String,
    /// The service that it belongs to, and that service's deployment.
    pub service: Option<(String, String)>,
    /// `group`.
    pub group: String,
    /// `startedBy`.
    pub started_by: Option<String>,
    /// `launchType`, `platformVersion`, `capacityProviderName`, `networkConfiguration`, `overrides`,
    /// `enableExecuteCommand`, `cpu`, `memory`, `referenceId`.
    pub body: Body,
    /// Where it is on its way.
    pub status: TaskStatus,
    /// Whether it was told to stop.
    pub is_stopping: bool,
    /// `stopCode`.
    pub stop_code: Option<String>,
    /// `stoppedReason`.
    pub stopped_reason: Option<String>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health: String,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Why nothing of it was run, when there is no container engine.
    pub not_run: Option<String>,
    /// Whether it stands for a task that ran before this server: nothing has pushed its image here, so
    /// nothing of it is run, and it is taken to be well.
    #[serde(default)]
    pub is_stand_in: bool,
    /// Its number in its subnet, where it has a network of its own.
    #[serde(default)]
    pub host_number: Option<u16>,
    /// When things happened.
    pub times: TaskTimes,
    /// Goes up with every change.
    pub version: u64,
    /// Tags.
    pub tags: Tags,
}

/// `lastStatus`, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum TaskStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl TaskStatus {
    /// AWS's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Moments of a task, milliseconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS's words")]
pub struct TaskTimes {
    pub created: i64,
    pub changed: i64,
    pub pull_started: Option<i64>,
    pub pull_stopped: Option<i64>,
    pub started: Option<i64>,
    pub stopping: Option<i64>,
    pub execution_stopped: Option<i64>,
    pub stopped: Option<i64>,
}

/// A container of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    /// A UUID, the end of its ARN.
    pub id: String,
    /// Its name in the task definition.
    pub name: String,
    /// The image as the task definition names it.
    pub image: String,
    /// The digest that the name stood for.
    pub digest: Option<String>,
    /// The engine's id.
    pub runtime_id: Option<String>,
    /// `PENDING`, `RUNNING` or `STOPPED`.
    pub status: String,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Why it is as it is.
    pub reason: Option<String>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health: String,
    /// The last line of a health check that failed: ECS doesn't tell it, a rehearsal does.
    #[serde(default)]
    pub health_says: Option<String>,
    /// Container port, host port, protocol.
    pub ports: Vec<(u16, u16, String)>,
    /// What it may have.
    #[serde(default)]
    pub sizes: Sizes,
}

/// What a container may have of its task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// CPU units; 1024 are one CPU.
    pub cpu: i64,
    /// The most memory, in MiB.
    pub memory: Option<i64>,
    /// Memory that is kept for it, in MiB.
    pub memory_reservation: Option<i64>,
}

impl Task {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.task_arn(&self.cluster, &self.id, self.long_arn)
    }

    /// Its cluster's ARN.
    pub fn cluster_arn(&self) -> String {
        self.place.arn(&format!("cluster/{}", self.cluster))
    }

    /// Its family and revision.
    pub fn definition_name(&self) -> &str {
        self.definition.rsplit_once('/').map_or(self.definition.as_str(), |(_, name)| name)
    }
}

impl Record for Task {
    const KIND: &'static str = "ecs-task";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.id])
    }
}

/// What a `clientToken` of `RunTask` stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunToken {
    /// Where it was used.
    pub place: Place,
    /// In which cluster.
    pub cluster: String,
    /// The token.
    pub token: String,
    /// A digest of the input.
    pub input: String,
    /// The tasks that it started.
    pub tasks: Vec<String>,
}

impl Record for RunToken {
    const KIND: &'static str = "ecs-run-token";
    fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.token])
    }
}

/// An account setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Where it holds.
    pub place: Place,
    /// For whom, an ARN; none for everyone.
    pub principal: Option<String>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Record for Setting {
    const KIND: &'static str = "ecs-setting";
    fn key(&self) -> String {
        self.place.key(&[&self.name, self.principal.as_deref().unwrap_or("")])
    }
}

/// A capacity provider that a client made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What was written.
    pub body: Body,
    /// Tags.
    pub tags: Tags,
}

impl CapacityProvider {
    /// Its ARN.
    pub fn arn(&self) -> String {
        self.place.arn(&format!("capacity-provider/{}", self.name))
    }
}

impl Record for CapacityProvider {
    const KIND: &'static str = "ecs-capacity-provider";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}
