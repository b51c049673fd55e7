//! Whole calls: the first line says which protocol and what is called, further lines up to an empty one are
//! headers, the rest is the body. All of it is signed by the root user, so that it reaches the operations.
//!
//! Nothing that a client sends may be the server's own fault.

#![no_main]

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Config, Limits, Place, World};
use landfall_types::{AccountId, Secret, SourceMap, Timestamp};
use landfall_wire::hash::sha256_hex;
use landfall_wire::sigv4::{Credentials, Scope, SignedRequest, sign};
use libfuzzer_sys::fuzz_target;

/// 2026-10-01T12:00:00Z.
const NOW: Timestamp = Timestamp(1_790_856_000_000);
/// Calls that one world answers. What they make must not fill the memory.
const CALLS_PER_WORLD: usize = 2_000;
/// By which the server is called.
const HOST: &str = "127.0.0.1:4566";

struct Side {
    world: Arc<World>,
    runtime: tokio::runtime::Runtime,
    _place: tempfile::TempDir,
    /// What the registry is called with.
    login: String,
    calls_left: usize,
}

fn random(buffer: &mut [u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    buffer.iter_mut().zip(number.iter().rev().cycle()).for_each(|(byte, next)| *byte = *next);
}

impl Side {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            agent_addr: None,
            place: Place::Scratch(place.path().to_owned()),
            account: AccountId::parse("123456789012").expect("twelve digits"),
            region: "eu-west-1".to_owned(),
            root_key: RootKey::WellKnown,
            registry: RegistryMode::StrictOci,
            sources: SourceMap::new(),
            discovery: landfall_serve::discovery::Settings::default(),
            read_time: || NOW,
            fill_random: random,
            limits: Limits::default(),
            warn: |_| {},
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = landfall_serve::world(config).expect("a world");
        let mut side = Self { world, runtime, _place: place, login: String::new(), calls_left: CALLS_PER_WORLD };
        let ask = "json AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken\n\n{}";
        let (_, body) = side.answer(ask).expect("a request").expect("an answer");
        let token = body.split('"').skip_while(|word| *word != "authorizationToken").nth(2);
        side.login = format!("Basic {}", token.expect("a token"));
        side
    }

    /// None when the text stands for no request.
    fn answer(&mut self, text: &str) -> Option<Result<(http::StatusCode, String), String>> {
        let request = request(text, &self.login)?;
        let answer = self.runtime.block_on(landfall_serve::answer(&self.world, request));
        let readable = |(status, body): (_, Vec<u8>)| (status, String::from_utf8_lossy(&body).into_owned());
        Some(answer.map(readable).map_err(|error| error.to_string()))
    }
}

thread_local! {
    static SIDE: RefCell<Option<Side>> = const { RefCell::new(None) };
}

fuzz_target!(|text: &str| {
    SIDE.with_borrow_mut(|side| {
        let now = side.get_or_insert_with(Side::new);
        let Some(answer) = now.answer(text) else { return };
        let (status, body) = answer.expect("a whole answer");
        assert!(!status.is_server_error() || status == 501, "{status} {body}");
        now.calls_left -= 1;
        if now.calls_left == 0 {
            *side = None;
        }
    });
});

/// The request that a text stands for, none when HTTP itself would not have it.
fn request(text: &str, login: &str) -> Option<Request<Vec<u8>>> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (headers, body) = rest.split_once("\n\n").unwrap_or(("", rest));
    let mut words = first.splitn(3, ' ');
    let (kind, called) = (words.next()?, words.next()?);
    let mut headers: Vec<(String, String)> = headers
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let own = ["host", "x-amz-date", "authorization", "x-amz-target", "x-amz-content-sha256"];
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    add("host", HOST);
    let (method, path, service) = match kind {
        "query" => {
            add("content-type", "application/x-www-form-urlencoded; charset=utf-8");
            ("POST", "/", called)
        }
        "json" => {
            add("content-type", "application/x-amz-json-1.1");
            add("x-amz-target", called);
            ("POST", "/", service_of(called))
        }
        "registry" => {
            add("authorization", login);
            (called, words.next().unwrap_or("/v2/"), "")
        }
        "rest" => (called, words.next().unwrap_or("/"), "eks"),
        _ => (kind, called, ""),
    };
    if !service.is_empty() {
        add("x-amz-date", &NOW.basic());
        let body_sha256 = sha256_hex(body.as_bytes());
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let shown: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let to_sign = SignedRequest { method, path, query, headers: &shown, body_sha256: &body_sha256 };
        let scope = Scope { date: NOW.basic()[..8].to_owned(), region: "eu-west-1".into(), service: service.into() };
        let secret = Secret::new("test".to_owned());
        let authorization = sign(&to_sign, Credentials { access_key_id: "test", secret: &secret }, &scope, NOW);
        headers.push(("authorization".to_owned(), authorization));
    }
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    request.body(body.as_bytes().to_vec()).ok()
}

fn service_of(target: &str) -> &'static str {
    match target.split('.').next().unwrap_or_default() {
        "AmazonEC2ContainerServiceV20141113" => "ecs",
        "SpencerFrontendService" => "ecr-public",
        "CodeDeploy_20141006" => "codedeploy",
        "Logs_20140328" => "logs",
        _ => "ecr",
    }
}
