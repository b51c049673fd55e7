//! Tasks: run, stopped, described, listed.

use std::sync::Arc;

use landfall_wire::error::AwsError;
use landfall_wire::hash::sha256_hex;
use landfall_wire::ids;
use serde_json::{Value, json};

use super::page::Page;
use super::pass_role::{self, PassedTo};
use super::{
    Called, Fault, Keys, active_cluster, client, cluster_key, cluster_name, controller, failure, includes,
    invalid, launch, load, members, names, resource_tag_keys, runner, service_input, services, settings,
    tags, task_json,
};
use crate::authz::ecs_calls as calls;
use crate::store::ecs::{
    Body, Container, Place, RunToken, Sizes, Tags, Task, TaskDefinition, TaskStatus, TaskTimes,
};
use crate::world::World;

/// Tasks that one call runs.
const RUN_MAX: i64 = 10;
/// Tasks that one call describes.
const DESCRIBED_MAX: usize = 100;
/// Longest `reason`, in characters.
const REASON_CHARS_MAX: usize = 1_024;
/// Longest `overrides`, in characters of JSON.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
const OVERRIDES_CHARS_MAX: usize = 8_192;
/// Longest `startedBy`, in characters.
const STARTED_BY_CHARS_MAX: usize = 128;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "RunTask" => run(call),
        "StartTask" => start(call),
        "StopTask" => stop(call),
        "DescribeTasks" => describe(call),
        "ListTasks" => list(call),
        "ExecuteCommand" => execute(call),
        _ => return None,
    })
}

/// A task that is about to be made.
pub(super) struct NewTask<'a> {
    pub(super) cluster: &'a str,
    pub(super) id: String,
    pub(super) long_arn: bool,
    pub(super) definition: &'a TaskDefinition,
    pub(super) service: Option<(String, String)>,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
    pub(super) body: Body,
    pub(super) tags: Tags,
}

impl NewTask<'_> {
    /// The task at its beginning.
    pub(super) fn build(self, world: &World) -> Task {
        let now = world.clock.now().0;
        let mut body = self.body;
        for member in ["cpu", "memory"] {
            if let Some(value) = self.definition.body.get(member) {
                body.entry(member).or_insert_with(|| value.clone());
            }
        }
        body.entry("launchType").or_insert_with(|| json!("EC2"));
        launch::add_platform(&mut body, self.definition);
        let sizes = sizes_of(&body);
        let containers = self.definition.containers().map(|container| Container {
            sizes: sizes(container),
            id: ids::request_id(world.random()),
            name: container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            image: container.get("image").and_then(Value::as_str).unwrap_or_default().to_owned(),
            digest: None,
            runtime_id: None,
            status: "PENDING".to_owned(),
            exit_code: None,
            reason: None,
            health: "UNKNOWN".to_owned(),
            health_says: None,
            ports: Vec::new(),
        });
        Task {
            place: self.definition.place.clone(),
            cluster: self.cluster.to_owned(),
            id: self.id,
            long_arn: self.long_arn,
            definition: self.definition.arn(),
            service: self.service,
            group: self.group,
            started_by: self.started_by,
            status: TaskStatus::Provisioning,
            is_stopping: false,
            stop_code: None,
            stopped_reason: None,
            health: "UNKNOWN".to_owned(),
            containers: containers.collect(),
            not_run: None,
            is_stand_in: false,
            times: TaskTimes { created: now, changed: now, ..TaskTimes::default() },
            version: 1,
            tags: self.tags,
            host_number: Some(world.ecs.next_host_number(&world.store)),
            body,
        }
    }
}

/// How the containers of a task get their sizes: from its overrides, or from their definitions.
fn sizes_of(task: &Body) -> impl Fn(&Body) -> Sizes + use<> {
    let overrides = task.get("overrides").and_then(|overrides| overrides.get("containerOverrides"));
    let overrides = overrides.and_then(Value::as_array).cloned().unwrap_or_default();
    move |container| {
        let own = overrides.iter().find(|one| one.get("name") == container.get("name"));
        let size = |member: &str| {
            let given = own.and_then(|own| own.get(member)).filter(|value| !value.is_null());
            given.or_else(|| container.get(member)).and_then(Value::as_i64)
        };
        Sizes {
            cpu: size("cpu").unwrap_or(0),
            memory: size("memory"),
            memory_reservation: size("memoryReservation"),
        }
    }
}

