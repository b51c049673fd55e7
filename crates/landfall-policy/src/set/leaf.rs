//! One pattern as a chain of positions: a class of characters leads to the next one, and a position
//! may also stay where it is while characters of a class pass.

use crate::pattern::{Token, same_but_for_case};

/// Which characters lead on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// This very character.
    Char(char),
    /// This character in either case, as `StringEqualsIgnoreCase` compares.
    Fold(char),
    /// This character in either case of ASCII, as actions and booleans compare.
    AsciiFold(char),
    /// Any character.
    Any,
    /// Any character but a colon: what wildcards of an ARN's first five parts take.
    NotColon,
}

impl Class {
    pub(crate) fn matches(self, character: char) -> bool {
        match self {
            Self::Char(wanted) => wanted == character,
            Self::Fold(wanted) => same_but_for_case(wanted, character),
            Self::AsciiFold(wanted) => wanted.eq_ignore_ascii_case(&character),
            Self::Any => true,
            Self::NotColon => character != ':',
        }
    }

    /// The characters that it tells apart from others.
    pub(crate) fn characters(self) -> Vec<char> {
        match self {
            Self::Char(character) => vec![character],
            Self::Fold(character) => variants(character),
            Self::AsciiFold(character) => {
                vec![character.to_ascii_lowercase(), character.to_ascii_uppercase()]
            }
            Self::Any => Vec::new(),
            Self::NotColon => vec![':'],
        }
    }
}

/// How the characters of a pattern compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Case {
    /// Letter by letter.
    Exact,
    /// As [`Class::Fold`].
    Fold,
    /// As [`Class::AsciiFold`].
    Ascii,
}

impl Case {
    fn class(self, character: char) -> Class {
        match self {
            Self::Exact => Class::Char(character),
            Self::Fold => Class::Fold(character),
            Self::Ascii => Class::AsciiFold(character),
        }
    }
}

/// A chain: position `n` leads to `n + 1` by `steps[n]` and to itself by `stays[n]`; the last accepts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Leaf {
    pub(crate) steps: Vec<Class>,
    /// One longer than `steps`.
    pub(crate) stays: Vec<Option<Class>>,
}

impl Leaf {
    fn empty() -> Self {
        Self { steps: Vec::new(), stays: vec![None] }
    }

    fn step(&mut self, class: Class) {
        self.steps.push(class);
        self.stays.push(None);
    }

    fn stay(&mut self, class: Class) {
        if let Some(last) = self.stays.last_mut()
            && *last != Some(Class::Any)
        {
            *last = Some(class);
        }
    }

    /// These very characters.
    pub(crate) fn literal(text: &str, case: Case) -> Self {
        let mut leaf = Self::empty();
        text.chars().for_each(|character| leaf.step(case.class(character)));
        leaf
    }

    /// A pattern with `*` and `?`.
    pub(crate) fn glob(pattern: &str, case: Case) -> Self {
        let mut leaf = Self::empty();
        for character in pattern.chars() {
            match character {
                '*' => leaf.stay(Class::Any),
                '?' => leaf.step(Class::Any),
                other => leaf.step(case.class(other)),
            }
        }
        leaf
    }

    /// As [`pattern::glob_tokens`](crate::pattern::glob_tokens).
    pub(crate) fn tokens(tokens: &[Token]) -> Self {
        let mut leaf = Self::empty();
        leaf.extend(tokens, Class::Any);
        leaf
    }

    /// As [`pattern::arn`](crate::pattern::arn); none where that matches nothing.
    pub(crate) fn arn(tokens: &[Token]) -> Option<Self> {
        let parts: Vec<&[Token]> = tokens.splitn(ARN_PARTS, |token| *token == Token::Char(':')).collect();
        if parts.len() < ARN_PARTS && tokens.last() != Some(&Token::Many) {
            return None;
        }
        let mut leaf = Self::empty();
        let (last, before) = parts.split_last()?;
        for part in before {
            leaf.extend(part, Class::NotColon);
            leaf.step(Class::Char(':'));
        }
        leaf.extend(last, Class::Any);
        Some(leaf)
    }

