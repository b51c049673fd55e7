//! From evaluated resources to the typed model.

use std::rc::Rc;

use landfall_types::{Finding, Span, Spanned, Tree};

use super::doubts::{About, Doubt};
use super::eval::Evaluator;
use super::json_text;
use super::loose::{Loose, Part};
use super::model::{
    Attachment, CustomerPolicy, Infra, InlinePolicy, OidcProvider, Output, Repository, Role, Unread,
};
use super::scope::Scope;
use super::syntax::Block;
use super::value::{Kind, Object, Value};

/// Builds the model of a root module and all that it calls.
pub(super) fn build(root: &Rc<Evaluator>) -> Infra {
    let mut infra = Infra { region: region(root), ..Infra::default() };
    let modules = root.with_all_called();
    let readers: Vec<Reader<'_, '_>> = modules.iter().map(|evaluator| Reader { evaluator }).collect();
    for reader in &readers {
        reader.providers(&mut infra);
        infra
            .policies
            .extend(reader.instances("aws_iam_policy").iter().map(|(block, it)| reader.policy(it, block)));
    }
    for reader in &readers {
        let roles = reader.instances("aws_iam_role");
        infra.roles.extend(roles.iter().map(|(block, it)| reader.role(it, block, &infra.policies)));
        let repositories = reader.instances("aws_ecr_repository");
        infra.repositories.extend(repositories.iter().map(|(block, it)| reader.repository(it, block)));
        let looked_up = reader.looked_up("aws_ecr_repository");
        infra.looked_up_repositories.extend(looked_up.iter().map(|(block, it)| reader.repository(it, block)));
    }
    for reader in &readers {
        super::ecr::read(reader, &mut infra);
        super::ecs::read(reader, &mut infra);
        super::cloudwatch::read(reader, &mut infra);
        super::codedeploy::read(reader, &mut infra);
        super::eks::read(reader, &mut infra);
    }
    super::users::read(&readers, &mut infra);
    for reader in &readers {
        super::account::read(reader, &mut infra);
        reader.policies_of(&mut infra.roles, &infra.policies, &mut infra.loose);
        reader.repository_policies(&mut infra);
        report_unread_modules(reader.evaluator);
        infra.unread.extend(reader.unread());
    }
    for reader in &readers {
        let mut lists = reader.exclusive_of(&mut infra.roles, &infra.policies);
        lists.extend(reader.exclusive_of(&mut infra.users, &infra.policies));
        lists.extend(reader.exclusive_of(&mut infra.groups, &infra.policies));
        infra.exclusive.extend(lists);
    }
    infra.outputs = Reader { evaluator: root }.outputs();
    super::unsure::doubt(&readers, &mut infra);
    infra
}

fn region(evaluator: &Evaluator) -> Option<Spanned<String>> {
    let region = evaluator.provider_region(None)?;
    Some(Spanned::new(region.as_text()?.to_string(), region.span))
}

fn report_unread_modules(evaluator: &Evaluator) {
    for (name, block) in &evaluator.module.modules {
        let reason = match evaluator.module.calls.and_then(|calls| calls.get(*name)) {
            Some(Ok(_)) => continue,
            Some(Err(reason)) => format!(": {reason}"),
            None => String::new(),
        };
        let message = format!("module `{name}` is not read, so what it makes is unknown{reason}");
        let finding = Finding::warning("terraform-module", message)
            .at(block.header, "resources behind this block are not seen");
        evaluator.report(finding);
    }
}

pub(super) struct Reader<'e, 'a> {
    pub(super) evaluator: &'e Evaluator<'a>,
}

/// Whom a part belongs to.
pub(super) enum Owner<T> {
    /// It is in the same root module.
    Here(T),
    /// Another root module may make it: the name as it is written.
    Elsewhere(Spanned<String>),
    /// It can't be told, and that was reported.
    Nowhere,
}

/// A part whose owner another root module may make.
pub(super) fn loose(object: &Object, owner: Spanned<String>, part: Part) -> Loose {
    Loose { address: object.address.to_string(), owner, part }
}

