//! The cases in `cases/registry*.http` are conversations with the registry. Each begins in a fresh world
//! with the mutable repository `team/api`, the immutable `team/locked` and the callers of [`CALLERS`].
//!
//! `###` begins a case. `>` is a request: first `METHOD PATH [as CALLER]`, then headers, then `= BODY`.
//! `<` is what is expected: the status, headers (`!name`: absent), `= BODY`, `log RULE` or `log RULE | HELP` (the finding
//! of the newest record, or `allowed`). `@ NAME = TEXT` names a text, `! advance SECONDS` moves the clock,
//! `! registry-deny ACTION` has the registry's policy deny it, `! deny ACTION` makes a new repository `team/guarded`
//! whose policy denies the action, `! deny public ACTION` a `guarded` of ECR Public, `! api OPERATION INPUT` is a call
//! of the root user, `! role NAME SERVICE ACTION,ACTION` makes a role that trusts a service, `! hours N` lets so many hours pass in each of which the collector works. `as NAME@REGION` is a
//! login for that region, or for `public.ecr.aws`; `as bearer NAME` is
//! the same login as a bearer token.
//!
//! `${NAME}` is a named text, `${sha256:TEXT}`, `${sha512:TEXT}` and `${length:TEXT}` are of a text or of
//! a named one (`@NAME`), `${upload}` is the path of the last upload that an answer pointed to, and `${token}` the last
//! token that one held.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use landfall_policy::PolicyKind;
use landfall_types::Digest;
use landfall_wire::hash::{Algorithm, Hasher};

mod malformed;

use super::*;
use crate::authn::Identified;
use crate::log::Verdict;
use crate::store::leases::LEASE_MS;
use crate::store::{Document, RegistrySettings};
use crate::testing::{self, TestWorld};

const CALLERS: &[(&str, &[&str])] = &[
    (
        "pusher",
        &[
            "ecr:GetAuthorizationToken",
            "ecr:BatchCheckLayerAvailability",
            "ecr:InitiateLayerUpload",
            "ecr:UploadLayerPart",
            "ecr:CompleteLayerUpload",
            "ecr:PutImage",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
            "ecr:ListImages",
            "ecr-public:GetAuthorizationToken",
            "sts:GetServiceBearerToken",
        ],
    ),
    (
        "publisher",
        &[
            "ecr:GetAuthorizationToken",
            "ecr-public:GetAuthorizationToken",
            "sts:GetServiceBearerToken",
            "ecr-public:InitiateLayerUpload",
            "ecr-public:UploadLayerPart",
            "ecr-public:CompleteLayerUpload",
            "ecr-public:PutImage",
        ],
    ),
    ("puller", &["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]),
    ("starter", &["ecr:GetAuthorizationToken", "ecr:InitiateLayerUpload", "ecr:CompleteLayerUpload"]),
];

const CASES: &[(&str, RegistryMode, &str)] = &[
    ("registry-login", RegistryMode::Ecr, include_str!("../../cases/registry-login.http")),
    ("registry-push", RegistryMode::Ecr, include_str!("../../cases/registry-push.http")),
    ("registry-pull", RegistryMode::Ecr, include_str!("../../cases/registry-pull.http")),
    ("registry-uploads", RegistryMode::Ecr, include_str!("../../cases/registry-uploads.http")),
    ("registry-lists", RegistryMode::Ecr, include_str!("../../cases/registry-lists.http")),
    ("registry-public", RegistryMode::Ecr, include_str!("../../cases/registry-public.http")),
    ("registry-strict", RegistryMode::StrictOci, include_str!("../../cases/registry-strict.http")),
];

#[tokio::test]
async fn conversations_go_as_the_cases_say() {
    let mut count = 0;
    for (file, mode, text) in CASES {
        for case in text.split("\n### ").skip(1) {
            let (title, lines) = case.split_once('\n').unwrap();
            Conversation::new(format!("{file}: {title}"), *mode).run(lines).await;
            count += 1;
        }
    }
    assert!(count > 55, "{count} cases");
}

/// Answers a request by the registry that its `Host` names.
async fn handle(
    world: &Arc<World>,
    request: Request<Body>,
    connection: &Connection,
    request_id: &str,
) -> Response<Body> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let face = if is_public_host(host) { Face::Public } else { Face::Private };
    super::handle(world, request, connection, request_id, face).await
}

struct Conversation {
    title: String,
    world: TestWorld,
    callers: HashMap<&'static str, Caller>,
    logins: HashMap<String, String>,
    texts: HashMap<String, String>,
    hour: i64,
}

/// One request and what is expected of its answer.
#[derive(Default)]
struct Exchange<'a> {
    request: Vec<&'a str>,
    expected: Vec<&'a str>,
}

