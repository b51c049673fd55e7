//! CloudWatch over its three protocols: Smithy's RPC v2 with CBOR, AWS JSON 1.0, and Query. The operations see JSON.
//! <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>

use landfall_types::Timestamp;
use landfall_wire::cbor;
use landfall_wire::error::{AwsError, Protocol, Reply, json_reply, malformed, render};
use landfall_wire::query::Params;
use landfall_wire::xml::{self, Writer};
use serde_json::{Map, Number, Value};

use super::ApiCall;
use super::ecr_json::log_refused;
use crate::authn;
use crate::cloudwatch::{self, MOMENTS, NAMESPACE};
use crate::log::FailedCall;

/// The prefix of its targets.
const PREFIX: &str = "GraniteServiceVersion20100801.";
/// Where operations are in RPC v2.
const PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
/// Its API version in Query.
pub(super) const VERSION: &str = "2010-08-01";
const QUERY: Protocol = Protocol::Query { namespace: NAMESPACE };

/// Whether a call is one of RPC v2 or AWS JSON.
pub(super) fn is_meant(call: &ApiCall<'_>, target: Option<&str>) -> bool {
    call.signed.path.starts_with(PATH) || target.is_some_and(|target| target.starts_with(PREFIX))
}

/// Answers such a call.
pub(super) fn handle(call: &ApiCall<'_>, target: Option<&str>) -> Reply {
    match target.and_then(|target| target.strip_prefix(PREFIX)) {
        Some(operation) => handle_json(call, operation),
        None => handle_cbor(call),
    }
}

/// Answers a call of RPC v2.
fn handle_cbor(call: &ApiCall<'_>) -> Reply {
    let operation = call.signed.path.strip_prefix(PATH).unwrap_or_default();
    let input = || if call.body.is_empty() { Ok(Value::Object(Map::new())) } else { cbor::decode(call.body) };
    let mut reply = match answer(call, operation, Protocol::Json10, input) {
        Ok(told) => json_reply(&told, Protocol::Json10, call.request_id),
        Err(error) => failed(&error, call.request_id),
    };
    let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    reply.body = if told.is_null() { Vec::new() } else { cbor::encode(&told, &MOMENTS) };
    reply.headers.retain(|(name, _)| *name != "content-type");
    reply.headers.push(("content-type", "application/cbor".to_owned()));
    reply.headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
    reply
}

/// Answers a call of AWS JSON.
fn handle_json(call: &ApiCall<'_>, operation: &str) -> Reply {
    let input = || match call.body {
        [] => Ok(Value::Object(Map::new())),
        body => landfall_wire::json::read(body)
            .map_err(|error| malformed(format!("the body is not JSON: {error}"), Protocol::Json10)),
    };
    match answer(call, operation, Protocol::Json10, input) {
        Ok(Value::Null) => json_reply(&Value::Object(Map::new()), Protocol::Json10, call.request_id),
        Ok(told) => json_reply(&told, Protocol::Json10, call.request_id),
        Err(error) => failed(&error, call.request_id),
    }
}

/// Answers a call of Query.
pub(super) fn handle_query(call: &ApiCall<'_>, params: &Params, operation: &str) -> Reply {
    match answer(call, operation, QUERY, || Ok(from_form(params))) {
        Ok(told) => Reply {
            status: 200,
            headers: vec![
                ("x-amzn-requestid", call.request_id.to_owned()),
                ("content-type", xml::content_type(false).to_owned()),
            ],
            body: to_xml(operation, &told, call.request_id),
        },
        Err(error) => render(&error, QUERY, call.request_id, call.accept_json),
    }
}

/// An error of the JSON protocols, with the code that Query has for it beside it.
fn failed(error: &AwsError, request_id: &str) -> Reply {
    let mut reply = render(error, Protocol::Json10, request_id, false);
    reply.headers.push(("x-amzn-query-error", format!("{};{}", error.code, error.fault())));
    reply
}

fn answer(
    call: &ApiCall<'_>,
    operation: &str,
    protocol: Protocol,
    input: impl FnOnce() -> Result<Value, AwsError>,
) -> Result<Value, AwsError> {
    let before = call.world.log.last();
    let identified = authn::identify(call.world, &call.signed, SIGNED_AS, protocol, call.connection)
        .map_err(|refused| log_refused(call, SERVICE, operation, refused));
    let answered = identified.and_then(|identified| {
        cloudwatch::handle(call.world, &identified, call.request_id, operation, &input()?, protocol)
    });
    if let Err(error) = &answered {
        let failed = FailedCall { request_id: call.request_id, service: SERVICE, operation };
        call.world.log.add_failure(call.world.clock.now(), before, failed, &error.code, &error.message);
    }
    answered
}

/// Its name in actions, and the one that signatures have for it.
const SERVICE: &str = "cloudwatch";
const SIGNED_AS: &str = "monitoring";

/// Most parts of a parameter's name: those of the deepest member that CloudWatch has are half as many.
const NAME_PARTS_MAX: usize = 24;

