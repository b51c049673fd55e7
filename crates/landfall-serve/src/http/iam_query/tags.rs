//! Tags of whatever can have them.

use landfall_policy::managed;

use super::super::query::Answer;
use super::elements::tag as tag_element;
use super::page::list;
use super::{IamCall, Keys, Run, request_tag_keys};
use crate::authz::Permit;
use crate::iam::entity::find;
use crate::iam::tags::{self, Tagged};
use crate::store::{CustomerPolicy, InstanceProfile, Provider, Role, User};

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "TagRole" => tag::<Role>,
        "UntagRole" => untag::<Role>,
        "ListRoleTags" => list_tags::<Role>,
        "TagUser" => tag::<User>,
        "UntagUser" => untag::<User>,
        "ListUserTags" => list_tags::<User>,
        "TagPolicy" => tag::<CustomerPolicy>,
        "UntagPolicy" => untag::<CustomerPolicy>,
        "ListPolicyTags" => list_tags::<CustomerPolicy>,
        "TagInstanceProfile" => tag::<InstanceProfile>,
        "UntagInstanceProfile" => untag::<InstanceProfile>,
        "ListInstanceProfileTags" => list_tags::<InstanceProfile>,
        "TagOpenIDConnectProvider" => tag::<Provider>,
        "UntagOpenIDConnectProvider" => untag::<Provider>,
        "ListOpenIDConnectProviderTags" => list_tags::<Provider>,
        _ => return None,
    })
}

fn tag<T: Tagged>(call: &IamCall<'_>) -> Answer {
    let (name, given) = (call.name_of::<T>()?, call.tags());
    let permit = call.permit_on::<T, T::Tag>(&name, request_tag_keys(&given))?;
    tags::tag::<T>(call.world(), &permit, &name, given).map(|()| None)
}

fn untag<T: Tagged>(call: &IamCall<'_>) -> Answer {
    let (name, keys) = (call.name_of::<T>()?, call.list("TagKeys"));
    let permit = call.permit_on::<T, T::Untag>(&name, vec![("aws:TagKeys".to_owned(), keys.clone())])?;
    tags::untag::<T>(call.world(), &permit, &name, &keys).map(|()| None)
}

fn list_tags<T: Tagged>(call: &IamCall<'_>) -> Answer {
    let name = call.name_of::<T>()?;
    let permit: Permit<T::ListTags> = call.permit_on::<T, _>(&name, Keys::new())?;
    if managed::by_arn(&name).is_some() || managed::is_not_known(&name) {
        return list(call, "Tags", Vec::new(), |(key, _): &(String, String)| key.clone(), tag_element);
    }
    let tagged = find::<T, _>(call.world(), &permit, &name)?;
    list(call, "Tags", tagged.tags().iter().collect(), |(key, _)| key.clone(), |tag| tag_element(tag))
}
