//! Events: written, read from one stream, and looked for in all of a group.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::error::AwsError;
use landfall_wire::hash::sha256_hex;
use serde_json::{Value, json};

use super::filter::Pattern;
use super::{Called, Fault, Named, bad_token, invalid, missing, streams};
use crate::authz::log_calls as calls;
use crate::store::Writing;
use crate::store::logs::{EVENT_BYTES, LogBatch, LogGroup, LogStream, stream_arn};
use crate::store::records::within;
use crate::world::World;

/// Events of one answer.
const EVENTS_MAX: usize = 10_000;
/// Events of one answer, and of one call, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// What a stream keeps, in bytes: the oldest batches go first.
const STREAM_BYTES_MAX: usize = 16 << 20;
/// How far in the future an event may be, in milliseconds.
const NEW_MS_MAX: i64 = 2 * 3_600_000;
/// How old an event may be, in milliseconds.
const OLD_MS_MAX: i64 = 14 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;

/// An event as it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    /// When, milliseconds since 1970.
    pub(super) at_ms: i64,
    /// When it came in, milliseconds since 1970.
    pub(super) ingested_ms: i64,
    /// What.
    pub(super) text: String,
    /// Its number in the stream.
    number: u64,
}

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "PutLogEvents" => put(call),
        "GetLogEvents" => get(call),
        "FilterLogEvents" => filter(call),
        _ => return None,
    })
}

/// A token of the form that AWS's have; nobody looks at them any more.
pub(super) fn sequence_token(batches: u64) -> String {
    format!("{:056}", u128::from(batches) + 49_600_000_000_000_000_000)
}

/// The events of a stream by their moments: what was written by calls, and what its container has said up to now. Those
/// that the group keeps no longer are left out.
pub(super) fn of(world: &World, group: &LogGroup, stream: &LogStream) -> Vec<Event> {
    let batches = world.store.list::<LogBatch>(&stream.within());
    let written = batches
        .iter()
        .flat_map(|batch| batch.events.iter().map(|(at_ms, text)| (*at_ms, batch.ingested_ms, text.clone())));
    let (first, lines) = match &stream.container {
        Some((task, container)) => world.ecs.kept_log(task, container).unwrap_or_default(),
        None => (0, Vec::new()),
    };
    let said = lines.into_iter().map(|line| (line.at_ms(), line.at_ms(), line.text));
    let from = expired_before(world, group);
    let numbered = (stream.gone + first..).zip(written.chain(said));
    let mut events: Vec<Event> = numbered
        .map(|(number, (at_ms, ingested_ms, text))| Event { at_ms, ingested_ms, text, number })
        .filter(|event| event.at_ms >= from)
        .collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

/// The moment before which the group's events are gone, milliseconds since 1970.
fn expired_before(world: &World, group: &LogGroup) -> i64 {
    let kept = group.retention_days.map(|days| days.saturating_mul(DAY_MS));
    kept.map_or(i64::MIN, |kept| world.clock.now().0.saturating_sub(kept))
}

/// What is kept of a group, in bytes.
pub(super) fn stored_bytes(world: &World, group: &LogGroup) -> usize {
    let place = &group.place;
    let prefix = within(&[place.account.as_str(), &place.region, &group.name]);
    world.store.list::<LogBatch>(&prefix).iter().map(|batch| batch.bytes()).sum()
}

/// Adds events to a stream, which may lose its oldest ones for them.
pub(super) fn add(
    writing: &mut Writing<'_>,
    stream: &mut LogStream,
    now_ms: i64,
    events: Vec<(i64, String)>,
) -> Result<(), crate::store::StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let batch = LogBatch {
        place: stream.place.clone(),
        group: stream.group.clone(),
        stream: stream.name.clone(),
        number: stream.batches,
        ingested_ms: now_ms,
        events,
    };
    let mut all = writing.list::<LogBatch>(&stream.within());
    let mut bytes = all.iter().map(|batch| batch.bytes()).sum::<usize>() + batch.bytes();
    all.reverse();
    while bytes > STREAM_BYTES_MAX
        && let Some(oldest) = all.pop()
    {
        bytes -= oldest.bytes();
        stream.gone += u64::try_from(oldest.events.len()).unwrap_or(0);
        writing.remove::<LogBatch>(&crate::store::Record::key(&*oldest))?;
    }
    stream.batches += 1;
    writing.put(batch);
    Ok(())
}

