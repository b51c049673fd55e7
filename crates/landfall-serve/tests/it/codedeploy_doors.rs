//! CodeDeploy's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_policy::catalogue;
use landfall_serve::authz::codedeploy_calls;

use crate::bench::{ACCOUNT, Bench, REGION, allow, root};
use crate::client::Request;

/// Operation, what follows the account in the ARN that it is decided on (`*` stands alone), an input with
/// which it works, and the code of its answer to whoever gets through, when that is a refusal.
type Door = (&'static str, &'static str, &'static str, &'static str);

const APP: &str = "application:app";
const GROUP: &str = "deploymentgroup:app/group";
const REVISION: &str = r#"{"revisionType":"AppSpecContent","appSpecContent":{"content":"{\"Resources\":[{\"T\":{\"Type\":\"AWS::ECS::Service\",\"Properties\":{\"TaskDefinition\":\"web:1\"}}}]}"}}"#;
const ROLE: &str = "arn:aws:iam::123456789012:role/deployer";

const DOORS: &[Door] = &[
    ("CreateApplication", "application:new", r#"{"applicationName":"new","computePlatform":"ECS"}"#, ""),
    ("GetApplication", APP, r#"{"applicationName":"app"}"#, ""),
    ("ListApplications", "*", "{}", ""),
    (
        "CreateDeploymentGroup",
        "deploymentgroup:app/new",
        r#"{"applicationName":"app","deploymentGroupName":"new","serviceRoleArn":"arn:aws:iam::123456789012:role/deployer","ecsServices":[{"clusterName":"prod","serviceName":"web"}]}"#,
        "",
    ),
    ("UpdateDeploymentGroup", GROUP, r#"{"applicationName":"app","currentDeploymentGroupName":"group"}"#, ""),
    ("GetDeploymentGroup", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#, ""),
    ("ListDeploymentGroups", APP, r#"{"applicationName":"app"}"#, ""),
    (
        "GetDeploymentConfig",
        "deploymentconfig:CodeDeployDefault.ECSAllAtOnce",
        r#"{"deploymentConfigName":"CodeDeployDefault.ECSAllAtOnce"}"#,
        "",
    ),
    ("ListDeploymentConfigs", "*", "{}", ""),
    ("RegisterApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#, ""),
    ("GetApplicationRevision", APP, r#"{"applicationName":"app","revision":${revision}}"#, ""),
    ("GetDeployment", GROUP, r#"{"deploymentId":"${deployment}"}"#, ""),
    ("BatchGetDeployments", GROUP, r#"{"deploymentIds":["${deployment}"]}"#, ""),
    ("ListDeployments", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#, ""),
    ("ListDeploymentTargets", "*", r#"{"deploymentId":"${deployment}"}"#, ""),
    ("GetDeploymentTarget", "*", r#"{"deploymentId":"${deployment}","targetId":"prod:web"}"#, ""),
    ("BatchGetDeploymentTargets", "*", r#"{"deploymentId":"${deployment}","targetIds":["prod:web"]}"#, ""),
    (
        "ContinueDeployment",
        "*",
        r#"{"deploymentId":"${deployment}","deploymentWaitType":"READY_WAIT"}"#,
        "DeploymentAlreadyCompletedException",
    ),
    ("StopDeployment", "*", r#"{"deploymentId":"${deployment}"}"#, "DeploymentAlreadyCompletedException"),
    (
        "CreateDeployment",
        GROUP,
        r#"{"applicationName":"app","deploymentGroupName":"group","revision":${revision}}"#,
        "",
    ),
    ("DeleteDeploymentGroup", GROUP, r#"{"applicationName":"app","deploymentGroupName":"group"}"#, ""),
    ("DeleteApplication", APP, r#"{"applicationName":"app"}"#, ""),
];

fn request(operation: &str, input: &str) -> Request {
    Request::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", &format!("CodeDeploy_20141006.{operation}"))
        .body(input)
}

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
        request(operation, &input.replace("${revision}", REVISION).replace("${deployment}", &self.deployment))
    }

    fn call(&self, operation: &str, input: &str) -> serde_json::Value {
        let reply = self.bench.call(&root(), "codedeploy", self.request(operation, input));
        assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
        reply.json()
    }

    fn give(&self, role: &str, statements: &[serde_json::Value]) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let put = [("RoleName", role), ("PolicyName", "only"), ("PolicyDocument", policy.as_str())];
        assert_eq!(self.bench.iam("PutRolePolicy", &put).status, 200);
    }
}

fn resource(rest: &str) -> String {
    if rest == "*" { rest.to_owned() } else { format!("arn:aws:codedeploy:{REGION}:{ACCOUNT}:{rest}") }
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    let listed: Vec<&str> = DOORS.iter().map(|(operation, ..)| *operation).collect();
    for (service, name) in codedeploy_calls::API {
        assert!(listed.contains(name), "{name} is not covered");
        assert!(catalogue::need(service, name).is_some(), "{name} is not in the catalogue");
    }
    assert_eq!(listed.len(), codedeploy_calls::API.len());
}

#[test]
fn a_role_needs_the_action_of_each_operation() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    for role in ["without", "with"] {
        bench.role(role, &allow(&["s3:*"], "*"));
    }
    let [without, with] = ["without", "with"].map(|role| bench.session(role));
    for (operation, rest, input, code) in DOORS {
        let nobody = bench.send(&furnished.request(operation, input));
        assert_eq!(nobody.fault().0, "MissingAuthenticationTokenException", "{operation}");
        let (action, resource) = (catalogue::need("codedeploy", operation).unwrap().action, resource(rest));
        let refused = bench.call(&without, "codedeploy", furnished.request(operation, input));
        let sentence = format!(
            "User: arn:aws:sts::{ACCOUNT}:assumed-role/without/test is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        );
        assert_eq!(refused.fault(), ("AccessDeniedException".to_owned(), sentence), "{operation}");
        let own = serde_json::json!({"Effect": "Allow", "Action": action, "Resource": resource});
        let pass = serde_json::json!({
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE,
            "Condition": {"StringEquals": {"iam:PassedToService": "codedeploy.amazonaws.com"}},
        });
        if *operation == "CreateDeploymentGroup" {
            furnished.give("with", std::slice::from_ref(&own));
            let reply = bench.call(&with, "codedeploy", furnished.request(operation, input));
            assert!(reply.body.contains("iam:PassRole on resource"), "{}", reply.body);
        }
        furnished.give("with", &[own, pass]);
        let reply = bench.call(&with, "codedeploy", furnished.request(operation, input));
        if code.is_empty() {
            assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
        } else {
            assert_eq!(reply.fault().0, *code, "{operation}: {}", reply.body);
        }
    }
}

#[test]
fn an_appspec_whose_digest_is_another_is_refused() {
    let furnished = Furnished::new();
    let revision = format!(r#"{},"sha256":"0000"}}}}"#, REVISION.strip_suffix("}}").unwrap());
    let input = format!(r#"{{"applicationName":"app","deploymentGroupName":"group","revision":{revision}}}"#);
    let reply = furnished.bench.call(&root(), "codedeploy", request("CreateDeployment", &input));
    let (code, message) = reply.fault();
    assert_eq!(code, "InvalidRevisionException");
    assert!(message.contains("and 0000 was given"), "{message}");
}
