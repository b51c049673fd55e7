//! IAM users and their access keys: the static credentials that a keyless delivery makes unnecessary, and
//! that many deliveries still have.

use super::infra::{Owner, Reader, loose};
use super::loose::Part;
use super::model::{Infra, InlinePolicy, User};
use super::value::Object;

/// Reads the users, with their policies and keys.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    let mut users: Vec<User> = Vec::new();
    for (block, object) in reader.instances("aws_iam_user") {
        let name = reader.name(&object);
        users.push(User {
            address: object.address.to_string(),
            name: name.name,
            path: reader.path(&object),
            inline: Vec::new(),
            attached: Vec::new(),
            keys: Vec::new(),
            tags: reader.tags(&object, block),
            span: object.span,
        });
    }
    for (_, object) in reader.instances("aws_iam_user_policy") {
        let policy = InlinePolicy {
            name: reader.inline_name(&object),
            document: reader.document(&object, "policy"),
            span: object.span,
        };
        match user_of(reader, &object, &mut users) {
            Owner::Here(user) => user.inline.push(policy),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserPolicy(policy))),
            Owner::Nowhere => {}
        }
    }
    for (_, object) in reader.instances("aws_iam_user_policy_attachment") {
        let Some(arn) = object.written("policy_arn") else { continue };
        let attached = reader.attached(arn, &infra.policies, object.span);
        match user_of(reader, &object, &mut users) {
            Owner::Here(user) => user.attached.extend(attached),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserAttached(attached))),
            Owner::Nowhere => {}
        }
    }
    for (_, object) in reader.instances("aws_iam_access_key") {
        match user_of(reader, &object, &mut users) {
            Owner::Here(user) => user.keys.push(object.span),
            Owner::Elsewhere(name) => infra.loose.push(loose(&object, name, Part::UserKey(object.span))),
            Owner::Nowhere => {}
        }
    }
    infra.users = users;
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
