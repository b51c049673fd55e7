//! Services that CodeDeploy deploys: their flags, and what CodeDeploy is asked for each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_deliver::Failure;
use landfall_deliver::aws_json::Caller;
use landfall_deliver::deploy::codedeploy::{self, Request, Until};
use landfall_deliver::deploy::plan::{Part, Plan};
use landfall_deliver::deploy::view::Service;

use super::{DeployArgs, file, is_codedeploy};
use crate::files::shown;

/// What is said of CodeDeploy.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "CodeDeploy (services with the deployment controller CODE_DEPLOY)")]
pub struct CodeDeployArgs {
    /// The AppSpec, JSON or YAML; the task definition is put into it; may be repeated, as all of these
    /// [default: appspec.yaml, .yml or .json]
    #[arg(long, value_name = "[SERVICE=]FILE")]
    codedeploy_appspec: Vec<String>,

    /// The application [default: AppECS-CLUSTER-SERVICE]
    #[arg(long, value_name = "[SERVICE=]NAME")]
    codedeploy_application: Vec<String>,

    /// The deployment group, which has one service [default: DgpECS-CLUSTER-SERVICE]
    #[arg(long, value_name = "[SERVICE=]NAME")]
    codedeploy_deployment_group: Vec<String>,

    /// A description
    #[arg(long, value_name = "TEXT")]
    codedeploy_deployment_description: Option<String>,

    /// The deployment configuration [default: the group's]
    #[arg(long, value_name = "[SERVICE=]NAME")]
    codedeploy_deployment_config: Vec<String>,

    /// `ready` ends where somebody has to shift the traffic
    #[arg(long, value_enum, value_name = "STATE", default_value_t = WaitFor::Succeeded)]
    codedeploy_wait_for: WaitFor,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum WaitFor {
    Succeeded,
    Ready,
}

impl CodeDeployArgs {
    /// How far deployments are watched.
    pub fn until(&self) -> Until {
        match self.codedeploy_wait_for {
            WaitFor::Ready => Until::Ready,
            WaitFor::Succeeded => Until::Succeeded,
        }
    }

    /// The flags whose values may be for one service.
    fn scoped(&self) -> [(&'static str, &[String]); 4] {
        [
            (APPSPEC, &self.codedeploy_appspec),
            (APPLICATION, &self.codedeploy_application),
            (GROUP, &self.codedeploy_deployment_group),
            (CONFIG, &self.codedeploy_deployment_config),
        ]
    }

    /// A flag that was given, if one was.
    fn given(&self) -> Option<&'static str> {
        let scoped = self.scoped().into_iter().find(|(_, texts)| !texts.is_empty()).map(|(flag, _)| flag);
        scoped
            .or(self
                .codedeploy_deployment_description
                .as_ref()
                .map(|_| "--codedeploy-deployment-description"))
            .or((self.codedeploy_wait_for == WaitFor::Ready).then_some("--codedeploy-wait-for"))
    }
}

/// For each part what CodeDeploy is asked, the task definition left open; none where ECS deploys, or where nothing
/// changes. Nobody is called: what can't be used is told before a revision is registered.
///
/// # Errors
/// Flags for services of others, a group for several, an AppSpec that can't be used.
pub fn requests(args: &DeployArgs, plan: &Plan) -> Result<Vec<Option<Request>>, Failure> {
    let asked: Vec<&str> = plan.parts.iter().map(Part::name).collect();
    let (ours, others): (Vec<&Service>, Vec<&Service>) = plan
        .parts
        .iter()
        .filter_map(|part| part.service.as_ref())
        .partition(|service| is_codedeploy(service));
    let elsewhere = |flag: &str, other: &Service| {
        let controller = &other.deployment_controller.r#type;
        let name = &other.service_name;
        Failure::usage(format!(
            "{flag}: service `{name}` has the deployment controller {controller}, not CODE_DEPLOY"
        ))
    };
    if let (Some(flag), [], [other, ..]) = (args.codedeploy.given(), ours.as_slice(), others.as_slice()) {
        return Err(elsewhere(flag, other));
    }
    for (flag, texts) in args.codedeploy.scoped() {
        let named = texts.iter().filter_map(|text| split(text, &asked).0);
        for name in named {
            if let Some(other) = others.iter().find(|other| other.service_name == name) {
                return Err(elsewhere(flag, other));
            }
        }
    }
    let groups = &args.codedeploy.codedeploy_deployment_group;
    if ours.len() > 1 && groups.iter().any(|text| split(text, &asked).0.is_none()) {
        let names: Vec<String> = ours.iter().map(|service| format!("`{}`", service.service_name)).collect();
        return Err(Failure::usage(format!(
            "{GROUP}: a deployment group has one service, and CodeDeploy deploys {}: {GROUP} SERVICE=NAME says whose \
             it is",
            names.join(" and ")
        )));
    }
    plan.parts.iter().map(|part| request(args, part, &asked)).collect()
}

fn request(args: &DeployArgs, part: &Part, asked: &[&str]) -> Result<Option<Request>, Failure> {
    let Some(service) = part.service.as_ref().filter(|service| is_codedeploy(service)) else {
        return Ok(None);
    };
    if part.is_nothing() {
        return Ok(None);
    }
    let name = service.service_name.as_str();
    let said = |flag: &'static str| -> Result<Option<&str>, Failure> {
        let of = args.codedeploy.scoped().into_iter().find(|(known, _)| *known == flag);
        said(flag, of.map_or(&[], |(_, texts)| texts), name, asked)
    };
    let cluster = args.place.cluster.rsplit('/').next().unwrap_or(&args.place.cluster);
    let named = |given: Option<&str>, prefix: &str| {
        given.map_or_else(|| format!("{prefix}-{cluster}-{name}"), str::to_owned)
    };
    Ok(Some(Request {
        application: named(said(APPLICATION)?, "AppECS"),
        group: named(said(GROUP)?, "DgpECS"),
        appspec: appspec(part, name, said(APPSPEC)?)?,
        description: args.codedeploy.codedeploy_deployment_description.clone(),
        config: said(CONFIG)?.map(str::to_owned),
        rolls_back: args.rollback_on_failure,
    }))
}

