//! `rules`, `only` and `except`: whether something is a part of a pipeline.
//!
//! <https://docs.gitlab.com/ci/yaml/#rules>, <https://docs.gitlab.com/ci/yaml/deprecated_keywords/>

use landfall_types::{Span, Spanned};

use super::expression::{self, Expression};
use super::facts::{PipelineFacts, RefType};
use super::glob;
use super::model::{AllowFailure, Need, When};
use super::variables::{Variable, Variables};

/// One of several `rules`; the first one that fits decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// Where it is.
    pub span: Span,
    /// `if`
    pub condition: Option<(Expression, Spanned<String>)>,
    /// `changes`
    pub changes: Option<Vec<Spanned<String>>>,
    /// `exists`
    pub exists: Option<Vec<Spanned<String>>>,
    /// `when`
    pub when: Option<Spanned<When>>,
    /// `allow_failure`
    pub allow_failure: Option<AllowFailure>,
    /// `variables`
    pub variables: Vec<Variable>,
    /// `needs`
    pub needs: Option<Vec<Need>>,
}

/// What rules are held against.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Variables that are there when the pipeline is made.
    pub variables: &'a Variables,
    /// Files that the pipeline's commits changed; none when there is nothing to compare with, and everything counts as
    /// changed.
    pub changed: Option<&'a [String]>,
    /// The project's files.
    pub paths: &'a [String],
}

impl Rule {
    /// Whether all of it fits.
    ///
    /// # Errors
    /// An expression that has no value.
    pub fn fits(&self, ground: Ground<'_>) -> Result<bool, String> {
        if let Some((condition, _)) = &self.condition
            && !condition.holds(ground.variables)?
        {
            return Ok(false);
        }
        if let (Some(patterns), Some(changed)) = (&self.changes, ground.changed)
            && !any_fits(patterns, changed, ground.variables)
        {
            return Ok(false);
        }
        if let Some(patterns) = &self.exists
            && !any_fits(patterns, ground.paths, ground.variables)
        {
            return Ok(false);
        }
        Ok(true)
    }
}

/// The first rule that fits.
///
/// # Errors
/// A rule that has no value, and why.
pub fn first<'r>(rules: &'r [Rule], ground: Ground<'_>) -> Result<Option<&'r Rule>, (&'r Rule, String)> {
    for rule in rules {
        if rule.fits(ground).map_err(|why| (rule, why))? {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}

fn any_fits(patterns: &[Spanned<String>], paths: &[String], variables: &Variables) -> bool {
    patterns.iter().any(|pattern| {
        let pattern = variables.replace(&pattern.value);
        // A pattern that is a folder's own path means nothing in it; GitLab takes paths as they are.
        paths.iter().any(|path| glob::fits(&pattern, path))
    })
}

/// `only` or `except`.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Policy {
    /// Where it is; none for the default.
    pub span: Option<Span>,
    /// `refs`: any of them.
    pub refs: Vec<Spanned<String>>,
    /// `variables`: any of them.
    pub variables: Vec<(Expression, Spanned<String>)>,
    /// `changes`: any of them.
    pub changes: Vec<Spanned<String>>,
}

impl Policy {
    /// What holds for a job that says neither `rules` nor `only`.
    pub fn only_default(span: Span) -> Self {
        let refs = ["branches", "tags"].map(|name| Spanned::new(name.to_owned(), span));
        Self { refs: refs.into(), ..Self::default() }
    }

    /// Each clause that is there, and whether it fits.
    fn clauses(&self, facts: &PipelineFacts, ground: Ground<'_>) -> Result<Vec<bool>, String> {
        let mut clauses = Vec::new();
        if !self.refs.is_empty() {
            clauses.push(self.refs.iter().any(|pattern| ref_fits(&pattern.value, facts)));
        }
        if !self.variables.is_empty() {
            let mut any = false;
            for (expression, _) in &self.variables {
                any |= expression.holds(ground.variables)?;
            }
            clauses.push(any);
        }
        if !self.changes.is_empty() {
            let changed =
                ground.changed.is_none_or(|changed| any_fits(&self.changes, changed, ground.variables));
            clauses.push(changed);
        }
        Ok(clauses)
    }

    /// As `only`: every clause fits.
    ///
    /// # Errors
    /// An expression that has no value.
    pub fn admits(&self, facts: &PipelineFacts, ground: Ground<'_>) -> Result<bool, String> {
        Ok(self.clauses(facts, ground)?.iter().all(|fits| *fits))
    }

    /// As `except`: some clause fits.
    ///
    /// # Errors
    /// An expression that has no value.
    pub fn keeps_out(&self, facts: &PipelineFacts, ground: Ground<'_>) -> Result<bool, String> {
        Ok(self.clauses(facts, ground)?.iter().any(|fits| *fits))
    }
}

/// A ref, a pattern of refs, or a keyword for a kind of pipeline; behind `@` the project that it is for.
fn ref_fits(pattern: &str, facts: &PipelineFacts) -> bool {
    let (pattern, project) = match pattern.split_once('@') {
        Some((pattern, project)) if !pattern.starts_with('/') || pattern.ends_with('/') => {
            (pattern, Some(project))
        }
        _ => (pattern, None),
    };
    if project.is_some_and(|project| project != facts.project) {
        return false;
    }
    let source = facts.source.as_str();
    let in_merge_request = facts.merge_request.is_some();
    match pattern {
        "branches" => facts.ref_type == RefType::Branch && !in_merge_request,
        "tags" => facts.ref_type == RefType::Tag,
        "merge_requests" => in_merge_request,
        "pipelines" | "triggers" | "schedules" | "pushes" | "webs" | "chats" => {
            pattern.strip_suffix("es").or(pattern.strip_suffix('s')).is_some_and(|one| one == source)
                || pattern.strip_suffix('s') == Some(source)
        }
        "web" | "api" | "external" | "chat" | "external_pull_requests" => pattern == source,
        _ if pattern.starts_with('/') => {
            expression::pattern(pattern).is_ok_and(|regex| regex.is_match(&facts.ref_name))
        }
        _ => pattern == facts.ref_name || pattern == source,
    }
}
