//! Carrying a plan out: ECS updates services or CodeDeploy gets a deployment, and all are watched together.

use std::cell::RefCell;
use std::time::Duration;

use landfall_deliver::Failure;
use landfall_deliver::aws_json::Caller;
use landfall_deliver::deploy::codedeploy::{self, Followed, Request};
use landfall_deliver::deploy::definition::short;
use landfall_deliver::deploy::interrupt::Interrupt;
use landfall_deliver::deploy::plan::{Part, Plan};
use landfall_deliver::deploy::roll::{self, Begun};
use landfall_deliver::deploy::view::Service;
use landfall_deliver::deploy::watch::{self, End, Outcome, Patience, Watching};
use landfall_deliver::deploy::{denied, ecs};

use super::{DeployArgs, Outputs, show};

/// What is carried out.
pub struct RollOut<'a> {
    pub args: &'a DeployArgs,
    pub caller: &'a Caller,
    pub plan: &'a Plan,
    /// For each part the task definition.
    pub arns: &'a [String],
    /// For each part what CodeDeploy is asked, where it deploys.
    pub requests: Vec<Option<Request>>,
    /// How long CodeDeploy's groups wait by their own rules.
    pub waits: Duration,
    pub outputs: &'a Outputs,
    pub interrupt: &'a Interrupt,
}

/// How it ended for one service, by who deployed it.
pub enum Ended {
    ByEcs(Box<Outcome>),
    ByCodeDeploy(codedeploy::Outcome),
}

/// What became of one service before the watching.
enum Started {
    /// There is nothing to watch.
    Ended(Ended),
    /// ECS rolls it out.
    Rolling(Box<Begun>),
    /// CodeDeploy shifts it; the outcome is still open.
    Shifting(Followed, codedeploy::Outcome),
}

/// Begins all deployments and watches them: how each ended, in the order asked for. One that can't be begun doesn't
/// keep the others from being watched.
///
/// # Errors
/// What kept the only service from being deployed.
pub async fn all(carried: RollOut<'_>, screen: &mut show::Screen) -> Result<Vec<Ended>, Failure> {
    let started = begin(&carried, screen).await?;
    let RollOut { args, caller, plan, waits, interrupt, .. } = carried;
    if args.watch.no_wait {
        return Ok(started.into_iter().map(not_watched).collect());
    }
    let (mut rolling, mut shifting) = (Vec::new(), Vec::new());
    for one in &started {
        match one {
            Started::Ended(_) => {}
            Started::Rolling(begun) => rolling.push((**begun).clone()),
            Started::Shifting(followed, _) => shifting.push(followed.clone()),
        }
    }
    let waits = rolling.iter().map(|one| one.waits).chain([waits]).max().unwrap_or_default();
    let patience = patience(args.watch.timeout, args.max_pause, waits, screen);
    let shared = RefCell::new(&mut *screen);
    let (mut tell_rolled, mut tell_shifted) = (
        |told: watch::Told| shared.borrow_mut().told(&told),
        |service: &str, told: codedeploy::Told| shared.borrow_mut().codedeploy_told(service, &told),
    );
    let by_ecs =
        Watching { caller, cluster: &plan.cluster, patience, interrupt, goes_back: args.rollback_on_failure };
    let by_codedeploy = codedeploy::Watching { caller, until: args.codedeploy.until(), patience, interrupt };
    let (rolled, shifted) = tokio::join!(watch::all(&by_ecs, rolling, &mut tell_rolled), async {
        let mut ends = codedeploy::all(&by_codedeploy, &shifting, &mut tell_shifted).await;
        for (followed, (end, _)) in shifting.iter().zip(&mut ends).filter(|_| args.rollback_on_failure) {
            *end = stopped(caller, followed, end.clone()).await;
        }
        ends
    });
    let (mut rolled, mut shifted) = (rolled.into_iter().peekable(), shifted.into_iter());
    let mut ended = Vec::new();
    for one in started {
        match one {
            Started::Ended(one) => ended.push(one),
            Started::Rolling(begun) => {
                // The deployment, and the way back where there was one.
                while let Some(outcome) = rolled.next_if(|outcome| outcome.service == begun.service) {
                    ended.push(Ended::ByEcs(Box::new(outcome)));
                }
            }
            Started::Shifting(_, outcome) => {
                let Some((end, took)) = shifted.next() else { continue };
                ended.push(Ended::ByCodeDeploy(codedeploy::Outcome { end, took, ..outcome }));
            }
        }
    }
    Ok(ended)
}

