//! Deployments against a played ECS: what is sent, what is tried again, and what becomes of answers that are
//! late, throttled or refused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use landfall_deliver::FailureKind;
use landfall_deliver::aws_json::{Caller, ECS, Outside};
use landfall_deliver::deploy::codedeploy::{self, Followed, Until};
use landfall_deliver::deploy::definition::{Definition, Object};
use landfall_deliver::deploy::diff::Values;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{self, Part, Plan, Request, Source};
use landfall_deliver::deploy::roll::{self, Begun};
use landfall_deliver::deploy::verdict::Verdict;
use landfall_deliver::deploy::watch::{self, End, Outcome, Patience, Told, Watching};
use landfall_deliver::deploy::{ecs, run_task};
use landfall_types::{Timestamp, agent};
use serde_json::{Value, json};
use support::{AT_ONCE, Reply, Server, environment, reply};

const OLD: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:1";
const NEW: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:2";
/// Looks follow each other at once.
const EAGER: Patience = Patience { timeout: Duration::from_secs(20), pause_max: Duration::from_millis(1) };

fn caller(server: &Server) -> Caller {
    let url = server.url();
    let environment = environment(&[
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("AWS_SESSION_TOKEN", "SESSION"),
    ]);
    let outside =
        Outside { clock: || Timestamp::from_seconds(1_700_000_000), fill_random: |bytes| bytes.fill(7) };
    Caller::new(&environment, "eu-west-1", AT_ONCE, outside)
}

