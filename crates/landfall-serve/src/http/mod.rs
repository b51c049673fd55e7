//! The edge: bytes of HTTP become a call, and a call's answer becomes bytes. The only folder that
//! knows axum.
//!
//! One port serves everything. What a request is for follows from its path (`/v2/` is the registry,
//! `/_landfall/` is ours), its host (an issuer's, a registry's), its `X-Amz-Target`, or the query
//! `Action`.

mod cloudwatch;
mod decisions;
mod ecr_json;
mod ecs_json;
mod eks_rest;
mod elsewhere;
mod guard;
mod iam_query;
pub(crate) mod listener;
mod patience;
mod query;
mod sts_query;
mod turns;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use landfall_wire::error::{AwsError, Protocol, Reply, render};
use landfall_wire::hash::sha256_hex;
use landfall_wire::oci::{RangeRequest, parse_range};
use landfall_wire::sigv4::SignedRequest;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::authn;
use crate::connection::Connection;
use crate::door::Passed;
use crate::ecs::runner::agent::{self as ecs_agent, Asker};
use crate::log::FailedCall;
use crate::world::{LARGE_CALLS_MAX, RootKey, World};
use crate::{control, ecr, eks, registry};

/// Largest body of a signed API call, in bytes.
const API_BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of an unsigned one, in bytes: an exchange with the longest token and session policy, every
/// character of them percent-encoded.
const UNSIGNED_BODY_BYTES_MAX: usize = 128 << 10;

/// How long a call with a large body waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(60);
/// How long a large body may take beside the time for its bytes.
const LARGE_BODY_TIME: Duration = Duration::from_secs(30);
/// How fast a large body has to come at least.
const LARGE_BODY_BYTES_PER_SECOND: u64 = 256 << 10;

/// Answers one request.
pub async fn handle(
    world: Arc<World>,
    peer: IpAddr,
    request: Request<Body>,
    door: Option<&Passed>,
) -> Response<Body> {
    let request_id = world.request_id();
    if let Some(door) = door {
        door.note(&request_id);
    }
    if let Err(stopped) = check_page(&world, &request) {
        return stop(&world, &request, stopped, &request_id);
    }
    let connection = Connection::new(peer, text_header(&request, &header::USER_AGENT))
        .called(text_header(&request, &header::HOST));
    let path = request.uri().path().to_owned();
    let is_public_address = request.extensions().get::<registry::AtPublicAddress>().is_some();
    let face = match connection.called.as_deref().is_some_and(registry::is_public_host) || is_public_address {
        true => ecr::Face::Public,
        false => ecr::Face::Private,
    };
    let is_token =
        face == ecr::Face::Public && path.trim_end_matches('/') == registry::TOKEN_PATH.trim_end_matches('/');
    if path == "/v2" || path.starts_with("/v2/") || is_token {
        return registry::handle(&world, request, &connection, &request_id, face).await;
    }
    if is_public_address {
        return text(StatusCode::NOT_FOUND, "here is ECR Public's registry: /v2/ and /token/\n");
    }
    if let Some(rest) = path.strip_prefix("/_landfall/") {
        return ours(&world, &connection, rest, request, &request_id).await;
    }
    if path == eks::agent::PATH {
        return agent(&world, &request, &request_id);
    }
    if let Some(response) = issuer(&world, &request) {
        return response;
    }
    aws(&world, request, connection, &request_id).await
}

/// Answers one request of a client on this machine without a connection. For questions by the thousand, such as
/// those of a fuzzer.
///
/// # Errors
/// When the answer's body breaks off.
pub async fn answer(
    world: &Arc<World>,
    request: Request<Vec<u8>>,
) -> Result<Response<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    let peer = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let response = handle(Arc::clone(world), peer, request.map(Body::from), None).await;
    let (parts, body) = response.into_parts();
    let body = read_body(body, usize::MAX).await.ok_or("the body of an answer breaks off")?;
    Ok(Response::from_parts(parts, body))
}

