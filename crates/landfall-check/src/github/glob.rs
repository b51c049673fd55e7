//! The patterns of `branches`, `tags` and `paths`. GitHub, "Workflow syntax", Filter pattern cheat sheet.

/// A pattern that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Glob {
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, Debug)]
enum Item {
    /// `*`: any characters but `/`.
    Segment,
    /// `**`: any characters.
    Anything,
    One(Test),
    /// `x?`
    Optional(Test),
    /// `x+`
    Repeated(Test),
}

#[derive(Clone, PartialEq, Debug)]
enum Test {
    Is(char),
    /// Inclusive ranges.
    In(Vec<(char, char)>),
}

impl Test {
    fn fits(&self, character: char) -> bool {
        match self {
            Self::Is(wanted) => *wanted == character,
            Self::In(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)),
        }
    }
}

impl Glob {
    /// Reads a pattern without its leading `!`. A set that is not closed is an ordinary `[`.
    pub fn parse(pattern: &str) -> Self {
        let characters: Vec<char> = pattern.chars().collect();
        let (mut items, mut at) = (Vec::new(), 0);
        while let Some(character) = characters.get(at).copied() {
            at += 1;
            let test = match character {
                '*' if characters.get(at) == Some(&'*') => {
                    at += 1;
                    items.push(Item::Anything);
                    continue;
                }
                '*' => {
                    items.push(Item::Segment);
                    continue;
                }
                '[' => match set(characters.get(at..).unwrap_or(&[])) {
                    Some((test, length)) => {
                        at += length;
                        test
                    }
                    None => Test::Is('['),
                },
                '\\' => {
                    at += 1;
                    Test::Is(characters.get(at - 1).copied().unwrap_or('\\'))
                }
                _ => Test::Is(character),
            };
            items.push(match characters.get(at) {
                Some('?') => Item::Optional(test),
                Some('+') => Item::Repeated(test),
                _ => Item::One(test),
            });
            at += usize::from(matches!(items.last(), Some(Item::Optional(_) | Item::Repeated(_))));
        }
        Self { items }
    }

    /// Whether the whole text fits. Takes time of text length × pattern length at most.
    pub fn fits(&self, text: &str) -> bool {
        // The set of items that may come next, as in a simulation of an automaton.
        let mut states = vec![false; self.items.len() + 1];
        self.enter(&mut states, 0);
        for character in text.chars() {
            let mut next = vec![false; states.len()];
            for (at, item) in self.items.iter().enumerate() {
                if states.get(at) != Some(&true) {
                    continue;
                }
                match item {
                    Item::Segment if character != '/' => self.enter(&mut next, at),
                    Item::Anything => self.enter(&mut next, at),
                    Item::One(test) | Item::Optional(test) if test.fits(character) => {
                        self.enter(&mut next, at + 1);
                    }
                    Item::Repeated(test) if test.fits(character) => {
                        self.enter(&mut next, at);
                        self.enter(&mut next, at + 1);
                    }
                    _ => {}
                }
            }
            states = next;
        }
        states.last() == Some(&true)
    }

    /// Marks a state and those that are reached from it without a character.
    fn enter(&self, states: &mut [bool], from: usize) {
        let mut at = from;
        loop {
            if let Some(state) = states.get_mut(at) {
                *state = true;
            }
            match self.items.get(at) {
                Some(Item::Segment | Item::Anything | Item::Optional(_)) => at += 1,
                _ => return,
            }
        }
    }
}

/// The inside of `[…]` and how many characters it takes with its bracket.
fn set(characters: &[char]) -> Option<(Test, usize)> {
    let close = characters.iter().position(|character| *character == ']').filter(|at| *at > 0)?;
    let inside = characters.get(..close)?;
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(from) = inside.get(at).copied() {
        match (inside.get(at + 1), inside.get(at + 2)) {
            (Some('-'), Some(to)) => {
                ranges.push((from, *to));
                at += 3;
            }
            _ => {
                ranges.push((from, from));
                at += 1;
            }
        }
    }
    Some((Test::In(ranges), close + 1))
}
