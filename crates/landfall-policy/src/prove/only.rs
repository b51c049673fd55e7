//! A gate: whether anybody gets in beyond those who are meant to.

use super::cells::Cut;
use super::names::{Names, Place, values};
use super::regions::Regions;
use super::who::{View, Witness, claims};
use super::{Cheapest, Choices, TooLarge, trust_layers, verdict};
use crate::ast::Policy;
use crate::pattern;
use crate::region::{Product, ProviderFacts, Slot, SubjectTemplate, Templates};
use crate::request::Request;
use crate::set::{Budget, Case, Leaf, Observer, Visit};

/// Whether anybody gets in beyond those who are meant to.
#[derive(Clone, Debug)]
pub enum Only {
    /// Nobody else does.
    Proved,
    /// Somebody else does: this one, for instance. Where its subject fits what was meant, it is of an
    /// owner whom neither the policy nor the pattern names.
    Outsider(Box<Witness>),
    /// It can't be known.
    Unknown {
        /// Why not, as phrases.
        because: Vec<String>,
    },
}

/// Whose tokens are meant to get in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meant {
    /// Patterns of `*` and `?` for subjects.
    pub patterns: Vec<String>,
    /// Whether the immutable form of the same repository is meant as well: for `repo:acme/api:*` also
    /// `repo:acme@ID/api@ID:…`.
    pub or_ids: bool,
}

impl Meant {
    /// Whether a subject is meant.
    pub fn admits(&self, subject: &str) -> bool {
        self.all().iter().any(|pattern| pattern::glob(pattern, subject))
    }

    fn all(&self) -> Vec<String> {
        let ids = self.patterns.iter().filter(|_| self.or_ids).filter_map(|pattern| with_ids(pattern));
        self.patterns.iter().cloned().chain(ids).collect()
    }
}

