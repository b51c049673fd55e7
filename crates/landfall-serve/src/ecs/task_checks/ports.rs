//! What ECS checks of port mappings: of each by itself, and of all of a task against each other.

use landfall_wire::error::AwsError;

use super::{Body, containers, integer, is_awsvpc, objects, text};
use crate::ecs::client;

/// Largest port.
const PORT_MAX: i64 = 65_535;

/// Checks the port mappings of a container.
pub(super) fn check(body: &Body, container: &Body, name: &str) -> Result<(), AwsError> {
    let mode = text(body, "networkMode").unwrap_or_default();
    for mapping in objects(container, "portMappings") {
        let (inside, outside) = (integer(mapping, "containerPort"), integer(mapping, "hostPort"));
        let invalid = |member: &str| client(format!("Invalid '{member}' setting for container '{name}'."));
        if let Some(range) = text(mapping, "containerPortRange") {
            if inside.is_some() || outside.is_some() {
                return Err(client(format!(
                    "Invalid port mapping for container '{name}', cannot specify both single port and port range."
                )));
            }
            if range_of(range).is_none() {
                return Err(invalid("containerPortRange"));
            }
            continue;
        }
        if !inside.is_some_and(|port| (1..=PORT_MAX).contains(&port)) {
            return Err(invalid("containerPort"));
        }
        if outside.is_some_and(|port| !(0..=PORT_MAX).contains(&port)) {
            return Err(invalid("hostPort"));
        }
        if matches!(mode, "awsvpc" | "host") && outside.is_some() && inside != outside {
            return Err(client(format!(
                "When networkMode={mode}, the host ports and container ports in port mappings must match."
            )));
        }
    }
    Ok(())
}

/// `LOW-HIGH`.
fn range_of(text: &str) -> Option<(i64, i64)> {
    let (low, high) = text.split_once('-')?;
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (1 <= low && low < high && high <= PORT_MAX).then_some((low, high))
}

/// Checks that no two containers want the same port of the machine, or of the network interface that they share.
pub(super) fn check_of_task(body: &Body) -> Result<(), AwsError> {
    let (mut taken, mut names) = (Vec::new(), Vec::new());
    for mapping in containers(body).flat_map(|container| objects(container, "portMappings")) {
        let protocol = text(mapping, "protocol").unwrap_or("tcp").to_ascii_uppercase();
        let host = integer(mapping, "hostPort").filter(|port| *port != 0).map(|port| (port, port));
        // A range is of the network interface; outside of awsvpc the agent chooses the ports of the machine.
        let range = text(mapping, "containerPortRange").and_then(range_of).filter(|_| is_awsvpc(body));
        for (low, high) in host.into_iter().chain(range) {
            let clash =
                |(known, from, to): &&(String, i64, i64)| *known == protocol && low <= *to && *from <= high;
            if let Some((_, from, _)) = taken.iter().find(clash) {
                let port = low.max(*from);
                return Err(client(match range {
                    Some(_) => format!(
                        "{protocol} container port '{port}' is used multiple times in task when networkMode=awsvpc."
                    ),
                    None => format!("{protocol} host port '{port}' is mapped multiple times in task."),
                }));
            }
            taken.push((protocol.clone(), low, high));
        }
        let name = text(mapping, "name").filter(|_| is_awsvpc(body));
        if name.is_some_and(|name| names.contains(&name)) {
            return Err(client("When networkMode=awsvpc, port mapping name is already used"));
        }
        names.extend(name);
    }
    Ok(())
}
