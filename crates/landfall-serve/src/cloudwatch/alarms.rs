//! Metric alarms.

use std::sync::Arc;

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::{Called, Fault, missing, no_alarm, seconds};
use crate::authz::cloudwatch_calls as calls;
use crate::authz::{self, Permit};
use crate::ecs::alarm_goes_off;
use crate::store::cloudwatch::{Alarm, arn};

/// Members that make an alarm and come back with it, besides its name.
const WRITTEN: [&str; 25] = [
    "ActionConfiguration",
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationCriteria",
    "EvaluationInterval",
    "EvaluationPeriods",
    "EvaluationWindow",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Threshold",
    "ThresholdMetricId",
    "TreatMissingData",
    "Unit",
    "WarmUpConfiguration",
    "ActionsEnabled",
];
/// What an alarm has a list of, empty where nothing is said.
const LISTS: [&str; 4] = ["AlarmActions", "Dimensions", "InsufficientDataActions", "OKActions"];
/// The states.
const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];
/// Alarms of one answer, and what it has where nothing is said.
const RECORDS: (i64, i64) = (100, 50);
/// Names of one call.
const NAMES_MAX: usize = 100;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 255;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "PutMetricAlarm" => put(call),
        "DescribeAlarms" => describe(call),
        "SetAlarmState" => set_state(call),
        "DeleteAlarms" => delete(call),
        "EnableAlarmActions" => switch::<calls::EnableAlarmActions>(call, true),
        "DisableAlarmActions" => switch::<calls::DisableAlarmActions>(call, false),
        _ => return None,
    })
}

fn named(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let name = call.input.required_text("AlarmName")?;
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        let constraint = format!("Member must have length between 1 and {NAME_CHARS_MAX}");
        return Err(missing("AlarmName", &constraint));
    }
    Ok((name.to_owned(), arn(&call.place, name)))
}

fn put(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    let tags = super::tags::given(call)?;
    let mut keys = super::tags::keys(&tags);
    let actions: Vec<String> = call.input.texts("AlarmActions")?.into_iter().map(str::to_owned).collect();
    if !actions.is_empty() {
        keys.push(("cloudwatch:AlarmActions".to_owned(), actions));
    }
    let permit: Permit<calls::PutMetricAlarm> = call.authorize(arn.clone(), keys)?;
    if !tags.is_empty() {
        call.authorize::<calls::TagResource>(arn, super::tags::keys(&tags))?;
    }
    check(call)?;
    let mut body = Map::new();
    for member in WRITTEN {
        body.extend(call.members.get(member).map(|value| (member.to_owned(), value.clone())));
    }
    LISTS.iter().for_each(|list| {
        body.entry(*list).or_insert_with(|| json!([]));
    });
    let is_active = body.remove("ActionsEnabled") != Some(Value::Bool(false));
    let now = call.now_ms();
    call.write(&permit, |writing| {
        let known = writing.get::<Alarm>(&call.place.key(&[&name]));
        // One that is there keeps its state and its tags.
        writing.put(match known {
            Some(known) => Alarm { body, is_active, configured_ms: now, ..(*known).clone() },
            None => Alarm {
                place: call.place.clone(),
                name,
                body,
                is_active,
                state: "INSUFFICIENT_DATA".to_owned(),
                reason: "Unchecked: Initial alarm creation".to_owned(),
                reason_data: None,
                tags,
                configured_ms: now,
                updated_ms: now,
                transitioned_ms: now,
            },
        });
        Ok(())
    })?;
    Ok(Value::Null)
}

/// What makes an alarm: how it compares, and what.
fn check(call: &Called<'_>) -> Result<(), AwsError> {
    let has = |name: &str| call.members.contains_key(name);
    if has("EvaluationCriteria") {
        return Ok(());
    }
    call.input.required_text("ComparisonOperator")?;
    if call.input.required_integer("EvaluationPeriods")? < 1 {
        return Err(missing("EvaluationPeriods", "Member must have value greater than or equal to 1"));
    }
    if has("Metrics") == has("MetricName") {
        let message = "Exactly one element of the metrics list should return data, or MetricName be given";
        return Err(AwsError::validation(message));
    }
    Ok(())
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let names = call.input.texts("AlarmNames")?;
    decide::<calls::DescribeAlarms>(call, &names)?;
    let types = call.input.texts("AlarmTypes")?;
    let (prefix, state) = (call.input.text("AlarmNamePrefix")?, call.input.text("StateValue")?);
    let action = call.input.text("ActionPrefix")?;
    let is_meant = |alarm: &Arc<Alarm>| {
        (names.is_empty() || names.contains(&alarm.name.as_str()))
            && prefix.is_none_or(|prefix| alarm.name.starts_with(prefix))
            && state.is_none_or(|state| alarm.state == state)
            && action.is_none_or(|prefix| alarm.has_action(prefix))
    };
    let is_asked = types.is_empty() || types.contains(&"MetricAlarm");
    let all = call.world.store.list::<Alarm>(&call.place.all());
    let mut found: Vec<Arc<Alarm>> = all.into_iter().filter(is_meant).filter(|_| is_asked).collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    let after = call.input.text("NextToken")?;
    let mut rest = found.into_iter().filter(|alarm| after.is_none_or(|after| alarm.name.as_str() > after));
    let count = call.input.integer("MaxRecords")?.unwrap_or(RECORDS.1).clamp(1, RECORDS.0);
    let page: Vec<Arc<Alarm>> = rest.by_ref().take(usize::try_from(count).unwrap_or(1)).collect();
    let mut told = json!({
        "MetricAlarms": page.iter().map(|alarm| shown(alarm)).collect::<Vec<_>>(),
        "CompositeAlarms": [],
    });
    if let (Some(last), true) = (page.last(), rest.next().is_some()) {
        told["NextToken"] = Value::from(last.name.as_str());
    }
    Ok(told)
}

