//! Services: made, described, listed and deleted. What changes them is in `update_service`.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::page::Page;
use super::pass_role::{self, PassedTo};
use super::rollout::{Event, Rollout, Target};
use super::{
    Called, Fault, Keys, active_cluster, cluster_key, cluster_name, controller, failure, includes, invalid,
    launch, load, members, names, no_service, resource_tag_keys, service_input, service_json, settings, tags,
    traffic, update_service,
};
use crate::authz::ecs_calls as calls;
use crate::authz::{self, Permit};
use crate::store::ecs::{
    Body, Cluster, Place, Service, ServiceStatus, Tags, TaskDefinition, TaskSet, service_resource,
};

/// Services that one call describes.
const DESCRIBED_MAX: usize = 10;

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateService" => create(call),
        "UpdateService" => update_service::update(call),
        "DeleteService" => delete(call),
        "DescribeServices" => describe(call),
        "ListServices" => list(call),
        "ListServicesByNamespace" => list_by_namespace(call),
        _ => return None,
    })
}

/// Where a service is, and how its ARN is written.
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) cluster: String,
    pub(super) name: String,
    pub(super) arn: String,
}

impl Named {
    pub(super) fn key(&self) -> String {
        self.place.key(&[&self.cluster, &self.name])
    }
}

/// The service that a call names in a member.
pub(super) fn named(call: &Called<'_>, text: &str) -> Result<Named, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let name = names::service(place, &cluster, text)?;
    let is_long = load::service(call.world, place, &cluster, &name).is_none_or(|service| service.long_arn);
    let arn = place.arn(&service_resource(&cluster, &name, is_long));
    Ok(Named { place: place.clone(), cluster, name, arn })
}

/// Decides a call on a service, with the keys that all of them have.
pub(super) fn authorize<C: authz::Call>(
    call: &Called<'_>,
    named: &Named,
    more: Keys,
) -> Result<Permit<C>, AwsError> {
    let mut keys = more;
    keys.push(cluster_key(&named.place, &named.cluster));
    let known = load::service(call.world, &named.place, &named.cluster, &named.name);
    keys.extend(known.map(|service| resource_tag_keys(&service.tags)).unwrap_or_default());
    call.authorize(named.arn.clone(), keys)
}