fn operation(request: &support::Request) -> String {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

fn answer(value: &Value) -> Reply {
    reply(200, value.to_string())
}

fn refusal(code: &str, message: &str) -> Reply {
    reply(400, json!({ "__type": code, "message": message }).to_string())
}

/// A service whose deployments are `(number, status, task definition, running, state)`.
fn service(definition: &str, deployments: &[(u32, &str, &str, u32, &str)]) -> Value {
    let deployment = |(number, status, definition, running, state): &(u32, &str, &str, u32, &str)| {
        json!({
            "id": format!("ecs-svc/{number}"), "status": status, "taskDefinition": definition, "desiredCount": 1,
            "runningCount": running, "pendingCount": 0, "failedTasks": 0, "rolloutState": state, "createdAt": number,
        })
    };
    json!({
        "serviceName": "web", "serviceArn": "arn:web", "status": "ACTIVE", "desiredCount": 1, "runningCount": 1,
        "taskDefinition": definition, "deploymentController": { "type": "ECS" },
        "deployments": deployments.iter().map(deployment).collect::<Vec<_>>(), "events": [],
    })
}

fn before() -> Value {
    service(OLD, &[(1, "PRIMARY", OLD, 1, "COMPLETED")])
}

fn after() -> Value {
    service(NEW, &[(2, "PRIMARY", NEW, 0, "IN_PROGRESS"), (1, "ACTIVE", OLD, 1, "COMPLETED")])
}

fn document() -> Value {
    json!({
        "family": "app", "someday": { "empty": {}, "list": [] }, "cpu": "256",
        "containerDefinitions": [{ "name": "web", "image": "r/app:v1", "memory": 64, "command": [],
            "logConfiguration": { "logDriver": "json-file", "options": { "tag": "" } } }],
    })
}

/// Answers of an ECS that has the service `web`; `looks` answers `DescribeServices` after the update.
fn played(looks: impl Fn(usize) -> Reply + Send + Sync + 'static) -> impl Fn(&support::Request) -> Reply {
    let (is_updated, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
    move |request| match operation(request).as_str() {
        "DescribeServices" if is_updated.load(Ordering::SeqCst) == 0 => {
            answer(&json!({ "services": [before()], "failures": [] }))
        }
        "DescribeServices" => looks(count.fetch_add(1, Ordering::SeqCst)),
        "DescribeTaskDefinition" => {
            let mut known = document();
            known["taskDefinitionArn"] = json!(OLD);
            answer(&json!({ "taskDefinition": known, "tags": [] }))
        }
        "RegisterTaskDefinition" => answer(&json!({ "taskDefinition": { "taskDefinitionArn": NEW } })),
        "UpdateService" => {
            is_updated.store(1, Ordering::SeqCst);
            answer(&json!({ "service": after() }))
        }
        other => refusal("AccessDeniedException", &format!("no {other}")),
    }
}

fn look(service: &Value) -> Reply {
    answer(&json!({ "services": [service], "failures": [] }))
}

async fn begin(caller: &Caller) -> (Plan, Begun) {
    let mut wanted = document();
    wanted["containerDefinitions"][0]["image"] = json!("r/app:v2");
    let request = Request {
        cluster: "prod".to_owned(),
        services: vec!["web".to_owned()],
        source: Source::Document(Definition::from_document(wanted).unwrap().definition),
        edits: Box::new(|_| Ok(Vec::new())),
        update: Object::new(),
        rules: Object::new(),
        force: false,
        values: Values::Shown,
    };
    let plan = plan::make(caller, &request).await.unwrap();
    let arns = roll::register(caller, &plan, |_| {}).await.unwrap();
    let part = &plan.parts[0];
    let begun = roll::update(caller, part, part.service.as_ref().unwrap(), &arns[0]).await.unwrap();
    (plan, begun)
}

async fn watched(server: &Server, patience: Patience) -> (Outcome, Vec<Told>) {
    let caller = caller(server);
    let (_, begun) = begin(&caller).await;
    let mut told = Vec::new();
    let (_never, interrupt) = Interrupt::counted();
    let how =
        Watching { caller: &caller, cluster: "prod", patience, interrupt: &interrupt, goes_back: false };
    let mut outcomes = watch::all(&how, vec![begun], &mut |one| told.push(one)).await;
    (outcomes.pop().unwrap(), told)
}

async fn shifted(
    server: &Server,
    followed: &[Followed],
    tell: &mut dyn FnMut(&str, codedeploy::Told),
) -> Vec<codedeploy::End> {
    let patience = Patience { timeout: Duration::from_millis(500), ..EAGER };
    let (_never, interrupt) = Interrupt::counted();
    let caller = caller(server);
    let how =
        codedeploy::Watching { caller: &caller, until: Until::Succeeded, patience, interrupt: &interrupt };
    codedeploy::all(&how, followed, tell).await.into_iter().map(|(end, _)| end).collect()
}

fn bodies(server: &Server, name: &str) -> Vec<Value> {
    let requests = server.requests();
    let of = requests.iter().filter(|request| operation(request) == name);
    of.map(|request| serde_json::from_str(&request.text()).unwrap()).collect()
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for_and_nothing_else() {
    let stable = service(NEW, &[(2, "PRIMARY", NEW, 1, "COMPLETED")]);
    let server = Server::start(played(move |_| look(&stable))).await;
    let (outcome, _) = watched(&server, EAGER).await;
    assert_eq!(outcome.end, End::Verdict(Verdict::Stable { running: 1 }));
    assert_eq!(
        bodies(&server, "UpdateService"),
        [json!({ "cluster": "prod", "service": "web", "taskDefinition": NEW })]
    );
    let mut wanted = document();
    wanted["containerDefinitions"][0]["image"] = json!("r/app:v2");
    // Fields that nobody knows, and what is empty, to the letter.
    assert_eq!(bodies(&server, "RegisterTaskDefinition"), [wanted]);
    let first = server.requests().remove(0);
    let signature = first.header("authorization").unwrap();
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=AKID/20231114/eu-west-1/ecs/aws4_request"),
        "{signature}"
    );
    assert_eq!(first.header("x-amz-target"), Some("AmazonEC2ContainerServiceV20141113.DescribeServices"));
    assert_eq!(first.header("x-amz-security-token"), Some("SESSION"));
}

#[tokio::test]
async fn an_answer_from_before_the_update_is_no_rollback() {
    let looks = [before(), after(), before(), service(NEW, &[(2, "PRIMARY", NEW, 1, "COMPLETED")])];
    let server = Server::start(played(move |at| look(&looks[at.min(3)]))).await;
    let (outcome, _) = watched(&server, EAGER).await;
    assert_eq!(outcome.end, End::Verdict(Verdict::Stable { running: 1 }));
    assert_eq!(bodies(&server, "DescribeServices").len(), 5);
}

#[tokio::test]
async fn throttling_is_waited_for_and_a_refusal_is_told_at_once() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => refusal("ThrottlingException", "Rate exceeded"),
        1 => reply(503, ""),
        2 => look(&before()),
        _ => refusal("AccessDeniedException", "no"),
    })
    .await;
    let caller = caller(&server);
    let names = ["web".to_owned()];
    assert_eq!(ecs::describe_services(&caller, "prod", &names).await.unwrap().0.len(), 1);
    assert_eq!(server.lines().len(), 3);
    let error = ecs::describe_services(&caller, "prod", &names).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Refused);
    assert_eq!(server.lines().len(), 4, "asked once");
}