/// The task definition of a call, and its ARN for the decision: it need not be there.
fn asked_definition(
    call: &Called<'_>,
    place: &Place,
) -> Result<(String, Option<Arc<TaskDefinition>>), AwsError> {
    let text = call.input.required_text("taskDefinition")?;
    let known = names::definition(place, text).and_then(|name| load::definition(call.world, place, &name));
    let arn = match &known {
        Some(known) => known.arn(),
        None if text.starts_with("arn:") => text.to_owned(),
        None => place.arn(&format!("task-definition/{text}")),
    };
    Ok((arn, known))
}

/// What `RunTask` and `StartTask` have in common before anything is made.
struct Asked {
    place: Place,
    cluster: String,
    arn: String,
    keys: Keys,
    given: Tags,
}

fn read_asked(call: &Called<'_>) -> Result<Asked, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let (arn, known) = asked_definition(call, place)?;
    let given = tags::given(call.input)?;
    let mut keys = services::input_keys(call, place)?;
    keys.retain(|(name, _)| name != "ecs:task-definition");
    keys.push(cluster_key(place, &cluster));
    keys.extend(tags::request_keys(&given));
    keys.extend(known.map(|known| resource_tag_keys(&known.tags)).unwrap_or_default());
    Ok(Asked { place: place.clone(), cluster, arn, keys, given })
}

/// Roles of the overrides are passed on by whoever runs the task.
fn pass_overridden_roles(call: &Called<'_>, place: &Place) -> Result<(), AwsError> {
    let Some(overrides) = call.input.object("overrides")? else { return Ok(()) };
    for member in ["taskRoleArn", "executionRoleArn"] {
        if let Some(role) = overrides.text(member)?.filter(|role| !role.is_empty()) {
            pass_role::authorize(call, place, role, PassedTo::Tasks)?;
        }
    }
    Ok(())
}

fn run(call: &Called<'_>) -> Result<Value, AwsError> {
    let asked = read_asked(call)?;
    let permit = call.authorize::<calls::RunTask>(asked.arn.clone(), asked.keys)?;
    let (place, cluster) = (&asked.place, &asked.cluster);
    pass_overridden_roles(call, place)?;
    let count = call.input.integer("count")?.unwrap_or(1);
    if !(1..=RUN_MAX).contains(&count) {
        return Err(invalid(format!("Count cannot be less than 1 or greater than {RUN_MAX}.")));
    }
    let long_arn = settings::has_long_arns(call, place, "taskLongArnFormat");
    let new_ids: Vec<String> = (0..count).map(|_| controller::fresh_task_id(call.world)).collect();
    let arn_of = |id: &String| place.task_arn(cluster, id, long_arn);
    for id in &new_ids {
        tags::authorize_on_create(call, &arn_of(id), &asked.given)?;
    }
    let in_cluster = active_cluster(call.world, place, cluster)?;
    let definition =
        service_input::usable_definition(call, place, call.input.required_text("taskDefinition")?)?;
    let launch = service_input::read_launch(call, &in_cluster, Some(&definition))?;
    check_overrides(call, &definition)?;
    check_started_by(call)?;
    let token = run_token(call)?;
    check_execute(call, &definition)?;
    let roles = runner::roles(call.input.value("overrides"), &definition);
    let source = new_ids.first().map(arn_of).unwrap_or_default();
    runner::role::check(call.world, place, source, call.request_id.to_owned(), roles).map_err(client)?;
    let new = |id: &String| -> Result<Task, AwsError> {
        Ok(NewTask {
            cluster,
            id: id.clone(),
            long_arn,
            definition: &definition,
            service: None,
            group: call
                .input
                .text("group")?
                .map_or_else(|| format!("family:{}", definition.family), str::to_owned),
            started_by: call.input.text("startedBy")?.map(str::to_owned),
            body: task_body(call, &launch),
            tags: task_tags(call, cluster, &definition, &asked.given)?,
        }
        .build(call.world))
    };
    let made: Vec<Task> = new_ids.iter().map(new).collect::<Result<_, _>>()?;
    let tasks = call.write(&permit, |writing| {
        if let Some((token, input)) = &token {
            let known = writing.get::<RunToken>(&place.key(&[cluster, token]));
            if let Some(known) = known {
                return repeated(writing, place, cluster, &known, input);
            }
            writing.put(RunToken {
                place: place.clone(),
                cluster: cluster.clone(),
                token: token.clone(),
                input: input.clone(),
                tasks: new_ids.clone(),
            });
        }
        made.iter().for_each(|task| writing.put(task.clone()));
        Ok(made)
    })?;
    call.world.ecs.wake();
    let tasks: Vec<Value> = tasks.iter().map(|task| task_json::render(task, true)).collect();
    Ok(json!({ "tasks": tasks, "failures": [] }))
}

