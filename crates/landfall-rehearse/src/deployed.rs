//! What became of a deployment to ECS that a step made and that did not end well: which container, why, its last
//! words, and the line that all of it is about.
//!
//! The deploying command tells the same over the wire, without lines: it knows a task definition, and not the
//! file that it came from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use landfall_check::terraform::{Infra, to_json};
use landfall_policy::json;
use landfall_serve::World;
use landfall_serve::ecs::rollout::Status;
use landfall_serve::ecs::{runner, types};
use landfall_serve::log::{Record, Verdict};
use landfall_serve::store::Record as _;
use landfall_serve::store::ecs::{Container, Service, ServiceDeployment, ServiceRevision, Task};
use landfall_types::{AccountId, Arn, Finding, Severity, SourceMap, Span, Tree};

/// Lines of a container's log that are shown.
const LINES_SHOWN: usize = 5;
/// Largest file that is looked at for a task definition, in bytes: what ECS takes.
const DEFINITION_BYTES_MAX: u64 = 64 << 10;

/// Where a deployment came from.
pub(crate) struct Origin<'a> {
    pub(crate) world: &'a World,
    /// The Terraform, for what is written there of the service.
    pub(crate) infra: &'a Infra,
    /// The step, or the line of a script; none for what is looked at when all is over.
    pub(crate) step: Option<Span>,
    /// Task definitions that the job names.
    pub(crate) definitions: Vec<Tree>,
    /// Images that steps put into them.
    pub(crate) images: Vec<Span>,
    /// How long the job waits, where it says so.
    pub(crate) waits: Option<Span>,
    /// The job, where it could have a concurrency group and has none.
    pub(crate) ungrouped: Option<Span>,
    /// How long the rehearsal waits at most.
    pub(crate) wait_max: Option<Duration>,
}

/// A deployment that the rehearsal made.
pub(crate) struct Deployed {
    pub(crate) service: Arc<Service>,
    pub(crate) story: Arc<ServiceDeployment>,
}

/// What is to be said of the deployments among these decisions, in order.
pub(crate) fn findings(origin: &Origin<'_>, decisions: &[Arc<Record>]) -> Vec<Finding> {
    let mut known: Vec<String> = Vec::new();
    let mut findings = Vec::new();
    for record in decisions {
        let Some(deployed) = deployed(origin.world, record) else { continue };
        if known.contains(&deployed.service.key()) {
            continue;
        }
        known.push(deployed.service.key());
        findings.extend(of_deployment(origin, &deployed));
    }
    findings
}

/// Puts what is to be said of refused calls that stopped nothing behind everything else, as notes.
pub(crate) fn add_beside(findings: &mut Vec<Finding>, beside: Vec<Finding>) {
    for mut finding in beside {
        finding.severity = Severity::Note;
        finding = finding.note("the deployment went on without it: the answer would only have told more");
        if !findings.iter().any(|known| known.rule == finding.rule && known.message == finding.message) {
            findings.push(finding);
        }
    }
}

/// The deployment that a call began.
fn deployed(world: &World, record: &Record) -> Option<Deployed> {
    let begins = matches!(record.operation.as_str(), "UpdateService" | "CreateService")
        && record.action.as_deref().is_some_and(|action| action.starts_with("ecs:"))
        && record.verdict == Verdict::Allowed;
    let resource = record.resource.as_deref().filter(|_| begins)?;
    let mut services = world.store.list::<Service>("").into_iter();
    let service = services.find(|service| service.arn() == resource)?;
    let stories =
        world.store.list::<ServiceDeployment>(&service.place.of_service(&service.cluster, &service.name));
    let after = stories.into_iter().filter(|story| story.created_ms >= record.at.0);
    let story = after.min_by_key(|story| story.created_ms)?;
    Some(Deployed { service, story })
}

/// What is to be said of a deployment, when it did not end well.
pub(crate) fn of_deployment(origin: &Origin<'_>, deployed: &Deployed) -> Option<Finding> {
    let Deployed { service, story } = deployed;
    let name = format!("{}/{}", service.cluster, service.name);
    let is_superseded =
        story.status == Status::Stopped && service.current_deployment.as_ref() != Some(&story.id);
    if story.status == Status::Successful {
        return None;
    }
    if is_superseded {
        return Some(superseded(origin, deployed, &name));
    }
    let failed = failed_tasks(origin.world, deployed);
    // The refusal itself is told, with its policy.
    if failed.is_empty() && was_not_launched(deployed) {
        return None;
    }
    let finding = match failed.first() {
        Some(task) => of_task(origin, task, failed.len(), &name)?,
        None => waited(origin, deployed, &name),
    };
    let finding = match origin.step {
        Some(step) => finding.at(step, "deployed by this step"),
        None => finding,
    };
    let is_open = story.status == Status::InProgress && !failed.is_empty();
    Some(if is_open { without_breaker(origin, service, finding) } else { finding })
}

