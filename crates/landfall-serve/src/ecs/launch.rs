//! Where tasks run: by a launch type, or on capacity providers that their cluster has.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html>

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::{Called, invalid};
use crate::store::ecs::{Body, Cluster, TaskDefinition};

/// The version of Fargate's platform that `LATEST` is.
const LATEST: &str = "1.4.0";
/// The version of Fargate's platform for Windows that `LATEST` is.
const LATEST_OF_WINDOWS: &str = "1.0.0";
/// The versions of Fargate's platform, of Linux and of Windows.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-linux-fargate.html>
const VERSIONS: [&str; 6] = ["LATEST", LATEST, "1.3.0", "1.2.0", "1.1.0", "1.0.0"];
/// Storage of a Fargate task that says nothing of it, in GiB.
const STORAGE_GIB: i64 = 20;

/// What a call says of it: `launchType`, or `capacityProviderStrategy`, which is the cluster's default where neither is
/// said; nothing where `UpdateService` says nothing.
///
/// # Errors
/// ECS's words (observed), where both are said, or providers that the cluster doesn't have.
pub(super) fn read(call: &Called<'_>, cluster: &Cluster) -> Result<Body, AwsError> {
    let launch = call.input.text("launchType")?;
    let given = call.input.value("capacityProviderStrategy").and_then(Value::as_array);
    let given = given.filter(|items| !items.is_empty());
    if launch.is_some() && given.is_some() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    let mut body = Body::new();
    if let Some(launch) = launch {
        if !matches!(launch, "EC2" | "FARGATE" | "EXTERNAL" | "MANAGED_INSTANCES") {
            return Err(invalid(format!("Invalid launch type: {launch}")));
        }
        body.insert("launchType".to_owned(), Value::from(launch));
        return Ok(body);
    }
    if let Some(items) = given {
        check_providers(items, cluster)?;
        body.insert("capacityProviderStrategy".to_owned(), Value::Array(items.clone()));
        return Ok(body);
    }
    if call.operation == "UpdateService" {
        return Ok(body);
    }
    let default = cluster.body.get("defaultCapacityProviderStrategy").and_then(Value::as_array);
    match default.filter(|items| !items.is_empty()) {
        Some(items) => body.insert("capacityProviderStrategy".to_owned(), Value::Array(items.clone())),
        None => body.insert("launchType".to_owned(), json!("EC2")),
    };
    Ok(body)
}

fn check_providers(items: &[Value], cluster: &Cluster) -> Result<(), AwsError> {
    let names = || items.iter().filter_map(|item| item.get("capacityProvider").and_then(Value::as_str));
    let known = cluster.body.get("capacityProviders").and_then(Value::as_array);
    let has = |name: &str| known.is_some_and(|known| known.iter().any(|known| known == name));
    // Which ones a cluster has that is made elsewhere is not known.
    if !cluster.was_there && !names().all(has) {
        return Err(not_associated());
    }
    if names().any(is_fargates) && !names().all(is_fargates) {
        return Err(invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.",
        ));
    }
    Ok(())
}

/// The refusal of a strategy with providers that the cluster doesn't have (observed).
pub(super) fn not_associated() -> AwsError {
    invalid(
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and try again.",
    )
}

/// Whether a capacity provider is one of Fargate's.
pub(super) fn is_fargates(name: &str) -> bool {
    matches!(name, "FARGATE" | "FARGATE_SPOT")
}

/// Whether what runs by this runs on Fargate: a service, a revision, a task set or a task.
pub(super) fn is_fargate(body: &Body) -> bool {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let strategy = body.get("capacityProviderStrategy").and_then(Value::as_array);
    let first = strategy.and_then(|items| items.first()).and_then(|item| item.get("capacityProvider"));
    let provider = text("capacityProviderName").or_else(|| first.and_then(Value::as_str));
    text("launchType") == Some("FARGATE") || provider.is_some_and(is_fargates)
}

/// Checks a platform's version, which only Fargate has.
pub(super) fn check_platform(call: &Called<'_>, body: &Body) -> Result<(), AwsError> {
    let Some(version) = call.input.text("platformVersion")? else { return Ok(()) };
    if !VERSIONS.contains(&version) {
        return Err(AwsError::bad_request(
            "PlatformUnknownException",
            "The specified platform version does not exist.",
        ));
    }
    if !body.is_empty() && !is_fargate(body) {
        return Err(invalid("The platform version must be null when specifying an EC2 launch type."));
    }
    Ok(())
}

/// `platformFamily` of a task definition.
pub(super) fn family(definition: &TaskDefinition) -> &str {
    let platform = definition.body.get("runtimePlatform");
    match platform.and_then(|platform| platform.get("operatingSystemFamily")).and_then(Value::as_str) {
        None | Some("LINUX") => "Linux",
        Some(other) => other,
    }
}

/// The platform's version that tasks get: `LATEST` is one.
pub(super) fn version(body: &Body, family: &str) -> String {
    let asked = body.get("platformVersion").and_then(Value::as_str).filter(|version| *version != "LATEST");
    let latest = if family == "Linux" { LATEST } else { LATEST_OF_WINDOWS };
    asked.unwrap_or(latest).to_owned()
}

/// Adds what a task on Fargate tells of its platform (captured): its version, family and storage.
pub(super) fn add_platform(body: &mut Body, definition: &TaskDefinition) {
    if !is_fargate(body) {
        return;
    }
    let family = family(definition);
    let version = version(body, family);
    let size = |from: Option<&Value>| from?.get("sizeInGiB")?.as_i64();
    let given = body.get("overrides").and_then(|overrides| overrides.get("ephemeralStorage"));
    let storage = size(given).or_else(|| size(definition.body.get("ephemeralStorage")));
    body.insert("launchType".to_owned(), json!("FARGATE"));
    if family == "Linux" && version == LATEST {
        let storage = json!({ "sizeInGiB": storage.unwrap_or(STORAGE_GIB) });
        body.insert("ephemeralStorage".to_owned(), storage.clone());
        body.insert("fargateEphemeralStorage".to_owned(), storage);
    }
    body.insert("platformVersion".to_owned(), Value::from(version));
    body.insert("platformFamily".to_owned(), Value::from(family));
}
