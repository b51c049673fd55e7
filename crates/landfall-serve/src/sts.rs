//! STS: the exchange of an ID token for a session, and `GetCallerIdentity`.
//!
//! The order of checks reproduces captured answers: shape of the request, shape of the token,
//! claims, times, the provider in the role's account, its audiences, the signature, the role and
//! its trust policy, the duration. A refusal by the trust policy tells the client nothing; why it
//! was refused is in the decision log.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::sync::Arc;

use landfall_policy::decide::Named;
use landfall_policy::{Context, Decision, Layers, PolicyKind, Principal, Request, decide, explain};
use landfall_types::{AccountId, Arn, Claims, Finding, Issuer, Secret, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::jwt::{self, SignatureError, Token};
use landfall_wire::query::Params;
use landfall_wire::web_identity::{self, AssumeRoleInput, WebIdentity};

use crate::authz::{Permit, calls};
use crate::caller::{PassedPolicies, Session};
use crate::connection::SECURE_TRANSPORT;
use crate::iam::DocumentInput;
use crate::log::{Entry, Verdict};
use crate::store::{Provider, Role};
use crate::vault::Purpose;
use crate::world::World;

/// What an exchange gives.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// The session.
    pub session: Session,
    /// Its secret key.
    pub secret_key: Secret<String>,
    /// Its session token.
    pub session_token: Secret<String>,
    /// The token's subject.
    pub subject: String,
    /// The token's audience.
    pub audience: String,
    /// The provider's ARN.
    pub provider: String,
    /// Percent of the space that policies, tags and claims may take.
    pub packed_policy_size: u32,
}

/// A refused exchange: the error for the client, and the reason for the log.
struct RefusedExchange {
    error: AwsError,
    finding: Option<Finding>,
    decision: Option<(Decision, Request)>,
}

/// A refusal carries its reasons, so it is large, and it is rare.
type Refusal = Box<RefusedExchange>;

impl From<AwsError> for Refusal {
    fn from(error: AwsError) -> Self {
        Box::new(RefusedExchange { error, finding: None, decision: None })
    }
}

fn because(error: AwsError, finding: Finding) -> Refusal {
    Box::new(RefusedExchange { error, finding: Some(finding), decision: None })
}

/// Largest session, in bytes before it is sealed: it travels in a header with every call.
const SESSION_BYTES_MAX: usize = 16_384;

/// An exchange that is asked for: all but its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The id that the client is given.
    pub request_id: &'a str,
    /// The region that is called.
    pub region: &'a str,
    /// Condition keys of the connection.
    pub keys: &'a [(String, Vec<String>)],
}

/// Exchanges an ID token for a session, for a caller of whom nothing else is known.
///
/// # Errors
/// As [`assume`].
pub fn assume_role_with_web_identity(
    world: &World,
    request_id: &str,
    region: &str,
    params: &Params,
) -> Result<Assumed, AwsError> {
    assume(world, Asked { request_id, region, keys: &[] }, params)
}

/// Exchanges an ID token for a session. Writes nothing but the log.
///
/// # Errors
/// AWS's code, message and status for the first check that fails.
pub fn assume(world: &World, asked: Asked<'_>, params: &Params) -> Result<Assumed, AwsError> {
    let mut seen = Seen::default();
    let result = exchange(world, asked, params, &mut seen);
    let (verdict, finding, decision, caller) = match &result {
        Ok((assumed, decision, request)) => {
            (Verdict::Allowed, None, Some((decision.clone(), request.clone())), assumed.subject.clone())
        }
        Err(refusal) => (
            Verdict::refused(&refusal.error),
            refusal.finding.clone().or_else(|| Some(token_finding(&refusal.error))),
            refusal.decision.clone(),
            seen.subject(),
        ),
    };
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: asked.request_id.to_owned(),
            service: "sts",
            operation: "AssumeRoleWithWebIdentity".to_owned(),
            caller,
            action: Some("sts:AssumeRoleWithWebIdentity".to_owned()),
            resource: params.get("RoleArn").map(str::to_owned),
            verdict,
            decision,
            finding,
            claims: seen.claims,
        },
    );
    result.map(|(assumed, _, _)| assumed).map_err(|refusal| refusal.error)
}