#[tokio::test]
async fn an_ecs_that_is_throttled_throughout_is_said_and_the_time_has_an_end() {
    let server = Server::start(played(|_| refusal("ThrottlingException", "Rate exceeded"))).await;
    let patience = Patience { timeout: Duration::from_millis(300), ..EAGER };
    let (outcome, told) = watched(&server, patience).await;
    assert_eq!(outcome.end, End::Timeout);
    // What a rollback starts from, though no look ever succeeded.
    assert_eq!((outcome.last.service_name.as_str(), outcome.last.task_definition.as_str()), ("web", NEW));
    let wanted = Told::Note { text: "ECS can't be asked just now: Rate exceeded".to_owned() };
    assert_eq!(told.iter().filter(|one| **one == wanted).count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_session_that_ends_while_watching_is_told_as_that() {
    let server =
        Server::start(played(|_| refusal("ExpiredTokenException", "The security token is expired"))).await;
    let (outcome, _) = watched(&server, EAGER).await;
    let End::Lost(failure) = outcome.end else { panic!("{:?}", outcome.end) };
    assert!(
        failure.message.starts_with("the deployment goes on, but can't be watched any more"),
        "{failure:?}"
    );
    assert!(failure.details.iter().any(|line| line.contains("`landfall exec`")), "{failure:?}");
}

#[tokio::test]
async fn a_service_that_is_deleted_meanwhile_is_told_as_that() {
    let server = Server::start(played(|_| {
        answer(&json!({ "services": [], "failures": [{ "arn": "a", "reason": "MISSING" }] }))
    }))
    .await;
    let (outcome, _) = watched(&server, EAGER).await;
    assert_eq!(outcome.end, End::Verdict(Verdict::Deleted { status: "MISSING".to_owned() }));
}

#[tokio::test]
async fn a_task_that_finds_no_place_is_told_with_the_reason() {
    let server = Server::start(|_| {
        answer(&json!({ "tasks": [], "failures": [{ "arn": "arn:i", "reason": "RESOURCE:MEMORY", "detail": "d" }] }))
    })
    .await;
    let input = Object::from_iter([("taskDefinition".to_owned(), json!("app:2"))]);
    let failure = run_task::start(&caller(&server), input).await.unwrap_err();
    assert_eq!(failure.message, "running app:2: no task was started");
    assert_eq!(failure.details, ["caused by: RESOURCE:MEMORY (no instance has that much left): d at arn:i"]);
    assert_eq!(bodies(&server, "RunTask")[0]["clientToken"], "07".repeat(16));
}

#[tokio::test]
async fn a_task_that_ecs_has_forgotten_is_told_as_it_ended() {
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let task = |arn: &str, status: &str, code: Option<i64>| {
            json!({ "taskArn": arn, "lastStatus": status, "containers": [{ "name": "web", "exitCode": code }] })
        };
        match (operation(request).as_str(), looks.fetch_add(1, Ordering::Relaxed)) {
            ("DescribeTasks", 0) => {
                let tasks = [task("arn:a", "STOPPED", Some(3)), task("arn:b", "RUNNING", None)];
                answer(&json!({ "tasks": tasks, "failures": [] }))
            }
            ("DescribeTasks", _) => answer(&json!({
                "tasks": [task("arn:b", "STOPPED", Some(0))],
                "failures": [{ "arn": "arn:a", "reason": "MISSING" }],
            })),
            (other, _) => panic!("{other} is not expected"),
        }
    })
    .await;
    let arns = ["arn:a".to_owned(), "arn:b".to_owned()];
    let definition = Definition::from_document(document()).unwrap().definition;
    let (_never, interrupt) = Interrupt::counted();
    let followed = run_task::Followed {
        caller: &caller(&server),
        cluster: "prod",
        arns: &arns,
        definition: &definition,
        timeout: EAGER.timeout,
        interrupt: &interrupt,
    };
    let (end, ended) = run_task::follow(&followed, &mut |_| ()).await;
    assert_eq!(end, run_task::End::Stopped);
    let codes: Vec<(&str, u8)> =
        ended.iter().map(|one| (one.task.task_arn.as_str(), one.exit_code)).collect();
    assert_eq!(codes, [("arn:a", 3), ("arn:b", 0)]);
}