/// Begins all deployments.
async fn begin(carried: &RollOut<'_>, screen: &mut show::Screen) -> Result<Vec<Started>, Failure> {
    let RollOut { args, caller, plan, arns, requests, outputs, .. } = carried;
    // Where it is the only one, its failure is the command's; programs find it in the report.
    let is_only = plan.parts.len() == 1 && !screen.is_json();
    let (mut started, mut ids) = (Vec::new(), Vec::new());
    for ((part, arn), request) in plan.parts.iter().zip(*arns).zip(requests) {
        let Some(service) = &part.service else { continue };
        if super::is_codedeploy(service) {
            let one = begin_shift(caller, part, arn, request.as_ref(), is_only, screen).await?;
            if let Started::Shifting(followed, _) = &one {
                ids.push(followed.id.clone());
                // At once, since the next one may be interrupted; the last line of a name counts.
                outputs.write(&[("codedeploy-deployment-id", &ids.join(","))]);
            }
            started.push(one);
            continue;
        }
        if part.update.is_some() {
            screen.progress.begins(format!("updating service `{}` to {}", part.name(), short(arn)));
        }
        let updated = roll::update(caller, part, service, arn).await;
        screen.progress.answered();
        match updated {
            Ok(mut begun) => {
                begun.wanted.failed_max = args.max_failed_tasks.unwrap_or(begun.wanted.failed_max);
                screen.begun(&begun);
                started.push(Started::Rolling(Box::new(begun)));
            }
            Err(failure) if is_only => return Err(failure),
            Err(failure) => {
                let outcome = not_updated(part, service, arn, failure);
                started.push(Started::Ended(Ended::ByEcs(Box::new(outcome))));
            }
        }
    }
    Ok(started)
}

/// Begins a deployment of CodeDeploy, where there is something to deploy.
async fn begin_shift(
    caller: &Caller,
    part: &Part,
    arn: &str,
    request: Option<&Request>,
    is_only: bool,
    screen: &show::Screen,
) -> Result<Started, Failure> {
    let mut outcome = codedeploy::Outcome {
        service: part.name().to_owned(),
        definition_arn: arn.to_owned(),
        before: part.old.clone(),
        deployment: None,
        end: codedeploy::End::NotWaited,
        took: Duration::ZERO,
    };
    let Some(request) = request else {
        outcome.end = codedeploy::End::Unchanged;
        return Ok(Started::Ended(Ended::ByCodeDeploy(outcome)));
    };
    screen.progress.begins(format!("creating a deployment of `{}`", request.application));
    let shifted = shift(caller, part, request, arn).await;
    screen.progress.answered();
    match shifted {
        Ok(id) => {
            screen.codedeploy_begun(&outcome.service, &id, request, caller.region());
            outcome.deployment = Some(id.clone());
            let cluster = part.service.as_ref().map(|service| service.cluster_arn.clone());
            let followed = Followed {
                service: outcome.service.clone(),
                id,
                cluster: cluster.unwrap_or_default(),
                definition: arn.to_owned(),
            };
            Ok(Started::Shifting(followed, outcome))
        }
        Err(failure) if is_only => Err(failure),
        Err(failure) => {
            outcome.end = codedeploy::End::NotCreated(failure);
            Ok(Started::Ended(Ended::ByCodeDeploy(outcome)))
        }
    }
}

