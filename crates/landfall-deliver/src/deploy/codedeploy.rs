//! Blue/green deployments by AWS CodeDeploy: the revision is an AppSpec that names the task definition.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html>

mod watch;

use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::denied;
use super::ecs::items;
use crate::aws::Answer;
use crate::aws_json::{CODE_DEPLOY, Caller};
use crate::failure::{Failure, FailureKind};

pub use watch::{Followed, Watching, all};

/// What CodeDeploy is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// The application.
    pub application: String,
    /// The deployment group.
    pub group: String,
    /// The AppSpec, with the task definition in it.
    pub appspec: Value,
    /// For people; at most 512 characters are kept.
    pub description: Option<String>,
    /// Such as `CodeDeployDefault.ECSAllAtOnce`; none is the group's own.
    pub config: Option<String>,
    /// Whether a deployment that fails or is stopped brings back what ran, whatever the group says.
    pub rolls_back: bool,
}

/// How far a deployment has to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Until the group waits for somebody to shift the traffic.
    Ready,
    /// Until it is over.
    Succeeded,
}

/// What is told while it goes on.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// The deployment has another status.
    Status(String),
    /// A lifecycle event has another status.
    Lifecycle {
        /// Such as `AfterAllowTestTraffic`.
        name: String,
        /// Such as `Succeeded`.
        status: String,
        /// What a failed hook said.
        message: Option<String>,
    },
    /// A task of what is deployed stopped, and nobody wanted it to.
    TaskStopped {
        /// The task's id.
        task: String,
        /// ECS's reason, and the container's.
        reason: String,
    },
    /// Something about the watching itself.
    Note(String),
}

/// The whole story of one service's deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The service.
    pub service: String,
    /// The ARN of the task definition that was to run.
    pub definition_arn: String,
    /// The ARN of what ran before.
    pub before: Option<String>,
    /// The deployment's id; none where none was made.
    pub deployment: Option<String>,
    /// How it ended.
    pub end: End,
    /// How long it was watched.
    pub took: Duration,
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// Nothing changes, so there was nothing to deploy.
    Unchanged,
    /// The deployment couldn't be made.
    NotCreated(Failure),
    /// Nobody asked to wait.
    NotWaited,
    /// As it was asked for.
    Done {
        /// `Succeeded` or `Ready`.
        status: String,
    },
    /// It failed or was stopped.
    Failed {
        /// `Failed` or `Stopped`.
        status: String,
        /// CodeDeploy's code and sentence.
        reason: String,
        /// The deployment that brings back what ran.
        rolled_back_by: Option<String>,
    },
    /// Nothing final within the time.
    Timeout {
        /// Its status.
        status: String,
        /// Whether it was stopped then, so that what ran comes back.
        is_stopped: bool,
    },
    /// The user or the CI system stopped the watching.
    Interrupted,
    /// It couldn't be watched to its end.
    Lost(Failure),
}

impl End {
    /// Whether all is as it was asked for.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Unchanged | Self::NotWaited | Self::Done { .. })
    }
}

/// An AppSpec whose every resource has this task definition. Keys are found in any case, as CodeDeploy finds them.
///
/// # Errors
/// What an AppSpec for ECS has and this has not.
pub fn appspec(document: &Value, definition: &str) -> Result<Value, String> {
    let mut document = document.clone();
    let resources = member(&mut document, "resources")
        .and_then(Value::as_array_mut)
        .filter(|all| !all.is_empty())
        .ok_or("an AppSpec has a list `Resources`, and this one has none")?;
    for resource in resources {
        let Value::Object(named) = resource else {
            return Err("every item of `Resources` is a map with one name".to_owned());
        };
        for (name, value) in named.iter_mut() {
            let properties = member(value, "properties")
                .and_then(Value::as_object_mut)
                .ok_or_else(|| format!("resource `{name}` of the AppSpec has no `Properties`"))?;
            let key = properties.keys().find(|key| key.eq_ignore_ascii_case("taskdefinition")).cloned();
            properties.insert(key.unwrap_or_else(|| "TaskDefinition".to_owned()), Value::from(definition));
        }
    }
    Ok(document)
}

