//! The story of a service's deployments, and the revisions that they deploy.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::page::Page;
use super::rollout::{Event, Hook, RolloutState, Stage, Status};
use super::{
    Called, Fault, Keys, active_cluster, cluster_key, controller, failure, invalid, load, members, names,
    no_service, seconds, service_input, service_json, services,
};
use crate::authz::ecs_calls as calls;
use crate::authz::{Call, Permit};
use crate::store::ecs::{
    Body, Place, Service, ServiceDeployment, ServiceRevision, TaskDefinition, service_resource,
};
use crate::world::World;

/// Deployments or revisions that one call describes.
const DESCRIBED_MAX: usize = 20;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "DescribeServiceDeployments" => describe(call),
        "ListServiceDeployments" => list(call),
        "DescribeServiceRevisions" => describe_revisions(call),
        "StopServiceDeployment" => stop(call),
        "ContinueServiceDeployment" => go_on(call),
        _ => return None,
    })
}

/// Decides a call on a service and on one of its deployments or revisions.
fn authorize<C: Call>(
    call: &Called<'_>,
    place: &Place,
    (cluster, service): (&str, &str),
    arn: &str,
) -> Result<Permit<C>, AwsError> {
    let is_long = load::service(call.world, place, cluster, service).is_none_or(|known| known.long_arn);
    let of = place.arn(&service_resource(cluster, service, is_long));
    let keys: Keys = vec![cluster_key(place, cluster), ("ecs:service".to_owned(), vec![of.clone()])];
    call.authorize::<C>(of, keys.clone())?;
    call.authorize::<C>(arn.to_owned(), keys)
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arns = call.input.texts("serviceDeploymentArns")?;
    check_number(arns.len(), "ServiceDeploymentArns")?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        let [cluster, service, id] = names::of_service(place, "service-deployment", arn)?;
        authorize::<calls::DescribeServiceDeployments>(call, place, (&cluster, &service), arn)?;
        match call.world.store.get::<ServiceDeployment>(&place.key(&[&cluster, &service, &id])) {
            Some(known) => found.push(render(call.world, &known)),
            None => failures.push(failure(arn, "MISSING")),
        }
    }
    Ok(json!({ "serviceDeployments": found, "failures": failures }))
}

fn check_number(number: usize, member: &str) -> Result<(), AwsError> {
    if number == 0 || number > DESCRIBED_MAX {
        return Err(invalid(format!("{member} must have between 1 and {DESCRIBED_MAX} elements.")));
    }
    Ok(())
}

/// A deployment's story as answers have it.
fn render(world: &World, known: &ServiceDeployment) -> Value {
    let Some(service) = load::service(world, &known.place, &known.cluster, &known.service) else {
        return json!({ "serviceDeploymentArn": known.arn() });
    };
    let mut answer = Body::new();
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("serviceDeploymentArn", Value::from(known.arn()));
    add("serviceArn", Value::from(service.arn()));
    add("clusterArn", Value::from(service.cluster_arn()));
    add("createdAt", seconds(known.created_ms));
    add("startedAt", seconds(known.created_ms));
    add("updatedAt", seconds(known.updated_ms));
    if let Some(at) = known.finished_ms {
        add("finishedAt", seconds(at));
    }
    if let Some(at) = known.stopped_ms {
        add("stoppedAt", seconds(at));
    }
    add("sourceServiceRevisions", known.sources.iter().map(|number| summary(&service, number)).collect());
    add("targetServiceRevision", summary(&service, &known.target));
    add("status", Value::from(known.status.word()));
    if let Some(reason) = &known.reason {
        add("statusReason", Value::from(reason.as_str()));
    }
    let current = service.rollout.deployments.iter().find(|deployment| deployment.id() == known.target);
    if let Some(current) = current.filter(|_| !known.status.is_final()) {
        add("lifecycleStage", Value::from(current.stage.told()));
        if let Some((stage, hook)) = service.rollout.waits_at() {
            add("lifecycleHookDetails", hook_details(stage, hook, current.stage_since_ms));
        }
    }
    add("deploymentConfiguration", known.configuration.clone());
    if let Some((reason, at, number)) = &known.rollback {
        let to = service.revision_arn(number);
        add("rollback", json!({ "reason": reason, "startedAt": seconds(*at), "serviceRevisionArn": to }));
    }
    add("deploymentCircuitBreaker", breaker(&service, known));
    if let Some(alarms) = alarms(known) {
        add("alarms", alarms);
    }
    Value::Object(answer)
}

/// The hook that waits, under an id that `ContinueServiceDeployment` takes.
fn hook_details(stage: Stage, hook: &Hook, since_ms: i64) -> Value {
    json!([{
        "hookId": stage.word(),
        "targetType": "PAUSE",
        "status": "AWAITING_ACTION",
        "expiresAt": seconds(since_ms.saturating_add(hook.timeout_ms)),
        "timeoutAction": if hook.goes_on { "CONTINUE" } else { "ROLLBACK" },
    }])
}

