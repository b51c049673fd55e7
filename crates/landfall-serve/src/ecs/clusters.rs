//! Clusters.

use landfall_wire::error::AwsError;
use serde_json::{Value, json};

use super::page::Page;
use super::{
    Called, Fault, cluster_key, failure, includes, invalid, launch, load, members, names, no_cluster,
    resource_tag_keys, tags,
};
use crate::authz::ecs_calls as calls;
use crate::store::Writing;
use crate::store::ecs::{Body, Cluster, Place, Service, ServiceStatus, Task, TaskStatus};
use crate::world::World;

/// Clusters that one call names.
const CLUSTERS_MAX: usize = 100;
/// What a client may write of a cluster.
const MEMBERS: [&str; 5] = [
    "settings",
    "configuration",
    "capacityProviders",
    "defaultCapacityProviderStrategy",
    "serviceConnectDefaults",
];

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    Some(match call.operation {
        "CreateCluster" => create(call),
        "DescribeClusters" => describe(call),
        "ListClusters" => list(call),
        "DeleteCluster" => delete(call),
        "UpdateCluster" => update(call),
        "UpdateClusterSettings" => update_settings(call),
        "PutClusterCapacityProviders" => put_capacity_providers(call),
        _ => return None,
    })
}

fn create(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.text("clusterName")?.unwrap_or(super::DEFAULT_CLUSTER).to_owned();
    let given = tags::given(call.input)?;
    let arn = place.arn(&format!("cluster/{name}"));
    let mut keys = tags::request_keys(&given);
    keys.extend(capacity_provider_keys(call)?);
    let permit = call.authorize::<calls::CreateCluster>(arn.clone(), keys)?;
    tags::authorize_on_create(call, &arn, &given)?;
    if !names::is_name(&name) {
        return Err(invalid("Invalid cluster name"));
    }
    check_providers(call, place)?;
    let mut body = members(call.members, &MEMBERS);
    if !body.contains_key("settings") {
        body.insert("settings".to_owned(), json!([{ "name": "containerInsights", "value": "disabled" }]));
    }
    let cluster = call.write(&permit, |writing| {
        let known = writing.get::<Cluster>(&place.key(&[&name])).filter(|known| known.is_active);
        if let Some(known) = known {
            // The same call again finds what it made.
            return Ok((*known).clone());
        }
        let cluster = Cluster {
            place: place.clone(),
            name: name.clone(),
            is_active: true,
            was_there: false,
            body,
            tags: given,
        };
        writing.put(cluster.clone());
        Ok(cluster)
    })?;
    Ok(json!({ "cluster": render(call.world, &cluster, &["SETTINGS", "CONFIGURATIONS", "TAGS"]) }))
}

fn capacity_provider_keys(call: &Called<'_>) -> Result<super::Keys, AwsError> {
    let named = call.input.texts("capacityProviders")?;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![("ecs:capacity-provider".to_owned(), named.into_iter().map(str::to_owned).collect())])
}

