//! `landfall deploy run-task`: one task to its end.

use std::time::Duration;

use landfall_deliver::aws_json::Caller;
use landfall_deliver::deploy::definition::{Definition, Object, short};
use landfall_deliver::deploy::denied;
use landfall_deliver::deploy::diff::Values;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{self, Request, Source};
use landfall_deliver::deploy::run_task::{self, End};
use landfall_deliver::deploy::view::Service;
use landfall_deliver::deploy::words;
use landfall_deliver::{Environment, Failure, FailureKind};
use serde_json::{Value, json};

use super::definition_args::{ReadFile, SourceArgs, TaskArgs};
use super::outputs::Outputs;
use super::service_args::{NetworkArgs, TagArgs, object};
use super::show::Screen;
use super::{PlaceArgs, WatchArgs, find_service, show};

/// Run a task to its end: its log as it comes, its exit code as ours.
///
/// With --service, the task is like one of the service's: its task definition, network, capacity. What --command,
/// --env and the others change is changed for this task only; nothing is registered for it. A file is registered
/// if it says something new.
///
/// The exit code is that of the first container that failed, 1 when a task never came to run.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RunTaskArgs {
    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    source: SourceArgs,

    /// Run it as a task of this service would run
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// The container that the following are about [default: the only one]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// What the container runs: words with a shell's quotes, or a JSON array
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    command: Option<String>,

    /// A variable; the value is all that follows the first `=`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,

    #[command(flatten)]
    task: TaskArgs,

    /// Overrides as the API has them: an object, or the list of container overrides
    #[arg(long, value_name = "JSON")]
    overrides: Option<String>,

    /// How many tasks, 1 to 10
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=10))]
    count: u8,

    /// EC2, FARGATE or EXTERNAL
    #[arg(long, value_name = "TYPE", conflicts_with = "capacity_provider")]
    launch_type: Option<String>,

    /// Who started it, for people [default: GitHub-Actions in a GitHub job, else landfall]
    #[arg(long, value_name = "TEXT")]
    started_by: Option<String>,

    /// A tag of the task; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,

    #[command(flatten)]
    tags: TagArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    watch: WatchArgs,

    /// Stop the task when the time is up, or when this is interrupted
    #[arg(long)]
    stop: bool,
}

const EXAMPLES: &str = "\
Examples:
  A migration, as the service runs:
    landfall deploy run-task --cluster prod --service api \\
      --command 'rake db:migrate' --env VERBOSE=1

  A task of its own:
    landfall deploy run-task --cluster prod --family report \\
      --launch-type FARGATE --subnets subnet-0a1b \\
      --security-groups sg-2c3d

Exit codes: the container's own, 1 also when the task did not start or was
stopped; 2 wrong usage; 3 AWS could not be reached.";

impl RunTaskArgs {
    /// Where it happens.
    pub fn place(&self) -> &PlaceArgs {
        &self.place
    }
}

/// Runs it.
///
/// # Errors
/// Whatever kept it from being started, or from being watched to its end.
pub async fn run(
    args: &RunTaskArgs,
    env: &Environment,
    screen: &mut Screen,
    interrupt: &Interrupt,
) -> Result<u8, Failure> {
    let (source, file) = args.source.read()?;
    let caller = args.place.caller(env)?;
    // Before anything is registered or started.
    let outputs = Outputs::new(env, None)?;
    let service = match &args.service {
        Some(name) => Some(find_service(&caller, &args.place.cluster, name).await?),
        None => None,
    };
    let (arn, definition) = match (source, &service) {
        (Source::Named(name), _) => plan::named(&caller, &name, service.as_ref()).await?,
        (Source::Running, Some(service)) => plan::named(&caller, service.running_definition(), None).await?,
        (Source::Running, None) => {
            return Err(Failure::usage(
                "which task definition? --task-definition FILE, --family NAME or --service NAME says it",
            ));
        }
        (source @ Source::Document(_), _) => from_file(args, &caller, source, file.as_ref(), screen).await?,
    };
    let input = input(args, env, service.as_ref(), &arn, &definition)?;
    screen.progress.begins(format!("starting a task of {}", short(&arn)));
    let started = run_task::start(&caller, input).await;
    screen.progress.answered();
    let started = started?;
    let arn = started.definition.unwrap_or(arn);
    screen.tasks_begun(&started.tasks, &arn);
    outputs.write(&[("task-definition-arn", &arn), ("run-task-arn", &json!(started.tasks).to_string())]);
    if let Some(failure) = started.failure {
        return Err(failure);
    }
    if args.watch.no_wait {
        screen.tasks_left(&started.tasks, &arn, outputs.failure().as_ref());
        return outputs.exit_code(0);
    }
    let run = Run { args, caller: &caller, tasks: &started.tasks, definition: &definition, interrupt };
    run.follow(screen, &outputs).await
}

