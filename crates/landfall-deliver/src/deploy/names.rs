//! Whether a cluster and its services are there under the names that were given, as far as that may be asked, and which
//! ones may be meant.

use serde_json::{Value, json};

use super::ecs;
use crate::aws_json::Caller;

/// What is known of the names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Names {
    /// All of them are there.
    There,
    /// One isn't.
    Absent {
        /// Such as "cluster `prd`".
        what: String,
        /// The nearest name that is there.
        near: Option<String>,
    },
    /// Nobody says.
    Untold,
}

/// Looks for a cluster, and for services in it.
pub async fn look(caller: &Caller, cluster: &str, services: &[String]) -> Names {
    let caller = caller.optional();
    let Ok(clusters) = ecs::pages(&caller, "ListClusters", json!({}), "clusterArns").await else {
        return Names::Untold;
    };
    let clusters = last_parts(&clusters);
    let name = last(cluster);
    if !clusters.contains(&name) {
        return Names::Absent { what: format!("cluster `{name}`"), near: nearest(name, &clusters) };
    }
    let input = json!({ "cluster": cluster });
    let Ok(known) = ecs::pages(&caller, "ListServices", input, "serviceArns").await else {
        return Names::Untold;
    };
    let known = last_parts(&known);
    let absent = services.iter().map(|service| last(service)).find(|service| !known.contains(service));
    match absent {
        Some(service) => Names::Absent {
            what: format!("service `{service}` in cluster `{name}`"),
            near: nearest(service, &known),
        },
        None => Names::There,
    }
}

/// The question after the nearest name; nothing where there is none.
pub fn meant(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(": is `{near}` meant?"))
}

/// The name that is the most like another one, if it is like it at all.
pub fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let likeness = |one: &str| strsim::jaro_winkler(one, name);
    let nearest = known.iter().max_by(|left, right| likeness(left).total_cmp(&likeness(right)))?;
    (likeness(nearest) >= LIKENESS_MIN).then(|| (*nearest).to_owned())
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn last_parts(arns: &[Value]) -> Vec<&str> {
    arns.iter().filter_map(Value::as_str).map(last).collect()
}

/// From this likeness on another name may be meant: `prd` and `prod` have 0.92, `api` and `worker` 0.
const LIKENESS_MIN: f64 = 0.75;
