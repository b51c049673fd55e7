//! Several values that hang together, written as one text: the subject of a token holds its repository,
//! which is a claim of its own. Every part of the tape says which values read it, so that patterns on
//! any of them run over the same characters, and their joint outcomes are found by one walk.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::bank::{Bank, Observer, WORD, is_set, set};
use super::budget::Budget;
use super::leaf::Leaf;
use super::shape::Shape;
use super::{Measure, TooLarge};

/// The most joint states of one walk. Real policies need a few hundred.
pub const STATES_MAX: usize = 20_000;

/// The most that the tables of a walk may take, in words of positions: 64 MiB.
const TABLE_WORDS_MAX: usize = 4_000_000;

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
/// When more than [`STATES_MAX`] joint states come up, or the budget is spent.
pub(crate) fn walk(
    tape: &Tape,
    observers: &[Vec<Observer>],
    budget: &Budget,
    visit: impl FnMut(&Found) -> Visit,
) -> Result<(), TooLarge> {
    walk_where(tape, observers, budget, |_| true, visit)
}

/// As [`walk`], leaving out what can't lead to anything: `may_accept` is told of each observer of slot 0
/// whether it may still accept.
pub(crate) fn walk_where(
    tape: &Tape,
    observers: &[Vec<Observer>],
    budget: &Budget,
    may_accept: impl Fn(&dyn Fn(usize) -> bool) -> bool,
    mut visit: impl FnMut(&Found) -> Visit,
) -> Result<(), TooLarge> {
    if leaves(observers).next().is_none() {
        // Nobody asks anything.
        let bits = vec![0; observers.iter().map(Vec::len).sum::<usize>().div_ceil(WORD)];
        let texts = tape.segments.iter().map(|segment| unread_text(&segment.shape)).collect();
        visit(&Found { bits, texts, cost: 0 });
        return Ok(());
    }
    let (symbols, ranks) = symbols(tape, observers);
    let table_words = table_words(observers, symbols.len())?;
    budget.spend(table_words.saturating_mul(TABLE_STEPS))?;
    let walk = Walk::new(tape, observers, symbols, ranks);
    let state_steps = table_words + STAR_STEPS * leaves(observers).map(Leaf::stars).sum::<usize>();
    let mut search = Search::new(&walk.first_state());
    let mut seen: BTreeSet<Vec<u64>> = BTreeSet::new();
    let (mut state, mut scratch, mut choices) = (Vec::new(), Vec::new(), Choices::default());
    while let Some((node, cost)) = search.pop() {
        budget.spend(state_steps)?;
        state.clear();
        state.extend_from_slice(search.state(node));
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
            walk.choices(&state, current, &mut choices);
            for (symbol, next) in choices.all.iter().copied() {
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

/// How many words the tables of a walk take: at each state, every character is tried at every position.
///
/// # Errors
/// When they would be too large.
fn table_words(observers: &[Vec<Observer>], symbols: usize) -> Result<usize, TooLarge> {
    let positions: usize = leaves(observers).map(Leaf::positions).sum();
    let count = symbols.saturating_mul(positions.div_ceil(WORD) + 1);
    if count > TABLE_WORDS_MAX {
        return Err(TooLarge { count, limit: TABLE_WORDS_MAX, measure: Measure::Words });
    }
    Ok(count)
}

fn leaves(observers: &[Vec<Observer>]) -> impl Iterator<Item = &Leaf> {
    observers.iter().flatten().flat_map(|observer| &observer.leaves)
}

/// What filling in one word of a table costs.
const TABLE_STEPS: usize = 4;

/// What looking after one `*` costs at each state: it may take in what stands before it.
const STAR_STEPS: usize = 16;

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
    fn new(tape: &'t Tape, observers: &[Vec<Observer>], symbols: Vec<char>, ranks: Vec<u64>) -> Self {
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
    fn choices(&self, state: &[u64], segment: &Segment, out: &mut Choices) {
        let Choices { all: choices, unnamed, named } = out;
        choices.clear();
        unnamed.clear();
        let shape_state = shape_state_of(state);
        if let Shape::Text(text) = &segment.shape {
            let next = text.chars().nth(shape_state as usize);
            let symbol = next.and_then(|character| self.symbols.binary_search(&character).ok());
            choices.extend(symbol.map(|symbol| (symbol, shape_state + 1)));
            return;
        }
        self.named(state, segment, named);
        for (symbol, character) in self.symbols.iter().enumerate() {
            let Some(next) = segment.shape.step(shape_state, *character) else { continue };
            if is_set(named, symbol) {
                choices.push((symbol, next));
                continue;
            }
            match unnamed.iter_mut().find(|(_, known)| *known == next) {
                Some((best, _)) if self.ranks.get(*best) > self.ranks.get(symbol) => *best = symbol,
                Some(_) => {}
                None => unnamed.push((symbol, next)),
            }
        }
        choices.append(unnamed);
    }

    /// The symbols that the readers of a part tell apart here from characters that nobody names.
    fn named(&self, state: &[u64], segment: &Segment, named: &mut Vec<u64>) {
        named.clear();
        named.resize(self.symbols.len().div_ceil(WORD), 0);
        for reader in &segment.readers {
            let (Some(bank), Some(at)) = (self.banks.get(reader.slot), self.bank_at.get(reader.slot)) else {
                continue;
            };
            bank.named(state.get(*at..*at + bank.words()).unwrap_or(&[]), named);
            if reader.escaped
                && let Ok(colon) = self.symbols.binary_search(&':')
            {
                set(named, colon);
            }
        }
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

/// Symbols that may come next with the shape's state after each.
#[derive(Debug, Default)]
struct Choices {
    all: Vec<(usize, u32)>,
    unnamed: Vec<(usize, u32)>,
    /// The symbols that somebody tells apart, one bit for each.
    named: Vec<u64>,
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

/// Cheapest first, with the way back of every state. States lie one after the other in one place, all of
/// one length; a table of their indices finds one again.
#[derive(Debug)]
struct Search {
    words: usize,
    states: Vec<u64>,
    table: Vec<u32>,
    nodes: Vec<Node>,
    open: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Search {
    fn new(first: &[u64]) -> Self {
        let mut search = Self {
            words: first.len(),
            states: first.to_vec(),
            table: vec![VACANT; FIRST_PLACES],
            nodes: vec![Node { edge: Edge { parent: 0, symbol: None }, cost: 0, is_done: false }],
            open: BinaryHeap::from([Reverse((0, 0))]),
        };
        search.enter(0);
        search
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

    fn state(&self, index: usize) -> &[u64] {
        self.states.get(index * self.words..(index + 1) * self.words).unwrap_or(&[])
    }

    /// The index of a state that is known.
    fn find(&self, state: &[u64]) -> Option<usize> {
        for place in places(state, self.table.len()) {
            match self.table.get(place) {
                Some(index) if *index != VACANT => {
                    if self.state(*index as usize) == state {
                        return Some(*index as usize);
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// Notes where a state lies.
    fn enter(&mut self, index: usize) {
        let mut vacant = places(self.state(index), self.table.len())
            .find(|place| self.table.get(*place).is_none_or(|entry| *entry == VACANT));
        if let Some(entry) = vacant.take().and_then(|place| self.table.get_mut(place)) {
            *entry = index as u32;
        }
    }

    fn push(&mut self, state: &[u64], edge: Edge, cost: u64) -> Result<(), TooLarge> {
        if let Some(index) = self.find(state) {
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
            return Err(TooLarge { count: index + 1, limit: STATES_MAX, measure: Measure::States });
        }
        self.states.extend_from_slice(state);
        self.nodes.push(Node { edge, cost, is_done: false });
        self.open.push(Reverse((cost, index)));
        if self.nodes.len() * 2 > self.table.len() {
            self.table = vec![VACANT; self.table.len() * 4];
            (0..self.nodes.len()).for_each(|known| self.enter(known));
        } else {
            self.enter(index);
        }
        Ok(())
    }

    /// The parts that lead to a state; parts that nobody reads get a plausible text.
    fn texts(&self, index: usize, tape: &Tape, symbols: &[char]) -> Vec<String> {
        let mut parts: Vec<Option<String>> = vec![None; tape.segments.len()];
        let mut at = index;
        while at != 0 {
            let Some(node) = self.nodes.get(at) else { break };
            if let Some(character) = node.edge.symbol.and_then(|symbol| symbols.get(symbol)) {
                let segment = segment_of(self.state(at));
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

/// The places of a table where a state may be noted, best first: at least one of them is vacant, since a
/// table is never more than half full.
fn places(state: &[u64], count: usize) -> impl Iterator<Item = usize> {
    let mix = |hash: u64, word: &u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = state.iter().fold(0, mix);
    let first = (hash ^ (hash >> 32)) as usize;
    // The count is a power of two.
    (0..count).map(move |step| first.wrapping_add(step) & (count - 1))
}

/// A place of a table without a state.
const VACANT: u32 = u32::MAX;

/// Enough for most questions.
const FIRST_PLACES: usize = 256;

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
    let mut named: Vec<char> = leaves(observers).flat_map(Leaf::characters).collect();
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
    named.sort_unstable();
    named.dedup();
    let is_plain = |segment: &Segment| matches!(segment.shape, Shape::Any | Shape::Text(_));
    let (kinds, signs) = if tape.segments.iter().all(is_plain) { (ANY_KIND, "") } else { (KINDS, SIGNS) };
    let is_named = |one: &char| named.binary_search(one).is_ok();
    let others = kinds.iter().filter_map(|kind| kind.clone().find(|one| !is_named(one)));
    let mut symbols: Vec<char> = named.iter().copied().chain(others).chain(signs.chars()).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let ranks = symbols.iter().map(|one| rank(*one, is_named(one))).collect();
    (symbols, ranks)
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
