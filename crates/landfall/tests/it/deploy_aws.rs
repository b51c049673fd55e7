//! `landfall deploy` against an AWS that is played here: what it says when calls are refused or get no answer, when it is
//! interrupted, and when outputs can't be written. Whatever ends it, `--format json` ends with one report.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::bench::{Bench, Done};

const OLD: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:1";
const NEW: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:2";
const TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef";

/// What becomes of a call.
#[derive(Clone, Debug)]
enum Reply {
    Answer(Value),
    Refusal(&'static str, String),
    /// None, and the connection stays.
    Silence,
}

/// A played AWS. It lives as long as the process of the test.
struct Played {
    url: String,
    calls: Receiver<(String, Value)>,
}

impl Played {
    fn start(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, calls) = mpsc::channel();
        let (answer, sender) = (Arc::new(answer), Arc::new(Mutex::new(sender)));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, sender) = (Arc::clone(&answer), Arc::clone(&sender));
                std::thread::spawn(move || {
                    let tell = |call: (String, Value)| drop(sender.lock().unwrap().send(call));
                    converse(stream, &*answer, &tell);
                });
            }
        });
        Self { url, calls }
    }

    /// Waits for a call of this operation.
    fn called(&self, operation: &str) -> Value {
        loop {
            let (name, input) = self.calls.recv().unwrap();
            if name == operation {
                return input;
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.calls.try_iter().map(|(name, _)| name).collect()
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(&str, &Value) -> Reply, tell: &dyn Fn((String, Value))) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut operation) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(": ") else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-amz-target" => operation = value.rsplit('.').next().unwrap().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let input: Value = serde_json::from_slice(&body).unwrap_or_default();
        let reply = answer(&operation, &input);
        tell((operation, input));
        let (status, text) = match reply {
            Reply::Answer(value) => ("200 OK", value.to_string()),
            Reply::Refusal(code, message) => {
                ("400 Bad Request", json!({ "__type": code, "message": message }).to_string())
            }
            Reply::Silence => continue,
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", text.len());
        if reader.get_mut().write_all(format!("{head}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

fn definition(arn: &str) -> Value {
    json!({
        "family": "app", "taskDefinitionArn": arn,
        "containerDefinitions": [{ "name": "web", "image": "r/app:v1", "memory": 64 }],
    })
}

fn service() -> Value {
    let deployment = json!({
        "id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": OLD, "desiredCount": 1, "runningCount": 1,
        "rolloutState": "COMPLETED", "createdAt": 1,
    });
    json!({
        "serviceName": "web", "serviceArn": "arn:web", "status": "ACTIVE", "desiredCount": 1, "runningCount": 1,
        "taskDefinition": OLD, "deployments": [deployment], "events": [],
    })
}

/// What AWS answers when all goes well.
fn usual(operation: &str) -> Reply {
    Reply::Answer(match operation {
        "DescribeServices" => json!({ "services": [service()], "failures": [] }),
        "DescribeTaskDefinition" => json!({ "taskDefinition": definition(OLD), "tags": [] }),
        "RegisterTaskDefinition" => json!({ "taskDefinition": { "taskDefinitionArn": NEW } }),
        "UpdateService" => {
            let mut updated = service();
            updated["taskDefinition"] = json!(NEW);
            updated["deployments"][0]["id"] = json!("ecs-svc/2");
            updated["deployments"][0]["rolloutState"] = json!("IN_PROGRESS");
            json!({ "service": updated })
        }
        "RunTask" => json!({ "tasks": [{ "taskArn": TASK, "taskDefinitionArn": OLD }], "failures": [] }),
        "DescribeTasks" => json!({ "tasks": [{
            "taskArn": TASK, "taskDefinitionArn": OLD, "lastStatus": "STOPPED",
            "containers": [{ "name": "web", "exitCode": 0 }],
        }] }),
        other => {
            let message = format!(
                "User: arn:aws:iam::1:user/u is not authorized to perform: ecs:{other} on resource: *"
            );
            return Reply::Refusal("AccessDeniedException", message);
        }
    })
}

fn command(bench: &Bench, url: &str, words: &[&str]) -> Command {
    let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", words);
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "AKID")
        .env("AWS_SECRET_ACCESS_KEY", "SECRET")
        .env("AWS_REGION", "eu-west-1");
    command
}

fn deployed(played: &Played, words: &[&str]) -> Done {
    let bench = Bench::new();
    bench.finish(command(&bench, &played.url, words), words)
}

fn started(bench: &Bench, played: &Played, words: &[&str]) -> Child {
    let mut command = command(bench, &played.url, words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

/// The only report, which is the last line.
fn report(stdout: &str) -> Value {
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reports = lines.iter().filter(|line| line["event"] == "report").count();
    assert_eq!(reports, 1, "{stdout}");
    let last = lines.last().unwrap().clone();
    assert_eq!(last["event"], "report", "{stdout}");
    last
}

const DEPLOY: [&str; 7] = ["deploy", "--cluster", "prod", "--service", "web", "--image", "r/app:v2"];

#[test]
fn whatever_ends_a_command_its_json_ends_with_one_report() {
    type Case = (&'static str, &'static [&'static str], &'static str, i32);
    let rows: &[Case] = &[
        ("RegisterTaskDefinition", &DEPLOY, "registering a revision of `app`", 1),
        ("UpdateService", &DEPLOY, "updating service `web` to app:2", 1),
        ("DescribeServices", &DEPLOY, "looking at the services of cluster `prod`", 1),
        ("DescribeTaskDefinition", &DEPLOY, "looking at task definition `app:1`", 1),
        ("RunTask", &["deploy", "run-task", "--cluster", "prod", "--family", "app:1"], "running app:1", 1),
        (
            "DescribeTasks",
            &["deploy", "run-task", "--family", "app:1"],
            "looking at the task, which goes on",
            1,
        ),
        ("DescribeServices", &["deploy", "rollback", "--service", "web"], "looking at the services", 1),
        (
            "UpdateService",
            &["deploy", "rollback", "--service", "web", "--to", "app:3"],
            "updating service `web`",
            1,
        ),
        ("", &["deploy"], "which service?", 2),
        ("", &["deploy", "run-task"], "which task definition?", 2),
        ("", &["deploy", "rollback", "--service", "web"], "ECS tells of no other revision", 1),
        ("", &["deploy", "rollback", "--service", "web", "--to", "app:3", "--dry-run"], "dryRun", 0),
        (
            "",
            &["deploy", "--cluster", "prod", "--service", "web", "--image", "r/app:v2", "--dry-run"],
            "dryRun",
            0,
        ),
        ("", &["deploy", "--register-only", "--family", "app", "--image", "r/app:v2"], "app:2", 0),
        ("", &["deploy", "run-task", "--family", "app:1"], TASK, 0),
        ("", &["deploy", "run-task", "--family", "app:1", "--no-wait"], TASK, 0),
    ];
    for (refused, words, said, code) in rows {
        let played = Played::start(move |operation, _| match operation == *refused {
            true => Reply::Refusal("InvalidParameterException", "not like this".to_owned()),
            false => usual(operation),
        });
        let words = [words, &["--format", "json"][..]].concat();
        let done = deployed(&played, &words);
        assert_eq!(done.code, Some(*code), "{refused} {words:?}: {}", done.shown);
        let report = report(&done.stdout);
        assert!(report.to_string().contains(said), "{refused} {words:?}: {report}");
        let is_failed = report["failure"].is_object() || report["services"][0]["outcome"] == "notUpdated";
        assert_eq!(is_failed, *code != 0, "{refused} {words:?}: {report}");
    }
}

#[test]
fn the_first_ctrl_c_ends_a_watch_though_ecs_is_silent_and_what_goes_on_is_told() {
    let updated = Mutex::new(false);
    let played = Played::start(move |operation, _| {
        let mut is_updated = updated.lock().unwrap();
        *is_updated |= operation == "UpdateService";
        match operation {
            "DescribeServices" if *is_updated => Reply::Silence,
            _ => usual(operation),
        }
    });
    let bench = Bench::new();
    let child = started(&bench, &played, &[&DEPLOY[..], &["--format", "json"]].concat());
    played.called("UpdateService");
    played.called("DescribeServices");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = report(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(report["services"][0]["outcome"], "interrupted", "{report}");
    assert_eq!(report["services"][0]["taskDefinitionArn"], NEW, "{report}");
}

#[test]
fn a_call_that_changes_something_and_is_cut_off_is_told_as_unknown() {
    for (silent, words, said) in [
        (
            "RegisterTaskDefinition",
            &DEPLOY[..],
            "interrupted while registering a revision of `app`: whether AWS has done it is not known",
        ),
        (
            "UpdateService",
            &DEPLOY[..],
            "interrupted while updating service `web` to app:2: whether AWS has done it is not known",
        ),
        (
            "RunTask",
            &["deploy", "run-task", "--family", "app:1"][..],
            "interrupted while starting a task of app:1: whether AWS has done it is not known",
        ),
        ("DescribeServices", &DEPLOY[..], "interrupted: nothing was changed"),
    ] {
        let played = Played::start(move |operation, _| match operation == silent {
            true => Reply::Silence,
            false => usual(operation),
        });
        let bench = Bench::new();
        let child = started(&bench, &played, &[words, &["--format", "json"]].concat());
        played.called(silent);
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{silent}");
        let report = report(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(report["failure"]["message"], said, "{report}");
        let registered = if silent == "UpdateService" { json!([NEW]) } else { json!([]) };
        assert_eq!(report["registered"], registered, "{report}");
    }
}

#[test]
fn the_second_ctrl_c_ends_a_task_that_can_not_be_stopped() {
    let played = Played::start(|operation, _| match operation {
        "DescribeTasks" | "StopTask" => Reply::Silence,
        _ => usual(operation),
    });
    let bench = Bench::new();
    let child =
        started(&bench, &played, &["deploy", "run-task", "--family", "app:1", "--stop", "--format", "json"]);
    played.called("DescribeTasks");
    interrupt(&child);
    assert_eq!(played.called("StopTask")["task"], TASK);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = report(&String::from_utf8(output.stdout).unwrap());
    let said = format!("interrupted while stopping task {TASK}: whether AWS has done it is not known");
    assert_eq!(report["failure"]["message"], said.as_str(), "{report}");
    assert_eq!(report["taskArns"], json!([TASK]), "{report}");
}

#[test]
fn outputs_that_can_not_be_written_are_told_before_anything_is_changed() {
    let played = Played::start(|operation, _| usual(operation));
    for words in [&DEPLOY[..], &["deploy", "run-task", "--family", "app:1"]] {
        let bench = Bench::new();
        let mut command = command(&bench, &played.url, words);
        command.env("GITHUB_OUTPUT", bench.work());
        let done = bench.finish(command, words);
        assert_eq!(done.code, Some(2), "{}", done.shown);
        assert!(done.shown.contains("GITHUB_OUTPUT names it; nothing was changed in AWS"), "{}", done.shown);
        let names = played.names();
        assert!(!names.iter().any(|name| name == "RegisterTaskDefinition" || name == "RunTask"), "{names:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn outputs_that_are_lost_lose_neither_the_task_nor_its_end() {
    let played = Played::start(|operation, _| usual(operation));
    let bench = Bench::new();
    let words = ["deploy", "run-task", "--family", "app:1"];
    let mut command = command(&bench, &played.url, &words);
    command.env("GITHUB_OUTPUT", "/dev/full");
    let done = bench.finish(command, &words);
    assert_eq!(done.code, Some(2), "{}", done.shown);
    for said in
        ["task 0123456789abcdef of app:1 begins", "ended with exit code 0", "the outputs are lost", TASK]
    {
        assert!(done.shown.contains(said), "{said}: {}", done.shown);
    }
}

#[test]
fn what_aws_and_containers_say_moves_no_cursor_and_shows_no_secret() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2Jgone\u{9b}1A";
    let played = Played::start(move |operation, _| match operation {
        "DescribeTaskDefinition" => {
            let mut known = definition(OLD);
            let container = &mut known["containerDefinitions"][0];
            container["environment"] =
                json!([{ "name": "A_TOKEN", "value": "hunter2" }, { "name": "A_TOKEN", "value": "hunter2" }]);
            container["logConfiguration"] = json!({
                "logDriver": "awslogs",
                "options": { "awslogs-group": "g", "awslogs-stream-prefix": "p", "splunk-token": "hunter2" },
            });
            container["dockerLabels"] = json!({ evil: evil });
            Reply::Answer(json!({ "taskDefinition": known, "tags": [] }))
        }
        "GetLogEvents" => Reply::Answer(json!({ "events": [{ "message": evil }] })),
        "DescribeTasks" => Reply::Answer(json!({ "tasks": [{
            "taskArn": TASK, "taskDefinitionArn": OLD, "lastStatus": "STOPPED", "stoppedReason": evil,
            "containers": [{ "name": "web", "exitCode": 3, "reason": evil }],
        }] })),
        other => usual(other),
    });
    let input = r#"--input={"serviceConnectConfiguration":{"logConfiguration":{"options":{"splunk-token":"hunter2"}}}}"#;
    let clear =
        ["--clear-env", "--log-driver", "json-file", "--set", "web:dockerLabels=null", input, "--dry-run"];
    for words in [
        [&DEPLOY[..], &clear[..]].concat(),
        [&DEPLOY[..], &clear[..], &["--hide-values"]].concat(),
        vec!["deploy", "run-task", "--family", "app:1"],
    ] {
        for format in ["text", "json"] {
            let done = deployed(&played, &[&words[..], &["--format", format]].concat());
            let said = done.stdout.as_str();
            assert!(!said.contains("hunter2"), "{said}");
            assert!(!said.contains(['\u{1b}', '\u{7}', '\u{9b}']) || format == "json", "{said:?}");
            let shows = if words.contains(&"run-task") { "gone" } else { "splunk-token" };
            assert!(said.contains(shows), "{said}");
        }
    }
}

#[test]
fn a_session_that_has_ended_is_told_with_what_to_do() {
    let played = Played::start(|_, _| {
        Reply::Refusal("ExpiredTokenException", "The security token is expired".to_owned())
    });
    for words in [
        &DEPLOY[..],
        &["deploy", "run-task", "--family", "app:1"],
        &["deploy", "rollback", "--service", "web"],
    ] {
        let done = deployed(&played, words);
        assert_eq!(done.code, Some(1), "{}", done.shown);
        assert!(done.shown.contains("help: the session has ended: take a new one"), "{}", done.shown);
    }
}
