//! Statements and values of a trust policy that no token can satisfy.

use landfall_types::Span;

use super::cells::Cut;
use super::regions::Regions;
use super::{trust_layers, verdict};
use crate::ast::{ComparisonKind, Condition, Effect, Policy, PrincipalPattern, Statement};
use crate::explain::subject_difference;
use crate::pattern;
use crate::region::{IssuerKind, ProviderFacts, Region, WEB_IDENTITY};
use crate::set::{Budget, TooLarge, Visit};

/// Something that never holds for a token of the provider.
#[derive(Clone, PartialEq, Debug)]
pub struct Dead {
    /// Position of its statement in the policy, from 0.
    pub statement_index: usize,
    /// The statement, or the value.
    pub span: Span,
    /// The value; none when it is the whole statement.
    pub value: Option<String>,
    /// Why, one sentence.
    pub words: String,
    /// Whether a customised subject of the repository itself would fit: it is GitHub's default subjects
    /// that never do.
    pub by_default: bool,
}

/// Finds grants to tokens of a provider that are never made, and values that never fit.
pub(super) fn dead(
    trust: &Policy,
    provider: &ProviderFacts,
    regions: &mut Regions<'_>,
    budget: &Budget,
) -> Result<Vec<Dead>, TooLarge> {
    let mut finder = Finder { trust, provider, regions, budget };
    let mut dead = Vec::new();
    for (statement_index, statement) in trust.statements.iter().enumerate() {
        if statement.effect != Effect::Allow || !is_for_tokens(statement) {
            continue;
        }
        if let Some((span, words)) = finder.other_provider(statement) {
            dead.push(Dead { statement_index, span, value: None, words, by_default: false });
            continue;
        }
        if !finder.names_provider(statement) {
            continue;
        }
        let before = dead.len();
        for condition in &statement.conditions {
            finder.values(statement_index, statement, condition, &mut dead)?;
        }
        if !finder.may_hold_somehow(statement, &statement.conditions)? {
            let words = match dead.len() - before {
                0 => "no token satisfies all of its conditions together",
                _ => "no token satisfies it",
            };
            let (span, words) = (statement.span, words.to_owned());
            dead.push(Dead { statement_index, span, value: None, words, by_default: false });
        }
    }
    Ok(dead)
}

fn is_for_tokens(statement: &Statement) -> bool {
    let clause = &statement.action;
    clause.patterns.iter().any(|one| pattern::action(&one.value, WEB_IDENTITY)) != clause.negated
}

struct Finder<'f, 'r> {
    trust: &'f Policy,
    provider: &'f ProviderFacts,
    regions: &'f mut Regions<'r>,
    budget: &'f Budget,
}

impl Finder<'_, '_> {
    /// Whether some token of the default form, or of a template that is said to be used, satisfies a
    /// statement under these conditions alone. What isn't known counts as satisfiable.
    fn may_hold(&self, statement: &Statement, conditions: &[Condition]) -> Result<bool, TooLarge> {
        Ok(self.may_hold_in(&self.regions.default, statement, conditions)?
            || self.may_hold_in(&self.regions.templated, statement, conditions)?)
    }

    /// As [`Self::may_hold`], with subjects of whatever template.
    fn may_hold_somehow(
        &mut self,
        statement: &Statement,
        conditions: &[Condition],
    ) -> Result<bool, TooLarge> {
        if self.may_hold(statement, conditions)? {
            return Ok(true);
        }
        let is_subject = conditions.iter().any(|condition| self.is_subject(condition));
        if self.provider.kind() != IssuerKind::GitHub || !is_subject {
            return Ok(false);
        }
        let was_there = self.regions.customised.is_some();
        let region = self.regions.customise().clone();
        // What is too entangled to tell counts as satisfiable.
        let holds = self.may_hold_in(&region, statement, conditions).unwrap_or(true);
        if !holds && !was_there {
            self.regions.customised = None;
        }
        Ok(holds)
    }