/// A form as JSON: `A.member.1.B=x` is the member `B` of the first item of `A`. What is nested deeper than any member
/// of CloudWatch's is left out.
fn from_form(params: &Params) -> Value {
    let members = params.iter().filter(|(name, _)| !matches!(*name, "Action" | "Version"));
    let mut members: Vec<(Vec<&str>, &str)> = members
        .map(|(name, text)| (name.split('.').filter(|part| *part != "member").collect(), text))
        .filter(|(parts, _): &(Vec<&str>, _)| parts.len() <= NAME_PARTS_MAX)
        .collect();
    // Items in the order of their numbers, whatever the order of the form.
    members.sort_by_cached_key(|(parts, _)| {
        parts.iter().map(|part| (part.parse::<usize>().ok(), *part)).collect::<Vec<_>>()
    });
    let mut input = Value::Object(Map::new());
    for (parts, text) in members {
        put(&mut input, &parts, typed(parts.last().copied().unwrap_or_default(), text));
    }
    input
}

/// Puts a value where a name says; what doesn't fit what is there is left out.
fn put(into: &mut Value, parts: &[&str], value: Value) {
    let Some((first, rest)) = parts.split_first() else {
        *into = value;
        return;
    };
    if let Ok(number) = first.parse::<usize>() {
        if into.is_null() {
            *into = Value::Array(Vec::new());
        }
        let Value::Array(items) = into else { return };
        let at = number.saturating_sub(1).min(items.len());
        if at == items.len() {
            items.push(Value::Null);
        }
        items.get_mut(at).into_iter().for_each(|item| put(item, rest, value.clone()));
        return;
    }
    if into.is_null() {
        *into = Value::Object(Map::new());
    }
    if let Value::Object(members) = into {
        put(members.entry(*first).or_insert(Value::Null), rest, value);
    }
}

/// A form has texts alone.
fn typed(name: &str, text: &str) -> Value {
    let number = || -> Option<Number> {
        text.parse::<i64>().ok().map(Number::from).or_else(|| Number::from_f64(text.parse().ok()?))
    };
    match name {
        "DatapointsToAlarm" | "EvaluationInterval" | "EvaluationPeriods" | "MaxRecords" | "Period"
        | "Threshold" => number().map_or_else(|| Value::from(text), Value::Number),
        "ActionsEnabled" | "ReturnData" => Value::from(text == "true"),
        _ => Value::from(text),
    }
}

fn to_xml(operation: &str, told: &Value, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    let response = format!("{operation}Response");
    writer.open(&response, Some(NAMESPACE));
    if !told.is_null() {
        element(&mut writer, &format!("{operation}Result"), told);
    }
    writer.open("ResponseMetadata", None);
    writer.text("RequestId", request_id);
    writer.close("ResponseMetadata");
    writer.close(&response);
    writer.finish()
}

fn element(writer: &mut Writer, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            writer.open(name, None);
            members.iter().for_each(|(name, value)| element(writer, name, value));
            writer.close(name);
        }
        Value::Array(items) => {
            writer.open(name, None);
            items.iter().for_each(|item| element(writer, "member", item));
            writer.close(name);
        }
        Value::String(text) => writer.text(name, text),
        Value::Bool(value) => writer.text(name, if *value { "true" } else { "false" }),
        Value::Number(number) if MOMENTS.contains(&name) => writer.text(name, &moment(number)),
        Value::Number(number) => writer.text(name, &number.to_string()),
    }
}

/// Seconds since 1970 as ISO 8601.
#[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 are far below 2^53")]
fn moment(seconds: &Number) -> String {
    Timestamp((seconds.as_f64().unwrap_or_default() * 1000.0) as i64).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_is_what_it_spells_out() {
        let form = "Action=PutMetricAlarm&Version=2010-08-01&AlarmName=a&Threshold=0.5&EvaluationPeriods=2\
                    &Dimensions.member.1.Name=n&Dimensions.member.1.Value=v&OKActions.member.1=x&OKActions.member.2=y\
                    &ActionsEnabled=false&Metrics.member.1.MetricStat.Metric.Namespace=N";
        let wanted = json!({
            "AlarmName": "a", "Threshold": 0.5, "EvaluationPeriods": 2,
            "Dimensions": [{ "Name": "n", "Value": "v" }], "OKActions": ["x", "y"], "ActionsEnabled": false,
            "Metrics": [{ "MetricStat": { "Metric": { "Namespace": "N" } } }],
        });
        assert_eq!(from_form(&Params::parse(form).unwrap()), wanted);
        // Sorted by letters, as some clients send it.
        let form = "AlarmNames.member.1=a&AlarmNames.member.10=j&AlarmNames.member.2=b&AlarmNames.member.3=c\
                    &Dimensions.member.2.Name=B&Dimensions.member.1.Name=A&Dimensions.member.1.Value=v";
        let wanted = json!({
            "AlarmNames": ["a", "b", "c", "j"], "Dimensions": [{ "Name": "A", "Value": "v" }, { "Name": "B" }],
        });
        assert_eq!(from_form(&Params::parse(form).unwrap()), wanted);
    }

    #[test]
    fn a_name_of_any_depth_is_taken() {
        let form = format!("A{}=x&AlarmName=a", ".1.B".repeat(50_000));
        assert_eq!(from_form(&Params::parse(&form).unwrap()), json!({ "AlarmName": "a" }));
    }

    #[test]
    fn an_answer_is_told_in_xml() {
        let told =
            json!({ "MetricAlarms": [{ "AlarmName": "a", "StateUpdatedTimestamp": 1.5, "Threshold": 1 }] });
        let text = String::from_utf8(to_xml("DescribeAlarms", &told, "r")).unwrap();
        for part in [
            "<DescribeAlarmsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">",
            "<AlarmName>a</AlarmName>",
            "<StateUpdatedTimestamp>1970-01-01T00:00:01",
            "<Threshold>1</Threshold>",
            "<RequestId>r</RequestId>",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
