//! IAM: OIDC providers, roles, policies. One function for each operation; what they answer is made
//! into XML by `http::query`. Messages and limits: IAM API reference, and captured answers.

mod managed_policies;

use std::sync::Arc;

use landfall_policy::write_time::ROLE_INLINE_POLICY_CHARS_MAX;
use landfall_policy::{PolicyKind, managed, parse, write_time};
use landfall_types::{AccountId, Arn, Issuer, SourceId, Span, Tree};
use landfall_wire::error::{AwsError, Protocol};

use crate::authz::{Permit, calls};
use crate::policies::NOT_KEPT;
use crate::store::{AttachedPolicy, Document, Provider, ProviderSpans, Role};
use crate::world::World;

pub use managed_policies::{
    AnyPolicy, CreatePolicy, attachment_count, create_policy, delete_policy, get_policy, list_policies,
};

/// Shortest `MaxSessionDuration`, in seconds; also what a role has that says nothing.
pub const SESSION_SECONDS_DEFAULT: u32 = 3600;
/// Longest `MaxSessionDuration`, in seconds.
pub const SESSION_SECONDS_MAX: u32 = 43_200;
/// Client ids of one provider.
const CLIENT_IDS_MAX: usize = 100;
/// Thumbprints of one provider.
const THUMBPRINTS_MAX: usize = 5;
/// Managed policies on one role.
const ATTACHED_MAX: usize = 10;
/// Roles of one account.
const ROLES_MAX: usize = 1_000;
/// OIDC providers of one account.
const PROVIDERS_MAX: usize = 100;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Tags of one role.
const TAGS_MAX: usize = 50;
/// Longest URL of a provider, in characters.
const URL_CHARS_MAX: usize = 255;
/// Characters of a certificate thumbprint.
const THUMBPRINT_CHARS: usize = 40;

/// A policy document as it was given: its text, and the tree with the places of where it was written.
#[derive(Clone, Debug)]
pub struct DocumentInput {
    /// JSON.
    pub text: String,
    /// The document with its places.
    pub tree: Tree,
    /// Whether it was written long ago: what IAM accepts today doesn't apply to it. A trust policy that
    /// says nothing about the subject is refused since 2025, and roles that have one go on working.
    pub is_old: bool,
}

impl DocumentInput {
    /// A document that came over the API: its places are in its own text.
    ///
    /// # Errors
    /// `MalformedPolicyDocument` when it is not JSON.
    pub fn from_json(world: &World, name: &str, text: &str) -> Result<Self, AwsError> {
        Self::parse(world.given.source(world, name, text), text)
    }

    /// A document that is looked at once: nothing will point into it.
    ///
    /// # Errors
    /// As [`DocumentInput::from_json`].
    pub fn from_passing_json(text: &str) -> Result<Self, AwsError> {
        Self::parse(NOT_KEPT, text)
    }

    fn parse(source: SourceId, text: &str) -> Result<Self, AwsError> {
        let (tree, problems) = landfall_policy::json::parse(source, text);
        match problems.first() {
            None => Ok(Self { text: text.to_owned(), tree, is_old: false }),
            Some(_) => Err(malformed("This policy contains invalid Json")),
        }
    }

    /// Reads the document as IAM would when it is written.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`, `LimitExceeded`.
    pub fn read(self, kind: PolicyKind, account: AccountId) -> Result<Document, AwsError> {
        let (policy, mut problems) = parse::policy(&self.tree, kind);
        if self.is_old {
            return Ok(Document { text: self.text.into(), kind, policy: Arc::new(policy) });
        }
        problems.extend(write_time::write_time_problems(&policy, &self.tree, kind, account.as_str()));
        match problems.first() {
            None => Ok(Document { text: self.text.into(), kind, policy: Arc::new(policy) }),
            Some(problem) if problem.message.starts_with("Cannot exceed quota") => {
                Err(error("LimitExceeded", problem.message.clone(), 409))
            }
            Some(problem) => Err(malformed(&problem.message)),
        }
    }

    /// The place of the document.
    pub fn span(&self) -> Span {
        self.tree.span
    }
}

fn malformed(message: &str) -> AwsError {
    error("MalformedPolicyDocument", message.to_owned(), 400)
}

