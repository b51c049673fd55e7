//! The machine's container engine, by its own command line: `docker`, or `podman` where no Docker answers. Options
//! of workflows (`services.NAME.options`) are words of that command line, so nothing else could read them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use landfall_serve::ecs::runner::owner;
use tokio::io::AsyncWriteExt as _;

use crate::containers;
use crate::run::ReadVariable;
use crate::script::find_program;

/// Longest wait for an answer that needs no build and no transfer.
const ASK_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for an answer at the end, and between two looks whether it is there.
const TELL_LIMIT: Duration = Duration::from_secs(10);
const TELL_LOOK: Duration = Duration::from_millis(10);
/// Variables of the user by which an engine is found.
const OF_USER: &[&str] =
    &["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"];
/// Variables of the user that say where Podman keeps what it has, and how it builds.
const OF_PODMAN: &[&str] = &[
    "HOME",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "BUILDAH_ISOLATION",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_HOST",
];
/// Where `docker` finds its engine when nothing says it.
const HOST_DEFAULT: &str = "unix:///var/run/docker.sock";

/// Which command line it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Docker,
    Podman,
}

/// An engine that answers.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) program: PathBuf,
    pub(crate) kind: Kind,
    /// Whether `docker build` is BuildKit's.
    pub(crate) has_buildx: bool,
    /// What asking it takes.
    env: BTreeMap<String, String>,
    /// Where it listens, of Docker.
    host: Option<String>,
}

impl Engine {
    /// Looks for one: Docker as the user has it, else Podman.
    ///
    /// # Errors
    /// Where it was looked for.
    pub(crate) async fn find(user: &ReadVariable) -> Result<Self, String> {
        let env: BTreeMap<String, String> = OF_USER
            .iter()
            .chain(OF_PODMAN)
            .filter_map(|name| user(name).map(|it| ((*name).to_owned(), it)))
            .collect();
        let path = env.get("PATH").cloned().unwrap_or_default();
        let named = env.get("DOCKER_HOST").filter(|host| !host.is_empty()).cloned();
        let mut tried = Vec::new();
        if let Some(program) = find_program("docker", &path) {
            let mut engine = Self {
                program,
                kind: Kind::Docker,
                has_buildx: false,
                env: env.clone(),
                host: named.clone(),
            };
            match engine.ask(&["version", "--format", "{{.Server.Version}}"]).await {
                Ok(_) => {
                    if engine.host.is_none() {
                        let asked = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"];
                        engine.host = engine.ask(&asked).await.ok().filter(|host| !host.is_empty());
                    }
                    engine.has_buildx = engine.ask(&["buildx", "version"]).await.is_ok();
                    return Ok(engine);
                }
                Err(_) => tried.push(format!("none answers at {}", named.as_deref().unwrap_or(HOST_DEFAULT))),
            }
        } else if let Some(host) = &named {
            tried.push(format!("there is no `docker` to ask the one at {host}"));
        }
        // Whoever names an engine means that one.
        if named.is_none() {
            match find_program("podman", &path) {
                Some(program) => {
                    let engine = Self { program, kind: Kind::Podman, has_buildx: false, env, host: None };
                    match engine.ask(&["version", "--format", "{{.Client.Version}}"]).await {
                        Ok(_) => return Ok(engine),
                        Err(error) => tried.push(format!("podman says: {error}")),
                    }
                }
                None => tried.push("there is no `podman`".to_owned()),
            }
        }
        Err(tried.join(", and "))
    }

