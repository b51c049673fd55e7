//! What else an account has of IAM: instance profiles, the roles of services, and its alias.

use landfall_types::Spanned;

use super::infra::{Owner, Reader};
use super::model::{AccountAlias, Infra, InstanceProfile, ServiceLinkedRole};
use super::value::Object;

/// Reads the resources of one module. Roles have been read before.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (block, object) in reader.instances("aws_iam_instance_profile") {
        let role = role(reader, &object, infra);
        infra.instance_profiles.push(InstanceProfile {
            address: object.address.to_string(),
            name: reader.name(&object).name,
            path: reader.path(&object),
            role,
            tags: reader.tags(&object, block),
            span: object.span,
        });
    }
    for (_, object) in reader.instances("aws_iam_account_alias") {
        if let Some(alias) = reader.text(&object, "account_alias") {
            infra.account_aliases.push(AccountAlias { alias, span: object.span });
        }
    }
    for (block, object) in reader.instances("aws_iam_service_linked_role") {
        let Some(service) = reader.text(&object, "aws_service_name") else { continue };
        infra.service_linked_roles.push(ServiceLinkedRole {
            service,
            suffix: reader.text(&object, "custom_suffix").map(|suffix| suffix.value),
            description: reader.text(&object, "description").map(|text| text.value),
            tags: reader.tags(&object, block),
            span: object.span,
        });
    }
}

/// The name of a profile's role, where it is written. It need not be of this module.
fn role(reader: &Reader<'_, '_>, object: &Object, infra: &mut Infra) -> Option<Spanned<String>> {
    let value = object.written("role")?;
    match reader.owner_of(value, object, &mut infra.roles) {
        Owner::Here(role) => Some(Spanned::new(role.name.value.clone(), value.span)),
        Owner::Elsewhere(name) => Some(name),
        Owner::Nowhere => None,
    }
}
