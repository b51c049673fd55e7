//! Places in text: which file, from which byte to which byte.
//!
//! Readers attach spans, models copy them along, and only [`SourceMap`] knows lines and columns.

use std::sync::{Arc, RwLock};

/// One text that was read: a file, a policy sent over the wire, a flag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceId(pub u32);

/// A range of bytes in one source, end exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Span {
    /// The text that the range is in.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span from byte offsets; offsets beyond 4 GiB are clamped (every reader limits its input far below).
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { source, start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Whether another span lies within this one.
    pub fn contains(self, other: Self) -> bool {
        self.source == other.source && self.start <= other.start && other.end <= self.end
    }

    /// The smallest span that covers both; `self` when they are in different sources.
    pub fn to(self, other: Span) -> Span {
        if self.source != other.source {
            return self;
        }
        Span { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A value and where it was written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Attaches a place to a value.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A line and column for people, both from 1; columns count characters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The source's name as it was given (a path, mostly relative).
    pub name: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.line)
    }
}

/// All texts of a run, by [`SourceId`]. Cheap to clone: clones share the texts, and a text added
/// through one is seen by all, so that a server can name a line of a policy it was given later.
#[derive(Clone, Default, Debug)]
pub struct SourceMap {
    sources: Arc<RwLock<Vec<Source>>>,
}

#[derive(Clone, Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the name that messages will show for it.
    pub fn add(&self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> SourceId {
        let mut sources = self.sources.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let id = SourceId(u32::try_from(sources.len()).unwrap_or(u32::MAX));
        sources.push(Source { name: name.into(), text: text.into() });
        id
    }

    fn get(&self, id: SourceId) -> Option<Source> {
        let sources = self.sources.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.get(id.0 as usize).cloned()
    }

    /// The name of a source; empty for an unknown id.
    pub fn name(&self, id: SourceId) -> Arc<str> {
        self.get(id).map_or_else(|| Arc::from(""), |source| source.name)
    }

    /// The whole text of a source; empty for an unknown id.
    pub fn text(&self, id: SourceId) -> Arc<str> {
        self.get(id).map_or_else(|| Arc::from(""), |source| source.text)
    }

    /// File, line and column of a span's start.
    pub fn place(&self, span: Span) -> Place {
        let text = self.text(span.source);
        let upto = floor_char(&text, span.start as usize);
        let before = text.get(..upto).unwrap_or("");
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { name: self.name(span.source), line, column }
    }

    /// The text that a span covers.
    pub fn excerpt(&self, span: Span) -> String {
        let text = self.text(span.source);
        let (start, end) = (floor_char(&text, span.start as usize), floor_char(&text, span.end as usize));
        text.get(start..end).unwrap_or("").to_owned()
    }
}

fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let map = SourceMap::new();
        let id = map.add("a.tf", "ä = 1\nbé = 2\n");
        let span = Span::new(id, "ä = 1\nbé ".len(), "ä = 1\nbé = 2".len());
        let place = map.place(span);
        assert_eq!((place.line, place.column), (2, 4));
        assert_eq!(place.to_string(), "a.tf:2");
        assert_eq!(map.excerpt(span), "= 2");
    }

    #[test]
    fn a_span_past_the_end_is_an_empty_excerpt_not_a_panic() {
        let map = SourceMap::new();
        let id = map.add("a", "xy");
        assert_eq!(map.excerpt(Span::new(id, 7, 9)), "");
        assert_eq!(map.place(Span::new(SourceId(9), 1, 2)).line, 1);
    }
}
