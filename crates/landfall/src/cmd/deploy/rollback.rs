//! `landfall deploy rollback`: a service back to what ran before.

use landfall_deliver::deploy::definition::{Definition, Object, short};
use landfall_deliver::deploy::diff::{self, Values};
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{self, Part, Plan};
use landfall_deliver::deploy::roll;
use landfall_deliver::deploy::rollback::{self, Target};
use landfall_deliver::deploy::view::Service;
use landfall_deliver::deploy::watch::{self, Watching};
use landfall_deliver::{Environment, Failure};

use super::roll_out::{self, Ended};
use super::show::Screen;
use super::{PlaceArgs, WatchArgs, find_service, is_codedeploy};

/// Bring a service back to the last other revision that was stable, and watch until that is stable.
///
/// That is the service's last successful deployment of another task definition, as ECS tells it. A revision that only
/// was registered, or that failed, is never taken: where ECS tells of none that succeeded, nothing is changed, and --to
/// has to name one. A second rollback in a row goes forward again, to what ran before the first.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// The service
    #[arg(long, value_name = "NAME")]
    service: String,

    /// Go back to this one
    #[arg(long, value_name = "FAMILY:REVISION|ARN")]
    to: Option<String>,

    /// Show what it would go back to, and stop there
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    watch: WatchArgs,
}

impl RollbackArgs {
    /// Where it happens.
    pub fn place(&self) -> &PlaceArgs {
        &self.place
    }
}

/// Goes back.
///
/// # Errors
/// Whatever kept it from being begun.
pub async fn run(
    args: &RollbackArgs,
    env: &Environment,
    screen: &mut Screen,
    interrupt: &Interrupt,
) -> Result<u8, Failure> {
    let caller = args.place.caller(env)?;
    let cluster = &args.place.cluster;
    let service = find_service(&caller, cluster, &args.service).await?;
    if is_codedeploy(&service) {
        return Err(Failure::usage(format!(
            "service `{}` is deployed by CodeDeploy: `landfall deploy --family {} --service {}` with the revision \
             that is wanted brings it back",
            service.service_name, "FAMILY:REVISION", service.service_name
        )));
    }
    let (target, definition) = match &args.to {
        Some(to) => {
            let (definition, read) = plan::named(&caller, to, Some(&service)).await?;
            (Target { definition, how: "as --to says".to_owned() }, read)
        }
        None => {
            let target = rollback::target(&caller, cluster, &service).await?;
            let read = rollback::read(&caller, &target.definition).await;
            (target, read)
        }
    };
    let running = rollback::read(&caller, service.running_definition()).await;
    let plan = plan(cluster, &service, &target, &running, definition);
    screen.way_back(&plan, &target, &running.images());
    if args.dry_run {
        screen.dry_run(&plan);
        return Ok(0);
    }
    let Some(part) = plan.parts.into_iter().next() else { return Ok(0) };
    screen.progress.begins(format!(
        "updating service `{}` to {}",
        service.service_name,
        short(&target.definition)
    ));
    let begun = roll::back(&caller, cluster, &service, &target.definition, part.wanted).await?;
    screen.begun(&begun);
    let outcomes: Vec<_> = if args.watch.no_wait {
        vec![roll_out::not_waited(&begun)]
    } else {
        let patience = roll_out::patience(args.watch.timeout, args.watch.timeout, begun.waits, screen);
        let how = Watching { caller: &caller, cluster, patience, interrupt, goes_back: false };
        watch::all(&how, vec![begun], &mut |told| screen.told(&told)).await
    };
    let ended: Vec<Ended> = outcomes.into_iter().map(Box::new).map(Ended::ByEcs).collect();
    screen.ended(&args.place, &ended, None);
    Ok(roll_out::exit_code(&ended))
}

/// What would change.
fn plan(cluster: &str, service: &Service, target: &Target, running: &Definition, wanted: Definition) -> Plan {
    let is_read = running.is_read() && wanted.is_read();
    let rows = if is_read { diff::between(running, &wanted, Values::Shown) } else { Vec::new() };
    let untold = "ecs:DescribeTaskDefinition is not allowed here: what changes can't be told";
    let part = Part {
        service: Some(service.clone()),
        old: Some(service.running_definition().to_owned()),
        wanted,
        existing: Some(target.definition.clone()),
        rows,
        update: Some(Object::new()),
    };
    let notes = if is_read { Vec::new() } else { vec![untold.to_owned()] };
    Plan { cluster: cluster.to_owned(), parts: vec![part], notes }
}
