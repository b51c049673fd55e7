//! `landfall deploy` before it calls anybody: changes of a task definition (deploy_edits.toml), and what it says
//! to wrong usage.

use serde_json::Value;

use crate::bench::{self, Bench};

const JSON: &str = r#"{
  "family": "app", "revision": 7, "status": "ACTIVE",
  "containerDefinitions": [
    { "name": "web", "image": "r/app:v1", "memory": 64,
      "environment": [{ "name": "LOG", "value": "info" }, { "name": "PORT", "value": "80" }],
      "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/a", "awslogs-region": "r", "tag": "" } } },
    { "name": "proxy", "image": "nginx:1", "memory": 64 }
  ]
}"#;

const SHAPES: &str = r#"{
  "family": "app",
  "containerDefinitions": [
    { "name": "map", "image": "r/app:v1", "environment": { "A": "1" }, "dockerLabels": ["A=1"] },
    { "name": "twin", "image": "r/app:v1" }, { "name": "twin", "image": "r/app:v1" }
  ]
}"#;

const YAML: &str = "\
family: app
cpu: 256
containerDefinitions:
  - name: web
    image: r/app:v1
    environment:
      - name: VERSION
        value: 1.10
      - name: DEBUG
        value: True
      - name: NONE
        value:
";

fn place() -> Bench {
    Bench::new()
        .file("deploy.json", JSON)
        .file("deploy.yaml", YAML)
        .file("bad.json", "{\n  \"family\": \"app\",\n}")
        .file("bad.yaml", "family: app\n  x: [")
        .file("twice.yaml", "family: a\nfamily: b\n")
        .file("other.yaml", "jobs: {}\n")
        .file("shapes.json", SHAPES)
        .file("one.json", r#"{ "family": "app", "containerDefinitions": { "name": "web" } }"#)
        .file(
            "misspelt.json",
            r#"{ "family": "app", "containerDefinitions": [{ "name": "web", "portMapping": [] }] }"#,
        )
        .file("famly.json", r#"{ "famly": "app", "containerDefinitions": [{ "name": "web" }] }"#)
        .file("shell.env", "A=1\nexport PASSWORD=hunter2\n")
        .file("blanks.env", "# of Docker\nA=1\nPASSWORD = hunter2\n")
}

#[test]
fn flags_change_the_task_definition_and_nothing_else() {
    let table: toml::Table = toml::from_str(include_str!("deploy_edits.toml")).unwrap();
    let bench = place();
    for row in table["edit"].as_array().unwrap() {
        let text = |name: &str| row.get(name).and_then(toml::Value::as_str);
        let name = text("name").unwrap();
        let flags: Vec<&str> =
            row["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
        let file = text("file").unwrap_or("deploy.json");
        let words = [&["deploy", "render", "--task-definition", file], flags.as_slice()].concat();
        let done = bench.landfall(&words);
        if let Some(error) = text("error") {
            assert_eq!(done.code, Some(2), "{name}: {}", done.shown);
            assert!(done.shown.contains(&format!("error: {error}")), "{name}: {}", done.shown);
            let said = done.shown.split_once("error: ").unwrap().1;
            assert!(!said.contains("hunter2"), "{name}: {said}");
            continue;
        }
        assert_eq!(done.code, Some(0), "{name}: {}", done.shown);
        let made: Value = serde_json::from_str(&done.stdout).unwrap();
        let wanted: Value = serde_json::to_value(&row["is"]).unwrap();
        assert_eq!(made.pointer(text("at").unwrap()), Some(&wanted), "{name}: {made:#}");
        assert_eq!(made.get("revision"), None, "{name}");
    }
}

#[test]
fn wrong_usage_is_told_before_anybody_is_called() {
    let bench = place();
    for (name, words) in [
        ("deploy-no-service", &["deploy"][..]),
        (
            "deploy-two-sources",
            &["deploy", "--service", "a", "--family", "f", "--task-definition", "deploy.json"],
        ),
        ("deploy-no-region", &["deploy", "--service", "a"]),
        ("deploy-timeout", &["deploy", "--service", "a", "--timeout", "30"]),
        ("deploy-volume", &["deploy", "--service", "a", "--region", "r", "--ebs-volume", "v={}"]),
    ] {
        bench::snapshot(name, &bench.landfall(words).shown);
    }
}