fn error(code: &'static str, message: impl Into<String>, status: u16) -> AwsError {
    AwsError::new(code, status, message)
}

fn limit_exceeded(quota: &str, limit: usize) -> AwsError {
    error("LimitExceeded", format!("Cannot exceed quota for {quota}: {limit}"), 409)
}

fn no_such_role(name: &str) -> AwsError {
    error("NoSuchEntity", format!("The role with name {name} cannot be found."), 404)
}

fn account_of<C>(permit: &Permit<C>, world: &World) -> AccountId {
    permit.caller().account().unwrap_or(world.settings.default_account)
}

/// `CreateOpenIDConnectProvider`.
#[derive(Clone, Debug)]
pub struct CreateProvider {
    /// The issuer's URL.
    pub url: String,
    /// Audiences.
    pub client_ids: Vec<String>,
    /// Certificate thumbprints.
    pub thumbprints: Vec<String>,
    /// Where it was written.
    pub written: ProviderSpans,
}

/// Makes a provider and tells its ARN.
///
/// # Errors
/// `InvalidInput` for a URL that is no issuer or too many entries, `EntityAlreadyExists`.
pub fn create_provider(
    world: &World,
    permit: &Permit<calls::CreateOpenIDConnectProvider>,
    input: CreateProvider,
) -> Result<Arn, AwsError> {
    let account = account_of(permit, world);
    let issuer = check_provider_url(&input.url)?;
    check_provider_lists(&input.client_ids, &input.thumbprints)?;
    if world.store.providers(account).len() >= PROVIDERS_MAX {
        return Err(limit_exceeded("OpenIdConnectProvidersPerAccount", PROVIDERS_MAX));
    }
    let mut client_ids: Vec<String> = Vec::new();
    for id in input.client_ids {
        if !client_ids.contains(&id) {
            client_ids.push(id);
        }
    }
    let arn = Arn::oidc_provider(account, &issuer.host_and_path());
    let provider = Provider {
        arn: arn.clone(),
        issuer,
        client_ids,
        thumbprints: input.thumbprints.iter().map(|thumbprint| thumbprint.to_ascii_lowercase()).collect(),
        created_at: world.clock.now(),
        written: input.written,
    };
    world.store.insert_provider(provider).map_err(|failed| {
        failed.or(Protocol::IAM, || {
            error("EntityAlreadyExists", format!("Provider with url {} already exists.", input.url), 409)
        })
    })?;
    Ok(arn)
}

fn check_provider_url(url: &str) -> Result<Issuer, AwsError> {
    check_length("url", url, 1, URL_CHARS_MAX)?;
    Issuer::parse(url).map_err(|_| {
        let has_more = url.starts_with("https://") && url.contains(['?', '#']);
        // The one word is AWS's whole message (observed).
        let unknown = "Unknown";
        let no_https = "Invalid Open ID Connect Provider URL. The URL must begin with https://.";
        error("InvalidInput", if has_more { unknown } else { no_https }, 400)
    })
}

fn check_provider_lists(client_ids: &[String], thumbprints: &[String]) -> Result<(), AwsError> {
    client_ids.iter().try_for_each(|id| check_length("clientIDList", id, 1, URL_CHARS_MAX))?;
    let exact =
        |thumbprint: &String| check_length("thumbprintList", thumbprint, THUMBPRINT_CHARS, THUMBPRINT_CHARS);
    thumbprints.iter().try_for_each(exact)?;
    if client_ids.len() > CLIENT_IDS_MAX {
        return Err(limit_exceeded("ClientIdsPerOpenIdConnectProvider", CLIENT_IDS_MAX));
    }
    if thumbprints.len() > THUMBPRINTS_MAX {
        return Err(error("InvalidInput", "Thumbprint list must contain fewer than 5 entries.", 400));
    }
    Ok(())
}

/// `GetOpenIDConnectProvider`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_provider(
    world: &World,
    permit: &Permit<calls::GetOpenIDConnectProvider>,
) -> Result<Arc<Provider>, AwsError> {
    find_provider(world, permit.resource()).ok_or_else(|| {
        error("NoSuchEntity", format!("OpenIDConnect Provider not found for arn {}", permit.resource()), 404)
    })
}

