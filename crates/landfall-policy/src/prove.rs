//! Proofs about policies, each with a request that shows it.
//!
//! A region of requests is cut into cells in which every condition has one outcome. The evaluator
//! decides one request of each cell, and so all of them: prover and evaluator can't disagree. What a
//! cut can't express (a variable whose value isn't known) makes the answer *unknown*, with the cause.

mod cells;
mod customised;
mod dead;
mod gather;
mod names;
mod only;
mod points;
mod principals;
mod regions;
mod who;
mod words;

use crate::ast::Policy;
use crate::decide::{self, Layers, Named, decide};
use crate::region::{ProviderFacts, Region};
use crate::request::Request;
use crate::set::Budget;
pub use crate::set::{Measure, STATES_MAX, STEPS_MAX, TooLarge};
use cells::Cut;
use regions::Regions;

pub use cells::COMBINATIONS_MAX;
pub use dead::Dead;
pub use only::{Meant, Only, only};
pub use principals::{Grant, Use, grants};
pub use who::{Breadth, Forms, Stratum, Who, Witness, who};

/// What policies say of all requests of a region.
#[derive(Clone, Debug)]
pub enum Proof {
    /// All are allowed.
    Always,
    /// None is allowed; also when the region is empty.
    Never,
    /// Some are and some are not.
    Sometimes {
        /// One that is allowed.
        allowed: Box<Request>,
        /// One that is not.
        denied: Box<Request>,
    },
    /// The question passed a limit.
    TooLarge(TooLarge),
    /// It can't be known.
    Unknown {
        /// Why not, as phrases.
        because: Vec<String>,
    },
}

/// What one set of policies allows and another does not.
#[derive(Clone, Debug)]
pub struct Change {
    /// A request that is newly allowed.
    pub gained: Option<Request>,
    /// A request that is no longer allowed.
    pub lost: Option<Request>,
    /// Why the absence of one of them is not a proof.
    pub unknown: Vec<String>,
}

impl Change {
    /// Whether the two are proved to allow the same.
    pub fn is_none(&self) -> bool {
        self.gained.is_none() && self.lost.is_none() && self.unknown.is_empty()
    }
}

/// Which requests of a region the layers allow.
pub fn allows(layers: &Layers<'_>, region: &Region) -> Proof {
    allows_within(layers, region, &Budget::new())
}

/// As [`allows`], as part of a larger question.
fn allows_within(layers: &Layers<'_>, region: &Region, budget: &Budget) -> Proof {
    try_allows(layers, region, budget).unwrap_or_else(Proof::TooLarge)
}

fn try_allows(layers: &Layers<'_>, region: &Region, budget: &Budget) -> Result<Proof, TooLarge> {
    let verdict = |request: &Request| verdict(layers, request);
    let (mut allowed, mut denied) = (Cheapest::default(), Cheapest::default());
    let mut causes = Vec::new();
    for product in &region.products {
        let cut = Cut::merged(product, &policies(layers), budget)?;
        causes.extend(cut.causes.iter().cloned());
        let (mut here, mut there) = (Choices::default(), Choices::default());
        cut.each(|choice| {
            match verdict(choice.request) {
                Ok(true) => here.offer(choice.cost, choice.indices),
                Ok(false) => there.offer(choice.cost, choice.indices),
                Err(unknown) => causes.extend(unknown),
            }
            cut.enough(here.best.is_some() && there.best.is_some())
        })?;
        allowed.take(&cut, here, |request| verdict(request) == Ok(true))?;
        denied.take(&cut, there, |request| verdict(request) == Ok(false))?;
    }
    causes.sort_unstable();
    causes.dedup();
    Ok(match (allowed.request(), denied.request()) {
        (Some(allowed), Some(denied)) => {
            Proof::Sometimes { allowed: Box::new(allowed), denied: Box::new(denied) }
        }
        _ if !causes.is_empty() => Proof::Unknown { because: causes },
        (Some(_), None) => Proof::Always,
        (None, _) => Proof::Never,
    })
}

/// What a change from old to new layers newly allows and no longer allows, within a region.
///
/// # Errors
/// When the policies are too entangled.
pub fn diff(old: &Layers<'_>, new: &Layers<'_>, region: &Region) -> Result<Change, TooLarge> {
    diff_within(old, new, region, &Budget::new())
}