/// Which events of a call are taken, and what is said of the others: the numbers of the first that is too new, and of
/// those after the last that is too old or expired.
fn accepted(
    events: Vec<(i64, String)>,
    now_ms: i64,
    expired_ms: i64,
) -> (Vec<(i64, String)>, serde_json::Map<String, Value>) {
    let mut rejected = serde_json::Map::new();
    let too_new = events.partition_point(|(at, _)| *at <= now_ms + NEW_MS_MAX);
    let too_old = events.partition_point(|(at, _)| *at < now_ms - OLD_MS_MAX);
    let expired = events.partition_point(|(at, _)| *at < expired_ms);
    if too_new < events.len() {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), too_new.into());
    }
    if too_old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), too_old.into());
    }
    if expired > 0 {
        rejected.insert("expiredLogEventEndIndex".to_owned(), expired.into());
    }
    let from = too_old.max(expired);
    let taken = events.into_iter().take(too_new).skip(from).collect();
    (taken, rejected)
}

fn put(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_name(call)?;
    let name = call.input.required_text("logStreamName")?;
    let permit =
        call.authorize::<calls::PutLogEvents>(stream_arn(&call.place, &named.name, name), named.keys())?;
    let group = named.there()?;
    let event = |event: &landfall_wire::json::Input<'_>| {
        Ok((event.required_integer("timestamp")?, event.required_text("message")?.to_owned()))
    };
    let events: Vec<(i64, String)> =
        call.input.objects("logEvents")?.iter().map(event).collect::<Result<_, AwsError>>()?;
    if !events.is_sorted_by_key(|(at, _)| *at) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let bytes: usize = events.iter().map(|(_, text)| text.len() + EVENT_BYTES).sum();
    if bytes > BYTES_MAX {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BYTES_MAX}")));
    }
    let now = call.now_ms();
    let (taken, rejected) = accepted(events, now, expired_before(call.world, group));
    if let (Some((first, _)), Some((last, _))) = (taken.first(), taken.last())
        && last - first > DAY_MS
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let batches = call.write(&permit, |writing| {
        let key = call.place.key(&[&named.name, name]);
        let known = writing.get::<LogStream>(&key).ok_or_else(|| missing("log stream"))?;
        let mut stream = (*known).clone();
        add(writing, &mut stream, now, taken)?;
        let batches = stream.batches;
        writing.put(stream);
        Ok::<_, Fault>(batches)
    })?;
    let mut told = json!({ "nextSequenceToken": sequence_token(batches) });
    if !rejected.is_empty() {
        told["rejectedLogEventsInfo"] = rejected.into();
    }
    Ok(told)
}

/// How many events of an answer's limits there are from the first of these on.
fn fitting<'e>(events: impl Iterator<Item = &'e Event>, limit: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.text.len() + EVENT_BYTES;
        bytes <= BYTES_MAX
    };
    events.take(limit).take_while(fits).count().max(1)
}

fn limit(call: &Called<'_>) -> Result<usize, AwsError> {
    let limit = call.input.integer("limit")?.and_then(|limit| usize::try_from(limit).ok());
    Ok(limit.unwrap_or(EVENTS_MAX))
}

/// Which way a reader goes, and from where: the number of an event.
enum Token {
    Forward(u64),
    Backward(u64),
}

fn token(text: &str) -> Option<Token> {
    let (direction, at) = text.split_once('/')?;
    let at = at.parse().ok()?;
    match direction {
        "f" => Some(Token::Forward(at)),
        "b" => Some(Token::Backward(at)),
        _ => None,
    }
}

