//! Names in a delivery that nothing has: a cluster, a service or a role that isn't there is refused as one that may not be
//! used, and then a wider policy helps nobody. And the inputs of a step that its failure is about.

use landfall_check::terraform::{Infra, Repository};
use landfall_serve::World;
use landfall_serve::log::Record;
use landfall_serve::store::ecs::{Cluster, Service};
use landfall_types::{Arn, Finding, Span, Tree};

/// An input of a step, as it was evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) span: Span,
}

/// A refusal of what isn't there: that comes first, and nothing is proposed that would allow it.
pub(crate) fn of_refusal(world: &World, record: &Record, finding: Finding) -> Finding {
    // What else is refused says itself what is missing.
    const REFUSALS: &[&str] =
        &["action-not-allowed", "resource-not-allowed", "condition-not-met", "condition-needs-qualifier"];
    if !REFUSALS.contains(&finding.rule) {
        return finding;
    }
    // What a call makes isn't there before it: then the policy is all that refuses.
    if record.action.as_deref().is_some_and(makes) {
        return finding;
    }
    let Some((what, near)) = record.resource.as_deref().and_then(|arn| absent(world, arn)) else {
        return finding;
    };
    let mut finding = finding;
    finding.help.clear();
    finding.help(format!(
        "there is no {what} here{}; a policy that allows more doesn't help",
        meant(near.as_deref())
    ))
}

/// A repository that isn't there: the lines of those that may be meant.
pub(crate) fn of_repository(infra: &Infra, record: &Record, finding: Finding) -> Finding {
    let missing = record.resource.as_deref().and_then(|arn| Arn::parse(arn).ok());
    let missing = missing.filter(|_| finding.rule == "repository-missing");
    let Some(name) = missing.as_ref().and_then(|arn| arn.resource.strip_prefix("repository/")) else {
        return finding;
    };
    let region = missing.as_ref().map_or("", |arn| arn.region.as_str());
    let known = infra.repositories.iter().chain(&infra.looked_up_repositories);
    let (same, others): (Vec<_>, Vec<_>) = known.partition(|it| it.name.value == name);
    if !same.is_empty() {
        let at = |finding: Finding, it: &&Repository| {
            finding.at(it.name.span, format!("there is one of this name, in {}", it.region))
        };
        return same.iter().fold(finding, at);
    }
    let here: Vec<&str> =
        others.iter().filter(|it| it.region == region).map(|it| it.name.value.as_str()).collect();
    let near = nearest(name, &here);
    match others.iter().find(|it| Some(&it.name.value) == near.as_ref()) {
        Some(it) => Finding { help: Vec::new(), ..finding }
            .at(it.name.span, format!("there is `{}`", it.name.value))
            .help(format!("is `{}` meant?", it.name.value)),
        None => finding,
    }
}

/// Whether an action makes what it is called on.
fn makes(action: &str) -> bool {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    ["Create", "Register"].iter().any(|verb| name.starts_with(verb))
}

/// What an ARN names, where that isn't there, and the nearest name that is.
fn absent(world: &World, arn: &str) -> Option<(String, Option<String>)> {
    let arn = Arn::parse(arn).ok()?;
    let mut parts = arn.resource.split('/');
    match (arn.service.as_str(), parts.next()?) {
        ("ecs", "cluster") => absent_cluster(world, parts.next()?),
        ("ecs", "service") => {
            let (cluster, service) = (parts.next()?, parts.next()?);
            absent_cluster(world, cluster).or_else(|| absent_service(world, cluster, service))
        }
        ("iam", "role") => {
            let (account, name) = (arn.account_id()?, arn.resource.rsplit('/').next()?);
            let roles = world.store.roles(account);
            // Of another account nobody here knows what it has.
            if roles.is_empty() && account != world.settings.default_account {
                return None;
            }
            let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
            let is_absent = !names.contains(&name) && !name.contains(['*', '?']);
            is_absent.then(|| (format!("role `{name}`"), nearest(name, &names)))
        }
        _ => None,
    }
}

fn absent_cluster(world: &World, name: &str) -> Option<(String, Option<String>)> {
    let all = world.store.list::<Cluster>("");
    let names: Vec<&str> = all.iter().filter(|one| one.is_active).map(|one| one.name.as_str()).collect();
    let is_absent = !names.contains(&name) && !name.contains('*');
    is_absent.then(|| (format!("cluster `{name}`"), nearest(name, &names)))
}

