//! The container credentials endpoint of one command, on loopback. AWS's SDKs ask it again before a
//! session ends: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>.
//!
//! Whoever on this machine finds the port still needs the token that only the command has.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use landfall_types::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::failure::FailureKind;
use crate::keeper::Keeper;
use crate::login::Session;

/// Where the credentials are, as at the agent of EKS.
pub const PATH: &str = "/v1/credentials";

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, authorization: Secret<String>, keeper: Arc<Keeper>) {
    let (authorization, places) = (Arc::new(authorization), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, for instance: others may close theirs.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (authorization, keeper) = (Arc::clone(&authorization), Arc::clone(&keeper));
        tokio::spawn(async move {
            // Whoever went away misses nothing.
            let _ = converse(stream, &authorization, &keeper).await;
            drop(place);
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    authorization: &Secret<String>,
    keeper: &Arc<Keeper>,
) -> io::Result<()> {
    let head = tokio::time::timeout(HEAD_SECONDS_MAX, read_head(&mut stream)).await??;
    let (status, body) = match check(&head, authorization) {
        Err(refusal) => refusal,
        Ok(()) => match keeper.session().await {
            Ok(session) => (200, credentials(&session)),
            Err(failure) => {
                // With 5xx SDKs try again, with 4xx they give up: a refusal stays one.
                let status = if failure.kind == FailureKind::Refused { 400 } else { 503 };
                (status, problem("SessionNotRenewed", &failure.message))
            }
        },
    };
    let body = body.to_string();
    let reason = if status == 200 { "OK" } else { "Error" };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: \
         no-store\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 2048];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let length = stream.read(&mut part).await?;
        if length == 0 || bytes.len() + length > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(part.get(..length).unwrap_or_default());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a request may have the credentials: status and body of the refusal otherwise.
fn check(head: &str, wanted: &Secret<String>) -> Result<(), (u16, Value)> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let shown: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.trim())
        .collect();
    let is_known = matches!(
        shown.as_slice(),
        [one] if verify_slices_are_equal(one.as_bytes(), wanted.expose().as_bytes()).is_ok()
    );
    if !is_known {
        return Err((401, problem("Unauthorized", "the command's own authorization token is expected")));
    }
    if path != PATH {
        return Err((404, problem("NotFound", &format!("only {PATH} is here"))));
    }
    if method != "GET" {
        return Err((405, problem("MethodNotAllowed", "GET is expected")));
    }
    Ok(())
}

/// The form in which SDKs read an error of this endpoint.
fn problem(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message })
}

fn credentials(session: &Session) -> Value {
    json!({
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key.expose(),
        "Token": session.session_token.as_ref().map_or("", |token| token.expose()),
        "Expiration": session.expiration.map(|end| end.to_string()),
        "AccountId": session.account,
    })
}

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 64;
/// The longest request that is read, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a request may take to arrive.
const HEAD_SECONDS_MAX: Duration = Duration::from_secs(5);
/// The pause after a connection that couldn't be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_with_its_token_gets_anything() {
        let wanted = Secret::new("right".to_owned());
        let status = |head: &str| check(head, &wanted).map_or_else(|(status, _)| status, |()| 200);
        for (head, code) in [
            ("GET /v1/credentials HTTP/1.1\r\nHost: x\r\nAuthorization: right\r\n\r\n", 200),
            ("GET /v1/credentials HTTP/1.1\r\nauthorization:right\r\n\r\n", 200),
            ("GET /v1/credentials HTTP/1.1\r\nAuthorization: wrong\r\n\r\n", 401),
            ("GET /v1/credentials HTTP/1.1\r\nAuthorization: righ\r\n\r\n", 401),
            ("GET /v1/credentials HTTP/1.1\r\nAuthorization: Bearer right\r\n\r\n", 401),
            ("GET /v1/credentials HTTP/1.1\r\nAuthorization: right\r\nAuthorization: right\r\n\r\n", 401),
            ("GET /v1/credentials HTTP/1.1\r\n\r\n", 401),
            ("GET / HTTP/1.1\r\nAuthorization: right\r\n\r\n", 404),
            ("POST /v1/credentials HTTP/1.1\r\nAuthorization: right\r\n\r\n", 405),
            ("\r\n\r\n", 401),
        ] {
            assert_eq!(status(head), code, "{head}");
        }
    }
}
