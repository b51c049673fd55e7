//! Who can take a role: the tokens that its trust policy admits, in strata from one repository to
//! everybody, each with a token that shows it.

use std::collections::{BTreeMap, BTreeSet};

use landfall_types::{Claims, Spanned};

use super::cells::Cut;
use super::dead::{Dead, dead};
use super::names::{Names, Place, fitting, keys, wanted};
use super::words;
use super::{trust_layers, verdict};
use crate::ast::Policy;
use crate::pattern;
use crate::region::{Context, Coordinate, Family, IssuerKind, Product, ProviderFacts, Region, Slot};
use crate::request::Request;
use crate::set::{Case, Leaf, Observer, Shape, TooLarge, Visit};

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
}

/// A token that gets in.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The exchange, as the evaluator allowed it.
    pub request: Request,
    /// The token's claims.
    pub claims: Claims,
}

/// Whether anybody gets in beyond those who are meant to.
#[derive(Clone, Debug)]
pub enum Only {
    /// Nobody else does.
    Proved,
    /// Somebody else does: this one, for instance.
    Outsider(Box<Witness>),
    /// It can't be known.
    Unknown {
        /// Why not, as phrases.
        because: Vec<String>,
    },
}

/// Who can take a role that trusts a provider.
///
/// # Errors
/// When the policy's patterns are too entangled.
pub fn who(trust: &Policy, provider: &ProviderFacts, role: &str) -> Result<Who, TooLarge> {
    let region = Region::tokens(provider, role);
    let view = View { trust, provider, names: Names::of(trust, provider) };
    let mut unknown = Vec::new();
    let mut strata = match provider.kind() {
        IssuerKind::GitHub => view.github(&region, &mut unknown)?,
        IssuerKind::GitLab | IssuerKind::Eks | IssuerKind::Other => view.others(&region, &mut unknown)?,
    };
    strata.sort_by(|left, right| (left.breadth, &left.words).cmp(&(right.breadth, &right.words)));
    let dead = dead(trust, provider, &region, &mut unknown)?;
    unknown.sort_unstable();
    unknown.dedup();
    Ok(Who { strata, dead, unknown })
}

