//! Many chains run side by side, one bit for each position, a whole word of positions at a time.

use super::leaf::{Class, Leaf};

/// A group of chains: any of them accepting counts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Observer {
    pub(crate) leaves: Vec<Leaf>,
}

/// The chains of all observers of one value.
#[derive(Debug)]
pub(crate) struct Bank {
    words: usize,
    start: Vec<u64>,
    /// For each symbol, the positions that lead on and those that stay.
    moves: Vec<Move>,
    /// For each position, the symbols that it tells apart from a character that no chain names, one bit for each.
    names: Vec<u64>,
    /// How many words of `names` a position has.
    name_words: usize,
    prunes: Vec<Prune>,
    /// For each observer, where its chains accept.
    finals: Vec<Vec<usize>>,
    /// For each observer, its positions, end exclusive.
    ranges: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct Move {
    steps: Vec<u64>,
    stays: Vec<u64>,
}

/// A position that swallows whatever the ones before it could: once it is reached they say nothing more.
#[derive(Debug)]
struct Prune {
    at: usize,
    from: usize,
}

impl Bank {
    /// Lays the chains out for these symbols.
    pub(crate) fn new(observers: &[Observer], symbols: &[char]) -> Self {
        let leaves = || observers.iter().flat_map(|observer| &observer.leaves);
        let positions: usize = leaves().map(Leaf::positions).sum();
        let words = positions.div_ceil(WORD);
        let mut bank = Self {
            words,
            start: vec![0; words],
            moves: vec![unnamed_moves(leaves(), words); symbols.len()],
            name_words: symbols.len().div_ceil(WORD),
            names: vec![0; positions * symbols.len().div_ceil(WORD)],
            prunes: Vec::new(),
            finals: Vec::with_capacity(observers.len()),
            ranges: Vec::with_capacity(observers.len()),
        };
        let mut base = 0;
        for observer in observers {
            let mut finals = Vec::with_capacity(observer.leaves.len());
            let first = base;
            for leaf in &observer.leaves {
                set(&mut bank.start, base);
                bank.prunes.extend(prunes(leaf, base));
                base += leaf.positions();
                finals.push(base.saturating_sub(1));
            }
            bank.finals.push(finals);
            bank.ranges.push((first, base));
        }
        bank.name(leaves(), symbols);
        bank
    }

    /// Notes what the chains name: there a symbol does something else than a character that none of them names.
    fn name<'l>(&mut self, leaves: impl Iterator<Item = &'l Leaf>, symbols: &[char]) {
        let mut base = 0;
        for leaf in leaves {
            for (index, class) in leaf.steps.iter().enumerate() {
                self.name_class(*class, base + index, symbols, |row| &mut row.steps);
            }
            for (index, class) in leaf.stays.iter().enumerate() {
                if let Some(class) = class {
                    self.name_class(*class, base + index, symbols, |row| &mut row.stays);
                }
            }
            base += leaf.positions();
        }
    }

    fn name_class(&mut self, class: Class, at: usize, symbols: &[char], of: fn(&mut Move) -> &mut Vec<u64>) {
        for character in class.characters() {
            let Ok(symbol) = symbols.binary_search(&character) else { continue };
            let Some(row) = self.moves.get_mut(symbol) else { continue };
            if class.matches(character) {
                set(of(row), at);
            } else {
                clear(of(row), at, at + 1);
            }
            set(&mut self.names, at * self.name_words * WORD + symbol);
        }
    }

    /// The number of words of a set of positions.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// The positions before the first character.
    pub(crate) fn start(&self) -> &[u64] {
        &self.start
    }

    /// The positions after one more symbol, in place.
    pub(crate) fn advance(&self, here: &mut [u64], symbol: usize) {
        let Some(row) = self.moves.get(symbol) else { return };
        let mut carry = 0;
        for ((here, steps), stays) in here.iter_mut().zip(&row.steps).zip(&row.stays) {
            let moved = *here & steps;
            *here = (moved << 1) | carry | (*here & stays);
            carry = moved >> (WORD - 1);
        }
        for prune in &self.prunes {
            if is_set(here, prune.at) {
                clear(here, prune.from, prune.at);
            }
        }
    }