/// Reads a service's AppSpec.
fn appspec(part: &Part, service: &str, said: Option<&str>) -> Result<serde_json::Value, Failure> {
    let found = || DEFAULTS.iter().map(Path::new).find(|name| name.is_file()).map(Path::to_owned);
    let path = said.map(PathBuf::from).or_else(found).ok_or_else(|| {
        Failure::usage(format!(
            "service `{service}` is deployed by CodeDeploy, which needs an AppSpec: {APPSPEC} FILE"
        ))
    })?;
    let document = file::read(&path)?;
    let appspec = codedeploy::appspec(&document.value, "")
        .map_err(|reason| Failure::usage(format!("{}: {reason}", shown(&path))))?;
    let known = part.wanted.containers();
    for container in codedeploy::containers(&appspec) {
        if part.wanted.is_read() && !known.contains(&container.as_str()) {
            return Err(Failure::usage(format!(
                "{}: traffic goes to container `{container}`, and the task definition of service `{service}` has {}",
                shown(&path),
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ))
            .help(format!("{APPSPEC} {service}=FILE says another one for this service")));
        }
    }
    Ok(appspec)
}

/// What a flag of the shape `[SERVICE=]VALUE` says of a service: its own, or what is for all.
fn said<'a>(
    flag: &str,
    texts: &'a [String],
    service: &str,
    asked: &[&str],
) -> Result<Option<&'a str>, Failure> {
    let pairs = || texts.iter().map(|text| split(text, asked));
    let of = |whom: Option<&str>| -> Result<Option<&'a str>, Failure> {
        let mut values = pairs().filter(|(name, _)| *name == whom).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(first), Some(second)) => {
                let whom = whom.map_or_else(String::new, |name| format!(" of service `{name}`"));
                Err(Failure::usage(format!("{flag} is said twice{whom}: `{first}` and `{second}`")))
            }
            (value, _) => Ok(value),
        }
    };
    Ok(of(Some(service))?.or(of(None)?))
}

/// `SERVICE=VALUE`, where only what was asked for is a service: a name or a path may have an `=` of its own.
fn split<'a>(text: &'a str, asked: &[&str]) -> (Option<&'a str>, &'a str) {
    match text.split_once('=') {
        Some((name, value)) if asked.contains(&name) => (Some(name), value),
        _ => (None, text),
    }
}

/// Asks for every deployment group before anything is written: how much longer than usual the longest of them waits.
///
/// # Errors
/// No such application or group, a group of another service, no permission.
pub async fn waits(
    args: &DeployArgs,
    caller: &Caller,
    plan: &Plan,
    requests: &[Option<Request>],
) -> Result<Duration, Failure> {
    let mut longest = Duration::ZERO;
    for (part, request) in plan.parts.iter().zip(requests) {
        if let Some(request) = request {
            longest =
                longest.max(codedeploy::group_waits(caller, request, &plan.cluster, part.name()).await?);
        }
    }
    // Nobody waits, and whose group it is matters all the same.
    Ok(if args.watch.no_wait { Duration::ZERO } else { longest })
}

const APPSPEC: &str = "--codedeploy-appspec";
const APPLICATION: &str = "--codedeploy-application";
const GROUP: &str = "--codedeploy-deployment-group";
const CONFIG: &str = "--codedeploy-deployment-config";
/// Where an AppSpec is looked for.
const DEFAULTS: [&str; 3] = ["appspec.yaml", "appspec.yml", "appspec.json"];
