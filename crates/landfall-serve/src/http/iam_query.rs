//! IAM's operations in the Query protocol: parameters in, elements out.

use landfall_types::{AccountId, Arn, Issuer, Span};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::xml::Element;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::query::{Answer, QueryCall};
use crate::authn::Identified;
use crate::authz::{self, Asked, Call, Permit, calls};
use crate::iam::{self, AnyPolicy, DocumentInput};
use crate::store::{AttachedPolicy, CustomerPolicy, Document, ProviderSpans, Role};
use crate::world::World;

/// Policy documents come back percent-encoded. <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const DOCUMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A call whose signature was verified, before its decision.
struct IamCall<'a> {
    query: &'a QueryCall<'a>,
    identified: Identified,
    account: AccountId,
}

/// Answers an operation; none for one that IAM does not have here.
pub(super) fn answer(query: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    let run: fn(&IamCall<'_>) -> Answer = match operation {
        "CreateOpenIDConnectProvider" => create_provider,
        "GetOpenIDConnectProvider" => get_provider,
        "DeleteOpenIDConnectProvider" => delete_provider,
        "ListOpenIDConnectProviders" => list_providers,
        "CreateRole" => create_role,
        "GetRole" => get_role,
        "ListRoles" => list_roles,
        "DeleteRole" => delete_role,
        "UpdateAssumeRolePolicy" => update_trust,
        "PutRolePolicy" => put_role_policy,
        "GetRolePolicy" => get_role_policy,
        "ListRolePolicies" => list_role_policies,
        "DeleteRolePolicy" => delete_role_policy,
        "AttachRolePolicy" => attach_role_policy,
        "DetachRolePolicy" => detach_role_policy,
        "ListAttachedRolePolicies" => list_attached_role_policies,
        "CreatePolicy" => create_policy,
        "GetPolicy" => get_policy,
        "GetPolicyVersion" => get_policy_version,
        "ListPolicies" => list_policies,
        "DeletePolicy" => delete_policy,
        _ => return None,
    };
    let identified = match query.identify("iam", operation, Protocol::IAM) {
        Ok(identified) => identified,
        Err(error) => return Some(Err(error)),
    };
    let account = identified.caller.account().unwrap_or(query.api.world.settings.default_account);
    Some(run(&IamCall { query, identified, account }))
}

/// What an operation is decided on.
enum On<'a> {
    Nothing,
    Role(&'a str),
    Resource(String),
}

/// Condition keys.
type Keys = Vec<(String, Vec<String>)>;

impl IamCall<'_> {
    fn world(&self) -> &World {
        self.query.api.world
    }

    fn permit<C: Call>(&self, on: On<'_>) -> Result<Permit<C>, AwsError> {
        self.permit_with(on, Vec::new())
    }

    fn permit_with<C: Call>(&self, on: On<'_>, more: Keys) -> Result<Permit<C>, AwsError> {
        let mut keys = self.identified.connection.keys();
        let resource = match on {
            On::Nothing => "*".to_owned(),
            On::Resource(arn) => arn,
            On::Role(name) => match self.world().store.role(self.account, name) {
                // A role that exists is named with its path, as IAM does it.
                Some(role) => {
                    keys.extend(tag_keys(&role.tags, &["aws:ResourceTag", "iam:ResourceTag"]));
                    role.arn.to_string()
                }
                None => Arn::role(self.account, "/", name).to_string(),
            },
        };
        keys.extend(more);
        let owner = Arn::parse(&resource).ok().and_then(|arn| arn.account_id()).unwrap_or(self.account);
        let asked = Asked {
            caller: &self.identified.caller,
            region: &self.identified.region,
            resource,
            resource_account: owner.to_string(),
            resource_policy: None,
            keys,
            request_id: self.query.api.request_id,
        };
        authz::authorize(self.world(), &asked, Protocol::IAM)
    }

    /// `iam:PermissionsBoundary` of calls that change what a role may do.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
    fn boundary_keys(&self, role: &str) -> Keys {
        let role = self.world().store.role(self.account, role);
        boundary_key(role.and_then(|role| role.boundary.clone()))
    }
}

fn boundary_key(boundary: Option<String>) -> Keys {
    boundary.map(|arn| ("iam:PermissionsBoundary".to_owned(), vec![arn])).into_iter().collect()
}

/// One key for each tag, under each prefix.
fn tag_keys(tags: &[(String, String)], prefixes: &[&str]) -> Keys {
    let each = |(key, value): &(String, String)| {
        prefixes.iter().map(|prefix| (format!("{prefix}/{key}"), vec![value.clone()])).collect::<Vec<_>>()
    };
    tags.iter().flat_map(each).collect()
}

/// The keys of the tags that a call gives what it makes.
fn request_tag_keys(tags: &[(String, String)]) -> Keys {
    let mut keys = tag_keys(tags, &["aws:RequestTag"]);
    if !tags.is_empty() {
        keys.push(("aws:TagKeys".to_owned(), tags.iter().map(|(key, _)| key.clone()).collect()));
    }
    keys
}

