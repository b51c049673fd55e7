//! `maxResults` and `nextToken` of ECS and EKS.

use landfall_wire::error::AwsError;
use landfall_wire::json::Input;

use super::invalid;
pub(super) use crate::page::Page;

impl Page {
    /// Reads the two members; `most` is what AWS allows and gives.
    pub(crate) fn read(input: Input<'_>, default: usize, most: usize) -> Result<Self, AwsError> {
        let size = match input.integer("maxResults")? {
            None => default,
            Some(count) => usize::try_from(count)
                .ok()
                .filter(|count| (1..=most).contains(count))
                .ok_or_else(|| invalid(format!("maxResults should be between 1 and {most}.")))?,
        };
        Self::at(input.text("nextToken")?, size).ok_or_else(|| invalid("Invalid token in request."))
    }
}
