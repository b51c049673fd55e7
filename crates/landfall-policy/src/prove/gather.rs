//! What a set of policies asks of each part of a request.

use crate::ast::{ComparisonKind, Condition, PatternClause, Policy, Relation, Version};

use crate::condition::ANY_ARN;
use crate::decide::TRUST_ACTIONS;
use crate::pattern;
use crate::region::{Coordinate, Others, Product, Slot};
use crate::request;
use crate::set::{Case, Leaf, Observer, tokens_of};

/// One condition and whether its policy has variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'p> {
    pub(super) condition: &'p Condition,
    pub(super) variables: bool,
}

/// Everything that is asked of one part of a request.
#[derive(Debug)]
pub(super) struct SlotQuestion<'p> {
    pub(super) slot: Slot,
    /// Questions about the text.
    pub(super) observers: Vec<Observer>,
    /// Conditions that read it as a number, a date or an address.
    pub(super) typed: Vec<Asked<'p>>,
    /// All conditions on it.
    pub(super) conditions: Vec<Asked<'p>>,
}

/// The questions of some policies to the requests of a product.
#[derive(Debug)]
pub(super) struct Questions<'p> {
    pub(super) slots: Vec<SlotQuestion<'p>>,
    /// Why an answer may not be a proof.
    pub(super) causes: Vec<String>,
    /// The keys whose values are known.
    pub(super) known: request::Context,
}

impl<'p> Questions<'p> {
    pub(super) fn new(policies: &[&'p Policy], product: &Product) -> Self {
        let mut questions = Self { slots: Vec::new(), causes: Vec::new(), known: known_keys(product) };
        if !questions.is_fixed(&Slot::Action, product) {
            // A role's trust policy decides these, and no other policy of the resource does.
            let leaves = TRUST_ACTIONS.iter().map(|action| Leaf::literal(action, Case::Ascii)).collect();
            questions.ask(Slot::Action, [Observer { leaves }]);
        }
        for policy in policies {
            let variables = policy.version == Version::V2012;
            for statement in &policy.statements {
                questions.action(&statement.action, product);
                if let Some(resource) = &statement.resource {
                    questions.resource(resource, variables, product);
                }
                for condition in &statement.conditions {
                    questions.condition(Asked { condition, variables }, product);
                }
            }
        }
        for question in &mut questions.slots {
            question.observers.retain(|observer| !observer.leaves.is_empty());
            question.observers.sort_unstable();
            question.observers.dedup();
        }
        questions.causes.sort_unstable();
        questions.causes.dedup();
        questions
    }

    /// Adds questions that no policy asks, to tell more values apart.
    pub(super) fn ask(&mut self, slot: Slot, observers: impl IntoIterator<Item = Observer>) {
        self.slot(slot).observers.extend(observers);
    }

    pub(super) fn of(&self, slot: &Slot) -> Option<&SlotQuestion<'p>> {
        self.slots.iter().find(|question| question.slot.is(slot))
    }