/// As [`diff`], as part of a larger question.
fn diff_within(
    old: &Layers<'_>,
    new: &Layers<'_>,
    region: &Region,
    budget: &Budget,
) -> Result<Change, TooLarge> {
    let both: Vec<&Policy> = policies(old).into_iter().chain(policies(new)).collect();
    let (mut gained, mut lost) = (Cheapest::default(), Cheapest::default());
    let mut unknown = Vec::new();
    let is_gain = |request: &Request| (verdict(old, request), verdict(new, request)) == (Ok(false), Ok(true));
    let is_loss = |request: &Request| (verdict(old, request), verdict(new, request)) == (Ok(true), Ok(false));
    for product in &region.products {
        let cut = Cut::merged(product, &both, budget)?;
        unknown.extend(cut.causes.iter().cloned());
        let (mut here, mut there) = (Choices::default(), Choices::default());
        cut.each(|choice| {
            match (verdict(old, choice.request), verdict(new, choice.request)) {
                (Ok(false), Ok(true)) => here.offer(choice.cost, choice.indices),
                (Ok(true), Ok(false)) => there.offer(choice.cost, choice.indices),
                (Ok(_), Ok(_)) => {}
                (before, after) => unknown.extend(before.err().into_iter().chain(after.err()).flatten()),
            }
            cut.enough(here.best.is_some() && there.best.is_some())
        })?;
        gained.take(&cut, here, is_gain)?;
        lost.take(&cut, there, is_loss)?;
    }
    unknown.sort_unstable();
    unknown.dedup();
    Ok(Change { gained: gained.request(), lost: lost.request(), unknown })
}

/// What a change of a role's trust policy newly admits and no longer admits, of a provider's tokens;
/// customised subjects included where one of the two leaves room for them.
///
/// # Errors
/// When the policies are too entangled.
pub fn diff_trust(
    old: &Policy,
    new: &Policy,
    provider: &ProviderFacts,
    role: &str,
) -> Result<Change, TooLarge> {
    let (before, after) = (trust_layers(old), trust_layers(new));
    let sides = [(old, new), (new, old)];
    let regions =
        sides.map(|(one, other)| Regions::new(one, provider, role, &[], names::subjects(other, provider)));
    let budget = Budget::new();
    let mut change = diff_within(&before, &after, &Region::tokens(provider, role), &budget)?;
    let Some(customised) = regions.into_iter().find_map(|regions| regions.customised) else {
        return Ok(change);
    };
    match diff_within(&before, &after, &customised, &budget) {
        Ok(more) => {
            change.gained = change.gained.or(more.gained);
            change.lost = change.lost.or(more.lost);
            change.unknown.extend(more.unknown);
        }
        Err(too_large) => change.unknown.push(regions::too_large(too_large)),
    }
    change.unknown.sort_unstable();
    change.unknown.dedup();
    Ok(change)
}

fn trust_layers(trust: &Policy) -> Layers<'_> {
    Layers { trust: Some(Named { name: "trust policy".into(), policy: trust }), ..Layers::default() }
}

/// Whether a request is allowed; what could not be read, when that might change the answer.
fn verdict(layers: &Layers<'_>, request: &Request) -> Result<bool, Vec<String>> {
    decide::allows(layers, request).ok_or_else(|| decide(layers, request).unknown)
}

fn policies<'a>(layers: &Layers<'a>) -> Vec<&'a Policy> {
    let levels = layers.service_control.iter().chain(&layers.resource_control).flatten();
    let single = layers.trust.iter().chain(&layers.boundary);
    let lists = layers.identity.iter().chain(&layers.resource).chain(layers.session.iter().flatten());
    single.chain(lists).chain(levels).map(|named| named.policy).collect()
}

/// The cheapest combination so far.
#[derive(Default, Debug)]
struct Choices {
    best: Option<(u64, Vec<usize>)>,
}

impl Choices {
    fn offer(&mut self, cost: u64, indices: &[usize]) {
        if self.best.as_ref().is_none_or(|(best, _)| cost < *best) {
            self.best = Some((cost, indices.to_vec()));
        }
    }
}

/// The cheapest request so far, over several products.
#[derive(Default, Debug)]
struct Cheapest {
    best: Option<(u64, Request)>,
}

impl Cheapest {
    /// Takes a product's cheapest combination, made plausible. A witness that the evaluator does not
    /// confirm is none.
    fn take(
        &mut self,
        cut: &Cut<'_>,
        choices: Choices,
        is_so: impl Fn(&Request) -> bool,
    ) -> Result<(), TooLarge> {
        let Some((cost, indices)) = choices.best else { return Ok(()) };
        if self.best.as_ref().is_some_and(|(best, _)| *best <= cost) {
            return Ok(());
        }
        let request = cut.plausible(&indices, &is_so)?;
        if is_so(&request) {
            self.best = Some((cost, request));
        }
        Ok(())
    }

    fn is_found(&self) -> bool {
        self.best.is_some()
    }

    fn request(self) -> Option<Request> {
        self.best.map(|(_, request)| request)
    }
}
