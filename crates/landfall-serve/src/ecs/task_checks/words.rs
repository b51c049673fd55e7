//! Words of a task definition of which there are only some. What ECS says of others isn't known in full: its sentences
//! about scheduling strategies and log drivers were seen, and the rest follows them.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>

use landfall_wire::error::AwsError;
use serde_json::Value;

use super::{Body, containers, integer, list, log_driver, object, objects, requires, text};
use crate::ecs::client;

const NETWORK_MODES: &[&str] = &["bridge", "host", "awsvpc", "none"];
const COMPATIBILITIES: &[&str] = &["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];
const PID_MODES: &[&str] = &["host", "task"];
const IPC_MODES: &[&str] = &["host", "task", "none"];
const ARCHITECTURES: &[&str] = &["X86_64", "ARM64"];
const LOG_DRIVERS: &[&str] =
    &["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"];
const PROTOCOLS: &[&str] = &["tcp", "udp"];
const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html>
const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

fn one_of(name: &str, value: Option<&str>, words: &[&str]) -> Result<(), AwsError> {
    crate::ecs::one_of(name, value, words).map_err(client)
}

/// Checks the words of a task and of its containers.
pub(super) fn check(body: &Body) -> Result<(), AwsError> {
    one_of("Network mode", text(body, "networkMode"), NETWORK_MODES)?;
    for kind in list(body, "requiresCompatibilities").iter().filter_map(Value::as_str) {
        one_of("Requires compatibilities", Some(kind), COMPATIBILITIES)?;
    }
    one_of("Pid mode", text(body, "pidMode"), PID_MODES)?;
    one_of("Ipc mode", text(body, "ipcMode"), IPC_MODES)?;
    if let Some(platform) = object(body, "runtimePlatform") {
        one_of("Cpu architecture", text(platform, "cpuArchitecture"), ARCHITECTURES)?;
        let family = text(platform, "operatingSystemFamily");
        // There are new ones of Windows every other year.
        one_of(
            "Operating system family",
            family.filter(|family| !family.starts_with("WINDOWS_SERVER_")),
            &["LINUX"],
        )?;
    }
    for constraint in objects(body, "placementConstraints") {
        one_of("Placement constraint type", text(constraint, "type"), &["memberOf"])?;
    }
    let mut volumes: Vec<&str> = Vec::new();
    for name in objects(body, "volumes").filter_map(|volume| text(volume, "name")) {
        if volumes.contains(&name) {
            return Err(client("Volume names must be unique within a Task Definition."));
        }
        volumes.push(name);
    }
    containers(body).try_for_each(|container| check_container(body, container))
}

fn check_container(body: &Body, container: &Body) -> Result<(), AwsError> {
    let name = text(container, "name").unwrap_or_default();
    let wrong = |member: &str| client(format!("Invalid '{member}' setting for container '{name}'."));
    // Fargate has fewer, and says which.
    let driver = log_driver(container).filter(|_| !requires(body, "FARGATE"));
    if let Some(driver) = driver.filter(|driver| !LOG_DRIVERS.contains(driver)) {
        let drivers = LOG_DRIVERS.join(",");
        return Err(client(format!("{driver} is not a valid log driver. Must be one of [{drivers}]")));
    }
    for mapping in objects(container, "portMappings") {
        one_of("Protocol", text(mapping, "protocol"), PROTOCOLS)?;
    }
    for limit in objects(container, "ulimits") {
        one_of("Ulimit name", text(limit, "name"), ULIMITS)?;
    }
    let capabilities = object(container, "linuxParameters").and_then(|linux| object(linux, "capabilities"));
    let named = ["add", "drop"].into_iter().flat_map(|member| {
        capabilities.map_or(&[][..], |given| list(given, member)).iter().filter_map(Value::as_str)
    });
    for capability in named {
        one_of("Capability", Some(capability), CAPABILITIES)?;
    }
    if integer(container, "stopTimeout").is_some_and(|seconds| seconds < 0) {
        return Err(wrong("stopTimeout"));
    }
    if objects(container, "mountPoints").any(|mount| text(mount, "containerPath").is_none()) {
        return Err(wrong("containerPath"));
    }
    Ok(())
}