/// Whether ECS couldn't take a role of the tasks since the deployment began.
fn was_not_launched(deployed: &Deployed) -> bool {
    let since = deployed.story.created_ms;
    let events = deployed.service.events.iter().filter(|event| event.at_ms >= since);
    events.map(|event| &event.message).any(|text| runner::is_about_untaken_role(text))
}

/// The tasks of a deployment that ended by themselves, the last one first.
fn failed_tasks(world: &World, deployed: &Deployed) -> Vec<Arc<Task>> {
    let service = &deployed.service;
    let all = world.store.list::<Task>(&service.place.in_cluster(&service.cluster));
    let is_its = |task: &Arc<Task>| {
        let of = task.service.as_ref();
        of.is_some_and(|(name, number)| *name == service.name && *number == deployed.story.target)
    };
    let has_failed = |task: &Arc<Task>| {
        let reason = task.stopped_reason.as_deref().unwrap_or_default();
        !reason.is_empty() && !reason.starts_with("Scaling activity initiated by")
    };
    let mut failed: Vec<Arc<Task>> = all.into_iter().filter(is_its).filter(has_failed).collect();
    failed.sort_by_key(|task| std::cmp::Reverse(task.times.created));
    failed
}

/// A member of a container in a task definition's file.
fn member<'t>(origin: &'t Origin<'_>, family: &str, container: &str, name: &str) -> Option<(&'t Tree, Span)> {
    let found = container_tree(origin, family, container)?;
    let entry = found.entries().iter().rev().find(|(key, _)| key.text == name)?;
    Some((&entry.1, entry.0.span))
}

/// A container as the job's files, or else the Terraform, have it.
fn container_tree<'t>(origin: &'t Origin<'_>, family: &str, container: &str) -> Option<&'t Tree> {
    let in_files = origin.definitions.iter();
    let in_terraform = origin.infra.ecs_task_definitions.iter();
    let in_terraform = in_terraform.filter(|known| known.family.value == family).map(|known| &known.input);
    in_files.chain(in_terraform).find_map(|definition| {
        let all = definition.field("containerDefinitions")?.items();
        all.iter().find(|one| one.field("name").and_then(Tree::as_text) == Some(container))
    })
}

/// Where a container is written: its name.
fn place_of(origin: &Origin<'_>, family: &str, container: &str) -> Option<Span> {
    member(origin, family, container, "name").map(|(name, _)| name.span)
}

