//! Flags that change the service besides its task definition.

use landfall_deliver::Failure;
use landfall_deliver::deploy::definition::Object;
use serde_json::{Value, json};

/// Settings of the service; what isn't said stays as it is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings of the service (what isn't said stays as it is)")]
pub struct ServiceArgs {
    /// How many tasks
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    desired_count: Option<u32>,

    /// What a rollout with too many failed tasks does
    #[arg(long, value_enum, value_name = "RULE")]
    circuit_breaker: Option<CircuitBreaker>,

    /// How many tasks have to be healthy during the rollout, in percent of the desired count
    #[arg(long, value_name = "PERCENT")]
    minimum_healthy_percent: Option<u32>,

    /// How many tasks there may be during the rollout, in percent of the desired count
    #[arg(long, value_name = "PERCENT")]
    maximum_percent: Option<u32>,

    /// How long failing health checks of a new task are overlooked
    #[arg(long, value_name = "SECONDS")]
    health_check_grace_period: Option<u32>,

    #[command(flatten)]
    tags: TagArgs,

    /// Let people in with `aws ecs execute-command`
    #[arg(long, value_name = "BOOL")]
    enable_execute_command: Option<bool>,

    #[command(flatten)]
    network: NetworkArgs,
}

/// Tags that tasks get without being named.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TagArgs {
    /// Tag tasks with their cluster, and with the service that they are of
    #[arg(long, value_name = "BOOL")]
    enable_ecs_managed_tags: Option<bool>,

    /// Where tasks get their tags from
    #[arg(long, value_enum, value_name = "FROM")]
    propagate_tags: Option<PropagateTags>,
}

impl TagArgs {
    /// Members of the API's input.
    pub fn members(&self) -> Vec<(&'static str, Value)> {
        let managed = self.enable_ecs_managed_tags.map(|is_on| ("enableECSManagedTags", Value::from(is_on)));
        let propagated = self.propagate_tags.map(|from| ("propagateTags", Value::from(from.word())));
        managed.into_iter().chain(propagated).collect()
    }
}

/// Where tasks run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NetworkArgs {
    /// Subnets of the tasks
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    subnets: Vec<String>,

    /// Security groups of the tasks
    #[arg(long, value_name = "ID,…", value_delimiter = ',', requires = "subnets")]
    security_groups: Vec<String>,

    /// Give the tasks public addresses
    #[arg(long, value_name = "BOOL", requires = "subnets")]
    assign_public_ip: Option<bool>,

    /// Capacity providers, as NAME[:WEIGHT[:BASE]] or as the API's JSON
    #[arg(long, value_name = "STRATEGY")]
    capacity_provider: Vec<String>,

    /// Fargate's platform version
    #[arg(long, value_name = "VERSION")]
    platform_version: Option<String>,

    /// A volume of EBS that ECS makes for each task, by the volume's name and the API's JSON with a `roleArn`
    #[arg(long, value_name = "NAME=JSON")]
    ebs_volume: Vec<String>,

    /// Any further members of the API's input, as a JSON object
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
}

/// `deploymentCircuitBreaker`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum CircuitBreaker {
    /// Failures end nothing
    Off,
    /// Too many failures end the rollout
    On,
    /// … and the service goes back to what ran
    Rollback,
}

/// `propagateTags`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum PropagateTags {
    /// The task definition
    #[value(name = "task-definition", alias = "TASK_DEFINITION")]
    TaskDefinition,
    /// The service
    #[value(alias = "SERVICE")]
    Service,
    /// Nowhere
    #[value(alias = "NONE")]
    None,
}

impl PropagateTags {
    /// The API's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::TaskDefinition => "TASK_DEFINITION",
            Self::Service => "SERVICE",
            Self::None => "NONE",
        }
    }
}

