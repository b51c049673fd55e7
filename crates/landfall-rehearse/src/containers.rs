//! A job's containers: its services, the container that its steps run in, and those of actions. As GitHub's runner
//! makes them (`ContainerOperationProvider`, `ContainerActionHandler` in the open-source runner).
//!
//! The job's container and those of actions are in this machine's network: the local AWS side answers on loopback
//! alone. Services have a network of their own where the engine can make one, and are known by their names.

mod command;
mod service;

use std::time::Instant;

use landfall_check::github::containers::{self as written, Container};
use landfall_check::github::{Object, Value};
use landfall_serve::ecs::runner::owner;

pub(crate) use self::command::{ActionImage, inside, of_action};
use crate::engine::Engine;
use crate::event::{Event, Outcome};
use crate::home;
use crate::job::JobRun;
use crate::protocol::Failed;
use crate::run::Executor;
use crate::teach::Asked;

/// What is told of the containers' start and end.
const START: &str = "Initialize containers";
const STOP: &str = "Stop containers";
/// Lines of a service's log that are shown when the job has failed.
const LOG_LINES: &str = "20";
/// Who made a container, as its label says.
pub(crate) const LABEL: &str = "landfall.rehearsal";

/// What a job has of the engine. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Containers {
    engine: Engine,
    /// The network that services are in; none is this machine's.
    network: Option<String>,
    services: Vec<service::Service>,
    job: Option<JobContainer>,
    /// Names of containers.
    made: Vec<String>,
    /// Names of images that only this job has.
    images: Vec<String>,
}

/// The container that steps run in.
#[derive(Debug)]
struct JobContainer {
    name: String,
    id: String,
    /// `PATH` of its image.
    path: String,
}

/// What a job asks for.
struct Wanted {
    container: Option<Container>,
    services: Vec<(String, Container)>,
}

/// Starts what the job asks for, and waits for services that have a health check.
pub(crate) async fn initialize(executor: &mut Executor<'_>, run: &mut JobRun<'_>) {
    let body = run.body;
    if body.container.is_none() && body.services.is_none() {
        return;
    }
    let began = Instant::now();
    let wanted = wanted(executor, run);
    if let Ok(Wanted { container: None, services }) = &wanted
        && services.is_empty()
    {
        return;
    }
    executor.observer.event(Event::StepStarted { name: START });
    let result = match wanted {
        Ok(wanted) => start(executor, run, wanted).await,
        Err(error) => Err(error),
    };
    if result.is_err() {
        run.fail();
        run.has_lost_container = body.container.is_some();
    }
    let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Failure };
    let asked = Asked::at(run.job.job.span);
    run.tell_end(executor, START, &asked, (outcome, result.err()), began);
}

fn wanted(executor: &Executor<'_>, run: &JobRun<'_>) -> Result<Wanted, Failed> {
    let contexts = run.contexts(executor, &[]);
    let container = run.body.container.as_ref().map(|tree| written::container(tree, &contexts));
    let services = run.body.services.as_ref().map(|tree| written::services(tree, &contexts));
    Ok(Wanted {
        container: container.transpose().map_err(|error| format!("`container`: {error}"))?.flatten(),
        services: services.transpose().map_err(|error| format!("`services`: {error}"))?.unwrap_or_default(),
    })
}

async fn start(executor: &mut Executor<'_>, run: &mut JobRun<'_>, wanted: Wanted) -> Result<(), Failed> {
    let engine = executor.engine().await?;
    let mut containers = Containers::new(engine);
    if !wanted.services.is_empty() {
        containers.make_network(executor, run).await;
    }
    for (name, service) in &wanted.services {
        containers.start_service(executor, run, name, service).await?;
    }
    if let Some(container) = &wanted.container {
        containers.start_job(executor, run, container).await?;
    }
    containers.wait_for_services(executor, run).await?;
    run.containers = Some(containers);
    Ok(())
}

/// Ends what the job had of the engine.
pub(crate) async fn stop(executor: &mut Executor<'_>, run: &mut JobRun<'_>) {
    let Some(mut containers) = run.containers.take() else { return };
    let began = Instant::now();
    let is_told = containers.job.is_some() || !containers.services.is_empty();
    if is_told {
        executor.observer.event(Event::StepStarted { name: STOP });
        if run.outcome() == Outcome::Failure {
            containers.tell_logs(executor, run).await;
        }
    }
    containers.hand_back().await;
    containers.remove().await;
    if is_told {
        let asked = Asked::at(run.job.job.span);
        run.tell_end(executor, STOP, &asked, (Outcome::Success, None), began);
    }
}

