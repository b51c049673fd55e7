//! CodeDeploy's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_serve::authz::codedeploy_calls;
use serde_json::json;

use crate::bench::{Bench, root};
use crate::client::Request;
use crate::door_table::{self, Door, works};

const fn door(operation: &'static str, resource: &'static str, input: &'static str) -> Door {
    Door::json("codedeploy", operation, resource, input)
}

const APP: &str = "application:app";
const GROUP: &str = "deploymentgroup:app/group";
const REVISION: &str = r#"{"revisionType":"AppSpecContent","appSpecContent":{"content":"{\"Resources\":[{\"T\":{\"Type\":\"AWS::ECS::Service\",\"Properties\":{\"TaskDefinition\":\"web:1\"}}}]}"}}"#;
const ROLE: &str = "arn:aws:iam::123456789012:role/deployer";

const DOORS: &[Door] = &[
    door("CreateApplication", "application:new", r#"{"applicationName":"new","computePlatform":"ECS"}"#),
    door("GetApplication", APP, r#"{"applicationName":"app"}"#),
    door("ListApplications", "*", "{}"),
    Door {
        also: &[("iam:PassRole", ROLE)],
        ..door(
            "CreateDeploymentGroup",
            "deploymentgroup:app/new",
            r#"{"applicationName":"app","deploymentGroupName":"new","serviceRoleArn":"arn:aws:iam::123456789012:role/deployer","ecsServices":[{"clusterName":"prod","serviceName":"web"}]}"#,
        )
    },
    door("UpdateDeploymentGroup", GROUP, r#"{"applicationName":"app","currentDeploymentGroupName":"group"}"#),
    door("GetDeploymentGroup", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#),
    door("ListDeploymentGroups", APP, r#"{"applicationName":"app"}"#),
    door(
        "GetDeploymentConfig",
        "deploymentconfig:CodeDeployDefault.ECSAllAtOnce",
        r#"{"deploymentConfigName":"CodeDeployDefault.ECSAllAtOnce"}"#,
    ),
    door("ListDeploymentConfigs", "*", "{}"),
    door("RegisterApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#),
    door("GetApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#),
    door("GetDeployment", GROUP, r#"{"deploymentId":"${deployment}"}"#),
    door("BatchGetDeployments", GROUP, r#"{"deploymentIds":["${deployment}"]}"#),
    door("ListDeployments", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#),
    door("ListDeploymentTargets", "*", r#"{"deploymentId":"${deployment}"}"#),
    door("GetDeploymentTarget", "*", r#"{"deploymentId":"${deployment}","targetId":"prod:web"}"#),
    door("BatchGetDeploymentTargets", "*", r#"{"deploymentId":"${deployment}","targetIds":["prod:web"]}"#),
    Door {
        code: "DeploymentAlreadyCompletedException",
        ..door(
            "ContinueDeployment",
            "*",
            r#"{"deploymentId":"${deployment}","deploymentWaitType":"READY_WAIT"}"#,
        )
    },
    Door {
        code: "DeploymentAlreadyCompletedException",
        ..door("StopDeployment", "*", r#"{"deploymentId":"${deployment}"}"#)
    },
    door(
        "CreateDeployment",
        GROUP,
        r#"{"applicationName":"app","deploymentGroupName":"group","revision":${revision}}"#,
    ),
    door("DeleteDeploymentGroup", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#),
    door("DeleteApplication", APP, r#"{"applicationName":"app"}"#),
];

/// An application with a group and a deployment that was stopped.
struct Furnished {
    bench: Bench,
    deployment: String,
}

impl Furnished {
    fn new() -> Self {
        let mut furnished = Self { bench: Bench::with_provider(), deployment: String::new() };
        furnished.call("CreateApplication", r#"{"applicationName":"app"}"#);
        let group = r#"{"applicationName":"app","deploymentGroupName":"group","serviceRoleArn":"${role}","ecsServices":[{"clusterName":"prod","serviceName":"web"}]}"#;
        furnished.call("CreateDeploymentGroup", &group.replace("${role}", ROLE));
        let create = r#"{"applicationName":"app","deploymentGroupName":"group","revision":${revision}}"#;
        let made = furnished.call("CreateDeployment", create);
        furnished.deployment = made["deploymentId"].as_str().unwrap().to_owned();
        // There is no such service: the driver, or this, ends it.
        let stop = furnished.request("StopDeployment", r#"{"deploymentId":"${deployment}"}"#);
        furnished.bench.call(&root(), "codedeploy", stop);
        furnished
    }

    fn request(&self, operation: &str, input: &str) -> Request {
        Request::json("codedeploy", operation, &door_table::Furnished::fill(self, input))
    }

    fn call(&self, operation: &str, input: &str) -> serde_json::Value {
        works(&self.bench.call(&root(), "codedeploy", self.request(operation, input)))
    }
}

impl door_table::Furnished for Furnished {
    fn bench(&self) -> &Bench {
        &self.bench
    }

    fn fill(&self, text: &str) -> String {
        text.replace("${revision}", REVISION).replace("${deployment}", &self.deployment)
    }
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    door_table::is_whole(DOORS, &[codedeploy_calls::API]);
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    door_table::strangers_stay_outside(&Furnished::new(), DOORS);
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    door_table::a_role_needs_each_action(&Furnished::new(), DOORS);
}

#[test]
fn a_role_is_passed_to_codedeploy_and_to_nothing_else() {
    let furnished = Furnished::new();
    let input =
        r#"{"applicationName":"app","currentDeploymentGroupName":"group","serviceRoleArn":"${role}"}"#;
    let request = furnished.request("UpdateDeploymentGroup", &input.replace("${role}", ROLE));
    let cases = [
        (json!({"iam:PassedToService": "ecs.amazonaws.com"}), false),
        (json!({"iam:PassedToService": "codedeploy.amazonaws.com"}), true),
    ];
    door_table::a_role_is_passed(&furnished.bench, "codedeploy", ROLE, &request, &cases);
}

#[test]
fn an_appspec_whose_digest_is_another_is_refused() {
    let furnished = Furnished::new();
    let revision = format!(r#"{},"sha256":"0000"}}}}"#, REVISION.strip_suffix("}}").unwrap());
    let input = format!(r#"{{"applicationName":"app","deploymentGroupName":"group","revision":{revision}}}"#);
    let reply =
        furnished.bench.call(&root(), "codedeploy", Request::json("codedeploy", "CreateDeployment", &input));
    let (code, message) = reply.fault();
    assert_eq!(code, "InvalidRevisionException");
    assert!(message.contains("and 0000 was given"), "{message}");
}
