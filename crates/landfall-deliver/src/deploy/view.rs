//! What ECS tells of services and tasks, as far as a deployment is judged by it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A service in `DescribeServices`' answer.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Its name.
    pub service_name: String,
    /// Its ARN.
    pub service_arn: String,
    /// The cluster's ARN.
    pub cluster_arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// How many tasks are wanted.
    pub desired_count: u32,
    /// How many run.
    pub running_count: u32,
    /// How many are on their way.
    pub pending_count: u32,
    /// The task definition that the service is set to.
    pub task_definition: String,
    /// The primary one, and those that still have tasks.
    pub deployments: Vec<Deployment>,
    /// Where somebody else decides: the sets that do.
    pub task_sets: Vec<TaskSet>,
    /// Newest first, at most 100.
    pub events: Vec<Event>,
    /// Who decides about its tasks.
    pub deployment_controller: Controller,
    /// The rules.
    pub deployment_configuration: Configuration,
    /// The rules as they were answered, for sending them back changed.
    #[serde(skip)]
    pub rules: Map<String, Value>,
    /// `networkConfiguration`, as it was answered.
    pub network_configuration: Option<Value>,
    /// `EC2`, `FARGATE` or `EXTERNAL`; none with a capacity provider strategy.
    pub launch_type: Option<String>,
    /// `capacityProviderStrategy`, as it was answered.
    pub capacity_provider_strategy: Option<Value>,
    /// Fargate's version.
    pub platform_version: Option<String>,
    /// The ARN of the deployment's story; none where ECS keeps none.
    pub current_service_deployment: Option<String>,
}

