//! Repository creation templates: how repositories are set up that come into being on their own, when
//! something is pushed or replicated to them.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates.html>

use std::sync::Arc;

use landfall_policy::write_time::EcrOwner;
use landfall_types::RepositoryName;
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::authorize_with_keys;
use super::lifecycle;
use super::page::Page;
use super::policies;
use super::repositories::{CreateRepository, SettingsInput, add_mutability, create_repository};
use super::{Answer, EcrCall, authorize_on_repository, epoch, resource_tags, write};
use crate::authz::{Permit, calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::ecs::runner::role::{Taker, assume_as};
use crate::store::ecs::Place;
use crate::store::{
    CreationTemplate, Lifecycle, Reads, RegistryId, Repository, RepositorySettings, in_registry,
    within_registry,
};
use crate::world::World;

/// Whom a template's role has to trust.
const PRINCIPAL: &str = "ecr.amazonaws.com";
/// The template of repositories that no other one is for.
const ROOT: &str = "ROOT";

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TemplateInput {
    prefix: String,
    description: Option<String>,
    repository_policy: Option<String>,
    lifecycle_policy: Option<String>,
    applied_for: Option<Vec<String>>,
    custom_role_arn: Option<String>,
}

/// A prefix is kept without its closing slash: it stands for a namespace either way.
fn stem(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

pub(super) fn create(call: &EcrCall<'_>) -> Answer {
    let input: TemplateInput = call.read()?;
    let registry = call.registry()?;
    let now = call.world.clock.now();
    let mut template = CreationTemplate {
        registry: registry.clone(),
        prefix: stem(&input.prefix).to_owned(),
        description: None,
        settings: RepositorySettings::default(),
        tags: Vec::new(),
        repository_policy: None,
        applied_for: Vec::new(),
        custom_role_arn: None,
        created_at: now,
        updated_at: now,
    };
    apply(call, &mut template, input)?;
    let (permit, _) = call.on_registry::<calls::CreateRepositoryCreationTemplate>()?;
    may_make(call, &template)?;
    may_pass_role(call)?;
    insert(call.world, &permit, template.clone())?;
    Ok(answer(&registry, &template))
}

/// Takes over the members that were given; what is given empty is taken away.
fn apply(call: &EcrCall<'_>, template: &mut CreationTemplate, input: TemplateInput) -> Result<(), AwsError> {
    let settings: SettingsInput = call.read()?;
    if let Some(mutability) = settings.mutability()? {
        template.settings.tag_mutability = mutability;
    }
    if let Some(encryption) = settings.encryption()? {
        template.settings.encryption = encryption;
    }
    if call.input.get("resourceTags").is_some_and(|tags| !tags.is_null()) {
        template.tags = resource_tags::read(&call.input, "resourceTags")?;
    }
    if let Some(text) = input.repository_policy {
        template.repository_policy = (!text.is_empty()).then_some(text);
    }
    if let Some(text) = input.lifecycle_policy {
        template.settings.lifecycle = match text.as_str() {
            "" => None,
            text => Some(Lifecycle { text: lifecycle::parse(text)?.to_json(), evaluated_at: None }),
        };
    }
    template.description = input.description.or_else(|| template.description.take());
    template.custom_role_arn = input.custom_role_arn.or_else(|| template.custom_role_arn.take());
    if let Some(applied_for) = input.applied_for {
        template.applied_for = applied_for;
    }
    if let Some(text) = &template.repository_policy {
        let name = format!("repository policy of the template {}", template.prefix);
        policies::read(call.world, EcrOwner::Repository, &name, text, template.registry.account)?;
    }
    let needs_role = !template.tags.is_empty() || template.settings.encryption.encryption_type != "AES256";
    if needs_role && template.custom_role_arn.as_ref().is_none_or(String::is_empty) {
        let constraint = "must be specified for a template with resource tags or with KMS encryption";
        return Err(ecr_invalid_parameter("customRoleArn", constraint));
    }
    Ok(())
}

/// Whoever writes a template has repositories made, with the policies in it, and has to be allowed to do it: by an
/// identity policy. Decided on all repositories of its namespace, which is inferred.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-create.html#repository-creation-templates-iam>
fn may_make(call: &EcrCall<'_>, template: &CreationTemplate) -> Result<(), AwsError> {
    let namespace = match template.prefix.as_str() {
        ROOT => "*".to_owned(),
        prefix => format!("{prefix}/*"),
    };
    let resource = || super::arn_of(&template.registry, &namespace).to_string();
    let account = template.registry.account.as_str();
    let _: Permit<calls::CreateRepository> = call.authorize(resource(), account, &[], Vec::new())?;
    if template.settings.lifecycle.is_some() {
        let _: Permit<calls::PutLifecyclePolicy> = call.authorize(resource(), account, &[], Vec::new())?;
    }
    if template.repository_policy.is_some() {
        let _: Permit<calls::SetRepositoryPolicy> = call.authorize(resource(), account, &[], Vec::new())?;
    }
    Ok(())
}

/// A role that is handed to ECR has to be one that the caller may pass on.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-iam.html>
fn may_pass_role(call: &EcrCall<'_>) -> Result<(), AwsError> {
    let Some(role) = call.text("customRoleArn").filter(|role| !role.is_empty()) else { return Ok(()) };
    let account = landfall_types::Arn::parse(role).map(|arn| arn.account).unwrap_or_default();
    let to_ecr = vec![("iam:PassedToService".to_owned(), vec![PRINCIPAL.to_owned()])];
    let passing: Result<Permit<calls::PassRoleToEcr>, AwsError> =
        call.authorize(role.to_owned(), &account, &[], to_ecr);
    passing.map(|_| ())
}

fn insert<C>(world: &World, permit: &Permit<C>, template: CreationTemplate) -> Result<(), AwsError> {
    let (prefix, account) = (template.prefix.clone(), template.registry.account);
    write(world, permit, |writing| {
        writing.insert(template).map_err(|_| {
            let message = format!(
                "The repository creation template with prefix '{prefix}' already exists in the registry with id '{account}'"
            );
            AwsError::bad_request("TemplateAlreadyExistsException", message).into()
        })
    })
}

pub(super) fn update(call: &EcrCall<'_>) -> Answer {
    let input: TemplateInput = call.read()?;
    let (permit, registry) = call.on_registry::<calls::UpdateRepositoryCreationTemplate>()?;
    let updated = |records: &dyn Fn(&str) -> Result<CreationTemplate, AwsError>| {
        let mut template = records(&input.prefix)?;
        apply(call, &mut template, input.clone())?;
        template.updated_at = call.world.clock.now();
        Ok::<_, AwsError>(template)
    };
    // Broken input is told before a role that may not be passed on.
    let template = updated(&|prefix| find(&call.world.store, &registry, prefix))?;
    may_make(call, &template)?;
    may_pass_role(call)?;
    let template = write(call.world, &permit, |writing| {
        let template = updated(&|prefix| find(writing, &registry, prefix))?;
        writing.put(template.clone());
        Ok(template)
    })?;
    Ok(answer(&registry, &template))
}

pub(super) fn delete(call: &EcrCall<'_>) -> Answer {
    let prefix = call.text("prefix").unwrap_or_default();
    let (permit, registry) = call.on_registry::<calls::DeleteRepositoryCreationTemplate>()?;
    let template = write(call.world, &permit, |writing| {
        let template = find(writing, &registry, prefix)?;
        writing.remove::<CreationTemplate>(&in_registry(&registry, &template.prefix))?;
        Ok(template)
    })?;
    Ok(answer(&registry, &template))
}

pub(super) fn describe(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::DescribeRepositoryCreationTemplates>()?;
    let prefixes = call.input.get("prefixes").and_then(Value::as_array);
    let prefixes: Vec<&str> = prefixes.into_iter().flatten().filter_map(Value::as_str).collect();
    let page = Page::of(call)?;
    let templates = if prefixes.is_empty() {
        all(&call.world.store, &registry)
    } else {
        let found = prefixes.iter().map(|prefix| find(&call.world.store, &registry, prefix).map(Arc::new));
        found.collect::<Result<_, _>>()?
    };
    let mut answer = page.answer(
        "repositoryCreationTemplates",
        &templates,
        |template| template.prefix.clone(),
        |template| template_json(template),
    );
    if let Some(members) = answer.as_object_mut() {
        members.insert("registryId".to_owned(), registry.account.as_str().into());
    }
    Ok(answer)
}

fn all(records: &impl Reads, registry: &RegistryId) -> Vec<Arc<CreationTemplate>> {
    records.records(&within_registry(registry))
}

fn find(records: &impl Reads, registry: &RegistryId, prefix: &str) -> Result<CreationTemplate, AwsError> {
    let found = records.record::<CreationTemplate>(&in_registry(registry, stem(prefix)));
    found
        .map(|template| CreationTemplate::clone(&template))
        .ok_or_else(|| no_template(registry, stem(prefix)))
}

fn no_template(registry: &RegistryId, prefix: &str) -> AwsError {
    AwsError::bad_request(
        "TemplateNotFoundException",
        format!(
            "The repository creation template with prefix '{prefix}' does not exist in the registry with id '{}'",
            registry.account
        ),
    )
}

fn answer(registry: &RegistryId, template: &CreationTemplate) -> Value {
    json!({
        "registryId": registry.account.as_str(),
        "repositoryCreationTemplate": template_json(template),
    })
}

fn template_json(template: &CreationTemplate) -> Value {
    let mut members = Map::new();
    members.insert("prefix".to_owned(), template.prefix.as_str().into());
    if let Some(description) = &template.description {
        members.insert("description".to_owned(), description.as_str().into());
    }
    members.insert("encryptionConfiguration".to_owned(), json!(template.settings.encryption));
    let tags = template.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    members.insert("resourceTags".to_owned(), tags.collect());
    add_mutability(&mut members, &template.settings.tag_mutability);
    let optional = [
        ("repositoryPolicy", template.repository_policy.as_deref()),
        ("lifecyclePolicy", template.settings.lifecycle.as_ref().map(|lifecycle| lifecycle.text.as_str())),
        ("customRoleArn", template.custom_role_arn.as_deref()),
    ];
    for (name, text) in optional.into_iter().filter_map(|(name, text)| Some((name, text?))) {
        members.insert(name.to_owned(), text.into());
    }
    members.insert("appliedFor".to_owned(), json!(template.applied_for));
    members.insert("createdAt".to_owned(), epoch(template.created_at).into());
    members.insert("updatedAt".to_owned(), epoch(template.updated_at).into());
    Value::Object(members)
}

/// The template for a new repository: the one with the longest prefix that is its namespace, or `ROOT`.
fn matching(
    world: &World,
    registry: &RegistryId,
    name: &RepositoryName,
    scenario: &str,
) -> Option<Arc<CreationTemplate>> {
    let is_within = |prefix: &str| {
        prefix == ROOT || name.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    };
    let length = |template: &Arc<CreationTemplate>| match template.prefix.as_str() {
        ROOT => 0,
        prefix => prefix.len(),
    };
    let mut templates = all(&world.store, registry);
    templates.retain(|template| {
        is_within(&template.prefix) && template.applied_for.iter().any(|applied| applied == scenario)
    });
    templates.into_iter().max_by_key(length)
}

/// ECR makes a repository as the role that the template names, which has to trust it and to be allowed to make and to tag
/// the repository; a template without one has ECR's service-linked role, which may make any.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_RepositoryCreationTemplate.html>,
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-creation-templates-create-iam.html>
///
/// # Errors
/// The refusal. What AWS says of a role that it can't take is written down nowhere: the sentence is inferred.
pub(super) fn act_as_role(
    world: &World,
    template: &CreationTemplate,
    name: &RepositoryName,
    request_id: &str,
) -> Result<(), AwsError> {
    let Some(role) = template.custom_role_arn.as_deref().filter(|role| !role.is_empty()) else {
        return Ok(());
    };
    let registry = &template.registry;
    let place = Place { account: registry.account, region: registry.region.clone() };
    let source = super::arn_of(registry, name.as_str()).to_string();
    let taker = Taker { principal: PRINCIPAL, place: &place, source, request_id: request_id.to_owned() };
    let session = assume_as(world, &taker, &world.request_id(), role).map_err(|_| {
        let message = format!(
            "The repository with name '{name}' can't be created in the registry with id '{}': Amazon ECR can't assume \
             the role '{role}' of the repository creation template with prefix '{}'",
            registry.account, template.prefix
        );
        AwsError::bad_request("InvalidParameterException", message)
    })?;
    let caller = Caller::Session(Arc::new(session));
    let connection = Connection::new([127, 0, 0, 1].into(), Some(PRINCIPAL));
    let keys = resource_tags::request_keys(&template.tags);
    let asking = (&caller, &connection, request_id);
    let _: Permit<calls::CreateRepository> =
        authorize_with_keys(world, asking, registry, name, keys.clone())?;
    if !template.tags.is_empty() {
        let _: Permit<calls::TagResource> = authorize_with_keys(world, asking, registry, name, keys)?;
    }
    Ok(())
}

/// A new repository as the template for it has it; without a template, as ECR makes them.
pub(super) fn new_repository(
    world: &World,
    registry: &RegistryId,
    name: &RepositoryName,
    template: Option<&CreationTemplate>,
) -> CreateRepository {
    let policy = template.and_then(|template| template.repository_policy.as_deref()).and_then(|text| {
        let title = format!("policy of {}", super::arn_of(registry, name.as_str()));
        policies::read_again(world, EcrOwner::Repository, &title, text).ok()
    });
    CreateRepository {
        registry: registry.clone(),
        name: name.clone(),
        settings: template.map(|template| template.settings.clone()).unwrap_or_default(),
        tags: template.map(|template| template.tags.clone()).unwrap_or_default(),
        policy,
    }
}

/// Repositories that come into being by replication are set up by these.
pub(super) fn for_replication(
    world: &World,
    registry: &RegistryId,
    name: &RepositoryName,
) -> Option<Arc<CreationTemplate>> {
    matching(world, registry, name, "REPLICATION")
}

/// Whether a push makes the repository that it is for, as far as templates say it.
pub(crate) fn is_created_on_push(world: &World, registry: &RegistryId, name: &RepositoryName) -> bool {
    matching(world, registry, name, "CREATE_ON_PUSH").is_some()
}

/// Makes the repository that something is pushed to, when a template says so and the caller may make one.
/// None when no template does: the push fails for the want of a repository.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-create-on-push.html>
///
/// # Errors
/// The refusal of `ecr:CreateRepository`, for the caller or for the template's role.
pub(crate) fn create_on_push(
    world: &World,
    caller: (&Caller, &Connection),
    registry: &RegistryId,
    name: &RepositoryName,
    request_id: &str,
) -> Result<Option<Arc<Repository>>, AwsError> {
    let Some(template) = matching(world, registry, name, "CREATE_ON_PUSH") else { return Ok(None) };
    let permit: Permit<calls::CreateRepository> =
        authorize_on_repository(world, caller, registry, name, request_id)?;
    act_as_role(world, &template, name, request_id)?;
    match create_repository(world, permit, new_repository(world, registry, name, Some(&template))) {
        // Whoever was quicker made the same repository.
        Err(error) if error.code != "RepositoryAlreadyExistsException" => Err(error),
        Ok(_) | Err(_) => Ok(world.store.repository(registry, name)),
    }
}