/// A resource's own name.
pub(super) struct Name {
    pub(super) name: Spanned<String>,
    /// Why it isn't known.
    pub(super) unknown: Option<String>,
}

impl<'e, 'a> Reader<'e, 'a> {
    /// All instances of the managed resources of a type, in written order.
    pub(super) fn instances(&self, kind: &str) -> Vec<(&'a Block, Rc<Object>)> {
        let module = self.evaluator.module;
        let of_kind = module.resource_order.iter().filter(|(other, _)| *other == kind);
        let blocks = of_kind.filter_map(|key| module.resources.get(key).map(|block| (key.1, *block)));
        blocks
            .flat_map(|(name, block)| {
                let all = self.evaluator.managed(kind, name, block.header);
                self.objects(&all).into_iter().map(move |object| (block, object))
            })
            .collect()
    }

    /// All instances of the data sources of a type, in written order.
    pub(super) fn looked_up(&self, kind: &str) -> Vec<(&'a Block, Rc<Object>)> {
        let module = self.evaluator.module;
        let of_kind = module.data_order.iter().filter(|(other, _)| *other == kind);
        let blocks = of_kind.filter_map(|key| module.data.get(key).map(|block| (key.1, *block)));
        blocks
            .flat_map(|(name, block)| {
                let all = self.evaluator.data_instances(kind, name, block.header);
                self.objects(&all).into_iter().map(move |object| (block, object))
            })
            .collect()
    }

    fn objects(&self, all: &Value) -> Vec<Rc<Object>> {
        let of = |value: &Value| self.evaluator.object_of(value);
        match &all.kind {
            Kind::List(items) => items.iter().filter_map(of).collect(),
            Kind::Map(entries) => entries.iter().filter_map(|(_, value)| of(value)).collect(),
            _ => of(all).into_iter().collect(),
        }
    }

    /// A string argument; when it is there and unknown, that is noted.
    pub(super) fn text(&self, object: &Object, name: &str) -> Option<Spanned<String>> {
        let value = object.attribute(name, object.span);
        if value.is_null() || object.written(name).is_none() && value.cause().is_some() {
            return None;
        }
        self.known_text(&value, || format!("`{name}` of `{}`", object.address))
    }

    /// A value as text; when it is unknown, that is noted.
    pub(super) fn known_text(&self, value: &Value, what: impl Fn() -> String) -> Option<Spanned<String>> {
        match (value.as_text(), value.cause()) {
            (Some(text), _) => Some(Spanned::new(text.to_string(), value.span)),
            (None, Some(cause)) => {
                self.evaluator.note_unknown(&cause, value.span, format!("{} is unknown", what()));
                None
            }
            (None, None) if value.is_null() => None,
            (None, None) => {
                let message = format!(
                    "Incorrect attribute value type: {} must be a string, found {}",
                    what(),
                    value.kind_name()
                );
                self.evaluator.fail("terraform-value", message, value.span, "this is not a string");
                None
            }
        }
    }

    /// The texts of a list; what is unknown is left out and noted.
    fn texts(&self, object: &Object, name: &str) -> Vec<Spanned<String>> {
        let Some(value) = object.written(name) else { return Vec::new() };
        let what = || format!("an element of `{name}` of `{}`", object.address);
        match value.items() {
            Some(items) => items.iter().filter_map(|item| self.known_text(item, what)).collect(),
            None => {
                if self.known_text(value, what).is_some() {
                    let message = format!(
                        "Inappropriate value for attribute \"{name}\": set of string required, found a string"
                    );
                    self.evaluator.fail("terraform-value", message, value.span, "put it into [ ]");
                }
                Vec::new()
            }
        }
    }

    /// The name, or a stand-in made from the address when it isn't known.
    pub(super) fn name(&self, object: &Object) -> Name {
        let value = object.attribute("name", object.span);
        if let Some(text) = value.as_text() {
            return Name { name: Spanned::new(text.to_string(), value.span), unknown: None };
        }
        let cause: Rc<str> = value.cause_or("is not a name").into();
        let what = format!("the name of `{}` is unknown", object.address);
        self.evaluator.note_unknown(&cause, value.span, what);
        Name { name: Spanned::new(stand_in(&object.address), value.span), unknown: Some(cause.to_string()) }
    }