/// What was read of the token before the exchange ended.
#[derive(Default)]
struct Seen {
    claims: Option<Claims>,
}

impl Seen {
    fn subject(&self) -> String {
        let subject = self.claims.as_ref().and_then(|claims| claims.text("sub"));
        subject.unwrap_or("an ID token").to_owned()
    }
}

fn exchange(
    world: &World,
    asked: Asked<'_>,
    params: &Params,
    seen: &mut Seen,
) -> Result<(Assumed, Decision, Request), Refusal> {
    let input = web_identity::check_assume_role_input(params)?;
    let token = jwt::parse(input.token.expose()).map_err(|error| web_identity::from_jwt(&error))?;
    seen.claims = Some(token.claims.clone());
    let now = world.clock.now();
    let identity = web_identity::check(&token, now)?;
    web_identity::check_provider_id(input.provider_id)?;

    let account = input.role.account_id().ok_or_else(|| not_authorized(None))?;
    let provider = find_provider(world, account, &identity)?;
    check_audience(&provider, &identity)?;
    check_signature(world, &provider, &token)?;
    identity.check_role(input.role_arn)?;

    let role = find_role(world, account, &input.role)?;
    let exchange =
        Exchange { world, asked, role: &role, provider: &provider, identity: &identity, input: &input };
    let (decision, request) = exchange.check_trust()?;
    exchange.check_duration()?;
    let policies = passed_policies(world, account, &input)?;
    let assumed = exchange.issue(policies, now)?;
    Ok((assumed, decision, request))
}

/// What decides who may take a role by a token: its trust policy alone.
pub fn trust_layers(role: &Role) -> Layers<'_> {
    let name = format!("trust policy of {}", role.name);
    let trust = Some(Named { name: name.into(), policy: &role.trust.policy });
    Layers { trust, ..Layers::default() }
}

/// An exchange whose token has been verified.
struct Exchange<'a> {
    world: &'a World,
    asked: Asked<'a>,
    role: &'a Role,
    provider: &'a Provider,
    identity: &'a WebIdentity,
    input: &'a AssumeRoleInput<'a>,
}

/// AWS's one sentence for everything that a trust policy refuses.
fn not_authorized(finding: Option<Finding>) -> Refusal {
    Box::new(RefusedExchange { error: web_identity::not_authorized(), finding, decision: None })
}

fn find_provider(
    world: &World,
    account: AccountId,
    identity: &WebIdentity,
) -> Result<Arc<Provider>, Refusal> {
    let host = Issuer::parse(&identity.issuer).map(|issuer| issuer.host_and_path());
    let host = host.unwrap_or_else(|_| identity.issuer.clone());
    if let Some(provider) = world.store.provider(account, &host) {
        return Ok(provider);
    }
    let mut finding = Finding::error(
        "provider-missing",
        format!("account {account} has no OIDC provider for this token's issuer"),
    )
    .note(format!("the token's iss is `{}`", identity.issuer));
    let providers = world.store.providers(account);
    for provider in &providers {
        finding = finding.at(provider.written.url, format!("this provider is for `{}`", provider.issuer));
    }
    if providers.is_empty() {
        finding = finding.note("there is no provider at all in that account");
    }
    let help = format!(
        "create an aws_iam_openid_connect_provider with url = \"{}\" in account {account}, and name it in the role's trust policy",
        identity.issuer
    );
    Err(because(web_identity::no_provider(&identity.issuer), finding.help(help)))
}