#[tokio::test]
async fn a_call_that_must_not_happen_twice_is_sent_once() {
    let server = Server::start(|_| {
        let mut broken = reply(200, "{");
        broken.closes = true;
        broken
    })
    .await;
    let caller = caller(&server);
    let _ = caller.call_once(ECS, "X", &json!({})).await.unwrap_err();
    assert_eq!(server.lines().len(), 1);
    let _ = caller.call(ECS, "X", &json!({})).await.unwrap_err();
    assert_eq!(server.lines().len(), 4, "three attempts more");
}

/// A service whose traffic moves, and that names its deployment's story.
fn staged(deployments: &[(u32, &str, &str, u32, &str)]) -> Value {
    let mut service = service(NEW, deployments);
    service["currentServiceDeployment"] = json!("arn:story");
    service["deploymentConfiguration"] = json!({ "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0 });
    service
}

#[tokio::test]
async fn an_alarm_that_takes_the_traffic_back_while_all_runs_is_told_with_its_name() {
    let looks = AtomicUsize::new(0);
    let both = [(2, "PRIMARY", NEW, 1, "COMPLETED"), (1, "ACTIVE", OLD, 1, "COMPLETED")];
    let plays = played(move |_| look(&staged(&both)));
    let server = Server::start(move |request| {
        if operation(request) != "DescribeServiceDeployments" {
            return plays(request);
        }
        let mut story = json!({
            "serviceDeploymentArn": "arn:story", "status": "IN_PROGRESS", "lifecycleStage": "BAKE_TIME",
            "targetServiceRevision": { "arn": "arn:revision/2", "requestedProductionTrafficWeight": 100.0 },
            "alarms": { "status": "MONITORING", "alarmNames": ["web-5xx"] },
        });
        if looks.fetch_add(1, Ordering::SeqCst) > 1 {
            story["status"] = json!("ROLLBACK_SUCCESSFUL");
            story["rollback"] = json!({ "reason": "Service deployment rolled back because of alarms." });
            story["alarms"] = json!({ "status": "TRIGGERED", "triggeredAlarmNames": ["web-5xx"] });
        }
        answer(&json!({ "serviceDeployments": [story], "failures": [] }))
    })
    .await;
    let (outcome, told) = watched(&server, EAGER).await;
    let End::Verdict(Verdict::RolledBack { to, reason, is_over }) = outcome.end else {
        panic!("{:?}", outcome.end)
    };
    assert_eq!(
        (to.as_str(), reason.as_str(), is_over),
        ("app:1", "Service deployment rolled back because of alarms.", true)
    );
    assert_eq!(outcome.story.unwrap().alarms.triggered_alarm_names, ["web-5xx"]);
    let stages = told.iter().filter(|one| matches!(one, Told::Stage { .. })).count();
    assert_eq!(stages, 1, "{told:?}");
    assert_eq!(
        bodies(&server, "DescribeServiceDeployments")[0],
        json!({ "serviceDeploymentArns": ["arn:story"] })
    );
}

#[tokio::test]
async fn calls_that_only_tell_more_say_so_in_their_user_agent() {
    let failing = service(NEW, &[(2, "PRIMARY", NEW, 0, "FAILED")]);
    let server = Server::start(played(move |_| look(&failing))).await;
    watched(&server, EAGER).await;
    let requests = server.requests();
    let said = requests.iter().map(|request| {
        let name = request.header("user-agent").unwrap();
        assert!(name.starts_with(agent::NAME), "{name}");
        (operation(request), agent::is_optional(name))
    });
    let said: BTreeMap<String, bool> = said.collect();
    let wanted = [
        ("DescribeServices", false),
        ("DescribeTaskDefinition", true),
        ("ListTasks", true),
        ("RegisterTaskDefinition", false),
        ("UpdateService", false),
    ];
    assert_eq!(said, BTreeMap::from(wanted.map(|(name, is_optional)| (name.to_owned(), is_optional))));
}

#[tokio::test]
async fn deployments_of_codedeploy_are_watched_together_and_each_has_its_own_end() {
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let asked: Value = serde_json::from_str(&request.text()).unwrap();
        let status = match (operation(request).as_str(), asked["deploymentId"].as_str().unwrap_or("")) {
            // How often is looked, and so whether this is asked at all, is the machine's.
            ("ListTasks", _) => return answer(&json!({ "taskArns": [] })),
            ("ListDeploymentTargets", _) => return refusal("AccessDeniedException", "no"),
            (_, "d-slow") => "InProgress",
            (_, "d-broken") => return refusal("DeploymentDoesNotExistException", "not there"),
            _ if looks.fetch_add(1, Ordering::SeqCst) == 0 => "InProgress",
            _ => "Succeeded",
        };
        answer(&json!({ "deploymentInfo": { "status": status } }))
    })
    .await;
    let followed = ["slow", "web", "broken"].map(|name| Followed {
        service: name.to_owned(),
        id: format!("d-{name}"),
        cluster: "shop".to_owned(),
        definition: format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/{name}:2"),
    });
    let mut told = Vec::new();
    let mut tell = |service: &str, one: codedeploy::Told| told.push((service.to_owned(), one));
    let ends = shifted(&server, &followed, &mut tell).await;
    assert_eq!(ends[0], codedeploy::End::Timeout { status: "InProgress".to_owned(), is_stopped: false });
    assert_eq!(ends[1], codedeploy::End::Done { status: "Succeeded".to_owned() });
    assert!(
        matches!(&ends[2], codedeploy::End::Lost(failure) if failure.kind == FailureKind::Refused),
        "{ends:?}"
    );
    let notes = told.iter().filter(|(_, one)| matches!(one, codedeploy::Told::Note(_))).count();
    assert_eq!(notes, 1, "the same for all: {told:?}");
    let of_web = told.iter().filter(|(service, _)| service == "web").count();
    assert_eq!(of_web, 2, "{told:?}");
}

