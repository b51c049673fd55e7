//! Languages: sets of strings, exactly. Every string operator of a policy is one, and so is every
//! Boolean combination of them.
//!
//! A [`Language`] is a list of patterns and a formula over them. A question runs all patterns side by
//! side over an alphabet of the characters that they name and one for each kind of all the others, and
//! looks at the joint states that come up, cheapest text first: so the first answer is the shortest.
//! Nothing is built in advance. Patterns that make the joint states explode (`*a??????????…`) meet
//! [`STATES_MAX`] or [`STEPS_MAX`], which is an ordinary answer.

mod bank;
mod budget;
mod leaf;
mod parts;
mod shape;
mod tape;

use std::fmt;

pub(crate) use bank::{Observer, is_set};
pub(crate) use budget::Budget;
pub use budget::STEPS_MAX;
#[cfg(test)]
pub(crate) use leaf::variants;
pub(crate) use leaf::{Case, Leaf, tokens_of};
pub(crate) use parts::{LONE, Parts, PartsPlace, TEMPLATE_KEYS, is_template_key};
pub(crate) use shape::Shape;
pub use tape::STATES_MAX;
use tape::walk_where;
pub(crate) use tape::{Reader, Segment, Tape, Visit, walk};

/// A question passed a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge {
    /// How many there would have been, at least.
    pub count: usize,
    /// How many there may be.
    pub limit: usize,
    /// Of what.
    pub measure: Measure,
}

/// What of a question is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Joint states of patterns.
    States,
    /// Combinations of what the parts of a request may be.
    Combinations,
    /// Sets of values that one key may have.
    Sets,
    /// Words of the tables that say what each character does.
    Words,
    /// Steps of all of it.
    Steps,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measure = match self.measure {
            Measure::States => "states",
            Measure::Combinations => "combinations",
            Measure::Sets => "sets of values",
            Measure::Words => "words of tables",
            Measure::Steps => "steps",
        };
        write!(f, "too entangled: {} {measure}, the limit is {}", self.count, self.limit)
    }
}

impl std::error::Error for TooLarge {}

/// A set of strings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Language {
    leaves: Vec<Leaf>,
    /// The formula in postfix order: flat, so that no depth of nesting can exhaust the stack.
    formula: Vec<Step>,
}

/// One step of a formula.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The outcome of a pattern.
    Leaf(usize),
    /// Whether any of the last so many outcomes holds; of none, no.
    AnyOf(usize),
    /// Whether all of the last so many outcomes hold; of none, yes.
    AllOf(usize),
    /// The opposite of the last outcome.
    Not,
}

/// The most members of a finite set that are looked at one by one.
const MEMBERS_MAX: usize = 64;

impl Language {
    /// Every string.
    pub fn all() -> Self {
        Self { leaves: Vec::new(), formula: vec![Step::AllOf(0)] }
    }

    /// No string.
    pub fn none() -> Self {
        Self { leaves: Vec::new(), formula: vec![Step::AnyOf(0)] }
    }

    fn of(leaf: Leaf) -> Self {
        Self { leaves: vec![leaf], formula: vec![Step::Leaf(0)] }
    }

    /// This very string.
    pub fn literal(text: &str) -> Self {
        Self::of(Leaf::literal(text, Case::Exact))
    }

    /// The strings that are the same but for their case, as `StringEqualsIgnoreCase` compares.
    pub fn ignore_case(text: &str) -> Self {
        Self::of(Leaf::literal(text, Case::Fold))
    }

    /// The strings of a pattern with `*` and `?`, as [`pattern::glob`](crate::pattern::glob) matches.
    pub fn glob(pattern: &str) -> Self {
        Self::of(Leaf::glob(pattern, Case::Exact))
    }

    /// As [`Self::glob`], letters of ASCII in either case: actions are compared so.
    pub fn glob_ignore_case(pattern: &str) -> Self {
        Self::of(Leaf::glob(pattern, Case::Ascii))
    }

    /// The strings of an ARN pattern, as [`pattern::arn`](crate::pattern::arn) matches.
    pub fn arn(pattern: &str) -> Self {
        Leaf::arn(&tokens_of(pattern)).map_or_else(Self::none, Self::of)
    }

    /// Strings that begin so.
    pub fn prefix(text: &str) -> Self {
        Self::of(Leaf::literal(text, Case::Exact).then_anything())
    }

    /// Strings that end so.
    pub fn suffix(text: &str) -> Self {
        Self::of(Leaf::literal(text, Case::Exact).after_anything())
    }

