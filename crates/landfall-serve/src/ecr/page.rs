//! ECR's `maxResults` and `nextToken`.

use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::Value;

use super::EcrCall;
pub(super) use crate::page::Page;

/// Results of a page when the call doesn't say (ECR's API reference).
const RESULTS_DEFAULT: usize = 100;

impl Page {
    /// Reads the two members; their limits were checked with the rest of the input.
    pub(super) fn of(call: &EcrCall<'_>) -> Result<Self, AwsError> {
        Self::of_at_most(call, RESULTS_DEFAULT)
    }

    /// [`Page::of`] for an operation with smaller pages.
    pub(super) fn of_at_most(call: &EcrCall<'_>, results_default: usize) -> Result<Self, AwsError> {
        let size = call.input.get("maxResults").and_then(Value::as_u64);
        let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(results_default);
        Self::at(call.text("nextToken"), size)
            .ok_or_else(|| ecr_invalid_parameter("nextToken", "must be the nextToken of an earlier answer"))
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
}