/// The token of a call and a digest of everything else in it.
fn run_token(call: &Called<'_>) -> Result<Option<(String, String)>, AwsError> {
    let Some(token) = call.input.text("clientToken")? else { return Ok(None) };
    if token.is_empty() || token.len() > 64 {
        return Err(invalid("clientToken must have between 1 and 64 characters."));
    }
    let mut rest = call.members.clone();
    rest.remove("clientToken");
    Ok(Some((token.to_owned(), sha256_hex(Value::Object(rest).to_string().as_bytes()))))
}

/// The same token again: the tasks that it started.
fn repeated(
    writing: &crate::store::Writing<'_>,
    place: &Place,
    cluster: &str,
    known: &RunToken,
    input: &str,
) -> Result<Vec<Task>, Fault> {
    if known.input != input {
        let ids: Vec<Value> =
            known.tasks.iter().map(|id| Value::from(place.task_arn(cluster, id, true))).collect();
        let error = AwsError::bad_request(
            "ConflictException",
            "The clientToken was used before with other parameters.",
        );
        return Err(Fault::from(error.member("resourceIds", Value::Array(ids))));
    }
    let tasks = known.tasks.iter().filter_map(|id| writing.get::<Task>(&place.key(&[cluster, id])));
    Ok(tasks.map(|task| (*task).clone()).collect())
}

/// What is kept of the call for the task.
fn task_body(call: &Called<'_>, launch: &Body) -> Body {
    let mut body = members(
        call.members,
        &["platformVersion", "networkConfiguration", "enableExecuteCommand", "referenceId", "overrides"],
    );
    body.extend(members(launch, &["launchType"]));
    if let Some(name) = controller::first_provider(launch) {
        body.insert("capacityProviderName".to_owned(), name);
    }
    // A task's own size.
    if let Some(Value::Object(overrides)) = body.get("overrides").cloned() {
        for member in ["cpu", "memory"] {
            if let Some(value) = overrides.get(member).filter(|value| !value.is_null()) {
                body.insert(member.to_owned(), value.clone());
            }
        }
    }
    body
}

fn task_tags(
    call: &Called<'_>,
    cluster: &str,
    definition: &TaskDefinition,
    given: &Tags,
) -> Result<Tags, AwsError> {
    let mut tags = given.clone();
    if call.input.text("propagateTags")? == Some("TASK_DEFINITION") {
        for (key, value) in &definition.tags {
            if !tags.iter().any(|(known, _)| known == key) {
                tags.push((key.clone(), value.clone()));
            }
        }
    }
    if call.input.boolean("enableECSManagedTags")?.unwrap_or(false) {
        tags.push(("aws:ecs:clusterName".to_owned(), cluster.to_owned()));
    }
    Ok(tags)
}

/// Commands are executed in containers by their task role (observed).
fn check_execute(call: &Called<'_>, definition: &TaskDefinition) -> Result<(), AwsError> {
    let is_asked = call.input.boolean("enableExecuteCommand")?.unwrap_or(false);
    if is_asked && runner::role_in(call.input.value("overrides"), Some(definition), "taskRoleArn").is_none() {
        return Err(invalid(
            "The execute command failed because a valid task role is not being used. Specify a valid task role in your task definition or as a task override and try again.",
        ));
    }
    Ok(())
}

