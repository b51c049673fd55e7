//! What a deployment would change: everything is looked up and worked out, and nothing is written.

use serde_json::Value;

use super::definition::{Definition, Object, short};
use super::diff::{self, Row, Values};
use super::edit::{self, Edit};
use super::names::{self, Names};
use super::view::Service;
use super::{denied, ecs};
use crate::aws::CallError;
use crate::aws_json::Caller;
use crate::failure::{Failure, FailureKind};

/// Where the task definition comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// A file of the user's, read.
    Document(Definition),
    /// A family, a `family:revision` or an ARN.
    Named(String),
    /// What each service runs now.
    Running,
}

/// The changes for a task definition with these containers.
pub type Edits<'r> = Box<dyn Fn(&[&str]) -> Result<Vec<Edit>, Failure> + 'r>;

/// What is asked for.
pub struct Request<'r> {
    /// The cluster's name or ARN.
    pub cluster: String,
    /// The services' names or ARNs; none registers only.
    pub services: Vec<String>,
    /// Where the task definition comes from.
    pub source: Source,
    /// What is changed in it.
    pub edits: Edits<'r>,
    /// Further members of `UpdateService`.
    pub update: Object,
    /// Members that are merged into the service's `deploymentConfiguration`.
    pub rules: Object,
    /// Start new tasks even if nothing changed.
    pub force: bool,
    /// How values of environment variables are shown.
    pub values: Values,
}

/// What would happen to one service.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// The service, when there is one; none when a task definition is registered only.
    pub service: Option<Service>,
    /// The ARN of what runs now, or of the family's latest revision.
    pub old: Option<String>,
    /// What is wanted.
    pub wanted: Definition,
    /// The revision that is exactly what is wanted, when there is one.
    pub existing: Option<String>,
    /// The differences; none also when there is nothing to compare with.
    pub rows: Vec<Row>,
    /// `UpdateService`, without the task definition; none when the service has to be left alone.
    pub update: Option<Object>,
}

impl Part {
    /// The service's name.
    pub fn name(&self) -> &str {
        self.service.as_ref().map_or("", |service| service.service_name.as_str())
    }

    /// `family:revision` of what is there now.
    pub fn old_name(&self) -> Option<&str> {
        self.old.as_deref().map(short)
    }

    /// Whether there is nothing to register and nothing to update.
    pub fn is_nothing(&self) -> bool {
        self.existing.is_some() && self.update.is_none()
    }
}

/// What would happen.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: String,
    /// One for each service, in the order asked for.
    pub parts: Vec<Part>,
    /// What a person should know of how the plan came about.
    pub notes: Vec<String>,
}

/// Works out what would happen.
///
/// # Errors
/// A service that isn't there or can't be updated, a task definition that isn't there, an edit that can't be
/// made, ECS's refusal.
pub async fn make(caller: &Caller, request: &Request<'_>) -> Result<Plan, Failure> {
    let mut plan = Plan { cluster: request.cluster.clone(), parts: Vec::new(), notes: Vec::new() };
    if request.services.is_empty() {
        let part = register_only(caller, request, &mut plan.notes).await?;
        plan.parts.push(part);
        return Ok(plan);
    }
    let services = find(caller, &request.cluster, &request.services).await?;
    let named = match &request.source {
        Source::Named(name) if is_as_it_is(request) => Some(named(caller, name, services.first()).await?),
        Source::Named(name) => Some(describe(caller, name).await?),
        _ => None,
    };
    for service in services {
        let part = part(caller, request, service, named.as_ref(), &mut plan.notes).await?;
        plan.parts.push(part);
    }
    Ok(plan)
}

/// Services that are there and can be deployed to, in the order asked for.
///
/// # Errors
/// One that isn't there or can't be updated; ECS's refusal.
pub async fn find(caller: &Caller, cluster: &str, names: &[String]) -> Result<Vec<Service>, Failure> {
    let (found, missing) = match ecs::describe_services(caller, cluster, names).await {
        Ok(answer) => answer,
        Err(error) => return Err(about_cluster(caller, error, cluster, names).await),
    };
    if let Some(first) = missing.first() {
        let name = first.rsplit('/').next().unwrap_or(first);
        let near = match names::look(caller, cluster, &[name.to_owned()]).await {
            Names::Absent { near, .. } => names::meant(near.as_deref()),
            Names::There | Names::Untold => String::new(),
        };
        return Err(Failure::new(
            FailureKind::Refused,
            format!("cluster `{cluster}` has no service `{name}` in {}{near}", caller.region()),
        )
        .help("check --cluster, --service and --region; `aws ecs list-services --cluster …` lists what is there"));
    }
    let mut services = Vec::new();
    for name in names {
        let is_this = |service: &&Service| service.service_arn == *name || service.service_name == *name;
        let Some(service) = found.iter().find(is_this) else {
            return Err(Failure::new(FailureKind::Outside, format!("ECS's answer lacks service `{name}`")));
        };
        check_state(service)?;
        services.push(service.clone());
    }
    Ok(services)
}

