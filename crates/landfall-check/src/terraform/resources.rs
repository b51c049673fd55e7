//! Resources and data sources: their instances, and an instance's attributes.

use std::rc::Rc;

use landfall_types::{AccountId, Arn, Finding, Span};

use super::eval::Evaluator;
use super::references;
use super::scope::Scope;
use super::syntax::{Block, Body};
use super::value::{self, Kind, Object, Value};
use super::{computed, module::Module};

/// Instances of one resource.
const INSTANCES_MAX: usize = 1_000;
/// Blocks that one `dynamic` block makes.
const DYNAMIC_BLOCKS_MAX: usize = 1_000;

/// Arguments and blocks that belong to Terraform, not to the resource.
const META: [&str; 9] = [
    "count",
    "for_each",
    "provider",
    "depends_on",
    "lifecycle",
    "provisioner",
    "connection",
    "timeouts",
    "dynamic",
];

/// What the provider requires of the resources that the model is made of.
const REQUIRED: &[(&str, &[&str])] = &[
    ("aws_iam_openid_connect_provider", &["url", "client_id_list"]),
    ("aws_iam_role", &["assume_role_policy"]),
    ("aws_iam_role_policy", &["role", "policy"]),
    ("aws_iam_role_policy_attachment", &["role", "policy_arn"]),
    ("aws_iam_role_policy_attachments_exclusive", &["role_name", "policy_arns"]),
    ("aws_iam_policy", &["policy"]),
    ("aws_iam_user", &["name"]),
    ("aws_iam_user_policy", &["user", "policy"]),
    ("aws_iam_user_policy_attachment", &["user", "policy_arn"]),
    ("aws_iam_access_key", &["user"]),
    ("aws_iam_user_policy_attachments_exclusive", &["user_name", "policy_arns"]),
    ("aws_iam_user_group_membership", &["user", "groups"]),
    ("aws_iam_group", &["name"]),
    ("aws_iam_group_policy", &["group", "policy"]),
    ("aws_iam_group_policy_attachment", &["group", "policy_arn"]),
    ("aws_iam_group_policy_attachments_exclusive", &["group_name", "policy_arns"]),
    ("aws_iam_group_membership", &["name", "users", "group"]),
    ("aws_iam_account_alias", &["account_alias"]),
    ("aws_iam_service_linked_role", &["aws_service_name"]),
    ("aws_iam_policy_attachment", &["name", "policy_arn"]),
    ("aws_ecr_repository", &["name"]),
    ("aws_ecr_repository_policy", &["repository", "policy"]),
    ("aws_ecr_lifecycle_policy", &["repository", "policy"]),
    ("aws_ecr_registry_policy", &["policy"]),
    ("aws_ecr_registry_scanning_configuration", &["scan_type"]),
    ("aws_ecr_repository_creation_template", &["prefix", "applied_for"]),
    ("aws_ecr_pull_through_cache_rule", &["ecr_repository_prefix", "upstream_registry_url"]),
    ("aws_codedeploy_deployment_config", &["deployment_config_name"]),
    ("aws_ecs_account_setting_default", &["name", "value"]),
    ("aws_ecs_cluster", &["name"]),
    ("aws_ecs_task_definition", &["family", "container_definitions"]),
    ("aws_ecs_service", &["name"]),
    ("aws_eks_cluster", &["name", "role_arn", "vpc_config"]),
    ("aws_eks_pod_identity_association", &["cluster_name", "namespace", "service_account", "role_arn"]),
];

