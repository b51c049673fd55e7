//! Decisions on repositories and registries: which policies take part, and which keys a call has.
//!
//! A repository's own policy and the policy of its registry count beside each other: either may allow, either may
//! deny. <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>

use std::sync::Arc;

use landfall_types::{Arn, RepositoryName};
use landfall_wire::error::{AwsError, Protocol, internal};

use super::{EcrCall, Face, PUBLIC_API_REGION, PUBLIC_REGION};
use crate::authn::Identified;
use crate::authz::{self, Asked, Call, OfRegistry, Permit, ResourcePolicy};
use crate::called::Keys;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::store::{Document, RegistryId, Repository};
use crate::tags::prefixed_keys;
use crate::world::World;

impl EcrCall<'_> {
    /// Decides the call on a resource.
    pub(super) fn authorize<C: Call>(
        &self,
        resource: String,
        resource_account: &str,
        resource_policies: &[ResourcePolicy],
        more: Keys,
    ) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        keys.extend(more);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: resource_account.to_owned(),
            resource_policies,
            keys,
            request_id: self.request_id,
        };
        authz::authorize(self.world, &asked, Protocol::Json11)
    }

    /// Decides a call that is about a registry as a whole. The catalogue has no resource type for it.
    pub(super) fn on_registry<C: Call>(&self) -> Result<(Permit<C>, RegistryId), AwsError> {
        self.on_registry_with(Vec::new())
    }

    /// [`EcrCall::on_registry`], with more keys.
    pub(super) fn on_registry_with<C: Call>(&self, keys: Keys) -> Result<(Permit<C>, RegistryId), AwsError> {
        let registry = self.registry()?;
        let policies = registry_policy(self.world, &registry);
        let permit = self.authorize("*".to_owned(), registry.account.as_str(), &policies, keys)?;
        Ok((permit, registry))
    }

    /// Decides a call on a repository, which need not be there.
    pub(super) fn permit_on<C: Call>(
        &self,
        registry: &RegistryId,
        name: &RepositoryName,
        keys: Keys,
    ) -> Result<Permit<C>, AwsError> {
        let Identified { caller, connection, region } = self.identified;
        let asking = Asking { caller, connection, region, request_id: self.request_id };
        authorize_with(self.world, &asking, registry, name, keys)
    }

    /// Decides a call on all repositories of a registry.
    pub(super) fn on_all<C: Call>(&self, registry: &RegistryId) -> Result<Permit<C>, AwsError> {
        let all = arn_of(registry, "*").to_string();
        let policies = match self.face {
            Face::Private => registry_policy(self.world, registry),
            Face::Public => Vec::new(),
        };
        self.authorize(all, registry.account.as_str(), &policies, Vec::new())
    }
}

/// Who asks, and how.
struct Asking<'a> {
    caller: &'a Caller,
    connection: &'a Connection,
    region: &'a str,
    request_id: &'a str,
}

/// Decides a call on one repository, with its own policy and tags and its registry's policy.
///
/// # Errors
/// The refusal.
pub(crate) fn authorize_on_repository<C: Call>(
    world: &World,
    (caller, connection): (&Caller, &Connection),
    registry: &RegistryId,
    name: &RepositoryName,
    request_id: &str,
) -> Result<Permit<C>, AwsError> {
    let asking = Asking { caller, connection, region: &registry.region, request_id };
    authorize_with(world, &asking, registry, name, Vec::new())
}

/// The same with more keys.
///
/// # Errors
/// The refusal.
pub(super) fn authorize_with_keys<C: Call>(
    world: &World,
    (caller, connection, request_id): (&Caller, &Connection, &str),
    registry: &RegistryId,
    name: &RepositoryName,
    keys: Keys,
) -> Result<Permit<C>, AwsError> {
    let asking = Asking { caller, connection, region: &registry.region, request_id };
    authorize_with(world, &asking, registry, name, keys)
}

/// The same for a registry call on ECR Public.
///
/// # Errors
/// The refusal.
pub(crate) fn authorize_on_public_repository<C: OfRegistry>(
    world: &World,
    (caller, connection): (&Caller, &Connection),
    registry: &RegistryId,
    name: &RepositoryName,
    request_id: &str,
) -> Result<Permit<C>, AwsError> {
    let asking = Asking { caller, connection, region: PUBLIC_API_REGION, request_id };
    let repository = world.store.repository(registry, name);
    let policies = resource_policies(world, registry, repository.as_deref());
    let asked = asked_on(&asking, registry, name, repository.as_deref(), &policies, Vec::new());
    authz::authorize_public(world, &asked)
}

