//! How deployments look in answers.

use serde_json::{Map, Value, json};

use super::course::{End, Stage};
use super::deployments::moment;
use super::seconds;
use crate::store::codedeploy::Deployment;

/// CodeDeploy's word for a deployment's status.
pub(super) fn status(deployment: &Deployment) -> &'static str {
    match deployment.sets {
        (_, None) if !deployment.course.is_over() => "Created",
        _ => deployment.course.status(),
    }
}

/// A revision.
pub(super) fn revision((content, hash): &(String, String)) -> Value {
    json!({ "revisionType": "AppSpecContent", "appSpecContent": { "content": content, "sha256": hash } })
}

/// `LastDeploymentInfo`.
pub(super) fn last_deployment(deployment: &Deployment) -> Value {
    let mut info = json!({
        "deploymentId": deployment.id,
        "status": status(deployment),
        "createTime": seconds(deployment.created_ms),
    });
    if deployment.course.is_over() {
        info["endTime"] = seconds(deployment.course.since_ms);
    }
    info
}

/// `DeploymentInfo`, without what there is not.
pub(super) fn deployment(deployment: &Deployment) -> Value {
    let course = &deployment.course;
    let ended = course.is_over().then_some(course.since_ms);
    let began = course.events.iter().filter_map(|event| event.began_ms).min();
    let problem = match &course.stage {
        Stage::Ended(End::Failed { code, message }) => json!({ "code": code, "message": message }),
        _ => Value::Null,
    };
    let rollback = deployment.rollback.as_ref().map(|(own, triggering, message)| {
        json!({
            "rollbackDeploymentId": own,
            "rollbackTriggeringDeploymentId": triggering,
            "rollbackMessage": message,
        })
    });
    let setting = |name: &str| deployment.settings.get(name).cloned().unwrap_or_default();
    let whole = json!({
        "applicationName": deployment.application,
        "deploymentGroupName": deployment.group,
        "deploymentConfigName": deployment.config,
        "deploymentId": deployment.id,
        "revision": revision(&deployment.revision),
        "status": status(deployment),
        "errorInformation": problem,
        "createTime": seconds(deployment.created_ms),
        "startTime": moment(began),
        "completeTime": moment(ended),
        "description": deployment.description,
        "creator": deployment.creator,
        "ignoreApplicationStopFailures": false,
        "updateOutdatedInstancesOnly": false,
        "autoRollbackConfiguration": setting("autoRollbackConfiguration"),
        "rollbackInfo": rollback,
        "deploymentStyle": setting("deploymentStyle"),
        "instanceTerminationWaitTimeStarted": course.stage == Stage::Termination,
        "blueGreenDeploymentConfiguration": setting("blueGreenDeploymentConfiguration"),
        "loadBalancerInfo": setting("loadBalancerInfo"),
        "deploymentStatusMessages": [],
        "computePlatform": "ECS",
    });
    let members = whole.as_object().cloned().unwrap_or_default();
    members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}