/// A page of a stream: forward from a token or from the head, else the last ones. A token says how many events of the
/// stream come before it, those that are gone included.
fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_either(call)?;
    let name = call.input.required_text("logStreamName")?;
    call.authorize::<calls::GetLogEvents>(stream_arn(&call.place, &named.name, name), named.keys())?;
    let group = named.there()?;
    let stream = call.world.store.get::<LogStream>(&call.place.key(&[&named.name, name]));
    let stream = stream.ok_or_else(|| missing("log stream"))?;
    let all = of(call.world, group, &stream);
    let (after, before) = (call.input.integer("startTime")?, call.input.integer("endTime")?);
    let is_within = |event: &Event| {
        after.is_none_or(|after| event.at_ms >= after) && before.is_none_or(|before| event.at_ms < before)
    };
    let limit = limit(call)?;
    let first = all.first().map_or(stream.gone, |_| all.iter().map(|event| event.number).min().unwrap_or(0));
    let place = |number: u64| usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
    let number = |place: usize| first + u64::try_from(place).unwrap_or(0);
    // Everything from a place on, or up to it, of what is within.
    let wanted: Vec<(usize, &Event)> = all.iter().enumerate().filter(|(_, event)| is_within(event)).collect();
    let at = match call.input.text("nextToken")? {
        Some(text) => token(text).ok_or_else(bad_token)?,
        None if call.input.boolean("startFromHead")? == Some(true) => Token::Forward(0),
        None => Token::Backward(u64::MAX),
    };
    let page: &[(usize, &Event)] = match &at {
        Token::Forward(at) => {
            let from = wanted.partition_point(|(known, _)| *known < place(*at));
            let rest = wanted.get(from..).unwrap_or_default();
            rest.get(..fitting(rest.iter().map(|(_, event)| *event), limit)).unwrap_or(rest)
        }
        Token::Backward(at) => {
            let to = wanted.partition_point(|(known, _)| *known < place(*at));
            let rest = wanted.get(..to).unwrap_or_default();
            let count = fitting(rest.iter().rev().map(|(_, event)| *event), limit);
            rest.get(rest.len().saturating_sub(count)..).unwrap_or(rest)
        }
    };
    // Where there is nothing more, the token is the one that was given.
    let (start, end) = match (page.first(), page.last(), at) {
        (Some((start, _)), Some((end, _)), _) => (number(*start), number(end + 1)),
        (_, _, Token::Forward(at)) => (at, at),
        (_, _, Token::Backward(u64::MAX)) => (number(all.len()), number(all.len())),
        (_, _, Token::Backward(at)) => (at, at),
    };
    let events: Vec<Value> = page
        .iter()
        .map(|(_, event)| {
            json!({ "timestamp": event.at_ms, "message": event.text, "ingestionTime": event.ingested_ms })
        })
        .collect();
    Ok(json!({
        "events": events,
        "nextForwardToken": format!("f/{end:056}"),
        "nextBackwardToken": format!("b/{start:056}"),
    }))
}

/// The streams that a call looks through.
fn meant(call: &Called<'_>, group: &str) -> Result<Vec<Arc<LogStream>>, AwsError> {
    let names = call.input.texts("logStreamNames")?;
    let prefix = call.input.text("logStreamNamePrefix")?;
    if !names.is_empty() && prefix.is_some() {
        return Err(invalid("logStreamNamePrefix and logStreamNames can't be specified at the same time."));
    }
    let known = |name: &&str| {
        let stream = call.world.store.get::<LogStream>(&call.place.key(&[group, name]));
        stream.ok_or_else(|| missing("log stream"))
    };
    if !names.is_empty() {
        return names.iter().map(known).collect();
    }
    let mut streams = streams::of_group(call, group);
    streams.retain(|stream| prefix.is_none_or(|prefix| stream.name.starts_with(prefix)));
    Ok(streams)
}

/// Fifty-six digits that say where an event stands among all of a group: by its moment, its stream and its number.
fn event_id(event: &Event, stream: &str) -> String {
    let hash = u64::from_str_radix(sha256_hex(stream.as_bytes()).get(..16).unwrap_or("0"), 16).unwrap_or(0);
    format!("{:020}{hash:020}{:016}", event.at_ms, event.number)
}

