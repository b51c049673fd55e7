//! What the client is answered: the first line says which command it runs, and after each `%%` on a line of its own
//! comes the answer to its next request. An answer that begins with `HTTP/` is sent as it is; of any other the first
//! line is the status, then come headers, an empty line and the body. Behind the last answer connections break.

use std::sync::{Arc, Mutex};

use landfall_deliver::aws_json::{CODE_DEPLOY, Caller, ECS, Outside};
use landfall_deliver::deploy::codedeploy::{Followed, Until};
use landfall_deliver::deploy::definition::Object;
use landfall_deliver::deploy::diff::Values;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{self, Request, Source};
use landfall_deliver::deploy::{codedeploy, roll, run_task, watch};
use landfall_deliver::docker_config::DockerConfig;
use landfall_deliver::http::Backoff;
use landfall_deliver::layout::{Image, Manifest, OCI_MANIFEST};
use landfall_deliver::login::{Options, login};
use landfall_deliver::push::{self, Progress, destinations};
use landfall_deliver::registry::Patience;
use landfall_deliver::{Environment, blob, ecr, engine};
use landfall_types::{ImageRef, Timestamp};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::side::folder;

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
/// One attempt for each request.
const ONCE: Backoff = Backoff { attempts: 1, first: std::time::Duration::from_millis(1) };
const MANIFEST: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let pieces = pieces(bytes);
    let Some((command, answers)) = pieces.split_first() else { return };
    let command = super::text(command).trim();
    let answers = answers.iter().rev().map(|answer| http(answer)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let place = folder();
        let answers = Arc::new(Mutex::new(answers));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let task = if command == "engine" {
            let socket = tokio::net::UnixListener::bind(place.path().join("engine")).expect("a socket");
            tokio::spawn(async move {
                while let Ok((stream, _)) = socket.accept().await {
                    converse(stream, &answers).await;
                }
            })
        } else {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    converse(stream, &answers).await;
                }
            })
        };
        ask(command, &address, place.path()).await;
        task.abort();
    });
}

fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    const MARK: &[u8] = b"\n%%\n";
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        pieces.push(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    pieces.push(rest);
    pieces
}

fn http(answer: &[u8]) -> Vec<u8> {
    if answer.starts_with(b"HTTP/") {
        return answer.to_vec();
    }
    let end = answer.windows(2).position(|window| window == b"\n\n");
    let (head, body) = end.map_or((answer, &[][..]), |at| (&answer[..at], &answer[at + 2..]));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or("200");
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Answers one request, and ends the connection.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &Mutex<Vec<Vec<u8>>>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let answer = answers.lock().ok().and_then(|mut answers| answers.pop());
    if let Some(answer) = answer {
        let _ = stream.write_all(&answer).await;
    }
    let _ = stream.shutdown().await;
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let body = &request[end + 4..];
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with(b"0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn ask(command: &str, address: &str, place: &std::path::Path) {
    let url = format!("http://{address}");
    let keys = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
    ];
    match command {
        "login" => log_in(&url, place).await,
        "agent" => {
            let variables =
                [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_ENDPOINT_URL", &url)];
            let options =
                Options { region: Some("eu-west-1".to_owned()), backoff: ONCE, ..Options::default() };
            let _ = login(&options, &environment(&variables, place)).await;
        }
        "ecr" => {
            let given = ecr::authorize(&environment(&keys, place), "eu-west-1", &[], ONCE).await;
            for given in given.unwrap_or_default() {
                let _ = given.output_suffix();
            }
        }
        "engine" => {
            let host = format!("unix://{}", place.join("engine").display());
            let _ = engine::image(&environment(&[("DOCKER_HOST", &host)], place), "web:v1").await;
        }
        "push" => send_image(address, &environment(&keys, place), place).await,
        _ => deploy(command, &environment(&keys, place)).await,
    }
}

fn environment(variables: &[(&str, &str)], home: &std::path::Path) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::new(variables, Some(home.to_owned()))
}