/// What a job has of the engine, for a step that needs it.
///
/// # Errors
/// Why there is no engine.
pub(crate) async fn of_job<'r>(
    executor: &Executor<'_>,
    run: &'r mut JobRun<'_>,
) -> Result<&'r mut Containers, Failed> {
    if run.containers.is_none() {
        run.containers = Some(Containers::new(executor.engine().await?));
    }
    run.containers.as_mut().ok_or_else(|| "the job has no containers".to_owned())
}

/// An image of the engine, or one of the local registry that anybody may have.
///
/// # Errors
/// That it isn't there.
pub(crate) async fn image(
    executor: &Executor<'_>,
    run: &mut JobRun<'_>,
    image: &str,
) -> Result<String, Failed> {
    let mut containers = match run.containers.take() {
        Some(containers) => containers,
        None => Containers::new(executor.engine().await?),
    };
    let image = containers.have_image(executor, run, image, None).await;
    run.containers = Some(containers);
    image
}

/// The flags that say whose something of the engine is, and which image goes with it.
fn labels(run: &JobRun<'_>, image: Option<&str>) -> Vec<String> {
    let mut labels = vec![
        format!("--label={LABEL}={}", run.leftovers.id()),
        format!("--label={}", owner::process_label()),
    ];
    labels.extend(image.map(|image| format!("--label={}={image}", owner::IMAGE)));
    labels
}

/// Says a line of the containers' start.
fn say(executor: &Executor<'_>, run: &JobRun<'_>, line: &str) {
    executor.observer.event(Event::Output { line: &run.masks.mask(line) });
}

impl Containers {
    fn new(engine: Engine) -> Self {
        Self { engine, network: None, services: Vec::new(), job: None, made: Vec::new(), images: Vec::new() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// An image that goes with the job.
    pub(crate) fn adopt_image(&mut self, image: &str) {
        self.images.push(image.to_owned());
    }

    /// An image that only this job has, if it is one.
    fn own_image<'i>(&self, image: &'i str) -> Option<&'i str> {
        self.images.iter().any(|own| own == image).then_some(image)
    }

    /// Adds `job.container` and `job.services`.
    pub(crate) fn add_to(&self, job: &mut Object) {
        let network = self.network.as_deref().unwrap_or("host");
        let of = |id: &str| Object::new().with("id", Value::from(id)).with("network", Value::from(network));
        if let Some(container) = &self.job {
            job.set("container", of(&container.id).into());
        }
        if !self.services.is_empty() {
            let mut services = Object::new();
            for service in &self.services {
                let ports: Object = service
                    .ports
                    .iter()
                    .map(|(inside, outside)| (inside.clone(), Value::from(outside.as_str())))
                    .collect();
                services.set(service.name.as_str(), of(&service.id).with("ports", ports.into()).into());
            }
            job.set("services", services.into());
        }
    }

    /// Sees to it that an image is there: those of the local registry are brought, others have to be.
    pub(crate) async fn have_image(
        &mut self,
        executor: &Executor<'_>,
        run: &mut JobRun<'_>,
        image: &str,
        credentials: Option<&(String, String)>,
    ) -> Result<String, Failed> {
        let image = home::bring_home(image, &executor.at_home()).map_err(|host| {
            format!("the image `{image}` is at {host}: a rehearsal never talks to the real AWS")
        })?;
        let Some((registry, _)) = image.split_once('/').filter(|_| executor.is_at_home(&image)) else {
            return match self.engine.has_image(&image).await {
                true => Ok(image),
                false => Err(self.engine.missing(&image)),
            };
        };
        let number = run.next_number();
        let config = run.folders.commands.join(format!("registry-{number}"));
        std::fs::create_dir(&config).map_err(|error| format!("cannot make {}: {error}", config.display()))?;
        let pulled = async {
            if let Some((user, password)) = credentials {
                self.engine.log_in(registry, (user, password), &config).await?;
            }
            self.engine.pull(&image, &config).await
        };
        let pulled = pulled.await.map_err(|error| format!("Docker pull failed: {error}"));
        let _ = std::fs::remove_dir_all(&config);
        pulled?;
        self.adopt_image(&image);
        Ok(image)
    }