/// The condition keys of what a call says about a service.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>
pub(super) fn input_keys(call: &Called<'_>, place: &Place) -> Result<Keys, AwsError> {
    let mut keys = Keys::new();
    let mut add = |name: &str, values: Vec<String>| keys.push((format!("ecs:{name}"), values));
    if let Some(text) = call.input.text("taskDefinition")? {
        let known =
            names::definition(place, text).and_then(|name| load::definition(call.world, place, &name));
        let arn = match &known {
            Some(known) => known.arn(),
            None if text.starts_with("arn:") => text.to_owned(),
            None => place.arn(&format!("task-definition/{text}")),
        };
        add("task-definition", vec![arn]);
        for (member, key) in [("cpu", "task-cpu"), ("memory", "task-memory")] {
            if let Some(value) = known.as_ref().and_then(|known| known.text(member)) {
                add(key, vec![value.to_owned()]);
            }
        }
    }
    let strategy = call.input.objects("capacityProviderStrategy")?;
    let providers: Vec<String> = strategy
        .iter()
        .filter_map(|item| item.text("capacityProvider").ok().flatten().map(str::to_owned))
        .collect();
    if !providers.is_empty() {
        add("capacity-provider", providers);
    }
    for (member, key) in [
        ("enableExecuteCommand", "enable-execute-command"),
        ("enableECSManagedTags", "enable-ecs-managed-tags"),
    ] {
        if let Some(flag) = call.input.boolean(member)? {
            add(key, vec![flag.to_string()]);
        }
    }
    if let Some(value) = call.input.text("propagateTags")? {
        add("propagate-tags", vec![value.to_owned()]);
    }
    let has_volumes = !call.input.objects("volumeConfigurations")?.is_empty();
    add("enable-ebs-volumes", vec![has_volumes.to_string()]);
    if let Some(network) = call.input.object("networkConfiguration")?
        && let Some(vpc) = network.object("awsvpcConfiguration")?
    {
        add("subnet", vpc.texts("subnets")?.into_iter().map(str::to_owned).collect());
        let public = vpc.text("assignPublicIp")?.unwrap_or("DISABLED");
        add("auto-assign-public-ip", vec![(public == "ENABLED").to_string()]);
    }
    if let Some(connect) = call.input.object("serviceConnectConfiguration")? {
        add("enable-service-connect", vec![connect.boolean("enabled")?.unwrap_or(false).to_string()]);
        if let Some(namespace) = connect.text("namespace")? {
            add("namespace", vec![namespace.to_owned()]);
        }
    }
    Ok(keys)
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    let name = call.input.required_text("serviceName")?.to_owned();
    let is_long = settings::has_long_arns(call, place, "serviceLongArnFormat");
    let given = tags::given(call.input)?;
    let arn = place.arn(&service_resource(&cluster, &name, is_long));
    let named = Named { place: place.clone(), cluster: cluster.clone(), name: name.clone(), arn };
    let mut keys = input_keys(call, place)?;
    keys.extend(tags::request_keys(&given));
    let permit = authorize::<calls::CreateService>(call, &named, keys)?;
    for role in service_input::passed_roles(call.members) {
        pass_role::authorize(call, place, &role, PassedTo::Ecs)?;
    }
    tags::authorize_on_create(call, &named.arn, &given)?;
    if !names::is_name(&name) {
        return Err(invalid("Invalid service name"));
    }
    let in_cluster = active_cluster(call.world, place, &cluster)?;
    let new = NewService::read(call, place, &in_cluster)?;
    let service = call.write(&permit, |writing| {
        let known = writing.get::<Service>(&named.key());
        let mut service = new.build(call, &named, is_long, given);
        match known.as_deref().map(|known| known.status) {
            Some(ServiceStatus::Draining) => {
                return Err(Fault::from(invalid("Unable to Start a service that is still Draining.")));
            }
            Some(ServiceStatus::Active) => {
                let known = known.filter(|known| is_same(known, &service));
                return known
                    .map(|known| (*known).clone())
                    .ok_or_else(|| Fault::from(invalid("Creation of service was not idempotent.")));
            }
            Some(ServiceStatus::Inactive) | None => {}
        }
        begin(call, writing, &mut service, new.definition.as_deref());
        Ok(service)
    })?;
    Ok(json!({ "service": service_json::render(call.world, &service, true) }))
}

/// The same call again: the same token and the same words.
fn is_same(known: &Service, new: &Service) -> bool {
    known.client_token.is_some() && known.client_token == new.client_token && known.body == new.body
}

/// The first deployment of a service, or its first task set.
fn begin(
    call: &Called<'_>,
    writing: &mut crate::store::Writing<'_>,
    service: &mut Service,
    definition: Option<&TaskDefinition>,
) {
    match (service.controller(), definition) {
        ("ECS", _) => controller::deploy(call.world, writing, service),
        (_, None) => writing.put(service.clone()),
        (_, Some(definition)) => {
            let number = controller::fresh_number(call.world);
            let now = call.now_ms();
            writing.put(TaskSet {
                place: service.place.clone(),
                cluster: service.cluster.clone(),
                service: service.name.clone(),
                number: number.clone(),
                external_id: None,
                started_by: None,
                body: members(&service.body, &service_input::REVISION),
                scale: 100.0,
                is_draining: false,
                created_ms: now,
                updated_ms: now,
                tags: Vec::new(),
            });
            let target = Target { id: number, has_health_check: controller::has_health_check(definition) };
            controller::feed(call.world, writing, service, Event::TaskSet(target, 100.0));
        }
    }
}

/// A service that was asked for.
struct NewService {
    body: Body,
    desired: u32,
    definition: Option<std::sync::Arc<TaskDefinition>>,
}

