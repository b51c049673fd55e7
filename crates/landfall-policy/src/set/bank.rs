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
    /// The same for a character that no chain names.
    unnamed: Move,
    prunes: Vec<Prune>,
    /// For each observer, where its chains accept.
    finals: Vec<Vec<usize>>,
    /// For each observer, its positions, end exclusive.
    ranges: Vec<(usize, usize)>,
}

#[derive(Debug)]
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
            moves: Vec::with_capacity(symbols.len()),
            unnamed: moves(leaves(), |class| matches!(class, Class::Any | Class::NotColon), words),
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
        for symbol in symbols {
            bank.moves.push(moves(leaves(), |class| class.matches(*symbol), words));
        }
        bank
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

    /// Whether a symbol does at these positions what a character does that no chain names.
    pub(crate) fn is_as_unnamed(&self, here: &[u64], symbol: usize) -> bool {
        let Some(row) = self.moves.get(symbol) else { return true };
        let differs = |(here, (left, right)): (&u64, (&u64, &u64))| (left ^ right) & here != 0;
        !here.iter().zip(row.steps.iter().zip(&self.unnamed.steps)).any(differs)
            && !here.iter().zip(row.stays.iter().zip(&self.unnamed.stays)).any(differs)
    }

    /// Whether an observer may still accept: a chain without positions never will.
    pub(crate) fn is_alive(&self, here: &[u64], observer: usize) -> bool {
        let Some((first, end)) = self.ranges.get(observer).copied() else { return false };
        (first..end).any(|at| is_set(here, at))
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

fn moves<'l>(leaves: impl Iterator<Item = &'l Leaf>, matches: impl Fn(Class) -> bool, words: usize) -> Move {
    let mut row = Move { steps: vec![0; words], stays: vec![0; words] };
    let mut base = 0;
    for leaf in leaves {
        for (index, class) in leaf.steps.iter().enumerate() {
            if matches(*class) {
                set(&mut row.steps, base + index);
            }
        }
        for (index, class) in leaf.stays.iter().enumerate() {
            if class.is_some_and(&matches) {
                set(&mut row.stays, base + index);
            }
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
    let (first, last) = (from / WORD, to / WORD);
    for (index, word) in bits.iter_mut().enumerate().take(last + 1).skip(first) {
        let above = if index == first { u64::MAX << (from % WORD) } else { u64::MAX };
        let below = if index == last { (1 << (to % WORD)) - 1 } else { u64::MAX };
        *word &= !(above & below);
    }
}

/// Bits of a word.
pub(crate) const WORD: usize = 64;
