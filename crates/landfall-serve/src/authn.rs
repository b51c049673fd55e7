//! Who calls: SigV4 for API calls, a sealed login for registry calls.
//!
//! "No credentials" and "bad credentials" are different refusals, and both come before anything else is
//! looked at: a stranger doesn't learn which parameters a call has.

use std::sync::Arc;

use landfall_types::{AccountId, Finding, Secret, Timestamp};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::sigv4::{self, Presented, SigV4Error, SignedRequest};
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, CallingUser, FederatedUser, SealedSession, Session};
use crate::connection::Connection;
use crate::store::{AccessKey, LastUse, StoreError};
use crate::vault::Purpose;
use crate::world::{RootKey, World};

/// The access key id and the secret of the root user, on loopback.
const WELL_KNOWN_KEY: &str = "test";

/// How long a use of a role or a key stands in for those that follow it, in seconds: AWS tells them to a
/// quarter of an hour.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
const LAST_USE_SECONDS: i64 = 900;
/// Longest name of a region, in characters; AWS's longest has 14.
const REGION_CHARS_MAX: usize = 32;

/// A verified call: who, for which region it was signed, and from where it came.
#[derive(Clone, Debug)]
pub struct Identified {
    /// Who.
    pub caller: Caller,
    /// The region of the signature's scope.
    pub region: String,
    /// Where it came from.
    pub connection: Connection,
}

/// A call whose credentials were refused.
#[derive(Debug)]
pub struct Refused {
    /// What the client is told.
    pub error: AwsError,
    /// What is known of the caller: an ARN or an access key id.
    pub caller: String,
    /// The lifetime of the session, when it is a genuine one that has ended: from and to, in milliseconds
    /// since 1970.
    pub ended: Option<Box<(i64, i64)>>,
}

/// Verifies a signed call.
///
/// # Errors
/// AWS's refusal in the words of the protocol, for the reasons and in the order that AWS is known
/// to have: missing, malformed, scope, unknown key, bad session token, skew, signature, ended session.
pub fn identify(
    world: &World,
    request: &SignedRequest<'_>,
    service: &str,
    protocol: Protocol,
    connection: &Connection,
) -> Result<Identified, Refused> {
    let refuse = |error: AwsError, caller: &str| Refused { error, caller: caller.to_owned(), ended: None };
    let presented = sigv4::present(request)
        .map_err(|error| refuse(landfall_wire::error::from_sigv4(&error, protocol), "unknown"))?;
    let presented = presented
        .ok_or_else(|| refuse(landfall_wire::error::missing_token(protocol), &Caller::Anonymous.arn()))?;
    sigv4::check_scope(&presented, &[service], None).and_then(|()| check_region(&presented)).map_err(
        |error| refuse(landfall_wire::error::from_sigv4(&error, protocol), &presented.access_key_id),
    )?;
    let key = find_key(world, &presented, service, connection)
        .ok_or_else(|| refuse(landfall_wire::error::invalid_token(protocol), &presented.access_key_id))?;
    sigv4::verify(request, &presented, &[service], None, &key.secret, world.clock.wall())
        .map_err(|error| refuse(landfall_wire::error::from_sigv4(&error, protocol), &key.caller.arn()))?;
    if key.lifetime_ms.is_some_and(|(_, ends)| Timestamp(ends) <= world.clock.now()) {
        return Err(Refused {
            error: landfall_wire::error::expired_token(protocol),
            caller: key.caller.arn(),
            ended: key.lifetime_ms.map(Box::new),
        });
    }
    note_use(world, &key.caller, &presented.scope.region, service);
    Ok(Identified { caller: key.caller, region: presented.scope.region, connection: connection.clone() })
}

/// Whether a call that says it is signed names a key that this server has, before its body was read and the signature
/// with it.
pub fn names_a_key(world: &World, request: &SignedRequest<'_>, connection: &Connection) -> bool {
    let Ok(Some(presented)) = sigv4::present(request) else { return false };
    let service = presented.scope.service.clone();
    find_key(world, &presented, &service, connection).is_some()
}

