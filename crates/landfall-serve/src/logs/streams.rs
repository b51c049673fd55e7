//! Log streams.

use std::sync::Arc;

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::events::{self, Event};
use super::{Called, Fault, Named, exists, invalid, missing, page};
use crate::authz::log_calls as calls;
use crate::store::logs::{LogBatch, LogGroup, LogStream, stream_arn};
use crate::store::records::within;

/// Streams of one answer.
const PAGE_MAX: i64 = 50;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateLogStream" => create(call),
        "DeleteLogStream" => delete(call),
        "DescribeLogStreams" => describe(call),
        _ => return None,
    })
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let name = call.input.required_text("logStreamName")?;
    let resource = stream_arn(&call.place, &named.name, name);
    let permit = call.authorize::<calls::CreateLogStream>(resource, named.keys())?;
    let stream = LogStream {
        place: call.place.clone(),
        group: named.name.clone(),
        name: name.to_owned(),
        created_ms: call.now_ms(),
        batches: 0,
        gone: 0,
        container: None,
    };
    call.write(&permit, |writing| {
        writing.get::<LogGroup>(&call.place.key(&[&named.name])).ok_or_else(|| missing("log group"))?;
        writing.insert(stream).map_err(|_| Fault::from(exists("log stream")))
    })?;
    Ok(json!({}))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let name = call.input.required_text("logStreamName")?;
    let resource = stream_arn(&call.place, &named.name, name);
    let permit = call.authorize::<calls::DeleteLogStream>(resource, named.keys())?;
    named.there()?;
    call.write(&permit, |writing| {
        let key = call.place.key(&[&named.name, name]);
        let known = writing.get::<LogStream>(&key).ok_or_else(|| missing("log stream"))?;
        writing.remove_within::<LogBatch>(&known.within());
        writing.remove::<LogStream>(&key)?;
        Ok(())
    })?;
    Ok(json!({}))
}

/// The streams of a group, by name.
pub(super) fn of_group(call: &Called<'_>, group: &str) -> Vec<Arc<LogStream>> {
    let place = &call.place;
    let prefix = within(&[place.account.as_str(), &place.region, group]);
    let mut streams = call.world.store.list::<LogStream>(&prefix);
    streams.sort_by(|left, right| left.name.cmp(&right.name));
    streams
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_either(call)?;
    call.authorize::<calls::DescribeLogStreams>(named.resource(&call.place), named.keys())?;
    let prefix = call.input.text("logStreamNamePrefix")?;
    let is_by_time = call.input.text("orderBy")? == Some("LastEventTime");
    if is_by_time && prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let group = named.there()?;
    let streams = of_group(call, &named.name).into_iter();
    let meant = streams.filter(|stream| prefix.is_none_or(|prefix| stream.name.starts_with(prefix)));
    let mut found: Vec<(Arc<LogStream>, Vec<Event>)> = meant
        .map(|stream| {
            let events = events::of(call.world, group, &stream);
            (stream, events)
        })
        .collect();
    if is_by_time {
        // One without events comes before all others.
        found.sort_by_key(|(_, events)| events.last().map(|event| event.at_ms));
    }
    if call.input.boolean("descending")? == Some(true) {
        found.reverse();
    }
    Ok(page(call, PAGE_MAX)?.answer(
        "logStreams",
        &found,
        |(stream, _)| stream.name.clone(),
        |(stream, events)| shown(stream, events),
    ))
}

fn shown(stream: &LogStream, events: &[Event]) -> Value {
    let mut told = json!({
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "uploadSequenceToken": events::sequence_token(stream.batches),
        "arn": stream.arn(),
        // AWS has reported nothing else since 2019.
        "storedBytes": 0,
    });
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        told["firstEventTimestamp"] = first.at_ms.into();
        told["lastEventTimestamp"] = last.at_ms.into();
        told["lastIngestionTime"] = events.iter().map(|event| event.ingested_ms).max().into();
    }
    told
}
