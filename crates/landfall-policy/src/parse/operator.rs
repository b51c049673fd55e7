//! The names of condition operators.

use crate::ast::{Comparison, ComparisonKind, Operator, Qualifier, Relation};

/// Every operator by its documented name, without qualifier and suffix.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
pub const OPERATORS: &[(&str, Comparison)] = &[
    ("StringEquals", positive(ComparisonKind::StringEquals)),
    ("StringNotEquals", negated(ComparisonKind::StringEquals)),
    ("StringEqualsIgnoreCase", positive(ComparisonKind::StringEqualsIgnoreCase)),
    ("StringNotEqualsIgnoreCase", negated(ComparisonKind::StringEqualsIgnoreCase)),
    ("StringLike", positive(ComparisonKind::StringLike)),
    ("StringNotLike", negated(ComparisonKind::StringLike)),
    ("ArnEquals", positive(ComparisonKind::Arn)),
    ("ArnLike", positive(ComparisonKind::Arn)),
    ("ArnNotEquals", negated(ComparisonKind::Arn)),
    ("ArnNotLike", negated(ComparisonKind::Arn)),
    ("NumericEquals", positive(ComparisonKind::Numeric(Relation::Equals))),
    ("NumericNotEquals", negated(ComparisonKind::Numeric(Relation::Equals))),
    ("NumericLessThan", positive(ComparisonKind::Numeric(Relation::Less))),
    ("NumericLessThanEquals", positive(ComparisonKind::Numeric(Relation::LessOrEqual))),
    ("NumericGreaterThan", positive(ComparisonKind::Numeric(Relation::Greater))),
    ("NumericGreaterThanEquals", positive(ComparisonKind::Numeric(Relation::GreaterOrEqual))),
    ("DateEquals", positive(ComparisonKind::Date(Relation::Equals))),
    ("DateNotEquals", negated(ComparisonKind::Date(Relation::Equals))),
    ("DateLessThan", positive(ComparisonKind::Date(Relation::Less))),
    ("DateLessThanEquals", positive(ComparisonKind::Date(Relation::LessOrEqual))),
    ("DateGreaterThan", positive(ComparisonKind::Date(Relation::Greater))),
    ("DateGreaterThanEquals", positive(ComparisonKind::Date(Relation::GreaterOrEqual))),
    ("Bool", positive(ComparisonKind::Bool)),
    ("BinaryEquals", positive(ComparisonKind::Binary)),
    ("IpAddress", positive(ComparisonKind::IpAddress)),
    ("NotIpAddress", negated(ComparisonKind::IpAddress)),
    ("Null", positive(ComparisonKind::Null)),
];

/// Reads an operator's name; none when it isn't one. Names are taken in their documented spelling
/// only, and `Null` has no `IfExists` form.
pub fn operator(text: &str) -> Option<Operator> {
    let (qualifier, name) = match text.split_once(':') {
        Some(("ForAllValues", name)) => (Some(Qualifier::ForAllValues), name),
        Some(("ForAnyValue", name)) => (Some(Qualifier::ForAnyValue), name),
        Some(_) => return None,
        None => (None, text),
    };
    let (name, if_exists) = name.strip_suffix(IF_EXISTS).map_or((name, false), |name| (name, true));
    let (_, comparison) = OPERATORS.iter().find(|(known, _)| *known == name)?;
    if if_exists && comparison.kind == ComparisonKind::Null {
        return None;
    }
    Some(Operator { qualifier, comparison: *comparison, if_exists })
}

/// The documented spelling of a name that differs from one in the case of its letters alone.
pub fn operator_spelling(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (qualifier, name) = match lower.split_once(':') {
        Some(("forallvalues", name)) => ("ForAllValues:", name),
        Some(("foranyvalue", name)) => ("ForAnyValue:", name),
        Some(_) => return None,
        None => ("", lower.as_str()),
    };
    let (name, suffix) = name.strip_suffix("ifexists").map_or((name, ""), |name| (name, IF_EXISTS));
    let (known, _) = OPERATORS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let spelling = format!("{qualifier}{known}{suffix}");
    (spelling != text && operator(&spelling).is_some()).then_some(spelling)
}

const IF_EXISTS: &str = "IfExists";

const fn positive(kind: ComparisonKind) -> Comparison {
    Comparison { kind, negated: false }
}

const fn negated(kind: ComparisonKind) -> Comparison {
    Comparison { kind, negated: true }
}
