//! Values that no two runs share: what to write into a policy is then a pattern, because the value itself admits
//! one run that is already over.
//! <https://docs.github.com/en/actions/reference/security/oidc>

use crate::ast::ComparisonKind;

/// How often a value comes again.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Lasting {
    /// Never: the pattern stands for all of its kind, which is named.
    Once(String, &'static str),
    /// For as long as there is nothing newer: the pattern stands for those that are named alike.
    Tag(String),
}

/// What to add to a condition so that it admits a value, where the value alone would not last.
pub fn advice(value: &str, kind: ComparisonKind, operator: &str) -> Option<String> {
    let like = under_like(kind, operator);
    Some(match lasting(value)? {
        Lasting::Once(pattern, what) => {
            format!(
                "each {what} has its own: to admit them as well, add `{pattern}` to this condition{}",
                as_operator(like)
            )
        }
        Lasting::Tag(pattern) => {
            let under = like.map(|like| format!(" with `{like}`")).unwrap_or_default();
            let admitted = if is_of_all(&pattern) { "all tags" } else { "all tags like it" };
            format!(
                "to admit it as well, add `{value}` to this condition; `{pattern}`{under} admits {admitted}"
            )
        }
    })
}

/// What to write in the place of a slip, where the value alone would not last.
pub fn correction(value: &str, kind: ComparisonKind, operator: &str) -> Option<String> {
    let Lasting::Once(pattern, what) = lasting(value)? else { return None };
    let under = as_operator(under_like(kind, operator));
    Some(format!("write `{pattern}`{under}: each {what} has its own"))
}

fn as_operator(like: Option<String>) -> String {
    like.map(|like| format!(", with `{like}` as its operator")).unwrap_or_default()
}

/// Whether a pattern of tags says nothing of their names.
fn is_of_all(pattern: &str) -> bool {
    TAGS.iter().any(|word| pattern.split_once(word).is_some_and(|(_, name)| name.starts_with('*')))
}

/// What stands before a tag's name, in a ref and in a subject of GitLab.
const TAGS: [&str; 2] = ["refs/tags/", ":ref_type:tag:ref:"];

/// The operator that reads patterns, where this one doesn't.
fn under_like(kind: ComparisonKind, operator: &str) -> Option<String> {
    let is_equals = matches!(kind, ComparisonKind::StringEquals | ComparisonKind::StringEqualsIgnoreCase);
    is_equals.then(|| super::insight::like(operator))
}

fn lasting(value: &str) -> Option<Lasting> {
    queue(value)
        .map(|pattern| Lasting::Once(pattern, "entry of the merge queue"))
        .or_else(|| pull_request(value).map(|pattern| Lasting::Once(pattern, "pull request")))
        .or_else(|| tag(value).map(Lasting::Tag))
}

/// `refs/heads/gh-readonly-queue/BASE/pr-NUMBER-COMMIT`.
fn queue(value: &str) -> Option<String> {
    let start = value.find("refs/heads/gh-readonly-queue/")?;
    let end = end_of_value(value, start);
    let (base, entry) = value.get(..end)?.rsplit_once('/')?;
    entry.strip_prefix("pr-")?;
    Some(format!("{base}/*{}", value.get(end..)?))
}

/// `refs/pull/NUMBER/merge`.
fn pull_request(value: &str) -> Option<String> {
    let (before, rest) = value.split_once("refs/pull/")?;
    let (number, after) = rest.split_once('/')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{before}refs/pull/*/{after}"))
}

/// A tag with a number in it, such as `refs/tags/v1.2.3`: others begin as it does.
fn tag(value: &str) -> Option<String> {
    let start = TAGS.iter().find_map(|word| Some(value.find(word)? + word.len()))?;
    let end = end_of_value(value, start);
    let name = value.get(start..end)?;
    let word = name.find(|character: char| character.is_ascii_digit())?;
    Some(format!("{}{}*{}", value.get(..start)?, name.get(..word)?, value.get(end..)?))
}

/// Where a ref ends: before the next claim of a subject.
fn end_of_value(value: &str, start: usize) -> usize {
    value.get(start..).and_then(|rest| rest.find(':')).map_or(value.len(), |length| start + length)
}
