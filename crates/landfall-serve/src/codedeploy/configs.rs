//! Deployment configurations: CodeDeploy's own for ECS, and an account's.
//! <https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html>

use landfall_wire::error::AwsError;
use landfall_wire::ids;
use landfall_wire::json::Input;
use serde_json::{Value, json};

use super::course::Shift;
use super::{Called, Fault, bad_token, error, seconds};
use crate::authz::codedeploy_calls as calls;
use crate::page::Page;
use crate::store::Record as _;
use crate::store::codedeploy::{DeploymentConfig, Group, arn};

/// Name, percent and minutes; a canary has one part, a linear shift equal ones.
const CONFIGS: [(&str, &str, i64, i64); 5] = [
    ("CodeDeployDefault.ECSAllAtOnce", "AllAtOnce", 100, 0),
    ("CodeDeployDefault.ECSCanary10Percent15Minutes", "TimeBasedCanary", 10, 15),
    ("CodeDeployDefault.ECSCanary10Percent5Minutes", "TimeBasedCanary", 10, 5),
    ("CodeDeployDefault.ECSLinear10PercentEvery1Minutes", "TimeBasedLinear", 10, 1),
    ("CodeDeployDefault.ECSLinear10PercentEvery3Minutes", "TimeBasedLinear", 10, 3),
];
/// How the names of CodeDeploy's own begin.
const OWN_PREFIX: &str = "CodeDeployDefault.";
/// The longest wait between two parts of the traffic, in minutes: two days.
const INTERVAL_MINUTES_MAX: i64 = 2_880;
/// Configurations of an account.
const CONFIGS_MAX: usize = 50;
/// Names of one page.
const PAGE_NAMES: usize = 100;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateDeploymentConfig" => create(call),
        "GetDeploymentConfig" => get(call),
        "ListDeploymentConfigs" => list(call),
        "DeleteDeploymentConfig" => delete(call),
        _ => return None,
    })
}

/// How traffic moves by a configuration: its type, the percentage of a part, and the minutes between two.
type Routing = (&'static str, i64, i64);

/// The configuration of a name, with what is kept of an account's own.
fn known(call: &Called<'_>, name: &str) -> Result<(Routing, Option<DeploymentConfig>), AwsError> {
    if let Some((_, kind, percent, minutes)) = CONFIGS.iter().find(|(known, ..)| *known == name) {
        return Ok(((kind, *percent, *minutes), None));
    }
    let own = call.world.store.get::<DeploymentConfig>(&call.place.key(&[name])).ok_or_else(|| {
        let message = format!("No Deployment Configuration found for name: {name}");
        error("DeploymentConfigDoesNotExistException", message)
    })?;
    let kind = KINDS.iter().find(|kind| **kind == own.kind).copied().unwrap_or("AllAtOnce");
    Ok(((kind, own.percent, own.minutes), Some((*own).clone())))
}

const KINDS: [&str; 3] = ["AllAtOnce", "TimeBasedCanary", "TimeBasedLinear"];

/// How traffic moves by a configuration.
pub(super) fn find(call: &Called<'_>, name: &str) -> Result<Shift, AwsError> {
    let ((kind, percent, minutes), _) = known(call, name)?;
    #[expect(clippy::cast_precision_loss, reason = "a percentage is at most 100")]
    let (percent, wait_ms) = (percent as f64, minutes * 60_000);
    Ok(match kind {
        "TimeBasedCanary" => Shift::Canary { percent, wait_ms },
        "TimeBasedLinear" => Shift::Linear { percent, wait_ms },
        _ => Shift::AllAtOnce,
    })
}

fn named(call: &Called<'_>) -> Result<(String, String), AwsError> {
    let name = call.input.required_text("deploymentConfigName")?;
    super::check_name("deploymentConfigName", name)?;
    Ok((name.to_owned(), arn(&call.place, &format!("deploymentconfig:{name}"))))
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, resource) = named(call)?;
    let permit = call.authorize::<calls::CreateDeploymentConfig>(resource, Vec::new())?;
    if name.starts_with(OWN_PREFIX) {
        let message = format!("The name of a deployment configuration must not begin with {OWN_PREFIX}");
        return Err(error("InvalidDeploymentConfigNameException", message));
    }
    super::check_platform(call.input.text("computePlatform")?.unwrap_or("Server"))?;
    if call.input.value("minimumHealthyHosts").is_some() {
        let message = "Minimum healthy hosts can be given for the compute platform Server alone";
        return Err(error("InvalidMinimumHealthyHostValueException", message));
    }
    let (kind, percent, minutes) = routing(call.input.object("trafficRoutingConfig")?)?;
    let id = ids::request_id(call.world.random());
    let config = DeploymentConfig {
        place: call.place.clone(),
        name,
        id: id.clone(),
        kind: kind.to_owned(),
        percent,
        minutes,
        created_ms: call.now_ms(),
    };
    call.write(&permit, |writing| {
        if writing.get::<DeploymentConfig>(&config.key()).is_some() {
            let message = format!("Deployment configuration already exists: {}", config.name);
            return Err(Fault::from(error("DeploymentConfigAlreadyExistsException", message)));
        }
        if writing.list::<DeploymentConfig>(&call.place.all()).len() >= CONFIGS_MAX {
            let message = format!("An account has at most {CONFIGS_MAX} deployment configurations");
            return Err(Fault::from(error("DeploymentConfigLimitExceededException", message)));
        }
        writing.put(config);
        Ok(())
    })?;
    Ok(json!({ "deploymentConfigId": id }))
}