    /// The ARN; one with a stand-in name when the name isn't known.
    fn arn(&self, object: &Object, name: &Name, resource: impl Fn(&str) -> String) -> String {
        let arn = object.attribute("arn", object.span).as_text().map(|arn| arn.to_string());
        arn.unwrap_or_else(|| resource(&name.name.value))
    }

    pub(super) fn path(&self, object: &Object) -> String {
        let path = self.text(object, "path").map(|path| path.value).filter(|path| !path.is_empty());
        path.unwrap_or_else(|| "/".to_owned())
    }

    pub(super) fn document(&self, object: &Object, name: &str) -> Tree {
        match object.written(name) {
            Some(value) => self.evaluator.document(name, value),
            None => {
                let cause = format!("`{}` has no {name}", object.address);
                Tree::new(landfall_types::Node::Unknown(cause), object.span)
            }
        }
    }

    fn providers(&self, infra: &mut Infra) {
        for (block, object) in self.instances("aws_iam_openid_connect_provider") {
            let provider = self.provider(&object, Some(block));
            if let (Some(provider), Some((because, span))) = (&provider, self.unknown_audience(&object)) {
                let about = About::Audiences(provider.arn.clone());
                infra.doubts.push(Doubt { about, because, span });
            }
            infra.providers.extend(provider);
        }
        for (_, object) in self.looked_up("aws_iam_openid_connect_provider") {
            infra.looked_up_providers.extend(self.provider(&object, None));
        }
    }

    /// Why not all audiences of a provider are known, and where that is written.
    fn unknown_audience(&self, object: &Object) -> Option<(String, Span)> {
        let list = object.written("client_id_list")?;
        let unknown = |value: &Value| Some((value.cause()?.to_string(), value.span));
        unknown(list).or_else(|| list.items()?.iter().find_map(unknown))
    }

    /// The URL as it is written; of a provider that is looked up by its ARN the one that the ARN tells.
    fn issuer_url(&self, object: &Object) -> Option<Spanned<String>> {
        if let Some(written) = object.written("url") {
            return self.known_text(written, || format!("`url` of `{}`", object.address));
        }
        let url = self.text(object, "url")?;
        Some(Spanned::new(format!("https://{}", url.value), url.span))
    }

    fn provider(&self, object: &Object, managed: Option<&Block>) -> Option<OidcProvider> {
        let Some(url) = self.issuer_url(object) else {
            if managed.is_some() {
                let because = format!("the url of `{}` is unknown", object.address);
                self.evaluator.doubt(About::Providers, because, object.span);
            }
            return None;
        };
        let list = object.written("client_id_list");
        let thumbprints = object.written("thumbprint_list").and_then(Value::items).unwrap_or_default();
        Some(OidcProvider {
            address: object.address.to_string(),
            arn: object.attribute("arn", object.span).as_text()?.to_string(),
            client_ids: if managed.is_some() { self.texts(object, "client_id_list") } else { Vec::new() },
            client_ids_span: list.map_or(object.span, |list| list.span),
            // Mostly looked up over the network, and AWS hardly uses them any more.
            thumbprints: thumbprints.iter().filter_map(Value::as_text).map(|text| text.to_string()).collect(),
            tags: managed.map(|block| self.tags(object, block)).unwrap_or_default(),
            url,
            span: object.span,
        })
    }

    fn policy(&self, object: &Object, block: &Block) -> CustomerPolicy {
        let name = self.name(object);
        let path = self.path(object);
        let account = self.evaluator.account(block);
        CustomerPolicy {
            address: object.address.to_string(),
            arn: self
                .arn(object, &name, |name| landfall_types::Arn::policy(account, &path, name).to_string()),
            name: name.name,
            name_unknown: name.unknown,
            path,
            description: self.text(object, "description").map(|text| text.value),
            document: self.document(object, "policy"),
            tags: self.tags(object, block),
            span: object.span,
        }
    }