#[tokio::test]
async fn tasks_that_stop_under_codedeploy_are_told_once_with_their_reasons() {
    let definition = "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:2";
    let (earlier, ours, wanted) = ("arn:task/shop/earlier", "arn:task/shop/ours", "arn:task/shop/wanted");
    let looks = AtomicUsize::new(0);
    let server = Server::start(move |request| match operation(request).as_str() {
        "ListTasks" if looks.fetch_add(1, Ordering::SeqCst) == 0 => answer(&json!({ "taskArns": [earlier] })),
        "ListTasks" => answer(&json!({ "taskArns": [earlier, ours, wanted] })),
        "DescribeTasks" => {
            let task = |arn: &str, code: &str, reason: &str| {
                json!({
                    "taskArn": arn, "taskDefinitionArn": definition, "lastStatus": "STOPPED", "stopCode": code,
                    "stoppedReason": reason, "containers": [{ "name": "web", "exitCode": 3 }],
                })
            };
            let essential = "Essential container in task exited";
            let scaling = "Scaling activity initiated by (deployment ecs-svc/1)";
            let all = [
                task(earlier, "EssentialContainerExited", essential),
                task(ours, "EssentialContainerExited", essential),
                task(wanted, "ServiceSchedulerInitiated", scaling),
            ];
            let asked: Value = serde_json::from_str(&request.text()).unwrap();
            let asked = asked["tasks"].as_array().unwrap();
            let tasks: Vec<_> = all.into_iter().filter(|task| asked.contains(&task["taskArn"])).collect();
            answer(&json!({ "tasks": tasks }))
        }
        "ListDeploymentTargets" => answer(&json!({ "targetIds": [] })),
        _ => answer(&json!({ "deploymentInfo": { "status": "InProgress" } })),
    })
    .await;
    let followed = [Followed {
        service: "web".to_owned(),
        id: "d-web".to_owned(),
        cluster: "shop".to_owned(),
        definition: definition.to_owned(),
    }];
    let mut told = Vec::new();
    let mut tell = |_: &str, one: codedeploy::Told| told.push(one);
    shifted(&server, &followed, &mut tell).await;
    let stopped: Vec<_> = told
        .iter()
        .filter_map(|one| match one {
            codedeploy::Told::TaskStopped { task, reason } => Some((task.as_str(), reason.as_str())),
            _ => None,
        })
        .collect();
    let [("ours", reason)] = stopped.as_slice() else { panic!("{told:?}") };
    assert!(reason.contains("Essential container in task exited") && reason.contains('3'), "{reason}");
}

