//! What a service is told to be: read, checked, and turned into the rules of its rollout.

use landfall_wire::error::AwsError;
use serde_json::{Map, Value, json};

use super::rollout::{
    Breaker, Controller, HOOK_TIMEOUT_MINUTES, Hook, Rules, SETTLE_MS, Stage, Strategy, Threshold,
};
use super::{Called, client, invalid, launch, load, members, names};
use crate::clock::Clock;
use crate::store::ecs::{Body, Cluster, DefinitionStatus, Place, TaskDefinition};

/// What belongs to a revision: a change of any of it makes a new deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
pub(super) const REVISION: [&str; 12] = [
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
];

/// What belongs to the service and not to a revision.
pub(super) const SETTINGS: [&str; 9] = [
    "deploymentConfiguration",
    "availabilityZoneRebalancing",
    "placementConstraints",
    "placementStrategy",
    "healthCheckGracePeriodSeconds",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "propagateTags",
    "deploymentController",
];

/// Largest `desiredCount`: the quota of tasks in a service.
pub(super) const DESIRED_MAX: i64 = 5_000;

/// Subnets of a network interface.
const SUBNETS_MAX: usize = 16;
/// Security groups of a network interface.
const SECURITY_GROUPS_MAX: usize = 5;

/// A whole number of tasks; ECS's words for what isn't one were captured.
pub(super) fn desired_count(call: &Called<'_>) -> Result<Option<u32>, AwsError> {
    let Some(count) = call.input.integer("desiredCount")? else { return Ok(None) };
    if count < 0 {
        let what = if call.operation == "CreateService" { "DesiredCount" } else { "Task count" };
        return Err(invalid(format!("{what} can not be lesser than 0")));
    }
    if count > DESIRED_MAX {
        return Err(invalid(format!("Desired count must be at most {DESIRED_MAX}.")));
    }
    Ok(u32::try_from(count).ok())
}

/// The refusal of a number of tasks for a service that has one on each instance.
pub(super) fn no_count_of_daemon() -> AwsError {
    invalid(
        "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again.",
    )
}

/// The task definition that a service or a task is made of.
pub(super) fn usable_definition(
    call: &Called<'_>,
    place: &Place,
    text: &str,
) -> Result<std::sync::Arc<TaskDefinition>, AwsError> {
    let name = names::definition(place, text);
    let known = name.and_then(|name| load::definition(call.world, place, &name));
    let known = known.ok_or_else(|| client("TaskDefinition not found."))?;
    if known.status != DefinitionStatus::Active {
        return Err(client("TaskDefinition is inactive"));
    }
    Ok(known)
}

/// What a call says of where its tasks run ([`launch::read`]), checked against what they are made of.
pub(super) fn read_launch(
    call: &Called<'_>,
    cluster: &Cluster,
    definition: Option<&TaskDefinition>,
) -> Result<Body, AwsError> {
    check_words(call.members)?;
    let body = launch::read(call, cluster)?;
    launch::check_platform(call, &body)?;
    let Some(definition) = definition else { return Ok(body) };
    let mut whole = body.clone();
    whole.extend(members(call.members, &["networkConfiguration"]));
    check_placement(&whole, definition)?;
    Ok(body)
}

/// Where tasks are to run, held against what they are made of: of a call, or of a service as a call changes it.
pub(super) fn check_placement(body: &Body, definition: &TaskDefinition) -> Result<(), AwsError> {
    let required = definition.body.get("requiresCompatibilities").and_then(Value::as_array);
    let may_be_fargate = required.is_some_and(|kinds| kinds.iter().any(|kind| kind == "FARGATE"));
    if launch::is_fargate(body) && !may_be_fargate {
        return Err(invalid("Task definition does not support launch_type FARGATE."));
    }
    check_network(body, definition)
}