fn authorize_with<C: Call>(
    world: &World,
    asking: &Asking<'_>,
    registry: &RegistryId,
    name: &RepositoryName,
    more: Keys,
) -> Result<Permit<C>, AwsError> {
    let repository = world.store.repository(registry, name);
    let policies = resource_policies(world, registry, repository.as_deref());
    let asked = asked_on(asking, registry, name, repository.as_deref(), &policies, more);
    authz::authorize(world, &asked, Protocol::Json11)
}

fn asked_on<'a>(
    asking: &Asking<'a>,
    registry: &RegistryId,
    name: &RepositoryName,
    repository: Option<&Repository>,
    policies: &'a [ResourcePolicy],
    more: Keys,
) -> Asked<'a> {
    let tags = repository.map_or(&[][..], |repository| &repository.tags);
    let prefixes: &[&str] = match registry.region.as_str() {
        PUBLIC_REGION => &["aws:ResourceTag", "ecr-public:ResourceTag"],
        // Both spellings are defined for repositories.
        // <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html>
        _ => &["aws:ResourceTag", "ecr:ResourceTag"],
    };
    let tag_keys = prefixed_keys(tags, prefixes);
    Asked {
        caller: asking.caller,
        region: asking.region,
        resource: arn_of(registry, name.as_str()).to_string(),
        resource_account: registry.account.to_string(),
        resource_policies: policies,
        keys: asking.connection.keys().into_iter().chain(tag_keys).chain(more).collect(),
        request_id: asking.request_id,
    }
}

/// Whether a caller could still do something on a repository if this were its policy; its registry's stays what it is.
pub(super) fn would_allow(
    call: &EcrCall<'_>,
    (registry, name): (&RegistryId, &RepositoryName),
    repository: &Repository,
    policy: &Document,
    action: &str,
) -> bool {
    let Identified { caller, connection, region } = call.identified;
    let asking = Asking { caller, connection, region, request_id: call.request_id };
    let mut policies = registry_policy(call.world, registry);
    policies.insert(0, of_repository(repository, policy));
    let asked = asked_on(&asking, registry, name, Some(repository), &policies, Vec::new());
    authz::explain_call(call.world, &asked, None, action).0.is_allowed()
}

/// The policies that have a say on a repository: its own, and its registry's.
fn resource_policies(
    world: &World,
    registry: &RegistryId,
    repository: Option<&Repository>,
) -> Vec<ResourcePolicy> {
    let own = repository.and_then(|repository| Some(of_repository(repository, repository.policy.as_ref()?)));
    own.into_iter().chain(registry_policy(world, registry)).collect()
}

/// The policies that have a say on the repository of an ARN; none for what is no repository.
pub fn policies_of(world: &World, arn: &str) -> Vec<ResourcePolicy> {
    let Some((registry, name)) = repository_of_arn(arn) else { return Vec::new() };
    resource_policies(world, &registry, world.store.repository(&registry, &name).as_deref())
}

fn of_repository(repository: &Repository, policy: &Document) -> ResourcePolicy {
    let arn = arn_of(&repository.registry, repository.name.as_str());
    ResourcePolicy { name: format!("policy of {arn}"), policy: Arc::clone(&policy.policy) }
}

/// The policy of a registry, which has a say on all that is in it.
pub(crate) fn registry_policy(world: &World, registry: &RegistryId) -> Vec<ResourcePolicy> {
    let policy = world.store.registry_settings(registry).policy.into_iter();
    let name = || format!("policy of the registry {} in {}", registry.account, registry.region);
    policy.map(|document| ResourcePolicy { name: name(), policy: document.policy }).collect()
}

/// The ARN of a repository, private or public.
pub(crate) fn arn_of(registry: &RegistryId, name: &str) -> Arn {
    let private = Arn::repository(&registry.region, registry.account, name);
    if registry.region != PUBLIC_REGION {
        return private;
    }
    // Public registries have no region.
    Arn { service: "ecr-public".to_owned(), region: String::new(), ..private }
}

/// The repository that an ARN names.
pub(super) fn repository_of_arn(text: &str) -> Option<(RegistryId, RepositoryName)> {
    let arn = Arn::parse(text).ok()?;
    let name = RepositoryName::parse(arn.resource.strip_prefix("repository/")?).ok()?;
    let account = arn.account_id()?;
    let region = match arn.service.as_str() {
        "ecr" => arn.region,
        "ecr-public" => PUBLIC_REGION.to_owned(),
        _ => return None,
    };
    Some((RegistryId { account, region }, name))
}

/// The repository that a permit is for.
///
/// # Errors
/// `InternalFailure` for a permit on anything else: a fault of the code that asked for it.
pub(crate) fn repository_of<C>(permit: &Permit<C>) -> Result<(RegistryId, RepositoryName), AwsError> {
    repository_of_arn(permit.resource()).ok_or_else(|| internal(Protocol::Json11))
}
