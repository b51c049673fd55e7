//! Requests to this machine: a call of the local AWS side with a job's own session, and a look at whether
//! a container answers. One HTTP/1.0 exchange on a connection of its own, so no library is needed.

use std::time::Duration;

use landfall_types::{Secret, Timestamp};
use landfall_wire::hash::sha256_hex;
use landfall_wire::sigv4::{Credentials, Scope, SignedRequest, sign};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Longest wait for one, in seconds.
const ANSWER_SECONDS_MAX: u64 = 10;

/// A session to sign with, as a job's environment has it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret<String>,
    pub(crate) token: Option<String>,
    pub(crate) region: String,
}

/// Calls an operation of ECS over the wire; the answer, or the error's message.
pub(crate) async fn ecs(
    host: &str,
    session: &Session,
    operation: &str,
    input: &Value,
    now: Timestamp,
) -> Result<Value, String> {
    let body = input.to_string();
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let date = now.basic();
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1"),
        ("host", host),
        ("x-amz-date", date.as_str()),
        ("x-amz-target", target.as_str()),
    ];
    headers.extend(session.token.as_deref().map(|token| ("x-amz-security-token", token)));
    let request = SignedRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body_sha256: &sha256_hex(body.as_bytes()),
    };
    let scope = Scope {
        date: date.chars().take(8).collect(),
        region: session.region.clone(),
        service: "ecs".to_owned(),
    };
    let credentials = Credentials { access_key_id: &session.access_key_id, secret: &session.secret };
    let authorization = sign(&request, credentials, &scope, now);
    let mut bytes = String::from("POST / HTTP/1.0\r\n");
    for (name, value) in headers.iter().chain([&("authorization", authorization.as_str())]) {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let (status, answer) = exchange(host, bytes.as_bytes()).await?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|error| format!("the answer of {operation} is no JSON: {error}"))?;
    if status == 200 {
        return Ok(answer);
    }
    let text = answer["message"].as_str().or_else(|| answer["Message"].as_str());
    Err(text.unwrap_or("the call was refused").to_owned())
}

/// The status of `GET /`, when something that speaks HTTP answers there; else whether anything listens.
pub(crate) async fn look(address: &str) -> Result<String, String> {
    let request = format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n");
    match exchange(address, request.as_bytes()).await {
        Ok((status, _)) => Ok(format!("answers HTTP {status}")),
        Err(_) => match TcpStream::connect(address).await {
            Ok(_) => Ok("takes connections".to_owned()),
            Err(error) => Err(format!("does not answer: {error}")),
        },
    }
}

/// The status of `HEAD` on a path, asked with an `Authorization` header.
pub(crate) async fn head(host: &str, path: &str, authorization: &str) -> Result<u16, String> {
    let request = format!(
        "HEAD {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json, */*\r\n\r\n"
    );
    Ok(exchange(host, request.as_bytes()).await?.0)
}

async fn exchange(address: &str, request: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), exchange)
        .await
        .map_err(|_| format!("{address} did not answer within {ANSWER_SECONDS_MAX} s"))?
        .map_err(|error| format!("{address} did not answer: {error}"))?;
    split(&answer).ok_or_else(|| format!("the answer of {address} is not HTTP"))
}

fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}