/// What `GetAccessKeyLastUsed` and `GetRole` tell. A disk that does not take it keeps nobody from calling.
fn note_use(world: &World, caller: &Caller, region: &str, service: &str) {
    let of = match caller {
        Caller::Anonymous | Caller::Root { .. } | Caller::Federated(_) => return,
        Caller::User(user) => &user.access_key_id,
        Caller::Session(session) => &session.role_id,
    };
    let at = world.clock.now();
    let is_told = |last: &LastUse| last.at.plus_seconds(LAST_USE_SECONDS) > at;
    if world.store.last_use(of).is_some_and(|last| is_told(&last)) {
        return;
    }
    let last = LastUse { of: of.clone(), at, region: region.to_owned(), service: service.to_owned() };
    let _: Result<(), StoreError> = world.store.write(|writing| {
        writing.put(last);
        Ok(())
    });
}

/// The region becomes a part of ARNs, so it must not bring colons or wildcards of its own.
fn check_region(presented: &Presented) -> Result<(), SigV4Error> {
    let region = presented.scope.region.as_bytes();
    let well_formed =
        region.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    if well_formed && region.len() <= REGION_CHARS_MAX {
        return Ok(());
    }
    Err(SigV4Error::WrongScope("Credential should be scoped to a valid region. ".to_owned()))
}

struct Key {
    caller: Caller,
    secret: Secret<String>,
    /// Of a session: from and to, in milliseconds since 1970.
    lifetime_ms: Option<(i64, i64)>,
}

fn find_key(world: &World, presented: &Presented, service: &str, connection: &Connection) -> Option<Key> {
    if let Some(token) = &presented.session_token {
        let session = open_session(world, token.expose())?;
        let is_this = session.access_key_id() == presented.access_key_id;
        return is_this.then(|| session_key(world, session, service, &presented.scope.region)).flatten();
    }
    if let Some(key) = world.store.access_key(&presented.access_key_id) {
        return user_of(world, &key).map(|user| Key {
            caller: Caller::User(Arc::new(user)),
            secret: world.vault.secret_key(&key.id),
            lifetime_ms: None,
        });
    }
    let root = |account, secret: &str| Key {
        caller: Caller::Root { account },
        secret: Secret::new(secret.to_owned()),
        lifetime_ms: None,
    };
    match &world.settings.root_key {
        // Whatever this server was told to listen on: a key that everyone knows opens it from here alone.
        RootKey::WellKnown if !connection.is_loopback() => None,
        RootKey::WellKnown if presented.access_key_id == WELL_KNOWN_KEY => {
            Some(root(world.settings.default_account, WELL_KNOWN_KEY))
        }
        RootKey::WellKnown => {
            AccountId::parse(&presented.access_key_id).ok().map(|account| root(account, WELL_KNOWN_KEY))
        }
        RootKey::Random { access_key_id, secret } => (*access_key_id == presented.access_key_id)
            .then(|| root(world.settings.default_account, secret.expose())),
    }
}

/// The user behind an access key; none for a key that was turned off.
fn user_of(world: &World, key: &AccessKey) -> Option<CallingUser> {
    let user = world.store.user(key.account, &key.user_name).filter(|user| user.id == key.user_id)?;
    key.is_active.then(|| CallingUser {
        account: key.account.to_string(),
        path: user.path.clone(),
        name: user.name.clone(),
        id: user.id.clone(),
        access_key_id: key.id.clone(),
        session_issued_at_ms: None,
    })
}

/// A session as a key. To IAM the sessions of users without MFA are as unknown (observed), and so are those of
/// the global endpoint to regions that are off by default.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>,
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html>
fn session_key(world: &World, session: SealedSession, service: &str, region: &str) -> Option<Key> {
    let is_users = matches!(session, SealedSession::User(_) | SealedSession::Federated(_));
    let is_elsewhere = session.default_regions_only() && OPT_IN_REGIONS.contains(&region);
    if is_elsewhere || (is_users && service == "iam") {
        return None;
    }
    let secret = world.vault.secret_key(session.access_key_id());
    let lifetime_ms = Some(session.lifetime_ms());
    Some(Key { caller: session.caller()?, secret, lifetime_ms })
}

