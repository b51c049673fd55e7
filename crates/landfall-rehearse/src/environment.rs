//! Environments: which branches and tags may deploy to one, and who has to agree. The files of a repository don't
//! tell that; whoever rehearses may say it.
//!
//! GitHub, "Deployments and environments". Patterns are those of Ruby's `File.fnmatch` with `FNM_PATHNAME`.

use landfall_check::github::EventFacts;

/// The settings of an environment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Its name; compared without case.
    pub name: String,
    /// The branches that may deploy; none where there is no such rule.
    pub branches: Option<Vec<String>>,
    /// The tags that may deploy.
    pub tags: Option<Vec<String>>,
    /// Who has to agree: a rehearsal takes it that they do.
    pub reviewers: Vec<String>,
    /// How long a job waits, in minutes: a rehearsal doesn't.
    pub wait_minutes: u32,
    /// Its configuration variables.
    pub vars: Vec<(String, String)>,
}

impl Rules {
    /// `NAME=main,release/*,tag:v*`
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=PATTERN,…, such as 'production=main,release/*,tag:v*'");
        let (name, patterns) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let patterns: Vec<&str> =
            patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
        if patterns.is_empty() {
            return Err(wrong());
        }
        let (tags, branches): (Vec<&str>, Vec<&str>) =
            patterns.into_iter().partition(|pattern| pattern.starts_with("tag:"));
        let tags = tags.into_iter().map(|tag| tag.trim_start_matches("tag:").to_owned()).collect();
        Ok(Self {
            name: name.to_owned(),
            branches: Some(branches.into_iter().map(str::to_owned).collect()),
            tags: Some(tags),
            ..Self::default()
        })
    }

    /// Whether a run may deploy.
    ///
    /// # Errors
    /// GitHub's refusal, and which refs may.
    pub fn admit(&self, event: &EventFacts) -> Result<(), String> {
        if self.branches.is_none() && self.tags.is_none() {
            return Ok(());
        }
        let (kind, name, patterns) = match (event.tag(), event.branch()) {
            (Some(tag), _) => ("Tag", tag, &self.tags),
            (None, Some(branch)) => ("Branch", branch, &self.branches),
            // Patterns for pull requests are written out: `refs/pull/*/merge`.
            (None, None) => ("Branch", event.git_ref.as_str(), &self.branches),
        };
        let patterns = patterns.as_deref().unwrap_or_default();
        if patterns.iter().any(|pattern| fits(pattern, name)) {
            return Ok(());
        }
        let shown = event.ref_name();
        let (all, name) = (self.admitted(), &self.name);
        Err(format!(
            "{kind} \"{shown}\" is not allowed to deploy to {name} due to environment protection rules. It admits {all}"
        ))
    }

    fn admitted(&self) -> String {
        let list = |what: &str, patterns: &Option<Vec<String>>| match patterns.as_deref() {
            None | Some([]) => format!("no {what}"),
            Some(patterns) => format!("the {what} {}", patterns.join(", ")),
        };
        format!("{} and {}", list("branches", &self.branches), list("tags", &self.tags))
    }

    /// What a job of this environment waits for on GitHub.
    pub fn told(&self) -> Option<String> {
        let reviewers = (!self.reviewers.is_empty())
            .then(|| format!("{} would have to agree, and is taken to", self.reviewers.join(" or ")));
        let wait = (self.wait_minutes > 0).then(|| format!("waits {} minutes, here none", self.wait_minutes));
        let all: Vec<String> = reviewers.into_iter().chain(wait).collect();
        (!all.is_empty()).then(|| format!("environment {}: {}", self.name, all.join("; ")))
    }
}

/// `File.fnmatch(pattern, name, File::FNM_PATHNAME)`: `*` and `?` don't cross a slash, `**/` does.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    fits_from(&pattern, &name)
}

fn fits_from(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', '*', '/', rest @ ..] => {
            let mut below = std::iter::once(0)
                .chain(name.iter().enumerate().filter(|(_, c)| **c == '/').map(|(at, _)| at + 1));
            below.any(|at| fits_from(rest, name.get(at..).unwrap_or_default()))
        }
        ['*', rest @ ..] => {
            let segment = name.iter().position(|c| *c == '/').unwrap_or(name.len());
            (0..=segment).any(|at| fits_from(rest, name.get(at..).unwrap_or_default()))
        }
        ['?', rest @ ..] => match name {
            [c, name @ ..] if *c != '/' => fits_from(rest, name),
            _ => false,
        },
        ['[', rest @ ..] => match (rest.iter().position(|c| *c == ']').filter(|at| *at > 0), name) {
            (Some(end), [c, name @ ..]) => {
                let (set, after) = rest.split_at(end);
                is_in(set, *c) && fits_from(after.get(1..).unwrap_or_default(), name)
            }
            _ => false,
        },
        ['\\', c, rest @ ..] | [c, rest @ ..] => match name {
            [first, name @ ..] if first == c => fits_from(rest, name),
            _ => false,
        },
    }
}

/// Whether a character is in a set: `a-z`, `^0-9`.
fn is_in(set: &[char], c: char) -> bool {
    let (set, is_not) = match set {
        ['^' | '!', rest @ ..] => (rest, true),
        set => (set, false),
    };
    let mut rest = set;
    let mut found = false;
    while let [first, after @ ..] = rest {
        (found, rest) = match after {
            ['-', last, after @ ..] => (found || (*first..=*last).contains(&c), after),
            after => (found || *first == c, after),
        };
    }
    c != '/' && found != is_not
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, name, wanted) in [
            ("main", "main", true),
            ("release/*", "release/v1", true),
            ("release/*", "release/v1/x", false),
            ("*", "feature/x", false),
            ("**/*", "feature/x/y", true),
            ("v[0-9]?", "v12", true),
            ("v[^0-9]", "v1", false),
            ("refs/pull/*/merge", "refs/pull/7/merge", true),
            (r"a\*", "a*", true),
            ("[", "[", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_ref_that_is_not_admitted_is_refused_in_githubs_words() {
        let rules = Rules::parse("production=main,release/*,tag:v*").unwrap();
        let said = |git_ref: &str| rules.admit(&EventFacts::push(git_ref)).err().unwrap_or_default();
        assert_eq!(said("refs/heads/main"), "");
        assert_eq!(said("refs/tags/v1"), "");
        assert_eq!(
            said("refs/heads/dev"),
            "Branch \"dev\" is not allowed to deploy to production due to environment protection rules. It admits the branches main, release/* and the tags v*"
        );
        assert!(said("refs/tags/x").starts_with("Tag \"x\" is not allowed to deploy to production"));
        let request = EventFacts::pull_request(7, "main", "x");
        assert!(rules.admit(&request).unwrap_err().starts_with("Branch \"7/merge\" is not"));
        assert!(
            Rules { branches: Some(vec!["refs/pull/*/merge".to_owned()]), ..rules }.admit(&request).is_ok()
        );
        assert!(Rules::parse("production").is_err() && Rules::parse("=main").is_err());
    }
}
