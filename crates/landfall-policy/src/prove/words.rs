//! Sets of tokens in words.

use std::collections::BTreeSet;

use super::names::Fit;
use super::who::Breadth;
use crate::ast::{ComparisonKind, Relation};
use crate::region::{Context, IssuerKind};

/// Texts in backticks, the first few.
pub(super) fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.map(|text| format!("`{text}`")).collect();
    shown(&texts)
}

fn shown(texts: &[String]) -> String {
    let shown = texts.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Values with how they are compared: `a` or `b`; less than `7`.
pub(super) fn compared(fits: &[Fit]) -> String {
    let word = |kind| match kind {
        ComparisonKind::Numeric(Relation::Less) => "less than ",
        ComparisonKind::Numeric(Relation::LessOrEqual) => "at most ",
        ComparisonKind::Numeric(Relation::Greater) => "more than ",
        ComparisonKind::Numeric(Relation::GreaterOrEqual) => "at least ",
        ComparisonKind::Date(Relation::Less) => "before ",
        ComparisonKind::Date(Relation::LessOrEqual) => "until ",
        ComparisonKind::Date(Relation::Greater) => "after ",
        ComparisonKind::Date(Relation::GreaterOrEqual) => "from ",
        _ => "",
    };
    let texts: Vec<String> = fits.iter().map(|fit| format!("{}`{}`", word(fit.kind), fit.text())).collect();
    shown(&texts)
}

/// All of a kind.
pub(super) fn every(context: Context) -> &'static str {
    match context {
        Context::Branch => "every branch",
        Context::Tag => "every tag",
        Context::Environment => "every environment",
        Context::PullRequest => "pull requests",
    }
}

/// Some of a kind, by what the policy calls them: contexts of subjects, `ref:…` and `environment:…`; `has_others` where
/// there are more, of which it only says which ones it keeps out.
pub(super) fn some(context: Context, patterns: &BTreeSet<String>, has_others: bool) -> String {
    let (one, many, root) = match context {
        Context::Branch => ("branch", "branches", "ref:refs/heads/"),
        Context::Tag => ("tag", "tags", "ref:refs/tags/"),
        Context::Environment => ("environment", "environments", "environment:"),
        Context::PullRequest => return "pull requests".to_owned(),
    };
    if has_others {
        return format!("{many} that are not kept out");
    }
    let names: Vec<&str> = patterns.iter().map(|it| it.strip_prefix(root).unwrap_or(it)).collect();
    let is_exact = !names.iter().any(|name| name.contains(['*', '?']));
    match (names.len(), is_exact) {
        (0, _) => format!("some {many}"),
        (1, true) => format!("{one} {}", list(names.into_iter())),
        (_, true) => format!("{many} {}", list(names.into_iter())),
        (_, false) => format!("{many} that match {}", list(names.into_iter())),
    }
}

/// What stands after the repository in a pattern for subjects.
pub(super) fn context_of(pattern: &str) -> Option<String> {
    let (_, context) = pattern.strip_prefix("repo:")?.split_once(':')?;
    Some(context.replace("%3A", ":"))
}

/// A pattern for subjects of an issuer that is not GitHub; none where no value of the policy fits.
pub(super) fn subject(kind: IssuerKind, pattern: Option<&str>) -> (Breadth, String) {
    let Some(pattern) = pattern else { return (Breadth::Anyone, "any subject".to_owned()) };
    let is_wild = |text: &str| text.contains(['*', '?']);
    if let Some((namespace, name)) =
        pattern.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
    {
        return match (is_wild(namespace), is_wild(name)) {
            (false, false) => (Breadth::Context, format!("service account `{namespace}/{name}`")),
            (false, true) if name == "*" => {
                (Breadth::Owner, format!("every service account of namespace `{namespace}`"))
            }
            (false, true) => (Breadth::Owner, format!("service accounts that match `{namespace}/{name}`")),
            (true, _) => (Breadth::OtherOwners, format!("service accounts that match `{namespace}/{name}`")),
        };
    }
    if let Some(rest) = pattern.strip_prefix("project_path:") {
        return project(rest);
    }
    let reach = match kind {
        IssuerKind::Buildkite => reach_of(pattern, "organization:", ":pipeline:", ":"),
        IssuerKind::CircleCi => reach_of(pattern, "org/", "/project/", "/"),
        _ => None,
    };
    if let Some(breadth) = reach.filter(|_| is_wild(pattern)) {
        return (breadth, format!("subjects that match `{pattern}`"));
    }
    match (is_wild(pattern), pattern.chars().all(|character| character == '*')) {
        (_, true) => (Breadth::Anyone, "any subject".to_owned()),
        (true, _) => (Breadth::OtherOwners, format!("subjects that match `{pattern}`")),
        (false, _) => (Breadth::Context, format!("subject `{pattern}`")),
    }
}

/// How far a pattern reaches whose subjects say an owner and then a repository: to where its first
/// wildcard stands.
fn reach_of(pattern: &str, owner: &str, repository: &str, end: &str) -> Option<Breadth> {
    let is_wild = |text: &str| text.contains(['*', '?']);
    let Some(rest) = pattern.strip_prefix(owner) else { return Some(Breadth::OtherOwners) };
    let (name, rest) = rest.split_once(repository).unwrap_or((rest.split(end).next()?, "*"));
    if is_wild(name) {
        return Some(Breadth::OtherOwners);
    }
    let (name, rest) = rest.split_once(end).unwrap_or((rest, "*"));
    if is_wild(name) {
        return Some(Breadth::Owner);
    }
    let is_job_free = rest.split(end).take(2).any(is_wild);
    Some(if is_job_free { Breadth::Repository } else { Breadth::Context })
}

/// What stands behind `project_path:` in a subject of GitLab.
fn project(rest: &str) -> (Breadth, String) {
    let is_wild = |text: &str| text.contains(['*', '?']);
    let (path, tail) = rest.split_once(':').unwrap_or((rest, ""));
    let group = path.split('/').next().unwrap_or(path);
    if is_wild(path) {
        let breadth = if is_wild(group) { Breadth::OtherOwners } else { Breadth::Owner };
        return (breadth, format!("projects that match `{rest}`"));
    }
    let reference = tail.strip_prefix("ref_type:").and_then(|tail| tail.split_once(":ref:"));
    match reference {
        Some((kind, name)) if !is_wild(tail) => {
            (Breadth::Context, format!("{kind} `{name}` of project `{path}`"))
        }
        _ if tail == "*" => (Breadth::Repository, format!("every ref of project `{path}`")),
        _ => (Breadth::Context, format!("refs of project `{path}` that match `{tail}`")),
    }
}

/// The most texts that are written out in one line.
const SHOWN_MAX: usize = 4;