/// Why a task of the deployment ended.
fn of_task(origin: &Origin<'_>, task: &Task, count: usize, service: &str) -> Option<Finding> {
    let family = task.definition_name().split(':').next().unwrap_or_default();
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    // The refusal itself is told, with its policy.
    if reason.contains("is not authorized to perform") || reason.contains("unable to assume the role") {
        return None;
    }
    let tasks = if count == 1 { "a task".to_owned() } else { format!("{count} tasks") };
    let of = format!("{tasks} of {}, for {service}", task.definition_name());
    let blamed = blamed(task);
    let Some(container) = blamed else {
        return Some(Finding::error("task-stopped", format!("{of}, stopped: {reason}")));
    };
    let name = container.name.as_str();
    let at = |finding: Finding, span: Option<Span>, text: &str| match span {
        Some(span) => finding.at(span, text),
        None => finding,
    };
    let key = |member_name: &str| member(origin, family, name, member_name).map(|(_, key)| key);
    let stopped = format!("stopped: {reason}");
    if reason.contains("failed container health checks") {
        let finding = Finding::error(
            "health-check-failed",
            format!("the health check of `{name}` never passed, in {of}"),
        );
        let finding = at(finding, key("healthCheck"), "this check fails").note(stopped);
        let finding = match &container.health_says {
            Some(said) => finding.note(format!("what the check wrote last: {said}")),
            None => finding,
        };
        let finding = with_log(origin.world, task, container, finding);
        return Some(
            finding.help("its command runs inside of the container, and has to end with exit code 0"),
        );
    }
    if reason.starts_with("CannotPullContainerError") {
        let finding =
            Finding::error("image-not-pulled", format!("the image of `{name}` can't be pulled, in {of}"));
        let image = origin.images.first().copied();
        let image = image.or_else(|| member(origin, family, name, "image").map(|(value, _)| value.span));
        let finding = at(finding, image, &format!("this is `{}`", container.image)).note(stopped);
        return Some(finding.help("push it before, or name the tag that was pushed"));
    }
    if reason.contains("The specified log group does not exist") {
        return Some(at(without_log_group(name, &of), key("logConfiguration"), "its group").note(stopped));
    }
    let exited = container.exit_code.map(|code| format!("`{name}` exited with code {code}{}", meaning(code)));
    let what = exited.unwrap_or_else(|| format!("`{name}` did not start"));
    let is_memory = container.reason.as_deref().is_some_and(|why| why.starts_with("OutOfMemory"));
    let rule = if is_memory { "out-of-memory" } else { "container-exited" };
    let finding = Finding::error(rule, format!("{what}, in {of}"));
    let is_unsure = !is_memory && is_silent_kill(origin.world, container);
    let limit = (is_memory || is_unsure).then(|| key("memory")).flatten();
    let span = limit.or_else(|| place_of(origin, family, name));
    let text = if limit.is_some() { "it may have no more than this" } else { "this container" };
    let finding = at(finding, span, text).note(stopped);
    let finding = match &container.reason {
        _ if is_unsure => {
            finding.note("Podman before version 5 doesn't tell whether a container was killed for its memory")
        }
        Some(why) if !reason.contains(why.as_str()) => finding.note(format!("`{name}`: {why}")),
        _ => finding,
    };
    let finding = with_log(origin.world, task, container, finding);
    Some(if is_port_taken(origin.world, task, name) {
        finding.help("this engine has no bridge, so that tasks share the ports of this machine, and another one has this port: on AWS each has its own network. An engine with a bridge runs them side by side")
    } else {
        finding
    })
}

/// A log group that a task was to write to, and that isn't there.
fn without_log_group(container: &str, of: &str) -> Finding {
    let message = format!("the log group of `{container}` is not there, in {of}");
    Finding::error("log-group-missing", message).help(
        "make it: a resource `aws_cloudwatch_log_group` in the Terraform, or the option `awslogs-create-group: \"true\"`, for which the execution role needs logs:CreateLogGroup",
    )
}

/// Whether a container was killed by an engine that may not tell when that is for its memory.
fn is_silent_kill(world: &World, container: &Container) -> bool {
    let is_podman = world.ecs.engine().is_some_and(|engine| engine.kind() == "Podman");
    is_podman && container.exit_code == Some(137) && container.reason.is_none()
}

/// Whether a container complains of its port where the engine leaves nothing but the machine's.
fn is_port_taken(world: &World, task: &Task, container: &str) -> bool {
    let lacks_bridge = world.ecs.engine().is_some_and(|engine| !engine.has_bridge());
    let lines = world.ecs.log(&task.id, container).unwrap_or_default();
    lacks_bridge && lines.iter().any(|line| line.text.to_ascii_lowercase().contains("address already in use"))
}

/// The container that a task's end is about.
fn blamed(task: &Task) -> Option<&Container> {
    let all = || task.containers.iter();
    all()
        .find(|one| one.health == "UNHEALTHY")
        .or_else(|| all().find(|one| one.reason.is_some()))
        .or_else(|| all().find(|one| one.exit_code.is_some_and(|code| code != 0)))
        .or_else(|| all().find(|one| one.exit_code.is_some()))
        .or_else(|| task.containers.first())
}

/// What an exit code says about how a process ended.
fn meaning(code: i64) -> &'static str {
    match code {
        137 => " (killed)",
        139 => " (segmentation fault)",
        143 => " (asked to end)",
        126 => " (the command can't be executed)",
        127 => " (the command is not in the image)",
        _ => "",
    }
}

/// The last lines that a container wrote.
fn with_log(world: &World, task: &Task, container: &Container, finding: Finding) -> Finding {
    let lines = world.ecs.log(&task.id, &container.name).unwrap_or_default();
    let first = lines.len().saturating_sub(LINES_SHOWN);
    let shown: Vec<&str> = lines.iter().skip(first).map(|line| line.text.as_str()).collect();
    match shown.as_slice() {
        [] if container.exit_code.is_some() => finding.note("the container wrote nothing"),
        [] => finding,
        [line] => finding.note(format!("what the container wrote last: {line}")),
        lines => finding.note(format!("what the container wrote last:\n{}", lines.join("\n"))),
    }
}

