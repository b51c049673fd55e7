//! Several values that hang together, written as one text: the subject of a token holds its repository,
//! which is a claim of its own. Every part of the tape says which values read it, so that patterns on
//! any of them run over the same characters, and their joint outcomes are found by one walk.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use super::TooLarge;
use super::bank::{Bank, Observer, WORD};
use super::shape::Shape;

/// The most joint states of one walk. Real policies need a few hundred.
pub const STATES_MAX: usize = 20_000;

/// Parts in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tape {
    pub(crate) segments: Vec<Segment>,
}

/// One part and who reads it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Segment {
    pub(crate) shape: Shape,
    pub(crate) readers: Vec<Reader>,
}

/// A value that takes in a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    /// Which value.
    pub(crate) slot: usize,
    /// Whether it reads a colon as `%3A`, as subjects of GitHub do.
    pub(crate) escaped: bool,
}

/// One joint outcome and the cheapest way to it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Found {
    /// For each observer of each slot, in order, whether it accepts.
    pub(crate) bits: Vec<u64>,
    /// The parts of the tape.
    pub(crate) texts: Vec<String>,
    /// Length first, then how readable it is.
    pub(crate) cost: u64,
}

/// Whether a walk goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Visit {
    /// Look for more outcomes.
    GoOn,
    /// This was enough.
    Stop,
}

impl Tape {
    /// A tape that is one part, read by slot 0.
    pub(crate) fn single(shape: Shape) -> Self {
        Self { segments: vec![Segment { shape, readers: vec![Reader { slot: 0, escaped: false }] }] }
    }

    /// What a slot reads when the parts are these; none when no part belongs to it.
    pub(crate) fn value(&self, slot: usize, texts: &[String]) -> Option<String> {
        let mut value = None;
        for (segment, text) in self.segments.iter().zip(texts) {
            let Some(reader) = segment.readers.iter().find(|reader| reader.slot == slot) else { continue };
            let value = value.get_or_insert_with(String::new);
            if reader.escaped {
                value.push_str(&text.replace(':', ESCAPED_COLON));
            } else {
                value.push_str(text);
            }
        }
        value
    }
}

/// Walks over a tape and reports every joint outcome of the observers once, cheapest text first.
///
/// # Errors
/// When more than [`STATES_MAX`] joint states come up.
pub(crate) fn walk(
    tape: &Tape,
    observers: &[Vec<Observer>],
    visit: impl FnMut(&Found) -> Visit,
) -> Result<(), TooLarge> {
    walk_where(tape, observers, |_| true, visit)
}

/// As [`walk`], leaving out what can't lead to anything: `may_accept` is told of each observer of slot 0
/// whether it may still accept.
pub(crate) fn walk_where(
    tape: &Tape,
    observers: &[Vec<Observer>],
    may_accept: impl Fn(&dyn Fn(usize) -> bool) -> bool,
    mut visit: impl FnMut(&Found) -> Visit,
) -> Result<(), TooLarge> {
    let walk = Walk::new(tape, observers);
    let mut search = Search::new(walk.first_state());
    let mut seen: BTreeSet<Vec<u64>> = BTreeSet::new();
    let mut scratch = Vec::new();
    while let Some((node, cost)) = search.pop() {
        let state = search.state(node);
        let segment = segment_of(&state);
        let Some(current) = tape.segments.get(segment) else {
            let bits = state.get(walk.bits_at..).unwrap_or(&[]).to_vec();
            if seen.insert(bits.clone()) {
                let found = Found { bits, texts: search.texts(node, tape, &walk.symbols), cost };
                if visit(&found) == Visit::Stop {
                    return Ok(());
                }
            }
            continue;
        };
        if !may_accept(&|observer| walk.is_alive(&state, observer)) {
            continue;
        }
        if walk.is_read(segment) {
            if current.shape.may_end(shape_state_of(&state)) {
                walk.leave(&state, segment, &mut scratch);
                search.push(&scratch, Edge { parent: node, symbol: None }, cost)?;
            }
            for (symbol, next) in walk.choices(&state, current) {
                walk.read(&state, segment, symbol, next, &mut scratch);
                let cost = cost + CHARACTER_COST + walk.rank(symbol, current);
                search.push(&scratch, Edge { parent: node, symbol: Some(symbol) }, cost)?;
            }
        } else {
            walk.leave(&state, segment, &mut scratch);
            search.push(&scratch, Edge { parent: node, symbol: None }, cost)?;
        }
    }
    Ok(())
}

