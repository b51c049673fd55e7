//! What a trust policy says of a provider's tokens, in its own words: the repositories and owners that
//! it names, and the values that a witness fits.

use landfall_types::Spanned;

use crate::ast::{ComparisonKind, Condition, Effect, Policy};
use crate::condition;
use crate::region::{ProviderFacts, Slot, SubjectTemplate, names_in};
use crate::request::{Context, Request};
use crate::set::{Case, Leaf, Observer, Shape};

/// A repository's place among those that a policy names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    /// A repository that the policy names, `OWNER/NAME`.
    Repository(String),
    /// Another repository of an owner that it names.
    Owner(String),
    /// A repository of somebody else.
    Others,
    /// A name that the policy writes in another case: nobody's, as GitHub tells no names apart by case.
    OtherCase(String),
}

/// The repositories and owners that a policy names in full, `OWNER/NAME` and `OWNER`, to admit them or
/// to keep them out.
#[derive(Debug, Default)]
pub(super) struct Names {
    repositories: Vec<String>,
    owners: Vec<String>,
}

impl Names {
    /// The names in a policy; those of templates and of further patterns for subjects count as well.
    pub(super) fn of<'p>(
        trust: &'p Policy,
        provider: &ProviderFacts,
        templates: &'p [SubjectTemplate],
        more: impl Iterator<Item = &'p str>,
    ) -> Self {
        let mut names = Self::default();
        for pattern in subjects(trust, provider).chain(more) {
            names_in(pattern).for_each(|name| names.add(name));
        }
        values(trust, &provider.key("repository")).for_each(|name| names.add(name));
        for template in templates {
            names.add(&format!("{}/{}", template.owner, template.name.as_deref().unwrap_or("")));
        }
        for list in [&mut names.repositories, &mut names.owners] {
            list.sort();
            list.dedup();
        }
        names
    }

    /// `OWNER/NAME` or `OWNER`, each with or without an id.
    fn add(&mut self, repository: &str) {
        let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
        let plain = |text: &str| text.split('@').next().unwrap_or(text).to_owned();
        let (owner, name) = (plain(owner), plain(name));
        if !Shape::Owner.admits(&owner) {
            return;
        }
        if Shape::Repository.admits(&name) {
            self.repositories.push(format!("{owner}/{name}"));
        }
        self.owners.push(owner);
    }

    /// A repository's name in every case in which it is written.
    pub(super) fn spellings(&self, repository: &str) -> Vec<String> {
        let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
        let repositories = self.repositories.iter().filter(|known| known.eq_ignore_ascii_case(repository));
        let owners = self.owners.iter().filter(|known| known.eq_ignore_ascii_case(owner));
        repositories.cloned().chain(owners.map(|owner| format!("{owner}/{name}"))).collect()
    }

    /// Whether the policy names no owner at all.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether the policy names a repository of an owner.
    pub(super) fn has_repository_of(&self, owner: &str) -> bool {
        self.repositories
            .iter()
            .any(|one| one.split('/').next().is_some_and(|it| it.eq_ignore_ascii_case(owner)))
    }

    /// Where a repository belongs. GitHub's names are unique but for their case.
    pub(super) fn place(&self, repository: &str) -> Place {
        let is_same = |known: &&String, text: &str| known.eq_ignore_ascii_case(text);
        if self.repositories.iter().any(|known| known == repository) {
            return Place::Repository(repository.to_owned());
        }
        if let Some(known) = self.repositories.iter().find(|known| is_same(known, repository)) {
            return Place::OtherCase(known.clone());
        }
        let owner = repository.split('/').next().unwrap_or(repository);
        if self.owners.iter().any(|known| known == owner) {
            return Place::Owner(owner.to_owned());
        }
        let known = self.owners.iter().find(|known| is_same(known, owner));
        known.map_or(Place::Others, |known| Place::OtherCase(known.clone()))
    }

    /// Questions that keep these places apart.
    pub(super) fn probes(&self, provider: &ProviderFacts) -> Vec<(Slot, Vec<Observer>)> {
        let cases = [Case::Exact, Case::Ascii];
        let leaves = cases.into_iter().flat_map(|case| {
            let repositories = self.repositories.iter().map(move |one| Leaf::literal(one, case));
            let owners = self.owners.iter();
            let owners = owners.map(move |one| Leaf::literal(&format!("{one}/"), case).then_anything());
            repositories.chain(owners)
        });
        let observers = leaves.map(|leaf| Observer { leaves: vec![leaf] }).collect();
        vec![(Slot::Key(provider.key("repository")), observers)]
    }
}