/// Registers what a file says, if it is new.
async fn from_file(
    args: &RunTaskArgs,
    caller: &Caller,
    source: Source,
    file: Option<&ReadFile>,
    screen: &mut Screen,
) -> Result<(String, Definition), Failure> {
    let request = Request {
        cluster: args.place.cluster.clone(),
        services: Vec::new(),
        source,
        edits: Box::new(|_| Ok(Vec::new())),
        update: Object::new(),
        rules: Object::new(),
        force: false,
        values: Values::Hidden,
    };
    let plan = plan::make(caller, &request).await?;
    screen.plan(&plan);
    let arns = super::register(caller, &plan, file, screen).await?;
    let part = plan.parts.into_iter().next();
    let both = arns.into_iter().next().zip(part.map(|part| part.wanted));
    both.ok_or_else(|| Failure::new(FailureKind::Outside, "ECS registered nothing"))
}

/// Tasks that run.
struct Run<'r> {
    args: &'r RunTaskArgs,
    caller: &'r Caller,
    tasks: &'r [String],
    definition: &'r Definition,
    interrupt: &'r Interrupt,
}

impl Run<'_> {
    async fn follow(&self, screen: &mut Screen, outputs: &Outputs) -> Result<u8, Failure> {
        let Self { args, caller, tasks, definition, interrupt } = *self;
        let one_container = definition.containers().len() == 1 && tasks.len() == 1;
        let followed = run_task::Followed {
            caller,
            cluster: &args.place.cluster,
            arns: tasks,
            definition,
            timeout: Duration::from_secs(args.watch.timeout),
            interrupt,
        };
        let mut tell = |told| screen.task_told(&told, one_container);
        let (end, ended) = run_task::follow(&followed, &mut tell).await;
        let exit_code = ended.iter().map(|one| one.exit_code).find(|code| *code != 0).unwrap_or(0);
        let failure = match end {
            End::Stopped => {
                screen.tasks_ended(&args.place, tasks, &ended, exit_code, outputs.failure().as_ref());
                return outputs.exit_code(exit_code);
            }
            End::Lost(failure) => failure,
            End::Timeout(left) => {
                self.leave(screen, &left, &format!("not ended after {} s", args.watch.timeout)).await
            }
            End::Interrupted(left) => self.leave(screen, &left, "stopped watching").await,
        };
        screen.tasks_ended(&args.place, tasks, &ended, failure.kind.exit_code(), Some(&failure));
        Err(failure)
    }

    /// Leaves tasks that still run, or stops them where that was asked for: what is then to be told.
    async fn leave(&self, screen: &Screen, left: &[String], why: &str) -> Failure {
        if !self.args.stop {
            return show::stopped_watching(left, &format!("{why}; the task goes on"))
                .help("--stop stops it then; `aws ecs stop-task` does it now");
        }
        let cluster = &self.args.place.cluster;
        let (mut told, mut failed) = (Vec::new(), Vec::new());
        // One that can't be stopped doesn't keep the others running.
        for task in left {
            screen.progress.begins(format!("stopping task {task}"));
            let stopped = run_task::stop(self.caller, cluster, task, "landfall deploy run-task --stop").await;
            screen.progress.answered();
            match stopped {
                Ok(()) => told.push(task.clone()),
                Err(error) => failed.push(denied::failure(
                    error,
                    &format!("{why}; stopping the task, which goes on: {task}"),
                )),
            }
        }
        let mut failed = failed.into_iter();
        let Some(mut first) = failed.next() else {
            return show::stopped_watching(left, &format!("{why}; the task was told to stop"));
        };
        first.details.extend(failed.map(|other| other.message));
        if !told.is_empty() {
            first.details.push(show::stopped_watching(&told, "told to stop").message);
        }
        first
    }
}

fn input(
    args: &RunTaskArgs,
    env: &Environment,
    service: Option<&Service>,
    arn: &str,
    definition: &Definition,
) -> Result<Object, Failure> {
    let mut input = Object::new();
    if let Some(service) = service {
        like_service(&mut input, service);
    }
    let given = args.network.members()?;
    // One takes the place of the other.
    if given.contains_key("capacityProviderStrategy") || args.launch_type.is_some() {
        input.shift_remove("capacityProviderStrategy");
        input.shift_remove("launchType");
    }
    input.extend(given);
    let in_github = if env.is_github_actions() { "GitHub-Actions" } else { "landfall" };
    let mut set = |name: &str, value: Value| {
        input.insert(name.to_owned(), value);
    };
    set("cluster", Value::from(args.place.cluster.as_str()));
    set("taskDefinition", Value::from(arn));
    set("count", Value::from(args.count));
    set("startedBy", Value::from(args.started_by.as_deref().unwrap_or(in_github)));
    if let Some(kind) = &args.launch_type {
        set("launchType", Value::from(kind.to_ascii_uppercase()));
    }
    args.tags.members().into_iter().for_each(|(name, value)| set(name, value));
    let mut tags = Vec::new();
    for text in &args.tag {
        let (key, value) =
            crate::cmd::key_value(text).map_err(|reason| Failure::usage(format!("--tag: {reason}")))?;
        tags.push(json!({ "key": key, "value": value }));
    }
    if !tags.is_empty() {
        set("tags", Value::Array(tags));
    }
    let overrides = overrides(args, definition)?;
    if !overrides.is_empty() {
        set("overrides", Value::Object(overrides));
    }
    Ok(input)
}

