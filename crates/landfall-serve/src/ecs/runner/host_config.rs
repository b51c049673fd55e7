//! What a container may do and use, as the engine calls it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::spec::{Network, Plan, Surroundings, list};
use super::volumes;

/// Bytes of a MiB, the task definition's unit.
const MIB: i64 = 1 << 20;

impl Plan {
    /// `HostConfig`.
    pub(super) fn host_config(&self, around: &Surroundings<'_>) -> Value {
        let flag = |name: &str| self.definition.get(name).and_then(Value::as_bool).unwrap_or(false);
        let mut config = json!({
            "NetworkMode": self.network_mode(around),
            "Privileged": flag("privileged"),
            "ReadonlyRootfs": flag("readonlyRootFilesystem"),
            "Binds": volumes::binds(&self.definition, around.volumes),
            // Read back over the engine's API, whatever the engine's own default is.
            "LogConfig": { "Type": "json-file" },
        });
        self.add_sizes(around, &mut config);
        self.add_linux(&mut config);
        self.add_shared(around, &mut config);
        let limits = list(&self.definition, "ulimits").iter();
        config["Ulimits"] = limits
            .map(|one| json!({ "Name": one["name"], "Soft": one["softLimit"], "Hard": one["hardLimit"] }))
            .collect();
        if let Some(options) = self.definition.get("dockerSecurityOptions") {
            config["SecurityOpt"] = options.clone();
        }
        config
    }

    /// Whether it is in no network, whatever the task's is.
    pub(super) fn is_off_network(&self) -> bool {
        self.definition.get("disableNetworking") == Some(&Value::Bool(true))
    }

    fn network_mode(&self, around: &Surroundings<'_>) -> String {
        if self.is_off_network() {
            return "none".to_owned();
        }
        let holder = match around.network {
            Network::Host => return "host".to_owned(),
            Network::None => return "none".to_owned(),
            Network::Bridge => around.holders.get(&self.name).map(String::as_str),
            Network::Shared => around.pause,
        };
        holder.map_or_else(|| "bridge".to_owned(), |holder| format!("container:{holder}"))
    }

    /// Memory is limited, CPU only shared: a rehearsal is not to be as slow as a quarter of a CPU.
    fn add_sizes(&self, around: &Surroundings<'_>, config: &mut Value) {
        let number = |name: &str| self.value(name).and_then(Value::as_i64);
        if let Some(memory) = number("memory").or(around.memory) {
            config["Memory"] = Value::from(memory.saturating_mul(MIB));
        }
        if let Some(memory) = number("memoryReservation") {
            config["MemoryReservation"] = Value::from(memory.saturating_mul(MIB));
        }
        if let Some(cpu) = number("cpu").filter(|cpu| *cpu > 0) {
            // The least that Linux takes, as the agent does it.
            config["CpuShares"] = Value::from(cpu.max(2));
        }
    }

    /// `linuxParameters` and `systemControls`.
    fn add_linux(&self, config: &mut Value) {
        let controls = list(&self.definition, "systemControls").iter();
        let controls: serde_json::Map<String, Value> = controls
            .filter_map(|one| Some((one["namespace"].as_str()?.to_owned(), one["value"].clone())))
            .collect();
        if !controls.is_empty() {
            config["Sysctls"] = Value::Object(controls);
        }
        let Some(linux) = self.definition.get("linuxParameters") else { return };
        if let Some(initialised) = linux["initProcessEnabled"].as_bool() {
            config["Init"] = Value::from(initialised);
        }
        for (member, engine) in [("add", "CapAdd"), ("drop", "CapDrop")] {
            if linux["capabilities"][member].is_array() {
                config[engine] = linux["capabilities"][member].clone();
            }
        }
        if let Some(size) = linux["sharedMemorySize"].as_i64() {
            config["ShmSize"] = Value::from(size.saturating_mul(MIB));
        }
        if let (Some(swap), Some(memory)) = (linux["maxSwap"].as_i64(), config["Memory"].as_i64()) {
            config["MemorySwap"] = Value::from(memory.saturating_add(swap.saturating_mul(MIB)));
        }
        if let Some(swappiness) = linux["swappiness"].as_i64() {
            config["MemorySwappiness"] = Value::from(swappiness);
        }
        let file_systems = linux["tmpfs"].as_array().into_iter().flatten();
        let file_systems: serde_json::Map<String, Value> = file_systems.filter_map(tmpfs).collect();
        if !file_systems.is_empty() {
            config["Tmpfs"] = Value::Object(file_systems);
        }
        let devices = linux["devices"].as_array().into_iter().flatten();
        let devices: Vec<Value> = devices.map(device).collect();
        if !devices.is_empty() {
            config["Devices"] = Value::Array(devices);
        }
    }

