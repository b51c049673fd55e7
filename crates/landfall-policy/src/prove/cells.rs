//! A product cut into cells: within one, every condition of the policies in question has the same
//! outcome, so one request speaks for all. The decision about it is the evaluator's own.

use std::collections::BTreeSet;

use landfall_types::Spanned;

use super::gather::{Asked, Questions, SlotQuestion, id_observer, known_keys};
use super::points::points;
use crate::ast::{Condition, Policy, Qualifier, Version};
use crate::condition;
use crate::decide::is_decided_by_trust;
use crate::matching;
use crate::region::{Coordinate, Free, Product, Slot};
use crate::request::{Context, Request};
use crate::set::{Budget, Measure, Observer, Shape, Tape, TooLarge, Visit, walk};

/// The most combinations of cells that one question looks at in each product of its region.
pub const COMBINATIONS_MAX: usize = 200_000;

/// Up to how many combinations all are looked at to find the cheapest witness.
const CHEAPEST_AMONG_MAX: usize = 256;

/// The most outcomes of one key with several values.
const SETS_MAX: usize = 1_000;

/// The values of one coordinate that stand for all others with the same outcomes.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// What each slot has: one value for actions and resources; no entry for an absent key.
    pub(super) values: Vec<(Slot, Vec<String>)>,
    cost: u64,
    /// Which tape it was read from, and its parts.
    source: Option<(usize, Vec<String>)>,
}

/// A product with its cells.
#[derive(Debug)]
pub(super) struct Cut<'r> {
    product: &'r Product,
    coordinates: Vec<Coordinate>,
    pub(super) cells: Vec<Vec<Cell>>,
    /// Why an answer that found no witness may not be a proof.
    pub(super) causes: Vec<String>,
    budget: &'r Budget,
    /// What it costs to make one request and to decide it, in steps.
    request_steps: usize,
}

/// Further questions that tell cells apart.
pub(super) type Probes = [(Slot, Vec<Observer>)];

impl<'r> Cut<'r> {
    /// Cuts a product by everything that the policies ask.
    pub(super) fn new(
        product: &'r Product,
        policies: &[&Policy],
        probes: &Probes,
        budget: &'r Budget,
    ) -> Result<Self, TooLarge> {
        let mut questions = Questions::new(policies, product);
        for (slot, observers) in probes {
            questions.ask(slot.clone(), observers.iter().cloned());
        }
        let mut coordinates = product.coordinates.clone();
        for question in &questions.slots {
            let Slot::Key(name) = &question.slot else { continue };
            if !product.coordinates.iter().any(|coordinate| coordinate.covers(&question.slot)) {
                coordinates.extend(product.others.coordinate(name));
            }
        }
        let mut causes = std::mem::take(&mut questions.causes);
        let mut cells = Vec::with_capacity(coordinates.len());
        for coordinate in &coordinates {
            cells.push(cells_of(coordinate, &questions, budget, &mut causes)?);
        }
        let request_steps = coordinates.len() * COORDINATE_STEPS + decision_steps(policies);
        Ok(Self { product, coordinates, cells, causes, budget, request_steps })
    }

    /// As [`Self::new`], keeping of the cells of a coordinate that let the same statements apply only the
    /// cheapest: a decision depends on nothing else.
    pub(super) fn merged(
        product: &'r Product,
        policies: &[&Policy],
        budget: &'r Budget,
    ) -> Result<Self, TooLarge> {
        let mut cut = Self::new(product, policies, &[], budget)?;
        // Where a variable may be anything, no cell speaks for another.
        if cut.causes.is_empty() {
            let known = known_keys(product);
            for (coordinate, cells) in cut.coordinates.iter().zip(&mut cut.cells) {
                if cells.len() > 1 {
                    budget.spend(cells.len().saturating_mul(decision_steps(policies)))?;
                    let mut seen = BTreeSet::new();
                    cells.retain(|cell| seen.insert(signature(cell, coordinate, policies, &known)));
                }
            }
        }
        Ok(cut)
    }

    /// The number of combinations.
    fn combinations(&self) -> usize {
        self.cells.iter().fold(1, |count, cells| count.saturating_mul(cells.len()))
    }

    /// The keys of one coordinate.
    pub(super) fn keys(&self, coordinate: usize) -> Vec<String> {
        let slots = match self.coordinates.get(coordinate) {
            Some(Coordinate::Fixed { slot, .. }) => std::slice::from_ref(slot),
            Some(Coordinate::Free(free)) => free.slots.as_slice(),
            None => &[],
        };
        slots.iter().map(|slot| name(slot).to_owned()).collect()
    }