/// The alarms of a deployment's rules.
fn alarms(known: &ServiceDeployment) -> Option<Value> {
    let rule = known.configuration.get("alarms")?;
    let status = match (rule.get("enable") == Some(&Value::Bool(true)), known.status.is_final()) {
        (false, _) => "DISABLED",
        (true, _) if !known.alarms_off.is_empty() => "TRIGGERED",
        (true, true) => "MONITORING_COMPLETE",
        (true, false) => "MONITORING",
    };
    let names = rule.get("alarmNames").cloned().unwrap_or(json!([]));
    Some(json!({ "status": status, "alarmNames": names, "triggeredAlarmNames": known.alarms_off }))
}

fn breaker(service: &Service, known: &ServiceDeployment) -> Value {
    let is_on = service.rollout.rules.breaker.enabled;
    let current = service.rollout.deployments.iter().find(|deployment| deployment.id() == known.target);
    let count = match current {
        Some(current) if !known.status.is_final() => current.strikes,
        _ => known.failures.0,
    };
    let has_failed = matches!(
        known.status,
        Status::RollbackInProgress | Status::RollbackSuccessful | Status::RollbackFailed
    ) || current.is_some_and(|current| current.state == RolloutState::Failed);
    let status = match (is_on, has_failed, known.status.is_final()) {
        (false, ..) => "DISABLED",
        (true, true, _) => "TRIGGERED",
        (true, false, true) => "MONITORING_COMPLETE",
        (true, false, false) => "MONITORING",
    };
    json!({ "status": status, "failureCount": count, "threshold": known.failures.1 })
}

fn summary(service: &Service, number: &str) -> Value {
    let rollout = &service.rollout;
    let (running, pending) = rollout.counts(number);
    let known = rollout.deployments.iter().find(|known| known.id() == number);
    let mut answer = json!({
        "arn": service.revision_arn(number),
        "requestedTaskCount": known.map_or(0, |known| rollout.wanted(known)),
        "runningTaskCount": running,
        "pendingTaskCount": pending,
    });
    if let Some(known) = known
        && !rollout.rules.strategy.is_rolling()
    {
        answer["requestedProductionTrafficWeight"] = Value::from(known.traffic);
    }
    answer
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = services::named(call, call.input.required_text("service")?)?;
    services::authorize::<calls::ListServiceDeployments>(call, &named, Vec::new())?;
    let page = Page::read(call.input, 20, 100)?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let service =
        load::service(call.world, &named.place, &named.cluster, &named.name).ok_or_else(no_service)?;
    let wanted = call.input.texts("status")?;
    let (after, before) = match call.members.get("createdAt") {
        Some(range) => (moment_ms(range.get("after")), moment_ms(range.get("before"))),
        None => (None, None),
    };
    let all =
        call.world.store.list::<ServiceDeployment>(&named.place.of_service(&named.cluster, &named.name));
    let mut known: Vec<_> = all
        .into_iter()
        .filter(|known| wanted.is_empty() || wanted.contains(&known.status.word()))
        .filter(|known| after.is_none_or(|after| known.created_ms >= after))
        .filter(|known| before.is_none_or(|before| known.created_ms <= before))
        .collect();
    known.sort_by_key(|known| std::cmp::Reverse(known.created_ms));
    Ok(page.answer(
        "serviceDeployments",
        &known,
        |known| known.arn(),
        |known| {
            let mut answer = json!({
                "serviceDeploymentArn": known.arn(),
                "serviceArn": service.arn(),
                "clusterArn": service.cluster_arn(),
                "startedAt": seconds(known.created_ms),
                "createdAt": seconds(known.created_ms),
                "targetServiceRevisionArn": service.revision_arn(&known.target),
                "status": known.status.word(),
            });
            if let Some(at) = known.finished_ms {
                answer["finishedAt"] = seconds(at);
            }
            if let Some(reason) = &known.reason {
                answer["statusReason"] = Value::from(reason.as_str());
            }
            answer
        },
    ))
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of any date fit")]
fn moment_ms(value: Option<&Value>) -> Option<i64> {
    value.and_then(Value::as_f64).map(|seconds| (seconds * 1000.0) as i64)
}

fn describe_revisions(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let arns = call.input.texts("serviceRevisionArns")?;
    check_number(arns.len(), "ServiceRevisionArns")?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        let [cluster, service, number] = names::of_service(place, "service-revision", arn)?;
        authorize::<calls::DescribeServiceRevisions>(call, place, (&cluster, &service), arn)?;
        let known = call.world.store.get::<ServiceRevision>(&place.key(&[&cluster, &service, &number]));
        let of = load::service(call.world, place, &cluster, &service);
        match (known, of) {
            (Some(known), Some(of)) => found.push(render_revision(call.world, &of, &known)),
            _ => failures.push(failure(arn, "MISSING")),
        }
    }
    Ok(json!({ "serviceRevisions": found, "failures": failures }))
}