fn filter(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = Named::by_either(call)?;
    call.authorize::<calls::FilterLogEvents>(named.resource(&call.place), named.keys())?;
    let pattern = Pattern::read(call.input.text("filterPattern")?.unwrap_or_default()).map_err(invalid)?;
    let group = named.there()?;
    let (after, before) = (call.input.integer("startTime")?, call.input.integer("endTime")?);
    let mut found: Vec<(String, String, Event)> = Vec::new();
    for stream in meant(call, &named.name)? {
        let is_meant = |event: &Event| {
            after.is_none_or(|after| event.at_ms >= after)
                && before.is_none_or(|before| event.at_ms <= before)
                && pattern.matches(&event.text)
        };
        let events = of(call.world, group, &stream).into_iter().filter(is_meant);
        found.extend(events.map(|event| (event_id(&event, &stream.name), stream.name.clone(), event)));
    }
    found.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    let given = call.input.text("nextToken")?.map(|text| cursor(text).ok_or_else(bad_token)).transpose()?;
    let is_forward = match &given {
        Some((is_forward, _)) => *is_forward,
        None => call.input.boolean("startFromHead")?.unwrap_or(true),
    };
    if !is_forward {
        found.reverse();
    }
    if let Some((_, last)) = &given {
        found.retain(|(id, ..)| if is_forward { id > last } else { id < last });
    }
    let count = fitting(found.iter().map(|(_, _, event)| event), limit(call)?).min(found.len());
    let rest = found.split_off(count);
    let events: Vec<Value> = found
        .iter()
        .map(|(id, stream, event)| {
            json!({
                "logStreamName": stream,
                "timestamp": event.at_ms,
                "message": event.text,
                "ingestionTime": event.ingested_ms,
                "eventId": id,
            })
        })
        .collect();
    let mut told = json!({ "events": events, "searchedLogStreams": [] });
    if let (Some((last, ..)), false) = (found.last(), rest.is_empty()) {
        let direction = if is_forward { 'f' } else { 'b' };
        told["nextToken"] = URL_SAFE_NO_PAD.encode(format!("{direction}{last}")).into();
    }
    Ok(told)
}

/// Which way a search goes on, and after which event.
fn cursor(text: &str) -> Option<(bool, String)> {
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let (direction, last) = decoded.split_at_checked(1)?;
    let is_id = last.len() == 56 && last.bytes().all(|byte| byte.is_ascii_digit());
    (is_id && matches!(direction, "f" | "b")).then(|| (direction == "f", last.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_too_new_is_told_and_the_rest_is_taken() {
        let now = 100 * DAY_MS;
        let at = |days: i64| (now + days * DAY_MS, format!("{days}"));
        let (taken, rejected) = accepted(vec![at(-20), at(-8), at(-1), at(0), at(1)], now, now - 7 * DAY_MS);
        let texts: Vec<&str> = taken.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["-1", "0"]);
        let told = json!({ "tooNewLogEventStartIndex": 4, "tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2 });
        assert_eq!(Value::Object(rejected), told);
        assert!(accepted(vec![at(0)], now, i64::MIN).1.is_empty());
    }

    #[test]
    fn no_token_but_ours_is_one() {
        for text in ["", "f", "f/", "f/x", "n/1", "1", "f/99999999999999999999999"] {
            assert!(token(text).is_none(), "{text}");
        }
        assert!(matches!(token(&format!("f/{:056}", 7)), Some(Token::Forward(7))));
        let mine = format!("b{:056}", 7);
        assert_eq!(cursor(&URL_SAFE_NO_PAD.encode(&mine)), Some((false, format!("{:056}", 7))));
        for text in ["", "x", "f1", &format!("n{:056}", 7)] {
            assert_eq!(cursor(&URL_SAFE_NO_PAD.encode(text)), None);
        }
    }
}
