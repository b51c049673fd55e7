//! What ECS refuses of a service's load balancers and registries: the rows of `cases/ecs-traffic.toml`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, root};
use crate::client::{Reply, Request};

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    definition: String,
    more: Map<String, Value>,
    refused: Option<String>,
}

fn call(bench: &Bench, operation: &str, input: &Value) -> Reply {
    bench.call(&root(), "ecs", Request::json("ecs", operation, &input.to_string()))
}

fn made(bench: &Bench, operation: &str, input: &Value) {
    let reply = call(bench, operation, input);
    assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
}

fn with(base: Value, more: &Map<String, Value>) -> Value {
    let mut base = base;
    base.as_object_mut().unwrap().extend(more.clone());
    base
}

fn furnished() -> Bench {
    let bench = Bench::new();
    made(&bench, "CreateCluster", &json!({ "clusterName": "shop" }));
    for mode in ["bridge", "awsvpc"] {
        let ports = json!([
            { "containerPort": 80 }, { "containerPortRange": "9000-9010" },
            { "containerPort": 53 }, { "containerPort": 53, "protocol": "udp" },
        ]);
        let containers = json!([
            { "name": "app", "image": "nginx", "memory": 64, "portMappings": ports },
            { "name": "side", "image": "nginx", "memory": 64 },
        ]);
        made(
            &bench,
            "RegisterTaskDefinition",
            &json!({
                "family": mode, "networkMode": mode, "containerDefinitions": containers,
            }),
        );
    }
    bench
}

#[test]
fn each_row_is_answered_alike_by_every_operation() {
    let bench = furnished();
    let table: Table = toml::from_str(include_str!("../../cases/ecs-traffic.toml")).unwrap();
    let mut wrong = Vec::new();
    for (number, row) in table.row.iter().enumerate() {
        let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-1"] } });
        let mut plain = json!({ "cluster": "shop", "taskDefinition": row.definition, "desiredCount": 0 });
        if row.definition == "awsvpc" {
            plain["networkConfiguration"] = network;
        }
        let named = |name: String| json!({ "serviceName": name }).as_object().unwrap().clone();
        let (whole, outside) = (format!("whole-{number}"), format!("outside-{number}"));
        made(&bench, "CreateService", &with(plain.clone(), &named(format!("plain-{number}"))));
        made(
            &bench,
            "CreateService",
            &json!({
                "cluster": "shop", "serviceName": outside, "deploymentController": { "type": "EXTERNAL" },
            }),
        );
        let update = json!({ "cluster": "shop", "service": format!("plain-{number}") });
        let mut set = plain.clone();
        set.as_object_mut().unwrap().remove("desiredCount");
        set["service"] = Value::from(outside);
        let calls = [
            ("CreateService", with(with(plain, &named(whole)), &row.more)),
            ("UpdateService", with(update, &row.more)),
            ("CreateTaskSet", with(set, &row.more)),
        ];
        for (operation, input) in calls {
            let reply = call(&bench, operation, &input);
            let wanted = match &row.refused {
                Some(sentence) => (400, ("InvalidParameterException".to_owned(), sentence.clone())),
                None => (200, (String::new(), String::new())),
            };
            let got = (reply.status, reply.fault());
            if got != wanted {
                wrong.push(format!("{}: {operation}: {got:?}, and not {wanted:?}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_new_task_definition_has_to_have_what_the_service_names() {
    let bench = furnished();
    let balancer = json!([{ "targetGroupArn": "arn:tg", "containerName": "app", "containerPort": 80 }]);
    made(
        &bench,
        "CreateService",
        &json!({
            "cluster": "shop", "serviceName": "web", "taskDefinition": "bridge", "desiredCount": 0,
            "loadBalancers": balancer,
        }),
    );
    made(
        &bench,
        "RegisterTaskDefinition",
        &json!({
            "family": "bridge", "containerDefinitions": [{ "name": "app", "image": "nginx", "memory": 64 }],
        }),
    );
    let update = json!({ "cluster": "shop", "service": "web", "taskDefinition": "bridge" });
    let reply = call(&bench, "UpdateService", &update);
    let sentence = "The container app did not have a container port 80 defined.";
    assert_eq!(reply.fault(), ("InvalidParameterException".to_owned(), sentence.to_owned()));
    let known = call(&bench, "DescribeServices", &json!({ "cluster": "shop", "services": ["web"] })).json();
    assert!(known["services"][0]["taskDefinition"].as_str().unwrap().ends_with("bridge:1"));
}
