//! What a deployment reads, as `>>> KIND`: task definitions (the second is compared with the first), the changes that
//! flags make of them, a service and tasks as ECS tells of them, an AppSpec, environment files and words of commands.

use landfall_deliver::deploy::definition::Definition;
use landfall_deliver::deploy::diff::{self, Values};
use landfall_deliver::deploy::edit::{self, Change, Edit};
use landfall_deliver::deploy::story::Story;
use landfall_deliver::deploy::verdict::{Wanted, judge};
use landfall_deliver::deploy::view::{Service, Task};
use landfall_deliver::deploy::{cause, codedeploy, denied, logs, words};
use serde_json::{Value, json};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut definitions: Vec<Definition> = Vec::new();
    let mut tasks: Vec<Task> = Vec::new();
    for (kind, text) in super::files(super::text(bytes), "definition") {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        match kind {
            "service" => service(&document),
            "task" => tasks.extend(Task::read(&document)),
            "appspec" => appspec(&document),
            "described" => definitions.extend(Definition::from_described(&document)),
            "words" => spoken(text),
            _ => definitions.extend(Definition::from_document(document).map(|read| read.definition)),
        }
    }
    let told: usize = cause::of(&tasks, &[]).iter().map(|cause| cause.count).sum();
    assert_eq!(told, tasks.len());
    for definition in &definitions {
        look(definition);
    }
    if let [old, new, ..] = definitions.as_slice() {
        let _ = diff::between(old, new, Values::Shown);
        let _ = diff::between(new, old, Values::Hidden);
    }
}

fn look(definition: &Definition) {
    let _ = (definition.roles(), definition.normalised());
    for container in definition.containers() {
        let _ = logs::stream(definition, container, "0123456789abcdef");
        for change in changes() {
            let edit = Edit { flag: "--flag", containers: vec![container.to_owned()], change };
            if let Ok(changed) = edit::apply(definition, std::slice::from_ref(&edit)) {
                let _ = diff::between(definition, &changed, Values::Shown);
                // Nobody asked for another family or other containers, a family aside.
                assert_eq!(changed.containers().len(), definition.containers().len());
            }
        }
    }
}

fn changes() -> Vec<Change> {
    let (name, value) = ("LOG_LEVEL".to_owned(), "debug".to_owned());
    let (key, taken) = (name.clone(), name.clone());
    vec![
        Change::Image("nginx:2".to_owned()),
        Change::Environment { name: name.clone(), value: value.clone() },
        Change::RemoveEnvironment(taken.clone()),
        Change::ClearEnvironment,
        Change::Secret { name: name.clone(), value_from: value.clone() },
        Change::RemoveSecret(taken.clone()),
        Change::EnvironmentFiles(vec!["s3://bucket/file".to_owned()]),
        Change::DockerLabel { name: name.clone(), value: value.clone() },
        Change::RemoveDockerLabel(taken.clone()),
        Change::LogDriver("awslogs".to_owned()),
        Change::LogOption { name: name.clone(), value: value.clone() },
        Change::RemoveLogOption(taken.clone()),
        Change::Command(vec!["a".to_owned()]),
        Change::EntryPoint(Vec::new()),
        Change::ContainerCpu(i64::MAX),
        Change::ContainerMemory(64),
        Change::ContainerMember { name: name.clone(), value: json!({ "a": [1] }) },
        Change::Cpu("256".to_owned()),
        Change::Memory("1 GB".to_owned()),
        Change::TaskRole(String::new()),
        Change::ExecutionRole(value.clone()),
        Change::Tag { key, value },
        Change::RemoveTag(taken),
        Change::Member { name, value: Value::Null },
    ]
}

fn service(document: &Value) {
    let Ok(service) = Service::read(document) else { return };
    let story = Story::read(document);
    let _ = story.as_ref().map(|story| (story.standing(), story.reason(), story.deployment_id()));
    let _ = (service.primary(), service.running_definition(), service.deployment_configuration.waits());
    for deployment in &service.deployments {
        let wanted = Wanted {
            id: deployment.id.clone(),
            created_at: deployment.created_at,
            before: Vec::new(),
            failed_max: 3,
        };
        for since_ms in [0, 1_000, 600_000, u64::MAX] {
            let _ = judge(&wanted, &service, None, since_ms);
            let _ = judge(&wanted, &service, story.as_ref(), since_ms);
        }
    }
}

/// Every resource of an AppSpec that is taken has the new task definition.
fn appspec(document: &Value) {
    const NEW: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2";
    if let Ok(changed) = codedeploy::appspec(document, NEW) {
        assert!(changed.to_string().contains(NEW) || !changed.to_string().contains(':'), "{changed}");
    }
    for status in ["Succeeded", "Failed", "Ready"] {
        let _ = codedeploy::end(document, status, codedeploy::Until::Ready);
    }
}

fn spoken(text: &str) {
    let _ = (words::pair(text), words::scoped(text), words::assigned(text, &["web", "log"]));
    let _ = (words::command(text), words::environment_file(text), words::seconds(text));
    if let Some(denied) = denied::parse(text) {
        let _ = (denied.statement(), denied.help());
    }
}
