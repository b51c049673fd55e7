//! Lifecycle policies: which images of a repository go, and by which rule. Nothing here looks at a clock or
//! at a store: [`evaluate`] is given the images and the time, and says what has to happen.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>

mod read;

use landfall_types::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use read::parse;

/// Seconds of a day, in which rules count.
const SECONDS_PER_DAY: i64 = 86_400;

/// A policy as it was understood, its rules in the order in which they apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LifecyclePolicy {
    pub(crate) rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) priority: u32,
    pub(crate) description: Option<String>,
    pub(crate) tags: TagSelection,
    pub(crate) count: Count,
    pub(crate) storage: Option<StorageClass>,
    pub(crate) action: Action,
}

/// Which images a rule is about, by their tags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TagSelection {
    /// Images that for each prefix have a tag that begins with it.
    Prefixes(Vec<String>),
    /// Images that for each pattern have a tag that it matches.
    Patterns(Vec<String>),
    /// Images without a tag.
    Untagged,
    /// All of them.
    Any,
}

/// What makes an image one too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    /// So many younger ones are there.
    MoreThan(u32),
    /// It was pushed more than so many days ago.
    DaysSincePushed(u32),
    /// It was not pulled for so many days.
    DaysSincePulled(u32),
    /// It has been in the archive for so many days.
    DaysSinceTransitioned(u32),
}

/// What happens to an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// It is deleted.
    Expire,
    /// It goes to the archive.
    Archive,
}

/// Where an image is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum StorageClass {
    /// Where it can be pulled from.
    #[default]
    Standard,
    /// In the archive: it has to be restored before it can be pulled.
    Archive,
}

/// What a policy needs to know of an image.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) digest: &'a str,
    pub(crate) tags: Vec<&'a str>,
    /// When it was pushed, or came back from the archive.
    pub(crate) pushed_at: Timestamp,
    /// When it was last pulled; none when it never was.
    pub(crate) pulled_at: Option<Timestamp>,
    /// When it went to the archive.
    pub(crate) archived_at: Option<Timestamp>,
    pub(crate) storage: StorageClass,
    /// The images that it lists, when it is a manifest list.
    pub(crate) lists: Vec<&'a str>,
}

/// What has to happen to an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// Which of the images that were given.
    pub(crate) index: usize,
    /// The rule that applied.
    pub(crate) priority: u32,
    pub(crate) action: Action,
}

/// What a policy does to the images of a repository, which are given in the order of their pushes.
///
/// Every rule looks at all images, also at those that rules before it took; an image is acted on by the
/// first rule whose tag condition it meets, or by none. Images that a manifest list names stay as long as
/// the list does.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html#lp_evaluation_rules>
pub(crate) fn evaluate(policy: &LifecyclePolicy, images: &[Candidate<'_>], now: Timestamp) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut decided = vec![false; images.len()];
    for rule in &policy.rules {
        let mut selected: Vec<(usize, &Candidate<'_>)> =
            images.iter().enumerate().filter(|(_, image)| rule.selects(image)).collect();
        // The youngest first; of those pushed in the same moment the one that came later.
        selected.sort_by_key(|(index, image)| std::cmp::Reverse((image.pushed_at, *index)));
        for (rank, (index, image)) in selected.iter().enumerate() {
            let Some(is_decided) = decided.get_mut(*index) else { continue };
            if !std::mem::replace(is_decided, true)
                && rule.is_over(rank, image, now)
                && !is_listed(images, image)
            {
                verdicts.push(Verdict { index: *index, priority: rule.priority, action: rule.action });
            }
        }
    }
    verdicts
}

/// Whether a manifest list of the repository names the image.
fn is_listed(images: &[Candidate<'_>], image: &Candidate<'_>) -> bool {
    images.iter().any(|list| list.lists.contains(&image.digest))
}

impl Rule {
    fn selects(&self, image: &Candidate<'_>) -> bool {
        let any = |matches: &dyn Fn(&str) -> bool| image.tags.iter().any(|tag| matches(tag));
        image.storage == self.storage.unwrap_or_default()
            && match &self.tags {
                TagSelection::Any => true,
                TagSelection::Untagged => image.tags.is_empty(),
                TagSelection::Prefixes(prefixes) => {
                    prefixes.iter().all(|prefix| any(&|tag| tag.starts_with(prefix.as_str())))
                }
                TagSelection::Patterns(patterns) => {
                    patterns.iter().all(|pattern| any(&|tag| matches_wildcard(pattern, tag)))
                }
            }
    }

    /// Whether an image that the rule selects is one too many; `rank` younger ones are selected as well.
    fn is_over(&self, rank: usize, image: &Candidate<'_>, now: Timestamp) -> bool {
        let is_older = |at: Timestamp, days: u32| at.plus_seconds(i64::from(days) * SECONDS_PER_DAY) < now;
        match self.count {
            Count::MoreThan(count) => usize::try_from(count).is_ok_and(|count| rank >= count),
            Count::DaysSincePushed(days) => is_older(image.pushed_at, days),
            Count::DaysSincePulled(days) => {
                // An image that came back from the archive begins anew.
                is_older(image.pulled_at.map_or(image.pushed_at, |at| at.max(image.pushed_at)), days)
            }
            Count::DaysSinceTransitioned(days) => image.archived_at.is_some_and(|at| is_older(at, days)),
        }
    }
}

/// Whether a pattern with `*` for any number of characters matches the whole of a text.
pub(crate) fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The leftmost place leaves the most for the parts that follow.
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests;