impl NewService {
    fn read(call: &Called<'_>, place: &Place, cluster: &Cluster) -> Result<Self, AwsError> {
        let mut body = members(call.members, &service_input::REVISION);
        body.extend(members(call.members, &service_input::SETTINGS));
        body.extend(members(call.members, &["schedulingStrategy", "role"]));
        let controller = match call.input.object("deploymentController")? {
            Some(controller) => controller.text("type")?.unwrap_or("ECS").to_owned(),
            None => "ECS".to_owned(),
        };
        if !matches!(controller.as_str(), "ECS" | "CODE_DEPLOY" | "EXTERNAL") {
            return Err(invalid(format!("Invalid deployment controller type: {controller}")));
        }
        let scheduling = call.input.text("schedulingStrategy")?.unwrap_or("REPLICA").to_owned();
        super::one_of("Scheduling strategy", Some(&scheduling), &["REPLICA", "DAEMON"]).map_err(invalid)?;
        let is_daemon = scheduling == "DAEMON";
        let definition = match call.input.text("taskDefinition")? {
            Some(_) if controller == "EXTERNAL" => {
                return Err(invalid(
                    "TaskDefinition cannot be specified when the deployment controller is EXTERNAL.",
                ));
            }
            Some(text) => Some(service_input::usable_definition(call, place, text)?),
            None if controller == "EXTERNAL" => None,
            None => return Err(invalid("TaskDefinition cannot be null.")),
        };
        let launch = service_input::read_launch(call, cluster, definition.as_deref())?;
        check_daemon(is_daemon, &launch, &controller)?;
        body.remove("capacityProviderStrategy");
        body.extend(launch);
        let desired = match service_input::desired_count(call)? {
            Some(_) if is_daemon => return Err(service_input::no_count_of_daemon()),
            Some(count) => count,
            // This machine is the one instance.
            None if is_daemon => 1,
            None if controller == "EXTERNAL" => 0,
            None => return Err(invalid("DesiredCount is missing")),
        };
        if let Some(definition) = &definition {
            service_input::check_execute(&body, definition, call.operation)?;
            traffic::check(&body, definition)?;
            body.insert("taskDefinition".to_owned(), Value::from(definition.arn()));
            add_platform(&mut body, launch::family(definition));
        }
        add_defaults(&mut body, &scheduling, &controller, is_daemon)?;
        Ok(Self { body, desired, definition })
    }

    fn build(&self, call: &Called<'_>, named: &Named, long_arn: bool, tags: Tags) -> Service {
        let rules = service_input::rules(&call.world.clock, &self.body);
        Service {
            place: named.place.clone(),
            cluster: named.cluster.clone(),
            name: named.name.clone(),
            status: ServiceStatus::Active,
            long_arn,
            body: self.body.clone(),
            rollout: Rollout::new(&named.name, self.desired, rules),
            events: Vec::new(),
            current_deployment: None,
            created_by: call.identified.caller.arn(),
            created_ms: call.now_ms(),
            client_token: call.input.text("clientToken").ok().flatten().map(str::to_owned),
            tags,
        }
    }
}

/// The platform of a service on Fargate; which version is the latest, its deployments say.
pub(super) fn add_platform(body: &mut Body, family: &str) {
    if launch::is_fargate(body) {
        body.entry("platformVersion").or_insert_with(|| json!("LATEST"));
        body.insert("platformFamily".to_owned(), Value::from(family));
    }
}

fn check_daemon(is_daemon: bool, launch: &Body, controller: &str) -> Result<(), AwsError> {
    if !is_daemon {
        return Ok(());
    }
    if launch::is_fargate(launch) {
        return Err(invalid("The daemon scheduling strategy is not supported on the FARGATE launch type."));
    }
    if controller != "ECS" {
        return Err(invalid(
            "The daemon scheduling strategy is not supported with this deployment controller.",
        ));
    }
    Ok(())
}