/// Who is said to have started a task: ECS's words (observed, of the shorter limit that there was once).
fn check_started_by(call: &Called<'_>) -> Result<(), AwsError> {
    let name = call.input.text("startedBy")?.unwrap_or_default();
    if name.chars().count() > STARTED_BY_CHARS_MAX {
        return Err(invalid(format!("startedBy longer than {STARTED_BY_CHARS_MAX}.")));
    }
    Ok(())
}

fn check_overrides(call: &Called<'_>, definition: &TaskDefinition) -> Result<(), AwsError> {
    let Some(overrides) = call.input.object("overrides")? else { return Ok(()) };
    let written = call.input.value("overrides").map(Value::to_string).unwrap_or_default();
    if written.chars().count() > OVERRIDES_CHARS_MAX {
        return Err(invalid(format!("Container Overrides length must be at most {OVERRIDES_CHARS_MAX}")));
    }
    let known: Vec<&str> = definition
        .containers()
        .filter_map(|container| container.get("name").and_then(Value::as_str))
        .collect();
    for container in overrides.objects("containerOverrides")? {
        let name = container.text("name")?.unwrap_or_default();
        if !known.contains(&name) {
            return Err(invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
    }
    Ok(())
}

/// There are no container instances, so that none of those that are named is there.
fn start(call: &Called<'_>) -> Result<Value, AwsError> {
    let asked = read_asked(call)?;
    call.authorize::<calls::StartTask>(asked.arn.clone(), asked.keys)?;
    pass_overridden_roles(call, &asked.place)?;
    active_cluster(call.world, &asked.place, &asked.cluster)?;
    service_input::usable_definition(call, &asked.place, call.input.required_text("taskDefinition")?)?;
    let instances = call.input.texts("containerInstances")?;
    if instances.is_empty() || instances.len() > 10 {
        return Err(invalid("Container instances must have between 1 and 10 elements."));
    }
    let failures: Vec<Value> = instances
        .into_iter()
        .map(|text| {
            let id = text.rsplit('/').next().unwrap_or(text);
            failure(&asked.place.arn(&format!("container-instance/{}/{id}", asked.cluster)), "MISSING")
        })
        .collect();
    Ok(json!({ "tasks": [], "failures": failures }))
}

/// A task that a call names.
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) cluster: String,
    pub(super) id: String,
    pub(super) arn: String,
    pub(super) known: Option<Arc<Task>>,
}

pub(super) fn named(call: &Called<'_>, text: &str) -> Result<Named, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let id = names::task(place, &cluster, text)?;
    let known = call.world.store.get::<Task>(&place.key(&[&cluster, &id]));
    let arn = match &known {
        Some(task) => task.arn(),
        None => place.task_arn(&cluster, &id, true),
    };
    Ok(Named { place: place.clone(), cluster, id, arn, known })
}

pub(super) fn task_keys(named: &Named) -> Keys {
    let mut keys = vec![cluster_key(&named.place, &named.cluster)];
    keys.extend(named.known.as_ref().map(|task| resource_tag_keys(&task.tags)).unwrap_or_default());
    keys
}

