//! Who somebody is: the caller, the account of a key, and messages that tell why a call was refused.

use landfall_types::{AccountId, Finding};
use landfall_wire::error::{AwsError, Protocol};
use landfall_wire::ids::account_of_key_id;
use landfall_wire::query::Params;
use landfall_wire::sts as rules;

use super::{SignedCall, because, refuse};
use crate::authz::{Permit, calls};
use crate::world::{RootKey, World};

/// `GetCallerIdentity`: needs no permission, and works even where all is denied.
#[derive(Clone, Debug)]
pub struct CallerIdentity {
    /// Account id.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// `AIDA…`, `AROA…:session`, `ACCOUNT:name` of a federated user, or the account of a root user.
    pub user_id: String,
}

/// Tells who calls.
pub fn get_caller_identity(permit: &Permit<calls::GetCallerIdentity>) -> CallerIdentity {
    let caller = permit.caller();
    let account = caller.account().map(|account| account.to_string()).unwrap_or_default();
    CallerIdentity { account, arn: caller.arn(), user_id: caller.user_id() }
}

/// `GetAccessKeyInfo`: the account of an access key. AWS's key ids tell their account, and so do those of
/// this server; whether the key is there, or ever was, is not told.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html>
///
/// # Errors
/// `ValidationError`: not an access key id, or one that tells no account.
pub fn get_access_key_info(
    world: &World,
    _permit: &Permit<calls::GetAccessKeyInfo>,
    params: &Params,
) -> Result<AccountId, AwsError> {
    let id = rules::check_access_key_id(params)?;
    let own = match &world.settings.root_key {
        RootKey::Random { access_key_id, .. } if access_key_id == id => Some(world.settings.default_account),
        RootKey::Random { .. } | RootKey::WellKnown => None,
    };
    own.or_else(|| account_of_key_id(id))
        .ok_or_else(|| AwsError::validation(format!("The access key ID {id} is not valid.")))
}

/// `DecodeAuthorizationMessage`: nothing that is served here hands out encoded messages, so there is none
/// to decode. What AWS puts into one is in the decision log.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>
///
/// # Errors
/// `InvalidAuthorizationMessageException`, or `ValidationError` for what can be no message at all.
pub fn decode_authorization_message(
    world: &World,
    _permit: &Permit<calls::DecodeAuthorizationMessage>,
    call: &SignedCall<'_>,
    params: &Params,
) -> Result<String, AwsError> {
    rules::check_encoded_message(params)?;
    let finding = Finding::error(
        "message-not-ours",
        "the encoded authorization message was not made by this server",
    )
    .note("of AWS's services only a few encode their refusals (EC2 is one), and none of them is served here")
    .help("read the reason of a refusal in this log: it is in clear text, with the statement that decided");
    let refusal = because(rules::invalid_authorization_message(), finding);
    Err(refuse(world, call, "DecodeAuthorizationMessage", None, refusal))
}

/// The protocol of every operation here.
pub(super) const PROTOCOL: Protocol = Protocol::STS;
