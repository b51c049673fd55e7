//! STS's operations in the Query protocol.

use http::header;
use landfall_types::{AccountId, Arn};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::sigv4::SigV4Error;
use landfall_wire::xml::Element;

use super::query::{Answer, QueryCall};
use crate::authn::Identified;
use crate::authz::{self, Asked, Call, Permit, calls};
use crate::sts::{self, Assumed, Issued, SignedCall};
use crate::world::World;

/// The region that the global endpoint's calls are signed for.
const GLOBAL_REGION: &str = "us-east-1";

/// Where a session token stands: in a header, or in the query of a presigned URL.
const TOKEN_HEADER: &str = "x-amz-security-token";
const TOKEN_PARAMETER: &str = "X-Amz-Security-Token";

/// Answers an operation that another side may have to be asked for.
pub(super) async fn answer_later(call: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    match operation {
        "AssumeRoleWithWebIdentity" => Some(assume_role_with_web_identity(call).await),
        _ => None,
    }
}

/// Answers an operation; none for one that STS does not have here.
pub(super) fn answer(call: &QueryCall<'_>, operation: &str) -> Option<Answer> {
    match operation {
        "AssumeRoleWithSAML" => {
            Some(Err(sts::assume_role_with_saml(call.api.world, Unsigned::of(call).asked(), &call.params)))
        }
        "AssumeRole" => Some(signed(call, operation).and_then(|signed| assume_role(call, &signed))),
        "AssumeRoot" => Some(signed(call, operation).and_then(|signed| assume_root(call, &signed))),
        "DecodeAuthorizationMessage" => {
            Some(signed(call, operation).and_then(|signed| decode_authorization_message(call, &signed)))
        }
        "GetAccessKeyInfo" => {
            Some(signed(call, operation).and_then(|signed| get_access_key_info(call, &signed)))
        }
        "GetCallerIdentity" => {
            Some(signed(call, operation).and_then(|signed| get_caller_identity(call, &signed)))
        }
        "GetFederationToken" => {
            Some(signed(call, operation).and_then(|signed| get_federation_token(call, &signed)))
        }
        "GetSessionToken" => {
            Some(signed(call, operation).and_then(|signed| get_session_token(call, &signed)))
        }
        "GetWebIdentityToken" => Some(
            signed(call, operation)
                .and_then(|signed| Err(sts::get_web_identity_token(call.api.world, &signed.call()))),
        ),
        _ => None,
    }
}

/// Which of STS's endpoints a call came to, as far as its host tells.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Endpoint {
    /// `sts.amazonaws.com`.
    Global,
    /// `sts.REGION.amazonaws.com`.
    Regional(String),
    /// This server by a name of its own: it stands for every region.
    Any,
}

impl Endpoint {
    fn of(host: Option<&str>) -> Self {
        let host = host.unwrap_or("");
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let name = name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".amazonaws.com.cn"));
        match name.and_then(|name| name.strip_prefix("sts").or_else(|| name.strip_prefix("sts-fips"))) {
            Some("") => Self::Global,
            Some(rest) => rest
                .strip_prefix("-fips")
                .unwrap_or(rest)
                .strip_prefix('.')
                .map_or(Self::Any, |region| Self::Regional(region.to_owned())),
            None => Self::Any,
        }
    }

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html>
    fn check(&self, signed_for: &str) -> Result<(), AwsError> {
        let expected = match self {
            Self::Global => GLOBAL_REGION,
            Self::Regional(region) => region,
            Self::Any => return Ok(()),
        };
        if expected == signed_for {
            return Ok(());
        }
        let error = SigV4Error::WrongScope("Credential should be scoped to a valid region. ".to_owned());
        Err(landfall_wire::error::from_sigv4(&error, Protocol::STS))
    }
}

/// A call whose signature holds.
struct Signed<'a> {
    identified: Identified,
    request_id: &'a str,
    is_temporary: bool,
    default_regions_only: bool,
}

impl Signed<'_> {
    fn call(&self) -> SignedCall<'_> {
        SignedCall {
            identified: &self.identified,
            request_id: self.request_id,
            is_temporary: self.is_temporary,
            default_regions_only: self.default_regions_only,
        }
    }

    fn account(&self, world: &World) -> AccountId {
        self.identified.caller.account().unwrap_or(world.settings.default_account)
    }
}

fn signed<'a>(call: &QueryCall<'a>, operation: &str) -> Result<Signed<'a>, AwsError> {
    let identified = call.identify("sts", operation, Protocol::STS)?;
    let endpoint = Endpoint::of(call.api.header(header::HOST.as_str()));
    endpoint.check(&identified.region)?;
    let default_regions_only = endpoint == Endpoint::Global;
    // A key that lasts comes without a token: with one it would not have been accepted.
    let is_temporary = call.api.header(TOKEN_HEADER).is_some() || call.params.get(TOKEN_PARAMETER).is_some();
    let signed = Signed { identified, request_id: call.api.request_id, is_temporary, default_regions_only };
    sts::check_session(call.api.world, &signed.call(), operation)?;
    Ok(signed)
}