    /// A finite set.
    pub fn one_of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::union(texts.into_iter().map(Self::literal))
    }

    /// Strings that are in any of these.
    pub fn union(languages: impl IntoIterator<Item = Self>) -> Self {
        Self::join(languages, Step::AnyOf)
    }

    /// Strings that are in all of these.
    pub fn intersection(languages: impl IntoIterator<Item = Self>) -> Self {
        Self::join(languages, Step::AllOf)
    }

    /// Strings that are not in this one.
    #[must_use]
    pub fn complement(mut self) -> Self {
        self.formula.push(Step::Not);
        self
    }

    /// Strings that are in this one and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self::intersection([self, other.complement()])
    }

    /// The members of a finite set that was made as one; none when there are too many to look at each.
    pub(crate) fn members(&self) -> Option<Vec<String>> {
        let is_union = match self.formula.split_last() {
            Some((Step::AnyOf(count), parts)) => {
                *count == parts.len() && parts.iter().all(|step| matches!(step, Step::Leaf(_)))
            }
            Some((Step::Leaf(_), [])) => true,
            _ => false,
        };
        if !is_union || self.leaves.len() > MEMBERS_MAX {
            return None;
        }
        let mut members: Vec<String> = self.leaves.iter().map(Leaf::text).collect::<Option<_>>()?;
        members.sort_unstable_by(|left, right| (left.len(), left).cmp(&(right.len(), right)));
        members.dedup();
        Some(members)
    }

    fn join(languages: impl IntoIterator<Item = Self>, step: fn(usize) -> Step) -> Self {
        let mut joined = Self { leaves: Vec::new(), formula: Vec::new() };
        let mut count = 0;
        for language in languages {
            let offset = joined.leaves.len();
            joined.leaves.extend(language.leaves);
            joined.formula.extend(language.formula.into_iter().map(|step| match step {
                Step::Leaf(index) => Step::Leaf(index + offset),
                other => other,
            }));
            count += 1;
        }
        joined.formula.push(step(count));
        joined
    }

    /// Whether a string belongs to it.
    pub fn contains(&self, text: &str) -> bool {
        self.holds(|index| self.leaves.get(index).is_some_and(|leaf| leaf.contains(text)))
    }

    /// Whether no string belongs to it.
    ///
    /// # Errors
    /// When the patterns are too entangled.
    pub fn is_empty(&self) -> Result<bool, TooLarge> {
        Ok(self.shortest()?.is_none())
    }

    /// Whether every string of the other belongs to it.
    ///
    /// # Errors
    /// When the patterns are too entangled.
    pub fn includes(&self, other: &Self) -> Result<bool, TooLarge> {
        other.clone().difference(self.clone()).is_empty()
    }

    /// A shortest string, of those the one that reads best: characters of the patterns first, then
    /// lower-case letters. None when there is no string.
    ///
    /// # Errors
    /// When the patterns are too entangled.
    pub fn shortest(&self) -> Result<Option<String>, TooLarge> {
        let mut shortest = None;
        let tape = Tape::single(Shape::Any);
        let may_accept = |is_alive: &dyn Fn(usize) -> bool| self.may_hold(is_alive);
        walk_where(&tape, &[self.observers()], &Budget::new(), may_accept, |found| {
            if !self.accepts(&found.bits, 0) {
                return Visit::GoOn;
            }
            shortest = found.texts.first().cloned();
            Visit::Stop
        })?;
        Ok(shortest)
    }

    /// An observer for each pattern.
    pub(crate) fn observers(&self) -> Vec<Observer> {
        self.leaves.iter().map(|leaf| Observer { leaves: vec![leaf.clone()] }).collect()
    }

    /// Whether the outcomes of [`Self::observers`], from bit `offset` on, make a member.
    pub(crate) fn accepts(&self, bits: &[u64], offset: usize) -> bool {
        self.holds(|index| is_set(bits, offset + index))
    }

    /// Whether the formula may come out true where only some patterns may still match.
    fn may_hold(&self, is_alive: impl Fn(usize) -> bool) -> bool {
        // Of each step, whether it may be true and whether it may be false.
        let mut stack: Vec<(bool, bool)> = Vec::with_capacity(self.formula.len());
        for step in &self.formula {
            let outcome = match step {
                Step::Leaf(index) => (is_alive(*index), true),
                Step::AnyOf(count) => {
                    let parts = stack.drain(stack.len().saturating_sub(*count)..);
                    parts.fold((false, true), |all, part| (all.0 || part.0, all.1 && part.1))
                }
                Step::AllOf(count) => {
                    let parts = stack.drain(stack.len().saturating_sub(*count)..);
                    parts.fold((true, false), |all, part| (all.0 && part.0, all.1 || part.1))
                }
                Step::Not => {
                    let part = stack.pop().unwrap_or((true, true));
                    (part.1, part.0)
                }
            };
            stack.push(outcome);
        }
        stack.pop().is_none_or(|part| part.0)
    }

    fn holds(&self, leaf: impl Fn(usize) -> bool) -> bool {
        let mut stack: Vec<bool> = Vec::with_capacity(self.formula.len());
        for step in &self.formula {
            let outcome = match step {
                Step::Leaf(index) => leaf(*index),
                Step::AnyOf(count) => {
                    stack.drain(stack.len().saturating_sub(*count)..).fold(false, |any, one| any | one)
                }
                Step::AllOf(count) => {
                    stack.drain(stack.len().saturating_sub(*count)..).fold(true, |all, one| all & one)
                }
                Step::Not => !stack.pop().unwrap_or(false),
            };
            stack.push(outcome);
        }
        stack.pop().unwrap_or(false)
    }
}
