//! Load figures of `landfall serve`: calls a second over kept connections, how long they take, what they cost
//! the server and how much memory it has afterwards.
//!
//! ```text
//! cargo build --release -p landfall
//! cargo run --release -p landfall-serve --example load -- target/release/landfall [--data DIR]
//! cargo run --release -p landfall-serve --example load -- --only AssumeRole --clients 1 target/release/landfall
//! ```
//!
//! Starts the server, makes a provider, roles and repositories in it, and prints a line for each call and 1, 8
//! and 64 clients, or for the calls and the number of clients that were said. What follows the program are
//! further words of its command line. The clients are on the same machine and take their part of its processors.
//! Every answer is checked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a tool for those who develop this"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
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

/// What a client sends.
enum Load<'a> {
    /// The same request again and again: it is signed once.
    Same(Call),
    /// A request of its own each time, made from the client's number and the call's.
    Each(&'a (dyn Fn(usize, usize) -> Call + Sync)),
}

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
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: vec![0; 1 << 20] }
    }

    /// Sends a request and reads its answer: status and body.
    fn send(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).unwrap();
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.received[length..]).unwrap();
            assert!(read > 0, "the server closed the connection, or an answer is longer than expected");
            length += read;
            let answer = &self.received[..length];
            let Some(body) = answer.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4) else {
                continue;
            };
            let head = std::str::from_utf8(&answer[..body]).unwrap();
            let said = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length - body == said.map_or(0, |said| said.parse().unwrap()) {
                return (head[9..12].parse().unwrap(), &self.received[body..length]);
            }
        }
    }

    fn expect(&mut self, call: &Call) -> String {
        let (status, body) = self.send(&call.bytes());
        let body = String::from_utf8_lossy(body).into_owned();
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

/// What GitHub says of a job that calls a workflow of another repository, without times.
/// <https://docs.github.com/en/actions/reference/security/oidc#oidc-token-claims>
fn github_claims() -> serde_json::Value {
    let sha = "5d1f0b3c8f2a4f6f9d0b7c6a5e4d3c2b1a0f9e8d";
    serde_json::json!({
        "jti": "7a1c3d0e-52b4-4c7e-9a36-0d6f5b1e8c24",
        "sub": "repo:acme/api:ref:refs/heads/main",
        "aud": "sts.amazonaws.com",
        "ref": "refs/heads/main",
        "sha": sha,
        "repository": "acme/api",
        "repository_owner": "acme",
        "repository_owner_id": "65",
        "run_id": "15839261047",
        "run_number": "112",
        "run_attempt": "1",
        "repository_visibility": "private",
        "repository_id": "741852963",
        "actor_id": "583231",
        "actor": "octocat",
        "workflow": "Deploy",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "ref_protected": "true",
        "ref_type": "branch",
        "workflow_ref": "acme/api/.github/workflows/deploy.yml@refs/heads/main",
        "workflow_sha": sha,
        "job_workflow_ref": "acme/ci-templates/.github/workflows/ecr.yml@refs/heads/main",
        "job_workflow_sha": sha,
        "runner_environment": "github-hosted",
        "iss": format!("https://{GITHUB}"),
    })
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
    let mut claims = github_claims();
    for (name, at) in [("iat", seconds), ("nbf", seconds), ("exp", seconds + 3600)] {
        claims[name] = at.into();
    }
    let claims = serde_json::json!({ "claims": claims }).to_string();
    let request = format!(
        "POST /_landfall/token HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{claims}",
        claims.len()
    );
    let (status, body) = client.send(request.as_bytes());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
    let minted: serde_json::Value = serde_json::from_slice(body).unwrap();
    minted["value"].as_str().unwrap().to_owned()
}

/// A server of its own.
struct Server {
    process: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(program: &str, arguments: &[String]) -> Self {
        let mut process = Command::new(program)
            .args(["serve", "--addr", "127.0.0.1:0", "--offline", "--format", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("the server says where it is");
        let addr = ready["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        // Decisions are printed as on any other server, and read away.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { process, addr }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).unwrap()
    }

    /// Its time on processors, user and system. Linux counts it in hundredths of a second.
    fn processor_time(&self) -> Duration {
        let stat = self.file("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = [11, 12].map(|at| fields[at].parse::<u64>().unwrap());
        Duration::from_millis(10 * (ticks[0] + ticks[1]))
    }

    /// What it has in memory, in MB.
    fn memory_mb(&self) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Times to an answer of all calls that so many clients got done.
fn measure(addr: SocketAddr, clients: usize, load: &Load<'_>) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let one = |number: usize| {
            let is_over = &is_over;
            move || {
                let mut client = Client::new(addr);
                let mut times = Vec::new();
                let mut request = match load {
                    Load::Same(call) => call.bytes(),
                    Load::Each(_) => Vec::new(),
                };
                while !is_over.load(Ordering::Relaxed) {
                    if let Load::Each(make) = load {
                        request = make(number, times.len()).bytes();
                    }
                    let began = Instant::now();
                    let (status, body) = client.send(&request);
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
                    times.push(began.elapsed());
                }
                times
            }
        };
        let running: Vec<_> = (0..clients).map(|number| scope.spawn(one(number))).collect();
        // Threads of the round before wake this one as they end: parking alone may be over at once.
        let began = Instant::now();
        while let Some(left) = MEASURED.checked_sub(began.elapsed()) {
            std::thread::park_timeout(left);
        }
        is_over.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

fn exchange(token: &str) -> Call {
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=load&RoleArn={}&WebIdentityToken={token}",
        encoded("arn:aws:iam::123456789012:role/load-0")
    );
    Call { is_signed: false, ..Call::query("sts", form) }
}

fn put_role_policy(client: usize, number: usize) -> Call {
    let policy = format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Action\":\"ecr:*\",\"Resource\":\"arn:aws:ecr:*:*:repository/{number}\"}}]}}"
    );
    iam(&format!(
        "Action=PutRolePolicy&RoleName=load-{client}&PolicyName=load&PolicyDocument={}",
        encoded(&policy)
    ))
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut only = String::new();
    let mut clients_at_a_time = CLIENTS.to_vec();
    while let Some(option) = arguments.next_if(|word| word.starts_with("--")) {
        let value = arguments.next().unwrap_or_else(|| panic!("{option}: a value is expected"));
        match option.as_str() {
            "--only" => only = value,
            "--clients" => clients_at_a_time = vec![value.parse().expect("--clients: a number is expected")],
            _ => panic!("{option}: --only PART and --clients NUMBER are expected before the program"),
        }
    }
    let program = arguments.next().expect("the program is expected: target/release/landfall");
    let arguments: Vec<String> = arguments.collect();
    let server = Server::start(&program, &arguments);
    println!("memory at the start: {:.1} MB", server.memory_mb());
    let token = set_up(server.addr);
    let loads = [
        ("AssumeRoleWithWebIdentity", Load::Same(exchange(&token))),
        (
            "GetCallerIdentity",
            Load::Same(Call::query("sts", "Action=GetCallerIdentity&Version=2011-06-15".to_owned())),
        ),
        ("DescribeRepositories (20)", Load::Same(Call::ecr("DescribeRepositories", "{}"))),
        ("PutRolePolicy", Load::Each(&put_role_policy)),
    ];
    println!(
        "{:<28}{:>8}{:>10}{:>9}{:>9}{:>13}{:>11}",
        "call", "clients", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "memory MB"
    );
    for (name, load) in loads.into_iter().filter(|(name, _)| name.contains(&only)) {
        for clients in clients_at_a_time.iter().copied() {
            let (before, began) = (server.processor_time(), Instant::now());
            let mut times = measure(server.addr, clients, &load);
            let (cost, took) = (server.processor_time() - before, began.elapsed());
            times.sort_unstable();
            let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
            let count = times.len() as f64;
            println!(
                "{name:<28}{clients:>8}{:>10.0}{:>9.2}{:>9.2}{:>13.0}{:>11.1}",
                count / took.as_secs_f64(),
                at(50),
                at(99),
                cost.as_secs_f64() * 1e6 / count,
                server.memory_mb()
            );
        }
    }
}