    /// What it has in common with the task's other containers, or with the machine.
    fn add_shared(&self, around: &Surroundings<'_>, config: &mut Value) {
        for (mode, engine) in [(around.pid_mode, "PidMode"), (around.ipc_mode, "IpcMode")] {
            match (mode, around.pause) {
                (Some("task"), Some(pause)) => config[engine] = Value::from(format!("container:{pause}")),
                (Some("host"), _) => config[engine] = Value::from("host"),
                _ => {}
            }
        }
        let others: Vec<Value> = list(&self.definition, "volumesFrom")
            .iter()
            .filter_map(|one| {
                let name = around.engine_name(one["sourceContainer"].as_str()?);
                Some(Value::from(if one["readOnly"] == true { format!("{name}:ro") } else { name }))
            })
            .collect();
        if !others.is_empty() {
            config["VolumesFrom"] = Value::Array(others);
        }
    }

    /// Names of a network of its own. Those of `links` become lines of its `/etc/hosts` as well: Podman knows no others.
    pub(super) fn add_names(&self, links: &[(String, Ipv4Addr)], config: &mut Value) {
        let hosts = list(&self.definition, "extraHosts").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let hosts = hosts.map(|one| (text(&one["hostname"]), text(&one["ipAddress"])));
        let linked = list(&self.definition, "links").iter().filter_map(Value::as_str).flat_map(|link| {
            let (name, alias) = link.split_once(':').unwrap_or((link, link));
            let address = links.iter().find(|(known, _)| known == name).map(|(_, address)| *address);
            address.map(|address| (alias.to_owned(), address.to_string()))
        });
        config["ExtraHosts"] =
            hosts.chain(linked).map(|(name, address)| Value::from(format!("{name}:{address}"))).collect();
        for (member, engine) in [("dnsServers", "Dns"), ("dnsSearchDomains", "DnsSearch")] {
            if let Some(values) = self.definition.get(member) {
                config[engine] = values.clone();
            }
        }
    }

    /// The containers that have to be there before this one is made: those that it links to, or mounts the
    /// volumes of.
    pub(super) fn made_after(&self) -> Vec<String> {
        let links = list(&self.definition, "links").iter().filter_map(Value::as_str);
        let links = links.map(|link| link.split_once(':').map_or(link, |(name, _)| name).to_owned());
        let others = list(&self.definition, "volumesFrom").iter();
        links.chain(others.filter_map(|one| Some(one["sourceContainer"].as_str()?.to_owned()))).collect()
    }
}

fn tmpfs(one: &Value) -> Option<(String, Value)> {
    let path = one["containerPath"].as_str()?.to_owned();
    let mut options = vec![format!("size={}m", one["size"].as_i64()?)];
    let written = one["mountOptions"].as_array().into_iter().flatten();
    options.extend(written.filter_map(Value::as_str).map(str::to_owned));
    Some((path, Value::from(options.join(","))))
}

fn device(one: &Value) -> Value {
    let host = one["hostPath"].as_str().unwrap_or_default();
    let letters = one["permissions"].as_array().into_iter().flatten();
    // `read`, `write`, `mknod`: the engine has their first letters.
    let letters: String = letters.filter_map(Value::as_str).filter_map(|word| word.chars().next()).collect();
    json!({
        "PathOnHost": host,
        "PathInContainer": one["containerPath"].as_str().unwrap_or(host),
        "CgroupPermissions": if letters.is_empty() { "rwm".to_owned() } else { letters },
    })
}