/// Decides a call on a resource of the caller's account.
fn authorize<C: Call>(
    call: &QueryCall<'_>,
    signed: &Signed<'_>,
    resource: String,
    keys: Vec<(String, Vec<String>)>,
) -> Result<Permit<C>, AwsError> {
    authz::authorize(call.api.world, &asked(call, signed, resource, keys), Protocol::STS)
}

fn asked<'a>(
    call: &QueryCall<'_>,
    signed: &'a Signed<'_>,
    resource: String,
    keys: Vec<(String, Vec<String>)>,
) -> Asked<'a> {
    let account = Arn::parse(&resource).ok().and_then(|arn| arn.account_id());
    let account = account.unwrap_or_else(|| signed.account(call.api.world));
    let mut all = signed.identified.connection.keys();
    all.extend(keys);
    Asked {
        caller: &signed.identified.caller,
        region: &signed.identified.region,
        resource,
        resource_account: account.to_string(),
        resource_policies: &[],
        keys: all,
        request_id: signed.request_id,
    }
}

/// What is not signed: a token is the proof, and a signature is ignored.
struct Unsigned<'a> {
    endpoint: Endpoint,
    call: &'a QueryCall<'a>,
    keys: Vec<(String, Vec<String>)>,
}

impl<'a> Unsigned<'a> {
    fn of(call: &'a QueryCall<'a>) -> Self {
        let endpoint = Endpoint::of(call.api.header(header::HOST.as_str()));
        Self { endpoint, call, keys: call.api.connection.keys() }
    }

    fn asked(&self) -> sts::Asked<'_> {
        let region = match &self.endpoint {
            Endpoint::Global => GLOBAL_REGION,
            Endpoint::Regional(region) => region,
            Endpoint::Any => &self.call.api.world.settings.default_region,
        };
        let default_regions_only = self.endpoint == Endpoint::Global;
        sts::Asked { request_id: self.call.api.request_id, region, keys: &self.keys, default_regions_only }
    }
}

async fn assume_role_with_web_identity(call: &QueryCall<'_>) -> Answer {
    let unsigned = Unsigned::of(call);
    let assumed = sts::exchange(call.api.world, unsigned.asked(), &call.params).await?;
    Ok(Some(assumed_element(&assumed)))
}

fn text(text: &str) -> Option<Element> {
    Some(Element::text(text))
}

fn percent(percent: u32) -> Element {
    Element::Integer(i64::from(percent))
}

fn assumed_element(assumed: &Assumed) -> Element {
    let session = &assumed.issued.session;
    Element::structure([
        ("SubjectFromWebIdentityToken", text(&assumed.subject)),
        ("Audience", text(&assumed.audience)),
        ("AssumedRoleUser", Some(assumed_role_user(session))),
        ("Credentials", Some(credentials(&assumed.issued, &session.access_key_id, session.expires_at()))),
        ("Provider", text(&assumed.provider)),
        ("PackedPolicySize", Some(percent(assumed.packed_policy_size))),
        ("SourceIdentity", session.source_identity.as_deref().map(Element::text)),
    ])
}

fn assumed_role_user(session: &crate::caller::Session) -> Element {
    Element::structure([
        ("Arn", text(&session.arn().to_string())),
        ("AssumedRoleId", text(&format!("{}:{}", session.role_id, session.session_name))),
    ])
}

fn credentials<S>(issued: &Issued<S>, access_key_id: &str, ends: landfall_types::Timestamp) -> Element {
    Element::structure([
        ("SessionToken", text(issued.session_token.expose())),
        ("SecretAccessKey", text(issued.secret_key.expose())),
        ("Expiration", Some(Element::Time(ends))),
        ("AccessKeyId", text(access_key_id)),
    ])
}

fn assume_role(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let taken = sts::assume_role(call.api.world, &signed.call(), &call.params)?;
    let session = &taken.issued.session;
    Ok(Some(Element::structure([
        ("AssumedRoleUser", Some(assumed_role_user(session))),
        ("Credentials", Some(credentials(&taken.issued, &session.access_key_id, session.expires_at()))),
        ("PackedPolicySize", taken.packed_policy_size.map(percent)),
        ("SourceIdentity", session.source_identity.as_deref().map(Element::text)),
    ])))
}

/// What is not well-formed is told before anybody is asked for a permission.
fn well_formed<T>(read: Result<T, AwsError>) -> Result<(), AwsError> {
    read.map(|_| ()).or_else(|error| if error.code == "ValidationError" { Err(error) } else { Ok(()) })
}

