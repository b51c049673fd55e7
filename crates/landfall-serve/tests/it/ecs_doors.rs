//! ECS's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_serve::authz::ecs_calls;
use serde_json::json;

use crate::bench::{Bench, root};
use crate::client::Request;
use crate::door_table::{self, Door, works};

const fn door(operation: &'static str, resource: &'static str, input: &'static str) -> Door {
    Door::json("ecs", operation, resource, input)
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
    door(
        "UpdateTaskProtection",
        "${task}",
        r#"{"cluster":"prod","tasks":["${task}"],"protectionEnabled":true}"#,
    ),
    door("GetTaskProtection", "${task}", r#"{"cluster":"prod","tasks":["${task}"]}"#),
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

/// A server with something of everything, and the ARNs of what has a name of its own.
struct Furnished {
    bench: Bench,
    names: Vec<(&'static str, String)>,
}

impl Furnished {
    fn new() -> Self {
        let bench = Bench::with_provider();
        let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
        bench.iam("CreateRole", &[("RoleName", "app"), ("AssumeRolePolicyDocument", trust)]);
        let call = |operation: &str, input: &str| {
            works(&bench.call(&root(), "ecs", Request::json("ecs", operation, input)))
        };
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
}

impl door_table::Furnished for Furnished {
    fn bench(&self) -> &Bench {
        &self.bench
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    door_table::is_whole(DOORS, &[ecs_calls::API]);
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
fn a_role_is_passed_to_tasks_and_to_nothing_else() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let register = r#"{"family":"web","executionRoleArn":"arn:aws:iam::123456789012:role/app","containerDefinitions":[{"name":"web","image":"nginx","memory":64}]}"#;
    let request = |input: &str| Request::json("ecs", "RegisterTaskDefinition", input);
    let cases = [
        (json!({"iam:PassedToService": "ecs-tasks.amazonaws.com"}), true),
        (json!({"iam:PassedToService": "ecs.amazonaws.com"}), false),
    ];
    door_table::a_role_is_passed(bench, "ecs", ROLE, &request(register), &cases);
    let foreign = register.replace("123456789012:role", "999999999999:role");
    let reply = bench.call(&root(), "ecs", request(&foreign));
    assert_eq!(reply.fault(), ("ClientException".to_owned(), "Role is not valid".to_owned()));
    // ECS doesn't say why; the log does.
    for (role, rule, told) in [
        (
            "arn:aws:iam::999999999999:role/app",
            "role-of-another-account",
            "the role `arn:aws:iam::999999999999:role/app` is of account 999999999999, and the call is of account 123456789012",
        ),
        (
            "arn:aws:iam::123456789012:user/app",
            "role-not-valid",
            "`arn:aws:iam::123456789012:user/app` is not a role's ARN",
        ),
    ] {
        bench.call(&root(), "ecs", request(&register.replace(ROLE, role)));
        let newest = bench.newest();
        let finding = newest.finding.as_ref().unwrap();
        assert_eq!((finding.rule, finding.message.as_str()), (rule, told));
        assert_eq!(newest.resource.as_deref(), Some(role));
    }
}