/// An ECS on which the deployment of `app:2` to `web` fails. `stories` are the task definitions of
/// the deployments that succeeded, the latest first; none where that may not be asked.
fn failing(stories: Option<&'static [&'static str]>) -> impl Fn(&support::Request) -> Reply {
    let is_back = AtomicUsize::new(0);
    move |request| {
        let asked: Value = serde_json::from_str(&request.text()).unwrap();
        let back = |definition: &Value| {
            service(
                definition.as_str().unwrap(),
                &[(3, "PRIMARY", definition.as_str().unwrap(), 1, "COMPLETED")],
            )
        };
        match (operation(request).as_str(), stories) {
            ("UpdateService", _) if asked["taskDefinition"] != json!(NEW) => {
                is_back.store(1, Ordering::SeqCst);
                answer(&json!({ "service": back(&asked["taskDefinition"]) }))
            }
            ("UpdateService", _) => answer(&json!({ "service": after() })),
            ("DescribeServices", _) if is_back.load(Ordering::SeqCst) == 1 => look(&back(&json!(OLDER))),
            ("DescribeServices", _) => look(&service(NEW, &[(2, "PRIMARY", NEW, 0, "FAILED")])),
            ("RegisterTaskDefinition", _) => {
                answer(&json!({ "taskDefinition": { "taskDefinitionArn": NEW } }))
            }
            ("DescribeTaskDefinition", _) if asked["taskDefinition"] == json!(OLDER) => {
                let mut older = document();
                older["containerDefinitions"][0]["image"] = json!("r/app:v0");
                older["taskDefinitionArn"] = json!(OLDER);
                answer(&json!({ "taskDefinition": older, "tags": [] }))
            }
            ("ListServiceDeployments", Some(all)) => {
                let story = |at: usize| json!({ "createdAt": 100 - at, "targetServiceRevisionArn": format!("r/{at}") });
                answer(&json!({ "serviceDeployments": (0..all.len()).map(story).collect::<Vec<_>>() }))
            }
            ("DescribeServiceRevisions", Some(all)) => {
                let revision = |(at, definition): (usize, &&str)| json!({ "serviceRevisionArn": format!("r/{at}"), "taskDefinition": definition });
                answer(
                    &json!({ "serviceRevisions": all.iter().enumerate().map(revision).collect::<Vec<_>>() }),
                )
            }
            (other, _) => refusal("AccessDeniedException", &format!("no {other}")),
        }
    }
}

const OLDER: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/app:0";

