//! Session tags that say which job took a role. They go with `AssumeRole` only: in a token exchange
//! the token itself would have to carry them.
//! Names and limits: the AWS action `configure-aws-credentials`, and STS's `Tag` type.

use aws_sdk_sts::types::Tag;
use serde_json::Value;

use crate::environment::Environment;

/// The tags of one job, those that may be left out apart.
#[derive(Clone, Default, Debug)]
pub struct SessionTags {
    required: Vec<(&'static str, String)>,
    droppable: Vec<(&'static str, String)>,
    custom: Vec<(String, String)>,
    transitive: Vec<String>,
}

impl SessionTags {
    pub fn none() -> Self {
        Self::default()
    }

    /// These too, with the keys of those that go on into further sessions.
    ///
    /// # Errors
    /// A sentence for the user: a key that is a job's own, or more than STS takes.
    pub fn with(mut self, custom: &[(String, String)], transitive: &[String]) -> Result<Self, String> {
        let of_job = self.required.iter().chain(&self.droppable).map(|(key, _)| *key);
        let of_job: Vec<&str> = of_job.collect();
        if let Some((key, _)) =
            custom.iter().find(|(key, _)| of_job.iter().any(|known| known.eq_ignore_ascii_case(key)))
        {
            return Err(format!("--custom-tags: the tag `{}` says which job this is", key.escape_debug()));
        }
        let count = of_job.len() + custom.len();
        if count > TAGS_MAX {
            return Err(format!(
                "--custom-tags: {count} session tags with those of the job, at most {TAGS_MAX} are possible"
            ));
        }
        self.custom = custom.to_vec();
        self.transitive = transitive.to_vec();
        Ok(self)
    }

    /// The keys that go on, as far as they are among the tags that are sent.
    pub fn transitive(&self, sent: &[Tag]) -> Option<Vec<String>> {
        let kept = self.transitive.iter().filter(|key| sent.iter().any(|tag| tag.key() == key.as_str()));
        let kept: Vec<String> = kept.cloned().collect();
        (!kept.is_empty()).then_some(kept)
    }

    pub fn required(&self) -> Vec<Tag> {
        self.required.iter().filter_map(tag).chain(self.custom()).collect()
    }

    pub fn all(&self) -> Vec<Tag> {
        self.required.iter().chain(&self.droppable).filter_map(tag).chain(self.custom()).collect()
    }

    fn custom(&self) -> impl Iterator<Item = Tag> + '_ {
        self.custom.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok())
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
    SessionTags { required, droppable: of(DROPPABLE), ..SessionTags::default() }
}

fn tag((key, value): &(&'static str, String)) -> Option<Tag> {
    Tag::builder().key(*key).value(value).build().ok()
}

/// At most 256 characters of letters, digits, spaces and `_.:/=+-@`; anything else becomes `_`.
fn cleaned(value: &str) -> String {
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
/// Reads `--custom-tags`: a JSON object of texts, numbers and truth values.
///
/// # Errors
/// A sentence for the user.
pub fn custom_tags(text: &str) -> Result<Vec<(String, String)>, String> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        format!("--custom-tags: a JSON object is expected, such as {{\"Team\": \"web\"}}: {error}")
    })?;
    let read = |(key, value): (String, Value)| {
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "--custom-tags: `{}` must be a text, a number, true or false",
                    key.escape_debug()
                ));
            }
        };
        let is_fit =
            |text: &str, chars_max: usize| text.chars().count() <= chars_max && text.chars().all(fits);
        if key.is_empty() || !is_fit(&key, KEY_CHARS_MAX) || !is_fit(&value, VALUE_CHARS_MAX) {
            return Err(format!(
                "--custom-tags: `{}` is not a session tag: a key of 1 to {KEY_CHARS_MAX} and a value of up to \
                 {VALUE_CHARS_MAX} letters, digits, blanks and _.:/=+-@ are expected",
                key.escape_debug()
            ));
        }
        Ok((key, value))
    };
    object.into_iter().map(read).collect()
}

/// What STS takes in a tag's key and value.
fn fits(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// STS's limit of a tag's key.
const KEY_CHARS_MAX: usize = 128;
/// STS's limit of a session's tags.
const TAGS_MAX: usize = 50;
/// STS's limit of a tag's value.
const VALUE_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn tags_of_ones_own_go_along_and_only_keys_that_are_sent_go_on() {
        let job = environment(&[("GITHUB_ACTIONS", "true"), ("GITHUB_RUN_ID", "7")]);
        let own = custom_tags(r#"{"Team": "web", "Tier": 1, "Live": true}"#).unwrap();
        let keys = ["Team", "RunId", "Missing"].map(str::to_owned);
        let tags = from_job(&job).with(&own, &keys).unwrap();
        let all = tags.all();
        assert_eq!(all.iter().map(Tag::key).collect::<Vec<_>>(), ["GitHub", "RunId", "Team", "Tier", "Live"]);
        assert_eq!(tags.transitive(&all), Some(vec!["Team".to_owned(), "RunId".to_owned()]));
        assert_eq!(tags.transitive(&tags.required()), Some(vec!["Team".to_owned()]));
        let clash = from_job(&job).with(&[("runid".to_owned(), "8".to_owned())], &[]);
        assert!(clash.unwrap_err().contains("says which job"));
        let many: Vec<_> = (0..49).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(from_job(&job).with(&many, &[]).unwrap_err().contains("51 session tags"));
    }

    #[test]
    fn what_is_no_tag_is_told_by_its_key() {
        for (text, wanted) in [
            ("Team=web", "a JSON object is expected"),
            ("[]", "a JSON object is expected"),
            (r#"{"Team": null}"#, "`Team` must be"),
            (r#"{"Te*m": "x"}"#, "`Te*m` is not a session tag"),
            (r#"{"": "x"}"#, "is not a session tag"),
            (r#"{"Team": "a\nb"}"#, "`Team` is not a session tag"),
        ] {
            let error = custom_tags(text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn values_are_cut_to_what_sts_takes() {
        assert_eq!(cleaned(&"é".repeat(300)).chars().count(), VALUE_CHARS_MAX);
        assert_eq!(cleaned("a\tb*c"), "a_b_c");
    }
}