    /// Adds the symbols that are told apart at these positions from a character that no chain names.
    pub(crate) fn named(&self, here: &[u64], symbols: &mut [u64]) {
        for (index, word) in here.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let first = (index * WORD + rest.trailing_zeros() as usize) * self.name_words;
                let names = self.names.get(first..first + self.name_words).unwrap_or(&[]);
                symbols.iter_mut().zip(names).for_each(|(symbols, names)| *symbols |= names);
                rest &= rest - 1;
            }
        }
    }

    /// Whether an observer may still accept: a chain without positions never will.
    pub(crate) fn is_alive(&self, here: &[u64], observer: usize) -> bool {
        let Some((first, end)) = self.ranges.get(observer).copied() else { return false };
        masks(first, end).any(|(index, mask)| here.get(index).is_some_and(|word| word & mask != 0))
    }

    /// Which observers accept at these positions, as bits from `offset` on.
    pub(crate) fn accepting(&self, here: &[u64], bits: &mut [u64], offset: usize) {
        for (index, finals) in self.finals.iter().enumerate() {
            if finals.iter().any(|at| is_set(here, *at)) {
                set(bits, offset + index);
            }
        }
    }
}

/// What a character does that no chain names.
fn unnamed_moves<'l>(leaves: impl Iterator<Item = &'l Leaf>, words: usize) -> Move {
    let mut row = Move { steps: vec![0; words], stays: vec![0; words] };
    let takes_any = |class: &Class| matches!(class, Class::Any | Class::NotColon);
    let mut base = 0;
    for leaf in leaves {
        for (index, _) in leaf.steps.iter().enumerate().filter(|(_, class)| takes_any(class)) {
            set(&mut row.steps, base + index);
        }
        for (index, _) in
            leaf.stays.iter().enumerate().filter(|(_, class)| class.as_ref().is_some_and(takes_any))
        {
            set(&mut row.stays, base + index);
        }
        base += leaf.positions();
    }
    row
}

/// A position that stays on every character takes in all before it. One that stays on all but a colon
/// takes in those since the last colon: what leads from them to it holds none.
fn prunes(leaf: &Leaf, base: usize) -> Vec<Prune> {
    let mut field = 0;
    let mut prunes = Vec::new();
    for (at, stay) in leaf.stays.iter().enumerate() {
        match stay {
            Some(Class::Any) => prunes.push(Prune { at: base + at, from: base }),
            Some(Class::NotColon) => prunes.push(Prune { at: base + at, from: base + field }),
            Some(Class::Char(_) | Class::Fold(_) | Class::AsciiFold(_)) | None => {}
        }
        if leaf.steps.get(at) == Some(&Class::Char(':')) {
            field = at + 1;
        }
    }
    prunes.reverse();
    prunes
}

pub(crate) fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / WORD) {
        *word |= 1 << (at % WORD);
    }
}

pub(crate) fn is_set(bits: &[u64], at: usize) -> bool {
    bits.get(at / WORD).is_some_and(|word| word >> (at % WORD) & 1 == 1)
}

fn clear(bits: &mut [u64], from: usize, to: usize) {
    for (index, mask) in masks(from, to) {
        if let Some(word) = bits.get_mut(index) {
            *word &= !mask;
        }
    }
}

/// The words that hold some positions, end exclusive, and which of their bits those are.
fn masks(from: usize, to: usize) -> impl Iterator<Item = (usize, u64)> {
    (from / WORD..to.div_ceil(WORD)).map(move |index| {
        let first = from.saturating_sub(index * WORD);
        let above = to.saturating_sub(index * WORD);
        let below = if above < WORD { (1 << above) - 1 } else { u64::MAX };
        (index, (u64::MAX << first) & below)
    })
}

/// Bits of a word.
pub(crate) const WORD: usize = 64;
