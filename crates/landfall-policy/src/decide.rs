//! Putting the layers together: the one function that decides.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use crate::ast::Policy;
use crate::decision::{Decision, Denial, Layer, Outcome};
use crate::matching::{Hit, Reach, best_allow, first_deny, misses};
use crate::request::{Principal, Request};

/// The policies of every layer that applies to a request. A layer that is `None` or empty is not
/// there (no boundary, no session policy); a layer that is there and allows nothing denies.
#[derive(Clone, Default, Debug)]
pub struct Layers<'a> {
    /// The role's trust policy: only for `sts:AssumeRole*`, `sts:TagSession`, `sts:SetSourceIdentity`.
    pub trust: Option<Named<'a>>,
    /// Policies attached to the caller, inline ones included.
    pub identity: Vec<Named<'a>>,
    /// The policies of the resource and of what it belongs to (a repository's, its registry's): any may allow, any
    /// may deny, each in its own version of the language.
    pub resource: Vec<Named<'a>>,
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
    let consulted = consulted(layers, request);
    match weigh(layers, request, &consulted) {
        Weighed::Forbidden(by) => Decision {
            outcome: Outcome::Denied(Denial::Explicit { by: by.statement_ref() }),
            allowed_by: Vec::new(),
            misses: Vec::new(),
            unknown: Vec::new(),
        },
        Weighed::Open(trail) => trail.decision(&consulted),
    }
}

/// Whether a request is allowed, without the reasons: what [`decide`] says, at a fraction of the cost of a
/// denial. None when statements that could not be read might change the answer.
pub fn allows(layers: &Layers<'_>, request: &Request) -> Option<bool> {
    let consulted = consulted(layers, request);
    let trail = match weigh(layers, request, &consulted) {
        Weighed::Forbidden(_) => return Some(false),
        Weighed::Open(trail) => trail,
    };
    let is_read = |policies: &[Named<'_>]| policies.iter().all(|named| named.policy.unread_statements == 0);
    let is_allowed = trail.missing.is_empty();
    let is_certain = if is_allowed {
        consulted.iter().all(|(_, policies)| is_read(policies))
    } else {
        trail.missing.iter().all(|(_, policies)| is_read(policies))
    };
    is_certain.then_some(is_allowed)
}

/// What all layers together come to.
enum Weighed<'l, 'a> {
    /// A `Deny` statement applies.
    Forbidden(Hit<'l>),
    /// None does: what grants, and what is missing.
    Open(Trail<'l, 'a>),
}

fn weigh<'l, 'a>(
    layers: &'l Layers<'a>,
    request: &'l Request,
    consulted: &[(Layer, &'l [Named<'a>])],
) -> Weighed<'l, 'a> {
    let denied_by = consulted.iter().find_map(|(layer, policies)| first_deny(*layer, policies, request));
    if let Some(by) = denied_by {
        return Weighed::Forbidden(by);
    }
    let mut trail = Trail { request, allowed_by: Vec::new(), missing: Vec::new() };
    trail.access(layers);
    trail.controls(layers);
    Weighed::Open(trail)
}

/// Whether an action is decided by a role's trust policy.
pub fn is_decided_by_trust(action: &str) -> bool {
    TRUST_ACTIONS.iter().any(|known| known.eq_ignore_ascii_case(action))
}

/// The actions that a role's trust policy decides.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
pub const TRUST_ACTIONS: &[&str] = &[
    "sts:AssumeRole",
    "sts:AssumeRoleWithWebIdentity",
    "sts:AssumeRoleWithSAML",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:SetContext",
];

/// The layers that take part, in the order in which AWS names the one that denies.
pub(crate) fn consulted<'l, 'a>(layers: &'l Layers<'a>, request: &Request) -> Vec<(Layer, &'l [Named<'a>])> {
    let mut all = Vec::with_capacity(8);
    if !is_service_linked(&request.principal) {
        all.extend(layers.resource_control.iter().map(|level| (Layer::ResourceControl, level.as_slice())));
    }
    if has_account(&request.principal) && !is_service_linked(&request.principal) {
        all.extend(layers.service_control.iter().map(|level| (Layer::ServiceControl, level.as_slice())));
    }
    all.push(gate(layers, request));
    if has_account(&request.principal) {
        all.push((Layer::Identity, &layers.identity));
        all.push((Layer::Boundary, boundary(layers)));
        all.push((Layer::Session, session(layers)));
    }
    all
}

/// The policies at the resource's side: a role's trust policy, or the resource's own.
fn gate<'l, 'a>(layers: &'l Layers<'a>, request: &Request) -> (Layer, &'l [Named<'a>]) {
    if is_decided_by_trust(&request.action) {
        (Layer::Trust, layers.trust.as_slice())
    } else {
        (Layer::Resource, &layers.resource)
    }
}

fn boundary<'l, 'a>(layers: &'l Layers<'a>) -> &'l [Named<'a>] {
    layers.boundary.as_slice()
}

fn session<'l, 'a>(layers: &'l Layers<'a>) -> &'l [Named<'a>] {
    layers.session.as_deref().unwrap_or(&[])
}

