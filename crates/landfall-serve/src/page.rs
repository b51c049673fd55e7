//! Lists in pages, for the services that speak JSON. The token says where the next page begins; its form is
//! nobody's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Which part of a list is asked for. Each service reads it in its own words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    start: usize,
    size: usize,
}

impl Page {
    /// The page of `size` items that a token leads to, without one the first; none for a token that was never given.
    pub(crate) fn at(token: Option<&str>, size: usize) -> Option<Self> {
        let start = token.map_or(Some(0), start_of)?;
        Some(Self { start, size })
    }

    /// The page of `items`, and the token of the next page if there is one.
    pub(crate) fn cut<T>(self, items: &[T]) -> (&[T], Option<String>) {
        let rest = items.get(self.start..).unwrap_or_default();
        let page = rest.get(..self.size).unwrap_or(rest);
        let next = self.start.saturating_add(page.len());
        (page, (next < items.len()).then(|| URL_SAFE_NO_PAD.encode(next.to_string())))
    }

    /// The page of `items`, under `name`, with the token of the next page if there is one.
    pub(crate) fn answer<T>(self, name: &str, items: &[T], render: impl Fn(&T) -> Value) -> Value {
        let (page, next) = self.cut(items);
        let mut answer = Map::new();
        answer.insert(name.to_owned(), page.iter().map(render).collect());
        if let Some(next) = next {
            answer.insert("nextToken".to_owned(), Value::String(next));
        }
        Value::Object(answer)
    }
}

fn start_of(token: &str) -> Option<usize> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&decoded).ok()?.parse().ok()
}
