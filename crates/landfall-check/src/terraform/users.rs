//! IAM users and their access keys: the static credentials that a keyless delivery makes unnecessary, and
//! that many deliveries still have.

use landfall_types::Finding;

use super::infra::Reader;
use super::model::{Infra, InlinePolicy, User};
use super::value::{Object, Value};

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
        if let Some(user) = user_of(reader, &object, "user", &mut users) {
            user.inline.push(policy);
        }
    }
    for (_, object) in reader.instances("aws_iam_user_policy_attachment") {
        let Some(arn) = object.written("policy_arn") else { continue };
        let attached = reader.attached(arn, &infra.policies, object.span);
        if let Some(user) = user_of(reader, &object, "user", &mut users) {
            user.attached.extend(attached);
        }
    }
    for (_, object) in reader.instances("aws_iam_access_key") {
        if let Some(user) = user_of(reader, &object, "user", &mut users) {
            user.keys.push(object.span);
        }
    }
    infra.users = users;
}

/// The user that an argument names.
fn user_of<'u>(
    reader: &Reader<'_, '_>,
    object: &Object,
    argument: &str,
    users: &'u mut [User],
) -> Option<&'u mut User> {
    let value: &Value = object.written(argument)?;
    let of = value.as_unknown().and_then(|unknown| unknown.of.clone());
    let name = match &of {
        Some(_) => None,
        None => Some(reader.known_text(value, || format!("the user of `{}`", object.address))?),
    };
    let is_it = |user: &User| match (&of, &name) {
        (Some(of), _) => *user.address == **of,
        (None, Some(name)) => user.name.value == name.value,
        (None, None) => false,
    };
    if let Some(position) = users.iter().position(is_it) {
        return users.get_mut(position);
    }
    let message =
        format!("`{}` belongs to a user that is not among these files; it is left out", object.address);
    reader
        .evaluator
        .report(Finding::warning("terraform-unknown", message).at(value.span, "no user here is meant"));
    None
}