impl ServiceArgs {
    /// Members of `UpdateService`.
    ///
    /// # Errors
    /// A value that isn't what the API takes.
    pub fn update(&self) -> Result<Object, Failure> {
        let mut input = self.network.members()?;
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                input.insert(name.to_owned(), value);
            }
        };
        set("desiredCount", self.desired_count.map(Value::from));
        set("healthCheckGracePeriodSeconds", self.health_check_grace_period.map(Value::from));
        set("enableExecuteCommand", self.enable_execute_command.map(Value::from));
        self.tags.members().into_iter().for_each(|(name, value)| set(name, Some(value)));
        Ok(input)
    }

    /// Members of its `deploymentConfiguration`.
    pub fn rules(&self) -> Object {
        let mut rules = Object::new();
        if let Some(breaker) = self.circuit_breaker {
            let (enable, rollback) = match breaker {
                CircuitBreaker::Off => (false, false),
                CircuitBreaker::On => (true, false),
                CircuitBreaker::Rollback => (true, true),
            };
            let value = json!({ "enable": enable, "rollback": rollback });
            rules.insert("deploymentCircuitBreaker".to_owned(), value);
        }
        for (name, percent) in [
            ("minimumHealthyPercent", self.minimum_healthy_percent),
            ("maximumPercent", self.maximum_percent),
        ] {
            if let Some(percent) = percent {
                rules.insert(name.to_owned(), Value::from(percent));
            }
        }
        rules
    }
}

impl NetworkArgs {
    /// The members that `UpdateService` and `RunTask` have in common.
    ///
    /// # Errors
    /// A value that isn't what the API takes.
    pub fn members(&self) -> Result<Object, Failure> {
        let mut input = match &self.input {
            Some(text) => object("--input", text)?,
            None => Object::new(),
        };
        if let Some(network) = self.network() {
            input.insert("networkConfiguration".to_owned(), network);
        }
        if !self.capacity_provider.is_empty() {
            input.insert("capacityProviderStrategy".to_owned(), self.strategy()?);
        }
        if let Some(version) = &self.platform_version {
            input.insert("platformVersion".to_owned(), Value::from(version.as_str()));
        }
        if !self.ebs_volume.is_empty() {
            input.insert("volumeConfigurations".to_owned(), self.volumes()?);
        }
        Ok(input)
    }

    fn network(&self) -> Option<Value> {
        let trimmed = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        let subnets = trimmed(&self.subnets);
        if subnets.is_empty() {
            return None;
        }
        let mut vpc = json!({ "subnets": subnets });
        let groups = trimmed(&self.security_groups);
        if !groups.is_empty() {
            vpc["securityGroups"] = json!(groups);
        }
        if let Some(is_public) = self.assign_public_ip {
            vpc["assignPublicIp"] = Value::from(if is_public { "ENABLED" } else { "DISABLED" });
        }
        Some(json!({ "awsvpcConfiguration": vpc }))
    }

    fn strategy(&self) -> Result<Value, Failure> {
        if let [only] = self.capacity_provider.as_slice()
            && only.trim_start().starts_with('[')
        {
            return serde_json::from_str(only)
                .map_err(|error| Failure::usage(format!("--capacity-provider: not JSON: {error}")));
        }
        let mut items = Vec::new();
        for text in &self.capacity_provider {
            let mut parts = text.split(':');
            let mut item = json!({ "capacityProvider": parts.next().unwrap_or_default() });
            for name in ["weight", "base"] {
                let Some(part) = parts.next() else { break };
                item[name] = part.parse::<u32>().map(Value::from).map_err(|_| {
                    Failure::usage(format!("--capacity-provider: `{text}` is not NAME[:WEIGHT[:BASE]]"))
                })?;
            }
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn volumes(&self) -> Result<Value, Failure> {
        let mut items = Vec::new();
        for text in &self.ebs_volume {
            let (name, json) = crate::cmd::key_value(text)
                .map_err(|_| Failure::usage(format!("--ebs-volume: `{text}` is not NAME=JSON")))?;
            let volume = object("--ebs-volume", &json)?;
            if !volume.get("roleArn").is_some_and(Value::is_string) {
                return Err(Failure::usage(format!(
                    "--ebs-volume: volume `{name}` has no `roleArn`, the role by which ECS makes it"
                )));
            }
            items.push(json!({ "name": name, "managedEBSVolume": volume }));
        }
        Ok(Value::Array(items))
    }
}

/// A JSON object from a flag.
pub fn object(flag: &str, text: &str) -> Result<Object, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::usage(format!("{flag}: a JSON object is expected"))),
        Err(error) => Err(Failure::usage(format!("{flag}: not JSON: {error}"))),
    }
}