    /// What a step's commands to this engine need beside their own environment: the job's home is not the user's.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        if self.kind == Kind::Docker {
            return self.host.iter().map(|host| ("DOCKER_HOST".to_owned(), host.clone())).collect();
        }
        // Podman keeps its images below the home folder.
        let own =
            OF_PODMAN.iter().filter_map(|name| Some(((*name).to_owned(), self.env.get(*name)?.clone())));
        own.collect()
    }

    /// The socket that a container may be given, of Docker.
    pub(crate) fn socket(&self) -> Option<&str> {
        if self.kind == Kind::Podman {
            return None;
        }
        self.host.as_deref().unwrap_or(HOST_DEFAULT).strip_prefix("unix://")
    }

    /// Whether it builds with BuildKit or Buildah, which take secrets.
    pub(crate) fn takes_build_secrets(&self) -> bool {
        self.has_buildx || self.kind == Kind::Podman
    }

    /// Whether somebody else has to run health checks: Podman has timers of systemd do it, where one runs.
    /// <https://www.freedesktop.org/software/systemd/man/latest/sd_booted.html>
    pub(crate) fn leaves_checks(&self) -> bool {
        self.kind == Kind::Podman && !Path::new("/run/systemd/system").exists()
    }

    /// Whether it runs as its user, with other users' numbers for those in containers.
    pub(crate) async fn is_rootless(&self) -> bool {
        let (format, word) = match self.kind {
            Kind::Docker => ("{{.SecurityOptions}}", "name=rootless"),
            Kind::Podman => ("{{.Host.Security.Rootless}}", "true"),
        };
        self.ask(&["info", "--format", format]).await.is_ok_and(|said| said.contains(word))
    }

    /// Words that remove containers, running or not: Podman would ask them first, and wait for ten seconds.
    pub(crate) fn rm(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Docker => &["rm", "--force", "--volumes"],
            Kind::Podman => &["rm", "--force", "--volumes", "--time=0"],
        }
    }

    /// Flags for a registry without a certificate: Docker knows that loopback has none.
    pub(crate) fn without_tls(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Docker => &[],
            Kind::Podman => &["--tls-verify=false"],
        }
    }

    /// Asks it something; the answer without its last newline.
    ///
    /// # Errors
    /// What it says.
    pub(crate) async fn ask<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<String, String> {
        self.ask_with(args, &[], None).await
    }

    /// Asks it something with variables of its own, and with a text on its standard input.
    ///
    /// # Errors
    /// What it says.
    pub(crate) async fn ask_with<A: AsRef<OsStr>>(
        &self,
        args: &[A],
        variables: &[(String, String)],
        input: Option<&str>,
    ) -> Result<String, String> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(args).env_clear().envs(&self.env).kill_on_drop(true);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = self.program.display();
        let exchange = async {
            let mut child = command.spawn()?;
            if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
                stdin.write_all(text.as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(ASK_LIMIT, exchange).await {
            Err(_) => Err(format!("{name} did not answer within {} s", ASK_LIMIT.as_secs())),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Ok(Ok(output)) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
            }
            Ok(Ok(output)) => Err(said(&output.stderr)),
        }
    }

    /// Logs in to a registry, for those who have the same folder for Docker's configuration.
    ///
    /// # Errors
    /// What it says.
    pub(crate) async fn log_in(
        &self,
        registry: &str,
        (user, password): (&String, &String),
        config: &Path,
    ) -> Result<String, String> {
        let file = config.join("config.json");
        let mut args: Vec<&OsStr> = Vec::new();
        if self.kind == Kind::Docker {
            args.extend([OsStr::new("--config"), config.as_os_str()]);
        }
        args.push(OsStr::new("login"));
        if self.kind == Kind::Podman {
            args.extend([OsStr::new("--authfile"), file.as_os_str()]);
        }
        args.extend(self.without_tls().iter().map(OsStr::new));
        args.extend(["--username", user.as_str(), "--password-stdin", registry].map(OsStr::new));
        self.ask_with(&args, &[], Some(password)).await
    }

    /// Brings an image from the local registry.
    ///
    /// # Errors
    /// What it says.
    pub(crate) async fn pull(&self, image: &str, config: &Path) -> Result<(), String> {
        let file = config.join("config.json");
        let mut args: Vec<&OsStr> = Vec::new();
        if self.kind == Kind::Docker {
            args.extend([OsStr::new("--config"), config.as_os_str()]);
        }
        args.extend(["pull", "--quiet"].map(OsStr::new));
        if self.kind == Kind::Podman && file.exists() {
            args.extend([OsStr::new("--authfile"), file.as_os_str()]);
        }
        args.extend(self.without_tls().iter().map(OsStr::new));
        args.push(OsStr::new(image));
        self.ask(&args).await.map(drop)
    }

    /// What it says on both of its outputs, as far as it says anything.
    pub(crate) async fn both(&self, args: &[&str]) -> String {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(args).env_clear().envs(&self.env).stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(ASK_LIMIT, command.output()).await {
            Ok(Ok(output)) => {
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).into_owned()
            }
            _ => String::new(),
        }
    }

    /// The environment of commands that are the engine's alone.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Makes a network of its own for containers.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) async fn make_network(&self, name: &str, labels: &[String]) -> Result<(), String> {
        let command =
            ["network", "create"].into_iter().chain(labels.iter().map(String::as_str)).chain([name]);
        match self.kind {
            Kind::Docker => self.ask(&command.collect::<Vec<_>>()).await.map(drop),
            // Without root the machine doesn't reach the addresses of Podman's networks.
            Kind::Podman => Err("Podman's networks can't be reached from everywhere".to_owned()),
        }
    }

    /// Whether builds have a network without being told.
    pub(crate) async fn has_bridge(&self) -> bool {
        let asked = ["network", "ls", "--filter", "driver=bridge", "--quiet"];
        self.kind == Kind::Docker && self.ask(&asked).await.is_ok_and(|found| !found.is_empty())
    }

    /// Asks it from code that can't wait for long.
    pub(crate) fn tell_now(&self, args: &[String]) {
        let mut command = std::process::Command::new(&self.program);
        command.args(args).env_clear().envs(&self.env);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Whatever it says, there is nobody left to be told.
        let Ok(mut child) = command.spawn() else { return };
        let began = std::time::Instant::now();
        while began.elapsed() < TELL_LIMIT {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TELL_LOOK);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Removes what rehearsals that were killed have left in it.
    pub(crate) async fn clean_up(&self) {
        let filter = format!("label={}", containers::LABEL);
        let label = owner::SERVER;
        let format = format!("{{{{.Id}}}}\t{{{{.State.Running}}}}\t{{{{index .Config.Labels {label:?}}}}}");
        let found = self.ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await;
        for id in found.unwrap_or_default().lines() {
            let told = self.ask(&["inspect", "--format", &format, id]).await.unwrap_or_default();
            let [_, is_running, process] = told.split('\t').collect::<Vec<_>>()[..] else { continue };
            if owner::is_left(process, is_running == "true") {
                let command: Vec<&str> = self.rm().iter().copied().chain([id]).collect();
                let _ = self.ask(&command).await;
            }
        }
        // Podman has no networks of rehearsals.
        if self.kind == Kind::Podman {
            return;
        }
        let format = format!("{{{{index .Labels {label:?}}}}}");
        let found = self.ask(&["network", "ls", "--quiet", "--no-trunc", "--filter", &filter]).await;
        for id in found.unwrap_or_default().lines() {
            let process = self.ask(&["network", "inspect", "--format", &format, id]).await;
            if process.is_ok_and(|process| owner::is_left(&process, false)) {
                let _ = self.ask(&["network", "rm", id]).await;
            }
        }
    }

    /// Whether it has an image.
    pub(crate) async fn has_image(&self, image: &str) -> bool {
        self.ask(&["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok()
    }

    /// Why an image can't be used: nothing is brought from the network.
    pub(crate) fn missing(&self, image: &str) -> String {
        let program = match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
        };
        format!(
            "the image `{image}` is not on this machine, and a rehearsal brings nothing from the network: {program} pull {image}"
        )
    }
}

/// Why something can't be had without an engine.
pub(crate) fn missing_engine(what: &str, why: &str) -> String {
    format!("{what} needs a container engine, Docker or Podman: {why}")
}

/// The line of an engine's error that says why.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next().unwrap_or("it failed without a word");
    lines.find(|line| line.contains("rror")).unwrap_or(first).to_owned()
}