/// The routing of a configuration that is made; without any it is all at once.
fn routing(given: Option<Input<'_>>) -> Result<Routing, AwsError> {
    let wrong = |message: String| error("InvalidTrafficRoutingConfigurationException", message);
    let Some(given) = given else { return Ok(("AllAtOnce", 100, 0)) };
    let kind = given.text("type")?.unwrap_or("AllAtOnce");
    let (kind, member, percent, minutes) = match kind {
        "AllAtOnce" => return Ok(("AllAtOnce", 100, 0)),
        "TimeBasedCanary" => ("TimeBasedCanary", "timeBasedCanary", "canaryPercentage", "canaryInterval"),
        "TimeBasedLinear" => ("TimeBasedLinear", "timeBasedLinear", "linearPercentage", "linearInterval"),
        other => {
            let expected = KINDS.join(", ");
            return Err(wrong(format!("{other} is no type of traffic routing: {expected} are expected")));
        }
    };
    let parts = given.object(member)?.ok_or_else(|| wrong(format!("{kind} needs {member}")))?;
    let number = |name: &str, most: i64| {
        let found = parts.integer(name)?.filter(|value| (1..=most).contains(value));
        found.ok_or_else(|| wrong(format!("{name} must be a number from 1 to {most}")))
    };
    Ok((kind, number(percent, 99)?, number(minutes, INTERVAL_MINUTES_MAX)?))
}

fn get(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, resource) = named(call)?;
    call.authorize::<calls::GetDeploymentConfig>(resource, Vec::new())?;
    let ((kind, percent, minutes), own) = known(call, &name)?;
    let routing = match kind {
        "TimeBasedCanary" => json!({
            "type": kind,
            "timeBasedCanary": { "canaryPercentage": percent, "canaryInterval": minutes },
        }),
        "TimeBasedLinear" => json!({
            "type": kind,
            "timeBasedLinear": { "linearPercentage": percent, "linearInterval": minutes },
        }),
        _ => json!({ "type": kind }),
    };
    let mut info = json!({
        "deploymentConfigName": name,
        "computePlatform": "ECS",
        "trafficRoutingConfig": routing,
    });
    if let Some(own) = own {
        info["deploymentConfigId"] = json!(own.id);
        info["createTime"] = seconds(own.created_ms);
    }
    Ok(json!({ "deploymentConfigInfo": info }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    call.authorize::<calls::ListDeploymentConfigs>("*".to_owned(), Vec::new())?;
    let own = call.world.store.list::<DeploymentConfig>(&call.place.all());
    let names: Vec<&str> =
        CONFIGS.iter().map(|(name, ..)| *name).chain(own.iter().map(|own| own.name.as_str())).collect();
    let page = Page::at(call.input.text("nextToken")?, PAGE_NAMES).ok_or_else(bad_token)?;
    Ok(page.answer("deploymentConfigsList", &names, |name| (*name).to_owned(), |name| json!(name)))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (name, resource) = named(call)?;
    let permit = call.authorize::<calls::DeleteDeploymentConfig>(resource, Vec::new())?;
    if name.starts_with(OWN_PREFIX) {
        let message = format!("{name} is a configuration of CodeDeploy's own, and can't be deleted");
        return Err(error("InvalidOperationException", message));
    }
    call.write(&permit, |writing| {
        let groups = writing.list::<Group>(&call.place.all());
        if groups.iter().any(|group| group.body.get("deploymentConfigName").is_some_and(|used| *used == name))
        {
            let message = "The deployment configuration is still in use.";
            return Err(Fault::from(error("DeploymentConfigInUseException", message)));
        }
        // One that isn't there is gone already: CodeDeploy says nothing of it.
        let _ = writing.remove::<DeploymentConfig>(&call.place.key(&[&name]));
        Ok(())
    })?;
    Ok(json!({}))
}