    fn slot(&mut self, slot: Slot) -> &mut SlotQuestion<'p> {
        let index = self.slots.iter().position(|question| question.slot.is(&slot)).unwrap_or_else(|| {
            let (observers, typed, conditions) = (Vec::new(), Vec::new(), Vec::new());
            self.slots.push(SlotQuestion { slot, observers, typed, conditions });
            self.slots.len() - 1
        });
        self.slots.get_mut(index).expect("INVARIANT: the index was found or just pushed")
    }

    /// Nothing is asked about a value that is known: the evaluator will look at it.
    fn is_fixed(&self, slot: &Slot, product: &Product) -> bool {
        match product.coordinates.iter().find(|coordinate| coordinate.covers(slot)) {
            Some(Coordinate::Fixed { .. }) => true,
            Some(Coordinate::Free(_)) => false,
            None => product.others == Others::Absent,
        }
    }

    fn action(&mut self, clause: &PatternClause, product: &Product) {
        if self.is_fixed(&Slot::Action, product) {
            return;
        }
        let leaves = clause.patterns.iter().map(|one| Leaf::glob(&one.value, Case::Ascii)).collect();
        self.ask(Slot::Action, [Observer { leaves }]);
    }

    fn resource(&mut self, clause: &PatternClause, variables: bool, product: &Product) {
        let is_fixed = self.is_fixed(&Slot::Resource, product);
        let mut leaves = Vec::new();
        for one in &clause.patterns {
            if is_fixed && !pattern::has_variable(&one.value) {
                continue;
            }
            match self.tokens(&one.value, variables, product) {
                Some(tokens) => leaves.extend(Leaf::arn(&tokens)),
                None => continue,
            }
        }
        if !is_fixed {
            self.ask(Slot::Resource, [Observer { leaves }]);
        }
    }

    fn condition(&mut self, asked: Asked<'p>, product: &Product) {
        let Asked { condition, variables } = asked;
        let slot = Slot::Key(condition.key.value.clone());
        let kind = condition.operator.comparison.kind;
        let is_fixed = self.is_fixed(&slot, product);
        let mut leaves = Vec::new();
        for one in &condition.values {
            if is_fixed && !pattern::has_variable(&one.value) {
                continue;
            }
            leaves.extend(self.leaf(kind, &one.value, variables, product));
        }
        if is_fixed {
            return;
        }
        let question = self.slot(slot);
        question.conditions.push(asked);
        match kind {
            ComparisonKind::Numeric(_) | ComparisonKind::Date(_) | ComparisonKind::IpAddress => {
                question.typed.push(asked);
            }
            ComparisonKind::Null => {}
            ComparisonKind::Arn => {
                let is_arn = vec![Leaf::glob(ANY_ARN, Case::Exact)];
                question.observers.extend([Observer { leaves }, Observer { leaves: is_arn }]);
            }
            ComparisonKind::StringEquals
            | ComparisonKind::StringEqualsIgnoreCase
            | ComparisonKind::StringLike
            | ComparisonKind::Bool
            | ComparisonKind::Binary => question.observers.push(Observer { leaves }),
        }
    }

    fn leaf(
        &mut self,
        kind: ComparisonKind,
        value: &str,
        variables: bool,
        product: &Product,
    ) -> Option<Leaf> {
        let text = |tokens: &[pattern::Token]| tokens.iter().map(|token| token.char()).collect::<String>();
        match kind {
            ComparisonKind::Numeric(_)
            | ComparisonKind::Date(_)
            | ComparisonKind::IpAddress
            | ComparisonKind::Null => None,
            ComparisonKind::Binary => Some(Leaf::literal(value, Case::Exact)),
            // All that is not `true` is false: one question, whatever is wanted.
            ComparisonKind::Bool => Some(Leaf::literal("true", Case::Ascii)),
            ComparisonKind::StringEquals => {
                self.tokens(value, variables, product).map(|it| Leaf::literal(&text(&it), Case::Exact))
            }
            ComparisonKind::StringEqualsIgnoreCase => {
                self.tokens(value, variables, product).map(|it| Leaf::literal(&text(&it), Case::Fold))
            }
            ComparisonKind::StringLike => self.tokens(value, variables, product).map(|it| Leaf::tokens(&it)),
            ComparisonKind::Arn => self.tokens(value, variables, product).and_then(|it| Leaf::arn(&it)),
        }
    }

    /// A pattern with its variables filled in. None when one can't be: where its key is certainly
    /// missing the pattern matches nothing, and where it isn't known what it holds, that is a cause.
    fn tokens(&mut self, value: &str, variables: bool, product: &Product) -> Option<Vec<pattern::Token>> {
        if !variables || !pattern::has_variable(value) {
            return Some(tokens_of(value));
        }
        let mut rest = value;
        while let Some((_, variable, after)) = pattern::next_variable(rest) {
            let (key, _) = pattern::key_and_default(variable);
            if !matches!(variable, "*" | "?" | "$") && may_vary(key, product) {
                self.causes.push(format!("`{value}` depends on `{key}`, which is not known"));
                return None;
            }
            rest = after;
        }
        pattern::expand(value, &self.known).ok()
    }
}

/// The keys whose values are known.
pub(super) fn known_keys(product: &Product) -> request::Context {
    let mut known = request::Context::new();
    for coordinate in &product.coordinates {
        if let Coordinate::Fixed { slot: Slot::Key(name), values } = coordinate {
            known.set_all(name.clone(), values.clone());
        }
    }
    known
}

/// Whether a key may have other values than those that are known.
fn may_vary(key: &str, product: &Product) -> bool {
    let slot = Slot::Key(key.to_owned());
    match product.coordinates.iter().find(|coordinate| coordinate.covers(&slot)) {
        Some(Coordinate::Fixed { .. }) => false,
        Some(Coordinate::Free(_)) => true,
        None => product.others != Others::Absent && product.others.coordinate(key).is_some(),
    }
}

/// A condition on an id that asks for one number: ids are written in one way only, so it is a question
/// about the text.
pub(super) fn id_observer(condition: &Condition) -> Option<Observer> {
    if condition.operator.comparison.kind != ComparisonKind::Numeric(Relation::Equals) {
        return None;
    }
    let plain = |value: &str| {
        let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
        (is_plain && !value.is_empty()).then(|| Leaf::literal(value, Case::Exact))
    };
    let leaves: Option<Vec<Leaf>> = condition.values.iter().map(|value| plain(&value.value)).collect();
    leaves.map(|leaves| Observer { leaves })
}