fn member<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    let object = value.as_object_mut()?;
    object.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The hooks of an AppSpec: lifecycle events, each with the function that is asked.
pub fn hooks(appspec: &Value) -> Vec<(String, String)> {
    let member = appspec.as_object().into_iter().flatten();
    let hooks = member.filter(|(key, _)| key.eq_ignore_ascii_case("hooks"));
    let lists = hooks.filter_map(|(_, value)| value.as_array()).flatten();
    let pairs = lists.filter_map(Value::as_object).flatten();
    pairs.filter_map(|(event, function)| Some((event.clone(), function.as_str()?.to_owned()))).collect()
}

/// The containers that an AppSpec sends traffic to.
pub fn containers(appspec: &Value) -> Vec<String> {
    let mut appspec = appspec.clone();
    let resources = member(&mut appspec, "resources").and_then(Value::as_array_mut);
    let named = resources.into_iter().flatten().filter_map(Value::as_object_mut);
    let values = named.flat_map(|named| named.iter_mut().map(|(_, value)| value));
    let name = |value: &mut Value| {
        let info = member(member(value, "properties")?, "loadbalancerinfo")?;
        member(info, "containername")?.as_str().map(str::to_owned)
    };
    values.filter_map(name).collect()
}

/// How much longer than usual the group lets a deployment wait, by its own rules.
///
/// # Errors
/// CodeDeploy's refusal: no such application or group, or no permission; and a group of another service.
pub async fn group_waits(
    caller: &Caller,
    request: &Request,
    cluster: &str,
    service: &str,
) -> Result<Duration, Failure> {
    let input = json!({ "applicationName": request.application, "deploymentGroupName": request.group });
    let answer = caller.call(CODE_DEPLOY, "GetDeploymentGroup", &input).await.map_err(|error| {
        let doing = format!("looking at deployment group `{}` of `{}`", request.group, request.application);
        denied::failure(error, &doing)
            .help("--codedeploy-application and --codedeploy-deployment-group name others")
    })?;
    let group = answer.get("deploymentGroupInfo").cloned().unwrap_or_default();
    check_service(request, items(&group, "ecsServices"), cluster, service)?;
    check_active(request, &group)?;
    let rules = group.get("blueGreenDeploymentConfiguration").cloned().unwrap_or_default();
    let minutes = |part: &str, name: &str| {
        rules.get(part).and_then(|part| part.get(name)).and_then(Value::as_u64).unwrap_or(0)
    };
    let ready = minutes("deploymentReadyOption", "waitTimeInMinutes");
    let ends = minutes("terminateBlueInstancesOnDeploymentSuccess", "terminationWaitTimeInMinutes");
    Ok(Duration::from_secs(ready.saturating_add(ends).min(WAIT_MINUTES_MAX) * 60))
}

/// A group deploys to the service that it was made for, whatever the AppSpec says.
fn check_service(request: &Request, of: &[Value], cluster: &str, service: &str) -> Result<(), Failure> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let pair = |of: &Value| {
        Some((last(text(of, "clusterName").unwrap_or("default")), last(text(of, "serviceName")?)))
    };
    let pairs: Vec<(String, String)> = of.iter().filter_map(pair).collect();
    let Some((other_cluster, other)) = pairs.first() else { return Ok(()) };
    if pairs.contains(&(last(cluster), last(service))) {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Refused,
        format!(
            "deployment group `{}` of `{}` deploys to service {other_cluster}/{other}, not to {}/{service}",
            request.group,
            request.application,
            last(cluster),
        ),
    )
    .help("--codedeploy-application and --codedeploy-deployment-group name the service's own: SERVICE=NAME"))
}

/// A group has one deployment at a time: another one is refused, and by then a revision would have been registered for
/// nothing.
fn check_active(request: &Request, group: &Value) -> Result<(), Failure> {
    let last = group.get("lastAttemptedDeployment").cloned().unwrap_or_default();
    let (id, status) = (text(&last, "deploymentId"), text(&last, "status"));
    let (Some(id), Some(status)) = (id, status.filter(|status| ACTIVE.contains(status))) else {
        return Ok(());
    };
    Err(active_help(
        Failure::new(
            FailureKind::Refused,
            format!(
                "deployment group `{}` of `{}` has an active deployment, {id} ({status}): nothing was registered",
                request.group, request.application
            ),
        ),
        id,
    ))
}