/// A walk's tables. A state is: part and state of its shape in the first word, then the positions of
/// every slot's bank, then the bits of the slots that are read to their end.
struct Walk<'t> {
    tape: &'t Tape,
    symbols: Vec<char>,
    ranks: Vec<u64>,
    banks: Vec<Bank>,
    /// Where each bank's positions begin in a state.
    bank_at: Vec<usize>,
    bits_at: usize,
    bits_words: usize,
    /// Where each slot's bits begin.
    offsets: Vec<usize>,
    /// The slots that are complete after each part.
    complete: Vec<Vec<usize>>,
}

impl<'t> Walk<'t> {
    fn new(tape: &'t Tape, observers: &[Vec<Observer>]) -> Self {
        let (symbols, ranks) = symbols(tape, observers);
        let banks: Vec<Bank> = observers.iter().map(|observers| Bank::new(observers, &symbols)).collect();
        let mut bank_at = Vec::with_capacity(banks.len());
        let mut offsets = Vec::with_capacity(banks.len());
        let (mut at, mut bits) = (1, 0);
        for (bank, observers) in banks.iter().zip(observers) {
            bank_at.push(at);
            offsets.push(bits);
            at += bank.words();
            bits += observers.len();
        }
        let last_read = |slot: usize| {
            tape.segments.iter().rposition(|part| part.readers.iter().any(|reader| reader.slot == slot))
        };
        let mut complete = vec![Vec::new(); tape.segments.len()];
        for slot in 0..observers.len() {
            if let Some(list) = last_read(slot).and_then(|segment| complete.get_mut(segment)) {
                list.push(slot);
            }
        }
        Self {
            tape,
            symbols,
            ranks,
            banks,
            bank_at,
            bits_at: at,
            bits_words: bits.div_ceil(WORD),
            offsets,
            complete,
        }
    }

    fn first_state(&self) -> Vec<u64> {
        let mut state = vec![0];
        self.banks.iter().for_each(|bank| state.extend(bank.start()));
        state.resize(self.bits_at + self.bits_words, 0);
        state
    }

    fn is_alive(&self, state: &[u64], observer: usize) -> bool {
        self.banks
            .first()
            .is_some_and(|bank| bank.is_alive(state.get(1..1 + bank.words()).unwrap_or(&[]), observer))
    }

    /// Whether anybody asks about a part; the others are filled in afterwards.
    fn is_read(&self, segment: usize) -> bool {
        self.tape.segments.get(segment).is_some_and(|segment| {
            segment
                .readers
                .iter()
                .any(|reader| self.banks.get(reader.slot).is_some_and(|bank| bank.words() > 0))
        })
    }

    /// Which symbols may come next, and the shape's state after each: one where the text is fixed, and
    /// of those that no chain tells apart here only the one that reads best.
    fn choices(&self, state: &[u64], segment: &Segment) -> Vec<(usize, u32)> {
        let shape_state = shape_state_of(state);
        if let Shape::Text(text) = &segment.shape {
            let next = text.chars().nth(shape_state as usize);
            let symbol = next.and_then(|character| self.symbols.binary_search(&character).ok());
            return symbol.map(|symbol| (symbol, shape_state + 1)).into_iter().collect();
        }
        let mut choices: Vec<(usize, u32)> = Vec::new();
        let mut unnamed: Vec<(usize, u32)> = Vec::new();
        for (symbol, character) in self.symbols.iter().enumerate() {
            let Some(next) = segment.shape.step(shape_state, *character) else { continue };
            if !self.is_as_unnamed(state, segment, symbol, *character) {
                choices.push((symbol, next));
                continue;
            }
            match unnamed.iter_mut().find(|(_, known)| *known == next) {
                Some((best, _)) if self.ranks.get(*best) > self.ranks.get(symbol) => *best = symbol,
                Some(_) => {}
                None => unnamed.push((symbol, next)),
            }
        }
        choices.extend(unnamed);
        choices
    }

    fn is_as_unnamed(&self, state: &[u64], segment: &Segment, symbol: usize, character: char) -> bool {
        segment.readers.iter().all(|reader| {
            let (Some(bank), Some(at)) = (self.banks.get(reader.slot), self.bank_at.get(reader.slot)) else {
                return true;
            };
            let here = state.get(*at..*at + bank.words()).unwrap_or(&[]);
            !(reader.escaped && character == ':') && bank.is_as_unnamed(here, symbol)
        })
    }