fn render_revision(world: &World, service: &Service, known: &ServiceRevision) -> Value {
    let mut answer = members(&known.body, &service_input::REVISION);
    let mut add = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    add("serviceRevisionArn", Value::from(service.revision_arn(&known.number)));
    add("serviceArn", Value::from(service.arn()));
    add("clusterArn", Value::from(service.cluster_arn()));
    let definition = load::definition_by_arn(world, &known.place, known.task_definition());
    add(
        "containerImages",
        definition.map_or(json!([]), |definition| container_images(world, service, known, &definition)),
    );
    add("guardDutyEnabled", json!(false));
    add("createdAt", seconds(known.created_ms));
    service_json::add_platform(&mut answer, &known.body, service);
    Value::Object(answer)
}

/// The images of a revision, with the digests that its tasks were started from.
fn container_images(
    world: &World,
    service: &Service,
    known: &ServiceRevision,
    definition: &TaskDefinition,
) -> Value {
    let tasks = world.store.list::<crate::store::ecs::Task>(&known.place.in_cluster(&known.cluster));
    let digest = |name: &str| {
        tasks
            .iter()
            .filter(|task| {
                task.service
                    .as_ref()
                    .is_some_and(|(of, number)| *of == service.name && *number == known.number)
            })
            .flat_map(|task| &task.containers)
            .find_map(|container| container.digest.clone().filter(|_| container.name == name))
    };
    definition
        .containers()
        .map(|container| {
            let text = |member: &str| container.get(member).and_then(Value::as_str).unwrap_or_default();
            let mut image = json!({ "containerName": text("name"), "image": text("image") });
            if let Some(digest) = digest(text("name")) {
                image["imageDigest"] = Value::from(digest);
            }
            image
        })
        .collect()
}

/// A running deployment that a call changes, and what happens to it.
fn change<C: Call>(
    call: &Called<'_>,
    event: impl FnOnce(&Service) -> Result<Event, AwsError>,
    status: Option<Status>,
) -> Result<Value, AwsError> {
    let place = &call.place;
    let arn = call.input.required_text("serviceDeploymentArn")?;
    let [cluster, name, id] = names::of_service(place, "service-deployment", arn)?;
    let permit = authorize::<C>(call, place, (&cluster, &name), arn)?;
    call.write(&permit, |writing| {
        let key = place.key(&[&cluster, &name, &id]);
        let known = writing.get::<ServiceDeployment>(&key).ok_or_else(|| {
            AwsError::bad_request("ServiceDeploymentNotFoundException", "Service deployment not found.")
        })?;
        let service = writing.get::<Service>(&place.key(&[&cluster, &name])).ok_or_else(no_service)?;
        let mut service = (*service).clone();
        let is_current = service.rollout.deployments.first().is_some_and(|first| first.id() == known.target);
        if known.status.is_final() || !is_current {
            let word = known.status.word();
            return Err(Fault::from(AwsError::bad_request(
                "ConflictException",
                format!("The service deployment is in the {word} state and can't be changed."),
            )));
        }
        if let Some(status) = status {
            let mut story = (*known).clone();
            story.status = status;
            writing.put(story);
        }
        let event = event(&service)?;
        controller::feed(call.world, writing, &mut service, event);
        Ok(())
    })?;
    Ok(json!({ "serviceDeploymentArn": arn }))
}

fn stop(call: &Called<'_>) -> Result<Value, AwsError> {
    let rollback = match call.input.text("stopType")? {
        None | Some("ROLLBACK") => true,
        Some("ABORT") => false,
        Some(other) => return Err(invalid(format!("Invalid stop type: {other}"))),
    };
    let status = if rollback { Status::RollbackRequested } else { Status::StopRequested };
    change::<calls::StopServiceDeployment>(call, |_| Ok(Event::StopDeployment { rollback }), Some(status))
}

fn go_on(call: &Called<'_>) -> Result<Value, AwsError> {
    let go_on = match call.input.text("action")? {
        None | Some("CONTINUE") => true,
        Some("ROLLBACK") => false,
        Some(other) => return Err(invalid(format!("Invalid action: {other}"))),
    };
    change::<calls::ContinueServiceDeployment>(
        call,
        |service| {
            if service.rollout.waits_at().is_none() {
                return Err(invalid("No lifecycle hook of the service deployment awaits an action."));
            }
            Ok(Event::Continue { go_on })
        },
        None,
    )
}