fn check_audience(provider: &Provider, identity: &WebIdentity) -> Result<(), Refusal> {
    if provider.client_ids.contains(&identity.audience) {
        return Ok(());
    }
    let wanted = provider.client_ids.join("`, `");
    let mut finding = Finding::error(
        "audience-not-registered",
        format!("the token is for audience `{}`, which the provider does not know", identity.audience),
    )
    .at(provider.written.client_ids, format!("the provider accepts `{wanted}`"))
    .note(format!("wanted aud  `{wanted}`"))
    .note(format!("got aud     `{}`", identity.audience));
    let trimmed = identity.audience.trim_end_matches('/');
    if provider.client_ids.iter().any(|id| id.trim_end_matches('/') == trimmed) {
        finding = finding.help("the two differ in a trailing slash only: write both the same way");
    }
    finding = finding.help(format!(
        "ask for a token with audience `{}` in the job, or add `{}` to client_id_list",
        provider.client_ids.first().map_or("sts.amazonaws.com", String::as_str),
        identity.audience
    ));
    Err(because(web_identity::could_not_validate(), finding))
}

fn check_signature(world: &World, provider: &Provider, token: &Token) -> Result<(), Refusal> {
    let Some(played) = world.issuers.by_host_and_path(&provider.issuer.host_and_path()) else {
        let finding = Finding::error("issuer-not-played", format!("{} is not played by this server", provider.issuer))
            .help("this server has keys for the issuers that it plays only; it does not fetch others over the network yet");
        return Err(because(web_identity::no_verification_key(), finding));
    };
    let jwks = played.jwks().map_err(|error| AwsError::new("InternalFailure", 500, error))?;
    let failure = match jwt::verify_signature(token, jwks) {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    let what = match failure {
        SignatureError::UnknownKey => "names a key that the issuer does not publish",
        SignatureError::BadSignature | SignatureError::UnsupportedAlgorithm => {
            "is not signed with the issuer's key"
        }
    };
    let published: Vec<&str> = jwks.keys().iter().filter_map(|key| key.kid()).collect();
    let finding = Finding::error("signature", format!("the token {what}"))
        .at(provider.written.url, "tokens of this issuer are trusted")
        .note(format!("the token's key id is `{}`", token.header.kid.as_deref().unwrap_or("")))
        .note(format!("the issuer publishes `{}`", published.join("`, `")))
        .help("the token was made by someone else, or was changed on its way: use the token that the job's own endpoint gave");
    Err(because(web_identity::from_signature(failure), finding))
}

fn find_role(world: &World, account: AccountId, role_arn: &Arn) -> Result<Arc<Role>, Refusal> {
    let name = role_arn.role_path_and_name().map_or("", |(_, name)| name);
    let by_name = world.store.role(account, name);
    if let Some(role) = by_name.as_ref().filter(|role| role.arn == *role_arn) {
        return Ok(Arc::clone(role));
    }
    let mut finding = Finding::error("role-missing", format!("there is no role `{role_arn}`"));
    if let Some(role) = &by_name {
        finding = finding
            .at(role.written, format!("the role of that name is `{}`", role.arn))
            .help("ARNs are compared letter by letter, path and case included: use the role's own ARN");
    } else {
        for role in world.store.roles(account) {
            finding = finding.at(role.written, format!("there is `{}`", role.arn));
        }
        finding = finding.help("create the role, or correct the ARN in the job; AWS answers the same for a role that does not exist");
    }
    Err(not_authorized(Some(finding)))
}

impl Exchange<'_> {
    fn check_trust(&self) -> Result<(Decision, Request), Refusal> {
        let layers = trust_layers(self.role);
        let assume = self.decide(&layers, "sts:AssumeRoleWithWebIdentity")?;
        if !self.identity.session_tags.is_empty() {
            self.decide(&layers, "sts:TagSession")?;
        }
        if self.identity.source_identity.is_some() {
            self.decide(&layers, "sts:SetSourceIdentity")?;
        }
        Ok(assume)
    }

    fn decide(&self, layers: &Layers<'_>, action: &str) -> Result<(Decision, Request), Refusal> {
        let request = Request {
            principal: Principal::Federated { provider: self.provider.arn.to_string() },
            action: action.to_owned(),
            resource: self.role.arn.to_string(),
            resource_account: self.role.arn.account.clone(),
            context: self.context(),
        };
        let decision = decide(layers, &request);
        if decision.is_allowed() {
            return Ok((decision, request));
        }
        let mut refusal = not_authorized(Some(explain::finding(&decision, &request, &self.world.sources)));
        refusal.decision = Some((decision, request));
        Err(refusal)
    }

    /// The condition keys of an exchange.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
    fn context(&self) -> Context {
        let identity = self.identity;
        let mut context = Context::new();
        let now = self.world.clock.now();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:EpochTime", now.seconds().to_string());
        context.set(SECURE_TRANSPORT.0, SECURE_TRANSPORT.1);
        context.set("aws:RequestedRegion", self.asked.region);
        context.set("aws:FederatedProvider", self.provider.arn.to_string());
        context.set("sts:RoleSessionName", self.input.session_name);
        if identity.roles.is_some() {
            context.set("sts:RoleAuthorizedByIdp", "true");
        }
        if let Some(source_identity) = &identity.source_identity {
            context.set("sts:SourceIdentity", source_identity.as_str());
        }
        if !identity.session_tags.is_empty() {
            let keys = identity.session_tags.iter().map(|(key, _)| key.clone()).collect();
            context.set_all("aws:TagKeys", keys);
            for (key, value) in &identity.session_tags {
                context.set(format!("aws:RequestTag/{key}"), value.as_str());
            }
        }
        if !identity.transitive_tag_keys.is_empty() {
            context.set_all("sts:TransitiveTagKeys", identity.transitive_tag_keys.clone());
        }
        for (name, values) in web_identity::condition_keys(&self.provider.issuer.host_and_path(), identity) {
            context.set_all(name, values);
        }
        for (name, values) in self.asked.keys {
            context.set_all(name.as_str(), values.clone());
        }
        context
    }

    fn check_duration(&self) -> Result<(), Refusal> {
        let (seconds, longest) = (self.input.duration_seconds, self.role.max_session_seconds);
        if seconds <= longest {
            return Ok(());
        }
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        let finding = Finding::error(
            "session-too-long",
            format!("a session of {seconds} s is longer than the role allows"),
        )
        .at(
            self.role.max_session_written.unwrap_or(self.role.written),
            format!("its longest session is {longest} s"),
        )
        .help(format!("ask for at most {longest} s, or raise max_session_duration (up to 43200)"));
        Err(because(AwsError::validation(message), finding))
    }

    fn issue(&self, policies: Option<PassedPolicies>, now: Timestamp) -> Result<Assumed, Refusal> {
        let host = self.provider.issuer.host_and_path();
        // Of the claims, only these three stay in the session (observed).
        let kept = [format!("{host}:aud"), format!("{host}:sub"), format!("{host}:amr")];
        let mut federated_keys = web_identity::condition_keys(&host, self.identity);
        federated_keys.retain(|(name, _)| kept.contains(name));
        let session = Session {
            access_key_id: landfall_wire::ids::temporary_key_id(self.world.random()),
            account: self.role.arn.account.clone(),
            role_path: self.role.path.clone(),
            role_name: self.role.name.clone(),
            role_id: self.role.id.clone(),
            session_name: self.input.session_name.to_owned(),
            issued_at_ms: now.0,
            expires_at_ms: now.plus_seconds(i64::from(self.input.duration_seconds)).0,
            provider: Some(self.provider.arn.to_string()),
            federated_keys,
            tags: self.identity.session_tags.clone(),
            source_identity: self.identity.source_identity.clone(),
            policies,
        };
        let internal = |message: String| AwsError::new("InternalFailure", 500, message);
        let plain = serde_json::to_vec(&session).map_err(|error| internal(error.to_string()))?;
        let packed_policy_size = packed_size(&session);
        if packed_policy_size > 100 || plain.len() > SESSION_BYTES_MAX {
            return Err(too_large(packed_policy_size.max(101)));
        }
        let session_token = self.world.vault.seal(Purpose::Session, &plain).map_err(internal)?;
        Ok(Assumed {
            secret_key: self.world.vault.secret_key(&session.access_key_id),
            session_token: Secret::new(session_token),
            subject: self.identity.subject.clone(),
            audience: self.identity.audience.clone(),
            provider: self.provider.arn.to_string(),
            packed_policy_size,
            session,
        })
    }
}