    fn rank(&self, symbol: usize, segment: &Segment) -> u64 {
        match segment.shape {
            Shape::Text(_) => 0,
            _ => self.ranks.get(symbol).copied().unwrap_or(0),
        }
    }

    fn read(&self, state: &[u64], segment: usize, symbol: usize, shape_state: u32, out: &mut Vec<u64>) {
        out.clear();
        out.extend_from_slice(state);
        if let Some(first) = out.first_mut() {
            *first = first_word(segment, shape_state);
        }
        let readers = self.tape.segments.get(segment).map_or(&[][..], |segment| segment.readers.as_slice());
        for reader in readers {
            let (Some(bank), Some(at)) = (self.banks.get(reader.slot), self.bank_at.get(reader.slot)) else {
                continue;
            };
            let Some(here) = out.get_mut(*at..*at + bank.words()) else { continue };
            if reader.escaped && self.symbols.get(symbol) == Some(&':') {
                for character in ESCAPED_COLON.chars() {
                    if let Ok(symbol) = self.symbols.binary_search(&character) {
                        bank.advance(here, symbol);
                    }
                }
            } else {
                bank.advance(here, symbol);
            }
        }
    }

    /// Goes to the next part. Of a slot that is read to its end only the outcome is kept.
    fn leave(&self, state: &[u64], segment: usize, out: &mut Vec<u64>) {
        out.clear();
        out.extend_from_slice(state);
        if let Some(first) = out.first_mut() {
            *first = first_word(segment + 1, 0);
        }
        for slot in self.complete.get(segment).into_iter().flatten() {
            let (Some(bank), Some(at), Some(offset)) =
                (self.banks.get(*slot), self.bank_at.get(*slot), self.offsets.get(*slot))
            else {
                continue;
            };
            let bits_at = self.bits_at.min(out.len());
            let (before, bits) = out.split_at_mut(bits_at);
            if let Some(here) = before.get_mut(*at..*at + bank.words()) {
                bank.accepting(here, bits, *offset);
                here.fill(0);
            }
        }
    }
}

fn first_word(segment: usize, shape_state: u32) -> u64 {
    ((segment as u64) << 32) | u64::from(shape_state)
}

fn segment_of(state: &[u64]) -> usize {
    state.first().map_or(usize::MAX, |word| (word >> 32) as usize)
}

fn shape_state_of(state: &[u64]) -> u32 {
    state.first().map_or(0, |word| *word as u32)
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    parent: usize,
    /// None for the step to the next part.
    symbol: Option<usize>,
}

#[derive(Debug)]
struct Node {
    edge: Edge,
    cost: u64,
    is_done: bool,
}

