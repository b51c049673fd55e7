//! Reasons as text: AWS's own sentence for the client, a finding for the person who must act.

use crate::decision::Decision;
use crate::request::Request;

/// AWS's refusal sentence (FACTS 5.5): `User: ARN is not authorized to perform: ACTION on resource:
/// ARN because no identity-based policy allows the ACTION action`.
pub fn aws_sentence(decision: &Decision, request: &Request) -> String {
    let _ = (decision, request);
    todo!()
}