/// No circuit breaker ends a deployment whose tasks fail.
fn without_breaker(origin: &Origin<'_>, service: &Service, finding: Finding) -> Finding {
    if service.rollout.rules.breaker.enabled {
        return finding;
    }
    let written = origin.infra.ecs_services.iter().find(|known| known.name.value == service.name);
    let breaker = written
        .and_then(|known| known.input.field("deploymentConfiguration")?.field("deploymentCircuitBreaker"));
    let span = breaker.map(|breaker| breaker.field("enable").map_or(breaker.span, |enable| enable.span));
    let finding = match span.or(written.map(|known| known.span)) {
        Some(span) => finding.at(span, "no circuit breaker ends this deployment: ECS goes on trying"),
        None => finding.note("no circuit breaker ends this deployment: ECS goes on trying"),
    };
    finding.help("with `enable = true` and `rollback = true` the service goes back to what ran")
}

/// Somebody else's deployment took its place.
fn superseded(origin: &Origin<'_>, deployed: &Deployed, service: &str) -> Finding {
    let world = origin.world;
    let by = deployed.service.rollout.deployments.first().and_then(|primary| {
        let place = &deployed.service.place;
        let key = place.key(&[&deployed.service.cluster, &deployed.service.name, primary.id()]);
        world.store.get::<ServiceRevision>(&key)
    });
    let by = by.map(|revision| revision.task_definition().rsplit('/').next().unwrap_or_default().to_owned());
    let finding = Finding::error(
        "deployment-superseded",
        format!(
            "another deployment of {service} began before this one was over, with {}",
            by.unwrap_or_default()
        ),
    );
    let finding = match origin.step {
        Some(step) => finding.at(step, "this step's deployment was stopped by ECS"),
        None => finding,
    };
    let finding = match origin.ungrouped {
        Some(span) => finding.at(span, "no concurrency group keeps two deployments apart"),
        None => finding,
    };
    finding.help("let deployments of one service come one after the other: `concurrency: deploy-orders`, say, on every job that makes them")
}

/// Nothing has failed, and it was not over in time.
fn waited(origin: &Origin<'_>, deployed: &Deployed, service: &str) -> Finding {
    let finding =
        Finding::error("deployment-timeout", format!("the deployment of {service} was not over in time"));
    let finding = match origin.wait_max {
        Some(most) => finding.note(format!("--deployment-wait ends the waiting after {} s", most.as_secs())),
        None => finding,
    };
    let finding = match origin.waits {
        Some(span) => finding.at(span, "the job waits this long"),
        None => finding,
    };
    let all = origin.world.store.list::<Task>(&deployed.service.place.in_cluster(&deployed.service.cluster));
    let target = Some((deployed.service.name.clone(), deployed.story.target.clone()));
    let Some(task) =
        all.into_iter().filter(|task| task.service == target).max_by_key(|task| task.times.created)
    else {
        return finding.note("no task was started for it");
    };
    let finding = finding.note(format!("its last task is {}", task.status.word()));
    let family = task.definition_name().split(':').next().unwrap_or_default();
    let checked = task.containers.iter().find_map(|container| {
        let (check, key) = member(origin, family, &container.name, "healthCheck")?;
        (container.health == "UNKNOWN").then_some((check, key, container))
    });
    match checked {
        Some((check, key, container)) => {
            let number = |name: &str, default: &str| {
                check.field(name).and_then(Tree::scalar).unwrap_or_else(|| default.to_owned())
            };
            finding
                .at(
                    key,
                    format!("`{}` is not known to be healthy before this check has passed", container.name),
                )
                .note(format!("it is made every {} s", number("interval", "30")))
        }
        None => finding,
    }
}