fn document(call: &IamCall<'_>, parameter: &str, name: &str) -> Result<DocumentInput, AwsError> {
    DocumentInput::from_json(call.world(), name, &call.query.required(parameter)?)
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

fn request_tags(call: &IamCall<'_>) -> Vec<(String, String)> {
    let tags = call.query.params.structures("Tags.member");
    tags.iter()
        .map(|tag| (tag.get("Key").unwrap_or("").to_owned(), tag.get("Value").unwrap_or("").to_owned()))
        .collect()
}

/// Where something stands that was given over the API: in a text made of its own parameters.
fn written(call: &IamCall<'_>, name: &str, value: &str) -> Span {
    let source = call.world().given.source(call.world(), name, value);
    Span::new(source, 0, value.len())
}

fn create_provider(call: &IamCall<'_>) -> Answer {
    let url = call.query.required("Url")?;
    let client_ids = owned(call.query.params.list("ClientIDList.member", ""));
    // The ARN that the provider will have: `:443` is not a part of it.
    let issuer = Issuer::parse(&url).map(|issuer| issuer.host_and_path());
    let host = issuer.unwrap_or_else(|_| url.strip_prefix("https://").unwrap_or(&url).to_owned());
    let on = On::Resource(Arn::oidc_provider(call.account, &host).to_string());
    let permit = call.permit_with(on, request_tag_keys(&request_tags(call)))?;
    let described = written(call, "CreateOpenIDConnectProvider", &url);
    let input = iam::CreateProvider {
        written: ProviderSpans {
            provider: described,
            url: described,
            client_ids: written(call, "CreateOpenIDConnectProvider", &client_ids.join(", ")),
        },
        thumbprints: owned(call.query.params.list("ThumbprintList.member", "")),
        url,
        client_ids,
    };
    let arn = iam::create_provider(call.world(), &permit, input)?;
    Ok(Some(Element::structure([("OpenIDConnectProviderArn", text(arn.to_string()))])))
}

fn get_provider(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Resource(call.query.required("OpenIDConnectProviderArn")?))?;
    let provider = iam::get_provider(call.world(), &permit)?;
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

fn delete_provider(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Resource(call.query.required("OpenIDConnectProviderArn")?))?;
    iam::delete_provider(call.world(), &permit).map(|()| None)
}

fn list_providers(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Nothing)?;
    let providers = iam::list_providers(call.world(), &permit);
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

fn create_role(call: &IamCall<'_>) -> Answer {
    let name = call.query.required("RoleName")?;
    let path = call.query.params.get("Path").unwrap_or("/").to_owned();
    let boundary = call.query.params.get("PermissionsBoundary").map(str::to_owned);
    let tags = request_tags(call);
    let mut keys = request_tag_keys(&tags);
    keys.extend(boundary_key(boundary.clone()));
    let on = On::Resource(Arn::role(call.account, &path, &name).to_string());
    let permit = call.permit_with(on, keys)?;
    let trust = document(call, "AssumeRolePolicyDocument", &format!("trust policy of {name}"))?;
    let input = iam::CreateRole {
        description: call.query.params.get("Description").map(str::to_owned),
        max_session_seconds: call.query.number("MaxSessionDuration")?,
        boundary,
        tags,
        written: trust.span(),
        max_session_written: None,
        trust,
        path,
        name,
    };
    let role = iam::create_role(call.world(), &permit, input)?;
    Ok(Some(Element::structure([("Role", Some(role_element(&role, false)))])))
}

fn get_role(call: &IamCall<'_>) -> Answer {
    let name = call.query.required("RoleName")?;
    let permit: Permit<calls::GetRole> = call.permit(On::Role(&name))?;
    let role = iam::get_role(call.world(), &permit, &name)?;
    Ok(Some(Element::structure([("Role", Some(role_element(&role, true)))])))
}

fn list_roles(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Nothing)?;
    let roles = iam::list_roles(call.world(), &permit);
    Ok(Some(whole_list("Roles", roles.iter().map(|role| role_element(role, true)).collect())))
}

fn delete_role(call: &IamCall<'_>) -> Answer {
    let name = call.query.required("RoleName")?;
    let permit = call.permit(On::Role(&name))?;
    iam::delete_role(call.world(), &permit, &name).map(|()| None)
}

fn update_trust(call: &IamCall<'_>) -> Answer {
    let name = call.query.required("RoleName")?;
    let permit = call.permit(On::Role(&name))?;
    let trust = document(call, "PolicyDocument", &format!("trust policy of {name}"))?;
    iam::update_trust(call.world(), &permit, &name, trust).map(|()| None)
}

fn put_role_policy(call: &IamCall<'_>) -> Answer {
    let (role, name) = (call.query.required("RoleName")?, call.query.required("PolicyName")?);
    let permit = call.permit_with(On::Role(&role), call.boundary_keys(&role))?;
    let document = document(call, "PolicyDocument", &format!("inline policy {name} of {role}"))?;
    iam::put_role_policy(call.world(), &permit, &role, &name, document).map(|()| None)
}