/// Regions that an account has to turn on.
/// <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>
const OPT_IN_REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

fn open_session(world: &World, token: &str) -> Option<SealedSession> {
    let plain = world.vault.open(Purpose::Session, token)?;
    serde_json::from_slice(&plain).ok()
}

/// What a registry login stands for: the caller who asked for it, for twelve hours in one region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// The session that asked; none for users.
    pub session: Option<Session>,
    /// The user that asked; none for the root user and for sessions.
    pub user: Option<CallingUser>,
    /// The federated user that asked.
    #[serde(default)]
    pub federated: Option<FederatedUser>,
    /// The caller's account.
    pub account: String,
    /// The region whose registries it opens.
    pub region: String,
    /// The door by which it was asked for.
    #[serde(default)]
    pub door: Option<usize>,
    /// When it ends, milliseconds since 1970.
    pub expires_at_ms: i64,
}

impl RegistryLogin {
    /// The caller behind the login.
    pub fn caller(&self) -> Caller {
        if let Some(user) = &self.federated {
            return Caller::Federated(Arc::new(user.clone()));
        }
        match (&self.session, &self.user, AccountId::parse(&self.account)) {
            (Some(session), _, _) => Caller::Session(Arc::new(session.clone())),
            (None, Some(user), _) => Caller::User(Arc::new(user.clone())),
            (None, None, Ok(account)) => Caller::Root { account },
            (None, None, Err(_)) => Caller::Anonymous,
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        Timestamp(self.expires_at_ms) <= now
    }
}

/// The login behind a registry call's `Authorization: Basic base64(AWS:password)`.
#[derive(Debug)]
pub enum RegistryAuthn {
    /// No `Authorization` came.
    NotRequested,
    /// A login that this server made. It may have ended.
    Login(Box<RegistryLogin>),
    /// Anything else.
    Invalid,
}

/// Opens the login of a registry call.
pub fn registry_login(world: &World, authorization: Option<&str>) -> RegistryAuthn {
    use base64::Engine as _;
    let Some(authorization) = authorization else { return RegistryAuthn::NotRequested };
    if is_empty_login(authorization) {
        return RegistryAuthn::NotRequested;
    }
    let open = || {
        let (scheme, encoded) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        let plain = (user == "AWS").then(|| world.vault.open(Purpose::RegistryLogin, password)).flatten()?;
        serde_json::from_slice(&plain).ok()
    };
    open().map_or(RegistryAuthn::Invalid, |login| RegistryAuthn::Login(Box::new(login)))
}

/// Whether a Basic login has neither user nor password. Clients that were asked for one and have none send it
/// (skopeo, podman), and are told what they would be told without.
fn is_empty_login(authorization: &str) -> bool {
    authorization.split_once(' ').is_some_and(|(scheme, encoded)| {
        scheme.eq_ignore_ascii_case("basic") && encoded.trim() == EMPTY_LOGIN
    })
}

/// `:` in base64.
const EMPTY_LOGIN: &str = "Og==";

/// Why credentials were refused, for the person who must act.
pub fn explain(refused: &Refused) -> Finding {
    if refused.caller == Caller::Anonymous.arn() {
        return Finding::error("no-credentials", "the call came without credentials")
            .help("sign the call: the step that gets the credentials has to come first, in the same job");
    }
    let finding = Finding::error("credentials-refused", refused.error.message.clone());
    let Some((from, to)) = refused.ended.as_deref().copied() else {
        return finding.help(
            "sign with credentials that this server gave, with a clock that is right to within 5 minutes",
        );
    };
    let seconds = (to - from) / 1000;
    Finding::error("session-expired", format!("the session `{}` has ended", refused.caller))
        .note(format!("it was made at {} for {seconds} s, and ended at {}", Timestamp(from), Timestamp(to)))
        .help("ask for a longer session (role-duration-seconds, up to the role's max_session_duration), or log in again right before this step")
}
