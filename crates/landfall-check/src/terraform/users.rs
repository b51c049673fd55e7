//! IAM users and their access keys: the static credentials that a keyless delivery makes unnecessary, and
//! that many deliveries still have.

use super::infra::{Owner, Reader, loose};
use super::loose::Part;
use super::model::{Infra, InlinePolicy, User};
use super::syntax::Block;
use super::value::Object;

/// Reads the users, with their policies and keys.
pub(super) fn read(readers: &[Reader<'_, '_>], infra: &mut Infra) {
    let mut users: Vec<User> = Vec::new();
    for reader in readers {
        users.extend(
            reader.instances("aws_iam_user").iter().map(|(block, object)| user(reader, object, block)),
        );
    }
    for reader in readers {
        parts(reader, &mut users, infra);
    }
    infra.users = users;
}

fn user(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> User {
    User {
        address: object.address.to_string(),
        name: reader.name(object).name,
        path: reader.path(object),
        inline: Vec::new(),
        attached: Vec::new(),
        keys: Vec::new(),
        tags: reader.tags(object, block),
        span: object.span,
    }
}

/// What belongs to users.
fn parts(reader: &Reader<'_, '_>, users: &mut [User], infra: &mut Infra) {
    for (_, object) in reader.instances("aws_iam_user_policy") {
        let policy = InlinePolicy {
            name: reader.inline_name(&object),
            document: reader.document(&object, "policy"),
            span: object.span,
        };
        match user_of(reader, &object, users) {
            Owner::Here(user) => user.inline.push(policy),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserPolicy(policy))),
            Owner::Nowhere => {}
        }
    }
    for (_, object) in reader.instances("aws_iam_user_policy_attachment") {
        let Some(arn) = object.written("policy_arn") else { continue };
        let attached = reader.attached(arn, &infra.policies, object.span);
        match user_of(reader, &object, users) {
            Owner::Here(user) => user.attached.extend(attached),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserAttached(attached))),
            Owner::Nowhere => {}
        }
    }
    for (_, object) in reader.instances("aws_iam_access_key") {
        match user_of(reader, &object, users) {
            Owner::Here(user) => user.keys.push(object.span),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserKey(object.span))),
            Owner::Nowhere => {}
        }
    }
}

/// The user that the argument `user` names.
fn user_of<'u>(reader: &Reader<'_, '_>, object: &Object, users: &'u mut [User]) -> Owner<&'u mut User> {
    let Some(value) = object.written("user") else { return Owner::Nowhere };
    if let Some(of) = value.as_unknown().and_then(|unknown| unknown.of.clone()) {
        return users.iter_mut().find(|user| *user.address == *of).map_or(Owner::Nowhere, Owner::Here);
    }
    let Some(name) = reader.known_text(value, || format!("the user of `{}`", object.address)) else {
        return Owner::Nowhere;
    };
    let found = users.iter_mut().find(|user| user.name.value == name.value);
    found.map_or(Owner::Elsewhere(name), Owner::Here)
}