fn active_help(failure: Failure, id: &str) -> Failure {
    failure
        .help(format!("`aws deploy wait deployment-successful --deployment-id {id}` waits for its end"))
        .help(format!(
            "`aws deploy stop-deployment --deployment-id {id} --auto-rollback-enabled` stops it and brings back what ran"
        ))
}

/// Creates the deployment; gives its id.
///
/// # Errors
/// CodeDeploy's refusal.
pub async fn create(caller: &Caller, request: &Request) -> Result<String, Failure> {
    let content = request.appspec.to_string();
    let hash = digest::digest(&digest::SHA256, content.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut input = json!({
        "applicationName": request.application,
        "deploymentGroupName": request.group,
        "revision": {
            "revisionType": "AppSpecContent",
            "appSpecContent": { "content": content, "sha256": hash },
        },
    });
    if let Some(description) = &request.description {
        input["description"] =
            Value::from(description.chars().take(DESCRIPTION_CHARS_MAX).collect::<String>());
    }
    if let Some(config) = &request.config {
        input["deploymentConfigName"] = Value::from(config.as_str());
    }
    if request.rolls_back {
        let events = ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"];
        input["autoRollbackConfiguration"] = json!({ "enabled": true, "events": events });
    }
    let doing = format!("creating a deployment of `{}`", request.application);
    let answer = caller.call_once(CODE_DEPLOY, "CreateDeployment", &input).await.map_err(|error| {
        let is_limit = |answer: &&Answer| answer.code.starts_with("DeploymentLimitExceeded");
        let message = error.answer().filter(is_limit).map(|answer| answer.message.clone());
        let failure = denied::failure(error, &doing);
        // `The Deployment Group 'group' already has an active Deployment 'd-…'`
        let id = message.as_deref().and_then(|text| text.rsplit('\'').find(|part| part.starts_with("d-")));
        match id {
            Some(id) => active_help(failure, id)
                .help("the revision stays registered: the next deployment takes it, and registers none"),
            None => failure,
        }
    })?;
    answer.get("deploymentId").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        Failure::new(FailureKind::Outside, format!("{doing}: CodeDeploy's answer names no deployment"))
    })
}

/// Stops a deployment; CodeDeploy brings back what ran.
///
/// # Errors
/// CodeDeploy's refusal.
pub async fn stop(caller: &Caller, id: &str) -> Result<(), Failure> {
    let input = json!({ "deploymentId": id, "autoRollbackEnabled": true });
    let stopped = caller.call(CODE_DEPLOY, "StopDeployment", &input).await;
    stopped
        .map(|_| ())
        .map_err(|error| denied::failure(error, &format!("stopping deployment {id}, which goes on")))
}

/// The end that a look at a deployment tells, if it is one.
pub fn end(info: &Value, status: &str, until: Until) -> Option<End> {
    match status {
        "Succeeded" => Some(End::Done { status: status.to_owned() }),
        "Ready" if until == Until::Ready => Some(End::Done { status: status.to_owned() }),
        "Failed" | "Stopped" => {
            let error = info.get("errorInformation").cloned().unwrap_or_default();
            let parts = [text(&error, "code"), text(&error, "message")];
            let reason: Vec<&str> = parts.into_iter().flatten().collect();
            let rollback = info.get("rollbackInfo").cloned().unwrap_or_default();
            let by = text(&rollback, "rollbackDeploymentId").filter(|id| !id.is_empty());
            Some(End::Failed {
                status: status.to_owned(),
                reason: reason.join(": "),
                rolled_back_by: by.map(str::to_owned),
            })
        }
        _ => None,
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// What a deployment that isn't over is called.
const ACTIVE: [&str; 5] = ["Created", "Queued", "InProgress", "Baking", "Ready"];
/// CodeDeploy keeps no more of a description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 512;
/// The longest wait that a group adds, in minutes.
const WAIT_MINUTES_MAX: u64 = 360;
