//! The container engine: Docker's API over a Unix socket, as Docker and Podman speak it.
//! <https://docs.docker.com/reference/api/engine/>
//!
//! A call is one HTTP/1.0 request on a connection of its own, which the engine closes after its answer. That
//! is all of HTTP that is needed here, so there is no library for it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_types::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::LINES_MAX;
use super::log::{LogLine, log_lines};

/// The version of the API that is asked for: Docker 20.10 and Podman 4 have it.
const VERSION: &str = "v1.40";
/// The version of Podman's own API, for what Docker's has no words for.
const LIBPOD_VERSION: &str = "v4.0.0";
/// Largest answer, in bytes: the progress of a pull, or a log.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;
/// Longest wait for an answer, in seconds: a pull.
const ANSWER_SECONDS_MAX: u64 = 900;
/// Longest wait for an engine to say that it is there.
const FIND_TIME_MAX: Duration = Duration::from_secs(5);
/// How long ago a container can have been killed whose end was seen just now, in milliseconds.
const OOM_MS_MAX: i64 = 5_000;
/// Longest wait for an answer while the server ends, in seconds.
const LAST_ANSWER_SECONDS_MAX: u64 = 10;
/// An engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
    has_bridge: bool,
    /// Podman tells itself apart; everything else is taken for Docker.
    is_podman: bool,
    /// Go's name of its processor: `amd64`, `arm64`.
    architecture: String,
}

/// Something that the engine has: a container, or a volume by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) is_running: bool,
}

/// What the engine knows of a container.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    pub(super) is_running: bool,
    pub(super) exit_code: Option<i64>,
    pub(super) error: String,
    /// `healthy`, `unhealthy`, `starting`; empty without a check.
    pub(super) health: String,
    /// What the last check wrote, its last line.
    pub(super) health_says: String,
    /// When the last check began, in the engine's words.
    pub(super) checked_at: String,
    pub(super) out_of_memory: bool,
    /// Container port, host port, protocol.
    pub(super) ports: Vec<(u16, u16, String)>,
    /// Its place in a network of containers.
    pub(super) lan: Option<Lan>,
}

/// The place of a container in a network of containers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lan {
    pub(super) address: Ipv4Addr,
    /// How many bits of the address are the network's.
    pub(super) prefix: u8,
    pub(super) gateway: String,
    pub(super) mac: String,
}

impl Lan {
    /// The network, `172.17.0.0/16`.
    pub(super) fn subnet(&self) -> String {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        format!("{}/{}", Ipv4Addr::from_bits(self.address.to_bits() & mask), self.prefix)
    }
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
        let mut silent = Vec::new();
        for socket in &places {
            let mut engine = Self {
                socket: socket.clone(),
                has_bridge: false,
                is_podman: false,
                architecture: String::new(),
            };
            let networks = engine.must("GET", "/networks", None);
            let answered = tokio::time::timeout(FIND_TIME_MAX, networks).await;
            if answered.is_err() {
                silent.push(format!("unix://{}", socket.display()));
            }
            if let Ok(Ok(networks)) = answered {
                let is_bridge = |network: &Value| network["Driver"] == "bridge";
                engine.has_bridge = networks.as_array().is_some_and(|all| all.iter().any(is_bridge));
                let version = engine.must("GET", "/version", None).await.unwrap_or_default();
                engine.architecture = version["Arch"].as_str().unwrap_or_default().to_owned();
                let parts = version["Components"].as_array().into_iter().flatten();
                engine.is_podman = parts.into_iter().any(|part| {
                    part["Name"].as_str().is_some_and(|name| name.to_ascii_lowercase().contains("podman"))
                });
                return Ok(engine);
            }
        }
        if !silent.is_empty() {
            let seconds = FIND_TIME_MAX.as_secs();
            return Err(format!(
                "not run, the container engine at {} did not answer within {seconds} s: restart it",
                silent.join(", ")
            ));
        }
        let names: Vec<String> = places.iter().map(|place| format!("unix://{}", place.display())).collect();
        Err(format!("not run, no container engine at {}", names.join(", ")))
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whether containers can have a network of their own.
    pub fn has_bridge(&self) -> bool {
        self.has_bridge
    }