impl Conversation {
    fn new(title: String, mode: RegistryMode) -> Self {
        let test = testing::world_with(mode);
        testing::repository(&test.world, "team/api", false, None);
        testing::repository(&test.world, "team/locked", true, None);
        testing::public_repository(&test.world, "tool", None);
        let mut callers: HashMap<_, _> = CALLERS
            .iter()
            .map(|(name, actions)| (*name, testing::session(&test.world, name, actions)))
            .collect();
        callers.insert("root", testing::root());
        Self { title, world: test, callers, logins: HashMap::new(), texts: HashMap::new(), hour: 0 }
    }

    async fn run(&mut self, lines: &str) {
        let mut exchange = Exchange::default();
        for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{}: `{line}`", self.title));
            if kind != "<" && !exchange.expected.is_empty() {
                self.exchange(&std::mem::take(&mut exchange)).await;
            }
            match kind {
                ">" => exchange.request.push(rest),
                "<" => exchange.expected.push(rest),
                "@" => {
                    let (name, text) = rest.split_once(" = ").unwrap();
                    let text = self.fill(text);
                    self.texts.insert(name.to_owned(), text);
                }
                "!" => self.act(&self.fill(rest)),
                _ => panic!("{}: `{line}`", self.title),
            }
        }
        self.exchange(&exchange).await;
    }

    fn act(&mut self, order: &str) {
        let world = &self.world.world;
        match order.split_once(' ').unwrap() {
            ("advance", seconds) => world.clock.advance(seconds.parse().unwrap()),
            ("registry-deny", action) => {
                let text = format!(
                    r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"{action}","Resource":"*"}}]}}"#
                );
                let (policy, _) = landfall_policy::parse::document(
                    world.sources.add("registry policy", text.as_str()),
                    &text,
                    PolicyKind::Resource,
                );
                let policy = Document::known(text, PolicyKind::Resource, policy);
                let set = |settings: &mut RegistrySettings| settings.policy = Some(policy);
                world.store.change_registry_settings(&testing::registry(), set).unwrap();
            }
            ("api", call) => {
                let (operation, input) = call.split_once(' ').unwrap();
                let identified = Identified {
                    caller: testing::root(),
                    region: testing::REGION.to_owned(),
                    connection: testing::connection(),
                };
                testing::ecr(world, &identified, operation, serde_json::from_str(input).unwrap()).unwrap();
            }
            ("hours", count) => {
                for _ in 0..count.parse().unwrap() {
                    self.hour += 1;
                    let now = landfall_types::Timestamp(self.hour * LEASE_MS);
                    crate::collect::collect_at(world, now).unwrap();
                }
            }
            ("role", order) => {
                let [name, service, actions] = order.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let actions: Vec<&str> = actions.split(',').collect();
                let trust = serde_json::json!({ "Version": "2012-10-17", "Statement": [
                    { "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" },
                ] });
                let allow = serde_json::json!({ "Version": "2012-10-17", "Statement": [
                    { "Effect": "Allow", "Action": actions, "Resource": "*" },
                ] });
                testing::role(world, name, &trust.to_string(), &allow.to_string());
            }
            ("deny", action) => {
                let (is_public, action) = match action.strip_prefix("public ") {
                    Some(action) => (true, action),
                    None => (false, action),
                };
                let text = format!(
                    r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"{action}"}}]}}"#
                );
                let policy = testing::document(world, &text, PolicyKind::Resource);
                if is_public {
                    testing::public_repository(world, "guarded", Some(policy));
                } else {
                    testing::repository(world, "team/guarded", false, Some(policy));
                }
            }
            _ => panic!("{}: `{order}`", self.title),
        }
    }

    async fn exchange(&mut self, exchange: &Exchange<'_>) {
        let (first, rest) = exchange.request.split_first().unwrap();
        let place = format!("{}: {first}", self.title);
        let request = self.request(first, rest);
        let world = Arc::clone(&self.world.world);
        let response = handle(&world, request, &testing::connection(), "test-request").await;
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("docker-distribution-api-version").as_deref(), Some("registry/2.0"), "{place}");
        if let Some(location) = header("location").filter(|location| location.contains("/uploads/")) {
            let (_, path) = location.split_once("/v2/").unwrap();
            self.texts.insert("upload".to_owned(), format!("/v2/{path}"));
        }
        if let Some(token) = body.strip_prefix(r#"{"token":""#) {
            self.texts.insert("token".to_owned(), token.trim_end_matches("\"}").to_owned());
        }
        for expected in &exchange.expected {
            let expected = self.fill(expected);
            let met = if let Some(text) = expected.strip_prefix("= ") {
                body == text.replace("\\n", "\n")
            } else if let Some(name) = expected.strip_prefix('!') {
                header(name).is_none()
            } else if let Some(told) = expected.strip_prefix("log ") {
                let (rule, help) = told.split_once(" | ").unwrap_or((told, ""));
                newest(&world) == rule && newest_help(&world).contains(help)
            } else if let Some((name, value)) = expected.split_once(": ") {
                header(name).as_deref() == Some(value)
            } else {
                parts.status.as_str() == expected
            };
            let (log, help) = (newest(&world), newest_help(&world));
            let found = format!("{} {:?}\n{body}\nlog: {log} | {help}", parts.status, parts.headers);
            assert!(met, "{place}\nexpected: {expected}\nfound: {found}");
        }
    }

    fn request(&mut self, first: &str, rest: &[&str]) -> Request<Body> {
        let (first, caller) =
            first.split_once(" as ").map_or((first, None), |(first, caller)| (first, Some(caller)));
        let (method, path) = first.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(self.fill(path));
        let mut body = String::new();
        let mut host = "127.0.0.1:4566".to_owned();
        if let Some(caller) = caller {
            let authorization = match caller.strip_prefix("bearer ") {
                Some(caller) => self.login(caller).replace("Basic", "Bearer"),
                None => self.login(caller),
            };
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for line in rest {
            let line = self.fill(line);
            if let Some(text) = line.strip_prefix("= ") {
                body = text.to_owned();
            } else {
                let (name, value) = line.split_once(": ").unwrap();
                match name {
                    "Host" => host = value.to_owned(),
                    name => request = request.header(name, value),
                }
            }
        }
        request.header(header::HOST, host).body(Body::from(body)).unwrap()
    }

    /// A caller logs in once, when it first calls.
    fn login(&mut self, caller: &str) -> String {
        let (world, callers) = (&self.world.world, &self.callers);
        let login = || {
            let (name, region) = caller.split_once('@').unwrap_or((caller, testing::REGION));
            testing::registry_authorization(world, &callers[name], region)
        };
        self.logins.entry(caller.to_owned()).or_insert_with(login).clone()
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').unwrap();
            filled.push_str(before);
            filled.push_str(&self.text(name));
            rest = after;
        }
        filled + rest
    }

    fn text(&self, name: &str) -> String {
        let named = |name: &str| {
            self.texts.get(name).unwrap_or_else(|| panic!("{}: no `{name}`", self.title)).clone()
        };
        let Some((function, argument)) = name.split_once(':') else { return named(name) };
        let argument = argument.strip_prefix('@').map_or_else(|| argument.to_owned(), named);
        match function {
            "sha256" => digest(Algorithm::Sha256, &argument).to_string(),
            "sha512" => digest(Algorithm::Sha512, &argument).to_string(),
            "length" => argument.len().to_string(),
            _ => panic!("{}: no function `{function}`", self.title),
        }
    }
}