#[tokio::test]
async fn a_service_goes_back_to_the_last_revision_that_completed_a_deployment_and_to_no_other() {
    type Stories = Option<&'static [&'static str]>;
    let tried = service(OLD, &[(1, "PRIMARY", OLD, 0, "IN_PROGRESS")]);
    let replacing =
        service(OLD, &[(1, "PRIMARY", OLD, 0, "IN_PROGRESS"), (0, "ACTIVE", OLDER, 1, "COMPLETED")]);
    let stable = service(OLDER, &[(1, "PRIMARY", OLDER, 1, "COMPLETED")]);
    let cases: [(&str, &Value, Stories, Result<&str, &str>); 5] = [
        ("what ran was stable", &stable, None, Ok(OLDER)),
        ("what ran was tried only, and ECS lists what it was to replace", &replacing, None, Ok(OLDER)),
        ("what ran was tried only, and ECS tells what succeeded", &tried, Some(&[OLDER, OLD]), Ok(OLDER)),
        ("nothing ever was stable", &tried, Some(&[]), Err("no revision that ever completed a deployment")),
        ("nobody may ask", &tried, None, Err("ecs:ListServiceDeployments")),
    ];
    for (name, before, stories, wanted) in cases {
        let server = Server::start(failing(stories)).await;
        let caller = caller(&server);
        let before = landfall_deliver::deploy::view::Service::read(before).unwrap();
        let part = Part {
            service: Some(before.clone()),
            old: Some(before.task_definition.clone()),
            wanted: Definition::from_document(document()).unwrap().definition,
            existing: None,
            rows: Vec::new(),
            update: Some(Object::new()),
        };
        let begun = roll::update(&caller, &part, &before, NEW).await.unwrap();
        let (_never, interrupt) = Interrupt::counted();
        let (cluster, patience) = ("prod", EAGER);
        let how = Watching { caller: &caller, cluster, patience, interrupt: &interrupt, goes_back: true };
        let mut told = Vec::new();
        let outcomes = watch::all(&how, vec![begun], &mut |one| told.push(one)).await;
        assert!(matches!(outcomes[0].end, End::Verdict(Verdict::Failed { .. })), "{name}: {outcomes:?}");
        let updates = bodies(&server, "UpdateService");
        match wanted {
            Ok(definition) => {
                assert_eq!(outcomes[1].end, End::Verdict(Verdict::Stable { running: 1 }), "{name}");
                assert!(outcomes[0].is_replaced && !outcomes[1].is_replaced, "{name}");
                assert_eq!(updates[1]["taskDefinition"], definition, "{name}");
                let images = [("web".to_owned(), "r/app:v0".to_owned())];
                let is_told = |one: &Told| matches!(one, Told::GoingBack { to, images: told, .. } if to == definition && *told == images);
                assert!(told.iter().any(is_told), "{name}: {told:?}");
            }
            Err(why) => {
                assert_eq!((outcomes.len(), updates.len()), (1, 1), "{name}: nothing was changed");
                assert!(!outcomes[0].is_replaced, "{name}");
                assert!(outcomes[0].stays.as_ref().unwrap().contains(why), "{name}: {outcomes:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_is_brought_back_while_others_still_roll_out() {
    let slow_looks = AtomicUsize::new(0);
    let plays = failing(None);
    let server = Server::start(move |request| {
        let asked: Value = serde_json::from_str(&request.text()).unwrap();
        if operation(request) != "DescribeServices" {
            return plays(request);
        }
        let is_slow_done = slow_looks.fetch_add(1, Ordering::SeqCst) > 3;
        let mut slow = service(
            NEW,
            &[(
                9,
                "PRIMARY",
                NEW,
                u32::from(is_slow_done),
                if is_slow_done { "COMPLETED" } else { "IN_PROGRESS" },
            )],
        );
        slow["serviceName"] = json!("slow");
        let names = asked["services"].as_array().unwrap();
        let mut services: Vec<Value> = if names.contains(&json!("slow")) { vec![slow] } else { Vec::new() };
        if names.contains(&json!("web")) {
            let one: Value = serde_json::from_str(&String::from_utf8(plays(request).body).unwrap()).unwrap();
            services.push(one["services"][0].clone());
        }
        answer(&json!({ "services": services, "failures": [] }))
    })
    .await;
    let caller = caller(&server);
    let stable = landfall_deliver::deploy::view::Service::read(&service(
        OLDER,
        &[(1, "PRIMARY", OLDER, 1, "COMPLETED")],
    ))
    .unwrap();
    let part = Part {
        service: Some(stable.clone()),
        old: Some(OLDER.to_owned()),
        wanted: Definition::from_document(document()).unwrap().definition,
        existing: None,
        rows: Vec::new(),
        update: Some(Object::new()),
    };
    let web = roll::update(&caller, &part, &stable, NEW).await.unwrap();
    let mut slow = web.clone();
    slow.service = "slow".to_owned();
    slow.wanted.id = "ecs-svc/9".to_owned();
    let (_never, interrupt) = Interrupt::counted();
    let how = Watching {
        caller: &caller,
        cluster: "prod",
        patience: EAGER,
        interrupt: &interrupt,
        goes_back: true,
    };
    let mut told = Vec::new();
    let outcomes = watch::all(&how, vec![web, slow], &mut |one| told.push(one)).await;
    let ends: Vec<(&str, bool)> =
        outcomes.iter().map(|one| (one.service.as_str(), one.end.is_good())).collect();
    assert_eq!(ends, [("web", false), ("web", true), ("slow", true)]);
    let back = told.iter().position(|one| matches!(one, Told::GoingBack { .. })).unwrap();
    let done = told
        .iter()
        .rposition(|one| matches!(one, Told::Counts { service, running: 1, .. } if service == "slow"));
    assert!(back < done.unwrap(), "{told:?}");
}

#[tokio::test]
async fn a_watch_is_interrupted_while_ecs_is_silent() {
    let server = Server::start(played(|_| reply(200, "").at(support::Pace::Never))).await;
    let caller = caller(&server);
    let (_, begun) = begin(&caller).await;
    let (signals, interrupt) = Interrupt::counted();
    let how = Watching {
        caller: &caller,
        cluster: "prod",
        patience: EAGER,
        interrupt: &interrupt,
        goes_back: true,
    };
    let mut tell = |_| {};
    let interrupts = async {
        while bodies(&server, "DescribeServices").len() < 2 {
            tokio::task::yield_now().await;
        }
        signals.send_modify(|count| *count += 1);
    };
    let (outcomes, ()) = tokio::join!(watch::all(&how, vec![begun], &mut tell), interrupts);
    assert_eq!(outcomes[0].end, End::Interrupted);
}

#[tokio::test]
async fn the_time_holds_while_ecs_is_silent() {
    let patience = Patience { timeout: Duration::from_millis(50), ..EAGER };
    // From the first look on, or when it is asked why tasks stopped.
    for silent_from in [0, 1] {
        let server = Server::start(played(move |at| match at {
            at if at >= silent_from => reply(200, "").at(support::Pace::Never),
            _ => look(&after()),
        }))
        .await;
        let began = std::time::Instant::now();
        let (outcome, _) = watched(&server, patience).await;
        assert_eq!(outcome.end, End::Timeout);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_group_with_an_active_deployment_is_told_with_what_waits_for_it_or_stops_it() {
    let server = Server::start(|request| match operation(request).as_str() {
        "GetDeploymentGroup" => answer(&json!({ "deploymentGroupInfo": {
            "lastAttemptedDeployment": { "deploymentId": "d-1", "status": "InProgress" },
        } })),
        _ => refusal(
            "DeploymentLimitExceededException",
            "The Deployment Group 'group' already has an active Deployment 'd-1'",
        ),
    })
    .await;
    let caller = caller(&server);
    let request = codedeploy::Request {
        application: "app".to_owned(),
        group: "group".to_owned(),
        appspec: json!({}),
        description: None,
        config: None,
        rolls_back: false,
    };
    let before = codedeploy::group_waits(&caller, &request, "prod", "web").await.unwrap_err();
    assert_eq!(
        before.message,
        "deployment group `group` of `app` has an active deployment, d-1 (InProgress): nothing was registered"
    );
    let after = codedeploy::create(&caller, &request).await.unwrap_err();
    assert!(after.details.iter().any(|line| line.contains("the revision stays registered")), "{after:?}");
    for failure in [before, after] {
        for command in
            ["wait deployment-successful --deployment-id d-1", "stop-deployment --deployment-id d-1"]
        {
            assert!(failure.details.iter().any(|line| line.contains(command)), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn stopped_tasks_are_read_to_the_last_page_and_those_known_are_not_asked_for_again() {
    let server = Server::start(|request| {
        let asked: Value = serde_json::from_str(&request.text()).unwrap();
        match (operation(request).as_str(), asked["nextToken"].as_str()) {
            ("ListTasks", None) => answer(&json!({ "taskArns": ["a", "b"], "nextToken": "2" })),
            ("ListTasks", Some(_)) => answer(&json!({ "taskArns": ["c"] })),
            _ => {
                let told = |arn: &Value| json!({ "taskArn": arn, "lastStatus": "STOPPED" });
                let tasks: Vec<Value> = asked["tasks"].as_array().unwrap().iter().map(told).collect();
                answer(&json!({ "tasks": tasks }))
            }
        }
    })
    .await;
    let known = std::collections::BTreeSet::from(["a".to_owned()]);
    let tasks = ecs::stopped_tasks(&caller(&server), "prod", "web", &known).await.unwrap();
    let arns: Vec<&str> = tasks.iter().map(|task| task.task_arn.as_str()).collect();
    assert_eq!(arns, ["b", "c"]);
}
