//! Tags of what ECS, EKS and ECR have: their rules, and the condition keys that decisions look at. What a service
//! says of a tag that breaks a rule are its own words.

use landfall_wire::error::AwsError;

use crate::called::{Fault, Keys};
use crate::store::ecs::Tags;
use crate::store::{Record, Writing};

/// Tags of one resource.
pub(crate) const TAGS_MAX: usize = 50;
/// Longest key of a tag, in characters.
pub(crate) const KEY_CHARS_MAX: usize = 128;
/// Longest value of a tag, in characters.
pub(crate) const VALUE_CHARS_MAX: usize = 256;

/// Whether the key of a tag has a length that it may have.
pub(crate) fn is_key_length(key: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&key.chars().count())
}

/// Whether the value of a tag has a length that it may have.
pub(crate) fn is_value_length(value: &str) -> bool {
    value.chars().count() <= VALUE_CHARS_MAX
}

/// What ECS and EKS say of a tag of another length.
pub(crate) fn check_lengths(key: &str, value: &str) -> Result<(), String> {
    if is_key_length(key) && is_value_length(value) {
        return Ok(());
    }
    Err(format!("Tag keys must have 1 to {KEY_CHARS_MAX} characters and values at most {VALUE_CHARS_MAX}."))
}

/// Whether a key is one of those that AWS keeps for itself.
pub(crate) fn is_reserved(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

/// `aws:RequestTag/…` and `aws:TagKeys` of tags that a call sets.
pub(crate) fn request_keys(tags: &[(String, String)]) -> Keys {
    let mut keys = prefixed_keys(tags, &["aws:RequestTag"]);
    if !tags.is_empty() {
        keys.push(("aws:TagKeys".to_owned(), tags.iter().map(|(key, _)| key.clone()).collect()));
    }
    keys
}

/// `aws:TagKeys` of tags that a call takes away.
pub(crate) fn gone_keys(keys: &[&str]) -> (String, Vec<String>) {
    ("aws:TagKeys".to_owned(), keys.iter().map(|key| (*key).to_owned()).collect())
}

/// The keys of each tag under each prefix, such as `aws:ResourceTag`.
pub(crate) fn prefixed_keys(tags: &[(String, String)], prefixes: &[&str]) -> Keys {
    let all = |(key, value): &(String, String)| {
        prefixes.iter().map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()])).collect::<Vec<_>>()
    };
    tags.iter().flat_map(all).collect()
}

/// Adds tags; one that is there gets the new value and keeps its place.
pub(crate) fn merge(all: &mut Tags, more: &[(String, String)]) {
    for (key, value) in more {
        match all.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => known.clone_from(value),
            None => all.push((key.clone(), value.clone())),
        }
    }
}

/// A record that has tags.
pub(crate) trait Tagged: Record {
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// Its tags, to be changed.
    fn tags_mut(&mut self) -> &mut Tags;
}

/// Changes the tags of the record of this key, and returns them. Nothing is written where they stay as they were.
///
/// # Errors
/// `absent` where there is no such record, and what `with` says of the tags that there would be.
pub(crate) fn change_tags<R: Tagged>(
    writing: &mut Writing<'_>,
    key: &str,
    with: impl FnOnce(&mut Tags) -> Result<(), AwsError>,
    absent: impl FnOnce() -> AwsError,
) -> Result<Tags, Fault> {
    let mut record = R::clone(&*writing.get::<R>(key).ok_or_else(absent)?);
    let before = record.tags().clone();
    with(record.tags_mut())?;
    let after = record.tags().clone();
    if before != after {
        writing.put(record);
    }
    Ok(after)
}

macro_rules! tagged {
    ($($record:ty),+ $(,)?) => {$(
        impl Tagged for $record {
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )+};
}

tagged!(
    crate::store::codedeploy::Application,
    crate::store::codedeploy::Group,
    crate::store::ecs::Cluster,
    crate::store::ecs::TaskDefinition,
    crate::store::ecs::Service,
    crate::store::ecs::Task,
    crate::store::ecs::TaskSet,
    crate::store::ecs::CapacityProvider,
    crate::store::eks::EksCluster,
    crate::store::eks::PodIdentityAssociation,
    crate::store::logs::LogGroup,
);
