//! CodeDeploy in Terraform: applications, deployment configurations and groups for ECS, as the input of the API calls
//! that the provider would make.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/codedeploy_deployment_group>

use landfall_types::tree::Key;
use landfall_types::{Node, Tree};

use super::ecs::{Input, first, unlisted};
use super::infra::Reader;
use super::model::{CodeDeployCall, Infra};
use super::syntax::Block;
use super::value::Object;

/// Blocks of a group of which the API has one, and Terraform a list.
const SINGLE: [&str; 7] = [
    "deployment_ready_option",
    "terminate_blue_instances_on_deployment_success",
    "green_fleet_provisioning_option",
    "prod_traffic_route",
    "test_traffic_route",
    "minimum_healthy_hosts",
    "zonal_config",
];

/// Reads what there is of CodeDeploy into the model: applications and configurations first. Those for servers and for
/// Lambda are none of the delivery's business, and are left out.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    let mut others = Vec::new();
    for (block, object) in reader.instances("aws_codedeploy_deployment_config") {
        if is_for_ecs(&object) {
            infra.codedeploy_calls.extend(config(reader, &object, block));
        }
    }
    for (block, object) in reader.instances("aws_codedeploy_app") {
        if is_for_ecs(&object) {
            infra.codedeploy_calls.extend(application(reader, &object, block));
        } else {
            others.extend(reader.text(&object, "name").map(|name| name.value));
        }
    }
    for (block, object) in reader.instances("aws_codedeploy_deployment_group") {
        if let Some(call) = group(reader, &object, block, &others) {
            infra.codedeploy_calls.push(call);
        }
    }
}

fn is_for_ecs(object: &Object) -> bool {
    let platform = object.written("compute_platform").and_then(|value| value.as_text());
    platform.as_deref() == Some("ECS")
}

/// The API's names begin with what they are of: `canaryPercentage` is `percentage` in Terraform.
fn config(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<CodeDeployCall> {
    let mut input = Input::new(reader, object);
    input.text("deploymentConfigName", &reader.text(object, "deployment_config_name")?);
    input.same("compute_platform");
    if let Some(routing) = first(object, "traffic_routing_config") {
        let mut tree = unlisted(routing.to_tree(), &["time_based_canary", "time_based_linear"]);
        if let Node::Map(entries) = &mut tree.node {
            for (key, value) in entries {
                let of = key.text.strip_prefix("time_based_").map(str::to_owned);
                let Some(of) = of else { continue };
                let names =
                    [("interval", format!("{of}_interval")), ("percentage", format!("{of}_percentage"))];
                let names: Vec<(&str, &str)> =
                    names.iter().map(|(name, api)| (*name, api.as_str())).collect();
                rename(value, &names);
            }
        }
        input.add("trafficRoutingConfig", &tree);
    }
    Some(CodeDeployCall {
        operation: "CreateDeploymentConfig",
        region: reader.region(object, block),
        input: input.done(),
        span: object.span,
    })
}

fn application(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<CodeDeployCall> {
    let mut input = Input::new(reader, object);
    input.text("applicationName", &reader.text(object, "name")?);
    input.same("compute_platform");
    input.tags_as(["Key", "Value"], block);
    Some(CodeDeployCall {
        operation: "CreateApplication",
        region: reader.region(object, block),
        input: input.done(),
        span: object.span,
    })
}

fn group(
    reader: &Reader<'_, '_>,
    object: &Object,
    block: &Block,
    others: &[String],
) -> Option<CodeDeployCall> {
    let application = reader.text(object, "app_name")?;
    if others.contains(&application.value) {
        return None;
    }
    let mut input = Input::new(reader, object);
    input.text("applicationName", &application);
    input.text("deploymentGroupName", &reader.text(object, "deployment_group_name")?);
    input.text("serviceRoleArn", &reader.text(object, "service_role_arn")?);
    input.same("deployment_config_name");
    for (written, api) in [
        ("auto_rollback_configuration", "autoRollbackConfiguration"),
        ("blue_green_deployment_config", "blueGreenDeploymentConfiguration"),
        ("deployment_style", "deploymentStyle"),
    ] {
        if let Some(value) = first(object, written) {
            input.add(api, &unlisted(value.to_tree(), &SINGLE));
        }
    }
    input.blocks("ecs_service", "ecsServices");
    if let Some(info) = first(object, "load_balancer_info") {
        input.add("loadBalancerInfo", &load_balancer(unlisted(info.to_tree(), &SINGLE)));
    }
    if let Some(alarms) = first(object, "alarm_configuration") {
        input.add("alarmConfiguration", &named_alarms(alarms.to_tree()));
    }
    input.tags_as(["Key", "Value"], block);
    Some(CodeDeployCall {
        operation: "CreateDeploymentGroup",
        region: reader.region(object, block),
        input: input.done(),
        span: object.span,
    })
}

/// `target_group_pair_info` with its `target_group` blocks, under the API's names.
fn load_balancer(mut tree: Tree) -> Tree {
    rename(
        &mut tree,
        &[("target_group_pair_info", "target_group_pair_info_list"), ("target_group", "target_groups")],
    );
    tree
}

fn rename(tree: &mut Tree, names: &[(&str, &str)]) {
    match &mut tree.node {
        Node::List(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Node::Map(entries) => {
            for (key, value) in entries {
                if let Some((_, api)) = names.iter().find(|(written, _)| *written == key.text) {
                    (*api).clone_into(&mut key.text);
                }
                rename(value, names);
            }
        }
        _ => {}
    }
}

/// Names of alarms are objects in the API.
fn named_alarms(mut tree: Tree) -> Tree {
    if let Node::Map(entries) = &mut tree.node
        && let Some((_, alarms)) = entries.iter_mut().find(|(key, _)| key.text == "alarms")
        && let Node::List(items) = &mut alarms.node
    {
        for item in items {
            let name = (Key { text: "name".to_owned(), span: item.span }, item.clone());
            *item = Tree::new(Node::Map(vec![name]), item.span);
        }
    }
    tree
}
