//! `maxResults` and `nextToken`. The token says where the next page begins; its form is nobody's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Map, Value};

use super::EcrCall;

/// Results of a page when the call doesn't say (ECR's API reference).
const RESULTS_DEFAULT: usize = 100;

/// Which part of a list is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page {
    start: usize,
    size: usize,
}

impl Page {
    /// Reads the two members; their limits were checked with the rest of the input.
    pub(super) fn read(call: &EcrCall<'_>) -> Result<Self, AwsError> {
        Self::read_with(call, RESULTS_DEFAULT)
    }

    /// [`Page::read`] for an operation with smaller pages.
    pub(super) fn read_with(call: &EcrCall<'_>, results_default: usize) -> Result<Self, AwsError> {
        let size = call.input.get("maxResults").and_then(Value::as_u64);
        let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(results_default);
        let start = match call.text("nextToken") {
            None => 0,
            Some(token) => start_of(token).ok_or_else(|| {
                ecr_invalid_parameter("nextToken", "must be the nextToken of an earlier answer")
            })?,
        };
        Ok(Self { start, size })
    }

    /// Refuses paging for a call that names what it wants.
    pub(super) fn refuse(call: &EcrCall<'_>, names: &str) -> Result<(), AwsError> {
        let given = |member: &&str| call.input.get(*member).is_some_and(|value| !value.is_null());
        match ["maxResults", "nextToken"].into_iter().find(given) {
            None => Ok(()),
            Some(member) => {
                Err(ecr_invalid_parameter(member, &format!("cannot be used together with {names}")))
            }
        }
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
