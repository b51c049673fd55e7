//! Tables of cases in `cases/deploy`, and what has to be true of every value.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use serde_json::{Value, json};

use super::definition::Definition;
use super::diff::{self, Values};
use super::edit::{Change, Edit, apply};
use super::story::Story;
use super::verdict::{Wanted, judge};
use super::view::{Service, Task};
use super::{cause, codedeploy, denied, watch, words};

fn rows(name: &str) -> Vec<Value> {
    let path = format!("{}/cases/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn document(name: &str) -> Definition {
    let path = format!("{}/cases/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    let value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    Definition::from_document(value).unwrap().definition
}

fn text<'v>(row: &'v Value, name: &str) -> &'v str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `PRIMARY 2 app:2 1/2 IN_PROGRESS f3 why` as a deployment. The number is also its time.
fn deployment(line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    let (running, desired) = words[3].split_once('/').unwrap();
    let failed = words.get(5).and_then(|word| word.strip_prefix('f')?.parse::<u32>().ok());
    let rest = words.get(if failed.is_some() { 6 } else { 5 }..).unwrap_or_default().join(" ");
    let number: u32 = words[1].parse().unwrap();
    let mut value = json!({
        "id": format!("ecs-svc/{number}"), "status": words[0], "createdAt": f64::from(number),
        "taskDefinition": format!("arn:aws:ecs:r:1:task-definition/{}", words[2]),
        "runningCount": running.parse::<u32>().unwrap(), "desiredCount": desired.parse::<u32>().unwrap(),
        "failedTasks": failed.unwrap_or(0), "rolloutStateReason": rest,
    });
    if words[4] != "-" {
        value["rolloutState"] = Value::from(words[4]);
    }
    value
}

fn service(row: &Value) -> Service {
    let list = |name: &str| row.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let deployments: Vec<Value> =
        list("deployments").iter().map(|line| deployment(line.as_str().unwrap())).collect();
    let events: Vec<Value> =
        list("events").iter().map(|text| json!({ "id": "e", "message": text })).collect();
    let value = json!({
        "serviceName": "web",
        "status": row.get("status").cloned().unwrap_or(json!("ACTIVE")),
        "desiredCount": row.get("desired").cloned().unwrap_or(json!(2)),
        "deployments": deployments,
        "events": events,
        "deploymentConfiguration": { "deploymentCircuitBreaker": {
            "enable": row.get("breaker").cloned().unwrap_or(json!(false)), "rollback": true } },
    });
    Service::read(&value).unwrap()
}

#[test]
fn one_look_at_a_service_is_one_verdict() {
    let wanted = Wanted {
        id: "ecs-svc/2".to_owned(),
        created_at: 2.0,
        before: vec!["ecs-svc/1".to_owned()],
        failed_max: 3,
    };
    for row in rows("verdicts.json") {
        let after = row.get("after_ms").and_then(Value::as_u64).unwrap_or(5_000);
        let story = row.get("story").map(|story| {
            let mut told = story.clone();
            told["targetServiceRevision"] =
                json!({ "arn": "arn:aws:ecs:r:1:service-revision/c/web/2", "requestedProductionTrafficWeight": 100.0 });
            Story::read(&told).unwrap()
        });
        let verdict = judge(&wanted, &service(&row), story.as_ref(), after);
        assert_eq!(format!("{verdict:?}"), text(&row, "verdict"), "{}", text(&row, "name"));
    }
}

#[test]
fn a_task_that_stopped_tells_why() {
    for row in rows("tasks.json") {
        let mut value = row["task"].clone();
        value["taskArn"] = json!("arn:aws:ecs:r:1:task/c/0123");
        let task = Task::read(&value).unwrap();
        let [cause] = cause::of(&[task], &[]).try_into().unwrap();
        assert_eq!(cause.reason, text(&row, "reason"), "{}", text(&row, "name"));
        assert_eq!(cause.container.as_deref(), row["container"].as_str(), "{}", text(&row, "name"));
        assert_eq!(cause.help, row.get("help").and_then(Value::as_str), "{}", text(&row, "name"));
    }
}

#[test]
fn the_same_reason_is_told_once() {
    let task = |id: &str, reason: &str, at: f64| {
        let arn = format!("arn:aws:ecs:r:1:task/c/{id}");
        Task::read(&json!({ "taskArn": arn, "stoppedReason": reason.replace("ID", id), "stoppedAt": at }))
            .unwrap()
    };
    let tasks = [
        task("a1", "assumed-role/x/ID failed", 1.0),
        task("b2", "other", 2.0),
        task("c3", "assumed-role/x/ID failed", 3.0),
        task("d4", "refused, request id: 36ecc12a-1901-49df-8352-30b072436839", 4.0),
        task("e5", "refused, request id: ffc8efae-c980-4b03-bc34-fc6b0935c9b3", 5.0),
        task("f6", "refused, request id: 1-2-3-4-5", 6.0),
    ];
    let causes = cause::of(&tasks, &["no role".to_owned(), "no role".to_owned(), "no role".to_owned()]);
    let told = causes.iter().map(|cause| (cause.count, cause.task.as_ref().map_or("none", Task::id)));
    assert_eq!(told.collect::<Vec<_>>(), [(3, "none"), (2, "c3"), (2, "e5"), (1, "b2"), (1, "f6")]);
}

#[test]
fn an_event_tells_why_a_task_was_not_launched() {
    let role = "arn:aws:iam::123456789012:role/web";
    let error = format!(
        "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
    );
    for service in ["(service web) ", "service web ", ""] {
        let event = format!("{service}failed to launch a task with (error {error}).");
        assert_eq!(cause::launch_error(&event), Some(error.as_str()), "{service}");
    }
    assert_eq!(cause::launch_error("(service web) has started 1 tasks: (task 1)."), None);
    assert_eq!(denied::untaken_role(&error), Some(role));
    assert_eq!(denied::untaken_role("unable to assume the service linked role"), None);
    let [cause] = cause::of(&[], &[error]).try_into().unwrap();
    assert!(cause.help.unwrap().contains("ecs-tasks.amazonaws.com"), "{cause:?}");
}

#[test]
fn what_ecs_fills_in_is_no_difference() {
    for row in rows("same.json") {
        let read = |name: &str| Definition::from_document(row[name].clone()).unwrap().definition;
        let (file, ecs) = (read("file"), read("ecs"));
        assert_eq!(diff::between(&ecs, &file, Values::Shown), [], "{}", text(&row, "name"));
        assert_eq!(file.normalised(), ecs.normalised(), "{}", text(&row, "name"));
    }
}

#[test]
fn what_ecs_surely_drops_is_no_difference_and_what_it_may_keep_is() {
    let read = |value| Definition::from_document(value).unwrap().definition;
    let wanted = read(json!({
        "family": "web", "x-common": {}, "owner": "web", "executionRole": "misspelt",
        "containerDefinitions": [{ "name": "web", "portMapping": [], "x-team": "a" }],
    }));
    let dropped =
        read(json!({ "family": "web", "owner": "web", "containerDefinitions": [{ "name": "web" }] }));
    let without = read(json!({ "family": "web", "containerDefinitions": [{ "name": "web" }] }));
    let kept = read(json!({ "family": "web", "owner": "x", "containerDefinitions": [{ "name": "web" }] }));
    assert_eq!(wanted.as_kept_by(&dropped).normalised(), dropped.normalised());
    assert_eq!(wanted.as_kept_by(&kept).body()["owner"], "web");
    // It may be newer than this program.
    assert_ne!(wanted.as_kept_by(&without).normalised(), without.normalised());
    for change in [
        Change::ContainerMember { name: "newMember".to_owned(), value: json!(5) },
        Change::ContainerMember { name: "portMapping".to_owned(), value: json!(5) },
        Change::Member { name: "x-new".to_owned(), value: json!(5) },
    ] {
        let edit = Edit { flag: "--set", containers: Vec::new(), change };
        let set = apply(&without, &[edit]).unwrap();
        assert_ne!(set.as_kept_by(&without).normalised(), without.normalised(), "{set:?}");
        assert_eq!(diff::between(&without, &set.as_kept_by(&without), Values::Shown).len(), 1, "{set:?}");
    }
    // It is sent all the same, since it may be newer than this program; what is written for people isn't.
    assert_eq!((wanted.body().get("x-common"), &wanted.body()["owner"]), (None, &json!("web")));
}

#[test]
fn a_difference_is_told_by_its_path_and_secrets_are_not() {
    let (old, new) = (document("old.json"), document("new.json"));
    let shown = |values: Values| {
        let rows = diff::between(&old, &new, values);
        let line = |row: &diff::Row| {
            let side = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
            format!("{}: {} → {}", row.path, side(&row.old), side(&row.new))
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let all = shown(Values::Shown);
    for secret in ["hunter2", "hunter3", "p1@", "p2@"] {
        assert!(!all.contains(secret), "{all}");
    }
    insta::assert_snapshot!(all);
    let hidden = shown(Values::Hidden);
    assert!(!hidden.contains("info") && hidden.contains("web.environment.LOG: (hidden)"), "{hidden}");
}

#[test]
fn what_only_aws_says_is_left_out_and_named() {
    let row = rows("same.json").remove(0);
    let wrapped = json!({ "taskDefinition": row["ecs"], "tags": [{ "key": "a", "value": "b" }] });
    let read = Definition::from_document(wrapped).unwrap();
    assert_eq!(
        read.left_out,
        [
            "taskDefinitionArn",
            "revision",
            "status",
            "compatibilities",
            "requiresAttributes",
            "registeredAt",
            "registeredBy"
        ]
    );
    assert_eq!(read.definition.body()["tags"], json!([{ "key": "a", "value": "b" }]));
    assert_eq!(document("old.json").body()["tags"].as_array().unwrap().len(), 1, "tags of AWS's own");
}

#[test]
fn what_is_no_task_definition_is_told() {
    for (value, part) in [
        (json!([]), "is a map, this is a list"),
        (json!({}), "has a `family`"),
        (json!({ "family": "x" }), "has `containerDefinitions`"),
        (json!({ "family": "x", "containerDefinitions": ["y"] }), "has to be a map"),
        (json!({ "family": "x", "containerDefinitions": [] }), "has `containerDefinitions`"),
    ] {
        let reason = Definition::from_document(value.clone()).unwrap_err();
        assert!(reason.contains(part), "{value}: {reason}");
    }
}

/// Bits without a source of randomness: the same ones at every run.
struct Bits(u64);

impl Bits {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn text(&mut self, alphabet: &[char]) -> String {
        (0..self.next(12)).map(|_| alphabet[self.next(alphabet.len())]).collect()
    }
}

#[test]
fn every_value_arrives_to_the_letter() {
    let mut bits = Bits(7);
    let nasty: Vec<char> = "=:,\"'\\ \n\t${}`&|<>%é漢 a1_-".chars().collect();
    let plain: Vec<char> = "abcXYZ019_.".chars().collect();
    let definition = document("old.json");
    for _ in 0..2_000 {
        let (key, value) = (format!("k{}", bits.text(&plain)), bits.text(&nasty));
        let pair = words::pair(&format!("web:{key}={value}")).unwrap();
        let edit = |change: Change| Edit {
            flag: "--x",
            containers: pair.container.clone().into_iter().collect(),
            change,
        };
        let (name, given) = (pair.key.clone(), pair.value.clone());
        let edits = [
            edit(Change::Environment { name: name.clone(), value: given.clone() }),
            edit(Change::DockerLabel { name: name.clone(), value: given.clone() }),
            edit(Change::LogOption { name, value: given }),
        ];
        let edited = apply(&definition, &edits).unwrap();
        let web = edited.container("web").unwrap();
        let variable =
            web["environment"].as_array().unwrap().iter().find(|item| item["name"] == *key).unwrap();
        assert_eq!(variable["value"], *value);
        assert_eq!(web["dockerLabels"][&key], *value);
        assert_eq!(web["logConfiguration"]["options"][&key], *value);
        let sent: Value = serde_json::from_str(&Value::Object(edited.body().clone()).to_string()).unwrap();
        assert_eq!(sent, Value::Object(edited.body().clone()));
    }
}

#[test]
fn a_command_is_read_as_a_shell_reads_it() {
    for (line, wanted) in [
        (r#"sh -c "echo hi""#, Ok(vec!["sh", "-c", "echo hi"])),
        (r#"sh -c 'echo "$A"'"#, Ok(vec!["sh", "-c", "echo \"$A\""])),
        (r#"a\ b "c\"d\n" e"#, Ok(vec!["a b", "c\"d\\n", "e"])),
        (r#"["sh", "-c", "echo  hi"]"#, Ok(vec!["sh", "-c", "echo  hi"])),
        (r"''", Ok(vec![""])),
        ("  ", Ok(vec![])),
        ("[1]", Err("not a JSON array of strings")),
        ("echo 'hi", Err("a quote (') is not closed, at character 6")),
        (r"echo \", Err("ends with a backslash")),
    ] {
        match (words::command(line), wanted) {
            (Ok(words), Ok(wanted)) => assert_eq!(words, wanted, "{line}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{line}: {reason}"),
            (got, wanted) => panic!("{line}: {got:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn lengths_of_time_have_a_unit_and_a_limit() {
    assert_eq!(
        ["90s", "30m", "6h"].map(|text| words::seconds(text).ok()),
        [Some(90), Some(1800), Some(21_600)]
    );
    for text in ["", "30", "0s", "7h", "1.5h", "m", "-1m", "１m", "99999999999999999999h"] {
        assert!(words::seconds(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_of_variables_keeps_values_and_tells_no_secret() {
    let pairs = words::environment_file("\u{feff}# c\n\nA=1=2\nB=\"q\" \n  C= x\n").unwrap();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("A", "1=2"), ("B", "\"q\" "), ("C", " x")]);
    for (text, line, why) in [
        ("A=1\nhunter2", 2, "is not NAME=VALUE"),
        ("=hunter2", 1, "no name before `=`"),
        ("export A=hunter2", 1, "`export` is a shell's word"),
        ("\nB = hunter2", 2, "a blank stands before `=`"),
        ("B C=hunter2", 1, "the name holds a blank"),
    ] {
        let (at, said) = words::environment_file(text).unwrap_err();
        assert_eq!(at, line, "{text}");
        assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_refusal_names_the_statement_that_would_allow_it() {
    let message = "User: arn:aws:sts::1:assumed-role/d/s is not authorized to perform: iam:PassRole on resource: \
                   arn:aws:iam::1:role/exec because no identity-based policy allows the iam:PassRole action";
    assert_eq!(
        denied::parse(message).unwrap().statement(),
        r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::1:role/exec","Condition":{"StringEquals":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}}"#
    );
    let explicit = denied::parse(
        "User: u is not authorized to perform: ecs:UpdateService on resource: arn:aws:ecs:r:1:service/c/s with an explicit deny in an identity-based policy",
    );
    assert!(explicit.unwrap().help().contains("no further statement helps"));
    assert_eq!(denied::parse("You are not authorized."), None);
}

#[test]
fn an_appspec_gets_the_task_definition_in_every_resource() {
    let written = json!({ "version": 0.0, "Resources": [
        { "TargetService": { "Type": "AWS::ECS::Service", "properties": { "taskdefinition": "<TASK_DEFINITION>", "LoadBalancerInfo": { "ContainerName": "web" } } } },
        { "Other": { "Properties": {} } } ], "Hooks": [{ "AfterInstall": "f" }] });
    let made = codedeploy::appspec(&written, "arn:td").unwrap();
    assert_eq!(made["Resources"][0]["TargetService"]["properties"]["taskdefinition"], "arn:td");
    assert_eq!(made["Resources"][1]["Other"]["Properties"]["TaskDefinition"], "arn:td");
    assert_eq!(made["Hooks"], written["Hooks"]);
    for wrong in [json!({}), json!({ "Resources": [] }), json!({ "Resources": [{ "T": {} }] }), json!([])] {
        assert!(codedeploy::appspec(&wrong, "arn:td").is_err(), "{wrong}");
    }
}

#[test]
fn a_codedeploy_deployment_ends_when_it_says_so() {
    use codedeploy::{End, Until, end};
    let none = json!({});
    for status in ["Created", "Queued", "InProgress", "Baking"] {
        assert_eq!(end(&none, status, Until::Ready), None, "{status}");
    }
    assert_eq!(end(&none, "Ready", Until::Succeeded), None);
    assert_eq!(end(&none, "Ready", Until::Ready), Some(End::Done { status: "Ready".to_owned() }));
    let failed = json!({ "errorInformation": { "code": "HEALTH_CONSTRAINTS", "message": "m" }, "rollbackInfo": { "rollbackDeploymentId": "d-2" } });
    let wanted = End::Failed {
        status: "Failed".to_owned(),
        reason: "HEALTH_CONSTRAINTS: m".to_owned(),
        rolled_back_by: Some("d-2".to_owned()),
    };
    assert_eq!(end(&failed, "Failed", Until::Succeeded), Some(wanted));
}

#[test]
fn looking_stays_far_below_what_ecs_allows() {
    // DescribeServices: 20 a second for an account, for all its jobs together.
    assert!((0..7200).all(|seconds| watch::pause(Duration::from_secs(seconds)) >= Duration::from_secs(1)));
    assert!((0..7200).all(|seconds| watch::pause(Duration::from_secs(seconds)) <= Duration::from_secs(10)));
}