fn shown(alarm: &Alarm) -> Value {
    let mut told = alarm.body.clone();
    let mut add = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    add("AlarmName", Value::from(alarm.name.as_str()));
    add("AlarmArn", Value::from(alarm.arn()));
    add("ActionsEnabled", Value::from(alarm.is_active));
    add("StateValue", Value::from(alarm.state.as_str()));
    add("StateReason", Value::from(alarm.reason.as_str()));
    if let Some(data) = &alarm.reason_data {
        add("StateReasonData", Value::from(data.as_str()));
    }
    add("AlarmConfigurationUpdatedTimestamp", seconds(alarm.configured_ms));
    add("StateUpdatedTimestamp", seconds(alarm.updated_ms));
    add("StateTransitionedTimestamp", seconds(alarm.transitioned_ms));
    Value::Object(told)
}

/// Decides a call on each alarm that it names, or on all.
fn decide<C: authz::Call>(call: &Called<'_>, names: &[&str]) -> Result<Permit<C>, AwsError> {
    if names.len() > NAMES_MAX {
        return Err(missing(
            "AlarmNames",
            &format!("Member must have length less than or equal to {NAMES_MAX}"),
        ));
    }
    let (first, rest) = match names {
        [first, rest @ ..] => (*first, rest),
        [] => ("*", names),
    };
    let permit = call.authorize::<C>(arn(&call.place, first), Vec::new())?;
    for name in rest {
        call.authorize::<C>(arn(&call.place, name), Vec::new())?;
    }
    Ok(permit)
}

/// A deployment that watches the alarm fails when it goes off.
fn set_state(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, arn) = named(call)?;
    let permit: Permit<calls::SetAlarmState> = call.authorize(arn, Vec::new())?;
    let (state, reason) = (call.input.required_text("StateValue")?, call.input.required_text("StateReason")?);
    if !STATES.contains(&state) {
        let constraint = format!("Member must satisfy enum value set: [{}]", STATES.join(", "));
        return Err(missing("StateValue", &constraint));
    }
    let data = call.input.text("StateReasonData")?.map(str::to_owned);
    let now = call.now_ms();
    call.write(&permit, |writing| {
        let known = writing.get::<Alarm>(&call.place.key(&[&name]));
        let known = known.ok_or_else(|| Fault::from(no_alarm(&name)))?;
        let is_other = known.state != state;
        writing.put(Alarm {
            state: state.to_owned(),
            reason: reason.to_owned(),
            reason_data: data,
            updated_ms: now,
            transitioned_ms: if is_other { now } else { known.transitioned_ms },
            ..(*known).clone()
        });
        if state == "ALARM" && is_other {
            alarm_goes_off(call.world, writing, &call.place, &name);
        }
        Ok(())
    })?;
    Ok(Value::Null)
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let names = call.input.texts("AlarmNames")?;
    let permit = decide::<calls::DeleteAlarms>(call, &names)?;
    call.write(&permit, |writing| {
        // With one that isn't there none is deleted.
        for name in &names {
            if writing.get::<Alarm>(&call.place.key(&[name])).is_none() {
                return Err(Fault::from(no_alarm(name)));
            }
        }
        for name in &names {
            writing.remove::<Alarm>(&call.place.key(&[name]))?;
        }
        Ok(())
    })?;
    Ok(Value::Null)
}

/// Actions on or off; those of alarms that aren't there are nobody's.
fn switch<C: authz::Call>(call: &Called<'_>, is_active: bool) -> Result<Value, AwsError> {
    let names = call.input.texts("AlarmNames")?;
    let permit = decide::<C>(call, &names)?;
    call.write(&permit, |writing| {
        for name in &names {
            if let Some(known) = writing.get::<Alarm>(&call.place.key(&[name])) {
                writing.put(Alarm { is_active, ..(*known).clone() });
            }
        }
        Ok(())
    })?;
    Ok(Value::Null)
}