fn like_service(input: &mut Object, service: &Service) {
    let members = [
        ("networkConfiguration", service.network_configuration.clone()),
        ("capacityProviderStrategy", service.capacity_provider_strategy.clone()),
        ("launchType", service.launch_type.clone().map(Value::from)),
        ("platformVersion", service.platform_version.clone().map(Value::from)),
    ];
    for (name, value) in members {
        let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if let Some(value) = value.filter(|value| !is_nothing(value)) {
            input.insert(name.to_owned(), value);
        }
    }
    if input.contains_key("capacityProviderStrategy") {
        input.shift_remove("launchType");
    }
}

fn overrides(args: &RunTaskArgs, definition: &Definition) -> Result<Object, Failure> {
    let mut overrides = match args.overrides.as_deref().map(str::trim) {
        Some(list) if list.starts_with('[') => {
            let list: Value = serde_json::from_str(list)
                .map_err(|error| Failure::usage(format!("--overrides: not JSON: {error}")))?;
            Object::from_iter([("containerOverrides".to_owned(), list)])
        }
        Some(text) => object("--overrides", text)?,
        None => Object::new(),
    };
    for (name, value) in [
        ("cpu", &args.task.cpu),
        ("memory", &args.task.memory),
        ("taskRoleArn", &args.task.task_role),
        ("executionRoleArn", &args.task.execution_role),
    ] {
        if let Some(value) = value {
            overrides.insert(name.to_owned(), Value::from(value.as_str()));
        }
    }
    if args.command.is_none() && args.env.is_empty() {
        return Ok(overrides);
    }
    let mut container = Object::new();
    container.insert("name".to_owned(), Value::from(container_name(args, definition)?));
    if let Some(text) = &args.command {
        let words = words::command(text).map_err(|reason| Failure::usage(format!("--command: {reason}")))?;
        container.insert("command".to_owned(), json!(words));
    }
    let mut variables = Vec::new();
    for text in &args.env {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::usage("--env: KEY=VALUE is expected"))?;
        variables.push(json!({ "name": name, "value": value }));
    }
    if !variables.is_empty() {
        container.insert("environment".to_owned(), Value::Array(variables));
    }
    let list = overrides.entry("containerOverrides").or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        let known = list.iter_mut().filter_map(Value::as_object_mut);
        // ECS takes one override of a container and passes over another.
        match known.into_iter().find(|known| known.get("name") == container.get("name")) {
            Some(known) => merge(known, container),
            None => list.push(Value::Object(container)),
        }
    }
    Ok(overrides)
}

/// What the flags say of a container goes before what `--overrides` says; variables are added to those there.
fn merge(known: &mut Object, flags: Object) {
    for (name, value) in flags {
        let Value::Array(more) = value else { continue };
        match known.get_mut(&name).and_then(Value::as_array_mut) {
            Some(variables) if name == "environment" => {
                variables.retain(|old| more.iter().all(|new| new["name"] != old["name"]));
                variables.extend(more);
            }
            _ => {
                known.insert(name, Value::Array(more));
            }
        }
    }
}

fn container_name(args: &RunTaskArgs, definition: &Definition) -> Result<String, Failure> {
    let known = definition.containers();
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match (&args.container, known.as_slice()) {
        (Some(name), _) if !definition.is_read() => Ok(name.clone()),
        (None, _) if !definition.is_read() => Err(Failure::usage(
            "which container? --container says it: ecs:DescribeTaskDefinition is not allowed here",
        )),
        (Some(name), _) if known.contains(&name.as_str()) => Ok(name.clone()),
        (Some(name), _) => Err(Failure::usage(format!(
            "--container: {} has no container `{name}`; it has {}",
            definition.family(),
            quoted.join(", ")
        ))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(Failure::usage(format!(
            "which container? {} has {}: --container says it",
            definition.family(),
            quoted.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_flags_say_of_a_container_goes_before_its_override() {
        let object = |value: Value| serde_json::from_value::<Object>(value).unwrap();
        let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
        let mut known = object(json!({
            "name": "main", "command": ["serve"], "cpu": 10,
            "environment": [variable("A", "1"), variable("B", "2")],
        }));
        let flags = object(json!({
            "name": "main", "command": ["migrate"], "environment": [variable("B", "3"), variable("C", "4")],
        }));
        merge(&mut known, flags);
        let wanted = json!({
            "name": "main", "command": ["migrate"], "cpu": 10,
            "environment": [variable("A", "1"), variable("B", "3"), variable("C", "4")],
        });
        assert_eq!(serde_json::to_value(known).unwrap(), wanted);
    }
}