fn stop(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named(call, call.input.required_text("task")?)?;
    let permit = call.authorize::<calls::StopTask>(named.arn.clone(), task_keys(&named))?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let reason = call.input.text("reason")?.unwrap_or("Task stopped by user");
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(invalid(format!("reason must have at most {REASON_CHARS_MAX} characters.")));
    }
    let key = named.place.key(&[&named.cluster, &named.id]);
    let now = call.now_ms();
    let task = call.write(&permit, |writing| {
        writing.get::<Task>(&key).ok_or_else(|| invalid("The referenced task was not found."))?;
        controller::stop(writing, &key, "UserInitiated", reason, now);
        controller::feed_of_task(call.world, writing, &key, super::rollout::Event::TaskStopping);
        let task = writing.get::<Task>(&key).ok_or_else(|| invalid("The referenced task was not found."))?;
        Ok((*task).clone())
    })?;
    call.world.ecs.wake();
    Ok(json!({ "task": task_json::render(&task, true) }))
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let asked = call.input.texts("tasks")?;
    if asked.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if asked.len() > DESCRIBED_MAX {
        return Err(invalid(format!("Tasks cannot have more than {DESCRIBED_MAX} elements.")));
    }
    let with_tags = includes(call.input, "TAGS")?;
    let (mut tasks, mut failures, mut at) = (Vec::new(), Vec::new(), None);
    for text in asked {
        let named = named(call, text)?;
        call.authorize::<calls::DescribeTasks>(named.arn.clone(), task_keys(&named))?;
        match &named.known {
            Some(task) => tasks.push(task_json::render(task, with_tags)),
            None => failures.push(failure(&named.arn, "MISSING")),
        }
        at = Some((named.place, named.cluster));
    }
    if let Some((place, cluster)) = at {
        active_cluster(call.world, &place, &cluster)?;
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let instance = call.input.text("containerInstance")?;
    let id = instance.map_or("*", |text| text.rsplit('/').next().unwrap_or(text));
    let arn = place.arn(&format!("container-instance/{cluster}/{id}"));
    call.authorize::<calls::ListTasks>(arn, vec![cluster_key(place, &cluster)])?;
    let page = Page::read(call.input, 100, 100)?;
    active_cluster(call.world, place, &cluster)?;
    if let Some(instance) = instance {
        return Err(invalid(format!("Container instance {instance} was not found.")));
    }
    let service =
        call.input.text("serviceName")?.map(|text| names::service(place, &cluster, text)).transpose()?;
    if let Some(name) = &service
        && load::service(call.world, place, &cluster, name).is_none()
    {
        return Err(super::no_service());
    }
    let (family, by) = (call.input.text("family")?, call.input.text("startedBy")?);
    let launch = call.input.text("launchType")?;
    let wants_stopped = match call.input.text("desiredStatus")? {
        None | Some("RUNNING") => false,
        Some("STOPPED") => true,
        // Nothing is ever wanted to be pending (the API reference says so).
        Some("PENDING") => return Ok(json!({ "taskArns": [] })),
        Some(other) => return Err(invalid(format!("Invalid desired status: {other}"))),
    };
    let all = call.world.store.list::<Task>(&place.in_cluster(&cluster));
    let wanted: Vec<Arc<Task>> = all
        .into_iter()
        .filter(|task| task.is_stopping == wants_stopped)
        .filter(|task| {
            let name = service.as_deref();
            name.is_none() || task.service.as_ref().map(|(service, _)| service.as_str()) == name
        })
        .filter(|task| family.is_none_or(|family| family_of(task) == family))
        .filter(|task| by.is_none() || task.started_by.as_deref() == by)
        .filter(|task| launch.is_none() || task.body.get("launchType").and_then(Value::as_str) == launch)
        .collect();
    Ok(page.answer("taskArns", &wanted, |task| task.arn(), |task| Value::from(task.arn())))
}

fn family_of(task: &Task) -> &str {
    task.definition_name().split(':').next().unwrap_or_default()
}

/// A shell in a container goes through the SSM service, which isn't here.
fn execute(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named(call, call.input.required_text("task")?)?;
    let mut keys: Keys = task_keys(&named);
    let container = call.members.get("container").and_then(Value::as_str);
    keys.extend(container.map(|name| ("ecs:container-name".to_owned(), vec![name.to_owned()])));
    let cluster = named.place.arn(&format!("cluster/{}", named.cluster));
    call.authorize::<calls::ExecuteCommand>(cluster, keys.clone())?;
    call.authorize::<calls::ExecuteCommand>(named.arn.clone(), keys)?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    if named.known.is_none() {
        return Err(invalid("The referenced task was not found."));
    }
    Err(invalid(
        "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn’t running. Wait and try again or run a new task with execute command enabled and try again.",
    ))
}
