//! Load figures of a running server: calls a second and how long they take, over kept connections.
//!
//! ```text
//! landfall serve --addr 127.0.0.1:4570 [--data DIR] --format json >/dev/null &
//! cargo run --release -p landfall-serve --example load -- 127.0.0.1:4570
//! ```
//!
//! For each call and 1, 8 and 64 clients a line: calls a second, the middle and the slowest hundredth of the
//! times to an answer. Makes its own provider, roles and repositories; the answer to every call is checked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for those who develop this"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use landfall_types::{Secret, Timestamp};
use landfall_wire::hash::sha256_hex;
use landfall_wire::sigv4::{self, Credentials, Scope, SignedRequest};

/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(4);
/// Clients at a time.
const CLIENTS: [usize; 3] = [1, 8, 64];

const FORM: &str = "application/x-www-form-urlencoded";
const GITHUB: &str = "token.actions.githubusercontent.com";

#[expect(clippy::disallowed_methods, reason = "a program of its own, whose edge this is")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

/// Makes a client's next call, from the client's number and the call's.
type MakeCall<'a> = dyn Fn(usize, usize) -> Call + Sync + 'a;

/// A call before it is signed.
struct Call {
    service: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    is_signed: bool,
}

impl Call {
    fn query(service: &'static str, form: String) -> Self {
        Self { service, headers: vec![("content-type", FORM.to_owned())], body: form, is_signed: true }
    }

    fn ecr(operation: &str, input: &str) -> Self {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("AmazonEC2ContainerRegistry_V20150921.{operation}")),
        ];
        Self { service: "ecr", headers, body: input.to_owned(), is_signed: true }
    }

    /// The request's bytes, signed for this moment.
    fn bytes(&self) -> Vec<u8> {
        let at = now();
        let date = at.basic();
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend([("host", "127.0.0.1"), ("x-amz-date", date.as_str())]);
        let mut head = "POST / HTTP/1.1\r\n".to_owned();
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.is_signed {
            let signed = SignedRequest {
                method: "POST",
                path: "/",
                query: "",
                headers: &headers,
                body_sha256: &sha256_hex(self.body.as_bytes()),
            };
            let scope = Scope {
                date: date[..8].to_owned(),
                region: "us-east-1".to_owned(),
                service: self.service.to_owned(),
            };
            let secret = Secret::new("test".to_owned());
            let credentials = Credentials { access_key_id: "test", secret: &secret };
            let authorization = sigv4::sign(&signed, credentials, &scope, at);
            head.push_str(&format!("authorization: {authorization}\r\n"));
        }
        format!("{head}content-length: {}\r\n\r\n{}", self.body.len(), self.body).into_bytes()
    }
}

/// A kept connection.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request and reads its answer: status and body.
    fn send(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.get_mut().write_all(request).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    fn expect(&mut self, call: &Call) -> String {
        let (status, body) = self.send(&call.bytes());
        assert!(status == 200 || body.contains("AlreadyExists"), "{status}: {body}");
        body
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn iam(form: &str) -> Call {
    Call::query("iam", format!("{form}&Version=2010-05-08"))
}

/// What the calls are about; gives an ID token.
fn set_up(addr: SocketAddr) -> String {
    let mut client = Client::new(addr);
    let provider = format!("https://{GITHUB}");
    client.expect(&iam(&format!(
        "Action=CreateOpenIDConnectProvider&ClientIDList.member.1=sts.amazonaws.com&Url={}",
        encoded(&provider)
    )));
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{GITHUB}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {format!("{GITHUB}:aud"): "sts.amazonaws.com"},
            "StringLike": {format!("{GITHUB}:sub"): "repo:acme/api:*"},
        },
    }]})
    .to_string();
    for number in 0..CLIENTS[2] {
        client.expect(&iam(&format!(
            "Action=CreateRole&RoleName=load-{number}&AssumeRolePolicyDocument={}",
            encoded(&trust)
        )));
    }
    for number in 0..20 {
        client.expect(&Call::ecr("CreateRepository", &format!("{{\"repositoryName\":\"load-{number}\"}}")));
    }
    let seconds = now().seconds();
    let claims = serde_json::json!({"claims": {
        "iss": provider, "aud": "sts.amazonaws.com", "sub": "repo:acme/api:ref:refs/heads/main",
        "iat": seconds, "nbf": seconds, "exp": seconds + 3600,
    }})
    .to_string();
    let request = format!(
        "POST /_landfall/token HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{claims}",
        claims.len()
    );
    let (status, body) = client.send(request.as_bytes());
    assert_eq!(status, 200, "{body}");
    let minted: serde_json::Value = serde_json::from_str(&body).unwrap();
    minted["value"].as_str().unwrap().to_owned()
}

/// Times to an answer of all calls that so many clients got done.
fn measure(addr: SocketAddr, clients: usize, make: &(impl Fn(usize, usize) -> Call + Sync)) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let one = |number: usize| {
            let is_over = &is_over;
            move || {
                let mut client = Client::new(addr);
                let mut times = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let request = make(number, times.len()).bytes();
                    let began = Instant::now();
                    let (status, body) = client.send(&request);
                    assert_eq!(status, 200, "{body}");
                    times.push(began.elapsed());
                }
                times
            }
        };
        let running: Vec<_> = (0..clients).map(|number| scope.spawn(one(number))).collect();
        std::thread::park_timeout(MEASURED);
        is_over.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn main() {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4566".to_owned());
    let addr: SocketAddr = addr.parse().expect("HOST:PORT of a running server is expected");
    let token = set_up(addr);
    let exchange = |_, _| Call {
        is_signed: false,
        ..Call::query(
            "sts",
            format!(
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=load&RoleArn={}&WebIdentityToken={token}",
                encoded("arn:aws:iam::123456789012:role/load-0")
            ),
        )
    };
    let who = |_, _| Call::query("sts", "Action=GetCallerIdentity&Version=2011-06-15".to_owned());
    let describe = |_, _| Call::ecr("DescribeRepositories", "{}");
    let put = |client: usize, number: usize| {
        let policy = format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"ecr:*\",\"Resource\":\"arn:aws:ecr:*:*:repository/{number}\"}}]}}"
        );
        iam(&format!(
            "Action=PutRolePolicy&RoleName=load-{client}&PolicyName=load&PolicyDocument={}",
            encoded(&policy)
        ))
    };
    println!("{:<28}{:>8}{:>12}{:>12}{:>12}", "call", "clients", "calls/s", "p50 ms", "p99 ms");
    let all: [(&str, &MakeCall<'_>); 4] = [
        ("AssumeRoleWithWebIdentity", &exchange),
        ("GetCallerIdentity", &who),
        ("DescribeRepositories (20)", &describe),
        ("PutRolePolicy", &put),
    ];
    for (name, make) in all {
        for clients in CLIENTS {
            let mut times = measure(addr, clients, &make);
            times.sort_unstable();
            let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
            let rate = times.len() as f64 / MEASURED.as_secs_f64();
            println!("{name:<28}{clients:>8}{rate:>12.0}{:>12.2}{:>12.2}", at(50), at(99));
        }
    }
}