/// A provider by its own ARN, letter by letter: the call was decided on this text, and one that only
/// looks like it (another partition, a region) would have been decided otherwise.
fn find_provider(world: &World, text: &str) -> Option<Arc<Provider>> {
    let arn = Arn::parse(text).ok()?;
    let provider = world.store.provider(arn.account_id()?, arn.resource.strip_prefix("oidc-provider/")?);
    provider.filter(|provider| provider.arn == arn)
}

/// `DeleteOpenIDConnectProvider`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_provider(
    world: &World,
    permit: &Permit<calls::DeleteOpenIDConnectProvider>,
) -> Result<(), AwsError> {
    let missing = || {
        error("NoSuchEntity", format!("OpenId connect Provider {} cannot be found.", permit.resource()), 404)
    };
    let provider = find_provider(world, permit.resource()).ok_or_else(missing)?;
    let account = provider.arn.account_id().ok_or_else(missing)?;
    world
        .store
        .delete_provider(account, &provider.issuer.host_and_path())
        .map_err(|failed| failed.or(Protocol::IAM, missing))
}

/// `ListOpenIDConnectProviders`.
pub fn list_providers(
    world: &World,
    permit: &Permit<calls::ListOpenIDConnectProviders>,
) -> Vec<Arc<Provider>> {
    world.store.providers(account_of(permit, world))
}

/// `CreateRole`.
#[derive(Clone, Debug)]
pub struct CreateRole {
    /// `/` or `/x/`.
    pub path: String,
    /// The name.
    pub name: String,
    /// The description.
    pub description: Option<String>,
    /// The trust policy.
    pub trust: DocumentInput,
    /// Longest session, in seconds.
    pub max_session_seconds: Option<u32>,
    /// The permissions boundary's ARN.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Where the role was written.
    pub written: Span,
    /// Where its longest session was written.
    pub max_session_written: Option<Span>,
}

/// Makes a role.
///
/// # Errors
/// `ValidationError` for names and durations out of range, `MalformedPolicyDocument` for a trust
/// policy that IAM refuses, `EntityAlreadyExists`, `NoSuchEntity` for a boundary that isn't there.
pub fn create_role(
    world: &World,
    permit: &Permit<calls::CreateRole>,
    input: CreateRole,
) -> Result<Arc<Role>, AwsError> {
    let account = account_of(permit, world);
    check_name("roleName", &input.name, 64)?;
    check_path(&input.path)?;
    check_length("description", input.description.as_deref().unwrap_or(""), 0, DESCRIPTION_CHARS_MAX)?;
    check_tags(&input.tags)?;
    let max_session_seconds = input.max_session_seconds.unwrap_or(SESSION_SECONDS_DEFAULT);
    check_session_seconds(max_session_seconds)?;
    if let Some(boundary) = &input.boundary {
        check_policy_exists(world, account, boundary)?;
    }
    if world.store.roles(account).len() >= ROLES_MAX {
        return Err(limit_exceeded("RolesPerAccount", ROLES_MAX));
    }
    let trust = input.trust.read(PolicyKind::Trust, account)?;
    let role = Role {
        arn: Arn::role(account, &input.path, &input.name),
        path: input.path,
        name: input.name.clone(),
        id: landfall_wire::ids::unique_id("AROA", world.random()),
        description: input.description,
        trust,
        max_session_seconds,
        boundary: input.boundary,
        inline: Vec::new(),
        attached: Vec::new(),
        tags: input.tags,
        created_at: world.clock.now(),
        written: input.written,
        max_session_written: input.max_session_written,
    };
    world.store.insert_role(role).map_err(|failed| {
        failed.or(Protocol::IAM, || {
            error("EntityAlreadyExists", format!("Role with name {} already exists.", input.name), 409)
        })
    })?;
    world.store.role(account, &input.name).ok_or_else(|| no_such_role(&input.name))
}

fn validation(member: &str, value: &str, constraint: &str) -> AwsError {
    let message = format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    );
    error("ValidationError", message, 400)
}