fn get_role_policy(call: &IamCall<'_>) -> Answer {
    let (role, name) = (call.query.required("RoleName")?, call.query.required("PolicyName")?);
    let permit: Permit<calls::GetRolePolicy> = call.permit(On::Role(&role))?;
    let role = iam::get_role(call.world(), &permit, &role)?;
    let document = iam::inline_policy(&role, &name)?;
    Ok(Some(Element::structure([
        ("RoleName", text(role.name.as_str())),
        ("PolicyName", text(name)),
        ("PolicyDocument", encoded(document)),
    ])))
}

fn list_role_policies(call: &IamCall<'_>) -> Answer {
    let role = call.query.required("RoleName")?;
    let permit: Permit<calls::ListRolePolicies> = call.permit(On::Role(&role))?;
    let role = iam::get_role(call.world(), &permit, &role)?;
    let names = role.inline.iter().map(|(name, _)| Element::text(name.as_str())).collect();
    Ok(Some(whole_list("PolicyNames", names)))
}

fn delete_role_policy(call: &IamCall<'_>) -> Answer {
    let (role, name) = (call.query.required("RoleName")?, call.query.required("PolicyName")?);
    let permit = call.permit_with(On::Role(&role), call.boundary_keys(&role))?;
    iam::delete_role_policy(call.world(), &permit, &role, &name).map(|()| None)
}

fn attachment_keys(call: &IamCall<'_>, role: &str, arn: &str) -> Keys {
    let mut keys = call.boundary_keys(role);
    keys.push(("iam:PolicyARN".to_owned(), vec![arn.to_owned()]));
    keys
}

fn attach_role_policy(call: &IamCall<'_>) -> Answer {
    let (role, arn) = (call.query.required("RoleName")?, call.query.required("PolicyArn")?);
    let permit = call.permit_with(On::Role(&role), attachment_keys(call, &role, &arn))?;
    let policy = AttachedPolicy { written: written(call, "AttachRolePolicy", &arn), arn };
    iam::attach_role_policy(call.world(), &permit, &role, policy).map(|()| None)
}

fn detach_role_policy(call: &IamCall<'_>) -> Answer {
    let (role, arn) = (call.query.required("RoleName")?, call.query.required("PolicyArn")?);
    let permit = call.permit_with(On::Role(&role), attachment_keys(call, &role, &arn))?;
    iam::detach_role_policy(call.world(), &permit, &role, &arn).map(|()| None)
}

fn list_attached_role_policies(call: &IamCall<'_>) -> Answer {
    let role = call.query.required("RoleName")?;
    let permit: Permit<calls::ListAttachedRolePolicies> = call.permit(On::Role(&role))?;
    let role = iam::get_role(call.world(), &permit, &role)?;
    let entry = |policy: &AttachedPolicy| {
        let name = policy.arn.rsplit('/').next().unwrap_or("");
        Element::structure([("PolicyName", text(name)), ("PolicyArn", text(policy.arn.as_str()))])
    };
    Ok(Some(whole_list("AttachedPolicies", role.attached.iter().map(entry).collect())))
}

fn policy_element(call: &IamCall<'_>, policy: &CustomerPolicy) -> Element {
    let attachments = policy
        .arn
        .account_id()
        .map_or(0, |account| iam::attachment_count(call.world(), account, &policy.arn.to_string()));
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

fn create_policy(call: &IamCall<'_>) -> Answer {
    let name = call.query.required("PolicyName")?;
    let path = call.query.params.get("Path").unwrap_or("/").to_owned();
    let on = On::Resource(Arn::policy(call.account, &path, &name).to_string());
    let permit = call.permit_with(on, request_tag_keys(&request_tags(call)))?;
    let document = document(call, "PolicyDocument", &format!("policy {name}"))?;
    let description = call.query.params.get("Description").map(str::to_owned);
    let input = iam::CreatePolicy { path, name, description, document };
    let policy = iam::create_policy(call.world(), &permit, input)?;
    Ok(Some(Element::structure([("Policy", Some(policy_element(call, &policy)))])))
}

fn get_policy(call: &IamCall<'_>) -> Answer {
    let permit: Permit<calls::GetPolicy> = call.permit(On::Resource(call.query.required("PolicyArn")?))?;
    let element = match iam::get_policy(call.world(), &permit)? {
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

fn get_policy_version(call: &IamCall<'_>) -> Answer {
    let permit: Permit<calls::GetPolicyVersion> =
        call.permit(On::Resource(call.query.required("PolicyArn")?))?;
    let asked = call.query.required("VersionId")?;
    let (document, version) = match iam::get_policy(call.world(), &permit)? {
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

fn list_policies(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Nothing)?;
    let policies = iam::list_policies(call.world(), &permit);
    Ok(Some(whole_list("Policies", policies.iter().map(|policy| policy_element(call, policy)).collect())))
}

fn delete_policy(call: &IamCall<'_>) -> Answer {
    let permit = call.permit(On::Resource(call.query.required("PolicyArn")?))?;
    iam::delete_policy(call.world(), &permit).map(|()| None)
}
