//! The exchange of an ID token for a session.
//!
//! The order of checks reproduces captured answers: shape of the request, shape of the token,
//! claims, times, the provider in the role's account, its audiences, the signature, the role and
//! its trust policy, the duration. A refusal by the trust policy tells the client nothing; why it
//! was refused is in the decision log.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::sync::Arc;

use landfall_policy::decide::Named;
use landfall_policy::{Context, Decision, Layers, Principal, Request, decide, explain};
use landfall_types::{AccountId, Arn, Claims, Finding, Issuer, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::jwt::{self, SignatureError, Token};
use landfall_wire::query::Params;
use landfall_wire::web_identity::{self, AssumeRoleInput, WebIdentity};

use super::session::{Issued, PACKED_PERCENT_LEAST, issue, passed_policies};
use super::{Asked, Refusal, RefusedCall, because};
use crate::authz;
use crate::caller::{PassedPolicies, Session};
use crate::connection::SECURE_TRANSPORT;
use crate::discovery::{Fault, Found};
use crate::log::{Entry, Verdict};
use crate::store::{Provider, Role};
use crate::world::World;

/// Condition keys of an exchange beside those of its token and of its call, where there are no session tags.
const KEYS_BESIDE: usize = 8;

/// What an exchange gives.
#[derive(Clone, Debug)]
pub struct Assumed {
    /// The session, and what to sign with.
    pub issued: Issued<Session>,
    /// The token's subject.
    pub subject: String,
    /// The token's audience.
    pub audience: String,
    /// The provider's ARN.
    pub provider: String,
    /// Percent of the space that policies, tags and claims may take.
    pub packed_policy_size: u32,
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
    assume(world, Asked { request_id, region, keys: &[], default_regions_only: false }, params)
}

/// Exchanges an ID token for a session, with what is known of issuers now. Writes nothing but the log.
///
/// # Errors
/// AWS's code, message and status for the first check that fails.
pub fn assume(world: &World, asked: Asked<'_>, params: &Params) -> Result<Assumed, AwsError> {
    at_once(world, asked, params).0
}

/// Exchanges an ID token as [`assume`] does, for what the trust policy was asked; none where the exchange ended before.
pub fn ask(world: &World, asked: Asked<'_>, params: &Params) -> Option<Request> {
    at_once(world, asked, params).1
}

fn at_once(world: &World, asked: Asked<'_>, params: &Params) -> Concluded {
    let mut seen = Seen::default();
    let result = begin(world, params, &mut seen).and_then(|begun| finish(world, asked, &begun, None));
    conclude(world, asked, params, seen, result)
}

/// As [`assume`], and asks an issuer that is not played here for its keys where they are needed.
///
/// # Errors
/// As [`assume`].
pub async fn exchange(world: &World, asked: Asked<'_>, params: &Params) -> Result<Assumed, AwsError> {
    let mut seen = Seen::default();
    let begun = match begin(world, params, &mut seen) {
        Ok(begun) => begun,
        Err(refusal) => return conclude(world, asked, params, seen, Err(refusal)).0,
    };
    let found = begun.find_keys(world).await;
    let result = finish(world, asked, &begun, found.as_deref());
    conclude(world, asked, params, seen, result).0
}

/// How an exchange ended, and what the trust policy was asked.
type Concluded = (Result<Assumed, AwsError>, Option<Request>);

/// Writes an exchange into the log.
fn conclude(
    world: &World,
    asked: Asked<'_>,
    params: &Params,
    seen: Seen,
    result: Result<(Assumed, Decision, Request), Refusal>,
) -> Concluded {
    let caller = seen.subject();
    let (result, verdict, decision, finding) = match result {
        Ok((assumed, decision, request)) => (Ok(assumed), Verdict::Allowed, Some((decision, request)), None),
        Err(refusal) => {
            let RefusedCall { error, finding, decision } = *refusal;
            let finding = finding.unwrap_or_else(|| token_finding(&error));
            let verdict = Verdict::refused(&error);
            (Err(error), verdict, decision, Some(finding))
        }
    };
    let request = world.log.add(
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
    (result, request)
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

/// An exchange up to the signature: all that can be checked without the issuer's keys is.
struct Begun<'p> {
    input: AssumeRoleInput<'p>,
    token: Token,
    identity: WebIdentity,
    account: AccountId,
    provider: Arc<Provider>,
    now: Timestamp,
}

fn begin<'p>(world: &World, params: &'p Params, seen: &mut Seen) -> Result<Begun<'p>, Refusal> {
    let input = web_identity::check_assume_role_input(params)?;
    let token = jwt::parse(input.token.expose()).map_err(|error| web_identity::from_jwt(&error))?;
    seen.claims = Some(token.claims.clone());
    let now = world.clock.now();
    let identity = web_identity::check(&token, now)?;
    web_identity::check_provider_id(input.provider_id)?;
    let account = input.role.account_id().ok_or_else(|| not_authorized(None))?;
    let provider = find_provider(world, account, &identity)?;
    check_audience(&provider, &identity)?;
    Ok(Begun { input, token, identity, account, provider, now })
}

