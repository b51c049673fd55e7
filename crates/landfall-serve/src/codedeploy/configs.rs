//! Deployment configurations: CodeDeploy's own for ECS.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::course::Shift;
use super::{Called, error};
use crate::authz::codedeploy_calls as calls;
use crate::store::codedeploy::arn;

/// Name, percent and minutes; a canary has one part, a linear shift equal ones.
const CONFIGS: [(&str, &str, f64, i64); 5] = [
    ("CodeDeployDefault.ECSAllAtOnce", "AllAtOnce", 100.0, 0),
    ("CodeDeployDefault.ECSCanary10Percent15Minutes", "TimeBasedCanary", 10.0, 15),
    ("CodeDeployDefault.ECSCanary10Percent5Minutes", "TimeBasedCanary", 10.0, 5),
    ("CodeDeployDefault.ECSLinear10PercentEvery1Minutes", "TimeBasedLinear", 10.0, 1),
    ("CodeDeployDefault.ECSLinear10PercentEvery3Minutes", "TimeBasedLinear", 10.0, 3),
];

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "GetDeploymentConfig" => get(call),
        "ListDeploymentConfigs" => list(call),
        _ => return None,
    })
}

/// How traffic moves by a configuration.
pub(super) fn find(name: &str) -> Result<Shift, AwsError> {
    let known = CONFIGS.iter().find(|(known, ..)| *known == name);
    let (_, kind, percent, minutes) = known.ok_or_else(|| {
        let message = format!("No Deployment Configuration found for name: {name}");
        error("DeploymentConfigDoesNotExistException", message)
    })?;
    let (percent, wait_ms) = (*percent, minutes * 60_000);
    Ok(match *kind {
        "TimeBasedCanary" => Shift::Canary { percent, wait_ms },
        "TimeBasedLinear" => Shift::Linear { percent, wait_ms },
        _ => Shift::AllAtOnce,
    })
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let name = call.input.required_text("deploymentConfigName")?;
    let resource = arn(&call.place, &format!("deploymentconfig:{name}"));
    call.authorize::<calls::GetDeploymentConfig>(resource, Vec::new())?;
    let routing = match find(name)? {
        Shift::AllAtOnce => json!({ "type": "AllAtOnce" }),
        Shift::Canary { percent, wait_ms } => json!({
            "type": "TimeBasedCanary",
            "timeBasedCanary": { "canaryPercentage": whole(percent), "canaryInterval": wait_ms / 60_000 },
        }),
        Shift::Linear { percent, wait_ms } => json!({
            "type": "TimeBasedLinear",
            "timeBasedLinear": { "linearPercentage": whole(percent), "linearInterval": wait_ms / 60_000 },
        }),
    };
    Ok(json!({ "deploymentConfigInfo": {
        "deploymentConfigName": name,
        "computePlatform": "ECS",
        "trafficRoutingConfig": routing,
    } }))
}

/// The API has whole percents.
#[expect(clippy::cast_possible_truncation, reason = "a percentage is far below 2^63")]
fn whole(percent: f64) -> i64 {
    percent.round() as i64
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::ListDeploymentConfigs>("*".to_owned(), Vec::new())?;
    let names: Vec<&str> = CONFIGS.iter().map(|(name, ..)| *name).collect();
    Ok(json!({ "deploymentConfigsList": names }))
}