/// Commands are executed in containers by their task role: a service that allows it has one (observed).
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html>
pub(super) fn check_execute(
    body: &Body,
    definition: &TaskDefinition,
    operation: &str,
) -> Result<(), AwsError> {
    let has_role = definition.text("taskRoleArn").is_some_and(|role| !role.is_empty());
    if has_role || body.get("enableExecuteCommand") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let done = if operation == "CreateService" { "created" } else { "updated" };
    Err(invalid(format!(
        "The service couldn't be {done} because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."
    )))
}

/// A task with a network interface of its own is told where to put it.
fn check_network(body: &Body, definition: &TaskDefinition) -> Result<(), AwsError> {
    let is_awsvpc = definition.text("networkMode") == Some("awsvpc");
    let vpc = member(body, "networkConfiguration").and_then(|network| member(network, "awsvpcConfiguration"));
    match vpc {
        None if is_awsvpc => {
            Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
        }
        Some(_) if !is_awsvpc => Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        Some(vpc) => check_vpc(vpc),
        None => Ok(()),
    }
}

/// Subnets and security groups, in ECS's words (observed; that there are too many of the latter by analogy). Subnets that
/// are not said are those that Terraform doesn't know yet.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html>
fn check_vpc(vpc: &Map<String, Value>) -> Result<(), AwsError> {
    let list = |name: &str| vpc.get(name).and_then(Value::as_array).filter(|items| !items.is_empty());
    if vpc.get("subnets").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Err(invalid("subnets can not be empty."));
    }
    for (name, one, most) in
        [("subnets", "subnet", SUBNETS_MAX), ("securityGroups", "security group", SECURITY_GROUPS_MAX)]
    {
        let Some(items) = list(name) else { continue };
        if items.iter().filter_map(Value::as_str).any(|item| item.trim().is_empty()) {
            return Err(invalid(format!("{one} cannot be blank.")));
        }
        if items.len() > most {
            return Err(invalid(format!("{name} can have at most {most} items.")));
        }
    }
    Ok(())
}

fn member<'b>(of: &'b Body, name: &str) -> Option<&'b Map<String, Value>> {
    of.get(name).and_then(Value::as_object)
}

fn number(of: &Map<String, Value>, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64)
}

/// `deploymentConfiguration` as it is kept: what was given over what there was, over ECS's defaults.
pub(super) fn deployment_configuration(
    given: Option<&Value>,
    before: Option<&Value>,
    is_daemon: bool,
) -> Result<Value, AwsError> {
    let mut configuration = json!({
        "deploymentCircuitBreaker": {
            "enable": false,
            "rollback": false,
            "resetOnHealthyTask": true,
            "thresholdConfiguration": { "type": "BOUNDED_PERCENT", "value": 50 },
        },
        "maximumPercent": if is_daemon { 100 } else { 200 },
        "minimumHealthyPercent": if is_daemon { 0 } else { 100 },
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    });
    for layer in [before, given].into_iter().flatten() {
        let layer = layer.as_object().ok_or_else(|| invalid("deploymentConfiguration is not valid."))?;
        for (name, value) in layer.iter().filter(|(_, value)| !value.is_null()) {
            let nested = name == "deploymentCircuitBreaker";
            match (nested, configuration.get_mut(name), value.as_object()) {
                (true, Some(Value::Object(known)), Some(more)) => known.extend(more.clone()),
                _ => configuration[name.as_str()] = value.clone(),
            }
        }
    }
    check_configuration(&configuration, is_daemon)?;
    add_strategy_defaults(&mut configuration);
    Ok(configuration)
}

/// Longest wait of a deployment between two of its stages, in minutes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
const BAKE_MINUTES_MAX: i64 = 1_440;

