//! CodeDeploy's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_serve::authz::codedeploy_calls;
use serde_json::json;

use crate::bench::{ACCOUNT, Bench, REGION, root};
use crate::client::Request;
use crate::door_table::{self, Door, denied, give, nothing_allows, works};

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
    door("BatchGetApplications", APP, r#"{"applicationNames":["app"]}"#),
    door("UpdateApplication", APP, r#"{"applicationName":"app","newApplicationName":"app"}"#),
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
    door("BatchGetDeploymentGroups", GROUP, r#"{"applicationName":"app","deploymentGroupNames":["group"]}"#),
    door("ListDeploymentGroups", APP, r#"{"applicationName":"app"}"#),
    door(
        "GetDeploymentConfig",
        "deploymentconfig:CodeDeployDefault.ECSAllAtOnce",
        r#"{"deploymentConfigName":"CodeDeployDefault.ECSAllAtOnce"}"#,
    ),
    door("ListDeploymentConfigs", "*", "{}"),
    door(
        "CreateDeploymentConfig",
        "deploymentconfig:own",
        r#"{"deploymentConfigName":"own","computePlatform":"ECS"}"#,
    ),
    door("DeleteDeploymentConfig", "deploymentconfig:own", r#"{"deploymentConfigName":"own"}"#),
    door("RegisterApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#),
    door("GetApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#),
    door("BatchGetApplicationRevisions", APP, r#"{"applicationName":"app","revisions":[${revision}]}"#),
    door("ListApplicationRevisions", APP, r#"{"applicationName":"app"}"#),
    door("TagResource", GROUP, r#"{"ResourceArn":"${group}","Tags":[{"Key":"team","Value":"web"}]}"#),
    door("ListTagsForResource", GROUP, r#"{"ResourceArn":"${group}"}"#),
    door("UntagResource", GROUP, r#"{"ResourceArn":"${group}","TagKeys":["team"]}"#),
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
        let group = format!("arn:aws:codedeploy:{REGION}:{ACCOUNT}:{GROUP}");
        let text = text.replace("${revision}", REVISION).replace("${group}", &group);
        text.replace("${deployment}", &self.deployment)
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
fn tags_of_applications_and_groups_and_of_the_request_are_conditions() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let condition = |name: &str| json!({"StringEquals": {name: "web"}});
    let allow = |action: &str, name: &str| json!({"Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition(name)});
    let tagged = r#","tags":[{"Key":"team","Value":"web"}]"#;
    let make = |tags: &str| {
        let made = format!(r#"{{"applicationName":"tagged","computePlatform":"ECS"{tags}}}"#);
        furnished.request("CreateApplication", &made)
    };
    let keys = bench.session_with("tags", &["s3:GetObject"]);
    give(
        bench,
        "tags",
        &[
            allow("codedeploy:CreateApplication", "aws:RequestTag/team"),
            allow("codedeploy:GetApplication", "aws:ResourceTag/team"),
            allow("codedeploy:GetDeploymentGroup", "aws:ResourceTag/team"),
        ],
    );
    let ask = |request: Request| bench.call(&keys, "codedeploy", request);
    let refusal = |action: &str, rest: &str| {
        let resource = format!("arn:aws:codedeploy:{REGION}:{ACCOUNT}:{rest}");
        denied("tags", action, &resource, &nothing_allows(action))
    };
    assert_eq!(ask(make("")).fault(), refusal("codedeploy:CreateApplication", "application:tagged"));
    works(&ask(make(tagged)));
    works(&ask(furnished.request("GetApplication", r#"{"applicationName":"tagged"}"#)));
    let untagged = ask(furnished.request("GetApplication", r#"{"applicationName":"app"}"#));
    assert_eq!(untagged.fault(), refusal("codedeploy:GetApplication", APP));

    let group = || {
        furnished.request("GetDeploymentGroup", r#"{"applicationName":"app","deploymentGroupName":"group"}"#)
    };
    assert_eq!(ask(group()).fault(), refusal("codedeploy:GetDeploymentGroup", GROUP));
    furnished.call("TagResource", r#"{"ResourceArn":"${group}","Tags":[{"Key":"team","Value":"web"}]}"#);
    works(&ask(group()));
}

#[test]
fn what_has_another_name_keeps_its_groups_revisions_and_deployments() {
    let furnished = Furnished::new();
    furnished.call("UpdateApplication", r#"{"applicationName":"app","newApplicationName":"shop"}"#);
    let listed = |operation: &str, member: &str| {
        let told = furnished.call(operation, r#"{"applicationName":"shop"}"#);
        told[member].as_array().map(Vec::len)
    };
    assert_eq!(listed("ListDeploymentGroups", "deploymentGroups"), Some(1));
    assert_eq!(listed("ListApplicationRevisions", "revisions"), Some(1));
    let deployment = furnished.call("GetDeployment", r#"{"deploymentId":"${deployment}"}"#);
    assert_eq!(deployment["deploymentInfo"]["applicationName"], "shop");
}

/// What CodeDeploy refuses, by the code that its API reference has for it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "CreateDeploymentConfig",
        r#"{"deploymentConfigName":"c","computePlatform":"ECS","trafficRoutingConfig":{"type":"TimeBasedCanary","timeBasedCanary":{"canaryPercentage":0,"canaryInterval":5}}}"#,
        "InvalidTrafficRoutingConfigurationException",
    ),
    (
        "CreateDeploymentConfig",
        r#"{"deploymentConfigName":"c","computePlatform":"ECS","trafficRoutingConfig":{"type":"TimeBasedCanary","timeBasedCanary":{"canaryPercentage":10}}}"#,
        "InvalidTrafficRoutingConfigurationException",
    ),
    ("CreateDeploymentConfig", r#"{"deploymentConfigName":"c"}"#, "InvalidComputePlatformException"),
    (
        "CreateDeploymentConfig",
        r#"{"deploymentConfigName":"CodeDeployDefault.Mine","computePlatform":"ECS"}"#,
        "InvalidDeploymentConfigNameException",
    ),
    (
        "DeleteDeploymentConfig",
        r#"{"deploymentConfigName":"CodeDeployDefault.ECSAllAtOnce"}"#,
        "InvalidOperationException",
    ),
    ("CreateApplication", r#"{"applicationName":"${long}"}"#, "ValidationException"),
    ("CreateApplication", r#"{"applicationName":"a b"}"#, "ValidationException"),
    ("CreateApplication", "{}", "ApplicationNameRequiredException"),
    (
        "CreateApplication",
        r#"{"applicationName":"new","tags":[{"Key":"aws:x","Value":"y"}]}"#,
        "InvalidTagsToAddException",
    ),
    ("UpdateApplication", r#"{"applicationName":"none"}"#, "ApplicationDoesNotExistException"),
    ("TagResource", r#"{"ResourceArn":"x","Tags":[]}"#, "InvalidArnException"),
    ("TagResource", r#"{"ResourceArn":"${arn}:application:app"}"#, "TagRequiredException"),
    (
        "TagResource",
        r#"{"ResourceArn":"${arn}:application:none","Tags":[]}"#,
        "ApplicationDoesNotExistException",
    ),
    ("ListTagsForResource", r#"{"ResourceArn":"${arn}:deploymentconfig:x"}"#, "ArnNotSupportedException"),
    (
        "GetApplicationRevision",
        r#"{"applicationName":"app","revision":{"revisionType":"S3","s3Location":{"bucket":"b","key":"k","bundleType":"JSON"}}}"#,
        "RevisionDoesNotExistException",
    ),
    (
        "RegisterApplicationRevision",
        r#"{"applicationName":"app","revision":{"revisionType":"S3","s3Location":{"bucket":"b"}}}"#,
        "InvalidRevisionException",
    ),
    (
        "ListApplicationRevisions",
        r#"{"applicationName":"app","s3KeyPrefix":"x"}"#,
        "BucketNameFilterRequiredException",
    ),
    ("ListApplicationRevisions", r#"{"applicationName":"app","sortBy":"size"}"#, "InvalidSortByException"),
    ("ListApplications", r#"{"nextToken":"?"}"#, "InvalidNextTokenException"),
    ("BatchGetDeployments", r#"{"deploymentIds":[${26 ids}]}"#, "BatchLimitExceededException"),
];

#[test]
fn what_is_no_configuration_name_tag_or_revision_is_refused_by_its_own_code() {
    let furnished = Furnished::new();
    for (operation, input, code) in REFUSED {
        let input = input.replace("${long}", &"x".repeat(101));
        let input = input.replace("${26 ids}", &vec![r#""d-1""#; 26].join(","));
        let input = input.replace("${arn}", &format!("arn:aws:codedeploy:{REGION}:{ACCOUNT}"));
        let reply = furnished.bench.call(&root(), "codedeploy", furnished.request(operation, &input));
        assert_eq!(reply.fault().0, *code, "{operation} {input}: {}", reply.body);
    }
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
