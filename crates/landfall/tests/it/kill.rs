//! `serve --data` under `kill -9`: clients push images and write policies, the server is killed while they
//! do, and the next one has all that was answered, and nothing by half.
//!
//! `LANDFALL_KILL_ROUNDS=200 cargo test -p landfall --test it kill` for a long run.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Condvar, Mutex};

use landfall_types::Timestamp;
use landfall_wire::hash::sha256_digest;

use crate::bench::Bench;
use crate::client::{Keys, Request, Signing, encoded};

/// Rounds when nobody says how many.
const ROUNDS: usize = 12;
/// Clients that write policies, and clients that push, at the same time.
const WRITERS: usize = 4;
const PUSHERS: usize = 3;

const IAM: &str = "2010-05-08";
const STS: &str = "2011-06-15";
const ACCOUNT: &str = "123456789012";

#[expect(clippy::disallowed_methods, reason = "signatures are checked against real time")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the length of a run is its caller's choice")]
fn rounds() -> usize {
    std::env::var("LANDFALL_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// A server of one round.
struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    fn start(bench: &Bench) -> Self {
        let args = ["serve", "--addr", "127.0.0.1:0", "--data", "data", "--format", "json"];
        let mut command = bench.command(Path::new(env!("CARGO_BIN_EXE_landfall")), "", &args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        // Decisions are read and thrown away: nobody waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap_or_else(|_| panic!("{ready}"));
        let addr = ready["url"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
        Self { child, addr }
    }

    /// `SIGKILL`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// An answer, if all of it came.
    fn send(&self, request: &Request) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.addr).ok()?;
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.target);
        if !request.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: 127.0.0.1\r\n");
        }
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&request.body).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Answer::read(&bytes)
    }

    fn call(&self, keys: &Keys, service: &str, request: Request) -> Option<Answer> {
        self.send(&request.sign(keys, Signing { service, region: "us-east-1", at: now() }))
    }

    fn iam(&self, action: &str, params: &[(&str, &str)]) -> Option<Answer> {
        self.call(&root(), "iam", Request::query(IAM, action, params))
    }

    fn ecr(&self, operation: &str, input: &str) -> Option<Answer> {
        self.call(&root(), "ecr", Request::ecr(operation, input))
    }
}

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let answer = Self { status, headers: head.to_lowercase(), body: body.to_owned() };
        let length: Option<usize> = answer.header("content-length").map(|text| text.parse().unwrap());
        (length.is_none_or(|length| length == answer.body.len())).then_some(answer)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn root() -> Keys {
    Keys { id: "test".to_owned(), secret: "test".to_owned(), token: None }
}

/// The end of a round: after so many answers.
struct Countdown {
    left: Mutex<usize>,
    over: Condvar,
}

impl Countdown {
    fn new(count: usize) -> Self {
        Self { left: Mutex::new(count), over: Condvar::new() }
    }

    fn count(&self) {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        self.over.notify_all();
    }

    fn wait(&self) {
        let _over = self.over.wait_while(self.left.lock().unwrap(), |left| *left > 0).unwrap();
    }
}

/// What a client knows of what it wrote.
#[derive(Clone, Default)]
struct Known {
    /// The newest number that was answered, and the newest that was sent.
    answered: usize,
    sent: usize,
    /// Digests of manifests by number, sent or answered.
    manifests: BTreeMap<usize, String>,
    /// An upload that waits: its path, and how much of it was answered.
    upload: Option<(String, usize)>,
}

fn policy(number: usize) -> String {
    // Long enough that half of it would show.
    let resources: Vec<String> =
        (0..40).map(|index| format!("arn:aws:s3:::bucket-{number}-{index}")).collect();
    serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Sid": format!("n{number}"), "Effect": "Allow", "Action": "s3:GetObject", "Resource": resources}
    ]})
    .to_string()
}

/// Text that differs from round to round and from client to client.
fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 * 2 + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'a' + u8::try_from((state >> 33) % 26).unwrap()
    };
    (0..length).map(next).collect()
}

fn write_policies(server: &Server, client: usize, known: &mut Known, countdown: &Countdown) {
    let role = format!("role-{client}");
    loop {
        known.sent += 1;
        let document = policy(known.sent);
        let params =
            [("RoleName", role.as_str()), ("PolicyName", "numbered"), ("PolicyDocument", document.as_str())];
        let Some(answer) = server.iam("PutRolePolicy", &params) else { return };
        assert_eq!(answer.status, 200, "{}", answer.body);
        known.answered = known.sent;
        countdown.count();
    }
}

fn login(server: &Server) -> Option<String> {
    let answer = server.ecr("GetAuthorizationToken", "{}")?;
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    Some(format!("Basic {}", answer["authorizationData"][0]["authorizationToken"].as_str().unwrap()))
}

struct Pusher<'a> {
    server: &'a Server,
    login: String,
    repository: String,
}