    /// Whether to look further once all witnesses are found: for cheaper ones, where that is soon done.
    pub(super) fn enough(&self, is_found: bool) -> Visit {
        if is_found && self.combinations() > CHEAPEST_AMONG_MAX { Visit::Stop } else { Visit::GoOn }
    }

    /// Looks at every combination, the cheapest cell of each coordinate first.
    pub(super) fn each(&self, mut visit: impl FnMut(&Choice<'_>) -> Visit) -> Result<(), TooLarge> {
        let count = self.combinations();
        if count > COMBINATIONS_MAX {
            return Err(TooLarge { count, limit: COMBINATIONS_MAX, measure: Measure::Combinations });
        }
        let mut indices = vec![0; self.cells.len()];
        for _ in 0..count {
            self.budget.spend(self.request_steps)?;
            let chosen = self.cells.iter().zip(&indices).filter_map(|(cells, index)| cells.get(*index));
            let cost = chosen.map(|cell| cell.cost).sum();
            let request = self.request(&indices);
            if visit(&Choice { indices: &indices, request: &request, cost }) == Visit::Stop {
                return Ok(());
            }
            for (index, cells) in indices.iter_mut().zip(&self.cells) {
                *index += 1;
                if *index < cells.len() {
                    break;
                }
                *index = 0;
            }
        }
        Ok(())
    }

    /// The request of a combination.
    pub(super) fn request(&self, indices: &[usize]) -> Request {
        let chosen = self.cells.iter().zip(indices).filter_map(|(cells, index)| cells.get(*index));
        self.request_of(&chosen.collect::<Vec<_>>())
    }

    fn request_of(&self, chosen: &[&Cell]) -> Request {
        let mut request = Request {
            principal: self.product.principal.clone(),
            action: String::new(),
            resource: String::new(),
            resource_account: self.product.resource_account.clone(),
            context: Context::new(),
        };
        for (slot, values) in chosen.iter().flat_map(|cell| &cell.values) {
            match slot {
                Slot::Action => request.action = values.concat(),
                Slot::Resource => request.resource = values.concat(),
                Slot::Key(name) => request.context.set_all(name.clone(), values.clone()),
            }
        }
        request
    }

    /// The request of a combination, its free parts replaced by ones that read like the real thing as
    /// long as `is_same` says that nothing changes.
    pub(super) fn plausible(
        &self,
        indices: &[usize],
        is_same: impl Fn(&Request) -> bool,
    ) -> Result<Request, TooLarge> {
        let mut chosen: Vec<Cell> =
            self.cells.iter().zip(indices).filter_map(|(cells, index)| cells.get(*index).cloned()).collect();
        for at in 0..chosen.len() {
            let Some(Coordinate::Free(free)) = self.coordinates.get(at) else { continue };
            let Some((tape_index, parts)) = chosen.get(at).and_then(|cell| cell.source.clone()) else {
                continue;
            };
            let Some(tape) = free.tapes.get(tape_index) else { continue };
            let mut parts = parts;
            for (index, segment) in tape.segments.iter().enumerate() {
                for candidate in candidates(&segment.shape, parts.get(index)) {
                    let mut changed = parts.clone();
                    if let Some(part) = changed.get_mut(index) {
                        *part = candidate;
                    }
                    let Some(cell) = read(free, tape_index, changed.clone(), 0) else { continue };
                    let before = chosen.get(at).cloned();
                    if let Some(place) = chosen.get_mut(at) {
                        *place = cell;
                    }
                    self.budget.spend(self.request_steps)?;
                    let all: Vec<&Cell> = chosen.iter().collect();
                    if is_same(&self.request_of(&all)) {
                        parts = changed;
                        break;
                    }
                    if let (Some(place), Some(before)) = (chosen.get_mut(at), before) {
                        *place = before;
                    }
                }
            }
        }
        let all: Vec<&Cell> = chosen.iter().collect();
        Ok(self.request_of(&all))
    }
}

/// What it costs to decide a request by these policies, in steps.
fn decision_steps(policies: &[&Policy]) -> usize {
    let statements = policies.iter().flat_map(|policy| &policy.statements);
    statements
        .map(|statement| {
            let patterns = [Some(&statement.action), statement.resource.as_ref()].into_iter().flatten();
            let patterns = patterns.flat_map(|clause| &clause.patterns);
            let values = statement.conditions.iter().flat_map(|condition| &condition.values);
            let principals = statement.principal.as_ref().map_or(0, |clause| clause.principals.len());
            let texts = patterns.chain(values).map(|text| TEXT_STEPS + text.value.len());
            TEXT_STEPS * (1 + principals + statement.conditions.len()) + texts.sum::<usize>()
        })
        .sum()
}

/// What one coordinate of a request costs, in steps.
const COORDINATE_STEPS: usize = 200;

/// What it costs to compare a text beside its length, in steps.
const TEXT_STEPS: usize = 16;

/// Of every statement, whether it would apply if only this part of a request were looked at; and which policy
/// of the resource is asked.
fn signature(cell: &Cell, coordinate: &Coordinate, policies: &[&Policy], known: &Context) -> Vec<bool> {
    let value = |wanted: &Slot| {
        let found = cell.values.iter().find(|(slot, _)| slot == wanted);
        found.and_then(|(_, values)| values.first()).map(String::as_str)
    };
    let mut context = known.clone();
    for (slot, values) in &cell.values {
        if let Slot::Key(name) = slot {
            context.set_all(name.clone(), values.clone());
        }
    }
    let covers = |condition: &&Condition| coordinate.covers_key(&condition.key.value);
    let mut signature = vec![value(&Slot::Action).is_some_and(is_decided_by_trust)];
    for policy in policies {
        let variables = policy.version == Version::V2012;
        for statement in &policy.statements {
            let action =
                value(&Slot::Action).is_none_or(|action| matching::names_action(&statement.action, action));
            let resource = value(&Slot::Resource).is_none_or(|resource| {
                let clause = statement.resource.as_ref();
                clause.is_none_or(|clause| matching::names_resource(clause, resource, &context, variables))
            });
            let mut conditions = statement.conditions.iter().filter(covers);
            signature
                .push(action && resource && conditions.all(|one| condition::holds(one, &context, variables)));
        }
    }
    signature
}

/// One combination.
#[derive(Debug)]
pub(super) struct Choice<'c> {
    /// Which cell of each coordinate.
    pub(super) indices: &'c [usize],
    pub(super) request: &'c Request,
    pub(super) cost: u64,
}

