//! The container engine: Docker's API over a Unix socket, as Docker and Podman speak it.
//! <https://docs.docker.com/reference/api/engine/>
//!
//! A call is one HTTP/1.0 request on a connection of its own, which the engine closes after its answer. That
//! is all of HTTP that is needed here, so there is no library for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The version of the API that is asked for: Docker 20.10 and Podman 4 have it.
const VERSION: &str = "v1.40";
/// Largest answer, in bytes: the progress of a pull, or a log.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Longest wait for an answer, in seconds: a pull.
const ANSWER_SECONDS_MAX: u64 = 900;
/// Lines of a container's log that are asked for.
const LOG_LINES_MAX: u32 = 1_000;
/// The label of what belongs to us.
pub(super) const LABEL: &str = "landfall.task";

/// An engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
    has_bridge: bool,
}

/// What the engine knows of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    pub(super) is_running: bool,
    pub(super) exit_code: Option<i64>,
    pub(super) error: String,
    /// `healthy`, `unhealthy`, `starting`; empty without a check.
    pub(super) health: String,
    pub(super) out_of_memory: bool,
    /// Container port, host port, protocol.
    pub(super) ports: Vec<(u16, u16, String)>,
}

/// A line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub text: String,
}

impl Engine {
    /// Looks where engines listen: `DOCKER_HOST` alone when it is set, else Docker's and Podman's sockets.
    ///
    /// # Errors
    /// Why nothing is run.
    pub async fn find(docker_host: Option<&str>, runtime_dir: Option<&str>) -> Result<Self, String> {
        let places: Vec<PathBuf> = match docker_host.filter(|host| !host.is_empty()) {
            Some(host) => match host.strip_prefix("unix://") {
                Some(path) => vec![PathBuf::from(path)],
                None => {
                    return Err(format!(
                        "not run, no container engine at {host}: a unix:// address is expected"
                    ));
                }
            },
            None => {
                let own = runtime_dir.map(|dir| Path::new(dir).join("podman/podman.sock"));
                ["/var/run/docker.sock", "/run/podman/podman.sock"]
                    .map(PathBuf::from)
                    .into_iter()
                    .chain(own)
                    .collect()
            }
        };
        for socket in &places {
            let mut engine = Self { socket: socket.clone(), has_bridge: false };
            if let Ok((200, networks)) = engine.call("GET", "/networks", &[], None).await {
                let networks: Value = serde_json::from_slice(&networks).unwrap_or_default();
                let is_bridge = |network: &Value| network["Driver"] == "bridge";
                engine.has_bridge = networks.as_array().is_some_and(|all| all.iter().any(is_bridge));
                return Ok(engine);
            }
        }
        let names: Vec<String> = places.iter().map(|place| format!("unix://{}", place.display())).collect();
        Err(format!("not run, no container engine at {}", names.join(", ")))
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whether containers can have a network of their own.
    pub(super) fn has_bridge(&self) -> bool {
        self.has_bridge
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), String> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(&request(method, path, headers, body)).await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), exchange)
            .await
            .map_err(|_| format!("the engine did not answer within {ANSWER_SECONDS_MAX} s"))?
            .map_err(|error| format!("the engine at {} did not answer: {error}", self.address()))?;
        split(&answer).ok_or_else(|| "the engine's answer is not HTTP".to_owned())
    }

    /// A call that has to work; the engine's own words when it doesn't.
    async fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let (status, answer) = self.call(method, path, &[], body).await?;
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        // 304: it is as it was asked to be.
        if (200..300).contains(&status) || status == 304 {
            return Ok(value);
        }
        Err(message(&value, &answer))
    }

    /// Pulls an image; its name for `create`. What is there already is taken when it can't be pulled, as
    /// the ECS agent does.
    pub(super) async fn pull(&self, image: &str, login: Option<(&str, &str)>) -> Result<(), String> {
        let (name, tag) = match image.split_once('@') {
            Some((name, digest)) => (name, digest),
            None => match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, tag),
                _ => (image, "latest"),
            },
        };
        let path = format!("/images/create?fromImage={}&tag={}", encoded(name), encoded(tag));
        let auth = login.map(|(user, password)| {
            use base64::Engine as _;
            let host = image.split('/').next().unwrap_or_default();
            let login = json!({ "username": user, "password": password, "serveraddress": host });
            base64::engine::general_purpose::URL_SAFE.encode(login.to_string())
        });
        let headers: Vec<(&str, &str)> =
            auth.as_deref().map(|auth| ("X-Registry-Auth", auth)).into_iter().collect();
        let (status, answer) = self.call("POST", &path, &headers, None).await?;
        let lines =
            answer.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let failed = lines.filter_map(|line| line["error"].as_str().map(str::to_owned)).next_back();
        let problem = match (status, failed) {
            (200, None) => return Ok(()),
            (_, Some(problem)) => problem,
            (_, None) => message(&serde_json::from_slice(&answer).unwrap_or_default(), &answer),
        };
        let is_there = login.is_none()
            && matches!(self.call("GET", &format!("/images/{image}/json"), &[], None).await, Ok((200, _)));
        if is_there { Ok(()) } else { Err(problem) }
    }

    /// Makes a container; its id.
    pub(super) async fn create(&self, name: &str, spec: &Value) -> Result<String, String> {
        let made =
            self.must("POST", &format!("/containers/create?name={}", encoded(name)), Some(spec)).await?;
        made["Id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| "the engine made a container without an id".to_owned())
    }

    /// Starts a container.
    pub(super) async fn start(&self, id: &str) -> Result<(), String> {
        self.must("POST", &format!("/containers/{id}/start"), None).await.map(|_| ())
    }

    /// Stops a container: asks it, and kills it after so many seconds.
    pub(super) async fn stop(&self, id: &str, seconds: i64) -> Result<(), String> {
        self.must("POST", &format!("/containers/{id}/stop?t={seconds}"), None).await.map(|_| ())
    }

    /// Removes a container.
    pub(super) async fn remove(&self, id: &str) {
        let _ = self.must("DELETE", &format!("/containers/{id}?force=true&v=true"), None).await;
    }

    /// Removes a container from code that can't wait.
    pub(super) fn remove_now(&self, id: &str) {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&self.socket) else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let path = format!("/containers/{id}?force=true&v=true");
        if stream.write_all(&request("DELETE", &path, &[], None)).is_ok() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }

    /// How a container is.
    pub(super) async fn inspect(&self, id: &str) -> Result<State, String> {
        let known = self.must("GET", &format!("/containers/{id}/json"), None).await?;
        let state = &known["State"];
        let is_running = state["Running"].as_bool().unwrap_or(false);
        let has_ended = state["Status"] == "exited" || state["Status"] == "dead";
        Ok(State {
            is_running,
            exit_code: state["ExitCode"].as_i64().filter(|_| has_ended),
            error: state["Error"].as_str().unwrap_or_default().to_owned(),
            health: state["Health"]["Status"].as_str().unwrap_or_default().to_owned(),
            out_of_memory: state["OOMKilled"].as_bool().unwrap_or(false),
            ports: ports(&known["NetworkSettings"]["Ports"]),
        })
    }

    /// The last lines of a container's log.
    pub(super) async fn logs(&self, id: &str) -> Vec<LogLine> {
        let path =
            format!("/containers/{id}/logs?stdout=true&stderr=true&timestamps=true&tail={LOG_LINES_MAX}");
        match self.call("GET", &path, &[], None).await {
            Ok((200, answer)) => log_lines(&answer),
            _ => Vec::new(),
        }
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut request = format!("{method} /{VERSION}{path} HTTP/1.0\r\nHost: engine\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request
        .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    request.into_bytes()
}

/// Status and body of an answer.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

fn message(value: &Value, answer: &[u8]) -> String {
    let text = value["message"].as_str().map(str::to_owned);
    text.unwrap_or_else(|| String::from_utf8_lossy(answer).trim().to_owned())
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn ports(ports: &Value) -> Vec<(u16, u16, String)> {
    let Some(ports) = ports.as_object() else { return Vec::new() };
    let read = |(name, bindings): (&String, &Value)| {
        let (inside, protocol) = name.split_once('/')?;
        let outside = bindings.as_array()?.first()?["HostPort"].as_str()?.parse().ok()?;
        Some((inside.parse().ok()?, outside, protocol.to_owned()))
    };
    ports.iter().filter_map(read).collect()
}

/// The engine's frames: a stream's number, three zeros, four bytes of length, and the text. A container with
/// a terminal has none.
fn log_lines(answer: &[u8]) -> Vec<LogLine> {
    let mut text = Vec::new();
    let mut rest = answer;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let [0..=2, 0, 0, 0, a, b, c, d] = *head else { break };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((frame, after)) = body.split_at_checked(length.min(body.len())) else { break };
        text.extend_from_slice(frame);
        rest = after;
    }
    if text.is_empty() {
        text = answer.to_vec();
    }
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (at, text) = line.split_once(' ')?;
            Some(LogLine { at_ms: moment_ms(at)?, text: text.trim_end_matches('\r').to_owned() })
        })
        .collect()
}

