//! `landfall deploy`: a new task definition onto ECS services, watched until it really is stable.

mod codedeploy;
mod definition_args;
mod file;
mod outputs;
mod progress;
mod report;
mod roll_out;
mod rollback;
mod run_task;
mod service_args;
mod show;

use std::io::Write as _;
use std::path::PathBuf;

use landfall_deliver::aws_json::{Caller, Outside};
use landfall_deliver::deploy::diff::Values;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{self, Plan, Request, Source};
use landfall_deliver::deploy::view::Service;
use landfall_deliver::deploy::{edit, roll, words};
use landfall_deliver::http::Backoff;
use landfall_deliver::{Environment, Failure, FailureKind};

use self::codedeploy::CodeDeployArgs;
use self::definition_args::{EditArgs, ReadFile, SourceArgs};
use self::outputs::Outputs;
use self::roll_out::RollOut;
use self::service_args::ServiceArgs;
use self::show::Screen;
use super::why::InfraArgs;
use crate::edge;

/// Bring a new task definition onto ECS services, and watch until it really is stable.
///
/// The task definition comes from a file, from a family, or from what the service runs now, with the changes
/// that flags ask for; values are kept to the letter. What will change is shown first; --dry-run ends there. A
/// revision is registered only if something changed. Then the service is updated and watched: stable means that
/// this very deployment is the service's primary one, that ECS calls it completed and that all its tasks run. A
/// rollback, another deployment in its place, tasks that don't start are told as what they are, with ECS's
/// reasons, exit codes and the last log lines.
///
/// Without changes nothing is registered or updated, and a deployment that is under way is watched.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct DeployArgs {
    #[command(subcommand)]
    command: Option<DeployCommand>,

    #[command(flatten)]
    place: PlaceArgs,

    /// The services
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    service: Vec<String>,

    /// Register only: no service is updated
    #[arg(long, conflicts_with = "service")]
    register_only: bool,

    #[command(flatten)]
    source: SourceArgs,

    /// Start new tasks even if nothing changed (an image whose tag has moved, say)
    #[arg(long, visible_alias = "force-new-deployment")]
    force: bool,

    /// Show what would change, and stop there
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    watch: WatchArgs,

    /// The longest pause between two looks at the services
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = words::seconds)]
    max_pause: u64,

    /// How many tasks may fail where no circuit breaker counts them [default: half of the desired count, 3 to 200]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_failed_tasks: Option<u32>,

    /// Go back when tasks fail or the time is up, where ECS's circuit breaker doesn't: to the last revision that
    /// completed a deployment of the service; without one it stays
    #[arg(long)]
    rollback_on_failure: bool,

    /// Show no values of variables, not only none of those that look secret
    #[arg(long)]
    hide_values: bool,

    /// Also write the outputs as NAME=value lines, for GitLab's `artifacts:reports:dotenv`
    #[arg(long, value_name = "FILE")]
    dotenv: Option<PathBuf>,

    #[command(flatten)]
    edits: EditArgs,

    #[command(flatten)]
    settings: ServiceArgs,

    #[command(flatten)]
    codedeploy: CodeDeployArgs,
}

/// The parts that can be had alone.
#[derive(Debug, clap::Subcommand)]
enum DeployCommand {
    /// Print the task definition that would be registered, and call nothing that writes
    Render(Box<RenderArgs>),
    /// Run a task to its end: its log as it comes, and its exit code
    RunTask(Box<run_task::RunTaskArgs>),
    /// Bring a service back to the last other revision that was stable
    Rollback(rollback::RollbackArgs),
}

/// Where it happens.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaceArgs {
    /// The cluster
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = not_empty)]
    cluster: String,

    /// The region [env: AWS_REGION, AWS_DEFAULT_REGION]
    #[arg(long, visible_alias = "aws-region", value_name = "REGION")]
    region: Option<String>,

    /// How often a call that was throttled or broke is tried again; a refusal never is
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    max_retries: u32,

    #[command(flatten)]
    infra: InfraArgs,

    /// How to tell what happens
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = DeployFormat::Text)]
    format: DeployFormat,
}

/// A name; ECS takes an empty one, which a variable that isn't set leaves, for `default`.
fn not_empty(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the name is empty: is a variable not set?".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// How long it is watched.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchArgs {
    /// Don't watch: end as soon as AWS has accepted it
    #[arg(long)]
    no_wait: bool,

    /// How long to watch: 90s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = words::seconds)]
    timeout: u64,
}