fn check_length(member: &str, value: &str, shortest: usize, longest: usize) -> Result<(), AwsError> {
    let constraint = match value.chars().count() {
        count if count < shortest => format!("greater than or equal to {shortest}"),
        count if count > longest => format!("less than or equal to {longest}"),
        _ => return Ok(()),
    };
    Err(validation(member, value, &format!("Member must have length {constraint}")))
}

fn check_tags(tags: &[(String, String)]) -> Result<(), AwsError> {
    if tags.len() > TAGS_MAX {
        return Err(limit_exceeded("TagsPerRole", TAGS_MAX));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        check_length("tags.member.key", key, 1, 128)?;
        check_length("tags.member.value", value, 0, 256)?;
        let earlier = tags.get(..index).unwrap_or_default();
        if earlier.iter().any(|(other, _)| other.to_lowercase() == key.to_lowercase()) {
            let message = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(error("InvalidInput", message, 400));
        }
    }
    Ok(())
}

fn check_name(member: &str, name: &str, longest: usize) -> Result<(), AwsError> {
    check_length(member, name, 1, longest)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)) {
        Ok(())
    } else {
        Err(error(
            "ValidationError",
            format!(
                "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
            ),
            400,
        ))
    }
}

fn check_path(path: &str) -> Result<(), AwsError> {
    let printable = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if path.starts_with('/') && path.ends_with('/') && path.len() <= 512 && printable {
        return Ok(());
    }
    let message = "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.";
    Err(error("ValidationError", message, 400))
}

fn check_session_seconds(seconds: u32) -> Result<(), AwsError> {
    let value = seconds.to_string();
    if seconds < SESSION_SECONDS_DEFAULT {
        let constraint = "Member must have value greater than or equal to 3600";
        return Err(validation("maxSessionDuration", &value, constraint));
    }
    if seconds > SESSION_SECONDS_MAX {
        return Err(validation(
            "maxSessionDuration",
            &value,
            "Member must have value less than or equal to 43200",
        ));
    }
    Ok(())
}

/// Whether a managed policy can be used in an account: its own ones and AWS's can, and of others it does
/// not learn whether they exist.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) fn check_policy_exists(world: &World, account: AccountId, arn: &str) -> Result<(), AwsError> {
    let own = world.store.policy(arn).is_some_and(|policy| policy.arn.account == account.as_str());
    if own || managed::by_arn(arn).is_some() {
        return Ok(());
    }
    let aws_owned = Arn::parse(arn).is_ok_and(|arn| arn.account == "aws");
    // AWS has over a thousand managed policies; only those that CI roles use are known here.
    let hint = if aws_owned { " (or is an AWS managed policy that Landfall does not carry)" } else { "" };
    Err(error("NoSuchEntity", format!("Policy {arn} does not exist or is not attachable.{hint}"), 404))
}

/// `GetRole`, and the lookup of the other role operations: the role that the permit names.
///
/// # Errors
/// `NoSuchEntity`.
pub fn get_role<C>(world: &World, permit: &Permit<C>, name: &str) -> Result<Arc<Role>, AwsError> {
    let role = world.store.role(account_of(permit, world), name);
    role.filter(|role| role.arn.to_string() == permit.resource()).ok_or_else(|| no_such_role(name))
}

/// `ListRoles`.
pub fn list_roles(world: &World, permit: &Permit<calls::ListRoles>) -> Vec<Arc<Role>> {
    world.store.roles(account_of(permit, world))
}

/// `DeleteRole`.
///
/// # Errors
/// `NoSuchEntity`; `DeleteConflict` while it has policies.
pub fn delete_role(world: &World, permit: &Permit<calls::DeleteRole>, name: &str) -> Result<(), AwsError> {
    let role = get_role(world, permit, name)?;
    if !role.attached.is_empty() {
        return Err(error("DeleteConflict", "Cannot delete entity, must detach all policies first.", 409));
    }
    if !role.inline.is_empty() {
        return Err(error("DeleteConflict", "Cannot delete entity, must delete policies first.", 409));
    }
    world
        .store
        .delete_role(account_of(permit, world), name)
        .map_err(|failed| failed.or(Protocol::IAM, || no_such_role(name)))
}

