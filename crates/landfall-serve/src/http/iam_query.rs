//! IAM's operations in the Query protocol: parameters in, elements out.

use landfall_types::{AccountId, Arn, Span};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::xml::Element;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::query::{Answer, QueryCall};
use crate::authn::Identified;
use crate::authz::{self, Asked, Call, Permit, calls};
use crate::iam::{self, AnyPolicy, DocumentInput};
use crate::store::{AttachedPolicy, CustomerPolicy, Document, ProviderSpans, Role};

/// Policy documents come back percent-encoded. <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const DOCUMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Answers an operation; none for one that IAM does not have here.
pub(super) fn answer(call: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    Some(match operation {
        "CreateOpenIDConnectProvider" => create_provider(call),
        "GetOpenIDConnectProvider" => get_provider(call),
        "DeleteOpenIDConnectProvider" => delete_provider(call),
        "ListOpenIDConnectProviders" => list_providers(call),
        "CreateRole" => create_role(call),
        "GetRole" => get_role(call),
        "ListRoles" => list_roles(call),
        "DeleteRole" => delete_role(call),
        "UpdateAssumeRolePolicy" => update_trust(call),
        "PutRolePolicy" => put_role_policy(call),
        "GetRolePolicy" => get_role_policy(call),
        "ListRolePolicies" => list_role_policies(call),
        "DeleteRolePolicy" => delete_role_policy(call),
        "AttachRolePolicy" => attach_role_policy(call),
        "DetachRolePolicy" => detach_role_policy(call),
        "ListAttachedRolePolicies" => list_attached_role_policies(call),
        "CreatePolicy" => create_policy(call),
        "GetPolicy" => get_policy(call),
        "GetPolicyVersion" => get_policy_version(call),
        "ListPolicies" => list_policies(call),
        "DeletePolicy" => delete_policy(call),
        _ => return None,
    })
}

/// What an operation is decided on.
enum On {
    Nothing,
    Role(String),
    Resource(String),
}

fn permit<C: Call>(call: &QueryCall<'_>, on: On) -> Result<Permit<C>, AwsError> {
    let identified = call.identify("iam", C::NAME, Protocol::IAM)?;
    let account = identified.caller.account().unwrap_or(call.api.world.settings.default_account);
    permit_as(call, &identified, account, on)
}

fn permit_as<C: Call>(
    call: &QueryCall<'_>,
    identified: &Identified,
    account: AccountId,
    on: On,
) -> Result<Permit<C>, AwsError> {
    let world = call.api.world;
    let resource = match on {
        On::Nothing => "*".to_owned(),
        On::Resource(arn) => arn,
        On::Role(name) => {
            // A role that exists is named with its path, as IAM does it.
            let role = world.store.role(account, &name);
            role.map_or_else(|| Arn::role(account, "/", &name), |role| role.arn.clone()).to_string()
        }
    };
    let resource_account = Arn::parse(&resource).ok().and_then(|arn| arn.account_id()).unwrap_or(account);
    let asked = Asked {
        caller: &identified.caller,
        region: &identified.region,
        resource,
        resource_account: resource_account.to_string(),
        resource_policy: None,
        keys: Vec::new(),
        request_id: call.api.request_id,
    };
    authz::authorize(world, &asked, Protocol::IAM)
}

fn document(call: &QueryCall<'_>, parameter: &str, name: &str) -> Result<DocumentInput, AwsError> {
    DocumentInput::from_json(call.api.world, name, &call.required(parameter)?)
}

fn text(text: impl Into<String>) -> Option<Element> {
    Some(Element::from(text.into()))
}

fn encoded(document: &Document) -> Option<Element> {
    text(utf8_percent_encode(&document.text, DOCUMENT).to_string())
}

fn tags(tags: &[(String, String)]) -> Option<Element> {
    let tag = |(key, value): &(String, String)| {
        Element::structure([("Key", text(key.as_str())), ("Value", text(value.as_str()))])
    };
    (!tags.is_empty()).then(|| Element::List(tags.iter().map(tag).collect()))
}

/// A list that is never cut: this side has few of everything.
fn whole_list(name: &'static str, items: Vec<Element>) -> Element {
    Element::structure([("IsTruncated", Some(Element::Boolean(false))), (name, Some(Element::List(items)))])
}

