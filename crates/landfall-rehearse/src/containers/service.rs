//! Service containers: their ports, their names, and the wait for their health.

use std::time::{Duration, Instant};

use landfall_check::github::containers::{Container, words};

use super::command::{Flags, variables};
use super::{Containers, say};
use crate::job::JobRun;
use crate::protocol::Failed;
use crate::run::Executor;

/// Between two looks at a health check: at first, and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// What is asked of a service: its health where it has a check, whether it runs, and its exit code.
const STATE: &str = "{{if .Config.Healthcheck}}{{if .State.Health}}{{.State.Health.Status}}{{end}}{{end}} {{.State.Running}} {{.State.ExitCode}}";
const ADDRESS: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";

/// A service that was started.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    /// The container's name.
    pub(super) container: String,
    pub(super) id: String,
    image: String,
    /// Port of the container, port of this machine.
    pub(super) ports: Vec<(String, String)>,
    /// Where this machine finds it.
    pub(super) address: String,
}

/// A port as `docker create --publish` takes it, on loopback alone: `80`, `8080:80/tcp`.
fn published(port: &str) -> String {
    match port.matches(':').count() {
        0 => format!("127.0.0.1::{port}"),
        1 => format!("127.0.0.1:{port}"),
        _ => port.to_owned(),
    }
}

/// Port of the container and of the machine, in the words of a workflow; the latter is none when any will do.
fn parts(port: &str) -> (&str, Option<&str>) {
    let port = port.split('/').next().unwrap_or(port);
    match port.rsplit_once(':') {
        Some((outside, inside)) => (inside, Some(outside.rsplit(':').next().unwrap_or(outside))),
        None => (port, None),
    }
}

impl Containers {
    pub(super) async fn start_service(
        &mut self,
        executor: &Executor<'_>,
        run: &mut JobRun<'_>,
        name: &str,
        service: &Container,
    ) -> Result<(), Failed> {
        let image = self.have_image(executor, run, &service.image, service.credentials.as_ref()).await?;
        let container = format!("{}_{name}", run.leftovers.id());
        let failed = |error: String| format!("Failed to initialize container {}: {error}", service.image);
        let mut args: Flags = ["create", "--name", &container].map(str::to_owned).into();
        args.extend(super::labels(run, self.own_image(&image)));
        match &self.network {
            Some(network) => {
                args.extend(["--network", network, "--network-alias", name].map(str::to_owned));
                args.extend(service.ports.iter().map(|port| format!("--publish={}", published(port))));
            }
            None => args.push("--network=host".to_owned()),
        }
        let (flags, values) = variables(service.env.iter().cloned());
        args.extend(flags);
        args.extend(service.volumes.iter().map(|volume| format!("--volume={volume}")));
        args.extend(
            words(&service.options).map_err(|error| format!("`options` of service {name}: {error}"))?,
        );
        args.extend(service.entrypoint.iter().map(|entrypoint| format!("--entrypoint={entrypoint}")));
        args.push(image.clone());
        let command = service.command.as_deref().unwrap_or_default();
        args.extend(words(command).map_err(|error| format!("`command` of service {name}: {error}"))?);
        self.made.push(container.clone());
        let id = self.engine.ask_with(&args, &values, None).await.map_err(failed)?;
        self.engine.ask(&["start", &container]).await.map_err(failed)?;
        let (ports, address) = match self.network {
            None => (self.own_ports(executor, run, name, service), "127.0.0.1".to_owned()),
            Some(_) => {
                let ports = self.engine.ask(&["port", &container]).await.map_err(failed)?;
                let asked = ["inspect", "--format", ADDRESS, &container];
                (ports.lines().filter_map(of_line).collect(), self.engine.ask(&asked).await.map_err(failed)?)
            }
        };
        let told: Vec<String> = ports
            .iter()
            .map(|(inside, outside): &(String, String)| format!("{inside} at {outside}"))
            .collect();
        let told = if told.is_empty() { String::new() } else { format!(", port {}", told.join(", ")) };
        say(executor, run, &format!("service {name}: {image}{told}"));
        let id = id.lines().next_back().unwrap_or_default().to_owned();
        self.services.push(Service { name: name.to_owned(), container, id, image, ports, address });
        Ok(())
    }

    /// The ports of a service in this machine's network, where they can't be moved.
    fn own_ports(
        &self,
        executor: &Executor<'_>,
        run: &JobRun<'_>,
        name: &str,
        service: &Container,
    ) -> Vec<(String, String)> {
        let mut ports = Vec::new();
        for (inside, outside) in service.ports.iter().map(|port| parts(port)) {
            if outside.is_some_and(|outside| outside != inside) {
                let outside = outside.unwrap_or_default();
                let line =
                    format!("Warning: port {inside} of service {name} is at {inside} here, not at {outside}");
                say(executor, run, &line);
            }
            ports.push((inside.to_owned(), inside.to_owned()));
        }
        ports
    }