fn describe(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let mut named = call.input.texts("clusters")?;
    if named.is_empty() {
        named.push(super::DEFAULT_CLUSTER);
    }
    if named.len() > CLUSTERS_MAX {
        return Err(invalid(format!("Clusters cannot have more than {CLUSTERS_MAX} elements.")));
    }
    let wanted: Vec<&str> = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"]
        .into_iter()
        .filter_map(|word| includes(call.input, word).map(|is_in| is_in.then_some(word)).transpose())
        .collect::<Result<_, _>>()?;
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for text in named {
        let name = names::cluster(place, text)?;
        let arn = place.arn(&format!("cluster/{name}"));
        let known = call.world.store.get::<Cluster>(&place.key(&[&name]));
        let keys = known.as_ref().map(|cluster| resource_tag_keys(&cluster.tags)).unwrap_or_default();
        call.authorize::<calls::DescribeClusters>(arn.clone(), keys)?;
        match known {
            Some(cluster) => clusters.push(render(call.world, &cluster, &wanted)),
            None => failures.push(failure(&arn, "MISSING")),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

fn list(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    call.authorize::<calls::ListClusters>("*".to_owned(), Vec::new())?;
    let page = Page::read(call.input, 100, 100)?;
    let all = call.world.store.list::<Cluster>(&place.all());
    let active: Vec<_> = all.into_iter().filter(|cluster| cluster.is_active).collect();
    Ok(page.answer("clusterArns", &active, |cluster| cluster.arn(), |cluster| Value::from(cluster.arn())))
}

/// Decides a call on the cluster that it names.
fn named<C: crate::authz::Call>(
    call: &Called<'_>,
) -> Result<(Place, String, crate::authz::Permit<C>), AwsError> {
    let place = &call.place;
    let name = names::cluster(place, call.input.required_text("cluster")?)?;
    let known = call.world.store.get::<Cluster>(&place.key(&[&name]));
    let mut keys = known.map(|cluster| resource_tag_keys(&cluster.tags)).unwrap_or_default();
    keys.push(cluster_key(place, &name));
    let permit = call.authorize(place.arn(&format!("cluster/{name}")), keys)?;
    Ok((place.clone(), name, permit))
}

fn delete(call: &Called<'_>) -> Result<Value, AwsError> {
    let (place, name, permit) = named::<calls::DeleteCluster>(call)?;
    let cluster = call.write(&permit, |writing| {
        let known = writing.get::<Cluster>(&place.key(&[&name])).filter(|known| known.is_active);
        let mut cluster = (*known.ok_or_else(no_cluster)?).clone();
        let services = writing.list::<Service>(&place.in_cluster(&name));
        if services.iter().any(|service| service.status == ServiceStatus::Active) {
            return Err(Fault::from(AwsError::bad_request(
                "ClusterContainsServicesException",
                "The Cluster cannot be deleted while Services are active.",
            )));
        }
        let tasks = writing.list::<Task>(&place.in_cluster(&name));
        if tasks.iter().any(|task| task.status != TaskStatus::Stopped) {
            return Err(Fault::from(AwsError::bad_request(
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            )));
        }
        cluster.is_active = false;
        writing.put(cluster.clone());
        Ok(cluster)
    })?;
    Ok(json!({ "cluster": render(call.world, &cluster, &[]) }))
}

fn change<C>(
    call: &Called<'_>,
    (place, name, permit): &(Place, String, crate::authz::Permit<C>),
    names: &[&str],
    check: impl FnOnce(&Writing<'_>, &Cluster) -> Result<(), AwsError>,
) -> Result<Value, AwsError> {
    let given = members(call.members, names);
    let cluster = call.write(permit, |writing| {
        let known = writing.get::<Cluster>(&place.key(&[name])).filter(|known| known.is_active);
        let mut cluster = (*known.ok_or_else(no_cluster)?).clone();
        check(writing, &cluster)?;
        merge(&mut cluster.body, given);
        writing.put(cluster.clone());
        Ok(cluster)
    })?;
    Ok(json!({ "cluster": render(call.world, &cluster, &["SETTINGS", "CONFIGURATIONS"]) }))
}

/// Members that were given replace those that were there.
fn merge(body: &mut Body, given: Body) {
    for (name, value) in given {
        body.insert(name, value);
    }
}

fn update(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named::<calls::UpdateCluster>(call)?;
    change(call, &named, &["settings", "configuration", "serviceConnectDefaults"], |_, _| Ok(()))
}

fn update_settings(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named::<calls::UpdateClusterSettings>(call)?;
    change(call, &named, &["settings"], |_, _| Ok(()))
}

fn put_capacity_providers(call: &Called<'_>) -> Result<Value, AwsError> {
    let named = named::<calls::PutClusterCapacityProviders>(call)?;
    for required in ["capacityProviders", "defaultCapacityProviderStrategy"] {
        if call.input.value(required).is_none() {
            return Err(super::missing(required, "Member must not be null"));
        }
    }
    check_providers(call, &named.0)?;
    let kept = call.input.texts("capacityProviders")?;
    change(call, &named, &["capacityProviders", "defaultCapacityProviderStrategy"], |writing, cluster| {
        check_removed(writing, cluster, &kept)
    })
}

/// The providers of a cluster are there, and its default strategy has no others.
fn check_providers(call: &Called<'_>, place: &Place) -> Result<(), AwsError> {
    let providers = call.input.texts("capacityProviders")?;
    let is_known = |name: &str| launch::is_fargates(name) || load::capacity_provider(call.world, place, name);
    if !providers.iter().all(|name| is_known(name)) {
        return Err(invalid(
            "The specified capacity provider was not found. Specify a valid capacity provider and try again.",
        ));
    }
    for item in call.input.objects("defaultCapacityProviderStrategy")? {
        if item.text("capacityProvider")?.is_some_and(|name| !providers.contains(&name)) {
            return Err(launch::not_associated());
        }
    }
    Ok(())
}

/// A provider of services or tasks that are there can't be taken away (observed).
fn check_removed(writing: &Writing<'_>, cluster: &Cluster, kept: &[&str]) -> Result<(), AwsError> {
    let within = cluster.place.in_cluster(&cluster.name);
    let before = cluster.body.get("capacityProviders").and_then(Value::as_array);
    let removed: Vec<&str> =
        before.into_iter().flatten().filter_map(Value::as_str).filter(|name| !kept.contains(name)).collect();
    let goes = |name: &Value| name.as_str().is_some_and(|name| removed.contains(&name));
    let services = writing.list::<Service>(&within);
    let by_service =
        services.iter().filter(|service| service.status != ServiceStatus::Inactive).any(|known| {
            let strategy = known.body.get("capacityProviderStrategy").and_then(Value::as_array);
            strategy.into_iter().flatten().filter_map(|item| item.get("capacityProvider")).any(goes)
        });
    let tasks = writing.list::<Task>(&within);
    let by_task = tasks
        .iter()
        .filter(|task| task.status != TaskStatus::Stopped)
        .any(|task| task.body.get("capacityProviderName").is_some_and(goes));
    if by_service || by_task {
        return Err(AwsError::bad_request(
            "ResourceInUseException",
            "The specified capacity provider is in use and cannot be removed.",
        ));
    }
    Ok(())
}

fn render(world: &World, cluster: &Cluster, include: &[&str]) -> Value {
    let place = &cluster.place;
    let tasks = world.store.list::<Task>(&place.in_cluster(&cluster.name));
    let count = |wanted: &dyn Fn(&Task) -> bool| tasks.iter().filter(|task| wanted(task)).count();
    let services = world.store.list::<Service>(&place.in_cluster(&cluster.name));
    let active = services.iter().filter(|service| service.status == ServiceStatus::Active).count();
    let has = |word: &str| include.contains(&word);
    let of = |name: &str| cluster.body.get(name).cloned();
    let empty = || Some(json!([]));
    let mut answer = json!({
        "clusterArn": cluster.arn(),
        "clusterName": cluster.name,
        "status": if cluster.is_active { "ACTIVE" } else { "INACTIVE" },
        "registeredContainerInstancesCount": 0,
        "runningTasksCount": count(&|task| task.status == TaskStatus::Running),
        "pendingTasksCount": count(&|task| task.status < TaskStatus::Running),
        "activeServicesCount": active,
        "statistics": if has("STATISTICS") { statistics(&tasks, &services) } else { json!([]) },
        "tags": if has("TAGS") { tags::render(&cluster.tags) } else { json!([]) },
        "settings": if has("SETTINGS") { of("settings").or_else(empty) } else { empty() },
        "capacityProviders": of("capacityProviders").or_else(empty),
        "defaultCapacityProviderStrategy": of("defaultCapacityProviderStrategy").or_else(empty),
    });
    if let (Some(configuration), true) = (of("configuration"), has("CONFIGURATIONS")) {
        answer["configuration"] = configuration;
    }
    if let Some(defaults) = of("serviceConnectDefaults") {
        answer["serviceConnectDefaults"] = defaults;
    }
    answer
}

fn statistics(tasks: &[std::sync::Arc<Task>], services: &[std::sync::Arc<Service>]) -> Value {
    let of = |task: &Task, kind: &str| {
        task.body.get("launchType").and_then(Value::as_str).unwrap_or("EC2") == kind
    };
    let mut entries = Vec::new();
    for (label, kind) in [("EC2", "EC2"), ("Fargate", "FARGATE")] {
        let mine = || tasks.iter().filter(|task| of(task, kind));
        let running = mine().filter(|task| task.status == TaskStatus::Running).count();
        let pending = mine().filter(|task| task.status < TaskStatus::Running).count();
        let services = services.iter().filter(|service| service.text("launchType").unwrap_or("EC2") == kind);
        let (mut active, mut draining) = (0, 0);
        for service in services {
            match service.status {
                ServiceStatus::Active => active += 1,
                ServiceStatus::Draining => draining += 1,
                ServiceStatus::Inactive => {}
            }
        }
        for (name, value) in [
            (format!("running{label}TasksCount"), running),
            (format!("pending{label}TasksCount"), pending),
            (format!("active{label}ServiceCount"), active),
            (format!("draining{label}ServiceCount"), draining),
        ] {
            entries.push(json!({ "name": name, "value": value.to_string() }));
        }
    }
    Value::Array(entries)
}