fn owned(values: Vec<&str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

fn request_tags(call: &QueryCall<'_>) -> Vec<(String, String)> {
    let tags = call.params.structures("Tags.member");
    tags.iter()
        .map(|tag| (tag.get("Key").unwrap_or("").to_owned(), tag.get("Value").unwrap_or("").to_owned()))
        .collect()
}

/// Where something stands that was given over the API: in a text made of its own parameters.
fn written(call: &QueryCall<'_>, name: &str, value: &str) -> Span {
    let source = call.api.world.sources.add(name, value);
    Span::new(source, 0, value.len())
}

fn create_provider(call: &QueryCall<'_>) -> Answer {
    let url = call.required("Url")?;
    let client_ids = owned(call.params.list("ClientIDList.member", ""));
    let account = call.api.world.settings.default_account;
    let host = url.strip_prefix("https://").unwrap_or(&url);
    let identified = call.identify("iam", "CreateOpenIDConnectProvider", Protocol::IAM)?;
    let account = identified.caller.account().unwrap_or(account);
    let on = On::Resource(Arn::oidc_provider(account, host).to_string());
    let permit = permit_as(call, &identified, account, on)?;
    let described = written(call, "CreateOpenIDConnectProvider", &url);
    let input = iam::CreateProvider {
        written: ProviderSpans {
            provider: described,
            url: described,
            client_ids: written(call, "CreateOpenIDConnectProvider", &client_ids.join(", ")),
        },
        thumbprints: owned(call.params.list("ThumbprintList.member", "")),
        url,
        client_ids,
    };
    let arn = iam::create_provider(call.api.world, &permit, input)?;
    Ok(Some(Element::structure([("OpenIDConnectProviderArn", text(arn.to_string()))])))
}

fn get_provider(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Resource(call.required("OpenIDConnectProviderArn")?))?;
    let provider = iam::get_provider(call.api.world, &permit)?;
    let list = |values: &[String]| {
        Some(Element::List(values.iter().map(|value| Element::text(value.as_str())).collect()))
    };
    Ok(Some(Element::structure([
        ("ThumbprintList", list(&provider.thumbprints)),
        ("CreateDate", Some(Element::Time(provider.created_at))),
        ("ClientIDList", list(&provider.client_ids)),
        ("Url", text(provider.issuer.host_and_path())),
    ])))
}

fn delete_provider(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Resource(call.required("OpenIDConnectProviderArn")?))?;
    iam::delete_provider(call.api.world, &permit).map(|()| None)
}

fn list_providers(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Nothing)?;
    let providers = iam::list_providers(call.api.world, &permit);
    let entries =
        providers.iter().map(|provider| Element::structure([("Arn", text(provider.arn.to_string()))]));
    Ok(Some(Element::structure([("OpenIDConnectProviderList", Some(Element::List(entries.collect())))])))
}

/// `CreateRole`'s answer has no `MaxSessionDuration`; `GetRole`'s has.
fn role_element(role: &Role, whole: bool) -> Element {
    let boundary = role.boundary.as_deref().map(|arn| {
        Element::structure([
            ("PermissionsBoundaryType", text("Policy")),
            ("PermissionsBoundaryArn", text(arn)),
        ])
    });
    Element::structure([
        ("Path", text(role.path.as_str())),
        ("RoleName", text(role.name.as_str())),
        ("RoleId", text(role.id.as_str())),
        ("Arn", text(role.arn.to_string())),
        ("CreateDate", Some(Element::Time(role.created_at))),
        ("AssumeRolePolicyDocument", encoded(&role.trust)),
        ("Description", role.description.as_deref().map(Element::text)),
        ("MaxSessionDuration", whole.then(|| Element::Integer(i64::from(role.max_session_seconds)))),
        ("PermissionsBoundary", boundary),
        ("Tags", tags(&role.tags)),
    ])
}

fn create_role(call: &QueryCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let path = call.params.get("Path").unwrap_or("/").to_owned();
    let identified = call.identify("iam", "CreateRole", Protocol::IAM)?;
    let account = identified.caller.account().unwrap_or(call.api.world.settings.default_account);
    let on = On::Resource(Arn::role(account, &path, &name).to_string());
    let permit = permit_as(call, &identified, account, on)?;
    let trust = document(call, "AssumeRolePolicyDocument", &format!("trust policy of {name}"))?;
    let input = iam::CreateRole {
        description: call.params.get("Description").map(str::to_owned),
        max_session_seconds: call.number("MaxSessionDuration")?,
        boundary: call.params.get("PermissionsBoundary").map(str::to_owned),
        tags: request_tags(call),
        written: trust.span(),
        max_session_written: None,
        trust,
        path,
        name,
    };
    let role = iam::create_role(call.api.world, &permit, input)?;
    Ok(Some(Element::structure([("Role", Some(role_element(&role, false)))])))
}

