//! Watching deployments of CodeDeploy until each has an end, all of them in one loop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{End, Told, Until, end, text};
use crate::aws::CallError;
use crate::aws_json::{CODE_DEPLOY, Caller};
use crate::deploy::ecs::{self, items};
use crate::deploy::interrupt::Interrupt;
use crate::deploy::watch::{self, Patience};
use crate::deploy::{cause, denied};

/// A deployment to watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Followed {
    /// The service that it is of.
    pub service: String,
    /// The deployment's id.
    pub id: String,
    /// The service's cluster.
    pub cluster: String,
    /// The ARN of the task definition that is deployed.
    pub definition: String,
}

/// What is watched with, and until when.
pub struct Watching<'w> {
    /// Who calls.
    pub caller: &'w Caller,
    /// How far a deployment has to come.
    pub until: Until,
    /// How long.
    pub patience: Patience,
    /// What ends it early.
    pub interrupt: &'w Interrupt,
}

/// Watches deployments until each has an end: for each, in order, how it ended and how long that took.
pub async fn all(
    how: &Watching<'_>,
    followed: &[Followed],
    tell: &mut dyn FnMut(&str, Told),
) -> Vec<(End, Duration)> {
    let Watching { caller, until, patience, interrupt } = *how;
    let _first_is_ours = interrupt.watching();
    let began = Instant::now();
    let mut watch =
        Watch { caller, until, changed: began, may_read_targets: true, may_list_tasks: true, tell };
    let mut watched: Vec<Watched<'_>> = followed.iter().map(Watched::new).collect();
    loop {
        let step = async {
            for one in watched.iter_mut().filter(|one| one.end.is_none()) {
                let left = patience.timeout.saturating_sub(began.elapsed()).max(watch::LAST_LOOK);
                let seen = tokio::time::timeout(left, watch.look(one)).await.ok().flatten();
                one.end = seen.map(|end| (end, began.elapsed()));
            }
        };
        tokio::select! {
            () = step => {}
            () = interrupt.asked() => break,
        }
        if watched.iter().all(|one| one.end.is_some()) {
            break;
        }
        let elapsed = began.elapsed();
        if elapsed >= patience.timeout {
            for one in watched.iter_mut().filter(|one| one.end.is_none()) {
                one.end = Some((End::Timeout { status: one.status.clone(), is_stopped: false }, elapsed));
            }
            break;
        }
        let pause = watch::pause(watch.changed.elapsed()).min(patience.pause_max);
        tokio::select! {
            () = tokio::time::sleep(pause.min(patience.timeout - elapsed)) => {}
            () = interrupt.asked() => break,
        }
    }
    let interrupted = || (End::Interrupted, began.elapsed());
    watched.into_iter().map(|one| one.end.unwrap_or_else(interrupted)).collect()
}

/// A deployment, and what was told of it.
struct Watched<'f> {
    followed: &'f Followed,
    status: String,
    /// Lifecycle events with the status that was told.
    events: BTreeMap<String, String>,
    looks: u32,
    /// What the lifecycle events are asked by. A deployment to ECS has one target from its beginning to its end.
    targets: Vec<Value>,
    /// Tasks of the service that had stopped when it was last looked at: none before the first look.
    stopped: Option<BTreeSet<String>>,
    lost_since: Option<Instant>,
    end: Option<(End, Duration)>,
}

impl<'f> Watched<'f> {
    fn new(followed: &'f Followed) -> Self {
        let events = BTreeMap::new();
        let (status, targets) = (String::new(), Vec::new());
        Self { followed, status, events, looks: 0, targets, stopped: None, lost_since: None, end: None }
    }
}

struct Watch<'w> {
    caller: &'w Caller,
    until: Until,
    changed: Instant,
    may_read_targets: bool,
    may_list_tasks: bool,
    tell: &'w mut dyn FnMut(&str, Told),
}

