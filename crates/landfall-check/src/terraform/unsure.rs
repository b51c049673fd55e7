//! What an account may have beside the model, and what may be otherwise than the model says: instances that nobody can
//! count, modules that are not read, and what `ignore_changes` leaves to others.

use std::rc::Rc;

use landfall_types::{Finding, Severity, Span};

use super::doubts::About;
use super::eval::Evaluator;
use super::holders::all_of;
use super::infra::{Reader, stand_in};
use super::model::Infra;
use super::scope::Scope;
use super::syntax::{Block, Expr, ExprKind};
use super::value::{Kind, Object, Value};

/// The resources that give a role policies, with the arguments that name the role and the policies.
const OF_ROLES: [(&str, &str, &str); 5] = [
    ("aws_iam_role_policy", "role", "policy"),
    ("aws_iam_role_policy_attachment", "role", "policy_arn"),
    ("aws_iam_policy_attachment", "roles", "policy_arn"),
    ("aws_iam_role_policy_attachments_exclusive", "role_name", "policy_arns"),
    ("aws_iam_role_policies_exclusive", "role_name", "policy_names"),
];

/// Arguments of a call that say nothing to the module.
const OF_CALLS: [&str; 5] = ["source", "version", "providers", "depends_on", "count"];

/// Notes what isn't known of the model once it is made.
pub(super) fn doubt(readers: &[Reader<'_, '_>], infra: &mut Infra) {
    for reader in readers {
        reader.doubt_missing();
        reader.doubt_modules(infra);
        reader.doubt_ignored(infra);
    }
    if let Some(reader) = readers.first() {
        infra.doubts.extend(reader.evaluator.take_doubts());
    }
}

impl Reader<'_, '_> {
    /// Notes that a role, or whom a resource is for, may have policies that aren't known.
    pub(super) fn doubt_policies(&self, object: &Object, because: impl AsRef<str>, span: Span) {
        let because = format!("a policy of `{}` is unknown: {}", object.address, because.as_ref());
        self.doubt_whose(object, &because, span);
    }

    fn doubt_whose(&self, object: &Object, because: &str, span: Span) {
        match kind_of(&object.address) {
            "aws_iam_role" => {
                self.evaluator.doubt(About::Permissions(self.role_name(object)), because, span);
            }
            kind => {
                let Some((_, owner, _)) = OF_ROLES.iter().find(|(other, ..)| *other == kind) else { return };
                let owners = object.written(owner).map(all_of).unwrap_or_default();
                owners.iter().for_each(|owner| self.evaluator.doubt(policies_of(owner), because, span));
            }
        }
    }

    /// Notes that it isn't known whom a resource is for.
    pub(super) fn doubt_owner(&self, object: &Object, value: &Value) {
        let because =
            format!("whose `{}` is isn't known: {}", object.address, value.cause_or("it is not a name"));
        self.evaluator.doubt(policies_of(value), because, value.span);
    }

    fn role_name(&self, object: &Object) -> String {
        let name = object.attribute("name", object.span).as_text();
        name.map_or_else(|| stand_in(&object.address), |name| name.to_string())
    }

    /// Resources of which not all instances are known.
    fn doubt_missing(&self) {
        let evaluator = self.evaluator;
        for (kind, name) in &evaluator.module.resource_order {
            let address = format!("{}{kind}.{name}", evaluator.prefix());
            let Some((cause, span)) = evaluator.missing(&address) else { continue };
            let because = format!("which `{address}` there are isn't known: {cause}");
            match *kind {
                "aws_iam_role" => evaluator.doubt(About::Roles, because, span),
                "aws_iam_openid_connect_provider" => evaluator.doubt(About::Providers, because, span),
                kind => {
                    let Some((_, owner, _)) = OF_ROLES.iter().find(|(other, ..)| *other == kind) else {
                        continue;
                    };
                    let block = evaluator.module.resources.get(&(kind, *name));
                    let owners = block.and_then(|block| block.body.attribute(owner));
                    let owners = owners.map(|owners| all_of(&quietly(evaluator, &owners.value)));
                    for owner in owners.unwrap_or_default() {
                        evaluator.doubt(policies_of(&owner), because.as_str(), span);
                    }
                }
            }
        }
    }

    /// Modules that are not read: they may make roles and providers, and give policies to roles that they are told of.
    fn doubt_modules(&self, infra: &Infra) {
        let evaluator = self.evaluator;
        for (name, block) in &evaluator.module.modules {
            let Some((cause, span)) = evaluator.unread_call(name, block) else { continue };
            let because = format!("what `{}module.{name}` makes isn't known: {cause}", evaluator.prefix());
            evaluator.doubt(About::Roles, because.as_str(), span);
            evaluator.doubt(About::Providers, because.as_str(), span);
            let arguments = block.body.attributes.iter().filter(|it| !OF_CALLS.contains(&it.name.as_str()));
            for argument in arguments {
                let value = quietly(evaluator, &argument.value);
                let told_of = infra.roles.iter().filter(|role| {
                    mentions(&value, &role.address, &[role.name.value.as_str(), role.arn.as_str()])
                });
                for role in told_of {
                    let about = About::Permissions(role.name.value.clone());
                    evaluator.doubt(about, because.as_str(), argument.value.span);
                }
            }
        }
    }

