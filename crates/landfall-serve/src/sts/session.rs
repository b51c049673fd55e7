//! Making a session: its access key, the policies that narrow it, how much space it takes, and the token
//! that carries it.

use landfall_policy::PolicyKind;
use landfall_types::{AccountId, Arn, Finding, Secret, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::ids;
use landfall_wire::sts::POLICY_CHARS_MAX;
use serde::Serialize;

use super::{Refusal, because};
use crate::caller::{FederatedUser, PassedPolicies, Session, UserSession};
use crate::iam::DocumentInput;
use crate::vault::Purpose;
use crate::world::World;

/// Largest session, in bytes before it is sealed: it travels in a header with every call.
const SESSION_BYTES_MAX: usize = 16_384;
/// What a session of an ID token takes at least, in percent of the space that there is.
pub(super) const PACKED_PERCENT_LEAST: usize = 23;

/// A session, and what its holder signs with.
#[derive(Clone, Debug)]
pub struct Issued<S> {
    /// The session.
    pub session: S,
    /// Its secret key.
    pub secret_key: Secret<String>,
    /// Its session token.
    pub session_token: Secret<String>,
}

/// What can be sealed into a session token.
pub(super) trait Sealable {
    /// The access key that the session signs with.
    fn access_key_id(&self) -> &str;
    /// The token's content.
    fn sealed(&self) -> Sealing<'_>;
    /// What it takes of the space for policies, tags and claims, each in characters.
    fn contents(&self) -> Contents;
}

/// The content of a session token while it is written; `authn` reads the same.
#[derive(Serialize)]
pub(super) enum Sealing<'s> {
    Role(&'s Session),
    User(&'s UserSession),
    Federated(&'s FederatedUser),
}

/// What fills a session, in characters.
#[derive(Default)]
pub(super) struct Contents {
    claims: usize,
    tags: usize,
    policies: usize,
}

impl Sealable for Session {
    fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    fn sealed(&self) -> Sealing<'_> {
        Sealing::Role(self)
    }

    fn contents(&self) -> Contents {
        let claims = self.federated_keys.iter().flat_map(|(_, values)| values).map(String::len).sum();
        Contents { claims, tags: tag_chars(&self.tags), policies: policy_chars(self.policies.as_ref()) }
    }
}

impl Sealable for UserSession {
    fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    fn sealed(&self) -> Sealing<'_> {
        Sealing::User(self)
    }

    fn contents(&self) -> Contents {
        Contents::default()
    }
}

impl Sealable for FederatedUser {
    fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    fn sealed(&self) -> Sealing<'_> {
        Sealing::Federated(self)
    }

    fn contents(&self) -> Contents {
        Contents { claims: 0, tags: tag_chars(&self.tags), policies: policy_chars(Some(&self.policies)) }
    }
}

fn tag_chars(tags: &[(String, String)]) -> usize {
    tags.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn policy_chars(policies: Option<&PassedPolicies>) -> usize {
    policies.iter().flat_map(|passed| passed.inline.iter().chain(&passed.managed)).map(String::len).sum()
}

/// Seals a session, and tells how much of its space it takes, in percent.
///
/// AWS's packing is not public; this follows the figures that were seen, and leaves room for every policy of
/// the length that a request may have.
pub(super) fn issue<S: Sealable>(
    world: &World,
    session: S,
    percent_least: usize,
) -> Result<(Issued<S>, u32), Refusal> {
    let Contents { claims, tags, policies } = session.contents();
    let percent = percent_least
        + claims.saturating_mul(100) / 2560
        + tags.saturating_mul(100) / 2048
        + policies.saturating_mul(100) / 4096;
    let internal = |message: String| AwsError::new("InternalFailure", 500, message);
    let plain = serde_json::to_vec(&session.sealed()).map_err(|error| internal(error.to_string()))?;
    if percent > 100 || plain.len() > SESSION_BYTES_MAX {
        return Err(too_large(percent.max(101)));
    }
    let session_token = Secret::new(world.vault.seal(Purpose::Session, &plain).map_err(internal)?);
    let secret_key = world.vault.secret_key(session.access_key_id());
    let percent = u32::try_from(percent).unwrap_or(100);
    Ok((Issued { session, secret_key, session_token }, percent))
}

/// What a task signs with: AWS made its session by itself, so nothing was packed into it.
///
/// # Errors
/// Why it can't be sealed.
pub(crate) fn issue_to_task(world: &World, session: Session) -> Result<Issued<Session>, String> {
    issue(world, session, 0).map(|(issued, _)| issued).map_err(|refused| refused.error.to_string())
}

/// AWS's answer to more than fits (observed).
fn too_large(percent: usize) -> Refusal {
    let message = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
    let finding = Finding::error("session-too-large", message.clone())
        .note("the subject, the session tags and the session policies travel with every call of the session")
        .help("pass a smaller session policy, or fewer and shorter tags");
    because(AwsError::new("PackedPolicyTooLarge", 400, message), finding)
}

/// The id of a new temporary access key; it tells the account of whom it is for.
pub(crate) fn key_id(world: &World, of: &Arn) -> String {
    let account = of.account_id().unwrap_or(world.settings.default_account);
    ids::key_id_of_account(ids::TEMPORARY_KEY_PREFIX, account, world.random())
}

/// When a session that begins now ends, in milliseconds since 1970.
pub(super) fn ends(world: &World, now: Timestamp, seconds: u32) -> i64 {
    world.clock.ends_from(now, i64::from(seconds)).0
}

/// The policies that shall narrow a session. Managed ones are of the account, or AWS's.
pub(super) fn passed_policies(
    world: &World,
    account: AccountId,
    policy: Option<&str>,
    policy_arns: &[&str],
) -> Result<Option<PassedPolicies>, Refusal> {
    if policy.is_none() && policy_arns.is_empty() {
        return Ok(None);
    }
    if let Some(policy) = policy {
        let chars = policy.chars().count();
        if chars > POLICY_CHARS_MAX {
            return Err(too_large(chars.saturating_mul(100).div_ceil(POLICY_CHARS_MAX)));
        }
        DocumentInput::from_passing_json(policy)
            .read(PolicyKind::Identity, account)
            .map_err(|error| AwsError::new("MalformedPolicyDocument", 400, error.message))?;
    }
    for arn in policy_arns {
        crate::iam::check_policy_exists(&world.store, account, arn).map_err(|error| AwsError {
            code: "MalformedPolicyDocument".into(),
            status: 400,
            ..error
        })?;
    }
    let managed = policy_arns.iter().map(|arn| (*arn).to_owned()).collect();
    Ok(Some(PassedPolicies { inline: policy.map(str::to_owned), managed }))
}