/// Texts to try in place of a part, best first.
fn candidates(shape: &Shape, text: Option<&String>) -> Vec<String> {
    let Some(text) = text else { return Vec::new() };
    match shape {
        Shape::Text(_) | Shape::Any => return Vec::new(),
        Shape::Parts(parts) => {
            return parts.candidates(text).into_iter().filter(|one| shape.admits(one)).collect();
        }
        _ => {}
    }
    let mut candidates: Vec<String> = shape.plausible().iter().map(|one| (*one).to_owned()).collect();
    if !matches!(shape, Shape::Id | Shape::Commit) {
        let mut stem = text.clone();
        stem.pop();
        for beginning in [&stem, text] {
            let is_open = beginning.is_empty() || beginning.ends_with(['-', '/', '.', '_', ':']);
            let ending = shape.ending();
            candidates.push(if is_open {
                format!("{beginning}{ending}")
            } else {
                format!("{beginning}-{ending}")
            });
        }
    }
    candidates.retain(|candidate| shape.admits(candidate));
    candidates
}

/// The cell of these parts; none when a slot's language does not hold what it reads.
fn read(free: &Free, tape_index: usize, parts: Vec<String>, cost: u64) -> Option<Cell> {
    let tape = free.tapes.get(tape_index)?;
    let mut values = Vec::with_capacity(free.slots.len());
    for (index, (slot, language)) in free.slots.iter().zip(&free.languages).enumerate() {
        let value = tape.value(index, &parts)?;
        if language.as_ref().is_some_and(|language| !language.contains(&value)) {
            return None;
        }
        values.push((slot.clone(), vec![value]));
    }
    Some(Cell { values, cost, source: Some((tape_index, parts)) })
}