fn text_header<'r>(request: &'r Request<Body>, name: &header::HeaderName) -> Option<&'r str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn check_page(world: &World, request: &Request<Body>) -> Result<(), guard::Stopped> {
    let known_to_all = matches!(world.settings.root_key, RootKey::WellKnown);
    let host = text_header(request, &header::HOST).or_else(|| request.uri().host());
    guard::check(text_header(request, &header::ORIGIN), host, known_to_all)
}

/// Refuses a web page.
fn stop(world: &World, request: &Request<Body>, stopped: guard::Stopped, request_id: &str) -> Response<Body> {
    let operation = format!("{} {}", request.method(), request.uri().path());
    let failed = FailedCall { request_id, service: "landfall", operation: &operation };
    world.log.add_failure(world.clock.now(), world.log.last(), failed, "Forbidden", stopped.message());
    text(StatusCode::FORBIDDEN, &format!("{}\n", stopped.message()))
}

/// An API call, read whole.
pub(crate) struct ApiCall<'a> {
    pub(crate) world: &'a Arc<World>,
    pub(crate) request_id: &'a str,
    pub(crate) signed: SignedRequest<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) accept_json: bool,
    pub(crate) connection: &'a Connection,
}

impl ApiCall<'_> {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header_of(self.signed.headers, name)
    }
}

fn header_of<'a>(headers: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

async fn aws(
    world: &Arc<World>,
    request: Request<Body>,
    connection: Connection,
    request_id: &str,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let before = world.log.last();
    let refuse = |error: &AwsError| {
        let is_json = parts.headers.contains_key("x-amz-target");
        let protocol = if is_json { Protocol::Json11 } else { Protocol::STS };
        let failed = FailedCall { request_id, service: "aws", operation: "unreadable call" };
        world.log.add_failure(world.clock.now(), before, failed, &error.code, &error.message);
        reply(render(error, protocol, request_id, false))
    };
    let headers: Option<Vec<(&str, &str)>> = parts
        .headers
        .iter()
        .map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)))
        .collect();
    let Some(headers) = headers else {
        return refuse(&AwsError::new("InvalidRequest", 400, "a header holds bytes that are not text"));
    };
    let is_signed = parts.headers.contains_key(header::AUTHORIZATION)
        || parts.uri.query().is_some_and(|query| query.contains("X-Amz-Signature="));
    let unread = SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &headers,
        body_sha256: "",
    };
    let limit = if is_signed {
        signed_body_bytes_max(world, &unread, &connection, &body)
    } else {
        UNSIGNED_BODY_BYTES_MAX
    };
    // The turn is held until the answer is there.
    let (read, _turn) = match read_in_turn(world, body, limit).await {
        Ok(read) => read,
        Err(error) => return refuse(&error),
    };
    let Some(body) = read else { return refuse(&not_read(limit, is_signed)) };
    let is_eks = eks_rest::is_path(parts.uri.path());
    // Only a signature covers it, and one stands in a header or in the query.
    let may_be_signed = is_signed || parts.uri.query().is_some();
    let body_sha256 = if may_be_signed { sha256_hex(&body) } else { String::new() };
    let accept_json = header_of(&headers, "accept").is_some_and(|accept| accept.contains("application/json"));
    let call = ApiCall {
        world,
        request_id,
        signed: SignedRequest { body_sha256: &body_sha256, ..unread },
        body: &body,
        accept_json,
        connection: &connection,
    };
    if !is_eks && !matches!(parts.method, Method::POST | Method::GET) {
        if let Some(refused) = elsewhere::handle(&call, None) {
            return reply(refused);
        }
        let message = format!("no AWS service here answers {}: POST and GET are expected", parts.method);
        return refuse(&AwsError::new("InvalidRequest", 405, message));
    }
    reply(dispatch(&call, is_eks).await)
}

/// The largest body of a call that says it is signed, in bytes. Only the body shows whether it is: memory for a large one
/// is for those whose key there is.
fn signed_body_bytes_max(
    world: &World,
    unread: &SignedRequest<'_>,
    connection: &Connection,
    body: &Body,
) -> usize {
    if is_larger(body, UNSIGNED_BODY_BYTES_MAX) && !authn::names_a_key(world, unread, connection) {
        return UNSIGNED_BODY_BYTES_MAX;
    }
    unread.header("x-amz-target").and_then(ecr_json::body_bytes_max).unwrap_or(API_BODY_BYTES_MAX)
}

