//! `landfall deploy rollback`: a service back to what ran before.

use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::rollback::{self, Target};
use landfall_deliver::deploy::watch;
use landfall_deliver::deploy::{plan, roll};
use landfall_deliver::{Environment, Failure};

use super::roll_out::{self, Ended};
use super::{PlaceArgs, WatchArgs, find_service, is_codedeploy};
use crate::ui;

/// Bring a service back to what ran before, and watch until that is stable.
///
/// What ran before is the service's last successful deployment of another task definition, as ECS tells it;
/// where ECS tells nothing, the family's revision before.
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
pub async fn run(args: RollbackArgs, env: &Environment) -> Result<u8, Failure> {
    let caller = args.place.caller(env)?;
    let mut screen = args.place.screen();
    let cluster = &args.place.cluster;
    let service = find_service(&caller, cluster, &args.service).await?;
    if is_codedeploy(&service) {
        return Err(Failure::usage(format!(
            "service `{}` is deployed by CodeDeploy: `landfall deploy --family {} --service {}` with the revision \
             that is wanted brings it back",
            service.service_name, "FAMILY:REVISION", service.service_name
        )));
    }
    let target = match &args.to {
        Some(to) => Target { definition: to.clone(), how: "as --to says".to_owned() },
        None => rollback::target(&caller, cluster, &service).await?,
    };
    let (arn, definition) = plan::describe(&caller, &target.definition).await?;
    if args.place.format == super::DeployFormat::Text {
        let name = ui::styled(ui::BOLD, &service.service_name);
        let now = short(service.running_definition());
        ui::line(format!("{name}  {now} → {}, {}", short(&arn), target.how));
    }
    if args.dry_run {
        return Ok(0);
    }
    let begun = [roll::back(&caller, cluster, &service, &arn, definition).await?];
    begun.iter().for_each(|one| screen.begun(one));
    let outcomes: Vec<_> = if args.watch.no_wait {
        begun.iter().map(roll_out::not_waited).collect()
    } else {
        let waits = begun.iter().map(|one| one.waits).max().unwrap_or_default();
        let patience = roll_out::patience(args.watch.timeout, args.watch.timeout, waits, &screen);
        watch::all(&caller, cluster, &begun, patience, &mut |told| screen.told(&told)).await
    };
    let ended: Vec<Ended> = outcomes.into_iter().map(Box::new).map(Ended::ByEcs).collect();
    screen.ended(&args.place, &ended);
    Ok(roll_out::exit_code(&ended))
}
