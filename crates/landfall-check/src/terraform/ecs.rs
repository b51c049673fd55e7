//! ECS in Terraform: clusters, task definitions and services, as the input of the API calls that the
//! provider would make.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecs_service>

use landfall_types::tree::Key;
use landfall_types::{Node, Spanned, Tree};

use super::infra::Reader;
use super::model::{EcsCall, EcsCluster, EcsService, EcsSetting, EcsTaskDefinition, Infra};
use super::syntax::Block;
use super::value::{Object, Value};

/// Arguments of a service that the API takes under their own names.
const SERVICE: [&str; 10] = [
    "desired_count",
    "launch_type",
    "platform_version",
    "scheduling_strategy",
    "health_check_grace_period_seconds",
    "enable_execute_command",
    "propagate_tags",
    "availability_zone_rebalancing",
    "capacity_provider_strategy",
    "service_registries",
];

/// Arguments of a task definition that the API takes under their own names.
const TASK_DEFINITION: [&str; 8] = [
    "task_role_arn",
    "execution_role_arn",
    "network_mode",
    "cpu",
    "memory",
    "requires_compatibilities",
    "pid_mode",
    "ipc_mode",
];

/// Reads what there is of ECS into the model.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (block, object) in reader.instances("aws_ecs_account_setting_default") {
        infra.ecs_settings.extend(setting(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_ecs_cluster") {
        infra.ecs_clusters.push(cluster(reader, &object, block));
    }
    for (block, object) in reader.looked_up("aws_ecs_cluster") {
        infra.looked_up_ecs_clusters.extend(looked_up_cluster(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_ecs_capacity_provider") {
        infra.ecs_calls.extend(capacity_provider(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_ecs_cluster_capacity_providers") {
        infra.ecs_calls.extend(associated(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_ecs_task_definition") {
        infra.ecs_task_definitions.extend(task_definition(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_ecs_service") {
        infra.ecs_services.extend(service(reader, &object, block));
    }
}

fn cluster(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> EcsCluster {
    let name = reader.name(object);
    let mut input = Input::new(reader, object);
    input.text("clusterName", &name.name);
    input.blocks("setting", "settings");
    input.tags(block);
    EcsCluster {
        name: name.name,
        region: reader.region(object, block),
        input: input.done(),
        span: object.span,
    }
}

fn looked_up_cluster(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsCluster> {
    let name = reader.text(object, "cluster_name")?;
    let mut input = Input::new(reader, object);
    input.text("clusterName", &name);
    Some(EcsCluster { name, region: reader.region(object, block), input: input.done(), span: object.span })
}

fn capacity_provider(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsCall> {
    let name = reader.text(object, "name")?;
    let mut input = Input::new(reader, object);
    input.text("name", &name);
    if let Some(group) = first(object, "auto_scaling_group_provider") {
        input.add("autoScalingGroupProvider", &unlisted(group.to_tree(), &["managed_scaling"]));
    }
    input.tags(block);
    let (operation, region) = ("CreateCapacityProvider", reader.region(object, block));
    Some(EcsCall { operation, region, input: input.done(), span: object.span })
}

/// The capacity providers that a cluster has: as long as nothing is said, none.
fn associated(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsCall> {
    let cluster = reader.text(object, "cluster_name")?;
    let mut input = Input::new(reader, object);
    input.text("cluster", &cluster);
    for (written, api) in [
        ("capacity_providers", "capacityProviders"),
        ("default_capacity_provider_strategy", "defaultCapacityProviderStrategy"),
    ] {
        let value = object.written(written).map(Value::to_tree);
        input.add(api, &value.unwrap_or_else(|| Tree::new(Node::List(Vec::new()), object.span)));
    }
    let (operation, region) = ("PutClusterCapacityProviders", reader.region(object, block));
    Some(EcsCall { operation, region, input: input.done(), span: object.span })
}

fn setting(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsSetting> {
    let (name, value) = (reader.text(object, "name")?, reader.text(object, "value")?);
    let mut input = Input::new(reader, object);
    input.text("name", &name);
    input.text("value", &value);
    Some(EcsSetting { name, region: reader.region(object, block), input: input.done(), span: object.span })
}

fn task_definition(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsTaskDefinition> {
    let family = reader.text(object, "family")?;
    let mut input = Input::new(reader, object);
    input.text("family", &family);
    if let Some(value) = object.written("container_definitions") {
        let tree = reader.evaluator.list_document(value);
        input.add("containerDefinitions", &tree);
    }
    TASK_DEFINITION.iter().for_each(|name| input.same(name));
    input.blocks("volume", "volumes");
    input.blocks("placement_constraints", "placementConstraints");
    input.block("runtime_platform", "runtimePlatform");
    input.block("ephemeral_storage", "ephemeralStorage");
    input.tags(block);
    let region = reader.region(object, block);
    Some(EcsTaskDefinition { family, region, input: input.done(), span: object.span })
}

fn service(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EcsService> {
    let name = reader.text(object, "name")?;
    let mut input = Input::new(reader, object);
    input.text("serviceName", &name);
    SERVICE.iter().for_each(|name| input.same(name));
    for (written, api) in [("cluster", "cluster"), ("task_definition", "taskDefinition")] {
        if let Some(value) = object.written(written) {
            input.add(api, &value.to_tree());
        }
    }
    input.block("deployment_controller", "deploymentController");
    if let Some(balancers) = object.written("load_balancer") {
        input.add("loadBalancers", &unlisted(balancers.to_tree(), &["advanced_configuration"]));
    }
    if let Some(network) = first(object, "network_configuration") {
        input.add("networkConfiguration", &vpc(&network));
    }
    input.add("deploymentConfiguration", &deployment_configuration(object));
    let is_daemon = object
        .written("scheduling_strategy")
        .is_some_and(|value| value.as_text().is_some_and(|text| &*text == "DAEMON"));
    if is_daemon {
        // The provider keeps the number of tasks to itself.
        input.entries.retain(|(key, _)| key.text != "desiredCount");
    } else if object.written("desired_count").is_none() {
        // The provider's default, where the API has none.
        input.add("desiredCount", &Tree::new(Node::Number("0".to_owned()), object.span));
    }
    input.tags(block);
    let region = reader.region(object, block);
    Some(EcsService { name, region, input: input.done(), span: object.span })
}

/// The first block of a kind.
pub(super) fn first(object: &Object, name: &str) -> Option<Value> {
    object.written(name).and_then(Value::items).and_then(|items| items.first().cloned())
}

/// A tree in which these blocks are what the API has them for: one structure instead of a list with one item.
/// Minutes, which some arguments of the provider are texts of, become numbers.
pub(super) fn unlisted(tree: Tree, single: &[&str]) -> Tree {
    let node = match tree.node {
        Node::List(items) => Node::List(items.into_iter().map(|item| unlisted(item, single)).collect()),
        Node::Map(entries) => Node::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let value = match (&value.node, single.contains(&key.text.as_str())) {
                        (Node::List(items), true) => items.first().cloned().unwrap_or(value),
                        _ => value,
                    };
                    let mut value = unlisted(value, single);
                    if let Node::Text(text) = &value.node
                        && key.text.ends_with("_in_minutes")
                        && text.parse::<u32>().is_ok()
                    {
                        value.node = Node::Number(text.clone());
                    }
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    };
    Tree::new(node, tree.span)
}

/// `network_configuration`, whose yes and no are words in the API.
fn vpc(network: &Value) -> Tree {
    let mut tree = network.to_tree();
    if let Node::Map(entries) = &mut tree.node {
        for (key, value) in entries.iter_mut().filter(|(key, _)| key.text == "assign_public_ip") {
            let word = if value.node == Node::Bool(true) { "ENABLED" } else { "DISABLED" };
            *value = Tree::new(Node::Text(word.to_owned()), key.span);
        }
    }
    let span = network.span;
    Tree::new(Node::Map(vec![(key("awsvpcConfiguration", &tree), tree)]), span)
}

/// What the provider spreads over several arguments is one structure in the API.
fn deployment_configuration(object: &Object) -> Tree {
    let written = first(object, "deployment_configuration");
    let written =
        written.map(|value| unlisted(value.to_tree(), &["linear_configuration", "canary_configuration"]));
    let mut entries = match written.map(|tree| tree.node) {
        Some(Node::Map(entries)) => entries,
        _ => Vec::new(),
    };
    for (key, _) in entries.iter_mut().filter(|(key, _)| key.text == "lifecycle_hook") {
        "lifecycle_hooks".clone_into(&mut key.text);
    }
    if let Some(alarms) = first(object, "alarms") {
        let tree = alarms.to_tree();
        entries.push((key("alarms", &tree), tree));
    }
    for (written, api) in [
        ("deployment_maximum_percent", "maximum_percent"),
        ("deployment_minimum_healthy_percent", "minimum_healthy_percent"),
    ] {
        if let Some(value) = object.written(written) {
            let tree = value.to_tree();
            entries.push((key(api, &tree), tree));
        }
    }
    if let Some(breaker) = first(object, "deployment_circuit_breaker") {
        let tree = breaker.to_tree();
        entries.push((key("deployment_circuit_breaker", &tree), tree));
    }
    Tree::new(Node::Map(entries), object.span)
}

fn key(text: &str, at: &Tree) -> Key {
    Key { text: text.to_owned(), span: at.span }
}

/// `task_role_arn` as the API writes it: `taskRoleArn`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// The input of an API call that is being put together.
pub(super) struct Input<'i, 'e, 'a> {
    reader: &'i Reader<'e, 'a>,
    object: &'i Object,
    entries: Vec<(Key, Tree)>,
}

impl<'i, 'e, 'a> Input<'i, 'e, 'a> {
    pub(super) fn new(reader: &'i Reader<'e, 'a>, object: &'i Object) -> Self {
        Self { reader, object, entries: Vec::new() }
    }

    pub(super) fn done(self) -> Tree {
        Tree::new(Node::Map(self.entries), self.object.span)
    }

    pub(super) fn text(&mut self, name: &str, value: &Spanned<String>) {
        let tree = Tree::new(Node::Text(value.value.clone()), value.span);
        self.entries.push((key(name, &tree), tree));
    }

    /// Adds a value with the API's names in it. What is unknown is said, and left out.
    pub(super) fn add(&mut self, name: &str, value: &Tree) {
        if let Some(tree) = self.translated(name, value) {
            self.entries.push((key(name, value), tree));
        }
    }

    fn translated(&self, name: &str, tree: &Tree) -> Option<Tree> {
        let node = match &tree.node {
            Node::Unknown(cause) => {
                let what = format!("`{name}` of `{}`; it is left out", self.object.address);
                self.reader.evaluator.note_unknown(&cause.as_str().into(), tree.span, what);
                return None;
            }
            Node::Null => return None,
            Node::List(items) => {
                let known: Vec<Tree> = items.iter().filter_map(|item| self.translated(name, item)).collect();
                // Subnets of which none is known are not none, which ECS refuses.
                if name == "subnets" && known.is_empty() && !items.is_empty() {
                    return None;
                }
                Node::List(known)
            }
            Node::Map(entries) => Node::Map(
                entries
                    .iter()
                    .filter_map(|(key, value)| {
                        // Labels and options have names of their own.
                        let is_free = matches!(name, "dockerLabels" | "options" | "driverOpts" | "labels");
                        let text = if is_free { key.text.clone() } else { camel(&key.text) };
                        let value = self.translated(&text, value)?;
                        Some((Key { text, span: key.span }, value))
                    })
                    .collect(),
            ),
            other => other.clone(),
        };
        Some(Tree::new(node, tree.span))
    }

    /// An argument that the API takes under its own name.
    pub(super) fn same(&mut self, name: &str) {
        let Some(value) = self.object.written(name) else { return };
        let mut tree = value.to_tree();
        // Terraform turns a number into the string that the API takes.
        if matches!(name, "cpu" | "memory")
            && let Node::Number(number) = &tree.node
        {
            tree.node = Node::Text(number.clone());
        }
        self.add(&camel(name), &tree);
    }

    /// All blocks of a kind, as a list.
    pub(super) fn blocks(&mut self, written: &str, api: &str) {
        if let Some(value) = self.object.written(written) {
            self.add(api, &value.to_tree());
        }
    }

    /// The one block of a kind.
    pub(super) fn block(&mut self, written: &str, api: &str) {
        if let Some(value) = first(self.object, written) {
            self.add(api, &value.to_tree());
        }
    }

    /// Tags as a map, which is how EKS has them.
    pub(super) fn tag_map(&mut self, block: &Block) {
        let span = self.object.span;
        let tags = self.reader.tags(self.object, block).into_iter();
        let entries: Vec<(Key, Tree)> = tags
            .map(|(name, value)| (Key { text: name, span }, Tree::new(Node::Text(value), span)))
            .collect();
        if !entries.is_empty() {
            let tree = Tree::new(Node::Map(entries), span);
            self.entries.push((key("tags", &tree), tree));
        }
    }

    fn tags(&mut self, block: &Block) {
        self.tags_as(["key", "value"], block);
    }

    /// The tags as a list of objects with these members.
    pub(super) fn tags_as(&mut self, members: [&str; 2], block: &Block) {
        let span = self.object.span;
        let text = |text: String| Tree::new(Node::Text(text), span);
        let tags: Vec<Tree> = self
            .reader
            .tags(self.object, block)
            .into_iter()
            .map(|(name, value)| {
                let [of_key, of_value] = members;
                let entries = [(of_key, name), (of_value, value)];
                let entries = entries.map(|(member, value)| {
                    let tree = text(value);
                    (key(member, &tree), tree)
                });
                Tree::new(Node::Map(entries.into()), span)
            })
            .collect();
        if !tags.is_empty() {
            let tree = Tree::new(Node::List(tags), span);
            self.entries.push((key("tags", &tree), tree));
        }
    }
}