fn absent_service(world: &World, cluster: &str, name: &str) -> Option<(String, Option<String>)> {
    let all = world.store.list::<Service>("");
    let of = all.iter().filter(|one| one.cluster == cluster);
    let names: Vec<&str> = of.map(|one| one.name.as_str()).collect();
    let is_absent = !names.contains(&name) && !name.contains('*');
    is_absent.then(|| (format!("service `{name}` in cluster `{cluster}`"), nearest(name, &names)))
}

/// What a failed step of ECS's actions is about, by its inputs: the place in the workflow.
pub(crate) fn of_step(
    world: &World,
    (inputs, made_by): (&[Input], Span),
    definitions: &[Tree],
    error: &str,
) -> Option<Finding> {
    let input = |name: &str| inputs.iter().find(|input| input.name.eq_ignore_ascii_case(name));
    let place = |name: &str| input(name).map_or(made_by, |input| input.span);
    if let Some(name) = error.split("not supplied: ").nth(1) {
        let finding = Finding::error("input-missing", format!("the step has no `{name}`"));
        return Some(match input(name) {
            Some(given) => finding.at(given.span, "this came out empty"),
            None => finding.at(made_by, format!("`{name}` is missing here")),
        });
    }
    if error.contains("container definition with matching name") {
        let value = input("container-name")?.value.as_str();
        let containers = definitions.iter().filter_map(|tree| {
            let tree = tree.field("taskDefinition").unwrap_or(tree);
            Some(tree.field("containerDefinitions")?.items())
        });
        let names: Vec<&str> = containers.flatten().filter_map(|one| one.field("name")?.as_text()).collect();
        let wrong = value.split(',').find(|name| !names.contains(name)).unwrap_or(value);
        let message = format!("the task definition has no container `{wrong}`");
        let finding = Finding::error("container-missing", message).at(place("container-name"), "named here");
        let finding =
            if wrong.trim() == wrong { finding } else { finding.note("blanks around a name count") };
        return Some(match nearest(wrong.trim(), &names) {
            Some(near) => finding.help(format!("`{near}` is there")),
            None => finding,
        });
    }
    let cluster = input("cluster").map_or("default", |input| input.value.as_str());
    let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
    let of_service = |service: &Input| {
        let name = service.value.rsplit('/').next().unwrap_or(&service.value);
        let absent = absent_service(world, cluster, name)?;
        Some(("service-missing", absent, place("service")))
    };
    let of_cluster = || Some(("cluster-missing", absent_cluster(world, cluster)?, place("cluster")));
    let calls = input("service").is_some() || input("run-task").is_some();
    let absent = of_cluster().filter(|_| calls).or_else(|| of_service(input("service")?));
    if let Some((rule, (what, near), span)) = absent {
        let finding = Finding::error(rule, format!("there is no {what}")).at(span, "named here");
        return Some(match near {
            Some(near) => finding.help(format!("`{near}` is there")),
            None => finding,
        });
    }
    // Any other input that the failure names.
    let named = inputs.iter().filter(|input| error.contains(input.name.as_str()));
    let named = named.max_by_key(|input| input.name.len())?;
    Some(Finding::error("input-refused", error.to_owned()).at(named.span, "by this input"))
}

/// The task that a step ran, and that did not end well: where the step asks for it.
pub(crate) fn of_task(inputs: &[Input], error: &str) -> Option<Finding> {
    let run = inputs.iter().find(|input| input.name.eq_ignore_ascii_case("run-task"))?;
    let is_asked = run.value.trim().eq_ignore_ascii_case("true");
    let message = format!("the task that the step runs did not end well: {error}");
    is_asked.then(|| Finding::error("task-failed", message).at(run.span, "the task is asked for here"))
}

fn meant(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(": is `{near}` meant?"))
}

/// The name that is most like another one, if no more than a third of its letters differ.
fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let nearest = known.iter().min_by_key(|known| strsim::levenshtein(name, known))?;
    let most = name.chars().count().max(nearest.chars().count()) / 3;
    (strsim::levenshtein(name, nearest) <= most.max(1)).then(|| (*nearest).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_is_like_it() {
        for (name, near) in [("shp", Some("shop")), ("orderz", Some("orders")), ("payments", None)] {
            assert_eq!(nearest(name, &["shop", "orders"]).as_deref(), near, "{name}");
        }
    }
}