/// Every value that a policy compares a key with, in whatever statement.
pub(super) fn values<'p>(trust: &'p Policy, key: &str) -> impl Iterator<Item = &'p str> + Clone + use<'p> {
    let conditions = trust.statements.iter().flat_map(|statement| &statement.conditions);
    let on_key: Vec<&Condition> =
        conditions.filter(|condition| condition.key.value.eq_ignore_ascii_case(key)).collect();
    on_key.into_iter().flat_map(|condition| condition.values.iter().map(|value| value.value.as_str()))
}

/// Every pattern of a policy for subjects.
pub(super) fn subjects<'p>(
    trust: &'p Policy,
    provider: &ProviderFacts,
) -> impl Iterator<Item = &'p str> + Clone + use<'p> {
    values(trust, &provider.key("sub"))
}

/// The values that grants want a key to have, with their conditions.
pub(super) fn wanted<'p>(trust: &'p Policy, key: &str) -> Vec<(&'p Condition, &'p Spanned<String>)> {
    let granting = trust.statements.iter().filter(|statement| statement.effect == Effect::Allow);
    let conditions = granting.flat_map(|statement| &statement.conditions);
    let on_key = conditions.filter(|condition| {
        condition.key.value.eq_ignore_ascii_case(key)
            && !condition.operator.comparison.negated
            && condition.operator.comparison.kind != ComparisonKind::Null
    });
    on_key.flat_map(|condition| condition.values.iter().map(move |value| (condition, value))).collect()
}

/// A value of a policy that a request's own value fits, and how the two are compared.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fit {
    pub(super) kind: ComparisonKind,
    pub(super) value: Spanned<String>,
}

impl Fit {
    pub(super) fn text(&self) -> &str {
        &self.value.value
    }
}

/// The values of grants on a key that one of a request's own values fits, each once.
pub(super) fn fitting(trust: &Policy, key: &str, request: &Request) -> Vec<Fit> {
    let got = request.context.get(key).unwrap_or_default();
    let fits = |kind: ComparisonKind, value: &str| {
        got.iter().any(|got| condition::fits(kind, value, got, &Context::new(), false) == Some(true))
    };
    let mut fitting: Vec<Fit> = Vec::new();
    for (condition, value) in wanted(trust, key) {
        let kind = condition.operator.comparison.kind;
        let is_known = fitting.iter().any(|known| known.text() == value.value && known.kind == kind);
        if !is_known && fits(kind, &value.value) {
            fitting.push(Fit { kind, value: value.clone() });
        }
    }
    fitting
}

/// The keys on which a policy puts conditions, apart from some; and whether grants do.
pub(super) fn keys<'p>(trust: &'p Policy, but: &[String]) -> Vec<(&'p str, bool)> {
    let mut keys: Vec<(&str, bool)> = Vec::new();
    let (grants, denies): (Vec<_>, Vec<_>) =
        trust.statements.iter().partition(|statement| statement.effect == Effect::Allow);
    for (statement, is_grant) in grants.iter().map(|it| (it, true)).chain(denies.iter().map(|it| (it, false)))
    {
        for condition in &statement.conditions {
            let name = condition.key.value.as_str();
            let is_known = |known: &str| known.eq_ignore_ascii_case(name);
            if !but.iter().any(|one| is_known(one)) && !keys.iter().any(|(one, _)| is_known(one)) {
                keys.push((name, is_grant));
            }
        }
    }
    keys
}
