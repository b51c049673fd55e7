//! What names stand for: variables, locals, resources, data sources.

use landfall_types::{Finding, Span};

use super::eval::Evaluator;
use super::resources::missing_argument;
use super::scope::Scope;
use super::syntax::{Expr, ExprKind, Step};
use super::value::{self, Value};
use super::{syntax, types};

impl Evaluator<'_> {
    /// `root.step.step`: a reference when the root is a name, else steps from a value.
    pub fn traversal(&self, root: &Expr, steps: &[Step], span: Span, scope: &Scope) -> Value {
        let ExprKind::Name(name) = &root.kind else {
            let value = self.eval(root, scope);
            return self.follow(value, steps, span, scope);
        };
        if let Some(value) = scope.get(name) {
            return self.follow(value.clone(), steps, span, scope);
        }
        let (value, rest) = match (name.as_str(), steps) {
            ("var", [Step::Attribute(name), rest @ ..]) => (self.variable(name, span), rest),
            ("local", [Step::Attribute(name), rest @ ..]) => (self.local(name, span), rest),
            ("data", [Step::Attribute(kind), Step::Attribute(name), rest @ ..]) => {
                (self.data(kind, name, span), rest)
            }
            ("module", [Step::Attribute(name), rest @ ..]) => self.called(name, rest, span, scope),
            ("path", [Step::Attribute(of), rest @ ..]) => {
                let is_here = of != "module" || self.module.folder.is_empty();
                (Value::text(if is_here { "." } else { self.module.folder }, span), rest)
            }
            ("terraform" | "tofu", [Step::Attribute(name), rest @ ..]) if name == "workspace" => {
                (Value::text(self.workspace().as_str(), span), rest)
            }
            ("each" | "count" | "self", _) => (self.out_of_place(name, span), &[][..]),
            (kind, [Step::Attribute(name), rest @ ..]) => (self.managed(kind, name, span), rest),
            _ => {
                let message = format!(
                    "Invalid reference: `{name}` alone is not a value; a reference to a resource type must be \
                     followed by at least one attribute access, specifying the resource name"
                );
                (self.fail("terraform-reference", message, span, "this reference"), &[][..])
            }
        };
        self.follow(value, rest, span, scope)
    }

    /// The workspace that `terraform apply` would be run in.
    /// <https://developer.hashicorp.com/terraform/language/state/workspaces>
    fn workspace(&self) -> String {
        let selected = || {
            let file = self.reading.disk.text(".terraform/environment")?;
            Some(self.sources.text(file).trim().to_owned()).filter(|name| !name.is_empty())
        };
        self.settings.workspace.clone().or_else(selected).unwrap_or_else(|| "default".to_owned())
    }

    fn out_of_place(&self, name: &str, span: Span) -> Value {
        let wanted = match name {
            "each" => "the \"for_each\" argument",
            "count" => "the \"count\" argument",
            _ => "a provisioner or connection",
        };
        let message = format!("Reference to \"{name}\" in a context without {wanted}");
        self.fail("terraform-reference", message, span, "this reference")
    }

    /// The value of an input variable: the command line's, then the tfvars files', then the environment's, then the
    /// default. <https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence>
    fn variable(&self, name: &str, span: Span) -> Value {
        let Some(block) = self.module.variables.get(name) else {
            let declared = self.module.variables.keys().copied();
            let detail = format!("An input variable with the name \"{name}\" has not been declared.");
            return self.undeclared("input variable", &detail, name, declared, span);
        };
        let value = self.once(&format!("var.{name}"), span, || {
            let kind = block.body.attribute("type").map(|attribute| &attribute.value);
            let is_root = self.call.is_none();
            let given = if let Some(value) = self.argument(name) {
                value
            } else if let Some(text) = self.settings.variables.get(name).filter(|_| is_root) {
                self.text_value(&format!("--var {name}"), text, kind)
            } else if let Some(attribute) = self.module.values.get(name).filter(|_| is_root) {
                self.eval(&attribute.value, &Scope::default())
            } else if let Some(text) = self.settings.environment.get(name).filter(|_| is_root) {
                self.text_value(&format!("TF_VAR_{name}"), text, kind)
            } else if let Some(attribute) = block.body.attribute("default") {
                self.eval(&attribute.value, &Scope::default())
            } else if let Some(call) = &self.call {
                self.report(missing_argument(name, call.block.header));
                return Value::failed(format!("`{}` is not given `{name}`", call.address), block.header);
            } else {
                let cause = format!("variable `{name}` has no default; give it with --var {name}=…");
                return Value::unknown(cause, block.header);
            };
            match kind {
                Some(kind) => types::convert(self, given, kind, name),
                None => given,
            }
        });
        // What has no value is written nowhere: it stands where it is used.
        if value.as_unknown().is_some() && value.span == block.header { value.at(span) } else { value }
    }

    /// A value that is given as text (`--var name=text`): a string unless the variable's type is a collection.
    fn text_value(&self, label: &str, text: &str, kind: Option<&Expr>) -> Value {
        let source = self.sources.add(label, text);
        let span = Span::new(source, 0, text.len());
        if kind.is_none_or(types::is_primitive) {
            return Value::text(text, span);
        }
        match syntax::parse_expression(source, text) {
            Ok(expr) => self.eval(&expr, &Scope::default()),
            Err(finding) => {
                let message = finding.message.clone();
                self.report(*finding);
                Value::failed(message, span)
            }
        }
    }

    fn local(&self, name: &str, span: Span) -> Value {
        let Some(attribute) = self.module.locals.get(name) else {
            let declared = self.module.locals.keys().copied();
            let detail = format!("A local value with the name \"{name}\" has not been declared.");
            return self.undeclared("local value", &detail, name, declared, span);
        };
        self.once(&format!("local.{name}"), span, || self.eval(&attribute.value, &Scope::default()))
    }

    /// All instances of a managed resource: one, a list (`count`), or a map (`for_each`).
    pub fn managed(&self, kind: &str, name: &str, span: Span) -> Value {
        let address = format!("{}{kind}.{name}", self.prefix());
        let Some(block) = self.module.resources.get(&(kind, name)) else {
            let detail = format!(
                "A managed resource \"{kind}\" \"{name}\" has not been declared in {}.",
                self.place()
            );
            let same_kind = self.module.resources.keys().filter(|(other, _)| *other == kind);
            return self.undeclared("resource", &detail, name, same_kind.map(|(_, name)| *name), span);
        };
        self.once(&address, span, || self.instances(block, &address))
    }

    fn data(&self, kind: &str, name: &str, span: Span) -> Value {
        let address = format!("{}data.{kind}.{name}", self.prefix());
        let Some(block) = self.module.data.get(&(kind, name)) else {
            let detail =
                format!("A data resource \"{kind}\" \"{name}\" has not been declared in {}.", self.place());
            let same_kind = self.module.data.keys().filter(|(other, _)| *other == kind);
            return self.undeclared("resource", &detail, name, same_kind.map(|(_, name)| *name), span);
        };
        self.once(&address, span, || self.instances(block, &address))
    }

    /// All instances of a data source.
    pub fn data_instances(&self, kind: &str, name: &str, span: Span) -> Value {
        self.data(kind, name, span)
    }

    pub(super) fn undeclared<'n>(
        &self,
        what: &str,
        detail: &str,
        name: &str,
        declared: impl Iterator<Item = &'n str>,
        span: Span,
    ) -> Value {
        if self.module.incomplete {
            let cause = format!("{detail} It may stand in what could not be read");
            return Value::unknown(cause, span);
        }
        let message = format!("Reference to undeclared {what}: {detail}");
        let mut finding =
            Finding::error("terraform-reference", message.clone()).at(span, "nothing has this name");
        if let Some(similar) = similar_name(name, declared) {
            finding = finding.help(format!("did you mean \"{similar}\"?"));
        }
        self.report(finding);
        Value::failed(message, span)
    }
}

/// The declared name that is at most two edits away.
fn similar_name<'n>(name: &str, declared: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const EDITS_MAX: usize = 2;
    let near = declared.map(|other| (edits(name, other), other)).filter(|(count, _)| *count <= EDITS_MAX);
    near.min().map(|(_, other)| other)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0) + 1;
            let left = next.last().copied().unwrap_or(0) + 1;
            let diagonal = row.get(j).copied().unwrap_or(0) + usize::from(x != *y);
            next.push(above.min(left).min(diagonal));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// `each` for one element of `for_each`.
pub(super) fn each(key: Value, element: Value) -> Value {
    let span = element.span;
    Value::map(vec![(value::key("key", span), key), (value::key("value", span), element)], span)
}