async fn log_in(url: &str, place: &std::path::Path) {
    let ask = format!("{url}/idtoken?api-version=2.0");
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", ask.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "BEARER"),
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", "eu-west-1"),
    ];
    let options = Options {
        role: Some(ROLE.to_owned()),
        role_chain: vec![ROLE.to_owned()],
        backoff: ONCE,
        ..Options::default()
    };
    if let Err(error) = login(&options, &environment(&variables, place)).await {
        let failure = landfall_deliver::Failure::from(error);
        assert!(!failure.message.contains("BEARER"), "{failure:?}");
    }
}

async fn send_image(address: &str, environment: &Environment, place: &std::path::Path) {
    let config = place.join("config.json");
    std::fs::write(&config, format!(r#"{{"auths":{{"{address}":{{"auth":"QVdTOnB3"}}}}}}"#)).expect("a file");
    let config = DockerConfig::read(&config).expect("a configuration");
    let image = Image {
        root: Manifest::new(OCI_MANIFEST, MANIFEST.as_bytes().to_vec()),
        children: Vec::new(),
        blobs: vec![blob::Blob::from_bytes(b"{}".to_vec())],
    };
    let name = ImageRef::parse(&format!("{address}/team/api:v1")).expect("a name");
    let places = destinations(&[name], &[], &image.root.digest).expect("a place");
    let patience = Patience { backoff: ONCE, ..Patience::default() };
    let options = push::Options { patience, creates_repository: true, ..push::Options::default() };
    let _ = push::push(&image, &places, &config, environment, &options, &Progress::default()).await;
}

async fn deploy(command: &str, environment: &Environment) {
    let outside = Outside { clock: || Timestamp(1_790_856_000_000), fill_random: |bytes| bytes.fill(7) };
    let caller = Caller::new(environment, "eu-west-1", ONCE, outside);
    let patience = watch::Patience {
        timeout: std::time::Duration::from_millis(20),
        pause_max: std::time::Duration::from_millis(1),
    };
    match command {
        "run-task" => {
            let input = Object::from_iter([("taskDefinition".to_owned(), json!("app:2"))]);
            let _ = run_task::start(&caller, input).await;
        }
        "codedeploy" => {
            let _ = caller.call(CODE_DEPLOY, "GetDeployment", &json!({ "deploymentId": "d-1" })).await;
            let request = codedeploy::Request {
                application: "app".to_owned(),
                group: "group".to_owned(),
                appspec: json!({ "Resources": [] }),
                config: None,
                description: None,
                rolls_back: true,
            };
            let _ = codedeploy::group_waits(&caller, &request, "prod", "web").await;
            let _ = codedeploy::create(&caller, &request).await;
            let followed = [Followed {
                service: "web".to_owned(),
                id: "d-1".to_owned(),
                cluster: "shop".to_owned(),
                definition: "web:1".to_owned(),
            }];
            let (_never, interrupt) = Interrupt::counted();
            let until = Until::Succeeded;
            let how = codedeploy::Watching { caller: &caller, until, patience, interrupt: &interrupt };
            let _ = codedeploy::all(&how, &followed, &mut |_, _| {}).await;
        }
        _ => {
            let _ = caller.call(ECS, "ListServices", &json!({})).await;
            let request = Request {
                cluster: "prod".to_owned(),
                services: vec!["web".to_owned()],
                source: Source::Running,
                edits: Box::new(|_| Ok(Vec::new())),
                update: Object::new(),
                rules: Object::new(),
                force: true,
                values: Values::Shown,
            };
            let Ok(plan) = plan::make(&caller, &request).await else { return };
            let Ok(arns) = roll::register(&caller, &plan, |_| {}).await else { return };
            let (Some(part), Some(arn)) = (plan.parts.first(), arns.first()) else { return };
            let Some(service) = &part.service else { return };
            let Ok(begun) = roll::update(&caller, part, service, arn).await else { return };
            let (_never, interrupt) = Interrupt::counted();
            let (caller, interrupt) = (&caller, &interrupt);
            let how = watch::Watching { caller, cluster: "prod", patience, interrupt, goes_back: true };
            let _ = watch::all(&how, vec![begun], &mut |_| {}).await;
        }
    }
}