fn cells_of(
    coordinate: &Coordinate,
    questions: &Questions<'_>,
    budget: &Budget,
    causes: &mut Vec<String>,
) -> Result<Vec<Cell>, TooLarge> {
    let free = match coordinate {
        Coordinate::Fixed { slot, values } => {
            return Ok(vec![Cell { values: vec![(slot.clone(), values.clone())], cost: 0, source: None }]);
        }
        Coordinate::Free(free) => free,
    };
    // What nobody asks about has one cell.
    if free.presence.absent && free.slots.iter().all(|slot| questions.of(slot).is_none()) {
        return Ok(vec![Cell { values: Vec::new(), cost: 0, source: None }]);
    }
    if let ([slot], [Some(language)], true) = (&*free.slots, &*free.languages, is_any_text(free))
        && let Some(members) = language.members()
    {
        let one = members.into_iter().enumerate().map(|(cost, text)| Cell {
            values: vec![(slot.clone(), vec![text.to_owned()])],
            cost: cost as u64,
            source: None,
        });
        return finish(free, one.collect(), questions, budget);
    }
    let mut observers = Vec::with_capacity(free.slots.len());
    let mut points = Vec::new();
    for slot in &free.slots {
        let question = questions.of(slot);
        let mut of_slot = question.map_or_else(Vec::new, |question| question.observers.clone());
        if let Some(question) = question.filter(|question| !question.typed.is_empty()) {
            if is_any_text(free) {
                points = typed_cells(free, question, budget, causes)?;
                if of_slot.is_empty() {
                    return finish(free, points, questions, budget);
                }
                causes.push(format!("`{}` is compared both as a text and by order", name(slot)));
            } else {
                of_slot.extend(id_observers(free, question, causes));
            }
        }
        observers.push(of_slot);
    }
    let mut cells = text_cells(free, &observers, budget)?;
    cells.extend(points);
    finish(free, cells, questions, budget)
}

fn name(slot: &Slot) -> &str {
    match slot {
        Slot::Action => "Action",
        Slot::Resource => "Resource",
        Slot::Key(name) => name,
    }
}

/// Adds what isn't one value: absence, and several values.
fn finish(
    free: &Free,
    one: Vec<Cell>,
    questions: &Questions<'_>,
    budget: &Budget,
) -> Result<Vec<Cell>, TooLarge> {
    let mut cells = Vec::new();
    let conditions = free.slots.first().and_then(|slot| questions.of(slot));
    let conditions = conditions.map_or(&[][..], |question| question.conditions.as_slice());
    if free.presence.absent {
        cells.push(Cell { values: Vec::new(), cost: 0, source: None });
    }
    if free.presence.many {
        cells.extend(sets(&one, conditions, questions, free.presence.one, budget)?);
    }
    if free.presence.one {
        cells.extend(one);
    }
    cells.sort_by_key(|cell| cell.cost);
    Ok(cells)
}

fn is_any_text(free: &Free) -> bool {
    let any = Tape::single(Shape::Any);
    free.slots.len() == 1 && free.tapes.first() == Some(&any)
}

/// One cell for each joint outcome of the observers.
fn text_cells(free: &Free, observers: &[Vec<Observer>], budget: &Budget) -> Result<Vec<Cell>, TooLarge> {
    let mut all = Vec::with_capacity(observers.len());
    let mut held = Vec::with_capacity(observers.len());
    let mut offset = 0;
    for (observers, language) in observers.iter().zip(&free.languages) {
        let mut of_slot = observers.clone();
        held.push(language.as_ref().map(|language| (language, offset + of_slot.len())));
        of_slot.extend(language.iter().flat_map(|language| language.observers()));
        offset += of_slot.len();
        all.push(of_slot);
    }
    let mut seen = BTreeSet::new();
    let mut cells = Vec::new();
    for (tape_index, tape) in free.tapes.iter().enumerate() {
        walk(tape, &all, budget, |found| {
            let is_held =
                held.iter().flatten().all(|(language, offset)| language.accepts(&found.bits, *offset));
            if is_held && seen.insert(found.bits.clone()) {
                cells.extend(read(free, tape_index, found.texts.clone(), found.cost));
            }
            Visit::GoOn
        })?;
    }
    Ok(cells)
}

/// Cells of a key that is read as a number, a date or an address.
fn typed_cells(
    free: &Free,
    question: &SlotQuestion<'_>,
    budget: &Budget,
    causes: &mut Vec<String>,
) -> Result<Vec<Cell>, TooLarge> {
    let mut seen = BTreeSet::new();
    let mut cells = Vec::new();
    let mut left_out = false;
    let asked = question.typed.iter().map(|asked| asked.condition.values.len()).sum::<usize>();
    for (index, point) in points(&question.typed, budget)?.into_iter().enumerate() {
        budget.spend(asked.saturating_mul(TYPED_STEPS + point.len()))?;
        let context = Context::new();
        let outcomes: Vec<bool> = question
            .typed
            .iter()
            .flat_map(|asked| {
                let kind = asked.condition.operator.comparison.kind;
                let fits = |value: &Spanned<String>| {
                    condition::fits(kind, &value.value, &point, &context, false) == Some(true)
                };
                // What is no address fits no range, and isn't outside of one either.
                let is_comparable = condition::is_comparable(kind, &point);
                asked.condition.values.iter().map(fits).chain([is_comparable]).collect::<Vec<_>>()
            })
            .collect();
        match read(free, 0, vec![point], index as u64) {
            Some(cell) if seen.insert(outcomes) => cells.push(cell),
            Some(_) => {}
            None => left_out = true,
        }
    }
    if left_out {
        causes.push(format!("`{}` is held to texts and compared by order", name(&question.slot)));
    }
    Ok(cells)
}