    async fn make_network(&mut self, executor: &Executor<'_>, run: &JobRun<'_>) {
        let name = run.leftovers.id().replacen("github_", "github_network_", 1);
        // Whoever is stopped while it is made removes it.
        self.network = Some(name.clone());
        if let Err(why) = self.engine.make_network(&name, &labels(run, None)).await {
            self.network = None;
            let line = format!(
                "services are in this machine's network, each port where its container has it: {why}"
            );
            say(executor, run, &line);
        }
    }

    async fn start_job(
        &mut self,
        executor: &Executor<'_>,
        run: &mut JobRun<'_>,
        container: &Container,
    ) -> Result<(), Failed> {
        let image = self.have_image(executor, run, &container.image, container.credentials.as_ref()).await?;
        let name = format!("{}_job", run.leftovers.id());
        let (args, variables) = self.job_command(run, container, (&name, &image))?;
        self.made.push(name.clone());
        let failed = |error: String| format!("Failed to initialize container {}: {error}", container.image);
        let id = self.engine.ask_with(&args, &variables, None).await.map_err(failed)?;
        self.engine.ask(&["start", &name]).await.map_err(failed)?;
        let format = "{{.State.Running}}\n{{range .Config.Env}}{{println .}}{{end}}";
        let known = self.engine.ask(&["inspect", "--format", format, &name]).await.map_err(failed)?;
        if !known.starts_with("true") {
            return Err(failed("it ended at once; the image needs `tail`".to_owned()));
        }
        let path = known.lines().find_map(|line| line.strip_prefix("PATH="));
        let path = path.unwrap_or(command::PATH_DEFAULT).to_owned();
        let id = id.lines().next_back().unwrap_or_default().to_owned();
        say(executor, run, &format!("steps run in a container of {image}, in this machine's network"));
        self.job = Some(JobContainer { name, id, path });
        Ok(())
    }

    /// Whether steps run in a container that has a program.
    pub(crate) async fn has_program(&self, name: &str) -> bool {
        let Some(job) = &self.job else { return false };
        self.engine.ask(&["exec", &job.name, "sh", "-c", &format!("command -v {name}")]).await.is_ok()
    }

    /// Whether steps run in a container.
    pub(crate) fn has_job(&self) -> bool {
        self.job.is_some()
    }

    async fn tell_logs(&self, executor: &Executor<'_>, run: &JobRun<'_>) {
        for service in &self.services {
            let tail = ["logs", "--tail", LOG_LINES, &service.container];
            for line in self.engine.both(&tail).await.lines() {
                say(executor, run, &format!("{}: {line}", service.name));
            }
        }
    }

    /// What the container's user has written is its own, and the folder couldn't be removed.
    async fn hand_back(&self) {
        let user = rustix::process::getuid();
        let Some(job) = self.job.as_ref().filter(|_| !user.is_root()) else { return };
        // Where the engine runs as its user, that one is root in containers.
        let owner = match self.engine.is_rootless().await {
            true => "0:0".to_owned(),
            false => format!("{}:{}", user.as_raw(), rustix::process::getgid().as_raw()),
        };
        let args = ["exec", "--user", "0", &job.name, "chown", "-R", &owner, "/__w", "/github"];
        // An image without `chown` leaves its files; the folder says so when it can't be removed.
        let _ = self.engine.ask(&args).await;
    }

    async fn remove(&mut self) {
        for command in self.removal() {
            let _ = self.engine.ask(&command).await;
        }
    }

    /// The commands that remove everything; nothing is left to be removed.
    fn removal(&mut self) -> Vec<Vec<String>> {
        let mut commands = Vec::new();
        let mut add = |words: &[&str], names: Vec<String>| {
            if !names.is_empty() {
                commands.push(words.iter().map(|word| (*word).to_owned()).chain(names).collect());
            }
        };
        add(self.engine.rm(), std::mem::take(&mut self.made));
        add(&["network", "rm"], self.network.take().into_iter().collect());
        add(&["image", "rm", "--force"], std::mem::take(&mut self.images));
        commands
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for command in self.removal() {
            self.engine.tell_now(&command);
        }
    }
}