/// Whether a trust policy admits only tokens whose subject matches a pattern of `*` and `?`.
///
/// `or_ids` lets the immutable form of the same repository pass as well: for `repo:acme/api:*` also
/// `repo:acme@ID/api@ID:…`.
///
/// # Errors
/// When the policy's patterns are too entangled.
pub fn only(
    trust: &Policy,
    provider: &ProviderFacts,
    role: &str,
    meant: &str,
    or_ids: bool,
) -> Result<Only, TooLarge> {
    let region = Region::tokens(provider, role);
    let meant: Vec<String> =
        [meant.to_owned()].into_iter().chain(with_ids(meant).filter(|_| or_ids)).collect();
    let key = provider.key("sub");
    let leaves = meant.iter().map(|one| Observer { leaves: vec![Leaf::glob(one, Case::Exact)] });
    let probes = [(Slot::Key(key.clone()), leaves.collect::<Vec<_>>())];
    let layers = trust_layers(trust);
    let is_outside = |request: &Request| {
        let subject = request.context.get(&key).and_then(<[String]>::first);
        !subject.is_some_and(|subject| meant.iter().any(|one| pattern::glob(one, subject)))
    };
    let is_so = |request: &Request| is_outside(request) && verdict(&layers, request) == Ok(true);
    let mut unknown = Vec::new();
    let mut outsider = super::Cheapest::default();
    for product in &region.products {
        let cut = Cut::new(product, &[trust], &probes)?;
        unknown.extend(cut.causes.iter().cloned());
        let mut choices = super::Choices::default();
        cut.each(|choice| {
            match verdict(&layers, choice.request) {
                Ok(true) if is_outside(choice.request) => choices.offer(choice.cost, choice.indices),
                Ok(_) => {}
                Err(causes) => unknown.extend(causes),
            }
            Visit::GoOn
        })?;
        outsider.take(&cut, choices, is_so);
    }
    unknown.sort_unstable();
    unknown.dedup();
    Ok(match outsider.request() {
        Some(request) => Only::Outsider(Box::new(Witness { claims: claims(provider, &request), request })),
        None if unknown.is_empty() => Only::Proved,
        None => Only::Unknown { because: unknown },
    })
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

/// The claims of a token that makes this request.
fn claims(provider: &ProviderFacts, request: &Request) -> Claims {
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
struct View<'v> {
    trust: &'v Policy,
    provider: &'v ProviderFacts,
    names: Names,
}

/// What of one place, kind of token and form gets in.
struct Admitted {
    cost: u64,
    request: Request,
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
    fn github(&self, region: &Region, unknown: &mut Vec<String>) -> Result<Vec<Stratum>, TooLarge> {
        let mut by_place: BTreeMap<Place, Vec<(Family, Admission)>> = BTreeMap::new();
        for product in &region.products {
            let Some(family) = product.family else { continue };
            let probes = self.names.probes(self.provider);
            for (place, admitted) in self.admitted(product, &probes, |it| self.place(it), unknown)? {
                let admission = self.admission(product, family, &place, admitted)?;
                by_place.entry(place).or_default().push((family, admission));
            }
        }
        // A name in another case than the policy's is nobody's, unless nobody else is left.
        if by_place.keys().any(|place| !matches!(place, Place::OtherCase(_))) {
            by_place.retain(|place, _| !matches!(place, Place::OtherCase(_)));
        }
        let strata = by_place.into_iter().flat_map(|(place, found)| self.strata(&place, found));
        Ok(strata.collect())
    }

    /// What gets in of a product, by place.
    fn admitted<P: Ord>(
        &self,
        product: &Product,
        probes: &super::cells::Probes,
        place: impl Fn(&Request) -> P,
        unknown: &mut Vec<String>,
    ) -> Result<BTreeMap<P, Admitted>, TooLarge> {
        let layers = trust_layers(self.trust);
        let cut = Cut::new(product, &[self.trust], probes)?;
        unknown.extend(cut.causes.iter().cloned());
        let mut tallies: BTreeMap<P, Tally> = BTreeMap::new();
        cut.each(|choice| {
            match verdict(&layers, choice.request) {
                Ok(true) => tallies.entry(place(choice.request)).or_default().add(choice),
                Ok(false) => {}
                Err(causes) => unknown.extend(causes),
            }
            Visit::GoOn
        })?;
        let mut admitted = BTreeMap::new();
        for (of, tally) in tallies {
            let Some((cost, indices)) = tally.best.best else { continue };
            let is_same = |request: &Request| place(request) == of && verdict(&layers, request) == Ok(true);
            let request = cut.plausible(&indices, is_same);
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

    fn place(&self, request: &Request) -> Place {
        match request.context.get(&self.provider.key("repository")) {
            Some([repository]) => self.names.place(repository),
            _ => Place::Others,
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
        let cut = Cut::new(&held, &[self.trust], &self.names.probes(self.provider))?;
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
    fn whose(&self, place: &Place, admission: &Admission) -> String {
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
    fn pinned(&self, claim: &str, admission: &Admission) -> Option<String> {
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
    fn conditions(&self, admission: &Admission) -> String {
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
        for (key, _) in keys(self.trust, own) {
            if !admitted.held.iter().any(|held| held.eq_ignore_ascii_case(key)) {
                continue;
            }
            let values: Vec<String> =
                fitting(self.trust, key, &admitted.request).into_iter().map(|it| it.value).collect();
            let name = key.strip_prefix(&format!("{}:", self.provider.host)).unwrap_or(key);
            text.push_str(&match values.is_empty() {
                true => format!(", if its `{name}` suits"),
                false => format!(", if its `{name}` is {}", words::list(values.iter().map(String::as_str))),
            });
        }
        text
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
            values.iter().position(|(_, value)| fitting.iter().any(|one| one.value == value.value))
        };
        let mut strata = Vec::new();
        for product in &region.products {
            for (index, admitted) in self.admitted(product, &probes, first, unknown)? {
                let pattern = index.and_then(|index| values.get(index)).map(|(_, it)| it.value.as_str());
                let (breadth, words) = words::subject(pattern);
                let own = ["sub", "aud"].map(|claim| self.provider.key(claim));
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
struct Admission {
    admitted: Admitted,
    every_context: bool,
    every_name: bool,
    every_owner: bool,
    every_id: bool,
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
