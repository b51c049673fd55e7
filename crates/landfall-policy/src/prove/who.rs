//! Who can take a role: the tokens that its trust policy admits, in strata from one repository to
//! everybody, each with a token that shows it.

use std::collections::{BTreeMap, BTreeSet};

use landfall_types::{Claims, Spanned};

use super::cells::Cut;
use super::dead::{Dead, dead};
use super::names::{Fit, Names, Place, fitting, keys, wanted};
use super::regions::Regions;
use super::words;
use super::{trust_layers, verdict};
use crate::ast::{ComparisonKind, Condition, Effect, Policy, Statement};
use crate::pattern;
use crate::region::{
    Context, Coordinate, Family, IssuerKind, Product, ProviderFacts, Region, Slot, SubjectTemplate,
};
use crate::request::Request;
use crate::set::{Budget, Case, Leaf, Observer, Shape, TooLarge, Visit};

/// Everybody whom a trust policy admits.
#[derive(Clone, Debug)]
pub struct Who {
    /// Sets of tokens, narrowest first, which together are all that get in; empty when nobody does.
    pub strata: Vec<Stratum>,
    /// Statements and values that no token can satisfy.
    pub dead: Vec<Dead>,
    /// Why this may not be all, as phrases.
    pub unknown: Vec<String>,
}

impl Who {
    /// Whether it is proved that nobody gets in.
    pub fn is_nobody(&self) -> bool {
        self.strata.is_empty() && self.unknown.is_empty()
    }
}

/// Tokens that have the same standing.
#[derive(Clone, Debug)]
pub struct Stratum {
    /// How far it reaches.
    pub breadth: Breadth,
    /// Who that is, `every branch of `acme/api``.
    pub words: String,
    /// Which forms of subject get in.
    pub forms: Forms,
    /// The policy's own values that admit its subjects, in the policy's order.
    pub patterns: Vec<Spanned<String>>,
    /// A token that gets in.
    pub witness: Witness,
}

/// How far a stratum reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Breadth {
    /// Some refs or environments of one repository or service account.
    Context,
    /// All jobs of one repository but for its pull requests, or all of a kind.
    Repository,
    /// Pull requests of one repository.
    PullRequests,
    /// Further repositories of an owner that the policy names.
    Owner,
    /// Owners that the policy does not name, by a pattern.
    OtherOwners,
    /// Any owner at all.
    Anyone,
}

/// The forms of GitHub's subjects: with names alone, or with the ids of owner and repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Forms {
    /// `repo:acme/api:…` alone.
    Names,
    /// `repo:acme@1/api@2:…` alone.
    Ids,
    /// Both; also of issuers that have one form only.
    Both,
    /// Made by a template: a repository or its organization chose the claims (`include_claim_keys`).
    Customised,
}

/// A token that gets in.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The exchange, as the evaluator allowed it.
    pub request: Request,
    /// The token's claims.
    pub claims: Claims,
}

/// Who can take a role that trusts a provider. `templates` are the subject templates that some
/// repositories are said to use.
///
/// # Errors
/// When the policy's patterns are too entangled.
pub fn who(
    trust: &Policy,
    provider: &ProviderFacts,
    role: &str,
    templates: &[SubjectTemplate],
) -> Result<Who, TooLarge> {
    let names = Names::of(trust, provider, templates, std::iter::empty());
    let view = View { trust, provider, names, templates, budget: Budget::new() };
    let mut unknown = Vec::new();
    let mut regions = Regions::new(trust, provider, role, templates, std::iter::empty());
    let dead = dead(trust, provider, &mut regions, &view.budget)?;
    let mut strata = match provider.kind() {
        IssuerKind::GitHub => view.github(&regions, &dead, &mut unknown)?,
        IssuerKind::GitLab
        | IssuerKind::Eks
        | IssuerKind::Buildkite
        | IssuerKind::CircleCi
        | IssuerKind::Other => view.others(&regions.default, &mut unknown)?,
    };
    strata.sort_by(|left, right| (left.breadth, &left.words).cmp(&(right.breadth, &right.words)));
    unknown.sort_unstable();
    unknown.dedup();
    Ok(Who { strata, dead, unknown })
}