fn digest(algorithm: Algorithm, text: &str) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(text.as_bytes());
    hasher.finish()
}

fn newest(world: &World) -> String {
    let records = world.log.after(0);
    let Some(record) = records.last() else { return "empty".to_owned() };
    match (&record.verdict, &record.finding) {
        (Verdict::Allowed, _) => "allowed".to_owned(),
        (Verdict::Refused { .. }, Some(finding)) => finding.rule.to_owned(),
        (Verdict::Refused { .. }, None) => "refused without a finding".to_owned(),
    }
}

fn newest_help(world: &World) -> String {
    let newest = world.log.after(0).pop();
    newest.and_then(|record| Some(record.finding.as_ref()?.help.join("; "))).unwrap_or_default()
}

/// A body of so many pieces that counts which of them were read.
struct Pieces {
    left: usize,
    piece: bytes::Bytes,
    read: Arc<AtomicUsize>,
}

impl futures_core::Stream for Pieces {
    type Item = std::io::Result<bytes::Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        self.read.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(self.piece.clone())))
    }
}

/// Most clients look for an answer only after they have sent everything, and see a connection that ends before as
/// broken.
#[tokio::test]
async fn a_refused_body_is_read_to_its_end_also_when_a_part_of_it_was_read() {
    let mut conversation = Conversation::new("large bodies".to_owned(), RegistryMode::Ecr);
    conversation.run("> POST /v2/team/api/blobs/uploads/ as root\n< 202").await;
    let upload = conversation.text("upload");
    let digest = digest(Algorithm::Sha256, "other");
    let single = format!("/v2/team/api/blobs/uploads/?digest={digest}");
    let last = format!("{upload}?digest={digest}");
    let range = [("content-range", "0-9")];
    let expecting = [("content-range", "0-9"), ("expect", "100-continue")];
    for (method, path, headers, status) in [
        ("PUT", "/v2/team/api/manifests/v1", &[][..], 413),
        ("POST", &single, &range, 400),
        ("PATCH", &upload, &range, 400),
        ("PUT", &last, &[("content-range", "10-19")], 400),
        ("PATCH", &upload, &[("content-range", "20-29"), ("expect", "100-continue")], 400),
        ("PUT", &last, &expecting, 416),
    ] {
        let read = Arc::<AtomicUsize>::default();
        let pieces = Pieces { left: 100, piece: vec![b'x'; 64 << 10].into(), read: Arc::clone(&read) };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header(header::AUTHORIZATION, conversation.login("root"));
        let request = request.body(Body::from_stream(pieces)).unwrap();
        let world = &conversation.world.world;
        let response = handle(world, request, &testing::connection(), "test-request").await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        // Who asked for leave to send is refused before it has sent anything.
        let expected = if status == 416 { 0 } else { 100 };
        assert_eq!(read.load(Ordering::Relaxed), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn two_requests_at_once_on_one_upload_never_mix() {
    let test = testing::world();
    let world = &test.world;
    testing::repository(world, "team/api", false, None);
    let login = testing::registry_authorization(world, &testing::root(), testing::REGION);
    let request = |method: &str, path: &str, body: Body| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:4566")
            .header(header::AUTHORIZATION, &login)
            .body(body)
            .unwrap()
    };
    let begun = handle(
        world,
        request("POST", "/v2/team/api/blobs/uploads/", Body::empty()),
        &testing::connection(),
        "1",
    )
    .await;
    let location = begun.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let path = location.strip_prefix("http://127.0.0.1:4566").unwrap().to_owned();

    // The first request's body stays open until the second one has been refused.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let slow = {
        let (world, request) =
            (Arc::clone(world), request("PATCH", &path, Body::from_stream(Channel(receiver))));
        tokio::spawn(async move { handle(&world, request, &testing::connection(), "2").await.status() })
    };
    sender.send(Ok(bytes::Bytes::from_static(b"hello"))).await.unwrap();
    // Once the second piece has been taken from the channel, the upload is in the first request's hands.
    sender.send(Ok(bytes::Bytes::from_static(b", "))).await.unwrap();
    sender.send(Ok(bytes::Bytes::from_static(b"world"))).await.unwrap();
    let refused =
        handle(world, request("PATCH", &path, Body::from("intruder")), &testing::connection(), "3").await;
    assert_eq!(refused.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    drop(sender);
    assert_eq!(slow.await.unwrap(), StatusCode::ACCEPTED);

    let digest = digest(Algorithm::Sha256, "hello, world");
    let finished = handle(
        world,
        request("PUT", &format!("{path}?digest={digest}"), Body::empty()),
        &testing::connection(),
        "4",
    )
    .await;
    assert_eq!(finished.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn an_upload_outlives_the_request_that_was_broken_off() {
    let test = testing::world();
    let world = &test.world;
    testing::repository(world, "team/api", false, None);
    let login = testing::registry_authorization(world, &testing::root(), testing::REGION);
    let request = |method: &str, path: &str, body: Body| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:4566")
            .header(header::AUTHORIZATION, &login)
            .body(body)
            .unwrap()
    };
    let begun = handle(
        world,
        request("POST", "/v2/team/api/blobs/uploads/", Body::empty()),
        &testing::connection(),
        "1",
    )
    .await;
    let location = begun.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let path = location.strip_prefix("http://127.0.0.1:4566").unwrap().to_owned();
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let broken = {
        let (world, request) =
            (Arc::clone(world), request("PATCH", &path, Body::from_stream(Channel(receiver))));
        tokio::spawn(async move { handle(&world, request, &testing::connection(), "2").await.status() })
    };
    for piece in ["hel", "l", "o"] {
        sender.send(Ok(bytes::Bytes::from_static(piece.as_bytes()))).await.unwrap();
    }
    // The server drops the request's future when the connection is gone; the body breaks off then.
    broken.abort();
    assert!(broken.await.unwrap_err().is_cancelled());
    sender.send(Err(std::io::Error::other("gone"))).await.unwrap();
    sender.closed().await;

    let digest = digest(Algorithm::Sha256, "hello");
    let finish = format!("{path}?digest={digest}");
    let mut status = StatusCode::RANGE_NOT_SATISFIABLE;
    for _ in 0..10_000 {
        status =
            handle(world, request("PUT", &finish, Body::empty()), &testing::connection(), "3").await.status();
        if status != StatusCode::RANGE_NOT_SATISFIABLE {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(status, StatusCode::CREATED);
}

/// A body that is fed from a test.
struct Channel(tokio::sync::mpsc::Receiver<Result<bytes::Bytes, std::io::Error>>);

impl futures_core::Stream for Channel {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

#[test]
fn paths_are_read_from_their_end() {
    for line in include_str!("../../cases/registry-paths.txt").lines().filter(|line| !line.starts_with('#')) {
        let (path, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("`{line}`"));
        let found = match Route::parse(path) {
            Route::Base => "base".to_owned(),
            Route::Catalog => "catalog".to_owned(),
            Route::Token => "token".to_owned(),
            Route::Elsewhere => "elsewhere".to_owned(),
            Route::In { name, place } => format!("{name} {place:?}"),
        };
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn an_ecr_host_name_gives_account_and_region() {
    for line in include_str!("../../cases/registry-hosts.txt").lines().filter(|line| !line.starts_with('#')) {
        let (host, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("`{line}`"));
        let found = access::registry_of_host(host);
        let found = found.map_or("none".to_owned(), |id| format!("{} {}", id.account, id.region));
        assert_eq!(found, expected, "{host}");
    }
}