impl Begun<'_> {
    /// The keys of an issuer that is not played; none when it is, or when issuers are not asked.
    async fn find_keys(&self, world: &World) -> Option<Arc<Found>> {
        if world.issuers.by_host_and_path(&self.provider.issuer.host_and_path()).is_some() {
            return None;
        }
        let issuer = Issuer::parse(&self.identity.issuer).ok()?;
        let kid = self.token.header.kid.as_deref();
        world.discovery.keys(&issuer, kid, world.clock.wall(), self.now).await
    }
}

fn finish(
    world: &World,
    asked: Asked<'_>,
    begun: &Begun<'_>,
    found: Option<&Found>,
) -> Result<(Assumed, Decision, Request), Refusal> {
    let Begun { input, token, identity, account, provider, now } = begun;
    check_signature(world, provider, token, found)?;
    identity.check_role(input.role_arn)?;
    let role = find_role(world, *account, &input.role)?;
    let host = provider.issuer.host_and_path();
    let keys = web_identity::condition_keys(&host, identity);
    let federated_keys = kept_keys(&host, &keys);
    let exchange = Exchange { world, asked, role: &role, provider, identity, input };
    let (decision, request) = exchange.check_trust(keys)?;
    exchange.check_duration()?;
    let policies = passed_policies(world, *account, input.policy, &input.policy_arns)?;
    let assumed = exchange.issue(policies, federated_keys, *now)?;
    Ok((assumed, decision, request))
}

/// What decides who may take a role by a token: its trust policy alone.
pub fn trust_layers(role: &Role) -> Layers<'_> {
    let name = format!("trust policy of {}", role.name);
    let trust = Some(Named { name: name.into(), policy: &role.trust.policy });
    Layers { trust, ..Layers::default() }
}

