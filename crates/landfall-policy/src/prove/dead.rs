//! Statements and values of a trust policy that no token can satisfy.

use landfall_types::Span;

use super::cells::Cut;
use super::{trust_layers, verdict};
use crate::ast::{ComparisonKind, Condition, Effect, Policy, PrincipalPattern, Statement};
use crate::explain::CUSTOM_KEYS;
use crate::explain::subject_difference;
use crate::pattern;
use crate::region::{ProviderFacts, Region, WEB_IDENTITY};
use crate::set::{TooLarge, Visit};

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
}

/// Finds grants to tokens of a provider that are never made, and values that never fit.
pub(super) fn dead(
    trust: &Policy,
    provider: &ProviderFacts,
    region: &Region,
    unknown: &mut Vec<String>,
) -> Result<Vec<Dead>, TooLarge> {
    let finder = Finder { trust, provider, region };
    let mut dead = Vec::new();
    for (statement_index, statement) in trust.statements.iter().enumerate() {
        if statement.effect != Effect::Allow || !is_for_tokens(statement) {
            continue;
        }
        if let Some((span, words)) = finder.other_provider(statement) {
            dead.push(Dead { statement_index, span, value: None, words });
            continue;
        }
        if !finder.names_provider(statement) {
            continue;
        }
        let before = dead.len();
        let causes = unknown.len();
        for condition in &statement.conditions {
            finder.values(statement_index, statement, condition, &mut dead, unknown)?;
        }
        if unknown.len() == causes && !finder.may_hold(statement, &statement.conditions)? {
            let words = match dead.len() - before {
                0 => "no token satisfies all of its conditions together",
                _ => "no token satisfies it",
            };
            dead.push(Dead { statement_index, span: statement.span, value: None, words: words.to_owned() });
        }
    }
    Ok(dead)
}

fn is_for_tokens(statement: &Statement) -> bool {
    let clause = &statement.action;
    clause.patterns.iter().any(|one| pattern::action(&one.value, WEB_IDENTITY)) != clause.negated
}

struct Finder<'f> {
    trust: &'f Policy,
    provider: &'f ProviderFacts,
    region: &'f Region,
}

impl Finder<'_> {
    /// Whether some token satisfies a statement under these conditions alone. What isn't known counts
    /// as satisfiable.
    fn may_hold(&self, statement: &Statement, conditions: &[Condition]) -> Result<bool, TooLarge> {
        let statement = Statement { conditions: conditions.to_vec(), ..statement.clone() };
        let policy = Policy { statements: vec![statement], unread_statements: 0, ..self.trust.clone() };
        let layers = trust_layers(&policy);
        for product in &self.region.products {
            let cut = Cut::new(product, &[&policy], &[])?;
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
        &self,
        statement_index: usize,
        statement: &Statement,
        condition: &Condition,
        dead: &mut Vec<Dead>,
        unknown: &mut Vec<String>,
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
            if self.is_custom(condition, &value.value) {
                let text = &value.value;
                unknown.push(format!("`{text}` fits customised subjects only, which are not looked at"));
                continue;
            }
            let words = self.reason(statement, &alone, &value.value)?;
            dead.push(Dead { statement_index, span: value.span, value: Some(value.value.clone()), words });
        }
        Ok(())
    }

    fn is_subject(&self, condition: &Condition) -> bool {
        condition.key.value.eq_ignore_ascii_case(&self.provider.key("sub"))
    }

    /// A subject made by `include_claim_keys` begins with another claim, or goes on after the context.
    fn is_custom(&self, condition: &Condition, value: &str) -> bool {
        let first = value.split(':').next().unwrap_or(value);
        self.is_subject(condition)
            && self.provider.host.contains("actions.")
            && (CUSTOM_KEYS.contains(&first)
                || CUSTOM_KEYS
                    .iter()
                    .any(|key| value.contains(&format!(":{key}:")) && value.matches(':').count() > 3))
    }

    /// Why a value never fits.
    fn reason(&self, statement: &Statement, alone: &Condition, value: &str) -> Result<String, TooLarge> {
        let key = &alone.key.value;
        let host = &self.provider.host;
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
        let is_claim = self.region.products.iter().flat_map(|product| &product.coordinates);
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
