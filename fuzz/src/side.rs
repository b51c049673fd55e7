//! A whole local AWS side without a connection, and calls to it written as text: the first line says which protocol
//! and what is called, further lines up to an empty one are headers, the rest is the body. All of it is signed by the
//! root user, so that it reaches the operations.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use http::{Request, Response};
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Config, Limits, Place, StartError, World};
use landfall_types::{AccountId, Secret, SourceMap, Timestamp};
use landfall_wire::hash::sha256_hex;
use landfall_wire::sigv4::{Credentials, Scope, SignedRequest, sign};

/// 2026-10-01T12:00:00Z.
const START_MS: i64 = 1_790_856_000_000;
/// By which the server is called.
const HOST: &str = "127.0.0.1:4566";
/// The most seconds that `tick` lets pass.
const TICK_SECONDS_MAX: i64 = 30 * 86_400;

/// The time, and the next random number. Inputs are run one after the other, each from the same start.
static NOW_MS: AtomicI64 = AtomicI64::new(START_MS);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A server's world.
pub struct Side {
    world: Arc<World>,
    runtime: tokio::runtime::Runtime,
    /// What the registry is called with; none before it is asked for.
    login: Option<String>,
    /// What answers have said so far, by member: `${uploadId}` in a later call stands for it.
    said: BTreeMap<String, String>,
}

fn random(buffer: &mut [u8]) {
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    buffer.iter_mut().zip(number.iter().rev().cycle()).for_each(|(byte, next)| *byte = *next);
}

fn now() -> Timestamp {
    Timestamp(NOW_MS.load(Ordering::Relaxed))
}

/// A folder that goes away, in memory where there is some.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// Where a server keeps what it is given.
pub enum Kept<'p> {
    /// Records in memory, blobs in this folder.
    Scratch(&'p Path),
    /// All of it in this folder, which may hold something already.
    Data(&'p Path),
}

impl Side {
    /// A world at the start of time.
    ///
    /// # Errors
    /// What the server says of a folder that it can't use.
    pub fn new(kept: &Kept<'_>, registry: RegistryMode) -> Result<Self, StartError> {
        NOW_MS.store(START_MS, Ordering::Relaxed);
        NEXT.store(1, Ordering::Relaxed);
        let config = Config {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            agent_addr: None,
            public_addr: None,
            place: match kept {
                Kept::Scratch(path) => Place::Scratch((*path).to_owned()),
                Kept::Data(path) => Place::Data((*path).to_owned()),
            },
            account: AccountId::parse("123456789012").expect("twelve digits"),
            region: "eu-west-1".to_owned(),
            root_key: RootKey::WellKnown,
            registry,
            sources: SourceMap::new(),
            discovery: landfall_serve::discovery::Settings::default(),
            read_time: now,
            time_lapse: 1,
            fill_random: random,
            limits: Limits::default(),
            warn: |_| {},
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = landfall_serve::world(config)?;
        Ok(Self { world, runtime, login: None, said: BTreeMap::new() })
    }

    /// The answer to a call; none when the text stands for no request. `tick SECONDS` lets time pass, and services
    /// and tasks do what is due by then.
    pub fn call(&mut self, text: &str) -> Option<Response<Vec<u8>>> {
        if let Some(seconds) = text.strip_prefix("tick ") {
            let seconds: i64 = seconds.trim().parse().ok()?;
            NOW_MS.fetch_add(seconds.clamp(0, TICK_SECONDS_MAX) * 1_000, Ordering::Relaxed);
            let _ = landfall_serve::ecs::runner::tick(&self.world);
            return None;
        }
        if text.starts_with("registry ") && self.login.is_none() {
            let ask = "json AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken\n\n{}";
            let answer = self.answer(request(ask, "")?);
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            let token = body.split('"').skip_while(|word| *word != "authorizationToken").nth(2);
            self.login = Some(format!("Basic {}", token.unwrap_or_default()));
        }
        let filled = self.filled(text);
        let request = request(&filled, self.login.as_deref().unwrap_or_default())?;
        let answer = self.answer(request);
        self.hear(&answer);
        Some(answer)
    }

    fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        self.runtime.block_on(landfall_serve::answer(&self.world, request)).expect("a whole answer")
    }

    fn filled(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.said {
            let place = format!("${{{name}}}");
            if filled.contains(&place) {
                filled = filled.replace(&place, value);
            }
        }
        filled
    }

    fn hear(&mut self, answer: &Response<Vec<u8>>) {
        for name in ["location", "docker-upload-uuid"] {
            if let Some(value) = answer.headers().get(name).and_then(|value| value.to_str().ok()) {
                self.said.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Ok(document) = serde_json::from_slice(answer.body()) {
            self.hear_members(&document);
        }
    }

    fn hear_members(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    if let Some(text) = value.as_str() {
                        self.said.insert(name.clone(), text.to_owned());
                    }
                    self.hear_members(value);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.hear_members(item)),
            _ => {}
        }
    }
}

/// The request that a text stands for, none when HTTP itself would not have it.
fn request(text: &str, login: &str) -> Option<Request<Vec<u8>>> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (headers, body) = match rest.strip_prefix('\n') {
        Some(body) => ("", body),
        None => rest.split_once("\n\n").unwrap_or(("", rest)),
    };
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
        "pod" => (called, words.next().unwrap_or("/"), "eks-auth"),
        _ => (kind, called, ""),
    };
    if !service.is_empty() {
        sign_with_root(&mut headers, method, path, service, body);
    }
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    request.body(body.as_bytes().to_vec()).ok()
}

fn sign_with_root(headers: &mut Vec<(String, String)>, method: &str, path: &str, service: &str, body: &str) {
    let region = if service == "ecr-public" { "us-east-1" } else { "eu-west-1" };
    let date = now().basic();
    headers.push(("x-amz-date".to_owned(), date.clone()));
    let body_sha256 = sha256_hex(body.as_bytes());
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let shown: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let to_sign = SignedRequest { method, path, query, headers: &shown, body_sha256: &body_sha256 };
    let day = date.get(..8).unwrap_or_default().to_owned();
    let scope = Scope { date: day, region: region.into(), service: service.into() };
    let secret = Secret::new("test".to_owned());
    let root = Credentials { access_key_id: "test", secret: &secret };
    let authorization = sign(&to_sign, root, &scope, now());
    headers.push(("authorization".to_owned(), authorization));
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