    fn role(&self, object: &Object, block: &Block, policies: &[CustomerPolicy]) -> Role {
        let name = self.name(object);
        let path = self.path(object);
        let account = self.evaluator.account(block);
        let arn = self.arn(object, &name, |name| landfall_types::Arn::role(account, &path, name).to_string());
        let attached = object.written("managed_policy_arns");
        Role {
            address: object.address.to_string(),
            arn,
            path,
            description: self.text(object, "description").map(|text| text.value),
            trust: self.document(object, "assume_role_policy"),
            max_session_duration: self.seconds(object, "max_session_duration"),
            boundary: self.boundary(object, policies),
            inline: self.inline_blocks(object),
            attached: attached.map(|arns| self.attached(object, arns, policies)).unwrap_or_default(),
            tags: self.tags(object, block),
            name: name.name,
            name_unknown: name.unknown,
            span: object.span,
        }
    }

    /// The ARN of a permissions boundary. The provider takes an empty text for none.
    pub(super) fn boundary(&self, object: &Object, policies: &[CustomerPolicy]) -> Option<Spanned<String>> {
        let is_empty = |value: &Value| value.as_text().is_some_and(|text| text.is_empty());
        let boundary = object.written("permissions_boundary").filter(|value| !is_empty(value));
        boundary.and_then(|value| self.policy_arn_of(object, value, policies))
    }

    fn seconds(&self, object: &Object, name: &str) -> Option<Spanned<u32>> {
        let value = object.written(name)?;
        if let Some(cause) = value.cause() {
            self.evaluator.note_unknown(&cause, value.span, format!("`{name}` of `{}`", object.address));
            return None;
        }
        match value.as_index().and_then(|seconds| u32::try_from(seconds).ok()) {
            Some(seconds) => Some(Spanned::new(seconds, value.span)),
            None => {
                let message =
                    format!("Inappropriate value for attribute \"{name}\": a number of seconds is required");
                self.evaluator.fail("terraform-value", message, value.span, "this value");
                None
            }
        }
    }

    fn inline_blocks(&self, object: &Object) -> Vec<InlinePolicy> {
        let blocks = object.written("inline_policy").and_then(Value::items).unwrap_or_default();
        let mut policies = Vec::new();
        for block in blocks {
            let find = |name: &str| {
                let mut entries = block.entries().unwrap_or_default().iter();
                entries.find(|(key, value)| key.text == name && !value.is_null()).map(|(_, value)| value)
            };
            // `inline_policy {}` means that the role has none.
            if let Some(cause) = block.cause() {
                self.doubt_policies(object, &cause, block.span);
            }
            let Some(policy) = find("policy") else { continue };
            let name = find("name").and_then(Value::as_text);
            policies.push(InlinePolicy {
                name: name.map_or_else(|| stand_in(&object.address), |name| name.to_string()),
                document: self.evaluator.document("policy", policy),
                span: block.span,
            });
        }
        policies
    }

    pub(super) fn attached(
        &self,
        object: &Object,
        arns: &Value,
        policies: &[CustomerPolicy],
    ) -> Vec<Attachment> {
        let items = arns.items().map_or_else(|| vec![arns.clone()], <[Value]>::to_vec);
        let arns = items.iter().filter_map(|item| self.policy_arn_of(object, item, policies));
        arns.map(|policy_arn| Attachment { policy_arn, span: object.span }).collect()
    }

    /// As [`Self::policy_arn`]; without it the policies of whom it is for aren't known.
    fn policy_arn_of(
        &self,
        object: &Object,
        value: &Value,
        policies: &[CustomerPolicy],
    ) -> Option<Spanned<String>> {
        let arn = self.policy_arn(value, policies);
        if arn.is_none() && !value.is_null() {
            self.doubt_policies(object, value.cause_or("it is not an ARN"), value.span);
        }
        arn
    }

    /// A policy's ARN. One of this module whose name is unknown is found by its address.
    fn policy_arn(&self, value: &Value, policies: &[CustomerPolicy]) -> Option<Spanned<String>> {
        let of = value.as_unknown().and_then(|unknown| unknown.of.clone());
        if let Some(policy) = of.and_then(|of| policies.iter().find(|policy| *policy.address == *of)) {
            return Some(Spanned::new(policy.arn.clone(), value.span));
        }
        self.known_text(value, || "the ARN of a policy".to_owned())
    }

