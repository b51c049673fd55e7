//! IAM users with their access keys, the static credentials that a keyless delivery makes unnecessary and that many
//! deliveries still have; groups of users, and who is in them.

use landfall_types::Spanned;

use super::holders::{Holder, all_of};
use super::infra::{Owner, Reader, loose};
use super::loose::Part;
use super::model::{CustomerPolicy, Group, Infra, Membership, User};
use super::syntax::Block;
use super::value::{Object, Value};

/// Reads the users and groups, with their policies, keys and memberships.
pub(super) fn read(readers: &[Reader<'_, '_>], infra: &mut Infra) {
    for reader in readers {
        let users = reader.instances("aws_iam_user");
        let users = users.iter().map(|(block, object)| user(reader, object, block, &infra.policies));
        infra.users.extend(users.collect::<Vec<_>>());
        infra
            .groups
            .extend(reader.instances("aws_iam_group").iter().map(|(_, object)| group(reader, object)));
    }
    for reader in readers {
        reader.policies_of(&mut infra.users, &infra.policies, &mut infra.loose);
        reader.policies_of(&mut infra.groups, &infra.policies, &mut infra.loose);
        keys(reader, infra);
        memberships(reader, infra);
    }
}

fn user(reader: &Reader<'_, '_>, object: &Object, block: &Block, policies: &[CustomerPolicy]) -> User {
    let name = reader.name(object);
    User {
        address: object.address.to_string(),
        name: name.name,
        name_unknown: name.unknown,
        path: reader.path(object),
        boundary: reader.boundary(object, policies),
        inline: Vec::new(),
        attached: Vec::new(),
        keys: Vec::new(),
        tags: reader.tags(object, block),
        span: object.span,
    }
}

fn group(reader: &Reader<'_, '_>, object: &Object) -> Group {
    let name = reader.name(object);
    Group {
        address: object.address.to_string(),
        name: name.name,
        name_unknown: name.unknown,
        path: reader.path(object),
        inline: Vec::new(),
        attached: Vec::new(),
        span: object.span,
    }
}

fn keys(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (_, object) in reader.instances("aws_iam_access_key") {
        let Some(value) = object.written("user") else { continue };
        match reader.owner_of(value, &object, &mut infra.users) {
            Owner::Here(user) => user.keys.push(object.span),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserKey(object.span))),
            Owner::Nowhere => {}
        }
    }
}

/// Who is in which group. The provider takes users out that a resource of the first kind doesn't name.
fn memberships(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (kind, users, groups) in
        [("aws_iam_group_membership", "users", "group"), ("aws_iam_user_group_membership", "user", "groups")]
    {
        for (_, object) in reader.instances(kind) {
            let (Some(users), Some(groups)) = (object.written(users), object.written(groups)) else {
                continue;
            };
            let users = names(reader, users, &object, &mut infra.users);
            let groups = names(reader, groups, &object, &mut infra.groups);
            for user in &users {
                infra.memberships.extend(groups.iter().map(|group| Membership {
                    address: object.address.to_string(),
                    user: user.clone(),
                    group: group.clone(),
                    span: object.span,
                }));
            }
        }
    }
}

/// The names that an argument gives, where they are written: of what is here, and of what may be elsewhere.
fn names<H: Holder>(
    reader: &Reader<'_, '_>,
    value: &Value,
    object: &Object,
    holders: &mut [H],
) -> Vec<Spanned<String>> {
    let mut names = Vec::new();
    for value in all_of(value) {
        match reader.owner_of(&value, object, holders) {
            Owner::Here(holder) => names.push(Spanned::new(holder.name().to_owned(), value.span)),
            Owner::Elsewhere(name) => names.push(name),
            Owner::Nowhere => {}
        }
    }
    names
}

impl Infra {
    /// Which of a membership's user and group is not among the files.
    pub(super) fn missing_of<'m>(
        &self,
        membership: &'m Membership,
    ) -> Option<(&'static str, &'m Spanned<String>)> {
        let Membership { user, group, .. } = membership;
        if !self.users.iter().any(|known| known.name.value == user.value) {
            return Some(("user", user));
        }
        let is_here = self.groups.iter().any(|known| known.name.value == group.value);
        (!is_here).then_some(("group", group))
    }
}