impl Evaluator<'_> {
    /// All instances of a block: one, a list with `count`, a map with `for_each`.
    pub fn instances(&self, block: &Block, address: &str) -> Value {
        let body = &block.body;
        let scope = Scope::default();
        if let Some(count) = body.attribute("count") {
            let value = self.eval(&count.value, &scope);
            return self.counted(block, address, &value, count.value.span);
        }
        if let Some(for_each) = body.attribute("for_each") {
            let value = self.eval(&for_each.value, &scope);
            return self.keyed(block, address, &value, for_each.value.span);
        }
        self.instance(block, address.to_owned(), &scope)
    }

    fn counted(&self, block: &Block, address: &str, count: &Value, span: Span) -> Value {
        if let Some(unknown) = count.as_unknown() {
            let what = format!("how many of `{address}` there are; none is read");
            self.note_unknown(&unknown.cause, span, what);
            self.note_missing(address, &unknown.cause, span);
            return count.clone();
        }
        let Some(count) = count.as_index().filter(|count| *count <= INSTANCES_MAX) else {
            let message = format!(
                "Invalid count argument: expected a whole number from 0 to {INSTANCES_MAX}, which is the limit here, \
                 found {}",
                count.as_text().unwrap_or_else(|| count.kind_name().into())
            );
            self.note_missing(address, &message.as_str().into(), span);
            return self.fail("terraform-value", message, span, "this is the count");
        };
        let instances = (0..count).map(|index| {
            let counter = vec![(value::key("index", span), Value::count(index, span))];
            let scope = Scope::default().with("count", Value::map(counter, span));
            self.instance(block, format!("{address}[{index}]"), &scope)
        });
        Value::list(instances.collect(), block.header)
    }

    fn keyed(&self, block: &Block, address: &str, elements: &Value, span: Span) -> Value {
        let pairs: Vec<(Value, Value)> = match &elements.kind {
            Kind::Unknown(unknown) => {
                let what = format!("which of `{address}` there are; none is read");
                self.note_unknown(&unknown.cause, span, what);
                self.note_missing(address, &unknown.cause, span);
                return elements.clone();
            }
            Kind::Map(_) | Kind::Set(_) => match self.elements(elements, span) {
                Ok(pairs) => pairs,
                Err(unknown) => return unknown,
            },
            _ => {
                let message = format!(
                    "Invalid for_each argument: the given \"for_each\" argument value is unsuitable: it must be \
                     a map, or set of strings, and you have provided {}",
                    elements.kind_name()
                );
                let finding = Finding::error("terraform-value", message.clone())
                    .at(span, "this is neither a map nor a set of strings")
                    .help("put a list into toset(…)");
                self.report(finding);
                self.note_missing(address, &message.as_str().into(), span);
                return Value::failed(message, span);
            }
        };
        if pairs.len() > INSTANCES_MAX {
            let message = format!(
                "`{address}` has {} instances, and {INSTANCES_MAX} are read at most: none of them is read",
                pairs.len()
            );
            self.note_missing(address, &message.as_str().into(), span);
            return self.fail("terraform-limit", message, span, "this is iterated over");
        }
        let mut instances = Vec::new();
        for (key, element) in pairs {
            let Some(name) = key.as_text() else {
                let cause = key.cause().unwrap_or_else(|| "a key of for_each is not a string".into());
                self.note_unknown(&cause, span, format!("a key of `{address}`; that instance is not read"));
                self.note_missing(address, &cause, span);
                continue;
            };
            let key_span = key.span;
            let scope = Scope::default().with("each", references::each(key, element));
            let instance = self.instance(block, format!("{address}[\"{name}\"]"), &scope);
            instances.push((value::key(&*name, key_span), instance));
        }
        Value::map(instances, block.header)
    }

    fn instance(&self, block: &Block, address: String, scope: &Scope) -> Value {
        let kind = block.labels.first().map_or("", String::as_str);
        let written = self.contents(&block.body, scope);
        let mut object =
            Object { address: address.into(), span: block.header, written, computed: Vec::new() };
        if block.kind == "resource" {
            self.report_missing(kind, &object);
            object.computed = computed::managed(self, kind, &object, block);
        } else {
            object.computed = computed::data(self, kind, &object, block);
            self.add_said(&mut object);
        }
        self.keep(object)
    }

    /// What the command line says of a data source: `--var data.TYPE.NAME.ATTRIBUTE=VALUE`.
    pub fn add_said(&self, object: &mut Object) {
        let prefix = format!("{}.", object.address);
        for (name, text) in &self.settings.variables {
            let Some(attribute) = name.strip_prefix(&prefix).filter(|name| !name.contains('.')) else {
                continue;
            };
            let source = self.sources.add(format!("--var {name}"), text.as_str());
            let value = Value::text(text.as_str(), Span::new(source, 0, text.len()));
            object.computed.retain(|(known, _)| *known != attribute);
            object.written.retain(|(known, _)| known.text != attribute);
            object.written.push((value::key(attribute, value.span), value));
        }
    }

    fn report_missing(&self, kind: &str, object: &Object) {
        let required = REQUIRED.iter().find(|(other, _)| *other == kind).map_or(&[][..], |(_, names)| names);
        for name in required.iter().filter(|name| object.written(name).is_none()) {
            self.report(missing_argument(name, object.span));
        }
    }

    /// Attributes and nested blocks of a body; blocks of one kind are a list of maps, the `dynamic`
    /// ones spelled out.
    fn contents(&self, body: &Body, scope: &Scope) -> Vec<(landfall_types::tree::Key, Value)> {
        let mut contents = Vec::new();
        for attribute in body.attributes.iter().filter(|it| !META.contains(&it.name.as_str())) {
            let key = value::key(attribute.name.as_str(), attribute.name_span);
            contents.push((key, self.limited(&attribute.name, self.eval(&attribute.value, scope))));
        }
        let mut lists: Vec<(landfall_types::tree::Key, Vec<Value>)> = Vec::new();
        for block in &body.blocks {
            let (kind, made) = if block.kind == "dynamic" {
                (block.labels.first().map_or("", String::as_str), self.dynamic(block, scope))
            } else if META.contains(&block.kind.as_str()) {
                continue;
            } else {
                (block.kind.as_str(), vec![self.nested(block.header, &block.body, scope)])
            };
            // A dynamic block over nothing makes no block, which is not the same as an empty one.
            if made.is_empty() {
                continue;
            }
            match lists.iter_mut().find(|(key, _)| key.text == kind) {
                Some((_, list)) => list.extend(made),
                None => lists.push((value::key(kind, block.header), made)),
            }
        }
        contents.extend(lists.into_iter().map(|(key, list)| {
            let span = key.span;
            (key, Value::list(list, span))
        }));
        contents
    }

    fn nested(&self, header: Span, body: &Body, scope: &Scope) -> Value {
        Value::map(self.contents(body, scope), header)
    }

    /// The blocks that a `dynamic` block makes; one unknown value when nobody can tell which.
    fn dynamic(&self, block: &Block, scope: &Scope) -> Vec<Value> {
        let label = block.labels.first().map_or("", String::as_str);
        let content = block.body.blocks.iter().find(|inner| inner.kind == "content");
        let (Some(for_each), Some(content)) = (block.body.attribute("for_each"), content) else {
            let missing = if content.is_some() { "for_each" } else { "content" };
            self.report(missing_argument(missing, block.header));
            return Vec::new();
        };
        let iterator = match block.body.attribute("iterator").map(|attribute| &attribute.value.kind) {
            Some(super::syntax::ExprKind::Name(name)) => name,
            _ => label,
        };
        let elements = self.eval(&for_each.value, scope);
        let elements = match self.elements(&elements, for_each.value.span) {
            Ok(elements) => elements,
            Err(unknown) => return vec![unknown.at(block.header)],
        };
        if elements.len() > DYNAMIC_BLOCKS_MAX {
            let message = format!(
                "a dynamic `{label}` block makes {} blocks, and {DYNAMIC_BLOCKS_MAX} are read at most: none of them \
                 is read",
                elements.len()
            );
            let span = for_each.value.span;
            return vec![
                self.fail("terraform-limit", message, span, "this is iterated over").at(block.header),
            ];
        }
        let blocks = elements.into_iter().map(|(key, element)| {
            let inner = scope.with(iterator, references::each(key, element));
            self.nested(content.header, &content.body, &inner)
        });
        blocks.collect()
    }

    /// The region of a resource: its own argument, then its provider's, then the settings'.
    pub fn region(&self, object: &Object, block: &Block) -> Rc<str> {
        if let Some(region) = object.written("region").and_then(Value::as_text) {
            return region;
        }
        let alias = block.body.attribute("provider").and_then(|provider| provider_alias(&provider.value));
        let region = self.provider_region(alias).and_then(|region| region.as_text());
        region.unwrap_or_else(|| self.settings.region.as_str().into())
    }

    /// What a `provider "aws"` block says as region.
    pub fn provider_region(&self, alias: Option<&str>) -> Option<Value> {
        self.with_provider(alias, &|evaluator, block| {
            let region = block.body.attribute("region")?;
            let name = format!("provider.aws at {:?}", region.value.span);
            Some(evaluator.once(&name, region.value.span, || {
                let value = evaluator.eval(&region.value, &Scope::default());
                if let Some(unknown) = value.as_unknown() {
                    let what = format!("the provider's region; {} is taken", evaluator.settings.region);
                    evaluator.note_unknown(&unknown.cause, region.value.span, what);
                }
                value
            }))
        })
    }

    /// The account that a resource lies in: that of the role which its provider takes, or the only one that its
    /// provider allows; else the settings'.
    pub fn account(&self, block: &Block) -> AccountId {
        let alias = block.body.attribute("provider").and_then(|provider| provider_alias(&provider.value));
        let account = self.with_provider(alias, &|evaluator, provider| {
            let name = format!("provider.aws at {:?} (account)", provider.header);
            Some(evaluator.once(&name, provider.header, || evaluator.account_of_provider(provider)))
        });
        let account = account.and_then(|account| AccountId::parse(&account.as_text()?).ok());
        account.unwrap_or(self.settings.account)
    }

    fn account_of_provider(&self, provider: &Block) -> Value {
        let taken = provider.body.blocks.iter().find(|inner| inner.kind.starts_with("assume_role"));
        let role = taken.and_then(|inner| inner.body.attribute("role_arn"));
        let role = role.map(|arn| self.eval(&arn.value, &Scope::default()));
        let of_role = role.and_then(|arn| Some(Arn::parse(&arn.as_text()?).ok()?.account));
        let only_allowed = || {
            let allowed = provider.body.attribute("allowed_account_ids")?;
            let allowed = self.eval(&allowed.value, &Scope::default());
            let [only] = allowed.items()? else { return None };
            only.as_text().map(|only| only.to_string())
        };
        match of_role.or_else(only_allowed) {
            Some(account) => Value::text(account, provider.header),
            None => Value::null(provider.header),
        }
    }

    /// The tags that a resource gets from its provider.
    pub fn default_tags(&self, block: &Block) -> Option<Value> {
        let alias = block.body.attribute("provider").and_then(|provider| provider_alias(&provider.value));
        self.with_provider(alias, &|evaluator, provider| {
            let default_tags = provider.body.blocks.iter().find(|inner| inner.kind == "default_tags")?;
            let tags = default_tags.body.attribute("tags")?;
            let name = format!("provider.aws at {:?} (default_tags)", tags.value.span);
            Some(evaluator.once(&name, tags.value.span, || evaluator.eval(&tags.value, &Scope::default())))
        })
    }
}

