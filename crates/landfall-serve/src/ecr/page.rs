//! `maxResults` and `nextToken`. The token says where the next page begins; its form is nobody's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_wire::error::AwsError;
use landfall_wire::json::Input;
use serde_json::{Map, Value};

/// Results of a page when the call doesn't say (ECR's API reference).
const RESULTS_DEFAULT: usize = 100;
/// Most results of a page.
const RESULTS_MAX: usize = 1000;

/// Which part of a list is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page {
    start: usize,
    size: usize,
}

impl Page {
    /// Reads the two members.
    pub(super) fn read(input: Input<'_>) -> Result<Self, AwsError> {
        let size = match input.integer("maxResults")? {
            None => RESULTS_DEFAULT,
            Some(count) if count < 1 => {
                return Err(input.broken("maxResults", "Member must have value greater than or equal to 1"));
            }
            Some(count) => {
                usize::try_from(count).ok().filter(|count| *count <= RESULTS_MAX).ok_or_else(|| {
                    input.broken("maxResults", "Member must have value less than or equal to 1000")
                })?
            }
        };
        let start = match input.text("nextToken")? {
            None => 0,
            Some(token) => start_of(token)
                .ok_or_else(|| input.broken("nextToken", "must be the nextToken of an earlier answer"))?,
        };
        Ok(Self { start, size })
    }

    /// Refuses paging for a call that names what it wants.
    pub(super) fn refuse(input: Input<'_>, names: &str) -> Result<(), AwsError> {
        match ["maxResults", "nextToken"].into_iter().find(|member| input.value(member).is_some()) {
            None => Ok(()),
            Some(member) => Err(input.broken(member, &format!("cannot be used together with {names}"))),
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