/// Words of a service, or of a task that is run, of which there are only some: the sentences follow that about scheduling
/// strategies, which was seen.
pub(super) fn check_words(members: &Body) -> Result<(), AwsError> {
    let one_of = |name: &str, value: Option<&Value>, words: &[&str]| {
        let value = value.and_then(Value::as_str).filter(|value| !value.is_empty());
        super::one_of(name, value, words).map_err(invalid)
    };
    one_of("Propagate tags", members.get("propagateTags"), &["TASK_DEFINITION", "SERVICE", "NONE"])?;
    let zones = members.get("availabilityZoneRebalancing");
    one_of("Availability zone rebalancing", zones, &["ENABLED", "DISABLED"])?;
    let vpc = member(members, "networkConfiguration").and_then(|of| member(of, "awsvpcConfiguration"));
    let public = vpc.and_then(|vpc| vpc.get("assignPublicIp"));
    one_of("Assign public ip", public, &["ENABLED", "DISABLED"])?;
    let types = |name: &str| {
        let items = members.get(name).and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item.get("type"))
    };
    for kind in types("placementConstraints") {
        one_of("Placement constraint type", kind, &["distinctInstance", "memberOf"])?;
    }
    for kind in types("placementStrategy") {
        one_of("Placement strategy type", kind, &["random", "spread", "binpack"])?;
    }
    match number(members, "healthCheckGracePeriodSeconds") {
        Some(..0) => Err(invalid("healthCheckGracePeriodSeconds must be at least 0")),
        Some(seconds) if seconds > GRACE_SECONDS_MAX => {
            Err(invalid(format!("healthCheckGracePeriodSeconds must be at most {GRACE_SECONDS_MAX}")))
        }
        _ => Ok(()),
    }
}