/// How it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum DeployFormat {
    /// For people
    Text,
    /// A JSON object on each line: events, and a report at the end
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = RENDER_EXAMPLES)]
struct RenderArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// The service whose task definition is meant, without a file or a family
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    edits: EditArgs,
}

const EXAMPLES: &str = "\
Examples:
  Another image, everything else as it runs now:
    landfall deploy --cluster prod --service api --image \"$REGISTRY/api:v2\"

  A file, two containers, a variable; first look:
    landfall deploy --cluster prod --service api \\
      --task-definition task.json --image api=\"$IMAGE\" \\
      --image proxy=nginx:1.29 --env api:RELEASE=\"$GITHUB_SHA\" --dry-run

  A migration first, with the new revision:
    landfall deploy --register-only \\
      --task-definition task.json --image \"$IMAGE\"
    landfall deploy run-task --cluster prod --service api --family api \\
      --command 'rake db:migrate'
    landfall deploy --cluster prod --service api --family api

  Back to what was stable before:
    landfall deploy rollback --cluster prod --service api

Outputs in GitHub Actions: task-definition-arn, codedeploy-deployment-id (of
several services each, with commas), run-task-arn.

Exit codes: 0 stable; 1 refused, or not stable; 2 wrong usage; 3 AWS could not
be reached.";

const RENDER_EXAMPLES: &str = "\
Examples:
  landfall deploy render --task-definition task.json \\
    --image \"$IMAGE\" --env RELEASE=7 --output task-7.json
  landfall deploy render --cluster prod --service api > running.json";

/// Deploys.
///
/// # Errors
/// Whatever kept it from being begun; a deployment that went wrong is `Ok(1)`.
pub async fn run(args: DeployArgs, env: &Environment) -> Result<u8, Failure> {
    match args.command {
        Some(DeployCommand::Render(args)) => {
            render(&args, env).await.map(|()| 0).map_err(|failure| args.place.infra.explained(failure))
        }
        Some(DeployCommand::RunTask(args)) => {
            let work =
                async |screen: &mut Screen, interrupt: &_| run_task::run(&args, env, screen, interrupt).await;
            progress::attended(args.place(), work).await
        }
        Some(DeployCommand::Rollback(args)) => {
            let work =
                async |screen: &mut Screen, interrupt: &_| rollback::run(&args, env, screen, interrupt).await;
            progress::attended(args.place(), work).await
        }
        None => {
            let work = async |screen: &mut Screen, interrupt: &_| deploy(&args, env, screen, interrupt).await;
            progress::attended(&args.place, work).await
        }
    }
}

impl PlaceArgs {
    fn caller(&self, env: &Environment) -> Result<Caller, Failure> {
        let region = self.region.as_deref().or_else(|| env.region()).ok_or_else(|| {
            Failure::usage("no region: --region REGION or the variable AWS_REGION is expected")
        })?;
        is_in(region, "--cluster", &self.cluster)?;
        let attempts = self.max_retries.saturating_add(1);
        let outside = Outside { clock: edge::now, fill_random: edge::fill_random };
        Ok(Caller::new(env, region, Backoff { attempts, ..Backoff::default() }, outside))
    }
}

/// An ARN says where its thing is: elsewhere nobody knows it.
fn is_in(region: &str, flag: &str, name: &str) -> Result<(), Failure> {
    let of = name.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)).filter(|of| !of.is_empty());
    match of {
        Some(of) if of != region => {
            Err(Failure::usage(format!("{flag}: {name} is in {of}, and calls go to {region}"))
                .help(format!("--region {of} calls there; nothing was called")))
        }
        _ => Ok(()),
    }
}