/// Whether a body is, or may be, longer than so many bytes.
fn is_larger(body: &Body, bytes: usize) -> bool {
    body.size_hint().upper().is_none_or(|most| most > bytes as u64)
}

/// Reads a body of at most `bytes_max` into one piece of memory, without having it there twice on the way; none when it
/// is longer or ends early.
async fn read_body(mut body: Body, bytes_max: usize) -> Option<Vec<u8>> {
    let said = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
    if said > bytes_max {
        return None;
    }
    let mut read = Vec::with_capacity(said);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.ok()?.into_data() else { continue };
        if piece.len() > bytes_max - read.len() {
            return None;
        }
        read.extend_from_slice(&piece);
    }
    Some(read)
}

/// Reads a body, a large one when it is its turn, which nobody has whose key isn't known. Whether the key is the caller's
/// own shows only at the end of the body: nobody keeps others waiting by sending it slowly.
async fn read_in_turn(
    world: &World,
    body: Body,
    limit: usize,
) -> Result<(Option<Vec<u8>>, Option<SemaphorePermit<'_>>), AwsError> {
    if limit <= API_BODY_BYTES_MAX || !is_larger(&body, API_BODY_BYTES_MAX) {
        return Ok((read_body(body, limit).await, None));
    }
    let turn = turn(&world.large_calls, TURN_WAIT).await?;
    let read = read_within(large_body_time(&body, limit), body, limit).await?;
    Ok((read, Some(turn)))
}

/// How long a large body may take, in which others wait for their turn.
fn large_body_time(body: &Body, bytes_max: usize) -> Duration {
    let bytes = body.size_hint().upper().map_or(bytes_max as u64, |most| most.min(bytes_max as u64));
    LARGE_BODY_TIME + Duration::from_secs(bytes / LARGE_BODY_BYTES_PER_SECOND)
}

/// Waits for leave to have a large body in memory. The SDKs try again when none came.
async fn turn(turns: &Semaphore, wait: Duration) -> Result<SemaphorePermit<'_>, AwsError> {
    let turn = tokio::time::timeout(wait, turns.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        let seconds = wait.as_secs();
        let message = format!(
            "{LARGE_CALLS_MAX} calls with a large body are under way, and there was no turn within {seconds} s: try again"
        );
        AwsError::new("ServiceUnavailable", 503, message)
    })
}

/// Reads a large body, unless it takes too long.
async fn read_within(time: Duration, body: Body, bytes_max: usize) -> Result<Option<Vec<u8>>, AwsError> {
    let read = tokio::time::timeout(time, read_body(body, bytes_max)).await;
    read.map_err(|_| {
        let message = format!("the body came too slowly: it was not there within {} s", time.as_secs());
        AwsError::new("RequestTimeout", 408, message)
    })
}

/// What is said of a body that was not read to its end.
fn not_read(limit: usize, is_signed: bool) -> AwsError {
    let whose = if is_signed && limit == UNSIGNED_BODY_BYTES_MAX {
        ", the most of a caller whose key isn't known here"
    } else {
        ""
    };
    let message = format!("the body is larger than {limit} bytes{whose}, or ended early");
    AwsError::new("RequestEntityTooLarge", 413, message)
}

/// Hands a call to the service that it is for.
async fn dispatch(call: &ApiCall<'_>, is_eks: bool) -> Reply {
    match call.header("x-amz-target") {
        _ if is_eks => eks_rest::handle(call),
        target if cloudwatch::is_meant(call, target) => cloudwatch::handle(call, target),
        Some(target) if target.starts_with(ecs_json::CODEDEPLOY) => ecs_json::handle_codedeploy(call, target),
        Some(target) if target.starts_with(ecs_json::LOGS) => ecs_json::handle_logs(call, target),
        Some(target) if target.starts_with(ecs_json::PREFIX) => ecs_json::handle(call, target),
        Some(target) => ecr_json::handle(call, target).await,
        None => query::handle(call).await,
    }
}