    fn may_hold_in(
        &self,
        region: &Region,
        statement: &Statement,
        conditions: &[Condition],
    ) -> Result<bool, TooLarge> {
        let statement = Statement { conditions: conditions.to_vec(), ..statement.clone() };
        let policy = Policy { statements: vec![statement], unread_statements: 0, ..self.trust.clone() };
        let layers = trust_layers(&policy);
        for product in &region.products {
            let cut = Cut::new(product, &[&policy], &[], self.budget)?;
            let mut holds = !cut.causes.is_empty();
            cut.each(|choice| {
                holds |= verdict(&layers, choice.request) == Ok(true);
                if holds { Visit::Stop } else { Visit::GoOn }
            })?;
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn names_provider(&self, statement: &Statement) -> bool {
        let Some(clause) = &statement.principal else { return false };
        let is_named = clause.principals.iter().any(|one| match &one.value {
            PrincipalPattern::Any => true,
            PrincipalPattern::Federated(name) => *name == self.provider.arn,
            _ => false,
        });
        is_named != clause.negated
    }

    /// A provider of the same issuer that is not this one.
    fn other_provider(&self, statement: &Statement) -> Option<(Span, String)> {
        if self.names_provider(statement) {
            return None;
        }
        let clause = statement.principal.as_ref()?;
        clause.principals.iter().find_map(|one| match &one.value {
            PrincipalPattern::Federated(name) => {
                let host = name.split_once(":oidc-provider/").map_or(name.as_str(), |(_, host)| host);
                let bare = host.trim_start_matches("https://").trim_end_matches('/');
                let words = format!("it trusts `{name}`, and the provider is `{}`", self.provider.arn);
                bare.eq_ignore_ascii_case(&self.provider.host).then_some((one.span, words))
            }
            _ => None,
        })
    }

    fn values(
        &mut self,
        statement_index: usize,
        statement: &Statement,
        condition: &Condition,
        dead: &mut Vec<Dead>,
    ) -> Result<(), TooLarge> {
        if condition.operator.comparison.negated || condition.operator.comparison.kind == ComparisonKind::Null
        {
            return Ok(());
        }
        for value in &condition.values {
            let alone = Condition { values: vec![value.clone()], ..condition.clone() };
            if self.may_hold(statement, std::slice::from_ref(&alone))? {
                continue;
            }
            let by_default = self.may_hold_somehow(statement, std::slice::from_ref(&alone))?;
            // A value that asks for a template is none that default subjects should fit.
            if by_default && !value.value.starts_with("repo:") {
                continue;
            }
            let words = self.reason(statement, &alone, &value.value)?;
            let (span, value) = (value.span, Some(value.value.clone()));
            dead.push(Dead { statement_index, span, value, words, by_default });
        }
        Ok(())
    }

    fn is_subject(&self, condition: &Condition) -> bool {
        condition.key.value.eq_ignore_ascii_case(&self.provider.key("sub"))
    }

    /// Why a value never fits.
    fn reason(&self, statement: &Statement, alone: &Condition, value: &str) -> Result<String, TooLarge> {
        let key = &alone.key.value;
        let host = &self.provider.host;
        if alone.multivalued == Some(true) && alone.operator.qualifier.is_none() {
            let operator = &alone.operator_text;
            return Ok(format!(
                "`{key}` has a list of values, which `{operator}` never matches: write `ForAnyValue:{operator}`"
            ));
        }
        let like = Condition {
            operator: crate::ast::Operator {
                comparison: crate::ast::Comparison {
                    kind: ComparisonKind::StringLike,
                    ..alone.operator.comparison
                },
                ..alone.operator
            },
            ..alone.clone()
        };
        let is_equals = alone.operator.comparison.kind == ComparisonKind::StringEquals;
        if is_equals && value.contains(['*', '?']) && self.may_hold(statement, std::slice::from_ref(&like))? {
            let sign = if value.contains('*') { "*" } else { "?" };
            return Ok(format!(
                "`StringEquals` has no wildcards: the `{sign}` stands for itself, use `StringLike`"
            ));
        }
        if key.eq_ignore_ascii_case(&self.provider.key("aud")) {
            let known = super::words::list(self.provider.client_ids.iter().map(String::as_str));
            return Ok(format!(
                "the audience `{value}` is not registered with the provider, which has {known}"
            ));
        }
        if self.is_subject(alone) {
            return Ok(subject_reason(value, host));
        }
        let prefix = key.rsplit_once(':').map_or("", |(prefix, _)| prefix);
        let is_claim = self.regions.default.products.iter().flat_map(|product| &product.coordinates);
        let slot = crate::region::Slot::Key(key.clone());
        if prefix.eq_ignore_ascii_case(host) && !is_claim.into_iter().any(|one| one.covers(&slot)) {
            return Ok(format!("STS makes no condition key of this claim of `{host}`"));
        }
        if !prefix.eq_ignore_ascii_case(host) && prefix.contains('.') {
            return Ok(format!("tokens of `{host}` have no key `{key}`: theirs begin with `{host}:`"));
        }
        Ok(format!("`{key}` is never `{value}` in a token of `{host}`"))
    }
}

/// A subject that is written wrong, told apart by comparing it with a right one of the same repository.
fn subject_reason(value: &str, host: &str) -> String {
    let repository = value.strip_prefix("repo:").and_then(|rest| rest.split(':').next());
    let right = repository.map(|repository| format!("repo:{repository}:ref:refs/heads/main"));
    let difference = right.and_then(|right| subject_difference(value, &right)).filter(|it| it.is_slip);
    let shape = subject_difference(value, "repo:owner/name:ref:refs/heads/main").filter(|it| it.is_slip);
    match difference.or(shape) {
        Some(difference) => difference.words,
        None if repository.is_some() && !value.trim_start_matches("repo:").contains(':') => {
            format!("a subject goes on behind the repository: `{value}:CONTEXT`")
        }
        None => format!("no token of `{host}` has such a subject"),
    }
}