impl Pusher<'_> {
    fn request(&self, method: &str, path: &str, body: Vec<u8>) -> Option<Answer> {
        let target = format!("/v2/{}/{path}", self.repository);
        self.server.send(&Request::new(method, &target).header("authorization", &self.login).body(body))
    }

    fn upload(&self, bytes: &[u8]) -> Option<String> {
        let path = self.begin()?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let patched = self.request("PATCH", &path, first.to_vec())?;
        assert_eq!(patched.status, 202, "{}", patched.body);
        self.finish(&path, second, bytes)
    }

    fn begin(&self) -> Option<String> {
        let begun = self.request("POST", "blobs/uploads/", Vec::new())?;
        assert_eq!(begun.status, 202, "{}", begun.body);
        let id = begun.header("docker-upload-uuid").unwrap();
        Some(format!("blobs/uploads/{id}"))
    }

    fn finish(&self, path: &str, last: &[u8], whole: &[u8]) -> Option<String> {
        let digest = sha256_digest(whole).to_string();
        let finished = self.request("PUT", &format!("{path}?digest={digest}"), last.to_vec())?;
        assert_eq!(finished.status, 201, "{}", finished.body);
        Some(digest)
    }

    fn push(&self, client: usize, known: &mut Known, countdown: &Countdown) -> Option<()> {
        loop {
            let number = known.sent + 1;
            let seed = number * 10 + client;
            let layer = content(seed, 1 + seed * 7_919 % 1_500_000);
            let layer_digest = self.upload(&layer)?;
            countdown.count();
            let config = self.upload(format!("{{\"number\":{number}}}").as_bytes())?;
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": format!("{{\"number\":{number}}}").len()},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len()}],
            })
            .to_string();
            known.sent = number;
            known.manifests.insert(number, sha256_digest(manifest.as_bytes()).to_string());
            let put = self.request("PUT", "manifests/newest", manifest.into_bytes())?;
            assert_eq!(put.status, 201, "{}", put.body);
            known.answered = number;
            countdown.count();
            if known.upload.is_none() {
                let path = self.begin()?;
                let waiting = content(client, 100_000);
                assert_eq!(self.request("PATCH", &path, waiting[..60_000].to_vec())?.status, 202);
                known.upload = Some((path, 60_000));
            }
        }
    }
}

fn set_up(server: &Server) {
    let provider = [
        ("Url", "https://token.actions.githubusercontent.com"),
        ("ClientIDList.member.1", "sts.amazonaws.com"),
    ];
    assert_eq!(server.iam("CreateOpenIDConnectProvider", &provider).unwrap().status, 200);
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {
            "token.actions.githubusercontent.com:sub": "repo:acme/api:ref:refs/heads/main",
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        }},
    }]})
    .to_string();
    for client in 0..WRITERS {
        let name = format!("role-{client}");
        let made = server.iam("CreateRole", &[("RoleName", &name), ("AssumeRolePolicyDocument", &trust)]);
        assert_eq!(made.unwrap().status, 200);
    }
    for client in 0..PUSHERS {
        let made = server.ecr("CreateRepository", &format!("{{\"repositoryName\":\"repo-{client}\"}}"));
        assert_eq!(made.unwrap().status, 200);
    }
}

/// A token, and the session that it gives.
fn token_and_session(server: &Server) -> (String, Keys) {
    let now = now().seconds();
    let claims = serde_json::json!({"claims": {
        "iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com",
        "sub": "repo:acme/api:ref:refs/heads/main", "iat": now, "nbf": now, "exp": now + 300,
    }});
    let mint = Request::new("POST", "/_landfall/token")
        .header("content-type", "application/json")
        .body(claims.to_string());
    let minted: serde_json::Value = serde_json::from_str(&server.send(&mint).unwrap().body).unwrap();
    let token = minted["value"].as_str().unwrap().to_owned();
    let session = exchange(server, &token);
    (token, session)
}

fn exchange(server: &Server, token: &str) -> Keys {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/role-0");
    let params = [("RoleArn", role.as_str()), ("RoleSessionName", "kill"), ("WebIdentityToken", token)];
    let answer = server.send(&Request::query(STS, "AssumeRoleWithWebIdentity", &params)).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let part = |name: &str| {
        let (_, rest) = answer.body.split_once(&format!("<{name}>")).unwrap();
        rest.split('<').next().unwrap().to_owned()
    };
    Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: Some(part("SessionToken")) }
}

