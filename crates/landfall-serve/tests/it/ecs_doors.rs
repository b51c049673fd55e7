//! ECS's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_policy::catalogue;
use landfall_serve::authz::ecs_calls;

use crate::bench::{ACCOUNT, Bench, NOW, REGION, allow, root};
use crate::client::{Keys, Reply, Request, Signing};

/// An operation, and an input with which it works in the world of [`furnished`].
struct Door {
    operation: &'static str,
    /// What follows the account in the ARN that it is decided on; `*` stands alone.
    resource: &'static str,
    input: &'static str,
    /// Further actions that it takes, with their resources.
    also: &'static [(&'static str, &'static str)],
    /// The code of its answer to whoever gets through, when that is a refusal.
    code: &'static str,
}

const fn door(operation: &'static str, resource: &'static str, input: &'static str) -> Door {
    Door { operation, resource, input, also: &[], code: "" }
}

const CLUSTER: &str = "cluster/prod";
const SERVICE: &str = "service/prod/web";
const ROLE: &str = "arn:aws:iam::123456789012:role/app";

const DOORS: &[Door] = &[
    door("CreateCluster", "cluster/new", r#"{"clusterName":"new"}"#),
    door("DescribeClusters", CLUSTER, r#"{"clusters":["prod"]}"#),
    door("ListClusters", "*", "{}"),
    door(
        "UpdateCluster",
        CLUSTER,
        r#"{"cluster":"prod","settings":[{"name":"containerInsights","value":"enabled"}]}"#,
    ),
    door("UpdateClusterSettings", CLUSTER, r#"{"cluster":"prod","settings":[]}"#),
    door(
        "PutClusterCapacityProviders",
        CLUSTER,
        r#"{"cluster":"prod","capacityProviders":["FARGATE"],"defaultCapacityProviderStrategy":[]}"#,
    ),
    door("CreateCapacityProvider", "capacity-provider/more", r#"{"name":"more"}"#),
    door("DescribeCapacityProviders", "capacity-provider/cp", r#"{"capacityProviders":["cp"]}"#),
    door("UpdateCapacityProvider", "capacity-provider/cp", r#"{"name":"cp"}"#),
    door("DeleteCapacityProvider", "capacity-provider/cp", r#"{"capacityProvider":"cp"}"#),
    door("ListContainerInstances", CLUSTER, r#"{"cluster":"prod"}"#),
    door(
        "DescribeContainerInstances",
        "container-instance/prod/i",
        r#"{"cluster":"prod","containerInstances":["i"]}"#,
    ),
    door("ListAttributes", CLUSTER, r#"{"cluster":"prod","targetType":"container-instance"}"#),
    Door {
        also: &[("iam:PassRole", ROLE)],
        ..door(
            "RegisterTaskDefinition",
            "task-definition/web:*",
            r#"{"family":"web","taskRoleArn":"arn:aws:iam::123456789012:role/app","containerDefinitions":[{"name":"web","image":"nginx","memory":64}]}"#,
        )
    },
    door("DescribeTaskDefinition", "*", r#"{"taskDefinition":"web"}"#),
    door("DeregisterTaskDefinition", "*", r#"{"taskDefinition":"old:1"}"#),
    door("DeleteTaskDefinitions", "task-definition/old:1", r#"{"taskDefinitions":["old:1"]}"#),
    door("ListTaskDefinitions", "*", "{}"),
    door("ListTaskDefinitionFamilies", "*", "{}"),
    Door {
        also: &[("ecs:TagResource", "arn:aws:ecs:eu-west-1:123456789012:service/prod/new")],
        ..door(
            "CreateService",
            "service/prod/new",
            r#"{"cluster":"prod","serviceName":"new","taskDefinition":"web:1","desiredCount":0,"tags":[{"key":"team","value":"a"}]}"#,
        )
    },
    door("UpdateService", SERVICE, r#"{"cluster":"prod","service":"web","forceNewDeployment":true}"#),
    door("DescribeServices", SERVICE, r#"{"cluster":"prod","services":["web"]}"#),
    door("ListServices", "*", r#"{"cluster":"prod"}"#),
    door("ListServicesByNamespace", "*", r#"{"namespace":"n"}"#),
    door("ListServiceDeployments", SERVICE, r#"{"cluster":"prod","service":"web"}"#),
    Door {
        also: &[("ecs:DescribeServiceDeployments", "${deployment}")],
        ..door("DescribeServiceDeployments", SERVICE, r#"{"serviceDeploymentArns":["${deployment}"]}"#)
    },
    Door {
        also: &[("ecs:DescribeServiceRevisions", "${revision}")],
        ..door("DescribeServiceRevisions", SERVICE, r#"{"serviceRevisionArns":["${revision}"]}"#)
    },
    Door {
        also: &[("ecs:ContinueServiceDeployment", "${deployment}")],
        code: "ConflictException",
        ..door(
            "ContinueServiceDeployment",
            SERVICE,
            r#"{"serviceDeploymentArn":"${deployment}","hookId":"x"}"#,
        )
    },
    Door {
        also: &[("ecs:StopServiceDeployment", "${deployment}")],
        code: "ConflictException",
        ..door("StopServiceDeployment", SERVICE, r#"{"serviceDeploymentArn":"${deployment}"}"#)
    },
    Door {
        also: &[("iam:PassRole", ROLE)],
        ..door(
            "RunTask",
            "task-definition/web:1",
            r#"{"cluster":"prod","taskDefinition":"web:1","overrides":{"taskRoleArn":"arn:aws:iam::123456789012:role/app"}}"#,
        )
    },
    door(
        "StartTask",
        "task-definition/web:1",
        r#"{"cluster":"prod","taskDefinition":"web:1","containerInstances":["i"]}"#,
    ),
    door("DescribeTasks", "${task}", r#"{"cluster":"prod","tasks":["${task}"]}"#),
    door("ListTasks", "container-instance/prod/*", r#"{"cluster":"prod"}"#),
    Door {
        also: &[("ecs:ExecuteCommand", "${task}")],
        code: "InvalidParameterException",
        ..door(
            "ExecuteCommand",
            CLUSTER,
            r#"{"cluster":"prod","task":"${task}","command":"sh","interactive":true}"#,
        )
    },
    door("StopTask", "${task}", r#"{"cluster":"prod","task":"${task}"}"#),
    door(
        "CreateTaskSet",
        "task-set/prod/sets/*",
        r#"{"cluster":"prod","service":"sets","taskDefinition":"web:1"}"#,
    ),
    door("DescribeTaskSets", "${set}", r#"{"cluster":"prod","service":"sets","taskSets":["${set}"]}"#),
    door(
        "UpdateTaskSet",
        "${set}",
        r#"{"cluster":"prod","service":"sets","taskSet":"${set}","scale":{"value":0,"unit":"PERCENT"}}"#,
    ),
    door(
        "UpdateServicePrimaryTaskSet",
        "service/prod/sets",
        r#"{"cluster":"prod","service":"sets","primaryTaskSet":"${set}"}"#,
    ),
    door("DeleteTaskSet", "${set}", r#"{"cluster":"prod","service":"sets","taskSet":"${set}"}"#),
    door("TagResource", SERVICE, r#"{"resourceArn":"${service}","tags":[{"key":"a","value":"b"}]}"#),
    door("UntagResource", SERVICE, r#"{"resourceArn":"${service}","tagKeys":["a"]}"#),
    door("ListTagsForResource", SERVICE, r#"{"resourceArn":"${service}"}"#),
    door("PutAccountSetting", "*", r#"{"name":"containerInsights","value":"enabled"}"#),
    door("PutAccountSettingDefault", "*", r#"{"name":"containerInsights","value":"enabled"}"#),
    door("DeleteAccountSetting", "*", r#"{"name":"containerInsights"}"#),
    door("ListAccountSettings", "*", "{}"),
    door("DeleteService", SERVICE, r#"{"cluster":"prod","service":"web","force":true}"#),
    door("DeleteCluster", "cluster/empty", r#"{"cluster":"empty"}"#),
];

fn request(operation: &str, input: &str) -> Request {
    Request::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", &format!("AmazonEC2ContainerServiceV20141113.{operation}"))
        .body(input)
}

fn works(reply: &Reply) -> serde_json::Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// A server with something of everything, and the ARNs of what has a name of its own.
struct Furnished {
    bench: Bench,
    names: Vec<(&'static str, String)>,
}

impl Furnished {
    fn new() -> Self {
        let bench = Bench::with_provider();
        let call =
            |operation: &str, input: &str| works(&bench.call(&root(), "ecs", request(operation, input)));
        for cluster in ["prod", "empty"] {
            call("CreateCluster", &format!(r#"{{"clusterName":"{cluster}"}}"#));
        }
        call("CreateCapacityProvider", r#"{"name":"cp"}"#);
        for family in ["web", "old"] {
            let input = format!(
                r#"{{"family":"{family}","containerDefinitions":[{{"name":"web","image":"nginx","memory":64}}]}}"#
            );
            call("RegisterTaskDefinition", &input);
        }
        let service = call(
            "CreateService",
            r#"{"cluster":"prod","serviceName":"web","taskDefinition":"web:1","desiredCount":0}"#,
        );
        call(
            "CreateService",
            r#"{"cluster":"prod","serviceName":"sets","deploymentController":{"type":"EXTERNAL"},"desiredCount":0}"#,
        );
        let set = call("CreateTaskSet", r#"{"cluster":"prod","service":"sets","taskDefinition":"web:1"}"#);
        let task = call("RunTask", r#"{"cluster":"prod","taskDefinition":"web:1"}"#);
        let deployments = call("ListServiceDeployments", r#"{"cluster":"prod","service":"web"}"#);
        let deployment = &deployments["serviceDeployments"][0];
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let names = vec![
            ("${service}", text(&service["service"]["serviceArn"])),
            ("${set}", text(&set["taskSet"]["taskSetArn"])),
            ("${task}", text(&task["tasks"][0]["taskArn"])),
            ("${deployment}", text(&deployment["serviceDeploymentArn"])),
            ("${revision}", text(&deployment["targetServiceRevisionArn"])),
        ];
        Self { bench, names }
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn request(&self, door: &Door) -> Request {
        request(door.operation, &self.fill(door.input))
    }

    fn resource(&self, door: &Door) -> String {
        match self.fill(door.resource) {
            all if all == "*" => all,
            arn if arn.starts_with("arn:") => arn,
            rest => format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{rest}"),
        }
    }

    fn give(&self, role: &str, statements: &[serde_json::Value]) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let put = [("RoleName", role), ("PolicyName", "only"), ("PolicyDocument", policy.as_str())];
        assert_eq!(self.bench.iam("PutRolePolicy", &put).status, 200);
    }
}

fn statement(effect: &str, action: &str, resource: &str) -> serde_json::Value {
    serde_json::json!({"Effect": effect, "Action": action, "Resource": resource})
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    let listed: Vec<&str> = DOORS.iter().map(|door| door.operation).collect();
    for (service, name) in ecs_calls::API {
        assert!(listed.contains(name), "{name} is not covered");
        assert!(catalogue::need(service, name).is_some(), "{name} is not in the catalogue");
    }
    assert_eq!(listed.len(), ecs_calls::API.len());
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let keys = bench.session_with("all", &["*"]);
    let at = |region: &'static str| Signing { service: "ecs", region, at: NOW };
    bench.server.world.clock.advance(3600);
    for door in DOORS {
        let nobody = bench.send(&furnished.request(door));
        assert_eq!(nobody.fault().0, "MissingAuthenticationTokenException", "{}", door.operation);
        let guess = Keys { secret: "guess".to_owned(), ..keys.clone() };
        let guessed = bench.send(&furnished.request(door).sign(&guess, at(REGION)));
        assert_eq!(guessed.fault().0, "InvalidSignatureException", "{}", door.operation);
        let ended = bench.send(&furnished.request(door).sign(&keys, at(REGION)));
        assert_eq!(ended.fault().0, "ExpiredTokenException", "{}", door.operation);
        let elsewhere = Signing { service: "ecr", ..at(REGION) };
        let wrong = bench.send(&furnished.request(door).sign(&root(), elsewhere));
        let sentence = "Credential should be scoped to correct service: 'ecs'. ";
        assert_eq!(wrong.fault(), ("InvalidSignatureException".to_owned(), sentence.to_owned()));
    }
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    for role in ["without", "denied", "with"] {
        bench.role(role, &allow(&["s3:*"], "*"));
    }
    let [without, denied, with] = ["without", "denied", "with"].map(|role| bench.session(role));
    for door in DOORS {
        let resource = furnished.resource(door);
        let action = catalogue::need("ecs", door.operation).unwrap().action;
        let also: Vec<(&str, String)> =
            door.also.iter().map(|(action, resource)| (*action, furnished.fill(resource))).collect();
        furnished.give("denied", &[statement("Allow", "*", "*"), statement("Deny", action, &resource)]);
        let nothing = format!("because no identity-based policy allows the {action} action");
        let explicit = "with an explicit deny in an identity-based policy".to_owned();
        for (role, keys, reason) in [("without", &without, nothing), ("denied", &denied, explicit)] {
            let reply = bench.call(keys, "ecs", furnished.request(door));
            let sentence = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test is not authorized to perform: {action} on resource: {resource} {reason}"
            );
            assert_eq!(reply.fault(), ("AccessDeniedException".to_owned(), sentence), "{}", door.operation);
        }
        // Without any one of the further actions it doesn't work either.
        let own = statement("Allow", action, &resource);
        for (left_out, on) in &also {
            let rest = also.iter().filter(|(action, resource)| (action, resource) != (left_out, on));
            let mut statements: Vec<_> = rest.map(|(action, on)| statement("Allow", action, on)).collect();
            statements.push(own.clone());
            furnished.give("with", &statements);
            let reply = bench.call(&with, "ecs", furnished.request(door));
            let sentence = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/with/test is not authorized to perform: {left_out} on resource: {on} because no identity-based policy allows the {left_out} action"
            );
            assert_eq!(reply.fault(), ("AccessDeniedException".to_owned(), sentence), "{}", door.operation);
        }
        let mut statements: Vec<_> = also.iter().map(|(action, on)| statement("Allow", action, on)).collect();
        statements.push(own);
        furnished.give("with", &statements);
        let reply = bench.call(&with, "ecs", furnished.request(door));
        if door.code.is_empty() {
            assert_eq!(reply.status, 200, "{}: {}", door.operation, reply.body);
        } else {
            assert_eq!(reply.fault().0, door.code, "{}: {}", door.operation, reply.body);
        }
    }
}

#[test]
fn the_log_of_a_task_is_read_with_permission_alone() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    bench.role("reader", &allow(&["s3:*"], "*"));
    let keys = bench.session("reader");
    let read = Request::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Logs_20140328.GetLogEvents")
        .body(r#"{"logGroupName":"/app","logStreamName":"it/main/0a"}"#);
    let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/app:log-stream:it/main/0a");
    assert_eq!(bench.send(&read).fault().0, "MissingAuthenticationTokenException");
    let refused = bench.call(&keys, "logs", read.clone()).fault();
    let sentence = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/test is not authorized to perform: logs:GetLogEvents on resource: {arn} because no identity-based policy allows the logs:GetLogEvents action"
    );
    assert_eq!(refused, ("AccessDeniedException".to_owned(), sentence));
    furnished.give("reader", &[statement("Allow", "logs:GetLogEvents", &arn)]);
    assert_eq!(bench.call(&keys, "logs", read).fault().0, "ResourceNotFoundException");
}

#[test]
fn a_role_is_passed_to_tasks_and_to_nothing_else() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    bench.role("deploy", &allow(&["ecs:*"], "*"));
    let keys = bench.session("deploy");
    let register = r#"{"family":"web","executionRoleArn":"arn:aws:iam::123456789012:role/app","containerDefinitions":[{"name":"web","image":"nginx","memory":64}]}"#;
    for (service, passes) in [("ecs-tasks.amazonaws.com", true), ("ecs.amazonaws.com", false)] {
        let mut pass = statement("Allow", "iam:PassRole", ROLE);
        pass["Condition"] = serde_json::json!({"StringEquals": {"iam:PassedToService": service}});
        furnished.give("deploy", &[statement("Allow", "ecs:*", "*"), pass]);
        let reply = bench.call(&keys, "ecs", request("RegisterTaskDefinition", register));
        assert_eq!(reply.status == 200, passes, "{service}: {}", reply.body);
        let record = bench.newest();
        assert_eq!(record.action.as_deref(), Some("iam:PassRole"));
    }
    let foreign = register.replace("123456789012:role", "999999999999:role");
    let reply = bench.call(&keys, "ecs", request("RegisterTaskDefinition", &foreign));
    assert_eq!(reply.fault(), ("ClientException".to_owned(), "Role is not valid".to_owned()));
}
