//! The tokens that a question about a trust policy is about: default subjects, those of templates that
//! repositories are said to use, and where the policy leaves room for them those of any template.

use super::names::subjects;
use crate::ast::{ComparisonKind, Effect, Policy, Statement};
use crate::pattern;
use crate::region::{AskedSubjects, IssuerKind, ProviderFacts, Region, SubjectTemplate, WEB_IDENTITY};
use crate::set::{Shape, TooLarge};

/// Tokens by the kind of their subjects.
pub(super) struct Regions<'r> {
    pub(super) default: Region,
    /// Of templates that repositories are said to use.
    pub(super) templated: Region,
    /// Of any template; none where a customised subject could only be of a repository whose default
    /// subjects get in as well.
    pub(super) customised: Option<Region>,
    provider: &'r ProviderFacts,
    role: &'r str,
    asked: AskedSubjects,
}

impl<'r> Regions<'r> {
    /// `more` are further patterns for subjects that are asked about.
    pub(super) fn new<'p>(
        trust: &'p Policy,
        provider: &'r ProviderFacts,
        role: &'r str,
        templates: &[SubjectTemplate],
        more: impl Iterator<Item = &'p str> + Clone,
    ) -> Self {
        let key = provider.key("sub");
        let is_joint = trust.statements.iter().any(|statement| {
            statement.conditions.iter().filter(|one| one.key.value.eq_ignore_ascii_case(&key)).count() > 1
        });
        let mut regions = Self {
            default: Region::tokens(provider, role),
            templated: Region::default(),
            customised: None,
            provider,
            role,
            asked: AskedSubjects::new(subjects(trust, provider), more, is_joint),
        };
        if provider.kind() == IssuerKind::GitHub {
            for template in templates {
                regions.templated = regions.templated.union(Region::templated(provider, role, template));
            }
            if is_open(trust, provider) {
                regions.customise();
            }
        }
        regions
    }

    /// Takes in subjects of any template.
    pub(super) fn customise(&mut self) -> &Region {
        let (provider, role, asked) = (self.provider, self.role, &self.asked);
        self.customised.get_or_insert_with(|| Region::customised(provider, role, asked))
    }
}

/// Whether a policy that looks at subjects admits some that don't begin with `repo:` and an owner that it
/// names. Where it looks at none, a template changes nothing.
fn is_open(trust: &Policy, provider: &ProviderFacts) -> bool {
    let grants = |statement: &&Statement| {
        let clause = &statement.action;
        let is_named = clause.patterns.iter().any(|one| pattern::action(&one.value, WEB_IDENTITY));
        statement.effect == Effect::Allow && is_named != clause.negated
    };
    let is_held = |statement: &Statement| {
        statement.conditions.iter().any(|condition| {
            use ComparisonKind::{StringEquals, StringEqualsIgnoreCase, StringLike};
            let comparison = condition.operator.comparison;
            condition.key.value.eq_ignore_ascii_case(&provider.key("sub"))
                && matches!(comparison.kind, StringEquals | StringEqualsIgnoreCase | StringLike)
                && !comparison.negated
                && condition.values.iter().all(|value| names_owner(&value.value))
        })
    };
    subjects(trust, provider).next().is_some()
        && trust.statements.iter().filter(grants).any(|statement| !is_held(statement))
}

/// Whether a pattern begins with `repo:OWNER/` or `repo:OWNER@`, without a wildcard.
fn names_owner(pattern: &str) -> bool {
    let owner = pattern.strip_prefix("repo:").and_then(|rest| rest.split_once(['/', '@']));
    owner.is_some_and(|(owner, _)| Shape::Owner.admits(owner))
}

/// Customised subjects that were not looked at.
pub(super) fn too_large(too_large: TooLarge) -> String {
    format!("who gets in by a customised subject: {too_large}")
}
