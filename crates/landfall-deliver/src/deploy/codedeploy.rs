//! Blue/green deployments by AWS CodeDeploy: the revision is an AppSpec that names the task definition.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html>

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::denied;
use super::ecs::items;
use super::watch::{self, Interrupt};
use crate::aws::CallError;
use crate::aws_json::{CODE_DEPLOY, Caller};
use crate::failure::{Failure, FailureKind};

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
    /// Something about the watching itself.
    Note(String),
}

/// How it ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
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
    },
    /// The user or the CI system stopped the watching.
    Interrupted,
    /// It couldn't be watched to its end.
    Lost(Failure),
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

/// How much longer than usual the group lets a deployment wait, by its own rules.
///
/// # Errors
/// CodeDeploy's refusal: no such application or group, or no permission.
pub async fn group_waits(caller: &Caller, request: &Request) -> Result<Duration, Failure> {
    let input = json!({ "applicationName": request.application, "deploymentGroupName": request.group });
    let answer = caller.call(CODE_DEPLOY, "GetDeploymentGroup", &input).await.map_err(|error| {
        let doing = format!("looking at deployment group `{}` of `{}`", request.group, request.application);
        denied::failure(error, &doing)
            .help("--codedeploy-application and --codedeploy-deployment-group name others")
    })?;
    let rules = answer
        .get("deploymentGroupInfo")
        .and_then(|group| group.get("blueGreenDeploymentConfiguration"))
        .cloned()
        .unwrap_or_default();
    let minutes = |part: &str, name: &str| {
        rules.get(part).and_then(|part| part.get(name)).and_then(Value::as_u64).unwrap_or(0)
    };
    let ready = minutes("deploymentReadyOption", "waitTimeInMinutes");
    let ends = minutes("terminateBlueInstancesOnDeploymentSuccess", "terminationWaitTimeInMinutes");
    Ok(Duration::from_secs(ready.saturating_add(ends).min(WAIT_MINUTES_MAX) * 60))
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
    let doing = format!("creating a deployment of `{}`", request.application);
    let answer = caller
        .call_once(CODE_DEPLOY, "CreateDeployment", &input)
        .await
        .map_err(|error| denied::failure(error, &doing))?;
    answer.get("deploymentId").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        Failure::new(FailureKind::Outside, format!("{doing}: CodeDeploy's answer names no deployment"))
    })
}

/// Watches a deployment to its end.
pub async fn follow(
    caller: &Caller,
    id: &str,
    until: Until,
    timeout: Duration,
    tell: &mut dyn FnMut(Told),
) -> End {
    let (began, mut changed) = (Instant::now(), Instant::now());
    let (mut status, mut lost_since) = (String::new(), None::<Instant>);
    let mut lifecycle = Lifecycle { seen: BTreeMap::new(), is_refused: false };
    let mut signals = Interrupt::new();
    loop {
        match caller.call(CODE_DEPLOY, "GetDeployment", &json!({ "deploymentId": id })).await {
            Ok(answer) => {
                lost_since = None;
                let info = answer.get("deploymentInfo").cloned().unwrap_or_default();
                let now = text(&info, "status").unwrap_or_default().to_owned();
                if lifecycle.look(caller, id, tell).await || now != status {
                    changed = Instant::now();
                }
                if now != status {
                    tell(Told::Status(now.clone()));
                    status = now;
                }
                if let Some(end) = end(&info, &status, until) {
                    return end;
                }
            }
            Err(error) => {
                let since = *lost_since.get_or_insert(Instant::now());
                let is_refused = matches!(error, CallError::Refused(_) | CallError::NotSent { .. });
                if is_refused || since.elapsed() > LOST_SECONDS_MAX {
                    return End::Lost(denied::failure(error, "looking at the deployment, which goes on"));
                }
            }
        }
        if began.elapsed() >= timeout {
            return End::Timeout { status };
        }
        let pause = watch::pause(changed.elapsed()).min(timeout - began.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = signals.next() => return End::Interrupted,
        }
    }
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

/// The lifecycle events that were told.
struct Lifecycle {
    seen: BTreeMap<String, String>,
    is_refused: bool,
}

impl Lifecycle {
    /// Tells what is new; whether there was anything.
    async fn look(&mut self, caller: &Caller, id: &str, tell: &mut dyn FnMut(Told)) -> bool {
        if self.is_refused {
            return false;
        }
        let targets = match targets(caller, id).await {
            Ok(targets) => targets,
            Err(error) => {
                if let Some(answer) = error.answer().filter(|answer| answer.code.starts_with("AccessDenied"))
                {
                    self.is_refused = true;
                    let action = denied::parse(&answer.message).map_or(
                        "it",
                        |_| "codedeploy:ListDeploymentTargets and codedeploy:BatchGetDeploymentTargets",
                    );
                    tell(Told::Note(format!("lifecycle events can't be told: {action} is not allowed here")));
                }
                return false;
            }
        };
        let mut is_new = false;
        for event in targets.iter().flat_map(|target| {
            target.get("ecsTarget").map_or(&[][..], |target| items(target, "lifecycleEvents"))
        }) {
            let (Some(name), Some(status)) = (text(event, "lifecycleEventName"), text(event, "status"))
            else {
                continue;
            };
            if status == "Pending" || self.seen.get(name).is_some_and(|known| known == status) {
                continue;
            }
            self.seen.insert(name.to_owned(), status.to_owned());
            is_new = true;
            let message = event.get("diagnostics").and_then(|said| text(said, "message"));
            let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
            tell(Told::Lifecycle { name: name.to_owned(), status: status.to_owned(), message });
        }
        is_new
    }
}

async fn targets(caller: &Caller, id: &str) -> Result<Vec<Value>, CallError> {
    let listed = caller.call(CODE_DEPLOY, "ListDeploymentTargets", &json!({ "deploymentId": id })).await?;
    let ids = items(&listed, "targetIds");
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let input = json!({ "deploymentId": id, "targetIds": ids });
    let told = caller.call(CODE_DEPLOY, "BatchGetDeploymentTargets", &input).await?;
    Ok(items(&told, "deploymentTargets").to_vec())
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// CodeDeploy keeps no more of a description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 512;
/// The longest wait that a group adds, in minutes.
const WAIT_MINUTES_MAX: u64 = 360;
/// How long CodeDeploy may be out of reach before the watching ends.
const LOST_SECONDS_MAX: Duration = Duration::from_secs(120);
