//! Service-linked roles: a service's own, which only the service changes.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html>

use std::sync::Arc;

use landfall_policy::PolicyKind;
use landfall_policy::service_linked::{self, PATH, ServiceLinked};
use landfall_types::{AccountId, Arn};
use landfall_wire::error::AwsError;

use super::checks::check_description;
use super::entity::find_in;
use super::{DocumentInput, Fault, SESSION_SECONDS_DEFAULT, account_of, error, no_such_entity, roles, write};
use crate::authz::{Permit, calls};
use crate::store::records::key;
use crate::store::{AttachedPolicy, Record, Role, RoleDeletion, Writing};
use crate::world::World;

/// The role's ARN, for the decision; none for a service that has no role.
pub fn arn(account: AccountId, service: &str, suffix: Option<&str>) -> String {
    let linked = service_linked::by_service(service);
    let name = linked.map_or_else(|| "*".to_owned(), |linked| linked.role_name(suffix));
    Arn::role(account, &service_linked::path(service), &name).to_string()
}

/// `CreateServiceLinkedRole`.
///
/// # Errors
/// `InvalidInput` for services that have none, and for names that are taken.
pub fn create(
    world: &World,
    permit: &Permit<calls::CreateServiceLinkedRole>,
    service: &str,
    suffix: Option<&str>,
    description: Option<String>,
) -> Result<Arc<Role>, AwsError> {
    let account = account_of(permit, world);
    check_description(description.as_deref())?;
    let linked = service_linked::by_service(service).ok_or_else(|| {
        error("InvalidInput", format!("Service role creation policy not found for {service}"), 400)
    })?;
    if suffix.is_some() && !linked.has_suffix {
        return Err(error("InvalidInput", format!("Custom suffix is not allowed for {service}"), 400));
    }
    let role = make(world, account, linked, suffix, description)?;
    write(world, |writing| {
        if writing.get::<Role>(&role.key()).is_some() {
            let message = format!(
                "Service role name {} has been taken in this account, please try a different suffix.",
                role.name
            );
            return Err(error("InvalidInput", message, 400).into());
        }
        writing.put(role.clone());
        Ok(())
    })?;
    Ok(Arc::new(role))
}

/// What a service does when it is first used: it makes its role, unless it has it.
///
/// # Errors
/// The store's.
pub fn ensure(world: &World, account: AccountId, service: &str) -> Result<(), AwsError> {
    let Some(linked) = service_linked::by_service(service) else { return Ok(()) };
    if world.store.role(account, linked.role).is_some() {
        return Ok(());
    }
    let role = make(world, account, linked, None, None)?;
    write(world, |writing| {
        if writing.get::<Role>(&role.key()).is_none() {
            writing.put(role);
        }
        Ok(())
    })
}

fn make(
    world: &World,
    account: AccountId,
    linked: &ServiceLinked,
    suffix: Option<&str>,
    description: Option<String>,
) -> Result<Role, AwsError> {
    let (service, name) = (linked.service, linked.role_name(suffix));
    let path = service_linked::path(service);
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let trust = DocumentInput::from_json(world, &format!("trust policy of {name}"), &trust);
    let policy = format!("arn:aws:iam::aws:policy{PATH}{}", linked.policy);
    let source = world.given.source(world, "CreateServiceLinkedRole", &policy);
    let written = trust.span();
    Ok(Role {
        arn: Arn::role(account, &path, &name),
        path,
        name,
        id: landfall_wire::ids::role_id(world.random()),
        description,
        trust: trust.read(PolicyKind::Trust, account)?,
        max_session_seconds: SESSION_SECONDS_DEFAULT,
        boundary: None,
        inline: Vec::new(),
        attached: vec![AttachedPolicy {
            written: landfall_types::Span::new(source, 0, policy.len()),
            arn: policy,
        }],
        tags: Vec::new(),
        created_at: world.clock.now(),
        written,
        max_session_written: None,
    })
}

/// `DeleteServiceLinkedRole`: gives the task that [`deletion`] tells of.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput` for a role that is no service's.
pub fn delete(
    world: &World,
    permit: &Permit<calls::DeleteServiceLinkedRole>,
    name: &str,
) -> Result<String, AwsError> {
    write(world, |writing| {
        let role = find_in::<Role, _>(writing, world, permit, name)?;
        let service = role
            .path
            .strip_prefix(PATH)
            .ok_or_else(|| error("InvalidInput", format!("{name} is not a service-linked role."), 400))?;
        let task = format!("task{PATH}{service}{}/{}", role.name, world.request_id());
        writing.put(RoleDeletion { account: account_of(permit, world), task: task.clone() });
        forget(writing, &role)?;
        Ok(task)
    })
}

fn forget(writing: &mut Writing<'_>, role: &Role) -> Result<(), Fault> {
    roles::remove(writing, role).map_err(Fault::from)
}

/// `GetServiceLinkedRoleDeletionStatus`: nothing here keeps a service from giving up its role, so a
/// deletion that is known has succeeded.
///
/// # Errors
/// `NoSuchEntity`; `InvalidInput` for an id that no deletion can have.
pub fn deletion(
    world: &World,
    permit: &Permit<calls::GetServiceLinkedRoleDeletionStatus>,
    task: &str,
) -> Result<(), AwsError> {
    let account = account_of(permit, world);
    if world.store.get::<RoleDeletion>(&key(&[account.as_str(), task])).is_some() {
        return Ok(());
    }
    // `task/aws-service-role/SERVICE/ROLE/UUID`; both sentences were observed.
    let rest = task.strip_prefix("task").and_then(|rest| rest.strip_prefix(PATH));
    let parts: Vec<&str> = rest.unwrap_or_default().split('/').collect();
    match parts.as_slice() {
        [service, role, id] if ![service, role, id].iter().any(|part| part.is_empty()) => {
            Err(no_such_entity("Cannot find deletion status for given id."))
        }
        _ => Err(error("InvalidInput", "Invalid task id", 400)),
    }
}