fn check_state(service: &Service) -> Result<(), Failure> {
    let name = &service.service_name;
    let refused = |text: String, help: &str| Err(Failure::new(FailureKind::Refused, text).help(help));
    match service.status.as_str() {
        "ACTIVE" => {}
        "DRAINING" => {
            return refused(
                format!("service `{name}` is being deleted (DRAINING): it can't be deployed to"),
                "check --cluster, --service and --region; one that was deleted has to be made again",
            );
        }
        _ => {
            return refused(
                format!("service `{name}` was deleted ({}): it can't be deployed to", service.status),
                "check --cluster, --service and --region; one that was deleted has to be made again",
            );
        }
    }
    if service.deployment_controller.r#type == "EXTERNAL" {
        return refused(
            format!(
                "service `{name}` has the deployment controller EXTERNAL: its task sets are made by somebody else's \
                 program, not by a deployment"
            ),
            "`--register-only` makes the revision for that program; a controller is for a service's whole life",
        );
    }
    Ok(())
}

/// Why services can't be looked at. A name that isn't there is refused as one that may not be looked at: whoever reads of
/// a policy has to know that first.
async fn about_cluster(caller: &Caller, error: CallError, cluster: &str, names: &[String]) -> Failure {
    let doing = format!("looking at the services of cluster `{cluster}`");
    let is = |code: &str| error.answer().is_some_and(|answer| answer.code.starts_with(code));
    if !is("ClusterNotFoundException") && !is("AccessDenied") {
        return denied::failure(error, &doing);
    }
    let is_absent = is("ClusterNotFoundException");
    match names::look(caller, cluster, names).await {
        Names::Absent { what, near } => {
            let near = names::meant(near.as_deref());
            error.into_failure(&doing).help(format!("there is no {what} in {}{near}", caller.region()))
        }
        _ if is_absent => {
            let help = "check --cluster and --region; without --cluster it is `default`";
            denied::failure(error, &doing).help(help)
        }
        Names::There => denied::failure(error, &doing),
        Names::Untold => {
            let failure = denied::failure(error, &doing);
            failure.help(format!(
                "but check the names first: a cluster or a service that isn't there is refused in the same words, and \
                 whether {} has this one may not be asked here (ecs:ListClusters, ecs:ListServices)",
                caller.region()
            ))
        }
    }
}

/// A task definition that has to be there, with its ARN.
///
/// # Errors
/// ECS's refusal, with what AWS leaves out of its sentence.
pub async fn describe(caller: &Caller, name: &str) -> Result<(String, Definition), Failure> {
    ecs::describe_definition(caller, name).await.map_err(|error| {
        let is_absent = error.answer().is_some_and(|answer| answer.code == "ClientException");
        let failure = denied::failure(error, &format!("looking at task definition `{}`", short(name)));
        if is_absent {
            failure.help(format!(
                "there is no such revision, or no active one of the family, in {}: check name and --region",
                caller.region()
            ))
        } else {
            failure
        }
    })
}

/// A task definition that is taken as it is: where it can't be read, its name has to do.
///
/// # Errors
/// As [`describe`].
pub async fn named(
    caller: &Caller,
    name: &str,
    service: Option<&Service>,
) -> Result<(String, Definition), Failure> {
    match ecs::describe_definition(&caller.optional(), name).await {
        Ok(found) => Ok(found),
        Err(CallError::Refused(answer)) if answer.code.starts_with("AccessDenied") => {
            // The account and the region are those of what the service runs.
            let beside = service.map(Service::running_definition);
            let prefix = beside.and_then(|arn| Some(arn.rsplit_once("task-definition/")?.0));
            let arn = match prefix {
                Some(prefix) if !name.contains('/') => format!("{prefix}task-definition/{name}"),
                _ => name.to_owned(),
            };
            Ok((arn, Definition::unread(name)))
        }
        Err(_) => describe(caller, name).await,
    }
}

/// Whether nothing is changed in the task definition.
fn is_as_it_is(request: &Request<'_>) -> bool {
    (request.edits)(&[]).is_ok_and(|edits| edits.is_empty())
}

/// As [`describe`], but only for comparing: without the permission, or without such a family, there is nothing
/// to compare with.
async fn known(
    caller: &Caller,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<Option<(String, Definition)>, Failure> {
    match ecs::describe_definition(&caller.optional(), name).await {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Refused(answer)) if answer.code.starts_with("AccessDenied") => {
            let note = "ecs:DescribeTaskDefinition is not allowed here: what runs now can't be compared with";
            if !notes.iter().any(|known| known == note) {
                notes.push(note.to_owned());
            }
            Ok(None)
        }
        Err(CallError::Refused(answer)) if answer.code == "ClientException" => Ok(None),
        Err(error) => Err(denied::failure(error, &format!("looking at task definition `{}`", short(name)))),
    }
}