async fn deploy(
    args: &DeployArgs,
    env: &Environment,
    screen: &mut Screen,
    interrupt: &Interrupt,
) -> Result<u8, Failure> {
    if args.service.is_empty() && !args.register_only {
        return Err(Failure::usage(
            "which service? --service NAME says it, or --register-only that there is none",
        ));
    }
    let mut services: Vec<String> = Vec::new();
    for name in args.service.iter().map(|name| name.trim()) {
        if name.is_empty() {
            return Err(Failure::usage("--service: a name is empty"));
        }
        if !services.iter().any(|known| known == name) {
            services.push(name.to_owned());
        }
    }
    let (source, file) = args.source.read()?;
    let caller = args.place.caller(env)?;
    for service in &services {
        is_in(caller.region(), "--service", service)?;
    }
    if let Some(name) = &args.source.family {
        is_in(caller.region(), "--family", name)?;
    }
    let request = Request {
        cluster: args.place.cluster.clone(),
        services,
        source,
        edits: Box::new(|known| args.edits.edits(known)),
        update: args.settings.update()?,
        rules: args.settings.rules(),
        force: args.force,
        values: if args.hide_values { Values::Hidden } else { Values::Shown },
    };
    let plan = plan::make(&caller, &request).await?;
    let requests = codedeploy::requests(args, &plan)?;
    if let Some(file) = &file {
        screen.left_out(&file.path, &file.left_out);
    }
    screen.plan(&plan);
    if args.dry_run {
        screen.dry_run(&plan);
        return Ok(0);
    }
    let outputs = Outputs::new(env, args.dotenv.clone())?;
    let waits = codedeploy::waits(args, &caller, &plan, &requests).await?;
    let arns = register(&caller, &plan, file.as_ref(), screen).await?;
    outputs.write(&[("task-definition-arn", &arns.join(","))]);
    if args.register_only {
        screen.registered_only(&plan, &arns, outputs.failure().as_ref());
        return outputs.exit_code(0);
    }
    let carried = RollOut {
        args,
        caller: &caller,
        plan: &plan,
        arns: &arns,
        requests,
        waits,
        outputs: &outputs,
        interrupt,
    };
    let ended = roll_out::all(carried, screen).await?;
    screen.ended(&args.place, &ended, outputs.failure().as_ref());
    outputs.exit_code(roll_out::exit_code(&ended))
}

async fn register(
    caller: &Caller,
    plan: &Plan,
    file: Option<&ReadFile>,
    screen: &Screen,
) -> Result<Vec<String>, Failure> {
    let registered = roll::register(caller, plan, |told| match told {
        roll::Registering::Begins { family } => {
            screen.progress.begins(format!("registering a revision of `{family}`"));
        }
        roll::Registering::Done { arn } => screen.registered(arn),
    });
    registered.await.map_err(|failure| match file {
        Some(file) if failure.kind == FailureKind::Refused && failure.message.contains("registering") => {
            file.point(failure)
        }
        _ => failure,
    })
}

fn is_codedeploy(service: &Service) -> bool {
    service.deployment_controller.r#type == "CODE_DEPLOY"
}

async fn render(args: &RenderArgs, env: &Environment) -> Result<(), Failure> {
    let (source, _) = args.source.read()?;
    let base = match source {
        Source::Document(definition) => definition,
        Source::Named(name) => plan::describe(&args.place.caller(env)?, &name).await?.1,
        Source::Running => {
            let service = args.service.as_ref().ok_or_else(|| {
                Failure::usage(
                    "which task definition? --task-definition FILE, --family NAME or --service NAME says it",
                )
            })?;
            let caller = args.place.caller(env)?;
            let service = find_service(&caller, &args.place.cluster, service).await?;
            plan::describe(&caller, service.running_definition()).await?.1
        }
    };
    let edits = args.edits.edits(&base.containers())?;
    let definition = edit::apply(&base, &edits).map_err(Failure::usage)?;
    let text = serde_json::to_string_pretty(definition.body())
        .map_err(|error| Failure::usage(format!("the task definition can't be written as JSON: {error}")))?;
    match &args.output {
        Some(path) => std::fs::write(path, format!("{text}\n"))
            .map_err(|error| Failure::usage(format!("writing `{}`", path.display())).caused_by(error)),
        None => writeln!(std::io::stdout(), "{text}")
            .map_err(|error| Failure::usage("writing to standard output").caused_by(error)),
    }
}

/// A service that is there and active.
async fn find_service(caller: &Caller, cluster: &str, name: &str) -> Result<Service, Failure> {
    let request = [name.to_owned()];
    plan::find(caller, cluster, &request)
        .await?
        .pop()
        .ok_or_else(|| Failure::new(FailureKind::Outside, format!("ECS's answer lacks service `{name}`")))
}
