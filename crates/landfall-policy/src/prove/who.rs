//! Who can take a role: the tokens that its trust policy admits, in strata from one repository to
//! everybody, each with a token that shows it.

use std::collections::{BTreeMap, BTreeSet};

use landfall_types::{Claims, Spanned};

use super::cells::Cut;
use super::dead::{Dead, dead};
use super::names::{Names, Place, fitting, keys, wanted};
use super::regions::Regions;
use super::words;
use super::{trust_layers, verdict};
use crate::ast::Policy;
use crate::region::{
    Context, Coordinate, Family, IssuerKind, Product, ProviderFacts, Region, Slot, SubjectTemplate,
};
use crate::request::Request;
use crate::set::{Budget, Case, Leaf, Observer, Shape, TooLarge, Visit};

/// Everybody whom a trust policy admits.
#[derive(Clone, Debug)]
pub struct Who {
    /// Disjoint sets of tokens, narrowest first; empty when nobody gets in.
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
    /// The policy's own values that admit the witness.
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

/// What of one place, kind of token and form gets in.
pub(super) struct Admitted {
    pub(super) cost: u64,
    pub(super) request: Request,
    /// One request of every cell that gets in.
    samples: Vec<Request>,
    /// Of each key that varies beside the subject, whether some of its values are kept out.
    held: BTreeSet<String>,
}

/// What was seen of one place.
#[derive(Default)]
struct Tally {
    best: super::Choices,
    /// Which cells of each coordinate get in.
    used: BTreeMap<usize, BTreeSet<usize>>,
    /// A request for each cell of the subject.
    samples: BTreeMap<usize, Request>,
}

impl Tally {
    fn add(&mut self, choice: &super::cells::Choice<'_>) {
        self.best.offer(choice.cost, choice.indices);
        for (coordinate, index) in choice.indices.iter().enumerate() {
            self.used.entry(coordinate).or_default().insert(*index);
        }
        let subject = choice.indices.get(SUBJECT).copied().unwrap_or(0);
        self.samples.entry(subject).or_insert_with(|| choice.request.clone());
    }
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
            let place = |request: &Request| {
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
            strata.extend(self.strata(&place, found).into_iter().map(|one| (place.clone(), one)));
        }
        let more = self.customised(regions, &strata, dead, unknown)?;
        Ok(strata.into_iter().map(|(_, stratum)| stratum).chain(more).collect())
    }

    /// What gets in of a product, by place; where there is none, the request is none that comes up.
    pub(super) fn admitted<P: Ord>(
        &self,
        product: &Product,
        probes: &super::cells::Probes,
        place: impl Fn(&Request) -> Option<P>,
        unknown: &mut Vec<String>,
    ) -> Result<BTreeMap<P, Admitted>, TooLarge> {
        let layers = trust_layers(self.trust);
        let cut = Cut::new(product, &[self.trust], probes, &self.budget)?;
        unknown.extend(cut.causes.iter().cloned());
        let mut tallies: BTreeMap<P, Tally> = BTreeMap::new();
        cut.each(|choice| {
            match verdict(&layers, choice.request) {
                Ok(true) => {
                    if let Some(of) = place(choice.request) {
                        tallies.entry(of).or_default().add(choice);
                    }
                }
                Ok(false) => {}
                Err(causes) => unknown.extend(causes),
            }
            Visit::GoOn
        })?;
        let mut admitted = BTreeMap::new();
        for (of, tally) in tallies {
            let Some((cost, indices)) = tally.best.best else { continue };
            let is_same = |request: &Request| {
                place(request).as_ref() == Some(&of) && verdict(&layers, request) == Ok(true)
            };
            let request = cut.plausible(&indices, is_same)?;
            let held = tally.used.iter().filter(|(coordinate, indices)| {
                let all = cut.cells.get(**coordinate).map_or(0, Vec::len);
                **coordinate != SUBJECT && all != indices.len()
            });
            let held = held.flat_map(|(coordinate, _)| cut.keys(*coordinate)).collect();
            let samples = tally.samples.into_values().collect();
            admitted.insert(of, Admitted { cost, request, samples, held });
        }
        Ok(admitted)
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
        let every = |free: &[Part]| self.is_every(product, place, &admitted.request, free);
        let every_context = family.context == Context::PullRequest || every(&[Part::Context])?;
        let (every_name, every_owner) = match place {
            Place::Repository(_) | Place::OtherCase(_) => (false, false),
            Place::Owner(_) => (every(&[Part::Name])?, false),
            Place::Others => (every(&[Part::Name])?, every(&[Part::Owner])?),
        };
        let every_id = !family.has_ids || every(&ids)?;
        Ok(Admission { admitted, every_context, every_name, every_owner, every_id })
    }

