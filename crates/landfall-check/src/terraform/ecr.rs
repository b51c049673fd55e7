//! What Terraform says of ECR beside its repositories and their policies, as the calls that the provider makes:
//! how tags behave, what expires, and what a registry does by itself.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecr_repository>

use landfall_types::tree::Key;
use landfall_types::{Node, Spanned, Tree};

use super::ecs::{Input, first};
use super::infra::Reader;
use super::model::{EcrCall, Infra};
use super::value::Object;

/// Reads what there is of it into the model, in the order in which it can be made.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (block, object) in reader.instances("aws_ecr_repository") {
        let region = reader.region(&object, block);
        infra.ecr_calls.extend(repository(reader, &object, &region));
    }
    let kinds: [(&str, Read); 7] = [
        ("aws_ecr_lifecycle_policy", lifecycle_policy),
        ("aws_ecr_registry_policy", registry_policy),
        ("aws_ecr_registry_scanning_configuration", scanning),
        ("aws_ecr_replication_configuration", replication),
        ("aws_ecr_repository_creation_template", template),
        ("aws_ecr_pull_through_cache_rule", pull_through),
        ("aws_ecr_account_setting", account_setting),
    ];
    for (kind, read) in kinds {
        for (block, object) in reader.instances(kind) {
            let region = reader.region(&object, block);
            infra.ecr_calls.extend(read(reader, &object, &region));
        }
    }
    for (block, object) in reader.instances("aws_ecrpublic_repository") {
        infra.ecr_calls.extend(public_repository(reader, &object, &reader.tags(&object, block)));
    }
    for (_, object) in reader.instances("aws_ecrpublic_repository_policy") {
        infra.ecr_calls.extend(public_policy(reader, &object));
    }
}

type Read = fn(&Reader<'_, '_>, &Object, &str) -> Option<EcrCall>;