/// What `DescribeServices` tells of a service that said nothing about it (captured).
fn add_defaults(
    body: &mut Body,
    scheduling: &str,
    controller: &str,
    is_daemon: bool,
) -> Result<(), AwsError> {
    let configuration =
        service_input::deployment_configuration(body.get("deploymentConfiguration"), None, is_daemon)?;
    let is_narrow =
        configuration.get("maximumPercent").and_then(Value::as_i64).is_some_and(|most| most <= 100);
    body.insert("deploymentConfiguration".to_owned(), configuration);
    body.insert("schedulingStrategy".to_owned(), Value::from(scheduling));
    body.insert("deploymentController".to_owned(), json!({ "type": controller }));
    let rebalancing = if is_narrow { "DISABLED" } else { "ENABLED" };
    for (name, value) in [
        ("availabilityZoneRebalancing", json!(rebalancing)),
        ("healthCheckGracePeriodSeconds", json!(0)),
        ("enableECSManagedTags", json!(false)),
        ("propagateTags", json!("NONE")),
        ("enableExecuteCommand", json!(false)),
        ("loadBalancers", json!([])),
        ("serviceRegistries", json!([])),
        ("placementConstraints", json!([])),
        ("placementStrategy", json!([])),
    ] {
        body.entry(name).or_insert(value);
    }
    Ok(())
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named(call, call.input.required_text("service")?)?;
    let permit = authorize::<calls::DeleteService>(call, &named, Vec::new())?;
    active_cluster(call.world, &named.place, &named.cluster)?;
    let force = call.input.boolean("force")?.unwrap_or(false);
    let service = call.write(&permit, |writing| {
        let known = writing.get::<Service>(&named.key()).ok_or_else(no_service)?;
        let mut service = (*known).clone();
        match service.status {
            ServiceStatus::Inactive => return Err(Fault::from(update_service::not_active())),
            ServiceStatus::Draining => return Ok(service),
            ServiceStatus::Active => {}
        }
        let is_daemon = service.text("schedulingStrategy") == Some("DAEMON");
        if service.rollout.desired > 0 && !force && !is_daemon {
            return Err(Fault::from(invalid("The service cannot be stopped while it is scaled above 0.")));
        }
        service.status = ServiceStatus::Draining;
        service.rollout.desired = 0;
        controller::feed(call.world, writing, &mut service, Event::Drain);
        let shown = Service { status: ServiceStatus::Draining, ..service };
        Ok(shown)
    })?;
    Ok(json!({ "service": service_json::render(call.world, &service, false) }))
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let asked = call.input.texts("services")?;
    if asked.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if asked.len() > DESCRIBED_MAX {
        return Err(invalid(format!("Services cannot have more than {DESCRIBED_MAX} elements.")));
    }
    let with_tags = includes(call.input, "TAGS")?;
    let (mut found, mut failures, mut cluster) = (Vec::new(), Vec::new(), None);
    for text in asked {
        let named = named(call, text)?;
        authorize::<calls::DescribeServices>(call, &named, Vec::new())?;
        match load::service(call.world, &named.place, &named.cluster, &named.name) {
            Some(service) => found.push(service_json::render(call.world, &service, with_tags)),
            None => failures.push(failure(&named.arn, "MISSING")),
        }
        cluster = Some((named.place, named.cluster));
    }
    if let Some((place, cluster)) = cluster {
        active_cluster(call.world, &place, &cluster)?;
    }
    Ok(json!({ "services": found, "failures": failures }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let cluster = cluster_name(call)?;
    call.authorize::<calls::ListServices>("*".to_owned(), vec![cluster_key(place, &cluster)])?;
    let page = Page::read(call.input, 10, 100)?;
    active_cluster(call.world, place, &cluster)?;
    let (launch, scheduling) = (call.input.text("launchType")?, call.input.text("schedulingStrategy")?);
    let all = call.world.store.list::<Service>(&place.in_cluster(&cluster));
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|service| service.status != ServiceStatus::Inactive)
        .filter(|service| launch.is_none() || service.text("launchType") == launch)
        .filter(|service| scheduling.is_none() || service.text("schedulingStrategy") == scheduling)
        .collect();
    Ok(page.answer("serviceArns", &wanted, |service| service.arn(), |service| Value::from(service.arn())))
}

fn list_by_namespace(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let namespace = call.input.text("namespace")?;
    let keys =
        namespace.map(|name| ("ecs:namespace".to_owned(), vec![name.to_owned()])).into_iter().collect();
    call.authorize::<calls::ListServicesByNamespace>("*".to_owned(), keys)?;
    let namespace = call.input.required_text("namespace")?;
    let page = Page::read(call.input, 10, 100)?;
    let all = call.world.store.list::<Service>(&place.all());
    let of = |service: &Service| {
        let connect = service.body.get("serviceConnectConfiguration")?;
        connect.get("namespace")?.as_str().map(str::to_owned)
    };
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|service| {
            service.status == ServiceStatus::Active && of(service).as_deref() == Some(namespace)
        })
        .collect();
    Ok(page.answer("serviceArns", &wanted, |service| service.arn(), |service| Value::from(service.arn())))
}
