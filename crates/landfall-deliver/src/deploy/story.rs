//! The story of one deployment, as ECS tells it beside the service: its stage, where traffic goes, what it
//! waits for, and why it went back. Blue/green, linear and canary deployments can't be judged without it:
//! while they bake, as many tasks run as are wanted, and they may still be rolled back.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>

use serde::Deserialize;
use serde_json::Value;

use super::view::Configuration;

/// A deployment in `DescribeServiceDeployments`' answer.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Story {
    /// Its ARN.
    pub service_deployment_arn: String,
    /// `PENDING`, `IN_PROGRESS`, `SUCCESSFUL`, `STOPPED`, `ROLLBACK_…`.
    pub status: String,
    /// Why, in ECS's sentence.
    pub status_reason: Option<String>,
    /// Such as `BAKE_TIME`; only while it goes on.
    pub lifecycle_stage: Option<String>,
    /// Hooks of that stage.
    pub lifecycle_hook_details: Vec<HookDetail>,
    /// What is deployed.
    pub target_service_revision: Revision,
    /// The way back, once it has begun.
    pub rollback: Option<Rollback>,
    /// The alarms that can end it.
    pub alarms: Alarms,
    /// The rules that it goes by.
    pub deployment_configuration: Configuration,
}

/// A revision and its share of the traffic.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Revision {
    /// Its ARN; the last part is the number of the deployment.
    pub arn: String,
    /// Percent of production traffic; none where ECS doesn't move it.
    pub requested_production_traffic_weight: Option<f64>,
    /// Percent of test traffic.
    pub requested_test_traffic_weight: Option<f64>,
}

/// A hook that runs or waits.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HookDetail {
    /// What `ContinueServiceDeployment` calls it.
    pub hook_id: String,
    /// `AWS_LAMBDA` or `PAUSE`.
    pub target_type: String,
    /// The function's ARN.
    pub target_arn: Option<String>,
    /// `AWAITING_ACTION`, `IN_PROGRESS`, `SUCCEEDED`, `FAILED` or `TIMED_OUT`.
    pub status: String,
    /// `CONTINUE` or `ROLLBACK`: what happens when nobody answers.
    pub timeout_action: Option<String>,
}

/// Why it goes back.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollback {
    /// ECS's sentence.
    pub reason: Option<String>,
}

/// CloudWatch alarms of a deployment.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Alarms {
    /// `TRIGGERED`, `MONITORING`, `MONITORING_COMPLETE` or `DISABLED`.
    pub status: String,
    /// Those that went off.
    pub triggered_alarm_names: Vec<String>,
}

/// Where a deployment stands, in what can be told of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// ECS's word.
    pub stage: String,
    /// Percent of production traffic that the new revision gets.
    pub traffic: Option<f64>,
    /// What the stage waits for, in words.
    pub waits: Option<String>,
}

impl Story {
    /// From an answer's service deployment.
    pub fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }

    /// The deployment's id in `DescribeServices`, `ecs-svc/…`.
    pub fn deployment_id(&self) -> String {
        let number = self.target_service_revision.arn.rsplit('/').next().unwrap_or_default();
        format!("ecs-svc/{number}")
    }

    /// Whether nothing changes in it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "SUCCESSFUL" | "STOPPED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED")
    }

    /// ECS's sentence about how it is; empty where there is none.
    pub fn reason(&self) -> String {
        let back = self.rollback.as_ref().and_then(|rollback| rollback.reason.clone());
        back.into_iter()
            .chain(self.status_reason.clone())
            .find(|reason| !reason.is_empty())
            .unwrap_or_default()
    }

    /// The hook that waits for a person.
    pub fn awaited(&self) -> Option<&HookDetail> {
        self.lifecycle_hook_details.iter().find(|hook| hook.status == "AWAITING_ACTION")
    }

    /// Where it stands, while it goes on.
    pub fn standing(&self) -> Option<Standing> {
        let stage = self.lifecycle_stage.clone().filter(|_| !self.is_over())?;
        let traffic = self.target_service_revision.requested_production_traffic_weight;
        let waits = self.waits(&stage, traffic);
        Some(Standing { stage, traffic, waits })
    }

    fn waits(&self, stage: &str, traffic: Option<f64>) -> Option<String> {
        if let Some(hook) = self.awaited() {
            let then = match hook.timeout_action.as_deref() {
                Some("CONTINUE") => ", or goes on when the hook's time is up",
                Some("ROLLBACK") => ", or goes back when the hook's time is up",
                _ => "",
            };
            return Some(format!("waits for an answer to the hook{then}"));
        }
        let running = self.lifecycle_hook_details.iter().find(|hook| hook.status == "IN_PROGRESS");
        if let Some(hook) = running {
            let target = hook.target_arn.as_deref().unwrap_or(&hook.hook_id);
            return Some(format!("asks {}", target.rsplit(':').next().unwrap_or(target)));
        }
        let rules = &self.deployment_configuration;
        match (stage, rules.strategy.as_deref()) {
            ("BAKE_TIME", _) if rules.bake_time_in_minutes > 0 => {
                Some(format!("{} min with both revisions", rules.bake_time_in_minutes))
            }
            ("PRODUCTION_TRAFFIC_SHIFT", Some("LINEAR")) if traffic.is_some_and(|share| share < 100.0) => {
                Some(format!("the next step in {} min", rules.linear_configuration.step_bake_time_in_minutes))
            }
            ("PRODUCTION_TRAFFIC_SHIFT", Some("CANARY")) if traffic.is_some_and(|share| share < 100.0) => {
                Some(format!("all of it in {} min", rules.canary_configuration.canary_bake_time_in_minutes))
            }
            _ => None,
        }
    }
}