/// A call of which the input, and a document that goes along as text, are known as far as they are written.
fn call(
    operation: &'static str,
    input: Input<'_, '_, '_>,
    object: &Object,
    region: &str,
    documents: Vec<(&'static str, Tree)>,
) -> EcrCall {
    EcrCall {
        address: object.address.to_string(),
        is_public: false,
        operation,
        region: region.to_owned(),
        input: input.done(),
        documents,
        span: object.span,
    }
}

/// The settings of a repository: which tags can be moved, and whether images are scanned.
fn repository(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Vec<EcrCall> {
    // One of which the name is unknown is made with a name of its own, and nothing else is said of it.
    let Some((name, span)) = object.written("name").and_then(|name| Some((name.as_text()?, name.span)))
    else {
        return Vec::new();
    };
    let name = Spanned::new(name.to_string(), span);
    let mut mutability = Input::new(reader, object);
    mutability.text("repositoryName", &name);
    let written = reader.text(object, "image_tag_mutability");
    mutability.text("imageTagMutability", &written.unwrap_or_else(|| plain("MUTABLE", object)));
    mutability.blocks("image_tag_mutability_exclusion_filter", "imageTagMutabilityExclusionFilters");
    let mut calls = vec![call("PutImageTagMutability", mutability, object, region, Vec::new())];
    if object.written("image_scanning_configuration").is_some() {
        let mut scanning = Input::new(reader, object);
        scanning.text("repositoryName", &name);
        scanning.block("image_scanning_configuration", "imageScanningConfiguration");
        calls.push(call("PutImageScanningConfiguration", scanning, object, region, Vec::new()));
    }
    calls
}

fn plain(text: &str, object: &Object) -> Spanned<String> {
    Spanned::new(text.to_owned(), object.span)
}

fn lifecycle_policy(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let name = reader.text(object, "repository")?;
    let mut input = Input::new(reader, object);
    input.text("repositoryName", &name);
    let document = ("lifecyclePolicyText", reader.document(object, "policy"));
    Some(call("PutLifecyclePolicy", input, object, region, vec![document]))
}

fn registry_policy(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let document = ("policyText", reader.document(object, "policy"));
    Some(call("PutRegistryPolicy", Input::new(reader, object), object, region, vec![document]))
}

fn scanning(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let mut input = Input::new(reader, object);
    input.same("scan_type");
    if let Some(rules) = object.written("rule") {
        input.add("rules", &pluralized(&rules.to_tree()));
    }
    Some(call("PutRegistryScanningConfiguration", input, object, region, Vec::new()))
}

/// `replication_configuration { rule { destination { … } repository_filter { … } } }`
fn replication(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let mut input = Input::new(reader, object);
    if let Some(configuration) = first(object, "replication_configuration") {
        input.add("replicationConfiguration", &pluralized(&configuration.to_tree()));
    }
    Some(call("PutReplicationConfiguration", input, object, region, Vec::new()))
}

fn template(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let mut input = Input::new(reader, object);
    for name in ["prefix", "description", "applied_for", "image_tag_mutability", "custom_role_arn"] {
        input.same(name);
    }
    input.blocks("image_tag_mutability_exclusion_filter", "imageTagMutabilityExclusionFilters");
    input.block("encryption_configuration", "encryptionConfiguration");
    if let Some(tags) = object.written("resource_tags").and_then(super::value::Value::entries) {
        let what = |key: &str| format!("the tag `{key}` of `{}`", object.address);
        let tags: Vec<(String, String)> = tags
            .iter()
            .filter_map(|(key, value)| {
                Some((key.text.clone(), reader.known_text(value, || what(&key.text))?.value))
            })
            .collect();
        input.add("resourceTags", &key_value_list(&tags, object));
    }
    let written = |name: &str| object.written(name).is_some();
    let documents = [("repository_policy", "repositoryPolicy"), ("lifecycle_policy", "lifecyclePolicy")];
    let documents = documents
        .into_iter()
        .filter(|(name, _)| written(name))
        .map(|(name, member)| (member, reader.document(object, name)))
        .collect();
    Some(call("CreateRepositoryCreationTemplate", input, object, region, documents))
}

fn pull_through(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let mut input = Input::new(reader, object);
    let names = [
        "ecr_repository_prefix",
        "upstream_registry_url",
        "credential_arn",
        "custom_role_arn",
        "upstream_repository_prefix",
    ];
    names.iter().for_each(|name| input.same(name));
    Some(call("CreatePullThroughCacheRule", input, object, region, Vec::new()))
}

fn account_setting(reader: &Reader<'_, '_>, object: &Object, region: &str) -> Option<EcrCall> {
    let mut input = Input::new(reader, object);
    ["name", "value"].iter().for_each(|name| input.same(name));
    Some(call("PutAccountSetting", input, object, region, Vec::new()))
}

/// ECR Public is called in one region.
const PUBLIC_REGION: &str = "us-east-1";

fn public_repository(reader: &Reader<'_, '_>, object: &Object, tags: &[(String, String)]) -> Option<EcrCall> {
    let name = reader.text(object, "repository_name")?;
    let mut input = Input::new(reader, object);
    input.text("repositoryName", &name);
    input.block("catalog_data", "catalogData");
    input.add("tags", &key_value_list(tags, object));
    let call = call("CreateRepository", input, object, PUBLIC_REGION, Vec::new());
    Some(EcrCall { is_public: true, ..call })
}

fn public_policy(reader: &Reader<'_, '_>, object: &Object) -> Option<EcrCall> {
    let name = reader.text(object, "repository_name")?;
    let mut input = Input::new(reader, object);
    input.text("repositoryName", &name);
    let document = ("policyText", reader.document(object, "policy"));
    let call = call("SetRepositoryPolicy", input, object, PUBLIC_REGION, vec![document]);
    Some(EcrCall { is_public: true, ..call })
}

/// Tags as ECR's API takes them.
fn key_value_list(tags: &[(String, String)], object: &Object) -> Tree {
    let text = |text: &str| Tree::new(Node::Text(text.to_owned()), object.span);
    let named = |name: &str, value: &str| (Key { text: name.to_owned(), span: object.span }, text(value));
    let tag = |(key, value): &(String, String)| {
        Tree::new(Node::Map(vec![named("Key", key), named("Value", value)]), object.span)
    };
    Tree::new(Node::List(tags.iter().map(tag).collect()), object.span)
}

/// The names of blocks in Terraform, and of their lists in the API.
const PLURAL: [(&str, &str); 3] =
    [("rule", "rules"), ("destination", "destinations"), ("repository_filter", "repositoryFilters")];

fn pluralized(tree: &Tree) -> Tree {
    let node = match &tree.node {
        Node::List(items) => Node::List(items.iter().map(pluralized).collect()),
        Node::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let named = PLURAL.iter().find(|(name, _)| *name == key.text);
                let text = named.map_or_else(|| key.text.clone(), |(_, plural)| (*plural).to_owned());
                (Key { text, span: key.span }, pluralized(value))
            });
            Node::Map(entries.collect())
        }
        other => other.clone(),
    };
    Tree::new(node, tree.span)
}