/// The claims of a token that makes this request.
pub(super) fn claims(provider: &ProviderFacts, request: &Request) -> Claims {
    let mut claims = Claims::new();
    claims.set_text("iss", format!("https://{}", provider.host));
    for claim in ["sub", "aud"] {
        if let Some([value]) = request.context.get(&provider.key(claim)) {
            claims.set_text(claim, value.clone());
        }
    }
    for key in request.context.iter() {
        let prefix = key.name.get(..provider.host.len()).filter(|it| it.eq_ignore_ascii_case(&provider.host));
        let claim = prefix.and_then(|prefix| key.name.get(prefix.len()..)?.strip_prefix(':'));
        if let (Some(claim), [value]) = (claim, key.values.as_slice()) {
            claims.set_text(claim.to_ascii_lowercase(), value.clone());
            if let ("repository", Some((owner, _))) = (claim, value.split_once('/')) {
                claims.set_text("repository_owner", owner);
            }
        }
    }
    claims
}

/// A policy seen from a provider.
pub(super) struct View<'v> {
    pub(super) trust: &'v Policy,
    pub(super) provider: &'v ProviderFacts,
    pub(super) names: Names,
    pub(super) templates: &'v [SubjectTemplate],
    /// What the question may still cost.
    pub(super) budget: Budget,
}

/// What of one place, kind of token and form gets in, all of it on the same conditions.
pub(super) struct Admitted {
    pub(super) cost: u64,
    pub(super) request: Request,
    /// A request for every value of the policy that tells subjects apart.
    samples: Vec<Request>,
    /// Of each key that varies beside the subject, whether some of its values are kept out.
    held: BTreeSet<String>,
    /// The policy's own values that those keys may have, in the policy's order.
    pub(super) fits: Vec<(String, Vec<Fit>)>,
    /// The combinations of everything beside the subject that get in.
    rests: BTreeSet<usize>,
    /// The policy with the grants alone that let them in, and all that it denies.
    by: Policy,
}

impl Admitted {
    fn fits(&self, key: &str) -> &[Fit] {
        let found = self.fits.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map_or(&[], |(_, fits)| fits.as_slice())
    }
}

/// What was seen of one place.
#[derive(Default)]
struct Tally {
    /// By the cell of the subject.
    subjects: BTreeMap<usize, Seen>,
}

/// What was seen of one cell of the subject.
struct Seen {
    best: super::Choices,
    /// A request for the cell.
    sample: Request,
    /// Which cells of each coordinate get in.
    used: Vec<BTreeSet<usize>>,
    rests: BTreeSet<usize>,
}

impl Tally {
    fn add(&mut self, choice: &super::cells::Choice<'_>, rest: usize) {
        let seen = self.subjects.entry(subject_of(choice.indices)).or_insert_with(|| Seen {
            best: super::Choices::default(),
            sample: choice.request.clone(),
            used: vec![BTreeSet::new(); choice.indices.len()],
            rests: BTreeSet::new(),
        });
        seen.best.offer(choice.cost, choice.indices);
        seen.rests.insert(rest);
        for (used, index) in seen.used.iter_mut().zip(choice.indices) {
            used.insert(*index);
        }
    }

    /// The cells of the subject that get in on the same conditions.
    fn groups(self, grant: usize) -> Vec<Group> {
        let mut groups: BTreeMap<BTreeSet<usize>, Group> = BTreeMap::new();
        for (subject, seen) in self.subjects {
            let sample = seen.sample.clone();
            match groups.get_mut(&seen.rests) {
                Some(group) => {
                    group.subjects.insert(subject);
                    group.samples.push(sample);
                    if let Some((cost, indices)) = &seen.best.best {
                        group.seen.best.offer(*cost, indices);
                    }
                }
                None => {
                    let (grants, subjects) = (BTreeSet::from([grant]), BTreeSet::from([subject]));
                    let rests = seen.rests.clone();
                    groups.insert(rests, Group { grants, subjects, seen, samples: vec![sample] });
                }
            }
        }
        groups.into_values().collect()
    }
}

/// Cells of the subject that the same grants let in on the same conditions.
struct Group {
    grants: BTreeSet<usize>,
    subjects: BTreeSet<usize>,
    seen: Seen,
    samples: Vec<Request>,
}

impl Group {
    fn holds(&self, other: &Self) -> bool {
        self.subjects.is_superset(&other.subjects) && self.seen.rests.is_superset(&other.seen.rests)
    }
}