/// `2026-11-27T07:25:49.190123456Z` in milliseconds since 1970.
fn moment_ms(text: &str) -> Option<i64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text.trim_end_matches('Z'), ""));
    let (date, time) = whole.split_once('T')?;
    let number = |text: Option<&str>| text?.parse::<i64>().ok();
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next())?, number(date.next())?, number(date.next())?);
    let mut time = time.split(':');
    let (hour, minute, second) = (number(time.next())?, number(time.next())?, number(time.next())?);
    let millis: String = rest.chars().take_while(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    // Days of the civil calendar: years begin in March, so that leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day
        - 1
        - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millis.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn log_frames_become_lines_with_their_moments() {
        let mut answer = Vec::new();
        for (stream, text) in
            [(1_u8, "2026-10-01T12:00:00.250000000Z hello\n"), (2, "1970-01-01T00:00:01Z world\r\n")]
        {
            answer.extend_from_slice(&[stream, 0, 0, 0]);
            answer.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            answer.extend_from_slice(text.as_bytes());
        }
        let line = |at_ms, text: &str| LogLine { at_ms, text: text.to_owned() };
        assert_eq!(log_lines(&answer), [line(1_790_856_000_250, "hello"), line(1000, "world")]);
        assert_eq!(log_lines(b"1970-01-01T00:00:01Z plain\n"), [line(1000, "plain")]);
        assert_eq!(log_lines(b"\x01\x00"), []);
    }

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        assert_eq!(split(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n{}"), Some((404, b"{}".to_vec())));
        assert_eq!(split(b"nonsense"), None);
    }

    #[tokio::test]
    async fn without_an_engine_it_says_where_it_looked() {
        let missing = Engine::find(Some("unix:///nowhere/docker.sock"), None).await;
        assert_eq!(missing.unwrap_err(), "not run, no container engine at unix:///nowhere/docker.sock");
        let other = Engine::find(Some("tcp://127.0.0.1:1"), None).await.unwrap_err();
        assert!(other.contains("a unix:// address is expected"), "{other}");
    }
}