/// The issuers by their own host names, for clients whose name resolution leads here.
fn issuer(world: &World, request: &Request<Body>) -> Option<Response<Body>> {
    let path = request.uri().path();
    if request.method() != Method::GET || path.len() < 2 {
        return None;
    }
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    issuer_document(world, &format!("{host}{path}"))
}

fn issuer_document(world: &World, host_and_path: &str) -> Option<Response<Body>> {
    Some(match world.issuers.document(host_and_path)? {
        Ok(document) => json(StatusCode::OK, &document),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    })
}

/// What is not AWS.
async fn ours(
    world: &Arc<World>,
    connection: &Connection,
    path: &str,
    request: Request<Body>,
    request_id: &str,
) -> Response<Body> {
    let method = request.method().clone();
    // These doors ask for no credentials of who is on this machine. A page that a browser of it shows is not: with a
    // name that changes its address (DNS rebinding) it comes from loopback, too, but by that name.
    let is_local =
        connection.is_loopback() && connection.called.as_deref().is_none_or(guard::is_out_of_reach);
    if let Some(rest) = path.strip_prefix("issuer/") {
        return issuer_document(world, rest)
            .unwrap_or_else(|| text(StatusCode::NOT_FOUND, "that issuer is not played here\n"));
    }
    if let Some(task) = path.strip_prefix("task/")
        && is_local
    {
        let shown = text_header(&request, &header::AUTHORIZATION).map(str::to_owned);
        return agent_answer(ecs_agent::answer(world, Asker::Machine(shown.as_deref()), task).await);
    }
    if let Some(rest) = path.strip_prefix("logs/")
        && is_local
    {
        return container_log(world, rest);
    }
    if let Some(host) = path.strip_prefix("registry/")
        && is_local
    {
        return match world.registries.at_home(host) {
            Some(address) => text(StatusCode::OK, &format!("{address}\n")),
            None => text(StatusCode::NOT_FOUND, "that registry has no address of its own here\n"),
        };
    }
    if let Some(job) = path.strip_prefix("id-token/") {
        return id_token(world, job, &request, request_id);
    }
    if let Some(token) = path.strip_prefix("layers/")
        && matches!(method, Method::GET | Method::HEAD)
    {
        return layer(world, token, &request);
    }
    match (method, path) {
        (Method::POST, "lifecycle") if is_local => lifecycle(world),
        (Method::GET, "pod") if is_local => pod(world, &request),
        (Method::GET, "health") => json(StatusCode::OK, &serde_json::json!({ "status": "ok" })),
        (Method::GET, "decisions") => decisions::handle(world, connection, is_local, &request),
        (Method::POST, "gc") if is_local => collect(world).await,
        (Method::POST, "token") if is_local => mint(world, request).await,
        (Method::POST, "token") => {
            text(StatusCode::FORBIDDEN, "tokens are minted for callers on this machine only\n")
        }
        _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
    }
}