/// A deployment of a service.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    /// `ecs-svc/…`.
    pub id: String,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: String,
    /// What it runs.
    pub task_definition: String,
    /// How many tasks it is to have.
    pub desired_count: u32,
    /// How many run.
    pub running_count: u32,
    /// How many are on their way.
    pub pending_count: u32,
    /// How many failed.
    pub failed_tasks: u32,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`; only where ECS itself decides.
    pub rollout_state: Option<String>,
    /// Why, in ECS's sentence.
    pub rollout_state_reason: Option<String>,
    /// Seconds since 1970.
    pub created_at: f64,
}

/// A task set of a service whose deployments CodeDeploy or another program makes.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskSet {
    /// `PRIMARY`, `ACTIVE` or `DRAINING`.
    pub status: String,
    /// What it runs.
    pub task_definition: String,
}

/// A service event.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Seconds since 1970.
    pub created_at: f64,
    /// ECS's sentence.
    pub message: String,
}

/// `deploymentController`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default)]
pub struct Controller {
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub r#type: String,
}

impl Default for Controller {
    fn default() -> Self {
        Self { r#type: "ECS".to_owned() }
    }
}

/// `deploymentConfiguration`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// The circuit breaker.
    pub deployment_circuit_breaker: Breaker,
    /// `ROLLING`, `BLUE_GREEN`, `LINEAR` or `CANARY`; none is a rolling one.
    pub strategy: Option<String>,
    /// How long both revisions run once all traffic has moved.
    pub bake_time_in_minutes: u64,
    /// How traffic moves in equal steps.
    pub linear_configuration: Linear,
    /// How it moves in two.
    pub canary_configuration: Canary,
    /// What is asked at some stages.
    pub lifecycle_hooks: Vec<Value>,
    /// CloudWatch alarms that end a deployment.
    pub alarms: AlarmRule,
}

/// `linearConfiguration`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linear {
    /// Percent of a step.
    pub step_percent: f64,
    /// Between two steps.
    pub step_bake_time_in_minutes: u64,
}

impl Default for Linear {
    fn default() -> Self {
        Self { step_percent: 10.0, step_bake_time_in_minutes: 6 }
    }
}

/// `canaryConfiguration`.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Canary {
    /// Between the first step and the rest.
    pub canary_bake_time_in_minutes: u64,
}

impl Default for Canary {
    fn default() -> Self {
        Self { canary_bake_time_in_minutes: 10 }
    }
}

/// `alarms`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AlarmRule {
    /// Whether they are looked at.
    pub enable: bool,
}

impl Configuration {
    /// Whether counts of tasks don't tell all: traffic moves, something is asked, alarms can end it.
    pub fn has_stages(&self) -> bool {
        let is_rolling = self.strategy.as_deref().is_none_or(|strategy| strategy == "ROLLING");
        !is_rolling || self.alarms.enable || !self.lifecycle_hooks.is_empty() || self.bake_time_in_minutes > 0
    }

    /// How long a deployment waits by these rules even if all goes well.
    pub fn waits(&self) -> Duration {
        let moving = match self.strategy.as_deref() {
            Some("LINEAR") => {
                let Linear { step_percent, step_bake_time_in_minutes } = self.linear_configuration;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most 100 / 3 steps: ECS takes no smaller ones"
                )]
                let steps = (100.0 / step_percent.clamp(3.0, 100.0)).ceil() as u64;
                steps.saturating_sub(1).saturating_mul(step_bake_time_in_minutes)
            }
            Some("CANARY") => self.canary_configuration.canary_bake_time_in_minutes,
            _ => 0,
        };
        let minutes = moving.saturating_add(self.bake_time_in_minutes).min(WAIT_MINUTES_MAX);
        Duration::from_secs(minutes * 60)
    }
}

/// Longer waits are cut: a job doesn't run longer.
const WAIT_MINUTES_MAX: u64 = 360;

/// `deploymentCircuitBreaker`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Whether failures end a deployment.
    pub enable: bool,
    /// Whether the service then goes back.
    pub rollback: bool,
}

impl Service {
    /// From an answer's service.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn read(value: &Value) -> Result<Self, String> {
        let mut service: Self = serde_json::from_value(value.clone())
            .map_err(|error| format!("ECS's answer holds no service: {error}"))?;
        let rules = value.get("deploymentConfiguration").and_then(Value::as_object);
        service.rules = rules.cloned().unwrap_or_default();
        Ok(service)
    }

    /// The primary deployment.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == "PRIMARY")
    }

    /// What it runs now; empty when it was never deployed. CodeDeploy leaves the service's own word as it was.
    pub fn running_definition(&self) -> &str {
        let set = self.task_sets.iter().find(|set| set.status == "PRIMARY");
        set.map_or(&self.task_definition, |set| &set.task_definition)
    }

    /// The ARN of the task definition of the latest deployment that ECS calls completed, among those that it lists: the
    /// primary one, and those whose tasks are still there.
    pub fn completed(&self) -> Option<&str> {
        let is_completed = |one: &&Deployment| one.rollout_state.as_deref() == Some("COMPLETED");
        let completed = self.deployments.iter().filter(is_completed);
        let latest = completed.max_by(|left, right| left.created_at.total_cmp(&right.created_at));
        latest.map(|deployment| deployment.task_definition.as_str())
    }

    /// A deployment by its id.
    pub fn deployment(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.id == id)
    }
}

/// A task in `DescribeTasks`' answer.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// Its ARN.
    pub task_arn: String,
    /// What it runs.
    pub task_definition_arn: String,
    /// `PROVISIONING` to `STOPPED`.
    pub last_status: String,
    /// The deployment that started it, `ecs-svc/…`, or what a caller said.
    pub started_by: String,
    /// Such as `TaskFailedToStart`.
    pub stop_code: Option<String>,
    /// ECS's sentence.
    pub stopped_reason: Option<String>,
    /// Seconds since 1970; none while it runs.
    pub stopped_at: Option<f64>,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a task.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// How it ended; none when it never ran or still does.
    pub exit_code: Option<i64>,
    /// Such as `OutOfMemoryError: Container killed due to memory usage`.
    pub reason: Option<String>,
    /// `PENDING` to `STOPPED`.
    pub last_status: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
}

impl Task {
    /// From an answer's task.
    pub fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }

    /// The last part of its ARN.
    pub fn id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or(&self.task_arn)
    }

    /// Whether it has stopped.
    pub fn is_stopped(&self) -> bool {
        matches!(self.last_status.as_str(), "STOPPED" | "DELETED")
    }
}
