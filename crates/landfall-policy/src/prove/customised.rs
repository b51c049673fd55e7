//! Those who get in by a customised subject: a template that a repository or its organization has chosen.

use super::TooLarge;
use super::dead::Dead;
use super::names::{Place, fitting, wanted};
use super::regions::{Regions, too_large};
use super::who::{Admission, Admitted, Breadth, Forms, Stratum, View, Witness, claims};
use crate::region::{IssuerKind, Templates, names_in};
use crate::request::Request;

/// Of what kind a customised token is that gets in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    place: Place,
    /// Whether its subject begins with the repository, as default subjects do.
    is_repository_first: bool,
    is_said: bool,
    /// Which of the policy's values admits it.
    value: Option<usize>,
}

impl View<'_> {
    /// Strata of customised subjects, but for those that say nothing new: of a repository whose default
    /// subjects all get in, or that begin as default subjects do and fit what is written for those.
    pub(super) fn customised(
        &self,
        regions: &Regions<'_>,
        default: &[(Place, Stratum)],
        dead: &[Dead],
        unknown: &mut Vec<String>,
    ) -> Result<Vec<Stratum>, TooLarge> {
        if self.provider.kind() != IssuerKind::GitHub {
            return Ok(Vec::new());
        }
        let mut best: Vec<(Kind, Admitted)> = Vec::new();
        let any = regions.customised.iter().flat_map(|region| &region.products);
        for product in regions.templated.products.iter().chain(any) {
            let is_said = product.templates == Some(Templates::Said);
            let kind = |request: &Request| self.kind(request, is_said);
            let probes = self.names.probes(self.provider);
            let found = match self.admitted(product, &probes, |it, _| Some(kind(it)), unknown) {
                Err(found) if !is_said => {
                    unknown.push(too_large(found));
                    continue;
                }
                found => found?,
            };
            for (kind, admitted) in found {
                match best.iter_mut().find(|(known, it)| *known == kind && it.fits == admitted.fits) {
                    Some((_, known)) if known.cost <= admitted.cost => {}
                    Some((_, known)) => *known = admitted,
                    None => best.push((kind, admitted)),
                }
            }
        }
        best.sort_by(|(left, _), (right, _)| left.cmp(right));
        let mut strata: Vec<Stratum> = Vec::new();
        for (kind, admitted) in best {
            if self.is_new(&kind, &admitted.request, default, dead) {
                let stratum = self.customised_stratum(&kind, admitted);
                match strata.iter_mut().find(|known| known.words == stratum.words) {
                    Some(known) => {
                        let more = stratum.patterns.into_iter();
                        let more: Vec<_> = more.filter(|one| !known.patterns.contains(one)).collect();
                        known.patterns.extend(more);
                    }
                    None => strata.push(stratum),
                }
            }
        }
        Ok(strata)
    }

    fn kind(&self, request: &Request, is_said: bool) -> Kind {
        let key = self.provider.key("sub");
        let fitting = fitting(self.trust, &key, request);
        let values = wanted(self.trust, &key);
        let value = values.iter().position(|(_, value)| fitting.iter().any(|one| one.text() == value.value));
        let is_repository_first = match request.context.get(&key) {
            Some([subject]) => subject.starts_with("repo:"),
            _ => false,
        };
        Kind { place: self.place(request), is_repository_first, is_said, value }
    }

    fn is_new(&self, kind: &Kind, request: &Request, default: &[(Place, Stratum)], dead: &[Dead]) -> bool {
        if matches!(kind.place, Place::OtherCase(_)) {
            return false;
        }
        if kind.is_said {
            return true;
        }
        let templated = self.templates.iter().any(|template| template.is_of(&self.repository(request)));
        let same = || default.iter().filter(|(place, _)| *place == kind.place);
        let all_of_it = |(_, stratum): &(Place, Stratum)| match kind.place {
            Place::Others => stratum.breadth == Breadth::Anyone,
            _ => stratum.breadth >= Breadth::Repository,
        } && stratum.words.starts_with("every job");
        let anyone = default
            .iter()
            .any(|(place, stratum)| *place == Place::Others && all_of_it(&(Place::Others, stratum.clone())));
        match kind.is_repository_first {
            _ if templated => false,
            true => {
                let fitting = fitting(self.trust, &self.provider.key("sub"), request);
                let is_otherwise_dead = |value: &str| {
                    dead.iter().any(|dead| dead.by_default && dead.value.as_deref() == Some(value))
                };
                !fitting.is_empty() && fitting.iter().all(|one| is_otherwise_dead(one.text()))
            }
            false => !anyone && !same().any(all_of_it),
        }
    }

    fn repository(&self, request: &Request) -> String {
        request.context.get(&self.provider.key("repository")).map_or_else(String::new, <[String]>::concat)
    }

    fn customised_stratum(&self, kind: &Kind, admitted: Admitted) -> Stratum {
        let values = wanted(self.trust, &self.provider.key("sub"));
        let pattern = kind.value.and_then(|index| values.get(index)).map(|(_, value)| value.value.as_str());
        let every_owner = !pattern.is_some_and(|pattern| names_in(pattern).any(|name| name != "*"));
        let admission =
            Admission { admitted, every_context: true, every_name: true, every_owner, every_id: true };
        let is_held = |claim: &str| self.pinned(claim, &admission).is_some();
        let named_id = |key: &str| {
            pattern.is_some_and(|it| it.starts_with(&format!("{key}:")) || it.contains(&format!(":{key}:")))
        };
        let breadth = match &kind.place {
            _ if is_held("repository_id") || named_id("repository_id") => Breadth::Repository,
            Place::Repository(_) => Breadth::Repository,
            _ if is_held("repository_owner_id") || named_id("repository_owner_id") => Breadth::Owner,
            Place::Owner(_) | Place::OtherCase(_) => Breadth::Owner,
            Place::Others if every_owner => Breadth::Anyone,
            Place::Others => Breadth::OtherOwners,
        };
        let whose = match &kind.place {
            _ if named_id("repository_id") => "the repository whose id it says".to_owned(),
            _ if named_id("repository_owner_id") => "any repository of the owner whose id it says".to_owned(),
            place => self.whose(place, &admission),
        };
        let words = format!("jobs with a customised subject, of {whose}{}", self.conditions(&admission));
        let request = admission.admitted.request;
        let patterns = fitting(self.trust, &self.provider.key("sub"), &request);
        let patterns = patterns.into_iter().map(|fit| fit.value).collect();
        let witness = Witness { claims: claims(self.provider, &request), request };
        Stratum { breadth, words, forms: Forms::Customised, patterns, witness }
    }
}