/// What was answered is there, and what is there is whole.
fn check(server: &Server, round: usize, writers: &mut [Known], pushers: &mut [Known]) {
    for (client, known) in writers.iter_mut().enumerate() {
        let role = format!("role-{client}");
        let answer = server.iam("GetRolePolicy", &[("RoleName", &role), ("PolicyName", "numbered")]).unwrap();
        if answer.status == 404 {
            assert_eq!(known.answered, 0, "round {round}: the policy of {role} is gone");
            known.sent = 0;
            continue;
        }
        // What was sent and not answered may be there or not.
        let found =
            (known.answered..=known.sent).find(|number| answer.body.contains(&encoded(&policy(*number))));
        let found = found.unwrap_or_else(|| {
            panic!(
                "round {round}: {role} has neither of {}..={}: {}",
                known.answered, known.sent, answer.body
            )
        });
        (known.answered, known.sent) = (found, found);
    }
    let login = login(server).unwrap();
    for (client, known) in pushers.iter_mut().enumerate() {
        let pusher = Pusher { server, login: login.clone(), repository: format!("repo-{client}") };
        let answer = pusher.request("GET", "manifests/newest", Vec::new()).unwrap();
        if answer.status == 404 {
            assert_eq!(known.answered, 0, "round {round}: the image of repo-{client} is gone");
            known.sent = 0;
        } else {
            let digest = sha256_digest(answer.body.as_bytes()).to_string();
            let number =
                known.manifests.iter().find(|(_, known)| **known == digest).map(|(number, _)| *number);
            let number = number.unwrap_or_else(|| panic!("round {round}: an image that nobody pushed"));
            assert!((known.answered..=known.sent).contains(&number), "round {round}: image {number}");
            (known.answered, known.sent) = (number, number);
        }
        for number in known.manifests.range(..=known.answered).rev().take(3).map(|(number, _)| *number) {
            whole_image(&pusher, round, &known.manifests[&number]);
        }
        if let Some((path, length)) = known.upload.take() {
            let waiting = content(client, 100_000);
            let status = pusher.request("GET", &path, Vec::new()).unwrap();
            assert_eq!(status.status, 204, "round {round}: an upload is gone: {}", status.body);
            let last: usize = status.header("range").unwrap().trim_start_matches("0-").parse().unwrap();
            assert_eq!(last + 1, length, "round {round}");
            pusher.finish(&path, &waiting[length..], &waiting).unwrap();
        }
    }
}

fn whole_image(pusher: &Pusher<'_>, round: usize, digest: &str) {
    let manifest = pusher.request("GET", &format!("manifests/{digest}"), Vec::new()).unwrap();
    assert_eq!(manifest.status, 200, "round {round}: {digest} is gone");
    let manifest: serde_json::Value = serde_json::from_str(&manifest.body).unwrap();
    for item in [&manifest["config"], &manifest["layers"][0]] {
        let digest = item["digest"].as_str().unwrap();
        let blob = pusher.request("GET", &format!("blobs/{digest}"), Vec::new()).unwrap();
        assert_eq!(blob.status, 200, "round {round}: {digest} is gone");
        assert_eq!(sha256_digest(blob.body.as_bytes()).to_string(), digest, "round {round}");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "a long run says how long it was")]
fn what_was_answered_survives_a_kill_at_any_moment() {
    let bench = Bench::new();
    let mut writers = vec![Known::default(); WRITERS];
    let mut pushers = vec![Known::default(); PUSHERS];
    let mut server = Server::start(&bench);
    set_up(&server);
    let (mut token, mut session) = token_and_session(&server);
    let rounds = rounds();
    for round in 1..=rounds {
        // From the first answer to some time after many.
        let countdown = Countdown::new(round * 13 % 60);
        std::thread::scope(|scope| {
            for (client, known) in writers.iter_mut().enumerate() {
                let (server, countdown) = (&server, &countdown);
                scope.spawn(move || write_policies(server, client, known, countdown));
            }
            for (client, known) in pushers.iter_mut().enumerate() {
                let (server, countdown) = (&server, &countdown);
                scope.spawn(move || {
                    let repository = format!("repo-{client}");
                    let pusher = login(server).map(|login| Pusher { server, login, repository });
                    pusher.and_then(|pusher| pusher.push(client, known, countdown))
                });
            }
            countdown.wait();
            kill(&server);
        });
        server.kill();
        server = Server::start(&bench);
        check(&server, round, &mut writers, &mut pushers);
        // A session and a token of the server before are still good.
        let who = server.call(&session, "sts", Request::query(STS, "GetCallerIdentity", &[])).unwrap();
        assert_eq!(who.status, 200, "round {round}: {}", who.body);
        exchange(&server, &token);
        (token, session) = token_and_session(&server);
    }
    server.kill();
    let total: usize = writers.iter().chain(&pushers).map(|known| known.answered).sum();
    assert!(total >= rounds, "{total} writes were answered in {rounds} rounds");
    println!("{rounds} rounds, {total} policies and images answered, none lost");
}

/// `kill -9` while the clients still write.
fn kill(server: &Server) {
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
}

#[test]
fn two_servers_on_one_directory_are_refused() {
    let bench = Bench::new();
    let server = Server::start(&bench);
    let second = bench.command(
        Path::new(env!("CARGO_BIN_EXE_landfall")),
        "",
        &["serve", "--addr", "127.0.0.1:0", "--data", "data"],
    );
    let output = { second }.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    let expected = format!(
        "error: data is in use by another landfall serve (process {}); stop that one, or choose another directory\n",
        server.child.id()
    );
    assert_eq!(told, expected);
    server.kill();
    // A lock ends with its process, also one that was killed.
    Server::start(&bench).kill();
}