impl Watch<'_> {
    /// One look at a deployment; its end, when that is seen.
    async fn look(&mut self, one: &mut Watched<'_>) -> Option<End> {
        let input = json!({ "deploymentId": one.followed.id });
        let answer = match self.caller.call(CODE_DEPLOY, "GetDeployment", &input).await {
            Ok(answer) => answer,
            Err(error) => {
                let since = *one.lost_since.get_or_insert(Instant::now());
                let is_refused = matches!(error, CallError::Refused(_) | CallError::NotSent { .. });
                let is_over = is_refused || since.elapsed() > LOST_SECONDS_MAX;
                return is_over
                    .then(|| End::Lost(denied::failure(error, "looking at the deployment, which goes on")));
            }
        };
        one.lost_since = None;
        let info = answer.get("deploymentInfo").cloned().unwrap_or_default();
        let now = text(&info, "status").unwrap_or_default().to_owned();
        self.lifecycle(one).await;
        let end = end(&info, &now, self.until);
        // Two calls for most looks: why tasks stop is only asked now and then, and when it has failed.
        let is_turn = one.looks.is_multiple_of(LOOKS_PER_LIST);
        if is_turn && end.is_none() || matches!(end, Some(End::Failed { .. })) {
            self.stopped_tasks(one).await;
        }
        one.looks += 1;
        if now != one.status {
            self.changed = Instant::now();
            (self.tell)(&one.followed.service, Told::Status(now.clone()));
            one.status = now;
        }
        end
    }

    /// Tells what is new of the lifecycle events.
    async fn lifecycle(&mut self, one: &mut Watched<'_>) {
        if !self.may_read_targets {
            return;
        }
        let service = one.followed.service.as_str();
        let targets = match targets(&self.caller.optional(), &one.followed.id, &mut one.targets).await {
            Ok(targets) => targets,
            Err(error) => {
                if error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied")) {
                    self.may_read_targets = false;
                    let text = "lifecycle events can't be told: codedeploy:ListDeploymentTargets and \
                                codedeploy:BatchGetDeploymentTargets are not allowed here";
                    (self.tell)(service, Told::Note(text.to_owned()));
                }
                return;
            }
        };
        let of =
            |target: &Value| target.get("ecsTarget").map(|target| items(target, "lifecycleEvents").to_vec());
        for event in targets.iter().filter_map(of).flatten() {
            let (Some(name), Some(status)) = (text(&event, "lifecycleEventName"), text(&event, "status"))
            else {
                continue;
            };
            if status == "Pending" || one.events.get(name).is_some_and(|known| known == status) {
                continue;
            }
            one.events.insert(name.to_owned(), status.to_owned());
            self.changed = Instant::now();
            let message = event.get("diagnostics").and_then(|said| text(said, "message"));
            let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
            (self.tell)(
                service,
                Told::Lifecycle { name: name.to_owned(), status: status.to_owned(), message },
            );
        }
    }
}

impl Watch<'_> {
    /// Tells the tasks of what is deployed that stop. CodeDeploy itself waits for its tasks, and says nothing of why
    /// they don't stay.
    async fn stopped_tasks(&mut self, one: &mut Watched<'_>) {
        if !self.may_list_tasks {
            return;
        }
        let Followed { service, cluster, definition, .. } = one.followed;
        let (is_first, caller) = (one.stopped.is_none(), self.caller.optional());
        let known = one.stopped.get_or_insert_default();
        let tasks = match ecs::stopped_tasks(&caller, cluster, service, known).await {
            Ok(tasks) => tasks,
            Err(error) => {
                if error.answer().is_some_and(|answer| answer.code.starts_with("AccessDenied")) {
                    self.may_list_tasks = false;
                    let text = "why tasks stop can't be told: ecs:ListTasks and ecs:DescribeTasks are not allowed here";
                    (self.tell)(service, Told::Note(text.to_owned()));
                }
                return;
            }
        };
        for task in tasks.iter().filter(|task| task.is_stopped()) {
            known.insert(task.task_arn.clone());
            let is_ours = task.task_definition_arn == *definition && !watch::is_wanted_stop(task);
            // What had stopped before is of another deployment of the same task definition.
            if is_ours && !is_first {
                self.changed = Instant::now();
                let (reason, _) = cause::reason(task);
                (self.tell)(service, Told::TaskStopped { task: task.id().to_owned(), reason });
            }
        }
    }
}

async fn targets(caller: &Caller, id: &str, ids: &mut Vec<Value>) -> Result<Vec<Value>, CallError> {
    if ids.is_empty() {
        let input = json!({ "deploymentId": id });
        let listed = caller.call(CODE_DEPLOY, "ListDeploymentTargets", &input).await?;
        *ids = items(&listed, "targetIds").to_vec();
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let input = json!({ "deploymentId": id, "targetIds": ids });
    let told = caller.call(CODE_DEPLOY, "BatchGetDeploymentTargets", &input).await?;
    Ok(items(&told, "deploymentTargets").to_vec())
}

/// The service's stopped tasks are listed at one of so many looks.
const LOOKS_PER_LIST: u32 = 5;
/// How long CodeDeploy may be out of reach before the watching ends.
const LOST_SECONDS_MAX: Duration = Duration::from_secs(120);