async fn part(
    caller: &Caller,
    request: &Request<'_>,
    service: Service,
    named: Option<&(String, Definition)>,
    notes: &mut Vec<String>,
) -> Result<Part, Failure> {
    let running = match &request.source {
        Source::Running if is_as_it_is(request) => {
            let name = running_definition(&service)?;
            let found = known(caller, name, notes).await?;
            found.or_else(|| Some((name.to_owned(), Definition::unread(name))))
        }
        // Nothing can be made without it.
        Source::Running => Some(describe(caller, running_definition(&service)?).await?),
        _ => match running_definition(&service) {
            Ok(name) => known(caller, name, notes).await?,
            Err(_) => None,
        },
    };
    let base = match (&request.source, named, &running) {
        (Source::Document(definition), ..) => definition.clone(),
        (Source::Named(_), Some((_, definition)), _) | (Source::Running, _, Some((_, definition))) => {
            definition.clone()
        }
        _ => return Err(Failure::usage("no task definition to start from")),
    };
    let wanted = edited(&base, request)?;
    let mut candidates: Vec<&(String, Definition)> = running.iter().collect();
    candidates.extend(named);
    let mut existing = if wanted.is_read() {
        same(&candidates, &wanted)
    } else {
        named.or(running.as_ref()).map(|(arn, _)| arn.clone())
    };
    if existing.is_none() && running.is_some() {
        // An earlier attempt may have registered the very same.
        let latest = known(caller, wanted.family(), notes).await?;
        existing = same(&latest.iter().collect::<Vec<_>>(), &wanted);
    }
    let rows = match &running {
        Some((_, old)) if old.is_read() && wanted.is_read() => {
            diff::between(old, &wanted.as_kept_by(old), request.values)
        }
        _ => Vec::new(),
    };
    let old = running.map(|(arn, _)| arn).or_else(|| running_definition(&service).ok().map(str::to_owned));
    let is_other = existing.is_none() || existing != old;
    let update = update_input(request, &service, is_other);
    Ok(Part { old, wanted, existing, rows, update, service: Some(service) })
}

fn running_definition(service: &Service) -> Result<&str, Failure> {
    let name = service.running_definition();
    if name.is_empty() {
        return Err(Failure::usage(format!(
            "service `{}` runs no task definition yet: --task-definition FILE or --family NAME says which one",
            service.service_name
        )));
    }
    Ok(name)
}

/// A task definition with the changes that were asked for.
fn edited(base: &Definition, request: &Request<'_>) -> Result<Definition, Failure> {
    if !base.is_read() {
        return Ok(base.clone());
    }
    let edits = (request.edits)(&base.containers())?;
    edit::apply(base, &edits).map_err(Failure::usage)
}

fn same(candidates: &[&(String, Definition)], wanted: &Definition) -> Option<String> {
    let is_same = |known: &Definition| known.normalised() == wanted.as_kept_by(known).normalised();
    candidates.iter().find(|(_, known)| known.is_read() && is_same(known)).map(|(arn, _)| arn.clone())
}

fn update_input(request: &Request<'_>, service: &Service, is_other_definition: bool) -> Option<Object> {
    let mut input = request.update.clone();
    if input.get("desiredCount").and_then(Value::as_u64) == Some(u64::from(service.desired_count)) {
        input.shift_remove("desiredCount");
    }
    // All of them: what isn't sent could fall back to a default.
    let mut rules = service.rules.clone();
    rules.extend(request.rules.clone());
    if rules != service.rules {
        input.insert("deploymentConfiguration".to_owned(), Value::Object(rules));
    }
    if request.force {
        input.insert("forceNewDeployment".to_owned(), Value::from(true));
    }
    if input.is_empty() && !is_other_definition {
        return None;
    }
    input.insert("cluster".to_owned(), Value::from(request.cluster.as_str()));
    input.insert("service".to_owned(), Value::from(service.service_name.as_str()));
    Some(input)
}

async fn register_only(
    caller: &Caller,
    request: &Request<'_>,
    notes: &mut Vec<String>,
) -> Result<Part, Failure> {
    let base = match &request.source {
        Source::Document(definition) => definition.clone(),
        Source::Named(name) => describe(caller, name).await?.1,
        Source::Running => {
            return Err(Failure::usage(
                "without --service, --task-definition FILE or --family NAME is needed",
            ));
        }
    };
    let wanted = edited(&base, request)?;
    let latest = known(caller, wanted.family(), notes).await?;
    let existing = same(&latest.iter().collect::<Vec<_>>(), &wanted);
    let rows = latest
        .as_ref()
        .map_or_else(Vec::new, |(_, old)| diff::between(old, &wanted.as_kept_by(old), request.values));
    Ok(Part { service: None, old: latest.map(|(arn, _)| arn), wanted, existing, rows, update: None })
}
