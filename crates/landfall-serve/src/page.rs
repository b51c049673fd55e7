//! Lists in pages. The token says where the next page begins; its form is nobody's business.
//!
//! It names items and no number of them: whoever deletes what a page told, or sees it go by itself, gets what comes
//! behind it and nothing less.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::hash::sha256;
use serde_json::{Map, Value};

/// Items that a token names of those to come: as many as may go before the next page is asked for, and it begins
/// where it should all the same.
const AHEAD_MAX: usize = 16;
/// Bytes of an item's name in a token.
const MARK_BYTES: usize = 8;

/// An item as a token names it.
type Mark = [u8; MARK_BYTES];

/// Where a page begins, by the items around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bookmark {
    /// The last item that was told.
    last: Mark,
    /// The first items that were not, in their order.
    ahead: Vec<Mark>,
}

impl Bookmark {
    /// The place before an item of a list; none before its first and behind its last.
    pub(crate) fn before<T>(at: usize, items: &[T], key: impl Fn(&T) -> String) -> Option<Self> {
        let last = mark(&key(items.get(at.checked_sub(1)?)?));
        let ahead: Vec<Mark> = items.get(at..)?.iter().take(AHEAD_MAX).map(|item| mark(&key(item))).collect();
        (!ahead.is_empty()).then_some(Self { last, ahead })
    }

    /// Where it is in a list that may have changed: at the first item of those that were to come, behind the last that
    /// was told when all of them are gone, and at the beginning when nothing is left of what it names: an item may be
    /// told twice then, and none is left out.
    pub(crate) fn find<T>(&self, items: &[T], key: impl Fn(&T) -> String) -> usize {
        let mut behind = 0;
        for (at, item) in items.iter().enumerate() {
            let mark = mark(&key(item));
            if self.ahead.contains(&mark) {
                return at;
            }
            if mark == self.last {
                behind = at + 1;
            }
        }
        behind
    }

    /// As a token, with a sum by which it is known that it was given here.
    pub(crate) fn write(&self) -> String {
        let mut bytes: Vec<u8> = self.last.iter().chain(self.ahead.iter().flatten()).copied().collect();
        bytes.extend(sum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A token read; none for one that was never given.
    pub(crate) fn read(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (marks, rest) = bytes.as_chunks::<MARK_BYTES>();
        let (found_sum, marks) = marks.split_last()?;
        let (last, ahead) = marks.split_first()?;
        let is_ours = rest.is_empty()
            && (1..=AHEAD_MAX).contains(&ahead.len())
            && *found_sum == sum(marks.as_flattened());
        is_ours.then(|| Self { last: *last, ahead: ahead.to_vec() })
    }
}

fn mark(key: &str) -> Mark {
    shortened(&sha256(key.as_bytes()))
}

fn sum(bytes: &[u8]) -> Mark {
    let mut summed = b"page".to_vec();
    summed.extend_from_slice(bytes);
    shortened(&sha256(&summed))
}

fn shortened(hash: &[u8]) -> Mark {
    hash.first_chunk().copied().unwrap_or_default()
}

/// Which part of a list is asked for. Each service reads it in its own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    from: Option<Bookmark>,
    size: usize,
}

impl Page {
    /// The page of `size` items that a token leads to, without one the first; none for a token that was never given.
    pub(crate) fn at(token: Option<&str>, size: usize) -> Option<Self> {
        let from = match token {
            None => None,
            Some(token) => Some(Bookmark::read(token)?),
        };
        Some(Self { from, size })
    }

    /// The page of `items`, and the token of the next page if there is one. No two items have the same key.
    pub(crate) fn cut<T>(self, items: &[T], key: impl Fn(&T) -> String) -> (&[T], Option<String>) {
        let begin = self.from.map_or(0, |from| from.find(items, &key));
        let rest = items.get(begin..).unwrap_or_default();
        let page = rest.get(..self.size).unwrap_or(rest);
        (page, Bookmark::before(begin + page.len(), items, key).map(|next| next.write()))
    }

    /// The page of `items`, under `name`, with the token of the next page if there is one.
    pub(crate) fn answer<T>(
        self,
        name: &str,
        items: &[T],
        key: impl Fn(&T) -> String,
        render: impl Fn(&T) -> Value,
    ) -> Value {
        let (page, next) = self.cut(items, key);
        let mut answer = Map::new();
        answer.insert(name.to_owned(), page.iter().map(render).collect());
        if let Some(next) = next {
            answer.insert("nextToken".to_owned(), Value::String(next));
        }
        Value::Object(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The items of a page, and the token of the next.
    fn page<'t>(token: Option<&str>, items: &[&'t str]) -> (Vec<&'t str>, Option<String>) {
        let (page, next) = Page::at(token, 2).unwrap().cut(items, |item| (*item).to_owned());
        (page.to_vec(), next)
    }

    #[test]
    fn a_page_begins_behind_what_was_told_whatever_has_gone_since() {
        let all = ["a", "b", "c", "d", "e", "f"];
        let (first, next) = page(None, &all);
        assert_eq!(first, ["a", "b"]);
        let next = next.unwrap();
        for (left, wanted) in [
            (&all[..], &["c", "d"][..]),
            // What was told is gone: the whole page, and its last item alone.
            (&["c", "d", "e", "f"], &["c", "d"]),
            (&["a", "c", "d", "e", "f"], &["c", "d"]),
            // What comes next is gone, with and without what was told.
            (&["a", "b", "d", "e", "f"], &["d", "e"]),
            (&["e", "f"], &["e", "f"]),
            // Something went to the end of a list in the order of what was done last.
            (&["a", "b", "d", "e", "f", "c"], &["d", "e"]),
            (&["a", "c", "d", "e", "f", "b"], &["c", "d"]),
            // Nothing is left of what was to come; nothing of all that the token names.
            (&["a", "b", "new"], &["new"]),
            (&["a", "new"], &["a", "new"]),
            (&[], &[]),
        ] {
            assert_eq!(page(Some(&next), left).0, wanted, "{left:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        assert_eq!(page(None, &["a", "b"]), (vec!["a", "b"], None));
        let (_, next) = page(None, &["a", "b", "c"]);
        assert_eq!(page(next.as_deref(), &["a", "b", "c"]), (vec!["c"], None));
        assert_eq!(page(None, &[]), (vec![], None));
    }

    #[test]
    fn no_token_but_ours_is_one() {
        let items: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let token = Page::at(None, 3).unwrap().cut(&items, String::clone).1.unwrap();
        assert!(Page::at(Some(&token), 3).is_some());
        let mut other = URL_SAFE_NO_PAD.decode(&token).unwrap();
        other[3] ^= 1;
        let sum_alone = URL_SAFE_NO_PAD.encode(sum(b""));
        let shortened = token.get(..token.len() - 11).unwrap();
        for text in
            ["", "Mg", "Ng", "AAAAAAAAAAA", &URL_SAFE_NO_PAD.encode(&other), &sum_alone, shortened, "?"]
        {
            assert_eq!(Page::at(Some(text), 3), None, "{text}");
        }
    }
}
