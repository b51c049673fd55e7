//! Calls of modules: their instances, what they are given, and what they give back.
//! <https://developer.hashicorp.com/terraform/language/modules>

use std::rc::Rc;

use landfall_types::{Finding, Span};

use super::doubts::About;
use super::eval::{Call, Evaluator};
use super::references;
use super::resources::missing_argument;
use super::scope::Scope;
use super::syntax::{Block, ObjectKey, Step};
use super::value::{self, Kind, Value};

/// Instances of one call.
const INSTANCES_MAX: usize = 1_000;
/// Modules of one root module, all instances counted, from which on no more are looked for.
const MODULES_MAX: usize = 2_000;

/// Arguments that belong to the call, not to the module.
const META: [&str; 6] = ["source", "version", "providers", "count", "for_each", "depends_on"];

/// An instance of a call: its key when there are several, and the module.
type Instance<'a> = (Option<Value>, Rc<Evaluator<'a>>);

/// The instances of a call, or what stands for whatever they give back when there are none to be had.
pub(super) type Instances<'a> = Result<Rc<[Instance<'a>]>, Value>;

impl<'a> Evaluator<'a> {
    /// `module.NAME…`: a value, and the steps that are left to be followed from it.
    pub(super) fn called<'s>(
        &self,
        name: &str,
        steps: &'s [Step],
        span: Span,
        scope: &Scope,
    ) -> (Value, &'s [Step]) {
        let Some(block) = self.module.modules.get(name).copied() else {
            let declared = self.module.modules.keys().copied();
            let detail = format!("No module call named \"{name}\" is declared in {}.", self.place());
            return (self.undeclared("module", &detail, name, declared, span), &[]);
        };
        let instances = match self.call_instances(name, block) {
            Ok(instances) => instances,
            Err(value) => return (value.at(span), &[]),
        };
        match (steps, &*instances) {
            // One output alone: its module may need what depends on another one.
            ([Step::Attribute(output), rest @ ..], [(None, module)]) => (module.output(output, span), rest),
            ([Step::Index(index), Step::Attribute(output), rest @ ..], many) => {
                let index = self.eval(index, scope);
                let Some(wanted) = index.as_text() else { return (self.whole(name, block, span), steps) };
                let is_it = |(key, _): &&Instance<'a>| {
                    key.as_ref().and_then(Value::as_text).is_some_and(|key| key == wanted)
                };
                match many.iter().find(is_it) {
                    Some((_, module)) => (module.output(output, span), rest),
                    None => (self.whole(name, block, span), steps),
                }
            }
            _ => (self.whole(name, block, span), steps),
        }
    }

    /// All that a call gives back: a map, a list of maps with `count`, a map of maps with `for_each`.
    fn whole(&self, name: &str, block: &'a Block, span: Span) -> Value {
        self.once(&format!("module.{name}"), span, || {
            let instances = match self.call_instances(name, block) {
                Ok(instances) => instances,
                Err(value) => return value,
            };
            let outputs = |module: &Rc<Evaluator<'a>>| {
                let names = module.module.outputs.iter().map(|(name, block)| (*name, block.header));
                let entries = names.map(|(name, at)| (value::key(name, at), module.output(name, span)));
                Value::map(entries.collect(), block.header)
            };
            if let [(None, module)] = &*instances {
                return outputs(module);
            }
            if block.body.attribute("count").is_some() {
                return Value::list(
                    instances.iter().map(|(_, module)| outputs(module)).collect(),
                    block.header,
                );
            }
            let entries = instances.iter().filter_map(|(key, module)| {
                let key = key.as_ref()?;
                Some((value::key(&*key.as_text()?, key.span), outputs(module)))
            });
            Value::map(entries.collect(), block.header)
        })
    }

    /// What an output of this module says.
    fn output(&self, name: &str, span: Span) -> Value {
        let Some((_, block)) = self.module.outputs.iter().find(|(other, _)| *other == name) else {
            if self.module.incomplete {
                return Value::unknown(format!("no output \"{name}\" was read of {}", self.place()), span);
            }
            let message =
                format!("Unsupported attribute: {} does not have an output named \"{name}\"", self.place());
            return self.fail("terraform-reference", message, span, "this reference");
        };
        self.once(&format!("output.{name}"), span, || match block.body.attribute("value") {
            Some(attribute) => self.eval(&attribute.value, &Scope::default()),
            None => {
                self.report(missing_argument("value", block.header));
                Value::failed("an output without a value", block.header)
            }
        })
    }

    /// This module and all that it calls, each before what it calls.
    pub(super) fn with_all_called(self: &Rc<Self>) -> Vec<Rc<Self>> {
        let mut all = vec![Rc::clone(self)];
        let mut next = 0;
        while let Some(module) = all.get(next).map(Rc::clone) {
            next += 1;
            for (name, block) in &module.module.modules {
                if all.len() >= MODULES_MAX {
                    let message = format!(
                        "there are more than {MODULES_MAX} modules, which is the limit: `{}module.{name}` and those \
                         after it are not read",
                        module.prefix()
                    );
                    self.doubt(About::AllPermissions, message.as_str(), block.header);
                    self.report(Finding::error("terraform-limit", message).at(block.header, "from here on"));
                    return all;
                }
                if let Ok(instances) = module.call_instances(name, block) {
                    all.extend(instances.iter().map(|(_, module)| Rc::clone(module)));
                }
            }
        }
        all
    }

    /// The instances of a call.
    pub(super) fn call_instances(&self, name: &str, block: &'a Block) -> Instances<'a> {
        if let Some(known) = self.called_modules.borrow().get(name) {
            return known.clone();
        }
        let instances = self.make_instances(name, block);
        if instances.is_ok() {
            self.report_unsupported(name, block);
        }
        self.called_modules.borrow_mut().insert(name.to_owned(), instances.clone());
        instances
    }

    fn make_instances(&self, name: &str, block: &'a Block) -> Instances<'a> {
        let index = match self.module.calls.and_then(|calls| calls.get(name)) {
            Some(Ok(index)) => *index,
            Some(Err(reason)) => {
                let cause = format!("module `{name}` is not read: {reason}");
                return Err(Value::unknown(cause, block.header));
            }
            None => return Err(Value::unknown(format!("module `{name}` is not read"), block.header)),
        };
        let one = |key: Option<Value>, address: String, scope: Scope| -> Option<Instance<'a>> {
            let call = Call { caller: self.this.clone(), block, scope, address };
            Some((key, self.of_call(index, call)?))
        };
        let address = format!("{}module.{name}", self.prefix());
        if let Some(count) = block.body.attribute("count") {
            let span = count.value.span;
            let value = self
                .once(&format!("module.{name} (count)"), span, || self.eval(&count.value, &Scope::default()));
            let Some(number) = value.as_index().filter(|number| *number <= INSTANCES_MAX) else {
                return Err(self.not_countable(&address, &value, span));
            };
            let made = (0..number).filter_map(|index| {
                let key = Value::count(index, span);
                let counter = vec![(value::key("index", span), key.clone())];
                let scope = Scope::default().with("count", Value::map(counter, span));
                one(Some(key), format!("{address}[{index}]"), scope)
            });
            return Ok(made.collect());
        }
        if let Some(for_each) = block.body.attribute("for_each") {
            let span = for_each.value.span;
            let value = self.once(&format!("module.{name} (for_each)"), span, || {
                self.eval(&for_each.value, &Scope::default())
            });
            if !matches!(value.kind, Kind::Map(_) | Kind::Set(_)) {
                return Err(self.not_countable(&address, &value, span));
            }
            let elements = self.elements(&value, span)?;
            if elements.len() > INSTANCES_MAX {
                let message = format!(
                    "`{address}` has {} instances, and {INSTANCES_MAX} are read at most: none of them is read",
                    elements.len()
                );
                return Err(self.fail("terraform-limit", message, span, "this is iterated over"));
            }
            let made = elements.into_iter().filter_map(|(key, element)| {
                let Some(text) = key.as_text() else {
                    let cause = key.cause().unwrap_or_else(|| "a key of for_each is not a string".into());
                    let what = format!("a key of `{address}`; that instance is not read");
                    self.note_unknown(&cause, span, what);
                    self.note_missing(&address, &cause, span);
                    return None;
                };
                let scope = Scope::default().with("each", references::each(key.clone(), element));
                one(Some(key), format!("{address}[\"{text}\"]"), scope)
            });
            return Ok(made.collect());
        }
        Ok(one(None, address, Scope::default()).into_iter().collect())
    }

    fn not_countable(&self, address: &str, value: &Value, span: Span) -> Value {
        if let Some(unknown) = value.as_unknown() {
            self.note_unknown(
                &unknown.cause,
                span,
                format!("how many of `{address}` there are; none is read"),
            );
            return value.clone();
        }
        let message = format!(
            "Invalid count or for_each argument of `{address}`: expected a number up to {INSTANCES_MAX}, a map or a \
             set of strings, found {}",
            value.kind_name()
        );
        self.fail("terraform-value", message, span, "this value")
    }

    /// Arguments that the module does not take.
    fn report_unsupported(&self, name: &str, block: &'a Block) {
        let Some(Ok(index)) = self.module.calls.and_then(|calls| calls.get(name)) else { return };
        let Some(module) = self.modules.get(*index).filter(|module| !module.incomplete) else { return };
        let arguments = block.body.attributes.iter().filter(|it| !META.contains(&it.name.as_str()));
        for argument in arguments.filter(|it| !module.variables.contains_key(it.name.as_str())) {
            let message =
                format!("Unsupported argument: an argument named \"{}\" is not expected here", argument.name);
            let finding = Finding::error("terraform-reference", message)
                .at(argument.name_span, format!("module `{name}` has no variable of this name"));
            self.report(finding);
        }
    }

    /// What the call gives a variable of this module, when a call made it and says so.
    pub(super) fn argument(&self, name: &str) -> Option<Value> {
        let call = self.call.as_ref()?;
        let attribute = call.block.body.attribute(name)?;
        let caller = call.caller.upgrade()?;
        Some(caller.eval(&attribute.value, &call.scope))
    }

    /// What stands before the addresses of this module's resources: `module.NAME.`, nothing in the root module.
    pub(super) fn prefix(&self) -> String {
        self.call.as_ref().map_or_else(String::new, |call| format!("{}.", call.address))
    }

    /// The module in Terraform's sentences.
    pub(super) fn place(&self) -> String {
        self.call.as_ref().map_or_else(|| "the root module".to_owned(), |call| call.address.clone())
    }

    /// Asks the `provider "aws"` block that a resource of this module belongs to: the module's own, or the one that
    /// the call hands on.
    pub(super) fn with_provider<T>(
        &self,
        alias: Option<&str>,
        ask: &dyn Fn(&Evaluator<'a>, &'a Block) -> Option<T>,
    ) -> Option<T> {
        if let Some(block) = super::resources::provider(self.module, alias) {
            return ask(self, block);
        }
        let call = self.call.as_ref()?;
        let caller = call.caller.upgrade()?;
        match handed_on(call.block, alias) {
            Some(alias) => caller.with_provider(alias, ask),
            None if alias.is_none() => caller.with_provider(None, ask),
            None => None,
        }
    }
}

/// The caller's alias of a provider that `providers` hands on; none of them when it isn't said.
fn handed_on<'b>(call: &'b Block, alias: Option<&str>) -> Option<Option<&'b str>> {
    use super::syntax::ExprKind;
    let ExprKind::Object(entries) = &call.body.attribute("providers")?.value.kind else { return None };
    let (_, value) = entries.iter().find(|(key, _)| match key {
        ObjectKey::Word(word, _) => word == "aws" && alias.is_none(),
        ObjectKey::Expr(expr) => {
            let is_aws = match &expr.kind {
                ExprKind::Traversal(root, _) => matches!(&root.kind, ExprKind::Name(name) if name == "aws"),
                ExprKind::Name(name) => name == "aws",
                ExprKind::Text(text) => text == "aws" || text.starts_with("aws."),
                _ => false,
            };
            is_aws && super::resources::provider_alias(expr) == alias
        }
    })?;
    Some(super::resources::provider_alias(value))
}