/// Terraform's sentence for an argument that must be there.
pub(super) fn missing_argument(name: &str, span: Span) -> Finding {
    let message = format!("The argument \"{name}\" is required, but no definition was found.");
    Finding::error("terraform-missing-argument", message).at(span, "this block lacks it")
}

/// `aws.alias` in a `provider` argument.
pub(super) fn provider_alias(expr: &super::syntax::Expr) -> Option<&str> {
    use super::syntax::{ExprKind, Step};
    match &expr.kind {
        ExprKind::Traversal(_, steps) => match steps.first() {
            Some(Step::Attribute(alias)) => Some(alias),
            _ => None,
        },
        ExprKind::Text(text) => text.split_once('.').map(|(_, alias)| alias),
        _ => None,
    }
}

/// The `provider "aws"` block with an alias, or without one.
pub(super) fn provider<'a>(module: &Module<'a>, alias: Option<&str>) -> Option<&'a Block> {
    use super::syntax::ExprKind;
    module.providers.iter().copied().find(|block| {
        let own = block.body.attribute("alias").and_then(|attribute| match &attribute.value.kind {
            ExprKind::Text(text) => Some(text.as_str()),
            _ => None,
        });
        block.labels.first().is_some_and(|label| label == "aws") && own == alias
    })
}