/// The policies that shall narrow the session. Managed ones are of the role's account, or AWS's.
fn passed_policies(
    world: &World,
    account: AccountId,
    input: &AssumeRoleInput<'_>,
) -> Result<Option<PassedPolicies>, Refusal> {
    if input.policy.is_none() && input.policy_arns.is_empty() {
        return Ok(None);
    }
    if let Some(policy) = input.policy {
        DocumentInput::from_passing_json(policy)
            .and_then(|document| document.read(PolicyKind::Identity, account))
            .map_err(|error| AwsError::new("MalformedPolicyDocument", 400, error.message))?;
    }
    for arn in &input.policy_arns {
        crate::iam::check_policy_exists(world, account, arn)
            .map_err(|error| AwsError::new("MalformedPolicyDocument", 400, error.message))?;
    }
    let managed = input.policy_arns.iter().map(|arn| (*arn).to_owned()).collect();
    Ok(Some(PassedPolicies { inline: input.policy.map(str::to_owned), managed }))
}

/// AWS's answer to more than fits (observed).
fn too_large(percent: u32) -> Refusal {
    let message = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
    let finding = Finding::error("session-too-large", message.clone())
        .note("the subject, the session tags and the session policies travel with every call of the session")
        .help("pass a smaller session policy, or fewer and shorter tags");
    because(AwsError::new("PackedPolicyTooLarge", 400, message), finding)
}