/// Cheapest first, with the way back of every state.
#[derive(Debug)]
struct Search {
    known: HashMap<Rc<[u64]>, usize, BuildHasherDefault<DefaultHasher>>,
    states: Vec<Rc<[u64]>>,
    nodes: Vec<Node>,
    open: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Search {
    fn new(first: Vec<u64>) -> Self {
        let first: Rc<[u64]> = first.into();
        let mut known = HashMap::default();
        known.insert(first.clone(), 0);
        Self {
            known,
            states: vec![first],
            nodes: vec![Node { edge: Edge { parent: 0, symbol: None }, cost: 0, is_done: false }],
            open: BinaryHeap::from([Reverse((0, 0))]),
        }
    }

    fn pop(&mut self) -> Option<(usize, u64)> {
        while let Some(Reverse((cost, index))) = self.open.pop() {
            if let Some(node) = self.nodes.get_mut(index)
                && !node.is_done
            {
                node.is_done = true;
                return Some((index, cost));
            }
        }
        None
    }

    fn state(&self, index: usize) -> Rc<[u64]> {
        self.states.get(index).cloned().unwrap_or_default()
    }

    fn push(&mut self, state: &[u64], edge: Edge, cost: u64) -> Result<(), TooLarge> {
        if let Some(index) = self.known.get(state).copied() {
            if let Some(node) = self.nodes.get_mut(index)
                && !node.is_done
                && cost < node.cost
            {
                (node.edge, node.cost) = (edge, cost);
                self.open.push(Reverse((cost, index)));
            }
            return Ok(());
        }
        let index = self.nodes.len();
        if index >= STATES_MAX {
            return Err(TooLarge { states: index + 1, limit: STATES_MAX });
        }
        let state: Rc<[u64]> = state.into();
        self.known.insert(state.clone(), index);
        self.states.push(state);
        self.nodes.push(Node { edge, cost, is_done: false });
        self.open.push(Reverse((cost, index)));
        Ok(())
    }

    /// The parts that lead to a state; parts that nobody reads get a plausible text.
    fn texts(&self, index: usize, tape: &Tape, symbols: &[char]) -> Vec<String> {
        let mut parts: Vec<Option<String>> = vec![None; tape.segments.len()];
        let mut at = index;
        while at != 0 {
            let Some(node) = self.nodes.get(at) else { break };
            if let Some(character) = node.edge.symbol.and_then(|symbol| symbols.get(symbol)) {
                let segment = self.states.get(at).map_or(0, |state| segment_of(state));
                if let Some(part) = parts.get_mut(segment) {
                    part.get_or_insert_with(String::new).push(*character);
                }
            }
            at = node.edge.parent;
        }
        let turned = |part: String| part.chars().rev().collect();
        parts
            .into_iter()
            .zip(&tape.segments)
            .map(|(part, segment)| part.map_or_else(|| unread_text(&segment.shape), turned))
            .collect()
    }
}

/// The text of a part that no question looks at, or that was read and is empty.
fn unread_text(shape: &Shape) -> String {
    match shape {
        Shape::Text(text) => text.clone(),
        Shape::Any => String::new(),
        Shape::Parts(parts) => parts.candidates("").swap_remove(0),
        other => other.plausible().first().map_or_else(String::new, |text| (*text).to_owned()),
    }
}

/// The characters of a question, sorted: those that patterns name, and of every kind that shapes tell
/// apart one that no pattern names, to stand for all the others.
fn symbols(tape: &Tape, observers: &[Vec<Observer>]) -> (Vec<char>, Vec<u64>) {
    let mut named: BTreeSet<char> =
        observers.iter().flatten().flat_map(|one| &one.leaves).flat_map(|leaf| leaf.characters()).collect();
    for segment in &tape.segments {
        if segment.readers.iter().any(|reader| reader.escaped) {
            named.extend(ESCAPED_COLON.chars().chain([':']));
        }
        match &segment.shape {
            Shape::Text(text) => named.extend(text.chars()),
            Shape::Parts(parts) => named.extend(parts.characters()),
            _ => {}
        }
    }
    let is_plain = |segment: &Segment| matches!(segment.shape, Shape::Any | Shape::Text(_));
    let (kinds, signs) = if tape.segments.iter().all(is_plain) { (ANY_KIND, "") } else { (KINDS, SIGNS) };
    let others: Vec<char> =
        kinds.iter().filter_map(|kind| kind.clone().into_iter().find(|one| !named.contains(one))).collect();
    let is_named = named.clone();
    named.extend(others.iter().copied().chain(signs.chars()));
    let ranks = named.iter().map(|one| rank(*one, is_named.contains(one))).collect();
    (named.into_iter().collect(), ranks)
}

/// Characters of the question first, then lower-case letters, then what reads worse.
fn rank(character: char, is_named: bool) -> u64 {
    let kind = match character {
        'a'..='z' => 0,
        '0'..='9' => 2,
        'A'..='Z' => 3,
        '-' | '/' | '.' | '_' => 4,
        ' '..='~' => 6,
        _ => 20,
    };
    kind * 2 + u64::from(!is_named)
}

/// Kinds of characters that shapes treat alike.
const KINDS: &[std::ops::RangeInclusive<char>] =
    &['a'..='f', 'g'..='z', 'A'..='Z', '1'..='9', '\u{4e00}'..='\u{9fff}', '\u{1}'..='\u{1f}', '!'..='+'];

/// Where no shape tells characters apart: a letter, or else a character that no pattern names. Policies
/// are far shorter than this range.
const ANY_KIND: &[std::ops::RangeInclusive<char>] = &['a'..='z', '\u{4e00}'..='\u{9fff}'];

/// Characters that shapes single out.
const SIGNS: &str = "-_./0@+=, ~";

/// How subjects of GitHub write a colon within a value.
/// <https://docs.github.com/en/actions/reference/security/oidc>
const ESCAPED_COLON: &str = "%3A";

/// The cost of one character: more than the ranks of any text within the limit add up to.
const CHARACTER_COST: u64 = 1 << 32;
