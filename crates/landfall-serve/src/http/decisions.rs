//! `GET /_landfall/decisions`: the decision log as lines of JSON, or as a stream of events.
//!
//! It tells the reasons that AWS keeps to itself, so it is for callers on this machine, and for others when
//! they sign with the root key.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use landfall_types::SourceMap;
use landfall_wire::error::Protocol;
use landfall_wire::hash::EMPTY_SHA256;
use landfall_wire::query::Params;
use landfall_wire::sigv4::SignedRequest;

use super::text;
use crate::authn;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::log::{Filter, Read, Reading, json};
use crate::world::World;

/// Lines that are sent at a time, in bytes, more or less.
const PIECE_BYTES: usize = 64 << 10;

/// What can be asked for, told to whoever asks for something else.
const PARAMETERS: &str = "outcome=allowed|refused, caller=PART, action=PART, resource=PART, request_id=ID, after=SEQUENCE, limit=NUMBER, follow";

/// `is_local` says that the caller is on this machine, and no page of the web.
pub(super) fn handle(
    world: &World,
    connection: &Connection,
    is_local: bool,
    request: &Request<Body>,
) -> Response<Body> {
    if !is_local && !is_root(world, connection, request) {
        let message = "decisions are told to callers on this machine, who call 127.0.0.1 or localhost, and to the root user's signed calls\n";
        return text(StatusCode::FORBIDDEN, message);
    }
    let params = Params::parse(request.uri().query().unwrap_or(""));
    // A client of events that was cut off says in this header what it had last.
    let last_event = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let asked = params.map_err(|error| error.message).and_then(|params| Asked::read(&params, last_event));
    let asked = match asked {
        Ok(asked) => asked,
        Err(message) => return text(StatusCode::BAD_REQUEST, &format!("{message}\n")),
    };
    let Some(mut reading) = world.log.read(asked.after, asked.filter, asked.follow) else {
        let message = "too many clients follow the decisions already\n";
        return text(StatusCode::TOO_MANY_REQUESTS, message);
    };
    if let Some(limit) = asked.limit {
        reading.keep_newest(limit);
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let form = match accept {
        Some(accept) if accept.contains("text/event-stream") => Form::Events,
        _ => Form::Lines,
    };
    let stream = Stream { reading, form, sources: world.sources.clone() };
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether a call is signed by the root user, whatever service it was signed for.
fn is_root(world: &World, connection: &Connection, request: &Request<Body>) -> bool {
    let headers: Option<Vec<(&str, &str)>> = request
        .headers()
        .iter()
        .map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)))
        .collect();
    let Some(headers) = headers else { return false };
    let signed = SignedRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or(""),
        headers: &headers,
        body_sha256: EMPTY_SHA256,
    };
    let identified = authn::identify(world, &signed, "landfall", Protocol::STS, connection);
    identified.is_ok_and(|identified| {
        matches!(identified.caller, Caller::Root { account } if account == world.settings.default_account)
    })
}

/// What a client asks for.
#[derive(Debug)]
struct Asked {
    filter: Filter,
    after: u64,
    limit: Option<usize>,
    follow: bool,
}

impl Asked {
    fn read(params: &Params, last_event: Option<&str>) -> Result<Self, String> {
        let text = |name: &str| params.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let parsed = |name: &str, text: &str| {
            text.parse::<u64>().map_err(|_| format!("{name} must be a number, and is `{text}`"))
        };
        let number = |name: &str| text(name).map(|text| parsed(name, &text)).transpose();
        let last_event = last_event.map(|text| parsed("Last-Event-ID", text)).transpose()?;
        for (name, _) in params.iter() {
            const KNOWN: &[&str] =
                &["outcome", "caller", "action", "resource", "request_id", "after", "limit", "follow"];
            if !KNOWN.contains(&name) {
                return Err(format!("there is no parameter `{name}`; there are: {PARAMETERS}"));
            }
        }
        let allowed = match text("outcome").as_deref() {
            None => None,
            Some("allowed") => Some(true),
            Some("refused") => Some(false),
            Some(other) => return Err(format!("outcome must be allowed or refused, and is `{other}`")),
        };
        Ok(Self {
            filter: Filter {
                allowed,
                caller: text("caller"),
                action: text("action"),
                resource: text("resource"),
                request_id: text("request_id"),
            },
            after: last_event.or(number("after")?).unwrap_or(0),
            limit: number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            follow: params.get("follow").is_some_and(|value| !matches!(value, "false" | "0")),
        })
    }
}

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// <https://jsonlines.org/>
    Lines,
    /// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
    Events,
}

impl Form {
    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/jsonl",
            Self::Events => "text/event-stream",
        }
    }

    fn write(self, into: &mut String, read: &Read, sources: &SourceMap) {
        let (id, json) = match read {
            Read::Record(record) => (Some(record.sequence), json::record(record, sources).to_string()),
            Read::Missed(missed) => (None, json::gap(*missed).to_string()),
        };
        match (self, id) {
            (Self::Lines, _) => into.push_str(&format!("{json}\n")),
            (Self::Events, Some(id)) => into.push_str(&format!("id: {id}\ndata: {json}\n\n")),
            (Self::Events, None) => into.push_str(&format!("data: {json}\n\n")),
        }
    }
}

struct Stream {
    reading: Reading,
    form: Form,
    sources: SourceMap,
}

impl futures_core::Stream for Stream {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(first) = ready!(this.reading.poll_next(context)) else { return Poll::Ready(None) };
        let mut piece = String::new();
        this.form.write(&mut piece, &first, &this.sources);
        while piece.len() < PIECE_BYTES
            && let Poll::Ready(Some(next)) = this.reading.poll_next(context)
        {
            this.form.write(&mut piece, &next, &this.sources);
        }
        Poll::Ready(Some(Ok(Bytes::from(piece))))
    }
}