fn get_role(call: &QueryCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit: Permit<calls::GetRole> = permit(call, On::Role(name.clone()))?;
    let role = iam::get_role(call.api.world, &permit, &name)?;
    Ok(Some(Element::structure([("Role", Some(role_element(&role, true)))])))
}

fn list_roles(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Nothing)?;
    let roles = iam::list_roles(call.api.world, &permit);
    Ok(Some(whole_list("Roles", roles.iter().map(|role| role_element(role, true)).collect())))
}

fn delete_role(call: &QueryCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = permit(call, On::Role(name.clone()))?;
    iam::delete_role(call.api.world, &permit, &name).map(|()| None)
}

fn update_trust(call: &QueryCall<'_>) -> Answer {
    let name = call.required("RoleName")?;
    let permit = permit(call, On::Role(name.clone()))?;
    let trust = document(call, "PolicyDocument", &format!("trust policy of {name}"))?;
    iam::update_trust(call.api.world, &permit, &name, trust).map(|()| None)
}

fn put_role_policy(call: &QueryCall<'_>) -> Answer {
    let (role, name) = (call.required("RoleName")?, call.required("PolicyName")?);
    let permit = permit(call, On::Role(role.clone()))?;
    let document = document(call, "PolicyDocument", &format!("inline policy {name} of {role}"))?;
    iam::put_role_policy(call.api.world, &permit, &role, &name, document).map(|()| None)
}

fn get_role_policy(call: &QueryCall<'_>) -> Answer {
    let (role, name) = (call.required("RoleName")?, call.required("PolicyName")?);
    let permit: Permit<calls::GetRolePolicy> = permit(call, On::Role(role.clone()))?;
    let role = iam::get_role(call.api.world, &permit, &role)?;
    let document = iam::inline_policy(&role, &name)?;
    Ok(Some(Element::structure([
        ("RoleName", text(role.name.as_str())),
        ("PolicyName", text(name)),
        ("PolicyDocument", encoded(document)),
    ])))
}

fn list_role_policies(call: &QueryCall<'_>) -> Answer {
    let role = call.required("RoleName")?;
    let permit: Permit<calls::ListRolePolicies> = permit(call, On::Role(role.clone()))?;
    let role = iam::get_role(call.api.world, &permit, &role)?;
    let names = role.inline.iter().map(|(name, _)| Element::text(name.as_str())).collect();
    Ok(Some(whole_list("PolicyNames", names)))
}

fn delete_role_policy(call: &QueryCall<'_>) -> Answer {
    let (role, name) = (call.required("RoleName")?, call.required("PolicyName")?);
    let permit = permit(call, On::Role(role.clone()))?;
    iam::delete_role_policy(call.api.world, &permit, &role, &name).map(|()| None)
}

fn attach_role_policy(call: &QueryCall<'_>) -> Answer {
    let (role, arn) = (call.required("RoleName")?, call.required("PolicyArn")?);
    let permit = permit(call, On::Role(role.clone()))?;
    let policy = AttachedPolicy { written: written(call, "AttachRolePolicy", &arn), arn };
    iam::attach_role_policy(call.api.world, &permit, &role, policy).map(|()| None)
}

fn detach_role_policy(call: &QueryCall<'_>) -> Answer {
    let (role, arn) = (call.required("RoleName")?, call.required("PolicyArn")?);
    let permit = permit(call, On::Role(role.clone()))?;
    iam::detach_role_policy(call.api.world, &permit, &role, &arn).map(|()| None)
}

fn list_attached_role_policies(call: &QueryCall<'_>) -> Answer {
    let role = call.required("RoleName")?;
    let permit: Permit<calls::ListAttachedRolePolicies> = permit(call, On::Role(role.clone()))?;
    let role = iam::get_role(call.api.world, &permit, &role)?;
    let entry = |policy: &AttachedPolicy| {
        let name = policy.arn.rsplit('/').next().unwrap_or("");
        Element::structure([("PolicyName", text(name)), ("PolicyArn", text(policy.arn.as_str()))])
    };
    Ok(Some(whole_list("AttachedPolicies", role.attached.iter().map(entry).collect())))
}