/// Captured answers show 24 to 26 percent without any policy or tag, and 34 for a subject of 256
/// characters: claims count. AWS's packing is not public; this follows those figures, and leaves room for
/// every policy of the length that a request may have.
fn packed_size(session: &Session) -> u32 {
    let claims: usize = session.federated_keys.iter().flat_map(|(_, values)| values).map(String::len).sum();
    let tags: usize = session.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let policies: usize = session
        .policies
        .iter()
        .flat_map(|passed| passed.inline.iter().chain(&passed.managed))
        .map(String::len)
        .sum();
    let percent = 23
        + claims.saturating_mul(100) / 2560
        + tags.saturating_mul(100) / 2048
        + policies.saturating_mul(100) / 4096;
    u32::try_from(percent).unwrap_or(u32::MAX)
}

/// The reason for a refusal that AWS's own message explains.
fn token_finding(error: &AwsError) -> Finding {
    let finding = Finding::error("token-refused", error.message.clone());
    match &*error.code {
        "ExpiredTokenException" => finding
            .help("an ID token lives a few minutes: ask for it right before the exchange, in the same job"),
        "InvalidIdentityToken" => finding.help(
            "send the ID token as the issuer gave it: three parts with dots between, not an access token",
        ),
        _ => finding,
    }
}

/// `GetCallerIdentity`: needs no permission, and works even where all is denied.
#[derive(Clone, Debug)]
pub struct CallerIdentity {
    /// Account id.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// `AROA…:session`, or the account of a root user.
    pub user_id: String,
}

/// Tells who calls.
pub fn get_caller_identity(permit: &Permit<calls::GetCallerIdentity>) -> CallerIdentity {
    let caller = permit.caller();
    let account = caller.account().map(|account| account.to_string()).unwrap_or_default();
    CallerIdentity { account, arn: caller.arn(), user_id: caller.user_id() }
}