/// The Pod Identity agent, at a port of its own.
pub(crate) fn handle_agent(world: &World, request: &Request<Body>) -> Response<Body> {
    match request.uri().path() {
        eks::agent::PATH => agent(world, request, &world.request_id()),
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// The Pod Identity agent's one page. Methods don't matter to it.
fn agent(world: &World, request: &Request<Body>, request_id: &str) -> Response<Body> {
    let host = text_header(request, &header::HOST);
    let shown = text_header(request, &header::AUTHORIZATION);
    let answer = eks::agent::credentials(world, request_id, host, shown);
    let mut response = text(status_code(answer.status), &answer.body);
    if answer.is_json {
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// `GET /_landfall/pod?cluster=C&namespace=N&service-account=S`: what EKS knows when such a pod is made.
fn pod(world: &World, request: &Request<Body>) -> Response<Body> {
    let refuse =
        |status: u16, message: &str| json(status_code(status), &serde_json::json!({ "message": message }));
    let Ok(params) = landfall_wire::query::Params::parse(request.uri().query().unwrap_or("")) else {
        return refuse(400, "the query string can't be read");
    };
    let asked = |cluster, namespace, service_account| eks::pods::Asked {
        cluster,
        namespace,
        service_account,
        account: params.get("account"),
        region: params.get("region"),
    };
    let asked = match (params.get("cluster"), params.get("namespace"), params.get("service-account")) {
        (Some(cluster), Some(namespace), Some(account)) => asked(cluster, namespace, account),
        _ => return refuse(400, "cluster, namespace and service-account are expected"),
    };
    match eks::pods::describe(world, &asked) {
        Ok(body) => json(StatusCode::OK, &body),
        Err((status, message)) => refuse(status, &message),
    }
}

/// The layer that a download link opens, whole or the part that is asked for.
fn layer(world: &World, token: &str, request: &Request<Body>) -> Response<Body> {
    let blob = match ecr::open_layer_link(world, token) {
        ecr::LayerLink::Open(blob) => blob,
        ecr::LayerLink::Ended => {
            return text(StatusCode::FORBIDDEN, "this link has ended: ask for another\n");
        }
        ecr::LayerLink::Gone => return text(StatusCode::NOT_FOUND, "the layer is not there any more\n"),
        ecr::LayerLink::Invalid => return text(StatusCode::FORBIDDEN, "this link was not made here\n"),
    };
    let size = blob.size();
    let range =
        text_header(request, &header::RANGE).map_or(RangeRequest::Whole, |text| parse_range(text, size));
    let (status, first, end) = match range {
        RangeRequest::Whole => (StatusCode::OK, 0, size),
        RangeRequest::Part(part) => (StatusCode::PARTIAL_CONTENT, part.first, part.last + 1),
        RangeRequest::Unsatisfiable | RangeRequest::Backwards => {
            return text(StatusCode::RANGE_NOT_SATISFIABLE, &format!("the layer has {size} bytes\n"));
        }
    };
    let body = match *request.method() {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(blob.read(&world.blobs.flow, first..end)),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, end - first);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = end.saturating_sub(1);
        response = response.header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
    }
    response.body(body).unwrap_or_default()
}

/// Carries out all lifecycle policies now, and says what went.
fn lifecycle(world: &World) -> Response<Body> {
    let swept: Vec<serde_json::Value> = ecr::sweep(world, true)
        .iter()
        .map(|swept| {
            serde_json::json!({
                "registryId": swept.registry.account.as_str(),
                "region": swept.registry.region,
                "repositoryName": swept.name.as_str(),
                "imageDigest": swept.digest.as_str(),
                "rulePriority": swept.priority,
                "action": swept.action,
            })
        })
        .collect();
    json(StatusCode::OK, &serde_json::json!({ "images": swept }))
}

/// `POST /_landfall/gc`: removes what nobody needs, and says how much it was.
async fn collect(world: &Arc<World>) -> Response<Body> {
    let world = Arc::clone(world);
    let collected = tokio::task::spawn_blocking(move || crate::collect::collect(&world)).await;
    match collected
        .map_err(|error| error.to_string())
        .and_then(|done| done.map_err(|error| error.to_string()))
    {
        Ok(collected) => json(StatusCode::OK, &serde_json::json!(collected)),
        Err(message) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{message}\n")),
    }
}

/// What a task's containers may have of this server, at the port in their own network: their agent, AWS's APIs and ECR's
/// registry. The connection comes from loopback, but not from this machine's: who is at it is a container.
pub(crate) async fn handle_task(
    world: Arc<World>,
    task: &str,
    address: IpAddr,
    request: Request<Body>,
) -> Response<Body> {
    let request_id = world.request_id();
    if let Err(stopped) = check_page(&world, &request) {
        return stop(&world, &request, stopped, &request_id);
    }
    let connection = Connection::new(address, text_header(&request, &header::USER_AGENT)).by(ecs_agent::BASE);
    let path = request.uri().path().to_owned();
    if ecs_agent::is_path(&path) {
        return agent_answer(ecs_agent::answer(&world, Asker::Task(task), &path).await);
    }
    if path == "/v2" || path.starts_with("/v2/") {
        return registry::handle(&world, request, &connection, &request_id, ecr::Face::Private).await;
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.strip_prefix("/_landfall/") {
        Some(rest) => match rest.strip_prefix("layers/").filter(|_| is_read) {
            Some(token) => layer(&world, token, &request),
            None => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        },
        None => aws(&world, request, connection, &request_id).await,
    }
}

fn agent_answer(answer: Result<serde_json::Value, ecs_agent::Refused>) -> Response<Body> {
    match answer {
        Ok(body) => json(StatusCode::OK, &body),
        Err((status, body)) => json(status_code(status), &body),
    }
}

/// The last lines of a container: `TASK/CONTAINER`.
fn container_log(world: &World, path: &str) -> Response<Body> {
    let (task, name) = path.split_once('/').unwrap_or((path, ""));
    match world.ecs.log(task, name) {
        Some(lines) => {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| serde_json::json!({ "timestamp": line.at_ms(), "message": line.text }))
                .collect();
            json(StatusCode::OK, &serde_json::json!({ "events": lines }))
        }
        None => text(StatusCode::NOT_FOUND, "no log of that container is kept here\n"),
    }
}

fn id_token(world: &World, job: &str, request: &Request<Body>, request_id: &str) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let params = landfall_wire::query::Params::parse(request.uri().query().unwrap_or(""));
    let audience = params.ok().and_then(|params| params.get("audience").map(str::to_owned));
    match control::id_token(world, job, authorization, audience.as_deref()) {
        Ok(body) => json(StatusCode::OK, &body),
        Err((status, message)) => {
            let failed = FailedCall { request_id, service: "landfall", operation: "ID token" };
            let code = status.to_string();
            world.log.add_failure(world.clock.now(), world.log.last(), failed, &code, &message);
            json(status_code(status), &serde_json::json!({ "message": message }))
        }
    }
}

async fn mint(world: &World, request: Request<Body>) -> Response<Body> {
    // A web page can send a form to a local port, but not JSON without asking first. Pages are stopped by
    // what they say of themselves; this holds for one that says nothing.
    let is_json =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if !is_json {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json is expected\n");
    }
    let Ok(body) = to_bytes(request.into_body(), 64 * 1024).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "at most 65536 bytes are expected\n");
    };
    let parsed: Result<MintRequest, _> = serde_json::from_slice(&body);
    let result =
        parsed.map_err(|error| (400, format!("not a request for a token: {error}"))).and_then(|asked| {
            let claims = landfall_wire::jwt::claims_from_json(&asked.claims)
                .ok_or((400, "the claims are not an object".to_owned()))?;
            let signer =
                if asked.stranger { crate::issuer::Signer::Stranger } else { crate::issuer::Signer::Issuer };
            let issuer = claims.text("iss").unwrap_or_default().to_owned();
            control::mint(world, &issuer, &claims, signer)
        });
    match result {
        Ok(token) => json(StatusCode::OK, &serde_json::json!({ "value": token })),
        Err((status, message)) => json(status_code(status), &serde_json::json!({ "message": message })),
    }
}

/// The body of `POST /_landfall/token`.
#[derive(serde::Deserialize)]
struct MintRequest {
    claims: serde_json::Value,
    #[serde(default)]
    stranger: bool,
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A reply of the wire as a response.
pub(crate) fn reply(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = status_code(reply.status);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Never;

    impl futures_core::Stream for Never {
        type Item = std::io::Result<bytes::Bytes>;

        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test]
    async fn nobody_waits_without_end_for_a_large_body() {
        let slow = read_within(Duration::ZERO, Body::from_stream(Never), 9).await.unwrap_err();
        assert_eq!((&*slow.code, slow.status), ("RequestTimeout", 408));
        let turns = Semaphore::new(1);
        let _taken = turn(&turns, Duration::ZERO).await.unwrap();
        let busy = turn(&turns, Duration::ZERO).await.unwrap_err();
        assert_eq!((&*busy.code, busy.status), ("ServiceUnavailable", 503));
        assert_eq!(large_body_time(&Body::from(vec![0; 512 << 10]), 20 << 20), Duration::from_secs(32));
        assert_eq!(large_body_time(&Body::from_stream(Never), 20 << 20), Duration::from_secs(110));
    }
}