    /// Whether all tokens of a place get in that agree with a witness in all but the free parts.
    fn is_every(
        &self,
        product: &Product,
        place: &Place,
        witness: &Request,
        free: &[Part],
    ) -> Result<bool, TooLarge> {
        let mut held = product.clone();
        if let Some(Coordinate::Free(subject)) = held.coordinates.get_mut(SUBJECT) {
            for tape in &mut subject.tapes {
                for (index, segment) in tape.segments.iter_mut().enumerate() {
                    let Some(part) = Part::of(index, &segment.shape, product.family) else { continue };
                    if let Some(text) = self.part_text(part, witness).filter(|_| !free.contains(&part)) {
                        segment.shape = Shape::Text(text);
                    }
                }
            }
        }
        let layers = trust_layers(self.trust);
        let cut = Cut::new(&held, &[self.trust], &self.names.probes(self.provider), &self.budget)?;
        let mut all = BTreeSet::new();
        let mut admitted = BTreeSet::new();
        cut.each(|choice| {
            let main = choice.indices.get(SUBJECT).copied().unwrap_or(0);
            if self.place(choice.request) == *place {
                all.insert(main);
                if verdict(&layers, choice.request) == Ok(true) {
                    admitted.insert(main);
                }
            }
            Visit::GoOn
        })?;
        Ok(all == admitted)
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
    fn strata(&self, place: &Place, found: Vec<(Family, Admission)>) -> Vec<Stratum> {
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
        let whole = found.iter().filter(|(_, it)| it.every_context).count() == Context::ALL.len();
        let named: Vec<(&Admission, Context, String)> = found
            .iter()
            .map(|(family, admission)| {
                let whose = format!("{}{}", self.whose(place, admission), self.conditions(admission));
                (admission, family.context, whose)
            })
            .collect();
        let same = named.first().is_some_and(|(_, _, first)| named.iter().all(|(_, _, it)| it == first));
        let stratum = |admission: &Admission, context: Option<Context>, whose: &str| {
            let kind = match context {
                None => "every job, pull requests included,".to_owned(),
                Some(context) => self.context_words(context, admission),
            };
            let words = format!("{kind} of {whose}");
            let breadth = self.breadth(place, context, admission);
            let request = admission.admitted.request.clone();
            let patterns = fitting(self.trust, &self.provider.key("sub"), &request);
            let witness = Witness { claims: claims(self.provider, &request), request };
            Stratum { breadth, words, forms, patterns, witness }
        };
        if whole && same {
            let cheapest = named.iter().min_by_key(|(admission, _, _)| admission.admitted.cost);
            return cheapest
                .map(|(admission, _, whose)| stratum(admission, None, whose))
                .into_iter()
                .collect();
        }
        named.iter().map(|(admission, context, whose)| stratum(admission, Some(*context), whose)).collect()
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
            return format!("the repository with id {ids}");
        }
        if let Some(ids) = self.pinned("repository_owner_id", admission) {
            return format!("any repository of the owner with id {ids}");
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
            wanted(self.trust, &key).into_iter().map(|(_, it)| it.value.as_str()).collect();
        let is_held = admission.admitted.held.iter().any(|held| held.eq_ignore_ascii_case(&key));
        let mut ids = BTreeSet::new();
        for sample in &admission.admitted.samples {
            let [id] = sample.context.get(&key)? else { return None };
            ids.insert(*named.iter().find(|named| *named == id)?);
        }
        (is_held || !admission.every_id).then(|| words::list(ids.into_iter()))
    }

    fn repository_patterns(&self, admission: &Admission) -> String {
        let mut patterns = BTreeSet::new();
        for sample in &admission.admitted.samples {
            for value in fitting(self.trust, &self.provider.key("sub"), sample) {
                let rest = value.value.strip_prefix("repo:").unwrap_or(&value.value);
                patterns.insert(rest.split(':').next().unwrap_or(rest).to_owned());
            }
            for value in fitting(self.trust, &self.provider.key("repository"), sample) {
                patterns.insert(value.value);
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
        for sample in &admission.admitted.samples {
            let subjects = fitting(self.trust, &self.provider.key("sub"), sample);
            let tails = subjects.iter().filter_map(|value| words::context_of(&value.value));
            patterns.extend(tails.filter(|tail| tail != "*"));
            let claims = fitting(self.trust, &self.provider.key(claim), sample);
            patterns.extend(claims.into_iter().map(|value| format!("{claim}:{}", value.value)));
        }
        words::some(context, &patterns)
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
        for (key, is_grant) in keys(self.trust, own) {
            if !admitted.held.iter().any(|held| held.eq_ignore_ascii_case(key)) {
                continue;
            }
            let values: Vec<String> =
                fitting(self.trust, key, &admitted.request).into_iter().map(|it| it.value).collect();
            let name = key.strip_prefix(&format!("{}:", self.provider.host)).unwrap_or(key);
            text.push_str(&match values.is_empty() {
                _ if !is_grant => format!(", if no `Deny` keeps its `{name}` out"),
                true => format!(", if its `{name}` suits"),
                false => format!(", if its `{name}` is {}", words::list(values.iter().map(String::as_str))),
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
            let is_exact = |value: &Spanned<String>| !value.value.contains(['*', '?']);
            let fitting = fitting(self.trust, &key, &admitted.request);
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
        let first = |request: &Request| {
            let fitting = fitting(self.trust, &key, request);
            Some(values.iter().position(|(_, value)| fitting.iter().any(|one| one.value == value.value)))
        };
        let mut strata = Vec::new();
        for product in &region.products {
            for (index, admitted) in self.admitted(product, &probes, first, unknown)? {
                let pattern = index.and_then(|index| values.get(index)).map(|(_, it)| it.value.as_str());
                let (breadth, words) = words::subject(self.provider.kind(), pattern);
                let own = ["sub", "aud"].map(|claim| self.provider.key(claim));
                let breadth = breadth.min(self.held_to(&admitted));
                let words = format!("{words}{}", self.held_keys(&own, &admitted));
                let patterns = fitting(self.trust, &key, &admitted.request);
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