fn assume_root(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    well_formed(landfall_wire::sts::check_target_principal(&call.params))?;
    let target = call.params.get("TargetPrincipal").unwrap_or_default();
    let account = AccountId::parse(target).ok().map(Arn::root);
    let root = account.map_or_else(|| target.to_owned(), |arn| arn.to_string());
    // No resource policy has a say: the caller's own decide.
    let account = signed.account(call.api.world).to_string();
    let asked = Asked { resource_account: account, ..asked(call, signed, root, Vec::new()) };
    let permit = authz::authorize(call.api.world, &asked, Protocol::STS)?;
    Err(sts::assume_root(call.api.world, &permit, &signed.call(), &call.params))
}

fn decode_authorization_message(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let permit = authorize(call, signed, "*".to_owned(), Vec::new())?;
    let message = sts::decode_authorization_message(call.api.world, &permit, &signed.call(), &call.params)?;
    Ok(Some(Element::structure([("DecodedMessage", text(&message))])))
}

fn get_access_key_info(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let permit = authorize(call, signed, "*".to_owned(), Vec::new())?;
    let account = sts::get_access_key_info(call.api.world, &permit, &call.params)?;
    Ok(Some(Element::structure([("Account", text(account.as_str()))])))
}

fn get_caller_identity(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let permit = authorize(call, signed, "*".to_owned(), Vec::new())?;
    let identity = sts::get_caller_identity(&permit);
    Ok(Some(Element::structure([
        ("UserId", Some(Element::from(identity.user_id))),
        ("Account", Some(Element::from(identity.account))),
        ("Arn", Some(Element::from(identity.arn))),
    ])))
}

fn get_federation_token(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let world = call.api.world;
    well_formed(landfall_wire::sts::check_federation_token(&call.params))?;
    let name = call.params.get("Name").unwrap_or_default();
    let resource = Arn::federated_user(signed.account(world), name).to_string();
    let tags = call.params.structures("Tags.member");
    let mut keys = Vec::new();
    if !tags.is_empty() {
        let names = tags.iter().filter_map(|tag| tag.get("Key")).map(str::to_owned);
        keys.push(("aws:TagKeys".to_owned(), names.collect()));
    }
    for (key, value) in tags.iter().filter_map(|tag| tag.get("Key").zip(tag.get("Value"))) {
        keys.push((format!("aws:RequestTag/{key}"), vec![value.to_owned()]));
    }
    let permit = authorize(call, signed, resource.clone(), keys.clone())?;
    if !tags.is_empty() {
        authz::authorize_federated_tags(world, &asked(call, signed, resource, keys), Protocol::STS)?;
    }
    let federated = sts::get_federation_token(world, &permit, &signed.call(), &call.params)?;
    let user = &federated.issued.session;
    let ends = landfall_types::Timestamp(user.expires_at_ms);
    Ok(Some(Element::structure([
        ("Credentials", Some(credentials(&federated.issued, &user.access_key_id, ends))),
        (
            "FederatedUser",
            Some(Element::structure([
                ("FederatedUserId", text(&user.user_id())),
                ("Arn", text(&user.arn().to_string())),
            ])),
        ),
        ("PackedPolicySize", federated.packed_policy_size.map(percent)),
    ])))
}

fn get_session_token(call: &QueryCall<'_>, signed: &Signed<'_>) -> Answer {
    let permit: Permit<calls::GetSessionToken> = authorize(call, signed, "*".to_owned(), Vec::new())?;
    let issued = sts::get_session_token(call.api.world, &permit, &signed.call(), &call.params)?;
    let session = &issued.session;
    let ends = landfall_types::Timestamp(session.expires_at_ms);
    Ok(Some(Element::structure([("Credentials", Some(credentials(&issued, &session.access_key_id, ends)))])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_the_endpoint() {
        for (host, endpoint) in [
            ("sts.amazonaws.com", Endpoint::Global),
            ("STS.amazonaws.com:443", Endpoint::Global),
            ("sts.eu-west-1.amazonaws.com", Endpoint::Regional("eu-west-1".to_owned())),
            ("sts-fips.us-east-2.amazonaws.com", Endpoint::Regional("us-east-2".to_owned())),
            ("sts.cn-north-1.amazonaws.com.cn", Endpoint::Regional("cn-north-1".to_owned())),
            ("127.0.0.1:4566", Endpoint::Any),
            ("stsx.amazonaws.com", Endpoint::Any),
            ("iam.amazonaws.com", Endpoint::Any),
        ] {
            assert_eq!(Endpoint::of(Some(host)), endpoint, "{host}");
        }
        assert!(Endpoint::Global.check("us-east-1").is_ok());
        assert!(Endpoint::Global.check("eu-west-1").is_err());
        assert!(Endpoint::Any.check("eu-west-1").is_ok());
    }
}