    /// Arguments that Terraform sets once and then leaves to others.
    fn doubt_ignored(&self, infra: &Infra) {
        let kinds = ["aws_iam_role", "aws_iam_policy", "aws_iam_openid_connect_provider"];
        for kind in kinds.into_iter().chain(OF_ROLES.iter().map(|(kind, ..)| *kind)) {
            for (block, object) in self.instances(kind) {
                for (name, span) in ignored(block) {
                    let about = self.ignored_about(kind, name, &object, infra);
                    if about.is_empty() {
                        continue;
                    }
                    let because = format!(
                        "`ignore_changes` of `{}` leaves `{name}` to others, so what is in force may be something else",
                        object.address
                    );
                    for about in about {
                        self.evaluator.doubt(about, because.as_str(), span);
                    }
                    let mut note = Finding::warning("terraform-ignore-changes", because);
                    note.severity = Severity::Note;
                    self.evaluator.report(note.at(span, "taken as it is written here"));
                }
            }
        }
    }

    /// What isn't known where Terraform ignores an argument of a resource.
    fn ignored_about(&self, kind: &str, name: &str, object: &Object, infra: &Infra) -> Vec<About> {
        let is = |names: &[&str]| name == "all" || names.contains(&name);
        let mut about = Vec::new();
        match kind {
            "aws_iam_role" => {
                let role = self.role_name(object);
                about.extend(is(&["assume_role_policy"]).then(|| About::Trust(role.clone())));
                let is_permissions = is(&["inline_policy", "managed_policy_arns", "permissions_boundary"]);
                about.extend(is_permissions.then_some(About::Permissions(role)));
            }
            "aws_iam_policy" if is(&["policy"]) => {
                let own = infra.policies.iter().find(|policy| *policy.address == *object.address);
                let arn = own.map(|policy| policy.arn.as_str());
                let has = |role: &&super::Role| {
                    let mut arns = role.attached.iter().map(|it| &it.policy_arn).chain(&role.boundary);
                    arns.any(|it| Some(it.value.as_str()) == arn)
                };
                let roles = infra.roles.iter().filter(has);
                about.extend(roles.map(|role| About::Permissions(role.name.value.clone())));
            }
            "aws_iam_openid_connect_provider" if is(&["client_id_list"]) => {
                let arn = object.attribute("arn", object.span).as_text();
                about.extend(arn.map(|arn| About::Audiences(arn.to_string())));
            }
            _ => {
                let Some((_, owner, policies)) = OF_ROLES.iter().find(|(other, ..)| *other == kind) else {
                    return about;
                };
                if is(&[policies]) {
                    let owners = object.written(owner).map(all_of).unwrap_or_default();
                    about.extend(owners.iter().map(policies_of));
                }
            }
        }
        about
    }
}

/// The policies of the role that a value names.
fn policies_of(owner: &Value) -> About {
    if let Some(of) = owner.as_unknown().and_then(|unknown| unknown.of.as_deref()) {
        return About::Permissions(stand_in(of));
    }
    owner.as_text().map_or(About::AllPermissions, |name| About::Permissions(name.to_string()))
}

/// The type of a resource, by its address.
fn kind_of(address: &str) -> &str {
    let (_, address) = super::infra::split_module(address);
    address.split('.').next().unwrap_or(address)
}

/// A value that is only looked at: what is wrong with it is told elsewhere, where it is used.
fn quietly(evaluator: &Evaluator<'_>, expr: &Expr) -> Value {
    let before = evaluator.finding_count();
    let value = evaluator.eval(expr, &Scope::default());
    evaluator.forget_findings(before);
    value
}

/// Whether a value, or a part of it, is of a resource, or one of these texts.
fn mentions(value: &Value, address: &str, texts: &[&str]) -> bool {
    match &value.kind {
        Kind::List(items) | Kind::Set(items) => items.iter().any(|item| mentions(item, address, texts)),
        Kind::Map(entries) => entries.iter().any(|(_, item)| mentions(item, address, texts)),
        Kind::Resource(handle) => *handle.address == *address,
        Kind::Unknown(unknown) => unknown.of.as_deref() == Some(address),
        _ => value.as_text().is_some_and(|text| texts.contains(&&*text)),
    }
}

/// What `lifecycle` says that Terraform ignores of a resource, with its place.
fn ignored(block: &Block) -> Vec<(&str, Span)> {
    let lifecycles = block.body.blocks.iter().filter(|inner| inner.kind == "lifecycle");
    let attributes = lifecycles.filter_map(|inner| inner.body.attribute("ignore_changes"));
    attributes.flat_map(|attribute| names(&attribute.value)).collect()
}

fn names(expr: &Expr) -> Vec<(&str, Span)> {
    match &expr.kind {
        ExprKind::List(items) => items.iter().flat_map(names).collect(),
        ExprKind::Name(name) | ExprKind::Text(name) => vec![(name, expr.span)],
        ExprKind::Traversal(root, _) => names(root),
        _ => Vec::new(),
    }
}

impl<'a> Evaluator<'a> {
    /// Why a call's module is not read, where it isn't.
    fn unread_call(&self, name: &str, block: &'a Block) -> Option<(Rc<str>, Span)> {
        let unknown = self.call_instances(name, block).err();
        let cause = unknown.map(|value| (value.cause_or("it can't be told").into(), block.header));
        cause.or_else(|| self.missing(&format!("{}module.{name}", self.prefix())))
    }
}