/// Whether a trust policy admits only tokens that are meant. `templates` are the subject templates that
/// some repositories are said to use.
///
/// Repositories of owners that policy and patterns don't name are taken to use any template. The others
/// use GitHub's default subject, what is said of them, and templates of the kind that the policy asks for.
///
/// # Errors
/// When the policy's patterns are too entangled.
pub fn only(
    trust: &Policy,
    provider: &ProviderFacts,
    role: &str,
    meant: &Meant,
    templates: &[SubjectTemplate],
) -> Result<Only, TooLarge> {
    let patterns = || meant.patterns.iter().map(String::as_str);
    let names = Names::of(trust, provider, templates, patterns());
    let view = View { trust, provider, names, templates, budget: Budget::new() };
    let gate = Gate { view, key: provider.key("sub"), meant };
    let regions = Regions::new(trust, provider, role, templates, patterns());
    let mut unknown = Vec::new();
    let mut outsider = Cheapest::default();
    for product in regions.default.products.iter().chain(&regions.templated.products) {
        gate.look_at(product, &mut outsider, &mut unknown)?;
    }
    // One outsider is enough, and those with default subjects are the plainest.
    let customised = regions.customised.iter().flat_map(|region| &region.products);
    for product in customised {
        if outsider.is_found() {
            break;
        }
        if let Err(too_large) = gate.look_at(product, &mut outsider, &mut unknown) {
            unknown.push(super::regions::too_large(too_large));
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    Ok(match outsider.request() {
        Some(request) => Only::Outsider(Box::new(Witness { claims: claims(provider, &request), request })),
        None if unknown.is_empty() => Only::Proved,
        None => Only::Unknown { because: unknown },
    })
}

struct Gate<'g> {
    view: View<'g>,
    key: String,
    meant: &'g Meant,
}

impl Gate<'_> {
    fn look_at(
        &self,
        product: &Product,
        outsider: &mut Cheapest,
        unknown: &mut Vec<String>,
    ) -> Result<(), TooLarge> {
        let layers = trust_layers(self.view.trust);
        let is_outside = |request: &Request| self.is_outside(request, product.templates);
        let cut = Cut::new(product, &[self.view.trust], &self.probes(), &self.view.budget)?;
        unknown.extend(cut.causes.iter().cloned());
        let mut choices = Choices::default();
        cut.each(|choice| {
            match verdict(&layers, choice.request) {
                Ok(true) if is_outside(choice.request) => choices.offer(choice.cost, choice.indices),
                Ok(_) => {}
                Err(causes) => unknown.extend(causes),
            }
            Visit::GoOn
        })?;
        outsider.take(&cut, choices, |request| is_outside(request) && verdict(&layers, request) == Ok(true))
    }

    /// Questions that tell apart those who are meant, and the owners that are named.
    fn probes(&self) -> Vec<(Slot, Vec<Observer>)> {
        let leaves = self.meant.all();
        let leaves = leaves.iter().flat_map(|one| {
            [Case::Exact, Case::Ascii].map(|case| Observer { leaves: vec![Leaf::glob(one, case)] })
        });
        let mut probes = self.view.names.probes(self.view.provider);
        probes.push((Slot::Key(self.key.clone()), leaves.collect()));
        probes
    }

    fn is_outside(&self, request: &Request, templates: Option<Templates>) -> bool {
        let Some([subject]) = request.context.get(&self.key) else { return true };
        match templates {
            None => {
                let repository = self.repository(request);
                let is_templated = self.view.templates.iter().any(|one| one.is_of(&repository));
                !is_templated && !self.is_meant(subject, &repository)
            }
            Some(Templates::Said) => !self.is_meant(subject, &self.repository(request)),
            Some(Templates::Unknown) => {
                let is_foreign = self.is_foreign(request);
                // A repository that begins its subject so is the one that it names.
                if subject.starts_with("repo:") {
                    return is_foreign && !self.is_meant(subject, &self.repository(request));
                }
                !self.is_meant(subject, &self.repository(request)) || (is_foreign && self.names_claim())
            }
        }
    }

    fn repository(&self, request: &Request) -> String {
        let key = self.view.provider.key("repository");
        request.context.get(&key).map_or_else(String::new, <[String]>::concat)
    }

    /// GitHub tells names apart but for their case, so another case of a name is the same repository.
    fn is_meant(&self, subject: &str, repository: &str) -> bool {
        if self.meant.admits(subject) {
            return true;
        }
        let spellings = self.view.names.spellings(repository);
        spellings.iter().any(|known| self.meant.admits(&subject.replacen(repository, known, 1)))
    }

    /// Whether a token is of an owner whom nobody names, by name or by id.
    fn is_foreign(&self, request: &Request) -> bool {
        if self.view.place(request) != Place::Others {
            return false;
        }
        let is_named = |claim: &str| {
            let Some([id]) = request.context.get(&self.view.provider.key(claim)) else { return false };
            let subjects = values(self.view.trust, &self.key);
            let in_subject = |pattern: &str| {
                let parts: Vec<&str> = pattern.split(':').collect();
                parts.windows(2).any(|pair| pair == [claim, id.as_str()])
            };
            values(self.view.trust, &self.view.provider.key(claim)).any(|value| value == id)
                || subjects.chain(self.meant.patterns.iter().map(String::as_str)).any(in_subject)
        };
        !is_named("repository_owner_id") && !is_named("repository_id")
    }

    /// Whether what is meant begins with a claim: such a subject is anybody's who has the claim.
    fn names_claim(&self) -> bool {
        let begins = |pattern: &String| pattern.starts_with("repo:") || pattern.starts_with(['*', '?']);
        !self.meant.patterns.iter().all(begins)
    }
}

/// The immutable form of a pattern for subjects. Names hold neither `@` nor `/`, so `@*` is the id.
fn with_ids(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix("repo:").filter(|rest| !rest.contains('@'))?;
    let (owner, rest) = rest.split_once('/')?;
    let (name, context) = rest.split_once(':').map_or((rest, ""), |(name, context)| (name, context));
    let tail = if rest.contains(':') { format!(":{context}") } else { String::new() };
    // `repo:acme/*` means every repository with every context.
    if tail.is_empty() && name.ends_with('*') {
        return Some(format!("repo:{owner}@*/{name}"));
    }
    Some(format!("repo:{owner}@*/{name}@*{tail}"))
}