/// The groups without those that are within another; of equal ones, the grants together.
fn widest(groups: Vec<Group>) -> Vec<Group> {
    let mut kept: Vec<Group> = Vec::new();
    for group in groups {
        match kept.iter_mut().find(|known| known.holds(&group)) {
            Some(known) if group.holds(known) => known.grants.extend(group.grants),
            Some(_) => {}
            None => {
                kept.retain(|known| !group.holds(known));
                kept.push(group);
            }
        }
    }
    kept
}

fn subject_of(indices: &[usize]) -> usize {
    indices.get(SUBJECT).copied().unwrap_or(0)
}

/// The place of a combination among those of all coordinates but the subject's.
fn rest_of(cut: &Cut<'_>, indices: &[usize]) -> usize {
    let beside = indices.iter().zip(&cut.cells).enumerate().filter(|(coordinate, _)| *coordinate != SUBJECT);
    beside.fold(0, |place, (_, (index, cells))| place.saturating_mul(cells.len()).saturating_add(*index))
}

impl View<'_> {
    fn github(
        &self,
        regions: &Regions<'_>,
        dead: &[Dead],
        unknown: &mut Vec<String>,
    ) -> Result<Vec<Stratum>, TooLarge> {
        let mut by_place: BTreeMap<Place, Vec<(Family, Admission)>> = BTreeMap::new();
        for product in &regions.default.products {
            let Some(family) = product.family else { continue };
            let probes = self.names.probes(self.provider);
            let place = |request: &Request, _: &Policy| {
                let is_templated =
                    self.templates.iter().any(|template| template.is_of(&self.repository_of(request)));
                (!is_templated).then(|| self.place(request))
            };
            for (place, admitted) in self.admitted(product, &probes, place, unknown)? {
                let admission = self.admission(product, family, &place, admitted)?;
                by_place.entry(place).or_default().push((family, admission));
            }
        }
        // A name in another case than the policy's is nobody's, unless nobody else is left.
        if by_place.keys().any(|place| !matches!(place, Place::OtherCase(_))) {
            by_place.retain(|place, _| !matches!(place, Place::OtherCase(_)));
        }
        let mut strata: Vec<(Place, Stratum)> = Vec::new();
        for (place, found) in by_place {
            strata.extend(self.strata(&place, &found).into_iter().map(|one| (place.clone(), one)));
        }
        let more = self.customised(regions, &strata, dead, unknown)?;
        Ok(strata.into_iter().map(|(_, stratum)| stratum).chain(more).collect())
    }

    /// What gets in of a product, by place, by the grants that let it in and by the conditions on which they do; where
    /// there is no place, the request is none that comes up. The place may depend on the grant.
    pub(super) fn admitted<P: Ord + Clone>(
        &self,
        product: &Product,
        probes: &super::cells::Probes,
        place: impl Fn(&Request, &Policy) -> Option<P>,
        unknown: &mut Vec<String>,
    ) -> Result<Vec<(P, Admitted)>, TooLarge> {
        let grants = self.grants();
        let fine = [probes, self.subject_probes(product).as_slice()].concat();
        let cut = Cut::new(product, &[self.trust], &fine, &self.budget)?;
        unknown.extend(cut.causes.iter().cloned());
        let mut tallies: BTreeMap<P, Vec<Tally>> = BTreeMap::new();
        cut.each(|choice| {
            if let Err(causes) = verdict(&trust_layers(self.trust), choice.request) {
                unknown.extend(causes);
            }
            for (index, grant) in grants.iter().enumerate() {
                if verdict(&trust_layers(grant), choice.request) == Ok(true)
                    && let Some(of) = place(choice.request, grant)
                {
                    let tallies = tallies.entry(of).or_default();
                    tallies.resize_with(grants.len(), Tally::default);
                    if let Some(tally) = tallies.get_mut(index) {
                        tally.add(choice, rest_of(&cut, choice.indices));
                    }
                }
            }
            Visit::GoOn
        })?;
        let mut admitted = Vec::new();
        for (of, tallies) in tallies {
            let groups = tallies.into_iter().enumerate().flat_map(|(grant, tally)| tally.groups(grant));
            for group in widest(groups.collect()) {
                let by = self.only(&grants, &group.grants);
                let is_there = |request: &Request| {
                    place(request, &by).as_ref() == Some(&of)
                        && verdict(&trust_layers(&by), request) == Ok(true)
                };
                admitted.extend(
                    self.admitted_group(product, &fine, &cut, group, &by, is_there)?
                        .map(|admitted| (of.clone(), admitted)),
                );
            }
        }
        Ok(admitted)
    }

    /// One group of what gets in: `by` has its grants, and `is_there` tells whether a request belongs to it but for its
    /// subject.
    fn admitted_group(
        &self,
        product: &Product,
        probes: &super::cells::Probes,
        cut: &Cut<'_>,
        group: Group,
        by: &Policy,
        is_there: impl Fn(&Request) -> bool,
    ) -> Result<Option<Admitted>, TooLarge> {
        let Group { subjects, seen, samples, .. } = group;
        let Some((cost, indices)) = seen.best.best else { return Ok(None) };
        let of_subject = self.subject_probes(product);
        let told = |request: &Request| -> Vec<Vec<Fit>> {
            let keys = of_subject.iter().filter_map(|(slot, _)| match slot {
                Slot::Key(key) => Some(key),
                Slot::Action | Slot::Resource => None,
            });
            keys.map(|key| fitting(by, key, request)).collect()
        };
        let wanted = told(&cut.request(&indices));
        let request = cut.plausible(&indices, |request| told(request) == wanted && is_there(request))?;
        let held = seen.used.iter().enumerate().filter(|(coordinate, used)| {
            let all = cut.cells.get(*coordinate).map_or(0, Vec::len);
            *coordinate != SUBJECT && all != used.len()
        });
        let held: BTreeSet<String> = held.flat_map(|(coordinate, _)| cut.keys(coordinate)).collect();
        let is_of = |choice: &super::cells::Choice<'_>| {
            subjects.contains(&subject_of(choice.indices)) && is_there(choice.request)
        };
        let mut fits = Vec::new();
        for key in &held {
            fits.push((key.clone(), self.fits(product, probes, by, key, is_of)?));
        }
        let by = by.clone();
        Ok(Some(Admitted { cost, request, samples, held, fits, rests: seen.rests, by }))
    }

    /// For each grant of the policy, the policy with that one alone and all that it denies.
    fn grants(&self) -> Vec<Policy> {
        let grants = self.trust.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        grants.map(|grant| self.with(std::iter::once(grant))).collect()
    }

    /// The policy with some of its grants.
    fn only(&self, grants: &[Policy], indices: &BTreeSet<usize>) -> Policy {
        let grants = indices.iter().filter_map(|index| grants.get(*index));
        self.with(grants.flat_map(|policy| &policy.statements).filter(|it| it.effect == Effect::Allow))
    }

    fn with<'s>(&self, grants: impl Iterator<Item = &'s Statement>) -> Policy {
        let denials = self.trust.statements.iter().filter(|statement| statement.effect == Effect::Deny);
        Policy { statements: grants.cloned().chain(denials.cloned()).collect(), ..self.trust.clone() }
    }

    /// Questions that keep a policy's values of a key apart: a condition asks for all of them at once.
    fn value_probes(&self, key: &str) -> Vec<Observer> {
        let leaf = |(condition, value): (&Condition, &Spanned<String>)| {
            let leaf = match condition.operator.comparison.kind {
                _ if pattern::has_variable(&value.value) => return None,
                ComparisonKind::StringEquals => Leaf::literal(&value.value, Case::Exact),
                ComparisonKind::StringEqualsIgnoreCase => Leaf::literal(&value.value, Case::Ascii),
                ComparisonKind::StringLike => Leaf::glob(&value.value, Case::Exact),
                // Each constant that is compared by order is a point of its own, and the others are few.
                _ => return None,
            };
            Some(Observer { leaves: vec![leaf] })
        };
        let wanted = wanted(self.trust, key);
        if wanted.len() < 2 { Vec::new() } else { wanted.into_iter().filter_map(leaf).collect() }
    }

    /// [`Self::value_probes`] of everything that the subject says.
    fn subject_probes(&self, product: &Product) -> Vec<(Slot, Vec<Observer>)> {
        let keys = keys(self.trust, &[]).into_iter().map(|(key, _)| Slot::Key(key.to_owned()));
        let of_subject = keys.filter(|slot| {
            product.coordinates.get(SUBJECT).is_some_and(|coordinate| coordinate.covers(slot))
        });
        let probes = of_subject.map(|slot| {
            let observers = match &slot {
                Slot::Key(key) => self.value_probes(key),
                Slot::Action | Slot::Resource => Vec::new(),
            };
            (slot, observers)
        });
        probes.filter(|(_, observers)| !observers.is_empty()).collect()
    }

    /// The policy's own values that a key beside the subject may have.
    fn fits(
        &self,
        product: &Product,
        probes: &super::cells::Probes,
        by: &Policy,
        key: &str,
        is_of: impl Fn(&super::cells::Choice<'_>) -> bool,
    ) -> Result<Vec<Fit>, TooLarge> {
        let slot = Slot::Key(key.to_owned());
        let fine = [probes, &[(slot.clone(), self.value_probes(key))]].concat();
        let cut = Cut::new(product, &[self.trust], &fine, &self.budget)?;
        let mut fits = Vec::new();
        cut.each(|choice| {
            if is_of(choice) {
                for fit in fitting(by, key, choice.request) {
                    if !fits.contains(&fit) {
                        fits.push(fit);
                    }
                }
            }
            Visit::GoOn
        })?;
        let wanted = wanted(by, key);
        let position = |fit: &Fit| wanted.iter().position(|(_, value)| **value == fit.value);
        fits.sort_by_key(position);
        Ok(fits)
    }

    pub(super) fn place(&self, request: &Request) -> Place {
        match self.repository_of(request).as_str() {
            "" => Place::Others,
            repository => self.names.place(repository),
        }
    }

    /// `OWNER/NAME` of a token.
    fn repository_of(&self, request: &Request) -> String {
        match request.context.get(&self.provider.key("repository")) {
            Some([repository]) => repository.clone(),
            _ => String::new(),
        }
    }

    /// Finds out how far what gets in reaches, by holding the witness still in all parts but one.
    fn admission(
        &self,
        product: &Product,
        family: Family,
        place: &Place,
        admitted: Admitted,
    ) -> Result<Admission, TooLarge> {
        let ids = [Part::OwnerId, Part::RepositoryId];
        let every = |free: &[Part]| self.is_every(product, place, &admitted, free);
        let every_context = family.context == Context::PullRequest || every(&[Part::Context])?;
        let (every_name, every_owner) = match place {
            Place::Repository(_) | Place::OtherCase(_) => (false, false),
            Place::Owner(_) => (every(&[Part::Name])?, false),
            Place::Others => (every(&[Part::Name])?, every(&[Part::Owner])?),
        };
        let every_id = !family.has_ids || every(&ids)?;
        Ok(Admission { admitted, every_context, every_name, every_owner, every_id })
    }

    /// Whether all tokens of a place get in, on the same conditions at least, that agree with a witness in all but
    /// the free parts.
    fn is_every(
        &self,
        product: &Product,
        place: &Place,
        admitted: &Admitted,
        free: &[Part],
    ) -> Result<bool, TooLarge> {
        let mut held = product.clone();
        if let Some(Coordinate::Free(subject)) = held.coordinates.get_mut(SUBJECT) {
            for tape in &mut subject.tapes {
                for (index, segment) in tape.segments.iter_mut().enumerate() {
                    let Some(part) = Part::of(index, &segment.shape, product.family) else { continue };
                    if let Some(text) =
                        self.part_text(part, &admitted.request).filter(|_| !free.contains(&part))
                    {
                        segment.shape = Shape::Text(text);
                    }
                }
            }
        }
        let layers = trust_layers(&admitted.by);
        let cut = Cut::new(&held, &[self.trust], &self.names.probes(self.provider), &self.budget)?;
        let mut rests: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        cut.each(|choice| {
            if self.place(choice.request) == *place {
                let of_subject = rests.entry(subject_of(choice.indices)).or_default();
                if verdict(&layers, choice.request) == Ok(true) {
                    of_subject.insert(rest_of(&cut, choice.indices));
                }
            }
            Visit::GoOn
        })?;
        Ok(rests.values().all(|rests| rests.is_superset(&admitted.rests)))
    }

    fn part_text(&self, part: Part, request: &Request) -> Option<String> {
        let claim = |name: &str| match request.context.get(&self.provider.key(name)) {
            Some([value]) => Some(value.clone()),
            _ => None,
        };
        match part {
            Part::Owner => Some(claim("repository")?.split_once('/')?.0.to_owned()),
            Part::Name => Some(claim("repository")?.split_once('/')?.1.to_owned()),
            Part::OwnerId => claim("repository_owner_id"),
            Part::RepositoryId => claim("repository_id"),
            Part::Context => claim("environment").or_else(|| {
                let name = claim("ref")?;
                let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"))?;
                Some(name.to_owned())
            }),
        }
    }

    /// The strata of one place: all kinds of token together where all of all kinds get in.
    fn strata(&self, place: &Place, found: &[(Family, Admission)]) -> Vec<Stratum> {
        let mut strata: Vec<Stratum> = Vec::new();
        for (has_ids, form) in [(false, Forms::Names), (true, Forms::Ids)] {
            let of_form: Vec<&(Family, Admission)> =
                found.iter().filter(|(family, _)| family.has_ids == has_ids).collect();
            for stratum in self.strata_of_form(place, &of_form, form) {
                match strata
                    .iter_mut()
                    .find(|known| known.words == stratum.words && known.breadth == stratum.breadth)
                {
                    Some(known) => known.forms = Forms::Both,
                    None => strata.push(stratum),
                }
            }
        }
        strata
    }

    fn strata_of_form(&self, place: &Place, found: &[&(Family, Admission)], forms: Forms) -> Vec<Stratum> {
        let mut by_whose: Vec<(String, Vec<(&Admission, Context)>)> = Vec::new();
        for (family, admission) in found {
            let whose = format!("{}{}", self.whose(place, admission), self.conditions(admission));
            match by_whose.iter_mut().find(|(known, _)| *known == whose) {
                Some((_, same)) => same.push((admission, family.context)),
                None => by_whose.push((whose, vec![(admission, family.context)])),
            }
        }
        let stratum = |admission: &Admission, context: Option<Context>, whose: &str| {
            let kind = match context {
                None => "every job, pull requests included,".to_owned(),
                Some(context) => self.context_words(context, admission),
            };
            let words = format!("{kind} of {whose}");
            let breadth = self.breadth(place, context, admission);
            let request = admission.admitted.request.clone();
            let patterns = self.subject_patterns(admission);
            let witness = Witness { claims: claims(self.provider, &request), request };
            Stratum { breadth, words, forms, patterns, witness }
        };
        let mut strata = Vec::new();
        for (whose, same) in &by_whose {
            let whole: Vec<_> = same.iter().filter(|(admission, _)| admission.every_context).collect();
            let is_whole = Context::ALL.iter().all(|context| whole.iter().any(|(_, of)| of == context));
            let cheapest = whole.iter().min_by_key(|(admission, _)| admission.admitted.cost);
            match cheapest.filter(|_| is_whole) {
                Some((admission, _)) => strata.push(stratum(admission, None, whose)),
                None => strata.extend(same.iter().map(|(it, context)| stratum(it, Some(*context), whose))),
            }
        }
        strata
    }

    /// The policy's own values that admit subjects, in its order.
    fn subject_patterns(&self, admission: &Admission) -> Vec<Spanned<String>> {
        let key = self.provider.key("sub");
        let fits: Vec<Fit> = admission
            .admitted
            .samples
            .iter()
            .chain([&admission.admitted.request])
            .flat_map(|sample| fitting(&admission.admitted.by, &key, sample))
            .collect();
        let mut patterns: Vec<Spanned<String>> = Vec::new();
        for (_, value) in wanted(&admission.admitted.by, &key) {
            let is_known = patterns.iter().any(|known| known.value == value.value);
            if !is_known && fits.iter().any(|fit| fit.value == *value) {
                patterns.push(value.clone());
            }
        }
        patterns
    }

    fn breadth(&self, place: &Place, context: Option<Context>, admission: &Admission) -> Breadth {
        let is_one =
            self.pinned("repository_id", admission).is_some() || matches!(place, Place::Repository(_));
        if is_one {
            return match context {
                Some(Context::PullRequest) => Breadth::PullRequests,
                Some(_) if !admission.every_context => Breadth::Context,
                _ => Breadth::Repository,
            };
        }
        match place {
            _ if self.pinned("repository_owner_id", admission).is_some() => Breadth::Owner,
            Place::Owner(_) | Place::Repository(_) | Place::OtherCase(_) => Breadth::Owner,
            Place::Others if admission.every_owner => Breadth::Anyone,
            Place::Others => Breadth::OtherOwners,
        }
    }

    /// Whose tokens they are.
    pub(super) fn whose(&self, place: &Place, admission: &Admission) -> String {
        if let Place::Repository(name) = place {
            return format!("`{name}`");
        }
        if let Place::OtherCase(name) = place {
            return format!("`{name}`, written in another case,");
        }
        if let Some(ids) = self.pinned("repository_id", admission) {
            return match ids.contains(", ") {
                true => format!("the repositories with the ids {ids}"),
                false => format!("the repository with id {ids}"),
            };
        }
        if let Some(ids) = self.pinned("repository_owner_id", admission) {
            return match ids.contains(", ") {
                true => format!("any repository of the owners with the ids {ids}"),
                false => format!("any repository of the owner with id {ids}"),
            };
        }
        let repositories = self.repository_patterns(admission);
        match (place, admission.every_name, admission.every_owner) {
            (Place::Owner(owner), true, _) if self.names.has_repository_of(owner) => {
                format!("any other repository of `{owner}`")
            }
            (Place::Owner(owner), true, _) => format!("any repository of `{owner}`"),
            (Place::Owner(owner), false, _) => format!("repositories of `{owner}`{repositories}"),
            (_, true, true) if self.names.is_empty() => "any repository of anyone".to_owned(),
            (_, true, true) => "any repository of anyone else".to_owned(),
            (_, false, true) => format!("repositories of anyone{repositories}"),
            (_, _, false) => format!("repositories of other owners{repositories}"),
        }
    }

    /// The ids that a claim is held to, if all that gets in has one of those that the policy names.
    pub(super) fn pinned(&self, claim: &str, admission: &Admission) -> Option<String> {
        let key = self.provider.key(claim);
        let named: Vec<&str> =
            wanted(&admission.admitted.by, &key).into_iter().map(|(_, it)| it.value.as_str()).collect();
        let is_held = admission.admitted.held.iter().any(|held| held.eq_ignore_ascii_case(&key));
        let mut ids = BTreeSet::new();
        for sample in &admission.admitted.samples {
            let [id] = sample.context.get(&key)? else { return None };
            ids.insert(*named.iter().find(|named| *named == id)?);
        }
        ids.extend(admission.admitted.fits(&key).iter().map(Fit::text));
        (is_held || !admission.every_id).then(|| words::list(ids.into_iter()))
    }

    fn repository_patterns(&self, admission: &Admission) -> String {
        let mut patterns = BTreeSet::new();
        for sample in &admission.admitted.samples {
            for value in fitting(&admission.admitted.by, &self.provider.key("sub"), sample) {
                let rest = value.text().strip_prefix("repo:").unwrap_or(value.text());
                patterns.insert(rest.split(':').next().unwrap_or(rest).to_owned());
            }
            for value in fitting(&admission.admitted.by, &self.provider.key("repository"), sample) {
                patterns.insert(value.text().to_owned());
            }
        }
        match patterns.is_empty() {
            true => " that are not kept out".to_owned(),
            false => format!(" that match {}", words::list(patterns.iter().map(String::as_str))),
        }
    }

    fn context_words(&self, context: Context, admission: &Admission) -> String {
        if admission.every_context {
            return words::every(context).to_owned();
        }
        let claim = if context == Context::Environment { "environment" } else { "ref" };
        let mut patterns = BTreeSet::new();
        let mut has_others = false;
        for sample in &admission.admitted.samples {
            let subjects = fitting(&admission.admitted.by, &self.provider.key("sub"), sample);
            let tails = subjects.iter().filter_map(|value| words::context_of(value.text()));
            let claims = fitting(&admission.admitted.by, &self.provider.key(claim), sample);
            let of_sample: Vec<String> = tails
                .filter(|tail| tail != "*")
                .chain(claims.iter().map(|value| format!("{claim}:{}", value.text())))
                .collect();
            has_others |= of_sample.is_empty();
            patterns.extend(of_sample);
        }
        words::some(context, &patterns, has_others)
    }

    /// What else is asked of the token.
    pub(super) fn conditions(&self, admission: &Admission) -> String {
        let own = ["sub", "aud", "repository", "repository_id", "repository_owner_id", "environment"];
        let mut own: Vec<String> = own.map(|claim| self.provider.key(claim)).into();
        let ids_shown = self.pinned("repository_id", admission).is_some();
        if !admission.every_id && !ids_shown {
            own.retain(|key| !key.ends_with("_id"));
        }
        self.held_keys(&own, &admission.admitted)
    }

    fn held_keys(&self, own: &[String], admitted: &Admitted) -> String {
        let mut text = String::new();
        for (key, is_grant) in keys(&admitted.by, own) {
            if !admitted.held.iter().any(|held| held.eq_ignore_ascii_case(key)) {
                continue;
            }
            let values = admitted.fits(key);
            let name = key.strip_prefix(&format!("{}:", self.provider.host)).unwrap_or(key);
            text.push_str(&match values.is_empty() {
                _ if !is_grant => format!(", if no `Deny` keeps its `{name}` out"),
                true => format!(", if its `{name}` suits"),
                false => format!(", if its `{name}` is {}", words::compared(values)),
            });
        }
        text
    }

    /// How far those reach who are held to one value of a claim that says whose a token is.
    fn held_to(&self, admitted: &Admitted) -> Breadth {
        let claims: &[(&str, Breadth)] = match self.provider.kind() {
            IssuerKind::GitLab => &[("project_id", Breadth::Repository), ("namespace_id", Breadth::Owner)],
            IssuerKind::Buildkite => &[
                ("pipeline_id", Breadth::Repository),
                ("organization_id", Breadth::Owner),
                ("organization_slug", Breadth::Owner),
            ],
            IssuerKind::CircleCi => &[("oidc.circleci.com/project-id", Breadth::Repository)],
            IssuerKind::GitHub | IssuerKind::Eks | IssuerKind::Other => &[],
        };
        let is_one = |claim: &str| {
            let key = self.provider.key(claim);
            let is_exact = |value: &Fit| !value.text().contains(['*', '?']);
            let fitting = admitted.fits(&key);
            admitted.held.iter().any(|held| held.eq_ignore_ascii_case(&key))
                && !fitting.is_empty()
                && fitting.iter().all(is_exact)
        };
        let held = claims.iter().find(|(claim, _)| is_one(claim));
        held.map_or(Breadth::Anyone, |(_, breadth)| *breadth)
    }

    /// Strata of issuers of which only the subject is known: one for each value that admits.
    fn others(&self, region: &Region, unknown: &mut Vec<String>) -> Result<Vec<Stratum>, TooLarge> {
        let key = self.provider.key("sub");
        let values = wanted(self.trust, &key);
        let leaves = values.iter().map(|(_, it)| Leaf::glob(&it.value, Case::Exact));
        let probes = leaves.map(|leaf| Observer { leaves: vec![leaf] }).collect();
        let probes = [(Slot::Key(key.clone()), probes)];
        let first = |request: &Request, grant: &Policy| {
            let fitting = fitting(grant, &key, request);
            Some(values.iter().position(|(_, value)| fitting.iter().any(|one| one.text() == value.value)))
        };
        let mut strata = Vec::new();
        for product in &region.products {
            for (index, admitted) in self.admitted(product, &probes, first, unknown)? {
                let pattern = index.and_then(|index| values.get(index)).map(|(_, it)| it.value.as_str());
                let (breadth, words) = words::subject(self.provider.kind(), pattern);
                let own = ["sub", "aud"].map(|claim| self.provider.key(claim));
                let breadth = breadth.min(self.held_to(&admitted));
                let words = format!("{words}{}", self.held_keys(&own, &admitted));
                let patterns = fitting(&admitted.by, &key, &admitted.request);
                let patterns = patterns.into_iter().map(|fit| fit.value).collect();
                let witness =
                    Witness { claims: claims(self.provider, &admitted.request), request: admitted.request };
                strata.push(Stratum { breadth, words, forms: Forms::Both, patterns, witness });
            }
        }
        Ok(strata)
    }
}

/// What gets in, and in which directions all of it does.
pub(super) struct Admission {
    pub(super) admitted: Admitted,
    pub(super) every_context: bool,
    pub(super) every_name: bool,
    pub(super) every_owner: bool,
    pub(super) every_id: bool,
}

/// The parts of a subject that vary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Owner,
    OwnerId,
    Name,
    RepositoryId,
    Context,
}

impl Part {
    /// The part that a segment of GitHub's tape is.
    fn of(index: usize, shape: &Shape, family: Option<Family>) -> Option<Self> {
        let has_ids = family.is_some_and(|family| family.has_ids);
        match shape {
            Shape::Owner => Some(Self::Owner),
            Shape::Repository => Some(Self::Name),
            Shape::RefName | Shape::TagName | Shape::Environment => Some(Self::Context),
            Shape::Id if has_ids && index < OWNER_ID_BEFORE => Some(Self::OwnerId),
            Shape::Id => Some(Self::RepositoryId),
            _ => None,
        }
    }
}

/// Which coordinate of a product of tokens holds the subject: after action and resource.
const SUBJECT: usize = 2;

/// The owner's id stands before the slash, which is the fifth segment.
const OWNER_ID_BEFORE: usize = 4;
