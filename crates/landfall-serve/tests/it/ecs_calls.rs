//! What ECS refuses of calls about services, tasks and clusters: the rows of `cases/ecs-calls.toml`.

use landfall_serve::log::Verdict;
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
    #[serde(default)]
    before: Vec<(String, Map<String, Value>)>,
    call: String,
    #[serde(default)]
    input: Map<String, Value>,
    refused: Option<String>,
}

/// The value with every `128 characters` made a text of so many.
fn spelt(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.strip_suffix(" characters").and_then(|count| count.parse().ok()) {
            Some(count) => Value::from("x".repeat(count)),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(spelt).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), spelt(value))).collect(),
        other => other.clone(),
    }
}

fn call(bench: &Bench, operation: &str, input: &Value) -> Reply {
    bench.call(&root(), "ecs", Request::json("ecs", operation, &input.to_string()))
}

fn made(bench: &Bench, name: &str, operation: &str, input: &Value) {
    let reply = call(bench, operation, input);
    assert_eq!(reply.status, 200, "{name}: {operation}: {}", reply.body);
}

fn furnished() -> Bench {
    let bench = Bench::new();
    let providers = json!({ "clusterName": "shop", "capacityProviders": ["FARGATE", "FARGATE_SPOT"] });
    made(&bench, "", "CreateCluster", &providers);
    let containers = json!([{ "name": "app", "image": "nginx", "memory": 64 }]);
    let fargate = json!({ "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512" });
    for (family, mode, more) in [
        ("bridge", "bridge", json!({})),
        ("awsvpc", "awsvpc", json!({})),
        ("fargate", "awsvpc", fargate),
        ("with-role", "bridge", json!({ "taskRoleArn": "arn:aws:iam::123456789012:role/none" })),
    ] {
        let mut input = json!({ "family": family, "networkMode": mode, "containerDefinitions": containers });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        made(&bench, family, "RegisterTaskDefinition", &input);
    }
    bench
}

/// The reason is told with the call that asked for the task, and once.
#[test]
fn a_role_that_no_task_can_take_is_told_under_the_id_of_the_call() {
    let bench = furnished();
    let before = bench.server.world.log.last();
    let reply = call(&bench, "RunTask", &json!({ "cluster": "shop", "taskDefinition": "with-role" }));
    assert_eq!(reply.status, 400, "{}", reply.body);
    let refused: Vec<_> = bench.server.world.log.after(before);
    let told = refused.iter().filter(|record| record.verdict != Verdict::Allowed);
    let told: Vec<_> =
        told.map(|one| (one.request_id.as_str(), one.finding.as_ref().map(|it| it.rule))).collect();
    assert_eq!(told, [(reply.header("x-amzn-requestid").unwrap(), Some("role-missing"))]);
}

#[test]
fn each_row_is_answered_as_ecs_does() {
    let table: Table = toml::from_str(include_str!("../../cases/ecs-calls.toml")).unwrap();
    let mut wrong = Vec::new();
    for row in &table.row {
        let bench = furnished();
        let in_cluster = |operation: &str, input: &Map<String, Value>| {
            let mut input = input.clone();
            input.entry("cluster").or_insert_with(|| json!("shop"));
            if operation == "CreateService" {
                input.entry("serviceName").or_insert_with(|| json!("web"));
                input.entry("desiredCount").or_insert_with(|| json!(0));
            }
            if operation == "UpdateService" {
                input.entry("service").or_insert_with(|| json!("web"));
            }
            spelt(&Value::Object(input))
        };
        for (operation, input) in &row.before {
            made(&bench, &row.name, operation, &in_cluster(operation, input));
        }
        let reply = call(&bench, &row.call, &in_cluster(&row.call, &row.input));
        let got = match reply.status {
            200 => None,
            _ => {
                let (code, message) = reply.fault();
                Some(format!("{code}: {message}"))
            }
        };
        if got != row.refused {
            wrong.push(format!("{}: {got:?}, and not {:?}", row.name, row.refused));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
