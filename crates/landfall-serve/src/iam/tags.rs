//! Tags of whatever can have them. Keys of users and roles ignore case and keep the one that they were written in.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules>

use landfall_wire::error::AwsError;

use super::checks::{TAGS_MAX, check_tags, is_same_key};
use super::entity::{Entity, change_any};
use super::policies::is_of_aws;
use super::{error, limit_exceeded};
use crate::authz::{Call, Permit, calls};
use crate::store::{CustomerPolicy, InstanceProfile, Provider, Role, User};
use crate::world::World;

/// Something with tags, and the calls that work on them.
pub trait Tagged: Entity {
    /// `TagRole`.
    type Tag: Call;
    /// `UntagRole`.
    type Untag: Call;
    /// `ListRoleTags`.
    type ListTags: Call;
    /// What it is called in the quota of tags, `Role`.
    const QUOTA_NOUN: &'static str;

    /// Its tags, to be changed.
    fn tags_mut(&mut self) -> &mut Vec<(String, String)>;
}

macro_rules! tagged {
    ($($type:ident: $tag:ident, $untag:ident, $list:ident, $noun:literal;)+) => {$(
        impl Tagged for $type {
            type Tag = calls::$tag;
            type Untag = calls::$untag;
            type ListTags = calls::$list;
            const QUOTA_NOUN: &'static str = $noun;
            fn tags_mut(&mut self) -> &mut Vec<(String, String)> {
                &mut self.tags
            }
        }
    )+};
}

tagged! {
    Role: TagRole, UntagRole, ListRoleTags, "Role";
    User: TagUser, UntagUser, ListUserTags, "User";
    CustomerPolicy: TagPolicy, UntagPolicy, ListPolicyTags, "Policy";
    InstanceProfile: TagInstanceProfile, UntagInstanceProfile, ListInstanceProfileTags, "InstanceProfile";
    Provider: TagOpenIDConnectProvider, UntagOpenIDConnectProvider, ListOpenIDConnectProviderTags,
        "OpenIdConnectProvider";
}

/// `TagRole` and its like: what has one of the keys gets the new value. Service-linked roles have tags
/// like others: the API reference has no `UnmodifiableEntity` for these calls.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `LimitExceeded`.
pub fn tag<T: Tagged>(
    world: &World,
    permit: &Permit<T::Tag>,
    name: &str,
    tags: Vec<(String, String)>,
) -> Result<(), AwsError> {
    // Observed of users; in which words, nobody wrote down.
    if tags.is_empty() {
        return Err(error("InvalidInput", "Tags must not be empty.", 400));
    }
    check_tags(T::QUOTA_NOUN, &tags)?;
    check_domain(name)?;
    change_any::<T, _, _>(world, permit, name, |entity| {
        give(T::QUOTA_NOUN, entity.tags_mut(), tags);
        if entity.tags().len() > TAGS_MAX {
            return Err(limit_exceeded(&format!("TagsPer{}", T::QUOTA_NOUN), TAGS_MAX));
        }
        Ok(())
    })
}

/// AWS's policies have no tags. Observed.
fn check_domain(name: &str) -> Result<(), AwsError> {
    match is_of_aws(name) {
        true => Err(error("InvalidInput", "Tags not supported for policies in this domain", 400)),
        false => Ok(()),
    }
}

/// Gives something these tags beside those that it has.
pub(super) fn give(noun: &str, tags: &mut Vec<(String, String)>, given: Vec<(String, String)>) {
    for (key, value) in given {
        match tags.iter_mut().find(|(known, _)| is_same_key(noun, known, &key)) {
            Some(known) => *known = (key, value),
            None => tags.push((key, value)),
        }
    }
}

/// `UntagRole` and its like; keys that are not there are no error.
///
/// # Errors
/// `NoSuchEntity`.
pub fn untag<T: Tagged>(
    world: &World,
    permit: &Permit<T::Untag>,
    name: &str,
    keys: &[String],
) -> Result<(), AwsError> {
    check_domain(name)?;
    change_any::<T, _, _>(world, permit, name, |entity| {
        entity.tags_mut().retain(|(known, _)| !keys.iter().any(|key| is_same_key(T::QUOTA_NOUN, key, known)));
        Ok(())
    })
}