    /// The region that a resource lies in.
    pub(super) fn region(&self, object: &Object, block: &Block) -> String {
        self.evaluator.region(object, block).to_string()
    }

    fn repository(&self, object: &Object, block: &Block) -> Repository {
        let name = self.name(object);
        let region = self.evaluator.region(object, block).to_string();
        let account = self.evaluator.account(block);
        let mutability = self.text(object, "image_tag_mutability");
        Repository {
            address: object.address.to_string(),
            arn: self.arn(object, &name, |name| {
                landfall_types::Arn::repository(&region, account, name).to_string()
            }),
            name: name.name,
            name_unknown: name.unknown,
            region,
            immutable_tags: mutability.is_some_and(|it| it.value.starts_with("IMMUTABLE")),
            encryption: self.encryption(object),
            policy: None,
            tags: self.tags(object, block),
            span: object.span,
        }
    }

    /// The first `encryption_configuration`; what is not known of it is as if it weren't written.
    fn encryption(&self, object: &Object) -> Option<(String, Option<String>)> {
        let block = super::ecs::first(object, "encryption_configuration")?;
        let text = |name: &str| {
            let mut entries = block.entries().unwrap_or_default().iter();
            let (_, value) = entries.find(|(key, value)| key.text == name && !value.is_null())?;
            Some(self.known_text(value, || format!("`{name}` of `{}`", object.address))?.value)
        };
        Some((text("encryption_type").unwrap_or_else(|| "AES256".to_owned()), text("kms_key")))
    }

    /// Resources of IAM, ECR, ECS, EKS and CodeDeploy that nothing here reads.
    fn unread(&self) -> Vec<Unread> {
        let module = self.evaluator.module;
        let is_ours = |kind: &str| OURS.iter().any(|service| kind.starts_with(service));
        let unread = module.resource_order.iter().filter(|(kind, _)| is_ours(kind) && !READ.contains(kind));
        let blocks = unread.filter_map(|key| Some((key, module.resources.get(key)?)));
        blocks
            .map(|((kind, name), block)| Unread { address: format!("{kind}.{name}"), span: block.header })
            .collect()
    }

    /// The resource's tags over the provider's.
    pub(super) fn tags(&self, object: &Object, block: &Block) -> Vec<(String, String)> {
        let mut tags: Vec<(String, String)> = Vec::new();
        let own = object.written("tags").cloned();
        for all in self.evaluator.default_tags(block).into_iter().chain(own) {
            let what = || format!("the tags of `{}`", object.address);
            let Some(entries) = all.entries() else {
                self.known_text(&all, what);
                continue;
            };
            for (key, value) in entries.iter().filter(|(_, value)| !value.is_null()) {
                let what = || format!("the tag `{}` of `{}`", key.text, object.address);
                let Some(text) = self.known_text(value, what) else { continue };
                tags.retain(|(other, _)| *other != key.text);
                tags.push((key.text.clone(), text.value));
            }
        }
        tags.sort();
        tags
    }

    pub(super) fn inline_name(&self, object: &Object) -> String {
        let name = self.text(object, "name").map(|name| name.value);
        let prefix = || self.text(object, "name_prefix").map(|prefix| format!("{}landfall", prefix.value));
        name.or_else(prefix).unwrap_or_else(|| stand_in(&object.address))
    }

    fn repository_policies(&self, infra: &mut Infra) {
        for (_, object) in self.instances("aws_ecr_repository_policy") {
            let (Some(name), Some(_)) = (object.written("repository"), object.written("policy")) else {
                continue;
            };
            let document = self.document(&object, "policy");
            let of = name.as_unknown().and_then(|unknown| unknown.of.clone());
            let text = match &of {
                Some(_) => None,
                None => self.known_text(name, || format!("the repository of `{}`", object.address)),
            };
            let is_it = |repository: &&mut Repository| match (&of, &text) {
                (Some(of), _) => *repository.address == **of,
                (None, Some(text)) => {
                    repository.name_unknown.is_none() && repository.name.value == text.value
                }
                (None, None) => false,
            };
            match (infra.repositories.iter_mut().find(is_it), text) {
                (Some(repository), _) => repository.policy = Some(document),
                (None, Some(name)) => {
                    infra.loose.push(loose(&object, name, Part::RepositoryPolicy(document)));
                }
                (None, None) => {}
            }
        }
    }