/// What it costs to compare two numbers, dates or addresses, in steps.
const TYPED_STEPS: usize = 100;

/// Numbers on a tape: ids, compared for equality.
fn id_observers(free: &Free, question: &SlotQuestion<'_>, causes: &mut Vec<String>) -> Vec<Observer> {
    let is_id = free.slots.iter().position(|slot| slot.is(&question.slot)).is_some_and(|index| {
        free.tapes.iter().all(|tape| {
            let read = tape.segments.iter().filter(|part| part.readers.iter().any(|one| one.slot == index));
            read.map(|part| &part.shape).eq([&Shape::Id])
        })
    });
    let observers = question.typed.iter().map(|asked| id_observer(asked.condition).filter(|_| is_id));
    observers
        .filter_map(|observer| {
            if observer.is_none() {
                causes.push(format!("`{}` is not compared by order here", name(&question.slot)));
            }
            observer
        })
        .collect()
}

/// Sets of several values: one for each joint outcome of the conditions, which look at all values or
/// for any of them.
fn sets(
    one: &[Cell],
    asked: &[Asked<'_>],
    questions: &Questions<'_>,
    has_singles: bool,
    budget: &Budget,
) -> Result<Vec<Cell>, TooLarge> {
    let outcomes = |value: &str| -> Vec<bool> {
        let holds = |asked: &Asked<'_>| {
            let Asked { condition, variables } = *asked;
            let compares_nothing =
                condition.operator.qualifier.is_none() && condition.multivalued == Some(true);
            !compares_nothing && condition::value_holds(condition, value, &questions.known, variables)
        };
        asked.iter().map(holds).collect()
    };
    let values: Vec<(&Cell, &String, Vec<bool>)> = one
        .iter()
        .filter_map(|cell| {
            let value = cell.values.first()?.1.first()?;
            Some((cell, value, outcomes(value)))
        })
        .collect();
    // The same value twice is a set that says no more than the value: needed where there are no singles.
    let singles = values.iter().map(|(_, _, outcomes)| outcomes.clone());
    let mut seen: BTreeSet<Vec<bool>> = singles.filter(|_| has_singles).collect();
    let mut sets: Vec<(Cell, Vec<bool>)> = Vec::new();
    let mut open: Vec<(Cell, Vec<bool>)> =
        values.iter().map(|(cell, _, outcomes)| ((*cell).clone(), outcomes.clone())).collect();
    while let Some((set, before)) = open.pop() {
        budget.spend(values.len().saturating_mul(TEXT_STEPS + asked.len()))?;
        for (cell, value, outcomes) in &values {
            let joint: Vec<bool> = asked
                .iter()
                .zip(before.iter().zip(outcomes))
                .map(|(asked, (left, right))| join(*asked, *left, *right))
                .collect();
            if !seen.insert(joint.clone()) {
                continue;
            }
            if seen.len() > SETS_MAX {
                return Err(TooLarge { count: seen.len(), limit: SETS_MAX, measure: Measure::Sets });
            }
            let mut larger = set.clone();
            larger.values.iter_mut().for_each(|(_, values)| values.push((*value).clone()));
            (larger.cost, larger.source) = (larger.cost.saturating_add(cell.cost), None);
            sets.push((larger.clone(), joint.clone()));
            open.push((larger, joint));
        }
    }
    Ok(sets.into_iter().map(|(cell, _)| cell).collect())
}

/// A condition over a set, from its outcomes over two parts of it.
fn join(asked: Asked<'_>, left: bool, right: bool) -> bool {
    match asked.condition.operator.qualifier {
        Some(Qualifier::ForAllValues) => left && right,
        Some(Qualifier::ForAnyValue) => left || right,
        None => false,
    }
}
