//! What ECS refuses of a task definition, in its words: the rows of `cases/task-definitions.toml`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, root};
use crate::client::Request;

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    of: String,
    #[serde(default)]
    task: Map<String, Value>,
    #[serde(default)]
    container: Map<String, Value>,
    #[serde(default)]
    more: Vec<Value>,
    refused: Option<String>,
}

impl Row {
    fn definition(&self) -> Value {
        let mut container = json!({ "name": "app", "image": "nginx", "memory": 64 });
        container.as_object_mut().unwrap().extend(self.container.clone());
        let containers = [vec![container], self.more.clone()].concat();
        let mut definition = match self.of.as_str() {
            "ec2" => json!({ "family": "web" }),
            "fargate" => json!({
                "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
                "cpu": "256", "memory": "512",
            }),
            other => panic!("{}: there is no `{other}`", self.name),
        };
        definition["containerDefinitions"] = Value::from(containers);
        definition.as_object_mut().unwrap().extend(self.task.clone());
        definition
    }
}

#[test]
fn each_row_is_answered_as_ecs_does() {
    let bench = Bench::new();
    let table: Table = toml::from_str(include_str!("../../cases/task-definitions.toml")).unwrap();
    let mut wrong = Vec::new();
    for row in &table.row {
        let request = Request::json("ecs", "RegisterTaskDefinition", &row.definition().to_string());
        let reply = bench.call(&root(), "ecs", request);
        let got = (reply.status, reply.fault());
        let wanted = match &row.refused {
            Some(sentence) => (400, ("ClientException".to_owned(), sentence.clone())),
            None => (200, (String::new(), String::new())),
        };
        if got != wanted {
            wrong.push(format!("{}: {got:?}, and not {wanted:?}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(table.row.len() > 80, "{} rows", table.row.len());
}