fn policy_element(call: &QueryCall<'_>, policy: &CustomerPolicy) -> Element {
    let attachments = policy
        .arn
        .account_id()
        .map_or(0, |account| iam::attachment_count(call.api.world, account, &policy.arn.to_string()));
    Element::structure([
        ("PolicyName", text(policy.name.as_str())),
        ("PolicyId", text(policy.id.as_str())),
        ("Arn", text(policy.arn.to_string())),
        ("Path", text(policy.path.as_str())),
        ("DefaultVersionId", text("v1")),
        ("AttachmentCount", Some(Element::Integer(i64::try_from(attachments).unwrap_or(i64::MAX)))),
        ("PermissionsBoundaryUsageCount", Some(Element::Integer(0))),
        ("IsAttachable", Some(Element::Boolean(true))),
        ("Description", policy.description.as_deref().map(Element::text)),
        ("CreateDate", Some(Element::Time(policy.created_at))),
        ("UpdateDate", Some(Element::Time(policy.created_at))),
    ])
}

fn create_policy(call: &QueryCall<'_>) -> Answer {
    let name = call.required("PolicyName")?;
    let path = call.params.get("Path").unwrap_or("/").to_owned();
    let identified = call.identify("iam", "CreatePolicy", Protocol::IAM)?;
    let account = identified.caller.account().unwrap_or(call.api.world.settings.default_account);
    let on = On::Resource(Arn::policy(account, &path, &name).to_string());
    let permit = permit_as(call, &identified, account, on)?;
    let document = document(call, "PolicyDocument", &format!("policy {name}"))?;
    let description = call.params.get("Description").map(str::to_owned);
    let input = iam::CreatePolicy { path, name, description, document };
    let policy = iam::create_policy(call.api.world, &permit, input)?;
    Ok(Some(Element::structure([("Policy", Some(policy_element(call, &policy)))])))
}

fn get_policy(call: &QueryCall<'_>) -> Answer {
    let permit: Permit<calls::GetPolicy> = permit(call, On::Resource(call.required("PolicyArn")?))?;
    let element = match iam::get_policy(call.api.world, &permit)? {
        AnyPolicy::Customer(policy) => policy_element(call, &policy),
        AnyPolicy::Aws(arn, policy) => {
            let (path, name) = policy.path_and_name.rsplit_once('/').unwrap_or(("", policy.path_and_name));
            Element::structure([
                ("PolicyName", text(name)),
                ("Arn", text(arn)),
                ("Path", text(format!("{path}/"))),
                ("DefaultVersionId", text(policy.version)),
                ("IsAttachable", Some(Element::Boolean(true))),
            ])
        }
    };
    Ok(Some(Element::structure([("Policy", Some(element))])))
}

fn get_policy_version(call: &QueryCall<'_>) -> Answer {
    let permit: Permit<calls::GetPolicyVersion> = permit(call, On::Resource(call.required("PolicyArn")?))?;
    let asked = call.required("VersionId")?;
    let (document, version) = match iam::get_policy(call.api.world, &permit)? {
        AnyPolicy::Customer(policy) => (policy.document.text.to_string(), "v1"),
        AnyPolicy::Aws(_, policy) => (policy.json.to_owned(), policy.version),
    };
    if asked != version {
        let message =
            format!("Policy {} version {asked} does not exist or is not attachable.", permit.resource());
        return Err(AwsError::new("NoSuchEntity", 404, message));
    }
    Ok(Some(Element::structure([(
        "PolicyVersion",
        Some(Element::structure([
            ("Document", text(utf8_percent_encode(&document, DOCUMENT).to_string())),
            ("VersionId", text(version)),
            ("IsDefaultVersion", Some(Element::Boolean(true))),
        ])),
    )])))
}

fn list_policies(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Nothing)?;
    let policies = iam::list_policies(call.api.world, &permit);
    Ok(Some(whole_list("Policies", policies.iter().map(|policy| policy_element(call, policy)).collect())))
}

fn delete_policy(call: &QueryCall<'_>) -> Answer {
    let permit = permit(call, On::Resource(call.required("PolicyArn")?))?;
    iam::delete_policy(call.api.world, &permit).map(|()| None)
}
