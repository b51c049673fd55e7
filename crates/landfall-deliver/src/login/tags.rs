//! Session tags that say which job took a role. They go with `AssumeRole` only: in a token exchange
//! the token itself would have to carry them.
//! Names and limits: the AWS action `configure-aws-credentials`, and STS's `Tag` type.

use aws_sdk_sts::types::Tag;

use crate::environment::Environment;

/// The tags of one job, those that may be left out apart.
#[derive(Clone, Debug)]
pub struct SessionTags {
    required: Vec<(&'static str, String)>,
    droppable: Vec<(&'static str, String)>,
}

impl SessionTags {
    pub fn none() -> Self {
        Self { required: Vec::new(), droppable: Vec::new() }
    }

    pub fn required(&self) -> Vec<Tag> {
        self.required.iter().filter_map(tag).collect()
    }

    pub fn all(&self) -> Vec<Tag> {
        self.required.iter().chain(&self.droppable).filter_map(tag).collect()
    }

    pub fn can_shrink(&self) -> bool {
        !self.droppable.is_empty()
    }
}

/// The tags of the GitHub job that this is; none elsewhere.
pub fn from_job(environment: &Environment) -> SessionTags {
    if !environment.is_github_actions() {
        return SessionTags::none();
    }
    let of = |table: &[(&'static str, &str)]| {
        let found =
            table.iter().filter_map(|(key, variable)| Some((*key, cleaned(environment.get(variable)?))));
        found.collect::<Vec<_>>()
    };
    let mut required = vec![("GitHub", "Actions".to_owned())];
    required.extend(of(REQUIRED));
    let branch = environment.get("GITHUB_REF").map(|value| ("Branch", cleaned(value)));
    required.extend(branch);
    SessionTags { required, droppable: of(DROPPABLE) }
}

fn tag((key, value): &(&'static str, String)) -> Option<Tag> {
    Tag::builder().key(*key).value(value).build().ok()
}

/// At most 256 characters of letters, digits, spaces and `_.:/=+-@`; anything else becomes `_`.
fn cleaned(value: &str) -> String {
    let fits =
        |c: char| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c);
    value.chars().take(VALUE_CHARS_MAX).map(|c| if fits(c) { c } else { '_' }).collect()
}

const REQUIRED: &[(&str, &str)] = &[
    ("Repository", "GITHUB_REPOSITORY"),
    ("Workflow", "GITHUB_WORKFLOW"),
    ("Action", "GITHUB_ACTION"),
    ("Actor", "GITHUB_ACTOR"),
    ("Commit", "GITHUB_SHA"),
];
const DROPPABLE: &[(&str, &str)] = &[
    ("EventName", "GITHUB_EVENT_NAME"),
    ("BaseRef", "GITHUB_BASE_REF"),
    ("HeadRef", "GITHUB_HEAD_REF"),
    ("RunId", "GITHUB_RUN_ID"),
    ("Job", "GITHUB_JOB"),
    ("TriggeringActor", "GITHUB_TRIGGERING_ACTOR"),
];
/// STS's limit of a tag's value.
const VALUE_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::environment;

    #[test]
    fn a_github_job_is_tagged_and_nothing_else_is() {
        let job = environment(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "acme/api"),
            ("GITHUB_WORKFLOW", "deploy (prod)!"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_RUN_ID", "7"),
        ]);
        let tags = from_job(&job);
        let shown = |tags: Vec<Tag>| {
            tags.iter().map(|tag| format!("{}={}", tag.key(), tag.value())).collect::<Vec<_>>()
        };
        let required =
            ["GitHub=Actions", "Repository=acme/api", "Workflow=deploy _prod__", "Branch=refs/heads/main"];
        assert_eq!(shown(tags.required()), required);
        assert_eq!(shown(tags.all()), [&required[..], &["RunId=7"]].concat());
        assert!(from_job(&environment(&[("GITHUB_REPOSITORY", "acme/api")])).all().is_empty());
    }

    #[test]
    fn values_are_cut_to_what_sts_takes() {
        assert_eq!(cleaned(&"é".repeat(300)).chars().count(), VALUE_CHARS_MAX);
        assert_eq!(cleaned("a\tb*c"), "a_b_c");
    }
}