fn check_configuration(configuration: &Value, is_daemon: bool) -> Result<(), AwsError> {
    let empty = Map::new();
    let of = configuration.as_object().unwrap_or(&empty);
    let maximum = number(of, "maximumPercent").unwrap_or(200);
    let minimum = number(of, "minimumHealthyPercent").unwrap_or(100);
    if maximum < 100 {
        return Err(invalid("maximumPercent must be at least 100"));
    }
    if maximum > 200 {
        return Err(invalid("maximumPercent must be at most 200"));
    }
    if minimum < 0 {
        return Err(invalid("minimumHealthyPercent must be at least 0"));
    }
    if minimum > 100 {
        return Err(invalid("minimumHealthyPercent must be at most 100"));
    }
    if !is_daemon && minimum == 100 && maximum == 100 {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    if strategy_of(of).is_none() {
        let strategy = of.get("strategy").and_then(Value::as_str).unwrap_or_default();
        return Err(invalid(format!("Invalid deployment strategy: {strategy}")));
    }
    if let Strategy::Linear { step_percent, .. } = strategy_of(of).unwrap_or(Strategy::Rolling)
        && !(3.0..=100.0).contains(&step_percent)
    {
        return Err(invalid("stepPercent must be between 3.0 and 100.0"));
    }
    if let Strategy::Canary { canary_percent, .. } = strategy_of(of).unwrap_or(Strategy::Rolling)
        && !(0.1..=100.0).contains(&canary_percent)
    {
        return Err(invalid("canaryPercent must be between 0.1 and 100.0"));
    }
    let empty = Map::new();
    let inner = |name: &str| member(of, name).unwrap_or(&empty);
    for (name, value) in [
        ("bakeTimeInMinutes", number(of, "bakeTimeInMinutes")),
        ("stepBakeTimeInMinutes", number(inner("linearConfiguration"), "stepBakeTimeInMinutes")),
        ("canaryBakeTimeInMinutes", number(inner("canaryConfiguration"), "canaryBakeTimeInMinutes")),
    ] {
        match value {
            Some(..0) => return Err(invalid(format!("{name} must be at least 0"))),
            Some(minutes) if minutes > BAKE_MINUTES_MAX => {
                return Err(invalid(format!("{name} must be at most {BAKE_MINUTES_MAX}")));
            }
            _ => {}
        }
    }
    for hook in of.get("lifecycleHooks").and_then(Value::as_array).into_iter().flatten() {
        let stages = hook.get("lifecycleStages").and_then(Value::as_array);
        for word in stages.into_iter().flatten().filter_map(Value::as_str) {
            if !Stage::ALL.iter().any(|stage| stage.has_hooks() && stage.word() == word) {
                return Err(invalid(format!("Invalid lifecycle stage: {word}")));
            }
        }
    }
    Ok(())
}

fn add_strategy_defaults(configuration: &mut Value) {
    let (name, defaults) = match configuration.get("strategy").and_then(Value::as_str) {
        Some("LINEAR") => ("linearConfiguration", json!({ "stepPercent": 10.0, "stepBakeTimeInMinutes": 6 })),
        Some("CANARY") => {
            ("canaryConfiguration", json!({ "canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10 }))
        }
        _ => return,
    };
    let mut merged = defaults;
    if let (Value::Object(merged), Some(given)) =
        (&mut merged, configuration.get(name).and_then(Value::as_object))
    {
        merged.extend(given.clone());
    }
    configuration[name] = merged;
}

fn minutes(of: Option<&Map<String, Value>>, name: &str, default: i64) -> i64 {
    of.and_then(|of| number(of, name)).unwrap_or(default).clamp(0, 1_440) * 60_000
}

fn strategy_of(of: &Map<String, Value>) -> Option<Strategy> {
    let percent = |of: Option<&Map<String, Value>>, name: &str, default: f64| {
        of.and_then(|of| of.get(name)).and_then(Value::as_f64).unwrap_or(default)
    };
    Some(match of.get("strategy").and_then(Value::as_str) {
        None | Some("ROLLING") => Strategy::Rolling,
        Some("BLUE_GREEN") => Strategy::BlueGreen,
        Some("LINEAR") => {
            let linear = member(of, "linearConfiguration");
            Strategy::Linear {
                step_percent: percent(linear, "stepPercent", 10.0),
                step_bake_ms: minutes(linear, "stepBakeTimeInMinutes", 6),
            }
        }
        Some("CANARY") => {
            let canary = member(of, "canaryConfiguration");
            Strategy::Canary {
                canary_percent: percent(canary, "canaryPercent", 5.0),
                canary_bake_ms: minutes(canary, "canaryBakeTimeInMinutes", 10),
            }
        }
        Some(_) => return None,
    })
}

fn breaker_of(of: &Map<String, Value>) -> Breaker {
    let breaker = member(of, "deploymentCircuitBreaker");
    let flag = |name: &str, default: bool| {
        breaker.and_then(|breaker| breaker.get(name)).and_then(Value::as_bool).unwrap_or(default)
    };
    let threshold = breaker.and_then(|breaker| member(breaker, "thresholdConfiguration"));
    let value = threshold.and_then(|threshold| number(threshold, "value")).unwrap_or(50);
    let value = u32::try_from(value).unwrap_or(50);
    let kind = threshold.and_then(|threshold| threshold.get("type")).and_then(Value::as_str);
    Breaker {
        enabled: flag("enable", false),
        rollback: flag("rollback", false),
        reset_on_healthy: flag("resetOnHealthyTask", true),
        threshold: match kind {
            Some("COUNT") => Threshold::Count(value),
            Some("UNBOUNDED_PERCENT") => Threshold::Unbounded(value),
            _ => Threshold::Bounded(value),
        },
    }
}

fn hooks_of(clock: &Clock, of: &Map<String, Value>) -> Vec<Hook> {
    let hooks = of.get("lifecycleHooks").and_then(Value::as_array);
    let read = |hook: &Value| {
        let words = hook.get("lifecycleStages").and_then(Value::as_array);
        let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
        let stages = Stage::ALL.into_iter().filter(|stage| words.contains(&stage.word())).collect();
        let is_pause = hook.get("targetType").and_then(Value::as_str) == Some("PAUSE");
        let target = hook.get("hookTargetArn").and_then(Value::as_str).unwrap_or("without a target");
        let timeout = hook.get("timeoutConfiguration");
        let minutes = timeout.and_then(|timeout| timeout.get("timeoutInMinutes")).and_then(Value::as_i64);
        let action = timeout.and_then(|timeout| timeout.get("action")).and_then(Value::as_str);
        Hook {
            stages,
            function: (!is_pause).then(|| target.to_owned()),
            timeout_ms: clock.span_ms(minutes.unwrap_or(HOOK_TIMEOUT_MINUTES).max(0).saturating_mul(60_000)),
            goes_on: action == Some("CONTINUE"),
        }
    };
    hooks.into_iter().flatten().map(read).collect()
}

/// The longest `healthCheckGracePeriodSeconds` there is.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html>
const GRACE_SECONDS_MAX: i64 = i32::MAX as i64;

/// How long alarms are watched at least when all tasks run, in milliseconds: services here are stable within seconds.
const ALARM_BAKE_MS: i64 = 3_000;

/// The rules of a service's rollout, from what is kept of it.
pub(super) fn rules(clock: &Clock, body: &Body) -> Rules {
    let empty = Map::new();
    let of = member(body, "deploymentConfiguration").unwrap_or(&empty);
    let percent =
        |name: &str, default: i64| u32::try_from(number(of, name).unwrap_or(default)).unwrap_or(100);
    let controller = member(body, "deploymentController").and_then(|controller| controller.get("type"));
    let controller = match controller.and_then(Value::as_str) {
        Some("CODE_DEPLOY" | "EXTERNAL") => Controller::TaskSets,
        _ => Controller::Ecs,
    };
    let groups = body.get("loadBalancers").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(|one| one.get("targetGroupArn")?.as_str());
    let grace_seconds = number(body, "healthCheckGracePeriodSeconds").unwrap_or(0);
    let alarms = member(of, "alarms").filter(|rule| rule.get("enable") == Some(&Value::Bool(true)));
    let strategy =
        strategy_of(of).map_or(Strategy::Rolling, |strategy| strategy.with_waits(|ms| clock.span_ms(ms)));
    let bake_ms = clock.span_ms(minutes(Some(of), "bakeTimeInMinutes", 0));
    Rules {
        controller,
        minimum_percent: percent("minimumHealthyPercent", 100),
        maximum_percent: percent("maximumPercent", 200),
        breaker: breaker_of(of),
        strategy,
        // Alarms are watched for a while after the tasks run; AWS works out how long from what they measure.
        bake_ms: if alarms.is_some() { bake_ms.max(ALARM_BAKE_MS) } else { bake_ms },
        alarm_rollback: alarms.is_some_and(|rule| rule.get("rollback") == Some(&Value::Bool(true))),
        hooks: hooks_of(clock, of),
        grace_ms: grace_seconds.clamp(0, GRACE_SECONDS_MAX) * 1_000,
        settle_ms: SETTLE_MS,
        target_groups: groups.map(str::to_owned).collect(),
    }
}

/// Roles that a service hands to ECS: of its load balancers, volumes and hooks.
pub(super) fn passed_roles(body: &Body) -> Vec<String> {
    let mut roles = Vec::new();
    for name in [
        "loadBalancers",
        "volumeConfigurations",
        "deploymentConfiguration",
        "vpcLatticeConfigurations",
        "serviceConnectConfiguration",
    ] {
        if let Some(value) = body.get(name) {
            collect_roles(value, &mut roles);
        }
    }
    roles.extend(body.get("role").and_then(Value::as_str).map(str::to_owned));
    roles.sort();
    roles.dedup();
    roles
}

fn collect_roles(value: &Value, roles: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_roles(item, roles)),
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(role) if name == "roleArn" && !role.is_empty() => roles.push(role.to_owned()),
                    _ => collect_roles(value, roles),
                }
            }
        }
        _ => {}
    }
}