    fn extend(&mut self, tokens: &[Token], wild: Class) {
        for token in tokens {
            match token {
                Token::Many => self.stay(wild),
                Token::One => self.step(wild),
                Token::Char(character) => self.step(Class::Char(*character)),
            }
        }
    }

    /// The same, and anything after it.
    pub(crate) fn then_anything(mut self) -> Self {
        self.stay(Class::Any);
        self
    }

    /// The same, and anything before it.
    pub(crate) fn after_anything(mut self) -> Self {
        if let Some(first) = self.stays.first_mut() {
            *first = Some(Class::Any);
        }
        self
    }

    /// The number of `*`.
    pub(crate) fn stars(&self) -> usize {
        self.stays.iter().flatten().count()
    }

    /// The one text of a chain that has just one.
    pub(crate) fn text(&self) -> Option<String> {
        let character = |class: &Class| match class {
            Class::Char(character) => Some(*character),
            Class::Fold(_) | Class::AsciiFold(_) | Class::Any | Class::NotColon => None,
        };
        if self.stays.iter().any(Option::is_some) { None } else { self.steps.iter().map(character).collect() }
    }

    /// The number of positions.
    pub(crate) fn positions(&self) -> usize {
        self.stays.len()
    }

    /// The characters that the chain tells apart from others.
    pub(crate) fn characters(&self) -> impl Iterator<Item = char> {
        self.steps.iter().flat_map(|class| class.characters())
    }

    /// Whether a text is in the chain's language, by running it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let mut here = vec![false; self.positions()];
        if let Some(first) = here.first_mut() {
            *first = true;
        }
        for character in text.chars() {
            let stays = here.iter().zip(&self.stays);
            let mut next: Vec<bool> =
                stays.map(|(here, stay)| *here && stay.is_some_and(|stay| stay.matches(character))).collect();
            for ((here, step), next) in here.iter().zip(&self.steps).zip(next.iter_mut().skip(1)) {
                *next |= *here && step.matches(character);
            }
            here = next;
        }
        here.last() == Some(&true)
    }
}

/// Elements of a text in which only `*` and `?` are special.
pub(crate) fn tokens_of(pattern: &str) -> Vec<Token> {
    let token = |character| match character {
        '*' => Token::Many,
        '?' => Token::One,
        other => Token::Char(other),
    };
    pattern.chars().map(token).collect()
}

/// Every character that is the same as this one but for its case.
pub(crate) fn variants(character: char) -> Vec<char> {
    let one = |mut some: Box<dyn Iterator<Item = char>>| match (some.next(), some.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    };
    let lower = one(Box::new(character.to_lowercase())).unwrap_or(character);
    let upper = one(Box::new(lower.to_uppercase()));
    let odd = ODD_CAPITALS.iter().copied().filter(|odd| odd.to_lowercase().eq([lower]));
    let mut all: Vec<char> = [character, lower].into_iter().chain(upper).chain(odd).collect();
    all.retain(|other| same_but_for_case(character, *other));
    all.sort_unstable();
    all.dedup();
    all
}

/// Characters that lower-case to one whose upper case is another: signs that look like letters, title
/// case digraphs, Greek capitals with an iota beside them.
const ODD_CAPITALS: &[char] = &[
    '\u{1c5}', '\u{1c8}', '\u{1cb}', '\u{1f2}', '\u{3f4}', '\u{1e9e}', '\u{1f88}', '\u{1f89}', '\u{1f8a}',
    '\u{1f8b}', '\u{1f8c}', '\u{1f8d}', '\u{1f8e}', '\u{1f8f}', '\u{1f98}', '\u{1f99}', '\u{1f9a}',
    '\u{1f9b}', '\u{1f9c}', '\u{1f9d}', '\u{1f9e}', '\u{1f9f}', '\u{1fa8}', '\u{1fa9}', '\u{1faa}',
    '\u{1fab}', '\u{1fac}', '\u{1fad}', '\u{1fae}', '\u{1faf}', '\u{1fbc}', '\u{1fcc}', '\u{1ffc}',
    '\u{2126}', '\u{212a}', '\u{212b}',
];

/// `arn:partition:service:region:account:resource`.
const ARN_PARTS: usize = 6;