    fn outputs(&self) -> Vec<Output> {
        let outputs = self.evaluator.module.outputs.iter().map(|(name, block)| {
            let value = block.body.attribute("value").map(|attribute| {
                let value = self.evaluator.eval(&attribute.value, &Scope::default());
                self.evaluator.limited(name, value)
            });
            if value.is_none() {
                self.evaluator.report(super::resources::missing_argument("value", block.header));
            }
            let text = value.and_then(|value| match (value.as_text(), value.cause()) {
                (Some(text), _) => Some(text.to_string()),
                (None, None) if !value.is_null() => {
                    let tree = value.to_tree();
                    json_text::first_unknown(&tree).is_none().then(|| json_text::to_json(&tree))
                }
                _ => None,
            });
            Output { name: (*name).to_owned(), value: text, span: block.header }
        });
        outputs.collect()
    }
}

/// How the kinds of resources begin that are of services of the local side.
const OURS: [&str; 5] = ["aws_iam_", "aws_ecr", "aws_ecs_", "aws_eks_", "aws_codedeploy_"];
/// The kinds that are read.
const READ: [&str; 46] = [
    "aws_codedeploy_app",
    "aws_codedeploy_deployment_config",
    "aws_codedeploy_deployment_group",
    "aws_ecr_account_setting",
    "aws_ecr_lifecycle_policy",
    "aws_ecr_pull_through_cache_rule",
    "aws_ecr_registry_policy",
    "aws_ecr_registry_scanning_configuration",
    "aws_ecr_replication_configuration",
    "aws_ecr_repository",
    "aws_ecr_repository_creation_template",
    "aws_ecr_repository_policy",
    "aws_ecrpublic_repository",
    "aws_ecrpublic_repository_policy",
    "aws_ecs_account_setting_default",
    "aws_ecs_capacity_provider",
    "aws_ecs_cluster",
    "aws_ecs_cluster_capacity_providers",
    "aws_ecs_service",
    "aws_ecs_task_definition",
    "aws_eks_cluster",
    "aws_eks_pod_identity_association",
    "aws_iam_access_key",
    "aws_iam_account_alias",
    "aws_iam_group",
    "aws_iam_group_membership",
    "aws_iam_group_policies_exclusive",
    "aws_iam_group_policy",
    "aws_iam_group_policy_attachment",
    "aws_iam_group_policy_attachments_exclusive",
    "aws_iam_instance_profile",
    "aws_iam_openid_connect_provider",
    "aws_iam_policy",
    "aws_iam_policy_attachment",
    "aws_iam_role",
    "aws_iam_role_policies_exclusive",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_iam_role_policy_attachments_exclusive",
    "aws_iam_service_linked_role",
    "aws_iam_user",
    "aws_iam_user_group_membership",
    "aws_iam_user_policies_exclusive",
    "aws_iam_user_policy",
    "aws_iam_user_policy_attachment",
    "aws_iam_user_policy_attachments_exclusive",
];

/// A name for a resource whose own is unknown: its label, with the key of its instance behind it.
pub(super) fn stand_in(address: &str) -> String {
    let (_, address) = split_module(address);
    let label = address.split_once('.').map_or(address, |(_, label)| label);
    let name: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' }).collect();
    name.trim_matches('-').replace("--", "-")
}

/// The modules before a resource's address, and the rest of it.
pub(super) fn split_module(address: &str) -> (&str, &str) {
    let mut rest = address;
    while let Some(name) = rest.strip_prefix("module.") {
        // A key may have dots in it.
        let mut is_key = false;
        let end = name.find(|c| {
            is_key = is_key != (c == '"');
            c == '.' && !is_key
        });
        let Some(after) = end.and_then(|end| name.get(end + 1..)) else { break };
        rest = after;
    }
    address.split_at(address.len() - rest.len())
}
