//! Metric alarms and log groups in Terraform, as the input of the API calls that the provider would make.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudwatch_metric_alarm>
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/cloudwatch_log_group>

use landfall_types::tree::Key;
use landfall_types::{Node, Spanned, Tree};

use super::ecs::Input;
use super::infra::Reader;
use super::model::{Infra, LogGroup, MetricAlarm};
use super::syntax::Block;
use super::value::Object;

/// Arguments that the API has under their own names.
const SAME: [&str; 17] = [
    "actions_enabled",
    "alarm_actions",
    "alarm_description",
    "comparison_operator",
    "datapoints_to_alarm",
    "evaluation_periods",
    "extended_statistic",
    "insufficient_data_actions",
    "metric_name",
    "namespace",
    "ok_actions",
    "period",
    "statistic",
    "threshold",
    "threshold_metric_id",
    "treat_missing_data",
    "unit",
];

/// Reads what there is of alarms and log groups into the model.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (block, object) in reader.instances("aws_cloudwatch_log_group") {
        infra.log_groups.extend(log_group(reader, &object, block, true));
    }
    for (block, object) in reader.looked_up("aws_cloudwatch_log_group") {
        infra.looked_up_log_groups.extend(log_group(reader, &object, block, false));
    }
    for (block, object) in reader.instances("aws_cloudwatch_metric_alarm") {
        let Some(name) = reader.text(&object, "alarm_name") else { continue };
        let mut input = Input::new(reader, &object);
        input.text("alarmName", &name);
        SAME.iter().for_each(|argument| input.same(argument));
        if let Some(value) = object.written("evaluate_low_sample_count_percentiles") {
            input.add("evaluateLowSampleCountPercentile", &value.to_tree());
        }
        if let Some(value) = object.written("dimensions") {
            input.add("dimensions", &listed(&value.to_tree()));
        }
        if let Some(value) = object.written("metric_query") {
            input.add("metrics", &with_listed_dimensions(value.to_tree()));
        }
        let mut input = named(input.done());
        let tags = reader.tags(&object, block).into_iter();
        let pair = |name: &str, value: String| {
            let value = Spanned::new(value, object.span);
            (key(name, object.span), Tree::new(Node::Text(value.value), value.span))
        };
        let tags: Vec<Tree> = tags
            .map(|(name, value)| {
                Tree::new(Node::Map(vec![pair("Key", name), pair("Value", value)]), object.span)
            })
            .collect();
        if let (false, Node::Map(entries)) = (tags.is_empty(), &mut input.node) {
            entries.push((key("Tags", object.span), Tree::new(Node::List(tags), object.span)));
        }
        let region = reader.region(&object, block);
        infra.metric_alarms.push(MetricAlarm { name, region, input, span: object.span });
    }
}

/// A log group; one that is only looked up has a name and nothing else.
fn log_group(reader: &Reader<'_, '_>, object: &Object, block: &Block, is_made: bool) -> Option<LogGroup> {
    let name = reader.text(object, "name")?;
    let mut input = Input::new(reader, object);
    input.text("logGroupName", &name);
    let mut retention_days = None;
    if is_made {
        for (argument, member) in [
            ("log_group_class", "logGroupClass"),
            ("kms_key_id", "kmsKeyId"),
            ("deletion_protection_enabled", "deletionProtectionEnabled"),
        ] {
            if let Some(value) = object.written(argument) {
                input.add(member, &value.to_tree());
            }
        }
        input.tag_map(block);
        let days = reader.text(object, "retention_in_days");
        // Zero is for ever, as in the provider.
        retention_days =
            days.and_then(|days| days.value.parse().ok().map(|number| Spanned::new(number, days.span)));
        retention_days = retention_days.filter(|days| days.value != 0);
    }
    let region = reader.region(object, block);
    Some(LogGroup { name, region, input: input.done(), retention_days, span: object.span })
}

fn key(text: &str, span: landfall_types::Span) -> Key {
    Key { text: text.to_owned(), span }
}

/// The same with all dimensions as lists: their names are anybody's, and stay as they are.
fn with_listed_dimensions(tree: Tree) -> Tree {
    let node = match tree.node {
        Node::List(items) => Node::List(items.into_iter().map(with_listed_dimensions).collect()),
        Node::Map(entries) => {
            let each = |(name, value): (Key, Tree)| match name.text.as_str() {
                "dimensions" => (name, listed(&value)),
                _ => (name, with_listed_dimensions(value)),
            };
            Node::Map(entries.into_iter().map(each).collect())
        }
        other => other,
    };
    Tree::new(node, tree.span)
}

/// A map as the list of names and values that the API has.
fn listed(tree: &Tree) -> Tree {
    let Node::Map(entries) = &tree.node else { return tree.clone() };
    let pair = |(name, value): &(Key, Tree)| {
        let text = Tree::new(Node::Text(name.text.clone()), name.span);
        Tree::new(
            Node::Map(vec![(key("name", name.span), text), (key("value", value.span), value.clone())]),
            value.span,
        )
    };
    Tree::new(Node::List(entries.iter().map(pair).collect()), tree.span)
}

/// The same with CloudWatch's spelling of names, and a metric's query as CloudWatch nests it.
fn named(tree: Tree) -> Tree {
    let node = match tree.node {
        Node::List(items) => Node::List(items.into_iter().map(named).collect()),
        Node::Map(entries) => Node::Map(entries.into_iter().filter_map(entry).collect()),
        other => other,
    };
    Tree::new(node, tree.span)
}

fn entry((name, value): (Key, Tree)) -> Option<(Key, Tree)> {
    let span = name.span;
    match name.text.as_str() {
        "okActions" => Some((key("OKActions", span), named(value))),
        "metric" => Some((key("MetricStat", span), statistic(first(value)?))),
        other => {
            let mut text = other.to_owned();
            text.get_mut(..1)?.make_ascii_uppercase();
            Some((key(&text, span), named(value)))
        }
    }
}

/// The one block of a kind.
fn first(tree: Tree) -> Option<Tree> {
    match tree.node {
        Node::List(items) => items.into_iter().next(),
        _ => Some(tree),
    }
}

/// `metric` of a query: what is measured, and how.
fn statistic(tree: Tree) -> Tree {
    let Node::Map(entries) = tree.node else { return tree };
    let is_measured =
        |(name, _): &(Key, Tree)| matches!(name.text.as_str(), "metricName" | "namespace" | "dimensions");
    let (measured, how): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_measured);
    let metric = named(Tree::new(Node::Map(measured), tree.span));
    let mut entries: Vec<_> = how.into_iter().filter_map(entry).collect();
    entries.push((key("Metric", tree.span), metric));
    Tree::new(Node::Map(entries), tree.span)
}