/// Reads the task definitions among the files that words of a job name.
pub(crate) fn definitions<'w>(
    sources: &SourceMap,
    repository: &Path,
    words: impl IntoIterator<Item = &'w str>,
) -> Vec<Tree> {
    let mut known: Vec<&str> = Vec::new();
    let mut trees = Vec::new();
    for word in words {
        let word = word.trim_matches(['"', '\'']);
        let word = word.rsplit_once('=').map_or(word, |(_, value)| value);
        if !word.ends_with(".json") || known.contains(&word) {
            continue;
        }
        known.push(word);
        let path = repository.join(word);
        let is_small = std::fs::metadata(&path).is_ok_and(|about| about.len() <= DEFINITION_BYTES_MAX);
        let Some(text) = is_small.then(|| std::fs::read_to_string(&path).ok()).flatten() else { continue };
        let shown = path.display().to_string();
        let source = sources.add(shown.strip_prefix("./").unwrap_or(&shown), text.as_str());
        let (tree, _) = json::parse(source, &text);
        if tree.field("containerDefinitions").is_some() {
            trees.push(tree);
        }
    }
    trees
}

/// A task definition that AWS can't read: the value, in the job's files, that has another type than it is to have.
pub(crate) fn of_unreadable(origin: &Origin<'_>, record: &Record, finding: Finding) -> Finding {
    let is_about = record.operation == "RegisterTaskDefinition"
        && matches!(&record.verdict, Verdict::Refused { code, .. } if code == "SerializationException");
    if !is_about {
        return finding;
    }
    let place = |definition: &Tree| {
        let input: serde_json::Value = serde_json::from_str(&to_json(definition)).ok()?;
        let misfit = types::misfit("RegisterTaskDefinition", &input)?;
        Some((at(definition, &misfit.path)?.span, misfit.expected))
    };
    match origin.definitions.iter().find_map(place) {
        Some((span, expected)) => finding.at(span, format!("{expected} is expected here")),
        None => finding,
    }
}

/// What lies at the end of a way.
fn at<'t>(tree: &'t Tree, path: &[types::Part]) -> Option<&'t Tree> {
    path.iter().try_fold(tree, |tree, part| match part {
        types::Part::Member(name) => tree.field(name),
        types::Part::Item(at) => tree.items().get(*at),
    })
}

/// A refused call that ECS made for a task, told from those of the job: what the session is, with its places.
pub(crate) fn of_task_session(origin: &Origin<'_>, record: &Record, finding: Finding) -> Option<Finding> {
    if let Some(source) = record.caller.strip_prefix("ecs-tasks.amazonaws.com for ") {
        let role = record.resource.as_deref()?;
        // A task that can't be launched is not there.
        let task = task_of(origin.world, source.rsplit('/').next()?);
        let account = Arn::parse(source).ok()?.account_id()?;
        let family = task.as_ref().and_then(|task| task.definition_name().split(':').next());
        return Some(with_role(origin, account, family, role, finding, "ECS takes this role for the task"));
    }
    let arn = Arn::parse(&record.caller).ok()?;
    let (role, session) = arn.resource.strip_prefix("assumed-role/")?.split_once('/')?;
    let task = task_of(origin.world, session)?;
    let named = ["executionRoleArn", "taskRoleArn"].into_iter().find_map(|member| {
        let name = runner::role_of(origin.world, &task, member)?;
        (name.rsplit('/').next() == Some(role)).then_some(name)
    })?;
    let (account, family) = (task.place.account, task.definition_name().split(':').next());
    let why = "the call is made by ECS in this role, to start the task";
    Some(with_role(origin, account, family, &named, finding, why))
}

fn task_of(world: &World, id: &str) -> Option<Arc<Task>> {
    world.store.list::<Task>("").into_iter().find(|task| task.id == id)
}

/// A finding with the role's place, and that where a task definition names it: of a family, where that is known.
fn with_role(
    origin: &Origin<'_>,
    account: AccountId,
    family: Option<&str>,
    role: &str,
    finding: Finding,
    why: &str,
) -> Finding {
    let name = role.rsplit('/').next().unwrap_or(role);
    let known = origin.world.store.role(account, name);
    let in_files = origin.definitions.iter();
    let in_terraform = origin.infra.ecs_task_definitions.iter();
    let in_terraform = in_terraform.filter(|known| family.is_none_or(|family| known.family.value == family));
    let mut written = in_files.chain(in_terraform.map(|known| &known.input)).flat_map(|definition| {
        let roles = ["executionRoleArn", "taskRoleArn"].into_iter();
        roles.filter_map(|member| definition.field(member))
    });
    let written =
        written.find(|value| value.as_text().is_some_and(|text| text.rsplit('/').next() == Some(name)));
    let finding = match written {
        Some(value) => finding.at(value.span, why),
        None => finding.note(format!("{why}: `{name}`")),
    };
    match known {
        Some(known) => finding.at(known.written, "the role"),
        None => finding,
    }
}
