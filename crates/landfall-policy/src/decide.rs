//! Putting the layers together: the one function that decides.

use crate::ast::Policy;
use crate::decision::Decision;
use crate::request::Request;

/// The policies of every layer that applies to a request. A layer that is `None` or empty is not
/// there (no boundary, no session policy); a layer that is there and allows nothing denies.
#[derive(Clone, Default, Debug)]
pub struct Layers<'a> {
    /// The role's trust policy: only for `sts:AssumeRole*`, `sts:TagSession`, `sts:SetSourceIdentity`.
    pub trust: Option<Named<'a>>,
    /// Policies attached to the caller, inline ones included.
    pub identity: Vec<Named<'a>>,
    /// The resource's policy.
    pub resource: Option<Named<'a>>,
    /// The caller's permissions boundary.
    pub boundary: Option<Named<'a>>,
    /// The session's policies: they count together, and what they don't allow is denied.
    pub session: Option<Vec<Named<'a>>>,
    /// Service control policies, one list for each level from the root down; each level has to allow.
    pub service_control: Vec<Vec<Named<'a>>>,
    /// Resource control policies, as above.
    pub resource_control: Vec<Vec<Named<'a>>>,
}

/// A policy and the name under which reasons speak of it.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// An ARN, `inline policy x`, or `trust policy of ROLE`.
    pub name: std::borrow::Cow<'a, str>,
    /// The policy.
    pub policy: &'a Policy,
}

/// Decides a request. Pure: the same layers and request always give the same decision.
pub fn decide(layers: &Layers<'_>, request: &Request) -> Decision {
    let _ = (layers, request);
    todo!()
}