/// What a session keeps of what a trust policy can see of the token: these three claims (observed).
fn kept_keys(host: &str, keys: &[(String, Vec<String>)]) -> Vec<(String, Vec<String>)> {
    let is_kept = |name: &str| {
        let claim = name.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
        matches!(claim, Some("aud" | "sub" | "amr"))
    };
    keys.iter().filter(|(name, _)| is_kept(name)).cloned().collect()
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
    Box::new(RefusedCall { error: web_identity::not_authorized(), finding, decision: None })
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
        "create an aws_iam_openid_connect_provider with url = \"{}\" in account {account}, and name it in the role's trust policy; where it is made elsewhere, look it up with a data source",
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

fn check_signature(
    world: &World,
    provider: &Provider,
    token: &Token,
    found: Option<&Found>,
) -> Result<(), Refusal> {
    let played = world.issuers.by_host_and_path(&provider.issuer.host_and_path());
    let failure = match (&played, found) {
        (Some(played), _) => {
            let jwks = played.jwks().map_err(|error| AwsError::new("InternalFailure", 500, error))?;
            jwt::verify_signature(token, jwks).map_err(|error| (error, jwks))
        }
        (None, Some(found)) => {
            let jwks = found.keys_for(&provider.thumbprints).map_err(|fault| no_keys(provider, &fault))?;
            jwt::verify_signature(token, jwks).map_err(|error| (error, jwks))
        }
        (None, None) => return Err(not_played(provider)),
    };
    let Err((error, jwks)) = failure else { return Ok(()) };
    let what = match error {
        SignatureError::UnknownKey => "names a key that the issuer does not publish",
        SignatureError::BadSignature | SignatureError::UnsupportedAlgorithm => {
            "is not signed with the issuer's key"
        }
    };
    let published: Vec<&str> = jwks.keys().iter().filter_map(|key| key.kid()).collect();
    let mut finding = Finding::error("signature", format!("the token {what}"))
        .at(provider.written.url, "tokens of this issuer are trusted")
        .note(format!("the token's key id is `{}`", token.header.kid.as_deref().unwrap_or("")))
        .note(format!("the issuer publishes `{}`", published.join("`, `")));
    if let Some(found) = found {
        finding = finding.note(format!("the issuer was asked at {}", found.at));
    }
    let finding = finding
        .help("the token was made by someone else, or was changed on its way: use the token that the job's own endpoint gave");
    Err(because(web_identity::from_signature(error), finding))
}

fn not_played(provider: &Provider) -> Refusal {
    let finding =
        Finding::error("issuer-not-played", format!("{} is not played by this server", provider.issuer))
            .at(provider.written.url, "tokens of this issuer are trusted")
            .help("here issuers that are not played are not asked for their keys: play it, or let `landfall serve` ask it");
    because(web_identity::no_verification_key(), finding)
}

fn no_keys(provider: &Provider, fault: &Fault) -> Refusal {
    let error = if fault.is_of_thumbprint() {
        web_identity::thumbprint_mismatch()
    } else {
        web_identity::no_verification_key()
    };
    because(error, fault.finding().at(provider.written.url, "tokens of this issuer are trusted"))
}

fn find_role(world: &World, account: AccountId, role_arn: &Arn) -> Result<Arc<Role>, Refusal> {
    let name = role_arn.role_path_and_name().map_or("", |(_, name)| name);
    let role = world.store.role(account, name).filter(|role| role.arn == *role_arn);
    if let Some(role) = role {
        return Ok(role);
    }
    Err(not_authorized(Some(authz::role_missing_finding(world, role_arn))))
}

impl Exchange<'_> {
    /// Asks the trust policy, with what it can see of the token.
    fn check_trust(&self, keys: Vec<(String, Vec<String>)>) -> Result<(Decision, Request), Refusal> {
        let layers = trust_layers(self.role);
        let (decision, request) =
            self.decide(&layers, "sts:AssumeRoleWithWebIdentity", self.context(keys))?;
        if !self.identity.session_tags.is_empty() {
            self.decide(&layers, "sts:TagSession", request.context.clone())?;
        }
        if self.identity.source_identity.is_some() {
            self.decide(&layers, "sts:SetSourceIdentity", request.context.clone())?;
        }
        Ok((decision, request))
    }

    fn decide(
        &self,
        layers: &Layers<'_>,
        action: &str,
        context: Context,
    ) -> Result<(Decision, Request), Refusal> {
        let request = Request {
            principal: Principal::Federated { provider: self.provider.arn.text() },
            action: action.to_owned(),
            resource: self.role.arn.text(),
            resource_account: self.role.arn.account.clone(),
            context,
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
    fn context(&self, keys: Vec<(String, Vec<String>)>) -> Context {
        let identity = self.identity;
        let mut context = Context::with_capacity(keys.len() + self.asked.keys.len() + KEYS_BESIDE);
        let now = self.world.clock.now();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:EpochTime", now.seconds().to_string());
        context.set(SECURE_TRANSPORT.0, SECURE_TRANSPORT.1);
        context.set("aws:RequestedRegion", self.asked.region);
        context.set("aws:FederatedProvider", self.provider.arn.text());
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
        for (name, values) in keys.into_iter().chain(self.asked.keys.iter().cloned()) {
            context.set_all(name, values);
        }
        context
    }

    fn check_duration(&self) -> Result<(), Refusal> {
        let seconds = self.input.duration_seconds;
        if seconds <= self.role.max_session_seconds {
            return Ok(());
        }
        Err(super::session_too_long(self.role, seconds))
    }

    fn issue(
        &self,
        policies: Option<PassedPolicies>,
        federated_keys: Vec<(String, Vec<String>)>,
        now: Timestamp,
    ) -> Result<Assumed, Refusal> {
        let session = Session {
            access_key_id: super::session::key_id(self.world, &self.role.arn),
            account: self.role.arn.account.clone(),
            role_path: self.role.path.clone(),
            role_name: self.role.name.clone(),
            role_id: self.role.id.clone(),
            session_name: self.input.session_name.to_owned(),
            issued_at_ms: now.0,
            expires_at_ms: super::session::ends(self.world, now, self.input.duration_seconds),
            provider: Some(self.provider.arn.text()),
            federated_keys,
            tags: self.identity.session_tags.clone(),
            transitive_tag_keys: self.identity.transitive_tag_keys.clone(),
            source_identity: self.identity.source_identity.clone(),
            policies,
            default_regions_only: self.asked.default_regions_only,
        };
        // Captured answers show 24 to 26 percent without any policy or tag, and 34 for a subject of 256
        // characters: claims count.
        let (issued, packed_policy_size) = issue(self.world, session, PACKED_PERCENT_LEAST)?;
        Ok(Assumed {
            issued,
            subject: self.identity.subject.clone(),
            audience: self.identity.audience.clone(),
            provider: self.provider.arn.text(),
            packed_policy_size,
        })
    }
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