    /// `Docker` or `Podman`.
    pub fn kind(&self) -> &'static str {
        if self.is_podman { "Podman" } else { "Docker" }
    }

    /// Whether it is Podman.
    pub(super) fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// Go's name of its processor.
    pub(super) fn architecture(&self) -> &str {
        &self.architecture
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
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
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("Content-Type", "application/json")];
        let (status, answer) = self.call(method, path, &headers, body.as_bytes()).await?;
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        // 304: it is as it was asked to be.
        if (200..300).contains(&status) || status == 304 {
            return Ok(value);
        }
        Err(message(&value, &answer))
    }

    /// Pulls an image; its name for `create`. What is there already is taken when it can't be pulled, as
    /// the ECS agent does. One with a login is this server's own, which speaks plain HTTP: Docker knows that of
    /// loopback, and Podman has to be told.
    pub(super) async fn pull(&self, image: &str, login: Option<(&str, &str)>) -> Result<(), String> {
        let (name, tag) = match image.split_once('@') {
            Some((name, digest)) => (name, digest),
            None => match image.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, tag),
                _ => (image, "latest"),
            },
        };
        let path = match login {
            Some(_) if self.is_podman => {
                format!("/libpod/images/pull?reference={}&tlsVerify=false&policy=always", encoded(image))
            }
            _ => format!("/images/create?fromImage={}&tag={}", encoded(name), encoded(tag)),
        };
        let auth = login.map(|(user, password)| {
            use base64::Engine as _;
            let host = image.split('/').next().unwrap_or_default();
            let login = json!({ "username": user, "password": password, "serveraddress": host });
            base64::engine::general_purpose::URL_SAFE.encode(login.to_string())
        });
        let headers: Vec<(&str, &str)> =
            auth.as_deref().map(|auth| ("X-Registry-Auth", auth)).into_iter().collect();
        let (status, answer) = self.call("POST", &path, &headers, b"").await?;
        let lines =
            answer.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let failed = lines.filter_map(|line| line["error"].as_str().map(str::to_owned)).next_back();
        let problem = match (status, failed) {
            (200, None) => return Ok(()),
            (_, Some(problem)) => problem,
            (_, None) => message(&serde_json::from_slice(&answer).unwrap_or_default(), &answer),
        };
        if login.is_none() && self.has_image(image).await { Ok(()) } else { Err(problem) }
    }

    /// Whether the engine has an image by this name.
    pub(super) async fn has_image(&self, image: &str) -> bool {
        matches!(self.call("GET", &format!("/images/{image}/json"), &[], b"").await, Ok((200, _)))
    }

    /// Makes an image of a file system, an uncompressed tar.
    pub(super) async fn import(&self, image: &str, tar: &[u8]) -> Result<(), String> {
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        // Podman's version of Docker's call leaves it without its name.
        let path = match self.is_podman {
            true => format!("/libpod/images/import?reference={}", encoded(image)),
            false => format!("/images/create?fromSrc=-&repo={}&tag={}", encoded(name), encoded(tag)),
        };
        let headers = [("Content-Type", "application/x-tar")];
        match self.call("POST", &path, &headers, tar).await? {
            (200..=299, _) => Ok(()),
            (_, answer) => Err(message(&serde_json::from_slice(&answer).unwrap_or_default(), &answer)),
        }
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
        let _ = self.must("DELETE", &self.removal_of(id), None).await;
    }

    /// How a container is removed, running or not. Podman would wait for it to end first, and refuse it when
    /// another container shares its network.
    fn removal_of(&self, id: &str) -> String {
        match self.is_podman {
            true => format!("/libpod/containers/{id}?force=true&volumes=true&timeout=0&depend=true"),
            false => format!("/containers/{id}?force=true&v=true"),
        }
    }

    /// Runs a container's health check, where the engine leaves that to a service manager that may not be there.
    pub(super) async fn check_health(&self, id: &str) {
        let _ = self.must("GET", &format!("/libpod/containers/{id}/healthcheck"), None).await;
    }

    /// Whether somebody else has to run health checks: Podman has timers of systemd do it.
    pub(super) fn leaves_checks(&self) -> bool {
        self.is_podman
    }

    /// Makes a volume, or takes the one that has this name.
    pub(super) async fn create_volume(&self, spec: &Value) -> Result<(), String> {
        self.must("POST", "/volumes/create", Some(spec)).await.map(|_| ())
    }

    /// Removes a volume.
    pub(super) async fn remove_volume(&self, name: &str) {
        let _ = self.must("DELETE", &format!("/volumes/{}", encoded(name)), None).await;
    }

    /// Removes an image's name, unless a container needs it.
    pub(super) async fn remove_image(&self, image: &str) {
        let _ = self.must("DELETE", &format!("/images/{image}"), None).await;
    }

    /// Containers with this label, whether or not they run.
    pub(super) async fn containers(&self, label: &str) -> Result<Vec<Kept>, String> {
        let path = format!("/containers/json?all=true&filters={}", labelled(label));
        Ok(containers(&self.must("GET", &path, None).await?))
    }

    /// Volumes with this label.
    pub(super) async fn volumes(&self, label: &str) -> Result<Vec<Kept>, String> {
        let path = format!("/volumes?filters={}", labelled(label));
        Ok(volumes(&self.must("GET", &path, None).await?))
    }

    /// Removes all that has this label, and these images, from code that can't wait.
    pub(super) fn remove_all_now(&self, label: &str, images: &[String]) {
        let known = |path: String| self.call_now("GET", &path).unwrap_or_default();
        let all = containers(&known(format!("/containers/json?all=true&filters={}", labelled(label))));
        self.delete_now(&all.iter().map(|one| self.removal_of(&one.id)).collect::<Vec<_>>());
        let all = volumes(&known(format!("/volumes?filters={}", labelled(label))));
        self.delete_now(&all.iter().map(|one| format!("/volumes/{}", encoded(&one.id))).collect::<Vec<_>>());
        self.delete_now(&images.iter().map(|image| format!("/images/{image}")).collect::<Vec<_>>());
    }

    /// Deletes several things side by side: an engine takes its time for each.
    fn delete_now(&self, paths: &[String]) {
        std::thread::scope(|scope| {
            for path in paths {
                scope.spawn(|| self.call_now("DELETE", path));
            }
        });
    }

    /// A call from code that can't wait; what is answered, as far as it is JSON.
    fn call_now(&self, method: &str, path: &str) -> Option<Value> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).ok()?;
        let wait = Some(Duration::from_secs(LAST_ANSWER_SECONDS_MAX));
        stream.set_read_timeout(wait).ok()?;
        stream.set_write_timeout(wait).ok()?;
        stream.write_all(&request(method, path, &[], b"")).ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).ok()?;
        let (_, body) = split(&answer)?;
        serde_json::from_slice(&body).ok()
    }

    /// How a container is.
    pub(super) async fn inspect(&self, id: &str) -> Result<State, String> {
        let known = self.describe(id).await?;
        let state = &known["State"];
        let is_running = state["Running"].as_bool().unwrap_or(false);
        let has_ended = state["Status"] == "exited" || state["Status"] == "dead";
        Ok(State {
            is_running,
            exit_code: state["ExitCode"].as_i64().filter(|_| has_ended),
            error: state["Error"].as_str().unwrap_or_default().to_owned(),
            health: state["Health"]["Status"].as_str().unwrap_or_default().to_owned(),
            health_says: last_check(&state["Health"]["Log"]),
            checked_at: checked_at(&state["Health"]["Log"]),
            out_of_memory: state["OOMKilled"].as_bool().unwrap_or(false),
            ports: ports(&known["NetworkSettings"]["Ports"]),
            lan: lan(&known["NetworkSettings"]),
        })
    }

    /// Whether Docker noted just now that a container was killed for its memory. Where it comes to know that after the
    /// container's end, it tells it as an event alone, and not as how the container is.
    pub(super) async fn says_out_of_memory(&self, id: &str, now: Timestamp) -> bool {
        if self.is_podman {
            return false;
        }
        let filters = encoded(&json!({ "container": [id], "event": ["oom"] }).to_string());
        let at = |ms: i64| format!("{}.{:03}000000", ms.div_euclid(1000), ms.rem_euclid(1000));
        let (since, until) = (at(now.0.saturating_sub(OOM_MS_MAX)), at(now.0));
        let path = format!("/events?since={since}&until={until}&filters={filters}");
        let answered = self.call("GET", &path, &[], b"").await;
        answered
            .is_ok_and(|(status, body)| status == 200 && body.iter().any(|byte| !byte.is_ascii_whitespace()))
    }

    /// All that the engine tells of a container.
    pub(super) async fn describe(&self, id: &str) -> Result<Value, String> {
        self.must("GET", &format!("/containers/{id}/json"), None).await
    }

    /// What a container uses. The engine looks twice, which takes it a second or two.
    pub(super) async fn stats(&self, id: &str) -> Option<Value> {
        self.must("GET", &format!("/containers/{id}/stats?stream=false"), None).await.ok()
    }

    /// The lines of a container's log since a moment in nanoseconds since 1970, and maybe some before it: the last
    /// [`LINES_MAX`] at most. A line that has no end is one of them when the container has ended.
    pub(super) async fn logs(&self, id: &str, since_ns: Option<i64>, has_ended: bool) -> Vec<LogLine> {
        let mut path =
            format!("/containers/{id}/logs?stdout=true&stderr=true&timestamps=true&tail={LINES_MAX}");
        if let Some(since) = since_ns {
            // Podman leaves out the moment itself, and older ones read whole seconds only.
            let (second, nanos) = (since.div_euclid(SECOND_NS), since.rem_euclid(SECOND_NS));
            path.push_str(&match self.is_podman {
                true => format!("&since={}", second.saturating_sub(1)),
                false => format!("&since={second}.{nanos:09}"),
            });
        }
        match self.call("GET", &path, &[], b"").await {
            Ok((200, answer)) => {
                // One that was cut goes on with the next look.
                let is_cut = answer.len() as u64 + HEAD_BYTES_MAX >= ANSWER_BYTES_MAX;
                log_lines(&answer, has_ended && !is_cut)
            }
            _ => Vec::new(),
        }
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let version = if path.starts_with("/libpod/") { LIBPOD_VERSION } else { VERSION };
    let mut request = format!("{method} /{version}{path} HTTP/1.0\r\nHost: engine\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
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

/// What has a label, as a filter of the engine's lists.
fn labelled(label: &str) -> String {
    encoded(&json!({ "label": [label] }).to_string())
}

fn containers(all: &Value) -> Vec<Kept> {
    let container = |one: &Value| {
        Some(Kept {
            id: one["Id"].as_str()?.to_owned(),
            labels: labels(&one["Labels"]),
            is_running: one["State"] == "running",
        })
    };
    all.as_array().into_iter().flatten().filter_map(container).collect()
}

fn volumes(all: &Value) -> Vec<Kept> {
    let volume = |one: &Value| {
        Some(Kept { id: one["Name"].as_str()?.to_owned(), labels: labels(&one["Labels"]), is_running: false })
    };
    all["Volumes"].as_array().into_iter().flatten().filter_map(volume).collect()
}

fn labels(all: &Value) -> BTreeMap<String, String> {
    let all = all.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The last line that the last check wrote.
fn last_check(log: &Value) -> String {
    let last = log.as_array().and_then(|all| all.last());
    let text = last.and_then(|last| last["Output"].as_str()).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

fn checked_at(log: &Value) -> String {
    let last = log.as_array().and_then(|all| all.last());
    last.and_then(|last| last["Start"].as_str()).unwrap_or_default().to_owned()
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

/// Docker tells it of each network by its name; Podman as well.
fn lan(settings: &Value) -> Option<Lan> {
    let networks = settings["Networks"].as_object().into_iter().flatten().map(|(_, network)| network);
    networks.chain([settings]).find_map(|network| {
        let text = |name: &str| network[name].as_str().unwrap_or_default().to_owned();
        Some(Lan {
            address: text("IPAddress").parse().ok()?,
            prefix: u8::try_from(network["IPPrefixLen"].as_u64()?).ok()?,
            gateway: text("Gateway"),
            mac: text("MacAddress"),
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_container_has_an_address_or_none() {
        let known = json!({ "IPAddress": "172.17.3.9", "IPPrefixLen": 20, "Gateway": "172.17.0.1", "MacAddress": "02:42:ac:11:03:09" });
        let found = lan(&json!({ "IPAddress": "", "Networks": { "bridge": known } })).unwrap();
        assert_eq!((found.subnet().as_str(), found.gateway.as_str()), ("172.17.0.0/20", "172.17.0.1"));
        assert_eq!(lan(&known).as_ref(), Some(&found));
        assert_eq!(lan(&json!({ "Networks": { "host": { "IPAddress": "", "IPPrefixLen": 0 } } })), None);
        for (prefix, wanted) in [(0, "0.0.0.0/0"), (32, "172.17.3.9/32")] {
            assert_eq!(Lan { prefix, ..found.clone() }.subnet(), wanted);
        }
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
