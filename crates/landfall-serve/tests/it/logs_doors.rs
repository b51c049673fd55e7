//! CloudWatch Logs' doors: what each operation is decided on, and what groups and streams are refused for.

use landfall_serve::authz::log_calls;
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, NOW, REGION, allow, root};
use crate::client::{Keys, Reply, Request};
use crate::door_table::{self, Door, give, nothing_allows, statement, works};

/// What calls of the group are decided on: the ARN of a stream without a name (observed).
const GROUP: &str = "log-group:/ecs/web:log-stream:";
const STREAM: &str = "log-group:/ecs/web:log-stream:ecs/web/0a";

const fn door(operation: &'static str, resource: &'static str, input: &'static str) -> Door {
    Door::json("logs", operation, resource, input)
}

const NAME: &str = r#"{"logGroupName":"/ecs/web"}"#;
const IN_STREAM: &str = r#"{"logGroupName":"/ecs/web","logStreamName":"ecs/web/0a"}"#;

const DOORS: &[Door] = &[
    door("CreateLogGroup", GROUP, NAME),
    door("DescribeLogGroups", "log-group::log-stream:", r#"{"logGroupNamePrefix":"/ecs/"}"#),
    door("PutRetentionPolicy", GROUP, r#"{"logGroupName":"/ecs/web","retentionInDays":7}"#),
    door("DeleteRetentionPolicy", GROUP, NAME),
    door(
        "PutLogGroupDeletionProtection",
        GROUP,
        r#"{"logGroupIdentifier":"/ecs/web","deletionProtectionEnabled":false}"#,
    ),
    door("TagResource", "log-group:/ecs/web", r#"{"resourceArn":"${arn}","tags":{"team":"web"}}"#),
    door("ListTagsForResource", "log-group:/ecs/web", r#"{"resourceArn":"${arn}"}"#),
    door("UntagResource", "log-group:/ecs/web", r#"{"resourceArn":"${arn}","tagKeys":["team"]}"#),
    door("TagLogGroup", GROUP, r#"{"logGroupName":"/ecs/web","tags":{"team":"web"}}"#),
    door("ListTagsLogGroup", GROUP, NAME),
    door("UntagLogGroup", GROUP, r#"{"logGroupName":"/ecs/web","tags":["team"]}"#),
    door("CreateLogStream", STREAM, IN_STREAM),
    door("DescribeLogStreams", GROUP, r#"{"logGroupIdentifier":"${arn}"}"#),
    door(
        "PutLogEvents",
        STREAM,
        r#"{"logGroupName":"/ecs/web","logStreamName":"ecs/web/0a","logEvents":[{"timestamp":1790856000000,"message":"a"}]}"#,
    ),
    door("GetLogEvents", STREAM, IN_STREAM),
    door("FilterLogEvents", GROUP, r#"{"logGroupIdentifier":"${arn}"}"#),
    door("DeleteLogStream", STREAM, IN_STREAM),
    door("DeleteLogGroup", GROUP, NAME),
];

struct Furnished(Bench);

impl door_table::Furnished for Furnished {
    fn bench(&self) -> &Bench {
        &self.0
    }

    fn fill(&self, text: &str) -> String {
        text.replace("${arn}", &arn("/ecs/web"))
    }
}

fn furnished() -> Furnished {
    Furnished(Bench::with_provider())
}

fn arn(group: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}")
}

fn call(bench: &Bench, keys: &Keys, operation: &str, input: &Value) -> Reply {
    bench.call(keys, "logs", Request::json("logs", operation, &input.to_string()))
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    door_table::is_whole(DOORS, &[log_calls::API]);
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    door_table::strangers_stay_outside(&furnished(), DOORS);
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    door_table::a_role_needs_each_action(&furnished(), DOORS);
}

/// A policy names a group with `:*`, but for the operations on tags by ARN, which it names without.
#[test]
fn a_policy_on_a_group_is_written_as_on_aws() {
    let bench = Bench::with_provider();
    bench.role("web", &allow(&["s3:*"], "*"));
    let keys = bench.session("web");
    let name = json!({ "logGroupName": "/ecs/web" });
    works(&call(&bench, &root(), "CreateLogGroup", &name));
    let streams = |keys: &Keys| call(&bench, keys, "DescribeLogStreams", &name);
    let tags =
        |keys: &Keys| call(&bench, keys, "ListTagsForResource", &json!({ "resourceArn": arn("/ecs/web") }));
    give(&bench, "web", &[statement("Allow", "logs:*", &arn("/ecs/web"))]);
    assert_eq!((streams(&keys).status, tags(&keys).status), (400, 200));
    give(&bench, "web", &[statement("Allow", "logs:*", &format!("{}:*", arn("/ecs/web")))]);
    assert_eq!((streams(&keys).status, tags(&keys).status), (200, 400));
}

#[test]
fn tags_of_a_new_group_take_a_right_of_their_own_and_are_what_conditions_look_at() {
    let bench = Bench::with_provider();
    bench.role("web", &allow(&["s3:*"], "*"));
    let keys = bench.session("web");
    let group = json!({ "logGroupName": "/ecs/web", "tags": { "team": "web" } });
    let mut create = statement("Allow", "logs:CreateLogGroup", "*");
    create["Condition"] = json!({ "StringEquals": { "aws:RequestTag/team": "web" } });
    give(&bench, "web", &[create.clone()]);
    // AWS's own sentence (captured).
    let sentence = format!(
        "User with accountId: {ACCOUNT} is not authorized to perform CreateLogGroup with Tags. An additional permission \"logs:TagResource\" is required."
    );
    let refused = call(&bench, &keys, "CreateLogGroup", &group);
    assert_eq!(refused.fault(), ("AccessDeniedException".to_owned(), sentence));
    let mut read = statement("Allow", "logs:FilterLogEvents", "*");
    read["Condition"] = json!({ "StringEquals": { "aws:ResourceTag/team": "web" } });
    give(&bench, "web", &[create, read, statement("Allow", "logs:TagResource", &arn("/ecs/web"))]);
    works(&call(&bench, &keys, "CreateLogGroup", &group));
    works(&call(&bench, &keys, "FilterLogEvents", &json!({ "logGroupName": "/ecs/web" })));
    works(&call(&bench, &root(), "CreateLogGroup", &json!({ "logGroupName": "/ecs/api" })));
    let other = call(&bench, &keys, "FilterLogEvents", &json!({ "logGroupName": "/ecs/api" }));
    let (_, sentence) = other.fault();
    assert!(sentence.ends_with(&nothing_allows("logs:FilterLogEvents")), "{sentence}");
}

#[test]
fn what_is_there_already_or_not_at_all_is_told_in_the_words_of_aws() {
    let bench = Bench::new();
    let fault = |operation: &str, input: &Value| call(&bench, &root(), operation, input).fault();
    let not_found = |what: &str| {
        ("ResourceNotFoundException".to_owned(), format!("The specified log {what} does not exist."))
    };
    let exists = |what: &str| {
        ("ResourceAlreadyExistsException".to_owned(), format!("The specified log {what} already exists"))
    };
    let invalid = |sentence: &str| ("InvalidParameterException".to_owned(), sentence.to_owned());
    let name = json!({ "logGroupName": "/ecs/web" });
    let stream = json!({ "logGroupName": "/ecs/web", "logStreamName": "a" });
    let events = |at: &[i64]| {
        let events: Vec<Value> = at.iter().map(|at| json!({ "timestamp": at, "message": "m" })).collect();
        json!({ "logGroupName": "/ecs/web", "logStreamName": "a", "logEvents": events })
    };
    for operation in [
        "DeleteLogGroup",
        "DeleteRetentionPolicy",
        "DescribeLogStreams",
        "FilterLogEvents",
        "ListTagsLogGroup",
    ] {
        assert_eq!(fault(operation, &name), not_found("group"), "{operation}");
    }
    for operation in ["CreateLogStream", "DeleteLogStream", "GetLogEvents"] {
        assert_eq!(fault(operation, &stream), not_found("group"), "{operation}");
    }
    works(&call(&bench, &root(), "CreateLogGroup", &name));
    assert_eq!(fault("CreateLogGroup", &name), exists("group"));
    for operation in ["DeleteLogStream", "GetLogEvents"] {
        assert_eq!(fault(operation, &stream), not_found("stream"), "{operation}");
    }
    assert_eq!(fault("PutLogEvents", &events(&[NOW.0])), not_found("stream"));
    works(&call(&bench, &root(), "CreateLogStream", &stream));
    assert_eq!(fault("CreateLogStream", &stream), exists("stream"));
    let backwards = "Log events in a single PutLogEvents request must be in chronological order.";
    assert_eq!(fault("PutLogEvents", &events(&[NOW.0, NOW.0 - 1])), invalid(backwards));
    let long = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
    assert_eq!(fault("PutLogEvents", &events(&[NOW.0 - 86_400_001, NOW.0])), invalid(long));
    let (code, sentence) =
        fault("PutRetentionPolicy", &json!({ "logGroupName": "/ecs/web", "retentionInDays": 2 }));
    assert!(code == "InvalidParameterException" && sentence.contains("[1, 3, 5, 7, 14"), "{sentence}");
    let both = json!({ "logGroupName": "/ecs/web", "logGroupIdentifier": "/ecs/web" });
    assert!(fault("FilterLogEvents", &both).1.contains("mutually exclusive"));
    let by_time =
        json!({ "logGroupName": "/ecs/web", "orderBy": "LastEventTime", "logStreamNamePrefix": "a" });
    let sentence = "Cannot order by LastEventTime with a logStreamNamePrefix.";
    assert_eq!(fault("DescribeLogStreams", &by_time), invalid(sentence));
    let token = json!({ "logGroupName": "/ecs/web", "logStreamName": "a", "nextToken": "x" });
    assert_eq!(fault("GetLogEvents", &token), invalid("The specified nextToken is invalid."));
    // A group of another account's ARN is not this one.
    let elsewhere = json!({ "logGroupIdentifier": "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/web" });
    assert_eq!(fault("FilterLogEvents", &elsewhere), not_found("group"));
    let protect = json!({ "logGroupIdentifier": "/ecs/web", "deletionProtectionEnabled": true });
    works(&call(&bench, &root(), "PutLogGroupDeletionProtection", &protect));
    assert_eq!(fault("DeleteLogGroup", &name).0, "ValidationException");
}

/// What a reader sees of a stream whose group keeps events for a week, and what of it is gone after one.
#[test]
fn events_are_read_forth_and_back_and_are_gone_when_their_days_are_over() {
    let bench = Bench::new();
    let root = root();
    let call = |operation: &str, input: Value| works(&call(&bench, &root, operation, &input));
    call("CreateLogGroup", json!({ "logGroupName": "g" }));
    call("CreateLogStream", json!({ "logGroupName": "g", "logStreamName": "s" }));
    let put = |from: i64, count: i64| {
        let events: Vec<Value> = (from..from + count)
            .map(|n| json!({ "timestamp": NOW.0 + n, "message": n.to_string() }))
            .collect();
        call("PutLogEvents", json!({ "logGroupName": "g", "logStreamName": "s", "logEvents": events }))
    };
    let get = |more: Value| {
        let mut input = json!({ "logGroupName": "g", "logStreamName": "s" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = call("GetLogEvents", input);
        let texts: Vec<String> = told["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect();
        (texts.join(" "), told["nextForwardToken"].clone(), told["nextBackwardToken"].clone())
    };
    put(0, 5);
    assert_eq!(get(json!({ "limit": 2 })).0, "3 4");
    let (texts, on, _) = get(json!({ "limit": 3, "startFromHead": true }));
    assert_eq!(texts, "0 1 2");
    let (texts, on, back) = get(json!({ "nextToken": on, "startFromHead": true }));
    assert_eq!(texts, "3 4");
    // At the end it is the same token, until there is more.
    let (texts, same, _) = get(json!({ "nextToken": on }));
    assert_eq!((texts.as_str(), &same), ("", &on));
    put(5, 1);
    assert_eq!(get(json!({ "nextToken": same })).0, "5");
    assert_eq!(get(json!({ "nextToken": back })).0, "0 1 2");
    // From a moment on, and before another.
    assert_eq!(get(json!({ "startTime": NOW.0 + 1, "endTime": NOW.0 + 3 })).0, "1 2");
    call("PutRetentionPolicy", json!({ "logGroupName": "g", "retentionInDays": 7 }));
    bench.server.world.clock.advance(7 * 86_400);
    assert_eq!(get(json!({})).0, "0 1 2 3 4 5");
    bench.server.world.clock.advance(1);
    assert_eq!(get(json!({})).0, "");
}