/// Gives a service's new task definition to CodeDeploy; the deployment's id.
async fn shift(caller: &Caller, part: &Part, request: &Request, arn: &str) -> Result<String, Failure> {
    if let Some(mut update) = part.update.clone() {
        update.remove("forceNewDeployment");
        // The name of the cluster and that of the service change nothing.
        if update.len() > 2 {
            let updated = ecs::update_service(caller, update).await;
            updated.map_err(|error| {
                denied::failure(error, &format!("updating the settings of service `{}`", part.name()))
            })?;
        }
    }
    let appspec = codedeploy::appspec(&request.appspec, arn).map_err(Failure::usage)?;
    codedeploy::create(caller, &Request { appspec, ..request.clone() }).await
}

fn not_watched(started: Started) -> Ended {
    match started {
        Started::Ended(ended) => ended,
        Started::Rolling(begun) => Ended::ByEcs(Box::new(not_waited(&begun))),
        Started::Shifting(_, outcome) => Ended::ByCodeDeploy(outcome),
    }
}

/// A deployment of CodeDeploy that isn't over when the time is up is stopped, and what ran comes back.
async fn stopped(caller: &Caller, followed: &Followed, end: codedeploy::End) -> codedeploy::End {
    let codedeploy::End::Timeout { status, .. } = end else { return end };
    match codedeploy::stop(caller, &followed.id).await {
        Ok(()) => codedeploy::End::Timeout { status, is_stopped: true },
        Err(failure) => codedeploy::End::Lost(failure),
    }
}

/// How to watch: what the rules of services and groups wait for comes on top of what was asked for, all in seconds.
pub fn patience(timeout: u64, pause_max: u64, waits: Duration, screen: &show::Screen) -> Patience {
    let timeout = Duration::from_secs(timeout);
    if !waits.is_zero() {
        screen.waits_added(timeout, waits);
    }
    Patience { timeout: timeout + waits, pause_max: Duration::from_secs(pause_max) }
}

fn not_updated(part: &Part, service: &Service, arn: &str, failure: Failure) -> Outcome {
    Outcome {
        service: service.service_name.clone(),
        definition_arn: arn.to_owned(),
        before: part.old.clone(),
        deployment: String::new(),
        is_updated: false,
        end: End::NotUpdated(failure),
        took: Duration::ZERO,
        last: service.clone(),
        story: None,
        causes: Vec::new(),
        tail: None,
        complaints: Vec::new(),
        stays: None,
        is_replaced: false,
    }
}

pub fn not_waited(begun: &Begun) -> Outcome {
    Outcome {
        service: begun.service.clone(),
        definition_arn: begun.definition_arn.clone(),
        before: begun.before.clone(),
        deployment: begun.wanted.id.clone(),
        is_updated: begun.is_updated,
        end: End::NotWaited,
        took: Duration::ZERO,
        last: Service::default(),
        story: None,
        causes: Vec::new(),
        tail: None,
        complaints: Vec::new(),
        stays: None,
        is_replaced: false,
    }
}

impl Ended {
    /// What kept it from being begun or watched, if something did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::ByEcs(outcome) => match &outcome.end {
                End::Lost(failure) | End::NotUpdated(failure) => Some(failure),
                _ => None,
            },
            Self::ByCodeDeploy(outcome) => match &outcome.end {
                codedeploy::End::Lost(failure) | codedeploy::End::NotCreated(failure) => Some(failure),
                _ => None,
            },
        }
    }

    fn is_good(&self) -> bool {
        match self {
            Self::ByEcs(outcome) => outcome.end.is_good(),
            Self::ByCodeDeploy(outcome) => outcome.end.is_good(),
        }
    }
}

/// 0 when all went well, else the first of what kept one from it: 1, 2, 3.
pub fn exit_code(ended: &[Ended]) -> u8 {
    let code = |one: &Ended| match one.failure() {
        Some(failure) => failure.kind.exit_code(),
        None => u8::from(!one.is_good()),
    };
    ended.iter().map(code).filter(|code| *code != 0).min().unwrap_or(0)
}