/// Whether there is a caller's side at all: tokens, services and strangers have no policies.
fn has_account(principal: &Principal) -> bool {
    match principal {
        Principal::Root { .. } | Principal::User { .. } | Principal::Session { .. } => true,
        Principal::Anonymous | Principal::Federated { .. } | Principal::Service { .. } => false,
    }
}

/// Whether the caller is a session of a role that belongs to a service: organizations' policies don't bind it.
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html>
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html>
fn is_service_linked(principal: &Principal) -> bool {
    matches!(principal, Principal::Session { role, .. } if role.resource.starts_with("role/aws-service-role/"))
}

/// What allowed on the way, and which layers had to and did not.
struct Trail<'l, 'a> {
    request: &'l Request,
    allowed_by: Vec<Hit<'l>>,
    missing: Vec<(Layer, &'l [Named<'a>])>,
}

impl<'l, 'a> Trail<'l, 'a> {
    /// The resource's side and the caller's.
    ///
    /// Within an account either side may grant; what a resource policy says of a user or a session by
    /// name needs nobody's consent, what it says of a role stays within boundary and session policy,
    /// and what it says of the account only hands the question to the identity policies. A role's
    /// trust policy always has to grant. Between accounts both sides have to.
    fn access(&mut self, layers: &'l Layers<'a>) {
        let (layer, policies) = gate(layers, self.request);
        let hit = best_allow(layer, policies, self.request);
        let reach = hit.as_ref().map(|hit| hit.reach);
        let principal = &self.request.principal;
        let crosses = principal.account() != self.request.resource_account;
        if let Some(hit) = hit {
            self.allowed_by.push(hit);
        } else if layer == Layer::Trust || crosses || !has_account(principal) {
            self.missing.push((layer, policies));
        }
        if !has_account(principal) {
            return;
        }
        if crosses || !matches!(reach, Some(Reach::Direct | Reach::Role)) {
            self.identity(layers, reach.is_none() && layer == Layer::Resource && !crosses);
        }
        if crosses || reach != Some(Reach::Direct) {
            self.all_must_allow(Layer::Boundary, boundary(layers));
            self.all_must_allow(Layer::Session, session(layers));
        }
    }

    /// The caller's own policies. `or_resource` says that the resource's policy could have granted
    /// instead, so that its misses belong to the answer too.
    fn identity(&mut self, layers: &'l Layers<'a>, or_resource: bool) {
        // An account's root user needs no policy.
        // <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user.html>
        if matches!(self.request.principal, Principal::Root { .. }) {
            return;
        }
        if let Some(hit) = best_allow(Layer::Identity, &layers.identity, self.request) {
            // Identity decides where the resource's side only delegated, so it stands first.
            self.allowed_by.insert(0, hit);
            return;
        }
        self.missing.push((Layer::Identity, &layers.identity));
        if or_resource && !layers.resource.is_empty() {
            self.missing.push((Layer::Resource, &layers.resource));
        }
    }

    /// Organizations' policies: each level has to allow. They don't bind callers without an account
    /// (service control) and bind every caller of a resource (resource control).
    fn controls(&mut self, layers: &'l Layers<'a>) {
        if is_service_linked(&self.request.principal) {
            return;
        }
        let before = self.missing.len();
        for level in &layers.resource_control {
            self.all_must_allow(Layer::ResourceControl, level);
        }
        if has_account(&self.request.principal) {
            for level in &layers.service_control {
                self.all_must_allow(Layer::ServiceControl, level);
            }
        }
        // AWS names an organization's policy before any other.
        let controls = self.missing.len() - before;
        self.missing.rotate_right(controls);
    }

    fn all_must_allow(&mut self, layer: Layer, policies: &'l [Named<'a>]) {
        if policies.is_empty() {
            return;
        }
        match best_allow(layer, policies, self.request) {
            Some(hit) => self.allowed_by.push(hit),
            None => self.missing.push((layer, policies)),
        }
    }

    fn decision(self, consulted: &[(Layer, &'l [Named<'a>])]) -> Decision {
        let request = self.request;
        let Some((layer, _)) = self.missing.first() else {
            return Decision {
                outcome: Outcome::Allowed,
                allowed_by: self.allowed_by.iter().map(Hit::statement_ref).collect(),
                misses: Vec::new(),
                unknown: unread(consulted.iter().flat_map(|(_, policies)| policies.iter())),
            };
        };
        Decision {
            outcome: Outcome::Denied(Denial::Implicit { layer: *layer }),
            allowed_by: Vec::new(),
            misses: self
                .missing
                .iter()
                .flat_map(|(layer, policies)| misses(*layer, policies, request))
                .collect(),
            unknown: unread(self.missing.iter().flat_map(|(_, policies)| policies.iter())),
        }
    }
}

/// One line for each policy of which statements could not be read. Statements that can't be read may
/// allow or deny, so they matter to every answer but an explicit denial.
fn unread<'l, 'a: 'l>(policies: impl Iterator<Item = &'l Named<'a>>) -> Vec<String> {
    policies
        .filter(|named| named.policy.unread_statements > 0)
        .map(|named| match named.policy.unread_statements {
            1 => format!("1 statement of {} could not be read", named.name),
            count => format!("{count} statements of {} could not be read", named.name),
        })
        .collect()
}