    /// Waits until the services that have a health check are healthy.
    pub(super) async fn wait_for_services(
        &self,
        executor: &Executor<'_>,
        run: &JobRun<'_>,
    ) -> Result<(), Failed> {
        for service in &self.services {
            let mut pause = LOOK.0;
            let mut check = self.own_check(service).await;
            loop {
                if let Some(check) = &mut check {
                    self.check(service, check).await;
                }
                let state = self.engine.ask(&["inspect", "--format", STATE, &service.container]).await?;
                let mut words = state.rsplitn(3, ' ');
                let code = words.next().unwrap_or_default();
                let (runs, health) = (words.next() == Some("true"), words.next().unwrap_or_default().trim());
                match (health, runs) {
                    ("starting", true) => {}
                    ("healthy", _) | ("", true) => break,
                    _ => {
                        let why = match runs {
                            true => format!("its health check says {health}"),
                            false => format!("it ended with exit code {code}"),
                        };
                        for line in self.engine.both(&["logs", &service.container]).await.lines() {
                            say(executor, run, &format!("{}: {line}", service.name));
                        }
                        // GitHub goes on without a service that has ended and has no check.
                        if health.is_empty() {
                            say(executor, run, &format!("Warning: service {}: {why}", service.name));
                            break;
                        }
                        return Err(format!(
                            "Failed to initialize container {}: service {}: {why}",
                            service.image, service.name
                        ));
                    }
                }
                if let Some(reason) = executor.cancel.reason() {
                    return Err(reason);
                }
                if run.is_out_of_time() {
                    return Err(format!(
                        "service {} was not healthy when the job's time was up",
                        service.name
                    ));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK.1);
            }
        }
        Ok(())
    }
}

/// A health check that nobody but this process runs.
struct OwnCheck {
    interval: Duration,
    last: Option<Instant>,
}

impl Containers {
    /// The health check of a service where its engine leaves that to timers of systemd, as Podman does, and no systemd
    /// runs here.
    async fn own_check(&self, service: &Service) -> Option<OwnCheck> {
        if !self.engine.leaves_checks() {
            return None;
        }
        let format = "{{if .Config.Healthcheck}}{{.Config.Healthcheck.Interval}}{{end}}";
        let interval = self.engine.ask(&["inspect", "--format", format, &service.container]).await.ok()?;
        // Without a check there is no interval.
        let interval = of_go(interval.trim()).filter(|interval| !interval.is_zero())?;
        Some(OwnCheck { interval, last: None })
    }

    /// Runs a check that is due. What came of it is in the service's state.
    async fn check(&self, service: &Service, check: &mut OwnCheck) {
        if check.last.is_none_or(|last| last.elapsed() >= check.interval) {
            check.last = Some(Instant::now());
            let _ = self.engine.ask(&["healthcheck", "run", &service.container]).await;
        }
    }
}

/// A time as Go writes it, `1m30s`; as a whole number it is nanoseconds.
fn of_go(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let mut all = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
        let (number, unit) = rest.split_at(digits);
        let letters = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        all += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        rest = after;
    }
    Some(all)
}

/// `6379/tcp -> 127.0.0.1:49153`
fn of_line(line: &str) -> Option<(String, String)> {
    let (inside, outside) = line.split_once(" -> ")?;
    let inside = inside.split('/').next()?;
    Some((inside.to_owned(), outside.rsplit(':').next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_go_writes_it() {
        for (text, wanted) in [
            ("1s", Some(1_000)),
            ("1m30s", Some(90_000)),
            ("1h0m0.5s", Some(3_600_500)),
            ("250ms", Some(250)),
            ("30000000000", Some(30_000)),
            ("", Some(0)),
            ("soon", None),
            ("5", Some(0)),
        ] {
            assert_eq!(of_go(text).map(|time| time.as_millis()), wanted, "{text}");
        }
    }

    #[test]
    fn ports_are_published_on_loopback_alone() {
        for (port, wanted, inside, outside) in [
            ("80", "127.0.0.1::80", "80", None),
            ("8080:80", "127.0.0.1:8080:80", "80", Some("8080")),
            ("6379/udp", "127.0.0.1::6379/udp", "6379", None),
            ("127.0.0.1:1:2/tcp", "127.0.0.1:1:2/tcp", "2", Some("1")),
        ] {
            assert_eq!(published(port), wanted);
            assert_eq!(parts(port), (inside, outside), "{port}");
        }
        assert_eq!(of_line("6379/tcp -> 127.0.0.1:49153"), Some(("6379".to_owned(), "49153".to_owned())));
        assert_eq!(of_line("nothing"), None);
    }
}
