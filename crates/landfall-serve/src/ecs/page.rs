//! `maxResults` and `nextToken`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Map, Value};

use super::invalid;

/// Which part of a list is asked for.
pub(super) struct Page {
    start: usize,
    size: usize,
}

impl Page {
    /// Reads the two members; `most` is what AWS allows and gives.
    pub(super) fn read(input: Input<'_>, default: usize, most: usize) -> Result<Self, AwsError> {
        let size = match input.integer("maxResults")? {
            None => default,
            Some(count) => usize::try_from(count)
                .ok()
                .filter(|count| (1..=most).contains(count))
                .ok_or_else(|| invalid(format!("maxResults should be between 1 and {most}.")))?,
        };
        let start = match input.text("nextToken")? {
            None => 0,
            Some(token) => start_of(token).ok_or_else(|| invalid("Invalid token in request."))?,
        };
        Ok(Self { start, size })
    }

    /// The page of `items`, under `name`, with the token of the next page if there is one.
    pub(super) fn answer<T>(self, name: &str, items: &[T], render: impl Fn(&T) -> Value) -> Value {
        let page: Vec<Value> = items.iter().skip(self.start).take(self.size).map(render).collect();
        let next = self.start.saturating_add(page.len());
        let mut answer = Map::new();
        answer.insert(name.to_owned(), Value::Array(page));
        if next < items.len() {
            answer.insert("nextToken".to_owned(), Value::String(URL_SAFE_NO_PAD.encode(next.to_string())));
        }
        Value::Object(answer)
    }
}

fn start_of(token: &str) -> Option<usize> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok()?;
    std::str::from_utf8(&decoded).ok()?.parse().ok()
}
