//! CloudWatch's doors: what each operation is decided on, and that all three protocols lead to the same.

use landfall_serve::authz::cloudwatch_calls;
use landfall_wire::cbor;
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, REGION, allow, root};
use crate::client::{Reply, Request};
use crate::door_table::{self, Door, denied, nothing_allows};

const fn door(operation: &'static str, input: &'static str) -> Door {
    Door::json("cloudwatch", operation, "alarm:web", input)
}

const WEB: &str = r#"{"AlarmName":"web","MetricName":"m","Namespace":"n","Statistic":"Sum","Period":60,"EvaluationPeriods":1,"Threshold":1,"ComparisonOperator":"GreaterThanThreshold"}"#;
const NAMES: &str = r#"{"AlarmNames":["web"]}"#;

const DOORS: &[Door] = &[
    door("PutMetricAlarm", WEB),
    door("DescribeAlarms", NAMES),
    door("SetAlarmState", r#"{"AlarmName":"web","StateValue":"OK","StateReason":"a test"}"#),
    door("DisableAlarmActions", NAMES),
    door("EnableAlarmActions", NAMES),
    door("TagResource", r#"{"ResourceARN":"${arn}","Tags":[{"Key":"team","Value":"web"}]}"#),
    door("ListTagsForResource", r#"{"ResourceARN":"${arn}"}"#),
    door("UntagResource", r#"{"ResourceARN":"${arn}","TagKeys":["team"]}"#),
    door("DeleteAlarms", NAMES),
];

struct Furnished(Bench);

impl door_table::Furnished for Furnished {
    fn bench(&self) -> &Bench {
        &self.0
    }

    fn fill(&self, text: &str) -> String {
        text.replace("${arn}", &format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:web"))
    }
}

fn furnished() -> Furnished {
    Furnished(Bench::with_provider())
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    door_table::is_whole(DOORS, &[cloudwatch_calls::API]);
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    door_table::strangers_stay_outside(&furnished(), DOORS);
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    door_table::a_role_needs_each_action(&furnished(), DOORS);
}

/// One call by each protocol; the answers as JSON.
fn by_all(
    bench: &Bench,
    keys: &crate::client::Keys,
    operation: &str,
    input: &Value,
    form: &str,
) -> [Reply; 3] {
    let call = |request| bench.call(keys, "monitoring", request);
    let path = format!("/service/GraniteServiceVersion20100801/operation/{operation}");
    let cbor = Request::new("POST", &path)
        .header("content-type", "application/cbor")
        .header("smithy-protocol", "rpc-v2-cbor")
        .body(cbor::encode(input, &[]));
    let query = Request::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("Action={operation}&Version=2010-08-01{form}"));
    [call(cbor), call(Request::json("cloudwatch", operation, &input.to_string())), call(query)]
}

#[test]
fn all_three_protocols_tell_the_same() {
    let bench = Bench::with_provider();
    let put = Request::json("cloudwatch", "PutMetricAlarm", WEB);
    assert_eq!(bench.call(&root(), "monitoring", put).status, 200);
    let [cbor, json, xml] = by_all(
        &bench,
        &root(),
        "DescribeAlarms",
        &json!({"AlarmNames": ["web"]}),
        "&AlarmNames.member.1=web",
    );
    assert_eq!((cbor.status, json.status, xml.status), (200, 200, 200));
    assert_eq!(cbor.header("smithy-protocol"), Some("rpc-v2-cbor"));
    assert_eq!(cbor.header("content-type"), Some("application/cbor"));
    let told = json.json();
    assert_eq!(told["MetricAlarms"][0]["StateReason"], "Unchecked: Initial alarm creation");
    assert_eq!(xml.element("StateReason").as_deref(), Some("Unchecked: Initial alarm creation"));
    assert_eq!(xml.element("AlarmArn").as_deref(), told["MetricAlarms"][0]["AlarmArn"].as_str());
    let set = json!({"AlarmName": "none", "StateValue": "OK", "StateReason": "r"});
    let form = "&AlarmName=none&StateValue=OK&StateReason=r";
    let [cbor, json, xml] = by_all(&bench, &root(), "SetAlarmState", &set, form);
    assert_eq!((cbor.status, json.status, xml.status), (404, 404, 404));
    assert_eq!(cbor.header("x-amzn-query-error"), Some("ResourceNotFound;Sender"));
    assert_eq!(
        (json.fault().0, xml.fault().0),
        ("ResourceNotFound".to_owned(), "ResourceNotFound".to_owned())
    );
}

#[test]
fn a_role_is_refused_by_all_three_protocols() {
    let bench = Bench::with_provider();
    bench.role("reader", &allow(&["s3:*"], "*"));
    let [cbor, json, xml] = by_all(&bench, &bench.session("reader"), "DescribeAlarms", &json!({}), "");
    assert_eq!((cbor.status, json.status, xml.status), (400, 400, 403));
    let action = "cloudwatch:DescribeAlarms";
    let all = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*");
    let (code, sentence) = denied("reader", action, &all, &nothing_allows(action));
    assert_eq!(json.fault(), (code, sentence.clone()));
    assert_eq!(xml.fault(), ("AccessDenied".to_owned(), sentence));
}