fn update<C>(
    world: &World,
    permit: &Permit<C>,
    name: &str,
    change: &dyn Fn(&mut Role),
) -> Result<(), AwsError> {
    let role = get_role(world, permit, name)?;
    world
        .store
        .update_role(account_of(permit, world), &role.name, change)
        .map_err(|failed| failed.or(Protocol::IAM, || no_such_role(name)))
}

/// `UpdateAssumeRolePolicy`.
///
/// # Errors
/// `MalformedPolicyDocument`, `NoSuchEntity`.
pub fn update_trust(
    world: &World,
    permit: &Permit<calls::UpdateAssumeRolePolicy>,
    name: &str,
    trust: DocumentInput,
) -> Result<(), AwsError> {
    let trust = trust.read(PolicyKind::Trust, account_of(permit, world))?;
    update(world, permit, name, &|role| role.trust = trust.clone())
}

/// `PutRolePolicy`.
///
/// # Errors
/// `MalformedPolicyDocument`, `NoSuchEntity`.
pub fn put_role_policy(
    world: &World,
    permit: &Permit<calls::PutRolePolicy>,
    role: &str,
    name: &str,
    document: DocumentInput,
) -> Result<(), AwsError> {
    check_name("policyName", name, 128)?;
    let known = get_role(world, permit, role)?;
    let others = known.inline.iter().filter(|(other, _)| other != name).map(|(_, other)| &*other.text);
    let chars: usize = others.chain([document.text.as_str()]).map(visible_chars).sum();
    if chars > ROLE_INLINE_POLICY_CHARS_MAX {
        let message =
            format!("Maximum policy size of {ROLE_INLINE_POLICY_CHARS_MAX} bytes exceeded for role {role}");
        return Err(error("LimitExceeded", message, 409));
    }
    let document = document.read(PolicyKind::Identity, account_of(permit, world))?;
    update(world, permit, role, &|role| match role.inline.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = document.clone(),
        None => role.inline.push((name.to_owned(), document.clone())),
    })
}

/// A policy's length as quotas count it.
fn visible_chars(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}

/// `DeleteRolePolicy`.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_role_policy(
    world: &World,
    permit: &Permit<calls::DeleteRolePolicy>,
    role: &str,
    name: &str,
) -> Result<(), AwsError> {
    inline_policy(&*get_role(world, permit, role)?, name)?;
    update(world, permit, role, &|role| role.inline.retain(|(known, _)| known != name))
}

/// An inline policy of a role.
///
/// # Errors
/// `NoSuchEntity`.
pub fn inline_policy<'a>(role: &'a Role, name: &str) -> Result<&'a Document, AwsError> {
    let found = role.inline.iter().find(|(known, _)| known == name).map(|(_, document)| document);
    found.ok_or_else(|| {
        error("NoSuchEntity", format!("The role policy with name {name} cannot be found."), 404)
    })
}

/// `AttachRolePolicy`; attaching twice is no error.
///
/// # Errors
/// `NoSuchEntity` for role or policy, `LimitExceeded`.
pub fn attach_role_policy(
    world: &World,
    permit: &Permit<calls::AttachRolePolicy>,
    role: &str,
    policy: AttachedPolicy,
) -> Result<(), AwsError> {
    let known = get_role(world, permit, role)?;
    check_policy_exists(world, account_of(permit, world), &policy.arn)?;
    let is_new = !known.attached.iter().any(|other| other.arn == policy.arn);
    if is_new && known.attached.len() >= ATTACHED_MAX {
        return Err(limit_exceeded("PoliciesPerRole", ATTACHED_MAX));
    }
    update(world, permit, role, &|role| {
        if !role.attached.iter().any(|other| other.arn == policy.arn) {
            role.attached.push(policy.clone());
        }
    })
}

/// `DetachRolePolicy`.
///
/// # Errors
/// `NoSuchEntity` for the role, or for a policy that isn't attached.
pub fn detach_role_policy(
    world: &World,
    permit: &Permit<calls::DetachRolePolicy>,
    role: &str,
    arn: &str,
) -> Result<(), AwsError> {
    if !get_role(world, permit, role)?.attached.iter().any(|policy| policy.arn == arn) {
        return Err(error("NoSuchEntity", format!("Policy {arn} was not found."), 404));
    }
    update(world, permit, role, &|role| role.attached.retain(|policy| policy.arn != arn))
}
